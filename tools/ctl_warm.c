/* SPDX-License-Identifier: MIT */
/*
 * Fills the kernel's caches of the serving mount before traffic comes: reads each value that a model server will read, by the very calls that it
 * will use. One listing of an entity brings the names of all its values, one read each their pages; what the kernel holds already costs next to
 * nothing, so that it may be run again. A view's rows are kept by nobody: what is warmed for it are the values that it is made of.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "ctl.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"

enum { LIST_MAX = 1 << 30, SCHEMA_MAX = 16 << 20, STEP = 64 };

/* A group, and what of it is wanted. */
struct source {
	const struct catalog_group *grp;
	const struct catalog_source *from;	/* how a view's key names its entities; NULL: by itself */
	int fd;
	bool *wants;				/* by index of the group's features */
};

struct warm {
	const struct ctl *ctl;
	const char *name;			/* of the group or view */
	const char *list;			/* file of entities; NULL: all */
	bool quiet, row, bin;
	struct ctl_mount mount;			/* the serving one */
	struct catalog *cat;
	struct source *sources;
	unsigned n_sources;
	struct ctl_progress progress;
	uint64_t total, entities, files, bytes, missing;
};

/* ---- what is wanted ---- */

static int find_source(struct warm *warm, const struct catalog_group *grp, const struct catalog_source *from)
{
	struct source *source = &warm->sources[warm->n_sources];
	char path[PATH_MAX];
	int rc = ctl_path(path, "%s/%s", warm->mount.dir, grp->name);

	if (rc < 0)
		return ctl_fail_errno(warm->ctl, grp->name, rc);
	*source = (struct source){ .grp = grp, .from = from };
	source->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (source->fd < 0)
		return ctl_fail_errno(warm->ctl, path, -errno);
	warm->n_sources++;
	source->wants = calloc(grp->n_features + 1, sizeof *source->wants);
	return source->wants ? CTL_OK : ctl_fail_errno(warm->ctl, path, -ENOMEM);
}

static int take(struct catalog_group *takes, struct catalog **cat)
{
	struct catalog *next;
	int rc = catalog_with(*cat, takes, &next);

	catalog_group_unref(takes);
	if (rc < 0)
		return rc;
	catalog_unref(*cat);
	*cat = next;
	return 0;
}

/* A definition does not say what it is called. */
static int add_group(struct warm *warm, const char *name)
{
	struct catalog_group *nameless, *grp;
	struct why why = { "" };
	int rc = ctl_group_read(warm->ctl, &warm->mount, name, &nameless);

	if (rc)
		return rc;
	nameless->id = warm->cat->n_groups + 1;
	rc = catalog_group_renamed(nameless, slice_str(name), 0, &grp, &why);
	catalog_group_unref(nameless);
	if (rc == 0)
		rc = take(grp, &warm->cat);
	return rc < 0 ? ctl_fail(warm->ctl, CTL_FAILURE, "%s: %s", name, why.text) : CTL_OK;
}

/* The groups that a view's columns name. */
static int add_groups_of(struct warm *warm, struct slice schema)
{
	struct slice line;
	size_t at = 0;
	int rc = CTL_OK;

	while (rc == CTL_OK && ctl_next_line(schema, &at, &line)) {
		char text[1024], group[256];

		snprintf(text, sizeof text, "%.*s", (int)line.len, (const char *)line.data);
		if (sscanf(text, "%*[^=]= %255[^/ ]/", group) == 1 && strchr(text, '/') && !catalog_find(warm->cat, slice_str(group)))
			rc = add_group(warm, group);
	}
	return rc;
}

static int define_view(struct warm *warm, struct slice schema, const struct catalog_group **out)
{
	struct catalog_group *made = NULL, *grp = NULL;
	struct why why = { "" };
	int rc = catalog_view_make(UINT32_MAX - 1, slice_str(warm->name), 0, 0, 0, NULL, 0, &made, &why);

	if (rc == 0)
		rc = catalog_view_define(warm->cat, made, schema, 0, &grp, &why);
	catalog_group_unref(made);
	if (rc == 0)
		rc = take(grp, &warm->cat);
	if (rc < 0)
		return ctl_fail(warm->ctl, CTL_FAILURE, "%s", why.text[0] ? why.text : strerror(-rc));
	*out = catalog_find_view(warm->cat, slice_str(warm->name));
	return CTL_OK;
}

static int find_view(struct warm *warm)
{
	const struct catalog_group *grp = NULL;
	struct buf schema = { 0 };
	char path[PATH_MAX];
	int rc = ctl_path(path, "%s/.views/%s/.schema", warm->mount.dir, warm->name);

	if (rc == 0)
		rc = file_read_path(path, SCHEMA_MAX, &schema);
	if (rc == -ENOENT)
		rc = ctl_fail(warm->ctl, CTL_NONE, "there is no group and no view %s", warm->name);
	else if (rc < 0)
		rc = ctl_fail_errno(warm->ctl, path, rc);
	else
		rc = add_groups_of(warm, buf_slice(&schema));
	if (rc == CTL_OK)
		rc = define_view(warm, buf_slice(&schema), &grp);
	buf_release(&schema);
	if (rc != CTL_OK)
		return rc;
	warm->sources = calloc(grp->view->n_sources + 1, sizeof *warm->sources);
	if (!warm->sources)
		return ctl_fail_errno(warm->ctl, warm->name, -ENOMEM);
	for (unsigned i = 0; rc == CTL_OK && i < grp->view->n_sources; i++)
		rc = find_source(warm, catalog_find_id(warm->cat, grp->view->sources[i].group_id), &grp->view->sources[i]);
	for (unsigned i = 0; rc == CTL_OK && i < grp->view->n_columns; i++) {
		const struct catalog_column *column = &grp->view->columns[i];
		const struct source *source = &warm->sources[column->source];

		source->wants[catalog_feature_at(source->grp, column->slot) - source->grp->features] = true;
	}
	return rc;
}

static int find_group(struct warm *warm)
{
	const struct catalog_group *grp;
	int rc = add_group(warm, warm->name);

	if (rc != CTL_OK)
		return rc;
	grp = catalog_find(warm->cat, slice_str(warm->name));
	warm->sources = calloc(1, sizeof *warm->sources);
	if (!warm->sources)
		return ctl_fail_errno(warm->ctl, warm->name, -ENOMEM);
	rc = find_source(warm, grp, NULL);
	for (unsigned i = 0; rc == CTL_OK && i < grp->n_features; i++)
		warm->sources[0].wants[i] = !grp->features[i].retired;
	return rc;
}

static int find_sources(struct warm *warm)
{
	char path[PATH_MAX];
	struct stat st;
	int rc = catalog_empty(&warm->cat);

	if (rc == 0 && text_check_group_name(slice_str(warm->name), NULL) < 0)
		return ctl_fail(warm->ctl, CTL_NONE, "there is no group and no view %s", warm->name);
	if (rc == 0)
		rc = ctl_path(path, "%s/%s", warm->mount.dir, warm->name);
	if (rc < 0)
		return ctl_fail_errno(warm->ctl, warm->name, rc);
	return stat(path, &st) == 0 ? find_group(warm) : find_view(warm);
}

/* ---- reading ---- */

/* What is not there, any more or yet, is not warmed. */
static int read_file(struct warm *warm, int dir, const char *name)
{
	char room[1 << 16];
	ssize_t n;
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC), rc = 0;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	while ((n = read(fd, room, sizeof room)) > 0)
		warm->bytes += (size_t)n;
	if (n < 0)
		rc = -errno;
	close(fd);
	warm->files++;
	return rc;
}

static int read_values(struct warm *warm, const struct source *source, int dir)
{
	char name[TEXT_NAME_MAX + 8];
	int rc = warm->row ? read_file(warm, dir, ".row") : 0;

	for (unsigned i = 0; rc == 0 && i < source->grp->n_features; i++) {
		if (!source->wants[i] || (warm->row && !warm->bin))
			continue;
		snprintf(name, sizeof name, "%s%s", source->grp->features[i].name, warm->bin ? ".bin" : "");
		rc = read_file(warm, dir, name);
		rc = rc == -ENOTSUP ? 0 : rc;		/* a type without such a form */
	}
	return rc;
}

/* One request brings the names of all values. */
static void list_values(int dir)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);

	while (list && readdir(list))
		;
	if (list)
		closedir(list);
	else if (fd >= 0)
		close(fd);
}

static int warm_entity(struct warm *warm, const struct source *source, const char *entity)
{
	int dir = openat(source->fd, entity, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;

	if (dir < 0 && errno != ENOENT && errno != ENOTDIR)
		return ctl_fail(warm->ctl, CTL_FAILURE, "%s/%s: %s", source->grp->name, entity, strerror(errno));
	if (dir < 0) {
		warm->missing++;
		return CTL_OK;
	}
	if (!warm->row && !warm->bin)
		list_values(dir);
	rc = read_values(warm, source, dir);
	close(dir);
	if (rc < 0)
		return ctl_fail(warm->ctl, CTL_FAILURE, "%s/%s: %s", source->grp->name, entity, strerror(-rc));
	if (++warm->entities % STEP == 0)
		ctl_progress_step(&warm->progress, warm->entities, warm->total);
	return CTL_OK;
}

/* The parts of a view's key that name an entity of the group; false if it is no key of that view. */
static bool pick_parts(const struct source *source, const char *key, char out[TEXT_ENTITY_MAX + 1])
{
	const char *parts[CATALOG_KEYS_MAX];
	size_t lens[CATALOG_KEYS_MAX], len = 0;
	unsigned n = 0;

	if (strlen(key) > TEXT_ENTITY_MAX)
		return false;
	for (const char *at = key; at && n < CATALOG_KEYS_MAX; n++) {
		const char *comma = strchr(at, ',');

		parts[n] = at;
		lens[n] = comma ? (size_t)(comma - at) : strlen(at);
		at = comma ? comma + 1 : NULL;
	}
	for (unsigned i = 0; i < source->from->n_parts; i++) {
		unsigned part = source->from->parts[i];

		if (part >= n)
			return false;
		if (i)
			out[len++] = ',';
		memcpy(out + len, parts[part], lens[part]);
		len += lens[part];
	}
	out[len] = '\0';
	return true;
}

static int warm_key(struct warm *warm, struct slice line)
{
	char key[TEXT_ENTITY_MAX + 1], entity[TEXT_ENTITY_MAX + 1];
	int rc = CTL_OK;

	if (line.len == 0)
		return CTL_OK;
	if (line.len > TEXT_ENTITY_MAX || memchr(line.data, '/', line.len) || ((const char *)line.data)[0] == '.') {
		warm->missing++;
		return CTL_OK;
	}
	memcpy(key, line.data, line.len);
	key[line.len] = '\0';
	for (unsigned i = 0; rc == CTL_OK && i < warm->n_sources; i++) {
		const struct source *source = &warm->sources[i];

		if (!source->from)
			rc = warm_entity(warm, source, key);
		else if (pick_parts(source, key, entity))
			rc = warm_entity(warm, source, entity);
		else
			warm->missing++;
	}
	return rc;
}

static int warm_list(struct warm *warm)
{
	struct buf text = { 0 };
	struct slice line;
	size_t at = 0;
	int rc = strcmp(warm->list, "-") ? file_read_path(warm->list, LIST_MAX, &text) : file_read_fd(STDIN_FILENO, LIST_MAX, &text);

	if (rc < 0)
		rc = ctl_fail_errno(warm->ctl, warm->list, rc);
	for (size_t i = 0; rc == CTL_OK && i < text.len; i++)
		warm->total += text.data[i] == '\n' ? warm->n_sources : 0;
	while (rc == CTL_OK && ctl_next_line(buf_slice(&text), &at, &line))
		rc = warm_key(warm, line);
	buf_release(&text);
	return rc;
}

/* For the bar alone. */
static uint64_t count_entities(const struct source *source)
{
	struct buf text = { 0 };
	char path[64];
	const char *line;
	uint64_t n = 0;

	snprintf(path, sizeof path, "/proc/self/fd/%d/.stats", source->fd);
	if (file_read_path(path, SCHEMA_MAX, &text) == 0) {
		buf_append_char(&text, '\0');
		line = buf_error(&text) < 0 ? NULL : strstr(text.data, "entities: ");
		n = line ? strtoull(line + strlen("entities: "), NULL, 10) : 0;
	}
	buf_release(&text);
	return n;
}

static int warm_all(struct warm *warm)
{
	int rc = CTL_OK;

	for (unsigned i = 0; warm->progress.is_shown && i < warm->n_sources; i++)
		warm->total += count_entities(&warm->sources[i]);
	for (unsigned i = 0; rc == CTL_OK && i < warm->n_sources; i++) {
		int fd = openat(warm->sources[i].fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		DIR *list = fd < 0 ? NULL : fdopendir(fd);
		const struct dirent *entry;

		if (!list) {
			rc = ctl_fail_errno(warm->ctl, warm->sources[i].grp->name, -errno);
			if (fd >= 0)
				close(fd);
			break;
		}
		while (rc == CTL_OK && (entry = readdir(list)))
			if (entry->d_name[0] != '.')
				rc = warm_entity(warm, &warm->sources[i], entry->d_name);
		closedir(list);
	}
	return rc;
}

static void print_done(const struct warm *warm)
{
	double seconds = (double)(clock_monotonic() - warm->progress.begun_ns) / 1e9;
	char bytes[32];

	ctl_print_bytes(warm->bytes, bytes);
	printf("warmed: %llu entities, %llu files, %s in %.1f s", (unsigned long long)warm->entities, (unsigned long long)warm->files, bytes,
	       seconds);
	if (warm->missing)
		printf("; %llu entities are not there", (unsigned long long)warm->missing);
	putchar('\n');
}

int ctl_warm(struct ctl *ctl, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "entities", required_argument, NULL, 'e' }, { "row", no_argument, NULL, 'r' }, { "bin", no_argument, NULL, 'b' },
		{ "quiet", no_argument, NULL, 'q' }, CTL_LONG_OPTIONS
	};
	struct warm warm = { .ctl = ctl };
	int opt, rc;

	while ((opt = ctl_option(ctl, argc, argv, "q", longs)) >= 0) {
		if (opt == 0)
			return ctl->exit;
		if (opt == 'e')
			warm.list = optarg;
		warm.quiet = warm.quiet || opt == 'q';
		warm.row = warm.row || opt == 'r';
		warm.bin = warm.bin || opt == 'b';
	}
	if (argc - optind != 1)
		return ctl_fail(ctl, CTL_USAGE, "takes a group or a view; see featurectl warm --help");
	warm.name = argv[optind];
	rc = ctl_find_serving(ctl, &warm.mount);
	if (rc == CTL_OK)
		rc = find_sources(&warm);
	if (rc == CTL_OK) {
		ctl_progress_begin(&warm.progress, "warm", false, warm.quiet);
		rc = warm.list ? warm_list(&warm) : warm_all(&warm);
		ctl_progress_end(&warm.progress);
	}
	if (rc == CTL_OK)
		print_done(&warm);
	for (unsigned i = 0; i < warm.n_sources; i++) {
		close(warm.sources[i].fd);
		free(warm.sources[i].wants);
	}
	free(warm.sources);
	catalog_unref(warm.cat);
	ctl_mount_release(&warm.mount);
	return rc;
}
