/* SPDX-License-Identifier: MIT */
#ifndef PARQUET_CONFINE_H
#define PARQUET_CONFINE_H

#include <stddef.h>

/* Takes from this process what reading a file needs not: memory past the bound, files to write, programs to start, the network. Where the
 * kernel or the processor has no such filter, the limits still hold. */
void confine(size_t memory_bytes);

#endif
