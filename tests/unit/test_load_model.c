/* SPDX-License-Identifier: MIT */
/*
 * Loads against a model: the model takes a load's rows at the moment of publishing, one after the other, by the order rule as the manual tells
 * it; the load itself has judged them long before, while direct writes, deletions and forced ones went on. What stands afterwards
 * must be the same to the last stamp, and so must the figures and the group's counters.
 */
#include <errno.h>
#include "load_help.h"

enum { ENTITIES = 48 };

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

static struct slice name_of(unsigned entity, char out[16])
{
	return slice_of(out, (size_t)snprintf(out, 16, "e%03u", entity));
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

int main(void)
{
	load_help_begin();
	for (unsigned i = 0; i < 4; i++) {
		unsigned percent = i == 3 ? 100 : 50 * i;
		int64_t age_ns = i == 3 ? 1000000 : HOUR_NS;

		test_model(INGEST_LOAD_MERGE, 40, percent, age_ns);
		test_model(INGEST_LOAD_SNAPSHOT, 40, percent, age_ns);
		test_model(INGEST_LOAD_OVERWRITE, 40, percent, age_ns);
	}
	CHECK(n_kept_out > 200);
	return test_end("load_model");
}
