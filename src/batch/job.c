/* SPDX-License-Identifier: MIT */
/*
 * The queue of jobs. One runs at a time, in the order of their making, on the worker's thread; the keeper's thread looks after
 * directories that may start, makes what waits durable, and removes what has been listed for long enough.
 *
 * A job is its folder, so the queue survives: what was waiting waits again, what was running runs again from its beginning. Whether a load
 * was published before the end is known from the position that its publishing commit stored: the id of the job.
 *
 * What was dropped is in the page cache, where a crash of the daemon can't reach it. Against a loss of power the keeper syncs jobs that have not
 * ended after some seconds (most have, and then nothing needs to be written at all), and marks them as durable; of what was not, nobody can
 * tell after a loss of power whether it is whole, so it is removed, as is a copy that was interrupted.
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
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>
#include "base/log.h"
#include "base/num.h"

enum {
	SYNC_AFTER_S = 3,		/* a job that has not ended by then is made durable */
	SWEEP_EVERY_S = 30,
	KEPT_JOBS = 4096,		/* reports in memory, at the most */
	BOOT_MAX = 64,
	STATUS_MAX = 64 << 10,
};

#define DURABLE_NAME "durable"
#define POSITION_KEY "batch"

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

int batch_job_open_folder(struct batch *batch, const struct batch_job *job)
{
	char folder[40];

	snprintf(folder, sizeof folder, "jobs/%" PRIu64, job->id);
	return spool_open_folder(batch, job->group_id, folder);
}

void batch_job_add_locked(struct batch *batch, struct batch_job *job)
{
	job->next = NULL;
	*batch->last = job;
	batch->last = &job->next;
	batch->n_jobs++;
	if (job->state == JOB_FAILED)
		batch->sum.failed++;
	pthread_cond_signal(&batch->worker_wake);
	pthread_cond_signal(&batch->keeper_wake);
}

static void remove_locked(struct batch *batch, struct batch_job *job)
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

/* Takes the name of a job's directory that has become empty. */
static void unlist_folder(struct batch *batch, const struct batch_job *job)
{
	int fd = spool_open(batch, job->group_id, "", O_RDONLY | O_DIRECTORY);

	if (fd >= 0 && unlinkat(fd, job->name, AT_REMOVEDIR) == 0)
		atomic_fetch_sub(&batch->files, 1);
	if (fd >= 0)
		close(fd);
}

static void release_files(struct batch *batch, const struct batch_job *job, enum job_state state)
{
	struct release release = { .batch = batch, .state = state, .name = job->name };
	struct spool_visit visit = { .visit = release_visited, .arg = &release };
	int folder_fd = batch_job_open_folder(batch, job), fd;

	if (folder_fd < 0)
		return;
	fd = openat(folder_fd, "data", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		spool_walk(fd, &visit);
		close(fd);
	}
	unlinkat(folder_fd, "data", AT_REMOVEDIR);
	unlinkat(folder_fd, DURABLE_NAME, 0);
	close(folder_fd);
	if (state != JOB_FAILED)
		return;
	visit.visit = unlist_visited;
	fd = spool_open(batch, job->group_id, "", O_RDONLY | O_DIRECTORY);
	if (fd >= 0) {
		spool_walk(fd, &visit);
		close(fd);
	}
	unlist_folder(batch, job);
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
static void end_job(struct batch *batch, struct batch_job *job, enum job_state state, const struct why *why)
{
	struct batch_job ended;

	pthread_mutex_lock(&batch->lock);
	job->ended_ns = clock_now();
	job->reason = *why;
	job->phase = "finishing";
	ended = *job;
	pthread_mutex_unlock(&batch->lock);
	ended.state = state;
	report_save(batch, &ended, true);
	release_files(batch, &ended, state);
	pthread_mutex_lock(&batch->lock);
	job->state = state;
	count_locked(batch, job);
	pthread_mutex_unlock(&batch->lock);
	tell_end(&ended);
}

/* ---- running ---- */

void batch_job_cancel_locked(struct batch *batch, uint32_t group_id, struct slice name)
{
	for (struct batch_job *job = batch->first; job; job = job->next)
		if (job->group_id == group_id && batch_job_is_active(job) && slice_equal(slice_str(job->name), name))
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
	end_job(batch, job, rc == 0 ? JOB_DONE : rc == -ECANCELED ? JOB_CANCELLED : JOB_FAILED, &why);
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
	}
	pthread_mutex_unlock(&batch->lock);
	return NULL;
}

/* ---- durable drops ---- */

static int sync_visited(struct spool_visit *visit, int dir_fd, const char *name, const char *path, const struct stat *st)
{
	int fd, rc = 0;

	(void)visit;
	(void)path;
	fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | (S_ISDIR(st->st_mode) ? O_DIRECTORY : 0));
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fsync(fd) < 0)
		rc = -errno;
	close(fd);
	return rc;
}

/* Everything of a job's folder, then the mark that says so. */
static int sync_folder(int folder_fd)
{
	struct spool_visit visit = { .visit = sync_visited };
	int fd, rc = spool_walk(folder_fd, &visit);

	if (rc == 0 && fsync(folder_fd) < 0)
		rc = -errno;
	if (rc < 0)
		return rc;
	fd = openat(folder_fd, DURABLE_NAME, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (fsync(fd) < 0 || fsync(folder_fd) < 0)
		rc = -errno;
	close(fd);
	return rc;
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

/* Syncs what has waited for `age_ns`. Returns when there is more to do (of clock_now), or INT64_MAX. */
static int64_t make_durable(struct batch *batch, int64_t age_ns)
{
	int64_t now_ns = clock_now(), next_ns = INT64_MAX;
	struct batch_job *job;
	uint32_t group_id;
	int fd;

	pthread_mutex_lock(&batch->lock);
	for (job = batch->first; job; job = job->next) {
		if (!batch_job_is_active(job) || job->is_durable)
			continue;
		if (job->dropped_ns + age_ns > now_ns) {
			if (job->dropped_ns + age_ns < next_ns)
				next_ns = job->dropped_ns + age_ns;
			continue;
		}
		job->is_durable = true;		/* or has been tried */
		group_id = job->group_id;
		fd = batch_job_open_folder(batch, job);
		pthread_mutex_unlock(&batch->lock);
		if (fd >= 0 && sync_folder(fd) == 0)
			sync_names(batch, group_id);
		if (fd >= 0)
			close(fd);
		pthread_mutex_lock(&batch->lock);
		job = batch->first;		/* the list may have changed */
		if (!job)
			break;
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

static int64_t ctime_ns(const struct stat *st)
{
	return (int64_t)st->st_ctim.tv_sec * CLOCK_SECOND + st->st_ctim.tv_nsec;
}

/* Files that no job has and nobody writes go when their time is over, and directories that are then empty. */
static int sweep_visited(struct spool_visit *visit, int dir_fd, const char *name, const char *path, const struct stat *st)
{
	struct sweep *sweep = visit->arg;
	struct batch *batch = sweep->batch;
	struct stat now;

	(void)path;
	pthread_mutex_lock(&batch->lock);
	if (fstatat(dir_fd, name, &now, AT_SYMLINK_NOFOLLOW) == 0 && ctime_ns(&now) < sweep->before_ns) {
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
	remove_locked(batch, job);
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

/* ---- taking up ---- */

/* The id of the job that was published last; 0. */
static uint64_t published_id(struct batch *batch)
{
	struct store_snap *snap;
	struct slice position;
	uint64_t id = 0;

	if (store_snap_begin(batch->store, &snap) < 0)
		return 0;
	if (store_get(snap, STORE_POSITIONS, slice_str(POSITION_KEY), &position) == 0 && num_parse_u64(position, &id) < 0)
		id = 0;
	store_snap_end(snap);
	return id;
}

static int read_status(int folder_fd, uint32_t group_id, struct batch_job **out)
{
	int fd = openat(folder_fd, "status", O_RDONLY | O_NOFOLLOW | O_CLOEXEC), rc;
	char *text;
	ssize_t n;

	if (fd < 0)
		return -errno;
	text = malloc(STATUS_MAX);
	n = text ? read(fd, text, STATUS_MAX) : -1;
	rc = n < 0 ? -EBADMSG : report_parse(slice_of(text, (size_t)n), group_id, out);
	close(fd);
	free(text);
	return rc;
}

struct takeup {
	struct batch *batch;
	uint32_t group_id;
	uint64_t published;
	bool is_same_boot;
	struct buf jobs;		/* of pointers */
};

/* One folder of a job. What can't be trusted is removed. */
static int take_up_job(struct takeup *takeup, int jobs_fd, const char *name)
{
	int fd = openat(jobs_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), rc;
	struct batch_job *job = NULL;
	uint64_t id;

	if (fd < 0)
		return 0;
	rc = num_parse_u64(slice_str(name), &id);
	if (rc == 0)
		rc = read_status(fd, takeup->group_id, &job);
	if (rc == 0 && job->id != id)
		rc = -EBADMSG;
	if (rc == 0) {
		job->is_durable = faccessat(fd, DURABLE_NAME, F_OK, 0) == 0;
		job->has_rejects = faccessat(fd, "rejects", F_OK, 0) == 0;
		if (id >= takeup->batch->next_id)
			takeup->batch->next_id = id + 1;
	}
	close(fd);
	if (rc == 0 && batch_job_is_active(job) && id != takeup->published && !takeup->is_same_boot && !job->is_durable) {
		log_warn("import %" PRIu64 " (%s) had not reached the disk when the power went: drop it again", id, job->name);
		rc = -ESTALE;
	}
	if (rc == 0)
		buf_append(&takeup->jobs, &job, sizeof job);
	else
		spool_remove(jobs_fd, name);
	if (rc < 0)
		batch_job_free(job);
	return buf_error(&takeup->jobs);
}

static int take_up_visited(struct spool_visit *visit, int dir_fd, const char *name, const char *path, const struct stat *st)
{
	return S_ISDIR(st->st_mode) && !strchr(path, '/') ? take_up_job(visit->arg, dir_fd, name) : 0;
}

static int compare_ids(const void *a, const void *b)
{
	const struct batch_job *x = *(const struct batch_job *const *)a, *y = *(const struct batch_job *const *)b;

	return (x->id > y->id) - (x->id < y->id);
}

/* What is listed in .import, and does not belong to a job: whole files stay, what was interrupted goes. */
static int take_up_file(struct spool_visit *visit, int dir_fd, const char *name, const char *path, const struct stat *st)
{
	struct takeup *takeup = visit->arg;
	struct batch *batch = takeup->batch;
	unsigned marks = spool_marks(st);
	bool is_whole = takeup->is_same_boot && (marks & MARK_CLOSED) && !(spool_is_ignored(path) && !strchr(path, '/'));

	if (S_ISDIR(st->st_mode)) {
		atomic_fetch_add(&batch->files, 1);
		return 0;
	}
	if (marks & MARK_SEALED ? !(marks & MARK_LOADED) && st->st_nlink == 1 && strcmp(name, SUCCESS_NAME) : !is_whole) {
		unlinkat(dir_fd, name, 0);
		return 0;
	}
	atomic_fetch_add(&batch->files, 1);
	if (!(marks & MARK_LOADED))
		atomic_fetch_add(&batch->bytes, (uint64_t)st->st_size);
	return 0;
}

/* Files of a job that have no other name any more still take their room. */
static int charge_visited(struct spool_visit *visit, int dir_fd, const char *name, const char *path, const struct stat *st)
{
	struct batch *batch = visit->arg;

	(void)dir_fd;
	(void)name;
	(void)path;
	if (S_ISREG(st->st_mode) && st->st_nlink == 1)
		atomic_fetch_add(&batch->bytes, (uint64_t)st->st_size);
	return 0;
}

static void charge_job(struct batch *batch, const struct batch_job *job)
{
	struct spool_visit visit = { .visit = charge_visited, .arg = batch };
	int folder_fd = batch_job_open_folder(batch, job), fd;

	if (folder_fd < 0)
		return;
	fd = openat(folder_fd, "data", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		spool_walk(fd, &visit);
		close(fd);
	}
	close(folder_fd);
}

static void walk_folder(struct batch *batch, uint32_t group_id, const char *folder, struct spool_visit *visit)
{
	int fd = spool_open_folder(batch, group_id, folder);

	if (fd >= 0) {
		spool_walk(fd, visit);
		close(fd);
	}
}

/* Returns a job's state to what it is after the end of the daemon. */
static void settle_job(struct batch *batch, struct batch_job *job, uint64_t published)
{
	static const struct why none;

	if (!batch_job_is_active(job)) {
		release_files(batch, job, job->state);	/* if that was not finished */
		return;
	}
	if (job->id == published) {
		job->permille = 1000;
		end_job(batch, job, JOB_DONE, &none);
	} else {
		job->state = JOB_WAITING;
	}
}

/* The end may have come while a drop became a job: it is a drop again. */
static int undo_making(struct batch *batch, uint32_t group_id)
{
	int fd = spool_open_folder(batch, group_id, "jobs"), rc;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	rc = drop_undo(fd);
	close(fd);
	return rc;
}

static int take_up_group(struct batch *batch, uint32_t group_id, uint64_t published, bool is_same_boot)
{
	struct takeup takeup = { .batch = batch, .group_id = group_id, .published = published, .is_same_boot = is_same_boot };
	struct spool_visit visit = { .visit = take_up_visited, .arg = &takeup };
	struct batch_job **jobs;
	size_t n;
	int rc;

	rc = undo_making(batch, group_id);
	walk_folder(batch, group_id, "jobs", &visit);
	rc = rc < 0 ? rc : buf_error(&takeup.jobs);
	jobs = (struct batch_job **)(void *)takeup.jobs.data;
	n = rc < 0 ? 0 : takeup.jobs.len / sizeof *jobs;
	if (n)
		qsort(jobs, n, sizeof *jobs, compare_ids);
	visit.visit = take_up_file;
	walk_folder(batch, group_id, "in", &visit);
	for (size_t i = 0; i < n; i++) {
		charge_job(batch, jobs[i]);
		settle_job(batch, jobs[i], published);
		pthread_mutex_lock(&batch->lock);
		jobs[i]->next = NULL;
		*batch->last = jobs[i];
		batch->last = &jobs[i]->next;
		batch->n_jobs++;
		pthread_mutex_unlock(&batch->lock);
	}
	buf_release(&takeup.jobs);
	return rc;
}

/* Jobs of all groups in one order. */
static int sort_jobs(struct batch *batch)
{
	struct batch_job **list = malloc((batch->n_jobs + 1) * sizeof *list), *job;
	unsigned n = 0;

	if (!list)
		return -ENOMEM;
	for (job = batch->first; job; job = job->next)
		list[n++] = job;
	qsort(list, n, sizeof *list, compare_ids);
	batch->last = &batch->first;
	for (unsigned i = 0; i < n; i++) {
		*batch->last = list[i];
		batch->last = &list[i]->next;
	}
	*batch->last = NULL;
	free(list);
	return 0;
}

/* The text of the boot, with what tests say; "" if it can't be read, which is like no boot at all. */
static void read_boot(char out[BOOT_MAX])
{
	const char *test = getenv("FEATUREFS_TEST_BOOT_ID");
	int fd = test && *test ? -1 : open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, out, BOOT_MAX - 1);

	out[n > 0 ? n : 0] = '\0';
	if (test && *test)
		snprintf(out, BOOT_MAX, "%s", test);
	if (fd >= 0)
		close(fd);
}

static bool is_same_boot(struct batch *batch, const char *boot)
{
	int fd = openat(batch->fd, "boot", O_RDONLY | O_CLOEXEC);
	char text[BOOT_MAX];
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, text, sizeof text - 1);
	close(fd);
	return n > 0 && boot[0] && slice_equal(slice_of(text, (size_t)n), slice_str(boot));
}

/* Whole or not at all: after a crash in the middle of it everything that waits would be taken for what a loss of power has left. */
static int write_boot(struct batch *batch, const char *boot)
{
	int fd = openat(batch->fd, "boot.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), rc = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, boot, strlen(boot)) != (ssize_t)strlen(boot) || fsync(fd) < 0 ||
	    renameat(batch->fd, "boot.new", batch->fd, "boot") < 0 || fsync(batch->fd) < 0)
		rc = -errno;
	close(fd);
	return rc;
}

static int take_up(struct batch *batch)
{
	uint64_t published = published_id(batch), id;
	struct buf ids = { 0 };
	char boot[BOOT_MAX];
	bool is_same;
	int rc;

	read_boot(boot);
	is_same = is_same_boot(batch, boot);
	batch->next_id = published + 1;
	spool_remove(batch->fd, "sort");
	rc = spool_list_groups(batch, &ids);
	for (size_t i = 0; rc == 0 && i < ids.len; i += sizeof id) {
		memcpy(&id, ids.data + i, sizeof id);
		rc = take_up_group(batch, (uint32_t)id, published, is_same);
	}
	if (rc == 0)
		rc = sort_jobs(batch);
	if (rc == 0 && !is_same)
		rc = write_boot(batch, boot);
	pthread_mutex_lock(&batch->lock);
	for (size_t i = 0; rc == 0 && i < ids.len; i += sizeof id) {
		memcpy(&id, ids.data + i, sizeof id);
		drop_arm_all_locked(batch, (uint32_t)id);
	}
	pthread_mutex_unlock(&batch->lock);
	buf_release(&ids);
	return rc;
}

/* ---- starting and stopping ---- */

int batch_job_start(struct batch *batch, struct why *why)
{
	int rc = take_up(batch);

	if (rc < 0)
		return why_fail(why, -rc, "the spool %s/spool cannot be taken up: %s", store_path(batch->store), strerror(-rc));
	if (batch->options.read_only)
		return 0;
	rc = -pthread_create(&batch->worker, NULL, work, batch);
	batch->has_worker = rc == 0;
	if (rc == 0) {
		rc = -pthread_create(&batch->keeper, NULL, keep, batch);
		batch->has_keeper = rc == 0;
	}
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
	if (batch->has_keeper)
		pthread_join(batch->keeper, NULL);
	if (batch->has_keeper)
		make_durable(batch, 0);
	while (batch->first)
		remove_locked(batch, batch->first);
}
