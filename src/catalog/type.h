/* SPDX-License-Identifier: MIT */
/*
 * The types of values, and each type's forms: file text (`cat`), JSON (rows), .bin, and the stored bytes. Stored bytes are
 * little-endian: bool one byte; int32, float32 four; int64, float64, timestamp (microseconds since 1970) eight; string, bytes,
 * json their own bytes; an array its elements one after another, or, where those vary in length (string, bytes, json), a u32
 * length before each. Pure functions, thread-safe.
 */
#ifndef CATALOG_TYPE_H
#define CATALOG_TYPE_H

#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/slice.h"
#include "base/why.h"

struct yyjson_val;

enum type_base {
	TYPE_BOOL = 1, TYPE_INT32, TYPE_INT64, TYPE_FLOAT32, TYPE_FLOAT64, TYPE_STRING, TYPE_BYTES, TYPE_TIMESTAMP, TYPE_JSON,
};

struct type {
	enum type_base base;
	bool is_array;
	uint32_t length;	/* of T[N]; 0: any */
};

enum { TYPE_VALUE_MAX = 1 << 20, TYPE_NAME_MAX = 40 };	/* bytes of one value, in any form; of a type's name */

/* "float32[384]". -EINVAL, with the list of types in the reason. */
int type_parse(struct slice text, struct type *out, struct why *why);
size_t type_print(const struct type *type, char out[TYPE_NAME_MAX]);
bool type_equal(const struct type *a, const struct type *b);
/* May values of `from` stand under a name that is now `to`? Equal, int32 to int64, float32 to float64, and so for arrays;
 * T[N] to T[]. */
bool type_widens(const struct type *from, const struct type *to);
/* The byte kept with each value (1 to 63): base, and whether it is an array. Lengths are the catalog's. */
uint8_t type_code(const struct type *type);
/* Turns stored bytes of code `code` into the stored bytes of `type` (widening). Returns a slice of `value` itself where they are the
 * same, else of `scratch`. -EBADMSG if the bytes are not of that code or it doesn't widen to the type. */
int type_widen(const struct type *type, uint8_t code, struct slice value, struct buf *scratch, struct slice *out);

/* What a text may be: `nan` says whether nan and infinities are allowed. Errors of all parsers: -EINVAL (not of this type, wrong length
 * of array, nan), -ERANGE (out of the type's range), -EILSEQ (UTF-8), -EFBIG (past TYPE_VALUE_MAX), -ENOMEM. They append to `out`. */
/* JSON is best read with YYJSON_READ_NUMBER_AS_RAW: then numbers inside a json value stay as written, and a float32 is rounded once. */
int type_text_parse(const struct type *type, bool nan, struct slice text, struct buf *out, struct why *why);
int type_json_parse(const struct type *type, bool nan, struct yyjson_val *json, struct buf *out, struct why *why);
int type_bin_parse(const struct type *type, bool nan, struct slice bytes, struct buf *out, struct why *why);	/* ENOTSUP too */

/* Could text that begins like this still become a value of the type? Judges what one look can tell: bytes that no number has, a
 * length past every bound, broken UTF-8. 0 or the errno that type_text_parse would give. */
int type_text_viable(const struct type *type, struct slice prefix, struct why *why);

/* Stored bytes of the type itself (after type_widen) to a form; they append. Text has its final newline (bytes have none).
 * -EBADMSG for bytes that are not of the type; -ENOTSUP for .bin of string[], bytes[], json[]; -ENOMEM. */
int type_text_print(const struct type *type, struct slice value, struct buf *out);
int type_json_print(const struct type *type, struct slice value, struct buf *out);
int type_bin_print(const struct type *type, struct slice value, struct buf *out);
/* Little-endian float32, as a part of a model's vector: one number, or the N of T[N]; all NaN where `value` is NULL. -ENOTSUP for what is no
 * number and for T[]. */
int type_f32_print(const struct type *type, const struct slice *value, struct buf *out);

/* Are these bytes a value of the type? The check that verify and decoders of foreign rows make. -EBADMSG. */
int type_check(const struct type *type, struct slice value, struct why *why);

#endif
