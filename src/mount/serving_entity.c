/* SPDX-License-Identifier: MIT */
/*
 * The serving mount's entities and the versions of their values, in the shards of their group. A file costs 56 bytes and its text, beside the 1 to
 * 5 KB that the kernel itself holds for it; an entity costs 64, its name, and 8 to 16 for each of its files.
 *
 * The text is kept, and not read anew from the map when the kernel has dropped a page, for the map may show a newer version by then: a file that
 * is open, or whose pages the kernel reads one by one, shows one version for ever.
 */
#include "mount/serving_private.h"

#include <stdlib.h>
#include <string.h>

enum { CHAINS_MIN = 16 };

/* ---- entities ---- */

struct shard *shard_of(struct sgroup *grp, uint64_t hash)
{
	return &grp->shards[hash >> SERVING_HASH_SHIFT];
}

struct sentity *sentity_find_locked(struct shard *shard, uint64_t hash, struct slice name)
{
	struct sentity *entity = shard->n_chains ? shard->chains[hash & (shard->n_chains - 1)] : NULL;

	while (entity && !(entity->hash == hash && slice_equal(slice_of(entity->name, entity->len), name)))
		entity = entity->next;
	return entity;
}

/* Without memory the chains only get longer. */
static void resize(struct shard *shard, size_t n_chains)
{
	struct sentity **chains = calloc(n_chains, sizeof *chains);

	if (!chains)
		return;
	for (size_t i = 0; i < shard->n_chains; i++) {
		while (shard->chains[i]) {
			struct sentity *entity = shard->chains[i], **chain = &chains[entity->hash & (n_chains - 1)];

			shard->chains[i] = entity->next;
			entity->next = *chain;
			*chain = entity;
		}
	}
	free(shard->chains);
	shard->chains = chains;
	shard->n_chains = n_chains;
}

static size_t entity_size(size_t len)
{
	return sizeof(struct sentity) + len;
}

static struct sentity *make_entity_locked(struct serving *serving, struct sgroup *grp, struct shard *shard, uint64_t hash,
					  struct slice name)
{
	struct sentity *entity, **chain;

	if (shard->n_entities >= shard->n_chains)
		resize(shard, shard->n_chains ? 2 * shard->n_chains : CHAINS_MIN);
	if (!shard->n_chains)
		return NULL;
	entity = snode_alloc(serving, entity_size(name.len), NODE_ENTITY);
	if (!entity)
		return NULL;
	entity->grp = grp;
	entity->hash = hash;
	entity->list = NULL;
	entity->n = entity->cap = entity->refs = 0;
	entity->len = (uint16_t)name.len;
	memcpy(entity->name, name.data, name.len);
	chain = &shard->chains[hash & (shard->n_chains - 1)];
	entity->next = *chain;
	*chain = entity;
	shard->n_entities++;
	atomic_fetch_add_explicit(&grp->held, 1, memory_order_relaxed);
	sgroup_hold(serving, grp);
	return entity;
}

static void free_entity_locked(struct serving *serving, struct shard *shard, struct sentity *entity)
{
	struct sentity **at = &shard->chains[entity->hash & (shard->n_chains - 1)];

	while (*at != entity)
		at = &(*at)->next;
	*at = entity->next;
	shard->n_entities--;
	if (shard->n_chains > CHAINS_MIN && shard->n_entities < shard->n_chains / 8)
		resize(shard, shard->n_chains / 2);
	atomic_fetch_sub_explicit(&entity->grp->held, 1, memory_order_relaxed);
	atomic_fetch_sub_explicit(&serving->node_bytes, entity->cap * sizeof(struct version *), memory_order_relaxed);
	free(entity->list);
	snode_free(serving, entity, entity_size(entity->len));
}

struct sentity *sentity_look(struct serving *serving, struct sgroup *grp, uint64_t hash, struct slice name, const struct glance *glance,
			     bool *out_keeps)
{
	struct shard *shard = shard_of(grp, hash);
	struct sentity *entity;

	pthread_mutex_lock(&shard->lock);
	entity = sentity_find_locked(shard, hash, name);
	if (entity)
		entity->node.lookups++;
	else
		entity = make_entity_locked(serving, grp, shard, hash, name);
	*out_keeps = glance_holds(glance) && !grp->is_decoy;
	pthread_mutex_unlock(&shard->lock);
	return entity;
}

/* ---- versions ---- */

static uint32_t key_of(enum node_kind kind, uint16_t slot)
{
	return kind == NODE_ROW ? UINT32_MAX : (uint32_t)slot << 1 | (kind == NODE_BIN);
}

static uint32_t version_key(const struct version *version)
{
	return key_of((enum node_kind)version->node.kind, version->node.slot);
}

bool version_is(const struct version *version, enum node_kind kind, uint16_t slot)
{
	return version_key(version) == key_of(kind, slot);
}

unsigned version_place_locked(const struct sentity *entity, enum node_kind kind, uint16_t slot)
{
	unsigned low = 0, high = entity->n;
	uint32_t key = key_of(kind, slot);

	while (low < high) {
		unsigned middle = low + (high - low) / 2;

		if (version_key(entity->list[middle]) < key)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void list_detached(struct shard *shard, struct version *version)
{
	version->next = shard->detached;
	version->prev = &shard->detached;
	if (version->next)
		version->next->prev = &version->next;
	shard->detached = version;
}

static void unlist_detached(struct version *version)
{
	*version->prev = version->next;
	if (version->next)
		version->next->prev = version->prev;
}

static void unlist_current(struct sentity *entity, unsigned index)
{
	entity->n--;
	memmove(entity->list + index, entity->list + index + 1, (entity->n - index) * sizeof *entity->list);
}

void version_detach_locked(struct shard *shard, struct sentity *entity, unsigned index)
{
	struct version *version = entity->list[index];

	unlist_current(entity, index);
	version->node.is_current = false;
	list_detached(shard, version);
}

/* A version that was read before its group changed as a whole, or that has expired, is current in name only. */
static bool is_usable(const struct version *version, const struct glance *glance, int64_t now_ns)
{
	return version->epoch == glance->versions[0] && version->end_ns > now_ns;
}

/* The current version that may be shown; one that may not is detached. */
static struct version *find_version_locked(struct shard *shard, struct sentity *entity, enum node_kind kind, uint16_t slot,
					   const struct glance *glance, int64_t now_ns)
{
	unsigned i = version_place_locked(entity, kind, slot);

	if (i >= entity->n || !version_is(entity->list[i], kind, slot))
		return NULL;
	if (is_usable(entity->list[i], glance, now_ns))
		return entity->list[i];
	version_detach_locked(shard, entity, i);
	return NULL;
}

struct version *version_find(struct sentity *entity, enum node_kind kind, uint16_t slot, const struct glance *glance, int64_t now_ns,
			     int64_t *out_end_ns)
{
	struct shard *shard = shard_of(entity->grp, entity->hash);
	struct version *version = NULL;

	pthread_mutex_lock(&shard->lock);
	if (glance_holds(glance))
		version = find_version_locked(shard, entity, kind, slot, glance, now_ns);
	if (version) {
		version->node.lookups++;
		*out_end_ns = version->end_ns;
	}
	pthread_mutex_unlock(&shard->lock);
	return version;
}

static size_t version_size(size_t len)
{
	return sizeof(struct version) + len;
}

static struct version *alloc_version(struct serving *serving, struct sentity *entity, enum node_kind kind, uint16_t slot,
				     const struct content *content, int64_t end_ns, const struct glance *glance)
{
	struct version *version = snode_alloc(serving, version_size(content->text.len), kind);

	if (!version)
		return NULL;
	version->node.slot = slot;
	version->node.len = (uint32_t)content->text.len;
	version->entity = entity;
	version->event_ns = content->event_ns;
	version->ingest_ns = content->ingest_ns;
	version->end_ns = end_ns;
	version->epoch = glance->versions[0];
	if (content->text.len)
		memcpy(version->text, content->text.data, content->text.len);
	return version;
}

static bool grow_list_locked(struct serving *serving, struct sentity *entity)
{
	uint32_t cap = entity->cap ? 2 * entity->cap : 1;
	struct version **list;

	if (entity->n < entity->cap)
		return true;
	list = reallocarray(entity->list, cap, sizeof *list);
	if (!list)
		return false;
	atomic_fetch_add_explicit(&serving->node_bytes, (cap - entity->cap) * sizeof *list, memory_order_relaxed);
	entity->list = list;
	entity->cap = cap;
	return true;
}

static bool attach_locked(struct serving *serving, struct sentity *entity, struct version *version)
{
	unsigned i;

	if (!grow_list_locked(serving, entity))
		return false;
	i = version_place_locked(entity, (enum node_kind)version->node.kind, version->node.slot);
	memmove(entity->list + i + 1, entity->list + i, (entity->n - i) * sizeof *entity->list);
	entity->list[i] = version;
	entity->n++;
	version->node.is_current = true;
	return true;
}

struct version *version_make(struct serving *serving, struct sentity *entity, enum node_kind kind, uint16_t slot,
			     const struct content *content, int64_t end_ns, const struct glance *glance, bool *out_keeps)
{
	struct shard *shard = shard_of(entity->grp, entity->hash);
	struct version *version = alloc_version(serving, entity, kind, slot, content, end_ns, glance), *other = NULL;

	if (!version)
		return NULL;
	pthread_mutex_lock(&shard->lock);
	*out_keeps = glance_holds(glance) && !entity->grp->is_decoy;
	if (*out_keeps)
		other = find_version_locked(shard, entity, kind, slot, glance, INT64_MIN);
	if (other)
		other->node.lookups++;
	else
		entity->refs++;
	if (*out_keeps && !other)
		*out_keeps = attach_locked(serving, entity, version);
	if (!*out_keeps)
		list_detached(shard, version);
	pthread_mutex_unlock(&shard->lock);
	if (other) {
		snode_free(serving, version, version_size(content->text.len));
		return other;
	}
	atomic_fetch_add_explicit(&entity->grp->held, 1, memory_order_relaxed);
	return version;
}

/* ---- forgetting ---- */

static void free_version_locked(struct serving *serving, struct version *version)
{
	struct sentity *entity = version->entity;

	if (version->node.is_current)
		unlist_current(entity, version_place_locked(entity, (enum node_kind)version->node.kind, version->node.slot));
	else
		unlist_detached(version);
	entity->refs--;
	atomic_fetch_sub_explicit(&entity->grp->held, 1, memory_order_relaxed);
	snode_free(serving, version, version_size(version->node.len));
}

void sentity_forget(struct serving *serving, struct sentity *entity, struct snode *node, uint64_t n)
{
	struct sgroup *grp = entity->grp;
	struct shard *shard = shard_of(grp, entity->hash);
	bool is_last;

	pthread_mutex_lock(&shard->lock);
	node->lookups -= n < node->lookups ? n : node->lookups;
	if (node != &entity->node && node->lookups == 0)
		free_version_locked(serving, (struct version *)node);
	is_last = entity->node.lookups == 0 && entity->refs == 0;
	if (is_last)
		free_entity_locked(serving, shard, entity);
	pthread_mutex_unlock(&shard->lock);
	if (is_last)
		sgroup_drop(serving, grp);
}

void sentity_hold(struct sentity *entity, struct snode *node)
{
	struct shard *shard = shard_of(entity->grp, entity->hash);

	pthread_mutex_lock(&shard->lock);
	node->lookups++;
	pthread_mutex_unlock(&shard->lock);
}

/* ---- the end ---- */

void shard_free(struct serving *serving, struct shard *shard)
{
	while (shard->detached)
		free_version_locked(serving, shard->detached);
	for (size_t i = 0; i < shard->n_chains; i++) {
		struct sentity *next;

		for (struct sentity *entity = shard->chains[i]; entity; entity = next) {
			next = entity->next;
			while (entity->n)
				free_version_locked(serving, entity->list[entity->n - 1]);
			free(entity->list);
			snode_free(serving, entity, entity_size(entity->len));
		}
	}
	free(shard->chains);
	pthread_mutex_destroy(&shard->lock);
}
