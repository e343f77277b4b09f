/* SPDX-License-Identifier: MIT */
/* What the files of scalars share. */
#ifndef CATALOG_SCALAR_PRIVATE_H
#define CATALOG_SCALAR_PRIVATE_H

#include "catalog/scalar.h"

extern const struct scalar scalar_bool, scalar_int32, scalar_int64, scalar_float32, scalar_float64;	/* scalar_number.c */
extern const struct scalar scalar_string, scalar_bytes, scalar_timestamp, scalar_json;			/* scalar_text.c */

/* Each gives the errno negated, with a reason that shows the beginning of the text. `what` is what belongs there. */
int scalar_refuse_text(struct slice text, const char *what, struct why *why);
int scalar_refuse_json(yyjson_val *json, const char *what, struct why *why);
/* `rc` is what num.h's parsers say of the text. */
int scalar_refuse_number(int rc, struct slice text, const char *type, const char *what, struct why *why);
/* Of types all of whose bytes are good. */
int scalar_any_check(struct slice value, bool nan, struct why *why);

static inline struct slice scalar_json_text(yyjson_val *json)
{
	return slice_of(unsafe_yyjson_get_str(json), unsafe_yyjson_get_len(json));
}

#endif
