/* SPDX-License-Identifier: MIT */
/* The pieces of the sort: packed rows, rows in memory, rows in a file, and the stream that merges them. Private to the sort. */
#ifndef BATCH_SORT_PRIVATE_H
#define BATCH_SORT_PRIVATE_H

#include <endian.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include "base/buf.h"
#include "base/slice.h"
#include "base/text.h"
#include "store/record.h"

/*
 * A row in memory and in a file, which is never read by another process: length of the record 4, of the entity 1, the entity, the record.
 * Throughout these files a record is packed (sort_pack.c), unless it is said otherwise.
 */
enum { ROW_HEAD = 5 };

static inline size_t row_len(struct slice entity, struct slice record)
{
	return ROW_HEAD + entity.len + record.len;
}

static inline struct slice row_entity(const char *row)
{
	return slice_of(row + ROW_HEAD, (uint8_t)row[4]);
}

static inline struct slice row_record(const char *row)
{
	uint32_t len;

	memcpy(&len, row, sizeof len);
	return slice_of(row + ROW_HEAD + (uint8_t)row[4], len);
}

/* All but the record; returns its place. */
static inline char *row_begin_write(char *to, struct slice entity, size_t record_len)
{
	uint32_t len = (uint32_t)record_len;

	memcpy(to, &len, sizeof len);
	to[4] = (char)entity.len;
	memcpy(to + ROW_HEAD, entity.data, entity.len);
	return to + ROW_HEAD + entity.len;
}

static inline void row_write(char *to, struct slice entity, struct slice record)
{
	to = row_begin_write(to, entity, record.len);
	if (record.len)
		memcpy(to, record.data, record.len);
}

/* Eight bytes of an entity from `from` on, such that numbers are in the order of the bytes. No entity holds a NUL. */
static inline uint64_t entity_key(struct slice entity, size_t from)
{
	uint64_t key = 0;
	size_t left = entity.len > from ? entity.len - from : 0;

	if (left)
		memcpy(&key, (const char *)entity.data + from, left < 8 ? left : 8);
	return be64toh(key);
}

static inline size_t common_prefix(struct slice a, struct slice b, size_t max)
{
	const char *p = a.data, *q = b.data;
	size_t i = 0;

	max = max < a.len ? max : a.len;
	max = max < b.len ? max : b.len;
	while (i < max && p[i] == q[i])
		i++;
	return i;
}

/* ---- packed records: sort_pack.c ---- */

enum { SHAPES_MAX = 255 };

struct shapes {
	_Atomic unsigned n;
	unsigned last;			/* of the thread that packs */
	struct shape *list[SHAPES_MAX + 1];	/* from 1 on */
};

/* Packs a record; replaces what `out` has. -ENOMEM. One thread at a time. */
int sort_pack(struct shapes *shapes, struct slice record, struct buf *out);
/* The same of a record that was not made yet, in two steps, so that it is written where it stays: its length (0: it can't be packed but from a
 * record; *out_shape is for the second step), then its bytes. */
size_t sort_packed_len(struct shapes *shapes, uint8_t flags, const struct record_stamp *stamp, const struct record_cell *cells, size_t n,
		       unsigned *out_shape);
void sort_pack_cells(unsigned shape, const struct record_stamp *stamp, const struct record_cell *cells, size_t n, char *to);
/* The record, in the packed bytes or in the scratch. Any thread. -EBADMSG, -ENOMEM. */
int sort_unpack(const struct shapes *shapes, struct slice packed, struct buf *scratch, struct slice *out);
void shapes_release(struct shapes *shapes);

/* ---- rows in memory: sort_chunk.c ---- */

struct entry {
	uint64_t key;		/* only while sorting */
	uint32_t at;		/* of the row in data */
	uint32_t unused;
};

struct chunk {
	char *data;
	size_t len, cap;
	struct entry *entries;	/* in the order of adding, then sorted */
	size_t n, cap_entries;
	size_t prefix;		/* bytes that all entities begin with */
	bool is_ascending;	/* so far, in the order of adding */
	bool has_duplicates;	/* known once it is sorted */
	struct chunk *next;
};

int chunk_new(size_t bytes, struct chunk **out);
/* Has the kernel provide the memory now. */
void chunk_touch(struct chunk *chunk);
void chunk_free(struct chunk *chunk);		/* NULL is fine */
size_t chunk_bytes(const struct chunk *chunk);
/* A row whose record the caller writes to *out_place. 0; -E2BIG: there is no room for it; -ENOMEM. */
int chunk_add(struct chunk *chunk, struct slice entity, size_t record_len, char **out_place);
int chunk_sort(struct chunk *chunk);
/* The first entry whose entity is not below; chunk->n if there is none. */
size_t chunk_lower(const struct chunk *chunk, struct slice entity);

static inline const char *chunk_row(const struct chunk *chunk, size_t i)
{
	return chunk->data + chunk->entries[i].at;
}

/* ---- rows in a file: sort_run.c ---- */

struct run {
	int fd;
	uint64_t bytes;
	struct run_mark {
		uint64_t at;
		size_t name;	/* in names: length byte, entity */
	} *marks;		/* one row of about each MARK_BYTES */
	size_t n_marks, cap_marks;
	struct buf names;
	struct run *next;
};

struct run_writer {
	struct run *run;
	struct buf buf;
	uint64_t next_mark;
};

int run_writer_open(int dir_fd, struct run_writer *out);
int run_writer_add(struct run_writer *writer, struct slice entity, struct slice record);
/* Gives the run, whatever is left is written; on an error there is none. */
int run_writer_finish(struct run_writer *writer, struct run **out);
void run_writer_abort(struct run_writer *writer);
void run_free(struct run *run);			/* NULL is fine */
/* Appends the record of an entity. -ENOENT; -EIO and others. */
int run_find(const struct run *run, struct slice entity, struct buf *out);

/* ---- several of both, merged: sort_sorted.c ---- */

struct cursor {
	uint64_t key;
	struct slice entity, record;
	unsigned order;		/* rows of a lower order were added earlier */
	/* one of the two */
	const struct chunk *chunk;
	size_t i;
	const struct run *run;
	struct buf buf;
	size_t buf_at;
	uint64_t file_at, let_go;	/* read up to there; what is before let_go the kernel need not keep */
};

struct sorted {
	const struct shapes *shapes;
	struct cursor *cursors, **heap;
	unsigned n_cursors, n_heap;
	size_t prefix;
	bool must_advance;	/* the root has been given out */
	size_t read_bytes;
	uint64_t duplicates;
	struct record_builder builder;
	struct buf entity, merged, other, scratch;	/* merged: a record as it is, behind the byte that says so */
};

/* Sources must outlive it; lists are in the order of adding, runs before chunks. */
int sorted_open(const struct shapes *shapes, const struct run *runs, const struct chunk *chunks, size_t prefix, size_t read_bytes,
		struct sorted *out);
void sorted_close(struct sorted *stream);
/* -ENOENT at the end. Borrowed until the next call. */
int sorted_next(struct sorted *stream, struct slice *out_entity, struct slice *out_record);

#endif
