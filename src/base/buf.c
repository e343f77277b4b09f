/* SPDX-License-Identifier: MIT */
/*
 * Owned bytes that grow. The memory doubles, so that appending is linear in all; a failure is kept in the buffer and
 * asked for once, which spares each caller a branch for each append.
 */
#include "base/buf.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { BUF_FIRST = 64 };	/* bytes of the first allocation: most values and lines fit */

void buf_release(struct buf *buf)
{
	free(buf->data);
	*buf = (struct buf){ 0 };
}

void buf_reset(struct buf *buf)
{
	buf->len = 0;
	buf->failed = false;
}

char *buf_reserve(struct buf *buf, size_t extra)
{
	size_t need, cap;
	char *data;

	if (buf->failed)
		return NULL;
	if (buf->data && extra <= buf->cap - buf->len)
		return buf->data + buf->len;
	if (__builtin_add_overflow(buf->len, extra, &need) || need > SIZE_MAX / 2)
		goto fail;
	cap = buf->cap ? buf->cap : BUF_FIRST;
	while (cap < need)
		cap *= 2;
	data = realloc(buf->data, cap);
	if (!data)
		goto fail;
	buf->data = data;
	buf->cap = cap;
	return buf->data + buf->len;
fail:
	buf->failed = true;
	return NULL;
}

void buf_append(struct buf *buf, const void *data, size_t len)
{
	char *place;

	if (!len)
		return;
	place = buf_reserve(buf, len);
	if (!place)
		return;
	memcpy(place, data, len);
	buf->len += len;
}

void buf_append_slice(struct buf *buf, struct slice bytes)
{
	buf_append(buf, bytes.data, bytes.len);
}

void buf_append_str(struct buf *buf, const char *text)
{
	buf_append(buf, text, strlen(text));
}

void buf_append_char(struct buf *buf, char c)
{
	buf_append(buf, &c, 1);
}

static inline __attribute__((always_inline)) void append_le(struct buf *buf, uint64_t value, unsigned bytes)
{
	value = htole64(value);		/* the low bytes come first */
	buf_append(buf, &value, bytes);
}

void buf_append_u8(struct buf *buf, uint8_t value)
{
	append_le(buf, value, 1);
}

void buf_append_u16(struct buf *buf, uint16_t value)
{
	append_le(buf, value, 2);
}

void buf_append_u32(struct buf *buf, uint32_t value)
{
	append_le(buf, value, 4);
}

void buf_append_u64(struct buf *buf, uint64_t value)
{
	append_le(buf, value, 8);
}

void buf_printf(struct buf *buf, const char *fmt, ...)
{
	va_list args;
	char *place;
	int len;

	va_start(args, fmt);
	len = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	if (len < 0) {
		buf->failed = true;
		return;
	}
	place = buf_reserve(buf, (size_t)len + 1);
	if (!place)
		return;
	va_start(args, fmt);
	vsnprintf(place, (size_t)len + 1, fmt, args);
	va_end(args);
	buf->len += (size_t)len;
}

int buf_error(const struct buf *buf)
{
	return buf->failed ? -ENOMEM : 0;
}
