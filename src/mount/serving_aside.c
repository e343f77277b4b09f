/* SPDX-License-Identifier: MIT */
/*
 * Forgetting everything without a reader who pays for it. When the kernel has been told that all names are out of date, it looks at each when it is
 * next used, and finds the first one on the way to be so: the group. An outdated directory it throws away with all that it holds below it, in
 * the open of whoever came by; for a million files that takes ten seconds, and they would be read anew anyhow, one by one, as they are needed.
 *
 * So the group's own name must not be found out of date. It is up to date once it has been looked up after the message, and nobody can be
 * kept from using it before that, except if it is not there: so each group of which very much is held is set aside for the moment of the message.
 *
 *	aside	somebody (walker.c) looks up a name that only we know, and the answer is the group's own node. A directory has one name in
 *		the kernel's tables, so it moves there, with all below it. Whoever looks up the group's name meanwhile gets a stand-in: a
 *		node of the same group, of which nothing may be kept
 *	message	all names are out of date, those of the stand-ins too
 *	back	the next one who looks up the group's name, or the walker if nobody does, gets the group's node: it moves back, up to date
 *
 * Now each entity is found to be out of date when it is used, and thrown away with its few files. What nobody asks for stays until the kernel
 * needs the memory.
 *
 * A lookup that began before the message gives its answer's name the old age, even if that comes after it. So lookups in the root are waited for,
 * by the same means by which any name is forgotten: before a group moves, for one that was answered with its node would bring it back;
 * and behind the message, before anybody gets its node again. A group that loses its name with the commit stays aside until that is done.
 *
 * None of this is needed for what is shown to be right: where the walk fails or takes too long, the message goes out as ever.
 */
#include "mount/serving_private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASIDE ".aside-"

enum {
	HELD_MIN = 1024,	/* some ten milliseconds to throw away */
	WALK_MS = 300,		/* a walk takes a tenth of one for each group; a reader would wait for seconds */
};

/* ---- the commit's thread ---- */

static void each_aside(struct serving *serving, void (*act)(struct serving *serving, struct sgroup *grp))
{
	struct sgroup *const *groups = (struct sgroup *const *)(const void *)serving->aside.data;

	for (size_t i = 0; i < serving->aside.len / sizeof *groups; i++)
		act(serving, groups[i]);
}

static void let_go(struct serving *serving, struct sgroup *grp)
{
	pthread_mutex_lock(&serving->lock);
	grp->is_aside = grp->is_leaving = false;
	pthread_mutex_unlock(&serving->lock);
	sgroup_drop(serving, grp);
}

static void let_all_go(struct serving *serving)
{
	each_aside(serving, let_go);
	buf_reset(&serving->aside);
}

static void take_large_locked(struct serving *serving, struct sgroup *grp, struct buf *names)
{
	if (grp->is_decoy || grp->node.kind != NODE_GROUP || sgroup_names(grp) < HELD_MIN || !buf_reserve(&serving->aside, sizeof grp))
		return;
	buf_append(&serving->aside, &grp, sizeof grp);
	buf_printf(names, ASIDE "%" PRIu32 ".%u", grp->id, serving->aside_turn);
	buf_append_char(names, '\0');
	grp->refs++;
	grp->is_aside = true;
}

/* Lookups that are under way in the root. */
static void wait_for_lookups(struct serving *serving)
{
	fuse_lowlevel_notify_inval_entry(serving->channel.session, FUSE_ROOT_ID, ASIDE, strlen(ASIDE));
}

void aside_begin(struct serving *serving)
{
	struct buf names = { 0 };

	if (!serving->walker)
		return;
	let_all_go(serving);
	serving->aside_turn++;
	pthread_mutex_lock(&serving->lock);
	for (int i = 0; i < SERVING_GROUP_CHAINS; i++)
		for (struct sgroup *grp = serving->groups[i]; grp; grp = grp->next)
			take_large_locked(serving, grp, &names);
	pthread_mutex_unlock(&serving->lock);
	if (serving->aside.len && buf_error(&names) == 0) {
		wait_for_lookups(serving);
		walker_visit(serving->walker, &names, WALK_MS);
	}
	buf_release(&names);
}

static void let_back_locked(struct serving *serving, struct sgroup *grp)
{
	(void)serving;
	grp->is_aside = grp->is_leaving;
}

void aside_end(struct serving *serving)
{
	if (!serving->aside.len)
		return;
	wait_for_lookups(serving);
	pthread_mutex_lock(&serving->lock);
	each_aside(serving, let_back_locked);
	pthread_mutex_unlock(&serving->lock);
}

static void name_all(struct serving *serving, struct buf *out)
{
	struct sgroup *const *groups = (struct sgroup *const *)(const void *)serving->aside.data;
	const struct catalog_group *grp;
	uint64_t number;
	struct catalog *cat = catalog_current_get(serving->lane->cur, &number);

	for (size_t i = 0; i < serving->aside.len / sizeof *groups; i++) {
		grp = catalog_find_id(cat, groups[i]->id);
		if (!grp)
			continue;
		buf_append_str(out, grp->name);
		buf_append_char(out, '\0');
	}
	catalog_unref(cat);
}

void aside_forget(struct serving *serving)
{
	struct buf names = { 0 };

	if (!serving->aside.len)
		return;
	name_all(serving, &names);
	let_all_go(serving);
	if (names.len && buf_error(&names) == 0)
		walker_visit(serving->walker, &names, 0);
	buf_release(&names);
}

/* ---- lookups ---- */

int aside_look(struct serving *serving, const char *name, struct fuse_entry_param *out)
{
	struct target target = { .kind = NODE_GROUP };
	struct content none = { 0 };
	struct serve_view view;
	struct sgroup *grp;
	struct stat st;
	char *end;
	int rc;

	if (strncmp(name, ASIDE, strlen(ASIDE)))
		return -ENOENT;
	target.group_id = target.number = (uint32_t)strtoul(name + strlen(ASIDE), &end, 10);
	if (*end != '.')
		return -ENOENT;
	rc = serve_begin(serving->lane->store, serving->lane->cur, &view);
	if (rc < 0)
		return rc;
	rc = serving_fill(serving, &view, &target, &none, &st);
	serve_end(&view);
	grp = rc == 0 ? sgroup_look_aside(serving, target.group_id) : NULL;
	if (!grp)
		return -ENOENT;
	serving_set_entry(serving, &grp->node, &st, 0, 0, out);
	atomic_fetch_add_explicit(&serving->groups_set_aside, 1, memory_order_relaxed);
	return 0;
}
