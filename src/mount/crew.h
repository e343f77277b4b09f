/* SPDX-License-Identifier: MIT */
/* The threads that answer the requests of a session. Private to mount. */
#ifndef MOUNT_CREW_H
#define MOUNT_CREW_H

#include <fuse_lowlevel.h>

/* Answers requests with at most `n_threads` of its own until the file system is unmounted; 0, or a negative errno if the session broke. */
int crew_run(struct fuse_session *session, unsigned n_threads);

#endif
