/* SPDX-License-Identifier: MIT */
/*
 * The bytes of a datum. They can lie about their lengths: every length is held against the bytes that are left, nesting is bounded, and so is
 * the number of items, since an item may take no bytes at all. What is skipped is judged like what is read.
 */
#include "stream/avro.h"

#include <errno.h>

static int cut_off(struct avro_cursor *c)
{
	return why_fail(c->why, EINVAL, "the datum is cut off");
}

int avro_take_long(struct avro_cursor *c, int64_t *out)
{
	uint64_t bits = 0;

	for (unsigned shift = 0; shift < 70; shift += 7) {
		uint8_t byte;

		if (c->at == c->end)
			return cut_off(c);
		byte = *c->at++;
		if (shift == 63 && byte > 1)
			break;
		bits |= (uint64_t)(byte & 127) << shift;
		if (!(byte & 128)) {
			*out = (int64_t)(bits >> 1) ^ -(int64_t)(bits & 1);
			return 0;
		}
	}
	return why_fail(c->why, EINVAL, "a number has more than 64 bits");
}

/* An int or a long. */
int avro_take_integer(struct avro_cursor *c, const struct avro_type *type, int64_t *out)
{
	int rc = avro_take_long(c, out);

	if (rc == 0 && type->kind == AVRO_INT && (*out < INT32_MIN || *out > INT32_MAX))
		rc = why_fail(c->why, EINVAL, "an int has more than 32 bits");
	return rc;
}

int avro_take_bytes(struct avro_cursor *c, size_t len, struct slice *out)
{
	if (len > (size_t)(c->end - c->at))
		return cut_off(c);
	*out = slice_of(c->at, len);
	c->at += len;
	return 0;
}

/* A length, and as many bytes. */
int avro_take_counted(struct avro_cursor *c, struct slice *out)
{
	int64_t len;
	int rc = avro_take_long(c, &len);

	if (rc == 0 && (len < 0 || (uint64_t)len > (size_t)(c->end - c->at)))
		rc = cut_off(c);
	return rc < 0 ? rc : avro_take_bytes(c, (size_t)len, out);
}

int avro_take_index(struct avro_cursor *c, const struct avro_type *type, unsigned *out)
{
	int64_t index;
	int rc = avro_take_long(c, &index);

	if (rc == 0 && (index < 0 || index >= type->count))
		rc = why_fail(c->why, EINVAL, "%s %lld of %u", type->kind == AVRO_UNION ? "branch" : "symbol", (long long)index, type->count);
	if (rc == 0)
		*out = (unsigned)index;
	return rc;
}

/* The head of a block of an array or map: how many items follow; 0 at the end. `out_size` is their bytes, or -1 where they are not said. */
int avro_take_block(struct avro_cursor *c, uint64_t *out_count, int64_t *out_size)
{
	int64_t count;
	int rc = avro_take_long(c, &count);

	*out_size = -1;
	if (rc == 0 && count < 0) {
		rc = avro_take_long(c, out_size);
		if (rc == 0 && (*out_size < 0 || *out_size > c->end - c->at))
			rc = cut_off(c);
	}
	*out_count = count < 0 ? 0 - (uint64_t)count : (uint64_t)count;
	return rc;
}

int avro_take_item(struct avro_cursor *c)
{
	if (!c->items)
		return why_fail(c->why, EINVAL, "more items than a message of its size can hold");
	c->items--;
	return 0;
}

static int skip_blocks(struct avro_cursor *c, const struct avro_type *type)
{
	struct slice ignored;
	uint64_t count;
	int64_t size;
	int rc;

	while ((rc = avro_take_block(c, &count, &size)) == 0 && count) {
		if (size >= 0) {
			rc = avro_take_item(c);	/* blocks may be empty */
			if (rc == 0)
				rc = avro_take_bytes(c, (size_t)size, &ignored);
			if (rc < 0)
				return rc;
			continue;
		}
		while (rc == 0 && count--) {
			rc = avro_take_item(c);
			if (rc == 0 && type->kind == AVRO_MAP)
				rc = avro_take_counted(c, &ignored);
			if (rc == 0)
				rc = avro_skip(c, avro_members(c->schema, type)->type);
		}
		if (rc < 0)
			return rc;
	}
	return rc;
}

int avro_enter(struct avro_cursor *c)
{
	return ++c->depth > AVRO_DEPTH_MAX ? why_fail(c->why, EINVAL, "values are nested deeper than %d", AVRO_DEPTH_MAX) : avro_take_item(c);
}

static int skip_inner(struct avro_cursor *c, const struct avro_type *type)
{
	const struct avro_member *members = avro_members(c->schema, type);
	unsigned branch;
	int rc = avro_enter(c);

	if (rc == 0 && type->kind == AVRO_UNION) {
		rc = avro_take_index(c, type, &branch);
		if (rc == 0)
			rc = avro_skip(c, members[branch].type);
	} else if (type->kind == AVRO_RECORD) {
		for (unsigned i = 0; rc == 0 && i < type->count; i++)
			rc = avro_skip(c, members[i].type);
	} else if (rc == 0) {
		rc = skip_blocks(c, type);
	}
	c->depth--;
	return rc;
}

int avro_skip(struct avro_cursor *c, unsigned number)
{
	const struct avro_type *type = &c->schema->types[number];
	struct slice ignored;
	int64_t value;

	switch (type->kind) {
	case AVRO_NULL:
		return 0;
	case AVRO_BOOLEAN:
		return avro_take_bytes(c, 1, &ignored);
	case AVRO_INT:
	case AVRO_LONG:
	case AVRO_ENUM:
		return avro_take_long(c, &value);
	case AVRO_FLOAT:
		return avro_take_bytes(c, 4, &ignored);
	case AVRO_DOUBLE:
		return avro_take_bytes(c, 8, &ignored);
	case AVRO_BYTES:
	case AVRO_STRING:
		return avro_take_counted(c, &ignored);
	case AVRO_FIXED:
		return avro_take_bytes(c, type->size, &ignored);
	default:
		return skip_inner(c, type);
	}
}
