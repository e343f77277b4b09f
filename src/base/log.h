/* SPDX-License-Identifier: MIT */
/* Levelled lines to stderr (or, in a detached daemon, where stderr was sent). Only lane, mount and daemon log; other
 * rooms return a reason. Thread-safe; one write(2) a line. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

void log_set_level(enum log_level level);
/* Sends lines to syslog(3) instead of stderr, for a daemon that has detached. */
void log_to_syslog(const char *ident);
void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
