/* SPDX-License-Identifier: MIT */
/*
 * Write handles. A handle gathers what is written in a buffer of its own; nobody else sees any of it before it is committed whole. That
 * happens when the process that opened the file closes it (its FLUSH) with something new in it, at fsync, and for what is left at the
 * last close (RELEASE). Closes of other processes do nothing: a shell's children inherit its descriptors. A process is a thread
 * group; the kernel tells threads, so where those differ /proc says whose they are.
 *
 * A handle that was created or truncated, and not written to, is armed: it commits an empty value, but only at RELEASE, for shells open,
 * dup2 and close before they run the command that writes. After its opener's FLUSH it is parked: from then on the RELEASE may be under
 * way, and requests that touch the value wait for it (call.c). Setting the times of an armed handle commits it at once: what
 * touch and cp -p do with empty files.
 *
 * What can be judged early is judged at WRITE, since shells report errors there and not at close. A handle with a refused write stores
 * nothing any more, unless it is begun anew.
 *
 * Readers' pages belong to the kernel's inode, and truncating an inode takes mapped pages away from them, and shows a
 * size of 0 to whoever is in the middle of a stat. So readers and writers never share a node: opening to write
 * detaches the node from its name, and later readers get another one. Where readers have the node already, or others
 * have looked it up just now, or a reader comes to a writer's node that it had looked up before, the open is answered
 * ESTALE, the kernel looks the name up again, and the opening thread then finds a node that was promised to it alone.
 * A second ESTALE would be the user's, so a promise stands for longer than a thread has to wait for a processor. The
 * writers' last close gives the node its name back if no other node took it.
 */
#include "mount/edit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "mount/attr.h"
#include "mount/call.h"
#include "mount/handle.h"
#include "mount/private.h"

enum { PROMISE_S = 60 };

/* ---- whose handle it is ---- */

/* The thread group of a thread; 0 if it has ended. */
static pid_t group_of_thread(pid_t tid)
{
	char path[64], line[256];
	FILE *file;
	int tgid = 0;

	snprintf(path, sizeof path, "/proc/%d/status", (int)tid);
	file = fopen(path, "re");
	if (!file)
		return 0;
	while (fgets(line, sizeof line, file) && sscanf(line, "Tgid: %d", &tgid) != 1)
		;
	fclose(file);
	return tgid;
}

bool edit_is_openers(pid_t opener, _Atomic pid_t *tgid, pid_t tid)
{
	pid_t group;

	if (tid == opener)
		return true;
	group = atomic_load(tgid);
	if (!group) {
		group = group_of_thread(opener);
		atomic_store(tgid, group);
	}
	return !group || group == group_of_thread(tid);
}

static bool is_openers(struct edit *edit, pid_t tid)
{
	return edit_is_openers(edit->tid, &edit->tgid, tid);
}

/* ---- promises ---- */

/* The last one takes its place. */
static void end_promise_locked(struct mount *mount, unsigned i)
{
	struct node *node = mount->promises[i].node;

	mount->promises[i] = mount->promises[--mount->n_promises];
	node_drop_locked(mount, node);
}

static void attach_locked(struct mount *mount, struct node *node)
{
	if (!node->is_attached && !node->is_gone &&
	    !node_find_locked(mount, node->parent, (enum node_kind)node->kind, node->number, node->name))
		node_attach_locked(mount, node);
}

void edit_keep_promise_locked(struct mount *mount, struct node *node)
{
	for (unsigned i = 0; i < mount->n_promises; i++) {
		if (mount->promises[i].node != node)
			continue;
		if (!node->n_edits)
			attach_locked(mount, node);
		end_promise_locked(mount, i);
		return;
	}
}

struct node *edit_promised_locked(struct mount *mount, const struct node *dir, enum node_kind kind, uint32_t number, pid_t tid)
{
	for (unsigned i = 0; i < mount->n_promises; i++) {
		const struct promise *promise = &mount->promises[i];
		const struct node *node = promise->node;

		if (promise->tid == tid && node->parent == dir && node->kind == kind && node->number == number)
			return promise->node;
	}
	return NULL;
}

/* Makes room for one more: those that nobody came back for go, and if there are none, the oldest. */
static void end_old_promises_locked(struct mount *mount)
{
	int64_t now_ns = clock_monotonic();
	unsigned oldest = 0;

	for (unsigned i = 0; i < mount->n_promises;) {
		if (mount->promises[i].until_ns < now_ns)
			end_promise_locked(mount, i);
		else
			i++;
	}
	if (mount->n_promises < PROMISES)
		return;
	for (unsigned i = 1; i < PROMISES; i++)
		if (mount->promises[i].until_ns < mount->promises[oldest].until_ns)
			oldest = i;
	end_promise_locked(mount, oldest);
}

int edit_promise_locked(struct mount *mount, const struct node *node, pid_t tid)
{
	struct node *own = edit_promised_locked(mount, node->parent, (enum node_kind)node->kind, node->number, tid);

	if (own)
		return 0;
	own = node_new_locked(mount, node->parent, (enum node_kind)node->kind, node->number, NULL);
	if (!own)
		return -ENOMEM;
	node_hold_locked(own);
	end_old_promises_locked(mount);
	mount->promises[mount->n_promises++] = (struct promise){
		.node = own, .tid = tid, .until_ns = clock_monotonic() + PROMISE_S * CLOCK_SECOND,
	};
	return -ESTALE;
}

/* ---- parking ---- */

static void park_locked(struct mount *mount, struct edit *edit, bool is_parked)
{
	if (edit->is_parked == is_parked)
		return;
	edit->is_parked = is_parked;
	if (is_parked) {
		atomic_fetch_add(&mount->unsettled, 1);
	} else {
		atomic_fetch_sub(&mount->unsettled, 1);
		call_wake_locked(mount);
	}
}

void edit_park(struct mount *mount, struct edit *edit, bool is_parked)
{
	pthread_mutex_lock(&mount->lock);
	park_locked(mount, edit, is_parked);
	pthread_mutex_unlock(&mount->lock);
}

static bool is_touched(const struct touch *touch, const struct target *target)
{
	if (touch->group_id == CATALOG_ROOT_ID || touch->group_id != target->group_id)
		return false;
	if (touch->any_entity || target->kind == NODE_UPSERT || target->kind == NODE_SCHEMA)
		return true;
	if (!slice_equal(slice_of(touch->entity, touch->entity_len), target_entity(target)))
		return false;
	return touch->any_slot || target->kind == NODE_ROW || touch->slot == target->number;
}

static bool is_edit_touched(const struct touch *touch, const struct edit *edit)
{
	struct target target;

	if (!edit->is_parked)
		return false;
	node_target_locked(edit->handle.node, &target);
	return is_touched(touch, &target);
}

bool edit_is_unsettled_locked(struct mount *mount, const struct touch *touch, pid_t except)
{
	if (touch->group_id == CATALOG_ROOT_ID)
		return false;
	for (struct job *job = mount->closing; job; job = job->next)
		if (is_touched(touch, &job->target))
			return true;
	for (struct edit *edit = mount->edits; edit; edit = edit->next)
		if (edit->tid != except && is_edit_touched(touch, edit))
			return true;
	return false;
}

void edit_unpark_locked(struct mount *mount, const struct touch *touch)
{
	for (struct edit *edit = mount->edits; edit; edit = edit->next)
		if (is_edit_touched(touch, edit))
			park_locked(mount, edit, false);
}

/* ---- opening and freeing ---- */

size_t edit_limit(enum node_kind kind)
{
	switch (kind) {
	case NODE_ROW:
		return DIRECT_ROW_MAX;
	case NODE_UPSERT:
		return DIRECT_UPSERT_MAX;
	case NODE_SCHEMA:
		return DIRECT_SCHEMA_MAX;
	default:
		return TYPE_VALUE_MAX + 1;	/* a string's final newline is not part of it */
	}
}

int edit_load(struct mount *mount, const struct target *target, struct buf *out)
{
	struct content content;
	struct serve_view view;
	int rc = serve_begin(mount->lane->store, mount->lane->cur, &view);

	if (rc < 0)
		return rc;
	rc = attr_render(&view, target, out, &content);
	serve_end(&view);
	return rc;
}

static void free_edit(struct edit *edit)
{
	pthread_mutex_destroy(&edit->lock);
	buf_release(&edit->bytes);
	free(edit);
}

/* Gives the node to the handle; -ESTALE if readers have it, or somebody who may just be looking at its size. */
static int take_node(struct mount *mount, struct node *node, struct edit *edit)
{
	int rc = 0;

	pthread_mutex_lock(&mount->lock);
	if (node->shown || attr_is_watched_locked(node, edit->tid))
		rc = edit_promise_locked(mount, node, edit->tid);
	if (rc == 0) {
		edit->handle.node = node;
		node_hold_locked(node);
		node->n_edits++;
		edit_keep_promise_locked(mount, node);
		if (has_content((enum node_kind)node->kind))
			node_detach_locked(mount, node);
		edit->next = mount->edits;
		edit->prev = &mount->edits;
		if (edit->next)
			edit->next->prev = &edit->next;
		mount->edits = edit;
	}
	pthread_mutex_unlock(&mount->lock);
	return rc;
}

/* Is the value one line of text, so that a whole line is the whole value? */
static bool is_one_line(struct mount *mount, const struct target *target)
{
	uint64_t number;
	struct catalog *cat = catalog_current_get(mount->lane->cur, &number);
	const struct catalog_group *grp = catalog_find_id(cat, target->group_id);
	const struct catalog_feature *feature = grp ? catalog_feature_at(grp, (uint16_t)target->number) : NULL;
	bool is = feature && !feature->type.is_array && feature->type.base != TYPE_JSON;

	catalog_unref(cat);
	return is;
}

int edit_open(struct mount *mount, struct node *node, const struct target *target, int flags, bool is_created, fuse_req_t req,
	      struct edit **out)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	bool is_empty = is_created || (flags & O_TRUNC) || target->kind == NODE_UPSERT;
	struct edit *edit = calloc(1, sizeof *edit);
	int rc;

	if (!edit)
		return -ENOMEM;
	edit->handle.kind = HANDLE_EDIT;
	edit->refs = 1;
	edit->uid = ctx->uid;
	edit->tid = ctx->pid;
	edit->limit = edit_limit(target->kind);
	edit->event_ns = INGEST_NOW;
	edit->is_plain = target->kind == NODE_VALUE && is_one_line(mount, target);
	edit->is_armed = is_created || (flags & O_TRUNC);
	edit->is_sequential = is_empty;
	pthread_mutex_init(&edit->lock, NULL);
	rc = is_empty ? 0 : edit_load(mount, target, &edit->bytes);
	if (rc == 0)
		rc = take_node(mount, node, edit);
	if (rc < 0) {
		free_edit(edit);
		return rc;
	}
	atomic_fetch_add(&mount->handles, 1);
	*out = edit;
	return 0;
}

/* The last close: the node's name is its own again, unless another node stands for it by now. The node stays for whoever still holds the handle. */
static void leave_node_locked(struct mount *mount, struct edit *edit)
{
	struct node *node = edit->handle.node;

	if (--node->n_edits == 0)
		attach_locked(mount, node);
}

static void unlist_locked(struct mount *mount, struct edit *edit)
{
	park_locked(mount, edit, false);
	*edit->prev = edit->next;
	if (edit->next)
		edit->next->prev = edit->prev;
	edit->prev = NULL;
	leave_node_locked(mount, edit);
}

void edit_drop(struct mount *mount, struct edit *edit)
{
	bool is_last;

	pthread_mutex_lock(&mount->lock);
	is_last = --edit->refs == 0;
	if (is_last)
		node_drop_locked(mount, edit->handle.node);
	pthread_mutex_unlock(&mount->lock);
	if (is_last)
		free_edit(edit);
}

/* ---- finding the handle that a request by path or inode means ---- */

static bool is_same_file(const struct node *a, const struct node *b)
{
	return a == b || (a->parent == b->parent && a->kind == b->kind && a->number == b->number);
}

static bool is_pending(struct edit *edit)
{
	bool is;

	pthread_mutex_lock(&edit->lock);
	is = edit->is_dirty || edit->is_armed;
	pthread_mutex_unlock(&edit->lock);
	return is;
}

/* A file that was removed is another one than what has its name now; only who has it open means it. */
static bool is_meant(const struct node *open, const struct node *node)
{
	return open == node || (!open->is_gone && !node->is_gone && is_same_file(open, node));
}

/* The next handle on the node's file behind `after`, held; drops `after`. */
static struct edit *next_edit(struct mount *mount, struct node *node, struct edit *after)
{
	struct edit *edit;

	pthread_mutex_lock(&mount->lock);
	edit = after ? after->prev ? after->next : NULL : mount->edits;
	while (edit && !is_meant(edit->handle.node, node))
		edit = edit->next;
	if (edit)
		edit->refs++;
	pthread_mutex_unlock(&mount->lock);
	if (after)
		edit_drop(mount, after);
	return edit;
}

struct edit *edit_find(struct mount *mount, struct node *node, pid_t caller, bool any_caller)
{
	struct edit *edit = next_edit(mount, node, NULL);

	while (edit && !((any_caller || is_openers(edit, caller)) && is_pending(edit)))
		edit = next_edit(mount, node, edit);
	return edit;
}

void edit_size(struct edit *edit, uint64_t *out_size, int64_t *out_event_ns)
{
	pthread_mutex_lock(&edit->lock);
	*out_size = edit->bytes.len;
	*out_event_ns = edit->event_ns == INGEST_NOW ? clock_now() : edit->event_ns;
	pthread_mutex_unlock(&edit->lock);
}

void edit_orphan_locked(struct mount *mount, const struct node *like)
{
	for (struct edit *edit = mount->edits; edit; edit = edit->next)
		if (is_same_file(edit->handle.node, like))
			edit->handle.node->is_gone = true;
}

void edit_move_locked(struct mount *mount, const struct node *like, struct node *parent, uint32_t number)
{
	for (struct edit *edit = mount->edits; edit; edit = edit->next)
		if (edit->handle.node != like && is_same_file(edit->handle.node, like))
			node_move_locked(mount, edit->handle.node, parent, number, NULL);
}

/* ---- committing ---- */

void edit_put(struct job *job)
{
	struct direct *lane = job->mount->lane;
	const struct target *target = &job->target;
	struct slice bytes = job_bytes(job), entity = target_entity(target);

	switch (target->kind) {
	case NODE_VALUE:
	case NODE_BIN:
		direct_put(lane, &job->origin, target->group_id, entity, (uint16_t)target->number,
			   target->kind == NODE_BIN ? DIRECT_BIN : DIRECT_TEXT, bytes, job_done, job);
		break;
	case NODE_ROW:
		direct_put_row(lane, &job->origin, target->group_id, entity, bytes, job_done, job);
		break;
	case NODE_UPSERT:
		direct_upsert(lane, &job->origin, target->group_id, bytes, job_done, job);
		break;
	case NODE_SCHEMA:
		direct_define_group(lane, &job->origin, target->group_id, bytes, job_done, job);
		break;
	default:
		job_done(job, -EPERM);
		break;
	}
}

/* Takes what is to be committed out of the handle; NULL without memory. edit->lock is held. */
struct job *edit_take_job(struct mount *mount, struct edit *edit, fuse_req_t req, void (*end)(struct job *, int))
{
	struct job *job = job_new(mount, req, end, buf_slice(&edit->bytes));

	if (!job)
		return NULL;
	job->origin = (struct direct_origin){ .uid = edit->uid, .event_ns = edit->event_ns };
	edit->is_dirty = edit->is_armed = false;
	edit->event_ns = INGEST_NOW;
	return job;
}

/* Hands it over. `is_closing`: requests that touch it wait for its end. */
void edit_put_job(struct mount *mount, struct edit *edit, struct job *job, bool is_closing)
{
	bool is_nothing;

	pthread_mutex_lock(&mount->lock);
	node_target_locked(edit->handle.node, &job->target);
	job->node = edit->handle.node;
	node_hold_locked(job->node);
	if (is_closing)
		job_close_locked(job);
	park_locked(mount, edit, false);
	pthread_mutex_unlock(&mount->lock);
	is_nothing = job->len == 0 && job->target.kind != NODE_VALUE && job->target.kind != NODE_BIN;
	if (job->target.is_gone || is_nothing)
		job_done(job, 0);
	else
		edit_put(job);
}

/* Commits what was written since the last commit, and answers with how that went. */
static void commit_dirty(struct mount *mount, struct edit *edit, fuse_req_t req)
{
	struct job *job = NULL;
	int rc = 0;

	pthread_mutex_lock(&edit->lock);
	if (edit->is_dirty && edit->bad)
		rc = edit->bad;
	else if (edit->is_dirty && !(job = edit_take_job(mount, edit, req, NULL)))
		rc = ENOMEM;
	pthread_mutex_unlock(&edit->lock);
	if (job)
		edit_put_job(mount, edit, job, false);
	else
		reply_err(req, rc);
}

/* Rows and definitions are not parked: an empty one writes nothing, and a whole group would wait for it. */
static bool can_park(const struct edit *edit)
{
	return edit->handle.node->kind == NODE_VALUE || edit->handle.node->kind == NODE_BIN;
}

void edit_flush(struct mount *mount, struct edit *edit, fuse_req_t req)
{
	bool is_its = is_openers(edit, fuse_req_ctx(req)->pid), is_left;

	pthread_mutex_lock(&edit->lock);
	is_left = (edit->is_armed || (edit->is_dirty && !is_its)) && !edit->bad;
	pthread_mutex_unlock(&edit->lock);
	if (is_left && can_park(edit))
		edit_park(mount, edit, true);
	if (is_its)
		commit_dirty(mount, edit, req);
	else
		reply_err(req, 0);
}

void edit_fsync(struct mount *mount, struct edit *edit, fuse_req_t req)
{
	commit_dirty(mount, edit, req);
}

static void end_release(struct job *job, int rc)
{
	(void)job;
	(void)rc;	/* nobody is there to be told; what was refused is in .errors */
}

/* What its closes have left to be committed; NULL: nothing. */
static struct job *take_rest(struct mount *mount, struct edit *edit)
{
	struct job *job = NULL;

	pthread_mutex_lock(&edit->lock);
	if ((edit->is_dirty || edit->is_armed) && !edit->bad)
		job = edit_take_job(mount, edit, NULL, end_release);
	pthread_mutex_unlock(&edit->lock);
	return job;
}

static void close_edit(struct mount *mount, struct edit *edit, struct job *rest)
{
	if (rest)
		edit_put_job(mount, edit, rest, true);
	pthread_mutex_lock(&mount->lock);
	unlist_locked(mount, edit);
	pthread_mutex_unlock(&mount->lock);
	edit_drop(mount, edit);
	atomic_fetch_sub(&mount->handles, 1);
}

void edit_release(struct mount *mount, struct edit *edit, fuse_req_t req)
{
	struct job *rest = req ? take_rest(mount, edit) : NULL;

	if (req)
		reply_err(req, 0);
	close_edit(mount, edit, rest);
}

void edit_end_all(struct mount *mount)
{
	pthread_mutex_lock(&mount->lock);
	while (mount->n_promises)
		end_promise_locked(mount, 0);
	pthread_mutex_unlock(&mount->lock);
	while (mount->edits) {
		struct edit *edit = mount->edits;

		close_edit(mount, edit, edit->is_parked ? take_rest(mount, edit) : NULL);
	}
}
