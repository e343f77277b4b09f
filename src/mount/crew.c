/* SPDX-License-Identifier: MIT */
/*
 * The threads that read requests, in a loop of our own, which libfuse's public calls suffice for: a fixed number of threads, each with its
 * buffer, none of which comes and goes with the load. They end when the kernel says that the file system is no longer mounted.
 *
 * The kernel hands each request to the thread that has slept longest. With many of them, and requests that take microseconds, every
 * request wakes another one, and what the processors do is mostly to change threads. So only a few, the regulars, read requests: as many as
 * can be of use while none of them sleeps in a request. One that does (it leads a commit while the disk stalls, it copies a dropped file
 * to a slow disk, a page of the map must come from there) is stood in for by a reserve until it is back, so that the others' requests
 * go on. A watch looks every few milliseconds who is still at the request of the last look; it sleeps while there are no requests.
 */
#include "mount/crew.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/log.h"

enum {
	REGULARS_MIN = 4,		/* measured: with fewer, a processor has nothing to do at times */
	LOOK_MS = 10,			/* between two looks */
	QUIET_LOOKS = 20,		/* without a request, before the watch goes to sleep */
};

struct crew;

/* One thread. Aligned, so that none waits for another's cache line. */
struct hand {
	_Alignas(64) atomic_uint turns;	/* odd while it is at a request */
	unsigned seen;			/* the watch's: what it was at the last look */
	unsigned number;
	struct crew *crew;
	pthread_t thread;
};

struct crew {
	struct fuse_session *session;
	struct hand *hands;
	unsigned n_hands, n_regulars;
	atomic_uint n_wanted;		/* hands of lower numbers read requests: the regulars, and one for each that is held up */
	atomic_bool watch_sleeps;
	atomic_int rc;
	pthread_mutex_t lock;
	pthread_cond_t called;		/* reserves */
	pthread_cond_t wake;		/* the watch */
	bool is_over;			/* lock */
	bool has_watch;
	pthread_t watch;
};

/* ---- hands ---- */

static void end(struct crew *crew)
{
	pthread_mutex_lock(&crew->lock);
	crew->is_over = true;
	pthread_cond_broadcast(&crew->called);
	pthread_cond_signal(&crew->wake);
	pthread_mutex_unlock(&crew->lock);
}

/* The first is what a read of a connection that has ended gives; the second, what it gives if the end comes while it takes a request. */
static bool is_end(int rc)
{
	return rc == -ENODEV || rc == -ECONNABORTED;
}

/* Waits until one more is wanted; false: it is over. */
static bool stand_by(struct hand *hand)
{
	struct crew *crew = hand->crew;
	bool is_over;

	pthread_mutex_lock(&crew->lock);
	while (!crew->is_over && hand->number >= atomic_load(&crew->n_wanted))
		pthread_cond_wait(&crew->called, &crew->lock);
	is_over = crew->is_over;
	pthread_mutex_unlock(&crew->lock);
	return !is_over;
}

static void wake_watch(struct crew *crew)
{
	pthread_mutex_lock(&crew->lock);
	if (atomic_exchange(&crew->watch_sleeps, false))
		pthread_cond_signal(&crew->wake);
	pthread_mutex_unlock(&crew->lock);
}

static void *serve(void *arg)
{
	struct hand *hand = arg;
	struct crew *crew = hand->crew;
	struct fuse_buf buf = { 0 };
	int rc = 0;

	while (hand->number < atomic_load(&crew->n_wanted) || stand_by(hand)) {
		rc = fuse_session_receive_buf(crew->session, &buf);
		if (rc == -EINTR || rc == -EAGAIN) {
			rc = 0;
			continue;
		}
		if (rc <= 0)
			break;
		atomic_fetch_add(&hand->turns, 1);
		if (atomic_load(&crew->watch_sleeps))
			wake_watch(crew);
		fuse_session_process_buf(crew->session, &buf);
		atomic_fetch_add(&hand->turns, 1);
	}
	free(buf.mem);
	if (rc < 0 && !is_end(rc))
		atomic_store(&crew->rc, rc);
	end(crew);
	return NULL;
}

/* ---- the watch ---- */

struct look {
	unsigned held_up;		/* at the same request as at the last look */
	bool is_quiet;			/* nobody is at a request or was since then */
};

static struct look look(struct crew *crew)
{
	struct look found = { .is_quiet = true };

	for (unsigned i = 0; i < crew->n_hands; i++) {
		struct hand *hand = &crew->hands[i];
		unsigned turns = atomic_load(&hand->turns);

		if (turns & 1 || turns != hand->seen)
			found.is_quiet = false;
		found.held_up += turns & 1 && turns == hand->seen;
		hand->seen = turns;
	}
	return found;
}

static void call_reserves_locked(struct crew *crew, unsigned held_up)
{
	unsigned wanted = crew->n_regulars + held_up, was = atomic_load(&crew->n_wanted);

	if (wanted > crew->n_hands)
		wanted = crew->n_hands;
	if (wanted == was)
		return;
	atomic_store(&crew->n_wanted, wanted);
	if (wanted > was)
		pthread_cond_broadcast(&crew->called);
}

/* A hand tells of its request first and looks for a sleeping watch then, so one of the two sees the other. */
static void sleep_locked(struct crew *crew)
{
	atomic_store(&crew->watch_sleeps, true);
	if (!look(crew).is_quiet)
		atomic_store(&crew->watch_sleeps, false);
	while (atomic_load(&crew->watch_sleeps) && !crew->is_over)
		pthread_cond_wait(&crew->wake, &crew->lock);
}

static void *watch(void *arg)
{
	struct crew *crew = arg;
	unsigned quiet = 0;

	pthread_mutex_lock(&crew->lock);
	while (!crew->is_over) {
		int64_t until_ns = clock_monotonic() + LOOK_MS * (CLOCK_SECOND / 1000);
		struct timespec until = { .tv_sec = until_ns / CLOCK_SECOND, .tv_nsec = until_ns % CLOCK_SECOND };
		struct look found = look(crew);

		call_reserves_locked(crew, found.held_up);
		quiet = found.is_quiet ? quiet + 1 : 0;
		if (quiet > QUIET_LOOKS) {
			sleep_locked(crew);
			quiet = 0;
		} else {
			pthread_cond_timedwait(&crew->wake, &crew->lock, &until);
		}
	}
	pthread_mutex_unlock(&crew->lock);
	return NULL;
}

/* ---- all of them ---- */

static int init(struct crew *crew, struct fuse_session *session, unsigned n_threads)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned regulars = processors > REGULARS_MIN / 2 ? 2 * (unsigned)processors : REGULARS_MIN;
	pthread_condattr_t attr;

	*crew = (struct crew){ .session = session, .n_hands = n_threads, .n_regulars = regulars < n_threads ? regulars : n_threads };
	crew->hands = aligned_alloc(_Alignof(struct hand), n_threads * sizeof *crew->hands);
	if (!crew->hands)
		return -ENOMEM;
	memset(crew->hands, 0, n_threads * sizeof *crew->hands);
	atomic_store(&crew->n_wanted, crew->n_regulars);
	pthread_mutex_init(&crew->lock, NULL);
	pthread_cond_init(&crew->called, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&crew->wake, &attr);
	pthread_condattr_destroy(&attr);
	return 0;
}

static void release(struct crew *crew)
{
	pthread_cond_destroy(&crew->called);
	pthread_cond_destroy(&crew->wake);
	pthread_mutex_destroy(&crew->lock);
	free(crew->hands);
}

/* The number of those that run. */
static unsigned start(struct crew *crew, int *out_err)
{
	unsigned n;

	*out_err = 0;
	for (n = 0; n < crew->n_hands; n++) {
		struct hand *hand = &crew->hands[n];

		hand->number = n;
		hand->crew = crew;
		*out_err = pthread_create(&hand->thread, NULL, serve, hand);
		if (*out_err)
			break;
	}
	if (n > crew->n_regulars)
		crew->has_watch = pthread_create(&crew->watch, NULL, watch, crew) == 0;
	if (!crew->has_watch) {		/* then all of them are regulars */
		pthread_mutex_lock(&crew->lock);
		call_reserves_locked(crew, crew->n_hands);
		pthread_mutex_unlock(&crew->lock);
	}
	return n;
}

int crew_run(struct fuse_session *session, unsigned n_threads)
{
	struct crew crew;
	unsigned n;
	int err, rc = init(&crew, session, n_threads);

	if (rc < 0)
		return rc;
	n = start(&crew, &err);
	if (n && err)
		log_warn("only %u of %u threads could be started: %s", n, n_threads, strerror(err));
	rc = n ? 0 : -err;
	while (n)
		pthread_join(crew.hands[--n].thread, NULL);
	if (crew.has_watch)
		pthread_join(crew.watch, NULL);
	if (rc == 0)
		rc = atomic_load(&crew.rc);
	release(&crew);
	return rc;
}
