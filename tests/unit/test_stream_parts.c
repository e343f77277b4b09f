/* SPDX-License-Identifier: MIT */
/* The parts of a stream's lane that need no broker: positions, letters and their files, commands, freshness, definitions, properties. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>
#include "stream/kafka.h"
#include "stream/private.h"
#include "test.h"

static void test_positions(void)
{
	const struct position pos = { .next = INT64_C(1) << 40, .timestamp_ns = -5 };
	const struct position ended = { .next = 5, .timestamp_ns = 6, .empty_to = 7 };
	const struct counters counters = { .messages = 1, .applied = 2, .late = 3, .filtered = 4, .dead = 5, .replayed = 6, .resets = 7,
					   .replays = 8, .is_paused = true, .replay_offset = 9 };
	struct counters counters_back;
	struct position pos_back;
	struct buf buf = { 0 };

	position_encode(&pos, NULL, &buf);
	CHECK_INT(position_decode(buf_slice(&buf), &pos_back, NULL), 0);
	CHECK(pos_back.next == pos.next && pos_back.timestamp_ns == -5);
	for (size_t len = 0; len < buf.len; len++)
		CHECK_INT(position_decode(slice_of(buf.data, len), &pos_back, NULL), -EBADMSG);
	CHECK_INT(pos_back.empty_to, 0);
	buf.data[0] = 9;
	CHECK_INT(position_decode(buf_slice(&buf), &pos_back, NULL), -EBADMSG);
	buf_reset(&buf);
	position_encode(&ended, NULL, &buf);
	CHECK_INT(position_decode(buf_slice(&buf), &pos_back, NULL), 0);
	CHECK(pos_back.next == 5 && pos_back.timestamp_ns == 6 && pos_back.empty_to == 7);
	for (size_t len = 0; len < buf.len; len++)
		CHECK_INT(position_decode(slice_of(buf.data, len), &pos_back, NULL), -EBADMSG);
	buf_reset(&buf);
	counters_encode(&counters, &buf);
	CHECK_INT(counters_decode(buf_slice(&buf), &counters_back), 0);
	CHECK(counters_back.messages == 1 && counters_back.replays == 8 && counters_back.is_paused && counters_back.replay_offset == 9);
	CHECK_INT(counters_decode(slice_of(buf.data, buf.len - 1), &counters_back), -EBADMSG);
	CHECK_INT(counters_decode(slice_of("", 0), &counters_back), 0);
	CHECK_INT(counters_back.messages, 0);
	buf_reset(&buf);
	position_key(7, "clicks", "user-clicks", 3, &buf);
	CHECK_TEXT(buf_slice(&buf), "stream/7/clicks/user-clicks/3");
	buf_release(&buf);
}

/* Messages behind a position that are done: against an array that says the same. */
static void test_ahead(void)
{
	enum { FIRST = 1000003, OFFSETS = 400 };
	struct ahead ahead = { 0 }, back = { 0 };
	bool want[OFFSETS] = { false };
	struct position pos = { .next = FIRST, .timestamp_ns = 7 }, pos_back;
	struct buf buf = { 0 };
	uint64_t random = 5;

	ahead_cut(&ahead, pos.next);
	CHECK(!ahead_has(&ahead, FIRST) && !ahead_has(&ahead, 0));
	for (int step = 0; step < 60; step++) {
		for (int i = 0; i < 5; i++) {
			int64_t offset;

			random = random * 6364136223846793005 + 1442695040888963407;
			offset = pos.next + (int64_t)(random >> 33) % (FIRST + OFFSETS - pos.next);
			CHECK_INT(ahead_add(&ahead, offset), 0);
			want[offset - FIRST] = true;
		}
		if (step % 3 == 2) {
			pos.next += step % 23;
			ahead_cut(&ahead, pos.next);
		}
		buf_reset(&buf);
		position_encode(&pos, &ahead, &buf);
		CHECK_INT(position_decode(buf_slice(&buf), &pos_back, &back), 0);
		CHECK_INT(pos_back.next, pos.next);
		for (int64_t offset = FIRST - 20; offset < FIRST + OFFSETS + 20; offset++) {
			bool is = offset >= pos.next && offset < FIRST + OFFSETS && want[offset - FIRST];

			CHECK(ahead_has(&ahead, offset) == is);
			CHECK(ahead_has(&back, offset) == is);
		}
	}
	ahead_cut(&ahead, FIRST + OFFSETS);
	CHECK_INT(ahead.bits.len, 0);
	/* Then it is a position as it was before there were any. */
	buf_reset(&buf);
	position_encode(&pos, &ahead, &buf);
	CHECK_INT(position_decode(buf_slice(&buf), &pos_back, &back), 0);
	CHECK(buf.len == 17 && back.bits.len == 0);
	buf_release(&ahead.bits);
	buf_release(&back.bits);
	buf_release(&buf);
}

/* ---- letters ---- */

static struct letter sample(int64_t offset)
{
	static const struct letter_header headers[] = { { "trace", { "a\0b", 3 } }, { "none", { NULL, 0 } } };

	return (struct letter){
		.time_ns = 1795449600 * CLOCK_SECOND, .reason = "n: \"x\" is\tno \\ number", .topic = "t", .partition = 2, .offset = offset,
		.timestamp_ns = 1795449600123 * STREAM_MS, .key = { "\xff\0k", 3 }, .has_key = true, .value = { "{}", 2 }, .has_value = true,
		.headers = headers, .n_headers = 2, .replay = -1,
	};
}

static void test_letters(void)
{
	struct letter letter = sample(17), *back = NULL;
	struct buf line = { 0 };
	struct why why = { "" };
	int64_t offset, replay;
	int32_t partition;

	letter_print(&letter, 1 << 20, &line);
	CHECK(line.data[line.len - 1] == '\n' && memchr(line.data, '\n', line.len) == line.data + line.len - 1);
	CHECK_INT(letter_parse(buf_slice(&line), &back, &why), 0);
	NEED(back);
	CHECK(back->partition == 2 && back->offset == 17 && back->timestamp_ns == letter.timestamp_ns);
	CHECK(slice_equal(back->key, letter.key) && slice_equal(back->value, letter.value));
	CHECK_TEXT(slice_str(back->topic), "t");
	CHECK_INT(back->n_headers, 2);
	CHECK_TEXT(slice_str(back->headers[0].name), "trace");
	CHECK(slice_equal(back->headers[0].value, letter.headers[0].value));
	CHECK(!back->headers[1].value.data);
	free(back);
	CHECK_INT(letter_place(buf_slice(&line), &partition, &offset, &replay), 0);
	CHECK(partition == 2 && offset == 17 && replay == -1);
	/* Every beginning of it is refused, whatever it is cut at. */
	for (size_t len = 0; len + 1 < line.len; len++)
		CHECK_INT(letter_parse(slice_of(line.data, len), &back, &why), -EINVAL);
	/* A null is not an empty text. */
	letter.has_key = letter.has_value = false;
	letter.replay = INT64_C(3) << REPLAY_SHIFT | 99;
	letter.n_headers = 0;
	buf_reset(&line);
	letter_print(&letter, 1 << 20, &line);
	CHECK_INT(letter_parse(buf_slice(&line), &back, &why), 0);
	CHECK(!back->has_key && !back->has_value && back->n_headers == 0);
	free(back);
	CHECK_INT(letter_place(buf_slice(&line), &partition, &offset, &replay), 0);
	CHECK_INT(replay, INT64_C(3) << REPLAY_SHIFT | 99);
	/* What is too large keeps its place. */
	letter.value = slice_of(line.data, line.len);
	letter.has_value = true;
	buf_reset(&line);
	letter_print(&letter, 64, &line);
	CHECK_INT(letter_place(buf_slice(&line), &partition, &offset, &replay), 0);
	CHECK_INT(letter_parse(buf_slice(&line), &back, &why), -EINVAL);
	CHECK(strstr(why.text, "not kept"));
	buf_release(&line);
}

static void test_foreign_letters(void)
{
	static const char *const texts[] = {
		"", "[]", "1", "{}", "{\"topic\":\"t\"}", "{\"topic\":\"t\",\"partition\":0}", "{\"topic\":\"t\",\"partition\":-1,\"offset\":0}",
		"{\"topic\":\"t\",\"partition\":4294967296,\"offset\":0}", "{\"topic\":\"t\",\"partition\":0,\"offset\":1,\"key\":\"*\"}",
		"{\"topic\":\"t\",\"partition\":0,\"offset\":1,\"value\":7}", "{\"topic\":\"t\",\"partition\":0,\"offset\":1,\"headers\":7}",
		"{\"topic\":\"t\",\"partition\":0,\"offset\":1,\"headers\":[[null,null]]}", "{\"topic\":7,\"partition\":0,\"offset\":1}",
	};
	struct letter *back;
	struct why why;

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		CHECK_INT(letter_parse(slice_str(texts[i]), &back, &why), -EINVAL);
}

/* ---- their files ---- */

static size_t count_lines(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY);
	FILE *file = fd >= 0 ? fdopen(fd, "r") : NULL;
	size_t n = 0;

	for (int c; file && (c = getc(file)) != EOF;)
		n += c == '\n';
	if (file)
		fclose(file);
	return n;
}

static bool is_from(void *arg, int32_t partition, int64_t offset, int64_t replay)
{
	CHECK_INT(partition, 2);
	CHECK_INT(replay, -1);
	return offset >= *(int64_t *)arg;
}

static void test_files(void)
{
	char path[] = "/tmp/featurefs-dead-XXXXXX", command[64];
	struct letter letter;
	struct dead dead;
	int root, aside, fd;
	int64_t from = 5;

	NEED(mkdtemp(path));
	root = open(path, O_RDONLY | O_DIRECTORY);
	dead_init(&dead, root, 7, "s", 8192, false);
	CHECK_INT(dead_prune(&dead, is_from, &from), 0);
	CHECK_INT(dead_set_aside(&dead, false), -ENOENT);
	for (int64_t i = 0; i < 8; i++) {
		letter = sample(i);
		CHECK_INT(dead_write(&dead, &letter), 0);
	}
	CHECK_INT(dead_sync(&dead), 0);
	CHECK_INT(count_lines(root, "7/s"), 8);
	/* Half a line at the end, and letters of messages that will come again. */
	fd = openat(root, "7/s", O_WRONLY | O_APPEND);
	NEED(fd >= 0 && write(fd, "{\"time\":", 8) == 8);
	close(fd);
	CHECK_INT(dead_prune(&dead, is_from, &from), 0);
	CHECK_INT(count_lines(root, "7/s"), 5);
	/* The newer file takes the older one's place; both together stay below the bound. */
	for (int64_t i = 0; i < 100; i++) {
		letter = sample(i);
		CHECK_INT(dead_write(&dead, &letter), 0);
		CHECK(dead_bytes(&dead) <= 8192);
	}
	CHECK(count_lines(root, "7/s") > 0 && count_lines(root, "7/s.1") > 0);
	/* One that is larger than a file is kept without its bytes. */
	letter = sample(200);
	letter.value = slice_of(command, 0);
	letter.value.len = 0;
	CHECK_INT(dead_set_aside(&dead, true), 0);
	CHECK_INT(count_lines(root, "7/s.1"), 0);
	CHECK_INT(dead_open_aside(&dead, &aside), 0);
	close(aside);
	CHECK_INT(dead_remove_aside(&dead), 0);
	CHECK_INT(dead_open_aside(&dead, &aside), -ENOENT);
	CHECK_INT(dead_write(&dead, &letter), 0);
	dead_release(&dead);
	close(root);
	snprintf(command, sizeof command, "rm -rf '%s'", path);
	NEED(system(command) == 0);
}

/* ---- the rest ---- */

static void test_commands(void)
{
	static const char *const good[] = {
		"pause", "resume\n", " replay ", "seek earliest", "seek latest\n", "seek 0:5", "seek 0:5,3:0", "seek 2026-11-23T04:00:00Z",
	};
	static const char *const bad[] = {
		"", "stop", "pause now", "seek", "seek 0:", "seek :5", "seek 0:x", "seek 0:5,", "seek 0:-1", "seeker 0:5", "seek soon",
	};
	struct why why;

	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		CHECK_INT(command_check(good[i], &why), 0);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		CHECK_INT(command_check(bad[i], &why), -EINVAL);
}

static void test_freshness(void)
{
	static struct freshness fresh;
	int64_t minute = 60 * CLOCK_SECOND;

	CHECK_INT(freshness_quantile(&fresh, 0.5, 0), -1);
	for (int i = 1; i <= 1000; i++)
		freshness_add(&fresh, i * STREAM_MS, 3 * minute);
	CHECK(freshness_quantile(&fresh, 0.5, 3 * minute) >= 500 * STREAM_MS && freshness_quantile(&fresh, 0.5, 3 * minute) <= 640 * STREAM_MS);
	CHECK(freshness_quantile(&fresh, 0.99, 3 * minute) >= 990 * STREAM_MS && freshness_quantile(&fresh, 0.99, 3 * minute) <= 1250 * STREAM_MS);
	/* The window before counts for a while, and no longer. */
	freshness_add(&fresh, 5000, 4 * minute);
	CHECK(freshness_quantile(&fresh, 0.5, 4 * minute) >= 490 * STREAM_MS);
	freshness_add(&fresh, 5000, 5 * minute);
	CHECK(freshness_quantile(&fresh, 0.99, 5 * minute) <= 8000);
	CHECK_INT(freshness_quantile(&fresh, 0.5, 8 * minute), -1);
	/* Ages of any size have a place. */
	freshness_add(&fresh, -1, 9 * minute);
	CHECK_INT(freshness_quantile(&fresh, 0.5, 9 * minute), 1000);
	freshness_add(&fresh, INT64_MAX, 9 * minute);
	CHECK(freshness_quantile(&fresh, 1, 9 * minute) > 365 * 86400 * CLOCK_SECOND);
}

static int read_section(const char *keys, struct definition *out, struct why *why)
{
	struct catalog_group *grp;
	struct buf text = { 0 };
	int rc;

	buf_printf(&text, "[group]\n[feature n]\ntype = int64\n[stream s]\n%s\n", keys);
	NEED(catalog_group_parse("g", buf_slice(&text), &grp, why) == 0);
	rc = definition_read(grp, "s", NULL, out, why);
	catalog_group_unref(grp);
	buf_release(&text);
	return rc;
}

static void test_definitions(void)
{
	static const char *const bad[] = {
		"format = json", "topic = a b", "topic = ..", "topic = t\nstart = soon", "topic = t\nreset = never", "topic = t\ndead_letter_topic = t",
		"topic = t\nentity = $.[",
	};
	struct definition def;
	struct why why = { "" };

	CHECK_INT(read_section("topic = t", &def, &why), 0);
	CHECK(def.start.number == RD_KAFKA_OFFSET_BEGINNING && def.reset == RESET_EARLIEST && !def.group && !def.dead_topic);
	definition_release(&def);
	CHECK_INT(read_section("topic = t\nstart = 2026-11-23T04:00:00Z\nreset = stop\ngroup = g\ndead_letter_topic = d", &def, &why), 0);
	CHECK(def.start.is_time && def.start.number == 1795406400000 && def.reset == RESET_STOP);
	CHECK_TEXT(slice_str(def.group), "g");
	definition_release(&def);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		CHECK_INT(read_section(bad[i], &def, &why), -EINVAL);
}

static void test_properties(void)
{
	struct why why = { "" };

	CHECK_INT(stream_property_check("fetch.wait.max.ms", "100", &why), 0);
	CHECK_INT(stream_property_check("fetch.wait.max.ms", "soon", &why), -EINVAL);
	CHECK_INT(stream_property_check("no.such", "1", &why), -EINVAL);
	CHECK_INT(stream_property_check("enable.auto.commit", "true", &why), -EINVAL);
	CHECK(strstr(why.text, "offsets are kept in the store"));
	CHECK(stream_property_is_secret("sasl.password") && stream_property_is_secret("ssl.key.pem") && !stream_property_is_secret("debug"));
}

int main(void)
{
	test_positions();
	test_ahead();
	test_letters();
	test_foreign_letters();
	test_files();
	test_commands();
	test_freshness();
	test_definitions();
	test_properties();
	return test_end("stream_parts");
}
