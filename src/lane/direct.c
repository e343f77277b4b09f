/* SPDX-License-Identifier: MIT */
/*
 * The direct lane. A value's text becomes typed bytes here and is judged at once, so that its writer, or .errors, can be told the reason with
 * the value at hand; the commit judges once more against the catalog of its own moment. What reads before it writes: guarded.c.
 */
#include "lane/private.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "lane/format.h"

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

static void name_origin(const struct direct_origin *origin, char out[32])
{
	snprintf(out, 32, "uid %lu", (unsigned long)origin->uid);
}

int direct_request(struct direct *lane, const struct direct_origin *origin, struct ingest_request **out)
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

static int find_place(struct direct *lane, uint32_t group_id, uint16_t slot, struct direct_found *out)
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
	struct direct_found place;
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

int direct_add_value(struct direct *lane, const struct direct_origin *origin, const struct direct_found *place, struct slice entity,
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
	struct direct_found place;
	int rc = find_place(lane, group_id, slot, &place);

	if (rc < 0) {
		done(arg, rc == -EPERM ? direct_refuse(lane, origin, group_id, entity, slice_str(""), EPERM,
						       "the feature was retired meanwhile") : rc);
		return;
	}
	rc = direct_request(lane, origin, &req);
	if (rc == 0)
		rc = ingest_request_row(req, group_id, entity, origin->event_ns, INGEST_LATE_FAILS, 0);
	if (rc == 0)
		rc = direct_add_value(lane, origin, &place, entity, form, bytes, req);
	catalog_unref(place.cat);
	submit_filled(lane, req, rc, done, arg);
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
		rc = direct_request(lane, origin, &req);
	if (rc == 0)
		rc = ingest_request_row(req, group_id, entity, origin->event_ns, INGEST_LATE_FAILS, 0);
	if (rc == 0)
		rc = ingest_request_delete(req, slot);
	submit_filled(lane, req, rc, done, arg);
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
	rc = grp ? direct_request(lane, origin, &req) : -ENOENT;
	if (rc == 0)
		rc = add_rows(lane, origin, grp, entity, text, req);
	catalog_unref(cat);
	submit_filled(lane, req, rc, done, arg);
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

void direct_make_entity(struct direct *lane, const struct direct_origin *origin, uint32_t group_id, struct slice entity,
			direct_done done, void *arg)
{
	struct ingest_request *req = NULL;
	int rc = direct_request(lane, origin, &req);

	if (rc == 0)
		rc = ingest_request_make_entity(req, group_id, entity);
	submit_filled(lane, req, rc, done, arg);
}

void direct_remove_entity(struct direct *lane, const struct direct_origin *origin, uint32_t group_id, struct slice entity,
			  direct_done done, void *arg)
{
	struct ingest_request *req = NULL;
	int rc = direct_request(lane, origin, &req);

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
	int rc = direct_request(lane, origin, &req);
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
	int rc = direct_request(lane, origin, &req);

	if (rc == 0)
		rc = ingest_request_group_define(req, group_id, text);
	submit_filled(lane, req, rc, done, arg);
}

void direct_rename_group(struct direct *lane, const struct direct_origin *origin, uint32_t group_id, struct slice name,
			 bool no_replace, direct_done done, void *arg)
{
	struct ingest_request *req = NULL;
	int rc = direct_request(lane, origin, &req);

	if (rc == 0)
		rc = ingest_request_group_rename(req, group_id, name, !no_replace);
	submit_filled(lane, req, rc, done, arg);
}

void direct_remove_group(struct direct *lane, const struct direct_origin *origin, uint32_t group_id, direct_done done, void *arg)
{
	struct ingest_request *req = NULL;
	int rc = direct_request(lane, origin, &req);

	if (rc == 0)
		rc = ingest_request_group_remove(req, group_id);
	submit_filled(lane, req, rc, done, arg);
}

void direct_own_group(struct direct *lane, const struct direct_origin *origin, uint32_t group_id, mode_t mode, uid_t uid, gid_t gid,
		      direct_done done, void *arg)
{
	struct ingest_request *req = NULL;
	int rc = direct_request(lane, origin, &req);

	if (rc == 0)
		rc = ingest_request_group_own(req, group_id, mode, uid, gid);
	submit_filled(lane, req, rc, done, arg);
}

void direct_attr_group(struct direct *lane, const struct direct_origin *origin, uint32_t group_id, struct slice name,
		       const struct slice *value, int how, direct_done done, void *arg)
{
	struct ingest_request *req = NULL;
	int rc = direct_request(lane, origin, &req);

	if (rc == 0)
		rc = ingest_request_group_attr(req, group_id, name, value, how);
	submit_filled(lane, req, rc, done, arg);
}
