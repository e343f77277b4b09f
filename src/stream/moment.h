/* SPDX-License-Identifier: MIT */
/* Event times as messages carry them: numbers in several units, RFC 3339. Pure functions. Private to stream. */
#ifndef STREAM_MOMENT_H
#define STREAM_MOMENT_H

#include <stdint.h>
#include "base/slice.h"
#include "base/why.h"

enum moment_unit { MOMENT_BY_SIZE, MOMENT_S, MOMENT_MS, MOMENT_US, MOMENT_NS };

/* "auto", "s", "ms", "us", "ns". -EINVAL. */
int moment_unit_parse(struct slice text, enum moment_unit *out, struct why *why);

/* A decimal number, maybe with a fraction and an exponent, or RFC 3339. A number without a unit (MOMENT_BY_SIZE) is in seconds below 1e11 (the year 5138),
 * in milliseconds below 1e14, in microseconds below 1e17, else in nanoseconds. What is finer than a nanosecond is cut off. -EINVAL,
 * -ERANGE. */
int moment_parse(struct slice text, enum moment_unit unit, int64_t *out_ns, struct why *why);
int moment_of_int(int64_t number, enum moment_unit unit, int64_t *out_ns, struct why *why);
int moment_of_double(double number, enum moment_unit unit, int64_t *out_ns, struct why *why);

#endif
