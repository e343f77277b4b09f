/* SPDX-License-Identifier: MIT */
/*
 * The sweep gives space back: expired values, tombstones past their time, values of retired features, rows of removed groups. It looks
 * for candidates in snapshots, a slice of rows at a time, and sends only their names to ingest, where each row is judged once
 * more as it then stands. No reader ever depends on it. It rests between slices for longer than it worked, so that a large
 * store is swept at a small and constant cost.
 */
#include "ingest/private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "base/clock.h"

enum {
	SLICE_ROWS = 2000,	/* looked at in one snapshot */
	REST_FACTOR = 9,	/* rest this many times as long as a slice took: a tenth of one core at the most */
};

struct slice_result {
	struct buf last;	/* where the next slice begins */
	bool at_end;
	long swept;
};

static struct ingest_request *new_request(struct ingest *ingest, int *rc)
{
	struct ingest_request *req = NULL;

	*rc = ingest_request_new(ingest, RECORD_LANE_DIRECT, 0, 0, "sweep", &req);
	if (*rc == 0)
		ingest_request_row_by_row(req, NULL);
	return req;
}

static long run_request(struct ingest *ingest, struct ingest_request *req)
{
	struct ingest_result result;
	int rc;

	if (req->changes.len == 0) {
		ingest_request_free(req);
		return 0;
	}
	rc = ingest_run(ingest, req, &result, NULL);
	return rc < 0 ? rc : (long)result.applied;
}

static void add_candidate(struct ingest_request *req, enum change_kind kind, uint32_t id, struct slice entity)
{
	struct change chg = { .kind = kind, .group_id = id };

	request_bytes_add(req, entity, &chg.name);
	request_add(req, &chg);
}

/* Looks at the next rows of a group, or of the table of a removed group (`id` 0), where all are candidates. */
static int sweep_slice(struct ingest *ingest, uint32_t id, uint32_t rows, struct slice_result *out)
{
	const struct catalog_group *grp = NULL;
	const struct catalog *cat = NULL;
	struct merge_clock clock = { .now_ns = clock_now(), .tombstone_ns = ingest->options.tombstone_ns };
	struct record_builder delta = { 0 };
	struct merge_outcome outcome;
	struct ingest_request *req = NULL;
	struct store_snap *snap = NULL;
	struct store_walk *walk = NULL;
	struct slice name, bytes;
	struct record rec;
	long swept;
	int rc;

	req = new_request(ingest, &rc);
	/* A load that is published gives its group other tables. */
	if (rc == 0)
		rc = load_view(ingest, &snap, &cat);
	if (rc == 0 && id)
		grp = catalog_find_id(cat, id);
	if (rc == 0 && id && !grp)
		rc = -ENOENT;
	if (rc == 0)
		rc = store_walk_rows_over(snap, grp ? grp->rows : rows, grp ? grp->overlay : 0, buf_slice(&out->last), &walk);
	for (unsigned i = 0; rc == 0 && i < SLICE_ROWS; i++) {
		rc = store_walk_next(walk, &name, &bytes);
		if (rc == 0)
			rc = record_view(bytes, &rec);
		if (rc < 0)
			break;
		if (!grp)
			add_candidate(req, CHANGE_DROP_ROW, rows, name);
		else if (merge_sweep(&rec, grp, &clock, &delta, &outcome))
			add_candidate(req, CHANGE_SWEEP, grp->id, name);
		buf_reset(&out->last);
		buf_append_slice(&out->last, name);
	}
	out->at_end = rc == -ENOENT;
	rc = out->at_end ? 0 : rc < 0 ? rc : buf_error(&out->last);
	store_walk_end(walk);
	store_snap_end(snap);
	catalog_unref(cat);
	record_builder_release(&delta);
	if (rc < 0) {
		ingest_request_free(req);
		return rc;
	}
	swept = run_request(ingest, req);
	if (swept < 0)
		return (int)swept;
	out->swept += swept;
	return 0;
}

/* false if it was told to stop meanwhile. */
static bool rest(struct ingest *ingest, int64_t ns)
{
	struct timespec until = clock_after(ns);
	bool stops;

	pthread_mutex_lock(&ingest->sweep_lock);
	while (!ingest->sweep_stop && pthread_cond_timedwait(&ingest->sweep_wake, &ingest->sweep_lock, &until) == 0)
		;
	stops = ingest->sweep_stop;
	pthread_mutex_unlock(&ingest->sweep_lock);
	return !stops;
}

static long sweep_rows(struct ingest *ingest, uint32_t id, uint32_t rows, bool rests)
{
	struct slice_result res = { .swept = 0 };
	int rc = 0;

	while (rc == 0 && !res.at_end) {
		int64_t begun_ns = clock_monotonic();

		rc = sweep_slice(ingest, id, rows, &res);
		if (rc == 0 && rests && !res.at_end && !rest(ingest, REST_FACTOR * (clock_monotonic() - begun_ns)))
			rc = -EINTR;
	}
	buf_release(&res.last);
	return rc < 0 ? rc : res.swept;
}

/* The names of a removed group's free attributes, each with its NUL. */
static int list_attrs(struct store_snap *snap, uint32_t id, struct buf *out)
{
	struct store_walk *walk;
	struct slice key, value;
	uint8_t prefix[4];
	int rc;

	key_of_number(id, prefix);
	rc = store_walk_begin(snap, STORE_XATTR, slice_of(prefix, sizeof prefix), &walk);
	if (rc < 0)
		return rc;
	while ((rc = store_walk_next(walk, &key, &value)) == 0) {
		buf_append(out, (const char *)key.data + sizeof prefix, key.len - sizeof prefix);
		buf_append_char(out, '\0');
	}
	store_walk_end(walk);
	return rc == -ENOENT ? buf_error(out) : rc;
}

static int forget_removed(struct ingest *ingest, uint32_t id)
{
	struct change chg = { .kind = CHANGE_FORGET_GROUP, .group_id = id };
	struct ingest_request *req = NULL;
	struct store_snap *snap = NULL;
	struct buf names = { 0 };
	int rc = store_snap_begin(ingest->store, &snap);

	if (rc == 0)
		rc = list_attrs(snap, id, &names);
	store_snap_end(snap);
	if (rc == 0)
		req = new_request(ingest, &rc);
	if (rc == 0) {
		request_bytes_add(req, buf_slice(&names), &chg.data);
		request_add(req, &chg);
		rc = ingest_run(ingest, req, NULL, NULL);
	}
	buf_release(&names);
	return rc;
}

struct removed {
	uint32_t id, rows;
};

static uint32_t number_of_key(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static int list_removed(struct ingest *ingest, struct buf *out)
{
	static const char prefix[] = "removed.";
	struct store_snap *snap = NULL;
	struct store_walk *walk = NULL;
	struct slice key, value;
	int rc = store_snap_begin(ingest->store, &snap);

	if (rc == 0)
		rc = store_walk_begin(snap, STORE_META, slice_str(prefix), &walk);
	while (rc == 0 && (rc = store_walk_next(walk, &key, &value)) == 0) {
		struct removed item;

		if (key.len != sizeof prefix - 1 + 4 || value.len != 4) {
			rc = -EBADMSG;
			break;
		}
		item.id = number_of_key((const uint8_t *)key.data + sizeof prefix - 1);
		item.rows = number_of_key(value.data);
		buf_append(out, &item, sizeof item);
	}
	store_walk_end(walk);
	store_snap_end(snap);
	return rc == -ENOENT ? buf_error(out) : rc;
}

static long sweep_all(struct ingest *ingest, bool rests)
{
	struct buf removed = { 0 };
	const struct removed *list;
	uint64_t number;
	struct catalog *cat = catalog_current_get(ingest->cur, &number);
	long total = 0, swept = 0;

	for (unsigned i = 0; swept >= 0 && i < cat->n_groups; i++) {
		swept = sweep_rows(ingest, cat->groups[i]->id, 0, rests);
		total += swept < 0 ? 0 : swept;
	}
	catalog_unref(cat);
	if (swept >= 0)
		swept = list_removed(ingest, &removed);
	list = (const struct removed *)removed.data;
	for (size_t i = 0; swept >= 0 && i < removed.len / sizeof *list; i++) {
		swept = sweep_rows(ingest, 0, list[i].rows, rests);
		if (swept >= 0)
			swept = forget_removed(ingest, list[i].id);
	}
	buf_release(&removed);
	pthread_mutex_lock(&ingest->lock);
	ingest->figures.swept += (uint64_t)total;
	pthread_mutex_unlock(&ingest->lock);
	return swept < 0 ? swept : total;
}

long ingest_sweep(struct ingest *ingest)
{
	return sweep_all(ingest, false);
}

/* A sweep that fails (a full disk, a failed log) is tried again at its next time; what it would have removed is invisible already. */
static void *sweep_loop(void *arg)
{
	struct ingest *ingest = arg;

	while (rest(ingest, ingest->options.sweep_ns))
		sweep_all(ingest, true);
	return NULL;
}

int sweep_start(struct ingest *ingest)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&ingest->sweep_lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&ingest->sweep_wake, &attr);
	pthread_condattr_destroy(&attr);
	if (ingest->options.sweep_ns == 0)
		return 0;
	return -pthread_create(&ingest->sweeper, NULL, sweep_loop, ingest);
}

void sweep_stop(struct ingest *ingest)
{
	pthread_mutex_lock(&ingest->sweep_lock);
	ingest->sweep_stop = true;
	pthread_cond_signal(&ingest->sweep_wake);
	pthread_mutex_unlock(&ingest->sweep_lock);
	if (ingest->options.sweep_ns)
		pthread_join(ingest->sweeper, NULL);
	pthread_mutex_destroy(&ingest->sweep_lock);
	pthread_cond_destroy(&ingest->sweep_wake);
}
