/* SPDX-License-Identifier: MIT */
/*
 * From what a typed file holds to what the store holds. A number goes over when it is the same number there: 42.0 is an int64 of 42 (files
 * that were tables with gaps have their integers as floats), 1.5 is none; a double becomes a float32 as its text would. Decimals come as exact
 * text and are read as such. Times are brought to microseconds, rounded down, as everywhere.
 */
#include "batch/parquet_values.h"

#include <endian.h>
#include <errno.h>
#include <math.h>
#include <string.h>
#include "base/clock.h"
#include "base/num.h"
#include "base/text.h"

#define DAY_US (INT64_C(86400) * 1000000)

/* ---- what suits what ---- */

#define K(kind) (1u << (kind))
#define KINDS_NUMBER (K(WIRE_INT) | K(WIRE_FLOAT) | K(WIRE_DOUBLE) | K(WIRE_DECIMAL))
#define KINDS_TIME (K(WIRE_DATE) | K(WIRE_TIME_US) | K(WIRE_TIME_NS))

static unsigned suiting_kinds(enum type_base base)
{
	switch (base) {
	case TYPE_BOOL:
		return K(WIRE_BOOL) | K(WIRE_INT);
	case TYPE_INT32: case TYPE_INT64: case TYPE_FLOAT32: case TYPE_FLOAT64:
		return KINDS_NUMBER;
	case TYPE_STRING:
		return K(WIRE_TEXT);
	case TYPE_BYTES:
		return K(WIRE_TEXT) | K(WIRE_BYTES);
	case TYPE_TIMESTAMP:
		return KINDS_TIME | K(WIRE_TEXT) | K(WIRE_INT);
	case TYPE_JSON:
		return K(WIRE_TEXT) | K(WIRE_JSON);
	default:
		return 0;
	}
}

bool parquet_suits(const struct wire_column *column, const struct type *type)
{
	return column->is_list == type->is_array && (suiting_kinds(type->base) & K(column->kind));
}

bool parquet_is_key(const struct wire_column *column)
{
	return !column->is_list && ((KINDS_NUMBER | K(WIRE_TEXT) | K(WIRE_BYTES) | K(WIRE_DATE)) & K(column->kind));
}

bool parquet_is_time(const struct wire_column *column)
{
	return !column->is_list && ((KINDS_TIME | K(WIRE_TEXT) | K(WIRE_INT)) & K(column->kind));
}

int parquet_refuse_column(const struct wire_column *column, const char *what, struct why *why)
{
	return why_fail(why, EINVAL, "the column %.*s is %.*s: it can't be %s", (int)(column->name.len < 64 ? column->name.len : 64),
			(const char *)column->name.data, (int)(column->type.len < 64 ? column->type.len : 64),
			(const char *)column->type.data, what);
}

/* ---- single values ---- */

/* One value: a number in its own form, or bytes. */
struct value {
	enum wire_kind kind;
	int64_t i;
	double f;
	struct slice bytes;
};

static struct value value_at(enum wire_kind kind, const struct wire_values *values, size_t i)
{
	struct value value = { .kind = kind };
	uint32_t half;
	uint64_t bits;
	float narrow;

	switch (wire_size(kind)) {
	case 0:
		value.bytes = wire_bytes(values, i);
		return value;
	case 1:
		value.i = values->data[i];
		return value;
	case 4:
		memcpy(&half, values->data + i * 4, sizeof half);
		half = le32toh(half);
		memcpy(&narrow, &half, sizeof narrow);
		value.f = (double)narrow;
		return value;
	default:
		memcpy(&bits, values->data + i * 8, sizeof bits);
		bits = le64toh(bits);
		value.i = (int64_t)bits;
		if (kind == WIRE_DOUBLE)
			memcpy(&value.f, &bits, sizeof value.f);
		return value;
	}
}

/* "42.00" is 42. */
static struct slice trim_zeros(struct slice text)
{
	const char *p = text.data, *point = text.len ? memchr(p, '.', text.len) : NULL;
	size_t len = text.len;

	if (!point)
		return text;
	while (p[len - 1] == '0')
		len--;
	return slice_of(p, p[len - 1] == '.' ? len - 1 : text.len);
}

static int refuse_integer(struct slice text, struct why *why)
{
	return why_fail(why, EINVAL, "%.*s is not an integer", text.len < 64 ? (int)text.len : 64, (const char *)text.data);
}

static int as_integer(const struct value *value, int64_t *out, struct why *why)
{
	char text[NUM_MAX];
	struct slice decimal;
	int rc;

	if (value->kind == WIRE_INT) {
		*out = value->i;
		return 0;
	}
	if (value->kind != WIRE_DECIMAL) {
		if (value->f != floor(value->f) || !isfinite(value->f))
			return refuse_integer(slice_of(text, num_print_f64(value->f, text)), why);
		if (value->f < -0x1p63 || value->f >= 0x1p63)
			return why_fail(why, ERANGE, "%g is out of the range of int64", value->f);
		*out = (int64_t)value->f;
		return 0;
	}
	decimal = trim_zeros(value->bytes);
	rc = num_parse_i64(decimal, out);
	if (rc == -ERANGE)
		return why_fail(why, ERANGE, "%.*s is out of the range of int64", (int)decimal.len, (const char *)decimal.data);
	return rc < 0 ? refuse_integer(decimal, why) : 0;
}

static int as_time_us(const struct value *value, int64_t *out_us, struct why *why)
{
	int64_t us = value->i;
	bool is_far = false;

	if (value->kind == WIRE_TIME_NS)
		us = us / 1000 - (us % 1000 < 0);
	else if (value->kind == WIRE_DATE)
		is_far = __builtin_mul_overflow(us, DAY_US, &us);
	else if (value->kind == WIRE_INT)
		is_far = __builtin_mul_overflow(us, INT64_C(1000000), &us);
	/* Infinity and minus infinity are such times too. */
	if (is_far || us < INT64_MIN / 1000 || us > INT64_MAX / 1000)
		return why_fail(why, ERANGE, "the time is out of range: 1677-09-21 to 2262-04-11%s",
				value->kind == WIRE_INT ? " (an integer is seconds since 1970)" : "");
	*out_us = us;
	return 0;
}

int parquet_time(enum wire_kind kind, const struct wire_values *values, size_t i, int64_t *out_ns, struct why *why)
{
	struct value value = value_at(kind, values, i);
	int64_t us;
	int rc;

	if (kind == WIRE_TEXT) {
		rc = clock_parse_time(value.bytes, out_ns);
		return rc < 0 ? why_fail(why, -rc, "\"%.*s\" is not a time: 2026-11-23T04:00:00Z, or seconds since 1970",
					 value.bytes.len < 48 ? (int)value.bytes.len : 48, (const char *)value.bytes.data) : 0;
	}
	if (kind == WIRE_TIME_NS) {
		*out_ns = value.i;
		/* The library's word for infinity. */
		return value.i < -INT64_MAX || value.i == INT64_MAX ? why_fail(why, ERANGE, "the time is infinite") : 0;
	}
	rc = as_time_us(&value, &us, why);
	if (rc == 0)
		*out_ns = us * 1000;
	return rc;
}

int parquet_key(enum wire_kind kind, const struct wire_values *values, size_t i, char text[PARQUET_KEY_MAX], struct slice *out,
		struct why *why)
{
	struct value value = value_at(kind, values, i);
	char time[CLOCK_TEXT_MAX];
	int64_t integer;
	int rc;

	if (kind == WIRE_TEXT || kind == WIRE_BYTES) {
		*out = value.bytes;
		return 0;
	}
	if (kind == WIRE_DATE) {
		rc = as_time_us(&value, &integer, why);
		if (rc < 0)
			return rc;
		clock_print_time(integer * 1000, false, time);
		memcpy(text, time, 10);
		*out = slice_of(text, 10);
		return 0;
	}
	/* Integers past int64 are keys as well: their text is exact. */
	if (kind == WIRE_DECIMAL) {
		struct slice decimal = trim_zeros(value.bytes);

		if (decimal.len && memchr(decimal.data, '.', decimal.len))
			return why_fail(why, EINVAL, "the entity %.*s is not an integer", (int)decimal.len, (const char *)decimal.data);
		*out = decimal;
		return 0;
	}
	rc = as_integer(&value, &integer, why);
	if (rc < 0) {
		why_prefix(why, "the entity");
		return rc;
	}
	*out = slice_of(text, num_print_i64(integer, text));
	return 0;
}

/* ---- stored bytes ---- */

static int check_finite(double number, bool nan, struct why *why)
{
	return nan || isfinite(number) ? 0 : why_fail(why, EINVAL, "nan and infinities are refused here; a feature that may hold them says "
						      "\"nan = yes\"");
}

static uint64_t bits_of(double number)
{
	uint64_t bits;

	number = isnan(number) ? (double)NAN : number;	/* one nan for all */
	memcpy(&bits, &number, sizeof bits);
	return bits;
}

static int make_float(const struct value *value, bool is_wide, bool nan, uint64_t *out, struct why *why)
{
	double number = value->kind == WIRE_INT ? (double)value->i : value->f;
	float narrow = 0;
	uint32_t bits;
	int rc = 0;

	if (value->kind == WIRE_DECIMAL) {
		rc = is_wide ? num_parse_f64(value->bytes, &number) : num_parse_f32(value->bytes, &narrow);
	} else if (!is_wide) {
		narrow = value->kind == WIRE_INT ? (float)value->i : (float)number;
		rc = isinf(narrow) && !isinf(number) ? -ERANGE : 0;
	}
	if (rc < 0)
		return why_fail(why, -rc, "the number is out of the range of %s", is_wide ? "float64" : "float32");
	rc = check_finite(is_wide ? number : (double)narrow, nan, why);
	if (is_wide) {
		*out = bits_of(number);
		return rc;
	}
	narrow = isnan(narrow) ? NAN : narrow;
	memcpy(&bits, &narrow, sizeof bits);
	*out = bits;
	return rc;
}

/* A value of a type of fixed size, as a number whose low bytes are stored. */
static int make_fixed(const struct value *value, enum type_base base, bool nan, uint64_t *out, struct why *why)
{
	int64_t number = value->i;
	int rc = 0;

	switch (base) {
	case TYPE_BOOL:
		if (number != 0 && number != 1)
			return why_fail(why, EINVAL, "%lld is not a bool: true, false, 1 or 0", (long long)number);
		break;
	case TYPE_INT32:
	case TYPE_INT64:
		rc = as_integer(value, &number, why);
		if (rc == 0 && base == TYPE_INT32 && (number < INT32_MIN || number > INT32_MAX))
			rc = why_fail(why, ERANGE, "%lld is out of the range of int32", (long long)number);
		break;
	case TYPE_TIMESTAMP:
		rc = as_time_us(value, &number, why);
		break;
	default:
		return make_float(value, base == TYPE_FLOAT64, nan, out, why);
	}
	*out = (uint64_t)number;
	return rc;
}

static unsigned stored_size(enum type_base base)
{
	switch (base) {
	case TYPE_BOOL:
		return 1;
	case TYPE_INT32: case TYPE_FLOAT32:
		return 4;
	case TYPE_INT64: case TYPE_FLOAT64: case TYPE_TIMESTAMP:
		return 8;
	default:
		return 0;
	}
}

static int check_text(enum type_base base, struct slice bytes, struct why *why)
{
	if (bytes.len > TYPE_VALUE_MAX)
		return why_fail(why, EFBIG, "a value is at most %d bytes", TYPE_VALUE_MAX);
	if (base == TYPE_STRING && !text_is_utf8(bytes))
		return why_fail(why, EILSEQ, "a string is UTF-8; these bytes are not");
	return 0;
}

/* Text that a type reads as it reads all text: json, and times. */
static int parse_text(const struct catalog_feature *feature, struct slice text, struct buf *out, struct why *why)
{
	struct type one = { .base = feature->type.base };

	return type_text_parse(&one, feature->nan, text, out, why);
}

/* One element, appended as it stands in an array. */
static int append_element(const struct catalog_feature *feature, const struct value *value, struct buf *out, struct why *why)
{
	enum type_base base = feature->type.base;
	unsigned size = stored_size(base);
	size_t head = out->len;
	uint64_t number;
	int rc;

	if (size && value->kind == WIRE_TEXT)
		return parse_text(feature, value->bytes, out, why);
	if (size) {
		rc = make_fixed(value, base, feature->nan, &number, why);
		number = htole64(number);
		buf_append(out, &number, size);
		return rc;
	}
	buf_append_u32(out, (uint32_t)value->bytes.len);
	if (base == TYPE_JSON) {
		uint32_t len;

		rc = parse_text(feature, value->bytes, out, why);
		if (rc < 0 || buf_error(out) < 0)
			return rc;
		len = htole32((uint32_t)(out->len - head - sizeof len));
		memcpy(out->data + head, &len, sizeof len);
		return 0;
	}
	rc = check_text(base, value->bytes, why);
	if (rc == 0)
		buf_append_slice(out, value->bytes);
	return rc;
}

static int append_list(const struct wire_column *column, const struct wire_values *values, size_t i, struct row *row, unsigned at,
		       struct why *why)
{
	const struct catalog_feature *feature = row->features[at];
	const struct wire_values *elements = values->elements;
	size_t from = i ? values->ends[i - 1] : 0, n = values->ends[i] - from, start = row->var.len;

	if (feature->type.length && n != feature->type.length)
		return why_fail(why, EINVAL, "the array has %zu elements, the feature %u", n, feature->type.length);
	for (size_t k = from; k < from + n; k++) {
		struct value value;
		int rc;

		if (wire_is_null(elements, k))
			return why_fail(why, EINVAL, "element %zu: null can't stand inside an array", k - from);
		value = value_at(column->kind, elements, k);
		rc = append_element(feature, &value, &row->var, why);
		if (rc < 0) {
			why_prefix(why, "element %zu", k - from);
			return rc;
		}
		if (row->var.len - start > TYPE_VALUE_MAX)
			return why_fail(why, EFBIG, "a value is at most %d bytes", TYPE_VALUE_MAX);
	}
	return buf_error(&row->var);
}

/* An array must also have a text that can be written back. */
static int check_array(const struct row *row, unsigned at, size_t start, struct why *why)
{
	struct slice bytes = slice_of(row->var.data + start, row->var.len - start);
	struct buf text = { 0 };
	int rc = 0;

	if (bytes.len > PARQUET_PRINTED_MAX) {
		rc = type_text_print(&row->features[at]->type, bytes, &text);
		if (rc == 0 && text.len > TYPE_VALUE_MAX + 1)
			rc = why_fail(why, EFBIG, "a value is at most %d bytes, also as text; this one has %zu there", TYPE_VALUE_MAX, text.len);
	}
	buf_release(&text);
	return rc;
}

int parquet_value(const struct wire_column *column, const struct wire_values *values, size_t i, struct row *row, unsigned at,
		  struct why *why)
{
	const struct catalog_feature *feature = row->features[at];
	unsigned size = stored_size(feature->type.base);
	struct value value;
	uint64_t number;
	size_t start;
	int rc;

	if (!column->is_list) {
		value = value_at(column->kind, values, i);
		if (size && column->kind != WIRE_TEXT) {
			rc = make_fixed(&value, feature->type.base, feature->nan, &number, why);
			number = htole64(number);
			memcpy(row->fixed[at], &number, sizeof number);
			row_bytes(row, at, slice_of(row->fixed[at], size));
			return rc;
		}
		if (!size && feature->type.base != TYPE_JSON) {
			rc = check_text(feature->type.base, value.bytes, why);
			row_bytes(row, at, value.bytes);
			return rc;
		}
	}
	row_var_begin(row, at);
	start = row->var.len;
	rc = column->is_list ? append_list(column, values, i, row, at, why) : parse_text(feature, value.bytes, &row->var, why);
	if (rc == 0 && column->is_list)
		rc = check_array(row, at, start, why);
	row_var_end(row, at);
	return rc;
}
