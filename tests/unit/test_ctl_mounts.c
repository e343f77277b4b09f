/* SPDX-License-Identifier: MIT */
/* featurectl's reading of the mount table, and of .errors. */
#include "test.h"
#include "../tools/ctl.h"

static struct ctl_mount *list;
static size_t n;

static void parse(const char *text)
{
	NEED(ctl_mounts_parse(slice_str(text), &list, &n) == 0);
}

static void drop(void)
{
	ctl_mounts_free(list, n);
	list = NULL;
	n = 0;
}

static void test_types(void)
{
	parse("proc /proc proc rw,nosuid 0 0\n"
	      "/srv/store /mnt/features fuse.featurefs rw,nosuid,nodev,user_id=0 0 0\n"
	      "other /mnt/o fuse.featurefsx rw 0 0\n"
	      "sshfs /mnt/s fuse.sshfs rw 0 0\n");
	NEED(n == 1);
	CHECK_TEXT(slice_str(list[0].dir), "/mnt/features");
	CHECK_TEXT(slice_str(list[0].source), "/srv/store");
	drop();
	parse("");
	CHECK_INT(n, 0);
	drop();
}

static void test_escapes(void)
{
	parse("/srv/my\\040store\\134x /mnt/a\\011b\\012c\\043\\9 fuse.featurefs rw 0 0");
	NEED(n == 1);
	CHECK_TEXT(slice_str(list[0].source), "/srv/my store\\x");
	CHECK_TEXT(slice_str(list[0].dir), "/mnt/a\tb\nc#\\9");
	drop();
	parse("s\\04 /mnt\\0 fuse.featurefs rw 0 0\n");
	NEED(n == 1);
	CHECK_TEXT(slice_str(list[0].source), "s\\04");
	CHECK_TEXT(slice_str(list[0].dir), "/mnt\\0");
	drop();
}

static void test_hidden(void)
{
	parse("/s1 /mnt fuse.featurefs rw 0 0\n/s2 /mnt fuse.featurefs rw 0 0\n/s3 /mnt3 fuse.featurefs rw 0 0\n");
	NEED(n == 2);
	CHECK_TEXT(slice_str(list[0].source), "/s2");
	CHECK_TEXT(slice_str(list[1].source), "/s3");
	drop();
	/* Another file system on top: the store there cannot be reached any more. */
	parse("/s1 /mnt fuse.featurefs rw 0 0\ntmpfs /mnt tmpfs rw 0 0\n");
	CHECK_INT(n, 0);
	drop();
}

static void test_short_lines(void)
{
	parse("\n \n/s1\n/s1 /mnt\n/s1 /mnt2 fuse.featurefs\n");
	NEED(n == 1);
	CHECK_TEXT(slice_str(list[0].dir), "/mnt2");
	drop();
}

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
	test_types();
	test_escapes();
	test_hidden();
	test_short_lines();
	test_reasons();
	test_safe();
	test_lines();
	return test_end("ctl_mounts");
}
