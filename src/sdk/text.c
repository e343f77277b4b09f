/* SPDX-License-Identifier: MIT */
/* "key: value" lines, and the texts that callers get. */
#include "sdk/private.h"

#include <stdlib.h>
#include <string.h>

bool sdk_line_find(struct slice text, const char *name, struct slice *out)
{
	const char *at = text.data, *end = at + text.len;
	size_t len = strlen(name);

	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		const char *stop = newline ? newline : end;

		if ((size_t)(stop - at) >= len + 2 && !memcmp(at, name, len) && at[len] == ':' && at[len + 1] == ' ') {
			*out = slice_of(at + len + 2, (size_t)(stop - at) - len - 2);
			return true;
		}
		at = stop + 1;
	}
	return false;
}

void featurefs_text_release(struct featurefs_text *text)
{
	free(text->data);
	*text = (struct featurefs_text){ 0 };
}

void sdk_text_take(struct featurefs_text *text, struct buf *out)
{
	*out = (struct buf){ .data = text->data, .cap = text->room };
	*text = (struct featurefs_text){ 0 };
}

int sdk_text_give(struct featurefs_text *text, struct buf *from)
{
	buf_append_char(from, '\0');
	*text = (struct featurefs_text){ from->data, from->len ? from->len - 1 : 0, from->cap };
	return buf_error(from);
}
