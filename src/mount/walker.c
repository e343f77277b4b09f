/* SPDX-License-Identifier: MIT */
/*
 * The walker has nothing open but for an instant, so that it does not keep anybody from unmounting, and goes by the path each time: if
 * the mount is not there any more, it finds nothing, which is no failure.
 */
#include "mount/walker.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/clock.h"

enum { PATIENCE_MS = 1000 };	/* at the end; a walk takes less than one */

struct walker {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;		/* the thread */
	pthread_cond_t done;
	bool is_asked, is_over, has_ended;	/* lock */
	bool is_left;			/* lock: the thread frees it */
	struct buf names;		/* the thread's while is_asked */
	char mountpoint[];
};

static void release(struct walker *walker)
{
	pthread_cond_destroy(&walker->wake);
	pthread_cond_destroy(&walker->done);
	pthread_mutex_destroy(&walker->lock);
	buf_release(&walker->names);
	free(walker);
}

static struct timespec time_in(unsigned ms)
{
	int64_t until_ns = clock_monotonic() + (int64_t)ms * (CLOCK_SECOND / 1000);

	return (struct timespec){ .tv_sec = until_ns / CLOCK_SECOND, .tv_nsec = until_ns % CLOCK_SECOND };
}

/* ---- the thread ---- */

static bool is_over(struct walker *walker)
{
	bool is;

	pthread_mutex_lock(&walker->lock);
	is = walker->is_over;
	pthread_mutex_unlock(&walker->lock);
	return is;
}

/* The walk finds the name, and asks for nothing else. */
static void walk_into(const struct walker *walker, const char *name)
{
	char path[PATH_MAX];
	int fd;

	if ((size_t)snprintf(path, sizeof path, "%s/%s", walker->mountpoint, name) >= sizeof path)
		return;
	fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0)
		close(fd);
}

static void visit_all(struct walker *walker)
{
	const char *names = walker->names.data;

	for (size_t at = 0; at < walker->names.len && !is_over(walker); at += strlen(names + at) + 1)
		walk_into(walker, names + at);
}

static void *run(void *arg)
{
	struct walker *walker = arg;
	bool is_left;

	pthread_mutex_lock(&walker->lock);
	while (!walker->is_over) {
		if (!walker->is_asked) {
			pthread_cond_wait(&walker->wake, &walker->lock);
			continue;
		}
		pthread_mutex_unlock(&walker->lock);
		visit_all(walker);
		pthread_mutex_lock(&walker->lock);
		walker->is_asked = false;
		pthread_cond_signal(&walker->done);
	}
	walker->has_ended = true;
	is_left = walker->is_left;
	pthread_cond_signal(&walker->done);
	pthread_mutex_unlock(&walker->lock);
	if (is_left)
		release(walker);
	return NULL;
}

/* ---- for others ---- */

int walker_start(const char *mountpoint, struct walker **out)
{
	struct walker *walker = calloc(1, sizeof *walker + strlen(mountpoint) + 1);
	pthread_condattr_t attr;
	int err;

	if (!walker)
		return -ENOMEM;
	memcpy(walker->mountpoint, mountpoint, strlen(mountpoint) + 1);
	pthread_mutex_init(&walker->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&walker->wake, &attr);
	pthread_cond_init(&walker->done, &attr);
	pthread_condattr_destroy(&attr);
	err = pthread_create(&walker->thread, NULL, run, walker);
	if (err)
		release(walker);
	else
		*out = walker;
	return -err;
}

static bool wait_until_idle_locked(struct walker *walker, const struct timespec *until)
{
	while (walker->is_asked)
		if (pthread_cond_timedwait(&walker->done, &walker->lock, until) == ETIMEDOUT)
			return !walker->is_asked;
	return true;
}

bool walker_visit(struct walker *walker, const struct buf *names, unsigned wait_ms)
{
	const struct timespec until = time_in(wait_ms);
	bool is_done;

	pthread_mutex_lock(&walker->lock);
	is_done = wait_until_idle_locked(walker, &until);
	if (is_done) {
		buf_reset(&walker->names);
		buf_append(&walker->names, names->data, names->len);
		is_done = buf_error(&walker->names) == 0;
	}
	if (is_done) {
		walker->is_asked = true;
		pthread_cond_signal(&walker->wake);
		if (wait_ms)
			is_done = wait_until_idle_locked(walker, &until);
	}
	pthread_mutex_unlock(&walker->lock);
	return is_done;
}

void walker_stop(struct walker *walker)
{
	const struct timespec until = time_in(PATIENCE_MS);
	bool has_ended;

	if (!walker)
		return;
	pthread_mutex_lock(&walker->lock);
	walker->is_over = true;
	pthread_cond_signal(&walker->wake);
	while (!walker->has_ended && pthread_cond_timedwait(&walker->done, &walker->lock, &until) != ETIMEDOUT)
		;
	has_ended = walker->has_ended;
	walker->is_left = !has_ended;
	pthread_mutex_unlock(&walker->lock);
	if (has_ended) {
		pthread_join(walker->thread, NULL);
		release(walker);
	} else {
		pthread_detach(walker->thread);
	}
}
