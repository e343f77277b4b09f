/* SPDX-License-Identifier: MIT */
/* The last refusals of each group, for .errors, and their counters. A bounded ring in memory for each group. Thread-safe. */
#ifndef INGEST_REJECT_H
#define INGEST_REJECT_H

#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/slice.h"

/* name (in .errors and metrics), errno, sentence */
#define REJECT_REASONS(X) \
	X(undeclared, EPERM, "the name is not declared in .schema") \
	X(not_of_type, EINVAL, "the text is not a value of the type") \
	X(out_of_range, ERANGE, "the value breaks min, max or the type's range") \
	X(rule, EINVAL, "the value breaks enum, max_length or not_null") \
	X(encoding, EILSEQ, "the text is not valid UTF-8") \
	X(too_big, EFBIG, "the value, row or change is too big") \
	X(stale, ESTALE, "the event time is older than what stands") \
	X(future, EINVAL, "the event time is too far ahead of the clock") \
	X(bad_name, EINVAL, "the name is not well formed") \
	X(bad_row, EINVAL, "the row is not well formed") \
	X(bad_schema, EINVAL, "the definition was refused") \
	X(no_space, ENOSPC, "the map or the disk is full") \
	X(io, EIO, "the log or the map can't be written") \
	X(other, 0, "refused")

enum reject_reason {
#define X(name, err, text) REJECT_##name,
	REJECT_REASONS(X)
#undef X
	REJECT_N
};

struct reject {
	int64_t time_ns;
	uint32_t group_id;
	uint8_t lane;			/* enum record_lane */
	enum reject_reason reason;
	int err;			/* positive */
	const char *who;		/* "uid 1000" */
	struct slice entity, feature, value;	/* may be empty; the value is cut to what a line can show */
	const char *detail;		/* the reason in words */
};

struct reject_log;

int reject_log_new(struct reject_log **out);
void reject_log_free(struct reject_log *log);
/* Copies what it needs; loses the oldest. */
void reject_log_add(struct reject_log *log, const struct reject *reject);
/* A group's refusals, oldest first, one a line: time, lane, who, name, reason, errno, value (JSON string), detail. */
void reject_log_print(struct reject_log *log, uint32_t group_id, struct buf *out);
/* All groups together without names of entities or values, for .featurefs/errors: `name_of` gives a group's name, or NULL. */
void reject_log_print_all(struct reject_log *log, const char *(*name_of)(void *arg, uint32_t group_id), void *arg,
			  struct buf *out);
void reject_log_forget(struct reject_log *log, uint32_t group_id);
uint64_t reject_log_count(struct reject_log *log, enum reject_reason reason);		/* since the start */
uint64_t reject_log_group_count(struct reject_log *log, uint32_t group_id);
const char *reject_reason_name(enum reject_reason reason);
/* The usual reason for an errno (positive), where nothing closer is known. */
enum reject_reason reject_reason_of(int err);

#endif
