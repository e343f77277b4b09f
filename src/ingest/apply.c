/* SPDX-License-Identifier: MIT */
/*
 * One change of a row, inside of a commit: read what stands, check the change against the group, let the order rule judge, write the
 * winners as one delta and the losers as late. Everything that can refuse the change is asked before the first byte is written, so a request of
 * one change needs no savepoint.
 */
#include "ingest/private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "base/text.h"
#include "ingest/check.h"

struct catalog_stats *commit_stats(struct commit *commit, uint32_t group_id, int *rc)
{
	struct touched_stats *list = (struct touched_stats *)commit->stats.data, fresh = { .group_id = group_id };
	size_t n = commit->stats.len / sizeof *list;
	struct slice bytes = slice_of(NULL, 0);
	uint8_t key[4];

	for (size_t i = 0; i < n; i++)
		if (list[i].group_id == group_id)
			return &list[i].stats;
	key_of_number(group_id, key);
	*rc = store_batch_get(commit->batch, STORE_STATS, slice_of(key, sizeof key), &bytes);
	if (*rc == 0 || *rc == -ENOENT)
		*rc = catalog_stats_decode(bytes, &fresh.stats);
	if (*rc < 0)
		return NULL;
	buf_append(&commit->stats, &fresh, sizeof fresh);
	*rc = buf_error(&commit->stats);
	return *rc < 0 ? NULL : &((struct touched_stats *)commit->stats.data)[n].stats;
}

static void note_reject(struct ingest *ingest, const struct ingest_request *req, const struct change *chg, const struct catalog_group *grp,
			int slot, int rc, const struct why *why)
{
	const struct catalog_feature *feature = grp && slot >= 0 ? catalog_feature_at(grp, (uint16_t)slot) : NULL;
	char place[sizeof req->who + 32];
	struct why detail = *why;
	struct reject rej = {
		.time_ns = ingest->commit.clock.now_ns,
		.group_id = chg->group_id,
		.lane = req->stamp.lane,
		.reason = reject_reason_of(-rc),
		.err = -rc,
		.who = req->who,
		.entity = extent_slice(req, chg->name),
		.feature = slice_str(feature ? feature->name : ""),
		.detail = detail.text,
	};

	if (req->stamp.lane == RECORD_LANE_STREAM) {
		snprintf(place, sizeof place, "%s/%llu/%llu", req->who, (unsigned long long)(chg->origin >> 48),
			 (unsigned long long)(chg->origin & ((UINT64_C(1) << 48) - 1)));
		rej.who = place;
	}
	if (chg->line)
		why_prefix(&detail, "line %u", chg->line);
	if (rc == -EINVAL && slot < 0)
		rej.reason = REJECT_bad_row;
	reject_log_add(ingest->rejects, &rej);
}

int commit_remember_changed(struct commit *commit, const struct ingest_changed *item)
{
	buf_append(&commit->changed, item, sizeof *item);
	return buf_error(&commit->changed);
}

/* `delta` is what becomes of the entity, which `was` there before and `is` there afterwards. */
static int remember_changed(struct commit *commit, uint32_t group_id, struct slice entity, const struct record *delta, bool was, bool is)
{
	struct ingest_changed item = {
		.group_id = group_id,
		.entity = slice_of((const void *)commit->names.len, entity.len),
		.slots = (const void *)(commit->slots.len / sizeof(uint16_t)),
		.n_slots = delta->cells,
		.is_whole = delta->flags & RECORD_TOMB,
		.is_gone = was && !is,
	};

	for (unsigned i = 0; i < delta->cells; i++) {
		struct record_cell cell;

		record_cell(delta, i, &cell);
		buf_append(&commit->slots, &cell.slot, sizeof cell.slot);
	}
	buf_append_slice(&commit->names, entity);
	return buf_error(&commit->names) < 0 || buf_error(&commit->slots) < 0 ? -ENOMEM : commit_remember_changed(commit, &item);
}

struct row_weight row_weigh(struct slice row, struct slice entity)
{
	struct record rec;

	if (row.len == 0 || record_view(row, &rec) < 0)
		return (struct row_weight){ 0 };
	return (struct row_weight){ record_exists(&rec), 1, (int64_t)(row.len + entity.len) };
}

/* Writes a delta and keeps the group's counters. `row` is what stands, borrowed from the batch until the write. */
static int write_delta(struct ingest *ingest, const struct ingest_request *req, const struct catalog_group *grp, uint32_t rows,
		       struct slice entity, struct slice row, const struct record *rec, const struct merge_outcome *outcome)
{
	struct commit *commit = &ingest->commit;
	struct row_weight before = row_weigh(row, entity), after;
	struct catalog_stats *stats;
	struct slice over;
	struct record delta;
	int rc;

	buf_reset(&commit->delta_bytes);
	buf_reset(&commit->row_bytes);
	rc = record_builder_finish(&commit->delta, &commit->delta_bytes);
	if (rc == 0)
		rc = record_view(buf_slice(&commit->delta_bytes), &delta);
	if (rc == 0)
		rc = record_apply(rec, &delta, &commit->row_bytes);
	if (rc == 0 && commit->row_bytes.len > ROW_MAX)
		rc = -EFBIG;
	if (rc < 0)
		return rc;
	after = row_weigh(buf_slice(&commit->row_bytes), entity);
	if (grp) {
		stats = commit_stats(commit, grp->id, &rc);
		if (!stats)
			return rc;
		stats->entities += (uint64_t)(after.entities - before.entities);
		stats->rows += (uint64_t)(after.rows - before.rows);
		stats->row_bytes += (uint64_t)(after.bytes - before.bytes);
		stats->applied[req->stamp.lane - 1] += outcome->applied;
		stats->swept += outcome->swept;
		if (outcome->newest_event_ns > stats->newest_event_ns)
			stats->newest_event_ns = outcome->newest_event_ns;
		rc = remember_changed(commit, grp->id, entity, &delta, before.entities, after.entities);
		if (rc == 0 && ingest->active)
			rc = load_touch(ingest, grp->id, entity, row);
		/* What stands in the overlay is the row: it comes down first, so that the delta meets it. */
		if (rc == 0 && grp->overlay && store_batch_get_row(commit->batch, grp->overlay, entity, &over) == 0)
			rc = store_batch_fold(commit->batch, grp->overlay, rows, entity, entity);
		if (rc < 0)
			return rc;
	}
	return store_batch_row_as(commit->batch, rows, entity, buf_slice(&commit->delta_bytes), buf_slice(&commit->row_bytes));
}

static int write_late(struct ingest *ingest, const struct ingest_request *req, const struct catalog_group *grp, struct slice entity,
		      unsigned late)
{
	struct commit *commit = &ingest->commit;
	struct catalog_stats *stats;
	int rc;

	buf_reset(&commit->late_bytes);
	rc = record_builder_finish(&commit->late, &commit->late_bytes);
	if (rc < 0)
		return rc;
	stats = commit_stats(commit, grp->id, &rc);
	if (!stats)
		return rc;
	stats->late[req->stamp.lane - 1] += late;
	return store_batch_late(commit->batch, grp->rows, entity, buf_slice(&commit->late_bytes));
}

struct standing_row {
	const struct catalog_group *grp;
	struct slice entity, bytes;
	struct record rec;
};

static int read_standing(struct ingest *ingest, const struct ingest_request *req, const struct change *chg, struct standing_row *out,
			 struct why *why)
{
	int rc;

	out->entity = extent_slice(req, chg->name);
	out->grp = chg->group_id == CATALOG_ROOT_ID ? NULL : catalog_find_id(ingest->commit.cat, chg->group_id);
	if (!out->grp || out->grp->view)
		return why_fail(why, ENOENT, "the group was removed meanwhile");
	rc = store_batch_get_row_over(ingest->commit.batch, out->grp->rows, out->grp->overlay, out->entity, &out->bytes);
	if (rc == -ENOENT)
		out->bytes = slice_of(NULL, 0);
	else if (rc < 0)
		return rc;
	rc = record_view(out->bytes, &out->rec);
	if (rc < 0)
		return why_fail(why, EUCLEAN, "the row is damaged: run `featurectl verify`");
	if ((chg->flags & INGEST_GUARD) && ingest_fingerprint(out->bytes) != chg->guard)
		return -EAGAIN;
	return 0;
}

static bool only_deletes(const struct record *rec)
{
	struct record_cell cell;

	for (unsigned i = 0; i < rec->cells; i++) {
		record_cell(rec, i, &cell);
		if (cell.state != RECORD_DELETED)
			return false;
	}
	return rec->cells > 0;
}

int say_no_room(struct why *why)
{
	return why_fail(why, ENOSPC, "the map or the disk is full: delete something, raise store.map_size, or free the disk");
}

int fail_no_room(struct commit *commit, struct why *why)
{
	commit->refused_for_room = true;
	return say_no_room(why);
}

static int apply_put(struct ingest *ingest, const struct ingest_request *req, const struct change *chg, struct ingest_result *result,
		     struct why *why)
{
	struct commit *commit = &ingest->commit;
	struct merge_outcome outcome;
	struct standing_row st;
	struct record in;
	uint16_t slot = 0;
	int rc, at_fault = -1;

	rc = read_standing(ingest, req, chg, &st, why);
	if (rc == -EAGAIN)
		return rc;
	if (rc == 0)
		rc = text_check_entity(st.entity, st.grp->n_keys, why);
	if (rc == 0)
		rc = record_view(extent_slice(req, chg->data), &in);
	if (rc == 0 && commit->no_room && !only_deletes(&in))
		rc = fail_no_room(commit, why);
	if (rc == 0) {
		rc = check_record(&in, st.grp, &slot, why);
		at_fault = rc < 0 ? slot : -1;
	}
	if (rc == 0) {
		rc = merge_put(&st.rec, &in, st.grp, chg->flags, &commit->clock, &commit->delta, &commit->late, &outcome, why);
		at_fault = rc < 0 ? outcome.fault_slot : -1;
	}
	if (rc == 0 && (outcome.applied || (in.cells == 0 && !record_exists(&st.rec))))
		rc = write_delta(ingest, req, st.grp, st.grp->rows, st.entity, st.bytes, &st.rec, &outcome);
	if (rc == 0 && outcome.late)
		rc = write_late(ingest, req, st.grp, st.entity, outcome.late);
	if (rc == -EFBIG && !why->text[0])
		why_fail(why, EFBIG, "the row would have more than %d bytes", ROW_MAX);
	if (rc < 0) {
		note_reject(ingest, req, chg, st.grp, at_fault, rc, why);
		return rc;
	}
	result->applied += outcome.applied;
	result->late += outcome.late;
	return 0;
}

static int apply_delete_entity(struct ingest *ingest, const struct ingest_request *req, const struct change *chg,
			       struct ingest_result *result, struct why *why)
{
	struct commit *commit = &ingest->commit;
	struct record_stamp stamp = req->stamp;
	struct merge_outcome outcome;
	struct catalog_stats *stats;
	struct standing_row st;
	int rc = read_standing(ingest, req, chg, &st, why);

	if (rc < 0)
		return rc;
	rc = text_check_entity(st.entity, st.grp->n_keys, why);
	stamp.event_ns = chg->event_ns;
	stamp.origin = chg->origin;
	if (rc == 0)
		rc = merge_delete_entity(&st.rec, &stamp, chg->flags, &commit->clock, &commit->delta, &outcome, why);
	if (rc < 0) {
		note_reject(ingest, req, chg, st.grp, -1, rc, why);
		return rc;
	}
	result->applied += outcome.applied;
	result->late += outcome.late;
	if (outcome.late) {
		stats = commit_stats(commit, st.grp->id, &rc);
		if (stats)
			stats->late[req->stamp.lane - 1] += outcome.late;
		return rc;
	}
	return write_delta(ingest, req, st.grp, st.grp->rows, st.entity, st.bytes, &st.rec, &outcome);
}

static int apply_make_entity(struct ingest *ingest, const struct ingest_request *req, const struct change *chg, struct why *why)
{
	struct merge_outcome outcome = { .newest_event_ns = INT64_MIN };
	struct standing_row st;
	int rc = read_standing(ingest, req, chg, &st, why);

	if (rc < 0)
		return rc;
	rc = text_check_entity(st.entity, st.grp->n_keys, why);
	if (rc == 0 && ingest->commit.no_room)
		rc = fail_no_room(&ingest->commit, why);
	if (rc < 0) {
		note_reject(ingest, req, chg, st.grp, -1, rc, why);
		return rc;
	}
	if (record_exists(&st.rec))
		return -EEXIST;
	record_builder_reset(&ingest->commit.delta, RECORD_EXISTS);
	return write_delta(ingest, req, st.grp, st.grp->rows, st.entity, st.bytes, &st.rec, &outcome);
}

static bool has_live_value(const struct record *rec, const struct catalog_group *grp, int64_t now_ns)
{
	for (unsigned i = 0; i < rec->cells; i++) {
		const struct catalog_feature *feature;
		struct record_stamp stamp;
		struct record_cell cell;
		int64_t end_ns;

		record_cell(rec, i, &cell);
		feature = catalog_feature_at(grp, cell.slot);
		if (!feature || feature->retired || cell.state == RECORD_DELETED)
			continue;
		record_stamp(rec, cell.stamp, &stamp);
		if (grp->ttl_ns && !__builtin_add_overflow(stamp.event_ns, grp->ttl_ns, &end_ns) && end_ns <= now_ns)
			continue;
		return true;
	}
	return false;
}

/* What has expired is gone for every reader already, so rmdir takes it with it instead of waiting for the sweep. */
static int apply_remove_entity(struct ingest *ingest, const struct ingest_request *req, const struct change *chg, struct why *why)
{
	struct commit *commit = &ingest->commit;
	struct merge_outcome outcome = { .newest_event_ns = INT64_MIN };
	struct standing_row st;
	int rc = read_standing(ingest, req, chg, &st, why);

	if (rc < 0)
		return rc;
	if (!record_exists(&st.rec))
		return -ENOENT;
	if (has_live_value(&st.rec, st.grp, commit->clock.now_ns))
		return -ENOTEMPTY;
	record_builder_reset(&commit->delta, 0);
	for (unsigned i = 0; i < st.rec.cells; i++) {
		struct record_cell cell;

		record_cell(&st.rec, i, &cell);
		if (cell.state != RECORD_DELETED)
			merge_take_away(&commit->delta, cell.slot, &commit->clock);
	}
	return write_delta(ingest, req, st.grp, st.grp->rows, st.entity, st.bytes, &st.rec, &outcome);
}

static int apply_sweep(struct ingest *ingest, const struct ingest_request *req, const struct change *chg, struct ingest_result *result,
		       struct why *why)
{
	struct commit *commit = &ingest->commit;
	struct merge_outcome outcome;
	struct standing_row st;
	int rc = read_standing(ingest, req, chg, &st, why);

	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	if (!merge_sweep(&st.rec, st.grp, &commit->clock, &commit->delta, &outcome))
		return 0;
	result->applied += outcome.swept;
	return write_delta(ingest, req, st.grp, st.grp->rows, st.entity, st.bytes, &st.rec, &outcome);
}

/* A row of a group that is no more: taken away whole, tombstones and all. */
static int apply_drop_row(struct ingest *ingest, const struct ingest_request *req, const struct change *chg)
{
	struct commit *commit = &ingest->commit;
	struct merge_outcome outcome = { .newest_event_ns = INT64_MIN };
	struct slice entity = extent_slice(req, chg->name), bytes;
	struct record rec;
	int rc = store_batch_get_row(commit->batch, chg->group_id, entity, &bytes);

	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	rc = record_view(bytes, &rec);
	if (rc < 0)
		return rc;
	record_builder_reset(&commit->delta, RECORD_UNTOMB);
	for (unsigned i = 0; i < rec.cells; i++) {
		struct record_cell cell;

		record_cell(&rec, i, &cell);
		merge_take_away(&commit->delta, cell.slot, &commit->clock);
	}
	return write_delta(ingest, req, NULL, chg->group_id, entity, bytes, &rec, &outcome);
}

int apply_row_change(struct ingest *ingest, struct ingest_request *req, const struct change *chg, struct ingest_result *result,
		     struct why *why)
{
	switch (chg->kind) {
	case CHANGE_ROW:
		return apply_put(ingest, req, chg, result, why);
	case CHANGE_DELETE_ENTITY:
		return apply_delete_entity(ingest, req, chg, result, why);
	case CHANGE_MAKE_ENTITY:
		return apply_make_entity(ingest, req, chg, why);
	case CHANGE_REMOVE_ENTITY:
		return apply_remove_entity(ingest, req, chg, why);
	case CHANGE_SWEEP:
		return apply_sweep(ingest, req, chg, result, why);
	case CHANGE_DROP_ROW:
		return apply_drop_row(ingest, req, chg);
	default:
		return -ENOSYS;
	}
}
