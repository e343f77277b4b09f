/* SPDX-License-Identifier: MIT */
/*
 * Files of the serving mount that are made when they are opened: .schema, .stats, .errors, those of .featurefs/, and rows of views, which their
 * lookup makes already, for it tells whether there is such a row. There is no OPEN to make them
 * at, so each lookup gives a node of its own that the kernel may keep neither by name nor with attributes; the first GETATTR behind
 * it, which the kernel needs for its permission check, makes the text. From then on that node shows that text.
 *
 * What takes long (.stats walks its group) is made by a thread of its own: a commit may have to wait for lookups, and so all other threads
 * must be free for those. A request that came by io_uring must be answered by the thread that brought it (uring.c), and then is, however long
 * that takes.
 *
 * That thread also gives memory back, when the kernel has forgotten most of what it held: malloc alone keeps what is not at the end of a heap.
 */
#include "mount/serving_private.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

enum { TRIM_BYTES = 64 << 20 };		/* freed since the last time, and half of all: it takes milliseconds for each 100 MB */

static bool is_rendered(struct serving *serving, const struct fresh *fresh, struct slice *out)
{
	pthread_mutex_lock(&serving->lock);
	*out = slice_of(fresh->text, fresh->len);
	pthread_mutex_unlock(&serving->lock);
	return out->data;
}

/* Of two that come at once, the first one's text is shown to both. */
static int keep_text(struct serving *serving, struct fresh *fresh, struct slice text, struct slice *out)
{
	char *copy = malloc(text.len + 1);

	if (!copy)
		return -ENOMEM;
	if (text.len)
		memcpy(copy, text.data, text.len);
	pthread_mutex_lock(&serving->lock);
	if (!fresh->text) {
		fresh->text = copy;
		fresh->len = text.len;
		atomic_fetch_add_explicit(&serving->node_bytes, text.len, memory_order_relaxed);
		copy = NULL;
	}
	*out = slice_of(fresh->text, fresh->len);
	pthread_mutex_unlock(&serving->lock);
	free(copy);
	return 0;
}

int fresh_set_text(struct serving *serving, struct fresh *fresh, struct slice text)
{
	struct slice kept;

	return keep_text(serving, fresh, text, &kept);
}

static int render_schema(struct serving *serving, uint32_t group_id, struct buf *out)
{
	uint64_t number;
	struct catalog *cat = catalog_current_get(serving->lane->cur, &number);
	const struct catalog_group *grp = catalog_find_id(cat, group_id);
	int rc = !grp ? -ENOENT : grp->view ? catalog_view_print(cat, grp, out) : catalog_group_print(grp, out);

	catalog_unref(cat);
	return rc;
}

static int render(struct serving *serving, struct fresh *fresh, struct slice *out)
{
	struct buf buf = { 0 };
	struct target target;
	int rc;

	if (is_rendered(serving, fresh, out))
		return 0;
	snode_target(&fresh->node, &target);
	if (target.kind == NODE_SCHEMA)
		rc = render_schema(serving, target.group_id, &buf);
	else if (target.kind == NODE_LOOKUP)
		rc = 0;			/* it answers calls of its own: serving_batch.c */
	else
		rc = control_render_plain(serving->lane, serving->options.controls, &target, &buf);
	if (rc == 0)
		rc = keep_text(serving, fresh, buf_slice(&buf), out);
	buf_release(&buf);
	return rc;
}

/* ---- replies ---- */

static void show_attr(struct serving *serving, fuse_req_t req, struct fresh *fresh)
{
	const struct attr_frame frame = { .owners = &serving->options.owners, .lane = serving->lane };
	const struct catalog_group *grp;
	struct content content = { 0 };
	struct target target;
	struct serve_view view;
	struct stat st;
	int rc = render(serving, fresh, &content.text);

	if (rc == 0)
		rc = serve_begin(serving->lane->store, serving->lane->cur, &view);
	if (rc < 0) {
		reply_err(req, -rc);
		return;
	}
	snode_target(&fresh->node, &target);
	grp = catalog_find_id(view.cat, target.group_id);
	if (grp)
		content.event_ns = content.ingest_ns = fresh->made_ns ? fresh->made_ns : grp->changed_ns;
	rc = attr_fill_plain(&frame, &view, &target, &content, &st);
	serve_end(&view);
	st.st_size = (off_t)content.text.len;
	st.st_blocks = (blkcnt_t)((content.text.len + 511) / 512);
	if (rc < 0)
		reply_err(req, -rc);
	else
		reply_attr(req, &st, 0);
}

static void show_text(struct serving *serving, fuse_req_t req, struct fresh *fresh, size_t size, off_t off)
{
	struct slice text;
	int rc = render(serving, fresh, &text);
	size_t at;

	if (rc < 0) {
		reply_err(req, -rc);
		return;
	}
	at = (uint64_t)off < text.len ? (size_t)off : text.len;
	reply_buf(req, (const char *)text.data + at, size < text.len - at ? size : text.len - at);
}

static void reply(struct serving *serving, const struct slow *slow)
{
	snode_hold(serving, &slow->fresh->node);
	if (slow->is_read)
		show_text(serving, slow->req, slow->fresh, slow->size, slow->off);
	else
		show_attr(serving, slow->req, slow->fresh);
	snode_forget(serving, &slow->fresh->node, 1);
}

/* ---- the thread for what takes long ---- */

static void reply_or_wait(struct serving *serving, const struct slow *slow)
{
	struct slow *copy;
	struct slice text;

	if (slow->fresh->node.kind != NODE_STATS || uring_has_brought(slow->req) || is_rendered(serving, slow->fresh, &text)) {
		reply(serving, slow);
		return;
	}
	copy = malloc(sizeof *copy);
	if (!copy) {
		reply_err(slow->req, ENOMEM);
		return;
	}
	*copy = *slow;
	pthread_mutex_lock(&serving->lock);
	*serving->slow_last = copy;
	serving->slow_last = &copy->next;
	pthread_cond_signal(&serving->slow_wake);
	pthread_mutex_unlock(&serving->lock);
}

void fresh_getattr(struct serving *serving, fuse_req_t req, struct fresh *fresh)
{
	const struct slow slow = { .req = req, .fresh = fresh };

	reply_or_wait(serving, &slow);
}

void fresh_read(struct serving *serving, fuse_req_t req, struct fresh *fresh, size_t size, off_t off)
{
	const struct slow slow = { .req = req, .fresh = fresh, .is_read = true, .size = size, .off = off };

	reply_or_wait(serving, &slow);
}

void fresh_give_back(struct serving *serving)
{
	uint64_t bytes = atomic_load_explicit(&serving->node_bytes, memory_order_relaxed);
	uint_fast64_t most = atomic_load_explicit(&serving->most_bytes, memory_order_relaxed);

	if (bytes > most) {
		atomic_store_explicit(&serving->most_bytes, bytes, memory_order_relaxed);
		return;
	}
	if (most - bytes < TRIM_BYTES || bytes > most / 2 || !atomic_compare_exchange_strong(&serving->most_bytes, &most, bytes))
		return;
	pthread_mutex_lock(&serving->lock);
	serving->slow_trims = true;
	pthread_cond_signal(&serving->slow_wake);
	pthread_mutex_unlock(&serving->lock);
}

static void *work(void *arg)
{
	struct serving *serving = arg;
	struct slow *slow;

	pthread_mutex_lock(&serving->lock);
	while (!serving->slow_stops || serving->slow_first) {
		slow = serving->slow_first;
		if (!slow && serving->slow_trims) {
			serving->slow_trims = false;
			pthread_mutex_unlock(&serving->lock);
			malloc_trim(0);
			pthread_mutex_lock(&serving->lock);
			continue;
		}
		if (!slow) {
			pthread_cond_wait(&serving->slow_wake, &serving->lock);
			continue;
		}
		serving->slow_first = slow->next;
		if (!serving->slow_first)
			serving->slow_last = &serving->slow_first;
		pthread_mutex_unlock(&serving->lock);
		reply(serving, slow);
		free(slow);
		pthread_mutex_lock(&serving->lock);
	}
	pthread_mutex_unlock(&serving->lock);
	return NULL;
}

int fresh_start(struct serving *serving)
{
	int err;

	serving->slow_last = &serving->slow_first;
	err = pthread_create(&serving->slow_thread, NULL, work, serving);
	serving->has_slow = err == 0;
	return -err;
}

void fresh_stop(struct serving *serving)
{
	if (!serving->has_slow)
		return;
	pthread_mutex_lock(&serving->lock);
	serving->slow_stops = true;
	pthread_cond_signal(&serving->slow_wake);
	pthread_mutex_unlock(&serving->lock);
	pthread_join(serving->slow_thread, NULL);
	serving->has_slow = false;
}
