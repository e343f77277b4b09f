/* SPDX-License-Identifier: MIT */
/* Rows that are screened before they are sorted: what comes back is what a load has to judge; the rest changes nothing and is only counted. */
#include <errno.h>
#include <time.h>
#include "load_help.h"

/* Rows that came back, one after another: "l001=5 ". */
static int write_down(void *arg, struct slice entity, struct slice record)
{
	struct record_cell cell;
	struct record rec;
	int64_t clicks;

	NEED(record_view(record, &rec) == 0 && record_find(&rec, CLICKS, &cell) && cell.value.len == sizeof clicks);
	memcpy(&clicks, cell.value.data, sizeof clicks);
	buf_printf(arg, "%.*s=%lld ", (int)entity.len, (const char *)entity.data, (long long)clicks);
	return 0;
}

/* All at once. */
static int screen_rows(struct ingest_load *load, const struct ingest_row *rows, size_t n, struct buf *came, struct why *why)
{
	struct ingest_sieve *sieve = ingest_sieve_new();
	int rc;

	NEED(sieve);
	rc = ingest_sieve_begin(sieve, load, rows, n, why);
	if (rc == 0)
		rc = ingest_sieve_look(sieve, why);
	if (rc == 0)
		rc = ingest_sieve_take(sieve, write_down, came, why);
	ingest_sieve_free(sieve);
	return rc;
}

/* What comes back for a row of clicks at a time. */
static void screen_one(struct ingest_load *load, const char *entity, int64_t clicks, int64_t event_ns, const char *want)
{
	struct record_builder b = { 0 };
	struct buf record = { 0 }, came = { 0 };
	struct ingest_row row = { .entity = slice_str(entity) };
	struct why why;

	new_row(&b, event_ns);
	record_builder_cell(&b, CLICKS, RECORD_PRESENT, codes[CLICKS], 0, slice_of(&clicks, sizeof clicks));
	NEED(record_builder_finish(&b, &record) == 0);
	row.record = buf_slice(&record);
	CHECK_INT(screen_rows(load, &row, 1, &came, &why), 0);
	CHECK_TEXT(buf_slice(&came), want);
	record_builder_release(&b);
	buf_release(&record);
	buf_release(&came);
}

static void put_clicks(struct world *world, const char *entity, uint64_t clicks, int64_t event_ns, unsigned flags)
{
	struct ingest_request *req = world_request(world, RECORD_LANE_STREAM);

	ingest_request_row(req, world->group_id, slice_str(entity), event_ns, flags, 0);
	ingest_request_value(req, CLICKS, codes[CLICKS], slice_of(&clicks, sizeof clicks));
	CHECK_INT(world_run(world, req, NULL), 0);
}

static void test_screening(void)
{
	struct world world = { .store_options = quick_options() };
	struct ingest_load_options options = { .find = find_none, .screen_bytes = 1 << 20, .source = slice_str("9:again.csv") };
	struct ingest_load_figures got;
	struct ingest_load *load;
	struct record_stamp stamp = { 0 };
	struct why why;

	world_begin(&world, "screening");
	options.group_id = world.group_id;
	NEED(ingest_load_begin(world.ingest, &options, &load, &why) == 0);
	CHECK(!ingest_load_screens(load));
	ingest_load_abort(load);
	load_all(&world, 'l', 100, 1, &(struct ingest_load_options){ 0 });	/* each at base_ns + 1 */

	NEED(ingest_load_begin(world.ingest, &options, &load, &why) == 0);
	CHECK(ingest_load_screens(load));
	/* The same; the same again; then another one of that entity, which brings the first back; then everything of it comes back. */
	screen_one(load, "l000", 1, base_ns + 1, "");
	screen_one(load, "l000", 1, base_ns + 1, "");
	screen_one(load, "l000", 2, base_ns + 1, "l000=1 l000=2 ");
	screen_one(load, "l000", 1, base_ns + 1, "l000=1 ");
	/* Another value, another time, another entity. */
	screen_one(load, "l001", 2, base_ns + 1, "l001=2 ");
	screen_one(load, "l001", 1, base_ns + 1, "l001=1 ");
	screen_one(load, "l002", 1, base_ns, "l002=1 ");
	screen_one(load, "m000", 1, base_ns + 1, "m000=1 ");
	/* What others change comes back with the next rows, as it was. */
	screen_one(load, "l003", 1, base_ns + 1, "");
	screen_one(load, "l004", 1, base_ns + 1, "");
	put_clicks(&world, "l003", 7, base_ns + 1, 0);
	put_clicks(&world, "l003", 8, base_ns + 1, 0);
	put_clicks(&world, "l005", 7, base_ns + 9, 0);
	screen_one(load, "l005", 1, base_ns + 1, "l003=1 l005=1 ");
	screen_one(load, "l005", 7, base_ns + 9, "l005=7 ");
	screen_one(load, "l006", 1, base_ns + 1, "");
	screen_one(load, "l007", 1, base_ns + 1, "");
	screen_one(load, "l008", 1, base_ns + 1, "");
	screen_one(load, "l009", 1, base_ns + 1, "");
	/* What they change once no more rows are screened is judged anew: at a tie the load, which comes later, wins. */
	put_clicks(&world, "l006", 7, base_ns + 1, 0);
	CHECK_INT(give(load, "l000", 2, base_ns + 1, &why), 0);
	CHECK_INT(screen_rows(load, NULL, 0, NULL, &why), -EINVAL);
	CHECK_INT(ingest_load_row(load, slice_str("l000"), slice_of(NULL, 0), &why), -EINVAL);
	ingest_load_abort(load);
	CHECK_INT(world_int(&world, "l006", CLICKS, NULL), 7);

	NEED(ingest_load_begin(world.ingest, &options, &load, &why) == 0);
	for (unsigned e = 6; e < 10; e++) {
		char name[16], want[16];

		snprintf(name, sizeof name, "l%03u", e);
		snprintf(want, sizeof want, e == 6 ? "l006=1 " : "");
		screen_one(load, name, 1, base_ns + 1, want);
	}
	put_clicks(&world, "l007", 7, base_ns + 1, 0);		/* a tie */
	CHECK_INT(give(load, "l006", 1, base_ns + 1, &why), 0);
	put_clicks(&world, "l007", 8, base_ns + 1, 0);
	put_clicks(&world, "l008", 8, base_ns + 2, 0);		/* newer */
	put_clicks(&world, "l009", 9, base_ns - 1, INGEST_FORCE);	/* older, and forced */
	/* Twice: the load's own row is what stood before the first. */
	CHECK_INT(loading_judge_touched(world.ingest, load, 0, &why), 0);
	put_clicks(&world, "l008", 9, base_ns + 1, INGEST_FORCE);
	CHECK_INT(ingest_load_publish(load, &why), 0);
	ingest_load_figures(load, &got);
	ingest_load_abort(load);
	CHECK_INT(got.rows, 4);
	CHECK_INT(got.unchanged, 0);
	CHECK_INT(got.changed, 4);
	for (unsigned e = 6; e < 10; e++) {
		char name[16];

		snprintf(name, sizeof name, "l%03u", e);
		CHECK_INT(world_int(&world, name, CLICKS, &stamp), 1);
		CHECK_INT(stamp.event_ns, base_ns + 1);
		CHECK_INT(stamp.lane, RECORD_LANE_BATCH);
	}
	check_store(&world);

	/* Without room for names nothing is kept out; a dry run counts the same. */
	for (unsigned i = 0; i < 3; i++) {
		options.screen_bytes = i ? 1 << 20 : 0;
		options.dry_run = i == 1;
		NEED(ingest_load_begin(world.ingest, &options, &load, &why) == 0);
		screen_one(load, "l020", 1, base_ns + 1, i ? "" : "l020=1 ");
		screen_one(load, "l021", 1, base_ns + 1, i ? "" : "l021=1 ");
		screen_one(load, "l020", 1, base_ns + 1, i ? "" : "l020=1 ");
		if (i == 0) {
			CHECK_INT(give(load, "l020", 1, base_ns + 1, &why), 0);
			CHECK_INT(give(load, "l021", 1, base_ns + 1, &why), 0);
		}
		CHECK_INT(ingest_load_publish(load, &why), 0);
		ingest_load_figures(load, &got);
		CHECK_INT(got.rows, 2);
		CHECK_INT(got.unchanged, 2);
		CHECK_INT(got.repeated, i > 0);
		CHECK_INT(got.changed + got.confirmed + got.late + got.refused, 0);
		ingest_load_abort(load);
	}
	/* Names enough to grow by, and more of them than there is room for: what is kept out is counted once, whatever finds none comes back. */
	options.dry_run = false;
	load_all(&world, 'x', 999, 5, &(struct ingest_load_options){ 0 });
	for (unsigned i = 0; i < 2; i++) {
		unsigned long came_back = 0;

		options.screen_bytes = i ? 100000 : 1 << 20;
		NEED(ingest_load_begin(world.ingest, &options, &load, &why) == 0);
		for (unsigned k = 0; k < 2 * 999; k++) {
			struct record_builder b = { 0 };
			struct buf record = { 0 }, came = { 0 };
			struct ingest_row row;
			int64_t clicks = 5;
			char name[16];

			row.entity = slice_of(name, (size_t)snprintf(name, sizeof name, "x%03u", k % 999));
			new_row(&b, base_ns + 5);
			record_builder_cell(&b, CLICKS, RECORD_PRESENT, codes[CLICKS], 0, slice_of(&clicks, sizeof clicks));
			NEED(record_builder_finish(&b, &record) == 0);
			row.record = buf_slice(&record);
			CHECK_INT(screen_rows(load, &row, 1, &came, &why), 0);
			came_back += came.len > 0;
			record_builder_release(&b);
			buf_release(&record);
			buf_release(&came);
		}
		CHECK(i ? came_back > 1000 && came_back < 1990 && came_back % 2 == 0 : came_back == 0);
		CHECK_INT(ingest_load_publish(load, &why), 0);
		ingest_load_figures(load, &got);
		CHECK_INT(got.rows, 999 - came_back / 2);
		CHECK_INT(got.repeated, 999 - came_back / 2);
		CHECK_INT(got.unchanged, 999 - came_back / 2);
		ingest_load_abort(load);
	}
	world_end(&world);
}

int main(void)
{
	load_help_begin();
	test_screening();
	return test_end("load_screen");
}
