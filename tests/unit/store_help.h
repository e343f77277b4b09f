/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the store share. Commit number n is made of n alone: play_commit does it to a store, model_play to
 * a plain model; so whoever finds a store with its newest commit n knows what must be in it.
 */
#ifndef STORE_HELP_H
#define STORE_HELP_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "store/store.h"
#include "test.h"

/* ---- folders ---- */

static char help_folder[200];

static inline int help_unlink(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline void remove_folder(const char *path)
{
	nftw(path, help_unlink, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void help_end(void)
{
	remove_folder(help_folder);
}

/* A path in this test's own folder, which goes when the test ends. */
static inline const char *path_of(const char *name)
{
	static char paths[8][300];
	static unsigned next;
	const char *base = getenv("TMPDIR");
	char *path = paths[next++ % 8];

	if (!help_folder[0]) {
		snprintf(help_folder, sizeof help_folder, "%s/featurefs-unit.XXXXXX", base ? base : "/tmp");
		NEED(mkdtemp(help_folder));
		atexit(help_end);
	}
	snprintf(path, 300, "%s/%s", help_folder, name);
	return path;
}

static inline void copy_file(const char *from, const char *to)
{
	char bytes[65536];
	int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	ssize_t n;

	NEED(in >= 0 && out >= 0);
	while ((n = read(in, bytes, sizeof bytes)) > 0)
		NEED(write(out, bytes, (size_t)n) == n);
	close(in);
	close(out);
}

/* ---- options ---- */

static char help_notice[400];

static inline void take_notice(void *arg, bool is_error, const char *text)
{
	(void)arg;
	snprintf(help_notice, sizeof help_notice, "%s: %s", is_error ? "error" : "good", text);
}

static inline struct store_options plain_options(void)
{
	return (struct store_options){ .map_bytes = 256 << 20, .segment_bytes = 64 << 10, .log_bytes = 1 << 20,
				       .checkpoint_ms = 50,
				       .checkpoint_bytes = 1 << 20, .notice = take_notice };
}

static inline struct store *open_store(const char *path, const struct store_options *options)
{
	struct store *store = NULL;
	struct why why;
	int rc = store_open(path, options, &store, &why);

	if (rc < 0)
		fprintf(stderr, "store_open: %d %s\n", rc, why.text);
	NEED(rc == 0);
	return store;
}

/* ---- the model ---- */

enum { MODEL_ROWS = 400, MODEL_KEYS = 40 };

/* The third table of rows is the overlay of the first one. */
enum { MODEL_TABLES = 3, MODEL_OVERLAY = 2 };

#define MODEL_HIDES UINT64_MAX

struct model {
	uint64_t seq;
	/* 0: not there, else the number that its value is made of, or MODEL_HIDES */
	uint64_t rows[MODEL_TABLES][MODEL_ROWS];
	uint64_t keys[MODEL_KEYS];
};

enum step_kind { STEP_ROW, STEP_ROW_AWAY, STEP_SET, STEP_FOLD, STEP_CLEAR, STEP_PUT, STEP_DELETE, STEP_NOTE };

struct step {
	enum step_kind kind;
	unsigned table, index, first;
	uint64_t number;
};

static inline uint64_t mix(uint64_t x)
{
	x ^= x >> 30;
	x *= UINT64_C(0xbf58476d1ce4e5b9);
	x ^= x >> 27;
	x *= UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

static inline unsigned steps_of(uint64_t seq)
{
	return mix(seq) % 20 ? 1 + (unsigned)(mix(seq) >> 8) % 6 : 1 + (unsigned)(mix(seq) >> 8) % 300;
}

static inline struct step step_of(uint64_t seq, unsigned i)
{
	uint64_t m = mix(seq * 1000 + i);
	struct step step = { .number = seq * 1000 + i + 1 };
	unsigned kind = m % 16;

	m >>= 8;
	step.kind = kind < 6 ? STEP_ROW : kind < 8 ? STEP_ROW_AWAY : kind < 11 ? STEP_SET :
		    kind < 12 ? (m >> 40 & 3 ? STEP_FOLD : STEP_CLEAR) :
		    kind < 14 ? STEP_PUT : kind < 15 ? STEP_DELETE : STEP_NOTE;
	step.table = m % 2;
	step.index = (unsigned)(m >> 8) % (step.kind <= STEP_CLEAR ? MODEL_ROWS : MODEL_KEYS);
	if (step.kind == STEP_SET && m >> 43 & 1)
		step.number = MODEL_HIDES;
	/* One row, or up to 16 of them, or all from the beginning. */
	step.first = (unsigned)(m >> 44) & 15;
	step.first = step.first == 15 || step.first > step.index ? 0 : step.index - step.first;
	return step;
}

/* Mostly small, sometimes with pages of its own. */
static inline struct slice value_of(uint64_t number)
{
	static char value[12000];
	size_t len = number % 97 == 0 ? 3000 + number % 9000 : number % 200;

	for (size_t i = 0; i < len; i++)
		value[i] = (char)(number * 31 + i);
	return slice_of(value, len);
}

static inline struct slice name_of(char out[32], const char *kind, unsigned index)
{
	return slice_of(out, (size_t)snprintf(out, 32, "%s%04u", kind, index));
}

static inline void delta_of(struct buf *out, uint64_t number)
{
	struct record_stamp stamp = { .event_ns = (int64_t)number, .ingest_ns = 1, .lane = RECORD_LANE_DIRECT };
	struct record_builder b = { 0 };
	struct slice value = number ? value_of(number) : slice_of(NULL, 0);

	record_builder_reset(&b, number ? RECORD_EXISTS : 0);
	record_builder_cell(&b, 0, number ? RECORD_PRESENT : RECORD_ABSENT, 7, record_builder_stamp(&b, &stamp), value);
	buf_reset(out);
	NEED(record_builder_finish(&b, out) == 0);
	record_builder_release(&b);
}

static inline void model_step(struct model *model, struct step step)
{
	switch (step.kind) {
	case STEP_ROW:
	case STEP_ROW_AWAY:
		model->rows[step.table][step.index] = step.kind == STEP_ROW ? step.number : 0;
		break;
	case STEP_SET:
		model->rows[MODEL_OVERLAY][step.index] = step.number;
		break;
	case STEP_FOLD:
		for (unsigned i = step.first; i <= step.index; i++) {
			uint64_t *over = &model->rows[MODEL_OVERLAY][i];

			if (*over)
				model->rows[0][i] = *over == MODEL_HIDES ? 0 : *over;
			*over = 0;
		}
		break;
	case STEP_CLEAR:
		memset(model->rows[MODEL_OVERLAY], 0, (step.index + 1) * sizeof model->rows[0][0]);
		break;
	case STEP_PUT:
	case STEP_DELETE:
		model->keys[step.index] = step.kind == STEP_PUT ? step.number : 0;
		break;
	case STEP_NOTE:
		break;
	}
}

static inline int play_step(struct store_batch *batch, struct step step)
{
	struct buf delta = { 0 };
	char name[32], first[32];
	int rc = 0;

	switch (step.kind) {
	case STEP_ROW:
	case STEP_ROW_AWAY:
		delta_of(&delta, step.kind == STEP_ROW ? step.number : 0);
		rc = store_batch_row(batch, step.table + 1, name_of(name, "e", step.index), buf_slice(&delta));
		break;
	case STEP_SET:
		if (step.number != MODEL_HIDES)
			delta_of(&delta, step.number);
		rc = store_batch_set(batch, MODEL_OVERLAY + 1, name_of(name, "e", step.index), buf_slice(&delta));
		break;
	case STEP_FOLD:
		rc = store_batch_fold(batch, MODEL_OVERLAY + 1, 1, step.first ? name_of(first, "e", step.first) : slice_of(NULL, 0),
				      name_of(name, "e", step.index));
		break;
	case STEP_CLEAR:
		rc = store_batch_clear(batch, MODEL_OVERLAY + 1, name_of(name, "e", step.index));
		break;
	case STEP_PUT:
		rc = store_batch_put(batch, STORE_SOURCES, name_of(name, "k", step.index), value_of(step.number));
		break;
	case STEP_DELETE:
		rc = store_batch_delete(batch, STORE_SOURCES, name_of(name, "k", step.index));
		rc = rc == -ENOENT ? 0 : rc;
		break;
	case STEP_NOTE:
		rc = store_batch_note(batch, slice_str("a note"));
		break;
	}
	buf_release(&delta);
	return rc;
}

/* Brings the model to commit `seq`. */
static inline void model_play(struct model *model, uint64_t seq)
{
	while (model->seq < seq) {
		model->seq++;
		for (unsigned i = 0; i < steps_of(model->seq); i++)
			model_step(model, step_of(model->seq, i));
	}
}

static bool help_postpones;	/* commits do, but those whose number 10 divides */

/* Makes commit `seq`, which must be the next one. Makes room if it must. */
static inline int play_commit(struct store *store, uint64_t seq)
{
	struct store_batch *batch;
	uint64_t got;
	int rc = 0;

	for (int try = 0; try < 2; try++) {
		rc = store_batch_begin(store, &batch);
		for (unsigned i = 0; i < steps_of(seq) && rc == 0; i++)
			rc = play_step(batch, step_of(seq, i));
		if (rc == 0 && help_postpones && seq % 10)
			store_batch_postpone_sync(batch);
		if (rc == 0)
			rc = store_batch_log(batch, &got);
		if (rc == 0) {
			CHECK_INT(got, seq);
			return store_batch_commit(batch);
		}
		store_batch_abort(batch);
		if (rc != -ENOSPC)
			break;
		rc = store_make_room(store);
		if (rc == 0)
			rc = -ENOSPC;
	}
	return rc;
}

static inline unsigned compare_rows(struct store_snap *snap, const struct model *model, unsigned table)
{
	struct slice key, value, want;
	struct store_walk *walk;
	struct record rec;
	struct record_cell cell;
	unsigned bad = 0, i = 0;
	char name[32];
	int rc;

	NEED(store_walk_rows(snap, table + 1, slice_of(NULL, 0), &walk) == 0);
	while ((rc = store_walk_next(walk, &key, &value)) == 0) {
		while (i < MODEL_ROWS && !model->rows[table][i])
			i++;
		if (i == MODEL_ROWS || !slice_equal(key, name_of(name, "e", i))) {
			bad++;
			break;
		}
		if (model->rows[table][i] == MODEL_HIDES) {
			bad += value.len != 0;
			i++;
			continue;
		}
		want = value_of(model->rows[table][i]);
		bad += record_view(value, &rec) < 0 || !record_find(&rec, 0, &cell) || !slice_equal(cell.value, want);
		bad += store_get_row(snap, table + 1, key, &want) < 0 || !slice_equal(want, value);
		i++;
	}
	while (i < MODEL_ROWS)
		bad += model->rows[table][i++] != 0;
	bad += rc != -ENOENT && rc != 0;
	store_walk_end(walk);
	return bad;
}

/* The first table through the third one: single rows, a walk, and a walk that seeks with steps of `stride`. */
static inline unsigned compare_over(struct store_snap *snap, const struct model *model, unsigned stride)
{
	struct slice key, value, row;
	struct store_walk *walk, *seek;
	unsigned bad = 0, i;
	char name[32];
	int rc;

	NEED(store_walk_rows_over(snap, 1, MODEL_OVERLAY + 1, slice_of(NULL, 0), &walk) == 0);
	NEED(store_walk_rows_over(snap, 1, MODEL_OVERLAY + 1, slice_of(NULL, 0), &seek) == 0);
	for (i = 0; i < MODEL_ROWS; i++) {
		uint64_t over = model->rows[MODEL_OVERLAY][i], number = over == MODEL_HIDES ? 0 : over ? over : model->rows[0][i];
		struct record_cell cell;
		struct record rec;

		rc = store_get_row_over(snap, 1, MODEL_OVERLAY + 1, name_of(name, "e", i), &row);
		bad += rc != (number ? 0 : -ENOENT);
		if (!number)
			continue;
		bad += record_view(row, &rec) < 0 || !record_find(&rec, 0, &cell) || !slice_equal(cell.value, value_of(number));
		bad += store_walk_next(walk, &key, &value) < 0 || !slice_equal(key, name_of(name, "e", i)) || !slice_equal(value, row);
		if (i % stride)
			continue;
		bad += store_walk_seek(seek, name_of(name, "e", i), &key, &value) < 0 || !slice_equal(key, name_of(name, "e", i)) ||
		       !slice_equal(value, row);
	}
	bad += store_walk_next(walk, &key, &value) != -ENOENT;
	bad += store_walk_seek(seek, slice_str("f"), &key, &value) != -ENOENT;
	store_walk_end(walk);
	store_walk_end(seek);
	return bad;
}

/* Number of differences. */
static inline unsigned compare_model(struct store *store, const struct model *model)
{
	struct store_snap *snap;
	struct slice value;
	unsigned bad = 0;
	char name[32];

	NEED(store_snap_begin(store, &snap) == 0);
	for (unsigned table = 0; table < MODEL_TABLES; table++)
		bad += compare_rows(snap, model, table);
	bad += compare_over(snap, model, 1 + (unsigned)model->seq % 40);
	for (unsigned i = 0; i < MODEL_KEYS; i++) {
		int rc = store_get(snap, STORE_SOURCES, name_of(name, "k", i), &value);

		if (model->keys[i])
			bad += rc < 0 || !slice_equal(value, value_of(model->keys[i]));
		else
			bad += rc != -ENOENT;
	}
	store_snap_end(snap);
	return bad;
}

static inline uint64_t last_seq(struct store *store)
{
	struct store_figures figures;

	store_figures(store, &figures);
	return figures.last_seq;
}

static inline void print_fault(void *arg, const char *fault)
{
	(void)arg;
	fprintf(stderr, "  fault: %s\n", fault);
}

/* Does the store hold just what its newest commit says? */
static inline void check_store(struct store *store)
{
	static struct model model;

	if (model.seq > last_seq(store))
		memset(&model, 0, sizeof model);
	model_play(&model, last_seq(store));
	CHECK_INT(compare_model(store, &model), 0);
	CHECK_INT(store_verify(store, print_fault, NULL), 0);
}

#endif
