/* SPDX-License-Identifier: MIT */
/*
 * A commit: the requests of one round, made visible together. Only the leader is in here (writer.c). Step by step:
 *
 *	fill	each request's changes go into the map's transaction and the log record; a refused request leaves nothing behind
 *		(a savepoint, if it has more than one change), and the others go on
 *	log	room on the disk is made sure of, the record is appended and synced: from here on the commit is decided
 *	tell	listeners learn which names change, before a reader can see anything new
 *	map	the transaction is committed, a changed catalog is published with it
 *	answer	listeners, then the requests' completions
 *
 * A request that says so is committed in parts, as many rows of it as its lane finds right for the moment. Before a commit is closed, small requests
 * that have come while it was filled are taken into it. So a lone writer beside a lane with much to do waits for the rest of one part and
 * shares its fdatasync, instead of taking turns with it.
 *
 * Where the map or disk is full, what only the checkpoint's pin holds is freed and the round is done once more; if that does not
 * help, each request of the round is tried alone, so that a small one, or one that deletes, is not refused for a large one beside it.
 */
#include "ingest/private.h"

#include <errno.h>
#include <endian.h>
#include <string.h>
#include "base/clock.h"

enum { PART_MIN = 16 };		/* rows that a commit takes of a request in parts, at the least */

static const char ingest_clock_key[] = "ingest_ns";

/* ---- one request inside of a commit ---- */

/* What a request changes in the commit beside the batch, so that it can be taken back. */
struct mark {
	struct catalog *cat;
	bool cat_changed;
	struct buf stats;
	size_t changed_len, names_len, slots_len, touches_len;
};

static int mark_set(struct commit *commit, struct mark *mark)
{
	*mark = (struct mark){ .cat = catalog_ref(commit->cat), .cat_changed = commit->cat_changed, .changed_len = commit->changed.len,
			       .names_len = commit->names.len, .slots_len = commit->slots.len,
			       .touches_len = commit->touches.len };
	buf_append_slice(&mark->stats, buf_slice(&commit->stats));
	return buf_error(&mark->stats);
}

static void mark_return(struct commit *commit, struct mark *mark)
{
	struct buf stats = commit->stats;

	catalog_unref(commit->cat);
	commit->cat = catalog_ref(mark->cat);
	commit->cat_changed = mark->cat_changed;
	commit->changed.len = mark->changed_len;
	commit->names.len = mark->names_len;
	commit->slots.len = mark->slots_len;
	commit->touches.len = mark->touches_len;
	commit->stats = mark->stats;
	mark->stats = stats;
}

static void mark_release(struct mark *mark)
{
	catalog_unref(mark->cat);
	buf_release(&mark->stats);
}

static int apply_change(struct ingest *ingest, struct ingest_request *req, const struct change *chg, struct ingest_result *result,
			struct why *why)
{
	if (chg->kind >= CHANGE_GROUP_MAKE)
		return apply_group_change(ingest, req, chg, result, why);
	return apply_row_change(ingest, req, chg, result, why);
}

static bool spoils_batch(int rc)
{
	return rc == -ENOMEM || rc == -EIO || rc == -EBADMSG;
}

/* What a lane's callbacks see of the commit. */
struct ingest_positions {
	struct commit *commit;
};

const struct catalog *ingest_positions_catalog(const struct ingest_positions *at)
{
	return at->commit->cat;
}

int ingest_positions_get(struct ingest_positions *at, struct slice key, struct slice *out)
{
	return store_batch_get(at->commit->batch, STORE_POSITIONS, key, out);
}

int ingest_positions_put(struct ingest_positions *at, struct slice key, struct slice value)
{
	return store_batch_put(at->commit->batch, STORE_POSITIONS, key, value);
}

int ingest_positions_delete(struct ingest_positions *at, struct slice key)
{
	return store_batch_delete(at->commit->batch, STORE_POSITIONS, key);
}

static void count_row(struct ingest_result *result, unsigned applied, unsigned late, int rc)
{
	if (rc < 0)
		result->rows_refused++;
	else if (result->late > late && result->applied == applied)
		result->rows_late++;
	else
		result->rows_applied++;
}

static size_t count_changes(const struct ingest_request *req)
{
	return req->changes.len / sizeof(struct change);
}

static bool may_be_parted(const struct ingest_request *req)
{
	return req->position_ops && req->position_ops->part;
}

/* How many rows the commit takes of those that are left. */
static size_t choose_part(const struct ingest *ingest, const struct ingest_request *req)
{
	size_t left = count_changes(req) - req->taken, most;

	if (!may_be_parted(req))
		return left;
	most = req->position_ops->part(req->position_arg) / ingest->commit.n_parted;
	if (most < PART_MIN)
		most = PART_MIN;
	return left < most ? left : most;
}

static int apply_rows(struct ingest *ingest, struct ingest_request *req)
{
	const struct change *list = (const struct change *)req->changes.data;
	const struct sorted *order = req->order.len ? (const struct sorted *)req->order.data : NULL;
	size_t n = count_changes(req), end;
	bool is_whole;

	req->part = choose_part(ingest, req);
	end = req->taken + req->part;
	is_whole = req->part == n;
	req->result.rows_left = n - end;
	for (size_t i = req->taken; i < end; i++) {
		unsigned applied = req->result.applied, late = req->result.late;
		size_t at = order ? order[i].change : i;
		int rc;

		req->why.text[0] = '\0';
		rc = apply_change(ingest, req, &list[at], &req->result, &req->why);
		if (rc < 0 && (!req->is_row_by_row || rc == -ENOSPC || spoils_batch(rc)))
			return rc;
		if (rc < 0 && req->row_done)
			req->row_done(req->arg, at, rc, &req->why);
		if (!is_whole && req->position_ops->row)
			req->position_ops->row(req->position_arg, at);
		count_row(&req->result, applied, late, rc);
	}
	return 0;
}

static int apply_changes(struct ingest *ingest, struct ingest_request *req)
{
	struct ingest_positions at = { &ingest->commit };
	int rc = req->position_ops ? req->position_ops->check(req->position_arg, &at) : 0;

	if (rc == 0)
		rc = apply_rows(ingest, req);
	if (rc == 0 && req->has_position)
		rc = ingest_positions_put(&at, extent_slice(req, req->position_key), extent_slice(req, req->position));
	if (rc == 0 && req->position_ops)
		rc = req->position_ops->store(req->position_arg, &at, &req->result);
	return rc;
}

static int apply_behind_savepoint(struct ingest *ingest, struct ingest_request *req)
{
	struct commit *commit = &ingest->commit;
	struct mark mark;
	int rc = mark_set(commit, &mark);

	if (rc == 0)
		rc = store_batch_save(commit->batch);
	if (rc < 0)
		goto out;
	rc = apply_changes(ingest, req);
	if (rc == 0) {
		rc = store_batch_release(commit->batch);
		goto out;
	}
	store_batch_rollback(commit->batch);
	mark_return(commit, &mark);
out:
	mark_release(&mark);
	return rc;
}

/* Returns -ENOSPC or another errno that ends the round if the batch itself can't go on; else 0, with the request's own outcome in its
 * result. */
static int apply_request(struct ingest *ingest, struct ingest_request *req)
{
	struct commit *commit = &ingest->commit;
	bool needs_savepoint = req->position_ops || count_changes(req) + req->has_position > 1;
	size_t bytes_before = store_batch_bytes(commit->batch);
	int rc;

	req->result = (struct ingest_result){ 0 };
	req->part = 0;
	if (req->error) {
		req->result.rc = req->error;
		return 0;
	}
	commit->refused_for_room = false;
	rc = needs_savepoint ? apply_behind_savepoint(ingest, req) : apply_changes(ingest, req);
	req->result.rc = rc;
	if (rc == -ENOSPC && commit->refused_for_room)
		return 0;
	if (rc == -ENOSPC || spoils_batch(rc))
		return rc;
	/* A request of one change is refused before it writes; anything else would leave half of it in the commit. */
	if (rc < 0 && !needs_savepoint && store_batch_bytes(commit->batch) != bytes_before)
		return -EIO;
	return 0;
}

/* ---- the commit ---- */

static void commit_reset(struct commit *commit)
{
	catalog_unref(commit->cat);
	commit->cat = NULL;
	commit->cat_changed = false;
	buf_reset(&commit->stats);
	buf_reset(&commit->changed);
	buf_reset(&commit->names);
	buf_reset(&commit->slots);
	buf_reset(&commit->touches);
	buf_reset(&commit->touched_bytes);
}

void commit_release(struct commit *commit)
{
	commit_reset(commit);
	record_builder_release(&commit->delta);
	record_builder_release(&commit->late);
	buf_release(&commit->stats);
	buf_release(&commit->changed);
	buf_release(&commit->names);
	buf_release(&commit->slots);
	buf_release(&commit->delta_bytes);
	buf_release(&commit->late_bytes);
	buf_release(&commit->row_bytes);
	buf_release(&commit->touches);
	buf_release(&commit->touched_bytes);
}

int commit_load_clock(struct ingest *ingest, struct store_snap *snap)
{
	struct slice bytes;
	uint64_t stored;
	int rc = store_get(snap, STORE_META, slice_str(ingest_clock_key), &bytes);

	if (rc == -ENOENT)
		return 0;
	if (rc < 0)
		return rc;
	if (bytes.len != sizeof stored)
		return -EBADMSG;
	memcpy(&stored, bytes.data, sizeof stored);
	ingest->last_ingest_ns = (int64_t)le64toh(stored);
	return 0;
}

static int write_counters(struct ingest *ingest)
{
	struct commit *commit = &ingest->commit;
	const struct touched_stats *list = (const struct touched_stats *)commit->stats.data;
	uint64_t clock = htole64((uint64_t)commit->clock.ingest_ns);
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < commit->stats.len / sizeof *list; i++) {
		uint8_t key[4];

		key_of_number(list[i].group_id, key);
		/* The counters of a group that this round has taken away for good must not come back. */
		if (!catalog_find_id(commit->cat, list[i].group_id))
			continue;
		buf_reset(&commit->row_bytes);
		catalog_stats_encode(&list[i].stats, &commit->row_bytes);
		rc = store_batch_put(commit->batch, STORE_STATS, slice_of(key, sizeof key), buf_slice(&commit->row_bytes));
	}
	if (rc == 0)
		rc = store_batch_put(commit->batch, STORE_META, slice_str(ingest_clock_key), slice_of(&clock, sizeof clock));
	if (rc == 0 && commit->cat_changed)
		rc = store_batch_put(commit->batch, STORE_META, slice_str(CATALOG_VERSION_KEY), slice_of(&clock, sizeof clock));
	return rc;
}

int commit_begin(struct ingest *ingest)
{
	struct commit *commit = &ingest->commit;
	uint64_t number;
	int rc;

	commit_reset(commit);
	commit->clock.now_ns = clock_now();
	commit->clock.ingest_ns = commit->clock.now_ns > ingest->last_ingest_ns ? commit->clock.now_ns : ingest->last_ingest_ns + 1;
	commit->clock.future_ns = ingest->options.future_ns;
	commit->clock.tombstone_ns = ingest->options.tombstone_ns;
	commit->no_room = !store_has_room(ingest->store);
	rc = store_batch_begin(ingest->store, &commit->batch);
	if (rc == 0)
		commit->cat = catalog_current_get(ingest->cur, &number);
	return rc;
}

/* `was` comes counted. */
static void gather_news(struct ingest *ingest, struct ingest_news *out)
{
	struct commit *commit = &ingest->commit;
	struct ingest_changed *list = (struct ingest_changed *)commit->changed.data;
	uint64_t number;

	*out = (struct ingest_news){ .list = list, .n = commit->changed.len / sizeof *list };
	for (size_t i = 0; i < out->n; i++) {
		if (list[i].entity.len)
			list[i].entity.data = commit->names.data + (size_t)list[i].entity.data;
		if (list[i].n_slots)
			list[i].slots = (const uint16_t *)commit->slots.data + (size_t)list[i].slots;
	}
	if (commit->cat_changed) {
		out->was = catalog_current_get(ingest->cur, &number);
		out->next = commit->cat;
	}
}

/* From the filled batch to a visible commit. 0, or why nothing of it is visible. */
static int finish_commit(struct ingest *ingest, uint64_t *out_seq)
{
	struct commit *commit = &ingest->commit;
	struct ingest_news news;
	bool is_news;
	int rc = store_batch_log(commit->batch, out_seq);

	if (rc < 0) {
		store_batch_abort(commit->batch);
		return rc;
	}
	gather_news(ingest, &news);
	is_news = news.n || news.next;
	if (is_news && ingest->options.changing)
		ingest->options.changing(ingest->options.listener_arg, &news);
	if (commit->cat_changed)
		catalog_publish_begin(ingest->cur);
	load_committing(ingest, *out_seq);
	rc = store_batch_commit(commit->batch);
	if (commit->cat_changed)
		catalog_publish_end(ingest->cur, rc == 0 ? catalog_ref(commit->cat) : NULL);
	if (is_news && ingest->options.changed)
		ingest->options.changed(ingest->options.listener_arg, &news);
	catalog_unref(news.was);
	ingest->last_ingest_ns = commit->clock.ingest_ns;
	if (rc == 0)
		load_committed(ingest, *out_seq);
	return rc < 0 ? -EIO : 0;
}

int commit_end(struct ingest *ingest, bool syncs, uint64_t *out_seq)
{
	struct commit *commit = &ingest->commit;
	int rc;

	if (store_batch_is_empty(commit->batch)) {
		store_batch_abort(commit->batch);
		return 0;
	}
	rc = write_counters(ingest);
	if (rc < 0) {
		store_batch_abort(commit->batch);
		return rc;
	}
	if (!syncs)
		store_batch_postpone_sync(commit->batch);
	return finish_commit(ingest, out_seq);
}

/* ---- a round ---- */

static int apply_list(struct ingest *ingest, struct ingest_request *list)
{
	int rc = 0;

	for (struct ingest_request *req = list; rc == 0 && req; req = req->next)
		rc = apply_request(ingest, req);
	return rc;
}

/* What has come while the list was applied, behind it. */
static int apply_joining(struct ingest *ingest, struct ingest_request *list)
{
	struct ingest_request *more = writer_take_joining(ingest);

	if (!more)
		return 0;
	while (list->next)
		list = list->next;
	list->next = more;
	return apply_list(ingest, more);
}

/* Commits the requests of a list as one. Each has its result afterwards, unless a negative errno is returned: then nothing was committed. `is_open`:
 * others may join the list's end. */
static int commit_list(struct ingest *ingest, struct ingest_request *list, bool is_open)
{
	struct commit *commit = &ingest->commit;
	uint64_t seq = 0;
	int rc = commit_begin(ingest);

	if (rc < 0)
		return rc;
	commit->n_parted = 0;
	for (const struct ingest_request *req = list; req; req = req->next)
		commit->n_parted += may_be_parted(req);
	rc = apply_list(ingest, list);
	if (rc == 0 && is_open)
		rc = apply_joining(ingest, list);
	if (rc < 0) {
		store_batch_abort(commit->batch);
		return rc;
	}
	rc = commit_end(ingest, true, &seq);
	for (struct ingest_request *req = list; rc == 0 && req; req = req->next)
		if (req->result.rc == 0)
			req->result.seq = seq;
	return rc;
}

/* -EIO is a disk that failed, or else a fault of ours or of LMDB's. */
static void fail_list(struct ingest *ingest, struct ingest_request *list, int rc)
{
	const char *surprise = store_surprise();
	struct store_figures figures;

	store_figures(ingest->store, &figures);
	for (struct ingest_request *req = list; req; req = req->next) {
		req->result = (struct ingest_result){ .rc = rc };
		if (rc == -ENOSPC)
			say_no_room(&req->why);
		else if (rc == -EIO && !figures.failed)
			why_fail(&req->why, EIO, "the commit was given up, and nothing of it is stored: %s",
				 surprise ? surprise : "one of its changes failed half-way");
		else if (rc == -EIO)
			why_fail(&req->why, EIO, "the log can't be written; it is not known whether this change will be there: restart the daemon");
	}
}

/* -ENOSPC is tried again with the pin's pages given back, then request by request. */
void commit_round(struct ingest *ingest, struct ingest_request *list)
{
	int rc = commit_list(ingest, list, true);

	if (rc == -ENOSPC && store_make_room(ingest->store) == 0)
		rc = commit_list(ingest, list, false);
	for (struct ingest_request *req = list; rc == -ENOSPC && list->next && req; req = req->next) {
		struct ingest_request *next = req->next;
		int alone;

		req->next = NULL;
		alone = commit_list(ingest, req, false);
		if (alone < 0)
			fail_list(ingest, req, alone);
		req->next = next;
		if (!next)
			rc = 0;
	}
	if (rc < 0)
		fail_list(ingest, list, rc);
}
