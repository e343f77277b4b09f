/* SPDX-License-Identifier: MIT */
/* The kernel's table of mounts: escapes, what hides what, and lines that are none. */
#include "test.h"
#include "base/mounts.h"

static struct mounts mounts;

static void parse(const char *text)
{
	mounts_release(&mounts);
	NEED(mounts_parse(slice_str(text), &mounts) == 0);
}

static void test_fields(void)
{
	parse("22 1 0:20 / /proc rw,nosuid - proc proc rw\n"
	      "36 22 0:50 / /mnt/features rw,nosuid shared:1 master:2 - fuse.featurefs /srv/store ro,user_id=0\n"
	      "37 22 8:1 /sub /mnt/bound rw - ext4 /dev/sda1 rw");
	NEED(mounts.n == 3);
	CHECK_TEXT(slice_str(mounts.points[1].dir), "/mnt/features");
	CHECK_TEXT(slice_str(mounts.points[1].type), "fuse.featurefs");
	CHECK_TEXT(slice_str(mounts.points[1].source), "/srv/store");
	CHECK_INT(mounts.points[1].device_minor, 50);
	CHECK(mounts.points[1].is_whole && mounts.points[1].is_read_only);
	CHECK(mounts.points[0].is_whole && !mounts.points[0].is_read_only);
	CHECK(!mounts.points[2].is_whole);
	parse("");
	CHECK_INT(mounts.n, 0);
}

static void test_escapes(void)
{
	parse("36 22 0:50 / /mnt/a\\011b\\012c\\043\\9 rw - fuse.x /srv/my\\040store\\134x rw\n36 22 0:50 / /mnt\\0 rw - fuse.x s\\04 rw\n");
	NEED(mounts.n == 2);
	CHECK_TEXT(slice_str(mounts.points[0].source), "/srv/my store\\x");
	CHECK_TEXT(slice_str(mounts.points[0].dir), "/mnt/a\tb\nc#\\9");
	CHECK_TEXT(slice_str(mounts.points[1].source), "s\\04");
	CHECK_TEXT(slice_str(mounts.points[1].dir), "/mnt\\0");
}

static void test_hidden(void)
{
	parse("1 0 0:1 / /mnt rw - fuse.x /s1 rw\n2 0 0:2 / /mnt3 rw - fuse.x /s3 rw\n3 1 0:3 / /mnt rw - tmpfs t rw\n");
	NEED(mounts.n == 2);
	CHECK_TEXT(slice_str(mounts.points[0].source), "/s3");
	CHECK_TEXT(slice_str(mounts.points[1].type), "tmpfs");
	CHECK(mounts_find(&mounts, "/mnt") == &mounts.points[1] && !mounts_find(&mounts, "/mn"));
}

static void test_holder(void)
{
	parse("1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 0:2 / /mnt/a rw - fuse.x /s rw\n3 1 0:3 / /mnt rw - tmpfs t rw\n");
	CHECK_TEXT(slice_str(mounts_find_holder(&mounts, "/mnt/a/g/u1")->source), "/s");
	CHECK_TEXT(slice_str(mounts_find_holder(&mounts, "/mnt/a")->source), "/s");
	CHECK_TEXT(slice_str(mounts_find_holder(&mounts, "/mnt/ab")->source), "t");
	CHECK_TEXT(slice_str(mounts_find_holder(&mounts, "/mn")->source), "/dev/sda1");
	CHECK(!mounts_find_holder(&mounts, "relative"));
}

static void test_broken_lines(void)
{
	parse("\n \n1\n1 2 0:3 / /mnt\n1 2 0:3 / /mnt rw -\n1 2 0:3 / /mnt rw shared:1 fuse.x s rw\n1 2 0:x / /mnt2 rw - fuse.x s rw\n");
	NEED(mounts.n == 1);
	CHECK_TEXT(slice_str(mounts.points[0].dir), "/mnt2");
	CHECK_INT(mounts.points[0].device_minor, -1);
}

/* The table of this process: every machine has a root. */
static void test_own(void)
{
	mounts_release(&mounts);
	NEED(mounts_read(&mounts) == 0);
	CHECK(mounts_find(&mounts, "/") && mounts_find_holder(&mounts, "/proc/self/mountinfo"));
}

int main(void)
{
	test_fields();
	test_escapes();
	test_hidden();
	test_holder();
	test_broken_lines();
	test_own();
	mounts_release(&mounts);
	return test_end("mounts");
}
