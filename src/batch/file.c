/* SPDX-License-Identifier: MIT */
/*
 * The spool's files: content, and the bounds on it. What is written goes to the disk's page cache as in any file system; nothing is
 * gathered in memory.
 *
 * A file counts as long as it is: holes too, for a bound that a reader can check must not depend on what a file system does with zeros. The count
 * is taken before the bytes are written. Beside it, some of the disk is left to the store itself: a spool that may have all of it would end
 * everybody's writes.
 *
 * A file of which a piece could not be written is not what its writer meant, whatever the writer does next (cp closes it, a shell's redirection
 * too): its mark makes the load of it fail, unless it is cut to nothing or written again from there on.
 *
 * A file that belongs to a job is not written to any more. To cut it to nothing begins another file under its name; any other
 * write to it is ETXTBSY while the job has it, and makes it a file of its own (of zeros, where it was loaded) afterwards.
 */
#include "batch/private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "base/file.h"
#include "base/log.h"

enum {
	ASK_EVERY = 1 << 20,		/* bytes between two looks at the disk */
	KEPT_MAX = 1 << 30,		/* of the disk, for the store: a twentieth, at the most this */
	KEPT_SHARE = 20,
	WARN_EVERY_S = 60,
};

/* ---- bounds ---- */

bool file_leaves_room(int fd)
{
	struct statvfs st;
	uint64_t kept;

	if (fstatvfs(fd, &st) < 0)
		return true;
	kept = st.f_blocks * st.f_frsize / KEPT_SHARE;
	if (kept > KEPT_MAX)
		kept = KEPT_MAX;
	return st.f_bavail * st.f_frsize > kept;
}

static bool has_disk(struct batch *batch, uint64_t more)
{
	if (atomic_fetch_add(&batch->unchecked, more) + more < ASK_EVERY && more < ASK_EVERY)
		return true;
	atomic_store(&batch->unchecked, 0);
	return file_leaves_room(batch->fd);
}

/* The copier sees ENOSPC whatever it was; the log says what to do, once a minute. */
static int refuse_room(struct batch *batch, const char *reason)
{
	int64_t now_ns = clock_monotonic(), last_ns = atomic_load(&batch->warned_ns);

	if ((!last_ns || now_ns - last_ns > WARN_EVERY_S * CLOCK_SECOND) && atomic_compare_exchange_strong(&batch->warned_ns, &last_ns, now_ns))
		log_warn("spool: a copy into .import got ENOSPC: %s", reason);
	return -ENOSPC;
}

int file_charge(struct batch *batch, uint64_t more)
{
	uint64_t max = batch->options.spool_bytes;

	if (more > max || atomic_fetch_add(&batch->bytes, more) + more > max) {
		if (more <= max)
			atomic_fetch_sub(&batch->bytes, more);
		return refuse_room(batch, "what is dropped and not loaded yet would be more than batch.spool_size");
	}
	if (has_disk(batch, more))
		return 0;
	atomic_fetch_sub(&batch->bytes, more);
	return refuse_room(batch, "the disk has only the room left that is kept for the store itself");
}

int file_count(struct batch *batch)
{
	if (atomic_fetch_add(&batch->files, 1) < batch->options.spool_files)
		return 0;
	atomic_fetch_sub(&batch->files, 1);
	return refuse_room(batch, "there are batch.spool_files files and directories; what was loaded goes after batch.retention");
}

void file_uncharge(struct batch *batch, uint64_t less)
{
	atomic_fetch_sub(&batch->bytes, less);
}

struct writer *file_find_writer(struct batch *batch, ino_t ino)
{
	struct writer *writer = batch->writers;

	while (writer && writer->ino != ino)
		writer = writer->next;
	return writer;
}

void file_forget_name(struct batch *batch, const struct stat *st)
{
	struct writer *writer = file_find_writer(batch, st->st_ino);

	atomic_fetch_sub(&batch->files, 1);
	if (writer)
		writer->is_gone = true;
	if (st->st_nlink > 1)
		return;
	/* The kernel tells of the last handle after the close, and whoever removes what it has closed wants the room of it at once. */
	if (writer && writer->is_marked) {
		file_uncharge(batch, writer->charged);
		writer->charged = 0;
	} else if (!writer && !(spool_marks(st) & MARK_LOADED)) {
		file_uncharge(batch, (uint64_t)st->st_size);
	}
}

int file_free_content(struct batch *batch, int fd, const struct stat *st)
{
	const struct timespec times[2] = { st->st_atim, st->st_mtim };
	int rc = 0;

	if (ftruncate(fd, 0) < 0 || ftruncate(fd, st->st_size) < 0 || futimens(fd, times) < 0 ||
	    fchmod(fd, SPOOL_MODE | spool_marks(st) | MARK_LOADED) < 0)
		rc = -errno;
	file_uncharge(batch, (uint64_t)st->st_size);
	return rc;
}

/* ---- opening ---- */

static int create(struct batch *batch, int dir_fd, const char *name)
{
	int fd, rc = file_count(batch);

	if (rc < 0)
		return rc;
	fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, SPOOL_MODE);
	if (fd >= 0)
		return fd;
	fd = -errno;
	atomic_fetch_sub(&batch->files, 1);
	return fd;
}

/* An existing file that is cut to nothing. A file of a job is left to it. Returns the descriptor, maybe another one. */
static int cut(struct batch *batch, int dir_fd, const char *name, int fd, const struct stat *st)
{
	int rc;

	if (spool_marks(st) & MARK_SEALED) {
		close(fd);
		if (unlinkat(dir_fd, name, 0) < 0)
			return -errno;
		file_forget_name(batch, st);
		return create(batch, dir_fd, name);
	}
	if (ftruncate(fd, 0) == 0 && fchmod(fd, SPOOL_MODE) == 0)
		return fd;
	rc = -errno;
	close(fd);
	return rc;
}

/* [L]. `is_new`: created or cut. */
static int enter_writer(struct batch *batch, struct batch_file *file, const char *path, bool is_new)
{
	struct writer *writer;
	struct stat st;

	if (fstat(file->fd, &st) < 0)
		return -errno;
	writer = file_find_writer(batch, st.st_ino);
	if (!writer) {
		writer = calloc(1, sizeof *writer);
		if (!writer)
			return -ENOMEM;
		writer->ino = st.st_ino;
		writer->charged = spool_marks(&st) & MARK_LOADED ? 0 : (uint64_t)st.st_size;
		writer->next = batch->writers;
		batch->writers = writer;
		drop_move_writer_locked(batch, writer, file->group_id, path);
	}
	if (is_new && writer->charged > (uint64_t)st.st_size) {
		file_uncharge(batch, writer->charged - (uint64_t)st.st_size);
		writer->charged = (uint64_t)st.st_size;
	}
	writer->opens++;
	writer->is_new = writer->is_new || is_new;
	/* An empty file is not yet what its opener wants it to be, but for this one. */
	file->is_dirty = is_new && !strcmp(strrchr(path, '/') ? strrchr(path, '/') + 1 : path, SUCCESS_NAME);
	file->writer = writer;
	return 0;
}

/* [L] */
static int open_to_write(struct batch *batch, struct batch_file *file, const char *path, int flags)
{
	const char *name;
	bool is_new = flags & O_TRUNC;
	struct stat st = { 0 };
	int dir_fd, fd, rc = spool_make_group(batch, file->group_id);

	dir_fd = rc < 0 ? rc : spool_open_parent(batch, file->group_id, path, &name);
	if (dir_fd < 0)
		return dir_fd;
	fd = openat(dir_fd, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT && (flags & O_CREAT)) {
		fd = create(batch, dir_fd, name);
		is_new = true;
	} else if (fd < 0) {
		fd = -errno;
	} else if (fstat(fd, &st) < 0 || (flags & O_EXCL)) {
		rc = flags & O_EXCL ? -EEXIST : -errno;
		close(fd);
		fd = rc;
	} else if (is_new) {
		if (!(spool_marks(&st) & MARK_SEALED) && !file_find_writer(batch, st.st_ino))
			file_uncharge(batch, (uint64_t)st.st_size);
		fd = cut(batch, dir_fd, name, fd, &st);
	}
	close(dir_fd);
	if (fd < 0)
		return fd;
	file->fd = fd;
	return enter_writer(batch, file, path, is_new);
}

int batch_file_open(struct batch *batch, uint32_t group_id, const char *path, int flags, struct batch_file **out)
{
	bool is_writing = (flags & O_ACCMODE) != O_RDONLY || (flags & (O_TRUNC | O_CREAT));
	struct batch_file *file;
	int rc = spool_check_path(path);

	if (rc < 0)
		return rc;
	file = calloc(1, sizeof *file);
	if (!file)
		return -ENOMEM;
	*file = (struct batch_file){ .batch = batch, .fd = -1, .group_id = group_id };
	if (is_writing) {
		pthread_mutex_lock(&batch->lock);
		rc = open_to_write(batch, file, path, flags);
		pthread_mutex_unlock(&batch->lock);
	} else {
		file->fd = spool_open(batch, group_id, path, O_RDONLY);
		rc = file->fd < 0 ? file->fd : 0;
	}
	if (rc < 0) {
		if (file->fd >= 0)
			close(file->fd);
		free(file);
		return rc;
	}
	*out = file;
	return 0;
}

/* ---- content ---- */

int batch_file_stat(struct batch_file *file, struct batch_stat *out)
{
	struct stat st;

	if (fstat(file->fd, &st) < 0)
		return -errno;
	spool_fill_stat(&st, out);
	return 0;
}

ssize_t batch_file_read(struct batch_file *file, void *out, size_t size, uint64_t offset)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = pread(file->fd, (char *)out + done, size - done, (off_t)(offset + done));

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			break;
		done += n > 0 ? (size_t)n : 0;
	}
	return (ssize_t)done;
}

/* Before something of the file changes: it must be nobody's but its writers'. [L] */
static int make_own(struct batch *batch, struct batch_file *file)
{
	struct stat st;
	int rc;

	file->is_dirty = true;
	if (file->writer->is_new && !file->writer->is_marked)
		return 0;
	if (fstat(file->fd, &st) < 0)
		return -errno;
	if ((spool_marks(&st) & MARK_SEALED) && !(spool_marks(&st) & MARK_LOADED))
		return -ETXTBSY;
	if (spool_marks(&st) & MARK_LOADED) {
		rc = file_charge(batch, (uint64_t)st.st_size);
		if (rc < 0)
			return rc;
		file->writer->charged = (uint64_t)st.st_size;
	}
	if (spool_marks(&st) && fchmod(file->fd, SPOOL_MODE | (spool_marks(&st) & MARK_BROKEN)) < 0)
		return -errno;
	if (file->writer->is_marked && file->writer->drop)
		drop_forget_pending_locked(batch, file->writer->drop);
	file->writer->is_new = true;
	file->writer->is_marked = false;
	return 0;
}

/* [L] */
static void mark_broken(struct batch_file *file, bool is_broken)
{
	struct stat st;

	file->writer->is_broken = is_broken;
	if (fstat(file->fd, &st) == 0)
		fchmod(file->fd, SPOOL_MODE | (spool_marks(&st) & ~(unsigned)MARK_BROKEN) | (is_broken ? MARK_BROKEN : 0));
}

/* A write from `offset` on has ended with `rc`. Whoever tries again from there on has mended it. */
static void note_write(struct batch_file *file, uint64_t offset, int rc)
{
	struct writer *writer = file->writer;

	pthread_mutex_lock(&file->batch->lock);
	if (rc < 0 && (!writer->is_broken || offset < writer->broken_at))
		writer->broken_at = offset;
	if (rc < 0)
		mark_broken(file, true);
	else if (writer->is_broken && offset <= writer->broken_at)
		mark_broken(file, false);
	pthread_mutex_unlock(&file->batch->lock);
}

/* Takes what a file of `size` bytes counts. [L] */
static int charge_to(struct batch *batch, struct writer *writer, uint64_t size)
{
	int rc = 0;

	if (size > writer->charged)
		rc = file_charge(batch, size - writer->charged);
	if (rc == 0 && size > writer->charged)
		writer->charged = size;
	return rc;
}

int batch_file_write(struct batch_file *file, struct slice bytes, uint64_t offset, bool at_end)
{
	struct batch *batch = file->batch;
	uint64_t end;
	bool was_broken;
	struct stat st;
	int rc = 0;

	if (!file->writer)
		return -EBADF;
	pthread_mutex_lock(&batch->lock);
	rc = make_own(batch, file);
	if (rc == -ETXTBSY) {
		pthread_mutex_unlock(&batch->lock);
		return rc;
	}
	was_broken = file->writer->is_broken;
	if (rc == 0 && at_end) {
		rc = fstat(file->fd, &st) < 0 ? -errno : 0;
		offset = rc == 0 ? (uint64_t)st.st_size : 0;
	}
	if (rc == 0 && (__builtin_add_overflow(offset, bytes.len, &end) || end > INT64_MAX))
		rc = -EFBIG;
	if (rc == 0)
		rc = charge_to(batch, file->writer, end);
	pthread_mutex_unlock(&batch->lock);
	if (rc == 0)
		rc = file_write_at(file->fd, bytes.data, bytes.len, offset);
	if (rc < 0 || was_broken)
		note_write(file, offset, rc);
	return rc;
}

int batch_file_resize(struct batch_file *file, uint64_t size)
{
	struct batch *batch = file->batch;
	int rc;

	if (!file->writer)
		return -EBADF;
	if (size > INT64_MAX)
		return -EFBIG;
	pthread_mutex_lock(&batch->lock);
	rc = make_own(batch, file);
	if (rc == 0)
		rc = charge_to(batch, file->writer, size);
	if (rc == 0 && ftruncate(file->fd, (off_t)size) < 0)
		rc = -errno;
	if (rc == 0 && !size)
		mark_broken(file, false);
	if (rc == 0 && size < file->writer->charged) {
		file_uncharge(batch, file->writer->charged - size);
		file->writer->charged = size;
	}
	pthread_mutex_unlock(&batch->lock);
	return rc;
}

int batch_resize(struct batch *batch, uint32_t group_id, const char *path, uint64_t size)
{
	struct batch_file *file;
	int rc = batch_file_open(batch, group_id, path, O_WRONLY, &file);

	if (rc < 0)
		return rc;
	rc = batch_file_resize(file, size);
	/* By itself it says nothing about the file being whole. */
	pthread_mutex_lock(&batch->lock);
	if (file->writer->opens == 1)
		file->writer->is_new = false;
	pthread_mutex_unlock(&batch->lock);
	batch_file_close(file, path);
	return rc;
}

int batch_file_sync(struct batch_file *file)
{
	return fdatasync(file->fd) < 0 ? -errno : 0;
}

/* ---- times and options ---- */

static int stamp(int fd, int64_t mtime_ns)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_nsec = UTIME_NOW } };

	if (mtime_ns != INGEST_NOW)
		times[1] = clock_to_timespec(mtime_ns);
	return futimens(fd, times) < 0 ? -errno : 0;
}

int batch_file_stamp(struct batch_file *file, int64_t mtime_ns)
{
	return stamp(file->fd, mtime_ns);
}

int batch_stamp(struct batch *batch, uint32_t group_id, const char *path, int64_t mtime_ns)
{
	struct stat st;
	int fd, rc;

	fd = spool_open(batch, group_id, path, O_RDONLY);
	if (fd < 0)
		return fd == -ENOENT && !*path ? 0 : fd;
	rc = stamp(fd, mtime_ns);
	if (rc == 0 && fstat(fd, &st) < 0)
		rc = -errno;
	close(fd);
	if (rc == 0 && S_ISDIR(st.st_mode) && *path) {
		pthread_mutex_lock(&batch->lock);
		drop_signed_locked(batch, group_id, path);
		pthread_mutex_unlock(&batch->lock);
	}
	return rc;
}

/* ---- closing ---- */

void batch_file_closing(struct batch_file *file, const char *path)
{
	struct batch *batch = file->batch;
	struct stat st;

	if (!file->writer)
		return;
	pthread_mutex_lock(&batch->lock);
	if (file->is_dirty && !file->writer->is_gone && fstat(file->fd, &st) == 0 && !(spool_marks(&st) & MARK_SEALED) &&
	    fchmod(file->fd, SPOOL_MODE | spool_marks(&st) | MARK_CLOSED) == 0) {
		file->is_dirty = false;
		file->writer->is_marked = true;
		drop_closed_locked(batch, file->group_id, path);
	}
	pthread_mutex_unlock(&batch->lock);
}

bool batch_file_is_closed(struct batch_file *file)
{
	bool is_closed;

	if (!file->writer)
		return true;
	pthread_mutex_lock(&file->batch->lock);
	is_closed = file->writer->is_marked;
	pthread_mutex_unlock(&file->batch->lock);
	return is_closed;
}

static void unlist(struct batch *batch, const struct writer *writer)
{
	struct writer **at = &batch->writers;

	while (*at != writer)
		at = &(*at)->next;
	*at = writer->next;
}

/* The last handle goes. [L] */
static void end_writer(struct batch *batch, struct batch_file *file, const char *path)
{
	struct writer *writer = file->writer;
	struct drop *drop = writer->drop;
	struct stat st = { 0 };
	uint64_t size = 0;

	unlist(batch, writer);
	if (fstat(file->fd, &st) == 0 && st.st_nlink && !(spool_marks(&st) & MARK_LOADED))
		size = (uint64_t)st.st_size;
	if (size > writer->charged)
		atomic_fetch_add(&batch->bytes, size - writer->charged);
	else
		file_uncharge(batch, writer->charged - size);
	if (writer->is_new && path && st.st_nlink && !(spool_marks(&st) & MARK_SEALED)) {
		fchmod(file->fd, SPOOL_MODE | spool_marks(&st) | MARK_CLOSED);
		drop_came_locked(batch, file->group_id, path, false, writer->is_marked);
	}
	if (drop) {
		drop->n_writers--;
		drop_settle_locked(batch, drop);
	}
	free(writer);
}

void batch_file_close(struct batch_file *file, const char *path)
{
	struct batch *batch = file->batch;

	if (file->writer) {
		pthread_mutex_lock(&batch->lock);
		if (--file->writer->opens == 0)
			end_writer(batch, file, path);
		pthread_mutex_unlock(&batch->lock);
	}
	close(file->fd);
	free(file);
}
