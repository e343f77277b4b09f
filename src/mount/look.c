/* SPDX-License-Identifier: MIT */
/*
 * LOOKUP and GETATTR: what names mean, and which node stands for them.
 *
 * Nodes with content are shared by all who read the same text: the kernel's pages belong to the inode, so all handles on one node must show the
 * same bytes, and no page may hold something else. A lookup that finds another text than the open handles of the node show therefore
 * detaches that node, which lives on for its handles, and makes a new one. A lookup is part of every open by path; what it has
 * found equal to what the handles show may be shown by the open behind it, whatever is written in between (both overlap the open(2)).
 * That holds only if no lookup answered from a newer snapshot than the handles' content is known for: an answer from an older one
 * begins again with a fresh view.
 */
#include "mount/look.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "mount/attr.h"
#include "mount/call.h"
#include "mount/control.h"
#include "mount/edit.h"
#include "mount/handle.h"
#include "mount/import.h"
#include "mount/join.h"
#include "mount/ops.h"
#include "mount/private.h"
#include "mount/scratch.h"
#include "mount/tree.h"

/* ---- names ---- */

static int mean_in_root(const struct serve_view *view, const char *name, struct meaning *out)
{
	const struct catalog_group *grp;

	if (!strcmp(name, ".featurefs")) {
		out->kind = NODE_CONTROL_DIR;
		return 0;
	}
	if (!strcmp(name, ".views")) {
		out->kind = NODE_VIEWS;
		return 0;
	}
	grp = catalog_find(view->cat, slice_str(name));
	if (!grp)
		return -ENOENT;
	out->kind = NODE_GROUP;
	out->number = grp->id;
	return 0;
}

static int mean_in_group(const struct mount *mount, const char *name, struct meaning *out)
{
	static const struct {
		const char *name;
		enum node_kind kind;
	} files[] = {
		{ ".schema", NODE_SCHEMA }, { ".stats", NODE_STATS }, { ".errors", NODE_ERRORS }, { ".upsert", NODE_UPSERT },
		{ ".lookup", NODE_LOOKUP },
	};
	int tree = name[0] == '.' ? tree_find(mount, true, name) : -1;

	if (mount->options.batch && !strcmp(name, ".import")) {
		out->kind = NODE_IMPORT;
		return 0;
	}
	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		if (!strcmp(name, files[i].name)) {
			out->kind = files[i].kind;
			return 0;
		}
	}
	if (tree >= 0) {
		out->kind = NODE_TREE_DIR;
		out->number = (uint32_t)tree;
		return 0;
	}
	if (name_is_reserved(name))
		return -ENOENT;
	out->is_scratch_too = name_is_scratch(name);
	out->kind = name[0] == '.' ? NODE_SCRATCH : NODE_ENTITY;
	return 0;
}

static int mean_in_entity(const struct catalog_group *grp, const char *name, struct meaning *out)
{
	const struct catalog_feature *feature = catalog_find_feature(grp, slice_str(name));
	size_t bin_len = name_is_bin(name);

	if (!strcmp(name, ".row")) {
		out->kind = NODE_ROW;
		return 0;
	}
	if (name_is_reserved(name))
		return -ENOENT;
	out->kind = NODE_VALUE;
	if (!feature && bin_len) {
		feature = catalog_find_feature(grp, slice_of(name, bin_len));
		out->kind = NODE_BIN;
	}
	if (!feature) {
		out->kind = NODE_SCRATCH;
		return name_is_scratch(name) ? 0 : -ENOENT;
	}
	out->number = feature->slot;
	return feature->retired ? -ENOENT : 0;
}

int look_mean(struct mount *mount, const struct serve_view *view, const struct target *dir, const char *name, struct meaning *out)
{
	const struct catalog_group *grp;
	int index;

	*out = (struct meaning){ 0 };
	if (strlen(name) > TEXT_ENTITY_MAX)
		return -ENAMETOOLONG;
	switch (dir->kind) {
	case NODE_ROOT:
		return mean_in_root(view, name, out);
	case NODE_CONTROL_DIR:
		index = control_find(mount->options.controls, name);
		out->kind = index < 0 ? NODE_TREE_DIR : NODE_CONTROL;
		if (index < 0)
			index = tree_find(mount, false, name);
		out->number = (uint32_t)index;
		return index < 0 ? -ENOENT : 0;
	case NODE_TREE_DIR:
		return tree_mean(mount, dir, name, out);
	case NODE_VIEWS:
		grp = catalog_find_view(view->cat, slice_str(name));
		out->kind = NODE_VIEW;
		out->number = grp ? grp->id : 0;
		return grp ? 0 : -ENOENT;
	case NODE_VIEW:
	case NODE_FORM:
		grp = catalog_find_id(view->cat, dir->group_id);
		return grp && grp->view ? join_mean(grp, dir, name, out) : -ENOENT;
	case NODE_GROUP:
		return mean_in_group(mount, name, out);
	case NODE_ENTITY:
		grp = catalog_find_id(view->cat, dir->group_id);
		return grp ? mean_in_entity(grp, name, out) : -ENOENT;
	default:
		return -ENOTDIR;
	}
}

/* ---- nodes for names ---- */

static void target_of(const struct target *dir, const struct meaning *meaning, const char *name, struct target *out)
{
	*out = *dir;
	out->kind = meaning->kind;
	out->number = meaning->number;
	if (meaning->kind == NODE_GROUP || meaning->kind == NODE_VIEW)
		out->group_id = meaning->number;
	if (meaning->kind == NODE_ENTITY || meaning->kind == NODE_JOIN) {
		out->entity_len = (uint16_t)strlen(name);
		memcpy(out->entity, name, out->entity_len + 1);
	}
	if (dir->kind == NODE_TREE_DIR)
		tree_descend(out, name);
}

/* Has a node for it a name, beside its number? */
static bool has_name(const struct target *dir, const struct meaning *meaning)
{
	return meaning->kind == NODE_ENTITY || meaning->kind == NODE_JOIN || dir->kind == NODE_TREE_DIR;
}

void look_entry(struct mount *mount, const struct node *node, const struct stat *st, double timeout, struct fuse_entry_param *out)
{
	*out = (struct fuse_entry_param){
		.ino = node_ino(mount, node), .generation = 1, .attr = *st, .attr_timeout = timeout, .entry_timeout = 0,
	};
}

/* `name` NULL: its number says it all. */
static int count_lookup(struct mount *mount, struct node *dir, const struct meaning *meaning, const char *name, struct node **out)
{
	struct node *node;

	pthread_mutex_lock(&mount->lock);
	node = node_get_locked(mount, dir, meaning->kind, meaning->number, name);
	if (node)
		node_count_locked(node);
	pthread_mutex_unlock(&mount->lock);
	*out = node;
	return node ? 0 : -ENOMEM;
}

/* No lookup finds it any more; the answer that counted it is not given. */
static void drop_unknown(struct mount *mount, struct node *node)
{
	pthread_mutex_lock(&mount->lock);
	node_detach_locked(mount, node);
	pthread_mutex_unlock(&mount->lock);
	node_forget(mount, node, 1);
}

/* The node for a name whose current text is `content`; may its attributes be kept? -EAGAIN: the view is older than what others have seen of it, or it
 * takes another node. */
static int count_content(struct mount *mount, struct node *dir, const struct meaning *meaning, const struct content *content, pid_t caller,
			 struct node **out, bool *out_keeps)
{
	bool must_void = false;
	struct node *node;
	int rc = 0;

	pthread_mutex_lock(&mount->lock);
	node = edit_promised_locked(mount, dir, meaning->kind, meaning->number, caller);
	if (!node) {
		node = node_get_locked(mount, dir, meaning->kind, meaning->number, NULL);
		if (node && node->shown && content->version < node->shown->content.version) {
			rc = -EAGAIN;
		} else if (node && node->shown && !shown_is(node->shown, content)) {
			node_detach_locked(mount, node);
			node = node_get_locked(mount, dir, meaning->kind, meaning->number, NULL);
		} else if (node && node->shown) {
			node->shown->content.version = content->version;
		}
	}
	if (!node)
		rc = -ENOMEM;
	if (rc == 0) {
		node_count_locked(node);
		if (content->version > node->version)
			node->version = content->version;
		must_void = attr_tell_locked(node, content, caller);
		*out_keeps = node->told_turn == 0;
	}
	pthread_mutex_unlock(&mount->lock);
	/* An inode that the kernel is yet to make can't be told to forget what it will be made with. */
	if (must_void && attr_void(mount, node) == -ENOENT) {
		drop_unknown(mount, node);
		rc = -EAGAIN;
	}
	*out = node;
	return rc;
}

static int look_content(struct mount *mount, const struct serve_view *view, struct node *dir, const struct target *target,
			const struct meaning *meaning, pid_t caller, struct fuse_entry_param *out)
{
	struct buf *buf = attr_buffer();
	struct content content;
	struct node *node;
	struct stat st;
	bool keeps;
	int rc = buf ? attr_render(view, target, buf, &content) : -ENOMEM;

	if (rc == 0)
		rc = attr_fill(mount, view, target, &content, &st);
	if (rc == 0)
		rc = count_content(mount, dir, meaning, &content, caller, &node, &keeps);
	if (rc == 0)
		look_entry(mount, node, &st, keeps ? attr_timeout() : 0, out);
	return rc;
}

static int look_scratch(struct mount *mount, struct node *dir, const char *name, struct fuse_entry_param *out)
{
	struct node *node;
	struct stat st;

	pthread_mutex_lock(&mount->lock);
	node = node_find_locked(mount, dir, NODE_SCRATCH, 0, name);
	if (node)
		node_count_locked(node);
	pthread_mutex_unlock(&mount->lock);
	if (!node)
		return -ENOENT;
	scratch_stat(mount, node->scratch, &st);
	look_entry(mount, node, &st, attr_timeout(), out);
	return 0;
}

/* A value that its own process has created and not yet closed; for all others it is not there. */
static int look_created(struct mount *mount, struct node *dir, const struct meaning *meaning, pid_t caller, struct fuse_entry_param *out)
{
	struct node like = { .parent = dir, .kind = (uint8_t)meaning->kind, .number = meaning->number };
	struct edit *edit = edit_find(mount, &like, caller, false);
	struct node *node;
	struct stat st;
	double timeout;
	int rc;

	if (!edit)
		return -ENOENT;
	node = edit->handle.node;
	rc = attr_get(mount, node, caller, &st, &timeout);
	if (rc == 0) {
		pthread_mutex_lock(&mount->lock);
		node_count_locked(node);
		pthread_mutex_unlock(&mount->lock);
		look_entry(mount, node, &st, 0, out);
	}
	edit_drop(mount, edit);
	return rc;
}

static int look_in(struct mount *mount, const struct serve_view *view, struct node *dir, const struct target *dir_target,
		   const char *name, pid_t caller, struct fuse_entry_param *out)
{
	struct content none = { 0 };
	struct meaning meaning;
	struct target target;
	struct node *node;
	struct stat st;
	int rc = look_mean(mount, view, dir_target, name, &meaning);

	if (rc < 0)
		return rc;
	target_of(dir_target, &meaning, name, &target);
	if (meaning.kind == NODE_SCRATCH)
		return look_scratch(mount, dir, name, out);
	if (has_content(meaning.kind)) {
		rc = look_content(mount, view, dir, &target, &meaning, caller, out);
		return rc == -ENOENT ? look_created(mount, dir, &meaning, caller, out) : rc;
	}
	rc = attr_fill(mount, view, &target, &none, &st);
	if (rc == -ENOENT && meaning.is_scratch_too)
		return look_scratch(mount, dir, name, out);
	if (rc == 0)
		rc = count_lookup(mount, dir, &meaning, has_name(dir_target, &meaning) ? name : NULL, &node);
	if (rc == 0)
		look_entry(mount, node, &st, attr_timeout(), out);
	return rc;
}

int look_up(struct mount *mount, struct node *dir, const char *name, pid_t caller, struct fuse_entry_param *out)
{
	bool is_unsettled = atomic_load(&mount->unsettled);
	struct target target;
	struct serve_view view;
	int rc;

	if (is_import((enum node_kind)dir->kind))
		return import_look_up(mount, dir, name, out);
	node_target(mount, dir, &target);
	do {
		rc = serve_begin(mount->lane->store, mount->lane->cur, &view);
		if (rc < 0)
			return rc;
		rc = look_in(mount, &view, dir, &target, name, caller, out);
		serve_end(&view);
	} while (rc == -EAGAIN);
	/* Its times are those of its values, and one may be closed but not committed yet: a stat is to ask, and waits for that. */
	if (rc == 0 && is_unsettled && target.kind == NODE_GROUP)
		out->attr_timeout = 0;
	return rc;
}

static int check_view_rights(struct mount *mount, struct node *dir, fuse_req_t req)
{
	const struct catalog_group *grp;
	struct target target;
	uint64_t number;
	struct catalog *cat = catalog_current_get(mount->lane->cur, &number);
	int rc;

	node_target(mount, dir, &target);
	grp = catalog_find_id(cat, target.group_id);
	rc = grp && grp->view ? join_check_rights(&mount->options.owners, cat, grp, req) : -ENOENT;
	catalog_unref(cat);
	return rc;
}

static void run_lookup(struct call *call)
{
	struct mount *mount = call->mount;
	struct node *dir = node_of(mount, call->ino);
	struct fuse_entry_param entry;
	int rc = dir->kind == NODE_FORM ? check_view_rights(mount, dir, call->req) : 0;

	if (rc == 0)
		rc = look_up(mount, dir, call->name, fuse_req_ctx(call->req)->pid, &entry);
	if (rc < 0)
		reply_err(call->req, -rc);
	else if (reply_entry(call->req, &entry) == -ENOENT)
		node_forget(mount, node_of(mount, entry.ino), 1);	/* nobody waits for it any more */
}

void look_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct mount *mount = fuse_req_userdata(req);
	struct call call = { .mount = mount, .req = req, .run = run_lookup, .ino = parent, .name = name };

	atomic_fetch_add_explicit(&mount->requests, 1, memory_order_relaxed);
	call_run(&call);
}

/* ---- GETATTR, FORGET ---- */

static void run_getattr(struct call *call)
{
	struct mount *mount = call->mount;
	struct node *node = node_of(mount, call->ino);
	double timeout;
	struct stat st;
	int rc = attr_get(mount, node, fuse_req_ctx(call->req)->pid, &st, &timeout);

	if (rc < 0)
		reply_err(call->req, -rc);
	else
		reply_attr(call->req, &st, timeout);
}

void look_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mount *mount = fuse_req_userdata(req);
	struct call call = {
		.mount = mount, .req = req, .run = run_getattr, .ino = ino, .except = fuse_req_ctx(req)->pid,
	};

	(void)fi;	/* the kernel does not say which handle; attr_get asks whose it is */
	atomic_fetch_add_explicit(&mount->requests, 1, memory_order_relaxed);
	call_run(&call);
}

void look_forget(fuse_req_t req, fuse_ino_t ino, uint64_t n)
{
	struct mount *mount = fuse_req_userdata(req);

	node_forget(mount, node_of(mount, ino), n);
	fuse_reply_none(req);
}

void look_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *list)
{
	struct mount *mount = fuse_req_userdata(req);

	for (size_t i = 0; i < count; i++)
		node_forget(mount, node_of(mount, list[i].ino), list[i].nlookup);
	fuse_reply_none(req);
}

/* ---- refusing names ---- */

int look_refuse_name(struct mount *mount, fuse_req_t req, const struct target *dir, const char *name)
{
	struct direct_origin origin = { .uid = fuse_req_ctx(req)->uid, .event_ns = INGEST_NOW };
	char detail[400];

	if (dir->group_id == CATALOG_ROOT_ID)
		return -EPERM;
	if (dir->kind == NODE_ENTITY && !name_is_reserved(name))
		snprintf(detail, sizeof detail, "feature %.128s is not declared in .schema, or retired; add [feature %.128s] to it",
			 name, name);
	else if (dir->kind == NODE_GROUP && !name_is_reserved(name))
		snprintf(detail, sizeof detail, "a group holds entities, which are directories: mkdir %.200s first", name);
	else
		snprintf(detail, sizeof detail, "%.128s is a name of the store's own", name);
	return direct_refuse(mount->lane, &origin, dir->group_id, target_entity(dir), slice_str(name), EPERM, detail);
}
