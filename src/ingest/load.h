/* SPDX-License-Identifier: MIT */
/*
 * A load: millions of rows for one group that become visible all at once, or not at all.
 *
 * Rows may be screened first, in any order: most of those of a re-load change nothing, and go no further.
 * Complete rows, merged with what stands, go into a table of rows that nobody reads (the shadow), in small commits between those of the
 * other lanes. Publishing is one small commit that puts the shadow over the group's rows (its overlay), or in their place. Rows
 * that are equal to what stands are not written at all. What another lane changes meanwhile is judged once more before
 * publishing, so that the shadow is always what the load makes of the newest rows. Later the overlay is folded into the rows in the background.
 *
 * One thread at a time uses a load, but for what screens its rows; any number of loads run at once, one for each group. ingest_load_figures is for any thread.
 */
#ifndef INGEST_LOAD_H
#define INGEST_LOAD_H

#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/slice.h"
#include "base/why.h"

struct ingest;
struct ingest_load;

enum ingest_load_mode {
	INGEST_LOAD_MERGE,	/* newest event time wins, value by value */
	INGEST_LOAD_SNAPSHOT,	/* the same, and entities that are not in the load are deleted as of `as_of_ns` */
	INGEST_LOAD_OVERWRITE,	/* the load's values win whatever their time */
};

struct ingest_load_options {
	uint32_t group_id;
	enum ingest_load_mode mode;
	bool confirm_skip;		/* a value that is equal and newer: its stamp stays as it is */
	int64_t as_of_ns;		/* SNAPSHOT */
	struct slice source;		/* text for user.source, "<import id>:<file>", maybe with its parts (store/source.h) */
	struct slice position_key, position;	/* stored by the commit that publishes, so that a restart knows that it happened; may be empty */
	bool dry_run;			/* judges and counts, writes nothing */
	size_t screen_bytes;		/* memory for the names of rows that are screened; what finds no room there is given back */
	uint64_t rows_hint;		/* how many may be screened, roughly */
	/* Required. Gives the load's own row of an entity once more: appends the record. 0, -ENOENT, or an errno that ends the load. Called
	 * while ingest_load_row or ingest_load_publish runs, maybe from another thread than theirs, never from two at once. */
	int (*find)(void *arg, struct slice entity, struct buf *out);
	/* A row that the group's rules or the clock refuse (a time in the future, a value out of range): it is left out, the load goes on;
	 * the caller decides: a negative errno ends the load with it, unpublished. `origin` is that of its first stamp. Called like `find`.
	 * May be NULL. */
	int (*refused)(void *arg, struct slice entity, uint64_t origin, int rc, const struct why *why);
	/* Every row was judged, and none is visible yet: a negative errno ends the load with it. Called by ingest_load_publish. May be NULL. */
	int (*judged)(void *arg);
	void *arg;
};

struct ingest_load_figures {
	uint64_t rows;			/* given, or kept out */
	/* Values. Changed ones are written; confirmed ones were equal and newer; unchanged ones equal and not newer; late ones lost. */
	uint64_t changed, confirmed, unchanged, late;
	uint64_t refused;		/* rows */
	uint64_t repeated;		/* rows that were screened and kept out a second time: of the other figures none counts them */
	uint64_t deleted;		/* entities that SNAPSHOT took away */
};

/* -ENOENT: no such group; -EINVAL: no `find`, a time in the future; -EBUSY: another load of the group is open; -ENOSPC, -EIO. Options are
 * copied; slices live for the call. All values of the load get the moment of its first row (or of publishing) as their ingest time: they are stamped
 * when they are given, and when they will be published nobody knows then. */
int ingest_load_begin(struct ingest *ingest, const struct ingest_load_options *options, struct ingest_load **out, struct why *why);
/* Is screening of use: does anything stand, and may what is equal be passed over (not in SNAPSHOT)? */
bool ingest_load_screens(struct ingest_load *load);
struct ingest_row {
	struct slice entity, record;
};
/* Takes a row to be sorted, and given later on; its slices live for the call. 0, or an errno that ends the load. */
typedef int (*ingest_give)(void *arg, struct slice entity, struct slice record);
/* Screens some rows, and then others: it begins, looks them up, and takes what was found. Any number of them are on their way at once, by several
 * threads, each look beside all else; but one after another they begin, and in the same order they take. */
struct ingest_sieve;
struct ingest_sieve *ingest_sieve_new(void);
/* Ends it wherever it is. NULL is fine. */
void ingest_sieve_free(struct ingest_sieve *sieve);
/* Before the first row is given: rows in any order, records as below; they live until they are taken. An error ends the load, of these three. */
int ingest_sieve_begin(struct ingest_sieve *sieve, struct ingest_load *load, const struct ingest_row *rows, size_t n, struct why *why);
int ingest_sieve_look(struct ingest_sieve *sieve, struct why *why);
/* Those that are what stands, in values and in time, are counted as unchanged and kept out; all others come back by `give`, in their order; and so
 * does, in front of them, a row that was kept out before, if another lane has changed it or a later row of its entity is another one. Errors as of
 * ingest_load_row, and those of `give`. */
int ingest_sieve_take(struct ingest_sieve *sieve, ingest_give give, void *arg, struct why *why);
/* Rows in ascending order of the entity's bytes, each entity once (-EINVAL otherwise). `record` is packed as by store/record.h; its stamps carry event
 * time and origin, the rest is filled in; TOMB with no cells deletes the entity as of stamp 0. Copied. Blocks while commits catch up. An error ends
 * the load: only abort is left. -ESTALE: the group was removed or its definition changed meanwhile. -ESHUTDOWN: ingest was stopped. */
int ingest_load_row(struct ingest_load *load, struct slice entity, struct slice record, struct why *why);
/* Waits until the load is visible and durable (0), or has failed: then nothing of it was applied. */
int ingest_load_publish(struct ingest_load *load, struct why *why);
/* Ends it, published or not: frees it. NULL is fine. */
void ingest_load_abort(struct ingest_load *load);
/* Exact once it is published. */
void ingest_load_figures(struct ingest_load *load, struct ingest_load_figures *out);

#endif
