/* SPDX-License-Identifier: MIT */
/*
 * Many entities at once, from one snapshot. Group by group, in blocks of entities: first all rows of a block are looked up, which asks
 * for their memory without waiting for it, then their cells go into the columns. The scratch is of a fixed size for a view, so a
 * call allocates nothing.
 */
#include "sdk/private.h"

#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"

enum { BLOCK = 32 };		/* rows on their way from memory at once; more don't help, for a core has some ten misses in flight */

struct read_scratch {
	struct column_sink *sinks;
	unsigned n_sinks;
	struct record_picked *cells;
	struct slice names[BLOCK];
	struct record rows[BLOCK];
	char rooms[BLOCK][KEYS_ROOM];
};

int read_scratch_new(const struct featurefs_view *view, struct read_scratch **out)
{
	struct read_scratch *scratch = calloc(1, sizeof *scratch);

	if (!scratch)
		return -ENOMEM;
	scratch->n_sinks = view->n_columns;
	scratch->sinks = calloc(view->n_columns, sizeof *scratch->sinks);
	scratch->cells = calloc(view->n_columns, sizeof *scratch->cells);
	if (!scratch->sinks || !scratch->cells) {
		read_scratch_free(scratch);
		return -ENOMEM;
	}
	for (unsigned c = 0; c < view->n_columns; c++)
		column_init(&scratch->sinks[c], &view->columns[c]);
	*out = scratch;
	return 0;
}

void read_scratch_free(struct read_scratch *scratch)
{
	if (!scratch)
		return;
	for (unsigned i = 0; scratch->sinks && i < scratch->n_sinks; i++)
		column_release(&scratch->sinks[i]);
	free(scratch->sinks);
	free(scratch->cells);
	free(scratch);
}

static int put_row(const struct serve_view *from, const struct plan_part *plan, unsigned n, const struct record *row, size_t i,
		   struct read_scratch *scratch)
{
	int rc = 0;

	serve_cells(from, plan->grp, row, plan->slots, n, scratch->cells);
	for (unsigned c = 0; c < n && rc == 0; c++)
		rc = column_put(&scratch->sinks[plan->columns[c]], i, &scratch->cells[c]);
	return rc;
}

static int read_part(const struct featurefs_view *view, unsigned p, const struct serve_view *from, const struct view_reader *reader,
		     const struct featurefs_keys *keys, size_t n_keys, size_t n)
{
	const struct view_part *part = &view->parts[p];
	struct read_scratch *scratch = reader->scratch;
	int rc = 0;

	for (size_t begin = 0; begin < n && rc == 0; begin += BLOCK) {
		size_t count = n - begin < BLOCK ? n - begin : BLOCK;

		for (size_t i = 0; i < count; i++)
			scratch->names[i] = keys_entity(part, view->n_keys, keys, n_keys, begin + i, scratch->rooms[i]);
		rc = serve_rows(from, reader->parts[p].grp, scratch->names, count, scratch->rows);
		for (size_t i = 0; i < count && rc == 0; i++)
			rc = put_row(from, &reader->parts[p], part->n_columns, &scratch->rows[i], begin + i, scratch);
	}
	return rc;
}

int sdk_read(struct featurefs_view *view, const struct featurefs_keys *keys, size_t n_keys, size_t n, struct featurefs_column *columns,
	     struct why *why)
{
	struct view_reader *reader;
	struct sdk_lease *lease;
	int rc = keys_check(view, keys, n_keys, n, why), source, last;

	if (rc < 0)
		return rc;
	source = sdk_begin_untimed(view->fs, &lease, why);
	if (source < 0)
		return source;
	rc = view_reader_begin(view, source == 0 ? lease->cat : NULL, &reader, why);
	if (rc < 0)
		goto out;
	if (reader->has_ttl && source == 0)
		lease->view.now_ns = clock_now();
	for (unsigned c = 0; c < view->n_columns && rc == 0; c++)
		rc = column_begin(&reader->scratch->sinks[c], &columns[c], n, why);
	if (rc == 0 && source == SDK_BY_MOUNT)
		rc = remote_read(view, keys, n_keys, n, reader->scratch->sinks, why);
	for (unsigned p = 0; p < view->n_parts && rc == 0 && source == 0; p++)
		rc = read_part(view, p, &lease->view, reader, keys, n_keys, n);
	if (rc == 0) {
		for (unsigned c = 0; c < view->n_columns; c++) {
			last = column_end(&reader->scratch->sinks[c]);
			if (last < 0)
				rc = why_fail(why, -last, "column %s: its values have %zu bytes, %zu are given", view->columns[c].name,
					      columns[c].values_len, columns[c].values_room);
		}
	} else if (rc == -EBADMSG && !why->text[0]) {
		why_fail(why, EBADMSG, "a value is damaged: run featurectl verify");
	}
	view_reader_end(view, reader);
out:
	if (source == 0)
		sdk_lease_end(lease);
	return rc;
}

int featurefs_read(struct featurefs_view *view, const struct featurefs_keys *keys, size_t n_keys, size_t n,
		   struct featurefs_column *columns)
{
	struct why why;

	why.text[0] = '\0';
	return sdk_return(sdk_read(view, keys, n_keys, n, columns, &why), &why);
}

int featurefs_read_one(struct featurefs_view *view, const char *entity, struct featurefs_column *columns)
{
	const struct featurefs_keys keys = { .strings = &entity };

	return featurefs_read(view, &keys, 1, 1, columns);
}
