/* SPDX-License-Identifier: MIT */
/*
 * Dead letters to a topic, for those who watch one: the message as it was, with its headers, and headers of ours that say why and where. The file of
 * dead letters is what counts; the topic gets its copy behind the commit, without waiting for it, so a crash may lose the last of them.
 */
#include "stream/private.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "base/log.h"
#include "stream/kafka.h"

static void note_delivery(rd_kafka_t *rk, const rd_kafka_message_t *msg, void *arg)
{
	struct lane *lane = arg;

	(void)rk;
	if (!msg->err)
		return;
	pthread_mutex_lock(&lane->lock);
	lane->not_forwarded++;
	pthread_mutex_unlock(&lane->lock);
	lane_notice(lane, "a dead letter did not reach its topic: %s", rd_kafka_err2str(msg->err));
}

static bool open_producer(struct lane *lane)
{
	struct why why = { "" };
	rd_kafka_conf_t *conf;
	char text[256];

	if (lane->producer)
		return true;
	if (kafka_conf(&lane->stream->options, &conf, &why) < 0)
		return false;
	rd_kafka_conf_set_opaque(conf, lane);
	rd_kafka_conf_set_dr_msg_cb(conf, note_delivery);
	lane->producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
	if (!lane->producer) {
		rd_kafka_conf_destroy(conf);
		lane_notice(lane, "no dead letters go to %s: %s", lane->def.dead_topic, text);
	}
	return lane->producer != NULL;
}

static void add_header(rd_kafka_headers_t *headers, const char *name, const char *value)
{
	rd_kafka_header_add(headers, name, -1, value, (ssize_t)strlen(value));
}

static void forward(struct lane *lane, const struct batch *batch, const struct item *item)
{
	rd_kafka_headers_t *own = NULL, *headers;
	char partition[16], offset[24];

	headers = !rd_kafka_message_headers(item->msg, &own) ? rd_kafka_headers_copy(own) : rd_kafka_headers_new(8);
	if (!headers)
		return;
	snprintf(partition, sizeof partition, "%" PRId32, item->msg->partition);
	snprintf(offset, sizeof offset, "%" PRId64, item->msg->offset);
	add_header(headers, "featurefs.lane", lane->name);
	add_header(headers, "featurefs.reason", batch->reasons.data + item->reason);
	add_header(headers, "featurefs.topic", lane->def.topic);
	add_header(headers, "featurefs.partition", partition);
	add_header(headers, "featurefs.offset", offset);
	if (rd_kafka_producev(lane->producer, RD_KAFKA_V_TOPIC(lane->def.dead_topic), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
			      RD_KAFKA_V_KEY(item->msg->key, item->msg->key_len),
			      RD_KAFKA_V_VALUE(item->msg->payload, item->msg->len), RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_END)) {
		rd_kafka_headers_destroy(headers);
		pthread_mutex_lock(&lane->lock);
		lane->not_forwarded++;
		pthread_mutex_unlock(&lane->lock);
	}
}

void dead_forward(struct lane *lane, const struct batch *batch, bool only_done)
{
	const struct item *items = (const struct item *)batch->items.data;
	size_t n = batch->items.len / sizeof *items;

	if (!lane->def.dead_topic || !(batch->dead + batch->refused) || !open_producer(lane))
		return;
	for (size_t i = 0; i < n; i++)
		if (items[i].msg && (items[i].fate == FATE_DEAD || items[i].fate == FATE_REFUSED) && (items[i].is_done || !only_done))
			forward(lane, batch, &items[i]);
	rd_kafka_poll(lane->producer, 0);
}

void forward_close(struct lane *lane)
{
	enum { PATIENCE_MS = 2000 };

	if (!lane->producer)
		return;
	rd_kafka_flush(lane->producer, PATIENCE_MS);
	rd_kafka_purge(lane->producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
	rd_kafka_poll(lane->producer, 0);
	if (!kafka_destroy(lane->producer, 0))
		log_warn("lane %s: the producer of its dead letters does not come to its end; it takes some memory until the daemon ends", lane->name);
	lane->producer = NULL;
}
