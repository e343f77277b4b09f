/* SPDX-License-Identifier: MIT */
/*
 * Loads against a model: the model takes a load's rows at the moment of publishing, one after the other, by the order rule as the manual tells
 * it; the load itself has judged them long before, while direct writes, deletions and forced ones went on. What stands afterwards
 * must be the same to the last stamp, and so must the figures and the group's counters.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include "base/clock.h"
#include "ingest/loading.h"
#include "world.h"

enum { ENTITIES = 48, SLOTS = 2 };

#define HOUR_NS INT64_C(3600000000000)

/* ---- the model ---- */

struct cell {
	uint8_t state;		/* enum record_state; ABSENT: none */
	int64_t value, event_ns;
};

struct row {
	bool exists, has_tomb;
	int64_t tomb_ns;
	struct cell cells[SLOTS];
};

struct model {
	struct row rows[ENTITIES];
};

/* What a change of a slot meets: its cell, or the entity's tombstone if that is newer. */
static struct cell met(const struct row *row, unsigned slot)
{
	const struct cell *cell = &row->cells[slot];

	if (row->has_tomb && (!cell->state || row->tomb_ns > cell->event_ns))
		return (struct cell){ RECORD_DELETED, 0, row->tomb_ns };
	return *cell;
}

static void set_cell(struct row *row, unsigned slot, struct cell cell)
{
	row->cells[slot] = cell;
	if (cell.state != RECORD_DELETED)
		row->exists = true;
}

static void put_cell(struct row *row, unsigned slot, struct cell cell, bool force)
{
	struct cell old = met(row, slot);

	if (!old.state || force || cell.event_ns >= old.event_ns)
		set_cell(row, slot, cell);
}

/* Values that went; -1: late. */
static int delete_row(struct row *row, int64_t event_ns, bool force)
{
	bool newer = false;
	int gone = 0;

	if (row->has_tomb && event_ns < row->tomb_ns && !force)
		return -1;
	for (unsigned i = 0; i < SLOTS; i++) {
		struct cell *cell = &row->cells[i];

		if (cell->state && (cell->event_ns <= event_ns || force)) {
			gone += cell->state != RECORD_DELETED;
			*cell = (struct cell){ 0 };
		} else if (cell->state && cell->state != RECORD_DELETED) {
			newer = true;
		}
	}
	row->exists = row->exists && newer;
	row->has_tomb = true;
	row->tomb_ns = event_ns;
	return gone;
}

struct given {
	char name[16];
	bool deletes, is_bad;
	unsigned n;
	struct cell cells[SLOTS];	/* ABSENT: not named */
	int64_t tomb_ns;
	struct buf record;
};

struct job {
	struct world *world;
	struct model *model;
	struct ingest_load_options options;
	struct given rows[ENTITIES];	/* by entity; n 0 and not deletes: not in the load */
	bool has[ENTITIES];
	bool screens, is_quiet;
	bool is_out[ENTITIES];		/* kept out by screening: not to be given */
	unsigned meddles;		/* direct writes between a part's snapshot and its commit */
	uint64_t refused;
};

static void load_cell(struct job *job, struct row *row, unsigned slot, const struct cell *cell, struct ingest_load_figures *out)
{
	struct cell old = met(row, slot);
	bool equal = old.state == cell->state && (cell->state != RECORD_PRESENT || old.value == cell->value);
	bool force = job->options.mode == INGEST_LOAD_OVERWRITE;

	if (old.state && equal && (cell->event_ns == old.event_ns || (cell->event_ns < old.event_ns && !force))) {
		out->unchanged++;
	} else if (old.state && cell->event_ns < old.event_ns && !force) {
		out->late++;
	} else if (old.state && equal && cell->event_ns > old.event_ns) {
		out->confirmed++;
		if (!job->options.confirm_skip)
			set_cell(row, slot, *cell);
	} else {
		out->changed++;
		set_cell(row, slot, *cell);
	}
}

static void load_model(struct job *job, struct ingest_load_figures *out)
{
	*out = (struct ingest_load_figures){ 0 };
	for (unsigned e = 0; e < ENTITIES; e++) {
		struct row *row = &job->model->rows[e];
		const struct given *given = &job->rows[e];
		bool was = row->exists, any = row->has_tomb || row->exists;
		int gone;

		out->rows += job->has[e];
		if (job->has[e] && given->is_bad) {
			out->refused++;
			continue;
		}
		for (unsigned i = 0; i < SLOTS; i++)
			any = any || row->cells[i].state;
		if (!job->has[e] && job->options.mode == INGEST_LOAD_SNAPSHOT && any) {
			struct row next = *row;

			gone = delete_row(&next, job->options.as_of_ns, false);
			/* Where nothing that anybody sees goes, nothing is written. */
			if (gone > 0 || (gone == 0 && was != next.exists))
				*row = next;
			out->deleted += was && !row->exists;
		} else if (job->has[e] && given->deletes) {
			bool same = row->has_tomb && row->tomb_ns == given->tomb_ns;
			struct row next = *row;

			gone = delete_row(&next, given->tomb_ns, job->options.mode == INGEST_LOAD_OVERWRITE);
			if (gone < 0)
				out->late++;
			else if (gone == 0 && was == next.exists && same)
				out->unchanged++;
			else {
				out->changed += (unsigned)gone;
				*row = next;
			}
		} else if (job->has[e]) {
			for (unsigned i = 0; i < SLOTS; i++)
				if (given->cells[i].state)
					load_cell(job, row, i, &given->cells[i], out);
			if (given->n == 0)
				row->exists = true;
		}
	}
}

/* ---- the store ---- */

static int64_t base_ns;
static uint8_t codes[SLOTS];

static struct slice name_of(unsigned entity, char out[16])
{
	return slice_of(out, (size_t)snprintf(out, 16, "e%03u", entity));
}

/* Stored bytes of a value: both types have eight. */
static uint64_t bytes_of(unsigned slot, int64_t value)
{
	double real = (double)value / 4;
	uint64_t bytes = (uint64_t)value;

	if (slot == CTR)
		memcpy(&bytes, &real, sizeof bytes);
	return bytes;
}

static int64_t some_time(void)
{
	return base_ns + (int64_t)rnd(40) * 1000;
}

/* The time that ingest gave to a value without one. */
static int64_t time_of(struct world *world, unsigned entity, unsigned slot, bool of_tomb)
{
	struct record_stamp stamp = { 0 };
	struct serve_view view;
	struct slice bytes;
	struct record row;
	struct record_cell cell;
	char name[16];

	NEED(serve_begin(world->store, world->cur, &view) == 0);
	NEED(serve_row_raw(&view, catalog_find_id(view.cat, world->group_id), name_of(entity, name), &bytes, &row) == 0);
	if (of_tomb)
		NEED(record_tomb(&row, &stamp));
	else if (record_find(&row, (uint16_t)slot, &cell))
		record_stamp(&row, cell.stamp, &stamp);
	serve_end(&view);
	return stamp.event_ns;
}

static void meddle(struct world *world, struct model *model)
{
	unsigned e = rnd(ENTITIES), slot = rnd(SLOTS), kind = rnd(40) ? rnd(10) : 10 + rnd(2);
	struct row *row = &model->rows[e];
	struct cell cell = { RECORD_PRESENT, rnd(4), some_time() };
	uint64_t bytes = bytes_of(slot, cell.value);
	struct ingest_request *req = world_request(world, rnd(2) ? RECORD_LANE_DIRECT : RECORD_LANE_STREAM);
	bool now = kind < 2, force = kind == 2;
	int rc, want = 0;
	char name[16];

	if (kind < 8) {
		ingest_request_row(req, world->group_id, name_of(e, name), now ? INGEST_NOW : cell.event_ns, force ? INGEST_FORCE : 0, 0);
		if (kind == 7) {
			ingest_request_delete(req, (uint16_t)slot);
			cell = (struct cell){ RECORD_DELETED, 0, cell.event_ns };
		} else {
			ingest_request_value(req, (uint16_t)slot, codes[slot], slice_of(&bytes, sizeof bytes));
		}
		rc = world_run(world, req, NULL);
		CHECK_INT(rc, 0);
		cell.event_ns = now ? time_of(world, e, slot, false) : cell.event_ns;
		put_cell(row, slot, cell, force || now);
	} else if (kind >= 10) {
		ingest_request_delete_entity(req, world->group_id, name_of(e, name), cell.event_ns, 0, 0);
		CHECK_INT(world_run(world, req, NULL), 0);
		delete_row(row, cell.event_ns, false);
	} else if (kind == 8) {
		ingest_request_make_entity(req, world->group_id, name_of(e, name));
		CHECK_INT(world_run(world, req, NULL), row->exists ? -EEXIST : 0);
		row->exists = true;
	} else {
		bool live = false;

		for (unsigned i = 0; i < SLOTS; i++)
			live = live || (row->cells[i].state && row->cells[i].state != RECORD_DELETED);
		want = !row->exists ? -ENOENT : live ? -ENOTEMPTY : 0;
		ingest_request_remove_entity(req, world->group_id, name_of(e, name));
		CHECK_INT(world_run(world, req, NULL), want);
		if (want == 0)
			row->exists = false;
	}
}

static void compare_row(const struct row *want, const char *name, const struct record *got)
{
	struct record_stamp stamp = { 0 };
	bool tomb = record_tomb(got, &stamp);

	if (record_exists(got) != want->exists || tomb != want->has_tomb || (tomb && stamp.event_ns != want->tomb_ns)) {
		fprintf(stderr, "%s: exists %d %d, tombstone %d %d, at %lld %lld\n", name, record_exists(got), want->exists, tomb,
			want->has_tomb, (long long)stamp.event_ns, (long long)want->tomb_ns);
		CHECK(!"the row is the model's");
	}
	for (unsigned i = 0; i < SLOTS; i++) {
		struct record_cell cell = { .state = RECORD_ABSENT };
		uint64_t bytes = bytes_of(i, want->cells[i].value);

		if (record_find(got, (uint16_t)i, &cell))
			record_stamp(got, cell.stamp, &stamp);
		if (cell.state == want->cells[i].state &&
		    (!cell.state || stamp.event_ns == want->cells[i].event_ns) &&
		    (cell.state != RECORD_PRESENT || slice_equal(cell.value, slice_of(&bytes, sizeof bytes))))
			continue;
		fprintf(stderr, "%s, slot %u: state %u %u, time %lld %lld, value %lld\n", name, i, cell.state, want->cells[i].state,
			(long long)(stamp.event_ns - base_ns), (long long)(want->cells[i].event_ns - base_ns),
			(long long)want->cells[i].value);
		CHECK(!"the value is the model's");
	}
}

static void print_fault(void *arg, const char *fault)
{
	(void)arg;
	fprintf(stderr, "  fault: %s\n", fault);
}

/* The group's counters are the sums of what is there. */
static void check_store(struct world *world)
{
	struct catalog_stats stats, sum = { 0 };
	const struct catalog_group *grp;
	struct store_walk *walk;
	struct serve_view view;
	struct slice name, bytes;

	NEED(serve_begin(world->store, world->cur, &view) == 0);
	grp = catalog_find_id(view.cat, world->group_id);
	NEED(serve_stats(&view, grp, &stats) == 0);
	NEED(store_walk_rows_over(view.snap, grp->rows, grp->overlay, slice_of(NULL, 0), &walk) == 0);
	while (store_walk_next(walk, &name, &bytes) == 0) {
		struct row_weight weight = row_weigh(bytes, name);

		sum.entities += (uint64_t)weight.entities;
		sum.rows += (uint64_t)weight.rows;
		sum.row_bytes += (uint64_t)weight.bytes;
	}
	store_walk_end(walk);
	serve_end(&view);
	CHECK_INT(stats.entities, sum.entities);
	CHECK_INT(stats.rows, sum.rows);
	CHECK_INT(stats.row_bytes, sum.row_bytes);
	CHECK_INT(store_verify(world->store, print_fault, NULL), 0);
}

/* Every row by itself, and all of them by a walk. */
static void compare_model(struct world *world, const struct model *model)
{
	const struct catalog_group *grp;
	struct serve_entities *it;
	struct serve_view view;
	struct slice bytes, name;
	struct record row;
	unsigned n = 0, there = 0;
	char text[16];

	NEED(serve_begin(world->store, world->cur, &view) == 0);
	grp = catalog_find_id(view.cat, world->group_id);
	for (unsigned e = 0; e < ENTITIES; e++) {
		NEED(serve_row_raw(&view, grp, name_of(e, text), &bytes, &row) == 0);
		compare_row(&model->rows[e], text, &row);
		there += model->rows[e].exists;
	}
	NEED(serve_entities_begin(&view, grp, slice_of(NULL, 0), &it) == 0);
	while (serve_entities_next(it, &name, &row) == 0)
		n++;
	CHECK_INT(n, there);
	serve_entities_end(it);
	serve_end(&view);
	check_store(world);
}

/* ---- loads ---- */

static int find(void *arg, struct slice entity, struct buf *out)
{
	struct job *job = arg;
	char name[16];

	for (unsigned e = 0; e < ENTITIES; e++)
		if (job->has[e] && slice_equal(entity, name_of(e, name))) {
			CHECK(!job->is_out[e]);
			buf_append_slice(out, buf_slice(&job->rows[e].record));
			return 0;
		}
	return -ENOENT;
}

static int refused(void *arg, struct slice entity, uint64_t origin, int rc, const struct why *why)
{
	struct job *job = arg;

	CHECK_INT(rc, -ERANGE);
	CHECK(strstr(why->text, "below min"));
	CHECK(entity.len == 4 && origin == 77);
	job->refused++;
	/* Here the part's snapshot is taken and its commit to come. */
	for (unsigned n = job->meddles; n; n--)
		meddle(job->world, job->model);
	return 0;
}

static void make_given(struct given *given, unsigned share_bad)
{
	struct record_builder b = { 0 };
	uint64_t bytes[SLOTS];

	bool at_once = rnd(2);

	*given = (struct given){ .deletes = rnd(40) == 0, .tomb_ns = some_time() };
	record_builder_reset(&b, 0);
	if (given->deletes)
		record_builder_tomb(&b, &(struct record_stamp){ .event_ns = given->tomb_ns, .origin = 77, .lane = RECORD_LANE_BATCH });
	given->is_bad = !given->deletes && rnd(100) < share_bad;
	for (unsigned i = 0; i < SLOTS && !given->deletes; i++) {
		struct record_stamp stamp = { .event_ns = given->n && (at_once || rnd(3)) ? given->cells[0].event_ns : some_time(), .origin = 77,
					      .lane = RECORD_LANE_BATCH };
		uint32_t kind = rnd(10);

		if (kind == 0 && !(given->is_bad && i == CLICKS))
			continue;
		given->n++;
		given->cells[i] = (struct cell){ kind == 1 ? RECORD_NULL : kind == 2 ? RECORD_DELETED : RECORD_PRESENT,
						 kind < 3 ? 0 : rnd(4), stamp.event_ns };
		if (given->is_bad && i == CLICKS)
			given->cells[i] = (struct cell){ RECORD_PRESENT, -5, stamp.event_ns };
		bytes[i] = bytes_of(i, given->cells[i].value);
		record_builder_cell(&b, (uint16_t)i, given->cells[i].state, codes[i], record_builder_stamp(&b, &stamp),
				    slice_of(&bytes[i], sizeof bytes[i]));
	}
	NEED(record_builder_finish(&b, &given->record) == 0);
	record_builder_release(&b);
}

static void free_job(struct job *job)
{
	for (unsigned e = 0; e < ENTITIES; e++)
		buf_release(&job->rows[e].record);
}

/* A load is likely to have what stands: as it stands, if that has one time. */
static void make_same(struct given *given, const struct row *row)
{
	struct record_builder b = { 0 };
	struct record_stamp stamp = { .event_ns = row->cells[0].event_ns, .origin = 77, .lane = RECORD_LANE_BATCH };
	uint64_t bytes[SLOTS];

	for (unsigned i = 0; i < SLOTS; i++)
		if (row->has_tomb || !row->cells[i].state || row->cells[i].event_ns != stamp.event_ns)
			return;
	buf_release(&given->record);
	*given = (struct given){ .n = SLOTS };
	record_builder_reset(&b, 0);
	for (unsigned i = 0; i < SLOTS; i++) {
		bytes[i] = bytes_of(i, row->cells[i].value);
		given->cells[i] = row->cells[i];
		record_builder_cell(&b, (uint16_t)i, row->cells[i].state, codes[i], record_builder_stamp(&b, &stamp),
				    row->cells[i].state == RECORD_PRESENT ? slice_of(&bytes[i], sizeof bytes[i]) : slice_of(NULL, 0));
	}
	NEED(record_builder_finish(&b, &given->record) == 0);
	record_builder_release(&b);
}

static int take_back(void *arg, struct slice entity, struct slice record)
{
	struct job *job = arg;
	char name[16];

	for (unsigned e = 0; e < ENTITIES; e++)
		if (slice_equal(entity, name_of(e, name))) {
			struct record got, want;

			CHECK(job->has[e] && job->is_out[e]);
			NEED(record_view(record, &got) == 0 && record_view(buf_slice(&job->rows[e].record), &want) == 0);
			CHECK(slice_equal(record, buf_slice(&job->rows[e].record)) || record_same_values(&got, &want));
			job->is_out[e] = false;
			return 0;
		}
	CHECK(!"an entity of the load");
	return -EINVAL;
}

enum { SIEVES = 3, SIEVE_ROWS = 8 };

/* Rows on their way through a sieve. */
struct passing {
	struct ingest_sieve *sieve;
	struct ingest_row rows[SIEVE_ROWS];
	char names[SIEVE_ROWS][16];
	bool is_looked_up;
};

static void look_up(struct passing *passing)
{
	struct why why;

	CHECK(passing->is_looked_up || ingest_sieve_look(passing->sieve, &why) == 0);
	passing->is_looked_up = true;
}

static void meddle_some(struct job *job)
{
	while (!job->options.dry_run && rnd(3) == 0)
		meddle(job->world, job->model);
}

/* In an order of its own, some at a time, up to three times that at once; they are looked up in any order, and others write between all steps. */
static unsigned screen_job(struct job *job, struct ingest_load *load)
{
	unsigned order[ENTITIES], n = 0, kept_out = 0, begun = 0, taken = 0;
	struct passing passing[SIEVES] = { 0 };
	struct why why;

	for (unsigned e = 0; e < ENTITIES; e++) {
		unsigned at = rnd(n + 1);

		if (!job->has[e])
			continue;
		order[n] = order[at];
		order[at] = e;
		n++;
	}
	for (unsigned k = 0; k < SIEVES; k++)
		NEED(passing[k].sieve = ingest_sieve_new());
	for (unsigned i = 0; i < n || taken < begun; meddle_some(job)) {
		struct passing *next = &passing[begun % SIEVES], *first = &passing[taken % SIEVES];
		unsigned some = 1 + rnd(SIEVE_ROWS);

		if (i < n && begun - taken < SIEVES && rnd(2)) {
			some = some < n - i ? some : n - i;
			for (unsigned k = 0; k < some; k++, i++) {
				job->is_out[order[i]] = true;
				next->rows[k] = (struct ingest_row){ name_of(order[i], next->names[k]), buf_slice(&job->rows[order[i]].record) };
			}
			CHECK_INT(ingest_sieve_begin(next->sieve, load, next->rows, some, &why), 0);
			next->is_looked_up = false;
			begun++;
		} else if (taken < begun && rnd(2)) {
			look_up(&passing[(taken + rnd(begun - taken)) % SIEVES]);
		} else if (taken < begun) {
			look_up(first);
			CHECK_INT(ingest_sieve_take(first->sieve, take_back, job, &why), 0);
			taken++;
		}
	}
	for (unsigned k = 0; k < SIEVES; k++)
		ingest_sieve_free(passing[k].sieve);
	for (unsigned e = 0; e < ENTITIES; e++)
		kept_out += job->is_out[e];
	return kept_out;
}

static unsigned long n_kept_out;

/* Gives the rows, with direct writes in between; every part is small. */
static struct ingest_load *run_job(struct job *job)
{
	struct ingest_load *load;
	struct why why;
	int rc = ingest_load_begin(job->world->ingest, &job->options, &load, &why);

	CHECK_INT(rc, 0);
	NEED(rc == 0);
	if (job->screens) {
		CHECK(job->options.mode == INGEST_LOAD_SNAPSHOT ? !ingest_load_screens(load) : 1);
		n_kept_out += screen_job(job, load);
	}
	for (unsigned e = 0; e < ENTITIES; e++) {
		char name[16];

		if (job->has[e] && !job->is_out[e]) {
			load->chunk_bytes = 60 + rnd(900);
			rc = ingest_load_row(load, name_of(e, name), buf_slice(&job->rows[e].record), &why);
			CHECK_INT(rc, 0);
		}
		while (rnd(job->is_quiet ? 9 : 3) == 0)
			meddle(job->world, job->model);
	}
	return load;
}

/* Many commits, and no loss of power here. */
static struct store_options quick_options(void)
{
	return (struct store_options){ .map_bytes = 64 << 20, .segment_bytes = 256 << 10, .log_bytes = 64 << 20, .checkpoint_ms = 200,
				       .checkpoint_bytes = 4 << 20, .relaxed = true };
}

static void test_model(enum ingest_load_mode mode, unsigned rounds, unsigned overlay_percent, int64_t overlay_ns)
{
	struct world world = { .options = { .overlay_percent = overlay_percent, .overlay_ns = overlay_ns } };
	static struct model model;
	struct why why;

	memset(&model, 0, sizeof model);
	world.store_options = quick_options();
	world_begin(&world, "load");
	for (unsigned round = 0; round < rounds; round++) {
		struct job job = { .world = &world, .model = &model, .meddles = rnd(4) };
		struct ingest_load_figures want, got;
		struct ingest_load *load;
		/* Often all of the rows: then the shadow may take their place. */
		unsigned share = rnd(3) ? 1 + rnd(100) : 100, bad = rnd(2) ? rnd(30) : 0;

		job.options = (struct ingest_load_options){
			.group_id = world.group_id, .mode = mode, .confirm_skip = rnd(3) == 0, .as_of_ns = some_time(), .find = find,
			.refused = refused, .arg = &job, .dry_run = rnd(8) == 0, .source = slice_str("3:part.csv"),
			.position_key = slice_str("batch.3"), .position = slice_of(&round, sizeof round), .screen_bytes = rnd(4) ? 1 << 20 : rnd(60000),
		};
		for (unsigned e = 0; e < ENTITIES; e++) {
			job.has[e] = rnd(100) < share;
			if (job.has[e])
				make_given(&job.rows[e], bad);
			if (job.has[e] && rnd(2))
				make_same(&job.rows[e], &model.rows[e]);
		}
		job.is_quiet = rnd(3);
		job.screens = mode != INGEST_LOAD_SNAPSHOT && rnd(4);
		load = run_job(&job);
		compare_model(&world, &model);		/* nobody sees anything of it */
		if (rnd(6) == 0) {
			ingest_load_abort(load);
		} else {
			CHECK_INT(ingest_load_publish(load, &why), 0);
			if (job.options.dry_run) {
				compare_model(&world, &model);
			} else {
				load_model(&job, &want);
				ingest_load_figures(load, &got);
				CHECK_INT(got.rows, want.rows);
				CHECK_INT(got.changed, want.changed);
				CHECK_INT(got.confirmed, want.confirmed);
				CHECK_INT(got.unchanged, want.unchanged);
				CHECK_INT(got.late, want.late);
				CHECK_INT(got.refused, want.refused);
				CHECK_INT(got.deleted, want.deleted);
				CHECK_INT(job.refused, want.refused);
			}
			ingest_load_abort(load);
		}
		compare_model(&world, &model);
		for (unsigned n = rnd(rnd(3) ? 5 : 30); n; n--)
			meddle(&world, &model);
		compare_model(&world, &model);
		if (rnd(4) == 0)
			world_reopen(&world);
		free_job(&job);
		if (test_failures) {
			fprintf(stderr, "mode %d, overlays of %u %% for %lld ns, round %u\n", mode, overlay_percent, (long long)overlay_ns, round);
			break;
		}
	}
	compare_model(&world, &model);
	world_end(&world);
}

/* ---- beside readers and writers ---- */

enum { TOGETHER = 300, APART = 400, LOADS = 25 };

struct crowd {
	struct world *world;
	_Atomic bool stop;
	unsigned bad;
	_Atomic unsigned rounds;
	int64_t written[TOGETHER];	/* the last value that the writer put, by entity */
};

static struct record_builder *new_row(struct record_builder *b, int64_t event_ns)
{
	record_builder_reset(b, 0);
	record_builder_stamp(b, &(struct record_stamp){ .event_ns = event_ns, .origin = 5, .lane = RECORD_LANE_BATCH });
	return b;
}

/* Every row of it is the same. */
static int find_same(void *arg, struct slice entity, struct buf *out)
{
	(void)entity;
	buf_append_slice(out, buf_slice(arg));
	return 0;
}

/* For loads beside which nobody changes a row. */
static int find_none(void *arg, struct slice entity, struct buf *out)
{
	(void)arg;
	(void)entity;
	(void)out;
	return -ENOENT;
}

/* One load of entities of that prefix with that number of clicks. */
static void load_range(struct world *world, char prefix, unsigned first, unsigned n, int64_t clicks, const struct ingest_load_options *more)
{
	struct ingest_load_options options = *more;
	struct record_builder b = { 0 };
	struct ingest_load *load;
	struct buf record = { 0 };
	struct why why = { "" };

	options.group_id = world->group_id;
	options.find = find_same;
	options.arg = &record;
	NEED(ingest_load_begin(world->ingest, &options, &load, &why) == 0);
	new_row(&b, base_ns + clicks);
	record_builder_cell(&b, CLICKS, RECORD_PRESENT, codes[CLICKS], 0, slice_of(&clicks, sizeof clicks));
	NEED(record_builder_finish(&b, &record) == 0);
	for (unsigned e = first; e < first + n; e++) {
		char name[16];

		load->chunk_bytes = 3000;
		CHECK_INT(ingest_load_row(load, slice_of(name, (size_t)snprintf(name, sizeof name, "%c%03u", prefix, e)), buf_slice(&record),
					  &why), 0);
	}
	CHECK_INT(ingest_load_publish(load, &why), 0);
	ingest_load_abort(load);
	record_builder_release(&b);
	buf_release(&record);
}

static void load_all(struct world *world, char prefix, unsigned n, int64_t clicks, const struct ingest_load_options *more)
{
	load_range(world, prefix, 0, n, clicks, more);
}

/* Of one load or of the one after it, never of both; and never of an older one later. */
static void *read_along(void *arg)
{
	struct crowd *crowd = arg;
	int64_t newest = 0;

	for (; !atomic_load(&crowd->stop); crowd->rounds++) {
		const struct catalog_group *grp;
		struct serve_entities *it;
		struct serve_view view;
		struct record row;
		struct slice name;
		int64_t seen = -1;
		unsigned n = 0;

		NEED(serve_begin(crowd->world->store, crowd->world->cur, &view) == 0);
		grp = catalog_find_id(view.cat, crowd->world->group_id);
		NEED(serve_entities_begin(&view, grp, slice_of(NULL, 0), &it) == 0);
		while (serve_entities_next(it, &name, &row) == 0) {
			struct serve_value value;
			int64_t clicks;

			if (*(const char *)name.data != 'l')
				continue;
			serve_value(&view, grp, &row, catalog_feature_at(grp, CLICKS), &value);
			if (value.status != SERVE_PRESENT) {
				crowd->bad++;
				continue;
			}
			memcpy(&clicks, value.value.data, sizeof clicks);
			crowd->bad += seen >= 0 && clicks != seen;
			seen = clicks;
			n++;
		}
		crowd->bad += n != TOGETHER || seen < newest;
		newest = seen;
		serve_entities_end(it);
		serve_end(&view);
	}
	return NULL;
}

static void *write_along(void *arg)
{
	struct crowd *crowd = arg;

	for (uint64_t i = 1; !atomic_load(&crowd->stop); i++) {
		unsigned e = (unsigned)(i * 7919 % TOGETHER);
		struct ingest_request *req = world_request(crowd->world, RECORD_LANE_DIRECT);
		uint64_t bytes = bytes_of(CTR, (int64_t)i);
		char name[16];

		ingest_request_row(req, crowd->world->group_id, slice_of(name, (size_t)snprintf(name, sizeof name, "l%03u", e)), INGEST_NOW, 0, 0);
		ingest_request_value(req, CTR, codes[CTR], slice_of(&bytes, sizeof bytes));
		CHECK_INT(world_run(crowd->world, req, NULL), 0);
		crowd->written[e] = (int64_t)i;
		crowd->rounds++;
	}
	return NULL;
}

/* With `apart` other entities in the group loads become overlays and are folded, else they take the rows' place. */
static void test_crowd(unsigned apart)
{
	struct ingest_load_options options = { 0 };
	struct world world = { .store_options = quick_options() };
	struct crowd readers[2] = { { .world = &world }, { .world = &world } }, writer = { .world = &world };
	pthread_t threads[3];
	unsigned bad = 0;

	world_begin(&world, "crowd");
	load_all(&world, 'x', apart, 1, &options);
	load_all(&world, 'l', TOGETHER, 1, &options);
	for (unsigned i = 0; i < 2; i++)
		NEED(pthread_create(&threads[i], NULL, read_along, &readers[i]) == 0);
	NEED(pthread_create(&threads[2], NULL, write_along, &writer) == 0);
	/* So many, and more until everybody has had a turn. */
	for (int64_t n = 2; n <= LOADS || !readers[0].rounds || !readers[1].rounds || !writer.rounds; n++)
		load_all(&world, 'l', TOGETHER, n, &options);
	atomic_store(&readers[0].stop, true);
	atomic_store(&readers[1].stop, true);
	atomic_store(&writer.stop, true);
	for (unsigned i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	CHECK_INT(readers[0].bad + readers[1].bad, 0);
	for (unsigned e = 0; e < TOGETHER; e++) {
		char name[16];
		int64_t got;

		snprintf(name, sizeof name, "l%03u", e);
		got = world_int(&world, name, CTR, NULL);
		bad += got != (writer.written[e] ? (int64_t)bytes_of(CTR, writer.written[e]) : GONE(MISSING));
	}
	CHECK_INT(bad, 0);
	check_store(&world);
	world_end(&world);
}

/* ---- what ends a load, and what does not ---- */

static uint32_t make_group(struct world *world, const char *name)
{
	struct ingest_request *req = world_request(world, RECORD_LANE_DIRECT);
	struct ingest_result result;

	ingest_request_group_make(req, slice_str(name), 0, 0, 0755, "root");
	NEED(world_run(world, req, &result) == 0);
	return result.group_id;
}

static int define(struct world *world, uint32_t group_id, const char *text)
{
	struct ingest_request *req = world_request(world, RECORD_LANE_DIRECT);

	ingest_request_group_define(req, group_id, slice_str(text));
	return world_run(world, req, NULL);
}

static int give(struct ingest_load *load, const char *entity, int64_t clicks, int64_t event_ns, struct why *why)
{
	struct record_builder b = { 0 };
	struct buf record = { 0 };
	int rc;

	new_row(&b, event_ns);
	record_builder_cell(&b, CLICKS, RECORD_PRESENT, codes[CLICKS], 0, slice_of(&clicks, sizeof clicks));
	NEED(record_builder_finish(&b, &record) == 0);
	load->chunk_bytes = 1;
	rc = ingest_load_row(load, slice_str(entity), buf_slice(&record), why);
	record_builder_release(&b);
	buf_release(&record);
	return rc;
}

static int count_refused(void *arg, struct slice entity, uint64_t origin, int rc, const struct why *why)
{
	(void)entity;
	CHECK(rc == -EINVAL && origin == 5 && (strstr(why->text, "ahead of the clock") || strstr(why->text, "needs an event time")));
	++*(unsigned *)arg;
	return 0;
}

static int forbid(void *arg, struct slice entity, uint64_t origin, int rc, const struct why *why)
{
	(void)arg;
	(void)entity;
	(void)origin;
	(void)why;
	return rc;
}

static void test_endings(void)
{
	struct world world = { .store_options = quick_options() };
	struct ingest_load_options options = { 0 };
	struct ingest_load *load, *second;
	struct ingest_request *req;
	struct ingest_load_figures figures;
	struct record_stamp stamp;
	struct serve_view view;
	struct slice position;
	struct buf text = { 0 };
	unsigned n_refused = 0;
	struct why why;
	uint32_t h;

	world_begin(&world, "endings");
	h = make_group(&world, "h");
	CHECK_INT(define(&world, h, "[feature clicks]\ntype = int64\n"), 0);
	options = (struct ingest_load_options){ .group_id = 999, .find = find_none };
	CHECK_INT(ingest_load_begin(world.ingest, &options, &load, &why), -ENOENT);
	options.find = NULL;
	options.group_id = h;
	CHECK_INT(ingest_load_begin(world.ingest, &options, &load, &why), -EINVAL);
	CHECK(strstr(why.text, "find its own rows"));
	options = (struct ingest_load_options){ .group_id = h, .mode = INGEST_LOAD_SNAPSHOT, .find = find_none,
						.as_of_ns = clock_now() + INT64_C(3600000000000) };
	CHECK_INT(ingest_load_begin(world.ingest, &options, &load, &why), -EINVAL);
	CHECK(strstr(why.text, "ahead of the clock"));

	/* One at a time, but for those that write nothing; rows in order, each once. */
	options = (struct ingest_load_options){ .group_id = h, .find = find_none };
	NEED(ingest_load_begin(world.ingest, &options, &load, &why) == 0);
	CHECK_INT(ingest_load_begin(world.ingest, &options, &second, &why), -EBUSY);
	options.dry_run = true;
	NEED(ingest_load_begin(world.ingest, &options, &second, &why) == 0);
	CHECK_INT(give(second, "a", 1, base_ns, &why), 0);
	CHECK_INT(ingest_load_publish(second, &why), 0);
	ingest_load_abort(second);
	options.dry_run = false;
	CHECK_INT(give(load, "b", 1, base_ns, &why), 0);
	CHECK_INT(give(load, "b", 2, base_ns, &why), -EINVAL);
	CHECK_INT(give(load, "c", 2, base_ns, &why), -EINVAL);
	CHECK_INT(ingest_load_publish(load, &why), -EINVAL);
	ingest_load_abort(load);

	/* A rule that changes ends it; what leaves its rows right does not. */
	NEED(ingest_load_begin(world.ingest, &options, &load, &why) == 0);
	CHECK_INT(give(load, "b", 1, base_ns, &why), 0);
	CHECK_INT(define(&world, h, "[feature clicks]\ntype = int64\nmin = 5\n"), 0);
	CHECK_INT(ingest_load_publish(load, &why), -ESTALE);
	CHECK(strstr(why.text, "feature clicks was redefined"));
	ingest_load_abort(load);
	NEED(ingest_load_begin(world.ingest, &options, &load, &why) == 0);
	CHECK_INT(give(load, "b", 7, base_ns, &why), 0);
	CHECK_INT(define(&world, h, "[group]\nttl = 900d\ndescription = more\n[feature clicks]\ntype = int64\nmin = 5\n[feature new]\ntype = bool\n"), 0);
	req = world_request(&world, RECORD_LANE_DIRECT);
	ingest_request_group_rename(req, h, slice_str("k"), false);
	CHECK_INT(world_run(&world, req, NULL), 0);
	CHECK_INT(give(load, "c", 8, base_ns, &why), 0);
	CHECK_INT(ingest_load_publish(load, &why), 0);
	ingest_load_abort(load);

	/* A group that goes. */
	h = make_group(&world, "i");
	CHECK_INT(define(&world, h, "[feature clicks]\ntype = int64\n"), 0);
	options.group_id = h;
	NEED(ingest_load_begin(world.ingest, &options, &load, &why) == 0);
	CHECK_INT(give(load, "b", 1, base_ns, &why), 0);
	req = world_request(&world, RECORD_LANE_DIRECT);
	ingest_request_group_remove(req, h);
	CHECK_INT(world_run(&world, req, NULL), 0);
	CHECK_INT(ingest_load_publish(load, &why), -ESTALE);
	CHECK(strstr(why.text, "removed"));
	ingest_load_abort(load);

	/* Rows that are refused are left out, unless the caller says otherwise. */
	options = (struct ingest_load_options){ .group_id = world.group_id, .source = slice_str("4:x.csv"), .position_key = slice_str("batch.4"),
						.position = slice_str("done"), .find = find_none, .refused = count_refused, .arg = &n_refused };
	NEED(ingest_load_begin(world.ingest, &options, &load, &why) == 0);
	CHECK_INT(give(load, "b", 1, clock_now() + INT64_C(3600000000000), &why), 0);
	CHECK_INT(give(load, "c", 1, INGEST_NOW, &why), 0);
	CHECK_INT(give(load, "d", 3, base_ns, &why), 0);
	CHECK_INT(ingest_load_publish(load, &why), 0);
	CHECK_INT(ingest_load_publish(load, &why), -EINVAL);
	ingest_load_figures(load, &figures);
	CHECK(figures.rows == 3 && figures.refused == 2 && figures.changed == 1 && n_refused == 2);
	ingest_load_abort(load);
	CHECK_INT(world_int(&world, "b", CLICKS, NULL), GONE(MISSING));
	CHECK_INT(world_int(&world, "d", CLICKS, &stamp), 3);
	CHECK(stamp.lane == RECORD_LANE_BATCH && stamp.origin == 5 && stamp.event_ns == base_ns);
	NEED(serve_begin(world.store, world.cur, &view) == 0);
	CHECK_INT(serve_source_text(&view, &stamp, &text), 0);
	CHECK(strstr((buf_append_char(&text, '\0'), text.data), "4:x.csv"));
	CHECK_INT(store_get(view.snap, STORE_POSITIONS, slice_str("batch.4"), &position), 0);
	CHECK_TEXT(position, "done");
	serve_end(&view);
	options.refused = forbid;
	NEED(ingest_load_begin(world.ingest, &options, &load, &why) == 0);
	CHECK_INT(give(load, "b", -1, base_ns, &why), -ERANGE);
	CHECK_INT(ingest_load_publish(load, &why), -EINVAL);
	ingest_load_abort(load);
	buf_release(&text);
	world_end(&world);
}

/* Tables of rows that hold any row. */
static unsigned count_tables(struct world *world)
{
	struct store_snap *snap;
	uint32_t rows = 0;
	unsigned n = 0;

	NEED(store_snap_begin(world->store, &snap) == 0);
	while (store_rows_next(snap, rows, &rows) == 0)
		n++;
	store_snap_end(snap);
	return n;
}

/* The keeper does its work by itself. */
static void wait_for_tables(struct world *world, unsigned n)
{
	for (unsigned i = 0; i < 3000 && count_tables(world) != n; i++)
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	CHECK_INT(count_tables(world), n);
}

static int make_entity(struct world *world, const char *entity)
{
	struct ingest_request *req = world_request(world, RECORD_LANE_DIRECT);

	ingest_request_make_entity(req, world->group_id, slice_str(entity));
	return world_run(world, req, NULL);
}

static bool has_entity(struct world *world, const char *entity)
{
	struct serve_view view;
	struct record row;
	int rc;

	NEED(serve_begin(world->store, world->cur, &view) == 0);
	rc = serve_row(&view, catalog_find_id(view.cat, world->group_id), slice_str(entity), &row);
	serve_end(&view);
	return rc == 0;
}

/* Ingest is stopped with a load open, as a kill would leave it: the next start clears what it had. */
static void test_stop(void)
{
	struct world world = { .store_options = quick_options() };
	struct ingest_load_options options = { .find = find_none };
	struct ingest_load *load, *idle;
	struct why why;

	world_begin(&world, "stop");
	load_all(&world, 'l', 10, 1, &options);
	options.group_id = world.group_id;
	NEED(ingest_load_begin(world.ingest, &options, &load, &why) == 0);
	options.dry_run = true;
	NEED(ingest_load_begin(world.ingest, &options, &idle, &why) == 0);
	CHECK_INT(give(load, "m", 1, base_ns, &why), 0);
	CHECK_INT(give(load, "n", 1, base_ns, &why), 0);
	CHECK_INT(give(load, "o", 1, base_ns, &why), 0);
	world_close(&world);
	CHECK_INT(give(load, "p", 1, base_ns, &why), -ESHUTDOWN);
	CHECK_INT(ingest_load_publish(idle, &why), -ESHUTDOWN);
	ingest_load_abort(load);
	ingest_load_abort(idle);
	world_open(&world);
	wait_for_tables(&world, 1);
	CHECK_INT(world_int(&world, "l003", CLICKS, NULL), 1);
	CHECK_INT(world_int(&world, "m", CLICKS, NULL), GONE(MISSING));
	check_store(&world);
	world_end(&world);
}

/* ---- what stays over the rows ---- */

/* Rows of the group's overlay; -1: it has none. */
static int overlay_rows(struct world *world)
{
	const struct catalog_group *grp;
	struct store_walk *walk;
	struct serve_view view;
	struct slice name, row;
	int n = 0;

	NEED(serve_begin(world->store, world->cur, &view) == 0);
	grp = catalog_find_id(view.cat, world->group_id);
	if (grp->overlay) {
		NEED(store_walk_rows(view.snap, grp->overlay, slice_of(NULL, 0), &walk) == 0);
		while (store_walk_next(walk, &name, &row) == 0)
			n++;
		store_walk_end(walk);
	} else {
		n = -1;
	}
	serve_end(&view);
	return n;
}

/* The keeper does its work by itself; a table may be empty for a moment before it is none. */
static void wait_for_overlay(struct world *world, int n)
{
	for (unsigned i = 0; i < 3000 && overlay_rows(world) != n; i++)
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	CHECK_INT(overlay_rows(world), n);
}

static unsigned count_clicks(struct world *world, int64_t clicks)
{
	unsigned n = 0;

	for (unsigned e = 0; e < 100; e++) {
		char name[16];

		snprintf(name, sizeof name, "l%03u", e);
		n += world_int(world, name, CLICKS, NULL) == clicks;
	}
	return n;
}

/* A small overlay stays, also across a start; loads that follow take it along, until it is too large, or they are too small. */
static void test_overlays(void)
{
	struct world world = { .store_options = quick_options(), .options = { .overlay_percent = 10, .overlay_ns = HOUR_NS } };
	struct ingest_load_options options = { 0 };
	struct ingest_load *load;
	struct ingest_request *req;
	uint64_t bytes = 7;
	struct why why;

	world_begin(&world, "overlays");
	load_all(&world, 'l', 100, 1, &options);
	CHECK_INT(overlay_rows(&world), -1);
	load_range(&world, 'l', 10, 3, 2, &options);
	CHECK_INT(overlay_rows(&world), 3);
	world_reopen(&world);
	load_range(&world, 'l', 11, 4, 3, &options);
	CHECK_INT(overlay_rows(&world), 5);
	load_range(&world, 'l', 90, 4, 4, &options);
	CHECK_INT(overlay_rows(&world), 9);
	CHECK_INT(count_clicks(&world, 1), 91);
	CHECK_INT(count_clicks(&world, 2), 1);
	CHECK_INT(count_clicks(&world, 3), 4);
	CHECK_INT(count_clicks(&world, 4), 4);
	wait_for_tables(&world, 2);
	/* A direct write takes its row down, before the load or while it is at work. */
	for (unsigned i = 0; i < 2; i++) {
		if (i == 1) {
			options = (struct ingest_load_options){ .group_id = world.group_id, .find = find_none };
			NEED(ingest_load_begin(world.ingest, &options, &load, &why) == 0);
			CHECK_INT(give(load, "l093", 5, base_ns + 5, &why), 0);
		}
		req = world_request(&world, RECORD_LANE_DIRECT);
		ingest_request_row(req, world.group_id, slice_str(i ? "l012" : "l011"), INGEST_NOW, 0, 0);
		ingest_request_value(req, CLICKS, codes[CLICKS], slice_of(&bytes, sizeof bytes));
		CHECK_INT(world_run(&world, req, NULL), 0);
	}
	CHECK_INT(overlay_rows(&world), 7);
	/* One that would have been published is as one that never was. */
	ingest_load_abort(load);
	CHECK_INT(overlay_rows(&world), 7);
	check_store(&world);
	options = (struct ingest_load_options){ 0 };
	load_range(&world, 'l', 0, 5, 6, &options);	/* 12 of 100 together */
	wait_for_tables(&world, 2);
	CHECK_INT(overlay_rows(&world), 5);
	CHECK_INT(count_clicks(&world, 1), 86);
	CHECK_INT(count_clicks(&world, 3), 2);
	CHECK_INT(count_clicks(&world, 4), 4);
	CHECK_INT(count_clicks(&world, 6), 5);
	CHECK_INT(count_clicks(&world, 7), 2);
	load_range(&world, 'l', 5, 5, 7, &options);
	CHECK_INT(overlay_rows(&world), 10);
	load_range(&world, 'l', 20, 1, 8, &options);	/* and one row does not carry ten */
	CHECK_INT(overlay_rows(&world), 1);
	/* What is nearly all of the group takes the place of both tables. */
	load_range(&world, 'l', 3, 97, 9, &options);
	CHECK_INT(overlay_rows(&world), -1);
	wait_for_tables(&world, 1);
	CHECK_INT(count_clicks(&world, 9), 95);		/* two have newer ones */
	CHECK_INT(count_clicks(&world, 6), 3);
	/* One that is too large from the beginning. */
	load_range(&world, 'l', 0, 11, 10, &options);
	wait_for_overlay(&world, -1);
	wait_for_tables(&world, 1);
	CHECK_INT(count_clicks(&world, 10), 11);
	load_range(&world, 'l', 0, 4, 11, &options);
	CHECK_INT(overlay_rows(&world), 4);
	world_close(&world);
	world.options.overlay_percent = 0;
	world_open(&world);
	wait_for_overlay(&world, -1);
	wait_for_tables(&world, 1);
	check_store(&world);
	world_end(&world);
}

static int64_t overlay_since(struct world *world)
{
	struct serve_view view;
	int64_t since_ns;

	NEED(serve_begin(world->store, world->cur, &view) == 0);
	since_ns = catalog_find_id(view.cat, world->group_id)->overlay_ns;
	serve_end(&view);
	return since_ns;
}

/* An overlay is as old as its publishing, across a start too, and goes by itself; what the next load takes along is young again. */
static void test_overlay_age(void)
{
	struct world world = { .store_options = quick_options(), .options = { .overlay_percent = 10, .overlay_ns = HOUR_NS } };
	struct ingest_load_options options = { 0 };
	struct ingest_request *req;
	uint64_t bytes = 7;
	int64_t begun_ns, first_ns, next_ns;

	world_begin(&world, "overlay_age");
	load_all(&world, 'l', 100, 1, &options);
	CHECK_INT(overlay_since(&world), 0);
	begun_ns = clock_now();
	load_range(&world, 'l', 10, 3, 2, &options);
	first_ns = overlay_since(&world);
	CHECK(first_ns >= begun_ns && first_ns <= clock_now());
	world_reopen(&world);
	CHECK_INT(overlay_since(&world), first_ns);
	load_range(&world, 'l', 13, 3, 3, &options);
	next_ns = overlay_since(&world);
	CHECK(next_ns > first_ns && next_ns <= clock_now());
	/* One in which nothing is left has no reason to stay: the keeper finds it when the next load wakes it, or at a start. */
	for (unsigned i = 10; i < 16; i++) {
		char name[16];

		snprintf(name, sizeof name, "l%03u", i);
		req = world_request(&world, RECORD_LANE_DIRECT);
		ingest_request_row(req, world.group_id, slice_str(name), INGEST_NOW, 0, 0);
		ingest_request_value(req, CLICKS, codes[CLICKS], slice_of(&bytes, sizeof bytes));
		CHECK_INT(world_run(&world, req, NULL), 0);
	}
	CHECK_INT(overlay_rows(&world), 0);
	world_reopen(&world);
	wait_for_overlay(&world, -1);
	CHECK_INT(overlay_since(&world), 0);
	load_range(&world, 'l', 20, 4, 4, &options);
	CHECK_INT(overlay_rows(&world), 4);
	world_close(&world);
	/* It is older than that by the time of the start. */
	nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL);
	world.options.overlay_ns = 1000000;
	world_open(&world);
	wait_for_overlay(&world, -1);
	CHECK_INT(count_clicks(&world, 4), 4);
	/* And this one becomes so while nothing else happens. */
	world_close(&world);
	world.options.overlay_ns = 300000000;
	world_open(&world);
	load_range(&world, 'l', 30, 5, 5, &options);
	wait_for_overlay(&world, -1);
	CHECK_INT(count_clicks(&world, 5), 5);
	CHECK_INT(count_clicks(&world, 7), 6);
	wait_for_tables(&world, 1);
	check_store(&world);
	world_end(&world);
}

/* A row that was made before the gaps were filled, and another one behind that: the shadow, which has not got the second, must not take the
 * place of the group's rows. */
static void test_gaps(void)
{
	struct world world = { .store_options = quick_options() };
	struct ingest_load_options options = { .find = find_none };
	struct ingest_load *load;
	bool lacks;
	struct why why = { "" };

	world_begin(&world, "gaps");
	load_all(&world, 'l', 100, 1, &(struct ingest_load_options){ 0 });
	options.group_id = world.group_id;
	NEED(ingest_load_begin(world.ingest, &options, &load, &why) == 0);
	for (unsigned e = 0; e < 99; e++) {
		char name[16];

		snprintf(name, sizeof name, "l%03u", e);
		CHECK_INT(give(load, name, 2, base_ns + 2, &why), 0);
	}
	NEED(loading_flush(world.ingest, load, true, &why) == 0 &&
	     loading_settle(load, &load->chunks[!load->filling].part, &why) == 0);
	CHECK_INT(make_entity(&world, "l050a"), 0);
	CHECK_INT(loading_fill(world.ingest, load, &why), 0);
	CHECK_INT(make_entity(&world, "l050b"), 0);
	CHECK_INT(loading_judge_touched(world.ingest, load, 0, &why), 0);
	CHECK_INT(loading_publish(world.ingest, load, 128, &lacks, &why), 0);
	load->state = LOAD_PUBLISHED;
	ingest_load_abort(load);
	CHECK_INT(count_clicks(&world, 2), 99);
	check_store(&world);
	CHECK_INT(has_entity(&world, "l050a"), 1);
	CHECK_INT(has_entity(&world, "l050b"), 1);
	world_end(&world);
}

/* ---- rows that are screened ---- */

/* Rows that came back, one after another: "l001=5 ". */
static int write_down(void *arg, struct slice entity, struct slice record)
{
	struct record_cell cell;
	struct record rec;
	int64_t clicks;

	NEED(record_view(record, &rec) == 0 && record_find(&rec, CLICKS, &cell) && cell.value.len == sizeof clicks);
	memcpy(&clicks, cell.value.data, sizeof clicks);
	buf_printf(arg, "%.*s=%lld ", (int)entity.len, (const char *)entity.data, (long long)clicks);
	return 0;
}

/* All at once. */
static int screen_rows(struct ingest_load *load, const struct ingest_row *rows, size_t n, struct buf *came, struct why *why)
{
	struct ingest_sieve *sieve = ingest_sieve_new();
	int rc;

	NEED(sieve);
	rc = ingest_sieve_begin(sieve, load, rows, n, why);
	if (rc == 0)
		rc = ingest_sieve_look(sieve, why);
	if (rc == 0)
		rc = ingest_sieve_take(sieve, write_down, came, why);
	ingest_sieve_free(sieve);
	return rc;
}

/* What comes back for a row of clicks at a time. */
static void screen_one(struct ingest_load *load, const char *entity, int64_t clicks, int64_t event_ns, const char *want)
{
	struct record_builder b = { 0 };
	struct buf record = { 0 }, came = { 0 };
	struct ingest_row row = { .entity = slice_str(entity) };
	struct why why;

	new_row(&b, event_ns);
	record_builder_cell(&b, CLICKS, RECORD_PRESENT, codes[CLICKS], 0, slice_of(&clicks, sizeof clicks));
	NEED(record_builder_finish(&b, &record) == 0);
	row.record = buf_slice(&record);
	CHECK_INT(screen_rows(load, &row, 1, &came, &why), 0);
	CHECK_TEXT(buf_slice(&came), want);
	record_builder_release(&b);
	buf_release(&record);
	buf_release(&came);
}

static void put_clicks(struct world *world, const char *entity, uint64_t clicks, int64_t event_ns, unsigned flags)
{
	struct ingest_request *req = world_request(world, RECORD_LANE_STREAM);

	ingest_request_row(req, world->group_id, slice_str(entity), event_ns, flags, 0);
	ingest_request_value(req, CLICKS, codes[CLICKS], slice_of(&clicks, sizeof clicks));
	CHECK_INT(world_run(world, req, NULL), 0);
}

static void test_screening(void)
{
	struct world world = { .store_options = quick_options() };
	struct ingest_load_options options = { .find = find_none, .screen_bytes = 1 << 20, .source = slice_str("9:again.csv") };
	struct ingest_load_figures got;
	struct ingest_load *load;
	struct record_stamp stamp = { 0 };
	struct why why;

	world_begin(&world, "screening");
	options.group_id = world.group_id;
	NEED(ingest_load_begin(world.ingest, &options, &load, &why) == 0);
	CHECK(!ingest_load_screens(load));
	ingest_load_abort(load);
	load_all(&world, 'l', 100, 1, &(struct ingest_load_options){ 0 });	/* each at base_ns + 1 */

	NEED(ingest_load_begin(world.ingest, &options, &load, &why) == 0);
	CHECK(ingest_load_screens(load));
	/* The same; the same again; then another one of that entity, which brings the first back; then everything of it comes back. */
	screen_one(load, "l000", 1, base_ns + 1, "");
	screen_one(load, "l000", 1, base_ns + 1, "");
	screen_one(load, "l000", 2, base_ns + 1, "l000=1 l000=2 ");
	screen_one(load, "l000", 1, base_ns + 1, "l000=1 ");
	/* Another value, another time, another entity. */
	screen_one(load, "l001", 2, base_ns + 1, "l001=2 ");
	screen_one(load, "l001", 1, base_ns + 1, "l001=1 ");
	screen_one(load, "l002", 1, base_ns, "l002=1 ");
	screen_one(load, "m000", 1, base_ns + 1, "m000=1 ");
	/* What others change comes back with the next rows, as it was. */
	screen_one(load, "l003", 1, base_ns + 1, "");
	screen_one(load, "l004", 1, base_ns + 1, "");
	put_clicks(&world, "l003", 7, base_ns + 1, 0);
	put_clicks(&world, "l003", 8, base_ns + 1, 0);
	put_clicks(&world, "l005", 7, base_ns + 9, 0);
	screen_one(load, "l005", 1, base_ns + 1, "l003=1 l005=1 ");
	screen_one(load, "l005", 7, base_ns + 9, "l005=7 ");
	screen_one(load, "l006", 1, base_ns + 1, "");
	screen_one(load, "l007", 1, base_ns + 1, "");
	screen_one(load, "l008", 1, base_ns + 1, "");
	screen_one(load, "l009", 1, base_ns + 1, "");
	/* What they change once no more rows are screened is judged anew: at a tie the load, which comes later, wins. */
	put_clicks(&world, "l006", 7, base_ns + 1, 0);
	CHECK_INT(give(load, "l000", 2, base_ns + 1, &why), 0);
	CHECK_INT(screen_rows(load, NULL, 0, NULL, &why), -EINVAL);
	CHECK_INT(ingest_load_row(load, slice_str("l000"), slice_of(NULL, 0), &why), -EINVAL);
	ingest_load_abort(load);
	CHECK_INT(world_int(&world, "l006", CLICKS, NULL), 7);

	NEED(ingest_load_begin(world.ingest, &options, &load, &why) == 0);
	for (unsigned e = 6; e < 10; e++) {
		char name[16], want[16];

		snprintf(name, sizeof name, "l%03u", e);
		snprintf(want, sizeof want, e == 6 ? "l006=1 " : "");
		screen_one(load, name, 1, base_ns + 1, want);
	}
	put_clicks(&world, "l007", 7, base_ns + 1, 0);		/* a tie */
	CHECK_INT(give(load, "l006", 1, base_ns + 1, &why), 0);
	put_clicks(&world, "l007", 8, base_ns + 1, 0);
	put_clicks(&world, "l008", 8, base_ns + 2, 0);		/* newer */
	put_clicks(&world, "l009", 9, base_ns - 1, INGEST_FORCE);	/* older, and forced */
	/* Twice: the load's own row is what stood before the first. */
	CHECK_INT(loading_judge_touched(world.ingest, load, 0, &why), 0);
	put_clicks(&world, "l008", 9, base_ns + 1, INGEST_FORCE);
	CHECK_INT(ingest_load_publish(load, &why), 0);
	ingest_load_figures(load, &got);
	ingest_load_abort(load);
	CHECK_INT(got.rows, 4);
	CHECK_INT(got.unchanged, 0);
	CHECK_INT(got.changed, 4);
	for (unsigned e = 6; e < 10; e++) {
		char name[16];

		snprintf(name, sizeof name, "l%03u", e);
		CHECK_INT(world_int(&world, name, CLICKS, &stamp), 1);
		CHECK_INT(stamp.event_ns, base_ns + 1);
		CHECK_INT(stamp.lane, RECORD_LANE_BATCH);
	}
	check_store(&world);

	/* Without room for names nothing is kept out; a dry run counts the same. */
	for (unsigned i = 0; i < 3; i++) {
		options.screen_bytes = i ? 1 << 20 : 0;
		options.dry_run = i == 1;
		NEED(ingest_load_begin(world.ingest, &options, &load, &why) == 0);
		screen_one(load, "l020", 1, base_ns + 1, i ? "" : "l020=1 ");
		screen_one(load, "l021", 1, base_ns + 1, i ? "" : "l021=1 ");
		screen_one(load, "l020", 1, base_ns + 1, i ? "" : "l020=1 ");
		if (i == 0) {
			CHECK_INT(give(load, "l020", 1, base_ns + 1, &why), 0);
			CHECK_INT(give(load, "l021", 1, base_ns + 1, &why), 0);
		}
		CHECK_INT(ingest_load_publish(load, &why), 0);
		ingest_load_figures(load, &got);
		CHECK_INT(got.rows, 2);
		CHECK_INT(got.unchanged, 2);
		CHECK_INT(got.repeated, i > 0);
		CHECK_INT(got.changed + got.confirmed + got.late + got.refused, 0);
		ingest_load_abort(load);
	}
	/* Names enough to grow by, and more of them than there is room for: what is kept out is counted once, whatever finds none comes back. */
	options.dry_run = false;
	load_all(&world, 'x', 999, 5, &(struct ingest_load_options){ 0 });
	for (unsigned i = 0; i < 2; i++) {
		unsigned long came_back = 0;

		options.screen_bytes = i ? 100000 : 1 << 20;
		NEED(ingest_load_begin(world.ingest, &options, &load, &why) == 0);
		for (unsigned k = 0; k < 2 * 999; k++) {
			struct record_builder b = { 0 };
			struct buf record = { 0 }, came = { 0 };
			struct ingest_row row;
			int64_t clicks = 5;
			char name[16];

			row.entity = slice_of(name, (size_t)snprintf(name, sizeof name, "x%03u", k % 999));
			new_row(&b, base_ns + 5);
			record_builder_cell(&b, CLICKS, RECORD_PRESENT, codes[CLICKS], 0, slice_of(&clicks, sizeof clicks));
			NEED(record_builder_finish(&b, &record) == 0);
			row.record = buf_slice(&record);
			CHECK_INT(screen_rows(load, &row, 1, &came, &why), 0);
			came_back += came.len > 0;
			record_builder_release(&b);
			buf_release(&record);
			buf_release(&came);
		}
		CHECK(i ? came_back > 1000 && came_back < 1990 && came_back % 2 == 0 : came_back == 0);
		CHECK_INT(ingest_load_publish(load, &why), 0);
		ingest_load_figures(load, &got);
		CHECK_INT(got.rows, 999 - came_back / 2);
		CHECK_INT(got.repeated, 999 - came_back / 2);
		CHECK_INT(got.unchanged, 999 - came_back / 2);
		ingest_load_abort(load);
	}
	world_end(&world);
}

/* A load for which there is no room fails whole, and gives back what it took. */
static void test_full_map(void)
{
	struct world world = { .store_options = quick_options() };
	struct ingest_load_options options = { .find = find_none };
	struct record_builder b = { 0 };
	struct ingest_load *load;
	struct buf record = { 0 };
	struct why why = { "" };
	char filler[20];
	int rc = 0;

	world.store_options.map_bytes = 6 << 20;
	world_begin(&world, "full");
	load_all(&world, 'l', 100, 1, &options);
	memset(filler, 'f', sizeof filler);
	new_row(&b, base_ns + 2);
	record_builder_cell(&b, NAME, RECORD_PRESENT, type_code(&(struct type){ .base = TYPE_STRING }), 0, slice_of(filler, sizeof filler));
	NEED(record_builder_finish(&b, &record) == 0);
	options.group_id = world.group_id;
	NEED(ingest_load_begin(world.ingest, &options, &load, &why) == 0);
	for (unsigned e = 0; rc == 0 && e < 200000; e++) {
		char name[16];

		rc = ingest_load_row(load, slice_of(name, (size_t)snprintf(name, sizeof name, "e%06u", e)), buf_slice(&record), &why);
	}
	CHECK_INT(rc, -ENOSPC);
	CHECK(strstr(why.text, "full"));
	ingest_load_abort(load);
	wait_for_tables(&world, 1);
	CHECK_INT(world_int(&world, "e000000", CLICKS, NULL), GONE(MISSING));
	check_store(&world);
	CHECK_INT(world_put(&world, RECORD_LANE_DIRECT, "l005", CLICKS, 9, INGEST_NOW, 0, NULL), 0);
	CHECK_INT(store_make_room(world.store), 0);
	load_all(&world, 'm', 1000, 3, &options);
	CHECK_INT(world_int(&world, "l005", CLICKS, NULL), 9);
	CHECK_INT(world_int(&world, "m500", CLICKS, NULL), 3);
	wait_for_tables(&world, 1);
	check_store(&world);
	record_builder_release(&b);
	buf_release(&record);
	world_end(&world);
}

/* ---- the log of a load ---- */

static unsigned count_notes(const char *text, size_t len, const char *begin)
{
	return len >= strlen(begin) && !memcmp(text, begin, strlen(begin));
}

/* What a follower reads: a begin, the rows, the end, all under one number. */
static void test_log(void)
{
	struct world world = { .store_options = quick_options() };
	unsigned begins = 0, publishes = 0, aborts = 0, sets = 0;
	struct ingest_load_options options = { .find = find_none };
	struct store_follower *follower;
	struct store_change change;
	struct ingest_load *load;
	struct slice payload;
	uint32_t shadow = 0;
	struct why why;
	uint64_t seq;

	world_begin(&world, "log");
	NEED(store_follow(world.store, "test", 0, &follower, &why) == 0);
	load_all(&world, 'l', 100, 1, &options);
	options.group_id = world.group_id;
	/* One that ends before it has started says nothing. */
	for (unsigned i = 0; i < 2; i++) {
		NEED(ingest_load_begin(world.ingest, &options, &load, &why) == 0);
		if (i)
			CHECK_INT(loading_start(world.ingest, load, &why), 0);
		ingest_load_abort(load);
	}
	CHECK_INT(store_make_room(world.store), 0);
	while (store_follow_next(follower, &seq, &payload) == 0)
		while (store_change_next(&payload, &change) == 0) {
			const char *text = change.value.data;

			if (change.kind == STORE_CHANGE_SET) {
				sets++;
				CHECK(shadow == 0 || change.rows == shadow);
				shadow = change.rows;
			}
			if (change.kind != STORE_CHANGE_NOTE)
				continue;
			begins += count_notes(text, change.value.len, "load begin ");
			publishes += count_notes(text, change.value.len, "load publish ");
			aborts += count_notes(text, change.value.len, "load abort ");
		}
	CHECK_INT(begins, 2);
	CHECK_INT(publishes, 1);
	CHECK_INT(aborts, 1);
	CHECK_INT(sets, 100);
	store_follow_end(follower);
	world_end(&world);
}

int main(void)
{
	codes[CLICKS] = type_code(&(struct type){ .base = TYPE_INT64 });
	codes[CTR] = type_code(&(struct type){ .base = TYPE_FLOAT64 });
	base_ns = clock_now() - HOUR_NS;
	for (unsigned i = 0; i < 4; i++) {
		unsigned percent = i == 3 ? 100 : 50 * i;
		int64_t age_ns = i == 3 ? 1000000 : HOUR_NS;

		test_model(INGEST_LOAD_MERGE, 40, percent, age_ns);
		test_model(INGEST_LOAD_SNAPSHOT, 40, percent, age_ns);
		test_model(INGEST_LOAD_OVERWRITE, 40, percent, age_ns);
	}
	test_crowd(0);
	test_crowd(APART);
	test_endings();
	test_stop();
	CHECK(n_kept_out > 200);
	test_overlays();
	test_overlay_age();
	test_screening();
	test_gaps();
	test_full_map();
	test_log();
	return test_end("load");
}
