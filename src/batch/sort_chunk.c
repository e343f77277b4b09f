/* SPDX-License-Identifier: MIT */
/*
 * Rows in memory, and their sorting. An entry is eight bytes of the entity, as a number, and where the row is; a radix sort of entries looks
 * at no row. The bytes that all entities begin with ("user_0") are left out, so that eight tell most of them apart; where they don't, the
 * entries that tie are sorted by the next eight. Every step is stable, so rows of one entity stay in the order they came in.
 */
#include "batch/sort_private.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

enum {
	FEW = 32,			/* so many entries are sorted by insertion */
	ROW_GUESS = 128,		/* bytes of a row, for the first table of entries */
	HUGE_PAGE = 2 << 20,
};

int chunk_new(size_t bytes, struct chunk **out)
{
	struct chunk *chunk = calloc(1, sizeof *chunk);
	size_t page = bytes >= 2 * (size_t)HUGE_PAGE ? HUGE_PAGE : 4096;

	if (!chunk)
		return -ENOMEM;
	bytes = (bytes + page - 1) / page * page;
	chunk->cap = bytes;
	chunk->is_ascending = true;
	chunk->prefix = TEXT_ENTITY_MAX;
	chunk->cap_entries = bytes / ROW_GUESS;
	chunk->data = aligned_alloc(page, bytes);
	chunk->entries = malloc(chunk->cap_entries * sizeof *chunk->entries);
	if (!chunk->data || !chunk->entries) {
		chunk_free(chunk);
		return -ENOMEM;
	}
	if (page == HUGE_PAGE)
		madvise(chunk->data, bytes, MADV_HUGEPAGE);	/* a fault for 2 MiB in place of 512; where it can't be, nothing is lost */
	*out = chunk;
	return 0;
}

static void touch(void *memory, size_t bytes)
{
	const uintptr_t page = 4096;
	uintptr_t begin = ((uintptr_t)memory + page - 1) / page * page, end = ((uintptr_t)memory + bytes) / page * page;

#ifdef MADV_POPULATE_WRITE
	if (begin < end && madvise((void *)begin, end - begin, MADV_POPULATE_WRITE) == 0)
		return;
#endif
	for (; begin < end; begin += page)
		*(volatile char *)begin = 0;
}

void chunk_touch(struct chunk *chunk)
{
	touch(chunk->data, chunk->cap);
	touch(chunk->entries, chunk->cap_entries * sizeof *chunk->entries);
}

void chunk_free(struct chunk *chunk)
{
	if (!chunk)
		return;
	free(chunk->data);
	free(chunk->entries);
	free(chunk);
}

size_t chunk_bytes(const struct chunk *chunk)
{
	return chunk->cap + chunk->cap_entries * sizeof *chunk->entries;
}

/* What the new entity does to what is known of all. */
static void note_entity(struct chunk *chunk, struct slice entity)
{
	chunk->prefix = common_prefix(row_entity(chunk->data), entity, chunk->prefix);
	if (chunk->is_ascending && chunk->n) {
		int order = slice_compare(row_entity(chunk_row(chunk, chunk->n - 1)), entity);

		chunk->is_ascending = order <= 0;
		chunk->has_duplicates = chunk->has_duplicates || order == 0;
	}
}

int chunk_add(struct chunk *chunk, struct slice entity, size_t record_len, char **out_place)
{
	size_t len = ROW_HEAD + entity.len + record_len;

	if (len > chunk->cap - chunk->len)
		return -E2BIG;
	if (chunk->n == chunk->cap_entries) {
		size_t cap = chunk->cap_entries * 2 + 16;
		struct entry *grown = realloc(chunk->entries, cap * sizeof *grown);

		if (!grown)
			return -ENOMEM;
		chunk->entries = grown;
		chunk->cap_entries = cap;
	}
	*out_place = row_begin_write(chunk->data + chunk->len, entity, record_len);
	note_entity(chunk, entity);
	chunk->entries[chunk->n++].at = (uint32_t)chunk->len;
	chunk->len += len;
	return 0;
}

/* ---- sorting ---- */

static struct slice entity_at(const struct chunk *chunk, const struct entry *entry)
{
	return row_entity(chunk->data + entry->at);
}

static void sort_few(struct chunk *chunk, struct entry *entries, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		struct entry entry = entries[i];
		struct slice entity = entity_at(chunk, &entry);
		size_t j = i;

		for (; j; j--) {
			int order = slice_compare(entity_at(chunk, &entries[j - 1]), entity);

			chunk->has_duplicates = chunk->has_duplicates || order == 0;
			if (order <= 0)
				break;
			entries[j] = entries[j - 1];
		}
		entries[j] = entry;
	}
}

/* Least significant digit first; digits that are the same in all keys cost nothing. The result is in `entries`. */
static void radix(struct entry *entries, struct entry *spare, size_t n)
{
	static const unsigned digits = 8, values = 256;
	size_t counts[8][256] = { { 0 } };
	struct entry *from = entries, *to = spare;

	for (size_t i = 0; i < n; i++)
		for (unsigned d = 0; d < digits; d++)
			counts[d][entries[i].key >> (8 * d) & 255]++;
	for (unsigned d = 0; d < digits; d++) {
		size_t *count = counts[d], sum = 0;
		struct entry *swap;

		if (count[from[0].key >> (8 * d) & 255] == n)
			continue;
		for (unsigned v = 0; v < values; v++) {
			size_t here = count[v];

			count[v] = sum;
			sum += here;
		}
		for (size_t i = 0; i < n; i++)
			to[count[from[i].key >> (8 * d) & 255]++] = from[i];
		swap = from;
		from = to;
		to = swap;
	}
	if (from != entries)
		memcpy(entries, from, n * sizeof *entries);
}

/* Entities that are equal up to `depth`. It comes back at most once for every eight bytes of a name. */
static void sort_range(struct chunk *chunk, struct entry *entries, struct entry *spare, size_t n, size_t depth)
{
	if (n <= FEW) {
		sort_few(chunk, entries, n);
		return;
	}
	for (size_t i = 0; i < n; i++)
		entries[i].key = entity_key(entity_at(chunk, &entries[i]), depth);
	radix(entries, spare, n);
	for (size_t i = 0, end; i < n; i = end) {
		for (end = i + 1; end < n && entries[end].key == entries[i].key; end++)
			;
		if (end == i + 1)
			continue;
		/* A key that has room left holds all of its name, so equal ones are one entity. */
		if (entity_at(chunk, &entries[i]).len < depth + 8)
			chunk->has_duplicates = true;
		else
			sort_range(chunk, entries + i, spare, end - i, depth + 8);
	}
}

int chunk_sort(struct chunk *chunk)
{
	struct entry *spare;

	if (chunk->is_ascending)
		return 0;
	spare = malloc(chunk->n * sizeof *spare);
	if (!spare)
		return -ENOMEM;
	chunk->has_duplicates = false;
	sort_range(chunk, chunk->entries, spare, chunk->n, chunk->prefix);
	free(spare);
	return 0;
}

size_t chunk_lower(const struct chunk *chunk, struct slice entity)
{
	size_t low = 0, high = chunk->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (slice_compare(row_entity(chunk_row(chunk, mid)), entity) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}
