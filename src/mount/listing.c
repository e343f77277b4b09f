/* SPDX-License-Identifier: MIT */
/*
 * Places in a listing of a group. The map has its entities in order of names and can begin behind any of them, so a place is a name; but the
 * kernel and telldir(3) hold numbers. Reading on from where the last reply ended, or from inside of it, is exact whatever came or went
 * meanwhile. Going further back counts from the nearest mark, at most 1,023 names; if names in between came or went, it is off by
 * as many, which POSIX leaves open.
 */
#include "mount/listing.h"

#include <errno.h>

void listing_release(struct listing *list)
{
	buf_release(&list->names);
	buf_release(&list->places);
	buf_release(&list->marks);
	buf_release(&list->mark_places);
}

static void add_name(struct buf *names, struct buf *places, struct slice name)
{
	uint32_t place = (uint32_t)names->len;

	buf_append(places, &place, sizeof place);
	buf_append_u8(names, (uint8_t)name.len);
	buf_append_slice(names, name);
}

int listing_begin(struct listing *list, uint64_t number, struct slice before)
{
	buf_reset(&list->names);
	buf_reset(&list->places);
	list->first = number;
	list->count = 0;
	if (number == 0 || before.len == 0)
		return 0;
	add_name(&list->names, &list->places, before);
	if (buf_error(&list->names) || buf_error(&list->places))
		return -ENOMEM;
	list->first--;
	list->count++;
	return 0;
}

void listing_rewind(struct listing *list)
{
	listing_begin(list, 0, slice_of(NULL, 0));
	buf_reset(&list->marks);
	buf_reset(&list->mark_places);
	list->n_marks = 0;
}

static struct slice name_at(const struct buf *names, const struct buf *places, uint64_t i)
{
	uint32_t place;

	memcpy(&place, places->data + i * sizeof place, sizeof place);
	return slice_of(names->data + place + 1, (uint8_t)names->data[place]);
}

int listing_add(struct listing *list, struct slice name)
{
	uint64_t number = list->first + list->count;

	add_name(&list->names, &list->places, name);
	if (buf_error(&list->names) || buf_error(&list->places))
		return -ENOMEM;
	list->count++;
	if (number != list->n_marks * LISTING_STEP + LISTING_STEP - 1)
		return 0;
	add_name(&list->marks, &list->mark_places, name);
	if (buf_error(&list->marks) || buf_error(&list->mark_places))
		return -ENOMEM;
	list->n_marks++;
	return 0;
}

void listing_seek(const struct listing *list, uint64_t number, struct slice *out_after, uint64_t *out_skip)
{
	uint64_t block = number / LISTING_STEP;

	if (number > list->first && number <= list->first + list->count) {
		*out_after = name_at(&list->names, &list->places, number - list->first - 1);
		*out_skip = 0;
		return;
	}
	if (block > list->n_marks)
		block = list->n_marks;
	*out_after = block ? name_at(&list->marks, &list->mark_places, block - 1) : slice_of(NULL, 0);
	*out_skip = number - block * LISTING_STEP;
}
