/* SPDX-License-Identifier: MIT */
/* Segments: their files, and what the two ends of the change log share of their names, seeds and marks. The meaning stands at
 * the head of changelog.c. */
#ifndef STORE_SEGMENT_H
#define STORE_SEGMENT_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define SEGMENT_RECORD_MAGIC UINT32_C(0x31524c46)

enum {
	SEGMENT_AFTER_SYNC = 1,		/* a record's flag */
	SEGMENT_NAME_MAX = 32,
};

/* `kind`: "log" or "spare". */
static inline void segment_name(char out[SEGMENT_NAME_MAX], uint64_t number, const char *kind)
{
	snprintf(out, SEGMENT_NAME_MAX, "%016" PRIx64 ".%s", number, kind);
}

static inline uint64_t segment_seed(uint64_t store_id, uint64_t number)
{
	return store_id ^ (number * UINT64_C(0x9e3779b97f4a7c15));
}

/* The number in a name of that kind; 0 if it is another kind of name. */
uint64_t segment_parse_name(const char *name, const char *kind);
/* -EBADMSG: damaged, or of another store or number. */
int segment_check(int fd, uint64_t store_id, uint64_t number);
/* Makes the file of a segment, from a spare one if `spare` names one, and gives it its name once it is durable. `is_quick`: its blocks are
 * allocated, not filled with zeros. */
int segment_make(int dir_fd, uint64_t store_id, uint64_t number, uint64_t bytes, uint64_t spare, bool is_quick, int *out_fd);
/* Blocks for these bytes of an open segment. -ENOSPC. */
int segment_allocate(int fd, uint64_t from, uint64_t to);

#endif
