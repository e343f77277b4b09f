/* SPDX-License-Identifier: MIT */
/* What loads leave over a group's rows: when it stays, is taken along, and goes. */
#include <errno.h>
#include <time.h>
#include "load_help.h"

/* Rows of the group's overlay; -1: it has none. */
static int overlay_rows(struct world *world)
{
	const struct catalog_group *grp;
	struct store_walk *walk;
	struct serve_view view;
	struct slice name, row;
	int n = 0;

	NEED(serve_begin(world->store, world->cur, &view) == 0);
	grp = catalog_find_id(view.cat, world->group_id);
	if (grp->overlay) {
		NEED(store_walk_rows(view.snap, grp->overlay, slice_of(NULL, 0), &walk) == 0);
		while (store_walk_next(walk, &name, &row) == 0)
			n++;
		store_walk_end(walk);
	} else {
		n = -1;
	}
	serve_end(&view);
	return n;
}

/* The keeper does its work by itself; a table may be empty for a moment before it is none. */
static void wait_for_overlay(struct world *world, int n)
{
	for (unsigned i = 0; i < 3000 && overlay_rows(world) != n; i++)
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	CHECK_INT(overlay_rows(world), n);
}

/* A small overlay stays, also across a start; loads that follow take it along, until it is too large, or they are too small. */
static void test_overlays(void)
{
	struct world world = { .store_options = quick_options(), .options = { .overlay_percent = 10, .overlay_ns = HOUR_NS } };
	struct ingest_load_options options = { 0 };
	struct ingest_load *load;
	struct ingest_request *req;
	uint64_t bytes = 7;
	struct why why;

	world_begin(&world, "overlays");
	load_all(&world, 'l', 100, 1, &options);
	CHECK_INT(overlay_rows(&world), -1);
	load_range(&world, 'l', 10, 3, 2, &options);
	CHECK_INT(overlay_rows(&world), 3);
	world_reopen(&world);
	load_range(&world, 'l', 11, 4, 3, &options);
	CHECK_INT(overlay_rows(&world), 5);
	load_range(&world, 'l', 90, 4, 4, &options);
	CHECK_INT(overlay_rows(&world), 9);
	CHECK_INT(count_clicks(&world, 1), 91);
	CHECK_INT(count_clicks(&world, 2), 1);
	CHECK_INT(count_clicks(&world, 3), 4);
	CHECK_INT(count_clicks(&world, 4), 4);
	wait_for_tables(&world, 2);
	/* A direct write takes its row down, before the load or while it is at work. */
	for (unsigned i = 0; i < 2; i++) {
		if (i == 1) {
			options = (struct ingest_load_options){ .group_id = world.group_id, .find = find_none };
			NEED(ingest_load_begin(world.ingest, &options, &load, &why) == 0);
			CHECK_INT(give(load, "l093", 5, base_ns + 5, &why), 0);
		}
		req = world_request(&world, RECORD_LANE_DIRECT);
		ingest_request_row(req, world.group_id, slice_str(i ? "l012" : "l011"), INGEST_NOW, 0, 0);
		ingest_request_value(req, CLICKS, codes[CLICKS], slice_of(&bytes, sizeof bytes));
		CHECK_INT(world_run(&world, req, NULL), 0);
	}
	CHECK_INT(overlay_rows(&world), 7);
	/* One that would have been published is as one that never was. */
	ingest_load_abort(load);
	CHECK_INT(overlay_rows(&world), 7);
	check_store(&world);
	options = (struct ingest_load_options){ 0 };
	load_range(&world, 'l', 0, 5, 6, &options);	/* 12 of 100 together */
	wait_for_tables(&world, 2);
	CHECK_INT(overlay_rows(&world), 5);
	CHECK_INT(count_clicks(&world, 1), 86);
	CHECK_INT(count_clicks(&world, 3), 2);
	CHECK_INT(count_clicks(&world, 4), 4);
	CHECK_INT(count_clicks(&world, 6), 5);
	CHECK_INT(count_clicks(&world, 7), 2);
	load_range(&world, 'l', 5, 5, 7, &options);
	CHECK_INT(overlay_rows(&world), 10);
	load_range(&world, 'l', 20, 1, 8, &options);	/* and one row does not carry ten */
	CHECK_INT(overlay_rows(&world), 1);
	/* What is nearly all of the group takes the place of both tables. */
	load_range(&world, 'l', 3, 97, 9, &options);
	CHECK_INT(overlay_rows(&world), -1);
	wait_for_tables(&world, 1);
	CHECK_INT(count_clicks(&world, 9), 95);		/* two have newer ones */
	CHECK_INT(count_clicks(&world, 6), 3);
	/* One that is too large from the beginning. */
	load_range(&world, 'l', 0, 11, 10, &options);
	wait_for_overlay(&world, -1);
	wait_for_tables(&world, 1);
	CHECK_INT(count_clicks(&world, 10), 11);
	load_range(&world, 'l', 0, 4, 11, &options);
	CHECK_INT(overlay_rows(&world), 4);
	world_close(&world);
	world.options.overlay_percent = 0;
	world_open(&world);
	wait_for_overlay(&world, -1);
	wait_for_tables(&world, 1);
	check_store(&world);
	world_end(&world);
}

static int64_t overlay_since(struct world *world)
{
	struct serve_view view;
	int64_t since_ns;

	NEED(serve_begin(world->store, world->cur, &view) == 0);
	since_ns = catalog_find_id(view.cat, world->group_id)->overlay_ns;
	serve_end(&view);
	return since_ns;
}

/* An overlay is as old as its publishing, across a start too, and goes by itself; what the next load takes along is young again. */
static void test_overlay_age(void)
{
	struct world world = { .store_options = quick_options(), .options = { .overlay_percent = 10, .overlay_ns = HOUR_NS } };
	struct ingest_load_options options = { 0 };
	struct ingest_request *req;
	uint64_t bytes = 7;
	int64_t begun_ns, first_ns, next_ns;

	world_begin(&world, "overlay_age");
	load_all(&world, 'l', 100, 1, &options);
	CHECK_INT(overlay_since(&world), 0);
	begun_ns = clock_now();
	load_range(&world, 'l', 10, 3, 2, &options);
	first_ns = overlay_since(&world);
	CHECK(first_ns >= begun_ns && first_ns <= clock_now());
	world_reopen(&world);
	CHECK_INT(overlay_since(&world), first_ns);
	load_range(&world, 'l', 13, 3, 3, &options);
	next_ns = overlay_since(&world);
	CHECK(next_ns > first_ns && next_ns <= clock_now());
	/* One in which nothing is left has no reason to stay: the keeper finds it when the next load wakes it, or at a start. */
	for (unsigned i = 10; i < 16; i++) {
		char name[16];

		snprintf(name, sizeof name, "l%03u", i);
		req = world_request(&world, RECORD_LANE_DIRECT);
		ingest_request_row(req, world.group_id, slice_str(name), INGEST_NOW, 0, 0);
		ingest_request_value(req, CLICKS, codes[CLICKS], slice_of(&bytes, sizeof bytes));
		CHECK_INT(world_run(&world, req, NULL), 0);
	}
	CHECK_INT(overlay_rows(&world), 0);
	world_reopen(&world);
	wait_for_overlay(&world, -1);
	CHECK_INT(overlay_since(&world), 0);
	load_range(&world, 'l', 20, 4, 4, &options);
	CHECK_INT(overlay_rows(&world), 4);
	world_close(&world);
	/* It is older than that by the time of the start. */
	nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL);
	world.options.overlay_ns = 1000000;
	world_open(&world);
	wait_for_overlay(&world, -1);
	CHECK_INT(count_clicks(&world, 4), 4);
	/* And this one becomes so while nothing else happens. */
	world_close(&world);
	world.options.overlay_ns = 300000000;
	world_open(&world);
	load_range(&world, 'l', 30, 5, 5, &options);
	wait_for_overlay(&world, -1);
	CHECK_INT(count_clicks(&world, 5), 5);
	CHECK_INT(count_clicks(&world, 7), 6);
	wait_for_tables(&world, 1);
	check_store(&world);
	world_end(&world);
}

int main(void)
{
	load_help_begin();
	test_overlays();
	test_overlay_age();
	return test_end("load_overlay");
}
