/* SPDX-License-Identifier: MIT */
/* A connection to the kernel, with the threads that answer its requests. Private to mount. */
#ifndef MOUNT_CHANNEL_H
#define MOUNT_CHANNEL_H

#include <fuse_lowlevel.h>
#include <stdbool.h>
#include "base/why.h"

struct channel {
	struct fuse_session *session;
	char *mountpoint;		/* resolved */
	unsigned n_threads;
	bool io_uring;
};

struct channel_options {
	const char *mountpoint;
	const char *source;		/* what `df` and /proc/mounts show */
	const char *kernel_options;	/* comma-separated; NULL or empty: none */
	bool read_only, debug;
	bool io_uring;			/* its requests come by io_uring where they can; see uring.h */
	bool is_serving;		/* tells the two mounts of a store apart in the mount table: its type has -serving behind it */
	unsigned threads;
	const struct fuse_lowlevel_ops *ops;
	void *userdata;
};

/* Mounts. -ENOTCONN with what to do if the mount point is a dead mount that a crash left; other errno with a reason. Then there is nothing
 * to close. */
int channel_open(struct channel *channel, const struct channel_options *options, struct why *why);
/* Answers requests until it is unmounted; 0, or a negative errno if the session broke. */
int channel_run(struct channel *channel);
/* Unmounts, from any thread; channel_run then returns. */
void channel_stop(struct channel *channel);
void channel_close(struct channel *channel);		/* a zeroed one is fine */

#endif
