/* SPDX-License-Identifier: MIT */
/*
 * The map as LMDB opens it, and what belongs to the store as a whole. Every code of LMDB becomes an errno here.
 *
 * The writer's environment is MDB_NOSYNC: a commit is durable by the log, and the map reaches the disk by checkpoints
 * (checkpoint.c says why that is safe). The map has its largest size from the start; the file grows as it is written.
 * MDB_NOTLS lets snapshots be kept and renewed by any thread. MDB_NORDAHEAD, for reads are random.
 */
#include "store/env.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "store/le.h"

static const char *const table_names[STORE_TABLES] = {
	[STORE_META] = "meta", [STORE_CATALOG] = "catalog", [STORE_XATTR] = "xattr",
	[STORE_STATS] = "stats", [STORE_POSITIONS] = "positions", [STORE_SOURCES] = "sources",
};

static _Thread_local int surprise;	/* a code that has no errno of its own */

int env_errno(int code)
{
	switch (code) {
	case MDB_NOTFOUND:
		return -ENOENT;
	case MDB_KEYEXIST:
		return -EEXIST;
	case MDB_MAP_FULL:
		return -ENOSPC;
	case MDB_TXN_FULL:
		return -EFBIG;
	case MDB_READERS_FULL:
		return -EMFILE;
	case MDB_MAP_RESIZED:
		return -EAGAIN;
	case MDB_BAD_VALSIZE:
		return -EINVAL;
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_INVALID:
	case MDB_VERSION_MISMATCH:
	case MDB_INCOMPATIBLE:
		return -EBADMSG;
	case EDQUOT:
		return -ENOSPC;
	default:
		if (code >= 0)
			return -code;
		surprise = code;
		return -EIO;
	}
}

const char *store_surprise(void)
{
	int code = surprise;

	surprise = 0;
	return code ? mdb_strerror(code) : NULL;
}

void env_notice(struct store *store, bool is_error, const char *fmt, ...)
{
	char text[320];
	va_list args;

	if (!store->options.notice)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	store->options.notice(store->options.notice_arg, is_error, text);
}

void env_fail(struct store *store, const char *what, int rc)
{
	int none = 0;

	if (atomic_compare_exchange_strong(&store->failed, &none, rc))
		env_notice(store, true, "%s: %s; no more writes until the next start", what, strerror(-rc));
}

struct store *env_new(const char *path)
{
	struct store *store = calloc(1, sizeof *store);
	pthread_condattr_t attr;

	if (!store)
		return NULL;
	store->path = strdup(path);
	if (!store->path) {
		free(store);
		return NULL;
	}
	store->dir_fd = store->lock_fd = store->state_file.fd = store->checkpoint_file.fd = -1;
	store->log.dir_fd = store->log.fd = store->log.next_fd = -1;
	store->pin = ENV_PIN_NONE;
	pthread_mutex_init(&store->snap_lock, NULL);
	pthread_mutex_init(&store->commit_lock, NULL);
	pthread_mutex_init(&store->work_lock, NULL);
	pthread_mutex_init(&store->space_lock, NULL);
	pthread_mutex_init(&store->trim_lock, NULL);
	pthread_mutex_init(&store->follow_lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&store->work, &attr);
	pthread_cond_init(&store->done, NULL);
	pthread_cond_init(&store->news, &attr);
	pthread_cond_init(&store->resized, &attr);
	pthread_mutex_init(&store->readers_lock, NULL);
	pthread_condattr_destroy(&attr);
	return store;
}

void env_free(struct store *store)
{
	if (!store)
		return;
	follow_close(store);
	env_close(store);
	batch_release(&store->batch);
	if (store->log.dir_fd >= 0)
		changelog_close(&store->log);
	slots_close(&store->state_file);
	slots_close(&store->checkpoint_file);
	buf_release(&store->checkpoint.metas);
	if (store->lock_fd >= 0)
		close(store->lock_fd);
	if (store->dir_fd >= 0)
		close(store->dir_fd);
	pthread_mutex_destroy(&store->snap_lock);
	pthread_mutex_destroy(&store->commit_lock);
	pthread_mutex_destroy(&store->work_lock);
	pthread_mutex_destroy(&store->space_lock);
	pthread_mutex_destroy(&store->trim_lock);
	pthread_mutex_destroy(&store->follow_lock);
	pthread_cond_destroy(&store->work);
	pthread_cond_destroy(&store->done);
	pthread_cond_destroy(&store->news);
	pthread_cond_destroy(&store->resized);
	pthread_mutex_destroy(&store->readers_lock);
	free(store->path);
	free(store);
}

/* Opens the tables; in a map without any commit they are made. */
static int open_tables(struct store *store, MDB_txn *txn, unsigned flags)
{
	int rc = mdb_dbi_open(txn, "rows", flags, &store->rows);

	for (int i = 0; i < STORE_TABLES && rc == 0; i++)
		rc = mdb_dbi_open(txn, table_names[i], flags, &store->tables[i]);
	return rc;
}

static int make_tables(struct store *store, MDB_txn *txn)
{
	uint8_t zero[8] = { 0 };
	MDB_val key = env_val(slice_str(ENV_SEQ_NAME)), value = env_val(slice_of(zero, sizeof zero));
	int rc = open_tables(store, txn, MDB_CREATE);

	return rc ? rc : mdb_put(txn, store->tables[STORE_META], &key, &value, 0);
}

static int read_tables(struct store *store)
{
	MDB_txn *txn;
	MDB_envinfo info;
	bool is_new = mdb_env_info(store->env, &info) == 0 && info.me_last_txnid == 0 && !store->is_reader;
	int rc = mdb_txn_begin(store->env, NULL, is_new ? 0 : MDB_RDONLY, &txn);

	if (rc)
		return rc;
	rc = is_new ? make_tables(store, txn) : open_tables(store, txn, 0);
	if (rc) {
		mdb_txn_abort(txn);
		return rc == MDB_NOTFOUND ? MDB_INVALID : rc;
	}
	return mdb_txn_commit(txn);
}

int env_open(struct store *store, uint64_t map_bytes, struct why *why)
{
	unsigned flags = MDB_NOTLS | MDB_NORDAHEAD | (store->is_reader ? MDB_RDONLY : MDB_NOSYNC);
	MDB_stat stat;
	int rc = mdb_env_create(&store->env);

	if (rc) {
		store->env = NULL;
		return env_errno(rc);
	}
	rc = mdb_env_set_maxdbs(store->env, STORE_TABLES + 1);
	if (!rc)
		rc = mdb_env_set_maxreaders(store->env, ENV_READERS_MAX);
	if (!rc && map_bytes)
		rc = mdb_env_set_mapsize(store->env, map_bytes);
	if (!rc)
		rc = mdb_env_open(store->env, store->path, flags, 0660);
	if (!rc)
		rc = mdb_env_get_fd(store->env, &store->data_fd);
	if (!rc)
		rc = mdb_env_stat(store->env, &stat);
	if (!rc) {
		store->page_bytes = stat.ms_psize;
		rc = read_tables(store);
	}
	if (!rc)
		return 0;
	mdb_env_close(store->env);
	store->env = NULL;
	return why_fail(why, -env_errno(rc), "its map data.mdb can't be opened: %s", mdb_strerror(rc));
}

void env_close(struct store *store)
{
	struct store_snap *snap;

	if (!store->env)
		return;
	while ((snap = store->free_snaps)) {
		store->free_snaps = snap->next;
		mdb_txn_abort(snap->txn);
		free(snap);
	}
	checkpoint_unpin(store);
	if (store->count_txn)
		mdb_txn_abort(store->count_txn);
	store->count_txn = NULL;
	mdb_env_close(store->env);
	store->env = NULL;
}

int env_read_seq(struct store *store, MDB_txn *txn, uint64_t *out)
{
	MDB_val key = env_val(slice_str(ENV_SEQ_NAME)), value;
	int rc = mdb_get(txn, store->tables[STORE_META], &key, &value);

	if (rc == MDB_NOTFOUND || (rc == 0 && value.mv_size != 8))
		return -EBADMSG;
	if (rc)
		return env_errno(rc);
	*out = le_get64(value.mv_data);
	return 0;
}

const char *store_path(const struct store *store)
{
	return store->path;
}

void store_figures(struct store *store, struct store_figures *out)
{
	struct store_snap *snap;
	struct statvfs disk;
	MDB_envinfo info;
	uint64_t before, pages;

	*out = (struct store_figures){ 0 };
	if (store_snap_begin(store, &snap) == 0) {
		if (space_free_pages(snap->txn, &pages) == 0)
			out->map_free_bytes = pages * store->page_bytes;
		store_snap_end(snap);
	}
	if (mdb_env_info(store->env, &info) == 0) {
		out->map_used_bytes = (info.me_last_pgno + 1) * store->page_bytes - out->map_free_bytes;
		out->map_bytes = info.me_mapsize;
	}
	out->page_bytes = store->page_bytes;
	if (fstatvfs(store->dir_fd, &disk) == 0) {
		out->disk_free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
		out->disk_bytes = (uint64_t)disk.f_blocks * disk.f_frsize;
	}
	out->last_seq = atomic_load(&store->last_seq);
	out->checkpoint_seq = atomic_load(&store->checkpoint_seq);
	out->commits = atomic_load(&store->commits);
	out->checkpoints = atomic_load(&store->checkpoints);
	out->checkpoint_failures = atomic_load(&store->checkpoint_failures);
	out->replayed = store->replayed;
	out->after_power_loss = store->after_power_loss;
	out->failed = -atomic_load(&store->failed);
	if (store->is_reader)
		return;
	out->log_bytes_written = atomic_load(&store->log.bytes_written);
	changelog_sizes(&store->log, 0, &out->log_segments, &before);
}
