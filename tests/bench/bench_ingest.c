/* SPDX-License-Identifier: MIT */
/*
 * Random durable updates through ingest, in process, against plain LMDB with its own sync. Both sides hold the same
 * number of rows of the same size under the same names; an update gives one feature of one entity a new value, and a
 * commit carries --rows of them. On the other side an update is get, change in a copy, put. No other store knows event
 * times, stamps and rules, so the comparison is with less work than ours.
 *
 * After that, what a checkpoint costs those who commit meanwhile: the slowest commits of a store that checkpoints
 * often against those of one that never does.
 */
#include <lmdb.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include "fill.h"

enum { STAMP_BYTES = 32, PATH_BYTES = 512, WARM_COMMITS = 20, ROW_BYTES_MAX = 4096, SAMPLE = 1000 };

struct setup {
	const char *dir;
	char ours_path[PATH_BYTES], lmdb_path[PATH_BYTES], cores[64];
	cpu_set_t free_cores;
	int core;
	long rounds, entities, updates, free_updates, seconds, stall_rounds, stall_commits;
	size_t row_bytes;	/* of a row after an update */
	MDB_env *env;
	MDB_dbi dbi;
	uint64_t seed;
};

static void check_lmdb(int rc, const char *what)
{
	if (rc)
		bench_die("LMDB: %s: %s", what, mdb_strerror(rc));
}

/* ---- the two sides of an update ---- */

static void commit_ours(struct setup *s, struct bench_store *bs, long rows)
{
	struct ingest_request *req;
	char name[BENCH_NAME_MAX], value[16];

	bench_request(bs, &req);
	for (long i = 0; i < rows; i++) {
		uint64_t r = bench_random(&s->seed);
		unsigned k = (unsigned)(r >> 40) % BENCH_FEATURES;

		bench_entity_name(r % (uint64_t)s->entities, name);
		if (ingest_request_row(req, bs->group_id, slice_str(name), INGEST_NOW, 0, 0) < 0 ||
		    ingest_request_value(req, bs->slot[k], bs->code[k], bench_value(k, r >> 8, value)) < 0)
			bench_die("cannot add a change");
	}
	bench_commit(bs, req);
}

static void update_lmdb(struct setup *s, MDB_txn *txn)
{
	uint64_t r = bench_random(&s->seed);
	unsigned k = (unsigned)(r >> 40) % BENCH_FEATURES;
	char name[BENCH_NAME_MAX], row[ROW_BYTES_MAX], value[16];
	struct slice bytes = bench_value(k, r >> 8, value);
	MDB_val key, data;

	bench_entity_name(r % (uint64_t)s->entities, name);
	key = (MDB_val){ strlen(name), name };
	check_lmdb(mdb_get(txn, s->dbi, &key, &data), "get");
	memcpy(row, data.mv_data, data.mv_size);
	memcpy(row + k * BENCH_STRING, bytes.data, bytes.len);
	data.mv_data = row;
	check_lmdb(mdb_put(txn, s->dbi, &key, &data, 0), "put");
}

static void commit_lmdb(struct setup *s, long rows)
{
	MDB_txn *txn;

	check_lmdb(mdb_txn_begin(s->env, NULL, 0, &txn), "begin");
	for (long i = 0; i < rows; i++)
		update_lmdb(s, txn);
	check_lmdb(mdb_txn_commit(txn), "commit");
}

/* ---- filling ---- */

static void open_lmdb(struct setup *s, unsigned flags)
{
	MDB_txn *txn;

	check_lmdb(mdb_env_create(&s->env), "create");
	check_lmdb(mdb_env_set_mapsize(s->env, (size_t)64 << 30), "map size");
	check_lmdb(mdb_env_open(s->env, s->lmdb_path, flags, 0600), "open");
	check_lmdb(mdb_txn_begin(s->env, NULL, 0, &txn), "begin");
	check_lmdb(mdb_dbi_open(txn, NULL, 0, &s->dbi), "table");
	check_lmdb(mdb_txn_commit(txn), "commit");
}

static void fill_lmdb(struct setup *s)
{
	char name[BENCH_NAME_MAX], row[ROW_BYTES_MAX] = { 0 };
	MDB_txn *txn;

	if (mkdir(s->lmdb_path, 0700) < 0)
		bench_die("%s: %s", s->lmdb_path, strerror(errno));
	open_lmdb(s, MDB_NOSYNC);
	check_lmdb(mdb_txn_begin(s->env, NULL, 0, &txn), "begin");
	for (long i = 0; i < s->entities; i++) {
		MDB_val key = { 0, name }, data = { s->row_bytes, row };

		bench_entity_name((uint64_t)i, name);
		key.mv_size = strlen(name);
		check_lmdb(mdb_put(txn, s->dbi, &key, &data, MDB_APPEND), "put");
	}
	check_lmdb(mdb_txn_commit(txn), "commit");
	check_lmdb(mdb_env_sync(s->env, 1), "sync");
	mdb_env_close(s->env);
	open_lmdb(s, 0);
}

static double mean_row_bytes(struct setup *s, struct bench_store *bs)
{
	struct store_snap *snap;
	struct slice row;
	char name[BENCH_NAME_MAX];
	double sum = 0;

	if (store_snap_begin(bs->store, &snap) < 0)
		bench_die("no snapshot");
	for (int i = 0; i < SAMPLE; i++) {
		bench_entity_name(bench_random(&s->seed) % (uint64_t)s->entities, name);
		if (store_get_row(snap, bs->rows, slice_str(name), &row) < 0)
			bench_die("%s is not there", name);
		sum += (double)row.len;
	}
	store_snap_end(snap);
	return sum / SAMPLE;
}

static void fill(struct setup *s)
{
	struct store_options options = bench_store_options();
	struct bench_store bs;
	int64_t begin = clock_monotonic();

	bench_fill(s->ours_path, (uint64_t)s->entities, BENCH_FEATURES);
	printf("# filled %ld rows of %d features through ingest in %.1f s\n", s->entities, BENCH_FEATURES,
	       (double)(clock_monotonic() - begin) / 1e9);
	bench_store_open(&bs, s->ours_path, &options, false);
	s->row_bytes = (size_t)mean_row_bytes(s, &bs) + STAMP_BYTES;
	bench_store_close(&bs);
	if (s->row_bytes < BENCH_FEATURES * BENCH_STRING || s->row_bytes > ROW_BYTES_MAX)
		bench_die("a row has %zu bytes", s->row_bytes);
	fill_lmdb(s);
	printf("# rows of both sides have %zu bytes after one update\n", s->row_bytes);
}

/* ---- figures ---- */

static void place(struct setup *s, bool is_pinned)
{
	if (is_pinned)
		bench_pin(s->core);
	else if (sched_setaffinity(0, sizeof(s->free_cores), &s->free_cores) < 0)
		bench_die("cannot leave the core: %s", strerror(errno));
	if (is_pinned && s->core >= 0)
		snprintf(s->cores, sizeof(s->cores), "core %d", s->core);
	else
		snprintf(s->cores, sizeof(s->cores), "unpinned");
}

/* What a side took in all. */
struct spent {
	int64_t ns, cpu_ns;		/* all threads, the checkpoint's too */
};

static int64_t cpu_ns(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * CLOCK_SECOND +
	       (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000;
}

/* Thousands of updates a second, `commits` commits of `rows` by one of the sides. */
static double rate_of(struct setup *s, struct bench_store *bs, long rows, long commits, struct spent *spent)
{
	int64_t begin = clock_monotonic(), begin_cpu = cpu_ns();

	for (long i = 0; i < commits; i++) {
		if (bs)
			commit_ours(s, bs, rows);
		else
			commit_lmdb(s, rows);
	}
	begin = clock_monotonic() - begin;
	spent->ns += begin;
	spent->cpu_ns += cpu_ns() - begin_cpu;
	return (double)(commits * rows) / ((double)begin / 1e6);
}

static void compare_updates(struct setup *s, struct bench_store *bs, long rows, long updates)
{
	char name[64];
	struct bench_figure figure = { .name = name, .cores = s->cores, .unit = "k upd/s", .target = 2, .at_least = true };
	long commits = updates / s->rounds / rows > 0 ? updates / s->rounds / rows : 1;
	struct spent spent[2] = { { 0 } }, warm = { 0 };
	int64_t limit_ns = s->seconds * CLOCK_SECOND;
	double updated;

	snprintf(name, sizeof(name), "durable updates, %ld a commit", rows);
	rate_of(s, bs, rows, WARM_COMMITS, &warm);
	rate_of(s, NULL, rows, WARM_COMMITS, &warm);
	for (long r = 0; r < s->rounds && spent[0].ns < limit_ns && spent[1].ns < limit_ns; r++) {
		double rate[2];

		for (int i = 0; i < 2; i++) {
			int side = (int)(i + r) % 2;

			rate[side] = rate_of(s, side ? NULL : bs, rows, commits, &spent[side]);
		}
		bench_round(&figure, rate[0], rate[1]);
	}
	bench_print(&figure);
	updated = (double)figure.rounds * (double)(commits * rows);
	printf("# %s: %.0f updates a side in %zu rounds, %.1f s ours, %.1f s LMDB%s\n", s->cores, updated, figure.rounds,
	       (double)spent[0].ns / 1e9, (double)spent[1].ns / 1e9,
	       (long)figure.rounds < s->rounds ? "; fewer than were asked for: a side went past its time" : "");
	printf("# %s: of that, CPU: %.1f us an update ours, %.1f us LMDB; the rest waits for the disk or for a core\n", s->cores,
	       (double)spent[0].cpu_ns / 1e3 / updated, (double)spent[1].cpu_ns / 1e3 / updated);
}

static void run_updates(struct setup *s, bool is_pinned)
{
	static const long sizes[] = { 128, 2000 };
	struct store_options options = bench_store_options();
	struct bench_store bs;

	place(s, is_pinned);
	bench_store_open(&bs, s->ours_path, &options, false);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		compare_updates(s, &bs, sizes[i], is_pinned ? s->updates : s->free_updates);
	printf("# %s: our rows have %.0f bytes now\n", s->cores, mean_row_bytes(s, &bs));
	bench_store_close(&bs);
}

/* ---- what a checkpoint costs a commit ---- */

struct stall {
	unsigned checkpoint_ms;
	long slice;			/* commits between an opening and a close, or more until a few checkpoints were made */
	bool is_without;		/* a slice in which a checkpoint ran after all doesn't count */
	double *times;			/* us of each commit */
	double worst[BENCH_ROUNDS_MAX];	/* p99.9 of each round */
	size_t n, rounds, dropped;
	uint64_t checkpoints;
};

enum { FEW = 3, LONGER = 10, LOOK_EVERY = 50 };

static void stall_slice(struct setup *s, struct stall *stall)
{
	enum { ROWS = 128 };
	struct store_options options = bench_store_options();
	struct store_figures before, after;
	double *times = stall->times + stall->n;
	struct bench_store bs;
	long n = 0;

	options.checkpoint_ms = stall->checkpoint_ms;
	bench_store_open(&bs, s->ours_path, &options, false);
	for (long i = 0; i < WARM_COMMITS; i++)
		commit_ours(s, &bs, ROWS);
	store_figures(bs.store, &before);
	after = before;
	while (n < stall->slice || (!stall->is_without && after.checkpoints < before.checkpoints + FEW &&
				    n < stall->slice * LONGER)) {
		int64_t begin = clock_monotonic();

		commit_ours(s, &bs, ROWS);
		times[n++] = (double)(clock_monotonic() - begin) / 1e3;
		if (n % LOOK_EVERY == 0)
			store_figures(bs.store, &after);
	}
	store_figures(bs.store, &after);
	bench_store_close(&bs);
	if (stall->is_without && after.checkpoints != before.checkpoints) {
		stall->dropped++;
		return;
	}
	stall->n += (size_t)n;
	stall->checkpoints += after.checkpoints - before.checkpoints;
}

static void stall_round(struct setup *s, struct stall *stall)
{
	size_t before = stall->n;

	for (long i = 0; i < s->stall_commits; i += stall->slice)
		stall_slice(s, stall);
	if (stall->n > before)
		stall->worst[stall->rounds++] = bench_quantile(stall->times + before, stall->n - before, 0.999);
}

static void print_stall(struct setup *s, struct stall *with, struct stall *without)
{
	char name[64];
	struct bench_figure figure = { .name = name, .cores = s->cores, .unit = "us", .target = 5 };
	double with_worst = bench_quantile(with->times, with->n, 0.999), without_worst = bench_quantile(without->times, without->n, 0.999);

	if (!with->checkpoints || !without->n)
		bench_die("checkpoints can't be compared: %llu in %zu commits that should have some, %zu commits that had none",
			  (unsigned long long)with->checkpoints, with->n, without->n);
	snprintf(name, sizeof(name), "commit p99.9, checkpoints each %u ms", with->checkpoint_ms);
	bench_round(&figure, with_worst, without_worst);
	bench_print(&figure);
	printf("# %s: commits of 128: p50 %.0f p99 %.0f p99.9 %.0f max %.0f us with %llu checkpoints in %zu commits;", s->cores,
	       bench_quantile(with->times, with->n, 0.5), bench_quantile(with->times, with->n, 0.99), with_worst, with->times[with->n - 1],
	       (unsigned long long)with->checkpoints, with->n);
	printf(" p50 %.0f p99 %.0f p99.9 %.0f max %.0f us with none in %zu\n", bench_quantile(without->times, without->n, 0.5),
	       bench_quantile(without->times, without->n, 0.99), without_worst, without->times[without->n - 1], without->n);
	printf("# %s: a round's p99.9: median %.0f us with, %.0f without (%zu pieces dropped for a checkpoint in them)\n", s->cores,
	       bench_median(with->worst, with->rounds), bench_median(without->worst, without->rounds), without->dropped);
}

static void run_stalls(struct setup *s)
{
	/* Growth of the map brings a checkpoint too, so the side without any is measured in short pieces. */
	enum { NEVER_MS = 3600000, OFTEN_MS = 100, PIECE = 50 };
	const unsigned usual_ms = bench_store_options().checkpoint_ms;
	struct stall stalls[] = {
		{ .checkpoint_ms = NEVER_MS, .slice = PIECE, .is_without = true }, { .checkpoint_ms = OFTEN_MS, .slice = s->stall_commits },
		{ .checkpoint_ms = usual_ms, .slice = s->stall_commits },
	};
	size_t n = sizeof(stalls) / sizeof(*stalls);

	place(s, true);
	for (size_t i = 0; i < n; i++)
		stalls[i].times = bench_alloc((size_t)(s->stall_rounds * (s->stall_commits + PIECE) * LONGER), sizeof(double));
	for (long r = 0; r < s->stall_rounds; r++)
		for (size_t i = 0; i < n; i++)
			stall_round(s, &stalls[(i + (size_t)r) % n]);
	for (size_t i = 1; i < n; i++)
		print_stall(s, &stalls[i], &stalls[0]);
	for (size_t i = 0; i < n; i++)
		free(stalls[i].times);
}

static void read_options(struct setup *s, int argc, char **argv)
{
	struct { const char *name; long *out; long least; } numbers[] = {
		{ "--rounds", &s->rounds, 1 }, { "--entities", &s->entities, SAMPLE }, { "--updates", &s->updates, 1 },
		{ "--free-updates", &s->free_updates, 0 }, { "--seconds", &s->seconds, 1 },
		{ "--stall-rounds", &s->stall_rounds, 0 }, { "--stall-commits", &s->stall_commits, 1000 },
	};

	for (int i = 2; i < argc; i += 2) {
		size_t k = 0;

		if (strcmp(argv[i], "--core") == 0) {
			s->core = (int)bench_number(argv[i], argv[i + 1], 0);
			continue;
		}
		while (k < sizeof(numbers) / sizeof(*numbers) && strcmp(argv[i], numbers[k].name) != 0)
			k++;
		if (k == sizeof(numbers) / sizeof(*numbers))
			bench_die("unknown option %s", argv[i]);
		*numbers[k].out = bench_number(argv[i], argv[i + 1], numbers[k].least);
	}
	if (s->rounds > BENCH_ROUNDS_MAX || s->stall_rounds > BENCH_ROUNDS_MAX)
		bench_die("at most %d rounds", BENCH_ROUNDS_MAX);
}

int main(int argc, char **argv)
{
	struct setup s = { .core = -1, .rounds = 20, .entities = 1000000, .updates = 1000000, .free_updates = 400000, .seconds = 60,
			   .stall_rounds = 4, .stall_commits = 1000, .seed = UINT64_C(88172645463325252) };

	setlinebuf(stdout);
	if (argc < 2)
		bench_die("usage: bench_ingest FOLDER [--core N] [--rounds N] [--entities N] [--updates N] [--free-updates N] "
			  "[--seconds N] [--stall-rounds N] [--stall-commits N]");
	read_options(&s, argc, argv);
	if (sched_getaffinity(0, sizeof(s.free_cores), &s.free_cores) < 0)
		bench_die("no affinity: %s", strerror(errno));
	snprintf(s.ours_path, sizeof(s.ours_path), "%s/ingest-store", argv[1]);
	snprintf(s.lmdb_path, sizeof(s.lmdb_path), "%s/ingest-lmdb", argv[1]);
	fill(&s);
	run_updates(&s, true);
	if (s.free_updates > 0)
		run_updates(&s, false);
	if (s.stall_rounds > 0)
		run_stalls(&s);
	mdb_env_close(s.env);
	return 0;
}
