/* SPDX-License-Identifier: MIT */
/*
 * How a drop becomes a job. The job's folder is made under a name that nobody looks for, its files are linked into it and marked as sealed, and the
 * folder gets its name when all of that is done: the job is there then, or the drop is what it was.
 *
 * A drop that can't be made a job is a load that has failed: it is taken out of .import, as what fails later is, so that the next rsync sends it
 * again, and so that it does not keep the room that may be what was lacking.
 */
#include "batch/private.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/log.h"

/* A job that is being made. */
struct seal {
	struct batch_job *job;
	int data_fd;
};

bool seal_is_fresh(const char *path, const struct stat *st)
{
	return S_ISREG(st->st_mode) && !spool_is_ignored_path(path) && !(spool_marks(st) & MARK_SEALED);
}

static int link_file(struct seal *seal, int dir_fd, const char *name, const struct stat *st)
{
	char link[BATCH_NAME_MAX + 16];

	snprintf(link, sizeof link, "%06u.%s", seal->job->n_files, name);
	if (linkat(dir_fd, name, seal->data_fd, link, 0) < 0)
		return -errno;
	if (fchmodat(dir_fd, name, SPOOL_MODE | spool_marks(st) | MARK_SEALED, 0) < 0)
		return -errno;
	seal->job->n_files++;
	seal->job->bytes += (uint64_t)st->st_size;
	return 0;
}

static int link_visited(struct spool_visit *visit, int dir_fd, const char *name, const char *path, const struct stat *st)
{
	return seal_is_fresh(path, st) ? link_file(visit->arg, dir_fd, name, st) : 0;
}

/* Takes the seals off again, by the links. */
static int unseal_visited(struct spool_visit *visit, int dir_fd, const char *name, const char *path, const struct stat *st)
{
	(void)visit;
	(void)path;
	if (S_ISREG(st->st_mode))
		fchmodat(dir_fd, name, SPOOL_MODE | (spool_marks(st) & ~(unsigned)MARK_SEALED), 0);
	return 0;
}

int seal_undo(int jobs_fd)
{
	struct spool_visit visit = { .visit = unseal_visited };
	int fd = openat(jobs_fd, ".new", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	rc = spool_walk(fd, &visit);
	close(fd);
	return rc < 0 ? rc : spool_remove(jobs_fd, ".new");
}

/* Links everything of a drop into the folder jobs/.new. */
static int link_all(struct seal *seal, int fd, const char *file)
{
	struct spool_visit visit = { .visit = link_visited, .arg = seal };
	struct stat st;

	if (!file)
		return spool_walk(fd, &visit);
	if (fstatat(fd, file, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return link_file(seal, fd, file, &st);
}

static int make_folder(struct batch *batch, uint32_t group_id, int *out_jobs, int *out_data)
{
	int jobs_fd = spool_open_folder(batch, group_id, "jobs"), rc = 0;

	if (jobs_fd < 0)
		return jobs_fd;
	rc = seal_undo(jobs_fd);
	if (rc == 0 && (mkdirat(jobs_fd, ".new", 0700) < 0 || mkdirat(jobs_fd, ".new/data", 0700) < 0))
		rc = -errno;
	if (rc == 0) {
		*out_data = openat(jobs_fd, ".new/data", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		rc = *out_data < 0 ? -errno : 0;
	}
	if (rc < 0)
		close(jobs_fd);
	else
		*out_jobs = jobs_fd;
	return rc;
}

/* Puts the report into the folder, and gives it its name: that is the moment at which the job is there. */
static int name_folder(const struct batch_job *job, int jobs_fd)
{
	int fd = openat(jobs_fd, ".new", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = fd < 0 ? -errno : report_save_at(fd, job);
	char name[32];

	if (fd >= 0)
		close(fd);
	snprintf(name, sizeof name, "%" PRIu64, job->id);
	if (rc == 0 && renameat(jobs_fd, ".new", jobs_fd, name) < 0)
		rc = -errno;
	return rc;
}

int seal_locked(struct batch *batch, struct batch_job *job, int fd, const char *file)
{
	struct seal seal = { .job = job };
	int jobs_fd, rc;

	rc = make_folder(batch, job->group_id, &jobs_fd, &seal.data_fd);
	if (rc < 0)
		return rc;
	rc = link_all(&seal, fd, file);
	if (rc == 0 && job->n_files)
		rc = name_folder(job, jobs_fd);
	if (rc < 0)
		seal_undo(jobs_fd);
	close(seal.data_fd);
	close(jobs_fd);
	if (rc < 0)
		return rc;
	if (job->n_files)
		batch_job_add_locked(batch, job);
	else
		batch_job_free(job);
	return 0;
}

void seal_refuse_locked(struct batch *batch, struct batch_job *job, const struct why *why)
{
	int jobs_fd, data_fd;

	job->state = JOB_FAILED;
	job->ended_ns = clock_now();
	job->reason = *why;
	job->n_files = 0;
	if (make_folder(batch, job->group_id, &jobs_fd, &data_fd) == 0) {
		name_folder(job, jobs_fd);
		close(data_fd);
		close(jobs_fd);
	}
	batch_job_add_locked(batch, job);
}

/* ---- what can't become a job ---- */

/* Its room is free at once, whoever has it open. */
static void take_out(struct batch *batch, int dir_fd, const char *name, const struct stat *st)
{
	int fd = openat(dir_fd, name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd >= 0 && ftruncate(fd, 0) < 0)
		log_warn("spool: %s cannot be emptied: %s", name, strerror(errno));
	if (fd >= 0)
		close(fd);
	if (unlinkat(dir_fd, name, 0) < 0)
		log_warn("spool: %s cannot be removed: %s", name, strerror(errno));
	else
		file_forget_name(batch, st);
}

static int take_out_visited(struct spool_visit *visit, int dir_fd, const char *name, const char *path, const struct stat *st)
{
	if (seal_is_fresh(path, st) || !strcmp(path, SUCCESS_NAME))
		take_out(visit->arg, dir_fd, name, st);
	return 0;
}

void seal_fail_locked(struct batch *batch, struct batch_job *job, int fd, const char *file, int rc)
{
	struct spool_visit visit = { .visit = take_out_visited, .arg = batch };
	struct stat st;
	struct why why;

	why_fail(&why, -rc, "what was dropped cannot be taken over: %s", strerror(-rc));
	log_error("import %" PRIu64 " (%s): %s", job->id, job->name, why.text);
	if (fd >= 0 && !file) {
		spool_walk(fd, &visit);
		batch_job_unlist_folder(batch, job);
	} else if (fd >= 0 && fstatat(fd, file, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		take_out(batch, fd, file, &st);
	}
	seal_refuse_locked(batch, job, &why);
}
