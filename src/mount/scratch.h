/* SPDX-License-Identifier: MIT */
/* Files of names that mean nothing, in memory. Private to mount. */
#ifndef MOUNT_SCRATCH_H
#define MOUNT_SCRATCH_H

#include "mount/handle.h"

struct scratch {
	struct scratch *next, **prev;	/* [L] of those that have a name */
	struct node *node;		/* that owns it */
	unsigned opens;			/* [L] */
	atomic_int_fast64_t used_ns;	/* monotonic */
	uint64_t serial;
	pthread_mutex_t lock;		/* for what follows */
	char *data;
	size_t len, cap;
	mode_t mode;
	uid_t uid;
	gid_t gid;
	int64_t mtime_ns, ctime_ns;
	bool mtime_set;			/* by utimens, to a time of the caller's */
	bool is_orphan;			/* renamed onto a value: what is written now would go nowhere */
	bool is_shed;			/* has no name and no handle any more, and so no content and no place in the bounds */
};

/* Makes one under that name, held once for the caller; replaces none. -ENOSPC, -EEXIST, -ENOMEM. */
int scratch_make(struct mount *mount, struct node *dir, const char *name, mode_t mode, uid_t uid, gid_t gid, struct node **out);
void scratch_free(struct mount *mount, struct scratch *scratch);	/* from node.c; NULL is fine */
void scratch_stat(struct mount *mount, struct scratch *scratch, struct stat *out);
int scratch_open(struct mount *mount, struct node *node, int flags, struct handle **out);
void scratch_read(struct mount *mount, struct node *node, fuse_req_t req, size_t size, off_t off);
int scratch_write(struct mount *mount, struct node *node, struct slice bytes, off_t off, bool at_end);
int scratch_setattr(struct mount *mount, struct node *node, const struct stat *attr, int to_set);
void scratch_close(struct mount *mount, struct handle *handle);
void scratch_unlink_locked(struct mount *mount, struct node *node);
/* Takes the names of those below a directory that was removed. */
void scratch_clear_locked(struct mount *mount, const struct node *dir);
/* Takes the names of those that nobody used for a while. */
void scratch_sweep_locked(struct mount *mount, int64_t now_ns);

#endif
