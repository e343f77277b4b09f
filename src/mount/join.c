/* SPDX-License-Identifier: MIT */
/*
 * .views: a directory for each view, with its .schema, and a directory for each form that its rows are read in:
 *
 *	.views/<view>/json/<key>	one JSON row
 *	.views/<view>/f32/<key>		the columns as little-endian float32
 *
 * A row is made of many values and is asked for anew each time. Reading it takes read rights on the view and on each of its groups; the kernel
 * sees the view's bits alone, so the groups' are judged here, when the name is looked up.
 */
#include "mount/join.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "mount/attr.h"
#include "mount/look.h"

static const char *const form_names[] = { [JOIN_JSON] = "json", [JOIN_F32] = "f32" };

enum { FORMS = sizeof form_names / sizeof *form_names };

const char *join_form_name(unsigned form)
{
	return form < FORMS ? form_names[form] : NULL;
}

int join_mean(const struct catalog_group *grp, const struct target *dir, const char *name, struct meaning *out)
{
	if (dir->kind == NODE_FORM) {
		out->kind = strcmp(name, ".lookup") ? NODE_JOIN : NODE_LOOKUP;
		out->number = dir->number;
		return out->kind == NODE_JOIN && (name_is_reserved(name) || text_check_entity(slice_str(name), grp->n_keys, NULL) < 0)
		       ? -ENOENT : 0;
	}
	for (uint32_t form = 0; form < FORMS; form++) {
		if (strcmp(name, form_names[form]))
			continue;
		out->kind = NODE_FORM;
		out->number = form;
		return 0;
	}
	out->kind = !strcmp(name, ".schema") ? NODE_SCHEMA : !strcmp(name, ".errors") ? NODE_ERRORS : NODE_SCRATCH;
	return out->kind != NODE_SCRATCH || (name_is_scratch(name) && !name_is_reserved(name)) ? 0 : -ENOENT;
}

/* ---- rights ---- */

static bool is_member(fuse_req_t req, gid_t gid)
{
	enum { FEW = 64 };
	gid_t few[FEW], *list = few;
	bool is_found = false;
	int n;

	if (fuse_req_ctx(req)->gid == gid)
		return true;
	n = fuse_req_getgroups(req, FEW, few);
	if (n > FEW) {
		list = malloc((size_t)n * sizeof *list);
		n = list ? fuse_req_getgroups(req, n, list) : 0;
	}
	for (int i = 0; i < n && !is_found; i++)
		is_found = list[i] == gid;
	if (list != few)
		free(list);
	return is_found;
}

bool join_may_read(const struct mount_owners *owners, const struct catalog_group *grp, fuse_req_t req)
{
	struct stat st = { 0 };
	mode_t bits = 05;

	if (fuse_req_ctx(req)->uid == 0)
		return true;
	attr_own(owners, &st, S_IFDIR, grp->mode & 03777, grp->uid, grp->gid);
	if (fuse_req_ctx(req)->uid == st.st_uid)
		bits = 0500;
	else if (is_member(req, st.st_gid))
		bits = 050;
	return (st.st_mode & bits) == bits;
}

int join_check_rights(const struct mount_owners *owners, const struct catalog *cat, const struct catalog_group *grp, fuse_req_t req)
{
	for (unsigned i = 0; i < grp->view->n_sources; i++) {
		const struct catalog_group *group = catalog_find_id(cat, grp->view->sources[i].group_id);

		if (group && !join_may_read(owners, group, req))
			return -EACCES;
	}
	return 0;
}

/* ---- rows ---- */

int join_render(const struct serve_view *view, const struct catalog_group *grp, unsigned form, struct slice key, struct buf *out, struct why *why)
{
	struct buf rows = { 0 };
	int rc = serve_join_rows(view, grp, key, &rows, why);

	if (rc == 0)
		rc = form == JOIN_F32 ? serve_join_f32(view, grp, &rows, out, why) : serve_join_json(view, grp, key, &rows, out);
	buf_release(&rows);
	return rc < 0 ? rc : buf_error(out);
}

int join_render_at(struct direct *lane, const struct serve_view *view, const struct target *target, fuse_req_t req, struct buf *out)
{
	const struct catalog_group *grp = catalog_find_id(view->cat, target->group_id);
	struct why why = { "" };
	int rc = grp && grp->view ? join_render(view, grp, target->number, target_entity(target), out, &why) : -ENOENT;

	/* An entity that nobody has is no mistake; a view that can't be read is. */
	if (rc == -ESTALE || rc == -ENOTSUP) {
		struct direct_origin origin = { .uid = req ? fuse_req_ctx(req)->uid : 0, .event_ns = INGEST_NOW };

		direct_refuse(lane, &origin, target->group_id, target_entity(target), slice_str(join_form_name(target->number)), -rc, why.text);
		/* The kernel would take ESTALE for a reason to look the name up again. */
		rc = -EINVAL;
	}
	return rc;
}
