/* SPDX-License-Identifier: MIT */
/* What names mean, and what a lookup answers. Private to mount. */
#ifndef MOUNT_LOOK_H
#define MOUNT_LOOK_H

#include <fuse_lowlevel.h>
#include "mount/node.h"

/* What a name in a directory means, whether it is there or not. */
struct meaning {
	enum node_kind kind;
	uint32_t number;
	bool is_scratch_too;		/* an entity's name that tools use for scratch files as well */
};

/* 0; -ENOENT if the name has no meaning there; -ENAMETOOLONG. */
int look_mean(struct mount *mount, const struct serve_view *view, const struct target *dir, const char *name, struct meaning *out);
/* The whole of a LOOKUP, which is also the answer to MKDIR and MKNOD. On 0 the kernel's count is taken. */
int look_up(struct mount *mount, struct node *dir, const char *name, pid_t caller, struct fuse_entry_param *out);
void look_entry(struct mount *mount, const struct node *node, const struct stat *st, double timeout, struct fuse_entry_param *out);
int look_refuse_name(struct mount *mount, fuse_req_t req, const struct target *dir, const char *name);

#endif
