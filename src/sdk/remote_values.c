/* SPDX-License-Identifier: MIT */
/*
 * All values of an entity through the mount, each with where it comes from: by one .lookup, which tells that too, or, where the mount has none
 * for this user, by .row and the attributes of each value's file.
 */
#include "sdk/private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <yyjson.h>
#include "base/clock.h"
#include "base/text.h"

struct remote_value {
	struct featurefs_value shown;
	struct buf text, json, lane, source;
};

static int read_attr(int dir, struct slice entity, const char *feature, const char *name, struct buf *out)
{
	char path[64 + TEXT_ENTITY_MAX + TEXT_NAME_MAX], value[512];
	ssize_t n;

	snprintf(path, sizeof path, "/proc/self/fd/%d/%.*s/%s", dir, (int)entity.len, (const char *)entity.data, feature);
	n = getxattr(path, name, value, sizeof value);
	if (n < 0)
		return -errno;
	buf_append(out, value, (size_t)n);
	return 0;
}

static int64_t read_time(int dir, struct slice entity, const char *feature, const char *name)
{
	struct buf text = { 0 };
	int64_t ns = 0;

	if (read_attr(dir, entity, feature, name, &text) < 0 || clock_parse_time(buf_slice(&text), &ns) < 0)
		ns = 0;
	buf_release(&text);
	return ns;
}

/* Where a value comes from: as the row tells, or else (dir >= 0) as its file's attributes do. */
static void fill_origin(yyjson_doc *row, int dir, struct slice entity, const char *feature, struct remote_value *to)
{
	yyjson_val *lane = sdk_row_detail(row, feature, "lane"), *source = sdk_row_detail(row, feature, "source");

	if (dir >= 0) {
		to->shown.event_ns = read_time(dir, entity, feature, "user.event_time");
		to->shown.ingest_ns = read_time(dir, entity, feature, "user.ingest_time");
		read_attr(dir, entity, feature, "user.lane", &to->lane);
		read_attr(dir, entity, feature, "user.source", &to->source);
		return;
	}
	to->shown.event_ns = sdk_row_time(row, feature, "event_time");
	to->shown.ingest_ns = sdk_row_time(row, feature, "ingest_time");
	buf_append(&to->lane, yyjson_get_str(lane), yyjson_get_len(lane));
	buf_append(&to->source, yyjson_get_str(source), yyjson_get_len(source));
}

static int fill_value(yyjson_doc *row, int dir, struct slice entity, const struct catalog_feature *feature, struct remote_value *to)
{
	yyjson_val *val = sdk_row_value(row, feature->name);
	struct buf bytes = { 0 };
	int rc = 0;

	buf_reset(&to->text);
	buf_reset(&to->json);
	buf_reset(&to->lane);
	buf_reset(&to->source);
	to->shown = (struct featurefs_value){ .feature = feature->name, .status = FEATUREFS_MISSING };
	if (val)
		to->shown.status = yyjson_is_null(val) ? FEATUREFS_NULL : FEATUREFS_PRESENT;
	else if (sdk_row_detail(row, feature->name, "expired"))
		to->shown.status = FEATUREFS_EXPIRED;
	if (to->shown.status != FEATUREFS_MISSING)
		fill_origin(row, dir, entity, feature->name, to);
	if (to->shown.status == FEATUREFS_PRESENT) {
		rc = type_json_parse(&feature->type, true, val, &bytes, NULL);
		if (rc == 0)
			rc = type_text_print(&feature->type, buf_slice(&bytes), &to->text);
		if (rc == 0)
			rc = type_json_print(&feature->type, buf_slice(&bytes), &to->json);
	} else if (to->shown.status == FEATUREFS_NULL) {
		buf_append_str(&to->json, "null");
	}
	to->shown.text_len = to->text.len;
	to->shown.json_len = to->json.len;
	buf_append_char(&to->text, '\0');
	buf_append_char(&to->json, '\0');
	buf_append_char(&to->lane, '\0');
	buf_append_char(&to->source, '\0');
	to->shown.text = to->text.data;
	to->shown.json = to->json.data;
	to->shown.lane = to->lane.data;
	to->shown.source = to->source.data;
	buf_release(&bytes);
	if (rc == 0 && (buf_error(&to->text) < 0 || buf_error(&to->json) < 0 || buf_error(&to->lane) < 0 || buf_error(&to->source) < 0))
		rc = -ENOMEM;
	return rc;
}

static void release_values(struct remote_value *values, unsigned n)
{
	for (unsigned i = 0; values && i < n; i++) {
		buf_release(&values[i].text);
		buf_release(&values[i].json);
		buf_release(&values[i].lane);
		buf_release(&values[i].source);
	}
	free(values);
}

static int fill_values(yyjson_doc *row, int dir, const char *entity, const struct catalog_group *grp, struct remote_value *values)
{
	int rc = 0;

	for (unsigned i = 0; i < grp->n_features && rc == 0; i++)
		rc = fill_value(row, dir, slice_str(entity), &grp->features[i], &values[i]);
	return rc;
}

/* SDK_NO_LOOKUP; *out_found: there is such an entity. */
static int ask_values(int dir, const char *entity, const struct catalog_group *grp, struct remote_value *values, bool *out_found)
{
	struct sdk_lookup look = { 0 };
	yyjson_doc *row = NULL;
	int rc = 0;

	sdk_lookup_begin(&look, true);
	*out_found = false;
	if (sdk_lookup_name(&look, slice_str(entity), grp->n_keys))
		rc = sdk_lookup_ask(&look, dir);
	if (rc == 0 && look.answer.len)
		rc = sdk_lookup_next(&look, slice_str(entity), &row);
	*out_found = yyjson_is_obj(yyjson_obj_get(yyjson_doc_get_root(row), "features"));
	if (rc == 0)
		rc = fill_values(row, -1, entity, grp, values);
	yyjson_doc_free(row);
	sdk_lookup_release(&look);
	return rc;
}

static int gather_values(struct featurefs *fs, int dir, const char *entity, const struct catalog_group *grp, struct remote_value *values,
			 bool *out_found, struct why *why)
{
	struct remote_moment moment = { .fs = fs };
	struct buf text = { 0 };
	yyjson_doc *row;
	int rc;

	do {
		rc = remote_moment_begin(&moment, why);
		if (rc < 0)
			break;
		rc = remote_read_row(dir, slice_str(entity), &text, &row);
		*out_found = rc == 0 && row;
		if (rc == 0)
			rc = fill_values(row, dir, entity, grp, values);
		yyjson_doc_free(row);
		if (rc == 0)
			rc = remote_moment_end(&moment, why);
	} while (rc == 1);
	buf_release(&text);
	return rc;
}

int remote_values(struct featurefs *fs, const char *group, const char *entity,
		  int (*each)(void *arg, const struct featurefs_value *value), void *arg, struct why *why)
{
	struct remote_value *values = NULL;
	struct catalog_group *grp = NULL;
	bool is_found = false;
	int dir, rc = remote_open_group(fs, group, &dir, why);

	if (rc < 0)
		return rc;
	rc = remote_parse_schema(dir, group, &grp, why);
	if (rc == 0) {
		values = calloc(grp->n_features + 1u, sizeof *values);
		rc = values ? 0 : -ENOMEM;
	}
	if (rc == 0)
		rc = ask_values(dir, entity, grp, values, &is_found);
	if (rc == SDK_NO_LOOKUP)
		rc = gather_values(fs, dir, entity, grp, values, &is_found, why);
	close(dir);
	if (rc == 0 && !is_found)
		rc = why_fail(why, ENOENT, "there is no entity %s in %s", entity, group);
	else if (rc < 0 && !why->text[0])
		why_fail(why, -rc, "%s/%s: %s", group, entity, strerror(-rc));
	for (unsigned i = 0; rc == 0 && i < grp->n_features; i++)
		if (!grp->features[i].retired)
			rc = each(arg, &values[i].shown);
	release_values(values, grp ? grp->n_features : 0);
	catalog_group_unref(grp);
	return rc;
}
