/* SPDX-License-Identifier: MIT */
/*
 * Reads the change log: record after record from a position, for recovery, followers and the check of a store; and
 * judges whether the place where no record follows is the log's end or damage. The format stands at the head of
 * changelog.c. A reader has its own descriptor and takes no lock: a file that is used again under it has other hashes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>
#include "store/changelog.h"
#include "base/file.h"
#include "store/le.h"
#include "store/segment.h"

enum {
	GLANCE = 4096,			/* bytes of the first read of a record: most records whole */
	CHUNK = 1 << 20,		/* bytes looked through at a time */
};

void log_reader_init(struct log_reader *reader, int log_dir_fd, uint64_t store_id, const struct log_position *pos)
{
	*reader = (struct log_reader){ .dir_fd = log_dir_fd, .store_id = store_id, .fd = -1, .pos = *pos,
				       .knows_chain = true };
}

void log_reader_init_segment(struct log_reader *reader, int log_dir_fd, uint64_t store_id,
			     const struct log_segment *segment)
{
	*reader = (struct log_reader){ .dir_fd = log_dir_fd, .store_id = store_id, .fd = -1 };
	reader->pos = (struct log_position){ .segment = segment->number, .offset = CHANGELOG_FIRST,
					     .seq = segment->first_seq };
}

void log_reader_release(struct log_reader *reader)
{
	if (reader->fd >= 0)
		close(reader->fd);
	reader->fd = -1;
	buf_release(&reader->record);
}

static int open_to_read(const struct log_reader *reader, uint64_t number, int *out_fd)
{
	char name[SEGMENT_NAME_MAX];
	int fd;

	segment_name(name, number, "log");
	fd = openat(reader->dir_fd, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*out_fd = fd;
	return 0;
}

/* Reads the record at a place into `out`, whichever it is. -ENOENT if there is no whole record of this segment. */
static int read_record(int fd, uint64_t seed, uint64_t offset, struct buf *out)
{
	size_t len;
	ssize_t got;

	buf_reset(out);
	if (!buf_reserve(out, GLANCE))
		return -ENOMEM;
	got = file_read_at(fd, out->data, GLANCE, offset);
	if (got < 0)
		return (int)got;
	if (got < CHANGELOG_HEAD || le_get32(out->data + 8) != SEGMENT_RECORD_MAGIC)
		return -ENOENT;
	len = CHANGELOG_HEAD + (size_t)le_get32(out->data + 12);
	if (len > (size_t)got) {
		struct stat st;

		if (fstat(fd, &st) < 0)
			return -errno;
		if (len > (uint64_t)st.st_size || offset > (uint64_t)st.st_size - len)
			return -ENOENT;
		out->len = (size_t)got;
		if (!buf_reserve(out, len - (size_t)got))
			return -ENOMEM;
		got = file_read_at(fd, out->data + out->len, len - out->len, offset + out->len);
		if (got < 0)
			return (int)got;
		if ((size_t)got < len - out->len)
			return -ENOENT;
	}
	out->len = len;
	return le_get64(out->data) == XXH3_64bits_withSeed(out->data + 8, len - 8, seed) ? 0 : -ENOENT;
}

/* Is the record that was read the one that the position asks for? */
static bool is_next(const struct log_reader *reader)
{
	const char *p = reader->record.data;

	if (reader->pos.seq && le_get64(p + 16) != reader->pos.seq)
		return false;
	return !reader->knows_chain || le_get64(p + 24) == reader->pos.chain;
}

static int look(struct log_reader *reader, int fd, uint64_t segment, uint64_t offset)
{
	int rc = read_record(fd, segment_seed(reader->store_id, segment), offset, &reader->record);

	return rc == 0 && !is_next(reader) ? -ENOENT : rc;
}

/* At the head of the next segment? */
static int look_ahead(struct log_reader *reader)
{
	int fd = -1, rc = open_to_read(reader, reader->pos.segment + 1, &fd);

	if (rc < 0)
		return rc;
	rc = look(reader, fd, reader->pos.segment + 1, CHANGELOG_FIRST);
	if (rc < 0) {
		close(fd);
		return rc;
	}
	close(reader->fd);
	reader->fd = fd;
	reader->pos.segment++;
	reader->pos.offset = CHANGELOG_FIRST;
	return 0;
}

int log_reader_next(struct log_reader *reader, uint64_t *out_seq, struct slice *out_payload)
{
	int rc = 0;

	if (reader->fd < 0)
		rc = open_to_read(reader, reader->pos.segment, &reader->fd);
	if (rc == 0)
		rc = look(reader, reader->fd, reader->pos.segment, reader->pos.offset);
	if (rc == -ENOENT && reader->fd >= 0 && reader->knows_chain)
		rc = look_ahead(reader);
	if (rc < 0)
		return rc;
	*out_seq = le_get64(reader->record.data + 16);
	*out_payload = slice_of(reader->record.data + CHANGELOG_HEAD, reader->record.len - CHANGELOG_HEAD);
	reader->checkpoint = le_get32(reader->record.data + 32);
	reader->pos.chain = le_get64(reader->record.data);
	reader->knows_chain = true;
	reader->pos.seq = *out_seq + 1;
	reader->pos.offset += (reader->record.len + 7) & ~(size_t)7;
	return 0;
}

/* Does the record that was read prove that the missing one had been durable? */
static bool proves_loss(const struct log_reader *reader)
{
	const char *p = reader->record.data;

	return le_get64(p + 16) > reader->pos.seq && (le_get32(p + 36) & SEGMENT_AFTER_SYNC);
}

/* Looks at each place in a segment from `offset` on where a record could begin. Only what has a later seq is worth a
 * hash. */
static int scan_segment(struct log_reader *reader, int fd, uint64_t number, uint64_t offset)
{
	uint64_t seed = segment_seed(reader->store_id, number);
	char *bytes = malloc(CHUNK);
	ssize_t got;
	int rc = bytes ? 0 : -ENOMEM;

	while (rc == 0) {
		got = file_read_at(fd, bytes, CHUNK, offset);
		if (got < CHANGELOG_HEAD) {
			rc = got < 0 ? (int)got : 0;
			break;
		}
		for (ssize_t at = 0; at + CHANGELOG_HEAD <= got && rc == 0; at += 8) {
			if (le_get32(bytes + at + 8) != SEGMENT_RECORD_MAGIC ||
			    le_get64(bytes + at + 16) <= reader->pos.seq)
				continue;
			rc = read_record(fd, seed, offset + (uint64_t)at, &reader->record);
			if (rc == 0)
				rc = proves_loss(reader);
			else if (rc == -ENOENT)
				rc = 0;
		}
		offset += (uint64_t)(got - CHANGELOG_HEAD) / 8 * 8 + 8;
	}
	free(bytes);
	return rc;
}

int log_reader_is_damage(struct log_reader *reader, uint64_t last_segment)
{
	uint64_t offset = reader->pos.offset;
	int rc = 0;

	for (uint64_t number = reader->pos.segment; number <= last_segment && rc == 0; number++) {
		int fd = -1;

		rc = open_to_read(reader, number, &fd);
		if (rc == 0) {
			rc = scan_segment(reader, fd, number, offset);
			close(fd);
		} else if (rc == -ENOENT) {
			rc = 0;
		}
		offset = CHANGELOG_FIRST;
	}
	return rc;
}
