/* SPDX-License-Identifier: MIT */
/*
 * Many rows at once. A random row of a large map costs a chain of cache misses: on each level of the tree every probe of the search waits for
 * the one before. Here the searches for some dozens of keys go through the tree side by side, a probe each in turn, and each asks
 * for the memory of its next probe before the others have theirs; so the misses of all of them are on their way at the same time. That
 * is several times faster than one mdb_get after the other, and mdb_get can't be told to do it.
 *
 * So the pages are read here as LMDB lays them out, from a snapshot that LMDB keeps (its reader slot is what makes that safe). The layout has
 * been the same for all of LMDB 0.9, and the map's own number for it is checked (by the meta page, as the checkpoint does); where anything is
 * not as it should be, mdb_get answers instead. All integers are in the machine's order, which is little-endian here.
 *
 *	page	number 8, pad 2, flags 2, lower 2, upper 2, then an offset (2) of each node, in order of keys; lower is where they end
 *	node	lo 2, hi 2, flags 2, length of key 2, key, data. In a branch lo, hi and flags are the number of the child's page, and the first
 *		key is not looked at: all that is smaller goes there. In a leaf lo and hi are the data's length; with flag 1 the data is
 *		the number of the first of the pages that hold it, behind one header.
 *	table	(the data of its name in the main table) pad 4, flags 2, depth 2, counts 8 x 4, number of the root's page 8
 */
#include <endian.h>
#include <errno.h>
#include <unistd.h>
#include "store/env.h"
#include "store/key.h"
#include "store/le.h"

enum {
	AT_ONCE = 32,			/* more don't help: a core waits for some ten lines at a time */
	PAGE_HEADER = 16, NODE_HEADER = 8,
	PAGE_FLAGS_AT = 10, PAGE_LOWER_AT = 12,
	IS_BRANCH = 1, IS_LEAF = 2, HAS_BIG_DATA = 1,
	TABLE_LEN = 48, TABLE_DEPTH_AT = 6, TABLE_ROOT_AT = 40,
	MAGIC_AT = 16, VERSION_AT = 20, LAYOUT = 1,
	DEPTH_MAX = 32,
	LINE = 64, LINES_MAX = 8,	/* bytes that a core fetches at once; of larger rows the processor guesses the rest */
};

#define MAGIC 0xBEEFC0DEu

/* ---- where the tree of rows begins ---- */

/* Learned once for each state of the map. False: ask mdb_get. */
static bool learn_tree(struct store_snap *snap)
{
	struct store *store = snap->store;
	struct tree *tree = &snap->tree;
	MDB_val key = env_val(slice_str("rows")), value;
	const uint8_t *page;
	MDB_envinfo info;
	MDB_dbi main_table;

	*tree = (struct tree){ .txnid = mdb_txn_id(snap->txn), .moves = atomic_load(&store->moves), .is_known = true };
	/* Pages are aligned in memory as they are in the file only if the system's are as large. */
	if (store->page_bytes != (size_t)sysconf(_SC_PAGESIZE) || mdb_dbi_open(snap->txn, NULL, 0, &main_table) ||
	    mdb_get(snap->txn, main_table, &key, &value) || value.mv_size != TABLE_LEN || mdb_env_info(store->env, &info))
		return false;
	page = (const uint8_t *)((uintptr_t)value.mv_data & ~(uintptr_t)(store->page_bytes - 1));
	tree->base = page - le_get64(page) * store->page_bytes;
	tree->pages = info.me_mapsize / store->page_bytes;
	tree->depth = le_get16((const uint8_t *)value.mv_data + TABLE_DEPTH_AT);
	tree->root = le_get64((const uint8_t *)value.mv_data + TABLE_ROOT_AT);
	tree->is_usable = le_get32(tree->base + MAGIC_AT) == MAGIC && le_get32(tree->base + VERSION_AT) == LAYOUT && tree->depth > 0 &&
			  tree->depth <= DEPTH_MAX && tree->root < tree->pages;
	return tree->is_usable;
}

static inline bool has_tree(struct store_snap *snap)
{
	const struct tree *tree = &snap->tree;

	if (tree->is_known && tree->txnid == mdb_txn_id(snap->txn) && tree->moves == atomic_load_explicit(&snap->store->moves, memory_order_relaxed))
		return tree->is_usable;
	return learn_tree(snap);
}

/* ---- searching ---- */

/* A search on its way. `low` is at or before what is looked for, `high` behind it. */
struct probe {
	const uint8_t *page, *key;
	uint32_t len;
	int low, high;
	uint64_t head, mid, tail;	/* the first, the next and the last eight bytes of the key, as numbers that compare as they do */
};

static inline const uint8_t *node_at(const uint8_t *page, int i)
{
	return page + le_get16(page + PAGE_HEADER + 2 * (size_t)i);
}

/* A short key may lie across two lines. */
static inline void fetch_node(const uint8_t *page, int i)
{
	const uint8_t *node = node_at(page, i);

	__builtin_prefetch(node);
	__builtin_prefetch(node + NODE_HEADER + 16);
}

static inline uint64_t eight_of(const uint8_t *bytes)
{
	uint64_t eight;

	memcpy(&eight, bytes, sizeof eight);
	return be64toh(eight);
}

/* Where the second eight bytes of a key are: of one that has no more than 16, the last ones. */
static inline size_t mid_at(size_t len)
{
	return len >= 16 ? 8 : len - 8;
}

/* Is the node's key at or before the probe's? Most keys of a table are as long as each other, and short: then three words of them, which may
 * overlap, say it without a branch that the processor would guess wrong every other time. */
static inline bool is_before(const uint8_t *node, const struct probe *probe)
{
	size_t len = le_get16(node + 6), common;
	const uint8_t *bytes = node + NODE_HEADER;
	int order;

	if (__builtin_expect(len == probe->len && len >= 8 && len <= 24, 1)) {
		uint64_t head = eight_of(bytes), mid = eight_of(bytes + mid_at(len)), tail = eight_of(bytes + len - 8);

		return (head < probe->head) |
		       ((head == probe->head) & ((mid < probe->mid) | ((mid == probe->mid) & (tail <= probe->tail))));
	}
	common = len < probe->len ? len : probe->len;
	order = memcmp(bytes, probe->key, common);
	return order < 0 || (order == 0 && len <= probe->len);
}

static inline int middle(const struct probe *probe)
{
	return (int)((unsigned)(probe->low + probe->high) / 2);
}

/* Begins on a page that is on its way to memory. False if it isn't what it should be. */
static inline bool enter_page(struct probe *probe, size_t page_bytes, bool is_leaf)
{
	const uint8_t *page = probe->page;
	unsigned lower = le_get16(page + PAGE_LOWER_AT);

	if (!(le_get16(page + PAGE_FLAGS_AT) & (is_leaf ? IS_LEAF : IS_BRANCH)) || lower < PAGE_HEADER + 2 || lower > page_bytes)
		return false;
	/* The first key of a leaf is looked at, too, but at the end. */
	probe->low = 0;
	probe->high = (int)(lower - PAGE_HEADER) / 2;
	return true;
}

/* One step of a search. Both outcomes are computed and one is taken, for there is no guessing which. */
static inline bool step(struct probe *probe)
{
	int mid = middle(probe), low = probe->low, high = probe->high;
	bool before;

	if (high - low <= 1)
		return false;
	before = is_before(node_at(probe->page, mid), probe);
	probe->low = low = before ? mid : low;
	probe->high = high = before ? high : mid;
	if (high - low <= 1)
		return false;
	fetch_node(probe->page, (int)((unsigned)(low + high) / 2));
	return true;
}

/* All searches through the pages that they are on, side by side. */
static inline void search_pages(struct probe *probes, size_t n)
{
	bool goes_on = true;

	for (size_t i = 0; i < n; i++)
		fetch_node(probes[i].page, middle(&probes[i]));
	while (goes_on) {
		goes_on = false;
		for (size_t i = 0; i < n; i++)
			goes_on |= step(&probes[i]);
	}
}

static const uint8_t *page_at(const struct tree *tree, uint64_t number, size_t page_bytes)
{
	return number < tree->pages ? tree->base + number * page_bytes : NULL;
}

static int descend(const struct store_snap *snap, struct probe *probes, size_t n)
{
	const struct tree *tree = &snap->tree;
	size_t page_bytes = snap->store->page_bytes;

	for (size_t i = 0; i < n; i++)
		probes[i].page = page_at(tree, tree->root, page_bytes);
	for (unsigned level = 1; level <= tree->depth; level++) {
		for (size_t i = 0; i < n; i++)
			if (!enter_page(&probes[i], page_bytes, level == tree->depth))
				return -EBADMSG;
		search_pages(probes, n);
		for (size_t i = 0; i < n && level < tree->depth; i++) {
			const uint8_t *node = node_at(probes[i].page, probes[i].low);

			probes[i].page = page_at(tree, le_get32(node) | (uint64_t)le_get16(node + 4) << 32, page_bytes);
			if (!probes[i].page)
				return -EBADMSG;
			__builtin_prefetch(probes[i].page);
			__builtin_prefetch(probes[i].page + LINE);
		}
	}
	return 0;
}

static void fetch(struct slice bytes)
{
	const char *at = bytes.data;
	size_t len = bytes.len < LINE * LINES_MAX ? bytes.len : LINE * LINES_MAX;

	for (size_t i = 0; i < len; i += LINE)
		__builtin_prefetch(at + i);
}

/* The value of the node that the search ended at, if it has the key itself. */
static struct slice take_value(const struct store_snap *snap, const struct probe *probe)
{
	const uint8_t *node = node_at(probe->page, probe->low), *data;

	if (le_get16(node + 6) != probe->len || memcmp(node + NODE_HEADER, probe->key, probe->len))
		return slice_of(NULL, 0);
	data = node + NODE_HEADER + probe->len;
	if (le_get16(node + 4) & HAS_BIG_DATA)
		data = snap->tree.base + le_get64(data) * snap->store->page_bytes + PAGE_HEADER;
	return slice_of(data, le_get32(node));
}

/* An entity that can't be a key is looked for as one that can't be there. */
static void set_key(struct probe *probe, struct key *key, uint32_t rows, struct slice entity)
{
	if (key_encode(rows, entity, key) < 0)
		key_first(rows, key);
	probe->key = key->data;
	probe->len = (uint32_t)key->len;
	if (key->len >= 8) {
		probe->head = eight_of(key->data);
		probe->mid = eight_of(key->data + mid_at(key->len));
		probe->tail = eight_of(key->data + key->len - 8);
	}
}

static int get_each(struct store_snap *snap, uint32_t rows, const struct slice *entities, size_t n, struct slice *out)
{
	for (size_t i = 0; i < n; i++) {
		int rc = store_get_row(snap, rows, entities[i], &out[i]);

		if (rc == -ENOENT)
			out[i] = slice_of(NULL, 0);
		else if (rc < 0)
			return rc;
	}
	return 0;
}

int store_get_rows(struct store_snap *snap, uint32_t rows, const struct slice *entities, size_t n, struct slice *out)
{
	struct probe probes[AT_ONCE];
	struct key keys[AT_ONCE];

	for (size_t begin = 0; begin < n; begin += AT_ONCE) {
		size_t count = n - begin < AT_ONCE ? n - begin : AT_ONCE;
		int rc = 0;

		if (!has_tree(snap))
			return get_each(snap, rows, entities + begin, n - begin, out + begin);
		for (size_t i = 0; i < count; i++)
			set_key(&probes[i], &keys[i], rows, entities[begin + i]);
		rc = descend(snap, probes, count);
		if (rc < 0)
			return get_each(snap, rows, entities + begin, n - begin, out + begin);
		for (size_t i = 0; i < count; i++) {
			out[begin + i] = take_value(snap, &probes[i]);
			fetch(out[begin + i]);
		}
	}
	return 0;
}
