/* SPDX-License-Identifier: MIT */
/*
 * What other lanes change of a group while a load of it is at work: which rows, and what they were.
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
 * All this happens on the leader's thread, between commits, so that there is no moment in which a change is neither seen nor remembered. What has to do
 * with the screen is the load's own thread's, too, and under the load's lock.
 */
#include "ingest/loading.h"

#include <errno.h>
#include <search.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include "base/text.h"

enum { TOUCHED_MAX = 64 << 20 };	/* bytes of remembered rows; more, and the load fails */

/* What a commit has touched, until it is made. */
struct touching {
	struct ingest_load *load;
	size_t entity_at, entity_len, row_at, row_len;
};

/* ---- touches ---- */

static int compare_touches(const void *a, const void *b)
{
	return slice_compare(touch_entity(a), touch_entity(b));
}

static void trouble_locked(struct ingest_load *load, int rc)
{
	if (!load->trouble)
		load->trouble = rc;
}

void touch_note_trouble(struct ingest_load *load, int rc)
{
	pthread_mutex_lock(&load->lock);
	trouble_locked(load, rc);
	pthread_mutex_unlock(&load->lock);
}

bool touch_is_behind_cursor(const struct ingest_load *load, struct slice entity)
{
	return load->is_at_end || (load->cursor.len && slice_compare(entity, buf_slice(&load->cursor)) <= 0);
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

struct touch *touch_find(struct ingest_load *load, struct slice entity)
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

void touch_done_locked(struct ingest_load *load, struct slice entity)
{
	struct touch *touch = touch_find(load, entity);

	tdelete(touch, &load->touched, compare_touches);
	load->n_touched--;
	load->touched_bytes -= touch_bytes(touch);
	free(touch);
}

/* ---- what commits change ---- */

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
	bool is_behind = touch_is_behind_cursor(load, entity);
	struct touch *touch;

	if (take_screened(load, entity, row, seq) || (!is_behind && atomic_load(&load->judging) == 0))
		return;
	touch = touch_new(entity, row, seq);
	if (!touch) {
		touch_note_trouble(load, -ENOMEM);
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

/* ---- forgetting ---- */

/* Those that no part can be wrong about any more: behind the cursor they have been judged anew, or the next snapshots see them. */
void touch_forget_ahead(struct ingest_load *load, uint64_t seq)
{
	struct touch **link = &load->ahead, *touch;

	while ((touch = *link)) {
		if (touch->seq <= seq || touch_is_behind_cursor(load, touch_entity(touch)) || atomic_load(&load->judging) == 0) {
			*link = touch->next;
			free(touch);
		} else {
			link = &touch->next;
		}
	}
	load->ahead_tail = link;
}

void touch_free_all(struct ingest_load *load)
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
