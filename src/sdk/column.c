/* SPDX-License-Identifier: MIT */
/*
 * Values into the caller's columns: the stored bytes are little-endian and packed, as the columns of the machines that this runs on are, so a
 * fixed-width value is one copy of a known size, and nothing is in between. What its type's definition has widened since it was
 * stored, and what the caller wants as another kind of number, takes the slower way.
 */
#include "sdk/private.h"

#include <endian.h>
#include <errno.h>
#include <math.h>
#include <string.h>

_Static_assert(__BYTE_ORDER == __LITTLE_ENDIAN, "stored values are copied into columns as they are");

static const uint8_t base_width[] = {
	[TYPE_BOOL] = 1, [TYPE_INT32] = 4, [TYPE_INT64] = 8, [TYPE_FLOAT32] = 4, [TYPE_FLOAT64] = 8, [TYPE_TIMESTAMP] = 8, [TYPE_JSON] = 0,
};

_Static_assert((int)FEATUREFS_BOOL == (int)TYPE_BOOL && (int)FEATUREFS_INT32 == (int)TYPE_INT32 &&
	       (int)FEATUREFS_INT64 == (int)TYPE_INT64 && (int)FEATUREFS_FLOAT32 == (int)TYPE_FLOAT32 &&
	       (int)FEATUREFS_FLOAT64 == (int)TYPE_FLOAT64 && (int)FEATUREFS_STRING == (int)TYPE_STRING &&
	       (int)FEATUREFS_BYTES == (int)TYPE_BYTES && (int)FEATUREFS_TIMESTAMP == (int)TYPE_TIMESTAMP &&
	       (int)FEATUREFS_JSON == (int)TYPE_JSON, "the header's types are the catalog's");
_Static_assert((int)FEATUREFS_PRESENT == (int)SERVE_PRESENT && (int)FEATUREFS_NULL == (int)SERVE_NULL &&
	       (int)FEATUREFS_MISSING == (int)SERVE_MISSING && (int)FEATUREFS_EXPIRED == (int)SERVE_EXPIRED, "the same of statuses");

size_t column_width(const struct type *type)
{
	if (type->is_array && !type->length)
		return 0;
	return (size_t)base_width[type->base] * (type->is_array ? type->length : 1);
}

static bool is_number(const struct type *type)
{
	return base_width[type->base] != 0 && column_width(type) != 0;
}

static enum column_kind kind_of(const struct type *type)
{
	size_t width = column_width(type);

	switch (width) {
	case 0:
		return type->is_array && !base_width[type->base] ? COLUMN_JSON : COLUMN_BYTES;
	case 1:
		return COLUMN_1;
	case 4:
		return COLUMN_4;
	case 8:
		return COLUMN_8;
	default:
		return COLUMN_WIDE;
	}
}

void column_init(struct column_sink *sink, const struct view_column *column)
{
	const struct type *type = &column->type;

	*sink = (struct column_sink){ .column = column, .own_width = column_width(type), .own_kind = (uint8_t)kind_of(type),
				      .code = type_code(type), .unit = 1 };
	if (type->is_array && base_width[type->base])
		sink->unit = base_width[type->base];
}

void column_release(struct column_sink *sink)
{
	buf_release(&sink->wide);
	buf_release(&sink->text);
}

static int take_as(struct column_sink *sink, enum featurefs_type as, struct why *why)
{
	const struct type *type = &sink->column->type;

	if ((as != FEATUREFS_FLOAT32 && as != FEATUREFS_FLOAT64) || !is_number(type))
		return why_fail(why, EINVAL, "column %s: %s can be had as it is, and numbers of fixed width as float32 or float64",
				sink->column->name, sink->column->type_name);
	if ((int)as == (int)type->base)
		return 0;
	sink->kind = as == FEATUREFS_FLOAT32 ? COLUMN_F32 : COLUMN_F64;
	sink->lanes = type->is_array ? type->length : 1;
	sink->width = (as == FEATUREFS_FLOAT32 ? sizeof(float) : sizeof(double)) * sink->lanes;
	return 0;
}

int column_begin(struct column_sink *sink, struct featurefs_column *out, size_t n, struct why *why)
{
	sink->out = out;
	sink->values = out->values;
	sink->kind = sink->own_kind;
	sink->width = sink->own_width;
	if (out->as) {
		int rc = take_as(sink, out->as, why);

		if (rc < 0)
			return rc;
	}
	sink->stride = sink->width;
	if (out->stride) {
		if (out->stride < sink->width)
			return why_fail(why, EINVAL, "column %s: a value has %zu bytes, the stride is %zu", sink->column->name, sink->width,
					out->stride);
		sink->stride = out->stride;
	}
	if (!sink->width && !out->values != !out->offsets)
		return why_fail(why, EINVAL, "column %s: the length of a %s varies, so it needs both values and offsets", sink->column->name,
				sink->column->type_name);
	column_restart(sink, n);
	return 0;
}

void column_restart(struct column_sink *sink, size_t n)
{
	sink->used = sink->present = 0;
	if (!sink->width && sink->out->offsets)
		sink->out->offsets[0] = 0;
	if (sink->out->validity && n <= 8)
		sink->out->validity[0] = 0;
	else if (sink->out->validity)
		memset(sink->out->validity, 0, (n + 7) / 8);
}

/* ---- one value ---- */

static double load_number(enum type_base base, const uint8_t *p)
{
	int32_t i32;
	int64_t i64;
	float f32;
	double f64;

	switch (base) {
	case TYPE_BOOL:
		return *p;
	case TYPE_INT32:
		memcpy(&i32, p, sizeof i32);
		return i32;
	case TYPE_FLOAT32:
		memcpy(&f32, p, sizeof f32);
		return (double)f32;
	case TYPE_FLOAT64:
		memcpy(&f64, p, sizeof f64);
		return f64;
	default:
		memcpy(&i64, p, sizeof i64);
		return (double)i64;
	}
}

/* Elements as another kind of number; NaN where there is no value. */
static void put_numbers(const struct column_sink *sink, char *at, const uint8_t *from)
{
	for (uint32_t i = 0; i < sink->lanes; i++) {
		double number = from ? load_number(sink->column->type.base, from + (size_t)i * base_width[sink->column->type.base]) : (double)NAN;
		float narrow = (float)number;

		if (sink->kind == COLUMN_F32)
			memcpy(at + i * sizeof narrow, &narrow, sizeof narrow);
		else
			memcpy(at + i * sizeof number, &number, sizeof number);
	}
}

static void put_nothing(const struct column_sink *sink, char *at)
{
	static const float f32 = NAN;
	static const double f64 = (double)NAN;
	size_t size;

	if (sink->kind == COLUMN_F32 || sink->kind == COLUMN_F64) {
		put_numbers(sink, at, NULL);
		return;
	}
	if (sink->column->type.base != TYPE_FLOAT32 && sink->column->type.base != TYPE_FLOAT64) {
		memset(at, 0, sink->width);
		return;
	}
	size = base_width[sink->column->type.base];
	for (size_t i = 0; i < sink->width; i += size)
		memcpy(at + i, sink->column->type.base == TYPE_FLOAT32 ? (const void *)&f32 : (const void *)&f64, size);
}

static void put_fixed(const struct column_sink *sink, char *at, const void *from)
{
	switch (sink->kind) {
	case COLUMN_1:
		memcpy(at, from, 1);
		break;
	case COLUMN_4:
		memcpy(at, from, 4);
		break;
	case COLUMN_8:
		memcpy(at, from, 8);
		break;
	case COLUMN_WIDE:
		memcpy(at, from, sink->width);
		break;
	default:
		put_numbers(sink, at, from);
		break;
	}
}

/* Bytes behind those that are there; what doesn't fit is counted, for the caller to make room. */
static void append(struct column_sink *sink, struct slice bytes)
{
	if (bytes.len && sink->used <= sink->out->values_room && bytes.len <= sink->out->values_room - sink->used)
		memcpy((char *)sink->out->values + sink->used, bytes.data, bytes.len);
	sink->used += bytes.len;
}

static int put_text(struct column_sink *sink, struct slice bytes)
{
	int rc;

	buf_reset(&sink->text);
	rc = type_json_print(&sink->column->type, bytes, &sink->text);
	if (rc == 0)
		rc = buf_error(&sink->text);
	if (rc == 0)
		append(sink, buf_slice(&sink->text));
	return rc;
}

static int put_present(struct column_sink *sink, size_t i, const struct record_picked *value)
{
	struct slice bytes = value->value;
	int rc = 0;

	if (value->type != sink->code)
		rc = type_widen(&sink->column->type, value->type, value->value, &sink->wide, &bytes);
	if (rc < 0)
		return rc;
	if ((sink->own_width && bytes.len != sink->own_width) || (sink->unit > 1 && bytes.len % sink->unit))
		return -EBADMSG;
	if (sink->own_width)
		put_fixed(sink, sink->values + i * sink->stride, bytes.data);
	else if (sink->kind == COLUMN_JSON)
		rc = put_text(sink, bytes);
	else
		append(sink, bytes);
	return rc;
}

int column_put_any(struct column_sink *sink, size_t i, const struct record_picked *value)
{
	struct featurefs_column *out = sink->out;
	int rc = 0;

	if (out->status)
		out->status[i] = value->state;
	if (out->event_ns)
		out->event_ns[i] = value->event_ns;
	if (value->state == FEATUREFS_PRESENT) {
		sink->present++;
		if (out->validity)
			out->validity[i / 8] |= (uint8_t)(1u << (i % 8));
		if (sink->values)
			rc = put_present(sink, i, value);
	} else if (sink->values && sink->width) {
		put_nothing(sink, sink->values + i * sink->stride);
	}
	if (!sink->width && out->offsets)
		out->offsets[i + 1] = (int64_t)(sink->unit > 1 ? sink->used / sink->unit : sink->used);
	return rc;
}

int column_end(struct column_sink *sink)
{
	sink->out->values_len = sink->used;
	sink->out->n_present = sink->present;
	return !sink->width && sink->values && sink->used > sink->out->values_room ? -ENOBUFS : 0;
}
