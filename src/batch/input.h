/* SPDX-License-Identifier: MIT */
/* The bytes of a dropped file, decompressed where they need it, and a window over them. Private to batch. */
#ifndef BATCH_INPUT_H
#define BATCH_INPUT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/slice.h"
#include "base/why.h"
#include "batch/source.h"

struct input;

/* Takes the descriptor of a regular file, at its beginning, whatever happens; what it is compressed with is seen in its first bytes.
 * -EINVAL for a compression that is not known, -EISDIR and so on for what is no file. */
int input_open(int takes_fd, struct input **out, struct why *why);
/* The first bytes as they stand in the file, at most 16; less only where the file is shorter. Valid until the first read. */
struct slice input_head(const struct input *input);
bool input_is_compressed(const struct input *input);
/* The first bytes as they will be read, at most INPUT_PEEK; input_read gives them once more. */
enum { INPUT_PEEK = 512 };
int input_peek(struct input *input, struct slice *out, struct why *why);
int input_fd(const struct input *input);
/* At most `cap` bytes; 0 at the end. -EINVAL with the reason for damaged, cut or suspicious compression; errors of read(2). */
ssize_t input_read(struct input *input, void *out, size_t cap, struct why *why);
void input_progress(const struct input *input, uint64_t *out_done_bytes, uint64_t *out_total_bytes);	/* any thread */
void input_close(struct input *input);		/* NULL is fine */

/*
 * A piece of the input in memory. Bytes [at, end) are there; behind them stand WINDOW_SLACK more that may be read or written (their
 * content means nothing), so that a scanner can put a sentinel at `end` and look at whole words.
 */
enum { WINDOW_SLACK = 64 };

struct window {
	struct input *input;
	char *data, *at, *end;
	size_t cap;		/* without the slack */
	bool at_end;		/* the input has no more */
};

void window_release(struct window *win);
/* Reads more behind what is there; moves `at`. 1: there is more; 0: the input is at its end; -E2BIG: BATCH_ROW_MAX bytes are there and
 * more would be needed; errors of input_read. */
int window_fill(struct window *win, struct why *why);
/* Drops bytes up to `p`. */
static inline void window_drop(struct window *win, const char *p)
{
	win->at += p - win->at;
}

#endif
