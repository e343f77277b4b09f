/* SPDX-License-Identifier: MIT */
/*
 * What a lane stores in the commits that apply its messages, in the table of positions:
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
