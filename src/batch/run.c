/* SPDX-License-Identifier: MIT */
/*
 * One load: the files of a job are read, row by row; ingest screens the rows, where something stands already, and keeps out those that change nothing;
 * the others go into an external sort, and what comes out of it, each entity once and in order, goes to
 * ingest, which makes all of it visible at once. Nothing is applied before everything was read, so a file that is broken at its end costs
 * nothing but the time of reading it.
 *
 * Rows that can't be taken are listed and counted. Reading, and judging by the group's rules, go on for a while past max_rejects, for whoever has to
 * mend the file wants to see more than the first bad row; the load has failed then. A definition that changes meanwhile begins the load anew.
 */
#include "batch/private.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "batch/ahead.h"
#include "batch/row.h"
#include "batch/screen.h"
#include "batch/sort.h"
#include "batch/source.h"

enum {
	LOOK_EVERY = 1024,		/* rows between two looks at the clock of others: cancelled? how far? */
	REJECTS_SHOWN = 1000,		/* rows that are refused beyond max_rejects, before the load ends */
	TRIES = 5,			/* definitions that change meanwhile */
	LARGE_BYTES = 64 << 20,		/* of a file */
	SCREEN_SHARE = 4,		/* sixteenths of the memory: the names of 12,000,000 rows, of 512 MiB */
	ROW_BYTES = 32,			/* of a file: of a short row */
	PERMILLE_READ = 500,		/* of the work, as the report shows it */
};

struct run {
	struct batch *batch;
	struct batch_job *job;
	struct why *why;
	const struct catalog_group *grp;	/* counted */
	struct batch_mapping *mapping;
	struct batch_sort *sort;
	struct ahead *ahead;		/* NULL: nothing is loaded yet */
	struct ingest_load *load;
	struct screening *screening;	/* NULL: rows are sorted as they come */
	struct rejects rejects;
	struct batch_source *source;	/* while it is read */
	unsigned number;		/* of the file */
	struct parts *parts;
	bool *met;			/* of each feature that a file may have: one has it */
	uint64_t done_bytes;		/* of files that were read to their end */
	uint64_t refused;		/* rows that were refused while they were read, and so are not among `rows` */
	uint64_t rows, sorted;
};

/* ---- progress ---- */

static int look(struct run *run)
{
	if (atomic_load(&run->batch->stops))
		return -ESHUTDOWN;
	return atomic_load(&run->job->is_cancelled) ? -ECANCELED : 0;
}

static void tell_reading(struct run *run)
{
	uint64_t done = 0, total = 0, bytes = run->job->bytes ? run->job->bytes : 1;

	if (run->source)
		batch_source_progress(run->source, &done, &total);
	done += run->done_bytes;
	if (done > bytes)
		done = bytes;
	pthread_mutex_lock(&run->batch->lock);
	run->job->figures.rows_read = run->rows + run->refused;
	run->job->permille = (unsigned)((double)done / (double)bytes * PERMILLE_READ);
	pthread_mutex_unlock(&run->batch->lock);
}

static void tell_loading(struct run *run, const char *phase)
{
	struct figures *figures = &run->job->figures;
	struct ingest_load_figures loaded = { 0 };
	double share = run->rows ? (double)run->sorted / (double)run->rows : 0;

	if (run->load)
		ingest_load_figures(run->load, &loaded);
	pthread_mutex_lock(&run->batch->lock);
	figures->changed = loaded.changed;
	figures->confirmed = loaded.confirmed;
	figures->unchanged = loaded.unchanged;
	figures->late = loaded.late;
	figures->deleted = loaded.deleted;
	figures->duplicates = loaded.repeated + (run->ahead ? ahead_duplicates(run->ahead) : 0);
	run->job->phase = phase;
	run->job->permille = PERMILLE_READ + (unsigned)(share * (999 - PERMILLE_READ));
	pthread_mutex_unlock(&run->batch->lock);
}

static bool has_too_many_rejects(const struct run *run, uint64_t more)
{
	uint64_t max = run->job->settings.max_rejects;

	return run->rejects.count > max && run->rejects.count - max > more;
}

static int check_rejects(struct run *run, uint64_t more)
{
	uint64_t max = run->job->settings.max_rejects;

	if (!has_too_many_rejects(run, more))
		return 0;
	return why_fail(run->why, EINVAL, "%" PRIu64 " row%s refused%s, and max_rejects is %" PRIu64 "; %s.rejects lists %s",
			run->rejects.count, run->rejects.count == 1 ? " was" : "s were", more ? " and reading was ended" : "", max, run->job->name,
			run->rejects.count == 1 ? "it" : "them");
}

/* What a file is called; NULL where the job has only one. */
static const char *part_name(const struct run *run, unsigned number)
{
	return run->job->n_files <= 1 ? NULL : parts_path(run->parts, number);
}

/* ---- reading ---- */

/* Does reading go on? */
static int look_reading(struct run *run)
{
	int rc = look(run);

	if (rc == 0)
		rc = check_rejects(run, REJECTS_SHOWN);
	if (rc == 0)
		tell_reading(run);
	return rc;
}

static int reject_row(void *arg, uint64_t line, struct slice entity, int rc, const struct why *why)
{
	struct run *run = arg;

	rejects_add(&run->rejects, part_name(run, run->number), line, entity, rc, why);
	return ++run->refused % LOOK_EVERY ? 0 : look_reading(run);
}

/* The next row goes to where rows go: what screens looks into records, the sort makes its own of the cells. 1; 0: there is none. */
static int read_row(struct run *run)
{
	struct slice entity, record;
	struct row_cells row;
	uint64_t line;
	int rc = run->screening ? batch_source_next(run->source, &entity, &record, &line, run->why) :
		batch_source_next_cells(run->source, &entity, &row, &line, run->why);

	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	rc = run->screening ? screening_add(run->screening, entity, record, run->why) :
		batch_sort_add_cells(run->sort, entity, row.flags, &row.stamp, row.cells, row.n);
	if (rc < 0 && !run->screening)
		why_fail(run->why, -rc, "rows cannot be sorted: %s", strerror(-rc));
	return rc < 0 ? rc : 1;
}

static int read_rows(struct run *run)
{
	uint64_t next = 0, steps = 0;
	int rc;

	while ((rc = read_row(run)) > 0) {
		run->rows++;
		if (++steps < next)
			continue;
		next = steps + LOOK_EVERY;
		rc = look_reading(run);
		if (rc < 0)
			return rc;
	}
	return rc;
}

/* A list of columns, for the report. */
static void note_columns(struct run *run, struct buf *names, char *out, size_t size)
{
	for (size_t i = 0; i < names->len; i++)
		if ((unsigned char)names->data[i] < 0x20)
			names->data[i] = '?';
	pthread_mutex_lock(&run->batch->lock);
	snprintf(out, size, "%.*s", (int)names->len, names->len ? names->data : "");
	pthread_mutex_unlock(&run->batch->lock);
}

/* Columns that nothing takes. */
static void note_ignored(struct run *run)
{
	struct buf names = { 0 };

	if (!run->job->ignored[0] && batch_source_ignored(run->source, &names) == 0)
		note_columns(run, &names, run->job->ignored, sizeof run->job->ignored);
	buf_release(&names);
}

/* Columns that should feed features, and that no file has. */
static void note_missing(struct run *run)
{
	struct buf names = { 0 };

	if (batch_mapping_missing(run->mapping, run->met, &names) == 0)
		note_columns(run, &names, run->job->missing, sizeof run->job->missing);
	buf_release(&names);
}

/* Of what is large and was read, the page cache need not keep what has reached the disk: that is room for the map, which grows now. To let go of what
 * has not would write it all there at once, which every sync of the change log would wait for; and it is emptied before it ever has to be. */
static void let_go(struct run *run, int dir_fd, const char *link, const struct stat *st)
{
	bool is_durable;
	int fd;

	pthread_mutex_lock(&run->batch->lock);
	is_durable = run->job->is_durable;
	pthread_mutex_unlock(&run->batch->lock);
	fd = !is_durable || st->st_size < LARGE_BYTES ? -1 : openat(dir_fd, link, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return;
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	close(fd);
}

/* What is known to be a part of a file. rsync --partial renames what it could not finish into place, too, with the first second of all as its time. */
static int check_whole(const struct stat *st, const char *name, struct why *why)
{
	if (spool_marks(st) & MARK_BROKEN)
		return why_fail(why, ENOSPC, "%s is not whole: the spool or the disk was full before its end; the daemon's log says which", name);
	if (st->st_mtim.tv_sec == 0)
		return why_fail(why, EINVAL, "%s is not whole: its time is 1970-01-01, which rsync --partial (-P) gives to what it could not finish; "
				"send it again", name);
	return 0;
}

static int read_file(struct run *run, int dir_fd, const char *link, const char *name, const struct stat *st)
{
	struct batch_source_options options = {
		.mapping = run->mapping,
		.default_event_ns = clock_from_timespec(&st->st_mtim),
		.origin = (uint64_t)run->number << RECORD_LINE_BITS,
		.met = run->met,
		.reject = reject_row,
		.arg = run,
		.parquet_memory_bytes = run->batch->options.memory_bytes / 16 * 5,
	};
	int fd, rc = check_whole(st, name, run->why);

	if (rc < 0)
		return rc;
	fd = openat(dir_fd, link, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return why_fail(run->why, errno, "%s: %s", name, strerror(errno));
	rc = batch_source_open_fd(fd, name, &options, &run->source, run->why);
	if (rc < 0)
		return rc;
	rc = read_rows(run);
	note_ignored(run);
	batch_source_close(run->source);
	run->source = NULL;
	let_go(run, dir_fd, link, st);
	run->done_bytes += (uint64_t)st->st_size;
	return rc;
}

static int read_visited(struct spool_visit *visit, int dir_fd, const char *name, const char *path, const struct stat *st)
{
	struct run *run = visit->arg;
	const char *own, *part;
	int rc;

	(void)path;
	if (!S_ISREG(st->st_mode) || !parts_number(name, &run->number, &own))
		return 0;
	rc = look(run);
	if (rc == 0)
		rc = read_file(run, dir_fd, name, own, st);
	part = rc < 0 && run->why->text[0] && !has_too_many_rejects(run, REJECTS_SHOWN) ? part_name(run, run->number) : NULL;
	if (part)
		why_prefix(run->why, "%s", part);
	return rc;
}

static int read_files(struct run *run)
{
	struct spool_visit visit = { .visit = read_visited, .arg = run };
	int folder_fd = batch_job_open_folder(run->batch, run->job), fd, rc;

	fd = folder_fd < 0 ? folder_fd : openat(folder_fd, "data", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	rc = fd < 0 ? why_fail(run->why, errno, "what was dropped is not in the spool any more: %s", strerror(errno)) : 0;
	if (rc == 0)
		rc = spool_walk(fd, &visit);
	if (fd >= 0)
		close(fd);
	if (folder_fd >= 0)
		close(folder_fd);
	tell_reading(run);
	return rc < 0 ? rc : check_rejects(run, 0);
}

/* ---- loading ---- */

static int find_row(void *arg, struct slice entity, struct buf *out)
{
	return batch_sort_find(((struct run *)arg)->sort, entity, out);
}

/* The rules and the clock have refused it. */
static int refuse_row(void *arg, struct slice entity, uint64_t origin, int rc, const struct why *why)
{
	const uint64_t line_mask = (UINT64_C(1) << RECORD_LINE_BITS) - 1;
	struct run *run = arg;

	rejects_add(&run->rejects, part_name(run, (unsigned)(origin >> RECORD_LINE_BITS)), origin & line_mask, entity, rc, why);
	return has_too_many_rejects(run, REJECTS_SHOWN) ? -EINVAL : 0;
}

static int judge_rejects(void *arg)
{
	return has_too_many_rejects(arg, 0) ? -EINVAL : 0;
}

static int begin_load(struct run *run)
{
	const struct batch_job *job = run->job;
	struct buf source = { 0 };
	char position[24];
	int rc;
	struct ingest_load_options options = {
		.group_id = job->group_id,
		.mode = job->settings.mode,
		.confirm_skip = job->settings.confirm_skip,
		.as_of_ns = job->dropped_ns,
		.dry_run = job->settings.dry_run,
		.screen_bytes = run->batch->options.memory_bytes / 16 * SCREEN_SHARE,
		.rows_hint = job->bytes / ROW_BYTES,
		.find = find_row,
		.refused = refuse_row,
		.judged = judge_rejects,
		.arg = run,
	};

	rc = parts_new(run->batch, job, &run->parts);
	if (rc == 0)
		rc = parts_source(run->parts, job, &source);
	if (rc < 0) {
		buf_release(&source);
		return why_fail(run->why, -rc, "what was dropped cannot be listed: %s", strerror(-rc));
	}
	snprintf(position, sizeof position, "%" PRIu64, job->id);
	options.source = buf_slice(&source);
	if (!job->settings.dry_run) {
		options.position_key = slice_str(JOB_POSITION_KEY);
		options.position = slice_str(position);
	}
	rc = ingest_load_begin(run->batch->ingest, &options, &run->load, run->why);
	buf_release(&source);
	return rc;
}

static int load_rows(struct run *run)
{
	struct slice entity, record;
	uint64_t next = 0;
	int rc = ahead_start(run->sort, &run->ahead);

	if (rc < 0)
		return why_fail(run->why, -rc, "cannot start a thread: %s", strerror(-rc));
	while ((rc = ahead_next(run->ahead, &entity, &record)) == 0) {
		rc = ingest_load_row(run->load, entity, record, run->why);
		if (rc < 0)
			return rc;
		if (++run->sorted < next)
			continue;
		next = run->sorted + LOOK_EVERY;
		rc = look(run);
		if (rc < 0)
			return rc;
		tell_loading(run, "loading");
	}
	return rc == -ENOENT ? 0 : why_fail(run->why, -rc, "sorted rows cannot be read back: %s", strerror(-rc));
}

static int publish(struct run *run)
{
	int rc;

	tell_loading(run, "publishing");
	report_save(run->batch, run->job, false);	/* if we die behind the commit, these are its figures */
	rc = ingest_load_publish(run->load, run->why);
	tell_loading(run, "publishing");
	return rc;
}

static int load(struct run *run)
{
	int rc = batch_sort_finish(run->sort);

	if (rc < 0)
		return why_fail(run->why, -rc, "rows cannot be sorted: %s", strerror(-rc));
	if (!run->rows && run->job->settings.mode == INGEST_LOAD_SNAPSHOT)
		return why_fail(run->why, EINVAL, "there are no rows, and mode snapshot would delete every entity of the group");
	rc = load_rows(run);
	if (rc == 0)
		rc = publish(run);
	/* Rows that were refused are why, whatever it was that ended the load. */
	return rc < 0 && rc != -ESTALE && check_rejects(run, 0) < 0 ? -EINVAL : rc;
}

/* ---- one try ---- */

static int get_group(struct run *run)
{
	uint64_t number;
	struct catalog *cat = catalog_current_get(run->batch->cur, &number);
	const struct catalog_group *grp = catalog_find_id(cat, run->job->group_id);

	run->grp = grp ? catalog_group_ref(grp) : NULL;
	catalog_unref(cat);
	return grp ? 0 : why_fail(run->why, ENOENT, "the group was removed");
}

/* A folder for what the sort spills. A descriptor or -errno. */
static int open_sort_folder(struct batch *batch)
{
	int fd;

	if (mkdirat(batch->fd, "sort", 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(batch->fd, "sort", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int find_parquet(struct spool_visit *visit, int dir_fd, const char *name, const char *path, const struct stat *st)
{
	bool *found = visit->arg;
	int fd = S_ISREG(st->st_mode) ? openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC) : -1;
	char magic[4];

	(void)path;
	if (fd < 0)
		return 0;
	*found = *found || (pread(fd, magic, sizeof magic, 0) == sizeof magic && !memcmp(magic, "PAR1", sizeof magic));
	close(fd);
	return *found;
}

/* What the sort may use: beside the process that reads Parquet, if it will be there, and what the load itself holds. */
static size_t sort_memory(struct run *run, bool screens)
{
	bool has_parquet = false;
	struct spool_visit visit = { .visit = find_parquet, .arg = &has_parquet };
	int folder_fd = batch_job_open_folder(run->batch, run->job);
	int fd = folder_fd < 0 ? -1 : openat(folder_fd, "data", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0) {
		spool_walk(fd, &visit);
		close(fd);
	}
	if (folder_fd >= 0)
		close(folder_fd);
	return run->batch->options.memory_bytes / 16 * ((has_parquet ? 9 : 12) - (screens ? SCREEN_SHARE : 0));
}

static int read_all(struct run *run, bool screens)
{
	int rc = screens ? screening_start(run->load, run->sort, &run->screening) : 0;

	if (rc < 0)
		return why_fail(run->why, -rc, "cannot start a thread: %s", strerror(-rc));
	rc = read_files(run);
	if (run->rows + run->refused)
		note_missing(run);
	if (rc == 0 && screens)
		rc = screening_finish(run->screening, run->why);
	screening_stop(run->screening);
	run->screening = NULL;
	return rc;
}

static int try_job(struct run *run)
{
	int sort_fd = open_sort_folder(run->batch), rc = sort_fd < 0 ? sort_fd : get_group(run);
	bool screens;

	rejects_init(&run->rejects, run->batch, run->job);
	if (rc == 0)
		rc = batch_mapping_new(run->grp, NULL, &run->mapping, run->why);
	if (rc == 0) {
		run->met = calloc(batch_mapping_targets(run->mapping) + 1, sizeof *run->met);
		rc = run->met ? 0 : -ENOMEM;
	}
	if (rc == 0)
		rc = begin_load(run);
	screens = rc == 0 && ingest_load_screens(run->load);
	if (rc == 0)
		rc = batch_sort_new(sort_fd, sort_memory(run, screens), &run->sort);
	if (rc == 0)
		rc = read_all(run, screens);
	if (rc == 0)
		rc = load(run);
	ingest_load_abort(run->load);
	ahead_stop(run->ahead);
	batch_sort_free(run->sort);
	batch_mapping_free(run->mapping);
	free(run->met);
	catalog_group_unref(run->grp);
	rejects_end(&run->rejects);
	parts_free(run->parts);
	if (sort_fd >= 0)
		close(sort_fd);
	return rc;
}

int run_job(struct batch *batch, struct batch_job *job, struct why *why)
{
	int rc = -ESTALE;

	pthread_mutex_lock(&batch->lock);
	job->phase = "reading";
	pthread_mutex_unlock(&batch->lock);
	for (int i = 0; rc == -ESTALE && i < TRIES; i++) {
		struct run run = { .batch = batch, .job = job, .why = why };

		why->text[0] = '\0';
		rc = try_job(&run);
	}
	if (rc == 0)
		why->text[0] = '\0';		/* it may be that of a row */
	else if (look(&(struct run){ .batch = batch, .job = job }) < 0)
		rc = look(&(struct run){ .batch = batch, .job = job });
	return rc;
}
