/* SPDX-License-Identifier: MIT */
/*
 * The store: bytes on LMDB behind a change log; the only user of lmdb.h. A directory holds
 *
 *	data.mdb, lock.mdb	the map, LMDB as everybody knows it
 *	log/			segments of the change log
 *	followers/		how far each follower of the log is
 *	checkpoint		saved meta pages of the map and the log position they belong to
 *	state			whether the map is whole, for readers in other processes (see store_open_reader)
 *	lock			flock of the one process that writes
 *
 * A batch fills one write transaction and, with every call, the log record of the same change, so that map and log
 * can't disagree; replay after a crash runs the same code on the log's records. One batch at a time, from one thread at
 * a time. Snapshots are for any thread.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/slice.h"
#include "base/why.h"
#include "store/record.h"
#include "store/source.h"

struct store;
struct store_snap;
struct store_batch;
struct store_follower;

enum { STORE_FORMAT = 1 };	/* of everything in the directory; another number is refused */

/* Tables of plain keys and values beside the rows. Keys are 1 to 511 bytes. */
enum store_table {
	STORE_META,		/* names to small values: clocks and counters. Names in "store." are this room's own: -EINVAL */
	STORE_CATALOG,		/* group id (be32) to its definition */
	STORE_XATTR,		/* group id (be32), attribute name: the team's own attributes */
	STORE_STATS,		/* group id (be32) to counters */
	STORE_POSITIONS,	/* lane position names to positions */
	STORE_SOURCES,		/* source number (be32) to its text, see source.h */
	STORE_TABLES,		/* number of plain tables */
};

struct store_options {
	uint64_t map_bytes;		/* the map's largest size */
	uint64_t segment_bytes;		/* of a log segment; at least 64 KiB */
	uint64_t log_bytes;		/* what slow followers may keep of the log before they are dropped */
	unsigned checkpoint_ms;		/* at most this long between checkpoints of a store that changes */
	uint64_t checkpoint_bytes;	/* or this much log */
	bool relaxed;			/* no fdatasync of the log at a commit */
	/* Says when something went wrong or right again in the background (a failed checkpoint, a dropped follower);
	 * may be NULL. */
	void (*notice)(void *arg, bool is_error, const char *text);
	void *notice_arg;
};

/* ---- opening ---- */

/* Creates the directory (0700) and the store on first use, else recovers: after a crash of the process, replays the log
 * behind the map; after a loss of power, puts the map back to the checkpoint first. Starts the checkpoint thread.
 * -EBUSY if another process has it open for writing (the reason names its pid), -EBADMSG if it is damaged or of another
 * format, -ENOTEMPTY if there is something else in the directory, -ENOSPC if a commit can't be replayed for lack of
 * room, or an errno of the system. Not before a fork: LMDB knows its process. */
int store_open(const char *path, const struct store_options *options, struct store **out, struct why *why);
/* Takes a last checkpoint, marks the map as closed cleanly, frees. No batch or snapshot may be open. 0, or a negative
 * errno if the last checkpoint failed (nothing is lost: the log has it). */
int store_close(struct store *store);
/* Opens the map for reading in another process than the daemon's (or without one). -EAGAIN with a reason if the map
 * awaits recovery: neither recovered in this boot nor closed cleanly. Only snapshots, store_copy, store_verify and
 * store_figures work on it. */
int store_open_reader(const char *path, struct store **out, struct why *why);

/* For a reader that stays: is what it has open still the store at that path, with a map that is whole? Costs a few
 * system calls. -ESTALE: another store stands there now; -EAGAIN: the map awaits recovery; -ENOENT, -EACCES and so on.
 * Then close it, and open it again when that succeeds. */
int store_check_reader(struct store *store, struct why *why);
/* The file that is the map: two stores are the same if both numbers are. LMDB may be open only once in a process. */
int store_file(const struct store *store, uint64_t *out_device, uint64_t *out_inode);
int store_file_at(const char *path, uint64_t *out_device, uint64_t *out_inode);

/* Who else reads the map. */
struct store_readers {
	unsigned snapshots;		/* held by other processes */
	long oldest_pid;		/* of the oldest of them; 0: there is none */
	uint64_t oldest_behind;		/* commits since that snapshot */
	int64_t oldest_held_ns;		/* for how long it has been held, to a second */
};
void store_readers(struct store *store, struct store_readers *out);

struct store_figures {
	uint64_t map_used_bytes;		/* without the free pages inside of the file */
	uint64_t map_free_bytes;		/* those */
	uint64_t map_bytes, page_bytes;
	uint64_t disk_free_bytes, disk_bytes;
	uint64_t last_seq;		/* of the newest commit */
	uint64_t checkpoint_seq;	/* of the newest checkpoint */
	uint64_t commits, log_bytes_written, log_segments, checkpoints;
	uint64_t checkpoint_failures;
	uint64_t replayed;		/* commits replayed when it was opened */
	bool after_power_loss;		/* the map was put back to a checkpoint when it was opened */
	int failed;			/* 0, or the errno that stopped writes until the next start */
};
void store_figures(struct store *store, struct store_figures *out);
/* An -EIO of LMDB's that no store has failed by, in its words: what it last said on this thread; told once. NULL: nothing. */
const char *store_surprise(void);
const char *store_path(const struct store *store);

/* ---- reading ---- */

/* A snapshot: all that was committed when it began and nothing later. Reuses a reader slot and memory of an earlier
 * one. Hold it briefly: pages that it can see are not reused. -ENOMEM, -EMFILE (too many at once: 1,000), -EIO; in a
 * reader -EAGAIN: the map has outgrown what is mapped, and other snapshots that are held for seconds keep it from being
 * mapped anew. */
int store_snap_begin(struct store *store, struct store_snap **out);
void store_snap_end(struct store_snap *snap);		/* NULL is fine */
/* For who begins many: a parked one sees nothing and holds no page, but keeps its place. Errors as of begin. */
void store_snap_park(struct store_snap *snap);
int store_snap_renew(struct store_snap *snap);
void store_snap_free(struct store_snap *snap);		/* one that is parked, or whose renewal failed; NULL is fine */
/* Counts up with every commit; equal numbers see the same. */
uint64_t store_snap_version(const struct store_snap *snap);
/* The newest commit that it sees: who seeds itself from it follows the log from the one behind. -EBADMSG. */
int store_snap_seq(struct store_snap *snap, uint64_t *out);

/* Values are borrowed from the map until the snapshot ends. -ENOENT. */
int store_get(struct store_snap *snap, enum store_table table, struct slice key, struct slice *out);
int store_get_row(struct store_snap *snap, uint32_t rows, struct slice entity, struct slice *out);
/* The same through an overlay: a table whose rows stand for those of `rows`; an empty one hides. 0: there is none. */
int store_get_row_over(struct store_snap *snap, uint32_t rows, uint32_t overlay, struct slice entity, struct slice *out);

/* Many rows at once, much faster than one by one where they are not in the processor's cache, and their memory is under
 * way when this returns. out[i] is empty where there is no row (NULL) or an empty one. */
int store_get_rows(struct store_snap *snap, uint32_t rows, const struct slice *entities, size_t n, struct slice *out);

/* Walks in order of keys. `prefix` bounds a plain table's walk. store_walk_rows begins behind `after` (empty: at the
 * first). */
struct store_walk;
int store_walk_begin(struct store_snap *snap, enum store_table table, struct slice prefix, struct store_walk **out);
int store_walk_rows(struct store_snap *snap, uint32_t rows, struct slice after, struct store_walk **out);
/* Through an overlay, as store_get_row_over. */
int store_walk_rows_over(struct store_snap *snap, uint32_t rows, uint32_t overlay, struct slice after,
			 struct store_walk **out);
/* 0 with borrowed key (without the prefix of its row table) and value, or -ENOENT at the end. */
int store_walk_next(struct store_walk *walk, struct slice *out_key, struct slice *out_value);
/* Walks of rows only: the first row that is at `entity` or behind it, and behind what was given out before. Fast where
 * the entities that are asked for ascend closely. */
int store_walk_seek(struct store_walk *walk, struct slice entity, struct slice *out_key, struct slice *out_value);
void store_walk_end(struct store_walk *walk);		/* before its snapshot ends; NULL is fine */
/* The lowest table of rows above `after` that has any row. -ENOENT: there is none. For verify, which must also find
 * rows that nobody owns. */
int store_rows_next(struct store_snap *snap, uint32_t after, uint32_t *out_rows);

/* ---- writing ---- */

/* Begins the one write transaction and an empty log record. -EIO if the store has failed, -ENOMEM. */
int store_batch_begin(struct store *store, struct store_batch **out);

/* Reads see what the batch has done so far; borrowed until its next change. -ENOENT. */
int store_batch_get(struct store_batch *batch, enum store_table table, struct slice key, struct slice *out);
int store_batch_get_row(struct store_batch *batch, uint32_t rows, struct slice entity, struct slice *out);
int store_batch_get_row_over(struct store_batch *batch, uint32_t rows, uint32_t overlay,
			     struct slice entity, struct slice *out);
/* Is there any row in the table? */
bool store_batch_has_rows(struct store_batch *batch, uint32_t rows);

/* Each changes the map and adds to the log record. -ENOSPC if the map is full (the batch is then fit only for rollback
 * or abort), -EFBIG, -ENOMEM. `rows` numbers a table of rows: a group's own, or a load's. */
int store_batch_put(struct store_batch *batch, enum store_table table, struct slice key, struct slice value);
int store_batch_delete(struct store_batch *batch, enum store_table table, struct slice key);	/* absent: -ENOENT, no change */
int store_batch_row(struct store_batch *batch, uint32_t rows, struct slice entity, struct slice delta);
/* The same for who has applied the delta already: `row` is what record_apply makes of what stands, not borrowed from the batch. */
int store_batch_row_as(struct store_batch *batch, uint32_t rows, struct slice entity, struct slice delta, struct slice row);
/* For loads. A set row replaces what stands outright; an empty one hides a row where the table is an overlay. `sets` is
 * any number of them, as store_set_append makes them: fast where they ascend and lie behind all other rows. */
int store_batch_set(struct store_batch *batch, uint32_t rows, struct slice entity, struct slice row);
int store_batch_sets(struct store_batch *batch, struct slice sets);
void store_set_append(struct buf *out, uint32_t rows, struct slice entity, struct slice row);
/* Moves the rows of `from` between two entities (both included; `first` empty: from the beginning) into another table,
 * where they replace what stands; an empty one takes away what stands. The log gets the bounds, not the rows. */
int store_batch_fold(struct store_batch *batch, uint32_t from, uint32_t into, struct slice first, struct slice last);
/* Takes away the rows of a table up to an entity. The same. */
int store_batch_clear(struct store_batch *batch, uint32_t rows, struct slice last);
/* Into the log only, for history: a record that lost, and a note (begin, publish, abort of a load). */
int store_batch_late(struct store_batch *batch, uint32_t rows, struct slice entity, struct slice record);
int store_batch_note(struct store_batch *batch, struct slice note);

/* A savepoint (one at a time): rollback undoes what came since, release keeps it. Single changes need none. A savepoint
 * costs nothing; a rollback does again what the batch had before it. */
int store_batch_save(struct store_batch *batch);
void store_batch_rollback(struct store_batch *batch);
int store_batch_release(struct store_batch *batch);

bool store_batch_is_empty(const struct store_batch *batch);
/* Bytes of log record so far: a bound on what a commit costs. */
size_t store_batch_bytes(const struct store_batch *batch);

/* The first half of a commit: makes sure the disk has room for the map's new pages, then appends the record to the log
 * and syncs it. On 0 the change is decided and will survive anything; `out_seq` numbers it. -ENOSPC: nothing was
 * promised, abort it (a retry may succeed: see store_make_room). -ENOMEM, -EMFILE: the same. -EIO: the log failed; its
 * outcome is unknown, the store takes no more batches. */
int store_batch_log(struct store_batch *batch, uint64_t *out_seq);
/* Lets store_batch_log return before the record is on the disk: for what no reader and no follower can tell from its
 * absence (rows of a load that is not published, a fold). The next commit without it syncs them all. A loss of power may
 * take such commits back, the newest first; a crash of the process does not. */
void store_batch_postpone_sync(struct store_batch *batch);
/* The second half: makes the change visible. Ends the batch whatever it returns. A failure behind a synced log is -EIO,
 * and the store takes no more batches until it was opened again. */
int store_batch_commit(struct store_batch *batch);
void store_batch_abort(struct store_batch *batch);	/* NULL is fine */

/* Frees pages that only the checkpoint's pin holds, by making a new checkpoint and waiting for it. Not with a batch
 * open. */
int store_make_room(struct store *store);
/* For whoever makes many commits that postpone their sync, behind each: has the next segment of the log at hand, and waits
 * until the disk has taken the log but for the last few MiB, so that nobody else's sync finds more. Any thread but one
 * that has a batch open. 0 or a negative errno, which will meet the next commit as well. */
int store_pace(struct store *store);
/* Would an ordinary write still fit, leaving the reserve that deletions need? Cheap: known from the last commits. */
bool store_has_room(struct store *store);

/* ---- the log, for followers ---- */

enum store_change_kind {
	STORE_CHANGE_ROW = 1, STORE_CHANGE_LATE, STORE_CHANGE_PUT, STORE_CHANGE_DELETE, STORE_CHANGE_NOTE, STORE_CHANGE_SET,
	STORE_CHANGE_FOLD, STORE_CHANGE_CLEAR,
};

struct store_change {
	enum store_change_kind kind;
	uint32_t rows;			/* ROW, LATE, SET, FOLD (from), CLEAR */
	uint32_t into;			/* FOLD */
	enum store_table table;		/* PUT, DELETE */
	struct slice key;		/* entity, or key; FOLD, CLEAR: the last entity */
	struct slice value;		/* delta, record, value, note, row; FOLD: the first entity */
};

/* Takes the next change off the front of a record's payload. 0, -ENOENT at the end, -EBADMSG. */
int store_change_next(struct slice *payload, struct store_change *out);

/* A follower reads committed records from `from_seq` on (0: behind what it acknowledged last; one that is new, the
 * oldest there is), at its own pace; the log behind its position is kept for it, across restarts, until it is released
 * or dropped for falling behind by more than log_bytes. One thread at a time for each. -ESTALE: the log no longer holds
 * `from_seq`, seed from a snapshot; -EEXIST: the name is in use. */
int store_follow(struct store *store, const char *name, uint64_t from_seq, struct store_follower **out, struct why *why);
/* The next record that is durable: its payload is valid until the next call. -EAGAIN: nothing new yet (wait with store_follow_wait);
 * -ESTALE: dropped. */
int store_follow_next(struct store_follower *follower, uint64_t *out_seq, struct slice *out_payload);
/* Sleeps until there is something new or `timeout_ms` are over. */
int store_follow_wait(struct store_follower *follower, unsigned timeout_ms);
/* Says that everything up to `seq` is done with; it survives a restart once this returned. */
int store_follow_ack(struct store_follower *follower, uint64_t seq);
void store_follow_end(struct store_follower *follower);		/* keeps its place */
int store_follow_release(struct store *store, const char *name);	/* forgets it */

/* ---- copies ---- */

/* Writes a consistent copy, itself a store closed cleanly, into the new or empty directory `path`; from a reader too.
 * `progress` may be NULL. */
int store_copy(struct store *store, const char *path, void (*progress)(void *arg, uint64_t done, uint64_t total), void *arg,
	       struct why *why);
/* Walks every table and every log record behind the checkpoint and checks what the store itself promises (records are
 * whole, keys well formed, sequence without a gap); calls `found` for each fault. Returns the number of faults or a
 * negative errno. */
int store_verify(struct store *store, void (*found)(void *arg, const char *fault), void *arg);

#endif
