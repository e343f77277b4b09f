/* SPDX-License-Identifier: MIT */
/*
 * Bools, integers and floats. JSON is read with numbers left as text (raw), so that a float32 is rounded once and an int64 is never a double on
 * its way; values that somebody read with numbers are understood as well. Numbers in JSON are strict: 3.0 is no integer and "3" is no number.
 */
#include "catalog/scalar_private.h"

#include <errno.h>
#include <math.h>
#include "base/num.h"

/* ---- bool ---- */

static int bool_parse_text(struct slice text, bool nan, struct buf *out, struct why *why)
{
	bool is_true = slice_equal(text, slice_str("true")) || slice_equal(text, slice_str("1"));

	(void)nan;
	if (!is_true && !slice_equal(text, slice_str("false")) && !slice_equal(text, slice_str("0")))
		return scalar_refuse_text(text, "a bool: true, false, 1 or 0", why);
	buf_append_u8(out, is_true);
	return 0;
}

static int bool_parse_json(yyjson_val *json, bool nan, struct buf *out, struct why *why)
{
	(void)nan;
	if (!yyjson_is_bool(json))
		return scalar_refuse_json(json, "true or false", why);
	buf_append_u8(out, yyjson_get_bool(json));
	return 0;
}

static int bool_check(struct slice value, bool nan, struct why *why)
{
	uint8_t byte = *(const uint8_t *)value.data;

	(void)nan;
	return byte <= 1 ? 0 : why_fail(why, EINVAL, "a bool is one byte of 0 or 1, not %u", byte);
}

static int bool_print(struct slice value, struct buf *out)
{
	buf_append_str(out, *(const uint8_t *)value.data ? "true" : "false");
	return 0;
}

const struct scalar scalar_bool = { "bool", 1, bool_parse_text, bool_parse_json, bool_check, bool_print, bool_print };

/* ---- integers ---- */

static int put_int(int64_t value, unsigned bytes, struct buf *out, struct why *why)
{
	if (bytes == 8) {
		buf_append_u64(out, (uint64_t)value);
		return 0;
	}
	if (value < INT32_MIN || value > INT32_MAX)
		return why_fail(why, ERANGE, "%lld is out of the range of int32", (long long)value);
	buf_append_u32(out, (uint32_t)value);
	return 0;
}

static int parse_int(struct slice text, unsigned bytes, struct buf *out, struct why *why)
{
	int64_t value;
	int rc = num_parse_i64(text, &value);

	if (rc < 0)
		return scalar_refuse_number(rc, text, bytes == 8 ? "int64" : "int32", "a decimal integer", why);
	return put_int(value, bytes, out, why);
}

static int parse_int_json(yyjson_val *json, unsigned bytes, struct buf *out, struct why *why)
{
	if (yyjson_is_raw(json))
		return parse_int(scalar_json_text(json), bytes, out, why);
	if (yyjson_is_sint(json))
		return put_int(yyjson_get_sint(json), bytes, out, why);
	if (!yyjson_is_uint(json))
		return scalar_refuse_json(json, "an integer", why);
	if (yyjson_get_uint(json) > INT64_MAX)
		return why_fail(why, ERANGE, "%llu is out of the range of int%u",
				(unsigned long long)yyjson_get_uint(json),
				bytes * 8);
	return put_int((int64_t)yyjson_get_uint(json), bytes, out, why);
}

static int int32_parse_text(struct slice text, bool nan, struct buf *out, struct why *why)
{
	(void)nan;
	return parse_int(text, 4, out, why);
}

static int int64_parse_text(struct slice text, bool nan, struct buf *out, struct why *why)
{
	(void)nan;
	return parse_int(text, 8, out, why);
}

static int int32_parse_json(yyjson_val *json, bool nan, struct buf *out, struct why *why)
{
	(void)nan;
	return parse_int_json(json, 4, out, why);
}

static int int64_parse_json(yyjson_val *json, bool nan, struct buf *out, struct why *why)
{
	(void)nan;
	return parse_int_json(json, 8, out, why);
}

static int int32_print(struct slice value, struct buf *out)
{
	char text[NUM_MAX];

	buf_append(out, text, num_print_i64((int32_t)scalar_load(value.data, 4), text));
	return 0;
}

static int int64_print(struct slice value, struct buf *out)
{
	char text[NUM_MAX];

	buf_append(out, text, num_print_i64((int64_t)scalar_load(value.data, 8), text));
	return 0;
}

const struct scalar scalar_int32 = {
	"int32", 4, int32_parse_text, int32_parse_json, scalar_any_check,
	int32_print, int32_print,
};
const struct scalar scalar_int64 = {
	"int64", 8, int64_parse_text, int64_parse_json, scalar_any_check,
	int64_print, int64_print,
};

/* ---- floats ---- */

static int check_finite(double value, bool nan, struct why *why)
{
	if (nan || isfinite(value))
		return 0;
	return why_fail(why, EINVAL,
			"nan and infinities are refused here; a feature that may hold them says \"nan = yes\"");
}

static int put_f32(float value, bool nan, struct buf *out, struct why *why)
{
	uint32_t bits;
	int rc = check_finite((double)value, nan, why);

	memcpy(&bits, &value, sizeof(bits));
	if (rc == 0)
		buf_append_u32(out, bits);
	return rc;
}

static int put_f64(double value, bool nan, struct buf *out, struct why *why)
{
	uint64_t bits;
	int rc = check_finite(value, nan, why);

	memcpy(&bits, &value, sizeof(bits));
	if (rc == 0)
		buf_append_u64(out, bits);
	return rc;
}

static int float32_parse_text(struct slice text, bool nan, struct buf *out, struct why *why)
{
	float value;
	int rc = num_parse_f32(text, &value);

	return rc < 0 ? scalar_refuse_number(rc, text, "float32", "a decimal number", why) : put_f32(value, nan, out, why);
}

static int float64_parse_text(struct slice text, bool nan, struct buf *out, struct why *why)
{
	double value;
	int rc = num_parse_f64(text, &value);

	return rc < 0 ? scalar_refuse_number(rc, text, "float64", "a decimal number", why) : put_f64(value, nan, out, why);
}

/* The three numbers that JSON can't write are strings there. */
static bool find_special(yyjson_val *json, double *out)
{
	if (yyjson_equals_str(json, "NaN"))
		*out = (double)NAN;
	else if (yyjson_equals_str(json, "Infinity"))
		*out = (double)INFINITY;
	else if (yyjson_equals_str(json, "-Infinity"))
		*out = -(double)INFINITY;
	else
		return false;
	return true;
}

static int float32_parse_json(yyjson_val *json, bool nan, struct buf *out, struct why *why)
{
	double value;

	if (yyjson_is_raw(json))
		return float32_parse_text(scalar_json_text(json), nan, out, why);
	if (find_special(json, &value))
		return put_f32((float)value, nan, out, why);
	if (!yyjson_is_num(json))
		return scalar_refuse_json(json, "a number", why);
	if (yyjson_is_uint(json))
		return put_f32((float)yyjson_get_uint(json), nan, out, why);
	if (yyjson_is_sint(json))
		return put_f32((float)yyjson_get_sint(json), nan, out, why);
	value = yyjson_get_real(json);
	if (isinf((float)value))
		return why_fail(why, ERANGE, "%g is out of the range of float32", value);
	return put_f32((float)value, nan, out, why);
}

static int float64_parse_json(yyjson_val *json, bool nan, struct buf *out, struct why *why)
{
	double value;

	if (yyjson_is_raw(json))
		return float64_parse_text(scalar_json_text(json), nan, out, why);
	if (find_special(json, &value))
		return put_f64(value, nan, out, why);
	if (!yyjson_is_num(json))
		return scalar_refuse_json(json, "a number", why);
	return put_f64(yyjson_get_num(json), nan, out, why);
}

static int float32_check(struct slice value, bool nan, struct why *why)
{
	return check_finite((double)scalar_load_f32(value.data), nan, why);
}

static int float64_check(struct slice value, bool nan, struct why *why)
{
	return check_finite(scalar_load_f64(value.data), nan, why);
}

static int float32_print_text(struct slice value, struct buf *out)
{
	char text[NUM_MAX];

	buf_append(out, text, num_print_f32(scalar_load_f32(value.data), text));
	return 0;
}

static int float64_print_text(struct slice value, struct buf *out)
{
	char text[NUM_MAX];

	buf_append(out, text, num_print_f64(scalar_load_f64(value.data), text));
	return 0;
}

static void print_float_json(double value, const char *text, size_t len, struct buf *out)
{
	if (isnan(value))
		buf_append_str(out, "\"NaN\"");
	else if (isinf(value))
		buf_append_str(out, value < 0 ? "\"-Infinity\"" : "\"Infinity\"");
	else
		buf_append(out, text, len);
	if (value == 0 && signbit(value))
		buf_append_str(out, ".0");	/* many readers of JSON take "-0" for the integer 0 */
}

static int float32_print_json(struct slice value, struct buf *out)
{
	float number = scalar_load_f32(value.data);
	char text[NUM_MAX];
	size_t len = num_print_f32(number, text);

	print_float_json((double)number, text, len, out);
	return 0;
}

static int float64_print_json(struct slice value, struct buf *out)
{
	double number = scalar_load_f64(value.data);
	char text[NUM_MAX];
	size_t len = num_print_f64(number, text);

	print_float_json(number, text, len, out);
	return 0;
}

const struct scalar scalar_float32 = {
	"float32", 4, float32_parse_text, float32_parse_json, float32_check,
	float32_print_text, float32_print_json,
};
const struct scalar scalar_float64 = {
	"float64", 8, float64_parse_text, float64_parse_json, float64_check,
	float64_print_text, float64_print_json,
};
