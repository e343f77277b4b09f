/* SPDX-License-Identifier: MIT */
/*
 * Bulk loads at the choke point, in process: records that are parsed, packed and sorted already go through a load until they are visible and
 * durable, against the same bytes in plain LMDB with one sync at the end. A first load is appended there; a re-load in which --changed per
 * cent of the rows differ is a merge there, which walks what stands and puts what differs. LMDB's side has no rules, event times, change log or
 * readers in between.
 *
 * After that, what a load costs a lane beside it: single durable writes to the same group, one after another, while loads go on without a pause,
 * and the same writes without them. The bytes are those that the kernel counts for the process (/proc/self/io), the map's checkpoint included.
 */
#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include "fill.h"

enum { PATH_BYTES = 512, LATENCIES_MAX = 1 << 20 };

#define LINE_NS INT64_C(1700000000000000000)	/* event time of the first load */

/* A load's rows, in order: where each record begins in `bytes`. */
struct rows {
	struct buf bytes;
	size_t *at;
	long n;
};

struct setup {
	const char *dir;
	char ours_path[PATH_BYTES], lmdb_path[PATH_BYTES];
	long entities, rounds, changed, seconds;
	struct bench_store bs;
	struct rows first, again, newer;
	MDB_env *env;
	MDB_dbi dbi;
};

static void check_lmdb(int rc, const char *what)
{
	if (rc)
		bench_die("LMDB: %s: %s", what, mdb_strerror(rc));
}

static double seconds_since(int64_t begun_ns)
{
	return (double)(clock_monotonic() - begun_ns) / 1e9;
}

static double processor_seconds(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* As bench_daemon_written (daemon.h). */
static double written_bytes(void)
{
	FILE *io = fopen("/proc/self/io", "r");
	char line[128];
	double bytes = 0;

	while (io && fgets(line, sizeof line, io))
		sscanf(line, "wchar: %lf", &bytes);
	if (io)
		fclose(io);
	return bytes;
}

/* ---- the data ---- */

static bool differs(const struct setup *s, long i)
{
	return (uint64_t)(i * INT64_C(2654435761) % 1000003) < (uint64_t)s->changed * 10000;
}

/* Every row at `event_ns`; with `changes`, rows that differ have other values and are a second newer. */
static void pack_rows(struct setup *s, bool changes, int64_t event_ns, struct rows *out)
{
	struct record_builder b = { 0 };

	out->n = s->entities;
	out->at = bench_alloc((size_t)s->entities + 1, sizeof *out->at);
	for (long i = 0; i < s->entities; i++) {
		bool other = changes && differs(s, i);
		uint64_t seed = ((uint64_t)i + 1 + (other ? 77777 : 0)) * UINT64_C(0x9e3779b97f4a7c15);
		struct record_stamp stamp = { .event_ns = event_ns + (other ? CLOCK_SECOND : 0), .origin = (uint64_t)i + 2,
					      .lane = RECORD_LANE_BATCH };
		char values[BENCH_FEATURES][16];
		uint16_t at;

		record_builder_reset(&b, 0);
		at = record_builder_stamp(&b, &stamp);
		for (unsigned k = 0; k < BENCH_FEATURES; k++)
			record_builder_cell(&b, s->bs.slot[k], RECORD_PRESENT, s->bs.code[k], at, bench_value(k, seed, values[k]));
		out->at[i] = out->bytes.len;
		if (record_builder_finish(&b, &out->bytes) < 0)
			bench_die("cannot pack a row");
	}
	out->at[s->entities] = out->bytes.len;
	record_builder_release(&b);
}

static struct slice row_of(const struct rows *rows, long i)
{
	return slice_of(rows->bytes.data + rows->at[i], rows->at[i + 1] - rows->at[i]);
}

/* Digits alone: names are made while the clock runs, on both sides. */
static struct slice name_of(long i, char out[BENCH_NAME_MAX])
{
	out[0] = 'e';
	for (int k = 7; k > 0; k--, i /= 10)
		out[k] = (char)('0' + i % 10);
	return slice_of(out, 8);
}

/* ---- plain LMDB ---- */

static void remove_lmdb(struct setup *s)
{
	char path[PATH_BYTES + 16];

	snprintf(path, sizeof path, "%s/data.mdb", s->lmdb_path);
	unlink(path);
	snprintf(path, sizeof path, "%s/lock.mdb", s->lmdb_path);
	unlink(path);
}

static void open_lmdb(struct setup *s)
{
	MDB_txn *txn;

	if (mkdir(s->lmdb_path, 0700) < 0 && errno != EEXIST)
		bench_die("%s: %s", s->lmdb_path, strerror(errno));
	check_lmdb(mdb_env_create(&s->env), "create");
	check_lmdb(mdb_env_set_mapsize(s->env, (size_t)64 << 30), "map size");
	check_lmdb(mdb_env_open(s->env, s->lmdb_path, MDB_NOSYNC, 0600), "open");
	check_lmdb(mdb_txn_begin(s->env, NULL, 0, &txn), "begin");
	check_lmdb(mdb_dbi_open(txn, NULL, 0, &s->dbi), "table");
	check_lmdb(mdb_txn_commit(txn), "commit");
}

static double load_lmdb(struct setup *s, const struct rows *rows)
{
	int64_t begun_ns = clock_monotonic();
	char name[BENCH_NAME_MAX];
	MDB_txn *txn;

	check_lmdb(mdb_txn_begin(s->env, NULL, 0, &txn), "begin");
	for (long i = 0; i < rows->n; i++) {
		struct slice entity = name_of(i, name), row = row_of(rows, i);
		MDB_val key = { entity.len, (void *)entity.data }, value = { row.len, (void *)row.data };

		check_lmdb(mdb_put(txn, s->dbi, &key, &value, MDB_APPEND), "put");
	}
	check_lmdb(mdb_txn_commit(txn), "commit");
	check_lmdb(mdb_env_sync(s->env, 1), "sync");
	return seconds_since(begun_ns);
}

/* Both are in order: what stands is walked, what differs is put in its place. */
static double merge_lmdb(struct setup *s, const struct rows *rows)
{
	int64_t begun_ns = clock_monotonic();
	char name[BENCH_NAME_MAX];
	MDB_cursor *cursor;
	MDB_txn *txn;
	MDB_val key, value;

	check_lmdb(mdb_txn_begin(s->env, NULL, 0, &txn), "begin");
	check_lmdb(mdb_cursor_open(txn, s->dbi, &cursor), "cursor");
	for (long i = 0; i < rows->n; i++) {
		struct slice entity = name_of(i, name), row = row_of(rows, i);

		check_lmdb(mdb_cursor_get(cursor, &key, &value, i ? MDB_NEXT : MDB_FIRST), "next");
		if (key.mv_size != entity.len || memcmp(key.mv_data, entity.data, entity.len))
			bench_die("the merge is out of step");
		if (value.mv_size == row.len && !memcmp(value.mv_data, row.data, row.len))
			continue;
		value = (MDB_val){ row.len, (void *)row.data };
		check_lmdb(mdb_cursor_put(cursor, &key, &value, MDB_CURRENT), "put");
	}
	mdb_cursor_close(cursor);
	check_lmdb(mdb_txn_commit(txn), "commit");
	check_lmdb(mdb_env_sync(s->env, 1), "sync");
	return seconds_since(begun_ns);
}

/* ---- ours ---- */

struct finding {
	const struct rows *rows;
};

static int find_row(void *arg, struct slice entity, struct buf *out)
{
	const struct finding *finding = arg;
	long i = 0;

	for (size_t k = 1; k < entity.len; k++)
		i = i * 10 + (((const char *)entity.data)[k] - '0');
	if (i >= finding->rows->n)
		return -ENOENT;
	buf_append_slice(out, row_of(finding->rows, i));
	return 0;
}

static double load_ours(struct setup *s, const struct rows *rows, bool confirm_skip, struct ingest_load_figures *out)
{
	struct finding finding = { rows };
	struct ingest_load_options options = { .group_id = s->bs.group_id, .confirm_skip = confirm_skip, .source = slice_str("1:bench"),
					       .find = find_row, .arg = &finding };
	int64_t begun_ns = clock_monotonic();
	struct ingest_load *load;
	char name[BENCH_NAME_MAX];
	struct why why = { "" };
	double seconds;
	int rc = ingest_load_begin(s->bs.ingest, &options, &load, &why);

	if (rc < 0)
		bench_die("begin: %s", why.text);
	for (long i = 0; rc == 0 && i < rows->n; i++)
		rc = ingest_load_row(load, name_of(i, name), row_of(rows, i), &why);
	if (rc == 0)
		rc = ingest_load_publish(load, &why);
	if (rc < 0)
		bench_die("load: %s", why.text);
	seconds = seconds_since(begun_ns);
	ingest_load_figures(load, out);
	ingest_load_abort(load);
	return seconds;
}

static bool has_overlay(struct setup *s)
{
	uint64_t number;
	struct catalog *cat = catalog_current_get(s->bs.cur, &number);
	bool has = catalog_find_id(cat, s->bs.group_id)->overlay != 0;

	catalog_unref(cat);
	return has;
}

static double wait_for_fold(struct setup *s)
{
	int64_t begun_ns = clock_monotonic();

	while (has_overlay(s))
		usleep(2000);
	return seconds_since(begun_ns);
}

static void open_ours(struct setup *s)
{
	struct store_options options = bench_store_options();
	char command[PATH_BYTES + 16];

	snprintf(command, sizeof command, "rm -rf '%s'", s->ours_path);
	if (system(command) != 0)
		bench_die("cannot remove %s", s->ours_path);
	bench_store_open(&s->bs, s->ours_path, &options, true);
}

/* ---- the figures ---- */

static void measure_loads(struct setup *s)
{
	struct bench_figure first = { .name = "first load, sorted rows to durable", .cores = "unpinned", .unit = "s", .target = 1.5 };
	struct bench_figure again = { .name = "re-load, 2 % of the rows differ", .cores = "unpinned", .unit = "s", .target = 1.5 };
	double loaded = 0, merged = 0, folded = 0, fold_seconds = 0, cpu[4] = { 0 };

	for (long round = 0; round < s->rounds; round++) {
		struct ingest_load_figures figures;
		double before, ours, other;

		remove_lmdb(s);
		open_lmdb(s);
		cpu[0] -= processor_seconds();
		other = load_lmdb(s, &s->first);
		cpu[0] += processor_seconds();
		open_ours(s);
		before = written_bytes();
		cpu[1] -= processor_seconds();
		ours = load_ours(s, &s->first, false, &figures);
		cpu[1] += processor_seconds();
		if (store_make_room(s->bs.store) < 0 || figures.changed != (uint64_t)s->entities * BENCH_FEATURES)
			bench_die("the first load did not write what it should");
		loaded += written_bytes() - before;
		bench_round(&first, ours, other);

		cpu[2] -= processor_seconds();
		other = merge_lmdb(s, &s->again);
		cpu[2] += processor_seconds();
		before = written_bytes();
		cpu[3] -= processor_seconds();
		ours = load_ours(s, &s->again, false, &figures);
		cpu[3] += processor_seconds();
		if (figures.changed == 0 || figures.unchanged == 0 || figures.confirmed || figures.late)
			bench_die("the re-load did not find what differs");
		merged += written_bytes() - before;
		fold_seconds += wait_for_fold(s);
		if (store_make_room(s->bs.store) < 0)
			bench_die("no checkpoint");
		folded += written_bytes() - before;
		bench_round(&again, ours, other);
		mdb_env_close(s->env);
		if (round + 1 < s->rounds)
			bench_store_close(&s->bs);
	}
	bench_print(&first);
	bench_print(&again);
	printf("# processor time of all threads: first load %.2f s, plain %.2f s; re-load %.2f s, plain %.2f s\n", cpu[1] / (double)s->rounds,
	       cpu[0] / (double)s->rounds, cpu[3] / (double)s->rounds, cpu[2] / (double)s->rounds);
	printf("# bytes written: first load %.0f MB with its checkpoint; re-load %.1f MB until published (%.1f %%), %.1f MB with fold and checkpoint"
	       " (%.1f %%); the fold took %.2f s beside it\n",
	       loaded / 1e6 / (double)s->rounds, merged / 1e6 / (double)s->rounds, 100 * merged / loaded, folded / 1e6 / (double)s->rounds,
	       100 * folded / loaded, fold_seconds / (double)s->rounds);
}

/* Every value is equal and newer: skipped, then confirmed. */
static void measure_confirming(struct setup *s)
{
	struct ingest_load_figures figures;
	double skipped = load_ours(s, &s->newer, true, &figures), confirmed, fold;

	if (figures.confirmed + figures.changed != (uint64_t)s->entities * BENCH_FEATURES)
		bench_die("the re-load did not confirm");
	confirmed = load_ours(s, &s->newer, false, &figures);
	fold = wait_for_fold(s);
	printf("# re-load, every value newer: %.3f s with stamps left as they are, %.3f s with stamps advanced (%.2f s of folding after it)\n", skipped,
	       confirmed, fold);
}

/* A second later, so that the load writes every row once more. */
static void advance(struct rows *rows)
{
	enum { EVENT_AT = 8 };		/* of a record's first stamp */

	for (long i = 0; i < rows->n; i++) {
		char *at = rows->bytes.data + rows->at[i] + EVENT_AT;
		int64_t event_ns;

		memcpy(&event_ns, at, sizeof event_ns);
		event_ns += CLOCK_SECOND;
		memcpy(at, &event_ns, sizeof event_ns);
	}
}

struct writing {
	struct setup *s;
	_Atomic bool stops;
	double *ms;
	size_t n;
};

static void *write_on(void *arg)
{
	struct writing *writing = arg;
	struct setup *s = writing->s;
	uint64_t seed = 88172645463325252ull;

	while (!atomic_load(&writing->stops) && writing->n < LATENCIES_MAX) {
		uint64_t r = bench_random(&seed);
		char name[BENCH_NAME_MAX], value[16];
		struct ingest_request *req;
		int64_t begun_ns;

		bench_request(&s->bs, &req);
		if (ingest_request_row(req, s->bs.group_id, name_of((long)(r % (uint64_t)s->entities), name), INGEST_NOW, 0, 0) < 0 ||
		    ingest_request_value(req, s->bs.slot[BENCH_INT], s->bs.code[BENCH_INT], bench_value(BENCH_INT, r, value)) < 0)
			bench_die("cannot add a change");
		begun_ns = clock_monotonic();
		bench_commit(&s->bs, req);
		writing->ms[writing->n++] = (double)(clock_monotonic() - begun_ns) / 1e6;
	}
	return NULL;
}

/* Prints the latencies of single writes, with loads of every row beside them or without. */
static void measure_latency(struct setup *s, bool loads)
{
	struct writing writing = { .s = s, .ms = bench_alloc(LATENCIES_MAX, sizeof *writing.ms) };
	struct ingest_load_figures figures;
	int64_t begun_ns = clock_monotonic();
	pthread_t thread;
	unsigned n = 0;

	if (pthread_create(&thread, NULL, write_on, &writing))
		bench_die("no thread");
	while (seconds_since(begun_ns) < (double)s->seconds) {
		if (loads) {
			advance(&s->newer);
			load_ours(s, &s->newer, false, &figures);
			n++;
		} else {
			usleep(50000);
		}
	}
	atomic_store(&writing.stops, true);
	pthread_join(thread, NULL);
	printf("# single durable writes %s: %zu, median %.2f ms, p99 %.2f, p99.9 %.2f, max %.2f ms", loads ? "beside loads" : "without loads",
	       writing.n, bench_quantile(writing.ms, writing.n, 0.5), bench_quantile(writing.ms, writing.n, 0.99),
	       bench_quantile(writing.ms, writing.n, 0.999), bench_quantile(writing.ms, writing.n, 1));
	if (loads)
		printf(" (%u loads)", n);
	putchar('\n');
	free(writing.ms);
}

static void parse(struct setup *s, int argc, char **argv)
{
	if (argc < 2 || argc % 2)
		bench_die("usage: bench_load FOLDER [--entities N] [--rounds N] [--changed PERCENT] [--seconds N]");
	s->dir = argv[1];
	for (int i = 2; i < argc; i += 2) {
		if (!strcmp(argv[i], "--entities"))
			s->entities = bench_number(argv[i], argv[i + 1], 1000);
		else if (!strcmp(argv[i], "--rounds"))
			s->rounds = bench_number(argv[i], argv[i + 1], 1);
		else if (!strcmp(argv[i], "--changed"))
			s->changed = bench_number(argv[i], argv[i + 1], 1);
		else if (!strcmp(argv[i], "--seconds"))
			s->seconds = bench_number(argv[i], argv[i + 1], 0);
		else
			bench_die("unknown option %s", argv[i]);
	}
	snprintf(s->ours_path, sizeof s->ours_path, "%s/load-store", s->dir);
	snprintf(s->lmdb_path, sizeof s->lmdb_path, "%s/load-lmdb", s->dir);
}

int main(int argc, char **argv)
{
	static struct setup s = { .entities = 1000000, .rounds = 5, .changed = 2, .seconds = 15 };

	parse(&s, argc, argv);
	open_ours(&s);		/* for the group's slots */
	pack_rows(&s, false, LINE_NS, &s.first);
	pack_rows(&s, true, LINE_NS, &s.again);
	pack_rows(&s, false, LINE_NS + 3600 * CLOCK_SECOND, &s.newer);
	bench_store_close(&s.bs);
	measure_loads(&s);
	measure_confirming(&s);
	if (s.seconds) {
		measure_latency(&s, false);
		measure_latency(&s, true);
	}
	bench_store_close(&s.bs);
	remove_lmdb(&s);
	return 0;
}
