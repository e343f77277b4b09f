/* SPDX-License-Identifier: MIT */
/*
 * What a lane stores in the commits that apply its messages, or by itself where it seeks or is told something, in the table of positions:
 *
 *	stream/<group id>/<stream>			the lane's counters
 *	stream/<group id>/<stream>/<topic>/<partition>	the offset of the next message
 *
 * both with a first byte that numbers their form, then little-endian integers; of a position whose form is 2, bits of messages behind it that
 * are done already (ahead.c) stand behind them; of one whose form is 3, the offset up to which there is no message. Names of streams and topics
 * have no slash. A position outlives the section: a stream that is taken out and put back goes on where it was.
 *
 * What ends a transaction has an offset, and so have messages that were given up, but neither is a message, and no position moves behind
 * them. Once a topic forgets its old messages such a position is not in it any more, and only form 3 tells that nothing was lost.
 */
#include "stream/private.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { FORM = 1, FORM_AHEAD = 2, FORM_EMPTY = 3, POSITION_LEN = 1 + 8 + 8, EMPTY_LEN = POSITION_LEN + 8 };

#define COUNT_ONE(name) + 1
enum { N_COUNTERS = 0 LANE_COUNTERS(COUNT_ONE), COUNTERS_LEN = 1 + 8 * N_COUNTERS + 1 + 8 };

void position_lane_key(uint32_t group_id, const char *stream, struct buf *out)
{
	buf_printf(out, "stream/%" PRIu32 "/%s", group_id, stream);
}

void position_key(uint32_t group_id, const char *stream, const char *topic, int32_t partition, struct buf *out)
{
	buf_printf(out, "stream/%" PRIu32 "/%s/%s/%" PRId32, group_id, stream, topic, partition);
}

static uint64_t take64(const char **at)
{
	uint64_t value;

	memcpy(&value, *at, sizeof value);
	*at += sizeof value;
	return le64toh(value);
}

void position_encode(const struct position *pos, const struct ahead *ahead, struct buf *out)
{
	bool has_ahead = ahead && ahead->bits.len, is_empty = !has_ahead && pos->empty_to > pos->next;

	buf_append_u8(out, has_ahead ? FORM_AHEAD : is_empty ? FORM_EMPTY : FORM);
	buf_append_u64(out, (uint64_t)pos->next);
	buf_append_u64(out, (uint64_t)pos->timestamp_ns);
	if (has_ahead)
		buf_append_slice(out, buf_slice(&ahead->bits));
	else if (is_empty)
		buf_append_u64(out, (uint64_t)pos->empty_to);
}

int position_decode(struct slice bytes, struct position *out, struct ahead *out_ahead)
{
	const char *at = bytes.data;
	int form = bytes.len ? *at++ : 0;
	struct slice bits;

	if (form == FORM ? bytes.len != POSITION_LEN : form == FORM_EMPTY ? bytes.len != EMPTY_LEN : form != FORM_AHEAD || bytes.len <= POSITION_LEN)
		return -EBADMSG;
	out->next = (int64_t)take64(&at);
	out->timestamp_ns = (int64_t)take64(&at);
	out->empty_to = form == FORM_EMPTY ? (int64_t)take64(&at) : 0;
	if (out->next < 0 || out->empty_to < 0)
		return -EBADMSG;
	bits = slice_of(at, form == FORM_AHEAD ? bytes.len - POSITION_LEN : 0);
	return out_ahead ? ahead_set(out_ahead, out->next, bits) : 0;
}

void counters_encode(const struct counters *counters, struct buf *out)
{
	buf_append_u8(out, FORM);
#define X(name) buf_append_u64(out, counters->name);
	LANE_COUNTERS(X)
#undef X
	buf_append_u8(out, counters->is_paused);
	buf_append_u64(out, counters->replay_offset);
}

int counters_decode(struct slice bytes, struct counters *out)
{
	const char *at = bytes.data;

	*out = (struct counters){ 0 };
	if (bytes.len == 0)
		return 0;
	if (bytes.len != COUNTERS_LEN || *at++ != FORM)
		return -EBADMSG;
#define X(name) out->name = take64(&at);
	LANE_COUNTERS(X)
#undef X
	out->is_paused = *at++ != 0;
	out->replay_offset = take64(&at);
	return 0;
}

static int load(struct store *store, struct buf *key, struct buf *out)
{
	struct store_snap *snap = NULL;
	struct slice value;
	int rc = buf_error(key);

	if (rc == 0)
		rc = store_snap_begin(store, &snap);
	if (rc == 0)
		rc = store_get(snap, STORE_POSITIONS, buf_slice(key), &value);
	if (rc == 0) {
		buf_append_slice(out, value);
		rc = buf_error(out);
	}
	store_snap_end(snap);
	buf_release(key);
	return rc;
}

int position_load(struct store *store, uint32_t group_id, const char *stream, const char *topic, int32_t partition,
		  struct position *out, struct ahead *out_ahead)
{
	struct buf key = { 0 }, value = { 0 };
	int rc;

	position_key(group_id, stream, topic, partition, &key);
	rc = load(store, &key, &value);
	if (rc == 0)
		rc = position_decode(buf_slice(&value), out, out_ahead);
	buf_release(&value);
	return rc;
}

int counters_load(struct store *store, uint32_t group_id, const char *stream, struct counters *out)
{
	struct buf key = { 0 }, value = { 0 };
	int rc;

	position_lane_key(group_id, stream, &key);
	rc = load(store, &key, &value);
	if (rc == 0)
		rc = counters_decode(buf_slice(&value), out);
	buf_release(&value);
	return rc;
}

/* ---- stored by themselves ---- */

void partitions_free(struct lane *lane)
{
	for (int32_t i = 0; i < lane->n_parts; i++)
		buf_release(&lane->parts[i].ahead.bits);
	free(lane->parts);
	lane->parts = NULL;
	lane->n_parts = 0;
}

struct put {
	struct lane *lane;
	const int64_t *next;
	bool notes_ends;
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

/* Is the topic empty behind the position for longer than is stored? Nothing is under way. */
static bool has_new_end(const struct partition *part)
{
	return part->is_assigned && part->end_next == part->next && part->next == part->committed.next && part->end > part->next &&
	       part->end > part->committed.empty_to && !part->ahead.bits.len;
}

/* What is to be stored of a partition. False: nothing. */
static bool choose_position(const struct put *put, int32_t i, struct position *out)
{
	const struct partition *part = &put->lane->parts[i];

	if (put->notes_ends) {
		*out = part->committed;
		out->empty_to = part->end;
		return has_new_end(part);
	}
	if (!put->next || put->next[i] < 0)
		return false;
	*out = (struct position){ .next = put->next[i], .timestamp_ns = STREAM_NO_TIME };
	return true;
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
	for (int32_t i = 0; rc == 0 && i < lane->n_parts; i++) {
		struct position pos;

		if (!choose_position(put, i, &pos))
			continue;
		buf_reset(&put->key);
		buf_reset(&put->value);
		position_key(lane->group_id, lane->stream_name, lane->def.topic, i, &put->key);
		position_encode(&pos, NULL, &put->value);
		rc = put_value(put, at);
	}
	return rc;
}

static int run_put(struct put *put, struct why *why)
{
	static const struct ingest_position_ops ops = { .check = check_put, .store = store_put };
	struct lane *lane = put->lane;
	struct ingest_request *req;
	int rc = ingest_request_new(lane->stream->options.ingest, RECORD_LANE_STREAM, 0, 0, "stream", &req);

	if (rc == 0) {
		ingest_request_positions(req, &ops, put);
		rc = ingest_run(lane->stream->options.ingest, req, NULL, why);
	}
	if (rc == 0) {
		pthread_mutex_lock(&lane->lock);
		lane->counters = lane->shown = put->counters;
		pthread_mutex_unlock(&lane->lock);
	}
	buf_release(&put->key);
	buf_release(&put->value);
	return rc;
}

int positions_note_ends(struct lane *lane, struct why *why)
{
	static const struct counters_change nothing = { 0 };
	struct put put = { .lane = lane, .notes_ends = true, .change = &nothing };
	bool has_any = false;
	int rc;

	for (int32_t i = 0; i < lane->n_parts; i++)
		has_any = has_any || has_new_end(&lane->parts[i]);
	rc = has_any ? run_put(&put, why) : 0;
	for (int32_t i = 0; rc == 0 && i < lane->n_parts; i++)
		if (has_new_end(&lane->parts[i]))
			lane->parts[i].committed.empty_to = lane->parts[i].end;
	return rc;
}

int positions_put(struct lane *lane, const int64_t *next, const struct counters_change *change, struct why *why)
{
	struct put put = { .lane = lane, .next = next, .change = change };
	int rc = run_put(&put, why);

	for (int32_t i = 0; rc == 0 && next && i < lane->n_parts; i++)
		if (next[i] >= 0) {
			buf_release(&lane->parts[i].ahead.bits);
			lane->parts[i] = (struct partition){
				.is_assigned = lane->parts[i].is_assigned, .next = next[i],
				.committed = { .next = next[i], .timestamp_ns = STREAM_NO_TIME }, .low = lane->parts[i].low,
				.high = lane->parts[i].high,
			};
			ahead_cut(&lane->parts[i].ahead, next[i]);
		}
	return rc;
}
