/* SPDX-License-Identifier: MIT */
/* CSV from anywhere. */
#include "rows.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	rows_fuzz(data, size, "a.csv");
	return 0;
}
