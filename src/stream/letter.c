/* SPDX-License-Identifier: MIT */
/*
 * A dead letter as a line of JSON: where the message stands, why it is dead, and its own bytes in base64, headers too, so that it can be fed
 * through again as it was. One that is larger than a file of letters may be keeps its place and its reason, not its bytes.
 */
#include "stream/private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>
#include "base/text.h"

/* Text of ours or of a library: quotes and control bytes are escaped. */
static void print_string(const char *text, struct buf *out)
{
	buf_append_char(out, '"');
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			buf_append_char(out, '\\');
		if ((unsigned char)*text < 0x20)
			buf_printf(out, "\\u%04x", (unsigned char)*text);
		else
			buf_append_char(out, *text);
	}
	buf_append_char(out, '"');
}

static void print_bytes(bool has, struct slice bytes, struct buf *out)
{
	if (!has) {
		buf_append_str(out, "null");
		return;
	}
	buf_append_char(out, '"');
	text_base64_encode(bytes, out);
	buf_append_char(out, '"');
}

static size_t size_of(const struct letter *letter)
{
	size_t size = letter->key.len + letter->value.len;

	for (unsigned i = 0; i < letter->n_headers; i++)
		size += strlen(letter->headers[i].name) + letter->headers[i].value.len + 8;
	return size;
}

static void print_headers(const struct letter *letter, struct buf *out)
{
	buf_append_str(out, ",\"headers\":[");
	for (unsigned i = 0; i < letter->n_headers; i++) {
		const struct letter_header *header = &letter->headers[i];

		/* A name is any bytes, so it is base64 as well. */
		buf_append_str(out, i ? ",[\"" : "[\"");
		text_base64_encode(slice_str(header->name), out);
		buf_append_str(out, "\",");
		print_bytes(header->value.data, header->value, out);
		buf_append_char(out, ']');
	}
	buf_append_char(out, ']');
}

void letter_print(const struct letter *letter, size_t most, struct buf *out)
{
	char time[CLOCK_TEXT_MAX];
	size_t size = size_of(letter);
	/* base64, and the line around it */
	bool is_cut = size / 3 * 4 + 1024 > most;

	clock_print_time(letter->time_ns, false, time);
	buf_printf(out, "{\"time\":\"%s\",\"reason\":", time);
	print_string(letter->reason, out);
	buf_append_str(out, ",\"topic\":");
	print_string(letter->topic, out);
	buf_printf(out, ",\"partition\":%" PRId32 ",\"offset\":%" PRId64, letter->partition, letter->offset);
	if (letter->replay >= 0)
		buf_printf(out, ",\"replay\":[%" PRId64 ",%" PRId64 "]", letter->replay >> REPLAY_SHIFT,
			   letter->replay & ((INT64_C(1) << REPLAY_SHIFT) - 1));
	if (letter->timestamp_ns != STREAM_NO_TIME)
		buf_printf(out, ",\"timestamp_ms\":%" PRId64, letter->timestamp_ns / STREAM_MS);
	if (is_cut) {
		buf_printf(out, ",\"cut_bytes\":%zu}\n", size);
		return;
	}
	buf_append_str(out, ",\"key\":");
	print_bytes(letter->has_key, letter->key, out);
	buf_append_str(out, ",\"value\":");
	print_bytes(letter->has_value, letter->value, out);
	if (letter->n_headers)
		print_headers(letter, out);
	buf_append_str(out, "}\n");
}

/* ---- reading ---- */

static int64_t number_of(yyjson_val *root, const char *key, int64_t otherwise)
{
	yyjson_val *val = yyjson_obj_get(root, key);

	return yyjson_is_int(val) ? yyjson_get_sint(val) : otherwise;
}

/* Which replay it failed in, and where it stood in its file. */
static int64_t replay_of(yyjson_val *pair)
{
	yyjson_val *session = yyjson_arr_get(pair, 0), *offset = yyjson_arr_get(pair, 1);

	if (!yyjson_is_uint(session) || !yyjson_is_uint(offset) || yyjson_get_uint(session) >> (62 - REPLAY_SHIFT) ||
	    yyjson_get_uint(offset) >> REPLAY_SHIFT)
		return -1;
	return (int64_t)(yyjson_get_uint(session) << REPLAY_SHIFT | yyjson_get_uint(offset));
}

static int place_of(yyjson_val *root, int32_t *out_partition, int64_t *out_offset, int64_t *out_replay)
{
	int64_t partition = number_of(root, "partition", -1);

	*out_offset = number_of(root, "offset", -1);
	*out_replay = replay_of(yyjson_obj_get(root, "replay"));
	if (partition < 0 || partition > INT32_MAX || *out_offset < 0)
		return -EINVAL;
	*out_partition = (int32_t)partition;
	return 0;
}

int letter_place(struct slice line, int32_t *out_partition, int64_t *out_offset, int64_t *out_replay)
{
	yyjson_doc *doc = yyjson_read(line.data, line.len, 0);
	int rc = doc ? place_of(yyjson_doc_get_root(doc), out_partition, out_offset, out_replay) : -EINVAL;

	yyjson_doc_free(doc);
	return rc;
}

/* Bytes that are gathered, and where they begin. */
struct piece {
	bool has;
	size_t at, len;
};

static int take_bytes(yyjson_val *val, struct buf *bytes, struct piece *out)
{
	int rc = 0;

	*out = (struct piece){ .has = yyjson_is_str(val), .at = bytes->len };
	if (out->has)
		rc = text_base64_decode(slice_of(yyjson_get_str(val), yyjson_get_len(val)), bytes);
	else if (val && !yyjson_is_null(val))
		rc = -EINVAL;
	out->len = bytes->len - out->at;
	buf_append_char(bytes, '\0');		/* names of headers end in one */
	return rc < 0 ? rc : buf_error(bytes);
}

enum { HEADERS_MAX = 1024 };

struct parsed {
	struct buf bytes;
	struct piece key, value;
	struct buf headers;		/* array of two struct piece each */
};

static int take_headers(yyjson_val *list, struct parsed *parsed)
{
	yyjson_val *pair;
	size_t i, n;
	int rc = 0;

	if (!list)
		return 0;
	if (!yyjson_is_arr(list) || yyjson_arr_size(list) > HEADERS_MAX)
		return -EINVAL;
	yyjson_arr_foreach(list, i, n, pair) {
		struct piece pieces[2];

		rc = take_bytes(yyjson_arr_get(pair, 0), &parsed->bytes, &pieces[0]);
		if (rc == 0)
			rc = take_bytes(yyjson_arr_get(pair, 1), &parsed->bytes, &pieces[1]);
		if (rc == 0 && !pieces[0].has)
			rc = -EINVAL;
		if (rc < 0)
			return rc;
		buf_append(&parsed->headers, pieces, sizeof pieces);
	}
	return buf_error(&parsed->headers);
}

static struct slice piece_slice(const char *bytes, const struct piece *piece)
{
	return slice_of(piece->has ? bytes + piece->at : NULL, piece->len);
}

/* The letter, its headers, its bytes and its topic, in one piece. */
static struct letter *assemble(yyjson_val *root, const struct parsed *parsed, const char *topic)
{
	const struct piece *pieces = (const struct piece *)parsed->headers.data;
	unsigned n = (unsigned)(parsed->headers.len / (2 * sizeof *pieces));
	size_t headers_len = n * sizeof(struct letter_header), topic_len = strlen(topic) + 1;
	struct letter *letter = malloc(sizeof *letter + headers_len + parsed->bytes.len + topic_len);
	int64_t timestamp_ms = number_of(root, "timestamp_ms", -1);
	struct letter_header *headers;
	char *bytes;

	if (!letter)
		return NULL;
	headers = (struct letter_header *)(letter + 1);
	bytes = (char *)headers + headers_len;
	memcpy(bytes, parsed->bytes.data, parsed->bytes.len);
	memcpy(bytes + parsed->bytes.len, topic, topic_len);
	for (unsigned i = 0; i < n; i++)
		headers[i] = (struct letter_header){ bytes + pieces[2 * i].at, piece_slice(bytes, &pieces[2 * i + 1]) };
	*letter = (struct letter){
		.reason = "", .topic = bytes + parsed->bytes.len, .key = piece_slice(bytes, &parsed->key), .has_key = parsed->key.has,
		.value = piece_slice(bytes, &parsed->value), .has_value = parsed->value.has, .headers = headers, .n_headers = n,
		.timestamp_ns = timestamp_ms < 0 || timestamp_ms > INT64_MAX / STREAM_MS ? STREAM_NO_TIME : timestamp_ms * STREAM_MS,
		.replay = -1,
	};
	return letter;
}

static int parse(yyjson_val *root, struct letter **out, struct why *why)
{
	const char *topic = yyjson_get_str(yyjson_obj_get(root, "topic"));
	struct parsed parsed = { 0 };
	int64_t replay;
	int rc;

	if (yyjson_obj_get(root, "cut_bytes"))
		return why_fail(why, EINVAL, "its bytes were not kept, for there were too many");
	rc = take_bytes(yyjson_obj_get(root, "key"), &parsed.bytes, &parsed.key);
	if (rc == 0)
		rc = take_bytes(yyjson_obj_get(root, "value"), &parsed.bytes, &parsed.value);
	if (rc == 0)
		rc = take_headers(yyjson_obj_get(root, "headers"), &parsed);
	if (rc == -EINVAL || (rc == 0 && !topic))
		rc = why_fail(why, EINVAL, "it is no dead letter");
	if (rc == 0) {
		*out = assemble(root, &parsed, topic);
		rc = *out ? place_of(root, &(*out)->partition, &(*out)->offset, &replay) : -ENOMEM;
		if (rc == -EINVAL) {
			free(*out);
			why_fail(why, EINVAL, "it does not say where the message stands");
		}
	}
	buf_release(&parsed.bytes);
	buf_release(&parsed.headers);
	return rc;
}

int letter_parse(struct slice line, struct letter **out, struct why *why)
{
	yyjson_doc *doc = yyjson_read(line.data, line.len, 0);
	int rc = doc ? parse(yyjson_doc_get_root(doc), out, why) : why_fail(why, EINVAL, "it is no JSON");

	yyjson_doc_free(doc);
	return rc;
}
