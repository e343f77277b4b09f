/* SPDX-License-Identifier: MIT */
/*
 * The load's thread judges: a chunk of rows against a snapshot, in step with what stands; and what another lane has touched since, once more.
 * Judging costs the other lanes nothing, for the leader only appends what was decided here.
 * Its price: what changes between the snapshot and the commit must be judged anew there (load_commit.c).
 *
 * A chunk is as large as its commit takes COMMIT_NS, so that a direct write waits for no more than that. While one is being committed the next one
 * is gathered and judged. Between two the load waits for the disk (store_pace), which nobody else should find behind.
 */
#include "ingest/loading.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

enum {
	COMMIT_NS = 4000000,
	CHUNK_MIN = 16 << 10, CHUNK_MAX = 1 << 20,	/* bytes */
	VISIT_MAX = 8192,		/* rows that a part looks at and the load does not have */
	TOUCHED_MANY = 8 << 20,		/* bytes of touched rows that are not left until the end */
	AGAIN_ROWS = 512,		/* rows judged anew in one commit */
};

/* ---- parts ---- */

void loading_wait(struct ingest_load *load, struct part *part)
{
	pthread_mutex_lock(&load->lock);
	while (part->is_busy)
		pthread_cond_wait(&load->ended, &load->lock);
	pthread_mutex_unlock(&load->lock);
}

/* More or less in a chunk, by what the last commit took. */
static void adapt(struct ingest_load *load, const struct part *part)
{
	size_t bytes = load->chunk_bytes;

	if (part->took_ns > COMMIT_NS)
		bytes = bytes * 2 / 3;
	else if (part->took_ns < COMMIT_NS / 2)
		bytes = bytes * 4 / 3;
	load->chunk_bytes = bytes < CHUNK_MIN ? CHUNK_MIN : bytes > CHUNK_MAX ? CHUNK_MAX : bytes;
}

/* Waits for a part's commit, and passes on its failure. */
int loading_settle(struct ingest_load *load, struct part *part, struct why *why)
{
	if (!part->load)
		return 0;
	loading_wait(load, part);
	part->load = NULL;
	if (part->rc < 0)
		return why_fail(why, -part->rc, "%s", part->why.text);
	adapt(load, part);
	return 0;
}

static int submit_part(struct ingest *ingest, struct part *part, struct why *why)
{
	int rc;

	part->work = (struct work){ .apply = loading_apply_part, .done = loading_part_done };
	part->is_busy = true;
	rc = work_submit(ingest, &part->work);
	if (rc < 0) {
		atomic_fetch_sub(&part->load->judging, 1);
		part->load = NULL;
		part->is_busy = false;
		return loading_fail_stopped(why);
	}
	return 0;
}

/* ---- judging ---- */

int loading_open_view(struct ingest *ingest, struct ingest_load *load, struct standing *out, const struct catalog_group **out_grp, struct why *why)
{
	int rc;

	*out = (struct standing){ 0 };
	rc = load_view(ingest, &out->snap, &out->cat);
	if (rc < 0)
		return why_fail(why, -rc, "no snapshot of the map: %s", strerror(-rc));
	rc = loading_check_group(load, out->cat, why);
	if (rc < 0)
		return rc;
	*out_grp = catalog_find_id(out->cat, load->grp->id);
	return 0;
}

int loading_open_standing(struct ingest *ingest, struct ingest_load *load, struct slice after, struct standing *out, struct why *why)
{
	const struct catalog_group *grp;
	int rc = loading_open_view(ingest, load, out, &grp, why);

	if (rc < 0)
		return rc;
	rc = load_standing_rows(out->snap, grp->id, &out->rows);
	out->at_end = rc == 0 && out->rows == 0;
	if (rc == 0 && !out->at_end)
		rc = store_walk_rows_over(out->snap, grp->rows, grp->overlay, after, &out->walk);
	return rc < 0 ? why_fail(why, -rc, "the group's rows can't be read: %s", strerror(-rc)) : 0;
}

void loading_close_standing(struct standing *st)
{
	store_walk_end(st->walk);
	store_snap_end(st->snap);
	catalog_unref(st->cat);
}

int loading_take_standing(struct standing *st, int rc)
{
	st->has = rc == 0;
	st->at_end = rc == -ENOENT;
	return st->at_end ? 0 : rc;
}

/* What stands for the entity; nothing is the empty row. */
static int find_standing(struct standing *st, struct slice entity, struct slice *out)
{
	int rc = 0;

	*out = slice_of(NULL, 0);
	if (!st->at_end && (!st->has || slice_compare(st->key, entity) < 0))
		rc = loading_take_standing(st, store_walk_seek(st->walk, entity, &st->key, &st->row));
	if (rc == 0 && st->has && slice_equal(st->key, entity))
		*out = st->row;
	return rc;
}

static struct slice item_entity(const struct chunk *chunk, const struct item *item)
{
	return slice_of(chunk->given.data + item->entity_at, item->entity_len);
}

static struct slice item_record(const struct chunk *chunk, const struct item *item)
{
	return slice_of(chunk->given.data + item->record_at, item->end - item->record_at);
}

int loading_tell_refused(struct ingest_load *load, struct slice entity, struct slice record, int rc, const struct why *why)
{
	struct record_stamp stamp = { 0 };
	struct record rec;

	if (!load->options.refused)
		return 0;
	if (record_view(record, &rec) == 0)
		record_stamp(&rec, 0, &stamp);
	return load->options.refused(load->options.arg, entity, stamp.origin, rc, why);
}

static bool ends_load(int rc)
{
	return rc == -ENOMEM || rc == -EUCLEAN;
}

/* Begins to choose what is written: all before the item is, as given. */
static void choose(struct chunk *chunk, const struct item *item, size_t from_at, bool *chooses)
{
	if (*chooses)
		return;
	*chooses = true;
	buf_append(&chunk->sets, chunk->given.data + from_at, item->at - from_at);
}

static int judge_item(struct ingest_load *load, struct chunk *chunk, const struct item *item, size_t from_at, struct slice base,
		      bool *chooses, struct why *why)
{
	struct slice entity = item_entity(chunk, item), in = item_record(chunk, item);
	struct verdict verdict;
	int rc;

	why->text[0] = '\0';
	rc = judge_row(&load->judge, entity, base, &in, &verdict, &load->row, &load->late, why);
	if (rc < 0 && ends_load(rc))
		return rc;
	if (rc < 0) {
		chunk->part.tally.figures.refused++;
		rc = loading_tell_refused(load, entity, in, rc, why);
		if (rc < 0)
			return rc;
	}
	if (!verdict.writes || !verdict.as_given)
		choose(chunk, item, from_at, chooses);
	if (verdict.writes && verdict.as_given && *chooses)
		buf_append(&chunk->sets, chunk->given.data + item->at, item->end - item->at);
	else if (verdict.writes && !verdict.as_given)
		store_set_append(&chunk->sets, load->shadow, entity, buf_slice(&load->row));
	if (verdict.has_late)
		store_set_append(&chunk->lates, load->shadow, entity, buf_slice(&load->late));
	loading_count(&chunk->part.tally, &verdict, entity, base, verdict.as_given ? in : buf_slice(&load->row));
	return 0;
}

static int judge_absent(struct ingest_load *load, struct chunk *chunk, struct slice entity, struct slice base, struct why *why)
{
	struct verdict verdict;
	int rc = judge_row(&load->judge, entity, base, NULL, &verdict, &load->row, &load->late, why);

	if (rc < 0)
		return rc;
	if (verdict.writes)
		store_set_append(&chunk->sets, load->shadow, entity, buf_slice(&load->row));
	loading_count(&chunk->part.tally, &verdict, entity, base, buf_slice(&load->row));
	return 0;
}

/* SNAPSHOT: the rows that stand before `upto` (NULL: all) and are not in the load. 1: there are too many for this part, which ends
 * with chunk->last. */
static int judge_gap(struct ingest_load *load, struct chunk *chunk, struct standing *st, const struct slice *upto, unsigned *visits,
		     struct why *why)
{
	while (!st->at_end) {
		int rc = st->has ? 0 : loading_take_standing(st, store_walk_next(st->walk, &st->key, &st->row));

		if (rc < 0)
			return rc;
		if (st->at_end || (upto && slice_compare(st->key, *upto) >= 0))
			return 0;
		rc = judge_absent(load, chunk, st->key, st->row, why);
		if (rc < 0)
			return rc;
		st->has = false;
		if (++*visits < VISIT_MAX && chunk->sets.len < load->chunk_bytes)
			continue;
		buf_reset(&chunk->last);
		buf_append_slice(&chunk->last, st->key);
		return buf_error(&chunk->last) < 0 ? -ENOMEM : 1;
	}
	return 0;
}

/* Judges the chunk's items from part->from on. 1: the part ends before they do. */
static int judge_items(struct ingest_load *load, struct chunk *chunk, struct standing *st, bool is_tail, struct why *why)
{
	const struct item *items = (const struct item *)chunk->items.data;
	size_t n = chunk->items.len / sizeof *items;
	bool chooses = load->options.mode == INGEST_LOAD_SNAPSHOT;
	struct part *part = &chunk->part;
	unsigned visits = 0;
	int rc = 0;

	for (part->to = part->from; rc == 0 && part->to < n; part->to++) {
		const struct item *item = &items[part->to];
		struct slice entity = item_entity(chunk, item), base;

		if (load->options.mode == INGEST_LOAD_SNAPSHOT)
			rc = judge_gap(load, chunk, st, &entity, &visits, why);
		if (rc == 0)
			rc = find_standing(st, entity, &base);
		if (rc == 0)
			rc = judge_item(load, chunk, item, items[part->from].at, base, &chooses, why);
		if (rc != 0)
			break;
		if (st->has && slice_equal(st->key, entity))
			st->has = false;
	}
	if (rc == 0 && is_tail && load->options.mode == INGEST_LOAD_SNAPSHOT)
		rc = judge_gap(load, chunk, st, NULL, &visits, why);
	if (rc < 0)
		return rc;
	if (buf_error(&chunk->sets) < 0 || buf_error(&chunk->lates) < 0)
		return -ENOMEM;
	part->to_end = rc == 0 && is_tail;
	if (rc == 0 && n)
		part->last = item_entity(chunk, &items[n - 1]);
	else if (rc == 1)
		part->last = buf_slice(&chunk->last);
	if (chooses)
		part->sets = buf_slice(&chunk->sets);
	else if (part->to > part->from)
		part->sets = slice_of(chunk->given.data + items[part->from].at, items[part->to - 1].end - items[part->from].at);
	return rc;
}

static int judge_part(struct ingest *ingest, struct ingest_load *load, struct chunk *chunk, bool is_tail, struct why *why)
{
	struct standing st;
	int rc;

	chunk->part = (struct part){ .load = load, .chunk = chunk, .from = chunk->part.to, .tally = { .newest_event_ns = INT64_MIN } };
	buf_reset(&chunk->sets);
	buf_reset(&chunk->lates);
	/* Before the snapshot, so that the leader remembers each change that the snapshot can't see. */
	atomic_fetch_add(&load->judging, 1);
	rc = loading_open_standing(ingest, load, load->options.mode == INGEST_LOAD_SNAPSHOT ? buf_slice(&load->judged) : slice_of(NULL, 0), &st,
			   why);
	if (rc == 0)
		rc = store_snap_seq(st.snap, &chunk->part.seq);
	if (rc == 0)
		rc = judge_items(load, chunk, &st, is_tail, why);
	loading_close_standing(&st);
	if (rc < 0) {
		atomic_fetch_sub(&load->judging, 1);
		return why->text[0] ? rc : why_fail(why, -rc, "%s", strerror(-rc));
	}
	buf_reset(&load->judged);
	buf_append_slice(&load->judged, chunk->part.last);
	if (buf_error(&load->judged) < 0) {
		atomic_fetch_sub(&load->judging, 1);
		return -ENOMEM;
	}
	return rc;
}

/* A load that writes nothing: only what was judged counts. */
static void take_dry(struct ingest_load *load, const struct part *part)
{
	atomic_fetch_sub(&load->judging, 1);
	loading_add(&load->total, &part->tally);
	pthread_mutex_lock(&load->lock);
	load->figures = load->total.figures;
	pthread_mutex_unlock(&load->lock);
}

/* ---- judging anew ---- */

struct taking {
	struct buf names;		/* lengths and bytes */
	size_t n, limit;
};

static void take_name(const void *node, VISIT visit, void *arg)
{
	const struct touch *touch = *(struct touch *const *)node;
	struct taking *taking = arg;

	if ((visit != postorder && visit != leaf) || taking->n == taking->limit)
		return;
	taking->n++;
	buf_append_u32(&taking->names, (uint32_t)touch->entity_len);
	buf_append(&taking->names, touch->bytes, touch->entity_len);
}

struct extents {
	size_t entity_at, entity_len, row_at, row_len;
	bool has_row;
};

/* Asks for the rows of the names, and has the leader judge them. */
static int judge_names(struct ingest *ingest, struct ingest_load *load, struct taking *taking, struct why *why)
{
	struct rejudge rejudge = { .work = { .apply = loading_apply_again, .done = loading_again_done }, .load = load, .n = taking->n };
	struct extents *ext = calloc(taking->n, sizeof *ext);
	struct again *list = calloc(taking->n, sizeof *list);
	struct slice *rows = calloc(taking->n, sizeof *rows);
	struct buf bytes = { 0 };
	size_t at = 0;
	int rc = ext && list && rows ? 0 : -ENOMEM;

	for (size_t i = 0; rc == 0 && i < taking->n; i++) {
		uint32_t len;

		memcpy(&len, taking->names.data + at, sizeof len);
		list[i].entity = slice_of(taking->names.data + at + sizeof len, len);
		at += sizeof len + len;
		ext[i].row_at = bytes.len;
		rc = loading_find(load, list[i].entity, &bytes);
		ext[i].has_row = rc == 0;
		ext[i].row_len = bytes.len - ext[i].row_at;
		rc = rc == -ENOENT ? 0 : rc;
	}
	for (size_t i = 0; rc == 0 && i < taking->n; i++) {
		rows[i] = slice_of(bytes.data + ext[i].row_at, ext[i].row_len);
		list[i].in = ext[i].has_row ? &rows[i] : NULL;
	}
	rejudge.list = list;
	rc = rc < 0 ? why_fail(why, -rc, "a row of the load can't be read again: %s", strerror(-rc))
		    : work_run(ingest, &rejudge.work, why);
	buf_release(&bytes);
	free(ext);
	free(list);
	free(rows);
	return rc;
}

/* Judges touched rows anew until few are left. */
int loading_judge_touched(struct ingest *ingest, struct ingest_load *load, size_t few, struct why *why)
{
	int rc = 0;

	while (rc == 0) {
		struct taking taking = { .limit = AGAIN_ROWS };

		pthread_mutex_lock(&load->lock);
		if (load->n_touched > few)
			twalk_r(load->touched, take_name, &taking);
		pthread_mutex_unlock(&load->lock);
		if (taking.n == 0)
			break;
		rc = buf_error(&taking.names);
		if (rc == 0)
			rc = judge_names(ingest, load, &taking, why);
		buf_release(&taking.names);
	}
	return rc;
}

/* ---- chunk after chunk ---- */

/* Judges and hands over what the chunk in hand has; goes on with the other one. */
int loading_flush(struct ingest *ingest, struct ingest_load *load, bool is_tail, struct why *why)
{
	struct chunk *chunk = &load->chunks[load->filling], *other = &load->chunks[!load->filling];
	size_t touched_bytes;
	int rc = 1;

	chunk->part.to = 0;
	while (rc == 1) {
		int more = judge_part(ingest, load, chunk, is_tail, why);

		rc = more < 0 ? more : loading_settle(load, &other->part, why);
		if (more >= 0 && rc < 0)
			atomic_fetch_sub(&load->judging, 1);
		if (rc < 0)
			break;
		if (load->options.dry_run)
			take_dry(load, &chunk->part);
		else
			rc = submit_part(ingest, &chunk->part, why);
		if (load->options.dry_run)
			chunk->part.load = NULL;
		if (rc == 0 && more == 1 && !load->options.dry_run)
			rc = loading_settle(load, &chunk->part, why);
		if (rc == 0)
			rc = more;
	}
	if (rc < 0)
		return rc;
	load->filling = !load->filling;
	buf_reset(&other->given);
	buf_reset(&other->items);
	if (load->options.dry_run)
		return 0;
	rc = store_pace(ingest->store);
	if (rc < 0)
		return why_fail(why, -rc, "the change log can't be written: %s", strerror(-rc));
	pthread_mutex_lock(&load->lock);
	touched_bytes = load->touched_bytes;
	rc = load->trouble;
	pthread_mutex_unlock(&load->lock);
	if (rc < 0)
		return why_fail(why, -rc, rc == -ENOBUFS ? "the other lanes change the group faster than the load can follow" : "no memory");
	return touched_bytes > TOUCHED_MANY ? loading_judge_touched(ingest, load, 0, why) : 0;
}
