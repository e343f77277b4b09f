/* SPDX-License-Identifier: MIT */
/* Avro schemas, as far as reading needs them. Private to stream. */
#ifndef STREAM_AVRO_H
#define STREAM_AVRO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/slice.h"
#include "base/why.h"

enum avro_kind {
	AVRO_NULL, AVRO_BOOLEAN, AVRO_INT, AVRO_LONG, AVRO_FLOAT, AVRO_DOUBLE, AVRO_BYTES, AVRO_STRING,	/* primitive, in this order */
	AVRO_RECORD, AVRO_ENUM, AVRO_ARRAY, AVRO_MAP, AVRO_UNION, AVRO_FIXED,
};

enum avro_logical { AVRO_PLAIN, AVRO_DATE, AVRO_MILLIS, AVRO_MICROS, AVRO_NANOS, AVRO_DECIMAL };

/* A record's field, an enum's symbol, a union's branch, or the one type of an array's or map's values. */
struct avro_member {
	struct slice name;
	unsigned type;
};

struct avro_type {
	enum avro_kind kind;
	enum avro_logical logical;
	uint32_t size;			/* of a fixed: bytes */
	uint32_t scale;			/* of a decimal: digits behind the point */
	unsigned first, count;		/* members */
};

struct avro_schema {
	struct avro_type *types;	/* the first is the schema itself */
	unsigned n_types;
	struct avro_member *members;
	unsigned n_members;
	char *names;			/* the bytes of their names */
};

/* Reads the JSON text of a schema. -EINVAL, -ENOMEM. */
int avro_schema_parse(struct slice text, struct avro_schema **out, struct why *why);
void avro_schema_free(struct avro_schema *schema);	/* NULL is fine */
const char *avro_kind_name(enum avro_kind kind);

static inline const struct avro_member *avro_members(const struct avro_schema *schema, const struct avro_type *type)
{
	return &schema->members[type->first];
}

/* ---- the bytes of a datum ---- */

enum {
	AVRO_DEPTH_MAX = 256,		/* of values in values */
	AVRO_ITEMS_SPARE = 65536,	/* items that a datum may have beyond one a byte */
};

struct avro_cursor {
	const struct avro_schema *schema;
	const uint8_t *at, *end;
	uint64_t items;			/* that may still come */
	unsigned depth;
	struct why *why;
};

/* Each takes one thing off the front: 0, or -EINVAL with the reason. */
int avro_take_long(struct avro_cursor *c, int64_t *out);
int avro_take_integer(struct avro_cursor *c, const struct avro_type *type, int64_t *out);	/* an int or a long */
int avro_take_bytes(struct avro_cursor *c, size_t len, struct slice *out);
int avro_take_counted(struct avro_cursor *c, struct slice *out);	/* a length, and as many bytes */
int avro_take_index(struct avro_cursor *c, const struct avro_type *type, unsigned *out);	/* of a branch or symbol */
/* The head of a block of an array or map: how many items follow, 0 at the end. `out_size` is their bytes, or -1 where that is not said. */
int avro_take_block(struct avro_cursor *c, uint64_t *out_count, int64_t *out_size);
int avro_take_item(struct avro_cursor *c);		/* no bytes: counts it */
int avro_enter(struct avro_cursor *c);			/* one deeper; the caller takes it back from c->depth, also after a failure */
int avro_skip(struct avro_cursor *c, unsigned type);	/* a whole value */

#endif
