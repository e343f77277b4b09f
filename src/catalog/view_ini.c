/* SPDX-License-Identifier: MIT */
/*
 * The text of views: a .schema as it is read and printed. What it says of groups, features and keys by name is found in the catalog once, when the
 * view is defined; from then on ids, slots and numbers of parts are meant. The stored form is that text with the numbers before it:
 *
 *	[store]
 *	view = yes
 *	id = 7 ...
 *	column.clicks = 3 0		group 3, slot 0
 *	source.user_stats = 3 0 1	the group's entities are named by parts 0 and 1 of the view's key
 *	[view] ...
 */
#include "catalog/view.h"

#include <errno.h>
#include <stdlib.h>
#include "base/conf.h"
#include "base/num.h"
#include "base/text.h"

enum { COLUMNS_MAX = CATALOG_FEATURES_MAX };

static const char stored_begin[] = "[store]\nview = yes\n";

/* ---- reading the text ---- */

enum section_kind { IN_VIEW, IN_COLUMNS, IN_KEYS, IN_STORE };

static const char *const section_names[] = { [IN_VIEW] = "view", [IN_COLUMNS] = "columns", [IN_KEYS] = "keys", [IN_STORE] = "store" };

struct key_line {
	char *group;
	char **parts;
	unsigned n_parts;
};

struct reader {
	struct catalog_group *grp;
	const struct catalog *cat;	/* NULL: the stored form, which says ids itself */
	enum section_kind kind;
	unsigned sections;		/* bits of those that were met */
	bool has_entity;
	struct key_line *keys;
	unsigned n_keys;
};

static int set_column_feature(struct catalog_column *column, const char *value, struct why *why)
{
	const char *slash = strchr(value, '/');

	if (!slash || slash == value || !slash[1] || strchr(slash + 1, '/'))
		return why_fail(why, EINVAL, "column %s: \"%s\" is not GROUP/FEATURE", column->name, value);
	if (group_set_text(&column->group, slice_of(value, (size_t)(slash - value))) < 0)
		return -ENOMEM;
	return group_set_text(&column->feature, slice_str(slash + 1));
}

static int resolve_column(const struct reader *reader, struct catalog_column *column, struct why *why)
{
	const struct catalog_group *grp = catalog_find(reader->cat, slice_str(column->group));
	const struct catalog_feature *feature = grp ? catalog_find_feature(grp, slice_str(column->feature)) : NULL;

	if (!grp)
		return why_fail(why, EINVAL, "column %s: there is no group %s", column->name, column->group);
	if (!feature)
		return why_fail(why, EINVAL, "column %s: group %s has no feature %s", column->name, column->group, column->feature);
	if (feature->retired)
		return why_fail(why, EINVAL, "column %s: feature %s of %s is retired", column->name, column->feature, column->group);
	column->group_id = grp->id;
	column->slot = feature->slot;
	return 0;
}

static int take_column(struct reader *reader, const char *name, const char *value, struct why *why)
{
	struct catalog_view *view = reader->grp->view;
	struct catalog_column *column;
	int rc;

	if (text_check_feature_name(slice_str(name), why) < 0)
		return -EINVAL;
	if (view->n_columns >= COLUMNS_MAX)
		return why_fail(why, EINVAL, "a view has at most %d columns", COLUMNS_MAX);
	column = view_add_column(view);
	if (!column)
		return -ENOMEM;
	rc = group_set_text(&column->name, slice_str(name));
	if (rc == 0)
		rc = set_column_feature(column, value, why);
	return rc == 0 && reader->cat ? resolve_column(reader, column, why) : rc;
}

static int take_key_line(struct reader *reader, const char *group, const char *value, struct why *why)
{
	struct key_line *bigger = view_grow(reader->keys, reader->n_keys, sizeof(*bigger)), *line;
	int rc;

	if (!bigger)
		return -ENOMEM;
	reader->keys = bigger;
	line = &bigger[reader->n_keys++];
	rc = group_set_text(&line->group, slice_str(group));
	return rc < 0 ? rc : group_split_list(slice_str(value), &line->parts, &line->n_parts, why);
}

/* "3 0": the numbers of a stored column or source. */
static int parse_numbers(const char *text, uint64_t *out, unsigned max, unsigned *out_n)
{
	unsigned n = 0;

	while (*text) {
		size_t len = strcspn(text, " ");

		if (n == max || num_parse_u64(slice_of(text, len), &out[n]) < 0 || out[n] > UINT32_MAX)
			return -EINVAL;
		n++;
		text += len + (text[len] == ' ');
	}
	*out_n = n;
	return 0;
}

static int take_stored_source(struct reader *reader, const char *group, const char *value, struct why *why)
{
	struct catalog_source *source = view_add_source(reader->grp->view);
	uint64_t numbers[2 + CATALOG_KEYS_MAX];
	unsigned n = 0;

	if (!source || group_set_text(&source->group, slice_str(group)) < 0)
		return -ENOMEM;
	if (parse_numbers(value, numbers, 2 + CATALOG_KEYS_MAX, &n) < 0 || n < 3 || numbers[1] > 1)
		return why_fail(why, EINVAL, "source.%s: its numbers are damaged", group);
	source->group_id = (uint32_t)numbers[0];
	source->is_said = numbers[1];
	source->n_parts = n - 2;
	for (unsigned i = 0; i < source->n_parts; i++) {
		if (numbers[2 + i] >= CATALOG_KEYS_MAX)
			return why_fail(why, EINVAL, "source.%s: a part has no such number", group);
		source->parts[i] = (uint8_t)numbers[2 + i];
	}
	return 0;
}

/* Stored numbers of columns come before the columns, as columns without a name of a feature. */
static int take_stored_column(struct reader *reader, const char *name, const char *value, struct why *why)
{
	struct catalog_column *column = view_add_column(reader->grp->view);
	uint64_t numbers[3];
	unsigned n = 0;

	if (!column || group_set_text(&column->name, slice_str(name)) < 0)
		return -ENOMEM;
	if (parse_numbers(value, numbers, 3, &n) < 0 || n != 3 || numbers[1] > UINT16_MAX || numbers[2] >= reader->grp->view->n_sources)
		return why_fail(why, EINVAL, "column.%s: its numbers are damaged", name);
	column->group_id = (uint32_t)numbers[0];
	column->slot = (uint16_t)numbers[1];
	column->source = (uint16_t)numbers[2];
	return 0;
}

static int take_store_key(struct reader *reader, const char *key, const char *value, struct why *why)
{
	if (!strcmp(key, "view"))
		return 0;
	if (!strncmp(key, "source.", 7))
		return take_stored_source(reader, key + 7, value, why);
	if (!strncmp(key, "column.", 7))
		return take_stored_column(reader, key + 7, value, why);
	return group_take_identity(reader->grp, key, value, why);
}

/* [columns] of the stored form: the numbers are known, this says what the feature was called. */
static int name_stored_column(struct reader *reader, const char *name, const char *value, struct why *why)
{
	struct catalog_view *view = reader->grp->view;

	for (unsigned i = 0; i < view->n_columns; i++)
		if (!strcmp(view->columns[i].name, name))
			return set_column_feature(&view->columns[i], value, why);
	return why_fail(why, EINVAL, "column %s has no numbers", name);
}

static int enter(struct reader *reader, const char *section, struct why *why)
{
	for (unsigned i = 0; i < sizeof(section_names) / sizeof(section_names[0]); i++) {
		if (strcmp(section, section_names[i]) || (i == IN_STORE && reader->cat))
			continue;
		if (reader->sections & 1u << i)
			return why_fail(why, EINVAL, "[%s] stands twice", section);
		reader->sections |= 1u << i;
		reader->kind = (enum section_kind)i;
		return 0;
	}
	return why_fail(why, EINVAL, "a view has no section [%s]; its sections are [view], [columns] and [keys]", section);
}

static int take_pair(struct reader *reader, const char *key, const char *value, struct why *why)
{
	switch (reader->kind) {
	case IN_STORE:
		return take_store_key(reader, key, value, why);
	case IN_COLUMNS:
		return reader->cat ? take_column(reader, key, value, why) : name_stored_column(reader, key, value, why);
	case IN_KEYS:
		return reader->cat ? take_key_line(reader, key, value, why) : 0;
	case IN_VIEW:
		break;
	}
	reader->has_entity = reader->has_entity || (!strcmp(key, "entity") && *value);
	return group_take_attr(reader->grp, "view", key, value, why);
}

static int take(void *arg, const char *section, const char *key, const char *value, unsigned line, struct why *why)
{
	int rc;

	(void)line;		/* conf puts it before the reason */
	if (!key)
		return enter(arg, section, why);
	rc = group_check_text(slice_str(value), why);
	if (rc == 0)
		rc = take_pair(arg, key, value, why);
	return rc < 0 && rc != -ENOMEM ? -EINVAL : rc;
}

/* ---- keys ---- */

static int find_part(const struct catalog_group *view, const char *name)
{
	for (unsigned i = 0; i < view->n_keys; i++)
		if (!strcmp(view->keys[i], name))
			return (int)i;
	return -1;
}

static int fail_part(const struct catalog_group *view, const char *group, const char *part, struct why *why)
{
	struct buf keys = { 0 };
	int rc;

	group_print_list(view->keys, view->n_keys, &keys);
	rc = buf_error(&keys);
	if (rc == 0)
		rc = why_fail(why, EINVAL, "entities of %s are named by %s, which is not among the view's keys (%.*s); add it to entity, or say "
			      "in [keys] which of them it is: %s = ...", group, part, (int)keys.len, keys.data, group);
	buf_release(&keys);
	return rc;
}

static const struct key_line *find_line(const struct reader *reader, const char *group)
{
	for (unsigned i = 0; i < reader->n_keys; i++)
		if (!strcmp(reader->keys[i].group, group))
			return &reader->keys[i];
	return NULL;
}

static int settle_source(const struct reader *reader, const struct catalog_group *grp, struct catalog_source *source, struct why *why)
{
	const struct key_line *line = find_line(reader, grp->name);
	char *const *names = line ? line->parts : grp->keys;

	source->is_said = line;
	source->n_parts = line ? line->n_parts : grp->n_keys;
	if (source->n_parts != grp->n_keys)
		return why_fail(why, EINVAL, "[keys] %s: its entities are named by %u parts, not %u", grp->name, grp->n_keys, source->n_parts);
	for (unsigned i = 0; i < source->n_parts; i++) {
		int part = find_part(reader->grp, names[i]);

		/* A key that stands alone on both sides can't be mixed up: its name is a label. */
		if (part < 0 && !line && grp->n_keys == 1 && reader->grp->n_keys == 1)
			part = 0;
		if (part < 0)
			return fail_part(reader->grp, grp->name, names[i], why);
		source->parts[i] = (uint8_t)part;
	}
	return 0;
}

/* What the key of the view is where it does not say so: the parts of its groups' keys, each once. */
static int gather_keys(struct reader *reader, struct why *why)
{
	const struct catalog_view *view = reader->grp->view;
	struct buf list = { 0 };
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < view->n_columns; i++) {
		const struct catalog_group *grp = catalog_find_id(reader->cat, view->columns[i].group_id);
		const struct key_line *line = find_line(reader, grp->name);
		unsigned n = line ? line->n_parts : grp->n_keys;

		for (unsigned k = 0; rc == 0 && k < n; k++) {
			const char *name = line ? line->parts[k] : grp->keys[k];

			if (list.len && find_part(reader->grp, name) >= 0)
				continue;
			buf_append_str(&list, list.len ? ", " : "");
			buf_append_str(&list, name);
			rc = buf_error(&list);
			if (rc == 0)
				rc = group_set_keys(reader->grp, buf_slice(&list), why);
		}
	}
	buf_release(&list);
	return rc;
}

static int settle_sources(struct reader *reader, struct why *why)
{
	struct catalog_view *view = reader->grp->view;

	for (unsigned i = 0; i < view->n_columns; i++) {
		struct catalog_column *column = &view->columns[i];
		const struct catalog_group *grp = catalog_find_id(reader->cat, column->group_id);
		struct catalog_source *source;
		unsigned s = 0;
		int rc;

		while (s < view->n_sources && view->sources[s].group_id != grp->id)
			s++;
		column->source = (uint16_t)s;
		if (s < view->n_sources)
			continue;
		source = view_add_source(view);
		if (!source || group_set_text(&source->group, slice_str(grp->name)) < 0)
			return -ENOMEM;
		source->group_id = grp->id;
		rc = settle_source(reader, grp, source, why);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int settle(struct reader *reader, struct why *why)
{
	const struct catalog_view *view = reader->grp->view;
	int rc = reader->has_entity ? 0 : gather_keys(reader, why);

	if (rc == 0)
		rc = settle_sources(reader, why);
	for (unsigned i = 0; rc == 0 && i < reader->n_keys; i++) {
		unsigned s = 0;

		while (s < view->n_sources && strcmp(view->sources[s].group, reader->keys[i].group))
			s++;
		if (s == view->n_sources)
			rc = why_fail(why, EINVAL, "[keys] %s: no column is of that group", reader->keys[i].group);
	}
	return rc;
}

static int new_view(struct catalog_group **out)
{
	struct catalog_group *grp = group_new();

	if (grp)
		grp->view = calloc(1, sizeof(*grp->view));
	if (grp && grp->view) {
		*out = grp;
		return 0;
	}
	catalog_group_unref(grp);
	return -ENOMEM;
}

static int read_text(const char *name, struct slice text, struct reader *reader, struct why *why)
{
	int rc = new_view(&reader->grp);

	if (rc < 0)
		return rc;
	rc = group_set_keys(reader->grp, slice_str("entity"), why);
	if (rc == 0)
		rc = conf_parse(name, text, take, reader, why);
	if (rc == 0 && reader->cat) {
		rc = settle(reader, why);
		if (rc == -EINVAL)
			why_prefix(why, "%s", name);
	}
	for (unsigned i = 0; i < reader->n_keys; i++) {
		free(reader->keys[i].group);
		group_free_list(reader->keys[i].parts, reader->keys[i].n_parts);
	}
	free(reader->keys);
	if (rc < 0)
		catalog_group_unref(reader->grp);
	return rc;
}

int catalog_view_define(const struct catalog *cat, const struct catalog_group *now, struct slice text, int64_t now_ns,
			struct catalog_group **out, struct why *why)
{
	struct reader reader = { .cat = cat };
	struct catalog_group *grp;
	int rc = read_text(".schema", text, &reader, why);

	if (rc < 0)
		return rc;
	grp = reader.grp;
	rc = group_take_place(now, now_ns, grp);
	if (rc < 0)
		catalog_group_unref(grp);
	else
		*out = grp;
	return rc;
}

/* ---- the text ---- */

/* `cat` NULL: as they were called when the view was defined. */
static void print_columns(const struct catalog *cat, const struct catalog_view *view, struct buf *out)
{
	buf_append_str(out, "\n[columns]\n");
	for (unsigned i = 0; i < view->n_columns; i++) {
		const struct catalog_column *column = &view->columns[i];
		const struct catalog_group *grp = cat ? catalog_find_id(cat, column->group_id) : NULL;
		const struct catalog_feature *feature = grp ? catalog_feature_at(grp, column->slot) : NULL;

		buf_printf(out, "%s = %s/%s\n", column->name, grp ? grp->name : column->group, feature ? feature->name : column->feature);
	}
}

static void print_keys(const struct catalog *cat, const struct catalog_group *grp, struct buf *out)
{
	bool has_begun = false;

	for (unsigned i = 0; i < grp->view->n_sources; i++) {
		const struct catalog_source *source = &grp->view->sources[i];
		const struct catalog_group *named = cat ? catalog_find_id(cat, source->group_id) : NULL;

		if (!source->is_said)
			continue;
		buf_printf(out, "%s%s =", has_begun ? "" : "\n[keys]\n", named ? named->name : source->group);
		has_begun = true;
		for (unsigned k = 0; k < source->n_parts; k++)
			buf_printf(out, "%s%s", k ? ", " : " ", grp->keys[source->parts[k]]);
		buf_append_char(out, '\n');
	}
}

static int print(const struct catalog *cat, const struct catalog_group *grp, struct buf *out)
{
	buf_append_str(out, "[view]\n");
	group_print_attrs(grp, out);
	if (grp->view->n_columns)
		print_columns(cat, grp->view, out);
	print_keys(cat, grp, out);
	return buf_error(out);
}

int catalog_view_print(const struct catalog *cat, const struct catalog_group *grp, struct buf *out)
{
	return print(cat, grp, out);
}

int view_encode(const struct catalog_group *grp, struct buf *out)
{
	const struct catalog_view *view = grp->view;

	buf_append_str(out, stored_begin);
	group_print_identity(grp, out);
	for (unsigned i = 0; i < view->n_sources; i++) {
		const struct catalog_source *source = &view->sources[i];

		buf_printf(out, "source.%s = %u %d", source->group, source->group_id, source->is_said);
		for (unsigned k = 0; k < source->n_parts; k++)
			buf_printf(out, " %u", source->parts[k]);
		buf_append_char(out, '\n');
	}
	for (unsigned i = 0; i < view->n_columns; i++)
		buf_printf(out, "column.%s = %u %u %u\n", view->columns[i].name, view->columns[i].group_id, view->columns[i].slot,
			   view->columns[i].source);
	buf_append_char(out, '\n');
	return print(NULL, grp, out);
}

bool view_is_stored(struct slice bytes)
{
	size_t len = sizeof(stored_begin) - 1;

	return bytes.len >= len && !memcmp(bytes.data, stored_begin, len);
}

static int check_stored(const struct catalog_group *grp, struct why *why)
{
	const struct catalog_view *view = grp->view;

	if (text_check_group_name(slice_str(grp->name), why) < 0)
		return -EBADMSG;
	for (unsigned i = 0; i < view->n_columns; i++)
		if (!view->columns[i].group || !view->columns[i].feature)
			return why_fail(why, EBADMSG, "column %s is not in [columns]", view->columns[i].name);
	for (unsigned i = 0; i < view->n_sources; i++)
		for (unsigned k = 0; k < view->sources[i].n_parts; k++)
			if (view->sources[i].parts[k] >= grp->n_keys)
				return why_fail(why, EBADMSG, "source %s names a part that the key does not have", view->sources[i].group);
	return 0;
}

int view_decode(struct slice bytes, struct catalog_group **out, struct why *why)
{
	struct reader reader = { 0 };
	int rc = read_text("stored view", bytes, &reader, why);

	if (rc < 0)
		return rc == -ENOMEM ? rc : -EBADMSG;
	rc = check_stored(reader.grp, why);
	if (rc < 0)
		catalog_group_unref(reader.grp);
	else
		*out = reader.grp;
	return rc;
}
