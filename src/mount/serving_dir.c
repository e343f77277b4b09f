/* SPDX-License-Identifier: MIT */
/*
 * Directories of the serving mount. They are opened with a handle, for a place in a group's listing is a name and the kernel holds numbers
 * (listing.c), and the kernel keeps no listings: so they are right at once, whatever comes and goes.
 *
 * READDIRPLUS of an entity gives the kernel all of its values, names and attributes in one go: `ls` of an entity warms its names. A group's gives
 * names only, or else a listing would make a node for each of a million entities.
 */
#include "mount/serving_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "mount/listing.h"

struct serving_dir {
	struct serving_dir *next, **prev;	/* [G] */
	struct listing listing;		/* of a group */
	atomic_uint turns;		/* the kernel sends one READDIR at a time, and this orders them for all to see */
};

static struct serving_dir *dir_of(const struct fuse_file_info *fi)
{
	struct serving_dir *dir = (struct serving_dir *)(uintptr_t)fi->fh;

	atomic_load_explicit(&dir->turns, memory_order_acquire);
	return dir;
}

static void list_dir(struct serving *serving, struct serving_dir *dir)
{
	pthread_mutex_lock(&serving->lock);
	dir->next = serving->dirs;
	dir->prev = &serving->dirs;
	if (dir->next)
		dir->next->prev = &dir->next;
	serving->dirs = dir;
	pthread_mutex_unlock(&serving->lock);
}

static void free_dir(struct serving *serving, struct serving_dir *dir)
{
	pthread_mutex_lock(&serving->lock);
	*dir->prev = dir->next;
	if (dir->next)
		dir->next->prev = dir->prev;
	pthread_mutex_unlock(&serving->lock);
	listing_release(&dir->listing);
	free(dir);
}

void serving_dirs_free(struct serving *serving)
{
	while (serving->dirs)
		free_dir(serving, serving->dirs);
}

void serving_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct serving *serving = serving_begin(req);
	struct serving_dir *dir = calloc(1, sizeof *dir);

	(void)ino;
	if (!dir) {
		reply_err(req, ENOMEM);
		return;
	}
	list_dir(serving, dir);
	fi->fh = (uintptr_t)dir;
	atomic_fetch_add_explicit(&dir->turns, 1, memory_order_release);
	if (reply_open(req, fi) == -ENOENT)
		free_dir(serving, dir);	/* nobody waits for it any more */
}

void serving_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct serving *serving = serving_begin(req);

	(void)ino;
	free_dir(serving, dir_of(fi));
	reply_err(req, 0);
}

/* ---- an entity's values ---- */

/* The nodes that a reply has counted a lookup of, to be taken back if nobody waits for it. */
struct given {
	struct buf inos;
};

static int give_back(struct serving *serving, const struct given *given)
{
	const fuse_ino_t *inos = (const fuse_ino_t *)(const void *)given->inos.data;

	for (size_t i = 0; i < given->inos.len / sizeof *inos; i++)
		snode_forget(serving, snode_of(serving, inos[i]), 1);
	return 0;
}

/* 1: it does not fit any more. */
static int add_value(struct serving *serving, const struct serve_view *view, const struct catalog_group *grp, struct sentity *entity,
		     const struct record *rec, const struct catalog_feature *feature, const struct glance *glance,
		     struct dir_reply *reply, struct given *given)
{
	char *to = reply->data + reply->len;
	size_t room = reply->size - reply->len;
	size_t need = fuse_add_direntry_plus(reply->req, NULL, 0, feature->name, NULL, 0);
	struct fuse_entry_param entry;
	int rc;

	if (need > room || !buf_reserve(&given->inos, sizeof entry.ino))
		return 1;
	rc = serving_value(serving, view, grp, entity, rec, NODE_VALUE, feature->slot, glance, &entry);
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	buf_append(&given->inos, &entry.ino, sizeof entry.ino);
	reply->len += fuse_add_direntry_plus(reply->req, to, room, feature->name, &entry, (off_t)feature->slot + DIR_FIRST);
	return 0;
}

static int list_values(struct serving *serving, const struct serve_view *view, const struct catalog_group *grp, struct sentity *entity,
		       const struct glance *glance, struct dir_reply *reply, uint64_t off, struct given *given)
{
	struct record rec;
	int rc = serve_row(view, grp, slice_of(entity->name, entity->len), &rec);

	for (unsigned i = 0; rc == 0 && i < grp->n_features; i++)
		if ((uint64_t)grp->features[i].slot + DIR_FIRST > off && !grp->features[i].retired)
			rc = add_value(serving, view, grp, entity, &rec, &grp->features[i], glance, reply, given);
	return rc < 0 && rc != -ENOENT ? rc : 0;
}

/* ---- listing ---- */

static int list_controls(const struct mount_control *controls, struct dir_reply *reply, uint64_t off)
{
	for (uint32_t i = 0; controls[i].name; i++)
		if ((uint64_t)i + DIR_FIRST > off &&
		    !dir_add(reply, controls[i].name, S_IFREG, attr_number(NODE_CONTROL, CATALOG_ROOT_ID, i, slice_of(NULL, 0)),
			     (off_t)i + DIR_FIRST))
			break;
	return 0;
}

static bool add_dots(const struct target *target, struct dir_reply *reply, uint64_t off)
{
	uint64_t self = attr_number(target->kind, target->group_id, target->number, target_entity(target)), up = FUSE_ROOT_ID;

	if (target->kind == NODE_ROOT)
		self = FUSE_ROOT_ID;
	if (target->kind == NODE_ENTITY || target->kind == NODE_FORM)
		up = attr_number(target->kind == NODE_FORM ? NODE_VIEW : NODE_GROUP, target->group_id, target->group_id, slice_of(NULL, 0));
	else if (target->kind == NODE_VIEW)
		up = attr_number(NODE_VIEWS, CATALOG_ROOT_ID, 0, slice_of(NULL, 0));
	return (off >= 1 || dir_add(reply, ".", S_IFDIR, self, 1)) && (off >= 2 || dir_add(reply, "..", S_IFDIR, up, 2));
}

static int list(struct serving *serving, struct snode *node, struct serving_dir *dir, struct dir_reply *reply, uint64_t off,
		struct given *given)
{
	const struct catalog_group *grp;
	struct target target;
	struct serve_view view;
	struct glance glance;
	int rc;

	snode_target(node, &target);
	if (!add_dots(&target, reply, off))
		return 0;
	if (node->kind == NODE_ENTITY)
		glance_begin(group_mark_of(serving, target.group_id), mark_of(serving, ((struct sentity *)node)->hash), &glance);
	rc = serve_begin(serving->lane->store, serving->lane->cur, &view);
	if (rc < 0)
		return rc;
	grp = catalog_find_id(view.cat, target.group_id);
	if (node->kind == NODE_ROOT)
		rc = dir_list_root(&view, reply, off);
	else if (node->kind == NODE_VIEWS)
		rc = dir_list_views(&view, reply, off);
	else if (node->kind == NODE_CONTROL_DIR)
		rc = list_controls(serving->options.controls, reply, off);
	else if (grp && node->kind == NODE_GROUP)
		rc = dir_list_group(&view, grp, &dir->listing, reply, off);
	else if (grp && node->kind == NODE_ENTITY && reply->is_plus)
		rc = list_values(serving, &view, grp, (struct sentity *)node, &glance, reply, off, given);
	else if (grp && node->kind == NODE_ENTITY)
		rc = dir_list_entity(&view, grp, &target, reply, off);
	serve_end(&view);
	return rc;
}

static void read_dir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi, bool is_plus)
{
	struct serving *serving = serving_begin(req);
	struct serving_dir *dir = dir_of(fi);
	struct dir_reply reply = { .req = req, .size = size, .is_plus = is_plus };
	struct given given = { { 0 } };
	struct buf buf = { 0 };
	int rc;

	reply.data = buf_reserve(&buf, size);
	rc = reply.data ? list(serving, snode_of(serving, ino), dir, &reply, (uint64_t)off, &given) : -ENOMEM;
	atomic_fetch_add_explicit(&dir->turns, 1, memory_order_release);
	serving_end(serving);
	if (rc < 0 && reply.len == 0)
		reply_err(req, -rc);
	else if (reply_buf(req, reply.data, reply.len) == -ENOENT)
		give_back(serving, &given);
	buf_release(&given.inos);
	buf_release(&buf);
}

void serving_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	read_dir(req, ino, size, off, fi, false);
}

void serving_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	read_dir(req, ino, size, off, fi, true);
}
