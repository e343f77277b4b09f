/* SPDX-License-Identifier: MIT */
/*
 * What the files of a lane share. Private to stream.
 *
 * A lane has one thread, which owns all of it but what is marked [L]: that is guarded by lane->lock, which is held for a few instructions and
 * never across a call into another room or into librdkafka. Completions of commits come from other threads; they only
 * note the outcome and wake the lane.
 */
#ifndef STREAM_PRIVATE_H
#define STREAM_PRIVATE_H

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include "base/clock.h"
#include "stream/freshness.h"
#include "stream/stream.h"

#define STREAM_MS (CLOCK_SECOND / 1000)

enum {
	BATCHES = 3,			/* one that is filled, and two that wait for their commits */
	BATCH_ROWS = 30000,		/* messages of a batch at the most */
	BATCH_BYTES = 16 << 20,		/* a batch is closed when it has this many */
	AHEAD_MAX = 128 << 10,		/* offsets that a batch in parts may span: a bit for each is stored with each part */
};

/* ---- what a section says about its lane, beside the mapping ---- */

enum reset_policy { RESET_EARLIEST, RESET_LATEST, RESET_STOP };

/* Where to begin: RD_KAFKA_OFFSET_BEGINNING, RD_KAFKA_OFFSET_END, or a time. */
struct whence {
	bool is_time;
	int64_t number;			/* the logical offset, or milliseconds since 1970 */
};

struct definition {
	const struct catalog_group *grp;	/* counted; NULL: there is none */
	struct stream_mapping *map;
	char *topic, *group, *dead_topic;	/* group, dead_topic: NULL if not said */
	struct whence start;
	enum reset_policy reset;
};

/* -EINVAL with the reason: the lane is broken until the section changes. */
int definition_read(const struct catalog_group *grp, const char *stream, struct stream_schemas *schemas, struct definition *out,
		    struct why *why);
void definition_release(struct definition *def);
const struct catalog_section *definition_section(const struct catalog_group *grp, const char *stream);	/* NULL */
int whence_parse(struct slice text, struct whence *out);	/* earliest, latest or a time; -EINVAL */

/* ---- position.c: what is stored in the commits ---- */

/* Counters of a lane, kept with its positions. messages + replayed = applied + late + filtered + dead. */
#define LANE_COUNTERS(X) X(messages) X(applied) X(late) X(filtered) X(dead) X(replayed) X(resets) X(replays)

struct counters {
#define X(name) uint64_t name;
	LANE_COUNTERS(X)
#undef X
	bool is_paused;
	uint64_t replay_offset;		/* how far the file that is being replayed was read; `replays` counts such files */
};

struct position {
	int64_t next;			/* offset of the next message */
	int64_t timestamp_ns;		/* of the message before it; STREAM_NO_TIME */
	int64_t empty_to;		/* what lies before this one, and not before `next`, is no message; below `next`: nothing is known of that */
};

/* ahead.c: messages at a position or behind it that are done already. */
struct ahead {
	int64_t base;			/* offset of the first bit */
	struct buf bits;
};

bool ahead_has(const struct ahead *ahead, int64_t offset);
int ahead_add(struct ahead *ahead, int64_t offset);		/* none before the position. -ENOMEM */
void ahead_cut(struct ahead *ahead, int64_t next);		/* moves on to another position, forgets what lies before it */
int ahead_set(struct ahead *ahead, int64_t next, struct slice bits);

struct partition {
	bool is_assigned;
	bool checks_seam;		/* the message before `next` is still to be looked at */
	bool is_replaced;		/* it was another one: the topic was made anew */
	int64_t next;			/* behind what was taken over into batches */
	struct position committed;
	struct ahead ahead;		/* of what is committed; not of what is shown */
	int64_t low, high;		/* of the topic; -1: not known */
	/* Where reading last came to the topic's end, and what was `next` then: offsets between the two are no messages, but a transaction's. */
	int64_t end, end_next;
};

void position_lane_key(uint32_t group_id, const char *stream, struct buf *out);
void position_key(uint32_t group_id, const char *stream, const char *topic, int32_t partition, struct buf *out);
void position_encode(const struct position *pos, const struct ahead *ahead, struct buf *out);		/* `ahead` may be NULL, here and below */
int position_decode(struct slice bytes, struct position *out, struct ahead *out_ahead);		/* -EBADMSG */
void counters_encode(const struct counters *counters, struct buf *out);
int counters_decode(struct slice bytes, struct counters *out);		/* -EBADMSG; empty bytes are all zeros */
/* Reads from a snapshot. -ENOENT: nothing is stored. */
int position_load(struct store *store, uint32_t group_id, const char *stream, const char *topic, int32_t partition,
		  struct position *out, struct ahead *out_ahead);
int counters_load(struct store *store, uint32_t group_id, const char *stream, struct counters *out);

/* ---- letter.c: a message that could not be applied, as a line of JSON ---- */

enum { REPLAY_SHIFT = 40 };	/* bits of a place in a file of letters */

struct letter_header {
	const char *name;
	struct slice value;
};

/* What is not its own is borrowed. */
struct letter {
	int64_t time_ns;
	const char *reason, *topic;
	int32_t partition;
	int64_t offset, timestamp_ns;
	struct slice key, value;
	bool has_key, has_value;
	const struct letter_header *headers;
	unsigned n_headers;
	int64_t replay;			/* replay_place() of the file that was being replayed; -1: it came from the topic */
};

/* Appends a line; without its key, value and headers if those have more than `most` bytes. */
void letter_print(const struct letter *letter, size_t most, struct buf *out);
/* In one piece of memory, to be freed. -EINVAL with a reason; its partition, offset and replay are told in any case if they are there. */
int letter_parse(struct slice line, struct letter **out, struct why *why);
/* Only where it stands. -EINVAL. */
int letter_place(struct slice line, int32_t *out_partition, int64_t *out_offset, int64_t *out_replay);

/* ---- dead.c: the files of dead letters ---- */

struct dead {
	int root_fd;			/* borrowed: STORE/dead */
	int dir_fd;			/* the group's folder; -1: not made yet */
	uint32_t group_id;
	char name[112];
	uint64_t limit;			/* bytes of both files together */
	bool relaxed;
	int fd;				/* -1: not open */
	uint64_t size;
	uint64_t dropped;		/* bytes of the oldest letters, which went to make room */
	bool is_dirty;			/* written since the last sync */
	struct buf line;
};

void dead_init(struct dead *dead, int root_fd, uint32_t group_id, const char *stream, uint64_t limit, bool relaxed);
void dead_release(struct dead *dead);
/* Appends; durable after dead_sync. The errno of the file system. */
int dead_write(struct dead *dead, const struct letter *letter);
int dead_sync(struct dead *dead);
/* Takes out what a crash has left half written, and letters of which `is_stale` says that they have not been counted. */
int dead_prune(struct dead *dead, bool (*is_stale)(void *arg, int32_t partition, int64_t offset, int64_t replay), void *arg);
/* Sets the older file (or the newer one) aside as the one to be replayed. -ENOENT: it is not there. */
int dead_set_aside(struct dead *dead, bool is_older);
/* What was set aside: -ENOENT if there is nothing. */
int dead_open_aside(struct dead *dead, int *out_fd);
int dead_remove_aside(struct dead *dead);
uint64_t dead_bytes(struct dead *dead);		/* of both files */

/* ---- apply.c: batches ---- */

enum batch_state { BATCH_FREE, BATCH_FILLING, BATCH_SUBMITTED, BATCH_DONE };

/* What becomes of a message: a row; nothing; a dead letter, known before its commit or in it. One of a batch that has failed in the middle
 * may be done. */
enum fate { FATE_ROW, FATE_FILTERED, FATE_DEAD, FATE_REFUSED, FATE_DONE };

/* Why a message is a dead letter, as far as it can be told without quoting it. */
enum refusal { REFUSAL_FORM, REFUSAL_TIME, REFUSAL_VALUE, REFUSAL_COMMIT };

/* A message, or a dead letter that is fed through again. */
struct item {
	rd_kafka_message_t *msg;	/* owned; NULL: a letter */
	struct letter *letter;		/* owned, its bytes behind it; NULL: a message */
	int64_t event_ns, timestamp_ns;
	uint32_t reason;		/* of the dead: where it stands in batch->reasons */
	uint32_t span;			/* of a message: its partition's among the batch's */
	uint8_t fate;			/* enum fate */
	uint8_t refusal;		/* enum refusal, of the dead */
	bool is_written;		/* it is in the file of dead letters */
	bool is_done;			/* a part of the batch that is committed has it */
};

/* What a batch takes from one partition. */
struct span {
	int32_t partition;
	int64_t from;			/* the position that must stand before */
	struct position to;
	struct position stands;		/* inside of a commit: as the map has it, and what is done behind it with this part's rows */
	struct ahead ahead;
};

struct lane;

struct batch {
	struct lane *lane;
	enum batch_state state;		/* [L] */
	int rc;				/* [L] of DONE */
	char reason[320];		/* [L] of a failure */
	int64_t done_ns;		/* [L] real time */
	int64_t submitted_ns, ended_ns;	/* [L] monotonic */
	int64_t part_ns;		/* [L] monotonic: when the part before was committed; 0: this is the first */
	struct counters counters;	/* [L] of DONE: as its commit leaves them */
	struct counters stored;		/* [L] of DONE: as its last part but one leaves them */
	bool has_stored;		/* [L] of DONE: parts are committed that the lane has not taken over */
	/* of the lane's thread until it is submitted, of the leading thread until it is done, then the lane's again */
	const struct catalog_group *grp;	/* that it was decoded for; borrowed from the definition */
	struct ingest_request *req;	/* until it is submitted */
	struct buf items;		/* array of struct item */
	struct buf rows;		/* array of uint32_t: the item of each change of the request */
	struct buf spans;		/* array of struct span */
	struct buf reasons;		/* texts, each with its NUL */
	struct buf pending;		/* array of uint32_t: the items of the part that is being committed */
	struct buf key, value;		/* scratch of positions */
	size_t bytes;
	int64_t offsets;		/* of all its spans together */
	unsigned filtered, dead, refused, messages, replayed;
	unsigned done, refused_done;	/* of messages and refused: in parts that are committed */
	int64_t replay_from, replay_to;	/* of a replay: places in the file; else -1 */
};

static inline struct item *items_of(const struct batch *batch, size_t *out_n)
{
	*out_n = batch->items.len / sizeof(struct item);
	return (struct item *)batch->items.data;
}

static inline struct span *spans_of(const struct batch *batch, size_t *out_n)
{
	*out_n = batch->spans.len / sizeof(struct span);
	return (struct span *)batch->spans.data;
}

static inline uint64_t item_origin(const struct item *item)
{
	uint64_t partition = (uint64_t)(item->letter ? item->letter->partition : item->msg->partition);
	int64_t offset = item->letter ? item->letter->offset : item->msg->offset;

	return partition << 48 | ((uint64_t)offset & ((UINT64_C(1) << 48) - 1));
}

/* What came of adding a message. */
enum added { ADDED = 0, ADDED_NOT = 1 };	/* or a negative errno: -EAGAIN: it can't be decoded just now */

struct batch *batch_filling(struct lane *lane);		/* the one that is filled; NULL: all are under way */
bool batch_is_empty(const struct batch *batch);
bool batch_is_full(struct lane *lane, const struct batch *batch);
/* Takes the message on 0. */
int batch_add_message(struct lane *lane, struct batch *batch, rd_kafka_message_t *msg);
int batch_add_letter(struct lane *lane, struct batch *batch, struct letter *letter);
/* Hands over what is filled. `behind`: another thread leads the commit. -errno: the dead letters can't be written, or no memory; it stays as it is. */
int batch_submit(struct lane *lane, bool behind);
/* Takes over the outcome of those that are done, in order. 0, or why the oldest failed: it and all behind it stay, none is under way any more. */
int batches_reap(struct lane *lane);
/* Waits until fewer than `most` are under way, or it is time to stop. */
void batches_wait(struct lane *lane, unsigned most);
/* Submits what is filled, waits for all, takes over. As batches_reap. */
int batches_finish(struct lane *lane);
/* Decodes again and submits what has failed, one after the other. As batches_reap. */
int batches_redo(struct lane *lane);
/* Forgets all that is not committed; nothing is under way. The consumer must begin anew behind that. */
void batches_drop(struct lane *lane);
void batches_release(struct lane *lane);
/* What is committed of those that have failed or are given up is the lane's from here on. None is under way. */
void batches_take_parts(struct lane *lane);
void item_view(struct item *item, struct stream_message *out);		/* the message as the mapping reads it */

/* ---- bury.c ---- */

/* Writes the letters of a fate, and makes them durable. The lane and the thread that leads a commit may both come here. */
int batch_bury(struct lane *lane, struct batch *batch, enum fate fate);
int batches_unbury(struct lane *lane);		/* letters of what is to be decoded again may not be letters then */
int dead_prune_uncounted(struct lane *lane);
/* Counts how many dead letters have come in a row, message by message as they are taken over. `tell` says it in the log where that has become many. */
void dead_count_run(struct lane *lane, const struct item *item);	/* with lane->lock held */
void dead_tell_run(struct lane *lane);

/* ---- commit.c: inside of the commits ---- */

/* Hands over a request that the batch was made into. */
void batch_commit(struct batch *batch, struct ingest_request *req, bool behind);
void item_note_age(struct lane *lane, const struct item *item, int64_t done_ns, int64_t now_ns);	/* with lane->lock held */
int batch_note_reason(struct batch *batch, struct item *item, const char *text);	/* -ENOMEM */

/* ---- pace.c: how much at once ---- */

void pace_look(struct lane *lane);		/* has another lane written lately? */
bool pace_is_busy(struct lane *lane);		/* it has */
/* The next ones take as long as they should, as far as this one of `n` rows tells. */
void pace_learn(struct lane *lane, const struct batch *batch, size_t n);
void pace_learn_part(struct lane *lane, struct batch *batch, size_t n, int64_t now_ns);	/* with lane->lock held */
size_t pace_part(struct lane *lane);		/* rows of a part; SIZE_MAX: no parts */
unsigned batches_allowed(struct lane *lane);	/* how many may be under way just now */

/* ---- the lane ---- */

enum lane_state {
	LANE_STARTING, LANE_BROKEN, LANE_WAITING, LANE_DISCONNECTED, LANE_RUNNING, LANE_PAUSED, LANE_BLOCKED, LANE_STOPPED, LANE_STATES
};

struct command;

struct lane {
	struct stream *stream;
	struct lane *next;		/* of the stream's list, under its lock */
	char *name, *stream_name;	/* "group.stream"; a lane whose group is renamed is another lane */
	uint32_t group_id;
	pthread_t thread;
	pthread_t self;			/* the same, known to the thread before it does anything */

	pthread_mutex_t lock;
	pthread_cond_t wake;		/* monotonic */
	bool is_stopping;		/* [L] */
	atomic_bool attention;		/* the catalog has changed, a command has come, or it is time to stop */
	struct command *commands, **last_command;	/* [L] */
	rd_kafka_queue_t *queue;	/* [L] to be yielded when something is to be done */
	/* [L] what is shown */
	enum lane_state state;
	char reason[320], notice[320];	/* why it is in that state; the last thing that went otherwise than one would think */
	char client_error[256];		/* librdkafka's last words since it had an answer */
	int client_code;		/* what kind of error that was */
	struct counters shown;
	struct partition *shown_parts;
	int32_t n_shown_parts;
	char *shown_topic;
	uint64_t rebalances, consumed_bytes, commits, not_forwarded, dead_bytes, dead_dropped;
	uint64_t dead_run;		/* the newest messages that are dead letters for one kind of reason */
	enum refusal dead_run_why;
	bool is_replaying;
	double rate;			/* messages/s, as at rate_ns (monotonic) */
	int64_t rate_ns;
	unsigned batch_rows;
	struct freshness event_age, broker_age;
	int64_t last_message_ns;

	/* the thread's own */
	struct definition def;
	struct counters counters;	/* as committed */
	rd_kafka_t *rk;
	rd_kafka_topic_t *topic;
	bool must_reopen, must_redo;
	bool all_down;			/* librdkafka said that no broker answers */
	char unreadable[256];		/* its words of an answer that it can't take, a message larger than it may be; empty: a message came since */
	int64_t unreadable_ns;		/* monotonic: when it said so */
	struct partition *parts;
	int32_t n_parts;
	bool has_seen_topic, topic_is_gone, is_attached, is_closing;
	int64_t waits_since_ms;		/* real time: when the topic was first looked for and not there; 0: it was */
	uint32_t source;		/* the topic's number among ingest's sources; 0: not asked yet */
	struct batch batches[BATCHES];	/* a ring */
	unsigned oldest, n_submitted;	/* those under way or done begin at `oldest`; the one behind them is filled */
	rd_kafka_message_t *held;	/* a message that can't be decoded just now */
	struct why hold_why;
	int64_t retry_ns;		/* monotonic: not to be tried before */
	pthread_mutex_t dead_lock;	/* guards dead; held across its files' input and output, and nothing else */
	struct dead dead;
	rd_kafka_t *producer;		/* of dead letters; NULL */
	FILE *replay;			/* the file of letters that is being replayed; NULL: none */
	bool replays_both;		/* the newer file comes behind this one */
	unsigned target;		/* rows of a batch */
	int64_t last_done_ns;		/* monotonic */
	/* [L] what others do, and what that leaves */
	uint64_t direct_seen;
	int64_t direct_ns;		/* monotonic: when another lane last wrote */
	unsigned part_rows;
	/* housekeeping */
	int64_t tick_ns, refresh_ns;
	uint64_t rate_messages;
	bool has_told_run;		/* the log has it that all messages become dead letters */
};

struct stream {
	struct stream_options options;	/* its texts are its own */
	int dead_fd;			/* STORE/dead; -1: not made yet */
	pthread_mutex_t lock;		/* guards the list of lanes */
	struct lane *lanes;
	atomic_bool is_stopping;
	uint64_t seen;			/* the catalog's number whose lanes run when the watcher begins */
	pthread_t watcher;
};

/* position.c, too */
void partitions_free(struct lane *lane);
/* Stores positions of the definition's topic: next[i] of partition i where it is not negative; and the lane's counters as they are, with
 * `changes` made to them. Nothing may be under way. -ENOSPC, -EIO, -ENOENT (the group is gone). */
struct counters_change {
	bool sets_paused, is_paused, is_reset, begins_replay;
};
int positions_put(struct lane *lane, const int64_t *next, const struct counters_change *change, struct why *why);
/* Stores how far the topic is empty behind the positions, where reading has come to an end that is not stored yet. As positions_put. */
int positions_note_ends(struct lane *lane, struct why *why);

/* forward.c */
/* Those of a batch that is committed, or of the parts of it that are. */
void dead_forward(struct lane *lane, const struct batch *batch, bool only_done);
void forward_close(struct lane *lane);

/* ask.c: the consumer is open; -EHOSTUNREACH with the reason */
struct wanted {
	bool all;
	bool *is;			/* by partition, if not all */
};
int ask_partitions(struct lane *lane, int32_t *out, struct why *why);	/* how many the topic has; 0: there is no such topic */
int ask_marks(struct lane *lane, const struct wanted *wanted, struct why *why);	/* learns where the topic begins and ends */
/* Offsets for a start, by partition. Learns where the topic begins and ends. */
int ask_places(struct lane *lane, const struct whence *whence, const struct wanted *wanted, int64_t *out, struct why *why);
int ask_check_places(struct lane *lane, const int64_t *next, struct why *why);	/* -ERANGE: an offset that the topic has not */

/* consumer.c */
int consumer_open(struct lane *lane, struct why *why);
void consumer_close(struct lane *lane);		/* forgets what is not committed */
/* Looks at the topic: -EHOSTUNREACH, -ENOENT (there is no such topic). */
int consumer_learn(struct lane *lane, struct why *why);
/* The same, and begins to read. -ERANGE: a human must say where. */
int consumer_attach(struct lane *lane, struct why *why);
void consumer_look_at_marks(struct lane *lane);		/* as the fetches tell */
int consumer_ask_marks(struct lane *lane, struct why *why);	/* of what is assigned, from the brokers: for while nothing is fetched */
void consumer_note_end(struct lane *lane, int32_t partition, int64_t offset);
void consumer_note_unreadable(struct lane *lane, const char *text);
int consumer_look(struct lane *lane, struct why *why);	/* where the topic and the lane stand, without reading */
void consumer_recall(struct lane *lane);
void consumer_show(struct lane *lane);

/* replay.c */
/* A place in the file that is being replayed, unlike those in all files before it. */
uint64_t replay_place(const struct lane *lane, uint64_t offset);
void replay_resume(struct lane *lane);			/* what a stop has left */
int replay_begin(struct lane *lane, struct why *why);	/* -ENOENT, -EBUSY */
bool replay_step(struct lane *lane);			/* false: there is nothing to do */
void replay_close(struct lane *lane);

/* command.c */
struct command {
	struct command *next;
	stream_done done;
	void *arg;
	char text[];
};
int command_check(const char *text, struct why *why);	/* its form; -EINVAL */
void command_notice(struct lane *lane, const char *text, const char *reason);	/* why it was not done */
void commands_serve(struct lane *lane);
void commands_refuse(struct lane *lane, int rc);

/* report.c */
/* Why all of the newest messages are dead letters; NULL: they are not, or too few to speak of. In the lane's thread, or with lane->lock held. */
const char *report_dead_run(const struct lane *lane);
double report_fade(int64_t ns);			/* how much of a rate that old still counts, 0 to 1 */
void report_status(struct lane *lane, struct buf *out);
const char *report_state_name(enum lane_state state);

/* upkeep.c: what is due from time to time */
#define LANE_TICK (CLOCK_SECOND / 2)
#define LANE_RETRY CLOCK_SECOND		/* before what has failed is tried again */
void upkeep_tick(struct lane *lane, int64_t now_ns);
/* How far the topic is empty is stored when nothing is under way. What can't be stored now is stored another time. */
void upkeep_note_ends(struct lane *lane);

/* lane.c */
int lane_start(struct stream *stream, const struct catalog_group *grp, const char *stream_name, struct lane **out);
void lane_tell_stop(struct lane *lane);
void lane_stop(struct lane *lane);		/* behind that: waits for it; frees */
void lane_wake(struct lane *lane);
void lane_fail(struct lane *lane, int rc, const char *reason);	/* what was read can't be committed just now */
/* Closes the consumer, so that the lane begins anew at what is stored. */
void lane_begin_anew(struct lane *lane);

void lane_show(struct lane *lane, enum lane_state state, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void lane_notice(struct lane *lane, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
