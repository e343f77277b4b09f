/* SPDX-License-Identifier: MIT */
/*
 * The state of the editing mount. Private to mount.
 *
 * Locks: mount->lock guards the node table, the lists of write handles and of commits behind a close, and every field marked [L]. It is
 * held for a few dozen instructions and never while anything is read, written or replied. edit->lock and scratch->lock guard one
 * file's bytes; mount->lock may be taken inside of edit->lock, and scratch->lock inside of mount->lock, never the other way round.
 */
#ifndef MOUNT_PRIVATE_H
#define MOUNT_PRIVATE_H

#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdatomic.h>
#include "base/clock.h"
#include "mount/channel.h"
#include "mount/mount.h"
#include "mount/node.h"
#include "mount/reply.h"

struct edit;
struct handle;
struct job;
struct waiting;

/* A node of its own that was promised to one thread, so that its write handle shares no pages with readers; see edit.c. [L] */
struct promise {
	struct node *node;		/* held */
	pid_t tid;
	int64_t until_ns;		/* monotonic */
};

enum { PROMISES = 1024 };	/* more than threads that wait for one value at a time */

/* A thread with a queue of calls. */
struct worker {
	struct mount *mount;
	pthread_t thread;
	pthread_cond_t wake;		/* with mount->lock, monotonic */
	struct waiting *first, **last;	/* [L] */
	bool is_started, is_stopping;	/* [L] */
};

struct mount {
	struct mount_options options;	/* without its strings */
	struct direct *lane;
	struct channel channel;
	pthread_mutex_t lock;
	struct node root;
	struct node **chains;		/* [L] */
	size_t n_chains, n_nodes;	/* [L] */
	struct node *detached;		/* [L] */
	struct handle *open;		/* [L] all that is open but write handles */
	struct edit *edits;		/* [L] open write handles */
	struct job *closing;		/* [L] commits that a close has left behind */
	atomic_uint unsettled;		/* write handles that await their RELEASE, and commits in `closing` */
	struct promise promises[PROMISES];	/* [L] */
	unsigned n_promises;		/* [L] */
	struct shown *free_shown;	/* [L] */
	unsigned n_free_shown;		/* [L] */
	struct scratch *scratch_first;	/* [L] */
	atomic_uint n_scratch;
	atomic_size_t scratch_bytes;
	atomic_uint_fast64_t scratch_counter;
	struct worker late;		/* calls that wait until a name is settled */
	struct worker slow;		/* calls that take long */
	pthread_t trimmer;
	pthread_cond_t trim_wake;
	bool has_trimmer, is_trimming, trim_stops;	/* [L] */
	unsigned in_flight;		/* [L] jobs */
	pthread_cond_t idle;		/* in_flight is 0 */
	int64_t changed_ns;		/* [L] when groups last came, went or were renamed through this mount */
	atomic_uint_fast64_t requests, reads, writes;
	atomic_uint_fast64_t handles;
};

/* session.c */
void session_statfs(const struct direct *lane, struct statvfs *out);

#endif
