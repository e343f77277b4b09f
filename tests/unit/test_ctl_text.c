/* SPDX-License-Identifier: MIT */
/* featurectl's reading of .errors, and what it prints. */
#include "test.h"
#include "../tools/ctl.h"

static void test_reasons(void)
{
	static const char errors[] =
		"2026-11-23T04:00:00Z direct uid 1000 u1/a not_of_type (errno 22) \"x\": old\n"
		"2026-11-23T04:00:05Z direct uid 1000 u1/a out_of_range (errno 34) \"9\": must be at most 5\n"
		"2026-11-23T04:00:05Z direct uid 100 u2/a other (errno 1): of another user\n"
		"2026-11-23T04:00:05Z stream topic/0/17 u2/a other (errno 1): of another lane\n"
		"not a line\n";
	const int64_t at_5s = INT64_C(1795406405) * 1000000000;
	struct buf out = { 0 };

	ctl_reason_find(slice_str(errors), 1000, at_5s + 400000000, &out);
	CHECK_TEXT(buf_slice(&out), "u1/a out_of_range (errno 34) \"9\": must be at most 5");
	buf_reset(&out);
	ctl_reason_find(slice_str(errors), 1000, at_5s + 1000000000, &out);
	CHECK_TEXT(buf_slice(&out), "");
	buf_reset(&out);
	ctl_reason_find(slice_str(errors), 10, at_5s, &out);
	CHECK_TEXT(buf_slice(&out), "");
	ctl_reason_find(slice_str(""), 1000, at_5s, &out);
	CHECK_TEXT(buf_slice(&out), "");
	buf_release(&out);
}

static void test_safe(void)
{
	struct buf out = { 0 };

	ctl_print_safe(slice_of("a\033[1m\xc3\xa9\xff\x7f z", 11), &out);
	CHECK_TEXT(buf_slice(&out), "a\\x1b[1m\xc3\xa9\\xff\\x7f z");
	buf_release(&out);
}

static void test_lines(void)
{
	struct slice text = slice_str("a\n\nbc"), line;
	size_t at = 0;

	CHECK(ctl_next_line(text, &at, &line));
	CHECK_TEXT(line, "a");
	CHECK(ctl_next_line(text, &at, &line));
	CHECK_TEXT(line, "");
	CHECK(ctl_next_line(text, &at, &line));
	CHECK_TEXT(line, "bc");
	CHECK(!ctl_next_line(text, &at, &line));
}

int main(void)
{
	test_reasons();
	test_safe();
	test_lines();
	return test_end("ctl_text");
}
