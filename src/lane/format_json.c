/* SPDX-License-Identifier: MIT */
/*
 * One row: {"entity": "u1", "event_time": "2026-11-23T04:00:00Z", "features": {"clicks_7d": 3, "name": null}, "delete": ["ctr"]}.
 * Strict: a key that means nothing here is refused, for it is a spelling mistake that would lose data without a word. "group" may stand in
 * a row (a dump of several groups writes it) if it is this group; "force": true is the overwrite that a person asks for by name.
 */
#include "lane/format.h"

#include <errno.h>
#include <stdio.h>
#include <yyjson.h>
#include "base/clock.h"
#include "base/text.h"

/* The parts of a row, as they stand in the document. */
struct parts {
	yyjson_val *entity, *event_time, *features, *deleted, *force, *group;
};

static struct slice json_text(yyjson_val *val)
{
	return slice_of(unsafe_yyjson_get_str(val), unsafe_yyjson_get_len(val));
}

static int fail_row(struct format_row *row, struct why *why, const char *text)
{
	row->fault_reason = REJECT_bad_row;
	return why_fail(why, EINVAL, "%s", text);
}

static int find_parts(struct format_row *row, yyjson_val *root, struct parts *out, struct why *why)
{
	yyjson_obj_iter it = yyjson_obj_iter_with(root);
	yyjson_val *key;

	*out = (struct parts){ 0 };
	while ((key = yyjson_obj_iter_next(&it))) {
		static const struct {
			const char *name;
			size_t at;
		} known[] = {
			{ "entity", offsetof(struct parts, entity) }, { "event_time", offsetof(struct parts, event_time) },
			{ "features", offsetof(struct parts, features) }, { "delete", offsetof(struct parts, deleted) },
			{ "force", offsetof(struct parts, force) }, { "group", offsetof(struct parts, group) },
		};
		struct slice name = json_text(key);
		yyjson_val **place = NULL;

		for (size_t i = 0; i < sizeof known / sizeof *known; i++)
			if (slice_equal(name, slice_str(known[i].name)))
				place = (yyjson_val **)((char *)out + known[i].at);
		if (!place || *place) {
			row->fault_reason = REJECT_bad_row;
			return why_fail(why, EINVAL, "the key \"%.*s\" %s; a row has entity, event_time, features, delete",
					(int)(name.len < 64 ? name.len : 64), (const char *)name.data,
					place ? "stands twice" : "means nothing here");
		}
		*place = yyjson_obj_iter_get_val(key);
	}
	return 0;
}

static int take_entity(struct format_row *row, const struct parts *parts, struct slice *out, struct why *why)
{
	int rc;

	if (!parts->entity && row->entity.len == 0)
		return fail_row(row, why, "the row names no entity");
	*out = row->entity;
	if (parts->entity) {
		/* A number is its own written form; anything else that is not a string is a mistake. */
		if (!yyjson_is_str(parts->entity) && !yyjson_is_raw(parts->entity))
			return fail_row(row, why, "entity must be a string");
		*out = json_text(parts->entity);
		if (yyjson_is_raw(parts->entity)) {
			const char *at = out->data;
			size_t digits = at[0] == '-';

			while (digits < out->len && at[digits] >= '0' && at[digits] <= '9')
				digits++;
			if (digits != out->len)
				return fail_row(row, why, "an entity that is a number must be a plain integer");
		}
	}
	if (row->entity.len && !slice_equal(*out, row->entity))
		return fail_row(row, why, "the row names another entity than the file's folder");
	snprintf(row->fault_entity, sizeof row->fault_entity, "%.*s", (int)(out->len < 255 ? out->len : 255), (const char *)out->data);
	rc = text_check_entity(*out, row->grp->n_keys, why);
	if (rc < 0)
		row->fault_reason = REJECT_bad_name;
	return rc;
}

static int take_time(struct format_row *row, const struct parts *parts, int64_t *out, struct why *why)
{
	*out = row->event_ns;
	if (!parts->event_time || yyjson_is_null(parts->event_time))
		return 0;
	if ((!yyjson_is_str(parts->event_time) && !yyjson_is_raw(parts->event_time)) ||
	    clock_parse_time(json_text(parts->event_time), out) < 0)
		return fail_row(row, why, "event_time must be RFC 3339 text (\"2026-11-23T04:00:00Z\") or seconds since 1970");
	return 0;
}

static int find_feature(struct format_row *row, struct slice name, const struct catalog_feature **out, struct why *why)
{
	const struct catalog_feature *feature = catalog_find_feature(row->grp, name);

	if (!feature || feature->retired) {
		row->fault_reason = REJECT_undeclared;
		return why_fail(why, EPERM, "the feature \"%.*s\" is %s in .schema: add [feature %.*s], or correct the name",
				(int)(name.len < 128 ? name.len : 128), (const char *)name.data, feature ? "retired" : "not declared",
				(int)(name.len < 128 ? name.len : 128), (const char *)name.data);
	}
	*out = feature;
	row->fault_feature = feature->name;
	return 0;
}

static int add_feature(struct format_row *row, struct slice name, yyjson_val *val, struct ingest_request *req, struct buf *value,
		       struct why *why)
{
	const struct catalog_feature *feature;
	struct slice bytes;
	int rc = find_feature(row, name, &feature, why);

	if (rc < 0)
		return rc;
	row->fault_reason = REJECT_not_of_type;
	if (yyjson_is_null(val)) {
		rc = ingest_check_value(feature, 0, NULL, why);
		row->fault_reason = REJECT_rule;
		return rc < 0 ? rc : ingest_request_null(req, feature->slot);
	}
	buf_reset(value);
	rc = type_json_parse(&feature->type, feature->nan, val, value, why);
	if (rc < 0) {
		row->fault_reason = rc == -EINVAL ? REJECT_not_of_type : reject_reason_of(-rc);
		why_prefix(why, "%s", feature->name);
		return rc;
	}
	bytes = buf_slice(value);
	rc = ingest_check_value(feature, type_code(&feature->type), &bytes, why);
	if (rc < 0) {
		row->fault_reason = rc == -EINVAL ? REJECT_rule : reject_reason_of(-rc);
		return rc;
	}
	row->fault_feature = NULL;
	return ingest_request_value(req, feature->slot, type_code(&feature->type), bytes);
}

static int add_features(struct format_row *row, const struct parts *parts, struct ingest_request *req, struct why *why)
{
	struct buf value = { 0 };
	yyjson_obj_iter it;
	yyjson_val *key;
	int rc = 0;

	if (!parts->features)
		return 0;
	if (!yyjson_is_obj(parts->features))
		return fail_row(row, why, "features must be an object");
	it = yyjson_obj_iter_with(parts->features);
	while (rc == 0 && (key = yyjson_obj_iter_next(&it)))
		rc = add_feature(row, json_text(key), yyjson_obj_iter_get_val(key), req, &value, why);
	buf_release(&value);
	return rc;
}

static int add_deletes(struct format_row *row, const struct parts *parts, struct ingest_request *req, struct why *why)
{
	const struct catalog_feature *feature;
	yyjson_arr_iter it;
	yyjson_val *val;
	int rc = 0;

	if (!parts->deleted || yyjson_is_false(parts->deleted))
		return 0;
	if (!yyjson_is_arr(parts->deleted))
		return fail_row(row, why, "delete must be a list of features, or true");
	it = yyjson_arr_iter_with(parts->deleted);
	while (rc == 0 && (val = yyjson_arr_iter_next(&it))) {
		if (!yyjson_is_str(val))
			return fail_row(row, why, "delete must be a list of feature names");
		if (parts->features && yyjson_obj_getn(parts->features, unsafe_yyjson_get_str(val), unsafe_yyjson_get_len(val)))
			return fail_row(row, why, "a feature stands in both features and delete");
		rc = find_feature(row, json_text(val), &feature, why);
		if (rc == 0)
			rc = ingest_request_delete(req, feature->slot);
	}
	return rc;
}

static int add_row(struct format_row *row, yyjson_val *root, struct ingest_request *req, struct why *why)
{
	unsigned flags = row->flags;
	struct slice entity;
	struct parts parts;
	int64_t event_ns;
	int rc;

	if (!yyjson_is_obj(root))
		return fail_row(row, why, "a row must be a JSON object");
	rc = find_parts(row, root, &parts, why);
	if (rc == 0)
		rc = take_entity(row, &parts, &entity, why);
	if (rc == 0)
		rc = take_time(row, &parts, &event_ns, why);
	if (rc < 0)
		return rc;
	if (parts.group && !(yyjson_is_str(parts.group) && slice_equal(json_text(parts.group), slice_str(row->grp->name))))
		return fail_row(row, why, "the row names another group");
	if (parts.force && !yyjson_is_bool(parts.force))
		return fail_row(row, why, "force must be true or false");
	if (parts.force && yyjson_is_true(parts.force))
		flags |= INGEST_FORCE;
	if (parts.deleted && yyjson_is_true(parts.deleted)) {
		if (parts.features && (!yyjson_is_obj(parts.features) || yyjson_obj_size(parts.features)))
			return fail_row(row, why, "a row can't delete its entity and set features");
		return ingest_request_delete_entity(req, row->grp->id, entity, event_ns, flags, 0);
	}
	rc = ingest_request_row(req, row->grp->id, entity, event_ns, flags, 0);
	if (rc == 0)
		rc = add_features(row, &parts, req, why);
	if (rc == 0)
		rc = add_deletes(row, &parts, req, why);
	return rc;
}

int format_json_row(struct format_row *row, struct slice text, struct ingest_request *req, struct why *why)
{
	yyjson_read_err err;
	yyjson_doc *doc;
	int rc;

	row->fault_entity[0] = '\0';
	row->fault_feature = NULL;
	row->fault_reason = REJECT_bad_row;
	if (text.len == 0)
		return fail_row(row, why, "the row is empty; it must be a JSON object");
	/* Not in place, so that the reader leaves the text alone; the cast is its signature's. */
	doc = yyjson_read_opts((char *)(uintptr_t)text.data, text.len, YYJSON_READ_NUMBER_AS_RAW, NULL, &err);
	if (!doc && err.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION)
		return -ENOMEM;
	if (!doc && !text_is_utf8(text)) {
		row->fault_reason = REJECT_encoding;
		return why_fail(why, EILSEQ, "the row is not valid UTF-8");
	}
	if (!doc)
		return why_fail(why, EINVAL, "no JSON at byte %zu: %s", err.pos, err.msg);
	rc = add_row(row, yyjson_doc_get_root(doc), req, why);
	yyjson_doc_free(doc);
	return rc;
}
