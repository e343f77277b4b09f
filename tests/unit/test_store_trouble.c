/* SPDX-License-Identifier: MIT */
/* What becomes of a store where a call fails that seldom does: nothing is taken for empty that could not be read, and nothing kept that was not
 * written. */
#include <dlfcn.h>
#include <limits.h>
#include <lmdb.h>
#include <signal.h>
#include <sys/resource.h>
#include "store_help.h"

static const char *unreadable;		/* the entry at which reading a directory fails, as on a bad disk */

struct dirent *readdir(DIR *dir)
{
	static struct dirent *(*next)(DIR *dir);
	struct dirent *entry;

	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "readdir");
	entry = next(dir);
	if (!entry || !unreadable || strcmp(entry->d_name, unreadable))
		return entry;
	errno = EIO;
	return NULL;
}

static unsigned cursors_left = UINT_MAX;	/* that can be opened before memory is short */

int mdb_cursor_open(MDB_txn *txn, MDB_dbi dbi, MDB_cursor **out)
{
	static int (*next)(MDB_txn *txn, MDB_dbi dbi, MDB_cursor **out);

	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "mdb_cursor_open");
	return cursors_left-- ? next(txn, dbi, out) : ENOMEM;
}

static void commit_upto(struct store *store, uint64_t upto)
{
	for (uint64_t seq = last_seq(store) + 1; seq <= upto; seq++)
		CHECK_INT(play_commit(store, seq), 0);
}

/* A list of followers that is not complete must let go of no log. */
static void test_followers(void)
{
	struct store_options options = plain_options();
	struct store *store = open_store(path_of("followers"), &options), *again;
	struct store_follower *follower;
	struct slice payload;
	uint64_t seq;
	struct why why;

	CHECK_INT(store_follow(store, "offline", 0, &follower, NULL), 0);
	commit_upto(store, 20);
	store_follow_end(follower);
	CHECK_INT(store_close(store), 0);
	unreadable = "offline";
	CHECK_INT(store_open(path_of("followers"), &options, &again, &why), -EIO);
	unreadable = NULL;
	store = open_store(path_of("followers"), &options);
	CHECK_INT(store_follow(store, "offline", 0, &follower, NULL), 0);
	CHECK_INT(store_follow_next(follower, &seq, &payload), 0);
	CHECK_INT(seq, 1);
	store_follow_end(follower);
	CHECK_INT(store_close(store), 0);
}

/* No store is made where it can't be seen what is there. */
static void test_folders(void)
{
	struct store_options options = plain_options();
	const char *path = path_of("folder");
	struct store *store;
	struct why why;
	char file[400];

	NEED(mkdir(path, 0700) == 0);
	snprintf(file, sizeof file, "%s/thesis.txt", path);
	copy_file("/dev/null", file);
	unreadable = "thesis.txt";
	CHECK_INT(store_open(path, &options, &store, &why), -EIO);
	store = open_store(path_of("whole"), &options);
	CHECK_INT(store_copy(store, path, NULL, NULL, &why), -EIO);
	CHECK(!strstr(why.text, "not empty"));
	unreadable = NULL;
	CHECK_INT(store_close(store), 0);
	snprintf(file, sizeof file, "%s/data.mdb", path);
	CHECK(access(file, F_OK) < 0);
}

/* A follower whose new place can't be written keeps the one that it had. */
static void test_place(void)
{
	struct rlimit all, none;
	struct store_options options = plain_options();
	struct store *store = open_store(path_of("place"), &options);
	struct store_follower *follower;
	struct slice payload;
	uint64_t seq;
	struct why why;

	signal(SIGXFSZ, SIG_IGN);
	NEED(getrlimit(RLIMIT_FSIZE, &all) == 0);
	none = all;
	none.rlim_cur = 0;
	CHECK_INT(store_follow(store, "offline", 0, &follower, NULL), 0);
	commit_upto(store, 20);
	CHECK_INT(store_follow_ack(follower, 3), 0);
	store_follow_end(follower);
	NEED(setrlimit(RLIMIT_FSIZE, &none) == 0);
	CHECK_INT(store_follow(store, "offline", 8, &follower, &why), -EFBIG);
	NEED(setrlimit(RLIMIT_FSIZE, &all) == 0);
	CHECK_INT(store_follow(store, "offline", 0, &follower, NULL), 0);
	do
		CHECK_INT(store_follow_next(follower, &seq, &payload), 0);
	while (seq < 4);
	CHECK_INT(seq, 4);
	store_follow_end(follower);
	CHECK_INT(store_close(store), 0);
}

/* A walk over two tables that can't begin leaves nothing to end. */
static void test_walk(void)
{
	struct store_options options = plain_options();
	struct store *store = open_store(path_of("walk"), &options);
	struct store_walk *walk = NULL;
	struct store_snap *snap;

	commit_upto(store, 5);
	NEED(store_snap_begin(store, &snap) == 0);
	for (unsigned left = 0; left < 2; left++) {
		cursors_left = left;
		CHECK_INT(store_walk_rows_over(snap, 1, 3, slice_of(NULL, 0), &walk), -ENOMEM);
		CHECK(!walk);
	}
	cursors_left = UINT_MAX;
	CHECK_INT(store_walk_rows_over(snap, 1, 3, slice_of(NULL, 0), &walk), 0);
	store_walk_end(walk);
	store_snap_end(snap);
	CHECK_INT(store_close(store), 0);
}

/* A log without a segment is one that was lost. */
static void test_log(void)
{
	struct store_options options = plain_options();
	struct store *store = open_store(path_of("log"), &options);
	struct why why;
	char log[400], moved[sizeof log + 8];

	CHECK_INT(store_close(store), 0);
	snprintf(log, sizeof log, "%s/log", path_of("log"));
	snprintf(moved, sizeof moved, "%s.moved", log);
	NEED(rename(log, moved) == 0 && mkdir(log, 0700) == 0);
	CHECK_INT(store_open(path_of("log"), &options, &store, &why), -EBADMSG);
	CHECK(strstr(why.text, "missing"));
}

int main(void)
{
	test_followers();
	test_folders();
	test_place();
	test_walk();
	test_log();
	return test_end("store_trouble");
}
