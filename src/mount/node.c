/* SPDX-License-Identifier: MIT */
/*
 * The node table: what the kernel's node numbers stand for. A node number is the node's address, so that a request finds its node without
 * a search; the table finds a node by what it stands for, so that a name that is looked up again gets the node that it had. Groups are
 * known by their ids, features by their slots, entities and scratch files by name.
 *
 * A node lives while the kernel remembers it (lookups) or something here needs it (children, open handles, work in flight): memory
 * follows the kernel's forgets. A detached node keeps its meaning but is not found any more: it lives on for those who have it.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>
#include "mount/private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "mount/scratch.h"

enum { CHAINS_MIN = 1024 };	/* 8 KiB: an idle mount is small */

_Static_assert(sizeof(uintptr_t) <= sizeof(fuse_ino_t), "a node number holds an address");

int node_table_init(struct mount *mount)
{
	mount->chains = calloc(CHAINS_MIN, sizeof(struct node *));
	if (!mount->chains)
		return -ENOMEM;
	mount->n_chains = CHAINS_MIN;
	mount->root = (struct node){ .kind = NODE_ROOT, .refs = 1, .is_attached = true };
	return 0;
}

struct node *node_of(struct mount *mount, fuse_ino_t ino)
{
	return ino == FUSE_ROOT_ID ? &mount->root : (struct node *)(uintptr_t)ino;
}

fuse_ino_t node_ino(const struct mount *mount, const struct node *node)
{
	return node == &mount->root ? FUSE_ROOT_ID : (fuse_ino_t)(uintptr_t)node;
}

static size_t chain_of(const struct mount *mount, const struct node *parent, enum node_kind kind, uint32_t number, const char *name)
{
	struct {
		uintptr_t parent;
		uint32_t kind, number;
	} key = { (uintptr_t)parent, (uint32_t)kind, number };
	uint64_t seed = name ? XXH3_64bits(name, strlen(name)) : 0;

	return XXH3_64bits_withSeed(&key, sizeof key, seed) & (mount->n_chains - 1);
}

static struct node **chain_for(struct mount *mount, const struct node *node)
{
	return &mount->chains[chain_of(mount, node->parent, (enum node_kind)node->kind, node->number, node->name)];
}

static bool is_match(const struct node *node, const struct node *parent, enum node_kind kind, uint32_t number, const char *name)
{
	if (node->parent != parent || node->kind != kind || node->number != number)
		return false;
	return name ? node->name && !strcmp(node->name, name) : !node->name;
}

struct node *node_find_locked(struct mount *mount, struct node *parent, enum node_kind kind, uint32_t number, const char *name)
{
	struct node *node = mount->chains[chain_of(mount, parent, kind, number, name)];

	while (node && !is_match(node, parent, kind, number, name))
		node = node->next;
	return node;
}

/* Doubles or halves the chains with the number of nodes; without memory it stays as it is, only slower. */
static void resize(struct mount *mount, size_t n_chains)
{
	struct node **old = mount->chains, **chains = calloc(n_chains, sizeof(struct node *));
	size_t n_old = mount->n_chains;

	if (!chains)
		return;
	mount->chains = chains;
	mount->n_chains = n_chains;
	for (size_t i = 0; i < n_old; i++) {
		while (old[i]) {
			struct node *node = old[i], **chain = chain_for(mount, node);

			old[i] = node->next;
			node->next = *chain;
			*chain = node;
		}
	}
	free(old);
}

static void unlist(struct node *node)
{
	*node->prev = node->next;
	if (node->next)
		node->next->prev = node->prev;
	node->next = NULL;
	node->prev = NULL;
}

static void list_detached(struct mount *mount, struct node *node)
{
	node->next = mount->detached;
	node->prev = &mount->detached;
	if (node->next)
		node->next->prev = &node->next;
	mount->detached = node;
}

void node_attach_locked(struct mount *mount, struct node *node)
{
	struct node **chain = chain_for(mount, node);

	unlist(node);
	node->next = *chain;
	*chain = node;
	node->is_attached = true;
}

void node_detach_locked(struct mount *mount, struct node *node)
{
	struct node **at;

	if (!node->is_attached || node == &mount->root)
		return;
	for (at = chain_for(mount, node); *at != node; at = &(*at)->next)
		;
	*at = node->next;
	node->is_attached = false;
	list_detached(mount, node);
}

struct node *node_new_locked(struct mount *mount, struct node *parent, enum node_kind kind, uint32_t number, const char *name)
{
	struct node *node = calloc(1, sizeof *node);

	if (!node)
		return NULL;
	*node = (struct node){ .parent = parent, .kind = (uint8_t)kind, .number = number };
	if (name) {
		node->name = strdup(name);
		if (!node->name) {
			free(node);
			return NULL;
		}
	}
	list_detached(mount, node);
	parent->refs++;
	mount->n_nodes++;
	if (mount->n_nodes > mount->n_chains)
		resize(mount, mount->n_chains * 2);
	trim_wake_locked(mount);
	return node;
}

struct node *node_get_locked(struct mount *mount, struct node *parent, enum node_kind kind, uint32_t number, const char *name)
{
	struct node *node = node_find_locked(mount, parent, kind, number, name);

	if (node)
		return node;
	node = node_new_locked(mount, parent, kind, number, name);
	if (node)
		node_attach_locked(mount, node);
	return node;
}

static void free_node(struct mount *mount, struct node *node)
{
	node_detach_locked(mount, node);
	unlist(node);
	scratch_free(mount, node->scratch);
	free(node->name);
	free(node);
	mount->n_nodes--;
}

/* Frees it if nobody needs it, and then its parents. */
static void settle(struct mount *mount, struct node *node)
{
	while (node != &mount->root && node->lookups == 0 && node->refs == 0) {
		struct node *parent = node->parent;

		free_node(mount, node);
		parent->refs--;
		node = parent;
	}
	if (mount->n_chains > CHAINS_MIN && mount->n_nodes < mount->n_chains / 8)
		resize(mount, mount->n_chains / 2);
}

void node_hold_locked(struct node *node)
{
	node->refs++;
}

void node_drop_locked(struct mount *mount, struct node *node)
{
	node->refs--;
	settle(mount, node);
}

void node_hold(struct mount *mount, struct node *node)
{
	pthread_mutex_lock(&mount->lock);
	node_hold_locked(node);
	pthread_mutex_unlock(&mount->lock);
}

void node_drop(struct mount *mount, struct node *node)
{
	if (!node)
		return;
	pthread_mutex_lock(&mount->lock);
	node_drop_locked(mount, node);
	pthread_mutex_unlock(&mount->lock);
}

void node_forget(struct mount *mount, struct node *node, uint64_t n)
{
	pthread_mutex_lock(&mount->lock);
	node->lookups -= n < node->lookups ? n : node->lookups;
	settle(mount, node);
	pthread_mutex_unlock(&mount->lock);
}

void node_move_locked(struct mount *mount, struct node *node, struct node *parent, uint32_t number, char *name)
{
	struct node *was = node->parent, *other;
	bool is_attached = node->is_attached;

	other = node_find_locked(mount, parent, (enum node_kind)node->kind, number, name);
	if (other && other != node) {
		node_detach_locked(mount, other);
		other->is_gone = name != NULL;		/* an entity's or a scratch file's node is not used again */
	}
	node_detach_locked(mount, node);
	free(node->name);
	node->name = name;
	node->number = number;
	node->parent = parent;
	parent->refs++;
	if (is_attached)
		node_attach_locked(mount, node);
	node_drop_locked(mount, was);
}

/* Puts a name before the path; what can't be found by a lookup can't be too long. */
static void prepend(struct target *out, const char *name)
{
	size_t len = strlen(name), gap = out->entity_len ? 1 : 0;

	if (len + gap + out->entity_len >= sizeof out->entity)
		return;
	memmove(out->entity + len + gap, out->entity, out->entity_len);
	memcpy(out->entity, name, len);
	if (gap)
		out->entity[len] = '/';
	out->entity_len = (uint16_t)(out->entity_len + len + gap);
}

void node_target_locked(const struct node *node, struct target *out)
{
	out->kind = (enum node_kind)node->kind;
	out->is_gone = node->is_gone;
	out->group_id = CATALOG_ROOT_ID;
	out->number = node->number;
	out->entity_len = 0;
	for (; node; node = node->parent) {
		if (node->kind == NODE_ENTITY || node->kind == NODE_JOIN || node->kind == NODE_REPORT ||
		    ((node->kind == NODE_TREE_DIR || node->kind == NODE_TREE_FILE) && node->name)) {
			prepend(out, node->name);
		} else if (node->kind == NODE_GROUP || node->kind == NODE_VIEW) {
			out->group_id = node->number;
		}
	}
	out->entity[out->entity_len] = '\0';
}

void node_target(struct mount *mount, const struct node *node, struct target *out)
{
	pthread_mutex_lock(&mount->lock);
	node_target_locked(node, out);
	pthread_mutex_unlock(&mount->lock);
}

void node_table_release(struct mount *mount)
{
	for (size_t i = 0; i < mount->n_chains; i++)
		while (mount->chains[i])
			free_node(mount, mount->chains[i]);
	while (mount->detached)
		free_node(mount, mount->detached);
	free(mount->chains);
	mount->chains = NULL;
}
