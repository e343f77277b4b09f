/* SPDX-License-Identifier: MIT */
/*
 * Opening a store: making it, bringing the map back after a crash, and the state that says whether the map is whole.
 *
 * The file `state` holds one of two states and the boot that wrote it:
 *
 *	clean		closed cleanly: the map is on the disk whole and nothing follows it in the log
 *	open BOOT	in use since that boot, or its process crashed
 *
 * The map is whole if the state is clean, or open in this very boot: a crashed process leaves all that it wrote in the page cache, and LMDB
 * keeps a map whole that way. In any other case the machine went down, and data.mdb may be any mix (see checkpoint.c); readers
 * in other processes are refused until this is mended. Opening for writing goes in this order:
 *
 *	1. The map is not whole: write the checkpoint's meta pages over its own, sync. No reader can have it open. The lock table of LMDB is removed,
 *	   for its content is of another boot.
 *	2. Pin the current snapshot, before the first write transaction.
 *	3. Follow the log from the checkpoint: to the commit that the map has, which gives the position behind it; then to the end.
 *	   A tail that is no whole record is cut, but not if something that was acknowledged is missing (changelog.c).
 *	4. Sync what the log has: a record that only the page cache held may be shown to nobody before.
 *	5. Unless the pinned snapshot is the checkpoint itself, make a checkpoint of it.
 *	6. The state was clean: it is open from here on. Nothing has written to the map so far.
 *	7. Replay what the map lacks; make a checkpoint.
 *	8. The map was not whole: now it is, and the state says so.
 *
 * A crash or a loss of power anywhere in between starts again from the same or a newer checkpoint: in 1 to 4 nothing was changed that the
 * checkpoint needs, and from 5 on it is pinned. The state says "open in this boot" last (8), so that an unfinished recovery is
 * taken up from the checkpoint again, not from a map that lacks commits.
 *
 * A store comes into being between two files: `creating` is made first, `state` last, each synced with its directory; then `creating` goes.
 * Where `creating` is and `state` is not, nothing was ever promised, and what is there is made anew. Where neither is, a store
 * is made only in an empty directory. Nothing else is ever removed.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include "store/env.h"
#include "store/file.h"
#include "store/le.h"

enum {
	STATE_LEN = 16 + ENV_BOOT_MAX,
	REPLAY_OPS = 4096,		/* changes replayed in one transaction */
};

/* ---- the state ---- */

static void encode_state(uint8_t out[STATE_LEN], uint64_t store_id, enum state state, const char *boot)
{
	memset(out, 0, STATE_LEN);
	le_put32(out, STORE_FORMAT);
	le_put32(out + 4, state);
	le_put64(out + 8, store_id);
	snprintf((char *)out + 16, ENV_BOOT_MAX, "%s", boot);
}

static int create_state(int dir_fd, uint64_t store_id)
{
	uint8_t bytes[STATE_LEN];

	encode_state(bytes, store_id, STATE_CLEAN, "");
	return slots_create(dir_fd, "state", SLOTS_SMALL, slice_of(bytes, sizeof bytes));
}

int state_write(struct store *store, enum state state, const char *boot)
{
	uint8_t bytes[STATE_LEN];

	encode_state(bytes, store->id, state, boot);
	return slots_write(&store->state_file, slice_of(bytes, sizeof bytes));
}

struct state_seen {
	enum state state;
	char boot[ENV_BOOT_MAX];
};

static int read_state(struct store *store, struct state_seen *out, struct why *why)
{
	struct buf bytes = { 0 };
	int rc = slots_open(store->dir_fd, "state", SLOTS_SMALL, !store->is_reader, &store->state_file, &bytes);

	if (rc == -EBADMSG || (rc == 0 && bytes.len < 4))
		rc = why_fail(why, EBADMSG, "its file state is damaged");
	else if (rc < 0)
		rc = why_fail(why, -rc, "its file state can't be read: %s", strerror(-rc));
	if (rc < 0)
		goto out;
	if (le_get32(bytes.data) != STORE_FORMAT) {
		rc = why_fail(why, EBADMSG, "it has format %u, this program reads format %u", le_get32(bytes.data), STORE_FORMAT);
		goto out;
	}
	if (bytes.len != STATE_LEN) {
		rc = why_fail(why, EBADMSG, "its file state is damaged");
		goto out;
	}
	out->state = le_get32(bytes.data + 4) == STATE_CLEAN ? STATE_CLEAN : STATE_OPEN;
	store->id = le_get64(bytes.data + 8);
	memcpy(out->boot, bytes.data + 16, ENV_BOOT_MAX);
	out->boot[ENV_BOOT_MAX - 1] = 0;
out:
	buf_release(&bytes);
	return rc;
}

/* Tests say that it is another boot; nobody else should. */
static int read_boot(char out[ENV_BOOT_MAX], struct why *why)
{
	const char *test = getenv("FEATUREFS_TEST_BOOT_ID");
	int fd;
	ssize_t len;

	memset(out, 0, ENV_BOOT_MAX);
	if (test && *test) {
		snprintf(out, ENV_BOOT_MAX, "%s", test);
		return 0;
	}
	fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return why_fail(why, errno, "/proc/sys/kernel/random/boot_id: %s", strerror(errno));
	len = file_read_at(fd, out, ENV_BOOT_MAX - 1, 0);
	close(fd);
	if (len <= 0)
		return why_fail(why, EIO, "/proc/sys/kernel/random/boot_id can't be read");
	out[strcspn(out, "\n")] = 0;
	return 0;
}

static bool is_whole(const struct store *store, const struct state_seen *seen)
{
	return seen->state == STATE_CLEAN || (seen->boot[0] && !strcmp(seen->boot, store->boot));
}

/* ---- directory and lock ---- */

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

int recover_open_directory(struct store *store, bool make, struct why *why)
{
	int rc;

	if (make && mkdir(store->path, 0700) == 0) {
		rc = sync_parent(store->path);
		if (rc < 0)
			return why_fail(why, -rc, "%s: its parent directory can't be synced: %s", store->path, strerror(-rc));
	} else if (make && errno != EEXIST) {
		return why_fail(why, errno, "%s can't be made: %s", store->path, strerror(errno));
	}
	store->dir_fd = open(store->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (store->dir_fd < 0)
		return why_fail(why, errno, "%s can't be opened: %s", store->path, strerror(errno));
	return 0;
}

static int take_lock(struct store *store, struct why *why)
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

static bool has_file(struct store *store, const char *name)
{
	return faccessat(store->dir_fd, name, F_OK, 0) == 0;
}

/* ---- making a store ---- */

/* What a fresh file system or this open put there doesn't count. */
int recover_is_empty(struct store *store)
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
	while (empty && (entry = readdir(dir)))
		empty = !strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") || !strcmp(entry->d_name, "lock") ||
			!strcmp(entry->d_name, "lost+found");
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
	struct checkpoint first = { .store_id = store->id, .page_bytes = store->page_bytes, .pos = changelog_origin(seq + 1) };
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
		rc = create_state(store->dir_fd, store->id);
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

static int create_if_new(struct store *store, const struct store_options *options, struct why *why)
{
	bool has_state = has_file(store, "state"), is_creating = has_file(store, "creating");
	int rc;

	if (has_state && is_creating) {
		rc = unmark_creating(store);
		return rc < 0 ? why_fail(why, -rc, "%s: %s", store->path, strerror(-rc)) : 0;
	}
	if (has_state)
		return 0;
	if (!is_creating) {
		if (has_file(store, "data.mdb"))
			return why_fail(why, EBADMSG, "%s has a map but no file state: it is damaged, or no store", store->path);
		rc = recover_is_empty(store);
		if (rc < 0)
			return why_fail(why, -rc, "%s: %s", store->path, strerror(-rc));
		if (!rc)
			return why_fail(why, ENOTEMPTY, "%s is no store and not empty", store->path);
	}
	return create(store, options, why);
}

/* ---- putting the map back ---- */

/* A reader in another process that still maps it would see its snapshot change. It can only be one of this boot, after an error of the
 * disk. LMDB's readers hold a lock on the first byte of its lock file. */
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
			rc = why_fail(why, EBUSY, "its map must be put back to the last checkpoint, but process %ld reads it: "
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
		return why_fail(why, errno == ENOENT ? EBADMSG : errno, "its map data.mdb can't be opened: %s", strerror(errno));
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
	return why_fail(why, EBADMSG, "its change log is damaged: commit %" PRIu64 ", once durable, is not whole any more "
			"(segment %016" PRIx64 ", byte %" PRIu64 "): restore %s from a backup", pos->seq, pos->segment, pos->offset,
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
			rc = why_fail(why, EBADMSG, "its newest checkpoint is damaged: restore %s from a backup", store->path);
			goto out;
		}
		last_len = (reader.record.len + 7) & ~(size_t)7;
		found.last = (struct log_position){ .segment = reader.pos.segment, .offset = reader.pos.offset - last_len, .seq = seq,
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
		rc = why_fail(why, EBADMSG, "its map has commit %" PRIu64 ", its log ends with %" PRIu64 ": the log is damaged, restore "
			      "%s from a backup", map_seq, found.end.seq - 1, store->path);
	if (rc == 0)
		*out = found;
out:
	log_reader_release(&reader);
	if (rc < 0 && why && !why->text[0])
		why_fail(why, -rc, "its change log can't be read: %s", strerror(-rc));
	return rc;
}

/* Replays records into one transaction, up to `limit` changes, and commits it. The reader's position moves on only with success. */
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
		return why_fail(why, ENOSPC, "%s: no room to replay commit %" PRIu64 ": raise the map's size or free the disk", store->path,
				pos.seq);
	if (rc < 0)
		return why_fail(why, -rc, "%s: commit %" PRIu64 " of the log can't be replayed: %s", store->path, pos.seq,
				strerror(-rc));
	return 0;
}

/* ---- opening ---- */

/* A writer that died inside of LMDB leaves its mutex and its reader slots. An empty write transaction takes the mutex over, and
 * writes nothing. */
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
	int rc = read_state(store, &seen, why);

	if (rc == 0)
		rc = checkpoint_read(store, true, why);
	if (rc < 0)
		return rc;
	if (store->checkpoint.store_id != store->id)
		return why_fail(why, EBADMSG, "its files state and checkpoint are of two stores");
	if (!has_file(store, "data.mdb"))
		return why_fail(why, EBADMSG, "its map data.mdb is missing");
	whole = is_whole(store, &seen);
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
	rc = read_boot(store->boot, why);
	if (rc == 0)
		rc = recover_open_directory(store, true, why);
	if (rc == 0)
		rc = take_lock(store, why);
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
	rc = read_boot(store->boot, why);
	if (rc == 0)
		rc = recover_open_directory(store, false, why);
	if (rc == 0)
		rc = read_state(store, &seen, why);
	if (rc == 0 && !is_whole(store, &seen))
		rc = why_fail(why, EAGAIN, "its map awaits recovery: start the daemon on it once");
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
