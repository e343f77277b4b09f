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
#include "base/slice.h"
#include "base/why.h"
#include "batch/batch.h"
#include "lane/lane.h"

struct mount;
struct serving;

/* A read-only text file of .featurefs/, rendered at each open. */
struct mount_control {
	const char *name;			/* "status", "metrics" */
	void (*render)(void *arg, struct buf *out);
	void *arg;
};

/*
 * A small tree of files that somebody else keeps: a directory of .featurefs/, or one in every group. Paths are relative to it, "" is the
 * directory itself. Every call asks anew, so that names may come and go at any time; all come from any thread, several at once.
 */
enum { MOUNT_PATH_MAX = 319 };

struct mount_entry {
	bool is_dir;
	mode_t mode;				/* permission bits */
	uid_t uid;
	gid_t gid;
	uint64_t size;				/* 0 for what is rendered */
	int64_t changed_ns;
};

typedef void (*mount_done)(void *arg, int rc);

struct mount_tree {
	const char *name;			/* "lanes", ".dead" */
	bool is_in_groups;			/* in each group, and `group_id` says which; else in .featurefs */
	int (*stat)(void *arg, uint32_t group_id, const char *path, struct mount_entry *out);	/* -ENOENT */
	/* Appends the names in a directory, each with a NUL; their order may not change from call to call. */
	int (*list)(void *arg, uint32_t group_id, const char *path, struct buf *out);
	/* How a file is read, one of the two: its text, made when it is opened; or a descriptor, read as it is and closed by the mount. */
	int (*render)(void *arg, uint32_t group_id, const char *path, struct buf *out);
	int (*open)(void *arg, uint32_t group_id, const char *path, int *out_fd);
	/* Each write(2) is handed over as it is, and answered by `done`, maybe later and from another thread. NULL: nothing can be written. */
	void (*write)(void *arg, uint32_t group_id, const char *path, struct slice bytes, mount_done done, void *done_arg);
	void *arg;
};

/* Whose files are shown to be, in place of what the store keeps. */
struct mount_owners {
	bool has_uid, has_gid, has_umask;
	uid_t uid;
	gid_t gid;
	mode_t umask;
};

struct mount_options {
	const char *mountpoint;
	const char *source;			/* what `df` and /proc/mounts show: the STORE */
	const char *kernel_options;		/* comma-separated options for the kernel and libfuse (allow_other, nosuid, ...); may be empty */
	bool read_only;				/* every change is EROFS */
	bool debug;				/* libfuse prints each request */
	struct mount_owners owners;
	unsigned threads;			/* FUSE threads at the most */
	unsigned scratch_files;			/* at once */
	size_t scratch_bytes;			/* of all of them together */
	int64_t scratch_ns;			/* unused for this long, they are gone */
	const struct mount_control *controls;	/* ended by a NULL name; must outlive the mount */
	const struct mount_tree *trees;		/* the same */
	struct batch *batch;			/* keeps what is dropped into .import; NULL: there is none */
	struct serving *serving;		/* the second mount; must outlive this one. NULL: there is none */
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

#include "mount/serving.h"

#endif
