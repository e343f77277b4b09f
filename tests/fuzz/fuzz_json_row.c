/* SPDX-License-Identifier: MIT */
/* JSON rows from anywhere: reading one either fails with a reason or leaves a request that ingest can judge. */
#include <errno.h>
#include <stdint.h>
#include "../unit/world.h"
#include "lane/format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct world world;

static void end_world(void)
{
	world_end(&world);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct format_row row = { .event_ns = INGEST_NOW };
	struct ingest_request *req;
	struct why why = { "" };
	uint64_t number;
	struct catalog *cat;
	int rc;

	if (!world.ingest) {
		world_begin(&world, "fuzz");
		atexit(end_world);
	}
	cat = catalog_current_get(world.cur, &number);
	row.grp = catalog_find_id(cat, world.group_id);
	req = world_request(&world, RECORD_LANE_DIRECT);
	rc = format_json_row(&row, slice_of(data, size), req, &why);
	if (rc < 0 && rc != -ENOMEM && !why.text[0])
		abort();
	/* A row that was accepted goes all the way, so that ingest's judgement is fuzzed with it. */
	if (rc == 0)
		world_run(&world, req, NULL);
	else
		ingest_request_free(req);
	catalog_unref(cat);
	return 0;
}
