/* SPDX-License-Identifier: MIT */
/*
 * How a job is to be loaded: a table of settings, which the group's [batch] section and the attributes of the dropped file or
 * directory (user.mode and so on) both walk; the drop wins. Attributes are those of the spool file itself, so that they come and go with it; rsync -X
 * and cp -a carry them along from the source.
 */
#include "batch/private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "base/num.h"

enum { VALUE_MAX = 64 };

static const char *const modes[] = {
	[INGEST_LOAD_MERGE] = "merge", [INGEST_LOAD_SNAPSHOT] = "snapshot", [INGEST_LOAD_OVERWRITE] = "overwrite",
};

const char *settings_mode_name(enum ingest_load_mode mode)
{
	return modes[mode];
}

static int set_mode(struct settings *settings, const char *value, struct why *why)
{
	for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
		if (!strcmp(value, modes[i])) {
			settings->mode = (enum ingest_load_mode)i;
			return 0;
		}
	}
	return why_fail(why, EINVAL, "mode = %s: must be merge, snapshot or overwrite", value);
}

static int set_confirm(struct settings *settings, const char *value, struct why *why)
{
	if (strcmp(value, "skip") && strcmp(value, "stamp"))
		return why_fail(why, EINVAL, "confirm = %s: must be stamp (what is confirmed gets its new time) or skip", value);
	settings->confirm_skip = !strcmp(value, "skip");
	return 0;
}

static int set_max_rejects(struct settings *settings, const char *value, struct why *why)
{
	uint64_t number;

	if (num_parse_u64(slice_str(value), &number) < 0)
		return why_fail(why, EINVAL, "max_rejects = %s: must be a number of rows", value);
	settings->max_rejects = number;
	return 0;
}

static int set_retention(struct settings *settings, const char *value, struct why *why)
{
	int64_t span;

	if (clock_parse_span(slice_str(value), &span) < 0)
		return why_fail(why, EINVAL, "retention = %s: must be a time, as 1d", value);
	settings->retention_ns = span;
	return 0;
}

static int set_dry_run(struct settings *settings, const char *value, struct why *why)
{
	if (strcmp(value, "yes") && strcmp(value, "no"))
		return why_fail(why, EINVAL, "dry_run = %s: must be yes or no", value);
	settings->dry_run = !strcmp(value, "yes");
	return 0;
}

static const struct setting {
	const char *key;
	bool of_group, of_drop;
	int (*set)(struct settings *settings, const char *value, struct why *why);
} table[] = {
	{ "mode", true, true, set_mode },
	{ "confirm", true, true, set_confirm },
	{ "max_rejects", true, true, set_max_rejects },
	{ "retention", true, false, set_retention },
	{ "dry_run", false, true, set_dry_run },
};

enum { SETTINGS = sizeof table / sizeof *table };

int settings_set(struct settings *settings, const char *key, const char *value, struct why *why)
{
	for (int i = 0; i < SETTINGS; i++)
		if (!strcmp(key, table[i].key))
			return table[i].set(settings, value, why);
	return -ENODATA;
}

static const struct catalog_section *find_section(const struct catalog_group *grp)
{
	for (unsigned i = 0; i < grp->n_sections; i++)
		if (!strcmp(grp->sections[i].name, "batch"))
			return &grp->sections[i];
	return NULL;
}

int settings_of_group(const struct catalog_group *grp, const struct batch_options *options, struct settings *out, struct why *why)
{
	const struct catalog_section *section = find_section(grp);

	*out = (struct settings){ .mode = INGEST_LOAD_MERGE, .retention_ns = options->retention_ns };
	for (unsigned i = 0; section && i < section->n_keys; i++) {
		int rc = settings_set(out, section->keys[i], section->values[i], why);

		if (rc < 0 && rc != -ENODATA) {
			why_prefix(why, "[batch] of %s", grp->name);
			return rc;
		}
	}
	return 0;
}

/* ---- attributes ---- */

/* The setting that an attribute's name means, for a drop; NULL. */
static const struct setting *find_attr(const char *name)
{
	for (int i = 0; i < SETTINGS; i++)
		if (table[i].of_drop && !strncmp(name, "user.", 5) && !strcmp(name + 5, table[i].key))
			return &table[i];
	return NULL;
}

/* A value with a NUL. -ENODATA; a file system that has no attributes has none of these. */
static int read_attr(int fd, const struct setting *setting, char out[VALUE_MAX])
{
	char name[64] = "user.";
	ssize_t len;

	memcpy(name + 5, setting->key, strlen(setting->key) + 1);
	len = fgetxattr(fd, name, out, VALUE_MAX - 1);
	if (len < 0)
		return errno == ENOTSUP ? -ENODATA : -errno;
	out[len] = '\0';
	return 0;
}

int settings_of_drop(int fd, struct settings *settings, struct why *why)
{
	char value[VALUE_MAX];

	for (int i = 0; i < SETTINGS; i++) {
		if (!table[i].of_drop || read_attr(fd, &table[i], value) < 0)
			continue;
		if (table[i].set(settings, value, why) < 0) {
			why_prefix(why, "attribute user.%s", table[i].key);
			return -EINVAL;
		}
	}
	return 0;
}

static int set_attr(int fd, const char *name, const struct slice *value)
{
	const struct setting *setting = find_attr(name);
	struct settings scratch = { 0 };
	char text[VALUE_MAX];

	if (!setting)
		return 0;
	if (!value)
		return fremovexattr(fd, name) < 0 ? -errno : 0;
	if (value->len >= sizeof text || memchr(value->data, 0, value->len))
		return -EINVAL;
	memcpy(text, value->data, value->len);
	text[value->len] = '\0';
	if (setting->set(&scratch, text, NULL) < 0)
		return -EINVAL;
	return fsetxattr(fd, name, text, value->len, 0) < 0 ? -errno : 0;
}

int batch_file_set_option(struct batch_file *file, const char *name, const struct slice *value)
{
	return set_attr(file->fd, name, value);
}

int batch_set_option(struct batch *batch, uint32_t group_id, const char *path, const char *name, const struct slice *value)
{
	int fd = spool_open(batch, group_id, path, O_RDONLY), rc;

	if (fd < 0)
		return fd;
	rc = *path ? set_attr(fd, name, value) : -EPERM;
	close(fd);
	return rc;
}

int batch_get_option(struct batch *batch, uint32_t group_id, const char *path, const char *name, struct buf *out)
{
	const struct setting *setting = find_attr(name);
	char value[VALUE_MAX];
	int fd, rc;

	if (!setting)
		return -ENODATA;
	fd = spool_open(batch, group_id, path, O_RDONLY);
	if (fd < 0)
		return fd == -ENOENT && !*path ? -ENODATA : fd;
	rc = read_attr(fd, setting, value);
	close(fd);
	if (rc == 0)
		buf_append_str(out, value);
	return rc;
}

int batch_list_options(struct batch *batch, uint32_t group_id, const char *path, struct buf *out)
{
	int fd = spool_open(batch, group_id, path, O_RDONLY);
	char value[VALUE_MAX];

	if (fd < 0)
		return fd == -ENOENT && !*path ? 0 : fd;
	for (int i = 0; i < SETTINGS; i++) {
		if (!table[i].of_drop || read_attr(fd, &table[i], value) < 0)
			continue;
		buf_append_str(out, "user.");
		buf_append(out, table[i].key, strlen(table[i].key) + 1);
	}
	close(fd);
	return buf_error(out);
}
