/* SPDX-License-Identifier: MIT */
/*
 * bench_fill STORE ENTITIES [FEATURES]: makes the store that a benchmark mounts, through ingest and without a mount,
 * which for a million entities takes seconds where files would take the better part of an hour.
 */
#include "fill.h"

int main(int argc, char **argv)
{
	int64_t begin = clock_monotonic();
	long entities, features;

	setlinebuf(stdout);
	if (argc < 3)
		bench_die("usage: bench_fill STORE ENTITIES [FEATURES]");
	entities = bench_number("ENTITIES", argv[2], 1);
	features = argc > 3 ? bench_number("FEATURES", argv[3], 1) : BENCH_FEATURES;
	if (features > BENCH_FEATURES)
		bench_die("there are %d features", BENCH_FEATURES);
	bench_fill(argv[1], (uint64_t)entities, (unsigned)features);
	printf("# loaded %ld entities of %ld features in process in %.1f s\n", entities, features,
	       (double)(clock_monotonic() - begin) / 1e9);
	return 0;
}
