/* SPDX-License-Identifier: MIT */
/*
 * libfeaturefs: reads a feature store in the caller's own process, and writes to it through its mount. See libfeaturefs(3).
 *
 * Every function that can fail returns 0 or a negative errno; featurefs_error() then says why in words, and what to do. Handles and
 * views are for any number of threads at once; what is said to be for one thread at a time is. What is freed must not be in use by another
 * call, and what a call was to fill means nothing after its failure. The library has no threads of its own, sets no signal handlers and
 * prints nothing. After a fork the child may go on with the same handles: it opens the store anew by itself.
 *
 * Names of entities are in their written form, as in paths and listings: "a%2Fb" for a/b, the parts of a composite key joined by ','.
 * Times are int64 nanoseconds since 1970 (event and ingest times); values of type timestamp are microseconds.
 */
#ifndef FEATUREFS_H
#define FEATUREFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct featurefs;		/* an open store */
struct featurefs_view;		/* a prepared list of features */
struct featurefs_catalog;	/* what exists, at one moment */
struct featurefs_changes;	/* what is to be written, as one */

/* The reason of the last call that failed in this thread, one line; "" if none did. Valid until the thread's next call that fails. */
const char *featurefs_error(void);
const char *featurefs_library_version(void);	/* "0.1.0" */

/* ---- opening ---- */

enum featurefs_open_flag {
	FEATUREFS_MAP_ONLY = 1,		/* fails where the map may not be read, rather than read through the mount */
	FEATUREFS_MOUNT_ONLY = 2,	/* never reads the map */
};

/*
 * `path` is a mount point (or any directory or file of the mount), or the STORE directory, mounted or not. Where the map may not be
 * read, the same calls read through the mount. -ENOENT: nothing there; -ENODEV: it is no feature store; -EACCES; -EAGAIN: the map awaits
 * recovery, start the daemon on it once; -EBADMSG: damaged, or of another format; -EPERM: FEATUREFS_MOUNT_ONLY, and it is not mounted.
 */
int featurefs_open(const char *path, unsigned flags, struct featurefs **out);
/* No call on it may be running, and its views, catalogs and changes must be gone. NULL is fine. */
void featurefs_close(struct featurefs *fs);

struct featurefs_place {
	const char *store;	/* NULL: not known */
	const char *mount;	/* the mount that is written through; NULL: the store is not mounted */
	bool is_mapped;		/* reads come from the map */
	const char *reason;	/* why not; "" if they do */
};
/* Borrowed until the handle's next call of this. */
int featurefs_where(struct featurefs *fs, struct featurefs_place *out);

/* ---- texts that the library fills ---- */

/* All zeros is an empty one. Calls that fill it replace what is there and keep the memory for the next; after one that failed it may be empty.
 * `data` ends in a NUL. For one thread at a time; the caller releases it. */
struct featurefs_text {
	char *data;
	size_t len;		/* without the NUL */
	size_t room;
};
void featurefs_text_release(struct featurefs_text *text);

/* ---- what exists ---- */

enum featurefs_type {
	FEATUREFS_BOOL = 1, FEATUREFS_INT32, FEATUREFS_INT64, FEATUREFS_FLOAT32, FEATUREFS_FLOAT64, FEATUREFS_STRING, FEATUREFS_BYTES,
	FEATUREFS_TIMESTAMP, FEATUREFS_JSON,
};

struct featurefs_feature {
	const char *name;
	const char *type_name;		/* "float32[384]" */
	enum featurefs_type type;	/* of an array: of its elements */
	bool is_array;
	uint32_t length;		/* of T[N]; 0: any */
	const char *description;	/* "" if there is none, as for all texts here */
	const char *index;
	bool not_null, is_retired;
};

struct featurefs_group {
	const char *name, *owner, *description, *source, *tags;
	int tier;			/* -1: not said */
	int64_t ttl_ns;			/* 0: values don't expire */
	size_t n_keys, n_features;	/* the parts of an entity's name; retired features are counted too */
};

/* The groups and features as they are now; doesn't change afterwards. For any number of threads. */
int featurefs_catalog_open(struct featurefs *fs, struct featurefs_catalog **out);
void featurefs_catalog_close(struct featurefs_catalog *cat);		/* NULL is fine */
size_t featurefs_catalog_size(const struct featurefs_catalog *cat);
/* Borrowed from the catalog. In order of names; NULL past the end, and where there is no group of that name. */
const struct featurefs_group *featurefs_catalog_group(const struct featurefs_catalog *cat, size_t i);
const struct featurefs_group *featurefs_catalog_find(const struct featurefs_catalog *cat, const char *name);
const char *featurefs_group_key(const struct featurefs_group *grp, size_t i);
const struct featurefs_feature *featurefs_group_feature(const struct featurefs_group *grp, size_t i);
/* The group's definition, as its .schema reads. -ENOENT. */
int featurefs_schema(struct featurefs *fs, const char *group, struct featurefs_text *out);

struct featurefs_stats {
	uint64_t entities, rows, row_bytes;
	uint64_t applied[3], late[3];	/* by lane: direct, stream, batch */
	uint64_t swept;
	int64_t newest_event_ns;	/* 0: nothing was ever written */
};
/* Counters, kept by the commits: O(1). -ENOENT. */
int featurefs_stats(struct featurefs *fs, const char *group, struct featurefs_stats *out);
/* The text of the group's .stats, for which all of the group is walked. -ENOENT. */
int featurefs_stats_text(struct featurefs *fs, const char *group, struct featurefs_text *out);

/* Names of entities that begin with `prefix` (NULL: all), in order of their bytes, behind `after` (NULL: from the first), `limit` at the
 * most (0: as many as there are), one a line. To go on, pass the last one as `after`. Each call is a snapshot of its own. `out_n`, how many
 * they are, may be NULL. -ENOENT: no such group. */
int featurefs_entities(struct featurefs *fs, const char *group, const char *prefix, const char *after, size_t limit,
		       struct featurefs_text *out, size_t *out_n);

/* ---- reading many: views ---- */

/*
 * Prepares a list of features, of one or several groups. Each is written
 *
 *	group/feature			a column named "feature"
 *	name=group/feature		a column of that name
 *	group(key,...)/feature		the group's entity is made of these keys of the view, in this order
 *	group/ *  (without the blank)	all features of the group that are not retired, in the order of its definition
 *
 * A view has keys. A group that is written without a list takes the names of the parts of its entities ("user_id"; "entity" where its
 * definition names none), and parts of one name are one key: the features of user_stats (user_id), item_stats (item_id) and affinity
 * (user_id, item_id) make a view with the two keys user_id and item_id, and each group is asked with its own parts of them.
 * Where two columns would have one name, both are named as they are written: "group/feature". -ENOENT: no such group or feature; -EINVAL; -ESTALE: a
 * feature is retired. The strings are copied.
 */
int featurefs_view_new(struct featurefs *fs, const char *const *features, size_t n, struct featurefs_view **out);
/* A view that the store has, in .views, by its name: its columns, in its order, with its keys. -ENOENT; -ESTALE: a feature of it is retired or a
 * group gone. */
int featurefs_view_open(struct featurefs *fs, const char *name, struct featurefs_view **out);
void featurefs_view_free(struct featurefs_view *view);		/* NULL is fine */
size_t featurefs_view_keys(const struct featurefs_view *view);
const char *featurefs_view_key(const struct featurefs_view *view, size_t i);
size_t featurefs_view_columns(const struct featurefs_view *view);

struct featurefs_field {
	const char *name, *group, *feature;
	const char *type_name;
	enum featurefs_type type;	/* of an array: of its elements */
	bool is_array;
	uint32_t length;		/* of T[N]; 0: any */
	size_t width;			/* bytes of one value in a column; 0: lengths vary */
};
/* Borrowed from the view, which keeps them as they were when it was made. NULL past the end. */
const struct featurefs_field *featurefs_view_field(const struct featurefs_view *view, size_t i);

struct featurefs_bytes {
	const char *data;
	size_t len;
};

enum featurefs_keys_flag {
	FEATUREFS_KEYS_RAW = 1,		/* the texts are single keys, not in written form: what has to be is escaped */
};

/* One key of n entities. Set one of the four forms, leave the rest zero. A text that is no name of an entity finds nothing. */
struct featurefs_keys {
	const char *const *strings;		/* n texts, each with its NUL */
	const struct featurefs_bytes *texts;	/* n texts */
	const int64_t *ints;			/* n numbers; their decimal text is the name */
	const char *data;			/* text i is data[offsets[i]] up to data[offsets[i + 1]] */
	const int64_t *offsets;			/* n + 1 */
	unsigned flags;				/* enum featurefs_keys_flag */
};

enum featurefs_status {
	FEATUREFS_PRESENT,
	FEATUREFS_NULL,			/* known to have no value */
	FEATUREFS_MISSING,		/* nobody has written one, or it was deleted */
	FEATUREFS_EXPIRED,		/* older than the group's ttl */
};

/*
 * Where the values of one column go: all memory is the caller's, for n values each. What is NULL is not wanted. Where a value is not
 * present, a fixed-width one is filled with zeros (floats: NaN), one whose length varies is empty.
 *
 * Fixed width: bool one byte; int32, float32 four; int64, float64, timestamp eight; T[N] its N elements. Lengths that vary: string, bytes
 * and json are their bytes; T[] its elements, one behind the other, with offsets that count elements; arrays of string, bytes and json
 * are the text of a JSON array. These need both values and offsets, or neither.
 */
struct featurefs_column {
	void *values;
	size_t values_room;		/* bytes at `values`, where lengths vary */
	size_t stride;			/* bytes from one fixed-width value to the next; 0: width. So columns can be those of a matrix */
	enum featurefs_type as;		/* FEATUREFS_FLOAT32 or _FLOAT64: numbers, bools, timestamps and T[N] of them as that; 0: as is */
	int64_t *offsets;		/* n + 1, where lengths vary */
	uint8_t *validity;		/* (n + 7) / 8 bytes, as Arrow has them: bit i is set if value i is present */
	uint8_t *status;		/* enum featurefs_status */
	int64_t *event_ns;		/* 0 where the value is missing */
	/* set by the call */
	size_t values_len;		/* bytes of the values, where lengths vary; after -ENOBUFS the room that is needed */
	size_t n_present;
};

/*
 * Reads n entities into columns, one for each of the view's, all from one snapshot. `keys` has as many as the view, or one of whole names
 * (parts joined by ','). An entity that is not there has only missing values. Nothing is allocated once the view was used with as many
 * entities before. -ENOBUFS: the values of a column don't fit, make it `values_len` bytes (of all columns, those that fit too) and call
 * again; -EINVAL: keys or columns are not as said here; -ESTALE: a feature's type has changed, make the view anew; -ENOENT, if a group or a
 * feature is gone; -EACCES: a group that may not be read; -EBADMSG: the store is damaged; -EAGAIN: the store is being recovered, or (through
 * a mount that this user may not write names of entities into, while others write values) no one moment was found.
 */
int featurefs_read(struct featurefs_view *view, const struct featurefs_keys *keys, size_t n_keys, size_t n,
		   struct featurefs_column *columns);
/* The same for one entity; `entity` is its whole name. */
int featurefs_read_one(struct featurefs_view *view, const char *entity, struct featurefs_column *columns);

/* The Arrow C data interface, as its specification has it. */
#ifndef ARROW_C_DATA_INTERFACE
#define ARROW_C_DATA_INTERFACE

#define ARROW_FLAG_DICTIONARY_ORDERED 1
#define ARROW_FLAG_NULLABLE 2
#define ARROW_FLAG_MAP_KEYS_SORTED 4

struct ArrowSchema {
	const char *format;
	const char *name;
	const char *metadata;
	int64_t flags;
	int64_t n_children;
	struct ArrowSchema **children;
	struct ArrowSchema *dictionary;
	void (*release)(struct ArrowSchema *);
	void *private_data;
};

struct ArrowArray {
	int64_t length;
	int64_t null_count;
	int64_t offset;
	int64_t n_buffers;
	int64_t n_children;
	const void **buffers;
	struct ArrowArray **children;
	struct ArrowArray *dictionary;
	void (*release)(struct ArrowArray *);
	void *private_data;
};

#endif

enum featurefs_arrow_flag {
	FEATUREFS_ARROW_EVENT_TIMES = 1,	/* a column "NAME.event_time" behind each, timestamps in nanoseconds */
	FEATUREFS_ARROW_STATUS = 2,		/* a column "NAME.status", uint8, behind each */
};

/* Reads n entities into a record batch: a struct array with a child for each column, which owns its memory and outlives all handles.
 * string and json are large_utf8, bytes large_binary, T[N] fixed_size_list, T[] large_list, timestamp[us, UTC]. The caller ends each of both
 * by its `release`. Errors as of featurefs_read, but for -ENOBUFS. */
int featurefs_read_arrow(struct featurefs_view *view, const struct featurefs_keys *keys, size_t n_keys, size_t n, unsigned flags,
			 struct ArrowSchema *out_schema, struct ArrowArray *out_array);
/* The schema alone. */
int featurefs_view_schema(const struct featurefs_view *view, unsigned flags, struct ArrowSchema *out_schema);

/* ---- reading with times and texts ---- */

struct featurefs_value {
	const char *feature;
	enum featurefs_status status;
	const char *text;		/* what its file holds; with text_len, for bytes may have NULs */
	size_t text_len;
	const char *json;
	size_t json_len;
	int64_t event_ns, ingest_ns;	/* 0 where it is missing */
	const char *lane, *source;	/* "direct", "uid 1000" */
};

/* Calls `each` for every feature of one entity that is not retired, in the order of the definition, all from one snapshot; what it is given
 * lives for its call. Something else than 0 from it ends the walk and is returned. -ENOENT: no such group, or no such entity; -ECANCELED, in a
 * child that was forked inside of `each`. */
int featurefs_values(struct featurefs *fs, const char *group, const char *entity,
		     int (*each)(void *arg, const struct featurefs_value *value), void *arg);
/* One JSON row with a final newline, as .row reads. -ENOENT. */
int featurefs_row(struct featurefs *fs, const char *group, const char *entity, struct featurefs_text *out);

struct featurefs_row {
	const char *group, *entity;
	const char *json;		/* one JSON row with a final newline */
	size_t json_len;
	uint64_t done, total;		/* rows so far, and about how many there will be */
};

/* Calls `each` for every row of the groups (n 0: of all groups), in order of names, all from one snapshot, which is held until it is
 * through: the store reuses no page meanwhile, and names this process in .featurefs/status if it takes long. Through the mount each row
 * is whole, but not all are of one moment; `total` is 0; and where not all groups may be read, -EACCES is returned behind the rows of the
 * others. For `each`, and errors, as of featurefs_values. */
int featurefs_rows(struct featurefs *fs, const char *const *groups, size_t n, int (*each)(void *arg, const struct featurefs_row *row),
		   void *arg);

/* ---- writing ---- */

#define FEATUREFS_NOW INT64_MIN		/* for an event time: the moment of the commit */

enum featurefs_change_flag {
	FEATUREFS_FORCE = 1,		/* wins whatever its event time is */
	FEATUREFS_RAW = 2,		/* the entity is one key part that is not in written form */
};

/* Gathers changes of one group, to be made all or none through the mount's .upsert: with its permissions, rules and bounds. For one thread
 * at a time. -ENOTCONN: the store is not mounted; -ENOENT: that can be no group. Whether there is one is asked at commit. */
int featurefs_changes_new(struct featurefs *fs, const char *group, struct featurefs_changes **out);
void featurefs_changes_free(struct featurefs_changes *chg);		/* NULL is fine; what was not committed is forgotten */
void featurefs_changes_clear(struct featurefs_changes *chg);
/* The calls below this one are for that entity, and -EINVAL without one; a call that fails adds nothing. -EILSEQ: a text is not UTF-8; -EFBIG:
 * the change grows beyond 16 MiB; commit smaller ones, or import a file. */
int featurefs_changes_entity(struct featurefs_changes *chg, const char *entity, int64_t event_ns, unsigned flags);
/* A value: `data` points to one of C's own type (bool, int32_t, int64_t, float, double, int64_t of microseconds), or to `n` bytes of
 * string, bytes, json. The store converts and judges at commit. */
int featurefs_changes_set(struct featurefs_changes *chg, const char *feature, enum featurefs_type type, const void *data, size_t n);
/* An array of n such elements, one behind the other; of strings, bytes and json `data` points to struct featurefs_bytes. */
int featurefs_changes_set_array(struct featurefs_changes *chg, const char *feature, enum featurefs_type type, const void *data,
				size_t n);
int featurefs_changes_null(struct featurefs_changes *chg, const char *feature);
int featurefs_changes_delete(struct featurefs_changes *chg, const char *feature);
int featurefs_changes_delete_entity(struct featurefs_changes *chg);
/* A whole row as JSON, with "entity" in it; for who has it in that form. */
int featurefs_changes_json(struct featurefs_changes *chg, const char *json, size_t len);
/*
 * Makes the changes, durable and visible to every reader when it returns 0, and empties the list. On failure nothing was changed and the list is
 * kept: -EINVAL, -ERANGE, -EILSEQ, -EPERM (no such feature), -ESTALE (older than what stands), -ENOENT (no such group), -EACCES, -ENOSPC,
 * -EROFS, -ENOTCONN, with the line of .errors as the reason where it may be read. But -EIO: the outcome is unknown, as the reason says, for the disk
 * failed or the mount ended before it answered. `out_version`, a commit that has them, may be NULL.
 */
int featurefs_changes_commit(struct featurefs_changes *chg, uint64_t *out_version);

/* ---- versions ---- */

/* The number of the newest commit that a read sees now. A commit's number, given to another process, says what to wait for. */
int featurefs_version(struct featurefs *fs, uint64_t *out);
/* Waits until reads through this handle see that commit. -ETIMEDOUT. `timeout_ms` -1: as long as it takes. */
int featurefs_wait(struct featurefs *fs, uint64_t version, int timeout_ms);

/* ---- many rows by one ioctl of the serving mount; no call of the library ---- */

/*
 * ioctl(fd, FEATUREFS_IOC_LOOKUP(SIZE), batch) asks an open .lookup of the serving mount, a group's or that of a view's json or f32 directory;
 * <sys/ioctl.h> has what the macro needs. `batch` points to SIZE bytes, at most FEATUREFS_BATCH_MAX. `names` bytes of names of entities
 * (keys of the view) stand in `bytes`, one a line, none empty. On 0 `names` is how many of them were answered, from the first on, and
 * `bytes` holds their rows, `answers` bytes of them, in the same order and all from one snapshot: JSON, a line each, or the view's float32
 * vectors. Where not all have room, ask again for the rest.
 * ERANGE: not even the first row has room; EINVAL: a name is empty, or the view can't be read (its .errors says why).
 */
struct featurefs_batch {
	uint32_t names, answers;
	char bytes[];
};

#define FEATUREFS_BATCH_MAX 16380	/* what the number of an ioctl can say, in whole words */
#define FEATUREFS_IOC_LOOKUP(size) _IOC(_IOC_READ | _IOC_WRITE, 'F', 0x61, size)

/* ---- names ---- */

/* Writes the written form of one raw key part and a NUL; returns its length, or -EINVAL, -EILSEQ, -ENAMETOOLONG. 255 bytes are the most. */
int featurefs_escape(const char *raw, size_t len, char out[256]);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
