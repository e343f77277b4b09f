/* SPDX-License-Identifier: MIT */
/* The rows of a finished sort, fetched ahead by a thread of their own while the caller works on those before. Private to batch. */
#ifndef BATCH_AHEAD_H
#define BATCH_AHEAD_H

#include "batch/sort.h"

struct ahead;

/* The sort must outlive it, and batch_sort_next is its own from here on. */
int ahead_start(struct batch_sort *sort, struct ahead **out);
/* As batch_sort_next. */
int ahead_next(struct ahead *ahead, struct slice *out_entity, struct slice *out_record);
/* Rows that were merged into those given so far. */
uint64_t ahead_duplicates(const struct ahead *ahead);
void ahead_stop(struct ahead *ahead);		/* NULL is fine */

#endif
