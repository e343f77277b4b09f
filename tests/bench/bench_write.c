/* SPDX-License-Identifier: MIT */
/*
 * Single values written through a mount: open(O_WRONLY | O_TRUNC), write, close.
 *
 *	one	a durable write, against what it can't do without: the same three calls on a null file system, and 4 KiB written
 *		to a preallocated file of the same disk and synced
 *	many	the rate of several writers, each with an entity of its own, against the rate of one
 *	relaxed	a write to a store that doesn't sync, against the same three calls on the null file system
 *
 * A round runs each side for --ops calls, in an order that turns from round to round; what it counts is the mean call,
 * so that a checkpoint's share is in it.
 */
#include <pthread.h>
#include "calls.h"

struct setup {
	const char *ours, *null, *cores;
	int floor;
	long rounds, ops, entities, writers;
	uint64_t seed, done;
};

static void write_any(struct setup *s, const char *mount)
{
	calls_write(mount, bench_random(&s->seed) % (uint64_t)s->entities, s->done++);
}

/* Microseconds of a mean write; the writes' own times go to `times` if it is given. */
static double write_us(struct setup *s, const char *mount, double *times)
{
	int64_t begin = clock_monotonic(), last = begin, now;

	for (long i = 0; i < s->ops; i++) {
		write_any(s, mount);
		now = clock_monotonic();
		if (times)
			times[i] = (double)(now - last) / 1e3;
		last = now;
	}
	return (double)(last - begin) / 1e3 / (double)s->ops;
}

/* The same for the disk's part and the null file system's part in turns, as a durable write has them: a sync that follows another at once
 * finds the disk awake and is quicker than any that has something else before it. */
static double floor_us(struct setup *s, double *out_disk_us)
{
	int64_t begin = clock_monotonic(), disk_ns = 0, last;

	for (long i = 0; i < s->ops; i++) {
		last = clock_monotonic();
		calls_floor(s->floor, s->done);
		disk_ns += clock_monotonic() - last;
		write_any(s, s->null);
	}
	*out_disk_us = (double)disk_ns / 1e3 / (double)s->ops;
	return (double)(clock_monotonic() - begin) / 1e3 / (double)s->ops;
}

static void run_one(struct setup *s)
{
	struct bench_figure figure = { .name = "durable write, one writer", .cores = s->cores, .unit = "us", .target = 1.5 };
	double *times = bench_alloc((size_t)(s->rounds * s->ops), sizeof(*times)), disk[BENCH_ROUNDS_MAX];
	size_t n = (size_t)(s->rounds * s->ops);

	for (long r = -1; r < s->rounds; r++) {
		double ours = 0, other, disk_us;

		if (r & 1)
			ours = write_us(s, s->ours, r >= 0 ? times + r * s->ops : NULL);
		other = floor_us(s, &disk_us);
		if (!(r & 1))
			ours = write_us(s, s->ours, times + r * s->ops);
		if (r < 0)
			continue;		/* the first round warms up */
		bench_round(&figure, ours, other);
		disk[r] = disk_us;
	}
	bench_print(&figure);
	printf("# %s: of the other's, 4 KiB + fdatasync are %.1f us; our write p50 %.1f", s->cores,
	       bench_median(disk, (size_t)s->rounds), bench_quantile(times, n, 0.5));
	printf(" p99 %.1f p99.9 %.1f us\n", bench_quantile(times, n, 0.99), bench_quantile(times, n, 0.999));
	free(times);
}

static void run_relaxed(struct setup *s)
{
	struct bench_figure figure = { .name = "relaxed write, one writer", .cores = s->cores, .unit = "us", .target = 2 };

	for (long r = -1; r < s->rounds; r++) {
		double us[2];

		for (int i = 0; i < 2; i++)
			us[(i + r + 2) % 2] = write_us(s, (i + r + 2) % 2 ? s->null : s->ours, NULL);
		if (r >= 0)
			bench_round(&figure, us[0], us[1]);
	}
	bench_print(&figure);
}

struct writer {
	pthread_t thread;
	pthread_barrier_t *start;
	const char *mount;
	uint64_t entity;
	long ops;
};

static void *write_much(void *arg)
{
	struct writer *w = arg;

	pthread_barrier_wait(w->start);
	for (long i = 0; i < w->ops; i++)
		calls_write(w->mount, w->entity, w->entity * 1000 + (uint64_t)i);
	return NULL;
}

/* Writes a second of `n` writers at once. */
static double rate_of(struct setup *s, const char *mount, long n)
{
	struct writer *writers = bench_alloc((size_t)n, sizeof(*writers));
	pthread_barrier_t start;
	int64_t begin;

	if (pthread_barrier_init(&start, NULL, (unsigned)n + 1))
		bench_die("no barrier");
	for (long i = 0; i < n; i++) {
		writers[i] = (struct writer){ .start = &start, .mount = mount, .entity = (uint64_t)i, .ops = s->ops };
		if (pthread_create(&writers[i].thread, NULL, write_much, &writers[i]))
			bench_die("no thread");
	}
	begin = clock_monotonic();
	pthread_barrier_wait(&start);
	for (long i = 0; i < n; i++)
		pthread_join(writers[i].thread, NULL);
	begin = clock_monotonic() - begin;
	pthread_barrier_destroy(&start);
	free(writers);
	return (double)(n * s->ops) / ((double)begin / 1e9);
}

static void run_many(struct setup *s)
{
	char name[64];
	struct bench_figure figure = { .name = name, .cores = s->cores, .unit = "writes/s", .target = 5, .at_least = true };
	double null[BENCH_ROUNDS_MAX], null_one[BENCH_ROUNDS_MAX];

	snprintf(name, sizeof(name), "durable writes, %ld writers to one", s->writers);
	for (long r = -1; r < s->rounds; r++) {
		double one = 0, many;

		if (r & 1)
			one = rate_of(s, s->ours, 1);
		many = rate_of(s, s->ours, s->writers);
		if (!(r & 1))
			one = rate_of(s, s->ours, 1);
		if (r < 0)
			continue;
		bench_round(&figure, many, one);
		null[r] = rate_of(s, s->null, s->writers);
		null_one[r] = rate_of(s, s->null, 1);
	}
	bench_print(&figure);
	printf("# %s: the null file system, where nothing is shared or synced: %.0f writes/s with %ld writers, %.0f with one\n", s->cores,
	       bench_median(null, (size_t)s->rounds), s->writers, bench_median(null_one, (size_t)s->rounds));
}

int main(int argc, char **argv)
{
	struct setup s = { .cores = "?", .floor = -1, .rounds = 20, .ops = 200, .entities = 10000, .writers = 16,
			   .seed = UINT64_C(88172645463325252) };
	const char *mode = argc > 1 ? argv[1] : "";

	setlinebuf(stdout);
	if (argc < 5)
		bench_die("usage: bench_write one|many|relaxed MOUNT NULL_MOUNT FLOOR_FILE [--core N] [--cores WORDS] [--rounds N] "
			  "[--ops N] [--entities N] [--writers N]");
	s.ours = argv[2];
	s.null = argv[3];
	for (int i = 5; i < argc; i += 2) {
		if (strcmp(argv[i], "--core") == 0)
			bench_pin((int)bench_number(argv[i], argv[i + 1], 0));
		else if (strcmp(argv[i], "--cores") == 0 && argv[i + 1])
			s.cores = argv[i + 1];
		else if (strcmp(argv[i], "--rounds") == 0)
			s.rounds = bench_number(argv[i], argv[i + 1], 1);
		else if (strcmp(argv[i], "--ops") == 0)
			s.ops = bench_number(argv[i], argv[i + 1], 1);
		else if (strcmp(argv[i], "--entities") == 0)
			s.entities = bench_number(argv[i], argv[i + 1], 1);
		else if (strcmp(argv[i], "--writers") == 0)
			s.writers = bench_number(argv[i], argv[i + 1], 2);
		else
			bench_die("unknown option %s", argv[i]);
	}
	if (s.rounds > BENCH_ROUNDS_MAX)
		bench_die("at most %d rounds", BENCH_ROUNDS_MAX);
	s.floor = calls_floor_open(argv[4]);
	if (strcmp(mode, "one") == 0)
		run_one(&s);
	else if (strcmp(mode, "many") == 0)
		run_many(&s);
	else if (strcmp(mode, "relaxed") == 0)
		run_relaxed(&s);
	else
		bench_die("unknown mode %s", mode);
	close(s.floor);
	unlink(argv[4]);
	return 0;
}
