/* SPDX-License-Identifier: MIT */
/* A store with one group in a folder of its own, for tests of the rooms above store. */
#ifndef WORLD_H
#define WORLD_H

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "catalog/catalog.h"
#include "ingest/ingest.h"
#include "lane/lane.h"
#include "serve/serve.h"
#include "store/store.h"
#include "test.h"

struct world {
	char path[PATH_MAX];
	struct store_options store_options;
	struct ingest_options options;
	struct store *store;
	struct catalog_current *cur;
	struct ingest *ingest;
	struct direct lane;
	uint32_t group_id;
};

static const char world_schema[] =
	"[group]\nentity = user\nttl = 0\n"
	"[feature clicks]\ntype = int64\nmin = 0\n"
	"[feature ctr]\ntype = float64\n"
	"[feature name]\ntype = string\nmax_length = 20\n"
	"[feature vec]\ntype = float32[3]\n"
	"[feature must]\ntype = bool\nnot_null = yes\n";

enum { CLICKS, CTR, NAME, VEC, MUST };

static inline void world_open(struct world *world)
{
	struct why why = { "" };
	struct store_snap *snap;
	struct catalog *cat;

	if (store_open(world->path, &world->store_options, &world->store, &why) < 0) {
		fprintf(stderr, "store_open: %s\n", why.text);
		exit(1);
	}
	NEED(store_snap_begin(world->store, &snap) == 0);
	NEED(catalog_load(snap, &cat, &why) == 0);
	store_snap_end(snap);
	NEED(catalog_current_new(cat, &world->cur) == 0);
	NEED(ingest_start(world->store, world->cur, &world->options, &world->ingest, &why) == 0);
	world->lane = (struct direct){ world->store, world->cur, world->ingest };
}

static inline void world_close(struct world *world)
{
	ingest_stop(world->ingest);
	catalog_current_free(world->cur);
	CHECK_INT(store_close(world->store), 0);
}

static inline void world_reopen(struct world *world)
{
	world_close(world);
	world_open(world);
}

static inline int world_run(struct world *world, struct ingest_request *req, struct ingest_result *result)
{
	struct why why;
	int rc = ingest_run(world->ingest, req, result, &why);

	if (result)
		result->why = NULL;
	return rc;
}

static inline struct ingest_request *world_request(struct world *world, enum record_lane lane)
{
	struct ingest_request *req;

	NEED(ingest_request_new(world->ingest, lane, 0, 7, "test", &req) == 0);
	return req;
}

static inline void world_begin(struct world *world, const char *name)
{
	struct ingest_request *req;
	struct ingest_result result;
	const char *tmp = getenv("TMPDIR");

	snprintf(world->path, sizeof world->path, "%s/featurefs-%s-XXXXXX", tmp ? tmp : "/tmp", name);
	NEED(mkdtemp(world->path));
	if (!world->store_options.map_bytes)
		world->store_options = (struct store_options){
			.map_bytes = 64 << 20, .segment_bytes = 256 << 10, .log_bytes = 64 << 20, .checkpoint_ms = 200,
			.checkpoint_bytes = 4 << 20,
		};
	if (!world->options.future_ns) {
		world->options.future_ns = INT64_C(300) * 1000000000;
		world->options.tombstone_ns = INT64_C(3600) * 1000000000;
	}
	world_open(world);
	req = world_request(world, RECORD_LANE_DIRECT);
	ingest_request_group_make(req, slice_str("g"), 0, 0, 0755, "root");
	NEED(world_run(world, req, &result) == 0);
	world->group_id = result.group_id;
	req = world_request(world, RECORD_LANE_DIRECT);
	ingest_request_group_define(req, world->group_id, slice_str(world_schema));
	NEED(world_run(world, req, &result) == 0);
}

static inline void world_end(struct world *world)
{
	char command[PATH_MAX + 16];

	world_close(world);
	snprintf(command, sizeof command, "rm -rf '%s'", world->path);
	NEED(system(command) == 0);
}

/* One int64 of an entity; INT64_MIN stands for missing, INT64_MIN + 1 for null, INT64_MIN + 2 for expired. */
enum { MISSING = 0, NULLED = 1, EXPIRED = 2 };
#define GONE(kind) (INT64_MIN + (kind))

static inline int64_t world_int(struct world *world, const char *entity, uint16_t slot, struct record_stamp *stamp)
{
	const struct catalog_group *grp;
	int64_t number = GONE(MISSING);
	struct serve_value value;
	struct serve_view view;
	struct record row;

	NEED(serve_begin(world->store, world->cur, &view) == 0);
	grp = catalog_find_id(view.cat, world->group_id);
	if (grp && serve_row(&view, grp, slice_str(entity), &row) == 0) {
		serve_value(&view, grp, &row, catalog_feature_at(grp, slot), &value);
		if (value.status == SERVE_PRESENT)
			memcpy(&number, value.value.data, sizeof number);
		else if (value.status != SERVE_MISSING)
			number = value.status == SERVE_NULL ? GONE(NULLED) : GONE(EXPIRED);
		if (stamp)
			*stamp = value.stamp;
	}
	serve_end(&view);
	return number;
}

/* One int64 put by a lane, with its result. */
static inline int world_put(struct world *world, enum record_lane lane, const char *entity, uint16_t slot, int64_t number,
			    int64_t event_ns, unsigned flags, struct ingest_result *result)
{
	struct ingest_request *req = world_request(world, lane);

	ingest_request_row(req, world->group_id, slice_str(entity), event_ns, flags, 0);
	ingest_request_value(req, slot, type_code(&(struct type){ .base = TYPE_INT64 }), slice_of(&number, sizeof number));
	return world_run(world, req, result);
}

#endif
