/* SPDX-License-Identifier: MIT */
/*
 * A batch inside of its commits. The thread that leads the commit calls what is here, while the lane's own fills the next batch.
 *
 * All of a batch is one commit, or each part of it, with the rows that ingest has taken so far in the order of their entities. Behind a part but the last
 * the positions stay, and the offsets of its messages are noted behind them; the last part moves the positions, and counts what is no row.
 */
#include "stream/private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- before the first row ---- */

static int check_span(struct batch *batch, struct ingest_positions *at, struct span *span)
{
	struct lane *lane = batch->lane;
	struct slice value;
	int rc;

	buf_reset(&batch->key);
	position_key(lane->group_id, lane->stream_name, lane->def.topic, span->partition, &batch->key);
	rc = buf_error(&batch->key);
	if (rc == 0)
		rc = ingest_positions_get(at, buf_slice(&batch->key), &value);
	if (rc == 0)
		rc = position_decode(value, &span->stands, &span->ahead);
	if (rc == -ENOENT || rc == -EBADMSG)
		return -EAGAIN;
	return rc < 0 ? rc : span->stands.next == span->from ? 0 : -EAGAIN;
}

static int get_counters(struct batch *batch, struct ingest_positions *at, struct counters *out)
{
	struct slice value = slice_of(NULL, 0);
	int rc;

	buf_reset(&batch->key);
	position_lane_key(batch->lane->group_id, batch->lane->stream_name, &batch->key);
	rc = buf_error(&batch->key);
	if (rc == 0)
		rc = ingest_positions_get(at, buf_slice(&batch->key), &value);
	if (rc == 0 || rc == -ENOENT)
		rc = counters_decode(value, out);
	return rc == -EBADMSG ? -EAGAIN : rc;
}

/* What an earlier try refused is judged anew. */
static void forget_refused(struct batch *batch)
{
	size_t n;
	struct item *items = items_of(batch, &n);

	for (size_t i = 0; batch->refused > batch->refused_done && i < n; i++)
		if (items[i].fate == FATE_REFUSED && !items[i].is_done)
			items[i].fate = FATE_ROW;
	batch->refused = batch->refused_done;
}

static int check_batch(void *arg, struct ingest_positions *at)
{
	struct batch *batch = arg;
	size_t n;
	struct span *spans = spans_of(batch, &n);
	int rc = 0;

	buf_reset(&batch->pending);
	forget_refused(batch);
	if (catalog_find_id(ingest_positions_catalog(at), batch->lane->group_id) != batch->grp)
		return -EAGAIN;
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = check_span(batch, at, &spans[i]);
	if (rc == 0)
		rc = get_counters(batch, at, &batch->counters);
	if (rc == 0 && batch->replay_from >= 0 && batch->counters.replay_offset != (uint64_t)batch->replay_from)
		rc = -EAGAIN;
	return rc;
}

static void refuse_row(void *arg, size_t row, int rc, const struct why *why)
{
	struct batch *batch = arg;
	size_t n;
	struct item *items = items_of(batch, &n), *item = &items[((const uint32_t *)batch->rows.data)[row]];

	item->fate = FATE_REFUSED;
	item->refusal = REFUSAL_COMMIT;
	batch->refused++;
	batch_note_reason(batch, item, why->text[0] ? why->text : strerror(-rc));
}

/* ---- parts ---- */

static size_t choose_part(void *arg)
{
	const struct batch *batch = arg;

	return batch->replayed || batch->offsets > AHEAD_MAX ? SIZE_MAX : pace_part(batch->lane);
}

/* Whatever has no memory here fails in store_batch. */
static void note_row(void *arg, size_t row)
{
	struct batch *batch = arg;
	uint32_t number = ((const uint32_t *)batch->rows.data)[row];
	const struct item *item = (const struct item *)batch->items.data + number;
	struct span *span = (struct span *)batch->spans.data + item->span;

	if (ahead_add(&span->ahead, item->msg->offset) < 0)
		batch->pending.failed = true;
	buf_append(&batch->pending, &number, sizeof number);
}

void item_note_age(struct lane *lane, const struct item *item, int64_t done_ns, int64_t now_ns)
{
	if (item->letter)
		return;
	if (item->event_ns != STREAM_NO_TIME)
		freshness_add(&lane->event_age, clock_between(item->event_ns, done_ns), now_ns);
	if (item->timestamp_ns != STREAM_NO_TIME)
		freshness_add(&lane->broker_age, clock_between(item->timestamp_ns, done_ns), now_ns);
}

static void end_part(void *arg)
{
	struct batch *batch = arg;
	struct lane *lane = batch->lane;
	int64_t now_ns = clock_monotonic(), done_ns = clock_now();
	const uint32_t *pending = (const uint32_t *)batch->pending.data;
	size_t n = batch->pending.len / sizeof *pending;
	struct item *items = (struct item *)batch->items.data;

	batch->done += (unsigned)n;
	batch->refused_done = batch->refused;
	pthread_mutex_lock(&lane->lock);
	for (size_t i = 0; i < n; i++) {
		items[pending[i]].is_done = true;
		item_note_age(lane, &items[pending[i]], done_ns, now_ns);
	}
	batch->stored = lane->shown = batch->counters;
	batch->has_stored = true;
	lane->commits++;
	lane->last_message_ns = done_ns;
	pace_learn_part(lane, batch, n, now_ns);
	pthread_mutex_unlock(&lane->lock);
}

/* ---- behind the last row ---- */

static int put_counters(struct batch *batch, struct ingest_positions *at, const struct ingest_result *so_far)
{
	struct counters *counters = &batch->counters;
	bool is_last = !so_far->rows_left;

	counters->messages += is_last ? batch->messages - batch->done : batch->pending.len / sizeof(uint32_t);
	counters->applied += so_far->rows_applied;
	counters->late += so_far->rows_late;
	counters->dead += batch->refused - batch->refused_done;
	if (is_last) {
		counters->replayed += batch->replayed;
		counters->filtered += batch->filtered;
		counters->dead += batch->dead;
	}
	if (is_last && batch->replay_to >= 0)
		counters->replay_offset = (uint64_t)batch->replay_to;
	buf_reset(&batch->key);
	buf_reset(&batch->value);
	position_lane_key(batch->lane->group_id, batch->lane->stream_name, &batch->key);
	counters_encode(counters, &batch->value);
	if (buf_error(&batch->key) < 0 || buf_error(&batch->value) < 0)
		return -ENOMEM;
	return ingest_positions_put(at, buf_slice(&batch->key), buf_slice(&batch->value));
}

static int put_span(struct batch *batch, struct ingest_positions *at, struct span *span, bool is_last)
{
	struct lane *lane = batch->lane;

	if (is_last)
		ahead_cut(&span->ahead, span->to.next);
	buf_reset(&batch->key);
	buf_reset(&batch->value);
	position_key(lane->group_id, lane->stream_name, lane->def.topic, span->partition, &batch->key);
	position_encode(is_last ? &span->to : &span->stands, &span->ahead, &batch->value);
	if (buf_error(&batch->key) < 0 || buf_error(&batch->value) < 0)
		return -ENOMEM;
	return ingest_positions_put(at, buf_slice(&batch->key), buf_slice(&batch->value));
}

static int store_batch(void *arg, struct ingest_positions *at, const struct ingest_result *so_far)
{
	struct batch *batch = arg;
	size_t n;
	struct span *spans = spans_of(batch, &n);
	int rc = batch->refused > batch->refused_done ? batch_bury(batch->lane, batch, FATE_REFUSED) : 0;

	if (rc < 0)
		return -ENOSPC;		/* the letters' trouble is not the log's: the lane tries again */
	rc = buf_error(&batch->pending);
	if (rc == 0)
		rc = put_counters(batch, at, so_far);
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = put_span(batch, at, &spans[i], !so_far->rows_left);
	return rc;
}

static void end_batch(void *arg, const struct ingest_result *result)
{
	struct batch *batch = arg;
	struct lane *lane = batch->lane;
	int64_t now_ns = clock_now(), monotonic_ns = clock_monotonic();

	pthread_mutex_lock(&lane->lock);
	batch->rc = result->rc;
	snprintf(batch->reason, sizeof batch->reason, "%s", result->why ? result->why->text : "");
	batch->done_ns = now_ns;
	batch->ended_ns = monotonic_ns;
	batch->state = BATCH_DONE;
	pthread_cond_broadcast(&lane->wake);
	/* Only wakes whoever sleeps there; the lane keeps the queue while a batch is under way. */
	if (lane->queue && !pthread_equal(pthread_self(), lane->self))
		rd_kafka_queue_yield(lane->queue);
	pthread_mutex_unlock(&lane->lock);
}

void batch_commit(struct batch *batch, struct ingest_request *req, bool behind)
{
	static const struct ingest_position_ops ops = { check_batch, store_batch, choose_part, note_row, end_part };
	struct lane *lane = batch->lane;
	struct ingest *ingest = lane->stream->options.ingest;

	ingest_request_sort(req);
	ingest_request_row_by_row(req, refuse_row);
	ingest_request_positions(req, &ops, batch);
	ingest_request_series(req, lane);
	pthread_mutex_lock(&lane->lock);
	batch->state = BATCH_SUBMITTED;
	batch->submitted_ns = clock_monotonic();
	batch->part_ns = 0;
	pthread_mutex_unlock(&lane->lock);
	if (behind)
		ingest_submit_behind(ingest, req, end_batch, batch);
	else
		ingest_submit(ingest, req, end_batch, batch);
}
