/* SPDX-License-Identifier: MIT */
/*
 * Which store is meant: by -m, by the environment, or because there is only one. The kernel's mount table says which
 * mounts are ours (by their type) and which STORE stands behind each (its source), so that no second registry of mounts
 * can go stale.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "ctl.h"
#include "base/mounts.h"

void ctl_mount_release(struct ctl_mount *mount)
{
	free(mount->dir);
	free(mount->source);
	mount->dir = mount->source = NULL;
}

/* A store that is mounted twice is one store, and the mount that can be written to is the one to talk to. */
static void take_writable(const struct mounts *mounts, struct mount_point *found, struct ctl_mount *out)
{
	for (size_t i = 0; found->is_read_only && i < mounts->n; i++) {
		struct mount_point *other = &mounts->points[i];

		if (mount_point_is_ours(other) && !other->is_read_only && !strcmp(other->source, found->source))
			found = other;
	}
	*out = (struct ctl_mount){ found->dir, found->source };
	found->dir = found->source = NULL;
}

static bool find_dir(const struct mounts *mounts, const char *dir, struct ctl_mount *out)
{
	struct mount_point *point = mounts_find(mounts, dir);

	if (!point || !mount_point_is_ours(point))
		return false;
	take_writable(mounts, point, out);
	return true;
}

/* The name as it was given is tried first: the path of a dead mount cannot be resolved. */
static int find_named(const struct ctl *ctl, const char *name, const struct mounts *mounts, struct ctl_mount *out)
{
	char path[PATH_MAX];

	if (find_dir(mounts, name, out))
		return CTL_OK;
	if (!realpath(name, path))
		return errno == ENOENT ? ctl_fail(ctl, CTL_NONE, "%s: there is no such directory", name) :
					 ctl_fail_errno(ctl, name, -errno);
	if (find_dir(mounts, path, out))
		return CTL_OK;
	return ctl_fail(ctl, CTL_NONE, "%s is not the root of a mounted feature store; see featurefs(8)", name);
}

static int fail_several(const struct ctl *ctl, const struct mounts *mounts)
{
	struct buf list = { 0 };
	int rc;

	for (size_t i = 0; i < mounts->n; i++) {
		if (!mount_point_is_ours(&mounts->points[i]))
			continue;
		buf_append_str(&list, list.len ? ", " : "");
		ctl_print_safe(slice_str(mounts->points[i].dir), &list);
	}
	rc = ctl_fail(ctl, CTL_USAGE, "several stores are mounted, choose one with -m: %.*s", (int)list.len, list.data);
	buf_release(&list);
	return rc;
}

static int find_only(const struct ctl *ctl, const struct mounts *mounts, struct ctl_mount *out)
{
	struct mount_point *found = NULL;

	for (size_t i = 0; i < mounts->n; i++) {
		struct mount_point *point = &mounts->points[i];

		if (!mount_point_is_ours(point))
			continue;
		if (found && strcmp(found->source, point->source) != 0)
			return fail_several(ctl, mounts);
		found = point;
	}
	if (!found)
		return ctl_fail(ctl, CTL_NONE, "nothing is mounted; see featurefs(8)");
	take_writable(mounts, found, out);
	return CTL_OK;
}

static int check_alive(const struct ctl *ctl, struct ctl_mount *mount)
{
	struct stat st;
	int rc;

	if (stat(mount->dir, &st) == 0)
		return CTL_OK;
	rc = ctl_fail_errno(ctl, mount->dir, -errno);
	ctl_mount_release(mount);
	return rc;
}

int ctl_find_mount(const struct ctl *ctl, struct ctl_mount *out)
{
	const char *name = ctl->mount ? ctl->mount : getenv("FEATUREFS_MOUNT");
	struct mounts mounts;
	int rc = mounts_read(&mounts);

	*out = (struct ctl_mount){ NULL, NULL };
	if (rc < 0)
		return ctl_fail_errno(ctl, "/proc/self/mountinfo", rc);
	if (name && *name)
		rc = find_named(ctl, name, &mounts, out);
	else
		rc = find_only(ctl, &mounts, out);
	mounts_release(&mounts);
	return rc ? rc : check_alive(ctl, out);
}

int ctl_find_serving(const struct ctl *ctl, struct ctl_mount *out)
{
	struct ctl_mount mount;
	struct mounts mounts;
	int rc = ctl_find_mount(ctl, &mount);

	*out = (struct ctl_mount){ NULL, NULL };
	if (rc)
		return rc;
	rc = mounts_read(&mounts);
	if (rc < 0) {
		ctl_mount_release(&mount);
		return ctl_fail_errno(ctl, "/proc/self/mountinfo", rc);
	}
	for (size_t i = 0; !out->dir && i < mounts.n; i++) {
		struct mount_point *point = &mounts.points[i];

		if (!mount_point_is_ours(point) || strcmp(point->type, "fuse.featurefs-serving") != 0 || strcmp(point->source, mount.source) != 0)
			continue;
		*out = (struct ctl_mount){ point->dir, point->source };
		point->dir = point->source = NULL;
	}
	if (!out->dir)
		rc = ctl_fail(ctl, CTL_NONE, "%s has no serving mount: mount it with -o serve=DIR, see featurefs(8)", mount.source);
	mounts_release(&mounts);
	ctl_mount_release(&mount);
	return rc;
}

int ctl_find_store(const struct ctl *ctl, struct ctl_mount *out)
{
	if (!ctl->store)
		return ctl_find_mount(ctl, out);
	*out = (struct ctl_mount){ NULL, strdup(ctl->store) };
	return out->source ? CTL_OK : ctl_fail_errno(ctl, ctl->store, -ENOMEM);
}

char *ctl_store_mounted_at(const char *store)
{
	struct mount_point *found;
	struct mounts mounts;
	struct stat st;
	char *dir = NULL;

	if (stat(store, &st) < 0 || mounts_read(&mounts) < 0)
		return NULL;
	found = mounts_find_store(&mounts, store);
	if (found) {
		dir = found->dir;
		found->dir = NULL;
	}
	mounts_release(&mounts);
	return dir;
}
