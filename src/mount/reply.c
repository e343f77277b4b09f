/* SPDX-License-Identifier: MIT */
/*
 * What the log says of answers that should not be. A caller only sees EIO; without a line here nobody could tell a disk that failed from a fault
 * of ours. One line a second is enough to begin with.
 */
#include "mount/reply.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include "base/clock.h"
#include "base/log.h"
#include "store/store.h"

enum { PAUSE = CLOCK_SECOND };		/* between two lines */

static bool may_tell(void)
{
	static atomic_int_fast64_t told_ns;
	int64_t now_ns = clock_monotonic(), before = atomic_load(&told_ns);

	return (!before || now_ns - before >= PAUSE) && atomic_compare_exchange_strong(&told_ns, &before, now_ns);
}

int reply_err_from(const char *op, fuse_req_t req, int err)
{
	const char *surprise;

	if ((err == EIO || err == EBADMSG) && may_tell()) {
		surprise = store_surprise();
		log_warn("%s is answered with an error (%s)%s%s; .featurefs/errors may say more", op, strerror(err), surprise ? ": " : "",
			 surprise ? surprise : "");
	}
	return fuse_reply_err(req, err);
}

/* Nobody waits for it, or the mount is gone: both are no news. */
int reply_taken(const char *op, int rc)
{
	if (rc < 0 && rc != -ENOENT && rc != -ENODEV && rc != -EPERM && rc != -ENOTCONN && may_tell())
		log_warn("%s: the kernel does not take the answer (%s); its caller gets an input/output error", op, strerror(-rc));
	return rc;
}
