/* SPDX-License-Identifier: MIT */
/*
 * Versions: the number of the newest commit that a read sees. It counts up as long as the store lives, and a copy of the store goes on with
 * it; so a number from one process tells another what to wait for. Waiting looks again and again, ever more seldom, up to some milliseconds.
 */
#include "sdk/private.h"

#include <errno.h>
#include <time.h>
#include "base/clock.h"

static int read_version(struct featurefs *fs, uint64_t *out, struct why *why)
{
	struct sdk_lease *lease;
	int rc = sdk_begin(fs, &lease, why);

	if (rc == SDK_BY_MOUNT)
		return remote_version(fs, out, why);
	if (rc < 0)
		return rc;
	rc = store_snap_seq(lease->snap, out);
	sdk_lease_end(lease);
	return rc;
}

int featurefs_version(struct featurefs *fs, uint64_t *out)
{
	struct why why = { "" };

	return sdk_return(read_version(fs, out, &why), &why);
}

int featurefs_wait(struct featurefs *fs, uint64_t version, int timeout_ms)
{
	enum { FIRST_NS = 50000, LAST_NS = 5000000 };
	int64_t end_ns = clock_monotonic() + (int64_t)timeout_ms * 1000000, pause_ns = FIRST_NS;
	struct why why = { "" };

	for (;;) {
		uint64_t now;
		int rc = read_version(fs, &now, &why);

		if (rc < 0 || now >= version)
			return sdk_return(rc, &why);
		if (timeout_ms >= 0 && clock_monotonic() >= end_ns)
			return sdk_return(why_fail(&why, ETIMEDOUT, "the store is at commit %llu, %llu was waited for",
						   (unsigned long long)now, (unsigned long long)version), &why);
		nanosleep(&(struct timespec){ .tv_nsec = pause_ns }, NULL);
		pause_ns = pause_ns * 2 < LAST_NS ? pause_ns * 2 : LAST_NS;
	}
}
