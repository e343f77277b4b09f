/* SPDX-License-Identifier: MIT */
/* Names and the one text that the stores and the null file system have in common: MOUNT/g/e0000000/f4 holds "1000001\n". */
#ifndef NAMES_H
#define NAMES_H

#include <stdint.h>
#include "bench.h"

#define BENCH_GROUP "g"
#define BENCH_TEXT "1000001\n"
enum { BENCH_WHOLE = 1000000, BENCH_FEATURES = 10, BENCH_INT = 4, BENCH_NAME_MAX = 32 };

static inline void bench_entity_name(uint64_t i, char name[BENCH_NAME_MAX])
{
	snprintf(name, BENCH_NAME_MAX, "e%07llu", (unsigned long long)i);
}

static inline void bench_feature_name(unsigned k, char name[BENCH_NAME_MAX])
{
	snprintf(name, BENCH_NAME_MAX, "f%u", k);
}

#endif
