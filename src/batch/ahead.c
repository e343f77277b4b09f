/* SPDX-License-Identifier: MIT */
/*
 * Taking the next row off the sort is a step of a merge and some misses of the cache, for rows lie in memory as they came; judging it is as much
 * work again. So the two go on side by side: the thread copies rows into a few blocks, which it and the caller pass each other.
 */
#include "batch/ahead.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include "batch/sort_private.h"

enum {
	BLOCKS = 3,			/* one is read, one is full, one is filled */
	BLOCK_BYTES = 128 << 10,	/* small enough to stay in a core's cache on its way to the other */
};

struct block {
	struct buf rows;
	uint64_t duplicates;		/* up to its end */
	int rc;				/* what ended the rows behind it; 0: there are more */
};

struct ahead {
	struct batch_sort *sort;
	struct block blocks[BLOCKS];
	/* The caller's. */
	struct block *reading;		/* NULL before the first */
	size_t at;
	unsigned n_read;
	/* The thread's. */
	unsigned n_filled;

	pthread_t thread;
	pthread_mutex_t lock;		/* protects what follows */
	pthread_cond_t turn;
	unsigned filled, given_back;	/* blocks, since the beginning */
	bool stops;
};

/* ---- the thread ---- */

static int add_row(struct buf *rows, struct slice entity, struct slice record)
{
	size_t len = row_len(entity, record);
	char *place = buf_reserve(rows, len);

	if (!place)
		return -ENOMEM;
	row_write(place, entity, record);
	rows->len += len;
	return 0;
}

static void fill(struct ahead *ahead, struct block *block)
{
	struct slice entity, record;
	int rc = 0;

	buf_reset(&block->rows);
	while (rc == 0 && block->rows.len < BLOCK_BYTES) {
		rc = batch_sort_next(ahead->sort, &entity, &record);
		if (rc == 0)
			rc = add_row(&block->rows, entity, record);
	}
	block->rc = rc;
	block->duplicates = batch_sort_duplicates(ahead->sort);
}

/* A block to fill; NULL when it is told to stop. */
static struct block *take_empty(struct ahead *ahead)
{
	bool stops;

	pthread_mutex_lock(&ahead->lock);
	while (!ahead->stops && ahead->filled - ahead->given_back == BLOCKS)
		pthread_cond_wait(&ahead->turn, &ahead->lock);
	stops = ahead->stops;
	pthread_mutex_unlock(&ahead->lock);
	return stops ? NULL : &ahead->blocks[ahead->n_filled++ % BLOCKS];
}

static void *fetch(void *arg)
{
	struct ahead *ahead = arg;
	struct block *block;
	int rc = 0;

	while (rc == 0 && (block = take_empty(ahead))) {
		fill(ahead, block);
		rc = block->rc;
		pthread_mutex_lock(&ahead->lock);
		ahead->filled++;
		pthread_cond_signal(&ahead->turn);
		pthread_mutex_unlock(&ahead->lock);
	}
	return NULL;
}

/* ---- the caller ---- */

int ahead_start(struct batch_sort *sort, struct ahead **out)
{
	struct ahead *ahead = calloc(1, sizeof *ahead);
	int rc;

	if (!ahead)
		return -ENOMEM;
	ahead->sort = sort;
	pthread_mutex_init(&ahead->lock, NULL);
	pthread_cond_init(&ahead->turn, NULL);
	rc = -pthread_create(&ahead->thread, NULL, fetch, ahead);
	if (rc < 0) {
		pthread_mutex_destroy(&ahead->lock);
		pthread_cond_destroy(&ahead->turn);
		free(ahead);
		return rc;
	}
	*out = ahead;
	return 0;
}

static void next_block(struct ahead *ahead)
{
	pthread_mutex_lock(&ahead->lock);
	if (ahead->reading) {
		ahead->given_back++;
		pthread_cond_signal(&ahead->turn);
	}
	while (ahead->filled == ahead->n_read)
		pthread_cond_wait(&ahead->turn, &ahead->lock);
	pthread_mutex_unlock(&ahead->lock);
	ahead->reading = &ahead->blocks[ahead->n_read++ % BLOCKS];
	ahead->at = 0;
}

int ahead_next(struct ahead *ahead, struct slice *out_entity, struct slice *out_record)
{
	const char *row;

	while (!ahead->reading || ahead->at == ahead->reading->rows.len) {
		if (ahead->reading && ahead->reading->rc < 0)
			return ahead->reading->rc;
		next_block(ahead);
	}
	row = ahead->reading->rows.data + ahead->at;
	*out_entity = row_entity(row);
	*out_record = row_record(row);
	ahead->at += row_len(*out_entity, *out_record);
	return 0;
}

uint64_t ahead_duplicates(const struct ahead *ahead)
{
	return ahead->reading ? ahead->reading->duplicates : 0;
}

void ahead_stop(struct ahead *ahead)
{
	if (!ahead)
		return;
	pthread_mutex_lock(&ahead->lock);
	ahead->stops = true;
	pthread_cond_signal(&ahead->turn);
	pthread_mutex_unlock(&ahead->lock);
	pthread_join(ahead->thread, NULL);
	for (unsigned i = 0; i < BLOCKS; i++)
		buf_release(&ahead->blocks[i].rows);
	pthread_mutex_destroy(&ahead->lock);
	pthread_cond_destroy(&ahead->turn);
	free(ahead);
}
