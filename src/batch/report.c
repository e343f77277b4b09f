/* SPDX-License-Identifier: MIT */
/*
 * Reports. NAME.status is a text of "key: value" lines, written from one table of fields; the same text in the job's folder is what a restart
 * reads back, so there is one form of a job's state and an operator can read it. NAME.rejects has a line for each row that was
 * refused: its line in the file (behind the file's path and a colon, where the job has several), its entity and the reason, separated by tabs.
 * Both are bounded.
 */
#include "batch/private.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/file.h"
#include "base/num.h"

enum {
	REJECTS_LISTED = 10000, REJECTS_BYTES = 4 << 20, REJECTS_PENDING = 64 << 10,
	ENTITY_SHOWN = 255,
	PERMILLE = 1000,
};

static const char *const states[] = {
	[JOB_WAITING] = "waiting", [JOB_RUNNING] = "running", [JOB_DONE] = "done", [JOB_FAILED] = "failed", [JOB_CANCELLED] = "cancelled",
};

/* ---- numbers of a report ---- */

#define FIGURE_FIELDS(X) \
	X(rows_read) X(changed) X(confirmed) X(unchanged) X(late) X(deleted) X(rejected) X(duplicates)

static const struct {
	const char *key;
	size_t offset;
} numbers[] = {
#define X(name) { #name, offsetof(struct batch_job, figures.name) },
	FIGURE_FIELDS(X)
#undef X
	{ "id", offsetof(struct batch_job, id) },
	{ "bytes", offsetof(struct batch_job, bytes) },
	{ "max_rejects", offsetof(struct batch_job, settings.max_rejects) },
};

static const struct {
	const char *key;
	size_t offset;
} times[] = {
	{ "dropped", offsetof(struct batch_job, dropped_ns) },
	{ "started", offsetof(struct batch_job, started_ns) },
	{ "ended", offsetof(struct batch_job, ended_ns) },
};

/* ---- printing ---- */

static void print_time(struct buf *out, const char *key, int64_t ns)
{
	char text[CLOCK_TEXT_MAX];

	if (!ns)
		return;
	buf_printf(out, "%s: ", key);
	buf_append(out, text, clock_print_time(ns, true, text));
	buf_append_char(out, '\n');
}

static void print_pace(const struct batch_job *job, struct buf *out)
{
	double seconds = 0;

	if (job->state == JOB_RUNNING)
		seconds = (double)(clock_monotonic() - job->running_since_ns) / (double)CLOCK_SECOND;
	else if (job->started_ns && job->ended_ns > job->started_ns)
		seconds = (double)(job->ended_ns - job->started_ns) / (double)CLOCK_SECOND;
	buf_printf(out, "seconds: %.3f\n", seconds);
	if (seconds > 0)
		buf_printf(out, "rows_per_second: %.0f\n", (double)job->figures.rows_read / seconds);
	if (job->state == JOB_RUNNING && job->permille > 0)
		buf_printf(out, "eta: %.1f\n", seconds * (PERMILLE - job->permille) / job->permille);
}

void report_print_locked(const struct batch_job *job, struct buf *out)
{
	const struct figures *figures = &job->figures;

	buf_printf(out, "state: %s\npercent: %u\n", states[job->state], job->state == JOB_DONE ? 100 : job->permille / 10);
	if (job->state == JOB_RUNNING && job->phase)
		buf_printf(out, "phase: %s\n", job->phase);
	buf_printf(out, "id: %" PRIu64 "\nname: %s\nmode: %s\nconfirm: %s\ndry_run: %s\nmax_rejects: %" PRIu64 "\n", job->id, job->name,
		   settings_mode_name(job->settings.mode), job->settings.confirm_skip ? "skip" : "stamp",
		   job->settings.dry_run ? "yes" : "no", job->settings.max_rejects);
	buf_printf(out, "files: %u\nbytes: %" PRIu64 "\n", job->n_files, job->bytes);
#define X(name) buf_printf(out, #name ": %" PRIu64 "\n", figures->name);
	FIGURE_FIELDS(X)
#undef X
	if (job->ignored[0])
		buf_printf(out, "ignored_columns: %s\n", job->ignored);
	if (job->missing[0])
		buf_printf(out, "missing_columns: %s\n", job->missing);
	print_time(out, "dropped", job->dropped_ns);
	print_time(out, "started", job->started_ns);
	print_time(out, "ended", job->ended_ns);
	print_pace(job, out);
	if (job->reason.text[0])
		buf_printf(out, "reason: %s\n", job->reason.text);
}

/* ---- parsing ---- */

static int parse_state(const char *value, enum job_state *out)
{
	for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
		if (!strcmp(value, states[i])) {
			*out = (enum job_state)i;
			return 0;
		}
	}
	return -EBADMSG;
}

static void take_field(struct batch_job *job, const char *key, const char *value)
{
	uint64_t number = 0;
	int64_t ns = 0;

	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		if (!strcmp(key, numbers[i].key) && num_parse_u64(slice_str(value), &number) == 0)
			*(uint64_t *)((char *)job + numbers[i].offset) = number;
	for (size_t i = 0; i < sizeof times / sizeof *times; i++)
		if (!strcmp(key, times[i].key) && clock_parse_time(slice_str(value), &ns) == 0)
			*(int64_t *)((char *)job + times[i].offset) = ns;
	if (!strcmp(key, "files") && num_parse_u64(slice_str(value), &number) == 0)
		job->n_files = (unsigned)number;
	else if (!strcmp(key, "percent") && num_parse_u64(slice_str(value), &number) == 0)
		job->permille = (unsigned)number * 10;
	else if (!strcmp(key, "reason"))
		snprintf(job->reason.text, sizeof job->reason.text, "%s", value);
	else if (!strcmp(key, "ignored_columns"))
		snprintf(job->ignored, sizeof job->ignored, "%s", value);
	else if (!strcmp(key, "missing_columns"))
		snprintf(job->missing, sizeof job->missing, "%s", value);
	else
		settings_set(&job->settings, key, value, NULL);
}

/* Cuts the next line off, in two. false at the end. */
static bool next_field(char **at, char **out_key, char **out_value)
{
	char *end = strchr(*at, '\n'), *colon;

	if (!end)
		return false;
	*end = '\0';
	colon = strstr(*at, ": ");
	*out_key = *at;
	*out_value = colon ? colon + 2 : end;
	if (colon)
		*colon = '\0';
	*at = end + 1;
	return true;
}

int report_parse(struct slice text, uint32_t group_id, struct batch_job **out)
{
	char *copy = malloc(text.len + 1), *at = copy, *key, *value;
	struct batch_job *job = NULL, fields = { 0 };
	enum job_state state = JOB_WAITING;
	int rc = copy ? -EBADMSG : -ENOMEM;

	if (!copy)
		return rc;
	memcpy(copy, text.data, text.len);
	copy[text.len] = '\0';
	fields.name = NULL;
	while (next_field(&at, &key, &value)) {
		if (!strcmp(key, "name"))
			fields.name = value;
		else if (!strcmp(key, "state"))
			rc = parse_state(value, &state);
		else
			take_field(&fields, key, value);
	}
	if (rc == 0 && (!fields.name || !fields.id))
		rc = -EBADMSG;
	if (rc == 0) {
		job = batch_job_new(fields.id, group_id, slice_str(fields.name));
		rc = job ? 0 : -ENOMEM;
	}
	if (job) {
		char *name = job->name;

		fields.name = name;
		fields.group_id = group_id;
		fields.state = state;
		memcpy(job, &fields, sizeof fields);
		*out = job;
	}
	free(copy);
	return rc;
}

/* ---- on the disk ---- */

static int write_file(int dir_fd, struct slice text, bool sync)
{
	int fd = openat(dir_fd, "status.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), rc;

	if (fd < 0)
		return -errno;
	rc = file_write_fd(fd, text);
	if (rc == 0 && sync && fsync(fd) < 0)
		rc = -errno;
	close(fd);
	if (rc == 0 && renameat(dir_fd, "status.new", dir_fd, "status") < 0)
		rc = -errno;
	if (rc == 0 && sync && fsync(dir_fd) < 0)
		rc = -errno;
	return rc;
}

int report_save_at(int folder_fd, const struct batch_job *job)
{
	struct buf text = { 0 };
	int rc;

	report_print_locked(job, &text);
	rc = buf_error(&text);
	if (rc == 0)
		rc = write_file(folder_fd, buf_slice(&text), false);
	buf_release(&text);
	return rc;
}

int report_save(struct batch *batch, const struct batch_job *job, bool sync)
{
	int dir_fd = batch_job_open_folder(batch, job), rc;
	struct buf text = { 0 };

	if (dir_fd < 0)
		return dir_fd;
	pthread_mutex_lock(&batch->lock);
	report_print_locked(job, &text);
	pthread_mutex_unlock(&batch->lock);
	rc = buf_error(&text);
	if (rc == 0)
		rc = write_file(dir_fd, buf_slice(&text), sync);
	buf_release(&text);
	close(dir_fd);
	return rc;
}

/* ---- rows that were refused ---- */

void rejects_init(struct rejects *rejects, struct batch *batch, struct batch_job *job)
{
	*rejects = (struct rejects){ .batch = batch, .job = job, .fd = -1 };
	pthread_mutex_lock(&batch->lock);
	job->figures.rejected = 0;		/* of a try before this one */
	job->has_rejects = false;
	pthread_mutex_unlock(&batch->lock);
}

static void flush(struct rejects *rejects)
{
	struct slice text = buf_slice(&rejects->pending);

	if (rejects->fd < 0 && text.len) {
		int dir_fd = batch_job_open_folder(rejects->batch, rejects->job);

		if (dir_fd >= 0) {
			rejects->fd = openat(dir_fd, "rejects", O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
			close(dir_fd);
		}
		pthread_mutex_lock(&rejects->batch->lock);
		rejects->job->has_rejects = rejects->fd >= 0;
		pthread_mutex_unlock(&rejects->batch->lock);
	}
	/* A disk that is full costs the list, not the count. */
	if (rejects->fd >= 0 && text.len && write(rejects->fd, text.data, text.len) < 0)
		rejects->bytes = REJECTS_BYTES;
	buf_reset(&rejects->pending);
}

static bool is_control(unsigned char c)
{
	return c < 0x20 || c == 0x7f;
}

void rejects_add(struct rejects *rejects, const char *file, uint64_t line, struct slice entity, int rc, const struct why *why)
{
	struct buf *out = &rejects->pending;
	size_t before = out->len;

	rejects->count++;
	pthread_mutex_lock(&rejects->batch->lock);
	rejects->job->figures.rejected = rejects->count;
	pthread_mutex_unlock(&rejects->batch->lock);
	if (rejects->listed >= REJECTS_LISTED || rejects->bytes >= REJECTS_BYTES)
		return;
	rejects->listed++;
	if (file)
		buf_printf(out, "%s:", file);
	buf_printf(out, "%" PRIu64 "\t", line);
	for (size_t i = 0; i < entity.len && i < ENTITY_SHOWN; i++) {
		unsigned char c = ((const unsigned char *)entity.data)[i];

		buf_append_char(out, (char)(is_control(c) ? '?' : c));
	}
	buf_printf(out, "\t%s\n", why && why->text[0] ? why->text : strerror(-rc));
	rejects->bytes += out->len - before;
	if (out->len > REJECTS_PENDING)
		flush(rejects);
}

void rejects_end(struct rejects *rejects)
{
	if (rejects->count > rejects->listed)
		buf_printf(&rejects->pending, "# %" PRIu64 " more are not listed\n", rejects->count - rejects->listed);
	flush(rejects);
	if (rejects->fd >= 0)
		close(rejects->fd);
	buf_release(&rejects->pending);
}

/* ---- what .reports shows ---- */

/* The newest job of a name; NULL. */
static struct batch_job *find_job(struct batch *batch, uint32_t group_id, struct slice name)
{
	struct batch_job *found = NULL;

	for (struct batch_job *job = batch->first; job; job = job->next)
		if (job->group_id == group_id && slice_equal(slice_str(job->name), name) && (!found || job->id > found->id))
			found = job;
	return found;
}

/* "part.csv.status" to "part.csv" and which of the two it is. */
static bool split_name(const char *name, struct slice *out_name, bool *out_rejects)
{
	static const char *const endings[] = { ".status", ".rejects" };
	size_t len = strlen(name);

	for (int i = 0; i < 2; i++) {
		size_t n = strlen(endings[i]);

		if (len <= n || strcmp(name + len - n, endings[i]))
			continue;
		*out_name = slice_of(name, len - n);
		*out_rejects = i;
		return true;
	}
	return false;
}

/* Takes the folder. */
static int read_rejects(int takes_fd, struct buf *out)
{
	int fd = openat(takes_fd, "rejects", O_RDONLY | O_CLOEXEC), rc = fd < 0 ? -errno : 0;
	ssize_t n = 1;
	char *place;

	close(takes_fd);
	while (rc == 0 && n > 0) {
		place = buf_reserve(out, REJECTS_PENDING);
		n = place ? read(fd, place, REJECTS_PENDING) : -1;
		if (n < 0)
			rc = place ? -errno : -ENOMEM;
		else
			out->len += (size_t)n;
	}
	if (fd >= 0)
		close(fd);
	return rc;
}

/* [L]. What a job waits for: one runs at a time, of all groups. `waiting` NULL: for all that there are. */
static void print_wait(struct batch *batch, const struct batch_job *waiting, struct buf *out)
{
	const struct batch_job *running = NULL;
	const struct catalog_group *grp;
	unsigned before = 0;
	struct catalog *cat;
	uint64_t number;

	for (const struct batch_job *job = batch->first; job && job != waiting; job = job->next) {
		before += batch_job_is_active(job);
		if (job->state == JOB_RUNNING)
			running = job;
	}
	if (!before)
		return;
	buf_printf(out, "jobs_before: %u\n", before);
	if (!running)
		return;
	cat = catalog_current_get(batch->cur, &number);
	grp = catalog_find_id(cat, running->group_id);
	buf_printf(out, "waits_for: import %" PRIu64 " into %s, %u percent\n", running->id, grp ? grp->name : "a group that was removed",
		   running->permille / 10);
	catalog_unref(cat);
}

/* [L]. A drop that is closed and not yet a job; NULL. */
static const struct drop *find_pending(struct batch *batch, uint32_t group_id, struct slice name, const struct batch_job *newest)
{
	const struct drop *drop = drop_find_locked(batch, group_id, name);

	return drop && drop->pending_id && (!newest || newest->id < drop->pending_id) ? drop : NULL;
}

/* [L]. It waits, too. */
static void print_pending(struct batch *batch, const struct drop *drop, struct buf *out)
{
	buf_printf(out, "state: waiting\npercent: 0\nid: %" PRIu64 "\nname: %s\n", drop->pending_id, drop->name);
	if (!drop->lacks)
		return;
	buf_printf(out, "reason: it cannot be taken over yet: %s; it is tried again for some seconds, and until imports before it have ended\n",
		   strerror(-drop->lacks));
	print_wait(batch, NULL, out);
}

int batch_report(struct batch *batch, uint32_t group_id, const char *name, struct buf *out)
{
	const struct drop *pending;
	struct batch_job *job;
	int rc = -ENOENT, fd = -1;
	bool is_rejects;
	struct slice of;

	if (!split_name(name, &of, &is_rejects))
		return -ENOENT;
	pthread_mutex_lock(&batch->lock);
	job = find_job(batch, group_id, of);
	pending = find_pending(batch, group_id, of, job);
	if (is_rejects) {
		fd = job && job->has_rejects ? batch_job_open_folder(batch, job) : -ENOENT;
		rc = fd < 0 ? fd : 0;
	} else if (pending) {
		print_pending(batch, pending, out);
		rc = 0;
	} else if (job) {
		report_print_locked(job, out);
		if (job->state == JOB_WAITING)
			print_wait(batch, job, out);
		rc = 0;
	}
	pthread_mutex_unlock(&batch->lock);
	if (rc == 0 && is_rejects)
		rc = read_rejects(fd, out);
	return rc < 0 ? rc : buf_error(out);
}

bool batch_has_report(struct batch *batch, uint32_t group_id, const char *name)
{
	const struct batch_job *job;
	bool is_rejects, has;
	struct slice of;

	if (!split_name(name, &of, &is_rejects))
		return false;
	pthread_mutex_lock(&batch->lock);
	job = find_job(batch, group_id, of);
	has = is_rejects ? job && job->has_rejects : job || find_pending(batch, group_id, of, NULL);
	pthread_mutex_unlock(&batch->lock);
	return has;
}

/* By name, then newest first. */
static int compare_jobs(const void *a, const void *b)
{
	const struct batch_job *x = *(const struct batch_job *const *)a, *y = *(const struct batch_job *const *)b;
	int order = strcmp(x->name, y->name);

	return order ? order : (x->id < y->id) - (x->id > y->id);
}

int batch_list_reports(struct batch *batch, uint32_t group_id, struct buf *out)
{
	const struct batch_job **list;
	unsigned n = 0;

	pthread_mutex_lock(&batch->lock);
	list = malloc((batch->n_jobs + 1) * sizeof *list);
	for (const struct batch_job *job = batch->first; list && job; job = job->next)
		if (job->group_id == group_id)
			list[n++] = job;
	if (list)
		qsort(list, n, sizeof *list, compare_jobs);
	for (unsigned i = 0; i < n; i++) {
		if (i && !strcmp(list[i]->name, list[i - 1]->name))
			continue;
		buf_printf(out, "%s.status", list[i]->name);
		buf_append_char(out, '\0');
		if (list[i]->has_rejects) {
			buf_printf(out, "%s.rejects", list[i]->name);
			buf_append_char(out, '\0');
		}
	}
	for (const struct drop *drop = batch->drops; list && drop; drop = drop->next) {
		if (drop->group_id != group_id || !drop->pending_id || find_job(batch, group_id, slice_str(drop->name)))
			continue;
		buf_printf(out, "%s.status", drop->name);
		buf_append_char(out, '\0');
	}
	pthread_mutex_unlock(&batch->lock);
	free(list);
	return list ? buf_error(out) : -ENOMEM;
}
