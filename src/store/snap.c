/* SPDX-License-Identifier: MIT */
/*
 * A read view of the map: a read transaction of LMDB, reset and renewed instead of made anew, so that a reader in a
 * FUSE thread neither allocates nor locks another process's table. Free ones keep their reader slot; a reset one holds
 * no pages.
 */
#include <errno.h>
#include <stdlib.h>
#include "store/env.h"
#include "store/key.h"

enum {
	FREE_MAX = 256,		/* snapshots kept for later: more than threads that read at a time */
	RESIZE_WAIT_S = 2,	/* for other snapshots to end, before the map can be mapped anew */
};

/* Without a free slot those of dead processes are taken back, which else happens every few seconds. */
static int renew(struct store *store, struct store_snap *snap)
{
	int rc, dead = 0;

	for (;;) {
		rc = snap->txn ? mdb_txn_renew(snap->txn) : mdb_txn_begin(store->env, NULL, MDB_RDONLY, &snap->txn);
		if (rc != MDB_READERS_FULL || dead || mdb_reader_check(store->env, &dead) || !dead)
			return rc;
	}
}

/* Snapshots of a reader are counted, for the map can be mapped anew only while there is none. `resizing` is read behind
 * the count and written before it is looked at, so that one of both sides sees the other. The writer's map never moves. */
static void enter(struct store *store)
{
	while (store->is_reader) {
		atomic_fetch_add(&store->active, 1);
		if (!atomic_load(&store->resizing))
			break;
		pthread_mutex_lock(&store->snap_lock);
		atomic_fetch_sub(&store->active, 1);
		pthread_cond_broadcast(&store->resized);
		while (atomic_load(&store->resizing))
			pthread_cond_wait(&store->resized, &store->snap_lock);
		pthread_mutex_unlock(&store->snap_lock);
	}
}

static void leave(struct store *store)
{
	if (!store->is_reader || atomic_fetch_sub(&store->active, 1) != 1 || !atomic_load(&store->resizing))
		return;
	pthread_mutex_lock(&store->snap_lock);
	pthread_cond_broadcast(&store->resized);
	pthread_mutex_unlock(&store->snap_lock);
}

/* The writer's process has made the map larger than this reader mapped it. It is mapped anew as soon as nobody looks at
 * it; who wants to begin meanwhile waits, so that this takes no longer than the snapshots that are held. */
static int adopt_size(struct store *store)
{
	struct timespec due;
	int rc = 0;

	clock_gettime(CLOCK_MONOTONIC, &due);
	due.tv_sec += RESIZE_WAIT_S;
	pthread_mutex_lock(&store->snap_lock);
	if (!atomic_load(&store->resizing)) {
		atomic_store(&store->resizing, true);
		while (atomic_load(&store->active) && rc != ETIMEDOUT)
			rc = pthread_cond_timedwait(&store->resized, &store->snap_lock, &due);
		rc = atomic_load(&store->active) ? MDB_MAP_RESIZED : mdb_env_set_mapsize(store->env, 0);
		atomic_fetch_add(&store->moves, 1);
		atomic_store(&store->resizing, false);
		pthread_cond_broadcast(&store->resized);
	}
	pthread_mutex_unlock(&store->snap_lock);
	return rc;
}

int store_snap_renew(struct store_snap *snap)
{
	struct store *store = snap->store;
	int rc;

	for (;;) {
		enter(store);
		rc = renew(store, snap);
		if (!rc)
			return 0;
		leave(store);
		if (rc != MDB_MAP_RESIZED || !store->is_reader)
			return env_errno(rc);
		rc = adopt_size(store);
		if (rc)
			return env_errno(rc);
	}
}

void store_snap_park(struct store_snap *snap)
{
	mdb_txn_reset(snap->txn);
	leave(snap->store);
}

static void put_away(struct store *store, struct store_snap *snap, bool keep)
{
	pthread_mutex_lock(&store->snap_lock);
	store->n_snaps--;
	keep = keep && store->n_free_snaps < FREE_MAX;
	if (keep) {
		snap->next = store->free_snaps;
		store->free_snaps = snap;
		store->n_free_snaps++;
	}
	pthread_mutex_unlock(&store->snap_lock);
	if (keep)
		return;
	if (snap->txn)
		mdb_txn_abort(snap->txn);
	free(snap);
}

int store_snap_begin(struct store *store, struct store_snap **out)
{
	struct store_snap *snap;
	int rc;

	pthread_mutex_lock(&store->snap_lock);
	if (store->n_snaps == ENV_SNAPS_MAX) {
		pthread_mutex_unlock(&store->snap_lock);
		return -EMFILE;
	}
	store->n_snaps++;
	snap = store->free_snaps;
	if (snap) {
		store->free_snaps = snap->next;
		store->n_free_snaps--;
	}
	pthread_mutex_unlock(&store->snap_lock);
	if (!snap) {
		snap = calloc(1, sizeof *snap);
		if (!snap) {
			pthread_mutex_lock(&store->snap_lock);
			store->n_snaps--;
			pthread_mutex_unlock(&store->snap_lock);
			return -ENOMEM;
		}
		snap->store = store;
	}
	rc = store_snap_renew(snap);
	if (rc < 0) {
		put_away(store, snap, false);
		return rc;
	}
	*out = snap;
	return 0;
}

void store_snap_end(struct store_snap *snap)
{
	if (!snap)
		return;
	store_snap_park(snap);
	put_away(snap->store, snap, true);
}

void store_snap_free(struct store_snap *snap)
{
	if (snap)
		put_away(snap->store, snap, false);
}

uint64_t store_snap_version(const struct store_snap *snap)
{
	return mdb_txn_id(snap->txn);
}

int store_snap_seq(struct store_snap *snap, uint64_t *out)
{
	return env_read_seq(snap->store, snap->txn, out);
}

static int get(MDB_txn *txn, MDB_dbi dbi, struct slice key, struct slice *out)
{
	MDB_val k = env_val(key), v;
	int rc;

	if (!key.len || key.len > KEY_MAX)
		return -ENOENT;
	rc = mdb_get(txn, dbi, &k, &v);
	if (rc)
		return env_errno(rc);
	*out = slice_of(v.mv_data, v.mv_size);
	return 0;
}

int store_get(struct store_snap *snap, enum store_table table, struct slice key, struct slice *out)
{
	return get(snap->txn, snap->store->tables[table], key, out);
}

int store_get_row(struct store_snap *snap, uint32_t rows, struct slice entity, struct slice *out)
{
	struct key key;

	if (key_encode(rows, entity, &key) < 0)
		return -ENOENT;
	return get(snap->txn, snap->store->rows, key_slice(&key), out);
}

int store_get_row_over(struct store_snap *snap, uint32_t rows, uint32_t overlay, struct slice entity, struct slice *out)
{
	int rc = overlay ? store_get_row(snap, overlay, entity, out) : -ENOENT;

	if (rc == -ENOENT)
		return store_get_row(snap, rows, entity, out);
	return rc == 0 && !out->len ? -ENOENT : rc;
}

/* ---- walks ---- */

struct store_walk {
	MDB_cursor *cursor;
	struct key seek;	/* where it begins */
	size_t prefix_len;	/* bytes of it that every key of the walk begins with */
	size_t strip;		/* bytes of a key that are not handed out */
	bool skips_seek;	/* it begins behind `seek` */
	bool has_begun;
	/* What comes next, if `has_head`; what was given out last stays the head until the next step. */
	struct slice key, value;
	bool has_head, is_given;
	struct store_walk *over;	/* of the overlay; NULL: there is none */
};

static int walk_new(struct store_snap *snap, MDB_dbi dbi, struct store_walk **out)
{
	struct store_walk *walk = calloc(1, sizeof *walk);
	int rc;

	if (!walk)
		return -ENOMEM;
	rc = mdb_cursor_open(snap->txn, dbi, &walk->cursor);
	if (rc) {
		free(walk);
		return env_errno(rc);
	}
	*out = walk;
	return 0;
}

int store_walk_begin(struct store_snap *snap, enum store_table table, struct slice prefix, struct store_walk **out)
{
	struct store_walk *walk = NULL;
	int rc;

	if (prefix.len > KEY_MAX)
		return -EINVAL;
	rc = walk_new(snap, snap->store->tables[table], &walk);
	if (rc < 0)
		return rc;
	if (prefix.len)
		memcpy(walk->seek.data, prefix.data, prefix.len);
	walk->seek.len = walk->prefix_len = prefix.len;
	*out = walk;
	return 0;
}

int store_walk_rows(struct store_snap *snap, uint32_t rows, struct slice after, struct store_walk **out)
{
	struct store_walk *walk = NULL;
	struct key seek;
	int rc = 0;

	key_first(rows, &seek);
	if (after.len)
		rc = key_encode(rows, after, &seek);
	if (rc == 0)
		rc = walk_new(snap, snap->store->rows, &walk);
	if (rc < 0)
		return rc;
	walk->seek = seek;
	walk->prefix_len = walk->strip = KEY_ROWS_LEN;
	walk->skips_seek = after.len != 0;
	*out = walk;
	return 0;
}

int store_walk_rows_over(struct store_snap *snap, uint32_t rows, uint32_t overlay, struct slice after,
			 struct store_walk **out)
{
	struct store_walk *walk = NULL;
	int rc = store_walk_rows(snap, rows, after, &walk);

	if (rc == 0 && overlay)
		rc = store_walk_rows(snap, overlay, after, &walk->over);
	if (rc < 0)
		store_walk_end(walk);
	else
		*out = walk;
	return rc;
}

/* Takes the cursor's pair as head, unless it lies behind the walk's end. */
static int take_head(struct store_walk *walk, int rc, const MDB_val *k, const MDB_val *v)
{
	walk->has_head = walk->is_given = false;
	if (rc)
		return env_errno(rc);
	if (k->mv_size < walk->prefix_len || memcmp(k->mv_data, walk->seek.data, walk->prefix_len))
		return -ENOENT;
	walk->key = slice_of((const char *)k->mv_data + walk->strip, k->mv_size - walk->strip);
	walk->value = slice_of(v->mv_data, v->mv_size);
	walk->has_head = true;
	return 0;
}

/* One step of one table. */
static int step(struct store_walk *walk)
{
	MDB_val k, v;
	int rc;

	if (walk->has_begun) {
		rc = mdb_cursor_get(walk->cursor, &k, &v, MDB_NEXT);
	} else {
		walk->has_begun = true;
		k = env_val(key_slice(&walk->seek));
		rc = mdb_cursor_get(walk->cursor, &k, &v, walk->seek.len ? MDB_SET_RANGE : MDB_FIRST);
		if (!rc && walk->skips_seek && slice_equal(slice_of(k.mv_data, k.mv_size), key_slice(&walk->seek)))
			rc = mdb_cursor_get(walk->cursor, &k, &v, MDB_NEXT);
	}
	return take_head(walk, rc, &k, &v);
}

/* Moves on to `entity` or behind it: the next row is the likely one, else the tree is asked. */
static int step_to(struct store_walk *walk, struct slice entity)
{
	struct key key;
	MDB_val k, v;
	int rc = 0;

	if (!walk->has_head || walk->is_given)
		rc = step(walk);
	if (rc < 0 || slice_compare(walk->key, entity) >= 0)
		return rc;
	memcpy(key.data, walk->seek.data, KEY_ROWS_LEN);
	if (entity.len > KEY_ENTITY_MAX)
		return -EINVAL;
	memcpy(key.data + KEY_ROWS_LEN, entity.data, entity.len);
	k = (MDB_val){ KEY_ROWS_LEN + entity.len, key.data };
	rc = mdb_cursor_get(walk->cursor, &k, &v, MDB_SET_RANGE);
	return take_head(walk, rc, &k, &v);
}

static int fill_head(struct store_walk *walk)
{
	int rc;

	if (walk->has_head && !walk->is_given)
		return 0;
	rc = walk->has_begun && !walk->has_head ? -ENOENT : step(walk);
	return rc == -ENOENT ? 0 : rc;
}

/* The lower one of two heads; the overlay's if they are of one entity, which takes the other with it. */
static struct store_walk *lower(struct store_walk *walk)
{
	struct store_walk *over = walk->over;
	int order;

	if (!over->has_head || !walk->has_head)
		return over->has_head ? over : walk->has_head ? walk : NULL;
	order = slice_compare(over->key, walk->key);
	if (order == 0)
		walk->is_given = true;
	return order <= 0 ? over : walk;
}

static int next_over(struct store_walk *walk, struct slice *out_key, struct slice *out_value)
{
	struct store_walk *from;
	int rc;

	do {
		rc = fill_head(walk);
		if (rc == 0)
			rc = fill_head(walk->over);
		if (rc < 0)
			return rc;
		from = lower(walk);
		if (!from)
			return -ENOENT;
		from->is_given = true;
	} while (!from->value.len);
	*out_key = from->key;
	*out_value = from->value;
	return 0;
}

int store_walk_next(struct store_walk *walk, struct slice *out_key, struct slice *out_value)
{
	int rc;

	if (walk->over)
		return next_over(walk, out_key, out_value);
	rc = fill_head(walk);
	if (rc < 0 || !walk->has_head)
		return rc < 0 ? rc : -ENOENT;
	walk->is_given = true;
	*out_key = walk->key;
	*out_value = walk->value;
	return 0;
}

/* Has the walk a row at `entity` or behind it at hand, or none is left. */
static int advance(struct store_walk *walk, struct slice entity)
{
	int rc;

	if (walk->has_head && !walk->is_given && slice_compare(walk->key, entity) >= 0)
		return 0;
	if (walk->has_begun && !walk->has_head)
		return 0;
	rc = step_to(walk, entity);
	return rc == -ENOENT ? 0 : rc;
}

int store_walk_seek(struct store_walk *walk, struct slice entity, struct slice *out_key, struct slice *out_value)
{
	int rc = advance(walk, entity);

	if (rc == 0 && walk->over)
		rc = advance(walk->over, entity);
	return rc < 0 ? rc : store_walk_next(walk, out_key, out_value);
}

void store_walk_end(struct store_walk *walk)
{
	if (!walk)
		return;
	store_walk_end(walk->over);
	mdb_cursor_close(walk->cursor);
	free(walk);
}

int store_rows_next(struct store_snap *snap, uint32_t after, uint32_t *out_rows)
{
	struct store_walk *walk = NULL;
	struct slice key, value, entity;
	int rc;

	if (after == UINT32_MAX)
		return -ENOENT;
	rc = walk_new(snap, snap->store->rows, &walk);
	if (rc < 0)
		return rc;
	key_first(after + 1, &walk->seek);
	rc = store_walk_next(walk, &key, &value);
	if (rc == 0)
		rc = key_decode(key, out_rows, &entity);
	store_walk_end(walk);
	return rc;
}
