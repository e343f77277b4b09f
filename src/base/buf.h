/* SPDX-License-Identifier: MIT */
/*
 * Owned bytes that grow. A failed allocation is remembered: later appends do nothing, and the caller asks once, at the
 * end, with buf_error(). A buffer of all zeros is a valid empty one. Not thread-safe.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/slice.h"

struct buf {
	char *data;
	size_t len;
	size_t cap;
	bool failed;		/* an allocation failed; the content is incomplete */
};

void buf_release(struct buf *buf);
/* Empties it, keeps the memory, forgets a failure. */
void buf_reset(struct buf *buf);
/* Makes room for `extra` bytes behind what is there, and returns that place; NULL without memory. The caller adds to
 * buf->len what it wrote. */
char *buf_reserve(struct buf *buf, size_t extra);
void buf_append(struct buf *buf, const void *data, size_t len);
void buf_append_slice(struct buf *buf, struct slice bytes);
void buf_append_str(struct buf *buf, const char *text);
void buf_append_char(struct buf *buf, char c);
/* Little-endian integers. */
void buf_append_u8(struct buf *buf, uint8_t value);
void buf_append_u16(struct buf *buf, uint16_t value);
void buf_append_u32(struct buf *buf, uint32_t value);
void buf_append_u64(struct buf *buf, uint64_t value);
void buf_printf(struct buf *buf, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* 0, or -ENOMEM if any append failed since the last reset. */
int buf_error(const struct buf *buf);

static inline struct slice buf_slice(const struct buf *buf)
{
	return slice_of(buf->data, buf->len);
}

#endif
