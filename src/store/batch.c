/* SPDX-License-Identifier: MIT */
/*
 * One write transaction, and the log record of the same changes. Every change is applied to the map and then appended
 * to the record, as change.c writes it; replay applies the record's changes through the same functions. So what the log says
 * is what the map has.
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

/* ---- the map ---- */

static int get(struct store_batch *batch, MDB_dbi dbi, struct slice key, struct slice *out)
{
	MDB_val k = env_val(key), v;
	int rc;

	if (!key.len || key.len > KEY_MAX)
		return -ENOENT;
	rc = mdb_get(batch->txn, dbi, &k, &v);
	if (rc)
		return env_errno(rc);
	*out = slice_of(v.mv_data, v.mv_size);
	return 0;
}

static int put(struct store_batch *batch, MDB_dbi dbi, struct slice key, struct slice value)
{
	MDB_val k = env_val(key), v = env_val(value);

	return env_errno(mdb_put(batch->txn, dbi, &k, &v, 0));
}

static int put_or_delete(struct store_batch *batch, const struct key *key, struct slice row)
{
	MDB_val k = env_val(key_slice(key));
	int rc;

	if (row.len)
		return put(batch, batch->store->rows, key_slice(key), row);
	rc = env_errno(mdb_del(batch->txn, batch->store->rows, &k, NULL));
	return rc == -ENOENT ? 0 : rc;
}

static int apply_row(struct store_batch *batch, const struct store_change *change, size_t *out_len)
{
	struct slice bytes = { 0 };
	struct record row, delta;
	struct key key;
	int rc = key_encode(change->rows, change->key, &key);

	if (rc < 0)
		return rc;
	if (record_view(change->value, &delta) < 0 || !delta.data)
		return -EINVAL;
	rc = get(batch, batch->store->rows, key_slice(&key), &bytes);
	if (rc < 0 && rc != -ENOENT)
		return rc;
	rc = record_view(bytes, &row);
	if (rc < 0)
		return rc;
	buf_reset(&batch->row);
	rc = record_apply(&row, &delta, &batch->row);
	if (rc < 0)
		return rc;
	*out_len = batch->row.len;
	return put_or_delete(batch, &key, buf_slice(&batch->row));
}

/* Counts what a change of one pair may cost in pages: see space.c. */
static void count(struct store_batch *batch, size_t table, size_t value_len)
{
	size_t page = batch->store->page_bytes;

	batch->now.ops[table]++;
	if (value_len > page / 4)
		batch->now.value_pages += (value_len + 16) / page + 1;
}

/* Behind all other rows a row is appended, which leaves full pages behind; a load's table has the highest number, so that
 * its sorted rows are. `cursor` is of this transaction. */
static int apply_set(struct store_batch *batch, MDB_cursor *cursor, const struct store_change *change)
{
	MDB_val k, v = env_val(change->value);
	struct key key;
	int rc = key_encode(change->rows, change->key, &key);

	if (rc < 0)
		return rc;
	k = env_val(key_slice(&key));
	rc = batch->no_append ? MDB_KEYEXIST : mdb_cursor_put(cursor, &k, &v, MDB_APPEND);
	if (rc == MDB_KEYEXIST) {
		batch->no_append = true;
		rc = mdb_cursor_put(cursor, &k, &v, 0);
	}
	if (rc)
		return env_errno(rc);
	count(batch, STORE_TABLES, change->value.len);
	return 0;
}

/* Finds the first row of a table from `first` on, up to `last`. -ENOENT. */
static int find_row(MDB_cursor *cursor, uint32_t rows, struct slice first, struct slice last, struct slice *out_entity,
		    struct slice *out_row)
{
	struct key seek;
	uint32_t found;
	MDB_val k, v;
	int rc = 0;

	key_first(rows, &seek);
	if (first.len)
		rc = key_encode(rows, first, &seek);
	if (rc < 0)
		return rc;
	k = env_val(key_slice(&seek));
	rc = env_errno(mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE));
	if (rc < 0)
		return rc;
	rc = key_decode(slice_of(k.mv_data, k.mv_size), &found, out_entity);
	if (rc < 0)
		return rc;
	*out_row = slice_of(v.mv_data, v.mv_size);
	return found == rows && slice_compare(*out_entity, last) <= 0 ? 0 : -ENOENT;
}

/* One row after another: each may move pages, so that nothing is borrowed across a change. */
static int apply_fold(struct store_batch *batch, MDB_cursor *cursor, const struct store_change *change)
{
	struct slice entity, row;
	struct key key;
	int rc;

	while ((rc = find_row(cursor, change->rows, change->value, change->key, &entity, &row)) == 0) {
		buf_reset(&batch->row);
		buf_append_slice(&batch->row, row);
		rc = buf_error(&batch->row);
		if (rc == 0)
			rc = key_encode(change->into, entity, &key);
		if (rc == 0)
			rc = env_errno(mdb_cursor_del(cursor, 0));
		if (rc == 0)
			rc = put_or_delete(batch, &key, buf_slice(&batch->row));
		if (rc < 0)
			return rc;
		count(batch, STORE_TABLES, batch->row.len);
		count(batch, STORE_TABLES, 0);
	}
	return rc == -ENOENT ? 0 : rc;
}

static int apply_clear(struct store_batch *batch, MDB_cursor *cursor, const struct store_change *change)
{
	struct slice entity, row;
	int rc;

	while ((rc = find_row(cursor, change->rows, slice_of(NULL, 0), change->key, &entity, &row)) == 0) {
		rc = env_errno(mdb_cursor_del(cursor, 0));
		if (rc < 0)
			return rc;
		count(batch, STORE_TABLES, 0);
	}
	return rc == -ENOENT ? 0 : rc;
}

static int apply_with_cursor(struct store_batch *batch, const struct store_change *change)
{
	MDB_cursor *cursor;
	int rc = env_errno(mdb_cursor_open(batch->txn, batch->store->rows, &cursor));

	if (rc < 0)
		return rc;
	rc = change->kind == STORE_CHANGE_SET ? apply_set(batch, cursor, change) :
	     change->kind == STORE_CHANGE_FOLD ? apply_fold(batch, cursor, change) : apply_clear(batch, cursor, change);
	mdb_cursor_close(cursor);
	return rc;
}

static int apply(struct store_batch *batch, const struct store_change *change)
{
	struct store *store = batch->store;
	size_t len = change->value.len;
	MDB_val k;
	int rc = 0;

	switch (change->kind) {
	case STORE_CHANGE_ROW:
		rc = apply_row(batch, change, &len);
		break;
	case STORE_CHANGE_PUT:
		rc = put(batch, store->tables[change->table], change->key, change->value);
		break;
	case STORE_CHANGE_DELETE:
		k = env_val(change->key);
		rc = env_errno(mdb_del(batch->txn, store->tables[change->table], &k, NULL));
		break;
	case STORE_CHANGE_LATE:
	case STORE_CHANGE_NOTE:
		return 0;
	case STORE_CHANGE_SET:
	case STORE_CHANGE_FOLD:
	case STORE_CHANGE_CLEAR:
		return apply_with_cursor(batch, change);	/* they count for themselves */
	}
	if (rc == 0)
		count(batch, change_has_table(change) ? (size_t)change->table : STORE_TABLES, len);
	return rc;
}

int batch_apply(struct store_batch *batch, struct slice payload)
{
	struct store_change change;
	int rc;

	while ((rc = store_change_next(&payload, &change)) == 0) {
		rc = apply(batch, &change);
		if (rc == -ENOENT || rc == -EINVAL)
			rc = -EBADMSG;	/* it went well once: map and log are not of one kind */
		if (rc < 0)
			return rc;
	}
	return rc == -ENOENT ? 0 : rc;
}

static int begin(struct store_batch *batch)
{
	batch->now = (struct batch_mark){ .record_len = CHANGELOG_HEAD };
	batch->touched = batch->logged = batch->no_append = false;
	batch->broken = 0;
	return env_errno(mdb_txn_begin(batch->store->env, NULL, 0, &batch->txn));
}

/* ---- the batch ---- */

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
	rc = apply(batch, &copy);
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
	rc = put_or_delete(batch, &key, row);
	if (rc < 0) {
		note_failure(batch, rc);
		goto fail;
	}
	count(batch, STORE_TABLES, row.len);
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

static int apply_sets(struct store_batch *batch, struct slice sets)
{
	struct store_change change;
	MDB_cursor *cursor;
	int rc = env_errno(mdb_cursor_open(batch->txn, batch->store->rows, &cursor));

	if (rc < 0)
		return rc;
	while ((rc = store_change_next(&sets, &change)) == 0) {
		rc = change.kind == STORE_CHANGE_SET ? apply_set(batch, cursor, &change) : -EINVAL;
		if (rc < 0)
			break;
	}
	mdb_cursor_close(cursor);
	return rc == -ENOENT ? 0 : rc;
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
	rc = apply_sets(batch, slice_of(batch->record.data + before, sets.len));
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
	return get(batch, batch->store->tables[table], key, out);
}

int store_batch_get_row(struct store_batch *batch, uint32_t rows, struct slice entity, struct slice *out)
{
	struct key key;

	if (key_encode(rows, entity, &key) < 0)
		return -ENOENT;
	return get(batch, batch->store->rows, key_slice(&key), out);
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
	return put(batch, batch->store->tables[STORE_META], slice_str(ENV_SEQ_NAME), slice_of(bytes, sizeof bytes));
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
