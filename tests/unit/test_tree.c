/* SPDX-License-Identifier: MIT */
/* Many rows at once against one by one: keys of every length, values from none to many pages, trees from empty to several levels deep. */
#include "store_help.h"

enum { ENTITIES = 6000, ASKED = 100, ROWS = 3 };

/* Entity i of a table: short ones that share their beginning, long ones, some that begin others. */
static struct slice entity_of(unsigned i, char out[300])
{
	int len;

	switch (i % 5) {
	case 0:
		len = snprintf(out, 300, "e%07u", i);
		break;
	case 1:
		len = snprintf(out, 300, "%u", i);
		break;
	case 2:
		len = snprintf(out, 300, "user/with/a/long/name/%09u", i);
		break;
	case 3:
		len = snprintf(out, 300, "%0*u", 1 + (int)(i % 250), i);
		break;
	default:
		len = snprintf(out, 300, "e%07u.%u", i - 4, i);
		break;
	}
	return slice_of(out, (size_t)len);
}

static size_t value_len(unsigned i)
{
	return i % 97 == 0 ? 20000 + i : i % 31 == 0 ? 2100 : 1 + i % 180;
}

/* A packed row of one cell with `len` bytes. */
static void put(struct store_batch *batch, uint32_t rows, unsigned i)
{
	static char bytes[40000];
	struct record_stamp stamp = { .event_ns = i, .ingest_ns = 1, .lane = RECORD_LANE_DIRECT };
	struct record_builder b = { 0 };
	struct buf record = { 0 };
	char name[300];

	memset(bytes, (int)i, value_len(i));
	record_builder_reset(&b, RECORD_EXISTS);
	record_builder_cell(&b, 0, RECORD_PRESENT, 6, record_builder_stamp(&b, &stamp), slice_of(bytes, value_len(i)));
	NEED(record_builder_finish(&b, &record) == 0);
	NEED(store_batch_row(batch, rows, entity_of(i, name), buf_slice(&record)) == 0);
	record_builder_release(&b);
	buf_release(&record);
}

static void add_rows(struct store *store, uint32_t rows, unsigned from, unsigned to)
{
	while (from < to) {
		struct store_batch *batch;
		uint64_t seq;

		NEED(store_batch_begin(store, &batch) == 0);
		for (unsigned end = from + 500 < to ? from + 500 : to; from < end; from++)
			put(batch, rows, from);
		NEED(store_batch_log(batch, &seq) == 0 && store_batch_commit(batch) == 0);
	}
}

static unsigned found_in_all;

/* Entities that are there, and some that are not, in one call and one by one. */
static void compare(struct store_snap *snap, uint32_t rows, unsigned below)
{
	static char names[ASKED][300];
	struct slice asked[ASKED], got[ASKED], one;
	unsigned found = 0;
	size_t n = 1 + rnd(ASKED);

	for (size_t i = 0; i < n; i++) {
		asked[i] = entity_of(rnd(below + below / 8 + 1), names[i]);
		if (rnd(20) == 0)
			asked[i].len = rnd((uint32_t)asked[i].len + 1);		/* cut, or empty: no entity at all */
	}
	NEED(store_get_rows(snap, rows, asked, n, got) == 0);
	for (size_t i = 0; i < n; i++) {
		int rc = store_get_row(snap, rows, asked[i], &one);

		CHECK_INT(got[i].data != NULL, rc == 0);
		CHECK(rc < 0 || (got[i].data == one.data && got[i].len == one.len));
		found += rc == 0;
	}
	found_in_all += found;
}

static void compare_all(struct store *store, unsigned below)
{
	struct store_snap *snap;

	NEED(store_snap_begin(store, &snap) == 0);
	for (int i = 0; i < 200; i++)
		for (uint32_t rows = 0; rows <= ROWS + 1; rows++)
			compare(snap, rows, below);
	store_snap_end(snap);
}

/* The same snapshot object sees one state after the other. */
static void test_growing(struct store *store)
{
	static const unsigned steps[] = { 1, 2, 10, 40, 400, ENTITIES };
	struct store_snap *snap;
	unsigned have = 0;

	compare_all(store, 10);
	NEED(store_snap_begin(store, &snap) == 0);
	for (size_t s = 0; s < sizeof steps / sizeof *steps; s++) {
		struct store_snap *before;

		NEED(store_snap_begin(store, &before) == 0);
		for (uint32_t rows = 1; rows <= ROWS; rows++)
			add_rows(store, rows, have, steps[s]);
		compare(before, 2, steps[s]);		/* still as it was */
		store_snap_end(before);
		have = steps[s];
		store_snap_park(snap);
		NEED(store_snap_renew(snap) == 0);
		for (int i = 0; i < 50; i++)
			compare(snap, 1 + rnd(ROWS), have);
		compare_all(store, have);
	}
	store_snap_end(snap);
}

int main(void)
{
	const struct store_options options = { .map_bytes = 512 << 20, .segment_bytes = 1 << 20, .log_bytes = 64 << 20, .checkpoint_ms = 100,
					       .checkpoint_bytes = 4 << 20, .relaxed = true };
	const char *path = path_of("tree");
	struct store *store;
	struct why why = { "" };

	NEED(store_open(path, &options, &store, &why) == 0);
	test_growing(store);
	CHECK_INT(store_close(store), 0);
	NEED(store_open_reader(path, &store, &why) == 0);
	compare_all(store, ENTITIES);
	CHECK_INT(store_close(store), 0);
	CHECK(found_in_all > 100000);
	return test_end("tree");
}
