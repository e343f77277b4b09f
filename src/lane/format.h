/* SPDX-License-Identifier: MIT */
/* JSON rows, the one format of .row, .upsert, dump and JSON Lines. Private to lane. */
#ifndef LANE_FORMAT_H
#define LANE_FORMAT_H

#include "base/slice.h"
#include "base/why.h"
#include "catalog/catalog.h"
#include "ingest/ingest.h"

/* What a row is read by, and what its refusal was about. */
struct format_row {
	const struct catalog_group *grp;
	struct slice entity;		/* given by the file's place; empty: the row names it */
	int64_t event_ns;		/* if the row has no event_time */
	unsigned flags;			/* of ingest_request_row; "force": true adds INGEST_FORCE */
	/* set by the reader, borrowed from its input or its group; for .errors */
	char fault_entity[256];
	const char *fault_feature;	/* NULL: the row as a whole */
	enum reject_reason fault_reason;
};

/* Reads one JSON object and adds its changes to the request. Numbers are taken as they are written, with no detour over double. -EINVAL, -ERANGE,
 * -EILSEQ, -EFBIG, -EPERM (an undeclared feature), each with a reason. */
int format_json_row(struct format_row *row, struct slice text, struct ingest_request *req, struct why *why);

#endif
