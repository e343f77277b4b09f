/* SPDX-License-Identifier: MIT */
/* What the tests of loads share: a group of two features, and what must be true of the store after any load. */
#ifndef LOAD_HELP_H
#define LOAD_HELP_H

#include <errno.h>
#include <stdio.h>
#include "base/clock.h"
#include "ingest/loading.h"
#include "world.h"

enum { SLOTS = 2 };

#define HOUR_NS INT64_C(3600000000000)

static int64_t base_ns;
static uint8_t codes[SLOTS];

static inline void load_help_begin(void)
{
	codes[CLICKS] = type_code(&(struct type){ .base = TYPE_INT64 });
	codes[CTR] = type_code(&(struct type){ .base = TYPE_FLOAT64 });
	base_ns = clock_now() - HOUR_NS;
}

/* Stored bytes of a value: both types have eight. */
static inline uint64_t bytes_of(unsigned slot, int64_t value)
{
	double real = (double)value / 4;
	uint64_t bytes = (uint64_t)value;

	if (slot == CTR)
		memcpy(&bytes, &real, sizeof bytes);
	return bytes;
}

/* Many commits, and no loss of power here. */
static inline struct store_options quick_options(void)
{
	return (struct store_options){ .map_bytes = 64 << 20, .segment_bytes = 256 << 10, .log_bytes = 64 << 20, .checkpoint_ms = 200,
				       .checkpoint_bytes = 4 << 20, .relaxed = true };
}

static inline void print_fault(void *arg, const char *fault)
{
	(void)arg;
	fprintf(stderr, "  fault: %s\n", fault);
}

/* The group's counters are the sums of what is there. */
static inline void check_store(struct world *world)
{
	struct catalog_stats stats, sum = { 0 };
	const struct catalog_group *grp;
	struct store_walk *walk;
	struct serve_view view;
	struct slice name, bytes;

	NEED(serve_begin(world->store, world->cur, &view) == 0);
	grp = catalog_find_id(view.cat, world->group_id);
	NEED(serve_stats(&view, grp, &stats) == 0);
	NEED(store_walk_rows_over(view.snap, grp->rows, grp->overlay, slice_of(NULL, 0), &walk) == 0);
	while (store_walk_next(walk, &name, &bytes) == 0) {
		struct row_weight weight = row_weigh(bytes, name);

		sum.entities += (uint64_t)weight.entities;
		sum.rows += (uint64_t)weight.rows;
		sum.row_bytes += (uint64_t)weight.bytes;
	}
	store_walk_end(walk);
	serve_end(&view);
	CHECK_INT(stats.entities, sum.entities);
	CHECK_INT(stats.rows, sum.rows);
	CHECK_INT(stats.row_bytes, sum.row_bytes);
	CHECK_INT(store_verify(world->store, print_fault, NULL), 0);
}

/* ---- loads ---- */

static inline struct record_builder *new_row(struct record_builder *b, int64_t event_ns)
{
	record_builder_reset(b, 0);
	record_builder_stamp(b, &(struct record_stamp){ .event_ns = event_ns, .origin = 5, .lane = RECORD_LANE_BATCH });
	return b;
}

/* Every row of it is the same. */
static inline int find_same(void *arg, struct slice entity, struct buf *out)
{
	(void)entity;
	buf_append_slice(out, buf_slice(arg));
	return 0;
}

/* For loads beside which nobody changes a row. */
static inline int find_none(void *arg, struct slice entity, struct buf *out)
{
	(void)arg;
	(void)entity;
	(void)out;
	return -ENOENT;
}

/* One load of entities of that prefix with that number of clicks. */
static inline void load_range(struct world *world, char prefix, unsigned first, unsigned n, int64_t clicks, const struct ingest_load_options *more)
{
	struct ingest_load_options options = *more;
	struct record_builder b = { 0 };
	struct ingest_load *load;
	struct buf record = { 0 };
	struct why why = { "" };

	options.group_id = world->group_id;
	options.find = find_same;
	options.arg = &record;
	NEED(ingest_load_begin(world->ingest, &options, &load, &why) == 0);
	new_row(&b, base_ns + clicks);
	record_builder_cell(&b, CLICKS, RECORD_PRESENT, codes[CLICKS], 0, slice_of(&clicks, sizeof clicks));
	NEED(record_builder_finish(&b, &record) == 0);
	for (unsigned e = first; e < first + n; e++) {
		char name[16];

		load->chunk_bytes = 3000;
		CHECK_INT(ingest_load_row(load, slice_of(name, (size_t)snprintf(name, sizeof name, "%c%03u", prefix, e)), buf_slice(&record),
					  &why), 0);
	}
	CHECK_INT(ingest_load_publish(load, &why), 0);
	ingest_load_abort(load);
	record_builder_release(&b);
	buf_release(&record);
}

static inline void load_all(struct world *world, char prefix, unsigned n, int64_t clicks, const struct ingest_load_options *more)
{
	load_range(world, prefix, 0, n, clicks, more);
}

static inline int give(struct ingest_load *load, const char *entity, int64_t clicks, int64_t event_ns, struct why *why)
{
	struct record_builder b = { 0 };
	struct buf record = { 0 };
	int rc;

	new_row(&b, event_ns);
	record_builder_cell(&b, CLICKS, RECORD_PRESENT, codes[CLICKS], 0, slice_of(&clicks, sizeof clicks));
	NEED(record_builder_finish(&b, &record) == 0);
	load->chunk_bytes = 1;
	rc = ingest_load_row(load, slice_str(entity), buf_slice(&record), why);
	record_builder_release(&b);
	buf_release(&record);
	return rc;
}

/* Tables of rows that hold any row. */
static inline unsigned count_tables(struct world *world)
{
	struct store_snap *snap;
	uint32_t rows = 0;
	unsigned n = 0;

	NEED(store_snap_begin(world->store, &snap) == 0);
	while (store_rows_next(snap, rows, &rows) == 0)
		n++;
	store_snap_end(snap);
	return n;
}

/* The keeper does its work by itself. */
static inline void wait_for_tables(struct world *world, unsigned n)
{
	for (unsigned i = 0; i < 3000 && count_tables(world) != n; i++)
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	CHECK_INT(count_tables(world), n);
}

/* Of the first hundred rows of 'l': those that have so many. */
static inline unsigned count_clicks(struct world *world, int64_t clicks)
{
	unsigned n = 0;

	for (unsigned e = 0; e < 100; e++) {
		char name[16];

		snprintf(name, sizeof name, "l%03u", e);
		n += world_int(world, name, CLICKS, NULL) == clicks;
	}
	return n;
}

#endif
