/* SPDX-License-Identifier: MIT */
/*
 * The recorder: preloaded into a program that has a store open, it writes down every write, sync and change of a name below
 * $POWER_DIR, in order, into $POWER_TRACE, and ends the program at event number $POWER_STOP as kill -9 would, before that event happens. lock.mdb is left out:
 * it is shared memory of living processes and nothing of it is meant to outlive them.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>
#include "power_events.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *dir;
static size_t dir_len;
static int trace = -1;
static long left;
static uint64_t syncs;

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("POWER_TRACE"), *stop = getenv("POWER_STOP");

	dir = getenv("POWER_DIR");
	dir_len = dir ? strlen(dir) : 0;
	left = stop ? strtol(stop, NULL, 10) : LONG_MAX;
	if (path)
		trace = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void put(const void *data, size_t len)
{
	const char *at = data;

	while (len) {
		ssize_t n = syscall(SYS_write, trace, at, len);

		if (n <= 0)
			syscall(SYS_exit_group, 99);
		at += n;
		len -= (size_t)n;
	}
}

/* With the lock held. */
static void record(enum power_kind kind, uint64_t ino, uint64_t offset, const char *text, size_t text_len, const void *data,
		   size_t data_len)
{
	struct power_event event = { kind, (uint32_t)text_len, ino, offset, data_len };

	if (kind != POWER_NOTE && left-- <= 0)
		syscall(SYS_exit_group, 9);
	put(&event, sizeof event);
	put(text, text_len);
	put(data, data_len);
}

/* What the load wants to stand between the events. Found by dlsym. */
void power_note(const char *text);
void power_note(const char *text)
{
	pthread_mutex_lock(&lock);
	if (trace >= 0)
		record(POWER_NOTE, 0, 0, text, strlen(text), NULL, 0);
	pthread_mutex_unlock(&lock);
}

static bool is_ours(const char *path)
{
	const char *base = strrchr(path, '/');

	return trace >= 0 && dir_len && strncmp(path, dir, dir_len) == 0 && (path[dir_len] == '/' || !path[dir_len]) &&
	       !(base && strcmp(base, "/lock.mdb") == 0);
}

static bool path_of(int fd, char out[PATH_MAX])
{
	char link[40];
	ssize_t n;

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	n = readlink(link, out, PATH_MAX - 1);
	if (n <= 0)
		return false;
	out[n] = '\0';
	return is_ours(out);
}

static uint64_t ino_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

#define REAL(name) ({ static __typeof__(name) *real_; if (!real_) real_ = (__typeof__(name) *)dlsym(RTLD_NEXT, #name); real_; })

static int open_any(int at, const char *given, int flags, mode_t mode)
{
	char path[PATH_MAX];
	struct stat st;
	bool is_new;
	int fd;

	pthread_mutex_lock(&lock);
	is_new = (flags & O_CREAT) && fstatat(at, given, &st, 0) < 0;
	fd = (int)syscall(SYS_openat, at, given, flags, mode);
	if (fd >= 0 && (is_new || (flags & O_TRUNC)) && path_of(fd, path)) {
		if (is_new)
			record(POWER_CREATE, ino_of(fd), 0, path, strlen(path), NULL, 0);
		else
			record(POWER_SIZE, ino_of(fd), 0, NULL, 0, NULL, 0);
	}
	pthread_mutex_unlock(&lock);
	return fd;
}

#define TAKE_MODE(flags, mode) \
	mode_t mode = 0; \
	if ((flags) & (O_CREAT | __O_TMPFILE)) { va_list ap_; va_start(ap_, flags); mode = va_arg(ap_, mode_t); va_end(ap_); }

int open(const char *path, int flags, ...)
{
	TAKE_MODE(flags, mode)
	return open_any(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
	TAKE_MODE(flags, mode)
	return open_any(AT_FDCWD, path, flags, mode);
}

int openat(int at, const char *path, int flags, ...)
{
	TAKE_MODE(flags, mode)
	return open_any(at, path, flags, mode);
}

int openat64(int at, const char *path, int flags, ...)
{
	TAKE_MODE(flags, mode)
	return open_any(at, path, flags, mode);
}

int creat(const char *path, mode_t mode)
{
	return open_any(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

static FILE *fopen_any(const char *path, const char *mode)
{
	int flags = mode[0] == 'r' ? (strchr(mode, '+') ? O_RDWR : O_RDONLY)
				   : O_CREAT | (strchr(mode, '+') ? O_RDWR : O_WRONLY) | (mode[0] == 'a' ? O_APPEND : O_TRUNC);
	int fd = open_any(AT_FDCWD, path, flags, 0666);

	/* Buffered writes would pass the recorder by inside of libc, so a stream that writes is not allowed below the store. */
	if (fd >= 0 && flags != O_RDONLY && is_ours(path)) {
		fprintf(stderr, "recorder: %s is written by stdio\n", path);
		syscall(SYS_exit_group, 98);
	}
	return fd < 0 ? NULL : fdopen(fd, mode);
}

FILE *fopen(const char *path, const char *mode)
{
	return fopen_any(path, mode);
}

FILE *fopen64(const char *path, const char *mode)
{
	return fopen_any(path, mode);
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t offset)
{
	char path[PATH_MAX];
	ssize_t n;

	pthread_mutex_lock(&lock);
	if (path_of(fd, path))
		record(POWER_WRITE, ino_of(fd), (uint64_t)offset, NULL, 0, data, len);
	n = syscall(SYS_pwrite64, fd, data, len, offset);
	pthread_mutex_unlock(&lock);
	return n;
}

ssize_t pwrite64(int fd, const void *data, size_t len, off64_t offset)
{
	return pwrite(fd, data, len, offset);
}

ssize_t write(int fd, const void *data, size_t len)
{
	char path[PATH_MAX];
	ssize_t n;

	pthread_mutex_lock(&lock);
	if (path_of(fd, path))
		record(POWER_WRITE, ino_of(fd), (uint64_t)lseek(fd, 0, SEEK_CUR), NULL, 0, data, len);
	n = syscall(SYS_write, fd, data, len);
	pthread_mutex_unlock(&lock);
	return n;
}

static ssize_t writev_at(int fd, const struct iovec *iov, int n, off_t offset, bool moves)
{
	ssize_t total = 0;

	for (int i = 0; i < n; i++) {
		ssize_t done = moves ? write(fd, iov[i].iov_base, iov[i].iov_len)
				     : pwrite(fd, iov[i].iov_base, iov[i].iov_len, offset + total);

		if (done < 0)
			return total ? total : -1;
		total += done;
		if ((size_t)done < iov[i].iov_len)
			break;
	}
	return total;
}

ssize_t pwritev(int fd, const struct iovec *iov, int n, off_t offset)
{
	return writev_at(fd, iov, n, offset, false);
}

ssize_t pwritev64(int fd, const struct iovec *iov, int n, off64_t offset)
{
	return writev_at(fd, iov, n, offset, false);
}

ssize_t writev(int fd, const struct iovec *iov, int n)
{
	return writev_at(fd, iov, n, 0, true);
}

static int sync_any(int fd, long call)
{
	char path[PATH_MAX];
	struct stat st;
	uint64_t number;
	bool is_dir;
	int rc;

	pthread_mutex_lock(&lock);
	if (!path_of(fd, path) || fstat(fd, &st) < 0) {
		pthread_mutex_unlock(&lock);
		return (int)syscall(call, fd);
	}
	is_dir = S_ISDIR(st.st_mode);
	number = ++syncs;
	record(is_dir ? POWER_DIR_SYNC_BEGIN : POWER_SYNC_BEGIN, st.st_ino, number, path, is_dir ? strlen(path) : 0, NULL, 0);
	pthread_mutex_unlock(&lock);
	/* The disk of the machine need not be asked: what is synced is what the record says is synced. A pause keeps the order of threads real. */
	rc = 0;
	usleep(50);
	pthread_mutex_lock(&lock);
	record(is_dir ? POWER_DIR_SYNC_END : POWER_SYNC_END, st.st_ino, number, path, is_dir ? strlen(path) : 0, NULL, 0);
	pthread_mutex_unlock(&lock);
	return rc;
}

int fsync(int fd)
{
	return sync_any(fd, SYS_fsync);
}

int fdatasync(int fd)
{
	return sync_any(fd, SYS_fdatasync);
}

int ftruncate(int fd, off_t size)
{
	char path[PATH_MAX];
	int rc;

	pthread_mutex_lock(&lock);
	if (path_of(fd, path))
		record(POWER_SIZE, ino_of(fd), (uint64_t)size, NULL, 0, NULL, 0);
	rc = (int)syscall(SYS_ftruncate, fd, size);
	pthread_mutex_unlock(&lock);
	return rc;
}

int ftruncate64(int fd, off64_t size)
{
	return ftruncate(fd, size);
}

int fallocate(int fd, int mode, off_t offset, off_t len)
{
	char path[PATH_MAX];
	int rc;

	pthread_mutex_lock(&lock);
	if (!(mode & FALLOC_FL_KEEP_SIZE) && path_of(fd, path))
		record(POWER_GROW, ino_of(fd), (uint64_t)(offset + len), NULL, 0, NULL, 0);
	rc = (int)syscall(SYS_fallocate, fd, mode, offset, len);
	pthread_mutex_unlock(&lock);
	return rc;
}

int fallocate64(int fd, int mode, off64_t offset, off64_t len)
{
	return fallocate(fd, mode, offset, len);
}

int posix_fallocate(int fd, off_t offset, off_t len)
{
	return fallocate(fd, 0, offset, len) < 0 ? errno : 0;
}

int posix_fallocate64(int fd, off64_t offset, off64_t len)
{
	return posix_fallocate(fd, offset, len);
}

static bool full_path(int at, const char *given, char out[PATH_MAX])
{
	char base[PATH_MAX], link[40];
	ssize_t n;

	if (given[0] == '/') {
		snprintf(out, PATH_MAX, "%s", given);
		return is_ours(out);
	}
	snprintf(link, sizeof link, "/proc/self/fd/%d", at);
	n = readlink(at == AT_FDCWD ? "/proc/self/cwd" : link, base, sizeof base - 1);
	if (n <= 0)
		return false;
	base[n] = '\0';
	return snprintf(out, PATH_MAX, "%s/%s", base, given) < PATH_MAX && is_ours(out);
}

int renameat(int from_at, const char *from, int to_at, const char *to)
{
	char a[PATH_MAX], b[PATH_MAX], text[2 * PATH_MAX];
	int rc;

	pthread_mutex_lock(&lock);
	if (full_path(from_at, from, a) && full_path(to_at, to, b)) {
		size_t n = strlen(a) + 1;

		memcpy(text, a, n);
		memcpy(text + n, b, strlen(b));
		record(POWER_RENAME, 0, 0, text, n + strlen(b), NULL, 0);
	}
	rc = (int)syscall(SYS_renameat2, from_at, from, to_at, to, 0);
	pthread_mutex_unlock(&lock);
	return rc;
}

int rename(const char *from, const char *to)
{
	return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

int unlinkat(int at, const char *given, int flags)
{
	char path[PATH_MAX];
	int rc;

	pthread_mutex_lock(&lock);
	if (full_path(at, given, path))
		record(POWER_UNLINK, 0, 0, path, strlen(path), NULL, 0);
	rc = (int)syscall(SYS_unlinkat, at, given, flags);
	pthread_mutex_unlock(&lock);
	return rc;
}

int unlink(const char *path)
{
	return unlinkat(AT_FDCWD, path, 0);
}

int mkdirat(int at, const char *given, mode_t mode)
{
	char path[PATH_MAX];
	int rc;

	pthread_mutex_lock(&lock);
	rc = (int)syscall(SYS_mkdirat, at, given, mode);
	if (rc == 0 && full_path(at, given, path))
		record(POWER_MKDIR, 0, 0, path, strlen(path), NULL, 0);
	pthread_mutex_unlock(&lock);
	return rc;
}

int mkdir(const char *path, mode_t mode)
{
	return mkdirat(AT_FDCWD, path, mode);
}
