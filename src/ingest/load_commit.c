/* SPDX-License-Identifier: MIT */
/*
 * The leader's side of a load: appends what the load's thread has judged, and keeps it true while other lanes change the same rows.
 *
 * Judging anew is exact in all sums: what the old row gave is judged once more and taken off, what the row that stands gives is added. Which rows
 * have to be is remembered by load_touch.c.
 */
#include "ingest/loading.h"

#include <errno.h>
#include <search.h>
#include <string.h>
#include "base/clock.h"

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

bool load_is_filling(const struct ingest *ingest, uint32_t rows)
{
	for (const struct ingest_load *load = ingest->active; load; load = load->next_active)
		if (load->shadow == rows)
			return true;
	return false;
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
	return !touch_is_behind_cursor(load, entity) && (part->to_end || slice_compare(entity, part->last) <= 0);
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
		touch_note_trouble(load, -ENOMEM);
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
		touch_forget_ahead(load, part->seq);
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

/* ---- filling ---- */

/* What judging a touched row anew will take off again goes by the row that it was; so does this. */
static int count_filled(struct ingest_load *load, struct slice sets, struct tally *tally)
{
	struct store_change change;
	int rc;

	*tally = (struct tally){ .newest_event_ns = INT64_MIN };
	while ((rc = store_change_next(&sets, &change)) == 0) {
		const struct touch *touch = load->n_touched ? touch_find(load, change.key) : NULL;

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

/* ---- touched rows, judged anew ---- */

int loading_apply_again(struct ingest *ingest, struct work *work, struct why *why)
{
	struct rejudge *rejudge = (struct rejudge *)work;
	struct ingest_load *load = rejudge->load;
	int rc = check_work(ingest, load, why);

	rejudge->tally = (struct tally){ .newest_event_ns = INT64_MIN };
	/* Only the leader takes out or puts in, so that it may look without the lock. */
	for (size_t i = 0; rc == 0 && i < rejudge->n; i++)
		rc = judge_anew(ingest, load, &rejudge->list[i], touch_row(touch_find(load, rejudge->list[i].entity)), &rejudge->tally);
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
	for (size_t i = 0; i < rejudge->n; i++)
		touch_done_locked(load, rejudge->list[i].entity);
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
