/* SPDX-License-Identifier: MIT */
/*
 * Files that are made when they are opened: .stats and .errors of a group, and .featurefs/. Like those of /proc they show no size. The files
 * of .featurefs come from the daemon as a table of names and functions. .upsert is written only; who may read it (root) reads nothing.
 */
#include "mount/private.h"

#include <errno.h>
#include <string.h>

int control_find(const struct mount *mount, const char *name)
{
	const struct mount_control *controls = mount->options.controls;

	for (int i = 0; controls && controls[i].name; i++)
		if (!strcmp(controls[i].name, name))
			return i;
	return -1;
}

static int render_stats(struct mount *mount, uint32_t group_id, struct buf *out)
{
	const struct catalog_group *grp;
	struct serve_view view;
	int rc = serve_begin(mount->lane->store, mount->lane->cur, &view);

	if (rc < 0)
		return rc;
	grp = catalog_find_id(view.cat, group_id);
	rc = grp ? serve_stats_text(&view, grp, out) : -ENOENT;
	serve_end(&view);
	return rc;
}

int control_render(struct mount *mount, const struct target *target, struct buf *out)
{
	const struct mount_control *control;
	const struct mount_tree *tree;
	int rc = 0;

	switch (target->kind) {
	case NODE_CONTROL:
		control = &mount->options.controls[target->number];
		control->render(control->arg, out);
		break;
	case NODE_TREE_FILE:
		tree = &mount->options.trees[target->number];
		rc = tree->render(tree->arg, target->group_id, target->entity, out);
		break;
	case NODE_STATS:
		rc = render_stats(mount, target->group_id, out);
		break;
	case NODE_ERRORS:
		reject_log_print(ingest_rejects(mount->lane->ingest), target->group_id, out);
		break;
	case NODE_UPSERT:
		break;
	default:
		return -EPERM;
	}
	return rc < 0 ? rc : buf_error(out);
}
