/* SPDX-License-Identifier: MIT */
/*
 * What every benchmark stands on: time, pinning, a fixed random sequence, and figures. A figure compares two sides
 * that ran in turns in small rounds; its ratio is the median of the rounds' ratios, so that a moment in which the
 * machine was busy touches one round and not the result. Errors end the program with 1: a benchmark that can't do its
 * work has no figure.
 *
 * Standard output is for tests/bench/run: a figure is one line of fields separated by tabs (name, cores, ours, other,
 * unit, ratio, least and greatest ratio of a round, target, verdict), a note is a line that begins with '#'.
 */
#ifndef BENCH_H
#define BENCH_H

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"

enum { BENCH_ROUNDS_MAX = 1000 };

static inline void __attribute__((format(printf, 1, 2), noreturn)) bench_die(const char *fmt, ...)
{
	va_list args;

	fflush(stdout);
	fputs("bench: ", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

static inline void *bench_alloc(size_t count, size_t size)
{
	void *memory = calloc(count, size);

	if (!memory)
		bench_die("out of memory");
	return memory;
}

/* xorshift64: the same sequence in every run. */
static inline uint64_t bench_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Keeps the calling thread and those that it starts on one core; a negative one leaves them where they are. */
static inline void bench_pin(int core)
{
	cpu_set_t set;

	if (core < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET(core, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		bench_die("cannot run on core %d: %s", core, strerror(errno));
}

static inline int bench_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Sorts `values` in place. `part` of 0.5 is the median. */
static inline double bench_quantile(double *values, size_t n, double part)
{
	size_t i = (size_t)(part * (double)n);

	qsort(values, n, sizeof(*values), bench_compare);
	return values[i < n ? i : n - 1];
}

static inline double bench_median(double *values, size_t n)
{
	qsort(values, n, sizeof(*values), bench_compare);
	return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

/* One figure: what each round measured of the two sides. */
struct bench_figure {
	const char *name, *cores, *unit;
	double target;
	bool at_least;		/* the ratio is to reach the target; else it is to stay below it */
	double ours[BENCH_ROUNDS_MAX], other[BENCH_ROUNDS_MAX];
	size_t rounds;
};

static inline void bench_round(struct bench_figure *figure, double ours, double other)
{
	if (figure->rounds == BENCH_ROUNDS_MAX || !(ours > 0) || !(other > 0))
		bench_die("%s: round %zu cannot be counted: %g, %g", figure->name, figure->rounds, ours, other);
	figure->ours[figure->rounds] = ours;
	figure->other[figure->rounds++] = other;
}

/* Prints the figure with ratio = ours / other. Sorts what it holds. */
static inline void bench_print(struct bench_figure *figure)
{
	double ratio[BENCH_ROUNDS_MAX], median;
	bool is_met;

	if (!figure->rounds)
		bench_die("%s: no round was measured", figure->name);
	for (size_t i = 0; i < figure->rounds; i++)
		ratio[i] = figure->ours[i] / figure->other[i];
	median = bench_median(ratio, figure->rounds);
	is_met = figure->at_least ? median >= figure->target : median <= figure->target;
	printf("%s\t%s\t%.1f\t%.1f\t%s\t%.2f\t%.2f\t%.2f\t%s %.1f\t%s\n", figure->name, figure->cores,
	       bench_median(figure->ours, figure->rounds), bench_median(figure->other, figure->rounds), figure->unit, median, ratio[0],
	       ratio[figure->rounds - 1], figure->at_least ? ">=" : "<=", figure->target, is_met ? "met" : "MISSED");
	fflush(stdout);
}

/* The number behind "--name", which is to be at least `least`. */
static inline long bench_number(const char *name, const char *text, long least)
{
	char *end = NULL;
	long number = text ? strtol(text, &end, 10) : 0;

	if (!text || *end || end == text || number < least)
		bench_die("%s wants a number of at least %ld", name, least);
	return number;
}

#endif
