/* SPDX-License-Identifier: MIT */
/*
 * Writing and deleting, each as one row of JSON through .upsert, so that all of it takes effect at once or not at all.
 * Texts are turned into typed JSON by the group's own definition; what breaks a rule (min, enum, ...) is told by the
 * store, whose reason is shown. Rows from stdin go in pieces as large as one change may be, each piece one change:
 * bounded memory, and a count of what is stored if one is refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "ctl.h"
#include "base/clock.h"

enum {
	PIECE_MAX = 16 << 20,		/* bytes of one change by .upsert */
	VALUE_MAX = 2 << 20,		/* bytes of a value's file: above the bound of the store, which has a reason */
	NULLS_MAX = 4096,
};

struct put {
	const struct ctl *ctl;
	struct ctl_mount mount;
	struct catalog_group *grp;
	const char *group, *entity;
	bool force, has_time;
	int64_t event_ns;
	const char *nulls[NULLS_MAX];
	unsigned n_nulls;
};

static int fail_refused(const struct put *put, const char *what, int64_t since_ns, int rc)
{
	struct buf reason = { 0 };
	char path[PATH_MAX];

	ctl_group_reason(&put->mount, put->group, since_ns, &reason);
	if (reason.len)
		ctl_error(put->ctl, "%s was refused: %.*s", what, (int)reason.len, reason.data);
	else
		ctl_fail_errno(put->ctl, ctl_path(path, "%s/%s", put->mount.dir, put->group) < 0 ? what : path, rc);
	buf_release(&reason);
	return CTL_FAILURE;
}

static int send_rows(const struct put *put, struct slice rows)
{
	char path[PATH_MAX];
	int rc = ctl_path(path, "%s/%s/.upsert", put->mount.dir, put->group);

	return rc < 0 ? rc : file_write_path(path, rows);
}

/* ---- one row ---- */

static void begin_row(const struct put *put, struct buf *row)
{
	char time[CLOCK_TEXT_MAX];

	buf_append_str(row, "{\"entity\": ");
	ctl_json_string(slice_str(put->entity), row);
	if (put->has_time) {
		clock_print_time(put->event_ns, true, time);
		buf_printf(row, ", \"event_time\": \"%s\"", time);
	}
	if (put->force)
		buf_append_str(row, ", \"force\": true");
}

static int send_row(const struct put *put, struct buf *row)
{
	int64_t since_ns = clock_now();
	int rc = buf_error(row);

	if (rc == 0)
		rc = send_rows(put, buf_slice(row));
	return rc < 0 ? fail_refused(put, "the change", since_ns, rc) : CTL_OK;
}

/* A value as it was given: a text, "@FILE", or "@@..." for a text that begins with '@'. */
static int read_value(const struct put *put, struct slice given, struct buf *out)
{
	const char *text = given.data;
	int rc;

	if (given.len == 0 || text[0] != '@') {
		buf_append_slice(out, given);
		return CTL_OK;
	}
	if (text[1] == '@') {
		buf_append_str(out, text + 1);
		return CTL_OK;
	}
	if (strcmp(text, "@-") == 0)
		rc = file_read_fd(STDIN_FILENO, VALUE_MAX, out);
	else
		rc = file_read_path(text + 1, VALUE_MAX, out);
	return rc < 0 ? ctl_fail_errno(put->ctl, text + 1, rc) : CTL_OK;
}

static int add_value(const struct put *put, const char *arg, struct buf *row, struct buf *names)
{
	const struct catalog_feature *feature;
	struct slice name, given;
	struct buf text = { 0 };
	struct why why = { "" };
	int rc;

	if (!ctl_split_assignment(arg, &name, &given))
		return ctl_fail(put->ctl, CTL_USAGE, "%s: FEATURE=VALUE is wanted; see featurectl put --help", arg);
	feature = ctl_group_feature(put->ctl, put->grp, name);
	if (!feature)
		return CTL_NONE;
	for (size_t i = 0; i < names->len / sizeof feature; i++)
		if (((const struct catalog_feature **)names->data)[i] == feature)
			return ctl_fail(put->ctl, CTL_USAGE, "%s is given twice", feature->name);
	buf_printf(row, "%s\"%s\": ", names->len ? ", " : "", feature->name);
	buf_append(names, &feature, sizeof feature);
	rc = read_value(put, given, &text);
	if (rc == CTL_OK && ctl_json_value(feature, buf_slice(&text), row, &why) < 0)
		rc = ctl_fail(put->ctl, CTL_FAILURE, "%s", why.text[0] ? why.text : "out of memory");
	buf_release(&text);
	return rc;
}

static int put_values(const struct put *put, char **args, int n)
{
	struct buf row = { 0 }, names = { 0 };
	int rc = CTL_OK;

	begin_row(put, &row);
	buf_append_str(&row, ", \"features\": {");
	for (int i = 0; rc == CTL_OK && i < n; i++)
		rc = add_value(put, args[i], &row, &names);
	for (unsigned i = 0; rc == CTL_OK && i < put->n_nulls; i++) {
		char assignment[512];

		if (snprintf(assignment, sizeof assignment, "%s=", put->nulls[i]) >= (int)sizeof assignment)
			rc = ctl_fail(put->ctl, CTL_NONE, "there is no feature with such a long name");
		else
			rc = add_value(put, assignment, &row, &names);
	}
	buf_append_str(&row, "}}\n");
	if (rc == CTL_OK)
		rc = send_row(put, &row);
	buf_release(&names);
	buf_release(&row);
	return rc;
}

/* ---- rows from stdin ---- */

struct feed {
	const struct put *put;
	struct buf piece;
	uint64_t first_line, line;	/* of the piece; read so far */
	uint64_t rows, stored_rows, changes;
};

static int send_piece(struct feed *feed)
{
	int64_t since_ns = clock_now();
	char what[80];
	int rc;

	if (feed->rows == feed->stored_rows)
		return CTL_OK;
	rc = buf_error(&feed->piece);
	if (rc == 0)
		rc = send_rows(feed->put, buf_slice(&feed->piece));
	if (rc < 0) {
		snprintf(what, sizeof what, "lines %llu to %llu (counted from 1 in what follows)",
			 (unsigned long long)feed->first_line, (unsigned long long)feed->line);
		fail_refused(feed->put, feed->first_line == 1 ? "the change" : what, since_ns, rc);
		if (feed->changes)
			ctl_error(feed->put->ctl, "the %llu rows before them are stored",
				  (unsigned long long)feed->stored_rows);
		return CTL_FAILURE;
	}
	feed->changes++;
	feed->stored_rows = feed->rows;
	buf_reset(&feed->piece);
	return CTL_OK;
}

static bool is_blank(struct slice line)
{
	const char *at = line.data;

	for (size_t i = 0; i < line.len; i++)
		if (at[i] != ' ' && at[i] != '\t' && at[i] != '\r')
			return false;
	return true;
}

static void add_line(struct feed *feed, struct slice line)
{
	static const char force[] = "\"force\": true, ";
	const char *brace = feed->put->force ? memchr(line.data, '{', line.len) : NULL;
	size_t head = brace ? (size_t)(brace - (const char *)line.data) + 1 : 0;

	if (!is_blank(line))
		feed->rows++;
	buf_append(&feed->piece, line.data, head);
	if (brace)
		buf_append_str(&feed->piece, force);
	buf_append(&feed->piece, (const char *)line.data + head, line.len - head);
	buf_append_char(&feed->piece, '\n');
}

static int feed_line(struct feed *feed, struct slice line)
{
	enum { EXTRA = 64 };	/* what --force and the newline add, and more */
	int rc = CTL_OK;

	if (feed->piece.len && feed->piece.len + line.len + EXTRA > PIECE_MAX) {
		rc = send_piece(feed);
		buf_reset(&feed->piece);
	}
	if (feed->piece.len == 0)
		feed->first_line = feed->line + 1;
	feed->line++;
	if (rc == CTL_OK)
		add_line(feed, line);
	return rc;
}

static int feed_stdin(struct feed *feed)
{
	struct buf in = { 0 };
	bool at_end = false;
	int rc = CTL_OK;

	while (rc == CTL_OK && !at_end) {
		char *room = buf_reserve(&in, 1 << 20), *last;
		ssize_t n = room ? read(STDIN_FILENO, room, 1 << 20) : -1;
		struct slice whole, line;
		size_t at = 0;

		if (n < 0 && room && errno == EINTR)
			continue;
		if (n < 0) {
			rc = ctl_fail_errno(feed->put->ctl, "stdin", room ? -errno : -ENOMEM);
			break;
		}
		at_end = n == 0;
		in.len += (size_t)n;
		last = in.len ? memrchr(in.data, '\n', in.len) : NULL;
		whole = slice_of(in.data, at_end ? in.len : last ? (size_t)(last + 1 - in.data) : 0);
		while (rc == CTL_OK && ctl_next_line(whole, &at, &line))
			rc = feed_line(feed, line);
		memmove(in.data, in.data + whole.len, in.len - whole.len);
		in.len -= whole.len;
		if (rc == CTL_OK && in.len > PIECE_MAX)
			rc = ctl_fail(feed->put->ctl, CTL_FAILURE, "line %llu is longer than a change may be (16 MiB)",
				      (unsigned long long)feed->line + 1);
	}
	buf_release(&in);
	return rc == CTL_OK ? send_piece(feed) : rc;
}

static int put_lines(const struct put *put)
{
	struct feed feed = { .put = put };
	int rc = feed_stdin(&feed);

	if (rc == CTL_OK)
		printf("%llu row%s in %llu change%s\n", (unsigned long long)feed.rows, feed.rows == 1 ? "" : "s",
		       (unsigned long long)feed.changes, feed.changes == 1 ? "" : "s");
	buf_release(&feed.piece);
	return rc;
}

/* ---- calls ---- */

static int take_time(struct put *put, const char *text)
{
	if (clock_parse_time(slice_str(text), &put->event_ns) < 0)
		return ctl_fail(put->ctl, CTL_USAGE,
				"--event-time %s: RFC 3339 (2026-11-23T04:00:00Z) or seconds since 1970 is wanted",
				text);
	put->has_time = true;
	return CTL_OK;
}

static int take_null(struct put *put, const char *name)
{
	if (put->n_nulls == NULLS_MAX)
		return ctl_fail(put->ctl, CTL_USAGE, "--null: too many");
	put->nulls[put->n_nulls++] = name;
	return CTL_OK;
}

static int read_options(struct ctl *ctl, struct put *put, int argc, char **argv, bool takes_null)
{
	static const struct option longs[] = {
		{ "event-time", required_argument, NULL, 't' }, { "force", no_argument, NULL, 'f' },
		{ "null", required_argument, NULL, 'n' }, CTL_LONG_OPTIONS
	};
	int opt, rc = CTL_OK;

	while (rc == CTL_OK && (opt = ctl_option(ctl, argc, argv, "", longs)) >= 0) {
		if (opt == 0)
			return ctl->exit == CTL_OK ? -1 : ctl->exit;
		if (opt == 't')
			rc = take_time(put, optarg);
		else if (opt == 'f')
			put->force = true;
		else if (takes_null)
			rc = take_null(put, optarg);
		else
			rc = ctl_fail(ctl, CTL_USAGE, "takes no --null: name the features behind the entity");
	}
	return rc;
}

static int open_group(struct put *put)
{
	int rc = ctl_find_mount(put->ctl, &put->mount);

	if (rc == CTL_OK)
		rc = ctl_group_read(put->ctl, &put->mount, put->group, &put->grp);
	if (rc == CTL_OK && put->entity)
		rc = ctl_group_check_entity(put->ctl, put->grp, put->entity);
	return rc;
}

static void put_release(struct put *put)
{
	catalog_group_unref(put->grp);
	ctl_mount_release(&put->mount);
}

int ctl_put(struct ctl *ctl, int argc, char **argv)
{
	struct put put = { .ctl = ctl };
	bool has_lines;
	int rc = read_options(ctl, &put, argc, argv, true);

	if (rc)
		return rc < 0 ? CTL_OK : rc;
	has_lines = argc - optind == 2 && strcmp(argv[optind + 1], "-") == 0;
	if (!has_lines && argc - optind < 2 + (put.n_nulls == 0))
		return ctl_fail(ctl, CTL_USAGE, "which group, entity and values? See featurectl put --help");
	if (has_lines && (put.has_time || put.n_nulls))
		return ctl_fail(ctl, CTL_USAGE, "with - each row has its own event_time and nulls");
	put.group = argv[optind];
	put.entity = has_lines ? NULL : argv[optind + 1];
	rc = open_group(&put);
	if (rc == CTL_OK)
		rc = has_lines ? put_lines(&put) : put_values(&put, argv + optind + 2, argc - optind - 2);
	put_release(&put);
	return rc;
}

/* ---- delete ---- */

/* Is everything there that is to go? What is not there is told, and nothing is changed. */
static int check_there(const struct put *put, char **names, int n)
{
	char path[PATH_MAX];
	struct stat st;
	int rc = ctl_path(path, "%s/%s/%s", put->mount.dir, put->group, put->entity);

	if (rc == 0 && stat(path, &st) < 0)
		rc = -errno;
	if (rc == -ENOENT)
		return ctl_fail(put->ctl, CTL_NONE, "missing: there is no entity %s in %s", put->entity, put->group);
	for (int i = 0; rc == 0 && i < n; i++) {
		rc = ctl_path(path, "%s/%s/%s/%s", put->mount.dir, put->group, put->entity, names[i]);
		if (rc == 0 && stat(path, &st) < 0)
			rc = -errno;
		if (rc == -ENOENT)
			return ctl_fail(put->ctl, CTL_NONE, "missing: %s/%s has no %s; nothing was changed",
					put->group, put->entity,
					names[i]);
	}
	return rc < 0 ? ctl_fail_errno(put->ctl, path, rc) : CTL_OK;
}

static int delete_values(const struct put *put, char **names, int n)
{
	struct buf row = { 0 };
	int rc = CTL_OK;

	for (int i = 0; i < n; i++)
		if (!ctl_group_feature(put->ctl, put->grp, slice_str(names[i])))
			return CTL_NONE;
	if (!put->force)
		rc = check_there(put, names, n);
	if (rc)
		return rc;
	begin_row(put, &row);
	buf_append_str(&row, n ? ", \"delete\": [" : ", \"delete\": true");
	for (int i = 0; i < n; i++)
		buf_printf(&row, "%s\"%s\"", i ? ", " : "", names[i]);
	buf_append_str(&row, n ? "]}\n" : "}\n");
	rc = send_row(put, &row);
	buf_release(&row);
	return rc;
}

int ctl_delete(struct ctl *ctl, int argc, char **argv)
{
	struct put put = { .ctl = ctl };
	int rc = read_options(ctl, &put, argc, argv, false);

	if (rc)
		return rc < 0 ? CTL_OK : rc;
	if (argc - optind < 2)
		return ctl_fail(ctl, CTL_USAGE, "which group and entity? See featurectl delete --help");
	put.group = argv[optind];
	put.entity = argv[optind + 1];
	rc = open_group(&put);
	if (rc == CTL_OK)
		rc = delete_values(&put, argv + optind + 2, argc - optind - 2);
	put_release(&put);
	return rc;
}
