/* SPDX-License-Identifier: MIT */
/* What every kind of source has. Private to batch. */
#ifndef BATCH_SOURCE_PRIVATE_H
#define BATCH_SOURCE_PRIVATE_H

#include "batch/input.h"
#include "batch/row.h"
#include "batch/source.h"

struct batch_source {
	const struct source_ops *ops;
	struct batch_source_options options;
	char *name;
	struct input *input;
	struct buf record;
};

struct source_ops {
	const char *format;
	int (*next)(struct batch_source *source, struct slice *out_entity, struct row_cells *out, uint64_t *out_line, struct why *why);
	void (*progress)(struct batch_source *source, uint64_t *out_done_bytes, uint64_t *out_total_bytes);	/* NULL: as of the input */
	int (*ignored)(const struct batch_source *source, struct buf *out);
	void (*close)(struct batch_source *source);	/* frees it, but not name and input */
};

/* Each allocates a source whose first member is a struct batch_source; source.c fills that in before it calls `_open`, which may read. */
struct batch_source *source_csv_new(void);
int source_csv_open(struct batch_source *source, struct why *why);
struct batch_source *source_json_new(void);
int source_json_open(struct batch_source *source, struct why *why);
struct batch_source *source_parquet_new(void);
int source_parquet_open(struct batch_source *source, struct why *why);

/* The file has that feature. */
void source_met(const struct batch_source *source, unsigned target);

/* Hands a refused row to the caller. An errno ends the file. */
int source_reject(struct batch_source *source, uint64_t line, struct slice entity, int rc, const struct why *why);

/* Does the file's name, without what compression adds, end in this? Upper and lower case alike. */
bool source_has_suffix(const char *name, const char *suffix);

#endif
