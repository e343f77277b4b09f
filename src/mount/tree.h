/* SPDX-License-Identifier: MIT */
/* Directories that somebody else keeps, see mount.h. Private to mount. */
#ifndef MOUNT_TREE_H
#define MOUNT_TREE_H

#include "mount/handle.h"
#include "mount/look.h"

/* The tree of that name in .featurefs or in groups: its index, or -1. */
int tree_find(const struct mount *mount, bool in_groups, const char *name);
/* What `name` in a directory of a tree means. -ENOENT, -ENAMETOOLONG. */
int tree_mean(const struct mount *mount, const struct target *dir, const char *name, struct meaning *out);
/* Appends "/name" (or "name", at the tree's own directory) to the target's path. It fits: tree_mean has said so. */
void tree_descend(struct target *target, const char *name);
bool tree_is_writable(const struct mount *mount, const struct target *target);	/* by anybody */
int tree_attr(struct mount *mount, const struct target *target, struct stat *out);
int tree_list(struct mount *mount, const struct target *target, struct buf *out);
/* -EPERM where it can't be written. A handle reads or writes, not both. */
int tree_open(struct mount *mount, struct node *node, const struct target *target, bool is_writing, struct handle **out);
void tree_read(struct handle *handle, fuse_req_t req, size_t size, off_t off);
void tree_write(struct mount *mount, struct handle *handle, fuse_req_t req, struct slice bytes);
void tree_close(struct mount *mount, struct handle *handle);

#endif
