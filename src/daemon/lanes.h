/* SPDX-License-Identifier: MIT */
/* What the mount shows of lanes: the directory .featurefs/lanes, one folder a lane, and .dead in every group. */
#ifndef DAEMON_LANES_H
#define DAEMON_LANES_H

#include "daemon/status.h"
#include "mount/mount.h"

struct lanes {
	struct status *status;
	struct mount_tree trees[3];	/* for the mount */
};

/* `status` must outlive the mount. */
void lanes_init(struct lanes *lanes, struct status *status);

#endif
