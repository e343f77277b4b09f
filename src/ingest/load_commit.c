/* SPDX-License-Identifier: MIT */
/*
 * The leader's side of a load: appends what the load's thread has judged, and keeps it true while other lanes change the same rows.
 *
 * The cursor is the entity up to which the shadow is filled. Each row of the group that a commit changes is looked at once the commit is made:
 *
 *	behind the cursor	the shadow may be wrong about it. It is remembered with the row as it was, to be judged anew before the load is
 *				published; only the first change counts, for until then the shadow goes by that row
 *	ahead of it		it is judged by a snapshot yet to be taken, unless a part is being judged just now: then it is remembered with the
 *				number of the commit, and the part's commit judges it anew if its snapshot is older
 *
 * A row that was screened and kept out (load_screen.c) counts as one behind the cursor, wherever that is.
 *
 * Judging anew is exact in all sums: what the old row gave is judged once more and taken off, what the row that stands gives is added.
 * All this is the leader's alone and happens between commits, so that there is no moment in which a change is neither seen nor remembered.
 */
#include "ingest/loading.h"

#include <errno.h>
#include <search.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/text.h"

enum { TOUCHED_MAX = 64 << 20 };	/* bytes of remembered rows; more, and the load fails */

/* What a commit has touched, until it is made. */
struct touching {
	struct ingest_load *load;
	size_t entity_at, entity_len, row_at, row_len;
};

/* ---- sums ---- */

static void add_figures(struct ingest_load_figures *sum, const struct ingest_load_figures *part)
{
	sum->changed += part->changed;
	sum->confirmed += part->confirmed;
	sum->unchanged += part->unchanged;
	sum->late += part->late;
	sum->refused += part->refused;
	sum->deleted += part->deleted;
	sum->repeated += part->repeated;
}

void loading_add(struct tally *sum, const struct tally *part)
{
	add_figures(&sum->figures, &part->figures);
	sum->gain.entities += part->gain.entities;
	sum->gain.rows += part->gain.rows;
	sum->gain.bytes += part->gain.bytes;
	sum->applied += part->applied;
	sum->rows += part->rows;
	sum->covered += part->covered;
	sum->hides += part->hides;
	if (part->newest_event_ns > sum->newest_event_ns)
		sum->newest_event_ns = part->newest_event_ns;
}

void loading_count(struct tally *tally, const struct verdict *verdict, struct slice entity, struct slice base, struct slice row)
{
	struct row_weight before, after;

	tally->figures.changed += verdict->changed;
	tally->figures.confirmed += verdict->confirmed;
	tally->figures.unchanged += verdict->unchanged;
	tally->figures.late += verdict->late;
	tally->figures.deleted += verdict->deleted;
	tally->applied += verdict->applied;
	if (verdict->newest_event_ns > tally->newest_event_ns)
		tally->newest_event_ns = verdict->newest_event_ns;
	if (!verdict->writes)
		return;
	before = row_weigh(base, entity);
	after = row_weigh(row, entity);
	tally->gain.entities += after.entities - before.entities;
	tally->gain.rows += after.rows - before.rows;
	tally->gain.bytes += after.bytes - before.bytes;
	tally->rows++;
	tally->covered += before.rows != 0;
	tally->hides += row.len == 0;
}

/* Takes off what loading_count added, but for the rows of the shadow; unsigned sums may pass through zero meanwhile. The newest time stays: it
 * was brought. */
static void uncount(struct tally *tally, const struct verdict *verdict, struct slice entity, struct slice base, struct slice row)
{
	struct tally old = { .newest_event_ns = INT64_MIN };

	loading_count(&old, verdict, entity, base, row);
	tally->figures.changed -= old.figures.changed;
	tally->figures.confirmed -= old.figures.confirmed;
	tally->figures.unchanged -= old.figures.unchanged;
	tally->figures.late -= old.figures.late;
	tally->figures.deleted -= old.figures.deleted;
	tally->gain.entities -= old.gain.entities;
	tally->gain.rows -= old.gain.rows;
	tally->gain.bytes -= old.gain.bytes;
	tally->applied -= old.applied;
}

/* ---- the group ---- */

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

static bool same_rules(const struct catalog_feature *a, const struct catalog_feature *b)
{
	if (a->slot != b->slot || a->type.base != b->type.base || a->type.is_array != b->type.is_array || a->type.length != b->type.length ||
	    a->retired != b->retired || a->not_null != b->not_null || a->nan != b->nan || a->has_min != b->has_min ||
	    a->has_max != b->has_max || a->has_max_length != b->has_max_length || a->n_enums != b->n_enums)
		return false;
	if ((a->has_min && a->min.i != b->min.i) || (a->has_max && a->max.i != b->max.i) ||
	    (a->has_max_length && a->max_length != b->max_length))
		return false;
	for (unsigned i = 0; i < a->n_enums; i++)
		if (!same_text(a->enums[i], b->enums[i]))
			return false;
	return true;
}

/* New features, names, owners and other metadata leave what was judged right. */
int loading_check_group(struct ingest_load *load, const struct catalog *cat, struct why *why)
{
	const struct catalog_group *then = load->grp, *now = catalog_find_id(cat, then->id);

	if (!now)
		return why_fail(why, ESTALE, "the group was removed while the load was at work");
	if (now == then)
		return 0;
	if (now->n_keys != then->n_keys)
		return why_fail(why, ESTALE, "the parts of an entity's name were changed while the load was at work: load again");
	for (unsigned i = 0; i < then->n_features; i++) {
		const struct catalog_feature *feature = catalog_feature_at(now, then->features[i].slot);

		if (!feature || !same_rules(&then->features[i], feature))
			return why_fail(why, ESTALE, "feature %s was redefined while the load was at work: load again",
					then->features[i].name);
	}
	return 0;
}

/* ---- touched rows ---- */

static int compare_touches(const void *a, const void *b)
{
	return slice_compare(touch_entity(a), touch_entity(b));
}

bool load_is_filling(const struct ingest *ingest, uint32_t rows)
{
	for (const struct ingest_load *load = ingest->active; load; load = load->next_active)
		if (load->shadow == rows)
			return true;
	return false;
}

int load_touch(struct ingest *ingest, uint32_t group_id, struct slice entity, struct slice row)
{
	struct commit *commit = &ingest->commit;

	for (struct ingest_load *load = ingest->active; load; load = load->next_active) {
		struct touching touching = { .load = load, .entity_len = entity.len, .row_len = row.len };

		if (load->grp->id != group_id)
			continue;
		touching.entity_at = commit->touched_bytes.len;
		buf_append_slice(&commit->touched_bytes, entity);
		touching.row_at = commit->touched_bytes.len;
		buf_append_slice(&commit->touched_bytes, row);
		buf_append(&commit->touches, &touching, sizeof touching);
		if (buf_error(&commit->touched_bytes) < 0 || buf_error(&commit->touches) < 0)
			return -ENOMEM;
	}
	return 0;
}

static void note_trouble(struct ingest_load *load, int rc)
{
	pthread_mutex_lock(&load->lock);
	if (!load->trouble)
		load->trouble = rc;
	pthread_mutex_unlock(&load->lock);
}

static bool is_behind_cursor(const struct ingest_load *load, struct slice entity)
{
	return load->is_at_end || (load->cursor.len && slice_compare(entity, buf_slice(&load->cursor)) <= 0);
}

static void touch_free(struct ingest_load *load, struct touch *touch)
{
	load->n_touched--;
	load->touched_bytes -= touch_bytes(touch);
	free(touch);
}

static struct touch *touch_new(struct slice entity, struct slice row, uint64_t seq)
{
	struct touch *touch = malloc(sizeof *touch + entity.len + row.len);

	if (!touch)
		return NULL;
	*touch = (struct touch){ .seq = seq, .entity_len = entity.len, .row_len = row.len };
	memcpy(touch->bytes, entity.data, entity.len);
	if (row.len)
		memcpy(touch->bytes + entity.len, row.data, row.len);
	return touch;
}

static void trouble_locked(struct ingest_load *load, int rc)
{
	if (!load->trouble)
		load->trouble = rc;
}

/* Takes the touch, NULL if there was no memory. Whether it is new in the tree. */
static bool add_locked(struct ingest_load *load, void **tree, struct touch *touch)
{
	struct touch **node = touch ? tsearch(touch, tree, compare_touches) : NULL;
	bool is_new = node && *node == touch;

	if (!node)
		trouble_locked(load, -ENOMEM);
	if (is_new)
		load->touched_bytes += touch_bytes(touch);
	else
		free(touch);
	if (load->touched_bytes > TOUCHED_MAX)
		trouble_locked(load, -ENOBUFS);
	return is_new;
}

void touch_kept_out_locked(struct ingest_load *load, struct slice entity, struct slice row, uint64_t seq)
{
	/* The first one: later ones are those of others. */
	add_locked(load, &load->owned, touch_new(entity, row, seq));
	load->n_touched += add_locked(load, &load->touched, touch_new(entity, row, seq));
}

/* Takes the touch, which lies behind the cursor. */
static void remember(struct ingest_load *load, struct touch *touch)
{
	pthread_mutex_lock(&load->lock);
	load->n_touched += add_locked(load, &load->touched, touch);
	pthread_mutex_unlock(&load->lock);
}

/* Has the screen to do with it? */
static bool take_screened(struct ingest_load *load, struct slice entity, struct slice row, uint64_t seq)
{
	bool is_kept_out;

	pthread_mutex_lock(&load->lock);
	is_kept_out = load->screening == SCREEN_CLOSED && screen_kept_out(load->screen, entity);
	if (is_kept_out)
		touch_kept_out_locked(load, entity, row, seq);
	pthread_mutex_unlock(&load->lock);
	return is_kept_out;
}

static void take_touch(struct ingest_load *load, struct slice entity, struct slice row, uint64_t seq)
{
	bool is_behind = is_behind_cursor(load, entity);
	struct touch *touch;

	if (take_screened(load, entity, row, seq) || (!is_behind && atomic_load(&load->judging) == 0))
		return;
	touch = touch_new(entity, row, seq);
	if (!touch) {
		note_trouble(load, -ENOMEM);
	} else if (is_behind) {
		remember(load, touch);
	} else {
		*load->ahead_tail = touch;
		load->ahead_tail = &touch->next;
	}
}

/* For a load that is still screening. */
static void note_touch(struct ingest_load *load, struct slice entity, struct slice row, uint64_t seq)
{
	struct touch *touch;

	pthread_mutex_lock(&load->lock);
	if (load->screening == SCREEN_OPEN && !load->trouble) {
		touch = touch_new(entity, row, seq);
		if (touch) {
			*load->noted_tail = touch;
			load->noted_tail = &touch->next;
			load->touched_bytes += touch_bytes(touch);
		}
		if (!touch || load->touched_bytes > TOUCHED_MAX)
			trouble_locked(load, touch ? -ENOBUFS : -ENOMEM);
	}
	pthread_mutex_unlock(&load->lock);
}

static void tell_touches(struct ingest *ingest, uint64_t seq,
			 void (*tell)(struct ingest_load *load, struct slice entity, struct slice row, uint64_t seq))
{
	const struct commit *commit = &ingest->commit;
	const struct touching *list = (const struct touching *)commit->touches.data;

	for (size_t i = 0; i < commit->touches.len / sizeof *list; i++)
		tell(list[i].load, slice_of(commit->touched_bytes.data + list[i].entity_at, list[i].entity_len),
		     slice_of(commit->touched_bytes.data + list[i].row_at, list[i].row_len), seq);
}

void load_committing(struct ingest *ingest, uint64_t seq)
{
	tell_touches(ingest, seq, note_touch);
}

void load_committed(struct ingest *ingest, uint64_t seq)
{
	tell_touches(ingest, seq, take_touch);
}

/* Those that no part can be wrong about any more: behind the cursor they have been judged anew, or the next snapshots see them. */
static void forget_ahead(struct ingest_load *load, uint64_t seq)
{
	struct touch **link = &load->ahead, *touch;

	while ((touch = *link)) {
		if (touch->seq <= seq || is_behind_cursor(load, touch_entity(touch)) || atomic_load(&load->judging) == 0) {
			*link = touch->next;
			free(touch);
		} else {
			link = &touch->next;
		}
	}
	load->ahead_tail = link;
}

void loading_free_touches(struct ingest_load *load)
{
	struct touch *next;

	for (struct touch *touch = load->ahead; touch; touch = next) {
		next = touch->next;
		free(touch);
	}
	for (struct touch *touch = load->noted; touch; touch = next) {
		next = touch->next;
		free(touch);
	}
	tdestroy(load->touched, free);
	tdestroy(load->owned, free);
}

/* ---- judging anew ---- */

/* Judges by a row as it was or is. A refusal is a verdict too: nothing is written. */
static int judge_again(struct ingest_load *load, const struct again *again, struct slice base, struct verdict *out, struct buf *row,
		       struct slice *out_row, bool *out_refused)
{
	struct why why = { "" };
	int rc = judge_row(&load->again, again->entity, base, again->in, out, row, &load->scratch_late, &why);

	*out_refused = rc < 0;
	*out_row = out->as_given ? *again->in : buf_slice(row);
	return rc == -ENOMEM || rc == -EUCLEAN ? rc : 0;
}

/* The shadow says about an entity what the load makes of the row that stands now. `was` is the row that it went by. */
static int judge_anew(struct ingest *ingest, struct ingest_load *load, const struct again *again, struct slice was, struct tally *tally)
{
	struct store_batch *batch = ingest->commit.batch;
	const struct catalog_group *grp = catalog_find_id(ingest->commit.cat, load->grp->id);
	struct slice base = slice_of(NULL, 0), row, shadowed;
	struct tally counted = { .newest_event_ns = INT64_MIN };
	bool was_refused, is_refused, had;
	struct verdict old, new;
	int rc = judge_again(load, again, was, &old, &load->old_row, &row, &was_refused);

	if (rc < 0)
		return rc;
	uncount(tally, &old, again->entity, was, row);
	rc = store_batch_get_row(batch, load->shadow, again->entity, &shadowed);
	had = rc == 0;
	if (rc < 0 && rc != -ENOENT)
		return rc;
	tally->rows -= had;
	tally->covered -= had && was.len;
	tally->hides -= had && !shadowed.len;
	rc = store_batch_get_row_over(batch, grp->rows, grp->overlay, again->entity, &base);
	if (rc < 0 && rc != -ENOENT)
		return rc;
	/* It stays where it is only until the batch changes. */
	buf_reset(&load->base);
	buf_append_slice(&load->base, rc == 0 ? base : slice_of(NULL, 0));
	rc = buf_error(&load->base);
	base = buf_slice(&load->base);
	if (rc == 0)
		rc = judge_again(load, again, base, &new, &load->new_row, &row, &is_refused);
	if (rc < 0)
		return rc;
	loading_count(&counted, &new, again->entity, base, row);
	/* The shadow has a row from before: there is no taking it away, but it may as well be the one that stands. */
	if (!new.writes && had) {
		row = base;
		counted.rows++;
		counted.covered += base.len != 0;
		counted.hides += !base.len;
	}
	loading_add(tally, &counted);
	tally->figures.refused += (uint64_t)is_refused - was_refused;
	if (new.has_late && new.late > old.late)
		rc = store_batch_late(batch, load->shadow, again->entity, buf_slice(&load->scratch_late));
	return rc == 0 && (new.writes || had) ? store_batch_set(batch, load->shadow, again->entity, row) : rc;
}

/* ---- a part ---- */

static bool is_in_part(const struct ingest_load *load, const struct part *part, struct slice entity)
{
	return !is_behind_cursor(load, entity) && (part->to_end || slice_compare(entity, part->last) <= 0);
}

static const struct item *find_item(const struct part *part, struct slice entity)
{
	const struct item *items = (const struct item *)part->chunk->items.data;
	size_t low = part->from, high = part->to;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const struct item *item = &items[mid];
		int order = slice_compare(entity, slice_of(part->chunk->given.data + item->entity_at, item->entity_len));

		if (order == 0)
			return item;
		if (order < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return NULL;
}

/* The first change that the part's snapshot did not see is the one that tells by which row it was judged. */
static bool is_first(const struct ingest_load *load, const struct part *part, const struct touch *touch)
{
	for (const struct touch *before = load->ahead; before != touch; before = before->next)
		if (before->seq > part->seq && slice_equal(touch_entity(before), touch_entity(touch)))
			return false;
	return true;
}

/* Changes that came between the part's snapshot and now. */
static int judge_missed(struct ingest *ingest, struct ingest_load *load, struct part *part)
{
	int rc = 0;

	for (struct touch *touch = load->ahead; rc == 0 && touch; touch = touch->next) {
		struct again again = { .entity = touch_entity(touch) };
		const struct item *item;
		struct slice in;

		if (touch->seq <= part->seq || !is_in_part(load, part, again.entity) || !is_first(load, part, touch))
			continue;
		item = find_item(part, again.entity);
		if (item) {
			in = slice_of(part->chunk->given.data + item->record_at, item->end - item->record_at);
			again.in = &in;
		}
		rc = judge_anew(ingest, load, &again, touch_row(touch), &part->final);
	}
	return rc;
}

static int add_lates(struct store_batch *batch, struct slice lates)
{
	struct store_change change;
	int rc;

	while ((rc = store_change_next(&lates, &change)) == 0) {
		rc = store_batch_late(batch, change.rows, change.key, change.value);
		if (rc < 0)
			return rc;
	}
	return rc == -ENOENT ? 0 : rc;
}

/* A load needs room, and it has to be the room that is left for everybody. */
static int check_work(struct ingest *ingest, struct ingest_load *load, struct why *why)
{
	int rc;

	pthread_mutex_lock(&load->lock);
	rc = load->trouble;
	pthread_mutex_unlock(&load->lock);
	if (rc < 0)
		return why_fail(why, -rc, rc == -ENOBUFS ? "the other lanes change the group faster than the load can follow" : "no memory");
	return loading_check_group(load, ingest->commit.cat, why);
}

int loading_apply_part(struct ingest *ingest, struct work *work, struct why *why)
{
	struct part *part = (struct part *)work;
	struct ingest_load *load = part->load;
	struct store_batch *batch = ingest->commit.batch;
	int rc = check_work(ingest, load, why);

	part->begun_ns = clock_monotonic();
	part->final = part->tally;
	if (rc == 0 && part->sets.len && ingest->commit.no_room)
		rc = fail_no_room(&ingest->commit, why);
	if (rc == 0 && part->sets.len)
		rc = store_batch_sets(batch, part->sets);
	if (rc == 0)
		rc = add_lates(batch, buf_slice(&part->chunk->lates));
	return rc < 0 ? rc : judge_missed(ingest, load, part);
}

static void move_cursor(struct ingest_load *load, const struct part *part)
{
	load->is_at_end = load->is_at_end || part->to_end;
	if (!part->last.len)
		return;
	buf_reset(&load->cursor);
	buf_append_slice(&load->cursor, part->last);
	if (buf_error(&load->cursor) < 0)
		note_trouble(load, -ENOMEM);
}

void loading_part_done(struct work *work, int rc, uint64_t seq, const struct why *why)
{
	struct part *part = (struct part *)work;
	struct ingest_load *load = part->load;

	(void)seq;
	atomic_fetch_sub(&load->judging, 1);
	if (rc == 0) {
		loading_add(&load->total, &part->final);
		move_cursor(load, part);
		forget_ahead(load, part->seq);
	}
	pthread_mutex_lock(&load->lock);
	load->figures = load->total.figures;
	part->took_ns = clock_monotonic() - part->begun_ns;
	part->rc = rc;
	part->why = *why;
	part->is_busy = false;
	pthread_cond_signal(&load->ended);
	pthread_mutex_unlock(&load->lock);
}

/* ---- touched rows, judged anew ---- */

static struct touch *find_in(void *const *tree, struct slice entity)
{
	union {
		struct touch touch;
		char room[sizeof(struct touch) + TEXT_ENTITY_MAX];
	} key = { .touch = { .entity_len = entity.len } };
	struct touch **node;

	memcpy(key.room + offsetof(struct touch, bytes), entity.data, entity.len);
	node = tfind(&key, tree, compare_touches);
	return node ? *node : NULL;
}

static struct touch *find_touch(struct ingest_load *load, struct slice entity)
{
	return find_in(&load->touched, entity);
}

int touch_find_own(struct ingest_load *load, struct slice entity, struct buf *out)
{
	const struct touch *own = NULL;

	pthread_mutex_lock(&load->lock);
	if (load->screening == SCREEN_CLOSED)
		own = find_in(&load->owned, entity);
	if (own)
		buf_append_slice(out, touch_row(own));
	pthread_mutex_unlock(&load->lock);
	return own ? 0 : -ENOENT;
}

/* ---- filling ---- */

/* What judging a touched row anew will take off again goes by the row that it was; so does this. */
static int count_filled(struct ingest_load *load, struct slice sets, struct tally *tally)
{
	struct store_change change;
	int rc;

	*tally = (struct tally){ .newest_event_ns = INT64_MIN };
	while ((rc = store_change_next(&sets, &change)) == 0) {
		const struct touch *touch = load->n_touched ? find_touch(load, change.key) : NULL;

		tally->rows++;
		tally->covered += touch ? touch->row_len != 0 : change.value.len != 0;
		tally->hides += change.value.len == 0;
	}
	return rc == -ENOENT ? 0 : rc;
}

/* A row that was changed since it was copied is touched, and will be judged anew. */
int loading_apply_fill(struct ingest *ingest, struct work *work, struct why *why)
{
	struct filling *filling = (struct filling *)work;
	int rc = check_work(ingest, filling->load, why);

	if (rc == 0 && ingest->commit.no_room)
		rc = fail_no_room(&ingest->commit, why);
	if (rc == 0)
		rc = count_filled(filling->load, filling->sets, &filling->tally);
	return rc < 0 ? rc : store_batch_sets(ingest->commit.batch, filling->sets);
}

void loading_fill_done(struct work *work, int rc, uint64_t seq, const struct why *why)
{
	struct filling *filling = (struct filling *)work;

	(void)seq;
	(void)why;
	if (rc == 0)
		loading_add(&filling->load->total, &filling->tally);
}

int loading_apply_again(struct ingest *ingest, struct work *work, struct why *why)
{
	struct rejudge *rejudge = (struct rejudge *)work;
	struct ingest_load *load = rejudge->load;
	int rc = check_work(ingest, load, why);

	rejudge->tally = (struct tally){ .newest_event_ns = INT64_MIN };
	/* Only the leader takes out or puts in, so that it may look without the lock. */
	for (size_t i = 0; rc == 0 && i < rejudge->n; i++)
		rc = judge_anew(ingest, load, &rejudge->list[i], touch_row(find_touch(load, rejudge->list[i].entity)), &rejudge->tally);
	return rc;
}

void loading_again_done(struct work *work, int rc, uint64_t seq, const struct why *why)
{
	struct rejudge *rejudge = (struct rejudge *)work;
	struct ingest_load *load = rejudge->load;

	(void)seq;
	(void)why;
	if (rc < 0)
		return;
	loading_add(&load->total, &rejudge->tally);
	pthread_mutex_lock(&load->lock);
	for (size_t i = 0; i < rejudge->n; i++) {
		struct touch *touch = find_touch(load, rejudge->list[i].entity);

		tdelete(touch, &load->touched, compare_touches);
		touch_free(load, touch);
	}
	load->figures = load->total.figures;
	pthread_mutex_unlock(&load->lock);
}

struct anew {
	struct ingest *ingest;
	struct ingest_load *load;
	struct tally *tally;
	int rc;
};

static void judge_node(const void *node, VISIT visit, void *arg)
{
	const struct touch *touch = *(struct touch *const *)node;
	struct anew *anew = arg;
	struct again again = { .entity = touch_entity(touch) };
	struct slice in;

	if ((visit != postorder && visit != leaf) || anew->rc < 0)
		return;
	buf_reset(&anew->load->found);
	anew->rc = loading_find(anew->load, again.entity, &anew->load->found);
	if (anew->rc == 0) {
		in = buf_slice(&anew->load->found);
		again.in = &in;
	}
	if (anew->rc == 0 || anew->rc == -ENOENT)
		anew->rc = judge_anew(anew->ingest, anew->load, &again, touch_row(touch), anew->tally);
}

/* The last ones, in the commit that publishes: the load's thread waits for it, so that its `find` may be asked from here. */
int loading_judge_last(struct ingest *ingest, struct ingest_load *load, size_t limit, struct tally *out)
{
	struct anew anew = { .ingest = ingest, .load = load, .tally = out };

	*out = (struct tally){ .newest_event_ns = INT64_MIN };
	if (load->n_touched > limit)
		return -EAGAIN;
	twalk_r(load->touched, judge_node, &anew);
	return anew.rc;
}
