/* SPDX-License-Identifier: MIT */
/*
 * What readers by libfeaturefs wait for while the stream lane writes as fast as it can, against a real broker:
 *
 *	bench_stream_read PROGRAMS WORK BROKERS --produce PROGRAM [--broker PID] [--entities N] [--messages N] [--reads N] --topic NAME...
 *
 * A group is filled by an import. In each round the lane consumes a topic of its own (an empty one of four partitions), whose event times are newer
 * than all before, while two processes read four features of random entities, one entity a call. Then they read the same once more beside
 * processes that take as much processor time as the daemon and the broker took, and write nothing. A round's figure is the p99 of the
 * slower reader.
 */
#include <featurefs.h>
#include <time.h>
#include "streams.h"

enum { READERS = 2, BURNERS = 2, PARTITIONS = 4, FEATURES = 4, SPAN_MS = 1000000 };

static struct streams_world world;
static long entities = 1000000, messages = 1000000, reads = 200000, rounds, broker_pid;
static const char *produce_program, *topics[BENCH_ROUNDS_MAX];

/* ---- what is written ---- */

static void fill(void)
{
	char path[700], text[4096];
	FILE *file;

	snprintf(path, sizeof path, "%s/g", world.mnt);
	mkdir(path, 0755);
	snprintf(path, sizeof path, "%s/g/.schema", world.mnt);
	snprintf(text, sizeof text, "%s[batch]\nentity = user\nevent_time = ts\n", streams_features);
	streams_write(path, text);
	snprintf(path, sizeof path, "%s/g/.import/fill.csv", world.mnt);
	file = fopen(path, "w");
	if (!file)
		bench_die("%s: %s", path, strerror(errno));
	fputs("user,ts,a,b,c,d\n", file);
	for (long i = 0; i < entities; i++)
		fprintf(file, "u%ld,2020-01-01T00:00:00Z,%ld,0.5,7,1.25\n", i, i);
	if (ferror(file) || fclose(file))
		bench_die("%s: %s", path, strerror(errno));
	snprintf(path, sizeof path, "%s/g/.import/.reports/fill.csv.status", world.mnt);
	for (int i = 0; streams_number(path, "changed") != FEATURES * entities; i++) {
		if (i > 6000)
			bench_die("%s does not say that %ld values were changed", path, FEATURES * entities);
		usleep(20000);
	}
}

static void produce(const char *topic, unsigned round, int64_t base_ms)
{
	char words[4][64];
	pid_t pid = bench_fork();
	int status;

	if (pid == 0) {
		snprintf(words[0], sizeof words[0], "%ld", messages);
		snprintf(words[1], sizeof words[1], "seed=%u", round + 2);
		snprintf(words[2], sizeof words[2], "entities=%ld", entities);
		snprintf(words[3], sizeof words[3], "base=%lld", (long long)base_ms);
		execl(produce_program, produce_program, world.brokers, topic, words[0], words[1], words[2], words[3], (char *)NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		bench_die("%s did not produce to %s", produce_program, topic);
}

/* Messages that the lane has consumed; 0 while there is none. */
static long consumed(void)
{
	long n = streams_consumed(&world, "g");

	return n < 0 ? 0 : n;
}

/* ---- who reads ---- */

static double p99_of_reads(uint64_t seed)
{
	static const char *const features[FEATURES] = { "g/a", "g/b", "g/c", "g/d" };
	struct featurefs_column columns[FEATURES] = { { 0 } };
	double values[FEATURES], *times = bench_alloc((size_t)reads, sizeof *times);
	struct featurefs_view *view;
	struct featurefs *fs;
	uint8_t validity[FEATURES];
	size_t present = 0;
	double p99;

	if (featurefs_open(world.store, FEATUREFS_MAP_ONLY, &fs) < 0 || featurefs_view_new(fs, features, FEATURES, &view) < 0)
		bench_die("libfeaturefs: %s", featurefs_error());
	for (size_t k = 0; k < FEATURES; k++)
		columns[k] = (struct featurefs_column){ .values = &values[k], .values_room = sizeof values[k], .validity = &validity[k] };
	/* The first thousand find the pages that the process has not met yet. */
	for (long i = -1000; i < reads; i++) {
		char name[32];
		struct featurefs_bytes text = { name, (size_t)snprintf(name, sizeof name, "u%ld", (long)(bench_random(&seed) % (uint64_t)entities)) };
		const struct featurefs_keys keys = { .texts = &text };
		int64_t begun_ns = clock_monotonic();

		if (featurefs_read(view, &keys, 1, 1, columns) < 0)
			bench_die("libfeaturefs: %s", featurefs_error());
		if (i >= 0)
			times[i] = (double)(clock_monotonic() - begun_ns) / 1e3, present += columns[0].n_present;
	}
	if (present != (size_t)reads)
		bench_die("%zu of %ld values were there", present, reads);
	p99 = bench_quantile(times, (size_t)reads, 0.99);
	featurefs_view_free(view);
	featurefs_close(fs);
	free(times);
	return p99;
}

static double p99_of_readers(uint64_t seed)
{
	double slowest = 0, p99;
	int answers[2];

	if (pipe(answers) < 0)
		bench_die("no pipe");
	fflush(stdout);
	for (int i = 0; i < READERS; i++) {
		pid_t pid = bench_fork();

		if (pid == 0) {
			p99 = p99_of_reads(seed + (uint64_t)i * 13);
			_exit(write(answers[1], &p99, sizeof p99) != sizeof p99);
		}
	}
	for (int i = 0; i < READERS; i++) {
		int status;

		if (wait(&status) < 0 || status || read(answers[0], &p99, sizeof p99) != sizeof p99)
			bench_die("a reader failed");
		slowest = p99 > slowest ? p99 : slowest;
	}
	close(answers[0]);
	close(answers[1]);
	return slowest;
}

/* ---- as much load that writes nothing ---- */

static double load_cpu(void)
{
	return streams_cpu(world.pid) + (broker_pid ? streams_cpu((pid_t)broker_pid) : 0);
}

/* Uses `share` of a processor's time, in pieces of about a millisecond. */
static pid_t start_burner(double share)
{
	int64_t begun_ns = clock_monotonic();
	pid_t pid = bench_fork();

	while (pid == 0) {
		volatile uint64_t x = 1;
		struct timespec used;

		for (int i = 0; i < 300000; i++)
			x = x * 3 + 1;
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
		if ((double)(used.tv_sec * CLOCK_SECOND + used.tv_nsec) > share * (double)(clock_monotonic() - begun_ns))
			usleep(500);
	}
	return pid;
}

static double p99_beside_burners(double processors, uint64_t seed, double *out_used)
{
	pid_t burners[BURNERS];
	int64_t begun_ns;
	double p99;

	for (int i = 0; i < BURNERS; i++)
		burners[i] = start_burner(processors / BURNERS);
	usleep(300000);
	begun_ns = clock_monotonic();
	*out_used = 0;
	for (int i = 0; i < BURNERS; i++)
		*out_used -= streams_cpu(burners[i]);
	p99 = p99_of_readers(seed);
	for (int i = 0; i < BURNERS; i++) {
		*out_used += streams_cpu(burners[i]);
		kill(burners[i], SIGKILL);
		waitpid(burners[i], NULL, 0);
	}
	*out_used /= (double)(clock_monotonic() - begun_ns) / 1e9;
	return p99;
}

/* ---- the figure ---- */

static void bench_readers(void)
{
	struct bench_figure figure = { .name = "p99 of two readers, stream to idle load", .cores = "unpinned", .unit = "us", .target = 2 };
	int64_t first_base_ms = clock_now() / 1000000 - rounds * 2 * SPAN_MS;
	double rate = 0, processors = 0, burnt = 0;

	for (long r = 0; r < rounds; r++)
		streams_need_empty(world.brokers, topics[r], PARTITIONS);
	streams_start(&world, 0);
	fill();
	for (long r = 0; r < rounds; r++) {
		uint64_t seed = UINT64_C(88172645463325252) + (uint64_t)r * 17;
		long before = consumed(), first, last;
		double beside, cpu, seconds;
		int64_t begun_ns;

		produce(topics[r], (unsigned)r, first_base_ms + (r + 1) * 2 * SPAN_MS);
		streams_define(&world, "g", topics[r], "earliest");
		while (consumed() <= before)
			usleep(1000);
		first = consumed();
		cpu = load_cpu();
		begun_ns = clock_monotonic();
		beside = p99_of_readers(seed);
		seconds = (double)(clock_monotonic() - begun_ns) / 1e9;
		cpu = load_cpu() - cpu;
		last = consumed();
		if (last >= before + messages)
			bench_die("%ld messages were consumed before %ld values were read", messages, reads);
		rate += (double)(last - first) / seconds / (double)rounds;
		processors += cpu / seconds / (double)rounds;
		while (consumed() < before + messages)
			usleep(10000);
		bench_round(&figure, beside, p99_beside_burners(cpu / seconds, seed, &seconds));
		burnt += seconds / (double)rounds;
	}
	bench_print(&figure);
	printf("# the lane took %.0f messages a second beside the readers; it and its broker %.2f processors, the idle load %.2f\n", rate, processors,
	       burnt);
	streams_stop(&world);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		long *number, least;
	} options[] = { { "--broker", &broker_pid, 2 }, { "--entities", &entities, 1000 }, { "--messages", &messages, 10000 },
			{ "--reads", &reads, 1000 } };

	for (int i = 4; i < argc; i += 2) {
		size_t k = 0;

		if (!strcmp(argv[i], "--produce")) {
			produce_program = argv[i + 1];
			continue;
		}
		if (!strcmp(argv[i], "--topic") && argv[i + 1] && rounds < BENCH_ROUNDS_MAX) {
			topics[rounds++] = argv[i + 1];
			continue;
		}
		while (k < sizeof options / sizeof *options && strcmp(argv[i], options[k].name) != 0)
			k++;
		if (k == sizeof options / sizeof *options)
			bench_die("what is %s?", argv[i]);
		*options[k].number = bench_number(argv[i], argv[i + 1], options[k].least);
	}
	if (argc < 4 || !produce_program || !rounds)
		bench_die("usage: bench_stream_read PROGRAMS WORK BROKERS --produce PROGRAM [--broker PID] [--entities N] [--messages N] [--reads N] "
			  "--topic NAME...");
	world = (struct streams_world){ .bin = argv[1], .work = argv[2], .brokers = argv[3] };
	bench_readers();
	return 0;
}
