/* SPDX-License-Identifier: MIT */
/*
 * Text of the outside world. The written form of an entity name is one to one with its bytes: what must be escaped is
 * always escaped and nothing else ever is, so that one entity has one name, one key and one place in every list.
 */
#include "base/text.h"

#include <errno.h>
#include <stdint.h>

/* ---- UTF-8 ---- */

/* Length of the character at `p` of which `len` bytes are there; 0 if it is invalid; -1 if it may go on behind the
 * end. The second byte's bounds keep out overlong forms, surrogates and what lies past U+10FFFF. */
static int char_length(const uint8_t *p, size_t len)
{
	uint8_t low = 0x80, high = 0xbf;
	int need;

	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	need = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	for (int i = 1; i < need; i++, low = 0x80, high = 0xbf) {
		if ((size_t)i == len)
			return -1;
		if (p[i] < low || p[i] > high)
			return 0;
	}
	return need;
}

static bool scan_utf8(struct slice text, bool may_end_inside)
{
	const uint8_t *p = text.data;
	size_t i = 0;

	while (i < text.len) {
		uint64_t eight;
		int len;

		if (i + 8 <= text.len && (memcpy(&eight, p + i, 8), !(eight & UINT64_C(0x8080808080808080)))) {
			i += 8;
			continue;
		}
		len = char_length(p + i, text.len - i);
		if (len <= 0)
			return len < 0 && may_end_inside;
		i += (size_t)len;
	}
	return true;
}

bool text_is_utf8(struct slice text)
{
	return scan_utf8(text, false);
}

bool text_is_utf8_prefix(struct slice text)
{
	return scan_utf8(text, true);
}

/* ---- base64 ---- */

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void text_base64_encode(struct slice bytes, struct buf *out)
{
	const uint8_t *p = bytes.data;
	char *to = buf_reserve(out, (bytes.len + 2) / 3 * 4);

	if (!to)
		return;
	for (size_t i = 0; i < bytes.len; i += 3) {
		size_t left = bytes.len - i;
		uint32_t bits = (uint32_t)p[i] << 16;

		bits |= left > 1 ? (uint32_t)p[i + 1] << 8 : 0;
		bits |= left > 2 ? p[i + 2] : 0;
		*to++ = base64_digits[bits >> 18];
		*to++ = base64_digits[bits >> 12 & 63];
		*to++ = left > 1 ? base64_digits[bits >> 6 & 63] : '=';
		*to++ = left > 2 ? base64_digits[bits & 63] : '=';
	}
	out->len += (bytes.len + 2) / 3 * 4;
}

static int base64_value(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* One group of four digits, the last of the text if `is_last`. Returns the number of bytes, or -EINVAL. */
static int decode_four(const uint8_t *p, bool is_last, uint8_t out[3])
{
	unsigned padding = is_last ? (p[3] == '=') + (p[3] == '=' && p[2] == '=') : 0;
	uint32_t bits = 0;

	for (unsigned i = 0; i < 4; i++) {
		int value = i < 4 - padding ? base64_value(p[i]) : 0;

		if (value < 0)
			return -EINVAL;
		bits = bits << 6 | (uint32_t)value;
	}
	if (bits & ((1u << 8 * padding) - 1))
		return -EINVAL;		/* bits that no byte has: a second spelling of the same bytes */
	out[0] = (uint8_t)(bits >> 16);
	out[1] = (uint8_t)(bits >> 8);
	out[2] = (uint8_t)bits;
	return (int)(3 - padding);
}

int text_base64_decode(struct slice text, struct buf *out)
{
	const uint8_t *p = text.data;
	size_t before = out->len;

	if (text.len % 4)
		return -EINVAL;
	for (size_t i = 0; i < text.len; i += 4) {
		uint8_t three[3];
		int n = decode_four(p + i, i + 4 == text.len, three);

		if (n < 0) {
			out->len = before;
			return n;
		}
		buf_append(out, three, (size_t)n);
	}
	return buf_error(out);
}

/* ---- names of groups and features ---- */

static bool is_letter(uint8_t c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static int check_name(struct slice name, size_t len, const char *what, struct why *why)
{
	const uint8_t *p = name.data;

	if (name.len > TEXT_NAME_MAX)
		return why_fail(why, ENAMETOOLONG, "the name of a %s has at most %d bytes", what, TEXT_NAME_MAX);
	if (!len || !is_letter(p[0]))
		return why_fail(why, EINVAL, "\"%.*s\": the name of a %s begins with a letter or '_'", (int)name.len,
				(const char *)p, what);
	for (size_t i = 1; i < len; i++)
		if (!is_letter(p[i]) && !is_digit(p[i]) && p[i] != '-')
			return why_fail(why, EINVAL, "\"%.*s\": the name of a %s has only letters, digits, '_' and '-'",
					(int)name.len, (const char *)p, what);
	return 0;
}

int text_check_group_name(struct slice name, struct why *why)
{
	return check_name(name, name.len, "group", why);
}

int text_check_feature_name(struct slice name, struct why *why)
{
	const char *p = name.data;
	const char *at = name.len ? memchr(p, '@', name.len) : NULL;
	size_t len = at ? (size_t)(at - p) : name.len, digits = name.len - len;
	int rc = check_name(name, len, "feature", why);
	bool good;

	if (rc < 0 || !at)
		return rc;
	/* "@v" and then a number of 2 or more, at most nine digits */
	good = digits > 2 && digits <= 11 && at[1] == 'v' && at[2] != '0';
	for (size_t i = 2; good && i < digits; i++)
		good = is_digit((uint8_t)at[i]);
	if (!good || (digits == 3 && at[2] == '1'))
		return why_fail(why, EINVAL, "\"%.*s\": a version is \"@v2\" or more; the bare name is version 1",
				(int)name.len, p);
	return 0;
}

/* ---- names of entities ---- */

static int hex_value(uint8_t c)
{
	return is_digit(c) ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The bytes that a name never shows as they are. ',' and a leading '.' depend on their place. */
static bool is_escaped_always(uint8_t c)
{
	return c < 0x20 || c == 0x7f || c == '/' || c == '%';
}

/* Judges the escape at name[i]. */
static int check_escape(struct slice name, size_t i, struct why *why)
{
	const uint8_t *p = name.data;
	int high = i + 1 < name.len ? hex_value(p[i + 1]) : -1, low = i + 2 < name.len ? hex_value(p[i + 2]) : -1;
	int c = high < 0 || low < 0 ? -1 : high << 4 | low;

	if (c < 0)
		return why_fail(why, EINVAL,
				"'%%' in an entity's name is followed by two digits of 0-9 A-F; a '%%' itself is %%25");
	if (c == 0)
		return why_fail(why, EINVAL, "an entity's name can't hold a NUL byte");
	if (is_escaped_always((uint8_t)c) || c == ',' || (c == '.' && i == 0))
		return 0;
	return why_fail(why, EINVAL,
			"%%%02X in an entity's name is another spelling of '%c', which is written as it is",
			(unsigned)c, c >= 0x20 && c < 0x7f ? c : '?');
}

int text_check_entity(struct slice name, unsigned parts, struct why *why)
{
	const uint8_t *p = name.data;
	unsigned found = 1;

	if (name.len > TEXT_ENTITY_MAX)
		return why_fail(why, ENAMETOOLONG, "an entity's name has at most %d bytes in its written form",
				TEXT_ENTITY_MAX);
	if (!text_is_utf8(name))
		return why_fail(why, EILSEQ, "an entity's name is UTF-8");
	if (name.len && p[0] == '.')
		return why_fail(why, EINVAL, "a leading '.' in an entity's name is written %%2E");
	for (size_t i = 0; i < name.len; i++) {
		int rc;

		if (p[i] == '%') {
			rc = check_escape(name, i, why);
			if (rc < 0)
				return rc;
			i += 2;
		} else if (is_escaped_always(p[i])) {
			return why_fail(why, EINVAL, "byte 0x%02x in an entity's name is written %%%02X", p[i], p[i]);
		} else if (p[i] == ',') {
			if (i == 0 || p[i - 1] == ',')
				return why_fail(why, EINVAL, "a part of an entity's name is empty");
			found++;
		}
	}
	if (!name.len || p[name.len - 1] == ',')
		return why_fail(why, EINVAL, "%s of an entity's name is empty", name.len ? "a part" : "all");
	if (found != parts)
		return why_fail(why, EINVAL, "an entity's name has %u part%s here, joined by ','; this one has %u "
				"(a ',' inside a part is %%2C)", parts, parts == 1 ? "" : "s", found);
	return 0;
}

int text_escape_entity_part(struct slice raw, bool first, struct buf *out)
{
	static const char hex[] = "0123456789ABCDEF";
	const uint8_t *p = raw.data;

	if (!raw.len || memchr(p, 0, raw.len))
		return -EINVAL;
	if (!text_is_utf8(raw))
		return -EILSEQ;
	for (size_t i = 0; i < raw.len; i++) {
		if (is_escaped_always(p[i]) || p[i] == ',' || (p[i] == '.' && first && i == 0)) {
			char escape[3] = { '%', hex[p[i] >> 4], hex[p[i] & 15] };

			buf_append(out, escape, sizeof(escape));
		} else {
			buf_append_char(out, (char)p[i]);
		}
	}
	return buf_error(out);
}
