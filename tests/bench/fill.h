/* SPDX-License-Identifier: MIT */
/*
 * The data of all benchmarks: one group of N entities, each a row of ten features: four float64, three int64, two
 * strings of 12 bytes, one bool. BENCH_INT holds BENCH_TEXT in every row, so that a file's text is what the null file
 * system gives.
 */
#ifndef FILL_H
#define FILL_H

#include <stdint.h>
#include <stdio.h>
#include "names.h"
#include "catalog/catalog.h"
#include "ingest/ingest.h"
#include "store/store.h"

enum { BENCH_STRING = 12 };

static inline const char *bench_feature_type(unsigned k)
{
	return k < 4 ? "float64" : k < 7 ? "int64" : k < 9 ? "string" : "bool";
}

/* The stored bytes of a new value of feature k, made from `seed`. */
static inline struct slice bench_value(unsigned k, uint64_t seed, char out[16])
{
	static const char digits[] = "0123456789abcdef";
	double number = (double)(seed % 1000000) / 1000;
	uint64_t whole = BENCH_WHOLE + seed % 9000000;

	if (k < 4) {
		memcpy(out, &number, sizeof(number));
		return slice_of(out, sizeof(number));
	}
	if (k < 7) {
		memcpy(out, &whole, sizeof(whole));
		return slice_of(out, sizeof(whole));
	}
	if (k < 9) {
		for (unsigned i = 0; i < BENCH_STRING; i++)
			out[i] = digits[seed >> (i * 4) & 15];
		return slice_of(out, BENCH_STRING);
	}
	out[0] = seed & 1;
	return slice_of(out, 1);
}

/* An open store with its catalog and its ingest, as the daemon wires them, and the group's numbers. */
struct bench_store {
	struct store *store;
	struct catalog_current *cur;
	struct ingest *ingest;
	uint32_t group_id, rows;
	uint16_t slot[BENCH_FEATURES];
	uint8_t code[BENCH_FEATURES];
};

/* The daemon's defaults. */
static inline struct store_options bench_store_options(void)
{
	return (struct store_options){ .map_bytes = UINT64_C(64) << 30, .segment_bytes = 16 << 20, .log_bytes = UINT64_C(4) << 30,
				       .checkpoint_ms = 2000, .checkpoint_bytes = 64 << 20 };
}

static inline void bench_request(struct bench_store *bs, struct ingest_request **out)
{
	if (ingest_request_new(bs->ingest, RECORD_LANE_DIRECT, 0, 0, "bench", out) < 0)
		bench_die("no request");
}

static inline struct ingest_result bench_commit(struct bench_store *bs, struct ingest_request *req)
{
	struct ingest_result result;
	struct why why = { "" };
	int rc = ingest_run(bs->ingest, req, &result, &why);

	if (rc < 0)
		bench_die("commit: %s: %s", strerror(-rc), why.text);
	return result;
}

static inline void bench_define(struct bench_store *bs)
{
	struct ingest_request *req;
	struct buf text = { 0 };

	bench_request(bs, &req);
	if (ingest_request_group_make(req, slice_str(BENCH_GROUP), 0, 0, 0755, "bench") < 0)
		bench_die("cannot make the group");
	bs->group_id = bench_commit(bs, req).group_id;
	buf_append_str(&text, "[group]\nentity = id\n");
	for (unsigned k = 0; k < BENCH_FEATURES; k++)
		buf_printf(&text, "[feature f%u]\ntype = %s\n", k, bench_feature_type(k));
	if (buf_error(&text) < 0)
		bench_die("out of memory");
	bench_request(bs, &req);
	if (ingest_request_group_define(req, bs->group_id, buf_slice(&text)) < 0)
		bench_die("cannot define the group");
	bench_commit(bs, req);
	buf_release(&text);
}

static inline void bench_learn(struct bench_store *bs)
{
	uint64_t number;
	struct catalog *cat = catalog_current_get(bs->cur, &number);
	const struct catalog_group *grp = catalog_find(cat, slice_str(BENCH_GROUP));
	char name[BENCH_NAME_MAX];

	if (!grp)
		bench_die("the store has no group " BENCH_GROUP);
	bs->group_id = grp->id;
	bs->rows = grp->rows;
	for (unsigned k = 0; k < BENCH_FEATURES; k++) {
		const struct catalog_feature *feature;

		bench_feature_name(k, name);
		feature = catalog_find_feature(grp, slice_str(name));
		if (!feature)
			bench_die("the group has no feature %s", name);
		bs->slot[k] = feature->slot;
		bs->code[k] = type_code(&feature->type);
	}
	catalog_unref(cat);
}

/* Opens; the group is made if `is_new`. */
static inline void bench_store_open(struct bench_store *bs, const char *path, const struct store_options *options, bool is_new)
{
	struct ingest_options how = { .future_ns = 300 * CLOCK_SECOND, .tombstone_ns = 7 * 86400 * CLOCK_SECOND,
				     .overlay_percent = 10, .overlay_ns = 3 * 3600 * CLOCK_SECOND };
	struct store_snap *snap = NULL;
	struct catalog *cat = NULL;
	struct why why = { "" };

	*bs = (struct bench_store){ 0 };
	if (store_open(path, options, &bs->store, &why) < 0 || store_snap_begin(bs->store, &snap) < 0 ||
	    catalog_load(snap, &cat, &why) < 0)
		bench_die("cannot open %s: %s", path, why.text);
	store_snap_end(snap);
	if (catalog_current_new(cat, &bs->cur) < 0 || ingest_start(bs->store, bs->cur, &how, &bs->ingest, &why) < 0)
		bench_die("cannot start ingest: %s", why.text);
	if (is_new)
		bench_define(bs);
	bench_learn(bs);
}

static inline void bench_store_close(struct bench_store *bs)
{
	int rc;

	ingest_stop(bs->ingest);
	catalog_current_free(bs->cur);
	rc = store_close(bs->store);
	if (rc < 0)
		bench_die("cannot close the store: %s", strerror(-rc));
}

/* Adds the first `features` values of entity i to the request. */
static inline void bench_add_row(struct bench_store *bs, struct ingest_request *req, uint64_t i, unsigned features)
{
	char name[BENCH_NAME_MAX], value[16];
	uint64_t seed = (i + 1) * UINT64_C(0x9e3779b97f4a7c15);

	bench_entity_name(i, name);
	if (ingest_request_row(req, bs->group_id, slice_str(name), INGEST_NOW, 0, 0) < 0)
		bench_die("cannot add a row");
	for (unsigned k = 0; k < features; k++)
		if (ingest_request_value(req, bs->slot[k], bs->code[k], bench_value(k, k == BENCH_INT ? 1 : seed, value)) < 0)
			bench_die("cannot add a value");
}

/* Makes a store of `entities` rows at `path`, relaxed, for nobody waits for it; it is whole when this returns. */
static inline void bench_fill(const char *path, uint64_t entities, unsigned features)
{
	enum { ROWS = 5000 };
	struct store_options options = bench_store_options();
	struct bench_store bs;

	options.relaxed = true;
	bench_store_open(&bs, path, &options, true);
	for (uint64_t i = 0; i < entities;) {
		struct ingest_request *req;
		uint64_t end = i + ROWS < entities ? i + ROWS : entities;

		bench_request(&bs, &req);
		for (; i < end; i++)
			bench_add_row(&bs, req, i, features);
		bench_commit(&bs, req);
	}
	bench_store_close(&bs);
}

#endif
