/* SPDX-License-Identifier: MIT */
/*
 * The text of a source: its name, and, where it is a load of several files, what those are called, so that a value's origin tells which of them it came
 * from. The names stand in one text, for a number of its own for each would make a load of many parts a thousand commits; they are those of one job, and
 * what all of them begin and end with stands once:
 *
 *	import-12:run1 \n part-0000 \n -3f25.csv \n 0 \n 1 \n 2 \n
 */
#ifndef STORE_SOURCE_H
#define STORE_SOURCE_H

#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/slice.h"

enum {
	SOURCE_PARTS_MAX = 1 << 20,	/* bytes: of parts that have no room in a text the source's name is known */
};

/* Appends a text. Names have no control characters; parts[i] is the file with the number i. -ENOMEM. */
int source_print(struct slice name, const char *const *parts, size_t n, struct buf *out);
/* The name alone. */
struct slice source_name(struct slice text);
/* Appends what a value of that part came from: "import-12:run1/part-00001-3f25.csv", or the name alone. */
void source_print_part(struct slice text, uint64_t part, struct buf *out);

#endif
