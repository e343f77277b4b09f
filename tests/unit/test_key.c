/* SPDX-License-Identifier: MIT */
/* Keys of rows: the worked example, order, prefix, bounds. */
#include "store/key.h"

#include <errno.h>
#include "test.h"

static void test_order(void)
{
	static const uint32_t tables[] = { 0, 1, 255, 256, 257, 65536, 0x7fffffff, 0x80000000, 0xffffffff };

	for (int i = 0; i < 20000; i++) {
		uint8_t a[4], b[4];
		size_t la = 1 + rnd(4), lb = 1 + rnd(4);
		uint32_t ta = tables[rnd(9)], tb = tables[rnd(9)];
		struct key ka, kb, first;
		int want, got;

		for (unsigned j = 0; j < 4; j++) {
			a[j] = (uint8_t)(rnd(3) * 127);
			b[j] = (uint8_t)(rnd(3) * 127);
		}
		NEED(key_encode(ta, slice_of(a, la), &ka) == 0 && key_encode(tb, slice_of(b, lb), &kb) == 0);
		want = ta != tb ? (ta < tb ? -1 : 1) : slice_compare(slice_of(a, la), slice_of(b, lb));
		got = slice_compare(key_slice(&ka), key_slice(&kb));
		CHECK_INT((got > 0) - (got < 0), (want > 0) - (want < 0));
		key_first(ta, &first);
		CHECK(slice_compare(key_slice(&first), key_slice(&ka)) < 0);
		if (tb < ta)
			CHECK(slice_compare(key_slice(&kb), key_slice(&first)) < 0);
		CHECK_INT(!memcmp(first.data, kb.data, first.len), ta == tb);
	}
}

int main(void)
{
	static const uint8_t want[] = { 0, 0, 1, 2, 0x75, 0x31 };
	char long_name[KEY_ENTITY_MAX + 1];
	struct slice entity;
	struct key key;
	uint32_t rows;

	memset(long_name, 'x', sizeof long_name);
	NEED(key_encode(258, slice_str("u1"), &key) == 0);
	CHECK(slice_equal(key_slice(&key), slice_of(want, sizeof want)));
	CHECK_INT(key_decode(key_slice(&key), &rows, &entity), 0);
	CHECK_INT(rows, 258);
	CHECK_TEXT(entity, "u1");
	CHECK_INT(key_encode(1, slice_of(NULL, 0), &key), -EINVAL);
	CHECK_INT(key_encode(1, slice_of(long_name, KEY_ENTITY_MAX + 1), &key), -ENAMETOOLONG);
	CHECK_INT(key_encode(1, slice_of(long_name, KEY_ENTITY_MAX), &key), 0);
	CHECK_INT(key.len, 511);
	CHECK_INT(key_decode(slice_of(want, 4), &rows, &entity), -EBADMSG);
	CHECK_INT(key_decode(slice_of(want, 0), &rows, &entity), -EBADMSG);
	CHECK_INT(key_decode(slice_of(want, 5), &rows, &entity), 0);
	test_order();
	return test_end("key");
}
