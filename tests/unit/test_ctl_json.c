/* SPDX-License-Identifier: MIT */
/* featurectl's arguments as typed JSON, and its progress line. */
#include <errno.h>
#include "test.h"
#include "../tools/ctl.h"

static struct catalog_feature make_feature(const char *type, bool nan)
{
	static char name[] = "f";
	struct catalog_feature feature = { .name = name, .nan = nan };
	struct why why;

	NEED(type_parse(slice_str(type), &feature.type, &why) == 0);
	return feature;
}

/* The JSON of a text, or "errno N". */
static void check_value(const char *type, bool nan, struct slice text, const char *want)
{
	struct catalog_feature feature = make_feature(type, nan);
	struct buf out = { 0 };
	struct why why = { "" };
	int rc = ctl_json_value(&feature, text, &out, &why);

	if (rc < 0) {
		buf_reset(&out);
		buf_printf(&out, "errno %d", -rc);
		CHECK(strncmp(why.text, "f: ", 3) == 0);
	}
	CHECK_TEXT(buf_slice(&out), want);
	buf_release(&out);
}

static void test_values(void)
{
	check_value("int64", false, slice_str("-5"), "-5");
	check_value("int64", false, slice_str("5\n"), "5");
	check_value("int32", false, slice_str("99999999999"), "errno 34");
	check_value("int64", false, slice_str("five"), "errno 22");
	check_value("int64", false, slice_str(""), "null");
	check_value("string", false, slice_str(""), "null");
	check_value("string", false, slice_str("\n"), "\"\"");
	check_value("string", false, slice_str("null"), "\"null\"");
	check_value("string", false, slice_str("a \"b\"\n\n"), "\"a \\\"b\\\"\\n\"");
	check_value("string", false, slice_str("\xff"), "errno 84");
	check_value("bool", false, slice_str("1"), "true");
	check_value("float32", false, slice_str("0.1"), "0.1");
	check_value("float64", false, slice_str("nan"), "errno 22");
	check_value("float64", true, slice_str("nan"), "\"NaN\"");
	check_value("bytes", false, slice_of("\0\1\2", 3), "\"AAEC\"");
	check_value("timestamp", false, slice_str("1795406405.5"), "\"2026-11-23T04:00:05.500000Z\"");
	check_value("json", false, slice_str("{\"a\": [1, 2]}"), "{\"a\":[1,2]}");
	check_value("float32[2]", false, slice_str("[1, 2.5]"), "[1,2.5]");
	check_value("float32[2]", false, slice_str("[1]"), "errno 22");
	check_value("string[]", false, slice_str("[\"a\", \"b\"]"), "[\"a\",\"b\"]");
}

static void test_assignments(void)
{
	struct slice name, value;

	CHECK(ctl_split_assignment("a=b=c", &name, &value));
	CHECK_TEXT(name, "a");
	CHECK_TEXT(value, "b=c");
	CHECK(ctl_split_assignment("a@v2=", &name, &value));
	CHECK_TEXT(name, "a@v2");
	CHECK_TEXT(value, "");
	CHECK(!ctl_split_assignment("a", &name, &value));
	CHECK(!ctl_split_assignment("=b", &name, &value));
	CHECK(!ctl_split_assignment("", &name, &value));
}

static void test_strings(void)
{
	struct buf out = { 0 };

	ctl_json_string(slice_of("a\"\\\n\1\xc3\xa9", 7), &out);
	CHECK_TEXT(buf_slice(&out), "\"a\\\"\\\\\\u000a\\u0001\xc3\xa9\"");
	buf_release(&out);
}

static void test_progress(void)
{
	struct ctl_progress progress = { .what = "dump", .done = 500, .total = 1000 };
	struct buf out = { 0 };

	ctl_progress_print(&progress, 2000000000, 200, &out);
	CHECK_TEXT(buf_slice(&out), "dump [############            ]  50%  500 rows  250 rows/s  2 s left");
	buf_reset(&out);
	ctl_progress_print(&progress, 2000000000, 10, &out);
	CHECK_TEXT(buf_slice(&out), "dump [####");
	buf_reset(&out);
	/* Nothing to count, no time gone, and more done than was announced: no division by zero, no bar past its
	 * end. */
	progress = (struct ctl_progress){ .what = "copy", .is_bytes = true };
	ctl_progress_print(&progress, 0, 200, &out);
	CHECK_TEXT(buf_slice(&out), "copy [                        ]   0%  0 bytes  0 bytes/s");
	buf_reset(&out);
	progress.done = 3 << 20;
	progress.total = 1 << 20;
	ctl_progress_print(&progress, 1000000000, 200, &out);
	CHECK_TEXT(buf_slice(&out), "copy [########################] 100%  3.0 MiB  3.0 MiB/s  0 s left");
	buf_release(&out);
}

static void test_bytes(void)
{
	char text[32];

	ctl_print_bytes(1023, text);
	CHECK_TEXT(slice_str(text), "1023 bytes");
	ctl_print_bytes(1536, text);
	CHECK_TEXT(slice_str(text), "1.5 KiB");
	ctl_print_bytes(UINT64_MAX, text);
	CHECK_TEXT(slice_str(text), "16.0 EiB");
}

int main(void)
{
	test_values();
	test_assignments();
	test_strings();
	test_progress();
	test_bytes();
	return test_end("ctl_json");
}
