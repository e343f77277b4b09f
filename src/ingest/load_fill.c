/* SPDX-License-Identifier: MIT */
/*
 * What the shadow has to hold beside the load's own rows, before it is published. Rows that stand are copied into it as they are, in small commits:
 *
 *	the gaps	of a shadow that is nearly all of the group: it becomes the group's table then, for copying the rest costs less than
 *			folding all of it later
 *	the overlay	that an earlier load has left over the group's rows: this load's shadow takes its place, and a group has but one. It is
 *			copied if the two together stay small enough to be left (keep.c), and if it is not so much larger than the load
 *			that a few rows would copy many; else it is folded here, which costs what folding it earlier would have
 *
 * Rows only ever leave an overlay while the load is open (a direct write takes its row down, a fold takes all), so that what was copied once is
 * never too little; and a row that changes after it was copied is touched, and judged anew.
 */
#include "ingest/loading.h"

#include <errno.h>
#include <string.h>

enum {
	FILL_BYTES = 128 << 10,		/* of rows copied in one commit, which lie anywhere */
	GAP_SHARE = 4,			/* gaps are filled if they are no more than this part of the shadow */
	CARRY_MOST = 8,			/* rows of an overlay that are copied for one row of the load */
};

static int open_overlay(struct ingest *ingest, struct ingest_load *load, struct slice after, struct standing *out, struct why *why)
{
	const struct catalog_group *grp;
	int rc = loading_open_view(ingest, load, out, &grp, why);

	if (rc < 0)
		return rc;
	out->at_end = !grp->overlay;
	return grp->overlay ? store_walk_rows(out->snap, grp->overlay, after, &out->walk) : 0;
}

/* Copies of rows that have none in the shadow, from behind load->judged on, which moves on. */
static int gather(struct ingest_load *load, struct standing *st, struct store_walk *shadow, struct buf *sets)
{
	struct slice key = slice_of(NULL, 0), row;
	int rc = 0, shadow_rc = 0;

	while (rc == 0 && !st->at_end && sets->len < FILL_BYTES) {
		rc = loading_take_standing(st, store_walk_next(st->walk, &st->key, &st->row));
		if (rc < 0 || st->at_end)
			break;
		if (shadow_rc == 0 && (!key.len || slice_compare(key, st->key) < 0))
			shadow_rc = store_walk_seek(shadow, st->key, &key, &row);
		if (shadow_rc < 0 && shadow_rc != -ENOENT)
			return shadow_rc;
		if (shadow_rc == 0 && slice_equal(key, st->key))
			continue;
		store_set_append(sets, load->shadow, st->key, st->row);
	}
	if (rc == 0 && !st->at_end) {
		buf_reset(&load->judged);
		buf_append_slice(&load->judged, st->key);
	}
	return rc < 0 ? rc : buf_error(sets) < 0 ? -ENOMEM : buf_error(&load->judged);
}

static int fill_some(struct ingest *ingest, struct ingest_load *load, bool of_overlay, bool *out_is_over, struct why *why)
{
	struct filling filling = { .work = { .apply = loading_apply_fill, .done = loading_fill_done }, .load = load };
	struct store_walk *shadow = NULL;
	struct buf sets = { 0 };
	struct standing st;
	int rc = (of_overlay ? open_overlay : loading_open_standing)(ingest, load, buf_slice(&load->judged), &st, why);

	if (rc == 0)
		rc = store_walk_rows(st.snap, load->shadow, buf_slice(&load->judged), &shadow);
	if (rc == 0)
		rc = gather(load, &st, shadow, &sets);
	*out_is_over = st.at_end;
	store_walk_end(shadow);
	loading_close_standing(&st);
	filling.sets = buf_slice(&sets);
	if (rc == 0 && sets.len)
		rc = work_run(ingest, &filling.work, why);
	if (rc == 0)
		rc = store_pace(ingest->store);
	buf_release(&sets);
	return rc < 0 && !why->text[0] ? why_fail(why, -rc, "%s", strerror(-rc)) : rc;
}

static int fill_all(struct ingest *ingest, struct ingest_load *load, bool of_overlay, struct why *why)
{
	bool is_over = false;
	int rc = 0;

	buf_reset(&load->judged);
	while (rc == 0 && !is_over)
		rc = fill_some(ingest, load, of_overlay, &is_over, why);
	return rc;
}

static int fill_gaps(struct ingest *ingest, struct ingest_load *load, bool *out_is_whole, struct why *why)
{
	const struct tally *total = &load->total;	/* no work is under way */
	struct standing st;
	uint64_t standing_rows;
	int rc = loading_open_standing(ingest, load, slice_of(NULL, 0), &st, why);

	standing_rows = st.rows;
	loading_close_standing(&st);
	*out_is_whole = false;
	if (rc < 0 || total->hides || (standing_rows > total->covered && (standing_rows - total->covered) * GAP_SHARE > total->rows))
		return rc;
	*out_is_whole = true;
	return standing_rows > total->covered ? fill_all(ingest, load, false, why) : 0;
}

/* `is_whole`: nothing is left to copy but what hides rows. */
static int meet_overlay(struct ingest *ingest, struct ingest_load *load, bool is_whole, struct why *why)
{
	struct overlay overlay;
	uint64_t rows = load->total.rows;
	int rc = keep_look(ingest, load->grp->id, &overlay);

	if (rc == 0 && overlay.table) {
		if (is_whole || (overlay.rows + rows <= overlay.rows_max && overlay.rows <= rows * CARRY_MOST))
			rc = fill_all(ingest, load, true, why);
		else
			rc = keep_fold(ingest, load->grp->id);
	}
	load->meets_overlay = rc == 0;
	return rc < 0 && !why->text[0] ? why_fail(why, -rc, "what an earlier load has left can't be folded: %s", strerror(-rc)) : rc;
}

int loading_fill(struct ingest *ingest, struct ingest_load *load, struct why *why)
{
	bool is_whole;
	int rc = fill_gaps(ingest, load, &is_whole, why);

	return rc < 0 || load->meets_overlay ? rc : meet_overlay(ingest, load, is_whole, why);
}
