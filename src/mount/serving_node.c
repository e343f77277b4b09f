/* SPDX-License-Identifier: MIT */
/*
 * The serving mount's nodes. They live for as long as the kernel remembers them and no longer: memory follows its forgets. A file costs
 * 56 bytes and its text, beside the 1 to 5 KB that the kernel itself holds for it; an entity costs 64, its name, and 8 to 16 for each of its files.
 *
 * The text is kept, and not read anew from the map when the kernel has dropped a page, for the map may show a newer version by then: a file that
 * is open, or whose pages the kernel reads one by one, shows one version for ever.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>
#include "mount/serving_private.h"

#include <stdlib.h>
#include <string.h>

enum { CHAINS_MIN = 16 };

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

static void *node_alloc(struct serving *serving, size_t size, enum node_kind kind)
{
	struct snode *node = malloc(size);

	if (!node)
		return NULL;
	*node = (struct snode){ .lookups = 1, .kind = (uint8_t)kind };
	atomic_fetch_add_explicit(&serving->nodes, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&serving->node_bytes, size, memory_order_relaxed);
	return node;
}

static void node_free(struct serving *serving, void *node, size_t size)
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
	struct sgroup *grp = node_alloc(serving, sizeof *grp, kind), **chain = group_chain(serving, id);

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
	node_free(serving, grp, sizeof *grp);
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

static void hold_group(struct serving *serving, struct sgroup *grp)
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
	entity = node_alloc(serving, entity_size(name.len), NODE_ENTITY);
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
	hold_group(serving, grp);
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
	node_free(serving, entity, entity_size(entity->len));
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
	struct version *version = node_alloc(serving, version_size(content->text.len), kind);

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
		node_free(serving, version, version_size(content->text.len));
		return other;
	}
	atomic_fetch_add_explicit(&entity->grp->held, 1, memory_order_relaxed);
	return version;
}

/* ---- fresh files ---- */

static size_t fresh_size(size_t key_len)
{
	return sizeof(struct fresh) + key_len;
}

struct fresh *fresh_make(struct serving *serving, struct sgroup *grp, enum node_kind kind, uint32_t number, struct slice key)
{
	struct fresh *fresh = node_alloc(serving, fresh_size(key.len), kind);

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
	node_free(serving, fresh, fresh_size(fresh->key_len));
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

static void free_version_locked(struct serving *serving, struct version *version)
{
	struct sentity *entity = version->entity;

	if (version->node.is_current)
		unlist_current(entity, version_place_locked(entity, (enum node_kind)version->node.kind, version->node.slot));
	else
		unlist_detached(version);
	entity->refs--;
	atomic_fetch_sub_explicit(&entity->grp->held, 1, memory_order_relaxed);
	node_free(serving, version, version_size(version->node.len));
}

/* Of an entity or of one of its versions. */
static void forget_in_shard(struct serving *serving, struct sentity *entity, struct snode *node, uint64_t n)
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

/* Of an entity or of one of its versions. */
static void hold_in_shard(struct sentity *entity, struct snode *node)
{
	struct shard *shard = shard_of(entity->grp, entity->hash);

	pthread_mutex_lock(&shard->lock);
	node->lookups++;
	pthread_mutex_unlock(&shard->lock);
}

void snode_hold(struct serving *serving, struct snode *node)
{
	switch (node->kind) {
	case NODE_ROOT:
	case NODE_CONTROL_DIR:
	case NODE_VIEWS:
		break;
	case NODE_ENTITY:
		hold_in_shard((struct sentity *)node, node);
		break;
	case NODE_VALUE:
	case NODE_BIN:
	case NODE_ROW:
		hold_in_shard(((struct version *)node)->entity, node);
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
		forget_in_shard(serving, (struct sentity *)node, node, n);
		break;
	case NODE_VALUE:
	case NODE_BIN:
	case NODE_ROW:
		forget_in_shard(serving, ((struct version *)node)->entity, node, n);
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

static void free_shard(struct serving *serving, struct shard *shard)
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
			node_free(serving, entity, entity_size(entity->len));
		}
	}
	free(shard->chains);
	pthread_mutex_destroy(&shard->lock);
}

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
				free_shard(serving, &grp->shards[j]);
			node_free(serving, grp, sizeof *grp);
		}
	}
}
