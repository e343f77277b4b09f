/* SPDX-License-Identifier: MIT */
/*
 * New groups, and what a group may become: renamed, owned by others, on other tables, or by a new definition, where slots are given out and never
 * again, and a type only widens. Each gives a new group; the one that is published stays as it is.
 */
#include "catalog/group.h"

#include <errno.h>
#include "base/text.h"

enum { SLOTS_MAX = 65535 };

int catalog_group_make(uint32_t id, uint32_t rows, struct slice name, uid_t uid, gid_t gid, mode_t mode,
		       const char *owner, int64_t now_ns, struct catalog_group **out, struct why *why)
{
	struct catalog_group *grp;
	int rc = id == CATALOG_ROOT_ID ? 0 : text_check_group_name(name, why);

	if (rc == 0 && owner)
		rc = group_check_text(slice_str(owner), why);
	if (rc < 0)
		return rc;
	grp = group_new();
	if (!grp)
		return -ENOMEM;
	grp->id = id;
	grp->rows = rows;
	grp->uid = uid;
	grp->gid = gid;
	grp->mode = mode & 07777;
	grp->created_ns = grp->changed_ns = now_ns;
	rc = name.len ? group_set_text(&grp->name, name) : 0;
	if (rc == 0 && owner)
		rc = group_set_text(&grp->owner, slice_str(owner));
	if (rc == 0)
		rc = group_set_keys(grp, slice_str("entity"), why);
	if (rc == 0)
		rc = group_sort_features(grp);
	if (rc < 0)
		catalog_group_unref(grp);
	else
		*out = grp;
	return rc;
}

int catalog_group_renamed(const struct catalog_group *grp, struct slice name, int64_t now_ns,
			  struct catalog_group **out, struct why *why)
{
	struct catalog_group *copy;
	int rc = text_check_group_name(name, why);

	if (rc < 0)
		return rc;
	rc = group_copy(grp, &copy);
	if (rc < 0)
		return rc;
	rc = group_set_text(&copy->name, name);
	if (rc < 0) {
		catalog_group_unref(copy);
		return rc;
	}
	copy->changed_ns = now_ns;
	*out = copy;
	return 0;
}

int catalog_group_on_tables(const struct catalog_group *grp, uint32_t rows, uint32_t overlay, int64_t overlay_ns, struct catalog_group **out)
{
	struct catalog_group *copy;
	int rc = group_copy(grp, &copy);

	if (rc < 0)
		return rc;
	copy->rows = rows;
	copy->overlay = overlay;
	copy->overlay_ns = overlay ? overlay_ns : 0;
	*out = copy;
	return 0;
}

int catalog_group_owned(const struct catalog_group *grp, mode_t mode, uid_t uid, gid_t gid, int64_t now_ns,
			struct catalog_group **out)
{
	struct catalog_group *copy;
	int rc = group_copy(grp, &copy);

	if (rc < 0)
		return rc;
	copy->mode = mode & 07777;
	copy->uid = uid;
	copy->gid = gid;
	copy->changed_ns = now_ns;
	*out = copy;
	return 0;
}

int group_take_place(const struct catalog_group *now, int64_t now_ns, struct catalog_group *grp)
{
	int rc = group_set_text(&grp->name, slice_str(now->name));

	if (rc == 0 && !grp->owner && now->owner)
		rc = group_set_text(&grp->owner, slice_str(now->owner));
	grp->id = now->id;
	grp->uid = now->uid;
	grp->gid = now->gid;
	grp->mode = now->mode;
	grp->created_ns = now->created_ns;
	grp->changed_ns = now_ns;
	return rc;
}

/* Judges one feature of the new definition and gives it its slot. */
static int evolve_feature(const struct catalog_group *now, struct catalog_feature *f, uint32_t *next_slot,
			  struct why *why)
{
	const struct catalog_feature *old = catalog_find_feature(now, slice_str(f->name));
	char old_type[TYPE_NAME_MAX], new_type[TYPE_NAME_MAX];

	if (!old) {
		if (*next_slot >= SLOTS_MAX)
			return why_fail(why, EINVAL,
					"feature %s: the group has had %d features, which is all it can have; "
					"put new ones into a new group", f->name, SLOTS_MAX);
		f->slot = (uint16_t)(*next_slot)++;
		return 0;
	}
	if (old->retired && !f->retired)
		return why_fail(why, EINVAL,
				"feature %s is retired and its values are being swept, so it can't come back; "
				"add it as a new version (@vN)", f->name);
	if (!type_widens(&old->type, &f->type)) {
		type_print(&old->type, old_type);
		type_print(&f->type, new_type);
		return why_fail(why, EINVAL,
				"feature %s is %s and can't become %s: a type only widens (int32 to int64, float32 to "
				"float64, T[N] to T[]); add a new version (@vN)", f->name, old_type, new_type);
	}
	f->slot = old->slot;
	return 0;
}

int catalog_group_evolve(const struct catalog_group *now, const struct catalog_group *next, bool has_rows,
			 int64_t now_ns, struct catalog_group **out, struct why *why)
{
	struct catalog_group *grp;
	int rc;

	for (unsigned i = 0; i < now->n_features; i++)
		if (!catalog_find_feature(next, slice_str(now->features[i].name)))
			return why_fail(why, EINVAL,
					"feature %s is left out; say \"retired = yes\" to hide it and drop its values",
					now->features[i].name);
	if (has_rows && !group_keeps_keys(now, next))
		return why_fail(why, EBUSY, "the parts of an entity's name can't change while the group has entities");
	rc = group_copy(next, &grp);
	if (rc < 0)
		return rc;
	rc = group_take_place(now, now_ns, grp);
	grp->rows = now->rows;
	grp->overlay = now->overlay;
	grp->overlay_ns = now->overlay_ns;
	grp->next_slot = now->next_slot;
	for (unsigned i = 0; rc == 0 && i < grp->n_features; i++)
		rc = evolve_feature(now, &grp->features[i], &grp->next_slot, why);
	if (rc == 0)
		rc = group_sort_features(grp);
	if (rc < 0)
		catalog_group_unref(grp);
	else
		*out = grp;
	return rc;
}
