/* SPDX-License-Identifier: MIT */
/* Types: each form of each type, both ways; what is refused and with which errno; widening; the early look at
 * unfinished text. */
#include <errno.h>
#include <stdint.h>
#include <yyjson.h>
#include "catalog/type.h"
#include "test.h"

static struct type type_of(const char *name)
{
	struct type type = { 0 };

	NEED(type_parse(slice_str(name), &type, NULL) == 0);
	return type;
}

/* Text to stored bytes to text. */
static void check_text(const char *name, bool nan, const char *text, const char *want)
{
	struct type type = type_of(name);
	struct buf stored = { 0 }, out = { 0 };
	struct why why = { "" };

	CHECK_INT(type_text_parse(&type, nan, slice_str(text), &stored, &why), 0);
	CHECK_TEXT(slice_str(why.text), "");
	CHECK_INT(type_check(&type, buf_slice(&stored), NULL), 0);
	CHECK_INT(type_text_print(&type, buf_slice(&stored), &out), 0);
	CHECK_TEXT(buf_slice(&out), want);
	for (size_t len = 0; len <= strlen(text); len++)
		CHECK_INT(type_text_viable(&type, slice_of(text, len), &why), 0);
	buf_release(&stored);
	buf_release(&out);
}

static void check_refused(const char *name, bool nan, const char *text, int want)
{
	struct type type = type_of(name);
	struct buf stored = { 0 };
	struct why why = { "" };

	buf_append_str(&stored, "before");
	CHECK_INT(type_text_parse(&type, nan, slice_str(text), &stored, &why), want);
	CHECK(why.text[0]);
	CHECK_TEXT(buf_slice(&stored), "before");
	buf_release(&stored);
}

/* JSON to stored bytes to JSON, read with the numbers as they are written and also as numbers. */
static void check_json(const char *name, bool nan, const char *json, const char *want)
{
	struct type type = type_of(name);

	for (int raw = 0; raw < 2; raw++) {
		yyjson_doc *doc = yyjson_read(json, strlen(json), raw ? YYJSON_READ_NUMBER_AS_RAW : 0);
		struct buf stored = { 0 }, out = { 0 };
		struct why why = { "" };

		NEED(doc);
		CHECK_INT(type_json_parse(&type, nan, yyjson_doc_get_root(doc), &stored, &why), 0);
		CHECK_TEXT(slice_str(why.text), "");
		CHECK_INT(type_json_print(&type, buf_slice(&stored), &out), 0);
		CHECK_TEXT(buf_slice(&out), want);
		yyjson_doc_free(doc);
		buf_release(&stored);
		buf_release(&out);
	}
}

static void check_json_refused(const char *name, bool nan, const char *json, int want)
{
	struct type type = type_of(name);

	for (int raw = 0; raw < 2; raw++) {
		yyjson_doc *doc = yyjson_read(json, strlen(json), raw ? YYJSON_READ_NUMBER_AS_RAW : 0);
		struct buf stored = { 0 };
		struct why why = { "" };

		NEED(doc);
		CHECK_INT(type_json_parse(&type, nan, yyjson_doc_get_root(doc), &stored, &why), want);
		CHECK(why.text[0]);
		CHECK_INT(stored.len, 0);
		yyjson_doc_free(doc);
		buf_release(&stored);
	}
}

static void test_names(void)
{
	static const char *const good[] = { "bool", "int32", "int64", "float32", "float64", "string", "bytes",
					    "timestamp", "json", "float32[384]",
					    "string[]", "json[2]", "float32[262144]", "bool[1048576]",
					    "bytes[262144]" };
	static const char *const bad[] = { "", "int", "int16", "Int32", "int32 ", "int32[", "int32]", "int32[0]",
					   "int32[-1]", "int32[+1]", "int32[01]",
					   "int32[1][2]", "int32[]]", "[]", "float32[262145]",
					   "int32[99999999999999999999]", "int32[1]x" };
	char text[TYPE_NAME_MAX];
	struct type type;
	struct why why;

	for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		type = type_of(good[i]);
		CHECK_TEXT(slice_of(text, type_print(&type, text)), good[i]);
		CHECK(type_code(&type) > 0 && type_code(&type) < 64);
	}
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		why.text[0] = '\0';
		CHECK_INT(type_parse(slice_str(bad[i]), &type, &why), -EINVAL);
		CHECK(why.text[0]);
	}
}

static void test_scalar_texts(void)
{
	check_text("bool", false, "true\n", "true\n");
	check_text("bool", false, "0", "false\n");
	check_refused("bool", false, "yes", -EINVAL);
	check_refused("bool", false, "true\n\n", -EINVAL);
	check_refused("bool", false, "", -EINVAL);
	check_text("int32", false, "-2147483648\n", "-2147483648\n");
	check_text("int32", false, "+007", "7\n");
	check_refused("int32", false, "2147483648", -ERANGE);
	check_refused("int32", false, "1.0", -EINVAL);
	check_refused("int32", false, " 1", -EINVAL);
	check_refused("int32", false, "1\r\n", -EINVAL);
	check_text("int64", false, "9223372036854775807", "9223372036854775807\n");
	check_refused("int64", false, "9223372036854775808", -ERANGE);
	check_text("float32", false, "0.1\n", "0.1\n");
	check_text("float32", false, "16777217", "16777216\n");
	check_text("float32", false, "-0", "-0\n");
	check_refused("float32", false, "1e39", -ERANGE);
	check_refused("float32", false, "nan", -EINVAL);
	check_refused("float32", false, "inf", -EINVAL);
	check_text("float32", true, "-Infinity", "-inf\n");
	check_text("float64", true, "NAN", "nan\n");
	check_text("float64", false, "1e3", "1000\n");
	check_refused("float64", false, "1e999", -ERANGE);
	check_refused("float64", true, "0x1", -EINVAL);
	check_text("string", false, "h\xc3\xa9llo\n", "h\xc3\xa9llo\n");
	check_text("string", false, "a\n\n", "a\n\n");
	check_text("string", false, "\n", "\n");
	check_refused("string", false, "\xff", -EILSEQ);
	check_text("bytes", false, "\xff\n", "\xff\n");
	check_text("timestamp", false, "2026-11-23T04:00:00.1234567Z\n", "2026-11-23T04:00:00.123456Z\n");
	check_text("timestamp", false, "-0.0000001", "1969-12-31T23:59:59.999999Z\n");
	check_refused("timestamp", false, "yesterday", -EINVAL);
	check_refused("timestamp", false, "99999999999", -ERANGE);
	check_refused("timestamp", false, "1677-09-21T00:12:43.145224192Z", -ERANGE);
	check_text("json", false, " { \"a\" : [1.50, 12345678901234567890123, -0] , \"a\":null}\n",
		   "{\"a\":[1.50,12345678901234567890123,-0],\"a\":null}\n");
	check_text("json", false, "null", "null\n");
	check_text("json", false, "\"\\u00e9\\u0000\"", "\"\xc3\xa9\\u0000\"\n");
	check_refused("json", false, "{a:1}", -EINVAL);
	check_refused("json", false, "[1,]", -EINVAL);
	check_refused("json", false, "1 2", -EINVAL);
	check_refused("json", false, "NaN", -EINVAL);
	check_refused("json", false, "", -EINVAL);
	check_refused("json", false, "\"\xff\"", -EILSEQ);
	check_refused("json", false, "\"\\ud800\"", -EINVAL);
}

static void test_array_texts(void)
{
	check_text("int32[]", false, "[]\n", "[]\n");
	check_text("int32[3]", false, " [1, -2,\n3 ]\n\n", "[1,-2,3]\n");
	check_refused("int32[3]", false, "[1,2]", -EINVAL);
	check_refused("int32[]", false, "[1,null]", -EINVAL);
	check_refused("int32[]", false, "[1.0]", -EINVAL);
	check_refused("int32[]", false, "[2147483648]", -ERANGE);
	check_refused("int32[]", false, "1", -EINVAL);
	check_refused("int32[]", false, "[[1]]", -EINVAL);
	check_text("float32[]", true, "[0.1,\"NaN\",\"-Infinity\",-0.0,1e30]",
		   "[0.1,\"NaN\",\"-Infinity\",-0.0,1e30]\n");
	check_refused("float32[]", false, "[\"NaN\"]", -EINVAL);
	check_refused("float32[]", true, "[\"nan\"]", -EINVAL);
	check_refused("float64[]", false, "[1e999]", -ERANGE);
	check_text("bool[]", false, "[true,false]", "[true,false]\n");
	check_refused("bool[]", false, "[1]", -EINVAL);
	check_text("string[]", false, "[\"\",\"a\\\"b\\\\\\n\\u0001\",\"\xc3\xa9\"]",
		   "[\"\",\"a\\\"b\\\\\\n\\u0001\",\"\xc3\xa9\"]\n");
	check_text("bytes[]", false, "[\"/w==\",\"\"]", "[\"/w==\",\"\"]\n");
	check_refused("bytes[]", false, "[\"/w\"]", -EINVAL);
	check_text("json[]", false, "[{\"a\": 1e5}, \"x\", 7]", "[{\"a\":1e5},\"x\",7]\n");
	check_refused("json[]", false, "[null]", -EINVAL);
	check_text("timestamp[]", false, "[\"2026-11-23T04:00:00Z\", 0.5]",
		   "[\"2026-11-23T04:00:00Z\",\"1970-01-01T00:00:00.500000Z\"]\n");
}

static void test_json(void)
{
	check_json("bool", false, "true", "true");
	check_json_refused("bool", false, "1", -EINVAL);
	check_json("int32", false, "-5", "-5");
	check_json_refused("int32", false, "3.0", -EINVAL);
	check_json_refused("int32", false, "\"3\"", -EINVAL);
	check_json_refused("int32", false, "2147483648", -ERANGE);
	check_json("int64", false, "-9223372036854775808", "-9223372036854775808");
	check_json_refused("int64", false, "9223372036854775808", -ERANGE);
	check_json_refused("int64", false, "true", -EINVAL);
	check_json("float32", false, "0.1", "0.1");
	check_json("float32", false, "3", "3");
	check_json("float32", false, "-3", "-3");
	check_json("float64", false, "1e300", "1e300");
	check_json("float64", false, "-0.0", "-0.0");
	check_json("float64", true, "\"Infinity\"", "\"Infinity\"");
	check_json_refused("float64", false, "\"Infinity\"", -EINVAL);
	check_json_refused("float64", true, "\"1\"", -EINVAL);
	check_json_refused("float32", false, "1e39", -ERANGE);
	check_json("string", false, "\"a\\n\\/\\u0000\"", "\"a\\n/\\u0000\"");
	check_json_refused("string", false, "5", -EINVAL);
	check_json("bytes", false, "\"Zm9v\"", "\"Zm9v\"");
	check_json_refused("bytes", false, "\"foo\"", -EINVAL);
	check_json("timestamp", false, "\"2026-11-23T04:00:00+01:00\"", "\"2026-11-23T03:00:00Z\"");
	check_json("timestamp", false, "1795406400", "\"2026-11-23T04:00:00Z\"");
	check_json("timestamp", false, "1795406400.25", "\"2026-11-23T04:00:00.250000Z\"");
	check_json("timestamp", false, "-1.7954064e9", "\"1913-02-08T20:00:00Z\"");
	check_json_refused("timestamp", false, "1e300", -ERANGE);
	check_json_refused("timestamp", false, "99999999999", -ERANGE);
	check_json_refused("timestamp", false, "true", -EINVAL);
	check_json_refused("timestamp", false, "\"noon\"", -EINVAL);
	check_json("json", false, "{\"a\":[1,2]}", "{\"a\":[1,2]}");
	check_json("string[2]", false, "[\"a\",\"b\"]", "[\"a\",\"b\"]");
	check_json_refused("string[]", false, "\"a\"", -EINVAL);
}

/* Nesting that no stack would bear, both ways. */
static void test_deep_json(void)
{
	enum { DEPTH = 400000 };
	struct type json = type_of("json"), array = type_of("json[]");
	struct buf text = { 0 }, stored = { 0 }, out = { 0 };

	for (unsigned i = 0; i < DEPTH; i++)
		buf_append_char(&text, '[');
	for (unsigned i = 0; i < DEPTH; i++)
		buf_append_char(&text, ']');
	CHECK_INT(type_text_parse(&json, false, buf_slice(&text), &stored, NULL), 0);
	CHECK_INT(stored.len, 2 * DEPTH);
	CHECK_INT(type_check(&json, buf_slice(&stored), NULL), 0);
	buf_reset(&stored);
	CHECK_INT(type_text_parse(&array, false, buf_slice(&text), &stored, NULL), 0);
	CHECK_INT(type_text_print(&array, buf_slice(&stored), &out), 0);
	CHECK_INT(out.len, 2 * DEPTH + 1);
	text.len = DEPTH;
	buf_reset(&stored);
	CHECK_INT(type_text_parse(&json, false, buf_slice(&text), &stored, NULL), -EINVAL);
	buf_release(&text);
	buf_release(&stored);
	buf_release(&out);
}

static int parse_bin(const char *name, bool nan, const void *bytes, size_t len)
{
	struct type type = type_of(name);
	struct buf stored = { 0 }, out = { 0 };
	int rc = type_bin_parse(&type, nan, slice_of(bytes, len), &stored, NULL);

	if (rc == 0) {
		CHECK_INT(type_bin_print(&type, buf_slice(&stored), &out), 0);
		CHECK(type.base == TYPE_JSON || slice_equal(buf_slice(&out), slice_of(bytes, len)));
	}
	buf_release(&stored);
	buf_release(&out);
	return rc;
}

static void test_bin(void)
{
	static const uint8_t nan32[] = { 0, 0, 0xc0, 0x7f }, far[] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f };
	struct type strings = type_of("string[]"), int32 = type_of("int32");
	struct buf out = { 0 };

	CHECK_INT(parse_bin("int32", false, "\1\0\0\0", 4), 0);
	CHECK_INT(parse_bin("int32", false, "\1\0\0", 3), -EINVAL);
	CHECK_INT(parse_bin("int32", false, "", 0), -EINVAL);
	CHECK_INT(parse_bin("int32[2]", false, "\1\0\0\0\2\0\0\0", 8), 0);
	CHECK_INT(parse_bin("int32[3]", false, "\1\0\0\0\2\0\0\0", 8), -EINVAL);
	CHECK_INT(parse_bin("int32[]", false, "", 0), 0);
	CHECK_INT(parse_bin("bool[]", false, "\1\0\1", 3), 0);
	CHECK_INT(parse_bin("bool", false, "\2", 1), -EINVAL);
	CHECK_INT(parse_bin("float32", false, nan32, 4), -EINVAL);
	CHECK_INT(parse_bin("float32", true, nan32, 4), 0);
	CHECK_INT(parse_bin("timestamp", false, far, 8), -ERANGE);
	CHECK_INT(parse_bin("string", false, "a\n", 2), 0);
	CHECK_INT(parse_bin("string", false, "\xff", 1), -EILSEQ);
	CHECK_INT(parse_bin("bytes", false, "\xff", 1), 0);
	CHECK_INT(parse_bin("json", false, "[ 1 ]", 5), 0);
	CHECK_INT(parse_bin("json", false, "[", 1), -EINVAL);
	CHECK_INT(parse_bin("string[]", false, "", 0), -ENOTSUP);
	CHECK_INT(type_bin_print(&strings, slice_of("", 0), &out), -ENOTSUP);
	CHECK_INT(type_bin_print(&int32, slice_of("abc", 3), &out), -EBADMSG);
	buf_release(&out);
}

static void test_size(void)
{
	static const char *const names[] = { "string", "bytes", "json", "int32[]", "bool[]", "string[]" };
	size_t max = (size_t)TYPE_VALUE_MAX + 64;
	char *text = malloc(max);
	struct type type;
	struct buf out = { 0 };

	NEED(text);
	memset(text, ' ', max);
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		type = type_of(names[i]);
		CHECK_INT(type_text_parse(&type, false, slice_of(text, TYPE_VALUE_MAX + 1), &out, NULL), -EFBIG);
		CHECK_INT(type_text_viable(&type, slice_of(text, TYPE_VALUE_MAX + 1), NULL), -EFBIG);
		CHECK_INT(type_text_viable(&type, slice_of(text, TYPE_VALUE_MAX), NULL), 0);
	}
	type = type_of("string");
	CHECK_INT(type_text_parse(&type, false, slice_of(text, TYPE_VALUE_MAX), &out, NULL), 0);
	text[TYPE_VALUE_MAX] = '\n';
	buf_reset(&out);
	CHECK_INT(type_text_parse(&type, false, slice_of(text, TYPE_VALUE_MAX + 1), &out, NULL), 0);
	CHECK_INT(out.len, TYPE_VALUE_MAX);
	/* Few bytes, much text: what cat would show could not be written back. */
	memset(text, 1, max);
	type = type_of("bool[]");
	CHECK_INT(type_bin_parse(&type, false, slice_of(text, TYPE_VALUE_MAX / 4), &out, NULL), -EFBIG);
	CHECK_INT(type_bin_parse(&type, false, slice_of(text, TYPE_VALUE_MAX / 6), &out, NULL), 0);
	/* Text that fits, stored bytes that don't: "7," is two bytes, an int64 eight. */
	for (size_t i = 0; i < max; i++)
		text[i] = i % 2 ? ',' : '7';
	text[0] = '[';
	text[1] = ' ';
	text[400000] = '7';
	text[400001] = ']';
	type = type_of("int64[]");
	CHECK_INT(type_text_parse(&type, false, slice_of(text, 400002), &out, NULL), -EFBIG);
	buf_release(&out);
	free(text);
}

static void test_widening(void)
{
	struct type int32 = type_of("int32"), int64 = type_of("int64"), f32s = type_of("float32[2]"), f64s =
	type_of("float64[]"),
		    f64s2 = type_of("float64[2]"), f64s3 = type_of("float64[3]"), text = type_of("string");
	struct buf stored = { 0 }, scratch = { 0 }, out = { 0 };
	struct slice wide;

	CHECK(type_widens(&int32, &int64));
	CHECK(!type_widens(&int64, &int32));
	CHECK(type_widens(&f32s, &f64s));
	CHECK(type_widens(&f32s, &f64s2));
	CHECK(!type_widens(&f32s, &f64s3));
	CHECK(!type_widens(&f64s, &f64s2));
	CHECK(!type_widens(&int32, &text));
	CHECK(type_equal(&int32, &int32) && !type_equal(&f64s, &f64s2));

	CHECK_INT(type_text_parse(&int32, false, slice_str("-7"), &stored, NULL), 0);
	CHECK_INT(type_widen(&int64, type_code(&int32), buf_slice(&stored), &scratch, &wide), 0);
	CHECK_INT(type_text_print(&int64, wide, &out), 0);
	CHECK_TEXT(buf_slice(&out), "-7\n");
	CHECK_INT(type_widen(&int32, type_code(&int32), buf_slice(&stored), &scratch, &wide), 0);
	CHECK(wide.data == stored.data);
	CHECK_INT(type_widen(&int32, type_code(&int64), slice_of("12345678", 8), &scratch, &wide), -EBADMSG);
	CHECK_INT(type_widen(&int64, type_code(&int32), slice_of("123", 3), &scratch, &wide), -EBADMSG);
	CHECK_INT(type_widen(&int64, 0, buf_slice(&stored), &scratch, &wide), -EBADMSG);
	CHECK_INT(type_widen(&int64, 255, buf_slice(&stored), &scratch, &wide), -EBADMSG);
	CHECK_INT(type_widen(&f64s, type_code(&int32), buf_slice(&stored), &scratch, &wide), -EBADMSG);

	buf_reset(&stored);
	buf_reset(&out);
	CHECK_INT(type_text_parse(&f32s, false, slice_str("[0.5,-0.0]"), &stored, NULL), 0);
	CHECK_INT(type_widen(&f64s, type_code(&f32s), buf_slice(&stored), &scratch, &wide), 0);
	CHECK_INT(type_text_print(&f64s, wide, &out), 0);
	CHECK_TEXT(buf_slice(&out), "[0.5,-0.0]\n");
	CHECK_INT(type_widen(&f64s3, type_code(&f32s), buf_slice(&stored), &scratch, &wide), -EBADMSG);
	buf_release(&stored);
	buf_release(&scratch);
	buf_release(&out);
}

static void test_viable(void)
{
	static const struct { const char *type, *text; int want; } cases[] = {
		{ "int32", "", 0 }, { "int32", "-", 0 }, { "int32", "x", -EINVAL }, { "int32", "1\n2", -EINVAL },
		{ "int32", "2147483648", -ERANGE },
		{ "int64", "2147483648", 0 }, { "int64", "99999999999999999999", -ERANGE }, { "int64", "1-", -EINVAL },
		{ "bool", "tr", 0 }, { "bool", "tx", -EINVAL }, { "bool", "true\n", 0 }, { "bool", "10", -EINVAL },
		{ "float32", "1e", 0 }, { "float32", "1x", -EINVAL }, { "float64", "-inf", 0 },
		{ "timestamp", "2026-1", 0 },
		{ "timestamp", "today", -EINVAL }, { "string", "\xc3", 0 }, { "string", "\xc3x", -EILSEQ },
		{ "bytes", "\xff", 0 },
		{ "json", "{", 0 }, { "json", "\xff", -EILSEQ }, { "int32[]", "  [", 0 }, { "int32[]", "1", -EINVAL },
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct type type = type_of(cases[i].type);

		CHECK_INT(type_text_viable(&type, slice_str(cases[i].text), NULL), cases[i].want);
	}
}

/* Stored bytes that are damaged must be found, and must not lead out of their bounds. */
static void test_damage(void)
{
	static const struct { const char *type; const char *bytes; size_t len; } cases[] = {
		{ "int32", "abc", 3 }, { "int64[]", "1234567", 7 }, { "int32[2]", "1234", 4 }, { "bool", "\2", 1 },
		{ "string", "\xff", 1 }, { "string[]", "\1\0\0", 3 }, { "string[]", "\2\0\0\0a", 5 },
		{ "string[]", "\377\377\377\377a", 5 },
		{ "string[2]", "\1\0\0\0a", 5 }, { "json", "{", 1 }, { "json", "", 0 },
		{ "timestamp", "\377\377\377\377\377\377\377\177", 8 },
	};
	struct buf out = { 0 };

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct type type = type_of(cases[i].type);
		struct slice bytes = { cases[i].bytes, cases[i].len };
		struct why why = { "" };

		CHECK_INT(type_check(&type, bytes, &why), -EBADMSG);
		CHECK(why.text[0]);
		if (type.base == TYPE_BOOL || (type.base == TYPE_JSON && bytes.len))
			continue;	/* those two print what they find */
		CHECK_INT(type_text_print(&type, bytes, &out), -EBADMSG);
		CHECK_INT(type_json_print(&type, bytes, &out), -EBADMSG);
		CHECK_INT(out.len, 0);
	}
	buf_release(&out);
}

int main(void)
{
	test_names();
	test_scalar_texts();
	test_array_texts();
	test_json();
	test_deep_json();
	test_bin();
	test_size();
	test_widening();
	test_viable();
	test_damage();
	return test_end("type");
}
