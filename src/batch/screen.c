/* SPDX-License-Identifier: MIT */
/*
 * Looking rows up costs about as much as reading them out of a file, so the two go on side by side, as in ahead.c: the caller copies rows into a
 * few blocks, which it and the thread pass each other. Rows keep their order.
 */
#include "batch/screen.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "batch/sort.h"
#include "batch/sort_private.h"
#include "ingest/load.h"

enum {
	BLOCKS = 3,			/* one is filled, one is full, one is screened */
	BLOCK_BYTES = 128 << 10,	/* small enough to stay in a core's cache on its way to the other */
};

struct screening {
	struct ingest_load *load;
	struct batch_sort *sort;
	struct buf blocks[BLOCKS];
	unsigned n_filled;		/* the caller's */
	unsigned n_done;		/* the thread's, as is the next */
	struct buf rows;		/* array of struct ingest_row */
	int sort_rc;			/* of the last row that was to be sorted */

	pthread_t thread;
	pthread_mutex_t lock;		/* protects what follows */
	pthread_cond_t turn;
	unsigned filled, done;		/* blocks, since the beginning */
	bool ends;			/* no more come */
	int rc;
	struct why why;
};

/* ---- the thread ---- */

static int add_to_sort(void *arg, struct slice entity, struct slice record)
{
	struct screening *screening = arg;

	screening->sort_rc = batch_sort_add(screening->sort, entity, record);
	return screening->sort_rc;
}

static int screen_block(struct screening *screening, const struct buf *block, struct why *why)
{
	size_t at = 0;
	int rc;

	buf_reset(&screening->rows);
	while (at < block->len) {
		const char *row = block->data + at;
		struct ingest_row one = { row_entity(row), row_record(row) };

		buf_append(&screening->rows, &one, sizeof one);
		at += row_len(one.entity, one.record);
	}
	if (buf_error(&screening->rows) < 0)
		return why_fail(why, ENOMEM, "no memory");
	rc = ingest_load_screen(screening->load, (const struct ingest_row *)screening->rows.data,
				screening->rows.len / sizeof(struct ingest_row), add_to_sort, screening, why);
	return screening->sort_rc < 0 ? why_fail(why, -screening->sort_rc, "rows cannot be sorted: %s", strerror(-screening->sort_rc)) : rc;
}

/* A full block; NULL at the end. */
static struct buf *take_full(struct screening *screening)
{
	bool ends;

	pthread_mutex_lock(&screening->lock);
	while (!screening->ends && screening->filled == screening->done)
		pthread_cond_wait(&screening->turn, &screening->lock);
	ends = screening->filled == screening->done;
	pthread_mutex_unlock(&screening->lock);
	return ends ? NULL : &screening->blocks[screening->n_done++ % BLOCKS];
}

/* Behind an error blocks are passed over. */
static void *screen(void *arg)
{
	struct screening *screening = arg;
	struct why why = { "" };
	struct buf *block;
	int rc = 0;

	while ((block = take_full(screening))) {
		if (rc == 0)
			rc = screen_block(screening, block, &why);
		buf_reset(block);
		pthread_mutex_lock(&screening->lock);
		if (rc < 0 && screening->rc == 0) {
			screening->rc = rc;
			screening->why = why;
		}
		screening->done++;
		pthread_cond_signal(&screening->turn);
		pthread_mutex_unlock(&screening->lock);
	}
	return NULL;
}

/* ---- the caller ---- */

int screening_start(struct ingest_load *load, struct batch_sort *sort, struct screening **out)
{
	struct screening *screening = calloc(1, sizeof *screening);
	int rc;

	if (!screening)
		return -ENOMEM;
	screening->load = load;
	screening->sort = sort;
	pthread_mutex_init(&screening->lock, NULL);
	pthread_cond_init(&screening->turn, NULL);
	rc = -pthread_create(&screening->thread, NULL, screen, screening);
	if (rc < 0) {
		pthread_mutex_destroy(&screening->lock);
		pthread_cond_destroy(&screening->turn);
		free(screening);
		return rc;
	}
	*out = screening;
	return 0;
}

/* Hands the block over, and waits until there is another one (or, with `all`, until all are through). */
static int hand_over(struct screening *screening, bool all, struct why *why)
{
	int rc;

	pthread_mutex_lock(&screening->lock);
	screening->filled = ++screening->n_filled;
	pthread_cond_signal(&screening->turn);
	while (screening->filled - screening->done > (all ? 0 : BLOCKS - 1))
		pthread_cond_wait(&screening->turn, &screening->lock);
	rc = screening->rc;
	if (rc < 0)
		*why = screening->why;
	pthread_mutex_unlock(&screening->lock);
	return rc;
}

int screening_add(struct screening *screening, struct slice entity, struct slice record, struct why *why)
{
	struct buf *block = &screening->blocks[screening->n_filled % BLOCKS];
	size_t len = row_len(entity, record);
	char *place = buf_reserve(block, len);

	if (!place)
		return why_fail(why, ENOMEM, "no memory");
	row_write(place, entity, record);
	block->len += len;
	return block->len < BLOCK_BYTES ? 0 : hand_over(screening, false, why);
}

int screening_finish(struct screening *screening, struct why *why)
{
	return hand_over(screening, true, why);
}

void screening_stop(struct screening *screening)
{
	if (!screening)
		return;
	pthread_mutex_lock(&screening->lock);
	screening->ends = true;
	pthread_cond_signal(&screening->turn);
	pthread_mutex_unlock(&screening->lock);
	pthread_join(screening->thread, NULL);
	for (unsigned i = 0; i < BLOCKS; i++)
		buf_release(&screening->blocks[i]);
	buf_release(&screening->rows);
	pthread_mutex_destroy(&screening->lock);
	pthread_cond_destroy(&screening->turn);
	free(screening);
}
