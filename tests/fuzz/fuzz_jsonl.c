/* SPDX-License-Identifier: MIT */
/* JSON Lines from anywhere. */
#include "rows.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	rows_fuzz(data, size, "a.jsonl");
	return 0;
}
