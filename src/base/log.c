/* SPDX-License-Identifier: MIT */
/*
 * Levelled lines. A line is put together on the stack and written at once, so that lines of different threads don't
 * mix; it is clean of control bytes, for it may quote foreign text. errno survives a call.
 */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

enum { LOG_LINE_MAX = 1024 };	/* bytes; a longer line is cut */

static const struct {
	const char *name;
	int priority;		/* of syslog(3) */
} levels[] = {
	[LOG_LEVEL_ERROR] = { "error", LOG_ERR },
	[LOG_LEVEL_WARN] = { "warn", LOG_WARNING },
	[LOG_LEVEL_INFO] = { "info", LOG_INFO },
	[LOG_LEVEL_DEBUG] = { "debug", LOG_DEBUG },
};

/* Read by any thread, set by the one that starts the program. */
static int current_level = LOG_LEVEL_INFO;
static bool to_syslog;
static char syslog_ident[64];	/* openlog(3) keeps the pointer */

void log_set_level(enum log_level level)
{
	__atomic_store_n(&current_level, (int)level, __ATOMIC_RELAXED);
}

void log_to_syslog(const char *ident)
{
	snprintf(syslog_ident, sizeof(syslog_ident), "%s", ident);
	openlog(syslog_ident, LOG_PID, LOG_DAEMON);
	__atomic_store_n(&to_syslog, true, __ATOMIC_RELEASE);
}

static void write_line(enum log_level level, const char *fmt, va_list args)
{
	char line[LOG_LINE_MAX];
	size_t start, len;
	int saved = errno;

	start = (size_t)snprintf(line, sizeof(line), "featurefs: %s: ", levels[level].name);
	vsnprintf(line + start, sizeof(line) - start - 1, fmt, args);
	len = start + strlen(line + start);
	for (size_t i = start; i < len; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	if (__atomic_load_n(&to_syslog, __ATOMIC_ACQUIRE)) {
		syslog(levels[level].priority, "%s", line + start);
	} else {
		line[len++] = '\n';
		while (write(STDERR_FILENO, line, len) < 0 && errno == EINTR)
			;
	}
	errno = saved;
}

static bool is_wanted(enum log_level level)
{
	return (int)level <= __atomic_load_n(&current_level, __ATOMIC_RELAXED);
}

void log_error(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	write_line(LOG_LEVEL_ERROR, fmt, args);		/* errors are always wanted */
	va_end(args);
}

void log_warn(const char *fmt, ...)
{
	va_list args;

	if (!is_wanted(LOG_LEVEL_WARN))
		return;
	va_start(args, fmt);
	write_line(LOG_LEVEL_WARN, fmt, args);
	va_end(args);
}

void log_info(const char *fmt, ...)
{
	va_list args;

	if (!is_wanted(LOG_LEVEL_INFO))
		return;
	va_start(args, fmt);
	write_line(LOG_LEVEL_INFO, fmt, args);
	va_end(args);
}

void log_debug(const char *fmt, ...)
{
	va_list args;

	if (!is_wanted(LOG_LEVEL_DEBUG))
		return;
	va_start(args, fmt);
	write_line(LOG_LEVEL_DEBUG, fmt, args);
	va_end(args);
}
