/* SPDX-License-Identifier: MIT */
/*
 * The serving mount's LOOKUP, GETATTR and READ. A lookup glances at the marks, reads from a snapshot, and gives the kernel a version to keep if the
 * marks have not moved; else one of its own, which the kernel asks for again at the next open. It never waits for a commit: a
 * commit may be waiting for it.
 *
 * What expires is kept for half of the life that is left, and not at all in its last second: so a name that was answered late, or kept a tick too
 * long, is asked for again well before its value is gone, and the answer then is that it is. There are no negative entries.
 */
#include "mount/serving_private.h"

#include <errno.h>
#include <string.h>

static double keep_for(int64_t end_ns, int64_t now_ns)
{
	if (end_ns == INT64_MAX)
		return SERVING_LONG;
	return end_ns - now_ns < CLOCK_SECOND ? 0 : (double)(end_ns - now_ns) / 2 / (double)CLOCK_SECOND;
}

static int begin_view(struct serving *serving, struct serve_view *out)
{
	return serve_begin(serving->lane->store, serving->lane->cur, out);
}

int serving_fill(struct serving *serving, const struct serve_view *view, const struct target *target, const struct content *content,
		 struct stat *out)
{
	const struct attr_frame frame = {
		.owners = &serving->options.owners, .lane = serving->lane, .root_ns = atomic_load(&serving->changed_ns),
	};

	return attr_fill_plain(&frame, view, target, content, out);
}

/* When the attributes of a directory change by themselves, for they show its newest value's times. */
static int64_t dir_end(const struct serve_view *view, const struct target *target)
{
	const struct catalog_group *grp = catalog_find_id(view->cat, target->group_id);
	struct record rec;

	if (target->kind != NODE_ENTITY || !grp || serve_row(view, grp, target_entity(target), &rec) < 0)
		return INT64_MAX;
	return serve_row_end_ns(view, grp, &rec);
}

/* To be asked before the glance is looked at again: a change that ends after this has moved the group's mark by then. */
static bool keeps_directories(const struct sgroup *grp)
{
	return atomic_load(&grp->rights_changing) == 0;
}

void serving_set_entry(const struct serving *serving, const struct snode *node, const struct stat *st, double entry_timeout,
		       double attr_timeout, struct fuse_entry_param *out)
{
	*out = (struct fuse_entry_param){
		.ino = snode_ino(serving, node), .generation = 1, .attr = *st, .entry_timeout = entry_timeout, .attr_timeout = attr_timeout,
	};
}

/* ---- in an entity ---- */

static int set_version_entry(struct serving *serving, const struct serve_view *view, const struct version *version, bool keeps,
			     int64_t end_ns, struct fuse_entry_param *out)
{
	struct content content = {
		.event_ns = version->event_ns, .ingest_ns = version->ingest_ns, .text = slice_of(version->text, version->node.len),
	};
	struct target target;
	struct stat st;
	int rc;

	snode_target(&version->node, &target);
	rc = serving_fill(serving, view, &target, &content, &st);
	if (rc == 0)
		serving_set_entry(serving, &version->node, &st, keeps ? keep_for(end_ns, view->now_ns) : 0, keeps ? SERVING_LONG : 0, out);
	return rc;
}

int serving_value(struct serving *serving, const struct serve_view *view, const struct catalog_group *grp, struct sentity *entity,
		  const struct record *rec, enum node_kind kind, uint16_t slot, const struct glance *glance,
		  struct fuse_entry_param *out)
{
	struct target target;
	struct content content;
	struct version *version;
	int64_t end_ns;
	bool keeps = true;
	struct buf *buf;
	int rc;

	version = version_find(entity, kind, slot, glance, view->now_ns, &end_ns);
	if (!version) {
		snode_target(&entity->node, &target);
		target.kind = kind;
		target.number = slot;
		buf = attr_buffer();
		rc = buf ? attr_render_row(view, grp, &target, rec, buf, &content) : -ENOMEM;
		if (rc < 0)
			return rc;
		end_ns = kind == NODE_ROW ? serve_row_end_ns(view, grp, rec) : serve_end_ns(grp, content.event_ns);
		version = version_make(serving, entity, kind, slot, &content, end_ns, glance, &keeps);
	}
	if (!version)
		return -ENOMEM;
	rc = set_version_entry(serving, view, version, keeps, end_ns, out);
	if (rc < 0)
		snode_forget(serving, &version->node, 1);
	return rc;
}

static int mean_in_entity(const struct catalog_group *grp, const char *name, enum node_kind *out_kind, uint16_t *out_slot)
{
	const struct catalog_feature *feature = catalog_find_feature(grp, slice_str(name));
	size_t bin_len = name_is_bin(name);

	*out_kind = NODE_ROW;
	*out_slot = 0;
	if (!strcmp(name, ".row"))
		return 0;
	*out_kind = NODE_VALUE;
	if (!feature && bin_len) {
		feature = catalog_find_feature(grp, slice_of(name, bin_len));
		*out_kind = NODE_BIN;
	}
	if (!feature || feature->retired)
		return -ENOENT;
	*out_slot = feature->slot;
	return 0;
}

static int look_in_entity(struct serving *serving, struct sentity *entity, const char *name, struct fuse_entry_param *out)
{
	uint32_t group_id = entity->grp->id;
	const struct catalog_group *grp;
	struct serve_view view;
	struct glance glance;
	struct record rec;
	enum node_kind kind;
	uint16_t slot;
	int rc;

	glance_begin(group_mark_of(serving, group_id), mark_of(serving, entity->hash), &glance);
	rc = begin_view(serving, &view);
	if (rc < 0)
		return rc;
	grp = catalog_find_id(view.cat, group_id);
	rc = grp ? mean_in_entity(grp, name, &kind, &slot) : -ENOENT;
	if (rc == 0)
		rc = serve_row(&view, grp, slice_of(entity->name, entity->len), &rec);
	if (rc == 0)
		rc = serving_value(serving, &view, grp, entity, &rec, kind, slot, &glance, out);
	serve_end(&view);
	return rc;
}

/* ---- in a group, in the root, in .featurefs ---- */

int serving_look_fresh(struct serving *serving, struct sgroup *grp, enum node_kind kind, uint32_t number, struct fuse_entry_param *out)
{
	struct fresh *fresh = fresh_make(serving, grp, kind, number, slice_of(NULL, 0));
	struct content none = { 0 };
	struct target target;
	struct serve_view view;
	struct stat st;
	int rc;

	if (!fresh)
		return -ENOMEM;
	snode_target(&fresh->node, &target);
	rc = begin_view(serving, &view);
	if (rc == 0) {
		rc = serving_fill(serving, &view, &target, &none, &st);
		serve_end(&view);
	}
	if (rc < 0)
		snode_forget(serving, &fresh->node, 1);
	else
		serving_set_entry(serving, &fresh->node, &st, 0, 0, out);
	return rc;
}

static int look_entity(struct serving *serving, struct sgroup *grp, struct slice name, struct fuse_entry_param *out)
{
	uint64_t hash = sentity_hash(grp->id, name);
	struct content none = { 0 };
	struct sentity *entity;
	struct target target;
	struct serve_view view;
	struct glance glance;
	struct stat st;
	bool keeps, keeps_attr;
	int rc;

	target = (struct target){ .kind = NODE_ENTITY, .group_id = grp->id, .entity_len = (uint16_t)name.len };
	memcpy(target.entity, name.data, name.len);
	target.entity[name.len] = '\0';
	glance_begin(group_mark_of(serving, grp->id), mark_of(serving, hash), &glance);
	rc = begin_view(serving, &view);
	if (rc < 0)
		return rc;
	rc = serving_fill(serving, &view, &target, &none, &st);
	if (rc == -ENOENT)
		atomic_fetch_add_explicit(&grp->missed, 1, memory_order_relaxed);
	if (rc == 0) {
		keeps_attr = keeps_directories(grp);
		entity = sentity_look(serving, grp, hash, name, &glance, &keeps);
		if (entity)
			serving_set_entry(serving, &entity->node, &st, keeps ? SERVING_LONG : 0,
					  keeps && keeps_attr ? keep_for(dir_end(&view, &target), view.now_ns) : 0, out);
		else
			rc = -ENOMEM;
	}
	serve_end(&view);
	return rc;
}

static int look_in_group(struct serving *serving, struct sgroup *grp, const char *name, struct fuse_entry_param *out)
{
	static const struct {
		const char *name;
		enum node_kind kind;
	} files[] = {
		{ ".schema", NODE_SCHEMA }, { ".stats", NODE_STATS }, { ".errors", NODE_ERRORS }, { ".lookup", NODE_LOOKUP },
	};

	if (name[0] != '.')
		return look_entity(serving, grp, slice_str(name), out);
	for (size_t i = 0; i < sizeof files / sizeof *files; i++)
		if (!strcmp(name, files[i].name))
			return serving_look_fresh(serving, grp, files[i].kind, 0, out);
	return -ENOENT;
}

int serving_look_group(struct serving *serving, struct slice name, enum node_kind kind, struct fuse_entry_param *out)
{
	const struct catalog_group *grp;
	struct content none = { 0 };
	struct target target = { .kind = kind };
	struct sgroup *node = NULL;
	struct serve_view view;
	struct glance glance;
	struct stat st;
	bool keeps;
	int rc;

	glance_begin(&serving->root_mark, &serving->root_mark, &glance);
	rc = begin_view(serving, &view);
	if (rc < 0)
		return rc;
	grp = kind == NODE_VIEW ? catalog_find_view(view.cat, name) : catalog_find(view.cat, name);
	if (!grp) {
		serve_end(&view);
		return -ENOENT;
	}
	target.group_id = target.number = grp->id;
	rc = serving_fill(serving, &view, &target, &none, &st);
	if (rc == 0)
		node = sgroup_look(serving, grp->id, kind, &glance, &keeps);
	serve_end(&view);
	if (rc < 0 || !node)
		return rc < 0 ? rc : -ENOMEM;
	serving_set_entry(serving, &node->node, &st, keeps ? SERVING_LONG : 0, keeps ? SERVING_LONG : 0, out);
	return 0;
}

/* .featurefs and .views, which are always there. */
static int look_fixed(struct serving *serving, const struct snode *dir, struct fuse_entry_param *out)
{
	struct content none = { 0 };
	struct target target;
	struct serve_view view;
	struct glance glance;
	struct stat st;
	bool keeps;
	int rc;

	snode_target(dir, &target);
	glance_begin(&serving->root_mark, &serving->root_mark, &glance);
	rc = begin_view(serving, &view);
	if (rc < 0)
		return rc;
	rc = serving_fill(serving, &view, &target, &none, &st);
	serve_end(&view);
	keeps = dir->kind == NODE_VIEWS && glance_holds(&glance);
	if (rc == 0)
		serving_set_entry(serving, dir, &st, SERVING_LONG, keeps ? SERVING_LONG : 0, out);
	return rc;
}

static int look_in_root(struct serving *serving, const char *name, struct fuse_entry_param *out)
{
	if (!strcmp(name, ".featurefs"))
		return look_fixed(serving, &serving->control_dir, out);
	if (!strcmp(name, ".views"))
		return look_fixed(serving, &serving->views_dir, out);
	if (name[0] == '.')
		return aside_look(serving, name, out);
	return serving_look_group(serving, slice_str(name), NODE_GROUP, out);
}

static int look_control(struct serving *serving, const char *name, struct fuse_entry_param *out)
{
	int index = control_find(serving->options.controls, name);

	return index < 0 ? -ENOENT : serving_look_fresh(serving, NULL, NODE_CONTROL, (uint32_t)index, out);
}

static int look(struct serving *serving, fuse_req_t req, struct snode *dir, const char *name, struct fuse_entry_param *out)
{
	if (strlen(name) > TEXT_ENTITY_MAX)
		return -ENAMETOOLONG;
	switch (dir->kind) {
	case NODE_ROOT:
		return look_in_root(serving, name, out);
	case NODE_CONTROL_DIR:
		return look_control(serving, name, out);
	case NODE_VIEWS:
		return serving_look_group(serving, slice_str(name), NODE_VIEW, out);
	case NODE_VIEW:
		return serving_look_in_view(serving, (struct sgroup *)dir, name, out);
	case NODE_FORM:
		return serving_look_in_form(serving, req, dir, name, out);
	case NODE_GROUP:
		return look_in_group(serving, (struct sgroup *)dir, name, out);
	case NODE_ENTITY:
		return look_in_entity(serving, (struct sentity *)dir, name, out);
	default:
		return -ENOTDIR;
	}
}

void serving_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct serving *serving = serving_begin(req);
	struct fuse_entry_param entry;
	int rc = look(serving, req, snode_of(serving, parent), name, &entry);

	atomic_fetch_add_explicit(&serving->lookups, 1, memory_order_relaxed);
	serving_end(serving);
	if (rc < 0)
		reply_err(req, -rc);
	else if (reply_entry(req, &entry) == -ENOENT)
		snode_forget(serving, snode_of(serving, entry.ino), 1);	/* nobody waits for it any more */
}

/* ---- GETATTR ---- */

static void glance_at(struct serving *serving, const struct snode *node, struct glance *out)
{
	const struct sentity *entity = (const struct sentity *)node;
	const struct sgroup *grp = (const struct sgroup *)node;

	if (node->kind == NODE_ENTITY)
		glance_begin(group_mark_of(serving, entity->grp->id), mark_of(serving, entity->hash), out);
	else if (node->kind == NODE_GROUP)
		glance_begin(group_mark_of(serving, grp->id), &serving->root_mark, out);
	else
		glance_begin(&serving->root_mark, &serving->root_mark, out);
}

static int stat_dir(struct serving *serving, const struct snode *node, struct stat *out, double *out_timeout)
{
	struct content none = { 0 };
	struct target target;
	struct serve_view view;
	struct glance glance;
	bool keeps;
	int rc;

	snode_target(node, &target);
	glance_at(serving, node, &glance);
	rc = begin_view(serving, &view);
	if (rc < 0)
		return rc;
	rc = serving_fill(serving, &view, &target, &none, out);
	keeps = node->kind != NODE_CONTROL_DIR && !snode_is_decoy(node) &&
		(node->kind != NODE_ENTITY || keeps_directories(((const struct sentity *)node)->grp)) && glance_holds(&glance);
	*out_timeout = keeps ? keep_for(dir_end(&view, &target), view.now_ns) : 0;
	serve_end(&view);
	return rc;
}

static int stat_version(struct serving *serving, const struct version *version, struct stat *out, double *out_timeout)
{
	struct fuse_entry_param entry;
	struct serve_view view;
	int rc = begin_view(serving, &view);

	if (rc < 0)
		return rc;
	rc = set_version_entry(serving, &view, version, true, INT64_MAX, &entry);
	serve_end(&view);
	*out = entry.attr;
	*out_timeout = SERVING_LONG;
	return rc;
}

void serving_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct serving *serving = serving_begin(req);
	struct snode *node = snode_of(serving, ino);
	double timeout = 0;
	struct stat st;
	int rc;

	(void)fi;
	if (node->kind == NODE_VALUE || node->kind == NODE_BIN || node->kind == NODE_ROW) {
		rc = stat_version(serving, (struct version *)node, &st, &timeout);
	} else if (is_dir((enum node_kind)node->kind)) {
		rc = stat_dir(serving, node, &st, &timeout);
	} else {
		fresh_getattr(serving, req, (struct fresh *)node);
		return;
	}
	serving_end(serving);
	if (rc < 0)
		reply_err(req, -rc);
	else
		reply_attr(req, &st, timeout);
}

/* ---- READ ---- */

void serving_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct serving *serving = serving_begin(req);
	struct snode *node = snode_of(serving, ino);
	const struct version *version = (const struct version *)node;
	size_t at;

	(void)fi;
	atomic_fetch_add_explicit(&serving->reads, 1, memory_order_relaxed);
	if (is_dir((enum node_kind)node->kind)) {
		serving_end(serving);
		reply_err(req, EISDIR);
	} else if (node->kind == NODE_VALUE || node->kind == NODE_BIN || node->kind == NODE_ROW) {
		snode_hold(serving, node);
		at = (uint64_t)off < node->len ? (size_t)off : node->len;
		reply_buf(req, version->text + at, size < node->len - at ? size : node->len - at);
		snode_forget(serving, node, 1);
	} else {
		fresh_read(serving, req, (struct fresh *)node, size, off);
	}
}

/* ---- extended attributes: the kernel keeps none ---- */

static void read_attrs(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct serving *serving = serving_begin(req);
	struct buf *buf = attr_buffer();
	struct serve_view view;
	struct target target;
	int rc = buf ? begin_view(serving, &view) : -ENOMEM;

	if (rc < 0) {
		reply_err(req, -rc);
		return;
	}
	snode_target(snode_of(serving, ino), &target);
	rc = xattr_print(&view, &target, name, buf);
	serving_end(serving);
	xattr_reply(req, rc, buf, size);
	serve_end(&view);
}

void serving_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	if (xattr_is_user(name))
		read_attrs(req, ino, name, size);
	else
		reply_err(req, !strcmp(name, "security.capability") ? ENODATA : ENOTSUP);
}

void serving_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	read_attrs(req, ino, NULL, size);
}
