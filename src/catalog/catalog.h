/* SPDX-License-Identifier: MIT */
/*
 * What exists: groups, their features, types and attributes. A group and a catalog are immutable once published; a change makes a new
 * group, and a new catalog around it that shares all others. Both are counted; any thread may hold and read one. All of it lives
 * in the map (STORE_CATALOG, STORE_XATTR) and changes in ingest's commits.
 */
#ifndef CATALOG_CATALOG_H
#define CATALOG_CATALOG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/buf.h"
#include "base/slice.h"
#include "base/why.h"
#include "catalog/stats.h"
#include "catalog/type.h"
#include "store/store.h"

enum { CATALOG_FEATURES_MAX = 4096, CATALOG_KEYS_MAX = 16, CATALOG_XATTR_NAME_MAX = 255, CATALOG_XATTR_MAX = 65536 };

/* The pseudo-group that holds the mount's own mode, owner and attributes. It is in no list. */
#define CATALOG_ROOT_ID 0

struct catalog_feature {
	char *name;			/* with its version: "clicks_7d@v2" */
	uint16_t slot;			/* never reused in the group */
	struct type type;
	bool retired, not_null, nan;
	bool has_min, has_max, has_max_length;
	/* Bounds in the type's own kind: integers and timestamps (us) in .i, floats in .f; of each element of an array. */
	union { int64_t i; double f; } min, max;
	uint32_t max_length;		/* string, bytes: bytes; arrays: elements */
	char **enums;			/* string, integers: the allowed values as canonical text; NULL: any */
	unsigned n_enums;
	char *description;		/* NULL: none, as for all texts here */
	char *index;			/* "cosine", "l2", "ip" for float32[N]; NULL: none */
};

/* A [stream NAME] or [batch] section: kept, checked for form here and for meaning by its lane. */
struct catalog_section {
	char *name;			/* "stream clicks", "batch" */
	char **keys, **values;
	unsigned n_keys;
};

/* A column of a view. Ids and slots are never reused, so they go on meaning what was meant, whatever it is called later. */
struct catalog_column {
	char *name;			/* unique in the view */
	uint32_t group_id;
	uint16_t slot;
	uint16_t source;		/* its group, as an index of sources */
	char *group, *feature;		/* what they were called when the view was defined */
};

/* A group that a view reads, and how the view's key names the group's entities. */
struct catalog_source {
	uint32_t group_id;
	char *group;			/* as above */
	uint8_t parts[CATALOG_KEYS_MAX];	/* which parts of the view's key, in the order of the group's own */
	unsigned n_parts;
	bool is_said;			/* [keys] says so; else by the names of the parts */
};

struct catalog_view {
	struct catalog_column *columns;		/* in the declared order */
	unsigned n_columns;
	struct catalog_source *sources;		/* in order of their first column */
	unsigned n_sources;
};

/* A view is kept as a group without rows and features: its id, name, owners, keys and attributes are these. */
struct catalog_group {
	uint32_t id;			/* never reused */
	uint32_t rows;			/* the table of rows that holds its values */
	uint32_t overlay;		/* the table of rows that stands over it since a load was published; 0: none */
	int64_t overlay_ns;		/* when that was */
	char *name;
	uid_t uid;
	gid_t gid;
	mode_t mode;			/* permission bits, 07777 */
	int64_t created_ns, changed_ns;
	char *owner, *description, *source, *tags;
	int tier;			/* 0 (most urgent) to 4; -1: not said */
	int64_t ttl_ns;			/* 0: values don't expire */
	char **keys;			/* names of the parts of an entity's name; one at least ("entity") */
	unsigned n_keys;
	struct catalog_feature *features;	/* in order of slot */
	unsigned n_features;
	uint32_t next_slot;
	struct catalog_section *sections;	/* in order of definition */
	unsigned n_sections;
	struct catalog_view *view;	/* what a view lists; NULL: it is a group */
	/* private to the room: index by name, reference count */
	struct group_index *index;
	unsigned refs;
};

struct catalog_group *catalog_group_ref(const struct catalog_group *grp);
void catalog_group_unref(const struct catalog_group *grp);		/* NULL is fine */

/* The feature of that exact name, retired ones too; NULL. O(1). */
const struct catalog_feature *catalog_find_feature(const struct catalog_group *grp, struct slice name);
/* By slot; NULL. O(log features), O(1) where slots are dense. */
const struct catalog_feature *catalog_feature_at(const struct catalog_group *grp, uint16_t slot);

/* ---- definitions ---- */

/* What separates columns of text: comma, semicolon, tab or pipe, or one character that is neither letter, digit nor quote. -EINVAL. */
int catalog_delimiter_parse(struct slice text, char *out, struct why *why);

/* Reads a definition, the INI text of a .schema. `name` stands in errors. Ids, owner ids, mode and slots are not in it (zero; slots
 * in order of definition). -EINVAL with file, line and reason. The result is counted once for the caller. */
int catalog_group_parse(const char *name, struct slice text, struct catalog_group **out, struct why *why);
/* The canonical text; catalog_group_parse reads it back to the same group. Appends. */
int catalog_group_print(const struct catalog_group *grp, struct buf *out);
/* The definition `next` as successor of `now`: keeps identity and slots, gives new slots, refuses what would change data (a type that does
 * not widen, a feature left out, other parts of a composite key once there are rows: `has_rows`). A definition that names no owner keeps
 * the one that stands. -EINVAL, -EBUSY. */
int catalog_group_evolve(const struct catalog_group *now, const struct catalog_group *next, bool has_rows, int64_t now_ns,
			 struct catalog_group **out, struct why *why);
/* Stored form: the same text with a [store] section before it. */
int catalog_group_encode(const struct catalog_group *grp, struct buf *out);
int catalog_group_decode(struct slice bytes, struct catalog_group **out, struct why *why);

/* New groups that differ from `grp` in one thing. Each out is counted once for the caller. */
int catalog_group_make(uint32_t id, uint32_t rows, struct slice name, uid_t uid, gid_t gid, mode_t mode, const char *owner,
		       int64_t now_ns, struct catalog_group **out, struct why *why);
int catalog_group_on_tables(const struct catalog_group *grp, uint32_t rows, uint32_t overlay, int64_t overlay_ns, struct catalog_group **out);
int catalog_group_renamed(const struct catalog_group *grp, struct slice name, int64_t now_ns, struct catalog_group **out,
			  struct why *why);
int catalog_group_owned(const struct catalog_group *grp, mode_t mode, uid_t uid, gid_t gid, int64_t now_ns,
			struct catalog_group **out);

/* ---- views ---- */

struct catalog;

/* An empty view. Renaming, owning and attributes are those of groups, and so is the stored form. */
int catalog_view_make(uint32_t id, struct slice name, uid_t uid, gid_t gid, mode_t mode, const char *owner, int64_t now_ns,
		      struct catalog_group **out, struct why *why);
/*
 * Reads a view's .schema, as the successor of `now`:
 *
 *	[view]
 *	entity = user_id, item_id	the parts of its key; left out: those of its groups, in order of their first column
 *	owner = ranking			and the other attributes of groups, but for ttl
 *	[columns]
 *	clicks = user_stats/clicks_7d	columns in order; every one names a feature that is there and not retired
 *	[keys]
 *	item_stats = item_id		which parts name the entities of a group, where they are not found by the names of its own
 *
 * -EINVAL with file, line and reason.
 */
int catalog_view_define(const struct catalog *cat, const struct catalog_group *now, struct slice text, int64_t now_ns,
			struct catalog_group **out, struct why *why);
/* The canonical text, with groups and features as they are called now. Appends. */
int catalog_view_print(const struct catalog *cat, const struct catalog_group *grp, struct buf *out);
/* Can it be read? -ESTALE: a group is gone, a feature is retired, or the group's keys have another number of parts; the reason says which. */
int catalog_view_check(const struct catalog *cat, const struct catalog_group *grp, struct why *why);

/* ---- attributes: the catalog's own names among user.* ---- */

/* Is `name` ("user.owner", "user.ttl", ...) one that the catalog keeps itself? Others are kept as they are in STORE_XATTR. */
bool catalog_attr_is_known(struct slice name);
/* Appends the value; -ENODATA if it has none. */
int catalog_attr_get(const struct catalog_group *grp, struct slice name, struct buf *out);
/* A new group with the attribute set (value NULL: removed; user.entity goes back to "entity"). -EINVAL with the reason; -EBUSY for other
 * parts of a composite user.entity once there are rows;
 * -ENODATA when removing what is not there. */
int catalog_attr_set(const struct catalog_group *grp, struct slice name, const struct slice *value, bool has_rows, int64_t now_ns,
		     struct catalog_group **out, struct why *why);
/* Appends the names that have a value, each with its NUL, as listxattr(2) gives them. */
int catalog_attr_list(const struct catalog_group *grp, struct buf *out);

/* ---- the catalog ---- */

struct catalog {
	struct catalog_group **groups;	/* in order of names; neither the root nor views are among them */
	unsigned n_groups;
	struct catalog_group **views;	/* the same */
	unsigned n_views;
	struct catalog_group *root;
	/* private to the room */
	struct catalog_group **by_id;	/* both */
	unsigned refs;
};

/* Reads all of it from a snapshot. -EBADMSG with the group at fault. */
int catalog_load(struct store_snap *snap, struct catalog **out, struct why *why);
/* The name in STORE_META under which a commit that changes the catalog leaves its ingest time, as eight bytes, little-endian. */
#define CATALOG_VERSION_KEY "catalog_ns"
/* That number: snapshots of one store in which it is the same have the same catalog. So readers in other processes know
 * when to load it anew. 0 before the first change. -EBADMSG. */
int catalog_version(struct store_snap *snap, uint64_t *out);
/* One without any group. -ENOMEM. */
int catalog_empty(struct catalog **out);
struct catalog *catalog_ref(const struct catalog *cat);
void catalog_unref(const struct catalog *cat);			/* NULL is fine */
const struct catalog_group *catalog_find(const struct catalog *cat, struct slice name);		/* NULL */
const struct catalog_group *catalog_find_view(const struct catalog *cat, struct slice name);	/* NULL */
const struct catalog_group *catalog_find_id(const struct catalog *cat, uint32_t id);	/* a group or a view; NULL; the root for CATALOG_ROOT_ID */
/* A new catalog in which `grp` stands for the group (or view) of its id (or is added); without the group of that id. -ENOMEM;
 * -EEXIST if another one of its kind has the name. */
int catalog_with(const struct catalog *cat, const struct catalog_group *grp, struct catalog **out);
int catalog_without(const struct catalog *cat, uint32_t id, struct catalog **out);

/*
 * The current catalog. Readers need a catalog and a snapshot that belong together: catalog_current_get gives a catalog and a number;
 * take the snapshot, and if catalog_current_is gives false for the number, do both again. The publisher brackets the commit of a
 * changed catalog with _begin and _end; in between, _get waits (for one commit of the map at the most, never for a disk).
 */
struct catalog_current;
int catalog_current_new(struct catalog *takes, struct catalog_current **out);
void catalog_current_free(struct catalog_current *cur);
struct catalog *catalog_current_get(struct catalog_current *cur, uint64_t *out_number);	/* counted for the caller */
bool catalog_current_is(struct catalog_current *cur, uint64_t number);
/* Sleeps until it is another one than `number`, or `stop` is set (call _wake behind that), or `timeout_ms` are over. */
void catalog_current_wait(struct catalog_current *cur, uint64_t number, const _Atomic bool *stop, unsigned timeout_ms);
void catalog_current_wake(struct catalog_current *cur);
void catalog_publish_begin(struct catalog_current *cur);
void catalog_publish_end(struct catalog_current *cur, struct catalog *takes);	/* NULL: the commit failed, nothing changed */

#endif
