/* SPDX-License-Identifier: MIT */
/*
 * Reading through the mount. A single feature is its file, byte for byte. Several come from one read of .row, so that
 * they belong together; their times and lanes are attributes of their files. The files cannot tell a value that
 * expired from one that was never there: both are missing.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <yyjson.h>
#include "ctl.h"
#include "base/clock.h"

enum {
	VALUE_MAX = 2 << 20, ROW_MAX = 64 << 20,	/* bytes of text: more than the store's bounds */
	VALUE_SHOWN = 60,				/* bytes of a value in a table on a terminal */
};

struct ask {
	const struct ctl *ctl;
	struct ctl_mount mount;
	struct catalog_group *grp;
	const char *group, *entity;
	char **names;			/* of features; none: all */
	int n;
	bool json;
};

static int fail_missing_entity(const struct ask *ask)
{
	return ctl_fail(ask->ctl, CTL_NONE, "missing: there is no entity %s in %s", ask->entity, ask->group);
}

static int fail_missing(const struct ask *ask, const char *feature)
{
	char ttl[CLOCK_TEXT_MAX], path[PATH_MAX];
	struct stat st;

	if (ctl_path(path, "%s/%s/%s", ask->mount.dir, ask->group, ask->entity) == 0 && stat(path, &st) < 0 &&
	    errno == ENOENT)
		return fail_missing_entity(ask);
	if (!ask->grp->ttl_ns)
		return ctl_fail(ask->ctl, CTL_NONE, "missing: %s/%s has no %s", ask->group, ask->entity, feature);
	clock_print_span(ask->grp->ttl_ns, ttl);
	return ctl_fail(ask->ctl, CTL_NONE, "missing: %s/%s has no %s, or it expired (ttl %s)", ask->group,
			ask->entity, feature, ttl);
}

/* Reads .row and parses it; numbers stay as they are written. */
static int read_row(const struct ask *ask, struct buf *text, yyjson_doc **out)
{
	char path[PATH_MAX];
	int rc = ctl_path(path, "%s/%s/%s/.row", ask->mount.dir, ask->group, ask->entity);

	if (rc == 0)
		rc = ctl_read_file(path, ROW_MAX, text);
	if (rc == -ENOENT)
		return fail_missing_entity(ask);
	if (rc < 0)
		return ctl_fail_errno(ask->ctl, path, rc);
	*out = yyjson_read(text->data, text->len, YYJSON_READ_NUMBER_AS_RAW);
	if (!*out || !yyjson_is_obj(yyjson_obj_get(yyjson_doc_get_root(*out), "features"))) {
		yyjson_doc_free(*out);
		*out = NULL;
		return ctl_fail(ask->ctl, CTL_FAILURE, "%s is no JSON row; is another program mounted there?", path);
	}
	return CTL_OK;
}

static yyjson_val *row_features(yyjson_doc *doc)
{
	return yyjson_obj_get(yyjson_doc_get_root(doc), "features");
}

/* An empty file is a null, but for bytes, where it may be a value without bytes: only the row tells. */
static int print_empty(const struct ask *ask, const struct catalog_feature *feature)
{
	struct buf text = { 0 };
	yyjson_doc *doc = NULL;
	yyjson_val *val = NULL;
	int rc = CTL_OK;

	if (feature->type.base == TYPE_BYTES && !feature->type.is_array) {
		rc = read_row(ask, &text, &doc);
		val = doc ? yyjson_obj_get(row_features(doc), feature->name) : NULL;
	}
	if (rc == CTL_OK && !yyjson_is_str(val))
		puts("null");
	yyjson_doc_free(doc);
	buf_release(&text);
	return rc;
}

static int get_one(const struct ask *ask)
{
	const struct catalog_feature *feature = catalog_find_feature(ask->grp, slice_str(ask->names[0]));
	struct buf text = { 0 };
	char path[PATH_MAX];
	int rc = ctl_path(path, "%s/%s/%s/%s", ask->mount.dir, ask->group, ask->entity, feature->name);

	if (rc == 0)
		rc = ctl_read_file(path, VALUE_MAX, &text);
	if (rc == -ENOENT)
		rc = fail_missing(ask, feature->name);
	else if (rc < 0)
		rc = ctl_fail_errno(ask->ctl, path, rc);
	else if (text.len == 0)
		rc = print_empty(ask, feature);
	else
		fwrite(text.data, 1, text.len, stdout);
	buf_release(&text);
	return rc;
}

/* An attribute of a feature's file; false if the value is gone meanwhile. */
static bool read_attr(const struct ask *ask, const char *feature, const char *name, char *out, size_t size)
{
	char path[PATH_MAX];
	ssize_t n;

	if (ctl_path(path, "%s/%s/%s/%s", ask->mount.dir, ask->group, ask->entity, feature) < 0)
		return false;
	n = getxattr(path, name, out, size - 1);
	out[n < 0 ? 0 : n] = '\0';
	return n >= 0;
}

static void add_json(yyjson_val *val, struct buf *out)
{
	size_t len;
	char *text = yyjson_val_write(val, YYJSON_WRITE_NOFLAG, &len);

	if (text)
		buf_append(out, text, len);
	else
		out->failed = true;
	free(text);
}

/* ---- as a table ---- */

static void cut_value(struct buf *value)
{
	if (!isatty(STDOUT_FILENO) || value->len <= VALUE_SHOWN)
		return;
	value->len = VALUE_SHOWN;
	while (value->len && ((unsigned char)value->data[value->len] & 0xc0) == 0x80)
		value->len--;
	buf_append_str(value, "...");
}

static void print_table_row(const struct ask *ask, const char *feature, yyjson_val *val, int width)
{
	char time[CLOCK_TEXT_MAX] = "", lane[64] = "";
	struct buf value = { 0 };

	add_json(val, &value);
	cut_value(&value);
	read_attr(ask, feature, "user.event_time", time, sizeof time);
	read_attr(ask, feature, "user.lane", lane, sizeof lane);
	printf("%-*s  %-30s  %-8s  %.*s\n", width, feature, time, lane, (int)value.len, value.data);
	buf_release(&value);
}

static int print_table(const struct ask *ask, yyjson_val *features)
{
	yyjson_obj_iter it = yyjson_obj_iter_with(features);
	yyjson_val *key;
	int width = 7, rc = CTL_OK;

	while ((key = yyjson_obj_iter_next(&it)))
		if ((int)yyjson_get_len(key) > width)
			width = (int)yyjson_get_len(key);
	printf("%-*s  %-30s  %-8s  %s\n", width, "FEATURE", "EVENT TIME", "LANE", "VALUE");
	it = yyjson_obj_iter_with(features);
	while (ask->n == 0 && (key = yyjson_obj_iter_next(&it)))
		print_table_row(ask, yyjson_get_str(key), yyjson_obj_iter_get_val(key), width);
	for (int i = 0; i < ask->n; i++) {
		yyjson_val *val = yyjson_obj_get(features, ask->names[i]);

		if (val)
			print_table_row(ask, ask->names[i], val, width);
		else
			rc = fail_missing(ask, ask->names[i]);
	}
	return rc;
}

/* ---- as JSON ---- */

/* The newest event time among the features that were asked for. */
static void print_newest_time(const struct ask *ask, yyjson_val *features, struct buf *out)
{
	char text[CLOCK_TEXT_MAX];
	int64_t newest_ns = INT64_MIN, ns;

	for (int i = 0; i < ask->n; i++)
		if (yyjson_obj_get(features, ask->names[i]) &&
		    read_attr(ask, ask->names[i], "user.event_time", text, sizeof text) &&
		    clock_parse_time(slice_str(text), &ns) == 0 && ns > newest_ns)
			newest_ns = ns;
	if (newest_ns == INT64_MIN)
		return;
	clock_print_time(newest_ns, true, text);
	buf_printf(out, ", \"event_time\": \"%s\"", text);
}

static int print_json(const struct ask *ask, yyjson_doc *doc)
{
	yyjson_val *features = row_features(doc);
	struct buf out = { 0 };
	const char *comma = "";
	int rc = CTL_OK;

	buf_append_str(&out, "{\"entity\": ");
	ctl_json_string(slice_str(ask->entity), &out);
	print_newest_time(ask, features, &out);
	buf_append_str(&out, ", \"features\": {");
	for (int i = 0; i < ask->n; i++) {
		yyjson_val *val = yyjson_obj_get(features, ask->names[i]);

		if (!val) {
			rc = fail_missing(ask, ask->names[i]);
			continue;
		}
		buf_printf(&out, "%s\"%s\": ", comma, ask->names[i]);
		add_json(val, &out);
		comma = ", ";
	}
	buf_append_str(&out, "}}\n");
	if (buf_error(&out) < 0)
		rc = ctl_fail_errno(ask->ctl, "printing", -ENOMEM);
	else
		fwrite(out.data, 1, out.len, stdout);
	buf_release(&out);
	return rc;
}

static int get_row(const struct ask *ask)
{
	struct buf text = { 0 };
	yyjson_doc *doc = NULL;
	int rc = read_row(ask, &text, &doc);

	if (rc == CTL_OK && ask->json && ask->n == 0)
		fwrite(text.data, 1, text.len, stdout);
	else if (rc == CTL_OK)
		rc = ask->json ? print_json(ask, doc) : print_table(ask, row_features(doc));
	yyjson_doc_free(doc);
	buf_release(&text);
	return rc;
}

static int get(struct ask *ask)
{
	int rc = ctl_group_read(ask->ctl, &ask->mount, ask->group, &ask->grp);

	if (rc == CTL_OK)
		rc = ctl_group_check_entity(ask->ctl, ask->grp, ask->entity);
	for (int i = 0; rc == CTL_OK && i < ask->n; i++)
		if (!ctl_group_feature(ask->ctl, ask->grp, slice_str(ask->names[i])))
			rc = CTL_NONE;
	if (rc == CTL_OK)
		rc = ask->n == 1 && !ask->json ? get_one(ask) : get_row(ask);
	catalog_group_unref(ask->grp);
	return rc;
}

int ctl_get(struct ctl *ctl, int argc, char **argv)
{
	static const struct option longs[] = { { "json", no_argument, NULL, 'j' }, CTL_LONG_OPTIONS };
	struct ask ask = { .ctl = ctl };
	int opt, rc;

	while ((opt = ctl_option(ctl, argc, argv, "j", longs)) >= 0) {
		if (opt == 0)
			return ctl->exit;
		ask.json = true;
	}
	if (argc - optind < 2)
		return ctl_fail(ctl, CTL_USAGE, "which group and entity? See featurectl get --help");
	ask.group = argv[optind];
	ask.entity = argv[optind + 1];
	ask.names = argv + optind + 2;
	ask.n = argc - optind - 2;
	rc = ctl_find_mount(ctl, &ask.mount);
	if (rc)
		return rc;
	rc = get(&ask);
	ctl_mount_release(&ask.mount);
	return rc;
}
