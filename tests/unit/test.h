/* SPDX-License-Identifier: MIT */
/* The whole of our unit test framework: a check prints where it failed and what it saw, and the program goes on and ends with 1. */
#ifndef TEST_H
#define TEST_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/slice.h"

static _Atomic int test_checks, test_failures;	/* threads check too */

#define CHECK(cond) do { \
	test_checks++; \
	if (!(cond)) { test_failures++; fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #cond); } \
} while (0)

#define CHECK_INT(got, want) do { \
	long long got_ = (long long)(got), want_ = (long long)(want); \
	test_checks++; \
	if (got_ != want_) { \
		test_failures++; \
		fprintf(stderr, "%s:%d: %s is %lld, should be %lld\n", __FILE__, __LINE__, #got, got_, want_); \
	} \
} while (0)

/* Bytes against a C string. */
#define CHECK_TEXT(got, want) do { \
	struct slice got_ = (got), want_ = slice_str(want); \
	test_checks++; \
	if (!slice_equal(got_, want_)) { \
		test_failures++; \
		fprintf(stderr, "%s:%d: %s is \"%.*s\", should be \"%.*s\"\n", __FILE__, __LINE__, #got, \
			(int)got_.len, (const char *)got_.data, (int)want_.len, (const char *)want_.data); \
	} \
} while (0)

/* For what the rest of a test can't do without. */
#define NEED(cond) do { \
	test_checks++; \
	if (!(cond)) { fprintf(stderr, "%s:%d: cannot go on: %s\n", __FILE__, __LINE__, #cond); exit(1); } \
} while (0)

/* The same numbers in every run. */
static inline uint32_t rnd(uint32_t below)
{
	static uint64_t seed = 20261123;

	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 16) % below;
}

static inline int test_end(const char *name)
{
	printf("%s: %d checks, %d failed\n", name, test_checks, test_failures);
	return test_failures != 0 || test_checks == 0;
}

#endif
