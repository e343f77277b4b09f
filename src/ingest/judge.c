/* SPDX-License-Identifier: MIT */
/*
 * A load brings mostly what is there already, so each value is compared with what stands before the order rule is asked:
 *
 *	stands		is equal			differs
 *	older		confirmed: the stamp advances	changed
 *	as old		unchanged			changed (the later ingest wins)
 *	newer		unchanged			late; OVERWRITE: changed
 *
 * OVERWRITE wins over what is newer: an equal value with a newer stamp is changed too, for its time becomes another. With confirm_skip a
 * stamp does not advance. A value past its TTL is equal to nothing newer: nobody sees it, so bringing it again is a change. What a deletion left
 * behind, a tombstone of the feature or of the entity, is equal to a deletion alone.
 *
 * SNAPSHOT judges in the same way, and an entity that the load does not have is deleted as of the snapshot's time; values newer than that stay.
 *
 * Two rows that differ in nothing but their stamp, the usual case, are told by one comparison of bytes.
 */
#include "ingest/judge.h"

#include <errno.h>
#include "base/text.h"
#include "ingest/check.h"
#include "ingest/private.h"

void judge_release(struct judge *judge)
{
	record_builder_release(&judge->delta);
	record_builder_release(&judge->late);
	buf_release(&judge->delta_bytes);
	buf_release(&judge->wide[0]);
	buf_release(&judge->wide[1]);
}

enum fate { CHANGES, CONFIRMS, STAYS, LOSES };

static bool is_expired(const struct judge *judge, uint8_t state, int64_t event_ns)
{
	int64_t end_ns;

	return judge->grp->ttl_ns && state != RECORD_DELETED &&
	       !__builtin_add_overflow(event_ns, judge->grp->ttl_ns, &end_ns) && end_ns <= judge->clock.now_ns;
}

static enum fate judge_value(const struct judge *judge, bool is_equal, int64_t event_ns, int64_t standing_ns)
{
	if (is_equal && event_ns == standing_ns)
		return STAYS;
	if (event_ns < standing_ns && judge->mode != INGEST_LOAD_OVERWRITE)
		return is_equal ? STAYS : LOSES;
	return is_equal && event_ns > standing_ns ? CONFIRMS : CHANGES;
}

/* Equal values may be stored in types of two widths. -1: no memory. */
static int is_equal(struct judge *judge, const struct record_cell *a, const struct record_cell *b)
{
	const struct catalog_feature *feature;
	struct slice wide[2];

	if (a->state != b->state)
		return 0;
	if (a->type == b->type || a->state != RECORD_PRESENT)
		return slice_equal(a->value, b->value);
	feature = catalog_feature_at(judge->grp, a->slot);
	if (!feature || type_widen(&feature->type, a->type, a->value, &judge->wide[0], &wide[0]) < 0 ||
	    type_widen(&feature->type, b->type, b->value, &judge->wide[1], &wide[1]) < 0)
		return buf_error(&judge->wide[0]) < 0 || buf_error(&judge->wide[1]) < 0 ? -1 : 0;
	return slice_equal(wide[0], wide[1]);
}

struct rows {
	struct record base, in;
	struct record_stamp tomb;	/* of the base */
	bool has_tomb;
};

/* One cell of the load's row against what stands in its slot. Says whether the base has a cell there. */
static int judge_cell(struct judge *judge, const struct rows *rows, const struct record_cell *cell, int64_t event_ns, enum fate *out,
		      bool *out_meets)
{
	struct record_cell standing;
	struct record_stamp stamp;
	int equal;

	*out_meets = record_find(&rows->base, cell->slot, &standing);
	if (*out_meets)
		record_stamp(&rows->base, standing.stamp, &stamp);
	if (rows->has_tomb && (!*out_meets || rows->tomb.event_ns > stamp.event_ns)) {
		*out = judge_value(judge, cell->state == RECORD_DELETED, event_ns, rows->tomb.event_ns);
		return 0;
	}
	if (!*out_meets) {
		*out = CHANGES;
		return 0;
	}
	equal = event_ns > stamp.event_ns && is_expired(judge, standing.state, stamp.event_ns) ? 0 : is_equal(judge, cell, &standing);
	*out = judge_value(judge, equal > 0, event_ns, stamp.event_ns);
	return equal < 0 ? -ENOMEM : 0;
}

static void add_applied(struct verdict *out, int64_t event_ns)
{
	out->applied++;
	if (event_ns > out->newest_event_ns)
		out->newest_event_ns = event_ns;
}

/* Winners to `delta`, losers to `late`. `out_all`: every cell wins, and the base has no other. */
static int judge_cells(struct judge *judge, const struct rows *rows, struct verdict *out, bool *out_all)
{
	unsigned met = 0, kept = 0;

	record_builder_reset(&judge->delta, rows->base.flags & RECORD_EXISTS);
	record_builder_reset(&judge->late, 0);
	for (unsigned i = 0; i < rows->in.cells; i++) {
		struct record_builder *into = &judge->delta;
		struct record_stamp stamp;
		struct record_cell cell;
		enum fate fate;
		bool meets;
		int rc;

		record_cell(&rows->in, i, &cell);
		record_stamp(&rows->in, cell.stamp, &stamp);
		rc = judge_cell(judge, rows, &cell, stamp.event_ns, &fate, &meets);
		if (rc < 0)
			return rc;
		met += meets;
		out->changed += fate == CHANGES;
		out->confirmed += fate == CONFIRMS;
		out->unchanged += fate == STAYS;
		out->late += fate == LOSES;
		if (fate == LOSES)
			into = &judge->late;
		if (fate == STAYS || (fate == CONFIRMS && judge->confirm_skip)) {
			kept++;
			continue;
		}
		record_builder_cell(into, cell.slot, cell.state, cell.type, record_builder_stamp(into, &stamp), cell.value);
		if (fate == LOSES)
			continue;
		add_applied(out, stamp.event_ns);
		if (cell.state != RECORD_DELETED)
			judge->delta.flags |= RECORD_EXISTS;
	}
	*out_all = !kept && !out->late && met == rows->base.cells && !rows->has_tomb;
	return 0;
}

static int apply_delta(struct judge *judge, const struct record *base, struct buf *out_row)
{
	struct record delta;
	int rc;

	buf_reset(&judge->delta_bytes);
	rc = record_builder_finish(&judge->delta, &judge->delta_bytes);
	if (rc == 0)
		rc = record_view(buf_slice(&judge->delta_bytes), &delta);
	return rc < 0 ? rc : record_apply(base, &delta, out_row);
}

static int fill_late(struct judge *judge, struct verdict *out, struct buf *out_late)
{
	if (!out->late)
		return 0;
	out->has_late = true;
	return record_builder_finish(&judge->late, out_late);
}

static int check_times(const struct judge *judge, const struct record *in, struct why *why)
{
	for (unsigned i = 0; i < in->stamps; i++) {
		struct record_stamp stamp;
		int rc;

		record_stamp(in, i, &stamp);
		if (stamp.event_ns == INGEST_NOW)
			return why_fail(why, EINVAL, "a row of a load needs an event time");
		rc = merge_check_future(stamp.event_ns, &judge->clock, why);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int check_in(const struct judge *judge, struct slice entity, const struct record *in, struct why *why)
{
	uint16_t slot;
	int rc = text_check_entity(entity, judge->grp->n_keys, why);

	if (rc == 0)
		rc = check_times(judge, in, why);
	if (rc == 0 && (in->flags & RECORD_TOMB) && in->cells)
		rc = why_fail(why, EINVAL, "a row either deletes its entity or has values");
	return rc < 0 ? rc : check_record(in, judge->grp, &slot, why);
}

/* The entity deleted at a time. `is_absent`: because the load does not have it. */
static int judge_deletion(struct judge *judge, const struct record *base, int64_t event_ns, bool is_absent, struct verdict *out,
			  struct buf *out_row, struct why *why)
{
	struct record_stamp stamp = judge->stamp, tomb;
	struct merge_outcome outcome;
	bool was = record_exists(base), is;
	int rc;

	stamp.event_ns = event_ns;
	rc = merge_delete_entity(base, &stamp, judge->mode == INGEST_LOAD_OVERWRITE ? INGEST_FORCE : 0, &judge->clock, &judge->delta,
				 &outcome, why);
	if (rc < 0)
		return rc;
	is = judge->delta.flags & RECORD_EXISTS;
	if (outcome.late) {
		out->late += !is_absent;
		return 0;
	}
	if (outcome.applied == 0 && was == is && (is_absent || (record_tomb(base, &tomb) && tomb.event_ns == event_ns))) {
		out->unchanged += !is_absent;
		return 0;
	}
	out->deleted = is_absent && was && !is;
	out->changed += is_absent ? 0 : outcome.applied;
	out->applied += outcome.applied;
	out->newest_event_ns = event_ns;
	out->writes = true;
	return apply_delta(judge, base, out_row);
}

/* The same values under another stamp. */
static void judge_stamp(const struct judge *judge, const struct rows *rows, struct verdict *out)
{
	struct record_stamp is, was;

	record_stamp(&rows->in, 0, &is);
	record_stamp(&rows->base, 0, &was);
	switch (judge_value(judge, is.event_ns <= was.event_ns || !is_expired(judge, RECORD_PRESENT, was.event_ns), is.event_ns,
			    was.event_ns)) {
	case CHANGES:
		out->changed = rows->in.cells;
		break;
	case CONFIRMS:
		out->confirmed = rows->in.cells;
		if (judge->confirm_skip)
			return;
		break;
	case STAYS:
	case LOSES:
		out->unchanged = rows->in.cells;
		return;
	}
	out->writes = out->as_given = true;
	out->applied = rows->in.cells;
	out->newest_event_ns = is.event_ns;
}

/* Nothing stands: all of the row is new, as it is. */
static void judge_new(const struct rows *rows, struct verdict *out)
{
	out->writes = out->as_given = true;
	out->changed = out->applied = rows->in.cells;
	for (unsigned i = 0; i < rows->in.stamps; i++) {
		struct record_stamp stamp;

		record_stamp(&rows->in, i, &stamp);
		if (stamp.event_ns > out->newest_event_ns)
			out->newest_event_ns = stamp.event_ns;
	}
}

static int judge_given(struct judge *judge, struct slice entity, const struct rows *rows, struct verdict *out, struct buf *out_row,
		       struct buf *out_late, struct why *why)
{
	struct record_stamp stamp;
	bool all;
	int rc;

	/* What stands has been checked when it came. */
	if (record_same_values(&rows->base, &rows->in) && record_exists(&rows->base) == record_exists(&rows->in)) {
		rc = check_times(judge, &rows->in, why);
		if (rc == 0)
			judge_stamp(judge, rows, out);
		return rc;
	}
	rc = check_in(judge, entity, &rows->in, why);
	if (rc < 0)
		return rc;
	if (rows->in.flags & RECORD_TOMB) {
		record_stamp(&rows->in, 0, &stamp);
		return judge_deletion(judge, &rows->base, stamp.event_ns, false, out, out_row, why);
	}
	if (!rows->base.data && rows->in.len <= ROW_MAX) {
		judge_new(rows, out);
		return 0;
	}
	rc = judge_cells(judge, rows, out, &all);
	if (rc < 0)
		return rc;
	/* A row without values makes its entity. */
	if (!rows->in.cells)
		judge->delta.flags |= RECORD_EXISTS;
	out->writes = out->applied || (!rows->in.cells && !record_exists(&rows->base));
	out->as_given = out->writes && all &&
			(judge->delta.flags & RECORD_EXISTS) == (rows->in.flags & RECORD_EXISTS);
	if (out->writes && !out->as_given)
		rc = apply_delta(judge, &rows->base, out_row);
	if (rc == -EFBIG || (out->as_given ? rows->in.len : out_row->len) > ROW_MAX)
		rc = why_fail(why, EFBIG, "the row would have more than %d bytes", ROW_MAX);
	return rc < 0 ? rc : fill_late(judge, out, out_late);
}

int judge_row(struct judge *judge, struct slice entity, struct slice base, const struct slice *in, struct verdict *out,
	      struct buf *out_row, struct buf *out_late, struct why *why)
{
	struct rows rows;
	int rc;

	*out = (struct verdict){ .newest_event_ns = INT64_MIN };
	buf_reset(out_row);
	buf_reset(out_late);
	if (record_view(base, &rows.base) < 0)
		return why_fail(why, EUCLEAN, "the row is damaged: run `featurectl verify`");
	if (!in) {
		if (judge->mode != INGEST_LOAD_SNAPSHOT || !rows.base.data)
			return 0;
		return judge_deletion(judge, &rows.base, judge->as_of_ns, true, out, out_row, why);
	}
	if (record_view(*in, &rows.in) < 0)
		return why_fail(why, EINVAL, "the row is no record");
	rows.has_tomb = record_tomb(&rows.base, &rows.tomb);
	rc = judge_given(judge, entity, &rows, out, out_row, out_late, why);
	if (rc < 0)
		*out = (struct verdict){ .newest_event_ns = INT64_MIN };
	return rc;
}

bool judge_sets_entity(const struct record *rec)
{
	struct record_cell cell;

	for (unsigned i = 0; i < rec->cells; i++) {
		record_cell(rec, i, &cell);
		if (cell.state != RECORD_DELETED)
			return true;
	}
	return rec->cells == 0 && !(rec->flags & RECORD_TOMB);
}

bool judge_is_same(const struct judge *judge, struct slice base, struct slice in)
{
	struct record_stamp stood, comes;
	struct record was, is;

	if (!base.len || record_view(base, &was) < 0 || record_view(in, &is) < 0 || !record_same_values(&was, &is) ||
	    record_exists(&was) != judge_sets_entity(&is))
		return false;
	record_stamp(&was, 0, &stood);
	record_stamp(&is, 0, &comes);
	return stood.event_ns == comes.event_ns && check_times(judge, &is, NULL) == 0;
}
