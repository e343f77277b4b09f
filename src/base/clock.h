/* SPDX-License-Identifier: MIT */
/* Points in time are int64 nanoseconds since 1970 UTC; spans are int64 nanoseconds. INT64_MIN is no time: nothing here gives it, and whoever keeps
 * times may let it say that there is none. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#include "base/slice.h"

#define CLOCK_SECOND INT64_C(1000000000)

enum { CLOCK_TEXT_MAX = 48 };

int64_t clock_now(void);		/* CLOCK_REALTIME */
int64_t clock_monotonic(void);		/* for intervals */
struct timespec clock_after(int64_t ns);	/* so long from now, of CLOCK_MONOTONIC: for waits with a bound */

/* What has no place in int64 becomes the nearest that has. */
int64_t clock_from_timespec(const struct timespec *time);
struct timespec clock_to_timespec(int64_t ns);
int64_t clock_between(int64_t from_ns, int64_t to_ns);		/* negative if `to` is earlier */

/* RFC 3339 with any offset ("2026-11-23T04:00:00.5Z", "t", "z" and a blank for the T are fine), or decimal seconds since 1970
 * with up to nine decimals; at most CLOCK_TEXT_MAX bytes. -EINVAL if it is neither or the date does not exist, -ERANGE outside of
 * int64 nanoseconds. */
int clock_parse_time(struct slice text, int64_t *out_ns);
/* RFC 3339, UTC, no fraction where it is zero, else six decimals (microseconds, rounded down), or nine if `nanos`. Returns length. */
size_t clock_print_time(int64_t ns, bool nanos, char out[CLOCK_TEXT_MAX]);

/* "30d", "1d12h", "90s", "250ms", units w d h m s ms; a bare number is seconds; "0" is zero. -EINVAL, -ERANGE. */
int clock_parse_span(struct slice text, int64_t *out_ns);
/* Such a text in days and smaller units, whole milliseconds, zeros left out: "30d", "1d12h", "0". A '-' before a negative one, which
 * the parser refuses. Returns length. */
size_t clock_print_span(int64_t ns, char out[CLOCK_TEXT_MAX]);

#endif
