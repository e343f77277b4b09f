/* SPDX-License-Identifier: MIT */
/*
 * One write transaction, and the log record of the same changes. Every change is applied to the map and then appended
 * to the record, as change.c writes it; replay applies the record's changes through the same functions (batch_map.c).
 * So what the log says is what the map has.
 *
 * A savepoint is a mark in the record, and costs nothing. Rolling back is rare (something ran out): it drops the
 * transaction and applies the record up to the mark again, which is the road that replay goes anyway; nested
 * transactions of LMDB would copy every page for every savepoint.
 *
 * A steady stream of commits allocates nothing here: record and row keep their memory.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include "store/env.h"
#include "store/key.h"
#include "store/le.h"

enum {
	PAYLOAD_MAX = 1 << 30,		/* a record's length must fit 32 bits; nobody should come near */
	RECORD_KEPT = 4 << 20,		/* memory that a batch keeps for the next one */
};

/* ---- the batch ---- */

static int begin(struct store_batch *batch)
{
	batch->now = (struct batch_mark){ .record_len = CHANGELOG_HEAD };
	batch->touched = batch->logged = batch->no_append = false;
	batch->broken = 0;
	return env_errno(mdb_txn_begin(batch->store->env, NULL, 0, &batch->txn));
}

int store_batch_begin(struct store *store, struct store_batch **out)
{
	struct store_batch *batch = &store->batch;
	int rc;

	if (atomic_load(&store->failed))
		return -EIO;
	batch->store = store;
	rc = begin(batch);
	if (rc < 0)
		return rc;
	batch->has_saved = batch->postpones_sync = false;
	buf_reset(&batch->record);
	if (!buf_reserve(&batch->record, CHANGELOG_HEAD)) {
		store_batch_abort(batch);
		return -ENOMEM;
	}
	memset(batch->record.data, 0, CHANGELOG_HEAD);
	batch->record.len = CHANGELOG_HEAD;
	*out = batch;
	return 0;
}

/* What LMDB was asked for and did not do may have spoiled its transaction; what is refused before LMDB begins to change has changed nothing. */
static void note_failure(struct store_batch *batch, int rc)
{
	if (rc != -ENOENT && rc != -EINVAL && rc != -EFBIG && rc != -EBADMSG)
		batch->broken = rc;
}

static int append_to_record(struct store_batch *batch, const struct store_change *change)
{
	if (batch->broken)
		return batch->broken;
	if (change->value.len > PAYLOAD_MAX || change_encoded_len(change) > PAYLOAD_MAX - batch->record.len)
		return -EFBIG;
	change_append(&batch->record, change);
	if (buf_error(&batch->record) < 0) {
		batch->record.failed = false;
		return -ENOMEM;
	}
	return 0;
}

/* One more change: into the record first, then, from there, into the map. So nothing can fail behind the map's change,
 * and a value that was borrowed from the map may be given. */
static int change_map(struct store_batch *batch, const struct store_change *change)
{
	size_t before = batch->record.len;
	struct store_change copy;
	struct slice appended;
	int rc = append_to_record(batch, change);

	if (rc < 0)
		goto fail;
	appended = slice_of(batch->record.data + before, batch->record.len - before);
	rc = store_change_next(&appended, &copy);
	if (rc < 0) {
		rc = -EINVAL;
		goto fail;
	}
	batch->touched = true;
	rc = batch_map_apply(batch, &copy);
	if (rc < 0) {
		note_failure(batch, rc);
		goto fail;
	}
	batch->now.record_len = batch->record.len;
	return 0;
fail:
	batch->record.len = before;
	return rc;
}

/* The store's own names are not for others, and neither are keys that LMDB can't hold. */
static int check_key(enum store_table table, struct slice key)
{
	size_t own = strlen(ENV_OWN_NAMES);

	if (!key.len)
		return -EINVAL;
	if (key.len > KEY_MAX)
		return -ENAMETOOLONG;
	return table == STORE_META && key.len >= own && !memcmp(key.data, ENV_OWN_NAMES, own) ? -EINVAL : 0;
}

static int check_entity(struct slice entity)
{
	return !entity.len ? -EINVAL : entity.len > KEY_ENTITY_MAX ? -ENAMETOOLONG : 0;
}

int store_batch_put(struct store_batch *batch, enum store_table table, struct slice key, struct slice value)
{
	struct store_change change = { .kind = STORE_CHANGE_PUT, .table = table, .key = key, .value = value };
	int rc = check_key(table, key);

	return rc < 0 ? rc : change_map(batch, &change);
}

int store_batch_delete(struct store_batch *batch, enum store_table table, struct slice key)
{
	struct store_change change = { .kind = STORE_CHANGE_DELETE, .table = table, .key = key };
	int rc = check_key(table, key);

	return rc < 0 ? rc : change_map(batch, &change);
}

int store_batch_row(struct store_batch *batch, uint32_t rows, struct slice entity, struct slice delta)
{
	struct store_change change = { .kind = STORE_CHANGE_ROW, .rows = rows, .key = entity, .value = delta };
	int rc = check_entity(entity);

	return rc < 0 ? rc : change_map(batch, &change);
}

/* Finding the row once more and applying the delta to it would give the same bytes again, and cost as much as the change itself. */
int store_batch_row_as(struct store_batch *batch, uint32_t rows, struct slice entity, struct slice delta, struct slice row)
{
	struct store_change change = { .kind = STORE_CHANGE_ROW, .rows = rows, .key = entity, .value = delta };
	size_t before = batch->record.len;
	struct key key;
	int rc = check_entity(entity);

	if (rc == 0)
		rc = key_encode(rows, entity, &key);
	if (rc < 0)
		return rc;
	rc = append_to_record(batch, &change);
	if (rc < 0)
		goto fail;
	batch->touched = true;
	rc = batch_map_put_row(batch, &key, row);
	if (rc < 0) {
		note_failure(batch, rc);
		goto fail;
	}
	batch_map_count(batch, STORE_TABLES, row.len);
	batch->now.record_len = batch->record.len;
	return 0;
fail:
	batch->record.len = before;
	return rc;
}

int store_batch_set(struct store_batch *batch, uint32_t rows, struct slice entity, struct slice row)
{
	struct store_change change = { .kind = STORE_CHANGE_SET, .rows = rows, .key = entity, .value = row };
	int rc = check_entity(entity);

	return rc < 0 ? rc : change_map(batch, &change);
}

int store_batch_sets(struct store_batch *batch, struct slice sets)
{
	size_t before = batch->record.len;
	int rc;

	if (batch->broken)
		return batch->broken;
	if (sets.len > PAYLOAD_MAX - before)
		return -EFBIG;
	buf_append_slice(&batch->record, sets);
	if (buf_error(&batch->record) < 0) {
		batch->record.failed = false;
		return -ENOMEM;
	}
	batch->touched = true;
	rc = batch_map_apply_sets(batch, slice_of(batch->record.data + before, sets.len));
	if (rc < 0) {
		batch->broken = rc;
		batch->record.len = before;
		return rc;
	}
	batch->now.record_len = batch->record.len;
	return 0;
}

int store_batch_fold(struct store_batch *batch, uint32_t from, uint32_t into, struct slice first, struct slice last)
{
	struct store_change change = { .kind = STORE_CHANGE_FOLD, .rows = from, .into = into, .key = last, .value = first };
	int rc = check_entity(last);

	return rc < 0 ? rc : change_map(batch, &change);
}

int store_batch_clear(struct store_batch *batch, uint32_t rows, struct slice last)
{
	struct store_change change = { .kind = STORE_CHANGE_CLEAR, .rows = rows, .key = last };
	int rc = check_entity(last);

	return rc < 0 ? rc : change_map(batch, &change);
}

int store_batch_late(struct store_batch *batch, uint32_t rows, struct slice entity, struct slice record)
{
	struct store_change change = { .kind = STORE_CHANGE_LATE, .rows = rows, .key = entity, .value = record };
	int rc = check_entity(entity);

	return rc < 0 ? rc : change_map(batch, &change);
}

int store_batch_note(struct store_batch *batch, struct slice note)
{
	struct store_change change = { .kind = STORE_CHANGE_NOTE, .value = note };

	return change_map(batch, &change);
}

int store_batch_get(struct store_batch *batch, enum store_table table, struct slice key, struct slice *out)
{
	return batch_map_get(batch, batch->store->tables[table], key, out);
}

int store_batch_get_row(struct store_batch *batch, uint32_t rows, struct slice entity, struct slice *out)
{
	struct key key;

	if (key_encode(rows, entity, &key) < 0)
		return -ENOENT;
	return batch_map_get(batch, batch->store->rows, key_slice(&key), out);
}

int store_batch_get_row_over(struct store_batch *batch, uint32_t rows, uint32_t overlay, struct slice entity,
			     struct slice *out)
{
	int rc = overlay ? store_batch_get_row(batch, overlay, entity, out) : -ENOENT;

	if (rc == -ENOENT)
		return store_batch_get_row(batch, rows, entity, out);
	return rc == 0 && !out->len ? -ENOENT : rc;
}

bool store_batch_has_rows(struct store_batch *batch, uint32_t rows)
{
	MDB_cursor *cursor;
	struct key seek;
	MDB_val k, v;
	bool has;

	key_first(rows, &seek);
	k = env_val(key_slice(&seek));
	if (mdb_cursor_open(batch->txn, batch->store->rows, &cursor))
		return true;
	has = !mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE) && k.mv_size >= KEY_ROWS_LEN && !memcmp(k.mv_data, seek.data, KEY_ROWS_LEN);
	mdb_cursor_close(cursor);
	return has;
}

int store_batch_save(struct store_batch *batch)
{
	assert(!batch->has_saved);
	if (batch->broken)
		return batch->broken;
	batch->saved = batch->now;
	batch->has_saved = true;
	batch->touched = false;
	return 0;
}

void store_batch_rollback(struct store_batch *batch)
{
	struct slice kept;
	int rc;

	assert(batch->has_saved);
	batch->has_saved = false;
	if (!batch->touched)
		return;
	batch->record.len = batch->saved.record_len;
	kept = slice_of(batch->record.data + CHANGELOG_HEAD, batch->record.len - CHANGELOG_HEAD);
	mdb_txn_abort(batch->txn);
	batch->txn = NULL;
	rc = begin(batch);
	if (rc == 0)
		rc = batch_apply(batch, kept);
	batch->now.record_len = batch->record.len;
	if (rc < 0)
		batch->broken = rc;
}

int store_batch_release(struct store_batch *batch)
{
	assert(batch->has_saved);
	batch->has_saved = false;
	return batch->broken;
}

bool store_batch_is_empty(const struct store_batch *batch)
{
	return batch->record.len == CHANGELOG_HEAD;
}

size_t store_batch_bytes(const struct store_batch *batch)
{
	return batch->record.len - CHANGELOG_HEAD;
}

int batch_put_seq(struct store_batch *batch, uint64_t seq)
{
	uint8_t bytes[8];

	le_put64(bytes, seq);
	batch->now.ops[STORE_META]++;
	return batch_map_put(batch, batch->store->tables[STORE_META], slice_str(ENV_SEQ_NAME), slice_of(bytes, sizeof bytes));
}

void store_batch_postpone_sync(struct store_batch *batch)
{
	batch->postpones_sync = true;
}

int store_batch_log(struct store_batch *batch, uint64_t *out_seq)
{
	struct store *store = batch->store;
	uint64_t seq = store->log.end.seq;
	int rc = batch->broken;

	assert(!batch->has_saved && !batch->logged);
	if (atomic_load(&store->failed))
		return -EIO;
	/* The map says itself which commit it has, so that replay knows where to begin. */
	if (rc == 0)
		rc = batch_put_seq(batch, seq);
	if (rc == 0)
		rc = space_ensure(batch);
	if (rc < 0)
		return rc;
	rc = changelog_append(&store->log, &batch->record, (uint32_t)atomic_load(&store->checkpoint_number),
			      !batch->postpones_sync);
	if (rc == -EIO)
		env_fail(store, "the change log can't be written", rc);
	if (rc < 0)
		return rc;
	batch->logged = true;
	*out_seq = seq;
	return 0;
}

int batch_commit_map(struct store_batch *batch, const struct log_position *position)
{
	struct store *store = batch->store;
	MDB_txn *txn = batch->txn;
	int rc;

	batch->txn = NULL;
	pthread_mutex_lock(&store->commit_lock);
	rc = env_errno(mdb_txn_commit(txn));
	if (rc == 0) {
		store->committed = *position;
		atomic_store(&store->last_seq, position->seq - 1);
	}
	pthread_mutex_unlock(&store->commit_lock);
	return rc;
}

/* Forgets the memory of an uncommonly large batch. */
static void shrink(struct store_batch *batch)
{
	if (batch->record.cap > RECORD_KEPT)
		buf_release(&batch->record);
	if (batch->row.cap > RECORD_KEPT)
		buf_release(&batch->row);
}

int store_batch_commit(struct store_batch *batch)
{
	struct store *store = batch->store;
	uint64_t segment = store->committed.segment;	/* only this thread writes it */
	int rc;

	assert(batch->logged);
	rc = batch_commit_map(batch, &store->log.end);
	shrink(batch);
	if (rc < 0) {
		env_fail(store, "the map can't be written behind the log", rc);
		return -EIO;
	}
	atomic_fetch_add_explicit(&store->commits, 1, memory_order_relaxed);
	follow_news(store);
	space_committed(store);
	if (segment != store->log.end.segment || checkpoint_is_due(store))
		checkpoint_wake(store);
	return 0;
}

void store_batch_abort(struct store_batch *batch)
{
	if (!batch)
		return;
	assert(!batch->logged);
	if (batch->txn)
		mdb_txn_abort(batch->txn);
	batch->txn = NULL;
	shrink(batch);
}

void batch_release(struct store_batch *batch)
{
	buf_release(&batch->record);
	buf_release(&batch->row);
}
