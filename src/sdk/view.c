/* SPDX-License-Identifier: MIT */
/*
 * Views: a list of features in words, and what it means in one catalog. The words are settled once, when the view is made, and the types
 * of the columns with them, for the caller's memory is laid out by them. The meaning (groups, slots, time to live) is worked
 * out anew by each reader of the view when it meets a catalog that it has not seen; if the types no longer fit, the view is refused.
 */
#include "sdk/private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/text.h"

enum { SPEC_MAX = 2048, KEYS_MAX = CATALOG_KEYS_MAX };

/* "name=group(key,key)/feature" in its pieces, which point into the text. */
struct spec {
	struct slice name, group, keys, feature;
	bool has_name, has_keys;
};

static int parse_spec(struct slice text, struct spec *out, struct why *why)
{
	const char *at = text.data, *end = at + text.len, *slash = NULL, *equals, *open;

	*out = (struct spec){ 0 };
	equals = text.len ? memchr(at, '=', text.len) : NULL;
	if (equals) {
		out->has_name = true;
		out->name = slice_of(at, (size_t)(equals - at));
		at = equals + 1;
	}
	if (at < end)
		slash = memchr(at, '/', (size_t)(end - at));
	if (!slash || (out->has_name && !out->name.len) || text.len > SPEC_MAX)
		return why_fail(why, EINVAL, "\"%.*s\": a feature is written group/feature, or name=group(key,...)/feature",
				(int)(text.len < 160 ? text.len : 160), (const char *)text.data);
	out->group = slice_of(at, (size_t)(slash - at));
	out->feature = slice_of(slash + 1, (size_t)(end - slash - 1));
	open = memchr(at, '(', out->group.len);
	if (open && slash[-1] == ')') {
		out->has_keys = true;
		out->keys = slice_of(open + 1, (size_t)(slash - open) - 2);
		out->group.len = (size_t)(open - at);
	}
	return 0;
}

/* Takes the next of "a,b" off the front. */
static bool next_key(struct slice *rest, struct slice *out)
{
	const char *at = rest->data, *comma;

	if (!rest->data)
		return false;
	comma = memchr(at, ',', rest->len);
	*out = slice_of(at, comma ? (size_t)(comma - at) : rest->len);
	*rest = comma ? slice_of(comma + 1, rest->len - out->len - 1) : slice_of(NULL, 0);
	return true;
}

/* ---- building ---- */

/* What grows while a view is made. */
struct building {
	struct featurefs_view *view;
	const struct catalog *cat;
	struct buf keys, columns, parts;	/* char *, struct view_column, struct view_part */
	struct buf named;			/* bool: the column's name was chosen by the caller */
};

static int add_key(struct building *b, struct slice name, unsigned *out, struct why *why)
{
	char **list = (char **)b->keys.data, *copy;
	unsigned n = (unsigned)(b->keys.len / sizeof *list);

	for (unsigned i = 0; i < n; i++) {
		if (slice_equal(slice_str(list[i]), name)) {
			*out = i;
			return 0;
		}
	}
	if (text_check_group_name(name, why) < 0)
		return -EINVAL;
	copy = strndup(name.data, name.len);
	if (!copy)
		return -ENOMEM;
	buf_append(&b->keys, &copy, sizeof copy);
	if (buf_error(&b->keys) < 0) {
		free(copy);
		return -ENOMEM;
	}
	*out = n;
	return 0;
}

static int list_keys(struct building *b, const struct catalog_group *grp, const struct spec *spec, unsigned keys[KEYS_MAX],
		     unsigned *out_n, struct why *why)
{
	struct slice rest = spec->keys, name;
	unsigned n = 0;
	int rc = 0;

	if (!spec->has_keys) {
		for (n = 0; rc == 0 && n < grp->n_keys; n++)
			rc = add_key(b, slice_str(grp->keys[n]), &keys[n], why);
		*out_n = grp->n_keys;
		return rc;
	}
	while (rc == 0 && next_key(&rest, &name)) {
		if (n == grp->n_keys || n == KEYS_MAX)
			return why_fail(why, EINVAL, "%s: its entities have %u part%s, more keys are given", grp->name, grp->n_keys,
					grp->n_keys == 1 ? "" : "s");
		rc = add_key(b, name, &keys[n++], why);
	}
	if (rc == 0 && n != grp->n_keys)
		return why_fail(why, EINVAL, "%s: its entities have %u part%s, %u key%s given", grp->name, grp->n_keys,
				grp->n_keys == 1 ? "" : "s", n, n == 1 ? " is" : "s are");
	*out_n = n;
	return rc;
}

/* The part of this group with these keys, made if there is none yet. */
static int find_part(struct building *b, const struct catalog_group *grp, const struct spec *spec, unsigned *out, struct why *why)
{
	unsigned keys[KEYS_MAX], n_keys = 0, n = (unsigned)(b->parts.len / sizeof(struct view_part));
	struct view_part *list = (struct view_part *)b->parts.data, part = { 0 };
	int rc = list_keys(b, grp, spec, keys, &n_keys, why);

	if (rc < 0)
		return rc;
	for (unsigned i = 0; i < n; i++) {
		if (!strcmp(list[i].group, grp->name) && list[i].n_keys == n_keys && !memcmp(list[i].keys, keys, n_keys * sizeof *keys)) {
			*out = i;
			return 0;
		}
	}
	part.group = strdup(grp->name);
	part.keys = calloc(n_keys ? n_keys : 1, sizeof *part.keys);
	if (part.group && part.keys) {
		memcpy(part.keys, keys, n_keys * sizeof *keys);
		part.n_keys = n_keys;
		part.is_named = spec->has_keys;
		buf_append(&b->parts, &part, sizeof part);
		if (buf_error(&b->parts) == 0) {
			*out = n;
			return 0;
		}
	}
	free(part.group);
	free(part.keys);
	return -ENOMEM;
}

static void free_column(struct view_column *column)
{
	free(column->name);
	free(column->longer);
	free(column->group);
	free(column->feature);
}

static int add_column(struct building *b, unsigned part, const struct catalog_group *grp, const struct catalog_feature *feature,
		      const struct spec *spec)
{
	struct view_part *list = (struct view_part *)b->parts.data;
	unsigned n = (unsigned)(b->columns.len / sizeof(struct view_column)), *grown;
	struct view_column column = { .type = feature->type };

	column.name = spec->has_name ? strndup(spec->name.data, spec->name.len) : strdup(feature->name);
	if (asprintf(&column.longer, spec->has_keys ? "%s(%.*s)/%s" : "%s%.*s/%s", grp->name, (int)spec->keys.len,
		     spec->keys.data ? (const char *)spec->keys.data : "", feature->name) < 0)
		column.longer = NULL;
	column.group = strdup(grp->name);
	column.feature = strdup(feature->name);
	type_print(&feature->type, column.type_name);
	grown = reallocarray(list[part].columns, list[part].n_columns + 1u, sizeof *grown);
	if (grown) {
		list[part].columns = grown;
		grown[list[part].n_columns] = n;
	}
	if (grown && column.name && column.longer && column.group && column.feature) {
		buf_append(&b->columns, &column, sizeof column);
		buf_append(&b->named, &spec->has_name, sizeof spec->has_name);
		if (buf_error(&b->columns) == 0 && buf_error(&b->named) == 0) {
			list[part].n_columns++;
			return 0;
		}
	}
	free_column(&column);
	return -ENOMEM;
}

static int add_spec(struct building *b, const char *text, struct why *why)
{
	const struct catalog_feature *feature;
	const struct catalog_group *grp;
	struct spec spec;
	unsigned part;
	int rc = parse_spec(slice_str(text), &spec, why);

	if (rc < 0)
		return rc;
	grp = catalog_find(b->cat, spec.group);
	if (!grp) {
		rc = sdk_no_group(b->view->fs, spec.group, why);
		why_prefix(why, "%s", text);
		return rc;
	}
	rc = find_part(b, grp, &spec, &part, why);
	if (rc < 0)
		return rc;
	if (slice_equal(spec.feature, slice_str("*"))) {
		if (spec.has_name)
			return why_fail(why, EINVAL, "%s: many features can't have one name", text);
		for (unsigned i = 0; rc == 0 && i < grp->n_features; i++)
			if (!grp->features[i].retired)
				rc = add_column(b, part, grp, &grp->features[i], &spec);
		return rc;
	}
	feature = catalog_find_feature(grp, spec.feature);
	if (!feature)
		return why_fail(why, ENOENT, "%s: group %s has no feature %.*s", text, grp->name, (int)spec.feature.len,
				(const char *)spec.feature.data);
	if (feature->retired)
		return why_fail(why, ESTALE, "%s: feature %s of %s is retired", text, feature->name, grp->name);
	return add_column(b, part, grp, feature, &spec);
}

static int compare_names(const void *a, const void *b)
{
	const struct view_column *const *left = a, *const *right = b;

	return strcmp((*left)->name, (*right)->name);
}

/* Two columns of one name get their longer ones, unless the caller has chosen that name. */
static int part_names(struct featurefs_view *view, const bool *named, struct why *why)
{
	struct view_column **order = calloc(view->n_columns ? view->n_columns : 1, sizeof *order);
	int rc = order ? 0 : -ENOMEM;

	for (int pass = 0; pass < 2 && rc == 0; pass++) {
		for (unsigned i = 0; i < view->n_columns; i++)
			order[i] = &view->columns[i];
		if (view->n_columns)
			qsort(order, view->n_columns, sizeof *order, compare_names);
		for (unsigned i = 0, j; rc == 0 && i < view->n_columns; i = j) {
			for (j = i + 1; j < view->n_columns && !strcmp(order[i]->name, order[j]->name); j++)
				;
			if (j == i + 1)
				continue;
			for (unsigned k = i; rc == 0 && k < j && pass == 0; k++) {
				if (named[order[k] - view->columns])
					continue;
				free(order[k]->name);
				order[k]->name = strdup(order[k]->longer);
				rc = order[k]->name ? 0 : -ENOMEM;
			}
			if (pass == 1)
				rc = why_fail(why, EINVAL, "two columns are named %s: write name=group/feature for one of them", order[i]->name);
		}
	}
	free(order);
	return rc;
}

/* The arrays become the view's. */
static void settle(struct building *b)
{
	struct featurefs_view *view = b->view;

	view->keys = (char **)b->keys.data;
	view->n_keys = (unsigned)(b->keys.len / sizeof(char *));
	view->columns = (struct view_column *)b->columns.data;
	view->n_columns = (unsigned)(b->columns.len / sizeof(struct view_column));
	view->parts = (struct view_part *)b->parts.data;
	view->n_parts = (unsigned)(b->parts.len / sizeof(struct view_part));
}

static void fill_fields(struct featurefs_view *view)
{
	for (unsigned i = 0; i < view->n_columns; i++) {
		struct view_column *column = &view->columns[i];

		column->field = (struct featurefs_field){
			.name = column->name, .group = column->group, .feature = column->feature, .type_name = column->type_name,
			.type = (enum featurefs_type)column->type.base, .is_array = column->type.is_array, .length = column->type.length,
			.width = column_width(&column->type),
		};
	}
}

/* What is left to do when all columns are added; takes what was built. */
static int finish(struct building *b, int rc, struct why *why, struct featurefs_view **out)
{
	if (b->view)
		settle(b);
	if (rc == 0 && !b->view->n_columns)
		rc = why_fail(why, EINVAL, "a view has one feature at least");
	if (rc == 0)
		rc = part_names(b->view, (const bool *)b->named.data, why);
	buf_release(&b->named);
	catalog_unref(b->cat);
	if (rc < 0) {
		featurefs_view_free(b->view);
		return sdk_return(rc, why);
	}
	fill_fields(b->view);
	*out = b->view;
	return 0;
}

int featurefs_view_new(struct featurefs *fs, const char *const *features, size_t n, struct featurefs_view **out)
{
	struct building b = { .view = calloc(1, sizeof(struct featurefs_view)) };
	struct why why = { "" };
	struct catalog *cat = NULL;
	int rc = b.view ? sdk_catalog(fs, &cat, &why) : -ENOMEM;

	b.cat = cat;
	if (b.view)
		b.view->fs = fs;
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = features[i] ? add_spec(&b, features[i], &why) : why_fail(&why, EINVAL, "a feature's name is NULL");
	return finish(&b, rc, &why, out);
}

/* A column of the store's view, in the words that callers use for theirs. */
static int add_column_of(struct building *b, const struct catalog_group *grp, const struct catalog_column *column, struct why *why)
{
	const struct catalog_source *source = &grp->view->sources[column->source];
	const struct catalog_group *group = catalog_find_id(b->cat, column->group_id);
	struct buf text = { 0 };
	int rc;

	buf_printf(&text, "%s=%s(", column->name, group->name);
	for (unsigned i = 0; i < source->n_parts; i++)
		buf_printf(&text, "%s%s", i ? "," : "", grp->keys[source->parts[i]]);
	buf_printf(&text, ")/%s", catalog_feature_at(group, column->slot)->name);
	buf_append_char(&text, '\0');
	rc = buf_error(&text);
	if (rc == 0)
		rc = add_spec(b, text.data, why);
	buf_release(&text);
	return rc;
}

int featurefs_view_open(struct featurefs *fs, const char *name, struct featurefs_view **out)
{
	struct building b = { .view = calloc(1, sizeof(struct featurefs_view)) };
	const struct catalog_group *grp = NULL;
	struct why why = { "" };
	struct catalog *cat = NULL;
	unsigned key;
	int rc = b.view ? sdk_catalog(fs, &cat, &why) : -ENOMEM;

	b.cat = cat;
	if (b.view)
		b.view->fs = fs;
	if (rc == 0) {
		grp = catalog_find_view(cat, slice_str(name));
		rc = grp ? catalog_view_check(cat, grp, &why) : why_fail(&why, ENOENT, "the store has no view %s", name);
	}
	for (unsigned i = 0; rc == 0 && i < grp->n_keys; i++)
		rc = add_key(&b, slice_str(grp->keys[i]), &key, &why);
	for (unsigned i = 0; rc == 0 && i < grp->view->n_columns; i++)
		rc = add_column_of(&b, grp, &grp->view->columns[i], &why);
	return finish(&b, rc, &why, out);
}

size_t featurefs_view_keys(const struct featurefs_view *view)
{
	return view->n_keys;
}

const char *featurefs_view_key(const struct featurefs_view *view, size_t i)
{
	return i < view->n_keys ? view->keys[i] : NULL;
}

size_t featurefs_view_columns(const struct featurefs_view *view)
{
	return view->n_columns;
}

const struct featurefs_field *featurefs_view_field(const struct featurefs_view *view, size_t i)
{
	return i < view->n_columns ? &view->columns[i].field : NULL;
}

/* ---- what it means in a catalog ---- */

int view_check_part(const struct featurefs_view *view, const struct view_part *part, const struct catalog_group *grp, struct why *why)
{
	if (grp->n_keys != part->n_keys)
		return why_fail(why, ESTALE, "the entities of %s have %u parts now: make the view anew", grp->name, grp->n_keys);
	for (unsigned i = 0; i < part->n_columns; i++) {
		const struct view_column *column = &view->columns[part->columns[i]];
		const struct catalog_feature *feature = catalog_find_feature(grp, slice_str(column->feature));

		if (!feature)
			return why_fail(why, ENOENT, "group %s has no feature %s any more", grp->name, column->feature);
		if (feature->retired)
			return why_fail(why, ESTALE, "feature %s of %s is retired: make the view anew", column->feature, grp->name);
		if (!type_equal(&feature->type, &column->type))
			return why_fail(why, ESTALE, "the type of %s/%s is no longer %s: make the view anew", grp->name, column->feature,
					column->type_name);
	}
	return 0;
}

static void sort_slots(struct plan_part *plan, unsigned n)
{
	for (unsigned i = 1; i < n; i++) {
		uint16_t slot = plan->slots[i];
		unsigned column = plan->columns[i], j;

		for (j = i; j > 0 && plan->slots[j - 1] > slot; j--) {
			plan->slots[j] = plan->slots[j - 1];
			plan->columns[j] = plan->columns[j - 1];
		}
		plan->slots[j] = slot;
		plan->columns[j] = column;
	}
}

static int plan_part(const struct featurefs_view *view, const struct view_part *part, const struct catalog *cat, struct plan_part *plan,
		     struct why *why)
{
	const struct catalog_group *grp = catalog_find(cat, slice_str(part->group));
	int rc;

	if (!grp)
		return why_fail(why, ENOENT, "there is no group %s any more", part->group);
	rc = view_check_part(view, part, grp, why);
	if (rc < 0)
		return rc;
	plan->grp = grp;
	for (unsigned i = 0; i < part->n_columns; i++) {
		plan->columns[i] = part->columns[i];
		plan->slots[i] = catalog_find_feature(grp, slice_str(view->columns[part->columns[i]].feature))->slot;
	}
	sort_slots(plan, part->n_columns);
	return 0;
}

static void free_reader(const struct featurefs_view *view, struct view_reader *reader)
{
	if (!reader)
		return;
	for (unsigned i = 0; reader->parts && i < view->n_parts; i++) {
		free(reader->parts[i].slots);
		free(reader->parts[i].columns);
	}
	free(reader->parts);
	catalog_unref(reader->cat);
	read_scratch_free(reader->scratch);
	free(reader);
}

static int new_reader(const struct featurefs_view *view, struct view_reader **out)
{
	struct view_reader *reader = calloc(1, sizeof *reader);
	int rc;

	if (!reader)
		return -ENOMEM;
	reader->parts = calloc(view->n_parts, sizeof *reader->parts);
	rc = reader->parts ? read_scratch_new(view, &reader->scratch) : -ENOMEM;
	for (unsigned i = 0; rc == 0 && i < view->n_parts; i++) {
		reader->parts[i].slots = calloc(view->parts[i].n_columns + 1u, sizeof *reader->parts[i].slots);
		reader->parts[i].columns = calloc(view->parts[i].n_columns + 1u, sizeof *reader->parts[i].columns);
		if (!reader->parts[i].slots || !reader->parts[i].columns)
			rc = -ENOMEM;
	}
	if (rc < 0)
		free_reader(view, reader);
	else
		*out = reader;
	return rc;
}

int view_reader_begin(struct featurefs_view *view, struct catalog *cat, struct view_reader **out, struct why *why)
{
	struct view_reader *reader = atomic_exchange(&view->hot[sdk_thread_place()], NULL);
	int rc = 0;

	if (!reader) {
		pthread_mutex_lock(&sdk_lock);
		reader = view->spare;
		if (reader)
			view->spare = reader->next;
		pthread_mutex_unlock(&sdk_lock);
	}
	if (!reader)
		rc = new_reader(view, &reader);
	/* A catalog that is held can't have another one at its address. NULL: no plan is needed. */
	if (rc == 0 && cat && reader->cat != cat) {
		catalog_unref(reader->cat);
		reader->cat = NULL;
		reader->has_ttl = false;
		for (unsigned i = 0; rc == 0 && i < view->n_parts; i++) {
			rc = plan_part(view, &view->parts[i], cat, &reader->parts[i], why);
			reader->has_ttl |= rc == 0 && reader->parts[i].grp->ttl_ns != 0;
		}
		if (rc == 0)
			reader->cat = catalog_ref(cat);
		else
			view_reader_end(view, reader);
	}
	if (rc == 0)
		*out = reader;
	return rc;
}

void view_reader_end(struct featurefs_view *view, struct view_reader *reader)
{
	struct view_reader *none = NULL;

	if (atomic_compare_exchange_strong(&view->hot[sdk_thread_place()], &none, reader))
		return;
	pthread_mutex_lock(&sdk_lock);
	reader->next = view->spare;
	view->spare = reader;
	pthread_mutex_unlock(&sdk_lock);
}

void featurefs_view_free(struct featurefs_view *view)
{
	struct view_reader *reader;

	if (!view)
		return;
	for (int i = 0; i < SDK_HOT; i++)
		free_reader(view, atomic_exchange(&view->hot[i], NULL));
	while ((reader = view->spare)) {
		view->spare = reader->next;
		free_reader(view, reader);
	}
	for (unsigned i = 0; i < view->n_keys; i++)
		free(view->keys[i]);
	for (unsigned i = 0; i < view->n_columns; i++)
		free_column(&view->columns[i]);
	for (unsigned i = 0; i < view->n_parts; i++) {
		free(view->parts[i].group);
		free(view->parts[i].keys);
		free(view->parts[i].columns);
	}
	free(view->keys);
	free(view->columns);
	free(view->parts);
	free(view);
}
