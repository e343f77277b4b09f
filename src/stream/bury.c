/* SPDX-License-Identifier: MIT */
/*
 * Messages of a batch that go to the dead letters, and those that come back from there. A letter is written before its commit, or inside of it, so that no
 * crash loses one; what was written for a commit that did not come about is taken out again before its messages are judged anew.
 */
#include "stream/private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include "base/log.h"

static int print_letter(struct lane *lane, struct batch *batch, struct item *item)
{
	struct letter letter = {
		.time_ns = clock_now(), .reason = batch->reasons.data + item->reason, .topic = lane->def.topic,
		.timestamp_ns = item->timestamp_ns, .replay = -1,
	};
	struct letter_header headers[64];
	rd_kafka_headers_t *list;
	struct stream_message msg;
	const char *name;
	const void *value;
	size_t len;

	item_view(item, &msg);
	letter.partition = item->letter ? item->letter->partition : item->msg->partition;
	letter.offset = item->letter ? item->letter->offset : item->msg->offset;
	letter.key = msg.key;
	letter.value = msg.value;
	letter.has_key = msg.has_key;
	letter.has_value = msg.has_value;
	if (item->letter) {
		letter.topic = item->letter->topic;
		letter.headers = item->letter->headers;
		letter.n_headers = item->letter->n_headers;
		letter.replay = item->letter->replay;
	} else if (!rd_kafka_message_headers(item->msg, &list)) {
		for (; letter.n_headers < 64 && !rd_kafka_header_get_all(list, letter.n_headers, &name, &value, &len); letter.n_headers++)
			headers[letter.n_headers] = (struct letter_header){ name, slice_of(value, len) };
		letter.headers = headers;
	}
	return dead_write(&lane->dead, &letter);
}

/* In .errors, too. The commit notes its own refusals there. */
static void note_reject(struct lane *lane, const struct batch *batch, const struct item *item)
{
	uint64_t origin = item_origin(item);
	char who[300];
	struct reject rej = {
		.time_ns = clock_now(), .group_id = lane->group_id, .lane = RECORD_LANE_STREAM, .reason = REJECT_bad_row, .err = EINVAL,
		.who = who, .entity = slice_str(""), .feature = slice_str(""), .value = slice_str(""),
		.detail = batch->reasons.data + item->reason,
	};

	snprintf(who, sizeof who, "%s/%llu/%llu", lane->def.topic, (unsigned long long)(origin >> 48),
		 (unsigned long long)(origin & ((UINT64_C(1) << 48) - 1)));
	reject_log_add(ingest_rejects(lane->stream->options.ingest), &rej);
}

int batch_bury(struct lane *lane, struct batch *batch, enum fate fate)
{
	size_t n;
	struct item *items = items_of(batch, &n);
	int rc = 0;

	pthread_mutex_lock(&lane->dead_lock);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		if (items[i].fate != fate || items[i].is_written)
			continue;
		rc = print_letter(lane, batch, &items[i]);
		items[i].is_written = rc == 0;
		if (rc == 0 && fate == FATE_DEAD)
			note_reject(lane, batch, &items[i]);
	}
	if (rc == 0)
		rc = dead_sync(&lane->dead);
	pthread_mutex_unlock(&lane->dead_lock);
	return rc;
}

static bool is_uncounted(void *arg, int32_t partition, int64_t offset, int64_t replay)
{
	const struct lane *lane = arg;

	if (replay >= 0)
		return lane->replay && (uint64_t)replay >= replay_place(lane, lane->counters.replay_offset);
	return partition < lane->n_parts && lane->parts[partition].committed.next >= 0 && offset >= lane->parts[partition].committed.next &&
	       !ahead_has(&lane->parts[partition].ahead, offset);
}

int dead_prune_uncounted(struct lane *lane)
{
	return dead_prune(&lane->dead, is_uncounted, lane);
}

int batches_unbury(struct lane *lane)
{
	bool has_any = false;

	for (unsigned b = 0; b < BATCHES; b++) {
		size_t n;
		struct item *items = items_of(&lane->batches[b], &n);

		for (size_t i = 0; i < n; i++) {
			if (items[i].is_done)
				continue;
			has_any = has_any || items[i].is_written;
			items[i].is_written = false;
		}
	}
	return has_any ? dead_prune_uncounted(lane) : 0;
}

/* ---- dead letters in a row ---- */

/* What is fed through again is nothing that has come; but if it is applied, so may be what comes. */
void dead_count_run(struct lane *lane, const struct item *item)
{
	bool is_dead = item->fate == FATE_DEAD || item->fate == FATE_REFUSED;

	if (item->fate == FATE_FILTERED || (is_dead && item->letter))
		return;
	if (!is_dead || item->refusal != lane->dead_run_why)
		lane->dead_run = 0;
	if (!is_dead)
		return;
	lane->dead_run_why = item->refusal;
	lane->dead_run++;
}

void dead_tell_run(struct lane *lane)
{
	const char *reason = report_dead_run(lane);

	if (reason && !lane->has_told_run)
		log_warn("lane %s: the last %" PRIu64 " messages all became dead letters: %s", lane->name, lane->dead_run, reason);
	else if (!lane->dead_run && lane->has_told_run)
		log_info("lane %s: not every message becomes a dead letter any more", lane->name);
	lane->has_told_run = reason || (lane->dead_run && lane->has_told_run);
}
