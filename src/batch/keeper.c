/* SPDX-License-Identifier: MIT */
/*
 * The keeper: a thread that makes durable what waits, starts directories that are due, and removes what has been listed for long enough.
 *
 * What was dropped is in the page cache, where a crash of the daemon can't reach it. Against a loss of power the keeper syncs jobs that have not
 * ended after some seconds (most have, and then nothing needs to be written at all), and marks them as durable; of what was not, nobody can
 * tell after a loss of power whether it is whole, so the next start removes it (takeup.c). A sync that fails is not tried again, by the next start
 * neither: the kernel tells such an error once, and takes the pages for written from then on.
 *
 * Only this thread takes jobs out of the list while the lane runs.
 */
#include "batch/private.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "base/file.h"
#include "base/log.h"

enum {
	SYNC_AFTER_S = 3,		/* a job that has not ended by then is made durable */
	SWEEP_EVERY_S = 30,
	KEPT_JOBS = 4096,		/* reports in memory, at the most */
};

/* ---- durable drops ---- */

static int sync_visited(struct spool_visit *visit, int dir_fd, const char *name, const char *path, const struct stat *st)
{
	int fd, rc = 0;

	(void)visit;
	(void)path;
	fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | (S_ISDIR(st->st_mode) ? O_DIRECTORY : 0));
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (S_ISREG(st->st_mode))
		rc = file_write_back(fd, (uint64_t)st->st_size);
	if (rc == 0 && fsync(fd) < 0)
		rc = -errno;
	close(fd);
	return rc;
}

static int put_mark(int folder_fd, const char *mark)
{
	int fd = openat(folder_fd, mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0600), rc = 0;

	if (fd < 0)
		return -errno;
	if (fsync(fd) < 0 || fsync(folder_fd) < 0)
		rc = -errno;
	close(fd);
	return rc;
}

/* Everything of a job's folder, then the mark that says so. */
static int sync_folder(int folder_fd)
{
	struct spool_visit visit = { .visit = sync_visited };
	int rc = spool_walk(folder_fd, &visit);

	if (rc == 0 && fsync(folder_fd) < 0)
		rc = -errno;
	if (rc < 0)
		put_mark(folder_fd, JOB_UNSYNCED);
	return rc < 0 ? rc : put_mark(folder_fd, JOB_DURABLE);
}

/* The names themselves: .import's, and the job's folder in that of all. */
static void sync_names(struct batch *batch, uint32_t group_id)
{
	static const char *const folders[] = { "in", "jobs", "" };

	for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
		int fd = spool_open_folder(batch, group_id, folders[i]);

		if (fd >= 0) {
			fsync(fd);
			close(fd);
		}
	}
	fsync(batch->fd);
}

static int sync_job(struct batch *batch, uint32_t group_id, int folder_fd)
{
	int rc = folder_fd < 0 ? folder_fd : sync_folder(folder_fd);

	if (rc == 0)
		sync_names(batch, group_id);
	if (folder_fd >= 0)
		close(folder_fd);
	return rc;
}

/* Syncs what has waited for `age_ns`. Returns when there is more to do (of clock_now), or INT64_MAX. */
static int64_t make_durable(struct batch *batch, int64_t age_ns)
{
	int64_t now_ns = clock_now(), next_ns = INT64_MAX;
	struct batch_job *job;
	int fd, rc;

	pthread_mutex_lock(&batch->lock);
	for (job = batch->first; job; job = job->next) {
		if (!batch_job_is_active(job) || job->is_durable || job->was_synced)
			continue;
		if (job->dropped_ns + age_ns > now_ns) {
			if (job->dropped_ns + age_ns < next_ns)
				next_ns = job->dropped_ns + age_ns;
			continue;
		}
		job->was_synced = true;
		fd = batch_job_open_folder(batch, job);
		pthread_mutex_unlock(&batch->lock);
		rc = sync_job(batch, job->group_id, fd);
		pthread_mutex_lock(&batch->lock);
		job->is_durable = rc == 0;
		if (rc < 0 && batch_job_is_active(job))
			log_warn("import %" PRIu64 " (%s) would not survive a loss of power: it cannot be synced: %s", job->id, job->name,
				 strerror(-rc));
	}
	pthread_mutex_unlock(&batch->lock);
	return next_ns;
}

/* ---- retention ---- */

struct sweep {
	struct batch *batch;
	int64_t before_ns;
	bool keeps_names;		/* a job of the group is active */
};

/* Files that no job has and nobody writes go when their time is over, and directories that are then empty. */
static int sweep_visited(struct spool_visit *visit, int dir_fd, const char *name, const char *path, const struct stat *st)
{
	struct sweep *sweep = visit->arg;
	struct batch *batch = sweep->batch;
	struct stat now;

	(void)path;
	pthread_mutex_lock(&batch->lock);
	if (fstatat(dir_fd, name, &now, AT_SYMLINK_NOFOLLOW) == 0 && clock_from_timespec(&now.st_ctim) < sweep->before_ns) {
		if (S_ISDIR(st->st_mode)) {
			if (unlinkat(dir_fd, name, AT_REMOVEDIR) == 0)
				atomic_fetch_sub(&batch->files, 1);
		} else if (now.st_nlink == 1 && !file_find_writer(batch, now.st_ino) && unlinkat(dir_fd, name, 0) == 0) {
			file_forget_name(batch, &now);
		}
	}
	pthread_mutex_unlock(&batch->lock);
	return 0;
}

/* How long a group's drops stay; -1 if the group is gone. */
static int64_t retention_of(struct batch *batch, uint32_t group_id)
{
	uint64_t number;
	struct catalog *cat = catalog_current_get(batch->cur, &number);
	const struct catalog_group *grp = catalog_find_id(cat, group_id);
	struct settings settings;
	int64_t ns = -1;

	if (grp)
		ns = settings_of_group(grp, &batch->options, &settings, NULL) == 0 ? settings.retention_ns
										   : batch->options.retention_ns;
	catalog_unref(cat);
	return ns;
}

/* [L] */
static void forget_job(struct batch *batch, struct batch_job *job)
{
	int fd = spool_open_folder(batch, job->group_id, "jobs");
	char name[24];

	snprintf(name, sizeof name, "%" PRIu64, job->id);
	if (fd >= 0) {
		spool_remove(fd, name);
		close(fd);
	}
	batch_job_remove_locked(batch, job);
}

static bool forget_jobs(struct batch *batch, uint32_t group_id, int64_t before_ns)
{
	struct batch_job *job, *next;
	bool has_active = false;

	pthread_mutex_lock(&batch->lock);
	for (job = batch->first; job; job = next) {
		next = job->next;
		if (job->group_id != group_id)
			continue;
		if (batch_job_is_active(job))
			has_active = true;
		else if (job->ended_ns < before_ns || batch->n_jobs > KEPT_JOBS)
			forget_job(batch, job);
	}
	pthread_mutex_unlock(&batch->lock);
	return has_active;
}

static void sweep_group(struct batch *batch, uint32_t group_id)
{
	int64_t retention_ns = retention_of(batch, group_id);
	struct sweep sweep = { .batch = batch, .before_ns = retention_ns < 0 ? INT64_MAX : clock_now() - retention_ns };
	struct spool_visit visit = { .visit = sweep_visited, .arg = &sweep };
	bool has_active = forget_jobs(batch, group_id, sweep.before_ns);
	char name[16];
	int fd;

	fd = spool_open(batch, group_id, "", O_RDONLY | O_DIRECTORY);
	if (fd >= 0) {
		spool_walk(fd, &visit);
		close(fd);
	}
	if (retention_ns >= 0 || has_active)
		return;
	snprintf(name, sizeof name, "%u", group_id);
	pthread_mutex_lock(&batch->lock);
	spool_remove(batch->fd, name);
	pthread_mutex_unlock(&batch->lock);
}

/* Calls `with` for each group that has a folder. */
static void each_group(struct batch *batch, void (*with)(struct batch *, uint32_t))
{
	struct buf ids = { 0 };
	uint64_t id;

	if (spool_list_groups(batch, &ids) == 0)
		for (size_t i = 0; i < ids.len; i += sizeof id) {
			memcpy(&id, ids.data + i, sizeof id);
			with(batch, (uint32_t)id);
		}
	buf_release(&ids);
}

/* ---- the keeper ---- */

static void *keep(void *arg)
{
	const int64_t second = CLOCK_SECOND;
	int64_t sweep_ns = clock_monotonic() + second, every_ns = SWEEP_EVERY_S * second;
	struct batch *batch = arg;

	if (batch->options.retention_ns / 4 < every_ns)
		every_ns = batch->options.retention_ns / 4 < second / 4 ? second / 4 : batch->options.retention_ns / 4;
	while (!atomic_load(&batch->stops)) {
		int64_t sync_ns = make_durable(batch, SYNC_AFTER_S * second), wake_ns = sweep_ns;
		struct timespec until;

		if (sync_ns != INT64_MAX && clock_monotonic() + (sync_ns - clock_now()) < wake_ns)
			wake_ns = clock_monotonic() + (sync_ns - clock_now());
		pthread_mutex_lock(&batch->lock);
		if (!atomic_load(&batch->stops)) {
			int64_t look_ns = drop_look_locked(batch);

			if (look_ns < wake_ns)
				wake_ns = look_ns;
			until = (struct timespec){ wake_ns / second, wake_ns % second };
			pthread_cond_timedwait(&batch->keeper_wake, &batch->lock, &until);
		}
		pthread_mutex_unlock(&batch->lock);
		if (clock_monotonic() >= sweep_ns && !atomic_load(&batch->stops)) {
			each_group(batch, sweep_group);
			sweep_ns = clock_monotonic() + every_ns;
		}
	}
	return NULL;
}

int keeper_start(struct batch *batch)
{
	int rc = -pthread_create(&batch->keeper, NULL, keep, batch);

	batch->has_keeper = rc == 0;
	return rc;
}

void keeper_join(struct batch *batch)
{
	if (!batch->has_keeper)
		return;
	pthread_join(batch->keeper, NULL);
	make_durable(batch, 0);
}
