/* SPDX-License-Identifier: MIT */
/* The table of kinds, and what all of them say where they refuse. */
#include "catalog/scalar_private.h"

#include <errno.h>
#include <string.h>

enum { QUOTE_MAX = 64 };	/* bytes of a refused text that its reason shows */

static int shown(struct slice text)
{
	return text.len < QUOTE_MAX ? (int)text.len : QUOTE_MAX;
}

int scalar_refuse_text(struct slice text, const char *what, struct why *why)
{
	if (text.len && memchr(text.data, 0, text.len))
		return why_fail(why, EINVAL, "a text with a NUL byte in it is not %s", what);
	return why_fail(why, EINVAL, "\"%.*s\" is not %s", shown(text), text.len ? (const char *)text.data : "", what);
}

int scalar_refuse_json(yyjson_val *json, const char *what, struct why *why)
{
	return why_fail(why, EINVAL, "JSON %s where %s belongs", yyjson_is_raw(json) ? "number" : yyjson_get_type_desc(json), what);
}

int scalar_refuse_number(int rc, struct slice text, const char *type, const char *what, struct why *why)
{
	if (rc == -ERANGE)
		return why_fail(why, ERANGE, "%.*s is out of the range of %s", shown(text), (const char *)text.data, type);
	return scalar_refuse_text(text, what, why);
}

int scalar_any_check(struct slice value, bool nan, struct why *why)
{
	(void)value;
	(void)nan;
	(void)why;
	return 0;
}

static const struct scalar *const scalars[] = {
	[TYPE_BOOL] = &scalar_bool,
	[TYPE_INT32] = &scalar_int32,
	[TYPE_INT64] = &scalar_int64,
	[TYPE_FLOAT32] = &scalar_float32,
	[TYPE_FLOAT64] = &scalar_float64,
	[TYPE_STRING] = &scalar_string,
	[TYPE_BYTES] = &scalar_bytes,
	[TYPE_TIMESTAMP] = &scalar_timestamp,
	[TYPE_JSON] = &scalar_json,
};

const struct scalar *scalar_of(enum type_base base)
{
	return scalars[base];
}

const struct scalar *scalar_find(struct slice name, enum type_base *out_base)
{
	for (enum type_base base = TYPE_BOOL; base <= TYPE_JSON; base++)
		if (slice_equal(name, slice_str(scalars[base]->name))) {
			*out_base = base;
			return scalars[base];
		}
	return NULL;
}
