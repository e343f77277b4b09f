/* SPDX-License-Identifier: MIT */
/* The direct lane without a mount: texts, JSON rows, moves, re-stamps, and what is written down of a refusal. */
#include <errno.h>
#include "base/clock.h"
#include "world.h"

static int answer;

static void take_answer(void *arg, int rc)
{
	(void)arg;
	answer = rc;
}

static const struct direct_origin me = { 1000, INGEST_NOW };

static int put(struct world *world, const char *entity, uint16_t slot, const char *text)
{
	direct_put(&world->lane, &me, world->group_id, slice_str(entity), slot, DIRECT_TEXT, slice_str(text), take_answer, NULL);
	return answer;
}

static int upsert(struct world *world, const char *text)
{
	direct_upsert(&world->lane, &me, world->group_id, slice_str(text), take_answer, NULL);
	return answer;
}

/* A row as JSON, without its event time. */
static struct slice row_of(struct world *world, const char *entity)
{
	static struct buf buf;
	struct serve_view view;
	const struct catalog_group *grp;
	struct record row;
	char *features;

	NEED(serve_begin(world->store, world->cur, &view) == 0);
	grp = catalog_find_id(view.cat, world->group_id);
	buf_reset(&buf);
	if (serve_row(&view, grp, slice_str(entity), &row) == 0) {
		CHECK_INT(serve_row_json(&view, grp, slice_str(entity), &row, &buf), 0);
		buf_append_char(&buf, '\0');
		features = strstr(buf.data, "\"features\"");
		NEED(features);
		serve_end(&view);
		return slice_of(features, strlen(features) - 1);
	}
	serve_end(&view);
	return slice_str("");
}

static bool errors_say(struct world *world, const char *text)
{
	struct buf buf = { 0 };
	bool found;

	reject_log_print(ingest_rejects(world->ingest), world->group_id, &buf);
	buf_append_char(&buf, '\0');
	found = strstr(buf.data, text) != NULL;
	if (!found)
		fprintf(stderr, "not in .errors: %s\n%s", text, buf.data);
	buf_release(&buf);
	return found;
}

static void test_values(struct world *world)
{
	CHECK_INT(put(world, "u1", CLICKS, "5\n"), 0);
	CHECK_INT(put(world, "u1", CTR, "0.1"), 0);
	CHECK_INT(put(world, "u1", NAME, "Ada\n"), 0);
	CHECK_INT(put(world, "u1", VEC, "[1, 2.5, -3]\n"), 0);
	CHECK_TEXT(row_of(world, "u1"), "\"features\": {\"clicks\": 5, \"ctr\": 0.1, \"name\": \"Ada\", \"vec\": [1,2.5,-3]}}");
	CHECK_INT(put(world, "u1", CLICKS, ""), 0);
	CHECK_INT(put(world, "u1", CLICKS, "x\n"), -EINVAL);
	CHECK(errors_say(world, "uid 1000 u1/clicks not_of_type"));
	CHECK_INT(put(world, "u1", CLICKS, "-4\n"), -ERANGE);
	CHECK(errors_say(world, "below min"));
	CHECK_INT(put(world, "u1", CLICKS, "99999999999999999999\n"), -ERANGE);
	CHECK_INT(put(world, "u1", NAME, "longer than twenty bytes\n"), -EINVAL);
	CHECK_INT(put(world, "u1", NAME, "\xff\n"), -EILSEQ);
	CHECK_INT(put(world, "u1", VEC, "[1, 2]\n"), -EINVAL);
	CHECK_INT(put(world, "u1", MUST, ""), -EINVAL);
	CHECK_TEXT(row_of(world, "u1"), "\"features\": {\"clicks\": null, \"ctr\": 0.1, \"name\": \"Ada\", \"vec\": [1,2.5,-3]}}");
	CHECK_INT(direct_judge(&world->lane, &me, world->group_id, slice_str("u1"), CLICKS, DIRECT_TEXT, slice_str("12"), false), 0);
	CHECK_INT(direct_judge(&world->lane, &me, world->group_id, slice_str("u1"), CLICKS, DIRECT_TEXT, slice_str("zz"), false), -EINVAL);
	CHECK_INT(direct_judge(&world->lane, &me, world->group_id, slice_str("u1"), CLICKS, DIRECT_TEXT, slice_str("-1\n"), true), -ERANGE);
	direct_put(&world->lane, &me, world->group_id, slice_str("u1"), CLICKS, DIRECT_BIN, slice_of("\1\0\0\0\0\0\0\0", 8), take_answer, NULL);
	CHECK_INT(answer, 0);
	CHECK_INT(world_int(world, "u1", CLICKS, NULL), 1);
}

static void test_rows(struct world *world)
{
	direct_put_row(&world->lane, &me, world->group_id, slice_str("r1"),
		       slice_str("{\"features\": {\"clicks\": 7, \"name\": null}, \"event_time\": \"2026-01-02T03:04:05Z\"}"), take_answer, NULL);
	CHECK_INT(answer, 0);
	CHECK_TEXT(row_of(world, "r1"), "\"features\": {\"clicks\": 7, \"name\": null}}");
	CHECK_INT(upsert(world, "{\"entity\": \"r2\", \"features\": {\"clicks\": 1}}\n\n{\"entity\": \"r1\", \"delete\": [\"name\"]}\n"), 0);
	CHECK_TEXT(row_of(world, "r1"), "\"features\": {\"clicks\": 7}}");
	CHECK_INT(upsert(world, "{\"entity\": \"r3\", \"features\": {\"clicks\": 1}}\n{\"entity\": \"r2\", \"features\": {\"clicks\": \"1\"}}\n"), -EINVAL);
	CHECK(errors_say(world, "line 2"));
	CHECK_TEXT(row_of(world, "r3"), "");
	CHECK_INT(upsert(world, "{\"entity\": \"r2\", \"features\": {\"klicks\": 1}}"), -EPERM);
	CHECK_INT(upsert(world, "{\"entity\": \"r2\", \"feature\": {}}"), -EINVAL);
	CHECK_INT(upsert(world, "{\"features\": {\"clicks\": 1}}"), -EINVAL);
	CHECK_INT(upsert(world, "{\"entity\": \"r2\", \"features\": {\"clicks\": 1}"), -EINVAL);
	CHECK_INT(upsert(world, "{\"entity\": 42, \"features\": {\"clicks\": 1}}"), 0);
	CHECK_INT(upsert(world, "{\"entity\": 42.0, \"features\": {\"clicks\": 1}}"), -EINVAL);
	CHECK_INT(world_int(world, "42", CLICKS, NULL), 1);
	CHECK_INT(upsert(world, "{\"entity\": \"r1\", \"features\": {\"clicks\": 8}, \"event_time\": 1000}"), -ESTALE);
	CHECK_INT(upsert(world, "{\"entity\": \"r1\", \"features\": {\"clicks\": 8}, \"event_time\": 1000, \"force\": true}"), 0);
	CHECK_INT(world_int(world, "r1", CLICKS, NULL), 8);
	CHECK_INT(upsert(world, "{\"entity\": \"r1\", \"delete\": true}"), 0);
	CHECK_TEXT(row_of(world, "r1"), "");
}

static int restamp(struct world *world, const char *entity, uint16_t slot, int64_t event_ns)
{
	struct direct_origin origin = { 1000, event_ns };

	direct_restamp(&world->lane, &origin, world->group_id, slice_str(entity), slot, take_answer, NULL);
	return answer;
}

static void test_restamp(struct world *world)
{
	struct ingest_result result;
	struct record_stamp stamp;

	CHECK_INT(put(world, "s1", CLICKS, "5\n"), 0);
	CHECK_INT(restamp(world, "s1", CLICKS, 1234567890), 0);
	CHECK_INT(world_int(world, "s1", CLICKS, &stamp), 5);
	CHECK_INT(stamp.event_ns, 1234567890);
	CHECK_INT(restamp(world, "s1", CTR, 1), -ENOENT);
	CHECK_INT(restamp(world, "s1", CLICKS, clock_now() + 3600 * CLOCK_SECOND), -EINVAL);
	CHECK_INT(world_put(world, RECORD_LANE_STREAM, "s1", CLICKS, 6, clock_now(), 0, &result), 0);
	CHECK_INT(restamp(world, "s1", CLICKS, 77), -EPERM);
	CHECK_INT(world_int(world, "s1", CLICKS, &stamp), 6);
}

static int move(struct world *world, const char *from, uint16_t from_slot, const char *to, uint16_t to_slot, bool no_replace)
{
	struct direct_place a = { world->group_id, slice_str(from), from_slot }, b = { world->group_id, slice_str(to), to_slot };

	direct_move(&world->lane, &me, &a, &b, no_replace, take_answer, NULL);
	return answer;
}

static void test_moves(struct world *world)
{
	struct record_stamp before, after;

	CHECK_INT(put(world, "m1", CLICKS, "5\n"), 0);
	world_int(world, "m1", CLICKS, &before);
	CHECK_INT(move(world, "m1", CLICKS, "m2", CLICKS, false), 0);
	CHECK_INT(world_int(world, "m1", CLICKS, NULL), GONE(MISSING));
	CHECK_INT(world_int(world, "m2", CLICKS, &after), 5);
	CHECK_INT(after.event_ns, before.event_ns);
	CHECK_INT(move(world, "m2", CLICKS, "m2", NAME, false), 0);	/* as text, in one row */
	CHECK_TEXT(row_of(world, "m2"), "\"features\": {\"name\": \"5\"}}");
	CHECK_INT(put(world, "m2", CTR, "0.5"), 0);
	CHECK_INT(move(world, "m2", CTR, "m2", CLICKS, false), -EINVAL);
	CHECK_TEXT(row_of(world, "m2"), "\"features\": {\"ctr\": 0.5, \"name\": \"5\"}}");
	CHECK_INT(put(world, "m3", NAME, "x"), 0);
	CHECK_INT(move(world, "m2", NAME, "m3", NAME, true), -EEXIST);
	CHECK_INT(move(world, "m2", NAME, "m3", NAME, false), -ESTALE);	/* m3's is newer */
	CHECK_INT(move(world, "m1", CLICKS, "m3", CLICKS, false), -ENOENT);

	direct_rename_entity(&world->lane, &me, world->group_id, slice_str("m2"), slice_str("m4"), false, take_answer, NULL);
	CHECK_INT(answer, 0);
	CHECK_TEXT(row_of(world, "m4"), "\"features\": {\"ctr\": 0.5, \"name\": \"5\"}}");
	CHECK_TEXT(row_of(world, "m2"), "");
	direct_rename_entity(&world->lane, &me, world->group_id, slice_str("m4"), slice_str("m3"), false, take_answer, NULL);
	CHECK_INT(answer, -ENOTEMPTY);
	direct_rename_entity(&world->lane, &me, world->group_id, slice_str("m4"), slice_str("m2"), true, take_answer, NULL);
	CHECK_INT(answer, 0);			/* over its own tombstone */
	CHECK_TEXT(row_of(world, "m2"), "\"features\": {\"ctr\": 0.5, \"name\": \"5\"}}");
	direct_delete(&world->lane, &me, world->group_id, slice_str("m2"), CTR, take_answer, NULL);
	CHECK_INT(answer, 0);
	direct_delete(&world->lane, &me, world->group_id, slice_str("m2"), CTR, take_answer, NULL);
	CHECK_INT(answer, -ENOENT);
}

int main(void)
{
	struct world world = { 0 };

	world_begin(&world, "direct");
	test_values(&world);
	test_rows(&world);
	test_restamp(&world);
	test_moves(&world);
	world_end(&world);
	return test_end("direct");
}
