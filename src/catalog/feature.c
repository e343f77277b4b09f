/* SPDX-License-Identifier: MIT */
/*
 * The keys of [feature NAME] in a definition, as a table: how a key's text is read, whether it is set, how it is printed. A value is checked
 * against the feature's type where it is read, and kept in its canonical spelling.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/num.h"
#include "catalog/group.h"
#include "catalog/scalar.h"

static bool is_number(enum type_base base)
{
	return base == TYPE_INT32 || base == TYPE_INT64 || base == TYPE_FLOAT32 || base == TYPE_FLOAT64;
}

static bool is_float(enum type_base base)
{
	return base == TYPE_FLOAT32 || base == TYPE_FLOAT64;
}

static int parse_flag(const char *value, bool *out, struct why *why)
{
	if (strcmp(value, "yes") && strcmp(value, "no"))
		return why_fail(why, EINVAL, "it is yes or no");
	*out = value[0] == 'y';
	return 0;
}

static void print_flag(bool is_set, struct buf *out)
{
	buf_append_str(out, is_set ? "yes" : "no");
}

static int set_type(struct catalog_feature *f, const char *value, struct why *why)
{
	return type_parse(slice_str(value), &f->type, why);
}

static bool has_type(const struct catalog_feature *f)
{
	return f->type.base;
}

static void print_type(const struct catalog_feature *f, struct buf *out)
{
	char text[TYPE_NAME_MAX];

	buf_append(out, text, type_print(&f->type, text));
}

static int set_description(struct catalog_feature *f, const char *value, struct why *why)
{
	(void)why;
	return group_set_text(&f->description, slice_str(value));
}

static bool has_description(const struct catalog_feature *f)
{
	return f->description;
}

static void print_description(const struct catalog_feature *f, struct buf *out)
{
	buf_append_str(out, f->description);
}

/* A bound is text of the type itself, so a bound of a float32 is a float32: 0.1 is not above its own maximum. */
static int parse_bound(const struct catalog_feature *f, const char *value, void *out_bound, struct why *why)
{
	struct type one = { .base = f->type.base };
	struct buf bytes = { 0 };
	double number = 0;
	int64_t integer = 0;
	int rc;

	if (!is_number(one.base) && one.base != TYPE_TIMESTAMP)
		return why_fail(why, EINVAL, "only numbers and timestamps have bounds");
	rc = type_text_parse(&one, false, slice_str(value), &bytes, why);
	if (rc < 0)
		goto out;
	if (one.base == TYPE_FLOAT32)
		number = (double)scalar_load_f32(bytes.data);
	else if (one.base == TYPE_FLOAT64)
		number = scalar_load_f64(bytes.data);
	else if (one.base == TYPE_INT32)
		integer = (int32_t)scalar_load(bytes.data, 4);
	else
		integer = (int64_t)scalar_load(bytes.data, 8);
	if (is_float(one.base))
		memcpy(out_bound, &number, sizeof(number));
	else
		memcpy(out_bound, &integer, sizeof(integer));
out:
	buf_release(&bytes);
	return rc;
}

static int check_bounds(const struct catalog_feature *f, struct why *why)
{
	if (!f->has_min || !f->has_max)
		return 0;
	if (is_float(f->type.base) ? f->min.f <= f->max.f : f->min.i <= f->max.i)
		return 0;
	return why_fail(why, EINVAL, "min is greater than max");
}

static int set_min(struct catalog_feature *f, const char *value, struct why *why)
{
	int rc = parse_bound(f, value, &f->min, why);

	f->has_min = rc == 0;
	return rc < 0 ? rc : check_bounds(f, why);
}

static int set_max(struct catalog_feature *f, const char *value, struct why *why)
{
	int rc = parse_bound(f, value, &f->max, why);

	f->has_max = rc == 0;
	return rc < 0 ? rc : check_bounds(f, why);
}

static bool has_min(const struct catalog_feature *f)
{
	return f->has_min;
}

static bool has_max(const struct catalog_feature *f)
{
	return f->has_max;
}

static void print_bound(enum type_base base, const void *bound, struct buf *out)
{
	struct type one = { .base = base };
	struct buf bytes = { 0 };
	double number;
	int64_t integer;

	memcpy(&number, bound, sizeof(number));
	memcpy(&integer, bound, sizeof(integer));
	if (base == TYPE_FLOAT32) {
		char text[NUM_MAX];

		buf_append(out, text, num_print_f32((float)number, text));
		return;
	}
	if (base == TYPE_INT32)
		buf_append_u32(&bytes, (uint32_t)integer);
	else
		buf_append_u64(&bytes, (uint64_t)integer);	/* the bits of a float64 as well */
	if (buf_error(&bytes) < 0 || type_text_print(&one, buf_slice(&bytes), out) < 0)
		out->failed = true;
	else
		out->len--;		/* its newline */
	buf_release(&bytes);
}

static void print_min(const struct catalog_feature *f, struct buf *out)
{
	print_bound(f->type.base, &f->min, out);
}

static void print_max(const struct catalog_feature *f, struct buf *out)
{
	print_bound(f->type.base, &f->max, out);
}

/* The canonical spelling of one allowed value, in place of the one that was written. */
static int settle_enum(const struct type *type, char **text, struct why *why)
{
	struct buf bytes = { 0 }, canonical = { 0 };
	int rc = type_text_parse(type, false, slice_str(*text), &bytes, why);

	if (rc == 0)
		rc = type_text_print(type, buf_slice(&bytes), &canonical);
	if (rc == 0)
		rc = group_set_text(text, slice_of(canonical.data, canonical.len - 1));
	buf_release(&bytes);
	buf_release(&canonical);
	return rc;
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int refuse_repeats(char *const *list, unsigned n, struct why *why)
{
	const char **sorted = malloc(n * sizeof(*sorted));
	int rc = 0;

	if (!sorted)
		return -ENOMEM;
	for (unsigned i = 0; i < n; i++)
		sorted[i] = list[i];
	qsort(sorted, n, sizeof(*sorted), compare_texts);
	for (unsigned i = 1; rc == 0 && i < n; i++)
		if (!strcmp(sorted[i - 1], sorted[i]))
			rc = why_fail(why, EINVAL, "\"%s\" stands twice", sorted[i]);
	free(sorted);
	return rc;
}

static int set_enum(struct catalog_feature *f, const char *value, struct why *why)
{
	struct buf canonical = { 0 };
	int rc;

	if (f->type.is_array || (f->type.base != TYPE_STRING && f->type.base != TYPE_INT32 &&
				 f->type.base != TYPE_INT64))
		return why_fail(why, EINVAL, "only string, int32 and int64 have a list of allowed values");
	rc = group_split_list(slice_str(value), &f->enums, &f->n_enums, why);
	for (unsigned i = 0; rc == 0 && i < f->n_enums; i++)
		rc = settle_enum(&f->type, &f->enums[i], why);
	if (rc == 0)
		rc = refuse_repeats(f->enums, f->n_enums, why);
	if (rc < 0)
		return rc;
	group_print_list(f->enums, f->n_enums, &canonical);
	rc = buf_error(&canonical);
	if (rc == 0)
		rc = group_check_text(buf_slice(&canonical), why);
	buf_release(&canonical);
	return rc;
}

static bool has_enum(const struct catalog_feature *f)
{
	return f->enums;
}

static void print_enum(const struct catalog_feature *f, struct buf *out)
{
	group_print_list(f->enums, f->n_enums, out);
}

static int set_max_length(struct catalog_feature *f, const char *value, struct why *why)
{
	uint64_t length;

	if (f->type.is_array && f->type.length)
		return why_fail(why, EINVAL, "the type itself says the length");
	if (!f->type.is_array && f->type.base != TYPE_STRING && f->type.base != TYPE_BYTES)
		return why_fail(why, EINVAL, "only string, bytes and arrays without a length have one");
	if (num_parse_u64(slice_str(value), &length) < 0 || !length || length > TYPE_VALUE_MAX)
		return why_fail(why, EINVAL, "it is a number from 1 to %d", TYPE_VALUE_MAX);
	f->max_length = (uint32_t)length;
	f->has_max_length = true;
	return 0;
}

static bool has_max_length(const struct catalog_feature *f)
{
	return f->has_max_length;
}

static void print_max_length(const struct catalog_feature *f, struct buf *out)
{
	buf_printf(out, "%u", f->max_length);
}

static int set_not_null(struct catalog_feature *f, const char *value, struct why *why)
{
	return parse_flag(value, &f->not_null, why);
}

static bool has_not_null(const struct catalog_feature *f)
{
	return f->not_null;
}

static void print_not_null(const struct catalog_feature *f, struct buf *out)
{
	print_flag(f->not_null, out);
}

static int set_nan(struct catalog_feature *f, const char *value, struct why *why)
{
	if (!is_float(f->type.base))
		return why_fail(why, EINVAL, "only float32 and float64 know nan");
	return parse_flag(value, &f->nan, why);
}

static bool has_nan(const struct catalog_feature *f)
{
	return f->nan;
}

static void print_nan(const struct catalog_feature *f, struct buf *out)
{
	print_flag(f->nan, out);
}

static int set_index(struct catalog_feature *f, const char *value, struct why *why)
{
	if (f->type.base != TYPE_FLOAT32 || !f->type.length)
		return why_fail(why, EINVAL, "only float32[N] has an index");
	if (strcmp(value, "cosine") && strcmp(value, "l2") && strcmp(value, "ip"))
		return why_fail(why, EINVAL, "it is cosine, l2 or ip");
	return group_set_text(&f->index, slice_str(value));
}

static bool has_index(const struct catalog_feature *f)
{
	return f->index;
}

static void print_index(const struct catalog_feature *f, struct buf *out)
{
	buf_append_str(out, f->index);
}

static int set_retired(struct catalog_feature *f, const char *value, struct why *why)
{
	return parse_flag(value, &f->retired, why);
}

static bool has_retired(const struct catalog_feature *f)
{
	return f->retired;
}

static void print_retired(const struct catalog_feature *f, struct buf *out)
{
	print_flag(f->retired, out);
}

/* In the order in which they are printed. */
const struct feature_key feature_key_table[] = {
	{ "type", true, set_type, has_type, print_type },
	{ "description", false, set_description, has_description, print_description },
	{ "min", false, set_min, has_min, print_min },
	{ "max", false, set_max, has_max, print_max },
	{ "enum", false, set_enum, has_enum, print_enum },
	{ "max_length", false, set_max_length, has_max_length, print_max_length },
	{ "not_null", false, set_not_null, has_not_null, print_not_null },
	{ "nan", false, set_nan, has_nan, print_nan },
	{ "index", false, set_index, has_index, print_index },
	{ "retired", true, set_retired, has_retired, print_retired },
};

const unsigned feature_key_count = sizeof(feature_key_table) / sizeof(feature_key_table[0]);
