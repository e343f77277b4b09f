/* SPDX-License-Identifier: MIT */
/* The kinds of single values, as a table. An array's elements are such values too; type.c puts them together. */
#ifndef CATALOG_SCALAR_H
#define CATALOG_SCALAR_H

#include <stdbool.h>
#include <stdint.h>
#include <yyjson.h>
#include "base/buf.h"
#include "base/slice.h"
#include "base/why.h"
#include "catalog/type.h"

struct scalar {
	const char *name;
	unsigned size;		/* stored bytes; 0: they vary */
	/* Each appends the stored bytes. Text comes without its final newline. */
	int (*parse_text)(struct slice text, bool nan, struct buf *out, struct why *why);
	int (*parse_json)(yyjson_val *json, bool nan, struct buf *out, struct why *why);
	/* Judges bytes that came as .bin or from the store, of the right size if that is fixed. Errors as of the
	 * parsers. */
	int (*check)(struct slice value, bool nan, struct why *why);
	/* Values of the right size; -EBADMSG if they are not of the type. */
	int (*print_text)(struct slice value, struct buf *out);
	int (*print_json)(struct slice value, struct buf *out);
};

const struct scalar *scalar_of(enum type_base base);
const struct scalar *scalar_find(struct slice name, enum type_base *out_base);		/* NULL */

/* Reads JSON with its numbers as they are written. The caller frees the document. -EILSEQ, -EINVAL, -ENOMEM. */
int scalar_read_json(struct slice text, yyjson_doc **out, struct why *why);

/* Stored integers are little-endian. */
static inline uint64_t scalar_load(const void *data, unsigned bytes)
{
	const uint8_t *p = data;
	uint64_t value = 0;

	while (bytes--)
		value = value << 8 | p[bytes];
	return value;
}

static inline double scalar_load_f64(const void *data)
{
	uint64_t bits = scalar_load(data, 8);
	double value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

static inline float scalar_load_f32(const void *data)
{
	uint32_t bits = (uint32_t)scalar_load(data, 4);
	float value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

#endif
