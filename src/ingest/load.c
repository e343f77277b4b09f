/* SPDX-License-Identifier: MIT */
/*
 * The load's own side: what its caller sees. Rows are stamped and gathered in chunks (load_judge.c judges them, load_commit.c commits them). A call
 * that may wait announces itself, so that ingest can be stopped with loads open: it waits for the calls under way, which soon fail, and later ones
 * find nobody.
 */
#include "ingest/loading.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/text.h"

enum {
	CHUNK_FIRST = 256 << 10,	/* bytes */
	AGAIN_LAST = 128, AGAIN_MAX = 4096,	/* rows judged anew in the commit that publishes: at first, at the most */
};

/* Guards which calls are under way, of all loads: taken once a chunk. Nothing is called with it held. */
static pthread_mutex_t calls_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t calls_ended = PTHREAD_COND_INITIALIZER;

/* ---- calls, and the end of ingest ---- */

struct ingest *loading_enter(struct ingest_load *load)
{
	struct ingest *ingest;

	pthread_mutex_lock(&calls_lock);
	ingest = load->ingest && !load->ingest->closing ? load->ingest : NULL;
	load->n_calls += ingest != NULL;
	pthread_mutex_unlock(&calls_lock);
	return ingest;
}

void loading_leave(struct ingest_load *load)
{
	pthread_mutex_lock(&calls_lock);
	load->n_calls--;
	pthread_cond_broadcast(&calls_ended);
	pthread_mutex_unlock(&calls_lock);
}

int loading_fail_stopped(struct why *why)
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
		load->n_calls = 1;
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
	load->n_calls = 0;
	pthread_cond_broadcast(&calls_ended);
	pthread_mutex_unlock(&calls_lock);
}

void load_stop(struct ingest *ingest)
{
	struct ingest_load *load;

	pthread_mutex_lock(&calls_lock);
	ingest->closing = true;
	while ((load = ingest->open)) {
		if (load->n_calls) {
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

int load_standing_rows(struct store_snap *snap, uint32_t group_id, uint64_t *out)
{
	struct slice bytes = slice_of(NULL, 0);
	struct catalog_stats stats = { 0 };
	uint8_t key[4];
	int rc;

	key_of_number(group_id, key);
	rc = store_get(snap, STORE_STATS, slice_of(key, sizeof key), &bytes);
	if (rc == 0 || rc == -ENOENT)
		rc = catalog_stats_decode(bytes, &stats);
	*out = stats.rows;
	return rc;
}

/* ---- giving rows ---- */

static int call_flush(struct ingest_load *load, struct why *why)
{
	struct ingest *ingest = loading_enter(load);
	int rc;

	if (!ingest)
		return loading_fail_stopped(why);
	rc = loading_flush(ingest, load, false, why);
	loading_leave(load);
	return rc;
}

static int call_start(struct ingest_load *load, struct why *why)
{
	struct ingest *ingest = loading_enter(load);
	int rc;

	if (!ingest)
		rc = loading_fail_stopped(why);
	else
		rc = loading_start(ingest, load, why);
	if (ingest)
		loading_leave(load);
	load->state = rc < 0 ? LOAD_FAILED : LOAD_OPEN;
	return rc;
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
	record_restamp(bytes, &rec, &load->stamp, judge_sets_entity(&rec));
	return 0;
}

int loading_find(struct ingest_load *load, struct slice entity, struct buf *out)
{
	size_t at = out->len;
	int rc = touch_find_own(load, entity, out);

	if (rc == -ENOENT)
		rc = load->options.find(load->options.arg, entity, out);
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
	rc = load->has_started ? 0 : call_start(load, why);
	if (rc < 0)
		return rc;
	atomic_fetch_add_explicit(&load->rows, 1, memory_order_relaxed);
	if (!entity.len || entity.len > TEXT_ENTITY_MAX) {
		atomic_fetch_add_explicit(&load->bad_names, 1, memory_order_relaxed);
		rc = why_fail(why, entity.len ? ENAMETOOLONG : EINVAL, "an entity's name has 1 to %d bytes", TEXT_ENTITY_MAX);
		rc = loading_tell_refused(load, entity, record, rc, why);
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
	touch_free_all(load);
	screen_free(load->screen);
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
	load->noted_tail = &load->noted;
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
	struct ingest_load *load;
	struct why own;
	int rc;

	why = why ? why : &own;
	why->text[0] = '\0';
	/* Without it a row that another lane changes meanwhile would lose what the load says about it. */
	if (!options->find)
		return why_fail(why, EINVAL, "a load must be able to find its own rows again");
	load = load_new(options);
	if (!load)
		return why_fail(why, ENOMEM, "no memory");
	if (!enlist(ingest, load)) {
		load_free(load);
		return loading_fail_stopped(why);
	}
	rc = prepare(ingest, load, why);
	if (rc < 0) {
		delist(load);
		load_free(load);
		return rc;
	}
	loading_leave(load);
	*out = load;
	return 0;
}

/* Everything is in the shadow, but for what other lanes still change. */
static int publish(struct ingest *ingest, struct ingest_load *load, struct why *why)
{
	size_t limit = AGAIN_LAST;
	bool lacks_overlay = false;
	int rc = loading_start(ingest, load, why);

	if (rc == 0)
		rc = loading_flush(ingest, load, true, why);
	if (rc == 0)
		rc = loading_settle(load, &load->chunks[!load->filling].part, why);
	if (rc == 0 && load->options.judged)
		rc = load->options.judged(load->options.arg);
	if (rc < 0 || load->options.dry_run)
		return rc;
	lacks_overlay = load->total.rows > 0;
	do {
		rc = lacks_overlay ? loading_fill(ingest, load, why) : 0;
		if (rc == 0)
			rc = loading_judge_touched(ingest, load, limit / 2, why);
		if (rc == 0)
			rc = loading_publish(ingest, load, limit, &lacks_overlay, why);
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
	ingest = loading_enter(load);
	if (!ingest) {
		load->state = LOAD_FAILED;
		return loading_fail_stopped(why);
	}
	rc = publish(ingest, load, why);
	load->state = rc < 0 ? LOAD_FAILED : LOAD_PUBLISHED;
	if (rc == 0)
		keep_wake(ingest);
	loading_leave(load);
	return rc;
}

void ingest_load_abort(struct ingest_load *load)
{
	struct ingest *ingest;

	if (!load)
		return;
	pthread_mutex_lock(&calls_lock);
	ingest = load->ingest;
	load->n_calls += ingest != NULL;
	pthread_mutex_unlock(&calls_lock);
	if (ingest) {
		for (unsigned i = 0; i < 2; i++)
			if (load->chunks[i].part.load)
				loading_wait(load, &load->chunks[i].part);
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
