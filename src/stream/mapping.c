/* SPDX-License-Identifier: MIT */
/*
 * From a [stream NAME] section to a compiled mapping, and from a message to a row by it.
 *
 * Places: "$.a.b[0]" or "a.b" is a path into the value (a column of a CSV line: its name, or $1 for the first). "key" is the record's key as
 * text, "key.PATH" a path into a key that is a document of the same format ("key.$": all of it). An event time may also be
 * "header:NAME" or "timestamp", the record's own, which it is where nothing is said. What is not named at all stands under its own name at the top: the
 * parts of the entity, and, if no feature is named, every feature.
 *
 * A tombstone, a record without a value, deletes the entity that its key names. Where the entity stands in the value nobody can
 * tell which one is meant, so that is a bad message.
 */
#include "stream/mapping.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/text.h"
#include "store/store.h"

static const struct format *const formats[] = { &format_json, &format_csv };

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

int stream_check_group(const struct catalog_group *grp, struct why *why)
{
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < grp->n_sections; i++) {
		struct stream_mapping *map = NULL;

		if (!behind_prefix(grp->sections[i].name, "stream "))
			continue;
		rc = stream_mapping_new(grp, &grp->sections[i], NULL, &map, why);
		if (rc == -EINVAL)
			why_prefix(why, "[%s]", grp->sections[i].name);
		stream_mapping_free(map);
	}
	return rc;
}

/* ---- decoding ---- */

int mapping_plain_integer(struct slice number, struct buf *out, struct why *why)
{
	const char *at = number.data, *end = at + number.len, *start = at, *digits, *point;

	if (at < end && *at == '-')
		at++;
	for (digits = at; at < end && *at >= '0' && *at <= '9';)
		at++;
	point = at;
	if (at > digits && at < end && *at == '.')
		for (at++; at < end && *at == '0';)
			at++;
	if (at != end || at == digits || at[-1] == '.')
		return why_fail(why, EINVAL, "%.*s is no plain integer", (int)(number.len < 64 ? number.len : 64), start);
	if (point == digits + 1 && *digits == '0')
		start = digits;		/* -0 */
	buf_append(out, start, (size_t)(point - start));
	return buf_error(out);
}

static const struct document *document_of(const struct stream_mapping *map, const struct place *place)
{
	return place->kind == PLACE_KEY_PART ? &map->key : &map->value;
}

static int read_key(struct stream_mapping *map, const struct stream_message *msg, struct why *why)
{
	int rc;

	if (!map->key.tree.n_leaves)
		return 0;
	if (!msg->has_key)
		return why_fail(why, EINVAL, "the record has no key");
	if (msg->key.len > STREAM_MESSAGE_MAX)
		return why_fail(why, EFBIG, "the key has more than %d bytes", STREAM_MESSAGE_MAX);
	rc = map->format->read(map, &map->key, msg->key, why);
	if (rc < 0 && rc != -ENOMEM)
		why_prefix(why, "key");
	return rc;
}

/* The raw text of one part. */
static int find_part(struct stream_mapping *map, const struct stream_message *msg, const struct place *place, struct slice *out,
		     struct why *why)
{
	int rc;

	if (place->kind == PLACE_KEY) {
		*out = msg->key;
		return msg->has_key ? 0 : why_fail(why, EINVAL, "the record has no key");
	}
	buf_reset(&map->part);
	rc = map->format->text(document_of(map, place), place->leaf, &map->part, why);
	*out = buf_slice(&map->part);
	return rc == -ENOENT ? why_fail(why, EINVAL, "it is not in the message") : rc;
}

/* Is the part its own written form, as nearly all are? */
static bool is_plain_part(struct slice raw)
{
	const uint8_t *p = raw.data;

	if (!raw.len || raw.len > TEXT_ENTITY_MAX || p[0] == '.')
		return false;
	for (size_t i = 0; i < raw.len; i++)
		if (p[i] < 0x20 || p[i] >= 0x7f || p[i] == '/' || p[i] == '%' || p[i] == ',')
			return false;
	return true;
}

static int append_part(struct stream_mapping *map, struct slice raw, bool is_first, bool *is_plain, struct why *why)
{
	int rc;

	if (is_plain_part(raw)) {
		buf_append_slice(&map->name, raw);
		return 0;
	}
	*is_plain = false;
	if (raw.len > TEXT_ENTITY_MAX)
		return why_fail(why, ENAMETOOLONG, "%zu bytes; an entity's name has at most %d", raw.len, TEXT_ENTITY_MAX);
	rc = text_escape_entity_part(raw, is_first, &map->name);
	if (rc == -EINVAL)
		why_fail(why, EINVAL, raw.len ? "a NUL byte can't be in an entity's name" : "it is empty");
	else if (rc == -EILSEQ)
		why_fail(why, EILSEQ, "an entity's name is UTF-8; these bytes are not");
	return rc;
}

static int name_entity(struct stream_mapping *map, const struct stream_message *msg, struct why *why)
{
	bool is_plain = true;
	int rc = 0;

	buf_reset(&map->name);
	for (unsigned i = 0; rc == 0 && i < map->grp->n_keys; i++) {
		struct slice raw;

		if (i)
			buf_append_char(&map->name, ',');
		rc = find_part(map, msg, &map->entity[i], &raw, why);
		if (rc == 0)
			rc = append_part(map, raw, i == 0, &is_plain, why);
		if (rc < 0 && rc != -ENOMEM)
			why_prefix(why, "entity (%s)", map->entity[i].text);
	}
	if (rc == 0)
		rc = buf_error(&map->name);
	if (rc < 0 || (is_plain && map->name.len <= TEXT_ENTITY_MAX))
		return rc;
	return text_check_entity(buf_slice(&map->name), map->grp->n_keys, why);
}

static int take_record_time(const struct stream_message *msg, int64_t *out_ns, struct why *why)
{
	*out_ns = msg->timestamp_ns;
	return msg->timestamp_ns == STREAM_NO_TIME ? why_fail(why, EINVAL, "event_time: the record has no timestamp") : 0;
}

static int take_header_time(const struct stream_mapping *map, const struct stream_message *msg, int64_t *out_ns, struct why *why)
{
	const char *name = map->event_time.text;
	struct slice text;
	int rc = msg->header ? msg->header(msg->header_arg, name, &text) : -ENOENT;

	rc = rc < 0 ? why_fail(why, EINVAL, "the record has no such header") : moment_parse(text, map->unit, out_ns, why);
	if (rc < 0)
		why_prefix(why, "event_time (header:%s)", name);
	return rc;
}

static int take_time(const struct stream_mapping *map, const struct stream_message *msg, int64_t *out_ns, struct why *why)
{
	const struct place *place = &map->event_time;
	int rc;

	if (place->kind == PLACE_HEADER)
		return take_header_time(map, msg, out_ns, why);
	if (place->kind == PLACE_RECORD || (place->kind == PLACE_VALUE && !msg->has_value))
		return take_record_time(msg, out_ns, why);
	rc = map->format->time(document_of(map, place), place->leaf, map->unit, out_ns, why);
	if (rc == -ENOENT)
		rc = why_fail(why, EINVAL, "it is not in the message");
	if (rc < 0 && rc != -ENOMEM)
		why_prefix(why, "event_time (%s)", place->text);
	return rc;
}

static bool matches_filters(const struct stream_mapping *map)
{
	for (unsigned i = 0; i < map->n_filters; i++) {
		const struct filter *filter = &map->filters[i];

		if (!map->format->matches(document_of(map, &filter->place), filter->place.leaf, slice_str(filter->value)))
			return false;
	}
	return true;
}

static int take_values(struct stream_mapping *map, size_t *out_count, struct why *why)
{
	size_t count = 0;

	buf_reset(&map->bytes);
	for (unsigned i = 0; i < map->n_targets; i++) {
		const struct target *target = &map->targets[i];
		struct stream_value *value = &map->values[count];
		size_t at = map->bytes.len;
		int rc = map->format->value(document_of(map, &target->place), target->place.leaf, target->feature, &map->bytes,
					    &value->state, why);

		if (rc == -ENOENT)
			continue;
		if (rc == -ENOMEM)
			return rc;
		if (rc < 0) {
			why_prefix(why, "%s (%s)", target->feature->name, target->place.text);
			return rc;
		}
		value->slot = target->feature->slot;
		value->type_code = value->state == RECORD_PRESENT ? type_code(&target->feature->type) : 0;
		value->bytes.len = map->bytes.len - at;
		map->offsets[count++] = at;
	}
	for (size_t i = 0; i < count; i++)
		map->values[i].bytes.data = map->bytes.data ? map->bytes.data + map->offsets[i] : "";
	*out_count = count;
	return 0;
}

static int decode_tombstone(struct stream_mapping *map, const struct stream_message *msg, struct stream_row *out, struct why *why)
{
	int rc = 0;

	for (unsigned i = 0; i < map->grp->n_keys; i++)
		if (map->entity[i].kind == PLACE_VALUE)
			return why_fail(why, EINVAL, "a tombstone names its entity by its key only: entity (%s) is not in the key", map->entity[i].text);
	rc = read_key(map, msg, why);
	if (rc == 0)
		rc = name_entity(map, msg, why);
	if (rc == 0)
		rc = take_time(map, msg, &out->event_ns, why);
	out->entity = buf_slice(&map->name);
	out->is_delete = true;
	return rc;
}

static int decode_value(struct stream_mapping *map, const struct stream_message *msg, struct stream_row *out, struct why *why)
{
	int rc;

	if (msg->value.len > STREAM_MESSAGE_MAX)
		return why_fail(why, EFBIG, "%zu bytes; a message has at most %d", msg->value.len, STREAM_MESSAGE_MAX);
	rc = map->format->read(map, &map->value, msg->value, why);
	if (rc == 0)
		rc = read_key(map, msg, why);
	if (rc < 0)
		return rc;
	if (!matches_filters(map))
		return 1;
	rc = name_entity(map, msg, why);
	if (rc == 0)
		rc = take_time(map, msg, &out->event_ns, why);
	if (rc == 0)
		rc = take_values(map, &out->n_values, why);
	out->entity = buf_slice(&map->name);
	out->values = map->values;
	return rc == 0 && !out->n_values ? 1 : rc;
}

int stream_mapping_decode(struct stream_mapping *map, const struct stream_message *msg, struct stream_row *out, struct why *why)
{
	int rc;

	*out = (struct stream_row){ 0 };
	rc = msg->has_value ? decode_value(map, msg, out, why) : decode_tombstone(map, msg, out, why);
	map->format->done(&map->value);
	if (map->key.tree.n_leaves)
		map->format->done(&map->key);
	return rc;
}
