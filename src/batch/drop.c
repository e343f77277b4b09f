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
 * To make a job is to link its files into its folder (seal.c). From then on they are sealed: nobody writes to them any more. Where that can't be done,
 * for the disk is full, the drop waits as long as jobs do that are before it, and for some seconds at least.
 */
#include "batch/private.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/log.h"

enum {
	AGAIN_S = 1,			/* between two tries to take over what waits for room */
	GIVE_UP_S = 5,			/* such tries: a disk may need moments to give back what was removed */
};

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

void drop_forget_pending_locked(struct batch *batch, struct drop *drop)
{
	drop->pending_id = 0;
	drop->lacks = 0;
	drop_settle_locked(batch, drop);
}

/* From now on its report is that of the job that it becomes. */
static void set_pending(struct batch *batch, struct drop *drop)
{
	if (!drop->pending_id)
		drop->pending_id = batch->next_id++;
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

/* ---- a drop that is whole ---- */

/* May it be gone the next time? */
static bool is_passing(int rc)
{
	return rc == -ENOSPC || rc == -EDQUOT || rc == -EMFILE || rc == -ENFILE || rc == -ENOMEM;
}

/* The drop, if it is to wait; NULL. */
static struct drop *make_wait(struct batch *batch, const struct batch_job *job, int rc)
{
	struct drop *drop = is_passing(rc) ? drop_get_locked(batch, job->group_id, slice_str(job->name)) : NULL;
	int64_t now_ns = clock_monotonic();

	if (!drop)
		return NULL;
	if (!drop->lacks) {
		drop->lacks_since_ns = now_ns;
		log_warn("import %" PRIu64 " (%s) waits, for it cannot be taken over: %s", job->id, job->name, strerror(-rc));
	}
	drop->lacks = rc;
	return now_ns - drop->lacks_since_ns < GIVE_UP_S * CLOCK_SECOND || batch_job_any_active_locked(batch) ? drop : NULL;
}

/*
 * Nothing of the drop has become a job, for that reason. While jobs are before it, it has to wait anyway, and they may give back what is lacking;
 * where none is, it waits for moments, and then it is a load that has failed. -EAGAIN: it waits. 0: its job has ended. `fd` and `file` as for
 * seal_locked. Takes the job.
 */
static int put_off(struct batch *batch, struct batch_job *job, int fd, const char *file, int rc)
{
	struct drop *drop = make_wait(batch, job, rc);

	if (!drop) {
		seal_fail_locked(batch, job, fd, file, rc);
		return 0;
	}
	drop->pending_id = job->id;
	batch_job_free(job);
	pthread_cond_signal(&batch->keeper_wake);
	return -EAGAIN;
}

/* ---- files ---- */

static int check_file(struct batch *batch, int fd, const struct stat *st, bool by_rename, struct batch_job *job, struct why *why)
{
	int rc = read_settings(batch, job->group_id, fd, &job->settings, why);

	if (rc < 0)
		return rc;
	if (st->st_size == 0)
		return why_fail(why, EINVAL, "the file is empty");
	if (job->settings.mode == INGEST_LOAD_SNAPSHOT && !by_rename && !(spool_marks(st) & MARK_RENAMED))
		return why_fail(why, EINVAL, "mode snapshot takes only what was renamed into place or came with a _SUCCESS, for a copy that "
				"was interrupted looks like a finished one; `mv` the file to another name here, or use featurectl import");
	return 0;
}

/* 0, -EAGAIN, as put_off. Takes the job. */
static int seal_file_at(struct batch *batch, struct batch_job *job, int dir_fd, const char *name, bool by_rename)
{
	int fd = dir_fd < 0 ? dir_fd : openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), rc = 0;
	struct why why = { "" };
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		rc = dir_fd < 0 ? dir_fd : -errno;
	if (rc == 0 && check_file(batch, fd, &st, by_rename, job, &why) < 0)
		seal_refuse_locked(batch, job, &why);
	else if (rc == 0)
		rc = seal_locked(batch, job, dir_fd, name);
	if (fd >= 0)
		close(fd);
	return rc < 0 ? put_off(batch, job, dir_fd, name, rc) : 0;
}

static void seal_file(struct batch *batch, uint32_t group_id, const char *name, bool by_rename)
{
	struct drop *drop = drop_find_locked(batch, group_id, slice_str(name));
	struct batch_job *job = batch_job_new(take_id(batch, drop), group_id, slice_str(name));
	int dir_fd = spool_open(batch, group_id, "", O_RDONLY | O_DIRECTORY), rc = 0;

	if (job)
		rc = seal_file_at(batch, job, dir_fd, name, by_rename);
	else
		log_error("import of %s: no memory; drop it again", name);
	if (drop && rc != -EAGAIN) {
		drop->lacks = 0;
		drop_settle_locked(batch, drop);
	}
	if (dir_fd >= 0)
		close(dir_fd);
}

/* A file that could not be taken over before. */
static void try_file_again(struct batch *batch, struct drop *drop)
{
	struct stat st;
	int rc = spool_stat(batch, drop->group_id, drop->name, &st);

	if (rc == -ENOENT || (rc == 0 && !seal_is_fresh(drop->name, &st)))
		drop_forget_pending_locked(batch, drop);
	else
		seal_file(batch, drop->group_id, drop->name, false);
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
	return !spool_is_ignored_path(path) || !strcmp(strchr(path, '/') + 1, SUCCESS_NAME);
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

static bool is_later(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec : a->tv_nsec > b->tv_nsec;
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
	if (!seal_is_fresh(path, st))
		return 0;
	survey->n_fresh++;
	if (is_later(&st->st_ctim, &survey->youngest))
		survey->youngest = st->st_ctim;
	return 0;
}

enum verdict { VERDICT_NOTHING, VERDICT_WAIT, VERDICT_START, VERDICT_AGAIN };

/* May the directory start? `fd` is its own. */
static enum verdict judge(struct batch *batch, const struct drop *drop, int fd, const struct settings *settings, int64_t now_ns)
{
	struct survey survey = { 0 };
	struct spool_visit visit = { .visit = survey_visited, .arg = &survey };
	struct stat success;
	bool is_used;
	int rc;

	if (fstatat(fd, SUCCESS_NAME, &success, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(success.st_mode))
		return VERDICT_NOTHING;
	rc = spool_walk(fd, &visit);
	if (rc < 0)
		return is_passing(rc) ? VERDICT_AGAIN : VERDICT_NOTHING;
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

/* Makes the job of a directory; `rc` and `why` are those of its settings. 0, -EAGAIN, as put_off. */
static int seal_directory(struct batch *batch, struct drop *drop, int fd, const struct settings *settings, int rc, const struct why *why)
{
	struct batch_job *job = batch_job_new(take_id(batch, drop), drop->group_id, slice_str(drop->name));

	if (!job)
		return 0;
	job->settings = *settings;
	if (rc < 0) {
		seal_refuse_locked(batch, job, why);
	} else {
		rc = seal_locked(batch, job, fd, NULL);
		if (rc < 0 && put_off(batch, job, fd, NULL, rc) == -EAGAIN)
			return -EAGAIN;
	}
	fchmodat(fd, SUCCESS_NAME, SPOOL_MODE | MARK_CLOSED | MARK_SEALED, 0);
	return 0;
}

/* Looks at an armed directory that nobody writes to. */
static enum verdict look(struct batch *batch, struct drop *drop, int64_t now_ns)
{
	int fd = spool_open(batch, drop->group_id, drop->name, O_RDONLY | O_DIRECTORY), rc;
	enum verdict verdict = VERDICT_NOTHING;
	struct settings settings = { 0 };
	struct why why = { "" };

	if (fd < 0)
		return is_passing(fd) ? VERDICT_AGAIN : VERDICT_NOTHING;
	rc = read_settings(batch, drop->group_id, fd, &settings, &why);
	verdict = judge(batch, drop, fd, &settings, now_ns);
	if (verdict == VERDICT_START && seal_directory(batch, drop, fd, &settings, rc, &why) == -EAGAIN)
		verdict = VERDICT_AGAIN;
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

/* When is the drop to be looked at again? INT64_MAX: it is what it will be, and may be gone. */
static int64_t look_at(struct batch *batch, struct drop *drop, int64_t now_ns)
{
	enum verdict verdict;

	if (!drop->is_armed) {
		try_file_again(batch, drop);
		return now_ns + AGAIN_S * CLOCK_SECOND;
	}
	verdict = look(batch, drop, now_ns);
	if (verdict == VERDICT_WAIT)
		return drop->last_ns + batch->options.settle_ns;
	if (verdict == VERDICT_AGAIN)
		return now_ns + AGAIN_S * CLOCK_SECOND;
	drop->is_armed = drop->is_signed = false;
	drop_forget_pending_locked(batch, drop);	/* of one that has become no job */
	return INT64_MAX;
}

int64_t drop_look_locked(struct batch *batch)
{
	int64_t now_ns = clock_monotonic(), next_ns = INT64_MAX;
	struct drop *drop = batch->drops, *next;

	for (; drop; drop = next) {
		int64_t again_ns = drop->lacks ? now_ns + AGAIN_S * CLOCK_SECOND : INT64_MAX;

		next = drop->next;
		if ((drop->is_armed || drop->lacks) && !drop->n_writers)
			again_ns = look_at(batch, drop, now_ns);
		if (again_ns < next_ns)
			next_ns = again_ns;
	}
	return next_ns;
}

/* Was the file refused as it is, before it was read? Such a one stays, for its owner to rename it. */
static bool was_refused(const struct batch *batch, uint32_t group_id, const char *name, const struct stat *st)
{
	int64_t changed_ns = clock_from_timespec(&st->st_ctim);

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
