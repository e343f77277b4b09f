/* SPDX-License-Identifier: MIT */
/*
 * A line of mountinfo (see proc(5)):
 *
 *	36 35 0:50 / /mnt rw,nosuid shared:1 - fuse.sshfs host:dir rw,user_id=0
 *
 * are its number, its parent's, the device, the root within the file system, the directory, options of the mount, any number of optional
 * fields up to a '-', the type, the source, and options of the file system. A later line for the same directory lies on top.
 */
#include "base/mounts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "base/buf.h"
#include "base/file.h"

enum { TABLE_MAX = 16 << 20 };		/* bytes: far beyond what any machine has */

static bool take_field(struct slice *rest, struct slice *out)
{
	const char *at = rest->data, *end = at + rest->len, *begin;

	while (at < end && *at == ' ')
		at++;
	begin = at;
	while (at < end && *at != ' ')
		at++;
	*out = slice_of(begin, (size_t)(at - begin));
	*rest = slice_of(at, (size_t)(end - at));
	return out->len > 0;
}

static bool is_octal(const char *at, const char *end)
{
	return end - at >= 4 && at[0] == '\\' && at[1] >= '0' && at[1] <= '3' && at[2] >= '0' && at[2] <= '7' && at[3] >= '0' &&
	       at[3] <= '7';
}

/* The kernel writes blank, tab, newline, backslash and '#' as \ooo. NULL without memory. */
static char *decode(struct slice field)
{
	const char *at = field.data, *end = at + field.len;
	char *text = malloc(field.len + 1), *to = text;

	if (!text)
		return NULL;
	while (at < end) {
		if (is_octal(at, end)) {
			*to++ = (char)((at[1] - '0') << 6 | (at[2] - '0') << 3 | (at[3] - '0'));
			at += 4;
		} else {
			*to++ = *at++;
		}
	}
	*to = '\0';
	return text;
}

static bool has_option(struct slice options, const char *name)
{
	const char *at = options.data, *end = at + options.len;
	size_t len = strlen(name);

	while (at < end) {
		const char *comma = memchr(at, ',', (size_t)(end - at));
		const char *stop = comma ? comma : end;

		if ((size_t)(stop - at) == len && !memcmp(at, name, len))
			return true;
		at = stop + 1;
	}
	return false;
}

/* "0:50"; -1 if it is no device. */
static int minor_of(struct slice device)
{
	const char *colon = memchr(device.data, ':', device.len), *end = (const char *)device.data + device.len;
	int number = 0;

	if (!colon || colon + 1 == end || end - colon > 9)
		return -1;
	for (const char *at = colon + 1; at < end; at++) {
		if (*at < '0' || *at > '9')
			return -1;
		number = number * 10 + (*at - '0');
	}
	return number;
}

/* 1: `out` is the line's mount; 0: it is no line of a mount; -ENOMEM. */
static int parse_line(struct slice rest, struct mount_point *out)
{
	struct slice skip, device, root, dir, options, type, source, super;

	if (!take_field(&rest, &skip) || !take_field(&rest, &skip) || !take_field(&rest, &device) || !take_field(&rest, &root) ||
	    !take_field(&rest, &dir) || !take_field(&rest, &options))
		return 0;
	do
		if (!take_field(&rest, &skip))
			return 0;
	while (!slice_equal(skip, slice_str("-")));
	if (!take_field(&rest, &type) || !take_field(&rest, &source) || !take_field(&rest, &super))
		return 0;
	*out = (struct mount_point){ decode(dir), decode(type), decode(source), minor_of(device), slice_equal(root, slice_str("/")),
				     has_option(options, "ro") || has_option(super, "ro") };
	return out->dir && out->type && out->source ? 1 : -ENOMEM;
}

/* Takes `point`: in the place of one that it hides, else behind the others. */
static int add(struct mounts *mounts, size_t *room, struct mount_point *point)
{
	struct mount_point *hidden = mounts_find(mounts, point->dir);

	if (hidden) {
		size_t i = (size_t)(hidden - mounts->points);

		mount_point_release(hidden);
		memmove(hidden, hidden + 1, (--mounts->n - i) * sizeof *hidden);
	}
	if (mounts->n == *room) {
		size_t more = *room ? 2 * *room : 32;
		struct mount_point *points = reallocarray(mounts->points, more, sizeof *points);

		if (!points)
			return -ENOMEM;
		mounts->points = points;
		*room = more;
	}
	mounts->points[mounts->n++] = *point;
	*point = (struct mount_point){ 0 };
	return 0;
}

int mounts_parse(struct slice text, struct mounts *out)
{
	const char *at = text.data, *end = at + text.len;
	struct mounts mounts = { 0 };
	size_t room = 0;
	int rc = 0;

	while (rc == 0 && at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		const char *stop = newline ? newline : end;
		struct mount_point point = { 0 };

		rc = parse_line(slice_of(at, (size_t)(stop - at)), &point);
		if (rc > 0)
			rc = add(&mounts, &room, &point);
		mount_point_release(&point);
		at = stop + 1;
	}
	if (rc < 0)
		mounts_release(&mounts);
	else
		*out = mounts;
	return rc;
}

int mounts_read(struct mounts *out)
{
	struct buf text = { 0 };
	int rc = file_read_path("/proc/self/mountinfo", TABLE_MAX, &text);

	if (rc == 0)
		rc = mounts_parse(buf_slice(&text), out);
	buf_release(&text);
	return rc;
}

void mounts_release(struct mounts *mounts)
{
	for (size_t i = 0; i < mounts->n; i++)
		mount_point_release(&mounts->points[i]);
	free(mounts->points);
	*mounts = (struct mounts){ 0 };
}

struct mount_point *mounts_find(const struct mounts *mounts, const char *dir)
{
	for (size_t i = 0; i < mounts->n; i++)
		if (!strcmp(mounts->points[i].dir, dir))
			return &mounts->points[i];
	return NULL;
}

static bool is_inside(const char *path, const char *dir)
{
	size_t len = strcmp(dir, "/") ? strlen(dir) : 0;

	return !strncmp(path, dir, len) && (path[len] == '/' || path[len] == '\0');
}

struct mount_point *mounts_find_holder(const struct mounts *mounts, const char *path)
{
	struct mount_point *found = NULL;

	for (size_t i = 0; i < mounts->n; i++) {
		struct mount_point *point = &mounts->points[i];

		if (is_inside(path, point->dir) && (!found || strlen(point->dir) > strlen(found->dir)))
			found = point;
	}
	return found;
}

bool mount_point_is_ours(const struct mount_point *point)
{
	return point->is_whole && (!strcmp(point->type, "fuse.featurefs") || !strcmp(point->type, "fuse.featurefs-serving"));
}

/* The name as it was given is enough: who reads through the mount may not be let into the store's folder. */
static bool is_same_folder(const char *a, const char *b)
{
	struct stat left, right;

	if (!strcmp(a, b))
		return true;
	return stat(a, &left) == 0 && stat(b, &right) == 0 && left.st_dev == right.st_dev && left.st_ino == right.st_ino;
}

struct mount_point *mounts_find_store(const struct mounts *mounts, const char *store)
{
	struct mount_point *found = NULL;

	for (size_t i = 0; i < mounts->n; i++) {
		struct mount_point *point = &mounts->points[i];

		if (mount_point_is_ours(point) && (!found || found->is_read_only) && is_same_folder(point->source, store))
			found = point;
	}
	return found;
}

void mount_point_release(struct mount_point *point)
{
	free(point->dir);
	free(point->type);
	free(point->source);
	*point = (struct mount_point){ 0 };
}
