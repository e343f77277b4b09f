/* SPDX-License-Identifier: MIT */
/*
 * The names that were met while rows are screened, as hashes, with what became of each.
 *
 * The hash is keyed by chance and has 62 bits. Where two names met in it, one's row would be taken for a repetition of the other's, with a chance of
 * one in a million million for a load of a million rows.
 */
#include "ingest/load_names.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <xxhash.h>

enum {
	SEGMENTS = 256,			/* each grows by itself, so that growing needs little more than what it comes to */
	SLOTS_FIRST = 64,
};

/* A slot is 0, or a hash whose lowest bits say the fate. */
enum { FATE_BITS = 2, FATE_MASK = 3 };

struct segment {
	uint64_t *slots;
	uint32_t n, size;
};

struct names {
	uint64_t key;
	struct segment segments[SEGMENTS];
	uint32_t first_size;		/* slots that a segment begins with */
	size_t bytes, bytes_max;
	bool is_full;			/* a name found no room: from then on, none is remembered */
};

static bool has_room(const struct segment *seg)
{
	return (uint64_t)seg->n * 4 < (uint64_t)seg->size * 3;
}

struct names *names_new(size_t bytes_max, uint64_t n_hint)
{
	struct names *names = calloc(1, sizeof *names);
	uint32_t size = SLOTS_FIRST;

	if (!names)
		return NULL;
	if (getrandom(&names->key, sizeof names->key, GRND_NONBLOCK) != sizeof names->key)
		names->key = (uint64_t)(uintptr_t)names;
	names->bytes_max = bytes_max;
	while ((uint64_t)size * SEGMENTS * 3 < n_hint * 4 && (uint64_t)size * 2 * SEGMENTS * sizeof *names->segments->slots <= bytes_max)
		size *= 2;
	names->first_size = size;
	return names;
}

void names_free(struct names *names)
{
	if (!names)
		return;
	for (unsigned i = 0; i < SEGMENTS; i++)
		free(names->segments[i].slots);
	free(names);
}

uint64_t names_hash(const struct names *names, struct slice entity)
{
	return XXH3_64bits_withSeed(entity.data, entity.len, names->key) & ~(uint64_t)FATE_MASK;
}

static inline struct segment *segment_of(struct names *names, uint64_t hash)
{
	return &names->segments[hash >> 56];
}

static inline uint32_t place_of(const struct segment *seg, uint64_t hash)
{
	return (uint32_t)(hash >> FATE_BITS) & (seg->size - 1);
}

/* The slot that has the hash, or the free one where it would be. NULL: there is no slot at all. */
static inline uint64_t *find_slot(struct segment *seg, uint64_t hash)
{
	uint32_t at = seg->size ? place_of(seg, hash) : 0;

	while (seg->size && seg->slots[at] && (seg->slots[at] & ~(uint64_t)FATE_MASK) != hash)
		at = (at + 1) & (seg->size - 1);
	return seg->size ? &seg->slots[at] : NULL;
}

void names_fetch(struct names *names, uint64_t hash)
{
	struct segment *seg = segment_of(names, hash);

	if (seg->size)
		__builtin_prefetch(&seg->slots[place_of(seg, hash)], 1);
}

enum fate names_fate(struct names *names, uint64_t hash)
{
	const uint64_t *slot = find_slot(segment_of(names, hash), hash);

	return slot ? (enum fate)(*slot & FATE_MASK) : FATE_UNMET;
}

/* false: there is no room. */
static bool grow(struct names *names, struct segment *seg)
{
	struct segment next = { .size = seg->size ? 2 * seg->size : names->first_size, .n = seg->n };
	size_t more = (next.size - seg->size) * sizeof *next.slots;

	if (names->bytes + more > names->bytes_max)
		return false;
	next.slots = calloc(next.size, sizeof *next.slots);
	if (!next.slots)
		return false;
	for (uint32_t i = 0; i < seg->size; i++)
		if (seg->slots[i])
			*find_slot(&next, seg->slots[i] & ~(uint64_t)FATE_MASK) = seg->slots[i];
	free(seg->slots);
	*seg = next;
	names->bytes += more;
	return true;
}

bool names_meet(struct names *names, uint64_t hash, enum fate fate)
{
	struct segment *seg = segment_of(names, hash);

	if (names->is_full)
		return false;
	if (!has_room(seg) && !grow(names, seg)) {
		names->is_full = true;
		return false;
	}
	*find_slot(seg, hash) = hash | fate;
	seg->n++;
	return true;
}

void names_change(struct names *names, uint64_t hash, enum fate fate)
{
	*find_slot(segment_of(names, hash), hash) = hash | fate;
}
