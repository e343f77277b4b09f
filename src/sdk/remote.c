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
#include <sys/stat.h>
#include <sys/xattr.h>
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

/* ---- values with their attributes ---- */

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
