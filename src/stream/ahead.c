/* SPDX-License-Identifier: MIT */
/*
 * Messages behind a position that are done already. A batch beside other writers is committed in parts, in the order of its entities' names, for
 * then its rows lie close together in the map; so until its last part is committed, what is done is not what lies before an offset. One bit
 * for each offset, from the position on; the first byte begins at a multiple of 8, so that bytes only move whole.
 */
#include "stream/private.h"

#include <errno.h>
#include <string.h>

static size_t byte_of(const struct ahead *ahead, int64_t offset)
{
	return (size_t)(offset - ahead->base) / 8;
}

static uint8_t bit_of(int64_t offset)
{
	return (uint8_t)(1 << (offset & 7));
}

bool ahead_has(const struct ahead *ahead, int64_t offset)
{
	return ahead->bits.len && offset >= ahead->base && byte_of(ahead, offset) < ahead->bits.len &&
	       ((uint8_t)ahead->bits.data[byte_of(ahead, offset)] & bit_of(offset));
}

int ahead_add(struct ahead *ahead, int64_t offset)
{
	size_t at = byte_of(ahead, offset), had = ahead->bits.len;

	if (at >= had) {
		char *more = buf_reserve(&ahead->bits, at + 1 - had);

		if (!more)
			return -ENOMEM;
		memset(more, 0, at + 1 - had);
		ahead->bits.len = at + 1;
	}
	ahead->bits.data[at] = (char)((uint8_t)ahead->bits.data[at] | bit_of(offset));
	return 0;
}

/* Forgets zeros at the end: what has no bit has no bytes. */
static void trim(struct ahead *ahead)
{
	while (ahead->bits.len && !ahead->bits.data[ahead->bits.len - 1])
		ahead->bits.len--;
}

void ahead_cut(struct ahead *ahead, int64_t next)
{
	int64_t base = next & ~INT64_C(7);
	size_t gone = base > ahead->base ? byte_of(ahead, base) : 0;

	if (gone >= ahead->bits.len) {
		ahead->bits.len = 0;
	} else {
		memmove(ahead->bits.data, ahead->bits.data + gone, ahead->bits.len - gone);
		ahead->bits.len -= gone;
		ahead->bits.data[0] = (char)((uint8_t)ahead->bits.data[0] & ~(bit_of(next) - 1));
	}
	ahead->base = base;
	trim(ahead);
}

int ahead_set(struct ahead *ahead, int64_t next, struct slice bits)
{
	buf_reset(&ahead->bits);
	ahead->base = next & ~INT64_C(7);
	buf_append_slice(&ahead->bits, bits);
	return buf_error(&ahead->bits);
}
