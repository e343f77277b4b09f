/* SPDX-License-Identifier: MIT */
/*
 * The choke point: every change of every lane is a request here. A request is a list of changes that are applied all or none (or
 * row by row, where the lane says so), together with the lane's position. Ingest judges each change against the catalog and the order rule,
 * and commits what waits as one: fill the map's transaction, append to the log, one fdatasync, tell the listener, commit the map, tell
 * the listener, answer.
 *
 * One thread at a time leads a commit. A caller that finds nobody leading leads its own request (a write by one client needs no
 * second thread); what has queued up behind it meanwhile is committed by ingest's own thread. ingest_submit never waits for a commit that
 * another thread leads. A completion is called from the leading thread, holds no lock, and may submit.
 */
#ifndef INGEST_INGEST_H
#define INGEST_INGEST_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/buf.h"
#include "base/slice.h"
#include "base/why.h"
#include "catalog/catalog.h"
#include "ingest/load.h"
#include "ingest/reject.h"
#include "store/store.h"

struct ingest;
struct ingest_request;

/* An event time that was not given: ingest stamps max(now, what stands + 1 ns). */
#define INGEST_NOW INT64_MIN

/* One entity of one group that a commit changes; an empty entity: all of the group may have changed (a load was published). */
struct ingest_changed {
	uint32_t group_id;
	struct slice entity;
	const uint16_t *slots;	/* of the values that change; none where only the entity itself comes or goes */
	uint32_t n_slots;
	bool is_whole;		/* any of its values may change, whatever `slots` says */
	bool is_gone;		/* it exists no longer */
};

/* All that a commit changes. Everything in it lives for the call. */
struct ingest_news {
	const struct ingest_changed *list;
	size_t n;
	const struct catalog *was, *next;	/* NULL unless the catalog changes; a group that did not change is the same one in both */
};

struct ingest_options {
	int64_t future_ns;	/* event times further ahead of the clock are refused */
	int64_t tombstone_ns;	/* tombstones are kept this long */
	int64_t sweep_ns;	/* time between two sweeps; 0: none by itself */
	unsigned overlay_percent;	/* so many rows of a group may stay in an overlay, which is not folded then; see ingest/load.h */
	int64_t overlay_ns;	/* and so long, if no load follows; 0: not at all */
	/* Judges a group's definition, beyond the catalog's own rules, before it is taken: -EINVAL with the reason. NULL: there is nothing more to judge.
	 * Called inside of the commit. */
	int (*check_group)(const struct catalog_group *grp, struct why *why);
	/* Called in each commit that changes rows or the catalog, around the commit of the map; both may be NULL. Before the first call
	 * nobody sees anything new; between the two a reader may see the old or the new; both are told the same. The caller
	 * leads the commit, holds no lock, and does not answer the writers before both have returned. */
	void (*changing)(void *arg, const struct ingest_news *news);
	void (*changed)(void *arg, const struct ingest_news *news);
	void *listener_arg;
};

/* Both must outlive it. `cur` is published to. */
int ingest_start(struct store *store, struct catalog_current *cur, const struct ingest_options *options,
		 struct ingest **out, struct why *why);
/* Commits what waits, ends the threads. Nothing may be submitted any more. */
void ingest_stop(struct ingest *ingest);

struct ingest_result {
	int rc;			/* 0, or the -errno of the whole request */
	uint64_t seq;		/* of the commit */
	uint32_t group_id;	/* of the group that was made or defined */
	unsigned applied;	/* values written or deleted */
	unsigned late;		/* values that lost to a newer one */
	/* Of changes of rows: those of which something was applied (or nothing was there to be), all was late, and that were refused. Of a request in
	 * parts: those of one part. */
	unsigned rows_applied, rows_late, rows_refused;
	size_t rows_left;	/* that parts behind this one will take; 0: this is the last, or all */
	const struct why *why;	/* reason of rc, for the call */
};

typedef void (*ingest_done)(void *arg, const struct ingest_result *result);

/* ---- building a request ---- */

/* `lane`, `source` and `origin` become part of every stamp. `who` says where it comes from, in .errors ("uid 1000"); of the stream
 * lane it is the topic, and partition and offset follow it there. */
int ingest_request_new(struct ingest *ingest, enum record_lane lane, uint32_t source, uint64_t origin, const char *who,
		       struct ingest_request **out);
void ingest_request_free(struct ingest_request *req);		/* only one that was not submitted; NULL is fine */

enum ingest_flag {
	INGEST_FORCE = 1,	/* wins whatever its time */
	INGEST_GUARD = 2,	/* only if the row still has this fingerprint, else the request fails with -EAGAIN */
	INGEST_LATE_FAILS = 4,	/* an older time than what stands is -ESTALE instead of being counted as late */
};

/* The line, in the lane's input, of the changes that are added from here on: a refusal in .errors names it. */
void ingest_request_line(struct ingest_request *req, unsigned line);

/* The origin of what is added from here on, where not all of a request has the same: a message's partition << 48 | offset. */
void ingest_request_origin(struct ingest_request *req, uint64_t origin);

/* Values of one entity: call _row, then any number of values for it. `event_ns` is INGEST_NOW or a time. The value's bytes are the
 * stored bytes of the feature's type with their code; they are copied. A row without values makes the entity. */
int ingest_request_row(struct ingest_request *req, uint32_t group_id, struct slice entity, int64_t event_ns, unsigned flags,
		       uint64_t guard);
int ingest_request_value(struct ingest_request *req, uint16_t slot, uint8_t type_code, struct slice value);
int ingest_request_null(struct ingest_request *req, uint16_t slot);
int ingest_request_delete(struct ingest_request *req, uint16_t slot);		/* leaves a tombstone */
/* As _row and its values, but from a record whose cells keep their own stamps (a moved row, a restored one). */
int ingest_request_record(struct ingest_request *req, uint32_t group_id, struct slice entity, struct slice record, unsigned flags,
			  uint64_t guard);
/* The entity as a whole: its values, later ones of that time or before, and its existence. */
int ingest_request_delete_entity(struct ingest_request *req, uint32_t group_id, struct slice entity, int64_t event_ns,
				 unsigned flags, uint64_t guard);
int ingest_request_make_entity(struct ingest_request *req, uint32_t group_id, struct slice entity);	/* -EEXIST */
int ingest_request_remove_entity(struct ingest_request *req, uint32_t group_id, struct slice entity);	/* -ENOENT, -ENOTEMPTY */

/* Changes of the catalog. Names and texts are copied. Each fails the request: -EEXIST, -ENOENT, -ENOTEMPTY, -EINVAL with a reason. */
int ingest_request_group_make(struct ingest_request *req, struct slice name, uid_t uid, gid_t gid, mode_t mode, const char *owner);
/* A view; by its id, it is then defined, renamed, removed, owned and described as a group is. */
int ingest_request_view_make(struct ingest_request *req, struct slice name, uid_t uid, gid_t gid, mode_t mode, const char *owner);
int ingest_request_group_define(struct ingest_request *req, uint32_t group_id, struct slice text);
int ingest_request_group_rename(struct ingest_request *req, uint32_t group_id, struct slice name, bool may_replace_empty);
int ingest_request_group_remove(struct ingest_request *req, uint32_t group_id);
/* (mode_t)-1, (uid_t)-1, (gid_t)-1 leave as it is. */
int ingest_request_group_own(struct ingest_request *req, uint32_t group_id, mode_t mode, uid_t uid, gid_t gid);
/* `value` NULL removes. `how`: 0, XATTR_CREATE or XATTR_REPLACE. */
int ingest_request_group_attr(struct ingest_request *req, uint32_t group_id, struct slice name, const struct slice *value, int how);

/* The lane's position, stored in the same commit as the values. */
int ingest_request_position(struct ingest_request *req, struct slice lane_key, struct slice position);

/*
 * The same for a lane whose positions tell what came of its rows, or that must not go on where a request before it has failed. They are
 * called inside of the commit by the thread that leads it, and once more, `check` first, if the commit has to be tried again.
 * They must be quick: every writer waits for them.
 *
 * A request may also be committed in parts, so that others who write needn't wait for all of it: each part is a commit with all that is said
 * here, and what waits meanwhile goes into it. If a part fails, the request has failed, but the parts before it stand.
 */
struct ingest_positions;
struct ingest_position_ops {
	/* Before the first row. An error fails the request, and nothing of it is applied. */
	int (*check)(void *arg, struct ingest_positions *at);
	/* Behind the last row. Fails for lack of memory or space only. */
	int (*store)(void *arg, struct ingest_positions *at, const struct ingest_result *so_far);
	/* The rest is for parts, and NULL for who has none. How many rows may be committed now? */
	size_t (*part)(void *arg);
	/* This row is in the part, refused or not; not called where one commit takes all rows. */
	void (*row)(void *arg, size_t row);
	/* The part is committed and visible, and it is not the last one. */
	void (*parted)(void *arg);
};
void ingest_request_positions(struct ingest_request *req, const struct ingest_position_ops *ops, void *arg);
/* Requests of one series are committed one after the other, also where one of them is in parts. */
void ingest_request_series(struct ingest_request *req, const void *series);
/* As the commit has it so far. */
const struct catalog *ingest_positions_catalog(const struct ingest_positions *at);
int ingest_positions_get(struct ingest_positions *at, struct slice key, struct slice *out);	/* -ENOENT; borrowed for the moment */
int ingest_positions_put(struct ingest_positions *at, struct slice key, struct slice value);
int ingest_positions_delete(struct ingest_positions *at, struct slice key);			/* absent: -ENOENT */

/* Each row is applied or rejected by itself: `row_done` is called for every row that was refused, inside of the commit as above. */
void ingest_request_row_by_row(struct ingest_request *req,
			       void (*row_done)(void *arg, size_t row, int rc, const struct why *why));
/* Lets the rows be applied in the order of their entities' names, those of one entity as they were added: a large request meets the map's pages one
 * after the other then. `row_done` still tells them by the order in which they were added. All rows must be in it. */
void ingest_request_sort(struct ingest_request *req);
size_t ingest_request_bytes(const struct ingest_request *req);

/* ---- handing it over ---- */

/* Takes the request, whatever happens; `done` is called exactly once, maybe before this returns. */
void ingest_submit(struct ingest *ingest, struct ingest_request *req, ingest_done done, void *arg);
/* The same, but ingest's own thread leads the commit: for a lane that prepares its next request meanwhile. */
void ingest_submit_behind(struct ingest *ingest, struct ingest_request *req, ingest_done done, void *arg);
/* The same for a thread that may sleep. */
int ingest_run(struct ingest *ingest, struct ingest_request *req, struct ingest_result *out, struct why *why);

/* ---- judging early, and saying what was refused ---- */

/* The rules of a feature (min, max, enum, max_length, not_null) for one value; null if `value` is NULL. 0, -ERANGE, -EINVAL. The same check
 * that the commit makes, for those who can tell a writer at once. */
int ingest_check_value(const struct catalog_feature *feature, uint8_t type_code, const struct slice *value, struct why *why);
/* Is the event time too far ahead of the clock? -EINVAL with the reason. */
int ingest_check_time(const struct ingest *ingest, int64_t event_ns, struct why *why);
/* May anything be written just now? 0; -ENOSPC (map or disk full), -EIO (the log failed), with the reason. */
int ingest_check_store(struct ingest *ingest, struct why *why);

/* A row's fingerprint for INGEST_GUARD: of the bytes that store_get_row gave; of empty bytes for a row that is not there. */
uint64_t ingest_fingerprint(struct slice row);

/* The number of a source text (made on first use, in a commit of its own). One of that name keeps the parts that it came with first. */
int ingest_source(struct ingest *ingest, struct slice text, uint32_t *out);

/* The table of refusals; see reject.h. */
struct reject_log *ingest_rejects(struct ingest *ingest);

/* One sweep, now: expired values, old tombstones, retired features, rows of removed groups. Returns the number of values removed, or
 * a negative errno. For tests and for shutdown; the sweeper thread calls the same. */
long ingest_sweep(struct ingest *ingest);

struct ingest_figures {
	uint64_t commits, requests, changes;	/* since the start */
	uint64_t lane_requests[CATALOG_LANES];	/* handed over by each lane */
	uint64_t failed_requests;
	uint64_t waiting;			/* requests in the queue now */
	uint64_t swept;
	uint64_t commit_ns_total;		/* time in commits */
};
void ingest_figures(struct ingest *ingest, struct ingest_figures *out);

#endif
