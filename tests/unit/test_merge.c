/* SPDX-License-Identifier: MIT */
/* The order rule, case by case, then against a model that applies it value by value. */
#include <errno.h>
#include "base/clock.h"
#include "ingest/merge.h"
#include "ingest/ingest.h"
#include "test.h"

static const struct merge_clock at_1000 = { .now_ns = 1000, .ingest_ns = 1001, .future_ns = 100, .tombstone_ns = 50 };
static struct catalog_group *grp;
static struct record_builder delta, late;
static struct why why;

static void make_group(void)
{
	NEED(catalog_group_parse("t", slice_str("[group]\nentity = e\nttl = 400s\n[feature a]\ntype = string\n[feature b]\ntype = string\n"
						"[feature c]\ntype = string\n[feature old]\ntype = string\nretired = yes\n"),
				 &grp, &why) == 0);
}

struct item {
	uint16_t slot;
	uint8_t state;
	int64_t event_ns;
	const char *text;
};

/* Records live in a ring of buffers, enough for one test. */
static struct record build(const struct item *items, unsigned n, uint8_t flags, int64_t tomb_ns)
{
	static struct buf bytes[8];
	static unsigned next;
	struct buf *buf = &bytes[next++ % 8];
	struct record_builder b = { 0 };
	struct record rec;

	record_builder_reset(&b, flags);
	if (tomb_ns)
		record_builder_tomb(&b, &(struct record_stamp){ .event_ns = tomb_ns, .ingest_ns = 1, .lane = 1 });
	for (unsigned i = 0; i < n; i++) {
		struct record_stamp stamp = { .event_ns = items[i].event_ns, .ingest_ns = 1, .lane = 1 };

		record_builder_cell(&b, items[i].slot, items[i].state, 6, record_builder_stamp(&b, &stamp),
				    slice_str(items[i].text ? items[i].text : ""));
	}
	buf_reset(buf);
	NEED(record_builder_finish(&b, buf) == 0);
	record_builder_release(&b);
	NEED(record_view(buf_slice(buf), &rec) == 0);
	return rec;
}

/* The row after a put, or the errno. */
static struct buf row_bytes[2];
static int put(const struct record *row, const struct record *in, unsigned flags, struct record *out, struct merge_outcome *outcome)
{
	static unsigned which;
	struct buf d = { 0 }, *buf = &row_bytes[which++ % 2];
	struct record drec;
	int rc = merge_put(row, in, grp, flags, &at_1000, &delta, &late, outcome, &why);

	if (rc < 0)
		return rc;
	NEED(record_builder_finish(&delta, &d) == 0 && record_view(buf_slice(&d), &drec) == 0);
	buf_reset(buf);
	NEED(record_apply(row, &drec, buf) == 0 && record_view(buf_slice(buf), out) == 0);
	buf_release(&d);
	return 0;
}

static int64_t event_of(const struct record *rec, uint16_t slot)
{
	struct record_stamp stamp;
	struct record_cell cell;

	if (!record_find(rec, slot, &cell))
		return -1;
	record_stamp(rec, cell.stamp, &stamp);
	return stamp.event_ns;
}

static struct slice text_of(const struct record *rec, uint16_t slot)
{
	struct record_cell cell;

	return record_find(rec, slot, &cell) ? cell.value : slice_str("(none)");
}

static void test_newest_wins(void)
{
	const struct item stands[] = { { 0, RECORD_PRESENT, 500, "old" } };
	const struct item newer[] = { { 0, RECORD_PRESENT, 501, "new" } };
	const struct item tie[] = { { 0, RECORD_PRESENT, 500, "tie" } };
	const struct item older[] = { { 0, RECORD_PRESENT, 499, "older" } };
	struct record row = build(stands, 1, RECORD_EXISTS, 0), in, out;
	struct merge_outcome outcome;

	in = build(newer, 1, RECORD_EXISTS, 0);
	CHECK_INT(put(&row, &in, 0, &out, &outcome), 0);
	CHECK_TEXT(text_of(&out, 0), "new");
	in = build(tie, 1, RECORD_EXISTS, 0);
	CHECK_INT(put(&row, &in, 0, &out, &outcome), 0);
	CHECK_TEXT(text_of(&out, 0), "tie");
	in = build(older, 1, RECORD_EXISTS, 0);
	CHECK_INT(put(&row, &in, 0, &out, &outcome), 0);
	CHECK_TEXT(text_of(&out, 0), "old");
	CHECK_INT(outcome.late, 1);
	CHECK_INT(outcome.applied, 0);
	CHECK_INT(put(&row, &in, INGEST_LATE_FAILS, &out, &outcome), -ESTALE);
	CHECK(strstr(why.text, "a:") != NULL);
	CHECK_INT(put(&row, &in, INGEST_FORCE | INGEST_LATE_FAILS, &out, &outcome), 0);
	CHECK_TEXT(text_of(&out, 0), "older");
	CHECK_INT(event_of(&out, 0), 499);
}

static void test_now_never_loses(void)
{
	const struct item ahead[] = { { 0, RECORD_PRESENT, 1050, "ahead" }, { 1, RECORD_PRESENT, 3, "b" } };
	const struct item now[] = { { 0, RECORD_PRESENT, INGEST_NOW, "now" }, { 1, RECORD_PRESENT, INGEST_NOW, "now" } };
	struct record row = build(ahead, 2, RECORD_EXISTS, 0), in = build(now, 2, RECORD_EXISTS, 0), out;
	struct merge_outcome outcome;

	CHECK_INT(put(&row, &in, INGEST_LATE_FAILS, &out, &outcome), 0);
	CHECK_INT(event_of(&out, 0), 1051);
	CHECK_INT(event_of(&out, 1), 1051);	/* one stamp for the row */
	CHECK_INT(out.stamps, 1);
	row = build(NULL, 0, 0, 0);
	CHECK_INT(put(&row, &in, INGEST_LATE_FAILS, &out, &outcome), 0);
	CHECK_INT(event_of(&out, 0), 1000);
	CHECK(record_exists(&out));
}

static void test_tombstones(void)
{
	const struct item deleted[] = { { 0, RECORD_DELETED, 500, NULL } };
	const struct item older[] = { { 0, RECORD_PRESENT, 400, "older" }, { 1, RECORD_PRESENT, 90, "b" } };
	struct record row = build(deleted, 1, RECORD_EXISTS, 95), in = build(older, 2, RECORD_EXISTS, 0), out;
	struct merge_outcome outcome;

	CHECK_INT(put(&row, &in, 0, &out, &outcome), 0);
	CHECK_INT(outcome.late, 2);
	CHECK_INT(put(&row, &in, INGEST_LATE_FAILS, &out, &outcome), 0);
	CHECK_INT(event_of(&out, 0), 501);	/* just after the feature's tombstone */
	CHECK_INT(event_of(&out, 1), 96);	/* just after the row's */
}

static void test_future(void)
{
	const struct item ahead[] = { { 0, RECORD_PRESENT, 1101, "x" } }, fine[] = { { 0, RECORD_PRESENT, 1100, "x" } };
	struct record row = build(NULL, 0, 0, 0), in = build(ahead, 1, RECORD_EXISTS, 0), out;
	struct merge_outcome outcome;

	CHECK_INT(put(&row, &in, 0, &out, &outcome), -EINVAL);
	CHECK_INT(put(&row, &in, INGEST_FORCE, &out, &outcome), -EINVAL);
	in = build(fine, 1, RECORD_EXISTS, 0);
	CHECK_INT(put(&row, &in, 0, &out, &outcome), 0);
}

static void apply_delta(const struct record *row, struct buf *buf, struct record *out)
{
	struct buf d = { 0 };
	struct record drec;

	NEED(record_builder_finish(&delta, &d) == 0 && record_view(buf_slice(&d), &drec) == 0);
	buf_reset(buf);
	NEED(record_apply(row, &drec, buf) == 0 && record_view(buf_slice(buf), out) == 0);
	buf_release(&d);
}

static void test_delete_entity(void)
{
	const struct item stands[] = { { 0, RECORD_PRESENT, 500, "a" }, { 1, RECORD_PRESENT, 700, "b" } };
	struct record row = build(stands, 2, RECORD_EXISTS, 0), out;
	struct record_stamp stamp = { .event_ns = 600, .lane = 2 }, tomb;
	struct merge_outcome outcome;
	struct buf buf = { 0 };

	CHECK_INT(merge_delete_entity(&row, &stamp, 0, &at_1000, &delta, &outcome, &why), 0);
	apply_delta(&row, &buf, &out);
	CHECK_INT(event_of(&out, 0), -1);
	CHECK_INT(event_of(&out, 1), 700);
	CHECK(record_exists(&out));
	CHECK(record_tomb(&out, &tomb) && tomb.event_ns == 600);
	CHECK_INT(merge_delete_entity(&row, &stamp, INGEST_LATE_FAILS, &at_1000, &delta, &outcome, &why), -ESTALE);
	stamp.event_ns = INGEST_NOW;
	CHECK_INT(merge_delete_entity(&row, &stamp, INGEST_LATE_FAILS, &at_1000, &delta, &outcome, &why), 0);
	apply_delta(&row, &buf, &out);
	CHECK_INT(out.cells, 0);
	CHECK(!record_exists(&out));
	CHECK(record_tomb(&out, &tomb) && tomb.event_ns == 1000);
	stamp.event_ns = 600;
	CHECK_INT(merge_delete_entity(&row, &stamp, INGEST_FORCE, &at_1000, &delta, &outcome, &why), 0);
	apply_delta(&row, &buf, &out);
	CHECK_INT(out.cells, 0);
	buf_release(&buf);
}

static void test_sweep(void)
{
	struct merge_clock late_clock = at_1000;
	const struct item stands[] = {
		{ 0, RECORD_PRESENT, 500, "a" }, { 1, RECORD_DELETED, 700, NULL }, { 3, RECORD_PRESENT, 900, "retired" },
	};
	struct record row = build(stands, 3, RECORD_EXISTS, 400), out;
	struct merge_outcome outcome;
	struct buf buf = { 0 };

	late_clock.now_ns = 40;
	CHECK(merge_sweep(&row, grp, &late_clock, &delta, &outcome));
	apply_delta(&row, &buf, &out);
	CHECK_INT(out.cells, 2);		/* only the retired one goes */
	CHECK(record_exists(&out));
	late_clock.now_ns = 400 * CLOCK_SECOND + 500;
	CHECK(merge_sweep(&row, grp, &late_clock, &delta, &outcome));
	CHECK_INT(outcome.swept, 2);
	apply_delta(&row, &buf, &out);
	CHECK(!out.data || out.cells == 0);
	CHECK(!record_exists(&out));
	CHECK(!record_tomb(&out, &(struct record_stamp){ 0 }));
	late_clock.now_ns = 400 * CLOCK_SECOND + 499;
	late_clock.tombstone_ns = INT64_MAX;
	CHECK(merge_sweep(&row, grp, &late_clock, &delta, &outcome));
	apply_delta(&row, &buf, &out);
	CHECK_INT(event_of(&out, 0), 500);
	CHECK_INT(event_of(&out, 1), 700);
	buf_release(&buf);
}

/* Whatever the order in which changes of three lanes arrive, what stands in the end is the newest of each feature. */
static void test_any_order(void)
{
	uint64_t rng = 42;
	struct merge_outcome outcome;

	for (unsigned round = 0; round < 2000; round++) {
		int64_t best[3] = { -1, -1, -1 };
		uint8_t best_state[3] = { 0 };
		struct buf rows[2] = { { 0 }, { 0 } };
		struct record row = { 0 };
		unsigned which = 0;

		for (unsigned step = 0; step < 6; step++) {
			struct item items[3];
			struct record in, drec;
			struct buf d = { 0 };
			unsigned n = 0;

			for (uint16_t slot = 0; slot < 3; slot++) {
				rng = rng * 6364136223846793005u + 1442695040888963407u;
				if ((rng >> 60) < 5)
					continue;
				items[n] = (struct item){ slot, (rng >> 40) % 4 ? RECORD_PRESENT : RECORD_DELETED,
							  (int64_t)((rng >> 20) % 900), "v" };
				if (items[n].state == RECORD_DELETED)
					items[n].text = NULL;
				if (items[n].event_ns >= best[slot]) {
					best[slot] = items[n].event_ns;
					best_state[slot] = items[n].state;
				}
				n++;
			}
			if (n == 0)
				continue;
			in = build(items, n, RECORD_EXISTS, 0);
			NEED(merge_put(&row, &in, grp, 0, &at_1000, &delta, &late, &outcome, &why) == 0);
			CHECK_INT(outcome.applied + outcome.late, n);
			NEED(record_builder_finish(&delta, &d) == 0 && record_view(buf_slice(&d), &drec) == 0);
			which = !which;		/* the row is a view of the other one */
			buf_reset(&rows[which]);
			NEED(record_apply(&row, &drec, &rows[which]) == 0);
			NEED(record_view(buf_slice(&rows[which]), &row) == 0);
			buf_release(&d);
		}
		for (uint16_t slot = 0; slot < 3; slot++) {
			struct record_cell cell = { 0 };

			CHECK_INT(event_of(&row, slot), best[slot]);
			if (record_find(&row, slot, &cell))
				CHECK_INT(cell.state, best_state[slot]);
		}
		buf_release(&rows[0]);
		buf_release(&rows[1]);
	}
}

int main(void)
{
	make_group();
	test_newest_wins();
	test_now_never_loses();
	test_tombstones();
	test_future();
	test_delete_entity();
	test_sweep();
	test_any_order();
	record_builder_release(&delta);
	record_builder_release(&late);
	buf_release(&row_bytes[0]);
	buf_release(&row_bytes[1]);
	catalog_group_unref(grp);
	return test_end("merge");
}
