/* SPDX-License-Identifier: MIT */
/*
 * How many rows a second come out of each kind of file, typed and packed, and what sorting them costs. The yardstick is a bare program: it
 * knows this one shape, reads the whole file, takes no quotes, checks nothing, and leaves its values in a struct.
 *
 *	bench_parse FOLDER [--rows N] [--rounds N]
 *
 * FOLDER is for files of some hundred megabytes. Without libduckdb Parquet is left out.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "batch/sort.h"
#include "batch/source.h"
#include "bare.h"
#include "rows.h"

static long n_rows = 1000000, n_rounds = 5;
static char programs[4096];	/* where they were built */

/* ---- the bare program ---- */

static double run_bare(int dir)
{
	int64_t start = clock_monotonic(), sum = 0;
	const char *p, *end;
	char *data;
	double reals = 0;
	long rows = 0;
	size_t len;

	data = bare_read(dir, "rows.csv", &len);
	end = data + len;
	for (p = bare_first(data); p < end; rows++) {
		struct bare row;

		bare_row(&p, &row);
		sum += row.event_ns + row.i[0] + row.i[1] + row.i[2] + (int64_t)row.s[0].len + row.b;
		reals += row.f[0] + row.f[1] + row.f[2] + row.f[3];
	}
	if (rows != n_rows || sum == 0 || reals == 0)
		bench_die("the bare program read %ld rows", rows);
	free(data);
	return (double)rows / (double)(clock_monotonic() - start) * 1e9;
}

/* ---- ours ---- */

static int refuse(void *arg, uint64_t line, struct slice entity, int rc, const struct why *why)
{
	(void)arg;
	(void)entity;
	(void)rc;
	bench_die("line %llu: %s", (unsigned long long)line, why->text);
}

static double run_source(int dir, const char *name, const struct batch_mapping *mapping, struct batch_sort *sort)
{
	struct batch_source_options options = { .mapping = mapping, .reject = refuse, .parquet_folder = programs };
	int64_t start = clock_monotonic();
	struct batch_source *source;
	struct slice entity, record;
	struct why why;
	uint64_t line;
	long rows = 0;
	int rc = batch_source_open(dir, name, &options, &source, &why);

	if (rc < 0)
		bench_die("%s: %s", name, why.text);
	while ((rc = batch_source_next(source, &entity, &record, &line, &why)) == 0) {
		rows++;
		if (sort && batch_sort_add(sort, entity, record) < 0)
			bench_die("%s: can't be sorted", name);
	}
	if (rc != -ENOENT || rows != n_rows)
		bench_die("%s: %ld rows: %s", name, rows, rc == -ENOENT ? "too few" : why.text);
	batch_source_close(source);
	return (double)rows / (double)(clock_monotonic() - start) * 1e9;
}

/* The rows sorted, from the first that is added to the last that is given out. Returns the seconds from the last that is added. */
static double run_sort(int dir, const char *name, const struct batch_mapping *mapping, size_t memory, double *out_all)
{
	int64_t start = clock_monotonic(), parsed;
	struct slice entity, record;
	struct batch_sort *sort;
	long rows = 0;
	int rc;

	if (batch_sort_new(dir, memory, &sort) < 0)
		bench_die("out of memory");
	run_source(dir, name, mapping, sort);
	parsed = clock_monotonic();
	rc = batch_sort_finish(sort);
	while (rc == 0 && (rc = batch_sort_next(sort, &entity, &record)) == 0)
		rows += ((const char *)record.data)[0] == 1;
	if (rc != -ENOENT || rows != n_rows)
		bench_die("%ld rows were sorted: %s", rows, strerror(-rc));
	batch_sort_free(sort);
	*out_all = (double)(clock_monotonic() - start) / 1e9;
	return (double)(clock_monotonic() - parsed) / 1e9;
}

/* ---- */

static void make_files(const char *folder, int dir)
{
	static const char *const names[] = { "rows.csv", "rows.jsonl" };
	char command[16384];

	unlinkat(dir, "rows.parquet", 0);
	for (int k = 0; k < 2; k++)
		rows_write_at(dir, names[k], (uint32_t)n_rows, &(struct rows_kind){ .form = k ? ROWS_JSON : ROWS_CSV });
	snprintf(command, sizeof command, "cd '%s' && (head -n 1 rows.csv; tail -n +2 rows.csv | sort) > sorted.csv && "
		 "gzip -1 -k -f rows.csv", folder);
	if (system(command))
		bench_die("sort or gzip failed");
	snprintf(command, sizeof command, "'%s/tests/parquet/duckdb_run' '%s' \"COPY (SELECT * FROM read_csv('%s/rows.csv')) TO "
		 "'%s/rows.parquet' (FORMAT parquet, COMPRESSION zstd)\"", programs, programs, folder, folder);
	if (system(command))
		printf("# no libduckdb: Parquet is not measured\n");
}

/* The folder of tests/bench/bench_parse. */
static void find_programs(void)
{
	ssize_t n = readlink("/proc/self/exe", programs, sizeof programs - 1);

	programs[n > 0 ? n : 0] = '\0';
	for (int k = 0; k < 3; k++) {
		char *slash = strrchr(programs, '/');

		if (!slash)
			bench_die("where is this program?");
		*slash = '\0';
	}
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name, *file;
		double target;
	} sources[] = {
		{ "CSV, rows a second", "rows.csv", 0.5 }, { "CSV in gzip, rows a second", "rows.csv.gz", 0.2 },
		{ "JSON Lines, rows a second", "rows.jsonl", 0.2 }, { "Parquet, rows a second", "rows.parquet", 0.5 },
	};
	static struct bench_figure figures[5];
	struct batch_mapping *mapping;
	struct catalog_group *grp;
	struct why why;
	int dir;

	if (argc < 2)
		bench_die("usage: bench_parse FOLDER [--rows N] [--rounds N]");
	for (int i = 2; i < argc; i += 2) {
		if (!strcmp(argv[i], "--rows"))
			n_rows = bench_number(argv[i], argv[i + 1], 1000);
		else if (!strcmp(argv[i], "--rounds"))
			n_rounds = bench_number(argv[i], argv[i + 1], 1);
		else
			bench_die("no such option: %s", argv[i]);
	}
	dir = open(argv[1], O_RDONLY | O_DIRECTORY);
	if (dir < 0)
		bench_die("%s: %s", argv[1], strerror(errno));
	if (catalog_group_parse("rows", slice_str(rows_schema), &grp, &why) < 0 ||
	    batch_mapping_new(grp, NULL, &mapping, &why) < 0)
		bench_die("%s", why.text);
	find_programs();
	make_files(argv[1], dir);
	for (long round = 0; round < n_rounds; round++) {
		double bare = run_bare(dir);

		for (unsigned k = 0; k < sizeof sources / sizeof *sources; k++) {
			if (faccessat(dir, sources[k].file, R_OK, 0) < 0)
				continue;
			figures[k].name = sources[k].name;
			figures[k].target = sources[k].target;
			figures[k].at_least = true;
			figures[k].cores = "unpinned";
			figures[k].unit = "1000/s";
			bench_round(&figures[k], run_source(dir, sources[k].file, mapping, NULL) / 1000, bare / 1000);
		}
	}
	for (unsigned k = 0; k < sizeof sources / sizeof *sources; k++)
		if (figures[k].rounds)
			bench_print(&figures[k]);
	for (long round = 0; round < n_rounds; round++) {
		double all, sorted_all, spilled_all;
		double random = run_sort(dir, "rows.csv", mapping, 512 << 20, &all);
		double sorted = run_sort(dir, "sorted.csv", mapping, 512 << 20, &sorted_all);
		double spilled = run_sort(dir, "rows.csv", mapping, 64 << 20, &spilled_all);

		printf("# behind the last row: %.3f s to sort %ld rows and give them out, in %.3f s with parsing; sorted already %.3f in %.3f; "
		       "in 64 MiB %.3f in %.3f\n", random, n_rows, all, sorted, sorted_all, spilled, spilled_all);
	}
	batch_mapping_free(mapping);
	catalog_group_unref(grp);
	close(dir);
	return 0;
}
