/* SPDX-License-Identifier: MIT */
/*
 * What featurefs-parquet, the process that reads a Parquet file, says to the source that started it. Numbers are little-endian. Its input
 * and output are pipes, the file is descriptor 3, a ring of memory that both have mapped is descriptor 4:
 *
 *	frame	kind 4, length of the rest 4, the rest
 *	HEADER	rows 8, columns 4, then of each column: kind 1, is it a list 1, length of its name 2, name, length of its type 2, type
 *	WANTED	(to the process) count 4, indexes of columns 4 each, ascending
 *	BATCH	rows 4, a byte for each row that is 1 if it was too large to send (its columns are then null), then the wanted columns
 *	PLACED	position 8, length 4: of the rest of a BATCH that stands in the ring
 *	END	rows 8
 *	FAILED	text
 *
 *	column	has it nulls 1, if so a byte for each value that is 1 if there is one; then of a list the number of elements of each value, 4,
 *		and all elements as a column; of a kind of fixed size the values, null or not; else the length of each value, 4, and all bytes
 *
 * A page of a Parquet file gives tens of thousands of rows once it is unpacked, and none while it is: a ring that holds them all lets both sides
 * work all the time, and costs a copy less than a pipe. A position counts bytes since the beginning, its remainder by the ring's size is
 * a place. A piece is at most a quarter of the ring, begins on a line of the cache, and never goes round the end: one that would begins at the
 * front. The source copies it out before it believes a byte, and says (to the process) the position up to which it has, 8, whenever that
 * is an eighth of the ring further.
 *
 * The process speaks to nobody else, but what it reads is foreign, so its words are checked as such.
 */
#ifndef BATCH_PARQUET_WIRE_H
#define BATCH_PARQUET_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/slice.h"

enum wire_frame { WIRE_HEADER = 0x31515046, WIRE_WANTED, WIRE_BATCH, WIRE_END, WIRE_FAILED, WIRE_PLACED };

enum {
	WIRE_FILE_FD = 3, WIRE_RING_FD = 4,
	WIRE_FRAME_HEAD = 8,
	WIRE_FRAME_MAX = 48 << 20,	/* bytes behind the head */
	WIRE_BATCH_BYTES = 8 << 20,	/* a batch ends with the row that comes past this */
	WIRE_COLUMNS_MAX = 65536,
	WIRE_RING_MIN = 1 << 20, WIRE_RING_MAX = 16 << 20,
	WIRE_RING_LINE = 64,
};

/* Bytes that one piece of a ring may have, and where the piece behind one begins. */
static inline size_t wire_ring_piece(size_t size)
{
	return size / 4;
}

static inline uint64_t wire_ring_next(uint64_t position, size_t len)
{
	return (position + len + WIRE_RING_LINE - 1) / WIRE_RING_LINE * WIRE_RING_LINE;
}

/* How values look on the wire, not what they were in the file. */
enum wire_kind {
	WIRE_OTHER,		/* nothing that a feature can hold; such a column can't be wanted */
	WIRE_BOOL,		/* 1 byte */
	WIRE_INT,		/* 8: any integer that fits */
	WIRE_FLOAT,		/* 4 */
	WIRE_DOUBLE,		/* 8 */
	WIRE_DATE,		/* 8: days since 1970 */
	WIRE_TIME_US,		/* 8: microseconds since 1970 */
	WIRE_TIME_NS,		/* 8 */
	WIRE_TEXT, WIRE_BYTES,
	WIRE_DECIMAL,		/* text: an exact decimal number */
	WIRE_JSON,		/* text: what is nested otherwise than as a list of values */
	WIRE_KINDS,
};

/* Bytes of a value; 0: they vary. */
static inline unsigned wire_size(enum wire_kind kind)
{
	static const uint8_t sizes[WIRE_KINDS] = { [WIRE_BOOL] = 1, [WIRE_INT] = 8, [WIRE_FLOAT] = 4, [WIRE_DOUBLE] = 8, [WIRE_DATE] = 8,
						   [WIRE_TIME_US] = 8, [WIRE_TIME_NS] = 8 };

	return sizes[kind];
}

struct wire_column {
	enum wire_kind kind;
	bool is_list;
	struct slice name, type;	/* borrowed from the frame */
};

struct wire_header {
	uint64_t rows;
	struct wire_column *columns;
	size_t n_columns;
};

/* -EBADMSG, -ENOMEM. */
int wire_header_parse(struct slice bytes, struct wire_header *out);
void wire_header_release(struct wire_header *header);

/* The values of one column of a batch. */
struct wire_values {
	const uint8_t *valid;	/* NULL: all are there */
	const uint8_t *data;	/* of fixed size, or the bytes of all */
	uint32_t *ends;		/* of values that vary: where each ends in data; of a list: in elements */
	size_t cap_ends, n;
	struct wire_values *elements;	/* of a list */
};

struct wire_batch {
	uint32_t rows;
	const uint8_t *too_large;
	struct wire_values *columns;	/* as many as are wanted */
	size_t n_columns;
};

/* Memory for batches of `n` columns of these; -ENOMEM. */
int wire_batch_init(struct wire_batch *batch, const struct wire_column *const *wanted, size_t n);
void wire_batch_release(struct wire_batch *batch);
/* Values are borrowed from the bytes. -EBADMSG for what is cut, too long or points outside; -ENOMEM. */
int wire_batch_parse(struct wire_batch *batch, const struct wire_column *const *wanted, struct slice bytes);

static inline bool wire_is_null(const struct wire_values *values, size_t i)
{
	return values->valid && !values->valid[i];
}

static inline struct slice wire_bytes(const struct wire_values *values, size_t i)
{
	uint32_t from = i ? values->ends[i - 1] : 0;

	return slice_of(values->data + from, values->ends[i] - from);
}

#endif
