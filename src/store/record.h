/* SPDX-License-Identifier: MIT */
/*
 * A record is the packed form of one entity's values in one group. The same bytes serve as the row in the map, as what
 * a lane hands to ingest, and as the delta that the change log holds:
 *
 *	row	what stands: PRESENT, NULL and DELETED (tombstone) cells
 *	delta	what a commit decided: its cells replace those of the row whatever their times; an ABSENT cell takes the row's
 *		cell away; EXISTS is the row's new flag; TOMB replaces the row's tombstone and takes away every cell
 *		of the row that is not newer than it; UNTOMB forgets the row's tombstone
 *
 * Cells are in ascending order of slot (the feature's number in its group, never reused). Cells that came together
 * share a stamp. A row's tombstone says that the entity was deleted as a whole at its event time. The byte format and
 * its bounds stand at the head of record.c. All functions are pure and thread-safe.
 */
#ifndef STORE_RECORD_H
#define STORE_RECORD_H

#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/slice.h"
#include "base/why.h"

enum record_state {
	RECORD_ABSENT,		/* no cell; only a delta writes it down */
	RECORD_PRESENT,
	RECORD_NULL,		/* known to have no value */
	RECORD_DELETED,		/* a tombstone: deleted at the stamp's event time */
};

enum record_flag {
	RECORD_EXISTS = 1,	/* the entity is there, be it without a value */
	RECORD_TOMB = 2,	/* stamp 0 is the row's tombstone */
	RECORD_UNTOMB = 4,	/* deltas only */
};

enum record_lane { RECORD_LANE_DIRECT = 1, RECORD_LANE_STREAM = 2, RECORD_LANE_BATCH = 3 };

enum {
	RECORD_MAX = 5 << 20,		/* bytes of one record: values are 4 MiB at most, and their cells and stamps */
	RECORD_CELLS_MAX = 65535,
	RECORD_LINE_BITS = 40,	/* of a batch's origin */
};

/* Where values came from, shared by all cells of one change. 32 bytes in the record. */
struct record_stamp {
	int64_t event_ns;	/* when it was true */
	int64_t ingest_ns;	/* when the store took it; unique to its commit */
	uint64_t origin;	/* direct: the uid; stream: partition << 48 | offset; batch: number of the job's file << RECORD_LINE_BITS | line (from 1 on) */
	uint32_t source;	/* 0, or a number in the table of sources (a topic; an import id and file) */
	uint8_t lane;		/* enum record_lane */
};

struct record_cell {
	uint16_t slot;
	uint8_t state;		/* enum record_state */
	uint8_t type;		/* the code of the type that `value` is encoded in (see catalog/type.h), 0 to 63 */
	uint16_t stamp;		/* index */
	struct slice value;	/* borrowed; empty unless PRESENT */
};

/* A view of a record's bytes. Owns nothing. */
struct record {
	const uint8_t *data;	/* NULL: no row at all */
	size_t len;
	uint16_t cells, stamps;
	uint8_t flags;
};

/* A view of bytes that this store wrote: checks the header and that the tables fit, O(1). Empty bytes are the row that
 * is not there. -EBADMSG if it is no record. Cell accessors stay inside of the bytes even if those are damaged. */
int record_view(struct slice bytes, struct record *out);
/* Checks everything, O(cells): order of slots, offsets, stamp indexes, states, lanes. For bytes that may be damaged.
 * -EBADMSG. */
int record_check(struct slice bytes, bool is_delta, struct why *why);

static inline bool record_exists(const struct record *rec)
{
	return rec->flags & RECORD_EXISTS;
}

/* The row's tombstone; false if it has none. */
bool record_tomb(const struct record *rec, struct record_stamp *out);
/* false if there is no cell for the slot. O(log cells), O(1) where slots are dense. */
bool record_find(const struct record *rec, uint16_t slot, struct record_cell *out);
/* Many cells at once, for reads of views: of each slot its state (ABSENT: there is no cell), the code of its type, its value and its
 * event time (0 where absent). Slots ascend. Where a row has a cell for every slot up to the last one, each is found at once. */
struct record_picked {
	struct slice value;
	int64_t event_ns;
	uint8_t state, type;
};
void record_pick(const struct record *rec, const uint16_t *slots, unsigned n, struct record_picked *out);
/* Cell i, 0 <= i < rec->cells; stamp i, 0 <= i < rec->stamps. */
void record_cell(const struct record *rec, unsigned i, struct record_cell *out);
void record_stamp(const struct record *rec, unsigned i, struct record_stamp *out);
/* All cells, as record_cell gives them, and the bytes of all values, one behind another: for whoever takes rows apart by the million. `out` has
 * room for rec->cells. -EBADMSG if values are not where they should be. */
int record_cells(const struct record *rec, struct record_cell *out, struct slice *out_values);

/* The same cells with the same values, and neither has a tombstone or more than one stamp: then only the stamps differ. */
bool record_same_values(const struct record *a, const struct record *b);
/* Writes the ingest time, source and lane of `with` into all stamps of a record, and its flag EXISTS. */
void record_restamp(void *bytes, const struct record *rec, const struct record_stamp *with, bool exists);

/*
 * Builds a record: record_builder_init, then stamps and cells (any order of slots; a slot added twice keeps the last),
 * then record_builder_finish, which appends the bytes to `out` (cells sorted, unused stamps dropped but for the
 * tombstone, equal stamps shared). Values are borrowed until then. A builder is reused by record_builder_reset.
 */
struct record_builder {
	struct buf cells, stamps;	/* arrays of struct record_cell and struct record_stamp */
	uint8_t flags;
	uint16_t tomb;			/* the tombstone's stamp, if RECORD_TOMB */
};

void record_builder_release(struct record_builder *b);
void record_builder_reset(struct record_builder *b, uint8_t flags);
uint16_t record_builder_stamp(struct record_builder *b, const struct record_stamp *stamp);
void record_builder_tomb(struct record_builder *b, const struct record_stamp *stamp);
void record_builder_cell(struct record_builder *b, uint16_t slot, uint8_t state, uint8_t type, uint16_t stamp,
			 struct slice value);
/* 0; -ENOMEM; -EFBIG past RECORD_MAX. */
int record_builder_finish(struct record_builder *b, struct buf *out);

/* The short way for the usual case: cells of one change, in strictly ascending order of slots, whose `stamp` is not looked at. 0; -ENOMEM;
 * -EFBIG past RECORD_MAX; -EINVAL for another order. */
int record_pack(uint8_t flags, const struct record_stamp *stamp, const struct record_cell *cells, size_t n, struct buf *out);
/* The bytes that it would append; SIZE_MAX where they are too many for any record. Cells that are not present have empty values. */
size_t record_packed_len(uint8_t flags, const struct record_cell *cells, size_t n);

/* Appends the row that `delta` makes of `row` (which may be the row that is not there). Appends nothing if no cell, no
 * flag and no tombstone is left: the row is to be removed. 0, -ENOMEM, -EFBIG. */
int record_apply(const struct record *row, const struct record *delta, struct buf *out);

#endif
