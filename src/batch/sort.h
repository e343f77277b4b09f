/* SPDX-License-Identifier: MIT */
/*
 * External sort of rows by entity, in bounded memory: what does not fit goes to unlinked files in a folder of the store. Rows of one entity
 * become one: of each feature the newest event time wins, at a tie the row that was added later. Rows that come in order cost no
 * sorting. Private to batch.
 *
 * Calls of one sort come from one thread at a time; after batch_sort_finish, batch_sort_find may also be called from others, beside
 * batch_sort_next.
 */
#ifndef BATCH_SORT_H
#define BATCH_SORT_H

#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/slice.h"
#include "store/record.h"

struct batch_sort;

/* `dir_fd` is borrowed for the sort's life; -1: nothing is spilled, and a sort that outgrows its memory fails with -ENOSPC. */
int batch_sort_new(int dir_fd, size_t memory_bytes, struct batch_sort **out);
/* Copies both. -ENOSPC and other errors of files, -ENOMEM, -EBADMSG (no record): the sort is then of no use but to be freed. */
int batch_sort_add(struct batch_sort *sort, struct slice entity, struct slice record);
/* The same for a record that is not made yet; the arguments are those of record_pack, which it need not come to. */
int batch_sort_add_cells(struct batch_sort *sort, struct slice entity, uint8_t flags, const struct record_stamp *stamp,
			 const struct record_cell *cells, size_t n);
int batch_sort_finish(struct batch_sort *sort);
/* In byte order of entities, each once; borrowed until the next call. -ENOENT at the end. */
int batch_sort_next(struct batch_sort *sort, struct slice *out_entity, struct slice *out_record);
/* Begins again with the first row. */
int batch_sort_rewind(struct batch_sort *sort);
/* Appends the record of an entity, as batch_sort_next gives it. -ENOENT. */
int batch_sort_find(struct batch_sort *sort, struct slice entity, struct buf *out_record);
/* Rows that were merged into others; complete once batch_sort_next has come to the end. */
uint64_t batch_sort_duplicates(const struct batch_sort *sort);
uint64_t batch_sort_spilled_bytes(const struct batch_sort *sort);
void batch_sort_free(struct batch_sort *sort);		/* NULL is fine */

#endif
