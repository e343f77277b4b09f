/* SPDX-License-Identifier: MIT */
/* The table behind the options. Private to daemon. */
#ifndef DAEMON_OPTION_H
#define DAEMON_OPTION_H

#include "daemon/options.h"

enum option_kind {
	OPTION_BYTES,	/* uint64_t */
	OPTION_SPAN,	/* int64_t, nanoseconds */
	OPTION_COUNT,	/* unsigned */
	OPTION_CHOICE,	/* int, the place in `choices` */
	OPTION_BOOL,	/* bool */
	OPTION_ID,	/* struct options_id, decimal */
	OPTION_MODE,	/* struct options_id, octal */
	OPTION_PATH,	/* char *, owned */
	OPTION_TEXT,	/* char *, owned, never NULL; at most `max` bytes */
	OPTION_SECRET,	/* the same, and never shown */
};

struct option_row {
	const char *section, *key;
	enum option_kind kind;
	size_t offset;
	const char *value;		/* the default; "": not set */
	uint64_t min, max;
	const char *choices;		/* of OPTION_CHOICE: "sync|relaxed" */
	const char *help;
};

extern const struct option_row option_table[];
extern const unsigned option_count;

/* What is shown of a secret. */
#define OPTION_HIDDEN "(hidden)"

/* Sets one option. An empty text takes an id or a mode back. */
int option_set(struct options *options, const struct option_row *row, const char *text, struct why *why);
void option_print(const struct options *options, const struct option_row *row, struct buf *out);
void option_print_range(const struct option_row *row, struct buf *out);
/* Replaces an owned text by a copy. */
int option_set_text(char **slot, const char *text);

#endif
