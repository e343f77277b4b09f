/* SPDX-License-Identifier: MIT */
/*
 * Backup and restore. Both are the store's own copy of one snapshot: a backup is a store, closed cleanly, so that it
 * can be mounted, dumped and verified where it lies, and restoring it is one more copy with a proof before and after.
 * Nothing is ever written over: the target must be new or empty.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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
