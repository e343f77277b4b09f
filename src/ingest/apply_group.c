/* SPDX-License-Identifier: MIT */
/*
 * One change of the catalog, inside of a commit. The commit holds a catalog of its own, in which each change puts a new group; it is
 * published when the map has been committed. Numbers of groups and of their row tables count up in the map and are never used again, so that
 * whatever still refers to a removed group finds nothing instead of a stranger.
 */
#include "ingest/private.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include "base/text.h"

static struct slice group_key(uint32_t id, uint8_t out[4])
{
	key_of_number(id, out);
	return slice_of(out, 4);
}

int apply_next_number(struct commit *commit, const char *counter, uint32_t *out)
{
	struct slice bytes;
	uint32_t number = 1, stored;
	int rc = store_batch_get(commit->batch, STORE_META, slice_str(counter), &bytes);

	if (rc == 0 && bytes.len == sizeof stored) {
		memcpy(&stored, bytes.data, sizeof stored);
		number = le32toh(stored);
	} else if (rc != -ENOENT) {
		return rc < 0 ? rc : -EBADMSG;
	}
	if (number == UINT32_MAX)
		return -ENOSPC;
	stored = htole32(number + 1);
	*out = number;
	return store_batch_put(commit->batch, STORE_META, slice_str(counter), slice_of(&stored, sizeof stored));
}

static void set_catalog(struct commit *commit, struct catalog *takes)
{
	catalog_unref(commit->cat);
	commit->cat = takes;
	commit->cat_changed = true;
}

int apply_put_group(struct commit *commit, struct catalog_group *grp)
{
	struct buf bytes = { 0 };
	struct catalog *cat;
	uint8_t key[4];
	int rc = catalog_group_encode(grp, &bytes);

	if (rc == 0)
		rc = store_batch_put(commit->batch, STORE_CATALOG, group_key(grp->id, key), buf_slice(&bytes));
	if (rc == 0)
		rc = catalog_with(commit->cat, grp, &cat);
	if (rc == 0)
		set_catalog(commit, cat);
	buf_release(&bytes);
	catalog_group_unref(grp);
	return rc;
}

static struct slice unused_key(uint32_t rows, char out[32])
{
	size_t len = strlen(UNUSED_PREFIX);

	memcpy(out, UNUSED_PREFIX, len);
	key_of_number(rows, (uint8_t *)out + len);
	return slice_of(out, len + 4);
}

int apply_note_unused(struct commit *commit, uint32_t rows, uint32_t group_id)
{
	uint8_t id[4];
	char key[32];

	return store_batch_put(commit->batch, STORE_META, unused_key(rows, key), group_key(group_id, id));
}

bool apply_is_unused(struct commit *commit, uint32_t rows)
{
	struct slice note;
	char key[32];

	return store_batch_get(commit->batch, STORE_META, unused_key(rows, key), &note) == 0;
}

int apply_drop_unused(struct commit *commit, uint32_t rows)
{
	char key[32];
	int rc = store_batch_delete(commit->batch, STORE_META, unused_key(rows, key));

	return rc == -ENOENT ? 0 : rc;
}

static int has_rows(struct commit *commit, uint32_t group_id, bool *out)
{
	int rc = 0;
	struct catalog_stats *stats = commit_stats(commit, group_id, &rc);

	if (stats)
		*out = stats->rows > 0;
	return rc == -ENOENT ? 0 : rc;
}

static int make_group(struct ingest *ingest, const struct ingest_request *req, const struct change *chg, struct ingest_result *result,
		      struct why *why)
{
	struct commit *commit = &ingest->commit;
	struct slice name = extent_slice(req, chg->name);
	const char *owner = extent_slice(req, chg->data).data;
	bool is_view = chg->kind == CHANGE_VIEW_MAKE;
	struct catalog_group *grp;
	uint32_t id, rows;
	int rc = text_check_group_name(name, why);

	if (rc < 0)
		return rc;
	if (is_view ? catalog_find_view(commit->cat, name) : catalog_find(commit->cat, name))
		return why_fail(why, EEXIST, "there is a %s of that name", is_view ? "view" : "group");
	if (commit->no_room) {
		commit->refused_for_room = true;
		return why_fail(why, ENOSPC, "the map or the disk is full");
	}
	rc = apply_next_number(commit, "next_group", &id);
	if (rc == 0 && is_view)
		rc = catalog_view_make(id, name, chg->uid, chg->gid, chg->mode, owner, commit->clock.now_ns, &grp, why);
	if (rc == 0 && !is_view)
		rc = apply_next_number(commit, "next_rows", &rows);
	if (rc == 0 && !is_view)
		rc = catalog_group_make(id, rows, name, chg->uid, chg->gid, chg->mode, owner, commit->clock.now_ns, &grp, why);
	if (rc < 0)
		return rc;
	result->group_id = id;
	return apply_put_group(commit, grp);
}

/* Takes over the group's next form, if whoever is above finds nothing wrong with it. */
static int put_judged(struct ingest *ingest, struct catalog_group *next, struct why *why)
{
	int rc = ingest->options.check_group ? ingest->options.check_group(next, why) : 0;

	if (rc < 0) {
		catalog_group_unref(next);
		return rc;
	}
	return apply_put_group(&ingest->commit, next);
}

static int define_group(struct ingest *ingest, const struct ingest_request *req, const struct change *chg,
			const struct catalog_group *grp, struct ingest_result *result, struct why *why)
{
	struct commit *commit = &ingest->commit;
	struct catalog_group *next = NULL, *evolved;
	bool rows = false;
	int rc = has_rows(commit, grp->id, &rows);

	if (rc == 0 && grp->id == CATALOG_ROOT_ID)
		return why_fail(why, EPERM, "the root has no definition");
	if (rc == 0 && grp->view) {
		rc = catalog_view_define(commit->cat, grp, extent_slice(req, chg->data), commit->clock.now_ns, &evolved, why);
		result->group_id = grp->id;
		return rc < 0 ? rc : apply_put_group(commit, evolved);
	}
	if (rc == 0)
		rc = catalog_group_parse(".schema", extent_slice(req, chg->data), &next, why);
	if (rc == 0)
		rc = catalog_group_evolve(grp, next, rows, commit->clock.now_ns, &evolved, why);
	if (rc == 0)
		rc = put_judged(ingest, evolved, why);
	catalog_group_unref(next);
	result->group_id = grp->id;
	return rc;
}

/* Takes a group out of map and catalog. Its rows, counters and free attributes are left to the sweep, which finds them by this note. */
static int remove_group(struct ingest *ingest, const struct catalog_group *grp, struct why *why)
{
	struct commit *commit = &ingest->commit;
	struct catalog_stats *stats;
	struct catalog *cat;
	uint8_t key[4], note[4];
	char note_key[32] = "removed.";
	int rc = 0;

	if (grp->id == CATALOG_ROOT_ID)
		return why_fail(why, EBUSY, "the root can't be removed");
	stats = commit_stats(commit, grp->id, &rc);
	if (!stats)
		return rc;
	if (stats->entities)
		return why_fail(why, ENOTEMPTY, "the group has %llu entities", (unsigned long long)stats->entities);
	group_key(grp->id, key);
	key_of_number(grp->rows, note);
	memcpy(note_key + 8, key, sizeof key);
	rc = store_batch_put(commit->batch, STORE_META, slice_of(note_key, 8 + sizeof key), slice_of(note, sizeof note));
	if (rc == 0 && grp->overlay)
		rc = apply_note_unused(commit, grp->overlay, grp->id);
	if (rc == 0)
		rc = store_batch_delete(commit->batch, STORE_CATALOG, slice_of(key, sizeof key));
	if (rc == 0)
		rc = catalog_without(commit->cat, grp->id, &cat);
	if (rc == 0)
		set_catalog(commit, cat);
	return rc;
}

static int rename_group(struct ingest *ingest, const struct ingest_request *req, const struct change *chg,
			const struct catalog_group *grp, struct why *why)
{
	struct commit *commit = &ingest->commit;
	struct slice name = extent_slice(req, chg->name);
	const struct catalog_group *there = grp->view ? catalog_find_view(commit->cat, name) : catalog_find(commit->cat, name);
	struct catalog_group *renamed;
	int rc = text_check_group_name(name, why);

	if (rc < 0 || (there && there->id == grp->id))
		return rc;
	if (grp->id == CATALOG_ROOT_ID)
		return why_fail(why, EBUSY, "the root has no name");
	if (there && !chg->flags)
		return why_fail(why, EEXIST, "there is a %s of that name", grp->view ? "view" : "group");
	if (there && (there->view ? there->view->n_columns : there->n_features))
		return why_fail(why, ENOTEMPTY, "the %s of that name has a definition", grp->view ? "view" : "group");
	if (there)
		rc = remove_group(ingest, there, why);
	/* The catalog that held `grp` may have been replaced just now, but the new one shares it. */
	if (rc == 0)
		rc = catalog_group_renamed(grp, name, commit->clock.now_ns, &renamed, why);
	return rc < 0 ? rc : apply_put_group(commit, renamed);
}

static int own_group(struct ingest *ingest, const struct change *chg, const struct catalog_group *grp)
{
	struct commit *commit = &ingest->commit;
	struct catalog_group *owned;
	int rc = catalog_group_owned(grp, chg->mode == (mode_t)-1 ? grp->mode : chg->mode, chg->uid == (uid_t)-1 ? grp->uid : chg->uid,
				     chg->gid == (gid_t)-1 ? grp->gid : chg->gid, commit->clock.now_ns, &owned);

	return rc < 0 ? rc : apply_put_group(commit, owned);
}

/* An attribute that the catalog has no meaning for: kept as it is. */
static int set_free_attr(struct commit *commit, const struct ingest_request *req, const struct change *chg,
			 const struct catalog_group *grp, struct why *why)
{
	struct slice name = extent_slice(req, chg->name), standing;
	uint8_t key[4 + CATALOG_XATTR_NAME_MAX];
	bool is_there;
	int rc;

	if (name.len == 0 || name.len > CATALOG_XATTR_NAME_MAX)
		return why_fail(why, ERANGE, "an attribute's name has 1 to %d bytes", CATALOG_XATTR_NAME_MAX);
	if (chg->data.len > CATALOG_XATTR_MAX)
		return why_fail(why, E2BIG, "an attribute has %d bytes at the most", CATALOG_XATTR_MAX);
	key_of_number(grp->id, key);
	memcpy(key + 4, name.data, name.len);
	rc = store_batch_get(commit->batch, STORE_XATTR, slice_of(key, 4 + name.len), &standing);
	if (rc < 0 && rc != -ENOENT)
		return rc;
	is_there = rc == 0;
	if (!is_there && (chg->removes || chg->flags == XATTR_REPLACE))
		return -ENODATA;
	if (is_there && chg->flags == XATTR_CREATE)
		return -EEXIST;
	if (chg->removes)
		return store_batch_delete(commit->batch, STORE_XATTR, slice_of(key, 4 + name.len));
	if (commit->no_room) {
		commit->refused_for_room = true;
		return -ENOSPC;
	}
	return store_batch_put(commit->batch, STORE_XATTR, slice_of(key, 4 + name.len), extent_slice(req, chg->data));
}

static int set_attr(struct ingest *ingest, const struct ingest_request *req, const struct change *chg, const struct catalog_group *grp,
		    struct why *why)
{
	struct commit *commit = &ingest->commit;
	struct slice name = extent_slice(req, chg->name), value = extent_slice(req, chg->data);
	struct buf standing = { 0 };
	struct catalog_group *next;
	bool is_there, rows = false;
	int rc;

	if (!catalog_attr_is_known(name) || grp->id == CATALOG_ROOT_ID)
		return set_free_attr(commit, req, chg, grp, why);
	is_there = catalog_attr_get(grp, name, &standing) == 0;
	buf_release(&standing);
	if (!chg->removes && is_there && chg->flags == XATTR_CREATE)
		return -EEXIST;
	if (!chg->removes && !is_there && chg->flags == XATTR_REPLACE)
		return -ENODATA;
	rc = has_rows(commit, grp->id, &rows);
	if (rc == 0)
		rc = catalog_attr_set(grp, name, chg->removes ? NULL : &value, rows, commit->clock.now_ns, &next, why);
	return rc < 0 ? rc : put_judged(ingest, next, why);
}

/* The sweep has taken the last row of a removed group: what else was its own goes now. */
static int forget_group(struct ingest *ingest, const struct ingest_request *req, const struct change *chg)
{
	struct commit *commit = &ingest->commit;
	struct slice names = extent_slice(req, chg->data);
	const char *at = names.data, *end = at + names.len;
	char note_key[32] = "removed.";
	uint8_t key[4 + CATALOG_XATTR_NAME_MAX];
	int rc = 0;

	key_of_number(chg->group_id, key);
	for (; rc == 0 && at < end; at += strlen(at) + 1) {
		memcpy(key + 4, at, strlen(at));
		rc = store_batch_delete(commit->batch, STORE_XATTR, slice_of(key, 4 + strlen(at)));
		rc = rc == -ENOENT ? 0 : rc;
	}
	if (rc == 0)
		rc = store_batch_delete(commit->batch, STORE_STATS, slice_of(key, 4));
	rc = rc == -ENOENT ? 0 : rc;
	memcpy(note_key + 8, key, 4);
	if (rc == 0)
		rc = store_batch_delete(commit->batch, STORE_META, slice_of(note_key, 12));
	reject_log_forget(ingest->rejects, chg->group_id);
	return rc == -ENOENT ? 0 : rc;
}

static int add_source(struct ingest *ingest, const struct ingest_request *req, const struct change *chg, struct ingest_result *result)
{
	struct commit *commit = &ingest->commit;
	uint32_t number;
	uint8_t key[4];
	int rc = apply_next_number(commit, "next_source", &number);

	if (rc < 0)
		return rc;
	result->group_id = number;
	return store_batch_put(commit->batch, STORE_SOURCES, group_key(number, key), extent_slice(req, chg->name));
}

static void note_refused(struct ingest *ingest, const struct ingest_request *req, const struct change *chg, int rc, const struct why *why)
{
	struct reject rej = {
		.time_ns = ingest->commit.clock.now_ns,
		.group_id = chg->group_id,
		.lane = req->stamp.lane,
		.reason = reject_reason_of(-rc),
		.err = -rc,
		.who = req->who,
		.feature = chg->kind == CHANGE_GROUP_DEFINE ? slice_str(".schema") : extent_slice(req, chg->name),
		.detail = why->text,
	};

	if (chg->kind == CHANGE_GROUP_DEFINE)
		rej.reason = REJECT_bad_schema;
	else if (rc == -EINVAL)
		rej.reason = REJECT_bad_name;
	reject_log_add(ingest->rejects, &rej);
}

int apply_group_change(struct ingest *ingest, struct ingest_request *req, const struct change *chg, struct ingest_result *result,
		       struct why *why)
{
	const struct catalog_group *grp = NULL;
	int rc;

	if (chg->kind == CHANGE_SOURCE)
		return add_source(ingest, req, chg, result);
	if (chg->kind == CHANGE_FORGET_GROUP)
		return forget_group(ingest, req, chg);
	if (chg->kind != CHANGE_GROUP_MAKE && chg->kind != CHANGE_VIEW_MAKE) {
		grp = catalog_find_id(ingest->commit.cat, chg->group_id);
		if (!grp)
			return why_fail(why, ENOENT, "the group was removed meanwhile");
	}
	switch (chg->kind) {
	case CHANGE_GROUP_MAKE:
	case CHANGE_VIEW_MAKE:
		rc = make_group(ingest, req, chg, result, why);
		break;
	case CHANGE_GROUP_DEFINE:
		rc = define_group(ingest, req, chg, grp, result, why);
		break;
	case CHANGE_GROUP_RENAME:
		rc = rename_group(ingest, req, chg, grp, why);
		break;
	case CHANGE_GROUP_REMOVE:
		rc = remove_group(ingest, grp, why);
		break;
	case CHANGE_GROUP_OWN:
		rc = own_group(ingest, chg, grp);
		break;
	case CHANGE_GROUP_ATTR:
		rc = set_attr(ingest, req, chg, grp, why);
		break;
	default:
		rc = -ENOSYS;
		break;
	}
	if (rc < 0 && why->text[0])
		note_refused(ingest, req, chg, rc, why);
	return rc;
}
