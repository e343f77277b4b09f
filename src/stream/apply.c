/* SPDX-License-Identifier: MIT */
/*
 * Batches: messages become one request of ingest, row by row, and the commit that applies them moves the positions and the counters.
 *
 * A batch is decoded while the one before it commits, and two may wait at once, so each must build on the one before: inside of the commit,
 * before its first row, the positions that stand must be those that it begins at (check_batch). If one fails, those behind it
 * fail too, nothing of them is applied, and all are done again in order from the messages, which are kept until their commit is through. The
 * same check refuses a batch that was decoded for another definition of the group than the one that the commit finds.
 *
 * What is known to be bad before the commit is written to the dead letters before it. What only the commit can know is refused there, and
 * written inside of it: rare, for values and times are judged here already by the same functions.
 *
 * The size follows the commits: one message is committed at once when nothing waits; under load a batch takes what came meanwhile, up to what
 * FREE_NS commits; while other lanes write, up to what BUSY_NS commits, with one batch under way, for that is what such a write
 * waits for.
 */
#include "stream/private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/log.h"

#define FREE_NS (80 * STREAM_MS)
#define BUSY_NS (2 * STREAM_MS)
#define BUSY_FOR (200 * STREAM_MS)	/* after the last write of another lane */

enum { BUSY_ROWS_MIN = 48, ROWS_MIN = 256 };

static struct item *items_of(const struct batch *batch, size_t *out_n)
{
	*out_n = batch->items.len / sizeof(struct item);
	return (struct item *)batch->items.data;
}

static struct span *spans_of(const struct batch *batch, size_t *out_n)
{
	*out_n = batch->spans.len / sizeof(struct span);
	return (struct span *)batch->spans.data;
}

static struct batch *batch_at(struct lane *lane, unsigned i)
{
	return &lane->batches[(lane->oldest + i) % BATCHES];
}

/* ---- sizes ---- */

static bool is_busy(const struct lane *lane)
{
	return lane->direct_ns && clock_monotonic() - lane->direct_ns < BUSY_FOR;
}

unsigned batches_allowed(const struct lane *lane)
{
	return is_busy(lane) ? 1 : BATCHES - 1;
}

/* Has another lane written lately? */
static void look_around(struct lane *lane)
{
	bool was_busy = is_busy(lane);
	struct ingest_figures figures;
	uint64_t others;

	ingest_figures(lane->stream->options.ingest, &figures);
	others = figures.lane_requests[RECORD_LANE_DIRECT - 1];
	if (others != lane->direct_seen)
		lane->direct_ns = clock_monotonic();
	lane->direct_seen = others;
	/* Until the first commit beside the others tells. */
	if (!was_busy && is_busy(lane) && lane->target > ROWS_MIN)
		lane->target = ROWS_MIN;
}

/* The next batches take as long as they should, as far as this one tells. */
static void learn_size(struct lane *lane, const struct batch *batch, size_t n)
{
	int64_t begun_ns = batch->submitted_ns > lane->last_done_ns ? batch->submitted_ns : lane->last_done_ns;
	int64_t took_ns = batch->ended_ns - begun_ns, want_ns = is_busy(lane) ? BUSY_NS : FREE_NS;
	unsigned least = is_busy(lane) ? BUSY_ROWS_MIN : ROWS_MIN;
	double fits;

	lane->last_done_ns = batch->ended_ns;
	/* What others made small grows again, though batches so small tell nothing. */
	if (lane->target < least)
		lane->target = least;
	if (took_ns <= 0 || n < least / 2)
		return;		/* too few to tell what a row costs beside the sync */
	fits = (double)n * (double)want_ns / (double)took_ns;
	if (fits > 2.0 * lane->target)
		fits = 2.0 * lane->target;
	/* Half way, for one commit may have had a slow disk. */
	fits = (fits + lane->target) / 2;
	lane->target = fits < least ? least : fits > BATCH_ROWS ? BATCH_ROWS : (unsigned)fits;
}

bool batch_is_empty(const struct batch *batch)
{
	return batch->items.len == 0;
}

bool batch_is_full(const struct lane *lane, const struct batch *batch)
{
	return batch->items.len / sizeof(struct item) >= lane->target || batch->bytes >= BATCH_BYTES;
}

/* ---- one batch ---- */

static void forget_items(struct batch *batch)
{
	size_t n;
	struct item *items = items_of(batch, &n);

	for (size_t i = 0; i < n; i++) {
		if (items[i].msg)
			rd_kafka_message_destroy(items[i].msg);
		free(items[i].letter);
	}
	buf_reset(&batch->items);
}

/* Forgets what was decoded, keeps the messages. */
static void reset_decoded(struct batch *batch)
{
	ingest_request_free(batch->req);
	batch->req = NULL;
	buf_reset(&batch->rows);
	buf_reset(&batch->reasons);
	batch->filtered = batch->dead = batch->refused = 0;
}

static void reset_batch(struct lane *lane, struct batch *batch)
{
	reset_decoded(batch);
	forget_items(batch);
	buf_reset(&batch->spans);
	batch->lane = lane;
	batch->state = BATCH_FREE;
	batch->bytes = 0;
	batch->messages = batch->replayed = 0;
	batch->replay_from = batch->replay_to = -1;
}

struct batch *batch_filling(struct lane *lane)
{
	struct batch *batch;

	if (lane->n_submitted >= BATCHES)
		return NULL;
	batch = batch_at(lane, lane->n_submitted);
	if (batch->state == BATCH_FREE) {
		reset_batch(lane, batch);
		batch->state = BATCH_FILLING;
	}
	return batch;
}

void batches_release(struct lane *lane)
{
	for (unsigned i = 0; i < BATCHES; i++) {
		struct batch *batch = &lane->batches[i];

		reset_batch(lane, batch);
		buf_release(&batch->items);
		buf_release(&batch->rows);
		buf_release(&batch->spans);
		buf_release(&batch->reasons);
		buf_release(&batch->key);
		buf_release(&batch->value);
	}
}

/* ---- decoding ---- */

static int find_header(void *arg, const char *name, struct slice *out)
{
	const struct item *item = arg;
	rd_kafka_headers_t *headers;
	const void *value;
	size_t len;

	if (item->letter) {
		for (unsigned i = item->letter->n_headers; i-- > 0;) {
			if (strcmp(item->letter->headers[i].name, name))
				continue;
			*out = item->letter->headers[i].value;
			return out->data ? 0 : -ENOENT;
		}
		return -ENOENT;
	}
	if (rd_kafka_message_headers(item->msg, &headers) || rd_kafka_header_get_last(headers, name, &value, &len) || !value)
		return -ENOENT;
	*out = slice_of(value, len);
	return 0;
}

/* The message as the mapping reads it. */
static void view_item(struct item *item, struct stream_message *out)
{
	const rd_kafka_message_t *msg = item->msg;
	const struct letter *letter = item->letter;

	*out = (struct stream_message){ .timestamp_ns = item->timestamp_ns, .header = find_header, .header_arg = item };
	out->key = letter ? letter->key : slice_of(msg->key, msg->key_len);
	out->value = letter ? letter->value : slice_of(msg->payload, msg->len);
	out->has_key = letter ? letter->has_key : msg->key != NULL;
	out->has_value = letter ? letter->has_value : msg->payload != NULL;
}

static uint64_t origin_of(const struct item *item)
{
	uint64_t partition = (uint64_t)(item->letter ? item->letter->partition : item->msg->partition);
	int64_t offset = item->letter ? item->letter->offset : item->msg->offset;

	return partition << 48 | ((uint64_t)offset & ((UINT64_C(1) << 48) - 1));
}

/* What the commit would refuse, as far as it can be told now. */
static int judge(struct lane *lane, const struct stream_row *row, struct why *why)
{
	const struct catalog_group *grp = lane->def.grp;
	int rc = ingest_check_time(lane->stream->options.ingest, row->event_ns, why);

	for (size_t i = 0; rc == 0 && i < row->n_values; i++) {
		const struct stream_value *value = &row->values[i];
		const struct catalog_feature *feature = catalog_feature_at(grp, value->slot);
		bool is_null = value->state == RECORD_NULL;

		rc = feature ? ingest_check_value(feature, value->type_code, is_null ? NULL : &value->bytes, why) : -EINVAL;
	}
	return rc;
}

static int add_row(struct batch *batch, const struct item *item, uint32_t number, const struct stream_row *row)
{
	struct ingest_request *req = batch->req;
	uint32_t group_id = batch->lane->group_id;
	int rc;

	ingest_request_origin(req, origin_of(item));
	if (row->is_delete)
		rc = ingest_request_delete_entity(req, group_id, row->entity, row->event_ns, 0, 0);
	else
		rc = ingest_request_row(req, group_id, row->entity, row->event_ns, 0, 0);
	for (size_t i = 0; rc == 0 && i < row->n_values; i++) {
		const struct stream_value *value = &row->values[i];

		if (value->state == RECORD_NULL)
			rc = ingest_request_null(req, value->slot);
		else
			rc = ingest_request_value(req, value->slot, value->type_code, value->bytes);
	}
	buf_append(&batch->rows, &number, sizeof number);
	return rc < 0 ? rc : buf_error(&batch->rows);
}

static int note_reason(struct batch *batch, struct item *item, const char *text)
{
	item->reason = (uint32_t)batch->reasons.len;
	buf_append(&batch->reasons, text, strlen(text) + 1);
	return buf_error(&batch->reasons);
}

/* -EAGAIN, -ENOMEM: nothing was added to the request. */
static int decode(struct lane *lane, struct batch *batch, struct item *item, uint32_t number)
{
	struct why why = { "" };
	struct stream_message msg;
	struct stream_row row;
	int rc;

	view_item(item, &msg);
	rc = stream_mapping_decode(lane->def.map, &msg, &row, &why);
	if (rc == -EAGAIN)
		lane->hold_why = why;
	if (rc == -EAGAIN || rc == -ENOMEM)
		return rc;
	item->event_ns = STREAM_NO_TIME;
	if (rc == 1) {
		item->fate = FATE_FILTERED;
		batch->filtered++;
		return 0;
	}
	if (rc == 0)
		rc = judge(lane, &row, &why);
	if (rc < 0) {
		item->fate = FATE_DEAD;
		batch->dead++;
		return note_reason(batch, item, why.text[0] ? why.text : strerror(-rc));
	}
	item->fate = FATE_ROW;
	item->event_ns = row.event_ns;
	return add_row(batch, item, number, &row);
}

static int begin_request(struct lane *lane, struct batch *batch)
{
	int rc = 0;

	if (batch->req)
		return 0;
	batch->grp = lane->def.grp;
	if (!lane->source)
		rc = ingest_source(lane->stream->options.ingest, slice_str(lane->def.topic), &lane->source);
	if (rc == 0)
		rc = ingest_request_new(lane->stream->options.ingest, RECORD_LANE_STREAM, lane->source, 0, lane->def.topic, &batch->req);
	return rc;
}

static int add_item(struct lane *lane, struct batch *batch, struct item *item)
{
	uint32_t number = (uint32_t)(batch->items.len / sizeof *item);
	int rc = begin_request(lane, batch);

	if (rc == 0 && !buf_reserve(&batch->items, sizeof *item)) {
		batch->items.failed = false;
		rc = -ENOMEM;
	}
	if (rc == 0)
		rc = decode(lane, batch, item, number);
	if (rc == 0)
		buf_append(&batch->items, item, sizeof *item);
	return rc;
}

/* The batch's span of a partition; messages come in runs of one. NULL without memory. */
static struct span *span_for(struct lane *lane, struct batch *batch, int32_t partition)
{
	struct span fresh = { .partition = partition, .from = lane->parts[partition].next };
	struct span *spans;
	size_t n;

	spans = spans_of(batch, &n);
	for (size_t i = n; i-- > 0;)
		if (spans[i].partition == partition)
			return &spans[i];
	fresh.to = (struct position){ .next = fresh.from, .timestamp_ns = STREAM_NO_TIME };
	buf_append(&batch->spans, &fresh, sizeof fresh);
	if (buf_error(&batch->spans) < 0) {
		batch->spans.failed = false;
		return NULL;
	}
	return (struct span *)batch->spans.data + n;
}

int batch_add_message(struct lane *lane, struct batch *batch, rd_kafka_message_t *msg)
{
	struct item item = { .msg = msg, .timestamp_ns = STREAM_NO_TIME };
	rd_kafka_timestamp_type_t type;
	int64_t timestamp_ms = rd_kafka_message_timestamp(msg, &type);
	struct span *span;
	int rc;

	if (type != RD_KAFKA_TIMESTAMP_NOT_AVAILABLE && timestamp_ms >= 0 && timestamp_ms < INT64_MAX / STREAM_MS)
		item.timestamp_ns = timestamp_ms * STREAM_MS;
	span = span_for(lane, batch, msg->partition);
	if (!span)
		return -ENOMEM;
	rc = add_item(lane, batch, &item);
	if (rc < 0)
		return rc;
	span->to = (struct position){ .next = msg->offset + 1, .timestamp_ns = item.timestamp_ns };
	lane->parts[msg->partition].next = msg->offset + 1;
	batch->messages++;
	batch->bytes += msg->len + msg->key_len;
	return 0;
}

int batch_add_letter(struct lane *lane, struct batch *batch, struct letter *letter)
{
	struct item item = { .letter = letter, .timestamp_ns = letter->timestamp_ns };
	int rc = add_item(lane, batch, &item);

	if (rc < 0)
		return rc;
	batch->replayed++;
	batch->bytes += letter->key.len + letter->value.len;
	return 0;
}

/* ---- dead letters ---- */

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

	view_item(item, &msg);
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
	uint64_t origin = origin_of(item);
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

/* Writes the letters of a fate, and makes them durable. The lane and the thread that leads a commit may both come here. */
static int bury(struct lane *lane, struct batch *batch, enum fate fate)
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

/* ---- inside of the commit ---- */

static int check_span(struct batch *batch, struct ingest_positions *at, const struct span *span)
{
	struct lane *lane = batch->lane;
	struct position stands;
	struct slice value;
	int rc;

	buf_reset(&batch->key);
	position_key(lane->group_id, lane->stream_name, lane->def.topic, span->partition, &batch->key);
	rc = buf_error(&batch->key);
	if (rc == 0)
		rc = ingest_positions_get(at, buf_slice(&batch->key), &value);
	if (rc == 0)
		rc = position_decode(value, &stands);
	if (rc == -ENOENT || rc == -EBADMSG)
		return -EAGAIN;
	return rc < 0 ? rc : stands.next == span->from ? 0 : -EAGAIN;
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

	for (size_t i = 0; batch->refused && i < n; i++)
		if (items[i].fate == FATE_REFUSED)
			items[i].fate = FATE_ROW;
	batch->refused = 0;
}

static int check_batch(void *arg, struct ingest_positions *at)
{
	struct batch *batch = arg;
	size_t n;
	const struct span *spans = spans_of(batch, &n);
	int rc = 0;

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
	batch->refused++;
	note_reason(batch, item, why->text[0] ? why->text : strerror(-rc));
}

static int put_counters(struct batch *batch, struct ingest_positions *at, const struct ingest_result *so_far)
{
	struct counters *counters = &batch->counters;

	counters->messages += batch->messages;
	counters->replayed += batch->replayed;
	counters->applied += so_far->rows_applied;
	counters->late += so_far->rows_late;
	counters->filtered += batch->filtered;
	counters->dead += batch->dead + batch->refused;
	if (batch->replay_to >= 0)
		counters->replay_offset = (uint64_t)batch->replay_to;
	buf_reset(&batch->key);
	buf_reset(&batch->value);
	position_lane_key(batch->lane->group_id, batch->lane->stream_name, &batch->key);
	counters_encode(counters, &batch->value);
	if (buf_error(&batch->key) < 0 || buf_error(&batch->value) < 0)
		return -ENOMEM;
	return ingest_positions_put(at, buf_slice(&batch->key), buf_slice(&batch->value));
}

static int put_span(struct batch *batch, struct ingest_positions *at, const struct span *span)
{
	struct lane *lane = batch->lane;

	buf_reset(&batch->key);
	buf_reset(&batch->value);
	position_key(lane->group_id, lane->stream_name, lane->def.topic, span->partition, &batch->key);
	position_encode(&span->to, &batch->value);
	if (buf_error(&batch->key) < 0 || buf_error(&batch->value) < 0)
		return -ENOMEM;
	return ingest_positions_put(at, buf_slice(&batch->key), buf_slice(&batch->value));
}

static int store_batch(void *arg, struct ingest_positions *at, const struct ingest_result *so_far)
{
	struct batch *batch = arg;
	size_t n;
	const struct span *spans = spans_of(batch, &n);
	int rc = batch->refused ? bury(batch->lane, batch, FATE_REFUSED) : 0;

	if (rc < 0)
		return -ENOSPC;		/* the letters' trouble is not the log's: the lane tries again */
	rc = put_counters(batch, at, so_far);
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = put_span(batch, at, &spans[i]);
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

/* ---- handing over, taking back ---- */

static int submit(struct lane *lane, struct batch *batch, bool behind)
{
	static const struct ingest_position_ops ops = { check_batch, store_batch };
	struct ingest *ingest = lane->stream->options.ingest;
	struct ingest_request *req;
	int rc = begin_request(lane, batch);

	if (rc == 0 && batch->dead)
		rc = bury(lane, batch, FATE_DEAD);
	if (rc < 0)
		return rc;
	req = batch->req;
	batch->req = NULL;
	ingest_request_sort(req);
	ingest_request_row_by_row(req, refuse_row);
	ingest_request_positions(req, &ops, batch);
	pthread_mutex_lock(&lane->lock);
	batch->state = BATCH_SUBMITTED;
	batch->submitted_ns = clock_monotonic();
	pthread_mutex_unlock(&lane->lock);
	if (behind)
		ingest_submit_behind(ingest, req, end_batch, batch);
	else
		ingest_submit(ingest, req, end_batch, batch);
	return 0;
}

int batch_submit(struct lane *lane, bool behind)
{
	struct batch *batch = batch_at(lane, lane->n_submitted);
	int rc = submit(lane, batch, behind);

	if (rc == 0) {
		lane->n_submitted++;
		look_around(lane);
	}
	return rc;
}

static enum batch_state state_of(struct lane *lane, const struct batch *batch)
{
	enum batch_state state;

	pthread_mutex_lock(&lane->lock);
	state = batch->state;
	pthread_mutex_unlock(&lane->lock);
	return state;
}

static unsigned count_under_way(const struct lane *lane)
{
	unsigned n = 0;

	for (unsigned i = 0; i < BATCHES; i++)
		n += lane->batches[i].state == BATCH_SUBMITTED;
	return n;
}

void batches_wait(struct lane *lane, unsigned most)
{
	pthread_mutex_lock(&lane->lock);
	while (count_under_way(lane) >= most)
		pthread_cond_wait(&lane->wake, &lane->lock);
	pthread_mutex_unlock(&lane->lock);
}

static void take_positions(struct lane *lane, const struct batch *batch)
{
	size_t n;
	const struct span *spans = spans_of(batch, &n);

	for (size_t i = 0; i < n; i++) {
		struct partition *part = &lane->parts[spans[i].partition];

		part->committed = spans[i].to;
		/* The fetches tell the end only now and then. */
		if (part->high < part->committed.next)
			part->high = part->committed.next;
		if (spans[i].partition < lane->n_shown_parts) {
			lane->shown_parts[spans[i].partition].committed = part->committed;
			lane->shown_parts[spans[i].partition].high = part->high;
		}
	}
}

/* The oldest is committed. */
static void take_over(struct lane *lane, struct batch *batch)
{
	int64_t now_ns = clock_monotonic();
	size_t n;
	const struct item *items = items_of(batch, &n);

	learn_size(lane, batch, n);
	dead_forward(lane, batch);
	pthread_mutex_lock(&lane->lock);
	lane->counters = lane->shown = batch->counters;
	lane->commits++;
	lane->consumed_bytes += batch->bytes;
	lane->batch_rows = lane->target;
	take_positions(lane, batch);
	for (size_t i = 0; i < n; i++) {
		if (items[i].letter)
			continue;
		if (items[i].event_ns != STREAM_NO_TIME)
			freshness_add(&lane->event_age, batch->done_ns - items[i].event_ns, now_ns);
		if (items[i].timestamp_ns != STREAM_NO_TIME)
			freshness_add(&lane->broker_age, batch->done_ns - items[i].timestamp_ns, now_ns);
	}
	lane->last_message_ns = batch->done_ns;
	batch->state = BATCH_FREE;
	pthread_mutex_unlock(&lane->lock);
	reset_batch(lane, batch);
	lane->oldest = (lane->oldest + 1) % BATCHES;
	lane->n_submitted--;
}

int batches_reap(struct lane *lane)
{
	while (lane->n_submitted && state_of(lane, batch_at(lane, 0)) == BATCH_DONE) {
		struct batch *batch = batch_at(lane, 0);

		if (batch->rc < 0) {
			batches_wait(lane, 1);
			return batch->rc;
		}
		take_over(lane, batch);
	}
	return 0;
}

int batches_finish(struct lane *lane)
{
	struct batch *batch;
	int rc = batches_reap(lane);

	batch = rc == 0 ? batch_filling(lane) : NULL;
	if (rc == 0 && !batch) {
		batches_wait(lane, 1);
		rc = batches_reap(lane);
		batch = rc == 0 ? batch_filling(lane) : NULL;
	}
	if (batch && !batch_is_empty(batch))
		rc = batch_submit(lane, false);
	if (rc < 0)
		return rc;
	batches_wait(lane, 1);
	return batches_reap(lane);
}

/* ---- doing it again ---- */

static bool is_uncounted(void *arg, int32_t partition, int64_t offset, int64_t replay)
{
	const struct lane *lane = arg;

	if (replay >= 0)
		return lane->replay && (uint64_t)replay >= replay_place(lane, lane->counters.replay_offset);
	return partition < lane->n_parts && lane->parts[partition].committed.next >= 0 && offset >= lane->parts[partition].committed.next;
}

int dead_prune_uncounted(struct lane *lane)
{
	return dead_prune(&lane->dead, is_uncounted, lane);
}

/* Letters of what is to be decoded again may not be letters then. */
static int unbury(struct lane *lane)
{
	bool has_any = false;

	for (unsigned b = 0; b < BATCHES; b++) {
		size_t n;
		struct item *items = items_of(&lane->batches[b], &n);

		for (size_t i = 0; i < n; i++) {
			has_any = has_any || items[i].is_written;
			items[i].is_written = false;
		}
	}
	return has_any ? dead_prune_uncounted(lane) : 0;
}

static int decode_again(struct lane *lane, struct batch *batch)
{
	size_t n;
	struct item *items = items_of(batch, &n);
	int rc;

	reset_decoded(batch);
	rc = begin_request(lane, batch);
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = decode(lane, batch, &items[i], (uint32_t)i);
	return rc;
}

int batches_redo(struct lane *lane)
{
	unsigned n = 0;
	int rc;

	batches_wait(lane, 1);
	lane->must_redo = true;
	while (lane->n_submitted && batch_at(lane, 0)->rc == 0)
		take_over(lane, batch_at(lane, 0));
	rc = unbury(lane);

	/* They are filled again, as it were, oldest first. */
	for (; n < BATCHES && batch_at(lane, n)->state != BATCH_FREE; n++) {
		pthread_mutex_lock(&lane->lock);
		batch_at(lane, n)->state = BATCH_FILLING;
		pthread_mutex_unlock(&lane->lock);
	}
	lane->n_submitted = 0;
	for (unsigned i = 0; rc == 0 && i < n; i++) {
		struct batch *batch = batch_at(lane, 0);

		if (batch_is_empty(batch))
			break;
		rc = decode_again(lane, batch);
		if (rc == 0)
			rc = submit(lane, batch, false);
		if (rc < 0)
			break;
		lane->n_submitted = 1;
		batches_wait(lane, 1);
		rc = batch->rc;
		if (rc == 0)
			take_over(lane, batch);
	}
	lane->must_redo = rc < 0;
	return rc;
}

void batches_drop(struct lane *lane)
{
	for (unsigned i = 0; i < BATCHES; i++)
		reset_batch(lane, &lane->batches[i]);
	lane->oldest = lane->n_submitted = 0;
	lane->must_redo = false;
}

/* ---- positions without messages ---- */

struct put {
	struct lane *lane;
	const int64_t *next;
	const struct counters_change *change;
	struct counters counters;
	struct buf key, value;
};

static int check_put(void *arg, struct ingest_positions *at)
{
	const struct put *put = arg;

	/* What a removed group leaves behind is taken away; nothing may come behind that. */
	return catalog_find_id(ingest_positions_catalog(at), put->lane->group_id) ? 0 : -ENOENT;
}

static int put_value(struct put *put, struct ingest_positions *at)
{
	if (buf_error(&put->key) < 0 || buf_error(&put->value) < 0)
		return -ENOMEM;
	return ingest_positions_put(at, buf_slice(&put->key), buf_slice(&put->value));
}

static int store_put(void *arg, struct ingest_positions *at, const struct ingest_result *so_far)
{
	struct put *put = arg;
	struct lane *lane = put->lane;
	int rc;

	(void)so_far;
	put->counters = lane->counters;
	put->counters.resets += put->change->is_reset;
	if (put->change->sets_paused)
		put->counters.is_paused = put->change->is_paused;
	if (put->change->begins_replay)
		put->counters.replay_offset = 0;
	put->counters.replays += put->change->begins_replay;
	buf_reset(&put->key);
	buf_reset(&put->value);
	position_lane_key(lane->group_id, lane->stream_name, &put->key);
	counters_encode(&put->counters, &put->value);
	rc = put_value(put, at);
	for (int32_t i = 0; rc == 0 && put->next && i < lane->n_parts; i++) {
		const struct position pos = { .next = put->next[i], .timestamp_ns = STREAM_NO_TIME };

		if (pos.next < 0)
			continue;
		buf_reset(&put->key);
		buf_reset(&put->value);
		position_key(lane->group_id, lane->stream_name, lane->def.topic, i, &put->key);
		position_encode(&pos, &put->value);
		rc = put_value(put, at);
	}
	return rc;
}

int positions_put(struct lane *lane, const int64_t *next, const struct counters_change *change, struct why *why)
{
	static const struct ingest_position_ops ops = { check_put, store_put };
	struct put put = { .lane = lane, .next = next, .change = change };
	struct ingest_request *req;
	int rc = ingest_request_new(lane->stream->options.ingest, RECORD_LANE_STREAM, 0, 0, "stream", &req);

	if (rc == 0) {
		ingest_request_positions(req, &ops, &put);
		rc = ingest_run(lane->stream->options.ingest, req, NULL, why);
	}
	if (rc == 0) {
		pthread_mutex_lock(&lane->lock);
		lane->counters = lane->shown = put.counters;
		pthread_mutex_unlock(&lane->lock);
	}
	for (int32_t i = 0; rc == 0 && next && i < lane->n_parts; i++)
		if (next[i] >= 0)
			lane->parts[i] = (struct partition){
				.is_assigned = lane->parts[i].is_assigned, .next = next[i],
				.committed = { next[i], STREAM_NO_TIME }, .low = lane->parts[i].low, .high = lane->parts[i].high,
			};
	buf_release(&put.key);
	buf_release(&put.value);
	return rc;
}
