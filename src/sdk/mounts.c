/* SPDX-License-Identifier: MIT */
/*
 * Which store stands behind a path. The kernel's table says which mounts are ours (by their type) and which STORE each one
 * shows (its source), so nothing else has to be kept up to date. A store may have two, of which the one for serving is read-only.
 */
#include "sdk/private.h"

#include <errno.h>
#include <stdlib.h>

void sdk_mount_release(struct sdk_mount *mount)
{
	free(mount->dir);
	free(mount->source);
	*mount = (struct sdk_mount){ 0 };
}

static void take(struct mount_point *point, struct sdk_mount *out)
{
	*out = (struct sdk_mount){ point->dir, point->source, point->is_read_only };
	point->dir = point->source = NULL;
}

int sdk_mounts_by_path(const struct mounts *mounts, const char *path, struct sdk_mount *out)
{
	struct mount_point *found = mounts_find_holder(mounts, path);

	if (!found || !mount_point_is_ours(found))
		return -ENODEV;
	take(found, out);
	return 0;
}

int sdk_mounts_by_store(const struct mounts *mounts, const char *store, struct sdk_mount *out)
{
	struct mount_point *found = mounts_find_store(mounts, store);

	if (!found)
		return -ENOENT;
	take(found, out);
	return 0;
}

static int find(int (*by)(const struct mounts *, const char *, struct sdk_mount *), const char *what, struct sdk_mount *out)
{
	struct mounts mounts;
	int rc = mounts_read(&mounts);

	if (rc < 0)
		return rc;
	rc = by(&mounts, what, out);
	mounts_release(&mounts);
	return rc;
}

int sdk_mount_of_path(const char *path, struct sdk_mount *out)
{
	return find(sdk_mounts_by_path, path, out);
}

int sdk_mount_of_store(const char *store, struct sdk_mount *out)
{
	return find(sdk_mounts_by_store, store, out);
}
