/* SPDX-License-Identifier: MIT */
/* A segment's file, made ready before it has its name. Its form, and why that is so, stand at the head of changelog.c. */
#include "store/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>
#include "base/file.h"
#include "store/le.h"

enum {
	SEGMENT_HEAD = 40,
	ZEROS = 1 << 20,		/* bytes zeroed between two syncs: a smooth load for the commits beside it */
};

uint64_t segment_parse_name(const char *name, const char *kind)
{
	char again[SEGMENT_NAME_MAX];
	uint64_t number = 0;
	const char *p;

	for (p = name; p < name + 16; p++) {
		if (*p >= '0' && *p <= '9')
			number = number << 4 | (uint64_t)(*p - '0');
		else if (*p >= 'a' && *p <= 'f')
			number = number << 4 | (uint64_t)(*p - 'a' + 10);
		else
			return 0;
	}
	segment_name(again, number, kind);
	return strcmp(name, again) ? 0 : number;
}

static void encode_header(uint8_t out[SEGMENT_HEAD], uint64_t store_id, uint64_t number)
{
	memcpy(out + 8, "FeatLog1", 8);
	le_put64(out + 16, store_id);
	le_put64(out + 24, number);
	le_put64(out + 32, 0);
	le_put64(out, XXH3_64bits(out + 8, SEGMENT_HEAD - 8));
}

int segment_check(int fd, uint64_t store_id, uint64_t number)
{
	uint8_t head[SEGMENT_HEAD], want[SEGMENT_HEAD];
	ssize_t len = file_read_at(fd, head, sizeof head, 0);

	if (len < 0)
		return (int)len;
	encode_header(want, store_id, number);
	return len == sizeof head && !memcmp(head, want, sizeof head) ? 0 : -EBADMSG;
}

static int fill_zeros(int fd, uint64_t bytes)
{
	char *zeros = calloc(1, ZEROS);
	int rc = zeros ? 0 : -ENOMEM;

	for (uint64_t at = 0; at < bytes && rc == 0; at += ZEROS) {
		rc = file_write_at(fd, zeros, bytes - at < ZEROS ? bytes - at : ZEROS, at);
		if (rc == 0 && fdatasync(fd) < 0)
			rc = -errno;
	}
	free(zeros);
	return rc;
}

int segment_allocate(int fd, uint64_t from, uint64_t to)
{
	int rc;

	do
		rc = posix_fallocate(fd, (off_t)from, (off_t)(to - from));
	while (rc == EINTR);
	return rc == EDQUOT ? -ENOSPC : -rc;
}

int segment_make(int dir_fd, uint64_t store_id, uint64_t number, uint64_t bytes, uint64_t spare, bool is_quick,
			int *out_fd)
{
	char from[SEGMENT_NAME_MAX] = "next.new", to[SEGMENT_NAME_MAX];
	uint8_t head[SEGMENT_HEAD];
	int fd, rc = 0;

	segment_name(to, number, "log");
	if (spare)
		segment_name(from, spare, "spare");
	fd = openat(dir_fd, from, O_RDWR | O_CLOEXEC | (spare ? 0 : O_CREAT | O_TRUNC), 0660);
	if (fd < 0)
		return -errno;
	if (!spare)
		rc = is_quick ? segment_allocate(fd, 0, bytes) : fill_zeros(fd, bytes);
	encode_header(head, store_id, number);
	if (rc == 0)
		rc = file_write_at(fd, head, sizeof head, 0);
	if (rc == 0 && fdatasync(fd) < 0)
		rc = -errno;
	if (rc == 0 && (renameat(dir_fd, from, dir_fd, to) < 0 || fsync(dir_fd) < 0))
		rc = -errno;
	if (rc < 0) {
		unlinkat(dir_fd, from, 0);
		close(fd);
		return rc;
	}
	/* A record smaller than a page changes a part of it: have the pages at hand. */
	if (spare)
		posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED);
	*out_fd = fd;
	return 0;
}
