/* SPDX-License-Identifier: MIT */
/*
 * import: drops files or directories of rows into a group's .import and follows their jobs. It does what a person could do with cp and
 * mv: copies to a hidden name, gives it the options of the job as attributes, and renames it to its own, which is what
 * tells the store that the copy is whole. A directory gets its _SUCCESS before that.
 *
 * The job is not ours: whoever interrupts this command does not interrupt the load.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>
#include "ctl.h"
#include "base/clock.h"
#include "base/num.h"

enum {
	CHUNK = 1 << 20,		/* the mount takes as much at once */
	STATUS_MAX = 64 << 10,
	POLL_MS = 50,
	BEGIN_S = 30,			/* a job has its report by then, or there is none */
	DEPTH_MAX = 15,
	REJECTS_SHOWN = 10,
};

struct import {
	struct ctl *ctl;
	struct ctl_mount mount;
	const char *group;
	const char *mode, *confirm, *max_rejects;
	bool is_dry, no_wait, quiet;
	/* of the path that is being imported */
	char dir[PATH_MAX];		/* .import */
	char name[NAME_MAX + 1];	/* as it is dropped */
	uint64_t before_id;		/* of the newest job of that name, before ours; 0 */
	struct ctl_progress progress;
	uint64_t done_bytes, all_bytes;
	char *chunk;
};

/* ---- copying ---- */

static int fail_path(const struct import *import, const char *path, int rc)
{
	return ctl_fail(import->ctl, rc == -ENOENT ? CTL_NONE : CTL_FAILURE, "%s: %s", path, strerror(-rc));
}

static bool is_ignored(const char *name)
{
	return name[0] == '.' || name[0] == '_';
}

static int copy_bytes(struct import *import, int from, int to)
{
	ssize_t n;
	int rc = 0;

	while (rc == 0 && (n = read(from, import->chunk, CHUNK)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		rc = n < 0 ? -errno : file_write_fd(to, slice_of(import->chunk, (size_t)n));
		if (rc == 0) {
			import->done_bytes += (uint64_t)n;
			ctl_progress_step(&import->progress, import->done_bytes, import->all_bytes);
		}
	}
	return rc;
}

/* The options of the job, as attributes of what is dropped. */
static int set_options(const struct import *import, int fd)
{
	const struct { const char *name, *value; } options[] = {
		{ "user.mode", import->mode }, { "user.confirm", import->confirm }, { "user.max_rejects", import->max_rejects },
		{ "user.dry_run", import->is_dry ? "yes" : NULL },
	};

	for (size_t i = 0; i < sizeof options / sizeof *options; i++)
		if (options[i].value && fsetxattr(fd, options[i].name, options[i].value, strlen(options[i].value), 0) < 0)
			return -errno;
	return 0;
}

/* Copies a file with its mtime: rows that say no time of their own are of then. */
static int copy_file(struct import *import, int from_dir, const char *from, int to_dir, const char *to, bool has_options)
{
	int in = openat(from_dir, from, O_RDONLY | O_CLOEXEC), out = -1, rc = in < 0 ? -errno : 0;
	struct stat st;

	if (rc == 0 && fstat(in, &st) < 0)
		rc = -errno;
	if (rc == 0) {
		out = openat(to_dir, to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
		rc = out < 0 ? -errno : 0;
	}
	if (rc == 0)
		rc = copy_bytes(import, in, out);
	if (rc == 0 && has_options)
		rc = set_options(import, out);
	if (rc == 0 && futimens(out, (struct timespec[2]){ st.st_atim, st.st_mtim }) < 0)
		rc = -errno;
	if (out >= 0 && close(out) < 0 && rc == 0)
		rc = -errno;
	if (in >= 0)
		close(in);
	return rc;
}

static int copy_tree(struct import *import, int from_fd, int to_fd, unsigned depth);

static int copy_dir(struct import *import, int from_dir, int to_dir, const char *name, unsigned depth)
{
	int from, to = -1, rc = 0;

	if (depth > DEPTH_MAX)
		return -ENAMETOOLONG;
	from = openat(from_dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (from < 0 || mkdirat(to_dir, name, 0777) < 0)
		rc = -errno;
	if (rc == 0) {
		to = openat(to_dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		rc = to < 0 ? -errno : copy_tree(import, from, to, depth + 1);
	}
	if (to >= 0)
		close(to);
	if (from >= 0)
		close(from);
	return rc;
}

/* Calls for each name of a directory that is data. */
static int copy_tree(struct import *import, int from_fd, int to_fd, unsigned depth)
{
	int fd = openat(from_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	struct stat st;

	if (!dir)
		return -errno;
	while (rc == 0 && (entry = readdir(dir))) {
		if (is_ignored(entry->d_name))
			continue;
		if (fstatat(from_fd, entry->d_name, &st, 0) < 0)
			rc = -errno;
		else if (S_ISDIR(st.st_mode))
			rc = copy_dir(import, from_fd, to_fd, entry->d_name, depth);
		else if (S_ISREG(st.st_mode))
			rc = copy_file(import, from_fd, entry->d_name, to_fd, entry->d_name, false);
	}
	closedir(dir);
	return rc;
}

static uint64_t count_bytes(int fd, unsigned depth)
{
	DIR *dir = fdopendir(fd);
	struct dirent *entry;
	uint64_t sum = 0;
	struct stat st;

	if (!dir)
		close(fd);
	while (dir && (entry = readdir(dir))) {
		if (is_ignored(entry->d_name) || fstatat(dirfd(dir), entry->d_name, &st, 0) < 0)
			continue;
		if (S_ISREG(st.st_mode))
			sum += (uint64_t)st.st_size;
		else if (S_ISDIR(st.st_mode) && depth <= DEPTH_MAX)
			sum += count_bytes(openat(dirfd(dir), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC), depth + 1);
	}
	if (dir)
		closedir(dir);
	return sum;
}

/* What an import that did not come about has left. */
static void remove_tree(int dir_fd, const char *name, unsigned depth)
{
	int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	while (dir && depth <= DEPTH_MAX && (entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			remove_tree(fd, entry->d_name, depth + 1);
	if (dir)
		closedir(dir);
	unlinkat(dir_fd, name, fd < 0 ? 0 : AT_REMOVEDIR);
}

static int drop_dir(struct import *import, const char *path, int import_fd, const char *hidden)
{
	int from = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), to = -1, success, rc = from < 0 ? -errno : 0;

	if (rc == 0 && mkdirat(import_fd, hidden, 0777) < 0)
		rc = -errno;
	if (rc == 0) {
		to = openat(import_fd, hidden, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		rc = to < 0 ? -errno : set_options(import, to);
	}
	if (rc == 0)
		rc = copy_tree(import, from, to, 0);
	if (rc == 0) {
		success = openat(to, "_SUCCESS", O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
		if (success < 0 || close(success) < 0)
			rc = -errno;
	}
	if (to >= 0)
		close(to);
	if (from >= 0)
		close(from);
	return rc;
}

/* Copies beside, then renames. */
static int drop(struct import *import, const char *path, const struct stat *st)
{
	int import_fd = open(import->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = import_fd < 0 ? -errno : 0;
	char hidden[NAME_MAX + 1];

	if (rc < 0)
		return fail_path(import, import->dir, rc);
	snprintf(hidden, sizeof hidden, ".import.%ld", (long)getpid());
	import->done_bytes = 0;
	import->all_bytes = S_ISDIR(st->st_mode) ? count_bytes(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), 0)
						 : (uint64_t)st->st_size;
	ctl_progress_begin(&import->progress, "copy", true, import->quiet);
	rc = S_ISDIR(st->st_mode) ? drop_dir(import, path, import_fd, hidden)
				  : copy_file(import, AT_FDCWD, path, import_fd, hidden, true);
	if (rc == 0 && renameat(import_fd, hidden, import_fd, import->name) < 0)
		rc = -errno;
	ctl_progress_end(&import->progress);
	if (rc < 0)
		remove_tree(import_fd, hidden, 0);
	close(import_fd);
	return rc < 0 ? fail_path(import, path, rc) : CTL_OK;
}

/* ---- following ---- */

/* A line of a report. false if it has none. */
static bool find_field(const struct buf *status, const char *key, struct slice *out)
{
	size_t at = 0, len = strlen(key);
	struct slice line;

	while (ctl_next_line(buf_slice(status), &at, &line)) {
		const char *text = line.data;

		if (line.len < len + 2 || memcmp(text, key, len) || memcmp(text + len, ": ", 2))
			continue;
		*out = slice_of(text + len + 2, line.len - len - 2);
		return true;
	}
	return false;
}

static uint64_t find_number(const struct buf *status, const char *key)
{
	struct slice text;
	uint64_t number;

	return find_field(status, key, &text) && num_parse_u64(text, &number) == 0 ? number : 0;
}

static bool has_state(const struct buf *status, const char *state)
{
	struct slice text;

	return find_field(status, "state", &text) && slice_equal(text, slice_str(state));
}

/* -ENOENT: there is none; -ENODEV: and no .import either, so the store is not mounted there any more. */
static int read_status(const struct import *import, struct buf *out)
{
	char path[PATH_MAX];
	int rc = ctl_path(path, "%s/.reports/%s.status", import->dir, import->name);

	buf_reset(out);
	rc = rc < 0 ? rc : file_read_path(path, STATUS_MAX, out);
	return rc == -ENOENT && access(import->dir, F_OK) < 0 ? -ENODEV : rc;
}

static void nap(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = POLL_MS * 1000000L }, NULL);
}

/* The report of our job, once it has ended. */
static int await_end(struct import *import, struct buf *status)
{
	int64_t patience_ns = clock_monotonic() + BEGIN_S * CLOCK_SECOND;
	uint64_t id = 0;
	int rc;

	ctl_progress_begin(&import->progress, "load", true, import->quiet);
	for (;;) {
		rc = read_status(import, status);
		if (rc < 0 && rc != -ENOENT)
			return ctl_fail(import->ctl, CTL_FAILURE, "%s: its report cannot be read any more: %s; what was dropped is loaded "
					"when the store is mounted again", import->name, strerror(-rc));
		if (rc == 0 && find_number(status, "id") > import->before_id) {
			id = id ? id : find_number(status, "id");
			if (find_number(status, "id") != id)
				return ctl_fail(import->ctl, CTL_FAILURE, "%s was dropped once more by somebody else, and the report is that "
						"drop's; this import had the id %" PRIu64, import->name, id);
			import->progress.what = has_state(status, "waiting") ? "wait" : "load";
			ctl_progress_step(&import->progress, find_number(status, "percent") * import->all_bytes / 100,
					  import->all_bytes);
			if (has_state(status, "done") || has_state(status, "failed") || has_state(status, "cancelled"))
				return CTL_OK;
		} else if (clock_monotonic() > patience_ns) {
			return ctl_fail(import->ctl, CTL_FAILURE, "%s was dropped, but there is no report of it", import->name);
		}
		nap();
	}
}

/* The first of the refused rows, for who has to mend them; where all of them stand, if there are more. */
static void show_rejects(const struct import *import, uint64_t rejected)
{
	char path[PATH_MAX], *line = NULL;
	size_t size = 0, n = 0;
	FILE *file = ctl_path(path, "%s/.reports/%s.rejects", import->dir, import->name) == 0 ? fopen(path, "re") : NULL;

	if (!file)
		return;
	for (; n < REJECTS_SHOWN && getline(&line, &size, file) > 0; n++)
		fputs(line, stderr);
	if (rejected > n)
		fprintf(stderr, "%" PRIu64 " more: %s\n", rejected - n, path);
	free(line);
	fclose(file);
}

static int follow(struct import *import)
{
	struct buf status = { 0 };
	struct slice reason = slice_str("");
	int rc = await_end(import, &status);

	ctl_progress_end(&import->progress);
	if (rc == CTL_OK) {
		ctl_print(buf_slice(&status));
		fflush(stdout);
		if (find_number(&status, "rejected"))
			show_rejects(import, find_number(&status, "rejected"));
		find_field(&status, "reason", &reason);
		if (has_state(&status, "failed"))
			rc = ctl_fail(import->ctl, CTL_FAILURE, "%s: nothing was applied: %.*s", import->name, (int)reason.len,
				      (const char *)reason.data);
		else if (has_state(&status, "cancelled"))
			rc = ctl_fail(import->ctl, CTL_FAILURE, "%s was cancelled: nothing was applied", import->name);
	}
	buf_release(&status);
	return rc;
}

/* ---- one path ---- */

/* The name that it is dropped under: its own; a directory that is there already gets the time behind it. */
static int choose_name(struct import *import, const char *path, bool is_dir)
{
	char *full = realpath(path, NULL), other[PATH_MAX];
	struct stat st;
	int rc = 0;

	if (!full)
		return fail_path(import, path, -errno);
	rc = snprintf(import->name, sizeof import->name, "%s", basename(full)) >= (int)sizeof import->name ? -ENAMETOOLONG : 0;
	free(full);
	if (rc == 0 && is_ignored(import->name))
		return ctl_fail(import->ctl, CTL_USAGE, "%s: the store passes over names that begin with '%c'; give it another one", path,
				import->name[0]);
	if (rc == 0)
		rc = ctl_path(other, "%s/%s", import->dir, import->name);
	if (rc == 0 && stat(other, &st) == 0 && (is_dir || S_ISDIR(st.st_mode))) {
		size_t len = strlen(import->name);

		if (snprintf(import->name + len, sizeof import->name - len, "-%lld", (long long)clock_now() / 1000000) >=
		    (int)(sizeof import->name - len))
			rc = -ENAMETOOLONG;
	}
	return rc < 0 ? fail_path(import, path, rc) : CTL_OK;
}

static int import_path(struct import *import, const char *path)
{
	struct buf status = { 0 };
	struct stat st;
	int rc;

	if (stat(path, &st) < 0)
		return fail_path(import, path, -errno);
	if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
		return ctl_fail(import->ctl, CTL_USAGE, "%s is neither a file nor a directory", path);
	rc = choose_name(import, path, S_ISDIR(st.st_mode));
	if (rc)
		return rc;
	import->before_id = read_status(import, &status) == 0 ? find_number(&status, "id") : 0;
	buf_release(&status);
	rc = drop(import, path, &st);
	if (rc == CTL_OK && !import->no_wait)
		rc = follow(import);
	else if (rc == CTL_OK)
		printf("%s: dropped; its report is %s/.reports/%s.status\n", path, import->dir, import->name);
	return rc;
}

/* ---- the command ---- */

static int take_option(struct import *import, int opt)
{
	uint64_t number;

	switch (opt) {
	case 'o':
		if (strcmp(optarg, "merge") && strcmp(optarg, "snapshot") && strcmp(optarg, "overwrite"))
			return ctl_fail(import->ctl, CTL_USAGE, "--mode %s: it is merge, snapshot or overwrite", optarg);
		import->mode = optarg;
		return CTL_OK;
	case 'c':
		if (strcmp(optarg, "stamp") && strcmp(optarg, "skip"))
			return ctl_fail(import->ctl, CTL_USAGE, "--confirm %s: it is stamp or skip", optarg);
		import->confirm = optarg;
		return CTL_OK;
	case 'r':
		if (num_parse_u64(slice_str(optarg), &number) < 0)
			return ctl_fail(import->ctl, CTL_USAGE, "--max-rejects %s: it is a number of rows", optarg);
		import->max_rejects = optarg;
		return CTL_OK;
	case 'n':
		import->is_dry = true;
		return CTL_OK;
	case 'w':
		import->no_wait = true;
		return CTL_OK;
	default:
		import->quiet = true;
		return CTL_OK;
	}
}

static int open_group(struct import *import)
{
	struct stat st;
	int rc = ctl_find_mount(import->ctl, &import->mount);

	if (rc)
		return rc;
	rc = ctl_path(import->dir, "%s/%s/.import", import->mount.dir, import->group);
	if (rc == 0 && stat(import->dir, &st) < 0)
		rc = -errno;
	if (rc == -ENOENT)
		return ctl_fail(import->ctl, CTL_NONE, "there is no group %s in %s", import->group, import->mount.dir);
	return rc < 0 ? fail_path(import, import->dir, rc) : CTL_OK;
}

int ctl_import(struct ctl *ctl, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "mode", required_argument, NULL, 'o' }, { "confirm", required_argument, NULL, 'c' },
		{ "max-rejects", required_argument, NULL, 'r' }, { "dry-run", no_argument, NULL, 'n' },
		{ "no-wait", no_argument, NULL, 'w' }, CTL_LONG_OPTIONS
	};
	struct import import = { .ctl = ctl };
	int opt, rc = CTL_OK;

	while (rc == CTL_OK && (opt = ctl_option(ctl, argc, argv, "q", longs)) >= 0) {
		if (opt == 0)
			return ctl->exit;
		rc = take_option(&import, opt);
	}
	if (rc)
		return rc;
	if (argc - optind < 2)
		return ctl_fail(ctl, CTL_USAGE, "which group, and which files or directories? See featurectl import --help");
	import.group = argv[optind];
	import.chunk = malloc(CHUNK);
	rc = import.chunk ? open_group(&import) : ctl_fail_errno(ctl, "copying", -ENOMEM);
	for (int i = optind + 1; rc == CTL_OK && i < argc; i++)
		rc = import_path(&import, argv[i]);
	free(import.chunk);
	ctl_mount_release(&import.mount);
	return rc;
}
