/* SPDX-License-Identifier: MIT */
/*
 * The packed values of one entity in one group: what the bytes are, and how a value is found in them (record_write.c makes them). A read of
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
 * Stamps are 32 bytes, so cells of one change share one. A record that record_write.c writes has no stamp twice and none
 * unused, which bounds a row's stamps by its cells and its tombstone.
 */
#include "store/record.h"

#include <errno.h>
#include <string.h>
#include "store/record_private.h"

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
