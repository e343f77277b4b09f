/* SPDX-License-Identifier: MIT */
/*
 * How old messages are when they become readable: quantiles of the last minute or two, in a few hundred bytes a window. Buckets grow by a
 * quarter of a power of two, so a quantile is at most 25 % too high. Not thread-safe. Private to stream.
 */
#ifndef STREAM_FRESHNESS_H
#define STREAM_FRESHNESS_H

#include <stdint.h>

enum { FRESHNESS_BUCKETS = 192 };	/* up to 2^47 us: years */

struct freshness {
	uint32_t counts[2][FRESHNESS_BUCKETS];	/* of the window in hand and the one before */
	uint64_t totals[2];
	int64_t begun_ns;		/* monotonic: of the window in hand */
};

/* A negative age (a clock that is ahead) counts as none. `now_ns` is monotonic. */
void freshness_add(struct freshness *fresh, int64_t age_ns, int64_t now_ns);
/* The age that a share `q` (0 to 1) of messages was below, in nanoseconds; -1 if there was none lately. */
int64_t freshness_quantile(const struct freshness *fresh, double q, int64_t now_ns);

#endif
