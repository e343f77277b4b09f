/* SPDX-License-Identifier: MIT */
/* The order rule: what becomes of a row when a change meets it. Pure functions. Private to ingest. */
#ifndef INGEST_MERGE_H
#define INGEST_MERGE_H

#include <stdint.h>
#include "base/why.h"
#include "catalog/catalog.h"
#include "store/record.h"

/* The clock and the settings of one commit. */
struct merge_clock {
	int64_t now_ns;
	int64_t ingest_ns;	/* unique to the commit */
	int64_t future_ns;
	int64_t tombstone_ns;
};

struct merge_outcome {
	unsigned applied;	/* cells that the delta sets or deletes */
	unsigned late;		/* cells that lost */
	unsigned swept;
	int64_t newest_event_ns;	/* among the applied; INT64_MIN: none */
	int fault_slot;		/* of a refusal: the feature's slot */
};

/* What of `in` wins over `row`: the winners go to `delta`, the losers to `late`, each with its final stamp. `flags` are INGEST_FORCE and
 * INGEST_LATE_FAILS. -ESTALE, -EINVAL (too far ahead) with a reason that names the feature; both builders are then unspecified. */
int merge_put(const struct record *row, const struct record *in, const struct catalog_group *grp, unsigned flags,
	      const struct merge_clock *clock, struct record_builder *delta, struct record_builder *late,
	      struct merge_outcome *out, struct why *why);
/* The entity deleted as a whole at `stamp` (its event time may be INGEST_NOW). */
int merge_delete_entity(const struct record *row, const struct record_stamp *stamp, unsigned flags, const struct merge_clock *clock,
			struct record_builder *delta, struct merge_outcome *out, struct why *why);
/* What the sweep takes away: returns whether there is anything. */
bool merge_sweep(const struct record *row, const struct catalog_group *grp, const struct merge_clock *clock,
		 struct record_builder *delta, struct merge_outcome *out);

/* Is the time too far ahead of the clock? -EINVAL. */
int merge_check_future(int64_t event_ns, const struct merge_clock *clock, struct why *why);

/* Adds to a delta that the row's cell of the slot goes, with the commit's time as its stamp. */
void merge_take_away(struct record_builder *delta, uint16_t slot, const struct merge_clock *clock);

#endif
