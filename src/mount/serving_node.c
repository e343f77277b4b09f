/* SPDX-License-Identifier: MIT */
/*
 * The serving mount's nodes. They live for as long as the kernel remembers them and no longer: memory follows its forgets. Here are marks, groups and
 * views, and files that are made when they are opened; entities and their values are in serving_entity.c.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>
#include "mount/serving_private.h"

#include <stdlib.h>
#include <string.h>

/* ---- marks ---- */

uint64_t sentity_hash(uint32_t group_id, struct slice entity)
{
	return XXH3_64bits_withSeed(entity.len ? entity.data : "", entity.len, group_id);
}

struct mark *mark_of(struct serving *serving, uint64_t hash)
{
	return &serving->marks[(hash >> SERVING_MARK_SHIFT) % SERVING_MARKS];
}

struct mark *group_mark_of(struct serving *serving, uint32_t group_id)
{
	return &serving->group_marks[group_id % SERVING_GROUP_MARKS];
}

void glance_begin(struct mark *one, struct mark *other, struct glance *out)
{
	*out = (struct glance){ .marks = { one, other }, .is_steady = true };
	for (int i = 0; i < 2; i++) {
		out->versions[i] = atomic_load(&out->marks[i]->version);
		out->is_steady = out->is_steady && atomic_load(&out->marks[i]->changing) == 0;
	}
}

bool glance_holds(const struct glance *glance)
{
	for (int i = 0; i < 2; i++)
		if (atomic_load(&glance->marks[i]->version) != glance->versions[i])
			return false;
	return glance->is_steady;
}

/* ---- counting ---- */

void *snode_alloc(struct serving *serving, size_t size, enum node_kind kind)
{
	struct snode *node = malloc(size);

	if (!node)
		return NULL;
	*node = (struct snode){ .lookups = 1, .kind = (uint8_t)kind };
	atomic_fetch_add_explicit(&serving->nodes, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&serving->node_bytes, size, memory_order_relaxed);
	return node;
}

void snode_free(struct serving *serving, void *node, size_t size)
{
	atomic_fetch_sub_explicit(&serving->nodes, 1, memory_order_relaxed);
	atomic_fetch_sub_explicit(&serving->node_bytes, size, memory_order_relaxed);
	free(node);
}

/* ---- groups ---- */

static struct sgroup **group_chain(struct serving *serving, uint32_t id)
{
	return &serving->groups[id % SERVING_GROUP_CHAINS];
}

static struct sgroup *find_group_locked(struct serving *serving, uint32_t id)
{
	struct sgroup *grp = *group_chain(serving, id);

	while (grp && (grp->id != id || grp->is_decoy))
		grp = grp->next;
	return grp;
}

static struct sgroup *make_group_locked(struct serving *serving, uint32_t id, enum node_kind kind, bool is_decoy)
{
	struct sgroup *grp = snode_alloc(serving, sizeof *grp, kind), **chain = group_chain(serving, id);

	if (!grp)
		return NULL;
	grp->id = id;
	grp->refs = 0;
	grp->is_decoy = is_decoy;
	grp->is_aside = grp->is_leaving = false;
	for (uint16_t i = 0; i < SERVING_FORMS; i++) {
		grp->forms[i] = (struct snode){ .kind = NODE_FORM, .slot = i };
		grp->absent[i] = 0;
	}
	atomic_init(&grp->held, 0);
	atomic_init(&grp->missed, 0);
	atomic_init(&grp->rights_changing, 0);
	atomic_init(&grp->rights_told, 0);
	for (int i = 0; i < SERVING_SHARDS; i++) {
		grp->shards[i] = (struct shard){ 0 };
		pthread_mutex_init(&grp->shards[i].lock, NULL);
	}
	grp->next = *chain;
	*chain = grp;
	return grp;
}

static void free_group_locked(struct serving *serving, struct sgroup *grp)
{
	struct sgroup **at = group_chain(serving, grp->id);

	while (*at != grp)
		at = &(*at)->next;
	*at = grp->next;
	for (int i = 0; i < SERVING_SHARDS; i++) {
		free(grp->shards[i].chains);
		pthread_mutex_destroy(&grp->shards[i].lock);
	}
	snode_free(serving, grp, sizeof *grp);
}

static void settle_group_locked(struct serving *serving, struct sgroup *grp)
{
	uint64_t lookups = grp->node.lookups;

	for (int i = 0; i < SERVING_FORMS; i++)
		lookups += grp->forms[i].lookups;
	if (grp->refs == 0 && lookups == 0)
		free_group_locked(serving, grp);
}

struct sgroup *sgroup_look(struct serving *serving, uint32_t id, enum node_kind kind, const struct glance *glance, bool *out_keeps)
{
	struct sgroup *grp;
	bool is_aside;

	pthread_mutex_lock(&serving->lock);
	grp = find_group_locked(serving, id);
	is_aside = grp && grp->is_aside;
	if (grp && !is_aside)
		grp->node.lookups++;
	else
		grp = make_group_locked(serving, id, kind, is_aside);
	*out_keeps = glance_holds(glance) && !is_aside;
	pthread_mutex_unlock(&serving->lock);
	return grp;
}

struct sgroup *sgroup_look_aside(struct serving *serving, uint32_t id)
{
	struct sgroup *grp;

	pthread_mutex_lock(&serving->lock);
	grp = find_group_locked(serving, id);
	if (grp && !grp->is_aside)
		grp = NULL;
	if (grp)
		grp->node.lookups++;
	pthread_mutex_unlock(&serving->lock);
	return grp;
}

bool snode_is_decoy(const struct snode *node)
{
	if (node->kind == NODE_ENTITY)
		return ((const struct sentity *)node)->grp->is_decoy;
	return node->kind == NODE_GROUP && ((const struct sgroup *)node)->is_decoy;
}

struct sgroup *sform_view(const struct snode *form)
{
	return (struct sgroup *)(uintptr_t)((const char *)(form - form->slot) - offsetof(struct sgroup, forms));
}

struct snode *sform_look(struct serving *serving, struct sgroup *grp, unsigned form, const struct glance *glance, bool *out_keeps)
{
	pthread_mutex_lock(&serving->lock);
	grp->forms[form].lookups++;
	*out_keeps = glance_holds(glance);
	pthread_mutex_unlock(&serving->lock);
	return &grp->forms[form];
}

struct sgroup *sgroup_find(struct serving *serving, uint32_t id)
{
	struct sgroup *grp;

	pthread_mutex_lock(&serving->lock);
	grp = find_group_locked(serving, id);
	if (grp)
		grp->refs++;
	pthread_mutex_unlock(&serving->lock);
	return grp;
}

void sgroup_hold(struct serving *serving, struct sgroup *grp)
{
	pthread_mutex_lock(&serving->lock);
	grp->refs++;
	pthread_mutex_unlock(&serving->lock);
}

void sgroup_drop(struct serving *serving, struct sgroup *grp)
{
	pthread_mutex_lock(&serving->lock);
	grp->refs--;
	settle_group_locked(serving, grp);
	pthread_mutex_unlock(&serving->lock);
}

/* ---- fresh files ---- */

static size_t fresh_size(size_t key_len)
{
	return sizeof(struct fresh) + key_len;
}

struct fresh *fresh_make(struct serving *serving, struct sgroup *grp, enum node_kind kind, uint32_t number, struct slice key)
{
	struct fresh *fresh = snode_alloc(serving, fresh_size(key.len), kind);

	if (!fresh)
		return NULL;
	fresh->grp = grp;
	fresh->number = number;
	fresh->text = NULL;
	fresh->len = 0;
	fresh->made_ns = 0;
	fresh->row_next = NULL;
	fresh->row_prev = NULL;
	fresh->key_len = (uint16_t)key.len;
	if (key.len)
		memcpy(fresh->key, key.data, key.len);
	pthread_mutex_lock(&serving->lock);
	if (grp)
		grp->refs++;
	fresh->next = serving->fresh;
	fresh->prev = &serving->fresh;
	if (fresh->next)
		fresh->next->prev = &fresh->next;
	serving->fresh = fresh;
	pthread_mutex_unlock(&serving->lock);
	return fresh;
}

/* ---- forgetting ---- */

/* Of a group or a view, or of a form of one. */
static void forget_group(struct serving *serving, struct sgroup *grp, struct snode *node, uint64_t n)
{
	pthread_mutex_lock(&serving->lock);
	node->lookups -= n < node->lookups ? n : node->lookups;
	settle_group_locked(serving, grp);
	pthread_mutex_unlock(&serving->lock);
}

static void unlist_fresh(struct fresh *fresh)
{
	*fresh->prev = fresh->next;
	if (fresh->next)
		fresh->next->prev = fresh->prev;
}

static void free_fresh(struct serving *serving, struct fresh *fresh)
{
	atomic_fetch_sub_explicit(&serving->node_bytes, fresh->len, memory_order_relaxed);
	free(fresh->text);
	snode_free(serving, fresh, fresh_size(fresh->key_len));
}

static void forget_fresh(struct serving *serving, struct fresh *fresh, uint64_t n)
{
	bool is_last;

	pthread_mutex_lock(&serving->lock);
	fresh->node.lookups -= n < fresh->node.lookups ? n : fresh->node.lookups;
	is_last = fresh->node.lookups == 0;
	if (is_last) {
		unlist_fresh(fresh);
		rows_remove_locked(serving, fresh);
	}
	if (is_last && fresh->grp) {
		fresh->grp->refs--;
		settle_group_locked(serving, fresh->grp);
	}
	pthread_mutex_unlock(&serving->lock);
	if (is_last)
		free_fresh(serving, fresh);
}

void snode_hold(struct serving *serving, struct snode *node)
{
	switch (node->kind) {
	case NODE_ROOT:
	case NODE_CONTROL_DIR:
	case NODE_VIEWS:
		break;
	case NODE_ENTITY:
		sentity_hold((struct sentity *)node, node);
		break;
	case NODE_VALUE:
	case NODE_BIN:
	case NODE_ROW:
		sentity_hold(((struct version *)node)->entity, node);
		break;
	default:
		pthread_mutex_lock(&serving->lock);
		node->lookups++;
		pthread_mutex_unlock(&serving->lock);
		break;
	}
}

void snode_forget(struct serving *serving, struct snode *node, uint64_t n)
{
	switch (node->kind) {
	case NODE_ROOT:
	case NODE_CONTROL_DIR:
	case NODE_VIEWS:
		break;
	case NODE_GROUP:
	case NODE_VIEW:
		forget_group(serving, (struct sgroup *)node, node, n);
		break;
	case NODE_FORM:
		forget_group(serving, sform_view(node), node, n);
		break;
	case NODE_ENTITY:
		sentity_forget(serving, (struct sentity *)node, node, n);
		break;
	case NODE_VALUE:
	case NODE_BIN:
	case NODE_ROW:
		sentity_forget(serving, ((struct version *)node)->entity, node, n);
		break;
	default:
		forget_fresh(serving, (struct fresh *)node, n);
		break;
	}
}

/* ---- what a node stands for ---- */

static void target_of_entity(const struct sentity *entity, struct target *out)
{
	out->group_id = entity->grp->id;
	out->entity_len = entity->len;
	memcpy(out->entity, entity->name, entity->len);
}

void snode_target(const struct snode *node, struct target *out)
{
	const struct fresh *fresh = (const struct fresh *)node;

	out->kind = (enum node_kind)node->kind;
	out->is_gone = false;
	out->group_id = CATALOG_ROOT_ID;
	out->number = 0;
	out->entity_len = 0;
	switch (node->kind) {
	case NODE_ROOT:
	case NODE_CONTROL_DIR:
	case NODE_VIEWS:
		break;
	case NODE_GROUP:
	case NODE_VIEW:
		out->group_id = out->number = ((const struct sgroup *)node)->id;
		break;
	case NODE_FORM:
		out->group_id = sform_view(node)->id;
		out->number = node->slot;
		break;
	case NODE_ENTITY:
		target_of_entity((const struct sentity *)node, out);
		break;
	case NODE_VALUE:
	case NODE_BIN:
	case NODE_ROW:
		target_of_entity(((const struct version *)node)->entity, out);
		out->number = node->slot;
		break;
	default:
		out->group_id = fresh->grp ? fresh->grp->id : CATALOG_ROOT_ID;
		out->number = fresh->number;
		out->entity_len = fresh->key_len;
		memcpy(out->entity, fresh->key, fresh->key_len);
		break;
	}
	out->entity[out->entity_len] = '\0';
}

/* ---- the end ---- */

void serving_nodes_free(struct serving *serving)
{
	struct sgroup *grp;

	serving_dirs_free(serving);
	while (serving->fresh) {
		struct fresh *fresh = serving->fresh;

		unlist_fresh(fresh);
		rows_remove_locked(serving, fresh);
		free_fresh(serving, fresh);
	}
	for (int i = 0; i < SERVING_GROUP_CHAINS; i++) {
		while ((grp = serving->groups[i]) != NULL) {
			serving->groups[i] = grp->next;
			for (int j = 0; j < SERVING_SHARDS; j++)
				shard_free(serving, &grp->shards[j]);
			snode_free(serving, grp, sizeof *grp);
		}
	}
}
