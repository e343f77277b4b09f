/* SPDX-License-Identifier: MIT */
/*
 * The kernel keeps the name of each row of a view that somebody has opened, and each that was asked for in vain, though it asks again every time.
 * They are of no use to anybody, take memory on both sides, and when the view's directory is out of date they are all thrown away in the open of
 * whoever comes by next. So they are taken back while they are few: a row by its number, the oldest ones first, a batch at a time; names of nothing, which
 * have no number, by dropping the directory that they are in, which the next lookup in the view brings back.
 *
 * A thread of its own does that, for a name is dropped under a lock that lookups in its directory hold; none of those is answered by this thread.
 * What somebody has open stays as it is.
 */
#include "mount/serving_private.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

enum {
	HELD_MAX = 1024,		/* of all views; some ten milliseconds to throw away */
	BATCH = 256,
	ABSENT_MAX = 1024,		/* of a directory; some five milliseconds */
	NOTIFY_PRUNE = 9,		/* the kernel's number of the message (Linux 6.18); libfuse has no call for it */
};

void rows_add(struct serving *serving, struct fresh *row)
{
	struct rows *rows = &serving->rows;

	pthread_mutex_lock(&serving->lock);
	row->row_next = NULL;
	row->row_prev = rows->last;
	*rows->last = row;
	rows->last = &row->row_next;
	if (++rows->n > HELD_MAX)
		pthread_cond_signal(&rows->wake);
	pthread_mutex_unlock(&serving->lock);
}

void rows_remove_locked(struct serving *serving, struct fresh *row)
{
	struct rows *rows = &serving->rows;

	if (!row->row_prev)
		return;
	*row->row_prev = row->row_next;
	if (row->row_next)
		row->row_next->row_prev = row->row_prev;
	else
		rows->last = row->row_prev;
	row->row_prev = NULL;
	rows->n--;
}

/* The same name, asked for again and again, counts once; one that has pushed it out of its place in between makes it count once more. */
void rows_add_absent(struct serving *serving, struct sgroup *view, unsigned form, struct slice key)
{
	struct rows *rows = &serving->rows;
	uint64_t hash = sentity_hash(view->id, key) + form, *place = &rows->absent[hash % SERVING_ABSENT];

	pthread_mutex_lock(&serving->lock);
	if (*place != hash) {
		*place = hash;
		if (++view->absent[form] >= ABSENT_MAX) {
			rows->has_full = true;
			pthread_cond_signal(&rows->wake);
		}
	}
	pthread_mutex_unlock(&serving->lock);
}

/* ---- the thread: rows ---- */

/* The kernel looks at each node by its number, under no lock that a lookup would wait for. */
static int prune(struct serving *serving, struct fresh *const list[BATCH])
{
	struct {
		uint32_t len;
		int32_t code;
		uint64_t unique;	/* 0: a message of ours, not an answer */
		uint32_t count, padding;
		uint64_t spare, inos[BATCH];
	} message = { .len = sizeof message, .code = NOTIFY_PRUNE, .count = BATCH };

	for (int i = 0; i < BATCH; i++)
		message.inos[i] = snode_ino(serving, &list[i]->node);
	return write(fuse_session_fd(serving->channel.session), &message, sizeof message) == (ssize_t)sizeof message ? 0 : -errno;
}

static void drop_name(struct serving *serving, const struct fresh *row)
{
	const struct snode *form = &row->grp->forms[row->number];

	fuse_lowlevel_notify_inval_entry(serving->channel.session, snode_ino(serving, form), row->key, row->key_len);
}

static void take_rows_back(struct serving *serving, struct fresh *const list[BATCH])
{
	struct rows *rows = &serving->rows;

	atomic_fetch_add_explicit(&serving->row_names, BATCH, memory_order_relaxed);
	if (!rows->lacks_prune)
		rows->lacks_prune = prune(serving, list) == -EINVAL;
	for (int i = 0; i < BATCH; i++) {
		if (rows->lacks_prune)
			drop_name(serving, list[i]);
		snode_forget(serving, &list[i]->node, 1);
	}
}

static void unlock_to_take_rows_back(struct serving *serving)
{
	struct fresh *list[BATCH];

	for (int i = 0; i < BATCH; i++) {
		list[i] = serving->rows.first;
		list[i]->node.lookups++;
		rows_remove_locked(serving, list[i]);
	}
	pthread_mutex_unlock(&serving->lock);
	take_rows_back(serving, list);
	pthread_mutex_lock(&serving->lock);
}

/* ---- the thread: names of nothing ---- */

static struct sgroup *find_full_locked(struct serving *serving, unsigned *out_form)
{
	for (int i = 0; i < SERVING_GROUP_CHAINS; i++)
		for (struct sgroup *view = serving->groups[i]; view; view = view->next)
			for (*out_form = 0; *out_form < SERVING_FORMS; ++*out_form)
				if (view->absent[*out_form] >= ABSENT_MAX)
					return view;
	return NULL;
}

/* What is asked for from now on counts anew. */
static void unlock_to_drop_full(struct serving *serving)
{
	struct sgroup *view;
	unsigned form;

	serving->rows.has_full = false;
	while ((view = find_full_locked(serving, &form)) != NULL) {
		const char *name = join_form_name(form);

		atomic_fetch_add_explicit(&serving->row_names, view->absent[form], memory_order_relaxed);
		view->absent[form] = 0;
		view->refs++;
		memset(serving->rows.absent, 0, sizeof serving->rows.absent);
		pthread_mutex_unlock(&serving->lock);
		fuse_lowlevel_notify_inval_entry(serving->channel.session, snode_ino(serving, &view->node), name, strlen(name));
		sgroup_drop(serving, view);
		pthread_mutex_lock(&serving->lock);
	}
}

static void *work(void *arg)
{
	struct serving *serving = arg;
	struct rows *rows = &serving->rows;

	pthread_mutex_lock(&serving->lock);
	while (!rows->stops) {
		if (rows->has_full)
			unlock_to_drop_full(serving);
		else if (rows->n > HELD_MAX)
			unlock_to_take_rows_back(serving);
		else
			pthread_cond_wait(&rows->wake, &serving->lock);
	}
	pthread_mutex_unlock(&serving->lock);
	return NULL;
}

/* ---- beginning and end ---- */

void rows_init(struct serving *serving)
{
	serving->rows.last = &serving->rows.first;
	pthread_cond_init(&serving->rows.wake, NULL);
}

int rows_start(struct serving *serving)
{
	int err = pthread_create(&serving->rows.thread, NULL, work, serving);

	serving->rows.has_thread = err == 0;
	return -err;
}

void rows_stop(struct serving *serving)
{
	if (!serving->rows.has_thread)
		return;
	pthread_mutex_lock(&serving->lock);
	serving->rows.stops = true;
	pthread_cond_signal(&serving->rows.wake);
	pthread_mutex_unlock(&serving->lock);
	pthread_join(serving->rows.thread, NULL);
	serving->rows.has_thread = false;
}

void rows_release(struct serving *serving)
{
	pthread_cond_destroy(&serving->rows.wake);
}
