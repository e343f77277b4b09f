/* SPDX-License-Identifier: MIT */
/*
 * When a drop is whole, and becomes a job.
 *
 * A file directly in .import: when its last writer closes it, or when it is renamed to where it is (rsync, and who else writes beside and then
 * renames). A copy that was interrupted closes its file as a finished one does, so mode snapshot, which takes away what is not in the
 * load, goes by a rename alone.
 *
 * A directory: by a _SUCCESS in it. Spark writes that last; but cp -r and rsync copy in an order of their own, and _SUCCESS may come before
 * the parts. So a directory with a _SUCCESS starts when its copier has set the directory's times, which rsync -a, cp -a and tar do
 * at their very end, or when nothing has come for a while (batch.settle). Mode snapshot does not go by that while: it takes
 * the times, or a _SUCCESS that is younger than the parts. A _SUCCESS is good for one job; parts that come later wait for the next sign.
 *
 * Names that begin with '.' or '_' are no data, at any depth: what is dropped below them waits for its rename.
 *
 * To make a job is to link its files into its folder. From then on they are sealed: nobody writes to them any more.
 */
#include "batch/private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/log.h"

/* ---- the table ---- */

struct drop *drop_find_locked(struct batch *batch, uint32_t group_id, struct slice name)
{
	struct drop *drop = batch->drops;

	while (drop && (drop->group_id != group_id || !slice_equal(slice_str(drop->name), name)))
		drop = drop->next;
	return drop;
}

struct drop *drop_get_locked(struct batch *batch, uint32_t group_id, struct slice name)
{
	struct drop *drop = drop_find_locked(batch, group_id, name);

	if (drop)
		return drop;
	drop = calloc(1, sizeof *drop + name.len + 1);
	if (!drop)
		return NULL;
	drop->group_id = group_id;
	memcpy(drop->name, name.data, name.len);
	drop->last_ns = clock_monotonic();
	drop->next = batch->drops;
	batch->drops = drop;
	return drop;
}

void drop_settle_locked(struct batch *batch, struct drop *drop)
{
	struct drop **at = &batch->drops;

	if (drop->n_writers || drop->pending_id || drop->is_armed)
		return;
	while (*at != drop)
		at = &(*at)->next;
	*at = drop->next;
	free(drop);
}

void drop_free_all(struct batch *batch)
{
	while (batch->drops) {
		struct drop *drop = batch->drops;

		batch->drops = drop->next;
		free(drop);
	}
}

void drop_move_writer_locked(struct batch *batch, struct writer *writer, uint32_t group_id, const char *path)
{
	struct drop *was = writer->drop;

	writer->drop = spool_is_ignored(path) ? NULL : drop_get_locked(batch, group_id, spool_top(path));
	if (writer->drop)
		writer->drop->n_writers++;
	if (was) {
		was->n_writers--;
		drop_settle_locked(batch, was);
	}
}

static uint64_t take_id(struct batch *batch, struct drop *drop)
{
	uint64_t id = drop && drop->pending_id ? drop->pending_id : batch->next_id++;

	if (drop)
		drop->pending_id = 0;
	return id;
}

/* From now on its report is that of the job that it becomes. */
static void set_pending(struct batch *batch, struct drop *drop)
{
	if (!drop->pending_id)
		drop->pending_id = batch->next_id++;
}

/* ---- sealing ---- */

/* A job that is being made. */
struct seal {
	struct batch *batch;
	struct batch_job *job;
	int data_fd;
	bool is_younger;		/* _SUCCESS than all parts */
	struct timespec success;
};

static bool is_ignored_path(const char *path)
{
	for (; *path; path += strcspn(path, "/"), path += *path == '/')
		if (spool_is_ignored(path))
			return true;
	return false;
}

static bool is_later(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec : a->tv_nsec > b->tv_nsec;
}

static bool is_fresh_data(const char *path, const struct stat *st)
{
	return S_ISREG(st->st_mode) && !is_ignored_path(path) && !(spool_marks(st) & MARK_SEALED);
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
	return is_fresh_data(path, st) ? link_file(visit->arg, dir_fd, name, st) : 0;
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

int drop_undo(int jobs_fd)
{
	struct spool_visit visit = { .visit = unseal_visited };
	int fd = openat(jobs_fd, ".new", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	rc = spool_walk(fd, &visit);
	close(fd);
	return rc < 0 ? rc : spool_remove(jobs_fd, ".new");
}

/* Links everything of a drop into the folder jobs/.new. `fd` is the directory's, or the file's own folder. */
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
	rc = drop_undo(jobs_fd);
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
	snprintf(name, sizeof name, "%llu", (unsigned long long)job->id);
	if (rc == 0 && renameat(jobs_fd, ".new", jobs_fd, name) < 0)
		rc = -errno;
	return rc;
}

/* A job that has no files and never runs: a drop that can't be loaded as it is. */
static void add_refused(struct batch *batch, struct batch_job *job, const struct why *why)
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

static void fail_seal(struct batch *batch, struct batch_job *job, int rc)
{
	struct why why;

	why_fail(&why, -rc, "what was dropped cannot be taken over: %s", strerror(-rc));
	log_error("import %llu (%s): %s", (unsigned long long)job->id, job->name, why.text);
	add_refused(batch, job, &why);
}

/* Makes the job of a drop; `file` NULL: it is a directory. The job goes into the queue, or is freed if there is nothing to load. */
static void seal(struct batch *batch, struct batch_job *job, int fd, const char *file)
{
	struct seal seal = { .batch = batch, .job = job };
	int jobs_fd, rc;

	rc = make_folder(batch, job->group_id, &jobs_fd, &seal.data_fd);
	if (rc < 0) {
		fail_seal(batch, job, rc);
		return;
	}
	rc = link_all(&seal, fd, file);
	if (rc == 0 && job->n_files)
		rc = name_folder(job, jobs_fd);
	if (rc < 0)
		drop_undo(jobs_fd);
	close(seal.data_fd);
	close(jobs_fd);
	if (rc < 0)
		fail_seal(batch, job, rc);
	else if (job->n_files)
		batch_job_add_locked(batch, job);
	else
		batch_job_free(job);
}

/* ---- settings ---- */

/* What the group and the drop say. Without the group's lock of any kind: the catalog is counted. */
static int read_settings(struct batch *batch, uint32_t group_id, int fd, struct settings *out, struct why *why)
{
	uint64_t number;
	struct catalog *cat = catalog_current_get(batch->cur, &number);
	const struct catalog_group *grp = catalog_find_id(cat, group_id);
	int rc = grp ? settings_of_group(grp, &batch->options, out, why) : why_fail(why, ENOENT, "the group was removed");

	catalog_unref(cat);
	return rc == 0 ? settings_of_drop(fd, out, why) : rc;
}

/* ---- files ---- */

static void seal_file(struct batch *batch, uint32_t group_id, const char *name, bool by_rename)
{
	struct drop *drop = drop_find_locked(batch, group_id, slice_str(name));
	struct batch_job *job = batch_job_new(take_id(batch, drop), group_id, slice_str(name));
	int dir_fd = spool_open(batch, group_id, "", O_RDONLY | O_DIRECTORY), fd = -1, rc = 0;
	struct why why = { "" };
	struct stat st;

	if (drop)
		drop_settle_locked(batch, drop);
	if (!job) {
		log_error("import of %s: no memory; drop it again", name);
		goto out;
	}
	fd = dir_fd < 0 ? -1 : openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0) {
		fail_seal(batch, job, -errno);
		goto out;
	}
	rc = read_settings(batch, group_id, fd, &job->settings, &why);
	if (rc == 0 && st.st_size == 0)
		rc = why_fail(&why, EINVAL, "the file is empty");
	if (rc == 0 && job->settings.mode == INGEST_LOAD_SNAPSHOT && !by_rename && !(spool_marks(&st) & MARK_RENAMED))
		rc = why_fail(&why, EINVAL, "mode snapshot takes only what was renamed into place or came with a _SUCCESS, for a copy that "
			      "was interrupted looks like a finished one; `mv` the file to another name here, or use featurectl import");
	if (rc < 0)
		add_refused(batch, job, &why);
	else
		seal(batch, job, dir_fd, name);
out:
	if (fd >= 0)
		close(fd);
	if (dir_fd >= 0)
		close(dir_fd);
}

/* ---- directories ---- */

static struct drop *arm(struct batch *batch, uint32_t group_id, const char *path)
{
	struct drop *drop = drop_get_locked(batch, group_id, spool_top(path));

	if (!drop)
		return NULL;
	drop->is_armed = true;
	drop->last_ns = clock_monotonic();
	pthread_cond_signal(&batch->keeper_wake);
	return drop;
}

/* What comes takes back a sign that was given before. */
static void arm_unsigned(struct batch *batch, uint32_t group_id, const char *path)
{
	struct drop *drop = arm(batch, group_id, path);

	if (drop)
		drop->is_signed = false;
}

/* Is it, below a directory, what a job is made of? */
static bool counts(const char *path)
{
	return !is_ignored_path(path) || !strcmp(strchr(path, '/') + 1, SUCCESS_NAME);
}

void drop_closed_locked(struct batch *batch, uint32_t group_id, const char *path)
{
	struct drop *drop;

	if (spool_is_ignored(path))
		return;
	if (strchr(path, '/')) {
		if (counts(path))
			arm_unsigned(batch, group_id, path);
		return;
	}
	drop = drop_get_locked(batch, group_id, slice_str(path));
	if (drop)
		set_pending(batch, drop);
}

void drop_came_locked(struct batch *batch, uint32_t group_id, const char *path, bool by_rename, bool was_closed)
{
	if (spool_is_ignored(path))
		return;
	if (!strchr(path, '/'))
		seal_file(batch, group_id, path, by_rename);
	else if (!counts(path))
		return;
	else if (was_closed)
		arm(batch, group_id, path);
	else
		arm_unsigned(batch, group_id, path);
}

struct survey {
	unsigned n_fresh;
	struct timespec youngest;
};

static int survey_visited(struct spool_visit *visit, int dir_fd, const char *name, const char *path, const struct stat *st)
{
	struct survey *survey = visit->arg;

	(void)dir_fd;
	(void)name;
	if (!is_fresh_data(path, st))
		return 0;
	survey->n_fresh++;
	if (is_later(&st->st_ctim, &survey->youngest))
		survey->youngest = st->st_ctim;
	return 0;
}

enum verdict { VERDICT_NOTHING, VERDICT_WAIT, VERDICT_START };

/* May the directory start? `fd` is its own. */
static enum verdict judge(struct batch *batch, const struct drop *drop, int fd, const struct settings *settings, int64_t now_ns)
{
	struct survey survey = { 0 };
	struct spool_visit visit = { .visit = survey_visited, .arg = &survey };
	struct stat success;
	bool is_used;

	if (fstatat(fd, SUCCESS_NAME, &success, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(success.st_mode) || spool_walk(fd, &visit) < 0)
		return VERDICT_NOTHING;
	is_used = spool_marks(&success) & MARK_SEALED;
	if (!survey.n_fresh || (is_used && !drop->is_signed))
		return VERDICT_NOTHING;
	if (drop->is_signed)
		return VERDICT_START;
	if (now_ns - drop->last_ns < batch->options.settle_ns)
		return VERDICT_WAIT;
	if (settings->mode == INGEST_LOAD_SNAPSHOT && is_later(&survey.youngest, &success.st_ctim))
		return VERDICT_NOTHING;
	return VERDICT_START;
}

/* Looks at an armed directory that nobody writes to. */
static enum verdict look(struct batch *batch, struct drop *drop, int64_t now_ns)
{
	int fd = spool_open(batch, drop->group_id, drop->name, O_RDONLY | O_DIRECTORY), rc;
	enum verdict verdict = VERDICT_NOTHING;
	struct settings settings = { 0 };
	struct why why = { "" };
	struct batch_job *job;

	if (fd < 0)
		return VERDICT_NOTHING;
	rc = read_settings(batch, drop->group_id, fd, &settings, &why);
	verdict = judge(batch, drop, fd, &settings, now_ns);
	if (verdict == VERDICT_START) {
		job = batch_job_new(take_id(batch, drop), drop->group_id, slice_str(drop->name));
		if (job) {
			job->settings = settings;
			if (rc < 0)
				add_refused(batch, job, &why);
			else
				seal(batch, job, fd, NULL);
			fchmodat(fd, SUCCESS_NAME, SPOOL_MODE | MARK_CLOSED | MARK_SEALED, 0);
		}
	}
	close(fd);
	return verdict;
}

void drop_signed_locked(struct batch *batch, uint32_t group_id, const char *path)
{
	struct settings settings = { 0 };
	struct drop *drop;
	int fd;

	if (spool_is_ignored(path))
		return;
	drop = arm(batch, group_id, path);
	if (!drop)
		return;
	drop->is_signed = !strchr(path, '/');
	fd = drop->is_signed ? spool_open(batch, group_id, path, O_RDONLY | O_DIRECTORY) : -1;
	if (fd < 0)
		return;
	if (judge(batch, drop, fd, &settings, drop->last_ns) == VERDICT_START)
		set_pending(batch, drop);
	close(fd);
}

int64_t drop_look_locked(struct batch *batch)
{
	int64_t now_ns = clock_monotonic(), next_ns = INT64_MAX;
	struct drop *drop = batch->drops, *next;

	for (; drop; drop = next) {
		next = drop->next;
		if (!drop->is_armed || drop->n_writers)
			continue;
		if (look(batch, drop, now_ns) == VERDICT_WAIT) {
			if (drop->last_ns + batch->options.settle_ns < next_ns)
				next_ns = drop->last_ns + batch->options.settle_ns;
			continue;
		}
		drop->is_armed = drop->is_signed = false;
		drop->pending_id = 0;		/* of one that has become no job */
		drop_settle_locked(batch, drop);
	}
	return next_ns;
}

/* Was the file refused as it is, before it was read? Such a one stays, for its owner to rename it. */
static bool was_refused(const struct batch *batch, uint32_t group_id, const char *name, const struct stat *st)
{
	int64_t changed_ns = (int64_t)st->st_ctim.tv_sec * CLOCK_SECOND + st->st_ctim.tv_nsec;

	for (const struct batch_job *job = batch->first; job; job = job->next)
		if (job->group_id == group_id && job->state == JOB_FAILED && !job->n_files && job->ended_ns >= changed_ns &&
		    !strcmp(job->name, name))
			return true;
	return false;
}

static int arm_visited(struct spool_visit *visit, int dir_fd, const char *name, const char *path, const struct stat *st)
{
	uint32_t *group_id = ((void **)visit->arg)[1];
	struct batch *batch = ((void **)visit->arg)[0];

	(void)dir_fd;
	(void)name;
	if (strchr(path, '/') || spool_is_ignored(path))
		return 0;
	if (S_ISDIR(st->st_mode))
		arm_unsigned(batch, *group_id, path);
	else if ((spool_marks(st) & MARK_CLOSED) && !(spool_marks(st) & MARK_SEALED) && !was_refused(batch, *group_id, path, st))
		seal_file(batch, *group_id, path, spool_marks(st) & MARK_RENAMED);
	return 0;
}

void drop_arm_all_locked(struct batch *batch, uint32_t group_id)
{
	void *args[2] = { batch, &group_id };
	struct spool_visit visit = { .visit = arm_visited, .arg = args };
	int fd = spool_open(batch, group_id, "", O_RDONLY | O_DIRECTORY);

	if (fd < 0)
		return;
	spool_walk(fd, &visit);
	close(fd);
}
