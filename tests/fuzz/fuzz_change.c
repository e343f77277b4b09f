/* SPDX-License-Identifier: MIT */
/* Bytes as the payload of a log record: store_change_next stays inside, goes forward with every change, and stops for
 * good at a fault. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include "store/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look(struct slice bytes, const uint8_t *data, size_t size)
{
	const uint8_t *p = bytes.data;
	volatile uint8_t sum = 0;

	if (bytes.len && (p < data || bytes.len > size || p + bytes.len > data + size))
		abort();
	for (size_t i = 0; i < bytes.len; i++)
		sum ^= p[i];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice payload = slice_of(data, size), before;
	struct store_change change;
	int rc;

	for (;;) {
		before = payload;
		rc = store_change_next(&payload, &change);
		if (rc < 0)
			break;
		if (payload.len >= before.len)
			abort();
		look(change.key, data, size);
		look(change.value, data, size);
	}
	if (payload.len != before.len || payload.data != before.data || rc != (payload.len ? -EBADMSG : -ENOENT))
		abort();
	return 0;
}
