/* SPDX-License-Identifier: MIT */
/*
 * The change log from its making to the first record that is appended: which segments are there, which of them are the log, and what of
 * them has to be made durable before anything follows. What it consists of stands at the head of changelog.c.
 */
#include "store/changelog.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "store/segment.h"

/* ---- making the log ---- */

int changelog_create(int store_dir_fd, uint64_t store_id, uint64_t segment_bytes)
{
	int dir_fd, fd = -1, rc;

	if (mkdirat(store_dir_fd, "log", 0770) < 0 && errno != EEXIST)
		return -errno;
	dir_fd = openat(store_dir_fd, "log", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		return -errno;
	rc = segment_make(dir_fd, store_id, 1, segment_bytes, 0, false, &fd);
	if (rc == 0 && fsync(store_dir_fd) < 0)
		rc = -errno;
	if (fd >= 0)
		close(fd);
	close(dir_fd);
	return rc;
}

struct log_position changelog_origin(uint64_t seq)
{
	return (struct log_position){ .segment = 1, .offset = CHANGELOG_FIRST, .seq = seq };
}

/* ---- opening ---- */

static int compare_segments(const void *a, const void *b)
{
	const struct log_segment *x = a, *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

static int list_segments(struct changelog *log)
{
	int fd = openat(log->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	struct stat st;

	if (!dir) {
		rc = -errno;
		if (fd >= 0)
			close(fd);
		return rc;
	}
	while (rc == 0 && (errno = 0, entry = readdir(dir))) {
		uint64_t number = segment_parse_name(entry->d_name, "log"), spare = segment_parse_name(entry->d_name, "spare");

		if (fstatat(log->dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
			continue;
		if (number)
			rc = changelog_push(log, (struct log_segment){ .number = number, .bytes = (uint64_t)st.st_size });
		else if (spare && log->n_spares < CHANGELOG_SPARES && (uint64_t)st.st_size == log->segment_bytes)
			log->spares[log->n_spares++] = spare;
		else if (spare || !strcmp(entry->d_name, "next.new"))
			unlinkat(log->dir_fd, entry->d_name, 0);
	}
	if (rc == 0 && errno)
		rc = -errno;
	closedir(dir);
	if (log->n_segments)
		qsort(log->segments, log->n_segments, sizeof *log->segments, compare_segments);
	return rc;
}

static int open_segment(struct changelog *log, uint64_t number, int *out_fd)
{
	char name[SEGMENT_NAME_MAX];
	int fd, rc;

	segment_name(name, number, "log");
	fd = openat(log->dir_fd, name, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	rc = segment_check(fd, log->store_id, number);
	if (rc < 0)
		close(fd);
	else
		*out_fd = fd;
	return rc;
}

int changelog_open(struct changelog *log, int store_dir_fd, uint64_t store_id, uint64_t segment_bytes, bool relaxed,
		   const struct log_position *start, struct why *why)
{
	int rc, fd;

	*log = (struct changelog){ .store_id = store_id, .segment_bytes = segment_bytes, .relaxed = relaxed, .fd = -1,
				   .next_fd = -1 };
	pthread_mutex_init(&log->lock, NULL);
	pthread_cond_init(&log->prepared, NULL);
	log->dir_fd = openat(store_dir_fd, "log", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (log->dir_fd < 0) {
		rc = why_fail(why, errno == ENOENT ? EBADMSG : errno, "its folder log/ can't be opened: %s",
			      strerror(errno));
		goto fail;
	}
	rc = list_segments(log);
	if (rc < 0)
		goto fail;
	rc = open_segment(log, start->segment, &fd);
	if (rc == -ENOENT || rc == -EBADMSG)
		rc = why_fail(why, EBADMSG, "segment %016" PRIx64 " of its log is %s", start->segment,
			      rc == -ENOENT ? "missing" : "damaged or of another store");
	if (rc < 0)
		goto fail;
	close(fd);
	return 0;
fail:
	changelog_close(log);
	return rc;
}

void changelog_close(struct changelog *log)
{
	if (log->fd >= 0)
		close(log->fd);
	if (log->next_fd >= 0)
		close(log->next_fd);
	if (log->dir_fd >= 0)
		close(log->dir_fd);
	free(log->segments);
	pthread_mutex_destroy(&log->lock);
	pthread_cond_destroy(&log->prepared);
	*log = (struct changelog){ .fd = -1, .next_fd = -1, .dir_fd = -1 };
}

/* ---- starting ---- */

/* The seq of the first record of a segment that is whole; 0 if there is none. */
static int read_first_seq(struct changelog *log, uint64_t number, uint64_t *out)
{
	struct log_segment segment = { .number = number };
	struct log_reader reader;
	struct slice payload;
	int rc;

	log_reader_init_segment(&reader, log->dir_fd, log->store_id, &segment);
	rc = log_reader_next(&reader, out, &payload);
	if (rc == -ENOENT) {
		*out = 0;
		rc = 0;
	}
	log_reader_release(&reader);
	return rc;
}

/* What it leaves behind on a failure is tried again at the next start. */
static void remove_segment(struct changelog *log, uint64_t number)
{
	char name[SEGMENT_NAME_MAX];

	segment_name(name, number, "log");
	unlinkat(log->dir_fd, name, 0);
}

/* Keeps the segments that end with the last one of the log and have no gap. What is before a gap was let go of once,
 * and what is behind the end was made ahead, or is the rest of a tail that was cut. */
static int settle_segments(struct changelog *log, uint64_t last)
{
	size_t kept = 0;
	int rc = 0;

	for (size_t i = 0; i < log->n_segments && rc == 0; i++) {
		struct log_segment segment = log->segments[i];

		if (segment.number <= last) {
			rc = read_first_seq(log, segment.number, &segment.first_seq);
			if (segment.first_seq >= log->end.seq)
				segment.first_seq = 0;
			if (kept && (log->segments[kept - 1].number + 1 != segment.number ||
				     !log->segments[kept - 1].first_seq))
				for (; kept; kept--)
					remove_segment(log, log->segments[kept - 1].number);
			log->segments[kept++] = segment;
		} else if (segment.number == last + 1 && segment.bytes >= log->segment_bytes &&
			   open_segment(log, segment.number, &log->next_fd) == 0) {
			log->next_bytes = segment.bytes;
		} else {
			remove_segment(log, segment.number);
		}
	}
	log->n_segments = kept;
	return rc == 0 && fsync(log->dir_fd) < 0 ? -errno : rc;
}

/* Writes the last record once more before syncing. If an earlier sync of it failed, the kernel may hold its pages as
 * clean though they never reached the disk; written again they are dirty again. */
static int sync_tail(struct changelog *log, const struct log_position *start, const struct log_position *last)
{
	struct log_reader reader;
	struct slice payload;
	uint64_t seq;
	int rc = 0, fd;

	for (uint64_t number = start->segment; number <= log->end.segment && rc == 0; number++) {
		rc = open_segment(log, number, &fd);
		if (rc < 0)
			break;
		if (last->offset && number == last->segment) {
			log_reader_init(&reader, log->dir_fd, log->store_id, last);
			rc = log_reader_next(&reader, &seq, &payload);
			if (rc == 0)
				rc = file_write_at(fd, reader.record.data, reader.record.len, last->offset);
			log_reader_release(&reader);
		}
		if (rc == 0 && fdatasync(fd) < 0)
			rc = -errno;
		close(fd);
	}
	return rc;
}

int changelog_start(struct changelog *log, const struct log_position *start, const struct log_position *end,
		    const struct log_position *last)
{
	struct stat st;
	int rc;

	log->end = *end;
	rc = sync_tail(log, start, last);
	if (rc == 0)
		rc = settle_segments(log, end->segment);
	if (rc == 0)
		rc = open_segment(log, end->segment, &log->fd);
	if (rc == 0 && fstat(log->fd, &st) < 0)
		rc = -errno;
	if (rc < 0)
		return rc;
	log->room = (uint64_t)st.st_size;
	log->is_synced = true;
	atomic_store(&log->written_seq, end->seq - 1);
	atomic_store(&log->synced_seq, end->seq - 1);
	return 0;
}
