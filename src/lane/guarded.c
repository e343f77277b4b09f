/* SPDX-License-Identifier: MIT */
/*
 * Operations of the direct lane that read before they write: re-stamping, moving a value, renaming an entity. They carry a fingerprint of the row
 * that they read; ingest refuses them with -EAGAIN if the row has changed meanwhile, and they are tried again from the reading on.
 */
#include "lane/private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/text.h"

enum { TRIES_MAX = 200 };	/* of a change, each lost to another commit on the same row */

struct guarded {
	struct direct *lane;
	struct direct_origin origin;
	/* Reads, and fills a request. 1: there is nothing to change. */
	int (*prepare)(struct guarded *op, const struct serve_view *view, struct ingest_request *req);
	uint32_t from_group, to_group;
	uint16_t from_slot, to_slot;
	char from_entity[TEXT_ENTITY_MAX + 1], to_entity[TEXT_ENTITY_MAX + 1];
	bool no_replace;
	unsigned tries;
	direct_done done;
	void *arg;
};

static void run_guarded(struct guarded *op);

static void answer_guarded(void *arg, const struct ingest_result *result)
{
	struct guarded *op = arg;

	if (result->rc == -EAGAIN && ++op->tries < TRIES_MAX) {
		run_guarded(op);
		return;
	}
	op->done(op->arg, result->rc == -EAGAIN ? -EBUSY : result->rc);
	free(op);
}

static void run_guarded(struct guarded *op)
{
	struct ingest_request *req = NULL;
	struct serve_view view;
	int rc = serve_begin(op->lane->store, op->lane->cur, &view);

	if (rc == 0) {
		rc = direct_request(op->lane, &op->origin, &req);
		if (rc == 0)
			rc = op->prepare(op, &view, req);
		serve_end(&view);
	}
	if (rc == 0) {
		ingest_submit(op->lane->ingest, req, answer_guarded, op);
		return;
	}
	ingest_request_free(req);
	op->done(op->arg, rc < 0 ? rc : 0);
	free(op);
}

static int copy_name(struct slice name, char out[TEXT_ENTITY_MAX + 1])
{
	if (name.len > TEXT_ENTITY_MAX)
		return -ENAMETOOLONG;
	memcpy(out, name.data, name.len);
	out[name.len] = '\0';
	return 0;
}

/* Takes a copy of the operation's description. */
static void start_guarded(const struct guarded *description, struct slice from, struct slice to)
{
	struct guarded *op = malloc(sizeof *op);
	int rc = op ? 0 : -ENOMEM;

	if (rc == 0) {
		*op = *description;
		rc = copy_name(from, op->from_entity);
	}
	if (rc == 0)
		rc = copy_name(to, op->to_entity);
	if (rc < 0) {
		free(op);
		description->done(description->arg, rc);
		return;
	}
	run_guarded(op);
}

/* A value that stands, with the row that it stands in. */
struct stands {
	const struct catalog_group *grp;
	struct slice bytes;
	struct record rec;
	struct serve_value value;
};

static int read_value(const struct serve_view *view, uint32_t group_id, const char *entity, uint16_t slot, struct stands *out)
{
	const struct catalog_feature *feature;
	int rc;

	out->grp = catalog_find_id(view->cat, group_id);
	feature = out->grp ? catalog_feature_at(out->grp, slot) : NULL;
	if (!feature)
		return -ENOENT;
	rc = serve_row_raw(view, out->grp, slice_str(entity), &out->bytes, &out->rec);
	if (rc == 0)
		serve_value(view, out->grp, &out->rec, feature, &out->value);
	return rc;
}

static bool is_live(const struct serve_value *value)
{
	return value->status == SERVE_PRESENT || value->status == SERVE_NULL;
}

static int prepare_restamp(struct guarded *op, const struct serve_view *view, struct ingest_request *req)
{
	struct stands st;
	int rc = read_value(view, op->from_group, op->from_entity, op->from_slot, &st);

	if (rc < 0)
		return rc;
	if (!is_live(&st.value))
		return -ENOENT;
	if (st.value.stamp.lane != RECORD_LANE_DIRECT)
		return direct_refuse(op->lane, &op->origin, op->from_group, slice_str(op->from_entity),
				     slice_str(st.value.feature->name), EPERM,
				     "only a value that the direct lane wrote can be given another event time");
	if (st.value.stamp.event_ns == op->origin.event_ns)
		return 1;
	rc = ingest_request_row(req, op->from_group, slice_str(op->from_entity), op->origin.event_ns, INGEST_FORCE | INGEST_GUARD,
				ingest_fingerprint(st.bytes));
	if (rc < 0)
		return rc;
	return st.value.status == SERVE_NULL ? ingest_request_null(req, op->from_slot)
					     : ingest_request_value(req, op->from_slot, st.value.type_code, st.value.value);
}

void direct_restamp(struct direct *lane, const struct direct_origin *origin, uint32_t group_id, struct slice entity, uint16_t slot,
		    direct_done done, void *arg)
{
	struct guarded op = {
		.lane = lane, .origin = *origin, .prepare = prepare_restamp, .from_group = group_id, .from_slot = slot,
		.done = done, .arg = arg,
	};

	start_guarded(&op, entity, slice_str(""));
}

/* The value goes over as its text where the types differ, as `cp` and `rm` would do it. */
static int add_moved(struct guarded *op, const struct stands *from, const struct stands *to, struct ingest_request *req)
{
	const struct catalog_feature *feature = to->value.feature;
	struct direct_found place = { .grp = to->grp, .feature = feature };
	struct buf text = { 0 };
	int rc;

	if (from->value.status == SERVE_NULL)
		return direct_add_value(op->lane, &op->origin, &place, slice_str(op->to_entity), DIRECT_TEXT, slice_of("", 0), req);
	if (type_equal(&from->value.feature->type, &feature->type)) {
		struct why why = { "" };

		rc = ingest_check_value(feature, from->value.type_code, &from->value.value, &why);
		if (rc == 0 && feature->nan == from->value.feature->nan)
			return ingest_request_value(req, feature->slot, from->value.type_code, from->value.value);
	}
	rc = serve_value_text(&from->value, &text);
	if (rc == 0)
		rc = direct_add_value(op->lane, &op->origin, &place, slice_str(op->to_entity), DIRECT_TEXT, buf_slice(&text), req);
	buf_release(&text);
	return rc;
}

static int prepare_move(struct guarded *op, const struct serve_view *view, struct ingest_request *req)
{
	struct stands from, to;
	int rc = read_value(view, op->from_group, op->from_entity, op->from_slot, &from);

	if (rc == 0 && !is_live(&from.value))
		rc = -ENOENT;
	if (rc == 0)
		rc = read_value(view, op->to_group, op->to_entity, op->to_slot, &to);
	if (rc < 0)
		return rc;
	if (to.value.feature->retired)
		return -EPERM;
	if (op->no_replace && is_live(&to.value))
		return -EEXIST;
	/* The deletion comes first: its guard is of the row as it was read, which may be the row that the value moves in. */
	rc = ingest_request_row(req, op->from_group, slice_str(op->from_entity), INGEST_NOW, INGEST_GUARD, ingest_fingerprint(from.bytes));
	if (rc == 0)
		rc = ingest_request_delete(req, op->from_slot);
	if (rc == 0)
		rc = ingest_request_row(req, op->to_group, slice_str(op->to_entity), from.value.stamp.event_ns, INGEST_LATE_FAILS, 0);
	return rc < 0 ? rc : add_moved(op, &from, &to, req);
}

void direct_move(struct direct *lane, const struct direct_origin *origin, const struct direct_place *from,
		 const struct direct_place *to, bool no_replace, direct_done done, void *arg)
{
	struct guarded op = {
		.lane = lane, .origin = *origin, .prepare = prepare_move, .from_group = from->group_id, .from_slot = from->slot,
		.to_group = to->group_id, .to_slot = to->slot, .no_replace = no_replace, .done = done, .arg = arg,
	};

	if (from->group_id == to->group_id && from->slot == to->slot && slice_equal(from->entity, to->entity)) {
		done(arg, 0);
		return;
	}
	start_guarded(&op, from->entity, to->entity);
}

/* The live values of a row, each with its own stamp, as a record for another name. */
static int copy_live(const struct serve_view *view, const struct catalog_group *grp, const struct record *rec, struct buf *out)
{
	struct record_builder builder = { 0 };
	struct serve_value value;
	struct record_cell cell;
	int rc;

	record_builder_reset(&builder, RECORD_EXISTS);
	for (unsigned i = 0; i < rec->cells; i++) {
		const struct catalog_feature *feature;

		record_cell(rec, i, &cell);
		feature = catalog_feature_at(grp, cell.slot);
		if (!feature)
			continue;
		serve_value(view, grp, rec, feature, &value);
		if (is_live(&value))
			record_builder_cell(&builder, cell.slot, cell.state, cell.type, record_builder_stamp(&builder, &value.stamp),
					    cell.value);
	}
	rc = record_builder_finish(&builder, out);
	record_builder_release(&builder);
	return rc;
}

static int prepare_rename(struct guarded *op, const struct serve_view *view, struct ingest_request *req)
{
	const struct catalog_group *grp = catalog_find_id(view->cat, op->from_group);
	struct slice from_bytes, to_bytes;
	struct record from, to;
	struct buf moved = { 0 };
	int rc;

	if (!grp)
		return -ENOENT;
	rc = serve_row_raw(view, grp, slice_str(op->from_entity), &from_bytes, &from);
	if (rc == 0 && !record_exists(&from))
		rc = -ENOENT;
	if (rc == 0)
		rc = serve_row_raw(view, grp, slice_str(op->to_entity), &to_bytes, &to);
	if (rc < 0)
		return rc;
	if (op->no_replace && record_exists(&to))
		return -EEXIST;
	if (record_exists(&to) && serve_row_has_values(view, grp, &to))
		return -ENOTEMPTY;
	rc = copy_live(view, grp, &from, &moved);
	if (rc == 0)
		rc = ingest_request_delete_entity(req, grp->id, slice_str(op->from_entity), INGEST_NOW, INGEST_GUARD,
						  ingest_fingerprint(from_bytes));
	if (rc == 0)
		rc = ingest_request_record(req, grp->id, slice_str(op->to_entity), buf_slice(&moved), INGEST_LATE_FAILS | INGEST_GUARD,
					   ingest_fingerprint(to_bytes));
	buf_release(&moved);
	return rc;
}

void direct_rename_entity(struct direct *lane, const struct direct_origin *origin, uint32_t group_id, struct slice from,
			  struct slice to, bool no_replace, direct_done done, void *arg)
{
	struct guarded op = {
		.lane = lane, .origin = *origin, .prepare = prepare_rename, .from_group = group_id, .to_group = group_id,
		.no_replace = no_replace, .done = done, .arg = arg,
	};

	if (slice_equal(from, to)) {
		done(arg, 0);
		return;
	}
	start_guarded(&op, from, to);
}
