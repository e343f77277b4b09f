/* SPDX-License-Identifier: MIT */
/* Many values of one entity, all from the one row that the caller has at hand: its JSON form, its times, whether it has any. */
#include "serve/serve.h"

#include "base/clock.h"
#include "base/text.h"

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

/* A row up to where another member could follow. */
static int print_row(const struct serve_view *view, const struct catalog_group *grp, struct slice entity, const struct record *rec,
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
	buf_append_char(out, '}');
	return 0;
}

int serve_row_json(const struct serve_view *view, const struct catalog_group *grp, struct slice entity, const struct record *rec,
		   struct buf *out)
{
	int rc = print_row(view, grp, entity, rec, out);

	buf_append_str(out, "}\n");
	return rc < 0 ? rc : buf_error(out);
}

/* A file's name may be no UTF-8, which JSON must be. */
static int print_source(const struct serve_view *view, const struct record_stamp *stamp, struct buf *out)
{
	static const struct type string = { .base = TYPE_STRING };
	struct buf source = { 0 };
	int rc = serve_source_text(view, stamp, &source);

	if (rc == 0 && !text_is_utf8(buf_slice(&source)))
		for (size_t i = 0; i < source.len; i++)
			if ((unsigned char)source.data[i] >= 0x80)
				source.data[i] = '?';
	if (rc == 0)
		rc = type_json_print(&string, buf_slice(&source), out);
	buf_release(&source);
	return rc;
}

static int print_detail(const struct serve_view *view, const struct serve_value *value, struct buf *out)
{
	char event[CLOCK_TEXT_MAX], ingest[CLOCK_TEXT_MAX];
	int rc;

	clock_print_time(value->stamp.event_ns, true, event);
	clock_print_time(value->stamp.ingest_ns, true, ingest);
	buf_printf(out, "\"%s\": {%s\"event_time\": \"%s\", \"ingest_time\": \"%s\", \"lane\": \"%s\", \"source\": ", value->feature->name,
		   value->status == SERVE_EXPIRED ? "\"expired\": true, " : "", event, ingest, serve_lane_name(value->stamp.lane));
	rc = print_source(view, &value->stamp, out);
	buf_append_char(out, '}');
	return rc;
}

int serve_row_details(const struct serve_view *view, const struct catalog_group *grp, struct slice entity, const struct record *rec,
		      struct buf *out)
{
	int rc = print_row(view, grp, entity, rec, out);
	const char *comma = "";

	buf_append_str(out, ", \"details\": {");
	for (unsigned i = 0; i < rec->cells && rc == 0; i++) {
		struct serve_value value;

		if (!live_value(view, grp, rec, i, &value) && value.status != SERVE_EXPIRED)
			continue;
		buf_append_str(out, comma);
		rc = print_detail(view, &value, out);
		comma = ", ";
	}
	buf_append_str(out, "}}\n");
	return rc < 0 ? rc : buf_error(out);
}
