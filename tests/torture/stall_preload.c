/* SPDX-License-Identifier: MIT */
/*
 * A disk that stalls: preloaded into the daemon, it makes each fdatasync and fsync wait first while the file named by STALL_FILE is there,
 * for as many milliseconds at the most as that says, or half a minute; and each pwrite while the one named by STALL_WRITES is. So a test can
 * say when the disk comes back, where a clock would run out on a busy machine.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { STEP_MS = 10, LONGEST_MS = 30000 };

static long most_ms(const char *path)
{
	char text[16] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	long ms;

	if (fd < 0)
		return 0;
	if (read(fd, text, sizeof text - 1) < 0)
		text[0] = '\0';
	close(fd);
	ms = strtol(text, NULL, 10);
	return ms > 0 ? ms : LONGEST_MS;
}

static void stall(const char *variable)
{
	const struct timespec step = { .tv_nsec = STEP_MS * 1000000L };
	const char *path = getenv(variable);

	for (long left = path ? most_ms(path) : 0; left > 0 && access(path, F_OK) == 0; left -= STEP_MS)
		nanosleep(&step, NULL);
}

static int call_next(const char *name, int fd)
{
	int (*next)(int);

	*(void **)&next = dlsym(RTLD_NEXT, name);
	stall("STALL_FILE");
	return next(fd);
}

int fdatasync(int fd)
{
	return call_next("fdatasync", fd);
}

int fsync(int fd)
{
	return call_next("fsync", fd);
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t off)
{
	ssize_t (*next)(int, const void *, size_t, off_t);

	*(void **)&next = dlsym(RTLD_NEXT, "pwrite");
	stall("STALL_WRITES");
	return next(fd, bytes, len, off);
}
