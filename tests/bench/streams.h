/* SPDX-License-Identifier: MIT */
/* What the benchmarks of the stream lane share: a daemon of their own, its lanes, and a bare consumer beside it. */
#ifndef BENCH_STREAMS_H
#define BENCH_STREAMS_H

#include <fcntl.h>
#include <librdkafka/rdkafka.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/buf.h"
#include "bench.h"
#include "catalog/catalog.h"
#include "daemon.h"
#include "stream/format.h"

static const char streams_features[] = "[feature a]\ntype = int64\n\n[feature b]\ntype = float64\n\n[feature c]\ntype = int32\n\n"
				       "[feature d]\ntype = float64\n\n";

struct streams_world {
	const char *bin, *work, *brokers;
	char store[512], mnt[512];
	pid_t pid;
};

/* ---- the daemon ---- */

static inline void streams_wait_mount(const struct streams_world *w)
{
	char path[600];
	struct stat st;

	snprintf(path, sizeof path, "%s/.featurefs/status", w->mnt);
	for (int i = 0; stat(path, &st) < 0; i++) {
		if (i > 3000 || waitpid(w->pid, NULL, WNOHANG) > 0)
			bench_die("the daemon does not mount %s", w->mnt);
		usleep(10000);
	}
}

/* On a new, empty store. */
static inline void streams_start(struct streams_world *w, unsigned number)
{
	char brokers[256], bin[512];

	snprintf(w->store, sizeof w->store, "%s/stream-store%u", w->work, number);
	snprintf(w->mnt, sizeof w->mnt, "%s/stream-mnt", w->work);
	snprintf(brokers, sizeof brokers, "kafka.brokers=%s", w->brokers);
	snprintf(bin, sizeof bin, "%s/featurefs", w->bin);
	mkdir(w->mnt, 0755);
	w->pid = bench_fork();
	if (w->pid == 0) {
		dup2(STDERR_FILENO, STDOUT_FILENO);
		execl(bin, bin, w->store, w->mnt, "-f", "-o", brokers, (char *)NULL);
		_exit(127);
	}
	streams_wait_mount(w);
}

static inline void streams_stop(struct streams_world *w)
{
	char command[600];
	int status = -1;

	if (umount(w->mnt) < 0)
		bench_die("cannot unmount %s: %s", w->mnt, strerror(errno));
	waitpid(w->pid, &status, 0);
	if (status)
		bench_die("the daemon ended with %d", status);
	snprintf(command, sizeof command, "rm -rf --one-file-system '%s'", w->store);
	if (system(command))
		bench_die("cannot remove %s", w->store);
}

/* Processor time that a process has used, in seconds. */
static inline double streams_cpu(pid_t pid)
{
	unsigned long user = 0, system_time = 0;
	char path[64], text[1024] = "";
	const char *at;
	FILE *file;

	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	file = fopen(path, "r");
	if (!file || !fgets(text, sizeof text, file) || !(at = strrchr(text, ')')) ||
	    sscanf(at + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system_time) != 2)
		bench_die("cannot read %s", path);
	fclose(file);
	return (double)(user + system_time) / (double)sysconf(_SC_CLK_TCK);
}

/* ---- files ---- */

static inline void streams_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) || close(fd) < 0)
		bench_die("%s: %s", path, strerror(errno));
}

/* The number that a file holds, or that stands behind "key: " in it; -1 if it is not there. */
static inline long streams_number(const char *path, const char *key)
{
	char text[8192];
	const char *at = text;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);

	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return -1;
	text[n] = '\0';
	if (key) {
		char wanted[64];

		snprintf(wanted, sizeof wanted, "%s: ", key);
		at = strstr(text, wanted);
		if (!at)
			return -1;
		at += strlen(wanted);
	}
	return strtol(at, NULL, 10);
}

/* ---- lanes ---- */

static inline void streams_section(const char *topic, const char *start, char *out, size_t size)
{
	snprintf(out, size, "%s[stream s]\ntopic = %s\nformat = json\nentity = $.user\nevent_time = $.ts\nevent_time_unit = ms\nstart = %s\n",
		 streams_features, topic, start);
}

/* A group whose values come from the topic. */
static inline void streams_define(const struct streams_world *w, const char *group, const char *topic, const char *start)
{
	char path[600], text[2048];

	snprintf(path, sizeof path, "%s/%s", w->mnt, group);
	mkdir(path, 0755);
	snprintf(path, sizeof path, "%s/%s/.schema", w->mnt, group);
	streams_section(topic, start, text, sizeof text);
	streams_write(path, text);
}

static inline long streams_consumed(const struct streams_world *w, const char *group)
{
	char path[700];

	snprintf(path, sizeof path, "%s/.featurefs/lanes/%s.s/status", w->mnt, group);
	return streams_number(path, "messages");
}

/* Messages a second, from the first that is seen to be consumed to the last of `count`. */
static inline double streams_rate(const struct streams_world *w, const char *group, long count)
{
	int64_t begin_ns = 0, now, limit = clock_monotonic() + 600 * CLOCK_SECOND;
	long first = 0, done;

	for (;;) {
		done = streams_consumed(w, group);
		now = clock_monotonic();
		if (!begin_ns && done > 0) {
			begin_ns = now;
			first = done;
		}
		if (done >= count)
			break;
		if (now > limit)
			bench_die("group %s: %ld of %ld messages were consumed in ten minutes", group, done, count);
		usleep(10000);
	}
	if (done == first)
		bench_die("%ld messages are too few to measure", count);
	return (double)(done - first) * 1e9 / (double)(now - begin_ns);
}

/* ---- a bare consumer ---- */

static inline void streams_set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
	char err[512];

	if (rd_kafka_conf_set(conf, name, value, err, sizeof err))
		bench_die("%s", err);
}

static inline rd_kafka_t *streams_client(const char *brokers)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char err[512];
	rd_kafka_t *rk;

	streams_set(conf, "bootstrap.servers", brokers);
	streams_set(conf, "group.id", "bench");
	streams_set(conf, "enable.auto.commit", "false");
	streams_set(conf, "enable.auto.offset.store", "false");
	streams_set(conf, "auto.offset.reset", "earliest");
	streams_set(conf, "queued.min.messages", "1000000");
	streams_set(conf, "queued.max.messages.kbytes", "65536");
	streams_set(conf, "fetch.wait.max.ms", "10");
	rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, err, sizeof err);
	if (!rk)
		bench_die("%s", err);
	rd_kafka_poll_set_consumer(rk);
	return rk;
}

/* How many messages the topic holds, as far as offsets tell. */
static inline long streams_held(const char *brokers, const char *topic, int partitions)
{
	rd_kafka_t *rk = streams_client(brokers);
	int64_t low, high;
	long held = 0;

	for (int i = 0; i < partitions; i++) {
		rd_kafka_resp_err_t err = rd_kafka_query_watermark_offsets(rk, topic, i, &low, &high, 10000);

		if (err)
			bench_die("topic %s at %s: %s", topic, brokers, rd_kafka_err2str(err));
		held += (long)(high - low);
	}
	rd_kafka_consumer_close(rk);
	rd_kafka_destroy(rk);
	return held;
}

/* What is read must be of this run alone. */
static inline void streams_need_empty(const char *brokers, const char *topic, int partitions)
{
	long held = streams_held(brokers, topic, partitions);

	if (held)
		bench_die("topic %s holds %ld messages of an earlier run: delete it and make it anew, or take a new broker", topic, held);
}

static inline void streams_need(const char *brokers, const char *topic, int partitions, long messages)
{
	long held = streams_held(brokers, topic, partitions);

	if (held < messages)
		bench_die("topic %s holds %ld messages, and %ld are to be read: produce them first (tests/kafka/produce BROKERS %s %ld)", topic, held,
			  messages, topic, messages);
}

static inline void streams_assign(rd_kafka_t *rk, const char *topic, int partitions, int64_t offset)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(partitions);

	for (int i = 0; i < partitions; i++)
		rd_kafka_topic_partition_list_add(list, topic, i)->offset = offset;
	if (rd_kafka_assign(rk, list))
		bench_die("cannot assign %s", topic);
	rd_kafka_topic_partition_list_destroy(list);
}

/* The mapping that the daemon uses, for the same parsing. */
static inline struct stream_mapping *streams_mapping(struct catalog_group **out_grp)
{
	struct stream_mapping *map;
	struct why why = { "" };
	char text[2048];

	streams_section("t", "earliest", text, sizeof text);
	if (catalog_group_parse("bench", slice_str(text), out_grp, &why) < 0 ||
	    stream_mapping_new(*out_grp, &(*out_grp)->sections[0], NULL, &map, &why) < 0)
		bench_die("%s", why.text);
	return map;
}

static inline void streams_decode(struct stream_mapping *map, const rd_kafka_message_t *msg, struct stream_row *out)
{
	struct stream_message message = { .key = slice_of(msg->key, msg->key_len), .value = slice_of(msg->payload, msg->len), .has_key = msg->key,
					  .has_value = msg->payload, .timestamp_ns = STREAM_NO_TIME };
	struct why why = { "" };

	if (stream_mapping_decode(map, &message, out, &why))
		bench_die("offset %ld: %s", (long)msg->offset, why.text);
}

#endif
