/* SPDX-License-Identifier: MIT */
/*
 * The pinned checkpoint: what makes a map that is never synced at a commit safe against a loss of power.
 *
 * The map's pages reach the disk in any order and at any time, the two meta pages too. So after a loss of power
 * data.mdb can be a mix of many transactions. A checkpoint is one snapshot C of which we know that it is on the disk
 * whole, and stays:
 *
 *	1. Begin a read transaction on C, the pin, and keep it open. Read the two meta pages; the newer one is C's.
 *	   Take the log's position behind C. All three at one moment, in which no commit changes the meta pages
 *	   (commit_lock).
 *	2. fdatasync data.mdb. Now every page of C is on the disk. The log too, if its last records were written without
 *	   sync: a follower may still want what is before C's position, and nothing may be missing there.
 *	3. Write meta pages and position to the file `checkpoint` (slots.c), synced. From here on C is what a
 *	   recovery restores.
 *	4. End the pin of the checkpoint before. Let go of the log before C.
 *
 * After a loss of power the saved meta pages are written over the map's (recover.c), and the map is C: its pages were
 * on the disk after 2, and were not written since. For LMDB writes to no page that the newest snapshot or an open read
 * transaction sees: a page freed by transaction T is used again only when every open snapshot is newer than T, and a
 * page that C sees can only be freed after C. The argument holds for every snapshot from C on, so a pin protects newer
 * checkpoints as well; that is why 4 comes last, and why a failure anywhere before it just keeps the older pin. While
 * step 3 runs, either checkpoint may be the one that is found later: both are pinned. What LMDB wrote beyond C's pages
 * is garbage to C, and free.
 *
 * The pin ends with its process. So a start pins the current snapshot before its first write transaction, and unless
 * that is the very snapshot of the file `checkpoint`, makes a checkpoint of it (still before): until that one is
 * durable, nothing is written, so the older one stays good without a pin.
 *
 * An fdatasync of data.mdb that fails has told the truth once: the kernel may then hold lost pages as clean, and a
 * second one would succeed. So after such a failure there are no more writes and no more checkpoints in this process,
 * and the state says that the next start must put the map back to the last good checkpoint even in the same boot. A
 * failure to write the file `checkpoint` is only tried again later.
 *
 * Step 2 is spread: ranges of the file are written back one after another before the fdatasync, so that a commit's log
 * write finds short queues at the disk.
 *
 * The file's content, little-endian:
 *	0	4	STORE_FORMAT
 *	4	4	bytes of a page
 *	8	8	number of the store
 *	16	32	position in the log: segment, offset, seq, chain
 *	48	8	C's transaction
 *	56	...	the two meta pages
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/clock.h"
#include "store/env.h"
#include "base/file.h"
#include "store/le.h"

enum {
	HEAD = 56,
	SLOT_BYTES = 4096 + 2 * ENV_PAGE_MAX,
	GROWTH_MIN = 64 << 20,		/* bytes that the map may at least grow by before a checkpoint is due */
	READERS_CHECK_S = 1,
	/* LMDB's meta page: its header, then magic, version, address, size, two tables, last page, transaction. */
	META_MAGIC_AT = 16, META_VERSION_AT = 20, META_PAGE_BYTES_AT = 40, META_TXNID_AT = 144, META_LEN = 152,
	META_VERSION = 1,
};

#define META_MAGIC UINT32_C(0xbeefc0de)

/* ---- the file ---- */

static bool is_page_size(size_t bytes)
{
	return bytes >= 512 && bytes <= ENV_PAGE_MAX && (bytes & (bytes - 1)) == 0;
}

static bool is_meta(const char *page, size_t page_bytes)
{
	/* Host order, as LMDB writes it. */
	uint32_t magic, version, size;

	memcpy(&magic, page + META_MAGIC_AT, 4);
	memcpy(&version, page + META_VERSION_AT, 4);
	memcpy(&size, page + META_PAGE_BYTES_AT, 4);
	return magic == META_MAGIC && version == META_VERSION && size == page_bytes;
}

static int newest_txnid(const char *metas, size_t page_bytes, uint64_t *out)
{
	size_t a, b;

	if (!is_meta(metas, page_bytes) || !is_meta(metas + page_bytes, page_bytes))
		return -EBADMSG;
	memcpy(&a, metas + META_TXNID_AT, sizeof a);
	memcpy(&b, metas + page_bytes + META_TXNID_AT, sizeof b);
	*out = a > b ? a : b;
	return 0;
}

int checkpoint_read_metas(int fd, size_t page_bytes, struct buf *out, uint64_t *out_txnid)
{
	size_t len = 2 * page_bytes;
	ssize_t got;

	buf_reset(out);
	if (!buf_reserve(out, len))
		return -ENOMEM;
	got = file_read_at(fd, out->data, len, 0);
	if (got < 0)
		return (int)got;
	if ((size_t)got < len)
		return -EBADMSG;
	out->len = len;
	return newest_txnid(out->data, page_bytes, out_txnid);
}

static int encode(const struct checkpoint *checkpoint, struct buf *out)
{
	buf_append_u32(out, STORE_FORMAT);
	buf_append_u32(out, (uint32_t)checkpoint->page_bytes);
	buf_append_u64(out, checkpoint->store_id);
	buf_append_u64(out, checkpoint->pos.segment);
	buf_append_u64(out, checkpoint->pos.offset);
	buf_append_u64(out, checkpoint->pos.seq);
	buf_append_u64(out, checkpoint->pos.chain);
	buf_append_u64(out, checkpoint->txnid);
	buf_append_slice(out, buf_slice(&checkpoint->metas));
	return buf_error(out);
}

int checkpoint_decode(struct slice bytes, struct checkpoint *out, struct why *why)
{
	const char *p = bytes.data;
	uint64_t txnid;

	if (bytes.len < HEAD)
		return why_fail(why, EBADMSG, "its checkpoint is damaged");
	if (le_get32(p) != STORE_FORMAT)
		return why_fail(why, EBADMSG, "it has format %u, this program reads format %u", le_get32(p),
				STORE_FORMAT);
	out->page_bytes = le_get32(p + 4);
	out->store_id = le_get64(p + 8);
	out->pos = (struct log_position){ .segment = le_get64(p + 16), .offset = le_get64(p + 24),
					  .seq = le_get64(p + 32),
					  .chain = le_get64(p + 40) };
	out->txnid = le_get64(p + 48);
	if (!is_page_size(out->page_bytes) || bytes.len != HEAD + 2 * out->page_bytes || out->pos.seq == 0 ||
	    newest_txnid(p + HEAD, out->page_bytes, &txnid) < 0 || txnid != out->txnid)
		return why_fail(why, EBADMSG, "its checkpoint is damaged");
	buf_reset(&out->metas);
	buf_append(&out->metas, p + HEAD, 2 * out->page_bytes);
	return buf_error(&out->metas);
}

int checkpoint_create(int dir_fd, const struct checkpoint *checkpoint)
{
	struct buf bytes = { 0 };
	int rc = encode(checkpoint, &bytes);

	if (rc == 0)
		rc = slots_create(dir_fd, "checkpoint", SLOT_BYTES, buf_slice(&bytes));
	buf_release(&bytes);
	return rc;
}

static void publish(struct store *store)
{
	atomic_store(&store->checkpoint_number, store->checkpoint_file.number);
	atomic_store(&store->checkpoint_seq, store->checkpoint.pos.seq - 1);
}

int checkpoint_read(struct store *store, bool is_writer, struct why *why)
{
	struct buf bytes = { 0 };
	int rc;

	slots_close(&store->checkpoint_file);
	rc = slots_open(store->dir_fd, "checkpoint", SLOT_BYTES, is_writer, &store->checkpoint_file, &bytes);
	if (rc == -ENOENT || rc == -EBADMSG)
		rc = why_fail(why, EBADMSG, "its file checkpoint is %s", rc == -ENOENT ? "missing" : "damaged");
	else if (rc < 0)
		rc = why_fail(why, -rc, "its file checkpoint can't be read: %s", strerror(-rc));
	if (rc == 0)
		rc = checkpoint_decode(buf_slice(&bytes), &store->checkpoint, why);
	if (rc == 0)
		publish(store);
	buf_release(&bytes);
	return rc;
}

/* ---- the pin ---- */

static unsigned other_pin(const struct store *store)
{
	return store->pin == 0;
}

/* Step 1. */
static int pin(struct store *store, unsigned which, struct checkpoint *out)
{
	MDB_txn **txn = &store->pins[which];
	int rc;

	pthread_mutex_lock(&store->commit_lock);
	rc = env_errno(*txn ? mdb_txn_renew(*txn) : mdb_txn_begin(store->env, NULL, MDB_RDONLY, txn));
	if (rc == 0) {
		rc = checkpoint_read_metas(store->data_fd, store->page_bytes, &out->metas, &out->txnid);
		out->pos = store->committed;
	}
	pthread_mutex_unlock(&store->commit_lock);
	if (rc < 0)
		return rc;
	out->page_bytes = store->page_bytes;
	out->store_id = store->id;
	/* Another program that writes to data.mdb would break the promise silently. */
	if (out->txnid != mdb_txn_id(*txn)) {
		mdb_txn_reset(*txn);
		return -EBADMSG;
	}
	if (store->no_pin)
		mdb_txn_reset(*txn);
	return 0;
}

static void unpin(struct store *store, unsigned which)
{
	if (which < 2 && store->pins[which])
		mdb_txn_reset(store->pins[which]);
}

void checkpoint_unpin(struct store *store)
{
	for (unsigned i = 0; i < 2; i++) {
		if (store->pins[i])
			mdb_txn_abort(store->pins[i]);
		store->pins[i] = NULL;
	}
	store->pin = ENV_PIN_NONE;
}

int checkpoint_pin(struct store *store, bool *out_is_same)
{
	struct checkpoint now = { 0 };
	int rc = pin(store, 0, &now);

	if (rc == 0) {
		store->pin = 0;
		*out_is_same = slice_equal(buf_slice(&now.metas), buf_slice(&store->checkpoint.metas));
		store->checkpoint_is_old = !*out_is_same;
	}
	buf_release(&now.metas);
	return rc;
}

/* ---- making one ---- */

/* Step 2. */
static int sync_map(struct store *store)
{
	MDB_envinfo info;
	int rc;

	mdb_env_info(store->env, &info);
	rc = file_write_back(store->data_fd, (info.me_last_pgno + 1) * store->page_bytes);
	if (rc < 0)
		return rc;
	return fdatasync(store->data_fd) < 0 ? -errno : 0;
}

static int sync_or_fail(struct store *store)
{
	int rc = sync_map(store);

	if (rc < 0) {
		env_fail(store, "the map can't be synced", -EIO);
		state_write(store, STATE_OPEN, "");
	}
	return rc;
}

/* Errors of a file are told once, to whoever syncs it first: so nobody may go on behind one. */
int checkpoint_sync_log(struct store *store)
{
	int rc = changelog_sync(&store->log);

	if (rc == -EIO)
		env_fail(store, "the change log can't be synced", rc);
	if (rc == 0)
		follow_news(store);
	return rc;
}

int store_pace(struct store *store)
{
	int rc = atomic_load(&store->failed) ? -EIO : 0;

	if (rc == 0 && changelog_wants_next(&store->log))
		rc = changelog_prepare(&store->log, true);
	if (rc == 0)
		rc = changelog_pace(&store->log);
	if (rc == -EIO)
		env_fail(store, "the change log can't be written", rc);
	return rc;
}

/* Step 3. */
static int save(struct store *store, const struct checkpoint *checkpoint)
{
	struct buf bytes = { 0 };
	int rc = encode(checkpoint, &bytes);

	if (rc == 0)
		rc = slots_write(&store->checkpoint_file, buf_slice(&bytes));
	buf_release(&bytes);
	return rc;
}

static int make(struct store *store, struct checkpoint *next)
{
	uint64_t log_bytes = atomic_load(&store->log.bytes_written), pages = space_used_pages(store, NULL);
	unsigned which = other_pin(store);
	int rc = pin(store, which, next);

	if (rc < 0)
		return rc;
	/* Unless a commit came since, the pin that is held sees the same. */
	if (next->txnid == store->checkpoint.txnid && !store->checkpoint_is_old) {
		unpin(store, which);
		return 0;
	}
	rc = sync_or_fail(store);
	if (rc == 0)
		rc = checkpoint_sync_log(store);
	if (rc == 0)
		rc = save(store, next);
	if (rc < 0) {
		unpin(store, which);
		return rc;
	}
	unpin(store, store->pin);
	store->pin = which;
	store->checkpoint_is_old = false;
	buf_release(&store->checkpoint.metas);
	store->checkpoint = *next;
	next->metas = (struct buf){ 0 };
	publish(store);
	atomic_store(&store->checkpoint_bytes, log_bytes);
	atomic_store(&store->checkpoint_pages, pages);
	atomic_fetch_add(&store->checkpoints, 1);
	follow_trim(store);
	return 0;
}

static void report(struct store *store, int rc)
{
	if (rc < 0) {
		atomic_fetch_add(&store->checkpoint_failures, 1);
		if (!store->was_failing)
			env_notice(store, true,
				   "no checkpoint of the map can be made: %s; the change log grows until one can",
				   strerror(-rc));
	} else if (store->was_failing) {
		env_notice(store, false, "checkpoints of the map are made again");
	}
	store->was_failing = rc < 0;
}

int checkpoint_take(struct store *store)
{
	struct checkpoint next = { 0 };
	int rc = atomic_load(&store->failed) ? -EIO : make(store, &next);

	buf_release(&next.metas);
	report(store, rc);
	return rc;
}

/* ---- room ---- */

/* An empty commit of the map. LMDB takes a freed page again only from the second transaction behind the one that freed
 * it. */
static int commit_nothing(struct store *store)
{
	struct store_batch batch = { .store = store };
	struct log_position position;
	int rc = env_errno(mdb_txn_begin(store->env, NULL, 0, &batch.txn));

	if (rc < 0)
		return rc;
	pthread_mutex_lock(&store->commit_lock);
	position = store->committed;
	pthread_mutex_unlock(&store->commit_lock);
	rc = batch_put_seq(&batch, position.seq - 1);
	if (rc < 0) {
		mdb_txn_abort(batch.txn);
		return rc;
	}
	return batch_commit_map(&batch, &position);
}

/* The first checkpoint frees what was freed before the pinned transaction, so that the empty commit finds pages; the
 * second what that transaction itself freed. */
int checkpoint_make_room(struct store *store)
{
	int rc = checkpoint_take(store);

	if (rc == 0)
		rc = commit_nothing(store);
	return rc == 0 ? checkpoint_take(store) : rc == -ENOSPC ? 0 : rc;
}

static int ask(struct store *store)
{
	uint64_t ticket;
	int rc;

	pthread_mutex_lock(&store->work_lock);
	ticket = ++store->asked;
	pthread_cond_signal(&store->work);
	while (store->made < ticket)
		pthread_cond_wait(&store->done, &store->work_lock);
	rc = store->made_rc;
	pthread_mutex_unlock(&store->work_lock);
	return rc;
}

int store_make_room(struct store *store)
{
	int rc;

	if (atomic_load(&store->failed))
		return -EIO;
	rc = ask(store);
	if (rc == 0)
		rc = commit_nothing(store);
	rc = rc == 0 ? ask(store) : rc == -ENOSPC ? 0 : rc;
	if (rc == 0)
		space_committed(store);
	return rc;
}

/* ---- the thread ---- */

void checkpoint_wake(struct store *store)
{
	pthread_mutex_lock(&store->work_lock);
	if (!store->hurry) {
		store->hurry = true;
		pthread_cond_signal(&store->work);
	}
	pthread_mutex_unlock(&store->work_lock);
}

/* Sleeps until there is something to do. Says whether a checkpoint is (else the next segment alone), and for whom. */
static bool wait_for_work(struct store *store, struct timespec *due, bool *out_is_due, uint64_t *out_asked)
{
	bool go_on;
	int rc = 0;

	pthread_mutex_lock(&store->work_lock);
	while (!store->stop && !store->hurry && store->asked == store->made && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&store->work, &store->work_lock, due);
	go_on = !store->stop;
	*out_asked = store->asked;
	*out_is_due = store->asked != store->made || rc == ETIMEDOUT;
	store->hurry = false;
	pthread_mutex_unlock(&store->work_lock);
	return go_on;
}

static void answer(struct store *store, uint64_t asked, int rc)
{
	pthread_mutex_lock(&store->work_lock);
	store->made = asked;
	store->made_rc = rc;
	pthread_cond_broadcast(&store->done);
	pthread_mutex_unlock(&store->work_lock);
}

/* A reader in another process that was killed would hold its snapshot's pages for ever. */
static void look_at_readers(struct store *store)
{
	int64_t now = clock_monotonic();

	if (now - store->readers_checked_ns < READERS_CHECK_S * CLOCK_SECOND)
		return;
	store->readers_checked_ns = now;
	reader_check(store);
}

/* Much log, or much map: while the pin holds, every page that is changed is a new one at the end of the file, and that
 * is some hundred times what a small change writes into the log. A large map may double: checkpoints one after the other
 * would write each hot page once a checkpoint, and cost more than they save. */
bool checkpoint_is_due(struct store *store)
{
	uint64_t log = atomic_load_explicit(&store->log.bytes_written, memory_order_relaxed);
	uint64_t log_then = atomic_load_explicit(&store->checkpoint_bytes, memory_order_relaxed);
	uint64_t pages_then = atomic_load_explicit(&store->checkpoint_pages, memory_order_relaxed);
	uint64_t growth = GROWTH_MIN / store->page_bytes;

	if (growth < pages_then)
		growth = pages_then;
	return log - log_then >= store->options.checkpoint_bytes || space_used_pages(store, NULL) >= pages_then + growth;
}

static void *run(void *arg)
{
	struct store *store = arg;
	struct timespec due = clock_after(store->options.checkpoint_ms * (CLOCK_SECOND / 1000));
	uint64_t asked;
	bool is_due;
	int rc;

	while (wait_for_work(store, &due, &is_due, &asked)) {
		/* Without space this fails until there is some, and the commit that needs the segment says so. */
		if (changelog_wants_next(&store->log))
			changelog_prepare(&store->log, false);
		if (is_due || (!store->was_failing && checkpoint_is_due(store))) {
			rc = checkpoint_take(store);
			due = clock_after(store->options.checkpoint_ms * (CLOCK_SECOND / 1000));
			answer(store, asked, rc);
		}
		look_at_readers(store);
	}
	return NULL;
}

int checkpoint_start(struct store *store)
{
	sigset_t all, before;
	int rc;

	/* Signals are for the program's own threads. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&store->thread, NULL, run, store);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	store->has_thread = rc == 0;
	if (rc == 0)
		checkpoint_wake(store);
	return -rc;
}

void checkpoint_stop(struct store *store)
{
	if (!store->has_thread)
		return;
	pthread_mutex_lock(&store->work_lock);
	store->stop = true;
	pthread_cond_signal(&store->work);
	pthread_mutex_unlock(&store->work_lock);
	pthread_join(store->thread, NULL);
	store->has_thread = false;
}
