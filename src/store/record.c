/* SPDX-License-Identifier: MIT */
/*
 * Packs the values of one entity in one group, finds one of them, and makes a new row of a row and a delta. A read of
 * an entity is one mdb_get and no parsing: every accessor computes where its bytes are. All integers are little-endian
 * and may stand at any address.
 *
 *	offset		bytes	what
 *	0		1	version, 1
 *	1		1	flags, enum record_flag
 *	2		2	C, number of cells, 0 to 65535
 *	4		2	S, number of stamps, 0 to 65535
 *	6		2	zero
 *	8		32 S	stamps
 *	8 + 32 S	8 C	cells, in ascending order of slot
 *	8 + 32 S + 8 C	H	the heap of values; value i begins where value i - 1 ended
 *
 *	stamp: event_ns 8, ingest_ns 8, origin 8, source 4, lane 1, zero 3
 *	cell:  slot 2, stamp index 2, then 4 bytes: bits 0-23 the end of its value in the heap, 24-25 the state,
 *	       26-31 the type
 *
 * With RECORD_TOMB stamp 0 is the tombstone of the row. H is the end of the last cell (0 without cells). A whole record
 * is RECORD_MAX bytes at the most, so that 24 bits hold every end. A cell that has no value ends where it begins.
 *
 * A row that exists, with an int64 of 5 in slot 0 (type 3) and a null in slot 2, both of event 1000 and ingest 2000,
 * written by uid 7 through the direct lane:
 *
 *	01 01 0200 0100 0000							version, EXISTS, 2 cells, 1 stamp
 *	e803000000000000 d007000000000000 0700000000000000 00000000 01 000000	the stamp
 *	0000 0000 0800000d							slot 0, stamp 0, end 8, PRESENT, type 3
 *	0200 0000 0800000e							slot 2, stamp 0, end 8, NULL, type 3
 *	0500000000000000							the heap
 *
 * Stamps are 32 bytes, so cells of one change share one. A record that this file writes has no stamp twice and none
 * unused, which bounds a row's stamps by its cells and its tombstone.
 */
#include "store/record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "store/le.h"

enum {
	VERSION = 1,
	HEADER = 8, STAMP = 32, CELL = 8,
	FLAGS_ROW = RECORD_EXISTS | RECORD_TOMB,
	FLAGS_ALL = FLAGS_ROW | RECORD_UNTOMB,
	END_MASK = 0xffffff,
	FEW_STAMPS = 128,	/* up to here the maps of stamps are on the stack */
	LINEAR_STAMPS = 16,	/* up to here a linear search beats hashing */
};

/* ---- reading ---- */

static const uint8_t *cell_at(const struct record *rec, unsigned i)
{
	return rec->data + HEADER + STAMP * (size_t)rec->stamps + CELL * (size_t)i;
}

static const uint8_t *stamp_at(const struct record *rec, unsigned i)
{
	return rec->data + HEADER + STAMP * (size_t)i;
}

static size_t tables_len(const struct record *rec)
{
	return HEADER + STAMP * (size_t)rec->stamps + CELL * (size_t)rec->cells;
}

static uint32_t cell_end(const uint8_t *cell)
{
	return le_get32(cell + 4) & END_MASK;
}

static uint8_t cell_state(const uint8_t *cell)
{
	return cell[7] & 3;
}

int record_view(struct slice bytes, struct record *out)
{
	const uint8_t *data = bytes.data;
	struct record rec = { 0 };
	size_t heap;

	if (!bytes.len) {
		*out = rec;
		return 0;
	}
	if (bytes.len < HEADER || bytes.len > RECORD_MAX || data[0] != VERSION || (data[1] & ~FLAGS_ALL))
		return -EBADMSG;
	rec = (struct record){ .data = data, .len = bytes.len, .flags = data[1], .cells = le_get16(data + 2),
			       .stamps = le_get16(data + 4) };
	if (tables_len(&rec) > bytes.len || ((rec.flags & RECORD_TOMB) && !rec.stamps))
		return -EBADMSG;
	heap = bytes.len - tables_len(&rec);
	if (heap != (rec.cells ? cell_end(cell_at(&rec, rec.cells - 1u)) : 0))
		return -EBADMSG;
	*out = rec;
	return 0;
}

static int check_stamps(const struct record *rec, struct why *why)
{
	for (unsigned i = 0; i < rec->stamps; i++) {
		const uint8_t *p = stamp_at(rec, i);

		if (p[28] < RECORD_LANE_DIRECT || p[28] > RECORD_LANE_BATCH)
			return why_fail(why, EBADMSG, "record: stamp %u is of lane %u", i, p[28]);
		if (p[29] || p[30] || p[31])
			return why_fail(why, EBADMSG, "record: stamp %u has bits set that mean nothing", i);
	}
	return 0;
}

static int check_cells(const struct record *rec, bool is_delta, struct why *why)
{
	uint32_t begin = 0;

	for (unsigned i = 0; i < rec->cells; i++) {
		const uint8_t *p = cell_at(rec, i);
		uint32_t end = cell_end(p);

		if (i && le_get16(p) <= le_get16(p - CELL))
			return why_fail(why, EBADMSG, "record: cell %u is out of order", i);
		if (le_get16(p + 2) >= rec->stamps)
			return why_fail(why, EBADMSG, "record: cell %u has stamp %u of %u", i, le_get16(p + 2),
					rec->stamps);
		if (cell_state(p) == RECORD_ABSENT && !is_delta)
			return why_fail(why, EBADMSG, "record: cell %u of a row is absent", i);
		if (end < begin || (end != begin && cell_state(p) != RECORD_PRESENT))
			return why_fail(why, EBADMSG, "record: cell %u ends at %u, begins at %u", i, end, begin);
		begin = end;
	}
	return 0;
}

int record_check(struct slice bytes, bool is_delta, struct why *why)
{
	struct record rec;
	int rc = record_view(bytes, &rec);

	if (rc < 0)
		return why_fail(why, EBADMSG, "record: %zu bytes that are no record", bytes.len);
	if (!rec.data)
		return why_fail(why, EBADMSG, "record: empty");
	if (le_get16(rec.data + 6) || (!is_delta && (rec.flags & RECORD_UNTOMB)))
		return why_fail(why, EBADMSG, "record: flags %u that mean nothing here", rec.flags);
	if ((rec.flags & RECORD_TOMB) && (rec.flags & RECORD_UNTOMB))
		return why_fail(why, EBADMSG, "record: it both sets and forgets the tombstone");
	rc = check_stamps(&rec, why);
	return rc < 0 ? rc : check_cells(&rec, is_delta, why);
}

void record_cell(const struct record *rec, unsigned i, struct record_cell *out)
{
	const uint8_t *p = cell_at(rec, i);
	size_t heap = rec->len - tables_len(rec);
	uint32_t begin = i ? cell_end(p - CELL) : 0, end = cell_end(p);

	*out = (struct record_cell){ .slot = le_get16(p), .stamp = le_get16(p + 2), .state = cell_state(p),
				     .type = (uint8_t)(p[7] >> 2) };
	if (out->state == RECORD_PRESENT && begin <= end && end <= heap)
		out->value = slice_of(rec->data + tables_len(rec) + begin, end - begin);
}

int record_cells(const struct record *rec, struct record_cell *out, struct slice *out_values)
{
	const uint8_t *p, *heap;
	uint32_t begin = 0, len;

	*out_values = slice_of(NULL, 0);
	if (!rec->cells)
		return 0;
	p = cell_at(rec, 0);
	heap = p + CELL * (size_t)rec->cells;
	len = (uint32_t)(rec->len - tables_len(rec));
	for (unsigned i = 0; i < rec->cells; i++, p += CELL) {
		uint64_t cell = le_get64(p);
		uint32_t end = (uint32_t)(cell >> 32) & END_MASK;

		out[i] = (struct record_cell){ .slot = (uint16_t)cell, .state = cell >> 56 & 3, .type = (uint8_t)(cell >> 58),
					       .stamp = (uint16_t)(cell >> 16), .value = { heap + begin, end - begin } };
		if (end < begin || end > len || (end != begin && out[i].state != RECORD_PRESENT))
			return -EBADMSG;
		begin = end;
	}
	*out_values = slice_of(heap, begin);
	return 0;
}

void record_stamp(const struct record *rec, unsigned i, struct record_stamp *out)
{
	const uint8_t *p;

	*out = (struct record_stamp){ 0 };
	if (i >= rec->stamps)
		return;
	p = stamp_at(rec, i);
	out->event_ns = (int64_t)le_get64(p);
	out->ingest_ns = (int64_t)le_get64(p + 8);
	out->origin = le_get64(p + 16);
	out->source = le_get32(p + 24);
	out->lane = p[28];
}

bool record_tomb(const struct record *rec, struct record_stamp *out)
{
	if (!(rec->flags & RECORD_TOMB))
		return false;
	record_stamp(rec, 0, out);
	return true;
}

/* Slots ascend without repeating, so the cell of a slot never stands behind the index of that number, and right there
 * where every slot before it has a value. */
bool record_find(const struct record *rec, uint16_t slot, struct record_cell *out)
{
	unsigned low = 0, high, mid;

	if (!rec->cells)
		return false;
	high = slot < rec->cells ? slot : rec->cells - 1u;
	mid = high;
	while (le_get16(cell_at(rec, mid)) != slot) {
		if (le_get16(cell_at(rec, mid)) < slot)
			low = mid + 1;
		else if (mid == 0)
			return false;
		else
			high = mid - 1;
		if (low > high)
			return false;
		mid = low + (high - low) / 2;
	}
	record_cell(rec, mid, out);
	return true;
}

bool record_same_values(const struct record *a, const struct record *b)
{
	size_t tables = HEADER + STAMP;

	return a->stamps == 1 && b->stamps == 1 && a->cells == b->cells && a->len == b->len &&
	       !((a->flags | b->flags) & RECORD_TOMB) && !memcmp(a->data + tables, b->data + tables, a->len - tables);
}

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

/* The cell for a slot never stands behind the index of that number; `from` bounds the search from below. Right there where
 * every slot before it has a cell. */
static inline unsigned seek_cell(const struct record *rec, const uint8_t *cells, uint16_t slot, unsigned from)
{
	unsigned high = slot < rec->cells ? slot : rec->cells - 1u, low = from;

	if (high < low || le_get16(cells + CELL * (size_t)high) == slot)
		return high < low ? low : high;
	while (low < high) {
		unsigned mid = low + (high - low) / 2;

		if (le_get16(cells + CELL * (size_t)mid) < slot)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static inline void pick(const struct record *rec, const uint8_t *cell, bool is_first, struct slice heap, struct record_picked *out)
{
	uint32_t begin = is_first ? 0 : cell_end(cell - CELL), end = cell_end(cell);
	unsigned stamp = le_get16(cell + 2);

	out->state = cell_state(cell);
	out->type = (uint8_t)(cell[7] >> 2);
	out->event_ns = stamp < rec->stamps ? (int64_t)le_get64(stamp_at(rec, stamp)) : 0;
	if (out->state != RECORD_PRESENT || begin > end || end > heap.len)
		begin = end = 0;
	out->value = slice_of((const uint8_t *)heap.data + begin, end - begin);
}

void record_pick(const struct record *rec, const uint16_t *slots, unsigned n, struct record_picked *out)
{
	const uint8_t *cells = NULL;
	struct slice heap = { 0 };
	unsigned i = 0;

	if (rec->cells) {
		cells = cell_at(rec, 0);
		heap = slice_of(rec->data + tables_len(rec), rec->len - tables_len(rec));
	}
	for (unsigned k = 0; k < n; k++) {
		if (i < rec->cells)
			i = seek_cell(rec, cells, slots[k], i);
		if (i < rec->cells && le_get16(cells + CELL * (size_t)i) == slots[k]) {
			pick(rec, cells + CELL * (size_t)i, i == 0, heap, &out[k]);
			i++;
		} else {
			out[k] = (struct record_picked){ .state = RECORD_ABSENT };
		}
	}
}

/* ---- writing ---- */

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
