/* SPDX-License-Identifier: MIT */
/*
 * What the serving mount's files share. Private to mount.
 *
 * Four kinds of nodes; the kernel's node number is the struct's address, each begins with a struct snode:
 *
 *	sgroup		a group; the nodes of its entities are in its shards
 *	sentity		an entity's directory
 *	version		one version of a value, a .bin or a .row: its text never changes. At most one version of a name is its current one
 *	fresh		a file that is made when it is opened (.stats, .schema, ...): each lookup has one of its own
 *
 * What the kernel holds of a name that is about to change is found and forgotten by marks: see inval.c for the rule and its proof.
 *
 * Locks: a shard's lock guards what is marked [S], serving->lock what is marked [G]; it may be taken inside of a shard's. Neither is held while
 * anything is read, rendered, replied or notified.
 */
#ifndef MOUNT_SERVING_PRIVATE_H
#define MOUNT_SERVING_PRIVATE_H

#include "mount/attr.h"
#include "mount/control.h"
#include "mount/dir.h"
#include "mount/join.h"
#include "mount/look.h"
#include "mount/lookup.h"
#include "mount/private.h"
#include "mount/uring.h"
#include "mount/walker.h"
#include "mount/xattr.h"

enum {
	SERVING_SHARDS = 16,		/* of a group */
	SERVING_FORMS = 2,		/* of a view, as join.c has them */
	SERVING_GROUP_CHAINS = 256,
	SERVING_MARKS = 16384,		/* for entities, by hash: two that share one are only asked for once more than needed */
	SERVING_GROUP_MARKS = 1024,
	SERVING_ABSENT = 1024,
	SERVING_HASH_SHIFT = 60,	/* the hash's highest bits choose the shard, */
	SERVING_MARK_SHIFT = 40,	/* these the mark, the lowest ones the chain */
};

/* How long the kernel may keep what cannot expire, in seconds. */
#define SERVING_LONG 1e8

/* Counts up when what hangs on it begins to change; `changing` while it does. */
struct mark {
	atomic_uint changing, version;
};

/* Taken before something is read: tells afterwards whether it is still what was read. */
struct glance {
	struct mark *marks[2];
	unsigned versions[2];
	bool is_steady;
};

struct snode {
	uint64_t lookups;		/* [S], of groups and fresh files [G]: that the kernel has not forgotten */
	uint8_t kind;			/* enum node_kind */
	bool is_current;		/* [S] of a version */
	uint16_t slot;			/* of a value's version; of a form its number */
	uint32_t len;			/* of a version's text */
};

struct shard {
	pthread_mutex_t lock;
	struct sentity **chains;	/* [S] */
	struct version *detached;	/* [S] those that live on for who has them open */
	size_t n_chains, n_entities;	/* [S] */
};

/* A group or a view. */
struct sgroup {
	struct snode node;
	struct snode forms[SERVING_FORMS];	/* of a view: its directories; `slot` says which */
	struct sgroup *next;		/* [G] in its chain */
	uint32_t id;
	uint32_t refs;			/* [G] entities, fresh files, whoever works with it */
	atomic_size_t held;		/* entities and versions */
	atomic_size_t missed;		/* names that were asked for in vain: the kernel remembers those too */
	uint32_t absent[SERVING_FORMS];	/* [G] of a view: so many in its directories */
	bool is_decoy;			/* stands in for a group that is aside: a node of its own, of which the kernel keeps nothing */
	bool is_aside;			/* [G] its name leads to decoys: serving_aside.c */
	bool is_leaving;		/* of the thread that leads the commit: it loses its name */
	atomic_uint rights_changing;	/* nothing is kept of what its entities' directories show, for their mode and owner are about to change */
	atomic_uint rights_told;	/* so many of those have made the kernel forget what it kept */
	struct shard shards[SERVING_SHARDS];
};

struct sentity {
	struct snode node;
	struct sentity *next;		/* [S] in its chain */
	struct sgroup *grp;
	uint64_t hash;
	struct version **list;		/* [S] current versions, in order of their keys */
	uint32_t n, cap;		/* [S] */
	uint32_t refs;			/* [S] versions, current or not */
	uint16_t len;
	char name[];
};

struct version {
	struct snode node;
	struct sentity *entity;
	int64_t event_ns, ingest_ns;
	union {				/* [S] */
		struct {
			int64_t end_ns;	/* when it expires; INT64_MAX: never */
			uint32_t epoch;	/* the version of its group's mark when it was read */
		};
		struct {
			struct version *next, **prev;	/* of a detached one */
		};
	};
	char text[];
};

struct fresh {
	struct snode node;
	struct fresh *next, **prev;	/* [G] */
	struct sgroup *grp;		/* held; NULL in .featurefs */
	uint32_t number;		/* of a control; the form of a row and of a .lookup */
	char *text;			/* [G] NULL until it is rendered */
	size_t len;			/* [G] */
	int64_t made_ns;		/* of a row of a view */
	struct fresh *row_next, **row_prev;	/* [G] of such a row, if its name is listed in serving->rows; else NULL */
	uint16_t key_len;
	char key[];			/* of a row of a view */
};

/* A request that waits for the thread that renders what takes long. */
struct slow {
	struct slow *next;
	fuse_req_t req;
	struct fresh *fresh;
	bool is_read;			/* else GETATTR */
	size_t size;
	off_t off;
};

/* The names that a commit takes away from the kernel. Of the thread that leads the commit. */
struct forgetting {
	struct buf items;		/* array of struct forget_item */
	struct buf names;
	size_t n;
	bool is_all;			/* too many: everything is forgotten at once */
};

/* Names of views' rows that the kernel may hold, the oldest one first: serving_rows.c. */
struct rows {
	struct fresh *first, **last;	/* [G] */
	size_t n;			/* [G] */
	uint64_t absent[SERVING_ABSENT];	/* [G] hashes of names that were asked for in vain; 0: none */
	bool has_full;			/* [G] a directory with too many of those */
	pthread_t thread;
	pthread_cond_t wake;		/* with lock */
	bool has_thread, stops;		/* [G] */
	bool lacks_prune;		/* of the thread: the kernel does not know how to let go of nodes by their numbers */
};

struct serving_dir;

struct serving {
	struct serving_options options;	/* without its strings once it is mounted */
	struct direct *lane;
	struct channel channel;
	struct uring uring;
	atomic_bool is_open;		/* mounted: there is somebody to tell */
	atomic_bool is_over;		/* unmounted again: its nodes are freed with the next commit */
	unsigned n_rights;		/* [G] changes of rights that have begun; nodes stay until they are done */
	struct snode root, control_dir, views_dir;
	pthread_mutex_t lock;
	struct sgroup *groups[SERVING_GROUP_CHAINS];	/* [G] */
	struct fresh *fresh;		/* [G] all of them */
	struct rows rows;
	struct serving_dir *dirs;	/* [G] all that are open */
	struct mark root_mark, group_marks[SERVING_GROUP_MARKS], marks[SERVING_MARKS];
	atomic_int_fast64_t changed_ns;	/* when groups last came, went or were renamed */
	struct forgetting forgetting;
	struct buf aside;		/* array of struct sgroup *, held; of the thread that leads the commit */
	unsigned aside_turn;		/* so that each time has names of its own, for the last one's are out of date */
	struct walker *walker;
	bool has_tried, lacks_epoch;	/* the kernel does not know how to forget everything at once */
	atomic_bool is_broken;		/* it did not forget, and was unmounted */
	pthread_t slow_thread;
	pthread_cond_t slow_wake;	/* with lock */
	struct slow *slow_first, **slow_last;	/* [G] */
	bool has_slow, slow_stops;	/* [G] */
	bool slow_trims;		/* [G] there is memory to be given back */
	atomic_uint_fast64_t most_bytes;	/* of nodes, since memory was last given back */
	atomic_uint_fast64_t requests, lookups, reads, names_forgotten, wholes_forgotten, groups_set_aside, row_names, forgetting_ns;
	atomic_uint_fast64_t nodes, node_bytes;
};

/* How each request begins but a forget. */
static inline struct serving *serving_begin(fuse_req_t req)
{
	struct serving *serving = fuse_req_userdata(req);

	uring_note(&serving->uring, req);
	atomic_fetch_add_explicit(&serving->requests, 1, memory_order_acq_rel);
	return serving;
}

/* Before the answer to what has looked at a node or made one: behind it other threads may use it, or free it when the kernel forgets it. They are
 * handed it by the kernel, which orders that for the processor and not for the language. */
static inline void serving_end(struct serving *serving)
{
	atomic_fetch_add_explicit(&serving->requests, 0, memory_order_release);
}

/* ---- serving_node.c ---- */

static inline struct snode *snode_of(struct serving *serving, fuse_ino_t ino)
{
	/* Nodes are handed from thread to thread by way of the kernel; this orders what their makers wrote for all to see. */
	atomic_load_explicit(&serving->requests, memory_order_acquire);
	return ino == FUSE_ROOT_ID ? &serving->root : (struct snode *)(uintptr_t)ino;
}

static inline fuse_ino_t snode_ino(const struct serving *serving, const struct snode *node)
{
	return node == &serving->root ? FUSE_ROOT_ID : (fuse_ino_t)(uintptr_t)node;
}

/* A node with one lookup counted, whose other fields are the caller's to set; NULL. */
void *snode_alloc(struct serving *serving, size_t size, enum node_kind kind);
void snode_free(struct serving *serving, void *node, size_t size);
/* What a node stands for. */
void snode_target(const struct snode *node, struct target *out);
void snode_forget(struct serving *serving, struct snode *node, uint64_t n);
/* One lookup more, of ours: whoever replies with a node's own text holds it, for the kernel may forget it before that call has returned. */
void snode_hold(struct serving *serving, struct snode *node);

uint64_t sentity_hash(uint32_t group_id, struct slice entity);
struct mark *mark_of(struct serving *serving, uint64_t hash);
struct mark *group_mark_of(struct serving *serving, uint32_t group_id);
void glance_begin(struct mark *one, struct mark *other, struct glance *out);
bool glance_holds(const struct glance *glance);

/* Each finds or makes the node and counts a lookup of it. NULL without memory. `out_keeps`: what the glance's reader has seen still holds,
 * and whoever changes it from now on finds the node. */
struct sgroup *sgroup_look(struct serving *serving, uint32_t id, enum node_kind kind, const struct glance *glance, bool *out_keeps);
/* The node of a group that is aside, with a lookup counted; NULL if it isn't. */
struct sgroup *sgroup_look_aside(struct serving *serving, uint32_t id);
/* Of a decoy, or in one. */
bool snode_is_decoy(const struct snode *node);
/* The directory of a view's form. */
struct snode *sform_look(struct serving *serving, struct sgroup *grp, unsigned form, const struct glance *glance, bool *out_keeps);
struct sgroup *sform_view(const struct snode *form);
struct fresh *fresh_make(struct serving *serving, struct sgroup *grp, enum node_kind kind, uint32_t number, struct slice key);

/* A group that the kernel may know, held; NULL. */
struct sgroup *sgroup_find(struct serving *serving, uint32_t id);
void sgroup_hold(struct serving *serving, struct sgroup *grp);
void sgroup_drop(struct serving *serving, struct sgroup *grp);
/* How many names below it the kernel may know at most. */
static inline size_t sgroup_names(const struct sgroup *grp)
{
	return atomic_load_explicit(&grp->held, memory_order_relaxed) + atomic_load_explicit(&grp->missed, memory_order_relaxed);
}

void serving_nodes_free(struct serving *serving);

/* ---- serving_entity.c ---- */

/* The first and version_make as the lookups above. */
struct sentity *sentity_look(struct serving *serving, struct sgroup *grp, uint64_t hash, struct slice name, const struct glance *glance,
			     bool *out_keeps);
/* The current version of a name, with a lookup counted; NULL if there is none that the glance's reader may show. */
struct version *version_find(struct sentity *entity, enum node_kind kind, uint16_t slot, const struct glance *glance, int64_t now_ns,
			     int64_t *out_end_ns);
/* A version with that text and a lookup counted; the current one if it may be that. NULL without memory. */
struct version *version_make(struct serving *serving, struct sentity *entity, enum node_kind kind, uint16_t slot,
			     const struct content *content, int64_t end_ns, const struct glance *glance, bool *out_keeps);
struct shard *shard_of(struct sgroup *grp, uint64_t hash);
struct sentity *sentity_find_locked(struct shard *shard, uint64_t hash, struct slice name);
/* Takes a version that stands at `index` of its entity's list out of it. */
void version_detach_locked(struct shard *shard, struct sentity *entity, unsigned index);
/* The place of the first version whose key is not below that of kind and slot. */
unsigned version_place_locked(const struct sentity *entity, enum node_kind kind, uint16_t slot);
bool version_is(const struct version *version, enum node_kind kind, uint16_t slot);
/* Lookups less, or one more, of an entity or of one of its versions. */
void sentity_forget(struct serving *serving, struct sentity *entity, struct snode *node, uint64_t n);
void sentity_hold(struct sentity *entity, struct snode *node);
void shard_free(struct serving *serving, struct shard *shard);

/* ---- serving_look.c ---- */

void serving_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void serving_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void serving_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void serving_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void serving_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);
/* The file of a feature in an entity, from a row at hand. -ENOENT, -ENOMEM. */
int serving_value(struct serving *serving, const struct serve_view *view, const struct catalog_group *grp, struct sentity *entity,
		  const struct record *rec, enum node_kind kind, uint16_t slot, const struct glance *glance,
		  struct fuse_entry_param *out);

/* The attributes of what a target stands for; errors of attr_fill_plain. */
int serving_fill(struct serving *serving, const struct serve_view *view, const struct target *target, const struct content *content,
		 struct stat *out);
void serving_set_entry(const struct serving *serving, const struct snode *node, const struct stat *st, double entry_timeout,
		       double attr_timeout, struct fuse_entry_param *out);
/* A file that is made when it is opened: nothing of it is kept. Its size is known when it is first asked for. */
int serving_look_fresh(struct serving *serving, struct sgroup *grp, enum node_kind kind, uint32_t number, struct fuse_entry_param *out);
/* A group, or a view. */
int serving_look_group(struct serving *serving, struct slice name, enum node_kind kind, struct fuse_entry_param *out);

/* ---- serving_view.c: names in a view, and in one of its forms ---- */

int serving_look_in_view(struct serving *serving, struct sgroup *grp, const char *name, struct fuse_entry_param *out);
int serving_look_in_form(struct serving *serving, fuse_req_t req, const struct snode *form, const char *name, struct fuse_entry_param *out);

/* ---- serving_rows.c: the names of views' rows ---- */

/* A row that somebody has looked up. */
void rows_add(struct serving *serving, struct fresh *row);
/* A name under which there is none. */
void rows_add_absent(struct serving *serving, struct sgroup *view, unsigned form, struct slice key);
void rows_remove_locked(struct serving *serving, struct fresh *row);
void rows_init(struct serving *serving);
int rows_start(struct serving *serving);
void rows_stop(struct serving *serving);
void rows_release(struct serving *serving);

/* ---- serving_aside.c: large groups while everything is forgotten; the first three are the commit's ---- */

void aside_begin(struct serving *serving);
void aside_end(struct serving *serving);
/* When the commit can be seen. */
void aside_forget(struct serving *serving);
/* The name, in the root, of a group that is aside. */
int aside_look(struct serving *serving, const char *name, struct fuse_entry_param *out);

/* ---- serving_rights.c: what is kept of the directories of a group whose mode or owner changes ---- */

/* Has the kernel nothing of them, and gets nothing? */
bool rights_are_told(const struct sgroup *grp);
/* Tells it. -ENOMEM: not all of them. */
int rights_tell(struct serving *serving, struct sgroup *grp);
/* Unmounted, and nobody tells any more. */
bool rights_are_over(struct serving *serving);

/* ---- serving_batch.c ---- */

void serving_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned cmd, void *arg, struct fuse_file_info *fi, unsigned flags, const void *in,
		   size_t in_size, size_t out_size);

/* ---- serving_fresh.c ---- */

/* Its text, once and for all. */
int fresh_set_text(struct serving *serving, struct fresh *fresh, struct slice text);

/* Replies, maybe later. */
void fresh_getattr(struct serving *serving, fuse_req_t req, struct fresh *fresh);
void fresh_read(struct serving *serving, fuse_req_t req, struct fresh *fresh, size_t size, off_t off);
/* Behind forgets: once much has been freed, the thread that renders gives it back to the system. */
void fresh_give_back(struct serving *serving);
int fresh_start(struct serving *serving);
void fresh_stop(struct serving *serving);

/* ---- serving_dir.c ---- */

void serving_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void serving_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void serving_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
/* Those whose connection was cut off, so that nobody closes them. */
void serving_dirs_free(struct serving *serving);
void serving_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);

#endif
