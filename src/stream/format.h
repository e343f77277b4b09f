/* SPDX-License-Identifier: MIT */
/*
 * One message to typed values. A mapping is compiled once from a [stream NAME] section and its group: where the entity, the event time,
 * the filters and each feature stand in a message. Decoding then allocates nothing in the steady state. A mapping has scratch
 * memory of its own, so one thread uses it at a time; two mappings share nothing but the schemas, which are thread-safe.
 *
 * Keys of the section that are read here: format, entity, event_time, event_time_unit, columns, delimiter, null, filter.PATH, feature.NAME. The
 * others (topic, start, ...) belong to the lane.
 */
#ifndef STREAM_FORMAT_H
#define STREAM_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/slice.h"
#include "base/why.h"
#include "catalog/catalog.h"

struct stream_mapping;
struct stream_schemas;

enum { STREAM_MESSAGE_MAX = 16 << 20 };		/* bytes of one message, as of one .upsert */

/* A record that says no time. */
#define STREAM_NO_TIME INT64_MIN

struct stream_message {
	struct slice key, value;
	bool has_key;
	bool has_value;			/* false: a tombstone */
	int64_t timestamp_ns;		/* the record's own, or STREAM_NO_TIME */
	/* The last header of that name: 0, or -ENOENT. NULL: there are no headers. Called only where the section names one. */
	int (*header)(void *arg, const char *name, struct slice *out);
	void *header_arg;
};

struct stream_value {
	uint16_t slot;
	uint8_t state;			/* RECORD_PRESENT or RECORD_NULL */
	uint8_t type_code;		/* of a value that is there */
	struct slice bytes;		/* the stored bytes of the feature's type */
};

/* All slices are borrowed from the mapping, until its next decode. */
struct stream_row {
	struct slice entity;		/* the written form of its name, checked */
	int64_t event_ns;
	bool is_delete;			/* the whole entity, as of event_ns; there are no values then */
	size_t n_values;
	const struct stream_value *values;
};

/* `schemas` may be NULL: then messages of format avro can't be decoded (-EAGAIN, with what to do). -EINVAL with the key at fault, -ENOMEM. */
int stream_mapping_new(const struct catalog_group *grp, const struct catalog_section *section, struct stream_schemas *schemas,
		       struct stream_mapping **out, struct why *why);
void stream_mapping_free(struct stream_mapping *map);		/* NULL is fine */

/* 0: *out is set. 1: the message is not for this group: a filter does not match, or it holds none of the mapped features. -EAGAIN: a schema can't be
 * fetched just now; try the same message again in a while. Every other -errno, with the reason: the message is bad and stays so (-EINVAL not of
 * the form or type, -ERANGE, -EILSEQ, -EFBIG; -ENOENT no such schema) - save -ENOMEM. The rules of the features are not judged
 * here but by ingest. */
int stream_mapping_decode(struct stream_mapping *map, const struct stream_message *msg, struct stream_row *out, struct why *why);

#endif
