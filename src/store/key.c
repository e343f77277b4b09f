/* SPDX-License-Identifier: MIT */
/*
 * Keys of rows. All rows of all groups are in one table of the map, so that the number of groups costs nothing:
 *
 *	offset	bytes	what
 *	0	4	number of the table of rows, big-endian
 *	4	1-507	the entity
 *
 *	rows 258, entity "u1":	00 00 01 02 75 31
 *
 * LMDB compares keys as memcmp does, and a key that is the beginning of another comes first. From that:
 *
 *	Order. Two keys of different tables differ in their first four bytes, and big-endian bytes of one length
 *	compare as their numbers: so tables stand in order of number, whatever their entities are. Two keys of one
 *	table have these four bytes in common, so they compare as their entities, by bytes.
 *	Prefix walks. Every key of a table begins with its four bytes, and no key of another does. The four bytes
 *	alone are no key (an entity is never empty), come before all that they begin, and behind all keys of lower
 *	tables. So a walk that seeks them and ends at the first key that does not begin with them sees all of the
 *	table and nothing else.
 *	No ambiguity. The number has one length, so a key has one reading.
 *
 * The number is not the group's id: a loader can fill a new table beside the one that is read, and one change of the
 * group's definition swaps them.
 */
#include "store/key.h"

#include <errno.h>
#include <string.h>

void key_first(uint32_t rows, struct key *out)
{
	out->data[0] = (uint8_t)(rows >> 24);
	out->data[1] = (uint8_t)(rows >> 16);
	out->data[2] = (uint8_t)(rows >> 8);
	out->data[3] = (uint8_t)rows;
	out->len = KEY_ROWS_LEN;
}

int key_encode(uint32_t rows, struct slice entity, struct key *out)
{
	if (!entity.len)
		return -EINVAL;
	if (entity.len > KEY_ENTITY_MAX)
		return -ENAMETOOLONG;
	key_first(rows, out);
	memcpy(out->data + KEY_ROWS_LEN, entity.data, entity.len);
	out->len += entity.len;
	return 0;
}

int key_decode(struct slice key, uint32_t *out_rows, struct slice *out_entity)
{
	const uint8_t *p = key.data;

	if (key.len <= KEY_ROWS_LEN || key.len > KEY_MAX)
		return -EBADMSG;
	*out_rows = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
	*out_entity = slice_of(p + KEY_ROWS_LEN, key.len - KEY_ROWS_LEN);
	return 0;
}
