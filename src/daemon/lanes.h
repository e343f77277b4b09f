/* SPDX-License-Identifier: MIT */
/* The directory .featurefs/lanes: one directory a lane, with what it says about itself. */
#ifndef DAEMON_LANES_H
#define DAEMON_LANES_H

#include "daemon/status.h"
#include "mount/mount.h"

struct lanes {
	struct status *status;
	struct mount_tree trees[2];	/* for the mount */
};

/* `status` must outlive the mount. */
void lanes_init(struct lanes *lanes, struct status *status);

#endif
