/* SPDX-License-Identifier: MIT */
/* The batch lane as a whole: building it up, taking it down, counting what it did. */
#include "batch/private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "batch/mapping.h"

int batch_check_group(const struct catalog_group *grp, struct why *why)
{
	static const struct batch_options none;
	struct batch_mapping *mapping;
	struct settings settings;
	int rc = settings_of_group(grp, &none, &settings, why);

	if (rc < 0)
		return rc;
	rc = batch_mapping_new(grp, NULL, &mapping, why);
	if (rc == 0)
		batch_mapping_free(mapping);
	else if (rc == -EINVAL)
		why_prefix(why, "[batch] of %s", grp->name);
	return rc;
}

static void init_cond(pthread_cond_t *cond)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(cond, &attr);
	pthread_condattr_destroy(&attr);
}

static int open_spool(struct batch *batch)
{
	int store_fd = open(store_path(batch->store), O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;

	if (store_fd < 0)
		return -errno;
	if (mkdirat(store_fd, "spool", 0700) < 0 && errno != EEXIST)
		rc = -errno;
	if (rc == 0) {
		batch->fd = openat(store_fd, "spool", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		rc = batch->fd < 0 ? -errno : 0;
	}
	close(store_fd);
	return rc;
}

int batch_start(struct store *store, struct catalog_current *cur, struct ingest *ingest, const struct batch_options *options,
		struct batch **out, struct why *why)
{
	struct batch *batch = calloc(1, sizeof *batch);
	int rc;

	if (!batch)
		return -ENOMEM;
	batch->store = store;
	batch->cur = cur;
	batch->ingest = ingest;
	batch->options = *options;
	batch->fd = -1;
	batch->last = &batch->first;
	pthread_mutex_init(&batch->lock, NULL);
	init_cond(&batch->worker_wake);
	init_cond(&batch->keeper_wake);
	rc = open_spool(batch);
	if (rc < 0)
		why_fail(why, -rc, "%s/spool cannot be opened: %s", store_path(store), strerror(-rc));
	else
		rc = batch_job_start(batch, why);
	if (rc < 0)
		batch_stop(batch);
	else
		*out = batch;
	return rc;
}

void batch_stop(struct batch *batch)
{
	if (!batch)
		return;
	batch_job_stop(batch);
	drop_free_all(batch);
	if (batch->fd >= 0)
		close(batch->fd);
	pthread_cond_destroy(&batch->keeper_wake);
	pthread_cond_destroy(&batch->worker_wake);
	pthread_mutex_destroy(&batch->lock);
	free(batch);
}

static void count_job(const struct batch_job *job, struct batch_figures *out)
{
	out->waiting += job->state == JOB_WAITING;
	out->running += job->state == JOB_RUNNING;
	out->done += job->state == JOB_DONE;
	out->failed += job->state == JOB_FAILED;
	out->cancelled += job->state == JOB_CANCELLED;
	out->rows += job->figures.rows_read;
	out->changed += job->figures.changed;
	out->confirmed += job->figures.confirmed;
	out->unchanged += job->figures.unchanged;
	out->late += job->figures.late;
	out->rejected += job->figures.rejected;
	out->duplicates += job->figures.duplicates;
	out->deleted += job->figures.deleted;
}

void batch_figures(struct batch *batch, const uint32_t *group_id, struct batch_figures *out)
{
	pthread_mutex_lock(&batch->lock);
	*out = group_id ? (struct batch_figures){ 0 } : batch->sum;
	for (const struct batch_job *job = batch->first; job; job = job->next) {
		if (group_id && job->group_id == *group_id)
			count_job(job, out);
		out->waiting += !group_id && job->state == JOB_WAITING;
		out->running += !group_id && job->state == JOB_RUNNING;
	}
	pthread_mutex_unlock(&batch->lock);
	out->spool_bytes = atomic_load(&batch->bytes);
	out->spool_files = atomic_load(&batch->files);
}
