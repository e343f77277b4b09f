/* SPDX-License-Identifier: MIT */
/* What the files of this room share: the store itself, and the calls between them. */
#ifndef STORE_ENV_H
#define STORE_ENV_H

#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include "store/changelog.h"
#include "store/slots.h"
#include "store/store.h"

enum {
	ENV_BOOT_MAX = 64,
	ENV_SNAPS_MAX = 1000,
	ENV_READERS_MAX = 1100,		/* snapshots of this process, its pins, and readers in other processes */
	ENV_PAGE_MAX = 65536,
	ENV_PIN_NONE = 2,
};

/* Names in STORE_META that begin with this are the store's own. */
#define ENV_OWN_NAMES "store."
#define ENV_SEQ_NAME "store.seq"	/* u64: the newest commit that is in the map */

/* Where the tree of rows begins in a snapshot: see tree.c. */
struct tree {
	uint64_t txnid;			/* of which this is known */
	unsigned moves;			/* and since when the map is at this address */
	bool is_known, is_usable;
	unsigned depth;
	const uint8_t *base;		/* of the map in memory */
	uint64_t pages;			/* of it */
	uint64_t root;			/* number of a page */
};

struct store_snap {
	struct store *store;
	MDB_txn *txn;
	struct tree tree;
	struct store_snap *next;	/* in the list of free ones */
};

/* A mark in a batch, to which it can be rolled back. */
struct batch_mark {
	size_t record_len;
	size_t ops[STORE_TABLES + 1];	/* changes of each table; the last: of the rows */
	size_t value_pages;		/* pages of values that have their own, at the most */
};

struct store_batch {
	struct store *store;
	MDB_txn *txn;			/* NULL: no batch is open */
	struct buf record;		/* room for the log's header, then the changes */
	struct buf row;
	struct batch_mark now, saved;
	bool has_saved;
	bool touched;			/* a change was tried since `saved` */
	bool logged;
	bool no_append;			/* rows that are set now are not behind all others */
	bool postpones_sync;
	int broken;			/* 0, or why map and record may differ: fit for rollback and abort only */
};

/* The content of the file `checkpoint`. */
struct checkpoint {
	uint64_t store_id;
	uint64_t txnid;			/* the map's transaction that it is a snapshot of */
	struct log_position pos;	/* behind the commits that are in it */
	size_t page_bytes;
	struct buf metas;		/* the map's first two pages */
};

struct store_follower {
	struct store *store;
	struct store_follower *next;
	char *name;
	struct slots place;
	uint64_t acked;			/* guarded by the store's trim_lock */
	bool attached;			/* the same */
	_Atomic bool dropped;
	uint64_t from_seq;		/* of the follower's thread, as the reader: the first one that it wants */
	struct log_reader reader;
};

struct store {
	char *path;
	int dir_fd, lock_fd;
	bool is_reader;
	struct store_options options;
	uint64_t id;
	char boot[ENV_BOOT_MAX];
	bool no_pin;			/* a test wants to see what becomes of a map without the pin */
	bool after_power_loss;
	uint64_t replayed;
	_Atomic int failed;		/* 0, or the -errno that stopped writes */

	MDB_env *env;
	int data_fd;			/* LMDB's own: an error of writing back is told to whoever syncs this one */
	size_t page_bytes;
	MDB_dbi tables[STORE_TABLES], rows;

	pthread_mutex_t snap_lock;
	struct store_snap *free_snaps;	/* guarded by snap_lock, as the next two */
	unsigned n_free_snaps, n_snaps;
	pthread_cond_t resized;		/* of a reader, with snap_lock, as the next two */
	_Atomic unsigned active;	/* snapshots that see something */
	_Atomic bool resizing;		/* none may begin just now */
	_Atomic unsigned moves;		/* how often the map was mapped anew */

	struct changelog log;
	struct store_batch batch;

	pthread_mutex_t commit_lock;	/* held while a commit changes the map's meta pages */
	struct log_position committed;	/* guarded by commit_lock: the log's position behind the newest commit */
	_Atomic uint64_t last_seq, commits;

	/* Of whoever makes checkpoints: the opening thread, then the background thread, then the closing one. */
	struct slots state_file, checkpoint_file;
	MDB_txn *pins[2];
	unsigned pin;			/* the one that holds the newest checkpoint; ENV_PIN_NONE: none yet */
	struct checkpoint checkpoint;	/* the newest durable one */
	bool checkpoint_is_old;		/* the pinned snapshot is not that one */
	int64_t readers_checked_ns;
	bool was_failing;

	pthread_mutex_t readers_lock;
	struct store_readers readers;	/* guarded by readers_lock: as last seen */
	int64_t readers_since_ns;	/* the same: when the oldest one's snapshot was first seen; by the monotonic clock */
	uint64_t readers_txnid;		/* the same: that snapshot */

	/* Of the newest checkpoint: its number, its seq, the log written by then. */
	_Atomic uint64_t checkpoint_number, checkpoint_seq, checkpoint_bytes;
	_Atomic uint64_t checkpoint_pages;	/* pages of the map by then */
	_Atomic uint64_t checkpoints, checkpoint_failures;

	pthread_mutex_t work_lock;	/* guards what follows */
	pthread_cond_t work, done;
	bool has_thread, stop, hurry;
	uint64_t asked, made;		/* checkpoints that somebody waits for */
	int made_rc;
	pthread_t thread;

	pthread_mutex_t space_lock;
	uint64_t allocated;		/* guarded by space_lock: the disk has blocks for the map up to here */
	int64_t tight_ns, full_ns;	/* guarded by space_lock: when more of that, or else free pages, were last looked for in vain */
	_Atomic bool disk_is_tight;	/* the reserve can't be allocated whole */
	_Atomic bool disk_is_full, map_is_full;	/* ordinary writes should stop */
	unsigned commits_uncounted;	/* of the writer: since the free pages were last counted */
	MDB_txn *count_txn;		/* guarded by space_lock */

	/* Held while segments are let go of, or a follower takes its place; guards the list. */
	pthread_mutex_t trim_lock;
	struct store_follower *followers;
	bool may_trim;			/* the list is complete: guarded by trim_lock */
	pthread_mutex_t follow_lock;	/* for `news` alone */
	pthread_cond_t news;
	_Atomic unsigned waiting;
};

/* env.c */
int env_errno(int lmdb_code);
struct store *env_new(const char *path);
void env_free(struct store *store);		/* closes what is open; NULL is fine */
int env_open(struct store *store, uint64_t map_bytes, struct why *why);
void env_close(struct store *store);
/* The number of the map's newest commit, as a transaction sees it. */
int env_read_seq(struct store *store, MDB_txn *txn, uint64_t *out);
void env_notice(struct store *store, bool is_error, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void env_fail(struct store *store, const char *what, int rc);
static inline MDB_val env_val(struct slice bytes)
{
	return (MDB_val){ bytes.len, (void *)bytes.data };
}

/* change.c */
static inline bool change_has_table(const struct store_change *change)
{
	return change->kind == STORE_CHANGE_PUT || change->kind == STORE_CHANGE_DELETE;
}

/* Bytes that change_append adds, at the most. */
static inline size_t change_encoded_len(const struct store_change *change)
{
	return 1 + 4 + 4 + 4 + 4 + change->key.len + change->value.len;
}

void change_append(struct buf *out, const struct store_change *change);

/* batch_map.c */
struct key;
int batch_map_get(struct store_batch *batch, MDB_dbi dbi, struct slice key, struct slice *out);
int batch_map_put(struct store_batch *batch, MDB_dbi dbi, struct slice key, struct slice value);
/* Without bytes the row is removed; it need not be there. */
int batch_map_put_row(struct store_batch *batch, const struct key *key, struct slice row);
/* Counts what a change of one pair may cost in pages: see space.c. */
void batch_map_count(struct store_batch *batch, size_t table, size_t value_len);
int batch_map_apply(struct store_batch *batch, const struct store_change *change);
/* Encoded changes of the kind SET alone. */
int batch_map_apply_sets(struct store_batch *batch, struct slice sets);
/* A batch that takes changes from log records: replay. */
int batch_apply(struct store_batch *batch, struct slice payload);

/* batch.c */
int batch_put_seq(struct store_batch *batch, uint64_t seq);
/* Commits the map alone, without the log. */
int batch_commit_map(struct store_batch *batch, const struct log_position *position);
void batch_release(struct store_batch *batch);

/* checkpoint.c */
int checkpoint_read(struct store *store, bool is_writer, struct why *why);
int checkpoint_decode(struct slice bytes, struct checkpoint *out, struct why *why);
int checkpoint_create(int dir_fd, const struct checkpoint *checkpoint);
/* The meta pages of an open file of the map, and the transaction of the newer one. -EBADMSG. */
int checkpoint_read_metas(int fd, size_t page_bytes, struct buf *out, uint64_t *out_txnid);
/* Pins the current snapshot. Is it the one of the checkpoint that was read? */
int checkpoint_pin(struct store *store, bool *out_is_same);
/* Makes a new one, unless nothing changed since the last. */
int checkpoint_take(struct store *store);
/* Frees the pages that only the pin holds, without the thread. */
int checkpoint_make_room(struct store *store);
/* Syncs what the log has. */
int checkpoint_sync_log(struct store *store);
int checkpoint_start(struct store *store);
void checkpoint_stop(struct store *store);
void checkpoint_unpin(struct store *store);
/* Is a checkpoint due before its time? Cheap: asked at every commit. */
bool checkpoint_is_due(struct store *store);
void checkpoint_wake(struct store *store);

/* state.c */
enum state { STATE_OPEN = 1, STATE_CLEAN };
struct state_seen {
	enum state state;
	char boot[ENV_BOOT_MAX];
};

int state_create(int dir_fd, uint64_t store_id);
/* Opens the file and learns the store's number from it. */
int state_read(struct store *store, struct state_seen *out, struct why *why);
/* `boot` "" says that the map must be put back at the next start. */
int state_write(struct store *store, enum state state, const char *boot);
int state_read_boot(char out[ENV_BOOT_MAX], struct why *why);
/* Reads it once more, by its name, for a reader that has it open. */
int state_look(const struct store *store, struct state_seen *out, struct why *why);
bool state_is_whole(const struct store *store, const struct state_seen *seen);

/* create.c */
int create_directory(struct store *store, bool make, struct why *why);
int create_lock(struct store *store, struct why *why);
bool create_has_file(struct store *store, const char *name);
/* 1: empty, as far as a store cares; 0: not; -errno. */
int create_is_empty(struct store *store);
/* Making a store in an open directory: begin, put its map there and open it, finish. Until it is finished it counts for
 * nothing. */
int create_begin(struct store *store);
int create_finish(struct store *store, uint64_t seq, uint64_t segment_bytes, struct why *why);
int create_if_new(struct store *store, const struct store_options *options, struct why *why);

/* space.c */
/* Pages that a transaction's snapshot lists as free, to be used again once nobody sees them any more. */
int space_free_pages(MDB_txn *txn, uint64_t *out);
int space_open(struct store *store);
/* Room for the commit of this batch, on the disk and in the map. -ENOSPC. */
int space_ensure(struct store_batch *batch);
void space_committed(struct store *store);
/* Pages of the map, used or free; what it can have. `out_map_pages` may be NULL. */
uint64_t space_used_pages(struct store *store, uint64_t *out_map_pages);

/* reader.c */
/* Takes back what dead processes held in LMDB's table of readers, and looks who holds the oldest snapshot. */
void reader_check(struct store *store);
/* May a reader read? -EAGAIN, -EROFS. */
int reader_check_state(const struct store *store, const struct state_seen *seen, struct why *why);

/* follow.c */
int follow_open(struct store *store);
void follow_close(struct store *store);
/* Lets go of the log that neither recovery nor a follower needs. */
void follow_trim(struct store *store);
void follow_news(struct store *store);

#endif
