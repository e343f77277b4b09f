/* SPDX-License-Identifier: MIT */
#ifndef STORE_SLOTS_H
#define STORE_SLOTS_H

#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/slice.h"

/* A small file whose content is replaced as a whole, in place. Not thread-safe. */
struct slots {
	int fd;
	size_t slot_bytes;
	unsigned newest;	/* 0 or 1 */
	uint64_t number;	/* of the newest: counts its replacements */
};

enum { SLOTS_HEADER = 32, SLOTS_SMALL = 4096 };	/* SLOTS_SMALL: bytes of a slot for a few fields */

/* Makes the file with its first content; durable when it returns, and there or not there at any instant before. Leaves
 * no file open. */
int slots_create(int dir_fd, const char *name, size_t slot_bytes, struct slice content);
/* Opens it and appends its content to `out`. -ENOENT; -EBADMSG if no slot is whole. */
int slots_open(int dir_fd, const char *name, size_t slot_bytes, bool is_writer, struct slots *out_slots,
	       struct buf *out);
/* Replaces the content; durable when it returns. On failure either content may be found later, never a mix. */
int slots_write(struct slots *slots, struct slice content);
void slots_close(struct slots *slots);

#endif
