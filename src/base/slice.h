/* SPDX-License-Identifier: MIT */
/* Borrowed bytes: a slice owns nothing and lives as long as what it points into. */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct slice {
	const void *data;
	size_t len;		/* bytes */
};

static inline struct slice slice_of(const void *data, size_t len)
{
	return (struct slice){ data, len };
}

static inline struct slice slice_str(const char *text)
{
	return slice_of(text, strlen(text));
}

static inline bool slice_equal(struct slice a, struct slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* Byte order, a prefix before what it begins: the order of keys in the map. */
static inline int slice_compare(struct slice a, struct slice b)
{
	size_t len = a.len < b.len ? a.len : b.len;
	int order = len ? memcmp(a.data, b.data, len) : 0;

	return order ? order : (a.len > b.len) - (a.len < b.len);
}

#endif
