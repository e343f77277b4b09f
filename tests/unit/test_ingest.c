/* SPDX-License-Identifier: MIT */
/* The choke point on a real store: requests all or none, guards, catalog changes, the sweep, many threads, a full map. */
#include <errno.h>
#include <pthread.h>
#include <sys/xattr.h>
#include "base/clock.h"
#include "ingest/private.h"
#include "store/env.h"
#include "world.h"

static uint8_t int64_code(void)
{
	return type_code(&(struct type){ .base = TYPE_INT64 });
}

static void test_lanes(struct world *world)
{
	int64_t now_ns = clock_now();
	struct ingest_result result;
	struct record_stamp stamp;

	CHECK_INT(world_put(world, RECORD_LANE_STREAM, "u1", CLICKS, 5, now_ns - 1000, 0, &result), 0);
	CHECK_INT(result.applied, 1);
	CHECK_INT(world_put(world, RECORD_LANE_BATCH, "u1", CLICKS, 4, now_ns - 2000, 0, &result), 0);
	CHECK_INT(result.late, 1);
	CHECK_INT(result.applied, 0);
	CHECK_INT(world_int(world, "u1", CLICKS, &stamp), 5);
	CHECK_INT(stamp.lane, RECORD_LANE_STREAM);
	CHECK_INT(stamp.origin, 7);
	CHECK_INT(world_put(world, RECORD_LANE_DIRECT, "u1", CLICKS, 6, now_ns - 2000, INGEST_LATE_FAILS, &result), -ESTALE);
	CHECK_INT(world_put(world, RECORD_LANE_DIRECT, "u1", CLICKS, 6, INGEST_NOW, INGEST_LATE_FAILS, &result), 0);
	CHECK_INT(world_int(world, "u1", CLICKS, &stamp), 6);
	CHECK(stamp.event_ns >= now_ns);
	CHECK_INT(world_put(world, RECORD_LANE_DIRECT, "u1", CLICKS, -1, INGEST_NOW, 0, &result), -ERANGE);
	CHECK_INT(world_put(world, RECORD_LANE_DIRECT, "u1", 99, 1, INGEST_NOW, 0, &result), -EPERM);
	CHECK_INT(world_put(world, RECORD_LANE_DIRECT, "u1", CTR, 1, INGEST_NOW, 0, &result), -EINVAL);
	CHECK_INT(world_put(world, RECORD_LANE_DIRECT, "a/b", CLICKS, 1, INGEST_NOW, 0, &result), -EINVAL);
	CHECK_INT(world_int(world, "u1", CLICKS, NULL), 6);
}

static void test_all_or_none(struct world *world)
{
	struct ingest_request *req = world_request(world, RECORD_LANE_DIRECT);
	struct ingest_result result;
	int64_t good = 1, bad = -1;
	struct store_snap *snap;
	struct slice bytes;

	ingest_request_row(req, world->group_id, slice_str("n1"), INGEST_NOW, 0, 0);
	ingest_request_value(req, CLICKS, int64_code(), slice_of(&good, 8));
	ingest_request_row(req, world->group_id, slice_str("n2"), INGEST_NOW, 0, 0);
	ingest_request_value(req, CLICKS, int64_code(), slice_of(&bad, 8));
	ingest_request_position(req, slice_str("lane.x"), slice_str("17"));
	CHECK_INT(world_run(world, req, &result), -ERANGE);
	CHECK_INT(world_int(world, "n1", CLICKS, NULL), GONE(MISSING));
	NEED(store_snap_begin(world->store, &snap) == 0);
	CHECK_INT(store_get(snap, STORE_POSITIONS, slice_str("lane.x"), &bytes), -ENOENT);
	store_snap_end(snap);

	req = world_request(world, RECORD_LANE_DIRECT);
	ingest_request_row(req, world->group_id, slice_str("n1"), INGEST_NOW, 0, 0);
	ingest_request_value(req, CLICKS, int64_code(), slice_of(&good, 8));
	ingest_request_row(req, world->group_id, slice_str("n1"), INGEST_NOW, 0, 0);
	ingest_request_null(req, CTR);
	ingest_request_position(req, slice_str("lane.x"), slice_str("18"));
	CHECK_INT(world_run(world, req, &result), 0);
	CHECK_INT(result.applied, 2);
	CHECK_INT(world_int(world, "n1", CLICKS, NULL), 1);
	CHECK_INT(world_int(world, "n1", CTR, NULL), GONE(NULLED));
	world_reopen(world);
	NEED(store_snap_begin(world->store, &snap) == 0);
	CHECK_INT(store_get(snap, STORE_POSITIONS, slice_str("lane.x"), &bytes), 0);
	CHECK_TEXT(bytes, "18");
	store_snap_end(snap);
	CHECK_INT(world_int(world, "n1", CLICKS, NULL), 1);
}

static uint64_t version_of_catalog(struct world *world)
{
	struct store_snap *snap;
	uint64_t version = 0;

	NEED(store_snap_begin(world->store, &snap) == 0);
	CHECK_INT(catalog_version(snap, &version), 0);
	store_snap_end(snap);
	return version;
}

/* Readers in other processes load the catalog anew when this number has changed, and only then. */
static void test_catalog_version(struct world *world)
{
	uint64_t before = version_of_catalog(world), after;
	struct ingest_request *req;
	struct ingest_result result;
	uint32_t group_id;

	CHECK(before > 0);
	CHECK_INT(world_put(world, RECORD_LANE_DIRECT, "v1", CLICKS, 1, INGEST_NOW, 0, &result), 0);
	CHECK(version_of_catalog(world) == before);
	req = world_request(world, RECORD_LANE_DIRECT);
	ingest_request_group_make(req, slice_str("later"), 0, 0, 0755, "root");
	CHECK_INT(world_run(world, req, &result), 0);
	group_id = result.group_id;
	after = version_of_catalog(world);
	CHECK(after > before);
	req = world_request(world, RECORD_LANE_DIRECT);
	ingest_request_group_make(req, slice_str("later"), 0, 0, 0755, "root");
	CHECK_INT(world_run(world, req, &result), -EEXIST);
	CHECK(version_of_catalog(world) == after);
	req = world_request(world, RECORD_LANE_DIRECT);
	ingest_request_group_remove(req, group_id);
	CHECK_INT(world_run(world, req, &result), 0);
	CHECK(version_of_catalog(world) > after);
}

static size_t refused_rows[4];
static unsigned n_refused;

static void note_row(void *arg, size_t row, int rc, const struct why *why)
{
	(void)arg;
	CHECK_INT(rc, -ERANGE);
	CHECK(strstr(why->text, "min") != NULL);
	refused_rows[n_refused++ % 4] = row;
}

static void test_row_by_row(struct world *world)
{
	struct ingest_request *req = world_request(world, RECORD_LANE_STREAM);
	struct ingest_result result;

	for (int64_t i = 0; i < 5; i++) {
		int64_t number = i == 3 ? -3 : i;
		char name[8] = { 'r', (char)('0' + i), '\0' };

		ingest_request_row(req, world->group_id, slice_str(name), 1000 + i, 0, 0);
		ingest_request_value(req, CLICKS, int64_code(), slice_of(&number, 8));
	}
	ingest_request_position(req, slice_str("lane.s"), slice_str("5"));
	ingest_request_row_by_row(req, note_row);
	CHECK_INT(world_run(world, req, &result), 0);
	CHECK_INT(result.applied, 4);
	CHECK_INT(n_refused, 1);
	CHECK_INT(refused_rows[0], 3);
	CHECK_INT(world_int(world, "r4", CLICKS, NULL), 4);
	CHECK_INT(world_int(world, "r3", CLICKS, NULL), GONE(MISSING));
}

static uint64_t fingerprint_of(struct world *world, const char *entity)
{
	struct serve_view view;
	struct record row;
	struct slice bytes;
	uint64_t print;

	NEED(serve_begin(world->store, world->cur, &view) == 0);
	NEED(serve_row_raw(&view, catalog_find_id(view.cat, world->group_id), slice_str(entity), &bytes, &row) == 0);
	print = ingest_fingerprint(bytes);
	serve_end(&view);
	return print;
}

static void test_guard(struct world *world)
{
	struct ingest_result result;
	uint64_t guard = fingerprint_of(world, "g1");
	struct ingest_request *req = world_request(world, RECORD_LANE_DIRECT);

	ingest_request_row(req, world->group_id, slice_str("g1"), INGEST_NOW, INGEST_GUARD, guard);
	ingest_request_null(req, CLICKS);
	CHECK_INT(world_run(world, req, &result), 0);
	req = world_request(world, RECORD_LANE_DIRECT);
	ingest_request_row(req, world->group_id, slice_str("g1"), INGEST_NOW, INGEST_GUARD, guard);
	ingest_request_null(req, CLICKS);
	CHECK_INT(world_run(world, req, &result), -EAGAIN);
}

/* A request that was given up with a large value in it is not kept for the next. */
static void test_pool(struct world *world)
{
	struct ingest_request *req = world_request(world, RECORD_LANE_DIRECT);
	char *large = calloc(1, 1 << 20);

	NEED(large);
	ingest_request_row(req, world->group_id, slice_str("large"), INGEST_NOW, 0, 0);
	CHECK_INT(ingest_request_value(req, NAME, type_code(&(struct type){ .base = TYPE_STRING }), slice_of(large, 1 << 20)), 0);
	ingest_request_free(req);
	free(large);
	req = world_request(world, RECORD_LANE_DIRECT);
	CHECK(req->row_values.cap < 1 << 20);
	ingest_request_free(req);
}

static int entity_op(struct world *world, const char *entity, int (*add)(struct ingest_request *, uint32_t, struct slice))
{
	struct ingest_request *req = world_request(world, RECORD_LANE_DIRECT);
	struct ingest_result result;

	add(req, world->group_id, slice_str(entity));
	return world_run(world, req, &result);
}

static void stats_of(struct world *world, struct catalog_stats *out)
{
	struct serve_view view;

	NEED(serve_begin(world->store, world->cur, &view) == 0);
	NEED(serve_stats(&view, catalog_find_id(view.cat, world->group_id), out) == 0);
	serve_end(&view);
}

static void test_entities(struct world *world)
{
	struct catalog_stats before, after;
	struct ingest_request *req;
	struct ingest_result result;

	stats_of(world, &before);
	CHECK_INT(entity_op(world, "e1", ingest_request_make_entity), 0);
	CHECK_INT(entity_op(world, "e1", ingest_request_make_entity), -EEXIST);
	CHECK_INT(world_put(world, RECORD_LANE_DIRECT, "e1", CLICKS, 1, INGEST_NOW, 0, &result), 0);
	CHECK_INT(entity_op(world, "e1", ingest_request_remove_entity), -ENOTEMPTY);
	stats_of(world, &after);
	CHECK_INT(after.entities, before.entities + 1);
	CHECK(after.row_bytes > before.row_bytes);
	req = world_request(world, RECORD_LANE_DIRECT);
	ingest_request_row(req, world->group_id, slice_str("e1"), INGEST_NOW, 0, 0);
	ingest_request_delete(req, CLICKS);
	CHECK_INT(world_run(world, req, &result), 0);
	CHECK_INT(world_int(world, "e1", CLICKS, NULL), GONE(MISSING));
	CHECK_INT(entity_op(world, "e1", ingest_request_remove_entity), 0);
	CHECK_INT(entity_op(world, "e1", ingest_request_remove_entity), -ENOENT);
	stats_of(world, &after);
	CHECK_INT(after.entities, before.entities);
	CHECK_INT(after.rows, before.rows + 1);		/* the tombstone stays for a while */
	CHECK_INT(world_put(world, RECORD_LANE_STREAM, "e1", CLICKS, 1, 1000, 0, &result), 0);
	CHECK_INT(result.late, 1);
}

static int group_op(struct world *world, struct ingest_request *req, struct ingest_result *result)
{
	return world_run(world, req, result);
}

static uint32_t make_group(struct world *world, const char *name)
{
	struct ingest_request *req = world_request(world, RECORD_LANE_DIRECT);
	struct ingest_result result;

	ingest_request_group_make(req, slice_str(name), 0, 0, 0750, "root");
	CHECK_INT(group_op(world, req, &result), 0);
	return result.group_id;
}

static void test_groups(struct world *world)
{
	struct ingest_request *req;
	struct ingest_result result;
	uint32_t id = make_group(world, "h"), other = make_group(world, "other");
	struct slice value = slice_str("3");

	CHECK(id != other);
	req = world_request(world, RECORD_LANE_DIRECT);
	ingest_request_group_make(req, slice_str("h"), 0, 0, 0755, "root");
	CHECK_INT(group_op(world, req, &result), -EEXIST);
	req = world_request(world, RECORD_LANE_DIRECT);
	ingest_request_group_make(req, slice_str("9x"), 0, 0, 0755, "root");
	CHECK_INT(group_op(world, req, &result), -EINVAL);
	req = world_request(world, RECORD_LANE_DIRECT);
	ingest_request_group_attr(req, id, slice_str("user.tier"), &value, 0);
	CHECK_INT(group_op(world, req, &result), 0);
	req = world_request(world, RECORD_LANE_DIRECT);
	ingest_request_group_attr(req, id, slice_str("user.team"), &value, XATTR_CREATE);
	CHECK_INT(group_op(world, req, &result), 0);
	req = world_request(world, RECORD_LANE_DIRECT);
	ingest_request_group_attr(req, id, slice_str("user.team"), &value, XATTR_CREATE);
	CHECK_INT(group_op(world, req, &result), -EEXIST);
	req = world_request(world, RECORD_LANE_DIRECT);
	ingest_request_group_rename(req, id, slice_str("other"), false);
	CHECK_INT(group_op(world, req, &result), -EEXIST);
	req = world_request(world, RECORD_LANE_DIRECT);
	ingest_request_group_rename(req, id, slice_str("other"), true);
	CHECK_INT(group_op(world, req, &result), 0);
	req = world_request(world, RECORD_LANE_DIRECT);
	ingest_request_group_own(req, id, 0700, 5, (gid_t)-1);
	CHECK_INT(group_op(world, req, &result), 0);
	world_reopen(world);
	{
		uint64_t number;
		struct catalog *cat = catalog_current_get(world->cur, &number);
		const struct catalog_group *grp = catalog_find(cat, slice_str("other"));

		NEED(grp);
		CHECK_INT(grp->id, id);
		CHECK_INT(grp->tier, 3);
		CHECK_INT(grp->mode, 0700);
		CHECK_INT(grp->uid, 5);
		CHECK_INT(grp->gid, 0);
		CHECK(!catalog_find(cat, slice_str("h")));
		CHECK(!catalog_find_id(cat, other));
		catalog_unref(cat);
	}
	req = world_request(world, RECORD_LANE_DIRECT);
	ingest_request_group_remove(req, world->group_id);
	CHECK_INT(group_op(world, req, &result), -ENOTEMPTY);
	req = world_request(world, RECORD_LANE_DIRECT);
	ingest_request_group_remove(req, id);
	CHECK_INT(group_op(world, req, &result), 0);
	CHECK(ingest_sweep(world->ingest) >= 0);
	{
		struct store_snap *snap;
		struct store_walk *walk;
		struct slice key, val;
		uint8_t prefix[4] = { 0, 0, 0, (uint8_t)id };

		NEED(store_snap_begin(world->store, &snap) == 0);
		NEED(store_walk_begin(snap, STORE_XATTR, slice_of(prefix, 4), &walk) == 0);
		CHECK_INT(store_walk_next(walk, &key, &val), -ENOENT);
		store_walk_end(walk);
		NEED(store_walk_begin(snap, STORE_META, slice_str("removed."), &walk) == 0);
		CHECK_INT(store_walk_next(walk, &key, &val), -ENOENT);
		store_walk_end(walk);
		store_snap_end(snap);
	}
}

static void test_sources(struct world *world)
{
	uint32_t a, b, again;

	CHECK_INT(ingest_source(world->ingest, slice_str("topic-a"), &a), 0);
	CHECK_INT(ingest_source(world->ingest, slice_str("topic-b"), &b), 0);
	CHECK(a != b);
	CHECK_INT(ingest_source(world->ingest, slice_str("topic-a"), &again), 0);
	CHECK_INT(again, a);
	world_reopen(world);
	CHECK_INT(ingest_source(world->ingest, slice_str("topic-b"), &again), 0);
	CHECK_INT(again, b);
}

static void test_ttl_and_sweep(struct world *world)
{
	struct ingest_request *req = world_request(world, RECORD_LANE_DIRECT);
	struct slice ttl = slice_str("100s");
	struct catalog_stats before, after;
	struct ingest_result result;
	int64_t now_ns = clock_now();

	CHECK_INT(world_put(world, RECORD_LANE_STREAM, "t1", CLICKS, 1, now_ns - 200 * CLOCK_SECOND, 0, &result), 0);
	CHECK_INT(world_put(world, RECORD_LANE_STREAM, "t2", CLICKS, 2, now_ns - 50 * CLOCK_SECOND, 0, &result), 0);
	ingest_request_group_attr(req, world->group_id, slice_str("user.ttl"), &ttl, 0);
	CHECK_INT(group_op(world, req, &result), 0);
	CHECK_INT(world_int(world, "t1", CLICKS, NULL), GONE(EXPIRED));
	CHECK_INT(world_int(world, "t2", CLICKS, NULL), 2);
	stats_of(world, &before);
	CHECK(ingest_sweep(world->ingest) >= 1);
	stats_of(world, &after);
	CHECK(after.rows < before.rows);
	CHECK(after.entities < before.entities);
	CHECK_INT(world_int(world, "t1", CLICKS, NULL), GONE(MISSING));
	CHECK_INT(world_int(world, "t2", CLICKS, NULL), 2);
	CHECK_INT(ingest_sweep(world->ingest), 0);
	req = world_request(world, RECORD_LANE_DIRECT);
	ingest_request_group_attr(req, world->group_id, slice_str("user.ttl"), NULL, 0);
	CHECK_INT(group_op(world, req, &result), 0);
}

/* ---- many threads ---- */

enum { THREADS = 8, PUTS = 300 };

struct putter {
	struct world *world;
	unsigned id;
	unsigned answered;
};

static void *put_many(void *arg)
{
	struct putter *putter = arg;

	for (int64_t i = 1; i <= PUTS; i++) {
		struct ingest_result result;
		char name[16];

		snprintf(name, sizeof name, "p%u", putter->id);
		putter->answered += world_put(putter->world, RECORD_LANE_DIRECT, name, CLICKS, i, INGEST_NOW, INGEST_LATE_FAILS,
					      &result) == 0;
		/* What is acknowledged is visible to its writer at once. */
		if (world_int(putter->world, name, CLICKS, NULL) != i)
			putter->answered = 0;
	}
	return NULL;
}

static void test_threads(struct world *world)
{
	struct putter putters[THREADS];
	struct ingest_figures before, after;
	pthread_t threads[THREADS];

	ingest_figures(world->ingest, &before);
	for (unsigned i = 0; i < THREADS; i++) {
		putters[i] = (struct putter){ world, i, 0 };
		NEED(pthread_create(&threads[i], NULL, put_many, &putters[i]) == 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < THREADS; i++)
		CHECK_INT(putters[i].answered, PUTS);
	ingest_figures(world->ingest, &after);
	CHECK_INT(after.requests - before.requests, THREADS * PUTS);
	CHECK(after.commits - before.commits < THREADS * PUTS);	/* some were committed together */
}

/* ---- listeners ---- */

static struct world *listened;
static int64_t seen_before, seen_after;
static unsigned calls;

static void on_changing(void *arg, const struct ingest_news *news)
{
	(void)arg;
	calls += news->n == 1 && slice_equal(news->list[0].entity, slice_str("l1")) && !news->next;
	calls += news->n == 1 && news->list[0].n_slots == 1 && news->list[0].slots[0] == CLICKS && !news->list[0].is_whole;
	seen_before = world_int(listened, "l1", CLICKS, NULL);
}

static void on_changed(void *arg, const struct ingest_news *news)
{
	(void)arg;
	calls += news->n == 1 && news->list[0].group_id == listened->group_id;
	seen_after = world_int(listened, "l1", CLICKS, NULL);
}

static void test_listener(void)
{
	struct world world = { 0 };
	struct ingest_result result;

	world_begin(&world, "listen");
	CHECK_INT(world_put(&world, RECORD_LANE_DIRECT, "l1", CLICKS, 1, INGEST_NOW, 0, &result), 0);
	listened = &world;
	world.options.changing = on_changing;
	world.options.changed = on_changed;
	world_reopen(&world);
	CHECK_INT(world_put(&world, RECORD_LANE_DIRECT, "l1", CLICKS, 2, INGEST_NOW, 0, &result), 0);
	CHECK_INT(calls, 3);
	CHECK_INT(seen_before, 1);
	CHECK_INT(seen_after, 2);
	world_end(&world);
}

static unsigned told_whole, told_gone, told_group, told_published;

static void note_changing(void *arg, const struct ingest_news *news)
{
	(void)arg;
	for (size_t i = 0; i < news->n; i++) {
		told_whole += news->list[i].is_whole;
		told_gone += news->list[i].is_gone;
	}
	if (news->next)
		told_group += catalog_find_id(news->was, listened->group_id) != catalog_find_id(news->next, listened->group_id);
}

static void note_changed(void *arg, const struct ingest_news *news)
{
	uint64_t number;
	struct catalog *cat = catalog_current_get(listened->cur, &number);

	(void)arg;
	told_published += news->next && cat == news->next;
	catalog_unref(cat);
}

static void test_listener_of_wholes(void)
{
	struct world world = { 0 };
	struct ingest_request *req;
	struct ingest_result result;

	world_begin(&world, "listen_wholes");
	listened = &world;
	world.options.changing = note_changing;
	world.options.changed = note_changed;
	world_reopen(&world);
	CHECK_INT(world_put(&world, RECORD_LANE_DIRECT, "l1", CLICKS, 1, INGEST_NOW, 0, &result), 0);
	CHECK_INT(told_whole + told_gone + told_group, 0);
	req = world_request(&world, RECORD_LANE_DIRECT);
	ingest_request_delete_entity(req, world.group_id, slice_str("l1"), INGEST_NOW, 0, 0);
	CHECK_INT(world_run(&world, req, &result), 0);
	CHECK_INT(told_whole, 1);
	CHECK_INT(told_gone, 1);
	req = world_request(&world, RECORD_LANE_DIRECT);
	ingest_request_group_own(req, world.group_id, 0700, (uid_t)-1, (gid_t)-1);
	CHECK_INT(world_run(&world, req, &result), 0);
	CHECK_INT(told_group, 1);
	CHECK_INT(told_published, 1);
	world_end(&world);
}

/* ---- a full map ---- */

static int fill(struct world *world, unsigned i)
{
	struct ingest_request *req = world_request(world, RECORD_LANE_DIRECT);
	struct ingest_result result;
	float vec[3] = { 1, 2, 3 };
	char name[240];

	memset(name, 'x', sizeof name);
	snprintf(name + 200, 40, "%u", i);
	ingest_request_row(req, world->group_id, slice_str(name), INGEST_NOW, 0, 0);
	ingest_request_value(req, VEC, type_code(&(struct type){ .base = TYPE_FLOAT32, .is_array = true }), slice_of(vec, sizeof vec));
	return world_run(world, req, &result);
}

/* A commit that was given up is no reason to refuse the next writer, as long as the store itself goes on. */
static void test_given_up(void)
{
	struct world world = { 0 };
	struct ingest_result result;
	struct why why;

	world_begin(&world, "given_up");
	world.ingest->trouble = -EIO;
	CHECK_INT(ingest_check_store(world.ingest, &why), 0);
	atomic_store(&world.store->failed, -EIO);
	CHECK_INT(ingest_check_store(world.ingest, &why), -EIO);
	CHECK(strstr(why.text, "restart the daemon") != NULL);
	atomic_store(&world.store->failed, 0);
	CHECK_INT(world_put(&world, RECORD_LANE_DIRECT, "one", CLICKS, 1, INGEST_NOW, 0, &result), 0);
	CHECK_INT(world.ingest->trouble, 0);
	world_end(&world);
}

static void test_full_map(void)
{
	struct world world = { .store_options = { .map_bytes = 2 << 20, .segment_bytes = 256 << 10, .log_bytes = 8 << 20,
						  .checkpoint_ms = 50, .checkpoint_bytes = 256 << 10, .relaxed = true } };
	struct ingest_result result;
	unsigned n = 0;
	struct why why;
	int rc;

	world_begin(&world, "full");
	while ((rc = fill(&world, n)) == 0 && n < 20000)
		n++;
	CHECK_INT(rc, -ENOSPC);
	CHECK(n > 1000);
	CHECK_INT(ingest_check_store(world.ingest, &why), -ENOSPC);
	CHECK(strstr(why.text, "raise store.map_size") != NULL);
	/* Reads go on, and what gives space back is still taken. */
	CHECK_INT(world_put(&world, RECORD_LANE_DIRECT, "one", CLICKS, 1, INGEST_NOW, 0, &result), -ENOSPC);
	for (unsigned i = 0; i < n; i++) {
		struct ingest_request *req = world_request(&world, RECORD_LANE_DIRECT);
		char name[240];

		memset(name, 'x', sizeof name);
		snprintf(name + 200, 40, "%u", i);
		ingest_request_delete_entity(req, world.group_id, slice_str(name), INGEST_NOW, 0, 0);
		rc = world_run(&world, req, &result);
		if (rc < 0)
			break;
	}
	CHECK_INT(rc, 0);
	world.options.tombstone_ns = 1;
	world_reopen(&world);
	CHECK(ingest_sweep(world.ingest) >= 0);
	CHECK_INT(world_put(&world, RECORD_LANE_DIRECT, "one", CLICKS, 1, INGEST_NOW, 0, &result), 0);
	world_end(&world);
}

int main(void)
{
	struct world world = { 0 };

	world_begin(&world, "ingest");
	test_lanes(&world);
	test_all_or_none(&world);
	test_catalog_version(&world);
	test_row_by_row(&world);
	test_guard(&world);
	test_pool(&world);
	test_entities(&world);
	test_groups(&world);
	test_sources(&world);
	test_threads(&world);
	test_ttl_and_sweep(&world);
	world_end(&world);
	test_listener();
	test_listener_of_wholes();
	test_given_up();
	test_full_map();
	return test_end("ingest");
}
