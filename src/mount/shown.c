/* SPDX-License-Identifier: MIT */
/*
 * Read handles. One shows what its file was when it was opened: the text is rendered then, once, and read(2), fstat and a private mmap all come from
 * it, whatever is written meanwhile. Handles that are opened on one node while others show a text share that text (look.c says why they may).
 */
#include "mount/handle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "mount/attr.h"
#include "mount/control.h"
#include "mount/edit.h"
#include "mount/join.h"
#include "mount/private.h"

enum { FREE_SHOWN_MAX = 256 };	/* 80 KiB kept for the next opens */

/* ---- what read handles show ---- */

bool shown_is(const struct shown *shown, const struct content *content)
{
	return shown->content.event_ns == content->event_ns && shown->content.ingest_ns == content->ingest_ns &&
	       slice_equal(shown->content.text, content->text);
}

static struct shown *alloc_shown(struct mount *mount)
{
	struct shown *shown;

	pthread_mutex_lock(&mount->lock);
	shown = mount->free_shown;
	if (shown) {
		mount->free_shown = shown->next_free;
		mount->n_free_shown--;
	}
	pthread_mutex_unlock(&mount->lock);
	return shown ? shown : malloc(sizeof *shown);
}

/* With a copy of the text; held by nobody. */
static struct shown *shown_new(struct mount *mount, struct node *node, const struct content *content)
{
	struct shown *shown = alloc_shown(mount);
	char *place;

	if (!shown)
		return NULL;
	shown->handle = (struct handle){ .kind = HANDLE_SHOWN, .node = node };
	shown->refs = 1;
	shown->is_nodes = false;
	shown->content = *content;
	shown->heap = content->text.len > SHOWN_INLINE ? malloc(content->text.len) : NULL;
	place = shown->heap ? shown->heap : shown->bytes;
	if (content->text.len > SHOWN_INLINE && !shown->heap) {
		free(shown);
		return NULL;
	}
	if (content->text.len)
		memcpy(place, content->text.data, content->text.len);
	shown->content.text.data = place;
	return shown;
}

static void free_shown(struct mount *mount, struct shown *shown)
{
	bool is_kept;

	if (!shown)
		return;
	free(shown->heap);
	shown->heap = NULL;
	pthread_mutex_lock(&mount->lock);
	is_kept = mount->n_free_shown < FREE_SHOWN_MAX;
	if (is_kept) {
		shown->next_free = mount->free_shown;
		mount->free_shown = shown;
		mount->n_free_shown++;
	}
	pthread_mutex_unlock(&mount->lock);
	if (!is_kept)
		free(shown);
}

void shown_release(struct mount *mount)
{
	while (mount->free_shown) {
		struct shown *shown = mount->free_shown;

		mount->free_shown = shown->next_free;
		free(shown);
	}
}

void shown_drop(struct mount *mount, struct shown *shown)
{
	bool is_last;

	pthread_mutex_lock(&mount->lock);
	is_last = --shown->refs == 0;
	if (is_last) {
		if (shown->is_nodes)
			shown->handle.node->shown = NULL;
		handle_unlist_locked(&shown->handle);
		node_drop_locked(mount, shown->handle.node);
	}
	pthread_mutex_unlock(&mount->lock);
	if (is_last)
		free_shown(mount, shown);
}

/* ---- OPEN to read ---- */

/* Takes what the node's handles show, or else gives it `fresh`. -EAGAIN: a lookup has answered from a newer snapshot; -ESTALE: writers
 * have the node. */
static int share(struct mount *mount, struct node *node, struct shown *fresh, pid_t tid, struct shown **out, bool *out_must_void)
{
	int rc = 0;

	pthread_mutex_lock(&mount->lock);
	if (node->n_edits)
		rc = edit_promise_locked(mount, node, tid);
	if (rc < 0) {
		*out = NULL;
	} else if (node->shown) {
		node->shown->refs++;
		*out = node->shown;
	} else if (fresh->content.version < node->version) {
		rc = -EAGAIN;
	} else {
		node_hold_locked(node);
		edit_keep_promise_locked(mount, node);
		handle_list_locked(mount, &fresh->handle);
		node->shown = fresh;
		fresh->is_nodes = true;
		*out = fresh;
	}
	*out_must_void = rc == 0 && attr_show_locked(node, &node->shown->content);
	pthread_mutex_unlock(&mount->lock);
	return rc;
}

static int render_fresh(struct mount *mount, struct node *node, const struct target *target, struct shown **out)
{
	struct content content;
	int rc = attr_render_now(mount, target, &content);

	if (rc < 0)
		return rc;
	*out = shown_new(mount, node, &content);
	return *out ? 0 : -ENOMEM;
}

int shown_open(struct mount *mount, struct node *node, const struct target *target, pid_t tid, struct handle **out)
{
	struct shown *fresh, *shown;
	bool must_void;
	int rc;

	do {
		rc = render_fresh(mount, node, target, &fresh);
		if (rc < 0)
			return rc;
		rc = share(mount, node, fresh, tid, &shown, &must_void);
		if (rc < 0 || shown != fresh)
			free_shown(mount, fresh);
	} while (rc == -EAGAIN);
	if (rc < 0)
		return rc;
	if (must_void)
		attr_void(mount, node);
	*out = &shown->handle;
	return 0;
}

/* A handle with a text of its own. */
static int open_text(struct mount *mount, struct node *node, struct slice text, struct handle **out)
{
	const struct content content = { .text = text };
	struct shown *shown = shown_new(mount, node, &content);

	if (!shown)
		return -ENOMEM;
	pthread_mutex_lock(&mount->lock);
	node_hold_locked(node);
	handle_list_locked(mount, &shown->handle);
	pthread_mutex_unlock(&mount->lock);
	*out = &shown->handle;
	return 0;
}

/* Files that show no size. */
int shown_open_rendered(struct mount *mount, struct node *node, const struct target *target, struct handle **out)
{
	struct buf *buf = attr_buffer();
	int rc = buf ? control_render(mount, target, buf) : -ENOMEM;

	if (rc < 0)
		return rc;
	return open_text(mount, node, buf_slice(buf), out);
}

/* A row of a view: made once, at the open. */
int shown_open_join(struct mount *mount, struct node *node, const struct target *target, fuse_req_t req, struct handle **out)
{
	struct buf *buf = attr_buffer();
	struct serve_view view;
	int rc = buf ? serve_begin(mount->lane->store, mount->lane->cur, &view) : -ENOMEM;

	if (rc < 0)
		return rc;
	rc = join_render_at(mount->lane, &view, target, req, buf);
	serve_end(&view);
	if (rc < 0)
		return rc;
	return open_text(mount, node, buf_slice(buf), out);
}

/* ---- READ ---- */

void shown_read(struct mount *mount, struct shown *shown, fuse_req_t req, size_t size, off_t off)
{
	struct slice text = shown->content.text;
	size_t from = (uint64_t)off < text.len ? (size_t)off : text.len;

	pthread_mutex_lock(&mount->lock);
	shown->refs++;
	pthread_mutex_unlock(&mount->lock);
	reply_buf(req, (const char *)text.data + from, size < text.len - from ? size : text.len - from);
	shown_drop(mount, shown);
}
