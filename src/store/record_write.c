/* SPDX-License-Identifier: MIT */
/*
 * Makes records: of stamps and cells that are added one by one, of the cells of one change, and of a row and a delta. The tables of a record are
 * complete in number before its first byte is written, so that it is written in place, once. The format stands at the head of record.c.
 */
#include "store/record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "store/record_private.h"

enum {
	FEW_STAMPS = 128,	/* up to here the maps of stamps are on the stack */
	LINEAR_STAMPS = 16,	/* up to here a linear search beats hashing */
};

/* ---- writing in place ---- */

/* Where a record is being written: its tables are complete in number before its first byte is written. */
struct pen {
	uint8_t *stamps, *cells, *heap;
	unsigned n_stamps, n_cells;
	uint32_t end;
	uint16_t *table;	/* hash of stamps: index + 1, or 0; NULL: so few that a linear search does */
	uint32_t mask;
};

static void write_stamp(uint8_t *p, const struct record_stamp *stamp)
{
	le_put64(p, (uint64_t)stamp->event_ns);
	le_put64(p + 8, (uint64_t)stamp->ingest_ns);
	le_put64(p + 16, stamp->origin);
	le_put32(p + 24, stamp->source);
	le_put32(p + 28, stamp->lane);
}

static uint32_t hash_stamp(const uint8_t *p)
{
	uint64_t h = (le_get64(p) ^ (le_get64(p + 8) << 1)) * UINT64_C(0x9e3779b97f4a7c15);

	h = (h ^ (h >> 29) ^ le_get64(p + 16) ^ ((uint64_t)le_get32(p + 24) << 40)) * UINT64_C(0xbf58476d1ce4e5b9);
	return (uint32_t)(h >> 32);
}

/* The index of the stamp, written before unless an equal one was. */
static uint16_t share_stamp(struct pen *pen, const uint8_t *stamp)
{
	unsigned i;
	uint32_t h;

	if (!pen->table) {
		for (i = 0; i < pen->n_stamps; i++)
			if (!memcmp(pen->stamps + STAMP * (size_t)i, stamp, STAMP))
				return (uint16_t)i;
	} else {
		for (h = hash_stamp(stamp) & pen->mask; pen->table[h]; h = (h + 1) & pen->mask)
			if (!memcmp(pen->stamps + STAMP * (size_t)(pen->table[h] - 1), stamp, STAMP))
				return (uint16_t)(pen->table[h] - 1);
		pen->table[h] = (uint16_t)(pen->n_stamps + 1);
	}
	memcpy(pen->stamps + STAMP * (size_t)pen->n_stamps, stamp, STAMP);
	return (uint16_t)pen->n_stamps++;
}

static void write_cell(struct pen *pen, uint16_t slot, uint16_t stamp, uint8_t state, uint8_t type, struct slice value)
{
	uint8_t *p = pen->cells + CELL * (size_t)pen->n_cells++;

	if (value.len)
		memcpy(pen->heap + pen->end, value.data, value.len);
	pen->end += (uint32_t)value.len;
	le_put16(p, slot);
	le_put16(p + 2, stamp);
	le_put32(p + 4, pen->end | (uint32_t)state << 24 | (uint32_t)type << 26);
}

/* Room for `stamps` at the most; pen_close moves the rest down when fewer were needed. */
static int pen_open(struct pen *pen, struct buf *out, size_t stamps, size_t cells, size_t heap)
{
	size_t tables = HEADER + STAMP * stamps + CELL * cells;
	uint8_t *place;

	*pen = (struct pen){ 0 };
	if (stamps > UINT16_MAX || cells > RECORD_CELLS_MAX || heap > RECORD_MAX)
		return -EFBIG;
	if (stamps > LINEAR_STAMPS) {
		uint32_t size = 64;

		while (size < 2 * stamps)
			size *= 2;
		pen->mask = size - 1;
		pen->table = calloc(size, sizeof *pen->table);
		if (!pen->table)
			return -ENOMEM;
	}
	place = (uint8_t *)buf_reserve(out, tables + heap);
	if (!place) {
		free(pen->table);
		return -ENOMEM;
	}
	pen->stamps = place + HEADER;
	pen->cells = pen->stamps + STAMP * stamps;
	pen->heap = pen->cells + CELL * cells;
	return 0;
}

static int pen_close(struct pen *pen, struct buf *out, uint8_t flags)
{
	uint8_t *place = pen->stamps - HEADER, *end = pen->stamps + STAMP * (size_t)pen->n_stamps;
	size_t rest = (size_t)(pen->heap - pen->cells) + pen->end, len = (size_t)(end - place) + rest;

	free(pen->table);
	if (len > RECORD_MAX)
		return -EFBIG;
	if (end != pen->cells)
		memmove(end, pen->cells, rest);
	place[0] = VERSION;
	place[1] = flags;
	le_put16(place + 2, (uint16_t)pen->n_cells);
	le_put16(place + 4, (uint16_t)pen->n_stamps);
	le_put16(place + 6, 0);
	out->len += len;
	return 0;
}

/* ---- restamping ---- */

void record_restamp(void *bytes, const struct record *rec, const struct record_stamp *with, bool exists)
{
	uint8_t *data = bytes;

	data[1] = (uint8_t)((data[1] & ~RECORD_EXISTS) | (exists ? RECORD_EXISTS : 0));
	for (unsigned i = 0; i < rec->stamps; i++) {
		uint8_t *p = data + HEADER + STAMP * (size_t)i;

		le_put64(p + 8, (uint64_t)with->ingest_ns);
		le_put32(p + 24, with->source);
		le_put32(p + 28, with->lane);
	}
}

/* ---- building ---- */

void record_builder_release(struct record_builder *b)
{
	buf_release(&b->cells);
	buf_release(&b->stamps);
	*b = (struct record_builder){ 0 };
}

void record_builder_reset(struct record_builder *b, uint8_t flags)
{
	buf_reset(&b->cells);
	buf_reset(&b->stamps);
	b->flags = flags & (uint8_t)~RECORD_TOMB;
	b->tomb = 0;
}

static size_t builder_stamps(const struct record_builder *b)
{
	return b->stamps.len / sizeof(struct record_stamp);
}

uint16_t record_builder_stamp(struct record_builder *b, const struct record_stamp *stamp)
{
	size_t n = builder_stamps(b);

	if (n && !memcmp(b->stamps.data + (n - 1) * sizeof *stamp, stamp, sizeof *stamp))
		return (uint16_t)(n - 1);
	if (n == UINT16_MAX) {
		b->stamps.failed = true;	/* more stamps than a record has cells: finish refuses it */
		return 0;
	}
	buf_append(&b->stamps, stamp, sizeof *stamp);
	return (uint16_t)n;
}

void record_builder_tomb(struct record_builder *b, const struct record_stamp *stamp)
{
	b->tomb = record_builder_stamp(b, stamp);
	b->flags |= RECORD_TOMB;
}

void record_builder_cell(struct record_builder *b, uint16_t slot, uint8_t state, uint8_t type, uint16_t stamp,
			 struct slice value)
{
	struct record_cell cell = { .slot = slot, .state = state & 3, .type = type & 63, .stamp = stamp };

	if (cell.state == RECORD_PRESENT)
		cell.value = value;
	buf_append(&b->cells, &cell, sizeof cell);
}

static int compare_cells(const void *a, const void *b)
{
	const struct record_cell *x = *(const struct record_cell *const *)a, *y = *(const struct record_cell *const *)b;

	if (x->slot != y->slot)
		return x->slot < y->slot ? -1 : 1;
	return x < y ? -1 : x > y;	/* the order of adding */
}

/* Cells in order of slots, the last one of each. An order that is right already, the usual one, costs a look. */
static int sort_cells(struct record_builder *b)
{
	struct record_cell *cells = (struct record_cell *)b->cells.data, *sorted, **order;
	size_t n = b->cells.len / sizeof *cells, kept = 0, i;

	for (i = 1; i < n && cells[i - 1].slot < cells[i].slot; i++)
		;
	if (i >= n)
		return 0;
	order = malloc(n * sizeof *order);
	sorted = malloc(n * sizeof *sorted);
	if (!order || !sorted)
		goto fail;
	for (i = 0; i < n; i++)
		order[i] = &cells[i];
	qsort(order, n, sizeof *order, compare_cells);
	for (i = 0; i < n; i++)
		if (i + 1 == n || order[i]->slot != order[i + 1]->slot)
			sorted[kept++] = *order[i];
	memcpy(cells, sorted, kept * sizeof *cells);
	b->cells.len = kept * sizeof *cells;
	free(order);
	free(sorted);
	return 0;
fail:
	free(order);
	free(sorted);
	return -ENOMEM;
}

int record_builder_finish(struct record_builder *b, struct buf *out)
{
	const struct record_cell *cells;
	const struct record_stamp *stamps = (const struct record_stamp *)b->stamps.data;
	size_t n, heap = 0;
	struct pen pen;
	uint8_t bytes[STAMP];
	int rc;

	if (builder_stamps(b) == UINT16_MAX)
		return -EFBIG;
	if (buf_error(&b->cells) < 0 || buf_error(&b->stamps) < 0)
		return -ENOMEM;
	rc = sort_cells(b);
	if (rc < 0)
		return rc;
	cells = (const struct record_cell *)b->cells.data;
	n = b->cells.len / sizeof *cells;
	for (size_t i = 0; i < n; i++) {
		heap += cells[i].value.len;
		if (heap > RECORD_MAX || cells[i].stamp >= builder_stamps(b))
			return heap > RECORD_MAX ? -EFBIG : -EINVAL;
	}
	rc = pen_open(&pen, out, builder_stamps(b), n, heap);
	if (rc < 0)
		return rc;
	if (b->flags & RECORD_TOMB) {
		write_stamp(bytes, &stamps[b->tomb]);
		share_stamp(&pen, bytes);
	}
	for (size_t i = 0; i < n; i++) {
		write_stamp(bytes, &stamps[cells[i].stamp]);
		write_cell(&pen, cells[i].slot, share_stamp(&pen, bytes), cells[i].state, cells[i].type,
			   cells[i].value);
	}
	return pen_close(&pen, out, b->flags);
}

/* A copy of the eight bytes that most values have needs no call. */
static void copy_value(uint8_t *to, const struct slice *value)
{
	if (value->len == 8)
		memcpy(to, value->data, 8);
	else if (value->len)
		memcpy(to, value->data, value->len);
}

size_t record_packed_len(uint8_t flags, const struct record_cell *cells, size_t n)
{
	size_t len = HEADER + (n > 0 || (flags & RECORD_TOMB) ? STAMP : 0) + CELL * n;
	bool is_long = n > RECORD_CELLS_MAX;

	for (size_t i = 0; i < n; i++) {
		is_long |= cells[i].value.len > RECORD_MAX;
		len += cells[i].value.len;
	}
	return is_long || len > RECORD_MAX ? SIZE_MAX : len;
}

int record_pack(uint8_t flags, const struct record_stamp *stamp, const struct record_cell *cells, size_t n, struct buf *out)
{
	size_t heap = 0, stamps = n > 0 || (flags & RECORD_TOMB), tables = HEADER + STAMP * stamps + CELL * n;
	uint32_t end = 0;
	int last = -1;
	uint64_t cell;
	uint8_t *p, *to;

	if (n > RECORD_CELLS_MAX)
		return -EFBIG;
	for (size_t i = 0; i < n; i++) {
		if (cells[i].value.len > RECORD_MAX || cells[i].slot <= last)
			return cells[i].slot <= last ? -EINVAL : -EFBIG;
		heap += cells[i].value.len;
		last = cells[i].slot;
	}
	if (heap > RECORD_MAX - tables)
		return -EFBIG;
	p = (uint8_t *)buf_reserve(out, tables + heap);
	if (!p)
		return -ENOMEM;
	p[0] = VERSION;
	p[1] = flags & FLAGS_ALL;
	le_put16(p + 2, (uint16_t)n);
	le_put16(p + 4, (uint16_t)stamps);
	le_put16(p + 6, 0);
	if (stamps)
		write_stamp(p + HEADER, stamp);
	to = p + tables;
	p += HEADER + STAMP * stamps;
	for (size_t i = 0; i < n; i++, p += CELL) {
		if (cells[i].state == RECORD_PRESENT) {
			copy_value(to + end, &cells[i].value);
			end += (uint32_t)cells[i].value.len;
		}
		cell = htole64(cells[i].slot | (uint64_t)(end | (uint32_t)cells[i].state << 24 | (uint32_t)cells[i].type << 26) << 32);
		memcpy(p, &cell, CELL);		/* in one piece; its stamp is the first */
	}
	out->len += tables + end;
	return 0;
}

/* ---- applying a delta ---- */

/* Both records side by side in order of slots. The row gives the cells that the delta neither names nor buries. */
struct merge {
	const struct record *row, *delta;
	unsigned i, j;		/* next cell of the row, of the delta */
	bool buries;
	int64_t tomb_ns;
};

static bool is_buried(const struct merge *merge, const uint8_t *cell)
{
	unsigned stamp = le_get16(cell + 2);

	if (!merge->buries || stamp >= merge->row->stamps)
		return false;
	return (int64_t)le_get64(stamp_at(merge->row, stamp)) <= merge->tomb_ns;
}

/* The record and index of the next cell of the result; NULL at the end. */
static const struct record *merge_next(struct merge *merge, unsigned *out)
{
	const struct record *row = merge->row, *delta = merge->delta;

	while (merge->i < row->cells || merge->j < delta->cells) {
		const uint8_t *old = merge->i < row->cells ? cell_at(row, merge->i) : NULL;
		const uint8_t *new = merge->j < delta->cells ? cell_at(delta, merge->j) : NULL;

		if (old && (!new || le_get16(old) < le_get16(new))) {
			*out = merge->i++;
			if (!is_buried(merge, old))
				return row;
			continue;
		}
		if (old && le_get16(old) == le_get16(new))
			merge->i++;
		*out = merge->j++;
		if (cell_state(new) != RECORD_ABSENT)
			return delta;
	}
	return NULL;
}

static struct merge merge_of(const struct record *row, const struct record *delta)
{
	struct merge merge = { .row = row, .delta = delta };
	struct record_stamp tomb;

	merge.buries = record_tomb(delta, &tomb);
	if (merge.buries)
		merge.tomb_ns = tomb.event_ns;
	return merge;
}

/* The new index of a record's stamp, written with its first use. `map` holds index + 1, or 0. */
static uint16_t carry_stamp(struct pen *pen, uint32_t *map, const struct record *rec, unsigned stamp)
{
	if (!map[stamp])
		map[stamp] = share_stamp(pen, stamp_at(rec, stamp)) + 1u;
	return (uint16_t)(map[stamp] - 1);
}

static int write_merged(const struct record *row, const struct record *delta, const struct record *tomb_of,
			uint8_t flags,
			struct pen *pen, uint32_t *row_map, uint32_t *delta_map, struct buf *out)
{
	struct merge merge = merge_of(row, delta);
	const struct record *rec;
	struct record_cell cell;
	unsigned i;

	if (tomb_of)
		carry_stamp(pen, tomb_of == row ? row_map : delta_map, tomb_of, 0);
	while ((rec = merge_next(&merge, &i))) {
		record_cell(rec, i, &cell);
		write_cell(pen, cell.slot, carry_stamp(pen, rec == row ? row_map : delta_map, rec, cell.stamp),
			   cell.state,
			   cell.type, cell.value);
	}
	return pen_close(pen, out, flags);
}

/* Two passes: the first counts, the second writes. */
int record_apply(const struct record *row, const struct record *delta, struct buf *out)
{
	struct merge merge = merge_of(row, delta);
	size_t cells = 0, heap = 0, stamps, maps = (size_t)row->stamps + delta->stamps;
	uint32_t few[FEW_STAMPS], *map = few;
	const struct record *rec, *tomb_of = NULL;
	uint8_t flags = delta->flags & RECORD_EXISTS;
	struct record_cell cell;
	struct pen pen;
	unsigned i;
	int rc;

	if (delta->flags & RECORD_TOMB)
		tomb_of = delta;
	else if ((row->flags & RECORD_TOMB) && !(delta->flags & RECORD_UNTOMB))
		tomb_of = row;
	if (tomb_of)
		flags |= RECORD_TOMB;
	while ((rec = merge_next(&merge, &i))) {
		record_cell(rec, i, &cell);
		if (cell.stamp >= rec->stamps)
			return -EBADMSG;
		cells++;
		heap += cell.value.len;
	}
	if (!cells && !flags)
		return 0;
	stamps = cells + 1 < maps ? cells + 1 : maps;
	if (maps > FEW_STAMPS) {
		map = malloc(maps * sizeof *map);
		if (!map)
			return -ENOMEM;
	}
	memset(map, 0, maps * sizeof *map);
	rc = pen_open(&pen, out, stamps, cells, heap);
	if (rc == 0)
		rc = write_merged(row, delta, tomb_of, flags, &pen, map, map + row->stamps, out);
	if (map != few)
		free(map);
	return rc;
}
