/* SPDX-License-Identifier: MIT */
/* UTF-8, base64, names, reasons: what comes from outside and how it is written down. */
#include <errno.h>
#include <stdint.h>
#include "base/text.h"
#include "test.h"

static void test_utf8(void)
{
	static const char *const good[] = { "", "plain ascii text", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
					    "\xef\xbf\xbf",
					    "\xf4\x8f\xbf\xbf", "\xed\x9f\xbf", "0123456\xc3\xa9 1234567\xe2\x82\xac" };
	/* overlong, surrogate, past the end, stray, cut by something else */
	static const char *const bad[] = { "\xc0\x80", "\xe0\x80\x80", "\xf0\x80\x80\x80", "\xed\xa0\x80",
					   "\xf4\x90\x80\x80",
					   "\xf5\x80\x80\x80", "\x80", "\xff", "\xc3(", "\xe2\x82(", "12345678\xfe" };
	static const char *const begun[] = { "\xc3", "\xe2\x82", "\xf0\x9f\x98", "abc\xf0" };

	for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		CHECK(text_is_utf8(slice_str(good[i])));
		for (size_t len = 0; len <= strlen(good[i]); len++)
			CHECK(text_is_utf8_prefix(slice_of(good[i], len)));
	}
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		CHECK(!text_is_utf8(slice_str(bad[i])));
		CHECK(!text_is_utf8_prefix(slice_str(bad[i])));
	}
	for (unsigned i = 0; i < sizeof(begun) / sizeof(begun[0]); i++) {
		CHECK(!text_is_utf8(slice_str(begun[i])));
		CHECK(text_is_utf8_prefix(slice_str(begun[i])));
	}
}

static void test_base64(void)
{
	/* The examples of RFC 4648. */
	static const char *const pairs[][2] = { { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" },
						{ "foob", "Zm9vYg==" },
						{ "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" } };
	static const char *const bad[] = { "Z", "Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "Zm 9", "Zm9v\n", "Zg==Zm9v",
					   "=Zg=", "====", "Zm-_" };
	struct buf out = { 0 }, back = { 0 };

	for (unsigned i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		buf_reset(&out);
		text_base64_encode(slice_str(pairs[i][0]), &out);
		CHECK_TEXT(buf_slice(&out), pairs[i][1]);
		buf_reset(&out);
		CHECK_INT(text_base64_decode(slice_str(pairs[i][1]), &out), 0);
		CHECK_TEXT(buf_slice(&out), pairs[i][0]);
	}
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		buf_reset(&out);
		CHECK_INT(text_base64_decode(slice_str(bad[i]), &out), -EINVAL);
		CHECK_INT(out.len, 0);
	}
	for (unsigned len = 0; len < 256; len++) {
		uint8_t bytes[256];

		for (unsigned i = 0; i < len; i++)
			bytes[i] = (uint8_t)(i * 73 + len);
		buf_reset(&out);
		buf_reset(&back);
		text_base64_encode(slice_of(bytes, len), &out);
		CHECK_INT(text_base64_decode(buf_slice(&out), &back), 0);
		CHECK(slice_equal(buf_slice(&back), slice_of(bytes, len)));
	}
	buf_release(&out);
	buf_release(&back);
}

static void test_names(void)
{
	static const char *const good[] = { "a", "_", "user_stats", "A-b_9" };
	static const char *const bad[] = { "", "9a", "-a", "a.b", "a b", "a@v2", ".a", "\xc3\xa9", "a/b" };
	static const char *const versions[] = { "a@v2", "clicks_7d@v10", "a@v999999999" };
	static const char *const bad_versions[] = { "a@v1", "a@v0", "a@v02", "a@", "a@v", "a@2", "@v2", "a@v2@v3",
						    "a@V2", "a@v2x",
						    "a@v1000000000", "a.bin" };
	char longest[TEXT_NAME_MAX + 1];
	struct why why;

	memset(longest, 'a', sizeof(longest));
	for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		CHECK_INT(text_check_group_name(slice_str(good[i]), &why), 0);
		CHECK_INT(text_check_feature_name(slice_str(good[i]), &why), 0);
	}
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK_INT(text_check_group_name(slice_str(bad[i]), &why), -EINVAL);
	for (unsigned i = 0; i < sizeof(versions) / sizeof(versions[0]); i++)
		CHECK_INT(text_check_feature_name(slice_str(versions[i]), &why), 0);
	for (unsigned i = 0; i < sizeof(bad_versions) / sizeof(bad_versions[0]); i++)
		CHECK_INT(text_check_feature_name(slice_str(bad_versions[i]), &why), -EINVAL);
	CHECK_INT(text_check_group_name(slice_of(longest, TEXT_NAME_MAX), NULL), 0);
	CHECK_INT(text_check_group_name(slice_of(longest, TEXT_NAME_MAX + 1), NULL), -ENAMETOOLONG);
}

static void test_entities(void)
{
	static const char *const good[] = { "u1", "42", "a b", "\xc3\xa9", "%2F", "%25", "%2Ehidden", "a.b", "%2C",
					    "a%2Cb", "%01", "%7F", "~", "%2E." };
	/* not the written form, or no form at all */
	static const char *const bad[] = { "", ".", "..", ".a", "a/b", "%", "%2", "a%", "%2f", "%41", "a%2E", "%00",
					   "\x01", "a\x7f", "%G0", "%%25",
					   "a\n", "%80" };
	char longest[TEXT_ENTITY_MAX + 1];
	struct why why;

	for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		CHECK_INT(text_check_entity(slice_str(good[i]), 1, &why), 0);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK_INT(text_check_entity(slice_str(bad[i]), 1, &why), -EINVAL);
	CHECK_INT(text_check_entity(slice_str("a\xff"), 1, &why), -EILSEQ);
	CHECK_INT(text_check_entity(slice_str("a,b"), 1, &why), -EINVAL);
	CHECK_INT(text_check_entity(slice_str("a,b"), 2, &why), 0);
	CHECK_INT(text_check_entity(slice_str("a,.b"), 2, &why), 0);
	CHECK_INT(text_check_entity(slice_str("a,%2Eb"), 2, &why), -EINVAL);
	CHECK_INT(text_check_entity(slice_str("a%2Cb"), 2, &why), -EINVAL);
	CHECK_INT(text_check_entity(slice_str("a,,b"), 3, &why), -EINVAL);
	CHECK_INT(text_check_entity(slice_str(",a"), 2, &why), -EINVAL);
	CHECK_INT(text_check_entity(slice_str("a,"), 2, &why), -EINVAL);
	memset(longest, 'a', sizeof(longest));
	CHECK_INT(text_check_entity(slice_of(longest, TEXT_ENTITY_MAX), 1, &why), 0);
	CHECK_INT(text_check_entity(slice_of(longest, TEXT_ENTITY_MAX + 1), 1, &why), -ENAMETOOLONG);
}

/* What is escaped is a written form, and no two raw names share one: their escapes are as different as they are. */
static void test_escape(void)
{
	struct buf out = { 0 };

	CHECK_INT(text_escape_entity_part(slice_str(".a/b,c%d.\n"), true, &out), 0);
	CHECK_TEXT(buf_slice(&out), "%2Ea%2Fb%2Cc%25d.%0A");
	buf_reset(&out);
	CHECK_INT(text_escape_entity_part(slice_str(".x"), false, &out), 0);
	CHECK_TEXT(buf_slice(&out), ".x");
	CHECK_INT(text_escape_entity_part(slice_str(""), true, &out), -EINVAL);
	CHECK_INT(text_escape_entity_part(slice_of("a\0b", 3), true, &out), -EINVAL);
	CHECK_INT(text_escape_entity_part(slice_str("\xff"), true, &out), -EILSEQ);
	for (int c = 1; c < 0x80; c++) {
		char raw[3] = { (char)c, (char)c, 'x' };

		buf_reset(&out);
		CHECK_INT(text_escape_entity_part(slice_of(raw, 3), true, &out), 0);
		CHECK_INT(text_check_entity(buf_slice(&out), 1, NULL), 0);
	}
	buf_release(&out);
}

static void test_why(void)
{
	struct why why;
	char longest[400];

	CHECK_INT(why_fail(&why, ERANGE, "bad %s", "a\nb\x7f"), -ERANGE);
	CHECK_TEXT(slice_str(why.text), "bad a?b?");
	why_prefix(&why, "%s:%d", "f", 3);
	CHECK_TEXT(slice_str(why.text), "f:3: bad a?b?");
	CHECK_INT(why_fail(&why, EINVAL, "again: %s", why.text), -EINVAL);
	CHECK_TEXT(slice_str(why.text), "again: f:3: bad a?b?");
	why_fail(&why, EINVAL, "\xc3\xa9 and \xff");
	CHECK_TEXT(slice_str(why.text), "?? and ?");
	CHECK_INT(why_fail(NULL, EPERM, "nobody asks"), -EPERM);
	why_prefix(NULL, "nobody");
	/* A cut inside a character takes all of it away. */
	memset(longest, 'a', sizeof(longest));
	memcpy(longest + sizeof(why.text) - 2, "\xc3\xa9", 3);
	why_fail(&why, EINVAL, "%s", longest);
	CHECK_INT(strlen(why.text), sizeof(why.text) - 2);
	CHECK(text_is_utf8(slice_str(why.text)));
	why_prefix(&why, "%s", longest);
	CHECK_INT(strlen(why.text), sizeof(why.text) - 2);
}

int main(void)
{
	test_utf8();
	test_base64();
	test_names();
	test_entities();
	test_escape();
	test_why();
	return test_end("text");
}
