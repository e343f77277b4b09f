/* SPDX-License-Identifier: MIT */
/* The second mount, for serving (mount/serving.h), and the thread that runs it. All of these are for the main thread. */
#ifndef DAEMON_SECOND_H
#define DAEMON_SECOND_H

#include <pthread.h>
#include "daemon/options.h"
#include "mount/mount.h"

struct second {
	struct serving *serving;	/* NULL: there is to be none */
	const char *mountpoint;		/* resolved */
	pthread_t thread;
	bool has_thread;
	int connection;			/* the kernel's number of the mount, -1 if it could not be found */
};

/* Before ingest starts, for it listens to ingest's commits. `mountpoint` NULL: none is wanted. All must outlive it. */
int second_prepare(struct second *second, const struct options *options, const char *mountpoint, const char *source,
		   const char *kernel_options, struct direct *lane, const struct mount_control *controls);
/* Mounts and answers from now on. Logs what goes wrong. */
int second_start(struct second *second);
/* Unmounts; open files get errors if they keep it alive. */
void second_stop(struct second *second);
/* When ingest has stopped. */
void second_release(struct second *second);

#endif
