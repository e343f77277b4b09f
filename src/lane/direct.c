/* SPDX-License-Identifier: MIT */
/*
 * The direct lane. A value's text becomes typed bytes here and is judged at once, so that its writer, or .errors, can be told the reason with
 * the value at hand; the commit judges once more against the catalog of its own moment.
 *
 * Operations that read before they write (re-stamping, moving a value, renaming an entity) carry a fingerprint of the row that they read;
 * ingest refuses them with -EAGAIN if the row has changed meanwhile, and they are tried again from the reading on.
 */
#include "lane/direct.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/text.h"
#include "lane/format.h"

enum { TRIES_MAX = 200 };	/* of a guarded change, each lost to another commit on the same row */

/* ---- answers and refusals ---- */

struct call {
	direct_done done;
	void *arg;
};

static void answer_call(void *arg, const struct ingest_result *result)
{
	struct call *call = arg;

	call->done(call->arg, result->rc);
	free(call);
}

/* Hands a request over; takes it. */
static void submit(struct direct *lane, struct ingest_request *req, direct_done done, void *arg)
{
	struct call *call = malloc(sizeof *call);

	if (!call) {
		ingest_request_free(req);
		done(arg, -ENOMEM);
		return;
	}
	*call = (struct call){ done, arg };
	ingest_submit(lane->ingest, req, answer_call, call);
}

static void name_origin(const struct direct_origin *origin, char out[32])
{
	snprintf(out, 32, "uid %lu", (unsigned long)origin->uid);
}

static int new_request(struct direct *lane, const struct direct_origin *origin, struct ingest_request **out)
{
	char who[32];

	name_origin(origin, who);
	return ingest_request_new(lane->ingest, RECORD_LANE_DIRECT, 0, origin->uid, who, out);
}

struct refusal {
	uint32_t group_id;
	struct slice entity, feature, value;
	enum reject_reason reason;
	int rc;			/* negative errno */
	const char *detail;
};

static int refuse(struct direct *lane, const struct direct_origin *origin, const struct refusal *ref)
{
	char who[32];
	struct reject rej = {
		.time_ns = clock_now(), .group_id = ref->group_id, .lane = RECORD_LANE_DIRECT, .reason = ref->reason,
		.err = -ref->rc, .who = who, .entity = ref->entity, .feature = ref->feature, .value = ref->value,
		.detail = ref->detail,
	};

	name_origin(origin, who);
	reject_log_add(ingest_rejects(lane->ingest), &rej);
	return ref->rc;
}

int direct_refuse(struct direct *lane, const struct direct_origin *origin, uint32_t group_id, struct slice entity,
		  struct slice name, int err, const char *detail)
{
	return refuse(lane, origin, &(struct refusal){
		.group_id = group_id, .entity = entity, .feature = name, .reason = reject_reason_of(err), .rc = -err,
		.detail = detail,
	});
}

/* ---- one value ---- */

/* The group and feature of a place, with the count of the catalog that they live in. */
struct found {
	struct catalog *cat;
	const struct catalog_group *grp;
	const struct catalog_feature *feature;
};

static int find_place(struct direct *lane, uint32_t group_id, uint16_t slot, struct found *out)
{
	uint64_t number;

	out->cat = catalog_current_get(lane->cur, &number);
	out->grp = group_id == CATALOG_ROOT_ID ? NULL : catalog_find_id(out->cat, group_id);
	out->feature = out->grp ? catalog_feature_at(out->grp, slot) : NULL;
	if (out->feature && !out->feature->retired)
		return 0;
	catalog_unref(out->cat);
	return out->grp ? -EPERM : -ENOENT;
}

/* Text or .bin to stored bytes, by type and rules. The reason of a refusal is told apart for .errors. */
static int decode_value(const struct catalog_feature *feature, enum direct_form form, struct slice bytes, struct buf *out,
			enum reject_reason *out_reason, struct why *why)
{
	struct slice value;
	int rc;

	*out_reason = REJECT_rule;
	if (bytes.len == 0)
		return ingest_check_value(feature, 0, NULL, why);
	*out_reason = REJECT_not_of_type;
	rc = form == DIRECT_BIN ? type_bin_parse(&feature->type, feature->nan, bytes, out, why)
				: type_text_parse(&feature->type, feature->nan, bytes, out, why);
	if (rc < 0) {
		if (rc != -EINVAL)
			*out_reason = reject_reason_of(-rc);
		why_prefix(why, "%s", feature->name);
		return rc;
	}
	value = buf_slice(out);
	rc = ingest_check_value(feature, type_code(&feature->type), &value, why);
	*out_reason = rc == -EINVAL ? REJECT_rule : reject_reason_of(-rc);
	return rc;
}

static int refuse_value(struct direct *lane, const struct direct_origin *origin, uint32_t group_id, struct slice entity,
			const char *feature, struct slice value, enum reject_reason reason, int rc, const struct why *why)
{
	if (rc == -ENOMEM)
		return rc;
	return refuse(lane, origin, &(struct refusal){
		.group_id = group_id, .entity = entity, .feature = slice_str(feature), .value = value, .reason = reason, .rc = rc,
		.detail = why->text,
	});
}

int direct_judge(struct direct *lane, const struct direct_origin *origin, uint32_t group_id, struct slice entity, uint16_t slot,
		 enum direct_form form, struct slice bytes, bool is_whole)
{
	enum reject_reason reason = REJECT_not_of_type;
	struct why why = { "" };
	struct buf value = { 0 };
	struct found place;
	int rc = find_place(lane, group_id, slot, &place);

	if (rc < 0)
		return rc == -EPERM ? direct_refuse(lane, origin, group_id, entity, slice_str(""), EPERM,
						    "the feature was retired meanwhile") : rc;
	if (is_whole)
		rc = decode_value(place.feature, form, bytes, &value, &reason, &why);
	else if (form == DIRECT_TEXT)
		rc = type_text_viable(&place.feature->type, bytes, &why);
	if (rc < 0) {
		if (!is_whole && rc != -EINVAL)
			reason = reject_reason_of(-rc);
		rc = refuse_value(lane, origin, group_id, entity, place.feature->name, bytes, reason, rc, &why);
	}
	buf_release(&value);
	catalog_unref(place.cat);
	return rc;
}

/* Adds one value in file form to a request's open row. */
static int add_value(struct direct *lane, const struct direct_origin *origin, const struct found *place, struct slice entity,
		     enum direct_form form, struct slice bytes, struct ingest_request *req)
{
	enum reject_reason reason;
	struct why why = { "" };
	struct buf value = { 0 };
	int rc = decode_value(place->feature, form, bytes, &value, &reason, &why);

	if (rc < 0)
		rc = refuse_value(lane, origin, place->grp->id, entity, place->feature->name, bytes, reason, rc, &why);
	else if (bytes.len == 0)
		rc = ingest_request_null(req, place->feature->slot);
	else
		rc = ingest_request_value(req, place->feature->slot, type_code(&place->feature->type), buf_slice(&value));
	buf_release(&value);
	return rc;
}

void direct_put(struct direct *lane, const struct direct_origin *origin, uint32_t group_id, struct slice entity, uint16_t slot,
		enum direct_form form, struct slice bytes, direct_done done, void *arg)
{
	struct ingest_request *req = NULL;
	struct found place;
	int rc = find_place(lane, group_id, slot, &place);

	if (rc < 0) {
		done(arg, rc == -EPERM ? direct_refuse(lane, origin, group_id, entity, slice_str(""), EPERM,
						       "the feature was retired meanwhile") : rc);
		return;
	}
	rc = new_request(lane, origin, &req);
	if (rc == 0)
		rc = ingest_request_row(req, group_id, entity, origin->event_ns, INGEST_LATE_FAILS, 0);
	if (rc == 0)
		rc = add_value(lane, origin, &place, entity, form, bytes, req);
	catalog_unref(place.cat);
	if (rc < 0) {
		ingest_request_free(req);
		done(arg, rc);
		return;
	}
	submit(lane, req, done, arg);
}

void direct_delete(struct direct *lane, const struct direct_origin *origin, uint32_t group_id, struct slice entity, uint16_t slot,
		   direct_done done, void *arg)
{
	struct ingest_request *req = NULL;
	struct serve_view view;
	struct serve_value value;
	const struct catalog_group *grp;
	const struct catalog_feature *feature;
	struct record rec;
	int rc = serve_begin(lane->store, lane->cur, &view);

	if (rc < 0) {
		done(arg, rc);
		return;
	}
	grp = catalog_find_id(view.cat, group_id);
	feature = grp ? catalog_feature_at(grp, slot) : NULL;
	rc = feature ? serve_row(&view, grp, entity, &rec) : -ENOENT;
	if (rc == 0) {
		serve_value(&view, grp, &rec, feature, &value);
		if (value.status == SERVE_MISSING || value.status == SERVE_EXPIRED)
			rc = -ENOENT;
	}
	serve_end(&view);
	if (rc == 0)
		rc = new_request(lane, origin, &req);
	if (rc == 0)
		rc = ingest_request_row(req, group_id, entity, origin->event_ns, INGEST_LATE_FAILS, 0);
	if (rc == 0)
		rc = ingest_request_delete(req, slot);
	if (rc < 0) {
		ingest_request_free(req);
		done(arg, rc);
		return;
	}
	submit(lane, req, done, arg);
}

/* ---- guarded changes ---- */

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
		rc = new_request(op->lane, &op->origin, &req);
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
	struct found place = { .grp = to->grp, .feature = feature };
	struct buf text = { 0 };
	int rc;

	if (from->value.status == SERVE_NULL)
		return add_value(op->lane, &op->origin, &place, slice_str(op->to_entity), DIRECT_TEXT, slice_of("", 0), req);
	if (type_equal(&from->value.feature->type, &feature->type)) {
		struct why why = { "" };

		rc = ingest_check_value(feature, from->value.type_code, &from->value.value, &why);
		if (rc == 0 && feature->nan == from->value.feature->nan)
			return ingest_request_value(req, feature->slot, from->value.type_code, from->value.value);
	}
	rc = serve_value_text(&from->value, &text);
	if (rc == 0)
		rc = add_value(op->lane, &op->origin, &place, slice_str(op->to_entity), DIRECT_TEXT, buf_slice(&text), req);
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

/* ---- rows ---- */

static int refuse_row(struct direct *lane, const struct direct_origin *origin, const struct format_row *row, struct slice text, int rc,
		      const struct why *why)
{
	if (rc == -ENOMEM)
		return rc;
	return refuse(lane, origin, &(struct refusal){
		.group_id = row->grp->id, .entity = slice_str(row->fault_entity),
		.feature = slice_str(row->fault_feature ? row->fault_feature : ""), .value = text, .reason = row->fault_reason, .rc = rc,
		.detail = why->text,
	});
}

static bool is_blank(struct slice line)
{
	const char *at = line.data;

	for (size_t i = 0; i < line.len; i++)
		if (at[i] != ' ' && at[i] != '\t' && at[i] != '\r')
			return false;
	return true;
}

/* Fills a request with the rows of `text`: one JSON object for `entity`, or, if that is empty, one a line. */
static int add_rows(struct direct *lane, const struct direct_origin *origin, const struct catalog_group *grp, struct slice entity,
		    struct slice text, struct ingest_request *req)
{
	struct format_row row = { .grp = grp, .entity = entity, .event_ns = origin->event_ns, .flags = INGEST_LATE_FAILS };
	const char *at = text.data, *end = at + text.len;
	struct why why = { "" };
	int rc = 0;

	if (entity.len) {
		rc = format_json_row(&row, text, req, &why);
		return rc < 0 ? refuse_row(lane, origin, &row, text, rc, &why) : 0;
	}
	for (unsigned line = 1; at < end; line++) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		struct slice bytes = slice_of(at, (size_t)((newline ? newline : end) - at));

		at = newline ? newline + 1 : end;
		if (is_blank(bytes))
			continue;
		ingest_request_line(req, line);
		rc = bytes.len > DIRECT_ROW_MAX ? why_fail(&why, EFBIG, "the row has more than %d bytes", DIRECT_ROW_MAX)
						: format_json_row(&row, bytes, req, &why);
		if (rc < 0) {
			why_prefix(&why, "line %u", line);
			return refuse_row(lane, origin, &row, bytes, rc, &why);
		}
	}
	return 0;
}

static void put_rows(struct direct *lane, const struct direct_origin *origin, uint32_t group_id, struct slice entity, struct slice text,
		     direct_done done, void *arg)
{
	struct ingest_request *req = NULL;
	const struct catalog_group *grp;
	uint64_t number;
	struct catalog *cat = catalog_current_get(lane->cur, &number);
	int rc;

	grp = group_id == CATALOG_ROOT_ID ? NULL : catalog_find_id(cat, group_id);
	rc = grp ? new_request(lane, origin, &req) : -ENOENT;
	if (rc == 0)
		rc = add_rows(lane, origin, grp, entity, text, req);
	catalog_unref(cat);
	if (rc < 0) {
		ingest_request_free(req);
		done(arg, rc);
		return;
	}
	submit(lane, req, done, arg);
}

void direct_put_row(struct direct *lane, const struct direct_origin *origin, uint32_t group_id, struct slice entity,
		    struct slice json, direct_done done, void *arg)
{
	put_rows(lane, origin, group_id, entity, json, done, arg);
}

void direct_upsert(struct direct *lane, const struct direct_origin *origin, uint32_t group_id, struct slice lines,
		   direct_done done, void *arg)
{
	put_rows(lane, origin, group_id, slice_of(NULL, 0), lines, done, arg);
}

/* ---- entities and groups: one change each ---- */

/* Submits a request that was filled with `rc`; the request is NULL if it could not even be made. */
static void submit_filled(struct direct *lane, struct ingest_request *req, int rc, direct_done done, void *arg)
{
	if (rc < 0) {
		ingest_request_free(req);
		done(arg, rc);
		return;
	}
	submit(lane, req, done, arg);
}

void direct_make_entity(struct direct *lane, const struct direct_origin *origin, uint32_t group_id, struct slice entity,
			direct_done done, void *arg)
{
	struct ingest_request *req = NULL;
	int rc = new_request(lane, origin, &req);

	if (rc == 0)
		rc = ingest_request_make_entity(req, group_id, entity);
	submit_filled(lane, req, rc, done, arg);
}

void direct_remove_entity(struct direct *lane, const struct direct_origin *origin, uint32_t group_id, struct slice entity,
			  direct_done done, void *arg)
{
	struct ingest_request *req = NULL;
	int rc = new_request(lane, origin, &req);

	if (rc == 0)
		rc = ingest_request_remove_entity(req, group_id, entity);
	submit_filled(lane, req, rc, done, arg);
}

/* A group belongs to the user who makes it: by name, or by number where the number has no name. */
static void name_user(uid_t uid, char out[64])
{
	char text[4096];
	struct passwd entry, *found = NULL;

	if (getpwuid_r(uid, &entry, text, sizeof text, &found) == 0 && found && strlen(found->pw_name) < 64)
		snprintf(out, 64, "%s", found->pw_name);
	else
		snprintf(out, 64, "%lu", (unsigned long)uid);
}

static void make(struct direct *lane, const struct direct_origin *origin, bool is_view, struct slice name, gid_t gid, mode_t mode,
		 direct_done done, void *arg)
{
	struct ingest_request *req = NULL;
	int rc = new_request(lane, origin, &req);
	char owner[64];

	name_user(origin->uid, owner);
	if (rc == 0 && is_view)
		rc = ingest_request_view_make(req, name, origin->uid, gid, mode, owner);
	else if (rc == 0)
		rc = ingest_request_group_make(req, name, origin->uid, gid, mode, owner);
	submit_filled(lane, req, rc, done, arg);
}

void direct_make_group(struct direct *lane, const struct direct_origin *origin, struct slice name, gid_t gid, mode_t mode,
		       direct_done done, void *arg)
{
	make(lane, origin, false, name, gid, mode, done, arg);
}

void direct_make_view(struct direct *lane, const struct direct_origin *origin, struct slice name, gid_t gid, mode_t mode,
		      direct_done done, void *arg)
{
	make(lane, origin, true, name, gid, mode, done, arg);
}

void direct_define_group(struct direct *lane, const struct direct_origin *origin, uint32_t group_id, struct slice text,
			 direct_done done, void *arg)
{
	struct ingest_request *req = NULL;
	int rc = new_request(lane, origin, &req);

	if (rc == 0)
		rc = ingest_request_group_define(req, group_id, text);
	submit_filled(lane, req, rc, done, arg);
}

void direct_rename_group(struct direct *lane, const struct direct_origin *origin, uint32_t group_id, struct slice name,
			 bool no_replace, direct_done done, void *arg)
{
	struct ingest_request *req = NULL;
	int rc = new_request(lane, origin, &req);

	if (rc == 0)
		rc = ingest_request_group_rename(req, group_id, name, !no_replace);
	submit_filled(lane, req, rc, done, arg);
}

void direct_remove_group(struct direct *lane, const struct direct_origin *origin, uint32_t group_id, direct_done done, void *arg)
{
	struct ingest_request *req = NULL;
	int rc = new_request(lane, origin, &req);

	if (rc == 0)
		rc = ingest_request_group_remove(req, group_id);
	submit_filled(lane, req, rc, done, arg);
}

void direct_own_group(struct direct *lane, const struct direct_origin *origin, uint32_t group_id, mode_t mode, uid_t uid, gid_t gid,
		      direct_done done, void *arg)
{
	struct ingest_request *req = NULL;
	int rc = new_request(lane, origin, &req);

	if (rc == 0)
		rc = ingest_request_group_own(req, group_id, mode, uid, gid);
	submit_filled(lane, req, rc, done, arg);
}

void direct_attr_group(struct direct *lane, const struct direct_origin *origin, uint32_t group_id, struct slice name,
		       const struct slice *value, int how, direct_done done, void *arg)
{
	struct ingest_request *req = NULL;
	int rc = new_request(lane, origin, &req);

	if (rc == 0)
		rc = ingest_request_group_attr(req, group_id, name, value, how);
	submit_filled(lane, req, rc, done, arg);
}
