/* SPDX-License-Identifier: MIT */
/*
 * The catalog and the current one. A catalog is two arrays of counted groups, by name and by id; a change copies the
 * arrays and shares the groups, which is cheap enough for what changes by hand. The current catalog has a number that
 * counts up when a change is about to become visible, so that a reader who took a catalog, then a snapshot, and still
 * finds the number, knows that both are of one time.
 */
#include "catalog/catalog.h"

#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

/* ---- life ---- */

static struct catalog *catalog_alloc(unsigned room)
{
	struct catalog *cat = calloc(1, sizeof(*cat));

	if (!cat)
		return NULL;
	cat->refs = 1;
	cat->groups = calloc(room ? room : 1, sizeof(*cat->groups));
	cat->by_id = calloc(room ? room : 1, sizeof(*cat->by_id));
	if (cat->groups && cat->by_id)
		return cat;
	free(cat->groups);
	free(cat->by_id);
	free(cat);
	return NULL;
}

static void catalog_free(struct catalog *cat)
{
	for (unsigned i = 0; i < cat->n_groups; i++)
		catalog_group_unref(cat->groups[i]);
	catalog_group_unref(cat->root);
	free(cat->groups);
	free(cat->by_id);
	free(cat);
}

/* The count is the one part of a catalog that changes, and it is atomic; all else is const to everybody. */
struct catalog *catalog_ref(const struct catalog *cat)
{
	struct catalog *counted = (struct catalog *)cat;

	__atomic_fetch_add(&counted->refs, 1, __ATOMIC_RELAXED);
	return counted;
}

void catalog_unref(const struct catalog *cat)
{
	struct catalog *counted = (struct catalog *)cat;	/* see catalog_ref */

	if (counted && __atomic_sub_fetch(&counted->refs, 1, __ATOMIC_ACQ_REL) == 0)
		catalog_free(counted);
}

/* ---- look-ups ---- */

/* The place of the first group whose name is not before `name`. */
static unsigned place_of_name(const struct catalog *cat, struct slice name)
{
	unsigned low = 0, high = cat->n_groups;

	while (low < high) {
		unsigned middle = low + (high - low) / 2;

		if (slice_compare(slice_str(cat->groups[middle]->name), name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static unsigned place_of_id(const struct catalog *cat, uint32_t id)
{
	unsigned low = 0, high = cat->n_groups;

	while (low < high) {
		unsigned middle = low + (high - low) / 2;

		if (cat->by_id[middle]->id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct catalog_group *catalog_find(const struct catalog *cat, struct slice name)
{
	unsigned i = place_of_name(cat, name);

	return i < cat->n_groups && slice_equal(slice_str(cat->groups[i]->name), name) ? cat->groups[i] : NULL;
}

const struct catalog_group *catalog_find_id(const struct catalog *cat, uint32_t id)
{
	unsigned i = place_of_id(cat, id);

	if (id == CATALOG_ROOT_ID)
		return cat->root;
	return i < cat->n_groups && cat->by_id[i]->id == id ? cat->by_id[i] : NULL;
}

/* ---- changes ---- */

static void insert_at(struct catalog_group **array, unsigned n, unsigned at, struct catalog_group *grp)
{
	memmove(array + at + 1, array + at, (n - at) * sizeof(*array));
	array[at] = grp;
}

/* Adds a group whose name and id the catalog lacks; it has room. Takes the reference. */
static void insert(struct catalog *cat, struct catalog_group *takes)
{
	insert_at(cat->groups, cat->n_groups, place_of_name(cat, slice_str(takes->name)), takes);
	insert_at(cat->by_id, cat->n_groups, place_of_id(cat, takes->id), takes);
	cat->n_groups++;
}

int catalog_without(const struct catalog *cat, uint32_t id, struct catalog **out)
{
	struct catalog *next = catalog_alloc(cat->n_groups + 1);	/* with room for a successor */
	unsigned by_id = 0;

	if (!next)
		return -ENOMEM;
	next->root = catalog_group_ref(cat->root);
	for (unsigned i = 0; i < cat->n_groups; i++) {
		if (cat->groups[i]->id != id)
			next->groups[next->n_groups++] = catalog_group_ref(cat->groups[i]);
		if (cat->by_id[i]->id != id)
			next->by_id[by_id++] = cat->by_id[i];
	}
	*out = next;
	return 0;
}

int catalog_with(const struct catalog *cat, const struct catalog_group *grp, struct catalog **out)
{
	const struct catalog_group *same_name = catalog_find(cat, slice_str(grp->name));
	struct catalog *next;
	int rc;

	if (grp->id != CATALOG_ROOT_ID && same_name && same_name->id != grp->id)
		return -EEXIST;
	rc = catalog_without(cat, grp->id, &next);
	if (rc < 0)
		return rc;
	if (grp->id == CATALOG_ROOT_ID) {
		catalog_group_unref(next->root);
		next->root = catalog_group_ref(grp);
	} else {
		insert(next, catalog_group_ref(grp));
	}
	*out = next;
	return 0;
}

/* ---- from the map ---- */

static int compare_names(const void *a, const void *b)
{
	const struct catalog_group *const *left = a, *const *right = b;

	return strcmp((*left)->name, (*right)->name);
}

/* Decodes one entry. The key must say the same id as the group, for all else hangs on it. */
static int load_group(struct slice key, struct slice value, struct catalog_group **out, struct why *why)
{
	const uint8_t *p = key.data;
	struct catalog_group *grp;
	uint32_t id;
	int rc;

	if (key.len != sizeof(uint32_t))
		return why_fail(why, EBADMSG, "the catalog has a key of %zu bytes; 4 are right", key.len);
	id = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
	rc = catalog_group_decode(value, &grp, why);
	if (rc == 0 && grp->id != id) {
		rc = why_fail(why, EBADMSG, "it says that its id is %u", grp->id);
		catalog_group_unref(grp);
	}
	if (rc == 0)
		*out = grp;
	else if (rc != -ENOMEM)
		why_prefix(why, "group with id %u", id);
	return rc;
}

static int double_room(struct catalog *cat, unsigned *room)
{
	struct catalog_group **groups, **by_id;

	groups = reallocarray(cat->groups, (size_t)*room * 2, sizeof(*groups));
	if (!groups)
		return -ENOMEM;
	cat->groups = groups;
	by_id = reallocarray(cat->by_id, (size_t)*room * 2, sizeof(*by_id));
	if (!by_id)
		return -ENOMEM;
	cat->by_id = by_id;
	*room *= 2;
	return 0;
}

/* Keys come in order of ids, the root first; names are sorted afterwards. */
static int append(struct catalog *cat, unsigned *room, struct catalog_group *takes)
{
	if (takes->id == CATALOG_ROOT_ID) {
		catalog_group_unref(cat->root);
		cat->root = takes;
		return 0;
	}
	if (cat->n_groups == *room && double_room(cat, room) < 0) {
		catalog_group_unref(takes);
		return -ENOMEM;
	}
	cat->groups[cat->n_groups] = takes;
	cat->by_id[cat->n_groups++] = takes;
	return 0;
}

static int load_groups(struct store_walk *walk, struct catalog *cat, unsigned room, struct why *why)
{
	struct catalog_group *grp = NULL;
	struct slice key, value;
	int rc;

	while ((rc = store_walk_next(walk, &key, &value)) == 0) {
		rc = load_group(key, value, &grp, why);
		if (rc == 0)
			rc = append(cat, &room, grp);
		if (rc < 0)
			return rc;
	}
	return rc == -ENOENT ? 0 : rc;
}

static int sort_names(struct catalog *cat, struct why *why)
{
	if (cat->n_groups)
		qsort(cat->groups, cat->n_groups, sizeof(*cat->groups), compare_names);
	for (unsigned i = 1; i < cat->n_groups; i++)
		if (!strcmp(cat->groups[i - 1]->name, cat->groups[i]->name))
			return why_fail(why, EBADMSG, "two groups are named %s: ids %u and %u", cat->groups[i]->name,
					cat->groups[i - 1]->id, cat->groups[i]->id);
	return 0;
}

int catalog_load(struct store_snap *snap, struct catalog **out, struct why *why)
{
	enum { ROOM_FIRST = 64 };
	struct catalog *cat = catalog_alloc(ROOM_FIRST);
	struct store_walk *walk = NULL;
	int rc;

	if (!cat)
		return -ENOMEM;
	rc = catalog_group_make(CATALOG_ROOT_ID, 0, slice_of(NULL, 0), 0, 0, 0755, NULL, 0, &cat->root, why);
	if (rc == 0)
		rc = store_walk_begin(snap, STORE_CATALOG, slice_of(NULL, 0), &walk);
	if (rc == 0)
		rc = load_groups(walk, cat, ROOM_FIRST, why);
	store_walk_end(walk);
	if (rc == 0)
		rc = sort_names(cat, why);
	if (rc < 0)
		catalog_unref(cat);
	else
		*out = cat;
	return rc;
}

int catalog_version(struct store_snap *snap, uint64_t *out)
{
	struct slice bytes;
	int rc = store_get(snap, STORE_META, slice_str(CATALOG_VERSION_KEY), &bytes);

	if (rc == -ENOENT)
		*out = 0;
	else if (rc == 0 && bytes.len != sizeof(*out))
		return -EBADMSG;
	else if (rc == 0)
		memcpy(out, bytes.data, sizeof(*out));
	else
		return rc;
	*out = le64toh(*out);
	return 0;
}

/* ---- the current one ---- */

struct catalog_current {
	pthread_mutex_t lock;		/* held for a few instructions only */
	pthread_cond_t published;
	struct catalog *cat;		/* protected by lock */
	bool is_changing;		/* protected by lock: between _begin and _end */
	uint64_t number;		/* written under lock; atomic, for catalog_current_is reads it without */
};

int catalog_current_new(struct catalog *takes, struct catalog_current **out)
{
	struct catalog_current *cur = calloc(1, sizeof(*cur));

	if (!cur)
		return -ENOMEM;
	pthread_mutex_init(&cur->lock, NULL);
	pthread_cond_init(&cur->published, NULL);
	cur->cat = takes;
	*out = cur;
	return 0;
}

void catalog_current_free(struct catalog_current *cur)
{
	if (!cur)
		return;
	catalog_unref(cur->cat);
	pthread_cond_destroy(&cur->published);
	pthread_mutex_destroy(&cur->lock);
	free(cur);
}

struct catalog *catalog_current_get(struct catalog_current *cur, uint64_t *out_number)
{
	struct catalog *cat;

	pthread_mutex_lock(&cur->lock);
	while (cur->is_changing)
		pthread_cond_wait(&cur->published, &cur->lock);
	cat = catalog_ref(cur->cat);
	*out_number = __atomic_load_n(&cur->number, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&cur->lock);
	return cat;
}

/* The number has counted up before the commit of a change, so whoever sees the commit in a snapshot sees the new number
 * here: the read-modify-write keeps the snapshot's reads before it and those of the number behind it. */
bool catalog_current_is(struct catalog_current *cur, uint64_t number)
{
	return __atomic_fetch_add(&cur->number, 0, __ATOMIC_SEQ_CST) == number;
}

void catalog_publish_begin(struct catalog_current *cur)
{
	pthread_mutex_lock(&cur->lock);
	cur->is_changing = true;
	__atomic_fetch_add(&cur->number, 1, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&cur->lock);
}

void catalog_publish_end(struct catalog_current *cur, struct catalog *takes)
{
	struct catalog *old = NULL;

	pthread_mutex_lock(&cur->lock);
	if (takes) {
		old = cur->cat;
		cur->cat = takes;
	}
	cur->is_changing = false;
	pthread_cond_broadcast(&cur->published);
	pthread_mutex_unlock(&cur->lock);
	catalog_unref(old);
}
