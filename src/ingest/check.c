/* SPDX-License-Identifier: MIT */
/*
 * A value against its feature's rules: min, max, enum, max_length, not_null. Lanes turn foreign forms into typed bytes; what those bytes
 * may be is judged here for all of them, at the commit, and by the same function earlier where a writer can still be told.
 * A feature without rules costs one comparison.
 */
#include "ingest/check.h"

#include <endian.h>
#include <errno.h>
#include <math.h>
#include <string.h>
#include "base/clock.h"
#include "base/num.h"
#include "ingest/merge.h"
#include "ingest/private.h"

static bool has_rules(const struct catalog_feature *feature)
{
	return feature->has_min || feature->has_max || feature->has_max_length || feature->n_enums;
}

/* The numeric bounds, for one element of stored bytes. */
static int check_integer(const struct catalog_feature *feature, int64_t number, struct why *why)
{
	if (feature->has_min && number < feature->min.i)
		return why_fail(why, ERANGE, "%s: %lld is below min = %lld", feature->name, (long long)number,
				(long long)feature->min.i);
	if (feature->has_max && number > feature->max.i)
		return why_fail(why, ERANGE, "%s: %lld is above max = %lld", feature->name, (long long)number,
				(long long)feature->max.i);
	return 0;
}

static int check_real(const struct catalog_feature *feature, double number, struct why *why)
{
	/* nan is neither below nor above; whether it may be there at all is the feature's `nan`. */
	if (feature->has_min && number < feature->min.f)
		return why_fail(why, ERANGE, "%s: %g is below min = %g", feature->name, number, feature->min.f);
	if (feature->has_max && number > feature->max.f)
		return why_fail(why, ERANGE, "%s: %g is above max = %g", feature->name, number, feature->max.f);
	return 0;
}

static int check_enum(const struct catalog_feature *feature, struct slice text, struct why *why)
{
	if (!feature->n_enums)
		return 0;
	for (unsigned i = 0; i < feature->n_enums; i++)
		if (slice_equal(text, slice_str(feature->enums[i])))
			return 0;
	return why_fail(why, EINVAL, "%s: \"%.*s\" is none of the values in enum", feature->name,
			(int)(text.len < 64 ? text.len : 64), (const char *)text.data);
}

static int check_number(const struct catalog_feature *feature, const uint8_t *at, struct why *why)
{
	char text[NUM_MAX];
	uint64_t u64;
	uint32_t u32;
	int64_t integer;
	double real;
	float narrow;
	int rc;

	switch (feature->type.base) {
	case TYPE_INT32:
		memcpy(&u32, at, sizeof u32);
		integer = (int32_t)le32toh(u32);
		break;
	case TYPE_INT64:
	case TYPE_TIMESTAMP:
		memcpy(&u64, at, sizeof u64);
		integer = (int64_t)le64toh(u64);
		break;
	case TYPE_FLOAT32:
		memcpy(&u32, at, sizeof u32);
		u32 = le32toh(u32);
		memcpy(&narrow, &u32, sizeof narrow);
		return check_real(feature, (double)narrow, why);
	case TYPE_FLOAT64:
		memcpy(&u64, at, sizeof u64);
		u64 = le64toh(u64);
		memcpy(&real, &u64, sizeof real);
		return check_real(feature, real, why);
	default:
		return 0;
	}
	rc = check_integer(feature, integer, why);
	if (rc < 0 || !feature->n_enums)
		return rc;
	return check_enum(feature, slice_of(text, num_print_i64(integer, text)), why);
}

/* Bytes of one element of a type whose elements are all of one size; 0 for the others. */
static size_t element_size(enum type_base base)
{
	switch (base) {
	case TYPE_BOOL:
		return 1;
	case TYPE_INT32:
	case TYPE_FLOAT32:
		return 4;
	case TYPE_INT64:
	case TYPE_FLOAT64:
	case TYPE_TIMESTAMP:
		return 8;
	default:
		return 0;
	}
}

static int check_length(const struct catalog_feature *feature, size_t length, const char *unit, struct why *why)
{
	if (!feature->has_max_length || length <= feature->max_length)
		return 0;
	return why_fail(why, EINVAL, "%s: %zu %s are more than max_length = %u", feature->name, length, unit, feature->max_length);
}

/* An array whose elements are stored with their lengths. */
static int check_long_elements(const struct catalog_feature *feature, struct slice value, struct why *why)
{
	const uint8_t *at = value.data, *end = at + value.len;
	size_t n = 0;

	for (; end - at >= 4; n++) {
		uint32_t len;
		int rc;

		memcpy(&len, at, sizeof len);
		len = le32toh(len);
		at += 4;
		if (len > (size_t)(end - at))
			break;
		rc = check_enum(feature, slice_of(at, len), why);
		if (rc < 0)
			return rc;
		at += len;
	}
	if (at != end)
		return why_fail(why, EINVAL, "%s: the array's bytes are damaged", feature->name);
	return check_length(feature, n, "elements", why);
}

static int check_rules(const struct catalog_feature *feature, struct slice value, struct why *why)
{
	size_t size = element_size(feature->type.base);
	const uint8_t *at = value.data;
	int rc;

	if (!feature->type.is_array) {
		if (size)
			return check_number(feature, at, why);
		rc = check_length(feature, value.len, "bytes", why);
		return rc < 0 ? rc : check_enum(feature, value, why);
	}
	if (!size)
		return check_long_elements(feature, value, why);
	rc = check_length(feature, value.len / size, "elements", why);
	for (size_t i = 0; rc == 0 && i + size <= value.len; i += size)
		rc = check_number(feature, at + i, why);
	return rc;
}

int ingest_check_value(const struct catalog_feature *feature, uint8_t type_code, const struct slice *value, struct why *why)
{
	struct buf wide = { 0 };
	struct slice bytes;
	int rc;

	if (!value)
		return feature->not_null ? why_fail(why, EINVAL, "%s: a null is refused by not_null", feature->name) : 0;
	if (value->len > TYPE_VALUE_MAX)
		return why_fail(why, EFBIG, "%s: %zu bytes are more than the %d that a value may have", feature->name, value->len,
				TYPE_VALUE_MAX);
	rc = type_widen(&feature->type, type_code, *value, &wide, &bytes);
	if (rc == -EBADMSG)
		rc = why_fail(why, EINVAL, "%s: the value's bytes are not of the feature's type", feature->name);
	if (rc == 0 && has_rules(feature))
		rc = check_rules(feature, bytes, why);
	buf_release(&wide);
	return rc;
}

/* The usual case, without a call: a value of the feature's very type, whose size is the type's, and no rule. */
static bool is_plain(const struct catalog_feature *feature, const struct record_cell *cell)
{
	return !feature->type.is_array && cell->type == (uint8_t)feature->type.base && !has_rules(feature) &&
	       cell->value.len == element_size(feature->type.base) && cell->value.len;
}

int check_record(const struct record *rec, const struct catalog_group *grp, uint16_t *out_slot, struct why *why)
{
	for (unsigned i = 0; i < rec->cells; i++) {
		const struct catalog_feature *feature;
		struct record_cell cell;
		int rc = 0;

		record_cell(rec, i, &cell);
		*out_slot = cell.slot;
		feature = catalog_feature_at(grp, cell.slot);
		if (!feature || feature->retired)
			return why_fail(why, EPERM, "%s is retired or not declared in .schema", feature ? feature->name : "the feature");
		if (cell.state == RECORD_PRESENT && is_plain(feature, &cell))
			continue;
		if (cell.state == RECORD_PRESENT)
			rc = ingest_check_value(feature, cell.type, &cell.value, why);
		else if (cell.state == RECORD_NULL)
			rc = ingest_check_value(feature, 0, NULL, why);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int ingest_check_time(const struct ingest *ingest, int64_t event_ns, struct why *why)
{
	const struct merge_clock clock = { .now_ns = clock_now(), .future_ns = ingest->options.future_ns };

	return merge_check_future(event_ns, &clock, why);
}
