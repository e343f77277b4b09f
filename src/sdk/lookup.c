/* SPDX-License-Identifier: MIT */
/*
 * Many values through the mount, from one snapshot: a conversation on the .lookup of a group, in which names of entities of all groups of the view
 * are written and their rows read back. What is beyond the bounds of one is asked for in pieces, between which nobody may have written.
 *
 * Where a mount has no .lookup that this user can write names into, each row is a file, and each event time an attribute of one: slow, of one
 * moment only while nobody writes, and a value that expired can't be told there from one that was never written.
 */
#include "sdk/private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yyjson.h>
#include "base/clock.h"
#include "base/text.h"

enum { ANSWER_MAX = 65 << 20, ASKED_MAX = 4 << 20 };		/* the mount's own bounds, and a little more of what comes back */

/* ---- a conversation ---- */

void sdk_lookup_release(struct sdk_lookup *look)
{
	buf_release(&look->asked);
	buf_release(&look->answer);
}

void sdk_lookup_begin(struct sdk_lookup *look, bool wants_details)
{
	buf_reset(&look->asked);
	buf_reset(&look->answer);
	look->at = 0;
	if (wants_details)
		buf_append_str(&look->asked, ".details\n");
}

void sdk_lookup_group(struct sdk_lookup *look, const char *group)
{
	buf_printf(&look->asked, ".group %s\n", group);
}

bool sdk_lookup_name(struct sdk_lookup *look, struct slice entity, unsigned n_keys)
{
	if (text_check_entity(entity, n_keys, NULL) < 0)
		return false;
	buf_append_slice(&look->asked, entity);
	buf_append_char(&look->asked, '\n');
	return true;
}

int sdk_lookup_ask(struct sdk_lookup *look, int group)
{
	int fd, rc = buf_error(&look->asked);

	if (rc < 0)
		return rc;
	if (look->asked.len > ASKED_MAX)
		return -EFBIG;
	fd = openat(group, ".lookup", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT || errno == EACCES || errno == EROFS || errno == EPERM ? SDK_NO_LOOKUP : -errno;
	rc = file_write_fd(fd, buf_slice(&look->asked));
	if (rc == 0)
		rc = file_read_fd(fd, ANSWER_MAX, &look->answer);
	close(fd);
	return rc;
}

int sdk_lookup_next(struct sdk_lookup *look, struct slice entity, struct yyjson_doc **out)
{
	const char *begin = look->answer.len ? look->answer.data + look->at : NULL;
	const char *end = begin ? memchr(begin, '\n', look->answer.len - look->at) : NULL;
	yyjson_val *name;
	yyjson_doc *doc;

	if (!end)
		return -EBADMSG;
	doc = yyjson_read(begin, (size_t)(end - begin), YYJSON_READ_NUMBER_AS_RAW);
	name = yyjson_obj_get(yyjson_doc_get_root(doc), "entity");
	if (!yyjson_equals_strn(name, entity.data, entity.len)) {
		yyjson_doc_free(doc);
		return -EBADMSG;
	}
	look->at += (size_t)(end - begin) + 1;
	*out = doc;
	return 0;
}

/* ---- cells ---- */

yyjson_val *sdk_row_value(yyjson_doc *row, const char *feature)
{
	return yyjson_obj_get(yyjson_obj_get(yyjson_doc_get_root(row), "features"), feature);
}

yyjson_val *sdk_row_detail(yyjson_doc *row, const char *feature, const char *name)
{
	return yyjson_obj_get(yyjson_obj_get(yyjson_obj_get(yyjson_doc_get_root(row), "details"), feature), name);
}

int64_t sdk_row_time(yyjson_doc *row, const char *feature, const char *name)
{
	yyjson_val *val = sdk_row_detail(row, feature, name);
	int64_t ns;

	return val && clock_parse_time(slice_of(yyjson_get_str(val), yyjson_get_len(val)), &ns) == 0 ? ns : 0;
}

/* Where an event time is to be had where rows have no details. */
struct row_files {
	int dir;
	struct slice entity;
};

static int64_t file_time(const struct row_files *files, const char *feature)
{
	char path[TEXT_ENTITY_MAX + TEXT_NAME_MAX + 32];
	struct stat st;

	snprintf(path, sizeof path, "%.*s/%s", (int)files->entity.len, (const char *)files->entity.data, feature);
	if (fstatat(files->dir, path, &st, 0) < 0)
		return 0;
	return clock_from_timespec(&st.st_mtim);
}

static int put_cell(yyjson_doc *row, const struct row_files *files, const struct view_column *column, struct column_sink *sink, size_t i,
		    struct buf *bytes, struct why *why)
{
	struct record_picked value = { .state = FEATUREFS_MISSING, .type = type_code(&column->type) };
	yyjson_val *val = sdk_row_value(row, column->feature);
	int rc;

	if (val && sink->out->event_ns)
		value.event_ns = files ? file_time(files, column->feature) : sdk_row_time(row, column->feature, "event_time");
	if (val && yyjson_is_null(val)) {
		value.state = FEATUREFS_NULL;
	} else if (val) {
		buf_reset(bytes);
		rc = type_json_parse(&column->type, true, val, bytes, why);
		if (rc < 0)
			return rc;
		value.state = FEATUREFS_PRESENT;
		value.value = buf_slice(bytes);
	} else if (sdk_row_detail(row, column->feature, "expired")) {
		value.state = FEATUREFS_EXPIRED;
		value.event_ns = sdk_row_time(row, column->feature, "event_time");
	}
	return column_put(sink, i, &value);
}

/* ---- many ---- */

/* One call that reads. */
struct many {
	struct featurefs_view *view;
	const struct featurefs_keys *keys;
	size_t n_keys, n;
	struct column_sink *sinks;
	int *dirs;			/* of the parts' groups */
	bool has_ttl;			/* one of the groups has */
	struct sdk_lookup look;
	struct buf text, bytes;
};

static struct slice entity_of(const struct many *many, const struct view_part *part, size_t i, char room[KEYS_ROOM])
{
	return keys_entity(part, many->view->n_keys, many->keys, many->n_keys, i, room);
}

static int put_row(struct many *many, const struct view_part *part, size_t i, yyjson_doc *row, const struct row_files *files, struct why *why)
{
	const struct featurefs_view *view = many->view;
	int rc = 0;

	for (unsigned c = 0; c < part->n_columns && rc == 0; c++)
		rc = put_cell(row, files, &view->columns[part->columns[c]], &many->sinks[part->columns[c]], i, &many->bytes, why);
	return rc;
}

static bool wants_details(const struct many *many)
{
	for (unsigned c = 0; c < many->view->n_columns; c++)
		if (many->sinks[c].out->event_ns || (many->has_ttl && many->sinks[c].out->status))
			return true;
	return false;
}

static int ask_piece(struct many *many, size_t begin, size_t end)
{
	const struct featurefs_view *view = many->view;
	char room[KEYS_ROOM];

	sdk_lookup_begin(&many->look, wants_details(many));
	for (unsigned p = 0; p < view->n_parts; p++) {
		if (p)
			sdk_lookup_group(&many->look, view->parts[p].group);
		for (size_t i = begin; i < end; i++)
			sdk_lookup_name(&many->look, entity_of(many, &view->parts[p], i, room), view->parts[p].n_keys);
	}
	return sdk_lookup_ask(&many->look, many->dirs[0]);
}

static int take_piece(struct many *many, size_t begin, size_t end, struct why *why)
{
	const struct featurefs_view *view = many->view;
	struct buf *asked = &many->look.asked;	/* done with: sdk_lookup_name says which names were asked for */
	char room[KEYS_ROOM];
	int rc = 0;

	for (unsigned p = 0; p < view->n_parts && rc == 0; p++) {
		for (size_t i = begin; i < end && rc == 0; i++) {
			struct slice entity = entity_of(many, &view->parts[p], i, room);
			yyjson_doc *row = NULL;

			buf_reset(asked);
			if (sdk_lookup_name(&many->look, entity, view->parts[p].n_keys))
				rc = sdk_lookup_next(&many->look, entity, &row);
			if (rc == 0)
				rc = put_row(many, &view->parts[p], i, row, NULL, why);
			yyjson_doc_free(row);
		}
	}
	return rc;
}

/* `piece` entities a conversation. */
static int read_pieces(struct many *many, size_t piece, struct why *why)
{
	int rc = 0;

	for (size_t begin = 0; begin < many->n && rc == 0; begin += piece) {
		size_t end = many->n - begin < piece ? many->n : begin + piece;

		rc = ask_piece(many, begin, end);
		if (rc == 0)
			rc = take_piece(many, begin, end, why);
	}
	return rc;
}

static int read_by_files(struct many *many, struct why *why)
{
	const struct featurefs_view *view = many->view;
	char room[KEYS_ROOM];
	int rc = 0;

	for (unsigned p = 0; p < view->n_parts && rc == 0; p++) {
		for (size_t i = 0; i < many->n && rc == 0; i++) {
			struct row_files files = { many->dirs[p], entity_of(many, &view->parts[p], i, room) };
			yyjson_doc *row;

			rc = remote_read_row(files.dir, files.entity, &many->text, &row);
			if (rc == 0)
				rc = put_row(many, &view->parts[p], i, row, &files, why);
			yyjson_doc_free(row);
		}
	}
	return rc;
}

static int read_many(struct many *many, struct why *why)
{
	struct remote_moment moment = { .fs = many->view->fs, .is_one_file = true };
	size_t piece = many->n ? many->n : 1;
	bool by_files = false;
	int rc;

	do {
		for (unsigned c = 0; c < many->view->n_columns; c++)
			column_restart(&many->sinks[c], many->n);
		rc = remote_moment_begin(&moment, why);
		if (rc == 0)
			rc = by_files ? read_by_files(many, why) : read_pieces(many, piece, why);
		if (rc == SDK_NO_LOOKUP) {
			by_files = true;
			moment.is_one_file = many->n <= 1 && many->view->n_parts == 1 && !wants_details(many);
			rc = 1;
		} else if (rc == -EFBIG && piece > 1) {
			piece = (piece + 1) / 2;
			moment.is_one_file = false;
			rc = 1;
		} else if (rc == 0) {
			rc = remote_moment_end(&moment, why);
		}
	} while (rc == 1);
	return rc;
}

static int open_part(struct many *many, unsigned p, struct why *why)
{
	const struct view_part *part = &many->view->parts[p];
	struct catalog_group *grp;
	int rc = remote_open_group(many->view->fs, part->group, &many->dirs[p], why);

	if (rc == 0)
		rc = remote_parse_schema(many->dirs[p], part->group, &grp, why);
	if (rc == 0) {
		rc = view_check_part(many->view, part, grp, why);
		many->has_ttl |= grp->ttl_ns != 0;
		catalog_group_unref(grp);
	}
	return rc;
}

int remote_read(struct featurefs_view *view, const struct featurefs_keys *keys, size_t n_keys, size_t n, struct column_sink *sinks,
		struct why *why)
{
	struct many many = { .view = view, .keys = keys, .n_keys = n_keys, .n = n, .sinks = sinks };
	int rc;

	many.dirs = malloc(view->n_parts * sizeof *many.dirs);
	if (!many.dirs)
		return -ENOMEM;
	memset(many.dirs, -1, view->n_parts * sizeof *many.dirs);
	rc = 0;
	for (unsigned p = 0; p < view->n_parts && rc == 0; p++)
		rc = open_part(&many, p, why);
	if (rc == 0)
		rc = read_many(&many, why);
	if (rc < 0 && !why->text[0])
		why_fail(why, -rc, "reading %zu entities through the mount: %s", n, strerror(-rc));
	for (unsigned p = 0; p < view->n_parts; p++)
		if (many.dirs[p] >= 0)
			close(many.dirs[p]);
	free(many.dirs);
	sdk_lookup_release(&many.look);
	buf_release(&many.text);
	buf_release(&many.bytes);
	return rc;
}
