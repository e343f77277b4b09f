/* SPDX-License-Identifier: MIT */
/* Room: a map that is full, what deletions give back, and commits that are large. */
#include "store_help.h"

static int change_row(struct store *store, unsigned row, uint8_t flags, enum record_state state, struct slice value)
{
	struct record_stamp stamp = { .lane = RECORD_LANE_DIRECT };
	struct record_builder b = { 0 };
	struct store_batch *batch;
	struct buf delta = { 0 };
	char name[32];
	uint64_t seq;
	int rc;

	record_builder_reset(&b, flags);
	record_builder_cell(&b, 1, state, 7, record_builder_stamp(&b, &stamp), value);
	NEED(record_builder_finish(&b, &delta) == 0);
	rc = store_batch_begin(store, &batch);
	NEED(rc == 0);
	rc = store_batch_row(batch, 9, name_of(name, "r", row), buf_slice(&delta));
	if (rc == 0)
		rc = store_batch_log(batch, &seq);
	if (rc == 0)
		rc = store_batch_commit(batch);
	else
		store_batch_abort(batch);
	record_builder_release(&b);
	buf_release(&delta);
	return rc;
}

static int overwrite(struct store *store, unsigned row, size_t len)
{
	static char bytes[100000];

	return change_row(store, row, RECORD_EXISTS, RECORD_PRESENT, slice_of(bytes, len));
}

static int delete_row(struct store *store, unsigned row)
{
	return change_row(store, row, 0, RECORD_ABSENT, slice_of(NULL, 0));
}

/* Overwriting the same rows in a small map needs room again and again, and make_room always finds it. */
static void test_make_room(void)
{
	struct store_options options = plain_options();
	struct store *store;
	unsigned full = 0;

	options.map_bytes = 4 << 20;
	options.relaxed = true;
	options.checkpoint_ms = 60000;
	options.checkpoint_bytes = 1 << 30;
	store = open_store(path_of("room"), &options);
	for (unsigned i = 0; i < 3000; i++) {
		int rc = overwrite(store, i % 20, 500 + i % 7 * 1000);

		if (rc == -ENOSPC) {
			full++;
			CHECK_INT(store_make_room(store), 0);
			rc = overwrite(store, i % 20, 500 + i % 7 * 1000);
		}
		CHECK_INT(rc, 0);
	}
	CHECK(full > 5);
	CHECK(store_has_room(store));
	CHECK_INT(store_verify(store, print_fault, NULL), 0);
	CHECK_INT(store_close(store), 0);
}

/* A map filled to the brim: ENOSPC in the writer's hands and never behind the log; deletions still work, and then
 * writes again. */
static void test_full_map(void)
{
	struct store_options options = plain_options();
	struct store_figures figures;
	struct store *store;
	unsigned n = 0, hinted = 0;
	int rc = 0;

	options.map_bytes = 4 << 20;
	options.relaxed = true;
	store = open_store(path_of("full"), &options);
	while (rc == 0) {
		rc = overwrite(store, n, 700);
		if (rc == -ENOSPC) {
			NEED(store_make_room(store) == 0);
			rc = overwrite(store, n, 700);
		}
		n += rc == 0;
		if (!hinted && !store_has_room(store))
			hinted = n;
	}
	CHECK_INT(rc, -ENOSPC);
	CHECK(n > 2000);
	CHECK(hinted > n / 2 && hinted < n);	/* it was said before it happened */
	CHECK(!store_has_room(store));
	store_figures(store, &figures);
	CHECK_INT(figures.failed, 0);
	CHECK_INT(store_verify(store, print_fault, NULL), 0);
	CHECK_INT(store_close(store), 0);

	/* Filled up to where has_room says stop, every row can be deleted. */
	remove_folder(path_of("full"));
	store = open_store(path_of("full"), &options);
	for (n = 0; store_has_room(store); n++)
		if (overwrite(store, n, 700) == -ENOSPC)
			NEED(store_make_room(store) == 0 && overwrite(store, n, 700) == 0);
	for (unsigned i = 0; i < n; i++) {
		rc = delete_row(store, i);
		if (rc == -ENOSPC) {
			NEED(store_make_room(store) == 0);
			rc = delete_row(store, i);
		}
		NEED(rc == 0);
	}
	NEED(store_make_room(store) == 0);
	CHECK(store_has_room(store));
	CHECK_INT(overwrite(store, 1, 700), 0);
	CHECK_INT(store_verify(store, print_fault, NULL), 0);
	CHECK_INT(store_close(store), 0);
}

/* A batch whose rollback follows ENOSPC keeps what was before the savepoint. */
static void test_rollback_when_full(void)
{
	static char bytes[100000];
	struct store_options options = plain_options();
	struct store_batch *batch;
	struct store *store;
	struct store_snap *snap;
	struct slice value;
	char name[32];
	uint64_t seq;
	int rc = 0;

	options.map_bytes = 2 << 20;
	store = open_store(path_of("rollback"), &options);
	NEED(store_batch_begin(store, &batch) == 0);
	CHECK_INT(store_batch_put(batch, STORE_STATS, slice_str("kept"), slice_str("1")), 0);
	CHECK_INT(store_batch_save(batch), 0);
	for (unsigned i = 0; i < 100 && rc == 0; i++)
		rc = store_batch_put(batch, STORE_STATS, name_of(name, "x", i), slice_of(bytes, sizeof bytes));
	CHECK_INT(rc, -ENOSPC);
	CHECK_INT(store_batch_put(batch, STORE_STATS, slice_str("more"), slice_str("1")), -ENOSPC);
	store_batch_rollback(batch);
	CHECK_INT(store_batch_put(batch, STORE_STATS, slice_str("more"), slice_str("2")), 0);
	NEED(store_batch_log(batch, &seq) == 0);
	NEED(store_batch_commit(batch) == 0);
	NEED(store_snap_begin(store, &snap) == 0);
	CHECK_INT(store_get(snap, STORE_STATS, slice_str("kept"), &value), 0);
	CHECK_INT(store_get(snap, STORE_STATS, slice_str("more"), &value), 0);
	CHECK_TEXT(value, "2");
	CHECK_INT(store_get(snap, STORE_STATS, slice_str("x0000"), &value), -ENOENT);
	store_snap_end(snap);
	CHECK_INT(store_close(store), 0);
}

/* ---- large ---- */

/* One commit that is larger than a segment of the log, among small ones; read back by recovery. */
static void test_large_commit(void)
{
	struct store_options options = plain_options();
	struct store *store;
	struct store_batch *batch;
	struct store_snap *snap;
	struct slice value;
	char *large = malloc(3 << 20), name[32];
	uint64_t seq;
	pid_t pid;
	int status;

	NEED(large);
	memset(large, 7, 3 << 20);
	options.checkpoint_ms = 60000;
	options.checkpoint_bytes = 1 << 30;
	pid = fork();
	if (pid == 0) {
		store = open_store(path_of("large"), &options);
		for (unsigned i = 0; i < 4; i++) {
			NEED(store_batch_begin(store, &batch) == 0);
			NEED(store_batch_put(batch, STORE_STATS, name_of(name, "l", i),
					     slice_of(large, i % 2 ? 3 << 20 : 30)) == 0);
			NEED(store_batch_log(batch, &seq) == 0 && store_batch_commit(batch) == 0);
		}
		_exit(0);
	}
	NEED(waitpid(pid, &status, 0) == pid && status == 0);
	setenv("FEATUREFS_TEST_BOOT_ID", "another", 1);
	store = open_store(path_of("large"), &options);
	NEED(store_snap_begin(store, &snap) == 0);
	for (unsigned i = 0; i < 4; i++) {
		CHECK_INT(store_get(snap, STORE_STATS, name_of(name, "l", i), &value), 0);
		CHECK_INT(value.len, i % 2 ? 3 << 20 : 30);
		CHECK(!memcmp(value.data, large, value.len));
	}
	store_snap_end(snap);
	CHECK_INT(store_verify(store, print_fault, NULL), 0);
	CHECK_INT(store_close(store), 0);
	unsetenv("FEATUREFS_TEST_BOOT_ID");
	free(large);
}

int main(void)
{
	test_make_room();
	test_full_map();
	test_rollback_when_full();
	test_large_commit();
	return test_end("store_room");
}
