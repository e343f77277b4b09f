/* SPDX-License-Identifier: MIT */
/*
 * The catalog and the current one. A catalog is arrays of counted groups and views, by name and by id; a change copies
 * the arrays and shares the groups, which is cheap enough for what changes by hand. The current catalog has a number that
 * counts up when a change is about to become visible, so that a reader who took a catalog, then a snapshot, and still
 * finds the number, knows that both are of one time.
 */
#include "catalog/catalog.h"

#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include "base/clock.h"

/* ---- life ---- */

static struct catalog *catalog_alloc(unsigned room)
{
	struct catalog *cat = calloc(1, sizeof(*cat));

	if (!cat)
		return NULL;
	cat->refs = 1;
	cat->groups = calloc(room ? room : 1, sizeof(*cat->groups));
	cat->views = calloc(room ? room : 1, sizeof(*cat->views));
	cat->by_id = calloc(room ? room : 1, sizeof(*cat->by_id));
	if (cat->groups && cat->views && cat->by_id)
		return cat;
	free(cat->groups);
	free(cat->views);
	free(cat->by_id);
	free(cat);
	return NULL;
}

static unsigned count(const struct catalog *cat)
{
	return cat->n_groups + cat->n_views;
}

static void catalog_free(struct catalog *cat)
{
	for (unsigned i = 0; i < count(cat); i++)
		catalog_group_unref(cat->by_id[i]);
	catalog_group_unref(cat->root);
	free(cat->groups);
	free(cat->views);
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

/* The place of the first one whose name is not before `name`. */
static unsigned place_of_name(struct catalog_group *const *list, unsigned n, struct slice name)
{
	unsigned low = 0, high = n;

	while (low < high) {
		unsigned middle = low + (high - low) / 2;

		if (slice_compare(slice_str(list[middle]->name), name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static unsigned place_of_id(struct catalog_group *const *list, unsigned n, uint32_t id)
{
	unsigned low = 0, high = n;

	while (low < high) {
		unsigned middle = low + (high - low) / 2;

		if (list[middle]->id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static const struct catalog_group *find_name(struct catalog_group *const *list, unsigned n, struct slice name)
{
	unsigned i = place_of_name(list, n, name);

	return i < n && slice_equal(slice_str(list[i]->name), name) ? list[i] : NULL;
}

const struct catalog_group *catalog_find(const struct catalog *cat, struct slice name)
{
	return find_name(cat->groups, cat->n_groups, name);
}

const struct catalog_group *catalog_find_view(const struct catalog *cat, struct slice name)
{
	return find_name(cat->views, cat->n_views, name);
}

const struct catalog_group *catalog_find_id(const struct catalog *cat, uint32_t id)
{
	unsigned i = place_of_id(cat->by_id, count(cat), id);

	if (id == CATALOG_ROOT_ID)
		return cat->root;
	return i < count(cat) && cat->by_id[i]->id == id ? cat->by_id[i] : NULL;
}

/* ---- changes ---- */

static void insert_at(struct catalog_group **array, unsigned n, unsigned at, struct catalog_group *grp)
{
	memmove(array + at + 1, array + at, (n - at) * sizeof(*array));
	array[at] = grp;
}

/* Adds one whose name and id the catalog lacks; it has room. Takes the reference. */
static void insert(struct catalog *cat, struct catalog_group *takes)
{
	struct catalog_group **list = takes->view ? cat->views : cat->groups;
	unsigned *n = takes->view ? &cat->n_views : &cat->n_groups;

	insert_at(cat->by_id, count(cat), place_of_id(cat->by_id, count(cat), takes->id), takes);
	insert_at(list, *n, place_of_name(list, *n, slice_str(takes->name)), takes);
	++*n;
}

/* Those of a list but the one of that id, into another; returns how many. */
static unsigned copy_but(struct catalog_group *const *list, unsigned n, uint32_t id, struct catalog_group **to)
{
	unsigned copied = 0;

	for (unsigned i = 0; i < n; i++)
		if (list[i]->id != id)
			to[copied++] = list[i];
	return copied;
}

int catalog_without(const struct catalog *cat, uint32_t id, struct catalog **out)
{
	struct catalog *next = catalog_alloc(count(cat) + 1);	/* with room for a successor */

	if (!next)
		return -ENOMEM;
	next->root = catalog_group_ref(cat->root);
	next->n_groups = copy_but(cat->groups, cat->n_groups, id, next->groups);
	next->n_views = copy_but(cat->views, cat->n_views, id, next->views);
	copy_but(cat->by_id, count(cat), id, next->by_id);
	for (unsigned i = 0; i < count(next); i++)
		catalog_group_ref(next->by_id[i]);
	*out = next;
	return 0;
}

int catalog_with(const struct catalog *cat, const struct catalog_group *grp, struct catalog **out)
{
	struct slice name = slice_str(grp->name);
	const struct catalog_group *same_name = grp->view ? catalog_find_view(cat, name) : catalog_find(cat, name);
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

static int double_one(struct catalog_group ***array, unsigned room)
{
	struct catalog_group **bigger = reallocarray(*array, (size_t)room * 2, sizeof(**array));

	if (!bigger)
		return -ENOMEM;
	*array = bigger;
	return 0;
}

static int double_room(struct catalog *cat, unsigned *room)
{
	if (double_one(&cat->groups, *room) < 0 || double_one(&cat->views, *room) < 0 || double_one(&cat->by_id, *room) < 0)
		return -ENOMEM;
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
	if (count(cat) == *room && double_room(cat, room) < 0) {
		catalog_group_unref(takes);
		return -ENOMEM;
	}
	cat->by_id[count(cat)] = takes;
	if (takes->view)
		cat->views[cat->n_views++] = takes;
	else
		cat->groups[cat->n_groups++] = takes;
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

static int sort_names(struct catalog_group **list, unsigned n, const char *kind, struct why *why)
{
	if (n)
		qsort(list, n, sizeof(*list), compare_names);
	for (unsigned i = 1; i < n; i++)
		if (!strcmp(list[i - 1]->name, list[i]->name))
			return why_fail(why, EBADMSG, "two %s are named %s: ids %u and %u", kind, list[i]->name, list[i - 1]->id,
					list[i]->id);
	return 0;
}

enum { ROOM_FIRST = 64 };

int catalog_empty(struct catalog **out)
{
	struct catalog *cat = catalog_alloc(ROOM_FIRST);
	int rc;

	if (!cat)
		return -ENOMEM;
	rc = catalog_group_make(CATALOG_ROOT_ID, 0, slice_of(NULL, 0), 0, 0, 0755, NULL, 0, &cat->root, NULL);
	if (rc < 0)
		catalog_unref(cat);
	else
		*out = cat;
	return rc;
}

int catalog_load(struct store_snap *snap, struct catalog **out, struct why *why)
{
	struct catalog *cat;
	struct store_walk *walk = NULL;
	int rc = catalog_empty(&cat);

	if (rc < 0)
		return rc;
	rc = store_walk_begin(snap, STORE_CATALOG, slice_of(NULL, 0), &walk);
	if (rc == 0)
		rc = load_groups(walk, cat, ROOM_FIRST, why);
	store_walk_end(walk);
	if (rc == 0)
		rc = sort_names(cat->groups, cat->n_groups, "groups", why);
	if (rc == 0)
		rc = sort_names(cat->views, cat->n_views, "views", why);
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
	pthread_cond_t published;	/* on the monotonic clock */
	struct catalog *cat;		/* protected by lock */
	bool is_changing;		/* protected by lock: between _begin and _end */
	uint64_t number;		/* written under lock; atomic, for catalog_current_is reads it without */
};

int catalog_current_new(struct catalog *takes, struct catalog_current **out)
{
	struct catalog_current *cur = calloc(1, sizeof(*cur));
	pthread_condattr_t attr;

	if (!cur)
		return -ENOMEM;
	pthread_mutex_init(&cur->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&cur->published, &attr);
	pthread_condattr_destroy(&attr);
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

void catalog_current_wait(struct catalog_current *cur, uint64_t number, const _Atomic bool *stop, unsigned timeout_ms)
{
	struct timespec end = clock_after((int64_t)timeout_ms * (CLOCK_SECOND / 1000));

	pthread_mutex_lock(&cur->lock);
	while ((cur->is_changing || __atomic_load_n(&cur->number, __ATOMIC_RELAXED) == number) && !*stop)
		if (pthread_cond_timedwait(&cur->published, &cur->lock, &end) == ETIMEDOUT)
			break;
	pthread_mutex_unlock(&cur->lock);
}

void catalog_current_wake(struct catalog_current *cur)
{
	pthread_mutex_lock(&cur->lock);
	pthread_cond_broadcast(&cur->published);
	pthread_mutex_unlock(&cur->lock);
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
