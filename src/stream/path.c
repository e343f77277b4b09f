/* SPDX-License-Identifier: MIT */
/*
 * Paths and their tree. Paths are kept as lists of steps while they are added; then they are sorted, which brings those
 * with a common beginning together, and the tree is cut out of the sorted list, the children of a node side by side. The depth of
 * the tree, and so of every walk along it, is bounded by PATH_STEPS_MAX, however deep a document is.
 */
#include "stream/path.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/num.h"

enum {
	LINEAR_MAX = 8,			/* children that are looked through one by one */
	INDEX_MAX = 1 << 20,		/* more elements than any value has */
};

struct step {
	bool is_index;
	uint32_t index;
	size_t at, len;			/* of the name, in tree->names */
};

struct entry {
	unsigned path;
	size_t first, count;		/* of its steps */
};

/* ---- reading a path ---- */

struct cursor {
	const char *at, *end;
	const char *start;
};

static int refuse(const struct cursor *c, const char *what, struct why *why)
{
	return why_fail(why, EINVAL, "\"%.*s\" is no path: %s", (int)(c->end - c->start < 128 ? c->end - c->start : 128), c->start, what);
}

static bool is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '@' ||
	       (c & 0x80);
}

static int add_step(struct path_tree *tree, struct step step, struct slice name)
{
	step.at = tree->names.len;
	step.len = name.len;
	buf_append_slice(&tree->names, name);
	buf_append(&tree->steps, &step, sizeof step);
	return buf_error(&tree->names) < 0 || buf_error(&tree->steps) < 0 ? -ENOMEM : 0;
}

static int take_name(struct path_tree *tree, struct cursor *c, struct why *why)
{
	const char *start = c->at;

	while (c->at < c->end && is_plain(*c->at))
		c->at++;
	if (c->at == start)
		return refuse(c, "a name is missing, or has bytes that must be quoted, as in $['a.b']", why);
	return add_step(tree, (struct step){ 0 }, slice_of(start, (size_t)(c->at - start)));
}

static int take_quoted(struct path_tree *tree, struct cursor *c, struct why *why)
{
	char quote = *c->at++;
	const char *end = memchr(c->at, quote, (size_t)(c->end - c->at));
	struct slice name;

	if (!end)
		return refuse(c, "a quote is not closed", why);
	name = slice_of(c->at, (size_t)(end - c->at));
	c->at = end + 1;
	return add_step(tree, (struct step){ 0 }, name);
}

static int take_index(struct path_tree *tree, struct cursor *c, struct why *why)
{
	const char *start = c->at;
	uint64_t index;

	while (c->at < c->end && *c->at >= '0' && *c->at <= '9')
		c->at++;
	if (num_parse_u64(slice_of(start, (size_t)(c->at - start)), &index) < 0 || index > INDEX_MAX)
		return refuse(c, "in brackets stands an element's number, from 0, or a quoted name", why);
	return add_step(tree, (struct step){ .is_index = true, .index = (uint32_t)index }, slice_of("", 0));
}

static int take_bracket(struct path_tree *tree, struct cursor *c, struct why *why)
{
	bool is_quoted = c->at < c->end && (*c->at == '\'' || *c->at == '"');
	int rc = is_quoted ? take_quoted(tree, c, why) : take_index(tree, c, why);

	if (rc == 0 && (c->at == c->end || *c->at++ != ']'))
		rc = refuse(c, "a bracket is not closed", why);
	return rc;
}

static int take_steps(struct path_tree *tree, struct cursor *c, struct why *why)
{
	unsigned count = 0;
	int rc = 0;

	if (c->at == c->end)
		return refuse(c, "it is empty", why);
	if (*c->at == '$') {
		c->at++;
	} else {
		rc = take_name(tree, c, why);
		count++;
	}
	while (rc == 0 && c->at < c->end) {
		char first = *c->at++;

		if (count++ == PATH_STEPS_MAX)
			rc = refuse(c, "it has more than 32 steps", why);
		else if (first == '.')
			rc = take_name(tree, c, why);
		else if (first == '[')
			rc = take_bracket(tree, c, why);
		else
			rc = refuse(c, "steps are .name, [0] and ['name']", why);
	}
	return rc;
}

static int end_path(struct path_tree *tree, size_t first, int rc, unsigned *out_path)
{
	struct entry entry = { tree->n_paths, first, tree->steps.len / sizeof(struct step) - first };

	if (rc == 0) {
		buf_append(&tree->starts, &entry, sizeof entry);
		rc = buf_error(&tree->starts);
	}
	if (rc == 0)
		*out_path = tree->n_paths++;
	else
		tree->steps.len = first * sizeof(struct step);
	return rc;
}

int path_tree_add(struct path_tree *tree, struct slice text, unsigned *out_path, struct why *why)
{
	struct cursor c = { text.data, (const char *)text.data + text.len, text.data };
	size_t first = tree->steps.len / sizeof(struct step);

	return end_path(tree, first, take_steps(tree, &c, why), out_path);
}

int path_tree_add_name(struct path_tree *tree, struct slice name, unsigned *out_path)
{
	size_t first = tree->steps.len / sizeof(struct step);

	return end_path(tree, first, add_step(tree, (struct step){ 0 }, name), out_path);
}

/* ---- the tree ---- */

static int compare_steps(const struct step *a, const struct step *b, const char *names)
{
	if (a->is_index != b->is_index)
		return a->is_index ? 1 : -1;
	if (a->is_index)
		return (a->index > b->index) - (a->index < b->index);
	if (a->len != b->len)
		return a->len > b->len ? 1 : -1;
	return a->len ? memcmp(names + a->at, names + b->at, a->len) : 0;
}

static const struct step *steps_of(const struct path_tree *tree, const struct entry *entry)
{
	return (const struct step *)tree->steps.data + entry->first;
}

static int compare_entries(const void *a, const void *b, void *arg)
{
	const struct entry *x = a, *y = b;
	const struct path_tree *tree = arg;

	for (size_t i = 0; i < x->count && i < y->count; i++) {
		int order = compare_steps(steps_of(tree, x) + i, steps_of(tree, y) + i, tree->names.data);

		if (order)
			return order;
	}
	return (x->count > y->count) - (x->count < y->count);
}

/* The end of the run of entries that agree with the one at `from` in the step at `depth`. */
static size_t run_end(const struct path_tree *tree, const struct entry *entries, size_t from, size_t to, size_t depth)
{
	const struct step *step = steps_of(tree, &entries[from]) + depth;
	size_t end = from + 1;

	while (end < to && !compare_steps(step, steps_of(tree, &entries[end]) + depth, tree->names.data))
		end++;
	return end;
}

/* Makes the children of a node out of the entries that go through it. */
static void grow(struct path_tree *tree, unsigned at, const struct entry *entries, size_t from, size_t to, size_t depth)
{
	struct path_node *node = &tree->nodes[at];
	unsigned child;

	for (; from < to && entries[from].count == depth; from++) {
		if (node->leaf == PATH_NO_LEAF)
			node->leaf = (int)tree->n_leaves++;
		tree->leaf_of[entries[from].path] = (unsigned)node->leaf;
	}
	node->first = tree->n_nodes;
	for (size_t i = from; i < to; i = run_end(tree, entries, i, to, depth)) {
		const struct step *step = steps_of(tree, &entries[i]) + depth;

		tree->nodes[tree->n_nodes++] = (struct path_node){
			.name = step->is_index ? slice_of("", 0) : slice_of(tree->names.data + step->at, step->len),
			.index = step->index, .is_index = step->is_index, .leaf = PATH_NO_LEAF, .parent = at,
		};
		node->names += !step->is_index;
		node->indexes += step->is_index;
	}
	child = node->first;
	for (size_t i = from; i < to;) {
		size_t end = run_end(tree, entries, i, to, depth);

		grow(tree, child++, entries, i, end, depth + 1);
		i = end;
	}
}

int path_tree_settle(struct path_tree *tree)
{
	struct entry *entries = (struct entry *)tree->starts.data;
	size_t n_steps = tree->steps.len / sizeof(struct step);

	tree->nodes = calloc(n_steps + 1, sizeof *tree->nodes);
	tree->leaf_of = calloc(tree->n_paths + 1, sizeof *tree->leaf_of);
	if (!tree->nodes || !tree->leaf_of)
		return -ENOMEM;
	if (tree->n_paths)
		qsort_r(entries, tree->n_paths, sizeof *entries, compare_entries, tree);
	tree->nodes[0].leaf = PATH_NO_LEAF;
	tree->n_nodes = 1;
	grow(tree, 0, entries, 0, tree->n_paths, 0);
	buf_release(&tree->starts);
	buf_release(&tree->steps);
	return 0;
}

void path_tree_release(struct path_tree *tree)
{
	buf_release(&tree->steps);
	buf_release(&tree->starts);
	buf_release(&tree->names);
	free(tree->nodes);
	free(tree->leaf_of);
	*tree = (struct path_tree){ 0 };
}

static int compare_name(const struct path_node *node, const char *name, size_t len)
{
	if (node->name.len != len)
		return node->name.len > len ? 1 : -1;
	return len ? memcmp(node->name.data, name, len) : 0;
}

const struct path_node *path_find_name(const struct path_tree *tree, const struct path_node *node, const char *name, size_t len)
{
	const struct path_node *children = &tree->nodes[node->first];
	unsigned low = 0, high = node->names;

	if (high <= LINEAR_MAX) {
		for (; low < high; low++) {
			struct slice wanted = children[low].name;

			if (wanted.len == len && (!len || (*(const char *)wanted.data == *name && !memcmp(wanted.data, name, len))))
				return &children[low];
		}
		return NULL;
	}
	while (low < high) {
		unsigned mid = (low + high) / 2;
		int order = compare_name(&children[mid], name, len);

		if (!order)
			return &children[mid];
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

static bool is_plain_name(struct slice name)
{
	const char *p = name.data;

	for (size_t i = 0; i < name.len; i++)
		if (!is_plain(p[i]))
			return false;
	return name.len;
}

void path_print(const struct path_tree *tree, const struct path_node *node, struct buf *out)
{
	if (node == tree->nodes) {
		buf_append_char(out, '$');
		return;
	}
	path_print(tree, &tree->nodes[node->parent], out);
	if (node->is_index)
		buf_printf(out, "[%u]", node->index);
	else
		buf_printf(out, is_plain_name(node->name) ? ".%.*s" : "['%.*s']", (int)node->name.len, (const char *)node->name.data);
}
