/* SPDX-License-Identifier: MIT */
/* MKDIR and RMDIR: groups, views and entities by a commit, whose completion replies, and the directories of .import at once. */
#include "mount/dir.h"

#include <errno.h>
#include <string.h>
#include "mount/call.h"
#include "mount/import.h"
#include "mount/look.h"
#include "mount/ops.h"
#include "mount/private.h"
#include "mount/scratch.h"

void dir_touch_root(struct mount *mount)
{
	int64_t now_ns = clock_now();

	pthread_mutex_lock(&mount->lock);
	mount->changed_ns = now_ns;
	pthread_mutex_unlock(&mount->lock);
}

/* A job with the directory held and the name copied. */
static int name_job(struct call *call, void (*end)(struct job *, int), struct job **out)
{
	struct mount *mount = call->mount;
	struct job *job = job_new(mount, call->req, end, slice_of(NULL, 0));

	if (!job)
		return -ENOMEM;
	job->name = strdup(call->name);
	if (!job->name) {
		job->end = NULL;
		job_done(job, -ENOMEM);
		return 1;
	}
	job->node = node_of(mount, call->ino);
	node_hold(mount, job->node);
	node_target(mount, job->node, &job->target);
	*out = job;
	return 0;
}

/* ---- MKDIR ---- */

static void end_mkdir(struct job *job, int rc)
{
	struct mount *mount = job->mount;
	struct fuse_entry_param entry;

	if (rc == 0 && job->target.kind != NODE_GROUP)
		dir_touch_root(mount);
	if (rc == 0)
		rc = look_up(mount, job->node, job->name, job->caller, &entry);
	if (rc < 0)
		reply_err(job->req, -rc);
	else if (reply_entry(job->req, &entry) == -ENOENT)
		node_forget(mount, node_of(mount, entry.ino), 1);
}

/* How many parts does an entity's name have? 0 if the group is gone. */
static unsigned parts_of(struct mount *mount, uint32_t group_id)
{
	uint64_t number;
	struct catalog *cat = catalog_current_get(mount->lane->cur, &number);
	const struct catalog_group *grp = catalog_find_id(cat, group_id);
	unsigned parts = grp ? grp->n_keys : 0;

	catalog_unref(cat);
	return parts;
}

int dir_check_entity(struct mount *mount, fuse_req_t req, const struct target *group, const char *name)
{
	struct direct_origin origin = { .uid = fuse_req_ctx(req)->uid, .event_ns = INGEST_NOW };
	unsigned parts = parts_of(mount, group->group_id);
	struct why why = { "" };
	int rc;

	if (name_is_reserved(name))
		return look_refuse_name(mount, req, group, name);
	rc = parts ? text_check_entity(slice_str(name), parts, &why) : -ENOENT;
	if (rc < 0 && parts)
		direct_refuse(mount->lane, &origin, group->group_id, slice_of(NULL, 0), slice_str(name), -rc, why.text);
	return rc;
}

/* Of .import. */
static int make_import_dir(struct call *call)
{
	struct mount *mount = call->mount;
	struct node *dir = node_of(mount, call->ino);
	struct fuse_entry_param entry;
	int rc = import_mkdir(mount, dir, call->name);

	if (rc == 0)
		rc = look_up(mount, dir, call->name, fuse_req_ctx(call->req)->pid, &entry);
	if (rc < 0)
		return rc;
	if (reply_entry(call->req, &entry) == -ENOENT)
		node_forget(mount, node_of(mount, entry.ino), 1);
	return 1;
}

/* 1: somebody else replies. */
static int make_dir(struct call *call)
{
	struct mount *mount = call->mount;
	struct target target;
	struct job *job;
	int rc = 0;

	if (is_import((enum node_kind)node_of(mount, call->ino)->kind))
		return make_import_dir(call);

	if (mount->options.read_only)
		return -EROFS;
	node_target(mount, node_of(mount, call->ino), &target);
	if (target.kind == NODE_GROUP)
		rc = dir_check_entity(mount, call->req, &target, call->name);
	else if ((target.kind != NODE_ROOT && target.kind != NODE_VIEWS) || name_is_reserved(call->name))
		rc = -EPERM;
	if (rc == 0)
		rc = name_job(call, end_mkdir, &job);
	if (rc != 0)
		return rc;
	if (target.kind == NODE_GROUP)
		direct_make_entity(mount->lane, &job->origin, target.group_id, slice_str(job->name), job_done, job);
	else if (target.kind == NODE_VIEWS)
		direct_make_view(mount->lane, &job->origin, slice_str(job->name), fuse_req_ctx(call->req)->gid, call->mode & 03777,
				 job_done, job);
	else
		direct_make_group(mount->lane, &job->origin, slice_str(job->name), fuse_req_ctx(call->req)->gid, call->mode & 03777,
				  job_done, job);
	return 1;
}

static void run_mkdir(struct call *call)
{
	int rc = make_dir(call);

	if (rc <= 0)
		reply_err(call->req, -rc);
}

void dir_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct mount *mount = fuse_req_userdata(req);
	struct call call = { .mount = mount, .req = req, .run = run_mkdir, .ino = parent, .name = name, .mode = mode };

	atomic_fetch_add_explicit(&mount->requests, 1, memory_order_relaxed);
	call_run(&call);
}

/* ---- RMDIR ---- */

/* The kernel marks the inode as dead; a directory of that name that is made later must have another one. */
static void end_rmdir(struct job *job, int rc)
{
	struct mount *mount = job->mount;
	struct node *node;

	if (rc == 0 && job->target.kind != NODE_GROUP)
		dir_touch_root(mount);
	if (rc == 0) {
		pthread_mutex_lock(&mount->lock);
		if (job->target.kind != NODE_GROUP)
			node = node_find_locked(mount, job->node, job->target.kind == NODE_VIEWS ? NODE_VIEW : NODE_GROUP,
						job->from.group_id, NULL);
		else
			node = node_find_locked(mount, job->node, NODE_ENTITY, 0, job->name);
		if (node) {
			node_hold_locked(node);
			scratch_clear_locked(mount, node);
			node->is_gone = true;
			node_detach_locked(mount, node);
			node_drop_locked(mount, node);
		}
		pthread_mutex_unlock(&mount->lock);
	}
	reply_err(job->req, -rc);
}

/* A group of that name, or a view. -ENOENT. */
static int find_group(struct mount *mount, bool is_view, const char *name, uint32_t *out_id)
{
	uint64_t number;
	struct catalog *cat = catalog_current_get(mount->lane->cur, &number);
	const struct catalog_group *grp = is_view ? catalog_find_view(cat, slice_str(name)) : catalog_find(cat, slice_str(name));

	if (grp)
		*out_id = grp->id;
	catalog_unref(cat);
	return grp ? 0 : -ENOENT;
}

/* 1: somebody else replies. */
static int remove_dir(struct call *call)
{
	struct mount *mount = call->mount;
	struct target target;
	struct job *job;
	uint32_t id = 0;
	int rc = 0;

	if (is_import((enum node_kind)node_of(mount, call->ino)->kind))
		return import_remove(mount, node_of(mount, call->ino), call->name, true);
	if (mount->options.read_only)
		return -EROFS;
	node_target(mount, node_of(mount, call->ino), &target);
	if (target.kind == NODE_ROOT || target.kind == NODE_VIEWS)
		rc = name_is_reserved(call->name) ? -EPERM : find_group(mount, target.kind == NODE_VIEWS, call->name, &id);
	else if (target.kind != NODE_GROUP)
		rc = -EPERM;
	if (rc == 0)
		rc = name_job(call, end_rmdir, &job);
	if (rc != 0)
		return rc;
	job->from.group_id = id;
	if (target.kind != NODE_GROUP)
		direct_remove_group(mount->lane, &job->origin, id, job_done, job);
	else
		direct_remove_entity(mount->lane, &job->origin, target.group_id, slice_str(job->name), job_done, job);
	return 1;
}

static void run_rmdir(struct call *call)
{
	int rc = remove_dir(call);

	if (rc <= 0)
		reply_err(call->req, -rc);
}

void dir_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct mount *mount = fuse_req_userdata(req);
	struct call call = { .mount = mount, .req = req, .run = run_rmdir, .ino = parent, .name = name, .is_whole = true };

	atomic_fetch_add_explicit(&mount->requests, 1, memory_order_relaxed);
	call_run(&call);
}
