/* SPDX-License-Identifier: MIT */
/*
 * What the files of a job are called, for whoever has to find a bad row in one of them, or asks where a value came from. A job knows its files by
 * number, and its links to them by the last part of their names; two directories of one drop may each have a part-0.csv, so the whole path is looked up
 * where the drop is listed, by the inode, once.
 */
#include "batch/private.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct part {
	unsigned number;
	ino_t ino;
	char *path;
};

struct parts {
	struct part *list;		/* in order of numbers; while it is filled, of inodes */
	size_t n, cap;
};

bool parts_number(const char *link, unsigned *out_number, const char **out_name)
{
	char *end;

	*out_number = (unsigned)strtoul(link, &end, 10);
	*out_name = end + (*end == '.');
	return end > link && *end == '.' && end[1];
}

static int add_link(struct spool_visit *visit, int dir_fd, const char *name, const char *path, const struct stat *st)
{
	struct parts *parts = visit->arg;
	struct part part = { .ino = st->st_ino };
	const char *own;

	(void)dir_fd;
	(void)path;
	if (!S_ISREG(st->st_mode) || !parts_number(name, &part.number, &own))
		return 0;
	if (parts->n == parts->cap) {
		size_t cap = parts->cap ? 2 * parts->cap : 64;
		struct part *grown = realloc(parts->list, cap * sizeof *grown);

		if (!grown)
			return -ENOMEM;
		parts->list = grown;
		parts->cap = cap;
	}
	part.path = strdup(own);
	if (!part.path)
		return -ENOMEM;
	parts->list[parts->n++] = part;
	return 0;
}

static int compare_inos(const void *a, const void *b)
{
	ino_t x = ((const struct part *)a)->ino, y = ((const struct part *)b)->ino;

	return (x > y) - (x < y);
}

static int compare_numbers(const void *a, const void *b)
{
	unsigned x = ((const struct part *)a)->number, y = ((const struct part *)b)->number;

	return (x > y) - (x < y);
}

static int take_path(struct spool_visit *visit, int dir_fd, const char *name, const char *path, const struct stat *st)
{
	struct parts *parts = visit->arg;
	struct part key = { .ino = st->st_ino }, *part = bsearch(&key, parts->list, parts->n, sizeof key, compare_inos);
	char *copy = part ? strdup(path) : NULL;

	(void)dir_fd;
	(void)name;
	if (!part)
		return 0;
	if (!copy)
		return -ENOMEM;
	free(part->path);
	part->path = copy;
	return 0;
}

static int walk(int takes_fd, struct spool_visit visit)
{
	int rc = takes_fd < 0 ? takes_fd : spool_walk(takes_fd, &visit);

	if (takes_fd >= 0)
		close(takes_fd);
	return rc;
}

int parts_new(struct batch *batch, const struct batch_job *job, struct parts **out)
{
	struct parts *parts = calloc(1, sizeof *parts);
	int folder_fd = parts ? batch_job_open_folder(batch, job) : -ENOMEM, rc = folder_fd < 0 ? folder_fd : 0;

	if (rc == 0) {
		int fd = openat(folder_fd, "data", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		rc = fd < 0 ? -errno : walk(fd, (struct spool_visit){ .visit = add_link, .arg = parts });
		close(folder_fd);
	}
	if (rc == 0 && parts->n) {
		qsort(parts->list, parts->n, sizeof *parts->list, compare_inos);
		/* What was renamed or removed meanwhile keeps the name that its link has. */
		rc = walk(spool_open(batch, job->group_id, job->name, O_RDONLY | O_DIRECTORY),
			  (struct spool_visit){ .visit = take_path, .arg = parts });
		rc = rc == -ENOMEM ? rc : 0;
		qsort(parts->list, parts->n, sizeof *parts->list, compare_numbers);
	}
	if (rc < 0)
		parts_free(parts);
	else
		*out = parts;
	return rc;
}

void parts_free(struct parts *parts)
{
	if (!parts)
		return;
	for (size_t i = 0; i < parts->n; i++)
		free(parts->list[i].path);
	free(parts->list);
	free(parts);
}

const char *parts_path(const struct parts *parts, unsigned number)
{
	struct part key = { .number = number };
	const struct part *part = bsearch(&key, parts->list, parts->n, sizeof key, compare_numbers);

	return part ? part->path : NULL;
}

/* A job of one file is called as that is. */
static bool is_lone(const struct parts *parts, const struct batch_job *job)
{
	return parts->n == 1 && !strcmp(parts->list[0].path, job->name);
}

int parts_source(const struct parts *parts, const struct batch_job *job, struct buf *out)
{
	const char **paths = malloc((parts->n + 1) * sizeof *paths);
	char name[BATCH_NAME_MAX + 40];
	size_t n = 0;
	int rc;

	if (!paths)
		return -ENOMEM;
	snprintf(name, sizeof name, "import-%" PRIu64 ":%s", job->id, job->name);
	while (n < parts->n && parts->list[n].number == n && !is_lone(parts, job)) {
		paths[n] = parts->list[n].path;
		n++;
	}
	rc = source_print(slice_str(name), paths, n, out);
	free(paths);
	return rc;
}
