/* SPDX-License-Identifier: MIT */
/*
 * What the daemon writes to /dev/fuse, disturbed. Preloaded into the daemon; the file named by FORGET_FILE says, word by word:
 *
 *	drop	messages that make the kernel forget names are lost: readers of the serving mount must then be caught with old values
 *	late	answers and messages wait for a random while, so that what crosses on its way crosses more often
 *	slow	each message about a directory that somebody may stand in takes a fifth of a millisecond
 *	old	the kernel is one that does not know how to forget everything at once, nor how to let go of nodes by their numbers
 *
 * It is read once, at the first message.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { NOTIFY_INVAL_INODE = 2, NOTIFY_INVAL_ENTRY = 3, NOTIFY_INC_EPOCH = 8, NOTIFY_PRUNE = 9, LATE_MAX_NS = 400000, SLOW_NS = 200000 };

struct head {
	uint32_t len;
	int32_t code;
	uint64_t unique;
};

static bool drops, is_late, is_slow, is_old;
static atomic_int state;		/* 0: not read, 1: being read, 2: read */
static atomic_uint turns;

static void read_words(void)
{
	const char *path = getenv("FORGET_FILE");
	FILE *file = path ? fopen(path, "re") : NULL;
	char word[16];

	while (file && fscanf(file, "%15s", word) == 1) {
		drops = drops || !strcmp(word, "drop");
		is_late = is_late || !strcmp(word, "late");
		is_slow = is_slow || !strcmp(word, "slow");
		is_old = is_old || !strcmp(word, "old");
	}
	if (file)
		fclose(file);
}

static void begin(void)
{
	int fresh = 0;

	if (atomic_load(&state) == 2)
		return;
	if (atomic_compare_exchange_strong(&state, &fresh, 1)) {
		read_words();
		atomic_store(&state, 2);
	}
	while (atomic_load(&state) != 2)
		;
}

static bool is_fuse(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(10, 229);
}

/* One in four waits. */
static void dawdle(void)
{
	unsigned turn = atomic_fetch_add(&turns, 1) * 2654435761u;
	struct timespec ts = { 0, turn % LATE_MAX_NS };

	if (is_late && turn >> 30 == 0)
		nanosleep(&ts, NULL);
}

/* What becomes of a message: -1 goes on; else the result, with errno set for -2. */
static ssize_t judge(int fd, const void *bytes, size_t len)
{
	struct head head;

	begin();
	if (len < sizeof head || !is_fuse(fd))
		return -1;
	memcpy(&head, bytes, sizeof head);
	dawdle();
	if (head.unique != 0)
		return -1;
	if (head.code == NOTIFY_INVAL_INODE && is_slow)
		nanosleep(&(struct timespec){ 0, SLOW_NS }, NULL);
	if ((head.code == NOTIFY_INC_EPOCH || head.code == NOTIFY_PRUNE) && is_old)
		return -2;
	return drops && (head.code == NOTIFY_INC_EPOCH || head.code == NOTIFY_INVAL_ENTRY) ? (ssize_t)head.len : -1;
}

ssize_t writev(int fd, const struct iovec *iov, int count)
{
	ssize_t (*next)(int, const struct iovec *, int);
	ssize_t rc = count > 0 ? judge(fd, iov[0].iov_base, iov[0].iov_len) : -1;

	*(void **)&next = dlsym(RTLD_NEXT, "writev");
	if (rc == -2) {
		errno = EINVAL;
		return -1;
	}
	return rc >= 0 ? rc : next(fd, iov, count);
}

ssize_t write(int fd, const void *bytes, size_t len)
{
	ssize_t (*next)(int, const void *, size_t);
	ssize_t rc = judge(fd, bytes, len);

	*(void **)&next = dlsym(RTLD_NEXT, "write");
	if (rc == -2) {
		errno = EINVAL;
		return -1;
	}
	return rc >= 0 ? rc : next(fd, bytes, len);
}

/* Answers that go by io_uring, as many as are ready; libfuse's call. */
struct io_uring;
int io_uring_submit_and_wait(struct io_uring *ring, unsigned count);

int io_uring_submit_and_wait(struct io_uring *ring, unsigned count)
{
	int (*next)(struct io_uring *, unsigned);

	begin();
	dawdle();
	*(void **)&next = dlsym(RTLD_NEXT, "io_uring_submit_and_wait");
	return next(ring, count);
}
