/* SPDX-License-Identifier: MIT */
/*
 * The file system: the only user of libfuse. One session today, the editing mount: read-write, entry and attribute timeouts of zero for
 * all that can change behind the kernel's back, direct I/O, and a snapshot for each open file.
 */
#ifndef MOUNT_MOUNT_H
#define MOUNT_MOUNT_H

#include <stdbool.h>
#include <sys/types.h>
#include "base/buf.h"
#include "base/why.h"
#include "lane/lane.h"

struct mount;

/* A read-only text file of .featurefs/, rendered at each open. */
struct mount_control {
	const char *name;			/* "status", "metrics", "lanes/x" is not possible yet: one level */
	void (*render)(void *arg, struct buf *out);
	void *arg;
};

struct mount_options {
	const char *mountpoint;
	const char *source;			/* what `df` and /proc/mounts show: the STORE */
	const char *kernel_options;		/* comma-separated options for the kernel and libfuse (allow_other, nosuid, ...); may be empty */
	bool read_only;				/* every change is EROFS */
	bool debug;				/* libfuse prints each request */
	bool has_uid, has_gid, has_umask;	/* show these instead of what the store keeps */
	uid_t uid;
	gid_t gid;
	mode_t umask;
	unsigned threads;			/* FUSE threads at the most */
	unsigned scratch_files;			/* at once */
	size_t scratch_bytes;			/* of all of them together */
	int64_t scratch_ns;			/* unused for this long, they are gone */
	const struct mount_control *controls;	/* ended by a NULL name; must outlive the mount */
};

/* Mounts. -ENOTCONN with what to do if the mount point is a dead mount that a crash left; other errno with a reason. */
int mount_open(const struct mount_options *options, struct direct *lane, struct mount **out, struct why *why);
/* Serves requests until it is unmounted; returns 0, or a negative errno if the session broke. */
int mount_run(struct mount *mount);
/* Unmounts, from any thread (not from a signal handler); mount_run then returns. */
void mount_stop(struct mount *mount);
/* Frees; every request has been answered by then. NULL is fine. */
void mount_close(struct mount *mount);

struct mount_figures {
	uint64_t requests, reads, writes;	/* since the start */
	uint64_t nodes, handles, scratch_files, scratch_bytes;	/* now */
};
void mount_figures(struct mount *mount, struct mount_figures *out);

#endif
