/* SPDX-License-Identifier: MIT */
/*
 * Bytes as records. No accessor may read outside, whatever the bytes are; and a row and a delta that record_check lets
 * pass give a row that it lets pass. The input is a row, if two bytes say so of that length, and a delta.
 */
#include <stdint.h>
#include <stdlib.h>
#include "store/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look(struct slice bytes)
{
	struct record_stamp stamp;
	struct record_cell cell, found;
	struct record rec;
	volatile uint8_t sum = 0;

	if (record_view(bytes, &rec) < 0)
		return;
	record_tomb(&rec, &stamp);
	for (unsigned i = 0; i < rec.stamps; i++)
		record_stamp(&rec, i, &stamp);
	for (unsigned i = 0; i < rec.cells; i++) {
		record_cell(&rec, i, &cell);
		for (size_t j = 0; j < cell.value.len; j++)
			sum ^= ((const uint8_t *)cell.value.data)[j];
		record_stamp(&rec, cell.stamp, &stamp);
		/* In order, every cell is found. */
		if (record_check(bytes, true, NULL) == 0 &&
		    (!record_find(&rec, cell.slot, &found) || found.value.data != cell.value.data))
			abort();
	}
}

static void apply(struct slice row_bytes, struct slice delta_bytes)
{
	struct record row, delta;
	struct buf out = { 0 };
	struct why why;

	if (record_view(row_bytes, &row) < 0 || record_view(delta_bytes, &delta) < 0)
		return;
	if (record_apply(&row, &delta, &out) == 0 && out.len && record_check(delta_bytes, true, NULL) == 0 &&
	    (!row_bytes.len || record_check(row_bytes, false, NULL) == 0) && record_check(buf_slice(&out), false,
											  &why) < 0)
		abort();
	look(buf_slice(&out));
	buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice row, delta;
	size_t len;

	if (size < 2)
		return 0;
	len = data[0] | (size_t)data[1] << 8;
	if (len > size - 2)
		len = 0;
	row = slice_of(data + 2, len);
	delta = slice_of(data + 2 + len, size - 2 - len);
	look(row);
	look(delta);
	record_check(row, false, NULL);
	record_check(delta, true, NULL);
	apply(row, delta);
	return 0;
}
