/* SPDX-License-Identifier: MIT */
/*
 * Writing: rows of JSON, gathered and handed to the mount's .upsert in one write and one close, which is one atomic change. So the rules, the
 * permissions and the bounds are those of every other writer, and nothing is judged twice. Numbers are printed shortest and exact. When
 * the change is refused, the reason is the line that the store has left in the group's .errors.
 */
#include "sdk/private.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yyjson.h>
#include "base/clock.h"
#include "base/num.h"
#include "base/text.h"

enum { UPSERT_MAX = 16 << 20, ERRORS_MAX = 16 << 20 };

struct featurefs_changes {
	struct featurefs *fs;
	char *group;
	struct buf lines;		/* rows that are complete */
	struct buf row, values, deletes;	/* of the entity that is being gathered: head, inside of "features", inside of "delete" */
	bool has_row, deletes_all;
};

/* ---- JSON ---- */

static int print_string(struct slice text, struct buf *out, struct why *why)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *val = yyjson_mut_strn(doc, text.data ? text.data : "", text.len);
	yyjson_write_err err = { 0 };
	size_t len = 0;
	char *json = NULL;

	if (doc && val) {
		yyjson_mut_doc_set_root(doc, val);
		json = yyjson_mut_write_opts(doc, YYJSON_WRITE_NOFLAG, NULL, &len, &err);
	}
	yyjson_mut_doc_free(doc);
	if (!json && err.code == YYJSON_WRITE_ERROR_INVALID_STRING)
		return why_fail(why, EILSEQ, "a text is not UTF-8");
	if (!json)
		return -ENOMEM;
	buf_append(out, json, len);
	free(json);
	return buf_error(out);
}

static void print_float(double number, bool is_narrow, struct buf *out)
{
	char text[NUM_MAX];

	if (isnan(number))
		buf_append_str(out, "\"NaN\"");
	else if (isinf(number))
		buf_append_str(out, number > 0 ? "\"Infinity\"" : "\"-Infinity\"");
	else if (is_narrow)
		buf_append(out, text, num_print_f32((float)number, text));
	else
		buf_append(out, text, num_print_f64(number, text));
}

static int print_json(struct slice json, struct buf *out, struct why *why)
{
	yyjson_doc *doc = yyjson_read(json.data, json.len, YYJSON_READ_NUMBER_AS_RAW);
	char *text;
	size_t len;

	if (!doc)
		return why_fail(why, EINVAL, "a json value is not valid JSON");
	text = yyjson_write(doc, YYJSON_WRITE_NOFLAG, &len);	/* on one line, as a row must be */
	yyjson_doc_free(doc);
	if (!text)
		return -ENOMEM;
	buf_append(out, text, len);
	free(text);
	return buf_error(out);
}

/* Element i behind `data`, or (of texts) the bytes of `text`. */
static int print_element(enum featurefs_type type, const void *data, size_t i, struct slice text, struct buf *out, struct why *why)
{
	char number[NUM_MAX];
	int64_t us;

	switch (type) {
	case FEATUREFS_BOOL:
		buf_append_str(out, ((const bool *)data)[i] ? "true" : "false");
		return 0;
	case FEATUREFS_INT32:
		buf_append(out, number, num_print_i64(((const int32_t *)data)[i], number));
		return 0;
	case FEATUREFS_INT64:
		buf_append(out, number, num_print_i64(((const int64_t *)data)[i], number));
		return 0;
	case FEATUREFS_FLOAT32:
		print_float((double)((const float *)data)[i], true, out);
		return 0;
	case FEATUREFS_FLOAT64:
		print_float(((const double *)data)[i], false, out);
		return 0;
	case FEATUREFS_TIMESTAMP:
		us = ((const int64_t *)data)[i];
		buf_append_char(out, '"');
		text = slice_of(&us, sizeof us);
		if (type_text_print(&(struct type){ .base = TYPE_TIMESTAMP }, text, out) < 0)
			return why_fail(why, ERANGE, "%lld microseconds since 1970 is no time", (long long)us);
		out->len -= out->len && out->data[out->len - 1] == '\n';
		buf_append_char(out, '"');
		return 0;
	case FEATUREFS_STRING:
		return print_string(text, out, why);
	case FEATUREFS_BYTES:
		buf_append_char(out, '"');
		text_base64_encode(text, out);
		buf_append_char(out, '"');
		return 0;
	case FEATUREFS_JSON:
		return print_json(text, out, why);
	}
	return why_fail(why, EINVAL, "%d is no type", (int)type);
}

static bool is_text(enum featurefs_type type)
{
	return type == FEATUREFS_STRING || type == FEATUREFS_BYTES || type == FEATUREFS_JSON;
}

/* ---- gathering ---- */

int featurefs_changes_new(struct featurefs *fs, const char *group, struct featurefs_changes **out)
{
	struct featurefs_changes *chg = NULL;
	struct buf mount = { 0 };
	struct why why = { "" };
	int rc = sdk_mount_dir(fs, &mount, &why);

	buf_release(&mount);
	if (rc == 0 && text_check_group_name(slice_str(group), NULL) < 0)
		rc = why_fail(&why, ENOENT, "there is no group %s", group);
	if (rc == 0) {
		chg = calloc(1, sizeof *chg);
		rc = chg ? 0 : -ENOMEM;
	}
	if (rc < 0)
		return sdk_return(rc, &why);
	chg->fs = fs;
	chg->group = strdup(group);
	if (!chg->group) {
		free(chg);
		return sdk_return(-ENOMEM, NULL);
	}
	*out = chg;
	return 0;
}

void featurefs_changes_clear(struct featurefs_changes *chg)
{
	buf_reset(&chg->lines);
	buf_reset(&chg->row);
	buf_reset(&chg->values);
	buf_reset(&chg->deletes);
	chg->has_row = chg->deletes_all = false;
}

void featurefs_changes_free(struct featurefs_changes *chg)
{
	if (!chg)
		return;
	buf_release(&chg->lines);
	buf_release(&chg->row);
	buf_release(&chg->values);
	buf_release(&chg->deletes);
	free(chg->group);
	free(chg);
}

static int check_size(const struct featurefs_changes *chg, struct why *why)
{
	if (buf_error(&chg->lines) < 0 || buf_error(&chg->row) < 0 || buf_error(&chg->values) < 0 || buf_error(&chg->deletes) < 0)
		return -ENOMEM;
	if (chg->lines.len + chg->row.len + chg->values.len + chg->deletes.len + 64 <= UPSERT_MAX)
		return 0;
	return why_fail(why, EFBIG, "one change has 16 MiB at the most: commit smaller ones, or import a file of rows (%s/.import)", chg->group);
}

/* The entity that is being gathered becomes a line. */
static int close_row(struct featurefs_changes *chg, struct why *why)
{
	size_t begin = chg->lines.len;
	int rc = check_size(chg, why);

	if (rc < 0 || !chg->has_row)
		return rc;
	buf_append_slice(&chg->lines, buf_slice(&chg->row));
	if (chg->deletes_all)
		buf_append_str(&chg->lines, ", \"delete\": true");
	if (chg->values.len || !(chg->deletes_all || chg->deletes.len)) {
		buf_append_str(&chg->lines, ", \"features\": {");
		buf_append_slice(&chg->lines, buf_slice(&chg->values));
		buf_append_char(&chg->lines, '}');
	}
	if (chg->deletes.len && !chg->deletes_all) {
		buf_append_str(&chg->lines, ", \"delete\": [");
		buf_append_slice(&chg->lines, buf_slice(&chg->deletes));
		buf_append_char(&chg->lines, ']');
	}
	buf_append_str(&chg->lines, "}\n");
	if (buf_error(&chg->lines) < 0) {
		chg->lines.len = begin;
		return -ENOMEM;
	}
	buf_reset(&chg->row);
	buf_reset(&chg->values);
	buf_reset(&chg->deletes);
	chg->has_row = chg->deletes_all = false;
	return 0;
}

int featurefs_changes_entity(struct featurefs_changes *chg, const char *entity, int64_t event_ns, unsigned flags)
{
	char written[TEXT_ENTITY_MAX + 1], time[CLOCK_TEXT_MAX];
	struct why why = { "" };
	int rc = close_row(chg, &why);

	if (rc == 0 && (flags & FEATUREFS_RAW)) {
		rc = featurefs_escape(entity, strlen(entity), written);
		if (rc < 0)
			return rc;
		entity = written;
		rc = 0;
	}
	if (rc == 0) {
		buf_append_str(&chg->row, "{\"entity\": ");
		rc = print_string(slice_str(entity), &chg->row, &why);
	}
	if (rc == 0 && event_ns != FEATUREFS_NOW) {
		clock_print_time(event_ns, true, time);
		buf_printf(&chg->row, ", \"event_time\": \"%s\"", time);
	}
	if (rc == 0 && (flags & FEATUREFS_FORCE))
		buf_append_str(&chg->row, ", \"force\": true");
	if (rc < 0)
		buf_reset(&chg->row);
	else
		chg->has_row = true;
	return sdk_return(rc, &why);
}

/* Begins `"feature": ` in the open row. */
static int begin_value(struct featurefs_changes *chg, const char *feature, struct why *why)
{
	int rc;

	if (!chg->has_row)
		return why_fail(why, EINVAL, "%s: name the entity first", feature);
	if (chg->values.len)
		buf_append_str(&chg->values, ", ");
	rc = print_string(slice_str(feature), &chg->values, why);
	buf_append_str(&chg->values, ": ");
	return rc;
}

/* Ends a value: a refused one leaves no trace. */
static int end_value(struct featurefs_changes *chg, const char *feature, size_t begin, int rc, struct why *why)
{
	if (rc == 0)
		rc = check_size(chg, why);
	if (rc < 0)
		chg->values.len = begin;
	if (rc < 0 && why->text[0])
		why_prefix(why, "%s", feature);
	return sdk_return(rc, why);
}

int featurefs_changes_set(struct featurefs_changes *chg, const char *feature, enum featurefs_type type, const void *data, size_t n)
{
	size_t begin = chg->values.len;
	struct why why = { "" };
	int rc = begin_value(chg, feature, &why);

	if (rc == 0)
		rc = print_element(type, data, 0, is_text(type) ? slice_of(data, n) : slice_of(NULL, 0), &chg->values, &why);
	return end_value(chg, feature, begin, rc, &why);
}

int featurefs_changes_set_array(struct featurefs_changes *chg, const char *feature, enum featurefs_type type, const void *data,
				size_t n)
{
	const struct featurefs_bytes *texts = data;
	size_t begin = chg->values.len;
	struct why why = { "" };
	int rc = begin_value(chg, feature, &why);

	buf_append_char(&chg->values, '[');
	for (size_t i = 0; i < n && rc == 0; i++) {
		struct slice text = is_text(type) ? slice_of(texts[i].data, texts[i].len) : slice_of(NULL, 0);

		if (i)
			buf_append_char(&chg->values, ',');
		rc = print_element(type, data, i, text, &chg->values, &why);
	}
	buf_append_char(&chg->values, ']');
	return end_value(chg, feature, begin, rc, &why);
}

int featurefs_changes_null(struct featurefs_changes *chg, const char *feature)
{
	size_t begin = chg->values.len;
	struct why why = { "" };
	int rc = begin_value(chg, feature, &why);

	buf_append_str(&chg->values, "null");
	return end_value(chg, feature, begin, rc, &why);
}

int featurefs_changes_delete(struct featurefs_changes *chg, const char *feature)
{
	size_t begin = chg->deletes.len;
	struct why why = { "" };
	int rc;

	if (!chg->has_row)
		return sdk_return(why_fail(&why, EINVAL, "%s: name the entity first", feature), &why);
	if (chg->deletes.len)
		buf_append_str(&chg->deletes, ", ");
	rc = print_string(slice_str(feature), &chg->deletes, &why);
	if (rc == 0)
		rc = check_size(chg, &why);
	if (rc < 0)
		chg->deletes.len = begin;
	return sdk_return(rc, &why);
}

int featurefs_changes_delete_entity(struct featurefs_changes *chg)
{
	struct why why = { "" };

	if (!chg->has_row)
		return sdk_return(why_fail(&why, EINVAL, "name the entity first"), &why);
	chg->deletes_all = true;
	return 0;
}

int featurefs_changes_json(struct featurefs_changes *chg, const char *json, size_t len)
{
	struct why why = { "" };
	int rc = close_row(chg, &why);
	size_t begin = chg->lines.len;

	if (rc == 0)
		rc = print_json(slice_of(json, len), &chg->lines, &why);
	buf_append_char(&chg->lines, '\n');
	if (rc == 0)
		rc = check_size(chg, &why);
	if (rc < 0)
		chg->lines.len = begin;
	return sdk_return(rc, &why);
}

/* ---- committing ---- */

/* The newest refusal since `since_ns` that was this user's: lines are "TIME direct uid N REASON ...", the newest one last. */
static void find_reason(struct slice errors, int64_t since_ns, struct why *why)
{
	const char *at = errors.data, *end = at + errors.len;
	char who[48];
	size_t len = (size_t)snprintf(who, sizeof who, " direct uid %u ", (unsigned)geteuid());

	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at)), *stop = newline ? newline : end;
		const char *rest = memmem(at, (size_t)(stop - at), who, len);
		int64_t then_ns;

		/* Times of lines are whole seconds. */
		if (rest && clock_parse_time(slice_of(at, (size_t)(rest - at)), &then_ns) == 0 &&
		    then_ns >= since_ns - since_ns % CLOCK_SECOND)
			why_fail(why, EINVAL, "%.*s", (int)(stop - rest - (ptrdiff_t)len), rest + len);
		at = stop + 1;
	}
}

static void explain(struct featurefs_changes *chg, int rc, int64_t since_ns, struct why *why)
{
	struct buf errors = { 0 };
	struct why other = { "" };

	if (rc == -EINVAL || rc == -ERANGE || rc == -EILSEQ || rc == -EPERM || rc == -ESTALE || rc == -EFBIG || rc == -ENOSPC || rc == -EIO)
		if (remote_file(chg->fs, chg->group, ".errors", &errors, &other) == 0)
			find_reason(buf_slice(&errors), since_ns, why);
	if (!why->text[0])
		why_fail(why, -rc, "%s: %s", chg->group, strerror(-rc));
	buf_release(&errors);
}

static int send(struct featurefs_changes *chg, struct why *why)
{
	struct buf path = { 0 };
	int fd = -1, rc = sdk_mount_dir(chg->fs, &path, why);

	buf_printf(&path, "/%s/.upsert", chg->group);
	buf_append_char(&path, '\0');
	if (rc == 0)
		rc = buf_error(&path);
	if (rc == 0) {
		fd = open(path.data, O_WRONLY | O_TRUNC | O_CLOEXEC);
		rc = fd < 0 ? -errno : 0;
	}
	if (rc == -ENOENT)
		why_fail(why, ENOENT, "there is no group %s", chg->group);
	if (rc == 0)
		rc = file_write_fd(fd, buf_slice(&chg->lines));
	/* Of a close that was interrupted, or whose daemon died meanwhile, it is not known whether it has committed. */
	if (fd >= 0 && close(fd) < 0 && rc == 0)
		rc = errno != EINTR && errno != ECONNABORTED ? -errno :
		     why_fail(why, EIO, "%s: the mount has not answered: whether the change is made is not known", chg->group);
	buf_release(&path);
	return rc;
}

int featurefs_changes_commit(struct featurefs_changes *chg, uint64_t *out_version)
{
	int64_t since_ns = clock_now();
	struct why why = { "" };
	int rc = close_row(chg, &why);

	if (rc == 0 && chg->lines.len)
		rc = send(chg, &why);
	if (rc < 0) {
		if (!why.text[0])
			explain(chg, rc, since_ns, &why);
		return sdk_return(rc, &why);
	}
	featurefs_changes_clear(chg);
	if (out_version && featurefs_version(chg->fs, out_version) < 0)
		rc = why_fail(&why, EIO, "the change is made, but not the number of its commit known: %s", featurefs_error());
	return sdk_return(rc, &why);
}
