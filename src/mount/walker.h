/* SPDX-License-Identifier: MIT */
/*
 * A thread that walks into directories of one of our own mounts, for what the kernel does only for somebody who walks. It knows a path and nothing
 * of the mount itself, and nobody has to wait for it: a path that leads over another file system, which hangs, holds up this thread alone.
 */
#ifndef MOUNT_WALKER_H
#define MOUNT_WALKER_H

#include <stdbool.h>
#include "base/buf.h"

struct walker;

int walker_start(const char *mountpoint, struct walker **out);
/*
 * Walks into each of the names in the root of the mount, whether they are there or not. `names`: each ended by a NUL. Waits until what was asked
 * for before and this is done, at most `wait_ms` in all; 0: it will be done. False if it isn't by then; what was asked for while the walker was
 * still busy is not done at all. One caller at a time.
 */
bool walker_visit(struct walker *walker, const struct buf *names, unsigned wait_ms);
/* One that hangs is left behind. NULL is fine. */
void walker_stop(struct walker *walker);

#endif
