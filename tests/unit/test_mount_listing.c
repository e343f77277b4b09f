/* SPDX-License-Identifier: MIT */
/* Places in a listing: reading on, going back, and how much of it is remembered. */
#include "mount/listing.h"
#include "test.h"

enum { NAMES = 100000, REPLY = 700 };

static void name_of(uint64_t i, char out[32])
{
	snprintf(out, 32, "e%08llu", (unsigned long long)i);
}

/* What a walk that begins behind `after` and skips `skip` names gives first, if the names are all of e00000000 on. */
static uint64_t first_of(struct slice after, uint64_t skip)
{
	char text[32] = "";

	if (after.len == 0)
		return skip;
	memcpy(text, after.data, after.len);
	return strtoull(text + 1, NULL, 10) + 1 + skip;
}

static void list_all(struct listing *list)
{
	char before[32] = "", name[32];

	for (uint64_t at = 0; at < NAMES; at += REPLY) {
		struct slice after;
		uint64_t skip;

		listing_seek(list, at, &after, &skip);
		CHECK_INT(skip, 0);
		CHECK_TEXT(after, before);
		CHECK_INT(listing_begin(list, at, slice_str(before)), 0);
		for (uint64_t i = at; i < at + REPLY; i++) {
			name_of(i, name);
			NEED(listing_add(list, slice_str(name)) == 0);
		}
		memcpy(before, name, sizeof name);
	}
}

static void test_forward_and_back(void)
{
	struct listing list = { 0 };
	struct slice after;
	uint64_t skip, seed = 7;

	list_all(&list);
	for (int i = 0; i < 5000; i++) {
		uint64_t number;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		number = (seed >> 33) % NAMES;
		listing_seek(&list, number, &after, &skip);
		CHECK_INT(first_of(after, skip), number);
		CHECK(skip < LISTING_STEP);
	}
	CHECK(list.marks.len + list.names.len < 32 * (NAMES / LISTING_STEP + REPLY + 2));
	listing_release(&list);
}

/* Inside of the last reply, and just before it, the name itself is known: nothing is counted. */
static void test_exact_in_reply(void)
{
	struct listing list = { 0 };
	struct slice after;
	uint64_t skip;
	char name[32];

	list_all(&list);
	for (uint64_t number = list.first + 1; number <= list.first + list.count; number++) {
		listing_seek(&list, number, &after, &skip);
		name_of(number - 1, name);
		CHECK_TEXT(after, name);
		CHECK_INT(skip, 0);
	}
	CHECK_INT(list.count, REPLY + 1);
	listing_release(&list);
}

static void test_rewind(void)
{
	struct listing list = { 0 };
	struct slice after;
	uint64_t skip;

	list_all(&list);
	listing_rewind(&list);
	listing_seek(&list, 5000, &after, &skip);
	CHECK_INT(after.len, 0);
	CHECK_INT(skip, 5000);
	listing_seek(&list, 0, &after, &skip);
	CHECK_INT(after.len, 0);
	CHECK_INT(skip, 0);
	list_all(&list);
	listing_release(&list);
}

/* A name as long as names can be keeps its length byte whole. */
static void test_long_name(void)
{
	struct listing list = { 0 };
	struct slice after;
	uint64_t skip;
	char name[256];

	memset(name, 'x', 255);
	name[255] = '\0';
	NEED(listing_begin(&list, 0, slice_of(NULL, 0)) == 0);
	NEED(listing_add(&list, slice_str(name)) == 0);
	listing_seek(&list, 1, &after, &skip);
	CHECK_TEXT(after, name);
	listing_release(&list);
}

int main(void)
{
	test_forward_and_back();
	test_exact_in_reply();
	test_rewind();
	test_long_name();
	return test_end("mount_listing");
}
