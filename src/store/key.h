/* SPDX-License-Identifier: MIT */
#ifndef STORE_KEY_H
#define STORE_KEY_H

#include <stdint.h>
#include "base/slice.h"

enum { KEY_MAX = 511, KEY_ROWS_LEN = 4, KEY_ENTITY_MAX = KEY_MAX - KEY_ROWS_LEN };	/* 511: LMDB's bound */

struct key {
	uint8_t data[KEY_MAX];
	size_t len;
};

/* -EINVAL without an entity, -ENAMETOOLONG past KEY_ENTITY_MAX. */
int key_encode(uint32_t rows, struct slice entity, struct key *out);
/* The key that is before every key of the table of rows and behind every key of the tables before it. */
void key_first(uint32_t rows, struct key *out);
/* -EBADMSG if no encoding gives these bytes. The entity is borrowed from them. */
int key_decode(struct slice key, uint32_t *out_rows, struct slice *out_entity);

static inline struct slice key_slice(const struct key *key)
{
	return slice_of(key->data, key->len);
}

#endif
