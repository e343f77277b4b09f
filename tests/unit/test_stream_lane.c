/* SPDX-License-Identifier: MIT */
/* Lanes on librdkafka's mock broker, in one process: counts and values are exact beside direct writers, redefinitions and restarts. */
#include <errno.h>
#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <pthread.h>
#include <stdatomic.h>
#include "base/clock.h"
#include "base/num.h"
#include "stream/stream.h"
#include "world.h"

enum { PARTITIONS = 4, MESSAGES = 3000, ENTITIES = 50 };

static rd_kafka_t *producer;
static rd_kafka_mock_cluster_t *cluster;

static const char schema[] =
	"[group]\nentity = user\n[feature clicks]\ntype = int64\nmin = 0\n[feature ctr]\ntype = float64\n"
	"[feature name]\ntype = string\nmax_length = 20\n[feature vec]\ntype = float32[3]\n[feature must]\ntype = bool\nnot_null = yes\n"
	"[stream s]\ntopic = t\nevent_time = $.at\nevent_time_unit = ns\nfeature.clicks = n\n";

static void start_mock(void)
{
	char text[256];

	producer = rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), text, sizeof text);
	NEED(producer);
	cluster = rd_kafka_mock_cluster_new(producer, 1);
	NEED(cluster);
	NEED(rd_kafka_brokers_add(producer, rd_kafka_mock_cluster_bootstraps(cluster)) > 0);
	NEED(rd_kafka_mock_topic_create(cluster, "t", PARTITIONS, 1) == 0);
}

static void produce(int32_t partition, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void produce(int32_t partition, const char *fmt, ...)
{
	char text[256];
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	while (rd_kafka_producev(producer, RD_KAFKA_V_TOPIC("t"), RD_KAFKA_V_PARTITION(partition), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
				 RD_KAFKA_V_VALUE(text, (size_t)len), RD_KAFKA_V_END))
		rd_kafka_poll(producer, 10);
}

static struct stream *start(struct world *world)
{
	const struct stream_options options = {
		.store = world->store, .cur = world->cur, .ingest = world->ingest,
		.brokers = rd_kafka_mock_cluster_bootstraps(cluster), .client_id = "test", .dead_bytes = 1 << 20,
	};
	struct stream *stream;
	struct why why = { "" };

	NEED(stream_start(&options, &stream, &why) == 0);
	return stream;
}

static uint64_t number(struct stream *stream, const char *key)
{
	struct buf text = { 0 };
	char wanted[64], *at;
	uint64_t out = UINT64_MAX;

	snprintf(wanted, sizeof wanted, "\n%s: ", key);
	if (stream_status(stream, "g.s", &text) == 0) {
		buf_append_char(&text, '\0');
		at = strstr(text.data, wanted);
		if (at) {
			at += strlen(wanted);
			num_parse_u64(slice_of(at, strcspn(at, "\n")), &out);
		}
	}
	buf_release(&text);
	return out;
}

/* For as long as a minute brings any progress. */
static void await(struct stream *stream, const char *key, uint64_t wanted)
{
	int64_t end = clock_monotonic() + 60 * CLOCK_SECOND;
	uint64_t last = number(stream, key), now = last;

	for (; now != wanted && clock_monotonic() < end; now = number(stream, key)) {
		if (now != last)
			end = clock_monotonic() + 60 * CLOCK_SECOND;
		last = now;
		usleep(5000);
	}
	CHECK_INT(now, wanted);
}

static void define(struct world *world, const char *more)
{
	struct ingest_request *req = world_request(world, RECORD_LANE_DIRECT);
	struct buf text = { 0 };

	buf_printf(&text, "%s%s", schema, more);
	ingest_request_group_define(req, world->group_id, buf_slice(&text));
	CHECK_INT(world_run(world, req, &(struct ingest_result){ 0 }), 0);
	buf_release(&text);
}

static void note_done(void *arg, int rc)
{
	__atomic_store_n((int *)arg, rc, __ATOMIC_RELEASE);
}

static int tell(struct stream *stream, const char *text)
{
	int rc = 1;

	stream_control(stream, "g.s", slice_str(text), note_done, &rc);
	while (__atomic_load_n(&rc, __ATOMIC_ACQUIRE) == 1)
		usleep(1000);
	return rc;
}

/* A writer beside the stream, and a hand that changes the definition all the time. */
struct beside {
	struct world *world;
	atomic_bool stop;
	unsigned writes;
};

/*
 * A second of changes, one of none, a second of changes, two of none, and so on. What is decoded by a definition is decoded again if that has changed
 * before it is committed, so a lane whose definition never stands for that long stands still; and how long it is hangs on the machine.
 */
static bool is_calm(int64_t span_ns)
{
	for (int calm = 1; span_ns >= CLOCK_SECOND; calm++) {
		span_ns -= CLOCK_SECOND;
		if (span_ns < calm * CLOCK_SECOND)
			return true;
		span_ns -= calm * CLOCK_SECOND;
	}
	return false;
}

static void *write_beside(void *arg)
{
	struct beside *beside = arg;
	int64_t begin_ns = clock_monotonic();

	while (!atomic_load(&beside->stop)) {
		struct ingest_result result;

		CHECK_INT(world_put(beside->world, RECORD_LANE_DIRECT, "direct", CLICKS, beside->writes++, INGEST_NOW, 0, &result), 0);
		if (beside->writes % 20 == 0 && !is_calm(clock_monotonic() - begin_ns))
			define(beside->world, beside->writes % 40 ? "" : "filter.kind = x\n");
	}
	return NULL;
}

/* Every message has an entity, a number and a time that grows with the number; one in ten is bad, and one in ten breaks a rule. */
static void produce_all(int64_t base_ns, int from, int to)
{
	for (int i = from; i < to; i++) {
		if (i % 10 == 3)
			produce(i % PARTITIONS, "no message %d", i);
		else
			produce(i % PARTITIONS, "{\"user\":\"u%d\",\"n\":%d,\"at\":%" PRId64 ",\"kind\":\"x\"}", i % ENTITIES,
				i % 10 == 7 ? -i : i, base_ns + i);
	}
	CHECK_INT(rd_kafka_flush(producer, 60000), 0);
}

static void check_values(struct world *world, int n)
{
	for (int e = 0; e < ENTITIES; e++) {
		char name[16];
		int last = -1;

		for (int i = e; i < n; i += ENTITIES)
			if (i % 10 != 3 && i % 10 != 7)
				last = i;
		snprintf(name, sizeof name, "u%d", e);
		CHECK_INT(world_int(world, name, CLICKS, NULL), last < 0 ? GONE(MISSING) : last);
	}
}

static void check_sum(struct stream *stream, unsigned messages)
{
	CHECK_INT(number(stream, "messages"), messages);
	CHECK_INT(number(stream, "dead"), messages / 5);
	CHECK_INT(number(stream, "filtered"), 0);
	CHECK_INT(number(stream, "applied") + number(stream, "late"), messages - messages / 5);
}

static void test_exact(void)
{
	int64_t base_ns = clock_now() - 3600 * CLOCK_SECOND;
	struct world world = { 0 };
	struct beside beside = { .world = &world };
	struct buf names = { 0 };
	struct stream *stream;
	pthread_t writer;

	world_begin(&world, "stream");
	define(&world, "");
	stream = start(&world);
	NEED(pthread_create(&writer, NULL, write_beside, &beside) == 0);
	produce_all(base_ns, 0, MESSAGES / 2);
	/* It is taken away in the middle and put back. */
	stream_stop(stream);
	produce_all(base_ns, MESSAGES / 2, MESSAGES);
	stream = start(&world);
	await(stream, "messages", MESSAGES);
	atomic_store(&beside.stop, true);
	pthread_join(writer, NULL);
	check_sum(stream, MESSAGES);
	check_values(&world, MESSAGES);
	CHECK_INT(world_int(&world, "direct", CLICKS, NULL), beside.writes - 1);
	await(stream, "lag", 0);
	CHECK_INT(stream_dead_list(stream, world.group_id, &names), 0);
	CHECK(names.len >= 2 && !strcmp(names.data, "s"));
	buf_release(&names);
	/* Everything again: all of it loses or is the same, and the letters are those of the second reading. */
	CHECK_INT(tell(stream, "pause"), 0);
	CHECK_INT(tell(stream, "seek earliest"), 0);
	CHECK_INT(number(stream, "messages"), MESSAGES);
	CHECK_INT(tell(stream, "resume"), 0);
	await(stream, "messages", 2 * MESSAGES);
	check_values(&world, MESSAGES);
	CHECK_INT(number(stream, "dead"), 2 * MESSAGES / 5);
	/* What broke a rule passes once the rule is gone. */
	CHECK_INT(tell(stream, "replay"), 0);
	await(stream, "replayed", MESSAGES / 5);
	CHECK_INT(number(stream, "dead"), 3 * MESSAGES / 5);
	CHECK_INT(number(stream, "messages") + number(stream, "replayed"),
		  number(stream, "applied") + number(stream, "late") + number(stream, "dead"));
	CHECK_INT(tell(stream, "no such thing"), -EINVAL);
	stream_stop(stream);
	world_end(&world);
}

/* A full map blocks the lane, loses nothing, and lets go by itself. */
static void test_full_map(void)
{
	struct world world = { .store_options = {
		.map_bytes = 1 << 20, .segment_bytes = 256 << 10, .log_bytes = 64 << 20, .checkpoint_ms = 50, .checkpoint_bytes = 1 << 20,
	} };
	int64_t base_ns = clock_now() - 3600 * CLOCK_SECOND, end = clock_monotonic() + 60 * CLOCK_SECOND;
	struct buf text = { 0 };
	struct stream *stream;
	bool is_blocked = false;

	world_begin(&world, "stream");
	define(&world, "[stream more]\ntopic = more\n");
	for (int i = 0; i < 20000; i++)
		produce(0, "{\"user\":\"%0100d\",\"n\":%d,\"at\":%" PRId64 "}", i, i, base_ns);
	CHECK_INT(rd_kafka_flush(producer, 60000), 0);
	stream = start(&world);
	while (!is_blocked && clock_monotonic() < end) {
		buf_reset(&text);
		NEED(stream_status(stream, "g.s", &text) == 0 || true);
		is_blocked = memmem(text.data ? text.data : "", text.len, "state: blocked", 14);
		usleep(5000);
	}
	CHECK(is_blocked);
	CHECK(number(stream, "messages") < 20000);
	CHECK_INT(number(stream, "dead"), MESSAGES / 5);
	stream_stop(stream);
	buf_release(&text);
	world_end(&world);
}

int main(void)
{
	start_mock();
	test_exact();
	test_full_map();
	rd_kafka_mock_cluster_destroy(cluster);
	rd_kafka_destroy(producer);
	return test_end("stream_lane");
}
