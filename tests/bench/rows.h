/* SPDX-License-Identifier: MIT */
/*
 * The rows that imports are measured with: entities in random order, ten features (four float64, three int64, two strings of twelve bytes,
 * a bool) and an event time, as CSV or JSON Lines. The same rows in every run.
 */
#ifndef BENCH_ROWS_H
#define BENCH_ROWS_H

#include "bench.h"

static const char rows_schema[] =
	"[group]\nentity = user_id\n"
	"[feature f0]\ntype = float64\n[feature f1]\ntype = float64\n[feature f2]\ntype = float64\n[feature f3]\ntype = float64\n"
	"[feature i0]\ntype = int64\n[feature i1]\ntype = int64\n[feature i2]\ntype = int64\n"
	"[feature s0]\ntype = string\n[feature s1]\ntype = string\n[feature b0]\ntype = bool\n";

struct rows_row {
	uint32_t id;
	double f[4];
	int64_t i[3];
	char s[2][13];
	bool b;
	int second;
};

/* A permutation of [0, n): multiplication by an odd number modulo a power of two, values past n passed over. */
static inline uint32_t rows_next_id(uint32_t *state, uint32_t n)
{
	uint32_t mask = 1;

	while (mask < n)
		mask <<= 1;
	mask--;
	do
		*state = (*state * 5 + 12345) & mask;	/* full period: 5 = 1 mod 4, the other is odd */
	while (*state >= n);
	return *state;
}

static inline void rows_make(uint32_t id, struct rows_row *out)
{
	uint64_t state = (id + 1) * UINT64_C(0x9e3779b97f4a7c15);

	out->id = id;
	for (int k = 0; k < 4; k++)
		out->f[k] = (double)(bench_random(&state) >> 11) * 0x1p-53 * (k == 3 ? 1000 : 1);
	for (int k = 0; k < 3; k++)
		out->i[k] = (int64_t)(bench_random(&state) % (k == 2 ? 1000000000 : 1000));
	for (int k = 0; k < 2; k++) {
		uint64_t bits = bench_random(&state);

		for (int c = 0; c < 12; c++, bits >>= 5)
			out->s[k][c] = (char)('a' + (bits & 31) % 26);
		out->s[k][12] = '\0';
	}
	out->b = bench_random(&state) & 1;
	out->second = (int)(bench_random(&state) % 86400);
}

/* Writes rows `first` to `first + n` of a file of `total` to an open file, a header first. */
static inline void rows_write(FILE *file, uint32_t total, bool as_json)
{
	uint32_t state = 7;

	if (!as_json)
		fputs("user_id,f0,f1,f2,f3,i0,i1,i2,s0,s1,b0,event_time\n", file);
	for (uint32_t n = 0; n < total; n++) {
		struct rows_row row;

		rows_make(rows_next_id(&state, total), &row);
		if (as_json)
			fprintf(file, "{\"user_id\":\"user_%08u\",\"f0\":%.17g,\"f1\":%.17g,\"f2\":%.6f,\"f3\":%.3f,\"i0\":%lld,"
				"\"i1\":%lld,\"i2\":%lld,\"s0\":\"%s\",\"s1\":\"%s\",\"b0\":%s,\"event_time\":"
				"\"2026-11-23T%02d:%02d:%02dZ\"}\n", row.id, row.f[0], row.f[1], row.f[2], row.f[3],
				(long long)row.i[0], (long long)row.i[1], (long long)row.i[2], row.s[0], row.s[1],
				row.b ? "true" : "false", row.second / 3600, row.second / 60 % 60, row.second % 60);
		else
			fprintf(file, "user_%08u,%.17g,%.17g,%.6f,%.3f,%lld,%lld,%lld,%s,%s,%s,2026-11-23T%02d:%02d:%02dZ\n", row.id,
				row.f[0], row.f[1], row.f[2], row.f[3], (long long)row.i[0], (long long)row.i[1],
				(long long)row.i[2], row.s[0], row.s[1], row.b ? "true" : "false", row.second / 3600,
				row.second / 60 % 60, row.second % 60);
	}
	if (fflush(file) || ferror(file))
		bench_die("the rows can't be written: %s", strerror(errno));
}

#endif
