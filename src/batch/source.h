/* SPDX-License-Identifier: MIT */
/*
 * A stream of typed rows out of one dropped file, whatever its format: CSV, JSON Lines or Parquet, the first two also as
 * gzip or zstd. Row-wise and columnar files come through the same calls. A row is an entity in its written form and a record whose
 * cells carry the row's event time and, as origin, its line, and above that what the caller says. Memory is bounded whatever is in the file.
 * Private to batch.
 *
 * A source belongs to one thread at a time.
 */
#ifndef BATCH_SOURCE_H
#define BATCH_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/slice.h"
#include "base/why.h"
#include "catalog/catalog.h"

enum { BATCH_ROW_MAX = 4 << 20 };	/* bytes of one row as it stands in the file */

/* ---- which column is what ---- */

struct batch_mapping;

/* What a caller says in place of the keys of [batch]; NULL: as the group says. */
struct batch_mapping_override {
	const char *entity, *event_time, *delimiter, *null;
};

/* Counts the group for as long as it lives; any number of sources may use it, in any thread. -EINVAL with the reason. */
int batch_mapping_new(const struct catalog_group *grp, const struct batch_mapping_override *override, struct batch_mapping **out,
		      struct why *why);
void batch_mapping_free(struct batch_mapping *mapping);		/* NULL is fine */
/* How many features there are that a file may have, retired ones not among them. */
unsigned batch_mapping_targets(const struct batch_mapping *mapping);
/* Appends "a, b, c": the columns that [batch] names for features that were not met, each once; nothing if there are none. */
int batch_mapping_missing(const struct batch_mapping *mapping, const bool *met, struct buf *out);

/* ---- one file ---- */

struct batch_source;

struct batch_source_options {
	const struct batch_mapping *mapping;	/* must outlive the source */
	int64_t default_event_ns;	/* of rows that say none: the file's mtime */
	uint64_t origin;		/* what each row's origin has above its line: a number << RECORD_LINE_BITS */
	bool *met;			/* one for each target: set for those that the file has, as far as it was read. May be NULL */
	/* A row that can't be taken: the source goes on behind it if this gives 0, else batch_source_next gives what it gives. `entity` is
	 * empty where it is not known. `rc` is -EINVAL and so on, as the parsers of types give it. May be NULL. */
	int (*reject)(void *arg, uint64_t line, struct slice entity, int rc, const struct why *why);
	void *arg;
	/* Folder that holds featurefs-parquet and libduckdb.so. NULL: that of this program, else ../lib/featurefs from there. */
	const char *parquet_folder;
	size_t parquet_memory_bytes;	/* what the reader of Parquet may use, in its own process; 0: 512 MiB */
};

/* Opens dir_fd/name, without following a symbolic link; the format is judged by content and by the name's suffix. -EINVAL for what is
 * none of the formats or has no column that the group knows, -ENOTSUP if Parquet can't be read on this machine, errors of open(2). */
int batch_source_open(int dir_fd, const char *name, const struct batch_source_options *options, struct batch_source **out,
		      struct why *why);
/* The same for a descriptor, which it takes whatever happens; `name` tells the suffix and stands in reasons. */
int batch_source_open_fd(int takes_fd, const char *name, const struct batch_source_options *options, struct batch_source **out,
			 struct why *why);
/* The next row, borrowed until the next call. -ENOENT at the end; any other errno ends the file, with the reason: what was read so far
 * is not all of it. */
int batch_source_next(struct batch_source *source, struct slice *out_entity, struct slice *out_record, uint64_t *out_line,
		      struct why *why);
/* The same, its record not made yet: for whoever makes something else of it. */
struct row_cells;
int batch_source_next_cells(struct batch_source *source, struct slice *out_entity, struct row_cells *out, uint64_t *out_line, struct why *why);
/* Any thread. */
void batch_source_progress(struct batch_source *source, uint64_t *out_done_bytes, uint64_t *out_total_bytes);
/* Appends the names of columns that nothing takes, "a, b, c", each once; nothing if there are none. At the end of a file of JSON Lines
 * all that were met are known, of the others from the first row on. */
int batch_source_ignored(const struct batch_source *source, struct buf *out);
/* "CSV", "JSON Lines", "Parquet". */
const char *batch_source_format(const struct batch_source *source);
void batch_source_close(struct batch_source *source);		/* NULL is fine; also in the middle of a file */

#endif
