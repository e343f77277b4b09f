/* SPDX-License-Identifier: MIT */
/*
 * Groups as JSON Lines. The rows come from the map itself, all from one snapshot, at the speed of memory; whoever may
 * not map it gets the same rows through the mount's .row files, each whole, but not all of one moment, and is told so.
 * A reader of the output that has seen enough (head) ends the dump without a word.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "ctl.h"
#include "base/clock.h"

enum { CHUNK = 1 << 18, ROW_MAX = 64 << 20, STEP_ROWS = 1024 };

struct dump {
	const struct ctl *ctl;
	char **names;
	int n;				/* groups that were named; 0: all */
	bool quiet;
	struct buf out;
	struct ctl_progress progress;
	uint64_t done, total;
};

static int flush_rows(struct dump *dump)
{
	int rc = buf_error(&dump->out);

	if (rc == 0)
		rc = ctl_write_all(STDOUT_FILENO, buf_slice(&dump->out));
	buf_reset(&dump->out);
	return rc;
}

/* Puts the group's name before a row; the row's own opening brace becomes a blank in end_row. */
static void begin_row(struct dump *dump, const char *group)
{
	if (dump->n != 1)
		buf_printf(&dump->out, "{\"group\": \"%s\",", group);
}

static int end_row(struct dump *dump, size_t begin)
{
	int rc = 0;

	if (dump->n != 1 && dump->out.len > begin)
		dump->out.data[begin] = ' ';
	if (dump->out.len >= CHUNK)
		rc = flush_rows(dump);
	if (++dump->done % STEP_ROWS == 0)
		ctl_progress_step(&dump->progress, dump->done, dump->total);
	return rc;
}

/* ---- from the map ---- */

static int dump_group(struct dump *dump, const struct serve_view *view, const struct catalog_group *grp)
{
	struct serve_entities *it;
	struct record row;
	struct slice name;
	int rc = serve_entities_begin(view, grp, slice_of(NULL, 0), &it);

	if (rc < 0)
		return rc;
	while (rc == 0 && (rc = serve_entities_next(it, &name, &row)) == 0) {
		size_t begin;

		begin_row(dump, grp->name);
		begin = dump->out.len;
		rc = serve_row_json(view, grp, name, &row, &dump->out);
		if (rc == 0)
			rc = end_row(dump, begin);
	}
	serve_entities_end(it);
	return rc == -ENOENT ? 0 : rc;
}

/* The groups to dump, in the order of their names or as they were named. */
static const struct catalog_group *pick_group(const struct dump *dump, const struct catalog *cat, unsigned i)
{
	if (dump->n)
		return i < (unsigned)dump->n ? catalog_find(cat, slice_str(dump->names[i])) : NULL;
	return i < cat->n_groups ? cat->groups[i] : NULL;
}

static int check_names(const struct dump *dump, const struct catalog *cat)
{
	for (int i = 0; i < dump->n; i++)
		if (!catalog_find(cat, slice_str(dump->names[i])))
			return ctl_fail(dump->ctl, CTL_NONE, "there is no group %s", dump->names[i]);
	return CTL_OK;
}

static int dump_view(struct dump *dump, const struct serve_view *view)
{
	const struct catalog_group *grp;
	struct catalog_stats stats;
	int rc = check_names(dump, view->cat);

	if (rc)
		return rc;
	for (unsigned i = 0; (grp = pick_group(dump, view->cat, i)); i++)
		if (serve_stats(view, grp, &stats) == 0)
			dump->total += stats.entities;
	ctl_progress_begin(&dump->progress, "dump", false, dump->quiet);
	for (unsigned i = 0; rc == 0 && (grp = pick_group(dump, view->cat, i)); i++)
		rc = dump_group(dump, view, grp);
	if (rc == 0)
		rc = flush_rows(dump);
	ctl_progress_end(&dump->progress);
	if (rc == 0 || rc == -EPIPE)
		return CTL_OK;
	if (rc == -EBADMSG)
		return ctl_fail(dump->ctl, CTL_FAILURE, "the store is damaged: run featurectl verify");
	return ctl_fail_errno(dump->ctl, "writing rows", rc);
}

static int dump_store(struct dump *dump, struct store *store)
{
	struct serve_view view = { .now_ns = clock_now() };
	struct catalog *cat = NULL;
	struct why why = { "" };
	int rc = store_snap_begin(store, &view.snap);

	if (rc < 0)
		return ctl_fail_errno(dump->ctl, store_path(store), rc);
	rc = catalog_load(view.snap, &cat, &why);
	if (rc < 0) {
		rc = ctl_fail(dump->ctl, CTL_FAILURE, "the catalog of %s cannot be read (%s): run featurectl verify",
			      store_path(store),
			      why.text[0] ? why.text : strerror(-rc));
	} else {
		view.cat = cat;
		rc = dump_view(dump, &view);
	}
	catalog_unref(cat);
	store_snap_end(view.snap);
	return rc;
}

/* ---- through the mount ---- */

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

/* Names of groups are few enough to be sorted; those of entities are taken as they come. */
static int list_groups(const char *dir, struct name_list *out)
{
	const struct dirent *entry;
	struct buf names = { 0 };
	DIR *handle = opendir(dir);

	if (!handle)
		return -errno;
	while ((entry = readdir(handle))) {
		char *name = entry->d_name[0] == '.' ? NULL : strdup(entry->d_name);

		if (name)
			buf_append(&names, &name, sizeof name);
	}
	closedir(handle);
	*out = (struct name_list){ (char **)names.data, names.len / sizeof(char *) };
	if (out->n)
		qsort(out->names, out->n, sizeof *out->names, compare_names);
	return buf_error(&names);
}

/* Appends the row of an entity; one that was removed meanwhile is no error. */
static int copy_row(struct dump *dump, const char *group, int dir, const char *entity)
{
	char path[NAME_MAX + sizeof "/.row"];
	size_t start = dump->out.len, begin;
	int fd, rc;

	snprintf(path, sizeof path, "%s/.row", entity);
	fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	begin_row(dump, group);
	begin = dump->out.len;
	rc = ctl_read_fd(fd, ROW_MAX, &dump->out);
	close(fd);
	if (rc == -ENOENT) {
		dump->out.len = start;
		return 0;
	}
	return rc < 0 ? rc : end_row(dump, begin);
}

static int walk_group(struct dump *dump, const struct ctl_mount *mount, const char *group)
{
	const struct dirent *entry;
	char path[PATH_MAX];
	DIR *handle;
	int rc = ctl_path(path, "%s/%s", mount->dir, group);

	if (rc < 0)
		return ctl_fail_errno(dump->ctl, group, rc);
	handle = opendir(path);
	if (!handle && errno == ENOENT)
		return ctl_fail(dump->ctl, CTL_NONE, "there is no group %s", group);
	if (!handle)
		return ctl_fail_errno(dump->ctl, path, -errno);
	while (rc == 0 && (errno = 0, entry = readdir(handle)))
		if (entry->d_name[0] != '.')
			rc = copy_row(dump, group, dirfd(handle), entry->d_name);
	if (rc == 0 && errno)
		rc = -errno;
	closedir(handle);
	return rc < 0 && rc != -EPIPE ? ctl_fail_errno(dump->ctl, path, rc) : rc;
}

static int dump_mount(struct dump *dump, const struct ctl_mount *mount, const char *reason)
{
	struct name_list list = { dump->names, (size_t)dump->n };
	int rc = 0, worst = CTL_OK;

	ctl_error(dump->ctl, "%s; reading it through %s instead: row by row, not all of one moment", reason,
		  mount->dir);
	if (dump->n == 0)
		rc = list_groups(mount->dir, &list);
	if (rc < 0)
		worst = ctl_fail_errno(dump->ctl, mount->dir, rc);
	for (size_t i = 0; rc >= 0 && i < list.n; i++) {
		rc = walk_group(dump, mount, list.names[i]);
		if (rc > worst)
			worst = rc;
	}
	if (rc >= 0)
		rc = flush_rows(dump);
	if (dump->n == 0)
		free_names(&list);
	if (rc < 0 && rc != -EPIPE && worst == CTL_OK)
		worst = ctl_fail_errno(dump->ctl, "writing rows", rc);
	return worst;
}

/* ---- */

static int dump_place(struct dump *dump, const struct ctl_mount *place)
{
	struct why why = { "" };
	struct store *store;
	int rc = store_open_reader(place->source, &store, &why);

	if (rc == 0) {
		rc = dump_store(dump, store);
		store_close(store);
		return rc;
	}
	if (!why.text[0])
		why_fail(&why, -rc, "%s: %s", place->source, strerror(-rc));
	if (place->dir)
		return dump_mount(dump, place, why.text);
	return ctl_fail(dump->ctl, rc == -ENOENT ? CTL_NONE : CTL_FAILURE, "%s", why.text);
}

int ctl_dump(struct ctl *ctl, int argc, char **argv)
{
	static const struct option longs[] = { { "quiet", no_argument, NULL, 'q' }, CTL_LONG_OPTIONS };
	struct dump dump = { .ctl = ctl };
	struct ctl_mount place;
	int opt, rc;

	while ((opt = ctl_option(ctl, argc, argv, "q", longs)) >= 0) {
		if (opt == 0)
			return ctl->exit;
		dump.quiet = true;
	}
	dump.names = argv + optind;
	dump.n = argc - optind;
	rc = ctl_find_store(ctl, &place);
	if (rc)
		return rc;
	rc = dump_place(&dump, &place);
	buf_release(&dump.out);
	ctl_mount_release(&place);
	return rc;
}
