/* SPDX-License-Identifier: MIT */
/* Counters of a group, kept in STORE_STATS by the commits that change them, so that they are exact at every snapshot. */
#ifndef CATALOG_STATS_H
#define CATALOG_STATS_H

#include <stdint.h>
#include "base/buf.h"
#include "base/slice.h"

enum { CATALOG_LANES = 3 };	/* direct, stream, batch: enum record_lane less one */

struct catalog_stats {
	uint64_t entities;		/* rows with RECORD_EXISTS */
	uint64_t rows;			/* rows in the map, those that hold only tombstones too */
	uint64_t row_bytes;		/* their packed size, names included */
	uint64_t applied[CATALOG_LANES];	/* values written or deleted, since the group was made */
	uint64_t late[CATALOG_LANES];	/* values that lost to a newer one */
	uint64_t swept;			/* values removed by the sweep */
	int64_t newest_event_ns;	/* the newest event time ever written; 0: none */
};

/* Empty bytes are all zeros. -EBADMSG. */
int catalog_stats_decode(struct slice bytes, struct catalog_stats *out);
void catalog_stats_encode(const struct catalog_stats *stats, struct buf *out);

#endif
