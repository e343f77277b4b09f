/* SPDX-License-Identifier: MIT */
/*
 * The serving mount: bench_serving warm|cold|ring|update|load|memory|batch, each with the mounts that it needs and --option N.
 *
 *	warm SERVING TMPFS	open, read and close of what the kernel holds, beside the same tree in memory
 *	cold SERVING NULL	the first open, read and close of each file, beside a null file system that gives the same replies
 *	update EDITING SERVING ALONE	what the kernel has to be told costs a change, beside a store that is mounted only once (ALONE)
 *	load EDITING SERVING ALONE	a load of new values for all that the kernel holds, which is very much, beside the same on ALONE; and rows
 *				of a view, opened by their names
 *	memory EDITING SERVING PID	what the daemon PID holds while each of very many files is read once; --drop 1: and when the kernel has dropped them
 *	ring SERVING OTHER	cold reads of several clients by io_uring on SERVING, beside those of another daemon's serving mount
 *	batch EDITING SERVING FOLDER	10 values of 100 entities by each way there is, beside Redis, whose socket goes to FOLDER
 */
#include <featurefs.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include "base/buf.h"
#include "calls.h"
#ifdef BENCH_HIREDIS
#include <hiredis/hiredis.h>
#endif

enum {
	UPDATED = 1000, LOAD_TEXT = 32, LOOKED_AT = 20000, VIEWED = 100000, CLIENTS_MAX = 4, BATCH = 100, COLUMNS = 10, ANSWER_MAX = 1 << 20,
	PATH_BYTES = 2 * CALLS_PATH_MAX, GIVES_BACK = 256 << 20,
};

static const char *cores = "?";
static long rounds = 20, ops = 20000, entities = 100000, first, threads = 1;
static bool drops;

static struct bench_figure figure_of(const char *name, double target)
{
	return (struct bench_figure){ .name = name, .cores = cores, .unit = "us", .target = target };
}

/* The number behind a word at the beginning of a line; 0. */
static void put_text(const char *path, const char *text, size_t len)
{
	int fd = open(path, O_WRONLY | O_TRUNC);

	if (fd < 0 || write(fd, text, len) != (ssize_t)len || close(fd) < 0)
		bench_die("%s: %s", path, strerror(errno));
}

/* ---- warm ---- */

struct reader {
	const char *mount;
	double (*slice)(const struct reader *reader);	/* us a call */
	uint64_t seed;
	double us;
};

static double open_all(const struct reader *reader)
{
	uint64_t seed = reader->seed;
	int64_t begin = clock_monotonic();

	for (long i = 0; i < ops; i++)
		calls_read(reader->mount, bench_random(&seed) % (uint64_t)entities);
	return calls_us_since(begin) / (double)ops;
}

static double stat_all(const struct reader *reader)
{
	uint64_t seed = reader->seed;
	int64_t begin = clock_monotonic();
	char path[CALLS_PATH_MAX];
	struct stat st;

	for (long i = 0; i < ops; i++) {
		calls_path(reader->mount, bench_random(&seed) % (uint64_t)entities, path);
		if (stat(path, &st) < 0 || st.st_size != sizeof(BENCH_TEXT) - 1)
			bench_die("%s: %s", path, strerror(errno));
	}
	return calls_us_since(begin) / (double)ops;
}

static double pread_one(const struct reader *reader)
{
	char path[CALLS_PATH_MAX], text[64];
	int64_t begin;
	double us;
	int fd;

	calls_path(reader->mount, reader->seed % (uint64_t)entities, path);
	fd = open(path, O_RDONLY);
	begin = clock_monotonic();
	for (long i = 0; i < ops; i++)
		if (pread(fd, text, sizeof(text), 0) != sizeof(BENCH_TEXT) - 1)
			bench_die("%s: not eight bytes", path);
	us = calls_us_since(begin) / (double)ops;
	close(fd);
	return us;
}

static void *run_reader(void *arg)
{
	struct reader *reader = arg;

	reader->us = reader->slice(reader);
	return NULL;
}

/* All threads at once: what a call takes each of them, in the mean. */
static double run_threads(const char *mount, double (*slice)(const struct reader *), long r)
{
	struct reader readers[8];
	pthread_t ids[8];
	double us = 0;

	for (long i = 0; i < threads; i++) {
		readers[i] = (struct reader){ mount, slice, UINT64_C(88172645463325252) + (uint64_t)(r * 8 + i + 1) * 7919, 0 };
		if (threads > 1 && pthread_create(&ids[i], NULL, run_reader, &readers[i]))
			bench_die("no thread");
	}
	if (threads == 1)
		run_reader(&readers[0]);
	for (long i = 0; i < threads; i++) {
		if (threads > 1)
			pthread_join(ids[i], NULL);
		us += readers[i].us / (double)threads;
	}
	return us;
}

static void compare(const char *name, double target, const char *ours, const char *other, double (*slice)(const struct reader *))
{
	struct bench_figure figure = figure_of(name, target);

	for (long r = -1; r < rounds; r++) {
		double us[2];

		for (int i = 0; i < 2; i++) {
			int which = (int)((i + r + 2) % 2);

			us[which] = run_threads(which ? other : ours, slice, r + 1);
		}
		if (r >= 0)
			bench_round(&figure, us[0], us[1]);
	}
	bench_print(&figure);
}

static void make_tree(const char *dir)
{
	char path[CALLS_PATH_MAX];

	snprintf(path, sizeof(path), "%s/" BENCH_GROUP, dir);
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		bench_die("%s: %s", path, strerror(errno));
	for (long i = 0; i < entities; i++) {
		char *slash;
		int fd;

		calls_path(dir, (uint64_t)i, path);
		slash = strrchr(path, '/');
		*slash = '\0';
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			bench_die("%s: %s", path, strerror(errno));
		*slash = '/';
		fd = open(path, O_WRONLY | O_CREAT, 0644);
		if (fd < 0 || write(fd, BENCH_TEXT, sizeof(BENCH_TEXT) - 1) != sizeof(BENCH_TEXT) - 1 || close(fd) < 0)
			bench_die("%s: %s", path, strerror(errno));
	}
}

static void read_each(const char *mount)
{
	for (long i = 0; i < entities; i++)
		calls_read(mount, (uint64_t)i);
}

static void bench_warm(char **mounts)
{
	static const struct {
		const char *what;
		double target;
		double (*slice)(const struct reader *);
	} kinds[] = { { "open, read, close", 1.6, open_all }, { "stat alone", 1.6, stat_all }, { "pread of a kept file", 1.6, pread_one } };

	make_tree(mounts[1]);
	read_each(mounts[0]);
	for (size_t k = 0; k < sizeof(kinds) / sizeof(*kinds); k++) {
		for (threads = 1; threads <= 2; threads++) {
			char name[64];

			snprintf(name, sizeof(name), "warm %ldk files, %ld thr: %s", entities / 1000, threads, kinds[k].what);
			compare(name, kinds[k].target, mounts[0], mounts[1], kinds[k].slice);
		}
	}
}

/* ---- cold ---- */

/* Every entity once. */
static double cold_slice(const char *mount, long r)
{
	int64_t begin = clock_monotonic();

	for (long i = 0; i < ops; i++)
		calls_read(mount, (uint64_t)((first + r * ops + i) * 7919 % entities));
	return calls_us_since(begin) / (double)ops;
}

static void bench_cold(char **mounts)
{
	struct bench_figure figure = figure_of("cold read, to the requests themselves", 1.3);

	if (first + (rounds + 1) * ops > entities)
		bench_die("%ld rounds of %ld need more than %ld entities", rounds, ops, entities - first);
	for (long r = -1; r < rounds; r++) {
		double us[2];

		for (int i = 0; i < 2; i++)
			us[(i + r + 2) % 2] = cold_slice(mounts[(i + r + 2) % 2], r + 1);
		if (r >= 0)
			bench_round(&figure, us[0], us[1]);
	}
	bench_print(&figure);
}

/* ---- by io_uring ---- */

/* Each client reads others' entities, and each entity once. */
static double cold_clients(const struct reader *reader)
{
	int64_t begin = clock_monotonic();

	for (long i = 0; i < ops; i++)
		calls_read(reader->mount, ((uint64_t)first + reader->seed * (uint64_t)ops + (uint64_t)i) * 7919 % (uint64_t)entities);
	return calls_us_since(begin) / (double)ops;
}

static double run_clients(const char *mount, long n, long r)
{
	struct reader readers[CLIENTS_MAX];
	pthread_t ids[CLIENTS_MAX];
	double us = 0;

	for (long i = 0; i < n; i++) {
		readers[i] = (struct reader){ mount, cold_clients, (uint64_t)(r * n + i), 0 };
		if (pthread_create(&ids[i], NULL, run_reader, &readers[i]))
			bench_die("no thread");
	}
	for (long i = 0; i < n; i++) {
		pthread_join(ids[i], NULL);
		us += readers[i].us / (double)n;
	}
	return us;
}

static void bench_ring(char **mounts)
{
	static const struct {
		long clients;
		double target;
	} kinds[] = { { 1, 1 }, { 2, 3 }, { CLIENTS_MAX, 3 } };

	for (size_t k = 0; k < sizeof(kinds) / sizeof(*kinds); k++) {
		struct bench_figure figure = figure_of("", kinds[k].target);
		char name[64];

		snprintf(name, sizeof(name), "cold reads of %ld, /dev/fuse to io_uring", kinds[k].clients);
		figure.name = name;
		figure.at_least = true;
		if (first + (rounds + 1) * ops * kinds[k].clients > entities)
			bench_die("%ld rounds of %ld need more than %ld entities", rounds, ops, entities - first);
		for (long r = -1; r < rounds; r++) {
			double us[2];

			for (int i = 0; i < 2; i++)
				us[(i + r + 2) % 2] = run_clients(mounts[(i + r + 2) % 2], kinds[k].clients, r + 1);
			if (r >= 0)
				bench_round(&figure, us[1], us[0]);
		}
		bench_print(&figure);
		first += (rounds + 1) * ops * kinds[k].clients;
	}
}

/* ---- what it costs to tell the kernel ---- */

/* One upsert of rows from entity `from` on; us. */
static double upsert(const char *mount, long from, long n)
{
	struct buf text = { 0 };
	char path[CALLS_PATH_MAX], name[BENCH_NAME_MAX];
	int64_t begin;
	double us;
	int fd;

	for (long i = from; i < from + n; i++) {
		bench_entity_name((uint64_t)i, name);
		buf_printf(&text, "{\"entity\": \"%s\", \"features\": {\"f%d\": %d}}\n", name, BENCH_INT, BENCH_WHOLE + 1);
	}
	snprintf(path, sizeof(path), "%s/" BENCH_GROUP "/.upsert", mount);
	begin = clock_monotonic();
	fd = open(path, O_WRONLY | O_TRUNC);
	if (fd < 0 || write(fd, text.data, text.len) != (ssize_t)text.len || close(fd) < 0)
		bench_die("%s: %s", path, strerror(errno));
	us = calls_us_since(begin);
	buf_release(&text);
	return us;
}

/* What one name more costs, in us: the figure's other side is one, so that the ratio is the cost itself. */
static void bench_update(char **mounts)
{
	struct bench_figure held = figure_of("update: us for each name that is held", 15), other = figure_of("update: us for each name that is not", 1);

	for (long r = -1; r < rounds; r++) {
		long from = (r + 1) * UPDATED % (entities - 2 * UPDATED), nobodys = entities - UPDATED;
		double with, without, alone[2];

		for (long i = from; i < from + UPDATED; i++)
			calls_read(mounts[1], (uint64_t)i);
		alone[0] = upsert(mounts[2], from, UPDATED);
		with = upsert(mounts[0], from, UPDATED);
		alone[1] = upsert(mounts[2], nobodys, UPDATED);
		without = upsert(mounts[0], nobodys, UPDATED);
		if (r < 0)
			continue;
		bench_round(&held, with > alone[0] ? (with - alone[0]) / UPDATED : 0.001, 1);
		bench_round(&other, without > alone[1] ? (without - alone[1]) / UPDATED : 0.001, 1);
	}
	bench_print(&held);
	bench_print(&other);
}

/* ---- a load of new values for all that is held ---- */

/* What goes on beside it. */
struct beside {
	const char *editing, *serving;	/* NULL: nobody reads */
	atomic_bool is_over;
	atomic_uint n_begun;		/* readers */
	long number;			/* that the load brings */
	double slowest_write, slowest_read[CLIENTS_MAX], slowest_row;	/* us */
	pthread_t writer, readers[CLIENTS_MAX], viewer;
};

static void load_text(long number, char text[LOAD_TEXT])
{
	snprintf(text, LOAD_TEXT, "%ld\n", BENCH_WHOLE + 2 + number);
}

static bool is_loaded(const char *mount, long entity, const char *text)
{
	char path[CALLS_PATH_MAX], got[64];
	int fd;
	ssize_t n;

	calls_path(mount, (uint64_t)entity, path);
	fd = open(path, O_RDONLY);
	n = fd < 0 ? -1 : read(fd, got, sizeof(got));
	if (n != sizeof(BENCH_TEXT) - 1 || close(fd) < 0)
		bench_die("%s: not eight bytes, or %s", path, strerror(errno));
	return memcmp(got, text, (size_t)n) == 0;
}

/* Values of another group, one after another. */
static void *write_beside(void *arg)
{
	struct beside *beside = arg;
	char path[PATH_BYTES], text[32];

	snprintf(path, sizeof(path), "%s/beside/e/n", beside->editing);
	for (long i = 0; !atomic_load(&beside->is_over); i++) {
		int len = snprintf(text, sizeof(text), "%ld\n", i), fd;
		int64_t begin = clock_monotonic();
		double us;

		fd = open(path, O_WRONLY | O_TRUNC | O_CREAT, 0644);
		if (fd < 0 || write(fd, text, (size_t)len) != len || close(fd) < 0)
			bench_die("%s: %s", path, strerror(errno));
		us = calls_us_since(begin);
		beside->slowest_write = us > beside->slowest_write ? us : beside->slowest_write;
	}
	return NULL;
}

/* Once one new value has been seen, all are new. */
static void *read_beside(void *arg)
{
	struct beside *beside = arg;
	unsigned me = atomic_fetch_add(&beside->n_begun, 1);
	uint64_t seed = UINT64_C(88172645463325252) + me * 7919;
	bool has_begun = false;
	char text[LOAD_TEXT];

	load_text(beside->number, text);
	while (!atomic_load(&beside->is_over)) {
		long entity = (long)(bench_random(&seed) % (uint64_t)entities);
		int64_t begin = clock_monotonic();
		bool is_new = is_loaded(beside->serving, entity, text);
		double us = calls_us_since(begin);

		beside->slowest_read[me] = us > beside->slowest_read[me] ? us : beside->slowest_read[me];
		if (has_begun && !is_new)
			bench_die("entity %ld shows its old value after another one has shown its new one", entity);
		has_begun = is_new;
	}
	return NULL;
}

static long viewed(void)
{
	return entities < VIEWED ? entities : VIEWED;
}

static bool is_row_loaded(const char *mount, long entity, const char *text)
{
	char path[PATH_BYTES], name[BENCH_NAME_MAX], got[1024];
	const char *value;
	ssize_t n;
	int fd;

	bench_entity_name((uint64_t)entity, name);
	snprintf(path, sizeof(path), "%s/.views/loaded/json/%s", mount, name);
	fd = open(path, O_RDONLY);
	n = fd < 0 ? -1 : read(fd, got, sizeof(got) - 1);
	if (n <= 0 || close(fd) < 0)
		bench_die("%s: no row, or %s", path, strerror(errno));
	got[n] = '\0';
	value = strstr(got, "\"n\": ");
	if (!value)
		bench_die("%s: %s", path, got);
	return strtol(value + 5, NULL, 10) == strtol(text, NULL, 10);
}

static void *view_beside(void *arg)
{
	struct beside *beside = arg;
	uint64_t seed = UINT64_C(88172645463325252);
	bool has_begun = false;
	char text[LOAD_TEXT];

	load_text(beside->number, text);
	while (!atomic_load(&beside->is_over)) {
		long entity = (long)(bench_random(&seed) % (uint64_t)viewed());
		int64_t begin = clock_monotonic();
		bool is_new = is_row_loaded(beside->serving, entity, text);
		double us = calls_us_since(begin);

		beside->slowest_row = us > beside->slowest_row ? us : beside->slowest_row;
		if (has_begun && !is_new)
			bench_die("the view's row of entity %ld shows an old value after another one has shown its new one", entity);
		has_begun = is_new;
	}
	return NULL;
}

static void begin_beside(struct beside *beside)
{
	if (pthread_create(&beside->writer, NULL, write_beside, beside))
		bench_die("no thread");
	if (beside->serving && pthread_create(&beside->viewer, NULL, view_beside, beside))
		bench_die("no thread");
	for (int i = 0; beside->serving && i < CLIENTS_MAX; i++)
		if (pthread_create(&beside->readers[i], NULL, read_beside, beside))
			bench_die("no thread");
}

static void end_beside(struct beside *beside)
{
	atomic_store(&beside->is_over, true);
	pthread_join(beside->writer, NULL);
	if (beside->serving)
		pthread_join(beside->viewer, NULL);
	for (int i = 0; beside->serving && i < CLIENTS_MAX; i++)
		pthread_join(beside->readers[i], NULL);
	qsort(beside->slowest_read, CLIENTS_MAX, sizeof(double), bench_compare);
}

/* A CSV with a new value for each entity, dropped under a name that does not count yet. */
static void copy_load(const char *mount, long number)
{
	char path[PATH_BYTES], name[BENCH_NAME_MAX], text[LOAD_TEXT];
	FILE *file;

	load_text(number, text);
	snprintf(path, sizeof(path), "%s/" BENCH_GROUP "/.import/.l%ld.csv", mount, number);
	file = fopen(path, "we");
	if (!file || fprintf(file, "entity,f%d\n", BENCH_INT) < 0)
		bench_die("%s: %s", path, strerror(errno));
	for (long i = 0; i < entities; i++) {
		bench_entity_name((uint64_t)i, name);
		fprintf(file, "%s,%s", name, text);
	}
	if (fclose(file))
		bench_die("%s: %s", path, strerror(errno));
}

/* From the rename that makes it count until its report says that it is done; us. */
static double run_load(const char *mount, long number)
{
	char from[PATH_BYTES], to[PATH_BYTES], report[PATH_BYTES], text[4096];
	int64_t begin;

	snprintf(from, sizeof(from), "%s/" BENCH_GROUP "/.import/.l%ld.csv", mount, number);
	snprintf(to, sizeof(to), "%s/" BENCH_GROUP "/.import/l%ld.csv", mount, number);
	snprintf(report, sizeof(report), "%s/" BENCH_GROUP "/.import/.reports/l%ld.csv.status", mount, number);
	begin = clock_monotonic();
	if (rename(from, to) < 0)
		bench_die("%s: %s", to, strerror(errno));
	for (;;) {
		int fd = open(report, O_RDONLY);
		ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

		if (fd >= 0)
			close(fd);
		text[n > 0 ? n : 0] = '\0';
		if (strstr(text, "state: done"))
			return calls_us_since(begin);
		if (strstr(text, "state: failed") || strstr(text, "state: cancelled"))
			bench_die("%s: %s", report, text);
		usleep(1000);
	}
}

static void make_beside(const char *mount)
{
	char path[PATH_BYTES], view[128];

	snprintf(path, sizeof(path), "%s/beside", mount);
	if (mkdir(path, 0755) < 0)
		bench_die("%s: %s", path, strerror(errno));
	snprintf(path, sizeof(path), "%s/beside/.schema", mount);
	put_text(path, "[feature n]\ntype = int64\n", strlen("[feature n]\ntype = int64\n"));
	snprintf(path, sizeof(path), "%s/beside/e", mount);
	if (mkdir(path, 0755) < 0)
		bench_die("%s: %s", path, strerror(errno));
	snprintf(path, sizeof(path), "%s/.views/loaded", mount);
	if (mkdir(path, 0755) < 0)
		bench_die("%s: %s", path, strerror(errno));
	snprintf(path, sizeof(path), "%s/.views/loaded/.schema", mount);
	snprintf(view, sizeof(view), "[view]\n[columns]\nn = " BENCH_GROUP "/f%d\n", BENCH_INT);
	put_text(path, view, strlen(view));
}

/* Each row of the view by its name, old or new. */
static void view_each(const char *mount)
{
	for (long i = 0; i < viewed(); i++)
		is_row_loaded(mount, i, "0");
}

/* us */
static double timed_load(struct beside *beside)
{
	double us;

	copy_load(beside->editing, beside->number);
	begin_beside(beside);
	us = run_load(beside->editing, beside->number);
	end_beside(beside);
	return us;
}

/*
 * Holds all files, loads over them on both sides in turns, and looks whether all is new. The figure is what commits have waited for the kernel to
 * forget, as the daemon counts it, for the time that a load takes is uneven by more than that; and the longest open, read and close of readers of files,
 * and of one of a view's rows, beside it. A second load of each round is without readers on both sides, and shows what the held files cost the load itself.
 */
static void bench_load(char **mounts)
{
	struct bench_figure figure = figure_of("", 100), longest = figure_of("", 100), row = figure_of("", 100), alone = figure_of("", 1.3);
	char name[64], longest_name[64], row_name[64], alone_name[64], metrics[PATH_BYTES], text[LOAD_TEXT];
	uint64_t seed = 7919;

	snprintf(name, sizeof(name), "load, %ldk files held: ms to forget them", entities / 1000);
	snprintf(longest_name, sizeof(longest_name), "load, %ldk files held: longest read, ms", entities / 1000);
	snprintf(alone_name, sizeof(alone_name), "load, %ldk files held, to one with none", entities / 1000);
	longest.name = longest_name;
	longest.unit = "ms";
	snprintf(row_name, sizeof(row_name), "load, %ldk rows of a view opened: longest, ms", viewed() / 1000);
	row.name = row_name;
	row.unit = "ms";
	alone.name = alone_name;
	alone.unit = "ms";
	snprintf(metrics, sizeof(metrics), "%s/.featurefs/metrics", mounts[0]);
	figure.name = name;
	figure.unit = "ms";
	make_beside(mounts[0]);
	make_beside(mounts[2]);
	for (long r = 0; r < rounds; r++) {
		struct beside sides[] = { { .editing = mounts[0], .serving = mounts[1], .number = 2 * r }, { .editing = mounts[2], .number = 2 * r } };
		struct beside quiet[] = { { .editing = mounts[0], .number = 2 * r + 1 }, { .editing = mounts[2], .number = 2 * r + 1 } };
		int64_t begin = clock_monotonic();
		double us[2], quiet_us[2], forgotten, wholes;

		read_each(mounts[1]);
		printf("# %ld files read in %.1f s\n", entities, calls_us_since(begin) / 1e6);
		begin = clock_monotonic();
		view_each(mounts[1]);
		printf("# %ld rows of a view opened by their names in %.1f s\n", viewed(), calls_us_since(begin) / 1e6);
		forgotten = calls_number(metrics, "featurefs_serving_forgetting_seconds_total ");
		wholes = calls_number(metrics, "featurefs_serving_wholes_forgotten_total ");
		for (int i = 0; i < 2; i++)
			us[(i + r) % 2] = timed_load(&sides[(i + r) % 2]);
		forgotten = calls_number(metrics, "featurefs_serving_forgetting_seconds_total ") - forgotten;
		wholes = calls_number(metrics, "featurefs_serving_wholes_forgotten_total ") - wholes;
		for (int i = 0; i < 2; i++)
			quiet_us[(i + r) % 2] = timed_load(&quiet[(i + r) % 2]);
		load_text(2 * r + 1, text);
		for (int i = 0; i < LOOKED_AT; i++)
			if (!is_loaded(mounts[1], (long)(bench_random(&seed) % (uint64_t)entities), text))
				bench_die("an old value is shown after the load");
		bench_round(&figure, forgotten * 1e3, 1);
		bench_round(&longest, sides[0].slowest_read[CLIENTS_MAX - 1] / 1e3, 1);
		bench_round(&row, sides[0].slowest_row / 1e3, 1);
		bench_round(&alone, quiet_us[0] / 1e3, quiet_us[1] / 1e3);
		printf("# a load of %ld rows %.0f ms, without a serving mount %.0f ms; all was forgotten at once %.0f times; the slowest of other "
		       "writes beside it %.1f ms, without a serving mount %.1f ms; the slowest read of one reader %.1f ms, of the %d others %.1f ms; "
		       "then %d files showed the new value\n",
		       entities, us[0] / 1e3, us[1] / 1e3, wholes, sides[0].slowest_write / 1e3, sides[1].slowest_write / 1e3,
		       sides[0].slowest_read[CLIENTS_MAX - 1] / 1e3, CLIENTS_MAX - 1, sides[0].slowest_read[CLIENTS_MAX - 2] / 1e3, LOOKED_AT);
	}
	bench_print(&figure);
	bench_print(&longest);
	bench_print(&row);
	bench_print(&alone);
}

/* ---- memory ---- */

static double held_by(const char *status)
{
	return calls_number(status, "RssAnon:") * 1024;
}

/* Inodes and dentries alone are in the kernel's lists of what it can take back at once. */
static double reclaimable(void)
{
	return calls_number("/proc/meminfo", "SReclaimable:") / 1024;
}

/* The file's page is let go of, so that many more files than pages have room are held. */
static void read_once(const char *mount, long entity, unsigned feature)
{
	char path[PATH_BYTES], text[64], name[BENCH_NAME_MAX];
	int fd;

	bench_entity_name((uint64_t)entity, name);
	snprintf(path, sizeof(path), "%s/" BENCH_GROUP "/%s/f%u", mount, name, feature);
	fd = open(path, O_RDONLY);
	if (fd < 0 || read(fd, text, sizeof(text)) <= 0 || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) || close(fd) < 0)
		bench_die("%s: %s", path, strerror(errno));
}

/* Asks the kernel to take back all that it can, and waits until the daemon has heard of it. A small daemon need not shrink. */
static void drop_all(const char *metrics, const char *status, double before_bytes, double grown)
{
	struct bench_figure figure = { .name = "kept of it when all was dropped", .cores = cores, .unit = "bytes", .target = 0.25 };
	double nodes = calls_number(metrics, "featurefs_serving_nodes "), before = -1;

	put_text("/proc/sys/vm/drop_caches", "2", 1);
	for (int i = 0; i < 600 && nodes != before; i++) {
		before = nodes;
		usleep(500000);
		nodes = calls_number(metrics, "featurefs_serving_nodes ");
	}
	for (int i = 0; i < 20 && held_by(status) > before_bytes + grown / 4; i++)
		usleep(500000);
	printf("# the kernel told to drop what it can: %.0f nodes are held, %.0f MB by the daemon, %.0f MB of names and inodes by the kernel\n", nodes,
	       held_by(status) / 1e6, reclaimable());
	if (grown < GIVES_BACK)
		return;
	bench_round(&figure, held_by(status) > before_bytes ? held_by(status) - before_bytes : 1, grown);
	bench_print(&figure);
}

/* At its peak: bytes for each node that the kernel holds, by the daemon's own count and as its process grows. */
static void bench_memory(char **mounts)
{
	struct bench_figure figure = figure_of("", 256);
	char metrics[PATH_BYTES], status[PATH_BYTES], name[64];
	double before, most_nodes = 0, node_bytes = 0, rss = 0, nodes = 0, kernel = reclaimable(), most_kernel = 0;
	int64_t begin = clock_monotonic();

	snprintf(metrics, sizeof(metrics), "%s/.featurefs/metrics", mounts[0]);
	snprintf(status, sizeof(status), "/proc/%s/status", mounts[2]);
	snprintf(name, sizeof(name), "%ldk files read once: bytes for each held", entities * BENCH_FEATURES / 1000);
	figure.name = name;
	figure.unit = "bytes";
	before = held_by(status);
	for (long i = 0; i < entities; i++) {
		for (unsigned k = 0; k < BENCH_FEATURES; k++)
			read_once(mounts[1], i, k);
		if (i % 1000 && i < entities - 1)
			continue;
		nodes = calls_number(metrics, "featurefs_serving_nodes ");
		most_kernel = reclaimable() > most_kernel ? reclaimable() : most_kernel;
		if (nodes < most_nodes)
			continue;
		most_nodes = nodes;
		node_bytes = calls_number(metrics, "featurefs_serving_node_bytes ");
		rss = held_by(status) - before;
	}
	printf("# %ld files read once in %.0f s: at most %.0f nodes were held, at the end %.0f; %.0f bytes each by the daemon's count, %.0f MB in all as "
	       "its process has grown; names and inodes of the kernel grew by %.0f MB\n", entities * BENCH_FEATURES, calls_us_since(begin) / 1e6,
	       most_nodes, nodes, node_bytes / most_nodes, rss / 1e6, most_kernel - kernel);
	if (drops)
		drop_all(metrics, status, before, rss);
	bench_round(&figure, rss / most_nodes, 1);
	bench_print(&figure);
}

/* ---- 10 values of 100 entities ---- */

struct way {
	const char *name;
	double (*run)(struct way *way, const long *who);	/* us */
	const char *mount;
	int fd;
	char *room;
	void *state;
	double us[BENCH_ROUNDS_MAX];
};

static void batch_path(const char *mount, long entity, const char *name, char path[PATH_BYTES])
{
	snprintf(path, PATH_BYTES, "%s/batch/u%ld/%s", mount, entity, name);
}

static size_t read_path(const char *path, char *to, size_t room)
{
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, to, room);

	if (n <= 0 || close(fd) < 0)
		bench_die("%s: %s", path, strerror(errno));
	return (size_t)n;
}

static double by_files(struct way *way, const long *who)
{
	int64_t begin = clock_monotonic();
	char path[PATH_BYTES], name[8];

	for (int i = 0; i < BATCH; i++) {
		for (int k = 0; k < COLUMNS; k++) {
			snprintf(name, sizeof(name), "x%d", k);
			batch_path(way->mount, who[i], name, path);
			read_path(path, way->room, 64);
		}
	}
	return calls_us_since(begin);
}

static double by_rows(struct way *way, const long *who)
{
	int64_t begin = clock_monotonic();
	char path[PATH_BYTES];

	for (int i = 0; i < BATCH; i++) {
		batch_path(way->mount, who[i], ".row", path);
		read_path(path, way->room, ANSWER_MAX);
	}
	return calls_us_since(begin);
}

static size_t ask_names(const long *who, char *to)
{
	size_t len = 0;

	for (int i = 0; i < BATCH; i++)
		len += (size_t)snprintf(to + len, 16, "u%ld\n", who[i]);
	return len;
}

static void check_floats(const struct way *way, const float *got, size_t bytes, const long *who)
{
	if (bytes != BATCH * COLUMNS * sizeof(float) || got[0] != (float)who[0] || got[BATCH * COLUMNS - 1] != (float)who[BATCH - 1])
		bench_die("%s: other values, or %zu bytes", way->name, bytes);
}

static double by_lookup(struct way *way, const long *who)
{
	char names[BATCH * 16];
	int64_t begin = clock_monotonic();
	size_t len = ask_names(who, names), got = 0;
	ssize_t n;

	if (write(way->fd, names, len) != (ssize_t)len)
		bench_die("%s: %s", way->name, strerror(errno));
	while ((n = read(way->fd, way->room + got, ANSWER_MAX - got)) > 0 && way->room[0] != '{' && got + (size_t)n < BATCH * COLUMNS * 4)
		got += (size_t)n;
	got += n > 0 ? (size_t)n : 0;
	if (way->room[0] != '{')
		check_floats(way, (const float *)(const void *)way->room, got, who);
	return calls_us_since(begin);
}

static double by_ioctl(struct way *way, const long *who)
{
	enum { SIZE = sizeof(struct featurefs_batch) + BATCH * COLUMNS * sizeof(float) };
	struct featurefs_batch *batch = (struct featurefs_batch *)(void *)way->room;
	int64_t begin = clock_monotonic();

	batch->names = (uint32_t)ask_names(who, batch->bytes);
	if (ioctl(way->fd, FEATUREFS_IOC_LOOKUP(SIZE), batch) < 0 || batch->names != BATCH)
		bench_die("%s: %s", way->name, strerror(errno));
	check_floats(way, (const float *)(const void *)batch->bytes, batch->answers, who);
	return calls_us_since(begin);
}

#ifdef BENCH_HIREDIS

static double by_redis(struct way *way, const long *who)
{
	int64_t begin = clock_monotonic();
	redisReply *reply;

	for (int i = 0; i < BATCH; i++)
		redisAppendCommand(way->state, "HMGET u%ld x0 x1 x2 x3 x4 x5 x6 x7 x8 x9", who[i]);
	for (int i = 0; i < BATCH; i++) {
		if (redisGetReply(way->state, (void **)&reply) != REDIS_OK || reply->elements != COLUMNS || reply->element[9]->len != sizeof(float))
			bench_die("Redis: not ten values");
		freeReplyObject(reply);
	}
	return calls_us_since(begin);
}

static redisContext *connect_redis(const char *socket)
{
	for (int i = 0; i < 200; i++) {
		redisContext *c = redisConnectUnix(socket);

		if (c && !c->err)
			return c;
		if (c)
			redisFree(c);
		usleep(50000);
	}
	bench_die("Redis does not answer at %s", socket);
}

/* A hash an entity, its values as the four bytes that the vectors hold. */
static redisContext *fill_redis(const char *socket)
{
	redisContext *c = connect_redis(socket);

	for (long i = 0; i < entities; i++) {
		float x = (float)i;
		redisReply *reply = redisCommand(c, "HSET u%ld x0 %b x1 %b x2 %b x3 %b x4 %b x5 %b x6 %b x7 %b x8 %b x9 %b", i, &x, sizeof(x), &x,
						 sizeof(x), &x, sizeof(x), &x, sizeof(x), &x, sizeof(x), &x, sizeof(x), &x, sizeof(x), &x,
						 sizeof(x), &x, sizeof(x), &x, sizeof(x));

		if (!reply || reply->type != REDIS_REPLY_INTEGER)
			bench_die("Redis: cannot write");
		freeReplyObject(reply);
	}
	return c;
}

static pid_t start_redis(const char *dir, const char *socket)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no", "--dir", dir,
		       "--logfile", "/dev/null", NULL);
		_exit(127);
	}
	return pid;
}

#endif

/* A group and a view of ten float32 each, whose values are the entity's number. */
static void make_batch_group(const char *mount)
{
	struct buf schema = { 0 }, view = { 0 }, rows = { 0 };
	char path[PATH_BYTES];

	buf_append_str(&view, "[view]\n[columns]\n");
	for (int k = 0; k < COLUMNS; k++) {
		buf_printf(&schema, "[feature x%d]\ntype = float32\n", k);
		buf_printf(&view, "x%d = batch/x%d\n", k, k);
	}
	snprintf(path, sizeof(path), "%s/batch", mount);
	if (mkdir(path, 0755) == 0) {
		snprintf(path, sizeof(path), "%s/batch/.schema", mount);
		put_text(path, schema.data, schema.len);
		snprintf(path, sizeof(path), "%s/.views/batch", mount);
		mkdir(path, 0755);
		snprintf(path, sizeof(path), "%s/.views/batch/.schema", mount);
		put_text(path, view.data, view.len);
	}
	snprintf(path, sizeof(path), "%s/batch/.upsert", mount);
	for (long i = 0; i < entities; i++) {
		buf_printf(&rows, "{\"entity\": \"u%ld\", \"features\": {", i);
		for (int k = 0; k < COLUMNS; k++)
			buf_printf(&rows, "%s\"x%d\": %ld", k ? ", " : "", k, i);
		buf_append_str(&rows, "}}\n");
		if (rows.len < (8 << 20) && i < entities - 1)
			continue;
		put_text(path, rows.data, rows.len);
		buf_reset(&rows);
	}
	buf_release(&schema);
	buf_release(&view);
	buf_release(&rows);
}

static int open_at(const char *mount, const char *path, int flags)
{
	char whole[PATH_BYTES];
	int fd;

	snprintf(whole, sizeof(whole), "%s/%s", mount, path);
	fd = open(whole, flags);
	if (fd < 0)
		bench_die("%s: %s", whole, strerror(errno));
	return fd;
}

/* Each way's time beside Redis'; where there is none, beside the ioctl's. */
static void print_ways(struct way *ways, int n, int yardstick)
{
	for (int w = 0; w < n; w++) {
		double us[BENCH_ROUNDS_MAX], times[BENCH_ROUNDS_MAX];

		for (long r = 0; r < rounds; r++) {
			us[r] = ways[w].us[r];
			times[r] = ways[yardstick].us[r] / ways[w].us[r];
		}
		printf("# 10 x 100 by %-32s %8.0f us, %.2f times as fast as %s\n", ways[w].name, bench_median(us, (size_t)rounds),
		       bench_median(times, (size_t)rounds), ways[yardstick].name);
	}
}

static void bench_batch(char **mounts)
{
	struct way ways[] = {
		{ .name = "files, warm", .run = by_files, .mount = mounts[1] },
		{ .name = ".row, warm", .run = by_rows, .mount = mounts[1] },
		{ .name = "first mount's .lookup, JSON", .run = by_lookup, .fd = open_at(mounts[0], "batch/.lookup", O_RDWR) },
		{ .name = "first mount's .lookup, float32", .run = by_lookup, .fd = open_at(mounts[0], ".views/batch/f32/.lookup", O_RDWR) },
		{ .name = "one ioctl, float32", .run = by_ioctl, .fd = open_at(mounts[1], ".views/batch/f32/.lookup", O_RDONLY) },
		{ .name = "Redis HMGET, pipelined" },
	};
	int n = sizeof(ways) / sizeof(*ways) - 1, one_call = n - 1;
	uint64_t seed = UINT64_C(88172645463325252);
	long who[BATCH];

#ifdef BENCH_HIREDIS
	struct bench_figure figure = figure_of("Redis pipelined to one ioctl, 10 x 100", 3);
	char socket[PATH_BYTES];
	pid_t server;

	figure.at_least = true;
	snprintf(socket, sizeof(socket), "%s/redis.sock", mounts[2]);
	server = start_redis(mounts[2], socket);
	ways[n].state = fill_redis(socket);
	ways[n++].run = by_redis;
#endif
	for (int w = 0; w < n; w++)
		ways[w].room = bench_alloc(1, ANSWER_MAX);
	for (long r = -2; r < rounds; r++) {
		for (int i = 0; i < BATCH; i++)
			who[i] = (long)(bench_random(&seed) % (uint64_t)entities);
		by_files(&ways[0], who);
		by_rows(&ways[1], who);
		for (int i = 0; i < n; i++) {
			struct way *way = &ways[(i + r + 2) % n];
			double us = way->run(way, who);

			if (r >= 0)
				way->us[r] = us;
		}
	}
	print_ways(ways, n, n == one_call + 1 ? one_call : n - 1);
#ifdef BENCH_HIREDIS
	for (long r = 0; r < rounds; r++)
		bench_round(&figure, ways[n - 1].us[r], ways[one_call].us[r]);
	bench_print(&figure);
	redisFree(ways[n - 1].state);
	kill(server, SIGTERM);
	waitpid(server, NULL, 0);
#else
	printf("# built without hiredis: nothing is compared with Redis (tools/setup bench)\n");
#endif
}

static const struct {
	const char *name;
	int n_mounts;
	void (*run)(char **mounts);
} modes[] = {
	{ "warm", 2, bench_warm }, { "cold", 2, bench_cold }, { "ring", 2, bench_ring }, { "update", 3, bench_update }, { "load", 3, bench_load },
	{ "memory", 3, bench_memory }, { "batch", 3, bench_batch },
};

int main(int argc, char **argv)
{
	size_t mode = 0;
	bool makes = false;

	setlinebuf(stdout);
	while (mode < sizeof(modes) / sizeof(*modes) && (argc < 2 || strcmp(argv[1], modes[mode].name)))
		mode++;
	if (mode == sizeof(modes) / sizeof(*modes) || argc < 2 + modes[mode].n_mounts)
		bench_die("usage: bench_serving warm|cold|ring|update|load|memory|batch MOUNT... [--option N]; see its head");
	for (int i = 2 + modes[mode].n_mounts; i < argc; i += 2) {
		if (strcmp(argv[i], "--core") == 0)
			bench_pin((int)bench_number(argv[i], argv[i + 1], 0));
		else if (strcmp(argv[i], "--cores") == 0 && argv[i + 1])
			cores = argv[i + 1];
		else if (strcmp(argv[i], "--rounds") == 0)
			rounds = bench_number(argv[i], argv[i + 1], 1);
		else if (strcmp(argv[i], "--ops") == 0)
			ops = bench_number(argv[i], argv[i + 1], 1);
		else if (strcmp(argv[i], "--entities") == 0)
			entities = bench_number(argv[i], argv[i + 1], 1);
		else if (strcmp(argv[i], "--first") == 0)
			first = bench_number(argv[i], argv[i + 1], 0);
		else if (strcmp(argv[i], "--drop") == 0)
			drops = bench_number(argv[i], argv[i + 1], 0) != 0;
		else if (strcmp(argv[i], "--makes") == 0)
			makes = bench_number(argv[i], argv[i + 1], 0) != 0;
		else
			bench_die("unknown option %s", argv[i]);
	}
	if (makes)
		make_batch_group(argv[2]);
	modes[mode].run(argv + 2);
	return 0;
}
