/* SPDX-License-Identifier: MIT */
/*
 * What an object of JSON Lines means. It has one of two shapes, which may both stand in one file:
 *
 *	{"entity": "u1", "event_time": "...", "features": {"clicks_7d": 3, "name": null}, "delete": ["ctr"]}
 *	{"user_id": "u1", "computed_at": "...", "clicks": 3}
 *
 * The first is the row format of the store, the one of .row, .upsert and dumps: names are the store's own, the entity is in its written
 * form, and a key or feature that means nothing is refused, for there it is a slip that would lose data. What has a "features" object or a
 * "delete" is that. The second is any other object: its keys are columns, mapped as those of a CSV file are, and a key that
 * nothing takes is ignored. Numbers stay text until their feature's type reads them.
 */
#include "batch/source_json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/array.h"
#include "base/clock.h"
#include "base/text.h"

enum { IGNORED_MAX = 4096 };	/* bytes of names of ignored keys */

/* One row while its object is walked. */
struct take {
	struct json *json;
	struct slice parts[CATALOG_KEYS_MAX];
	unsigned have;		/* bits of parts that are there */
	struct slice whole;
	bool has_whole, has_value, is_tomb;
	char numbers[CATALOG_KEYS_MAX + 1][32];
	int64_t event_ns;
};

static struct slice text_of(yyjson_val *val)
{
	return slice_of(unsafe_yyjson_get_str(val), unsafe_yyjson_get_len(val));
}

static int shown(struct slice text)
{
	return text.len < 64 ? (int)text.len : 64;
}

/* ---- what both shapes have ---- */

static int fail_key(struct slice key, struct why *why, const char *what)
{
	return why_fail(why, EINVAL, "the key \"%.*s\" %s", shown(key), (const char *)key.data, what);
}

/* A part of the key: text as it is, an integer in its plain form. */
static int take_part(struct take *take, struct slice key, yyjson_val *val, unsigned i, struct slice *out, struct why *why)
{
	struct slice text;
	const char *p;
	size_t at;

	*out = slice_of(NULL, 0);
	if (yyjson_is_null(val))
		return 0;	/* found to be empty where the entity is put together */
	if (!yyjson_is_str(val) && !yyjson_is_raw(val))
		return fail_key(key, why, "is the entity, and must be a string or an integer");
	text = text_of(val);
	*out = text;
	if (yyjson_is_str(val))
		return 0;
	p = text.data;
	at = *p == '-';
	while (at < text.len && p[at] >= '0' && p[at] <= '9')
		at++;
	/* 42.0 of a typed source is 42. */
	if (at < text.len && p[at] == '.') {
		size_t zeros = at + 1;

		while (zeros < text.len && p[zeros] == '0')
			zeros++;
		if (zeros == text.len)
			text.len = at;
	}
	if (at != text.len || text.len >= sizeof take->numbers[0])
		return fail_key(key, why, "is the entity; as a number it must be a plain integer");
	if (text.len == 2 && !memcmp(p, "-0", 2))
		text = slice_str("0");
	memcpy(take->numbers[i], text.data, text.len);
	*out = slice_of(take->numbers[i], text.len);
	return 0;
}

static int take_time(struct take *take, yyjson_val *val, struct why *why)
{
	struct slice text;
	int rc;

	if (yyjson_is_null(val))
		return 0;
	if (!yyjson_is_str(val) && !yyjson_is_raw(val))
		return why_fail(why, EINVAL, "event time must be text (\"2026-11-23T04:00:00Z\") or seconds since 1970");
	text = text_of(val);
	rc = clock_parse_time(text, &take->event_ns);
	if (rc < 0)
		return why_fail(why, -rc, "event time: \"%.*s\" %s", shown(text), (const char *)text.data,
				rc == -ERANGE ? "is out of range (a bare number is seconds since 1970)" :
				"is not a time: 2026-11-23T04:00:00Z, or seconds since 1970");
	return 0;
}

/* A value of target i. */
static int take_value(struct row *row, unsigned i, yyjson_val *val, struct why *why)
{
	if (row->cells[i].state != RECORD_ABSENT)
		return why_fail(why, EINVAL, "%s: the row has it twice", row->features[i]->name);
	if (yyjson_is_null(val)) {
		row_state(row, i, RECORD_NULL);
		return 0;
	}
	return row_json(row, i, val, why);
}

/* ---- columns ---- */

static int note_ignored(struct json *json, struct slice key)
{
	if (json->ignored.len > IGNORED_MAX)
		return 0;
	mapping_list_name(key, &json->ignored);
	return buf_error(&json->ignored);
}

/* The list is short, and only keys that stand elsewhere than in the row before come here. */
static bool is_noted(const struct json *json, struct slice key)
{
	const char *p = json->ignored.data, *end, *hit;

	if (!json->ignored.len || !key.len)
		return !key.len;
	end = p + json->ignored.len;
	for (; (hit = memmem(p, (size_t)(end - p), key.data, key.len)); p = hit + 1)
		if ((hit == json->ignored.data || hit[-1] == ' ') && (hit + key.len == end || hit[key.len] == ','))
			return true;
	return false;
}

/* What the n-th key of an object is. Places past the bound of guesses are looked up each time. */
static int find_role(struct json *json, unsigned n, struct slice key, const struct mapping_role **out)
{
	enum { GUESSES_MAX = 8192 };
	struct guess *guess = n < json->n_guesses ? &json->guesses[n] : NULL, *grown;

	if (guess && slice_equal(slice_of(guess->key, guess->len), key)) {
		*out = guess->role;
		return 0;
	}
	*out = mapping_find(json->base.options.mapping, key);
	if (!*out && !is_noted(json, key) && note_ignored(json, key) < 0)
		return -ENOMEM;
	if (guess || n >= GUESSES_MAX || n > json->n_guesses)
		return 0;
	grown = array_grow(json->guesses, json->n_guesses, &json->cap_guesses, sizeof *grown);
	if (!grown)
		return -ENOMEM;
	json->guesses = grown;
	guess = &json->guesses[n];
	*guess = (struct guess){ malloc(key.len + 1), key.len, *out };
	if (!guess->key)
		return -ENOMEM;
	memcpy(guess->key, key.data, key.len);
	json->n_guesses++;
	return 0;
}

static int take_role(struct take *take, const struct mapping_role *role, struct slice key, yyjson_val *val, struct why *why)
{
	switch (role->kind) {
	case MAPPING_PART:
		if (take->have & 1u << role->index)
			return fail_key(key, why, "stands twice");
		take->have |= 1u << role->index;
		return take_part(take, key, val, role->index, &take->parts[role->index], why);
	case MAPPING_WHOLE:
		if (take->has_whole)
			return fail_key(key, why, "stands twice");
		take->has_whole = true;
		return take_part(take, key, val, CATALOG_KEYS_MAX, &take->whole, why);
	case MAPPING_EVENT:
		return take_time(take, val, why);
	default:
		take->has_value = true;
		source_met(&take->json->base, role->index);
		return take_value(&take->json->row, role->index, val, why);
	}
}

static int settle_entity(struct take *take, struct why *why)
{
	const struct batch_mapping *mapping = take->json->base.options.mapping;
	unsigned all = (1u << mapping->n_parts) - 1;

	if (mapping->n_parts && take->have == all)
		return mapping_entity(mapping, take->parts, mapping->n_parts, false, &take->json->row.entity, why);
	if (take->has_whole)
		return mapping_entity(mapping, &take->whole, 1, mapping->grp->n_keys > 1, &take->json->row.entity, why);
	return why_fail(why, EINVAL, "the row names no entity: it lacks %s; see [batch] in .schema", mapping->roles[0].column);
}

/* A refusal should name its entity, wherever in the row that stands. */
static void name_refused(struct take *take, yyjson_obj_iter *rest)
{
	const struct batch_mapping *mapping = take->json->base.options.mapping;
	yyjson_val *key;

	while ((key = yyjson_obj_iter_next(rest))) {
		const struct mapping_role *role = mapping_find(mapping, text_of(key));

		if (role && (role->kind == MAPPING_PART || role->kind == MAPPING_WHOLE) &&
		    take_role(take, role, text_of(key), yyjson_obj_iter_get_val(key), NULL) < 0)
			return;
	}
	if (settle_entity(take, NULL) < 0)
		buf_reset(&take->json->row.entity);
}

static int take_columns(struct take *take, yyjson_val *root, struct why *why)
{
	const struct batch_mapping *mapping = take->json->base.options.mapping;
	yyjson_obj_iter it = yyjson_obj_iter_with(root);
	yyjson_val *key;
	unsigned n = 0;
	int rc = 0;

	while (rc == 0 && (key = yyjson_obj_iter_next(&it))) {
		const struct mapping_role *role;

		rc = find_role(take->json, n++, text_of(key), &role);
		for (; rc == 0 && role; role = mapping_next(mapping, role))
			rc = take_role(take, role, text_of(key), yyjson_obj_iter_get_val(key), why);
	}
	if (rc < 0) {
		name_refused(take, &it);
		return rc;
	}
	rc = settle_entity(take, why);
	if (rc == 0 && !take->has_value)
		rc = why_fail(why, EINVAL, "no key of the row is a feature; an entity without values has \"features\": {}");
	return rc;
}

/* ---- the store's own format ---- */

/* The target of a feature's own name, by its slot; -EPERM. */
static int find_target(const struct json *json, struct slice name, unsigned *out, struct why *why)
{
	const struct batch_mapping *mapping = json->base.options.mapping;
	const struct catalog_feature *feature = catalog_find_feature(mapping->grp, name);
	unsigned low = 0, high = mapping->n_targets;

	if (!feature || feature->retired)
		return why_fail(why, EPERM, "the feature \"%.*s\" is %s in .schema", shown(name), (const char *)name.data,
				feature ? "retired" : "not declared");
	while (low < high) {
		unsigned mid = low + (high - low) / 2;

		if (mapping->targets[mid]->slot < feature->slot)
			low = mid + 1;
		else
			high = mid;
	}
	*out = low;
	return 0;
}

static int take_features(struct take *take, yyjson_val *features, struct why *why)
{
	yyjson_obj_iter it;
	yyjson_val *key;
	int rc = 0;

	if (!features)
		return 0;
	if (!yyjson_is_obj(features))
		return why_fail(why, EINVAL, "features must be an object");
	it = yyjson_obj_iter_with(features);
	while (rc == 0 && (key = yyjson_obj_iter_next(&it))) {
		unsigned i;

		rc = find_target(take->json, text_of(key), &i, why);
		if (rc == 0)
			rc = take_value(&take->json->row, i, yyjson_obj_iter_get_val(key), why);
	}
	return rc;
}

static int take_deletes(struct take *take, yyjson_val *deleted, yyjson_val *features, struct why *why)
{
	struct row *row = &take->json->row;
	yyjson_arr_iter it;
	yyjson_val *val;
	int rc = 0;

	if (!deleted || yyjson_is_false(deleted))
		return 0;
	if (yyjson_is_true(deleted)) {
		take->is_tomb = true;
		return features && yyjson_obj_size(features) ?
			why_fail(why, EINVAL, "a row can't delete its entity and set features") : 0;
	}
	if (!yyjson_is_arr(deleted))
		return why_fail(why, EINVAL, "delete must be a list of features, or true");
	it = yyjson_arr_iter_with(deleted);
	while (rc == 0 && (val = yyjson_arr_iter_next(&it))) {
		unsigned i;

		if (!yyjson_is_str(val))
			return why_fail(why, EINVAL, "delete must be a list of feature names");
		rc = find_target(take->json, text_of(val), &i, why);
		if (rc == 0 && row->cells[i].state != RECORD_ABSENT && row->cells[i].state != RECORD_DELETED)
			rc = why_fail(why, EINVAL, "%s stands in both features and delete", row->features[i]->name);
		if (rc == 0)
			row_state(row, i, RECORD_DELETED);
	}
	return rc;
}

enum part { ENTITY, EVENT_TIME, FEATURES, DELETE, FORCE, GROUP, PARTS };

static int find_parts(yyjson_val *root, yyjson_val **out, struct why *why)
{
	static const char *const names[] = { "entity", "event_time", "features", "delete", "force", "group" };
	yyjson_obj_iter it = yyjson_obj_iter_with(root);
	yyjson_val *key;

	while ((key = yyjson_obj_iter_next(&it))) {
		unsigned i = 0;

		while (i < PARTS && !slice_equal(text_of(key), slice_str(names[i])))
			i++;
		if (i == PARTS)
			return fail_key(text_of(key), why, "means nothing in a row; a row has entity, event_time, features, delete");
		if (out[i])
			return fail_key(text_of(key), why, "stands twice");
		out[i] = yyjson_obj_iter_get_val(key);
	}
	return 0;
}

static int take_named_entity(struct take *take, yyjson_val *entity, struct why *why)
{
	const struct batch_mapping *mapping = take->json->base.options.mapping;
	struct slice name;
	int rc;

	if (!entity)
		return why_fail(why, EINVAL, "the row names no entity");
	rc = take_part(take, slice_str("entity"), entity, 0, &name, why);
	if (rc < 0)
		return rc;
	buf_reset(&take->json->row.entity);
	rc = text_check_entity(name, mapping->grp->n_keys, why);
	if (rc == 0)
		buf_append_slice(&take->json->row.entity, name);
	return rc;
}

static int take_format(struct take *take, yyjson_val *root, struct why *why)
{
	const struct batch_mapping *mapping = take->json->base.options.mapping;
	yyjson_val *parts[PARTS] = { NULL };
	int rc = find_parts(root, parts, why);

	if (rc == 0)
		rc = take_named_entity(take, parts[ENTITY], why);
	if (rc == 0 && parts[EVENT_TIME])
		rc = take_time(take, parts[EVENT_TIME], why);
	if (rc < 0)
		return rc;
	if (parts[GROUP] && !yyjson_equals_str(parts[GROUP], mapping->grp->name))
		return why_fail(why, EINVAL, "the row names another group");
	if (parts[FORCE] && !yyjson_is_false(parts[FORCE]))
		return why_fail(why, EINVAL, "force is not for files of rows; a load that wins whatever its time has mode = overwrite");
	rc = take_features(take, parts[FEATURES], why);
	/* In these rows no column goes by [batch], so none is missing. */
	for (unsigned i = 0; i < mapping->n_targets && !take->json->has_format; i++)
		source_met(&take->json->base, i);
	take->json->has_format = true;
	return rc < 0 ? rc : take_deletes(take, parts[DELETE], parts[FEATURES], why);
}

/* Unless the group's own columns have these names. */
static bool is_format(const struct json *json, yyjson_val *root)
{
	const struct batch_mapping *mapping = json->base.options.mapping;

	return (yyjson_is_obj(yyjson_obj_get(root, "features")) && !mapping_find(mapping, slice_str("features"))) ||
		(yyjson_obj_get(root, "delete") && !mapping_find(mapping, slice_str("delete")));
}

/* ---- either ---- */

int json_take_object(struct json *json, yyjson_val *root, struct why *why)
{
	struct take take = { .json = json, .event_ns = json->base.options.default_event_ns };
	uint8_t flags;
	int rc;

	if (!yyjson_is_obj(root))
		return why_fail(why, EINVAL, "the line is JSON, but no object");
	row_begin_absent(&json->row);
	buf_reset(&json->row.entity);
	rc = is_format(json, root) ? take_format(&take, root, why) : take_columns(&take, root, why);
	if (rc < 0)
		return rc;
	flags = take.is_tomb ? RECORD_TOMB : RECORD_EXISTS;
	return row_finish(&json->row, flags, take.event_ns, json->line, why);
}
