/* SPDX-License-Identifier: MIT */
/* Names in order, and what a group amounts to. */
#include "serve/serve.h"

#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"

struct serve_entities {
	struct store_walk *walk;
};

int serve_entities_begin(const struct serve_view *view, const struct catalog_group *grp, struct slice after,
			 struct serve_entities **out)
{
	struct serve_entities *it = malloc(sizeof *it);
	int rc;

	if (!it)
		return -ENOMEM;
	rc = store_walk_rows_over(view->snap, grp->rows, grp->overlay, after, &it->walk);
	if (rc < 0) {
		free(it);
		return rc;
	}
	*out = it;
	return 0;
}

int serve_entities_next(struct serve_entities *it, struct slice *out_name, struct record *out_row)
{
	struct slice bytes;
	int rc;

	while ((rc = store_walk_next(it->walk, out_name, &bytes)) == 0) {
		rc = record_view(bytes, out_row);
		if (rc < 0 || record_exists(out_row))
			return rc;
	}
	return rc;
}

void serve_entities_end(struct serve_entities *it)
{
	if (!it)
		return;
	store_walk_end(it->walk);
	free(it);
}

int serve_stats(const struct serve_view *view, const struct catalog_group *grp, struct catalog_stats *out)
{
	uint8_t key[4] = { grp->id >> 24, grp->id >> 16, grp->id >> 8, grp->id };
	struct slice bytes = slice_of(NULL, 0);
	int rc = store_get(view->snap, STORE_STATS, slice_of(key, sizeof key), &bytes);

	if (rc < 0 && rc != -ENOENT)
		return rc;
	return catalog_stats_decode(bytes, out);
}

/* What only a walk over the group can tell. */
struct ages {
	uint64_t values, nulls, expired;
	int64_t newest_ns, oldest_ns;
};

static int walk_ages(const struct serve_view *view, const struct catalog_group *grp, struct ages *out)
{
	struct serve_entities *it;
	struct record row;
	struct slice name;
	int rc = serve_entities_begin(view, grp, slice_of(NULL, 0), &it);

	*out = (struct ages){ .newest_ns = INT64_MIN, .oldest_ns = INT64_MAX };
	if (rc < 0)
		return rc;
	while ((rc = serve_entities_next(it, &name, &row)) == 0) {
		for (unsigned i = 0; i < row.cells; i++) {
			const struct catalog_feature *feature;
			struct record_cell cell;
			struct serve_value value;

			record_cell(&row, i, &cell);
			feature = catalog_feature_at(grp, cell.slot);
			if (!feature)
				continue;
			serve_value(view, grp, &row, feature, &value);
			out->expired += value.status == SERVE_EXPIRED;
			if (value.status != SERVE_PRESENT && value.status != SERVE_NULL)
				continue;
			out->values += value.status == SERVE_PRESENT;
			out->nulls += value.status == SERVE_NULL;
			if (value.stamp.event_ns > out->newest_ns)
				out->newest_ns = value.stamp.event_ns;
			if (value.stamp.event_ns < out->oldest_ns)
				out->oldest_ns = value.stamp.event_ns;
		}
	}
	serve_entities_end(it);
	return rc == -ENOENT ? 0 : rc;
}

static void print_age(struct buf *out, const char *name, int64_t now_ns, int64_t then_ns)
{
	buf_printf(out, "%s: %.3f\n", name, (double)clock_between(then_ns, now_ns) / 1e9);
}

int serve_stats_text(const struct serve_view *view, const struct catalog_group *grp, struct buf *out)
{
	struct catalog_stats stats;
	char time[CLOCK_TEXT_MAX];
	struct ages ages = { 0 };
	unsigned n_features = 0;
	int rc = serve_stats(view, grp, &stats);

	if (rc == 0)
		rc = walk_ages(view, grp, &ages);
	if (rc < 0)
		return rc;
	for (unsigned i = 0; i < grp->n_features; i++)
		n_features += !grp->features[i].retired;
	buf_printf(out, "features: %u\n", n_features);
	buf_printf(out, "entities: %llu\n", (unsigned long long)stats.entities);
	buf_printf(out, "rows: %llu\n", (unsigned long long)stats.rows);
	buf_printf(out, "bytes: %llu\n", (unsigned long long)stats.row_bytes);
	buf_printf(out, "values: %llu\n", (unsigned long long)ages.values);
	buf_printf(out, "nulls: %llu\n", (unsigned long long)ages.nulls);
	buf_printf(out, "expired: %llu\n", (unsigned long long)ages.expired);
	buf_printf(out, "swept: %llu\n", (unsigned long long)stats.swept);
	if (stats.newest_event_ns) {
		clock_print_time(stats.newest_event_ns, true, time);
		buf_printf(out, "newest_event_time: %s\n", time);
	}
	if (grp->overlay) {
		clock_print_time(grp->overlay_ns, true, time);
		buf_printf(out, "overlay_since: %s\n", time);
	}
	if (ages.values + ages.nulls > 0) {
		print_age(out, "newest_age_seconds", view->now_ns, ages.newest_ns);
		print_age(out, "oldest_age_seconds", view->now_ns, ages.oldest_ns);
	}
	for (uint8_t lane = RECORD_LANE_DIRECT; lane <= RECORD_LANE_BATCH; lane++) {
		buf_printf(out, "%s_applied: %llu\n", serve_lane_name(lane), (unsigned long long)stats.applied[lane - 1]);
		buf_printf(out, "%s_late: %llu\n", serve_lane_name(lane), (unsigned long long)stats.late[lane - 1]);
	}
	return buf_error(out);
}
