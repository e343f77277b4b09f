/* SPDX-License-Identifier: MIT */
/*
 * Opening a store: bringing the map back after a crash.
 *
 * The map is whole if the state is clean, or open in this very boot: a crashed process leaves all that it wrote in the
 * page cache, and LMDB keeps a map whole that way. In any other case the machine went down, and data.mdb may be any mix
 * (see checkpoint.c); readers in other processes are refused until this is mended. Opening for writing goes in this
 * order:
 *
 *	1. The map is not whole: write the checkpoint's meta pages over its own, sync. No reader can have it open.
 *	   The lock table of LMDB is removed, for its content is of another boot.
 *	2. Pin the current snapshot, before the first write transaction.
 *	3. Follow the log from the checkpoint: to the commit that the map has, which gives the position behind it;
 *	   then to the end. A tail that is no whole record is cut, but not if something that was acknowledged is
 *	   missing (changelog.c).
 *	4. Sync what the log has: a record that only the page cache held may be shown to nobody before.
 *	5. Unless the pinned snapshot is the checkpoint itself, make a checkpoint of it.
 *	6. The state was clean: it is open from here on. Nothing has written to the map so far.
 *	7. Replay what the map lacks; make a checkpoint.
 *	8. The map was not whole: now it is, and the state says so.
 *
 * A crash or a loss of power anywhere in between starts again from the same or a newer checkpoint: in 1 to 4 nothing
 * was changed that the checkpoint needs, and from 5 on it is pinned. The state says "open in this boot" last (8), so
 * that an unfinished recovery is taken up from the checkpoint again, not from a map that lacks commits.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "store/env.h"
#include "base/file.h"
#include "store/le.h"

enum { REPLAY_OPS = 4096 };	/* changes replayed in one transaction */

/* ---- putting the map back ---- */

/* A reader in another process that still maps it would see its snapshot change. It can only be one of this boot, after
 * an error of the disk. LMDB's readers hold a lock on the first byte of its lock file. */
static int remove_lock_table(struct store *store, struct why *why)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };
	int fd = openat(store->dir_fd, "lock.mdb", O_RDWR | O_CLOEXEC), rc = 0;

	if (fd < 0)
		return errno == ENOENT ? 0 : why_fail(why, errno, "%s/lock.mdb: %s", store->path, strerror(errno));
	if (fcntl(fd, F_SETLK, &lock) < 0) {
		rc = errno;
		if (rc != EACCES && rc != EAGAIN)
			rc = why_fail(why, rc, "%s/lock.mdb: %s", store->path, strerror(rc));
		else if (fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK)
			rc = why_fail(why, EBUSY,
				      "its map must be put back to the last checkpoint, but process %ld reads it: "
				      "end that first", (long)lock.l_pid);
		else
			rc = why_fail(why, EBUSY, "its map must be put back to the last checkpoint, but is being read");
	} else if (unlinkat(store->dir_fd, "lock.mdb", 0) < 0) {
		rc = why_fail(why, errno, "%s/lock.mdb can't be removed: %s", store->path, strerror(errno));
	}
	close(fd);
	return rc;
}

static int put_back(struct store *store, struct why *why)
{
	struct stat st;
	int fd, rc = remove_lock_table(store, why);

	if (rc < 0)
		return rc;
	fd = openat(store->dir_fd, "data.mdb", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return why_fail(why, errno == ENOENT ? EBADMSG : errno, "its map data.mdb can't be opened: %s",
				strerror(errno));
	if (fstat(fd, &st) < 0)
		rc = -errno;
	else if ((uint64_t)st.st_size < store->checkpoint.metas.len)
		rc = why_fail(why, EBADMSG, "its map data.mdb is cut off");
	else
		rc = file_write_at(fd, store->checkpoint.metas.data, store->checkpoint.metas.len, 0);
	if (rc == 0 && fdatasync(fd) < 0)
		rc = -errno;
	close(fd);
	if (rc < 0 && rc != -EBADMSG)
		return why_fail(why, -rc, "its map data.mdb can't be put back to the checkpoint: %s", strerror(-rc));
	store->after_power_loss = true;
	return rc;
}

/* ---- the log ---- */

struct log_found {
	struct log_position map;	/* behind the commit that the map has */
	struct log_position end;
	struct log_position last;	/* where the last record begins; offset 0: there is none */
};

/* The log says that a newer checkpoint was durable than the one that was found: its slot was damaged since. */
static bool knows_newer(const struct store *store, const struct log_reader *reader)
{
	return (int32_t)(reader->checkpoint - (uint32_t)store->checkpoint_file.number) > 0;
}

static int damaged(struct store *store, const struct log_position *pos, struct why *why)
{
	return why_fail(why, EBADMSG,
			"its change log is damaged: commit %" PRIu64 ", once durable, is not whole any more "
			"(segment %016" PRIx64 ", byte %" PRIu64 "): restore %s from a backup", pos->seq, pos->segment,
				pos->offset,
			store->path);
}

/* Steps 3: follows the log from the checkpoint to its end. */
static int survey(struct store *store, uint64_t map_seq, bool is_clean, struct log_found *out, struct why *why)
{
	uint64_t last_segment = store->log.segments[store->log.n_segments - 1].number, seq;
	struct log_found found = { .map = store->checkpoint.pos };
	struct log_reader reader;
	struct slice payload;
	size_t last_len;
	int rc;

	log_reader_init(&reader, store->log.dir_fd, store->id, &store->checkpoint.pos);
	while ((rc = log_reader_next(&reader, &seq, &payload)) == 0) {
		if (knows_newer(store, &reader)) {
			rc = why_fail(why, EBADMSG, "its newest checkpoint is damaged: restore %s from a backup",
				      store->path);
			goto out;
		}
		last_len = (reader.record.len + 7) & ~(size_t)7;
		found.last = (struct log_position){ .segment = reader.pos.segment,
						    .offset = reader.pos.offset - last_len, .seq = seq,
						    .chain = le_get64(reader.record.data + 24) };
		if (seq == map_seq)
			found.map = reader.pos;
	}
	if (rc != -ENOENT)
		goto out;
	found.end = reader.pos;
	rc = is_clean ? 0 : log_reader_is_damage(&reader, last_segment);
	if (rc > 0)
		rc = damaged(store, &found.end, why);
	else if (rc == 0 && found.map.seq != map_seq + 1)
		rc = why_fail(why, EBADMSG,
			      "its map has commit %" PRIu64 ", its log ends with %" PRIu64 ": the log is damaged, restore "
			      "%s from a backup", map_seq, found.end.seq - 1, store->path);
	if (rc == 0)
		*out = found;
out:
	log_reader_release(&reader);
	if (rc < 0 && why && !why->text[0])
		why_fail(why, -rc, "its change log can't be read: %s", strerror(-rc));
	return rc;
}

/* Replays records into one transaction, up to `limit` changes, and commits it. The reader's position moves on only with
 * success. */
static int replay_some(struct store *store, struct log_position *pos, uint64_t end_seq, size_t limit)
{
	struct store_batch batch = { .store = store };
	struct log_reader reader;
	struct slice payload;
	uint64_t seq = 0;
	size_t ops = 0;
	int rc = env_errno(mdb_txn_begin(store->env, NULL, 0, &batch.txn));

	if (rc < 0)
		return rc;
	log_reader_init(&reader, store->log.dir_fd, store->id, pos);
	do {
		rc = log_reader_next(&reader, &seq, &payload);
		if (rc == 0)
			rc = batch_apply(&batch, payload);
		ops = 1;
		for (size_t i = 0; i <= STORE_TABLES; i++)
			ops += batch.now.ops[i];
	} while (rc == 0 && ops < limit && reader.pos.seq < end_seq);
	if (rc == 0)
		rc = batch_put_seq(&batch, seq);
	if (rc == 0)
		rc = batch_commit_map(&batch, &reader.pos);
	else
		mdb_txn_abort(batch.txn);
	if (rc == 0)
		*pos = reader.pos;
	log_reader_release(&reader);
	batch_release(&batch);
	return rc == -ENOENT ? -EBADMSG : rc;
}

/* Step 7. A full map gets room by a checkpoint, as it did when the changes were first made. */
static int replay(struct store *store, struct log_position pos, const struct log_position *end, struct why *why)
{
	size_t limit = REPLAY_OPS;
	uint64_t stuck = 0;
	int rc = 0;

	while (pos.seq < end->seq && rc == 0) {
		uint64_t before = pos.seq;

		rc = replay_some(store, &pos, end->seq, limit);
		store->replayed += pos.seq - before;
		if (rc == -ENOSPC && stuck != pos.seq) {
			stuck = pos.seq;
			limit = 1;
			rc = checkpoint_make_room(store);
		}
	}
	if (rc == -ENOSPC)
		return why_fail(why, ENOSPC,
				"%s: no room to replay commit %" PRIu64 ": raise the map's size or free the disk",
				store->path, pos.seq);
	if (rc < 0)
		return why_fail(why, -rc, "%s: commit %" PRIu64 " of the log can't be replayed: %s", store->path,
				pos.seq,
				strerror(-rc));
	return 0;
}

/* ---- opening ---- */

/* A writer that died inside of LMDB leaves its mutex and its reader slots. An empty write transaction takes the mutex
 * over, and writes nothing. */
static int clear_dead(struct store *store)
{
	MDB_txn *txn;
	int dead, rc = mdb_txn_begin(store->env, NULL, 0, &txn);

	if (rc)
		return env_errno(rc);
	mdb_txn_abort(txn);
	return env_errno(mdb_reader_check(store->env, &dead));
}

static int read_map_seq(struct store *store, uint64_t *out)
{
	MDB_txn *txn;
	int rc = env_errno(mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn));

	if (rc < 0)
		return rc;
	rc = env_read_seq(store, txn, out);
	mdb_txn_abort(txn);
	return rc;
}

/* Steps 2 to 8, on a map that LMDB can open. */
static int bring_up(struct store *store, const struct state_seen *seen, bool whole, struct why *why)
{
	struct log_found found;
	uint64_t map_seq;
	bool is_same;
	int rc = clear_dead(store);

	if (rc == 0)
		rc = checkpoint_pin(store, &is_same);
	if (rc == 0)
		rc = read_map_seq(store, &map_seq);
	if (rc < 0)
		return why_fail(why, -rc, "%s: its map can't be read: %s", store->path, strerror(-rc));
	rc = survey(store, map_seq, seen->state == STATE_CLEAN, &found, why);
	if (rc < 0)
		return rc;
	rc = changelog_start(&store->log, &store->checkpoint.pos, &found.end, &found.last);
	if (rc < 0)
		return why_fail(why, -rc, "%s: its change log can't be written: %s", store->path, strerror(-rc));
	store->committed = found.map;
	atomic_store(&store->last_seq, map_seq);
	if (!is_same)
		rc = checkpoint_take(store);
	if (rc == 0 && seen->state == STATE_CLEAN)
		rc = state_write(store, STATE_OPEN, store->boot);
	if (rc < 0)
		return why_fail(why, -rc, "%s: no checkpoint can be written: %s", store->path, strerror(-rc));
	rc = replay(store, found.map, &found.end, why);
	if (rc < 0)
		return rc;
	if (store->replayed)
		rc = checkpoint_take(store);
	if (rc == 0 && !whole)
		rc = state_write(store, STATE_OPEN, store->boot);
	return rc < 0 ? why_fail(why, -rc, "%s: no checkpoint can be written: %s", store->path, strerror(-rc)) : 0;
}

static int recover(struct store *store, const struct store_options *options, struct why *why)
{
	struct state_seen seen;
	bool whole;
	int rc = state_read(store, &seen, why);

	if (rc == 0)
		rc = checkpoint_read(store, true, why);
	if (rc < 0)
		return rc;
	if (store->checkpoint.store_id != store->id)
		return why_fail(why, EBADMSG, "its files state and checkpoint are of two stores");
	if (!create_has_file(store, "data.mdb"))
		return why_fail(why, EBADMSG, "its map data.mdb is missing");
	whole = state_is_whole(store, &seen);
	if (!whole)
		rc = put_back(store, why);
	if (rc == 0)
		rc = env_open(store, options->map_bytes, why);
	if (rc == 0 && store->page_bytes != store->checkpoint.page_bytes)
		rc = why_fail(why, EBADMSG, "its map and its checkpoint differ in the size of pages");
	if (rc == 0)
		rc = changelog_open(&store->log, store->dir_fd, store->id, options->segment_bytes, options->relaxed,
				    &store->checkpoint.pos, why);
	return rc < 0 ? rc : bring_up(store, &seen, whole, why);
}

static void settle_options(struct store *store, const struct store_options *options)
{
	store->options = *options;
	if (store->options.segment_bytes < CHANGELOG_SEGMENT_MIN)
		store->options.segment_bytes = CHANGELOG_SEGMENT_MIN;
	if (!store->options.checkpoint_ms)
		store->options.checkpoint_ms = 1;
	store->no_pin = getenv("FEATUREFS_TEST_NO_PIN") != NULL;
}

int store_open(const char *path, const struct store_options *options, struct store **out, struct why *why)
{
	struct store *store = env_new(path);
	struct why own;
	int rc;

	why = why ? why : &own;
	why->text[0] = 0;
	if (!store)
		return why_fail(why, ENOMEM, "no memory");
	settle_options(store, options);
	rc = state_read_boot(store->boot, why);
	if (rc == 0)
		rc = create_directory(store, true, why);
	if (rc == 0)
		rc = create_lock(store, why);
	if (rc == 0)
		rc = create_if_new(store, &store->options, why);
	if (rc == 0)
		rc = recover(store, &store->options, why);
	if (rc < 0)
		goto fail;
	rc = follow_open(store);
	if (rc == 0)
		rc = space_open(store);
	if (rc == 0)
		rc = checkpoint_start(store);
	if (rc < 0) {
		why_fail(why, -rc, "%s: %s", path, strerror(-rc));
		goto fail;
	}
	*out = store;
	return 0;
fail:
	if (strncmp(why->text, path, strlen(path)))
		why_prefix(why, "%s", path);
	env_free(store);
	return rc;
}

int store_open_reader(const char *path, struct store **out, struct why *why)
{
	struct store *store = env_new(path);
	struct state_seen seen;
	struct why own;
	int rc;

	why = why ? why : &own;
	why->text[0] = 0;
	if (!store)
		return why_fail(why, ENOMEM, "no memory");
	store->is_reader = true;
	rc = state_read_boot(store->boot, why);
	if (rc == 0)
		rc = create_directory(store, false, why);
	if (rc == 0)
		rc = state_read(store, &seen, why);
	if (rc == 0)
		rc = reader_check_state(store, &seen, why);
	if (rc == 0)
		rc = env_open(store, 0, why);
	if (rc < 0) {
		if (strncmp(why->text, path, strlen(path)))
			why_prefix(why, "%s", path);
		env_free(store);
		return rc;
	}
	*out = store;
	return 0;
}

static int close_writer(struct store *store)
{
	int rc;

	checkpoint_stop(store);
	if (atomic_load(&store->failed))
		return -EIO;
	rc = checkpoint_take(store);
	if (rc < 0)
		return rc;
	/* Nobody writes any more, so the pin has done its work. */
	env_close(store);
	return state_write(store, STATE_CLEAN, "");
}

int store_close(struct store *store)
{
	int rc = store->is_reader ? 0 : close_writer(store);

	env_free(store);
	return rc;
}
