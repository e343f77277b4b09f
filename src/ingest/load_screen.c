/* SPDX-License-Identifier: MIT */
/*
 * Most rows of a re-load are what stands already, in values and in time: they change nothing, and need neither sorting nor a place in a commit. So
 * a caller that has rows in any order may have them screened first. Each is looked up, many at a time (store_get_rows); one that is the same is
 * counted as unchanged and kept out, any other is given back, to be sorted and given by ingest_load_row as ever.
 *
 * That must not be seen in what the load comes to, so the names that were met are remembered, as hashes, with what became of them:
 *
 *	a row of the same entity comes	kept out and the same again: it is repeated. Kept out and another one: the first, which is what stands,
 *	later				goes back before it. Given back once: all that follow are given back too
 *	another lane changes the row,	the load's own row is what stood before the change: it goes back. The leader notes each change before
 *	rows are still screened		anybody can see it, so a snapshot that shows a change finds it noted
 *	the same, later			the row is kept (load->owned) and judged anew before the load is published, like any that was
 *					judged too early; then judging asks here for the load's own row, not the caller
 *
 * Looking up is most of the work and depends on nothing but a snapshot, so any thread may do it beside others. What follows from it is done
 * in the order of the rows. Snapshots are taken in that order as well: whoever has seen a change finds that it was noted, and nobody behind
 * sees less.
 *
 * Screening pays only if most rows are the same. It looks at a window of rows, goes on if a quarter of them were, and else leaves out twice as
 * many before the next one. Names are remembered anyway while there is room; those that find none are given back always.
 */
#include "ingest/loading.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "ingest/load_names.h"

enum {
	AT_ONCE = 64,			/* look-ups */
	AHEAD = 16,			/* rows whose name is on its way to the core */
	WINDOW = 4096,			/* rows */
	PAYS = 4,			/* one in so many is the same */
	PAUSE_MAX = 64 * WINDOW,
};

struct screen {
	struct names *names;
	/* Under the load's lock. */
	uint64_t window, same;		/* rows looked at in this window; those that were the same */
	uint64_t pause, paused;		/* rows that are left out between two windows; how many of them still are */
};

/* What looking up came to. */
struct finding {
	uint64_t hash;
	struct slice base;		/* what stands, in the snapshot; nothing is the empty row */
	bool is_same;
};

struct ingest_sieve {
	struct ingest_load *load;	/* NULL: not begun */
	const struct catalog_group *grp;	/* as it is in the snapshot */
	const struct catalog *cat;
	struct store_snap *snap;
	uint64_t seq;
	const struct ingest_row *rows;
	size_t n, same;
	bool looks;
	struct buf findings;		/* array of struct finding */
	ingest_give give;
	void *arg;
};

static struct screen *screen_new(size_t bytes_max, uint64_t rows_hint)
{
	struct screen *screen = calloc(1, sizeof *screen);

	if (!screen)
		return NULL;
	screen->pause = WINDOW;
	screen->names = names_new(bytes_max, rows_hint);
	if (screen->names)
		return screen;
	free(screen);
	return NULL;
}

void screen_free(struct screen *screen)
{
	if (!screen)
		return;
	names_free(screen->names);
	free(screen);
}

bool screen_kept_out(struct screen *screen, struct slice entity)
{
	return screen && names_fate(screen->names, names_hash(screen->names, entity)) == FATE_KEPT_OUT;
}

/* ---- does it pay? ---- */

/* Are the next rows to be looked up? */
static bool looks_locked(struct screen *screen, size_t n)
{
	if (!screen->paused)
		return true;
	screen->paused -= n < screen->paused ? n : screen->paused;
	return false;
}

/* Rows were looked up, and so many of them were the same. */
static void note_window_locked(struct screen *screen, size_t n, size_t same)
{
	screen->window += n;
	screen->same += same;
	if (screen->window < WINDOW)
		return;
	if (screen->same * PAYS < screen->window) {
		screen->paused = screen->pause;
		screen->pause = screen->pause * 2 < PAUSE_MAX ? screen->pause * 2 : PAUSE_MAX;
	} else {
		screen->pause = WINDOW;
	}
	screen->window = screen->same = 0;
}

/* ---- beginning ---- */

/* It only decides what is worth while: where it can't be told, it is none. */
static uint64_t count_standing(struct ingest *ingest, const struct ingest_load *load)
{
	struct store_snap *snap = NULL;
	uint64_t rows = 0;

	if (store_snap_begin(ingest->store, &snap) < 0 || load_standing_rows(snap, load->grp->id, &rows) < 0)
		rows = 0;
	store_snap_end(snap);
	return rows;
}

static int open_screen(struct ingest *ingest, struct ingest_load *load)
{
	uint64_t standing;

	if (load->screening == SCREEN_OPEN)
		return 0;
	if (load->screening == SCREEN_CLOSED)
		return -EINVAL;
	standing = count_standing(ingest, load);
	load->screen = screen_new(load->options.screen_bytes, standing < load->options.rows_hint ? standing : load->options.rows_hint);
	if (!load->screen)
		return -ENOMEM;
	/* From here on changes are noted; those that come before the first snapshot, it shows. */
	pthread_mutex_lock(&load->lock);
	load->screening = SCREEN_OPEN;
	pthread_mutex_unlock(&load->lock);
	return 0;
}

static int open_sieve(struct ingest *ingest, struct ingest_load *load, struct ingest_sieve *sieve, struct why *why)
{
	int rc = open_screen(ingest, load);

	if (rc == 0)
		rc = load_view(ingest, &sieve->snap, &sieve->cat);
	if (rc == 0)
		rc = loading_check_group(load, sieve->cat, why);
	if (rc == 0)
		rc = store_snap_seq(sieve->snap, &sieve->seq);
	if (rc < 0)
		return rc;
	sieve->grp = catalog_find_id(sieve->cat, load->grp->id);
	pthread_mutex_lock(&load->lock);
	sieve->looks = looks_locked(load->screen, sieve->n);
	pthread_mutex_unlock(&load->lock);
	return 0;
}

struct ingest_sieve *ingest_sieve_new(void)
{
	return calloc(1, sizeof(struct ingest_sieve));
}

static void end_sieve(struct ingest_sieve *sieve)
{
	struct ingest_load *load = sieve->load;

	store_snap_end(sieve->snap);
	catalog_unref(sieve->cat);
	sieve->snap = NULL;
	sieve->cat = NULL;
	sieve->load = NULL;
	loading_leave(load);
}

static int fail_screening(struct ingest_load *load, int rc, struct why *why)
{
	load->state = LOAD_FAILED;
	return why->text[0] ? rc : why_fail(why, -rc, "rows can't be compared with what stands: %s", strerror(-rc));
}

int ingest_sieve_begin(struct ingest_sieve *sieve, struct ingest_load *load, const struct ingest_row *rows, size_t n, struct why *why)
{
	struct ingest *ingest;
	int rc;

	why->text[0] = '\0';
	/* A load that failed just now, in the other thread, is not refused here: its own reason is the one to be told. */
	if (sieve->load || load->state == LOAD_PUBLISHED || load->screening == SCREEN_CLOSED)
		return why_fail(why, EINVAL, "rows are screened before the first one is given");
	ingest = loading_enter(load);
	if (!ingest)
		return fail_screening(load, loading_fail_stopped(why), why);
	sieve->load = load;
	sieve->rows = rows;
	sieve->n = n;
	sieve->same = 0;
	buf_reset(&sieve->findings);
	rc = open_sieve(ingest, load, sieve, why);
	if (rc == 0)
		return 0;
	end_sieve(sieve);
	return fail_screening(load, rc, why);
}

void ingest_sieve_free(struct ingest_sieve *sieve)
{
	if (!sieve)
		return;
	if (sieve->load)
		end_sieve(sieve);
	buf_release(&sieve->findings);
	free(sieve);
}

/* ---- looking up ---- */

/* What stands for some entities: in the overlay, else in the rows. Nothing is the empty row. */
static int look_up(struct ingest_sieve *sieve, const struct slice *entities, size_t n, struct slice *out)
{
	const struct catalog_group *grp = sieve->grp;
	struct slice asked[AT_ONCE], below[AT_ONCE];
	size_t places[AT_ONCE], missing = 0;
	int rc = store_get_rows(sieve->snap, grp->overlay ? grp->overlay : grp->rows, entities, n, out);

	if (rc < 0 || !grp->overlay)
		return rc;
	for (size_t i = 0; i < n; i++)
		if (!out[i].data) {
			places[missing] = i;
			asked[missing++] = entities[i];
		}
	rc = store_get_rows(sieve->snap, grp->rows, asked, missing, below);
	for (size_t i = 0; i < missing && rc == 0; i++)
		out[places[i]] = below[i];
	return rc;
}

static int look_some(struct ingest_sieve *sieve, const struct ingest_row *rows, size_t n, struct finding *findings)
{
	struct slice entities[AT_ONCE], standing[AT_ONCE] = { 0 };
	int rc = 0;

	for (size_t i = 0; i < n; i++) {
		entities[i] = rows[i].entity;
		findings[i] = (struct finding){ .hash = names_hash(sieve->load->screen->names, rows[i].entity) };
	}
	if (sieve->looks)
		rc = look_up(sieve, entities, n, standing);
	for (size_t i = 0; i < n && rc == 0 && sieve->looks; i++) {
		findings[i].base = standing[i];
		findings[i].is_same = judge_is_same(&sieve->load->judge, standing[i], rows[i].record);
		sieve->same += findings[i].is_same;
	}
	return rc;
}

int ingest_sieve_look(struct ingest_sieve *sieve, struct why *why)
{
	struct finding *findings = (struct finding *)buf_reserve(&sieve->findings, sieve->n * sizeof *findings);
	int rc = findings || !sieve->n ? 0 : -ENOMEM;

	why->text[0] = '\0';
	sieve->findings.len = findings ? sieve->n * sizeof *findings : 0;
	for (size_t i = 0; i < sieve->n && rc == 0; i += AT_ONCE)
		rc = look_some(sieve, sieve->rows + i, sieve->n - i < AT_ONCE ? sieve->n - i : AT_ONCE, findings + i);
	return rc < 0 ? fail_screening(sieve->load, rc, why) : 0;
}

/* ---- taking what was found ---- */

/* What stands is a row of the load that was kept out: it is one to be given, after all. */
static int give_back(struct ingest_sieve *sieve, uint64_t hash, struct slice entity, struct slice row)
{
	struct tally *tally = &sieve->load->screened;
	struct record rec;
	int rc = record_view(row, &rec);

	if (rc < 0)
		return rc;
	names_change(sieve->load->screen->names, hash, FATE_GIVEN);
	tally->figures.unchanged -= rec.cells;
	tally->figures.rows--;
	return sieve->give(sieve->arg, entity, row);
}

/* Changes of other lanes that the snapshot shows: the rows as they were are what the load has. */
static int take_changes(struct ingest_sieve *sieve)
{
	struct ingest_load *load = sieve->load;
	struct touch *list = NULL, **last = &list, **link, *touch;
	int rc = 0;

	pthread_mutex_lock(&load->lock);
	link = &load->noted;
	while ((touch = *link)) {
		if (touch->seq > sieve->seq) {
			link = &touch->next;
			continue;
		}
		*link = touch->next;
		load->touched_bytes -= touch_bytes(touch);
		*last = touch;
		last = &touch->next;
	}
	*last = NULL;
	load->noted_tail = link;
	pthread_mutex_unlock(&load->lock);
	while ((touch = list)) {
		uint64_t hash = names_hash(load->screen->names, touch_entity(touch));

		list = touch->next;
		if (rc == 0 && names_fate(load->screen->names, hash) == FATE_KEPT_OUT)
			rc = give_back(sieve, hash, touch_entity(touch), touch_row(touch));
		free(touch);
	}
	return rc;
}

static bool keep_out(struct ingest_sieve *sieve, const struct finding *finding, struct slice record)
{
	struct record rec;

	if (record_view(record, &rec) < 0 || !names_meet(sieve->load->screen->names, finding->hash, FATE_KEPT_OUT))
		return false;
	sieve->load->screened.figures.unchanged += rec.cells;
	sieve->load->screened.figures.rows++;
	return true;
}

/* One row, in its turn. */
static int take_row(struct ingest_sieve *sieve, const struct ingest_row *row, const struct finding *finding)
{
	struct names *names = sieve->load->screen->names;
	enum fate fate = names_fate(names, finding->hash);
	struct slice base = finding->base;
	int rc = 0;

	if (fate == FATE_UNMET && finding->is_same && keep_out(sieve, finding, row->record))
		return 0;
	if (fate == FATE_KEPT_OUT && finding->is_same) {
		sieve->load->screened.figures.repeated++;
		return 0;
	}
	if (fate == FATE_UNMET)
		names_meet(names, finding->hash, FATE_GIVEN);
	if (fate == FATE_KEPT_OUT) {
		rc = sieve->looks ? 0 : store_get_row_over(sieve->snap, sieve->grp->rows, sieve->grp->overlay, row->entity, &base);
		if (rc == 0)
			rc = give_back(sieve, finding->hash, row->entity, base);
	}
	return rc < 0 ? rc : sieve->give(sieve->arg, row->entity, row->record);
}

static int take_rows(struct ingest_sieve *sieve)
{
	const struct finding *findings = (const struct finding *)sieve->findings.data;
	struct ingest_load *load = sieve->load;
	int rc = take_changes(sieve);

	for (size_t i = 0; i < sieve->n && rc == 0; i++) {
		if (i + AHEAD < sieve->n)
			names_fetch(load->screen->names, findings[i + AHEAD].hash);
		rc = take_row(sieve, &sieve->rows[i], &findings[i]);
	}
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&load->lock);
	if (sieve->looks)
		note_window_locked(load->screen, sieve->n, sieve->same);
	rc = load->trouble;
	pthread_mutex_unlock(&load->lock);
	return rc;
}

int ingest_sieve_take(struct ingest_sieve *sieve, ingest_give give, void *arg, struct why *why)
{
	struct ingest_load *load = sieve->load;
	int rc;

	why->text[0] = '\0';
	sieve->give = give;
	sieve->arg = arg;
	rc = take_rows(sieve);
	end_sieve(sieve);
	return rc < 0 ? fail_screening(load, rc, why) : 0;
}

/* ---- its beginning and its end ---- */

bool ingest_load_screens(struct ingest_load *load)
{
	struct ingest *ingest = load->options.mode != INGEST_LOAD_SNAPSHOT ? loading_enter(load) : NULL;
	uint64_t rows;

	if (!ingest)
		return false;
	rows = count_standing(ingest, load);
	loading_leave(load);
	return rows > 0;
}

void screen_close(struct ingest_load *load)
{
	struct touch *next;

	if (load->screening != SCREEN_OPEN)
		return;
	pthread_mutex_lock(&load->lock);
	load->screening = SCREEN_CLOSED;
	for (struct touch *touch = load->noted; touch; touch = next) {
		next = touch->next;
		load->touched_bytes -= touch_bytes(touch);
		if (screen_kept_out(load->screen, touch_entity(touch)))
			touch_kept_out_locked(load, touch_entity(touch), touch_row(touch), touch->seq);
		free(touch);
	}
	load->noted = NULL;
	load->noted_tail = &load->noted;
	pthread_mutex_unlock(&load->lock);
	/* The first part is yet to be judged: nobody else looks at the sums. */
	loading_add(&load->total, &load->screened);
	atomic_fetch_add(&load->rows, load->screened.figures.rows);
}
