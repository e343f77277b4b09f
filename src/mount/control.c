/* SPDX-License-Identifier: MIT */
/*
 * Files that are made when they are opened: .stats and .errors of a group, and .featurefs/. Like those of /proc they show no size. The files
 * of .featurefs come from the daemon as a table of names and functions. .upsert is written only; who may read it (root) reads nothing.
 */
#include "mount/control.h"

#include <errno.h>
#include <string.h>
#include "mount/private.h"

int control_find(const struct mount_control *controls, const char *name)
{
	for (int i = 0; controls && controls[i].name; i++)
		if (!strcmp(controls[i].name, name))
			return i;
	return -1;
}

/* Of those whose reports are kept. */
static void print_imports(struct batch *batch, uint32_t group_id, struct buf *out)
{
	struct batch_figures figures;

	batch_figures(batch, &group_id, &figures);
	buf_printf(out, "imports_waiting: %llu\nimports_running: %llu\nimports_done: %llu\nimports_failed: %llu\nimports_cancelled: %llu\n",
		   (unsigned long long)figures.waiting, (unsigned long long)figures.running, (unsigned long long)figures.done,
		   (unsigned long long)figures.failed, (unsigned long long)figures.cancelled);
	buf_printf(out, "imported_rows: %llu\nimported_rows_rejected: %llu\n", (unsigned long long)figures.rows,
		   (unsigned long long)figures.rejected);
}

static int render_stats(const struct direct *lane, uint32_t group_id, struct buf *out)
{
	const struct catalog_group *grp;
	struct serve_view view;
	int rc = serve_begin(lane->store, lane->cur, &view);

	if (rc < 0)
		return rc;
	grp = catalog_find_id(view.cat, group_id);
	rc = grp ? serve_stats_text(&view, grp, out) : -ENOENT;
	serve_end(&view);
	return rc;
}

int control_render_plain(const struct direct *lane, const struct mount_control *controls, const struct target *target, struct buf *out)
{
	int rc = 0;

	switch (target->kind) {
	case NODE_CONTROL:
		controls[target->number].render(controls[target->number].arg, out);
		break;
	case NODE_STATS:
		rc = render_stats(lane, target->group_id, out);
		break;
	case NODE_ERRORS:
		reject_log_print(ingest_rejects(lane->ingest), target->group_id, out);
		break;
	case NODE_UPSERT:
		break;
	default:
		return -EPERM;
	}
	return rc < 0 ? rc : buf_error(out);
}

int control_render(struct mount *mount, const struct target *target, struct buf *out)
{
	const struct mount_tree *tree;
	int rc;

	switch (target->kind) {
	case NODE_TREE_FILE:
		tree = &mount->options.trees[target->number];
		rc = tree->render(tree->arg, target->group_id, target->entity, out);
		break;
	case NODE_REPORT:
		rc = batch_report(mount->options.batch, target->group_id, target->entity, out);
		break;
	default:
		rc = control_render_plain(mount->lane, mount->options.controls, target, out);
		break;
	}
	if (rc == 0 && target->kind == NODE_STATS && mount->options.batch)
		print_imports(mount->options.batch, target->group_id, out);
	return rc < 0 ? rc : buf_error(out);
}
