/* SPDX-License-Identifier: MIT */
/*
 * What libfeaturefs costs, side by side with a bare loop over the same map (mdb_get and the decoding of the packed row, without a catalog, time
 * to live, statuses or columns) and with Redis over a Unix socket (the same values as hashes). LMDB can't be open twice in one process, so each
 * side is a process of its own that waits for orders; both take turns. They read random entities of the same sequence.
 */
#include <featurefs.h>
#include <lmdb.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef BENCH_HIREDIS
#include <hiredis/hiredis.h>
#endif
#include "fill.h"
#include "ingest/load.h"

enum { PATH_BYTES = 512, BATCH = 1000, WIDE_GROUPS = 25, WIDE_ENTITIES = 100 };

static int core = -1;
static const char *cores = "unpinned";
static long entities = 1000000, wide_rows = 40000, rounds = 15, ops = 20000, many_groups = 1000, large = 10000000;

/* ---- filling, by bulk loads ---- */

static void pack_row(struct record_builder *b, const struct bench_store *bs, uint64_t i, const struct record_stamp *stamp, struct buf *out)
{
	uint64_t seed = (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
	char values[BENCH_FEATURES][16];

	record_builder_reset(b, RECORD_EXISTS);
	for (unsigned k = 0; k < BENCH_FEATURES; k++)
		record_builder_cell(b, bs->slot[k], RECORD_PRESENT, bs->code[k], record_builder_stamp(b, stamp),
				    bench_value(k, seed, values[k]));
	buf_reset(out);
	if (record_builder_finish(b, out) < 0)
		bench_die("cannot pack a row");
}

/* Nobody changes a row beside the load. */
static int find_none(void *arg, struct slice entity, struct buf *out)
{
	(void)arg;
	(void)entity;
	(void)out;
	return -ENOENT;
}

static void load_group(struct bench_store *bs, uint32_t group_id, uint64_t n)
{
	struct ingest_load_options options = { .group_id = group_id, .source = slice_str("bench"), .find = find_none };
	struct record_stamp stamp = { .event_ns = clock_now() - CLOCK_SECOND, .lane = RECORD_LANE_BATCH };
	struct record_builder b = { 0 };
	struct ingest_load *load;
	struct buf row = { 0 };
	struct why why = { "" };
	char name[BENCH_NAME_MAX];

	if (ingest_load_begin(bs->ingest, &options, &load, &why) < 0)
		bench_die("cannot load: %s", why.text);
	for (uint64_t i = 0; i < n; i++) {
		bench_entity_name(i, name);
		pack_row(&b, bs, i, &stamp, &row);
		if (ingest_load_row(load, slice_str(name), buf_slice(&row), &why) < 0)
			bench_die("cannot load a row: %s", why.text);
	}
	if (ingest_load_publish(load, &why) < 0)
		bench_die("cannot publish: %s", why.text);
	ingest_load_abort(load);
	record_builder_release(&b);
	buf_release(&row);
}

static uint32_t make_group(struct bench_store *bs, const char *name)
{
	struct ingest_request *req;
	struct buf text = { 0 };
	uint32_t id;

	bench_request(bs, &req);
	ingest_request_group_make(req, slice_str(name), 0, 0, 0755, "bench");
	id = bench_commit(bs, req).group_id;
	buf_append_str(&text, "[group]\nentity = id\n");
	for (unsigned k = 0; k < BENCH_FEATURES; k++)
		buf_printf(&text, "[feature f%u]\ntype = %s\n", k, bench_feature_type(k));
	bench_request(bs, &req);
	ingest_request_group_define(req, id, buf_slice(&text));
	bench_commit(bs, req);
	buf_release(&text);
	return id;
}

static void fill(const char *path, long n, long more_groups, long rows_of_more)
{
	struct store_options options = bench_store_options();
	struct bench_store bs;
	char name[BENCH_NAME_MAX];

	options.relaxed = true;
	bench_store_open(&bs, path, &options, true);
	load_group(&bs, bs.group_id, (uint64_t)n);
	for (long g = 0; g < more_groups; g++) {
		uint32_t id;

		snprintf(name, sizeof(name), "w%ld", g);
		id = make_group(&bs, name);
		if (rows_of_more)
			load_group(&bs, id, (uint64_t)rows_of_more);
	}
	bench_store_close(&bs);
}

/* In a process of its own: this one opens no LMDB at all. */
static void fill_apart(const char *path, long n, long more_groups, long rows_of_more)
{
	int64_t begin = clock_monotonic();
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		fill(path, n, more_groups, rows_of_more);
		exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		bench_die("filling %s failed", path);
	printf("# loaded %ld entities of %d features, and %ld groups of %ld, in %.1f s\n", n, BENCH_FEATURES, more_groups, rows_of_more,
	       (double)(clock_monotonic() - begin) / 1e9);
}

/* ---- sides ---- */

struct order {
	long n, batch;		/* calls; entities a call */
	uint64_t seed;
	long entities;		/* of which each is one */
	bool wants_p99;
};

struct answer {
	double us;		/* a call */
	double p99_us;
};

struct side {
	pid_t pid;
	int to, from;
};

/* Does one call. */
typedef void (*side_call)(void *state, const char (*names)[BENCH_NAME_MAX], long n);

static void serve_orders(int from, int to, side_call call, void *state)
{
	char (*names)[BENCH_NAME_MAX] = bench_alloc(100000, BENCH_NAME_MAX);
	double *each = bench_alloc(1000000, sizeof(double));
	struct order order;

	while (read(from, &order, sizeof(order)) == sizeof(order)) {
		struct answer answer = { 0 };
		int64_t total = 0;

		/* Names are made outside of what is timed, some thousands at a time. */
		for (long done = 0; done < order.n;) {
			long calls = 100000 / order.batch < order.n - done ? 100000 / order.batch : order.n - done;
			int64_t begin, last, now;

			for (long i = 0; i < calls * order.batch; i++)
				bench_entity_name(bench_random(&order.seed) % (uint64_t)order.entities, names[i]);
			begin = last = clock_monotonic();
			for (long i = 0; i < calls; i++) {
				call(state, names + i * order.batch, order.batch);
				if (order.wants_p99 && done + i < 1000000) {
					now = clock_monotonic();
					each[done + i] = (double)(now - last) / 1e3;
					last = now;
				}
			}
			total += clock_monotonic() - begin;
			done += calls;
		}
		answer.us = (double)total / 1e3 / (double)order.n;
		if (order.wants_p99)
			answer.p99_us = bench_quantile(each, (size_t)order.n, 0.99);
		if (write(to, &answer, sizeof(answer)) != sizeof(answer))
			break;
	}
}

static void side_start(struct side *side, void (*run)(int from, int to, void *arg), void *arg)
{
	int to[2], from[2];

	fflush(stdout);
	if (pipe(to) < 0 || pipe(from) < 0 || (side->pid = fork()) < 0)
		bench_die("no process: %s", strerror(errno));
	if (side->pid == 0) {
		close(to[1]);
		close(from[0]);
		bench_pin(core);
		run(to[0], from[1], arg);
		exit(0);
	}
	close(to[0]);
	close(from[1]);
	side->to = to[1];
	side->from = from[0];
}

static void side_order(struct side *side, const struct order *order)
{
	if (write(side->to, order, sizeof(*order)) != sizeof(*order))
		bench_die("a side has ended");
}

static struct answer side_answer(struct side *side)
{
	struct answer answer;

	if (read(side->from, &answer, sizeof(answer)) != sizeof(answer))
		bench_die("a side has ended");
	return answer;
}

static struct answer side_do(struct side *side, long n, long batch, uint64_t seed, long of)
{
	struct order order = { .n = n, .batch = batch, .seed = seed, .entities = of };

	side_order(side, &order);
	return side_answer(side);
}

static void side_stop(struct side *side)
{
	int status;

	close(side->to);
	close(side->from);
	if (waitpid(side->pid, &status, 0) != side->pid || status)
		bench_die("a side ended with %d", status);
}

/* ---- ours ---- */

struct ours {
	const char *path;
	unsigned groups;		/* 0: the one of a million rows; else w0, w1, ... */
	struct featurefs *fs;
	struct featurefs_view *view;
	struct featurefs_column *columns;
	struct featurefs_bytes *texts;
	size_t n_columns;
};

static void ours_open(struct ours *ours)
{
	unsigned groups = ours->groups ? ours->groups : 1;
	char (*specs)[64] = bench_alloc((size_t)groups * BENCH_FEATURES, 64);
	const char **list = bench_alloc((size_t)groups * BENCH_FEATURES, sizeof(*list));

	for (unsigned g = 0; g < groups; g++)
		for (unsigned k = 0; k < BENCH_FEATURES; k++) {
			char *spec = specs[g * BENCH_FEATURES + k];

			if (ours->groups)
				snprintf(spec, 64, "w%u/f%u", g, k);
			else
				snprintf(spec, 64, BENCH_GROUP "/f%u", k);
			list[g * BENCH_FEATURES + k] = spec;
		}
	if (featurefs_open(ours->path, FEATUREFS_MAP_ONLY, &ours->fs) < 0 ||
	    featurefs_view_new(ours->fs, list, (size_t)groups * BENCH_FEATURES, &ours->view) < 0)
		bench_die("libfeaturefs: %s", featurefs_error());
	ours->n_columns = featurefs_view_columns(ours->view);
	ours->columns = bench_alloc(ours->n_columns, sizeof(*ours->columns));
	ours->texts = bench_alloc(BATCH, sizeof(*ours->texts));
	for (size_t c = 0; c < ours->n_columns; c++) {
		size_t width = featurefs_view_field(ours->view, c)->width;

		ours->columns[c] = (struct featurefs_column){ .values = bench_alloc(BATCH, 16), .values_room = (size_t)BATCH * 16,
							      .validity = bench_alloc(BATCH / 8 + 1, 1),
							      .offsets = width ? NULL : bench_alloc(BATCH + 1, sizeof(int64_t)) };
	}
	free(list);
	free(specs);
}

static void ours_call(void *state, const char (*names)[BENCH_NAME_MAX], long n)
{
	struct ours *ours = state;
	const struct featurefs_keys keys = { .texts = ours->texts };

	for (long i = 0; i < n; i++)
		ours->texts[i] = (struct featurefs_bytes){ names[i], strlen(names[i]) };
	if (featurefs_read(ours->view, &keys, 1, (size_t)n, ours->columns) < 0)
		bench_die("libfeaturefs: %s", featurefs_error());
	if (ours->columns[0].n_present != (size_t)n)
		bench_die("libfeaturefs: %zu of %ld values", ours->columns[0].n_present, n);
}

static void ours_run(int from, int to, void *arg)
{
	struct ours ours = *(struct ours *)arg;

	ours_open(&ours);
	serve_orders(from, to, ours_call, &ours);
	featurefs_view_free(ours.view);
	featurefs_close(ours.fs);
}

/* ---- the bare loop ---- */

struct bare {
	const char *path;
	uint32_t rows;
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;
	struct bare_row {
		double f[4];
		int64_t i[3];
		char s[2][BENCH_STRING];
		char b;
	} *out;
};

static void check_lmdb(int rc, const char *what)
{
	if (rc)
		bench_die("LMDB: %s: %s", what, mdb_strerror(rc));
}

static uint16_t load16(const uint8_t *p)
{
	uint16_t value;

	memcpy(&value, p, sizeof(value));
	return value;
}

static uint32_t load32(const uint8_t *p)
{
	uint32_t value;

	memcpy(&value, p, sizeof(value));
	return value;
}

/* The packed row's cells in order, into a struct: see store/record.c. */
static void bare_decode(const MDB_val *value, struct bare_row *row)
{
	const uint8_t *data = value->mv_data, *cell = data + 8 + 32 * (size_t)load16(data + 4), *heap;
	unsigned cells = load16(data + 2);
	uint32_t begin = 0;

	heap = cell + 8 * (size_t)cells;
	for (unsigned k = 0; k < cells && k < BENCH_FEATURES; k++, cell += 8) {
		uint32_t end = load32(cell + 4) & 0xffffff;
		void *to = k < 4 ? (void *)&row->f[k] : k < 7 ? (void *)&row->i[k - 4] : k < 9 ? (void *)row->s[k - 7] : (void *)&row->b;

		if (load16(cell) == k && (load32(cell + 4) >> 24 & 3) == RECORD_PRESENT)
			memcpy(to, heap + begin, end - begin);
		begin = end;
	}
}

static void bare_call(void *state, const char (*names)[BENCH_NAME_MAX], long n)
{
	struct bare *bare = state;
	char key[4 + BENCH_NAME_MAX];

	check_lmdb(mdb_txn_renew(bare->txn), "renew");
	key[0] = (char)(bare->rows >> 24);
	key[1] = (char)(bare->rows >> 16);
	key[2] = (char)(bare->rows >> 8);
	key[3] = (char)bare->rows;
	for (long i = 0; i < n; i++) {
		size_t len = strlen(names[i]);
		MDB_val k = { 4 + len, key }, v;

		memcpy(key + 4, names[i], len);
		check_lmdb(mdb_get(bare->txn, bare->dbi, &k, &v), "get");
		bare_decode(&v, &bare->out[i]);
	}
	mdb_txn_reset(bare->txn);
}

static void bare_run(int from, int to, void *arg)
{
	struct bare bare = *(struct bare *)arg;

	check_lmdb(mdb_env_create(&bare.env), "create");
	check_lmdb(mdb_env_set_maxdbs(bare.env, 8), "maxdbs");
	check_lmdb(mdb_env_open(bare.env, bare.path, MDB_RDONLY | MDB_NOTLS | MDB_NORDAHEAD, 0600), bare.path);
	check_lmdb(mdb_txn_begin(bare.env, NULL, MDB_RDONLY, &bare.txn), "begin");
	check_lmdb(mdb_dbi_open(bare.txn, "rows", 0, &bare.dbi), "rows");
	check_lmdb(mdb_txn_commit(bare.txn), "commit");
	check_lmdb(mdb_txn_begin(bare.env, NULL, MDB_RDONLY, &bare.txn), "begin");
	mdb_txn_reset(bare.txn);
	bare.out = bench_alloc(BATCH, sizeof(*bare.out));
	serve_orders(from, to, bare_call, &bare);
	mdb_txn_abort(bare.txn);
	mdb_env_close(bare.env);
}

/* The number of the group's table of rows: asked in a process that ends. */
static uint32_t rows_of(const char *path, const char *group)
{
	int result[2];
	uint32_t rows = 0;
	pid_t pid;

	if (pipe(result) < 0 || (pid = fork()) < 0)
		bench_die("no process");
	if (pid == 0) {
		struct store_snap *snap;
		struct catalog *cat;
		struct store *store;
		struct why why = { "" };

		if (store_open_reader(path, &store, &why) < 0 || store_snap_begin(store, &snap) < 0 || catalog_load(snap, &cat, &why) < 0)
			bench_die("%s", why.text);
		rows = catalog_find(cat, slice_str(group))->rows;
		exit(write(result[1], &rows, sizeof(rows)) != sizeof(rows));
	}
	if (read(result[0], &rows, sizeof(rows)) != sizeof(rows) || waitpid(pid, NULL, 0) != pid)
		bench_die("the group's rows are not known");
	close(result[0]);
	close(result[1]);
	return rows;
}

/* ---- Redis ---- */

#ifdef BENCH_HIREDIS

struct redis {
	char socket[PATH_BYTES + 32];
	pid_t server;
	redisContext *c;
};

static void redis_connect(struct redis *redis)
{
	for (int i = 0; i < 200; i++) {
		redis->c = redisConnectUnix(redis->socket);
		if (redis->c && !redis->c->err)
			return;
		if (redis->c)
			redisFree(redis->c);
		usleep(50000);
	}
	bench_die("Redis does not answer at %s", redis->socket);
}

static void redis_fill(struct redis *redis)
{
	char name[BENCH_NAME_MAX], values[BENCH_FEATURES][16];
	int64_t begin = clock_monotonic();
	redisReply *reply;
	long waiting = 0;

	redis_connect(redis);
	for (long i = 0; i < entities; i++) {
		uint64_t seed = ((uint64_t)i + 1) * UINT64_C(0x9e3779b97f4a7c15);
		const char *argv[2 + 2 * BENCH_FEATURES] = { "HSET", name };
		size_t lens[2 + 2 * BENCH_FEATURES] = { 4 };
		static const char *const fields[] = { "f0", "f1", "f2", "f3", "f4", "f5", "f6", "f7", "f8", "f9" };

		bench_entity_name((uint64_t)i, name);
		lens[1] = strlen(name);
		for (unsigned k = 0; k < BENCH_FEATURES; k++) {
			argv[2 + 2 * k] = fields[k];
			lens[2 + 2 * k] = 2;
			argv[3 + 2 * k] = values[k];
			lens[3 + 2 * k] = bench_value(k, seed, values[k]).len;
		}
		redisAppendCommandArgv(redis->c, 2 + 2 * BENCH_FEATURES, argv, lens);
		waiting++;
		for (; waiting == 1000 || (i == entities - 1 && waiting); waiting--) {
			if (redisGetReply(redis->c, (void **)&reply) != REDIS_OK)
				bench_die("Redis: %s", redis->c->errstr);
			freeReplyObject(reply);
			if (waiting == 1000 && i != entities - 1) {
				for (waiting--; waiting; waiting--) {
					if (redisGetReply(redis->c, (void **)&reply) != REDIS_OK)
						bench_die("Redis: %s", redis->c->errstr);
					freeReplyObject(reply);
				}
				break;
			}
		}
	}
	redisFree(redis->c);
	printf("# Redis loaded %ld hashes in %.1f s\n", entities, (double)(clock_monotonic() - begin) / 1e9);
}

static void redis_call(void *state, const char (*names)[BENCH_NAME_MAX], long n)
{
	struct redis *redis = state;
	redisReply *reply;

	for (long i = 0; i < n; i++)
		redisAppendCommand(redis->c, "HMGET %s f0 f1 f2 f3 f4 f5 f6 f7 f8 f9", names[i]);
	for (long i = 0; i < n; i++) {
		if (redisGetReply(redis->c, (void **)&reply) != REDIS_OK || reply->type != REDIS_REPLY_ARRAY ||
		    reply->elements != BENCH_FEATURES || reply->element[0]->type != REDIS_REPLY_STRING)
			bench_die("Redis: not ten values");
		freeReplyObject(reply);
	}
}

static void redis_run(int from, int to, void *arg)
{
	struct redis redis = *(struct redis *)arg;

	redis_connect(&redis);
	serve_orders(from, to, redis_call, &redis);
	redisFree(redis.c);
}

static void redis_start(struct redis *redis, const char *dir)
{
	snprintf(redis->socket, sizeof(redis->socket), "%s/redis.sock", dir);
	fflush(stdout);
	redis->server = fork();
	if (redis->server == 0) {
		bench_pin(core);
		execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", redis->socket, "--save", "", "--appendonly", "no",
		       "--dir", dir, "--loglevel", "warning", NULL);
		_exit(127);
	}
	redis_fill(redis);
}

static void redis_stop(struct redis *redis)
{
	kill(redis->server, SIGTERM);
	waitpid(redis->server, NULL, 0);
}

#endif

/* ---- figures ---- */

static struct bench_figure figure_of(const char *name, double target, bool at_least)
{
	return (struct bench_figure){ .name = name, .cores = cores, .unit = "us", .target = target, .at_least = at_least };
}

/* Rounds in which both sides take turns. `is_inverse`: the ratio says how many times as fast ours is. */
static void compare(const char *name, struct side *ours, struct side *other, long n, long batch, long of, double target, bool is_inverse)
{
	struct bench_figure figure = figure_of(name, target, is_inverse);

	for (long r = -1; r < rounds; r++) {
		uint64_t seed = UINT64_C(88172645463325252) + (uint64_t)(r + 1) * 7919;
		double us[2];

		for (int i = 0; i < 2; i++) {
			int which = (int)((i + r + 2) % 2);

			us[which] = side_do(which ? other : ours, n, batch, seed, of).us;
		}
		if (r >= 0 && is_inverse)
			bench_round(&figure, us[1], us[0]);	/* "ours" is the other's time: a ratio of at least the target */
		else if (r >= 0)
			bench_round(&figure, us[0], us[1]);
	}
	bench_print(&figure);
}

static void bench_plain(const char *store)
{
	struct ours ours = { .path = store };
	struct bare bare = { .path = store, .rows = rows_of(store, BENCH_GROUP) };
	struct side one, two;

	side_start(&one, ours_run, &ours);
	side_start(&two, bare_run, &bare);
	compare("sdk: one entity x 10, to a bare mdb_get", &one, &two, ops, 1, entities, 1.3, false);
	compare("sdk: 1000 random x 10, to the bare loop", &one, &two, ops / BATCH + 10, BATCH, entities, 1.3, false);
	side_stop(&two);
#ifdef BENCH_HIREDIS
	struct redis redis;
	char dir[PATH_BYTES + 16];

	snprintf(dir, sizeof(dir), "%s.redis", store);
	mkdir(dir, 0700);
	redis_start(&redis, dir);
	side_start(&two, redis_run, &redis);
	compare("sdk: Redis HMGET of one, times slower", &two, &one, ops / 4, 1, entities, 10, true);
	compare("sdk: Redis pipelined, 1000, times slower", &two, &one, 10, BATCH, entities, 5, true);
	side_stop(&two);
	redis_stop(&redis);
	rmdir(dir);
#else
	printf("# built without hiredis: nothing is compared with Redis (tools/setup bench)\n");
#endif
	side_stop(&one);
}

/* The shape of a large model: many groups of the same entities. */
static void bench_wide(const char *store)
{
	struct ours ours = { .path = store, .groups = WIDE_GROUPS };
	struct ours narrow = { .path = store };
	struct side side, base;
	struct bench_figure figure = figure_of("sdk: 100 entities x 25 groups, to 2500 rows of one", 1.3, false);

	side_start(&side, ours_run, &ours);
	side_start(&base, ours_run, &narrow);
	for (long r = -1; r < rounds; r++) {
		uint64_t seed = UINT64_C(88172645463325252) + (uint64_t)(r + 1) * 7919;
		double wide = side_do(&side, 40, WIDE_ENTITIES, seed, wide_rows).us, rows = side_do(&base, 40, 500, seed, entities).us * 5;

		if (r >= 0)
			bench_round(&figure, wide, rows);
	}
	bench_print(&figure);
	side_stop(&base);
	side_stop(&side);
}

/* The same call in stores of other sizes, and with many groups defined. */
static void bench_flat(const char *dir, const char *store)
{
	const struct {
		const char *name;
		long entities, groups;
	} sizes[] = { { "10 thousand entities", 10000, 0 }, { "1000 groups defined", entities, many_groups }, { "10 million entities", large, 0 } };
	char path[PATH_BYTES], command[PATH_BYTES + 16], name[80];

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct ours mine = { .path = path };
		struct bare bare = { .path = path };
		struct side one, two;

		snprintf(path, sizeof(path), "%s/flat-store", dir);
		fill_apart(path, sizes[i].entities, sizes[i].groups, 0);
		bare.rows = rows_of(path, BENCH_GROUP);
		side_start(&one, ours_run, &mine);
		side_start(&two, bare_run, &bare);
		snprintf(name, sizeof(name), "sdk: one of %s, to a bare mdb_get", sizes[i].name);
		compare(name, &one, &two, ops, 1, sizes[i].entities, 1.3, false);
		side_stop(&two);
		side_stop(&one);
		snprintf(command, sizeof(command), "rm -rf '%s'", path);
		if (system(command) != 0)
			bench_die("cannot remove %s", path);
	}
	(void)store;
}

/* ---- readers while somebody writes ---- */

static volatile sig_atomic_t is_over;

static void end_it(int signal_number)
{
	(void)signal_number;
	is_over = 1;
}

/* Writes as fast as it can, or (without a path) takes as much of a processor for nothing. */
static pid_t start_load(const char *path)
{
	struct sigaction action = { .sa_handler = end_it };
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		bench_die("no process");
	if (pid)
		return pid;
	sigaction(SIGTERM, &action, NULL);
	if (!path) {
		volatile uint64_t x = 1;

		while (!is_over)
			x = x * 3 + 1;
		_exit(0);
	} else {
		struct store_options options = bench_store_options();
		struct bench_store bs;
		uint64_t seed = 7;

		options.relaxed = true;
		bench_store_open(&bs, path, &options, false);
		while (!is_over) {
			struct ingest_request *req;
			char name[BENCH_NAME_MAX], value[16];

			bench_request(&bs, &req);
			for (int i = 0; i < 500; i++) {
				uint64_t r = bench_random(&seed);
				unsigned k = (unsigned)(r >> 40) % BENCH_FEATURES;

				bench_entity_name(r % (uint64_t)entities, name);
				ingest_request_row(req, bs.group_id, slice_str(name), INGEST_NOW, 0, 0);
				ingest_request_value(req, bs.slot[k], bs.code[k], bench_value(k, r >> 8, value));
			}
			bench_commit(&bs, req);
		}
		bench_store_close(&bs);
		_exit(0);
	}
}

static double p99_of_two(struct side *a, struct side *b, uint64_t seed)
{
	struct order order = { .n = ops, .batch = 1, .seed = seed, .entities = entities, .wants_p99 = true };
	double first, second;

	side_order(a, &order);
	order.seed += 13;
	side_order(b, &order);
	first = side_answer(a).p99_us;
	second = side_answer(b).p99_us;
	return first > second ? first : second;
}

static void bench_writing(const char *store)
{
	struct bench_figure figure = figure_of("sdk: p99 of two readers, writer to idle load", 2, false);
	struct ours ours = { .path = store };
	struct side a, b;
	int kept = core;

	/* Readers and writer where the kernel puts them. */
	core = -1;
	figure.cores = "unpinned";
	side_start(&a, ours_run, &ours);
	side_start(&b, ours_run, &ours);
	for (long r = 0; r < rounds; r++) {
		double p99[2];

		for (int i = 0; i < 2; i++) {
			pid_t load = start_load((i + r) % 2 ? NULL : store);

			usleep(400000);
			p99[(i + r) % 2] = p99_of_two(&a, &b, UINT64_C(88172645463325252) + (uint64_t)r * 17);
			kill(load, SIGTERM);
			if (waitpid(load, NULL, 0) != load)
				bench_die("the load did not end");
		}
		bench_round(&figure, p99[0], p99[1]);
	}
	bench_print(&figure);
	side_stop(&b);
	side_stop(&a);
	core = kept;
}

int main(int argc, char **argv)
{
	char store[PATH_BYTES];

	setlinebuf(stdout);
	if (argc < 2)
		bench_die("usage: bench_sdk FOLDER [--core N] [--cores WORDS] [--rounds N] [--ops N] [--entities N] [--large N] [--groups N] "
			  "[--wide N]");
	for (int i = 2; i < argc; i += 2) {
		if (strcmp(argv[i], "--core") == 0)
			core = (int)bench_number(argv[i], argv[i + 1], 0);
		else if (strcmp(argv[i], "--cores") == 0 && argv[i + 1])
			cores = argv[i + 1];
		else if (strcmp(argv[i], "--rounds") == 0)
			rounds = bench_number(argv[i], argv[i + 1], 1);
		else if (strcmp(argv[i], "--ops") == 0)
			ops = bench_number(argv[i], argv[i + 1], 100);
		else if (strcmp(argv[i], "--entities") == 0)
			entities = bench_number(argv[i], argv[i + 1], 1000);
		else if (strcmp(argv[i], "--large") == 0)
			large = bench_number(argv[i], argv[i + 1], 1000);
		else if (strcmp(argv[i], "--groups") == 0)
			many_groups = bench_number(argv[i], argv[i + 1], 1);
		else if (strcmp(argv[i], "--wide") == 0)
			wide_rows = bench_number(argv[i], argv[i + 1], 100);
		else
			bench_die("unknown option %s", argv[i]);
	}
	snprintf(store, sizeof(store), "%s/sdk-store", argv[1]);
	fill_apart(store, entities, WIDE_GROUPS, wide_rows);
	bench_plain(store);
	bench_wide(store);
	bench_writing(store);
	bench_flat(argv[1], store);
	return 0;
}
