/* SPDX-License-Identifier: MIT */
/*
 * The rows that imports are measured with: entities in random order, ten features (four float64, three int64, two strings of twelve bytes,
 * a bool) and an event time, as CSV, JSON Lines or commands of Redis. The same rows in every run.
 */
#ifndef BENCH_ROWS_H
#define BENCH_ROWS_H

#include <fcntl.h>
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

enum rows_form { ROWS_CSV, ROWS_JSON, ROWS_RESP };

/* Which file of rows. */
struct rows_kind {
	enum rows_form form;
	unsigned changed;		/* per cent of the rows that have other values, a second later */
	bool is_newer;			/* all of them are of the next day */
};

static inline void rows_print(FILE *file, const struct rows_row *row, const struct rows_kind *kind)
{
	char time[32];

	snprintf(time, sizeof time, "2026-11-%02dT%02d:%02d:%02dZ", kind->is_newer ? 24 : 23, row->second / 3600 % 24, row->second / 60 % 60,
		 row->second % 60);
	if (kind->form == ROWS_JSON)
		fprintf(file, "{\"user_id\":\"user_%08u\",\"f0\":%.17g,\"f1\":%.17g,\"f2\":%.6f,\"f3\":%.3f,\"i0\":%lld,\"i1\":%lld,"
			"\"i2\":%lld,\"s0\":\"%s\",\"s1\":\"%s\",\"b0\":%s,\"event_time\":\"%s\"}\n", row->id, row->f[0], row->f[1],
			row->f[2], row->f[3], (long long)row->i[0], (long long)row->i[1], (long long)row->i[2], row->s[0], row->s[1],
			row->b ? "true" : "false", time);
	else
		fprintf(file, "user_%08u,%.17g,%.17g,%.6f,%.3f,%lld,%lld,%lld,%s,%s,%s,%s\n", row->id, row->f[0], row->f[1], row->f[2],
			row->f[3], (long long)row->i[0], (long long)row->i[1], (long long)row->i[2], row->s[0], row->s[1],
			row->b ? "true" : "false", time);
}

/* HSET of the row's values, as Redis's protocol has it. */
static inline void rows_print_resp(FILE *file, const struct rows_row *row)
{
	static const char *const names[] = { "f0", "f1", "f2", "f3", "i0", "i1", "i2", "s0", "s1", "b0", "ts" };
	char texts[11][32];

	for (int k = 0; k < 4; k++)
		snprintf(texts[k], sizeof texts[k], k < 2 ? "%.17g" : k == 2 ? "%.6f" : "%.3f", row->f[k]);
	for (int k = 0; k < 3; k++)
		snprintf(texts[4 + k], sizeof texts[4 + k], "%lld", (long long)row->i[k]);
	for (int k = 0; k < 2; k++)
		snprintf(texts[7 + k], sizeof texts[7 + k], "%s", row->s[k]);
	snprintf(texts[9], sizeof texts[9], "%d", row->b);
	snprintf(texts[10], sizeof texts[10], "%d", 1795392000 + row->second);
	fprintf(file, "*24\r\n$4\r\nHSET\r\n$13\r\nuser_%08u\r\n", row->id);
	for (int k = 0; k < 11; k++)
		fprintf(file, "$2\r\n%s\r\n$%zu\r\n%s\r\n", names[k], strlen(texts[k]), texts[k]);
}

/* Writes all rows to an open file; a header first, where the form has one. */
static inline void rows_write(FILE *file, uint32_t total, const struct rows_kind *kind)
{
	uint32_t state = 7;

	if (kind->form == ROWS_CSV)
		fputs("user_id,f0,f1,f2,f3,i0,i1,i2,s0,s1,b0,event_time\n", file);
	for (uint32_t n = 0; n < total; n++) {
		struct rows_row row;
		uint32_t id = rows_next_id(&state, total);

		rows_make(id, &row);
		/* Anywhere, as changes are: a pattern of neighbours or of equal distances would touch fewer or more pages of a map. */
		if (((id + UINT64_C(1)) * UINT64_C(0x9e3779b97f4a7c15) >> 32) % 100 < kind->changed) {
			row.i[0]++;
			row.f[3] += 1;
			row.b = !row.b;
			row.second += row.second < 86399;
		}
		if (kind->form == ROWS_RESP)
			rows_print_resp(file, &row);
		else
			rows_print(file, &row, kind);
	}
	if (fflush(file) || ferror(file))
		bench_die("the rows can't be written: %s", strerror(errno));
}

static inline void rows_write_at(int dir, const char *name, uint32_t total, const struct rows_kind *kind)
{
	int fd = openat(dir, name, O_CREAT | O_TRUNC | O_WRONLY, 0600);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "w");

	if (!file)
		bench_die("%s: %s", name, strerror(errno));
	rows_write(file, total, kind);
	fclose(file);
}

#endif
