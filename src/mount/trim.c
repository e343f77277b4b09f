/* SPDX-License-Identifier: MIT */
/*
 * Keeps the node table small. The kernel forgets names when it is short of memory, which on a big machine is never: a walk over a million
 * entities would leave a million nodes here, and a good gigabyte in the kernel. As every name is looked up again anyway, little is
 * lost by forgetting it: past a bound, a thread goes round the table and asks the kernel to let go of nodes that nobody has looked up since
 * it last came by; ours go with the kernel's forgets.
 *
 * Linux has a message for that since 6.18 (FUSE_NOTIFY_PRUNE: node numbers; what is in use, be it as somebody's working directory, is
 * left alone), which libfuse 3.14 does not know; it is a few words written to the session's descriptor. An older kernel refuses it once, and
 * then only files' names are dropped one by one, for dropping a directory's name takes it away from those who stand in it.
 *
 * The thread is one of its own, for the kernel takes the directory's lock to drop a name, and whoever holds that may be waiting
 * for any of the other threads.
 */
#include "mount/private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include "mount/attr.h"

enum {
	NODES_MAX = 32768,	/* 7 MB here, some 40 in the kernel */
	BATCH = 512,		/* what the kernel takes in one go */
	CHAINS_A_LOOK = 128,	/* looked at under the lock in one go: some 10 us */
	CHAINS_A_STEP = 1024,	/* looked at between two messages */
	PAUSE_MS = 100,		/* when there was nothing to drop: everything is in use */
	NOTIFY_PRUNE = 9,	/* the kernel's number of the message */
};

struct trim {
	uint64_t inos[BATCH];
	struct node *nodes[BATCH];	/* of files, held, where names must be dropped instead */
	unsigned n;
	size_t hand;			/* the chain to look at next */
	bool by_name;			/* the kernel does not know the message */
};

void trim_wake_locked(struct mount *mount)
{
	if (mount->n_nodes > NODES_MAX && !mount->is_trimming && mount->has_trimmer)
		pthread_cond_signal(&mount->trim_wake);
}

/* Gives a node that was looked up since the last time another round. */
static void visit(const struct mount *mount, struct trim *trim, struct node *node)
{
	if (node->refs || !node->lookups || node->is_dropped)
		return;
	if (node->is_used) {
		node->is_used = false;
		return;
	}
	if (trim->by_name && node->kind != NODE_VALUE && node->kind != NODE_BIN)
		return;
	node->is_dropped = true;
	if (trim->by_name) {
		node_hold_locked(node);
		trim->nodes[trim->n] = node;
	}
	trim->inos[trim->n++] = node_ino(mount, node);
}

static void look(struct mount *mount, struct trim *trim)
{
	pthread_mutex_lock(&mount->lock);
	for (unsigned i = 0; i < CHAINS_A_LOOK && trim->n < BATCH; i++) {
		struct node *node;

		if (trim->hand >= mount->n_chains)
			trim->hand = 0;
		for (node = mount->chains[trim->hand++]; node && trim->n < BATCH; node = node->next)
			visit(mount, trim, node);
	}
	pthread_mutex_unlock(&mount->lock);
}

static void gather(struct mount *mount, struct trim *trim)
{
	trim->n = 0;
	for (unsigned i = 0; i < CHAINS_A_STEP && trim->n < BATCH; i += CHAINS_A_LOOK)
		look(mount, trim);
}

/* false if the kernel does not know the message. */
static bool prune(struct mount *mount, struct trim *trim)
{
	struct {
		uint32_t len;
		int32_t code;
		uint64_t unique;	/* 0: a message of ours, not an answer */
		uint32_t count, padding;
		uint64_t spare;
	} head = { .len = (uint32_t)(sizeof head + trim->n * sizeof *trim->inos), .code = NOTIFY_PRUNE, .count = trim->n };
	struct iovec parts[2] = { { &head, sizeof head }, { trim->inos, trim->n * sizeof *trim->inos } };

	return writev(fuse_session_fd(mount->channel.session), parts, 2) == (ssize_t)head.len;
}

/* What cannot be dropped is in use, or gone already. */
static void drop_name(struct mount *mount, struct node *node)
{
	const struct catalog_feature *feature;
	const struct catalog_group *grp;
	char name[TEXT_NAME_MAX + 8];
	struct target target;
	uint64_t number;
	struct catalog *cat = catalog_current_get(mount->lane->cur, &number);

	node_target(mount, node, &target);
	grp = catalog_find_id(cat, target.group_id);
	feature = grp ? catalog_feature_at(grp, (uint16_t)target.number) : NULL;
	if (feature) {
		snprintf(name, sizeof name, "%s%s", feature->name, target.kind == NODE_BIN ? ".bin" : "");
		fuse_lowlevel_notify_inval_entry(mount->channel.session, node_ino(mount, node->parent), name, strlen(name));
	}
	catalog_unref(cat);
	node_drop(mount, node);
}

static void drop(struct mount *mount, struct trim *trim)
{
	if (trim->by_name) {
		for (unsigned i = 0; i < trim->n; i++)
			drop_name(mount, trim->nodes[i]);
	} else if (trim->n && !prune(mount, trim)) {
		trim->by_name = true;
	}
}

/* Goes round until there are few enough, twice at the most: the first may only have found all of them used. */
static void trim_nodes(struct mount *mount, struct trim *trim)
{
	size_t chains = 0, n_chains, n_nodes;

	do {
		gather(mount, trim);
		drop(mount, trim);
		chains += CHAINS_A_STEP;
		pthread_mutex_lock(&mount->lock);
		n_chains = mount->n_chains;
		n_nodes = mount->trim_stops ? 0 : mount->n_nodes;
		pthread_mutex_unlock(&mount->lock);
	} while (n_nodes > NODES_MAX / 8 * 7 && (trim->n || chains < 2 * n_chains));
}

static void *work(void *arg)
{
	struct mount *mount = arg;
	struct trim *trim = calloc(1, sizeof *trim);
	struct timespec until;

	if (!trim)
		return NULL;
	pthread_mutex_lock(&mount->lock);
	while (!mount->trim_stops) {
		if (mount->n_nodes <= NODES_MAX) {
			pthread_cond_wait(&mount->trim_wake, &mount->lock);
			continue;
		}
		mount->is_trimming = true;
		pthread_mutex_unlock(&mount->lock);
		trim_nodes(mount, trim);
		pthread_mutex_lock(&mount->lock);
		mount->is_trimming = false;
		until = clock_to_timespec(clock_monotonic() + PAUSE_MS * (CLOCK_SECOND / 1000));
		if (!mount->trim_stops && mount->n_nodes > NODES_MAX)
			pthread_cond_timedwait(&mount->trim_wake, &mount->lock, &until);
	}
	pthread_mutex_unlock(&mount->lock);
	free(trim);
	return NULL;
}

int trim_start(struct mount *mount)
{
	pthread_condattr_t attr;
	int err;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&mount->trim_wake, &attr);
	pthread_condattr_destroy(&attr);
	err = pthread_create(&mount->trimmer, NULL, work, mount);
	pthread_mutex_lock(&mount->lock);
	mount->has_trimmer = err == 0;
	pthread_mutex_unlock(&mount->lock);
	return -err;
}

void trim_stop(struct mount *mount)
{
	pthread_mutex_lock(&mount->lock);
	mount->trim_stops = true;
	if (mount->has_trimmer)
		pthread_cond_signal(&mount->trim_wake);
	pthread_mutex_unlock(&mount->lock);
	if (!mount->has_trimmer)
		return;
	pthread_join(mount->trimmer, NULL);
	mount->has_trimmer = false;
	pthread_cond_destroy(&mount->trim_wake);
}
