/* SPDX-License-Identifier: MIT */
/*
 * Room, known before anything is promised. Behind a synced log record the map's commit must not fail, and two things could run out
 * under it.
 *
 * The disk: the map is a sparse file, and a commit writes pages that have no blocks yet. So before the log is written, blocks are
 * allocated ahead (without changing the file's size) for all that the commit can add: the tables' pages that it can have copied or split,
 * pages of large values, and the list of free pages. It is a bound, not an estimate: every page counts as new. Allocated is
 * much more than that while the disk has room, so most commits make no call at all.
 *
 * The map: MDB_MAP_FULL comes while the transaction is filled, except for the list of free pages, which LMDB writes in its commit. Near
 * the end of the map a trial in a nested transaction, dropped at once, takes as many pages as that list can need.
 *
 * Deletions need room too, for LMDB copies what it changes. store_has_room tells ordinary writes to stop while a reserve is left.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "base/clock.h"
#include "store/env.h"

enum {
	AHEAD_MIN = 1 << 20, AHEAD_MAX = 64 << 20, AHEAD_SHARE = 8,	/* allocated ahead: an eighth of the file within bounds */
	RESERVE_MIN = 256 << 10, RESERVE_SHARE = 64,			/* for deletions: of the map */
	DISK_RESERVE = 4 << 20,						/* for deletions: of the disk */
	COUNT_EVERY = 16,						/* commits between two counts of the free pages */
	COUNT_ALWAYS_BELOW = 4096,					/* pages of a map so small that counting costs nothing */
	TIGHT_RETRY_MS = 100,
};

static uint64_t used_pages(struct store *store, uint64_t *out_map_pages)
{
	MDB_envinfo info;

	mdb_env_info(store->env, &info);
	if (out_map_pages)
		*out_map_pages = info.me_mapsize / store->page_bytes;
	return info.me_last_pgno + 1;
}

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Pages that the commit writes in one table at the most. Each change copies the path to its leaf and may split each page of it; but no more
 * can be changed than there are, and pages that a change emptied are among the `ops` of them. */
static size_t bound_table(MDB_txn *txn, MDB_dbi dbi, size_t ops)
{
	MDB_stat stat;

	if (!ops || mdb_stat(txn, dbi, &stat))
		return 0;
	return min_size(stat.ms_leaf_pages, 2 * ops) + ops +
	       min_size(stat.ms_branch_pages, 2 * ops * (stat.ms_depth ? stat.ms_depth : 1)) + 2;
}

/* The same for the list of free pages: `out_list` pages in all, of which `out_run` must be neighbours (one record of what this commit
 * frees). */
static size_t bound_free_list(struct store_batch *batch, size_t changed, uint64_t used, size_t *out_run)
{
	size_t per_page = batch->store->page_bytes / sizeof(size_t);
	MDB_stat stat = { 0 };

	mdb_stat(batch->txn, 0, &stat);
	*out_run = (changed + 64) / per_page + 1;
	return *out_run + stat.ms_leaf_pages + stat.ms_branch_pages + stat.ms_overflow_pages +
	       (size_t)min_size(used, stat.ms_entries * per_page) / per_page + 16;
}

/* ---- the disk ---- */

static int allocate(struct store *store, uint64_t upto)
{
	int rc;

	if (upto <= store->allocated)
		return 0;
	do
		rc = fallocate(store->data_fd, FALLOC_FL_KEEP_SIZE, (off_t)store->allocated,
			       (off_t)(upto - store->allocated)) < 0 ? -errno : 0;
	while (rc == -EINTR);
	/* A file system that can't allocate ahead can't be asked; its ENOSPC comes with the map's commit. */
	if (rc == -EOPNOTSUPP || rc == -ENOSYS)
		rc = 0;
	if (rc == 0)
		store->allocated = upto;
	return rc == -EDQUOT ? -ENOSPC : rc;
}

static uint64_t ahead(uint64_t used_bytes)
{
	uint64_t bytes = used_bytes / AHEAD_SHARE;

	return bytes < AHEAD_MIN ? AHEAD_MIN : bytes > AHEAD_MAX ? AHEAD_MAX : bytes;
}

static uint64_t clamp(uint64_t bytes, uint64_t limit)
{
	return bytes < limit ? bytes : limit;
}

/* As much as is comfortable, or what deletions should find, or what this commit needs. */
static int ensure_disk(struct store *store, uint64_t used, uint64_t need, uint64_t limit)
{
	uint64_t need_bytes = clamp((used + need) * store->page_bytes, limit);
	int rc;

	pthread_mutex_lock(&store->space_lock);
	rc = 0;
	if (need_bytes > store->allocated) {
		rc = allocate(store, clamp(need_bytes + ahead(need_bytes), limit));
		if (rc == -ENOSPC)
			rc = allocate(store, clamp(need_bytes + DISK_RESERVE, limit));
		atomic_store(&store->disk_is_tight, rc == -ENOSPC);
		if (rc == -ENOSPC)
			rc = allocate(store, need_bytes);
	}
	pthread_mutex_unlock(&store->space_lock);
	return rc;
}

/* ---- the map ---- */

static int probe_put(struct store *store, MDB_txn *txn, unsigned number, size_t bytes)
{
	char name[32] = ENV_OWN_NAMES "probe.";
	MDB_val key = { sizeof name, name }, value = { bytes, NULL };

	memcpy(name + sizeof name - sizeof number, &number, sizeof number);
	return mdb_put(txn, store->tables[STORE_META], &key, &value, MDB_RESERVE);
}

/* Takes what the list of free pages may need, to see whether it is there, and gives it back. */
static int probe_map(struct store_batch *batch, size_t list, size_t run)
{
	struct store *store = batch->store;
	MDB_txn *trial;
	int rc = mdb_txn_begin(store->env, batch->txn, 0, &trial);

	if (rc)
		return env_errno(rc);
	rc = probe_put(store, trial, 0, run * store->page_bytes - 64);
	/* More than half a page: a value that has a page of its own. */
	for (unsigned i = 1; i <= list && !rc; i++)
		rc = probe_put(store, trial, i, store->page_bytes * 3 / 4);
	mdb_txn_abort(trial);
	return env_errno(rc);
}

int space_ensure(struct store_batch *batch)
{
	struct store *store = batch->store;
	uint64_t map_pages, used = used_pages(store, &map_pages);
	size_t changed = batch->now.value_pages, run, list;
	int rc = 0;

	for (int i = 0; i <= STORE_TABLES; i++)
		changed += bound_table(batch->txn, i < STORE_TABLES ? store->tables[i] : store->rows, batch->now.ops[i]);
	changed += bound_table(batch->txn, 1, STORE_TABLES + 1);	/* the table of tables */
	list = bound_free_list(batch, changed, used, &run);
	if (used + changed + list >= map_pages)
		rc = probe_map(batch, list, run);
	return rc < 0 ? rc : ensure_disk(store, used, changed + list, map_pages * store->page_bytes);
}

/* Pages in the list of free ones, those included that a snapshot or the pin still holds. */
static int count_free(struct store *store, uint64_t *out)
{
	MDB_cursor *cursor;
	MDB_val key, value;
	uint64_t total = 0;
	int rc = store->count_txn ? mdb_txn_renew(store->count_txn)
				  : mdb_txn_begin(store->env, NULL, MDB_RDONLY, &store->count_txn);

	if (rc)
		return env_errno(rc);
	rc = mdb_cursor_open(store->count_txn, 0, &cursor);
	if (!rc) {
		while (!(rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT))) {
			size_t n = 0;

			memcpy(&n, value.mv_data, sizeof n);
			total += n;
		}
		mdb_cursor_close(cursor);
	}
	mdb_txn_reset(store->count_txn);
	if (rc != MDB_NOTFOUND)
		return env_errno(rc);
	*out = total;
	return 0;
}

void space_committed(struct store *store)
{
	uint64_t map_pages, used = used_pages(store, &map_pages), unused = map_pages > used ? map_pages - used : 0;
	uint64_t reserve = map_pages / RESERVE_SHARE, count = 0;

	if (reserve < RESERVE_MIN / store->page_bytes)
		reserve = RESERVE_MIN / store->page_bytes;
	if (unused >= 2 * reserve) {
		atomic_store_explicit(&store->map_is_tight, false, memory_order_relaxed);
		store->commits_uncounted = COUNT_EVERY;
		return;
	}
	if (++store->commits_uncounted < COUNT_EVERY && map_pages > COUNT_ALWAYS_BELOW)
		return;
	store->commits_uncounted = 0;
	if (count_free(store, &count) == 0)
		atomic_store_explicit(&store->map_is_tight, unused + count < reserve, memory_order_relaxed);
}

/* Has the disk got room again? Asked now and then, for nothing else would find out while ordinary writes are refused. */
static void retry_disk(struct store *store)
{
	uint64_t map_pages, used = used_pages(store, &map_pages);
	int64_t now = clock_monotonic();

	pthread_mutex_lock(&store->space_lock);
	if (now - store->tight_ns >= TIGHT_RETRY_MS * INT64_C(1000000)) {
		store->tight_ns = now;
		if (allocate(store, clamp((used + 1) * store->page_bytes + DISK_RESERVE, map_pages * store->page_bytes)) == 0)
			atomic_store(&store->disk_is_tight, false);
	}
	pthread_mutex_unlock(&store->space_lock);
}

bool store_has_room(struct store *store)
{
	if (atomic_load(&store->disk_is_tight))
		retry_disk(store);
	return !atomic_load(&store->disk_is_tight) && !atomic_load_explicit(&store->map_is_tight, memory_order_relaxed);
}

int space_open(struct store *store)
{
	uint64_t map_pages, used = used_pages(store, &map_pages);
	int rc;

	/* What lies within the file may have holes: pages that were taken and never written. */
	pthread_mutex_lock(&store->space_lock);
	store->allocated = 0;
	rc = allocate(store, used * store->page_bytes);
	pthread_mutex_unlock(&store->space_lock);
	atomic_store(&store->disk_is_tight, rc == -ENOSPC);
	store->commits_uncounted = COUNT_EVERY;
	space_committed(store);
	return rc == -ENOSPC ? 0 : rc;
}
