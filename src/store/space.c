/* SPDX-License-Identifier: MIT */
/*
 * Room, known before anything is promised. Behind a synced log record the map's commit must not fail, and two things
 * could run out under it.
 *
 * The disk: the map is a sparse file, and a commit writes pages that have no blocks yet. So before the log is written,
 * blocks are allocated ahead (without changing the file's size) for all that the commit can add: the tables' pages that
 * it can have copied or split, pages of large values, and the list of free pages. It is a bound, not an estimate: every
 * page counts as new. Allocated is much more than that while the disk has room, so most commits make no call at all. On
 * a disk that is too full for the bound, trials tell exactly how far the map would grow, so that commits that fit into
 * free pages go on.
 *
 * The map: MDB_MAP_FULL comes while the transaction is filled, except for the list of free pages, which LMDB writes in
 * its commit. Near the end of the map a trial in a nested transaction, dropped at once, takes as many pages as that
 * list can need.
 *
 * Deletions need room too, for LMDB copies what it changes. So a reserve is allocated on the disk behind the map, and
 * kept of the map; store_has_room tells ordinary writes to stop while it is left.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "base/clock.h"
#include "store/env.h"

enum {
	/* Allocated ahead: an eighth of the file, within bounds. */
	AHEAD_MIN = 1 << 20, AHEAD_MAX = 64 << 20, AHEAD_SHARE = 8,
	/* Of the map, for deletions. */
	RESERVE_MIN = 256 << 10, RESERVE_SHARE = 64,
	/* Of the disk, for deletions. */
	DISK_RESERVE = 4 << 20,
	COUNT_EVERY = 16,		/* commits between two counts of the free pages */
	COUNT_ALWAYS_BELOW = 4096,	/* pages of a map so small that counting costs nothing */
	TIGHT_RETRY_MS = 100, FULL_RETRY_MS = 1000,
};

uint64_t space_used_pages(struct store *store, uint64_t *out_map_pages)
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

/* Pages that the commit writes in one table at the most. Each change copies the path to its leaf and may split
 * each page of it; but no more can be changed than there are, and pages that a change emptied are among the `ops`
 * of them. */
static size_t bound_table(MDB_txn *txn, MDB_dbi dbi, size_t ops)
{
	MDB_stat stat;

	if (!ops || mdb_stat(txn, dbi, &stat))
		return 0;
	return min_size(stat.ms_leaf_pages, 2 * ops) + ops +
	       min_size(stat.ms_branch_pages, 2 * ops * (stat.ms_depth ? stat.ms_depth : 1)) + 2;
}

/* The same for the list of free pages: `out_list` pages in all, of which `out_run` must be neighbours (one record of
 * what this commit frees). */
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

/* ---- trials ---- */

enum { PAGE_HEADER = 16 };	/* of LMDB's pages; a value that has pages of its own begins behind it */

/* Takes pages as a value of `bytes` in a transaction that will be dropped. `out_end`: the page behind them. */
static int try_value(struct store *store, MDB_txn *trial, uint32_t number, size_t bytes, uint64_t *out_end)
{
	char name[32] = ENV_OWN_NAMES "trial";
	MDB_val key = { sizeof name, name }, value = { bytes, NULL };
	size_t page;
	int rc;

	memcpy(name + sizeof name - sizeof number, &number, sizeof number);
	rc = mdb_put(trial, store->tables[STORE_META], &key, &value, MDB_RESERVE);
	if (rc)
		return env_errno(rc);
	memcpy(&page, (const char *)value.mv_data - PAGE_HEADER, sizeof page);
	*out_end = page + (bytes + PAGE_HEADER + store->page_bytes - 1) / store->page_bytes;
	return 0;
}

/* Takes what the list of free pages may need, to see whether it is there and up to where it reaches, and gives it
 * back. */
static int try_list(struct store_batch *batch, size_t list, size_t run, uint64_t *out_end)
{
	struct store *store = batch->store;
	uint64_t end;
	MDB_txn *trial;
	int rc = env_errno(mdb_txn_begin(store->env, batch->txn, 0, &trial));

	if (rc < 0)
		return rc;
	rc = try_value(store, trial, 0, run * store->page_bytes - PAGE_HEADER, out_end);
	/* More than half a page: a value that has a page of its own. */
	for (uint32_t i = 1; i <= list && rc == 0; i++) {
		rc = try_value(store, trial, i, store->page_bytes * 3 / 4, &end);
		if (rc == 0 && end > *out_end)
			*out_end = end;
	}
	mdb_txn_abort(trial);
	return rc;
}

/* The first page that this transaction has not taken at the file's end: where a run begins that is longer than all free
 * pages. */
static int find_end(struct store_batch *batch, uint64_t free_pages, uint64_t *out_end)
{
	struct store *store = batch->store;
	size_t run = free_pages + 1;
	MDB_txn *trial;
	int rc = env_errno(mdb_txn_begin(store->env, batch->txn, 0, &trial));

	if (rc < 0)
		return rc;
	rc = try_value(store, trial, 0, run * store->page_bytes - PAGE_HEADER, out_end);
	mdb_txn_abort(trial);
	if (rc == 0)
		*out_end -= run;
	return rc;
}

int space_free_pages(MDB_txn *txn, uint64_t *out)
{
	MDB_cursor *cursor;
	MDB_val key, value;
	uint64_t total = 0;
	int rc = mdb_cursor_open(txn, 0, &cursor);

	if (rc)
		return env_errno(rc);
	while (!(rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT))) {
		size_t n = 0;

		memcpy(&n, value.mv_data, sizeof n);
		total += n;
	}
	mdb_cursor_close(cursor);
	if (rc != MDB_NOTFOUND)
		return env_errno(rc);
	*out = total;
	return 0;
}

/* Pages in the list of free ones, those included that a snapshot or the pin still holds. */
static int count_free_locked(struct store *store, uint64_t *out)
{
	int rc = store->count_txn ? mdb_txn_renew(store->count_txn)
				  : mdb_txn_begin(store->env, NULL, MDB_RDONLY, &store->count_txn);

	if (rc)
		return env_errno(rc);
	rc = space_free_pages(store->count_txn, out);
	mdb_txn_reset(store->count_txn);
	return rc;
}

static int count_free(struct store *store, uint64_t *out)
{
	int rc;

	pthread_mutex_lock(&store->space_lock);
	rc = count_free_locked(store, out);
	pthread_mutex_unlock(&store->space_lock);
	return rc;
}

/* Pages of the map after this commit, exactly. */
static int measure(struct store_batch *batch, size_t list, size_t run, uint64_t *out)
{
	uint64_t free_pages, end, list_end;
	int rc = count_free(batch->store, &free_pages);

	if (rc == 0)
		rc = find_end(batch, free_pages, &end);
	if (rc == 0)
		rc = try_list(batch, list, run, &list_end);
	if (rc == 0)
		*out = end > list_end ? end : list_end;
	return rc;
}

/* ---- before a commit ---- */

/* As much as is comfortable, else with the reserve behind it, else what this commit needs, out of the reserve. */
static int ensure_disk(struct store *store, uint64_t pages, uint64_t limit)
{
	uint64_t need = clamp(pages * store->page_bytes, limit), reserved = clamp(need + DISK_RESERVE, limit);
	int rc = 0;

	pthread_mutex_lock(&store->space_lock);
	if (reserved > store->allocated) {
		rc = allocate(store, clamp(reserved + ahead(need), limit));
		if (rc == -ENOSPC)
			rc = allocate(store, reserved);
		atomic_store(&store->disk_is_tight, rc == -ENOSPC);
		if (rc == -ENOSPC)
			rc = allocate(store, need);
	}
	pthread_mutex_unlock(&store->space_lock);
	return rc;
}

int space_ensure(struct store_batch *batch)
{
	struct store *store = batch->store;
	uint64_t map_pages, used = space_used_pages(store, &map_pages), end;
	size_t changed = batch->now.value_pages, run, list;
	int rc = 0;

	for (int i = 0; i <= STORE_TABLES; i++)
		changed += bound_table(batch->txn, i < STORE_TABLES ? store->tables[i] : store->rows,
				       batch->now.ops[i]);
	changed += bound_table(batch->txn, 1, STORE_TABLES + 1);	/* the table of tables */
	list = bound_free_list(batch, changed, used, &run);
	if (used + changed + list >= map_pages)
		rc = try_list(batch, list, run, &end);
	if (rc < 0)
		return rc;
	rc = ensure_disk(store, used + changed + list, map_pages * store->page_bytes);
	if (rc != -ENOSPC)
		return rc;
	rc = measure(batch, list, run, &end);
	if (rc == 0)
		rc = ensure_disk(store, end, map_pages * store->page_bytes);
	if (rc < 0) {
		pthread_mutex_lock(&store->space_lock);
		store->full_ns = clock_monotonic();
		pthread_mutex_unlock(&store->space_lock);
		atomic_store(&store->disk_is_full, true);
	}
	return rc == -ENOMEM || rc == -EFBIG ? -ENOSPC : rc;
}

/* ---- behind it ---- */

/* With a disk that is tight, the reserve may be blocks behind the map or free pages in it. */
static bool is_disk_full_locked(const struct store *store, uint64_t used, uint64_t free_pages)
{
	return atomic_load(&store->disk_is_tight) &&
	       store->allocated + free_pages * store->page_bytes < used * store->page_bytes + DISK_RESERVE;
}

void space_committed(struct store *store)
{
	uint64_t map_pages, used = space_used_pages(store, &map_pages),
		unused = map_pages > used ? map_pages - used : 0;
	uint64_t reserve = map_pages / RESERVE_SHARE, count = 0;

	if (reserve < RESERVE_MIN / store->page_bytes)
		reserve = RESERVE_MIN / store->page_bytes;
	if (unused >= 2 * reserve && !atomic_load(&store->disk_is_tight)) {
		atomic_store_explicit(&store->map_is_full, false, memory_order_relaxed);
		atomic_store_explicit(&store->disk_is_full, false, memory_order_relaxed);
		store->commits_uncounted = COUNT_EVERY;
		return;
	}
	/* While ordinary writes are refused each commit is a removal that may be the last, and must be seen to have helped. */
	if (++store->commits_uncounted < COUNT_EVERY && map_pages > COUNT_ALWAYS_BELOW && !atomic_load(&store->map_is_full) &&
	    !atomic_load(&store->disk_is_full))
		return;
	store->commits_uncounted = 0;
	pthread_mutex_lock(&store->space_lock);
	if (count_free_locked(store, &count) == 0) {
		atomic_store(&store->map_is_full, unused + count < reserve);
		atomic_store(&store->disk_is_full, is_disk_full_locked(store, used, count));
	}
	pthread_mutex_unlock(&store->space_lock);
}

/* Has the disk got room again, or the map free pages that a snapshot kept from the commit that met the full disk? Asked now and then, for
 * nothing else would find out while ordinary writes are refused. */
static void retry_disk(struct store *store)
{
	uint64_t map_pages, used = space_used_pages(store, &map_pages), count;
	int64_t now = clock_monotonic();

	pthread_mutex_lock(&store->space_lock);
	if (now - store->full_ns >= FULL_RETRY_MS * INT64_C(1000000)) {
		store->full_ns = now;
		if (count_free_locked(store, &count) == 0 && !is_disk_full_locked(store, used, count))
			atomic_store(&store->disk_is_full, false);
	}
	if (now - store->tight_ns >= TIGHT_RETRY_MS * INT64_C(1000000)) {
		store->tight_ns = now;
		/* Twice the reserve, so that the next commit does not find it short again. */
		if (allocate(store, clamp(used * store->page_bytes + 2 * DISK_RESERVE,
					  map_pages * store->page_bytes)) == 0) {
			atomic_store(&store->disk_is_tight, false);
			atomic_store(&store->disk_is_full, false);
		}
	}
	pthread_mutex_unlock(&store->space_lock);
}

bool store_has_room(struct store *store)
{
	if (atomic_load(&store->disk_is_full))
		retry_disk(store);
	return !atomic_load(&store->disk_is_full) && !atomic_load(&store->map_is_full);
}

int space_open(struct store *store)
{
	uint64_t map_pages, used = space_used_pages(store, &map_pages);
	int rc;

	/* What lies within the file may have holes: pages that were taken and never written. */
	pthread_mutex_lock(&store->space_lock);
	store->allocated = 0;
	rc = allocate(store, used * store->page_bytes);
	if (rc == 0)
		rc = allocate(store, clamp(used * store->page_bytes + DISK_RESERVE, map_pages * store->page_bytes));
	atomic_store(&store->disk_is_tight, rc == -ENOSPC);
	pthread_mutex_unlock(&store->space_lock);
	atomic_store(&store->checkpoint_pages, used);
	store->commits_uncounted = COUNT_EVERY;
	space_committed(store);
	return rc == -ENOSPC ? 0 : rc;
}
