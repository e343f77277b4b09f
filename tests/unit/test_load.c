/* SPDX-License-Identifier: MIT */
/*
 * The stories of a load: beside readers and writers, what ends it and what does not, a full map, and what the log has of it. What stays over
 * the rows is in test_load_overlay.c, rows that are screened are in test_load_screen.c, and whether what stands afterwards is right is
 * test_load_model.c's.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include "load_help.h"

/* ---- beside readers and writers ---- */

enum { TOGETHER = 300, APART = 400, LOADS = 25 };

struct crowd {
	struct world *world;
	_Atomic bool stop;
	unsigned bad;
	_Atomic unsigned rounds;
	int64_t written[TOGETHER];	/* the last value that the writer put, by entity */
};

/* Of one load or of the one after it, never of both; and never of an older one later. */
static void *read_along(void *arg)
{
	struct crowd *crowd = arg;
	int64_t newest = 0;

	for (; !atomic_load(&crowd->stop); crowd->rounds++) {
		const struct catalog_group *grp;
		struct serve_entities *it;
		struct serve_view view;
		struct record row;
		struct slice name;
		int64_t seen = -1;
		unsigned n = 0;

		NEED(serve_begin(crowd->world->store, crowd->world->cur, &view) == 0);
		grp = catalog_find_id(view.cat, crowd->world->group_id);
		NEED(serve_entities_begin(&view, grp, slice_of(NULL, 0), &it) == 0);
		while (serve_entities_next(it, &name, &row) == 0) {
			struct serve_value value;
			int64_t clicks;

			if (*(const char *)name.data != 'l')
				continue;
			serve_value(&view, grp, &row, catalog_feature_at(grp, CLICKS), &value);
			if (value.status != SERVE_PRESENT) {
				crowd->bad++;
				continue;
			}
			memcpy(&clicks, value.value.data, sizeof clicks);
			crowd->bad += seen >= 0 && clicks != seen;
			seen = clicks;
			n++;
		}
		crowd->bad += n != TOGETHER || seen < newest;
		newest = seen;
		serve_entities_end(it);
		serve_end(&view);
	}
	return NULL;
}

static void *write_along(void *arg)
{
	struct crowd *crowd = arg;

	for (uint64_t i = 1; !atomic_load(&crowd->stop); i++) {
		unsigned e = (unsigned)(i * 7919 % TOGETHER);
		struct ingest_request *req = world_request(crowd->world, RECORD_LANE_DIRECT);
		uint64_t bytes = bytes_of(CTR, (int64_t)i);
		char name[16];

		ingest_request_row(req, crowd->world->group_id, slice_of(name, (size_t)snprintf(name, sizeof name, "l%03u", e)), INGEST_NOW, 0, 0);
		ingest_request_value(req, CTR, codes[CTR], slice_of(&bytes, sizeof bytes));
		CHECK_INT(world_run(crowd->world, req, NULL), 0);
		crowd->written[e] = (int64_t)i;
		crowd->rounds++;
	}
	return NULL;
}

/* With `apart` other entities in the group loads become overlays and are folded, else they take the rows' place. */
static void test_crowd(unsigned apart)
{
	struct ingest_load_options options = { 0 };
	struct world world = { .store_options = quick_options() };
	struct crowd readers[2] = { { .world = &world }, { .world = &world } }, writer = { .world = &world };
	pthread_t threads[3];
	unsigned bad = 0;

	world_begin(&world, "crowd");
	load_all(&world, 'x', apart, 1, &options);
	load_all(&world, 'l', TOGETHER, 1, &options);
	for (unsigned i = 0; i < 2; i++)
		NEED(pthread_create(&threads[i], NULL, read_along, &readers[i]) == 0);
	NEED(pthread_create(&threads[2], NULL, write_along, &writer) == 0);
	/* So many, and more until everybody has had a turn. */
	for (int64_t n = 2; n <= LOADS || !readers[0].rounds || !readers[1].rounds || !writer.rounds; n++)
		load_all(&world, 'l', TOGETHER, n, &options);
	atomic_store(&readers[0].stop, true);
	atomic_store(&readers[1].stop, true);
	atomic_store(&writer.stop, true);
	for (unsigned i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	CHECK_INT(readers[0].bad + readers[1].bad, 0);
	for (unsigned e = 0; e < TOGETHER; e++) {
		char name[16];
		int64_t got;

		snprintf(name, sizeof name, "l%03u", e);
		got = world_int(&world, name, CTR, NULL);
		bad += got != (writer.written[e] ? (int64_t)bytes_of(CTR, writer.written[e]) : GONE(MISSING));
	}
	CHECK_INT(bad, 0);
	check_store(&world);
	world_end(&world);
}

/* ---- what ends a load, and what does not ---- */

static uint32_t make_group(struct world *world, const char *name)
{
	struct ingest_request *req = world_request(world, RECORD_LANE_DIRECT);
	struct ingest_result result;

	ingest_request_group_make(req, slice_str(name), 0, 0, 0755, "root");
	NEED(world_run(world, req, &result) == 0);
	return result.group_id;
}

static int define(struct world *world, uint32_t group_id, const char *text)
{
	struct ingest_request *req = world_request(world, RECORD_LANE_DIRECT);

	ingest_request_group_define(req, group_id, slice_str(text));
	return world_run(world, req, NULL);
}

static int count_refused(void *arg, struct slice entity, uint64_t origin, int rc, const struct why *why)
{
	(void)entity;
	CHECK(rc == -EINVAL && origin == 5 && (strstr(why->text, "ahead of the clock") || strstr(why->text, "needs an event time")));
	++*(unsigned *)arg;
	return 0;
}

static int forbid(void *arg, struct slice entity, uint64_t origin, int rc, const struct why *why)
{
	(void)arg;
	(void)entity;
	(void)origin;
	(void)why;
	return rc;
}

static void test_endings(void)
{
	struct world world = { .store_options = quick_options() };
	struct ingest_load_options options = { 0 };
	struct ingest_load *load, *second;
	struct ingest_request *req;
	struct ingest_load_figures figures;
	struct record_stamp stamp;
	struct serve_view view;
	struct slice position;
	struct buf text = { 0 };
	unsigned n_refused = 0;
	struct why why;
	uint32_t h;

	world_begin(&world, "endings");
	h = make_group(&world, "h");
	CHECK_INT(define(&world, h, "[feature clicks]\ntype = int64\n"), 0);
	options = (struct ingest_load_options){ .group_id = 999, .find = find_none };
	CHECK_INT(ingest_load_begin(world.ingest, &options, &load, &why), -ENOENT);
	options.find = NULL;
	options.group_id = h;
	CHECK_INT(ingest_load_begin(world.ingest, &options, &load, &why), -EINVAL);
	CHECK(strstr(why.text, "find its own rows"));
	options = (struct ingest_load_options){ .group_id = h, .mode = INGEST_LOAD_SNAPSHOT, .find = find_none,
						.as_of_ns = clock_now() + INT64_C(3600000000000) };
	CHECK_INT(ingest_load_begin(world.ingest, &options, &load, &why), -EINVAL);
	CHECK(strstr(why.text, "ahead of the clock"));

	/* One at a time, but for those that write nothing; rows in order, each once. */
	options = (struct ingest_load_options){ .group_id = h, .find = find_none };
	NEED(ingest_load_begin(world.ingest, &options, &load, &why) == 0);
	CHECK_INT(ingest_load_begin(world.ingest, &options, &second, &why), -EBUSY);
	options.dry_run = true;
	NEED(ingest_load_begin(world.ingest, &options, &second, &why) == 0);
	CHECK_INT(give(second, "a", 1, base_ns, &why), 0);
	CHECK_INT(ingest_load_publish(second, &why), 0);
	ingest_load_abort(second);
	options.dry_run = false;
	CHECK_INT(give(load, "b", 1, base_ns, &why), 0);
	CHECK_INT(give(load, "b", 2, base_ns, &why), -EINVAL);
	CHECK_INT(give(load, "c", 2, base_ns, &why), -EINVAL);
	CHECK_INT(ingest_load_publish(load, &why), -EINVAL);
	ingest_load_abort(load);

	/* A rule that changes ends it; what leaves its rows right does not. */
	NEED(ingest_load_begin(world.ingest, &options, &load, &why) == 0);
	CHECK_INT(give(load, "b", 1, base_ns, &why), 0);
	CHECK_INT(define(&world, h, "[feature clicks]\ntype = int64\nmin = 5\n"), 0);
	CHECK_INT(ingest_load_publish(load, &why), -ESTALE);
	CHECK(strstr(why.text, "feature clicks was redefined"));
	ingest_load_abort(load);
	NEED(ingest_load_begin(world.ingest, &options, &load, &why) == 0);
	CHECK_INT(give(load, "b", 7, base_ns, &why), 0);
	CHECK_INT(define(&world, h, "[group]\nttl = 900d\ndescription = more\n[feature clicks]\ntype = int64\nmin = 5\n[feature new]\ntype = bool\n"), 0);
	req = world_request(&world, RECORD_LANE_DIRECT);
	ingest_request_group_rename(req, h, slice_str("k"), false);
	CHECK_INT(world_run(&world, req, NULL), 0);
	CHECK_INT(give(load, "c", 8, base_ns, &why), 0);
	CHECK_INT(ingest_load_publish(load, &why), 0);
	ingest_load_abort(load);

	/* A group that goes. */
	h = make_group(&world, "i");
	CHECK_INT(define(&world, h, "[feature clicks]\ntype = int64\n"), 0);
	options.group_id = h;
	NEED(ingest_load_begin(world.ingest, &options, &load, &why) == 0);
	CHECK_INT(give(load, "b", 1, base_ns, &why), 0);
	req = world_request(&world, RECORD_LANE_DIRECT);
	ingest_request_group_remove(req, h);
	CHECK_INT(world_run(&world, req, NULL), 0);
	CHECK_INT(ingest_load_publish(load, &why), -ESTALE);
	CHECK(strstr(why.text, "removed"));
	ingest_load_abort(load);

	/* Rows that are refused are left out, unless the caller says otherwise. */
	options = (struct ingest_load_options){ .group_id = world.group_id, .source = slice_str("4:x.csv"), .position_key = slice_str("batch.4"),
						.position = slice_str("done"), .find = find_none, .refused = count_refused, .arg = &n_refused };
	NEED(ingest_load_begin(world.ingest, &options, &load, &why) == 0);
	CHECK_INT(give(load, "b", 1, clock_now() + INT64_C(3600000000000), &why), 0);
	CHECK_INT(give(load, "c", 1, INGEST_NOW, &why), 0);
	CHECK_INT(give(load, "d", 3, base_ns, &why), 0);
	CHECK_INT(ingest_load_publish(load, &why), 0);
	CHECK_INT(ingest_load_publish(load, &why), -EINVAL);
	ingest_load_figures(load, &figures);
	CHECK(figures.rows == 3 && figures.refused == 2 && figures.changed == 1 && n_refused == 2);
	ingest_load_abort(load);
	CHECK_INT(world_int(&world, "b", CLICKS, NULL), GONE(MISSING));
	CHECK_INT(world_int(&world, "d", CLICKS, &stamp), 3);
	CHECK(stamp.lane == RECORD_LANE_BATCH && stamp.origin == 5 && stamp.event_ns == base_ns);
	NEED(serve_begin(world.store, world.cur, &view) == 0);
	CHECK_INT(serve_source_text(&view, &stamp, &text), 0);
	CHECK(strstr((buf_append_char(&text, '\0'), text.data), "4:x.csv"));
	CHECK_INT(store_get(view.snap, STORE_POSITIONS, slice_str("batch.4"), &position), 0);
	CHECK_TEXT(position, "done");
	serve_end(&view);
	options.refused = forbid;
	NEED(ingest_load_begin(world.ingest, &options, &load, &why) == 0);
	CHECK_INT(give(load, "b", -1, base_ns, &why), -ERANGE);
	CHECK_INT(ingest_load_publish(load, &why), -EINVAL);
	ingest_load_abort(load);
	buf_release(&text);
	world_end(&world);
}

static int make_entity(struct world *world, const char *entity)
{
	struct ingest_request *req = world_request(world, RECORD_LANE_DIRECT);

	ingest_request_make_entity(req, world->group_id, slice_str(entity));
	return world_run(world, req, NULL);
}

static bool has_entity(struct world *world, const char *entity)
{
	struct serve_view view;
	struct record row;
	int rc;

	NEED(serve_begin(world->store, world->cur, &view) == 0);
	rc = serve_row(&view, catalog_find_id(view.cat, world->group_id), slice_str(entity), &row);
	serve_end(&view);
	return rc == 0;
}

/* Ingest is stopped with a load open, as a kill would leave it: the next start clears what it had. */
static void test_stop(void)
{
	struct world world = { .store_options = quick_options() };
	struct ingest_load_options options = { .find = find_none };
	struct ingest_load *load, *idle;
	struct why why;

	world_begin(&world, "stop");
	load_all(&world, 'l', 10, 1, &options);
	options.group_id = world.group_id;
	NEED(ingest_load_begin(world.ingest, &options, &load, &why) == 0);
	options.dry_run = true;
	NEED(ingest_load_begin(world.ingest, &options, &idle, &why) == 0);
	CHECK_INT(give(load, "m", 1, base_ns, &why), 0);
	CHECK_INT(give(load, "n", 1, base_ns, &why), 0);
	CHECK_INT(give(load, "o", 1, base_ns, &why), 0);
	world_close(&world);
	CHECK_INT(give(load, "p", 1, base_ns, &why), -ESHUTDOWN);
	CHECK_INT(ingest_load_publish(idle, &why), -ESHUTDOWN);
	ingest_load_abort(load);
	ingest_load_abort(idle);
	world_open(&world);
	wait_for_tables(&world, 1);
	CHECK_INT(world_int(&world, "l003", CLICKS, NULL), 1);
	CHECK_INT(world_int(&world, "m", CLICKS, NULL), GONE(MISSING));
	check_store(&world);
	world_end(&world);
}

/* A row that was made before the gaps were filled, and another one behind that: the shadow, which has not got the second, must not take the
 * place of the group's rows. */
static void test_gaps(void)
{
	struct world world = { .store_options = quick_options() };
	struct ingest_load_options options = { .find = find_none };
	struct ingest_load *load;
	bool lacks;
	struct why why = { "" };

	world_begin(&world, "gaps");
	load_all(&world, 'l', 100, 1, &(struct ingest_load_options){ 0 });
	options.group_id = world.group_id;
	NEED(ingest_load_begin(world.ingest, &options, &load, &why) == 0);
	for (unsigned e = 0; e < 99; e++) {
		char name[16];

		snprintf(name, sizeof name, "l%03u", e);
		CHECK_INT(give(load, name, 2, base_ns + 2, &why), 0);
	}
	NEED(loading_flush(world.ingest, load, true, &why) == 0 &&
	     loading_settle(load, &load->chunks[!load->filling].part, &why) == 0);
	CHECK_INT(make_entity(&world, "l050a"), 0);
	CHECK_INT(loading_fill(world.ingest, load, &why), 0);
	CHECK_INT(make_entity(&world, "l050b"), 0);
	CHECK_INT(loading_judge_touched(world.ingest, load, 0, &why), 0);
	CHECK_INT(loading_publish(world.ingest, load, 128, &lacks, &why), 0);
	load->state = LOAD_PUBLISHED;
	ingest_load_abort(load);
	CHECK_INT(count_clicks(&world, 2), 99);
	check_store(&world);
	CHECK_INT(has_entity(&world, "l050a"), 1);
	CHECK_INT(has_entity(&world, "l050b"), 1);
	world_end(&world);
}

/* A load for which there is no room fails whole, and gives back what it took. */
static void test_full_map(void)
{
	struct world world = { .store_options = quick_options() };
	struct ingest_load_options options = { .find = find_none };
	struct record_builder b = { 0 };
	struct ingest_load *load;
	struct buf record = { 0 };
	struct why why = { "" };
	char filler[20];
	int rc = 0;

	world.store_options.map_bytes = 6 << 20;
	world_begin(&world, "full");
	load_all(&world, 'l', 100, 1, &options);
	memset(filler, 'f', sizeof filler);
	new_row(&b, base_ns + 2);
	record_builder_cell(&b, NAME, RECORD_PRESENT, type_code(&(struct type){ .base = TYPE_STRING }), 0, slice_of(filler, sizeof filler));
	NEED(record_builder_finish(&b, &record) == 0);
	options.group_id = world.group_id;
	NEED(ingest_load_begin(world.ingest, &options, &load, &why) == 0);
	for (unsigned e = 0; rc == 0 && e < 200000; e++) {
		char name[16];

		rc = ingest_load_row(load, slice_of(name, (size_t)snprintf(name, sizeof name, "e%06u", e)), buf_slice(&record), &why);
	}
	CHECK_INT(rc, -ENOSPC);
	CHECK(strstr(why.text, "full"));
	ingest_load_abort(load);
	wait_for_tables(&world, 1);
	CHECK_INT(world_int(&world, "e000000", CLICKS, NULL), GONE(MISSING));
	check_store(&world);
	CHECK_INT(world_put(&world, RECORD_LANE_DIRECT, "l005", CLICKS, 9, INGEST_NOW, 0, NULL), 0);
	CHECK_INT(store_make_room(world.store), 0);
	load_all(&world, 'm', 1000, 3, &options);
	CHECK_INT(world_int(&world, "l005", CLICKS, NULL), 9);
	CHECK_INT(world_int(&world, "m500", CLICKS, NULL), 3);
	wait_for_tables(&world, 1);
	check_store(&world);
	record_builder_release(&b);
	buf_release(&record);
	world_end(&world);
}

/* ---- the log of a load ---- */

static unsigned count_notes(const char *text, size_t len, const char *begin)
{
	return len >= strlen(begin) && !memcmp(text, begin, strlen(begin));
}

/* What a follower reads: a begin, the rows, the end, all under one number. */
static void test_log(void)
{
	struct world world = { .store_options = quick_options() };
	unsigned begins = 0, publishes = 0, aborts = 0, sets = 0;
	struct ingest_load_options options = { .find = find_none };
	struct store_follower *follower;
	struct store_change change;
	struct ingest_load *load;
	struct slice payload;
	uint32_t shadow = 0;
	struct why why;
	uint64_t seq;

	world_begin(&world, "log");
	NEED(store_follow(world.store, "test", 0, &follower, &why) == 0);
	load_all(&world, 'l', 100, 1, &options);
	options.group_id = world.group_id;
	/* One that ends before it has started says nothing. */
	for (unsigned i = 0; i < 2; i++) {
		NEED(ingest_load_begin(world.ingest, &options, &load, &why) == 0);
		if (i)
			CHECK_INT(loading_start(world.ingest, load, &why), 0);
		ingest_load_abort(load);
	}
	CHECK_INT(store_make_room(world.store), 0);
	while (store_follow_next(follower, &seq, &payload) == 0)
		while (store_change_next(&payload, &change) == 0) {
			const char *text = change.value.data;

			if (change.kind == STORE_CHANGE_SET) {
				sets++;
				CHECK(shadow == 0 || change.rows == shadow);
				shadow = change.rows;
			}
			if (change.kind != STORE_CHANGE_NOTE)
				continue;
			begins += count_notes(text, change.value.len, "load begin ");
			publishes += count_notes(text, change.value.len, "load publish ");
			aborts += count_notes(text, change.value.len, "load abort ");
		}
	CHECK_INT(begins, 2);
	CHECK_INT(publishes, 1);
	CHECK_INT(aborts, 1);
	CHECK_INT(sets, 100);
	store_follow_end(follower);
	world_end(&world);
}

int main(void)
{
	load_help_begin();
	test_crowd(0);
	test_crowd(APART);
	test_endings();
	test_stop();
	test_gaps();
	test_full_map();
	test_log();
	return test_end("load");
}
