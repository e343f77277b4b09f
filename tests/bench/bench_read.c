/* SPDX-License-Identifier: MIT */
/*
 * One value read through the editing mount, which caches nothing: open, read, close of a random entity's feature,
 * against the same calls on a null file system whose tree is as deep.
 */
#include "calls.h"

static double slice_us(const char *mount, long ops, long entities, uint64_t *seed)
{
	int64_t begin = clock_monotonic();

	for (long i = 0; i < ops; i++)
		calls_read(mount, bench_random(seed) % (uint64_t)entities);
	return (double)(clock_monotonic() - begin) / 1e3 / (double)ops;
}

int main(int argc, char **argv)
{
	struct bench_figure figure = { .name = "uncached read", .cores = "?", .unit = "us", .target = 1.3 };
	uint64_t seed = UINT64_C(88172645463325252);
	long rounds = 20, ops = 500, entities = 10000;

	setlinebuf(stdout);
	if (argc < 3)
		bench_die("usage: bench_read MOUNT NULL_MOUNT [--core N] [--cores WORDS] [--rounds N] [--ops N] [--entities N]");
	for (int i = 3; i < argc; i += 2) {
		if (strcmp(argv[i], "--core") == 0)
			bench_pin((int)bench_number(argv[i], argv[i + 1], 0));
		else if (strcmp(argv[i], "--cores") == 0 && argv[i + 1])
			figure.cores = argv[i + 1];
		else if (strcmp(argv[i], "--rounds") == 0)
			rounds = bench_number(argv[i], argv[i + 1], 1);
		else if (strcmp(argv[i], "--ops") == 0)
			ops = bench_number(argv[i], argv[i + 1], 1);
		else if (strcmp(argv[i], "--entities") == 0)
			entities = bench_number(argv[i], argv[i + 1], 1);
		else
			bench_die("unknown option %s", argv[i]);
	}
	for (long r = -1; r < rounds; r++) {
		double us[2];

		for (int i = 0; i < 2; i++)
			us[(i + r + 2) % 2] = slice_us(argv[1 + (i + r + 2) % 2], ops, entities, &seed);
		if (r >= 0)
			bench_round(&figure, us[0], us[1]);
	}
	bench_print(&figure);
	return 0;
}
