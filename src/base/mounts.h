/* SPDX-License-Identifier: MIT */
/*
 * The kernel's table of mounts, as this process sees it. Of several mounts on one directory only the one on top is listed: it is the one
 * that answers. A list is the caller's; not thread-safe.
 */
#ifndef BASE_MOUNTS_H
#define BASE_MOUNTS_H

#include <stdbool.h>
#include <stddef.h>
#include "base/slice.h"

struct mount_point {
	char *dir;		/* where it is mounted, as the kernel resolved it */
	char *type;		/* "tmpfs", "fuse.sshfs" */
	char *source;		/* what is mounted, as who mounted it says */
	int device_minor;	/* of FUSE: the number of the connection */
	bool is_whole;		/* not a directory of a file system, bound to another place */
	bool is_read_only;
};

struct mounts {
	struct mount_point *points;
	size_t n;
};

/* Reads /proc/self/mountinfo. 0, -ENOMEM or the errno of reading; `out` is written only on success. */
int mounts_read(struct mounts *out);
/* The same from its text. A line that is not in the kernel's form is passed over. 0 or -ENOMEM. */
int mounts_parse(struct slice text, struct mounts *out);
void mounts_release(struct mounts *mounts);
/* The mount on exactly this directory, given absolute and resolved; NULL. */
struct mount_point *mounts_find(const struct mounts *mounts, const char *dir);
/* The mount that holds this path, given absolute and resolved; NULL. */
struct mount_point *mounts_find_holder(const struct mounts *mounts, const char *path);
/* Is it a mount of a feature store, of either kind? */
bool mount_point_is_ours(const struct mount_point *point);
/* The mount of the store in this directory, rather one that can be written to; NULL. */
struct mount_point *mounts_find_store(const struct mounts *mounts, const char *store);
void mount_point_release(struct mount_point *point);

#endif
