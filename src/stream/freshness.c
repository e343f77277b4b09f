/* SPDX-License-Identifier: MIT */
/*
 * Two windows of a minute: the one in hand and the one before. Both are asked, so that a quantile never stands on the first few messages of
 * a new window; what is older than both is forgotten.
 */
#include "stream/freshness.h"

#include <string.h>
#include "base/clock.h"

#define WINDOW (60 * CLOCK_SECOND)

enum { STEPS = 4 };	/* buckets for each doubling */

/* Ages below 4 us have a bucket each, then four for every doubling. */
static unsigned bucket_of(int64_t age_ns)
{
	uint64_t us = age_ns > 0 ? (uint64_t)age_ns / 1000 : 0;
	unsigned log, bucket;

	if (us < STEPS)
		return (unsigned)us;
	log = 63 - (unsigned)__builtin_clzll(us);
	bucket = (log - 1) * STEPS + (unsigned)((us >> (log - 2)) & (STEPS - 1));
	return bucket < FRESHNESS_BUCKETS ? bucket : FRESHNESS_BUCKETS - 1;
}

/* The upper end of a bucket. */
static int64_t end_of(unsigned bucket)
{
	unsigned log = bucket / STEPS + 1;

	if (bucket < STEPS)
		return (bucket + 1) * INT64_C(1000);
	return (int64_t)(STEPS + bucket % STEPS + 1) * (INT64_C(1) << (log - 2)) * 1000;
}

static void turn(struct freshness *fresh, int64_t now_ns)
{
	if (now_ns - fresh->begun_ns < WINDOW)
		return;
	if (now_ns - fresh->begun_ns < 2 * WINDOW) {
		memcpy(fresh->counts[1], fresh->counts[0], sizeof fresh->counts[0]);
		fresh->totals[1] = fresh->totals[0];
	} else {
		memset(fresh->counts[1], 0, sizeof fresh->counts[1]);
		fresh->totals[1] = 0;
	}
	memset(fresh->counts[0], 0, sizeof fresh->counts[0]);
	fresh->totals[0] = 0;
	fresh->begun_ns = now_ns;
}

void freshness_add(struct freshness *fresh, int64_t age_ns, int64_t now_ns)
{
	turn(fresh, now_ns);
	fresh->counts[0][bucket_of(age_ns)]++;
	fresh->totals[0]++;
}

int64_t freshness_quantile(const struct freshness *fresh, double q, int64_t now_ns)
{
	int64_t since = now_ns - fresh->begun_ns;
	uint64_t first = since < 2 * WINDOW ? fresh->totals[0] : 0, second = since < WINDOW ? fresh->totals[1] : 0;
	uint64_t want = (uint64_t)(q * (double)(first + second)), seen = 0;

	if (first + second == 0)
		return -1;
	for (unsigned i = 0; i < FRESHNESS_BUCKETS; i++) {
		seen += first ? fresh->counts[0][i] : 0;
		seen += second ? fresh->counts[1][i] : 0;
		if (seen > want || seen == first + second)
			return end_of(i);
	}
	return end_of(FRESHNESS_BUCKETS - 1);
}
