/* SPDX-License-Identifier: MIT */
/*
 * The kinds of single values. JSON is read with numbers left as text (raw), so that a float32 is rounded once, an int64
 * is never a double on its way, and the numbers of a json value stay as they were written; values that somebody read
 * with numbers are understood as well. Numbers in JSON are strict: 3.0 is no integer and "3" is no number.
 */
#include "catalog/scalar.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/num.h"
#include "base/text.h"

enum { QUOTE_MAX = 64 };	/* bytes of a refused text that its reason shows */

static int shown(struct slice text)
{
	return text.len < QUOTE_MAX ? (int)text.len : QUOTE_MAX;
}

static int refuse_text(struct slice text, const char *what, struct why *why)
{
	if (text.len && memchr(text.data, 0, text.len))
		return why_fail(why, EINVAL, "a text with a NUL byte in it is not %s", what);
	return why_fail(why, EINVAL, "\"%.*s\" is not %s", shown(text), text.len ? (const char *)text.data : "", what);
}

static int refuse_json(yyjson_val *json, const char *what, struct why *why)
{
	return why_fail(why, EINVAL, "JSON %s where %s belongs", yyjson_is_raw(json) ? "number" : yyjson_get_type_desc(json), what);
}

static struct slice json_text(yyjson_val *json)
{
	return slice_of(unsafe_yyjson_get_str(json), unsafe_yyjson_get_len(json));
}

/* ---- bool ---- */

static int bool_parse_text(struct slice text, bool nan, struct buf *out, struct why *why)
{
	bool is_true = slice_equal(text, slice_str("true")) || slice_equal(text, slice_str("1"));

	(void)nan;
	if (!is_true && !slice_equal(text, slice_str("false")) && !slice_equal(text, slice_str("0")))
		return refuse_text(text, "a bool: true, false, 1 or 0", why);
	buf_append_u8(out, is_true);
	return 0;
}

static int bool_parse_json(yyjson_val *json, bool nan, struct buf *out, struct why *why)
{
	(void)nan;
	if (!yyjson_is_bool(json))
		return refuse_json(json, "true or false", why);
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

	if (rc == -ERANGE)
		return why_fail(why, ERANGE, "%.*s is out of the range of int%u", shown(text), (const char *)text.data,
				bytes * 8);
	if (rc < 0)
		return refuse_text(text, "a decimal integer", why);
	return put_int(value, bytes, out, why);
}

static int parse_int_json(yyjson_val *json, unsigned bytes, struct buf *out, struct why *why)
{
	if (yyjson_is_raw(json))
		return parse_int(json_text(json), bytes, out, why);
	if (yyjson_is_sint(json))
		return put_int(yyjson_get_sint(json), bytes, out, why);
	if (!yyjson_is_uint(json))
		return refuse_json(json, "an integer", why);
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

static int any_check(struct slice value, bool nan, struct why *why)
{
	(void)value;
	(void)nan;
	(void)why;
	return 0;
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

static int refuse_float(int rc, struct slice text, const char *name, struct why *why)
{
	if (rc == -ERANGE)
		return why_fail(why, ERANGE, "%.*s is out of the range of %s", shown(text), (const char *)text.data,
				name);
	return refuse_text(text, "a decimal number", why);
}

static int float32_parse_text(struct slice text, bool nan, struct buf *out, struct why *why)
{
	float value;
	int rc = num_parse_f32(text, &value);

	return rc < 0 ? refuse_float(rc, text, "float32", why) : put_f32(value, nan, out, why);
}

static int float64_parse_text(struct slice text, bool nan, struct buf *out, struct why *why)
{
	double value;
	int rc = num_parse_f64(text, &value);

	return rc < 0 ? refuse_float(rc, text, "float64", why) : put_f64(value, nan, out, why);
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
		return float32_parse_text(json_text(json), nan, out, why);
	if (find_special(json, &value))
		return put_f32((float)value, nan, out, why);
	if (!yyjson_is_num(json))
		return refuse_json(json, "a number", why);
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
		return float64_parse_text(json_text(json), nan, out, why);
	if (find_special(json, &value))
		return put_f64(value, nan, out, why);
	if (!yyjson_is_num(json))
		return refuse_json(json, "a number", why);
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

/* ---- string and bytes ---- */

static int string_check(struct slice value, bool nan, struct why *why)
{
	(void)nan;
	return text_is_utf8(value) ? 0 : why_fail(why, EILSEQ, "a string is UTF-8; these bytes are not");
}

static int string_parse_text(struct slice text, bool nan, struct buf *out, struct why *why)
{
	int rc = string_check(text, nan, why);

	if (rc == 0)
		buf_append_slice(out, text);
	return rc;
}

static int string_parse_json(yyjson_val *json, bool nan, struct buf *out, struct why *why)
{
	(void)nan;
	if (!yyjson_is_str(json))
		return refuse_json(json, "a string", why);
	buf_append_slice(out, json_text(json));
	return 0;
}

static int string_print_text(struct slice value, struct buf *out)
{
	if (!text_is_utf8(value))
		return -EBADMSG;
	buf_append_slice(out, value);
	return 0;
}

static void print_escape(uint8_t c, struct buf *out)
{
	static const char short_form[] = { ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r',
					   ['"'] = '"', ['\\'] = '\\' };

	buf_append_char(out, '\\');
	if (short_form[c])
		buf_append_char(out, short_form[c]);
	else
		buf_printf(out, "u%04x", c);
}

static int string_print_json(struct slice value, struct buf *out)
{
	const uint8_t *p = value.data;
	size_t start = 0;

	if (!text_is_utf8(value))
		return -EBADMSG;
	buf_append_char(out, '"');
	for (size_t i = 0; i < value.len; i++) {
		if (p[i] >= 0x20 && p[i] != '"' && p[i] != '\\')
			continue;
		buf_append(out, p + start, i - start);
		print_escape(p[i], out);
		start = i + 1;
	}
	if (value.len)
		buf_append(out, p + start, value.len - start);
	buf_append_char(out, '"');
	return 0;
}

static int bytes_parse_text(struct slice text, bool nan, struct buf *out, struct why *why)
{
	(void)nan;
	(void)why;
	buf_append_slice(out, text);
	return 0;
}

static int bytes_parse_json(yyjson_val *json, bool nan, struct buf *out, struct why *why)
{
	int rc;

	(void)nan;
	if (!yyjson_is_str(json))
		return refuse_json(json, "a string of base64", why);
	rc = text_base64_decode(json_text(json), out);
	return rc == -EINVAL ? why_fail(why, EINVAL, "the string is not base64 with padding") : rc;
}

static int bytes_print_text(struct slice value, struct buf *out)
{
	buf_append_slice(out, value);
	return 0;
}

static int bytes_print_json(struct slice value, struct buf *out)
{
	buf_append_char(out, '"');
	text_base64_encode(value, out);
	buf_append_char(out, '"');
	return 0;
}

/* ---- timestamp ---- */

static int check_us(int64_t us, struct why *why)
{
	if (us < INT64_MIN / 1000 || us > INT64_MAX / 1000)
		return why_fail(why, ERANGE, "the time is out of range: 1677-09-21 to 2262-04-11");
	return 0;
}

static int put_us(int64_t us, struct buf *out, struct why *why)
{
	int rc = check_us(us, why);

	if (rc == 0)
		buf_append_u64(out, (uint64_t)us);
	return rc;
}

static int put_seconds(double seconds, struct buf *out, struct why *why)
{
	double us = floor(seconds * 1e6);

	if (!(us > -9.3e15 && us < 9.3e15))	/* just past what check_us allows, and what fits into int64 */
		return check_us(INT64_MAX, why);
	return put_us((int64_t)us, out, why);
}

static int timestamp_parse_text(struct slice text, bool nan, struct buf *out, struct why *why)
{
	int64_t ns;
	int rc = clock_parse_time(text, &ns);

	(void)nan;
	if (rc == -ERANGE)
		return check_us(INT64_MAX, why);
	if (rc < 0)
		return refuse_text(text, "a time: 2026-11-23T04:00:00Z, or seconds since 1970", why);
	return put_us(ns / 1000 - (ns % 1000 < 0), out, why);
}

static int timestamp_parse_json(yyjson_val *json, bool nan, struct buf *out, struct why *why)
{
	double seconds;
	int rc;

	if (yyjson_is_str(json))
		return timestamp_parse_text(json_text(json), nan, out, why);
	if (yyjson_is_raw(json)) {
		rc = timestamp_parse_text(json_text(json), nan, out, NULL);
		if (rc != -EINVAL)
			return rc == -ERANGE ? check_us(INT64_MAX, why) : rc;
		rc = num_parse_f64(json_text(json), &seconds);	/* with an exponent, or more than nine decimals */
		return rc < 0 ? refuse_float(rc, json_text(json), "timestamp", why) : put_seconds(seconds, out, why);
	}
	if (!yyjson_is_num(json))
		return refuse_json(json, "a time, a string or a number of seconds,", why);
	return put_seconds(yyjson_get_num(json), out, why);
}

static int timestamp_check(struct slice value, bool nan, struct why *why)
{
	(void)nan;
	return check_us((int64_t)scalar_load(value.data, 8), why);
}

static int timestamp_print_text(struct slice value, struct buf *out)
{
	int64_t us = (int64_t)scalar_load(value.data, 8);
	char text[CLOCK_TEXT_MAX];

	if (check_us(us, NULL) < 0)
		return -EBADMSG;
	buf_append(out, text, clock_print_time(us * 1000, false, text));
	return 0;
}

static int timestamp_print_json(struct slice value, struct buf *out)
{
	int rc;

	buf_append_char(out, '"');
	rc = timestamp_print_text(value, out);
	buf_append_char(out, '"');
	return rc;
}

/* ---- json ---- */

int scalar_read_json(struct slice text, yyjson_doc **out, struct why *why)
{
	yyjson_read_err err;
	yyjson_doc *doc;

	if (!text_is_utf8(text))
		return why_fail(why, EILSEQ, "JSON is UTF-8; these bytes are not");
	if (!text.len)
		return why_fail(why, EINVAL, "not JSON: nothing is there");
	/* The flag that would let yyjson write to its input is not set, so the cast breaks no promise. */
	doc = yyjson_read_opts((char *)(uintptr_t)text.data, text.len, YYJSON_READ_NUMBER_AS_RAW, NULL, &err);
	if (!doc && err.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION)
		return -ENOMEM;
	if (!doc)
		return why_fail(why, EINVAL, "not JSON: %s, at byte %zu", err.msg, err.pos);
	*out = doc;
	return 0;
}

static int json_parse_json(yyjson_val *json, bool nan, struct buf *out, struct why *why)
{
	yyjson_write_err err;
	size_t len;
	char *text = yyjson_val_write_opts(json, YYJSON_WRITE_NOFLAG, NULL, &len, &err);

	(void)nan;
	if (!text && err.code == YYJSON_WRITE_ERROR_MEMORY_ALLOCATION)
		return -ENOMEM;
	if (!text)
		return why_fail(why, EINVAL, "can't be written as JSON: %s", err.msg);
	buf_append(out, text, len);
	free(text);
	return 0;
}

static int json_parse_text(struct slice text, bool nan, struct buf *out, struct why *why)
{
	yyjson_doc *doc;
	int rc = scalar_read_json(text, &doc, why);

	if (rc < 0)
		return rc;
	rc = json_parse_json(yyjson_doc_get_root(doc), nan, out, why);
	yyjson_doc_free(doc);
	return rc;
}

static int json_check(struct slice value, bool nan, struct why *why)
{
	yyjson_doc *doc;
	int rc = scalar_read_json(value, &doc, why);

	(void)nan;
	if (rc == 0)
		yyjson_doc_free(doc);
	return rc;
}

static int json_print(struct slice value, struct buf *out)
{
	if (!value.len)
		return -EBADMSG;
	buf_append_slice(out, value);		/* checked and made compact when it was stored */
	return 0;
}

/* ---- the table ---- */

static const struct scalar scalars[] = {
	[TYPE_BOOL] = { "bool", 1, bool_parse_text, bool_parse_json, bool_check, bool_print, bool_print },
	[TYPE_INT32] = { "int32", 4, int32_parse_text, int32_parse_json, any_check, int32_print, int32_print },
	[TYPE_INT64] = { "int64", 8, int64_parse_text, int64_parse_json, any_check, int64_print, int64_print },
	[TYPE_FLOAT32] = { "float32", 4, float32_parse_text, float32_parse_json, float32_check, float32_print_text,
			   float32_print_json },
	[TYPE_FLOAT64] = { "float64", 8, float64_parse_text, float64_parse_json, float64_check, float64_print_text,
			   float64_print_json },
	[TYPE_STRING] = { "string", 0, string_parse_text, string_parse_json, string_check, string_print_text,
			  string_print_json },
	[TYPE_BYTES] = { "bytes", 0, bytes_parse_text, bytes_parse_json, any_check, bytes_print_text,
			 bytes_print_json },
	[TYPE_TIMESTAMP] = { "timestamp", 8, timestamp_parse_text, timestamp_parse_json, timestamp_check,
			     timestamp_print_text, timestamp_print_json },
	[TYPE_JSON] = { "json", 0, json_parse_text, json_parse_json, json_check, json_print, json_print },
};

const struct scalar *scalar_of(enum type_base base)
{
	return &scalars[base];
}

const struct scalar *scalar_find(struct slice name, enum type_base *out_base)
{
	for (enum type_base base = TYPE_BOOL; base <= TYPE_JSON; base++)
		if (slice_equal(name, slice_str(scalars[base].name))) {
			*out_base = base;
			return &scalars[base];
		}
	return NULL;
}
