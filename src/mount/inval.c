/* SPDX-License-Identifier: MIT */
/*
 * Takes what a commit changes away from the kernel. The rule, in the order in which a commit goes:
 *
 *	fill	the map's transaction holds the new values; nobody sees them
 *	mark	for each name that changes: its mark counts up and says `changing`; the current version is detached; if there was one, the
 *		kernel is told to drop the name, which waits for lookups that are under way in that directory
 *	commit	the map shows the new values
 *	unmark	`changing` is over; the writers are answered
 *
 * A lookup looks at the marks, takes a snapshot, reads, and then, under the shard's lock, looks at the marks again. Only if nothing has moved does
 * what it has read become the current version, for the kernel to keep; else it is a version of its own, good for this one open.
 *
 * Why nobody reads an old value after a new one. A name that the kernel keeps leads to a version that was current at some time; current
 * versions are detached in `mark`, and every lookup that made one either has been waited for by then, so that the name is dropped behind it, or sees
 * the mark. So when the map is committed, no kept name leads to what has changed, and every open from then on asks: it gets
 * what a snapshot behind that commit shows, or, if it began earlier, may have the old value, for then it overlaps the commit. Versions never
 * change: whoever has one open, or has mapped it, reads one value whole.
 *
 * A commit of very many names, a published load, and a change of a group's definition do not name every name: from a number of names on that would
 * take longer than any writer should wait, the kernel is told to forget everything at once (FUSE_NOTIFY_INC_EPOCH, Linux 6.16: each name is
 * asked for again when it is next used), with large groups set aside meanwhile (serving_aside.c). Older kernels are told name by name,
 * however long that takes: late is better than wrong.
 *
 * Directories that somebody stands in go by what the kernel keeps of them, not by their names: where a group's rights change, they are told one by
 * one, before the commit if they are many (serving_rights.c).
 *
 * An entity's directory shows its newest value's times, so its attributes are dropped with any of its values. If the kernel does not know
 * the directory although it holds the node, the lookup that brings it is still under way; then its name is dropped instead, which waits.
 *
 * No lock is held while the kernel is told, and the thread that tells is never one that answers the kernel's requests on this mount.
 */
#include "mount/serving_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/log.h"

enum {
	NAMES_MAX = 4096,		/* told one by one in some 40 ms; past that everything is forgotten in 20 us */
	NOTIFY_INC_EPOCH = 8,		/* the kernel's number of the message */
};

/* What `tell` is told. */
struct forget_item {
	fuse_ino_t parent, ino;
	uint32_t at;			/* of the name, in forgetting->names */
	uint32_t len;
};

/* ---- telling the kernel ---- */

/*
 * What is not there needs not be forgotten; what is not mounted any more neither. A directory that the kernel has forgotten since it was gathered
 * may have given its number to a file by now (-ENOTDIR).
 */
static bool is_done(int rc)
{
	return rc == 0 || rc == -ENOENT || rc == -ENOTDIR || rc == -ENOTCONN || rc == -ENODEV || rc == -EPERM || rc == -EBADF;
}

static int forget_everything(struct serving *serving)
{
	struct {
		uint32_t len;
		int32_t code;
		uint64_t unique;	/* 0: a message of ours, not an answer */
	} message = { .len = sizeof message, .code = NOTIFY_INC_EPOCH };

	if (!atomic_load(&serving->is_open))
		return -ENODEV;
	if (serving->lacks_epoch)
		return -EINVAL;
	if (write(fuse_session_fd(serving->channel.session), &message, sizeof message) == (ssize_t)sizeof message) {
		atomic_fetch_add_explicit(&serving->wholes_forgotten, 1, memory_order_relaxed);
		return 0;
	}
	return -errno;
}

static int forget_around_groups(struct serving *serving)
{
	int rc;

	if (!atomic_load(&serving->is_open))	/* and what the mount is made of may just be coming about */
		return -ENODEV;
	aside_begin(serving);
	rc = forget_everything(serving);
	aside_end(serving);
	return rc;
}

/* Does the kernel know that message? Asked with the first commit; it does no harm. */
static void try_epoch(struct serving *serving)
{
	int rc = serving->has_tried ? 0 : forget_around_groups(serving);

	serving->lacks_epoch = serving->lacks_epoch || rc == -EINVAL;
	serving->has_tried = serving->has_tried || rc == 0 || rc == -EINVAL;
}

/* Better no serving mount than one that shows what is not so. */
static void give_up(struct serving *serving, int rc)
{
	if (is_done(forget_everything(serving)) || atomic_exchange(&serving->is_broken, true))
		return;
	log_error("the kernel could not be told to forget what has changed (%s), so the serving mount %s is taken away: mount it again",
		  strerror(-rc), serving->channel.mountpoint);
	channel_stop(&serving->channel);
}

/*
 * `ino`: a directory that only loses its attributes, if the kernel knows it; 0: the name is dropped. To drop the name waits for the lookup that brings
 * a directory just now, and whoever asked for it may stand in it.
 */
static void tell(struct serving *serving, fuse_ino_t parent, fuse_ino_t ino, struct slice name)
{
	struct fuse_session *session;
	int rc;

	if (!atomic_load(&serving->is_open))
		return;
	session = serving->channel.session;
	rc = ino ? fuse_lowlevel_notify_inval_inode(session, ino, -1, 0) : -ENOENT;
	if (rc == -ENOENT && parent) {
		rc = fuse_lowlevel_notify_inval_entry(session, parent, name.data, name.len);
		if (ino)
			fuse_lowlevel_notify_inval_inode(session, ino, -1, 0);
	}
	atomic_fetch_add_explicit(&serving->names_forgotten, 1, memory_order_relaxed);
	if (!is_done(rc))
		give_up(serving, rc);
}

static void tell_all(struct serving *serving)
{
	struct forgetting *forgetting = &serving->forgetting;
	const struct forget_item *items = (const struct forget_item *)(const void *)forgetting->items.data;
	int rc;

	if (forgetting->is_all) {
		rc = forget_around_groups(serving);
		if (!is_done(rc))
			give_up(serving, rc);
	}
	for (size_t i = 0; i < forgetting->n; i++)
		tell(serving, items[i].parent, items[i].ino, slice_of(forgetting->names.data + items[i].at, items[i].len));
}

/* ---- gathering ---- */

static void begin_forgetting(struct forgetting *forgetting)
{
	buf_reset(&forgetting->items);
	buf_reset(&forgetting->names);
	forgetting->n = 0;
	forgetting->is_all = false;
}

static void gather_everything(struct forgetting *forgetting)
{
	begin_forgetting(forgetting);
	forgetting->is_all = true;
}

static void gather(struct serving *serving, fuse_ino_t parent, fuse_ino_t ino, struct slice name)
{
	struct forgetting *forgetting = &serving->forgetting;
	struct forget_item item = {
		.parent = parent, .ino = ino, .at = (uint32_t)forgetting->names.len, .len = (uint32_t)name.len,
	};

	if (forgetting->n >= NAMES_MAX && !serving->lacks_epoch && !forgetting->is_all)
		gather_everything(forgetting);
	if (forgetting->is_all)
		return;
	buf_append_slice(&forgetting->names, name);
	buf_append_char(&forgetting->names, '\0');
	buf_append(&forgetting->items, &item, sizeof item);
	if (buf_error(&forgetting->names) < 0 || buf_error(&forgetting->items) < 0)
		gather_everything(forgetting);
	else
		forgetting->n++;
}

/* The kernel knows a version by its feature's name. */
static void gather_version(struct serving *serving, const struct catalog_group *grp, const struct sentity *entity,
			   const struct version *version)
{
	const struct catalog_feature *feature;
	char name[TEXT_NAME_MAX + 8] = ".row";
	int len = 4;

	if (version->node.kind != NODE_ROW) {
		feature = catalog_feature_at(grp, version->node.slot);
		if (!feature)
			return;
		len = snprintf(name, sizeof name, "%s%s", feature->name, version->node.kind == NODE_BIN ? ".bin" : "");
	}
	gather(serving, snode_ino(serving, &entity->node), 0, slice_of(name, (size_t)len));
}

static void gather_dir(struct serving *serving, const struct sentity *entity)
{
	gather(serving, snode_ino(serving, &entity->grp->node), snode_ino(serving, &entity->node), slice_of(entity->name, entity->len));
}

/* ---- one entity ---- */

static void detach_at(struct serving *serving, const struct catalog_group *grp, struct shard *shard, struct sentity *entity, unsigned i)
{
	gather_version(serving, grp, entity, entity->list[i]);
	version_detach_locked(shard, entity, i);
}

static void detach_all(struct serving *serving, const struct catalog_group *grp, struct shard *shard, struct sentity *entity)
{
	while (entity->n)
		detach_at(serving, grp, shard, entity, entity->n - 1);
}

static void detach_slot(struct serving *serving, const struct catalog_group *grp, struct shard *shard, struct sentity *entity,
			uint16_t slot)
{
	unsigned i = version_place_locked(entity, NODE_VALUE, slot);

	while (i < entity->n && (version_is(entity->list[i], NODE_VALUE, slot) || version_is(entity->list[i], NODE_BIN, slot)))
		detach_at(serving, grp, shard, entity, i);
}

static void forget_entity(struct serving *serving, const struct catalog_group *grp, struct sgroup *node, uint64_t hash,
			  const struct ingest_changed *item)
{
	struct shard *shard = shard_of(node, hash);
	struct sentity *entity;

	pthread_mutex_lock(&shard->lock);
	entity = sentity_find_locked(shard, hash, item->entity);
	if (entity && (item->is_whole || item->is_gone)) {
		detach_all(serving, grp, shard, entity);
	} else if (entity && entity->n) {
		for (uint32_t i = 0; i < item->n_slots; i++)
			detach_slot(serving, grp, shard, entity, item->slots[i]);
		if (entity->n && version_is(entity->list[entity->n - 1], NODE_ROW, 0))
			detach_at(serving, grp, shard, entity, entity->n - 1);
	}
	if (entity && item->is_gone)
		gather(serving, snode_ino(serving, &node->node), 0, item->entity);
	else if (entity)
		gather_dir(serving, entity);
	pthread_mutex_unlock(&shard->lock);
}

/* ---- a group as a whole ---- */

/* All of its versions are out of date by the group's mark, and need not be touched. */
static void gather_shard(struct serving *serving, const struct catalog_group *grp, struct shard *shard)
{
	for (size_t i = 0; i < shard->n_chains; i++) {
		for (const struct sentity *entity = shard->chains[i]; entity; entity = entity->next) {
			for (uint32_t j = 0; j < entity->n; j++)
				gather_version(serving, grp, entity, entity->list[j]);
			gather_dir(serving, entity);
		}
	}
}

static void forget_group(struct serving *serving, const struct catalog_group *grp, struct sgroup *node)
{
	if (atomic_load(&node->held) > NAMES_MAX && !serving->lacks_epoch)
		gather_everything(&serving->forgetting);
	for (int i = 0; i < SERVING_SHARDS && !serving->forgetting.is_all; i++) {
		pthread_mutex_lock(&node->shards[i].lock);
		gather_shard(serving, grp, &node->shards[i]);
		pthread_mutex_unlock(&node->shards[i].lock);
	}
}

/* ---- the catalog ---- */

static bool has_other_rights(const struct catalog_group *was, const struct catalog_group *next)
{
	return was->mode != next->mode || was->uid != next->uid || was->gid != next->gid;
}

static bool has_other_values(const struct catalog_group *was, const struct catalog_group *next)
{
	if (was->ttl_ns != next->ttl_ns)
		return true;
	for (unsigned i = 0; i < was->n_features; i++) {
		const struct catalog_feature *before = &was->features[i], *after = catalog_feature_at(next, before->slot);

		if (!after || before->retired != after->retired || type_code(&before->type) != type_code(&after->type))
			return true;
	}
	return false;
}

/* What of a group changes with the catalog. */
static bool changes_all(const struct catalog_group *was, const struct catalog_group *next)
{
	return !next || has_other_rights(was, next) || has_other_values(was, next);
}

static fuse_ino_t parent_of(const struct serving *serving, const struct catalog_group *grp)
{
	return grp->view ? snode_ino(serving, &serving->views_dir) : FUSE_ROOT_ID;
}

static void forget_changed_group(struct serving *serving, const struct catalog_group *was, const struct catalog_group *next)
{
	struct sgroup *node = sgroup_find(serving, was->id);

	if (!node)
		return;
	if (changes_all(was, next))
		forget_group(serving, was, node);
	if (!next || strcmp(was->name, next->name)) {
		if (sgroup_names(node) > NAMES_MAX && !serving->lacks_epoch)
			gather_everything(&serving->forgetting);	/* else all below that name would be dropped while it is told */
		node->is_leaving = true;
		gather(serving, parent_of(serving, was), 0, slice_str(was->name));
	}
	sgroup_drop(serving, node);
}

static void mark_begin(struct mark *mark)
{
	atomic_fetch_add(&mark->changing, 1);
	atomic_fetch_add(&mark->version, 1);
}

static void mark_end(struct mark *mark)
{
	atomic_fetch_sub(&mark->changing, 1);
}

/* Calls `act` for each group and view that changes; its second group is NULL if it goes. */
static void each_changed_group(struct serving *serving, const struct ingest_news *news,
			       void (*act)(struct serving *serving, const struct catalog_group *was, const struct catalog_group *next))
{
	const struct catalog *cat = news->was;

	for (unsigned i = 0; i < cat->n_groups + cat->n_views; i++) {
		const struct catalog_group *was = i < cat->n_groups ? cat->groups[i] : cat->views[i - cat->n_groups];
		const struct catalog_group *next = catalog_find_id(news->next, was->id);

		if (was != next)
			act(serving, was, next);
	}
}

static void mark_group(struct serving *serving, const struct catalog_group *was, const struct catalog_group *next)
{
	if (changes_all(was, next))
		mark_begin(group_mark_of(serving, was->id));
}

static void unmark_group(struct serving *serving, const struct catalog_group *was, const struct catalog_group *next)
{
	if (changes_all(was, next))
		mark_end(group_mark_of(serving, was->id));
}

/* Directories that are in use lose their attributes whether names were told one by one or not. */
static void tell_dirs(struct serving *serving, const struct catalog_group *was, const struct catalog_group *next)
{
	struct sgroup *node = sgroup_find(serving, was->id);

	if (!node)
		return;
	tell(serving, parent_of(serving, was), snode_ino(serving, &node->node), slice_str(was->name));
	for (unsigned form = 0; was->view && form < SERVING_FORMS; form++)
		tell(serving, snode_ino(serving, &node->node), snode_ino(serving, &node->forms[form]), slice_str(join_form_name(form)));
	if (serving->forgetting.is_all && next && has_other_rights(was, next) && !rights_are_told(node) && rights_tell(serving, node) < 0)
		give_up(serving, -ENOMEM);
	sgroup_drop(serving, node);
}

static void forget_catalog(struct serving *serving, const struct ingest_news *news)
{
	mark_begin(&serving->root_mark);
	each_changed_group(serving, news, mark_group);
	each_changed_group(serving, news, forget_changed_group);
	atomic_store(&serving->changed_ns, clock_now());
}

/* ---- the listener ---- */

/* Marks what changes of a list, group by group, and gathers what the kernel holds of it. */
static void forget_list(struct serving *serving, const struct ingest_changed *list, size_t n, const struct catalog *cat)
{
	const struct catalog_group *grp = NULL;
	struct sgroup *node = NULL;

	for (size_t i = 0; i < n; i++) {
		uint64_t hash = sentity_hash(list[i].group_id, list[i].entity);

		mark_begin(list[i].entity.len ? mark_of(serving, hash) : group_mark_of(serving, list[i].group_id));
		if (!grp || grp->id != list[i].group_id) {
			if (node)
				sgroup_drop(serving, node);
			grp = catalog_find_id(cat, list[i].group_id);
			node = grp ? sgroup_find(serving, grp->id) : NULL;
		}
		if (node && list[i].entity.len)
			forget_entity(serving, grp, node, hash, &list[i]);
		else if (node)
			forget_group(serving, grp, node);
	}
	if (node)
		sgroup_drop(serving, node);
}

void serving_changing(void *arg, const struct ingest_news *news)
{
	struct serving *serving = arg;
	int64_t begin = clock_monotonic();
	uint64_t number;
	struct catalog *cat = catalog_current_get(serving->lane->cur, &number);

	if (rights_are_over(serving))
		serving_nodes_free(serving);
	try_epoch(serving);
	begin_forgetting(&serving->forgetting);
	if (news->next)
		forget_catalog(serving, news);
	forget_list(serving, news->list, news->n, cat);
	tell_all(serving);
	if (news->next) {
		each_changed_group(serving, news, tell_dirs);
		tell(serving, 0, FUSE_ROOT_ID, slice_of(NULL, 0));
		tell(serving, FUSE_ROOT_ID, snode_ino(serving, &serving->views_dir), slice_str(".views"));
	}
	catalog_unref(cat);
	atomic_fetch_add_explicit(&serving->forgetting_ns, (uint64_t)(clock_monotonic() - begin), memory_order_relaxed);
}

void serving_changed(void *arg, const struct ingest_news *news)
{
	struct serving *serving = arg;

	for (size_t i = 0; i < news->n; i++) {
		const struct ingest_changed *item = &news->list[i];

		if (item->entity.len)
			mark_end(mark_of(serving, sentity_hash(item->group_id, item->entity)));
		else
			mark_end(group_mark_of(serving, item->group_id));
	}
	aside_forget(serving);
	if (!news->next)
		return;
	each_changed_group(serving, news, unmark_group);
	mark_end(&serving->root_mark);
}
