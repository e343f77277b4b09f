/* SPDX-License-Identifier: MIT */
/* The change log: numbered segments of numbered records. The format, and why a tail may be cut, stand at the head of
 * changelog.c. */
#ifndef STORE_CHANGELOG_H
#define STORE_CHANGELOG_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/slice.h"
#include "base/why.h"

enum {
	CHANGELOG_HEAD = 40,		/* bytes of a record's header: the caller leaves them free before the payload */
	CHANGELOG_FIRST = 4096,		/* where the first record of a segment begins */
	CHANGELOG_SEGMENT_MIN = 64 << 10,
	CHANGELOG_SPARES = 2,
};

/* Where a record begins, and what it must be. */
struct log_position {
	uint64_t segment;
	uint64_t offset;
	uint64_t seq;
	uint64_t chain;			/* hash of the record before; 0: there was none */
};

struct log_segment {
	uint64_t number;
	uint64_t first_seq;		/* 0: no record yet */
	uint64_t bytes;
};

struct changelog {
	int dir_fd;			/* STORE/log */
	uint64_t store_id;
	uint64_t segment_bytes;
	bool relaxed;
	_Atomic uint64_t bytes_written;
	_Atomic uint64_t written_seq;	/* of the newest record */
	_Atomic uint64_t synced_seq;	/* the same of those that are on the disk; in a relaxed log of all */

	/* Of the thread that appends. */
	int fd;
	uint64_t room;			/* bytes of the open segment */
	struct log_position end;
	bool is_synced;			/* all up to the end is on the disk */

	pthread_mutex_t lock;		/* guards what follows, and the exchange of fd */
	pthread_cond_t prepared;
	uint64_t unsynced_to;		/* the open segment was written without sync up to here */
	struct log_segment *segments;	/* ascending without a gap; the last one is being written */
	size_t n_segments, cap_segments;
	bool preparing;			/* somebody makes the next segment, without the lock */
	int next_fd;			/* the segment after the last, made ahead; or -1 */
	uint64_t next_bytes;
	uint64_t spares[CHANGELOG_SPARES];	/* names of files to be used again */
	unsigned n_spares;
};

/* Makes STORE/log with its first, empty segment, durably. */
int changelog_create(int store_dir_fd, uint64_t store_id, uint64_t segment_bytes);
/* The position of the first record of such a log. */
struct log_position changelog_origin(uint64_t seq);

/* Lists the segments. -EBADMSG if the one of `start` is not there or a header is damaged. Nothing is written yet. */
int changelog_open(struct changelog *log, int store_dir_fd, uint64_t store_id, uint64_t segment_bytes, bool relaxed,
		   const struct log_position *start, struct why *why);
/* Begins to append at `end`, where a reader that came from `start` ended. Makes durable what lies between; removes what
 * is no part of the log. `last` is where the last record begins (offset 0: there was none). */
int changelog_start(struct changelog *log, const struct log_position *start, const struct log_position *end,
		    const struct log_position *last);
void changelog_close(struct changelog *log);
/* For the log's own files, with its lock once it has started: one segment more. */
int changelog_push(struct changelog *log, struct log_segment segment);

/* Fills the header in (the record's first CHANGELOG_HEAD bytes), writes, syncs if `syncs` unless relaxed. `checkpoint` is the
 * number of the newest checkpoint that is durable. -ENOSPC, -ENOMEM, -EMFILE: nothing was written, the next record may
 * go to the same place. Else -EIO. */
int changelog_append(struct changelog *log, struct buf *record, uint32_t checkpoint, bool syncs);
/* Syncs what was written without; from any thread. */
int changelog_sync(struct changelog *log);
/* Waits until the disk has most of what was written without sync; from any thread. */
int changelog_pace(struct changelog *log);
/* Makes the next segment ahead, so that no commit waits for it. `is_quick`: without writing it to its full size, for one that
 * large writes will fill before long. For any thread but the one that appends. */
int changelog_prepare(struct changelog *log, bool is_quick);
/* Is it time to? */
bool changelog_wants_next(struct changelog *log);
/* Lets go of the segments before `keep`. For the background thread. */
int changelog_trim(struct changelog *log, uint64_t keep);
/* The segment that holds `seq` or would; false if the log no longer has it. `seq` 0: the oldest there is. */
bool changelog_locate(struct changelog *log, uint64_t seq, struct log_segment *out);
void changelog_sizes(struct changelog *log, uint64_t before_segment, uint64_t *out_segments,
		     uint64_t *out_bytes_before);

/* Reads records in order. One thread at a time. */
struct log_reader {
	int dir_fd;
	uint64_t store_id;
	int fd;				/* of the segment, or -1 */
	struct log_position pos;	/* of the next record */
	bool knows_chain;
	struct buf record;		/* the last one, header included */
	uint32_t checkpoint;		/* the number that it knew */
};

void log_reader_init(struct log_reader *reader, int log_dir_fd, uint64_t store_id, const struct log_position *pos);
/* Begins at the head of a segment, whatever record was before it. */
void log_reader_init_segment(struct log_reader *reader, int log_dir_fd, uint64_t store_id,
			     const struct log_segment *segment);
/* 0 with a payload that lives until the next call; -ENOENT if no whole record follows; -errno. */
int log_reader_next(struct log_reader *reader, uint64_t *out_seq, struct slice *out_payload);
/* Where no whole record follows: is there, further on up to `last_segment`, one that was written when the missing one
 * was durable? Then the log is damaged (1), else what is missing was never promised (0). -errno. */
int log_reader_is_damage(struct log_reader *reader, uint64_t last_segment);
void log_reader_release(struct log_reader *reader);

#endif
