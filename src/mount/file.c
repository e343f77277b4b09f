/* SPDX-License-Identifier: MIT */
/*
 * Open files: what is opened, read, written, closed and changed by inode goes from here to whoever keeps that kind of handle (shown.c, edit.c,
 * scratch.c, import.c, tree.c, lookup.c). I/O is direct: the kernel keeps no pages of a value but those that are mapped.
 *
 * A read handle needs no FLUSH, so the kernel is told not to send one.
 */
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
#include "mount/lookup.h"
#include "mount/private.h"
#include "mount/scratch.h"
#include "mount/tree.h"

/* ---- OPEN ---- */

static bool is_writing(int flags)
{
	return (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);
}

void file_close_handle(struct mount *mount, struct handle *handle, fuse_req_t req)
{
	switch (handle->kind) {
	case HANDLE_SHOWN:
		shown_drop(mount, (struct shown *)handle);
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

void file_set_info(struct fuse_file_info *fi, const struct handle *handle)
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
		rc = shown_open_join(mount, node, target, call->req, out);
		if (rc == 0)
			atomic_fetch_add(&mount->handles, 1);
		return rc;
	}
	if (!is_writing(flags)) {
		rc = has_content(target->kind) ? shown_open(mount, node, target, fuse_req_ctx(call->req)->pid, out)
					       : shown_open_rendered(mount, node, target, out);
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
	file_set_info(&call->fi, handle);
	if (reply_open(call->req, &call->fi) == -ENOENT)
		file_close_handle(mount, handle, NULL);	/* nobody waits for it any more */
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

/* ---- READ, WRITE, FLUSH, RELEASE ---- */

void file_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct mount *mount = fuse_req_userdata(req);
	struct handle *handle = handle_of(mount, fi);

	(void)ino;
	atomic_fetch_add_explicit(&mount->requests, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&mount->reads, 1, memory_order_relaxed);
	if (handle->kind == HANDLE_SHOWN)
		shown_read(mount, (struct shown *)handle, req, size, off);
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
	file_close_handle(mount, handle_of(mount, fi), req);
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

static void submit_owner(struct call *call, struct job *job)
{
	const struct stat *attr = &call->attr;
	int set = call->flags;

	direct_own_group(call->mount->lane, &job->origin, job->target.group_id,
			 set & FUSE_SET_ATTR_MODE ? attr->st_mode & 03777 : (mode_t)-1,
			 set & FUSE_SET_ATTR_UID ? attr->st_uid : (uid_t)-1,
			 set & FUSE_SET_ATTR_GID ? attr->st_gid : (gid_t)-1, job_done, job);
}

static void end_own_large(struct job *job, int rc)
{
	serving_rights_end(job->mount->options.serving, job->target.group_id);
	attr_end_change(job, rc);
}

/* The serving mount's directories are told before the commit, so that no other commit waits for it. */
static void own_large_group(struct call *call)
{
	struct node *node = node_of(call->mount, call->ino);
	struct target target;
	struct job *job;

	node_target(call->mount, node, &target);
	job = setattr_job(call, node, &target);
	if (!job)
		return;
	if (serving_rights_begin(call->mount->options.serving, target.group_id))
		job->end = end_own_large;
	submit_owner(call, job);
}

/* Mode and owner of a group are the store's. */
static void own_group(struct call *call, struct node *node, const struct target *target)
{
	struct job *job;

	if (!(call->flags & (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID))) {
		show_attr(call->mount, node, call->req, 0);
	} else if (call->mount->options.serving && serving_has_many(call->mount->options.serving, target->group_id)) {
		call->run = own_large_group;
		call_run_slow(call);
	} else {
		job = setattr_job(call, node, target);
		if (job)
			submit_owner(call, job);
	}
}

static int64_t time_to_set(const struct call *call)
{
	return call->flags & FUSE_SET_ATTR_MTIME_NOW ? INGEST_NOW : clock_from_timespec(&call->attr.st_mtim);
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
