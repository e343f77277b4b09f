/* SPDX-License-Identifier: MIT */
/*
 * Decoding of what featurefs-parquet says. A frame is in memory as a whole; every length is held against what is left of it before it is
 * believed, and a frame must be used up to its last byte.
 */
#include "batch/parquet_wire.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct reader {
	const uint8_t *at, *end;
	bool is_bad;
};

static size_t left(const struct reader *r)
{
	return (size_t)(r->end - r->at);
}

static const uint8_t *take(struct reader *r, size_t len)
{
	const uint8_t *p = r->at;

	if (r->is_bad || len > left(r)) {
		r->is_bad = true;
		return NULL;
	}
	r->at += len;
	return p;
}

static uint64_t take_number(struct reader *r, unsigned bytes)
{
	const uint8_t *p = take(r, bytes);
	uint64_t value = 0;

	if (p)
		memcpy(&value, p, bytes);
	return le64toh(value);
}

static struct slice take_text(struct reader *r)
{
	size_t len = (size_t)take_number(r, 2);
	const uint8_t *p = take(r, len);

	return slice_of(p, p ? len : 0);
}

static int take_column(struct reader *r, struct wire_column *out)
{
	uint64_t kind = take_number(r, 1), is_list = take_number(r, 1);

	out->name = take_text(r);
	out->type = take_text(r);
	if (r->is_bad || kind >= WIRE_KINDS || is_list > 1)
		return -EBADMSG;
	out->kind = (enum wire_kind)kind;
	out->is_list = is_list;
	return 0;
}

int wire_header_parse(struct slice bytes, struct wire_header *out)
{
	struct reader r = { bytes.data, bytes.len ? (const uint8_t *)bytes.data + bytes.len : bytes.data, false };
	struct wire_header header = { .rows = take_number(&r, 8) };
	uint64_t n = take_number(&r, 4);
	int rc = 0;

	if (r.is_bad || n > WIRE_COLUMNS_MAX || n > left(&r) / 6)
		return -EBADMSG;
	header.columns = calloc(n + 1, sizeof *header.columns);
	if (!header.columns)
		return -ENOMEM;
	header.n_columns = (size_t)n;
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = take_column(&r, &header.columns[i]);
	if (rc == 0 && left(&r))
		rc = -EBADMSG;
	if (rc < 0)
		wire_header_release(&header);
	else
		*out = header;
	return rc;
}

void wire_header_release(struct wire_header *header)
{
	free(header->columns);
	*header = (struct wire_header){ 0 };
}

int wire_batch_init(struct wire_batch *batch, const struct wire_column *const *wanted, size_t n)
{
	*batch = (struct wire_batch){ .n_columns = n };
	batch->columns = calloc(n + 1, sizeof *batch->columns);
	if (!batch->columns)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		if (!wanted[i]->is_list)
			continue;
		batch->columns[i].elements = calloc(1, sizeof *batch->columns[i].elements);
		if (!batch->columns[i].elements) {
			wire_batch_release(batch);
			return -ENOMEM;
		}
	}
	return 0;
}

void wire_batch_release(struct wire_batch *batch)
{
	for (size_t i = 0; batch->columns && i < batch->n_columns; i++) {
		free(batch->columns[i].ends);
		if (batch->columns[i].elements)
			free(batch->columns[i].elements->ends);
		free(batch->columns[i].elements);
	}
	free(batch->columns);
	*batch = (struct wire_batch){ 0 };
}

/* Lengths of n values as their ends. */
static int take_ends(struct reader *r, struct wire_values *out, size_t n)
{
	const uint8_t *p = n <= left(r) / 4 ? take(r, n * 4) : NULL;
	uint64_t sum = 0;

	if (n && !p)
		return -EBADMSG;
	if (n > out->cap_ends) {
		uint32_t *grown = realloc(out->ends, n * sizeof *grown);

		if (!grown)
			return -ENOMEM;
		out->ends = grown;
		out->cap_ends = n;
	}
	for (size_t i = 0; i < n; i++) {
		uint32_t len;

		memcpy(&len, p + 4 * i, sizeof len);
		sum += le32toh(len);
		if (sum > WIRE_FRAME_MAX)
			return -EBADMSG;
		out->ends[i] = (uint32_t)sum;
	}
	return 0;
}

static int take_values(struct reader *r, enum wire_kind kind, bool is_list, size_t n, struct wire_values *out)
{
	unsigned size = is_list ? 0 : wire_size(kind);
	uint64_t has_nulls = take_number(r, 1), bytes;
	int rc;

	out->n = n;
	out->valid = has_nulls == 1 ? take(r, n) : NULL;
	if (r->is_bad || has_nulls > 1 || (size && n > left(r) / size))
		return -EBADMSG;
	if (size) {
		out->data = take(r, n * size);
		return 0;
	}
	rc = take_ends(r, out, n);
	if (rc < 0)
		return rc;
	bytes = n ? out->ends[n - 1] : 0;
	if (is_list)
		return take_values(r, kind, false, (size_t)bytes, out->elements);
	out->data = take(r, (size_t)bytes);
	return r->is_bad ? -EBADMSG : 0;
}

int wire_batch_parse(struct wire_batch *batch, const struct wire_column *const *wanted, struct slice bytes)
{
	struct reader r = { bytes.data, bytes.len ? (const uint8_t *)bytes.data + bytes.len : bytes.data, false };
	int rc = 0;

	batch->rows = (uint32_t)take_number(&r, 4);
	batch->too_large = take(&r, batch->rows);
	if (r.is_bad)
		rc = -EBADMSG;
	for (size_t i = 0; rc == 0 && i < batch->n_columns; i++)
		rc = take_values(&r, wanted[i]->kind, wanted[i]->is_list, batch->rows, &batch->columns[i]);
	if (rc == 0 && left(&r))
		rc = -EBADMSG;
	if (rc < 0)
		batch->rows = 0;
	return rc;
}
