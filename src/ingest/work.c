/* SPDX-License-Identifier: MIT */
/*
 * Commits that are not made of requests: the steps of loads, and what loads leave to do. Each is a commit of its own, so that it needs no sync of
 * the log where nobody can see it yet, and a failure concerns nobody else. They are small, and take turns with the rounds of the
 * other lanes.
 */
#include "ingest/private.h"

#include <errno.h>
#include <string.h>

static int try_once(struct ingest *ingest, struct work *work, uint64_t *out_seq, struct why *why)
{
	int rc = commit_begin(ingest);

	if (rc < 0)
		return rc;
	rc = work->apply(ingest, work, why);
	if (rc < 0) {
		store_batch_abort(ingest->commit.batch);
		return rc;
	}
	return commit_end(ingest, work->syncs, out_seq);
}

void work_lead(struct ingest *ingest, struct work *work)
{
	struct why why = { "" };
	uint64_t seq = 0;
	int rc = try_once(ingest, work, &seq, &why);

	if (rc == -ENOSPC && store_make_room(ingest->store) == 0)
		rc = try_once(ingest, work, &seq, &why);
	if (rc < 0 && !why.text[0])
		why_fail(&why, -rc, "%s", rc == -ENOSPC ? "the map or the disk is full" : strerror(-rc));
	work->done(work, rc, seq, &why);
}

struct waiting {
	struct work work;
	struct work *inner;
	pthread_mutex_t lock;
	pthread_cond_t ended;
	bool is_done;
	int rc;
	struct why why;
};

static int apply_inner(struct ingest *ingest, struct work *work, struct why *why)
{
	struct waiting *waiting = (struct waiting *)work;

	return waiting->inner->apply(ingest, waiting->inner, why);
}

static void end_waiting(struct work *work, int rc, uint64_t seq, const struct why *why)
{
	struct waiting *waiting = (struct waiting *)work;

	if (waiting->inner->done)
		waiting->inner->done(waiting->inner, rc, seq, why);
	pthread_mutex_lock(&waiting->lock);
	waiting->rc = rc;
	waiting->why = *why;
	waiting->is_done = true;
	pthread_cond_signal(&waiting->ended);
	pthread_mutex_unlock(&waiting->lock);
}

int work_run(struct ingest *ingest, struct work *work, struct why *why)
{
	struct waiting waiting = { .work = { .apply = apply_inner, .done = end_waiting, .syncs = work->syncs, .ends = work->ends },
				   .inner = work, .lock = PTHREAD_MUTEX_INITIALIZER, .ended = PTHREAD_COND_INITIALIZER };
	int rc = work_submit(ingest, &waiting.work);

	if (rc < 0)
		return why_fail(why, -rc, "the store is being closed");
	pthread_mutex_lock(&waiting.lock);
	while (!waiting.is_done)
		pthread_cond_wait(&waiting.ended, &waiting.lock);
	pthread_mutex_unlock(&waiting.lock);
	pthread_cond_destroy(&waiting.ended);
	pthread_mutex_destroy(&waiting.lock);
	return waiting.rc < 0 ? why_fail(why, -waiting.rc, "%s", waiting.why.text) : 0;
}
