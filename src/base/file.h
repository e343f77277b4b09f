/* SPDX-License-Identifier: MIT */
/* Whole reads and writes: a signal never ends one half-way, and a short one is gone on with. All give 0 or -errno unless they say else. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <stdint.h>
#include <sys/types.h>
#include "base/buf.h"
#include "base/slice.h"

/* Appends all of a file, or what is left of one that is open; more than `max` bytes is -EFBIG, with some of them appended. */
int file_read_path(const char *path, size_t max, struct buf *out);
int file_read_fd(int fd, size_t max, struct buf *out);
/* Bytes read into `out`, fewer than `len` only where the file ends, or -errno. */
ssize_t file_read_up_to(int fd, void *out, size_t len);
/* The same at a place. */
ssize_t file_read_at(int fd, void *out, size_t len, uint64_t offset);

/* Writes to a file that exists, in the place of what it holds: `close` has the last word, as on a mount. */
int file_write_path(const char *path, struct slice bytes);
/* On failure an unknown part is written. No space of any kind (disk, quota) is -ENOSPC. */
int file_write_fd(int fd, struct slice bytes);
int file_write_at(int fd, const void *data, size_t len, uint64_t offset);

/* Has the disk take what is dirty of the first `len` bytes, a little at a time, so that whoever syncs a few bytes meanwhile waits for one step and not for
 * all. It is no sync: sync the file behind it, for which little is left then. Does nothing on a file system that has no such thing. */
int file_write_back(int fd, uint64_t len);

#endif
