/* SPDX-License-Identifier: MIT */
/*
 * The load's own side: gathers rows into chunks, judges a chunk against a snapshot, and hands it to the leader while it gathers the next one.
 * So judging costs the other lanes nothing, and a commit only appends what was decided. Its price: what another lane changed between
 * the snapshot and the commit must be judged anew there (load_commit.c).
 *
 * A chunk is as large as its commit takes COMMIT_NS, so that a direct write waits for no more than that. Between two chunks the load waits for
 * the disk (store_pace), which nobody else should find behind.
 */
#include "ingest/loading.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/text.h"

enum {
	COMMIT_NS = 4000000,
	CHUNK_FIRST = 256 << 10, CHUNK_MIN = 16 << 10, CHUNK_MAX = 2 << 20,	/* bytes */
	VISIT_MAX = 8192,		/* rows that a part looks at and the load does not have */
	TOUCHED_MANY = 8 << 20,		/* bytes of touched rows that are not left until the end */
	AGAIN_ROWS = 512,		/* rows judged anew in one commit */
	AGAIN_LAST = 128,		/* the same in the commit that publishes, at first */
	AGAIN_MAX = 4096,
};

/* Guards which calls are under way, of all loads: taken once a chunk. Nothing is called with it held. */
static pthread_mutex_t calls_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t calls_ended = PTHREAD_COND_INITIALIZER;

/* ---- calls, and the end of ingest ---- */

static struct ingest *enter(struct ingest_load *load)
{
	struct ingest *ingest;

	pthread_mutex_lock(&calls_lock);
	ingest = load->ingest && !load->ingest->closing ? load->ingest : NULL;
	load->in_call = ingest != NULL;
	pthread_mutex_unlock(&calls_lock);
	return ingest;
}

static void leave(struct ingest_load *load)
{
	pthread_mutex_lock(&calls_lock);
	load->in_call = false;
	pthread_cond_broadcast(&calls_ended);
	pthread_mutex_unlock(&calls_lock);
}

static int fail_stopped(struct why *why)
{
	return why_fail(why, ESHUTDOWN, "the store is being closed");
}

static bool enlist(struct ingest *ingest, struct ingest_load *load)
{
	bool takes;

	pthread_mutex_lock(&calls_lock);
	takes = !ingest->closing;
	if (takes) {
		load->ingest = ingest;
		load->in_call = true;
		load->next = ingest->open;
		ingest->open = load;
	}
	pthread_mutex_unlock(&calls_lock);
	return takes;
}

static void delist(struct ingest_load *load)
{
	pthread_mutex_lock(&calls_lock);
	for (struct ingest_load **link = &load->ingest->open; *link; link = &(*link)->next)
		if (*link == load) {
			*link = load->next;
			break;
		}
	load->ingest = NULL;
	load->in_call = false;
	pthread_cond_broadcast(&calls_ended);
	pthread_mutex_unlock(&calls_lock);
}

void load_stop(struct ingest *ingest)
{
	struct ingest_load *load;

	pthread_mutex_lock(&calls_lock);
	ingest->closing = true;
	while ((load = ingest->open)) {
		if (load->in_call) {
			pthread_cond_wait(&calls_ended, &calls_lock);
			continue;
		}
		ingest->open = load->next;
		load->ingest = NULL;
	}
	pthread_mutex_unlock(&calls_lock);
}

int load_view(struct ingest *ingest, struct store_snap **out_snap, const struct catalog **out_cat)
{
	for (;;) {
		uint64_t number;
		struct catalog *cat = catalog_current_get(ingest->cur, &number);
		struct store_snap *snap;
		int rc = store_snap_begin(ingest->store, &snap);

		if (rc < 0) {
			catalog_unref(cat);
			return rc;
		}
		if (catalog_current_is(ingest->cur, number)) {
			*out_snap = snap;
			*out_cat = cat;
			return 0;
		}
		store_snap_end(snap);
		catalog_unref(cat);
	}
}

/* ---- parts ---- */

static void wait_for_part(struct ingest_load *load, struct part *part)
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
static int settle_part(struct ingest_load *load, struct part *part, struct why *why)
{
	if (!part->load)
		return 0;
	wait_for_part(load, part);
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
		return fail_stopped(why);
	}
	return 0;
}

/* ---- judging ---- */

/* The rows that stand, in step with those of the load. */
struct standing {
	struct store_snap *snap;
	const struct catalog *cat;
	struct store_walk *walk;	/* NULL: the group is empty */
	bool has, at_end;
	struct slice key, row;
};

static int open_standing(struct ingest *ingest, struct ingest_load *load, struct standing *out, struct why *why)
{
	uint8_t key[4];
	struct slice bytes = slice_of(NULL, 0);
	struct catalog_stats stats = { 0 };
	const struct catalog_group *grp;
	int rc;

	*out = (struct standing){ 0 };
	rc = load_view(ingest, &out->snap, &out->cat);
	if (rc < 0)
		return why_fail(why, -rc, "no snapshot of the map: %s", strerror(-rc));
	rc = loading_check_group(load, out->cat, why);
	if (rc < 0)
		return rc;
	grp = catalog_find_id(out->cat, load->grp->id);
	key_of_number(grp->id, key);
	rc = store_get(out->snap, STORE_STATS, slice_of(key, sizeof key), &bytes);
	if (rc == 0 || rc == -ENOENT)
		rc = catalog_stats_decode(bytes, &stats);
	out->at_end = rc == 0 && stats.rows == 0;
	if (rc == 0 && !out->at_end)
		rc = store_walk_rows_over(out->snap, grp->rows, grp->overlay,
					  load->options.mode == INGEST_LOAD_SNAPSHOT ? buf_slice(&load->judged) : slice_of(NULL, 0),
					  &out->walk);
	return rc < 0 ? why_fail(why, -rc, "the group's rows can't be read: %s", strerror(-rc)) : 0;
}

static void close_standing(struct standing *st)
{
	store_walk_end(st->walk);
	store_snap_end(st->snap);
	catalog_unref(st->cat);
}

static int take_standing(struct standing *st, int rc)
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
		rc = take_standing(st, store_walk_seek(st->walk, entity, &st->key, &st->row));
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

static int tell_refused(struct ingest_load *load, struct slice entity, struct slice record, int rc, const struct why *why)
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
		rc = tell_refused(load, entity, in, rc, why);
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
		int rc = st->has ? 0 : take_standing(st, store_walk_next(st->walk, &st->key, &st->row));

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
	rc = open_standing(ingest, load, &st, why);
	if (rc == 0)
		rc = store_snap_seq(st.snap, &chunk->part.seq);
	if (rc == 0)
		rc = judge_items(load, chunk, &st, is_tail, why);
	close_standing(&st);
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
static int judge_touched(struct ingest *ingest, struct ingest_load *load, size_t few, struct why *why)
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

/* ---- giving rows ---- */

/* Judges and hands over what the chunk in hand has; goes on with the other one. */
static int flush(struct ingest *ingest, struct ingest_load *load, bool is_tail, struct why *why)
{
	struct chunk *chunk = &load->chunks[load->filling], *other = &load->chunks[!load->filling];
	size_t touched_bytes;
	int rc = 1;

	chunk->part.to = 0;
	while (rc == 1) {
		int more = judge_part(ingest, load, chunk, is_tail, why);

		rc = more < 0 ? more : settle_part(load, &other->part, why);
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
			rc = settle_part(load, &chunk->part, why);
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
	return touched_bytes > TOUCHED_MANY ? judge_touched(ingest, load, 0, why) : 0;
}

static int call_flush(struct ingest_load *load, struct why *why)
{
	struct ingest *ingest = enter(load);
	int rc;

	if (!ingest)
		return fail_stopped(why);
	rc = flush(ingest, load, false, why);
	leave(load);
	return rc;
}

static bool sets_entity(const struct record *rec)
{
	struct record_cell cell;

	for (unsigned i = 0; i < rec->cells; i++) {
		record_cell(rec, i, &cell);
		if (cell.state != RECORD_DELETED)
			return true;
	}
	return rec->cells == 0 && !(rec->flags & RECORD_TOMB);
}

static int check_order(struct ingest_load *load, struct slice entity, struct why *why)
{
	if (load->last.len && slice_compare(buf_slice(&load->last), entity) >= 0)
		return why_fail(why, EINVAL, "the rows of a load come in ascending order of their entities, each once");
	buf_reset(&load->last);
	buf_append_slice(&load->last, entity);
	return buf_error(&load->last);
}

/* Stamps a record that stands in a buffer of ours. */
static int stamp_record(const struct ingest_load *load, char *bytes, size_t len, struct why *why)
{
	struct record rec;
	int rc = record_check(slice_of(bytes, len), false, why);

	if (rc == 0)
		rc = record_view(slice_of(bytes, len), &rec);
	if (rc == 0 && !rec.data)
		rc = -EBADMSG;
	if (rc < 0)
		return rc;
	record_restamp(bytes, &rec, &load->stamp, sets_entity(&rec));
	return 0;
}

int loading_find(struct ingest_load *load, struct slice entity, struct buf *out)
{
	size_t at = out->len;
	int rc = load->options.find ? load->options.find(load->options.arg, entity, out) : -ENOENT;

	if (rc < 0)
		return rc;
	if (buf_error(out) < 0)
		return -ENOMEM;
	return stamp_record(load, out->data + at, out->len - at, NULL);
}

static int add_row(struct ingest_load *load, struct slice entity, struct slice record, struct why *why)
{
	struct chunk *chunk = &load->chunks[load->filling];
	struct item item = { .at = chunk->given.len, .entity_len = (uint32_t)entity.len };
	int rc = check_order(load, entity, why);

	if (rc < 0)
		return rc;
	store_set_append(&chunk->given, load->shadow, entity, record);
	item.end = chunk->given.len;
	item.record_at = item.end - record.len;
	item.entity_at = item.record_at - 4 - entity.len;
	buf_append(&chunk->items, &item, sizeof item);
	if (buf_error(&chunk->given) < 0 || buf_error(&chunk->items) < 0)
		return why_fail(why, ENOMEM, "no memory");
	return stamp_record(load, chunk->given.data + item.record_at, record.len, why);
}

static int fail_state(const struct ingest_load *load, struct why *why)
{
	return why_fail(why, EINVAL, load->state == LOAD_FAILED ? "the load has failed" : "the load is published");
}

int ingest_load_row(struct ingest_load *load, struct slice entity, struct slice record, struct why *why)
{
	struct why own;
	int rc;

	why = why ? why : &own;
	why->text[0] = '\0';
	if (load->state != LOAD_OPEN)
		return fail_state(load, why);
	atomic_fetch_add_explicit(&load->rows, 1, memory_order_relaxed);
	if (!entity.len || entity.len > TEXT_ENTITY_MAX) {
		atomic_fetch_add_explicit(&load->bad_names, 1, memory_order_relaxed);
		rc = why_fail(why, entity.len ? ENAMETOOLONG : EINVAL, "an entity's name has 1 to %d bytes", TEXT_ENTITY_MAX);
		rc = tell_refused(load, entity, record, rc, why);
		load->state = rc < 0 ? LOAD_FAILED : LOAD_OPEN;
		return rc;
	}
	rc = add_row(load, entity, record, why);
	if (rc == 0 && load->chunks[load->filling].given.len >= load->chunk_bytes)
		rc = call_flush(load, why);
	if (rc < 0)
		load->state = LOAD_FAILED;
	return rc;
}

/* ---- beginning and ending ---- */

static int keep_options(struct ingest_load *load, const struct ingest_load_options *options)
{
	const struct slice given[] = { options->source, options->position_key, options->position };
	struct slice *kept[] = { &load->options.source, &load->options.position_key, &load->options.position };
	size_t at = 0;

	load->options = *options;
	for (unsigned i = 0; i < 3; i++)
		buf_append_slice(&load->texts, given[i]);
	for (unsigned i = 0; i < 3; i++) {
		*kept[i] = slice_of(load->texts.data + at, given[i].len);
		at += given[i].len;
	}
	return buf_error(&load->texts);
}

static void set_judge(struct ingest_load *load, struct judge *judge, const struct merge_clock *clock)
{
	judge->grp = load->grp;
	judge->mode = load->options.mode;
	judge->confirm_skip = load->options.confirm_skip;
	judge->as_of_ns = load->options.as_of_ns;
	judge->clock = *clock;
	judge->stamp = load->stamp;
}

static void free_chunk(struct chunk *chunk)
{
	buf_release(&chunk->given);
	buf_release(&chunk->items);
	buf_release(&chunk->sets);
	buf_release(&chunk->lates);
	buf_release(&chunk->last);
}

static void load_free(struct ingest_load *load)
{
	struct buf *bufs[] = { &load->texts, &load->last, &load->judged, &load->row, &load->late, &load->cursor, &load->old_row, &load->new_row,
			       &load->scratch_late, &load->base, &load->found };

	for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++)
		buf_release(bufs[i]);
	free_chunk(&load->chunks[0]);
	free_chunk(&load->chunks[1]);
	judge_release(&load->judge);
	judge_release(&load->again);
	loading_free_touches(load);
	catalog_group_unref(load->grp);
	pthread_mutex_destroy(&load->lock);
	pthread_cond_destroy(&load->ended);
	free(load);
}

static struct ingest_load *load_new(const struct ingest_load_options *options)
{
	struct ingest_load *load = calloc(1, sizeof *load);

	if (!load)
		return NULL;
	pthread_mutex_init(&load->lock, NULL);
	pthread_cond_init(&load->ended, NULL);
	load->ahead_tail = &load->ahead;
	load->chunk_bytes = CHUNK_FIRST;
	load->total.newest_event_ns = INT64_MIN;
	if (keep_options(load, options) == 0)
		return load;
	load_free(load);
	return NULL;
}

/* What does not need a commit. */
static int prepare(struct ingest *ingest, struct ingest_load *load, struct why *why)
{
	struct merge_clock clock = { .now_ns = clock_now(), .future_ns = ingest->options.future_ns,
				     .tombstone_ns = ingest->options.tombstone_ns };
	const struct catalog_group *grp;
	struct catalog *cat;
	uint64_t number;
	int rc = 0;

	if (load->options.mode == INGEST_LOAD_SNAPSHOT)
		rc = merge_check_future(load->options.as_of_ns, &clock, why);
	cat = catalog_current_get(ingest->cur, &number);
	grp = load->options.group_id == CATALOG_ROOT_ID ? NULL : catalog_find_id(cat, load->options.group_id);
	if (rc == 0 && !grp)
		rc = why_fail(why, ENOENT, "there is no such group");
	if (rc == 0 && grp->view)
		rc = why_fail(why, EINVAL, "a view has no rows of its own");
	if (rc == 0)
		load->grp = catalog_group_ref(grp);
	catalog_unref(cat);
	if (rc == 0 && !load->options.dry_run)
		rc = loading_begin(ingest, load, why);
	if (rc < 0)
		return rc;
	clock.ingest_ns = load->stamp.ingest_ns;
	load->stamp.lane = RECORD_LANE_BATCH;
	set_judge(load, &load->judge, &clock);
	set_judge(load, &load->again, &clock);
	return 0;
}

int ingest_load_begin(struct ingest *ingest, const struct ingest_load_options *options, struct ingest_load **out, struct why *why)
{
	struct ingest_load *load = load_new(options);
	struct why own;
	int rc;

	why = why ? why : &own;
	why->text[0] = '\0';
	if (!load)
		return why_fail(why, ENOMEM, "no memory");
	if (!enlist(ingest, load)) {
		load_free(load);
		return fail_stopped(why);
	}
	rc = prepare(ingest, load, why);
	if (rc < 0) {
		delist(load);
		load_free(load);
		return rc;
	}
	leave(load);
	*out = load;
	return 0;
}

/* Everything is in the shadow, but for what other lanes still change. */
static int publish(struct ingest *ingest, struct ingest_load *load, struct why *why)
{
	size_t limit = AGAIN_LAST;
	int rc = flush(ingest, load, true, why);

	if (rc == 0)
		rc = settle_part(load, &load->chunks[!load->filling].part, why);
	if (rc < 0 || load->options.dry_run)
		return rc;
	do {
		rc = judge_touched(ingest, load, limit / 2, why);
		if (rc == 0)
			rc = loading_publish(ingest, load, limit, why);
		/* Others change rows as fast as they are judged: the last commit may take longer then. */
		limit = limit < AGAIN_MAX ? 2 * limit : AGAIN_MAX;
	} while (rc == -EAGAIN);
	return rc;
}

int ingest_load_publish(struct ingest_load *load, struct why *why)
{
	struct ingest *ingest;
	struct why own;
	int rc;

	why = why ? why : &own;
	why->text[0] = '\0';
	if (load->state != LOAD_OPEN)
		return fail_state(load, why);
	ingest = enter(load);
	if (!ingest) {
		load->state = LOAD_FAILED;
		return fail_stopped(why);
	}
	rc = publish(ingest, load, why);
	load->state = rc < 0 ? LOAD_FAILED : LOAD_PUBLISHED;
	if (rc == 0)
		keep_wake(ingest);
	leave(load);
	return rc;
}

void ingest_load_abort(struct ingest_load *load)
{
	struct ingest *ingest;

	if (!load)
		return;
	pthread_mutex_lock(&calls_lock);
	ingest = load->ingest;
	load->in_call = ingest != NULL;
	pthread_mutex_unlock(&calls_lock);
	if (ingest) {
		for (unsigned i = 0; i < 2; i++)
			if (load->chunks[i].part.load)
				wait_for_part(load, &load->chunks[i].part);
		loading_end(ingest, load);
		delist(load);
	}
	load_free(load);
}

void ingest_load_figures(struct ingest_load *load, struct ingest_load_figures *out)
{
	pthread_mutex_lock(&load->lock);
	*out = load->figures;
	pthread_mutex_unlock(&load->lock);
	out->rows = atomic_load_explicit(&load->rows, memory_order_relaxed);
	out->refused += atomic_load_explicit(&load->bad_names, memory_order_relaxed);
}
