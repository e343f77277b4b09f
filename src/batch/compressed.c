/* SPDX-License-Identifier: MIT */
/*
 * Bytes of a file, through zlib or libzstd if their first bytes say so. Nothing is decompressed ahead: a reader asks for as much as its
 * window holds, so memory is the window and what the libraries keep (zstd: at most the 128 MiB window that its own tool accepts too).
 * A small file that would fill a disk is refused by its ratio: rows of data, each with an entity of its own, don't shrink a
 * thousandfold. Members that stand one behind another (`cat a.gz b.gz`) are one stream.
 */
#include "batch/input.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>
#include "base/file.h"

/* The fuzzers make it small, so that windows end in all places of small inputs. */
#ifndef BATCH_WINDOW_FIRST
#define BATCH_WINDOW_FIRST (1 << 20)
#endif

enum {
	IN_BYTES = 256 << 10,
	HEAD_MAX = 16,
	RATIO_MAX = 1000,
	ZSTD_WINDOW_LOG = 27,
};

/* Below this much output no ratio is suspicious. */
static const uint64_t ratio_from = UINT64_C(256) << 20;

enum packing { PLAIN, GZIP, ZSTD };

struct input {
	int fd;
	enum packing packing;
	bool is_open;		/* inside a member or frame */
	bool at_end;		/* of the file */
	uint8_t head[HEAD_MAX];
	size_t head_len;
	uint8_t *in;		/* compressed bytes; of a plain file only the head, before its first read */
	size_t in_at, in_end;
	uint64_t total, out_bytes;
	_Atomic uint64_t done;	/* bytes of the file that were read */
	uint8_t peek[INPUT_PEEK];
	size_t peek_at, peek_end;
	z_stream z;
	ZSTD_DCtx *zstd;
};

/* ---- what it is ---- */

static const struct magic {
	const char *bytes;
	size_t len, at;
	const char *what;	/* NULL: one of ours */
	enum packing packing;
} magics[] = {
	{ "\x1f\x8b", 2, 0, NULL, GZIP },
	{ "\x28\xb5\x2f\xfd", 4, 0, NULL, ZSTD },
	{ "\x2a\x4d\x18", 3, 1, NULL, ZSTD },		/* a frame to skip, 0x50 to 0x5f first */
	{ "BZh", 3, 0, "compressed with bzip2", PLAIN },
	{ "\xfd""7zXZ", 5, 0, "compressed with xz", PLAIN },
	{ "\x04\x22\x4d\x18", 4, 0, "compressed with lz4", PLAIN },
	{ "\xff\x06\x00\x00sNaPpY", 10, 0, "compressed with snappy", PLAIN },
	{ "PK\x03\x04", 4, 0, "a zip archive or a spreadsheet", PLAIN },
	{ "ORC", 3, 0, "ORC", PLAIN },
	{ "Obj\x01", 4, 0, "an Avro file", PLAIN },
	{ "ARROW1", 6, 0, "an Arrow file", PLAIN },
	{ "SQLite format 3", 15, 0, "an SQLite database", PLAIN },
	{ "\xff\xfe", 2, 0, "text in UTF-16", PLAIN },
	{ "\xfe\xff", 2, 0, "text in UTF-16", PLAIN },
};

static int judge_head(struct input *input, struct why *why)
{
	for (unsigned i = 0; i < sizeof magics / sizeof *magics; i++) {
		const struct magic *magic = &magics[i];

		if (input->head_len < magic->at + magic->len || memcmp(input->head + magic->at, magic->bytes, magic->len))
			continue;
		if (magic->at && (input->head[0] & 0xf0) != 0x50)
			continue;
		if (magic->what)
			return why_fail(why, EINVAL, "the file is %s; what can be imported is CSV, JSON Lines (both plain, as gzip or as zstd; "
					"in UTF-8) and Parquet", magic->what);
		input->packing = magic->packing;
		return 0;
	}
	return 0;
}

static int start_unpacking(struct input *input)
{
	if (input->packing != PLAIN)
		input->done = input->head_len;		/* plain bytes are counted when they are given out */
	if (input->packing == GZIP) {
		int code = inflateInit2(&input->z, 15 + 16);

		return code == Z_OK ? 0 : -ENOMEM;
	}
	if (input->packing == ZSTD) {
		input->zstd = ZSTD_createDCtx();
		if (!input->zstd)
			return -ENOMEM;
		ZSTD_DCtx_setParameter(input->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG);
	}
	return 0;
}

static int read_head(struct input *input, struct why *why)
{
	struct stat st;
	ssize_t n;

	if (fstat(input->fd, &st) < 0)
		return why_fail(why, errno, "the file can't be looked at: %s", strerror(errno));
	if (!S_ISREG(st.st_mode))
		return why_fail(why, S_ISDIR(st.st_mode) ? EISDIR : EINVAL, "it is no regular file");
	input->total = (uint64_t)st.st_size;
	n = file_read_up_to(input->fd, input->head, HEAD_MAX);
	if (n < 0)
		return why_fail(why, (int)-n, "the file can't be read: %s", strerror((int)-n));
	input->head_len = (size_t)n;
	memcpy(input->in, input->head, input->head_len);
	input->in_end = input->head_len;
	return judge_head(input, why);
}

int input_open(int takes_fd, struct input **out, struct why *why)
{
	struct input *input = calloc(1, sizeof *input);
	int rc;

	if (!input) {
		close(takes_fd);
		return -ENOMEM;
	}
	input->fd = takes_fd;
	input->in = malloc(IN_BYTES);
	rc = input->in ? read_head(input, why) : -ENOMEM;
	if (rc == 0)
		rc = start_unpacking(input);
	if (rc < 0)
		input_close(input);
	else
		*out = input;
	return rc;
}

void input_close(struct input *input)
{
	if (!input)
		return;
	if (input->packing == GZIP && input->z.state)
		inflateEnd(&input->z);
	ZSTD_freeDCtx(input->zstd);
	close(input->fd);
	free(input->in);
	free(input);
}

struct slice input_head(const struct input *input)
{
	return slice_of(input->head, input->head_len);
}

bool input_is_compressed(const struct input *input)
{
	return input->packing != PLAIN;
}

int input_fd(const struct input *input)
{
	return input->fd;
}

void input_progress(const struct input *input, uint64_t *out_done_bytes, uint64_t *out_total_bytes)
{
	*out_done_bytes = atomic_load_explicit(&((struct input *)(uintptr_t)input)->done, memory_order_relaxed);
	*out_total_bytes = input->total;
}

/* ---- reading ---- */

static int fail_read(int err, struct why *why)
{
	return why_fail(why, err, "the file can't be read: %s", strerror(err));
}

static ssize_t read_some(struct input *input, void *to, size_t cap, struct why *why)
{
	ssize_t n;

	do
		n = read(input->fd, to, cap);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return fail_read(errno, why);
	atomic_fetch_add_explicit(&input->done, (uint64_t)n, memory_order_relaxed);
	return n;
}

static ssize_t read_plain(struct input *input, void *out, size_t cap, struct why *why)
{
	size_t left = input->in_end - input->in_at;

	if (left) {
		left = left < cap ? left : cap;
		memcpy(out, input->in + input->in_at, left);
		input->in_at += left;
		atomic_fetch_add_explicit(&input->done, left, memory_order_relaxed);
		return (ssize_t)left;
	}
	return read_some(input, out, cap, why);
}

/* More compressed bytes, if all have been used. */
static int fill_in(struct input *input, struct why *why)
{
	ssize_t n;

	if (input->in_at < input->in_end || input->at_end)
		return 0;
	n = read_some(input, input->in, IN_BYTES, why);
	if (n < 0)
		return (int)n;
	input->in_at = 0;
	input->in_end = (size_t)n;
	input->at_end = n == 0;
	return 0;
}

static int refuse_damage(const char *packing, const char *what, struct why *why)
{
	return why_fail(why, EINVAL, "the %s data is damaged: %s", packing, what ? what : "no reason given");
}

/* One step of zlib: how much it gave. */
static ssize_t step_gzip(struct input *input, void *out, size_t cap, struct why *why)
{
	z_stream *z = &input->z;
	int code;

	if (!input->is_open) {
		/* Between members: zeros that a block device or tape left are no member. */
		while (input->in_at < input->in_end && !input->in[input->in_at])
			input->in_at++;
		if (input->in_at == input->in_end)
			return 0;
		if (inflateReset(z) != Z_OK)
			return refuse_damage("gzip", z->msg, why);
		input->is_open = true;
	}
	z->next_in = input->in + input->in_at;
	z->avail_in = (uInt)(input->in_end - input->in_at);
	z->next_out = out;
	z->avail_out = (uInt)(cap < (1u << 30) ? cap : 1u << 30);
	cap = z->avail_out;
	code = inflate(z, Z_NO_FLUSH);
	input->in_at = input->in_end - z->avail_in;
	if (code == Z_MEM_ERROR)
		return -ENOMEM;
	if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR)
		return refuse_damage("gzip", z->msg ? z->msg : code == Z_NEED_DICT ? "it wants a dictionary" : NULL, why);
	if (code == Z_STREAM_END)
		input->is_open = false;
	return (ssize_t)(cap - z->avail_out);
}

static ssize_t step_zstd(struct input *input, void *out, size_t cap, struct why *why)
{
	ZSTD_inBuffer from = { input->in, input->in_end, input->in_at };
	ZSTD_outBuffer to = { out, cap, 0 };
	size_t code = ZSTD_decompressStream(input->zstd, &to, &from);

	input->in_at = from.pos;
	if (ZSTD_isError(code))
		return refuse_damage("zstd", ZSTD_getErrorName(code), why);
	input->is_open = code != 0;
	return (ssize_t)to.pos;
}

static int check_ratio(const struct input *input, struct why *why)
{
	uint64_t used = atomic_load_explicit(&((struct input *)(uintptr_t)input)->done, memory_order_relaxed);

	if (input->out_bytes < ratio_from || input->out_bytes / RATIO_MAX < used)
		return 0;
	return why_fail(why, EINVAL, "%llu compressed bytes became %llu: more than %d-fold, as no rows do; decompress it yourself if they are "
			"rows", (unsigned long long)used, (unsigned long long)input->out_bytes, RATIO_MAX);
}

static ssize_t unpack(struct input *input, void *out, size_t cap, struct why *why)
{
	ssize_t n;

	if (input->packing == PLAIN)
		return read_plain(input, out, cap, why);
	do {
		int rc = fill_in(input, why);

		if (rc < 0)
			return rc;
		if (input->at_end && input->in_at == input->in_end && !input->is_open)
			return 0;
		n = input->packing == GZIP ? step_gzip(input, out, cap, why) : step_zstd(input, out, cap, why);
		if (n == 0 && input->at_end && input->in_at == input->in_end && input->is_open)
			return why_fail(why, EINVAL, "the compressed data ends in the middle: was the file copied whole?");
	} while (n == 0);
	if (n > 0) {
		input->out_bytes += (uint64_t)n;
		if (check_ratio(input, why) < 0)
			return -EINVAL;
	}
	return n;
}

int input_peek(struct input *input, struct slice *out, struct why *why)
{
	while (input->peek_end < INPUT_PEEK) {
		ssize_t n = unpack(input, input->peek + input->peek_end, INPUT_PEEK - input->peek_end, why);

		if (n < 0)
			return (int)n;
		if (n == 0)
			break;
		input->peek_end += (size_t)n;
	}
	*out = slice_of(input->peek, input->peek_end);
	return 0;
}

ssize_t input_read(struct input *input, void *out, size_t cap, struct why *why)
{
	size_t left = input->peek_end - input->peek_at;

	if (!left)
		return unpack(input, out, cap, why);
	left = left < cap ? left : cap;
	memcpy(out, input->peek + input->peek_at, left);
	input->peek_at += left;
	return (ssize_t)left;
}

/* ---- the window ---- */

void window_release(struct window *win)
{
	free(win->data);
	win->data = win->at = win->end = NULL;
	win->cap = 0;
}

/* Room behind `end`: what was dropped is moved over first, then the window grows. */
static int make_room(struct window *win)
{
	size_t len = (size_t)(win->end - win->at), cap = win->cap;
	char *data;

	if (win->data && win->at > win->data) {
		memmove(win->data, win->at, len);
		win->at = win->data;
		win->end = win->data + len;
	}
	if (len < cap / 2)
		return 0;
	if (len > BATCH_ROW_MAX)
		return -E2BIG;
	cap = cap ? cap * 2 : BATCH_WINDOW_FIRST;
	data = realloc(win->data, cap + WINDOW_SLACK);
	if (!data)
		return -ENOMEM;
	win->data = win->at = data;
	win->end = data + len;
	win->cap = cap;
	return 0;
}

int window_fill(struct window *win, struct why *why)
{
	ssize_t n;
	int rc;

	if (win->at_end)
		return 0;
	rc = make_room(win);
	if (rc < 0)
		return rc;
	n = input_read(win->input, win->end, win->cap - (size_t)(win->end - win->data), why);
	if (n < 0)
		return (int)n;
	win->end += n;
	win->at_end = n == 0;
	memset(win->end, 0, WINDOW_SLACK);
	return n > 0;
}
