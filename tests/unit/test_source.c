/* SPDX-License-Identifier: MIT */
/* The text of a source: what parts are called comes back, whatever they have in common. */
#include "store/source.h"

#include "test.h"

static void check_parts(const char *const *parts, size_t n)
{
	struct buf text = { 0 }, out = { 0 };
	char want[128];

	CHECK_INT(source_print(slice_str("import-1:run"), parts, n, &text), 0);
	CHECK_TEXT(source_name(buf_slice(&text)), "import-1:run");
	for (size_t i = 0; i <= n; i++) {
		buf_reset(&out);
		source_print_part(buf_slice(&text), i, &out);
		snprintf(want, sizeof want, "import-1:run%s%s", i < n ? "/" : "", i < n ? parts[i] : "");
		CHECK_TEXT(buf_slice(&out), want);
	}
	buf_release(&text);
	buf_release(&out);
}

#define CHECK_PARTS(...) check_parts((const char *const[]){ __VA_ARGS__ }, sizeof (const char *const[]){ __VA_ARGS__ } / sizeof(char *))

static void test_common(void)
{
	check_parts(NULL, 0);
	CHECK_PARTS("part-0.csv");
	CHECK_PARTS("part-0.csv", "part-1.csv", "part-10.csv");
	CHECK_PARTS("a", "aa", "aaa");
	CHECK_PARTS("aaa", "aa", "a");
	CHECK_PARTS("same", "same");
	CHECK_PARTS("a", "b");
	CHECK_PARTS("day=1/part-0", "day=2/part-0", "day=2/x");
	CHECK_PARTS("aba", "abba");
	/* Characters of two bytes that share the first, or the second of them. */
	CHECK_PARTS("part-é", "part-è");
	CHECK_PARTS("é", "ũ");
	CHECK_PARTS("xé.csv", "xũ.csv", "x.csv");
}

/* Common ends stand once, and each name's own text is whole characters. */
static void test_size(void)
{
	const char *const parts[] = { "part-é-0123456789", "part-è-0123456789" };
	struct buf text = { 0 };

	CHECK_INT(source_print(slice_str("n"), parts, 2, &text), 0);
	CHECK_TEXT(buf_slice(&text), "n\npart-\n-0123456789\né\nè\n");
	buf_release(&text);
}

/* There is room for so many; the others have the source's name. */
static void test_bound(void)
{
	enum { N = 200000 };
	static char names[N][16];
	static const char *parts[N];
	struct buf text = { 0 }, out = { 0 };

	for (int i = 0; i < N; i++) {
		snprintf(names[i], sizeof names[i], "%06d", i);
		parts[i] = names[i];
	}
	CHECK_INT(source_print(slice_str("n"), parts, N, &text), 0);
	CHECK(text.len <= SOURCE_PARTS_MAX + 1 && text.len > SOURCE_PARTS_MAX - 16);
	source_print_part(buf_slice(&text), 100000, &out);
	CHECK_TEXT(buf_slice(&out), "n/100000");
	buf_reset(&out);
	source_print_part(buf_slice(&text), N - 1, &out);
	CHECK_TEXT(buf_slice(&out), "n");
	buf_release(&text);
	buf_release(&out);
}

int main(void)
{
	test_common();
	test_size();
	test_bound();
	return test_end("source");
}
