/* SPDX-License-Identifier: MIT */
/* A group's counters as bytes: a version, then little-endian 64-bit fields in the order of the struct. */
#include "catalog/stats.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

enum { STATS_VERSION = 1, STATS_FIELDS = sizeof(struct catalog_stats) / 8 };

_Static_assert(sizeof(struct catalog_stats) % 8 == 0, "every field is 64 bits wide");

int catalog_stats_decode(struct slice bytes, struct catalog_stats *out)
{
	uint64_t field[STATS_FIELDS];

	memset(out, 0, sizeof *out);
	if (bytes.len == 0)
		return 0;
	if (bytes.len != 1 + sizeof field || *(const uint8_t *)bytes.data != STATS_VERSION)
		return -EBADMSG;
	memcpy(field, (const char *)bytes.data + 1, sizeof field);
	for (unsigned i = 0; i < STATS_FIELDS; i++)
		field[i] = le64toh(field[i]);
	memcpy(out, field, sizeof field);
	return 0;
}

void catalog_stats_encode(const struct catalog_stats *stats, struct buf *out)
{
	uint64_t field[STATS_FIELDS];

	memcpy(field, stats, sizeof field);
	buf_append_u8(out, STATS_VERSION);
	for (unsigned i = 0; i < STATS_FIELDS; i++)
		buf_append_u64(out, field[i]);
}
