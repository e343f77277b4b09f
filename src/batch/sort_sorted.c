/* SPDX-License-Identifier: MIT */
/*
 * Several sorted sources as one, a heap of cursors over them. What is given out is borrowed from its source, so the cursor at the root
 * goes on only with the next call; whether its row has company is seen before that, from the root's children and, in memory, from
 * the next entry.
 */
#include "batch/sort_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include "batch/merge.h"

enum {
	AHEAD = 8,		/* rows in memory that are asked for before they are needed: they lie about at random */
	LET_GO_BYTES = 4 << 20,
};

/* ---- cursors ---- */

static void set_row(const struct sorted *stream, struct cursor *cursor, const char *row)
{
	cursor->entity = row_entity(row);
	cursor->record = row_record(row);
	cursor->key = entity_key(cursor->entity, stream->prefix);
}

/* What has been read of a run would only push out of the page cache what others read, the map first of all. It may have to be found again, so the
 * disk must not have failed to take it: that is told to whoever waits for a piece. */
static int let_go(struct cursor *cursor)
{
	off_t from = (off_t)cursor->let_go, len = (off_t)cursor->file_at - from;

	if (len < LET_GO_BYTES)
		return 0;
	cursor->let_go = cursor->file_at;
	if (posix_fadvise(cursor->run->fd, from, len, POSIX_FADV_DONTNEED) == 0 &&
	    sync_file_range(cursor->run->fd, from, 1, SYNC_FILE_RANGE_WAIT_BEFORE) < 0 && (errno == EIO || errno == ENOSPC))
		return -errno;
	return 0;
}

static int fill_cursor(struct sorted *stream, struct cursor *cursor, size_t need)
{
	size_t left = cursor->buf.len - cursor->buf_at, want = need > stream->read_bytes ? need : stream->read_bytes;
	uint64_t there = cursor->run->bytes - cursor->file_at;
	char *place;

	if (left)
		memmove(cursor->buf.data, cursor->buf.data + cursor->buf_at, left);
	cursor->buf.len = left;
	cursor->buf_at = 0;
	want -= left;
	want = want < there ? want : (size_t)there;
	place = buf_reserve(&cursor->buf, want);
	if (!place)
		return -ENOMEM;
	while (want) {
		ssize_t n = pread(cursor->run->fd, place, want, (off_t)cursor->file_at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		place += n;
		want -= (size_t)n;
		cursor->file_at += (uint64_t)n;
		cursor->buf.len += (size_t)n;
	}
	return cursor->buf.len < need ? -EIO : let_go(cursor);
}

/* Makes `need` bytes of the row at hand be there. */
static int need_bytes(struct sorted *stream, struct cursor *cursor, size_t need)
{
	return cursor->buf.len - cursor->buf_at >= need ? 0 : fill_cursor(stream, cursor, need);
}

/* The next row of a run; -ENOENT. */
static int advance_run(struct sorted *stream, struct cursor *cursor)
{
	const char *row;
	int rc;

	if (cursor->entity.data)
		cursor->buf_at += row_len(cursor->entity, cursor->record);
	if (cursor->buf_at == cursor->buf.len && cursor->file_at == cursor->run->bytes)
		return -ENOENT;
	rc = need_bytes(stream, cursor, ROW_HEAD);
	if (rc < 0)
		return rc;
	row = cursor->buf.data + cursor->buf_at;
	rc = need_bytes(stream, cursor, row_len(row_entity(row), row_record(row)));
	if (rc == 0)
		set_row(stream, cursor, cursor->buf.data + cursor->buf_at);
	return rc;
}

static int advance(struct sorted *stream, struct cursor *cursor)
{
	const struct chunk *chunk = cursor->chunk;

	if (!chunk)
		return advance_run(stream, cursor);
	if (cursor->entity.data)
		cursor->i++;
	if (cursor->i == chunk->n)
		return -ENOENT;
	if (cursor->i + AHEAD < chunk->n) {
		const char *ahead = chunk_row(chunk, cursor->i + AHEAD);

		for (unsigned line = 0; line < 4; line++)
			__builtin_prefetch(ahead + 64 * line);
	}
	set_row(stream, cursor, chunk_row(chunk, cursor->i));
	return 0;
}

/* ---- the heap ---- */

static bool is_before(const struct cursor *a, const struct cursor *b)
{
	int order;

	if (a->key != b->key)
		return a->key < b->key;
	order = slice_compare(a->entity, b->entity);
	return order ? order < 0 : a->order < b->order;
}

static void sift_down(struct sorted *stream, unsigned i)
{
	struct cursor **heap = stream->heap, *cursor = heap[i];

	for (;;) {
		unsigned child = 2 * i + 1;

		if (child >= stream->n_heap)
			break;
		if (child + 1 < stream->n_heap && is_before(heap[child + 1], heap[child]))
			child++;
		if (!is_before(heap[child], cursor))
			break;
		heap[i] = heap[child];
		i = child;
	}
	heap[i] = cursor;
}

static int advance_root(struct sorted *stream)
{
	int rc = advance(stream, stream->heap[0]);

	if (rc < 0 && rc != -ENOENT)
		return rc;
	if (rc == -ENOENT)
		stream->heap[0] = stream->heap[--stream->n_heap];
	if (stream->n_heap)
		sift_down(stream, 0);
	return 0;
}

/* ---- the stream ---- */

static int fill_heap(struct sorted *stream)
{
	for (unsigned i = 0; i < stream->n_cursors; i++) {
		int rc = advance(stream, &stream->cursors[i]);

		if (rc == -ENOENT)
			continue;
		if (rc < 0)
			return rc;
		stream->heap[stream->n_heap++] = &stream->cursors[i];
	}
	for (unsigned i = stream->n_heap / 2; i-- > 0;)
		sift_down(stream, i);
	return 0;
}

int sorted_open(const struct shapes *shapes, const struct run *runs, const struct chunk *chunks, size_t prefix, size_t read_bytes,
		struct sorted *out)
{
	struct sorted stream = { .shapes = shapes, .prefix = prefix, .read_bytes = read_bytes };
	unsigned n = 0;
	int rc;

	for (const struct run *run = runs; run; run = run->next)
		n++;
	for (const struct chunk *chunk = chunks; chunk; chunk = chunk->next)
		n++;
	*out = stream;
	stream.cursors = calloc(n + 1, sizeof *stream.cursors);
	stream.heap = calloc(n + 1, sizeof *stream.heap);
	if (!stream.cursors || !stream.heap) {
		sorted_close(&stream);
		return -ENOMEM;
	}
	for (const struct run *run = runs; run; run = run->next, stream.n_cursors++)
		stream.cursors[stream.n_cursors] = (struct cursor){ .order = stream.n_cursors, .run = run };
	for (const struct chunk *chunk = chunks; chunk; chunk = chunk->next, stream.n_cursors++)
		stream.cursors[stream.n_cursors] = (struct cursor){ .order = stream.n_cursors, .chunk = chunk };
	rc = fill_heap(&stream);
	if (rc < 0)
		sorted_close(&stream);
	else
		*out = stream;
	return rc;
}

void sorted_close(struct sorted *stream)
{
	for (unsigned i = 0; i < stream->n_cursors; i++)
		buf_release(&stream->cursors[i].buf);
	free(stream->cursors);
	free(stream->heap);
	record_builder_release(&stream->builder);
	buf_release(&stream->entity);
	buf_release(&stream->merged);
	buf_release(&stream->other);
	buf_release(&stream->scratch);
	*stream = (struct sorted){ 0 };
}

static bool has_company(const struct sorted *stream)
{
	const struct cursor *root = stream->heap[0];

	if (root->chunk && root->chunk->has_duplicates && root->i + 1 < root->chunk->n &&
	    slice_equal(root->entity, row_entity(chunk_row(root->chunk, root->i + 1))))
		return true;
	for (unsigned i = 1; i <= 2 && i < stream->n_heap; i++)
		if (stream->heap[i]->key == root->key && slice_equal(stream->heap[i]->entity, root->entity))
			return true;
	return false;
}

/* Merges the root's row into what was merged so far. */
static int merge_root(struct sorted *stream)
{
	struct buf *merged = &stream->merged, *other = &stream->other;
	struct slice record;
	int rc = sort_unpack(stream->shapes, stream->heap[0]->record, &stream->scratch, &record);

	if (rc < 0)
		return rc;
	buf_reset(other);
	buf_append_u8(other, 0);
	if (!merged->len) {
		buf_append_slice(other, record);
		rc = buf_error(other);
	} else {
		rc = merge_rows(slice_of(merged->data + 1, merged->len - 1), record, &stream->builder, other);
		stream->duplicates++;
	}
	if (rc == 0) {
		struct buf swap = *merged;

		*merged = *other;
		*other = swap;
	}
	return rc;
}

/* All rows of the root's entity, as one. */
static int merge_company(struct sorted *stream)
{
	int rc;

	buf_reset(&stream->entity);
	buf_reset(&stream->merged);
	buf_append_slice(&stream->entity, stream->heap[0]->entity);
	rc = buf_error(&stream->entity);
	while (rc == 0 && stream->n_heap && slice_equal(stream->heap[0]->entity, buf_slice(&stream->entity))) {
		rc = merge_root(stream);
		if (rc == 0)
			rc = advance_root(stream);
	}
	return rc;
}

int sorted_next(struct sorted *stream, struct slice *out_entity, struct slice *out_record)
{
	int rc = 0;

	if (stream->must_advance)
		rc = advance_root(stream);
	stream->must_advance = false;
	if (rc < 0)
		return rc;
	if (!stream->n_heap)
		return -ENOENT;
	if (!has_company(stream)) {
		*out_entity = stream->heap[0]->entity;
		*out_record = stream->heap[0]->record;
		stream->must_advance = true;
		return 0;
	}
	rc = merge_company(stream);
	*out_entity = buf_slice(&stream->entity);
	*out_record = buf_slice(&stream->merged);
	return rc;
}
