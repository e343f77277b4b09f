/* SPDX-License-Identifier: MIT */
/* Values of typed files as keys, times and stored bytes. Private to batch. */
#ifndef BATCH_PARQUET_VALUES_H
#define BATCH_PARQUET_VALUES_H

#include "batch/parquet_wire.h"
#include "batch/row.h"

enum {
	PARQUET_KEY_MAX = 48,
	PARQUET_PRINTED_MAX = TYPE_VALUE_MAX / 6,	/* an array of so many bytes has a text that is not too long, whatever is in it */
};

/* Can the column's values become keys, times, values of the type? */
bool parquet_is_key(const struct wire_column *column);
bool parquet_is_time(const struct wire_column *column);
bool parquet_suits(const struct wire_column *column, const struct type *type);
/* "the column c is DECIMAL(10,2): it can't be ..." Returns -EINVAL. */
int parquet_refuse_column(const struct wire_column *column, const char *what, struct why *why);

/* Value i, which is not null, of a column that suits. A key is borrowed from the values or from `text`. -EINVAL, -ERANGE, -EILSEQ, -EFBIG. */
int parquet_key(enum wire_kind kind, const struct wire_values *values, size_t i, char text[PARQUET_KEY_MAX], struct slice *out,
		struct why *why);
int parquet_time(enum wire_kind kind, const struct wire_values *values, size_t i, int64_t *out_ns, struct why *why);
/* Sets value `at` of the row. */
int parquet_value(const struct wire_column *column, const struct wire_values *values, size_t i, struct row *row, unsigned at,
		  struct why *why);

/* How the values of one column of a batch are taken, if all that are not null can be taken as they stand. */
struct parquet_direct {
	bool is_direct;
	const uint8_t *valid;	/* as of the column */
	const uint8_t *data;
	const uint32_t *ends;	/* of values that vary, in strides; NULL: they don't */
	unsigned stride, size;
};

/* For a column that suits the feature. Borrows from the values. */
struct parquet_direct parquet_direct(const struct wire_column *column, const struct catalog_feature *feature, const struct wire_values *values);

static inline struct slice parquet_direct_value(const struct parquet_direct *direct, size_t i)
{
	size_t from;

	if (!direct->ends)
		return slice_of(direct->data + i * direct->stride, direct->size);
	from = i ? direct->ends[i - 1] : 0;
	return slice_of(direct->data + from * direct->stride, (direct->ends[i] - from) * direct->stride);
}

#endif
