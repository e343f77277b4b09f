/* SPDX-License-Identifier: MIT */
/*
 * What libfeaturefs costs, side by side with a bare loop over the same map (mdb_get and the decoding of the packed row, without a catalog, time
 * to live, statuses or columns) and with Redis over a Unix socket (the same values as hashes). LMDB can't be open twice in one process, so each
 * side is a process of its own that waits for orders; both take turns. They read random entities of the same sequence. Python, Go and Feast
 * are such sides too, in programs of their own: sdk_side.py, sdk_side/.
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

enum { PATH_BYTES = 512, BATCH = 1000, WIDE_GROUPS = 25, WIDE_ENTITIES = 100, TALL_GROUPS = 9, TALL_ENTITIES = 500, WORDS_MAX = 300 };

static int core = -1;
static const char *cores = "unpinned";
static long entities = 1000000, wide_rows = 40000, feast_rows = 2000, rounds = 15, ops = 20000, many_groups = 1000, large = 10000000;

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

/* Of each `step` rows one, anywhere among them. */
static void load_group(struct bench_store *bs, uint32_t group_id, uint64_t n, uint64_t step)
{
	struct ingest_load_options options = { .group_id = group_id, .source = slice_str("bench"), .find = find_none };
	struct record_stamp stamp = { .event_ns = clock_now(), .lane = RECORD_LANE_BATCH };
	struct record_builder b = { 0 };
	struct ingest_load *load;
	struct buf row = { 0 };
	struct why why = { "" };
	char name[BENCH_NAME_MAX];

	if (ingest_load_begin(bs->ingest, &options, &load, &why) < 0)
		bench_die("cannot load: %s", why.text);
	for (uint64_t i = 0; i < n; i++) {
		if (((i + 1) * UINT64_C(0x9e3779b97f4a7c15) >> 32) % step)
			continue;
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
	load_group(&bs, bs.group_id, (uint64_t)n, 1);
	for (long g = 0; g < more_groups; g++) {
		uint32_t id;

		snprintf(name, sizeof(name), "w%ld", g);
		id = make_group(&bs, name);
		if (rows_of_more)
			load_group(&bs, id, (uint64_t)rows_of_more, 1);
	}
	bench_store_close(&bs);
}

/* Loads one row in fifty once more: they stay over the others. */
static void cover(const char *path, long n)
{
	struct store_options options = bench_store_options();
	struct bench_store bs;

	options.relaxed = true;
	bench_store_open(&bs, path, &options, false);
	load_group(&bs, bs.group_id, (uint64_t)n, 50);
	bench_store_close(&bs);
}

static void cover_apart(const char *path, long n)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		cover(path, n);
		exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		bench_die("loading some of %s again failed", path);
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

static void print_feature(char spec[64], unsigned groups, unsigned g, unsigned k)
{
	if (groups)
		snprintf(spec, 64, "w%u/f%u", g, k);
	else
		snprintf(spec, 64, BENCH_GROUP "/f%u", k);
}

static void ours_open(struct ours *ours)
{
	unsigned groups = ours->groups ? ours->groups : 1;
	char (*specs)[64] = bench_alloc((size_t)groups * BENCH_FEATURES, 64);
	const char **list = bench_alloc((size_t)groups * BENCH_FEATURES, sizeof(*list));

	for (unsigned g = 0; g < groups; g++)
		for (unsigned k = 0; k < BENCH_FEATURES; k++) {
			char *spec = specs[g * BENCH_FEATURES + k];

			print_feature(spec, ours->groups, g, k);
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
		       "--dir", dir, "--logfile", "log", NULL);
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

/* Rounds in which both sides take turns. */
static void compare(const char *name, struct side *ours, struct side *other, long n, long batch, long of, double target)
{
	struct bench_figure figure = figure_of(name, target, false);

	for (long r = -1; r < rounds; r++) {
		uint64_t seed = UINT64_C(88172645463325252) + (uint64_t)(r + 1) * 7919;
		double us[2];

		for (int i = 0; i < 2; i++) {
			int which = (int)((i + r + 2) % 2);

			us[which] = side_do(which ? other : ours, n, batch, seed, of).us;
		}
		if (r >= 0)
			bench_round(&figure, us[0], us[1]);
	}
	bench_print(&figure);
}

/* How many times as fast as one that needs its own number of calls to be timed: calls a second. */
static void compare_speed(const char *name, struct side *ours, long n, struct side *other, long other_n, long batch, long of, double target)
{
	struct bench_figure figure = figure_of(name, target, true);

	figure.unit = "calls/s";
	for (long r = -1; r < rounds; r++) {
		uint64_t seed = UINT64_C(88172645463325252) + (uint64_t)(r + 1) * 7919;
		double mine = side_do(ours, n, batch, seed, of).us, theirs = side_do(other, other_n, batch, seed, of).us;

		if (r >= 0)
			bench_round(&figure, 1e6 / mine, 1e6 / theirs);
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
	compare("sdk: one entity x 10, to a bare mdb_get", &one, &two, ops, 1, entities, 1.3);
	compare("sdk: 1000 random x 10, to the bare loop", &one, &two, ops / BATCH + 10, BATCH, entities, 1.3);
	side_stop(&two);
#ifdef BENCH_HIREDIS
	struct redis redis;
	char dir[PATH_BYTES + 8], log[PATH_BYTES + 16];

	snprintf(dir, sizeof(dir), "%s.redis", store);
	mkdir(dir, 0700);
	redis_start(&redis, dir);
	side_start(&two, redis_run, &redis);
	compare_speed("sdk: one entity x 10, to Redis HMGET", &one, ops, &two, ops / 4, 1, entities, 10);
	compare_speed("sdk: 1000 random x 10, to Redis pipelined", &one, 30, &two, 10, BATCH, entities, 5);
	side_stop(&two);
	redis_stop(&redis);
	snprintf(log, sizeof(log), "%s/log", dir);
	unlink(log);
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

/* ---- the same call in stores of other sizes ---- */

struct sized {
	char path[PATH_BYTES];
	long entities;
	struct ours ours;
	struct bare bare;
	struct side one, two;
};

static void sized_start(struct sized *sized, const char *dir, const char *name, long n, long groups, bool is_covered)
{
	sized->entities = n;
	snprintf(sized->path, sizeof(sized->path), "%s/%s-store", dir, name);
	fill_apart(sized->path, n, groups, 0);
	if (is_covered)
		cover_apart(sized->path, n);
	sized->ours = (struct ours){ .path = sized->path };
	sized->bare = (struct bare){ .path = sized->path, .rows = rows_of(sized->path, BENCH_GROUP) };
	side_start(&sized->one, ours_run, &sized->ours);
	side_start(&sized->two, bare_run, &sized->bare);
}

static void sized_stop(struct sized *sized)
{
	char command[PATH_BYTES + 16];

	side_stop(&sized->two);
	side_stop(&sized->one);
	snprintf(command, sizeof(command), "rm -rf '%s'", sized->path);
	if (system(command) != 0)
		bench_die("cannot remove %s", sized->path);
}

/* How much more a call costs in the second store than in the first: of ours, and of a bare mdb_get, whose tree grows in the same way. */
static void compare_growth(const char *name, struct sized *first, struct sized *second, double target)
{
	struct bench_figure figure = figure_of(name, target, false);
	double us[4], sum[4] = { 0 };

	figure.unit = "x";
	for (long r = -1; r < rounds; r++) {
		uint64_t seed = UINT64_C(88172645463325252) + (uint64_t)(r + 1) * 7919;

		us[0] = side_do(&first->one, ops, 1, seed, first->entities).us;
		us[1] = side_do(&second->one, ops, 1, seed, second->entities).us;
		us[2] = side_do(&first->two, ops, 1, seed, first->entities).us;
		us[3] = side_do(&second->two, ops, 1, seed, second->entities).us;
		for (int i = 0; i < 4 && r >= 0; i++)
			sum[i] += us[i] / (double)rounds;
		if (r >= 0)
			bench_round(&figure, us[1] / us[0], us[3] / us[2]);
	}
	bench_print(&figure);
	printf("# a call: ours %.2f and %.2f us, a bare mdb_get %.2f and %.2f us\n", sum[0], sum[1], sum[2], sum[3]);
}

static void bench_flat(const char *dir)
{
	struct sized small = { .entities = 0 }, middle = small, grouped = small, big = small;

	sized_start(&middle, dir, "middle", entities, 0, false);
	sized_start(&grouped, dir, "grouped", entities, many_groups, false);
	compare_growth("sdk: cost with 1000 groups defined, to 1", &middle, &grouped, 1.1);
	sized_stop(&grouped);
	sized_stop(&middle);
	sized_start(&small, dir, "small", entities / 100, 0, false);
	sized_start(&big, dir, "big", large, 0, false);
	compare_growth("sdk: cost from 10 thousand to 10 million", &small, &big, 1.1);
	sized_stop(&big);
	sized_stop(&small);
}

/* ---- a re-load's rows over the others ---- */

/* What the second look costs, to the same call where no load has left anything. */
static void bench_overlay(const char *dir)
{
	static const struct { const char *name; long batch; } calls[] = {
		{ "sdk: one entity x 10 below 2 % from a re-load", 1 }, { "sdk: 1000 random x 10 below 2 % from a re-load", BATCH },
	};
	struct sized plain = { .entities = 0 }, covered = plain;

	sized_start(&plain, dir, "plain", entities, 0, false);
	sized_start(&covered, dir, "covered", entities, 0, true);
	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++)
		compare(calls[i].name, &covered.one, &plain.one, calls[i].batch == 1 ? ops : ops / BATCH + 10, calls[i].batch, entities, 1.5);
	sized_stop(&covered);
	sized_stop(&plain);
}

/* ---- Python, Go, Feast ---- */

/* A program that takes orders on its standard input. */
struct program {
	const char *words[WORDS_MAX];
	unsigned n;
};

static void add_word(struct program *program, const char *word)
{
	if (program->n == WORDS_MAX - 1)
		bench_die("too many words");
	program->words[program->n] = strdup(word);
	if (!program->words[program->n++])
		bench_die("out of memory");
}

static void program_run(int from, int to, void *arg)
{
	struct program *program = arg;

	if (dup2(from, STDIN_FILENO) < 0 || dup2(to, STDOUT_FILENO) < 0)
		bench_die("dup2: %s", strerror(errno));
	execvp(program->words[0], (char *const *)program->words);
	bench_die("%s: %s", program->words[0], strerror(errno));
}

static void add_features(struct program *program, unsigned groups)
{
	char spec[64];

	for (unsigned g = 0; g < (groups ? groups : 1); g++)
		for (unsigned k = 0; k < BENCH_FEATURES; k++) {
			print_feature(spec, groups, g, k);
			add_word(program, spec);
		}
}

static void start_python(struct side *side, const char *python, const char *script, const char *store, unsigned groups)
{
	struct program program = { .n = 0 };

	add_word(&program, python);
	add_word(&program, script);
	add_word(&program, "ours");
	add_word(&program, store);
	add_features(&program, groups);
	side_start(side, program_run, &program);
}

/* "One entity at most 3 us on top of C": beside the time of C and those 3 us. */
static void compare_above(const char *name, struct side *ours, struct side *c, double allowed_us)
{
	struct bench_figure figure = figure_of(name, 1, false);

	for (long r = -1; r < rounds; r++) {
		uint64_t seed = UINT64_C(88172645463325252) + (uint64_t)(r + 1) * 7919;
		double mine = side_do(ours, ops, 1, seed, entities).us, theirs = side_do(c, ops, 1, seed, entities).us;

		if (r >= 0)
			bench_round(&figure, mine, theirs + allowed_us);
	}
	bench_print(&figure);
}

static void bench_python(const char *store, const char *python, const char *script)
{
	struct ours ours = { .path = store };
	struct side c, side;

	side_start(&c, ours_run, &ours);
	start_python(&side, python, script, store, 0);
	compare_above("sdk: Python, one entity x 10, to C + 3 us", &side, &c, 3);
	compare("sdk: Python, 1000 x 10 into NumPy, to C", &side, &c, 30, BATCH, entities, 1.5);
	side_stop(&side);
	side_stop(&c);
}

static void bench_go(const char *store, const char *go)
{
	struct program program = { .n = 0 };
	struct ours ours = { .path = store };
	struct side c, side;

	add_word(&program, go);
	add_word(&program, store);
	add_features(&program, 0);
	side_start(&c, ours_run, &ours);
	side_start(&side, program_run, &program);
	compare("sdk: Go, 1000 x 10, to C", &side, &c, 30, BATCH, entities, 1.2);
	side_stop(&side);
	side_stop(&c);
}

/* Feast's repository holds w0 to w24 and one view of ninety features, tall. Ours are asked by Python too. */
static void bench_feast(const char *store, const char *python, const char *script, const char *repo)
{
	struct program wide = { .n = 0 }, tall = { .n = 0 };
	struct side ours, feast;
	char word[64];

	for (int i = 0; i < 4; i++) {
		const char *words[] = { python, script, "feast", repo };

		add_word(&wide, words[i]);
		add_word(&tall, words[i]);
	}
	for (unsigned g = 0; g < WIDE_GROUPS; g++)
		for (unsigned k = 0; k < BENCH_FEATURES; k++) {
			snprintf(word, sizeof(word), "w%u:w%u_f%u", g, g, k);
			add_word(&wide, word);
		}
	for (unsigned k = 0; k < TALL_GROUPS * BENCH_FEATURES; k++) {
		snprintf(word, sizeof(word), "tall:f%u", k);
		add_word(&tall, word);
	}
	start_python(&ours, python, script, store, WIDE_GROUPS);
	side_start(&feast, program_run, &wide);
	compare_speed("sdk: Python, 100 x 25 groups x 10, to Feast", &ours, 100, &feast, 2, WIDE_ENTITIES, feast_rows, 50);
	side_stop(&feast);
	side_stop(&ours);
	start_python(&ours, python, script, store, TALL_GROUPS);
	side_start(&feast, program_run, &tall);
	compare_speed("sdk: Python, 500 x 90 features, to Feast", &ours, 50, &feast, 2, TALL_ENTITIES, feast_rows, 50);
	side_stop(&feast);
	side_stop(&ours);
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

static const char *python, *python_script, *go_program, *feast_python, *feast_repo;

static const struct {
	const char *name;
	const char **text;
	long *number;
	long least;
} options[] = {
	{ "--cores", &cores, NULL, 0 }, { "--rounds", NULL, &rounds, 1 }, { "--ops", NULL, &ops, 100 }, { "--entities", NULL, &entities, 1000 },
	{ "--large", NULL, &large, 1000 }, { "--groups", NULL, &many_groups, 1 }, { "--wide", NULL, &wide_rows, 100 },
	{ "--python", &python, NULL, 0 }, { "--script", &python_script, NULL, 0 }, { "--go", &go_program, NULL, 0 },
	{ "--feast-python", &feast_python, NULL, 0 }, { "--feast-repo", &feast_repo, NULL, 0 }, { "--feast-rows", NULL, &feast_rows, 100 },
};

static void take_option(const char *name, const char *value)
{
	if (strcmp(name, "--core") == 0) {
		core = (int)bench_number(name, value, 0);
		return;
	}
	for (size_t i = 0; i < sizeof(options) / sizeof(*options); i++) {
		if (strcmp(name, options[i].name) != 0)
			continue;
		if (options[i].number)
			*options[i].number = bench_number(name, value, options[i].least);
		else if (value)
			*options[i].text = value;
		else
			bench_die("%s wants a value", name);
		return;
	}
	bench_die("unknown option %s", name);
}

int main(int argc, char **argv)
{
	static const char usage[] = "usage: bench_sdk plain|wide|overlay|writing|flat|python|go|feast FOLDER [--core N] [--cores WORDS] [--rounds N] [--ops N] "
				    "[--entities N] [--large N] [--groups N] [--wide N] [--python PROGRAM --script FILE] [--go PROGRAM] "
				    "[--feast-python PROGRAM --feast-repo FOLDER --feast-rows N]";
	const char *what = argc > 1 ? argv[1] : "";
	char store[PATH_BYTES];

	setlinebuf(stdout);
	if (argc < 3)
		bench_die("%s", usage);
	for (int i = 3; i < argc; i += 2)
		take_option(argv[i], argv[i + 1]);
	if (strcmp(what, "flat") == 0 || strcmp(what, "overlay") == 0) {
		(*what == 'f' ? bench_flat : bench_overlay)(argv[2]);
		return 0;
	}
	/* The others share one. */
	snprintf(store, sizeof(store), "%s/sdk-store", argv[2]);
	if (access(store, F_OK) < 0)
		fill_apart(store, entities, WIDE_GROUPS, wide_rows);
	if (strcmp(what, "plain") == 0)
		bench_plain(store);
	else if (strcmp(what, "wide") == 0)
		bench_wide(store);
	else if (strcmp(what, "writing") == 0)
		bench_writing(store);
	else if (strcmp(what, "python") == 0 && python && python_script)
		bench_python(store, python, python_script);
	else if (strcmp(what, "go") == 0 && go_program)
		bench_go(store, go_program);
	else if (strcmp(what, "feast") == 0 && feast_python && python_script && feast_repo)
		bench_feast(store, feast_python, python_script, feast_repo);
	else
		bench_die("%s", usage);
	return 0;
}
