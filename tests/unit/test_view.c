/* SPDX-License-Identifier: MIT */
/* Views: defined against the catalog, kept through restarts, true to what they meant when groups are renamed, refused when they can't be read. */
#include <errno.h>
#include "world.h"

static int make_view(struct world *world, const char *name, uint32_t *out_id)
{
	struct ingest_request *req = world_request(world, RECORD_LANE_DIRECT);
	struct ingest_result result;
	int rc;

	ingest_request_view_make(req, slice_str(name), 0, 0, 0755, "ann");
	rc = world_run(world, req, &result);
	*out_id = result.group_id;
	return rc;
}

static uint32_t make_group(struct world *world, const char *name, const char *schema)
{
	struct ingest_request *req = world_request(world, RECORD_LANE_DIRECT);
	struct ingest_result result;
	uint32_t id;

	ingest_request_group_make(req, slice_str(name), 0, 0, 0755, "ann");
	NEED(world_run(world, req, &result) == 0);
	id = result.group_id;
	req = world_request(world, RECORD_LANE_DIRECT);
	ingest_request_group_define(req, id, slice_str(schema));
	NEED(world_run(world, req, &result) == 0);
	return id;
}

static int define(struct world *world, uint32_t id, const char *text, struct why *why)
{
	struct ingest_request *req = world_request(world, RECORD_LANE_DIRECT);

	ingest_request_group_define(req, id, slice_str(text));
	why->text[0] = '\0';
	return ingest_run(world->ingest, req, NULL, why);
}

static const struct catalog_group *view_of(struct world *world, const char *name, struct catalog **out_cat)
{
	uint64_t number;

	*out_cat = catalog_current_get(world->cur, &number);
	return catalog_find_view(*out_cat, slice_str(name));
}

static void check_text(struct world *world, const char *name, const char *expected)
{
	struct catalog *cat;
	const struct catalog_group *view = view_of(world, name, &cat);
	struct buf text = { 0 };

	NEED(view);
	CHECK_INT(catalog_view_print(cat, view, &text), 0);
	CHECK_TEXT(buf_slice(&text), expected);
	buf_release(&text);
	catalog_unref(cat);
}

static int check_readable(struct world *world, const char *name, struct why *why)
{
	struct catalog *cat;
	const struct catalog_group *view = view_of(world, name, &cat);
	int rc = catalog_view_check(cat, view, why);

	catalog_unref(cat);
	return rc;
}

static const char items[] = "[group]\nentity = item, day\n[feature price]\ntype = float64\n[feature stock]\ntype = int32\n";

static void test_define(void)
{
	struct world world = { 0 };
	struct catalog *cat;
	const struct catalog_group *view;
	struct why why;
	uint32_t id, other;

	world_begin(&world, "view");
	make_group(&world, "items", items);
	CHECK_INT(make_view(&world, "ranking", &id), 0);
	CHECK_INT(make_view(&world, "ranking", &other), -EEXIST);
	CHECK_INT(make_view(&world, "g", &other), 0);		/* groups and views have names of their own */
	check_text(&world, "ranking", "[view]\nentity = entity\nowner = ann\n");
	CHECK_INT(define(&world, id, "[view]\ndescription = what ranking reads\n[columns]\nclicks = g/clicks\nprice = items/price\n"
			 "vec = g/vec\n", &why), 0);
	check_text(&world, "ranking", "[view]\nentity = user, item, day\nowner = ann\ndescription = what ranking reads\n\n"
		   "[columns]\nclicks = g/clicks\nprice = items/price\nvec = g/vec\n");
	view = view_of(&world, "ranking", &cat);
	CHECK_INT(view->view->n_sources, 2);
	CHECK_INT(view->view->columns[2].source, 0);
	CHECK_INT(view->view->columns[2].slot, VEC);
	CHECK_INT(view->view->sources[1].n_parts, 2);
	CHECK_INT(view->view->sources[1].parts[0], 1);
	CHECK_INT(view->view->sources[1].parts[1], 2);
	CHECK_INT(catalog_view_check(cat, view, &why), 0);
	CHECK(!catalog_find(cat, slice_str("ranking")) && catalog_find_id(cat, id) == view);
	CHECK_INT(cat->n_groups, 2);
	CHECK_INT(cat->n_views, 2);
	catalog_unref(cat);

	CHECK_INT(define(&world, id, "[view]\nentity = who, item, day\n[columns]\nc = g/clicks\np = items/price\n[keys]\ng = who\n", &why), 0);
	check_text(&world, "ranking", "[view]\nentity = who, item, day\nowner = ann\n\n[columns]\nc = g/clicks\np = items/price\n\n"
		   "[keys]\ng = who\n");
	world_reopen(&world);
	check_text(&world, "ranking", "[view]\nentity = who, item, day\nowner = ann\n\n[columns]\nc = g/clicks\np = items/price\n\n"
		   "[keys]\ng = who\n");
	world_end(&world);
}

static void refused(struct world *world, uint32_t id, const char *text, const char *reason)
{
	struct why why;

	CHECK_INT(define(world, id, text, &why), -EINVAL);
	if (!strstr(why.text, reason))
		printf("# said: %s\n", why.text);
	CHECK(strstr(why.text, reason));
}

static void test_refused(void)
{
	struct world world = { 0 };
	struct ingest_request *req;
	struct ingest_result result;
	uint32_t id;

	world_begin(&world, "view");
	make_group(&world, "items", items);
	NEED(make_view(&world, "v", &id) == 0);
	refused(&world, id, "[view]\n[columns]\nc = g/clacks\n", "group g has no feature clacks");
	refused(&world, id, "[view]\n[columns]\nc = h/clicks\n", "there is no group h");
	refused(&world, id, "[view]\n[columns]\nc = clicks\n", "is not GROUP/FEATURE");
	refused(&world, id, "[view]\n[columns]\nc = g/clicks\nc = g/ctr\n", "c");
	refused(&world, id, "[view]\n[columns]\nc = g/clicks\n[columns]\nc = g/ctr\n", "[columns] stands twice");
	refused(&world, id, "[view]\n[view]\n[columns]\nc = g/clicks\n", "[view] stands twice");
	refused(&world, id, "[view]\nttl = 3d\n", "[view] has no key \"ttl\"");
	refused(&world, id, "[group]\nowner = x\n", "a view has no section [group]");
	refused(&world, id, "[store]\nid = 1\n", "a view has no section [store]");
	refused(&world, id, "[view]\nentity = user\n[columns]\np = items/price\n", "not among the view's keys (user)");
	refused(&world, id, "[view]\n[columns]\nc = g/clicks\n[keys]\nitems = user, user\n", "no column is of that group");
	refused(&world, id, "[view]\nentity = a, b\n[columns]\np = items/price\n[keys]\nitems = a\n", "named by 2 parts, not 1");
	check_text(&world, "v", "[view]\nentity = entity\nowner = ann\n");
	/* A view has no rows. */
	req = world_request(&world, RECORD_LANE_DIRECT);
	ingest_request_make_entity(req, id, slice_str("u"));
	CHECK_INT(world_run(&world, req, &result), -ENOENT);
	world_end(&world);
}

static void rename_group(struct world *world, uint32_t id, const char *name)
{
	struct ingest_request *req = world_request(world, RECORD_LANE_DIRECT);

	ingest_request_group_rename(req, id, slice_str(name), false);
	CHECK_INT(world_run(world, req, NULL), 0);
}

static void test_changes(void)
{
	struct world world = { 0 };
	struct ingest_request *req;
	struct catalog *cat;
	struct why why;
	uint32_t id, items_id;

	world_begin(&world, "view");
	items_id = make_group(&world, "items", items);
	NEED(make_view(&world, "v", &id) == 0);
	NEED(define(&world, id, "[view]\n[columns]\nprice = items/price\nstock = items/stock\n", &why) == 0);
	rename_group(&world, items_id, "goods");
	rename_group(&world, id, "w");
	check_text(&world, "w", "[view]\nentity = item, day\nowner = ann\n\n[columns]\nprice = goods/price\nstock = goods/stock\n");
	NEED(define(&world, items_id, "[group]\nentity = item, day\n[feature price]\ntype = float64\n[feature stock]\ntype = int32\nretired = yes\n",
		    &why) == 0);
	CHECK_INT(check_readable(&world, "w", &why), -ESTALE);
	CHECK(strstr(why.text, "feature stock of goods (column stock) is retired"));
	refused(&world, id, "[view]\n[columns]\nstock = goods/stock\n", "is retired");
	NEED(define(&world, id, "[view]\n[columns]\nprice = goods/price\n", &why) == 0);
	CHECK_INT(check_readable(&world, "w", &why), 0);
	req = world_request(&world, RECORD_LANE_DIRECT);
	ingest_request_group_remove(req, items_id);
	CHECK_INT(world_run(&world, req, NULL), 0);
	world_reopen(&world);
	CHECK_INT(check_readable(&world, "w", &why), -ESTALE);
	CHECK(strstr(why.text, "group items was removed") || strstr(why.text, "group goods was removed"));
	req = world_request(&world, RECORD_LANE_DIRECT);
	ingest_request_group_remove(req, id);
	CHECK_INT(world_run(&world, req, NULL), 0);
	CHECK(!view_of(&world, "w", &cat));
	catalog_unref(cat);
	CHECK(ingest_sweep(world.ingest) >= 0);
	world_end(&world);
}

int main(void)
{
	test_define();
	test_refused();
	test_changes();
	return test_end("view");
}
