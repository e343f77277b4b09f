/* SPDX-License-Identifier: MIT */
/*
 * What a lane asks the brokers: how many partitions its topic has, where they begin and end, and which offset a time stands for. Who does not answer soon is
 * asked again later; what went wrong is told in the library's own words, for these say more than how a question ended.
 */
#include "stream/private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include "stream/kafka.h"

enum { ASK_MS = 1500 };		/* for an answer of the brokers; who has not answered then is asked again */

/* What the library says of its connections tells more than how a question ended; a refused login or certificate is no broker that is down. */
static int fail_to_ask(struct lane *lane, rd_kafka_resp_err_t err, const char *what, struct why *why)
{
	char said[sizeof lane->client_error];
	int code;

	/* For the library's own words. Once messages may wait in that queue it must not be served like this: the library would abort. */
	if (!lane->is_attached)
		rd_kafka_poll(lane->rk, 0);
	pthread_mutex_lock(&lane->lock);
	snprintf(said, sizeof said, "%s", lane->client_error);
	code = lane->client_code;
	pthread_mutex_unlock(&lane->lock);
	if (kafka_is_down(err) && code == RD_KAFKA_RESP_ERR__AUTHENTICATION)
		return why_fail(why, EHOSTUNREACH, "the brokers refuse the login: %s", said);
	if (kafka_is_down(err) && code == RD_KAFKA_RESP_ERR__SSL)
		return why_fail(why, EHOSTUNREACH, "no TLS connection to the brokers: %s", said);
	return why_fail(why, EHOSTUNREACH, "%s: %s%s%s", what, rd_kafka_err2str(err), said[0] ? "; " : "", said);
}

static void forget_client_error(struct lane *lane)
{
	pthread_mutex_lock(&lane->lock);
	lane->client_error[0] = '\0';
	lane->client_code = 0;
	pthread_mutex_unlock(&lane->lock);
}

int ask_partitions(struct lane *lane, int32_t *out, struct why *why)
{
	const struct rd_kafka_metadata *meta;
	rd_kafka_resp_err_t err = rd_kafka_metadata(lane->rk, 0, lane->topic, &meta, ASK_MS);

	if (err)
		return fail_to_ask(lane, err, "the brokers don't answer", why);
	err = meta->topic_cnt == 1 ? meta->topics[0].err : RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
	*out = err || meta->topic_cnt != 1 ? 0 : meta->topics[0].partition_cnt;
	rd_kafka_metadata_destroy(meta);
	lane->all_down = false;
	lane->topic_is_gone = *out == 0;
	forget_client_error(lane);
	if (err && !kafka_is_unknown(err) && err != RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE)
		return fail_to_ask(lane, err, "the topic can't be looked at", why);
	return 0;
}

/* Offsets of the partitions in the list, for a logical offset or a time in each. */
static int ask_offsets(struct lane *lane, rd_kafka_topic_partition_list_t *list, struct why *why)
{
	rd_kafka_resp_err_t err = rd_kafka_offsets_for_times(lane->rk, list, ASK_MS);

	for (int i = 0; !err && i < list->cnt; i++)
		err = list->elems[i].err;
	return err ? fail_to_ask(lane, err, "the topic's offsets can't be learnt", why) : 0;
}

/* The same for all those that are wanted. */
static int ask_all(struct lane *lane, const struct wanted *wanted, int64_t number, rd_kafka_topic_partition_list_t **out, struct why *why)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(lane->n_parts);
	int rc = 0;

	for (int32_t i = 0; i < lane->n_parts; i++)
		if (wanted->all || wanted->is[i])
			rd_kafka_topic_partition_list_add(list, lane->def.topic, i)->offset = number;
	if (list->cnt)
		rc = ask_offsets(lane, list, why);
	if (rc < 0)
		rd_kafka_topic_partition_list_destroy(list);
	else
		*out = list;
	return rc;
}

int ask_marks(struct lane *lane, const struct wanted *wanted, struct why *why)
{
	rd_kafka_topic_partition_list_t *low = NULL, *high = NULL;
	int rc = ask_all(lane, wanted, RD_KAFKA_OFFSET_BEGINNING, &low, why);

	if (rc == 0)
		rc = ask_all(lane, wanted, RD_KAFKA_OFFSET_END, &high, why);
	for (int i = 0; rc == 0 && i < low->cnt; i++) {
		struct partition *part = &lane->parts[low->elems[i].partition];

		part->low = low->elems[i].offset;
		part->high = high->elems[i].offset;
		if (part->low < 0 || part->high < 0)
			rc = why_fail(why, EHOSTUNREACH, "the broker doesn't say where partition %" PRId32 " begins and ends",
				      low->elems[i].partition);
	}
	if (low)
		rd_kafka_topic_partition_list_destroy(low);
	if (high)
		rd_kafka_topic_partition_list_destroy(high);
	return rc;
}

int ask_places(struct lane *lane, const struct whence *whence, const struct wanted *wanted, int64_t *out, struct why *why)
{
	rd_kafka_topic_partition_list_t *list;
	int rc = ask_marks(lane, wanted, why);

	for (int32_t i = 0; rc == 0 && i < lane->n_parts; i++)
		if (wanted->all || wanted->is[i])
			out[i] = whence->number == RD_KAFKA_OFFSET_BEGINNING ? lane->parts[i].low : lane->parts[i].high;
	if (rc < 0 || !whence->is_time)
		return rc;
	rc = ask_all(lane, wanted, whence->number, &list, why);
	if (rc < 0)
		return rc;
	/* Where no message is that young, it begins at the end. */
	for (int i = 0; i < list->cnt; i++)
		if (list->elems[i].offset >= 0)
			out[list->elems[i].partition] = list->elems[i].offset;
	rd_kafka_topic_partition_list_destroy(list);
	return 0;
}

int ask_check_places(struct lane *lane, const int64_t *next, struct why *why)
{
	static const struct wanted all = { .all = true };
	int rc = ask_marks(lane, &all, why);

	for (int32_t i = 0; rc == 0 && i < lane->n_parts; i++)
		if (next[i] >= 0 && (next[i] < lane->parts[i].low || next[i] > lane->parts[i].high))
			rc = why_fail(why, ERANGE, "partition %" PRId32 " has offsets %" PRId64 " to %" PRId64, i, lane->parts[i].low,
				      lane->parts[i].high);
	return rc;
}
