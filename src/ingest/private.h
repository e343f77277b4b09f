/* SPDX-License-Identifier: MIT */
/* What ingest's files share: a request as a list of changes, and the state of the commit that is being made. Private to ingest. */
#ifndef INGEST_PRIVATE_H
#define INGEST_PRIVATE_H

#include <pthread.h>
#include "ingest/ingest.h"
#include "ingest/merge.h"

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

struct ingest_request {
	struct ingest_request *next;
	struct ingest *ingest;
	struct record_stamp stamp;	/* what all its stamps begin as */
	char who[64];
	struct buf changes;		/* array of struct change */
	struct buf bytes;		/* what their extents point into */
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
	struct buf stats;		/* array of struct touched_stats */
	struct buf changed;		/* array of struct ingest_changed, whose pointers are offsets into names and slots until the end */
	struct buf names, slots;
	struct record_builder delta, late;
	struct buf delta_bytes, late_bytes, row_bytes;
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
	bool leading, handed_over, stopping;
	struct ingest_request *pool;
	unsigned pooled;
	struct ingest_figures figures;
	int trouble;				/* 0, or the errno that the last commit failed with for lack of space or a failed log */
	pthread_t thread;

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

/* request.c */
int request_close_row(struct ingest_request *req);
int request_add(struct ingest_request *req, const struct change *change);
int request_bytes_add(struct ingest_request *req, struct slice bytes, struct extent *out);
void request_destroy(struct ingest_request *req);

/* apply.c: one change of rows, on the commit's batch. -ENOSPC and -ENOMEM spoil the batch unless a savepoint is open. */
int apply_row_change(struct ingest *ingest, struct ingest_request *req, const struct change *chg, struct ingest_result *result,
		     struct why *why);
struct catalog_stats *commit_stats(struct commit *commit, uint32_t group_id, int *rc);

/* apply_group.c: one change of the catalog. */
int apply_group_change(struct ingest *ingest, struct ingest_request *req, const struct change *chg, struct ingest_result *result,
		       struct why *why);

/* sweep.c */
int sweep_start(struct ingest *ingest);
void sweep_stop(struct ingest *ingest);

#endif
