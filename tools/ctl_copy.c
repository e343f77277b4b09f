/* SPDX-License-Identifier: MIT */
/*
 * Backup and restore. Both are the store's own copy of one snapshot: a backup is a store, closed cleanly, so that it
 * can be mounted, dumped and verified where it lies, and restoring it is one more copy with a proof before and after.
 * Nothing is ever written over: the target must be new or empty. Dead letters of streams lie beside the map and go along.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "ctl.h"
#include "base/clock.h"

static int check_target(const struct ctl *ctl, const char *dir)
{
	char *mounted = ctl_store_mounted_at(dir);
	int rc = ctl_check_empty_dir(dir);

	if (mounted)
		rc = ctl_fail(ctl, CTL_FAILURE, "%s is in use: it is mounted at %s", dir, mounted);
	else if (rc == -ENOTEMPTY)
		rc = ctl_fail(ctl, CTL_FAILURE, "%s is not empty: name a new or empty directory; nothing was changed",
			      dir);
	else if (rc < 0 && rc != -ENOENT)
		rc = ctl_fail_errno(ctl, dir, rc);
	else
		rc = CTL_OK;
	free(mounted);
	return rc;
}

static void step(void *arg, uint64_t done, uint64_t total)
{
	ctl_progress_step(arg, done, total);
}

static int open_reader(const struct ctl *ctl, const char *path, struct store **out)
{
	struct why why = { "" };
	int rc = store_open_reader(path, out, &why);

	if (rc == 0)
		return CTL_OK;
	if (!why.text[0])
		why_fail(&why, -rc, "%s: %s", path, strerror(-rc));
	return ctl_fail(ctl, rc == -ENOENT ? CTL_NONE : CTL_FAILURE, "%s%s", why.text, ctl_store_hint(rc));
}

static uint64_t measure_map(const char *dir)
{
	char path[PATH_MAX];
	struct stat st;

	if (ctl_path(path, "%s/data.mdb", dir) < 0 || stat(path, &st) < 0)
		return 0;
	return (uint64_t)st.st_size;
}

/* ---- dead letters, which lie beside the map ---- */

static int copy_bytes(int from, int to)
{
	char bytes[65536];
	ssize_t n;

	while ((n = read(from, bytes, sizeof bytes)) > 0)
		for (ssize_t done = 0, put; done < n; done += put) {
			put = write(to, bytes + done, (size_t)(n - done));
			if (put < 0)
				return -errno;
		}
	return n < 0 || fsync(to) < 0 ? -errno : 0;
}

static int copy_file(int from_dir, int to_dir, const char *name)
{
	int from = openat(from_dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), to, rc;

	if (from < 0)
		return errno == ENOENT ? 0 : -errno;	/* they rotate */
	to = openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	rc = to < 0 ? -errno : copy_bytes(from, to);
	if (to >= 0)
		close(to);
	close(from);
	return rc;
}

static int open_folder(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? -errno : fd;
}

/* A folder's files, or its folders' where it is the one of all groups. */
static int copy_folder(int from_dir, int to_dir, const char *name, bool has_folders)
{
	int from = open_folder(from_dir, name), to = -1, rc = 0;
	struct dirent *entry;
	DIR *dir;

	if (from < 0)
		return from == -ENOENT ? 0 : from;
	if (mkdirat(to_dir, name, 0700) < 0 || (to = open_folder(to_dir, name)) < 0)
		rc = to < -1 ? to : -errno;
	dir = fdopendir(from);
	while (rc == 0 && dir && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			rc = has_folders ? copy_folder(from, to, entry->d_name, false) : copy_file(from, to, entry->d_name);
	if (rc == 0 && (!dir || fsync(to) < 0))
		rc = -errno;
	if (dir)
		closedir(dir);
	else
		close(from);
	if (to >= 0)
		close(to);
	return rc;
}

/* Behind the map, so that every letter that the copied map counts is there; what came since is taken out by the lane, for its message is read again. */
static int copy_dead_letters(const char *from, const char *to)
{
	int from_dir = open_folder(AT_FDCWD, from), to_dir = open_folder(AT_FDCWD, to);
	int rc = from_dir < 0 ? from_dir : to_dir < 0 ? to_dir : copy_folder(from_dir, to_dir, "dead", true);

	if (from_dir >= 0)
		close(from_dir);
	if (to_dir >= 0)
		close(to_dir);
	return rc;
}

/* Copies and says how much and how long. */
static int copy(const struct ctl *ctl, const char *from, const char *to, bool quiet)
{
	int64_t begun_ns = clock_monotonic();
	struct ctl_progress progress;
	struct why why = { "" };
	struct store *store;
	char amount[32];
	int rc = open_reader(ctl, from, &store);

	if (rc)
		return rc;
	ctl_progress_begin(&progress, ctl->command->name, true, quiet);
	rc = store_copy(store, to, step, &progress, &why);
	ctl_progress_end(&progress);
	store_close(store);
	if (rc == 0) {
		rc = copy_dead_letters(from, to);
		if (rc < 0)
			why_fail(&why, -rc, "the dead letters can't be copied: %s", strerror(-rc));
	}
	if (rc < 0)
		return ctl_fail(ctl, CTL_FAILURE, "%s; what there is of %s is no store, remove it",
				why.text[0] ? why.text : strerror(-rc), to);
	ctl_print_bytes(measure_map(to), amount);
	printf("%s: %s in %.1f seconds\n", to, amount, (double)(clock_monotonic() - begun_ns) / 1e9);
	return CTL_OK;
}

static int read_options(struct ctl *ctl, int argc, char **argv, bool *out_quiet)
{
	static const struct option longs[] = { { "quiet", no_argument, NULL, 'q' }, CTL_LONG_OPTIONS };
	int opt;

	*out_quiet = false;
	while ((opt = ctl_option(ctl, argc, argv, "q", longs)) >= 0) {
		if (opt == 0)
			return ctl->exit;
		*out_quiet = true;
	}
	return -1;
}

int ctl_backup(struct ctl *ctl, int argc, char **argv)
{
	struct ctl_mount place;
	bool quiet;
	int rc = read_options(ctl, argc, argv, &quiet);

	if (rc >= 0)
		return rc;
	if (argc - optind != 1)
		return ctl_fail(ctl, CTL_USAGE, "into which directory? See featurectl backup --help");
	rc = ctl_find_store(ctl, &place);
	if (rc == CTL_OK)
		rc = check_target(ctl, argv[optind]);
	if (rc == CTL_OK)
		rc = copy(ctl, place.source, argv[optind], quiet);
	ctl_mount_release(&place);
	return rc;
}

static int prove(const struct ctl *ctl, const char *path, bool quiet, const char *meaning)
{
	struct ctl_verified verified;
	struct why why = { "" };
	int rc = ctl_verify_store(path, quiet, false, &verified, &why);

	if (rc < 0)
		return ctl_fail(ctl, rc == -ENOENT ? CTL_NONE : CTL_FAILURE, "%s%s", why.text, ctl_store_hint(rc));
	if (verified.faults)
		return ctl_fail(ctl, CTL_FAILURE, "%s has %llu faults, %s; `featurectl verify %s` lists them", path,
				(unsigned long long)verified.faults, meaning, path);
	return CTL_OK;
}

int ctl_restore(struct ctl *ctl, int argc, char **argv)
{
	const char *backup, *store;
	bool quiet;
	int rc = read_options(ctl, argc, argv, &quiet);

	if (rc >= 0)
		return rc;
	if (argc - optind != 2)
		return ctl_fail(ctl, CTL_USAGE, "which backup, and where to? See featurectl restore --help");
	backup = argv[optind];
	store = argv[optind + 1];
	rc = check_target(ctl, store);
	if (rc == CTL_OK)
		rc = prove(ctl, backup, quiet, "so nothing was restored");
	if (rc == CTL_OK)
		rc = copy(ctl, backup, store, quiet);
	if (rc == CTL_OK)
		rc = prove(ctl, store, quiet,
			   "though the backup has none: look at the disk, and restore to another one");
	if (rc == CTL_OK)
		printf("Mount it with: featurefs %s MOUNTPOINT\n", store);
	return rc;
}
