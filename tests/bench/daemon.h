/* SPDX-License-Identifier: MIT */
/* A daemon of a benchmark's own, on a store and a mount below its folder, and what the kernel says of it. */
#ifndef BENCH_DAEMON_H
#define BENCH_DAEMON_H

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "bench.h"

enum { BENCH_PATH = 1024 };

struct bench_daemon {
	const char *programs;		/* folder of featurefs */
	char store[BENCH_PATH + 32], mnt[BENCH_PATH + 32], log[BENCH_PATH + 32];
	pid_t pid;			/* 0: none runs */
};

static inline void __attribute__((format(printf, 1, 2))) bench_shell(const char *fmt, ...)
{
	char command[4 * BENCH_PATH];
	va_list args;

	va_start(args, fmt);
	vsnprintf(command, sizeof command, fmt, args);
	va_end(args);
	if (system(command) != 0)
		bench_die("this failed: %s", command);
}

static inline void bench_daemon_init(struct bench_daemon *daemon, const char *programs, const char *folder)
{
	daemon->programs = programs;
	snprintf(daemon->store, sizeof daemon->store, "%s/import-store", folder);
	snprintf(daemon->mnt, sizeof daemon->mnt, "%s/import-mnt", folder);
	snprintf(daemon->log, sizeof daemon->log, "%s/import-daemon.log", folder);
}

/* Forks; the child ends with this program, however that ends. */
static inline pid_t bench_fork(void)
{
	pid_t pid = fork();

	if (pid < 0)
		bench_die("fork: %s", strerror(errno));
	if (pid == 0)
		prctl(PR_SET_PDEATHSIG, SIGTERM);
	return pid;
}

/* `setting`: one -o, or NULL. On a store that is new if `is_new`. */
static inline void bench_daemon_start(struct bench_daemon *daemon, bool is_new, const char *setting)
{
	char program[BENCH_PATH + 16], hidden[BENCH_PATH + 64];

	if (is_new)
		bench_shell("rm -rf '%s'", daemon->store);
	bench_shell("mkdir -p '%s' '%s'", daemon->mnt, daemon->store);
	snprintf(program, sizeof program, "%s/featurefs", daemon->programs);
	snprintf(hidden, sizeof hidden, "%s/.featurefs", daemon->mnt);
	daemon->pid = bench_fork();
	if (daemon->pid == 0) {
		int fd = open(daemon->log, O_WRONLY | O_CREAT | O_TRUNC, 0600);

		dup2(fd, 1);
		dup2(fd, 2);
		execl(program, "featurefs", daemon->store, daemon->mnt, "-f", setting ? "-o" : NULL, setting, NULL);
		_exit(127);
	}
	for (int i = 0; i < 3000 && access(hidden, F_OK) < 0; i++) {
		if (waitpid(daemon->pid, NULL, WNOHANG) == daemon->pid) {
			daemon->pid = 0;
			bench_die("the daemon did not start: see %s", daemon->log);
		}
		usleep(10000);
	}
	if (access(hidden, F_OK) < 0)
		bench_die("nothing is mounted at %s", daemon->mnt);
}

static inline void bench_daemon_stop(struct bench_daemon *daemon)
{
	int status = 0;

	if (!daemon->pid)
		return;
	kill(daemon->pid, SIGTERM);
	waitpid(daemon->pid, &status, 0);
	daemon->pid = 0;
	if (status)
		bench_die("the daemon ended with %d", status);
}

/* A number of a file of /proc of the daemon, behind `key`. */
static inline double bench_daemon_proc(const struct bench_daemon *daemon, const char *file, const char *key)
{
	char path[64], line[256];
	double number = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/%s", (int)daemon->pid, file);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof line, f))
		if (!strncmp(line, key, strlen(key)))
			number = strtod(line + strlen(key), NULL);
	if (f)
		fclose(f);
	return number;
}

/* What it has handed to write(2), its replies to requests among it, which are few beside a load. The kernel's own count of bytes for the disk is of
 * no use here: where its cache holds files in large pieces, it counts a whole piece, up to a MiB, for each page that is written. */
static inline double bench_daemon_written(const struct bench_daemon *daemon)
{
	return bench_daemon_proc(daemon, "io", "wchar:");
}

/* Waits until it writes nothing more: folded, and with its checkpoint made. */
static inline void bench_daemon_rest(const struct bench_daemon *daemon)
{
	double before = -1, now;

	for (int quiet = 0; quiet < 8;) {
		now = bench_daemon_proc(daemon, "io", "wchar:");
		quiet = now - before < 65536 && before >= 0 ? quiet + 1 : 0;
		before = now;
		usleep(500000);
	}
}

#endif
