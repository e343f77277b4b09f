/* SPDX-License-Identifier: MIT */
/*
 * Definitions and the stored form of groups. What is accepted prints, and its canonical text is a fixed point; so is
 * the stored form. A group with a definition takes the same definition again.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>
#include "catalog/catalog.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_definition(struct slice text)
{
	struct buf once = { 0 }, twice = { 0 };
	struct catalog_group *first = NULL, *second = NULL, *evolved = NULL;
	struct why why = { "" };

	if (catalog_group_parse("input", text, &first, &why) < 0) {
		assert(why.text[0]);
		return;
	}
	assert(catalog_group_print(first, &once) == 0);
	assert(catalog_group_parse("canonical", buf_slice(&once), &second, &why) == 0);
	assert(catalog_group_print(second, &twice) == 0);
	assert(slice_equal(buf_slice(&once), buf_slice(&twice)));
	assert(catalog_group_evolve(first, second, true, 1, &evolved, &why) == 0);
	assert(evolved->next_slot == first->next_slot);
	catalog_group_unref(first);
	catalog_group_unref(second);
	catalog_group_unref(evolved);
	buf_release(&once);
	buf_release(&twice);
}

static void check_stored(struct slice bytes)
{
	struct buf once = { 0 }, twice = { 0 };
	struct catalog_group *first = NULL, *second = NULL;
	struct why why = { "" };

	if (catalog_group_decode(bytes, &first, &why) < 0)
		return;
	for (unsigned i = 0; i < first->n_features; i++)
		assert(catalog_feature_at(first, first->features[i].slot) == &first->features[i]);
	assert(catalog_group_encode(first, &once) == 0);
	assert(catalog_group_decode(buf_slice(&once), &second, &why) == 0);
	assert(catalog_group_encode(second, &twice) == 0);
	assert(slice_equal(buf_slice(&once), buf_slice(&twice)));
	catalog_group_unref(first);
	catalog_group_unref(second);
	buf_release(&once);
	buf_release(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_definition(slice_of(data, size));
	check_stored(slice_of(data, size));
	return 0;
}
