/* SPDX-License-Identifier: MIT */
/*
 * The serving mount: a second, read-only mount of the same daemon for those who read much and often. The kernel keeps names, attributes and
 * pages, and opens files without asking; what a commit changes is taken away from it before anybody can see the new value, so that it
 * is never behind. It is made before ingest starts, whose commits it listens to, and freed when ingest has stopped.
 */
#ifndef MOUNT_SERVING_H
#define MOUNT_SERVING_H

#include <stdbool.h>
#include <stdint.h>
#include "base/why.h"
#include "ingest/ingest.h"
#include "lane/lane.h"
#include "mount/mount.h"

struct serving;

struct serving_options {
	const char *mountpoint;
	const char *source;			/* what `df` and /proc/mounts show: the STORE */
	const char *kernel_options;		/* comma-separated; may be empty */
	bool debug;				/* libfuse prints each request */
	struct mount_owners owners;
	unsigned threads;
	bool io_uring;				/* requests come by io_uring; serving_open fails where they can't */
	const struct mount_control *controls;	/* ended by a NULL name; must outlive the mount */
};

/* Nothing is mounted yet. `lane` is filled by the time it is. The strings must outlive serving_open. */
int serving_new(const struct serving_options *options, struct direct *lane, struct serving **out);
/* When serving_run has returned and no commit is under way any more. NULL is fine. */
void serving_free(struct serving *serving);

/* Mounts; errors as of mount_open. */
int serving_open(struct serving *serving, struct why *why);
/* Answers requests until it is unmounted; 0, or a negative errno if the session broke. */
int serving_run(struct serving *serving);
/* Unmounts, from any thread; serving_run then returns. */
void serving_stop(struct serving *serving);
/* Between serving_open and serving_free: does the kernel still have requests for it? Files that are open keep it connected behind an unmounting. */
bool serving_is_connected(struct serving *serving);
/* The two calls of ingest's listener; `arg` is the struct serving. They are quick where the kernel holds nothing of what changes. */
void serving_changing(void *arg, const struct ingest_news *news);
void serving_changed(void *arg, const struct ingest_news *news);

/*
 * Around a change of a group's mode or owner, which holds for each directory below it: what the kernel keeps of those is taken away before the commit,
 * which then need not wait for that. The first says whether there is so much of it that this is worth while; then _begin, which takes microseconds
 * for each and may be called by any thread that answers no requests, and, if that was true, _end when the change is committed or refused.
 */
bool serving_has_many(struct serving *serving, uint32_t group_id);
bool serving_rights_begin(struct serving *serving, uint32_t group_id);
void serving_rights_end(struct serving *serving, uint32_t group_id);

struct serving_figures {
	bool is_mounted;
	uint64_t requests, lookups, reads;	/* since the start */
	uint64_t ring_requests;			/* of them, those that came by io_uring */
	uint64_t names_forgotten;		/* that the kernel was told to forget one by one */
	uint64_t wholes_forgotten;		/* how often it was told to forget everything */
	uint64_t groups_set_aside;		/* large ones, so that no reader waits for the kernel to throw them away */
	uint64_t row_names_taken_back;		/* of views, because the kernel holds many */
	uint64_t forgetting_ns;			/* that commits have waited for that */
	uint64_t nodes, node_bytes;		/* now; bytes with the texts */
};
void serving_figures(struct serving *serving, struct serving_figures *out);

#endif
