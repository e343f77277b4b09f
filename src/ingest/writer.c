/* SPDX-License-Identifier: MIT */
/*
 * The queue and the commit. Requests wait in one list; whoever finds that nobody leads becomes the leader, takes all that waits and
 * commits it as one. A caller leads one round, for its own request's sake; what has come meanwhile goes to ingest's own thread, which leads until
 * the list is empty. So a lone writer pays no change of threads, a crowd shares each fdatasync, and no caller works for the others.
 *
 * A commit, step by step:
 *
 *	fill	each request's changes go into the map's transaction and the log record; a refused request leaves nothing behind
 *		(a savepoint, if it has more than one change), and the others go on
 *	log	room on the disk is made sure of, the record is appended and synced: from here on the commit is decided
 *	tell	listeners learn which names change, before a reader can see anything new
 *	map	the transaction is committed, a changed catalog is published with it
 *	answer	listeners, then the requests' completions
 *
 * A request that says so is committed in parts, as many rows of it as its lane finds right for the moment; its rest goes back to the head of the
 * queue. Before a commit is closed, small requests that have come while it was filled are taken into it. So a lone writer beside a lane
 * with much to do waits for the rest of one part and shares its fdatasync, instead of taking turns with it.
 *
 * Where the map or disk is full, what only the checkpoint's pin holds is freed and the round is done once more; if that does not
 * help, each request of the round is tried alone, so that a small one, or one that deletes, is not refused for a large one beside it.
 */
#include "ingest/private.h"

#include <errno.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"

enum {
	ROUND_REQUESTS = 4096,		/* of one commit */
	ROUND_BYTES = 8 << 20,		/* begun before this many bytes were taken; bounds a commit's time for those who wait */
	JOIN_REQUESTS = 256,		/* that come while a commit is filled and are taken into it */
	JOIN_BYTES = 16 << 10,		/* of each of them */
	PART_MIN = 16,			/* rows */
};

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

/* ---- a round ---- */

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

static struct ingest_request *take_joining(struct ingest *ingest);

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
	struct ingest_request *more = take_joining(ingest);

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
			why_fail(&req->why, ENOSPC, "the map or the disk is full: delete something, raise store.map_size, or free the disk");
		else if (rc == -EIO && !figures.failed)
			why_fail(&req->why, EIO, "the commit was given up, and nothing of it is stored: %s",
				 surprise ? surprise : "one of its changes failed half-way");
		else if (rc == -EIO)
			why_fail(&req->why, EIO, "the log can't be written; it is not known whether this change will be there: restart the daemon");
	}
}

/* -ENOSPC is tried again with the pin's pages given back, then request by request. */
static void commit_round(struct ingest *ingest, struct ingest_request *list)
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

/* ---- the queue ---- */

static bool has_series(const struct ingest_request *list, const void *series)
{
	for (; list; list = list->next)
		if (list->series == series)
			return true;
	return false;
}

/* Takes the request that `link` leads to out of the queue and adds it to a list. Called with the lock held. */
static void take(struct ingest *ingest, struct ingest_request **link, struct ingest_request ***end)
{
	struct ingest_request *req = *link;

	*link = req->next;
	if (!req->next)
		ingest->tail = link;
	req->next = NULL;
	**end = req;
	*end = &req->next;
	ingest->waiting--;
}

/* Called with the lock held. */
static struct ingest_request *take_round(struct ingest *ingest)
{
	struct ingest_request *first = NULL, **end = &first, **link = &ingest->head;
	size_t bytes = 0;

	for (size_t n = 0; *link && n < ROUND_REQUESTS && bytes < ROUND_BYTES; n++) {
		struct ingest_request *req = *link;

		/* The one before it may turn out to be in parts. */
		if (req->series && has_series(first, req->series)) {
			link = &req->next;
			continue;
		}
		bytes += ingest_request_bytes(req);
		take(ingest, link, &end);
	}
	return first;
}

static struct ingest_request *take_joining(struct ingest *ingest)
{
	struct ingest_request *first = NULL, **end = &first, **link;

	pthread_mutex_lock(&ingest->lock);
	link = &ingest->head;
	/* Requests of a series have an order among themselves only, all others keep theirs. */
	for (size_t n = 0; *link && n < JOIN_REQUESTS; n++) {
		if ((*link)->series)
			link = &(*link)->next;
		else if (ingest_request_bytes(*link) <= JOIN_BYTES)
			take(ingest, link, &end);
		else
			break;
	}
	pthread_mutex_unlock(&ingest->lock);
	return first;
}

/* Takes those of which a part is committed and more is left out of the list. */
static struct ingest_request *take_unfinished(struct ingest_request **list)
{
	struct ingest_request *first = NULL, **end = &first, **link = list;

	while (*link) {
		struct ingest_request *req = *link;

		if (req->result.rc < 0 || !req->result.rows_left) {
			link = &req->next;
			continue;
		}
		*link = req->next;
		req->next = NULL;
		*end = req;
		end = &req->next;
		req->taken += req->part;
		if (req->position_ops->parted)
			req->position_ops->parted(req->position_arg);
	}
	return first;
}

/* They go on in the next round. Called with the lock held. */
static void put_back(struct ingest *ingest, struct ingest_request *list)
{
	struct ingest_request **end = &list;

	if (!list)
		return;
	for (; *end; end = &(*end)->next)
		ingest->waiting++;
	*end = ingest->head;
	if (!ingest->head)
		ingest->tail = end;
	ingest->head = list;
}

static void answer(struct ingest *ingest, struct ingest_request *list)
{
	struct ingest_request *next;

	for (struct ingest_request *req = list; req; req = next) {
		next = req->next;
		req->result.why = &req->why;
		req->done(req->arg, &req->result);
		ingest_request_free(req);
	}
	(void)ingest;
}

/* A refusal for lack of space or a failed log concerns every writer; it is written down for each group once it was met. */
static void note_trouble(struct ingest *ingest, const struct ingest_request *req)
{
	const struct change *chg = (const struct change *)req->changes.data;
	struct reject rej = {
		.time_ns = clock_now(), .group_id = req->changes.len ? chg->group_id : CATALOG_ROOT_ID, .lane = req->stamp.lane,
		.reason = reject_reason_of(-req->result.rc), .err = -req->result.rc, .who = req->who,
		.entity = req->changes.len ? extent_slice(req, chg->name) : slice_str(""), .detail = req->why.text,
	};

	reject_log_add(ingest->rejects, &rej);
}

/* One round, with the lock held at the beginning and at the end, given up in between. */
static void lead_round(struct ingest *ingest)
{
	struct ingest_request *list = take_round(ingest), *unfinished;
	int64_t begun_ns = clock_monotonic();
	uint64_t requests = 0, failed = 0, changes = 0;
	int trouble = 0;

	pthread_mutex_unlock(&ingest->lock);
	commit_round(ingest, list);
	for (struct ingest_request *req = list; req; req = req->next) {
		requests += req->result.rc < 0 || !req->result.rows_left;
		failed += req->result.rc < 0;
		changes += req->part;
		if (req->result.rc == -ENOSPC || req->result.rc == -EIO) {
			trouble = req->result.rc;
			note_trouble(ingest, req);
		}
	}
	unfinished = take_unfinished(&list);
	pthread_mutex_lock(&ingest->lock);
	put_back(ingest, unfinished);
	ingest->trouble = trouble;
	ingest->figures.commits++;
	ingest->figures.requests += requests;
	ingest->figures.failed_requests += failed;
	ingest->figures.changes += changes;
	ingest->figures.commit_ns_total += (uint64_t)(clock_monotonic() - begun_ns);
	pthread_mutex_unlock(&ingest->lock);
	answer(ingest, list);
	pthread_mutex_lock(&ingest->lock);
}

/* The next round or the next work, whichever's turn it is, so that neither waits for more than one of the other. With the lock held,
 * as above. */
static void lead_next(struct ingest *ingest)
{
	struct work *work = ingest->work;

	if (!work || (ingest->head && !ingest->work_is_next)) {
		ingest->work_is_next = true;
		lead_round(ingest);
		return;
	}
	ingest->work_is_next = false;
	ingest->work = work->next;
	if (!ingest->work)
		ingest->work_tail = &ingest->work;
	pthread_mutex_unlock(&ingest->lock);
	work_lead(ingest, work);
	pthread_mutex_lock(&ingest->lock);
}

static bool has_more(const struct ingest *ingest)
{
	return ingest->head || ingest->work;
}

int work_submit(struct ingest *ingest, struct work *work)
{
	int rc = 0;

	work->next = NULL;
	pthread_mutex_lock(&ingest->lock);
	if (ingest->has_stopped || (ingest->stopping && !work->ends)) {
		rc = -ESHUTDOWN;
	} else {
		*ingest->work_tail = work;
		ingest->work_tail = &work->next;
		if (!ingest->leading) {
			ingest->leading = ingest->handed_over = true;
			pthread_cond_signal(&ingest->wake);
		}
	}
	pthread_mutex_unlock(&ingest->lock);
	return rc;
}

/* With the lock held. */
static void enqueue(struct ingest *ingest, struct ingest_request *req)
{
	*ingest->tail = req;
	ingest->tail = &req->next;
	ingest->waiting++;
	if (req->stamp.lane >= 1 && req->stamp.lane <= CATALOG_LANES)
		ingest->figures.lane_requests[req->stamp.lane - 1]++;
}

static void set_done(struct ingest_request *req, ingest_done done, void *arg)
{
	request_close_row(req);
	req->done = done;
	req->arg = arg;
	req->next = NULL;
}

void ingest_submit_behind(struct ingest *ingest, struct ingest_request *req, ingest_done done, void *arg)
{
	set_done(req, done, arg);
	pthread_mutex_lock(&ingest->lock);
	enqueue(ingest, req);
	if (!ingest->leading) {
		ingest->leading = ingest->handed_over = true;
		pthread_cond_signal(&ingest->wake);
	}
	pthread_mutex_unlock(&ingest->lock);
}

void ingest_submit(struct ingest *ingest, struct ingest_request *req, ingest_done done, void *arg)
{
	set_done(req, done, arg);
	pthread_mutex_lock(&ingest->lock);
	enqueue(ingest, req);
	if (!ingest->leading) {
		ingest->leading = true;
		lead_round(ingest);
		ingest->handed_over = has_more(ingest);
		ingest->leading = ingest->handed_over;
		if (ingest->handed_over)
			pthread_cond_signal(&ingest->wake);
	}
	pthread_mutex_unlock(&ingest->lock);
}

static void *lead_rest(void *arg)
{
	struct ingest *ingest = arg;

	pthread_mutex_lock(&ingest->lock);
	for (;;) {
		while (!ingest->handed_over && !ingest->stopping)
			pthread_cond_wait(&ingest->wake, &ingest->lock);
		if (!ingest->handed_over)
			break;
		while (has_more(ingest))
			lead_next(ingest);
		ingest->handed_over = ingest->leading = false;
	}
	ingest->has_stopped = true;
	pthread_mutex_unlock(&ingest->lock);
	return NULL;
}

struct waiter {
	pthread_mutex_t lock;
	pthread_cond_t done;
	bool is_done;
	struct ingest_result *result;
	struct why *why;
};

static void wake_waiter(void *arg, const struct ingest_result *result)
{
	struct waiter *waiter = arg;

	pthread_mutex_lock(&waiter->lock);
	*waiter->result = *result;
	if (waiter->why)
		*waiter->why = *result->why;
	waiter->result->why = waiter->why;
	waiter->is_done = true;
	pthread_cond_signal(&waiter->done);
	pthread_mutex_unlock(&waiter->lock);
}

int ingest_run(struct ingest *ingest, struct ingest_request *req, struct ingest_result *out, struct why *why)
{
	struct ingest_result result;
	struct waiter waiter = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, out ? out : &result, why };

	ingest_submit(ingest, req, wake_waiter, &waiter);
	pthread_mutex_lock(&waiter.lock);
	while (!waiter.is_done)
		pthread_cond_wait(&waiter.done, &waiter.lock);
	pthread_mutex_unlock(&waiter.lock);
	pthread_cond_destroy(&waiter.done);
	pthread_mutex_destroy(&waiter.lock);
	return waiter.result->rc;
}

/* ---- state of the store, for those who can tell a writer early ---- */

int ingest_check_store(struct ingest *ingest)
{
	enum { ENOUGH = 4 << 20 };	/* bytes free on the disk that make another try worth while */
	struct store_figures figures;
	int trouble;

	pthread_mutex_lock(&ingest->lock);
	trouble = ingest->trouble;
	pthread_mutex_unlock(&ingest->lock);
	if (trouble == -EIO)
		return -EIO;
	if (!store_has_room(ingest->store))
		return -ENOSPC;
	if (trouble == 0)
		return 0;
	store_figures(ingest->store, &figures);
	return figures.disk_free_bytes < ENOUGH ? -ENOSPC : 0;
}

struct reject_log *ingest_rejects(struct ingest *ingest)
{
	return ingest->rejects;
}

void ingest_figures(struct ingest *ingest, struct ingest_figures *out)
{
	pthread_mutex_lock(&ingest->lock);
	*out = ingest->figures;
	out->waiting = ingest->waiting;
	pthread_mutex_unlock(&ingest->lock);
}

/* ---- sources ---- */

struct source {
	uint32_t number;
	char *text;
};

static int remember_source(struct ingest *ingest, uint32_t number, struct slice text)
{
	struct source src = { number, strndup(text.data, text.len) };

	if (!src.text)
		return -ENOMEM;
	buf_append(&ingest->sources, &src, sizeof src);
	if (buf_error(&ingest->sources) < 0) {
		free(src.text);
		return -ENOMEM;
	}
	return 0;
}

static int load_sources(struct ingest *ingest, struct store_snap *snap)
{
	struct store_walk *walk;
	struct slice key, text;
	int rc = store_walk_begin(snap, STORE_SOURCES, slice_of(NULL, 0), &walk);

	if (rc < 0)
		return rc;
	while ((rc = store_walk_next(walk, &key, &text)) == 0) {
		const uint8_t *at = key.data;

		if (key.len != 4) {
			rc = -EBADMSG;
			break;
		}
		rc = remember_source(ingest, (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3], text);
		if (rc < 0)
			break;
	}
	store_walk_end(walk);
	return rc == -ENOENT ? 0 : rc;
}

int ingest_source(struct ingest *ingest, struct slice text, uint32_t *out)
{
	struct ingest_request *req = NULL;
	const struct source *list;
	struct ingest_result result;
	size_t n;
	int rc = 0;

	pthread_mutex_lock(&ingest->source_lock);
	list = (const struct source *)ingest->sources.data;
	n = ingest->sources.len / sizeof *list;
	/* The newest are asked for most. */
	for (size_t i = n; i-- > 0;) {
		if (slice_equal(text, slice_str(list[i].text))) {
			*out = list[i].number;
			goto out;
		}
	}
	rc = ingest_request_new(ingest, RECORD_LANE_BATCH, 0, 0, "store", &req);
	if (rc == 0) {
		struct change chg = { .kind = CHANGE_SOURCE };

		request_bytes_add(req, text, &chg.name);
		request_add(req, &chg);
		rc = ingest_run(ingest, req, &result, NULL);
	}
	if (rc == 0)
		rc = remember_source(ingest, result.group_id, text);
	if (rc == 0)
		*out = result.group_id;
out:
	pthread_mutex_unlock(&ingest->source_lock);
	return rc;
}

/* ---- starting and stopping ---- */

static int load_clock(struct ingest *ingest, struct store_snap *snap)
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

static void ingest_free(struct ingest *ingest)
{
	struct commit *commit = &ingest->commit;
	struct source *list = (struct source *)ingest->sources.data;
	struct ingest_request *next;

	for (struct ingest_request *req = ingest->pool; req; req = next) {
		next = req->next;
		request_destroy(req);
	}
	for (size_t i = 0; i < ingest->sources.len / sizeof *list; i++)
		free(list[i].text);
	buf_release(&ingest->sources);
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
	reject_log_free(ingest->rejects);
	pthread_mutex_destroy(&ingest->lock);
	pthread_cond_destroy(&ingest->wake);
	pthread_mutex_destroy(&ingest->source_lock);
	free(ingest);
}

static void end_leader(struct ingest *ingest)
{
	pthread_mutex_lock(&ingest->lock);
	ingest->stopping = true;
	pthread_cond_signal(&ingest->wake);
	pthread_mutex_unlock(&ingest->lock);
	pthread_join(ingest->thread, NULL);
	ingest_free(ingest);
}

int ingest_start(struct store *store, struct catalog_current *cur, const struct ingest_options *options,
		 struct ingest **out, struct why *why)
{
	struct ingest *ingest = calloc(1, sizeof *ingest);
	struct store_snap *snap = NULL;
	int rc;

	if (!ingest)
		return why_fail(why, ENOMEM, "no memory");
	ingest->store = store;
	ingest->cur = cur;
	ingest->options = *options;
	ingest->tail = &ingest->head;
	ingest->work_tail = &ingest->work;
	pthread_mutex_init(&ingest->lock, NULL);
	pthread_cond_init(&ingest->wake, NULL);
	pthread_mutex_init(&ingest->source_lock, NULL);
	rc = reject_log_new(&ingest->rejects);
	if (rc == 0)
		rc = store_snap_begin(store, &snap);
	if (rc == 0)
		rc = load_clock(ingest, snap);
	if (rc == 0)
		rc = load_sources(ingest, snap);
	store_snap_end(snap);
	if (rc == 0)
		rc = -pthread_create(&ingest->thread, NULL, lead_rest, ingest);
	if (rc < 0) {
		ingest_free(ingest);
		return why_fail(why, -rc, "ingest can't start: %s", strerror(-rc));
	}
	rc = keep_start(ingest);
	if (rc == 0) {
		rc = sweep_start(ingest);
		if (rc < 0)
			keep_stop(ingest);
	}
	if (rc < 0) {
		end_leader(ingest);
		return why_fail(why, -rc, "ingest's threads can't start: %s", strerror(-rc));
	}
	*out = ingest;
	return 0;
}

void ingest_stop(struct ingest *ingest)
{
	if (!ingest)
		return;
	sweep_stop(ingest);
	pthread_mutex_lock(&ingest->lock);
	ingest->stopping = true;
	pthread_mutex_unlock(&ingest->lock);
	load_stop(ingest);
	keep_stop(ingest);
	end_leader(ingest);
}
