/* SPDX-License-Identifier: MIT */
/*
 * Paths into a message, "$.user.tags[0]", and the tree that all paths of a mapping make together: a document is walked once along the tree,
 * whatever the number of paths. Private to stream.
 */
#ifndef STREAM_PATH_H
#define STREAM_PATH_H

#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/slice.h"
#include "base/why.h"

enum { PATH_STEPS_MAX = 32, PATH_NO_LEAF = -1 };

/* One step: into an object's member (or a record's field, a map's entry), or to an array's element. Children of a node stand side by
 * side: members first, in order of length and bytes, then elements in order of index. */
struct path_node {
	struct slice name;
	uint32_t index;
	bool is_index;
	int leaf;			/* of the paths that end here; PATH_NO_LEAF */
	unsigned parent;
	unsigned first, names, indexes;	/* children: `names` members from `first` on, then `indexes` elements */
};

struct path_tree {
	struct path_node *nodes;	/* the first is the root: the document itself */
	unsigned n_nodes, n_leaves, n_paths;
	unsigned *leaf_of;		/* by number of path */
	/* private, while paths are added: their steps, where each begins, and the bytes of names */
	struct buf steps, starts, names;
};

/* Adds a path and gives its number. "$" is the whole document, "a.b" means "$.a.b"; a name with other bytes than
 * letters, digits, '_', '-', '@' and those of UTF-8 beyond ASCII is quoted: $['a.b'][0]. -EINVAL, -ENOMEM. */
int path_tree_add(struct path_tree *tree, struct slice text, unsigned *out_path, struct why *why);
/* A path of one step, whatever the bytes of its name. */
int path_tree_add_name(struct path_tree *tree, struct slice name, unsigned *out_path);
/* Makes nodes and leaf_of: equal paths share a leaf. Nothing is added any more. -ENOMEM. */
int path_tree_settle(struct path_tree *tree);
void path_tree_release(struct path_tree *tree);

/* The child for a member of that name; NULL. */
const struct path_node *path_find_name(const struct path_tree *tree, const struct path_node *node, const char *name, size_t len);

/* Appends the path from the document to the node, as a person writes it. */
void path_print(const struct path_tree *tree, const struct path_node *node, struct buf *out);

#endif
