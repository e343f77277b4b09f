/* SPDX-License-Identifier: MIT */
/*
 * Entities one at a time, with all that is known of their values, and groups as a whole: for people, scripts and copies. Each call is one
 * snapshot and takes none longer than itself.
 */
#include "sdk/private.h"

#include <errno.h>
#include <string.h>

/* ---- one entity ---- */

/* The caller's callback may fork: what belongs to the parent is then left alone. */
static int check_fork(const struct sdk_lease *lease, struct why *why)
{
	if (!atomic_load(&lease->map->is_abandoned))
		return 0;
	return why_fail(why, ECANCELED, "the process was forked inside of this call: only the parent can go on with it");
}

struct value_texts {
	struct buf text, json, source;
};

static int show_value(const struct serve_view *view, const struct serve_value *value, struct value_texts *texts,
		      struct featurefs_value *out)
{
	int rc = 0;

	buf_reset(&texts->text);
	buf_reset(&texts->json);
	buf_reset(&texts->source);
	*out = (struct featurefs_value){ .feature = value->feature->name, .status = (enum featurefs_status)value->status, .lane = "" };
	if (value->status == SERVE_PRESENT || value->status == SERVE_NULL) {
		rc = serve_value_text(value, &texts->text);
		if (rc == 0)
			rc = serve_value_json(value, &texts->json);
	}
	if (rc == 0 && value->status != SERVE_MISSING) {
		out->event_ns = value->stamp.event_ns;
		out->ingest_ns = value->stamp.ingest_ns;
		out->lane = serve_lane_name(value->stamp.lane);
		rc = serve_source_text(view, &value->stamp, &texts->source);
	}
	out->text_len = texts->text.len;
	out->json_len = texts->json.len;
	buf_append_char(&texts->text, '\0');
	buf_append_char(&texts->json, '\0');
	buf_append_char(&texts->source, '\0');
	out->text = texts->text.data;
	out->json = texts->json.data;
	out->source = texts->source.data;
	return rc < 0 ? rc : buf_error(&texts->text) < 0 ? -ENOMEM : buf_error(&texts->json) < 0 ? -ENOMEM : buf_error(&texts->source);
}

static int no_entity(const char *group, const char *entity, struct why *why)
{
	return why_fail(why, ENOENT, "there is no entity %s in %s", entity, group);
}

static int walk_values(const struct sdk_lease *lease, const char *group, const char *entity,
		       int (*each)(void *arg, const struct featurefs_value *value), void *arg, struct why *why)
{
	const struct serve_view *view = &lease->view;
	struct value_texts texts = { 0 };
	const struct catalog_group *grp;
	struct record row;
	int rc = sdk_find_group(view->cat, group, &grp, why);

	if (rc < 0)
		return rc;
	rc = serve_row(view, grp, slice_str(entity), &row);
	if (rc == -ENOENT)
		rc = no_entity(group, entity, why);
	for (unsigned i = 0; i < grp->n_features && rc == 0; i++) {
		struct featurefs_value shown;
		struct serve_value value;

		if (grp->features[i].retired)
			continue;
		serve_value(view, grp, &row, &grp->features[i], &value);
		rc = show_value(view, &value, &texts, &shown);
		if (rc == 0)
			rc = each(arg, &shown);
		if (rc == 0)
			rc = check_fork(lease, why);
	}
	buf_release(&texts.text);
	buf_release(&texts.json);
	buf_release(&texts.source);
	return rc;
}

int featurefs_values(struct featurefs *fs, const char *group, const char *entity,
		     int (*each)(void *arg, const struct featurefs_value *value), void *arg)
{
	struct why why = { "" };
	struct sdk_lease *lease;
	int rc = sdk_begin(fs, &lease, &why);

	if (rc == 0) {
		rc = walk_values(lease, group, entity, each, arg, &why);
		sdk_lease_end(lease);
	} else if (rc == SDK_BY_MOUNT) {
		rc = remote_values(fs, group, entity, each, arg, &why);
	}
	return sdk_return(rc, &why);
}

static int print_row(const struct serve_view *view, const char *group, const char *entity, struct buf *out, struct why *why)
{
	const struct catalog_group *grp;
	struct record row;
	int rc = sdk_find_group(view->cat, group, &grp, why);

	if (rc == 0)
		rc = serve_row(view, grp, slice_str(entity), &row);
	if (rc == -ENOENT && !why->text[0])
		return no_entity(group, entity, why);
	return rc < 0 ? rc : serve_row_json(view, grp, slice_str(entity), &row, out);
}

int featurefs_row(struct featurefs *fs, const char *group, const char *entity, struct featurefs_text *out)
{
	struct why why = { "" };
	struct sdk_lease *lease;
	struct buf text;
	int rc = sdk_begin(fs, &lease, &why), given;

	if (rc < 0)
		return sdk_return(rc, &why);
	sdk_text_take(out, &text);
	if (rc == SDK_BY_MOUNT) {
		rc = remote_row(fs, group, entity, &text, &why);
	} else {
		rc = print_row(&lease->view, group, entity, &text, &why);
		sdk_lease_end(lease);
	}
	given = sdk_text_give(out, &text);
	return sdk_return(rc < 0 ? rc : given, &why);
}

/* ---- all rows ---- */

struct rows_walk {
	int (*each)(void *arg, const struct featurefs_row *row);
	void *arg;
	uint64_t done, total;
	struct buf name, json;
};

static int walk_group(const struct sdk_lease *lease, const struct catalog_group *grp, struct rows_walk *walk, struct why *why)
{
	const struct serve_view *view = &lease->view;
	struct serve_entities *it;
	struct record row;
	struct slice name;
	int rc = serve_entities_begin(view, grp, slice_of(NULL, 0), &it);

	if (rc < 0)
		return rc;
	while (rc == 0 && (rc = serve_entities_next(it, &name, &row)) == 0) {
		buf_reset(&walk->name);
		buf_reset(&walk->json);
		buf_append_slice(&walk->name, name);
		buf_append_char(&walk->name, '\0');
		rc = serve_row_json(view, grp, name, &row, &walk->json);
		if (rc == 0)
			rc = buf_error(&walk->name);
		if (rc < 0)
			break;
		rc = walk->each(walk->arg, &(struct featurefs_row){ grp->name, walk->name.data, walk->json.data, walk->json.len,
								      ++walk->done, walk->total });
		if (rc == 0)
			rc = check_fork(lease, why);
	}
	serve_entities_end(it);
	return rc == -ENOENT ? 0 : rc;
}

/* Names were checked before: a group that is there in this snapshot stays. */
static const struct catalog_group *pick_group(const struct catalog *cat, const char *const *groups, size_t n, size_t i)
{
	if (n)
		return i < n ? catalog_find(cat, slice_str(groups[i])) : NULL;
	return i < cat->n_groups ? cat->groups[i] : NULL;
}

static int walk_groups(const struct sdk_lease *lease, const char *const *groups, size_t n, struct rows_walk *walk, struct why *why)
{
	const struct serve_view *view = &lease->view;
	const struct catalog_group *grp;
	struct catalog_stats stats;
	int rc = 0;

	for (size_t i = 0; i < n && rc == 0; i++)
		rc = sdk_find_group(view->cat, groups[i], &grp, why);
	for (size_t i = 0; rc == 0 && (grp = pick_group(view->cat, groups, n, i)); i++)
		if (serve_stats(view, grp, &stats) == 0)
			walk->total += stats.entities;
	for (size_t i = 0; rc == 0 && (grp = pick_group(view->cat, groups, n, i)); i++)
		rc = walk_group(lease, grp, walk, why);
	return rc;
}

int featurefs_rows(struct featurefs *fs, const char *const *groups, size_t n, int (*each)(void *arg, const struct featurefs_row *row),
		   void *arg)
{
	struct rows_walk walk = { .each = each, .arg = arg };
	struct why why = { "" };
	struct sdk_lease *lease;
	int rc = sdk_begin(fs, &lease, &why);

	if (rc == 0) {
		rc = walk_groups(lease, groups, n, &walk, &why);
		sdk_lease_end(lease);
		if (rc == -EBADMSG && !why.text[0])
			why_fail(&why, EBADMSG, "the store is damaged: run featurectl verify");
	} else if (rc == SDK_BY_MOUNT) {
		rc = remote_rows(fs, groups, n, each, arg, &why);
	}
	buf_release(&walk.name);
	buf_release(&walk.json);
	return sdk_return(rc, &why);
}

/* ---- names ---- */

static bool begins_with(struct slice name, const char *prefix)
{
	size_t len = strlen(prefix);

	return name.len >= len && !memcmp(name.data, prefix, len);
}

/* Where a walk begins: behind `after`, but not before the prefix. One byte less than the prefix can't be said, so the prefix itself is
 * looked for by itself. */
static int list_names(const struct serve_view *view, const struct catalog_group *grp, const char *prefix, const char *after, size_t limit,
		      struct buf *out, size_t *out_n)
{
	struct slice begin = slice_str(after);
	struct serve_entities *it;
	struct record row;
	struct slice name;
	size_t n = 0;
	int rc;

	if (prefix[0] && slice_compare(begin, slice_str(prefix)) < 0) {
		begin = slice_str(prefix);
		rc = serve_row(view, grp, begin, &row);
		if (rc < 0 && rc != -ENOENT)
			return rc;
		if (rc == 0) {
			buf_append_slice(out, begin);
			buf_append_char(out, '\n');
			n++;
		}
	}
	rc = serve_entities_begin(view, grp, begin, &it);
	if (rc < 0)
		return rc;
	while ((!limit || n < limit) && (rc = serve_entities_next(it, &name, &row)) == 0 && begins_with(name, prefix)) {
		buf_append_slice(out, name);
		buf_append_char(out, '\n');
		n++;
	}
	serve_entities_end(it);
	*out_n = n;
	return rc == -ENOENT ? 0 : rc;
}

int featurefs_entities(struct featurefs *fs, const char *group, const char *prefix, const char *after, size_t limit,
		       struct featurefs_text *out, size_t *out_n)
{
	const struct catalog_group *grp;
	struct why why = { "" };
	struct sdk_lease *lease;
	struct buf text;
	size_t n = 0;
	int rc = sdk_begin(fs, &lease, &why), given;

	if (rc < 0)
		return sdk_return(rc, &why);
	prefix = prefix ? prefix : "";
	after = after ? after : "";
	sdk_text_take(out, &text);
	if (rc == SDK_BY_MOUNT) {
		rc = remote_entities(fs, group, prefix, after, limit, &text, &n, &why);
	} else {
		rc = sdk_find_group(lease->cat, group, &grp, &why);
		if (rc == 0)
			rc = list_names(&lease->view, grp, prefix, after, limit, &text, &n);
		sdk_lease_end(lease);
	}
	given = sdk_text_give(out, &text);
	if (rc == 0)
		rc = given;
	if (rc == 0 && out_n)
		*out_n = n;
	return sdk_return(rc, &why);
}

/* ---- figures ---- */

static int show_stats(const struct serve_view *view, const char *group, struct featurefs_stats *out, struct why *why)
{
	const struct catalog_group *grp;
	struct catalog_stats stats;
	int rc = sdk_find_group(view->cat, group, &grp, why);

	if (rc == 0)
		rc = serve_stats(view, grp, &stats);
	if (rc < 0)
		return rc;
	*out = (struct featurefs_stats){ .entities = stats.entities, .rows = stats.rows, .row_bytes = stats.row_bytes,
					 .swept = stats.swept, .newest_event_ns = stats.newest_event_ns };
	memcpy(out->applied, stats.applied, sizeof out->applied);
	memcpy(out->late, stats.late, sizeof out->late);
	return 0;
}

int featurefs_stats(struct featurefs *fs, const char *group, struct featurefs_stats *out)
{
	struct why why = { "" };
	struct sdk_lease *lease;
	int rc = sdk_begin(fs, &lease, &why);

	if (rc == 0) {
		rc = show_stats(&lease->view, group, out, &why);
		sdk_lease_end(lease);
	} else if (rc == SDK_BY_MOUNT) {
		rc = remote_stats(fs, group, out, &why);
	}
	return sdk_return(rc, &why);
}

int featurefs_stats_text(struct featurefs *fs, const char *group, struct featurefs_text *out)
{
	const struct catalog_group *grp;
	struct why why = { "" };
	struct sdk_lease *lease;
	struct buf text;
	int rc = sdk_begin(fs, &lease, &why), given;

	if (rc < 0)
		return sdk_return(rc, &why);
	sdk_text_take(out, &text);
	if (rc == SDK_BY_MOUNT) {
		rc = remote_file(fs, group, ".stats", &text, &why);
	} else {
		rc = sdk_find_group(lease->cat, group, &grp, &why);
		if (rc == 0)
			rc = serve_stats_text(&lease->view, grp, &text);
		sdk_lease_end(lease);
	}
	given = sdk_text_give(out, &text);
	return sdk_return(rc < 0 ? rc : given, &why);
}
