/* SPDX-License-Identifier: MIT */
/* What a load makes of one row: the order rule with change detection. Pure but for its scratch memory. Private to ingest. */
#ifndef INGEST_JUDGE_H
#define INGEST_JUDGE_H

#include "base/why.h"
#include "catalog/catalog.h"
#include "ingest/load.h"
#include "ingest/merge.h"

/* One for each thread that judges. What it is set up with is that of the load and stays, so that a row is judged the same however often. */
struct judge {
	const struct catalog_group *grp;
	enum ingest_load_mode mode;
	bool confirm_skip;
	int64_t as_of_ns;
	struct merge_clock clock;
	struct record_stamp stamp;	/* of deletions */
	struct record_builder delta, late;
	struct buf delta_bytes, wide[2];
};

struct verdict {
	bool writes;			/* the row becomes another one */
	bool as_given;			/* namely the given one, byte by byte; else `row` has it (none: the row goes) */
	bool has_late;			/* `late` has a record */
	uint32_t changed, confirmed, unchanged, late;	/* values */
	uint32_t deleted;		/* entities that SNAPSHOT takes away */
	uint32_t applied;		/* values written or deleted */
	int64_t newest_event_ns;	/* of those; INT64_MIN: none */
};

/* `base` is what stands (maybe empty), `in` the load's own row (NULL: it has none), checked by record_check and stamped. `out_row` and
 * `out_late` are set anew. 0; -EPERM, -EINVAL, -ERANGE, -EFBIG with a reason: the group's rules refuse the row; -ENOMEM, -EUCLEAN. */
int judge_row(struct judge *judge, struct slice entity, struct slice base, const struct slice *in, struct verdict *out,
	      struct buf *out_row, struct buf *out_late, struct why *why);
/* Does the record, stamped or not, make its entity exist? */
bool judge_sets_entity(const struct record *rec);
/* Is the row, stamped or not, what stands, in values and in time? Then judging it comes to nothing but as many unchanged values as it has. */
bool judge_is_same(const struct judge *judge, struct slice base, struct slice in);
void judge_release(struct judge *judge);

#endif
