/* SPDX-License-Identifier: MIT */
/* Names of files that come and go: CREATE, MKNOD and UNLINK of values and scratch files. What dropped files need is import.c's. */
#include "mount/ops.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include "mount/attr.h"
#include "mount/call.h"
#include "mount/edit.h"
#include "mount/handle.h"
#include "mount/import.h"
#include "mount/look.h"
#include "mount/private.h"
#include "mount/scratch.h"

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
	struct content content;
	int rc = attr_render_now(mount, target, &content);

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
		file_set_info(&call->fi, handle);
		if (reply_create(call->req, &entry, &call->fi) == -ENOENT) {
			node_forget(mount, node, 1);
			file_close_handle(mount, handle, NULL);
		}
	} else {
		file_close_handle(mount, handle, NULL);
		reply_err(call->req, -rc);
	}
	node_drop(mount, node);
}

void entry_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
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

void entry_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	struct mount *mount = fuse_req_userdata(req);
	struct call call = { .mount = mount, .req = req, .run = run_mknod, .ino = parent, .name = name, .mode = mode };

	(void)rdev;
	atomic_fetch_add_explicit(&mount->requests, 1, memory_order_relaxed);
	call_run(&call);
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

void entry_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct mount *mount = fuse_req_userdata(req);
	struct call call = { .mount = mount, .req = req, .run = run_unlink, .ino = parent, .name = name };

	atomic_fetch_add_explicit(&mount->requests, 1, memory_order_relaxed);
	call_run(&call);
}
