/* SPDX-License-Identifier: MIT */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum {
	READ_STEP = 65536,
	WRITE_BACK_STEP = 4 << 20,
};

static int open_again(const char *path, int flags)
{
	int fd;

	do
		fd = open(path, flags | O_CLOEXEC);
	while (fd < 0 && errno == EINTR);
	return fd < 0 ? -errno : fd;
}

int file_read_fd(int fd, size_t max, struct buf *out)
{
	size_t begin = out->len;

	for (;;) {
		char *at = buf_reserve(out, READ_STEP);
		ssize_t n;

		if (!at)
			return -ENOMEM;
		n = read(fd, at, READ_STEP);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		out->len += (size_t)n;
		if (out->len - begin > max)
			return -EFBIG;
	}
}

int file_read_path(const char *path, size_t max, struct buf *out)
{
	int fd = open_again(path, O_RDONLY), rc;

	if (fd < 0)
		return fd;
	rc = file_read_fd(fd, max, out);
	close(fd);
	return rc;
}

ssize_t file_read_up_to(int fd, void *out, size_t len)
{
	char *p = out;
	size_t done = 0;

	while (done < len) {
		ssize_t n = read(fd, p + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

ssize_t file_read_at(int fd, void *out, size_t len, uint64_t offset)
{
	char *p = out;
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, p + done, len - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

static int write_error(ssize_t n)
{
	if (n == 0)
		return -EIO;
	return errno == EDQUOT ? -ENOSPC : -errno;
}

int file_write_fd(int fd, struct slice bytes)
{
	const char *p = bytes.data;

	for (size_t left = bytes.len; left;) {
		ssize_t n = write(fd, p, left);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return write_error(n);
		p += n;
		left -= (size_t)n;
	}
	return 0;
}

int file_write_at(int fd, const void *data, size_t len, uint64_t offset)
{
	const char *p = data;

	while (len) {
		ssize_t n = pwrite(fd, p, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return write_error(n);
		p += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

int file_write_path(const char *path, struct slice bytes)
{
	int fd = open_again(path, O_WRONLY | O_TRUNC), rc;

	if (fd < 0)
		return fd;
	rc = file_write_fd(fd, bytes);
	if (close(fd) < 0 && rc == 0)
		rc = -errno;
	return rc;
}

int file_write_back(int fd, uint64_t len)
{
	for (uint64_t at = 0; at < len; at += WRITE_BACK_STEP) {
		int rc = sync_file_range(fd, (off_t)at, WRITE_BACK_STEP, SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
					 SYNC_FILE_RANGE_WAIT_AFTER);

		if (rc < 0 && (errno == ENOSYS || errno == EINVAL || errno == ESPIPE))
			return 0;
		if (rc < 0 && errno != EINTR)
			return -errno;
	}
	return 0;
}
