/* SPDX-License-Identifier: MIT */
/*
 * Followers read committed records at their own pace. Each has a small file in STORE/followers with the number of the
 * last record that it is done with; the log behind it is kept, up to a bound, past which the slowest one is dropped:
 * its file goes, and it must seed itself anew. A follower reads the segments' files by itself and takes no lock that a
 * commit takes.
 *
 *	followers/NAME		slots (see slots.c): u64 last acknowledged seq, u64 number of the store
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/clock.h"
#include "store/env.h"
#include "store/le.h"

enum { PLACE_LEN = 16, NAME_MAX_LEN = 64 };

static bool is_name(const char *name)
{
	size_t len = strlen(name);

	if (!len || len > NAME_MAX_LEN || name[0] == '.' || (len > 4 && !strcmp(name + len - 4, ".new")))
		return false;
	return strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == len;
}

static int open_folder(struct store *store)
{
	int fd;

	if (mkdirat(store->dir_fd, "followers", 0770) == 0 && fsync(store->dir_fd) < 0)
		return -errno;
	fd = openat(store->dir_fd, "followers", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static void encode_place(uint8_t out[PLACE_LEN], uint64_t acked, uint64_t store_id)
{
	le_put64(out, acked);
	le_put64(out + 8, store_id);
}

static void free_follower(struct store_follower *follower)
{
	if (!follower)
		return;
	log_reader_release(&follower->reader);
	slots_close(&follower->place);
	free(follower->name);
	free(follower);
}

static struct store_follower *new_follower(struct store *store, const char *name)
{
	struct store_follower *follower = calloc(1, sizeof *follower);

	if (!follower)
		return NULL;
	follower->store = store;
	follower->place.fd = follower->reader.fd = -1;
	follower->name = strdup(name);
	if (!follower->name) {
		free(follower);
		return NULL;
	}
	return follower;
}

/* ---- the list: all under trim_lock ---- */

static struct store_follower *find(struct store *store, const char *name)
{
	struct store_follower *follower = store->followers;

	while (follower && strcmp(follower->name, name))
		follower = follower->next;
	return follower;
}

static void link_in(struct store *store, struct store_follower *follower)
{
	follower->next = store->followers;
	store->followers = follower;
}

static void take_out(struct store *store, struct store_follower *follower)
{
	struct store_follower **at = &store->followers;

	while (*at && *at != follower)
		at = &(*at)->next;
	if (*at)
		*at = follower->next;
}

static int remove_file(struct store *store, const char *name)
{
	int folder = open_folder(store), rc = 0;

	if (folder < 0)
		return folder;
	if ((unlinkat(folder, name, 0) < 0 && errno != ENOENT) || fsync(folder) < 0)
		rc = -errno;
	close(folder);
	return rc;
}

static struct store_follower *slowest(struct store *store)
{
	struct store_follower *found = NULL;

	for (struct store_follower *f = store->followers; f; f = f->next)
		if (!f->dropped && (!found || f->acked < found->acked))
			found = f;
	return found;
}

static void drop(struct store *store, struct store_follower *follower)
{
	atomic_store(&follower->dropped, true);
	remove_file(store, follower->name);
	env_notice(store, true, "follower %s was dropped at commit %" PRIu64 ": it is more than %" PRIu64
		   " bytes of log behind; "
		   "it must begin anew", follower->name, follower->acked, store->options.log_bytes);
	take_out(store, follower);
	if (!follower->attached)
		free_follower(follower);
}

void follow_trim(struct store *store)
{
	uint64_t keep = store->checkpoint.pos.segment, n, bytes;
	struct store_follower *follower;
	struct log_segment segment;
	int rc = 0;

	pthread_mutex_lock(&store->trim_lock);
	if (!store->may_trim)
		goto out;
	while ((follower = slowest(store))) {
		if (!changelog_locate(&store->log, follower->acked + 1, &segment) ||
		    segment.number >= store->checkpoint.pos.segment)
			break;
		changelog_sizes(&store->log, store->checkpoint.pos.segment, &n, &bytes);
		if (bytes <= store->options.log_bytes) {
			keep = segment.number;
			break;
		}
		drop(store, follower);
	}
	rc = changelog_trim(&store->log, keep);
out:
	pthread_mutex_unlock(&store->trim_lock);
	if (rc < 0)
		env_notice(store, true, "old segments of the change log can't be removed: %s", strerror(-rc));
}

/* ---- opening ---- */

static int load(struct store *store, int folder, const char *name)
{
	struct store_follower *follower = new_follower(store, name);
	struct buf bytes = { 0 };
	int rc = follower ? slots_open(folder, name, SLOTS_SMALL, true, &follower->place, &bytes) : -ENOMEM;

	if (rc == 0 && (bytes.len != PLACE_LEN || le_get64(bytes.data + 8) != store->id))
		rc = -EBADMSG;
	if (rc == 0)
		follower->acked = le_get64(bytes.data);
	/* A relaxed log that lost its end in a loss of power counts on from before: what follows is not what this one
	 * saw. */
	if (rc == 0 && follower->acked > atomic_load(&store->last_seq)) {
		env_notice(store, true, "follower %s is ahead of the log, which lost its end; it must begin anew",
			   name);
		rc = remove_file(store, name);
		free_follower(follower);
	} else if (rc == 0) {
		link_in(store, follower);
	} else {
		free_follower(follower);
	}
	buf_release(&bytes);
	/* A place that can't be read holds nothing: its owner finds out when it comes back. */
	if (rc == -EBADMSG) {
		env_notice(store, true, "the place of follower %s is damaged; it must begin anew", name);
		rc = 0;
	}
	return rc;
}

int follow_open(struct store *store)
{
	int folder = open_folder(store), rc = 0;
	DIR *dir;
	struct dirent *entry;

	if (folder < 0)
		return folder;
	dir = fdopendir(folder);
	if (!dir) {
		rc = -errno;
		close(folder);
		return rc;
	}
	while (rc == 0 && (errno = 0, entry = readdir(dir)))
		if (is_name(entry->d_name))
			rc = load(store, folder, entry->d_name);
	if (rc == 0 && errno)
		rc = -errno;
	closedir(dir);
	pthread_mutex_lock(&store->trim_lock);
	store->may_trim = rc == 0;
	pthread_mutex_unlock(&store->trim_lock);
	return rc;
}

void follow_close(struct store *store)
{
	struct store_follower *follower;

	while ((follower = store->followers)) {
		store->followers = follower->next;
		free_follower(follower);
	}
}

/* ---- one follower ---- */

/* Where reading begins, and what counts as acknowledged then. */
static int place_reader(struct store *store, struct store_follower *follower, uint64_t from_seq)
{
	struct log_position end;
	struct log_segment segment;

	pthread_mutex_lock(&store->commit_lock);
	end = store->committed;
	pthread_mutex_unlock(&store->commit_lock);
	if (from_seq > end.seq)
		return -ESTALE;
	if (from_seq == 0 && !changelog_locate(&store->log, 0, &segment))
		from_seq = end.seq;
	if (from_seq == end.seq) {
		log_reader_init(&follower->reader, store->log.dir_fd, store->id, &end);
		follower->from_seq = end.seq;
		follower->acked = end.seq - 1;
		return 0;
	}
	if (!changelog_locate(&store->log, from_seq, &segment))
		return -ESTALE;
	log_reader_init_segment(&follower->reader, store->log.dir_fd, store->id, &segment);
	follower->from_seq = from_seq ? from_seq : segment.first_seq;
	follower->acked = follower->from_seq - 1;
	return 0;
}

static int save_place(struct store *store, struct store_follower *follower)
{
	uint8_t bytes[PLACE_LEN];
	struct buf read = { 0 };
	int folder, rc;

	encode_place(bytes, follower->acked, store->id);
	if (follower->place.fd >= 0)
		return slots_write(&follower->place, slice_of(bytes, sizeof bytes));
	folder = open_folder(store);
	if (folder < 0)
		return folder;
	rc = slots_create(folder, follower->name, SLOTS_SMALL, slice_of(bytes, sizeof bytes));
	if (rc == 0)
		rc = slots_open(folder, follower->name, SLOTS_SMALL, true, &follower->place, &read);
	close(folder);
	buf_release(&read);
	return rc;
}

int store_follow(struct store *store, const char *name, uint64_t from_seq, struct store_follower **out, struct why *why)
{
	struct store_follower *follower;
	uint64_t before;
	bool is_new;
	int rc;

	if (!is_name(name))
		return why_fail(why, EINVAL, "%s is no name for a follower", name);
	/* Who seeded itself from a snapshot may have seen commits that are not durable yet. */
	rc = checkpoint_sync_log(store);
	if (rc < 0)
		return why_fail(why, -rc, "the change log can't be synced: %s", strerror(-rc));
	pthread_mutex_lock(&store->trim_lock);
	follower = find(store, name);
	is_new = !follower;
	if (follower && follower->attached) {
		rc = why_fail(why, EEXIST, "follower %s is at work already", name);
		goto out;
	}
	if (is_new)
		follower = new_follower(store, name);
	if (!follower) {
		rc = why_fail(why, ENOMEM, "no memory");
		goto out;
	}
	before = follower->acked;
	rc = place_reader(store, follower, from_seq || is_new ? from_seq : follower->acked + 1);
	if (rc == 0)
		rc = save_place(store, follower);
	if (rc == -ESTALE)
		why_fail(why, ESTALE, "the log doesn't hold commit %" PRIu64
			 " any more: follower %s must seed itself anew", from_seq, name);
	else if (rc < 0)
		why_fail(why, -rc, "the place of follower %s can't be kept: %s", name, strerror(-rc));
	if (rc < 0) {
		log_reader_release(&follower->reader);
		follower->acked = before;	/* as its file has it */
		if (is_new)
			free_follower(follower);
		goto out;
	}
	if (is_new)
		link_in(store, follower);
	follower->attached = true;
	*out = follower;
out:
	pthread_mutex_unlock(&store->trim_lock);
	return rc;
}

/* The newest commit that followers may see: one that is durable, so that a loss of power can't put another in its place, and
 * in the map. */
static uint64_t shown_seq(struct store *store)
{
	uint64_t synced = atomic_load(&store->log.synced_seq), last = atomic_load(&store->last_seq);

	return synced < last ? synced : last;
}

int store_follow_next(struct store_follower *follower, uint64_t *out_seq, struct slice *out_payload)
{
	int rc;

	do {
		if (atomic_load(&follower->dropped))
			return -ESTALE;
		if (follower->reader.pos.seq > shown_seq(follower->store))
			return -EAGAIN;
		rc = log_reader_next(&follower->reader, out_seq, out_payload);
	} while (rc == 0 && *out_seq < follower->from_seq);
	if (rc < 0 && atomic_load(&follower->dropped))
		return -ESTALE;
	return rc == -ENOENT ? -EBADMSG : rc;
}

static bool has_news(struct store_follower *follower)
{
	return atomic_load(&follower->dropped) || follower->reader.pos.seq <= shown_seq(follower->store);
}

int store_follow_wait(struct store_follower *follower, unsigned timeout_ms)
{
	struct store *store = follower->store;
	struct timespec until = clock_after(timeout_ms * (CLOCK_SECOND / 1000));
	int rc = 0;

	pthread_mutex_lock(&store->follow_lock);
	atomic_fetch_add(&store->waiting, 1);
	while (!has_news(follower) && rc == 0)
		rc = pthread_cond_timedwait(&store->news, &store->follow_lock, &until);
	atomic_fetch_sub(&store->waiting, 1);
	pthread_mutex_unlock(&store->follow_lock);
	return rc == 0 || rc == ETIMEDOUT ? 0 : -rc;
}

/* A waiter counts itself before it looks at last_seq, and this looks at the count after last_seq was set: one of the
 * two sees the other. */
void follow_news(struct store *store)
{
	if (!atomic_load(&store->waiting))
		return;
	pthread_mutex_lock(&store->follow_lock);
	pthread_cond_broadcast(&store->news);
	pthread_mutex_unlock(&store->follow_lock);
}

int store_follow_ack(struct store_follower *follower, uint64_t seq)
{
	struct store *store = follower->store;
	uint64_t before;
	int rc = 0;

	pthread_mutex_lock(&store->trim_lock);
	before = follower->acked;
	if (atomic_load(&follower->dropped))
		rc = -ESTALE;
	else if (seq > atomic_load(&store->last_seq))
		rc = -EINVAL;
	if (rc == 0 && seq > before) {
		follower->acked = seq;
		rc = save_place(store, follower);
		if (rc < 0)
			follower->acked = before;
	}
	pthread_mutex_unlock(&store->trim_lock);
	return rc;
}

void store_follow_end(struct store_follower *follower)
{
	struct store *store;

	if (!follower)
		return;
	store = follower->store;
	pthread_mutex_lock(&store->trim_lock);
	follower->attached = false;
	log_reader_release(&follower->reader);
	if (atomic_load(&follower->dropped))
		free_follower(follower);	/* it is in no list any more */
	pthread_mutex_unlock(&store->trim_lock);
}

int store_follow_release(struct store *store, const char *name)
{
	struct store_follower *follower;
	int rc = -ENOENT;

	pthread_mutex_lock(&store->trim_lock);
	follower = find(store, name);
	if (follower) {
		rc = follower->attached ? -EBUSY : remove_file(store, name);
		if (rc == 0) {
			take_out(store, follower);
			free_follower(follower);
		}
	}
	pthread_mutex_unlock(&store->trim_lock);
	return rc;
}
