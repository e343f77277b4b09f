/* SPDX-License-Identifier: MIT */
/*
 * The client library on a store that changes, is replaced or is being recovered; with a writer at work, and after forks.
 */
#include <errno.h>
#include <pthread.h>
#include <sys/wait.h>
#include <time.h>
#include "base/clock.h"
#include "sdk_help.h"

/* ---- a store that changes ---- */

static void add_feature(struct world *w)
{
	char text[2048];

	snprintf(text, sizeof text, "%s[feature added]\ntype = int64\n", kinds_schema);
	define(w, "kinds", text);
	upsert(w, "kinds", "{\"entity\":\"u2\",\"features\":{\"added\":77,\"l\":6}}\n");
}

static void widen_feature(struct world *w)
{
	define(w, "affinity", "[group]\nentity = user, item\n[feature score]\ntype = float64\n");
}

static void retire_feature(struct world *w)
{
	define(w, "items", "[group]\nentity = item\n[feature price]\ntype = float64\n[feature stock]\ntype = int64\nretired = yes\n");
}

static void expire(struct world *w)
{
	upsert(w, "kinds", "{\"entity\":\"old\",\"event_time\":\"2026-01-01T00:00:00Z\",\"features\":{\"l\":1}}\n");
}

static void test_catalog_changes(struct featurefs *fs)
{
	const char *l = "kinds/l", *score = "affinity/score", *stock = "items/stock";
	struct featurefs_view *view = view_of(fs, &l, 1), *widened = view_of(fs, &score, 1), *retired = view_of(fs, &stock, 1);
	int64_t value = 0, event_ns;
	uint8_t status;
	struct featurefs_column column = { .values = &value, .status = &status, .event_ns = &event_ns };
	uint64_t before, after;
	double wide;

	NEED(featurefs_version(fs, &before) == 0);
	refuse(fs, "kinds/added", -ENOENT, "no feature added");
	write_by(add_feature);
	NEED(featurefs_version(fs, &after) == 0);
	CHECK(after > before);
	CHECK_INT(featurefs_wait(fs, after, 0), 0);
	CHECK_INT(featurefs_wait(fs, after + 1, 20), -ETIMEDOUT);
	NEED(featurefs_read_one(view, "u2", &column) == 0);
	CHECK_INT(value, 6);
	featurefs_view_free(view);
	view = view_of(fs, (const char *const[]){ "kinds/added" }, 1);
	NEED(featurefs_read_one(view, "u2", &column) == 0);
	CHECK_INT(value, 77);
	featurefs_view_free(view);

	NEED(featurefs_read_one(widened, "u1,x", &column) == 0);
	write_by(widen_feature);
	CHECK_INT(featurefs_read_one(widened, "u1,x", &column), -ESTALE);
	CHECK(strstr(featurefs_error(), "make the view anew") != NULL);
	featurefs_view_free(widened);
	widened = view_of(fs, &score, 1);
	column.values = &wide;
	NEED(featurefs_read_one(widened, "u1,x", &column) == 0);
	CHECK(wide == 0.5);		/* stored as float32 */
	featurefs_view_free(widened);

	column.values = &value;
	write_by(retire_feature);
	CHECK_INT(featurefs_read_one(retired, "x", &column), -ESTALE);
	featurefs_view_free(retired);
	refuse(fs, stock, -ESTALE, "retired");

	write_by(expire);
	view = view_of(fs, &l, 1);
	NEED(featurefs_read_one(view, "old", &column) == 0);
	CHECK_INT(status, FEATUREFS_EXPIRED);
	CHECK_INT(column.n_present, 0);
	CHECK(event_ns == INT64_C(1767225600) * CLOCK_SECOND);
	featurefs_view_free(view);
}

static void copy_store(const char *from, const char *to)
{
	char command[4 * PATH_MAX];

	snprintf(command, sizeof command, "rm -rf '%s' && cp -a '%s' '%s'", to, from, to);
	NEED(system(command) == 0);
}

/* The library looks anew by the kernel's ticks, and there are kernels with a hundred a second. */
static void await_tick(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 25000000 }, NULL);
}

static void set_l(struct world *w)
{
	upsert(w, "kinds", "{\"entity\":\"u2\",\"features\":{\"l\":1000}}\n");
}

/* A restore: the store goes aside, another one takes its place. Not a single read shows the old one afterwards. */
static void test_replaced(struct featurefs *fs)
{
	const char *feature = "kinds/l";
	struct featurefs_view *view = view_of(fs, &feature, 1);
	char backup[PATH_MAX + 8], aside[PATH_MAX + 8], command[4 * PATH_MAX];
	int64_t value = 0;
	struct featurefs_column column = { .values = &value };
	struct featurefs *second;

	snprintf(backup, sizeof backup, "%s.backup", world.path);
	snprintf(aside, sizeof aside, "%s.aside", world.path);
	copy_store(world.path, backup);
	write_by(set_l);
	second = open_it();
	NEED(featurefs_read_one(view, "u2", &column) == 0);
	CHECK_INT(value, 1000);
	NEED(rename(world.path, aside) == 0);
	await_tick();
	CHECK_INT(featurefs_read_one(view, "u2", &column), -ENOENT);
	CHECK(strstr(featurefs_error(), "data.mdb") != NULL);
	NEED(rename(backup, world.path) == 0);
	NEED(featurefs_read_one(view, "u2", &column) == 0);
	CHECK_INT(value, 6);
	featurefs_close(second);
	/* And back: the map that was closed is opened again. */
	NEED(rename(world.path, backup) == 0 && rename(aside, world.path) == 0);
	await_tick();
	NEED(featurefs_read_one(view, "u2", &column) == 0);
	CHECK_INT(value, 1000);
	featurefs_view_free(view);
	snprintf(command, sizeof command, "rm -rf '%s' '%s'", backup, aside);
	NEED(system(command) == 0);
}

static void test_awaiting(struct featurefs *fs)
{
	const char *feature = "kinds/l";
	struct featurefs_view *view = view_of(fs, &feature, 1);
	int64_t value = 0;
	struct featurefs_column column = { .values = &value };
	struct featurefs *other = NULL;
	int status;
	pid_t pid = fork();

	NEED(pid >= 0);
	if (pid == 0) {
		setenv("FEATUREFS_TEST_BOOT_ID", "another", 1);
		world_open(&world);
		_exit(0);		/* as a crash, in a boot that is over */
	}
	NEED(waitpid(pid, &status, 0) == pid && status == 0);
	await_tick();
	CHECK_INT(featurefs_read_one(view, "u2", &column), -EAGAIN);
	CHECK(strstr(featurefs_error(), "recovery") != NULL);
	CHECK_INT(featurefs_open(world.path, 0, &other), -EAGAIN);
	write_by(set_l);
	NEED(featurefs_read_one(view, "u2", &column) == 0);
	CHECK_INT(value, 1000);
	featurefs_view_free(view);
}

/* ---- threads, with a writer at work ---- */

static void write_pairs(struct world *w, int stop)
{
	char line[128], byte;

	for (unsigned n = 1;; n++) {
		fd_set set;

		snprintf(line, sizeof line, "{\"entity\":\"p1\",\"features\":{\"l\":%u}}\n{\"entity\":\"p2\",\"features\":{\"l\":%u}}\n", n, n);
		upsert(w, "kinds", line);
		FD_ZERO(&set);
		FD_SET(stop, &set);
		if (select(stop + 1, &set, NULL, NULL, &(struct timeval){ 0 }) > 0 && read(stop, &byte, 1) == 0)
			return;
	}
}

struct team {
	struct featurefs_view *view;
	_Atomic bool stop;
	_Atomic unsigned changes;
};

static void *read_pairs(void *arg)
{
	const char *names[] = { "p1", "u1", "p2" };
	const struct featurefs_keys keys = { .strings = names };
	struct team *team = arg;
	int64_t l[3] = { 0 }, last = 0;
	struct featurefs_column column = { .values = l };

	while (!team->stop) {
		CHECK_INT(featurefs_read(team->view, &keys, 1, 3, &column), 0);
		CHECK(l[0] == l[2] && l[0] >= last);
		team->changes += l[0] != last;
		last = l[0];
	}
	return NULL;
}

static void test_threads(struct featurefs *fs)
{
	const char *feature = "kinds/l";
	struct team team = { .view = view_of(fs, &feature, 1) };
	pthread_t threads[4];
	int stop[2], status;
	pid_t pid;

	NEED(pipe(stop) == 0);
	pid = fork();
	NEED(pid >= 0);
	if (pid == 0) {
		close(stop[1]);
		world_open(&world);
		write_pairs(&world, stop[0]);
		world_close(&world);
		_exit(test_failures != 0);
	}
	for (int i = 0; i < 4; i++)
		NEED(pthread_create(&threads[i], NULL, read_pairs, &team) == 0);
	/* Each change is on the disk before the next, and a disk may be slow: what ends the wait early is the writer's end. */
	while (team.changes < 200 && waitpid(pid, &status, WNOHANG) == 0)
		nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
	team.stop = true;
	close(stop[1]);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	NEED(waitpid(pid, &status, 0) == pid);
	close(stop[0]);
	CHECK_INT(status, 0);
	CHECK(team.changes >= 200);
	featurefs_view_free(team.view);
}

/* ---- forks ---- */

static int fork_inside(void *arg, const struct featurefs_row *row)
{
	pid_t *pid = arg;

	(void)row;
	if (*pid == -2) {
		*pid = fork();
		NEED(*pid >= 0);
	}
	return 0;
}

static void test_fork(struct featurefs *fs)
{
	const char *feature = "kinds/l";
	struct featurefs_view *view = view_of(fs, &feature, 1);
	int64_t value = 0;
	struct featurefs_column column = { .values = &value };
	pid_t pid = fork(), inside = -2;
	int status, rc;

	NEED(pid >= 0);
	if (pid == 0) {
		/* The child goes on with the same handle and view. */
		bool is_right = featurefs_read_one(view, "u1", &column) == 0 && value == 9007199254740993;

		featurefs_view_free(view);
		featurefs_close(fs);
		_exit(is_right ? 0 : 7);
	}
	NEED(waitpid(pid, &status, 0) == pid);
	CHECK_INT(status, 0);
	NEED(featurefs_read_one(view, "u1", &column) == 0);
	CHECK(value == 9007199254740993);
	/* Inside of a call, only the parent goes on with it. */
	rc = featurefs_rows(fs, NULL, 0, fork_inside, &inside);
	if (inside == 0)
		_exit(rc == -ECANCELED && featurefs_read_one(view, "u2", &column) == 0 ? 0 : 7);
	CHECK_INT(rc, 0);
	NEED(waitpid(inside, &status, 0) == inside);
	CHECK_INT(status, 0);
	featurefs_view_free(view);
}

int main(void)
{
	struct featurefs *fs;

	sdk_help_begin("sdk_live");
	fs = open_it();
	test_catalog_changes(fs);
	test_threads(fs);
	test_fork(fs);
	test_replaced(fs);
	test_awaiting(fs);
	featurefs_close(fs);
	world_open(&world);
	world_end(&world);
	return test_end("sdk_live");
}
