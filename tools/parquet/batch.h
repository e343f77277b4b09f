/* SPDX-License-Identifier: MIT */
#ifndef PARQUET_BATCH_H
#define PARQUET_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "batch/parquet_wire.h"

/* One column of a chunk, as the library lays it out. */
struct view {
	enum wire_kind kind;
	bool is_list;
	const void *data;
	const uint64_t *validity;	/* NULL: all are there */
	const void *child;
	const uint64_t *child_validity;
	uint64_t child_len;
};

/* Values [from, from + n) of a column. */
struct span {
	uint64_t from, n;
	const bool *skip;	/* rows that were too large, by place in the span; NULL: none */
};

/* The most bytes that a batch of all n rows takes, where one glance tells that they go into one and none is too large; most chunks are such.
 * Else 0. */
size_t batch_small(const struct view *views, size_t n_views, uint64_t n);
/* How many rows from `from` on go into one batch; skip[k] says whether the k-th of them is too large to go at all. */
uint64_t batch_choose(const struct view *views, size_t n_views, uint64_t from, uint64_t n, bool *skip, bool *out_skips);
/* Appends a batch. -EBADMSG, -ENOMEM; the buffer's own lack of memory is its caller's to see. */
int batch_put(struct buf *out, const struct view *views, size_t n_views, const struct span *rows, const bool *skip);

#endif
