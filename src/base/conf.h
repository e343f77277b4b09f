/* SPDX-License-Identifier: MIT */
/*
 * INI text to callbacks with line numbers; the only user of inih. inih r55 cuts lines at 200 bytes without an error and tells the
 * handler no line number, so the reader here feeds it pieces (a long line goes in as continuation lines, broken between
 * two visible bytes, and is joined again), counts lines, and refuses what is longer than CONF_LINE_MAX.
 */
#ifndef BASE_CONF_H
#define BASE_CONF_H

#include "base/slice.h"
#include "base/why.h"

enum { CONF_LINE_MAX = 8192 };

/* One "key = value" of a section, or, with key NULL, the beginning of a section. Strings live for the call. A negative errno ends
 * the parse and is returned; `why` then says the reason without file and line, which conf_parse puts before it. */
typedef int (*conf_handler)(void *arg, const char *section, const char *key, const char *value, unsigned line,
			    struct why *why);

/* Reads all of `text`. `name` stands in errors ("name:12: ..."). -EINVAL for what is not INI (also NUL bytes, invalid UTF-8, a key
 * twice in one section, a key before any section), or what the handler returned. A continuation line is joined by one blank. */
int conf_parse(const char *name, struct slice text, conf_handler handler, void *arg, struct why *why);

#endif
