/* SPDX-License-Identifier: MIT */
/*
 * The one way out: everything that is read comes from a view, which is a snapshot of the map, the catalog that belongs to it, and the
 * time at which TTL is judged. Values are borrowed from the map while the view is open. A view is for one thread; any number may be open.
 * Nothing here allocates but buffers that the caller passes in.
 */
#ifndef SERVE_SERVE_H
#define SERVE_SERVE_H

#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/slice.h"
#include "catalog/catalog.h"
#include "store/store.h"

struct serve_view {
	struct store_snap *snap;
	const struct catalog *cat;
	int64_t now_ns;
};

/* 0 or a negative errno of store_snap_begin. */
int serve_begin(struct store *store, struct catalog_current *cur, struct serve_view *out);
void serve_end(struct serve_view *view);

enum serve_status { SERVE_PRESENT, SERVE_NULL, SERVE_MISSING, SERVE_EXPIRED };

struct serve_value {
	enum serve_status status;
	const struct catalog_feature *feature;
	struct record_stamp stamp;	/* set unless MISSING */
	uint8_t type_code;		/* what `value` is encoded in; may be narrower than the feature's type */
	struct slice value;		/* of PRESENT */
};

/* The row of an entity: -ENOENT if the entity does not exist. One mdb_get; two while a load's
 * overlay is being folded into the group's rows. */
int serve_row(const struct serve_view *view, const struct catalog_group *grp, struct slice entity, struct record *out);
/* The row as it stands, tombstones and all, whether the entity exists or not: rec->data is NULL if there is none. For writers that guard. */
int serve_row_raw(const struct serve_view *view, const struct catalog_group *grp, struct slice entity, struct slice *out_bytes,
		  struct record *out);
/* Is a value of that event time past the group's TTL? The one place that judges it. */
bool serve_is_expired(const struct serve_view *view, const struct catalog_group *grp, int64_t event_ns);
/* One value of a row; a retired feature is MISSING. */
void serve_value(const struct serve_view *view, const struct catalog_group *grp, const struct record *rec,
		 const struct catalog_feature *feature, struct serve_value *out);
/* Has the row any value (present or null) that is not expired? */
bool serve_row_has_values(const struct serve_view *view, const struct catalog_group *grp, const struct record *rec);
/* The newest event and ingest time among the row's values; the group's creation time if there are none. */
void serve_row_times(const struct serve_view *view, const struct catalog_group *grp, const struct record *rec, int64_t *out_event_ns,
		     int64_t *out_ingest_ns);

/*
 * Many at once, for views. serve_rows looks up the rows of n entities as serve_row_raw does (rec->data is NULL where there is none) and
 * has their memory under way before it is asked for: best called for some dozens at a time. serve_cells is serve_value for features by their slots,
 * in ascending order, which the caller knows not to be retired.
 */
int serve_rows(const struct serve_view *view, const struct catalog_group *grp, const struct slice *entities, size_t n, struct record *out);

/* `out` as record_pick gives it, but for `state`, which is enum serve_status; a MISSING one has no event time. */
void serve_cells(const struct serve_view *view, const struct catalog_group *grp, const struct record *rec, const uint16_t *slots,
		 unsigned n, struct record_picked *out);

/* When a value of that event time expires: from then on it is gone. INT64_MAX: never. */
int64_t serve_end_ns(const struct catalog_group *grp, int64_t event_ns);
/* When the first of the row's live values expires. */
int64_t serve_row_end_ns(const struct serve_view *view, const struct catalog_group *grp, const struct record *rec);

/* Append a value's forms; null is the empty text, `null` in JSON, empty in .bin. Errors of type.h. */
int serve_value_text(const struct serve_value *value, struct buf *out);
int serve_value_bin(const struct serve_value *value, struct buf *out);
int serve_value_json(const struct serve_value *value, struct buf *out);
/* One JSON row with a final newline: entity, event_time (the newest), features in slot order without the missing and the expired. */
int serve_row_json(const struct serve_view *view, const struct catalog_group *grp, struct slice entity, const struct record *rec,
		   struct buf *out);
/* The same with a last member, "details": for each of the features, and for those whose value has expired ("expired": true), event_time,
 * ingest_time, lane and source. */
int serve_row_details(const struct serve_view *view, const struct catalog_group *grp, struct slice entity, const struct record *rec,
		      struct buf *out);
/* Where a value came from, in words: "uid 1000", "topic/0/17", "import-3:part.csv". */
int serve_source_text(const struct serve_view *view, const struct record_stamp *stamp, struct buf *out);
const char *serve_lane_name(uint8_t lane);

/* Entities that exist, in order of their names, behind `after` (empty: from the first). */
struct serve_entities;
int serve_entities_begin(const struct serve_view *view, const struct catalog_group *grp, struct slice after,
			 struct serve_entities **out);
/* 0 with borrowed name and row, -ENOENT at the end. */
int serve_entities_next(struct serve_entities *it, struct slice *out_name, struct record *out_row);
void serve_entities_end(struct serve_entities *it);

/* Counters of a group at this snapshot. */
int serve_stats(const struct serve_view *view, const struct catalog_group *grp, struct catalog_stats *out);
/* The text of .stats: counters, and the age of the newest and oldest live value, for which it walks the group. May take long: 0.2 us a row. */
int serve_stats_text(const struct serve_view *view, const struct catalog_group *grp, struct buf *out);

/* ---- views of the catalog: rows of several groups, found by the parts of one key ---- */

struct serve_joined {
	const struct catalog_group *grp;
	struct record rec;		/* without cells if the group has no such entity */
};

/* The rows for a key of a view, one for each of its sources, as an array of struct serve_joined in `out_rows` (replaced). The key is in written
 * form, its parts joined by ','. -ENOENT: no group has it; -EINVAL: it is no key of the view; -ESTALE: see catalog_view_check. */
int serve_join_rows(const struct serve_view *view, const struct catalog_group *grp, struct slice key, struct buf *out_rows,
		    struct why *why);
/* One JSON row with a final newline, its features named by the view's columns; the missing and the expired are left out. Appends. */
int serve_join_json(const struct serve_view *view, const struct catalog_group *grp, struct slice key, const struct buf *rows,
		    struct buf *out);
/* The columns as little-endian float32, in the declared order; T[N] gives N of them; whatever is not present is NaN. -ENOTSUP: a column has no
 * such form (texts, timestamps, json, T[]). Appends. */
int serve_join_f32(const struct serve_view *view, const struct catalog_group *grp, const struct buf *rows, struct buf *out, struct why *why);
/* A vector as serve_join_f32 gives it for a key that no group has. */
int serve_join_nothing(const struct serve_view *view, const struct catalog_group *grp, struct buf *out, struct why *why);
/* An entity's name as a JSON string. */
void serve_print_name(struct slice name, struct buf *out);

#endif
