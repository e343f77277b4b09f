/* SPDX-License-Identifier: MIT */
/*
 * From a message to a row, by a compiled mapping. The order of the questions is that of their cost to somebody who reads a dead letter: is it a message at
 * all, is it for this group, whose is it, of when, and what does it say.
 *
 * A tombstone, a record without a value, deletes the entity that its key names. Where the entity stands in the value nobody can
 * tell which one is meant, so that is a bad message.
 */
#include <errno.h>
#include "base/text.h"
#include "store/store.h"
#include "stream/mapping.h"

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
