/* SPDX-License-Identifier: MIT */
/*
 * Listing a group of many entities, against a null file system that lists as many names of the same lengths:
 *
 *	list	a loop of getdents over the group, as fast as a program can ask
 *	names	`find MOUNT/g -maxdepth 1`
 *	tree	`find MOUNT/g`, which enters every entity
 *
 * While ours runs, a thread samples how much memory the daemon holds by itself (RssAnon: the map's own pages are the
 * page cache's, and go when they are needed). What it gains for each name listed stands beside eight bytes, the size
 * of one pointer: whoever remembers names can't stay below it, whoever does not is far below it with a million of
 * them.
 */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "names.h"

enum { PATH_BYTES = 512, SAMPLE_US = 20000, FLAT_BYTES = 8 };

struct setup {
	const char *mode, *mount[2], *cores;
	long pid, rounds;
	long names[2];
};

/* ---- the daemon's memory ---- */

/* A field of /proc/PID/status in KiB. */
static long status_kib(long pid, const char *field)
{
	char path[64], line[256];
	size_t len = strlen(field);
	long kib = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%ld/status", pid);
	file = fopen(path, "r");
	if (!file)
		bench_die("%s: %s", path, strerror(errno));
	while (kib < 0 && fgets(line, sizeof(line), file))
		if (strncmp(line, field, len) == 0 && line[len] == ':')
			kib = strtol(line + len + 1, NULL, 10);
	fclose(file);
	if (kib < 0)
		bench_die("%s has no %s", path, field);
	return kib;
}

struct sampler {
	pthread_t thread;
	atomic_bool is_over;
	long pid;
	long peak_kib;
};

static void *sample(void *arg)
{
	struct sampler *sampler = arg;
	bool is_last;

	do {
		long kib;

		is_last = atomic_load(&sampler->is_over);
		kib = status_kib(sampler->pid, "RssAnon");
		if (kib > sampler->peak_kib)
			sampler->peak_kib = kib;
		if (!is_last)
			usleep(SAMPLE_US);
	} while (!is_last);
	return NULL;
}

/* ---- listing ---- */

static long list_by_getdents(const char *path)
{
	static char buf[32768];
	int fd = open(path, O_RDONLY | O_DIRECTORY);
	long len, names = 0;

	if (fd < 0)
		bench_die("%s: %s", path, strerror(errno));
	while ((len = syscall(SYS_getdents64, fd, buf, sizeof(buf))) > 0) {
		for (long at = 0; at < len;) {
			struct dirent64 *entry = (struct dirent64 *)(buf + at);

			names += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
			at += entry->d_reclen;
		}
	}
	if (len < 0)
		bench_die("%s: %s", path, strerror(errno));
	close(fd);
	return names;
}

static long count_lines(int fd)
{
	static char buf[65536];
	ssize_t len;
	long lines = 0;

	while ((len = read(fd, buf, sizeof(buf))) > 0)
		for (ssize_t i = 0; i < len; i++)
			lines += buf[i] == '\n';
	return len < 0 ? -1 : lines;
}

static long list_by_find(const char *path, bool is_deep)
{
	int pipe_fd[2], status;
	long lines;
	pid_t pid;

	if (pipe(pipe_fd) < 0 || (pid = fork()) < 0)
		bench_die("no process: %s", strerror(errno));
	if (pid == 0) {
		dup2(pipe_fd[1], STDOUT_FILENO);
		close(pipe_fd[0]);
		close(pipe_fd[1]);
		execlp("find", "find", path, is_deep ? NULL : "-maxdepth", "1", (char *)NULL);
		_exit(127);
	}
	close(pipe_fd[1]);
	lines = count_lines(pipe_fd[0]);
	close(pipe_fd[0]);
	if (waitpid(pid, &status, 0) < 0 || status != 0 || lines < 0)
		bench_die("find %s: status %d", path, status);
	return lines - 1;		/* without the folder itself */
}

/* Nanoseconds a name. */
static double slice_ns(struct setup *s, int side)
{
	int64_t begin = clock_monotonic();
	char path[PATH_BYTES];
	long names;

	snprintf(path, sizeof(path), "%s/" BENCH_GROUP, s->mount[side]);
	names = strcmp(s->mode, "list") == 0 ? list_by_getdents(path) : list_by_find(path, strcmp(s->mode, "tree") == 0);
	begin = clock_monotonic() - begin;
	if (names < 1 || (s->names[side] && s->names[side] != names))
		bench_die("%s: %ld names, %ld before", path, names, s->names[side]);
	s->names[side] = names;
	return (double)begin / (double)names;
}

static double slice_sampled_ns(struct setup *s, struct sampler *sampler)
{
	double ns;

	atomic_store(&sampler->is_over, false);
	if (pthread_create(&sampler->thread, NULL, sample, sampler))
		bench_die("no thread");
	ns = slice_ns(s, 0);
	atomic_store(&sampler->is_over, true);
	pthread_join(sampler->thread, NULL);
	return ns;
}

static void run(struct setup *s)
{
	static const struct { const char *mode, *name; } names[] = {
		{ "list", "getdents of the group" }, { "names", "find -maxdepth 1" }, { "tree", "find, every entity entered" },
	};
	char memory_name[96];
	double gained;
	struct bench_figure figure = { .cores = s->cores, .unit = "ns/name", .target = 1.5 };
	struct bench_figure memory = { .name = memory_name, .cores = s->cores, .unit = "B/name", .target = 1 };
	struct sampler sampler = { .pid = s->pid };
	long before_kib = status_kib(s->pid, "RssAnon"), before_all = status_kib(s->pid, "VmRSS");

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strcmp(s->mode, names[i].mode) == 0)
			figure.name = names[i].name;
	if (!figure.name)
		bench_die("unknown mode %s", s->mode);
	for (long r = 0; r < s->rounds; r++) {
		double ns[2];

		for (int i = 0; i < 2; i++) {
			int side = (int)(i + r) % 2;

			ns[side] = side ? slice_ns(s, side) : slice_sampled_ns(s, &sampler);
		}
		bench_round(&figure, ns[0], ns[1]);
	}
	if (s->names[0] != s->names[1])
		bench_die("the sides list %ld and %ld names", s->names[0], s->names[1]);
	snprintf(memory_name, sizeof(memory_name), "daemon's memory, %s", figure.name);
	gained = (double)(sampler.peak_kib - before_kib) * 1024 / (double)s->names[0];
	bench_round(&memory, gained > 0.01 ? gained : 0.01, FLAT_BYTES);
	bench_print(&figure);
	printf("# %s: %s: %ld names, %ld rounds; a listing takes %.1f s on ours, %.1f s on the null file system\n", s->cores, figure.name,
	       s->names[0], s->rounds, bench_median(figure.ours, figure.rounds) * (double)s->names[0] / 1e9,
	       bench_median(figure.other, figure.rounds) * (double)s->names[0] / 1e9);
	bench_print(&memory);
	printf("# %s: of its own memory the daemon held %ld KiB before and %ld at the peak, with mapped pages %ld before and "
	       "%ld after\n", s->cores, before_kib, sampler.peak_kib, before_all, status_kib(s->pid, "VmRSS"));
}

int main(int argc, char **argv)
{
	struct setup s = { .cores = "?", .rounds = 5 };

	setlinebuf(stdout);
	if (argc < 5)
		bench_die("usage: bench_find list|names|tree MOUNT NULL_MOUNT DAEMON_PID [--core N] [--cores WORDS] [--rounds N]");
	s.mode = argv[1];
	s.mount[0] = argv[2];
	s.mount[1] = argv[3];
	s.pid = bench_number("DAEMON_PID", argv[4], 1);
	for (int i = 5; i < argc; i += 2) {
		if (strcmp(argv[i], "--core") == 0)
			bench_pin((int)bench_number(argv[i], argv[i + 1], 0));
		else if (strcmp(argv[i], "--cores") == 0 && argv[i + 1])
			s.cores = argv[i + 1];
		else if (strcmp(argv[i], "--rounds") == 0)
			s.rounds = bench_number(argv[i], argv[i + 1], 1);
		else
			bench_die("unknown option %s", argv[i]);
	}
	if (s.rounds > BENCH_ROUNDS_MAX)
		bench_die("at most %d rounds", BENCH_ROUNDS_MAX);
	run(&s);
	return 0;
}
