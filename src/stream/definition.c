/* SPDX-License-Identifier: MIT */
/* What a [stream NAME] section says about its lane: the topic, where to begin, and the compiled mapping. */
#include "stream/private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { TOPIC_MAX = 249, GROUP_MAX = 255 };	/* bytes; Kafka's own bound for topics */

const struct catalog_section *definition_section(const struct catalog_group *grp, const char *stream)
{
	for (unsigned i = 0; i < grp->n_sections; i++)
		if (!strncmp(grp->sections[i].name, "stream ", 7) && !strcmp(grp->sections[i].name + 7, stream))
			return &grp->sections[i];
	return NULL;
}

static const char *find_key(const struct catalog_section *section, const char *key)
{
	for (unsigned i = 0; i < section->n_keys; i++)
		if (!strcmp(section->keys[i], key))
			return section->values[i];
	return NULL;
}

int whence_parse(struct slice text, struct whence *out)
{
	int64_t ns;

	*out = (struct whence){ .number = RD_KAFKA_OFFSET_BEGINNING };
	if (slice_equal(text, slice_str("earliest")))
		return 0;
	out->number = RD_KAFKA_OFFSET_END;
	if (slice_equal(text, slice_str("latest")))
		return 0;
	if (clock_parse_time(text, &ns) < 0 || ns < 0)
		return -EINVAL;
	*out = (struct whence){ .is_time = true, .number = ns / STREAM_MS };
	return 0;
}

static int read_topic(const char *text, char **out, const char *key, struct why *why)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

	if (strlen(text) > TOPIC_MAX || strspn(text, allowed) != strlen(text) || !strcmp(text, ".") || !strcmp(text, ".."))
		return why_fail(why, EINVAL, "%s = %.64s: a topic's name has letters, digits, '.', '_' and '-', at most %d", key, text,
				TOPIC_MAX);
	*out = strdup(text);
	return *out ? 0 : -ENOMEM;
}

static int read_reset(const char *text, enum reset_policy *out, struct why *why)
{
	static const char *const words[] = { "earliest", "latest", "stop" };

	for (size_t i = 0; text && i < sizeof words / sizeof *words; i++) {
		if (!strcmp(text, words[i])) {
			*out = (enum reset_policy)i;
			return 0;
		}
	}
	*out = RESET_EARLIEST;
	return text ? why_fail(why, EINVAL, "reset = %.64s: it is earliest, latest or stop", text) : 0;
}

static int read_keys(const struct catalog_section *section, struct definition *def, struct why *why)
{
	const char *topic = find_key(section, "topic"), *start = find_key(section, "start"), *group = find_key(section, "group");
	const char *dead_topic = find_key(section, "dead_letter_topic");
	int rc;

	if (!topic)
		return why_fail(why, EINVAL, "topic is not set");
	rc = read_topic(topic, &def->topic, "topic", why);
	if (rc == 0 && dead_topic)
		rc = read_topic(dead_topic, &def->dead_topic, "dead_letter_topic", why);
	if (rc == 0 && dead_topic && !strcmp(topic, dead_topic))
		rc = why_fail(why, EINVAL, "dead_letter_topic is the stream's own topic");
	if (rc == 0 && group && strlen(group) > GROUP_MAX)
		rc = why_fail(why, EINVAL, "group is longer than %d bytes", GROUP_MAX);
	if (rc == 0 && group) {
		def->group = strdup(group);
		rc = def->group ? 0 : -ENOMEM;
	}
	if (rc == 0 && whence_parse(slice_str(start ? start : "earliest"), &def->start) < 0)
		rc = why_fail(why, EINVAL, "start = %.64s: it is earliest, latest, or a time like 2026-11-23T04:00:00Z", start);
	return rc < 0 ? rc : read_reset(find_key(section, "reset"), &def->reset, why);
}

int definition_read(const struct catalog_group *grp, const char *stream, struct stream_schemas *schemas, struct definition *out,
		    struct why *why)
{
	const struct catalog_section *section = definition_section(grp, stream);
	struct definition def = { .grp = catalog_group_ref(grp) };
	int rc = section ? read_keys(section, &def, why) : why_fail(why, EINVAL, "the section is gone");

	if (rc == 0)
		rc = stream_mapping_new(grp, section, schemas, &def.map, why);
	if (rc < 0) {
		definition_release(&def);
		return rc;
	}
	*out = def;
	return 0;
}

int stream_check_group(const struct catalog_group *grp, struct why *why)
{
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < grp->n_sections; i++) {
		const char *name = grp->sections[i].name;
		struct definition def;

		if (strncmp(name, "stream ", 7))
			continue;
		rc = definition_read(grp, name + 7, NULL, &def, why);
		if (rc == 0)
			definition_release(&def);
		else if (rc == -EINVAL)
			why_prefix(why, "[%s]", name);
	}
	return rc;
}

void definition_release(struct definition *def)
{
	stream_mapping_free(def->map);
	catalog_group_unref(def->grp);
	free(def->topic);
	free(def->group);
	free(def->dead_topic);
	*def = (struct definition){ 0 };
}
