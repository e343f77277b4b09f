/* SPDX-License-Identifier: MIT */
/*
 * JSON messages. The document is read with its numbers as they are written, walked once along the tree of wanted paths, and what is found
 * goes into typed bytes by the catalog's own rules. yyjson works in memory that is kept from message to message; only a large one
 * has memory of its own, which is given back at once. Neither the reader nor the walk recurses into a document deeper than a path is.
 *
 * Absent is not wrong: where a step finds nothing, or null, what lies behind it is missing. A step into something that can't have members,
 * a string say, is refused, for then the message has another shape than the mapping was made for, and a value would go stale without
 * a word. A wanted member that stands twice is refused too: readers differ in which one they take.
 */
#include <errno.h>
#include <stdlib.h>
#include <yyjson.h>
#include "base/text.h"
#include "store/store.h"
#include "stream/mapping.h"

enum {
	KEPT_BYTES = 64 << 10,		/* messages up to this size are read in kept memory */
};

struct json_state {
	yyjson_doc *doc;
	yyjson_val **found;		/* by leaf */
	char *pool;
	size_t pool_size;
};

static struct slice json_text(yyjson_val *val)
{
	return slice_of(unsafe_yyjson_get_str(val), unsafe_yyjson_get_len(val));
}

static const char *describe(yyjson_val *val)
{
	return yyjson_is_raw(val) ? "number" : yyjson_get_type_desc(val);
}

static yyjson_val *find(const struct document *doc, unsigned leaf)
{
	const struct json_state *state = doc->state;

	return state->found[leaf];
}

static int json_prepare(struct stream_mapping *map, struct document *doc, struct why *why)
{
	struct json_state *state = calloc(1, sizeof *state);

	(void)map;
	(void)why;
	if (!state)
		return -ENOMEM;
	doc->state = state;
	state->found = calloc(doc->tree.n_leaves + 1, sizeof(*state->found));
	return state->found ? 0 : -ENOMEM;
}

static void json_done(struct document *doc)
{
	struct json_state *state = doc->state;

	yyjson_doc_free(state->doc);		/* of kept memory: nothing to do */
	state->doc = NULL;
}

static void json_release(struct document *doc)
{
	struct json_state *state = doc->state;

	if (!state)
		return;
	json_done(doc);
	free(state->found);
	free(state->pool);
	free(state);
}

/* ---- reading ---- */

/* Memory for a document of `len` bytes, whatever is in it. */
static int keep_pool(struct json_state *state, size_t len, yyjson_alc *out)
{
	size_t need = yyjson_read_max_memory_usage(len, YYJSON_READ_NUMBER_AS_RAW);

	if (need > state->pool_size) {
		char *pool = realloc(state->pool, need * 2);

		if (!pool)
			return -ENOMEM;
		state->pool = pool;
		state->pool_size = need * 2;
	}
	return yyjson_alc_pool_init(out, state->pool, state->pool_size) ? 0 : -ENOMEM;
}

static int parse(struct json_state *state, struct slice bytes, struct why *why)
{
	bool is_kept = bytes.len <= KEPT_BYTES;
	yyjson_read_err err;
	yyjson_alc alc;

	if (!bytes.len)
		return why_fail(why, EINVAL, "no JSON: nothing is there");
	if (is_kept && keep_pool(state, bytes.len, &alc) < 0)
		return -ENOMEM;
	/* Not in place, so that the reader leaves the bytes alone; the cast is its signature's. */
	state->doc = yyjson_read_opts((char *)(uintptr_t)bytes.data, bytes.len, YYJSON_READ_NUMBER_AS_RAW, is_kept ? &alc : NULL, &err);
	if (state->doc)
		return 0;
	if (err.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION)
		return -ENOMEM;
	if (!text_is_utf8(bytes))
		return why_fail(why, EILSEQ, "the message is not valid UTF-8");
	return why_fail(why, EINVAL, "no JSON at byte %zu: %s", err.pos, err.msg);
}

static int refuse_at(const struct document *doc, const struct path_node *node, struct why *why, const char *what, const char *wants)
{
	struct buf path = { 0 };

	path_print(&doc->tree, node, &path);
	why_fail(why, EINVAL, "%.*s: %s%s", (int)path.len, path.data ? path.data : "", what, wants);
	buf_release(&path);
	return -EINVAL;
}

static int walk(const struct document *doc, const struct path_node *node, yyjson_val *val, struct why *why);

static int walk_object(const struct document *doc, const struct path_node *node, yyjson_val *val, struct why *why)
{
	yyjson_obj_iter it = yyjson_obj_iter_with(val);
	yyjson_val *key;
	int rc = 0;

	while (rc == 0 && (key = yyjson_obj_iter_next(&it))) {
		const struct path_node *child = path_find_name(&doc->tree, node, unsafe_yyjson_get_str(key), unsafe_yyjson_get_len(key));

		if (child)
			rc = walk(doc, child, yyjson_obj_iter_get_val(key), why);
	}
	return rc;
}

static int walk_array(const struct document *doc, const struct path_node *node, yyjson_val *val, struct why *why)
{
	const struct path_node *child = &doc->tree.nodes[node->first + node->names], *end = child + node->indexes;
	yyjson_arr_iter it = yyjson_arr_iter_with(val);
	uint32_t index = 0;
	yyjson_val *element;
	int rc = 0;

	while (rc == 0 && child < end && (element = yyjson_arr_iter_next(&it)))
		if (child->index == index++)
			rc = walk(doc, child++, element, why);
	return rc;
}

/* A value that stands where the tree has a node. The depth is that of the tree. */
static int walk(const struct document *doc, const struct path_node *node, yyjson_val *val, struct why *why)
{
	struct json_state *state = doc->state;

	if (node->leaf != PATH_NO_LEAF) {
		if (state->found[node->leaf])
			return refuse_at(doc, node, why, "it stands twice", "");
		state->found[node->leaf] = val;
	}
	if (!node->names && !node->indexes)
		return 0;
	if (yyjson_is_null(val))
		return 0;
	if (node->names && yyjson_is_obj(val))
		return walk_object(doc, node, val, why);
	if (node->indexes && yyjson_is_arr(val))
		return walk_array(doc, node, val, why);
	return refuse_at(doc, node, why, describe(val), node->names ? " where an object belongs" : " where an array belongs");
}

static int json_read(struct stream_mapping *map, struct document *doc, struct slice bytes, struct why *why)
{
	struct json_state *state = doc->state;
	int rc;

	(void)map;
	memset(state->found, 0, doc->tree.n_leaves * sizeof(*state->found));
	rc = parse(state, bytes, why);
	return rc < 0 ? rc : walk(doc, doc->tree.nodes, yyjson_doc_get_root(state->doc), why);
}

/* ---- leaves ---- */

static int json_part(const struct document *doc, unsigned leaf, struct buf *out, struct why *why)
{
	yyjson_val *val = find(doc, leaf);

	if (!val)
		return -ENOENT;
	if (yyjson_is_raw(val))
		return mapping_plain_integer(json_text(val), out, why);
	if (!yyjson_is_str(val))
		return why_fail(why, EINVAL, "JSON %s where a string or an integer belongs", describe(val));
	buf_append_slice(out, json_text(val));
	return buf_error(out);
}

static int json_time(const struct document *doc, unsigned leaf, enum moment_unit unit, int64_t *out_ns, struct why *why)
{
	yyjson_val *val = find(doc, leaf);

	if (!val)
		return -ENOENT;
	if (!yyjson_is_raw(val) && !yyjson_is_str(val))
		return why_fail(why, EINVAL, "JSON %s where a time belongs", describe(val));
	return moment_parse(json_text(val), unit, out_ns, why);
}

static bool json_matches(const struct document *doc, unsigned leaf, struct slice value)
{
	yyjson_val *val = find(doc, leaf);

	if (yyjson_is_str(val) || yyjson_is_raw(val))
		return slice_equal(json_text(val), value);
	if (yyjson_is_bool(val))
		return slice_equal(slice_str(yyjson_get_bool(val) ? "true" : "false"), value);
	return yyjson_is_null(val) && slice_equal(slice_str("null"), value);
}

static int json_value(const struct document *doc, unsigned leaf, const struct catalog_feature *feature, struct buf *out,
		      uint8_t *out_state, struct why *why)
{
	yyjson_val *val = find(doc, leaf);

	if (!val)
		return -ENOENT;
	*out_state = yyjson_is_null(val) ? RECORD_NULL : RECORD_PRESENT;
	return *out_state == RECORD_NULL ? 0 : type_json_parse(&feature->type, feature->nan, val, out, why);
}

const struct format format_json = {
	.name = "json", .has_paths = true, .prepare = json_prepare, .read = json_read, .done = json_done, .text = json_part, .time = json_time,
	.matches = json_matches, .value = json_value, .release = json_release,
};
