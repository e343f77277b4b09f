/* SPDX-License-Identifier: MIT */
/*
 * Imports from end to end: files of rows dropped into a daemon's mount, from their last rename until the report says that they are loaded,
 * which is visible and durable. Beside them the bare program (bare_load.h), `redis-cli --pipe` of the same rows into a Redis that keeps nothing
 * on disk, and, with --feast, what Feast's materialize takes for a row. Daemon, bare program and Redis take turns in each round.
 *
 *	bench_import FOLDER PROGRAMS [--rows N] [--rounds N] [--large N] [--seconds N] [--redis PORT] [--feast PYTHON] [--formats N]
 *
 * With 0 rounds only direct writes beside loads (in turns of N seconds each), and the ten times as many rows, are measured; 0 leaves either out.
 *
 * Bytes are those that the daemon writes from the rename on, the change log, the fold and the checkpoint included. A direct write is open, write
 * and close of one value of a random entity on the mount.
 */
#include <pthread.h>
#include <stdatomic.h>
#include "bare_load.h"
#include "daemon.h"
#include "rows.h"

enum { LATENCIES_MAX = 1 << 20, GROUP_WAIT_US = 1000, WAIT_TURNS = 3 };

struct setup {
	const char *folder, *feast;
	long rows, rounds, large, seconds, redis_port, formats;
	int dir;
	struct bench_daemon daemon;
	pid_t redis;
	bool has_parquet;
	double first_mean, first_peak_kb;
};

static struct setup s = { .rows = 1000000, .rounds = 5, .large = 10000000, .seconds = 5 };

static double seconds_since(int64_t begun_ns)
{
	return (double)(clock_monotonic() - begun_ns) / 1e9;
}

static void clean_up(void)
{
	if (s.daemon.pid)
		kill(s.daemon.pid, SIGTERM), waitpid(s.daemon.pid, NULL, 0);
	if (s.redis)
		kill(s.redis, SIGTERM), waitpid(s.redis, NULL, 0);
}

/* ---- ours ---- */

static void make_group(const char *name, const char *schema)
{
	char path[2 * BENCH_PATH];
	FILE *file;

	snprintf(path, sizeof path, "%s/%s", s.daemon.mnt, name);
	if (mkdir(path, 0755) < 0)
		bench_die("%s: %s", path, strerror(errno));
	snprintf(path, sizeof path, "%s/%s/.schema", s.daemon.mnt, name);
	file = fopen(path, "w");
	if (!file || fputs(schema, file) < 0 || fclose(file))
		bench_die("%s: %s", path, strerror(errno));
}

/* Copies a file to where no job takes it. Returns the seconds that it took. */
static double copy_in(const char *name)
{
	int64_t begun_ns = clock_monotonic();

	bench_shell("cp '%s/%s' '%s/g/.import/.%s'", s.folder, name, s.daemon.mnt, name);
	return seconds_since(begun_ns);
}

static bool has_ended(const char *name, char *text, size_t size)
{
	char path[2 * BENCH_PATH];
	ssize_t n;
	int fd;

	snprintf(path, sizeof path, "%s/g/.import/.reports/%s.status", s.daemon.mnt, name);
	fd = open(path, O_RDONLY);
	n = fd < 0 ? -1 : read(fd, text, size - 1);
	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	if (strstr(text, "state: failed"))
		bench_die("the import of %s failed: %s", name, text);
	return strstr(text, "state: done");
}

/* From the rename on. `out_changed`: values. */
static double import(const char *name, double *out_changed)
{
	char from[2 * BENCH_PATH], to[2 * BENCH_PATH], text[8192];
	int64_t begun_ns;

	snprintf(from, sizeof from, "%s/g/.import/.%s", s.daemon.mnt, name);
	snprintf(to, sizeof to, "%s/g/.import/%s", s.daemon.mnt, name);
	begun_ns = clock_monotonic();
	if (rename(from, to) < 0)
		bench_die("%s: %s", to, strerror(errno));
	while (!has_ended(name, text, sizeof text))
		usleep(GROUP_WAIT_US);
	*out_changed = strtod(strstr(text, "changed: ") + 9, NULL);
	return seconds_since(begun_ns);
}

static double import_copy(const char *name, double *out_changed)
{
	char path[2 * BENCH_PATH];

	copy_in(name);
	snprintf(path, sizeof path, "%s/g/.import/.reports/%s.status", s.daemon.mnt, name);
	if (access(path, F_OK) == 0)
		bench_die("%s was imported before: its report would be taken for this one's", name);
	return import(name, out_changed);
}

static void start_new(const char *setting)
{
	bench_daemon_start(&s.daemon, true, setting);
	make_group("g", rows_schema);
	bench_shell("sync -f '%s'", s.folder);
}

/* ---- Redis ---- */

static void start_redis(void)
{
	char port[16];

	if (!s.redis_port)
		return;
	snprintf(port, sizeof port, "%ld", s.redis_port);
	s.redis = bench_fork();
	if (s.redis == 0) {
		int null = open("/dev/null", O_WRONLY);

		dup2(null, 1);
		execlp("redis-server", "redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no", "--dir",
		       s.folder, NULL);
		_exit(127);
	}
	bench_shell("for i in $(seq 100); do redis-cli -p %ld ping 2> /dev/null | grep -q PONG && exit 0; sleep 0.1; done; exit 1", s.redis_port);
}

static double load_redis(void)
{
	int64_t begun_ns;

	bench_shell("redis-cli -p %ld flushall > /dev/null", s.redis_port);
	begun_ns = clock_monotonic();
	bench_shell("redis-cli -p %ld --pipe < '%s/rows.resp' > /dev/null", s.redis_port, s.folder);
	return seconds_since(begun_ns);
}

/* ---- the figures ---- */

static void make_files(void)
{
	static const struct { const char *name; struct rows_kind kind; } files[] = {
		{ "rows.csv", { ROWS_CSV, 0, false } }, { "changed.csv", { ROWS_CSV, 2, false } }, { "newer.csv", { ROWS_CSV, 0, true } },
		{ "rows.resp", { ROWS_RESP, 0, false } },
	};
	char command[4 * BENCH_PATH];

	for (size_t i = 0; i < sizeof files / sizeof *files; i++)
		if (files[i].kind.form != ROWS_RESP || s.redis_port)
			rows_write_at(s.dir, files[i].name, (uint32_t)s.rows, &files[i].kind);
	unlinkat(s.dir, "rows.parquet", 0);
	snprintf(command, sizeof command, "'%s/tests/parquet/duckdb_run' '%s' \"COPY (SELECT * FROM read_csv('%s/rows.csv')) TO "
		 "'%s/rows.parquet' (FORMAT parquet, COMPRESSION zstd)\" > /dev/null", s.daemon.programs, s.daemon.programs, s.folder, s.folder);
	s.has_parquet = system(command) == 0;
	if (!s.has_parquet)
		printf("# no libduckdb: Parquet is not measured\n");
	bench_shell("sync -f '%s'", s.folder);
}

static double bare(const char *file, bool merges)
{
	static MDB_env *env;
	static MDB_dbi dbi;
	char path[2 * BENCH_PATH];
	double seconds;

	snprintf(path, sizeof path, "%s/import-lmdb", s.folder);
	if (!merges) {
		bench_shell("rm -f '%s' '%s-lock'", path, path);
		env = bare_open(path, &dbi);
	}
	seconds = bare_load(env, dbi, s.dir, file, (size_t)s.rows, merges);
	if (merges)
		mdb_env_close(env);
	return seconds;
}

static void check(const char *what, double got, double want)
{
	if (got != want)
		bench_die("%s changed %.0f values, not %.0f", what, got, want);
}

static void measure_rounds(void)
{
	struct bench_figure first = { .name = "CSV, dropped to visible and durable", .cores = "unpinned", .unit = "s", .target = 1.5 };
	struct bench_figure redis = { .name = "CSV, rate beside redis-cli --pipe", .cores = "unpinned", .unit = "1000/s", .target = 3, .at_least = true };
	struct bench_figure again = { .name = "re-load, 2 % differ, beside the first load", .cores = "unpinned", .unit = "s", .target = 0.6 };
	struct bench_figure merge = { .name = "re-load, 2 % differ, beside a bare merge", .cores = "unpinned", .unit = "s", .target = 1.5 };
	struct bench_figure bytes = { .name = "its bytes, beside the first load's", .cores = "unpinned", .unit = "MB", .target = 0.1 };
	double copy = 0, kb = 0, changed, all = (double)s.rows * 10;

	for (long round = 0; round < s.rounds; round++) {
		double plain = bare("rows.csv", false), before, ours, written;

		start_new(NULL);
		copy += copy_in("rows.csv");
		before = bench_daemon_written(&s.daemon);
		ours = import("rows.csv", &changed);
		check("the first load", changed, all);
		kb += bench_daemon_proc(&s.daemon, "status", "VmHWM:") - bench_daemon_proc(&s.daemon, "status", "RssFile:");
		bench_daemon_rest(&s.daemon);
		written = bench_daemon_written(&s.daemon) - before;
		bench_round(&first, ours, plain);
		s.first_mean += ours / (double)s.rounds;
		if (s.redis_port)
			bench_round(&redis, (double)s.rows / ours / 1000, (double)s.rows / load_redis() / 1000);

		plain = bare("changed.csv", true);
		copy_in("changed.csv");
		bench_shell("sync -f '%s'", s.folder);
		before = bench_daemon_written(&s.daemon);
		bench_round(&again, import("changed.csv", &changed), ours);
		if (changed < all * 0.005 || changed > all * 0.02)
			bench_die("the re-load changed %.0f values", changed);
		bench_round(&merge, again.ours[again.rounds - 1], plain);
		bench_daemon_rest(&s.daemon);
		bench_round(&bytes, (bench_daemon_written(&s.daemon) - before) / 1e6, written / 1e6);
		bench_daemon_stop(&s.daemon);
	}
	bench_print(&first);
	if (s.redis_port)
		bench_print(&redis);
	bench_print(&again);
	bench_print(&merge);
	bench_print(&bytes);
	printf("# copying the CSV into the mount took %.2f s before that; the daemon held at most %.0f MB of memory that was not mapped files\n",
	       copy / (double)s.rounds, kb / 1e3 / (double)s.rounds);
}

/* First loads of the two formats in turns, nothing between them. */
static void measure_formats(long rounds)
{
	struct bench_figure parquet = { .name = "Parquet beside CSV", .cores = "unpinned", .unit = "ms", .target = 1 };

	if (!s.has_parquet)
		return;
	for (long round = 0; round < rounds; round++) {
		double seconds[2], changed;

		/* Either is first in every other round. */
		for (int k = 0; k < 2; k++) {
			bool is_parquet = (round + k) % 2;

			start_new(NULL);
			seconds[is_parquet] = import_copy(is_parquet ? "rows.parquet" : "rows.csv", &changed);
			check("the first load", changed, (double)s.rows * 10);
			bench_daemon_stop(&s.daemon);
		}
		bench_round(&parquet, seconds[1] * 1000, seconds[0] * 1000);
	}
	bench_print(&parquet);
}

/* Every value newer: skipped, then confirmed. */
static void measure_confirming(void)
{
	char schema[4096];
	double changed, skipped, confirmed;

	for (int skips = 1; skips >= 0; skips--) {
		snprintf(schema, sizeof schema, "%s[batch]\nconfirm = %s\n", rows_schema, skips ? "skip" : "stamp");
		bench_daemon_start(&s.daemon, true, NULL);
		make_group("g", schema);
		import_copy("rows.csv", &changed);
		bench_daemon_rest(&s.daemon);
		*(skips ? &skipped : &confirmed) = import_copy("newer.csv", &changed);
		check("a re-load of equal values", changed, 0);
		bench_daemon_stop(&s.daemon);
	}
	printf("# re-load of equal values that are newer: %.2f s with confirm = skip, %.2f s with their stamps advanced; the first load %.2f s\n",
	       skipped, confirmed, s.first_mean);
}

/* ---- trees ---- */

enum { TREE_ENTITIES = 1000 };

/* FOLDER/tree/ENTITY/FEATURE, as a person or a script would have it. */
static void make_tree(void)
{
	static const char *const names[] = { "f0", "f1", "f2", "f3", "i0", "i1", "i2", "s0", "s1", "b0" };

	bench_shell("rm -rf '%s/tree' && mkdir '%s/tree'", s.folder, s.folder);
	for (uint32_t id = 0; id < TREE_ENTITIES; id++) {
		char path[2 * BENCH_PATH], text[32];
		struct rows_row row;

		rows_make(id, &row);
		snprintf(path, sizeof path, "%s/tree/user_%08u", s.folder, id);
		if (mkdir(path, 0755) < 0)
			bench_die("%s: %s", path, strerror(errno));
		for (unsigned k = 0; k < 10; k++) {
			FILE *file;

			if (k < 4)
				snprintf(text, sizeof text, "%.17g", row.f[k]);
			else if (k < 7)
				snprintf(text, sizeof text, "%lld", (long long)row.i[k - 4]);
			else
				snprintf(text, sizeof text, "%s", k < 9 ? row.s[k - 7] : row.b ? "true" : "false");
			snprintf(path, sizeof path, "%s/tree/user_%08u/%s", s.folder, id, names[k]);
			file = fopen(path, "w");
			if (!file || fprintf(file, "%s\n", text) < 0 || fclose(file))
				bench_die("%s: %s", path, strerror(errno));
		}
	}
}

/* The same values as files, by the tools that copy trees, and as one file of rows. */
static void measure_trees(void)
{
	static const char *const groups[] = { "t1", "t2", "t3" };
	double seconds[3], rows, changed;

	make_tree();
	rows_write_at(s.dir, "few.csv", TREE_ENTITIES, &(struct rows_kind){ .form = ROWS_CSV });
	start_new(NULL);
	for (int k = 0; k < 3; k++) {
		char command[2 * BENCH_PATH];
		int64_t begun_ns;

		make_group(groups[k], rows_schema);
		snprintf(command, sizeof command, k == 0 ? "cp -r '%s/tree/.' '%s/t1/'" : k == 1 ? "rsync -a '%s/tree/' '%s/t2/'" :
			 "tar -C '%s/tree' -cf - . | tar -C '%s/t3' -xf -", s.folder, s.daemon.mnt);
		begun_ns = clock_monotonic();
		bench_shell("%s", command);
		seconds[k] = seconds_since(begun_ns);
	}
	rows = copy_in("few.csv");
	rows += import("few.csv", &changed);
	check("the file of rows", changed, TREE_ENTITIES * 10);
	bench_daemon_stop(&s.daemon);
	bench_shell("rm -rf '%s/tree'", s.folder);
	printf("# %d values as files: cp -r %.2f s, rsync -a %.2f s, tar %.2f s; as one CSV copied in and loaded %.3f s\n", TREE_ENTITIES * 10,
	       seconds[0], seconds[1], seconds[2], rows);
}

/* ---- beside a load ---- */

struct writing {
	_Atomic bool stops;
	double *ms;
	size_t n;
};

static void *write_on(void *arg)
{
	struct writing *writing = arg;
	uint64_t seed = 88172645463325252ull;

	while (!atomic_load(&writing->stops) && writing->n < LATENCIES_MAX) {
		char path[2 * BENCH_PATH], text[32];
		int64_t begun_ns;
		ssize_t len;
		int fd;

		snprintf(path, sizeof path, "%s/g/user_%08u/i0", s.daemon.mnt, (unsigned)(bench_random(&seed) % (uint64_t)s.rows));
		len = snprintf(text, sizeof text, "%u\n", (unsigned)(seed >> 40));
		begun_ns = clock_monotonic();
		fd = open(path, O_WRONLY | O_TRUNC);
		if (fd < 0 || write(fd, text, (size_t)len) != len || close(fd) < 0)
			bench_die("%s: %s", path, strerror(errno));
		writing->ms[writing->n++] = (double)(clock_monotonic() - begun_ns) / 1e6;
	}
	return NULL;
}

/* The slowest write, and a note. With `file`, that is loaded meanwhile, again and again. */
static double measure_writes(const char *file)
{
	struct writing writing = { .ms = bench_alloc(LATENCIES_MAX, sizeof *writing.ms) };
	int64_t begun_ns = clock_monotonic();
	static unsigned loads;		/* of all turns: no name comes twice */
	pthread_t thread;
	double changed, max;

	if (pthread_create(&thread, NULL, write_on, &writing))
		bench_die("no thread");
	while (seconds_since(begun_ns) < (double)s.seconds) {
		char name[64];

		if (!file) {
			usleep(50000);
			continue;
		}
		snprintf(name, sizeof name, "%u%s", loads++, file);
		bench_shell("ln -f '%s/%s' '%s/%s'", s.folder, file, s.folder, name);
		import_copy(name, &changed);
		unlinkat(s.dir, name, 0);
	}
	atomic_store(&writing.stops, true);
	pthread_join(thread, NULL);
	max = bench_quantile(writing.ms, writing.n, 1);
	printf("# direct writes %s %s: %zu, median %.2f ms, p99 %.2f, p99.9 %.2f, max %.2f ms\n", file ? "beside loads of" : "without loads",
	       file ? file : "", writing.n, bench_quantile(writing.ms, writing.n, 0.5), bench_quantile(writing.ms, writing.n, 0.99),
	       bench_quantile(writing.ms, writing.n, 0.999), max);
	free(writing.ms);
	return max;
}

static void measure_latency(void)
{
	struct bench_figure wait = { .name = "slowest direct write beside loads of all", .cores = "unpinned", .unit = "ms", .target = 1 };
	struct bench_figure again = { .name = "slowest direct write beside re-loads", .cores = "unpinned", .unit = "ms", .target = 1 };
	double changed, alone;

	start_new(NULL);
	import_copy("rows.csv", &changed);
	for (int turn = 0; turn < WAIT_TURNS; turn++) {
		bench_daemon_rest(&s.daemon);
		alone = measure_writes(NULL);
		bench_round(&again, measure_writes("changed.csv"), 50 + alone);
		bench_daemon_rest(&s.daemon);
		bench_round(&wait, measure_writes("newer.csv"), 50 + alone);
	}
	bench_daemon_stop(&s.daemon);
	printf("# the bound is 50 ms more than the slowest without loads of the same turn\n");
	bench_print(&wait);
	bench_print(&again);
}

/* ---- ten times as much ---- */

static void measure_large(void)
{
	struct bench_figure large = { .name = "time of ten times the rows", .cores = "unpinned", .unit = "s", .target = 12 };
	double changed, peak[2], seconds[2];

	rows_write_at(s.dir, "large.csv", (uint32_t)s.large, &(struct rows_kind){ .form = ROWS_CSV });
	for (int k = 0; k < 2; k++) {
		start_new(NULL);
		seconds[k] = import_copy(k ? "large.csv" : "rows.csv", &changed);
		check("the load", changed, (double)(k ? s.large : s.rows) * 10);
		peak[k] = bench_daemon_proc(&s.daemon, "status", "VmHWM:") - bench_daemon_proc(&s.daemon, "status", "RssFile:");
		bench_daemon_stop(&s.daemon);
		unlinkat(s.dir, "large.csv", k ? 0 : AT_REMOVEDIR);
	}
	bench_round(&large, seconds[1], seconds[0]);
	printf("# %ld rows: at most %.0f MB of memory that was not mapped files; %ld rows: %.0f MB\n", s.large, peak[1] / 1e3, s.rows,
	       peak[0] / 1e3);
	bench_print(&large);
}

/* ---- Feast ---- */

static void measure_feast(void)
{
	enum { ROWS = 100000 };
	struct bench_figure feast = { .name = "rate of rows beside Feast's materialize", .cores = "unpinned", .unit = "1000/s", .target = 50,
				      .at_least = true };
	char command[4 * BENCH_PATH];
	double seconds = 0;
	FILE *said;

	snprintf(command, sizeof command, "'%s' tests/bench/feast_load.py '%s' '%s/rows.parquet' %d %ld 2> '%s/feast.log' || "
		 "{ cat '%s/feast.log' >&2; exit 1; }", s.feast, s.folder, s.folder, ROWS, s.redis_port, s.folder, s.folder);
	said = popen(command, "r");
	if (!said || fscanf(said, "%lf", &seconds) != 1 || pclose(said))
		bench_die("Feast did not load");
	bench_round(&feast, (double)s.rows / s.first_mean / 1000, ROWS / seconds / 1000);
	bench_print(&feast);
}

/* ---- */

static void parse(int argc, char **argv)
{
	static char folder[BENCH_PATH], programs[BENCH_PATH];

	if (argc < 3 || argc % 2 == 0)
		bench_die("usage: bench_import FOLDER PROGRAMS [--rows N] [--rounds N] [--large N] [--seconds N] [--redis PORT] [--feast PYTHON] "
			  "[--formats N]");
	if (!realpath(argv[1], folder) || !realpath(argv[2], programs))
		bench_die("%s, %s: %s", argv[1], argv[2], strerror(errno));
	s.folder = folder;
	for (int i = 3; i < argc; i += 2) {
		if (!strcmp(argv[i], "--rows"))
			s.rows = bench_number(argv[i], argv[i + 1], 1000);
		else if (!strcmp(argv[i], "--rounds"))
			s.rounds = bench_number(argv[i], argv[i + 1], 0);
		else if (!strcmp(argv[i], "--large"))
			s.large = bench_number(argv[i], argv[i + 1], 0);
		else if (!strcmp(argv[i], "--seconds"))
			s.seconds = bench_number(argv[i], argv[i + 1], 0);
		else if (!strcmp(argv[i], "--redis"))
			s.redis_port = bench_number(argv[i], argv[i + 1], 1024);
		else if (!strcmp(argv[i], "--formats"))
			s.formats = bench_number(argv[i], argv[i + 1], 1);
		else if (!strcmp(argv[i], "--feast"))
			s.feast = argv[i + 1];
		else
			bench_die("unknown option %s", argv[i]);
	}
	s.dir = open(folder, O_RDONLY | O_DIRECTORY);
	if (s.dir < 0)
		bench_die("%s: %s", folder, strerror(errno));
	bench_daemon_init(&s.daemon, programs, folder);
}

int main(int argc, char **argv)
{
	parse(argc, argv);
	atexit(clean_up);
	start_redis();
	make_files();
	if (s.formats) {
		measure_formats(s.formats);
		return 0;
	}
	if (s.rounds) {
		measure_rounds();
		measure_formats(s.rounds);
		measure_confirming();
		measure_trees();
	}
	if (s.rounds && s.feast && s.has_parquet && s.redis_port)
		measure_feast();
	if (s.seconds)
		measure_latency();
	if (s.large)
		measure_large();
	return 0;
}
