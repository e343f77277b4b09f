/* SPDX-License-Identifier: MIT */
/*
 * The order rule among rows of one load. It is the rule of ingest, for inputs that have not met what stands yet: both sides are changes, so a
 * tombstone of the whole entity is kept beside the values that are newer than it.
 */
#include "batch/merge.h"

#include <errno.h>

struct side {
	struct record rec;
	unsigned at;		/* next cell */
	bool has_tomb;
	struct record_stamp tomb;
};

static int view_side(struct slice bytes, struct side *out)
{
	int rc = record_view(bytes, &out->rec);

	out->at = 0;
	out->has_tomb = rc == 0 && record_tomb(&out->rec, &out->tomb);
	return rc;
}

/* Does the other side's deletion take this cell away? At a tie the later row has its way. */
static bool is_buried(const struct side *by, bool is_by_later, int64_t event_ns)
{
	return by->has_tomb && (is_by_later ? event_ns <= by->tomb.event_ns : event_ns < by->tomb.event_ns);
}

static void put_cell(struct record_builder *b, const struct record_cell *cell, const struct record_stamp *stamp)
{
	if (cell->state == RECORD_PRESENT || cell->state == RECORD_NULL)
		b->flags |= RECORD_EXISTS;
	record_builder_cell(b, cell->slot, cell->state, cell->type, record_builder_stamp(b, stamp), cell->value);
}

/* The next cell of the two in order of slots; of one slot, the winner. */
static void take_next(struct side *a, struct side *b, struct record_builder *out)
{
	struct record_cell old = { 0 }, new = { 0 };
	struct record_stamp old_stamp, new_stamp;
	bool has_old = a->at < a->rec.cells, has_new = b->at < b->rec.cells;

	if (has_old)
		record_cell(&a->rec, a->at, &old);
	if (has_new)
		record_cell(&b->rec, b->at, &new);
	if (has_old && has_new && old.slot != new.slot) {
		has_old = old.slot < new.slot;
		has_new = !has_old;
	}
	if (has_old) {
		a->at++;
		record_stamp(&a->rec, old.stamp, &old_stamp);
	}
	if (has_new) {
		b->at++;
		record_stamp(&b->rec, new.stamp, &new_stamp);
	}
	if (has_old && has_new) {
		has_old = old_stamp.event_ns > new_stamp.event_ns;
		has_new = !has_old;
	}
	if (has_old && !is_buried(b, true, old_stamp.event_ns))
		put_cell(out, &old, &old_stamp);
	if (has_new && !is_buried(a, false, new_stamp.event_ns))
		put_cell(out, &new, &new_stamp);
}

int merge_rows(struct slice earlier, struct slice later, struct record_builder *scratch, struct buf *out)
{
	struct side a, b;
	int rc = view_side(earlier, &a);

	if (rc == 0)
		rc = view_side(later, &b);
	if (rc < 0)
		return rc;
	/* Behind a deletion only a value that is newer makes the entity exist. */
	record_builder_reset(scratch, a.has_tomb || b.has_tomb ? 0 : (a.rec.flags | b.rec.flags) & RECORD_EXISTS);
	if (a.has_tomb && (!b.has_tomb || a.tomb.event_ns > b.tomb.event_ns))
		record_builder_tomb(scratch, &a.tomb);
	else if (b.has_tomb)
		record_builder_tomb(scratch, &b.tomb);
	while (a.at < a.rec.cells || b.at < b.rec.cells)
		take_next(&a, &b, scratch);
	return record_builder_finish(scratch, out);
}
