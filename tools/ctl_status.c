/* SPDX-License-Identifier: MIT */
/*
 * What the store says about itself, for eyes: the files of .featurefs/ are "key: value" lines with plain numbers, so
 * that programs can read them; here they are lined up, and sizes and spans get units.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "ctl.h"
#include "base/clock.h"
#include "base/num.h"

enum { TEXT_MAX = 64 << 20 };

/* "key: value" in two. */
static bool split_line(struct slice line, struct slice *out_key, struct slice *out_value)
{
	const char *text = line.data, *colon = memmem(text, line.len, ": ", 2);

	if (!colon)
		return false;
	*out_key = slice_of(text, (size_t)(colon - text));
	*out_value = slice_of(colon + 2, line.len - out_key->len - 2);
	return true;
}

static bool ends_with(struct slice text, const char *end)
{
	size_t len = strlen(end);

	return text.len >= len && memcmp((const char *)text.data + text.len - len, end, len) == 0;
}

/* The readable form of a number, in brackets behind it. */
static void print_unit(struct slice key, struct slice value, struct buf *out)
{
	char text[CLOCK_TEXT_MAX];
	uint64_t number;
	double seconds;

	if (ends_with(key, "_bytes") && num_parse_u64(value, &number) == 0 && number >= 1024) {
		ctl_print_bytes(number, text);
		buf_printf(out, "  (%s)", text);
	} else if (ends_with(key, "_seconds") && num_parse_f64(value, &seconds) == 0 && seconds >= 60 &&
		   seconds < 9e9) {
		clock_print_span((int64_t)seconds * CLOCK_SECOND, text);
		buf_printf(out, "  (%s)", text);
	}
}

void ctl_print_lines(struct slice text, struct buf *out)
{
	struct slice line, key, value;
	size_t at = 0, width = 0;

	while (ctl_next_line(text, &at, &line))
		if (split_line(line, &key, &value) && key.len > width)
			width = key.len;
	at = 0;
	while (ctl_next_line(text, &at, &line)) {
		if (!split_line(line, &key, &value)) {
			ctl_print_safe(line, out);
		} else {
			buf_printf(out, "%-*.*s  ", (int)width, (int)key.len, (const char *)key.data);
			ctl_print_safe(value, out);
			print_unit(key, value, out);
		}
		buf_append_char(out, '\n');
	}
}

int ctl_print_out(const struct ctl *ctl, const struct buf *out)
{
	if (buf_error(out) < 0)
		return ctl_fail_errno(ctl, "printing", -ENOMEM);
	ctl_print(buf_slice(out));
	return CTL_OK;
}

int ctl_status(struct ctl *ctl, int argc, char **argv)
{
	static const struct option longs[] = { CTL_LONG_OPTIONS };
	struct buf text = { 0 }, out = { 0 };
	struct ctl_mount mount;
	char path[PATH_MAX];
	int opt, rc;

	while ((opt = ctl_option(ctl, argc, argv, "", longs)) >= 0)
		if (opt == 0)
			return ctl->exit;
	if (optind != argc)
		return ctl_fail(ctl, CTL_USAGE, "takes no arguments; see featurectl status --help");
	rc = ctl_find_mount(ctl, &mount);
	if (rc)
		return rc;
	rc = ctl_path(path, "%s/.featurefs/status", mount.dir);
	if (rc == 0)
		rc = file_read_path(path, TEXT_MAX, &text);
	if (rc < 0) {
		rc = ctl_fail_errno(ctl, path, rc);
	} else {
		ctl_print_lines(buf_slice(&text), &out);
		rc = ctl_print_out(ctl, &out);
	}
	buf_release(&out);
	buf_release(&text);
	ctl_mount_release(&mount);
	return rc;
}

/* The last `n` lines. */
static struct slice cut_tail(struct slice text, uint64_t n)
{
	const char *data = text.data;
	size_t at = text.len;

	if (at && data[at - 1] == '\n')
		at--;
	while (n && at) {
		const char *newline = memrchr(data, '\n', at);

		at = newline ? (size_t)(newline - data) : 0;
		n--;
		if (n == 0 && newline)
			at++;
	}
	return slice_of(data + at, text.len - at);
}

static int show_errors(const struct ctl *ctl, const struct ctl_mount *mount, const char *group, uint64_t n)
{
	struct buf text = { 0 };
	struct slice shown;
	char path[PATH_MAX];
	int rc;

	if (group)
		rc = ctl_path(path, "%s/%s/.errors", mount->dir, group);
	else
		rc = ctl_path(path, "%s/.featurefs/errors", mount->dir);
	if (rc == 0)
		rc = file_read_path(path, TEXT_MAX, &text);
	if (rc < 0) {
		rc = ctl_fail_errno(ctl, path, rc);
	} else {
		shown = n ? cut_tail(buf_slice(&text), n) : buf_slice(&text);
		ctl_print(shown);
	}
	buf_release(&text);
	return rc;
}

int ctl_errors(struct ctl *ctl, int argc, char **argv)
{
	static const struct option longs[] = { { "lines", required_argument, NULL, 'n' }, CTL_LONG_OPTIONS };
	struct catalog_group *grp = NULL;
	struct ctl_mount mount;
	uint64_t n = 0;
	int opt, rc;

	while ((opt = ctl_option(ctl, argc, argv, "n:", longs)) >= 0) {
		if (opt == 0)
			return ctl->exit;
		if (num_parse_u64(slice_str(optarg), &n) < 0 || n == 0)
			return ctl_fail(ctl, CTL_USAGE, "-n %s: how many lines, 1 or more", optarg);
	}
	if (argc - optind > 1)
		return ctl_fail(ctl, CTL_USAGE, "takes one group; see featurectl errors --help");
	rc = ctl_find_mount(ctl, &mount);
	if (rc)
		return rc;
	if (optind < argc)
		rc = ctl_group_read(ctl, &mount, argv[optind], &grp);
	if (rc == CTL_OK)
		rc = show_errors(ctl, &mount, grp ? argv[optind] : NULL, n);
	catalog_group_unref(grp);
	ctl_mount_release(&mount);
	return rc;
}
