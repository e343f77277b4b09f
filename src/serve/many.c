/* SPDX-License-Identifier: MIT */
/* Many rows and many cells at once, for views. */
#include "serve/serve.h"

#include <errno.h>

enum { AT_ONCE = 64 };

/* What stands over the group's rows comes first; where it says nothing, they do. An empty row hides what is below it. */
static int get_rows(const struct serve_view *view, const struct catalog_group *grp, const struct slice *entities, size_t n,
		    struct slice *out)
{
	struct slice asked[AT_ONCE], below[AT_ONCE];
	size_t places[AT_ONCE], missing = 0;
	int rc = store_get_rows(view->snap, grp->overlay ? grp->overlay : grp->rows, entities, n, out);

	if (rc < 0 || !grp->overlay)
		return rc;
	for (size_t i = 0; i < n; i++) {
		if (out[i].data)
			continue;
		places[missing] = i;
		asked[missing++] = entities[i];
	}
	rc = store_get_rows(view->snap, grp->rows, asked, missing, below);
	for (size_t i = 0; i < missing && rc == 0; i++)
		out[places[i]] = below[i];
	return rc;
}

int serve_rows(const struct serve_view *view, const struct catalog_group *grp, const struct slice *entities, size_t n, struct record *out)
{
	struct slice bytes[AT_ONCE];

	for (size_t begin = 0; begin < n; begin += AT_ONCE) {
		size_t count = n - begin < AT_ONCE ? n - begin : AT_ONCE;
		int rc = get_rows(view, grp, entities + begin, count, bytes);

		for (size_t i = 0; i < count && rc == 0; i++)
			rc = record_view(bytes[i], &out[begin + i]);
		if (rc < 0)
			return rc;
	}
	return 0;
}

void serve_cells(const struct serve_view *view, const struct catalog_group *grp, const struct record *rec, const uint16_t *slots,
		 unsigned n, struct record_picked *out)
{
	static const uint8_t statuses[] = {
		[RECORD_ABSENT] = SERVE_MISSING, [RECORD_PRESENT] = SERVE_PRESENT, [RECORD_NULL] = SERVE_NULL, [RECORD_DELETED] = SERVE_MISSING,
	};

	record_pick(rec, slots, n, out);
	for (unsigned i = 0; i < n; i++) {
		out[i].state = statuses[out[i].state & 3];
		if (out[i].state == SERVE_MISSING)
			out[i].event_ns = 0;
		else if (grp->ttl_ns && serve_is_expired(view, grp, out[i].event_ns))
			out[i].state = SERVE_EXPIRED;
	}
}
