/* SPDX-License-Identifier: MIT */
/*
 * A group's mode and owner are those of each entity's directory. Who stands in one, or holds it open, goes by what the kernel keeps of it; the
 * directory's name is not looked at again, so forgetting names does not help, and there is no word to the kernel for all directories at once. They are
 * told one by one, some microseconds each: for a million of them that is more than any commit should wait.
 *
 * So a change that concerns many tells them before it is handed to ingest:
 *
 *	changing	from now on what these directories show is answered to be kept for no time at all. Answers from before that are waited for,
 *			or are told to be out of date by the kernel's own count: it takes no attributes that were asked for before it was told
 *	told		the kernel has nothing of them that it would not ask for again
 *	commit		forgets names, as ever, and finds the directories told
 *	end		what they show is kept again; whatever was read before the commit is not, by the group's mark
 *
 * Until the end the kernel asks for a directory's attributes each time that somebody passes through it, values and names stay kept. A change
 * of which all this is not known, or that concerns few, is told in its commit.
 */
#include "mount/serving_private.h"

#include <errno.h>
#include <string.h>

#define NOBODY ".nobody"	/* a name that no directory has */

enum { MANY = 4096 };		/* told in some 20 ms */

bool rights_are_told(const struct sgroup *grp)
{
	return atomic_load(&grp->rights_told) > 0;
}

bool rights_are_over(struct serving *serving)
{
	bool is;

	pthread_mutex_lock(&serving->lock);
	is = atomic_load(&serving->is_over) && serving->n_rights == 0;
	pthread_mutex_unlock(&serving->lock);
	return is;
}

static void gather_inos(struct serving *serving, struct shard *shard, struct buf *out)
{
	pthread_mutex_lock(&shard->lock);
	for (size_t i = 0; i < shard->n_chains; i++) {
		for (const struct sentity *entity = shard->chains[i]; entity; entity = entity->next) {
			fuse_ino_t ino = snode_ino(serving, &entity->node);

			buf_append(out, &ino, sizeof ino);
		}
	}
	pthread_mutex_unlock(&shard->lock);
}

/* A shard at a time, once the lookups that are under way have brought theirs. */
int rights_tell(struct serving *serving, struct sgroup *grp)
{
	struct fuse_session *session = serving->channel.session;
	int rc = 0;

	fuse_lowlevel_notify_inval_entry(session, snode_ino(serving, &grp->node), NOBODY, strlen(NOBODY));
	for (int i = 0; i < SERVING_SHARDS && rc == 0 && atomic_load(&serving->is_open); i++) {
		struct buf inos = { 0 };
		const fuse_ino_t *list;

		gather_inos(serving, &grp->shards[i], &inos);
		rc = buf_error(&inos);
		list = (const fuse_ino_t *)(const void *)inos.data;
		for (size_t j = 0; rc == 0 && j < inos.len / sizeof *list; j++)
			fuse_lowlevel_notify_inval_inode(session, list[j], -1, 0);
		buf_release(&inos);
	}
	return rc;
}

/* ---- around a change ---- */

/* The group, held, and its nodes with it, even if the mount is taken away; NULL if it is not known, or there is nobody to tell. */
static struct sgroup *enter(struct serving *serving, uint32_t group_id)
{
	struct sgroup *grp = NULL;
	bool is_open;

	pthread_mutex_lock(&serving->lock);
	is_open = atomic_load(&serving->is_open) && !atomic_load(&serving->is_over);
	serving->n_rights += is_open;
	pthread_mutex_unlock(&serving->lock);
	if (is_open)
		grp = sgroup_find(serving, group_id);
	if (is_open && !grp) {
		pthread_mutex_lock(&serving->lock);
		serving->n_rights--;
		pthread_mutex_unlock(&serving->lock);
	}
	return grp;
}

static void leave(struct serving *serving, struct sgroup *grp)
{
	sgroup_drop(serving, grp);
	pthread_mutex_lock(&serving->lock);
	serving->n_rights--;
	pthread_mutex_unlock(&serving->lock);
}

bool serving_has_many(struct serving *serving, uint32_t group_id)
{
	struct sgroup *grp = enter(serving, group_id);
	bool has = grp && atomic_load(&grp->held) > MANY;

	if (grp)
		leave(serving, grp);
	return has;
}

bool serving_rights_begin(struct serving *serving, uint32_t group_id)
{
	struct sgroup *grp = enter(serving, group_id);

	if (!grp)
		return false;
	atomic_fetch_add(&grp->rights_changing, 1);
	if (rights_tell(serving, grp) == 0) {
		atomic_fetch_add(&grp->rights_told, 1);
		return true;
	}
	atomic_fetch_sub(&grp->rights_changing, 1);
	leave(serving, grp);
	return false;
}

void serving_rights_end(struct serving *serving, uint32_t group_id)
{
	struct sgroup *grp = sgroup_find(serving, group_id);	/* there, for _begin holds it */

	atomic_fetch_sub(&grp->rights_told, 1);
	atomic_fetch_sub(&grp->rights_changing, 1);
	sgroup_drop(serving, grp);
	leave(serving, grp);
}
