/* SPDX-License-Identifier: MIT */
/*
 * FUSE over io_uring, for the serving mount: its requests come through rings that kernel and daemon share, one for each processor, instead of
 * by read and write of /dev/fuse. It is there only in a build with IO_URING=1. Private to mount.
 */
#ifndef MOUNT_URING_H
#define MOUNT_URING_H

#include <fuse_lowlevel.h>
#include <stdatomic.h>
#include <stdbool.h>
#include "base/why.h"

/* One mount's. Zeroed: it has no rings. */
struct uring {
	bool is_wanted;
	atomic_bool has_told;		/* that there are none all the same */
	atomic_uint_fast64_t requests;	/* that came through them */
};

/* Before mounting: can there be any? -ENOTSUP if this build knows nothing of them, another errno if the kernel has none for us; with a reason. */
int uring_check(struct why *why);
/* What INIT must ask for, to be added to conn->want. */
unsigned uring_capability(const struct uring *uring);
/* At the beginning of each request but forgets, which come by /dev/fuse in any case. */
void uring_note(struct uring *uring, fuse_req_t req);
/* Did it come through a ring? Then it is answered by the thread that brought it. */
bool uring_has_brought(fuse_req_t req);
/* Ends libfuse's threads, when the file system is not mounted any more. 0 or a negative errno, if something went wrong with a ring. */
int uring_end(struct fuse_session *session);

#endif
