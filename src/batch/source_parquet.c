/* SPDX-License-Identifier: MIT */
/*
 * Parquet, by way of a process of its own (see parquet_child.c): it tells the columns, is told which are wanted, and sends them in batches.
 * What the file says about types is believed only as far as it suits: a column whose kind no value of the feature can come from ends the
 * file before its first row, a value that does not fit refuses its row. Nothing is guessed: 1.5 is no integer, a number is no text.
 */
#include "batch/source_private.h"

#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/num.h"
#include "base/text.h"
#include "batch/parquet_child.h"
#include "batch/parquet_values.h"

enum { MEMORY_DEFAULT = 512 << 20 };

struct parquet {
	struct batch_source base;
	struct parquet_child child;
	struct buf header_bytes, frame;
	struct wire_header header;
	struct wire_batch batch;
	const struct wire_column **wanted;
	size_t n_wanted;
	struct mapping_columns columns;		/* indexes of columns are those of `wanted` */
	struct row row;
	struct slice entity;		/* of the row */
	struct parquet_direct *direct;	/* of the row's values, in this batch */
	bool is_flat;			/* all of this batch's are direct, and no row of it can be too large */
	bool are_keys_plain;		/* its entities are text that stands for itself */
	int64_t time_raw, time_ns;	/* times repeat from row to row */
	bool has_time;
	uint32_t at;		/* row of the batch */
	uint64_t line;		/* rows of batches before this one */
	_Atomic uint64_t done;
	bool is_over;
	char part_text[CATALOG_KEYS_MAX][PARQUET_KEY_MAX];
};

static struct parquet *parquet_of(struct batch_source *source)
{
	return (struct parquet *)source;
}

/* ---- rows ---- */

static int take_entity(struct parquet *pq, struct why *why)
{
	const struct mapping_columns *columns = &pq->columns;
	struct slice parts[CATALOG_KEYS_MAX];
	int rc = 0;

	if (pq->are_keys_plain) {
		/* None is empty or longer than a name may be, or it is told why below. */
		pq->entity = wire_bytes(&pq->batch.columns[columns->parts[0]], pq->at);
		if (pq->entity.len && pq->entity.len <= TEXT_ENTITY_MAX)
			return 0;
	}
	for (unsigned i = 0; rc == 0 && i < columns->n_parts; i++) {
		unsigned column = (unsigned)columns->parts[i];

		parts[i] = slice_of(NULL, 0);
		if (!wire_is_null(&pq->batch.columns[column], pq->at))
			rc = parquet_key(pq->wanted[column]->kind, &pq->batch.columns[column], pq->at, pq->part_text[i], &parts[i], why);
	}
	if (rc == 0)
		rc = mapping_entity(pq->base.options.mapping, parts, columns->n_parts, columns->is_written, &pq->row.entity, why);
	pq->entity = buf_slice(&pq->row.entity);
	return rc;
}

static bool is_plain_time(enum wire_kind kind)
{
	return kind == WIRE_TIME_US || kind == WIRE_TIME_NS;
}

static int take_time(struct parquet *pq, int64_t *out_ns, struct why *why)
{
	int column = pq->columns.event, rc;
	int64_t raw = 0;

	*out_ns = pq->base.options.default_event_ns;
	if (column < 0 || wire_is_null(&pq->batch.columns[column], pq->at))
		return 0;
	if (is_plain_time(pq->wanted[column]->kind)) {
		memcpy(&raw, pq->batch.columns[column].data + 8 * (size_t)pq->at, sizeof raw);
		if (pq->has_time && raw == pq->time_raw) {
			*out_ns = pq->time_ns;
			return 0;
		}
	}
	rc = parquet_time(pq->wanted[column]->kind, &pq->batch.columns[column], pq->at, out_ns, why);
	if (rc < 0) {
		why_prefix(why, "event time");
		return rc;
	}
	pq->has_time = is_plain_time(pq->wanted[column]->kind);
	pq->time_raw = raw;
	pq->time_ns = *out_ns;
	return 0;
}

static int take_value(struct parquet *pq, unsigned i, struct why *why)
{
	unsigned column = pq->columns.features[i].column;
	const struct wire_values *values = &pq->batch.columns[column];
	int rc;

	if (wire_is_null(values, pq->at)) {
		row_state(&pq->row, i, RECORD_NULL);
		return 0;
	}
	if (pq->direct[i].is_direct) {
		row_bytes(&pq->row, i, parquet_direct_value(&pq->direct[i], pq->at));
		return 0;
	}
	rc = parquet_value(pq->wanted[column], values, pq->at, &pq->row, i, why);
	if (rc < 0 && rc != -ENOMEM)
		why_prefix(why, "%s", pq->row.features[i]->name);
	return rc;
}

/* Nothing is to be made, and nothing can be refused. */
static void take_flat(struct parquet *pq, int64_t event_ns)
{
	struct row *row = &pq->row;

	for (unsigned i = 0; i < row->n; i++) {
		const struct parquet_direct *direct = &pq->direct[i];

		if (direct->valid && !direct->valid[pq->at])
			row_state(row, i, RECORD_NULL);
		else
			row_bytes(row, i, parquet_direct_value(direct, pq->at));
	}
	row_done(row, row->cells, row->n, RECORD_EXISTS, event_ns, pq->line + pq->at + 1);
}

static int take_row(struct parquet *pq, struct why *why)
{
	int64_t event_ns;
	int rc;

	pq->entity = slice_of(NULL, 0);
	buf_reset(&pq->row.entity);
	if (pq->batch.too_large[pq->at])
		return why_fail(why, EFBIG, "the row is larger than %d bytes", BATCH_ROW_MAX);
	rc = take_entity(pq, why);
	if (rc == 0)
		rc = take_time(pq, &event_ns, why);
	if (rc < 0)
		return rc;
	row_begin(&pq->row);
	if (pq->is_flat) {
		take_flat(pq, event_ns);
		return 0;
	}
	for (unsigned i = 0; rc == 0 && i < pq->columns.n_features; i++)
		rc = take_value(pq, i, why);
	return rc < 0 ? rc : row_finish(&pq->row, RECORD_EXISTS, event_ns, pq->line + pq->at + 1, why);
}

/* What can be said of all rows need not be asked for each. */
static void judge_batch(struct parquet *pq)
{
	const struct mapping_columns *columns = &pq->columns;
	const struct wire_values *keys = &pq->batch.columns[columns->parts[0]];
	const size_t overhead = 64 + 16 * (size_t)columns->n_features;	/* of a record beside its values, at most */

	pq->is_flat = pq->frame.len + overhead <= BATCH_ROW_MAX;
	for (unsigned i = 0; i < columns->n_features; i++) {
		unsigned column = columns->features[i].column;

		pq->direct[i] = parquet_direct(pq->wanted[column], pq->row.features[i], &pq->batch.columns[column]);
		pq->is_flat = pq->is_flat && pq->direct[i].is_direct;
	}
	pq->are_keys_plain = columns->n_parts == 1 && !columns->is_written && pq->wanted[columns->parts[0]]->kind == WIRE_TEXT && keys->n &&
		mapping_is_plain(slice_of(keys->data, keys->ends[keys->n - 1]));
}

/* 0: a batch is there; -ENOENT: no more will come. */
static int next_batch(struct parquet *pq, struct why *why)
{
	uint32_t kind;
	int rc;

	pq->line += pq->batch.rows;
	pq->at = pq->batch.rows = 0;
	if (pq->is_over)
		return -ENOENT;
	rc = parquet_child_read(&pq->child, &kind, &pq->frame, why);
	if (rc < 0)
		return rc;
	if (kind == WIRE_END) {
		pq->is_over = true;
		atomic_store_explicit(&pq->done, pq->header.rows, memory_order_relaxed);
		parquet_child_stop(&pq->child);
		return pq->line == pq->header.rows ? -ENOENT :
			why_fail(why, EINVAL, "the file's footer promises %llu rows, and %llu came", (unsigned long long)pq->header.rows,
				 (unsigned long long)pq->line);
	}
	rc = kind == WIRE_BATCH ? wire_batch_parse(&pq->batch, pq->wanted, buf_slice(&pq->frame)) : -EBADMSG;
	if (rc == 0)
		judge_batch(pq);
	atomic_store_explicit(&pq->done, pq->line, memory_order_relaxed);
	return rc == -EBADMSG ? why_fail(why, EINVAL, "the reader of Parquet sent a batch that is damaged") : rc;
}

static int parquet_next(struct batch_source *source, struct slice *out_entity, struct row_cells *out, uint64_t *out_line, struct why *why)
{
	struct parquet *pq = parquet_of(source);

	for (;;) {
		struct why reason;
		int rc;

		if (pq->at == pq->batch.rows) {
			rc = next_batch(pq, why);
			if (rc < 0)
				return rc;
			continue;
		}
		rc = take_row(pq, &reason);
		*out_line = pq->line + ++pq->at;
		if (rc == 0) {
			*out_entity = pq->entity;
			*out = pq->row.done;
			return 0;
		}
		if (rc == -ENOMEM)
			return rc;
		rc = source_reject(source, *out_line, pq->entity, rc, &reason);
		if (rc < 0)
			return rc;
	}
}

/* ---- columns ---- */

/* The wanted columns take the numbers of their places among themselves. */
static unsigned renumber(const struct parquet *pq, unsigned column)
{
	size_t low = 0, high = pq->n_wanted;
	const struct wire_column *wanted = &pq->header.columns[column];

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (pq->wanted[mid] < wanted)
			low = mid + 1;
		else
			high = mid;
	}
	return (unsigned)low;
}

static int check_columns(const struct parquet *pq, struct why *why)
{
	const struct mapping_columns *columns = &pq->columns;

	for (unsigned i = 0; i < columns->n_parts; i++)
		if (!parquet_is_key(&pq->header.columns[columns->parts[i]]))
			return parquet_refuse_column(&pq->header.columns[columns->parts[i]], "an entity: text or an integer", why);
	if (columns->event >= 0 && !parquet_is_time(&pq->header.columns[columns->event]))
		return parquet_refuse_column(&pq->header.columns[columns->event], "an event time: a timestamp, text or seconds since 1970",
					     why);
	for (unsigned i = 0; i < columns->n_features; i++) {
		const struct catalog_feature *feature = pq->base.options.mapping->targets[columns->features[i].target];
		char type[TYPE_NAME_MAX], what[TYPE_NAME_MAX + TEXT_NAME_MAX + 20];

		if (parquet_suits(&pq->header.columns[columns->features[i].column], &feature->type))
			continue;
		type_print(&feature->type, type);
		snprintf(what, sizeof what, "feature %s, which is %s", feature->name, type);
		return parquet_refuse_column(&pq->header.columns[columns->features[i].column], what, why);
	}
	return 0;
}

static int want_columns(struct parquet *pq)
{
	struct mapping_columns *columns = &pq->columns;
	bool *is_wanted = calloc(pq->header.n_columns + 1, sizeof *is_wanted);

	pq->wanted = calloc(pq->header.n_columns + 1, sizeof *pq->wanted);
	if (!is_wanted || !pq->wanted) {
		free(is_wanted);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < columns->n_parts; i++)
		is_wanted[columns->parts[i]] = true;
	if (columns->event >= 0)
		is_wanted[columns->event] = true;
	for (unsigned i = 0; i < columns->n_features; i++)
		is_wanted[columns->features[i].column] = true;
	for (size_t i = 0; i < pq->header.n_columns; i++)
		if (is_wanted[i])
			pq->wanted[pq->n_wanted++] = &pq->header.columns[i];
	free(is_wanted);
	for (unsigned i = 0; i < columns->n_parts; i++)
		columns->parts[i] = (int)renumber(pq, (unsigned)columns->parts[i]);
	if (columns->event >= 0)
		columns->event = (int)renumber(pq, (unsigned)columns->event);
	for (unsigned i = 0; i < columns->n_features; i++)
		columns->features[i].column = renumber(pq, columns->features[i].column);
	return wire_batch_init(&pq->batch, pq->wanted, pq->n_wanted);
}

static int send_wanted(struct parquet *pq, struct why *why)
{
	struct buf frame = { 0 };
	int rc;

	buf_append_u32(&frame, WIRE_WANTED);
	buf_append_u32(&frame, (uint32_t)(4 + 4 * pq->n_wanted));
	buf_append_u32(&frame, (uint32_t)pq->n_wanted);
	for (size_t i = 0; i < pq->n_wanted; i++)
		buf_append_u32(&frame, (uint32_t)(pq->wanted[i] - pq->header.columns));
	rc = buf_error(&frame);
	if (rc == 0)
		rc = parquet_child_write(&pq->child, &frame, why);
	buf_release(&frame);
	return rc;
}

static int bind_columns(struct parquet *pq, struct why *why)
{
	const struct batch_mapping *mapping = pq->base.options.mapping;
	struct slice *names = calloc(pq->header.n_columns + 1, sizeof *names);
	unsigned *targets = NULL;
	int rc = names ? 0 : -ENOMEM;

	for (size_t i = 0; rc == 0 && i < pq->header.n_columns; i++)
		names[i] = pq->header.columns[i].name;
	if (rc == 0)
		rc = mapping_bind(mapping, names, pq->header.n_columns, &pq->columns, why);
	if (rc == 0)
		rc = check_columns(pq, why);
	if (rc == 0)
		rc = want_columns(pq);
	if (rc == 0) {
		targets = calloc(pq->columns.n_features, sizeof *targets);
		pq->direct = calloc(pq->columns.n_features, sizeof *pq->direct);
		rc = targets && pq->direct ? 0 : -ENOMEM;
	}
	for (unsigned i = 0; rc == 0 && i < pq->columns.n_features; i++)
		source_met(&pq->base, targets[i] = pq->columns.features[i].target);
	if (rc == 0)
		rc = row_init(&pq->row, mapping, targets, pq->columns.n_features);
	free(targets);
	free(names);
	return rc;
}

/* ---- the source ---- */

struct batch_source *source_parquet_new(void)
{
	struct parquet *pq = calloc(1, sizeof *pq);

	if (!pq)
		return NULL;
	pq->child = (struct parquet_child){ .in = -1, .out = -1 };
	return &pq->base;
}

static void parquet_progress(struct batch_source *source, uint64_t *out_done_bytes, uint64_t *out_total_bytes)
{
	struct parquet *pq = parquet_of(source);
	uint64_t done = atomic_load_explicit(&pq->done, memory_order_relaxed), rows = pq->header.rows, unused;

	input_progress(source->input, &unused, out_total_bytes);
	*out_done_bytes = done >= rows ? *out_total_bytes : (uint64_t)((double)*out_total_bytes * (double)done / (double)rows);
}

static int parquet_ignored(const struct batch_source *source, struct buf *out)
{
	buf_append_slice(out, buf_slice(&((const struct parquet *)source)->columns.ignored));
	return buf_error(out);
}

static void parquet_close(struct batch_source *source)
{
	struct parquet *pq = parquet_of(source);

	parquet_child_stop(&pq->child);
	wire_batch_release(&pq->batch);
	wire_header_release(&pq->header);
	mapping_columns_release(&pq->columns);
	row_release(&pq->row);
	buf_release(&pq->header_bytes);
	buf_release(&pq->frame);
	free(pq->wanted);
	free(pq->direct);
	free(pq);
}

static const struct source_ops parquet_ops = { "Parquet", parquet_next, parquet_progress, parquet_ignored, parquet_close };

int source_parquet_open(struct batch_source *source, struct why *why)
{
	struct parquet *pq = parquet_of(source);
	size_t memory = source->options.parquet_memory_bytes;
	uint32_t kind;
	int rc;

	source->ops = &parquet_ops;
	rc = parquet_child_start(&pq->child, input_fd(source->input), source->options.parquet_folder, memory ? memory : MEMORY_DEFAULT, why);
	if (rc == 0)
		rc = parquet_child_read(&pq->child, &kind, &pq->header_bytes, why);
	if (rc < 0)
		return rc;
	rc = kind == WIRE_HEADER ? wire_header_parse(buf_slice(&pq->header_bytes), &pq->header) : -EBADMSG;
	if (rc == -EBADMSG)
		rc = why_fail(why, EINVAL, "the reader of Parquet sent a header that is damaged");
	if (rc == 0)
		rc = bind_columns(pq, why);
	return rc < 0 ? rc : send_wanted(pq, why);
}
