/* SPDX-License-Identifier: MIT */
/*
 * Which store stands behind a path. The kernel's table says which mounts are ours (their type is fuse.featurefs) and which STORE
 * each one shows (its source), so nothing else has to be kept up to date. Mounts stack: of several on one directory the last one answers.
 * A store may have two, one of which is read-only.
 */
#include "sdk/private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { TABLE_MAX = 16 << 20 };		/* bytes: far beyond what any machine has */

/* A line of the table, its texts as the kernel wrote them. */
struct line {
	struct slice root, dir, options, type, source, super;
};

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

/* "36 35 0:50 / /mnt rw,nosuid shared:1 - fuse.featurefs /var/lib/features rw": the optional fields end with a '-'. */
static bool parse_line(struct slice rest, struct line *out)
{
	struct slice skip;

	for (int i = 0; i < 3; i++)
		if (!take_field(&rest, &skip))
			return false;
	if (!take_field(&rest, &out->root) || !take_field(&rest, &out->dir) || !take_field(&rest, &out->options))
		return false;
	do
		if (!take_field(&rest, &skip))
			return false;
	while (!slice_equal(skip, slice_str("-")));
	return take_field(&rest, &out->type) && take_field(&rest, &out->source) && take_field(&rest, &out->super);
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

static bool is_inside(const char *path, const char *dir)
{
	size_t len = strcmp(dir, "/") ? strlen(dir) : 0;

	return !strncmp(path, dir, len) && (path[len] == '/' || path[len] == '\0');
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

static bool is_same_folder(const char *a, const char *b)
{
	struct stat left, right;

	if (!strcmp(a, b))
		return true;
	return stat(a, &left) == 0 && stat(b, &right) == 0 && left.st_dev == right.st_dev && left.st_ino == right.st_ino;
}

void sdk_mount_release(struct sdk_mount *mount)
{
	free(mount->dir);
	free(mount->source);
	*mount = (struct sdk_mount){ 0 };
}

/* What was found so far. By path: the mount that covers it, ours or not. By STORE: one of ours that shows it. */
struct search {
	const char *path, *store;
	struct sdk_mount found;
	bool is_ours;
};

/* Takes `mount`. */
static void consider(struct search *search, const struct line *line, struct sdk_mount *mount)
{
	bool is_ours = slice_equal(line->type, slice_str("fuse.featurefs")) && slice_equal(line->root, slice_str("/"));
	struct sdk_mount *found = &search->found;
	bool is_better;

	if (search->path) {
		/* Of several on one directory the last one is on top; of a path's mounts the longest one holds it. */
		is_better = is_inside(search->path, mount->dir) && (!found->dir || strlen(mount->dir) >= strlen(found->dir));
	} else {
		/* Hidden by a later mount on the same directory: what was found there is not what answers. */
		if (found->dir && !strcmp(found->dir, mount->dir))
			sdk_mount_release(found);
		is_better = is_ours && is_same_folder(mount->source, search->store) &&
			    (!found->dir || found->is_read_only || !mount->is_read_only);
	}
	if (is_better) {
		sdk_mount_release(found);
		*found = *mount;
		search->is_ours = is_ours;
	} else {
		sdk_mount_release(mount);
	}
}

int sdk_mounts_find(struct slice text, const char *path, const char *store, struct sdk_mount *out)
{
	struct search search = { .path = path, .store = store };
	const char *at = text.data, *end = at + text.len;
	struct line line;

	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		const char *stop = newline ? newline : end;

		if (parse_line(slice_of(at, (size_t)(stop - at)), &line)) {
			struct sdk_mount mount = { decode(line.dir), decode(line.source),
						   has_option(line.options, "ro") || has_option(line.super, "ro") };

			if (!mount.dir || !mount.source) {
				sdk_mount_release(&mount);
				sdk_mount_release(&search.found);
				return -ENOMEM;
			}
			consider(&search, &line, &mount);
		}
		at = stop + 1;
	}
	if (!search.found.dir || !search.is_ours) {
		sdk_mount_release(&search.found);
		return path ? -ENODEV : -ENOENT;
	}
	*out = search.found;
	return 0;
}

static int find(const char *path, const char *store, struct sdk_mount *out)
{
	struct buf text = { 0 };
	int rc = sdk_read_file("/proc/self/mountinfo", TABLE_MAX, &text);

	if (rc == 0)
		rc = sdk_mounts_find(buf_slice(&text), path, store, out);
	buf_release(&text);
	return rc;
}

int sdk_mount_of_path(const char *path, struct sdk_mount *out)
{
	return find(path, NULL, out);
}

int sdk_mount_of_store(const char *store, struct sdk_mount *out)
{
	return find(NULL, store, out);
}
