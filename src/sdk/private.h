/* SPDX-License-Identifier: MIT */
/*
 * What the files of the library share. A handle (struct featurefs) reads from a map that this process has open, or, where it may not,
 * through the mount. Locks: a handle's own, while it looks whether its store is still there; and sdk_lock, for a few
 * instructions and for opening a map, which guards every list and pointer below. Neither is held while values are read.
 */
#ifndef SDK_PRIVATE_H
#define SDK_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <featurefs.h>
#include <string.h>
#include "base/buf.h"
#include "base/file.h"
#include "base/mounts.h"
#include "base/why.h"
#include "catalog/catalog.h"
#include "serve/serve.h"
#include "store/store.h"

/* ---- error.c ---- */

/* Ends a call: keeps the reason for featurefs_error() if `rc` is negative (strerror's words if there is none), and returns `rc`. */
int sdk_return(int rc, const struct why *why);

/* ---- mounts.c ---- */

struct sdk_mount {
	char *dir, *source;		/* where it is mounted; its STORE. NULL: there is none */
	bool is_read_only;
};

/* The mount of a feature store that holds `path` (absolute, resolved). 0; -ENODEV: another file system does. */
int sdk_mount_of_path(const char *path, struct sdk_mount *out);
/* The mount at which this STORE can be written; one that can only be read if there is no other; -ENOENT. */
int sdk_mount_of_store(const char *store, struct sdk_mount *out);
void sdk_mount_release(struct sdk_mount *mount);
/* The same in a table that was read; what was found is taken out of it. */
int sdk_mounts_by_path(const struct mounts *mounts, const char *path, struct sdk_mount *out);
int sdk_mounts_by_store(const struct mounts *mounts, const char *store, struct sdk_mount *out);

/* ---- map.c: maps that this process has open, and snapshots of them ---- */

extern pthread_mutex_t sdk_lock;
extern _Atomic unsigned sdk_forks;	/* how often this process is a child's child */

enum { SDK_HOT = 16 };			/* places for what threads take and give back without a lock */

struct sdk_map {
	struct sdk_map *next;		/* this and what follows up to `hot`: guarded by sdk_lock */
	uint64_t device, inode;		/* of its file */
	struct store *store;		/* NULL: closed */
	unsigned handles;		/* that read from it now */
	unsigned kept;			/* handles that may still have its address */
	unsigned users;			/* leases, and one more until it is stale */
	struct catalog *cat;		/* the newest one that was loaded */
	uint64_t cat_version;
	struct sdk_lease *spare;
	unsigned n_spare;
	_Atomic(struct sdk_lease *) hot[SDK_HOT];
	_Atomic bool is_stale;		/* takes no new reads; the store is closed once the last one has ended */
	_Atomic bool is_abandoned;	/* of the process before a fork: LMDB may not be called for it any more */
};

/* A snapshot to read from, and the catalog that belongs to it. */
struct sdk_lease {
	struct sdk_lease *next;
	struct sdk_map *map;
	struct store_snap *snap;
	struct catalog *cat;
	uint64_t cat_version, txn;	/* the catalog is that of this version; and has been looked at for this snapshot */
	struct serve_view view;
};

/* The map of the store at `path`, open once in the process. -EAGAIN, also while the last one at that place is still being read. */
int sdk_map_get(const char *path, struct sdk_map **out, struct why *why);
/* Keeps it open for a moment; false if it is stale. */
bool sdk_map_hold(struct sdk_map *map);
void sdk_map_leave(struct sdk_map *map);
/* A handle reads from it no more; `is_bad`: nobody may. Called with sdk_lock held. */
void sdk_map_drop(struct sdk_map *map, bool is_bad);
/* A handle that has dropped it forgets its address. Called with sdk_lock held. */
void sdk_map_forget(struct sdk_map *map);
/* Begins to read at `now_ns`. -ESTALE: the map is stale, ask the handle for another one. */
int sdk_lease_begin(struct sdk_map *map, int64_t now_ns, struct sdk_lease **out, struct why *why);
void sdk_lease_end(struct sdk_lease *lease);
/* This thread's number, below SDK_HOT. */
unsigned sdk_thread_place(void);
/* Registers what a fork has to know of; once in the process. */
void sdk_fork_ready(void (*child)(void));

/* ---- handle.c ---- */

struct featurefs {
	struct featurefs *next;		/* of all handles: guarded by sdk_lock, as what follows up to `map` */
	unsigned flags;
	char *asked;			/* the mount point that it follows; NULL: it was opened by its STORE */
	char *store;			/* NULL: not known */
	struct sdk_mount mount;
	struct buf kept;		/* struct sdk_map * that it ever read from */
	struct why reason;		/* why it has no map */
	struct featurefs_place shown;
	char *shown_store, *shown_mount;
	_Atomic(struct sdk_map *) map;	/* NULL: reads go through the mount */
	_Atomic int64_t checked_ns;	/* when it was last seen that this still holds */
	pthread_mutex_t lock;		/* of who looks; guards what follows */
	int table;			/* /proc/self/mountinfo, which can be asked whether it has changed; -1 */
	unsigned forks;			/* as sdk_forks was when `table` was opened */
	int64_t tried_ns;		/* when the map was last tried to be opened in vain */
};

enum { SDK_BY_MOUNT = 1 };		/* returned where reads go through the mount */

/* Begins a read: 0 with a lease, SDK_BY_MOUNT, or a negative errno. */
int sdk_begin(struct featurefs *fs, struct sdk_lease **out, struct why *why);
/* The same by a clock that is some milliseconds behind at times, but costs next to nothing: the caller sets the time by which TTL is judged. */
int sdk_begin_untimed(struct featurefs *fs, struct sdk_lease **out, struct why *why);
/* Where the mount is, for writing and for reading through it: appends its path. -ENOTCONN. */
int sdk_mount_dir(struct featurefs *fs, struct buf *out, struct why *why);
/* The catalog as it is now, from the map or through the mount; counted for the caller. */
int sdk_catalog(struct featurefs *fs, struct catalog **out, struct why *why);
/* The group; -ENOENT with the reason. */
int sdk_find_group(const struct catalog *cat, const char *name, const struct catalog_group **out, struct why *why);

/* Why it is not in the catalog: -ENOENT, or through the mount another errno, for there it shows only what this user may read. */
int sdk_no_group(struct featurefs *fs, struct slice name, struct why *why);

/* ---- view.c ---- */

/* One group with one list of keys. */
struct view_part {
	char *group;
	unsigned *keys, n_keys;		/* which of the view's keys make the entity's name */
	bool is_named;			/* they were written behind the group; else they are the names of the group's parts */
	unsigned *columns, n_columns;	/* the view's */
};

struct view_column {
	struct featurefs_field field;
	char *name, *group, *feature;
	char *longer;			/* its name where two would have the same: "group/feature", "group(key)/feature" */
	char type_name[TYPE_NAME_MAX];
	struct type type;
};

/* A part as one catalog has it. */
struct plan_part {
	const struct catalog_group *grp;
	uint16_t *slots;		/* ascending */
	unsigned *columns;		/* of the view, in the order of slots */
};

/* What one call needs beside its lease; kept for the next one. */
struct view_reader {
	struct view_reader *next;
	struct catalog *cat;		/* what the plan is made from; NULL: there is none yet */
	struct plan_part *parts;
	bool has_ttl;			/* one of the groups has */
	struct read_scratch *scratch;
};

struct featurefs_view {
	struct featurefs *fs;
	char **keys;
	unsigned n_keys;
	struct view_column *columns;
	unsigned n_columns;
	struct view_part *parts;
	unsigned n_parts;
	struct view_reader *spare;	/* guarded by sdk_lock */
	_Atomic(struct view_reader *) hot[SDK_HOT];
};

/* A reader whose plan fits the catalog. -ESTALE, -ENOENT with the reason. */
int view_reader_begin(struct featurefs_view *view, struct catalog *cat, struct view_reader **out, struct why *why);
void view_reader_end(struct featurefs_view *view, struct view_reader *reader);
/* Is the group still such that the part's columns can be read? */
int view_check_part(const struct featurefs_view *view, const struct view_part *part, const struct catalog_group *grp, struct why *why);

/* ---- read.c ---- */

struct read_scratch;
int read_scratch_new(const struct featurefs_view *view, struct read_scratch **out);
void read_scratch_free(struct read_scratch *scratch);
int sdk_read(struct featurefs_view *view, const struct featurefs_keys *keys, size_t n_keys, size_t n, struct featurefs_column *columns,
	     struct why *why);

/* ---- column.c: values into the caller's memory ---- */

/* A column of a reader: what its type says, and the caller's while a call fills it. */
struct column_sink {
	const struct view_column *column;	/* this and what follows up to `out`: settled once */
	size_t own_width;		/* bytes of a value of the type; 0: lengths vary */
	size_t unit;			/* COLUMN_BYTES: offsets count these */
	uint8_t own_kind;
	uint8_t code;			/* of the type: stored bytes of another one are widened first */
	struct buf wide, text;		/* for widening; for JSON */
	struct featurefs_column *out;	/* this and what follows: of the call */
	char *values;			/* NULL: not wanted */
	size_t width, stride;		/* bytes */
	size_t used, present;		/* bytes; values */
	uint32_t lanes;			/* COLUMN_F32 and F64: elements of a value */
	uint8_t kind;			/* enum column_kind */
};

enum column_kind { COLUMN_1, COLUMN_4, COLUMN_8, COLUMN_WIDE, COLUMN_F32, COLUMN_F64, COLUMN_BYTES, COLUMN_JSON };

size_t column_width(const struct type *type);	/* 0: lengths vary */
void column_init(struct column_sink *sink, const struct view_column *column);
void column_release(struct column_sink *sink);
/* Takes the caller's column for n values. -EINVAL. */
int column_begin(struct column_sink *sink, struct featurefs_column *out, size_t n, struct why *why);
void column_restart(struct column_sink *sink, size_t n);	/* as before the first value */
/* Value i; `state` is enum featurefs_status. -EBADMSG, -ENOMEM. */
int column_put_any(struct column_sink *sink, size_t i, const struct record_picked *value);
int column_end(struct column_sink *sink);		/* -ENOBUFS */

/* The most frequent case in line: a value that is there, as it is stored, of a width that a register has. */
static inline int column_put(struct column_sink *sink, size_t i, const struct record_picked *value)
{
	char *to;

	if (__builtin_expect(value->state != FEATUREFS_PRESENT || sink->kind > COLUMN_8 || value->type != sink->code ||
			     value->value.len != sink->width || !sink->values, 0))
		return column_put_any(sink, i, value);
	to = sink->values + i * sink->stride;
	if (sink->kind == COLUMN_8)
		memcpy(to, value->value.data, 8);
	else if (sink->kind == COLUMN_4)
		memcpy(to, value->value.data, 4);
	else
		memcpy(to, value->value.data, 1);
	sink->present++;
	if (sink->out->status)
		sink->out->status[i] = FEATUREFS_PRESENT;
	if (sink->out->event_ns)
		sink->out->event_ns[i] = value->event_ns;
	if (sink->out->validity)
		sink->out->validity[i / 8] |= (uint8_t)(1u << (i % 8));
	return 0;
}

/* ---- keys.c ---- */

/* The name of entity i of a part, in `room` or where the caller has it; empty if there can be no such entity. */
enum { KEYS_ROOM = 512 };
struct slice keys_entity(const struct view_part *part, unsigned view_keys, const struct featurefs_keys *keys, size_t n_keys, size_t i,
			 char room[KEYS_ROOM]);
int keys_check(const struct featurefs_view *view, const struct featurefs_keys *keys, size_t n_keys, size_t n, struct why *why);

/* ---- remote.c: the same through the mount ---- */

struct yyjson_doc;
struct yyjson_val;

/* What can't be a name must not become a path. */
bool remote_is_entity(struct slice name);
int remote_open_group(struct featurefs *fs, const char *group, int *out, struct why *why);
int remote_parse_schema(int dir, const char *group, struct catalog_group **out, struct why *why);
/* Reads and parses an entity's .row in its group's directory; *out stays NULL if there is no such entity. */
int remote_read_row(int dir, struct slice entity, struct buf *text, struct yyjson_doc **out);

/* Several files of one moment: begin, read them, end; and all of that again while the end says so. */
struct remote_moment {
	struct featurefs *fs;
	bool is_one_file;		/* which is of one moment by itself */
	uint64_t seq;
	unsigned tries;
};
int remote_moment_begin(struct remote_moment *moment, struct why *why);
/* 0: all was of one moment; 1: once more; or an errno. */
int remote_moment_end(struct remote_moment *moment, struct why *why);

int remote_catalog(const char *mount, struct catalog **out, struct why *why);
int remote_schema(struct featurefs *fs, const char *group, struct catalog_group **out, struct why *why);
int remote_row(struct featurefs *fs, const char *group, const char *entity, struct buf *out, struct why *why);
int remote_rows(struct featurefs *fs, const char *const *groups, size_t n, int (*each)(void *arg, const struct featurefs_row *row), void *arg,
		struct why *why);
int remote_entities(struct featurefs *fs, const char *group, const char *prefix, const char *after, size_t limit, struct buf *out,
		    size_t *out_n, struct why *why);
int remote_file(struct featurefs *fs, const char *group, const char *name, struct buf *out, struct why *why);
int remote_stats(struct featurefs *fs, const char *group, struct featurefs_stats *out, struct why *why);
int remote_version(struct featurefs *fs, uint64_t *out, struct why *why);

/* remote_values.c */
int remote_values(struct featurefs *fs, const char *group, const char *entity,
		  int (*each)(void *arg, const struct featurefs_value *value), void *arg, struct why *why);

/* ---- lookup.c ---- */

/* One conversation with a .lookup: begin, names (those of other groups behind theirs), ask; then as many rows, in that order. */
struct sdk_lookup {
	struct buf asked, answer;
	size_t at;			/* of the answer: what was taken */
};

enum { SDK_NO_LOOKUP = 2 };		/* returned where the mount has none for this user */

void sdk_lookup_begin(struct sdk_lookup *look, bool wants_details);
void sdk_lookup_group(struct sdk_lookup *look, const char *group);
/* False if that can be no name, which is not asked for then. */
bool sdk_lookup_name(struct sdk_lookup *look, struct slice entity, unsigned n_keys);
/* Asks in the directory of the group that the first names are of. SDK_NO_LOOKUP; -EFBIG: too much at once; -EACCES. */
int sdk_lookup_ask(struct sdk_lookup *look, int group);
/* The next row, which must be this entity's; the caller frees. -EBADMSG. */
int sdk_lookup_next(struct sdk_lookup *look, struct slice entity, struct yyjson_doc **out);
void sdk_lookup_release(struct sdk_lookup *look);
/* Of such a row: a value, and what is known of it; NULL if there is none. */
struct yyjson_val *sdk_row_value(struct yyjson_doc *row, const char *feature);
struct yyjson_val *sdk_row_detail(struct yyjson_doc *row, const char *feature, const char *name);
int64_t sdk_row_time(struct yyjson_doc *row, const char *feature, const char *name);		/* 0: none */

int remote_read(struct featurefs_view *view, const struct featurefs_keys *keys, size_t n_keys, size_t n, struct column_sink *sinks,
		struct why *why);

/* ---- text.c ---- */

/* Turns a buffer into the caller's text. */
int sdk_text_give(struct featurefs_text *text, struct buf *from);
void sdk_text_take(struct featurefs_text *text, struct buf *out);
/* The value behind "name: " in "key: value" lines; false if there is none. */
bool sdk_line_find(struct slice text, const char *name, struct slice *out);

#endif
