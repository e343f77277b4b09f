/* SPDX-License-Identifier: MIT */
/* Requests that may have to wait, and work that others finish. Private to mount. */
#ifndef MOUNT_CALL_H
#define MOUNT_CALL_H

#include <fuse_lowlevel.h>
#include "mount/node.h"

/* A request with its arguments. On the stack of the FUSE thread; copied if it has to wait. */
struct call {
	struct mount *mount;
	fuse_req_t req;
	void (*run)(struct call *call);
	fuse_ino_t ino, ino2;
	const char *name, *name2;	/* NULL where there is none */
	int flags;			/* to_set, rename flags */
	mode_t mode;
	size_t size;
	off_t off;
	struct stat attr;
	struct fuse_file_info fi;
	bool has_fi;
	bool is_whole;			/* what the names hold matters, not only the names: rmdir, rename */
	pid_t except;			/* a thread whose own handles it need not wait for; 0 */
};

/* The values that a call is about. */
struct touch {
	uint32_t group_id;		/* CATALOG_ROOT_ID: none */
	bool any_entity, any_slot;
	uint16_t slot;
	uint16_t entity_len;
	char entity[TEXT_ENTITY_MAX + 1];
};

/* A call that waits. */
struct waiting {
	struct waiting *next;
	struct call call;
	struct touch touch[2];
	int64_t patience_ns;		/* monotonic: until when it waits for a RELEASE */
};

/* Runs it now, or when the names that it touches are settled. */
void call_run(struct call *call);
/* Runs it on the thread for what takes long. */
void call_run_slow(struct call *call);
int call_start(struct mount *mount);
/* Runs what is queued, then ends the threads. */
void call_stop(struct mount *mount);
/* Until no job is in flight. */
void call_wait(struct mount *mount);
/* Wakes calls that wait; after something settled. */
void call_wake_locked(struct mount *mount);

/* Work that a commit finishes. */
struct job {
	struct mount *mount;
	fuse_req_t req;			/* NULL: nobody waits */
	void (*end)(struct job *job, int rc);	/* replies; NULL: with rc */
	struct node *node, *node2;	/* held; NULL is fine */
	struct target target;
	struct direct_origin origin;
	bool is_closing;		/* in mount->closing */
	struct job *next, **prev;
	struct direct_place from, to;	/* of a rename; their entities are in names */
	char from_entity[TEXT_ENTITY_MAX + 1], to_entity[TEXT_ENTITY_MAX + 1];
	char *name;			/* owned; NULL is fine */
	pid_t caller;
	size_t len;			/* of bytes */
	char bytes[];
};

/* With a copy of `bytes`; NULL without memory. `req` NULL: the caller fills origin. */
struct job *job_new(struct mount *mount, fuse_req_t req, void (*end)(struct job *, int), struct slice bytes);
void job_done(void *arg, int rc);	/* a direct_done; frees it */
void job_close_locked(struct job *job);	/* enters mount->closing */
static inline struct slice job_bytes(const struct job *job)
{
	return slice_of(job->bytes, job->len);
}

#endif
