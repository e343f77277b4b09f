/* SPDX-License-Identifier: MIT */
/*
 * Which store is meant: by -m, by the environment, or because there is only one. The kernel's mount table says which
 * mounts are ours (their type is fuse.featurefs) and which STORE stands behind each (its source), so that no second
 * registry of mounts can go stale. Mounts come and go and stack on one directory: the last line for a directory is the
 * one that answers there.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "ctl.h"

enum { MOUNTS_MAX = 16 << 20 };		/* bytes of a mount table: far beyond what any machine has */

/* The next blank-separated field of a line, as it stands. */
static bool next_field(struct slice *line, struct slice *out)
{
	const char *at = line->data, *end = at + line->len, *begin;

	while (at < end && (*at == ' ' || *at == '\t'))
		at++;
	begin = at;
	while (at < end && *at != ' ' && *at != '\t')
		at++;
	*out = slice_of(begin, (size_t)(at - begin));
	*line = slice_of(at, (size_t)(end - at));
	return out->len > 0;
}

static bool is_octal(const char *at, const char *end)
{
	return end - at >= 4 && at[0] == '\\' && at[1] >= '0' && at[1] <= '3' && at[2] >= '0' && at[2] <= '7' &&
	       at[3] >= '0' && at[3] <= '7';
}

/* The kernel writes blank, tab, newline, backslash and '#' as \ooo. NULL without memory. */
static char *decode_field(struct slice field)
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

void ctl_mount_release(struct ctl_mount *mount)
{
	free(mount->dir);
	free(mount->source);
	mount->dir = mount->source = NULL;
}

void ctl_mounts_free(struct ctl_mount *mounts, size_t n)
{
	for (size_t i = 0; i < n; i++)
		ctl_mount_release(&mounts[i]);
	free(mounts);
}

/* Another mount on the same directory hides an earlier one. */
static void drop_hidden(struct buf *mounts, const char *dir)
{
	struct ctl_mount *list = (struct ctl_mount *)mounts->data;
	size_t n = mounts->len / sizeof *list;

	for (size_t i = 0; i < n; i++) {
		if (strcmp(list[i].dir, dir) != 0)
			continue;
		ctl_mount_release(&list[i]);
		memmove(&list[i], &list[i + 1], (n - i - 1) * sizeof *list);
		mounts->len -= sizeof *list;
		return;
	}
}

static int add_line(struct slice line, struct buf *mounts)
{
	struct ctl_mount mount = { NULL, NULL };
	struct slice source, dir, type;

	if (!next_field(&line, &source) || !next_field(&line, &dir) || !next_field(&line, &type))
		return 0;
	mount.dir = decode_field(dir);
	mount.source = decode_field(source);
	if (!mount.dir || !mount.source) {
		ctl_mount_release(&mount);
		return -ENOMEM;
	}
	drop_hidden(mounts, mount.dir);
	if (!slice_equal(type, slice_str("fuse.featurefs"))) {
		ctl_mount_release(&mount);
		return 0;
	}
	buf_append(mounts, &mount, sizeof mount);
	if (buf_error(mounts) == 0)
		return 0;
	ctl_mount_release(&mount);
	return -ENOMEM;
}

int ctl_mounts_parse(struct slice text, struct ctl_mount **out, size_t *out_n)
{
	struct buf mounts = { 0 };
	struct slice line;
	size_t at = 0;
	int rc = 0;

	while (rc == 0 && ctl_next_line(text, &at, &line))
		rc = add_line(line, &mounts);
	if (rc < 0) {
		ctl_mounts_free((struct ctl_mount *)mounts.data, mounts.len / sizeof(struct ctl_mount));
		return rc;
	}
	*out = (struct ctl_mount *)mounts.data;
	*out_n = mounts.len / sizeof **out;
	return 0;
}

static int read_mounts(struct ctl_mount **out, size_t *out_n)
{
	struct buf text = { 0 };
	int rc = ctl_read_file("/proc/self/mounts", MOUNTS_MAX, &text);

	if (rc == 0)
		rc = ctl_mounts_parse(buf_slice(&text), out, out_n);
	buf_release(&text);
	return rc;
}

/* Takes the mount at `i` out of the list. */
static void take_mount(struct ctl_mount *mounts, size_t i, struct ctl_mount *out)
{
	*out = mounts[i];
	mounts[i] = (struct ctl_mount){ NULL, NULL };
}

static bool find_dir(struct ctl_mount *mounts, size_t n, const char *dir, struct ctl_mount *out)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(mounts[i].dir, dir) != 0)
			continue;
		take_mount(mounts, i, out);
		return true;
	}
	return false;
}

/* The name as it was given is tried first: the path of a dead mount cannot be resolved. */
static int find_named(const struct ctl *ctl, const char *name, struct ctl_mount *mounts, size_t n,
		      struct ctl_mount *out)
{
	char path[PATH_MAX];

	if (find_dir(mounts, n, name, out))
		return CTL_OK;
	if (!realpath(name, path))
		return errno == ENOENT ? ctl_fail(ctl, CTL_NONE, "%s: there is no such directory", name) :
					 ctl_fail_errno(ctl, name, -errno);
	if (find_dir(mounts, n, path, out))
		return CTL_OK;
	return ctl_fail(ctl, CTL_NONE, "%s is not the root of a mounted feature store; see featurefs(8)", name);
}

static int find_only(const struct ctl *ctl, struct ctl_mount *mounts, size_t n, struct ctl_mount *out)
{
	struct buf list = { 0 };
	int rc;

	if (n == 0)
		return ctl_fail(ctl, CTL_NONE, "nothing is mounted; see featurefs(8)");
	if (n == 1) {
		take_mount(mounts, 0, out);
		return CTL_OK;
	}
	for (size_t i = 0; i < n; i++) {
		buf_append_str(&list, i ? ", " : "");
		ctl_print_safe(slice_str(mounts[i].dir), &list);
	}
	rc = ctl_fail(ctl, CTL_USAGE, "several stores are mounted, choose one with -m: %.*s", (int)list.len, list.data);
	buf_release(&list);
	return rc;
}

static int check_alive(const struct ctl *ctl, struct ctl_mount *mount)
{
	struct stat st;
	int rc;

	if (stat(mount->dir, &st) == 0)
		return CTL_OK;
	rc = ctl_fail_errno(ctl, mount->dir, -errno);
	ctl_mount_release(mount);
	return rc;
}

int ctl_find_mount(const struct ctl *ctl, struct ctl_mount *out)
{
	const char *name = ctl->mount ? ctl->mount : getenv("FEATUREFS_MOUNT");
	struct ctl_mount *mounts;
	size_t n;
	int rc = read_mounts(&mounts, &n);

	*out = (struct ctl_mount){ NULL, NULL };
	if (rc < 0)
		return ctl_fail_errno(ctl, "/proc/self/mounts", rc);
	if (name && *name)
		rc = find_named(ctl, name, mounts, n, out);
	else
		rc = find_only(ctl, mounts, n, out);
	ctl_mounts_free(mounts, n);
	return rc ? rc : check_alive(ctl, out);
}

int ctl_find_store(const struct ctl *ctl, struct ctl_mount *out)
{
	if (!ctl->store)
		return ctl_find_mount(ctl, out);
	*out = (struct ctl_mount){ NULL, strdup(ctl->store) };
	return out->source ? CTL_OK : ctl_fail_errno(ctl, ctl->store, -ENOMEM);
}

char *ctl_store_mounted_at(const char *store)
{
	struct ctl_mount *mounts;
	struct stat wanted, st;
	char *dir = NULL;
	size_t n;

	if (stat(store, &wanted) < 0 || read_mounts(&mounts, &n) < 0)
		return NULL;
	for (size_t i = 0; !dir && i < n; i++) {
		if (stat(mounts[i].source, &st) < 0 || st.st_dev != wanted.st_dev || st.st_ino != wanted.st_ino)
			continue;
		dir = mounts[i].dir;
		mounts[i].dir = NULL;
	}
	ctl_mounts_free(mounts, n);
	return dir;
}
