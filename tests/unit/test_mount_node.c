/* SPDX-License-Identifier: MIT */
/* The node table without a kernel: finding, counting, detaching, renaming, and memory that follows the forgets. */
#include "mount/attr.h"
#include "mount/edit.h"
#include "mount/private.h"
#include "mount/tree.h"

#include <errno.h>
#include "test.h"

static struct mount *new_mount(void)
{
	struct mount *mount = calloc(1, sizeof *mount);

	NEED(mount);
	pthread_mutex_init(&mount->lock, NULL);
	NEED(node_table_init(mount) == 0);
	return mount;
}

static void free_mount(struct mount *mount)
{
	node_table_release(mount);
	CHECK_INT(mount->n_nodes, 0);
	pthread_mutex_destroy(&mount->lock);
	free(mount);
}

/* As a lookup does it. */
static struct node *look(struct mount *mount, struct node *parent, enum node_kind kind, uint32_t number, const char *name)
{
	struct node *node;

	pthread_mutex_lock(&mount->lock);
	node = node_get_locked(mount, parent, kind, number, name);
	NEED(node);
	node_count_locked(node);
	pthread_mutex_unlock(&mount->lock);
	return node;
}

static void test_targets(void)
{
	struct mount *mount = new_mount();
	struct node *grp = look(mount, &mount->root, NODE_GROUP, 7, NULL), *entity = look(mount, grp, NODE_ENTITY, 0, "u1");
	struct node *value = look(mount, entity, NODE_VALUE, 3, NULL);
	struct target target;

	node_target(mount, value, &target);
	CHECK_INT(target.kind, NODE_VALUE);
	CHECK_INT(target.group_id, 7);
	CHECK_INT(target.number, 3);
	CHECK_TEXT(target_entity(&target), "u1");
	node_target(mount, grp, &target);
	CHECK_INT(target.group_id, 7);
	CHECK_INT(target.entity_len, 0);
	node_target(mount, &mount->root, &target);
	CHECK_INT(target.group_id, CATALOG_ROOT_ID);
	CHECK_INT(node_ino(mount, &mount->root), FUSE_ROOT_ID);
	CHECK(node_of(mount, node_ino(mount, value)) == value);
	CHECK(look(mount, entity, NODE_VALUE, 3, NULL) == value);
	CHECK(look(mount, entity, NODE_BIN, 3, NULL) != value);
	free_mount(mount);
}

static void test_paths(void)
{
	struct mount *mount = new_mount();
	struct node *grp = look(mount, &mount->root, NODE_GROUP, 7, NULL), *tree = look(mount, grp, NODE_TREE_DIR, 1, NULL);
	struct node *dir = look(mount, tree, NODE_TREE_DIR, 1, "a.b"), *file = look(mount, dir, NODE_TREE_FILE, 1, "status");
	struct target target;

	node_target(mount, tree, &target);
	CHECK_INT(target.entity_len, 0);
	CHECK_INT(target.number, 1);
	tree_descend(&target, "a.b");
	CHECK_TEXT(target_entity(&target), "a.b");
	tree_descend(&target, "status");
	CHECK_TEXT(slice_str(target.entity), "a.b/status");
	node_target(mount, file, &target);
	CHECK_TEXT(slice_str(target.entity), "a.b/status");
	CHECK_INT(target.entity_len, 10);
	CHECK_INT(target.group_id, 7);
	CHECK(look(mount, dir, NODE_TREE_FILE, 1, "status") == file);
	CHECK(look(mount, dir, NODE_TREE_FILE, 1, "control") != file);
	free_mount(mount);
}

/* Forgetting a child may free its parents, but only those that nobody else needs. */
static void test_forget(void)
{
	struct mount *mount = new_mount();
	struct node *grp = look(mount, &mount->root, NODE_GROUP, 7, NULL), *entity = look(mount, grp, NODE_ENTITY, 0, "u1");
	struct node *value = look(mount, entity, NODE_VALUE, 3, NULL);

	look(mount, entity, NODE_VALUE, 3, NULL);
	node_forget(mount, grp, 1);
	node_forget(mount, entity, 1);
	CHECK_INT(mount->n_nodes, 3);
	node_forget(mount, value, 1);
	CHECK_INT(mount->n_nodes, 3);
	node_hold(mount, value);
	node_forget(mount, value, 1);
	CHECK_INT(mount->n_nodes, 3);
	node_drop(mount, value);
	CHECK_INT(mount->n_nodes, 0);
	free_mount(mount);
}

static void test_detach(void)
{
	struct mount *mount = new_mount();
	struct node *grp = look(mount, &mount->root, NODE_GROUP, 7, NULL), *entity = look(mount, grp, NODE_ENTITY, 0, "u1");
	struct node *old = look(mount, entity, NODE_VALUE, 3, NULL), *next;
	struct target target;

	pthread_mutex_lock(&mount->lock);
	node_detach_locked(mount, old);
	pthread_mutex_unlock(&mount->lock);
	next = look(mount, entity, NODE_VALUE, 3, NULL);
	CHECK(next != old);
	node_target(mount, old, &target);
	CHECK_TEXT(target_entity(&target), "u1");
	node_forget(mount, old, 1);
	CHECK_INT(mount->n_nodes, 3);
	CHECK(look(mount, entity, NODE_VALUE, 3, NULL) == next);
	free_mount(mount);
}

/* A renamed entity keeps its node and its children; the node that had the name is not found any more. */
static void test_move(void)
{
	struct mount *mount = new_mount();
	struct node *grp = look(mount, &mount->root, NODE_GROUP, 7, NULL), *a = look(mount, grp, NODE_ENTITY, 0, "a");
	struct node *b = look(mount, grp, NODE_ENTITY, 0, "b"), *value = look(mount, a, NODE_VALUE, 3, NULL);
	struct target target;

	pthread_mutex_lock(&mount->lock);
	node_move_locked(mount, a, grp, 0, strdup("b"));
	pthread_mutex_unlock(&mount->lock);
	CHECK(look(mount, grp, NODE_ENTITY, 0, "b") == a);
	CHECK(b->is_gone && !b->is_attached);
	node_target(mount, value, &target);
	CHECK_TEXT(target_entity(&target), "b");
	CHECK(look(mount, grp, NODE_ENTITY, 0, "a") != a);
	/* A value moves to another entity and slot. */
	pthread_mutex_lock(&mount->lock);
	node_move_locked(mount, value, grp, 9, NULL);
	pthread_mutex_unlock(&mount->lock);
	CHECK(look(mount, grp, NODE_VALUE, 9, NULL) == value);
	free_mount(mount);
}

static void test_many(void)
{
	enum { MANY = 20000 };
	struct mount *mount = new_mount();
	struct node *grp = look(mount, &mount->root, NODE_GROUP, 1, NULL);
	size_t chains = mount->n_chains;
	struct node **nodes = calloc(MANY, sizeof *nodes);
	char name[32];

	NEED(nodes);
	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof name, "e%d", i);
		nodes[i] = look(mount, grp, NODE_ENTITY, 0, name);
	}
	CHECK_INT(mount->n_nodes, MANY + 1);
	CHECK(mount->n_chains > chains);
	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof name, "e%d", i);
		CHECK(look(mount, grp, NODE_ENTITY, 0, name) == nodes[i]);
		node_forget(mount, nodes[i], 2);
	}
	CHECK_INT(mount->n_nodes, 1);
	CHECK_INT(mount->n_chains, chains);
	free(nodes);
	free_mount(mount);
}

/* What is told of a node is to be one thing at a time: who must make the kernel forget what before an answer. */
static void test_told(void)
{
	struct mount *mount = new_mount();
	struct node *node = look(mount, &mount->root, NODE_VALUE, 3, NULL);
	struct content one = { .event_ns = 1, .ingest_ns = 1, .text = slice_str("1\n") };
	struct content two = { .event_ns = 2, .ingest_ns = 2, .text = slice_str("two\n") };
	struct content three = { .event_ns = 3, .ingest_ns = 3, .text = slice_str("3\n") };

	/* One thread has its answers behind it. */
	CHECK(!attr_tell_locked(node, &one, 10));
	CHECK(!attr_tell_locked(node, &two, 10));
	CHECK(!attr_tell_locked(node, &one, 10));
	/* Others are told the same; then nobody may be told anything else before the kernel has forgotten it, this thread too. */
	CHECK(!attr_tell_locked(node, &one, 11));
	CHECK(attr_tell_locked(node, &two, 11));
	CHECK(attr_tell_locked(node, &two, 12));
	node->void_turn = node->told_turn;
	CHECK(!attr_tell_locked(node, &two, 12));
	CHECK(attr_tell_locked(node, &three, 10));
	node->void_turn = node->told_turn;
	/* Who has no number here may be anybody. */
	CHECK(!attr_tell_locked(node, &three, 0));
	CHECK(attr_tell_locked(node, &one, 0));
	node->void_turn = node->told_turn;
	CHECK(attr_tell_locked(node, &two, 0));
	node->void_turn = node->told_turn;
	/* A handle's text differs from what its own thread was told: the kernel holds that. */
	CHECK(!attr_show_locked(node, &two));
	CHECK(attr_show_locked(node, &three));
	CHECK(attr_show_locked(node, &three));
	node->void_turn = node->told_turn;
	CHECK(!attr_show_locked(node, &three));
	CHECK(!attr_tell_locked(node, &three, 10));
	CHECK(attr_tell_locked(node, &one, 10));
	free_mount(mount);
}

/* A writer takes no node that another thread was told of just now. */
static void test_watched(void)
{
	struct mount *mount = new_mount();
	struct node *node = look(mount, &mount->root, NODE_VALUE, 3, NULL);
	struct content one = { .event_ns = 1, .ingest_ns = 1, .text = slice_str("1\n") };

	CHECK(!attr_is_watched_locked(node, 10));
	attr_tell_locked(node, &one, 10);
	attr_tell_locked(node, &one, 10);
	CHECK(!attr_is_watched_locked(node, 10));
	CHECK(attr_is_watched_locked(node, 11));
	attr_tell_locked(node, &one, 11);
	CHECK(attr_is_watched_locked(node, 10));
	CHECK(attr_is_watched_locked(node, 11));
	attr_tell_locked(node, &one, 11);
	CHECK(attr_is_watched_locked(node, 11));
	node->others_at_ns -= 3600 * CLOCK_SECOND;
	CHECK(!attr_is_watched_locked(node, 11));
	CHECK(attr_is_watched_locked(node, 10));
	CHECK(attr_is_watched_locked(node, 0));
	free_mount(mount);
}

/* Hundreds of threads may be on their way back to one name, each to a node of its own; past the bound the oldest gives way. */
static void test_promises(void)
{
	struct mount *mount = new_mount();
	struct node *entity = look(mount, &mount->root, NODE_ENTITY, 0, "u1"), *value = look(mount, entity, NODE_VALUE, 3, NULL);
	struct node *own;

	CHECK(!edit_promised_locked(mount, entity, NODE_VALUE, 3, 1));
	for (pid_t tid = 1; tid <= PROMISES; tid++)
		CHECK_INT(edit_promise_locked(mount, value, tid), -ESTALE);
	CHECK_INT(mount->n_nodes, PROMISES + 2);
	for (pid_t tid = 1; tid <= PROMISES; tid++) {
		own = edit_promised_locked(mount, entity, NODE_VALUE, 3, tid);
		CHECK(own && own != value && !own->is_attached);
		CHECK(!edit_promised_locked(mount, entity, NODE_BIN, 3, tid));
	}
	CHECK_INT(edit_promise_locked(mount, value, 7), 0);
	CHECK_INT(edit_promise_locked(mount, value, PROMISES + 1), -ESTALE);
	CHECK(!edit_promised_locked(mount, entity, NODE_VALUE, 3, 1));
	CHECK(edit_promised_locked(mount, entity, NODE_VALUE, 3, PROMISES + 1));
	/* A promise that is kept is over; the node gets the name, if that is free. */
	node_detach_locked(mount, value);
	own = edit_promised_locked(mount, entity, NODE_VALUE, 3, 8);
	node_count_locked(own);
	edit_keep_promise_locked(mount, own);
	CHECK(own->is_attached);
	CHECK(!edit_promised_locked(mount, entity, NODE_VALUE, 3, 8));
	/* Those that nobody came back for go when the next one is made. */
	for (unsigned i = 0; i < mount->n_promises; i++)
		mount->promises[i].until_ns = i % 2 ? 0 : INT64_MAX;
	CHECK_INT(edit_promise_locked(mount, own, PROMISES + 2), -ESTALE);
	CHECK_INT(mount->n_promises, PROMISES / 2 + 1);
	edit_end_all(mount);
	CHECK_INT(mount->n_promises, 0);
	CHECK_INT(mount->n_nodes, 3);
	free_mount(mount);
}

/* Numbers of entries are the same whenever they are asked for, and differ where names do. */
static void test_numbers(void)
{
	CHECK(attr_number(NODE_ENTITY, 1, 0, slice_str("a")) == attr_number(NODE_ENTITY, 1, 0, slice_str("a")));
	CHECK(attr_number(NODE_ENTITY, 1, 0, slice_str("a")) != attr_number(NODE_ENTITY, 2, 0, slice_str("a")));
	CHECK(attr_number(NODE_ENTITY, 1, 0, slice_str("a")) != attr_number(NODE_ENTITY, 1, 0, slice_str("b")));
	CHECK(attr_number(NODE_VALUE, 1, 0, slice_str("a")) != attr_number(NODE_VALUE, 1, 1, slice_str("a")));
	CHECK(attr_number(NODE_VALUE, 1, 0, slice_str("a")) != attr_number(NODE_BIN, 1, 0, slice_str("a")));
}

int main(void)
{
	test_targets();
	test_paths();
	test_forget();
	test_detach();
	test_move();
	test_many();
	test_told();
	test_watched();
	test_promises();
	test_numbers();
	return test_end("mount_node");
}
