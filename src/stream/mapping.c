/* SPDX-License-Identifier: MIT */
/*
 * From a [stream NAME] section to a compiled mapping.
 *
 * Places: "$.a.b[0]" or "a.b" is a path into the value (a column of a CSV line: its name, or $1 for the first). "key" is the record's key as
 * text, "key.PATH" a path into a key that is a document of the same format ("key.$": all of it). An event time may also be
 * "header:NAME" or "timestamp", the record's own, which it is where nothing is said. What is not named at all stands under its own name at the top: the
 * parts of the entity, and, if no feature is named, every feature.
 */
#include "stream/mapping.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct format *const formats[] = { &format_json, &format_csv, &format_avro };

/* ---- compiling ---- */

static const char *find_key(const struct catalog_section *section, const char *key)
{
	for (unsigned i = 0; i < section->n_keys; i++)
		if (!strcmp(section->keys[i], key))
			return section->values[i];
	return NULL;
}

static const char *behind_prefix(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) ? NULL : text + strlen(prefix);
}

static struct slice trim(struct slice text)
{
	const char *at = text.data, *end = at + text.len;

	while (at < end && (*at == ' ' || *at == '\t'))
		at++;
	while (end > at && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	return slice_of(at, (size_t)(end - at));
}

static int copy_text(struct slice text, char **out)
{
	*out = strndup(text.data, text.len);
	return *out ? 0 : -ENOMEM;
}

/* A place in one of the two documents. */
static int set_path(struct stream_mapping *map, struct slice text, struct place *out, struct why *why)
{
	const char *p = text.data;
	bool is_key = text.len > 4 && !memcmp(p, "key.", 4);

	out->kind = is_key ? PLACE_KEY_PART : PLACE_VALUE;
	if (is_key)
		text = slice_of(p + 4, text.len - 4);
	if (is_key && !map->format->has_paths)
		return why_fail(why, EINVAL, "a key of format %s is \"key\", a text as a whole", map->format->name);
	if (!map->format->has_paths)
		return path_tree_add_name(&map->value.tree, text, &out->leaf);
	return path_tree_add(is_key ? &map->key.tree : &map->value.tree, text, &out->leaf, why);
}

static int set_place(struct stream_mapping *map, struct slice text, struct place *out, struct why *why)
{
	int rc = copy_text(text, &out->text);

	return rc < 0 ? rc : set_path(map, text, out, why);
}

static int set_entity_part(struct stream_mapping *map, struct slice text, struct place *out, struct why *why)
{
	if (!slice_equal(text, slice_str("key")))
		return set_place(map, text, out, why);
	out->kind = PLACE_KEY;
	return copy_text(text, &out->text);
}

/* The end of the part that begins at `at`: a comma that is in no bracket, or the end of the text. */
static const char *part_end(const char *at)
{
	for (char quote = '\0', bracket = '\0'; *at; at++) {
		if (quote)
			quote = *at == quote ? '\0' : quote;
		else if (bracket && (*at == '\'' || *at == '"'))
			quote = *at;
		else if (*at == '[' || *at == ']')
			bracket = *at == '[';
		else if (*at == ',' && !bracket)
			break;
	}
	return at;
}

static int set_entity(struct stream_mapping *map, const char *text, struct why *why)
{
	const struct catalog_group *grp = map->grp;
	unsigned n = 0;
	int rc = 0;

	map->entity = calloc(grp->n_keys, sizeof *map->entity);
	if (!map->entity)
		return -ENOMEM;
	for (unsigned i = 0; !text && rc == 0 && i < grp->n_keys; i++) {
		map->entity[i].kind = PLACE_VALUE;
		rc = copy_text(slice_str(grp->keys[i]), &map->entity[i].text);
		if (rc == 0)
			rc = path_tree_add_name(&map->value.tree, slice_str(grp->keys[i]), &map->entity[i].leaf);
	}
	for (bool is_last = !text; rc == 0 && !is_last; n++) {
		const char *end = part_end(text);

		if (n < grp->n_keys)
			rc = set_entity_part(map, trim(slice_of(text, (size_t)(end - text))), &map->entity[n], why);
		is_last = !*end;
		text = end + 1;
	}
	if (rc == -EINVAL)
		why_prefix(why, "entity");
	if (rc == 0 && n && n != grp->n_keys)
		rc = why_fail(why, EINVAL, "entity: it has %u part%s, but the group's entity has %u; separate them by commas", n, n == 1 ? "" : "s",
			      grp->n_keys);
	return rc;
}

static int set_event_time(struct stream_mapping *map, const char *text, const char *unit, struct why *why)
{
	struct place *place = &map->event_time;
	const char *header = text ? behind_prefix(text, "header:") : NULL;
	int rc;

	if (unit && moment_unit_parse(slice_str(unit), &map->unit, why) < 0) {
		why_prefix(why, "event_time_unit");
		return -EINVAL;
	}
	place->kind = header ? PLACE_HEADER : PLACE_RECORD;
	if (!text || !strcmp(text, "timestamp"))
		return 0;
	if (header && !*header)
		return why_fail(why, EINVAL, "event_time: header: without a name");
	rc = header ? copy_text(trim(slice_str(header)), &place->text) : set_place(map, slice_str(text), place, why);
	if (rc == -EINVAL)
		why_prefix(why, "event_time");
	return rc;
}

static int add_filter(struct stream_mapping *map, const char *path, const char *value, struct why *why)
{
	struct filter *filter = &map->filters[map->n_filters++];
	int rc = set_place(map, slice_str(path), &filter->place, why);

	if (rc == 0)
		rc = copy_text(slice_str(value), &filter->value);
	if (rc == -EINVAL)
		why_prefix(why, "filter.%s", path);
	return rc;
}

static int add_target(struct stream_mapping *map, const char *name, const char *text, struct why *why)
{
	struct target *target = &map->targets[map->n_targets++];
	int rc;

	target->feature = catalog_find_feature(map->grp, slice_str(name));
	if (!target->feature || target->feature->retired)
		rc = why_fail(why, EINVAL, "the group has no such feature");
	else
		rc = set_place(map, slice_str(text), &target->place, why);
	if (rc == -EINVAL)
		why_prefix(why, "feature.%s", name);
	return rc;
}

static int set_delimiter(struct csv_rules *csv, const char *text, struct why *why)
{
	static const struct {
		const char *word;
		char c;
	} words[] = { { "tab", '\t' }, { "semicolon", ';' }, { "space", ' ' } };	/* what INI can't hold as it is */

	csv->delimiter = text ? *text : ',';
	for (size_t i = 0; text && i < sizeof words / sizeof *words; i++)
		if (!strcmp(text, words[i].word)) {
			csv->delimiter = words[i].c;
			return 0;
		}
	if (text && (text[0] == '"' || (unsigned char)text[0] >= 0x80 || text[1]))
		return why_fail(why, EINVAL, "delimiter: it is one character of ASCII, or tab, semicolon, space");
	return 0;
}

static bool has_column(const struct csv_rules *csv, struct slice name)
{
	for (unsigned i = 0; i < csv->n_columns; i++)
		if (slice_equal(name, slice_str(csv->columns[i])))
			return true;
	return false;
}

static int set_columns(struct csv_rules *csv, const char *text, struct why *why)
{
	unsigned n = 1;
	int rc = 0;

	if (!text)
		return 0;
	for (const char *p = text; *p; p++)
		n += *p == ',';
	csv->columns = calloc(n, sizeof *csv->columns);
	if (!csv->columns)
		return -ENOMEM;
	for (const char *at = text; rc == 0 && csv->n_columns < n; csv->n_columns++) {
		const char *end = strchrnul(at, ',');
		struct slice name = trim(slice_of(at, (size_t)(end - at)));

		if (!name.len)
			rc = why_fail(why, EINVAL, "columns: name %u is empty", csv->n_columns + 1);
		else if (has_column(csv, name))
			rc = why_fail(why, EINVAL, "columns: \"%.*s\" stands twice", (int)(name.len < 128 ? name.len : 128), (const char *)name.data);
		if (rc == 0)
			rc = copy_text(name, &csv->columns[csv->n_columns]);
		at = end + (*end == ',');
		if (rc < 0)
			break;
	}
	return rc;
}

/* What only CSV knows. */
static int set_csv(struct stream_mapping *map, const struct catalog_section *section, struct why *why)
{
	static const char *const keys[] = { "columns", "delimiter", "null" };
	const char *null = find_key(section, "null");
	int rc;

	for (size_t i = 0; map->format != &format_csv && i < sizeof keys / sizeof *keys; i++)
		if (find_key(section, keys[i]))
			return why_fail(why, EINVAL, "%s: only format csv knows it", keys[i]);
	rc = copy_text(slice_str(null ? null : ""), &map->csv.null);
	if (rc == 0)
		rc = set_delimiter(&map->csv, find_key(section, "delimiter"), why);
	return rc < 0 ? rc : set_columns(&map->csv, find_key(section, "columns"), why);
}

/* Every feature that is not retired, under its own name; of a line with named columns, those that it has. */
static int add_all_targets(struct stream_mapping *map)
{
	const struct catalog_group *grp = map->grp;
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < grp->n_features; i++) {
		const struct catalog_feature *feature = &grp->features[i];
		struct target *target = &map->targets[map->n_targets];

		if (feature->retired || (map->csv.columns && !has_column(&map->csv, slice_str(feature->name))))
			continue;
		map->n_targets++;
		target->feature = feature;
		target->place.kind = PLACE_VALUE;
		rc = copy_text(slice_str(feature->name), &target->place.text);
		if (rc == 0)
			rc = path_tree_add_name(&map->value.tree, slice_str(feature->name), &target->place.leaf);
	}
	return rc;
}

static int set_lists(struct stream_mapping *map, const struct catalog_section *section, struct why *why)
{
	unsigned most = section->n_keys > map->grp->n_features ? section->n_keys : map->grp->n_features;
	int rc = 0;

	map->filters = calloc(section->n_keys + 1, sizeof *map->filters);
	map->targets = calloc(most + 1, sizeof *map->targets);
	map->values = calloc(most + 1, sizeof *map->values);
	map->offsets = calloc(most + 1, sizeof *map->offsets);
	if (!map->filters || !map->targets || !map->values || !map->offsets)
		return -ENOMEM;
	for (unsigned i = 0; rc == 0 && i < section->n_keys; i++) {
		const char *filter = behind_prefix(section->keys[i], "filter.");
		const char *feature = behind_prefix(section->keys[i], "feature.");

		if (filter)
			rc = add_filter(map, filter, section->values[i], why);
		else if (feature)
			rc = add_target(map, feature, section->values[i], why);
	}
	return rc < 0 || map->n_targets ? rc : add_all_targets(map);
}

static int set_format(struct stream_mapping *map, const char *name, struct why *why)
{
	for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
		if (!strcmp(formats[i]->name, name ? name : "json"))
			map->format = formats[i];
	return map->format ? 0 : why_fail(why, EINVAL, "format: %s is not known here", name);
}

static void resolve(struct stream_mapping *map, struct place *place)
{
	if (place->kind == PLACE_VALUE)
		place->leaf = map->value.tree.leaf_of[place->leaf];
	else if (place->kind == PLACE_KEY_PART)
		place->leaf = map->key.tree.leaf_of[place->leaf];
}

/* Paths get their leaves, and the format what it needs for them. */
static int settle(struct stream_mapping *map, struct why *why)
{
	int rc = path_tree_settle(&map->value.tree);

	if (rc == 0)
		rc = path_tree_settle(&map->key.tree);
	if (rc < 0)
		return rc;
	for (unsigned i = 0; i < map->grp->n_keys; i++)
		resolve(map, &map->entity[i]);
	resolve(map, &map->event_time);
	for (unsigned i = 0; i < map->n_filters; i++)
		resolve(map, &map->filters[i].place);
	for (unsigned i = 0; i < map->n_targets; i++)
		resolve(map, &map->targets[i].place);
	rc = map->format->prepare(map, &map->value, why);
	if (rc == 0 && map->key.tree.n_leaves)
		rc = map->format->prepare(map, &map->key, why);
	return rc;
}

int stream_mapping_new(const struct catalog_group *grp, const struct catalog_section *section, struct stream_schemas *schemas,
		       struct stream_mapping **out, struct why *why)
{
	struct stream_mapping *map = calloc(1, sizeof *map);
	int rc;

	if (!map)
		return -ENOMEM;
	map->grp = catalog_group_ref(grp);
	map->schemas = schemas;
	rc = set_format(map, find_key(section, "format"), why);
	if (rc == 0)
		rc = set_csv(map, section, why);
	if (rc == 0)
		rc = set_entity(map, find_key(section, "entity"), why);
	if (rc == 0)
		rc = set_event_time(map, find_key(section, "event_time"), find_key(section, "event_time_unit"), why);
	if (rc == 0)
		rc = set_lists(map, section, why);
	if (rc == 0)
		rc = settle(map, why);
	if (rc < 0)
		stream_mapping_free(map);
	else
		*out = map;
	return rc;
}

void stream_mapping_free(struct stream_mapping *map)
{
	if (!map)
		return;
	if (map->format) {
		map->format->release(&map->value);
		map->format->release(&map->key);
	}
	path_tree_release(&map->value.tree);
	path_tree_release(&map->key.tree);
	for (unsigned i = 0; map->entity && i < map->grp->n_keys; i++)
		free(map->entity[i].text);
	for (unsigned i = 0; i < map->n_filters; i++) {
		free(map->filters[i].place.text);
		free(map->filters[i].value);
	}
	for (unsigned i = 0; i < map->n_targets; i++)
		free(map->targets[i].place.text);
	for (unsigned i = 0; i < map->csv.n_columns; i++)
		free(map->csv.columns[i]);
	free(map->csv.columns);
	free(map->csv.null);
	free(map->event_time.text);
	free(map->entity);
	free(map->filters);
	free(map->targets);
	free(map->values);
	free(map->offsets);
	buf_release(&map->name);
	buf_release(&map->part);
	buf_release(&map->bytes);
	catalog_group_unref(map->grp);
	free(map);
}
