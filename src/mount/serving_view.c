/* SPDX-License-Identifier: MIT */
/*
 * .views of the serving mount. The directories are kept by the kernel like all others, until the catalog changes. A row of a view is made of values of
 * several groups, any of which may change it, so that it is not kept at all: each lookup makes the row, from one snapshot, into a node of its
 * own, and so each open shows what was true at some moment of it; their names are taken back in time (serving_rows.c). Many rows are asked for
 * at once by .lookup: serving_batch.c.
 */
#include "mount/serving_private.h"

#include <errno.h>
#include <string.h>

_Static_assert((int)JOIN_F32 + 1 == (int)SERVING_FORMS, "a view has other forms");

static int look_form(struct serving *serving, struct sgroup *grp, unsigned form, struct fuse_entry_param *out)
{
	struct target target = { .kind = NODE_FORM, .group_id = grp->id, .number = form };
	struct content none = { 0 };
	struct serve_view view;
	struct glance glance;
	struct stat st;
	bool keeps;
	int rc;

	glance_begin(&serving->root_mark, &serving->root_mark, &glance);
	rc = serve_begin(serving->lane->store, serving->lane->cur, &view);
	if (rc < 0)
		return rc;
	rc = serving_fill(serving, &view, &target, &none, &st);
	serve_end(&view);
	if (rc == 0) {
		const struct snode *node = sform_look(serving, grp, form, &glance, &keeps);

		serving_set_entry(serving, node, &st, keeps ? SERVING_LONG : 0, keeps ? SERVING_LONG : 0, out);
	}
	return rc;
}

int serving_look_in_view(struct serving *serving, struct sgroup *grp, const char *name, struct fuse_entry_param *out)
{
	for (unsigned form = 0; form < SERVING_FORMS; form++)
		if (!strcmp(name, join_form_name(form)))
			return look_form(serving, grp, form, out);
	if (!strcmp(name, ".schema"))
		return serving_look_fresh(serving, grp, NODE_SCHEMA, 0, out);
	return strcmp(name, ".errors") ? -ENOENT : serving_look_fresh(serving, grp, NODE_ERRORS, 0, out);
}

static int fill_row(struct serving *serving, const struct serve_view *view, const struct target *target, const struct content *content,
		    struct sgroup *grp, struct fuse_entry_param *out)
{
	struct fresh *fresh = fresh_make(serving, grp, NODE_JOIN, target->number, target_entity(target));
	struct stat st;
	int rc = fresh ? 0 : -ENOMEM;

	if (rc == 0) {
		fresh->made_ns = content->event_ns;
		rc = fresh_set_text(serving, fresh, content->text);
	}
	if (rc == 0)
		rc = serving_fill(serving, view, target, content, &st);
	/* The name is asked for again each time; the node, which shows that one text, need not be. */
	if (rc == 0)
		serving_set_entry(serving, &fresh->node, &st, 0, SERVING_LONG, out);
	if (rc == 0)
		rows_add(serving, fresh);
	else if (fresh)
		snode_forget(serving, &fresh->node, 1);
	return rc;
}

static int look_row(struct serving *serving, fuse_req_t req, const struct serve_view *view, struct sgroup *grp, struct target *target,
		    struct fuse_entry_param *out)
{
	struct content content = { .event_ns = view->now_ns, .ingest_ns = view->now_ns };
	struct buf *buf = attr_buffer();
	int rc = buf ? join_render_at(serving->lane, view, target, req, buf) : -ENOMEM;

	if (rc < 0)
		return rc;
	content.text = buf_slice(buf);
	if (!content.text.data)
		content.text.data = "";
	return fill_row(serving, view, target, &content, grp, out);
}

int serving_look_in_form(struct serving *serving, fuse_req_t req, const struct snode *form, const char *name, struct fuse_entry_param *out)
{
	struct sgroup *node = sform_view(form);
	struct meaning meaning = { 0 };
	const struct catalog_group *grp;
	struct serve_view view;
	struct target target;
	int rc = serve_begin(serving->lane->store, serving->lane->cur, &view);

	if (rc < 0)
		return rc;
	snode_target(form, &target);
	grp = catalog_find_id(view.cat, target.group_id);
	rc = grp && grp->view ? join_check_rights(&serving->options.owners, view.cat, grp, req) : -ENOENT;
	if (rc == 0)
		rc = join_mean(grp, &target, name, &meaning);
	if (rc == 0 && meaning.kind == NODE_LOOKUP) {
		rc = serving_look_fresh(serving, node, NODE_LOOKUP, form->slot, out);
	} else if (rc == 0) {
		target.kind = NODE_JOIN;
		target.entity_len = (uint16_t)strlen(name);
		memcpy(target.entity, name, target.entity_len + 1);
		rc = look_row(serving, req, &view, node, &target, out);
	}
	if (rc == -ENOENT)
		rows_add_absent(serving, node, form->slot, slice_str(name));
	serve_end(&view);
	return rc;
}
