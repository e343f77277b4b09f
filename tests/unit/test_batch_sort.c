/* SPDX-License-Identifier: MIT */
/* The sort against a plain one: every kind of name and order, in memory and spilled, with duplicates, and what is found in it. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <unistd.h>
#include "batch/ahead.h"
#include "batch/merge.h"
#include "batch/sort_private.h"
#include "batch/sort.h"
#include "store/record.h"
#include "test.h"

static uint64_t state = 88172645463325252u;

static uint64_t next_random(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* One cell in slot `slot` with a number as its value. */
static void make_record(uint16_t slot, int64_t value, int64_t event_ns, size_t padding, struct buf *out)
{
	static const char zeros[100000];
	struct record_stamp stamp = { .event_ns = event_ns, .lane = RECORD_LANE_BATCH };
	struct record_cell cells[2] = {
		{ .slot = slot, .state = RECORD_PRESENT, .type = 3, .value = slice_of(&value, sizeof value) },
		{ .slot = 1000, .state = RECORD_PRESENT, .type = 6, .value = slice_of(zeros, padding) },
	};

	buf_reset(out);
	NEED(record_pack(RECORD_EXISTS, &stamp, cells, padding ? 2 : 1, out) == 0);
	CHECK_INT(record_check(buf_slice(out), false, NULL), 0);
}

static int64_t value_of(struct slice bytes, uint16_t slot)
{
	struct record_cell cell;
	struct record rec;
	int64_t value = -1;

	NEED(record_view(bytes, &rec) == 0);
	if (record_find(&rec, slot, &cell) && cell.value.len == sizeof value)
		memcpy(&value, cell.value.data, sizeof value);
	return value;
}

/* ---- what is sorted: the n-th of a set of names ---- */

static void name_number(unsigned i, char *out)
{
	snprintf(out, 300, "user_%07u", i);
}

static void name_bare(unsigned i, char *out)
{
	snprintf(out, 300, "%u", i * 7919);
}

/* Long beginnings that some share, and names that are the beginning of others. */
static void name_long(unsigned i, char *out)
{
	snprintf(out, 300, "%.*s%u%.*s", (int)(i % 5 * 8), "aaaaaaaabbbbbbbbccccccccdddddddd", i / 5, (int)(i % 3), "xy");
}

static void name_odd(unsigned i, char *out)
{
	snprintf(out, 300, "%c\xc3\xa9%u%s", "\x01zZ\x7f"[i % 4], i, i % 2 ? "\xff\xfe" : "");
}

static const struct {
	const char *what;
	void (*name)(unsigned i, char *out);
} sets[] = { { "numbered", name_number }, { "bare", name_bare }, { "long", name_long }, { "odd", name_odd } };

enum order { ASCENDING, DESCENDING, SHUFFLED, NEARLY, ORDERS };

static void make_order(enum order order, unsigned *out, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		out[i] = order == DESCENDING ? n - 1 - i : i;
	for (unsigned i = n - 1; order == SHUFFLED && i; i--) {
		unsigned j = (unsigned)(next_random() % (i + 1)), swap = out[i];

		out[i] = out[j];
		out[j] = swap;
	}
	if (order == NEARLY && n > 10) {
		out[n / 2] = 3;
		out[3] = n / 2;
	}
}

static void check_find(struct batch_sort *sort, void (*name)(unsigned, char *), unsigned i, int64_t want)
{
	struct buf found = { 0 };
	char text[300];

	name(i, text);
	CHECK_INT(batch_sort_find(sort, slice_str(text), &found), 0);
	CHECK_INT(value_of(buf_slice(&found), 1), want);
	buf_release(&found);
}

/* The record, or every other time its cells. */
static int add_either(struct batch_sort *sort, const char *name, struct slice record)
{
	static unsigned turn;
	struct record_stamp stamp;
	struct record_cell cells[8];
	struct slice values;
	struct record rec;

	if (turn++ % 2)
		return batch_sort_add(sort, slice_str(name), record);
	NEED(record_view(record, &rec) == 0 && rec.stamps == 1 && rec.cells <= 8 && record_cells(&rec, cells, &values) == 0);
	record_stamp(&rec, 0, &stamp);
	return batch_sort_add_cells(sort, slice_str(name), rec.flags, &stamp, cells, rec.cells);
}

/* n entities, the i-th with value i and event time 100; every seventh comes `more` times again with lower values, same time. */
static void check_sort(int dir, size_t memory, unsigned set, enum order order, unsigned n, size_t padding, bool has_more)
{
	unsigned *list = malloc(n * sizeof *list), rows = 0;
	struct buf record = { 0 };
	struct batch_sort *sort;
	struct slice entity, bytes;
	char text[300], last[300] = "";
	uint64_t more = 0;
	int rc;

	NEED(list && batch_sort_new(dir, memory, &sort) == 0);
	make_order(order, list, n);
	for (unsigned k = 0; k < n; k++) {
		sets[set].name(list[k], text);
		if (has_more && list[k] % 7 == 0) {
			make_record(1, -5, 100, padding, &record);
			NEED(add_either(sort, text, buf_slice(&record)) == 0);
			more++;
		}
		make_record(1, list[k], 100, padding, &record);
		NEED(add_either(sort, text, buf_slice(&record)) == 0);
	}
	/* Older ones that come last lose. */
	for (unsigned i = 0; has_more && i < n; i += 14, more++) {
		sets[set].name(i, text);
		make_record(1, -6, 99, padding, &record);
		NEED(add_either(sort, text, buf_slice(&record)) == 0);
	}
	NEED(batch_sort_finish(sort) == 0);
	check_find(sort, sets[set].name, n / 2, n / 2);
	for (unsigned pass = 0; pass < 2; pass++) {
		rows = 0;
		last[0] = '\0';
		while ((rc = batch_sort_next(sort, &entity, &bytes)) == 0) {
			CHECK(slice_compare(slice_str(last), entity) < 0);
			memcpy(last, entity.data, entity.len);
			last[entity.len] = '\0';
			CHECK(value_of(bytes, 1) >= 0);
			rows++;
		}
		CHECK_INT(rc, -ENOENT);
		CHECK_INT(rows, n);
		CHECK_INT(batch_sort_duplicates(sort), more);
		NEED(batch_sort_rewind(sort) == 0);
	}
	for (unsigned i = 0; i < n; i += n / 50 + 1)
		check_find(sort, sets[set].name, i, i);
	CHECK_INT(batch_sort_find(sort, slice_str("nobody"), &record), -ENOENT);
	CHECK_INT(batch_sort_find(sort, slice_str(" "), &record), -ENOENT);
	CHECK(!!batch_sort_spilled_bytes(sort) == (dir >= 0 && (uint64_t)n * (padding + 80) > memory));
	batch_sort_free(sort);
	buf_release(&record);
	free(list);
}

static void test_orders(int dir)
{
	for (unsigned set = 0; set < sizeof sets / sizeof *sets; set++)
		for (enum order order = ASCENDING; order < ORDERS; order++) {
			check_sort(dir, 64 << 20, set, order, 1, 0, false);
			check_sort(dir, 64 << 20, set, order, 40, 0, true);
			check_sort(dir, 64 << 20, set, order, 8000, 0, order % 2);
			/* In a megabyte: many chunks, many runs. */
			check_sort(dir, 1 << 20, set, order, 8000, 100, true);
		}
	/* More runs than are merged at once. */
	check_sort(dir, 256 << 10, 0, SHUFFLED, 80000, 40, true);
	/* Rows that are larger than a chunk. */
	check_sort(dir, 1 << 20, 2, SHUFFLED, 200, 99000, true);
}

static void test_bounds(int dir)
{
	struct buf record = { 0 };
	struct batch_sort *sort;
	struct slice entity, bytes;
	char name[300];
	int rc = 0;

	/* Nothing at all. */
	NEED(batch_sort_new(dir, 1 << 20, &sort) == 0);
	NEED(batch_sort_finish(sort) == 0);
	CHECK_INT(batch_sort_next(sort, &entity, &bytes), -ENOENT);
	CHECK_INT(batch_sort_find(sort, slice_str("a"), &record), -ENOENT);
	batch_sort_free(sort);
	/* Nowhere to spill to. */
	NEED(batch_sort_new(-1, 1 << 20, &sort) == 0);
	for (unsigned i = 0; rc == 0 && i < 100000; i++) {
		make_record(1, i, 1, 0, &record);
		snprintf(name, sizeof name, "user%u", i);
		rc = batch_sort_add(sort, slice_str(name), buf_slice(&record));
	}
	CHECK_INT(rc, -ENOSPC);
	batch_sort_free(sort);
	/* Given up in the middle. */
	NEED(batch_sort_new(dir, 1 << 20, &sort) == 0);
	for (unsigned i = 0; i < 50000; i++) {
		make_record(1, i, 1, 0, &record);
		snprintf(name, sizeof name, "user%u", i ^ 0x5555);
		NEED(batch_sort_add(sort, slice_str(name), buf_slice(&record)) == 0);
	}
	CHECK_INT(batch_sort_add(sort, slice_of("a\0b", 3), buf_slice(&record)), -EINVAL);
	CHECK_INT(batch_sort_add(sort, slice_of("", 0), buf_slice(&record)), -EINVAL);
	batch_sort_free(sort);
	batch_sort_free(NULL);
	buf_release(&record);
}

/* A disk that is full while runs are written ends the sort with its own errno. */
static void test_bad_folder(void)
{
	struct buf record = { 0 };
	struct batch_sort *sort;
	int fd = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
	char name[32];

	NEED(fd >= 0 && batch_sort_new(fd, 1 << 20, &sort) == 0);
	for (unsigned i = 0; rc == 0 && i < 100000; i++) {
		make_record(1, i, 1, 0, &record);
		snprintf(name, sizeof name, "user%u", i);
		rc = batch_sort_add(sort, slice_str(name), buf_slice(&record));
	}
	CHECK(rc < 0);
	CHECK(batch_sort_finish(sort) < 0);
	batch_sort_free(sort);
	close(fd);
	buf_release(&record);
}

/* ---- rows of one entity ---- */

struct cell {
	uint16_t slot;
	uint8_t state;
	int64_t value, event_ns;
};

static void build(uint8_t flags, int64_t tomb_ns, const struct cell *cells, unsigned n, struct buf *out)
{
	struct record_builder b = { 0 };
	struct record_stamp stamp = { .lane = RECORD_LANE_BATCH, .event_ns = tomb_ns };

	record_builder_reset(&b, flags);
	if (flags & RECORD_TOMB)
		record_builder_tomb(&b, &stamp);
	for (unsigned i = 0; i < n; i++) {
		stamp.event_ns = cells[i].event_ns;
		record_builder_cell(&b, cells[i].slot, cells[i].state, 3, record_builder_stamp(&b, &stamp),
				    slice_of(&cells[i].value, sizeof cells[i].value));
	}
	buf_reset(out);
	NEED(record_builder_finish(&b, out) == 0);
	record_builder_release(&b);
}

static void check_merge(struct slice a, struct slice b, struct slice want)
{
	struct record_builder scratch = { 0 };
	struct buf out = { 0 };

	CHECK_INT(merge_rows(a, b, &scratch, &out), 0);
	CHECK_INT(record_check(buf_slice(&out), false, NULL), 0);
	CHECK(slice_equal(buf_slice(&out), want));
	buf_release(&out);
	record_builder_release(&scratch);
}

static void test_merge(void)
{
	static const struct cell one[] = { { 1, RECORD_PRESENT, 10, 5 }, { 2, RECORD_PRESENT, 20, 5 }, { 4, RECORD_NULL, 0, 5 } };
	static const struct cell two[] = { { 1, RECORD_PRESENT, 11, 5 }, { 2, RECORD_PRESENT, 21, 4 }, { 3, RECORD_DELETED, 0, 4 } };
	static const struct cell both[] = { { 1, RECORD_PRESENT, 11, 5 }, { 2, RECORD_PRESENT, 20, 5 }, { 3, RECORD_DELETED, 0, 4 },
					    { 4, RECORD_NULL, 0, 5 } };
	static const struct cell back[] = { { 1, RECORD_PRESENT, 10, 5 }, { 2, RECORD_PRESENT, 20, 5 }, { 3, RECORD_DELETED, 0, 4 },
					    { 4, RECORD_NULL, 0, 5 } };
	struct buf a = { 0 }, b = { 0 }, want = { 0 };

	build(RECORD_EXISTS, 0, one, 3, &a);
	build(RECORD_EXISTS, 0, two, 3, &b);
	build(RECORD_EXISTS, 0, both, 4, &want);
	check_merge(buf_slice(&a), buf_slice(&b), buf_slice(&want));
	build(RECORD_EXISTS, 0, back, 4, &want);
	check_merge(buf_slice(&b), buf_slice(&a), buf_slice(&want));
	/* A deletion of the entity takes what is older; at its own time what came before it. */
	build(RECORD_TOMB, 5, NULL, 0, &b);
	build(RECORD_TOMB, 5, NULL, 0, &want);
	check_merge(buf_slice(&a), buf_slice(&b), buf_slice(&want));
	build(RECORD_TOMB | RECORD_EXISTS, 5, one, 3, &want);
	check_merge(buf_slice(&b), buf_slice(&a), buf_slice(&want));
	build(RECORD_TOMB, 4, NULL, 0, &b);
	build(RECORD_TOMB | RECORD_EXISTS, 4, one, 3, &want);
	check_merge(buf_slice(&a), buf_slice(&b), buf_slice(&want));
	build(RECORD_TOMB, 7, NULL, 0, &a);
	build(RECORD_TOMB, 7, NULL, 0, &want);
	check_merge(buf_slice(&a), buf_slice(&b), buf_slice(&want));
	check_merge(buf_slice(&b), buf_slice(&a), buf_slice(&want));
	buf_release(&a);
	buf_release(&b);
	buf_release(&want);
}

/* ---- packed records ---- */

/* What is packed without having been a record is packed in the same way. */
static void check_pack_cells(struct shapes *shapes, struct slice record, struct slice want)
{
	static struct record_cell cells[RECORD_CELLS_MAX];
	struct record_stamp stamp;
	struct slice values;
	struct record rec;
	unsigned shape;
	size_t len;
	char *got;

	if (record_view(record, &rec) < 0 || rec.stamps != 1 || record_cells(&rec, cells, &values) < 0)
		return;
	record_stamp(&rec, 0, &stamp);
	len = sort_packed_len(shapes, rec.flags, &stamp, cells, rec.cells, &shape);
	CHECK_INT(len, want.len);
	if (!len || len != want.len)
		return;
	got = malloc(len);
	NEED(got);
	sort_pack_cells(shape, &stamp, cells, rec.cells, got);
	CHECK(slice_equal(slice_of(got, len), want));
	free(got);
}

static void check_pack(struct shapes *shapes, struct slice record, bool is_shaped)
{
	struct buf packed = { 0 }, scratch = { 0 };
	struct slice got;

	CHECK_INT(sort_pack(shapes, record, &packed), 0);
	CHECK_INT(packed.data[0] != 0, is_shaped);
	check_pack_cells(shapes, record, is_shaped ? buf_slice(&packed) : slice_of(NULL, 0));
	CHECK_INT(sort_unpack(shapes, buf_slice(&packed), &scratch, &got), 0);
	CHECK(slice_equal(got, record));
	/* Cut anywhere, it is not taken for whole. */
	for (size_t len = 0; is_shaped && len < packed.len; len += 1 + len / 8)
		CHECK(sort_unpack(shapes, slice_of(packed.data, len), &scratch, &got) < 0);
	buf_release(&packed);
	buf_release(&scratch);
}

static void test_pack(void)
{
	static const char zeros[70000];
	static const size_t lengths[] = { 0, 1, 8, 254, 255, 256, 65536 };
	static const struct cell cells[] = { { 1, RECORD_PRESENT, 10, 5 }, { 2, RECORD_PRESENT, 20, 6 } };
	static struct shapes shapes, few;
	struct record_stamp stamp = { .event_ns = -5, .origin = UINT64_MAX, .lane = RECORD_LANE_BATCH };
	struct buf record = { 0 };

	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
		for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
			struct record_cell pair[] = {
				{ .slot = 3, .state = RECORD_PRESENT, .type = 6, .value = slice_of(zeros, lengths[i]) },
				{ .slot = 4, .state = RECORD_NULL, .type = 6 },
				{ .slot = 9, .state = RECORD_PRESENT, .type = 6, .value = slice_of(zeros + 1, lengths[k]) },
			};

			buf_reset(&record);
			NEED(record_pack(RECORD_EXISTS, &stamp, pair, 3, &record) == 0);
			check_pack(&shapes, buf_slice(&record), true);
		}
	CHECK_INT(shapes.n, 1);
	buf_reset(&record);
	NEED(record_pack(RECORD_EXISTS, &stamp, NULL, 0, &record) == 0);
	check_pack(&shapes, buf_slice(&record), false);
	/* Two stamps, a deletion of all, a stamp that says more, more shapes than there is room for. */
	build(RECORD_EXISTS, 0, cells, 2, &record);
	check_pack(&shapes, buf_slice(&record), false);
	build(RECORD_TOMB, 5, NULL, 0, &record);
	check_pack(&shapes, buf_slice(&record), false);
	stamp.ingest_ns = 1;
	buf_reset(&record);
	NEED(record_pack(RECORD_EXISTS, &stamp, NULL, 0, &record) == 0);
	check_pack(&shapes, buf_slice(&record), false);
	for (unsigned i = 0; i <= SHAPES_MAX + 1; i++) {
		make_record((uint16_t)i, 7, 1000, 0, &record);
		check_pack(&few, buf_slice(&record), i < SHAPES_MAX);
	}
	make_record(5, 8, 1001, 0, &record);
	check_pack(&few, buf_slice(&record), true);
	shapes_release(&shapes);
	shapes_release(&few);
	buf_release(&record);
}

/* The thread that fetches ahead gives what the sort gives, and can be left at any time. */
static void test_ahead(int dir)
{
	static const size_t stops[] = { 0, 1, 5000, SIZE_MAX };
	struct buf record = { 0 };

	for (size_t s = 0; s < sizeof stops / sizeof *stops; s++) {
		struct slice entity, got, again_entity, again;
		struct batch_sort *sort;
		struct ahead *ahead;
		struct buf copy = { 0 };
		size_t n = 0;
		int rc = 0;

		NEED(batch_sort_new(dir, 1 << 20, &sort) == 0);
		for (unsigned i = 0; i < 20000; i++) {
			char name[300];

			name_number(i * 7919 % 19000, name);
			make_record(1, i, 1000, i % 300, &record);
			NEED(batch_sort_add(sort, slice_str(name), buf_slice(&record)) == 0);
		}
		NEED(batch_sort_finish(sort) == 0);
		NEED(ahead_start(sort, &ahead) == 0);
		while (n < stops[s] && (rc = ahead_next(ahead, &entity, &got)) == 0) {
			n++;
			buf_append_slice(&copy, entity);
			buf_append_slice(&copy, got);
		}
		if (stops[s] == SIZE_MAX) {
			CHECK_INT(rc, -ENOENT);
			CHECK_INT(ahead_next(ahead, &entity, &got), -ENOENT);
			CHECK_INT(ahead_duplicates(ahead), 1000);
			CHECK_INT(n, 19000);
		}
		ahead_stop(ahead);
		NEED(batch_sort_rewind(sort) == 0);
		for (size_t at = 0; n--; at += again_entity.len + again.len) {
			NEED(batch_sort_next(sort, &again_entity, &again) == 0);
			CHECK(!memcmp(copy.data + at, again_entity.data, again_entity.len));
			CHECK(!memcmp(copy.data + at + again_entity.len, again.data, again.len));
		}
		buf_release(&copy);
		batch_sort_free(sort);
	}
	buf_release(&record);
}

int main(void)
{
	char folder[] = "/tmp/featurefs-sort-XXXXXX";
	int dir;

	NEED(mkdtemp(folder));
	dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	NEED(dir >= 0);
	test_merge();
	test_orders(dir);
	test_bounds(dir);
	test_bad_folder();
	test_pack();
	test_ahead(dir);
	close(dir);
	CHECK_INT(rmdir(folder), 0);		/* nothing is left in it */
	return test_end("batch_sort");
}
