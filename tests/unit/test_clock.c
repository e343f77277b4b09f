/* SPDX-License-Identifier: MIT */
/* Times and spans to and from text. */
#include <errno.h>
#include <time.h>
#include "base/clock.h"
#include "test.h"

static int64_t parsed(const char *text)
{
	int64_t ns = -1;

	CHECK_INT(clock_parse_time(slice_str(text), &ns), 0);
	return ns;
}

static int refused(const char *text)
{
	int64_t ns;

	return clock_parse_time(slice_str(text), &ns);
}

static void check_print(int64_t ns, bool nanos, const char *want)
{
	char text[CLOCK_TEXT_MAX];

	CHECK_TEXT(slice_of(text, clock_print_time(ns, nanos, text)), want);
}

static void test_times(void)
{
	static const char *const bad[] = {
		"", "x", "2026-11-23", "2026-11-23T04:00:00", "2026-11-23T04:00Z", "2026-13-01T00:00:00Z",
		"2026-02-29T00:00:00Z",
		"2026-11-23T24:00:00Z", "2026-11-23T04:60:00Z", "2026-11-23T04:00:60Z", "2026-11-23T04:00:00.Z",
		"2026-11-23T04:00:00Zz", "2026-11-23T04:00:00+24:00", "2026-11-23T04:00:00+0100", "26-11-23T04:00:00Z",
		"1.", ".5", "-", "1e9", "1.1234567890", "1 ", " 1", "2026-00-10T00:00:00Z", "2026-01-00T00:00:00Z",
		"1900-02-29T00:00:00Z",
	};

	CHECK_INT(parsed("1970-01-01T00:00:00Z"), 0);
	CHECK_INT(parsed("2026-11-23T04:00:00Z"), INT64_C(1795406400) * CLOCK_SECOND);
	CHECK_INT(parsed("2026-11-23t04:00:00.5z"), INT64_C(1795406400500000000));
	CHECK_INT(parsed("2026-11-23 05:30:00+01:30"), INT64_C(1795406400000000000));
	CHECK_INT(parsed("2026-11-22T20:00:00-08:00"), INT64_C(1795406400000000000));
	CHECK_INT(parsed("2026-11-23T04:00:00.1234567899Z"), INT64_C(1795406400123456789));
	CHECK_INT(parsed("2000-02-29T00:00:00Z"), INT64_C(951782400) * CLOCK_SECOND);
	CHECK_INT(parsed("1969-12-31T23:59:59.5Z"), -CLOCK_SECOND / 2);
	CHECK_INT(parsed("1795406400"), INT64_C(1795406400) * CLOCK_SECOND);
	CHECK_INT(parsed("1795406400.000000001"), INT64_C(1795406400000000001));
	CHECK_INT(parsed("-0.25"), -CLOCK_SECOND / 4);
	CHECK_INT(parsed("9223372036.854775807"), INT64_MAX);
	CHECK_INT(parsed("-9223372036.854775807"), INT64_MIN + 1);
	CHECK_INT(refused("-9223372036.854775808"), -ERANGE);
	CHECK_INT(refused("9223372036.854775808"), -ERANGE);
	CHECK_INT(refused("2262-04-12T00:00:00Z"), -ERANGE);
	CHECK_INT(refused("0001-01-01T00:00:00Z"), -ERANGE);
	CHECK_INT(refused("99999999999999999999"), -ERANGE);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK_INT(refused(bad[i]), -EINVAL);
	check_print(0, false, "1970-01-01T00:00:00Z");
	check_print(1, false, "1970-01-01T00:00:00Z");
	check_print(1, true, "1970-01-01T00:00:00.000000001Z");
	check_print(1500, false, "1970-01-01T00:00:00.000001Z");
	check_print(-1, false, "1969-12-31T23:59:59.999999Z");
	check_print(INT64_MIN, true, "1677-09-21T00:12:43.145224192Z");
	check_print(INT64_MAX, true, "2262-04-11T23:47:16.854775807Z");
}

/* Every 13th hour over the whole range, against the C library's calendar. */
static void test_calendar(void)
{
	for (int64_t s = -9223372000; s < 9223372000; s += 13 * 3600 + 7) {
		time_t t = (time_t)s;
		struct tm tm;
		char want[64], text[CLOCK_TEXT_MAX];
		int64_t back = 0;
		size_t len;

		NEED(gmtime_r(&t, &tm));
		strftime(want, sizeof(want), "%Y-%m-%dT%H:%M:%SZ", &tm);
		len = clock_print_time(s * CLOCK_SECOND, true, text);
		if (len != strlen(want) || memcmp(text, want, len) ||
		    clock_parse_time(slice_of(text, len), &back) < 0 ||
		    back != s * CLOCK_SECOND) {
			CHECK_TEXT(slice_of(text, len), want);
			CHECK_INT(back, s * CLOCK_SECOND);
			break;
		}
	}
}

/* What has no place in int64, as file systems have times, becomes the nearest that has; INT64_MIN is no time. */
static void test_edges(void)
{
	static const struct { int64_t seconds; long rest; int64_t ns; } times[] = {
		{ 0, 0, 0 }, { -1, 999999999, -1 }, { 1795406400, 5, INT64_C(1795406400000000005) },
		{ 9223372036, 854775807, INT64_MAX }, { 9223372036, 854775808, INT64_MAX }, { 10413792000, 0, INT64_MAX },
		{ INT64_MAX, 999999999, INT64_MAX }, { -9223372037, 145224193, INT64_MIN + 1 }, { -9223372037, 145224192, INT64_MIN + 1 },
		{ -11676096000, 0, INT64_MIN + 1 }, { INT64_MIN, 0, INT64_MIN + 1 },
	};

	for (unsigned i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		struct timespec given = { .tv_sec = times[i].seconds, .tv_nsec = times[i].rest }, again;

		CHECK_INT(clock_from_timespec(&given), times[i].ns);
		again = clock_to_timespec(times[i].ns);
		CHECK(again.tv_nsec >= 0 && again.tv_nsec < CLOCK_SECOND);
		CHECK_INT(clock_from_timespec(&again), times[i].ns);
	}
	CHECK_INT(clock_between(5, 3), -2);
	CHECK_INT(clock_between(INT64_MIN + 1, INT64_MAX), INT64_MAX);
	CHECK_INT(clock_between(INT64_MIN + 1, -1), INT64_MAX - 1);
	CHECK_INT(clock_between(INT64_MAX, INT64_MIN + 1), INT64_MIN);
}

static void test_spans(void)
{
	static const struct { const char *text; int64_t ns; const char *canonical; } good[] = {
		{ "30d", INT64_C(2592000) * CLOCK_SECOND, "30d" }, { "1d12h", INT64_C(129600) * CLOCK_SECOND, "1d12h" },
		{ "90s", 90 * CLOCK_SECOND, "1m30s" }, { "250ms", CLOCK_SECOND / 4, "250ms" }, { "0", 0, "0" },
		{ "0s", 0, "0" },
		{ "2w", INT64_C(1209600) * CLOCK_SECOND, "14d" }, { "3600", 3600 * CLOCK_SECOND, "1h" },
		{ "1h1ms", 3600 * CLOCK_SECOND + 1000000, "1h1ms" },
		{ "106751d", INT64_C(9223286400) * CLOCK_SECOND, "106751d" },
	};
	static const char *const bad[] = { "", "d", "1x", "-1d", "1.5h", "1d 2h", "1d2", "1 d", "1D", "d1" };
	char text[CLOCK_TEXT_MAX];
	int64_t ns;

	for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		CHECK_INT(clock_parse_span(slice_str(good[i].text), &ns), 0);
		CHECK_INT(ns, good[i].ns);
		CHECK_TEXT(slice_of(text, clock_print_span(ns, text)), good[i].canonical);
	}
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK_INT(clock_parse_span(slice_str(bad[i]), &ns), -EINVAL);
	CHECK_INT(clock_parse_span(slice_str("106752d"), &ns), -ERANGE);
	CHECK_INT(clock_parse_span(slice_str("99999999999999999999s"), &ns), -ERANGE);
	CHECK_INT(clock_parse_span(slice_str("106751d106751d"), &ns), -ERANGE);
	CHECK_TEXT(slice_of(text, clock_print_span(INT64_MIN, text)), "-106751d23h47m16s854ms");
	CHECK_TEXT(slice_of(text, clock_print_span(999999, text)), "0");
}

int main(void)
{
	CHECK(clock_now() > parsed("2020-01-01T00:00:00Z"));
	CHECK(clock_monotonic() <= clock_monotonic());
	test_times();
	test_calendar();
	test_edges();
	test_spans();
	return test_end("clock");
}
