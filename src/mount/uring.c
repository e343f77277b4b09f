/* SPDX-License-Identifier: MIT */
/*
 * libfuse has a thread of its own for each ring, bound to that ring's processor, which takes requests and calls our operations. Beside it the
 * crew (crew.c) goes on to read /dev/fuse, by which INIT, forgets and interrupts come; INIT starts the rings. What the kernel is told goes by
 * /dev/fuse as well, and so does not wait for any ring.
 *
 * What that asks of the operations:
 *
 * - They answer before they return. An answer from another thread goes into the ring while its own thread may be about to hand the same ring to
 *   the kernel, for libfuse 3.18 guards only one of the two; a half-written answer would be lost, and its reader would wait for ever. So the
 *   editing mount, whose writes are answered by whoever leads a commit, has no rings.
 * - They never wait for a commit, since nobody stands in for a ring's thread: behind a slow request the others of its processor wait, lookups
 *   that a commit waits for among them. The serving mount's operations don't, with or without rings.
 * - They can't be cancelled. libfuse cancels its threads at the end, and one of them may just then hold a lock of ours.
 */
#include "mount/uring.h"

#include <errno.h>
#include <stdint.h>
#include "base/log.h"

#ifdef FEATUREFS_IO_URING

#include <fcntl.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/file.h"

#define SETTING "/sys/module/fuse/parameters/enable_uring"

enum { SETTING_MAX = 64 };

/* The kernel says whether it has it where the module's parameters are, which are there once the module is. */
static int check_setting(struct why *why)
{
	struct buf text = { 0 };
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC), rc;
	bool is_on;

	if (fd >= 0)
		close(fd);
	rc = file_read_path(SETTING, SETTING_MAX, &text);
	is_on = rc == 0 && text.len && ((const char *)text.data)[0] == 'Y';
	buf_release(&text);
	if (rc == -ENOENT)
		return why_fail(why, ENOSYS, "serve.io_uring: this kernel has no FUSE over io_uring (Linux 6.14 has, if it was built with it)");
	if (rc < 0)
		return why_fail(why, -rc, "serve.io_uring: " SETTING ": %s", strerror(-rc));
	if (!is_on)
		return why_fail(why, EPERM, "serve.io_uring: FUSE over io_uring is switched off in this kernel: `echo Y > " SETTING "` as root, or "
				"fuse.enable_uring=Y on the kernel's command line");
	return 0;
}

/* What libfuse will do: if it could not, it would go on without a word to us. */
static int check_rings(struct why *why)
{
	struct io_uring_params params = { .flags = IORING_SETUP_SQE128 };
	long fd = syscall(SYS_io_uring_setup, 1, &params);

	if (fd < 0)
		return why_fail(why, errno, "serve.io_uring: this process may not use io_uring (%s): see kernel.io_uring_disabled, and what the "
				"container forbids", strerror(errno));
	close((int)fd);
	return 0;
}

int uring_check(struct why *why)
{
	int rc = check_setting(why);

	return rc < 0 ? rc : check_rings(why);
}

unsigned uring_capability(const struct uring *uring)
{
	return uring->is_wanted ? (unsigned)FUSE_CAP_OVER_IO_URING : 0;
}

void uring_note(struct uring *uring, fuse_req_t req)
{
	static _Thread_local bool is_settled;

	if (!uring->is_wanted)
		return;
	if (!fuse_req_is_uring(req)) {
		if (!atomic_exchange_explicit(&uring->has_told, true, memory_order_relaxed))
			log_warn("requests of the serving mount come by /dev/fuse, although io_uring was asked for: libfuse could not start it, or "
				 "was built without it");
		return;
	}
	if (!is_settled) {
		pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
		is_settled = true;
	}
	atomic_fetch_add_explicit(&uring->requests, 1, memory_order_relaxed);
}

bool uring_has_brought(fuse_req_t req)
{
	return fuse_req_is_uring(req);
}

/* libfuse ends its threads where its own loop ends; that of a session that has exited ends at once. */
int uring_end(struct fuse_session *session)
{
	int rc;

	fuse_session_exit(session);
	rc = fuse_session_loop(session);
	return rc > 0 ? -rc : rc;
}

#else

int uring_check(struct why *why)
{
	return why_fail(why, ENOTSUP, "serve.io_uring: this featurefs was built without it (make IO_URING=1, with libfuse 3.18 or later)");
}

unsigned uring_capability(const struct uring *uring)
{
	(void)uring;
	return 0;
}

void uring_note(struct uring *uring, fuse_req_t req)
{
	(void)uring;
	(void)req;
}

bool uring_has_brought(fuse_req_t req)
{
	(void)req;
	return false;
}

int uring_end(struct fuse_session *session)
{
	(void)session;
	return 0;
}

#endif
