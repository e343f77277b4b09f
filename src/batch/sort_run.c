/* SPDX-License-Identifier: MIT */
/*
 * Sorted rows in a file that has no name, so that nothing is left of it whatever happens. A mark in memory for every 64 KiB of it (an
 * entity and its place) finds a row with one read.
 */
#include "batch/sort_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/file.h"
#include "batch/private.h"

enum { MARK_BYTES = 64 << 10, WRITE_BYTES = 1 << 20 };

/* File systems without O_TMPFILE get a name for a moment. */
static int open_unlinked(int dir_fd)
{
	int fd = openat(dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	char name[40];

	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT))
		return fd >= 0 ? fd : -errno;
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(name, sizeof name, ".sort-%ld-%u", (long)getpid(), i);
		fd = openat(dir_fd, name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd >= 0)
			return unlinkat(dir_fd, name, 0) == 0 ? fd : (close(fd), -errno);
		if (errno != EEXIST)
			break;
	}
	return -errno;
}

int run_writer_open(int dir_fd, struct run_writer *out)
{
	struct run *run = calloc(1, sizeof *run);

	*out = (struct run_writer){ .run = run };
	if (!run)
		return -ENOMEM;
	run->fd = open_unlinked(dir_fd);
	if (run->fd < 0) {
		int rc = run->fd;

		free(run);
		out->run = NULL;
		return rc;
	}
	return 0;
}

/* What lies in the page cache can be let go once it is on the disk, so that begins at once. Whatever a file unfolds to, the store keeps the room
 * that others' writes need. */
static int write_out(struct run_writer *writer)
{
	int rc = !file_leaves_room(writer->run->fd) ? -ENOSPC : file_write_fd(writer->run->fd, buf_slice(&writer->buf));

	if (rc == 0) {
		sync_file_range(writer->run->fd, (off_t)(writer->run->bytes - writer->buf.len), (off_t)writer->buf.len, SYNC_FILE_RANGE_WRITE);
		buf_reset(&writer->buf);
	}
	return rc;
}

static int add_mark(struct run *run, struct slice entity)
{
	if (run->n_marks == run->cap_marks) {
		size_t cap = run->cap_marks * 2 + 64;
		struct run_mark *grown = realloc(run->marks, cap * sizeof *grown);

		if (!grown)
			return -ENOMEM;
		run->marks = grown;
		run->cap_marks = cap;
	}
	run->marks[run->n_marks++] = (struct run_mark){ run->bytes, run->names.len };
	buf_append_u8(&run->names, (uint8_t)entity.len);
	buf_append_slice(&run->names, entity);
	return buf_error(&run->names);
}

int run_writer_add(struct run_writer *writer, struct slice entity, struct slice record)
{
	struct run *run = writer->run;
	size_t len = row_len(entity, record);
	char *place;
	int rc = 0;

	if (run->bytes >= writer->next_mark) {
		rc = add_mark(run, entity);
		writer->next_mark = run->bytes + MARK_BYTES;
	}
	if (rc < 0)
		return rc;
	place = buf_reserve(&writer->buf, len);
	if (!place)
		return -ENOMEM;
	row_write(place, entity, record);
	writer->buf.len += len;
	run->bytes += len;
	return writer->buf.len >= WRITE_BYTES ? write_out(writer) : 0;
}

int run_writer_finish(struct run_writer *writer, struct run **out)
{
	int rc = write_out(writer);

	if (rc == 0) {
		*out = writer->run;
		writer->run = NULL;
	}
	run_writer_abort(writer);
	return rc;
}

void run_writer_abort(struct run_writer *writer)
{
	buf_release(&writer->buf);
	run_free(writer->run);
	writer->run = NULL;
}

void run_free(struct run *run)
{
	if (!run)
		return;
	close(run->fd);
	free(run->marks);
	buf_release(&run->names);
	free(run);
}

/* ---- finding ---- */

static struct slice mark_entity(const struct run *run, size_t i)
{
	const char *p = run->names.data + run->marks[i].name;

	return slice_of(p + 1, (uint8_t)*p);
}

/* The last mark that is not behind the entity; -1 if all are. */
static long find_mark(const struct run *run, struct slice entity)
{
	size_t low = 0, high = run->n_marks;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (slice_compare(mark_entity(run, mid), entity) <= 0)
			low = mid + 1;
		else
			high = mid;
	}
	return (long)low - 1;
}

static int read_piece(const struct run *run, uint64_t at, uint64_t end, struct buf *out)
{
	size_t len = (size_t)(end - at), got = 0;
	char *place = buf_reserve(out, len);

	if (!place)
		return -ENOMEM;
	while (got < len) {
		ssize_t n = pread(run->fd, place + got, len - got, (off_t)(at + got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		got += (size_t)n;
	}
	out->len += len;
	return 0;
}

int run_find(const struct run *run, struct slice entity, struct buf *out)
{
	long mark = find_mark(run, entity);
	struct buf piece = { 0 };
	size_t at = 0;
	int rc;

	if (mark < 0)
		return -ENOENT;
	rc = read_piece(run, run->marks[mark].at, (size_t)mark + 1 < run->n_marks ? run->marks[mark + 1].at : run->bytes, &piece);
	while (rc == 0) {
		const char *row = piece.data + at;
		int order;

		if (at == piece.len) {
			rc = -ENOENT;
			break;
		}
		order = slice_compare(row_entity(row), entity);
		if (order == 0) {
			buf_append_slice(out, row_record(row));
			rc = buf_error(out);
			break;
		}
		at += row_len(row_entity(row), row_record(row));
	}
	buf_release(&piece);
	return rc;
}
