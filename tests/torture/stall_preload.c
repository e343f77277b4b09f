/* SPDX-License-Identifier: MIT */
/*
 * A disk that stalls or fails: preloaded into the daemon, it makes each fdatasync and fsync wait first while the file named by STALL_FILE is there,
 * for as many milliseconds at the most as that says, or two minutes; and each pwrite while the one named by STALL_WRITES is. So a test can
 * say when the disk comes back, where a clock would run out on a busy machine. Whoever waits so makes a file beside it whose name has .met at
 * its end. While the file named by FAIL_SYNCS is there,
 * an fsync of what has its text in its path fails, and a read of what has that of STALL_READS waits. A line of LET_GO_FILE is the path of a file whose
 * pages the daemon has let go.
 */
#include <errno.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { STEP_MS = 10, LONGEST_MS = 120000 };

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
	long left = path ? most_ms(path) : 0;
	char met[PATH_MAX];

	if (left <= 0)
		return;
	snprintf(met, sizeof met, "%s.met", path);
	close(open(met, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	for (; left > 0 && access(path, F_OK) == 0; left -= STEP_MS)
		nanosleep(&step, NULL);
}

/* "" where there is none. */
static void path_of(int fd, char out[PATH_MAX])
{
	char link[32];
	ssize_t n;

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	n = readlink(link, out, PATH_MAX - 1);
	out[n > 0 ? n : 0] = '\0';
}

/* Is the line that the variable's file has, if it is there, a part of the path? */
static int is_named(const char *variable, int fd)
{
	const char *list = getenv(variable);
	char part[64] = "", path[PATH_MAX];
	FILE *file = list ? fopen(list, "re") : NULL;

	if (!file)
		return 0;
	if (!fgets(part, sizeof part, file))
		part[0] = '\0';
	fclose(file);
	part[strcspn(part, "\n")] = '\0';
	path_of(fd, path);
	return part[0] && strstr(path, part);
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
	if (is_named("FAIL_SYNCS", fd)) {
		errno = EIO;
		return -1;
	}
	return call_next("fsync", fd);
}

int posix_fadvise(int fd, off_t off, off_t len, int advice)
{
	int (*next)(int, off_t, off_t, int);
	const char *list = getenv("LET_GO_FILE");
	char path[PATH_MAX];
	int list_fd = list && advice == POSIX_FADV_DONTNEED ? open(list, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;

	if (list_fd >= 0) {
		path_of(fd, path);
		dprintf(list_fd, "%s\n", path);
		close(list_fd);
	}
	*(void **)&next = dlsym(RTLD_NEXT, "posix_fadvise");
	return next(fd, off, len, advice);
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t off)
{
	ssize_t (*next)(int, const void *, size_t, off_t);

	*(void **)&next = dlsym(RTLD_NEXT, "pwrite");
	stall("STALL_WRITES");
	return next(fd, bytes, len, off);
}

ssize_t read(int fd, void *to, size_t len)
{
	ssize_t (*next)(int, void *, size_t);

	*(void **)&next = dlsym(RTLD_NEXT, "read");
	if (is_named("STALL_READS", fd))
		stall("STALL_READS");
	return next(fd, to, len);
}
