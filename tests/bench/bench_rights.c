/* SPDX-License-Identifier: MIT */
/*
 * bench_rights EDITING SERVING [--entities N] [--rounds N] [--core N] [--cores TEXT]: a chmod of a group of N entities, whose directories and one file
 * each the kernel holds on the serving mount. Two figures: what the chmod itself takes for each, and what commits wait meanwhile. Beside it
 * go a writer of another group by the editing mount, a reader of the group, and who stands in directories, to whom the new mode must
 * be shown once the chmod has returned. Both pause between two calls: what is asked is how long they wait, not how a full processor is shared.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include "base/clock.h"
#include "calls.h"

enum { STANDING = 500, PAUSE_US = 500, PATH_BYTES = 2 * CALLS_PATH_MAX };

static const char *editing, *serving, *cores = "?";
static long rounds = 2, entities = 100000;
static atomic_bool is_over;
static atomic_long n_written, n_read;

static double forgetting_ms(void)
{
	char path[PATH_BYTES];

	snprintf(path, sizeof(path), "%s/.featurefs/metrics", editing);
	return calls_number(path, "featurefs_serving_forgetting_seconds_total ") * 1e3;
}

static void make_other_group(void)
{
	static const char schema[] = "[feature n]\ntype = int64\n";
	char path[PATH_BYTES];
	int fd;

	snprintf(path, sizeof(path), "%s/other", editing);
	if (mkdir(path, 0755) < 0)
		bench_die("%s: %s", path, strerror(errno));
	snprintf(path, sizeof(path), "%s/other/.schema", editing);
	fd = open(path, O_WRONLY | O_TRUNC);
	if (fd < 0 || write(fd, schema, sizeof(schema) - 1) != sizeof(schema) - 1 || close(fd) < 0)
		bench_die("%s: %s", path, strerror(errno));
	snprintf(path, sizeof(path), "%s/other/e", editing);
	if (mkdir(path, 0755) < 0)
		bench_die("%s: %s", path, strerror(errno));
}

/* ---- beside it ---- */

static void *write_beside(void *arg)
{
	double *slowest = arg;
	char path[PATH_BYTES], text[32];

	snprintf(path, sizeof(path), "%s/other/e/n", editing);
	for (long i = 0; !atomic_load(&is_over); i++) {
		int len = snprintf(text, sizeof(text), "%ld\n", i), fd;
		int64_t begin = clock_monotonic();
		double us;

		fd = open(path, O_WRONLY | O_TRUNC | O_CREAT, 0644);
		if (fd < 0 || write(fd, text, (size_t)len) != len || close(fd) < 0)
			bench_die("%s: %s", path, strerror(errno));
		us = calls_us_since(begin);
		*slowest = us > *slowest ? us : *slowest;
		atomic_fetch_add(&n_written, 1);
		usleep(PAUSE_US);
	}
	return NULL;
}

static void *read_beside(void *arg)
{
	double *slowest = arg;
	uint64_t seed = 7919;

	while (!atomic_load(&is_over)) {
		int64_t begin = clock_monotonic();
		double us;

		calls_read(serving, bench_random(&seed) % (uint64_t)entities);
		us = calls_us_since(begin);
		*slowest = us > *slowest ? us : *slowest;
		atomic_fetch_add(&n_read, 1);
		usleep(PAUSE_US);
	}
	return NULL;
}

static int stand_in(long entity)
{
	char path[PATH_BYTES], name[BENCH_NAME_MAX];
	int fd;

	bench_entity_name((uint64_t)entity, name);
	snprintf(path, sizeof(path), "%s/" BENCH_GROUP "/%s", serving, name);
	fd = open(path, O_PATH | O_DIRECTORY);
	if (fd < 0)
		bench_die("%s: %s", path, strerror(errno));
	return fd;
}

/* ---- a round ---- */

static void change(mode_t mode, struct bench_figure *each, struct bench_figure *waits)
{
	double slowest_write = 0, slowest_read = 0, forgotten, us;
	char path[PATH_BYTES];
	int standing[STANDING];
	pthread_t writer, reader;
	struct stat st;
	long written, read;
	int64_t begin;

	for (long i = 0; i < entities; i++)
		calls_read(serving, (uint64_t)i);
	for (long i = 0; i < STANDING; i++)
		standing[i] = stand_in(i * entities / STANDING);
	snprintf(path, sizeof(path), "%s/" BENCH_GROUP, editing);
	atomic_store(&is_over, false);
	if (pthread_create(&writer, NULL, write_beside, &slowest_write) || pthread_create(&reader, NULL, read_beside, &slowest_read))
		bench_die("no thread");
	usleep(200000);
	forgotten = forgetting_ms();
	written = atomic_load(&n_written);
	read = atomic_load(&n_read);
	begin = clock_monotonic();
	if (chmod(path, mode) < 0)
		bench_die("%s: %s", path, strerror(errno));
	us = calls_us_since(begin);
	written = atomic_load(&n_written) - written;
	read = atomic_load(&n_read) - read;
	for (long i = 0; i < STANDING; i++)
		if (fstat(standing[i], &st) < 0 || (st.st_mode & 07777) != mode || close(standing[i]) < 0)
			bench_die("who stands in a directory is shown mode %o behind a chmod to %o", st.st_mode & 07777, mode);
	forgotten = forgetting_ms() - forgotten;
	atomic_store(&is_over, true);
	pthread_join(writer, NULL);
	pthread_join(reader, NULL);
	bench_round(each, us / (double)entities, 1);
	bench_round(waits, forgotten > 0 ? forgotten : 0.001, 1);
	printf("# chmod of the group, %ldk files held, takes %.0f ms; meanwhile %ld writes of another group, the slowest of %.1f ms, and %ld reads, "
	       "the slowest of %.1f ms\n", entities / 1000, us / 1e3, written, slowest_write / 1e3, read, slowest_read / 1e3);
}

int main(int argc, char **argv)
{
	struct bench_figure each = { .unit = "us", .target = 15 }, waits = { .unit = "ms", .target = 100 };
	char each_name[64], waits_name[64];

	setlinebuf(stdout);
	if (argc < 3)
		bench_die("usage: bench_rights EDITING SERVING [--entities N] [--rounds N] [--core N] [--cores TEXT]");
	editing = argv[1];
	serving = argv[2];
	for (int i = 3; i < argc; i += 2) {
		if (strcmp(argv[i], "--core") == 0)
			bench_pin((int)bench_number(argv[i], argv[i + 1], 0));
		else if (strcmp(argv[i], "--cores") == 0 && argv[i + 1])
			cores = argv[i + 1];
		else if (strcmp(argv[i], "--rounds") == 0)
			rounds = bench_number(argv[i], argv[i + 1], 1);
		else if (strcmp(argv[i], "--entities") == 0)
			entities = bench_number(argv[i], argv[i + 1], STANDING);
		else
			bench_die("unknown option %s", argv[i]);
	}
	snprintf(each_name, sizeof(each_name), "chmod, %ldk files held: us for each", entities / 1000);
	snprintf(waits_name, sizeof(waits_name), "chmod, %ldk files held: ms commits wait", entities / 1000);
	each.name = each_name;
	waits.name = waits_name;
	each.cores = waits.cores = cores;
	make_other_group();
	for (long r = 0; r < rounds; r++)
		change(r % 2 ? 0755 : 0750, &each, &waits);
	bench_print(&each);
	bench_print(&waits);
	return 0;
}
