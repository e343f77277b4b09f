/* SPDX-License-Identifier: MIT */
/*
 * The catalog: found by name and id, changed by copies that share, loaded from a store, and published so that no reader
 * ever holds a catalog and a snapshot of different times.
 */
#include <errno.h>
#include <ftw.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>
#include "catalog/catalog.h"
#include "test.h"

static struct catalog_group *make(uint32_t id, const char *name)
{
	struct catalog_group *grp = NULL;
	struct why why;

	NEED(catalog_group_make(id, id, slice_str(name), 0, 0, 0755, "ann", id, &grp, &why) == 0);
	return grp;
}

/* A catalog of nothing but a root, as an empty store has it. */
static struct catalog *make_empty(void)
{
	static struct catalog_group *nothing[1];
	struct catalog *root_only = calloc(1, sizeof(*root_only)), *out = NULL;

	NEED(root_only);
	root_only->groups = root_only->by_id = nothing;
	root_only->root = make(CATALOG_ROOT_ID, "");
	NEED(catalog_without(root_only, 1, &out) == 0);
	catalog_group_unref(root_only->root);
	free(root_only);
	return out;
}

static struct catalog *with(struct catalog *takes, uint32_t id, const char *name)
{
	struct catalog_group *grp = make(id, name);
	struct catalog *out = NULL;

	NEED(catalog_with(takes, grp, &out) == 0);
	catalog_group_unref(grp);
	catalog_unref(takes);
	return out;
}

static void test_changes(void)
{
	struct catalog *cat = make_empty(), *other = NULL;
	struct catalog_group *clash = make(9, "b");

	CHECK_INT(cat->n_groups, 0);
	CHECK(!catalog_find(cat, slice_str("a")));
	cat = with(cat, 5, "b");
	cat = with(cat, 2, "c");
	cat = with(cat, 7, "a");
	CHECK_INT(cat->n_groups, 3);
	CHECK_TEXT(slice_str(cat->groups[0]->name), "a");
	CHECK_TEXT(slice_str(cat->groups[2]->name), "c");
	CHECK(catalog_find(cat, slice_str("b")) == catalog_find_id(cat, 5));
	CHECK(!catalog_find(cat, slice_str("bb")) && !catalog_find(cat, slice_str("")) && !catalog_find_id(cat, 6));
	CHECK(catalog_find_id(cat, CATALOG_ROOT_ID) == cat->root);
	CHECK_INT(catalog_with(cat, clash, &other), -EEXIST);
	cat = with(cat, 5, "z");		/* renamed */
	CHECK_INT(cat->n_groups, 3);
	CHECK(!catalog_find(cat, slice_str("b")));
	CHECK_TEXT(slice_str(cat->groups[2]->name), "z");
	cat = with(cat, CATALOG_ROOT_ID, "");
	CHECK_INT(cat->n_groups, 3);
	CHECK_INT(catalog_without(cat, 2, &other), 0);
	CHECK_INT(other->n_groups, 2);
	CHECK(!catalog_find_id(other, 2) && catalog_find_id(cat, 2));
	CHECK(catalog_find_id(other, 7) == catalog_find_id(cat, 7));
	catalog_unref(cat);
	CHECK_TEXT(slice_str(other->groups[0]->name), "a");	/* what is shared lives on */
	catalog_unref(other);
	catalog_unref(NULL);
	catalog_group_unref(clash);
}

/* ---- publishing: one thread changes catalog and "map" together, others must never see them apart ---- */

enum { READERS = 3, CHANGES = 4000 };

static struct catalog_current *current;
static int64_t map;		/* stands for what a commit changes: the time of the newest group */
static bool is_over;
static unsigned mismatches, reads;

static void *read_current(void *arg)
{
	(void)arg;
	while (!__atomic_load_n(&is_over, __ATOMIC_ACQUIRE)) {
		struct catalog *cat;
		uint64_t number;
		int64_t snapshot;

		for (;;) {
			cat = catalog_current_get(current, &number);
			sched_yield();		/* a change comes in between more often so */
			snapshot = __atomic_load_n(&map, __ATOMIC_ACQUIRE);
			if (catalog_current_is(current, number))
				break;
			catalog_unref(cat);
		}
		if (catalog_find(cat, slice_str("g"))->changed_ns != snapshot)
			__atomic_fetch_add(&mismatches, 1, __ATOMIC_RELAXED);
		__atomic_fetch_add(&reads, 1, __ATOMIC_RELAXED);
		catalog_unref(cat);
	}
	return NULL;
}

static struct catalog *changed(int64_t now)
{
	uint64_t number;
	struct catalog *cat = catalog_current_get(current, &number), *next = NULL;
	struct catalog_group *grp = NULL;

	NEED(catalog_group_owned(catalog_find(cat, slice_str("g")), 0700, 0, 0, now, &grp) == 0);
	NEED(catalog_with(cat, grp, &next) == 0);
	catalog_group_unref(grp);
	catalog_unref(cat);
	return next;
}

static void test_current(void)
{
	pthread_t readers[READERS];
	uint64_t before, after;

	NEED(catalog_current_new(with(make_empty(), 1, "g"), &current) == 0);
	map = 1;
	for (unsigned i = 0; i < READERS; i++)
		NEED(pthread_create(&readers[i], NULL, read_current, NULL) == 0);
	for (int64_t i = 2; i < CHANGES; i++) {
		struct catalog *next = changed(i);

		catalog_publish_begin(current);
		if (i % 5) {
			__atomic_store_n(&map, i, __ATOMIC_RELEASE);
			sched_yield();
			catalog_publish_end(current, next);
		} else {
			catalog_publish_end(current, NULL);	/* the commit failed */
			catalog_unref(next);
		}
	}
	/* Readers that had no core so far get their turn. */
	for (unsigned i = 0; i < 5000 && __atomic_load_n(&reads, __ATOMIC_RELAXED) < 100; i++)
		usleep(1000);
	__atomic_store_n(&is_over, true, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < READERS; i++)
		pthread_join(readers[i], NULL);
	CHECK_INT(mismatches, 0);
	CHECK(reads >= 100);
	catalog_unref(catalog_current_get(current, &before));
	CHECK(catalog_current_is(current, before));
	catalog_publish_begin(current);
	CHECK(!catalog_current_is(current, before));
	catalog_publish_end(current, NULL);
	catalog_unref(catalog_current_get(current, &after));
	CHECK(after != before && catalog_current_is(current, after));
	catalog_current_free(current);
	catalog_current_free(NULL);
}

/* ---- from a store ---- */

static int remove_file(const char *path, const struct stat *stat, int kind, struct FTW *ftw)
{
	(void)stat;
	(void)kind;
	(void)ftw;
	return remove(path);
}

static void put(struct store_batch *batch, uint32_t id, struct slice value)
{
	uint8_t key[4] = { (uint8_t)(id >> 24), (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id };

	CHECK_INT(store_batch_put(batch, STORE_CATALOG, slice_of(key, sizeof(key)), value), 0);
}

static void put_group(struct store_batch *batch, uint32_t key_id, uint32_t id, const char *name)
{
	struct catalog_group *grp = make(id, name);
	struct buf bytes = { 0 };

	CHECK_INT(catalog_group_encode(grp, &bytes), 0);
	put(batch, key_id, buf_slice(&bytes));
	buf_release(&bytes);
	catalog_group_unref(grp);
}

static struct store_batch *begin(struct store *store)
{
	struct store_batch *batch = NULL;

	NEED(store_batch_begin(store, &batch) == 0);
	return batch;
}

static void commit(struct store_batch *batch)
{
	uint64_t seq;

	CHECK_INT(store_batch_log(batch, &seq), 0);
	CHECK_INT(store_batch_commit(batch), 0);
}

static int load(struct store *store, struct catalog **out, struct why *why)
{
	struct store_snap *snap = NULL;
	int rc;

	NEED(store_snap_begin(store, &snap) == 0);
	rc = catalog_load(snap, out, why);
	store_snap_end(snap);
	return rc;
}

static void test_loaded(struct store *store)
{
	struct store_batch *batch;
	struct catalog *cat = NULL;
	struct why why = { "" };
	char name[16];

	NEED(load(store, &cat, &why) == 0);
	CHECK_INT(cat->n_groups, 0);
	CHECK_INT(cat->root->mode, 0755);
	catalog_unref(cat);

	batch = begin(store);
	put_group(batch, CATALOG_ROOT_ID, CATALOG_ROOT_ID, "");
	for (uint32_t id = 1; id <= 300; id++) {
		snprintf(name, sizeof(name), "g%u", 1000 - id);
		put_group(batch, id, id, name);
	}
	commit(batch);
	NEED(load(store, &cat, &why) == 0);
	CHECK_INT(cat->n_groups, 300);
	CHECK_TEXT(slice_str(cat->root->owner), "ann");
	for (uint32_t id = 1; id <= 300; id++) {
		snprintf(name, sizeof(name), "g%u", 1000 - id);
		CHECK(catalog_find_id(cat, id) && catalog_find_id(cat, id)->id == id);
		CHECK(catalog_find_id(cat, id) == catalog_find(cat, slice_str(name)));
	}
	catalog_unref(cat);
}

/* Each damage by itself, the one before being made good. */
static void test_damaged(struct store *store)
{
	struct catalog *cat = NULL;
	struct store_batch *batch;
	struct why why = { "" };

	batch = begin(store);
	put(batch, 77, slice_str("[group]\n"));
	commit(batch);
	CHECK_INT(load(store, &cat, &why), -EBADMSG);
	CHECK(!strncmp(why.text, "group with id 77: ", 18));
	batch = begin(store);
	put_group(batch, 77, 78, "x");
	commit(batch);
	CHECK_INT(load(store, &cat, &why), -EBADMSG);
	CHECK(!strncmp(why.text, "group with id 77: it says", 25));
	batch = begin(store);
	put_group(batch, 77, 77, "g999");
	commit(batch);
	CHECK_INT(load(store, &cat, &why), -EBADMSG);
	CHECK(!strncmp(why.text, "two groups are named g999", 25));
	CHECK(!cat);
}

static void test_store(void)
{
	static const struct store_options options =
	{ .map_bytes = 64 << 20, .segment_bytes = 1 << 20, .log_bytes = 64 << 20,
						      .checkpoint_ms = 1000, .checkpoint_bytes = 16 << 20, .relaxed =
						      true };
	char path[] = "/tmp/test_catalog.XXXXXX";
	struct store *store = NULL;
	struct why why = { "" };

	NEED(mkdtemp(path));
	if (store_open(path, &options, &store, &why) < 0)
		CHECK_TEXT(slice_str(why.text), "");
	NEED(store);
	test_loaded(store);
	test_damaged(store);
	CHECK_INT(store_close(store), 0);
	CHECK_INT(nftw(path, remove_file, 16, FTW_DEPTH | FTW_PHYS), 0);
}

int main(void)
{
	test_store();
	test_changes();
	test_current();
	return test_end("catalog");
}
