/* SPDX-License-Identifier: MIT */
/* Whole reads and writes at a place in a file. */
#ifndef STORE_FILE_H
#define STORE_FILE_H

#include <errno.h>
#include <stdint.h>
#include <sys/types.h>
#include <unistd.h>

/* 0, or -errno with an unknown part written. No space of any kind (disk, quota) is -ENOSPC. */
static inline int file_write_at(int fd, const void *data, size_t len, uint64_t offset)
{
	const char *p = data;

	while (len) {
		ssize_t n = pwrite(fd, p, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EDQUOT ? -ENOSPC : -errno;
		if (n == 0)
			return -EIO;
		p += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

/* Bytes read, fewer than `len` only at the file's end, or -errno. */
static inline ssize_t file_read_at(int fd, void *out, size_t len, uint64_t offset)
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

#endif
