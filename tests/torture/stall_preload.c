/* SPDX-License-Identifier: MIT */
/*
 * A disk that stalls: preloaded into the daemon, it makes each fdatasync and fsync wait first, for as many milliseconds as the file named by
 * STALL_FILE says at that moment; without that file nothing waits.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static void stall(void)
{
	const char *path = getenv("STALL_FILE");
	char text[16] = "";
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	long ms;

	if (fd < 0)
		return;
	if (read(fd, text, sizeof text - 1) < 0)
		text[0] = '\0';
	close(fd);
	ms = strtol(text, NULL, 10);
	if (ms > 0) {
		struct timespec ts = { ms / 1000, ms % 1000 * 1000000L };

		nanosleep(&ts, NULL);
	}
}

static int call_next(const char *name, int fd)
{
	int (*next)(int);

	*(void **)&next = dlsym(RTLD_NEXT, name);
	stall();
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
