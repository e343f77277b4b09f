/* SPDX-License-Identifier: MIT */
/*
 * A value of a datum as stored bytes of a feature's type, as text of an entity's name, as a time. Numbers go over in binary and are judged by
 * the catalog's own reader of .bin. What has no such form, a json feature or an array whose elements vary in length, goes over as JSON.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include "base/num.h"
#include "store/store.h"
#include "stream/avro_state.h"

enum { DECIMAL_BYTES_MAX = 16 };

static const struct avro_found *find(const struct document *doc, unsigned leaf, const struct avro_type **out_type, struct avro_cursor *out,
				struct why *why)
{
	const struct avro_state *state = doc->state;
	const struct avro_found *found = &state->found[leaf];

	if (!found->is_there)
		return NULL;
	*out = (struct avro_cursor){ state->schema, found->bytes.data, (const uint8_t *)found->bytes.data + found->bytes.len,
				found->bytes.len + AVRO_ITEMS_SPARE, 0, why };
	*out_type = &out->schema->types[found->type];
	return found;
}

static int refuse_kind(const struct avro_type *type, const char *wants, struct why *why)
{
	return why_fail(why, EINVAL, "Avro %s where %s belongs", avro_kind_name(type->kind), wants);
}

static uint64_t load_le(const uint8_t *p, unsigned bytes)
{
	uint64_t value = 0;

	while (bytes--)
		value = value << 8 | p[bytes];
	return value;
}

/* A float or double. */
static int take_real(struct avro_cursor *c, const struct avro_type *type, double *out)
{
	struct slice bytes = { 0 };
	uint64_t bits;
	uint32_t narrow_bits;
	float narrow;
	int rc = avro_take_bytes(c, type->kind == AVRO_FLOAT ? 4 : 8, &bytes);

	if (rc < 0)
		return rc;
	bits = load_le(bytes.data, (unsigned)bytes.len);
	if (type->kind == AVRO_DOUBLE) {
		memcpy(out, &bits, sizeof bits);
		return 0;
	}
	narrow_bits = (uint32_t)bits;
	memcpy(&narrow, &narrow_bits, sizeof narrow);
	*out = (double)narrow;
	return 0;
}

/* The unscaled number is big-endian in two's complement. */
static int print_decimal(const struct avro_type *type, struct slice bytes, struct buf *out, struct why *why)
{
	const uint8_t *p = bytes.data;
	char digits[64];
	unsigned __int128 size;
	__int128 value;
	size_t n = 0;

	if (!bytes.len || bytes.len > DECIMAL_BYTES_MAX)
		return why_fail(why, EINVAL, "a decimal of %zu bytes; up to %d are read", bytes.len, DECIMAL_BYTES_MAX);
	value = p[0] & 128 ? -1 : 0;
	for (size_t i = 0; i < bytes.len; i++)
		value = (__int128)((unsigned __int128)value << 8 | p[i]);
	size = value < 0 ? 0 - (unsigned __int128)value : (unsigned __int128)value;
	while (size || n <= type->scale) {
		digits[n++] = (char)('0' + (int)(size % 10));
		size /= 10;
	}
	if (value < 0)
		buf_append_char(out, '-');
	while (n) {
		buf_append_char(out, digits[--n]);
		if (n && n == type->scale)
			buf_append_char(out, '.');
	}
	return buf_error(out);
}

/* The bytes of a text-like value: string, bytes, fixed, an enum's symbol. */
static int take_text(struct avro_cursor *c, const struct avro_type *type, struct slice *out)
{
	unsigned symbol;
	int rc;

	if (type->kind == AVRO_FIXED)
		return avro_take_bytes(c, type->size, out);
	if (type->kind != AVRO_ENUM)
		return avro_take_counted(c, out);
	rc = avro_take_index(c, type, &symbol);
	if (rc == 0)
		*out = avro_members(c->schema, type)[symbol].name;
	return rc;
}

/* A time as microseconds; a whole number that says nothing of itself is in seconds, as it is everywhere. */
static int to_us(const struct avro_type *type, int64_t number, int64_t *out, struct why *why)
{
	static const int64_t scales[] = { [AVRO_PLAIN] = 1000000, [AVRO_DATE] = 86400000000, [AVRO_MILLIS] = 1000, [AVRO_MICROS] = 1 };

	if (type->logical == AVRO_NANOS) {
		*out = number / 1000 - (number % 1000 < 0);
		return 0;
	}
	if (__builtin_mul_overflow(number, scales[type->logical], out))
		return why_fail(why, ERANGE, "the time is out of range: 1677-09-21 to 2262-04-11");
	return 0;
}

static int integer_bytes(const struct type *wants, const struct avro_type *type, int64_t number, struct buf *out, struct why *why)
{
	double wide = (double)number;
	float narrow = (float)number;
	uint64_t bits;
	uint32_t narrow_bits;
	int64_t us;
	int rc;

	switch (wants->base) {
	case TYPE_INT32:
		if (number < INT32_MIN || number > INT32_MAX)
			return why_fail(why, ERANGE, "%lld is out of the range of int32", (long long)number);
		buf_append_u32(out, (uint32_t)number);
		return 0;
	case TYPE_INT64:
		buf_append_u64(out, (uint64_t)number);
		return 0;
	case TYPE_FLOAT32:
		memcpy(&narrow_bits, &narrow, sizeof narrow);
		buf_append_u32(out, narrow_bits);
		return 0;
	case TYPE_FLOAT64:
		memcpy(&bits, &wide, sizeof wide);
		buf_append_u64(out, bits);
		return 0;
	case TYPE_TIMESTAMP:
		rc = to_us(type, number, &us, why);
		if (rc == 0)
			buf_append_u64(out, (uint64_t)us);
		return rc;
	default:
		return refuse_kind(type, "no number", why);
	}
}

static int real_bytes(const struct type *wants, const struct avro_type *type, double number, struct buf *out, struct why *why)
{
	float narrow = (float)number;
	uint64_t bits;
	uint32_t narrow_bits;
	int64_t ns;
	int rc;

	switch (wants->base) {
	case TYPE_FLOAT32:
		if (isfinite(number) && isinf(narrow))
			return why_fail(why, ERANGE, "%g is out of the range of float32", number);
		memcpy(&narrow_bits, &narrow, sizeof narrow);
		buf_append_u32(out, narrow_bits);
		return 0;
	case TYPE_FLOAT64:
		memcpy(&bits, &number, sizeof number);
		buf_append_u64(out, bits);
		return 0;
	case TYPE_TIMESTAMP:
		rc = moment_of_double(number, MOMENT_S, &ns, why);
		if (rc == 0)
			buf_append_u64(out, (uint64_t)(ns / 1000 - (ns % 1000 < 0)));
		return rc;
	default:
		return refuse_kind(type, "no number with a fraction", why);
	}
}

/* Text of a time or a decimal by the type's own reader, or the bytes as they are. */
static int text_bytes(struct avro_state *state, const struct type *wants, bool nan, const struct avro_type *type, struct slice text, struct buf *out,
		      struct why *why)
{
	struct type one = { .base = wants->base };
	bool is_text = type->kind == AVRO_STRING || type->kind == AVRO_ENUM;
	int rc;

	if (type->logical == AVRO_DECIMAL && wants->base != TYPE_BYTES) {
		if (wants->base == TYPE_BOOL || wants->base == TYPE_TIMESTAMP)
			return refuse_kind(type, "no decimal number", why);
		buf_reset(&state->text);
		rc = print_decimal(type, text, &state->text, why);
		return rc < 0 ? rc : type_text_parse(&one, nan, buf_slice(&state->text), out, why);
	}
	if (wants->base == TYPE_TIMESTAMP && is_text)
		return type_text_parse(&one, nan, text, out, why);
	if (wants->base != (is_text ? TYPE_STRING : TYPE_BYTES))
		return refuse_kind(type, is_text ? "no text" : "no bytes", why);
	buf_append_slice(out, text);
	return 0;
}

/* Appends the stored bytes of one value of the base type, unchecked. */
static int scalar_bytes(struct avro_state *state, struct avro_cursor *c, unsigned number, const struct catalog_feature *feature, struct buf *out)
{
	const struct avro_type *type = &c->schema->types[number];
	const struct type *wants = &feature->type;
	struct slice text;
	int64_t integer;
	unsigned branch;
	double real;
	int rc;

	switch (type->kind) {
	case AVRO_BOOLEAN:
		rc = avro_take_bytes(c, 1, &text);
		if (rc == 0 && wants->base != TYPE_BOOL)
			return refuse_kind(type, "no bool", c->why);
		if (rc == 0)
			buf_append_slice(out, text);
		return rc;
	case AVRO_INT:
	case AVRO_LONG:
		rc = avro_take_integer(c, type, &integer);
		return rc < 0 ? rc : integer_bytes(wants, type, integer, out, c->why);
	case AVRO_FLOAT:
	case AVRO_DOUBLE:
		rc = take_real(c, type, &real);
		return rc < 0 ? rc : real_bytes(wants, type, real, out, c->why);
	case AVRO_BYTES:
	case AVRO_STRING:
	case AVRO_FIXED:
	case AVRO_ENUM:
		rc = take_text(c, type, &text);
		return rc < 0 ? rc : text_bytes(state, wants, feature->nan, type, text, out, c->why);
	case AVRO_UNION:	/* of an array's items */
		rc = avro_take_index(c, type, &branch);
		return rc < 0 ? rc : scalar_bytes(state, c, avro_members(c->schema, type)[branch].type, feature, out);
	case AVRO_NULL:
		return why_fail(c->why, EINVAL, "null can't stand inside an array");
	default:
		return refuse_kind(type, "a single value", c->why);
	}
}

static int array_bytes(struct avro_state *state, struct avro_cursor *c, const struct avro_type *type, const struct catalog_feature *feature,
		       struct buf *out)
{
	uint64_t count, index = 0;
	int64_t size;
	int rc;

	while ((rc = avro_take_block(c, &count, &size)) == 0 && count)
		while (count--) {
			rc = avro_take_item(c);
			if (rc == 0)
				rc = scalar_bytes(state, c, avro_members(c->schema, type)->type, feature, out);
			if (rc == 0 && out->len > TYPE_VALUE_MAX)
				rc = why_fail(c->why, EFBIG, "a value is at most %d bytes", TYPE_VALUE_MAX);
			if (rc < 0) {
				why_prefix(c->why, "element %llu", (unsigned long long)index);
				return rc;
			}
			index++;
		}
	if (rc == 0 && feature->type.length && index != feature->type.length)
		rc = why_fail(c->why, EINVAL, "%u elements belong here; there are %llu", feature->type.length, (unsigned long long)index);
	return rc;
}

/* ---- JSON of anything: json features, and arrays whose elements vary in length ---- */

static int print_json(struct avro_state *state, struct avro_cursor *c, unsigned number, struct buf *out);

static int print_text(struct avro_cursor *c, enum type_base base, struct slice bytes, struct buf *out)
{
	int rc = type_json_print(&(struct type){ .base = base }, bytes, out);

	return rc == -EBADMSG ? why_fail(c->why, EILSEQ, "a text is not UTF-8") : rc;
}

static int print_number(struct avro_state *state, struct avro_cursor *c, const struct avro_type *type, struct buf *out)
{
	struct type wants = { .base = type->kind == AVRO_FLOAT ? TYPE_FLOAT32 : type->kind == AVRO_DOUBLE ? TYPE_FLOAT64 :
				      type->logical != AVRO_PLAIN ? TYPE_TIMESTAMP : TYPE_INT64 };
	int64_t integer = 0;
	double real = 0;
	int rc;

	buf_reset(&state->text);
	if (type->kind == AVRO_FLOAT || type->kind == AVRO_DOUBLE) {
		rc = take_real(c, type, &real);
		rc = rc < 0 ? rc : real_bytes(&wants, type, real, &state->text, c->why);
	} else {
		rc = avro_take_integer(c, type, &integer);
		rc = rc < 0 ? rc : integer_bytes(&wants, type, integer, &state->text, c->why);
	}
	if (rc == 0)
		rc = buf_error(&state->text);
	if (rc == 0)
		rc = type_json_print(&wants, buf_slice(&state->text), out);
	return rc == -EBADMSG ? why_fail(c->why, ERANGE, "the time is out of range: 1677-09-21 to 2262-04-11") : rc;
}

static int print_record(struct avro_state *state, struct avro_cursor *c, const struct avro_type *type, struct buf *out)
{
	const struct avro_member *members = avro_members(c->schema, type);
	int rc = 0;

	buf_append_char(out, '{');
	for (unsigned i = 0; rc == 0 && i < type->count; i++) {
		if (i)
			buf_append_char(out, ',');
		rc = print_text(c, TYPE_STRING, members[i].name, out);
		buf_append_char(out, ':');
		if (rc == 0)
			rc = print_json(state, c, members[i].type, out);
	}
	buf_append_char(out, '}');
	return rc;
}

static int print_item(struct avro_state *state, struct avro_cursor *c, const struct avro_type *type, bool is_first, struct buf *out)
{
	struct slice name;
	int rc = avro_take_item(c);

	if (!is_first)
		buf_append_char(out, ',');
	if (rc == 0 && type->kind == AVRO_MAP) {
		rc = avro_take_counted(c, &name);
		if (rc == 0)
			rc = print_text(c, TYPE_STRING, name, out);
		buf_append_char(out, ':');
	}
	if (rc == 0)
		rc = print_json(state, c, avro_members(c->schema, type)->type, out);
	if (rc == 0 && out->len > 2 * TYPE_VALUE_MAX)
		rc = why_fail(c->why, EFBIG, "a value is at most %d bytes", TYPE_VALUE_MAX);
	return rc;
}

static int print_blocks(struct avro_state *state, struct avro_cursor *c, const struct avro_type *type, struct buf *out)
{
	bool is_first = true;
	uint64_t count;
	int64_t size;
	int rc;

	buf_append_char(out, type->kind == AVRO_MAP ? '{' : '[');
	while ((rc = avro_take_block(c, &count, &size)) == 0 && count)
		for (; count--; is_first = false) {
			rc = print_item(state, c, type, is_first, out);
			if (rc < 0)
				return rc;
		}
	buf_append_char(out, type->kind == AVRO_MAP ? '}' : ']');
	return rc;
}

static int print_inner(struct avro_state *state, struct avro_cursor *c, const struct avro_type *type, struct buf *out)
{
	unsigned branch;
	int rc = avro_enter(c);

	if (rc == 0 && type->kind == AVRO_UNION) {
		rc = avro_take_index(c, type, &branch);
		if (rc == 0)
			rc = print_json(state, c, avro_members(c->schema, type)[branch].type, out);
	} else if (rc == 0) {
		rc = type->kind == AVRO_RECORD ? print_record(state, c, type, out) : print_blocks(state, c, type, out);
	}
	c->depth--;
	return rc;
}

static int print_json(struct avro_state *state, struct avro_cursor *c, unsigned number, struct buf *out)
{
	const struct avro_type *type = &c->schema->types[number];
	struct slice bytes = { 0 };
	int rc;

	switch (type->kind) {
	case AVRO_NULL:
		buf_append_str(out, "null");
		return 0;
	case AVRO_BOOLEAN:
		rc = avro_take_bytes(c, 1, &bytes);
		if (rc == 0)
			buf_append_str(out, *(const uint8_t *)bytes.data ? "true" : "false");
		return rc;
	case AVRO_INT:
	case AVRO_LONG:
	case AVRO_FLOAT:
	case AVRO_DOUBLE:
		return print_number(state, c, type, out);
	case AVRO_STRING:
	case AVRO_ENUM:
		rc = take_text(c, type, &bytes);
		return rc < 0 ? rc : print_text(c, TYPE_STRING, bytes, out);
	case AVRO_BYTES:
	case AVRO_FIXED:
		rc = take_text(c, type, &bytes);
		if (rc < 0)
			return rc;
		return type->logical == AVRO_DECIMAL ? print_decimal(type, bytes, out, c->why) : print_text(c, TYPE_BYTES, bytes, out);
	default:
		return print_inner(state, c, type, out);
	}
}

/* ---- leaves ---- */

int avro_part(const struct document *doc, unsigned leaf, struct buf *out, struct why *why)
{
	const struct avro_type *type;
	struct avro_cursor c;
	struct slice text;
	int64_t integer;
	char digits[NUM_MAX];
	int rc;

	if (!find(doc, leaf, &type, &c, why))
		return -ENOENT;
	if (type->kind == AVRO_INT || type->kind == AVRO_LONG) {
		rc = avro_take_integer(&c, type, &integer);
		if (rc == 0)
			buf_append(out, digits, num_print_i64(integer, digits));
		return rc < 0 ? rc : buf_error(out);
	}
	if (type->kind != AVRO_STRING && type->kind != AVRO_ENUM)
		return refuse_kind(type, "a string or an integer", why);
	rc = take_text(&c, type, &text);
	if (rc == 0)
		buf_append_slice(out, text);
	return rc < 0 ? rc : buf_error(out);
}

int avro_time(const struct document *doc, unsigned leaf, enum moment_unit unit, int64_t *out_ns, struct why *why)
{
	static const enum moment_unit units[] = { [AVRO_MILLIS] = MOMENT_MS, [AVRO_MICROS] = MOMENT_US, [AVRO_NANOS] = MOMENT_NS };
	const struct avro_type *type;
	struct avro_cursor c;
	struct slice text;
	int64_t integer;
	double real;
	int rc;

	if (!find(doc, leaf, &type, &c, why))
		return -ENOENT;
	switch (type->kind) {
	case AVRO_INT:
	case AVRO_LONG:
		rc = avro_take_integer(&c, type, &integer);
		if (rc < 0)
			return rc;
		if (type->logical == AVRO_DATE)
			return moment_of_int(integer * 86400, MOMENT_S, out_ns, why);
		/* What the schema says goes before what the mapping says of it. */
		return moment_of_int(integer, type->logical == AVRO_PLAIN ? unit : units[type->logical], out_ns, why);
	case AVRO_FLOAT:
	case AVRO_DOUBLE:
		rc = take_real(&c, type, &real);
		return rc < 0 ? rc : moment_of_double(real, unit, out_ns, why);
	case AVRO_STRING:
		rc = avro_take_counted(&c, &text);
		return rc < 0 ? rc : moment_parse(text, unit, out_ns, why);
	default:
		return refuse_kind(type, "a time", why);
	}
}

bool avro_matches(const struct document *doc, unsigned leaf, struct slice value)
{
	struct avro_state *state = doc->state;
	const struct avro_type *type;
	struct avro_cursor c;
	struct slice text;

	if (!find(doc, leaf, &type, &c, NULL))
		return false;
	if (type->kind == AVRO_STRING || type->kind == AVRO_ENUM)
		return take_text(&c, type, &text) == 0 && slice_equal(text, value);
	if (type->kind >= AVRO_RECORD)
		return false;
	buf_reset(&state->scratch);
	return print_json(state, &c, state->found[leaf].type, &state->scratch) == 0 && slice_equal(buf_slice(&state->scratch), value);
}

int avro_value(const struct document *doc, unsigned leaf, const struct catalog_feature *feature, struct buf *out,
		      uint8_t *out_state, struct why *why)
{
	struct avro_state *state = doc->state;
	const struct type *wants = &feature->type;
	bool is_fixed_size = wants->base != TYPE_STRING && wants->base != TYPE_BYTES;
	const struct avro_type *type;
	struct avro_cursor c;
	int rc;

	if (!find(doc, leaf, &type, &c, why))
		return -ENOENT;
	*out_state = type->kind == AVRO_NULL ? RECORD_NULL : RECORD_PRESENT;
	if (type->kind == AVRO_NULL)
		return 0;
	buf_reset(&state->scratch);
	if (wants->is_array && type->kind != AVRO_ARRAY)
		return refuse_kind(type, "an array", why);
	if (wants->base == TYPE_JSON || (wants->is_array && !is_fixed_size)) {
		rc = print_json(state, &c, state->found[leaf].type, &state->scratch);
		if (rc == 0)
			rc = buf_error(&state->scratch);
		return rc < 0 ? rc : type_text_parse(wants, feature->nan, buf_slice(&state->scratch), out, why);
	}
	rc = wants->is_array ? array_bytes(state, &c, type, feature, &state->scratch)
			     : scalar_bytes(state, &c, state->found[leaf].type, feature, &state->scratch);
	if (rc == 0)
		rc = buf_error(&state->scratch);
	return rc < 0 ? rc : type_bin_parse(wants, feature->nan, buf_slice(&state->scratch), out, why);
}
