/* SPDX-License-Identifier: MIT */
/*
 * One line of reason. It quotes what came from outside, and ends in logs, .errors files and terminals: so it is one
 * line of clean UTF-8 whatever was quoted.
 */
#include "base/why.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include "base/text.h"

static void clean(char *text)
{
	size_t len = strlen(text);
	bool broken;

	/* The cut at the end may have split a character, which is no fault of the text. */
	for (unsigned i = 0; i < 3 && len && !text_is_utf8(slice_of(text, len)); i++)
		if (text_is_utf8_prefix(slice_of(text, len)))
			text[--len] = '\0';
	broken = !text_is_utf8(slice_of(text, len));
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c < 0x20 || c == 0x7f || (broken && c >= 0x80))
			text[i] = '?';
	}
}

int why_fail(struct why *why, int err, const char *fmt, ...)
{
	struct why fresh;	/* the arguments may quote *why itself */
	va_list args;

	if (!why)
		return -err;
	va_start(args, fmt);
	vsnprintf(fresh.text, sizeof(fresh.text), fmt, args);
	va_end(args);
	clean(fresh.text);
	*why = fresh;
	return -err;
}

void why_prefix(struct why *why, const char *fmt, ...)
{
	struct why fresh;
	va_list args;
	size_t len, rest;

	if (!why)
		return;
	va_start(args, fmt);
	vsnprintf(fresh.text, sizeof(fresh.text), fmt, args);
	va_end(args);
	len = strlen(fresh.text);
	if (len + 2 < sizeof(fresh.text)) {
		memcpy(fresh.text + len, ": ", 2);
		len += 2;
		rest = strnlen(why->text, sizeof(fresh.text) - len - 1);
		memcpy(fresh.text + len, why->text, rest);
		fresh.text[len + rest] = '\0';
	}
	clean(fresh.text);
	*why = fresh;
}
