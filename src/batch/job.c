/* SPDX-License-Identifier: MIT */
/*
 * The queue of jobs. One runs at a time, in the order of their making, on the worker's thread.
 *
 * A job is its folder, so the queue survives: what was waiting waits again, what was running runs again from its beginning (see
 * takeup.c). What is listed, and for how long, is the keeper's (keeper.c).
 *
 * At the end of a job its links go. What was loaded keeps name, size and mtime in .import, so that the next rsync sends nothing twice;
 * what failed is taken out of .import, so that the next rsync sends it again. A job is done in its report, synced, before its files are touched.
 */
#include "batch/private.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/log.h"

/* ---- jobs ---- */

struct batch_job *batch_job_new(uint64_t id, uint32_t group_id, struct slice name)
{
	struct batch_job *job = calloc(1, sizeof *job);

	if (!job)
		return NULL;
	job->name = malloc(name.len + 1);
	if (!job->name) {
		free(job);
		return NULL;
	}
	memcpy(job->name, name.data, name.len);
	job->name[name.len] = '\0';
	job->id = id;
	job->group_id = group_id;
	job->dropped_ns = clock_now();
	return job;
}

void batch_job_free(struct batch_job *job)
{
	if (!job)
		return;
	free(job->name);
	free(job);
}

bool batch_job_is_active(const struct batch_job *job)
{
	return job->state == JOB_WAITING || job->state == JOB_RUNNING;
}

bool batch_job_any_active_locked(const struct batch *batch)
{
	const struct batch_job *job = batch->first;

	while (job && !batch_job_is_active(job))
		job = job->next;
	return job;
}

int batch_job_open_folder(struct batch *batch, const struct batch_job *job)
{
	char folder[40];

	snprintf(folder, sizeof folder, "jobs/%" PRIu64, job->id);
	return spool_open_folder(batch, job->group_id, folder);
}

void batch_job_add_locked(struct batch *batch, struct batch_job *job)
{
	struct batch_job **at = &batch->first;

	/* One that had to wait for room comes in where it was dropped. */
	while (*at && (*at)->id < job->id)
		at = &(*at)->next;
	job->next = *at;
	*at = job;
	if (!job->next)
		batch->last = &job->next;
	batch->n_jobs++;
	if (job->state == JOB_FAILED)
		batch->sum.failed++;
	pthread_cond_signal(&batch->worker_wake);
	pthread_cond_signal(&batch->keeper_wake);
}

void batch_job_remove_locked(struct batch *batch, struct batch_job *job)
{
	struct batch_job **at = &batch->first;

	while (*at != job)
		at = &(*at)->next;
	*at = job->next;
	if (!*at)
		batch->last = at;
	batch->n_jobs--;
	batch_job_free(job);
}

/* ---- the end of a job ---- */

struct release {
	struct batch *batch;
	enum job_state state;
	const char *name;		/* of the job */
};

/* A file that was loaded, and that is still listed. [L] */
static void empty_file(struct batch *batch, int data_fd, const char *name, const struct stat *st)
{
	int fd = openat(data_fd, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC), rc = fd < 0 ? -errno : file_free_content(batch, fd, st);

	if (rc < 0)
		log_warn("spool: %s cannot be emptied: %s", name, strerror(-rc));
	if (fd >= 0)
		close(fd);
}

/* One file of a job: its link goes, and the content that nobody needs any more. */
static int release_visited(struct spool_visit *visit, int dir_fd, const char *name, const char *path, const struct stat *st)
{
	const struct release *release = visit->arg;
	struct batch *batch = release->batch;
	struct stat now;

	(void)path;
	if (!S_ISREG(st->st_mode))
		return 0;
	pthread_mutex_lock(&batch->lock);
	if (fstatat(dir_fd, name, &now, AT_SYMLINK_NOFOLLOW) == 0) {
		if (release->state == JOB_DONE && now.st_nlink > 1)
			empty_file(batch, dir_fd, name, &now);
		else if (release->state == JOB_CANCELLED && now.st_nlink > 1)
			fchmodat(dir_fd, name, SPOOL_MODE | MARK_CLOSED | (spool_marks(&now) & MARK_BROKEN), 0);
		else
			file_uncharge(batch, (uint64_t)now.st_size);
		unlinkat(dir_fd, name, 0);
	}
	pthread_mutex_unlock(&batch->lock);
	return 0;
}

/* A file of the group that belongs to no job any more, though it says so: its job failed. Every _SUCCESS looks like that. */
static int unlist_visited(struct spool_visit *visit, int dir_fd, const char *name, const char *path, const struct stat *st)
{
	const struct release *release = visit->arg;
	struct batch *batch = release->batch;
	struct stat now;

	if (S_ISDIR(st->st_mode) || (spool_marks(st) & (MARK_SEALED | MARK_LOADED)) != MARK_SEALED)
		return 0;
	if (!strcmp(name, SUCCESS_NAME) && !slice_equal(spool_top(path), slice_str(release->name)))
		return 0;
	pthread_mutex_lock(&batch->lock);
	if (fstatat(dir_fd, name, &now, AT_SYMLINK_NOFOLLOW) == 0 && now.st_ino == st->st_ino && now.st_nlink == 1 &&
	    !file_find_writer(batch, now.st_ino) && unlinkat(dir_fd, name, 0) == 0)
		atomic_fetch_sub(&batch->files, 1);
	pthread_mutex_unlock(&batch->lock);
	return 0;
}

void batch_job_unlist_folder(struct batch *batch, const struct batch_job *job)
{
	int fd = spool_open(batch, job->group_id, "", O_RDONLY | O_DIRECTORY);

	if (fd >= 0 && unlinkat(fd, job->name, AT_REMOVEDIR) == 0)
		atomic_fetch_sub(&batch->files, 1);
	if (fd >= 0)
		close(fd);
}

void batch_job_walk_data(int folder_fd, struct spool_visit *visit)
{
	int fd = openat(folder_fd, "data", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return;
	spool_walk(fd, visit);
	close(fd);
}

void batch_job_release_files(struct batch *batch, const struct batch_job *job, enum job_state state)
{
	struct release release = { .batch = batch, .state = state, .name = job->name };
	struct spool_visit visit = { .visit = release_visited, .arg = &release };
	int folder_fd = batch_job_open_folder(batch, job), fd;

	if (folder_fd < 0)
		return;
	batch_job_walk_data(folder_fd, &visit);
	unlinkat(folder_fd, "data", AT_REMOVEDIR);
	unlinkat(folder_fd, JOB_DURABLE, 0);
	unlinkat(folder_fd, JOB_UNSYNCED, 0);
	close(folder_fd);
	if (state != JOB_FAILED)
		return;
	visit.visit = unlist_visited;
	fd = spool_open(batch, job->group_id, "", O_RDONLY | O_DIRECTORY);
	if (fd >= 0) {
		spool_walk(fd, &visit);
		close(fd);
	}
	batch_job_unlist_folder(batch, job);
}

static void count_locked(struct batch *batch, const struct batch_job *job)
{
	struct batch_figures *sum = &batch->sum;

	sum->done += job->state == JOB_DONE;
	sum->failed += job->state == JOB_FAILED;
	sum->cancelled += job->state == JOB_CANCELLED;
	sum->rows += job->figures.rows_read;
	sum->rejected += job->figures.rejected;
	sum->duplicates += job->figures.duplicates;
	if (job->state != JOB_DONE || job->settings.dry_run)
		return;
	sum->changed += job->figures.changed;
	sum->confirmed += job->figures.confirmed;
	sum->unchanged += job->figures.unchanged;
	sum->late += job->figures.late;
	sum->deleted += job->figures.deleted;
}

static void tell_end(const struct batch_job *job)
{
	double seconds = (double)(job->ended_ns - job->started_ns) / (double)CLOCK_SECOND;

	if (job->state == JOB_DONE)
		log_info("import %" PRIu64 " (%s): %s, %" PRIu64 " rows in %.1f s: %" PRIu64 " changed, %" PRIu64 " confirmed, %" PRIu64
			 " unchanged, %" PRIu64 " late", job->id, job->name, job->settings.dry_run ? "tried" : "loaded",
			 job->figures.rows_read, seconds, job->figures.changed, job->figures.confirmed, job->figures.unchanged,
			 job->figures.late);
	else if (job->state == JOB_FAILED)
		log_warn("import %" PRIu64 " (%s) failed, nothing was applied: %s", job->id, job->name, job->reason.text);
	else
		log_info("import %" PRIu64 " (%s) was cancelled", job->id, job->name);
}

/* The report on the disk comes first, then the files; all others see the end when both is done. */
void batch_job_end(struct batch *batch, struct batch_job *job, enum job_state state, const struct why *why)
{
	struct batch_job ended;
	bool is_saved;

	pthread_mutex_lock(&batch->lock);
	job->ended_ns = clock_now();
	job->reason = *why;
	job->phase = "finishing";
	ended = *job;
	pthread_mutex_unlock(&batch->lock);
	ended.state = state;
	is_saved = report_save(batch, &ended, true) == 0;
	batch_job_release_files(batch, &ended, state);
	if (!is_saved)		/* the files may have had the room that was lacking */
		report_save(batch, &ended, true);
	pthread_mutex_lock(&batch->lock);
	job->state = state;
	count_locked(batch, job);
	pthread_mutex_unlock(&batch->lock);
	tell_end(&ended);
}

/* ---- running ---- */

static int find_ino(struct spool_visit *visit, int dir_fd, const char *name, const char *path, const struct stat *st)
{
	(void)dir_fd;
	(void)name;
	(void)path;
	return st->st_ino == *(const ino_t *)visit->arg;
}

static bool has_file(struct batch *batch, const struct batch_job *job, ino_t ino)
{
	struct spool_visit visit = { .visit = find_ino, .arg = &ino };
	int fd = batch_job_open_folder(batch, job);
	bool has = fd >= 0 && spool_walk(fd, &visit) > 0;

	if (fd >= 0)
		close(fd);
	return has;
}

void batch_job_cancel_locked(struct batch *batch, uint32_t group_id, struct slice name, ino_t ino)
{
	bool found = false;

	for (struct batch_job *job = batch->first; job; job = job->next)
		if (job->group_id == group_id && batch_job_is_active(job) && slice_equal(slice_str(job->name), name)) {
			atomic_store(&job->is_cancelled, true);
			found = true;
		}
	/* What was renamed since has another name than its job. */
	for (struct batch_job *job = found ? NULL : batch->first; job; job = job->next)
		if (job->group_id == group_id && batch_job_is_active(job) && has_file(batch, job, ino))
			atomic_store(&job->is_cancelled, true);
	pthread_cond_signal(&batch->worker_wake);
}

static struct batch_job *next_waiting(struct batch *batch)
{
	struct batch_job *job = batch->first;

	while (job && job->state != JOB_WAITING)
		job = job->next;
	return job;
}

static void run(struct batch *batch, struct batch_job *job)
{
	struct why why = { "" };
	int rc = atomic_load(&job->is_cancelled) ? -ECANCELED : run_job(batch, job, &why);

	if (rc == -ESHUTDOWN || (rc < 0 && atomic_load(&batch->stops))) {
		pthread_mutex_lock(&batch->lock);
		job->state = JOB_WAITING;
		pthread_mutex_unlock(&batch->lock);
		return;
	}
	if (rc == -ECANCELED)
		why_fail(&why, ECANCELED, "its file was removed");
	else if (rc < 0 && !why.text[0])
		why_fail(&why, -rc, "%s", strerror(-rc));
	batch_job_end(batch, job, rc == 0 ? JOB_DONE : rc == -ECANCELED ? JOB_CANCELLED : JOB_FAILED, &why);
}

static void *work(void *arg)
{
	struct batch *batch = arg;
	struct batch_job *job;

	pthread_mutex_lock(&batch->lock);
	while (!atomic_load(&batch->stops)) {
		job = next_waiting(batch);
		if (!job) {
			pthread_cond_wait(&batch->worker_wake, &batch->lock);
			continue;
		}
		job->state = JOB_RUNNING;
		job->started_ns = clock_now();
		job->running_since_ns = clock_monotonic();
		job->figures = (struct figures){ 0 };
		job->permille = 0;
		pthread_mutex_unlock(&batch->lock);
		run(batch, job);
		pthread_mutex_lock(&batch->lock);
		pthread_cond_signal(&batch->keeper_wake);	/* what waits for the room that this one had */
	}
	pthread_mutex_unlock(&batch->lock);
	return NULL;
}

/* ---- starting and stopping ---- */

int batch_job_start(struct batch *batch, struct why *why)
{
	int rc = takeup_all(batch);

	if (rc < 0)
		return why_fail(why, -rc, "the spool %s/spool cannot be taken up: %s", store_path(batch->store), strerror(-rc));
	if (batch->options.read_only)
		return 0;
	rc = -pthread_create(&batch->worker, NULL, work, batch);
	batch->has_worker = rc == 0;
	if (rc == 0)
		rc = keeper_start(batch);
	return rc < 0 ? why_fail(why, -rc, "cannot start a thread: %s", strerror(-rc)) : 0;
}

void batch_job_stop(struct batch *batch)
{
	pthread_mutex_lock(&batch->lock);
	atomic_store(&batch->stops, true);
	pthread_cond_signal(&batch->worker_wake);
	pthread_cond_signal(&batch->keeper_wake);
	pthread_mutex_unlock(&batch->lock);
	if (batch->has_worker)
		pthread_join(batch->worker, NULL);
	keeper_join(batch);
	while (batch->first)
		batch_job_remove_locked(batch, batch->first);
}
