/* SPDX-License-Identifier: MIT */
/* One row while it is being typed: values in, cells out. Reused from row to row without allocating. Private to batch. */
#ifndef BATCH_ROW_H
#define BATCH_ROW_H

#include <stdbool.h>
#include <stdint.h>
#include "batch/mapping.h"
#include "store/record.h"

struct yyjson_val;

/* What record_pack takes. */
struct row_cells {
	uint8_t flags;
	struct record_stamp stamp;
	const struct record_cell *cells;
	size_t n;
};

struct row {
	const struct batch_mapping *mapping;
	unsigned n;			/* values: one for each bound feature, in order of slots */
	const struct catalog_feature **features;
	struct record_cell *cells;	/* state RECORD_ABSENT: not in this row */
	struct record_cell *some;	/* those that are in it, where not all are */
	uint8_t (*fixed)[8];		/* stored bytes of types of fixed size */
	struct buf var;			/* stored bytes that were made here */
	size_t *var_at;			/* where in `var` those of a value begin, + 1; 0: not there */
	bool has_var, has_absent;
	struct buf entity;
	struct row_cells done;		/* the row once it is finished */
};

/* `targets` are indexes of mapping->targets, ascending. */
int row_init(struct row *row, const struct batch_mapping *mapping, const unsigned *targets, unsigned n);
void row_release(struct row *row);

/* Begins a row in which every value is given by one of the setters below. */
void row_begin(struct row *row);
/* The same, but values that no setter gives stay away. */
void row_begin_absent(struct row *row);

/* Set value i. Texts are borrowed until row_finish. Errors as of type_text_parse, the feature's name in the reason. */
int row_text(struct row *row, unsigned i, struct slice text, struct why *why);
int row_json(struct row *row, unsigned i, struct yyjson_val *json, struct why *why);
/* Stored bytes, borrowed until row_finish; they are right by construction. */
static inline void row_bytes(struct row *row, unsigned i, struct slice bytes)
{
	row->cells[i].state = RECORD_PRESENT;
	row->cells[i].value = bytes;
}
static inline void row_state(struct row *row, unsigned i, enum record_state state)
{
	row->cells[i].state = (uint8_t)state;
	row->cells[i].value = slice_of(NULL, 0);
	row->has_absent = row->has_absent || state == RECORD_ABSENT;
}
/* Stored bytes of a value may be appended to row->var: _begin, then append, then _end. */
void row_var_begin(struct row *row, unsigned i);
void row_var_end(struct row *row, unsigned i);

/* Gives row->done, good until the next row_begin. `flags` are of the record: RECORD_EXISTS, or RECORD_TOMB alone for an entity that is deleted.
 * -EFBIG, -ENOMEM. */
int row_finish(struct row *row, uint8_t flags, int64_t event_ns, uint64_t line, struct why *why);

/* Gives row->done at once: of cells that are all there and whose values are at rest, and surely not too large. */
static inline void row_done(struct row *row, const struct record_cell *cells, size_t n, uint8_t flags, int64_t event_ns, uint64_t line)
{
	row->done = (struct row_cells){ flags, { .event_ns = event_ns, .origin = line, .lane = RECORD_LANE_BATCH }, cells, n };
}

#endif
