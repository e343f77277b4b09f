/* SPDX-License-Identifier: MIT */
/*
 * Directories. The offset of an entry says where the listing goes on behind it:
 *
 *	1, 2		behind "." and ".."
 *	id + 3		in the root, behind the group of that id (.featurefs stands before the groups, at 3, for ids begin at 1)
 *	index + 3	in .featurefs, behind that file; in a tree, behind that name. Trees of .featurefs follow its files
 *	slot + 3	in an entity, behind the feature of that slot
 *	number + 3	in a group, behind the entity of that number in this handle's listing (listing.c)
 *	any		in .import, as the real directory has it
 *
 * so that only groups need something remembered in the handle. Each READDIR takes a view of its own: a listing that takes long
 * holds no snapshot, and sees what comes behind the place where it is. No READDIRPLUS, for it would make a node for each name listed.
 */
#include "mount/dir.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "mount/attr.h"
#include "mount/call.h"
#include "mount/handle.h"
#include "mount/import.h"
#include "mount/listing.h"
#include "mount/ops.h"
#include "mount/private.h"
#include "mount/tree.h"

struct dir {
	struct handle handle;
	struct listing listing;		/* of a group */
	DIR *real;			/* of .import and what is below it; NULL: there is nothing */
	long real_off;			/* where it stands */
	struct buf names;		/* of .reports, each with its NUL */
	atomic_uint turns;		/* READDIRs so far: the kernel sends one at a time, and this orders them for all to see */
};

/* ---- opening ---- */

static void free_dir(struct mount *mount, struct dir *dir)
{
	atomic_load_explicit(&dir->turns, memory_order_acquire);
	handle_end(mount, &dir->handle);
	listing_release(&dir->listing);
	if (dir->real)
		closedir(dir->real);
	buf_release(&dir->names);
	free(dir);
}

void dir_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mount *mount = fuse_req_userdata(req);
	struct dir *dir = calloc(1, sizeof *dir);

	atomic_fetch_add_explicit(&mount->requests, 1, memory_order_relaxed);
	if (!dir) {
		reply_err(req, ENOMEM);
		return;
	}
	dir->handle = (struct handle){ .kind = HANDLE_DIR, .node = node_of(mount, ino) };
	handle_begin(mount, &dir->handle);
	if (is_import((enum node_kind)dir->handle.node->kind)) {
		int rc = import_open_dir(mount, dir->handle.node, &dir->real, &dir->names);

		if (rc < 0) {
			free_dir(mount, dir);
			reply_err(req, -rc);
			return;
		}
	}
	fi->fh = (uintptr_t)dir;
	if (reply_open(req, fi) == -ENOENT)
		free_dir(mount, dir);		/* nobody waits for it any more */
}

void dir_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mount *mount = fuse_req_userdata(req);

	(void)ino;
	atomic_fetch_add_explicit(&mount->requests, 1, memory_order_relaxed);
	free_dir(mount, (struct dir *)handle_of(mount, fi));
	reply_err(req, 0);
}

void dir_close(struct mount *mount, struct handle *handle)
{
	free_dir(mount, (struct dir *)handle);
}

/* ---- reading ---- */

bool dir_add(struct dir_reply *reply, const char *name, mode_t type, uint64_t number, off_t off)
{
	struct fuse_entry_param entry = { .attr = { .st_mode = type, .st_ino = number } };	/* no node: the name alone */
	char *to = reply->data + reply->len;
	size_t room = reply->size - reply->len, need;

	if (reply->is_plus)
		need = fuse_add_direntry_plus(reply->req, to, room, name, &entry, off);
	else
		need = fuse_add_direntry(reply->req, to, room, name, &entry.attr, off);
	if (need > room)
		return false;
	reply->len += need;
	return true;
}

static int compare_ids(const void *a, const void *b)
{
	const struct catalog_group *x = *(struct catalog_group *const *)a, *y = *(struct catalog_group *const *)b;

	return (x->id > y->id) - (x->id < y->id);
}

/* Groups or views, in order of their ids, which are their offsets too. */
static int list_groups(struct catalog_group *const *list, unsigned n_list, enum node_kind kind, struct dir_reply *reply, uint64_t off)
{
	struct catalog_group **groups = malloc((n_list + 1) * sizeof *groups);
	unsigned n = 0;

	if (!groups)
		return -ENOMEM;
	for (unsigned i = 0; i < n_list; i++)
		if ((uint64_t)list[i]->id + DIR_FIRST + 1 > off)
			groups[n++] = list[i];
	qsort(groups, n, sizeof *groups, compare_ids);
	for (unsigned i = 0; i < n; i++) {
		uint64_t number = attr_number(kind, groups[i]->id, groups[i]->id, slice_of(NULL, 0));

		if (!dir_add(reply, groups[i]->name, S_IFDIR, number, (off_t)groups[i]->id + DIR_FIRST + 1))
			break;
	}
	free(groups);
	return 0;
}

int dir_list_root(const struct serve_view *view, struct dir_reply *reply, uint64_t off)
{
	const struct catalog *cat = view->cat;
	uint64_t controls = attr_number(NODE_CONTROL_DIR, CATALOG_ROOT_ID, 0, slice_of(NULL, 0));
	uint64_t views = attr_number(NODE_VIEWS, CATALOG_ROOT_ID, 0, slice_of(NULL, 0));

	if (off < DIR_FIRST && !dir_add(reply, ".featurefs", S_IFDIR, controls, DIR_FIRST))
		return 0;
	if (off < DIR_FIRST + 1 && !dir_add(reply, ".views", S_IFDIR, views, DIR_FIRST + 1))
		return 0;
	return list_groups(cat->groups, cat->n_groups, NODE_GROUP, reply, off);
}

int dir_list_views(const struct serve_view *view, struct dir_reply *reply, uint64_t off)
{
	return list_groups(view->cat->views, view->cat->n_views, NODE_VIEW, reply, off);
}

static int list_controls(const struct mount *mount, struct dir_reply *reply, uint64_t off)
{
	const struct mount_control *controls = mount->options.controls;
	const struct mount_tree *trees = mount->options.trees;
	uint32_t n = 0;

	for (uint32_t i = 0; controls && controls[i].name; i++, n++)
		if ((uint64_t)n + DIR_FIRST > off && !dir_add(reply, controls[i].name, S_IFREG,
						      attr_number(NODE_CONTROL, CATALOG_ROOT_ID, i, slice_of(NULL, 0)),
						      (off_t)n + DIR_FIRST))
			return 0;
	for (uint32_t i = 0; trees && trees[i].name; i++) {
		if (trees[i].is_in_groups)
			continue;
		if ((uint64_t)n + DIR_FIRST > off && !dir_add(reply, trees[i].name, S_IFDIR,
						      attr_number(NODE_TREE_DIR, CATALOG_ROOT_ID, i, slice_of(NULL, 0)),
						      (off_t)n + DIR_FIRST))
			return 0;
		n++;
	}
	return 0;
}

/* Whether a name is a directory is told by its lookup. */
static int list_tree(struct mount *mount, const struct target *target, struct dir_reply *reply, uint64_t off)
{
	struct buf names = { 0 };
	uint64_t i = 0;
	int rc = tree_list(mount, target, &names);

	for (size_t at = 0; rc == 0 && at < names.len; at += strlen(names.data + at) + 1, i++) {
		struct target child = *target;

		if (i + DIR_FIRST <= off || target->entity_len + 1 + strlen(names.data + at) > MOUNT_PATH_MAX)
			continue;
		tree_descend(&child, names.data + at);
		if (!dir_add(reply, names.data + at, 0, attr_number(NODE_TREE_DIR, target->group_id, target->number, target_entity(&child)),
			 (off_t)(i + DIR_FIRST)))
			break;
	}
	buf_release(&names);
	return rc;
}

int dir_list_entity(const struct serve_view *view, const struct catalog_group *grp, const struct target *target, struct dir_reply *reply,
		    uint64_t off)
{
	struct record rec;
	int rc = serve_row(view, grp, target_entity(target), &rec);

	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	for (unsigned i = 0; i < grp->n_features; i++) {
		const struct catalog_feature *feature = &grp->features[i];
		struct serve_value value;

		if ((uint64_t)feature->slot + DIR_FIRST <= off)
			continue;
		serve_value(view, grp, &rec, feature, &value);
		if (value.status != SERVE_PRESENT && value.status != SERVE_NULL)
			continue;
		if (!dir_add(reply, feature->name, S_IFREG, attr_number(NODE_VALUE, grp->id, feature->slot, target_entity(target)),
			 (off_t)feature->slot + DIR_FIRST))
			break;
	}
	return 0;
}

/* Adds entities from entry `number` on; `after` is the name before, of which `skip` are to be passed over. */
static int fill_entities(const struct catalog_group *grp, struct serve_entities *it, struct listing *listing, struct dir_reply *reply,
			 uint64_t number, uint64_t skip, char before[TEXT_ENTITY_MAX + 1])
{
	char text[TEXT_ENTITY_MAX + 1];
	struct record row;
	struct slice name;
	bool has_begun = false;
	int rc;

	while ((rc = serve_entities_next(it, &name, &row)) == 0) {
		if (name.len > TEXT_ENTITY_MAX)
			return -EBADMSG;
		memcpy(text, name.data, name.len);
		text[name.len] = '\0';
		if (skip) {
			skip--;
			memcpy(before, text, name.len + 1);
			continue;
		}
		if (!has_begun) {
			rc = listing_begin(listing, number, slice_str(before));
			has_begun = true;
		}
		if (rc < 0 || !dir_add(reply, text, S_IFDIR, attr_number(NODE_ENTITY, grp->id, 0, name), (off_t)number + DIR_FIRST))
			return rc;
		rc = listing_add(listing, name);
		if (rc < 0)
			return rc;
		number++;
	}
	return rc == -ENOENT ? 0 : rc;
}

int dir_list_group(const struct serve_view *view, const struct catalog_group *grp, struct listing *listing, struct dir_reply *reply,
		   uint64_t off)
{
	uint64_t number = off < DIR_FIRST ? 0 : off - DIR_FIRST + 1, skip;
	char before[TEXT_ENTITY_MAX + 1];
	struct serve_entities *it;
	struct slice after;
	int rc;

	if (off < DIR_FIRST)
		listing_rewind(listing);
	listing_seek(listing, number, &after, &skip);
	if (after.len)
		memcpy(before, after.data, after.len);
	before[after.len] = '\0';
	rc = serve_entities_begin(view, grp, slice_str(before), &it);
	if (rc < 0)
		return rc;
	rc = fill_entities(grp, it, listing, reply, number, skip, before);
	serve_entities_end(it);
	return rc;
}

/* Offsets are those of the real directory. */
static void list_import(struct dir *dir, struct dir_reply *reply, off_t off)
{
	struct dirent *entry;

	if (!dir->real || off != dir->real_off) {
		if (dir->real)
			seekdir(dir->real, off);
		dir->real_off = off;
	}
	while (dir->real && (entry = readdir(dir->real))) {
		if (!dir_add(reply, entry->d_name, entry->d_type == DT_DIR ? S_IFDIR : S_IFREG, import_number(entry), entry->d_off)) {
			seekdir(dir->real, dir->real_off);
			return;
		}
		dir->real_off = entry->d_off;
	}
}

static void list_reports(const struct dir *dir, const struct target *target, struct dir_reply *reply, uint64_t off)
{
	uint64_t i = 0;

	for (size_t at = 0; at < dir->names.len; at += strlen(dir->names.data + at) + 1, i++) {
		const char *name = dir->names.data + at;

		if (i + DIR_FIRST > off && !dir_add(reply, name, S_IFREG, attr_number(NODE_REPORT, target->group_id, 0, slice_str(name)),
					    (off_t)(i + DIR_FIRST)))
			return;
	}
}

static int list(struct mount *mount, const struct serve_view *view, const struct target *target, struct dir *dir, struct dir_reply *reply,
		uint64_t off)
{
	const struct catalog_group *grp = catalog_find_id(view->cat, target->group_id);
	uint64_t self = attr_number(target->kind, target->group_id, target->number, target_entity(target));
	uint64_t up = FUSE_ROOT_ID;

	if (target->kind == NODE_IMPORT && dir->real) {
		list_import(dir, reply, (off_t)off);
		return 0;
	}
	if (target->kind == NODE_ROOT)
		self = FUSE_ROOT_ID;
	else if (target->kind == NODE_ENTITY || target->kind == NODE_FORM)
		up = attr_number(target->kind == NODE_FORM ? NODE_VIEW : NODE_GROUP, target->group_id, target->group_id, slice_of(NULL, 0));
	else if (target->kind == NODE_VIEW)
		up = attr_number(NODE_VIEWS, CATALOG_ROOT_ID, 0, slice_of(NULL, 0));
	if (off < 1 && !dir_add(reply, ".", S_IFDIR, self, 1))
		return 0;
	if (off < 2 && !dir_add(reply, "..", S_IFDIR, up, 2))
		return 0;
	switch (target->kind) {
	case NODE_ROOT:
		return dir_list_root(view, reply, off);
	case NODE_CONTROL_DIR:
		return list_controls(mount, reply, off);
	case NODE_TREE_DIR:
		return list_tree(mount, target, reply, off);
	case NODE_VIEWS:
		return dir_list_views(view, reply, off);
	case NODE_VIEW:
	case NODE_FORM:
		return 0;		/* found by name, so that rm -r, cp -r and rsync of views meet nothing but views */
	case NODE_REPORTS:
		list_reports(dir, target, reply, off);
		return 0;
	case NODE_IMPORT:
		return 0;
	case NODE_GROUP:
		return grp ? dir_list_group(view, grp, &dir->listing, reply, off) : 0;
	case NODE_ENTITY:
		return grp ? dir_list_entity(view, grp, target, reply, off) : 0;
	default:
		return -ENOTDIR;
	}
}

static void run_read(struct call *call)
{
	struct mount *mount = call->mount;
	struct dir *dir = (struct dir *)handle_of(mount, &call->fi);
	struct buf *buf = attr_buffer();
	struct dir_reply reply = { .req = call->req, .size = call->size };
	struct serve_view view;
	struct target target;
	int rc;

	atomic_load_explicit(&dir->turns, memory_order_acquire);
	node_target(mount, dir->handle.node, &target);
	reply.data = buf ? buf_reserve(buf, call->size) : NULL;
	rc = reply.data ? serve_begin(mount->lane->store, mount->lane->cur, &view) : -ENOMEM;
	if (rc == 0) {
		rc = list(mount, &view, &target, dir, &reply, (uint64_t)call->off);
		serve_end(&view);
	}
	atomic_fetch_add_explicit(&dir->turns, 1, memory_order_release);
	if (rc < 0 && reply.len == 0)
		reply_err(call->req, -rc);
	else
		reply_buf(call->req, reply.data, reply.len);
}

void dir_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct mount *mount = fuse_req_userdata(req);
	struct call call = {
		.mount = mount, .req = req, .run = run_read, .ino = ino, .size = size, .off = off, .fi = *fi, .has_fi = true,
	};

	atomic_fetch_add_explicit(&mount->requests, 1, memory_order_relaxed);
	call_run(&call);
}
