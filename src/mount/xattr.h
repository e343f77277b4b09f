/* SPDX-License-Identifier: MIT */
/* Extended attributes. Private to mount. */
#ifndef MOUNT_XATTR_H
#define MOUNT_XATTR_H

#include "mount/node.h"

bool xattr_is_user(const char *name);

/* Appends an attribute's value, or all names if `name` is NULL. -ENODATA, -ENOENT. */
int xattr_print(const struct serve_view *view, const struct target *target, const char *name, struct buf *out);
void xattr_reply(fuse_req_t req, int rc, const struct buf *buf, size_t size);

#endif
