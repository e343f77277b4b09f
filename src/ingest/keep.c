/* SPDX-License-Identifier: MIT */
/*
 * What loads leave to do: an overlay is folded into the rows below it, and tables of rows that nobody reads any more are cleared. Both go in
 * small commits that change nothing anybody can see, with a rest as long as the work between two of them; a load that waits for a fold
 * makes it without rests. Whatever is left when the store is closed or killed is taken up at the next start.
 *
 * A small overlay is left where it is. Its rows lie anywhere among the group's, so folding it writes a page of the map for nearly each of them: many
 * times what they have themselves. The next load takes them into its own (load_fill.c), until they are too many. The price is a second look
 * for whoever reads; so an overlay that no load has followed for long is folded, too. Its age is that of its publishing by the clock, and counts on
 * while the store is closed.
 */
#include "ingest/private.h"

#include <errno.h>
#include <string.h>
#include "base/clock.h"

enum {
	ROWS_FIRST = 512, ROWS_MIN = 64, ROWS_MAX = 8192,	/* of one commit */
	COMMIT_NS = 3000000,					/* that it should take */
	RETRY_S = 10,						/* after a failure */
};

/* ---- one commit ---- */

struct keeping {
	struct work work;
	uint32_t rows;			/* table that is emptied */
	uint32_t group_id;		/* of which it is the overlay; 0: nobody reads it */
	struct slice last;		/* up to here; empty: it may be done */
	int64_t begun_ns, took_ns;
	bool is_over;
};

static int apply_fold(struct ingest *ingest, struct work *work, struct why *why)
{
	struct keeping *keeping = (struct keeping *)work;
	struct commit *commit = &ingest->commit;
	const struct catalog_group *grp = catalog_find_id(commit->cat, keeping->group_id);
	struct catalog_group *next;
	int rc;

	keeping->begun_ns = clock_monotonic();
	keeping->is_over = !grp || grp->overlay != keeping->rows;
	if (keeping->is_over)
		return 0;
	/* It needs room before it gives some back, so it leaves the rest to deletions. */
	if (commit->no_room)
		return fail_no_room(commit, why);
	if (keeping->last.len)
		return store_batch_fold(commit->batch, grp->overlay, grp->rows, slice_of(NULL, 0), keeping->last);
	if (store_batch_has_rows(commit->batch, grp->overlay))
		return 0;
	keeping->is_over = true;
	rc = catalog_group_on_tables(grp, grp->rows, 0, 0, &next);
	return rc < 0 ? rc : apply_put_group(commit, next);
}

static int apply_clear(struct ingest *ingest, struct work *work, struct why *why)
{
	struct keeping *keeping = (struct keeping *)work;
	struct commit *commit = &ingest->commit;

	(void)why;
	keeping->begun_ns = clock_monotonic();
	/* The note is what counts, now: a load that was at work when it was listed may have been published since. */
	keeping->is_over = load_is_filling(ingest, keeping->rows) || !apply_is_unused(commit, keeping->rows);
	if (keeping->is_over)
		return 0;
	if (keeping->last.len)
		return store_batch_clear(commit->batch, keeping->rows, keeping->last);
	if (store_batch_has_rows(commit->batch, keeping->rows))
		return 0;
	keeping->is_over = true;
	return apply_drop_unused(commit, keeping->rows);
}

static void took(struct work *work, int rc, uint64_t seq, const struct why *why)
{
	struct keeping *keeping = (struct keeping *)work;

	(void)rc;
	(void)seq;
	(void)why;
	keeping->took_ns = clock_monotonic() - keeping->begun_ns;
}

/* ---- one table ---- */

/* The entity that ends a stretch of `n` rows; empty at the table's end. */
static int find_last(struct ingest *ingest, uint32_t rows, unsigned n, struct buf *out)
{
	struct store_snap *snap = NULL;
	struct store_walk *walk = NULL;
	struct slice entity, row;
	int rc = store_snap_begin(ingest->store, &snap);

	buf_reset(out);
	if (rc == 0)
		rc = store_walk_rows(snap, rows, slice_of(NULL, 0), &walk);
	while (rc == 0 && n-- && (rc = store_walk_next(walk, &entity, &row)) == 0) {
		buf_reset(out);
		buf_append_slice(out, entity);
	}
	store_walk_end(walk);
	store_snap_end(snap);
	return rc == -ENOENT ? buf_error(out) : rc;
}

/* false if it was told to stop meanwhile. */
static bool rest(struct ingest *ingest, int64_t ns, bool ends_with_wish)
{
	struct timespec until = clock_after(ns);
	int rc = 0;
	bool goes_on;

	pthread_mutex_lock(&ingest->keep_lock);
	while (!ingest->keep_stop && !(ends_with_wish && ingest->keep_wanted) && rc == 0)
		rc = ns ? pthread_cond_timedwait(&ingest->keep_wake, &ingest->keep_lock, &until)
			: pthread_cond_wait(&ingest->keep_wake, &ingest->keep_lock);
	goes_on = !ingest->keep_stop;
	pthread_mutex_unlock(&ingest->keep_lock);
	return goes_on;
}

static unsigned adapt(unsigned rows, int64_t took_ns)
{
	if (took_ns > COMMIT_NS)
		rows = rows * 2 / 3;
	else if (took_ns < COMMIT_NS / 2)
		rows = rows * 3 / 2;
	return rows < ROWS_MIN ? ROWS_MIN : rows > ROWS_MAX ? ROWS_MAX : rows;
}

/* Folds or clears a table to its end. -EINTR: told to stop. */
static int empty_table(struct ingest *ingest, uint32_t rows, uint32_t group_id, bool rests)
{
	struct keeping keeping = { .work = { .apply = group_id ? apply_fold : apply_clear, .done = took }, .rows = rows,
				   .group_id = group_id };
	struct buf last = { 0 };
	unsigned n = ROWS_FIRST;
	int rc = 0;

	while (rc == 0 && !keeping.is_over) {
		rc = find_last(ingest, rows, n, &last);
		keeping.last = buf_slice(&last);
		if (rc == 0)
			rc = work_run(ingest, &keeping.work, NULL);
		if (rc == 0)
			rc = store_pace(ingest->store);
		n = adapt(n, keeping.took_ns);
		if (rc == 0 && rests && !keeping.is_over && !rest(ingest, keeping.took_ns + 1, false))
			rc = -EINTR;
	}
	buf_release(&last);
	return rc;
}

/* The table's rows, counted to one more than `most`. */
static int count_rows(struct store_snap *snap, uint32_t rows, uint64_t most, uint64_t *out)
{
	struct slice entity, row;
	struct store_walk *walk;
	int rc = store_walk_rows(snap, rows, slice_of(NULL, 0), &walk);

	if (rc < 0)
		return rc;
	for (*out = 0; *out <= most && (rc = store_walk_next(walk, &entity, &row)) == 0; ++*out)
		;
	store_walk_end(walk);
	return rc == -ENOENT ? 0 : rc;
}

int keep_look(struct ingest *ingest, uint32_t group_id, struct overlay *out)
{
	const struct catalog *cat = NULL;
	const struct catalog_group *grp;
	struct store_snap *snap = NULL;
	uint64_t rows = 0;
	int rc = load_view(ingest, &snap, &cat);

	*out = (struct overlay){ 0 };
	if (rc < 0)
		return rc;
	grp = catalog_find_id(cat, group_id);
	if (grp && grp->overlay) {
		out->table = grp->overlay;
		out->since_ns = grp->overlay_ns;
		rc = load_standing_rows(snap, group_id, &rows);
		out->rows_max = rows / 100 * ingest->options.overlay_percent + rows % 100 * ingest->options.overlay_percent / 100;
		if (rc == 0)
			rc = count_rows(snap, out->table, out->rows_max, &out->rows);
	}
	store_snap_end(snap);
	catalog_unref(cat);
	return rc;
}

int keep_fold(struct ingest *ingest, uint32_t group_id)
{
	const struct catalog_group *grp;
	uint32_t overlay;
	uint64_t number;
	struct catalog *cat = catalog_current_get(ingest->cur, &number);

	grp = catalog_find_id(cat, group_id);
	overlay = grp ? grp->overlay : 0;
	catalog_unref(cat);
	return overlay ? empty_table(ingest, overlay, group_id, false) : 0;
}

/* ---- all of them ---- */

/* How long an overlay may stay where it is; 0: no longer. One of a time that the clock has yet to reach by far was published by a wrong one. */
static int64_t time_left(const struct ingest *ingest, const struct overlay *overlay)
{
	int64_t now_ns = clock_now(), most_ns = ingest->options.overlay_ns;

	if (!overlay->rows || overlay->rows > overlay->rows_max || overlay->since_ns <= now_ns - most_ns || overlay->since_ns > now_ns + most_ns)
		return 0;
	return overlay->since_ns + most_ns - now_ns;
}

/* `out_ns`: when the first of those that stay is to go; 0: there is none. */
static int fold_all(struct ingest *ingest, int64_t *out_ns)
{
	uint64_t number;
	struct catalog *cat = catalog_current_get(ingest->cur, &number);
	int rc = 0;

	*out_ns = 0;
	for (unsigned i = 0; rc == 0 && i < cat->n_groups; i++) {
		struct overlay overlay = { 0 };
		int64_t left_ns;

		if (cat->groups[i]->overlay)
			rc = keep_look(ingest, cat->groups[i]->id, &overlay);
		if (rc < 0 || !overlay.table)
			continue;
		left_ns = time_left(ingest, &overlay);
		if (!left_ns)
			rc = empty_table(ingest, overlay.table, cat->groups[i]->id, true);
		else if (!*out_ns || left_ns < *out_ns)
			*out_ns = left_ns;
	}
	catalog_unref(cat);
	return rc;
}

static uint32_t number_of_key(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* Numbers of tables. */
static int list_unused(struct ingest *ingest, struct buf *out)
{
	struct store_snap *snap = NULL;
	struct store_walk *walk = NULL;
	struct slice key, value;
	int rc = store_snap_begin(ingest->store, &snap);

	if (rc == 0)
		rc = store_walk_begin(snap, STORE_META, slice_str(UNUSED_PREFIX), &walk);
	while (rc == 0 && (rc = store_walk_next(walk, &key, &value)) == 0) {
		uint32_t rows;

		if (key.len != strlen(UNUSED_PREFIX) + 4) {
			rc = -EBADMSG;
			break;
		}
		rows = number_of_key((const uint8_t *)key.data + strlen(UNUSED_PREFIX));
		buf_append(out, &rows, sizeof rows);
	}
	store_walk_end(walk);
	store_snap_end(snap);
	return rc == -ENOENT ? buf_error(out) : rc;
}

static int clear_all(struct ingest *ingest)
{
	struct buf unused = { 0 };
	int rc = list_unused(ingest, &unused);
	const uint32_t *list = (const uint32_t *)unused.data;

	for (size_t i = 0; rc == 0 && i < unused.len / sizeof *list; i++)
		rc = empty_table(ingest, list[i], 0, true);
	buf_release(&unused);
	return rc;
}

/* A full disk or a failed log is for the lanes to tell; here it is only tried again. */
static void *keep(void *arg)
{
	struct ingest *ingest = arg;
	int64_t wait_ns = 0;

	while (rest(ingest, wait_ns, true)) {
		int rc;

		pthread_mutex_lock(&ingest->keep_lock);
		ingest->keep_wanted = false;
		pthread_mutex_unlock(&ingest->keep_lock);
		rc = clear_all(ingest);
		if (rc == 0)
			rc = fold_all(ingest, &wait_ns);
		if (rc < 0)
			wait_ns = RETRY_S * CLOCK_SECOND;
	}
	return NULL;
}

void keep_wake(struct ingest *ingest)
{
	pthread_mutex_lock(&ingest->keep_lock);
	ingest->keep_wanted = true;
	pthread_cond_signal(&ingest->keep_wake);
	pthread_mutex_unlock(&ingest->keep_lock);
}

int keep_start(struct ingest *ingest)
{
	pthread_condattr_t attr;
	int rc;

	pthread_mutex_init(&ingest->keep_lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&ingest->keep_wake, &attr);
	pthread_condattr_destroy(&attr);
	ingest->keep_wanted = true;
	rc = pthread_create(&ingest->keeper, NULL, keep, ingest);
	if (rc) {
		pthread_mutex_destroy(&ingest->keep_lock);
		pthread_cond_destroy(&ingest->keep_wake);
	}
	return -rc;
}

void keep_stop(struct ingest *ingest)
{
	pthread_mutex_lock(&ingest->keep_lock);
	ingest->keep_stop = true;
	pthread_cond_signal(&ingest->keep_wake);
	pthread_mutex_unlock(&ingest->keep_lock);
	pthread_join(ingest->keeper, NULL);
	pthread_mutex_destroy(&ingest->keep_lock);
	pthread_cond_destroy(&ingest->keep_wake);
}
