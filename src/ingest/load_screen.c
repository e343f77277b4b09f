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
 * The hash is keyed by chance and has 62 bits. Where two names met in it, one's row would be taken for a repetition of the other's, with a chance of
 * one in a million million for a load of a million rows.
 *
 * Screening pays only if most rows are the same. It looks at a window of rows, goes on if a quarter of them were, and else leaves out twice as
 * many before the next one. Names are remembered anyway while there is room; those that find none are given back always.
 */
#include "ingest/loading.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <xxhash.h>

enum {
	SEGMENTS = 256,			/* of the names: each grows by itself, so that growing needs little more than what it comes to */
	SLOTS_FIRST = 64,
	AT_ONCE = 64,			/* look-ups */
	WINDOW = 4096,			/* rows */
	PAYS = 4,			/* one in so many is the same */
	PAUSE_MAX = 64 * WINDOW,
};

enum fate { UNMET, KEPT_OUT, GIVEN };

/* A slot is 0, or a hash whose lowest bits say the fate. */
enum { FATE_BITS = 2, FATE_MASK = 3 };

struct segment {
	uint64_t *slots;
	uint32_t n, size;
};

struct screen {
	uint64_t key;
	struct segment segments[SEGMENTS];
	size_t bytes, bytes_max;
	bool is_full;			/* a name found no room: from then on, none is remembered */
	uint64_t window, same;		/* rows looked at in this window; those that were the same */
	uint64_t pause, paused;		/* rows that are left out between two windows; how many of them still are */
	struct buf base;		/* what stands, while it is given back */
};

/* ---- names ---- */

static uint64_t hash_of(const struct screen *screen, struct slice entity)
{
	return XXH3_64bits_withSeed(entity.data, entity.len, screen->key) & ~(uint64_t)FATE_MASK;
}

static inline struct segment *segment_of(struct screen *screen, uint64_t hash)
{
	return &screen->segments[hash >> 56];
}

static inline uint32_t place_of(const struct segment *seg, uint64_t hash)
{
	return (uint32_t)(hash >> FATE_BITS) & (seg->size - 1);
}

/* The slot that has the hash, or the free one where it would be. NULL: there is no slot at all. */
static uint64_t *find_slot(struct segment *seg, uint64_t hash)
{
	uint32_t at = seg->size ? place_of(seg, hash) : 0;

	while (seg->size && seg->slots[at] && (seg->slots[at] & ~(uint64_t)FATE_MASK) != hash)
		at = (at + 1) & (seg->size - 1);
	return seg->size ? &seg->slots[at] : NULL;
}

static enum fate fate_of(struct screen *screen, uint64_t hash)
{
	const uint64_t *slot = find_slot(segment_of(screen, hash), hash);

	return slot ? (enum fate)(*slot & FATE_MASK) : UNMET;
}

/* false: there is no room. */
static bool grow(struct screen *screen, struct segment *seg)
{
	struct segment next = { .size = seg->size ? 2 * seg->size : SLOTS_FIRST, .n = seg->n };
	size_t more = (next.size - seg->size) * sizeof *next.slots;

	if (screen->bytes + more > screen->bytes_max)
		return false;
	next.slots = calloc(next.size, sizeof *next.slots);
	if (!next.slots)
		return false;
	for (uint32_t i = 0; i < seg->size; i++)
		if (seg->slots[i])
			*find_slot(&next, seg->slots[i] & ~(uint64_t)FATE_MASK) = seg->slots[i];
	free(seg->slots);
	*seg = next;
	screen->bytes += more;
	return true;
}

/* What becomes of a name that was not met before. false: it is not remembered. */
static bool meet(struct screen *screen, uint64_t hash, enum fate fate)
{
	struct segment *seg = segment_of(screen, hash);

	if (screen->is_full)
		return false;
	if ((uint64_t)seg->n * 4 >= (uint64_t)seg->size * 3 && !grow(screen, seg)) {
		screen->is_full = true;
		return false;
	}
	*find_slot(seg, hash) = hash | fate;
	seg->n++;
	return true;
}

/* ---- rows ---- */

static struct screen *screen_new(size_t bytes_max)
{
	struct screen *screen = calloc(1, sizeof *screen);

	if (!screen)
		return NULL;
	if (getrandom(&screen->key, sizeof screen->key, GRND_NONBLOCK) != sizeof screen->key)
		screen->key = (uint64_t)(uintptr_t)screen;
	screen->bytes_max = bytes_max;
	screen->pause = WINDOW;
	return screen;
}

void screen_free(struct screen *screen)
{
	if (!screen)
		return;
	for (unsigned i = 0; i < SEGMENTS; i++)
		free(screen->segments[i].slots);
	buf_release(&screen->base);
	free(screen);
}

bool screen_kept_out(struct screen *screen, struct slice entity)
{
	return screen && fate_of(screen, hash_of(screen, entity)) == KEPT_OUT;
}

/* What one call works with. */
struct sieve {
	struct ingest_load *load;
	struct screen *screen;
	const struct catalog_group *grp;	/* as it is in the snapshot */
	struct store_snap *snap;
	ingest_give give;
	void *arg;
};

/* What stands is a row of the load that was kept out: it is one to be given, after all. */
static int give_back(struct sieve *sieve, uint64_t hash, struct slice entity, struct slice row)
{
	struct tally *tally = &sieve->load->screened;
	struct record rec;
	int rc = record_view(row, &rec);

	if (rc < 0)
		return rc;
	*find_slot(segment_of(sieve->screen, hash), hash) = hash | GIVEN;
	tally->figures.unchanged -= rec.cells;
	tally->figures.rows--;
	return sieve->give(sieve->arg, entity, row);
}

/* Changes of other lanes that the snapshot shows: the rows as they were are what the load has. */
static int take_changes(struct sieve *sieve, uint64_t seq)
{
	struct ingest_load *load = sieve->load;
	struct touch *list = NULL, **last = &list, **link, *touch;
	int rc = 0;

	pthread_mutex_lock(&load->lock);
	link = &load->noted;
	while ((touch = *link)) {
		if (touch->seq > seq) {
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
		uint64_t hash = hash_of(sieve->screen, touch_entity(touch));

		list = touch->next;
		if (rc == 0 && fate_of(sieve->screen, hash) == KEPT_OUT)
			rc = give_back(sieve, hash, touch_entity(touch), touch_row(touch));
		free(touch);
	}
	return rc;
}

/* What stands for some entities: in the overlay, else in the rows. Nothing is the empty row. */
static int look_up(struct sieve *sieve, const struct slice *entities, size_t n, struct slice *out)
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

static int keep_out(struct sieve *sieve, uint64_t hash, struct slice record)
{
	struct record rec;
	int rc = record_view(record, &rec);

	if (rc < 0 || !meet(sieve->screen, hash, KEPT_OUT))
		return rc < 0 ? rc : -ENOMEM;
	sieve->load->screened.figures.unchanged += rec.cells;
	sieve->load->screened.figures.rows++;
	return 0;
}

/* One row, in its turn. `base` is what stands, if it was asked for. */
static int sieve_row(struct sieve *sieve, const struct ingest_row *row, uint64_t hash, const struct slice *base)
{
	struct screen *screen = sieve->screen;
	struct slice stands = slice_of(NULL, 0);
	bool is_same = base && judge_is_same(&sieve->load->judge, *base, row->record);
	enum fate fate = fate_of(screen, hash);
	int rc = 0;

	screen->same += is_same;
	if (fate == UNMET && is_same && !screen->is_full && keep_out(sieve, hash, row->record) == 0)
		return 0;
	if (fate == KEPT_OUT && is_same) {
		sieve->load->screened.figures.repeated++;
		return 0;
	}
	if (fate == UNMET)
		meet(screen, hash, GIVEN);
	if (fate == KEPT_OUT) {
		rc = base ? 0 : store_get_row_over(sieve->snap, sieve->grp->rows, sieve->grp->overlay, row->entity, &stands);
		if (rc == 0)
			rc = give_back(sieve, hash, row->entity, base ? *base : stands);
	}
	return rc < 0 ? rc : sieve->give(sieve->arg, row->entity, row->record);
}

/* Are the next rows to be looked up? */
static bool pays(struct screen *screen, size_t n)
{
	if (screen->paused) {
		screen->paused -= n < screen->paused ? n : screen->paused;
		return false;
	}
	if (screen->window < WINDOW) {
		screen->window += n;
		return true;
	}
	if (screen->same * PAYS < screen->window) {
		screen->paused = screen->pause;
		screen->pause = screen->pause * 2 < PAUSE_MAX ? screen->pause * 2 : PAUSE_MAX;
	} else {
		screen->pause = WINDOW;
	}
	screen->window = screen->same = 0;
	return pays(screen, n);
}

static int sieve_some(struct sieve *sieve, const struct ingest_row *rows, size_t n)
{
	struct slice entities[AT_ONCE], standing[AT_ONCE];
	bool looks = pays(sieve->screen, n);
	uint64_t hashes[AT_ONCE];
	int rc = 0;

	for (size_t i = 0; i < n; i++) {
		struct segment *seg;

		entities[i] = rows[i].entity;
		hashes[i] = hash_of(sieve->screen, rows[i].entity);
		seg = segment_of(sieve->screen, hashes[i]);
		if (seg->size)
			__builtin_prefetch(&seg->slots[place_of(seg, hashes[i])], 1);
	}
	if (looks)
		rc = look_up(sieve, entities, n, standing);
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = sieve_row(sieve, &rows[i], hashes[i], looks ? &standing[i] : NULL);
	return rc;
}

/* ---- calls ---- */

static int open_screen(struct ingest_load *load)
{
	if (load->screening == SCREEN_OPEN)
		return 0;
	if (load->screening == SCREEN_CLOSED)
		return -EINVAL;
	load->screen = screen_new(load->options.screen_bytes);
	if (!load->screen)
		return -ENOMEM;
	/* From here on changes are noted; those that come before the first snapshot, it shows. */
	pthread_mutex_lock(&load->lock);
	load->screening = SCREEN_OPEN;
	pthread_mutex_unlock(&load->lock);
	return 0;
}

static int screen_rows(struct ingest *ingest, struct ingest_load *load, const struct ingest_row *rows, size_t n, ingest_give give, void *arg,
		       struct why *why)
{
	struct sieve sieve = { .load = load, .give = give, .arg = arg };
	const struct catalog *cat = NULL;
	uint64_t seq = 0;
	int rc = open_screen(load);

	sieve.screen = load->screen;
	if (rc == 0)
		rc = load_view(ingest, &sieve.snap, &cat);
	if (rc == 0)
		rc = loading_check_group(load, cat, why);
	if (rc == 0) {
		sieve.grp = catalog_find_id(cat, load->grp->id);
		rc = store_snap_seq(sieve.snap, &seq);
	}
	if (rc == 0)
		rc = take_changes(&sieve, seq);
	for (size_t i = 0; i < n && rc == 0; i += AT_ONCE)
		rc = sieve_some(&sieve, rows + i, n - i < AT_ONCE ? n - i : AT_ONCE);
	store_snap_end(sieve.snap);
	catalog_unref(cat);
	if (rc == 0) {
		pthread_mutex_lock(&load->lock);
		rc = load->trouble;
		pthread_mutex_unlock(&load->lock);
	}
	return rc < 0 && !why->text[0] ? why_fail(why, -rc, "rows can't be compared with what stands: %s", strerror(-rc)) : rc;
}

int ingest_load_screen(struct ingest_load *load, const struct ingest_row *rows, size_t n, ingest_give give, void *arg, struct why *why)
{
	struct ingest *ingest;
	struct why own;
	int rc;

	why = why ? why : &own;
	why->text[0] = '\0';
	if (load->state != LOAD_OPEN || load->screening == SCREEN_CLOSED)
		return why_fail(why, EINVAL, "rows are screened before the first one is given");
	ingest = loading_enter(load);
	rc = ingest ? screen_rows(ingest, load, rows, n, give, arg, why) : loading_fail_stopped(why);
	if (ingest)
		loading_leave(load);
	if (rc < 0)
		load->state = LOAD_FAILED;
	return rc;
}

bool ingest_load_screens(struct ingest_load *load)
{
	struct ingest *ingest = load->options.mode != INGEST_LOAD_SNAPSHOT ? loading_enter(load) : NULL;
	struct store_snap *snap = NULL;
	uint64_t rows = 0;

	if (!ingest)
		return false;
	if (store_snap_begin(ingest->store, &snap) < 0 || load_standing_rows(snap, load->grp->id, &rows) < 0)
		rows = 0;
	store_snap_end(snap);
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
