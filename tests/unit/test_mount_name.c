/* SPDX-License-Identifier: MIT */
/* Which names are the store's own, which are scratch files, and which are .bin forms. */
#include "mount/name.h"
#include "test.h"

static void test_reserved(void)
{
	static const char *const own[] = { ".schema", ".stats", ".errors", ".import", ".upsert", ".lookup", ".dead", ".row", ".views",
					   ".featurefs", ".", ".." };
	static const char *const others[] = { "schema", ".schema2", ".Schema", ".row.swp", ".rows", "...", "", "clicks" };

	for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
		CHECK(name_is_reserved(own[i]));
		CHECK(!name_is_scratch(own[i]));
	}
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		CHECK(!name_is_reserved(others[i]));
}

static void test_scratch(void)
{
	static const char *const yes[] = { ".x.swp", ".clicks.AbC123", ".row.swp", "...", "sedAbC123", "sed000000", "clicks~", "a~", "4913",
					   "5036", "5159" };
	static const char *const no[] = { "sed", "sedAbC12", "sedAbC1234", "sedAbC12_", "xsedAbC123", "~", "", "4914", "04913", "491300",
					  "49130", "1", "42", "clicks", "clicks.bin", "tmp.x" };

	for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
		if (!name_is_scratch(yes[i]))
			fprintf(stderr, "%s should be a scratch name\n", yes[i]);
		CHECK(name_is_scratch(yes[i]));
	}
	for (size_t i = 0; i < sizeof no / sizeof *no; i++) {
		if (name_is_scratch(no[i]))
			fprintf(stderr, "%s should be no scratch name\n", no[i]);
		CHECK(!name_is_scratch(no[i]));
	}
}

static void test_bin(void)
{
	CHECK_INT(name_is_bin("clicks.bin"), 6);
	CHECK_INT(name_is_bin("clicks@v2.bin"), 9);
	CHECK_INT(name_is_bin(".bin"), 0);
	CHECK_INT(name_is_bin("clicks"), 0);
	CHECK_INT(name_is_bin("clicks.bin2"), 0);
	CHECK_INT(name_is_bin("a.bin.bin"), 5);
}

int main(void)
{
	test_reserved();
	test_scratch();
	test_bin();
	return test_end("mount_name");
}
