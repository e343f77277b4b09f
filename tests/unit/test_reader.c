/* SPDX-License-Identifier: MIT */
/* Readers in other processes: many threads while the map grows, a store that was replaced, and what the writer sees of them. */
#include <errno.h>
#include <pthread.h>
#include <time.h>
#include "store_help.h"

enum { THREADS = 4, VALUE = 1 << 20 };

static struct store_options options_of(uint64_t map_bytes)
{
	return (struct store_options){ .map_bytes = map_bytes, .segment_bytes = 1 << 20, .log_bytes = 64 << 20,
				       .checkpoint_ms = 200, .checkpoint_bytes = 4 << 20 };
}

static struct store *open_with(const char *path, uint64_t map_bytes)
{
	struct store_options options = options_of(map_bytes);
	struct store *store;
	struct why why = { "" };

	if (store_open(path, &options, &store, &why) < 0) {
		fprintf(stderr, "%s\n", why.text);
		exit(1);
	}
	return store;
}

static void nap(long ms)
{
	nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 }, NULL);
}

/* Two values that are always written together. */
static void put_pair(struct store *store, unsigned n, size_t len)
{
	struct store_batch *batch;
	char *bytes = calloc(1, len);
	uint64_t seq;

	NEED(bytes && len >= sizeof n);
	memcpy(bytes, &n, sizeof n);
	NEED(store_batch_begin(store, &batch) == 0);
	NEED(store_batch_put(batch, STORE_STATS, slice_str("a"), slice_of(bytes, len)) == 0);
	NEED(store_batch_put(batch, STORE_STATS, slice_str("b"), slice_of(&n, sizeof n)) == 0);
	NEED(store_batch_log(batch, &seq) == 0 && store_batch_commit(batch) == 0);
	free(bytes);
}

/* ---- threads of one reader, while the map outgrows what it has mapped ---- */

struct team {
	struct store *store;
	_Atomic bool stop;
	_Atomic unsigned reads, newest;
};

static void *read_pairs(void *arg)
{
	struct team *team = arg;
	struct store_snap *snap;
	unsigned a, b, seen = 0;
	struct slice value;

	NEED(store_snap_begin(team->store, &snap) == 0);
	while (!team->stop) {
		store_snap_park(snap);
		NEED(store_snap_renew(snap) == 0);
		NEED(store_get(snap, STORE_STATS, slice_str("a"), &value) == 0);
		memcpy(&a, value.data, sizeof a);
		NEED(store_get(snap, STORE_STATS, slice_str("b"), &value) == 0);
		memcpy(&b, value.data, sizeof b);
		CHECK(a == b && a >= seen);
		seen = a;
		team->reads++;
		if (team->newest < a)
			team->newest = a;
	}
	store_snap_end(snap);
	return NULL;
}

/* Says on the pipe that it reads, stops when `last` was seen. */
static int read_in_threads(const char *path, int ready, unsigned last)
{
	pthread_t threads[THREADS];
	struct team team = { 0 };
	struct store_snap *snap;

	test_failures = 0;
	NEED(store_open_reader(path, &team.store, NULL) == 0);
	NEED(store_snap_begin(team.store, &snap) == 0);
	for (int i = 0; i < THREADS; i++)
		NEED(pthread_create(&threads[i], NULL, read_pairs, &team) == 0);
	while (team.reads < 100)
		nap(1);
	NEED(write(ready, "", 1) == 1);
	/* A snapshot that is held while others meet the larger map: they wait until it ends. */
	nap(300);
	store_snap_end(snap);
	while (team.newest < last)
		nap(1);
	team.stop = true;
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	CHECK_INT(store_close(team.store), 0);
	return test_failures ? 8 : 0;
}

static void test_growth(void)
{
	const char *path = path_of("growth");
	struct store *store = open_with(path, 8 << 20);
	int ready[2], status;
	char byte;
	pid_t pid;

	put_pair(store, 1, sizeof(unsigned));
	CHECK_INT(store_close(store), 0);
	NEED(pipe(ready) == 0);
	pid = fork();
	NEED(pid >= 0);
	if (pid == 0)
		_exit(read_in_threads(path, ready[1], 40));
	NEED(read(ready[0], &byte, 1) == 1);
	store = open_with(path, 256 << 20);
	for (unsigned n = 2; n <= 40; n++)
		put_pair(store, n, n * (VALUE / 16));
	NEED(waitpid(pid, &status, 0) == pid);
	CHECK_INT(status, 0);
	CHECK_INT(store_close(store), 0);
	close(ready[0]);
	close(ready[1]);
}

/* ---- a store that is not the one any more ---- */

static void test_replaced(void)
{
	const char *path = path_of("replaced"), *aside = path_of("aside");
	struct store *store = open_with(path, 8 << 20), *reader;
	uint64_t device, inode, device_now, inode_now;
	struct why why = { "" };

	put_pair(store, 1, sizeof(unsigned));
	CHECK_INT(store_close(store), 0);
	NEED(store_open_reader(path, &reader, &why) == 0);
	CHECK_INT(store_check_reader(reader, &why), 0);
	CHECK_INT(store_file(reader, &device, &inode), 0);
	CHECK_INT(store_file_at(path, &device_now, &inode_now), 0);
	CHECK(device == device_now && inode == inode_now);
	setenv("FEATUREFS_TEST_BOOT_ID", "another", 1);
	CHECK_INT(store_check_reader(reader, &why), 0);		/* closed cleanly: whole in any boot */
	unsetenv("FEATUREFS_TEST_BOOT_ID");
	NEED(rename(path, aside) == 0);
	CHECK_INT(store_check_reader(reader, &why), -ENOENT);
	CHECK(strstr(why.text, path) != NULL);
	store = open_with(path, 8 << 20);
	CHECK_INT(store_check_reader(reader, &why), -ESTALE);
	CHECK_INT(store_close(store), 0);
	remove_folder(path);
	NEED(rename(aside, path) == 0);
	CHECK_INT(store_check_reader(reader, &why), 0);
	CHECK_INT(store_close(reader), 0);
}

/* A state that asks for recovery is seen by a reader that has been there before. */
static void test_awaiting(void)
{
	const char *path = path_of("awaiting");
	struct store *store = open_with(path, 8 << 20), *reader;
	struct why why = { "" };
	int status;
	pid_t pid;

	put_pair(store, 1, sizeof(unsigned));
	CHECK_INT(store_close(store), 0);
	NEED(store_open_reader(path, &reader, &why) == 0);
	pid = fork();
	NEED(pid >= 0);
	if (pid == 0) {
		setenv("FEATUREFS_TEST_BOOT_ID", "another", 1);
		open_with(path, 8 << 20);
		_exit(0);
	}
	NEED(waitpid(pid, &status, 0) == pid && status == 0);
	CHECK_INT(store_check_reader(reader, &why), -EAGAIN);
	CHECK(strstr(why.text, "recovery") != NULL);
	CHECK_INT(store_close(reader), 0);
}

/* ---- what the writer sees ---- */

static bool reports(struct store *store, unsigned snapshots, pid_t oldest)
{
	struct store_readers readers;

	for (int i = 0; i < 200; i++) {
		store_readers(store, &readers);
		if (readers.snapshots == snapshots && readers.oldest_pid == oldest && (!oldest || readers.oldest_behind == 3))
			return true;
		nap(50);
	}
	fprintf(stderr, "%u snapshots, the oldest of %ld, %llu behind\n", readers.snapshots, readers.oldest_pid,
		(unsigned long long)readers.oldest_behind);
	return false;
}

/* A killed reader is forgotten within seconds, a living one is named. */
static void test_report(void)
{
	const char *path = path_of("report");
	struct store *store;
	int ready[2], status;
	char byte;
	pid_t pid;

	NEED(pipe(ready) == 0);
	store = open_with(path, 8 << 20);
	put_pair(store, 1, sizeof(unsigned));
	CHECK_INT(store_close(store), 0);
	pid = fork();
	NEED(pid >= 0);
	if (pid == 0) {
		struct store_snap *snap;

		NEED(store_open_reader(path, &store, NULL) == 0 && store_snap_begin(store, &snap) == 0);
		NEED(write(ready[1], "", 1) == 1);
		pause();
		_exit(0);
	}
	NEED(read(ready[0], &byte, 1) == 1);
	store = open_with(path, 8 << 20);
	for (unsigned n = 2; n <= 4; n++)
		put_pair(store, n, sizeof(unsigned));
	CHECK(reports(store, 1, pid));
	kill(pid, SIGKILL);
	NEED(waitpid(pid, &status, 0) == pid);
	CHECK(reports(store, 0, 0));
	CHECK_INT(store_close(store), 0);
	close(ready[0]);
	close(ready[1]);
}

int main(void)
{
	test_growth();
	test_replaced();
	test_awaiting();
	test_report();
	return test_end("reader");
}
