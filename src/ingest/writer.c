/* SPDX-License-Identifier: MIT */
/*
 * The queue, and who leads. Requests wait in one list; whoever finds that nobody leads becomes the leader, takes all that waits and
 * commits it as one. A caller leads one round, for its own request's sake; what has come meanwhile goes to ingest's own thread, which leads until
 * the list is empty. So a lone writer pays no change of threads, a crowd shares each fdatasync, and no caller works for the others.
 *
 * Of a request that is committed in parts (commit.c) the rest goes back to the head of the queue. Works, the other queue (work.c), take turns with
 * the rounds.
 */
#include "ingest/private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"

enum {
	ROUND_REQUESTS = 4096,		/* of one commit */
	ROUND_BYTES = 8 << 20,		/* begun before this many bytes were taken; bounds a commit's time for those who wait */
	JOIN_REQUESTS = 256,		/* that come while a commit is filled and are taken into it */
	JOIN_BYTES = 16 << 10,		/* of each of them */
};

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

struct ingest_request *writer_take_joining(struct ingest *ingest)
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

static void answer(struct ingest_request *list)
{
	struct ingest_request *next;

	for (struct ingest_request *req = list; req; req = next) {
		next = req->next;
		req->result.why = &req->why;
		req->done(req->arg, &req->result);
		ingest_request_free(req);
	}
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
	if (trouble)
		ingest->trouble_ns = clock_monotonic();
	ingest->figures.commits++;
	ingest->figures.requests += requests;
	ingest->figures.failed_requests += failed;
	ingest->figures.changes += changes;
	ingest->figures.commit_ns_total += (uint64_t)(clock_monotonic() - begun_ns);
	pthread_mutex_unlock(&ingest->lock);
	answer(list);
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

int ingest_check_store(struct ingest *ingest, struct why *why)
{
	/* Bytes free on the disk that make another try worth while; without them there is one from time to time, for room in the map
	 * that a snapshot held shows in nothing else. */
	enum { ENOUGH = 4 << 20, TRY_EVERY_MS = 1000 };
	struct store_figures figures;
	int trouble;

	pthread_mutex_lock(&ingest->lock);
	trouble = ingest->trouble;
	if (trouble == -ENOSPC && clock_monotonic() - ingest->trouble_ns >= TRY_EVERY_MS * INT64_C(1000000))
		trouble = 0;
	pthread_mutex_unlock(&ingest->lock);
	if (trouble)
		store_figures(ingest->store, &figures);
	/* A commit that was given up says nothing of the next one; a store that has failed takes none. */
	if (trouble == -EIO && figures.failed)
		return why_fail(why, EIO, "the log can't be written (%s): restart the daemon", strerror(figures.failed));
	if (!store_has_room(ingest->store))
		return say_no_room(why);
	return trouble == -ENOSPC && figures.disk_free_bytes < ENOUGH ? say_no_room(why) : 0;
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

/* ---- starting and stopping ---- */

static void ingest_free(struct ingest *ingest)
{
	struct ingest_request *next;

	for (struct ingest_request *req = ingest->pool; req; req = next) {
		next = req->next;
		request_destroy(req);
	}
	sources_release(ingest);
	commit_release(&ingest->commit);
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
		rc = commit_load_clock(ingest, snap);
	if (rc == 0)
		rc = sources_load(ingest, snap);
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
