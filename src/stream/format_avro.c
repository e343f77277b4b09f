/* SPDX-License-Identifier: MIT */
/*
 * Avro messages in the framing of the Confluent registry: a zero byte, four bytes of schema id (the highest first), the datum. A message is read by the
 * schema it was written with, so fields may come, go and move from one version to the next: what a version does not have is missing.
 *
 * For each schema a plan is made once: which of its fields lie on wanted paths. Reading follows the plan and skips all else; a leaf is kept as its
 * type and the place of its bytes, and becomes a value when it is asked for. Unions are looked through: a path goes on in the branch that is there.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "stream/avro_state.h"

enum {
	FRAME = 5,
	PLANS_MAX = 65536,
	READERS_MAX = 256,		/* schemas that are kept ready; with more of them in use they are made again and again */
	NO_PLAN = -1,
};

/* What to do with one type at one node of the tree of paths. */
struct plan {
	unsigned type;
	unsigned node;
	size_t first;			/* into `next`: the plan of each member (field, branch), or of each child of the node (map, array) */
	bool is_wrong;			/* the path goes on here, and the type has nothing inside */
};

struct avro_reader {
	uint32_t id;
	int rc;				/* of the making; its reason in `why` */
	struct why why;
	struct avro_schema *schema;
	struct buf plans, next;		/* arrays of struct plan and int */
};

/* ---- plans ---- */

static struct plan *plan_at(const struct avro_reader *reader, size_t i)
{
	return (struct plan *)reader->plans.data + i;
}

static int *next_at(const struct avro_reader *reader, size_t i)
{
	return (int *)reader->next.data + i;
}

static int make_plan(struct avro_reader *reader, const struct path_tree *tree, unsigned type, unsigned node, struct why *why, int *out);

/* Keeps room for `count` plans to go on with, none at first. */
static int begin_next(struct avro_reader *reader, size_t count, size_t *out_first)
{
	int none = NO_PLAN;

	*out_first = reader->next.len / sizeof none;
	while (count--)
		buf_append(&reader->next, &none, sizeof none);
	return buf_error(&reader->next);
}

/* The plan for member or child `i`, behind `first`. */
static int set_next(struct avro_reader *reader, const struct path_tree *tree, size_t at, unsigned type, unsigned node, struct why *why)
{
	int plan = NO_PLAN, rc = make_plan(reader, tree, type, node, why, &plan);

	if (rc == 0)
		*next_at(reader, at) = plan;
	return rc;
}

static int plan_members(struct avro_reader *reader, const struct path_tree *tree, const struct avro_type *type, unsigned at_node, size_t first,
			struct why *why)
{
	const struct avro_member *members = avro_members(reader->schema, type);
	const struct path_node *node = &tree->nodes[at_node];
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < type->count; i++) {
		const struct path_node *child = node;

		if (type->kind == AVRO_RECORD)
			child = path_find_name(tree, node, members[i].name.data, members[i].name.len);
		if (child)
			rc = set_next(reader, tree, first + i, members[i].type, (unsigned)(child - tree->nodes), why);
	}
	return rc;
}

/* A map's values by name, an array's by number: one plan for each child of that sort. */
static int plan_children(struct avro_reader *reader, const struct path_tree *tree, const struct avro_type *type, const struct path_node *node,
			 size_t first, struct why *why)
{
	unsigned from = type->kind == AVRO_MAP ? 0 : node->names, to = type->kind == AVRO_MAP ? node->names : node->names + node->indexes;
	int rc = 0;

	for (unsigned i = from; rc == 0 && i < to; i++)
		rc = set_next(reader, tree, first + i, avro_members(reader->schema, type)->type, node->first + i, why);
	return rc;
}

static int make_plan(struct avro_reader *reader, const struct path_tree *tree, unsigned number, unsigned at_node, struct why *why, int *out)
{
	const struct avro_type *type = &reader->schema->types[number];
	const struct path_node *node = &tree->nodes[at_node];
	struct plan plan = { .type = number, .node = at_node };
	size_t i = reader->plans.len / sizeof plan;
	bool goes_on = node->names || node->indexes, is_list = type->kind == AVRO_RECORD || type->kind == AVRO_UNION;
	int rc;

	if (i >= PLANS_MAX)
		return why_fail(why, EINVAL, "the Avro schema has too many unions on the mapped paths");
	plan.is_wrong = goes_on && !(type->kind == AVRO_UNION || type->kind == AVRO_NULL || (node->indexes && type->kind == AVRO_ARRAY) ||
				     (node->names && (type->kind == AVRO_RECORD || type->kind == AVRO_MAP)));
	if (!goes_on || plan.is_wrong || type->kind == AVRO_NULL) {
		/* A leaf, or the end of the road; a union is still looked through. */
		is_list = type->kind == AVRO_UNION;
		goes_on = is_list;
	}
	rc = goes_on ? begin_next(reader, is_list ? type->count : node->names + node->indexes, &plan.first) : 0;
	buf_append(&reader->plans, &plan, sizeof plan);
	if (rc == 0)
		rc = buf_error(&reader->plans);
	if (rc < 0)
		return rc;
	*out = (int)i;
	if (!goes_on)
		return 0;
	return is_list ? plan_members(reader, tree, type, at_node, plan.first, why) : plan_children(reader, tree, type, node, plan.first, why);
}

static void free_reader(struct avro_reader *reader)
{
	avro_schema_free(reader->schema);
	buf_release(&reader->plans);
	buf_release(&reader->next);
	free(reader);
}

/* ---- following a plan ---- */

struct walk {
	const struct document *doc;
	const struct avro_reader *reader;
	struct avro_state *state;
	struct avro_cursor c;
};

static int refuse_at(const struct walk *w, const struct plan *plan, const char *what)
{
	const struct path_node *node = &w->doc->tree.nodes[plan->node];
	struct buf path = { 0 };

	path_print(&w->doc->tree, node, &path);
	why_fail(w->c.why, EINVAL, "%.*s: %s%s", (int)path.len, path.data ? path.data : "",
		 what ? what : avro_kind_name(w->reader->schema->types[plan->type].kind),
		 what ? "" : node->names ? " where a record or map belongs" : " where an array belongs");
	buf_release(&path);
	return -EINVAL;
}

static int follow(struct walk *w, const struct plan *plan);

/* Follows the plan, if there is one, over a value of the type. */
static int follow_next(struct walk *w, int next, unsigned type)
{
	return next == NO_PLAN ? avro_skip(&w->c, type) : follow(w, plan_at(w->reader, (size_t)next));
}

static int follow_record(struct walk *w, const struct plan *plan, const struct avro_type *type)
{
	const struct avro_member *members = avro_members(w->reader->schema, type);
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < type->count; i++)
		rc = follow_next(w, *next_at(w->reader, plan->first + i), members[i].type);
	return rc;
}

static int follow_item(struct walk *w, const struct plan *plan, const struct avro_type *type, uint64_t index)
{
	const struct path_tree *tree = &w->doc->tree;
	const struct path_node *node = &tree->nodes[plan->node];
	int next = NO_PLAN, rc = avro_take_item(&w->c);
	struct slice name;

	if (rc == 0 && type->kind == AVRO_MAP) {
		const struct path_node *child;

		rc = avro_take_counted(&w->c, &name);
		child = rc == 0 ? path_find_name(tree, node, name.data, name.len) : NULL;
		if (child)
			next = *next_at(w->reader, plan->first + (size_t)(child - &tree->nodes[node->first]));
	} else if (rc == 0) {
		for (unsigned i = node->names; i < node->names + node->indexes; i++)
			if (tree->nodes[node->first + i].index == index)
				next = *next_at(w->reader, plan->first + i);
	}
	return rc < 0 ? rc : follow_next(w, next, avro_members(w->reader->schema, type)->type);
}

static int follow_blocks(struct walk *w, const struct plan *plan, const struct avro_type *type)
{
	uint64_t count, index = 0;
	int64_t size;
	int rc;

	while ((rc = avro_take_block(&w->c, &count, &size)) == 0 && count)
		while (count--) {
			rc = follow_item(w, plan, type, index++);
			if (rc < 0)
				return rc;
		}
	return rc;
}

static int follow_inner(struct walk *w, const struct plan *plan, const struct avro_type *type)
{
	const struct path_node *node = &w->doc->tree.nodes[plan->node];

	if (plan->is_wrong)
		return refuse_at(w, plan, NULL);
	if (!node->names && !node->indexes)
		return avro_skip(&w->c, plan->type);
	if (type->kind == AVRO_RECORD)
		return follow_record(w, plan, type);
	return type->kind == AVRO_NULL ? 0 : follow_blocks(w, plan, type);
}

static int follow(struct walk *w, const struct plan *plan)
{
	const struct avro_type *type = &w->reader->schema->types[plan->type];
	const struct path_node *node = &w->doc->tree.nodes[plan->node];
	const uint8_t *start = w->c.at;
	struct avro_found *found;
	unsigned branch;
	int rc = avro_enter(&w->c);

	if (rc == 0 && type->kind == AVRO_UNION) {
		rc = avro_take_index(&w->c, type, &branch);
		if (rc == 0)
			rc = follow(w, plan_at(w->reader, (size_t)*next_at(w->reader, plan->first + branch)));
		w->c.depth--;
		return rc;
	}
	if (rc == 0)
		rc = follow_inner(w, plan, type);
	w->c.depth--;
	if (rc < 0 || node->leaf == PATH_NO_LEAF)
		return rc;
	found = &w->state->found[node->leaf];
	if (found->is_there)
		return refuse_at(w, plan, "it stands twice");
	*found = (struct avro_found){ true, plan->type, slice_of(start, (size_t)(w->c.at - start)) };
	return 0;
}

/* ---- the format ---- */

static int avro_prepare(struct stream_mapping *map, struct document *doc, struct why *why)
{
	struct avro_state *state = calloc(1, sizeof *state);

	(void)why;
	if (!state)
		return -ENOMEM;
	doc->state = state;
	state->schemas = map->schemas;
	state->found = calloc(doc->tree.n_leaves + 1, sizeof *state->found);
	state->readers = calloc(READERS_MAX, sizeof(*state->readers));
	return state->found && state->readers ? 0 : -ENOMEM;
}

static void avro_release(struct document *doc)
{
	struct avro_state *state = doc->state;

	if (!state)
		return;
	for (unsigned i = 0; i < state->n_readers; i++)
		free_reader(state->readers[i]);
	buf_release(&state->text);
	buf_release(&state->scratch);
	free(state->readers);
	free(state->found);
	free(state);
}

static void avro_done(struct document *doc)
{
	struct avro_state *state = doc->state;

	state->schema = NULL;
}

/* Fetches and reads the schema, and makes its plan. What is wrong with it is kept with it, to be said of each message. */
static int make_reader(struct document *doc, uint32_t id, struct avro_reader **out, struct why *why)
{
	struct avro_state *state = doc->state;
	struct avro_reader *reader;
	int rc, root;

	buf_reset(&state->text);
	rc = stream_schemas_get(state->schemas, id, &state->text, why);
	if (rc < 0)
		return rc;
	reader = calloc(1, sizeof *reader);
	if (!reader)
		return -ENOMEM;
	reader->id = id;
	reader->rc = avro_schema_parse(buf_slice(&state->text), &reader->schema, &reader->why);
	if (reader->rc == 0)
		reader->rc = make_plan(reader, &doc->tree, 0, 0, &reader->why, &root);
	if (reader->rc == -ENOMEM) {
		free_reader(reader);
		return -ENOMEM;
	}
	why_prefix(&reader->why, "schema %u", id);
	*out = reader;
	return 0;
}

static int find_reader(struct document *doc, uint32_t id, struct avro_reader **out, struct why *why)
{
	struct avro_state *state = doc->state;
	int rc;

	for (unsigned i = 0; i < state->n_readers; i++)
		if (state->readers[i]->id == id) {
			*out = state->readers[i];
			return 0;
		}
	rc = make_reader(doc, id, out, why);
	if (rc < 0)
		return rc;
	if (state->n_readers == READERS_MAX)
		free_reader(state->readers[--state->n_readers]);
	state->readers[state->n_readers++] = *out;
	return 0;
}

static int avro_read(struct stream_mapping *map, struct document *doc, struct slice bytes, struct why *why)
{
	struct avro_state *state = doc->state;
	const uint8_t *p = bytes.data;
	struct avro_reader *reader = NULL;
	struct walk w;
	uint32_t id;
	int rc;

	(void)map;
	memset(state->found, 0, doc->tree.n_leaves * sizeof *state->found);
	if (bytes.len < FRAME || p[0])
		return why_fail(why, EINVAL, "no Avro message: it begins with a zero byte and four of a schema's id");
	id = (uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 8 | p[4];
	rc = find_reader(doc, id, &reader, why);
	if (rc < 0)
		return rc;
	if (reader->rc < 0)
		return why_fail(why, EINVAL, "%s", reader->why.text);
	state->schema = reader->schema;
	w = (struct walk){ doc, reader, state, { reader->schema, p + FRAME, p + bytes.len, bytes.len + AVRO_ITEMS_SPARE, 0, why } };
	rc = follow(&w, plan_at(reader, 0));
	if (rc == 0 && w.c.at != w.c.end)
		rc = why_fail(why, EINVAL, "%zu bytes are left over behind the datum", (size_t)(w.c.end - w.c.at));
	if (rc < 0)
		why_prefix(why, "by schema %u", id);
	return rc;
}

const struct format format_avro = {
	.name = "avro", .has_paths = true, .prepare = avro_prepare, .read = avro_read, .done = avro_done, .text = avro_part, .time = avro_time,
	.matches = avro_matches, .value = avro_value, .release = avro_release,
};
