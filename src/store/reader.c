/* SPDX-License-Identifier: MIT */
/*
 * Readers in other processes, seen from both sides: a reader that stays open looks whether its store was replaced or
 * awaits recovery, and the daemon looks who holds old snapshots. LMDB's table of readers has a line for each snapshot,
 * with its process; a line of a dead process is taken back, for its pages could never be used again. What a living one
 * holds for long can only be told: it is that process's business, but the map grows meanwhile.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "base/clock.h"
#include "store/env.h"

enum { TELL_S = 60 };		/* a snapshot that was held for so long is worth a line in the log */

/* ---- of a reader ---- */

int store_file(const struct store *store, uint64_t *out_device, uint64_t *out_inode)
{
	struct stat st;

	if (fstat(store->data_fd, &st) < 0)
		return -errno;
	*out_device = st.st_dev;
	*out_inode = st.st_ino;
	return 0;
}

int store_file_at(const char *path, uint64_t *out_device, uint64_t *out_inode)
{
	struct stat st;
	char *file;
	int rc = 0;

	if (asprintf(&file, "%s/data.mdb", path) < 0)
		return -ENOMEM;
	if (stat(file, &st) < 0)
		rc = -errno;
	free(file);
	if (rc == 0) {
		*out_device = st.st_dev;
		*out_inode = st.st_ino;
	}
	return rc;
}

/* On a file system that is mounted read-only LMDB opens without its table of readers. That does no harm while nobody writes,
 * and is no protection at all if somebody does, by another mount of the same file system. */
static bool has_no_table(const struct store *store)
{
	struct statvfs disk;

	return fstatvfs(store->dir_fd, &disk) == 0 && (disk.f_flag & ST_RDONLY);
}

int reader_check_state(const struct store *store, const struct state_seen *seen, struct why *why)
{
	if (!state_is_whole(store, seen))
		return why_fail(why, EAGAIN, "its map awaits recovery: start the daemon on it once");
	if (seen->state != STATE_CLEAN && has_no_table(store))
		return why_fail(why, EROFS, "it is in use, and can't be read from a file system that is mounted "
				"read-only: its writer would not know of the reader");
	return 0;
}

int store_check_reader(struct store *store, struct why *why)
{
	uint64_t device = 0, inode = 0, own_device = 0, own_inode = 0;
	struct state_seen seen;
	struct stat dir, own;
	int rc = store_file_at(store->path, &device, &inode);

	if (rc < 0)
		return why_fail(why, -rc, "%s/data.mdb: %s", store->path, strerror(-rc));
	rc = store_file(store, &own_device, &own_inode);
	if (rc < 0)
		return why_fail(why, -rc, "%s: %s", store->path, strerror(-rc));
	if (device != own_device || inode != own_inode || stat(store->path, &dir) < 0 || fstat(store->dir_fd, &own) < 0 ||
	    dir.st_ino != own.st_ino || dir.st_dev != own.st_dev)
		return why_fail(why, ESTALE, "%s: another store stands there now", store->path);
	rc = state_look(store, &seen, why);
	if (rc == 0)
		rc = reader_check_state(store, &seen, why);
	if (rc < 0)
		why_prefix(why, "%s", store->path);
	return rc;
}

/* ---- of the daemon ---- */

struct look {
	long own_pid;
	struct store_readers seen;
	uint64_t oldest_txnid;
};

/* LMDB prints its table as text, a heading and then "pid thread transaction", '-' for none. */
static int look_at(const char *line, void *arg)
{
	struct look *look = arg;
	char txnid[32];
	long pid;
	uint64_t number;

	if (sscanf(line, "%ld %*s %31s", &pid, txnid) != 2 || pid == look->own_pid || txnid[0] == '-')
		return 0;
	number = strtoull(txnid, NULL, 10);
	look->seen.snapshots++;
	if (!look->seen.oldest_pid || number < look->oldest_txnid) {
		look->seen.oldest_pid = pid;
		look->oldest_txnid = number;
	}
	return 0;
}

void reader_check(struct store *store)
{
	struct look look = { .own_pid = (long)getpid() };
	int64_t now = clock_monotonic(), was_held_ns;
	MDB_envinfo info;
	int dead;

	mdb_reader_check(store->env, &dead);
	if (mdb_reader_list(store->env, look_at, &look) < 0 || mdb_env_info(store->env, &info))
		return;
	pthread_mutex_lock(&store->readers_lock);
	was_held_ns = store->readers.oldest_held_ns;
	if (!look.seen.oldest_pid || look.seen.oldest_pid != store->readers.oldest_pid ||
	    look.oldest_txnid != store->readers_txnid) {
		store->readers_since_ns = now;
		store->readers_txnid = look.oldest_txnid;
		was_held_ns = 0;
	}
	if (look.seen.oldest_pid) {
		look.seen.oldest_behind = info.me_last_txnid > look.oldest_txnid ? info.me_last_txnid - look.oldest_txnid : 0;
		look.seen.oldest_held_ns = now - store->readers_since_ns;
	}
	store->readers = look.seen;
	pthread_mutex_unlock(&store->readers_lock);
	/* A snapshot that is the newest one holds nothing back. */
	if (look.seen.oldest_behind && look.seen.oldest_held_ns >= TELL_S * CLOCK_SECOND && was_held_ns < TELL_S * CLOCK_SECOND)
		env_notice(store, false, "process %ld has been reading one snapshot for %d seconds, %" PRIu64 " commits behind: "
			   "no page is reused until it ends, so the map grows", look.seen.oldest_pid, TELL_S,
			   look.seen.oldest_behind);
}

void store_readers(struct store *store, struct store_readers *out)
{
	pthread_mutex_lock(&store->readers_lock);
	*out = store->readers;
	pthread_mutex_unlock(&store->readers_lock);
}
