/* SPDX-License-Identifier: MIT */
/* Beside whoever reads rows, a thread screens them with the load and sorts those that come back. Private to batch. */
#ifndef BATCH_SCREEN_H
#define BATCH_SCREEN_H

#include "base/slice.h"
#include "base/why.h"

struct batch_sort;
struct ingest_load;
struct screening;

/* Until it is stopped, load and sort are the thread's. -errno of pthread_create, -ENOMEM. */
int screening_start(struct ingest_load *load, struct batch_sort *sort, struct screening **out);
/* Copies both. An error is that of a row before. */
int screening_add(struct screening *screening, struct slice entity, struct slice record, struct why *why);
/* Waits until all rows are through. */
int screening_finish(struct screening *screening, struct why *why);
/* Ends it, in whatever state it is, and frees it; NULL is fine. */
void screening_stop(struct screening *screening);

#endif
