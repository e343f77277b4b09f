/* SPDX-License-Identifier: MIT */
/*
 * What the mount's files share. Private to mount.
 *
 * Locks: mount->lock guards the node table, the lists of write handles and of commits behind a close, and every field marked [L]. It is
 * held for a few dozen instructions and never while anything is read, written or replied. edit->lock and scratch->lock guard one
 * file's bytes; mount->lock may be taken inside of edit->lock, and scratch->lock inside of mount->lock, never the other way round.
 */
#ifndef MOUNT_PRIVATE_H
#define MOUNT_PRIVATE_H

#include <dirent.h>
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdatomic.h>
#include "base/clock.h"
#include "base/text.h"
#include "mount/channel.h"
#include "mount/mount.h"
#include "mount/name.h"

/* What a node stands for. */
enum node_kind {
	NODE_ROOT, NODE_CONTROL_DIR, NODE_CONTROL, NODE_VIEWS, NODE_VIEW, NODE_FORM, NODE_JOIN, NODE_LOOKUP,
	NODE_GROUP, NODE_SCHEMA, NODE_STATS, NODE_ERRORS, NODE_UPSERT, NODE_ENTITY,
	NODE_ROW, NODE_VALUE, NODE_BIN, NODE_SCRATCH, NODE_TREE_DIR, NODE_TREE_FILE,
	NODE_IMPORT, NODE_IMPORT_FILE, NODE_REPORTS, NODE_REPORT,
};

/*
 * Answers. An error that is nobody's fault but the disk's or ours is told in the log as well, with the operation; so is an answer that the kernel
 * does not take, whose caller gets EIO. Like libfuse's calls they return 0 or -errno; -ENOENT: nobody waits for it any more.
 */
int reply_err_from(const char *op, fuse_req_t req, int err);
int reply_taken(const char *op, int rc);

#define reply_err(req, err) reply_err_from(__func__, req, err)
#define reply_buf(req, ...) reply_taken(__func__, fuse_reply_buf(req, __VA_ARGS__))
#define reply_entry(req, entry) reply_taken(__func__, fuse_reply_entry(req, entry))
#define reply_create(req, entry, fi) reply_taken(__func__, fuse_reply_create(req, entry, fi))
#define reply_open(req, fi) reply_taken(__func__, fuse_reply_open(req, fi))
#define reply_attr(req, st, timeout) reply_taken(__func__, fuse_reply_attr(req, st, timeout))
#define reply_write(req, len) reply_taken(__func__, fuse_reply_write(req, len))
#define reply_xattr(req, len) reply_taken(__func__, fuse_reply_xattr(req, len))
#define reply_ioctl(req, ...) reply_taken(__func__, fuse_reply_ioctl(req, __VA_ARGS__))

struct shown;
struct edit;
struct scratch;
struct job;
struct waiting;

/* The kernel's node number is this struct's address. Parent, kind, number and name say what it stands for; all fields are [L]. */
struct node {
	struct node *next, **prev;	/* in its chain of the table (prev is NULL), or in mount->detached */
	struct node *parent;		/* counted; NULL for the root */
	char *name;			/* of ENTITY, SCRATCH and what is inside of a tree or of .import; else NULL */
	uint64_t lookups;		/* that the kernel has not forgotten */
	uint32_t refs;			/* children, open handles, work in flight */
	uint32_t number;		/* GROUP: its id; VALUE, BIN: the slot; CONTROL, TREE_DIR, TREE_FILE: the index */
	uint8_t kind;			/* enum node_kind */
	bool is_attached;		/* lookups find it */
	bool is_gone;			/* its name was removed; writes to it go nowhere */
	bool is_used, is_dropped;	/* looked up since trim.c came by; the kernel was told to drop it */
	uint16_t n_edits;		/* open write handles; one more for ever if it was truncated by path */
	struct scratch *scratch;	/* of SCRATCH; owned */
	struct shown *shown;		/* what its open read handles show; NULL if there are none */
	/* Of nodes with content: what the kernel was told of it, and may still be about to take over; see attr.c. */
	uint64_t version;		/* of the newest snapshot that a lookup answered from */
	uint64_t told_size;
	int64_t told_event_ns, told_ingest_ns;
	uint32_t told_turn, void_turn;	/* how often that became something else; up to which turn the older is void */
	int64_t told_at_ns;		/* monotonic; 0: nobody was told anything */
	int64_t others_at_ns;		/* when a thread other than told_to was told last; 0: never */
	pid_t told_to;			/* the thread that was told last; 0: one without a number here */
	bool is_told_to_many;		/* since the last turn */
};

/* A copy of what a node stands for, to work with outside of the lock. */
struct target {
	enum node_kind kind;
	bool is_gone;
	uint32_t group_id;		/* CATALOG_ROOT_ID outside of groups */
	uint32_t number;
	uint16_t entity_len;
	char entity[MOUNT_PATH_MAX + 1];	/* of TREE_DIR and TREE_FILE: the path in the tree */
};

_Static_assert((int)MOUNT_PATH_MAX >= (int)TEXT_ENTITY_MAX, "an entity's name has no place");

static inline struct slice target_entity(const struct target *target)
{
	return slice_of(target->entity, target->entity_len);
}

/* Kinds whose text has a true size: it is rendered to tell that size, and handles on one node all show the same text. */
static inline bool has_content(enum node_kind kind)
{
	return kind == NODE_VALUE || kind == NODE_BIN || kind == NODE_ROW || kind == NODE_SCHEMA;
}

static inline bool is_dir(enum node_kind kind)
{
	return kind == NODE_ROOT || kind == NODE_CONTROL_DIR || kind == NODE_VIEWS || kind == NODE_VIEW || kind == NODE_FORM ||
	       kind == NODE_GROUP || kind == NODE_ENTITY || kind == NODE_TREE_DIR || kind == NODE_IMPORT ||
	       kind == NODE_REPORTS;
}

/* Is it .import of a group, or below it? import.c then knows what it is. */
static inline bool is_import(enum node_kind kind)
{
	return kind == NODE_IMPORT || kind == NODE_IMPORT_FILE || kind == NODE_REPORTS || kind == NODE_REPORT;
}

/* A node of its own that was promised to one thread, so that its write handle shares no pages with readers; see edit.c. [L] */
struct promise {
	struct node *node;		/* held */
	pid_t tid;
	int64_t until_ns;		/* monotonic */
};

enum { PROMISES = 1024 };	/* more than threads that wait for one value at a time */

/* A thread with a queue of calls. */
struct worker {
	struct mount *mount;
	pthread_t thread;
	pthread_cond_t wake;		/* with mount->lock, monotonic */
	struct waiting *first, **last;	/* [L] */
	bool is_started, is_stopping;	/* [L] */
};

struct mount {
	struct mount_options options;	/* without its strings */
	struct direct *lane;
	struct channel channel;
	pthread_mutex_t lock;
	struct node root;
	struct node **chains;		/* [L] */
	size_t n_chains, n_nodes;	/* [L] */
	struct node *detached;		/* [L] */
	struct handle *open;		/* [L] all that is open but write handles */
	struct edit *edits;		/* [L] open write handles */
	struct job *closing;		/* [L] commits that a close has left behind */
	atomic_uint unsettled;		/* write handles that await their RELEASE, and commits in `closing` */
	struct promise promises[PROMISES];	/* [L] */
	unsigned n_promises;		/* [L] */
	struct shown *free_shown;	/* [L] */
	unsigned n_free_shown;		/* [L] */
	struct scratch *scratch_first;	/* [L] */
	atomic_uint n_scratch;
	atomic_size_t scratch_bytes;
	atomic_uint_fast64_t scratch_counter;
	struct worker late;		/* calls that wait until a name is settled */
	struct worker slow;		/* calls that take long */
	pthread_t trimmer;
	pthread_cond_t trim_wake;
	bool has_trimmer, is_trimming, trim_stops;	/* [L] */
	unsigned in_flight;		/* [L] jobs */
	pthread_cond_t idle;		/* in_flight is 0 */
	int64_t changed_ns;		/* [L] when groups last came, went or were renamed through this mount */
	atomic_uint_fast64_t requests, reads, writes;
	atomic_uint_fast64_t handles;
};

/* ---- node.c ---- */

int node_table_init(struct mount *mount);
void node_table_release(struct mount *mount);		/* frees all nodes, whatever the kernel still remembers */
struct node *node_of(struct mount *mount, fuse_ino_t ino);
fuse_ino_t node_ino(const struct mount *mount, const struct node *node);
void node_target(struct mount *mount, const struct node *node, struct target *out);
void node_target_locked(const struct node *node, struct target *out);
struct node *node_find_locked(struct mount *mount, struct node *parent, enum node_kind kind, uint32_t number, const char *name);
/* Finds or makes; NULL without memory. A new one has no lookups and no refs yet. */
struct node *node_get_locked(struct mount *mount, struct node *parent, enum node_kind kind, uint32_t number, const char *name);
/* One that no lookup finds. */
struct node *node_new_locked(struct mount *mount, struct node *parent, enum node_kind kind, uint32_t number, const char *name);
void node_attach_locked(struct mount *mount, struct node *node);
void node_detach_locked(struct mount *mount, struct node *node);
/* Gives it another name; a node that has that name already is detached. `name` is taken (NULL where the kind has none). */
void node_move_locked(struct mount *mount, struct node *node, struct node *parent, uint32_t number, char *name);
void node_hold_locked(struct node *node);
void node_drop_locked(struct mount *mount, struct node *node);		/* may free it */
void node_hold(struct mount *mount, struct node *node);
void node_drop(struct mount *mount, struct node *node);
void node_forget(struct mount *mount, struct node *node, uint64_t n);

/* One more answer that makes the kernel remember it. */
static inline void node_count_locked(struct node *node)
{
	node->lookups++;
	node->is_used = true;
	node->is_dropped = false;
}

/* ---- trim.c ---- */

int trim_start(struct mount *mount);
void trim_stop(struct mount *mount);
void trim_wake_locked(struct mount *mount);		/* there is one node more */

/* ---- attr.c: what stat shows ---- */

/* The current text of a node with content, and the times of the value it shows. */
struct content {
	int64_t event_ns, ingest_ns;
	uint64_t version;		/* of the snapshot */
	struct slice text;		/* in the buffer it was rendered to */
};

/* This thread's buffer, emptied. NULL without memory. One use at a time. */
struct buf *attr_buffer(void);
/* -ENOENT if there is no such thing, or not any more. */
int attr_render(const struct serve_view *view, const struct target *target, struct buf *buf, struct content *out);
/* Attributes of everything but scratch files; `content` for those that have it. -ENOENT. */
int attr_fill(struct mount *mount, const struct serve_view *view, const struct target *target, const struct content *content,
	      struct stat *out);
/* From a row at hand: of VALUE, BIN and ROW. */
int attr_render_row(const struct serve_view *view, const struct catalog_group *grp, const struct target *target,
		    const struct record *rec, struct buf *buf, struct content *out);
/* What attributes depend on beside the store. */
struct attr_frame {
	const struct mount_owners *owners;
	struct direct *lane;
	int64_t root_ns;		/* when groups last came, went or were renamed, as far as the catalog doesn't tell */
};

/* Without the trees of others. */
int attr_fill_plain(const struct attr_frame *frame, const struct serve_view *view, const struct target *target,
		    const struct content *content, struct stat *out);
/* The attributes of a node with content, whatever its size and times. */
int attr_fill_content(struct mount *mount, const struct target *target, uint64_t size, int64_t event_ns, int64_t ingest_ns,
		      struct stat *out);
uint64_t attr_number(enum node_kind kind, uint32_t group_id, uint32_t number, struct slice entity);
struct timespec attr_time(int64_t ns);
int64_t attr_ns(const struct timespec *time);
/* Shows it as the owners want it. */
void attr_own(const struct mount_owners *owners, struct stat *st, mode_t type, mode_t mode, uid_t uid, gid_t gid);
/* Notes what an answer to the thread tells of the node. true: older answers are to be voided before it is given. */
bool attr_tell_locked(struct node *node, const struct content *content, pid_t tid);
/* The same of an open, which shows a text and tells nothing. */
bool attr_show_locked(struct node *node, const struct content *content);
/* May a thread but this one be looking at what it was told just now? */
bool attr_is_watched_locked(const struct node *node, pid_t tid);
/* Makes the kernel forget the attributes and drop what is still under way. -ENOENT: it doesn't have the node, or not yet. */
int attr_void(struct mount *mount, struct node *node);
/* Attributes of any node, as `caller` (a thread) sees it. `out_timeout`: how long the kernel may keep them. */
int attr_get(struct mount *mount, struct node *node, pid_t caller, struct stat *out, double *out_timeout);
double attr_timeout(void);
/* The end of a job that changed attributes: replies with them as they are now. */
void attr_end_change(struct job *job, int rc);

/* ---- call.c: requests that may have to wait, and work that others finish ---- */

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

/* ---- look.c ---- */

/* What a name in a directory means, whether it is there or not. */
struct meaning {
	enum node_kind kind;
	uint32_t number;
	bool is_scratch_too;		/* an entity's name that tools use for scratch files as well */
};

/* 0; -ENOENT if the name has no meaning there; -ENAMETOOLONG. */
int look_mean(struct mount *mount, const struct serve_view *view, const struct target *dir, const char *name, struct meaning *out);
/* The whole of a LOOKUP, which is also the answer to MKDIR and MKNOD. On 0 the kernel's count is taken. */
int look_up(struct mount *mount, struct node *dir, const char *name, pid_t caller, struct fuse_entry_param *out);
void look_entry(struct mount *mount, const struct node *node, const struct stat *st, double timeout, struct fuse_entry_param *out);
void look_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void look_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void look_forget(fuse_req_t req, fuse_ino_t ino, uint64_t n);
void look_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *list);
int look_refuse_name(struct mount *mount, fuse_req_t req, const struct target *dir, const char *name);

/* ---- handle.c ---- */

enum handle_kind { HANDLE_SHOWN = 1, HANDLE_EDIT, HANDLE_SCRATCH, HANDLE_DIR, HANDLE_TREE, HANDLE_LOOKUP, HANDLE_IMPORT };

/* Every open file and directory begins with this. */
struct handle {
	enum handle_kind kind;
	struct node *node;		/* held */
	struct handle *next, **prev;	/* [L] in mount->open; an edit is in mount->edits instead */
};

/* Every open counts mount->handles up when its handle is complete; looking at that here orders the two for those who cannot see that
 * the kernel does. After the reply the handle may be gone: whoever still needs it holds it. */
static inline struct handle *handle_of(struct mount *mount, const struct fuse_file_info *fi)
{
	atomic_load_explicit(&mount->handles, memory_order_acquire);
	return (struct handle *)(uintptr_t)fi->fh;
}

void handle_list_locked(struct mount *mount, struct handle *handle);
void handle_unlist_locked(struct handle *handle);
/* A complete handle is open: holds its node, lists and counts it. */
void handle_begin(struct mount *mount, struct handle *handle);
/* The opposite; the caller frees it. */
void handle_end(struct mount *mount, struct handle *handle);
/* At the end of the mount: closes what the kernel has not. */
void handle_end_all(struct mount *mount);

/* ---- file.c ---- */

enum { SHOWN_INLINE = 200 };

/* What read handles show, shared by all that were opened on one node. Its bytes never change. */
struct shown {
	struct handle handle;
	unsigned refs;			/* [L] handles */
	bool is_nodes;			/* the node points to it */
	struct content content;		/* version [L]: the newest snapshot that this is known to be the content of */
	char *heap;			/* where it does not fit below */
	struct shown *next_free;
	char bytes[SHOWN_INLINE];
};

bool shown_is(const struct shown *shown, const struct content *content);
void shown_release(struct mount *mount);	/* the free list */
/* A handle on a file with content; on one that shows no size; on a row of a view. -ESTALE: writers have the node, look it up again. */
int shown_open(struct mount *mount, struct node *node, const struct target *target, pid_t tid, struct handle **out);
int shown_open_rendered(struct mount *mount, struct node *node, const struct target *target, struct handle **out);
int shown_open_join(struct mount *mount, struct node *node, const struct target *target, fuse_req_t req, struct handle **out);
void shown_read(struct mount *mount, struct shown *shown, fuse_req_t req, size_t size, off_t off);
void shown_drop(struct mount *mount, struct shown *shown);

/* ---- file.c ---- */

void file_set_info(struct fuse_file_info *fi, const struct handle *handle);
/* Replies if there is a `req`; NULL: the open never came about. */
void file_close_handle(struct mount *mount, struct handle *handle, fuse_req_t req);
void file_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void file_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void file_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off, struct fuse_file_info *fi);
void file_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void file_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void file_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void file_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi);

/* ---- entry.c ---- */

void entry_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi);
void entry_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev);
void entry_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);

/* ---- edit.c, edit_write.c: write handles ---- */

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

/* ---- scratch.c ---- */

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

/* ---- dir.c ---- */

struct listing;

/* A reply that is being filled. */
struct dir_reply {
	fuse_req_t req;
	char *data;
	size_t size, len;
	bool is_plus;			/* in READDIRPLUS' format, with names only */
};

/* Each adds what stands behind `off`, as much as fits; dir_add is false if the entry doesn't. `listing` is the handle's. */
bool dir_add(struct dir_reply *reply, const char *name, mode_t type, uint64_t number, off_t off);
int dir_list_root(const struct serve_view *view, struct dir_reply *reply, uint64_t off);
int dir_list_views(const struct serve_view *view, struct dir_reply *reply, uint64_t off);
int dir_list_entity(const struct serve_view *view, const struct catalog_group *grp, const struct target *target, struct dir_reply *reply,
		    uint64_t off);
int dir_list_group(const struct serve_view *view, const struct catalog_group *grp, struct listing *listing, struct dir_reply *reply,
		   uint64_t off);
enum { DIR_FIRST = 3 };		/* offsets 0, 1, 2 are before ".", before ".." and before the first name */

void dir_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void dir_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void dir_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void dir_close(struct mount *mount, struct handle *handle);
void dir_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void dir_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
/* May an entity of the group be called that? Notes a refusal. */
int dir_check_entity(struct mount *mount, fuse_req_t req, const struct target *group, const char *name);
void dir_touch_root(struct mount *mount);	/* groups came, went or were renamed */

/* ---- join.c: views ---- */

enum join_form { JOIN_JSON, JOIN_F32 };

const char *join_form_name(unsigned form);		/* NULL past the last */
/* What a name in a view's directory, or in that of a form, means. -ENOENT. */
int join_mean(const struct catalog_group *grp, const struct target *dir, const char *name, struct meaning *out);
/* May the caller read the group? */
bool join_may_read(const struct mount_owners *owners, const struct catalog_group *grp, fuse_req_t req);
/* All groups of the view? -EACCES. */
int join_check_rights(const struct mount_owners *owners, const struct catalog *cat, const struct catalog_group *grp, fuse_req_t req);
/* A row of a view in one of its forms. Errors of serve_join_rows and serve_join_f32. */
int join_render(const struct serve_view *view, const struct catalog_group *grp, unsigned form, struct slice key, struct buf *out, struct why *why);
/* The same for a node; what is wrong with the view itself is noted in its .errors, and is -EINVAL. `req` may be NULL. */
int join_render_at(struct direct *lane, const struct serve_view *view, const struct target *target, fuse_req_t req, struct buf *out);

/* ---- lookup.c ---- */

int lookup_open(struct mount *mount, struct node *node, struct handle **out);
int lookup_write(struct handle *handle, struct slice bytes);
void lookup_read(struct mount *mount, struct handle *handle, fuse_req_t req, size_t size);	/* replies */
void lookup_close(struct mount *mount, struct handle *handle);
/* The answer to a list of names. Appends. -EFBIG, -EILSEQ, -ESTALE, -ENOTSUP. */
int lookup_answer(const struct serve_view *view, const struct catalog_group *grp, unsigned form, struct slice asked, struct buf *out,
		  struct why *why);

/* ---- move.c ---- */

void move_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t parent2, const char *name2, unsigned flags);

/* ---- session.c ---- */

void session_statfs(const struct direct *lane, struct statvfs *out);

/* ---- xattr.c ---- */

bool xattr_is_user(const char *name);

void xattr_get(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void xattr_list(fuse_req_t req, fuse_ino_t ino, size_t size);
void xattr_set(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags);
void xattr_remove(fuse_req_t req, fuse_ino_t ino, const char *name);
/* Appends an attribute's value, or all names if `name` is NULL. -ENODATA, -ENOENT. */
int xattr_print(const struct serve_view *view, const struct target *target, const char *name, struct buf *out);
void xattr_reply(fuse_req_t req, int rc, const struct buf *buf, size_t size);

/* ---- tree.c: what somebody else keeps, see mount.h ---- */

/* The tree of that name in .featurefs or in groups: its index, or -1. */
int tree_find(const struct mount *mount, bool in_groups, const char *name);
/* What `name` in a directory of a tree means. -ENOENT, -ENAMETOOLONG. */
int tree_mean(const struct mount *mount, const struct target *dir, const char *name, struct meaning *out);
/* Appends "/name" (or "name", at the tree's own directory) to the target's path. It fits: tree_mean has said so. */
void tree_descend(struct target *target, const char *name);
bool tree_is_writable(const struct mount *mount, const struct target *target);	/* by anybody */
int tree_attr(struct mount *mount, const struct target *target, struct stat *out);
int tree_list(struct mount *mount, const struct target *target, struct buf *out);
/* -EPERM where it can't be written. A handle reads or writes, not both. */
int tree_open(struct mount *mount, struct node *node, const struct target *target, bool is_writing, struct handle **out);
void tree_read(struct handle *handle, fuse_req_t req, size_t size, off_t off);
void tree_write(struct mount *mount, struct handle *handle, fuse_req_t req, struct slice bytes);
void tree_close(struct mount *mount, struct handle *handle);

/* ---- import.c: .import of a group ---- */

/* On nodes of .import, which tell where they are; 0 or -errno, unless they reply. */
int import_look_up(struct mount *mount, struct node *dir, const char *name, struct fuse_entry_param *out);
int import_attr(struct mount *mount, const struct node *node, struct stat *out);
int import_attr_root(struct mount *mount, uint32_t group_id, struct stat *out);		/* of .import itself */
int import_open(struct mount *mount, struct node *node, int flags, pid_t tid, struct handle **out);
/* The node comes held. */
int import_create(struct mount *mount, struct node *dir, const char *name, int flags, pid_t tid, struct node **out_node,
		  struct handle **out);
int import_make_file(struct mount *mount, struct node *dir, const char *name, pid_t tid);
void import_read(struct mount *mount, struct handle *handle, fuse_req_t req, size_t size, off_t off);	/* replies */
int import_write(struct handle *handle, struct slice bytes, off_t off, bool at_end);
void import_flush(struct mount *mount, struct handle *handle, pid_t tid);
int import_sync(struct handle *handle);
void import_close(struct mount *mount, struct handle *handle);
/* The end of the mount: only a file that its opener had closed is whole. */
void import_end(struct mount *mount, struct handle *handle);
/* `handle` may be NULL. */
int import_setattr(struct mount *mount, struct node *node, struct handle *handle, const struct stat *attr, int to_set);
int import_mkdir(struct mount *mount, struct node *dir, const char *name);
int import_remove(struct mount *mount, struct node *dir, const char *name, bool is_dir);
int import_rename(struct mount *mount, struct node *dir, const char *name, struct node *to_dir, const char *to_name, bool no_replace);
/* Opens a directory of real files (NULL: there are none), or lists the names of reports, each with a NUL. */
int import_open_dir(struct mount *mount, const struct node *node, DIR **out_dir, struct buf *out_names);
uint64_t import_number(const struct dirent *entry);
/* `name` NULL: lists. */
int import_get_attr(struct mount *mount, const struct node *node, const char *name, struct buf *out);
int import_set_attr(struct mount *mount, const struct node *node, const char *name, const struct slice *value);

/* ---- control.c: files that are rendered at each open and show no size ---- */

int control_render(struct mount *mount, const struct target *target, struct buf *out);
/* Without the trees of others. */
int control_render_plain(const struct direct *lane, const struct mount_control *controls, const struct target *target, struct buf *out);
int control_find(const struct mount_control *controls, const char *name);	/* index, or -1 */

#endif
