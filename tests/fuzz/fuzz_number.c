/* SPDX-License-Identifier: MIT */
/* Numbers as text: what is accepted has the very bits that the C library finds, and the short way accepts nothing that the long one does not. */
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "base/num.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int is_same(const void *a, const void *b, size_t len, int is_nan)
{
	return is_nan || !memcmp(a, b, len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = slice_of(data, size);
	char copy[256], *end, back[NUM_MAX];
	double wide, want_wide;
	float narrow, want_narrow;
	int64_t integer;
	int rc, narrow_rc;

	if (size >= sizeof copy)
		return 0;
	memcpy(copy, data, size);
	copy[size] = '\0';
	rc = num_parse_f64(text, &wide);
	narrow_rc = num_parse_f32(text, &narrow);
	want_wide = strtod(copy, &end);
	want_narrow = strtof(copy, NULL);
	if (rc == 0 && (end != copy + size || !is_same(&wide, &want_wide, sizeof wide, isnan(want_wide))))
		abort();
	if (narrow_rc == 0 && !is_same(&narrow, &want_narrow, sizeof narrow, isnan(want_narrow)))
		abort();
	if ((rc == -EINVAL) != (narrow_rc == -EINVAL))
		abort();
	if (rc == 0) {
		num_print_f64(wide, back);
		if (num_parse_f64(slice_str(back), &want_wide) < 0 || !is_same(&wide, &want_wide, sizeof wide, isnan(wide)))
			abort();
	}
	rc = num_parse_i64(text, &integer);
	if (rc == 0 && (errno = 0, strtoll(copy, &end, 10) != integer || errno || end != copy + size))
		abort();
	return 0;
}
