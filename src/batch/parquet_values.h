/* SPDX-License-Identifier: MIT */
/* Values of typed files as keys, times and stored bytes. Private to batch. */
#ifndef BATCH_PARQUET_VALUES_H
#define BATCH_PARQUET_VALUES_H

#include "batch/parquet_wire.h"
#include "batch/row.h"

enum { PARQUET_KEY_MAX = 48 };

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

#endif
