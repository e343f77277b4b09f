/* SPDX-License-Identifier: MIT */
/*
 * Copies of a store that is in use, and the walk that checks one. A copy is LMDB's own compacting copy of one snapshot,
 * with a fresh log and a checkpoint around it: a store of its own, closed cleanly, that goes on counting commits where
 * the snapshot was. Until all of it is on the disk it is marked as unfinished, as a new store is (create.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "store/env.h"
#include "store/key.h"

enum {
	PROGRESS_MS = 100,
	COPY_SEGMENT_BYTES = 1 << 20,	/* the opener's own segments follow the first */
	VERIFY_TRIES = 5,		/* against a log that is trimmed meanwhile */
};

/* ---- copying ---- */

/* LMDB copies in one call; a thread of its own makes it, so that this one can look how far it is. */
struct job {
	MDB_env *env;
	int fd;
	pthread_mutex_t lock;
	pthread_cond_t ended;
	bool has_ended;		/* guarded by lock, as rc */
	int rc;
};

static void *copy_map(void *arg)
{
	struct job *job = arg;
	int rc = mdb_env_copyfd2(job->env, job->fd, MDB_CP_COMPACT);

	pthread_mutex_lock(&job->lock);
	job->has_ended = true;
	job->rc = env_errno(rc);
	pthread_cond_signal(&job->ended);
	pthread_mutex_unlock(&job->lock);
	return NULL;
}

static void watch(struct job *job, uint64_t total, void (*progress)(void *arg, uint64_t done, uint64_t total),
		  void *arg)
{
	struct timespec until;
	struct stat st;

	pthread_mutex_lock(&job->lock);
	while (!job->has_ended) {
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += PROGRESS_MS * 1000000L;
		if (until.tv_nsec >= 1000000000L) {
			until.tv_sec++;
			until.tv_nsec -= 1000000000L;
		}
		pthread_cond_timedwait(&job->ended, &job->lock, &until);
		if (!progress || job->has_ended || fstat(job->fd, &st) < 0)
			continue;
		pthread_mutex_unlock(&job->lock);
		progress(arg, (uint64_t)st.st_size < total ? (uint64_t)st.st_size : total, total);
		pthread_mutex_lock(&job->lock);
	}
	pthread_mutex_unlock(&job->lock);
}

static int run_copy(struct store *store, int fd, void (*progress)(void *arg, uint64_t done, uint64_t total), void *arg)
{
	struct job job = { .env = store->env, .fd = fd };
	sigset_t all, before;
	pthread_t thread;
	MDB_envinfo info;
	uint64_t total;
	int rc;

	mdb_env_info(store->env, &info);
	total = (info.me_last_pgno + 1) * store->page_bytes;
	pthread_mutex_init(&job.lock, NULL);
	pthread_cond_init(&job.ended, NULL);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = -pthread_create(&thread, NULL, copy_map, &job);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc == 0) {
		watch(&job, total, progress, arg);
		pthread_join(thread, NULL);
		rc = job.rc;
	}
	pthread_cond_destroy(&job.ended);
	pthread_mutex_destroy(&job.lock);
	if (rc == 0 && progress)
		progress(arg, total, total);
	return rc;
}

static int write_map(struct store *store, struct store *copy,
		     void (*progress)(void *arg, uint64_t done, uint64_t total), void *arg)
{
	int fd = openat(copy->dir_fd, "data.mdb", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0660), rc;

	if (fd < 0)
		return -errno;
	rc = run_copy(store, fd, progress, arg);
	if (rc == 0 && fsync(fd) < 0)
		rc = -errno;
	close(fd);
	return rc;
}

static int finish(struct store *copy, uint64_t segment_bytes, struct why *why)
{
	MDB_txn *txn;
	uint64_t seq;
	int rc;

	rc = env_errno(mdb_txn_begin(copy->env, NULL, MDB_RDONLY, &txn));
	if (rc < 0)
		return why_fail(why, -rc, "the copy can't be read: %s", strerror(-rc));
	rc = env_read_seq(copy, txn, &seq);
	mdb_txn_abort(txn);
	if (rc < 0)
		return why_fail(why, -rc, "the copy can't be read: %s", strerror(-rc));
	return create_finish(copy, seq, segment_bytes, why);
}

int store_copy(struct store *store, const char *path, void (*progress)(void *arg, uint64_t done, uint64_t total),
	       void *arg, struct why *why)
{
	uint64_t segment_bytes = store->is_reader ? COPY_SEGMENT_BYTES : store->options.segment_bytes;
	struct store *copy = env_new(path);
	int rc;

	if (!copy)
		return why_fail(why, ENOMEM, "no memory");
	copy->is_reader = true;
	rc = create_directory(copy, true, why);
	if (rc < 0)
		goto out;
	rc = create_is_empty(copy);
	if (rc <= 0) {
		rc = rc < 0 ? why_fail(why, -rc, "%s can't be read: %s", path, strerror(-rc)) :
		     why_fail(why, ENOTEMPTY, "%s is not empty", path);
		goto out;
	}
	rc = create_begin(copy);
	if (rc == 0)
		rc = write_map(store, copy, progress, arg);
	if (rc < 0) {
		why_fail(why, -rc, "%s can't be written: %s", path, strerror(-rc));
		goto out;
	}
	rc = env_open(copy, 0, why);
	if (rc == 0)
		rc = finish(copy, segment_bytes, why);
out:
	env_free(copy);
	return rc;
}

/* ---- checking ---- */

struct finds {
	void (*found)(void *arg, const char *fault);
	void *arg;
	int n;
};

static void fault(struct finds *finds, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void fault(struct finds *finds, const char *fmt, ...)
{
	char text[400];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	finds->n++;
	if (finds->found)
		finds->found(finds->arg, text);
}

static void verify_row(struct finds *finds, struct slice key, struct slice value)
{
	struct slice entity;
	struct why why;
	uint32_t rows;

	if (key_decode(key, &rows, &entity) < 0)
		fault(finds, "a row's key has %zu bytes", key.len);
	else if (value.len && record_check(value, false, &why) < 0)	/* an empty one hides a row below an overlay */
		fault(finds, "row %.*s of table %u: %s", (int)entity.len, (const char *)entity.data, rows, why.text);
}

static int verify_table(struct store *store, MDB_txn *txn, MDB_dbi dbi, size_t *out_pages, struct finds *finds)
{
	struct slice last = { 0 }, key;
	uint64_t n = 0;
	MDB_cursor *cursor;
	MDB_stat stat;
	MDB_val k, v;
	int rc = mdb_cursor_open(txn, dbi, &cursor);

	if (rc)
		return env_errno(rc);
	for (rc = mdb_cursor_get(cursor, &k, &v, MDB_FIRST); !rc; rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) {
		key = slice_of(k.mv_data, k.mv_size);
		if (n++ && slice_compare(last, key) >= 0)
			fault(finds, "table %u: keys are out of order at number %" PRIu64, dbi, n);
		last = key;
		if (dbi == store->rows)
			verify_row(finds, key, slice_of(v.mv_data, v.mv_size));
	}
	mdb_cursor_close(cursor);
	if (rc != MDB_NOTFOUND) {
		fault(finds, "table %u can't be walked: %s", dbi, mdb_strerror(rc));
		return env_errno(rc) == -EBADMSG ? 0 : env_errno(rc);
	}
	rc = mdb_stat(txn, dbi, &stat);
	if (rc)
		return env_errno(rc);
	if (stat.ms_entries != n)
		fault(finds, "table %u has %" PRIu64 " keys and says %zu", dbi, n, stat.ms_entries);
	*out_pages += stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages;
	return 0;
}

/* Pages that are listed as free, and those of the list. */
static int count_free(MDB_txn *txn, size_t *out_pages)
{
	uint64_t pages;
	MDB_stat stat;
	int rc = space_free_pages(txn, &pages);

	if (rc < 0)
		return rc;
	rc = mdb_stat(txn, 0, &stat);
	if (rc)
		return env_errno(rc);
	*out_pages += pages + stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages;
	return 0;
}

/* Every page is a meta page, of a table, or free: one that is two of these or none is the mark of a bad recovery. Only
 * said of the newest snapshot, for LMDB tells the number of pages of no other. */
static int verify_pages(struct store *store, MDB_txn *txn, size_t pages, struct finds *finds)
{
	MDB_envinfo info;
	MDB_dbi main_dbi;
	MDB_stat stat;
	int rc = mdb_dbi_open(txn, NULL, 0, &main_dbi);

	if (!rc)
		rc = mdb_stat(txn, main_dbi, &stat);
	if (rc)
		return env_errno(rc);
	pages += 2 + stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages;
	rc = count_free(txn, &pages);
	if (rc < 0)
		return rc;
	mdb_env_info(store->env, &info);
	if (info.me_last_txnid == mdb_txn_id(txn) && info.me_last_pgno + 1 != pages)
		fault(finds, "the map has %zu pages, but %zu are accounted for", info.me_last_pgno + 1, pages);
	return 0;
}

static int verify_map(struct store *store, uint64_t *out_seq, struct finds *finds)
{
	struct store_snap *snap;
	size_t pages = 0;
	int rc = store_snap_begin(store, &snap);

	if (rc < 0)
		return rc;
	rc = verify_table(store, snap->txn, store->rows, &pages, finds);
	for (int i = 0; i < STORE_TABLES && rc == 0; i++)
		rc = verify_table(store, snap->txn, store->tables[i], &pages, finds);
	if (rc == 0)
		rc = verify_pages(store, snap->txn, pages, finds);
	if (rc == 0 && env_read_seq(store, snap->txn, out_seq) < 0) {
		fault(finds, "the map does not say which commit it has");
		rc = -EBADMSG;
	}
	store_snap_end(snap);
	return rc;
}

static int verify_payload(struct finds *finds, uint64_t seq, struct slice payload)
{
	struct store_change change;
	struct why why;
	int rc;

	while ((rc = store_change_next(&payload, &change)) == 0)
		if (((change.kind == STORE_CHANGE_ROW || change.kind == STORE_CHANGE_LATE) &&
		     record_check(change.value, true, &why) < 0) ||
		    (change.kind == STORE_CHANGE_SET && change.value.len &&
		     record_check(change.value, false, &why) < 0))
			fault(finds, "commit %" PRIu64 " of the log: %s", seq, why.text);
	if (rc == -EBADMSG)
		fault(finds, "commit %" PRIu64 " of the log is no list of changes", seq);
	return rc == -ENOENT || rc == -EBADMSG ? 0 : rc;
}

/* All that is behind the checkpoint up to the map's commit. The store may be another process's and at work: the
 * checkpoint is read from its file, and again if the log before a newer one went away meanwhile. 1: do so. */
static int verify_log_once(struct store *store, uint64_t map_seq, struct finds *finds, struct why *why)
{
	struct store seen = { .dir_fd = store->dir_fd, .checkpoint_file.fd = -1 };
	struct log_reader reader = { .fd = -1 };
	int log_fd = openat(store->dir_fd, "log", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = log_fd < 0 ? -errno : 0, found = finds->n;
	struct slice payload;
	uint64_t seq = 0;

	if (rc == 0)
		rc = checkpoint_read(&seen, false, why);
	if (rc < 0)
		goto out;
	log_reader_init(&reader, log_fd, seen.checkpoint.store_id, &seen.checkpoint.pos);
	while (rc == 0 && reader.pos.seq <= map_seq) {
		rc = log_reader_next(&reader, &seq, &payload);
		if (rc == 0)
			rc = verify_payload(finds, seq, payload);
	}
	if (rc == -ENOENT) {
		uint64_t number = seen.checkpoint_file.number;

		rc = checkpoint_read(&seen, false, why);
		if (rc == 0 && seen.checkpoint_file.number != number) {
			finds->n = found;
			rc = 1;
		} else if (rc == 0) {
			fault(finds, "commit %" PRIu64 " is missing in the log", reader.pos.seq);
		}
	}
out:
	log_reader_release(&reader);
	slots_close(&seen.checkpoint_file);
	buf_release(&seen.checkpoint.metas);
	if (log_fd >= 0)
		close(log_fd);
	return rc;
}

int store_verify(struct store *store, void (*found)(void *arg, const char *fault), void *arg)
{
	struct finds finds = { .found = found, .arg = arg };
	uint64_t seq;
	struct why why = { "" };
	int rc = verify_map(store, &seq, &finds), tries = 0;

	if (rc == 0)
		do
			rc = verify_log_once(store, seq, &finds, &why);
		while (rc > 0 && ++tries < VERIFY_TRIES);
	if (rc > 0)
		rc = -EAGAIN;
	if (rc == -EBADMSG) {
		fault(&finds, "%s", why.text[0] ? why.text : "the store is damaged");
		rc = 0;
	}
	return rc < 0 ? rc : finds.n;
}
