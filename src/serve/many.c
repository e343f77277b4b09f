/* SPDX-License-Identifier: MIT */
/*
 * Many rows and many cells. A random row of a large map costs some cache misses on the way through the tree, which depend on each other, and as
 * many for the row itself, which do not: so the rows of a few dozen entities are looked up first, and the lines of each are asked for while
 * the next one is being found.
 */
#include "serve/serve.h"

#include <errno.h>

enum { LINE = 64, LINES_MAX = 8 };	/* bytes that a core fetches at once; of larger rows the processor guesses the rest */

static void fetch(struct slice bytes)
{
	const char *at = bytes.data;
	size_t len = bytes.len < LINE * LINES_MAX ? bytes.len : LINE * LINES_MAX;

	for (size_t i = 0; i < len; i += LINE)
		__builtin_prefetch(at + i);
}

int serve_rows(const struct serve_view *view, const struct catalog_group *grp, const struct slice *entities, size_t n, struct record *out)
{
	int rc;

	for (size_t i = 0; i < n; i++) {
		struct slice bytes;

		rc = store_get_row_over(view->snap, grp->rows, grp->overlay, entities[i], &bytes);
		if (rc == -ENOENT)
			bytes = slice_of(NULL, 0);
		else if (rc < 0)
			return rc;
		fetch(bytes);
		out[i].data = bytes.data;
		out[i].len = bytes.len;
	}
	for (size_t i = 0; i < n; i++) {
		rc = record_view(slice_of(out[i].data, out[i].len), &out[i]);
		if (rc < 0)
			return rc;
	}
	return 0;
}

void serve_cells(const struct serve_view *view, const struct catalog_group *grp, const struct record *rec, const uint16_t *slots,
		 unsigned n, struct serve_cell *out)
{
	enum { AT_ONCE = 64 };
	struct record_picked picked[AT_ONCE];

	for (unsigned begin = 0; begin < n; begin += AT_ONCE) {
		unsigned count = n - begin < AT_ONCE ? n - begin : AT_ONCE;

		record_pick(rec, slots + begin, count, picked);
		for (unsigned i = 0; i < count; i++) {
			struct serve_cell *cell = &out[begin + i];

			cell->status = SERVE_MISSING;
			cell->event_ns = 0;
			if (picked[i].state != RECORD_PRESENT && picked[i].state != RECORD_NULL)
				continue;
			cell->event_ns = picked[i].event_ns;
			cell->type_code = picked[i].type;
			cell->value = picked[i].value;
			if (serve_is_expired(view, grp, picked[i].event_ns))
				cell->status = SERVE_EXPIRED;
			else
				cell->status = picked[i].state == RECORD_PRESENT ? SERVE_PRESENT : SERVE_NULL;
		}
	}
}
