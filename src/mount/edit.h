/* SPDX-License-Identifier: MIT */
/* Write handles. Private to mount. */
#ifndef MOUNT_EDIT_H
#define MOUNT_EDIT_H

#include "mount/call.h"
#include "mount/handle.h"

struct edit {
	struct handle handle;
	struct edit *next, **prev;	/* [L] */
	unsigned refs;			/* [L] the open file, and who works with it just now */
	bool is_parked;			/* [L] truncated or created, nothing written, and its opener has closed a descriptor of it */
	bool is_plain;			/* a whole line is a whole value */
	uid_t uid;
	pid_t tid;			/* of the thread that opened it */
	_Atomic pid_t tgid;		/* of its process, once somebody has asked; 0 */
	pthread_mutex_t lock;		/* for what follows */
	struct buf bytes;
	size_t limit;
	size_t judged;			/* the length at which the prefix was last judged */
	bool is_sequential;		/* all of it was written through this handle, front to back */
	bool is_dirty;			/* written since the last commit */
	bool is_armed;			/* truncated or created: if nothing is written, an empty value is what it writes */
	int bad;			/* 0, or the errno of a write that was refused: nothing is stored */
	int64_t event_ns;		/* set by utimens, or INGEST_NOW */
};

/* On an attached or private node; the caller has checked permissions. -ESTALE: readers share the node, look it up again. */
int edit_open(struct mount *mount, struct node *node, const struct target *target, int flags, bool is_created, fuse_req_t req,
	      struct edit **out);
void edit_end_all(struct mount *mount);
void edit_read(struct mount *mount, struct edit *edit, fuse_req_t req, size_t size, off_t off);
void edit_write(struct mount *mount, struct edit *edit, fuse_req_t req, const char *buf, size_t size, off_t off, bool at_end);
void edit_flush(struct mount *mount, struct edit *edit, fuse_req_t req);
void edit_fsync(struct mount *mount, struct edit *edit, fuse_req_t req);
/* `req` NULL: the open never came about; nothing is committed. */
void edit_release(struct mount *mount, struct edit *edit, fuse_req_t req);
void edit_resize(struct mount *mount, struct edit *edit, fuse_req_t req, uint64_t size);
/* The caller's own open write handle with something pending on that name, held; NULL. */
struct edit *edit_find(struct mount *mount, struct node *node, pid_t caller, bool any_caller);
void edit_drop(struct mount *mount, struct edit *edit);
/* utimens by its own process: the time that its commit will have. Replies. */
void edit_stamp(struct mount *mount, struct edit *edit, fuse_req_t req, int64_t event_ns);
void edit_size(struct edit *edit, uint64_t *out_size, int64_t *out_event_ns);
/* truncate(2): changes the text that stands, at once. Replies. */
void edit_truncate(struct mount *mount, struct node *node, const struct target *target, fuse_req_t req, uint64_t size);
/* Is a thread of the process that a thread opened a handle for? `tgid` keeps what was found out about that one. If it has ended, nobody can
 * tell, and every thread counts as one. */
bool edit_is_openers(pid_t opener, _Atomic pid_t *tgid, pid_t tid);
/* Hands bytes to the lane as what the target is. */
void edit_put(struct job *job);
/* The two halves of a commit: with the handle's lock held, and without. */
struct job *edit_take_job(struct mount *mount, struct edit *edit, fuse_req_t req, void (*end)(struct job *, int));
void edit_put_job(struct mount *mount, struct edit *edit, struct job *job, bool is_closing);
void edit_park(struct mount *mount, struct edit *edit, bool is_parked);
/* What stands, and how long it may be. */
int edit_load(struct mount *mount, const struct target *target, struct buf *out);
size_t edit_limit(enum node_kind kind);
/* Does anybody's close still have to take effect on that? */
bool edit_is_unsettled_locked(struct mount *mount, const struct touch *touch, pid_t except);
/* Waits no longer for RELEASEs of that: it is still open somewhere. */
void edit_unpark_locked(struct mount *mount, const struct touch *touch);
/* Open handles on that file write to nowhere from now on. */
void edit_orphan_locked(struct mount *mount, const struct node *like);
/* They write to another name from now on. */
void edit_move_locked(struct mount *mount, const struct node *like, struct node *parent, uint32_t number);
/* Promises the thread a node for itself alone: -ESTALE sends it to look the name up again, -ENOMEM. 0: it came without a lookup (through
 * /proc/self/fd), and sharing can't be helped. */
int edit_promise_locked(struct mount *mount, const struct node *node, pid_t tid);
/* The node was opened: the promise is kept. It gets its name if no other node has it. */
void edit_keep_promise_locked(struct mount *mount, struct node *node);
/* The node that was promised to the thread for that name; NULL. */
struct node *edit_promised_locked(struct mount *mount, const struct node *dir, enum node_kind kind, uint32_t number, pid_t tid);

#endif
