/* SPDX-License-Identifier: MIT */
/* Numbers to and from text: exact round trips, bounds, and what is no number. Bytes with units; owned buffers, as
 * their users need them. */
#include <errno.h>
#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/num.h"
#include "test.h"

static uint64_t seed = 42;

static uint64_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	return seed ^= seed << 17;
}

static int parse_i64(const char *text, int64_t *out)
{
	return num_parse_i64(slice_str(text), out);
}

static void test_integers(void)
{
	static const char *const bad[] = { "", "+", "-", " 1", "1 ", "1.0", "0x10", "1e3", "--1", "1_000", "\xd9\xa1" };
	int64_t i;
	uint64_t u;
	char text[NUM_MAX];

	CHECK_INT(parse_i64("9223372036854775807", &i), 0);
	CHECK_INT(i, INT64_MAX);
	CHECK_INT(parse_i64("-9223372036854775808", &i), 0);
	CHECK_INT(i, INT64_MIN);
	CHECK_INT(parse_i64("9223372036854775808", &i), -ERANGE);
	CHECK_INT(parse_i64("-9223372036854775809", &i), -ERANGE);
	CHECK_INT(parse_i64("99999999999999999999999x", &i), -EINVAL);
	CHECK_INT(parse_i64("+5", &i), 0);
	CHECK_INT(i, 5);
	CHECK_INT(parse_i64("-0", &i), 0);
	CHECK_INT(i, 0);
	for (unsigned n = 0; n < sizeof(bad) / sizeof(bad[0]); n++)
		CHECK_INT(parse_i64(bad[n], &i), -EINVAL);
	CHECK_INT(num_parse_i64(slice_of("12\0" "3", 4), &i), -EINVAL);
	CHECK_INT(num_parse_i64(slice_of("123", 2), &i), 0);
	CHECK_INT(i, 12);
	CHECK_INT(num_parse_u64(slice_str("18446744073709551615"), &u), 0);
	CHECK(u == UINT64_MAX);
	CHECK_INT(num_parse_u64(slice_str("18446744073709551616"), &u), -ERANGE);
	CHECK_INT(num_parse_u64(slice_str("-1"), &u), -EINVAL);
	CHECK_TEXT(slice_of(text, num_print_i64(INT64_MIN, text)), "-9223372036854775808");
	CHECK_TEXT(slice_of(text, num_print_i64(0, text)), "0");
	CHECK_TEXT(slice_of(text, num_print_i64(INT64_MAX, text)), "9223372036854775807");
}

/* Short numbers have a way of their own: to the bit what the C library makes of them. */
static void test_short_floats(void)
{
	static const char *const some[] = { "0", "-0", "5.", ".5", "-.25", "16777217", "16777219", "33554433.0", "0.1", "999999999999999",
					    "9007199254740993", "0.000000000000001", "1.00000005960464", "1.0000000596046448" };
	char text[64];

	for (unsigned n = 0; n < 200000; n++) {
		double wide = 1;
		float narrow = 1;

		if (n < sizeof(some) / sizeof(some[0])) {
			snprintf(text, sizeof(text), "%s", some[n]);
		} else {
			uint64_t whole = next_random() >> (next_random() % 64);
			int len = snprintf(text, sizeof(text), "%s%llu", n & 1 ? "-" : "", (unsigned long long)whole);
			int at = (int)(next_random() % (unsigned)(len + 1));

			memmove(text + at + 1, text + at, (size_t)(len - at + 1));
			text[at] = at > (n & 1 ? 1 : 0) || at < len ? '.' : '0';
			if (n & 1 && at == 0)
				memmove(text, text + 1, strlen(text));	/* the point came before the sign */
		}
		CHECK_INT(num_parse_f64(slice_str(text), &wide), 0);
		CHECK(wide == strtod(text, NULL) && signbit(wide) == signbit(strtod(text, NULL)));
		CHECK_INT(num_parse_f32(slice_str(text), &narrow), 0);
		CHECK(narrow == strtof(text, NULL) && signbit(narrow) == signbit(strtof(text, NULL)));
	}
}

static void test_float_texts(void)
{
	static const char *const bad[] = { "", "+", ".", "e5", "1e", "1e+", "0x1p3", " 1", "1 ", "1,5", "nan(1)",
					   "infinit", "1.2.3", "--1",
					   "1f", "na" };
	static const struct { double value; const char *text; } prints[] = {
		{ 0, "0" }, { -0.0, "-0" }, { 3, "3" }, { 0.1, "0.1" }, { -2.5, "-2.5" }, { 1e300, "1e300" },
		{ 5e-324, "5e-324" }, { DBL_MAX, "1.7976931348623157e308" }, { 1e6, "1000000" }, { NAN, "nan" },
		{ INFINITY, "inf" }, { -INFINITY, "-inf" },
	};
	char text[NUM_MAX], digits[1300];
	double d;
	float f;

	for (unsigned n = 0; n < sizeof(bad) / sizeof(bad[0]); n++) {
		CHECK_INT(num_parse_f64(slice_str(bad[n]), &d), -EINVAL);
		CHECK_INT(num_parse_f32(slice_str(bad[n]), &f), -EINVAL);
	}
	for (unsigned n = 0; n < sizeof(prints) / sizeof(prints[0]); n++)
		CHECK_TEXT(slice_of(text, num_print_f64(prints[n].value, text)), prints[n].text);
	CHECK_INT(num_parse_f64(slice_str("1e309"), &d), -ERANGE);
	CHECK_INT(num_parse_f32(slice_str("1e39"), &f), -ERANGE);
	CHECK_INT(num_parse_f32(slice_str("1e-60"), &f), 0);
	CHECK(f == 0);
	CHECK_INT(num_parse_f64(slice_str("-Infinity"), &d), 0);
	CHECK(isinf(d) && d < 0);
	CHECK_INT(num_parse_f64(slice_str("-NaN"), &d), 0);
	CHECK(isnan(d));
	CHECK_INT(num_parse_f64(slice_str("+5.e-1"), &d), 0);
	CHECK(d == 0.5);
	CHECK_INT(num_parse_f64(slice_str(".5"), &d), 0);
	CHECK(d == 0.5);
	/* Rounded twice, by way of double, this one would be 1. */
	CHECK_INT(num_parse_f32(slice_str("1.00000005960464478"), &f), 0);
	CHECK_TEXT(slice_of(text, num_print_f32(f, text)), "1.0000001");
	memset(digits, '1', sizeof(digits));
	CHECK_INT(num_parse_f64(slice_of(digits, sizeof(digits)), &d), -EINVAL);
	digits[1] = '.';
	CHECK_INT(num_parse_f64(slice_of(digits, 1000), &d), 0);
}

static void test_float_round_trips(void)
{
	for (unsigned n = 0; n < 200000; n++) {
		uint64_t bits = next_random();
		uint32_t half = (uint32_t)bits;
		char text[NUM_MAX];
		double d, back;
		float f, back32;
		size_t len;

		memcpy(&d, &bits, sizeof(d));
		memcpy(&f, &half, sizeof(f));
		len = num_print_f64(d, text);
		CHECK(len < NUM_MAX && text[len] == '\0');
		CHECK(num_parse_f64(slice_of(text, len), &back) == 0);
		CHECK(isnan(d) ? isnan(back) : !memcmp(&back, &d, sizeof(d)));
		len = num_print_f32(f, text);
		CHECK(len <= 22);		/* a sign and 21 digits */
		CHECK(num_parse_f32(slice_of(text, len), &back32) == 0);
		CHECK(isnan(f) ? isnan(back32) : !memcmp(&back32, &f, sizeof(f)));
	}
}

static void test_bytes(void)
{
	uint64_t n;

	CHECK_INT(num_parse_bytes(slice_str("64K"), &n), 0);
	CHECK_INT(n, 65536);
	CHECK_INT(num_parse_bytes(slice_str("1g"), &n), 0);
	CHECK_INT(n, 1 << 30);
	CHECK_INT(num_parse_bytes(slice_str("17"), &n), 0);
	CHECK_INT(n, 17);
	CHECK_INT(num_parse_bytes(slice_str("16777215T"), &n), 0);
	CHECK_INT(num_parse_bytes(slice_str("16777216T"), &n), -ERANGE);
	CHECK_INT(num_parse_bytes(slice_str("K"), &n), -EINVAL);
	CHECK_INT(num_parse_bytes(slice_str(""), &n), -EINVAL);
	CHECK_INT(num_parse_bytes(slice_str("1KB"), &n), -EINVAL);
}

static void test_buf(void)
{
	struct buf buf = { 0 };

	CHECK_INT(buf_slice(&buf).len, 0);
	buf_append_u16(&buf, 0x0201);
	buf_append_u32(&buf, 0x06050403);
	buf_append_u64(&buf, UINT64_C(0x0e0d0c0b0a090807));
	CHECK_TEXT(buf_slice(&buf), "\1\2\3\4\5\6\7\10\11\12\13\14\15\16");
	buf_reset(&buf);
	for (unsigned n = 0; n < 1000; n++)
		buf_printf(&buf, "%u,", n % 10);
	CHECK_INT(buf.len, 2000);
	CHECK_INT(buf_error(&buf), 0);
	CHECK(!buf_reserve(&buf, SIZE_MAX - 10));
	CHECK_INT(buf_error(&buf), -ENOMEM);
	buf_append_char(&buf, 'x');
	CHECK_INT(buf.len, 2000);
	buf_reset(&buf);
	CHECK_INT(buf_error(&buf), 0);
	buf_append_str(&buf, "again");
	CHECK_TEXT(buf_slice(&buf), "again");
	buf_release(&buf);
}

int main(void)
{
	test_integers();
	test_short_floats();
	test_float_texts();
	test_float_round_trips();
	test_bytes();
	test_buf();
	/* A locale with a decimal comma changes nothing; where none is installed, this asks the same once more. */
	if (setlocale(LC_ALL, "de_DE.UTF-8"))
		seed = 43;
	test_short_floats();
	test_float_texts();
	return test_end("num");
}
