/* SPDX-License-Identifier: MIT */
/*
 * Messages for tests and benchmarks: produce BROKERS TOPIC COUNT [name=value...]
 *
 *	shape=plain	{"user":"u123","ts":<ms>,"a":..,"b":..,"c":..,"d":..}: about 100 bytes, a key, event times that ascend (default)
 *	shape=mixed	what a topic holds on a bad day: features left out and null, event times at random within an hour, messages of another
 *			type, tombstones, and ones that are no JSON, not of the type, or not UTF-8
 *	seed=1 entities=1000000 partitions=4 rate=0 (messages a second; 0: as fast as it goes) base=<ms, the latest event time; now>
 *	fatal=<number of the message behind which the producer is made to fail, once>
 *
 * The same arguments give the same messages in the same partitions. It ends when all are acknowledged by all replicas; brokers that go away
 * meanwhile are waited for.
 *
 * An idempotent producer gives up for good when a broker does not go on with its numbers where it was, as one may that was killed. What was not
 * acknowledged by then is given to a new producer, which can't know what the broker has of it: some messages may then stand twice.
 */
#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct settings {
	bool is_mixed;
	uint64_t count, seed, entities, partitions, rate, base_ms, fatal;
};

struct message {
	char key[32], value[512];
	size_t value_len;
	bool is_tombstone;
	int32_t partition;
	int64_t timestamp_ms;
};

struct outbox {
	const struct settings *set;
	const char *brokers, *topic;
	rd_kafka_t *rk;
	uint64_t *lost;		/* numbers of messages that a failed producer had not got rid of */
	size_t lost_n, lost_room;
	uint64_t failed;
};

static int64_t now_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* Scatters a number: splitmix64. */
static uint64_t scatter(uint64_t x)
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

/* The next of a message's own numbers, below `limit`. */
static uint64_t pick(uint64_t *state, uint64_t limit)
{
	*state = scatter(*state);
	return *state % limit;
}

static void make_plain(const struct settings *set, uint64_t i, uint64_t *random, struct message *out)
{
	uint64_t user = pick(random, set->entities);

	snprintf(out->key, sizeof out->key, "u%" PRIu64, user);
	out->timestamp_ms = (int64_t)(set->base_ms - (set->count - i) / 1000);
	out->value_len = (size_t)snprintf(out->value, sizeof out->value,
		"{\"user\":\"u%" PRIu64 "\",\"ts\":%" PRId64 ",\"a\":%" PRIu64 ",\"b\":%.4f,\"c\":%" PRIu64 ",\"d\":%.3f}", user, out->timestamp_ms,
		pick(random, 1000000), (double)pick(random, 10000) / 1e4, pick(random, 100), (double)pick(random, 10000000) / 1e3);
}

static size_t append(struct message *out, const char *text)
{
	size_t len = strlen(text);

	memcpy(out->value + out->value_len, text, len);
	return out->value_len += len;
}

static void append_features(uint64_t *random, struct message *out)
{
	char text[128];

	if (pick(random, 4)) {
		snprintf(text, sizeof text, pick(random, 12) ? ",\"a\":%" PRId64 : ",\"a\":null", (int64_t)scatter(*random) >> pick(random, 64));
		append(out, text);
	}
	if (pick(random, 3)) {
		snprintf(text, sizeof text, ",\"b\":%.17g", ((double)pick(random, 2000000) - 1e6) / 7);
		append(out, text);
	}
	if (!pick(random, 3)) {
		snprintf(text, sizeof text, ",\"c\":\"text %" PRIu64 " \\u00e9\\\"\"", pick(random, 100000));
		append(out, pick(random, 8) ? text : ",\"c\":null");
	}
	if (!pick(random, 5)) {
		snprintf(text, sizeof text, ",\"d\":[%" PRIu64 ",-%" PRIu64 "]", pick(random, 1000), pick(random, 1000) + 1);
		append(out, pick(random, 6) ? text : ",\"d\":[]");
	}
}

static void spoil(uint64_t *random, struct message *out)
{
	switch (pick(random, 5)) {
	case 0:
		out->value_len -= 2;		/* cut off */
		break;
	case 1:
		out->value_len--;
		append(out, ",\"d\":\"no array\"}");
		break;
	case 2:
		out->value_len--;
		append(out, ",\"d\":[2147483648]}");
		break;
	case 3:
		out->value_len--;
		append(out, ",\"other\":\"\xff\"}");
		break;
	default:
		out->value_len = 0;
		append(out, "[1,2,3]");
		break;
	}
}

static void make_mixed(const struct settings *set, uint64_t i, uint64_t *random, struct message *out)
{
	uint64_t kind = pick(random, 100);
	/* Times of values are never a whole millisecond and never twice the same; a tombstone's is its record's, in whole ones. */
	uint64_t ms = set->base_ms - pick(random, 3600000);
	char text[128];

	snprintf(out->key, sizeof out->key, "u%" PRIu64, pick(random, set->entities));
	out->timestamp_ms = (int64_t)ms;
	if (kind < 3) {
		out->is_tombstone = true;
		return;
	}
	snprintf(text, sizeof text, "{\"type\":\"%s\",\"ts\":%" PRIu64, kind < 7 ? "view" : "click", ms * 1000000 + 1 + i % 999999);
	append(out, text);
	append_features(random, out);
	append(out, "}");
	if (kind >= 97)
		spoil(random, out);
}

static void make_message(const struct settings *set, uint64_t i, struct message *out)
{
	uint64_t random = scatter(set->seed * 0x100000001b3 ^ scatter(i));

	out->value_len = 0;
	out->is_tombstone = false;
	out->partition = (int32_t)pick(&random, set->partitions);
	if (set->is_mixed)
		make_mixed(set, i, &random, out);
	else
		make_plain(set, i, &random, out);
}

static void keep_lost(struct outbox *box, uint64_t number)
{
	if (box->lost_n == box->lost_room) {
		box->lost_room = box->lost_room ? 2 * box->lost_room : 1024;
		box->lost = realloc(box->lost, box->lost_room * sizeof *box->lost);
		if (!box->lost) {
			fprintf(stderr, "produce: out of memory\n");
			exit(1);
		}
	}
	box->lost[box->lost_n++] = number;
}

static bool has_fatal_error(rd_kafka_t *rk)
{
	char err[8];

	return rd_kafka_fatal_error(rk, err, sizeof err) != RD_KAFKA_RESP_ERR_NO_ERROR;
}

static void note_delivery(rd_kafka_t *rk, const rd_kafka_message_t *msg, void *arg)
{
	struct outbox *box = arg;

	if (!msg->err)
		return;
	if (has_fatal_error(rk))
		keep_lost(box, (uint64_t)(uintptr_t)msg->_private);
	else if (!box->failed++)
		fprintf(stderr, "produce: %s\n", rd_kafka_err2str(msg->err));
}

static void must_set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
	char err[512];

	if (rd_kafka_conf_set(conf, name, value, err, sizeof err)) {
		fprintf(stderr, "produce: %s\n", err);
		exit(1);
	}
}

static void open_producer(struct outbox *box)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char err[512];

	must_set(conf, "bootstrap.servers", box->brokers);
	must_set(conf, "enable.idempotence", "true");
	must_set(conf, "linger.ms", "1");
	must_set(conf, "message.timeout.ms", "600000");
	must_set(conf, "reconnect.backoff.max.ms", "1000");
	must_set(conf, "queue.buffering.max.messages", "200000");
	rd_kafka_conf_set_dr_msg_cb(conf, note_delivery);
	rd_kafka_conf_set_opaque(conf, box);
	box->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, err, sizeof err);
	if (!box->rk) {
		fprintf(stderr, "produce: %s\n", err);
		exit(1);
	}
}

static void send_message(struct outbox *box, uint64_t number)
{
	struct message msg;

	make_message(box->set, number, &msg);
	for (;;) {
		rd_kafka_resp_err_t err = rd_kafka_producev(box->rk, RD_KAFKA_V_TOPIC(box->topic), RD_KAFKA_V_PARTITION(msg.partition),
			RD_KAFKA_V_KEY(msg.key, strlen(msg.key)), RD_KAFKA_V_VALUE(msg.is_tombstone ? NULL : msg.value, msg.is_tombstone ? 0 : msg.value_len),
			RD_KAFKA_V_TIMESTAMP(msg.timestamp_ms), RD_KAFKA_V_OPAQUE((void *)(uintptr_t)number),
			RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);

		if (!err)
			return;
		if (err == RD_KAFKA_RESP_ERR__FATAL) {
			keep_lost(box, number);
			return;
		}
		if (err != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
			fprintf(stderr, "produce: %s\n", rd_kafka_err2str(err));
			exit(1);
		}
		rd_kafka_poll(box->rk, 100);
	}
}

static int compare_numbers(const void *a, const void *b)
{
	const uint64_t *left = a, *right = b;

	return (*left > *right) - (*left < *right);
}

/* Another producer for one that has given up; it sends what that one had not got rid of, in order. */
static void renew_producer(struct outbox *box)
{
	char err[512];
	uint64_t *lost;
	size_t n;

	rd_kafka_fatal_error(box->rk, err, sizeof err);
	rd_kafka_purge(box->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
	while (rd_kafka_outq_len(box->rk))
		rd_kafka_poll(box->rk, 100);
	rd_kafka_destroy(box->rk);
	fprintf(stderr, "produce: %s; a new producer sends %zu messages again\n", err, box->lost_n);
	open_producer(box);
	lost = box->lost;
	n = box->lost_n;
	box->lost = NULL;
	box->lost_n = box->lost_room = 0;
	if (n)
		qsort(lost, n, sizeof *lost, compare_numbers);
	for (size_t i = 0; i < n; i++)
		send_message(box, lost[i]);
	free(lost);
}

static void serve(struct outbox *box, int wait_ms)
{
	rd_kafka_poll(box->rk, wait_ms);
	if (has_fatal_error(box->rk))
		renew_producer(box);
}

static void read_setting(struct settings *set, const char *text)
{
	static const struct {
		const char *name;
		size_t at;
	} numbers[] = {
		{ "seed=", offsetof(struct settings, seed) }, { "entities=", offsetof(struct settings, entities) },
		{ "partitions=", offsetof(struct settings, partitions) }, { "rate=", offsetof(struct settings, rate) },
		{ "base=", offsetof(struct settings, base_ms) }, { "fatal=", offsetof(struct settings, fatal) },
	};

	if (!strcmp(text, "shape=mixed") || !strcmp(text, "shape=plain")) {
		set->is_mixed = text[6] == 'm';
		return;
	}
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		if (!strncmp(text, numbers[i].name, strlen(numbers[i].name))) {
			*(uint64_t *)((char *)set + numbers[i].at) = strtoull(text + strlen(numbers[i].name), NULL, 10);
			return;
		}
	fprintf(stderr, "produce: what is %s?\n", text);
	exit(2);
}

int main(int argc, char **argv)
{
	struct settings set = { .seed = 1, .entities = 1000000, .partitions = 4 };
	struct outbox box = { .set = &set };
	int64_t start;

	if (argc < 4) {
		fprintf(stderr, "usage: produce BROKERS TOPIC COUNT [name=value...]\n");
		return 2;
	}
	box.brokers = argv[1];
	box.topic = argv[2];
	set.count = strtoull(argv[3], NULL, 10);
	set.base_ms = (uint64_t)(now_ns(CLOCK_REALTIME) / 1000000);
	for (int i = 4; i < argc; i++)
		read_setting(&set, argv[i]);
	open_producer(&box);
	start = now_ns(CLOCK_MONOTONIC);
	for (uint64_t i = 0; i < set.count; i++) {
		send_message(&box, i);
		if (set.fatal && i == set.fatal)
			rd_kafka_test_fatal_error(box.rk, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, "as it was told");
		if (set.rate) {
			int64_t due = start + (int64_t)(i * 1000000000 / set.rate), now = now_ns(CLOCK_MONOTONIC);

			if (due > now + 1000000)
				serve(&box, (int)((due - now) / 1000000));
		}
		if (i % 256 == 0)
			serve(&box, 0);
	}
	while (rd_kafka_outq_len(box.rk) || box.lost_n)
		serve(&box, 100);
	rd_kafka_destroy(box.rk);
	free(box.lost);
	return box.failed != 0;
}
