/* SPDX-License-Identifier: MIT */
/* The process that reads a Parquet file. Private to batch. */
#ifndef BATCH_PARQUET_CHILD_H
#define BATCH_PARQUET_CHILD_H

#include <sys/types.h>
#include "base/buf.h"
#include "base/why.h"
#include "batch/parquet_wire.h"

struct parquet_child {
	pid_t pid;		/* 0: none */
	int in, out;		/* what we write to it and read from it */
	char *ring;		/* that it fills; NULL: there is none */
	size_t ring_size;
	uint64_t told;		/* the position up to which it knows that we have read */
};

/* `file_fd` is borrowed for the call. `folder`: see batch_source_options. -ENOTSUP with what to do if there is no such program. */
int parquet_child_start(struct parquet_child *child, int file_fd, const char *folder, size_t memory_bytes, struct why *why);
/* The next frame, wherever it stands; its bytes replace what `out` has. -EINVAL with the process's own reason, or for what became of it; -ENOMEM. */
int parquet_child_read(struct parquet_child *child, uint32_t *out_kind, struct buf *out, struct why *why);
int parquet_child_write(struct parquet_child *child, const struct buf *frame, struct why *why);
/* Ends it, wherever it is. */
void parquet_child_stop(struct parquet_child *child);

#endif
