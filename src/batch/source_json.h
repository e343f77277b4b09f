/* SPDX-License-Identifier: MIT */
/* The reader of JSON Lines. Private to batch. */
#ifndef BATCH_SOURCE_JSON_H
#define BATCH_SOURCE_JSON_H

#include <yyjson.h>
#include "batch/source_private.h"

/* Keys come in the same order from row to row, so the next one is guessed before it is looked for. */
struct guess {
	char *key;			/* may hold NUL bytes */
	size_t len;
	const struct mapping_role *role;	/* NULL: ignored */
};

struct json {
	struct batch_source base;
	struct window win;
	struct row row;
	uint64_t line;
	char *pool;
	size_t pool_size;
	struct guess *guesses;
	size_t n_guesses, cap_guesses;
	struct buf ignored;
	bool is_first;		/* no line that holds something has been met */
	bool has_format;	/* a row of the store's own format has */
};

/* Makes the row of an object. -EINVAL and so on with the reason: the row is refused, and `row.entity` is as much of its name as is known.
 * -ENOMEM. */
int json_take_object(struct json *json, yyjson_val *root, struct why *why);

#endif
