/* SPDX-License-Identifier: MIT */
/*
 * Keeps the node table small. The kernel forgets names when it is short of memory, which on a big machine is never: a walk over a million
 * entities would leave a million nodes here, and a good gigabyte in the kernel. As every name is looked up again anyway, little is
 * lost by forgetting it: past a bound, a thread goes round the table and makes the kernel drop names that nobody has looked up since it
 * last came by; the nodes go with the kernel's forgets.
 *
 * The thread is one of its own, for the kernel takes the directory's lock to drop a name, and whoever holds that may be waiting
 * for any of the other threads.
 */
#include "mount/private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	NODES_MAX = 65536,	/* 13 MB here, some 80 in the kernel */
	BATCH = 64,
	CHAINS_A_STEP = 1024,	/* looked at under the lock in one go */
	PAUSE_MS = 100,		/* when there was nothing to drop: everything is in use */
};

/* A name to be dropped. */
struct victim {
	fuse_ino_t parent;
	char name[TEXT_ENTITY_MAX + 8];
};

struct trim {
	struct victim victims[BATCH];
	unsigned n;
	size_t hand;		/* the chain to look at next */
	const struct catalog *cat;
};

void trim_wake_locked(struct mount *mount)
{
	if (mount->n_nodes > NODES_MAX && !mount->is_trimming && mount->has_trimmer)
		pthread_cond_signal(&mount->trim_wake);
}

/* The name by which the kernel knows it; false if it is not one that can be dropped. */
static bool name_of(const struct trim *trim, const struct node *node, char out[TEXT_ENTITY_MAX + 8])
{
	const struct catalog_feature *feature;
	const struct catalog_group *grp;
	struct target target;

	if (node->kind == NODE_ENTITY || node->kind == NODE_ROW) {
		snprintf(out, TEXT_ENTITY_MAX + 8, "%s", node->kind == NODE_ROW ? ".row" : node->name);
		return true;
	}
	if (node->kind != NODE_VALUE && node->kind != NODE_BIN)
		return false;
	node_target_locked(node, &target);
	grp = catalog_find_id(trim->cat, target.group_id);
	feature = grp ? catalog_feature_at(grp, (uint16_t)node->number) : NULL;
	if (!feature)
		return false;
	snprintf(out, TEXT_ENTITY_MAX + 8, "%s%s", feature->name, node->kind == NODE_BIN ? ".bin" : "");
	return true;
}

/* Gives a node that was looked up since the last time another round. */
static void visit(struct mount *mount, struct trim *trim, struct node *node)
{
	struct victim *victim = &trim->victims[trim->n];

	if (node->refs || !node->lookups || node->is_dropped)
		return;
	if (node->is_used) {
		node->is_used = false;
		return;
	}
	if (!name_of(trim, node, victim->name))
		return;
	victim->parent = node_ino(mount, node->parent);
	node->is_dropped = true;
	trim->n++;
}

static void gather(struct mount *mount, struct trim *trim)
{
	uint64_t number;

	trim->n = 0;
	trim->cat = catalog_current_get(mount->lane->cur, &number);
	pthread_mutex_lock(&mount->lock);
	for (unsigned i = 0; i < CHAINS_A_STEP && trim->n < BATCH; i++) {
		struct node *node;

		if (trim->hand >= mount->n_chains)
			trim->hand = 0;
		for (node = mount->chains[trim->hand++]; node && trim->n < BATCH; node = node->next)
			visit(mount, trim, node);
	}
	pthread_mutex_unlock(&mount->lock);
	catalog_unref(trim->cat);
}

/* What cannot be dropped is in use, or gone already. A parent that was forgotten meanwhile is not found, and if its number stands for
 * another directory by now, a name there is looked up once more than it had to be. */
static void drop(struct mount *mount, const struct trim *trim)
{
	for (unsigned i = 0; i < trim->n; i++)
		fuse_lowlevel_notify_inval_entry(mount->session, trim->victims[i].parent, trim->victims[i].name,
						 strlen(trim->victims[i].name));
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
		if (mount->n_nodes > NODES_MAX) {
			mount->is_trimming = true;
			pthread_mutex_unlock(&mount->lock);
			trim_nodes(mount, trim);
			pthread_mutex_lock(&mount->lock);
			mount->is_trimming = false;
		}
		if (mount->trim_stops)
			break;
		if (mount->n_nodes > NODES_MAX) {
			until = attr_time(clock_monotonic() + PAUSE_MS * (CLOCK_SECOND / 1000));
			pthread_cond_timedwait(&mount->trim_wake, &mount->lock, &until);
		} else {
			pthread_cond_wait(&mount->trim_wake, &mount->lock);
		}
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
