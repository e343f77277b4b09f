/* SPDX-License-Identifier: MIT */
/*
 * The sort as a whole. Rows fill a chunk of memory; a full one goes to a helper thread, which sorts it while the next one fills. When three
 * quarters of the memory are in use the helper merges what is sorted into a run on disk; the last quarter lets the rows come in
 * meanwhile. From then on half of it is enough, so that rows need not wait for the disk. A load that fits into memory is never written
 * anywhere, and a small one needs no thread. The helper also has the kernel provide the memory of the next chunk before it is needed, for
 * first touches of so much memory can cost as much as parsing what goes there.
 *
 * Rows of one entity keep their order because everything that is merged is a stretch of what came in, oldest first: the list of runs,
 * then the list of chunks.
 */
#include "batch/sort.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include "batch/merge.h"
#include "batch/sort_private.h"

enum {
	CHUNKS = 16,			/* of the memory */
	CHUNK_MIN = 64 << 10, CHUNK_MAX = 32 << 20, CHUNK_FIRST = 1 << 20,	/* each chunk is twice the one before, up to its share */
	READ_MIN = 16 << 10, READ_MAX = 256 << 10,
	RUNS_MAX = 32,			/* more are merged into one first */
};

struct batch_sort {
	int dir_fd;
	size_t memory, chunk_size, next_size, read_bytes;
	struct chunk *filling;
	bool is_finished, is_streaming;
	struct sorted stream;
	struct shapes shapes;
	struct buf packed;	/* the row that is added */
	struct buf given;	/* the record that batch_sort_next gave */
	uint64_t spilled;

	pthread_t thread;
	bool has_thread;
	pthread_mutex_t lock;	/* guards all below until the sort is finished */
	pthread_cond_t turn;
	struct chunk *chunks, **chunks_end;	/* handed over; the first `n_sorted` are sorted */
	struct chunk *unsorted;			/* the first that is not, in the same list */
	struct run *runs;
	unsigned n_runs;
	size_t used;
	struct chunk *spare;			/* made ahead */
	size_t prefix;		/* bytes that all entities of what was handed over begin with */
	char first[TEXT_ENTITY_MAX];
	size_t first_len;
	bool is_stopping, is_busy;
	uint64_t duplicates;	/* that spilling merged */
	int rc;			/* what the helper failed with */
};

int batch_sort_new(int dir_fd, size_t memory_bytes, struct batch_sort **out)
{
	struct batch_sort *sort = calloc(1, sizeof *sort);
	size_t chunk = memory_bytes / CHUNKS, piece = memory_bytes / 512;

	if (!sort)
		return -ENOMEM;
	sort->dir_fd = dir_fd;
	sort->memory = memory_bytes;
	sort->chunk_size = chunk < CHUNK_MIN ? CHUNK_MIN : chunk > CHUNK_MAX ? CHUNK_MAX : chunk;
	sort->next_size = sort->chunk_size < CHUNK_FIRST ? sort->chunk_size : CHUNK_FIRST;
	sort->read_bytes = piece < READ_MIN ? READ_MIN : piece > READ_MAX ? READ_MAX : piece;
	sort->chunks_end = &sort->chunks;
	sort->prefix = TEXT_ENTITY_MAX;
	pthread_mutex_init(&sort->lock, NULL);
	pthread_cond_init(&sort->turn, NULL);
	*out = sort;
	return 0;
}

/* ---- spilling; the lock is not held, what is worked on is out of the others' reach ---- */

static int write_stream(struct batch_sort *sort, struct sorted *stream, struct run **out)
{
	struct run_writer writer;
	struct slice entity, record;
	int rc = run_writer_open(sort->dir_fd, &writer);

	if (rc < 0)
		return rc;
	while ((rc = sorted_next(stream, &entity, &record)) == 0) {
		rc = run_writer_add(&writer, entity, record);
		if (rc < 0)
			break;
	}
	if (rc != -ENOENT) {
		run_writer_abort(&writer);
		return rc;
	}
	return run_writer_finish(&writer, out);
}

static int merge_to_run(struct batch_sort *sort, const struct run *runs, const struct chunk *chunks, size_t prefix,
			struct run **out, uint64_t *out_duplicates)
{
	struct sorted stream;
	int rc = sorted_open(&sort->shapes, runs, chunks, prefix, sort->read_bytes, &stream);

	if (rc < 0)
		return rc;
	rc = write_stream(sort, &stream, out);
	*out_duplicates = stream.duplicates;
	sorted_close(&stream);
	return rc;
}

static void free_runs(struct run *run)
{
	while (run) {
		struct run *next = run->next;

		run_free(run);
		run = next;
	}
}

static size_t free_chunks(struct chunk *chunk)
{
	size_t bytes = 0;

	while (chunk) {
		struct chunk *next = chunk->next;

		bytes += chunk_bytes(chunk);
		chunk_free(chunk);
		chunk = next;
	}
	return bytes;
}

static void append_run(struct batch_sort *sort, struct run *run)
{
	struct run **end = &sort->runs;

	while (*end)
		end = &(*end)->next;
	*end = run;
	sort->n_runs++;
	sort->spilled += run->bytes;
}

/* Takes all sorted chunks off the list and makes a run of them; called and left with the lock held. */
static void spill(struct batch_sort *sort)
{
	struct chunk *chunks = sort->chunks, **end = &chunks;
	struct run *old = NULL, *run = NULL;
	size_t prefix = sort->prefix;
	uint64_t duplicates = 0, more = 0;
	size_t bytes;
	int rc;

	while (*end != sort->unsorted)
		end = &(*end)->next;
	*end = NULL;
	sort->chunks = sort->unsorted;
	if (!sort->chunks)
		sort->chunks_end = &sort->chunks;
	if (sort->n_runs == RUNS_MAX) {
		old = sort->runs;
		sort->runs = NULL;
		sort->n_runs = 0;
	}
	pthread_mutex_unlock(&sort->lock);
	rc = merge_to_run(sort, NULL, chunks, prefix, &run, &duplicates);
	bytes = free_chunks(chunks);
	pthread_mutex_lock(&sort->lock);
	sort->used -= bytes;
	pthread_cond_broadcast(&sort->turn);
	if (rc == 0 && old) {
		struct run *all;

		pthread_mutex_unlock(&sort->lock);
		rc = merge_to_run(sort, old, NULL, prefix, &all, &more);
		pthread_mutex_lock(&sort->lock);
		if (rc == 0)
			append_run(sort, all);
	}
	free_runs(old);
	if (rc == 0)
		append_run(sort, run);
	else
		run_free(run);
	sort->duplicates += duplicates + more;
	sort->rc = sort->rc < 0 ? sort->rc : rc;
}

/* ---- the helper ---- */

static bool should_spill(const struct batch_sort *sort)
{
	size_t most = sort->memory / 4 * (sort->runs ? 2 : 3);

	return sort->dir_fd >= 0 && !sort->unsorted && sort->chunks && sort->used > most && !sort->is_stopping;
}

static void sort_one(struct batch_sort *sort)
{
	struct chunk *chunk = sort->unsorted;
	int rc;

	pthread_mutex_unlock(&sort->lock);
	rc = chunk_sort(chunk);
	pthread_mutex_lock(&sort->lock);
	sort->unsorted = chunk->next;
	sort->rc = sort->rc < 0 ? sort->rc : rc;
}

static bool wants_spare(const struct batch_sort *sort)
{
	return !sort->spare && !sort->is_stopping && sort->next_size == sort->chunk_size && sort->used + 3 * sort->chunk_size < sort->memory;
}

/* Without memory the other thread finds out for itself. */
static void make_spare(struct batch_sort *sort)
{
	struct chunk *spare = NULL;

	pthread_mutex_unlock(&sort->lock);
	if (chunk_new(sort->chunk_size, &spare) == 0)
		chunk_touch(spare);
	pthread_mutex_lock(&sort->lock);
	sort->spare = spare;
}

static void *help(void *arg)
{
	struct batch_sort *sort = arg;

	pthread_mutex_lock(&sort->lock);
	for (;;) {
		sort->is_busy = true;
		if (sort->rc == 0 && wants_spare(sort))
			make_spare(sort);
		else if (sort->rc == 0 && sort->unsorted)
			sort_one(sort);
		else if (sort->rc == 0 && should_spill(sort))
			spill(sort);
		else {
			sort->is_busy = false;
			pthread_cond_broadcast(&sort->turn);
			if (sort->is_stopping)
				break;
			pthread_cond_wait(&sort->turn, &sort->lock);
		}
	}
	pthread_mutex_unlock(&sort->lock);
	return NULL;
}

static int start_helper(struct batch_sort *sort)
{
	int rc;

	if (sort->has_thread)
		return 0;
	rc = pthread_create(&sort->thread, NULL, help, sort);
	sort->has_thread = rc == 0;
	return -rc;
}

static void stop_helper(struct batch_sort *sort)
{
	if (!sort->has_thread)
		return;
	pthread_mutex_lock(&sort->lock);
	sort->is_stopping = true;
	pthread_cond_broadcast(&sort->turn);
	pthread_mutex_unlock(&sort->lock);
	pthread_join(sort->thread, NULL);
	sort->has_thread = false;
}

/* ---- adding ---- */

/* Puts the chunk at the end of the list; the lock is held if there is a helper. */
static void hand_over(struct batch_sort *sort, struct chunk *chunk)
{
	struct slice first = row_entity(chunk->data);
	size_t prefix = chunk->prefix;

	if (!sort->chunks && !sort->runs && sort->prefix == TEXT_ENTITY_MAX) {
		memcpy(sort->first, first.data, first.len);
		sort->first_len = first.len;
	}
	prefix = prefix < sort->prefix ? prefix : sort->prefix;
	sort->prefix = common_prefix(slice_of(sort->first, sort->first_len), first, prefix);
	*sort->chunks_end = chunk;
	sort->chunks_end = &chunk->next;
	if (!sort->unsorted)
		sort->unsorted = chunk;
}

static bool is_full(const struct batch_sort *sort, size_t more)
{
	return sort->used && sort->used + more > sort->memory;
}

/* A new chunk for a row of `need` bytes, once there is memory. */
static int next_chunk(struct batch_sort *sort, size_t need)
{
	size_t bytes = need > sort->next_size ? need : sort->next_size;
	struct chunk *full = sort->filling;
	int rc;

	sort->filling = NULL;
	if (full) {
		rc = start_helper(sort);
		if (rc < 0) {
			chunk_free(full);
			return rc;
		}
		pthread_mutex_lock(&sort->lock);
		sort->used += chunk_bytes(full);
		hand_over(sort, full);
		pthread_cond_broadcast(&sort->turn);
		while (sort->rc == 0 && is_full(sort, bytes) && (sort->is_busy || sort->unsorted || should_spill(sort)))
			pthread_cond_wait(&sort->turn, &sort->lock);
		rc = sort->rc;
		if (rc == 0 && is_full(sort, bytes) && sort->dir_fd < 0)
			rc = -ENOSPC;
		if (rc == 0 && sort->spare && need <= sort->chunk_size) {
			sort->filling = sort->spare;
			sort->spare = NULL;
			pthread_cond_broadcast(&sort->turn);
		}
		sort->next_size = sort->next_size * 2 < sort->chunk_size ? sort->next_size * 2 : sort->chunk_size;
		pthread_mutex_unlock(&sort->lock);
		if (rc < 0 || sort->filling)
			return rc;
	}
	return chunk_new(bytes, &sort->filling);
}

static bool is_entity(struct slice entity)
{
	return entity.len && entity.len <= TEXT_ENTITY_MAX && !memchr(entity.data, 0, entity.len);
}

/* A place for the record behind its entity. */
static int add_place(struct batch_sort *sort, struct slice entity, size_t len, char **out_place)
{
	int rc = sort->filling ? chunk_add(sort->filling, entity, len, out_place) : -E2BIG;

	if (rc != -E2BIG)
		return rc;
	rc = next_chunk(sort, ROW_HEAD + entity.len + len);
	return rc < 0 ? rc : chunk_add(sort->filling, entity, len, out_place);
}

int batch_sort_add(struct batch_sort *sort, struct slice entity, struct slice record)
{
	char *place;
	int rc;

	if (!is_entity(entity) || record.len > RECORD_MAX)
		return -EINVAL;
	rc = sort_pack(&sort->shapes, record, &sort->packed);
	if (rc < 0)
		return rc;
	rc = add_place(sort, entity, sort->packed.len, &place);
	if (rc == 0 && sort->packed.len)
		memcpy(place, sort->packed.data, sort->packed.len);
	return rc;
}

int batch_sort_add_cells(struct batch_sort *sort, struct slice entity, uint8_t flags, const struct record_stamp *stamp,
			 const struct record_cell *cells, size_t n)
{
	unsigned shape;
	size_t len = sort_packed_len(&sort->shapes, flags, stamp, cells, n, &shape);
	char *place;
	int rc;

	if (!len) {
		buf_reset(&sort->given);
		rc = record_pack(flags, stamp, cells, n, &sort->given);
		return rc < 0 ? rc : batch_sort_add(sort, entity, buf_slice(&sort->given));
	}
	if (!is_entity(entity) || len > RECORD_MAX)
		return -EINVAL;
	rc = add_place(sort, entity, len, &place);
	if (rc == 0)
		sort_pack_cells(shape, stamp, cells, n, place);
	return rc;
}

int batch_sort_finish(struct batch_sort *sort)
{
	struct chunk *last = sort->filling;
	int rc = 0;

	sort->filling = NULL;
	if (last && !last->n) {
		chunk_free(last);
		last = NULL;
	}
	if (last)
		rc = chunk_sort(last);		/* beside the helper, which may still be at the one before */
	stop_helper(sort);
	chunk_free(sort->spare);
	sort->spare = NULL;
	if (last) {
		hand_over(sort, last);
		sort->used += chunk_bytes(last);
	}
	sort->unsorted = NULL;
	sort->is_finished = true;
	return rc < 0 ? rc : sort->rc < 0 ? sort->rc : batch_sort_rewind(sort);
}

/* ---- reading ---- */

int batch_sort_rewind(struct batch_sort *sort)
{
	int rc;

	if (sort->is_streaming)
		sorted_close(&sort->stream);
	rc = sorted_open(&sort->shapes, sort->runs, sort->chunks, sort->prefix, sort->read_bytes, &sort->stream);
	sort->is_streaming = rc == 0;
	return rc;
}

int batch_sort_next(struct batch_sort *sort, struct slice *out_entity, struct slice *out_record)
{
	struct slice packed;
	int rc = sort->is_streaming ? sorted_next(&sort->stream, out_entity, &packed) : -EINVAL;

	return rc < 0 ? rc : sort_unpack(&sort->shapes, packed, &sort->given, out_record);
}

struct search {
	const struct shapes *shapes;
	struct slice entity;
	struct buf found, piece, scratch;
	struct record_builder builder;
	bool is_there;
};

/* Puts one more row of the entity behind what was found so far. */
static int add_found(struct search *search, struct slice packed)
{
	struct buf merged = { 0 };
	struct slice record;
	int rc = sort_unpack(search->shapes, packed, &search->scratch, &record);

	if (rc == 0 && !search->is_there) {
		search->is_there = true;
		buf_append_slice(&search->found, record);
		return buf_error(&search->found);
	}
	if (rc == 0)
		rc = merge_rows(buf_slice(&search->found), record, &search->builder, &merged);
	if (rc < 0) {
		buf_release(&merged);
		return rc;
	}
	buf_release(&search->found);
	search->found = merged;
	return 0;
}

static int search_run(struct search *search, const struct run *run)
{
	int rc;

	buf_reset(&search->piece);
	rc = run_find(run, search->entity, &search->piece);
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	return add_found(search, buf_slice(&search->piece));
}

static int search_chunk(struct search *search, const struct chunk *chunk)
{
	int rc = 0;

	for (size_t i = chunk_lower(chunk, search->entity); rc == 0 && i < chunk->n; i++) {
		const char *row = chunk_row(chunk, i);

		if (!slice_equal(row_entity(row), search->entity))
			break;
		rc = add_found(search, row_record(row));
	}
	return rc;
}

int batch_sort_find(struct batch_sort *sort, struct slice entity, struct buf *out_record)
{
	struct search search = { .shapes = &sort->shapes, .entity = entity };
	int rc = sort->is_finished ? 0 : -EINVAL;

	for (const struct run *run = sort->runs; rc == 0 && run; run = run->next)
		rc = search_run(&search, run);
	for (const struct chunk *chunk = sort->chunks; rc == 0 && chunk; chunk = chunk->next)
		rc = search_chunk(&search, chunk);
	if (rc == 0 && !search.is_there)
		rc = -ENOENT;
	if (rc == 0) {
		buf_append_slice(out_record, buf_slice(&search.found));
		rc = buf_error(out_record);
	}
	buf_release(&search.found);
	buf_release(&search.piece);
	buf_release(&search.scratch);
	record_builder_release(&search.builder);
	return rc;
}

uint64_t batch_sort_duplicates(const struct batch_sort *sort)
{
	return sort->duplicates + (sort->is_streaming ? sort->stream.duplicates : 0);
}

uint64_t batch_sort_spilled_bytes(const struct batch_sort *sort)
{
	return sort->spilled;
}

void batch_sort_free(struct batch_sort *sort)
{
	if (!sort)
		return;
	stop_helper(sort);
	if (sort->is_streaming)
		sorted_close(&sort->stream);
	chunk_free(sort->filling);
	chunk_free(sort->spare);
	free_chunks(sort->chunks);
	free_runs(sort->runs);
	shapes_release(&sort->shapes);
	buf_release(&sort->packed);
	buf_release(&sort->given);
	pthread_mutex_destroy(&sort->lock);
	pthread_cond_destroy(&sort->turn);
	free(sort);
}
