/* SPDX-License-Identifier: MIT */
/*
 * What a program would do that knows this one shape of CSV: it reads the whole file, takes no quotes, checks nothing. The yardstick of imports;
 * so it is written to be fast.
 */
#ifndef BENCH_BARE_H
#define BENCH_BARE_H

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/slice.h"
#include "bench.h"

struct bare {
	struct slice entity, s[2];
	double f[4];
	int64_t i[3];
	bool b;
	int64_t event_ns;
};

/* Decimal digits and a point; good to the last bit but one, and fast. */
static inline double bare_double(const char **at)
{
	static const double powers[] = { 1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17,
					 1e18, 1e19, 1e20, 1e21, 1e22 };
	const char *p = *at, *point = NULL;
	uint64_t digits = 0;
	bool is_negative = *p == '-';
	double value;
	int power = 0;

	for (p += is_negative; (*p >= '0' && *p <= '9') || *p == '.'; p++) {
		if (*p == '.')
			point = p + 1;
		else
			digits = digits * 10 + (uint64_t)(*p - '0');
	}
	if (point)
		power = (int)(p - point);
	value = (double)digits / powers[power < 22 ? power : 22];
	if (*p == 'e') {
		long exponent = strtol(p + 1, (char **)(uintptr_t)&p, 10);

		for (; exponent < 0; exponent++)
			value /= 10;
	}
	*at = p + 1;
	return is_negative ? -value : value;
}

static inline int64_t bare_int(const char **at)
{
	const char *p = *at;
	int64_t value = 0;
	bool is_negative = *p == '-';

	for (p += is_negative; *p >= '0' && *p <= '9'; p++)
		value = value * 10 + (*p - '0');
	*at = p + 1;
	return is_negative ? -value : value;
}

static inline struct slice bare_text(const char **at)
{
	const char *p = *at, *start = p;

	while (*p != ',')
		p++;
	*at = p + 1;
	return slice_of(start, (size_t)(p - start));
}

static inline int bare_two(const char *p)
{
	return (p[0] - '0') * 10 + p[1] - '0';
}

static inline void bare_row(const char **at, struct bare *out)
{
	const char *p;

	out->entity = bare_text(at);
	for (int k = 0; k < 4; k++)
		out->f[k] = bare_double(at);
	for (int k = 0; k < 3; k++)
		out->i[k] = bare_int(at);
	out->s[0] = bare_text(at);
	out->s[1] = bare_text(at);
	out->b = bare_text(at).len == 4;
	p = *at;
	/* The date of all rows is one day, so only the time of day is read. */
	out->event_ns = (INT64_C(1795392000) + bare_two(p + 11) * 3600 + bare_two(p + 14) * 60 + bare_two(p + 17)) * CLOCK_SECOND;
	*at = p + 21;
}

/* The whole file, a NUL behind it. */
static inline char *bare_read(int dir, const char *name, size_t *out_len)
{
	int fd = openat(dir, name, O_RDONLY);
	struct stat st;
	char *data;

	if (fd < 0 || fstat(fd, &st) < 0)
		bench_die("%s: %s", name, strerror(errno));
	data = malloc((size_t)st.st_size + 1);
	if (!data)
		bench_die("out of memory");
	for (off_t got = 0; got < st.st_size;) {
		ssize_t n = read(fd, data + got, (size_t)(st.st_size - got));

		if (n <= 0)
			bench_die("%s: %s", name, strerror(errno));
		got += n;
	}
	data[st.st_size] = '\0';
	close(fd);
	*out_len = (size_t)st.st_size;
	return data;
}

/* The first row, behind the header. */
static inline const char *bare_first(const char *data)
{
	return strchr(data, '\n') + 1;
}

#endif
