/* SPDX-License-Identifier: MIT */
/*
 * Taking up what the last end left, before any thread runs: jobs that waited or ran wait again, jobs whose end was cut short are ended, and
 * what was dropped and never became a job is listed again or removed.
 *
 * Whether a load was published before the end is known from the position that its publishing commit stored: the id of the job.
 *
 * Within one boot of the machine the page cache has all that was written, so what was closed is whole, and what was not is a copy that the end has
 * interrupted. Behind a loss of power only what the keeper has marked as durable can be trusted; all else that waited is removed.
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
#include "base/num.h"

enum {
	BOOT_MAX = 64,
	STATUS_MAX = 64 << 10,
};

/* The id of the job that was published last; 0. */
static uint64_t published_id(struct batch *batch)
{
	struct store_snap *snap;
	struct slice position;
	uint64_t id = 0;

	if (store_snap_begin(batch->store, &snap) < 0)
		return 0;
	if (store_get(snap, STORE_POSITIONS, slice_str(JOB_POSITION_KEY), &position) == 0 && num_parse_u64(position, &id) < 0)
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
		job->was_synced = faccessat(fd, JOB_UNSYNCED, F_OK, 0) == 0;
		job->is_durable = faccessat(fd, JOB_DURABLE, F_OK, 0) == 0;
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
	int folder_fd = batch_job_open_folder(batch, job);

	if (folder_fd < 0)
		return;
	batch_job_walk_data(folder_fd, &visit);
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
		batch_job_release_files(batch, job, job->state);	/* if that was not finished */
		return;
	}
	if (job->id == published) {
		job->permille = 1000;
		batch_job_end(batch, job, JOB_DONE, &none);
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
	rc = seal_undo(fd);
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

int takeup_all(struct batch *batch)
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
