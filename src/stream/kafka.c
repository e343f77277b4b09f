/* SPDX-License-Identifier: MIT */
/*
 * What the operator says about Kafka goes to librdkafka as it is, so that each of its properties (TLS, SASL, fetch sizes) can be set and is
 * checked by the library itself. Refused are those that the lane must own: they decide what counts as consumed.
 */
#include "stream/kafka.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/log.h"

/* Set by the lane, and why nobody else may. */
static const struct owned {
	const char *name, *instead;
} owned[] = {
	{ "bootstrap.servers", "kafka.brokers names the brokers" },
	{ "metadata.broker.list", "kafka.brokers names the brokers" },
	{ "client.id", "kafka.client_id is the option for it" },
	{ "enable.auto.commit", "offsets are kept in the store, with the values" },
	{ "enable.auto.offset.store", "offsets are kept in the store, with the values" },
	{ "auto.offset.reset", "a stream's start and reset say where it begins" },
	{ "enable.partition.eof", "the lane needs it as it is" },
	{ "statistics.interval.ms", ".featurefs/lanes and .featurefs/metrics have the figures" },
};

int kafka_set(rd_kafka_conf_t *conf, const char *name, const char *value, struct why *why)
{
	char text[256];

	if (rd_kafka_conf_set(conf, name, value, text, sizeof text) == RD_KAFKA_CONF_OK)
		return 0;
	return why_fail(why, EINVAL, "kafka.%s: librdkafka says: %s", name, text);
}

static int set_property(rd_kafka_conf_t *conf, const char *name, const char *value, struct why *why)
{
	for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
		if (!strcmp(name, owned[i].name))
			return why_fail(why, EINVAL, "kafka.%s can't be set: %s", name, owned[i].instead);
	return kafka_set(conf, name, value, why);
}

int stream_property_check(const char *name, const char *value, struct why *why)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	int rc = conf ? set_property(conf, name, value, why) : -ENOMEM;

	if (conf)
		rd_kafka_conf_destroy(conf);
	return rc;
}

bool stream_property_is_secret(const char *name)
{
	static const char *const parts[] = {
		"password", "secret", "key", "pem", "jaas", "oauth", "token", "username", "credential", "userinfo",
	};

	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
		if (strstr(name, parts[i]))
			return true;
	return false;
}

/* What matters of it comes as errors of calls and messages, too; this is for those who look closely. */
static void take_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
	(void)rk;
	(void)level;
	log_debug("librdkafka: %s: %s", facility, text);
}

int kafka_conf(const struct stream_options *options, rd_kafka_conf_t **out, struct why *why)
{
	static const struct stream_property defaults[] = {
		/* With a full queue 2.0 stops fetching for a whole second, so the queue holds more than a second's messages, small
		 * ones too; its bytes are what bounds memory. */
		{ (char *)"queued.min.messages", (char *)"1000000" },
		{ (char *)"queued.max.messages.kbytes", (char *)"49152" },
		{ (char *)"fetch.error.backoff.ms", (char *)"200" },
		{ (char *)"reconnect.backoff.max.ms", (char *)"2000" },
		{ (char *)"socket.keepalive.enable", (char *)"true" },
	};
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	int rc = conf ? kafka_set(conf, "bootstrap.servers", options->brokers, why) : -ENOMEM;

	if (rc == 0)
		rc = kafka_set(conf, "client.id", options->client_id, why);
	for (size_t i = 0; rc == 0 && i < sizeof defaults / sizeof *defaults; i++)
		rc = kafka_set(conf, defaults[i].name, defaults[i].value, why);
	for (unsigned i = 0; rc == 0 && i < options->n_properties; i++)
		rc = set_property(conf, options->properties[i].name, options->properties[i].value, why);
	if (rc < 0) {
		if (conf)
			rd_kafka_conf_destroy(conf);
		return rc;
	}
	rd_kafka_conf_set_log_cb(conf, take_log);
	*out = conf;
	return 0;
}

bool kafka_is_unknown(rd_kafka_resp_err_t err)
{
	return err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || err == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
	       err == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION;
}

bool kafka_is_down(rd_kafka_resp_err_t err)
{
	return err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || err == RD_KAFKA_RESP_ERR__TRANSPORT ||
	       err == RD_KAFKA_RESP_ERR__RESOLVE || err == RD_KAFKA_RESP_ERR__TIMED_OUT ||
	       err == RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE;
}

/* ---- the end of a client ---- */

/* Owned by the thread that destroys and the one that waits; who comes last frees it. */
struct farewell {
	pthread_mutex_t lock;
	pthread_cond_t done;
	rd_kafka_t *rk;
	int flags;
	bool is_done, is_left;
};

static void forget(struct farewell *farewell)
{
	pthread_cond_destroy(&farewell->done);
	pthread_mutex_destroy(&farewell->lock);
	free(farewell);
}

static void *destroy(void *arg)
{
	struct farewell *farewell = arg;
	bool is_left;

	rd_kafka_destroy_flags(farewell->rk, farewell->flags);
	pthread_mutex_lock(&farewell->lock);
	farewell->is_done = true;
	is_left = farewell->is_left;
	pthread_cond_signal(&farewell->done);
	pthread_mutex_unlock(&farewell->lock);
	if (is_left)
		forget(farewell);
	return NULL;
}

static struct farewell *begin_farewell(rd_kafka_t *rk, int flags, pthread_t *out_thread)
{
	struct farewell *farewell = calloc(1, sizeof *farewell);
	pthread_condattr_t attr;

	if (!farewell)
		return NULL;
	farewell->rk = rk;
	farewell->flags = flags;
	pthread_mutex_init(&farewell->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&farewell->done, &attr);
	pthread_condattr_destroy(&attr);
	if (pthread_create(out_thread, NULL, destroy, farewell)) {
		forget(farewell);
		return NULL;
	}
	return farewell;
}

bool kafka_destroy(rd_kafka_t *rk, int flags)
{
	int64_t until_ns = clock_monotonic() + 20 * CLOCK_SECOND;
	const struct timespec until = { .tv_sec = until_ns / CLOCK_SECOND, .tv_nsec = until_ns % CLOCK_SECOND };
	pthread_t thread;
	struct farewell *farewell = begin_farewell(rk, flags, &thread);
	bool is_done;
	int rc = 0;

	if (!farewell) {
		rd_kafka_destroy_flags(rk, flags);
		return true;
	}
	pthread_mutex_lock(&farewell->lock);
	while (!farewell->is_done && rc == 0)
		rc = pthread_cond_timedwait(&farewell->done, &farewell->lock, &until);
	is_done = farewell->is_done;
	farewell->is_left = !is_done;
	if (!is_done)
		pthread_detach(thread);
	pthread_mutex_unlock(&farewell->lock);
	if (is_done) {
		pthread_join(thread, NULL);
		forget(farewell);
	}
	return is_done;
}
