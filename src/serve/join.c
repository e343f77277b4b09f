/* SPDX-License-Identifier: MIT */
/*
 * Views (catalog/view.c) read: the rows of several groups, found by the parts of one key and shown as one. All of them come from the one
 * snapshot that the caller holds, one look-up for each group.
 */
#include "serve/serve.h"

#include <errno.h>
#include <string.h>
#include "base/clock.h"
#include "base/text.h"

/* The parts of a key, borrowed. */
static int split_key(const struct catalog_group *grp, struct slice key, struct slice out_parts[CATALOG_KEYS_MAX], struct why *why)
{
	const char *at = key.data, *end = at + key.len;
	unsigned n = 0;
	int rc = text_check_entity(key, grp->n_keys, why);

	if (rc < 0)
		return rc;
	do {
		const char *comma = grp->n_keys > 1 ? memchr(at, ',', (size_t)(end - at)) : NULL;
		size_t len = (size_t)((comma ? comma : end) - at);

		if (n == grp->n_keys)
			return why_fail(why, EINVAL, "the key has more than %u parts", grp->n_keys);
		out_parts[n++] = slice_of(at, len);
		at += len + 1;
	} while (at <= end && grp->n_keys > 1);
	return n == grp->n_keys ? 0 : why_fail(why, EINVAL, "the key has %u parts; the view's has %u", n, grp->n_keys);
}

/* The name of the entity in one of the groups; false if it is too long to be one. */
static bool name_entity(const struct catalog_source *source, const struct slice *parts, char out[TEXT_ENTITY_MAX + 1], struct slice *out_name)
{
	size_t len = 0;

	for (unsigned i = 0; i < source->n_parts; i++) {
		struct slice part = parts[source->parts[i]];

		if (len + (i > 0) + part.len > TEXT_ENTITY_MAX)
			return false;
		if (i > 0)
			out[len++] = ',';
		memcpy(out + len, part.data, part.len);
		len += part.len;
	}
	*out_name = slice_of(out, len);
	return true;
}

int serve_join_rows(const struct serve_view *view, const struct catalog_group *grp, struct slice key, struct buf *out_rows,
		    struct why *why)
{
	struct slice parts[CATALOG_KEYS_MAX], name;
	char entity[TEXT_ENTITY_MAX + 1];
	bool has_any = false;
	int rc = catalog_view_check(view->cat, grp, why);

	if (rc == 0)
		rc = split_key(grp, key, parts, why);
	buf_reset(out_rows);
	for (unsigned i = 0; rc == 0 && i < grp->view->n_sources; i++) {
		const struct catalog_source *source = &grp->view->sources[i];
		struct serve_joined joined = { .grp = catalog_find_id(view->cat, source->group_id) };

		rc = name_entity(source, parts, entity, &name) ? serve_row(view, joined.grp, name, &joined.rec) : -ENOENT;
		has_any = has_any || rc == 0;
		if (rc == -ENOENT) {
			joined.rec = (struct record){ 0 };
			rc = 0;
		}
		buf_append(out_rows, &joined, sizeof joined);
		if (rc == 0)
			rc = buf_error(out_rows);
	}
	if (rc == 0 && !has_any)
		rc = why_fail(why, ENOENT, "none of the view's groups has that entity");
	return rc;
}

static void column_value(const struct serve_view *view, const struct catalog_column *column, const struct buf *rows, struct serve_value *out)
{
	const struct serve_joined *joined = (const struct serve_joined *)rows->data + column->source;

	serve_value(view, joined->grp, &joined->rec, catalog_feature_at(joined->grp, column->slot), out);
}

int serve_join_json(const struct serve_view *view, const struct catalog_group *grp, struct slice key, const struct buf *rows,
		    struct buf *out)
{
	const struct catalog_view *def = grp->view;
	int64_t event_ns = INT64_MIN;
	char time[CLOCK_TEXT_MAX];
	struct serve_value value;
	bool has_any = false;
	int rc = 0;

	for (unsigned i = 0; i < def->n_columns; i++) {
		column_value(view, &def->columns[i], rows, &value);
		if ((value.status == SERVE_PRESENT || value.status == SERVE_NULL) && value.stamp.event_ns > event_ns)
			event_ns = value.stamp.event_ns;
	}
	buf_append_str(out, "{\"entity\": ");
	serve_print_name(key, out);
	if (event_ns != INT64_MIN) {
		clock_print_time(event_ns, true, time);
		buf_printf(out, ", \"event_time\": \"%s\"", time);
	}
	buf_append_str(out, ", \"features\": {");
	for (unsigned i = 0; rc == 0 && i < def->n_columns; i++) {
		column_value(view, &def->columns[i], rows, &value);
		if (value.status != SERVE_PRESENT && value.status != SERVE_NULL)
			continue;
		buf_printf(out, "%s\"%s\": ", has_any ? ", " : "", def->columns[i].name);
		rc = serve_value_json(&value, out);
		has_any = true;
	}
	buf_append_str(out, "}}\n");
	return rc < 0 ? rc : buf_error(out);
}

/* ---- float32 vectors ---- */

static int append_floats(const struct serve_value *value, struct buf *out)
{
	const struct type *type = &value->feature->type;
	struct buf wide = { 0 };
	struct slice bytes;
	int rc;

	if (value->status != SERVE_PRESENT)
		return type_f32_print(type, NULL, out);
	rc = type_widen(type, value->type_code, value->value, &wide, &bytes);
	if (rc == 0)
		rc = type_f32_print(type, &bytes, out);
	buf_release(&wide);
	return rc;
}

int serve_join_f32(const struct serve_view *view, const struct catalog_group *grp, const struct buf *rows, struct buf *out, struct why *why)
{
	const struct catalog_view *def = grp->view;
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < def->n_columns; i++) {
		struct serve_value value;

		column_value(view, &def->columns[i], rows, &value);
		rc = append_floats(&value, out);
		if (rc == -ENOTSUP) {
			char name[TYPE_NAME_MAX];

			type_print(&value.feature->type, name);
			why_fail(why, ENOTSUP, "column %s is %s, which has no place in a float32 vector; read json/, or make a view without it",
				 def->columns[i].name, name);
		}
	}
	return rc < 0 ? rc : buf_error(out);
}

int serve_join_nothing(const struct serve_view *view, const struct catalog_group *grp, struct buf *out, struct why *why)
{
	struct buf rows = { 0 };
	int rc = catalog_view_check(view->cat, grp, why);

	for (unsigned i = 0; rc == 0 && i < grp->view->n_sources; i++) {
		struct serve_joined joined = { .grp = catalog_find_id(view->cat, grp->view->sources[i].group_id) };

		buf_append(&rows, &joined, sizeof joined);
		rc = buf_error(&rows);
	}
	if (rc == 0)
		rc = serve_join_f32(view, grp, &rows, out, why);
	buf_release(&rows);
	return rc;
}
