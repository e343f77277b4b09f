/* SPDX-License-Identifier: MIT */
/* The ring that batches go through (see batch/parquet_wire.h), from the side that fills it. */
#ifndef PARQUET_RING_H
#define PARQUET_RING_H

#include <stddef.h>
#include <stdint.h>

struct ring {
	char *data;		/* NULL: there is none */
	size_t size;
	uint64_t at, free_to;	/* positions: of the next piece; up to where the other side has read */
};

/* Maps the ring that this process was given, if it was given one. */
void ring_open(struct ring *ring);
/* A place for `len` bytes, once the other side has made room; NULL in *out_place where there is no ring or they are too many for it.
 * What was reserved and never sent is simply reserved again. -EPIPE: the other side is gone. */
int ring_reserve(struct ring *ring, size_t len, char **out_place);
/* The piece that was reserved last holds `len` bytes. Returns its position. */
uint64_t ring_commit(struct ring *ring, size_t len);

#endif
