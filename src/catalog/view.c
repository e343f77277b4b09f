/* SPDX-License-Identifier: MIT */
/*
 * Views: columns that name features of several groups, and the keys to find their rows by. A view is kept as a group, so that all that
 * a group can do (be renamed, owned, described, listed) is there once.
 *
 * Columns hold ids and slots, for these are never reused: a group or feature that was renamed is still meant, and one that was
 * removed and made anew is not taken for the old one. Their text is read and printed in view_ini.c.
 */
#include "catalog/view.h"

#include <errno.h>
#include <stdlib.h>

/* ---- memory ---- */

void view_free(struct catalog_view *view)
{
	if (!view)
		return;
	for (unsigned i = 0; i < view->n_columns; i++) {
		free(view->columns[i].name);
		free(view->columns[i].group);
		free(view->columns[i].feature);
	}
	for (unsigned i = 0; i < view->n_sources; i++)
		free(view->sources[i].group);
	free(view->columns);
	free(view->sources);
	free(view);
}

/* Views are small and made by hand: one element more is a new array. */
void *view_grow(void *array, unsigned n, size_t size)
{
	char *bigger = reallocarray(array, n + 1, size);

	if (bigger)
		memset(bigger + n * size, 0, size);
	return bigger;
}

struct catalog_column *view_add_column(struct catalog_view *view)
{
	struct catalog_column *bigger = view_grow(view->columns, view->n_columns, sizeof(*bigger));

	if (!bigger)
		return NULL;
	view->columns = bigger;
	return &bigger[view->n_columns++];
}

struct catalog_source *view_add_source(struct catalog_view *view)
{
	struct catalog_source *bigger = view_grow(view->sources, view->n_sources, sizeof(*bigger));

	if (!bigger)
		return NULL;
	view->sources = bigger;
	return &bigger[view->n_sources++];
}

int view_copy(const struct catalog_view *view, struct catalog_view **out)
{
	struct catalog_view *copy = calloc(1, sizeof(*copy));
	int rc = copy ? 0 : -ENOMEM;

	for (unsigned i = 0; rc == 0 && i < view->n_columns; i++) {
		const struct catalog_column *from = &view->columns[i];
		struct catalog_column *to = view_add_column(copy);

		if (!to || group_set_text(&to->name, slice_str(from->name)) < 0 || group_set_text(&to->group, slice_str(from->group)) < 0 ||
		    group_set_text(&to->feature, slice_str(from->feature)) < 0)
			rc = -ENOMEM;
		if (rc < 0)
			break;
		to->group_id = from->group_id;
		to->slot = from->slot;
		to->source = from->source;
	}
	for (unsigned i = 0; rc == 0 && i < view->n_sources; i++) {
		struct catalog_source *to = view_add_source(copy);
		char *group = NULL;

		if (!to || group_set_text(&group, slice_str(view->sources[i].group)) < 0) {
			rc = -ENOMEM;
			break;
		}
		*to = view->sources[i];
		to->group = group;
	}
	if (rc < 0)
		view_free(copy);
	else
		*out = copy;
	return rc;
}

int catalog_view_make(uint32_t id, struct slice name, uid_t uid, gid_t gid, mode_t mode, const char *owner, int64_t now_ns,
		      struct catalog_group **out, struct why *why)
{
	struct catalog_group *grp;
	int rc = catalog_group_make(id, 0, name, uid, gid, mode, owner, now_ns, &grp, why);

	if (rc < 0)
		return rc;
	grp->view = calloc(1, sizeof(*grp->view));
	if (!grp->view) {
		catalog_group_unref(grp);
		return -ENOMEM;
	}
	*out = grp;
	return 0;
}

/* ---- may it be read? ---- */

int catalog_view_check(const struct catalog *cat, const struct catalog_group *grp, struct why *why)
{
	const struct catalog_view *view = grp->view;

	for (unsigned i = 0; i < view->n_sources; i++) {
		const struct catalog_group *group = catalog_find_id(cat, view->sources[i].group_id);

		if (!group)
			return why_fail(why, ESTALE, "view %s: group %s was removed; take its columns out of the view's .schema", grp->name,
					view->sources[i].group);
		if (group->n_keys != view->sources[i].n_parts)
			return why_fail(why, ESTALE, "view %s: the entities of group %s have other keys now; write the view's .schema again",
					grp->name, group->name);
	}
	for (unsigned i = 0; i < view->n_columns; i++) {
		const struct catalog_column *column = &view->columns[i];
		const struct catalog_group *group = catalog_find_id(cat, column->group_id);
		const struct catalog_feature *feature = catalog_feature_at(group, column->slot);

		if (!feature || feature->retired)
			return why_fail(why, ESTALE, "view %s: feature %s of %s (column %s) is retired; take it out of the view's .schema, or "
					"name its successor", grp->name, feature ? feature->name : column->feature, group->name, column->name);
	}
	return 0;
}
