/* SPDX-License-Identifier: MIT */
/*
 * Batches: messages become one request of ingest, row by row, and the commit that applies them moves the positions and the counters.
 *
 * A batch is decoded while the one before it commits, and two may wait at once, so each must build on the one before: inside of the commit,
 * before its first row, the positions that stand must be those that it begins at (commit.c). If one fails, those behind it
 * fail too, nothing of them is applied, and all are done again in order from the messages, which are kept until their commit is through. The
 * same check refuses a batch that was decoded for another definition of the group than the one that the commit finds.
 *
 * A batch in parts may fail in the middle. Its messages that are done are noted behind the stored positions; they are passed over when it is done
 * again, and when they are read again.
 *
 * What is known to be bad before the commit is written to the dead letters before it. What only the commit can know is refused there, and
 * written inside of it: rare, for values and times are judged here already by the same functions.
 */
#include "stream/private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/log.h"

static struct batch *batch_at(struct lane *lane, unsigned i)
{
	return &lane->batches[(lane->oldest + i) % BATCHES];
}

/* Messages that were done before leave no item, but move the position. */
bool batch_is_empty(const struct batch *batch)
{
	return batch->items.len == 0 && batch->spans.len == 0;
}

/* What can't be committed in parts must be small beside others. */
bool batch_is_full(struct lane *lane, const struct batch *batch)
{
	size_t n = batch->items.len / sizeof(struct item);

	if (n >= lane->target || batch->bytes >= BATCH_BYTES)
		return true;
	return (batch->offsets > AHEAD_MAX || (batch->replay_from >= 0 && n >= pace_part(lane))) && pace_is_busy(lane);
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
	batch->filtered = batch->dead = batch->refused = batch->refused_done = 0;
}

static void forget_spans(struct batch *batch)
{
	size_t n;
	struct span *spans = spans_of(batch, &n);

	for (size_t i = 0; i < n; i++)
		buf_release(&spans[i].ahead.bits);
	buf_reset(&batch->spans);
}

static void set_state(struct batch *batch, enum batch_state state)
{
	pthread_mutex_lock(&batch->lane->lock);
	batch->state = state;
	pthread_mutex_unlock(&batch->lane->lock);
}

static void reset_batch(struct lane *lane, struct batch *batch)
{
	reset_decoded(batch);
	forget_items(batch);
	forget_spans(batch);
	batch->lane = lane;
	set_state(batch, BATCH_FREE);
	batch->bytes = 0;
	batch->offsets = 0;
	batch->messages = batch->replayed = batch->done = 0;
	batch->has_stored = false;
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
		set_state(batch, BATCH_FILLING);
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
		buf_release(&batch->pending);
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

void item_view(struct item *item, struct stream_message *out)
{
	const rd_kafka_message_t *msg = item->msg;
	const struct letter *letter = item->letter;

	*out = (struct stream_message){ .timestamp_ns = item->timestamp_ns, .header = find_header, .header_arg = item };
	out->key = letter ? letter->key : slice_of(msg->key, msg->key_len);
	out->value = letter ? letter->value : slice_of(msg->payload, msg->len);
	out->has_key = letter ? letter->has_key : msg->key != NULL;
	out->has_value = letter ? letter->has_value : msg->payload != NULL;
}

/* What the commit would refuse, as far as it can be told now. */
static int judge(struct lane *lane, const struct stream_row *row, enum refusal *out_refusal, struct why *why)
{
	const struct catalog_group *grp = lane->def.grp;
	int rc = ingest_check_time(lane->stream->options.ingest, row->event_ns, why);

	*out_refusal = rc < 0 ? REFUSAL_TIME : REFUSAL_VALUE;
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

	ingest_request_origin(req, item_origin(item));
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

int batch_note_reason(struct batch *batch, struct item *item, const char *text)
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
	enum refusal refusal = REFUSAL_FORM;
	int rc;

	if (item->is_done) {
		item->fate = FATE_DONE;
		return 0;
	}
	item_view(item, &msg);
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
		rc = judge(lane, &row, &refusal, &why);
	if (rc < 0) {
		item->fate = FATE_DEAD;
		item->refusal = (uint8_t)refusal;
		batch->dead++;
		return batch_note_reason(batch, item, why.text[0] ? why.text : strerror(-rc));
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

/* The batch's span of a partition; messages come in runs of one. NULL without memory; valid until the next. */
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
	bool is_done;
	int rc;

	if (type != RD_KAFKA_TIMESTAMP_NOT_AVAILABLE && timestamp_ms >= 0 && timestamp_ms < INT64_MAX / STREAM_MS)
		item.timestamp_ns = timestamp_ms * STREAM_MS;
	span = span_for(lane, batch, msg->partition);
	if (!span)
		return -ENOMEM;
	is_done = ahead_has(&lane->parts[msg->partition].ahead, msg->offset);
	item.span = (uint32_t)(span - (struct span *)batch->spans.data);
	rc = is_done ? 0 : add_item(lane, batch, &item);
	if (rc < 0)
		return rc;
	batch->offsets += msg->offset + 1 - span->to.next;
	span->to = (struct position){ .next = msg->offset + 1, .timestamp_ns = item.timestamp_ns };
	lane->parts[msg->partition].next = msg->offset + 1;
	if (is_done) {
		rd_kafka_message_destroy(msg);
		return 0;
	}
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

/* ---- handing over, taking back ---- */

static int submit(struct lane *lane, struct batch *batch, bool behind)
{
	struct ingest_request *req;
	int rc = begin_request(lane, batch);

	if (rc == 0 && batch->dead)
		rc = batch_bury(lane, batch, FATE_DEAD);
	if (rc < 0)
		return rc;
	req = batch->req;
	batch->req = NULL;
	batch_commit(batch, req, behind);
	return 0;
}

int batch_submit(struct lane *lane, bool behind)
{
	struct batch *batch = batch_at(lane, lane->n_submitted);
	int rc = submit(lane, batch, behind);

	if (rc == 0) {
		lane->n_submitted++;
		pace_look(lane);
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
		ahead_cut(&part->ahead, spans[i].to.next);
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

	pace_learn(lane, batch, n);
	dead_forward(lane, batch, false);
	pthread_mutex_lock(&lane->lock);
	lane->counters = lane->shown = batch->counters;
	lane->commits++;
	lane->consumed_bytes += batch->bytes;
	lane->batch_rows = lane->target;
	take_positions(lane, batch);
	for (size_t i = 0; i < n; i++) {
		dead_count_run(lane, &items[i]);
		if (!items[i].is_done)
			item_note_age(lane, &items[i], batch->done_ns, now_ns);
	}
	lane->last_message_ns = batch->done_ns;
	batch->state = BATCH_FREE;
	batch->has_stored = false;
	pthread_mutex_unlock(&lane->lock);
	dead_tell_run(lane);
	reset_batch(lane, batch);
	lane->oldest = (lane->oldest + 1) % BATCHES;
	lane->n_submitted--;
}

static void take_parts(struct lane *lane, struct batch *batch)
{
	size_t n;
	const struct item *items = items_of(batch, &n);

	if (!batch->has_stored)
		return;
	batch->has_stored = false;
	lane->counters = batch->stored;
	/* Without memory they are known from the store, when the lane begins anew. */
	for (size_t i = 0; i < n; i++) {
		if (!items[i].is_done || !items[i].msg)
			continue;
		if (ahead_add(&lane->parts[items[i].msg->partition].ahead, items[i].msg->offset) < 0)
			lane->must_reopen = true;
	}
	dead_forward(lane, batch, true);
}

void batches_take_parts(struct lane *lane)
{
	for (unsigned i = 0; i < BATCHES; i++)
		take_parts(lane, &lane->batches[i]);
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
	batches_take_parts(lane);
	rc = batches_unbury(lane);

	/* They are filled again, as it were, oldest first. */
	for (; n < BATCHES && batch_at(lane, n)->state != BATCH_FREE; n++)
		set_state(batch_at(lane, n), BATCH_FILLING);
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
	batches_take_parts(lane);
	for (unsigned i = 0; i < BATCHES; i++)
		reset_batch(lane, &lane->batches[i]);
	lane->oldest = lane->n_submitted = 0;
	lane->must_redo = false;
}
