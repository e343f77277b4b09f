/* SPDX-License-Identifier: MIT */
/*
 * Views, rows and single values. A view begins with the catalog, then takes the snapshot, and begins again if a new catalog was being
 * published meanwhile: so a row is never read by a definition that is older or newer than it.
 *
 * TTL is judged here, against the view's one clock reading, and nowhere else on a read path: a value is gone for readers from the
 * moment it expires, and the sweep that frees its space later changes nothing that anybody can see.
 */
#include "serve/serve.h"

#include <errno.h>
#include <string.h>
#include "base/clock.h"

int serve_begin(struct store *store, struct catalog_current *cur, struct serve_view *out)
{
	for (;;) {
		uint64_t number;
		struct catalog *cat = catalog_current_get(cur, &number);
		struct store_snap *snap;
		int rc = store_snap_begin(store, &snap);

		if (rc < 0) {
			catalog_unref(cat);
			return rc;
		}
		if (catalog_current_is(cur, number)) {
			*out = (struct serve_view){ .snap = snap, .cat = cat, .now_ns = clock_now() };
			return 0;
		}
		store_snap_end(snap);
		catalog_unref(cat);
	}
}

void serve_end(struct serve_view *view)
{
	store_snap_end(view->snap);
	catalog_unref(view->cat);
	view->snap = NULL;
	view->cat = NULL;
}

int serve_row_raw(const struct serve_view *view, const struct catalog_group *grp, struct slice entity, struct slice *out_bytes,
		  struct record *out)
{
	int rc = store_get_row_over(view->snap, grp->rows, grp->overlay, entity, out_bytes);

	if (rc == -ENOENT)
		*out_bytes = slice_of(NULL, 0);
	else if (rc < 0)
		return rc;
	return record_view(*out_bytes, out);
}

int serve_row(const struct serve_view *view, const struct catalog_group *grp, struct slice entity, struct record *out)
{
	struct slice bytes;
	int rc = serve_row_raw(view, grp, entity, &bytes, out);

	if (rc < 0)
		return rc;
	return record_exists(out) ? 0 : -ENOENT;
}

int64_t serve_end_ns(const struct catalog_group *grp, int64_t event_ns)
{
	int64_t end_ns;

	return grp->ttl_ns == 0 || __builtin_add_overflow(event_ns, grp->ttl_ns, &end_ns) ? INT64_MAX : end_ns;
}

bool serve_is_expired(const struct serve_view *view, const struct catalog_group *grp, int64_t event_ns)
{
	return grp->ttl_ns && serve_end_ns(grp, event_ns) <= view->now_ns;
}

void serve_value(const struct serve_view *view, const struct catalog_group *grp, const struct record *rec,
		 const struct catalog_feature *feature, struct serve_value *out)
{
	struct record_cell cell;

	*out = (struct serve_value){ .status = SERVE_MISSING, .feature = feature };
	if (feature->retired || !record_find(rec, feature->slot, &cell))
		return;
	record_stamp(rec, cell.stamp, &out->stamp);
	if (cell.state != RECORD_PRESENT && cell.state != RECORD_NULL)
		return;
	out->type_code = cell.type;
	out->value = cell.value;
	if (serve_is_expired(view, grp, out->stamp.event_ns))
		out->status = SERVE_EXPIRED;
	else
		out->status = cell.state == RECORD_PRESENT ? SERVE_PRESENT : SERVE_NULL;
}

/* In the type that the feature has now. */
static int print_value(const struct serve_value *value, int (*print)(const struct type *type, struct slice bytes, struct buf *out), struct buf *out)
{
	struct buf wide = { 0 };
	struct slice bytes;
	int rc = type_widen(&value->feature->type, value->type_code, value->value, &wide, &bytes);

	if (rc == 0)
		rc = print(&value->feature->type, bytes, out);
	buf_release(&wide);
	return rc;
}

int serve_value_text(const struct serve_value *value, struct buf *out)
{
	return value->status == SERVE_PRESENT ? print_value(value, type_text_print, out) : 0;
}

int serve_value_bin(const struct serve_value *value, struct buf *out)
{
	return value->status == SERVE_PRESENT ? print_value(value, type_bin_print, out) : 0;
}

int serve_value_json(const struct serve_value *value, struct buf *out)
{
	if (value->status == SERVE_PRESENT)
		return print_value(value, type_json_print, out);
	buf_append_str(out, "null");
	return buf_error(out);
}

const char *serve_lane_name(uint8_t lane)
{
	static const char *const names[] = {
		[RECORD_LANE_DIRECT] = "direct", [RECORD_LANE_STREAM] = "stream", [RECORD_LANE_BATCH] = "batch",
	};

	return lane < sizeof names / sizeof *names && names[lane] ? names[lane] : "unknown";
}

int serve_source_text(const struct serve_view *view, const struct record_stamp *stamp, struct buf *out)
{
	uint8_t key[4] = { stamp->source >> 24, stamp->source >> 16, stamp->source >> 8, stamp->source };
	struct slice text = slice_str("");
	int rc = stamp->source ? store_get(view->snap, STORE_SOURCES, slice_of(key, sizeof key), &text) : 0;

	if (rc < 0 && rc != -ENOENT)
		return rc;
	switch (stamp->lane) {
	case RECORD_LANE_DIRECT:
		buf_printf(out, "uid %llu", (unsigned long long)stamp->origin);
		break;
	case RECORD_LANE_STREAM:
		buf_append_slice(out, text);
		buf_printf(out, "/%llu/%llu", (unsigned long long)(stamp->origin >> 48),
			   (unsigned long long)(stamp->origin & ((UINT64_C(1) << 48) - 1)));
		break;
	default:
		/* What no row has said, such as an entity that a snapshot did not have, came from no part. */
		if (stamp->origin & ((UINT64_C(1) << RECORD_LINE_BITS) - 1))
			source_print_part(text, stamp->origin >> RECORD_LINE_BITS, out);
		else
			buf_append_slice(out, source_name(text));
		break;
	}
	return buf_error(out);
}
