/* SPDX-License-Identifier: MIT */
/* The calls that benchmarks through a mount time: one value written, one value read, and the disk's own share of a durable write; and what a file of the
 * daemon says of itself. */
#ifndef CALLS_H
#define CALLS_H

#include <fcntl.h>
#include <unistd.h>
#include "base/clock.h"
#include "names.h"

enum { CALLS_PATH_MAX = 512, CALLS_FLOOR_BYTES = 16 << 20, CALLS_BLOCK = 4096 };

static inline double calls_us_since(int64_t begin_ns)
{
	return (double)(clock_monotonic() - begin_ns) / 1e3;
}

/* The number behind `word` in the last line that begins with it, which must be there. */
static inline double calls_number(const char *path, const char *word)
{
	FILE *file = fopen(path, "re");
	char line[256];
	double number = 0;
	bool has = false;

	if (!file)
		bench_die("%s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), file)) {
		if (strncmp(line, word, strlen(word)) == 0) {
			number = strtod(line + strlen(word), NULL);
			has = true;
		}
	}
	if (!has)
		bench_die("%s has no line of %s", path, word);
	fclose(file);
	return number;
}

static inline void calls_path(const char *mount, uint64_t entity, char path[CALLS_PATH_MAX])
{
	char name[BENCH_NAME_MAX];

	bench_entity_name(entity, name);
	snprintf(path, CALLS_PATH_MAX, "%s/" BENCH_GROUP "/%s/f%d", mount, name, BENCH_INT);
}

/* open(O_WRONLY | O_TRUNC), one write of seven digits and a newline, close. */
static inline void calls_write(const char *mount, uint64_t entity, uint64_t number)
{
	char path[CALLS_PATH_MAX], text[16];
	int len = snprintf(text, sizeof(text), "%llu\n", (unsigned long long)(BENCH_WHOLE + number % 9000000)), fd;

	calls_path(mount, entity, path);
	fd = open(path, O_WRONLY | O_TRUNC);
	if (fd < 0 || write(fd, text, (size_t)len) != len || close(fd) < 0)
		bench_die("writing %s: %s", path, strerror(errno));
}

static inline void calls_read(const char *mount, uint64_t entity)
{
	char path[CALLS_PATH_MAX], text[64];
	int fd;

	calls_path(mount, entity, path);
	fd = open(path, O_RDONLY);
	if (fd < 0 || read(fd, text, sizeof(text)) != sizeof(BENCH_TEXT) - 1 || close(fd) < 0)
		bench_die("reading %s: not eight bytes, or %s", path, strerror(errno));
}

/* A file written with zeros and synced, so that a sync of new bytes in it writes no metadata: what a log segment is. */
static inline int calls_floor_open(const char *path)
{
	char *zeros = bench_alloc(CALLS_FLOOR_BYTES, 1);
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || write(fd, zeros, CALLS_FLOOR_BYTES) != CALLS_FLOOR_BYTES || fsync(fd) < 0)
		bench_die("%s: %s", path, strerror(errno));
	free(zeros);
	return fd;
}

static inline void calls_floor(int fd, uint64_t i)
{
	char block[CALLS_BLOCK];

	memset(block, (int)i, sizeof(block));
	if (pwrite(fd, block, sizeof(block), (off_t)(i * CALLS_BLOCK % CALLS_FLOOR_BYTES)) != CALLS_BLOCK || fdatasync(fd) < 0)
		bench_die("the disk's floor: %s", strerror(errno));
}

#endif
