/* SPDX-License-Identifier: MIT */
/*
 * What write handles are told: WRITE, and SETATTR of what they hold or of what stands. What can be judged early is judged at WRITE; edit.c says why,
 * and when any of it takes effect.
 */
#include "mount/edit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "mount/attr.h"
#include "mount/call.h"
#include "mount/private.h"

/* ---- writing ---- */

void edit_read(struct mount *mount, struct edit *edit, fuse_req_t req, size_t size, off_t off)
{
	size_t from;

	pthread_mutex_lock(&mount->lock);
	edit->refs++;
	pthread_mutex_unlock(&mount->lock);
	pthread_mutex_lock(&edit->lock);
	from = (uint64_t)off < edit->bytes.len ? (size_t)off : edit->bytes.len;
	if (size > edit->bytes.len - from)
		size = edit->bytes.len - from;
	reply_buf(req, size ? edit->bytes.data + from : NULL, size);
	pthread_mutex_unlock(&edit->lock);
	edit_drop(mount, edit);
}

/* Makes it `len` bytes long; new ones are zeros. */
static int resize(struct buf *bytes, size_t len)
{
	if (len > bytes->len) {
		char *place = buf_reserve(bytes, len - bytes->len);

		if (!place) {
			bytes->failed = false;
			return -ENOMEM;
		}
		memset(place, 0, len - bytes->len);
	}
	bytes->len = len;
	return 0;
}

static int refuse(struct mount *mount, const struct edit *edit, const struct target *target, int err, const char *detail)
{
	struct direct_origin origin = { .uid = edit->uid, .event_ns = INGEST_NOW };

	return direct_refuse(mount->lane, &origin, target->group_id, target_entity(target),
			     slice_str(target->kind == NODE_ROW ? ".row" : target->kind == NODE_UPSERT ? ".upsert" :
				       target->kind == NODE_SCHEMA ? ".schema" : ""), err, detail);
}

static int refuse_size(struct mount *mount, const struct edit *edit, const struct target *target)
{
	char detail[160];

	snprintf(detail, sizeof detail, "at most %zu bytes%s", edit->limit,
		 target->kind == NODE_UPSERT ? " in one .upsert; drop a file of rows into .import for more" : "");
	return refuse(mount, edit, target, EFBIG, detail);
}

/* Better told at the write than at the close, which many don't look at. */
static int check_store(struct mount *mount, const struct edit *edit, const struct target *target)
{
	struct why why;
	int rc = ingest_check_store(mount->lane->ingest, &why);

	return rc < 0 ? refuse(mount, edit, target, -rc, why.text) : 0;
}

/* Is every bracket and string closed? Then nothing that follows could make it another JSON value. */
static bool is_closed_json(struct slice text)
{
	const char *at = text.data, *end = at + text.len;
	bool in_string = false;
	long depth = 0;

	for (; at < end; at++) {
		if (in_string) {
			if (*at == '\\')
				at++;
			else if (*at == '"')
				in_string = false;
		} else if (*at == '"') {
			in_string = true;
		} else if (*at == '[' || *at == '{') {
			depth++;
		} else if (*at == ']' || *at == '}') {
			depth--;
		}
	}
	return !in_string && depth <= 0;
}

/*
 * Judges what stands in the buffer, if it can be judged: it was written front to back, and either is a line that must be a whole value, or
 * begins one. (A writer of long JSON may send a line end by chance, with more to come; what is still open is not whole.) The kernel
 * lets one write at a time pass for an inode, so that the buffer does not change meanwhile. A long text is looked at again only when it
 * has doubled.
 */
static int judge(struct mount *mount, struct edit *edit, const struct target *target, size_t was)
{
	struct direct_origin origin = { .uid = edit->uid, .event_ns = INGEST_NOW };
	struct slice bytes = buf_slice(&edit->bytes);
	bool is_whole;

	if (target->kind != NODE_VALUE || !edit->is_sequential)
		return 0;
	is_whole = was == 0 && ((const char *)bytes.data)[bytes.len - 1] == '\n' && (edit->is_plain || is_closed_json(bytes));
	if (!is_whole && bytes.len > BUFSIZ && bytes.len < 2 * edit->judged)
		return 0;
	edit->judged = bytes.len;
	return direct_judge(mount->lane, &origin, target->group_id, target_entity(target), (uint16_t)target->number, DIRECT_TEXT,
			    bytes, is_whole);
}

static int store_bytes(struct edit *edit, const char *buf, size_t size, size_t off)
{
	int rc = 0;

	if (off + size > edit->bytes.len)
		rc = resize(&edit->bytes, off + size);
	if (rc == 0 && size)
		memcpy(edit->bytes.data + off, buf, size);
	return rc;
}

static int write_bytes(struct mount *mount, struct edit *edit, const char *buf, size_t size, off_t off, bool at_end)
{
	struct target target;
	size_t was, at;
	bool is_first;
	int rc;

	node_target(mount, edit->handle.node, &target);
	rc = check_store(mount, edit, &target);
	if (size == 0)
		return rc;
	pthread_mutex_lock(&edit->lock);
	was = edit->bytes.len;
	at = at_end || (uint64_t)off > edit->limit ? was : (size_t)off;
	is_first = was == 0 && at == 0;
	if (rc == 0 && ((!at_end && (uint64_t)off > edit->limit) || size > edit->limit - at))
		rc = -EFBIG;
	else if (rc == 0)
		rc = store_bytes(edit, buf, size, at);
	edit->is_sequential = edit->is_sequential && at == was;
	pthread_mutex_unlock(&edit->lock);
	if (rc == -EFBIG)
		rc = refuse_size(mount, edit, &target);
	else if (rc == 0)
		rc = judge(mount, edit, &target, was);
	pthread_mutex_lock(&edit->lock);
	if (rc == 0) {
		edit->bad = is_first ? 0 : edit->bad;
		edit->is_dirty = true;
		edit->is_armed = false;
		edit->event_ns = INGEST_NOW;
	} else {
		edit->bad = -rc;
		if (edit->is_sequential)
			edit->bytes.len = was;
	}
	pthread_mutex_unlock(&edit->lock);
	return rc;
}

void edit_write(struct mount *mount, struct edit *edit, fuse_req_t req, const char *buf, size_t size, off_t off, bool at_end)
{
	int rc = write_bytes(mount, edit, buf, size, off, at_end);

	if (rc == 0)
		edit_park(mount, edit, false);
	if (rc < 0)
		reply_err(req, -rc);
	else
		reply_write(req, size);
}

/* ---- SETATTR ---- */

static void show_attr(struct mount *mount, struct node *node, fuse_req_t req)
{
	struct stat st;
	double timeout;
	int rc = attr_get(mount, node, fuse_req_ctx(req)->pid, &st, &timeout);

	if (rc < 0)
		reply_err(req, -rc);
	else
		reply_attr(req, &st, timeout);
}

void edit_resize(struct mount *mount, struct edit *edit, fuse_req_t req, uint64_t size)
{
	struct target target;
	int rc;

	node_target(mount, edit->handle.node, &target);
	rc = check_store(mount, edit, &target);
	if (rc == 0 && size > edit->limit)
		rc = refuse_size(mount, edit, &target);
	if (rc < 0) {
		reply_err(req, -rc);
		return;
	}
	pthread_mutex_lock(&edit->lock);
	rc = resize(&edit->bytes, (size_t)size);
	if (rc == 0) {
		edit->is_dirty = true;
		edit->is_armed = false;
		edit->is_sequential = size == 0;
		edit->judged = 0;
		edit->bad = size == 0 ? 0 : edit->bad;
	}
	pthread_mutex_unlock(&edit->lock);
	edit_park(mount, edit, false);
	if (rc < 0)
		reply_err(req, -rc);
	else
		show_attr(mount, edit->handle.node, req);
}

void edit_stamp(struct mount *mount, struct edit *edit, fuse_req_t req, int64_t event_ns)
{
	struct job *job = NULL;
	bool is_armed;

	pthread_mutex_lock(&edit->lock);
	is_armed = edit->is_armed;
	edit->event_ns = event_ns;
	if (is_armed)
		job = edit_take_job(mount, edit, req, attr_end_change);
	pthread_mutex_unlock(&edit->lock);
	if (job) {
		edit_put_job(mount, edit, job, false);
	} else if (is_armed) {
		reply_err(req, ENOMEM);
	} else {
		show_attr(mount, edit->handle.node, req);
	}
}

/* Cuts or extends the text that stands. -ESTALE if readers have the node. */
static int load_resized(struct mount *mount, struct node *node, const struct target *target, pid_t tid, uint64_t size, struct buf *out)
{
	int rc = 0;

	pthread_mutex_lock(&mount->lock);
	if (node->shown)
		rc = edit_promise_locked(mount, node, tid);
	if (rc == 0) {
		/* The kernel cuts its pages at some time after the answer: no reader may ever have this node. */
		node->n_edits++;
		node_detach_locked(mount, node);
		edit_keep_promise_locked(mount, node);
	}
	pthread_mutex_unlock(&mount->lock);
	if (rc == 0)
		rc = size ? edit_load(mount, target, out) : 0;
	return rc < 0 ? rc : resize(out, (size_t)size);
}

void edit_truncate(struct mount *mount, struct node *node, const struct target *target, fuse_req_t req, uint64_t size)
{
	struct buf text = { 0 };
	struct job *job = NULL;
	int rc = size > edit_limit(target->kind) ? -EFBIG
					       : load_resized(mount, node, target, fuse_req_ctx(req)->pid, size, &text);

	if (rc == 0) {
		job = job_new(mount, req, attr_end_change, buf_slice(&text));
		rc = job ? 0 : -ENOMEM;
	}
	buf_release(&text);
	if (rc < 0) {
		reply_err(req, -rc);
		return;
	}
	job->target = *target;
	job->node = node;
	node_hold(mount, node);
	edit_put(job);
}
