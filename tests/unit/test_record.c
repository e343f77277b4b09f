/* SPDX-License-Identifier: MIT */
/* Records: the worked example byte by byte, building and finding, bounds, damaged bytes, and record_apply against a
 * plain model. */
#include "store/record.h"

#include <errno.h>
#include "test.h"

static struct record_stamp stamp_of(int64_t event_ns, int64_t ingest_ns)
{
	return (struct record_stamp){ .event_ns = event_ns, .ingest_ns = ingest_ns, .origin = 7,
				      .lane = RECORD_LANE_DIRECT };
}

static void test_example(void)
{
	static const uint8_t want[] = {
		0x01, 0x01, 0x02, 0x00, 0x01, 0x00, 0x00, 0x00,
		0xe8, 0x03, 0, 0, 0, 0, 0, 0, 0xd0, 0x07, 0, 0, 0, 0, 0, 0, 0x07, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
			0, 0, 0,
		0x00, 0x00, 0x00, 0x00, 0x08, 0x00, 0x00, 0x0d,
		0x02, 0x00, 0x00, 0x00, 0x08, 0x00, 0x00, 0x0e,
		0x05, 0, 0, 0, 0, 0, 0, 0,
	};
	uint64_t five = 5;
	struct record_stamp stamp = stamp_of(1000, 2000), back;
	struct record_builder b = { 0 };
	struct buf out = { 0 };
	struct record rec;
	struct record_cell cell;
	struct why why;

	record_builder_reset(&b, RECORD_EXISTS);
	record_builder_cell(&b, 2, RECORD_NULL, 3, record_builder_stamp(&b, &stamp), slice_of(NULL, 0));
	record_builder_cell(&b, 0, RECORD_PRESENT, 3, record_builder_stamp(&b, &stamp), slice_of(&five, 8));
	CHECK_INT(record_builder_finish(&b, &out), 0);
	CHECK(slice_equal(buf_slice(&out), slice_of(want, sizeof want)));
	NEED(record_view(buf_slice(&out), &rec) == 0);
	CHECK_INT(record_check(buf_slice(&out), false, &why), 0);
	CHECK(record_exists(&rec));
	CHECK(!record_tomb(&rec, &back));
	NEED(record_find(&rec, 0, &cell));
	CHECK_INT(cell.state, RECORD_PRESENT);
	CHECK_INT(cell.type, 3);
	CHECK(slice_equal(cell.value, slice_of(&five, 8)));
	record_stamp(&rec, cell.stamp, &back);
	CHECK_INT(back.event_ns, 1000);
	CHECK_INT(back.ingest_ns, 2000);
	CHECK_INT(back.origin, 7);
	CHECK_INT(back.lane, RECORD_LANE_DIRECT);
	CHECK(!record_find(&rec, 1, &cell));
	NEED(record_find(&rec, 2, &cell));
	CHECK_INT(cell.state, RECORD_NULL);
	CHECK_INT(cell.value.len, 0);
	CHECK(!record_find(&rec, 3, &cell));
	CHECK(!record_find(&rec, 65535, &cell));
	record_builder_release(&b);
	buf_release(&out);
}

static void test_builder(void)
{
	struct record_stamp old = stamp_of(1, 1), new = stamp_of(2, 2), again = stamp_of(1, 1),
		unused = stamp_of(9, 9), back;
	struct record_builder b = { 0 };
	struct buf out = { 0 };
	struct record rec;
	struct record_cell cell;
	uint16_t i, j, k;

	buf_append_str(&out, "before");
	record_builder_reset(&b, 0);
	i = record_builder_stamp(&b, &old);
	record_builder_stamp(&b, &unused);
	j = record_builder_stamp(&b, &new);
	k = record_builder_stamp(&b, &again);
	record_builder_cell(&b, 5, RECORD_PRESENT, 6, i, slice_str("first"));
	record_builder_cell(&b, 9, RECORD_PRESENT, 6, k, slice_str("nine"));
	record_builder_cell(&b, 5, RECORD_PRESENT, 6, j, slice_str("second"));
	record_builder_cell(&b, 1, RECORD_DELETED, 6, j, slice_str("ignored"));
	record_builder_tomb(&b, &new);
	NEED(record_builder_finish(&b, &out) == 0);
	CHECK(!memcmp(out.data, "before", 6));
	NEED(record_view(slice_of(out.data + 6, out.len - 6), &rec) == 0);
	CHECK_INT(record_check(slice_of(out.data + 6, out.len - 6), false, NULL), 0);
	CHECK_INT(rec.cells, 3);
	CHECK_INT(rec.stamps, 2);
	CHECK(record_tomb(&rec, &back));
	CHECK_INT(back.event_ns, 2);
	NEED(record_find(&rec, 5, &cell));
	CHECK_TEXT(cell.value, "second");
	CHECK_INT(cell.stamp, 0);
	NEED(record_find(&rec, 9, &cell));
	CHECK_TEXT(cell.value, "nine");
	CHECK_INT(cell.stamp, 1);
	NEED(record_find(&rec, 1, &cell));
	CHECK_INT(cell.state, RECORD_DELETED);
	CHECK_INT(cell.value.len, 0);
	record_builder_release(&b);
	buf_release(&out);
}

static void test_bounds(void)
{
	struct record_stamp stamp = stamp_of(1, 1);
	struct record_builder b = { 0 };
	struct buf out = { 0 };
	struct record rec;
	struct record_cell cell;
	char *large = calloc(1, RECORD_MAX);
	size_t fits = RECORD_MAX - 8 - 32 - 8;

	NEED(large);
	record_builder_reset(&b, RECORD_EXISTS);
	record_builder_cell(&b, 65535, RECORD_PRESENT, 63, record_builder_stamp(&b, &stamp), slice_of(large, fits));
	CHECK_INT(record_builder_finish(&b, &out), 0);
	CHECK_INT(out.len, RECORD_MAX);
	NEED(record_view(buf_slice(&out), &rec) == 0);
	NEED(record_find(&rec, 65535, &cell));
	CHECK_INT(cell.value.len, fits);
	CHECK_INT(cell.type, 63);
	record_builder_reset(&b, RECORD_EXISTS);
	record_builder_cell(&b, 1, RECORD_PRESENT, 63, record_builder_stamp(&b, &stamp), slice_of(large, fits + 1));
	buf_reset(&out);
	CHECK_INT(record_builder_finish(&b, &out), -EFBIG);
	CHECK_INT(out.len, 0);

	/* As many cells as there can be, each with a stamp of its own but one. */
	record_builder_reset(&b, RECORD_EXISTS);
	for (unsigned i = 0; i < 65534; i++) {
		stamp = stamp_of(i, i);
		record_builder_cell(&b, (uint16_t)(65533 - i), RECORD_NULL, 1, record_builder_stamp(&b, &stamp),
				    slice_of(NULL, 0));
	}
	CHECK_INT(record_builder_finish(&b, &out), 0);
	CHECK_INT(record_check(buf_slice(&out), false, NULL), 0);
	NEED(record_view(buf_slice(&out), &rec) == 0);
	CHECK_INT(rec.stamps, 65534);
	CHECK(record_find(&rec, 0, &cell) && record_find(&rec, 65533, &cell) && !record_find(&rec, 65534, &cell));

	record_builder_reset(&b, 0);
	record_builder_cell(&b, 1, RECORD_NULL, 1, 3, slice_of(NULL, 0));
	buf_reset(&out);
	CHECK_INT(record_builder_finish(&b, &out), -EINVAL);	/* no such stamp */
	record_builder_release(&b);
	buf_release(&out);
	free(large);
}

/* ---- record_apply against a model ---- */

enum { SLOTS = 40 };

struct model_cell {
	uint8_t state, type;	/* state RECORD_ABSENT: no cell */
	struct record_stamp stamp;
	uint8_t value[24], len;
};

struct model {
	bool exists, has_tomb;
	struct record_stamp tomb;
	struct model_cell cells[SLOTS];
};

static bool same_stamp(const struct record_stamp *a, const struct record_stamp *b)
{
	return a->event_ns == b->event_ns && a->ingest_ns == b->ingest_ns && a->origin == b->origin &&
		a->source == b->source &&
	       a->lane == b->lane;
}

static struct record_stamp random_stamp(void)
{
	return (struct record_stamp){ .event_ns = (int64_t)rnd(30) - 5, .ingest_ns = rnd(6), .origin = rnd(2),
				      .source = rnd(2),
				      .lane = (uint8_t)(1 + rnd(3)) };
}

/* A random delta, as bytes and done to the model. */
static void random_delta(struct model *model, struct buf *out)
{
	struct record_builder b = { 0 };
	struct record_stamp stamp;
	bool exists = rnd(4), tomb = rnd(6) == 0, untomb = !tomb && rnd(6) == 0;

	record_builder_reset(&b, (uint8_t)((exists ? RECORD_EXISTS : 0) | (untomb ? RECORD_UNTOMB : 0)));
	model->exists = exists;
	if (untomb)
		model->has_tomb = false;
	if (tomb) {
		stamp = random_stamp();
		record_builder_tomb(&b, &stamp);
		model->has_tomb = true;
		model->tomb = stamp;
		for (int i = 0; i < SLOTS; i++)
			if (model->cells[i].stamp.event_ns <= stamp.event_ns)
				model->cells[i].state = RECORD_ABSENT;
	}
	for (uint32_t n = rnd(rnd(10) ? 4 : SLOTS); n; n--) {
		uint16_t slot = (uint16_t)rnd(SLOTS);
		struct model_cell *cell = &model->cells[slot];

		*cell = (struct model_cell){ .state = (uint8_t)rnd(4), .type = (uint8_t)rnd(64), .stamp = random_stamp() };
		if (cell->state == RECORD_PRESENT)
			cell->len = (uint8_t)rnd(sizeof cell->value + 1);
		for (unsigned i = 0; i < cell->len; i++)
			cell->value[i] = (uint8_t)rnd(256);
		record_builder_cell(&b, slot, cell->state, cell->type, record_builder_stamp(&b, &cell->stamp),
				    slice_of(cell->value, cell->len));
	}
	buf_reset(out);
	NEED(record_builder_finish(&b, out) == 0);
	NEED(record_check(buf_slice(out), true, NULL) == 0);
	record_builder_release(&b);
}

static void compare(const struct model *model, struct slice bytes)
{
	struct record rec;
	struct record_cell cell;
	struct record_stamp stamp;
	unsigned cells = 0;
	struct why why;

	NEED(record_view(bytes, &rec) == 0);
	if (bytes.len && record_check(bytes, false, &why) < 0) {
		fprintf(stderr, "%s\n", why.text);
		CHECK(!"a row that record_apply made passes record_check");
	}
	CHECK_INT(record_exists(&rec), model->exists);
	CHECK_INT(record_tomb(&rec, &stamp), model->has_tomb);
	CHECK(!model->has_tomb || same_stamp(&stamp, &model->tomb));
	for (uint16_t i = 0; i < SLOTS; i++) {
		const struct model_cell *want = &model->cells[i];

		if (want->state == RECORD_ABSENT) {
			CHECK(!record_find(&rec, i, &cell));
			continue;
		}
		cells++;
		NEED(record_find(&rec, i, &cell));
		CHECK_INT(cell.slot, i);
		CHECK_INT(cell.state, want->state);
		CHECK_INT(cell.type, want->type);
		CHECK(slice_equal(cell.value, slice_of(want->value, want->len)));
		record_stamp(&rec, cell.stamp, &stamp);
		CHECK(same_stamp(&stamp, &want->stamp));
	}
	CHECK_INT(rec.cells, cells);
	CHECK_INT(bytes.len == 0, !cells && !model->exists && !model->has_tomb);
	/* No stamp twice, none unused. */
	for (unsigned i = 0; i < rec.stamps; i++) {
		bool used = i == 0 && (rec.flags & RECORD_TOMB);
		struct record_stamp other;

		record_stamp(&rec, i, &stamp);
		for (unsigned j = 0; j < i; j++) {
			record_stamp(&rec, j, &other);
			CHECK(!same_stamp(&stamp, &other));
		}
		for (unsigned j = 0; j < rec.cells && !used; j++) {
			record_cell(&rec, j, &cell);
			used = cell.stamp == i;
		}
		CHECK(used);
	}
}

/* All cells at once are the cells one by one. */
static void check_cells_at_once(const struct record *rec)
{
	struct record_cell *cells = calloc(rec->cells + 1u, sizeof *cells), one;
	struct slice values;
	size_t len = 0;

	NEED(cells);
	if (record_cells(rec, cells, &values) == 0) {
		for (unsigned i = 0; i < rec->cells; i++) {
			record_cell(rec, i, &one);
			CHECK(one.slot == cells[i].slot && one.state == cells[i].state && one.type == cells[i].type && one.stamp == cells[i].stamp);
			CHECK(slice_equal(one.value, cells[i].value));
			CHECK(slice_equal(one.value, slice_of((const char *)values.data + len, one.value.len)));
			len += one.value.len;
		}
		CHECK_INT(len, values.len);
	} else {
		CHECK(record_check(slice_of(rec->data, rec->len), true, NULL) < 0);
	}
	free(cells);
}

static void test_apply(void)
{
	struct buf row = { 0 }, next = { 0 }, delta = { 0 }, t;
	struct record row_view, delta_view;

	for (int round = 0; round < 200; round++) {
		struct model model = { 0 };

		buf_reset(&row);
		for (int step = 0; step < 40; step++) {
			random_delta(&model, &delta);
			NEED(record_view(buf_slice(&row), &row_view) == 0);
			NEED(record_view(buf_slice(&delta), &delta_view) == 0);
			buf_reset(&next);
			CHECK_INT(record_apply(&row_view, &delta_view, &next), 0);
			t = row;
			row = next;
			next = t;
			compare(&model, buf_slice(&row));
		}
	}
	buf_release(&row);
	buf_release(&next);
	buf_release(&delta);
}

/* Many stamps take other ways: a hash instead of a search, the heap instead of the stack. */
static void test_many_stamps(void)
{
	struct record_builder b = { 0 };
	struct record_stamp stamp;
	struct buf row = { 0 }, delta = { 0 }, out = { 0 };
	struct record row_view, delta_view, rec;
	static uint32_t values[3000];	/* the builder borrows them */

	record_builder_reset(&b, RECORD_EXISTS);
	for (unsigned i = 0; i < 3000; i++) {
		values[i] = i;
		stamp = stamp_of(i, 1);
		record_builder_cell(&b, (uint16_t)i, RECORD_PRESENT, 1, record_builder_stamp(&b, &stamp),
				    slice_of(&values[i], 4));
	}
	NEED(record_builder_finish(&b, &row) == 0);
	record_builder_reset(&b, RECORD_EXISTS);
	for (unsigned i = 0; i < 3000; i++) {
		stamp = stamp_of(i + 1500, 1);
		record_builder_cell(&b, (uint16_t)(i + 1500), RECORD_PRESENT, 1, record_builder_stamp(&b, &stamp),
				    slice_of(&values[i], 4));
	}
	NEED(record_builder_finish(&b, &delta) == 0);
	NEED(record_view(buf_slice(&row), &row_view) == 0);
	NEED(record_view(buf_slice(&delta), &delta_view) == 0);
	CHECK_INT(record_apply(&row_view, &delta_view, &out), 0);
	CHECK_INT(record_check(buf_slice(&out), false, NULL), 0);
	NEED(record_view(buf_slice(&out), &rec) == 0);
	CHECK_INT(rec.cells, 4500);
	CHECK_INT(rec.stamps, 4500);
	for (unsigned i = 0; i < 4500; i++) {
		struct record_cell cell;
		uint32_t value = i < 1500 ? i : i - 1500;

		NEED(record_find(&rec, (uint16_t)i, &cell));
		CHECK(slice_equal(cell.value, slice_of(&value, 4)));
		record_stamp(&rec, cell.stamp, &stamp);
		CHECK_INT(stamp.event_ns, i);
	}
	record_builder_release(&b);
	buf_release(&row);
	buf_release(&delta);
	buf_release(&out);
}

static void test_too_large(void)
{
	struct record_stamp stamp = stamp_of(1, 1);
	struct record_builder b = { 0 };
	struct buf row = { 0 }, delta = { 0 }, out = { 0 };
	struct record row_view, delta_view;
	char *large = calloc(1, 3 << 20);

	NEED(large);
	for (uint16_t i = 0; i < 2; i++) {
		record_builder_reset(&b, RECORD_EXISTS);
		record_builder_cell(&b, i, RECORD_PRESENT, 7, record_builder_stamp(&b, &stamp),
				    slice_of(large, 3 << 20));
		NEED(record_builder_finish(&b, i ? &delta : &row) == 0);
	}
	NEED(record_view(buf_slice(&row), &row_view) == 0);
	NEED(record_view(buf_slice(&delta), &delta_view) == 0);
	CHECK_INT(record_apply(&row_view, &delta_view, &out), -EFBIG);
	CHECK_INT(out.len, 0);
	record_builder_release(&b);
	buf_release(&row);
	buf_release(&delta);
	buf_release(&out);
	free(large);
}

/* No byte may make an accessor read outside; the sanitizers watch. */
static void look_everywhere(struct slice bytes)
{
	struct record rec;
	struct record_cell cell;
	struct record_stamp stamp;
	struct buf out = { 0 };
	volatile unsigned sum = 0;

	record_check(bytes, true, NULL);
	if (record_view(bytes, &rec) < 0)
		return;
	record_tomb(&rec, &stamp);
	check_cells_at_once(&rec);
	for (unsigned i = 0; i < rec.cells; i++) {
		record_cell(&rec, i, &cell);
		for (size_t j = 0; j < cell.value.len; j++)
			sum += ((const uint8_t *)cell.value.data)[j];
		record_stamp(&rec, cell.stamp, &stamp);
	}
	for (unsigned i = 0; i < 50; i++)
		record_find(&rec, (uint16_t)i, &cell);
	record_apply(&rec, &rec, &out);
	buf_release(&out);
}

static void test_damage(void)
{
	struct model model = { 0 };
	struct buf delta = { 0 };
	unsigned refused = 0;

	for (int round = 0; round < 3000; round++) {
		char *copy;
		size_t len;

		random_delta(&model, &delta);
		len = rnd(3) ? delta.len : rnd((uint32_t)delta.len + 1);
		copy = malloc(len ? len : 1);
		NEED(copy);
		memcpy(copy, delta.data, len);
		for (uint32_t n = rnd(5); n && len; n--)
			copy[rnd((uint32_t)len)] = (char)rnd(256);
		refused += record_check(slice_of(copy, len), true, NULL) < 0;
		look_everywhere(slice_of(copy, len));
		free(copy);
	}
	CHECK(refused > 500);
	buf_release(&delta);
}

/* The short way packs the bytes that the builder packs. */
static void test_pack(void)
{
	static const char bytes[64] = "0123456789abcdef";
	struct record_stamp stamp = stamp_of(1, 2);
	struct record_cell cells[20];
	struct record_builder b = { 0 };
	struct buf packed = { 0 }, built = { 0 };

	for (unsigned round = 0; round < 500; round++) {
		unsigned n = rnd(20);
		uint16_t slot = 0;
		uint8_t flags = rnd(3) ? RECORD_EXISTS : RECORD_TOMB;

		record_builder_reset(&b, flags);
		if (flags & RECORD_TOMB)
			record_builder_tomb(&b, &stamp);
		for (unsigned i = 0; i < n; i++) {
			struct record_cell *cell = &cells[i];

			slot = (uint16_t)(slot + 1 + rnd(5));
			*cell = (struct record_cell){ .slot = slot, .state = (uint8_t)(1 + rnd(3)), .type = (uint8_t)rnd(64) };
			if (cell->state == RECORD_PRESENT)
				cell->value = slice_of(bytes, rnd(4) ? 8 : rnd(64));
			record_builder_cell(&b, slot, cell->state, cell->type, record_builder_stamp(&b, &stamp), cell->value);
		}
		buf_reset(&packed);
		buf_reset(&built);
		CHECK_INT(record_pack(flags, &stamp, cells, n, &packed), 0);
		CHECK_INT(record_builder_finish(&b, &built), 0);
		CHECK(slice_equal(buf_slice(&packed), buf_slice(&built)));
		if (n > 1) {
			cells[n - 1].slot = cells[n - 2].slot;
			CHECK_INT(record_pack(flags, &stamp, cells, n, &packed), -EINVAL);
		}
	}
	cells[0] = (struct record_cell){ .state = RECORD_PRESENT, .value = slice_of(bytes, RECORD_MAX) };
	CHECK_INT(record_pack(RECORD_EXISTS, &stamp, cells, 1, &packed), -EFBIG);
	record_builder_release(&b);
	buf_release(&packed);
	buf_release(&built);
}

int main(void)
{
	test_example();
	test_pack();
	test_builder();
	test_bounds();
	test_apply();
	test_many_stamps();
	test_too_large();
	test_damage();
	return test_end("record");
}
