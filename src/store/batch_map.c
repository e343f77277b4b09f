/* SPDX-License-Identifier: MIT */
/*
 * What each kind of change does to the map, in the transaction of a batch. A commit and a replay both come through here, so that what the log says
 * is what the map has.
 */
#include <errno.h>
#include "store/env.h"
#include "store/key.h"

int batch_map_get(struct store_batch *batch, MDB_dbi dbi, struct slice key, struct slice *out)
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

int batch_map_put(struct store_batch *batch, MDB_dbi dbi, struct slice key, struct slice value)
{
	MDB_val k = env_val(key), v = env_val(value);

	return env_errno(mdb_put(batch->txn, dbi, &k, &v, 0));
}

int batch_map_put_row(struct store_batch *batch, const struct key *key, struct slice row)
{
	MDB_val k = env_val(key_slice(key));
	int rc;

	if (row.len)
		return batch_map_put(batch, batch->store->rows, key_slice(key), row);
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
	rc = batch_map_get(batch, batch->store->rows, key_slice(&key), &bytes);
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
	return batch_map_put_row(batch, &key, buf_slice(&batch->row));
}

void batch_map_count(struct store_batch *batch, size_t table, size_t value_len)
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
	batch_map_count(batch, STORE_TABLES, change->value.len);
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
			rc = batch_map_put_row(batch, &key, buf_slice(&batch->row));
		if (rc < 0)
			return rc;
		batch_map_count(batch, STORE_TABLES, batch->row.len);
		batch_map_count(batch, STORE_TABLES, 0);
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
		batch_map_count(batch, STORE_TABLES, 0);
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

int batch_map_apply(struct store_batch *batch, const struct store_change *change)
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
		rc = batch_map_put(batch, store->tables[change->table], change->key, change->value);
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
		batch_map_count(batch, change_has_table(change) ? (size_t)change->table : STORE_TABLES, len);
	return rc;
}

int batch_map_apply_sets(struct store_batch *batch, struct slice sets)
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

int batch_apply(struct store_batch *batch, struct slice payload)
{
	struct store_change change;
	int rc;

	while ((rc = store_change_next(&payload, &change)) == 0) {
		rc = batch_map_apply(batch, &change);
		if (rc == -ENOENT || rc == -EINVAL)
			rc = -EBADMSG;	/* it went well once: map and log are not of one kind */
		if (rc < 0)
			return rc;
	}
	return rc == -ENOENT ? 0 : rc;
}
