/* SPDX-License-Identifier: MIT */
/*
 * The second mount. It comes up before the first one, so that both are there when the daemon says that it is ready, and goes down
 * before ingest does. If somebody unmounts it, the daemon goes on without it.
 */
#include "daemon/second.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include "base/clock.h"
#include "base/log.h"
#include "daemon/connection.h"

enum { PATIENCE_S = 3 };	/* with open files */

int second_prepare(struct second *second, const struct options *options, const char *mountpoint, const char *source,
		   const char *kernel_options, struct direct *lane, const struct mount_control *controls)
{
	const struct serving_options serving_options = {
		.mountpoint = mountpoint,
		.source = source,
		.kernel_options = kernel_options,
		.debug = options->debug,
		.owners = options_owners(options),
		.threads = options->serve_threads,
		.io_uring = options->serve_io_uring,
		.controls = controls,
	};

	second->mountpoint = mountpoint;
	return mountpoint ? serving_new(&serving_options, lane, &second->serving) : 0;
}

static void *run(void *arg)
{
	struct second *second = arg;
	int rc = serving_run(second->serving);

	if (rc < 0)
		log_error("%s: the file system ended: %s", second->mountpoint, strerror(-rc));
	else
		log_info("%s is unmounted", second->mountpoint);
	return NULL;
}

int second_start(struct second *second)
{
	struct why why = { "" };
	int rc;

	if (!second->serving)
		return 0;
	rc = serving_open(second->serving, &why);
	if (rc < 0) {
		log_error("%s", why.text[0] ? why.text : strerror(-rc));
		return rc;
	}
	second->connection = connection_find(second->mountpoint);
	rc = -pthread_create(&second->thread, NULL, run, second);
	second->has_thread = rc == 0;
	if (rc < 0)
		serving_stop(second->serving);
	else
		log_info("serving at %s", second->mountpoint);
	return rc;
}

static bool join_in_time(struct second *second)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_S;
	return pthread_timedjoin_np(second->thread, NULL, &until) == 0;
}

/* While the session is connected, the number that its mount had is its own still, even if it was taken out of sight (umount -l). */
static bool cut_off(struct second *second)
{
	if (!serving_is_connected(second->serving))
		return true;
	log_warn("open files keep %s alive: they get errors now", second->mountpoint);
	return (second->connection >= 0 && connection_abort(second->connection)) || !serving_is_connected(second->serving);
}

void second_stop(struct second *second)
{
	if (!second->has_thread)
		return;
	second->has_thread = false;
	if (pthread_tryjoin_np(second->thread, NULL) == 0)
		return;
	serving_stop(second->serving);
	if (join_in_time(second))
		return;
	if (cut_off(second))
		pthread_join(second->thread, NULL);
	else
		second->serving = NULL;		/* in use until the process ends */
}

void second_release(struct second *second)
{
	if (!second->has_thread)
		serving_free(second->serving);
	second->serving = NULL;
}
