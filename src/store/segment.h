/* SPDX-License-Identifier: MIT */
/* What the two ends of the change log share: names, seeds and marks of segments. Their meaning stands at the head of
 * changelog.c. */
#ifndef STORE_SEGMENT_H
#define STORE_SEGMENT_H

#include <inttypes.h>
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

#endif
