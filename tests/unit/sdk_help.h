/* SPDX-License-Identifier: MIT */
/* What the tests of the client library share: a store in a folder. The writer is always another process, for LMDB can't be opened twice in one. */
#ifndef SDK_HELP_H
#define SDK_HELP_H

#include <errno.h>
#include <featurefs.h>
#include <sys/wait.h>
#include <time.h>
#include "sdk/private.h"
#include "world.h"

static struct world world;		/* path and options; opened by the writer's process */

/* Runs `act` in a process that has the store open for writing. */
static inline void write_by(void (*act)(struct world *world))
{
	int status;
	pid_t pid = fork();

	NEED(pid >= 0);
	if (pid == 0) {
		test_failures = 0;
		world_open(&world);
		act(&world);
		world_close(&world);
		_exit(test_failures != 0);
	}
	NEED(waitpid(pid, &status, 0) == pid);
	CHECK_INT(status, 0);
}

static inline void make_group(struct world *w, const char *name, const char *schema)
{
	struct ingest_request *req = world_request(w, RECORD_LANE_DIRECT);
	struct ingest_result result;

	ingest_request_group_make(req, slice_str(name), 0, 0, 0755, "root");
	NEED(world_run(w, req, &result) == 0);
	req = world_request(w, RECORD_LANE_DIRECT);
	ingest_request_group_define(req, result.group_id, slice_str(schema));
	NEED(world_run(w, req, &result) == 0);
}

static inline void define(struct world *w, const char *name, const char *schema)
{
	struct ingest_request *req = world_request(w, RECORD_LANE_DIRECT);
	struct ingest_result result;
	uint64_t number;
	struct catalog *cat = catalog_current_get(w->cur, &number);

	ingest_request_group_define(req, catalog_find(cat, slice_str(name))->id, slice_str(schema));
	NEED(world_run(w, req, &result) == 0);
	catalog_unref(cat);
}

static inline void upsert_done(void *arg, int rc)
{
	*(int *)arg = rc;
}

/* Lines of JSON, as .upsert takes them. */
static inline void upsert(struct world *w, const char *name, const char *lines)
{
	struct direct_origin origin = { .uid = 7, .event_ns = INGEST_NOW };
	uint64_t number;
	struct catalog *cat = catalog_current_get(w->cur, &number);
	int rc = 1;

	direct_upsert(&w->lane, &origin, catalog_find(cat, slice_str(name))->id, slice_str(lines), upsert_done, &rc);
	while (rc == 1)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	NEED(rc == 0);
	catalog_unref(cat);
}

static const char kinds_schema[] =
	"[group]\nentity = user\nttl = 1d\n"
	"[feature b]\ntype = bool\n[feature i]\ntype = int32\n[feature l]\ntype = int64\n[feature f]\ntype = float32\nnan = yes\n"
	"[feature d]\ntype = float64\n[feature t]\ntype = timestamp\n[feature s]\ntype = string\n[feature y]\ntype = bytes\n"
	"[feature j]\ntype = json\n[feature v]\ntype = float32[3]\n[feature a]\ntype = int64[]\n[feature n]\ntype = string[]\n";

static inline void make_kinds(struct world *w)
{
	make_group(w, "kinds", kinds_schema);
	make_group(w, "items", "[group]\nentity = item\n[feature price]\ntype = float64\n[feature stock]\ntype = int64\n");
	make_group(w, "affinity", "[group]\nentity = user, item\n[feature score]\ntype = float32\n");
	upsert(w, "kinds",
	       "{\"entity\":\"u1\",\"features\":{\"b\":true,\"i\":-7,\"l\":9007199254740993,\"f\":0.1,\"d\":2.5,"
	       "\"t\":\"2026-11-23T04:00:00.000001Z\",\"s\":\"gr\\u00fcn\",\"y\":\"AAEC\",\"j\":{\"x\":[1,2]},\"v\":[1,2,3],\"a\":[5,6],"
	       "\"n\":[\"p\",\"q\"]}}\n"
	       "{\"entity\":\"u2\",\"features\":{\"i\":null,\"l\":5,\"s\":\"\",\"a\":[],\"f\":\"NaN\"}}\n"
	       "{\"entity\":\"42\",\"features\":{\"l\":42}}\n"
	       "{\"entity\":\"a%2Fb\",\"features\":{\"l\":43}}\n");
	upsert(w, "items", "{\"entity\":\"x\",\"features\":{\"price\":1.5,\"stock\":3}}\n{\"entity\":\"7\",\"features\":{\"price\":7.5}}\n");
	upsert(w, "affinity", "{\"entity\":\"u1,x\",\"features\":{\"score\":0.5}}\n{\"entity\":\"42,7\",\"features\":{\"score\":0.75}}\n");
}

static inline struct featurefs *open_it(void)
{
	struct featurefs *fs = NULL;
	int rc = featurefs_open(world.path, FEATUREFS_MAP_ONLY, &fs);

	if (rc < 0)
		fprintf(stderr, "%s\n", featurefs_error());
	NEED(rc == 0);
	return fs;
}

static inline struct featurefs_view *view_of(struct featurefs *fs, const char *const *features, size_t n)
{
	struct featurefs_view *view = NULL;
	int rc = featurefs_view_new(fs, features, n, &view);

	if (rc < 0)
		fprintf(stderr, "%s\n", featurefs_error());
	NEED(rc == 0);
	return view;
}

static inline void refuse(struct featurefs *fs, const char *feature, int rc, const char *words)
{
	struct featurefs_view *view = NULL;

	CHECK_INT(featurefs_view_new(fs, &feature, 1, &view), rc);
	if (!strstr(featurefs_error(), words))
		fprintf(stderr, "%s: %s\n", feature, featurefs_error());
	CHECK(strstr(featurefs_error(), words) != NULL);
	CHECK(view == NULL);
}

/* The first writer makes the store; its child opens it again. */
static inline void sdk_help_begin(const char *name)
{
	world_begin(&world, name);
	make_kinds(&world);
	world_close(&world);
}

#endif
