/* SPDX-License-Identifier: MIT */
/*
 * The bare program of imports, whole: parses a CSV (bare.h), sorts its rows by entity, and appends them to plain LMDB in one transaction with
 * one sync at the end; or merges them into what stands there: walks it and puts what differs. No rules, no log, no event times, nobody reads.
 */
#ifndef BENCH_BARE_LOAD_H
#define BENCH_BARE_LOAD_H

#include <endian.h>
#include <lmdb.h>
#include "bare.h"

enum { BARE_KEY = 13, BARE_ROW = 4 * 8 + 3 * 8 + 2 * 12 + 1 + 8 };

struct bare_rows {
	char (*keys)[BARE_KEY];
	char (*rows)[BARE_ROW];
	struct bare_entry {
		uint64_t key;
		uint32_t at, unused;
	} *order;
	size_t n, cap;
};

static inline void bare_check(int rc, const char *what)
{
	if (rc)
		bench_die("LMDB: %s: %s", what, mdb_strerror(rc));
}

static inline void bare_pack(const struct bare *row, char *to)
{
	memcpy(to, row->f, 32);
	memcpy(to + 32, row->i, 24);
	memcpy(to + 56, row->s[0].data, 12);
	memcpy(to + 68, row->s[1].data, 12);
	to[80] = row->b;
	memcpy(to + 81, &row->event_ns, 8);
}

static inline void bare_parse(int dir, const char *name, size_t cap, struct bare_rows *out)
{
	size_t len;
	char *data = bare_read(dir, name, &len);
	const char *p = bare_first(data), *end = data + len;

	*out = (struct bare_rows){ .keys = malloc(cap * BARE_KEY), .rows = malloc(cap * BARE_ROW), .order = malloc(cap * sizeof *out->order),
				   .cap = cap };
	if (!out->keys || !out->rows || !out->order)
		bench_die("out of memory");
	while (p < end) {
		struct bare_entry *entry = &out->order[out->n];
		struct bare row;

		bare_row(&p, &row);
		if (row.entity.len != BARE_KEY || out->n == out->cap)
			bench_die("%s is not what it should be", name);
		memcpy(out->keys[out->n], row.entity.data, BARE_KEY);
		bare_pack(&row, out->rows[out->n]);
		memcpy(&entry->key, out->keys[out->n] + BARE_KEY - 8, 8);	/* all names begin alike */
		entry->key = be64toh(entry->key);
		entry->at = (uint32_t)out->n++;
	}
	free(data);
}

static inline void bare_release(struct bare_rows *rows)
{
	free(rows->keys);
	free(rows->rows);
	free(rows->order);
}

/* By the eight digits of a name, the last one first. */
static inline void bare_sort(struct bare_rows *rows)
{
	struct bare_entry *spare = malloc(rows->n * sizeof *spare), *from = rows->order, *to = spare;

	if (!spare)
		bench_die("out of memory");
	for (int digit = 0; digit < 8; digit++) {
		size_t at[10] = { 0 }, sum = 0;
		struct bare_entry *swap = from;

		for (size_t i = 0; i < rows->n; i++)
			at[(from[i].key >> 8 * digit & 255) - '0']++;
		for (int v = 0; v < 10; v++) {
			size_t here = at[v];

			at[v] = sum;
			sum += here;
		}
		for (size_t i = 0; i < rows->n; i++)
			to[at[(from[i].key >> 8 * digit & 255) - '0']++] = from[i];
		from = to;
		to = swap;
	}
	free(spare);		/* eight passes: the result is where it began */
}

static inline MDB_env *bare_open(const char *path, MDB_dbi *out_dbi)
{
	MDB_env *env;
	MDB_txn *txn;

	bare_check(mdb_env_create(&env), "create");
	bare_check(mdb_env_set_mapsize(env, (size_t)64 << 30), "map size");
	bare_check(mdb_env_open(env, path, MDB_NOSYNC | MDB_NOSUBDIR, 0600), "open");
	bare_check(mdb_txn_begin(env, NULL, 0, &txn), "begin");
	bare_check(mdb_dbi_open(txn, NULL, 0, out_dbi), "table");
	bare_check(mdb_txn_commit(txn), "commit");
	return env;
}

static inline void bare_append(const struct bare_rows *rows, MDB_txn *txn, MDB_dbi dbi)
{
	for (size_t i = 0; i < rows->n; i++) {
		MDB_val key = { BARE_KEY, rows->keys[rows->order[i].at] }, value = { BARE_ROW, rows->rows[rows->order[i].at] };

		bare_check(mdb_put(txn, dbi, &key, &value, MDB_APPEND), "put");
	}
}

static inline void bare_merge(const struct bare_rows *rows, MDB_txn *txn, MDB_dbi dbi)
{
	MDB_cursor *cursor;
	MDB_val key, value;

	bare_check(mdb_cursor_open(txn, dbi, &cursor), "cursor");
	for (size_t i = 0; i < rows->n; i++) {
		const char *name = rows->keys[rows->order[i].at], *row = rows->rows[rows->order[i].at];

		bare_check(mdb_cursor_get(cursor, &key, &value, i ? MDB_NEXT : MDB_FIRST), "next");
		if (key.mv_size != BARE_KEY || memcmp(key.mv_data, name, BARE_KEY))
			bench_die("the merge is out of step");
		if (!memcmp(value.mv_data, row, BARE_ROW))
			continue;
		value = (MDB_val){ BARE_ROW, (void *)(uintptr_t)row };
		bare_check(mdb_cursor_put(cursor, &key, &value, MDB_CURRENT), "put");
	}
	mdb_cursor_close(cursor);
}

/* Seconds from nothing but the file to synced. */
static inline double bare_load(MDB_env *env, MDB_dbi dbi, int dir, const char *name, size_t cap, bool merges)
{
	int64_t begun_ns = clock_monotonic();
	struct bare_rows rows;
	MDB_txn *txn;
	double seconds;

	bare_parse(dir, name, cap, &rows);
	bare_sort(&rows);
	bare_check(mdb_txn_begin(env, NULL, 0, &txn), "begin");
	if (merges)
		bare_merge(&rows, txn, dbi);
	else
		bare_append(&rows, txn, dbi);
	bare_check(mdb_txn_commit(txn), "commit");
	bare_check(mdb_env_sync(env, 1), "sync");
	seconds = (double)(clock_monotonic() - begun_ns) / 1e9;
	bare_release(&rows);
	return seconds;
}

#endif
