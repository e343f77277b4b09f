/* SPDX-License-Identifier: MIT */
/*
 * Building a request: changes are kept as plain structs over one buffer of bytes, rows as records, so that what a lane hands over is already in
 * the form that the map and the log hold. Requests and their buffers are used again, so that a steady stream of writes allocates nothing.
 *
 * An append that fails for lack of memory marks the request, which then fails as a whole; lanes need not check each call.
 */
#include "ingest/private.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum {
	POOL_MAX = 64,			/* requests kept for the next */
	POOL_BYTES_MAX = 256 << 10,	/* larger buffers are given back */
};

int ingest_request_new(struct ingest *ingest, enum record_lane lane, uint32_t source, uint64_t origin, const char *who,
		       struct ingest_request **out)
{
	struct ingest_request *req;

	pthread_mutex_lock(&ingest->lock);
	req = ingest->pool;
	if (req) {
		ingest->pool = req->next;
		ingest->pooled--;
	}
	pthread_mutex_unlock(&ingest->lock);
	if (!req)
		req = calloc(1, sizeof *req);
	if (!req)
		return -ENOMEM;
	req->ingest = ingest;
	req->next = NULL;
	req->stamp = (struct record_stamp){ .lane = (uint8_t)lane, .source = source, .origin = origin };
	snprintf(req->who, sizeof req->who, "%s", who);
	buf_reset(&req->changes);
	buf_reset(&req->bytes);
	buf_reset(&req->order);
	buf_reset(&req->row_cells);
	buf_reset(&req->row_values);
	req->has_open_row = req->has_position = req->is_row_by_row = false;
	req->position_ops = NULL;
	req->series = NULL;
	req->taken = req->part = 0;
	req->error = 0;
	req->line = 0;
	req->row_done = NULL;
	req->result = (struct ingest_result){ 0 };
	req->why.text[0] = '\0';
	*out = req;
	return 0;
}

void request_destroy(struct ingest_request *req)
{
	buf_release(&req->changes);
	buf_release(&req->bytes);
	buf_release(&req->order);
	buf_release(&req->row_cells);
	buf_release(&req->row_values);
	record_builder_release(&req->builder);
	free(req);
}

static bool is_small(const struct ingest_request *req)
{
	const struct buf *bufs[] = { &req->changes, &req->bytes, &req->order, &req->row_cells, &req->row_values, &req->builder.cells,
				     &req->builder.stamps };

	for (unsigned i = 0; i < sizeof bufs / sizeof *bufs; i++)
		if (bufs[i]->cap > POOL_BYTES_MAX)
			return false;
	return true;
}

void ingest_request_free(struct ingest_request *req)
{
	struct ingest *ingest;
	bool keeps;

	if (!req)
		return;
	ingest = req->ingest;
	keeps = is_small(req);
	pthread_mutex_lock(&ingest->lock);
	keeps = keeps && ingest->pooled < POOL_MAX;
	if (keeps) {
		req->next = ingest->pool;
		ingest->pool = req;
		ingest->pooled++;
	}
	pthread_mutex_unlock(&ingest->lock);
	if (!keeps)
		request_destroy(req);
}

int request_bytes_add(struct ingest_request *req, struct slice bytes, struct extent *out)
{
	*out = (struct extent){ req->bytes.len, bytes.len };
	buf_append_slice(&req->bytes, bytes);
	if (buf_error(&req->bytes) < 0)
		req->error = -ENOMEM;
	return req->error;
}

static struct change *last_change(struct ingest_request *req)
{
	return (struct change *)(req->changes.data + req->changes.len) - 1;
}

int request_add(struct ingest_request *req, const struct change *change)
{
	int rc = request_close_row(req);

	if (rc < 0)
		return rc;
	buf_append(&req->changes, change, sizeof *change);
	if (buf_error(&req->changes) < 0)
		req->error = -ENOMEM;
	if (req->error)
		return req->error;
	last_change(req)->line = req->line;
	last_change(req)->origin = req->stamp.origin;
	return 0;
}

void ingest_request_origin(struct ingest_request *req, uint64_t origin)
{
	request_close_row(req);
	req->stamp.origin = origin;
}

void ingest_request_line(struct ingest_request *req, unsigned line)
{
	req->line = line;
}

/* The row that was being built becomes the last change's record. */
int request_close_row(struct ingest_request *req)
{
	const struct row_cell *cells = (const struct row_cell *)req->row_cells.data;
	struct record_stamp stamp = req->stamp;
	struct change *chg;
	uint16_t at;
	int rc;

	if (!req->has_open_row || req->error)
		return req->error;
	req->has_open_row = false;
	stamp.event_ns = req->row_event_ns;
	record_builder_reset(&req->builder, RECORD_EXISTS);
	at = record_builder_stamp(&req->builder, &stamp);
	for (size_t i = 0; i < req->row_cells.len / sizeof *cells; i++)
		record_builder_cell(&req->builder, cells[i].slot, cells[i].state, cells[i].type, at,
				    slice_of(req->row_values.data + cells[i].value.at, cells[i].value.len));
	chg = last_change(req);
	chg->data.at = req->bytes.len;
	rc = record_builder_finish(&req->builder, &req->bytes);
	if (rc < 0)
		req->error = rc;
	else
		chg->data.len = req->bytes.len - chg->data.at;
	return req->error;
}

int ingest_request_row(struct ingest_request *req, uint32_t group_id, struct slice entity, int64_t event_ns, unsigned flags,
		       uint64_t guard)
{
	struct change chg = { .kind = CHANGE_ROW, .group_id = group_id, .flags = flags, .guard = guard };
	int rc = request_close_row(req);

	if (rc == 0)
		rc = request_bytes_add(req, entity, &chg.name);
	if (rc == 0)
		rc = request_add(req, &chg);
	if (rc < 0)
		return rc;
	buf_reset(&req->row_cells);
	buf_reset(&req->row_values);
	req->row_event_ns = event_ns;
	req->has_open_row = true;
	return 0;
}

static int add_cell(struct ingest_request *req, uint16_t slot, uint8_t state, uint8_t type, struct slice value)
{
	struct row_cell cell = { slot, state, type, { req->row_values.len, value.len } };

	/* The builder borrows its values and both buffers may still move, so that cells are kept aside until the row is closed. */
	buf_append_slice(&req->row_values, value);
	buf_append(&req->row_cells, &cell, sizeof cell);
	if (buf_error(&req->row_values) < 0 || buf_error(&req->row_cells) < 0)
		req->error = -ENOMEM;
	return req->error;
}

int ingest_request_value(struct ingest_request *req, uint16_t slot, uint8_t type_code, struct slice value)
{
	return add_cell(req, slot, RECORD_PRESENT, type_code, value);
}

int ingest_request_null(struct ingest_request *req, uint16_t slot)
{
	return add_cell(req, slot, RECORD_NULL, 0, slice_of(NULL, 0));
}

int ingest_request_delete(struct ingest_request *req, uint16_t slot)
{
	return add_cell(req, slot, RECORD_DELETED, 0, slice_of(NULL, 0));
}

int ingest_request_record(struct ingest_request *req, uint32_t group_id, struct slice entity, struct slice record, unsigned flags,
			  uint64_t guard)
{
	struct change chg = { .kind = CHANGE_ROW, .group_id = group_id, .flags = flags, .guard = guard };

	request_close_row(req);
	request_bytes_add(req, entity, &chg.name);
	request_bytes_add(req, record, &chg.data);
	return request_add(req, &chg);
}

/* A change that is no more than a kind and a name. */
static int add_named(struct ingest_request *req, struct change *chg, struct slice name)
{
	request_close_row(req);
	request_bytes_add(req, name, &chg->name);
	return request_add(req, chg);
}

int ingest_request_delete_entity(struct ingest_request *req, uint32_t group_id, struct slice entity, int64_t event_ns,
				 unsigned flags, uint64_t guard)
{
	struct change chg = { .kind = CHANGE_DELETE_ENTITY, .group_id = group_id, .flags = flags, .guard = guard,
			      .event_ns = event_ns };

	return add_named(req, &chg, entity);
}

int ingest_request_make_entity(struct ingest_request *req, uint32_t group_id, struct slice entity)
{
	struct change chg = { .kind = CHANGE_MAKE_ENTITY, .group_id = group_id };

	return add_named(req, &chg, entity);
}

int ingest_request_remove_entity(struct ingest_request *req, uint32_t group_id, struct slice entity)
{
	struct change chg = { .kind = CHANGE_REMOVE_ENTITY, .group_id = group_id };

	return add_named(req, &chg, entity);
}

static int add_make(struct ingest_request *req, enum change_kind kind, struct slice name, uid_t uid, gid_t gid, mode_t mode,
		    const char *owner)
{
	struct change chg = { .kind = kind, .uid = uid, .gid = gid, .mode = mode };

	request_close_row(req);
	request_bytes_add(req, slice_of(owner, strlen(owner) + 1), &chg.data);
	return add_named(req, &chg, name);
}

int ingest_request_group_make(struct ingest_request *req, struct slice name, uid_t uid, gid_t gid, mode_t mode, const char *owner)
{
	return add_make(req, CHANGE_GROUP_MAKE, name, uid, gid, mode, owner);
}

int ingest_request_view_make(struct ingest_request *req, struct slice name, uid_t uid, gid_t gid, mode_t mode, const char *owner)
{
	return add_make(req, CHANGE_VIEW_MAKE, name, uid, gid, mode, owner);
}

int ingest_request_group_define(struct ingest_request *req, uint32_t group_id, struct slice text)
{
	struct change chg = { .kind = CHANGE_GROUP_DEFINE, .group_id = group_id };

	request_close_row(req);
	request_bytes_add(req, text, &chg.data);
	return request_add(req, &chg);
}

int ingest_request_group_rename(struct ingest_request *req, uint32_t group_id, struct slice name, bool may_replace_empty)
{
	struct change chg = { .kind = CHANGE_GROUP_RENAME, .group_id = group_id, .flags = may_replace_empty };

	return add_named(req, &chg, name);
}

int ingest_request_group_remove(struct ingest_request *req, uint32_t group_id)
{
	struct change chg = { .kind = CHANGE_GROUP_REMOVE, .group_id = group_id };

	return add_named(req, &chg, slice_of("", 0));
}

int ingest_request_group_own(struct ingest_request *req, uint32_t group_id, mode_t mode, uid_t uid, gid_t gid)
{
	struct change chg = { .kind = CHANGE_GROUP_OWN, .group_id = group_id, .mode = mode, .uid = uid, .gid = gid };

	return add_named(req, &chg, slice_of("", 0));
}

int ingest_request_group_attr(struct ingest_request *req, uint32_t group_id, struct slice name, const struct slice *value, int how)
{
	struct change chg = { .kind = CHANGE_GROUP_ATTR, .group_id = group_id, .flags = (unsigned)how, .removes = !value };

	request_close_row(req);
	if (value)
		request_bytes_add(req, *value, &chg.data);
	return add_named(req, &chg, name);
}

int ingest_request_position(struct ingest_request *req, struct slice lane_key, struct slice position)
{
	request_close_row(req);
	req->has_position = true;
	request_bytes_add(req, lane_key, &req->position_key);
	return request_bytes_add(req, position, &req->position);
}

void ingest_request_positions(struct ingest_request *req, const struct ingest_position_ops *ops, void *arg)
{
	request_close_row(req);
	req->position_ops = ops;
	req->position_arg = arg;
}

void ingest_request_series(struct ingest_request *req, const void *series)
{
	req->series = series;
}

void ingest_request_row_by_row(struct ingest_request *req,
			       void (*row_done)(void *arg, size_t row, int rc, const struct why *why))
{
	req->is_row_by_row = true;
	req->row_done = row_done;
}

static uint64_t head_of(struct slice name)
{
	uint8_t bytes[8] = { 0 };
	uint64_t head;

	memcpy(bytes, name.data, name.len < sizeof bytes ? name.len : sizeof bytes);
	memcpy(&head, bytes, sizeof head);
	return be64toh(head);
}

static int compare_sorted(const void *a, const void *b, void *arg)
{
	const struct ingest_request *req = arg;
	const struct change *list = (const struct change *)req->changes.data;
	const struct sorted *x = a, *y = b;
	int order;

	if (x->head != y->head)
		return x->head < y->head ? -1 : 1;
	order = slice_compare(extent_slice(req, list[x->change].name), extent_slice(req, list[y->change].name));
	return order ? order : x->change < y->change ? -1 : 1;
}

/* Without memory they are applied as they were added, which is as right. */
void ingest_request_sort(struct ingest_request *req)
{
	const struct change *list;
	size_t n;

	request_close_row(req);
	list = (const struct change *)req->changes.data;
	n = req->changes.len / sizeof *list;
	buf_reset(&req->order);
	if (n < 2 || n > UINT32_MAX || !buf_reserve(&req->order, n * sizeof(struct sorted))) {
		req->order.failed = false;
		return;
	}
	for (size_t i = 0; i < n; i++) {
		const struct sorted item = { head_of(extent_slice(req, list[i].name)), (uint32_t)i };

		buf_append(&req->order, &item, sizeof item);
	}
	qsort_r(req->order.data, n, sizeof(struct sorted), compare_sorted, req);
}

size_t ingest_request_bytes(const struct ingest_request *req)
{
	return req->bytes.len + req->row_values.len;
}

uint64_t ingest_fingerprint(struct slice row)
{
	return XXH3_64bits(row.len ? row.data : "", row.len);
}
