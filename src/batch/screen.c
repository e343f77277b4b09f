/* SPDX-License-Identifier: MIT */
/*
 * Looking rows up costs more than reading them out of a file, so the two go on side by side: the caller copies rows into a ring of blocks, and a
 * thread looks them up, takes what was found, and sorts what is left. Where the thread is behind and the ring is full, the caller looks a block up
 * as well, instead of waiting; so that both have as much to do, whatever a row of this file costs. What was found is taken by the thread alone, in
 * order.
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
	BLOCKS = 6,			/* one is filled; two are looked up; the others keep either from waiting */
	BLOCK_BYTES = 128 << 10,	/* small enough to stay in a core's cache on its way to the other */
};

struct block {
	struct buf bytes;
	struct buf rows;		/* array of struct ingest_row */
	struct ingest_sieve *sieve;
	bool is_looked_up;		/* under the lock */
};

struct screening {
	struct ingest_load *load;
	struct batch_sort *sort;
	struct block blocks[BLOCKS];
	unsigned n_filled;		/* the caller's */
	int sort_rc;			/* the thread's: of the last row that was to be sorted */

	pthread_t thread;
	pthread_mutex_t lock;		/* protects what follows */
	pthread_cond_t turn;
	unsigned filled, claimed, done;	/* blocks, since the beginning */
	bool ends;			/* no more come */
	int rc;
	struct why why;
};

static struct block *block_at(struct screening *screening, unsigned i)
{
	return &screening->blocks[i % BLOCKS];
}

/* Behind an error blocks are passed over. */
static void fail_locked(struct screening *screening, int rc, const struct why *why)
{
	if (rc == 0 || screening->rc < 0)
		return;
	screening->rc = rc;
	screening->why = *why;
}

/* ---- looking up, by either ---- */

static int list_rows(struct block *block)
{
	size_t at = 0;

	buf_reset(&block->rows);
	while (at < block->bytes.len) {
		const char *row = block->bytes.data + at;
		struct ingest_row one = { row_entity(row), row_record(row) };

		buf_append(&block->rows, &one, sizeof one);
		at += row_len(one.entity, one.record);
	}
	return buf_error(&block->rows);
}

/* The next block that nobody has looked up; there is one. The lock is held, but not while it is looked up: sieves begin in the order of the blocks. */
static void look_up_next(struct screening *screening)
{
	struct block *block = block_at(screening, screening->claimed++);
	const struct ingest_row *rows;
	struct why why = { "" };
	int rc = screening->rc;

	if (rc == 0) {
		if (list_rows(block) < 0)
			rc = why_fail(&why, ENOMEM, "no memory");
		rows = (const struct ingest_row *)block->rows.data;
		if (rc == 0)
			rc = ingest_sieve_begin(block->sieve, screening->load, rows, block->rows.len / sizeof *rows, &why);
		fail_locked(screening, rc, &why);
	}
	pthread_mutex_unlock(&screening->lock);
	if (rc == 0)
		rc = ingest_sieve_look(block->sieve, &why);
	pthread_mutex_lock(&screening->lock);
	fail_locked(screening, rc, &why);
	block->is_looked_up = true;
	pthread_cond_broadcast(&screening->turn);
}

/* ---- the thread ---- */

static int add_to_sort(void *arg, struct slice entity, struct slice record)
{
	struct screening *screening = arg;

	screening->sort_rc = batch_sort_add(screening->sort, entity, record);
	return screening->sort_rc;
}

/* The lock is held, but not while rows are taken. */
static void take_next(struct screening *screening)
{
	struct block *block = block_at(screening, screening->done);
	int rc = screening->rc;
	struct why why;

	pthread_mutex_unlock(&screening->lock);
	if (rc == 0) {
		rc = ingest_sieve_take(block->sieve, add_to_sort, screening, &why);
		if (screening->sort_rc < 0)
			why_fail(&why, -screening->sort_rc, "rows cannot be sorted: %s", strerror(-screening->sort_rc));
	}
	pthread_mutex_lock(&screening->lock);
	fail_locked(screening, rc, &why);
	buf_reset(&block->bytes);
	block->is_looked_up = false;
	screening->done++;
	pthread_cond_broadcast(&screening->turn);
}

static void *screen(void *arg)
{
	struct screening *screening = arg;

	pthread_mutex_lock(&screening->lock);
	while (!screening->ends || screening->done != screening->filled) {
		if (screening->done != screening->claimed && block_at(screening, screening->done)->is_looked_up)
			take_next(screening);
		else if (screening->claimed != screening->filled)
			look_up_next(screening);
		else
			pthread_cond_wait(&screening->turn, &screening->lock);
	}
	pthread_mutex_unlock(&screening->lock);
	return NULL;
}

/* ---- the caller ---- */

static void free_screening(struct screening *screening)
{
	for (unsigned i = 0; i < BLOCKS; i++) {
		ingest_sieve_free(screening->blocks[i].sieve);
		buf_release(&screening->blocks[i].bytes);
		buf_release(&screening->blocks[i].rows);
	}
	pthread_mutex_destroy(&screening->lock);
	pthread_cond_destroy(&screening->turn);
	free(screening);
}

int screening_start(struct ingest_load *load, struct batch_sort *sort, struct screening **out)
{
	struct screening *screening = calloc(1, sizeof *screening);
	int rc = 0;

	if (!screening)
		return -ENOMEM;
	screening->load = load;
	screening->sort = sort;
	pthread_mutex_init(&screening->lock, NULL);
	pthread_cond_init(&screening->turn, NULL);
	for (unsigned i = 0; i < BLOCKS && rc == 0; i++) {
		screening->blocks[i].sieve = ingest_sieve_new();
		rc = screening->blocks[i].sieve ? 0 : -ENOMEM;
	}
	if (rc == 0)
		rc = -pthread_create(&screening->thread, NULL, screen, screening);
	if (rc < 0)
		free_screening(screening);
	else
		*out = screening;
	return rc;
}

/* Hands the block over. Until there is another one (or, with `all`, until all are through) it looks up what the thread has not begun. */
static int hand_over(struct screening *screening, bool all, struct why *why)
{
	int rc;

	pthread_mutex_lock(&screening->lock);
	screening->filled = ++screening->n_filled;
	pthread_cond_broadcast(&screening->turn);
	while (screening->filled - screening->done > (all ? 0 : BLOCKS - 1)) {
		if (screening->claimed != screening->filled)
			look_up_next(screening);
		else
			pthread_cond_wait(&screening->turn, &screening->lock);
	}
	rc = screening->rc;
	if (rc < 0)
		*why = screening->why;
	pthread_mutex_unlock(&screening->lock);
	return rc;
}

int screening_add(struct screening *screening, struct slice entity, struct slice record, struct why *why)
{
	struct buf *block = &block_at(screening, screening->n_filled)->bytes;
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
	pthread_cond_broadcast(&screening->turn);
	pthread_mutex_unlock(&screening->lock);
	pthread_join(screening->thread, NULL);
	free_screening(screening);
}
