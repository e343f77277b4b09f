/* SPDX-License-Identifier: MIT */
/* What stands behind the kernel's node numbers. Private to mount. */
#ifndef MOUNT_NODE_H
#define MOUNT_NODE_H

#include <fuse_lowlevel.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/slice.h"
#include "base/text.h"
#include "mount/mount.h"
#include "mount/name.h"

struct mount;
struct scratch;
struct shown;

/* What a node stands for. */
enum node_kind {
	NODE_ROOT, NODE_CONTROL_DIR, NODE_CONTROL, NODE_VIEWS, NODE_VIEW, NODE_FORM, NODE_JOIN, NODE_LOOKUP,
	NODE_GROUP, NODE_SCHEMA, NODE_STATS, NODE_ERRORS, NODE_UPSERT, NODE_ENTITY,
	NODE_ROW, NODE_VALUE, NODE_BIN, NODE_SCRATCH, NODE_TREE_DIR, NODE_TREE_FILE,
	NODE_IMPORT, NODE_IMPORT_FILE, NODE_REPORTS, NODE_REPORT,
};

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

#endif
