/* SPDX-License-Identifier: MIT */
#include "store/source.h"

#include <string.h>

static struct slice next_line(struct slice *rest)
{
	const char *end = rest->len ? memchr(rest->data, '\n', rest->len) : NULL;
	size_t len = end ? (size_t)(end - (const char *)rest->data) : rest->len, taken = len + (end != NULL);
	struct slice line = slice_of(rest->data, len);

	*rest = slice_of((const char *)rest->data + taken, rest->len - taken);
	return line;
}

/* Does a text of UTF-8 have a character's begin there? */
static bool is_border(const char *at)
{
	return ((unsigned char)*at & 0xc0) != 0x80;
}

static size_t common_prefix(const char *a, const char *b, size_t max)
{
	size_t n = 0;

	while (n < max && a[n] && a[n] == b[n])
		n++;
	while (n && !(is_border(a + n) && is_border(b + n)))
		n--;
	return n;
}

static size_t common_suffix(const char *a, size_t a_len, const char *b, size_t b_len, size_t max)
{
	size_t n = 0;

	while (n < max && n < a_len && n < b_len && a[a_len - n - 1] == b[b_len - n - 1])
		n++;
	while (n && !is_border(a + a_len - n))
		n--;
	return n;
}

/* The shortest name bounds both, so that they never overlap. */
static void find_common(const char *const *parts, size_t n, size_t *out_prefix, size_t *out_suffix)
{
	size_t shortest = strlen(parts[0]), prefix = shortest, suffix;

	for (size_t i = 1; i < n; i++) {
		size_t len = strlen(parts[i]);

		shortest = len < shortest ? len : shortest;
		prefix = common_prefix(parts[0], parts[i], prefix);
	}
	suffix = shortest - prefix;
	for (size_t i = 1; i < n; i++)
		suffix = common_suffix(parts[0], strlen(parts[0]), parts[i], strlen(parts[i]), suffix);
	*out_prefix = prefix;
	*out_suffix = suffix;
}

int source_print(struct slice name, const char *const *parts, size_t n, struct buf *out)
{
	size_t prefix, suffix, begin;

	buf_append_slice(out, name);
	if (!n)
		return buf_error(out);
	find_common(parts, n, &prefix, &suffix);
	begin = out->len;
	buf_append_char(out, '\n');
	buf_append(out, parts[0], prefix);
	buf_append_char(out, '\n');
	buf_append(out, parts[0] + strlen(parts[0]) - suffix, suffix);
	buf_append_char(out, '\n');
	for (size_t i = 0; i < n && buf_error(out) == 0; i++) {
		size_t len = strlen(parts[i]) - prefix - suffix;

		if (out->len - begin + 1 + len > SOURCE_PARTS_MAX)
			break;
		buf_append(out, parts[i] + prefix, len);
		buf_append_char(out, '\n');
	}
	return buf_error(out);
}

struct slice source_name(struct slice text)
{
	return next_line(&text);
}

void source_print_part(struct slice text, uint64_t part, struct buf *out)
{
	struct slice name = next_line(&text), prefix, suffix;

	buf_append_slice(out, name);
	prefix = next_line(&text);
	suffix = next_line(&text);
	for (; part && text.len; part--)
		next_line(&text);
	if (!text.len)
		return;
	buf_append_char(out, '/');
	buf_append_slice(out, prefix);
	buf_append_slice(out, next_line(&text));
	buf_append_slice(out, suffix);
}
