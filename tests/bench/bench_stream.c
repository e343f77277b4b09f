/* SPDX-License-Identifier: MIT */
/*
 * The stream lane against a real broker: bench_stream rate|direct|fresh PROGRAMS WORK BROKERS [--messages N] [--rounds N] [--produce PROGRAM].
 *
 * rate	messages a second of the whole daemon, beside a bare consumer that reads the same topic with the same parser and puts each message into
 *	plain LMDB, 10,000 a commit, with LMDB's own sync and without any.
 * direct	what a direct durable write waits while the stream runs as fast as it can, beside the same without it; and what that leaves of the rate.
 * fresh	from produced to readable through the mount, beside a bare consumer that only notes when a message has arrived.
 *
 * The first two read a topic that is called rate and holds the messages; the last fills light and busy, which must be there and empty.
 */
#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include "calls.h"
#include "streams.h"

enum {
	PARTITIONS = 4, COMMIT = 10000, WRITERS_ENTITIES = 1000, WRITES = 1500, PROBES = 150, PROBE_GAP_US = 10000, PROBES_MAX = 1000,
	FLOORS_MAX = 20000, SLOW_MS = 15,
};

static struct streams_world world;
static long messages = 1000000, rounds = 3;
static const char *produce_program;

/* ---- rate ---- */

static void put_row(MDB_txn *txn, MDB_dbi dbi, const struct stream_row *row)
{
	MDB_val key = { row->entity.len, (void *)(uintptr_t)row->entity.data }, value;
	char packed[256];
	size_t len = sizeof row->event_ns;

	memcpy(packed, &row->event_ns, len);
	for (size_t i = 0; i < row->n_values; i++) {
		memcpy(packed + len, row->values[i].bytes.data, row->values[i].bytes.len);
		len += row->values[i].bytes.len;
	}
	value = (MDB_val){ len, packed };
	if (mdb_put(txn, dbi, &key, &value, 0))
		bench_die("mdb_put failed");
}

static MDB_env *open_env(const char *path, bool syncs)
{
	MDB_env *env;

	if (mdb_env_create(&env) || mdb_env_set_mapsize(env, (size_t)8 << 30) || mdb_env_open(env, path, MDB_NOSUBDIR | (syncs ? 0 : MDB_NOSYNC), 0644))
		bench_die("cannot open %s", path);
	return env;
}

static MDB_txn *begin(MDB_env *env)
{
	MDB_txn *txn;

	if (mdb_txn_begin(env, NULL, 0, &txn))
		bench_die("mdb_txn_begin failed");
	return txn;
}

/* Processor time of this process, in seconds. */
static double own_cpu(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double run_bare(const char *topic, bool syncs, double *out_cpu)
{
	rd_kafka_t *rk = streams_client(world.brokers);
	struct catalog_group *grp;
	struct stream_mapping *map = streams_mapping(&grp);
	int64_t begin_ns = 0, end_ns;
	char path[600], lock[640];
	struct stream_row row;
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;
	long done = 0;

	*out_cpu = own_cpu();
	snprintf(path, sizeof path, "%s/stream-lmdb", world.work);
	env = open_env(path, syncs);
	txn = begin(env);
	if (mdb_dbi_open(txn, NULL, 0, &dbi))
		bench_die("mdb_dbi_open failed");
	streams_assign(rk, topic, PARTITIONS, 0);
	while (done < messages) {
		rd_kafka_message_t *msg = rd_kafka_consumer_poll(rk, 10000);

		if (!msg || msg->err)
			bench_die("the bare consumer: %s", msg ? rd_kafka_message_errstr(msg) : "nothing comes");
		if (!begin_ns)
			begin_ns = clock_monotonic();
		streams_decode(map, msg, &row);
		put_row(txn, dbi, &row);
		rd_kafka_message_destroy(msg);
		if (++done % COMMIT == 0) {
			if (mdb_txn_commit(txn))
				bench_die("mdb_txn_commit failed");
			txn = begin(env);
		}
	}
	if (mdb_txn_commit(txn))
		bench_die("mdb_txn_commit failed");
	end_ns = clock_monotonic();
	*out_cpu = own_cpu() - *out_cpu;
	mdb_env_close(env);
	snprintf(lock, sizeof lock, "%s-lock", path);
	unlink(path);
	unlink(lock);
	rd_kafka_consumer_close(rk);
	rd_kafka_destroy(rk);
	stream_mapping_free(map);
	catalog_group_unref(grp);
	return (double)done * 1e9 / (double)(end_ns - begin_ns);
}

static double run_ours(unsigned number, double *out_cpu)
{
	double rate, cpu;

	streams_start(&world, number);
	cpu = streams_cpu(world.pid);
	streams_define(&world, "g", "rate", "earliest");
	rate = streams_rate(&world, "g", messages);
	*out_cpu = streams_cpu(world.pid) - cpu;
	streams_stop(&world);
	return rate;
}

static void bench_rate(void)
{
	static struct bench_figure synced = { .name = "stream, against LMDB with its own sync", .cores = "unpinned", .unit = "msg/s", .target = 1.5,
					      .at_least = true };
	static struct bench_figure unsynced = { .name = "stream, against LMDB without sync or log", .cores = "unpinned", .unit = "msg/s", .target = 0.6,
						.at_least = true };
	double cpu = 0, synced_cpu = 0, unsynced_cpu = 0;

	streams_need(world.brokers, "rate", PARTITIONS, messages);
	for (long i = 0; i < rounds; i++) {
		double with_sync = run_bare("rate", true, &synced_cpu), without = run_bare("rate", false, &unsynced_cpu);
		double ours = run_ours((unsigned)i, &cpu);

		bench_round(&synced, ours, with_sync);
		bench_round(&unsynced, ours, without);
	}
	bench_print(&synced);
	bench_print(&unsynced);
	printf("# processor time a message, in the last round: the daemon %.2f us, the bare consumer %.2f with sync and %.2f without\n",
	       cpu * 1e6 / (double)messages, synced_cpu * 1e6 / (double)messages, unsynced_cpu * 1e6 / (double)messages);
}

/* ---- direct ---- */

/* Durable writes of single values; their times in microseconds go to `out`. Ends after `count`, or when the group has consumed `until` messages. */
static size_t write_values(double *out, size_t count, long until)
{
	uint64_t random = 7;
	size_t n = 0;

	while (n < count) {
		char path[700], text[32];
		int64_t start;

		snprintf(path, sizeof path, "%s/w/e%u/a", world.mnt, (unsigned)(bench_random(&random) % WRITERS_ENTITIES));
		snprintf(text, sizeof text, "%zu\n", n);
		start = clock_monotonic();
		streams_write(path, text);
		out[n++] = (double)(clock_monotonic() - start) / 1000;
		if (until && n % 16 == 0 && streams_consumed(&world, "g") >= until)
			break;
	}
	return n;
}

static void make_writers(void)
{
	char path[700];

	snprintf(path, sizeof path, "%s/w", world.mnt);
	mkdir(path, 0755);
	snprintf(path, sizeof path, "%s/w/.schema", world.mnt);
	streams_write(path, streams_features);
	for (unsigned i = 0; i < WRITERS_ENTITIES; i++) {
		snprintf(path, sizeof path, "%s/w/e%u", world.mnt, i);
		mkdir(path, 0755);
	}
}

static void bench_direct(void)
{
	enum { MANY = 1000000 };
	static struct bench_figure p99 = { .name = "direct write p99 beside a stream", .cores = "unpinned", .unit = "us", .target = 4 };
	static struct bench_figure rate = { .name = "stream beside a direct writer", .cores = "unpinned", .unit = "msg/s", .target = 0.5,
					    .at_least = true };
	double *times = bench_alloc(MANY, sizeof *times), cpu;

	streams_need(world.brokers, "rate", PARTITIONS, messages);
	for (long i = 0; i < rounds; i++) {
		double free_rate = run_ours(100 + (unsigned)i, &cpu), alone, beside, median_alone, median_beside;
		int64_t begin_ns;
		long first;
		size_t n;

		streams_start(&world, 200 + (unsigned)i);
		make_writers();
		n = write_values(times, WRITES, 0);
		alone = bench_quantile(times, n, 0.99);
		median_alone = bench_quantile(times, n, 0.5);
		streams_define(&world, "g", "rate", "earliest");
		while (streams_consumed(&world, "g") <= 0)
			usleep(1000);
		begin_ns = clock_monotonic();
		first = streams_consumed(&world, "g");
		n = write_values(times, MANY, messages);
		bench_round(&rate, (double)(messages - first) * 1e9 / (double)(clock_monotonic() - begin_ns), free_rate);
		beside = bench_quantile(times, n, 0.99);
		median_beside = bench_quantile(times, n, 0.5);
		bench_round(&p99, beside, alone);
		printf("# direct writes: median %.0f us alone, %.0f us beside the stream (%zu writes)\n", median_alone, median_beside, n);
		streams_stop(&world);
	}
	bench_print(&p99);
	bench_print(&rate);
	free(times);
}

/* ---- fresh ---- */

static _Atomic int64_t sent_ns[PROBES_MAX], arrived_ns[PROBES_MAX], readable_ns[PROBES_MAX];
static atomic_int sent;			/* probes that were produced */
static atomic_bool ends;

static void *note_arrivals(void *arg)
{
	rd_kafka_t *rk = arg;

	while (!ends) {
		rd_kafka_message_t *msg = rd_kafka_consumer_poll(rk, 50);

		if (msg && !msg->err && msg->key_len == 5 && !memcmp(msg->key, "probe", 5)) {
			const char *at = memmem(msg->payload, msg->len, "\"a\":", 4);
			long i = at ? strtol(at + 4, NULL, 10) : -1;

			if (i >= 0 && i < PROBES_MAX)
				arrived_ns[i] = clock_monotonic();
		}
		if (msg)
			rd_kafka_message_destroy(msg);
	}
	return NULL;
}

static void *note_readable(void *arg)
{
	int next = 0;
	char path[700];

	(void)arg;
	snprintf(path, sizeof path, "%s/g/probe/a", world.mnt);
	while (!ends) {
		long seen;

		if (next >= sent) {
			usleep(100);
			continue;
		}
		seen = streams_number(path, NULL);
		for (; seen >= next && next < PROBES_MAX; next++)
			readable_ns[next] = clock_monotonic();
	}
	return NULL;
}

/* What the disk itself takes for a durable write meanwhile: where it stalls, no durable commit is faster. */
static struct {
	double ms[FLOORS_MAX];
	size_t n;
} floors;

static void *note_floors(void *arg)
{
	char path[600];
	int fd;

	(void)arg;
	snprintf(path, sizeof path, "%s/stream-floor", world.work);
	fd = calls_floor_open(path);
	unlink(path);
	for (floors.n = 0; !ends && floors.n < FLOORS_MAX;) {
		int64_t start_ns = clock_monotonic();

		calls_floor(fd, floors.n);
		floors.ms[floors.n++] = (double)(clock_monotonic() - start_ns) / 1e6;
		usleep(PROBE_GAP_US);
	}
	close(fd);
	return NULL;
}

static void print_floors(int64_t lasted_ns)
{
	double slow_ms = 0;

	for (size_t i = 0; i < floors.n; i++)
		slow_ms += floors.ms[i] > SLOW_MS ? floors.ms[i] : 0;
	printf("# 4 KiB + fdatasync of a file of its own meanwhile: median %.2f ms, p99 %.2f, and %.0f %% of the time went by in ones of more than %d ms\n",
	       bench_median(floors.ms, floors.n), bench_quantile(floors.ms, floors.n, 0.99), slow_ms * 1e8 / (double)lasted_ns, SLOW_MS);
}

static rd_kafka_t *open_producer(void)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char err[512];
	rd_kafka_t *rk;

	streams_set(conf, "bootstrap.servers", world.brokers);
	streams_set(conf, "linger.ms", "0");
	rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, err, sizeof err);
	if (!rk)
		bench_die("%s", err);
	return rk;
}

static void send_probe(rd_kafka_t *rk, const char *topic, int i)
{
	char value[200];
	int len = snprintf(value, sizeof value, "{\"user\":\"probe\",\"ts\":%lld,\"a\":%d,\"b\":0.5,\"c\":7,\"d\":1.25}",
			   (long long)(clock_now() / 1000000), i);

	sent_ns[i] = clock_monotonic();
	sent = i + 1;
	if (rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(i % PARTITIONS), RD_KAFKA_V_KEY((void *)(uintptr_t)"probe", 5),
			      RD_KAFKA_V_VALUE(value, (size_t)len), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END))
		bench_die("a probe was not taken");
	rd_kafka_poll(rk, 0);
}

/* A producer's first message to a topic waits for what it has to learn, which is no part of the figure. */
static void warm_up(rd_kafka_t *rk, const char *topic)
{
	static const char value[] = "{\"user\":\"warm\",\"ts\":1,\"a\":0}";

	for (int i = 0; i < PARTITIONS; i++)
		if (rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(i), RD_KAFKA_V_KEY((void *)(uintptr_t)"warm", 4),
				      RD_KAFKA_V_VALUE((void *)(uintptr_t)value, sizeof value - 1), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
				      RD_KAFKA_V_END))
			bench_die("a message was not taken");
	if (rd_kafka_flush(rk, 30000))
		bench_die("the broker takes no messages");
}

static pid_t start_load(const char *topic, long rate)
{
	char count[32], speed[32];
	pid_t pid = rate ? bench_fork() : -1;

	if (pid == 0) {
		snprintf(count, sizeof count, "%ld", rate * 600);
		snprintf(speed, sizeof speed, "rate=%ld", rate);
		execl(produce_program, produce_program, world.brokers, topic, count, speed, (char *)NULL);
		_exit(127);
	}
	return pid;
}

/* The medians of one round, in milliseconds; p99 as notes. */
static void fresh_round(rd_kafka_t *producer, const char *topic, struct bench_figure *figure)
{
	double bare[PROBES_MAX], ours[PROBES_MAX], bare_p99, ours_p99, extra;
	size_t n = 0;

	for (int i = 0; i < PROBES_MAX; i++)
		sent_ns[i] = arrived_ns[i] = readable_ns[i] = 0;
	for (int i = (int)figure->rounds * PROBES, end = i + PROBES; i < end; i++) {
		send_probe(producer, topic, i);
		usleep(PROBE_GAP_US);
	}
	usleep(500000);
	for (int i = (int)figure->rounds * PROBES; i < PROBES_MAX; i++) {
		if (!arrived_ns[i] || !readable_ns[i])
			continue;
		bare[n] = (double)(arrived_ns[i] - sent_ns[i]) / 1e6;
		ours[n++] = (double)(readable_ns[i] - sent_ns[i]) / 1e6;
	}
	if (n < PROBES * 9 / 10)
		bench_die("only %zu of %d probes have arrived and become readable", n, PROBES);
	bare_p99 = bench_quantile(bare, n, 0.99);
	ours_p99 = bench_quantile(ours, n, 0.99);
	printf("# readable after %.2f ms (p99 %.2f), arrived at a bare consumer after %.2f (p99 %.2f)\n", bench_median(ours, n), ours_p99,
	       bench_median(bare, n), bare_p99);
	extra = bench_median(ours, n) - bench_median(bare, n);
	bench_round(figure, extra > 0.001 ? extra : 0.001, 1);
}

static void fresh(const char *topic, long load, struct bench_figure *figure)
{
	rd_kafka_t *producer = open_producer(), *consumer = streams_client(world.brokers);
	pthread_t arrivals, readers, disk;
	int64_t begin_ns;
	pid_t pid;

	sent = 0;
	ends = false;
	streams_start(&world, load > 0);
	streams_define(&world, "g", topic, "earliest");
	streams_assign(consumer, topic, PARTITIONS, RD_KAFKA_OFFSET_END);
	pid = start_load(topic, load);
	while (load && streams_consumed(&world, "g") < load)
		usleep(10000);
	warm_up(producer, topic);
	/* Until both are there for sure, and the broker has compiled what it needs under such a load. */
	sleep(load ? 15 : 3);
	begin_ns = clock_monotonic();
	if (pthread_create(&arrivals, NULL, note_arrivals, consumer) || pthread_create(&readers, NULL, note_readable, NULL) ||
	    pthread_create(&disk, NULL, note_floors, NULL))
		bench_die("cannot start a thread");
	for (long i = 0; i < rounds; i++)
		fresh_round(producer, topic, figure);
	ends = true;
	pthread_join(arrivals, NULL);
	pthread_join(readers, NULL);
	pthread_join(disk, NULL);
	print_floors(clock_monotonic() - begin_ns);
	if (pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	streams_stop(&world);
	rd_kafka_consumer_close(consumer);
	rd_kafka_destroy(consumer);
	rd_kafka_flush(producer, 10000);
	rd_kafka_destroy(producer);
	bench_print(figure);
}

static void bench_fresh(void)
{
	static struct bench_figure light = { .name = "ms to readable on top of arrival, 100/s", .cores = "unpinned", .unit = "ms", .target = 2 };
	static struct bench_figure busy = { .name = "ms to readable on top of arrival, 20,000/s", .cores = "unpinned", .unit = "ms", .target = 15 };

	if (rounds * PROBES > PROBES_MAX)
		bench_die("at most %d rounds", PROBES_MAX / PROBES);
	streams_need_empty(world.brokers, "light", PARTITIONS);
	streams_need_empty(world.brokers, "busy", PARTITIONS);
	fresh("light", 0, &light);
	fresh("busy", 20000, &busy);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} parts[] = { { "rate", bench_rate }, { "direct", bench_direct }, { "fresh", bench_fresh } };

	if (argc < 5)
		bench_die("usage: bench_stream rate|direct|fresh PROGRAMS WORK BROKERS [--messages N] [--rounds N] [--produce PROGRAM]");
	world = (struct streams_world){ .bin = argv[2], .work = argv[3], .brokers = argv[4] };
	for (int i = 5; i < argc; i++) {
		if (!strcmp(argv[i], "--messages"))
			messages = bench_number(argv[i], argv[i + 1], 10000), i++;
		else if (!strcmp(argv[i], "--rounds"))
			rounds = bench_number(argv[i], argv[i + 1], 1), i++;
		else if (!strcmp(argv[i], "--produce") && argv[i + 1])
			produce_program = argv[++i];
		else
			bench_die("what is %s?", argv[i]);
	}
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
		if (!strcmp(argv[1], parts[i].name)) {
			parts[i].run();
			return 0;
		}
	bench_die("there is no part %s", argv[1]);
}
