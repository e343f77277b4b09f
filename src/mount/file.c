/* SPDX-License-Identifier: MIT */
/*
 * Open files. A read handle shows what its file was when it was opened: the text is rendered then, once, and read(2), fstat and a private
 * mmap all come from it, whatever is written meanwhile. Handles that are opened on one node while others show a text share
 * that text (look.c says why they may). I/O is direct: the kernel keeps no pages of a value but those that are mapped.
 *
 * A read handle needs no FLUSH, so the kernel is told not to send one.
 */
#include "mount/private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

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

void file_release_shown(struct mount *mount)
{
	while (mount->free_shown) {
		struct shown *shown = mount->free_shown;

		mount->free_shown = shown->next_free;
		free(shown);
	}
}

static void drop_shown(struct mount *mount, struct shown *shown)
{
	bool is_last;

	pthread_mutex_lock(&mount->lock);
	is_last = --shown->refs == 0;
	if (is_last) {
		if (shown->is_nodes)
			shown->handle.node->shown = NULL;
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
	struct buf *buf = attr_buffer();
	struct content content;
	struct serve_view view;
	int rc = buf ? serve_begin(mount->lane->store, mount->lane->cur, &view) : -ENOMEM;

	if (rc < 0)
		return rc;
	rc = attr_render(&view, target, buf, &content);
	serve_end(&view);
	if (rc < 0)
		return rc;
	*out = shown_new(mount, node, &content);
	return *out ? 0 : -ENOMEM;
}

static int open_content(struct mount *mount, struct node *node, const struct target *target, pid_t tid, struct handle **out)
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

/* Files that show no size: each handle has a text of its own. */
static int open_rendered(struct mount *mount, struct node *node, const struct target *target, struct handle **out)
{
	struct buf *buf = attr_buffer();
	struct content content = { 0 };
	struct shown *shown;
	int rc = buf ? control_render(mount, target, buf) : -ENOMEM;

	if (rc < 0)
		return rc;
	content.text = buf_slice(buf);
	shown = shown_new(mount, node, &content);
	if (!shown)
		return -ENOMEM;
	node_hold(mount, node);
	*out = &shown->handle;
	return 0;
}

/* A row of a view: made once, at the open. */
static int open_join(struct mount *mount, struct node *node, const struct target *target, fuse_req_t req, struct handle **out)
{
	struct buf *buf = attr_buffer();
	struct content content = { 0 };
	struct serve_view view;
	struct shown *shown;
	int rc = buf ? serve_begin(mount->lane->store, mount->lane->cur, &view) : -ENOMEM;

	if (rc < 0)
		return rc;
	rc = join_render_at(mount->lane, &view, target, req, buf);
	serve_end(&view);
	if (rc < 0)
		return rc;
	content.text = buf_slice(buf);
	shown = shown_new(mount, node, &content);
	if (!shown)
		return -ENOMEM;
	node_hold(mount, node);
	*out = &shown->handle;
	return 0;
}

/* ---- OPEN ---- */

static bool is_writing(int flags)
{
	return (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);
}

static void close_handle(struct mount *mount, struct handle *handle, fuse_req_t req)
{
	switch (handle->kind) {
	case HANDLE_SHOWN:
		drop_shown(mount, (struct shown *)handle);
		atomic_fetch_sub(&mount->handles, 1);
		break;
	case HANDLE_EDIT:
		edit_release(mount, (struct edit *)handle, req);
		return;
	case HANDLE_TREE:
		tree_close(mount, handle);
		break;
	case HANDLE_LOOKUP:
		lookup_close(mount, handle);
		break;
	case HANDLE_IMPORT:
		import_close(mount, handle);
		break;
	default:
		scratch_close(mount, handle);
		break;
	}
	if (req)
		reply_err(req, 0);
}

static void set_file_info(struct fuse_file_info *fi, const struct handle *handle)
{
	fi->fh = (uintptr_t)handle;
	fi->direct_io = 1;
	fi->nonseekable = handle->kind == HANDLE_LOOKUP;
	fi->noflush = handle->kind != HANDLE_EDIT && handle->kind != HANDLE_IMPORT;
}

static int open_handle(struct mount *mount, struct call *call, struct node *node, const struct target *target, struct handle **out)
{
	int flags = call->fi.flags, rc;
	struct edit *edit;

	if (is_dir(target->kind))
		return -EISDIR;
	if (is_writing(flags) && mount->options.read_only)
		return -EROFS;
	if (target->kind == NODE_SCRATCH)
		return scratch_open(mount, node, flags, out);
	if (target->kind == NODE_IMPORT_FILE)
		return import_open(mount, node, flags, fuse_req_ctx(call->req)->pid, out);
	if (target->kind == NODE_TREE_FILE && (is_writing(flags) || mount->options.trees[target->number].open))
		return tree_open(mount, node, target, is_writing(flags), out);
	if (target->kind == NODE_LOOKUP)
		return lookup_open(mount, node, out);
	if (!is_writing(flags) && target->kind == NODE_JOIN) {
		rc = open_join(mount, node, target, call->req, out);
		if (rc == 0)
			atomic_fetch_add(&mount->handles, 1);
		return rc;
	}
	if (!is_writing(flags)) {
		rc = has_content(target->kind) ? open_content(mount, node, target, fuse_req_ctx(call->req)->pid, out)
					       : open_rendered(mount, node, target, out);
		if (rc == 0)
			atomic_fetch_add(&mount->handles, 1);
		return rc;
	}
	if (!has_content(target->kind) && target->kind != NODE_UPSERT)
		return -EPERM;
	rc = edit_open(mount, node, target, flags, false, call->req, &edit);
	if (rc == 0)
		*out = &edit->handle;
	return rc;
}

static void run_open(struct call *call)
{
	struct mount *mount = call->mount;
	struct node *node = node_of(mount, call->ino);
	struct handle *handle;
	struct target target;
	int rc;

	node_target(mount, node, &target);
	rc = open_handle(mount, call, node, &target, &handle);
	if (rc < 0) {
		reply_err(call->req, -rc);
		return;
	}
	set_file_info(&call->fi, handle);
	if (reply_open(call->req, &call->fi) == -ENOENT)
		close_handle(mount, handle, NULL);	/* nobody waits for it any more */
}

static void run_open_slow(struct call *call)
{
	call->run = run_open;
	call_run_slow(call);
}

void file_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mount *mount = fuse_req_userdata(req);
	bool is_slow = node_of(mount, ino)->kind == NODE_STATS;
	struct call call = {
		.mount = mount, .req = req, .run = is_slow ? run_open_slow : run_open, .ino = ino, .fi = *fi, .has_fi = true,
	};

	atomic_fetch_add_explicit(&mount->requests, 1, memory_order_relaxed);
	call_run(&call);
}

/* ---- CREATE and MKNOD ---- */

static int mean_name(struct mount *mount, fuse_req_t req, const struct target *dir, const char *name, struct meaning *out)
{
	struct serve_view view;
	int rc = serve_begin(mount->lane->store, mount->lane->cur, &view);

	if (rc < 0)
		return rc;
	rc = look_mean(mount, &view, dir, name, out);
	serve_end(&view);
	if (rc == -ENOENT)
		return look_refuse_name(mount, req, dir, name);
	if (rc == 0 && out->kind == NODE_ENTITY && out->is_scratch_too)
		out->kind = NODE_SCRATCH;
	if (rc == 0 && out->kind != NODE_SCRATCH && out->kind != NODE_VALUE && out->kind != NODE_BIN)
		return look_refuse_name(mount, req, dir, name);
	return rc;
}

static int has_value(struct mount *mount, const struct target *target)
{
	struct buf *buf = attr_buffer();
	struct content content;
	struct serve_view view;
	int rc = buf ? serve_begin(mount->lane->store, mount->lane->cur, &view) : -ENOMEM;

	if (rc < 0)
		return rc;
	rc = attr_render(&view, target, buf, &content);
	serve_end(&view);
	return rc == -ENOENT ? 0 : rc < 0 ? rc : 1;
}

static bool is_being_created(struct mount *mount, struct node *dir, const struct target *target)
{
	struct node like = { .parent = dir, .kind = (uint8_t)target->kind, .number = target->number };
	struct edit *edit = edit_find(mount, &like, 0, true);

	if (edit)
		edit_drop(mount, edit);
	return edit;
}

static int create_scratch(struct mount *mount, struct call *call, struct node *dir, struct node **out_node, struct handle **out)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(call->req);
	int rc = scratch_make(mount, dir, call->name, call->mode, ctx->uid, ctx->gid, out_node);

	if (rc == -EEXIST && !(call->fi.flags & O_EXCL)) {
		pthread_mutex_lock(&mount->lock);
		*out_node = node_find_locked(mount, dir, NODE_SCRATCH, 0, call->name);
		if (*out_node)
			node_hold_locked(*out_node);
		pthread_mutex_unlock(&mount->lock);
		rc = *out_node ? 0 : -EAGAIN;
	}
	if (rc < 0)
		return rc;
	rc = scratch_open(mount, *out_node, call->fi.flags, out);
	if (rc < 0)
		node_drop(mount, *out_node);
	return rc;
}

static int create_value(struct mount *mount, struct call *call, struct node *dir, const struct target *target, struct node **out_node,
			struct handle **out)
{
	struct edit *edit;
	int rc = has_value(mount, target);

	if (rc < 0)
		return rc;
	if ((call->fi.flags & O_EXCL) && (rc == 1 || is_being_created(mount, dir, target)))
		return -EEXIST;
	pthread_mutex_lock(&mount->lock);
	*out_node = node_new_locked(mount, dir, target->kind, target->number, NULL);
	if (*out_node)
		node_hold_locked(*out_node);
	pthread_mutex_unlock(&mount->lock);
	if (!*out_node)
		return -ENOMEM;
	rc = edit_open(mount, *out_node, target, call->fi.flags, rc == 0, call->req, &edit);
	if (rc < 0)
		node_drop(mount, *out_node);
	else
		*out = &edit->handle;
	return rc;
}

/* The node comes held. */
static int create(struct mount *mount, struct call *call, struct node **out_node, struct handle **out)
{
	struct node *dir = node_of(mount, call->ino);
	struct target target;
	struct meaning meaning;
	int rc;

	if (is_import((enum node_kind)dir->kind))
		return import_create(mount, dir, call->name, call->fi.flags, fuse_req_ctx(call->req)->pid, out_node, out);
	if (mount->options.read_only)
		return -EROFS;
	node_target(mount, dir, &target);
	rc = mean_name(mount, call->req, &target, call->name, &meaning);
	if (rc < 0)
		return rc;
	if (meaning.kind == NODE_SCRATCH)
		return create_scratch(mount, call, dir, out_node, out);
	target.kind = meaning.kind;
	target.number = meaning.number;
	return create_value(mount, call, dir, &target, out_node, out);
}

static void run_create(struct call *call)
{
	struct mount *mount = call->mount;
	struct fuse_entry_param entry;
	struct handle *handle;
	struct node *node;
	double timeout;
	struct stat st;
	int rc = create(mount, call, &node, &handle);

	if (rc < 0) {
		reply_err(call->req, -rc);
		return;
	}
	rc = attr_get(mount, node, fuse_req_ctx(call->req)->pid, &st, &timeout);
	if (rc == 0) {
		pthread_mutex_lock(&mount->lock);
		node_count_locked(node);
		pthread_mutex_unlock(&mount->lock);
		look_entry(mount, node, &st, timeout, &entry);
		set_file_info(&call->fi, handle);
		if (reply_create(call->req, &entry, &call->fi) == -ENOENT) {
			node_forget(mount, node, 1);
			close_handle(mount, handle, NULL);
		}
	} else {
		close_handle(mount, handle, NULL);
		reply_err(call->req, -rc);
	}
	node_drop(mount, node);
}

void file_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	struct mount *mount = fuse_req_userdata(req);
	struct call call = {
		.mount = mount, .req = req, .run = run_create, .ino = parent, .name = name, .mode = mode, .fi = *fi, .has_fi = true,
	};

	atomic_fetch_add_explicit(&mount->requests, 1, memory_order_relaxed);
	call_run(&call);
}

static void reply_looked_up(struct mount *mount, struct node *dir, const char *name, fuse_req_t req, int rc)
{
	struct fuse_entry_param entry;

	if (rc == 0)
		rc = look_up(mount, dir, name, fuse_req_ctx(req)->pid, &entry);
	if (rc < 0)
		reply_err(req, -rc);
	else if (reply_entry(req, &entry) == -ENOENT)
		node_forget(mount, node_of(mount, entry.ino), 1);
}

static void end_mknod(struct job *job, int rc)
{
	reply_looked_up(job->mount, job->node, job->name, job->req, rc);
}

/* An empty value, as create and close would make it. */
static int mknod_value(struct call *call, struct node *dir, const struct target *target)
{
	struct mount *mount = call->mount;
	struct job *job;
	int rc = has_value(mount, target);

	if (rc != 0)
		return rc < 0 ? rc : -EEXIST;
	job = job_new(mount, call->req, end_mknod, slice_of(NULL, 0));
	if (!job)
		return -ENOMEM;
	job->target = *target;
	job->node = dir;
	node_hold(mount, dir);
	job->name = strdup(call->name);
	if (!job->name) {
		job->end = NULL;
		job_done(job, -ENOMEM);
		return 1;
	}
	edit_put(job);
	return 1;
}

/* 0: made; 1: somebody else replies. */
static int make_file(struct call *call)
{
	struct mount *mount = call->mount;
	const struct fuse_ctx *ctx = fuse_req_ctx(call->req);
	struct node *dir = node_of(mount, call->ino), *node;
	struct target target;
	struct meaning meaning;
	int rc;

	if (mount->options.read_only)
		return -EROFS;
	if (!S_ISREG(call->mode))
		return -ENOTSUP;
	if (is_import((enum node_kind)dir->kind))
		return import_make_file(mount, dir, call->name, ctx->pid);
	node_target(mount, dir, &target);
	rc = mean_name(mount, call->req, &target, call->name, &meaning);
	if (rc < 0)
		return rc;
	if (meaning.kind != NODE_SCRATCH) {
		target.kind = meaning.kind;
		target.number = meaning.number;
		return mknod_value(call, dir, &target);
	}
	rc = scratch_make(mount, dir, call->name, call->mode, ctx->uid, ctx->gid, &node);
	if (rc == 0)
		node_drop(mount, node);
	return rc;
}

static void run_mknod(struct call *call)
{
	int rc = make_file(call);

	if (rc <= 0)
		reply_looked_up(call->mount, node_of(call->mount, call->ino), call->name, call->req, rc);
}

void file_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	struct mount *mount = fuse_req_userdata(req);
	struct call call = { .mount = mount, .req = req, .run = run_mknod, .ino = parent, .name = name, .mode = mode };

	(void)rdev;
	atomic_fetch_add_explicit(&mount->requests, 1, memory_order_relaxed);
	call_run(&call);
}

/* ---- READ, WRITE, FLUSH, RELEASE ---- */

static void read_shown(struct mount *mount, struct shown *shown, fuse_req_t req, size_t size, off_t off)
{
	struct slice text = shown->content.text;
	size_t from = (uint64_t)off < text.len ? (size_t)off : text.len;

	pthread_mutex_lock(&mount->lock);
	shown->refs++;
	pthread_mutex_unlock(&mount->lock);
	reply_buf(req, (const char *)text.data + from, size < text.len - from ? size : text.len - from);
	drop_shown(mount, shown);
}

void file_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct mount *mount = fuse_req_userdata(req);
	struct handle *handle = handle_of(mount, fi);

	(void)ino;
	atomic_fetch_add_explicit(&mount->requests, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&mount->reads, 1, memory_order_relaxed);
	if (handle->kind == HANDLE_SHOWN)
		read_shown(mount, (struct shown *)handle, req, size, off);
	else if (handle->kind == HANDLE_EDIT)
		edit_read(mount, (struct edit *)handle, req, size, off);
	else if (handle->kind == HANDLE_TREE)
		tree_read(handle, req, size, off);
	else if (handle->kind == HANDLE_LOOKUP)
		lookup_read(mount, handle, req, size);
	else if (handle->kind == HANDLE_IMPORT)
		import_read(mount, handle, req, size, off);
	else
		scratch_read(mount, handle->node, req, size, off);
}

void file_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct mount *mount = fuse_req_userdata(req);
	struct handle *handle = handle_of(mount, fi);
	bool at_end = fi->flags & O_APPEND;
	int rc;

	(void)ino;
	atomic_fetch_add_explicit(&mount->requests, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&mount->writes, 1, memory_order_relaxed);
	if (handle->kind == HANDLE_EDIT) {
		edit_write(mount, (struct edit *)handle, req, buf, size, off, at_end);
		return;
	}
	if (handle->kind == HANDLE_TREE) {
		tree_write(mount, handle, req, slice_of(buf, size));
		return;
	}
	if (handle->kind == HANDLE_LOOKUP)
		rc = lookup_write(handle, slice_of(buf, size));
	else if (handle->kind == HANDLE_IMPORT)
		rc = import_write(handle, slice_of(buf, size), off, at_end);
	else
		rc = handle->kind == HANDLE_SCRATCH ? scratch_write(mount, handle->node, slice_of(buf, size), off, at_end) : -EBADF;
	if (rc < 0)
		reply_err(req, -rc);
	else
		reply_write(req, size);
}

void file_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mount *mount = fuse_req_userdata(req);
	struct handle *handle = handle_of(mount, fi);

	(void)ino;
	atomic_fetch_add_explicit(&mount->requests, 1, memory_order_relaxed);
	if (handle->kind == HANDLE_EDIT) {
		edit_flush(mount, (struct edit *)handle, req);
		return;
	}
	if (handle->kind == HANDLE_IMPORT)
		import_flush(mount, handle, fuse_req_ctx(req)->pid);
	reply_err(req, 0);
}

static void run_sync(struct call *call)
{
	reply_err(call->req, -import_sync(handle_of(call->mount, &call->fi)));
}

void file_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct mount *mount = fuse_req_userdata(req);
	struct handle *handle = handle_of(mount, fi);
	struct call call = { .mount = mount, .req = req, .run = run_sync, .ino = ino, .fi = *fi, .has_fi = true };

	(void)datasync;
	atomic_fetch_add_explicit(&mount->requests, 1, memory_order_relaxed);
	if (handle->kind == HANDLE_EDIT)
		edit_fsync(mount, (struct edit *)handle, req);
	else if (handle->kind == HANDLE_IMPORT)
		call_run_slow(&call);	/* a file of gigabytes takes long */
	else
		reply_err(req, 0);
}

void file_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mount *mount = fuse_req_userdata(req);

	(void)ino;
	atomic_fetch_add_explicit(&mount->requests, 1, memory_order_relaxed);
	close_handle(mount, handle_of(mount, fi), req);
}

/* ---- UNLINK ---- */

/* Nobody finds the nodes of the value any more, and what is still written to them goes nowhere. */
static void orphan_value(struct mount *mount, struct node *dir, uint32_t slot)
{
	static const enum node_kind kinds[] = { NODE_VALUE, NODE_BIN };

	pthread_mutex_lock(&mount->lock);
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		struct node like = { .parent = dir, .kind = (uint8_t)kinds[i], .number = slot };
		struct node *node = node_find_locked(mount, dir, kinds[i], slot, NULL);

		edit_orphan_locked(mount, &like);
		if (node) {
			node->is_gone = true;
			node_detach_locked(mount, node);
		}
	}
	pthread_mutex_unlock(&mount->lock);
}

static void end_unlink(struct job *job, int rc)
{
	if (rc == 0)
		orphan_value(job->mount, job->node, job->target.number);
	reply_err(job->req, -rc);
}

static int unlink_scratch(struct mount *mount, struct node *dir, const char *name)
{
	struct node *node;

	pthread_mutex_lock(&mount->lock);
	node = node_find_locked(mount, dir, NODE_SCRATCH, 0, name);
	if (node)
		scratch_unlink_locked(mount, node);
	pthread_mutex_unlock(&mount->lock);
	return node ? 0 : -ENOENT;
}

/* 1: somebody else replies. */
static int unlink_name(struct call *call)
{
	struct mount *mount = call->mount;
	struct node *dir = node_of(mount, call->ino);
	struct target target;
	struct meaning meaning;
	struct serve_view view;
	struct job *job;
	int rc;

	if (mount->options.read_only)
		return -EROFS;
	if (is_import((enum node_kind)dir->kind))
		return import_remove(mount, dir, call->name, false);
	node_target(mount, dir, &target);
	rc = serve_begin(mount->lane->store, mount->lane->cur, &view);
	if (rc < 0)
		return rc;
	rc = look_mean(mount, &view, &target, call->name, &meaning);
	serve_end(&view);
	if (rc < 0)
		return rc;
	if (meaning.kind == NODE_SCRATCH || meaning.is_scratch_too)
		return unlink_scratch(mount, dir, call->name);
	if (meaning.kind != NODE_VALUE && meaning.kind != NODE_BIN)
		return is_dir(meaning.kind) ? -EISDIR : -EPERM;
	job = job_new(mount, call->req, end_unlink, slice_of(NULL, 0));
	if (!job)
		return -ENOMEM;
	job->target = target;
	job->target.number = meaning.number;
	job->node = dir;
	node_hold(mount, dir);
	direct_delete(mount->lane, &job->origin, target.group_id, target_entity(&target), (uint16_t)meaning.number, job_done, job);
	return 1;
}

static void run_unlink(struct call *call)
{
	int rc = unlink_name(call);

	if (rc <= 0)
		reply_err(call->req, -rc);
}

void file_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct mount *mount = fuse_req_userdata(req);
	struct call call = { .mount = mount, .req = req, .run = run_unlink, .ino = parent, .name = name };

	atomic_fetch_add_explicit(&mount->requests, 1, memory_order_relaxed);
	call_run(&call);
}

/* ---- SETATTR ---- */

static void show_attr(struct mount *mount, struct node *node, fuse_req_t req, int rc)
{
	struct stat st;
	double timeout;

	if (rc == 0)
		rc = attr_get(mount, node, fuse_req_ctx(req)->pid, &st, &timeout);
	if (rc < 0)
		reply_err(req, -rc);
	else
		reply_attr(req, &st, timeout);
}

static struct job *setattr_job(struct call *call, struct node *node, const struct target *target)
{
	struct job *job = job_new(call->mount, call->req, attr_end_change, slice_of(NULL, 0));

	if (!job) {
		reply_err(call->req, ENOMEM);
		return NULL;
	}
	job->target = *target;
	job->node = node;
	node_hold(call->mount, node);
	return job;
}

/* Mode and owner of a group are the store's. */
static void own_group(struct call *call, struct node *node, const struct target *target)
{
	const struct stat *attr = &call->attr;
	struct job *job;
	int set = call->flags;

	if (!(set & (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID))) {
		show_attr(call->mount, node, call->req, 0);
		return;
	}
	job = setattr_job(call, node, target);
	if (job)
		direct_own_group(call->mount->lane, &job->origin, target->group_id,
				 set & FUSE_SET_ATTR_MODE ? attr->st_mode & 03777 : (mode_t)-1,
				 set & FUSE_SET_ATTR_UID ? attr->st_uid : (uid_t)-1,
				 set & FUSE_SET_ATTR_GID ? attr->st_gid : (gid_t)-1, job_done, job);
}

static int64_t time_to_set(const struct call *call)
{
	return call->flags & FUSE_SET_ATTR_MTIME_NOW ? INGEST_NOW : attr_ns(&call->attr.st_mtim);
}

static void stamp_value(struct call *call, struct node *node, const struct target *target)
{
	struct mount *mount = call->mount;
	struct edit *edit = edit_find(mount, node, fuse_req_ctx(call->req)->pid, false);
	struct job *job;

	if (edit) {
		edit_stamp(mount, edit, call->req, time_to_set(call));
		edit_drop(mount, edit);
		return;
	}
	if (target->kind != NODE_VALUE && target->kind != NODE_BIN) {
		show_attr(mount, node, call->req, 0);
		return;
	}
	job = setattr_job(call, node, target);
	if (!job)
		return;
	job->origin.event_ns = time_to_set(call);
	direct_restamp(mount->lane, &job->origin, target->group_id, target_entity(target), (uint16_t)target->number, job_done, job);
}

static void resize_file(struct call *call, struct node *node, const struct target *target)
{
	struct mount *mount = call->mount;
	struct handle *handle = call->has_fi ? handle_of(mount, &call->fi) : NULL;
	uint64_t size = (uint64_t)call->attr.st_size;

	if (handle && handle->kind == HANDLE_EDIT)
		edit_resize(mount, (struct edit *)handle, call->req, size);
	else if (target->kind == NODE_VALUE || target->kind == NODE_BIN)
		edit_truncate(mount, node, target, call->req, size);
	else if (target->kind == NODE_STATS || target->kind == NODE_ERRORS || target->kind == NODE_CONTROL || target->kind == NODE_JOIN ||
		 (target->kind == NODE_TREE_FILE && !tree_is_writable(mount, target)))
		reply_err(call->req, EPERM);
	else		/* what is written next replaces it anyway */
		show_attr(mount, node, call->req, size ? -EINVAL : 0);
}

static void run_setattr(struct call *call)
{
	struct mount *mount = call->mount;
	struct node *node = node_of(mount, call->ino);
	struct target target;

	node_target(mount, node, &target);
	if (mount->options.read_only)
		reply_err(call->req, EROFS);
	else if (target.kind == NODE_SCRATCH)
		show_attr(mount, node, call->req, scratch_setattr(mount, node, &call->attr, call->flags));
	else if (is_import(target.kind))
		show_attr(mount, node, call->req, import_setattr(mount, node, call->has_fi ? handle_of(mount, &call->fi) : NULL,
								  &call->attr, call->flags));
	else if (target.kind == NODE_GROUP || target.kind == NODE_VIEW || target.kind == NODE_ROOT)
		own_group(call, node, &target);
	else if (call->flags & FUSE_SET_ATTR_SIZE)
		resize_file(call, node, &target);
	else if ((call->flags & FUSE_SET_ATTR_MTIME) && !is_dir(target.kind))
		stamp_value(call, node, &target);
	else
		show_attr(mount, node, call->req, 0);
}

void file_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
	struct mount *mount = fuse_req_userdata(req);
	struct call call = {
		.mount = mount, .req = req, .run = run_setattr, .ino = ino, .flags = to_set, .attr = *attr,
		.except = fuse_req_ctx(req)->pid,
	};

	if (fi) {
		call.fi = *fi;
		call.has_fi = true;
	}
	atomic_fetch_add_explicit(&mount->requests, 1, memory_order_relaxed);
	call_run(&call);
}
