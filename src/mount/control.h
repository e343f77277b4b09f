/* SPDX-License-Identifier: MIT */
/* Files that are rendered at each open and show no size. Private to mount. */
#ifndef MOUNT_CONTROL_H
#define MOUNT_CONTROL_H

#include "mount/node.h"

int control_render(struct mount *mount, const struct target *target, struct buf *out);
/* Without the trees of others. */
int control_render_plain(const struct direct *lane, const struct mount_control *controls, const struct target *target, struct buf *out);
int control_find(const struct mount_control *controls, const char *name);	/* index, or -1 */

#endif
