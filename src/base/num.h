/* SPDX-License-Identifier: MIT */
/* Numbers to and from text, the same in every locale. Whole input or nothing: no blanks, no trailing bytes. */
#ifndef BASE_NUM_H
#define BASE_NUM_H

#include <stdint.h>
#include "base/slice.h"

enum { NUM_MAX = 40 };		/* bytes that any print below needs at most, its NUL included */

/* 0; -EINVAL if it is no such number; -ERANGE if it does not fit. */
int num_parse_i64(struct slice text, int64_t *out);
int num_parse_u64(struct slice text, uint64_t *out);
/* "nan", "inf", "-inf" (any case; "infinity" too) parse; hexadecimal floats don't. A finite text that overflows is -ERANGE. */
int num_parse_f64(struct slice text, double *out);
int num_parse_f32(struct slice text, float *out);

/* Each writes text and a NUL and returns the length. Floats: the shortest text that reads back to the same bits, an
 * integral value without ".0"; "nan", "inf", "-inf". */
size_t num_print_i64(int64_t value, char out[NUM_MAX]);
size_t num_print_f64(double value, char out[NUM_MAX]);
size_t num_print_f32(float value, char out[NUM_MAX]);

/* Bytes with a unit: "64K", "16M", "1G", plain bytes. Powers of 1024. */
int num_parse_bytes(struct slice text, uint64_t *out);

#endif
