/* SPDX-License-Identifier: MIT */
/* The store from its door: batches against a model, snapshots, walks, bounds, readers in other processes, copies.
 * Room is test_store_room.c's. */
#include <pthread.h>
#include <stdatomic.h>
#include "store_help.h"

static void commit(struct store_batch *batch)
{
	uint64_t seq;

	NEED(store_batch_log(batch, &seq) == 0);
	NEED(store_batch_commit(batch) == 0);
}

static void test_first(void)
{
	struct store_options options = plain_options();
	const char *path = path_of("first");
	struct store *store = open_store(path, &options), *second;
	struct store_batch *batch;
	struct store_snap *snap;
	struct slice value;
	struct store_figures figures;
	struct stat st;
	struct why why;
	char pid[32], long_key[600];

	memset(long_key, 'k', sizeof long_key);
	CHECK(stat(path, &st) == 0 && (st.st_mode & 0777) == 0700);
	CHECK(!strcmp(store_path(store), path));
	CHECK_INT(store_open(path, &options, &second, &why), -EBUSY);
	snprintf(pid, sizeof pid, "process %ld", (long)getpid());
	CHECK(strstr(why.text, pid));

	NEED(store_batch_begin(store, &batch) == 0);
	CHECK(store_batch_is_empty(batch));
	CHECK_INT(store_batch_put(batch, STORE_META, slice_str("clock"), slice_str("12")), 0);
	CHECK_INT(store_batch_put(batch, STORE_META, slice_str("store.seq"), slice_str("12")), -EINVAL);
	CHECK_INT(store_batch_delete(batch, STORE_META, slice_str("store.seq")), -EINVAL);
	CHECK_INT(store_batch_put(batch, STORE_CATALOG, slice_str("store.seq"), slice_of(NULL, 0)), 0);
	CHECK_INT(store_batch_put(batch, STORE_META, slice_of(NULL, 0), slice_str("12")), -EINVAL);
	CHECK_INT(store_batch_put(batch, STORE_META, slice_of(long_key, 512), slice_str("12")), -ENAMETOOLONG);
	CHECK_INT(store_batch_put(batch, STORE_META, slice_of(long_key, 511), slice_str("12")), 0);
	CHECK_INT(store_batch_row(batch, 1, slice_of(long_key, 508), slice_str("12")), -ENAMETOOLONG);
	CHECK_INT(store_batch_row(batch, 1, slice_of(NULL, 0), slice_str("12")), -EINVAL);
	CHECK_INT(store_batch_row(batch, 1, slice_str("e"), slice_str("no record")), -EINVAL);
	CHECK_INT(store_batch_late(batch, 1, slice_of(NULL, 0), slice_str("12")), -EINVAL);
	CHECK_INT(store_batch_delete(batch, STORE_XATTR, slice_str("absent")), -ENOENT);
	CHECK_INT(store_batch_get(batch, STORE_META, slice_str("clock"), &value), 0);
	CHECK_TEXT(value, "12");
	CHECK_INT(store_batch_get(batch, STORE_META, slice_str("other"), &value), -ENOENT);
	CHECK(!store_batch_is_empty(batch));
	CHECK_INT(store_batch_bytes(batch), (1 + 1 + 4 + 5 + 4 + 2) + (1 + 1 + 4 + 9 + 4) + (1 + 1 + 4 + 511 + 4 + 2));
	NEED(store_snap_begin(store, &snap) == 0);
	CHECK_INT(store_get(snap, STORE_META, slice_str("clock"), &value), -ENOENT);
	store_snap_end(snap);
	commit(batch);

	/* Refusals left nothing in the record: it can be replayed, and here comes the proof that it is read back. */
	CHECK_INT(store_close(store), 0);
	store = open_store(path, &options);
	store_figures(store, &figures);
	CHECK_INT(figures.last_seq, 1);
	CHECK_INT(figures.checkpoint_seq, 1);
	CHECK_INT(figures.replayed, 0);
	CHECK(!figures.after_power_loss);
	CHECK_INT(figures.failed, 0);
	CHECK(figures.map_used_bytes > 0 && figures.map_bytes == options.map_bytes && figures.page_bytes >= 4096 &&
	      figures.disk_bytes > figures.disk_free_bytes);
	NEED(store_snap_begin(store, &snap) == 0);
	CHECK_INT(store_get(snap, STORE_META, slice_str("clock"), &value), 0);
	CHECK_TEXT(value, "12");
	CHECK_INT(store_get(snap, STORE_META, slice_of(long_key, 600), &value), -ENOENT);
	CHECK_INT(store_get_row(snap, 1, slice_of(long_key, 600), &value), -ENOENT);
	store_snap_end(snap);
	CHECK_INT(store_close(store), 0);
}

/* ---- batches with savepoints against the model ---- */

static void random_batch(struct store *store, struct model *model)
{
	static uint64_t number = 1;
	struct model next = *model, saved = *model;
	struct store_batch *batch;
	uint64_t seq;
	bool is_saved = false;

	NEED(store_batch_begin(store, &batch) == 0);
	for (uint32_t n = rnd(40); n; n--) {
		struct step step = step_of(number++, 0);

		if (!is_saved && rnd(6) == 0) {
			CHECK_INT(store_batch_save(batch), 0);
			saved = next;
			is_saved = true;
		} else if (is_saved && rnd(4) == 0) {
			is_saved = false;
			if (rnd(2)) {
				store_batch_rollback(batch);
				next = saved;
			} else {
				CHECK_INT(store_batch_release(batch), 0);
			}
		}
		CHECK_INT(play_step(batch, step), 0);
		model_step(&next, step);
		if (step.kind == STEP_ROW) {
			struct slice row;
			char name[32];

			CHECK_INT(store_batch_get_row(batch, step.table + 1, name_of(name, "e", step.index), &row), 0);
		}
	}
	if (is_saved)
		store_batch_rollback(batch);
	if (is_saved)
		next = saved;
	if (rnd(4) == 0) {
		store_batch_abort(batch);
		return;
	}
	NEED(store_batch_log(batch, &seq) == 0);
	NEED(store_batch_commit(batch) == 0);
	*model = next;
}

static void test_batches(void)
{
	struct store_options options = plain_options();
	static struct model model, old;
	struct store *store;
	struct store_snap *snap;

	options.checkpoint_ms = 5;
	store = open_store(path_of("batches"), &options);
	for (int round = 0; round < 300; round++) {
		random_batch(store, &model);
		if (round % 50 == 49) {
			CHECK_INT(compare_model(store, &model), 0);
			CHECK_INT(store_verify(store, print_fault, NULL), 0);
		}
		if (round % 100 == 99) {
			CHECK_INT(store_close(store), 0);
			store = open_store(path_of("batches"), &options);
		}
	}
	/* A snapshot goes on seeing what it saw. */
	NEED(store_snap_begin(store, &snap) == 0);
	old = model;
	for (int round = 0; round < 100; round++)
		random_batch(store, &model);
	CHECK_INT(compare_rows(snap, &old, 0) + compare_rows(snap, &old, 1), 0);
	CHECK_INT(compare_model(store, &model), 0);
	store_snap_end(snap);
	CHECK_INT(store_close(store), 0);
}

static void test_walks(void)
{
	struct store_options options = plain_options();
	struct store *store = open_store(path_of("walks"), &options);
	struct store_batch *batch;
	struct store_snap *snap;
	struct store_walk *walk;
	struct slice key, value;
	struct buf delta = { 0 };
	uint64_t version;

	delta_of(&delta, 5);
	NEED(store_batch_begin(store, &batch) == 0);
	for (uint32_t rows = 255; rows < 258; rows++)
		for (const char *p = "abc"; *p; p++)
			NEED(store_batch_row(batch, rows, slice_of(p, 1), buf_slice(&delta)) == 0);
	NEED(store_batch_put(batch, STORE_XATTR, slice_str("aa"), slice_str("1")) == 0);
	NEED(store_batch_put(batch, STORE_XATTR, slice_str("ab"), slice_str("2")) == 0);
	NEED(store_batch_put(batch, STORE_XATTR, slice_str("b"), slice_str("3")) == 0);
	commit(batch);

	NEED(store_snap_begin(store, &snap) == 0);
	version = store_snap_version(snap);
	NEED(store_walk_rows(snap, 256, slice_str("a"), &walk) == 0);
	CHECK_INT(store_walk_next(walk, &key, &value), 0);
	CHECK_TEXT(key, "b");
	CHECK_INT(store_walk_next(walk, &key, &value), 0);
	CHECK_TEXT(key, "c");
	CHECK_INT(store_walk_next(walk, &key, &value), -ENOENT);
	store_walk_end(walk);
	NEED(store_walk_rows(snap, 256, slice_str("aa"), &walk) == 0);
	CHECK_INT(store_walk_next(walk, &key, &value), 0);
	CHECK_TEXT(key, "b");
	store_walk_end(walk);
	NEED(store_walk_rows(snap, 258, slice_of(NULL, 0), &walk) == 0);
	CHECK_INT(store_walk_next(walk, &key, &value), -ENOENT);
	store_walk_end(walk);
	NEED(store_walk_begin(snap, STORE_XATTR, slice_str("a"), &walk) == 0);
	CHECK_INT(store_walk_next(walk, &key, &value), 0);
	CHECK_TEXT(key, "aa");
	CHECK_INT(store_walk_next(walk, &key, &value), 0);
	CHECK_TEXT(value, "2");
	CHECK_INT(store_walk_next(walk, &key, &value), -ENOENT);
	store_walk_end(walk);
	NEED(store_walk_begin(snap, STORE_XATTR, slice_of(NULL, 0), &walk) == 0);
	for (int i = 0; i < 3; i++)
		CHECK_INT(store_walk_next(walk, &key, &value), 0);
	CHECK_INT(store_walk_next(walk, &key, &value), -ENOENT);
	store_walk_end(walk);
	NEED(store_walk_begin(snap, STORE_STATS, slice_of(NULL, 0), &walk) == 0);
	CHECK_INT(store_walk_next(walk, &key, &value), -ENOENT);
	store_walk_end(walk);
	store_walk_end(NULL);
	store_snap_end(snap);

	NEED(store_batch_begin(store, &batch) == 0);
	NEED(store_batch_note(batch, slice_str("x")) == 0);
	commit(batch);
	NEED(store_snap_begin(store, &snap) == 0);
	CHECK(store_snap_version(snap) > version);
	store_snap_end(snap);
	store_snap_end(NULL);
	buf_release(&delta);
	CHECK_INT(store_close(store), 0);
}

static void test_many_snapshots(void)
{
	static struct store_snap *snaps[1001];
	struct store_options options = plain_options();
	struct store *store = open_store(path_of("snapshots"), &options);
	int n = 0;

	while (n < 1001 && store_snap_begin(store, &snaps[n]) == 0)
		n++;
	CHECK_INT(n, 1000);
	CHECK_INT(store_snap_begin(store, &snaps[1000]), -EMFILE);
	CHECK_INT(play_commit(store, 1), 0);
	while (n--)
		store_snap_end(snaps[n]);
	CHECK_INT(store_snap_begin(store, &snaps[0]), 0);
	store_snap_end(snaps[0]);
	check_store(store);
	CHECK_INT(store_close(store), 0);
}

/* ---- readers in other processes ---- */

/* A child that opens the store as a reader, checks it at each byte of the pipe, and ends with its number of
 * failures. */
static pid_t start_reader(const char *path, int *out_go, int *out_done)
{
	int go[2], done[2];
	char byte;
	pid_t pid;

	NEED(pipe(go) == 0 && pipe(done) == 0);
	pid = fork();
	NEED(pid >= 0);
	if (pid == 0) {
		struct store *store = NULL;

		test_failures = 0;
		close(go[1]);
		while (read(go[0], &byte, 1) == 1) {
			struct store_snap *snap;
			struct slice value;
			struct why why;

			if (!store && store_open_reader(path, &store, &why) < 0) {
				fprintf(stderr, "%s\n", why.text);
				_exit(9);
			}
			CHECK_INT(store_snap_begin(store, &snap), 0);
			CHECK_INT(store_get(snap, STORE_STATS, slice_str("n"), &value), 0);
			CHECK(value.len == 1 && *(const char *)value.data == byte);
			store_snap_end(snap);
			NEED(write(done[1], "", 1) == 1);
		}
		if (store)
			CHECK_INT(store_close(store), 0);
		_exit(test_failures ? 8 : 0);
	}
	close(go[0]);
	close(done[1]);
	*out_go = go[1];
	*out_done = done[0];
	return pid;
}

static void say(struct store *store, int go, int done, char n)
{
	struct store_batch *batch;
	char byte;

	NEED(store_batch_begin(store, &batch) == 0);
	NEED(store_batch_put(batch, STORE_STATS, slice_str("n"), slice_of(&n, 1)) == 0);
	commit(batch);
	NEED(write(go, &n, 1) == 1);
	CHECK_INT(read(done, &byte, 1), 1);
}

static void test_reader(void)
{
	struct store_options options = plain_options();
	const char *path = path_of("reader");
	int go, done, status;
	pid_t pid = start_reader(path, &go, &done), refused;
	struct store *store;

	options.map_bytes = 4 << 20;
	store = open_store(path, &options);
	for (char n = 1; n < 20; n++)
		say(store, go, done, n);
	CHECK_INT(store_close(store), 0);
	/* Another start beside the same reader, with a larger map that it must adopt. */
	options.map_bytes = 64 << 20;
	store = open_store(path, &options);
	for (char n = 1; n < 20; n++)
		say(store, go, done, n);
	for (unsigned i = 0; i < 5; i++) {
		struct store_batch *batch;
		char name[32], *bytes = calloc(1, 6 << 20);

		NEED(bytes && store_batch_begin(store, &batch) == 0);
		NEED(store_batch_put(batch, STORE_STATS, name_of(name, "big", i), slice_of(bytes, 6 << 20)) == 0);
		commit(batch);
		free(bytes);
	}
	say(store, go, done, 77);
	CHECK_INT(store_close(store), 0);
	close(go);
	close(done);
	NEED(waitpid(pid, &status, 0) == pid);
	CHECK_INT(status, 0);

	/* A map that awaits recovery is refused. */
	pid = fork();
	if (pid == 0) {
		store = open_store(path, &options);
		_exit(0);
	}
	NEED(waitpid(pid, &status, 0) == pid && status == 0);
	setenv("FEATUREFS_TEST_BOOT_ID", "another", 1);
	refused = fork();
	if (refused == 0) {
		struct why why;
		int rc = store_open_reader(path, &store, &why);

		_exit(rc == -EAGAIN && strstr(why.text, "recovery") ? 0 : 7);
	}
	NEED(waitpid(refused, &status, 0) == refused);
	CHECK_INT(status, 0);
	unsetenv("FEATUREFS_TEST_BOOT_ID");
	pid = fork();
	if (pid == 0) {
		/* A crash of the process alone: the map is whole. */
		_exit(store_open_reader(path, &store, NULL) == 0 && store_close(store) == 0 ? 0 : 7);
	}
	NEED(waitpid(pid, &status, 0) == pid);
	CHECK_INT(status, 0);
	CHECK_INT(store_open_reader(path_of("nowhere"), &store, NULL), -ENOENT);
	CHECK(access(path_of("nowhere"), F_OK) < 0);
}

/* ---- making and refusing ---- */

static void write_file(const char *folder, const char *name, const char *text)
{
	char path[600];
	int fd;

	snprintf(path, sizeof path, "%s/%s", folder, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	NEED(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static void test_refusals(void)
{
	struct store_options options = plain_options();
	const char *path = path_of("refusals");
	struct store *store;
	struct why why;
	char file[400];

	NEED(mkdir(path, 0700) == 0);
	write_file(path, "thesis.txt", "do not touch");
	CHECK_INT(store_open(path, &options, &store, &why), -ENOTEMPTY);
	CHECK(strstr(why.text, "not empty"));
	snprintf(file, sizeof file, "%s/thesis.txt", path);
	CHECK(access(file, F_OK) == 0);
	CHECK(unlink(file) == 0);

	/* A creation that was cut off is made anew, whatever it left. */
	write_file(path, "creating", "");
	write_file(path, "data.mdb", "half a page");
	write_file(path, "state.new", "x");
	store = open_store(path, &options);
	CHECK_INT(play_commit(store, 1), 0);
	CHECK_INT(store_close(store), 0);
	snprintf(file, sizeof file, "%s/creating", path);
	CHECK(access(file, F_OK) < 0);

	/* But not one that was finished. */
	write_file(path, "creating", "");
	store = open_store(path, &options);
	CHECK_INT(last_seq(store), 1);
	check_store(store);
	CHECK_INT(store_close(store), 0);
	CHECK(access(file, F_OK) < 0);

	write_file(path, "state", "not a state");
	CHECK_INT(store_open(path, &options, &store, &why), -EBADMSG);
	CHECK(strstr(why.text, "state"));
	snprintf(file, sizeof file, "%s/state", path);
	CHECK(unlink(file) == 0);
	CHECK_INT(store_open(path, &options, &store, &why), -EBADMSG);
	snprintf(file, sizeof file, "%s/data.mdb", path);
	CHECK(access(file, F_OK) == 0);
}

/* A missing piece is told, and nothing is made in its place. */
static void test_missing(void)
{
	static const char *const pieces[] = { "data.mdb", "checkpoint", "log" };
	struct store_options options = plain_options();
	struct store *store;
	struct why why;
	char file[400], moved[400];

	for (unsigned i = 0; i < 3; i++) {
		const char *path = path_of("missing");

		store = open_store(path, &options);
		for (uint64_t seq = last_seq(store) + 1, end = seq + 5; seq < end; seq++)
			CHECK_INT(play_commit(store, seq), 0);
		CHECK_INT(store_close(store), 0);
		snprintf(file, sizeof file, "%s/%s", path, pieces[i]);
		snprintf(moved, sizeof moved, "%s.moved", path);
		NEED(rename(file, moved) == 0);
		CHECK_INT(store_open(path, &options, &store, &why), -EBADMSG);
		CHECK(strstr(why.text, pieces[i]));
		CHECK(access(file, F_OK) < 0);
		NEED(rename(moved, file) == 0);
		store = open_store(path, &options);
		check_store(store);
		CHECK_INT(store_close(store), 0);
	}
}

/* ---- copies ---- */

static uint64_t progress_done, progress_total;

static void note_progress(void *arg, uint64_t done, uint64_t total)
{
	(void)arg;
	progress_done = done;
	progress_total = total;
}

static void test_copy(void)
{
	struct store_options options = plain_options();
	struct store *store = open_store(path_of("original"), &options), *copy;
	struct why why;
	int status;
	pid_t pid;

	for (uint64_t seq = 1; seq <= 200; seq++)
		CHECK_INT(play_commit(store, seq), 0);
	CHECK_INT(store_copy(store, path_of("copy"), note_progress, NULL, &why), 0);
	CHECK(progress_total > 0 && progress_done == progress_total);
	CHECK_INT(store_copy(store, path_of("copy"), NULL, NULL, &why), -ENOTEMPTY);
	for (uint64_t seq = 201; seq <= 300; seq++)
		CHECK_INT(play_commit(store, seq), 0);
	copy = open_store(path_of("copy"), &options);
	CHECK_INT(last_seq(copy), 200);
	check_store(copy);
	for (uint64_t seq = 201; seq <= 260; seq++)
		CHECK_INT(play_commit(copy, seq), 0);
	check_store(copy);
	CHECK_INT(store_close(copy), 0);
	check_store(store);
	CHECK_INT(store_close(store), 0);

	/* From a reader, of a copy that was opened before. */
	pid = fork();
	if (pid == 0) {
		if (store_open_reader(path_of("copy"), &copy, &why) < 0 || store_verify(copy, print_fault, NULL) != 0 ||
		    store_copy(copy, path_of("again"), NULL, NULL, &why) < 0)
			_exit(7);
		_exit(store_close(copy) == 0 ? 0 : 6);
	}
	NEED(waitpid(pid, &status, 0) == pid);
	CHECK_INT(status, 0);
	setenv("FEATUREFS_TEST_BOOT_ID", "another", 1);
	copy = open_store(path_of("again"), &options);
	CHECK_INT(last_seq(copy), 260);
	check_store(copy);
	CHECK_INT(store_close(copy), 0);
	unsetenv("FEATUREFS_TEST_BOOT_ID");
}

/* ---- changes ---- */

static void test_changes(void)
{
	static const uint8_t example[] = { 3, 5, 1, 0, 0, 0, 0x6b, 1, 0, 0, 0, 0x76 };
	struct slice payload = slice_of(example, sizeof example);
	struct store_change change;
	uint8_t bad[sizeof example];

	CHECK_INT(store_change_next(&payload, &change), 0);
	CHECK_INT(change.kind, STORE_CHANGE_PUT);
	CHECK_INT(change.table, STORE_SOURCES);
	CHECK_TEXT(change.key, "k");
	CHECK_TEXT(change.value, "v");
	CHECK_INT(store_change_next(&payload, &change), -ENOENT);
	for (size_t len = 1; len < sizeof example; len++) {
		payload = slice_of(example, len);
		CHECK_INT(store_change_next(&payload, &change), -EBADMSG);
		CHECK_INT(payload.len, len);
	}
	for (int i = 0; i < 3; i++) {
		memcpy(bad, example, sizeof bad);
		bad[i == 2 ? 10 : i] = 200;	/* the kind, the table, the top of a length */
		payload = slice_of(bad, sizeof bad);
		CHECK_INT(store_change_next(&payload, &change), -EBADMSG);
	}
}

/* Threads read and walk while commits and checkpoints go on: for the thread sanitizer, and none sees half a commit. */
struct reading {
	struct store *store;
	_Atomic bool stop;
	unsigned bad, rounds;
};

static void *read_along(void *arg)
{
	struct reading *reading = arg;
	struct store_snap *snap;
	struct slice a, b;

	while (!atomic_load(&reading->stop)) {
		if (store_snap_begin(reading->store, &snap) < 0) {
			reading->bad++;
			break;
		}
		if (store_get(snap, STORE_STATS, slice_str("a"), &a) == 0)
			reading->bad += store_get(snap, STORE_STATS, slice_str("b"), &b) < 0 || !slice_equal(a, b);
		store_snap_end(snap);
		reading->rounds++;
	}
	return NULL;
}

static void test_threads(void)
{
	struct store_options options = plain_options();
	struct reading reading = { 0 };
	struct store_batch *batch;
	pthread_t thread;

	options.checkpoint_ms = 2;
	reading.store = open_store(path_of("threads"), &options);
	NEED(pthread_create(&thread, NULL, read_along, &reading) == 0);
	for (unsigned i = 0; i < 400; i++) {
		NEED(store_batch_begin(reading.store, &batch) == 0);
		NEED(store_batch_put(batch, STORE_STATS, slice_str("a"), slice_of(&i, sizeof i)) == 0);
		NEED(store_batch_put(batch, STORE_STATS, slice_str("b"), slice_of(&i, sizeof i)) == 0);
		commit(batch);
		if (i % 100 == 0)
			CHECK_INT(store_make_room(reading.store), 0);
		store_has_room(reading.store);
		last_seq(reading.store);
	}
	atomic_store(&reading.stop, true);
	pthread_join(thread, NULL);
	CHECK(reading.rounds > 0);
	CHECK_INT(reading.bad, 0);
	CHECK_INT(store_close(reading.store), 0);
}

int main(void)
{
	test_first();
	test_changes();
	test_walks();
	test_batches();
	test_many_snapshots();
	test_reader();
	test_refusals();
	test_missing();
	test_copy();
	test_threads();
	return test_end("store");
}
