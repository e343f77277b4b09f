/* SPDX-License-Identifier: MIT */
/*
 * What the process that reads Parquet may say: a header and a batch of columns, made into values of every feature that they suit. What would be
 * taken as it stands must be what comes out value by value. The first two bytes tell how long the header is.
 */
#include "batch/parquet_values.h"
#include "rows.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct catalog_group *grp;
static struct batch_mapping *mapping;
static struct row row;
static struct buf record;

static void begin(void)
{
	static unsigned targets[64];

	if (catalog_group_parse("schema", slice_str(rows_schema), &grp, NULL) < 0 || batch_mapping_new(grp, NULL, &mapping, NULL) < 0)
		abort();
	for (unsigned i = 0; i < mapping->n_targets; i++)
		targets[i] = i;
	if (row_init(&row, mapping, targets, mapping->n_targets) < 0)
		abort();
}

static void take(int rc, const struct why *why)
{
	if (rc < 0 && rc != -ENOMEM && !why->text[0])
		abort();
}

/* A value that is taken as it stands, as it must be in the finished row. */
struct expected {
	bool is_direct;
	struct slice bytes;
};

static void expect(const struct wire_column *column, const struct wire_values *values, size_t i, unsigned f, struct expected *out)
{
	struct parquet_direct direct = parquet_direct(column, row.features[f], values);

	out->is_direct = direct.is_direct;
	if (direct.is_direct)
		out->bytes = parquet_direct_value(&direct, i);
}

/* Row i, with value of each feature from the first column that suits it. */
static void take_row(const struct wire_column *const *wanted, const struct wire_batch *batch, size_t i)
{
	char text[PARQUET_KEY_MAX];
	struct slice key;
	int64_t time;
	struct expected expected[64] = { { 0 } };

	row_begin_absent(&row);
	for (size_t c = 0; c < batch->n_columns; c++) {
		struct why why = { "" };

		if (wire_is_null(&batch->columns[c], i))
			continue;
		if (parquet_is_key(wanted[c]))
			take(parquet_key(wanted[c]->kind, &batch->columns[c], i, text, &key, &why), &why);
		if (parquet_is_time(wanted[c]))
			take(parquet_time(wanted[c]->kind, &batch->columns[c], i, &time, &why), &why);
		for (unsigned f = 0; f < row.n; f++) {
			if (row.cells[f].state != RECORD_ABSENT || !parquet_suits(wanted[c], &row.features[f]->type))
				continue;
			expect(wanted[c], &batch->columns[c], i, f, &expected[f]);
			if (parquet_value(wanted[c], &batch->columns[c], i, &row, f, &why) < 0) {
				if (expected[f].is_direct)
					abort();
				take(-EINVAL, &why);
				row_state(&row, f, RECORD_NULL);	/* a row that is refused is not used again */
			}
		}
	}
	if (row_finish(&row, RECORD_EXISTS, 1, 1, NULL) < 0)
		return;
	buf_reset(&record);
	if (record_pack(row.done.flags, &row.done.stamp, row.done.cells, row.done.n, &record) < 0)
		abort();
	rows_check(grp, slice_str("u,d"), buf_slice(&record));
	for (unsigned f = 0; f < row.n; f++)
		if (expected[f].is_direct && !slice_equal(expected[f].bytes, row.cells[f].value))
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct wire_column **wanted;
	struct wire_header header;
	struct wire_batch batch;
	size_t head;

	if (!grp)
		begin();
	if (size < 2)
		return 0;
	head = (size_t)(data[0] | data[1] << 8);
	head = head < size - 2 ? head : size - 2;
	if (wire_header_parse(slice_of(data + 2, head), &header) < 0)
		return 0;
	wanted = calloc(header.n_columns + 1, sizeof *wanted);
	if (!wanted)
		abort();
	for (size_t i = 0; i < header.n_columns; i++)
		wanted[i] = &header.columns[i];
	if (wire_batch_init(&batch, wanted, header.n_columns) == 0) {
		/* Twice, for a batch is read into what the one before left. */
		for (unsigned pass = 0; pass < 2; pass++)
			if (wire_batch_parse(&batch, wanted, slice_of(data + 2 + head, size - 2 - head)) == 0)
				for (size_t i = 0; i < batch.rows && i < 1000; i++)
					take_row(wanted, &batch, i);
		wire_batch_release(&batch);
	}
	free(wanted);
	wire_header_release(&header);
	return 0;
}
