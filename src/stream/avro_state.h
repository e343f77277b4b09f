/* SPDX-License-Identifier: MIT */
/* What is kept of an Avro document that was read, and how its leaves become values. Private to stream. */
#ifndef STREAM_AVRO_STATE_H
#define STREAM_AVRO_STATE_H

#include "stream/avro.h"
#include "stream/mapping.h"
#include "stream/schemas.h"

struct avro_reader;

struct avro_found {
	bool is_there;
	unsigned type;			/* no union */
	struct slice bytes;
};

struct avro_state {
	struct stream_schemas *schemas;
	struct avro_reader **readers;
	unsigned n_readers;
	const struct avro_schema *schema;	/* of what was read last */
	struct avro_found *found;	/* by leaf */
	struct buf text, scratch;
};

/* The leaves' part of struct format. */
int avro_part(const struct document *doc, unsigned leaf, struct buf *out, struct why *why);
int avro_time(const struct document *doc, unsigned leaf, enum moment_unit unit, int64_t *out_ns, struct why *why);
bool avro_matches(const struct document *doc, unsigned leaf, struct slice value);
int avro_value(const struct document *doc, unsigned leaf, const struct catalog_feature *feature, struct buf *out, uint8_t *out_state,
	       struct why *why);

#endif
