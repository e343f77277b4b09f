/* SPDX-License-Identifier: MIT */
/*
 * Requests that wait, and requests that a commit answers.
 *
 * The kernel tells of the last close of a file after close(2) has returned. What such a close still has to do (the empty value of
 * `: > f`, bytes that a child wrote) must be seen by whoever comes next, so a request that touches such a name waits for it: until the
 * commit behind the close is done, or, where only the RELEASE itself is missing, for a short while, since the file may just as well be
 * still open somewhere. That is rare, and no FUSE thread does the waiting: such calls go to a thread of their own, which looks through all
 * of them whenever something has settled. A second thread takes the calls that are slow by nature (.stats walks its group).
 *
 * A job is a request whose answer is a commit's completion. Jobs are counted: the mount is not freed before the last has ended.
 */
#include "mount/call.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "mount/attr.h"
#include "mount/edit.h"
#include "mount/private.h"
#include "mount/scratch.h"

/* A RELEASE is on its way in microseconds; only a machine that runs out of processors takes milliseconds to hand it over. */
enum { PATIENCE_MS = 50, IDLE_MS = 1000 };

/* ---- what a call touches ---- */

/* The value that a name in an entity's directory is about; false if none. */
static bool touch_name(struct mount *mount, const char *name, struct touch *out)
{
	const struct catalog_feature *feature = NULL;
	const struct catalog_group *grp;
	uint64_t number;
	size_t len = name_is_bin(name);
	struct catalog *cat;

	if (!strcmp(name, ".row")) {
		out->any_slot = true;
		return true;
	}
	cat = catalog_current_get(mount->lane->cur, &number);
	grp = catalog_find_id(cat, out->group_id);
	if (grp)
		feature = catalog_find_feature(grp, slice_of(name, len ? len : strlen(name)));
	if (feature)
		out->slot = feature->slot;
	catalog_unref(cat);
	return feature;
}

static void touch_of(const struct call *call, fuse_ino_t ino, const char *name, struct touch *out)
{
	struct target target;
	bool is_one = false;

	*out = (struct touch){ .group_id = CATALOG_ROOT_ID };
	if (!ino)
		return;
	node_target(call->mount, node_of(call->mount, ino), &target);
	out->group_id = target.group_id;
	if (target.entity_len <= TEXT_ENTITY_MAX) {	/* a longer one is a path in a tree, which nobody writes values to */
		out->entity_len = target.entity_len;
		memcpy(out->entity, target.entity, target.entity_len);
	}
	switch (target.kind) {
	case NODE_VALUE:
	case NODE_BIN:
		out->slot = (uint16_t)target.number;
		is_one = true;
		break;
	case NODE_ROW:
		is_one = out->any_slot = true;
		break;
	case NODE_STATS:
		is_one = out->any_entity = out->any_slot = true;
		break;
	case NODE_ENTITY:
		out->any_slot = !name;
		is_one = !name || touch_name(call->mount, name, out);
		break;
	case NODE_GROUP:
		is_one = out->any_slot = name && call->is_whole && strlen(name) <= TEXT_ENTITY_MAX;
		if (is_one) {
			out->entity_len = (uint16_t)strlen(name);
			memcpy(out->entity, name, out->entity_len);
		}
		break;
	default:
		break;
	}
	if (!is_one)
		out->group_id = CATALOG_ROOT_ID;
}

static bool is_unsettled(struct mount *mount, const struct touch touch[2], pid_t except)
{
	return edit_is_unsettled_locked(mount, &touch[0], except) || edit_is_unsettled_locked(mount, &touch[1], except);
}

/* ---- queues ---- */

static struct waiting *wait_new(const struct call *call, const struct touch touch[2])
{
	size_t len = call->name ? strlen(call->name) + 1 : 0, len2 = call->name2 ? strlen(call->name2) + 1 : 0;
	struct waiting *wait = malloc(sizeof *wait + len + len2);
	char *text = (char *)(wait + 1);

	if (!wait)
		return NULL;
	*wait = (struct waiting){ .call = *call, .touch = { touch[0], touch[1] } };
	wait->patience_ns = clock_monotonic() + PATIENCE_MS * (CLOCK_SECOND / 1000);
	if (len)
		wait->call.name = memcpy(text, call->name, len);
	if (len2)
		wait->call.name2 = memcpy(text + len, call->name2, len2);
	return wait;
}

static void enqueue(struct worker *worker, const struct call *call, const struct touch touch[2])
{
	struct waiting *wait = wait_new(call, touch);

	if (!wait) {
		reply_err(call->req, ENOMEM);
		return;
	}
	pthread_mutex_lock(&worker->mount->lock);
	*worker->last = wait;
	worker->last = &wait->next;
	pthread_cond_signal(&worker->wake);
	pthread_mutex_unlock(&worker->mount->lock);
}

void call_run(struct call *call)
{
	struct mount *mount = call->mount;
	struct touch touch[2];
	bool must_wait = false;

	if (atomic_load(&mount->unsettled)) {
		touch_of(call, call->ino, call->name, &touch[0]);
		touch_of(call, call->ino2, call->name2, &touch[1]);
		pthread_mutex_lock(&mount->lock);
		must_wait = is_unsettled(mount, touch, call->except);
		pthread_mutex_unlock(&mount->lock);
	}
	if (must_wait)
		enqueue(&mount->late, call, touch);
	else
		call->run(call);
}

void call_run_slow(struct call *call)
{
	struct touch none[2] = { { .group_id = CATALOG_ROOT_ID }, { .group_id = CATALOG_ROOT_ID } };

	enqueue(&call->mount->slow, call, none);
}

void call_wake_locked(struct mount *mount)
{
	if (mount->late.is_started)
		pthread_cond_signal(&mount->late.wake);
}

static bool may_run(struct mount *mount, const struct waiting *wait, int64_t now_ns)
{
	if (now_ns >= wait->patience_ns) {
		edit_unpark_locked(mount, &wait->touch[0]);
		edit_unpark_locked(mount, &wait->touch[1]);
	}
	return !is_unsettled(mount, wait->touch, wait->call.except);
}

/* Takes the first call out that may run. `out_until_ns`: when to look again. */
static struct waiting *take(struct worker *worker, int64_t *out_until_ns)
{
	int64_t now_ns = clock_monotonic();
	struct waiting **at;

	*out_until_ns = now_ns + IDLE_MS * (CLOCK_SECOND / 1000);
	for (at = &worker->first; *at; at = &(*at)->next) {
		struct waiting *wait = *at;

		if (may_run(worker->mount, wait, now_ns)) {
			*at = wait->next;
			if (!*at)
				worker->last = at;
			return wait;
		}
		if (wait->patience_ns > now_ns && wait->patience_ns < *out_until_ns)
			*out_until_ns = wait->patience_ns;
	}
	return NULL;
}

static void *work(void *arg)
{
	struct worker *worker = arg;
	struct mount *mount = worker->mount;

	pthread_mutex_lock(&mount->lock);
	while (!worker->is_stopping || worker->first) {
		int64_t until_ns;
		struct waiting *wait = take(worker, &until_ns);
		struct timespec until;

		if (wait) {
			pthread_mutex_unlock(&mount->lock);
			wait->call.run(&wait->call);
			free(wait);
			pthread_mutex_lock(&mount->lock);
			continue;
		}
		if (worker == &mount->late)
			scratch_sweep_locked(mount, clock_monotonic());
		if (worker->is_stopping && !worker->first)
			break;
		if (worker == &mount->slow)
			until_ns = INT64_MAX;
		until = clock_to_timespec(until_ns);
		pthread_cond_timedwait(&worker->wake, &mount->lock, &until);
	}
	pthread_mutex_unlock(&mount->lock);
	return NULL;
}

static int start(struct mount *mount, struct worker *worker)
{
	pthread_condattr_t attr;
	int err;

	worker->mount = mount;
	worker->last = &worker->first;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&worker->wake, &attr);
	pthread_condattr_destroy(&attr);
	err = pthread_create(&worker->thread, NULL, work, worker);
	worker->is_started = err == 0;
	return -err;
}

static void stop(struct mount *mount, struct worker *worker)
{
	if (!worker->is_started)
		return;
	pthread_mutex_lock(&mount->lock);
	worker->is_stopping = true;
	pthread_cond_signal(&worker->wake);
	pthread_mutex_unlock(&mount->lock);
	pthread_join(worker->thread, NULL);
	pthread_mutex_lock(&mount->lock);
	worker->is_started = false;
	pthread_mutex_unlock(&mount->lock);
	pthread_cond_destroy(&worker->wake);
}

int call_start(struct mount *mount)
{
	int rc = start(mount, &mount->late);

	return rc < 0 ? rc : start(mount, &mount->slow);
}

void call_stop(struct mount *mount)
{
	stop(mount, &mount->late);
	stop(mount, &mount->slow);
	call_wait(mount);
}

void call_wait(struct mount *mount)
{
	pthread_mutex_lock(&mount->lock);
	while (mount->in_flight)
		pthread_cond_wait(&mount->idle, &mount->lock);
	pthread_mutex_unlock(&mount->lock);
}

/* ---- jobs ---- */

struct job *job_new(struct mount *mount, fuse_req_t req, void (*end)(struct job *, int), struct slice bytes)
{
	struct job *job = malloc(sizeof *job + bytes.len);

	if (!job)
		return NULL;
	memset(job, 0, sizeof *job);
	job->mount = mount;
	job->req = req;
	job->end = end;
	job->origin.event_ns = INGEST_NOW;
	if (req) {
		job->origin.uid = fuse_req_ctx(req)->uid;
		job->caller = fuse_req_ctx(req)->pid;
	}
	job->len = bytes.len;
	if (bytes.len)
		memcpy(job->bytes, bytes.data, bytes.len);
	pthread_mutex_lock(&mount->lock);
	mount->in_flight++;
	pthread_mutex_unlock(&mount->lock);
	return job;
}

void job_close_locked(struct job *job)
{
	struct mount *mount = job->mount;

	job->is_closing = true;
	job->next = mount->closing;
	job->prev = &mount->closing;
	if (job->next)
		job->next->prev = &job->next;
	mount->closing = job;
	atomic_fetch_add(&mount->unsettled, 1);
}

static void leave_closing(struct job *job)
{
	*job->prev = job->next;
	if (job->next)
		job->next->prev = job->prev;
	atomic_fetch_sub(&job->mount->unsettled, 1);
	call_wake_locked(job->mount);
}

void job_done(void *arg, int rc)
{
	struct job *job = arg;
	struct mount *mount = job->mount;

	if (job->end)
		job->end(job, rc);
	else if (job->req)
		reply_err(job->req, -rc);
	pthread_mutex_lock(&mount->lock);
	if (job->is_closing)
		leave_closing(job);
	if (job->node)
		node_drop_locked(mount, job->node);
	if (job->node2)
		node_drop_locked(mount, job->node2);
	if (--mount->in_flight == 0)
		pthread_cond_broadcast(&mount->idle);
	pthread_mutex_unlock(&mount->lock);
	free(job->name);
	free(job);
}
