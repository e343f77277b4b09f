/* SPDX-License-Identifier: MIT */
/*
 * Makes a store, or finds that there is one; its directory and its lock.
 *
 * A store comes into being between two files: `creating` is made first, `state` last, each synced with its directory;
 * then `creating` goes. Where `creating` is and `state` is not, nothing was ever promised, and what is there is made
 * anew. Where neither is, a store is made only in an empty directory. Nothing else is ever removed.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include "store/env.h"
#include "base/file.h"

static int sync_parent(const char *path)
{
	char *copy = strdup(path);
	int fd, rc = 0;

	if (!copy)
		return -ENOMEM;
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		rc = -errno;
	if (fd >= 0)
		close(fd);
	free(copy);
	return rc;
}

int create_directory(struct store *store, bool make, struct why *why)
{
	int rc;

	if (make && mkdir(store->path, 0700) == 0) {
		rc = sync_parent(store->path);
		if (rc < 0)
			return why_fail(why, -rc, "%s: its parent directory can't be synced: %s", store->path,
					strerror(-rc));
	} else if (make && errno != EEXIST) {
		return why_fail(why, errno, "%s can't be made: %s", store->path, strerror(errno));
	}
	store->dir_fd = open(store->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (store->dir_fd < 0)
		return why_fail(why, errno, "%s can't be opened: %s", store->path, strerror(errno));
	return 0;
}

int create_lock(struct store *store, struct why *why)
{
	char text[32] = "";
	int len;

	store->lock_fd = openat(store->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (store->lock_fd < 0)
		return why_fail(why, errno, "%s/lock can't be opened: %s", store->path, strerror(errno));
	if (flock(store->lock_fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return why_fail(why, errno, "%s/lock: %s", store->path, strerror(errno));
		if (file_read_at(store->lock_fd, text, sizeof text - 1, 0) > 0)
			text[strcspn(text, "\n")] = 0;
		return why_fail(why, EBUSY, "%s is in use by process %s", store->path, *text ? text : "(unknown)");
	}
	/* Only the error text above reads it, so a disk that is full is no reason to stop. */
	len = snprintf(text, sizeof text, "%ld\n", (long)getpid());
	if (ftruncate(store->lock_fd, 0) == 0)
		file_write_at(store->lock_fd, text, (size_t)len, 0);
	return 0;
}

bool create_has_file(struct store *store, const char *name)
{
	return faccessat(store->dir_fd, name, F_OK, 0) == 0;
}

/* ---- making a store ---- */

/* What a fresh file system or this open put there doesn't count. */
int create_is_empty(struct store *store)
{
	int fd = openat(store->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), empty = 1;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!dir) {
		empty = -errno;
		if (fd >= 0)
			close(fd);
		return empty;
	}
	while (empty && (errno = 0, entry = readdir(dir)))
		empty = !strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") || !strcmp(entry->d_name, "lock") ||
			!strcmp(entry->d_name, "lost+found");
	if (empty && errno)
		empty = -errno;
	closedir(dir);
	return empty;
}

/* Removes what an unfinished creation left. A log of that age has its first segment at the most. */
static void clear_unfinished(struct store *store)
{
	static const char *const names[] = { "data.mdb", "lock.mdb", "checkpoint", "checkpoint.new", "state.new",
					     "log/next.new", "log/0000000000000001.log" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		unlinkat(store->dir_fd, names[i], 0);
}

static int mark_creating(struct store *store)
{
	int fd = openat(store->dir_fd, "creating", O_WRONLY | O_CREAT | O_CLOEXEC, 0600), rc = 0;

	if (fd < 0)
		return -errno;
	if (fsync(fd) < 0 || fsync(store->dir_fd) < 0)
		rc = -errno;
	close(fd);
	return rc;
}

static int unmark_creating(struct store *store)
{
	if (unlinkat(store->dir_fd, "creating", 0) < 0 && errno != ENOENT)
		return -errno;
	return fsync(store->dir_fd) < 0 ? -errno : 0;
}

int create_begin(struct store *store)
{
	int rc = mark_creating(store);

	if (rc < 0)
		return rc;
	clear_unfinished(store);
	do
		if (getrandom(&store->id, sizeof store->id, 0) != sizeof store->id)
			return -EIO;
	while (!store->id);
	return 0;
}

/* The map is there with commit `seq`: syncs it and makes the rest. */
static int make_files(struct store *store, uint64_t seq, uint64_t segment_bytes)
{
	struct checkpoint first = { .store_id = store->id, .page_bytes = store->page_bytes,
				    .pos = changelog_origin(seq + 1) };
	int rc = checkpoint_read_metas(store->data_fd, store->page_bytes, &first.metas, &first.txnid);

	if (rc == 0 && fsync(store->data_fd) < 0)
		rc = -errno;
	if (rc == 0)
		rc = checkpoint_create(store->dir_fd, &first);
	buf_release(&first.metas);
	if (rc == 0)
		rc = changelog_create(store->dir_fd, store->id, segment_bytes);
	if (rc == 0 && mkdirat(store->dir_fd, "followers", 0770) < 0 && errno != EEXIST)
		rc = -errno;
	if (rc == 0 && fsync(store->dir_fd) < 0)
		rc = -errno;
	if (rc == 0)
		rc = state_create(store->dir_fd, store->id);
	return rc == 0 ? unmark_creating(store) : rc;
}

int create_finish(struct store *store, uint64_t seq, uint64_t segment_bytes, struct why *why)
{
	int rc = make_files(store, seq, segment_bytes);

	return rc < 0 ? why_fail(why, -rc, "%s: a store can't be made there: %s", store->path, strerror(-rc)) : 0;
}

static int create(struct store *store, const struct store_options *options, struct why *why)
{
	int rc = create_begin(store);

	if (rc < 0)
		return why_fail(why, -rc, "%s: a store can't be made there: %s", store->path, strerror(-rc));
	rc = env_open(store, options->map_bytes, why);
	if (rc == 0)
		rc = create_finish(store, 0, options->segment_bytes, why);
	env_close(store);
	return rc;
}

int create_if_new(struct store *store, const struct store_options *options, struct why *why)
{
	bool has_state = create_has_file(store, "state"), is_creating = create_has_file(store, "creating");
	int rc;

	if (has_state && is_creating) {
		rc = unmark_creating(store);
		return rc < 0 ? why_fail(why, -rc, "%s: %s", store->path, strerror(-rc)) : 0;
	}
	if (has_state)
		return 0;
	if (!is_creating) {
		if (create_has_file(store, "data.mdb"))
			return why_fail(why, EBADMSG, "%s has a map but no file state: it is damaged, or no store",
					store->path);
		rc = create_is_empty(store);
		if (rc < 0)
			return why_fail(why, -rc, "%s: %s", store->path, strerror(-rc));
		if (!rc)
			return why_fail(why, ENOTEMPTY, "%s is no store and not empty", store->path);
	}
	return create(store, options, why);
}
