/* SPDX-License-Identifier: MIT */
/*
 * One write transaction, and the log record of the same changes. Every change is applied to the map and then appended
 * to the record; replay applies the record's changes through the same functions. So what the log says is what the map
 * has.
 *
 * The payload of a record is its changes one after another; lengths and numbers are little-endian u32:
 *
 *	1 ROW		rows, length, entity, length, delta
 *	2 LATE		rows, length, entity, length, record
 *	3 PUT		table (one byte), length, key, length, value
 *	4 DELETE	table (one byte), length, key
 *	5 NOTE		length, text
 *
 *	put "k" = "v" into the sources (table 5):	03 05 01000000 6b 01000000 76
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

/* ---- payload ---- */

static bool take_u8(struct slice *in, uint8_t *out)
{
	if (!in->len)
		return false;
	*out = *(const uint8_t *)in->data;
	*in = slice_of((const char *)in->data + 1, in->len - 1);
	return true;
}

static bool take_u32(struct slice *in, uint32_t *out)
{
	if (in->len < 4)
		return false;
	*out = le_get32(in->data);
	*in = slice_of((const char *)in->data + 4, in->len - 4);
	return true;
}

static bool take_bytes(struct slice *in, struct slice *out)
{
	uint32_t len;

	if (!take_u32(in, &len) || len > in->len)
		return false;
	*out = slice_of(in->data, len);
	*in = slice_of((const char *)in->data + len, in->len - len);
	return true;
}

static bool take_table(struct slice *in, enum store_table *out)
{
	uint8_t table;

	if (!take_u8(in, &table) || table >= STORE_TABLES)
		return false;
	*out = table;
	return true;
}

int store_change_next(struct slice *payload, struct store_change *out)
{
	struct store_change change = { 0 };
	struct slice in = *payload;
	uint8_t kind;
	bool is_whole = false;

	if (!in.len)
		return -ENOENT;
	take_u8(&in, &kind);
	switch (kind) {
	case STORE_CHANGE_ROW:
	case STORE_CHANGE_LATE:
		is_whole = take_u32(&in, &change.rows) && take_bytes(&in, &change.key) &&
			take_bytes(&in, &change.value) &&
			   change.key.len && change.key.len <= KEY_ENTITY_MAX;
		break;
	case STORE_CHANGE_PUT:
		is_whole = take_table(&in, &change.table) && take_bytes(&in, &change.key) &&
			   take_bytes(&in, &change.value) && change.key.len && change.key.len <= KEY_MAX;
		break;
	case STORE_CHANGE_DELETE:
		is_whole = take_table(&in, &change.table) && take_bytes(&in, &change.key) && change.key.len &&
			   change.key.len <= KEY_MAX;
		break;
	case STORE_CHANGE_NOTE:
		is_whole = take_bytes(&in, &change.value);
		break;
	}
	if (!is_whole)
		return -EBADMSG;
	change.kind = kind;
	*payload = in;
	*out = change;
	return 0;
}

static bool has_table(const struct store_change *change)
{
	return change->kind == STORE_CHANGE_PUT || change->kind == STORE_CHANGE_DELETE;
}

static size_t encoded_len(const struct store_change *change)
{
	return 1 + 4 + 4 + 4 + change->key.len + change->value.len;
}

static void append_bytes(struct buf *out, struct slice bytes)
{
	buf_append_u32(out, (uint32_t)bytes.len);
	buf_append_slice(out, bytes);
}

static void append_change(struct buf *out, const struct store_change *change)
{
	buf_append_u8(out, (uint8_t)change->kind);
	if (has_table(change))
		buf_append_u8(out, (uint8_t)change->table);
	else if (change->kind != STORE_CHANGE_NOTE)
		buf_append_u32(out, change->rows);
	if (change->kind != STORE_CHANGE_NOTE)
		append_bytes(out, change->key);
	if (change->kind != STORE_CHANGE_DELETE)
		append_bytes(out, change->value);
}

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

static int apply_row(struct store_batch *batch, const struct store_change *change, size_t *out_len)
{
	struct slice bytes = { 0 };
	struct record row, delta;
	struct key key;
	int rc = key_encode(change->rows, change->key, &key);
	MDB_val k;

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
	if (batch->row.len)
		return put(batch, batch->store->rows, key_slice(&key), buf_slice(&batch->row));
	k = env_val(key_slice(&key));
	return row.data ? env_errno(mdb_del(batch->txn, batch->store->rows, &k, NULL)) : 0;
}

/* Counts what the change may cost in pages: see space.c. */
static void count(struct store_batch *batch, const struct store_change *change, size_t value_len)
{
	size_t page = batch->store->page_bytes;

	batch->now.ops[has_table(change) ? (size_t)change->table : STORE_TABLES]++;
	if (value_len > page / 4)
		batch->now.value_pages += (value_len + 16) / page + 1;
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
	}
	if (rc == 0)
		count(batch, change, len);
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
	batch->touched = batch->logged = false;
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
	batch->has_saved = false;
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

/* One more change: into the record first, then, from there, into the map. So nothing can fail behind the map's change,
 * and a value that was borrowed from the map may be given. */
static int change_map(struct store_batch *batch, const struct store_change *change)
{
	size_t before = batch->record.len;
	struct store_change copy;
	struct slice appended;
	int rc;

	if (batch->broken)
		return batch->broken;
	if (change->value.len > PAYLOAD_MAX || encoded_len(change) > PAYLOAD_MAX - before)
		return -EFBIG;
	append_change(&batch->record, change);
	if (buf_error(&batch->record) < 0) {
		batch->record.failed = false;
		rc = -ENOMEM;
		goto fail;
	}
	appended = slice_of(batch->record.data + before, batch->record.len - before);
	rc = store_change_next(&appended, &copy);
	if (rc < 0) {
		rc = -EINVAL;
		goto fail;
	}
	batch->touched = true;
	rc = apply(batch, &copy);
	if (rc < 0) {
		/* LMDB's transaction may be spoiled; what is refused before LMDB begins to change has changed
		 * nothing. */
		if (rc != -ENOENT && rc != -EINVAL && rc != -EFBIG && rc != -EBADMSG)
			batch->broken = rc;
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
	rc = changelog_append(&store->log, &batch->record, (uint32_t)atomic_load(&store->checkpoint_number));
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
