/* SPDX-License-Identifier: MIT */
/* The change log by itself: segments, recycling, tails that are cut, stale records that must not come back, damage that
 * must be told. */
#include "store/changelog.h"

#include <errno.h>
#include "store_help.h"

enum { STORE_ID = 4711, SEGMENT = 64 << 10 };

static struct log_position origin;

static int dir_of(const char *name)
{
	const char *path = path_of(name);
	int fd;

	mkdir(path, 0700);
	fd = open(path, O_RDONLY | O_DIRECTORY);
	NEED(fd >= 0);
	return fd;
}

/* Content of record `seq` in a life of the log. */
static void fill(struct buf *record, uint64_t seq, unsigned life, size_t len)
{
	char *place;

	buf_reset(record);
	place = buf_reserve(record, CHANGELOG_HEAD + len);
	NEED(place);
	memset(place, (int)(seq * 7 + life), CHANGELOG_HEAD + len);
	record->len = CHANGELOG_HEAD + len;
}

static size_t len_of(uint64_t seq)
{
	return mix(seq) % 3 ? mix(seq) % 300 : mix(seq) % 9000;
}

static void append(struct changelog *log, uint64_t seq, unsigned life, size_t len)
{
	struct buf record = { 0 };

	fill(&record, seq, life, len);
	CHECK_INT(log->end.seq, seq);
	CHECK_INT(changelog_append(log, &record, 1, true), 0);
	buf_release(&record);
}

/* Reads from a position to the end, checks contents, and gives the last seq; the reader stays for more questions. */
static uint64_t read_all(struct log_reader *reader, int dir, unsigned life, struct log_position *out_last)
{
	struct slice payload;
	uint64_t seq, last = reader->pos.seq - 1;
	struct log_position before;
	int rc;

	(void)dir;
	for (;;) {
		before = reader->pos;
		rc = log_reader_next(reader, &seq, &payload);
		if (rc < 0)
			break;
		CHECK_INT(seq, last + 1);
		last = seq;
		for (size_t i = 0; i < payload.len; i++)
			if (((const uint8_t *)payload.data)[i] != (uint8_t)(seq * 7 + life)) {
				CHECK(!"the payload is the one that was written");
				break;
			}
		if (out_last) {
			*out_last = before;
			out_last->segment = reader->pos.segment;
			if (reader->pos.segment != before.segment)
				out_last->offset = CHANGELOG_FIRST;
		}
	}
	CHECK_INT(rc, -ENOENT);
	return last;
}

static void start(struct changelog *log, int dir, bool relaxed, const struct log_position *from, unsigned life,
		  uint64_t want)
{
	struct log_position last = { 0 };
	struct log_reader reader;
	struct why why;

	NEED(changelog_open(log, dir, STORE_ID, SEGMENT, relaxed, from, &why) == 0);
	log_reader_init(&reader, log->dir_fd, STORE_ID, from);
	CHECK_INT(read_all(&reader, dir, life, &last), want);
	CHECK_INT(log_reader_is_damage(&reader, log->segments[log->n_segments - 1].number), 0);
	NEED(changelog_start(log, from, &reader.pos, &last) == 0);
	log_reader_release(&reader);
}

static void test_round_trip(void)
{
	int dir = dir_of("round");
	struct changelog log;
	struct log_reader reader;
	struct log_segment segment;
	struct slice payload;
	uint64_t seq, n, before;

	NEED(changelog_create(dir, STORE_ID, SEGMENT) == 0);
	start(&log, dir, false, &origin, 0, 0);
	for (seq = 1; seq <= 200; seq++) {
		if (seq % 3 && changelog_wants_next(&log))
			CHECK_INT(changelog_prepare(&log, false), 0);
		append(&log, seq, 0, seq == 100 ? 300000 : len_of(seq));
	}
	log_reader_init(&reader, log.dir_fd, STORE_ID, &origin);
	CHECK_INT(read_all(&reader, dir, 0, NULL), 200);
	append(&log, 201, 0, 5);
	CHECK_INT(read_all(&reader, dir, 0, NULL), 201);
	log_reader_release(&reader);
	/* Every segment can be read from its head, and is found by the seqs in it. */
	CHECK(log.n_segments > 5);
	for (size_t i = 0; i < log.n_segments; i++) {
		log_reader_init_segment(&reader, log.dir_fd, STORE_ID, &log.segments[i]);
		CHECK_INT(log_reader_next(&reader, &seq, &payload), 0);
		CHECK_INT(seq, log.segments[i].first_seq);
		CHECK(changelog_locate(&log, seq, &segment) && segment.number == log.segments[i].number);
		CHECK(seq == 1 || (changelog_locate(&log, seq - 1, &segment) &&
				   segment.number == log.segments[i].number - 1));
		CHECK_INT(read_all(&reader, dir, 0, NULL), 201);
		log_reader_release(&reader);
	}
	/* Trimmed: the rest can be read, what went can't be found, two files are kept for later. */
	CHECK_INT(changelog_trim(&log, log.end.segment - 1), 0);
	CHECK_INT(log.n_segments, 2);
	CHECK_INT(log.n_spares, 2);
	CHECK(!changelog_locate(&log, 1, &segment));
	CHECK(changelog_locate(&log, 0, &segment));
	CHECK_INT(segment.number, log.end.segment - 1);
	changelog_sizes(&log, log.end.segment, &n, &before);
	CHECK_INT(n, 2);
	CHECK(before >= SEGMENT);
	log_reader_init_segment(&reader, log.dir_fd, STORE_ID, &segment);
	CHECK_INT(read_all(&reader, dir, 0, NULL), 201);
	log_reader_release(&reader);
	changelog_close(&log);
	close(dir);
}

/* Files are used again and again; what was in them does not come back, wherever the log is opened anew. */
static void test_recycling(void)
{
	int dir = dir_of("recycling");
	struct log_position from = origin;
	struct log_reader reader;
	struct changelog log;
	uint64_t seq = 1;

	NEED(changelog_create(dir, STORE_ID, SEGMENT) == 0);
	for (int life = 0; life < 12; life++) {
		start(&log, dir, false, &from, 0, seq - 1);
		for (int i = 0; i < 80; i++, seq++) {
			append(&log, seq, 0, len_of(seq));
			if (i % 20 == 19) {
				from = log.end;
				CHECK_INT(changelog_trim(&log, from.segment), 0);
				CHECK_INT(changelog_prepare(&log, false), 0);
			}
		}
		CHECK(log.n_spares <= CHANGELOG_SPARES);
		log_reader_init(&reader, log.dir_fd, STORE_ID, &from);
		CHECK_INT(read_all(&reader, dir, 0, NULL), seq - 1);
		log_reader_release(&reader);
		changelog_close(&log);
	}
	close(dir);
}

static void spoil(int dir, const struct log_position *pos, size_t at)
{
	char name[40], byte;
	int fd;

	snprintf(name, sizeof name, "log/%016llx.log", (unsigned long long)pos->segment);
	fd = openat(dir, name, O_RDWR);
	NEED(fd >= 0);
	NEED(pread(fd, &byte, 1, (off_t)(pos->offset + at)) == 1);
	byte = (char)~byte;
	NEED(pwrite(fd, &byte, 1, (off_t)(pos->offset + at)) == 1);
	close(fd);
}

/* A relaxed log may lose a record in the middle. It is cut there; the new record in its place has the same length, and
 * the old one behind it fits by seq and place, but does not follow it. */
static void test_stale(void)
{
	int dir = dir_of("stale");
	struct log_position third = { 0 };
	struct log_reader reader;
	struct changelog log;

	NEED(changelog_create(dir, STORE_ID, SEGMENT) == 0);
	start(&log, dir, true, &origin, 0, 0);
	for (uint64_t seq = 1; seq <= 6; seq++) {
		if (seq == 3)
			third = log.end;
		append(&log, seq, 0, 100);
	}
	changelog_close(&log);
	spoil(dir, &third, 60);
	start(&log, dir, true, &origin, 0, 2);
	append(&log, 3, 50, 100);
	log_reader_init(&reader, log.dir_fd, STORE_ID, &third);
	CHECK_INT(read_all(&reader, dir, 50, NULL), 3);
	log_reader_release(&reader);
	changelog_close(&log);
	close(dir);
}

static int judge_damage(int dir, uint64_t want_last)
{
	struct log_reader reader;
	struct changelog log;
	struct why why;
	int damage;

	NEED(changelog_open(&log, dir, STORE_ID, SEGMENT, false, &origin, &why) == 0);
	log_reader_init(&reader, log.dir_fd, STORE_ID, &origin);
	CHECK_INT(read_all(&reader, dir, 0, NULL), want_last);
	damage = log_reader_is_damage(&reader, log.segments[log.n_segments - 1].number);
	log_reader_release(&reader);
	changelog_close(&log);
	return damage;
}

/* In a synced log only the last record may be cut off. */
static void test_damage(void)
{
	int dir = dir_of("damage");
	struct log_position at[31] = { 0 };
	struct changelog log;
	char gone[40];

	NEED(changelog_create(dir, STORE_ID, SEGMENT) == 0);
	start(&log, dir, false, &origin, 0, 0);
	for (uint64_t seq = 1; seq <= 30; seq++) {
		append(&log, seq, 0, 5000);
		at[seq] = log.end;	/* behind it */
		at[seq].offset -= 5040;
	}
	CHECK(at[30].segment == 3);
	changelog_close(&log);

	spoil(dir, &at[30], 5);		/* its hash */
	CHECK_INT(judge_damage(dir, 29), 0);
	spoil(dir, &at[30], 5);
	spoil(dir, &at[30], 5039);	/* its last byte */
	CHECK_INT(judge_damage(dir, 29), 0);
	spoil(dir, &at[30], 5039);
	CHECK_INT(judge_damage(dir, 30), 0);
	for (unsigned seq = 1; seq < 30; seq += 4)
		for (size_t byte = 4; byte < 40; byte += 8) {
			spoil(dir, &at[seq], byte);
			CHECK_INT(judge_damage(dir, seq - 1), 1);
			spoil(dir, &at[seq], byte);
		}
	/* A whole segment is gone: the next one knows. */
	snprintf(gone, sizeof gone, "log/%016x.log", 2);
	NEED(renameat(dir, gone, dir, "gone") == 0);
	CHECK_INT(judge_damage(dir, at[12].segment == 1 ? 12 : 11), 1);
	NEED(renameat(dir, "gone", dir, gone) == 0);
	CHECK_INT(judge_damage(dir, 30), 0);
	close(dir);
}

/* Another store's segment, or none, is refused with a reason. */
static void test_refusals(void)
{
	int dir = dir_of("refusals");
	struct log_position far = { .segment = 9, .offset = CHANGELOG_FIRST, .seq = 1 };
	struct changelog log;
	struct why why;

	CHECK_INT(changelog_open(&log, dir, STORE_ID, SEGMENT, false, &origin, &why), -EBADMSG);
	NEED(changelog_create(dir, STORE_ID, SEGMENT) == 0);
	CHECK_INT(changelog_open(&log, dir, STORE_ID + 1, SEGMENT, false, &origin, &why), -EBADMSG);
	CHECK(strstr(why.text, "another store"));
	CHECK_INT(changelog_open(&log, dir, STORE_ID, SEGMENT, false, &far, &why), -EBADMSG);
	CHECK(strstr(why.text, "missing"));
	close(dir);
}

int main(void)
{
	origin = changelog_origin(1);
	test_round_trip();
	test_recycling();
	test_stale();
	test_damage();
	test_refusals();
	return test_end("changelog");
}
