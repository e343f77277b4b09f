/* SPDX-License-Identifier: MIT */
/*
 * Numbers to and from text. Floats are read by yyjson or, in forms that it does not know, by the C library under a fixed C locale, each
 * rounded once to its own width, and written by yyjson, whose shortest form reads back to the same bits and doesn't ask the locale.
 * The characters are checked first, for strtod takes more than we do: blanks, hexadecimal, nan with a payload.
 */
#include "base/num.h"

#include <assert.h>
#include <errno.h>
#include <float.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <strings.h>
#include <yyjson.h>

/* No double needs more than 770 digits to be rounded rightly; longer texts are no numbers that somebody meant. */
enum { NUM_TEXT_MAX = 1100 };

enum {
	SHORT_DIGITS = 18,	/* so many can't overflow */
	PLAIN_MAX = 40,		/* bytes of a number that the fast reader tries */
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The first byte that is no digit. */
static const char *read_digits(const char *p, const char *end, uint64_t *whole)
{
	for (; p < end; p++) {
		unsigned digit = (unsigned char)*p - '0';

		if (digit > 9)
			break;
		*whole = *whole * 10 + digit;
	}
	return p;
}

/* The digits of `text` from `at` to its end. */
static int parse_digits(struct slice text, size_t at, uint64_t *out)
{
	const char *p = text.data;
	uint64_t value = 0;
	bool over = false;

	if (at == text.len)
		return -EINVAL;
	for (; at < text.len; at++) {
		if (!is_digit(p[at]))
			return -EINVAL;
		over = over || __builtin_mul_overflow(value, (uint64_t)10, &value) ||
			__builtin_add_overflow(value, (uint64_t)(p[at] - '0'), &value);
	}
	if (over)
		return -ERANGE;
	*out = value;
	return 0;
}

int num_parse_i64(struct slice text, int64_t *out)
{
	const char *p = text.data;
	bool is_negative = text.len && p[0] == '-';
	size_t at = text.len && (p[0] == '-' || p[0] == '+');
	uint64_t size;
	int rc;

	if (text.len - at - 1 < SHORT_DIGITS) {
		size = 0;
		if (read_digits(p + at, p + text.len, &size) != p + text.len)
			return -EINVAL;
		*out = is_negative ? -(int64_t)size : (int64_t)size;
		return 0;
	}
	rc = parse_digits(text, at, &size);

	if (rc < 0)
		return rc;
	if (size > (uint64_t)INT64_MAX + is_negative)
		return -ERANGE;
	*out = is_negative ? (int64_t)(0 - size) : (int64_t)size;
	return 0;
}

int num_parse_u64(struct slice text, uint64_t *out)
{
	return parse_digits(text, text.len && *(const char *)text.data == '+', out);
}

/* Copies `text` as a C string if it has the form of one of our floats. */
static int check_float(struct slice text, char copy[NUM_TEXT_MAX + 1], bool *out_is_finite)
{
	const char *p = text.data;
	size_t i = text.len && (p[0] == '-' || p[0] == '+'), digits = 0;

	if (i >= text.len || text.len > NUM_TEXT_MAX)
		return -EINVAL;
	memcpy(copy, p, text.len);
	copy[text.len] = '\0';
	*out_is_finite = is_digit(p[i]) || p[i] == '.';
	if (!*out_is_finite)
		return strlen(copy) == text.len && (!strcasecmp(copy + i, "nan") || !strcasecmp(copy + i, "inf") ||
						    !strcasecmp(copy + i, "infinity")) ? 0 : -EINVAL;
	for (; i < text.len && is_digit(p[i]); i++)
		digits++;
	if (i < text.len && p[i] == '.')
		for (i++; i < text.len && is_digit(p[i]); i++)
			digits++;
	if (!digits)
		return -EINVAL;
	if (i == text.len)
		return 0;
	if (p[i] != 'e' && p[i] != 'E')
		return -EINVAL;
	i++;
	i += i < text.len && (p[i] == '-' || p[i] == '+');
	if (i == text.len)
		return -EINVAL;
	while (i < text.len && is_digit(p[i]))
		i++;
	return i == text.len ? 0 : -EINVAL;
}

#if LDBL_MANT_DIG == 64
/*
 * Up to 18 digits are exact in the 64 bits of an x87 number, and so are powers of ten up to 27; their quotient is rounded once, to 64 bits.
 * Rounding that again, to 53, gives what rounding the written number gives, unless it lies just on the middle of two doubles:
 * then the number itself may lie on either side.
 */
static bool divide_wide(uint64_t whole, size_t decimals, double *out)
{
	static const long double powers[] = { 1e0L, 1e1L, 1e2L, 1e3L, 1e4L, 1e5L, 1e6L, 1e7L, 1e8L, 1e9L, 1e10L, 1e11L, 1e12L, 1e13L, 1e14L,
					      1e15L, 1e16L, 1e17L, 1e18L };
	long double quotient = (long double)(int64_t)whole / powers[decimals];
	uint64_t mantissa;

	memcpy(&mantissa, &quotient, sizeof(mantissa));
	*out = (double)quotient;
	return (mantissa & 0x7ff) != 0x400;
}
#else
static bool divide_wide(uint64_t whole, size_t decimals, double *out)
{
	(void)whole;
	(void)decimals;
	(void)out;
	return false;
}
#endif

/*
 * The short numbers that nearly all are: digits, maybe a point among them, no exponent. Up to 15 digits and the powers of ten up to 22
 * are exact doubles, so that one division rounds once, as strtod would.
 */
static bool parse_short(struct slice text, double *out)
{
	static const double powers[] = { 1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15 };
	const char *p = text.data, *end = p + text.len, *point;
	bool is_negative = text.len && *p == '-';
	size_t decimals = 0, digits;
	uint64_t whole = 0;

	if (!text.len || text.len - is_negative > SHORT_DIGITS + 1)
		return false;
	digits = text.len - is_negative;
	p = point = read_digits(p + is_negative, end, &whole);
	if (p < end && *p == '.') {
		p = read_digits(p + 1, end, &whole);
		decimals = (size_t)(p - point - 1);
		digits--;
	}
	if (p != end || !digits || digits > SHORT_DIGITS)
		return false;
	if (digits <= 15)
		*out = (double)whole / powers[decimals];
	else if (!divide_wide(whole, decimals, out))
		return false;
	if (is_negative)
		*out = -*out;
	return true;
}

/*
 * Longer ones, floats as programs print them, have the form that JSON has, and yyjson reads those several times faster than strtod, rounded
 * as rightly. What it does not take (a sign '+', a bare point, leading zeros, too large) is left to the slow way, and so is
 * "-0", which is an integer there.
 */
static bool parse_plain(struct slice text, double *out)
{
	char copy[PLAIN_MAX + 1];
	yyjson_val val = { 0 };
	const char *end;

	if (!text.len || text.len > PLAIN_MAX)
		return false;
	memcpy(copy, text.data, text.len);
	copy[text.len] = '\0';
	if (copy[0] != '-' && !is_digit(copy[0]))
		return false;
	end = yyjson_read_number(copy, &val, YYJSON_READ_NOFLAG, NULL, NULL);
	if (end != copy + text.len)
		return false;
	*out = yyjson_get_num(&val);
	return *out != 0 || copy[0] != '-';
}

static locale_t c_locale;
static pthread_once_t c_locale_once = PTHREAD_ONCE_INIT;

static void make_c_locale(void)
{
	c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	assert(c_locale);	/* "C" is built into the C library and needs no memory */
}

/* The slow way, apart: it takes a kilobyte of stack, which the fast one should not touch. */
static __attribute__((noinline)) int parse_any_f64(struct slice text, double *out)
{
	char copy[NUM_TEXT_MAX + 1];
	bool is_finite;
	double value;
	int rc = check_float(text, copy, &is_finite);

	if (rc < 0)
		return rc;
	pthread_once(&c_locale_once, make_c_locale);
	value = strtod_l(copy, NULL, c_locale);
	if (is_finite && isinf(value))
		return -ERANGE;
	*out = isnan(value) ? (double)NAN : value;	/* one nan for all spellings */
	return 0;
}

int num_parse_f64(struct slice text, double *out)
{
	return parse_short(text, out) || parse_plain(text, out) ? 0 : parse_any_f64(text, out);
}

static __attribute__((noinline)) int parse_any_f32(struct slice text, float *out)
{
	char copy[NUM_TEXT_MAX + 1];
	bool is_finite;
	float value;
	int rc = check_float(text, copy, &is_finite);

	if (rc < 0)
		return rc;
	pthread_once(&c_locale_once, make_c_locale);
	value = strtof_l(copy, NULL, c_locale);
	if (is_finite && isinf(value))
		return -ERANGE;
	*out = isnan(value) ? NAN : value;
	return 0;
}

/* A double halfway between two floats may have become so by rounding: only there would rounding it again go astray. */
static bool is_halfway(double value)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	return (bits & 0x1fffffff) == 0x10000000;
}

/* Near the smallest and largest floats the bits that a float lacks lie elsewhere, so those take the slow way. */
static bool rounds_once(double value)
{
	return value == 0 || (fabs(value) >= 2 * (double)FLT_MIN && fabs(value) <= (double)FLT_MAX / 2 && !is_halfway(value));
}

int num_parse_f32(struct slice text, float *out)
{
	double value;

	if ((!parse_short(text, &value) && !parse_plain(text, &value)) || !rounds_once(value))
		return parse_any_f32(text, out);
	*out = (float)value;
	return 0;
}

size_t num_print_i64(int64_t value, char out[NUM_MAX])
{
	uint64_t size = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
	char digits[NUM_MAX];
	size_t n = 0, len = 0;

	do
		digits[n++] = (char)('0' + size % 10);
	while (size /= 10);
	if (value < 0)
		out[len++] = '-';
	while (n)
		out[len++] = digits[--n];
	out[len] = '\0';
	return len;
}

static size_t copy_text(const char *text, char out[NUM_MAX])
{
	size_t len = strlen(text);

	memcpy(out, text, len + 1);
	return len;
}

/* Writes a finite number; yyjson works in the memory given here and allocates nothing else. */
static size_t print_finite(const yyjson_val *val, char out[NUM_MAX])
{
	_Alignas(16) char pool[1024];
	yyjson_alc alc;
	const char *text = NULL;
	size_t len = 0;

	if (yyjson_alc_pool_init(&alc, pool, sizeof(pool)))
		text = yyjson_val_write_opts(val, YYJSON_WRITE_NOFLAG, &alc, &len, NULL);
	assert(text && len < NUM_MAX);
	if (len > 2 && text[len - 2] == '.' && text[len - 1] == '0')
		len -= 2;
	memcpy(out, text, len);
	out[len] = '\0';
	return len;
}

size_t num_print_f64(double value, char out[NUM_MAX])
{
	yyjson_val val = { 0 };

	if (isnan(value))
		return copy_text("nan", out);
	if (isinf(value))
		return copy_text(value < 0 ? "-inf" : "inf", out);
	yyjson_set_real(&val, value);
	return print_finite(&val, out);
}

size_t num_print_f32(float value, char out[NUM_MAX])
{
	yyjson_val val = { 0 };

	if (isnan(value))
		return copy_text("nan", out);
	if (isinf(value))
		return copy_text(value < 0 ? "-inf" : "inf", out);
	yyjson_set_float(&val, value);
	return print_finite(&val, out);
}

int num_parse_bytes(struct slice text, uint64_t *out)
{
	const char *p = text.data;
	unsigned shift = 0;
	uint64_t value;
	int rc;

	if (text.len) {
		switch (p[text.len - 1]) {
		case 'K': case 'k': shift = 10; break;
		case 'M': case 'm': shift = 20; break;
		case 'G': case 'g': shift = 30; break;
		case 'T': case 't': shift = 40; break;
		default: break;
		}
	}
	rc = num_parse_u64(slice_of(p, text.len - (shift != 0)), &value);
	if (rc < 0)
		return rc;
	if (value > UINT64_MAX >> shift)
		return -ERANGE;
	*out = value << shift;
	return 0;
}
