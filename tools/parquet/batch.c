/* SPDX-License-Identifier: MIT */
/* From the library's chunks of columns to batches as batch/parquet_wire.h has them. */
#include "batch.h"

#include <errno.h>
#include <string.h>
#include "batch/source.h"
#include "duckdb.h"

/* ---- how large ---- */

static bool is_there(const uint64_t *validity, uint64_t i)
{
	return !validity || (validity[i / 64] >> (i % 64) & 1);
}

/* Bytes of one element as it stands in memory there. */
static size_t stride(enum wire_kind kind)
{
	unsigned size = wire_size(kind);

	return kind == WIRE_DATE ? 4 : size ? size : sizeof(struct duckdb_string);
}

static size_t element_bytes(enum wire_kind kind, const void *data, uint64_t i)
{
	unsigned size = wire_size(kind);

	return size ? size : 5 + (size_t)((const struct duckdb_string *)data)[i].len;
}

/* What row i of the column adds to a frame. */
static uint64_t value_bytes(const struct view *view, uint64_t i)
{
	const struct duckdb_list *list;
	uint64_t bytes = 9;

	if (!is_there(view->validity, i))
		return bytes;
	if (!view->is_list)
		return element_bytes(view->kind, view->data, i) + 1;
	list = (const struct duckdb_list *)view->data + i;
	if (wire_size(view->kind))
		return bytes + list->len * (wire_size(view->kind) + 1u);
	for (uint64_t k = 0; k < list->len && bytes <= BATCH_ROW_MAX; k++)
		bytes += is_there(view->child_validity, list->offset + k) ? element_bytes(view->kind, view->child, list->offset + k) : 5;
	return bytes;
}

/* ---- as bytes ---- */

static void put_validity(struct buf *out, const uint64_t *validity, const struct span *span)
{
	bool has_nulls = span->skip;
	char *place;

	for (uint64_t i = 0; validity && !has_nulls && i < span->n; i++)
		has_nulls = !is_there(validity, span->from + i);
	buf_append_u8(out, has_nulls);
	if (!has_nulls)
		return;
	place = buf_reserve(out, span->n);
	for (uint64_t i = 0; place && i < span->n; i++)
		place[i] = is_there(validity, span->from + i) && !(span->skip && span->skip[i]);
	out->len += place ? span->n : 0;
}

static void put_dates(struct buf *out, const int32_t *days, const struct span *span)
{
	for (uint64_t i = 0; i < span->n; i++)
		buf_append_u64(out, (uint64_t)(int64_t)days[span->from + i]);
}

static bool is_sent(const uint64_t *validity, const struct span *span, uint64_t i)
{
	return is_there(validity, span->from + i) && !(span->skip && span->skip[i]);
}

static void put_strings(struct buf *out, const struct duckdb_string *strings, const uint64_t *validity, const struct span *span)
{
	char *place = buf_reserve(out, span->n * 4);
	uint64_t bytes = 0;

	for (uint64_t i = 0; place && i < span->n; i++) {
		uint32_t len = is_sent(validity, span, i) ? strings[span->from + i].len : 0;

		memcpy(place + 4 * i, &len, sizeof len);
		bytes += len;
	}
	out->len += place ? span->n * 4 : 0;
	place = buf_reserve(out, bytes + DUCKDB_SHORT_TEXT);
	out->len += place ? bytes : 0;
	for (uint64_t i = 0; place && i < span->n; i++) {
		const struct duckdb_string *s = &strings[span->from + i];

		if (!is_sent(validity, span, i))
			continue;
		/* What is short is copied with what stands behind it, which costs no look at its length; there is room for that. */
		if (s->len <= DUCKDB_SHORT_TEXT)
			memcpy(place, duckdb_text(s), DUCKDB_SHORT_TEXT);
		else
			memcpy(place, s->data, s->len);
		place += s->len;
	}
}

static void put_scalars(struct buf *out, enum wire_kind kind, const void *data, const uint64_t *validity, const struct span *span)
{
	put_validity(out, validity, span);
	if (kind == WIRE_DATE)
		put_dates(out, data, span);
	else if (wire_size(kind))
		buf_append(out, (const char *)data + span->from * stride(kind), span->n * wire_size(kind));
	else
		put_strings(out, data, validity, span);
}

/* The stretches of elements that the rows' lists are, neighbours made one: lists need not stand one behind another. */
static int collect_spans(const struct view *view, const struct span *rows, struct buf *out_spans)
{
	const struct duckdb_list *lists = view->data;
	struct span *last = NULL;

	for (uint64_t i = 0; i < rows->n; i++) {
		const struct duckdb_list *list = &lists[rows->from + i];
		struct span span = { list->offset, list->len, NULL };

		if (!is_there(view->validity, rows->from + i) || (rows->skip && rows->skip[i]) || !list->len)
			continue;
		if (span.from > view->child_len || span.n > view->child_len - span.from)
			return -EBADMSG;
		if (last && last->from + last->n == span.from) {
			last->n += span.n;
			continue;
		}
		buf_append(out_spans, &span, sizeof span);
		if (buf_error(out_spans) < 0)
			return -ENOMEM;
		last = (struct span *)(void *)(out_spans->data + out_spans->len - sizeof span);
	}
	return 0;
}

static bool has_null_element(const struct view *view, const struct span *spans, size_t n)
{
	for (size_t i = 0; view->child_validity && i < n; i++)
		for (uint64_t k = 0; k < spans[i].n; k++)
			if (!is_there(view->child_validity, spans[i].from + k))
				return true;
	return false;
}

/* Lengths and bytes of texts, or values of fixed size. */
static void put_element_values(struct buf *out, const struct view *view, const struct span *spans, size_t n)
{
	const struct duckdb_string *strings = view->child;
	unsigned size = wire_size(view->kind);

	for (size_t i = 0; size && i < n; i++) {
		if (view->kind == WIRE_DATE)
			put_dates(out, view->child, &spans[i]);
		else
			buf_append(out, (const char *)view->child + spans[i].from * size, spans[i].n * size);
	}
	for (size_t i = 0; !size && i < n; i++)
		for (uint64_t k = spans[i].from; k < spans[i].from + spans[i].n; k++)
			buf_append_u32(out, is_there(view->child_validity, k) ? strings[k].len : 0);
	for (size_t i = 0; !size && i < n; i++)
		for (uint64_t k = spans[i].from; k < spans[i].from + spans[i].n; k++)
			if (is_there(view->child_validity, k))
				buf_append(out, duckdb_text(&strings[k]), strings[k].len);
}

static int put_elements(struct buf *out, const struct view *view, const struct span *rows)
{
	struct buf parts = { 0 };
	const struct span *spans;
	size_t n;
	bool has_nulls;
	int rc = collect_spans(view, rows, &parts);

	if (rc < 0)
		goto out;
	spans = (const struct span *)(void *)parts.data;
	n = parts.len / sizeof *spans;
	has_nulls = has_null_element(view, spans, n);
	buf_append_u8(out, has_nulls);
	for (size_t i = 0; has_nulls && i < n; i++)
		for (uint64_t k = spans[i].from; k < spans[i].from + spans[i].n; k++)
			buf_append_u8(out, is_there(view->child_validity, k));
	put_element_values(out, view, spans, n);
out:
	buf_release(&parts);
	return rc;
}

static int put_column(struct buf *out, const struct view *view, const struct span *rows)
{
	const struct duckdb_list *lists = view->data;

	if (!view->is_list) {
		put_scalars(out, view->kind, view->data, view->validity, rows);
		return 0;
	}
	put_validity(out, view->validity, rows);
	for (uint64_t i = 0; i < rows->n; i++) {
		bool has_it = is_there(view->validity, rows->from + i) && !(rows->skip && rows->skip[i]);

		buf_append_u32(out, has_it ? (uint32_t)lists[rows->from + i].len : 0);
	}
	return put_elements(out, view, rows);
}

size_t batch_small(const struct view *views, size_t n_views, uint64_t n)
{
	uint64_t fixed = 0, bytes = 0, all = 4 + n;

	for (size_t i = 0; i < n_views; i++) {
		const struct duckdb_string *strings = views[i].data;
		unsigned size = wire_size(views[i].kind);

		if (views[i].is_list)
			return 0;
		fixed += 9 + 5;
		all += 1 + n + n * (size ? size : 4) + (size ? 0 : DUCKDB_SHORT_TEXT);
		for (uint64_t k = 0; !size && k < n; k++)
			bytes += is_there(views[i].validity, k) ? strings[k].len : 0;
	}
	return fixed + bytes < BATCH_ROW_MAX && n * fixed + bytes < WIRE_BATCH_BYTES ? all + bytes : 0;
}

uint64_t batch_choose(const struct view *views, size_t n_views, uint64_t from, uint64_t n, bool *skip, bool *out_skips)
{
	uint64_t bytes = 0, k;

	*out_skips = false;
	for (k = 0; k < n && bytes < WIRE_BATCH_BYTES; k++) {
		uint64_t row = 0;

		for (size_t i = 0; i < n_views; i++)
			row += value_bytes(&views[i], from + k);
		skip[k] = row > BATCH_ROW_MAX;
		*out_skips = *out_skips || skip[k];
		bytes += skip[k] ? 9 * n_views : row;
	}
	return k;
}

int batch_put(struct buf *out, const struct view *views, size_t n_views, const struct span *rows, const bool *skip)
{
	int rc = 0;

	buf_append_u32(out, (uint32_t)rows->n);
	buf_append(out, skip, rows->n);
	for (size_t i = 0; rc == 0 && i < n_views; i++)
		rc = put_column(out, &views[i], rows);
	return rc;
}
