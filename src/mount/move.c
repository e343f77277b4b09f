/* SPDX-License-Identifier: MIT */
/*
 * RENAME. What it means depends on what the two names are:
 *
 *	value to value			moved with its event time, in one commit
 *	scratch to value, .row, ...	written there, as if it had been copied; the scratch file goes when that succeeded
 *	scratch to scratch		another name
 *	value to scratch		copied out, then deleted: what vi does for its backup
 *	entity to entity		all its values at once, within the group
 *	group to group, view to view	its name alone
 *	within a group's .import	what any file system does (import.c)
 *
 * All else is refused. The nodes take their new names when the commit is done, before the kernel is answered.
 */
#include "mount/ops.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "mount/attr.h"
#include "mount/call.h"
#include "mount/dir.h"
#include "mount/edit.h"
#include "mount/import.h"
#include "mount/look.h"
#include "mount/private.h"
#include "mount/scratch.h"

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#endif

/* One end of it. */
struct end {
	struct node *dir;
	struct target target;		/* of the directory */
	const char *name;
	struct meaning meaning;
};

struct rename {
	struct mount *mount;
	struct call *call;
	struct end from, to;
	bool no_replace;
};

static bool is_value(enum node_kind kind)
{
	return kind == NODE_VALUE || kind == NODE_BIN;
}

static void end_target(const struct end *end, struct target *out)
{
	*out = end->target;
	out->kind = end->meaning.kind;
	out->number = end->meaning.number;
}

/* A job that holds both directories and knows the new name. */
static struct job *rename_job(struct rename *ren, void (*end)(struct job *, int), struct slice bytes)
{
	struct job *job = job_new(ren->mount, ren->call->req, end, bytes);

	if (!job)
		return NULL;
	job->name = strdup(ren->to.name);
	if (!job->name) {
		job->end = NULL;
		job_done(job, -ENOMEM);
		return NULL;
	}
	return job;
}

/* ---- value to value ---- */

static void rename_nodes(struct mount *mount, struct node *from_dir, uint32_t from_slot, struct node *to_dir, uint32_t to_slot)
{
	static const enum node_kind kinds[] = { NODE_VALUE, NODE_BIN };

	pthread_mutex_lock(&mount->lock);
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		struct node like = { .parent = from_dir, .kind = (uint8_t)kinds[i], .number = from_slot };
		struct node *node = node_find_locked(mount, from_dir, kinds[i], from_slot, NULL);

		edit_move_locked(mount, &like, to_dir, to_slot);
		if (node)
			node_move_locked(mount, node, to_dir, to_slot, NULL);
	}
	pthread_mutex_unlock(&mount->lock);
}

static void end_value(struct job *job, int rc)
{
	if (rc == 0)
		rename_nodes(job->mount, job->node, job->from.slot, job->node2, job->to.slot);
	reply_err(job->req, -rc);
}

static void set_place(const struct end *end, char text[TEXT_ENTITY_MAX + 1], struct direct_place *out)
{
	memcpy(text, end->target.entity, end->target.entity_len + 1);
	*out = (struct direct_place){
		.group_id = end->target.group_id, .entity = slice_of(text, end->target.entity_len),
		.slot = (uint16_t)end->meaning.number,
	};
}

static void hold_dirs(struct rename *ren, struct job *job)
{
	job->node = ren->from.dir;
	job->node2 = ren->to.dir;
	pthread_mutex_lock(&ren->mount->lock);
	node_hold_locked(job->node);
	node_hold_locked(job->node2);
	pthread_mutex_unlock(&ren->mount->lock);
}

static int move_value(struct rename *ren)
{
	struct job *job = rename_job(ren, end_value, slice_of(NULL, 0));

	if (!job)
		return -ENOMEM;
	hold_dirs(ren, job);
	set_place(&ren->from, job->from_entity, &job->from);
	set_place(&ren->to, job->to_entity, &job->to);
	direct_move(ren->mount->lane, &job->origin, &job->from, &job->to, ren->no_replace, job_done, job);
	return 1;
}

/* ---- scratch to something ---- */

static struct node *hold_scratch(struct mount *mount, const struct end *end)
{
	struct node *node;

	pthread_mutex_lock(&mount->lock);
	node = node_find_locked(mount, end->dir, NODE_SCRATCH, 0, end->name);
	if (node)
		node_hold_locked(node);
	pthread_mutex_unlock(&mount->lock);
	return node;
}

static void end_written(struct job *job, int rc)
{
	struct mount *mount = job->mount;

	if (rc == 0) {
		pthread_mutex_lock(&job->node->scratch->lock);
		job->node->scratch->is_orphan = true;
		pthread_mutex_unlock(&job->node->scratch->lock);
		pthread_mutex_lock(&mount->lock);
		scratch_unlink_locked(mount, job->node);
		pthread_mutex_unlock(&mount->lock);
	}
	reply_err(job->req, -rc);
}

/* -EEXIST if the target is there and must not be. */
static int check_replace(struct rename *ren)
{
	struct fuse_entry_param entry;
	int rc;

	if (!ren->no_replace)
		return 0;
	rc = look_up(ren->mount, ren->to.dir, ren->to.name, 0, &entry);
	if (rc == -ENOENT)
		return 0;
	if (rc < 0)
		return rc;
	node_forget(ren->mount, node_of(ren->mount, entry.ino), 1);
	return -EEXIST;
}

/* Takes the hold on `node`. */
static int write_scratch(struct rename *ren, struct node *node)
{
	struct scratch *scratch = node->scratch;
	int64_t event_ns = INGEST_NOW;
	struct buf bytes = { 0 };
	struct job *job;
	int rc = check_replace(ren);

	if (rc < 0) {
		node_drop(ren->mount, node);
		return rc;
	}
	/* A job takes mount->lock, which scratch->lock is to be inside of. */
	pthread_mutex_lock(&scratch->lock);
	buf_append(&bytes, scratch->data, scratch->len);
	if (scratch->mtime_set)
		event_ns = scratch->mtime_ns;
	pthread_mutex_unlock(&scratch->lock);
	job = buf_error(&bytes) < 0 ? NULL : rename_job(ren, end_written, buf_slice(&bytes));
	buf_release(&bytes);
	if (job)
		job->origin.event_ns = event_ns;
	if (!job) {
		node_drop(ren->mount, node);
		return -ENOMEM;
	}
	job->node = node;
	end_target(&ren->to, &job->target);
	edit_put(job);
	return 1;
}

static int rename_scratch(struct rename *ren, struct node *node)
{
	struct mount *mount = ren->mount;
	char *name = strdup(ren->to.name);
	struct node *other;
	int rc = check_replace(ren);

	if (!name)
		rc = -ENOMEM;
	if (rc == 0) {
		pthread_mutex_lock(&mount->lock);
		other = node_find_locked(mount, ren->to.dir, NODE_SCRATCH, 0, name);
		if (other && other != node)
			scratch_unlink_locked(mount, other);
		if (other == node || !node->is_attached)
			free(name);
		else
			node_move_locked(mount, node, ren->to.dir, 0, name);
		pthread_mutex_unlock(&mount->lock);
	} else {
		free(name);
	}
	node_drop(mount, node);
	return rc;
}

static int from_scratch(struct rename *ren)
{
	struct node *node = hold_scratch(ren->mount, &ren->from);

	if (!node)
		return -ENOENT;
	switch (ren->to.meaning.kind) {
	case NODE_SCRATCH:
		return rename_scratch(ren, node);
	case NODE_VALUE:
	case NODE_BIN:
	case NODE_ROW:
	case NODE_SCHEMA:
	case NODE_UPSERT:
		return write_scratch(ren, node);
	default:
		node_drop(ren->mount, node);
		return look_refuse_name(ren->mount, ren->call->req, &ren->to.target, ren->to.name);
	}
}

/* ---- value to scratch ---- */

static void end_copied(struct job *job, int rc)
{
	struct mount *mount = job->mount;

	if (rc < 0) {
		pthread_mutex_lock(&mount->lock);
		scratch_unlink_locked(mount, job->node);
		pthread_mutex_unlock(&mount->lock);
	}
	reply_err(job->req, -rc);
}

static int render_from(struct rename *ren, struct buf *buf, struct content *out, struct stat *out_st)
{
	struct serve_view view;
	struct target target;
	int rc = serve_begin(ren->mount->lane->store, ren->mount->lane->cur, &view);

	if (rc < 0)
		return rc;
	end_target(&ren->from, &target);
	rc = attr_render(&view, &target, buf, out);
	if (rc == 0)
		rc = attr_fill(ren->mount, &view, &target, out, out_st);
	serve_end(&view);
	return rc;
}

/* A scratch file of the target's name with the value's text and times; one that is there already gives way. */
static int copy_out(struct rename *ren, struct node **out)
{
	struct buf *buf = attr_buffer();
	struct mount *mount = ren->mount;
	struct content content;
	struct stat st;
	struct node *node;
	int rc = buf ? render_from(ren, buf, &content, &st) : -ENOMEM;

	if (rc == 0)
		rc = check_replace(ren);
	if (rc < 0)
		return rc;
	node = hold_scratch(mount, &ren->to);
	if (node) {
		pthread_mutex_lock(&mount->lock);
		scratch_unlink_locked(mount, node);
		node_drop_locked(mount, node);
		pthread_mutex_unlock(&mount->lock);
	}
	rc = scratch_make(mount, ren->to.dir, ren->to.name, st.st_mode, st.st_uid, st.st_gid, &node);
	if (rc < 0)
		return rc;
	rc = scratch_write(mount, node, content.text, 0, false);
	if (rc == 0)
		rc = scratch_setattr(mount, node, &st, FUSE_SET_ATTR_MTIME);
	if (rc < 0) {
		pthread_mutex_lock(&mount->lock);
		scratch_unlink_locked(mount, node);
		node_drop_locked(mount, node);
		pthread_mutex_unlock(&mount->lock);
		return rc;
	}
	*out = node;
	return 0;
}

static int value_to_scratch(struct rename *ren)
{
	const struct target *at = &ren->from.target;
	struct node *node;
	struct job *job;
	int rc = copy_out(ren, &node);

	if (rc < 0)
		return rc;
	job = rename_job(ren, end_copied, slice_of(NULL, 0));
	if (!job) {
		node_drop(ren->mount, node);
		return -ENOMEM;
	}
	job->node = node;
	direct_delete(ren->mount->lane, &job->origin, at->group_id, target_entity(at), (uint16_t)ren->from.meaning.number, job_done, job);
	return 1;
}

static int from_value(struct rename *ren)
{
	switch (ren->to.meaning.kind) {
	case NODE_VALUE:
	case NODE_BIN:
		return move_value(ren);
	case NODE_SCRATCH:
		return value_to_scratch(ren);
	default:
		return look_refuse_name(ren->mount, ren->call->req, &ren->to.target, ren->to.name);
	}
}

/* ---- directories ---- */

static void end_entity(struct job *job, int rc)
{
	struct mount *mount = job->mount;
	struct node *node, *other;
	char *name;

	if (rc == 0) {
		pthread_mutex_lock(&mount->lock);
		node = node_find_locked(mount, job->node, NODE_ENTITY, 0, job->from_entity);
		other = node_find_locked(mount, job->node, NODE_ENTITY, 0, job->name);
		if (node && node != other) {
			name = job->name;
			job->name = NULL;
			node_move_locked(mount, node, job->node, 0, name);
		} else if (other) {
			other->is_gone = true;
			node_detach_locked(mount, other);
		}
		pthread_mutex_unlock(&mount->lock);
	}
	reply_err(job->req, -rc);
}

static int move_entity(struct rename *ren)
{
	struct mount *mount = ren->mount;
	struct job *job;
	int rc;

	if (ren->to.target.kind != NODE_GROUP)
		return ren->to.target.kind == NODE_ENTITY ? -EXDEV : -EPERM;
	if (ren->to.target.group_id != ren->from.target.group_id)
		return -EXDEV;
	rc = dir_check_entity(mount, ren->call->req, &ren->to.target, ren->to.name);
	if (rc < 0)
		return rc;
	if (!strcmp(ren->from.name, ren->to.name))
		return 0;
	job = rename_job(ren, end_entity, slice_of(NULL, 0));
	if (!job)
		return -ENOMEM;
	hold_dirs(ren, job);
	memcpy(job->from_entity, ren->from.name, strlen(ren->from.name) + 1);
	direct_rename_entity(mount->lane, &job->origin, ren->from.target.group_id, slice_str(job->from_entity), slice_str(job->name),
			     ren->no_replace, job_done, job);
	return 1;
}

static void end_group(struct job *job, int rc)
{
	if (rc == 0)
		dir_touch_root(job->mount);
	reply_err(job->req, -rc);
}

static int move_group(struct rename *ren)
{
	struct job *job;

	if (ren->to.target.kind != ren->from.target.kind)
		return -EPERM;
	if (name_is_reserved(ren->to.name))
		return -EPERM;
	if (!strcmp(ren->from.name, ren->to.name))
		return 0;
	job = rename_job(ren, end_group, slice_of(NULL, 0));
	if (!job)
		return -ENOMEM;
	direct_rename_group(ren->mount->lane, &job->origin, ren->from.meaning.number, slice_str(job->name), ren->no_replace, job_done, job);
	return 1;
}

/* ---- RENAME ---- */

/* In a group a name may be an entity's or a scratch file's; the entity comes first. */
static int settle_kind(struct rename *ren, const struct serve_view *view, struct end *end)
{
	const struct catalog_group *grp = catalog_find_id(view->cat, end->target.group_id);
	struct record rec;
	int rc;

	if (end->meaning.kind != NODE_ENTITY || !end->meaning.is_scratch_too)
		return 0;
	rc = grp ? serve_row(view, grp, slice_str(end->name), &rec) : -ENOENT;
	if (rc == -ENOENT && (end == &ren->from || ren->from.meaning.kind != NODE_ENTITY)) {
		end->meaning.kind = NODE_SCRATCH;
		return 0;
	}
	return rc == -ENOENT ? 0 : rc;
}

static int mean_end(struct rename *ren, const struct serve_view *view, struct end *end, fuse_ino_t ino, const char *name)
{
	int rc;

	end->dir = node_of(ren->mount, ino);
	end->name = name;
	node_target(ren->mount, end->dir, &end->target);
	rc = look_mean(ren->mount, view, &end->target, name, &end->meaning);
	return rc < 0 ? rc : settle_kind(ren, view, end);
}

/* A name that means nothing yet is fine for a group's new name, and refused elsewhere. */
static int mean_target(struct rename *ren, const struct serve_view *view)
{
	int rc = mean_end(ren, view, &ren->to, ren->call->ino2, ren->call->name2);

	if (rc != -ENOENT)
		return rc;
	if (ren->to.target.kind == NODE_ROOT || ren->to.target.kind == NODE_VIEWS) {
		ren->to.meaning.kind = ren->to.target.kind == NODE_ROOT ? NODE_GROUP : NODE_VIEW;
		return 0;
	}
	return look_refuse_name(ren->mount, ren->call->req, &ren->to.target, ren->to.name);
}

/* 1: somebody else replies. */
static int do_rename(struct rename *ren)
{
	struct node *dir = node_of(ren->mount, ren->call->ino), *to_dir = node_of(ren->mount, ren->call->ino2);
	struct serve_view view;
	int rc;

	if (is_import((enum node_kind)dir->kind) && is_import((enum node_kind)to_dir->kind))
		return import_rename(ren->mount, dir, ren->call->name, to_dir, ren->call->name2, ren->no_replace);
	if (is_import((enum node_kind)dir->kind) || is_import((enum node_kind)to_dir->kind))
		return -EXDEV;		/* mv copies then */
	rc = serve_begin(ren->mount->lane->store, ren->mount->lane->cur, &view);
	if (rc < 0)
		return rc;
	rc = mean_end(ren, &view, &ren->from, ren->call->ino, ren->call->name);
	if (rc == 0)
		rc = mean_target(ren, &view);
	serve_end(&view);
	if (rc < 0)
		return rc;
	if (ren->from.meaning.kind == NODE_ENTITY)
		return move_entity(ren);
	if (ren->from.meaning.kind == NODE_GROUP || ren->from.meaning.kind == NODE_VIEW)
		return move_group(ren);
	if (ren->from.meaning.kind == NODE_SCRATCH)
		return from_scratch(ren);
	return is_value(ren->from.meaning.kind) ? from_value(ren) : -EPERM;
}

static void run_rename(struct call *call)
{
	struct rename ren = { .mount = call->mount, .call = call, .no_replace = call->flags & RENAME_NOREPLACE };
	int rc;

	if (call->mount->options.read_only)
		rc = -EROFS;
	else if (call->flags & ~RENAME_NOREPLACE)
		rc = -EINVAL;
	else
		rc = do_rename(&ren);
	if (rc <= 0)
		reply_err(call->req, -rc);
}

void move_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t parent2, const char *name2, unsigned flags)
{
	struct mount *mount = fuse_req_userdata(req);
	struct call call = {
		.mount = mount, .req = req, .run = run_rename, .ino = parent, .name = name, .ino2 = parent2, .name2 = name2,
		.flags = (int)flags, .is_whole = true,
	};

	atomic_fetch_add_explicit(&mount->requests, 1, memory_order_relaxed);
	call_run(&call);
}
