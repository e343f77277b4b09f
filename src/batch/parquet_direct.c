/* SPDX-License-Identifier: MIT */
/*
 * Most columns of most files hold their values as the store does, or nearly: then one pass over a batch's column tells that all of them can be
 * taken as they stand, and a row costs a pointer for each value. Wherever a single value is in doubt (out of range, no number, not ASCII), the
 * column of this batch goes value by value, so that only parquet_values.c says what is accepted and what the words are. What lies under a null
 * is looked at as well; at worst that is such a doubt.
 */
#include "batch/parquet_values.h"

#include <endian.h>
#include <string.h>

/* ---- questions to all values ---- */

static bool are_finite64(const uint8_t *p, size_t n)
{
	const uint64_t exponent = UINT64_C(0x7ff) << 52;
	bool is_bad = false;

	for (size_t i = 0; i < n; i++) {
		uint64_t bits;

		memcpy(&bits, p + 8 * i, sizeof bits);
		is_bad |= (bits & exponent) == exponent;
	}
	return !is_bad;
}

static bool are_finite32(const uint8_t *p, size_t n)
{
	const uint32_t exponent = UINT32_C(0xff) << 23;
	bool is_bad = false;

	for (size_t i = 0; i < n; i++) {
		uint32_t bits;

		memcpy(&bits, p + 4 * i, sizeof bits);
		is_bad |= (bits & exponent) == exponent;
	}
	return !is_bad;
}

static bool are_within(const uint8_t *p, size_t n, int64_t min, int64_t max)
{
	bool is_bad = false;

	for (size_t i = 0; i < n; i++) {
		int64_t number;

		memcpy(&number, p + 8 * i, sizeof number);
		is_bad |= number < min || number > max;
	}
	return !is_bad;
}

static bool are_bools(const uint8_t *p, size_t n)
{
	uint8_t all = 0;

	for (size_t i = 0; i < n; i++)
		all |= p[i];
	return all <= 1;
}

static bool are_ascii(const uint8_t *p, size_t n)
{
	uint64_t all = 0, eight;
	size_t i = 0;

	for (; i + 8 <= n; i += 8) {
		memcpy(&eight, p + i, sizeof eight);
		all |= eight;
	}
	for (; i < n; i++)
		all |= p[i];
	return !(all & UINT64_C(0x8080808080808080));
}

/* ---- columns ---- */

/* Bytes of a stored value whose place on the wire holds just that in its first bytes, for all of these; 0. */
static unsigned judge_fixed(enum wire_kind kind, const struct catalog_feature *feature, const struct wire_values *values)
{
	const uint8_t *p = values->data;
	size_t n = values->n;

	switch (feature->type.base) {
	case TYPE_BOOL:
		return kind == WIRE_BOOL && are_bools(p, n) ? 1 : 0;
	case TYPE_INT32:
		return kind == WIRE_INT && are_within(p, n, INT32_MIN, INT32_MAX) ? 4 : 0;
	case TYPE_INT64:
		return kind == WIRE_INT ? 8 : 0;
	case TYPE_TIMESTAMP:
		return kind == WIRE_TIME_US && are_within(p, n, INT64_MIN / 1000, INT64_MAX / 1000) ? 8 : 0;
	case TYPE_FLOAT32:
		return kind == WIRE_FLOAT && are_finite32(p, n) ? 4 : 0;
	case TYPE_FLOAT64:
		return kind == WIRE_DOUBLE && are_finite64(p, n) ? 8 : 0;
	default:
		return 0;
	}
}

/* Are all lengths, in units of `size` bytes, at most `max` bytes, and those that are there `exactly` so many units, if that is not 0? */
static bool are_long(const struct wire_values *values, unsigned size, size_t max, size_t exactly)
{
	uint32_t from = 0;

	for (size_t i = 0; i < values->n; i++) {
		size_t n = values->ends[i] - from;

		from = values->ends[i];
		if (n * size > max || (exactly && n != exactly && !wire_is_null(values, i)))
			return false;
	}
	return true;
}

static struct parquet_direct judge_list(enum wire_kind kind, const struct catalog_feature *feature, const struct wire_values *values)
{
	const struct wire_values *elements = values->elements;
	unsigned size = elements->valid ? 0 : judge_fixed(kind, feature, elements);

	if (!size || size != wire_size(kind) || !are_long(values, size, PARQUET_PRINTED_MAX, feature->type.length))
		return (struct parquet_direct){ .is_direct = false };
	return (struct parquet_direct){ true, values->valid, elements->data, values->ends, size, size };
}

struct parquet_direct parquet_direct(const struct wire_column *column, const struct catalog_feature *feature, const struct wire_values *values)
{
	enum type_base base = feature->type.base;
	unsigned size;

	if (__BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__)
		return (struct parquet_direct){ .is_direct = false };
	if (column->is_list)
		return judge_list(column->kind, feature, values);
	if (wire_size(column->kind)) {
		size = judge_fixed(column->kind, feature, values);
		return (struct parquet_direct){ size > 0, values->valid, values->data, NULL, wire_size(column->kind), size };
	}
	if ((base != TYPE_STRING && base != TYPE_BYTES) || !are_long(values, 1, TYPE_VALUE_MAX, 0) ||
	    (base == TYPE_STRING && !are_ascii(values->data, values->n ? values->ends[values->n - 1] : 0)))
		return (struct parquet_direct){ .is_direct = false };
	return (struct parquet_direct){ true, values->valid, values->data, values->ends, 1, 1 };
}
