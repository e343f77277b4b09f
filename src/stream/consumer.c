/* SPDX-License-Identifier: MIT */
/*
 * The consumer of one lane. Each lane has its own: streams of one topic stand at different places, pause and seek apart, and one that fails says so
 * alone. The price is a few threads and a connection to each broker for a lane, and that a topic with two streams is fetched twice.
 *
 * Where a lane stands is in the store alone. Whenever that changes otherwise than by going on (a seek, a reset, a resumed lane), the consumer is
 * closed and another one opened at the stored positions, for what an old one has still queued can't be told from what is wanted.
 *
 * librdkafka 2.0 waits for ever when a client is destroyed whose assigned topic has gone (its partitions keep their broker's thread); once the topic is
 * back, it is well again. So a consumer is kept while its topic is gone, and if it must be closed then, it is left behind. Other reasons are met by
 * patience with an end: no lane and no daemon waits for a client for ever.
 *
 * Without a consumer group the lane assigns all partitions to itself, and looks for new ones. With one, partitions come and go: what
 * is under way is finished before they go, and when they come, they go on at the store's own position, not at the group's.
 */
#include "stream/private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/log.h"
#include "stream/kafka.h"

#define LEAVE_NS (5 * CLOCK_SECOND)

/* ---- life ---- */

static void take_error(rd_kafka_t *rk, int err, const char *text, void *arg)
{
	struct lane *lane = arg;
	char said[512];

	if (err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
		lane->all_down = true;
	if (err == RD_KAFKA_RESP_ERR__FATAL)
		err = rd_kafka_fatal_error(rk, said, sizeof said);
	pthread_mutex_lock(&lane->lock);
	if (err != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
		snprintf(lane->client_error, sizeof lane->client_error, "%s", text);
		lane->client_code = err;
	}
	pthread_mutex_unlock(&lane->lock);
	if (err == RD_KAFKA_RESP_ERR__BAD_MSG)
		consumer_note_unreadable(lane, text);
	if (rd_kafka_fatal_error(rk, NULL, 0))
		lane->must_reopen = true;
}

void consumer_note_unreadable(struct lane *lane, const char *text)
{
	snprintf(lane->unreadable, sizeof lane->unreadable, "%s", text);
	lane->unreadable_ns = clock_monotonic();
}

static void rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t err, rd_kafka_topic_partition_list_t *list, void *arg);

void consumer_show(struct lane *lane)
{
	struct partition *parts = calloc((size_t)lane->n_parts + 1, sizeof *parts);
	char *topic = strdup(lane->def.topic ? lane->def.topic : "");

	pthread_mutex_lock(&lane->lock);
	if (parts && topic) {
		struct partition *old = lane->shown_parts;
		char *old_topic = lane->shown_topic;

		for (int32_t i = 0; i < lane->n_parts; i++) {
			parts[i] = lane->parts[i];
			parts[i].ahead = (struct ahead){ 0 };
		}
		lane->shown_parts = parts;
		lane->shown_topic = topic;
		lane->n_shown_parts = lane->n_parts;
		parts = old;
		topic = old_topic;
	}
	pthread_mutex_unlock(&lane->lock);
	free(parts);
	free(topic);
}

static bool has_property(const struct stream_options *options, const char *name)
{
	for (unsigned i = 0; i < options->n_properties; i++)
		if (!strcmp(options->properties[i].name, name))
			return true;
	return false;
}

int consumer_open(struct lane *lane, struct why *why)
{
	rd_kafka_conf_t *conf;
	rd_kafka_queue_t *queue;
	char text[256];
	int rc;

	if (lane->rk)
		return 0;
	rc = kafka_conf(&lane->stream->options, &conf, why);
	if (rc == 0)
		rc = kafka_set(conf, "enable.auto.commit", "false", why);
	if (rc == 0)
		rc = kafka_set(conf, "enable.auto.offset.store", "false", why);
	if (rc == 0)
		rc = kafka_set(conf, "auto.offset.reset", "error", why);
	if (rc == 0)
		rc = kafka_set(conf, "enable.partition.eof", "true", why);
	/* Without a group the library still wants a name for one; it commits nothing to it. */
	if (rc == 0 && (lane->def.group || !has_property(&lane->stream->options, "group.id")))
		rc = kafka_set(conf, "group.id", lane->def.group ? lane->def.group : "featurefs", why);
	if (rc < 0)
		return rc;
	rd_kafka_conf_set_opaque(conf, lane);
	rd_kafka_conf_set_error_cb(conf, take_error);
	if (lane->def.group)
		rd_kafka_conf_set_rebalance_cb(conf, rebalance);
	lane->rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof text);
	if (!lane->rk) {
		rd_kafka_conf_destroy(conf);
		return why_fail(why, EINVAL, "librdkafka: %s", text);
	}
	rd_kafka_poll_set_consumer(lane->rk);
	queue = rd_kafka_queue_get_consumer(lane->rk);
	lane->topic = rd_kafka_topic_new(lane->rk, lane->def.topic, NULL);
	lane->is_attached = lane->must_reopen = lane->all_down = false;
	lane->unreadable[0] = '\0';
	pthread_mutex_lock(&lane->lock);
	lane->queue = queue;
	lane->client_error[0] = '\0';
	lane->client_code = 0;
	pthread_mutex_unlock(&lane->lock);
	return lane->topic ? 0 : why_fail(why, EINVAL, "topic %s: %s", lane->def.topic, rd_kafka_err2str(rd_kafka_last_error()));
}

/* May it be destroyed? */
static bool is_healthy(struct lane *lane)
{
	struct why why;
	int32_t n;

	if (lane->is_attached && !lane->all_down)
		ask_partitions(lane, &n, &why);
	return !lane->is_attached || !lane->topic_is_gone;
}

/*
 * Leaves the group, so that others needn't wait until its session has run out; if the coordinator doesn't answer, they must. Messages that were
 * fetched come through the same queue, and a call that serves callbacks only would make the library abort at one.
 */
static void leave_group(struct lane *lane)
{
	int64_t until_ns = clock_monotonic() + LEAVE_NS;
	rd_kafka_queue_t *queue = rd_kafka_queue_new(lane->rk);
	rd_kafka_error_t *error = rd_kafka_consumer_close_queue(lane->rk, queue);

	lane->is_closing = true;
	while (!error && !rd_kafka_consumer_closed(lane->rk) && clock_monotonic() < until_ns) {
		rd_kafka_message_t *msg = rd_kafka_consume_queue(queue, 50);

		if (msg)
			rd_kafka_message_destroy(msg);
	}
	lane->is_closing = false;
	rd_kafka_error_destroy(error);
	rd_kafka_queue_destroy(queue);
}

static void destroy(struct lane *lane, bool is_well)
{
	if (lane->def.group)
		leave_group(lane);
	if (lane->topic)
		rd_kafka_topic_destroy(lane->topic);
	if (!is_well)
		log_warn("lane %s: topic %s is gone, so its client can't be closed; it takes some memory until the daemon ends", lane->name,
			 lane->def.topic);
	else if (!kafka_destroy(lane->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE))
		log_warn("lane %s: its client does not come to its end; it takes some memory until the daemon ends", lane->name);
	lane->rk = NULL;
	lane->topic = NULL;
}

void consumer_close(struct lane *lane)
{
	rd_kafka_queue_t *queue;
	bool is_well;

	if (lane->held)
		rd_kafka_message_destroy(lane->held);
	lane->held = NULL;
	if (!lane->rk)
		return;
	batches_wait(lane, 1);
	batches_drop(lane);
	pthread_mutex_lock(&lane->lock);
	queue = lane->queue;
	lane->queue = NULL;
	pthread_mutex_unlock(&lane->lock);
	is_well = is_healthy(lane);
	if (queue)
		rd_kafka_queue_destroy(queue);
	destroy(lane, is_well);
	lane->is_attached = lane->must_reopen = false;
	for (int32_t i = 0; i < lane->n_parts; i++)
		lane->parts[i].is_assigned = false;
	consumer_show(lane);
}

/* ---- where to go on ---- */

static int set_size(struct lane *lane, int32_t n)
{
	struct partition *parts;

	if (n <= lane->n_parts)
		return 0;
	parts = realloc(lane->parts, (size_t)n * sizeof *parts);
	if (!parts)
		return -ENOMEM;
	for (int32_t i = lane->n_parts; i < n; i++)
		parts[i] = (struct partition){
			.next = -1, .committed = { .next = -1, .timestamp_ns = STREAM_NO_TIME }, .low = -1, .high = -1, .end = -1, .end_next = -1,
		};
	lane->parts = parts;
	lane->n_parts = n;
	return 0;
}

/* Where it stands is known without anybody's help, and of interest while nobody answers. Partitions that others of its group had leave gaps. */
void consumer_recall(struct lane *lane)
{
	enum { GAP_MAX = 64 };
	struct position pos;
	int rc = 0;

	for (int32_t i = 0, last = -1; rc == 0 && i <= last + GAP_MAX; i++) {
		rc = position_load(lane->stream->options.store, lane->group_id, lane->stream_name, lane->def.topic, i, &pos, NULL);
		if (rc == 0)
			rc = set_size(lane, i + 1);
		if (rc == 0) {
			lane->parts[i].committed = pos;
			last = i;
		}
		rc = rc == -ENOENT ? 0 : rc;
	}
	consumer_show(lane);
}

/* Reads what is stored. *out_begun: the stream has been at this topic before. */
static int load_positions(struct lane *lane, const struct wanted *wanted, bool *out_begun)
{
	struct position pos;
	int rc = 0;

	*out_begun = false;
	for (int32_t i = 0; rc == 0 && i < lane->n_parts; i++) {
		bool is_wanted = wanted->all || wanted->is[i];

		rc = position_load(lane->stream->options.store, lane->group_id, lane->stream_name, lane->def.topic, i, &pos,
				   is_wanted ? &lane->parts[i].ahead : NULL);
		*out_begun = *out_begun || rc == 0;
		if (rc == 0 && is_wanted)
			lane->parts[i].committed = pos;
		rc = rc == -ENOENT ? 0 : rc;
	}
	return rc;
}

/* Behind the position, and behind what is known to be no message. */
static int64_t next_message(const struct partition *part)
{
	return part->committed.empty_to > part->committed.next ? part->committed.empty_to : part->committed.next;
}

/* Is the stored position not in the topic any more? */
static bool is_out_of_range(const struct partition *part)
{
	return part->committed.next > part->high || next_message(part) < part->low || part->is_replaced;
}

static const char *describe_loss(const struct partition *part)
{
	return part->is_replaced ? "the message before it is another one now: the topic was made anew" : "that is not in the topic any more";
}

static void tell_reset(struct lane *lane, int32_t partition, int64_t next)
{
	const struct partition *part = &lane->parts[partition];
	const char *reason = describe_loss(part);

	lane_notice(lane, "partition %" PRId32 " stood at offset %" PRId64 ", and %s (it has %" PRId64 " to %" PRId64 "): went on at %" PRId64,
		    partition, part->committed.next, reason, part->low, part->high, next);
	log_warn("lane %s: partition %" PRId32 " stood at offset %" PRId64 ", and %s: going on at %" PRId64, lane->name, partition,
		 part->committed.next, reason, next);
}

/* New positions for those that have none, or none that is in the topic. -ERANGE: a human is to say where to go on. */
static int settle_positions(struct lane *lane, const struct wanted *wanted, int64_t *next, bool *out_changed, struct why *why)
{
	bool has_begun = false, needs_start = false;
	int rc = load_positions(lane, wanted, &has_begun);

	*out_changed = false;
	if (rc == 0)
		rc = ask_marks(lane, wanted, why);
	for (int32_t i = 0; rc == 0 && i < lane->n_parts; i++) {
		const struct partition *part = &lane->parts[i];

		next[i] = -1;
		if (!wanted->all && !wanted->is[i])
			continue;
		/* A partition that is new to a stream that has begun has nothing that was not meant for it. */
		if (part->committed.next < 0 && has_begun)
			next[i] = part->low;
		needs_start = needs_start || (part->committed.next < 0 && !has_begun);
		if (part->committed.next < 0 || !is_out_of_range(part))
			continue;
		if (lane->def.reset == RESET_STOP)
			rc = why_fail(why, ERANGE, "partition %" PRId32 " stands at offset %" PRId64 ", and %s (it has %" PRId64 " to %" PRId64
				      "); seek to go on", i, part->committed.next, describe_loss(part), part->low, part->high);
		else
			next[i] = lane->def.reset == RESET_LATEST ? part->high : part->low;
		*out_changed = true;
		if (rc == 0)
			tell_reset(lane, i, next[i]);
	}
	if (rc == 0 && needs_start) {
		/* Who waited for the topic and wants what is new wants what came since then. */
		const struct whence since = { .is_time = true, .number = lane->waits_since_ms };
		bool has_waited = lane->waits_since_ms && !lane->def.start.is_time && lane->def.start.number == RD_KAFKA_OFFSET_END;

		rc = ask_places(lane, has_waited ? &since : &lane->def.start, wanted, next, why);
	}
	return rc;
}

/* ---- attaching ---- */

static int begin_at(struct lane *lane, const struct wanted *wanted, struct why *why)
{
	int64_t *next = calloc((size_t)lane->n_parts + 1, sizeof *next);
	bool has_reset = false;
	int rc = next ? settle_positions(lane, wanted, next, &has_reset, why) : -ENOMEM;

	if (rc == 0)
		rc = positions_put(lane, next, &(struct counters_change){ .is_reset = has_reset }, why);
	for (int32_t i = 0; rc == 0 && i < lane->n_parts; i++)
		if (wanted->all || wanted->is[i]) {
			lane->parts[i].next = lane->parts[i].committed.next;
			lane->parts[i].end = lane->parts[i].end_next = -1;
		}
	free(next);
	if (rc == 0)
		rc = dead_prune_uncounted(lane);
	return rc;
}

/*
 * One message before the position is read once more: if it is another one than the store knows, this is another topic. Where the topic has forgotten
 * what lies behind the position, it was no message.
 */
static int64_t first_offset(struct partition *part)
{
	if (part->next < part->low)
		return part->low;
	part->checks_seam = part->next > part->low && part->committed.timestamp_ns != STREAM_NO_TIME;
	return part->next - part->checks_seam;
}

static int assign_all(struct lane *lane, struct why *why)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(lane->n_parts);
	rd_kafka_resp_err_t err;

	for (int32_t i = 0; i < lane->n_parts; i++) {
		rd_kafka_topic_partition_list_add(list, lane->def.topic, i)->offset = first_offset(&lane->parts[i]);
		lane->parts[i].is_assigned = true;
	}
	err = rd_kafka_assign(lane->rk, list);
	rd_kafka_topic_partition_list_destroy(list);
	return err ? why_fail(why, EIO, "librdkafka can't assign: %s", rd_kafka_err2str(err)) : 0;
}

static int subscribe(struct lane *lane, struct why *why)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_resp_err_t err;

	rd_kafka_topic_partition_list_add(list, lane->def.topic, RD_KAFKA_PARTITION_UA);
	err = rd_kafka_subscribe(lane->rk, list);
	rd_kafka_topic_partition_list_destroy(list);
	return err ? why_fail(why, EIO, "librdkafka can't subscribe: %s", rd_kafka_err2str(err)) : 0;
}

int consumer_learn(struct lane *lane, struct why *why)
{
	int32_t n = 0;
	int rc = ask_partitions(lane, &n, why);

	if (rc < 0)
		return rc;
	if (n == 0) {
		if (!lane->has_seen_topic && !lane->waits_since_ms)
			lane->waits_since_ms = clock_now() / STREAM_MS;
		return why_fail(why, ENOENT, "topic %s does not exist%s", lane->def.topic, lane->has_seen_topic ? " any more" : " yet");
	}
	lane->has_seen_topic = true;
	return set_size(lane, n);
}

/* Where the partitions end that others of a group read, and how far they are, is nothing that is known here. */
static void forget_marks_of_others(struct lane *lane)
{
	for (int32_t i = 0; lane->def.group && i < lane->n_parts; i++)
		if (!lane->parts[i].is_assigned)
			lane->parts[i].low = lane->parts[i].high = -1;
}

int consumer_attach(struct lane *lane, struct why *why)
{
	static const struct wanted all = { .all = true };
	int rc = consumer_learn(lane, why);

	if (rc == 0)
		rc = begin_at(lane, &all, why);
	if (rc == 0)
		rc = lane->def.group ? subscribe(lane, why) : assign_all(lane, why);
	if (rc < 0)
		return rc;
	lane->is_attached = true;
	lane->refresh_ns = clock_monotonic();
	forget_marks_of_others(lane);
	consumer_show(lane);
	return 0;
}

/* ---- a consumer group ---- */

static bool *name_wanted(struct lane *lane, const rd_kafka_topic_partition_list_t *list)
{
	bool *is = NULL;
	int32_t most = 0;

	for (int i = 0; i < list->cnt; i++)
		if (list->elems[i].partition >= most)
			most = list->elems[i].partition + 1;
	if (set_size(lane, most) == 0)
		is = calloc((size_t)lane->n_parts + 1, sizeof *is);
	for (int i = 0; is && i < list->cnt; i++)
		is[list->elems[i].partition] = true;
	return is;
}

static void take_partitions(struct lane *lane, rd_kafka_topic_partition_list_t *list, bool is_cooperative)
{
	struct wanted wanted = { .is = name_wanted(lane, list) };
	struct why why = { "" };
	int rc = wanted.is ? 0 : -ENOMEM;

	if (rc == 0 && (lane->must_redo || batches_finish(lane) < 0))
		rc = why_fail(&why, EIO, "what was read before can't be committed");
	if (rc == 0)
		rc = begin_at(lane, &wanted, &why);

	if (rc < 0) {
		/* Without positions nothing can be read: the lane leaves the group and comes again. */
		lane_show(lane, rc == -ERANGE ? LANE_STOPPED : LANE_DISCONNECTED, "%s", why.text[0] ? why.text : strerror(-rc));
		lane->must_reopen = true;
	}
	for (int i = 0; i < list->cnt; i++) {
		struct partition *part = rc == 0 ? &lane->parts[list->elems[i].partition] : NULL;

		list->elems[i].offset = part ? first_offset(part) : RD_KAFKA_OFFSET_INVALID;
		if (part)
			part->is_assigned = true;
	}
	if (is_cooperative)
		rd_kafka_error_destroy(rd_kafka_incremental_assign(lane->rk, list));
	else
		rd_kafka_assign(lane->rk, rc == 0 ? list : NULL);
	free(wanted.is);
}

/* What was read is committed before the partitions go. */
static void give_partitions(struct lane *lane, const rd_kafka_topic_partition_list_t *list, bool is_cooperative)
{
	if (!lane->is_closing && (lane->must_redo || lane->held || batches_finish(lane) < 0)) {
		/* Somebody else reads them from its own position; what was not committed is read again when they come back. */
		batches_wait(lane, 1);
		batches_drop(lane);
		lane->must_reopen = true;
	}
	for (int i = 0; i < list->cnt; i++) {
		struct partition *part = list->elems[i].partition < lane->n_parts ? &lane->parts[list->elems[i].partition] : NULL;

		if (!part)
			continue;
		part->is_assigned = false;
		/* Where it ends is somebody else's to know from here on. */
		if (!lane->is_closing)
			part->low = part->high = -1;
	}
	if (is_cooperative)
		rd_kafka_error_destroy(rd_kafka_incremental_unassign(lane->rk, list));
	else
		rd_kafka_assign(lane->rk, NULL);
}

static void rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t err, rd_kafka_topic_partition_list_t *list, void *arg)
{
	struct lane *lane = arg;
	bool is_cooperative = !strcmp(rd_kafka_rebalance_protocol(rk), "COOPERATIVE");

	if (err == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS)
		take_partitions(lane, list, is_cooperative);
	else
		give_partitions(lane, list, is_cooperative);
	pthread_mutex_lock(&lane->lock);
	lane->rebalances++;
	pthread_mutex_unlock(&lane->lock);
	consumer_show(lane);
}

/* ---- housekeeping ---- */

static void show_marks(struct lane *lane)
{
	pthread_mutex_lock(&lane->lock);
	for (int32_t i = 0; i < lane->n_parts && i < lane->n_shown_parts; i++) {
		lane->shown_parts[i].low = lane->parts[i].low;
		lane->shown_parts[i].high = lane->parts[i].high;
		lane->shown_parts[i].end = lane->parts[i].end;
		lane->shown_parts[i].end_next = lane->parts[i].end_next;
	}
	pthread_mutex_unlock(&lane->lock);
}

void consumer_note_end(struct lane *lane, int32_t partition, int64_t offset)
{
	struct partition *part = partition >= 0 && partition < lane->n_parts ? &lane->parts[partition] : NULL;

	if (!part || !part->is_assigned)
		return;
	part->end = offset;
	part->end_next = part->next;
}

void consumer_look_at_marks(struct lane *lane)
{
	for (int32_t i = 0; i < lane->n_parts; i++) {
		int64_t low = -1, high = -1;

		if (!lane->parts[i].is_assigned || rd_kafka_get_watermark_offsets(lane->rk, lane->def.topic, i, &low, &high))
			continue;
		if (high > lane->parts[i].high)
			lane->parts[i].high = high;
		if (low > lane->parts[i].low)
			lane->parts[i].low = low;
	}
	show_marks(lane);
}

int consumer_ask_marks(struct lane *lane, struct why *why)
{
	struct wanted wanted = { .is = calloc((size_t)lane->n_parts + 1, sizeof *wanted.is) };
	int rc;

	for (int32_t i = 0; wanted.is && i < lane->n_parts; i++)
		wanted.is[i] = lane->parts[i].is_assigned;
	rc = wanted.is ? ask_marks(lane, &wanted, why) : -ENOMEM;
	free(wanted.is);
	show_marks(lane);
	return rc;
}

int consumer_look(struct lane *lane, struct why *why)
{
	static const struct wanted all = { .all = true };
	bool has_begun;
	int rc = consumer_open(lane, why);

	if (rc == 0)
		rc = consumer_learn(lane, why);
	if (rc == 0)
		rc = load_positions(lane, &all, &has_begun);
	if (rc == 0)
		rc = ask_marks(lane, &all, why);
	forget_marks_of_others(lane);
	consumer_show(lane);
	return rc;
}
