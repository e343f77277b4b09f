/* SPDX-License-Identifier: MIT */
/* Many values of one entity, all from the one row that the caller has at hand: its JSON form, its times, whether it has any. */
#include "serve/serve.h"

#include "base/clock.h"

/* Is there a live value in cell `i`? Fills `value` if so. */
static bool live_value(const struct serve_view *view, const struct catalog_group *grp, const struct record *rec, unsigned i,
		       struct serve_value *value)
{
	const struct catalog_feature *feature;
	struct record_cell cell;

	record_cell(rec, i, &cell);
	feature = catalog_feature_at(grp, cell.slot);
	if (!feature)
		return false;
	serve_value(view, grp, rec, feature, value);
	return value->status == SERVE_PRESENT || value->status == SERVE_NULL;
}

bool serve_row_has_values(const struct serve_view *view, const struct catalog_group *grp, const struct record *rec)
{
	struct serve_value value;

	for (unsigned i = 0; i < rec->cells; i++)
		if (live_value(view, grp, rec, i, &value))
			return true;
	return false;
}

void serve_row_times(const struct serve_view *view, const struct catalog_group *grp, const struct record *rec, int64_t *out_event_ns,
		     int64_t *out_ingest_ns)
{
	struct serve_value value;
	int64_t event_ns = INT64_MIN, ingest_ns = INT64_MIN;

	for (unsigned i = 0; i < rec->cells; i++) {
		if (!live_value(view, grp, rec, i, &value))
			continue;
		if (value.stamp.event_ns > event_ns)
			event_ns = value.stamp.event_ns;
		if (value.stamp.ingest_ns > ingest_ns)
			ingest_ns = value.stamp.ingest_ns;
	}
	*out_event_ns = event_ns == INT64_MIN ? grp->created_ns : event_ns;
	*out_ingest_ns = ingest_ns == INT64_MIN ? grp->created_ns : ingest_ns;
}

int64_t serve_row_end_ns(const struct serve_view *view, const struct catalog_group *grp, const struct record *rec)
{
	int64_t first_ns = INT64_MAX, end_ns;
	struct serve_value value;

	if (grp->ttl_ns == 0)
		return INT64_MAX;
	for (unsigned i = 0; i < rec->cells; i++) {
		if (!live_value(view, grp, rec, i, &value))
			continue;
		end_ns = serve_end_ns(grp, value.stamp.event_ns);
		if (end_ns < first_ns)
			first_ns = end_ns;
	}
	return first_ns;
}

/* Entity names are in their written form: no control bytes, so that a quote and a backslash are all that JSON wants escaped. */
void serve_print_name(struct slice name, struct buf *out)
{
	const char *text = name.data;

	buf_append_char(out, '"');
	for (size_t i = 0; i < name.len; i++) {
		if (text[i] == '"' || text[i] == '\\')
			buf_append_char(out, '\\');
		buf_append_char(out, text[i]);
	}
	buf_append_char(out, '"');
}

int serve_row_json(const struct serve_view *view, const struct catalog_group *grp, struct slice entity, const struct record *rec,
		   struct buf *out)
{
	char time[CLOCK_TEXT_MAX];
	struct serve_value value;
	int64_t event_ns, ingest_ns;
	bool has_any = serve_row_has_values(view, grp, rec);

	buf_append_str(out, "{\"entity\": ");
	serve_print_name(entity, out);
	if (has_any) {
		serve_row_times(view, grp, rec, &event_ns, &ingest_ns);
		clock_print_time(event_ns, true, time);
		buf_printf(out, ", \"event_time\": \"%s\"", time);
	}
	buf_append_str(out, ", \"features\": {");
	has_any = false;
	for (unsigned i = 0; i < rec->cells; i++) {
		int rc;

		if (!live_value(view, grp, rec, i, &value))
			continue;
		buf_append_str(out, has_any ? ", \"" : "\"");
		buf_append_str(out, value.feature->name);
		buf_append_str(out, "\": ");
		rc = serve_value_json(&value, out);
		if (rc < 0)
			return rc;
		has_any = true;
	}
	buf_append_str(out, "}}\n");
	return buf_error(out);
}
