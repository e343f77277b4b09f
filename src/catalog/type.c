/* SPDX-License-Identifier: MIT */
/*
 * Types and their forms. What a single value looks like is in scalar.c; here is what comes around it: names, arrays,
 * the newline of file text, bounds of size, widening. File text of an array is its JSON, so both forms share one reader
 * and one writer. A parser that fails leaves `out` as it was. What is accepted in any form can be printed as text and
 * written back: an array whose text would be too long is refused, be its stored bytes ever so few.
 */
#include "catalog/type.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include "base/num.h"
#include "base/text.h"
#include "catalog/scalar.h"

enum {
	CODE_ARRAY = 32,		/* bit of a type's code */
	TEXT_RATIO = 6,			/* no stored byte needs more than this many of text */
	NUMBER_TEXT_MAX = 1100,		/* num.c reads no longer number */
	TIME_TEXT_MAX = 48,
};

static const char type_names[] =
	"bool, int32, int64, float32, float64, string, bytes, timestamp, json, each also as array: T[] or T[N]";

/* ---- names ---- */

static uint32_t length_max(enum type_base base)
{
	unsigned size = scalar_of(base)->size;

	return TYPE_VALUE_MAX / (size ? size : sizeof(uint32_t));
}

int type_parse(struct slice text, struct type *out, struct why *why)
{
	const char *p = text.data;
	const char *bracket = text.len ? memchr(p, '[', text.len) : NULL;
	size_t name_len = bracket ? (size_t)(bracket - p) : text.len;
	struct type type = { .is_array = bracket != NULL };
	struct slice length = { bracket ? bracket + 1 : NULL, bracket ? text.len - name_len - 1 : 0 };
	uint64_t n;

	if (!scalar_find(slice_of(p, name_len), &type.base) || (bracket && p[text.len - 1] != ']'))
		return why_fail(why, EINVAL, "\"%.*s\" is no type; types are %s", (int)(text.len < 40 ? text.len : 40),
				text.len ? p : "", type_names);
	if (!bracket || length.len == 1) {
		*out = type;
		return 0;
	}
	length.len--;
	if (bracket[1] == '0' || bracket[1] == '+' || num_parse_u64(length, &n) < 0 || n > length_max(type.base))
		return why_fail(why, EINVAL, "the length of an array of %s is a number from 1 to %u",
				scalar_of(type.base)->name, length_max(type.base));
	type.length = (uint32_t)n;
	*out = type;
	return 0;
}

size_t type_print(const struct type *type, char out[TYPE_NAME_MAX])
{
	const char *name = scalar_of(type->base)->name;
	int len;

	if (!type->is_array)
		len = snprintf(out, TYPE_NAME_MAX, "%s", name);
	else if (!type->length)
		len = snprintf(out, TYPE_NAME_MAX, "%s[]", name);
	else
		len = snprintf(out, TYPE_NAME_MAX, "%s[%u]", name, type->length);
	return (size_t)len;
}

bool type_equal(const struct type *a, const struct type *b)
{
	return a->base == b->base && a->is_array == b->is_array && a->length == b->length;
}

static bool base_widens(enum type_base from, enum type_base to)
{
	return from == to || (from == TYPE_INT32 && to == TYPE_INT64) || (from == TYPE_FLOAT32 && to == TYPE_FLOAT64);
}

bool type_widens(const struct type *from, const struct type *to)
{
	return base_widens(from->base, to->base) && from->is_array == to->is_array &&
		(from->length == to->length || !to->length);
}

uint8_t type_code(const struct type *type)
{
	return (uint8_t)(type->base | (type->is_array ? CODE_ARRAY : 0));
}

/* ---- arrays in stored form ---- */

/* Takes the next element off the front of `rest`. 0, or -EBADMSG. */
static int take_element(const struct scalar *scalar, struct slice *rest, struct slice *out)
{
	const uint8_t *p = rest->data;
	size_t head = scalar->size ? 0 : sizeof(uint32_t), len;

	if (rest->len < head)
		return -EBADMSG;
	len = scalar->size ? scalar->size : (size_t)scalar_load(p, sizeof(uint32_t));
	if (len > rest->len - head)
		return -EBADMSG;
	*out = slice_of(p + head, len);
	*rest = slice_of(p + head + len, rest->len - head - len);
	return 0;
}

/* Is the value of a size that the type can have? O(1); elements that vary in length are judged where they are taken. */
static bool size_fits(const struct type *type, size_t len)
{
	unsigned size = scalar_of(type->base)->size;

	if (!size)
		return true;
	if (!type->is_array)
		return len == size;
	return len % size == 0 && (!type->length || len / size == type->length);
}

/* ---- widening ---- */

static void widen_element(enum type_base from, const uint8_t *p, struct buf *out)
{
	uint64_t bits;
	double wide;

	if (from == TYPE_INT32) {
		buf_append_u64(out, (uint64_t)(int64_t)(int32_t)scalar_load(p, 4));
		return;
	}
	wide = (double)scalar_load_f32(p);
	memcpy(&bits, &wide, sizeof(bits));
	buf_append_u64(out, bits);
}

int type_widen(const struct type *type, uint8_t code, struct slice value, struct buf *scratch, struct slice *out)
{
	struct type from = { .base = code & (CODE_ARRAY - 1), .is_array = code & CODE_ARRAY, .length = type->length };
	const uint8_t *p = value.data;

	if (code > (CODE_ARRAY | TYPE_JSON) || from.base < TYPE_BOOL || from.base > TYPE_JSON ||
	    from.is_array != type->is_array || !base_widens(from.base, type->base) || !size_fits(&from, value.len))
		return -EBADMSG;
	if (from.base == type->base) {
		*out = value;
		return 0;
	}
	buf_reset(scratch);
	for (size_t i = 0; i < value.len; i += scalar_of(from.base)->size)
		widen_element(from.base, p + i, scratch);
	*out = buf_slice(scratch);
	return buf_error(scratch);
}

/* ---- parsing ---- */

static int refuse_size(struct why *why)
{
	return why_fail(why, EFBIG, "a value is at most %d bytes", TYPE_VALUE_MAX);
}

static int refuse_length(const struct type *type, size_t found, struct why *why)
{
	char name[TYPE_NAME_MAX];

	type_print(type, name);
	return why_fail(why, EINVAL, "%s has %u elements; here are %zu", name, type->length, found);
}

static int parse_element(const struct scalar *scalar, bool nan, yyjson_val *json, struct buf *out, struct why *why)
{
	size_t head = out->len;
	int rc;

	if (yyjson_is_null(json))
		return why_fail(why, EINVAL, "null can't stand inside an array");
	if (scalar->size)
		return scalar->parse_json(json, nan, out, why);
	buf_append_u32(out, 0);
	rc = scalar->parse_json(json, nan, out, why);
	if (rc == 0 && !buf_error(out)) {
		uint32_t len = (uint32_t)(out->len - head - sizeof(len));

		for (unsigned i = 0; i < sizeof(len); i++)
			out->data[head + i] = (char)(len >> (8 * i));
	}
	return rc;
}

static int parse_array(const struct type *type, bool nan, yyjson_val *json, struct buf *out, struct why *why)
{
	const struct scalar *scalar = scalar_of(type->base);
	size_t start = out->len, i = 0, n;
	yyjson_arr_iter iter;
	yyjson_val *element;

	if (!yyjson_is_arr(json))
		return why_fail(why, EINVAL, "JSON %s where an array belongs", yyjson_get_type_desc(json));
	n = yyjson_arr_size(json);
	if (type->length && n != type->length)
		return refuse_length(type, n, why);
	if (n > length_max(type->base))
		return refuse_size(why);
	iter = yyjson_arr_iter_with(json);
	while ((element = yyjson_arr_iter_next(&iter))) {
		int rc = parse_element(scalar, nan, element, out, why);

		if (rc < 0) {
			if (rc != -ENOMEM)
				why_prefix(why, "element %zu", i);
			return rc;
		}
		if (out->len - start > TYPE_VALUE_MAX)
			return refuse_size(why);
		i++;
	}
	return 0;
}

/* Ends a parse: the bounds that hold for all forms, and `out` as it was after a failure. */
static int settle(const struct type *type, int rc, size_t start, struct buf *out, struct why *why)
{
	if (rc == 0)
		rc = buf_error(out);
	if (rc == 0 && out->len - start > TYPE_VALUE_MAX)
		rc = refuse_size(why);
	if (rc == 0 && type->is_array && (out->len - start) * TEXT_RATIO >= TYPE_VALUE_MAX) {
		struct buf text = { 0 };

		rc = type_text_print(type, slice_of(out->data + start, out->len - start), &text);
		if (rc == 0 && text.len > TYPE_VALUE_MAX + 1)
			rc = why_fail(why, EFBIG, "a value is at most %d bytes, also as text; this one has %zu there",
				      TYPE_VALUE_MAX, text.len);
		buf_release(&text);
	}
	if (rc < 0)
		out->len = start;
	return rc;
}

/* File text without the newline that is not part of the value. */
static struct slice strip_newline(const struct type *type, struct slice text)
{
	bool is_raw = type->base == TYPE_BYTES && !type->is_array;

	if (!is_raw && text.len && ((const char *)text.data)[text.len - 1] == '\n')
		text.len--;
	return text;
}

int type_text_parse(const struct type *type, bool nan, struct slice text, struct buf *out, struct why *why)
{
	size_t start = out->len;
	yyjson_doc *doc;
	int rc;

	text = strip_newline(type, text);
	if (text.len > TYPE_VALUE_MAX)
		return refuse_size(why);
	if (!type->is_array)
		return settle(type, scalar_of(type->base)->parse_text(text, nan, out, why), start, out, why);
	rc = scalar_read_json(text, &doc, why);
	if (rc < 0)
		return rc;
	rc = parse_array(type, nan, yyjson_doc_get_root(doc), out, why);
	yyjson_doc_free(doc);
	return settle(type, rc, start, out, why);
}

int type_json_parse(const struct type *type, bool nan, struct yyjson_val *json, struct buf *out, struct why *why)
{
	size_t start = out->len;
	int rc;

	if (type->is_array)
		rc = parse_array(type, nan, json, out, why);
	else
		rc = scalar_of(type->base)->parse_json(json, nan, out, why);
	return settle(type, rc, start, out, why);
}

static bool has_bin(const struct type *type)
{
	return !type->is_array || scalar_of(type->base)->size;
}

static int refuse_bin(const struct type *type, struct why *why)
{
	char name[TYPE_NAME_MAX];

	type_print(type, name);
	return why_fail(why, ENOTSUP, "%s has no .bin form", name);
}

static int check_elements(const struct scalar *scalar, bool nan, struct slice rest, size_t *out_count, struct why *why)
{
	struct slice element;

	for (*out_count = 0; rest.len; ++*out_count) {
		int rc = take_element(scalar, &rest, &element);

		if (rc < 0)
			return why_fail(why, EBADMSG, "element %zu is cut off", *out_count);
		rc = scalar->check(element, nan, why);
		if (rc < 0) {
			if (rc != -ENOMEM)
				why_prefix(why, "element %zu", *out_count);
			return rc;
		}
	}
	return 0;
}

int type_bin_parse(const struct type *type, bool nan, struct slice bytes, struct buf *out, struct why *why)
{
	const struct scalar *scalar = scalar_of(type->base);
	size_t start = out->len, count;
	int rc;

	if (!has_bin(type))
		return refuse_bin(type, why);
	if (bytes.len > TYPE_VALUE_MAX)
		return refuse_size(why);
	if (!scalar->size)
		return settle(type, scalar->parse_text(bytes, nan, out, why), start, out, why);
	if (!size_fits(type, bytes.len)) {
		char name[TYPE_NAME_MAX];

		type_print(type, name);
		return why_fail(why, EINVAL, "%zu bytes are no %s: an element has %u", bytes.len, name, scalar->size);
	}
	rc = check_elements(scalar, nan, bytes, &count, why);
	if (rc < 0)
		return rc;
	buf_append_slice(out, bytes);
	return settle(type, 0, start, out, why);
}

/* ---- what may still become a value ---- */

static int check_bytes_of(struct slice text, const char *any_of, size_t max, const char *what, struct why *why)
{
	const char *p = text.data;

	if (text.len > max)
		return why_fail(why, EINVAL, "%zu bytes are too many for %s", text.len, what);
	for (size_t i = 0; i < text.len; i++)
		if (!p[i] || !strchr(any_of, p[i]))
			return why_fail(why, EINVAL, "byte 0x%02x, the %zuth, is in no %s", (unsigned char)p[i], i + 1,
					what);
	return 0;
}

/* More digits make a number larger: what is out of range stays so. A sign may stand alone for now. */
static int viable_int(struct slice text, bool is_wide, struct why *why)
{
	const char *p = text.data;
	size_t sign = text.len && (*p == '-' || *p == '+');
	int64_t value;
	int rc = check_bytes_of(slice_of(p + sign, text.len - sign), "0123456789", TYPE_VALUE_MAX, "decimal integer",
				why);

	if (rc < 0 || text.len == sign)
		return rc;
	rc = num_parse_i64(text, &value);
	if (rc == -ERANGE || (rc == 0 && !is_wide && (value < INT32_MIN || value > INT32_MAX)))
		return why_fail(why, ERANGE, "the number is out of the range of %s", is_wide ? "int64" : "int32");
	return 0;
}

static int viable_bool(struct slice text, struct why *why)
{
	static const char *const words[] = { "true", "false", "1", "0" };

	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (text.len <= strlen(words[i]) && (!text.len || !memcmp(text.data, words[i], text.len)))
			return 0;
	return why_fail(why, EINVAL, "a bool is true, false, 1 or 0");
}

static int viable_array(struct slice text, struct why *why)
{
	const char *p = text.data;
	size_t i = 0;

	while (i < text.len && p[i] && strchr(" \t\r\n", p[i]))
		i++;
	if (i < text.len && p[i] != '[')
		return why_fail(why, EINVAL, "the text of an array begins with '['");
	return 0;
}

static int viable_scalar(enum type_base base, struct slice text, struct why *why)
{
	switch (base) {
	case TYPE_BOOL:
		return viable_bool(text, why);
	case TYPE_INT32:
	case TYPE_INT64:
		return viable_int(text, base == TYPE_INT64, why);
	case TYPE_FLOAT32:
	case TYPE_FLOAT64:
		return check_bytes_of(text, "0123456789+-.eEnNaAiIfFtTyY", NUMBER_TEXT_MAX, "decimal number", why);
	case TYPE_TIMESTAMP:
		return check_bytes_of(text, "0123456789+-.:TtZz ", TIME_TEXT_MAX, "time", why);
	default:
		return 0;
	}
}

int type_text_viable(const struct type *type, struct slice prefix, struct why *why)
{
	bool is_bytes = type->base == TYPE_BYTES && !type->is_array;

	prefix = strip_newline(type, prefix);
	if (prefix.len > TYPE_VALUE_MAX)
		return refuse_size(why);
	if (!is_bytes && !text_is_utf8_prefix(prefix))
		return why_fail(why, EILSEQ, "the text is not UTF-8");
	return type->is_array ? viable_array(prefix, why) : viable_scalar(type->base, prefix, why);
}

/* ---- printing ---- */

static int print_array(const struct type *type, struct slice value, struct buf *out)
{
	const struct scalar *scalar = scalar_of(type->base);
	struct slice element;
	size_t count = 0;
	int rc;

	buf_append_char(out, '[');
	for (; value.len; count++) {
		rc = take_element(scalar, &value, &element);
		if (rc < 0)
			return rc;
		if (count)
			buf_append_char(out, ',');
		rc = scalar->print_json(element, out);
		if (rc < 0)
			return rc;
	}
	buf_append_char(out, ']');
	return type->length && count != type->length ? -EBADMSG : 0;
}

static int end_print(int rc, size_t start, struct buf *out)
{
	if (rc == 0)
		rc = buf_error(out);
	if (rc < 0)
		out->len = start;
	return rc;
}

int type_json_print(const struct type *type, struct slice value, struct buf *out)
{
	size_t start = out->len;
	int rc;

	if (!size_fits(type, value.len))
		return -EBADMSG;
	rc = type->is_array ? print_array(type, value, out) : scalar_of(type->base)->print_json(value, out);
	return end_print(rc, start, out);
}

int type_text_print(const struct type *type, struct slice value, struct buf *out)
{
	size_t start = out->len;
	int rc;

	if (!size_fits(type, value.len))
		return -EBADMSG;
	rc = type->is_array ? print_array(type, value, out) : scalar_of(type->base)->print_text(value, out);
	if (rc == 0 && (type->is_array || type->base != TYPE_BYTES))
		buf_append_char(out, '\n');
	return end_print(rc, start, out);
}

int type_bin_print(const struct type *type, struct slice value, struct buf *out)
{
	if (!has_bin(type))
		return -ENOTSUP;
	if (!size_fits(type, value.len))
		return -EBADMSG;
	buf_append_slice(out, value);
	return buf_error(out);
}

int type_check(const struct type *type, struct slice value, struct why *why)
{
	const struct scalar *scalar = scalar_of(type->base);
	size_t count;
	int rc;

	if (value.len > TYPE_VALUE_MAX)
		rc = refuse_size(why);
	else if (!size_fits(type, value.len))
		rc = why_fail(why, EBADMSG, "%zu bytes are not the size of the type", value.len);
	else if (!type->is_array)
		rc = scalar->check(value, true, why);
	else
		rc = check_elements(scalar, true, value, &count, why);
	if (rc == 0 && type->is_array && type->length && count != type->length)
		rc = refuse_length(type, count, why);
	return rc == 0 || rc == -ENOMEM ? rc : -EBADMSG;
}

/* ---- float32 ---- */

static bool has_f32(const struct type *type)
{
	switch (type->base) {
	case TYPE_BOOL:
	case TYPE_INT32:
	case TYPE_INT64:
	case TYPE_FLOAT32:
	case TYPE_FLOAT64:
		return !type->is_array || type->length;
	default:
		return false;
	}
}

static float load_as_f32(enum type_base base, const uint8_t *p)
{
	switch (base) {
	case TYPE_BOOL:
		return *p;
	case TYPE_INT32:
		return (float)(int32_t)scalar_load(p, 4);
	case TYPE_INT64:
		return (float)(int64_t)scalar_load(p, 8);
	case TYPE_FLOAT64:
		return (float)scalar_load_f64(p);
	default:
		return scalar_load_f32(p);
	}
}

int type_f32_print(const struct type *type, const struct slice *value, struct buf *out)
{
	unsigned size = scalar_of(type->base)->size, n = type->is_array ? type->length : 1;

	if (!has_f32(type))
		return -ENOTSUP;
	if (value && value->len != (size_t)size * n)
		return -EBADMSG;
	for (unsigned i = 0; i < n; i++) {
		float number = value ? load_as_f32(type->base, (const uint8_t *)value->data + (size_t)i * size) : NAN;
		uint32_t bits;

		memcpy(&bits, &number, sizeof(bits));
		buf_append_u32(out, bits);
	}
	return buf_error(out);
}
