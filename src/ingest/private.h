/* SPDX-License-Identifier: MIT */
/* What ingest's files share: a request as a list of changes, and the state of the commit that is being made. Private to ingest. */
#ifndef INGEST_PRIVATE_H
#define INGEST_PRIVATE_H

#include <pthread.h>
#include "ingest/ingest.h"
#include "ingest/merge.h"

enum { ROW_MAX = 4 << 20 };	/* bytes of a packed row */

enum change_kind {
	CHANGE_ROW, CHANGE_DELETE_ENTITY, CHANGE_MAKE_ENTITY, CHANGE_REMOVE_ENTITY, CHANGE_SWEEP, CHANGE_DROP_ROW,
	CHANGE_GROUP_MAKE, CHANGE_VIEW_MAKE, CHANGE_GROUP_DEFINE, CHANGE_GROUP_RENAME, CHANGE_GROUP_REMOVE, CHANGE_GROUP_OWN, CHANGE_GROUP_ATTR,
	CHANGE_FORGET_GROUP, CHANGE_SOURCE,
};

/* A stretch of the request's bytes. */
struct extent {
	size_t at, len;
};

struct change {
	enum change_kind kind;
	uint32_t group_id;		/* of DROP_ROW and FORGET_GROUP: the table of rows, the removed group */
	unsigned flags;			/* enum ingest_flag; of GROUP_ATTR: how; of GROUP_RENAME: may_replace_empty */
	uint64_t guard;
	unsigned line;			/* where the lane has it from; 0: it has no lines */
	uint64_t origin;
	struct extent name;		/* entity, group or attribute */
	struct extent data;		/* record, definition or attribute value */
	int64_t event_ns;		/* DELETE_ENTITY */
	bool removes;			/* GROUP_ATTR */
	mode_t mode;
	uid_t uid;
	gid_t gid;
};

/* A value of the row that is being built. */
struct row_cell {
	uint16_t slot;
	uint8_t state, type;
	struct extent value;
};

/* A change among others in the order of their names. */
struct sorted {
	uint64_t head;			/* the first bytes of the name, as a number that compares as they do */
	uint32_t change;
};

struct ingest_request {
	struct ingest_request *next;
	struct ingest *ingest;
	struct record_stamp stamp;	/* what all its stamps begin as */
	char who[64];
	struct buf changes;		/* array of struct change */
	struct buf bytes;		/* what their extents point into */
	struct buf order;		/* array of struct sorted; empty: as they were added */
	bool has_open_row;		/* values are being gathered for the last change */
	int64_t row_event_ns;
	struct buf row_cells;		/* array of struct row_cell */
	struct buf row_values;		/* what their extents point into */
	struct record_builder builder;
	int error;			/* a failed append; the request fails with it */
	unsigned line;			/* of the changes that are added next */
	struct extent position_key, position;
	bool has_position, is_row_by_row;
	const struct ingest_position_ops *position_ops;	/* NULL: none */
	void *position_arg;
	const void *series;		/* NULL: none */
	size_t taken, part;		/* rows that commits before have taken, and that this one takes */
	void (*row_done)(void *arg, size_t row, int rc, const struct why *why);
	ingest_done done;
	void *arg;
	struct ingest_result result;
	struct why why;
};

/* A group's counters while a commit changes them. */
struct touched_stats {
	uint32_t group_id;
	struct catalog_stats stats;
};

/* The commit that is being made. Only the leading thread touches it. */
struct commit {
	struct store_batch *batch;
	struct merge_clock clock;
	struct catalog *cat;		/* as the changes so far make it; counted */
	bool cat_changed;
	bool no_room;			/* only what gives space back may pass */
	bool refused_for_room;		/* the last -ENOSPC was this rule's, and nothing was touched */
	size_t n_parted;		/* requests in it that may be committed in parts: they share its time */
	struct buf stats;		/* array of struct touched_stats */
	struct buf changed;		/* array of struct ingest_changed, whose pointers are offsets into names and slots until the end */
	struct buf names, slots;
	struct record_builder delta, late;
	struct buf delta_bytes, late_bytes, row_bytes;
	struct buf touches;		/* array of struct touch: rows of groups that a load is at work on, as they were */
	struct buf touched_bytes;	/* what their extents point into */
};

/* A commit of its own: a step of a load, or of what loads leave behind. Taken between the rounds of the other lanes. */
struct work {
	struct work *next;
	/* Fills the commit; maybe twice. Nothing changed in the commit: nothing is committed, and it counts as success. */
	int (*apply)(struct ingest *ingest, struct work *work, struct why *why);
	/* Called by the leader behind the commit, or instead of it. */
	void (*done)(struct work *work, int rc, uint64_t seq, const struct why *why);
	bool syncs;			/* the commit is to be durable; else the next one that syncs makes it so */
	bool ends;			/* taken even while ingest stops */
};

struct ingest {
	struct store *store;
	struct catalog_current *cur;
	struct ingest_options options;
	struct reject_log *rejects;
	struct commit commit;			/* the leader's */
	int64_t last_ingest_ns;			/* the leader's */

	pthread_mutex_t lock;			/* protects what follows, up to the sweeper */
	pthread_cond_t wake;			/* to ingest's own thread */
	struct ingest_request *head, **tail;	/* the queue */
	uint64_t waiting;
	struct work *work, **work_tail;		/* the other queue */
	bool work_is_next;			/* the two queues take turns */
	bool leading, handed_over, stopping, has_stopped;
	struct ingest_request *pool;
	unsigned pooled;
	struct ingest_figures figures;
	int trouble;				/* 0, or the errno that the last commit failed with for lack of space or a failed log */
	int64_t trouble_ns;			/* monotonic: when that was */
	pthread_t thread;

	struct ingest_load *active;		/* the leader's: loads whose groups it watches */
	struct ingest_load *open;		/* all loads; under the lock of load.c, as `closing` */
	bool closing;

	pthread_mutex_t keep_lock;		/* protects what follows, up to its thread */
	pthread_cond_t keep_wake;
	bool keep_stop, keep_wanted;
	pthread_t keeper;

	pthread_mutex_t sweep_lock;		/* protects sweep_stop */
	pthread_cond_t sweep_wake;
	bool sweep_stop;
	pthread_t sweeper;

	pthread_mutex_t source_lock;		/* protects sources; held across the commit that makes a new one */
	struct buf sources;			/* array of struct { uint32_t number; char *text; } */
};

static inline struct slice extent_slice(const struct ingest_request *req, struct extent ext)
{
	return slice_of(req->bytes.data ? req->bytes.data + ext.at : "", ext.len);
}

static inline void key_of_number(uint32_t number, uint8_t out[4])
{
	out[0] = number >> 24;
	out[1] = number >> 16;
	out[2] = number >> 8;
	out[3] = number;
}

/* writer.c: takes the small requests that wait out of the queue, for the commit that is being filled. */
struct ingest_request *writer_take_joining(struct ingest *ingest);

/* commit.c; called by the leader. */
/* Makes one commit of the requests, or as few as there is room for; each has its result afterwards. */
void commit_round(struct ingest *ingest, struct ingest_request *list);
int commit_begin(struct ingest *ingest);
/* From the filled batch to a visible commit, or to none if nothing was filled in. Ends the batch whatever it returns. */
int commit_end(struct ingest *ingest, bool syncs, uint64_t *out_seq);
/* Before the first commit: the time of the last one, which every later one is behind. */
int commit_load_clock(struct ingest *ingest, struct store_snap *snap);
void commit_release(struct commit *commit);

/* apply.c; the item's pointers as in commit->changed. */
int commit_remember_changed(struct commit *commit, const struct ingest_changed *item);

/* work.c: takes the work and lets ingest's own thread lead it. -ESHUTDOWN: it was not taken. */
int work_submit(struct ingest *ingest, struct work *work);
/* The same, and waits for its end. */
int work_run(struct ingest *ingest, struct work *work, struct why *why);
/* Commits one; called by the leader. */
void work_lead(struct ingest *ingest, struct work *work);

/* load_touch.c: called by the leader for each row that changes, with the row as it was, and behind each commit that did so. */
int load_touch(struct ingest *ingest, uint32_t group_id, struct slice entity, struct slice row);
void load_committed(struct ingest *ingest, uint64_t seq);
/* The same, for loads that are still screening: before anybody can see the commit. */
void load_committing(struct ingest *ingest, uint64_t seq);

/* load_commit.c. Is the table of rows one that a load fills just now? */
bool load_is_filling(const struct ingest *ingest, uint32_t rows);

/* load.c: no load is at work any more when it returns. */
void load_stop(struct ingest *ingest);
/* A snapshot, and the catalog that belongs to it, counted. */
int load_view(struct ingest *ingest, struct store_snap **out_snap, const struct catalog **out_cat);
/* How many rows a group has. */
int load_standing_rows(struct store_snap *snap, uint32_t group_id, uint64_t *out);

/* keep.c */
int keep_start(struct ingest *ingest);
void keep_stop(struct ingest *ingest);
void keep_wake(struct ingest *ingest);
/* Folds a group's overlay, now. */
int keep_fold(struct ingest *ingest, uint32_t group_id);
/* A group's overlay: its table (0: there is none), when it was published, how many rows it has (counted up to one more than it may), and how many
 * it may have to be left where it is. */
struct overlay {
	uint32_t table;
	int64_t since_ns;
	uint64_t rows, rows_max;
};
int keep_look(struct ingest *ingest, uint32_t group_id, struct overlay *out);

/* source.c */
int sources_load(struct ingest *ingest, struct store_snap *snap);
void sources_release(struct ingest *ingest);

/* request.c */
int request_close_row(struct ingest_request *req);
int request_add(struct ingest_request *req, const struct change *change);
int request_bytes_add(struct ingest_request *req, struct slice bytes, struct extent *out);
void request_destroy(struct ingest_request *req);

/* apply.c: one change of rows, on the commit's batch. -ENOSPC and -ENOMEM spoil the batch unless a savepoint is open. */
int apply_row_change(struct ingest *ingest, struct ingest_request *req, const struct change *chg, struct ingest_result *result,
		     struct why *why);
struct catalog_stats *commit_stats(struct commit *commit, uint32_t group_id, int *rc);
/* What a row counts for in its group's counters. */
struct row_weight {
	int64_t entities, rows, bytes;
};
struct row_weight row_weigh(struct slice row, struct slice entity);
int fail_no_room(struct commit *commit, struct why *why);
int say_no_room(struct why *why);

/* apply_group.c: one change of the catalog. */
int apply_group_change(struct ingest *ingest, struct ingest_request *req, const struct change *chg, struct ingest_result *result,
		       struct why *why);

/* Puts `grp` into map and catalog; consumes the caller's count of it. */
int apply_put_group(struct commit *commit, struct catalog_group *grp);
/* Takes the next number of a counter in the map. */
int apply_next_number(struct commit *commit, const char *counter, uint32_t *out);
/* Notes that nobody reads a table of rows of the group, not yet or no more, or takes the note back. */
int apply_note_unused(struct commit *commit, uint32_t rows, uint32_t group_id);
int apply_drop_unused(struct commit *commit, uint32_t rows);
bool apply_is_unused(struct commit *commit, uint32_t rows);
#define UNUSED_PREFIX "unused."

/* sweep.c */
int sweep_start(struct ingest *ingest);
void sweep_stop(struct ingest *ingest);

#endif
