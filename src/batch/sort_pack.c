/* SPDX-License-Identifier: MIT */
/*
 * Rows of one file are alike: the same features in the same types, one event time, and a stamp that says nothing else yet. What is the same
 * in many rows, their shape, is kept once, which halves what a sort holds in memory and writes to the disk:
 *
 *	0		then the record as it is: one of another kind, or of a shape that came too late
 *	shape 1		event time 8, origin 8, the length of each value (1 byte; 255: then 4 more), all values
 *
 * Numbers are as they stand in memory, for nobody else reads them. Shapes are added by the thread that adds rows while others unpack; they
 * never change and never go.
 */
#include "batch/sort_private.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

enum { CELLS_MAX = 1024, LONG = 255, FIXED = 1 + 8 + 8 };

struct shape {
	uint8_t flags;
	unsigned n;
	struct record_cell cells[];	/* without their values */
};

/* ---- packing ---- */

static bool can_have_shape(uint8_t flags, const struct record_stamp *stamp, size_t n)
{
	return !(flags & RECORD_TOMB) && n <= CELLS_MAX && stamp->ingest_ns == 0 && stamp->source == 0 && stamp->lane == RECORD_LANE_BATCH;
}

static bool is_shape(const struct shape *shape, uint8_t flags, const struct record_cell *cells, size_t n)
{
	int differs = 0;

	if (shape->n != n || shape->flags != flags)
		return false;
	for (unsigned i = 0; i < shape->n; i++)
		differs |= (shape->cells[i].slot ^ cells[i].slot) | (shape->cells[i].state ^ cells[i].state) | (shape->cells[i].type ^ cells[i].type);
	return !differs;
}

/* The number of the record's shape, which becomes one if there is room; 0. The last one is the likeliest. */
static unsigned find_shape(struct shapes *shapes, uint8_t flags, const struct record_cell *cells, size_t n_cells)
{
	unsigned n = atomic_load_explicit(&shapes->n, memory_order_relaxed);
	struct shape *shape;

	if (shapes->last && is_shape(shapes->list[shapes->last], flags, cells, n_cells))
		return shapes->last;
	for (unsigned i = 1; i <= n; i++)
		if (is_shape(shapes->list[i], flags, cells, n_cells))
			return shapes->last = i;
	if (n == SHAPES_MAX)
		return 0;
	shape = malloc(sizeof *shape + n_cells * sizeof *cells);
	if (!shape)
		return 0;
	shape->flags = flags;
	shape->n = (unsigned)n_cells;
	for (unsigned i = 0; i < shape->n; i++) {
		shape->cells[i] = cells[i];
		shape->cells[i].value = slice_of(NULL, 0);
	}
	shapes->list[n + 1] = shape;
	atomic_store_explicit(&shapes->n, n + 1, memory_order_release);
	return shapes->last = n + 1;
}

/* All but the values; returns where they go. */
static char *pack_head(unsigned shape, const struct record_stamp *stamp, const struct record_cell *cells, size_t n, char *p)
{
	*p = (char)shape;
	memcpy(p + 1, &stamp->event_ns, sizeof stamp->event_ns);
	memcpy(p + 9, &stamp->origin, sizeof stamp->origin);
	p += FIXED;
	for (size_t i = 0; i < n; i++) {
		uint32_t len = (uint32_t)cells[i].value.len;

		*p++ = (char)(len < LONG ? len : LONG);
		if (len >= LONG) {
			memcpy(p, &len, sizeof len);
			p += sizeof len;
		}
	}
	return p;
}

static int pack_as_is(struct slice record, struct buf *out)
{
	buf_append_u8(out, 0);
	buf_append_slice(out, record);
	return buf_error(out);
}

int sort_pack(struct shapes *shapes, struct slice record, struct buf *out)
{
	struct record_stamp stamp = { 0 };
	struct record_cell cells[CELLS_MAX];
	struct record rec;
	struct slice values;
	unsigned shape;
	char *p;

	buf_reset(out);
	if (record_view(record, &rec) < 0 || !rec.data || !rec.stamps)
		return pack_as_is(record, out);
	record_stamp(&rec, 0, &stamp);
	if (rec.stamps != 1 || !can_have_shape(rec.flags, &stamp, rec.cells))
		return pack_as_is(record, out);
	if (record_cells(&rec, cells, &values) < 0)
		return pack_as_is(record, out);
	shape = find_shape(shapes, rec.flags, cells, rec.cells);
	if (!shape)
		return pack_as_is(record, out);
	p = buf_reserve(out, FIXED + record.len);	/* a cell of the record is longer than its length here */
	if (!p)
		return -ENOMEM;
	p = pack_head(shape, &stamp, cells, rec.cells, p);
	if (values.len)
		memcpy(p, values.data, values.len);
	p += values.len;
	out->len = (size_t)(p - out->data);
	return 0;
}

size_t sort_packed_len(struct shapes *shapes, uint8_t flags, const struct record_stamp *stamp, const struct record_cell *cells, size_t n,
		       unsigned *out_shape)
{
	size_t len = FIXED + n;

	*out_shape = n && can_have_shape(flags, stamp, n) ? find_shape(shapes, flags, cells, n) : 0;
	if (!*out_shape)
		return 0;
	for (size_t i = 0; i < n; i++)
		len += cells[i].value.len + (cells[i].value.len < LONG ? 0 : sizeof(uint32_t));
	return len;
}

void sort_pack_cells(unsigned shape, const struct record_stamp *stamp, const struct record_cell *cells, size_t n, char *to)
{
	to = pack_head(shape, stamp, cells, n, to);
	for (size_t i = 0; i < n; i++) {
		size_t len = cells[i].value.len;

		/* Most are of a size that is one move. */
		if (len == 8)
			memcpy(to, cells[i].value.data, 8);
		else if (len)
			memcpy(to, cells[i].value.data, len);
		to += len;
	}
}

/* ---- unpacking ---- */

/* Gives the cells their values. -EBADMSG if they are not there. */
static int place_values(const struct shape *shape, const uint8_t *p, const uint8_t *end, struct record_cell *cells)
{
	const uint8_t *values;

	for (unsigned i = 0; i < shape->n; i++) {
		uint32_t len;

		cells[i] = shape->cells[i];
		if (end - p < 1)
			return -EBADMSG;
		len = *p++;
		if (len == LONG && end - p < (ptrdiff_t)sizeof len)
			return -EBADMSG;
		if (len == LONG) {
			memcpy(&len, p, sizeof len);
			p += sizeof len;
		}
		cells[i].value.len = len;
	}
	values = p;
	for (unsigned i = 0; i < shape->n; i++) {
		if ((size_t)(end - values) < cells[i].value.len)
			return -EBADMSG;
		cells[i].value.data = values;
		values += cells[i].value.len;
	}
	return values == end ? 0 : -EBADMSG;
}

int sort_unpack(const struct shapes *shapes, struct slice packed, struct buf *scratch, struct slice *out)
{
	const uint8_t *p = packed.data;
	struct record_stamp stamp = { .lane = RECORD_LANE_BATCH };
	struct record_cell cells[CELLS_MAX];
	const struct shape *shape;
	int rc;

	if (!packed.len || *p > atomic_load_explicit(&shapes->n, memory_order_acquire))
		return -EBADMSG;
	if (!*p) {
		*out = slice_of(p + 1, packed.len - 1);
		return 0;
	}
	if (packed.len < FIXED)
		return -EBADMSG;
	shape = shapes->list[*p];
	memcpy(&stamp.event_ns, p + 1, sizeof stamp.event_ns);
	memcpy(&stamp.origin, p + 9, sizeof stamp.origin);
	rc = place_values(shape, p + FIXED, p + packed.len, cells);
	if (rc < 0)
		return rc;
	buf_reset(scratch);
	rc = record_pack(shape->flags, &stamp, cells, shape->n, scratch);
	*out = buf_slice(scratch);
	return rc;
}

void shapes_release(struct shapes *shapes)
{
	for (unsigned i = 1; i <= shapes->n; i++)
		free(shapes->list[i]);
}
