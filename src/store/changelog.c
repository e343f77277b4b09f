/* SPDX-License-Identifier: MIT */
/*
 * The change log makes a commit durable with one write and one fdatasync, and is what recovery and followers read. It
 * consists of segments, files in STORE/log that are written to their full size before their first use, so that a
 * commit's sync has no metadata to write.
 *
 *	log/0000000000000007.log	segment 7 (hexadecimal, counting from 1 and never again the same)
 *	log/0000000000000005.spare	a segment that is done with, kept to become the next one
 *
 *	segment header (the rest of the first 4,096 bytes is zero):
 *	0	8	hash of bytes 8 to 39
 *	8	8	"FeatLog1"
 *	16	8	number of the store
 *	24	8	number of the segment
 *	32	8	zero
 *
 *	record, at a multiple of 8:
 *	0	8	hash of all that follows up to the payload's end, seeded with the store and the segment
 *	8	4	"FLR1"
 *	12	4	length of the payload
 *	16	8	seq: one more than the record before
 *	24	8	hash of the record before (0: there was none)
 *	32	4	number of the newest checkpoint that was durable when this was written
 *	36	4	flags: 1: every record before was durable when this was written
 *	40	...	payload, then zeros up to a multiple of 8
 *
 * A record that does not fit goes to the next segment, which grows if it alone is larger than a segment. No mark ends a
 * segment or the log: a record follows another if it is whole, has the next seq and knows the hash of the one before.
 * It stands right behind it or at the head of the next segment.
 *
 * What can't happen, then. A stale record of the file's earlier life can't be taken for one: its hash is seeded with
 * another segment. Nor can one that was behind a cut tail, even if its seq fits and new records end where it begins: it
 * knows the hash of a record that is gone.
 *
 * Where no record follows, the log ends, and the bytes there are of a write that was cut off: its commit was never
 * acknowledged, for that waits for the sync. Unless a later record says that everything before it was durable: then
 * something that was acknowledged is damaged, and the log is refused (log_reader.c). With sync at every commit all
 * records say so; a relaxed log still syncs a segment before it begins the next one, so its first record says so.
 *
 * A record may be written without a sync (a load of many rows that nobody sees yet), and the next one that syncs makes it
 * durable too. The segment for it is only allocated, not filled with zeros, for it will be written whole at once.
 *
 * Names change only through rename and a sync of the directory; a segment has its header before it has its name.
 */
#include "store/changelog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>
#include "base/array.h"
#include "base/file.h"
#include "store/le.h"
#include "store/segment.h"

enum {
	BEHIND = 1 << 20,		/* bytes that unsynced writes may be ahead of the disk */
	NEARLY_FULL = 4 << 20,		/* room in a segment for the next few unsynced records */
};

/* ---- appending ---- */

int changelog_push(struct changelog *log, struct log_segment segment)
{
	struct log_segment *grown = array_grow(log->segments, log->n_segments, &log->cap_segments, sizeof *grown);

	if (!grown)
		return -ENOMEM;
	log->segments = grown;
	log->segments[log->n_segments++] = segment;
	return 0;
}

/* Makes the segment after the last one, unless it is there. Whoever comes second waits for the first. */
static int prepare(struct changelog *log, bool is_quick)
{
	uint64_t number, spare = 0;
	int rc, fd = -1;

	pthread_mutex_lock(&log->lock);
	while (log->preparing)
		pthread_cond_wait(&log->prepared, &log->lock);
	if (log->next_fd >= 0) {
		pthread_mutex_unlock(&log->lock);
		return 0;
	}
	log->preparing = true;
	is_quick = is_quick || log->unsynced_to;
	number = log->segments[log->n_segments - 1].number + 1;
	if (log->n_spares)
		spare = log->spares[--log->n_spares];
	pthread_mutex_unlock(&log->lock);

	rc = segment_make(log->dir_fd, log->store_id, number, log->segment_bytes, spare, is_quick, &fd);

	pthread_mutex_lock(&log->lock);
	log->preparing = false;
	if (rc == 0) {
		log->next_fd = fd;
		log->next_bytes = log->segment_bytes;
	}
	pthread_cond_broadcast(&log->prepared);
	pthread_mutex_unlock(&log->lock);
	return rc;
}

int changelog_prepare(struct changelog *log, bool is_quick)
{
	return prepare(log, is_quick);
}

bool changelog_wants_next(struct changelog *log)
{
	bool wants;

	pthread_mutex_lock(&log->lock);
	wants = log->next_fd < 0 && !log->preparing;
	pthread_mutex_unlock(&log->lock);
	return wants;
}

/* Several threads sync; the newest tells. */
static void note_synced(struct changelog *log, uint64_t seq)
{
	uint64_t before = atomic_load(&log->synced_seq);

	while (before < seq && !atomic_compare_exchange_weak(&log->synced_seq, &before, seq))
		;
}

static int enter_next(struct changelog *log)
{
	int rc;

	/* Whoever writes without sync may have seen to it already: see changelog_pace. */
	if (!log->is_synced && (log->relaxed || atomic_load(&log->synced_seq) < log->end.seq - 1) && fdatasync(log->fd) < 0)
		return -EIO;
	log->is_synced = true;
	note_synced(log, log->end.seq - 1);
	/* Behind unsynced records come more of them; a commit that waits for zeros would keep the others waiting. */
	rc = prepare(log, true);
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&log->lock);
	rc = changelog_push(log, (struct log_segment){ .number = log->end.segment + 1, .bytes = log->next_bytes });
	if (rc == 0) {
		close(log->fd);
		log->fd = log->next_fd;
		log->room = log->next_bytes;
		log->next_fd = -1;
		log->end.segment++;
		log->end.offset = CHANGELOG_FIRST;
		log->unsynced_to = 0;
	}
	pthread_mutex_unlock(&log->lock);
	return rc;
}

/* Makes the open segment large enough for one large record. */
static int enlarge(struct changelog *log, uint64_t need)
{
	int rc = segment_allocate(log->fd, log->room, need);

	if (rc < 0)
		return rc;
	log->room = need;
	pthread_mutex_lock(&log->lock);
	log->segments[log->n_segments - 1].bytes = need;
	pthread_mutex_unlock(&log->lock);
	return 0;
}

static int make_place(struct changelog *log, size_t len)
{
	int rc = 0;

	if (log->end.offset + len <= log->room)
		return 0;
	if (log->end.offset > CHANGELOG_FIRST)
		rc = enter_next(log);
	if (rc == 0 && log->end.offset + len > log->room)
		rc = enlarge(log, log->end.offset + len);
	if (rc == 0 || rc == -ENOSPC || rc == -ENOMEM || rc == -EMFILE)
		return rc;
	return rc == -ENFILE ? -EMFILE : -EIO;
}

static void encode_record(struct changelog *log, struct buf *record, uint32_t checkpoint)
{
	uint8_t *p = (uint8_t *)record->data;

	le_put32(p + 8, SEGMENT_RECORD_MAGIC);
	le_put32(p + 12, (uint32_t)(record->len - CHANGELOG_HEAD));
	le_put64(p + 16, log->end.seq);
	le_put64(p + 24, log->end.chain);
	le_put32(p + 32, checkpoint);
	le_put32(p + 36, log->is_synced ? SEGMENT_AFTER_SYNC : 0);
	le_put64(p, XXH3_64bits_withSeed(p + 8, record->len - 8, segment_seed(log->store_id, log->end.segment)));
}

/* Lets the disk begin with what was written without sync, whole pages of it. */
static void begin_writing(struct changelog *log, uint64_t begin, uint64_t end)
{
	begin &= ~(uint64_t)4095;
	end &= ~(uint64_t)4095;
	if (begin < end)
		sync_file_range(log->fd, (off_t)begin, (off_t)(end - begin), SYNC_FILE_RANGE_WRITE);
	pthread_mutex_lock(&log->lock);
	log->unsynced_to = end;
	pthread_mutex_unlock(&log->lock);
}

int changelog_append(struct changelog *log, struct buf *record, uint32_t checkpoint, bool syncs)
{
	size_t len = record->len, padded = (len + 7) & ~(size_t)7;
	int rc;

	if (!buf_reserve(record, 8))
		return -ENOMEM;
	memset(record->data + len, 0, 8);
	rc = make_place(log, padded);
	if (rc < 0)
		return rc;
	encode_record(log, record, checkpoint);
	rc = file_write_at(log->fd, record->data, padded, log->end.offset);
	if (rc < 0)
		return rc == -ENOSPC ? rc : -EIO;
	syncs = syncs && !log->relaxed;
	if (syncs && fdatasync(log->fd) < 0)
		return -EIO;
	log->is_synced = syncs;
	if (!syncs && !log->relaxed)
		begin_writing(log, log->end.offset, log->end.offset + padded);
	if (log->end.offset == CHANGELOG_FIRST) {
		pthread_mutex_lock(&log->lock);
		log->segments[log->n_segments - 1].first_seq = log->end.seq;
		pthread_mutex_unlock(&log->lock);
	}
	log->end.chain = le_get64(record->data);
	log->end.offset += padded;
	atomic_store(&log->written_seq, log->end.seq);
	if (syncs || log->relaxed)
		note_synced(log, log->end.seq);
	log->end.seq++;
	atomic_fetch_add_explicit(&log->bytes_written, padded, memory_order_relaxed);
	return 0;
}

/* A descriptor of the open segment that stays good when the log goes on to the next one: then that has synced this one. */
static int hold_segment(struct changelog *log, uint64_t *out_unsynced_to, uint64_t *out_bytes)
{
	int fd;

	pthread_mutex_lock(&log->lock);
	fd = fcntl(log->fd, F_DUPFD_CLOEXEC, 0);
	*out_unsynced_to = log->unsynced_to;
	*out_bytes = log->segments[log->n_segments - 1].bytes;
	pthread_mutex_unlock(&log->lock);
	return fd < 0 ? -errno : fd;
}

int changelog_sync(struct changelog *log)
{
	uint64_t seq = atomic_load(&log->written_seq), unsynced_to, bytes;
	int fd, rc = 0;

	if (atomic_load(&log->synced_seq) >= seq && !log->relaxed)
		return 0;
	fd = hold_segment(log, &unsynced_to, &bytes);
	if (fd < 0)
		return fd;
	if (fdatasync(fd) < 0)
		rc = -EIO;
	close(fd);
	if (rc == 0)
		note_synced(log, seq);
	return rc;
}

int changelog_pace(struct changelog *log)
{
	uint64_t unsynced_to, bytes;
	int fd, rc = 0;

	if (log->relaxed)
		return 0;
	fd = hold_segment(log, &unsynced_to, &bytes);
	if (fd < 0)
		return fd;
	if (unsynced_to > BEHIND &&
	    sync_file_range(fd, 0, (off_t)(unsynced_to - BEHIND), SYNC_FILE_RANGE_WAIT_BEFORE) < 0 &&
	    errno != ENOSYS && errno != EINVAL && errno != ESPIPE && errno != EINTR)
		rc = -EIO;
	close(fd);
	/* Better here than in the commit that goes on to the next segment. */
	return rc == 0 && unsynced_to && bytes - unsynced_to < NEARLY_FULL ? changelog_sync(log) : rc;
}

/* ---- letting go ---- */

static int retire(struct changelog *log, const struct log_segment *segment)
{
	char name[SEGMENT_NAME_MAX], spare[SEGMENT_NAME_MAX];
	bool keep;

	segment_name(name, segment->number, "log");
	segment_name(spare, segment->number, "spare");
	pthread_mutex_lock(&log->lock);
	keep = segment->bytes == log->segment_bytes && log->n_spares < CHANGELOG_SPARES;
	pthread_mutex_unlock(&log->lock);
	if (!keep)
		return unlinkat(log->dir_fd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
	if (renameat(log->dir_fd, name, log->dir_fd, spare) < 0 || fsync(log->dir_fd) < 0)
		return errno == ENOENT ? 0 : -errno;
	pthread_mutex_lock(&log->lock);
	if (log->n_spares < CHANGELOG_SPARES)
		log->spares[log->n_spares++] = segment->number;
	pthread_mutex_unlock(&log->lock);
	return 0;
}

int changelog_trim(struct changelog *log, uint64_t keep)
{
	bool any = false;
	int rc = 0;

	for (;;) {
		struct log_segment segment;

		pthread_mutex_lock(&log->lock);
		if (log->n_segments < 2 || log->segments[0].number >= keep) {
			pthread_mutex_unlock(&log->lock);
			break;
		}
		segment = log->segments[0];
		log->n_segments--;
		memmove(log->segments, log->segments + 1, log->n_segments * sizeof *log->segments);
		pthread_mutex_unlock(&log->lock);
		any = true;
		rc = retire(log, &segment);
		if (rc < 0)
			break;
	}
	if (any && rc == 0 && fsync(log->dir_fd) < 0)
		rc = -errno;
	return rc;
}

bool changelog_locate(struct changelog *log, uint64_t seq, struct log_segment *out)
{
	bool found = false;

	pthread_mutex_lock(&log->lock);
	for (size_t i = 0; i < log->n_segments; i++) {
		const struct log_segment *segment = &log->segments[i];

		if (!segment->first_seq || (seq && segment->first_seq > seq))
			break;
		*out = *segment;
		found = true;
		if (!seq)
			break;
	}
	pthread_mutex_unlock(&log->lock);
	return found;
}

void changelog_sizes(struct changelog *log, uint64_t before_segment, uint64_t *out_segments, uint64_t *out_bytes_before)
{
	*out_bytes_before = 0;
	pthread_mutex_lock(&log->lock);
	*out_segments = log->n_segments;
	for (size_t i = 0; i < log->n_segments && log->segments[i].number < before_segment; i++)
		*out_bytes_before += log->segments[i].bytes;
	pthread_mutex_unlock(&log->lock);
}
