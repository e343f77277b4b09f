/* SPDX-License-Identifier: MIT */
/*
 * The same reads through the mount, for who may not map the store: the kernel asks the group's permissions. Many values come by a .lookup
 * (see there), a row by its .row, the rest by the files that show it. Where a call needs more than one of them, the store's number of commits is
 * read before and after; if others have written meanwhile, all of it is read once more, and after some tries the call fails
 * rather than mix two moments.
 */
#include "sdk/private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yyjson.h>
#include "base/clock.h"
#include "base/num.h"
#include "base/text.h"

enum { ROW_MAX = 64 << 20, SMALL_MAX = 16 << 20, TRIES = 20 };

/* ---- places ---- */

bool remote_is_entity(struct slice name)
{
	const char *text = name.data;

	return name.len > 0 && name.len <= TEXT_ENTITY_MAX && text[0] != '.' && !memchr(text, '/', name.len) && !memchr(text, '\0', name.len);
}

/* "MOUNT/group". The caller frees. */
static int group_dir(struct featurefs *fs, const char *group, char **out, struct why *why)
{
	struct buf path = { 0 };
	int rc = sdk_mount_dir(fs, &path, why);

	if (rc == 0 && text_check_group_name(slice_str(group), NULL) < 0)
		rc = why_fail(why, ENOENT, "there is no group %s", group);
	buf_printf(&path, "/%s", group);
	buf_append_char(&path, '\0');
	if (rc == 0)
		rc = buf_error(&path);
	if (rc < 0) {
		buf_release(&path);
		return rc;
	}
	*out = path.data;
	return 0;
}

int remote_open_group(struct featurefs *fs, const char *group, int *out, struct why *why)
{
	char *path;
	int rc = group_dir(fs, group, &path, why);

	if (rc < 0)
		return rc;
	*out = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*out < 0 && errno == ENOENT)
		rc = why_fail(why, ENOENT, "there is no group %s", group);
	else if (*out < 0)
		rc = why_fail(why, errno, "%s: %s", path, strerror(errno));
	free(path);
	return rc;
}

static int read_at(int dir, const char *name, size_t max, struct buf *out)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC), rc;

	if (fd < 0)
		return -errno;
	rc = file_read_fd(fd, max, out);
	close(fd);
	return rc;
}

int remote_file(struct featurefs *fs, const char *group, const char *name, struct buf *out, struct why *why)
{
	int dir, rc = remote_open_group(fs, group, &dir, why);

	if (rc < 0)
		return rc;
	rc = read_at(dir, name, SMALL_MAX, out);
	close(dir);
	return rc < 0 ? why_fail(why, -rc, "%s/%s: %s", group, name, strerror(-rc)) : 0;
}

/* ---- one moment ---- */

int remote_version(struct featurefs *fs, uint64_t *out, struct why *why)
{
	struct buf path = { 0 }, text = { 0 };
	struct slice value;
	int rc = sdk_mount_dir(fs, &path, why);

	buf_append_str(&path, "/.featurefs/store");
	buf_append_char(&path, '\0');
	if (rc == 0)
		rc = buf_error(&path);
	if (rc == 0)
		rc = file_read_path(path.data, SMALL_MAX, &text);
	if (rc < 0 && !why->text[0])
		why_fail(why, -rc, "%s: %s", path.data ? path.data : "the mount", strerror(-rc));
	if (rc == 0 && (!sdk_line_find(buf_slice(&text), "seq", &value) || num_parse_u64(value, out) < 0))
		rc = why_fail(why, EBADMSG, "%s does not tell the number of commits", path.data);
	buf_release(&path);
	buf_release(&text);
	return rc;
}

int remote_moment_begin(struct remote_moment *moment, struct why *why)
{
	return moment->is_one_file ? 0 : remote_version(moment->fs, &moment->seq, why);
}

int remote_moment_end(struct remote_moment *moment, struct why *why)
{
	uint64_t seq;
	int rc;

	if (moment->is_one_file)
		return 0;
	rc = remote_version(moment->fs, &seq, why);
	if (rc < 0 || seq == moment->seq)
		return rc;
	if (++moment->tries < TRIES)
		return 1;
	return why_fail(why, EAGAIN, "the store changes faster than this can be read through its mount: let this user read the map, or ask for less");
}

/* ---- the catalog ---- */

/* A definition does not say what it is called. */
int remote_parse_schema(int dir, const char *group, struct catalog_group **out, struct why *why)
{
	struct catalog_group *nameless;
	struct buf text = { 0 };
	int rc = read_at(dir, ".schema", SMALL_MAX, &text);

	if (rc < 0)
		why_fail(why, -rc, "%s/.schema: %s", group, strerror(-rc));
	else
		rc = catalog_group_parse(group, buf_slice(&text), &nameless, why);
	buf_release(&text);
	if (rc < 0)
		return rc;
	rc = catalog_group_renamed(nameless, slice_str(group), 0, out, why);
	catalog_group_unref(nameless);
	return rc;
}

int remote_schema(struct featurefs *fs, const char *group, struct catalog_group **out, struct why *why)
{
	int dir, rc = remote_open_group(fs, group, &dir, why);

	if (rc < 0)
		return rc;
	rc = remote_parse_schema(dir, group, out, why);
	close(dir);
	return rc;
}

/* Puts a new one into the catalog; takes it. */
static int take_group(struct catalog_group *takes, struct catalog **cat)
{
	struct catalog *next;
	int rc = catalog_with(*cat, takes, &next);

	catalog_group_unref(takes);
	if (rc == 0) {
		catalog_unref(*cat);
		*cat = next;
	}
	return rc;
}

/* A group that this user may not read is none for it. */
static int add_group(int mount, const char *name, uint32_t id, struct catalog **cat, struct why *why)
{
	int dir = openat(mount, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;
	struct catalog_group *grp, *named;

	if (dir < 0)
		return errno == ENOENT || errno == EACCES || errno == ENOTDIR ? 0 : -errno;
	rc = remote_parse_schema(dir, name, &grp, why);
	close(dir);
	if (rc < 0) {
		if (rc == -ENOENT || rc == -EACCES)
			why->text[0] = '\0';
		return rc == -ENOENT || rc == -EACCES ? 0 : rc;
	}
	grp->id = id;
	rc = catalog_group_renamed(grp, slice_str(name), 0, &named, why);	/* its text does not say its name */
	catalog_group_unref(grp);
	return rc < 0 ? rc : take_group(named, cat);
}

/* A view that names what this user may not read, or what is retired, can't be read either way: it is left out. */
static int add_view(int views, const char *name, uint32_t id, struct catalog **cat, struct why *why)
{
	int dir = openat(views, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;
	struct catalog_group *made = NULL, *grp;
	struct buf text = { 0 };
	struct why reason = { "" };

	if (dir < 0)
		return errno == ENOENT || errno == EACCES || errno == ENOTDIR ? 0 : -errno;
	rc = read_at(dir, ".schema", SMALL_MAX, &text);
	close(dir);
	if (rc == 0)
		rc = catalog_view_make(id, slice_str(name), 0, 0, 0, NULL, 0, &made, why);
	if (rc == 0)
		rc = catalog_view_define(*cat, made, buf_slice(&text), 0, &grp, &reason);
	catalog_group_unref(made);
	buf_release(&text);
	if (rc == -ENOENT || rc == -EACCES || rc == -EINVAL)
		return 0;
	return rc < 0 ? rc : take_group(grp, cat);
}

static int add_views(int mount, uint32_t id, struct catalog **cat, struct why *why)
{
	int fd = openat(mount, ".views", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	if (!list) {
		rc = errno == ENOENT || errno == EACCES ? 0 : why_fail(why, errno, ".views: %s", strerror(errno));
		if (fd >= 0)
			close(fd);
		return rc;
	}
	while (rc == 0 && (errno = 0, entry = readdir(list)))
		if (entry->d_name[0] != '.')
			rc = add_view(fd, entry->d_name, ++id, cat, why);
	if (rc == 0 && errno)
		rc = why_fail(why, errno, ".views: %s", strerror(errno));
	closedir(list);
	return rc;
}

int remote_catalog(const char *mount, struct catalog **out, struct why *why)
{
	const struct dirent *entry;
	struct catalog *cat;
	DIR *list = opendir(mount);
	uint32_t id = 0;
	int rc;

	if (!list)
		return why_fail(why, errno, "%s: %s", mount, strerror(errno));
	rc = catalog_empty(&cat);
	if (rc < 0) {
		closedir(list);
		return rc;
	}
	while (rc == 0 && (errno = 0, entry = readdir(list)))
		if (entry->d_name[0] != '.')
			rc = add_group(dirfd(list), entry->d_name, ++id, &cat, why);
	if (rc == 0 && errno)
		rc = why_fail(why, errno, "%s: %s", mount, strerror(errno));
	if (rc == 0)
		rc = add_views(dirfd(list), id, &cat, why);
	closedir(list);
	if (rc < 0)
		catalog_unref(cat);
	else
		*out = cat;
	return rc;
}

/* ---- rows ---- */

int remote_read_row(int dir, struct slice entity, struct buf *text, yyjson_doc **out)
{
	char path[TEXT_ENTITY_MAX + sizeof "/.row"];
	int rc;

	*out = NULL;
	if (!remote_is_entity(entity))
		return 0;
	snprintf(path, sizeof path, "%.*s/.row", (int)entity.len, (const char *)entity.data);
	buf_reset(text);
	rc = read_at(dir, path, ROW_MAX, text);
	if (rc == -ENOENT)
		return 0;
	if (rc < 0)
		return rc;
	*out = yyjson_read(text->data, text->len, YYJSON_READ_NUMBER_AS_RAW);
	return *out ? 0 : -EBADMSG;
}

int remote_row(struct featurefs *fs, const char *group, const char *entity, struct buf *out, struct why *why)
{
	char path[TEXT_ENTITY_MAX + sizeof "/.row"];
	int dir, rc = remote_open_group(fs, group, &dir, why);

	if (rc < 0)
		return rc;
	rc = -ENOENT;
	if (remote_is_entity(slice_str(entity))) {
		snprintf(path, sizeof path, "%s/.row", entity);
		rc = read_at(dir, path, ROW_MAX, out);
	}
	close(dir);
	if (rc == -ENOENT)
		return why_fail(why, ENOENT, "there is no entity %s in %s", entity, group);
	return rc < 0 ? why_fail(why, -rc, "%s/%s: %s", group, entity, strerror(-rc)) : 0;
}

/* ---- names ---- */

struct name_list {
	char **names;
	size_t n;
};

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void free_names(struct name_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->names[i]);
	free(list->names);
}

/* Names in a directory that begin with `prefix` and lie behind `after`, in order of their bytes. Takes the descriptor. */
static int list_names(int dir, const char *prefix, const char *after, struct name_list *out)
{
	const struct dirent *entry;
	struct buf names = { 0 };
	DIR *handle = fdopendir(dir);
	int rc = 0;

	if (!handle) {
		rc = -errno;
		close(dir);
		return rc;
	}
	while ((errno = 0, entry = readdir(handle))) {
		char *name;

		if (entry->d_name[0] == '.' || strncmp(entry->d_name, prefix, strlen(prefix)) || strcmp(entry->d_name, after) <= 0)
			continue;
		name = strdup(entry->d_name);
		if (name)
			buf_append(&names, &name, sizeof name);
		if (!name || buf_error(&names) < 0) {
			free(name);
			errno = ENOMEM;
			break;
		}
	}
	rc = -errno;
	closedir(handle);
	*out = (struct name_list){ (char **)names.data, names.len / sizeof(char *) };
	if (rc < 0) {
		free_names(out);
		return rc;
	}
	if (out->n)
		qsort(out->names, out->n, sizeof *out->names, compare_names);
	return 0;
}

int remote_entities(struct featurefs *fs, const char *group, const char *prefix, const char *after, size_t limit, struct buf *out,
		    size_t *out_n, struct why *why)
{
	struct name_list list;
	int dir, rc = remote_open_group(fs, group, &dir, why);

	if (rc < 0)
		return rc;
	rc = list_names(dir, prefix, after, &list);
	if (rc < 0)
		return why_fail(why, -rc, "%s: %s", group, strerror(-rc));
	*out_n = limit && limit < list.n ? limit : list.n;
	for (size_t i = 0; i < *out_n; i++) {
		buf_append_str(out, list.names[i]);
		buf_append_char(out, '\n');
	}
	free_names(&list);
	return buf_error(out);
}

/* ---- all rows ---- */

struct rows_walk {
	int (*each)(void *arg, const struct featurefs_row *row);
	void *arg;
	uint64_t done;
	struct buf text;
};

static int give_row(int dir, const char *group, const char *entity, struct rows_walk *walk)
{
	char path[NAME_MAX + sizeof "/.row"];
	int rc;

	snprintf(path, sizeof path, "%s/.row", entity);
	buf_reset(&walk->text);
	rc = read_at(dir, path, ROW_MAX, &walk->text);
	if (rc == -ENOENT)
		return 0;		/* removed meanwhile */
	buf_append_char(&walk->text, '\0');
	if (rc == 0)
		rc = buf_error(&walk->text);
	if (rc < 0)
		return rc;
	return walk->each(walk->arg, &(struct featurefs_row){ group, entity, walk->text.data, walk->text.len - 1, ++walk->done, 0 });
}

static int walk_group(struct featurefs *fs, const char *group, struct rows_walk *walk, struct why *why)
{
	const struct dirent *entry;
	DIR *handle;
	int dir, rc = remote_open_group(fs, group, &dir, why);

	if (rc < 0)
		return rc;
	handle = fdopendir(dir);
	if (!handle) {
		rc = why_fail(why, errno, "%s: %s", group, strerror(errno));
		close(dir);
		return rc;
	}
	while (rc == 0 && (errno = 0, entry = readdir(handle)))
		if (entry->d_name[0] != '.')
			rc = give_row(dir, group, entry->d_name, walk);
	if (rc == 0 && errno)
		rc = why_fail(why, errno, "%s: %s", group, strerror(errno));
	closedir(handle);
	return rc;
}

int remote_rows(struct featurefs *fs, const char *const *groups, size_t n, int (*each)(void *arg, const struct featurefs_row *row), void *arg,
		struct why *why)
{
	struct rows_walk walk = { .each = each, .arg = arg };
	struct name_list list = { 0 };
	struct buf mount = { 0 };
	int rc = 0, dir;

	if (!n) {
		rc = sdk_mount_dir(fs, &mount, why);
		buf_append_char(&mount, '\0');
		if (rc == 0)
			rc = buf_error(&mount);
		if (rc == 0) {
			dir = open(mount.data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			rc = dir < 0 ? why_fail(why, errno, "%s: %s", mount.data, strerror(errno)) : list_names(dir, "", "", &list);
		}
		buf_release(&mount);
	}
	for (size_t i = 0; i < n && rc == 0; i++) {
		rc = remote_open_group(fs, groups[i], &dir, why);
		if (rc == 0)
			close(dir);
	}
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = walk_group(fs, groups[i], &walk, why);
	/* Of all groups, those that this user may read; the failure is told at the end. */
	for (size_t i = 0; i < list.n && (rc == 0 || rc == -EACCES); i++) {
		int one = walk_group(fs, list.names[i], &walk, why);

		if (one != 0 && (rc == 0 || one != -EACCES))
			rc = one;
	}
	free_names(&list);
	buf_release(&walk.text);
	return rc;
}

/* ---- figures ---- */

int remote_stats(struct featurefs *fs, const char *group, struct featurefs_stats *out, struct why *why)
{
	static const struct {
		const char *name;
		size_t at;
	} lines[] = {
		{ "entities", offsetof(struct featurefs_stats, entities) }, { "rows", offsetof(struct featurefs_stats, rows) },
		{ "bytes", offsetof(struct featurefs_stats, row_bytes) }, { "swept", offsetof(struct featurefs_stats, swept) },
		{ "direct_applied", offsetof(struct featurefs_stats, applied[0]) },
		{ "stream_applied", offsetof(struct featurefs_stats, applied[1]) },
		{ "batch_applied", offsetof(struct featurefs_stats, applied[2]) },
		{ "direct_late", offsetof(struct featurefs_stats, late[0]) }, { "stream_late", offsetof(struct featurefs_stats, late[1]) },
		{ "batch_late", offsetof(struct featurefs_stats, late[2]) },
	};
	struct buf text = { 0 };
	struct slice value;
	int rc = remote_file(fs, group, ".stats", &text, why);

	*out = (struct featurefs_stats){ 0 };
	for (size_t i = 0; rc == 0 && i < sizeof lines / sizeof *lines; i++)
		if (sdk_line_find(buf_slice(&text), lines[i].name, &value))
			num_parse_u64(value, (uint64_t *)(void *)((char *)out + lines[i].at));
	if (rc == 0 && sdk_line_find(buf_slice(&text), "newest_event_time", &value))
		clock_parse_time(value, &out->newest_event_ns);
	buf_release(&text);
	return rc;
}
