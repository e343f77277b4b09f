/* SPDX-License-Identifier: MIT */
/* The files of .featurefs/: what the daemon says about itself. Rendered afresh at each open, from any thread. */
#ifndef DAEMON_STATUS_H
#define DAEMON_STATUS_H

#include <stdint.h>
#include "daemon/options.h"
#include "mount/mount.h"

/* What the texts are made from. All of it outlives the mount that shows them. */
struct status {
	const struct options *options;
	const char *mountpoint;		/* resolved */
	struct store *store;
	struct catalog_current *cur;
	struct ingest *ingest;
	struct batch *batch;
	struct mount *mount;		/* NULL until it is mounted */
	struct serving *serving;	/* NULL: there is none */
	const char *serve_path;
	struct stream *stream;		/* NULL: none, as in a read-only mount */
	int64_t started_ns;		/* of clock_monotonic() */
	struct mount_control controls[6];
};

/* Fills `controls`; the other fields may follow later, before the first request. */
void status_init(struct status *status);
/* What the direct lane has done. */
void status_direct(struct status *status, struct buf *out);
void status_batch(struct status *status, struct buf *out);

#endif
