/* SPDX-License-Identifier: MIT */
/*
 * The order rule, stated once:
 *
 *  1. Newest event time wins, for each feature by itself. At a tie the change that is ingested later wins.
 *  2. What stands against a change is the feature's cell (a value, a null or a tombstone) and the row's tombstone.
 *  3. A change without a time of its own is true now, and never loses: it is stamped max(now, newest of what stands + 1 ns), one stamp for all
 *     features of the row.
 *  4. With INGEST_LATE_FAILS (the direct lane) an older change is -ESTALE, unless what stands is a tombstone: then it is stamped
 *     just after it. In the other lanes the loser is late: kept for history, no error.
 *  5. With INGEST_FORCE a change wins whatever its time.
 *  6. A time further ahead of the clock than the setting is refused, forced or not: one wrong clock must not win for years.
 *
 * Example, event times only. A row with clicks=3@10, a tombstone of ctr@20, and a row tombstone @5 meets {clicks=4@9, ctr=0.1@15, age=7@5}:
 *	stream lane	clicks is late (9 < 10), ctr is late (15 < 20), age wins (5 is not older than 5)
 *	direct lane	-ESTALE for clicks; without it, ctr would be stamped 21
 *
 * A deleted entity is a row tombstone at time T: every cell at or before T goes, and so does the entity's existence unless a newer value
 * stays. A tombstone's age is judged by its ingest time: it protects against what other lanes may still bring, which is
 * a matter of when the store learnt of the deletion, not of when it was true.
 */
#include "ingest/merge.h"

#include <errno.h>
#include "base/clock.h"
#include "ingest/ingest.h"

void merge_take_away(struct record_builder *delta, uint16_t slot, const struct merge_clock *clock)
{
	struct record_stamp stamp = { .event_ns = clock->now_ns, .ingest_ns = clock->ingest_ns, .lane = RECORD_LANE_DIRECT };

	record_builder_cell(delta, slot, RECORD_ABSENT, 0, record_builder_stamp(delta, &stamp), slice_of(NULL, 0));
}

static int64_t max64(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static int64_t just_after(int64_t ns)
{
	return ns == INT64_MAX ? ns : ns + 1;
}

/* What a change of one slot has to beat. */
struct standing {
	int64_t event_ns;	/* INT64_MIN: nothing stands */
	bool is_tombstone;
};

static struct standing find_standing(const struct record *row, uint16_t slot)
{
	struct standing st = { INT64_MIN, false };
	struct record_stamp stamp;
	struct record_cell cell;

	if (record_find(row, slot, &cell)) {
		record_stamp(row, cell.stamp, &stamp);
		st.event_ns = stamp.event_ns;
		st.is_tombstone = cell.state == RECORD_DELETED;
	}
	if (record_tomb(row, &stamp) && stamp.event_ns > st.event_ns) {
		st.event_ns = stamp.event_ns;
		st.is_tombstone = true;
	}
	return st;
}

/* Rule 3's stamp for a row: later than all that stands in any slot that the change names. */
static int64_t stamp_now(const struct record *row, const struct record *in, const struct merge_clock *clock)
{
	int64_t event_ns = clock->now_ns;
	struct record_cell cell;

	for (unsigned i = 0; i < in->cells; i++) {
		struct standing st;

		record_cell(in, i, &cell);
		st = find_standing(row, cell.slot);
		if (st.event_ns != INT64_MIN)
			event_ns = max64(event_ns, just_after(st.event_ns));
	}
	return event_ns;
}

static const char *slot_name(const struct catalog_group *grp, uint16_t slot)
{
	const struct catalog_feature *feature = catalog_feature_at(grp, slot);

	return feature ? feature->name : "?";
}

int merge_check_future(int64_t event_ns, const struct merge_clock *clock, struct why *why)
{
	char time[CLOCK_TEXT_MAX];

	if (event_ns <= clock->now_ns || event_ns - clock->now_ns <= clock->future_ns)
		return 0;
	clock_print_time(event_ns, false, time);
	return why_fail(why, EINVAL, "the event time %s is more than %lld seconds ahead of the clock: correct it, or raise ingest.future", time,
			(long long)(clock->future_ns / CLOCK_SECOND));
}

enum verdict { WINS, LOSES, WINS_JUST_AFTER, FAILS };

static enum verdict judge(int64_t event_ns, struct standing st, unsigned flags)
{
	if ((flags & INGEST_FORCE) || event_ns >= st.event_ns)
		return WINS;
	if (!(flags & INGEST_LATE_FAILS))
		return LOSES;
	return st.is_tombstone ? WINS_JUST_AFTER : FAILS;
}

static int fail_stale(const struct catalog_group *grp, uint16_t slot, int64_t event_ns, struct standing st, struct why *why)
{
	char given[CLOCK_TEXT_MAX], stands[CLOCK_TEXT_MAX];

	clock_print_time(event_ns, true, given);
	clock_print_time(st.event_ns, true, stands);
	return why_fail(why, ESTALE, "%s: event time %s is older than what stands (%s); write without a time, or force it", slot_name(grp, slot),
			given, stands);
}

int merge_put(const struct record *row, const struct record *in, const struct catalog_group *grp, unsigned flags,
	      const struct merge_clock *clock, struct record_builder *delta, struct record_builder *late,
	      struct merge_outcome *out, struct why *why)
{
	int64_t now_event_ns = INGEST_NOW;
	bool makes_entity = in->cells == 0;

	*out = (struct merge_outcome){ .newest_event_ns = INT64_MIN };
	record_builder_reset(delta, row->flags & RECORD_EXISTS);
	record_builder_reset(late, 0);
	for (unsigned i = 0; i < in->cells; i++) {
		struct record_builder *into = delta;
		struct record_stamp stamp;
		struct record_cell cell;
		struct standing st;
		int rc;

		record_cell(in, i, &cell);
		record_stamp(in, cell.stamp, &stamp);
		out->fault_slot = cell.slot;
		stamp.ingest_ns = clock->ingest_ns;
		st = find_standing(row, cell.slot);
		if (stamp.event_ns == INGEST_NOW) {
			if (now_event_ns == INGEST_NOW)
				now_event_ns = stamp_now(row, in, clock);
			stamp.event_ns = now_event_ns;
		} else {
			rc = merge_check_future(stamp.event_ns, clock, why);
			if (rc < 0)
				return rc;
			switch (judge(stamp.event_ns, st, flags)) {
			case WINS:
				break;
			case WINS_JUST_AFTER:
				stamp.event_ns = just_after(st.event_ns);
				break;
			case LOSES:
				into = late;
				break;
			case FAILS:
				return fail_stale(grp, cell.slot, stamp.event_ns, st, why);
			}
		}
		record_builder_cell(into, cell.slot, cell.state, cell.type, record_builder_stamp(into, &stamp), cell.value);
		if (into == late) {
			out->late++;
			continue;
		}
		out->applied++;
		out->newest_event_ns = max64(out->newest_event_ns, stamp.event_ns);
		makes_entity = makes_entity || cell.state != RECORD_DELETED;
	}
	if (makes_entity)
		delta->flags |= RECORD_EXISTS;
	return 0;
}

int merge_delete_entity(const struct record *row, const struct record_stamp *given, unsigned flags, const struct merge_clock *clock,
			struct record_builder *delta, struct merge_outcome *out, struct why *why)
{
	struct record_stamp stamp = *given, cell_stamp, tomb;
	bool has_tomb = record_tomb(row, &tomb), has_newer = false;
	int64_t newest_ns = has_tomb ? tomb.event_ns : INT64_MIN;
	struct record_cell cell;
	int rc;

	*out = (struct merge_outcome){ .newest_event_ns = INT64_MIN };
	record_builder_reset(delta, 0);
	for (unsigned i = 0; i < row->cells; i++) {
		record_cell(row, i, &cell);
		record_stamp(row, cell.stamp, &cell_stamp);
		newest_ns = max64(newest_ns, cell_stamp.event_ns);
	}
	stamp.ingest_ns = clock->ingest_ns;
	if (stamp.event_ns == INGEST_NOW)
		stamp.event_ns = newest_ns == INT64_MIN ? clock->now_ns : max64(clock->now_ns, just_after(newest_ns));
	rc = merge_check_future(stamp.event_ns, clock, why);
	if (rc < 0)
		return rc;
	if (has_tomb && stamp.event_ns < tomb.event_ns && !(flags & INGEST_FORCE)) {
		out->late = 1;
		delta->flags = row->flags & RECORD_EXISTS;
		return 0;
	}
	for (unsigned i = 0; i < row->cells; i++) {
		record_cell(row, i, &cell);
		record_stamp(row, cell.stamp, &cell_stamp);
		if (cell_stamp.event_ns <= stamp.event_ns) {
			out->applied += cell.state != RECORD_DELETED;
		} else if (flags & INGEST_FORCE) {
			out->applied += cell.state != RECORD_DELETED;
			merge_take_away(delta, cell.slot, clock);
		} else if (cell.state != RECORD_DELETED) {
			if (flags & INGEST_LATE_FAILS)
				return why_fail(why, ESTALE, "a value of the entity is newer than the deletion; delete without a time, or force it");
			has_newer = true;
		}
	}
	record_builder_tomb(delta, &stamp);
	if (has_newer)
		delta->flags |= row->flags & RECORD_EXISTS;
	out->newest_event_ns = stamp.event_ns;
	return 0;
}

static bool is_past(int64_t ns, int64_t span_ns, int64_t now_ns)
{
	int64_t end_ns;

	return !__builtin_add_overflow(ns, span_ns, &end_ns) && end_ns <= now_ns;
}

bool merge_sweep(const struct record *row, const struct catalog_group *grp, const struct merge_clock *clock,
		 struct record_builder *delta, struct merge_outcome *out)
{
	bool has_values = false, expired_values = false, anything = false;
	struct record_stamp stamp;

	*out = (struct merge_outcome){ .newest_event_ns = INT64_MIN };
	record_builder_reset(delta, row->flags & RECORD_EXISTS);
	for (unsigned i = 0; i < row->cells; i++) {
		const struct catalog_feature *feature;
		struct record_cell cell;
		bool is_value, goes;

		record_cell(row, i, &cell);
		record_stamp(row, cell.stamp, &stamp);
		feature = catalog_feature_at(grp, cell.slot);
		is_value = cell.state == RECORD_PRESENT || cell.state == RECORD_NULL;
		if (!feature || feature->retired) {
			goes = true;
		} else if (is_value) {
			goes = grp->ttl_ns && is_past(stamp.event_ns, grp->ttl_ns, clock->now_ns);
			expired_values = expired_values || goes;
			has_values = has_values || !goes;
		} else {
			goes = is_past(stamp.ingest_ns, clock->tombstone_ns, clock->now_ns);
		}
		if (!goes)
			continue;
		merge_take_away(delta, cell.slot, clock);
		out->swept += is_value;
		anything = true;
	}
	if (expired_values && !has_values)
		delta->flags &= ~RECORD_EXISTS;
	if (record_tomb(row, &stamp) && is_past(stamp.ingest_ns, clock->tombstone_ns, clock->now_ns)) {
		delta->flags |= RECORD_UNTOMB;
		anything = true;
	}
	return anything;
}
