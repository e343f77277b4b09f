/* SPDX-License-Identifier: MIT */
/* Positions that are committed with their rows, and requests that are committed in parts. */
#include <errno.h>
#include <pthread.h>
#include "base/clock.h"
#include "ingest/private.h"
#include "world.h"

static uint8_t int64_code(void)
{
	return type_code(&(struct type){ .base = TYPE_INT64 });
}

/* A lane whose positions follow from what came of its rows, and must follow one another. */
struct chain {
	const char *expected, *next;
	int checks;
	unsigned applied, late, refused;
	int rc;
};

static int check_chain(void *arg, struct ingest_positions *at)
{
	struct chain *chain = arg;
	struct slice value = slice_str("");
	int rc = ingest_positions_get(at, slice_str("chain"), &value);

	chain->checks++;
	CHECK(ingest_positions_catalog(at));
	CHECK(rc == 0 || rc == -ENOENT);
	return slice_equal(value, slice_str(chain->expected)) ? 0 : -EAGAIN;
}

static int store_chain(void *arg, struct ingest_positions *at, const struct ingest_result *so_far)
{
	struct chain *chain = arg;

	chain->applied = so_far->rows_applied;
	chain->late = so_far->rows_late;
	chain->refused = so_far->rows_refused;
	return ingest_positions_put(at, slice_str("chain"), slice_str(chain->next));
}

static void end_chain(void *arg, const struct ingest_result *result)
{
	struct chain *chain = arg;

	__atomic_store_n(&chain->rc, result->rc, __ATOMIC_RELEASE);
}

static int wait_chain(const struct chain *chain)
{
	int rc;

	while ((rc = __atomic_load_n(&chain->rc, __ATOMIC_ACQUIRE)) == 1)
		usleep(1000);
	return rc;
}

static void submit_chain(struct world *world, struct chain *chain, const char *entity, int64_t number, int64_t event_ns)
{
	static const struct ingest_position_ops ops = { .check = check_chain, .store = store_chain };
	struct ingest_request *req = world_request(world, RECORD_LANE_STREAM);
	int64_t bad = -1;

	ingest_request_origin(req, 17);
	ingest_request_row(req, world->group_id, slice_str(entity), event_ns, 0, 0);
	ingest_request_value(req, CLICKS, int64_code(), slice_of(&number, 8));
	ingest_request_origin(req, 18);
	ingest_request_row(req, world->group_id, slice_str("never"), event_ns, 0, 0);
	ingest_request_value(req, CLICKS, int64_code(), slice_of(&bad, 8));
	ingest_request_positions(req, &ops, chain);
	ingest_request_row_by_row(req, NULL);
	chain->rc = 1;
	ingest_submit_behind(world->ingest, req, end_chain, chain);
}

static void test_positions(struct world *world)
{
	struct chain a = { .expected = "", .next = "a" }, b = { .expected = "a", .next = "b" };
	struct chain c = { .expected = "x", .next = "c" }, d = { .expected = "b", .next = "d" };
	struct ingest_figures before, after;
	struct record_stamp stamp;
	struct store_snap *snap;
	struct slice value;

	ingest_figures(world->ingest, &before);
	submit_chain(world, &a, "p1", 1, 2000);
	submit_chain(world, &b, "p1", 2, 1000);
	submit_chain(world, &c, "p1", 3, 3000);
	submit_chain(world, &d, "p2", 4, 1000);
	CHECK_INT(wait_chain(&a), 0);
	CHECK_INT(wait_chain(&b), 0);
	CHECK_INT(wait_chain(&c), -EAGAIN);
	CHECK_INT(wait_chain(&d), 0);
	CHECK(a.applied == 1 && a.late == 0 && a.refused == 1);
	CHECK(b.applied == 0 && b.late == 1 && b.refused == 1);
	CHECK(c.checks == 1 && c.refused == 0);
	CHECK_INT(world_int(world, "p1", CLICKS, &stamp), 1);
	CHECK_INT(stamp.origin, 17);
	CHECK_INT(world_int(world, "p2", CLICKS, NULL), 4);
	CHECK_INT(world_int(world, "never", CLICKS, NULL), GONE(MISSING));
	NEED(store_snap_begin(world->store, &snap) == 0);
	CHECK_INT(store_get(snap, STORE_POSITIONS, slice_str("chain"), &value), 0);
	CHECK_TEXT(value, "d");
	store_snap_end(snap);
	ingest_figures(world->ingest, &after);
	CHECK_INT(after.lane_requests[RECORD_LANE_STREAM - 1] - before.lane_requests[RECORD_LANE_STREAM - 1], 4);
}

/* A request in parts: what comes meanwhile joins the part that is being made, what is of its series waits for its end. */
enum { PART = 20, PARTED_ROWS = 50, PARTED_BAD = 33 };

struct parted {
	struct world *world;
	unsigned asked, ended, rows, fails_at;
	bool seen[PARTED_ROWS];
	size_t left[4];
	unsigned applied, refused;
	int rc, joined_rc;
	struct parted *behind;		/* submitted from inside of the first part */
};

static struct ingest_request *parted_request(struct world *world, struct parted *parted, char head, unsigned rows);

static void end_joined(void *arg, const struct ingest_result *result)
{
	((struct parted *)arg)->joined_rc = result->rc;
}

static void end_parted(void *arg, const struct ingest_result *result)
{
	struct parted *parted = arg;

	__atomic_store_n(&parted->rc, result->rc, __ATOMIC_RELEASE);
}

static int check_parted(void *arg, struct ingest_positions *at)
{
	struct parted *parted = arg;

	(void)at;
	return parted->fails_at && parted->ended == parted->fails_at ? -EAGAIN : 0;
}

static size_t choose_part(void *arg)
{
	struct parted *parted = arg;
	int64_t number = 5;

	if (parted->asked++ == 0 && parted->behind) {
		struct ingest_request *req = world_request(parted->world, RECORD_LANE_DIRECT);

		ingest_request_row(req, parted->world->group_id, slice_str("joined"), INGEST_NOW, 0, 0);
		ingest_request_value(req, CLICKS, int64_code(), slice_of(&number, 8));
		parted->joined_rc = 1;
		ingest_submit_behind(parted->world->ingest, parted_request(parted->world, parted->behind, 'b', 1), end_parted, parted->behind);
		ingest_submit(parted->world->ingest, req, end_joined, parted);
	}
	if (parted->asked == 2 && parted->behind) {
		CHECK_INT(parted->joined_rc, 0);
		CHECK_INT(parted->behind->asked, 0);
	}
	return PART;
}

static void note_part_row(void *arg, size_t row)
{
	struct parted *parted = arg;

	CHECK(!parted->seen[row]);
	parted->seen[row] = true;
	parted->rows++;
}

static int store_parted(void *arg, struct ingest_positions *at, const struct ingest_result *so_far)
{
	struct parted *parted = arg;

	(void)at;
	parted->left[parted->ended] = so_far->rows_left;
	parted->applied += so_far->rows_applied;
	parted->refused += so_far->rows_refused;
	return 0;
}

static void end_part(void *arg)
{
	((struct parted *)arg)->ended++;
}

static struct ingest_request *parted_request(struct world *world, struct parted *parted, char head, unsigned rows)
{
	static const struct ingest_position_ops ops = { check_parted, store_parted, choose_part, note_part_row, end_part };
	struct ingest_request *req = world_request(world, RECORD_LANE_STREAM);

	/* The order of the names is not that of the rows. */
	for (unsigned i = 0; i < rows; i++) {
		int64_t number = i == PARTED_BAD ? -1 : (int64_t)i;
		char name[8];

		snprintf(name, sizeof name, "%c%02u", head, PARTED_ROWS - i);
		ingest_request_row(req, world->group_id, slice_str(name), 1000, 0, 0);
		ingest_request_value(req, CLICKS, int64_code(), slice_of(&number, 8));
	}
	ingest_request_sort(req);
	ingest_request_positions(req, &ops, parted);
	ingest_request_series(req, world);
	ingest_request_row_by_row(req, NULL);
	parted->rc = 1;
	return req;
}

static int wait_parted(const struct parted *parted)
{
	int rc;

	while ((rc = __atomic_load_n(&parted->rc, __ATOMIC_ACQUIRE)) == 1)
		usleep(1000);
	return rc;
}

static void test_parts(struct world *world)
{
	struct parted b = { .world = world }, a = { .world = world, .behind = &b }, c = { .world = world, .fails_at = 2 };
	struct ingest_figures before, after;

	ingest_figures(world->ingest, &before);
	ingest_submit_behind(world->ingest, parted_request(world, &a, 'a', PARTED_ROWS), end_parted, &a);
	CHECK_INT(wait_parted(&a), 0);
	CHECK_INT(wait_parted(&b), 0);
	CHECK_INT(a.asked, 3);
	CHECK_INT(a.ended, 2);
	CHECK(a.left[0] == 30 && a.left[1] == 10 && a.left[2] == 0);
	CHECK(a.rows == PARTED_ROWS && a.applied == PARTED_ROWS - 1 && a.refused == 1);
	/* One that is committed whole is told nothing of parts. */
	CHECK(b.asked == 1 && b.ended == 0 && b.rows == 0 && b.applied == 1);
	ingest_figures(world->ingest, &after);
	CHECK_INT(after.requests - before.requests, 3);
	CHECK_INT(after.changes - before.changes, PARTED_ROWS + 2);
	CHECK_INT(after.commits - before.commits, 4);
	CHECK_INT(world_int(world, "joined", CLICKS, NULL), 5);
	CHECK_INT(world_int(world, "a01", CLICKS, NULL), 49);
	CHECK_INT(world_int(world, "a50", CLICKS, NULL), 0);
	CHECK_INT(world_int(world, "a17", CLICKS, NULL), GONE(MISSING));

	/* What was committed before a part failed stands. */
	ingest_submit(world->ingest, parted_request(world, &c, 'c', PARTED_ROWS), end_parted, &c);
	CHECK_INT(wait_parted(&c), -EAGAIN);
	CHECK(c.ended == 2 && c.rows == 2 * PART);
	CHECK_INT(world_int(world, "c01", CLICKS, NULL), 49);
	CHECK_INT(world_int(world, "c40", CLICKS, NULL), 10);
	CHECK_INT(world_int(world, "c41", CLICKS, NULL), GONE(MISSING));
}

int main(void)
{
	struct world world = { 0 };

	world_begin(&world, "ingest_parts");
	test_positions(&world);
	test_parts(&world);
	world_end(&world);
	return test_end("ingest_parts");
}
