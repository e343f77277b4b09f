/* SPDX-License-Identifier: MIT */
/*
 * Recovery. Children make commits and are killed; what they acknowledged is known through shared memory. A loss of
 * power is played by another boot id, and by mixing the pages of two moments of data.mdb, as a disk may have them.
 * Opening and checking is done in children too: a damaged map can kill whoever reads it, and one test wants to see just
 * that.
 */
#include <signal.h>
#include <sys/resource.h>
#include <time.h>
#include "store/slots.h"
#include "store_help.h"

static _Atomic uint64_t *acked;

/* Children may die of the map that they read, or never come to an end in it. */
static bool expects_damage;

/* The sanitizers', where one is linked in. */
void __sanitizer_set_report_fd(void *fd) __attribute__((weak));

static void set_boot(unsigned number)
{
	char text[32];

	snprintf(text, sizeof text, "boot-%u", number);
	setenv("FEATUREFS_TEST_BOOT_ID", text, 1);
}

static void commit_upto(struct store *store, uint64_t upto)
{
	for (uint64_t seq = last_seq(store) + 1; seq <= upto; seq++) {
		NEED(play_commit(store, seq) == 0);
		*acked = seq;
	}
}

/* What a sanitizer says of a child that is meant to die is no finding: it goes to stderr, not into the log that a finding is looked for in. */
static void bear_damage(void)
{
	struct rlimit cpu = { .rlim_cur = 60, .rlim_max = 60 };

	if (__sanitizer_set_report_fd)
		__sanitizer_set_report_fd((void *)(intptr_t)STDERR_FILENO);
	NEED(setrlimit(RLIMIT_CPU, &cpu) == 0);
}

/* Runs in a child; 0 if it went well. */
static int in_child(int (*run)(const char *path, const struct store_options *options, uint64_t arg), const char *path,
		    const struct store_options *options, uint64_t arg)
{
	pid_t pid = fork();
	int status;

	NEED(pid >= 0);
	if (pid == 0) {
		test_failures = 0;
		if (expects_damage)
			bear_damage();
		_exit(run(path, options, arg));
	}
	NEED(waitpid(pid, &status, 0) == pid);
	return status;
}

/* Opens, looks whether all is there that was acknowledged and at most the one commit more that was under way, and
 * closes. */
static int open_and_check(const char *path, const struct store_options *options, uint64_t arg)
{
	struct store *store;
	struct why why;
	int rc = store_open(path, options, &store, &why);

	(void)arg;
	if (rc < 0) {
		fprintf(stderr, "%s\n", why.text);
		return 2;
	}
	if (last_seq(store) < *acked || last_seq(store) > *acked + 1) {
		fprintf(stderr, "last commit %llu, acknowledged %llu\n", (unsigned long long)last_seq(store),
			(unsigned long long)*acked);
		return 3;
	}
	check_store(store);
	if (store_close(store) < 0)
		return 4;
	return test_failures ? 5 : 0;
}

/* Opens, checks, and goes on committing until it is killed, or to `arg`, and ends without closing. */
static int open_and_commit(const char *path, const struct store_options *options, uint64_t arg)
{
	struct store *store;
	struct why why;
	int rc = store_open(path, options, &store, &why);

	if (rc < 0) {
		fprintf(stderr, "%s\n", why.text);
		return 2;
	}
	if (last_seq(store) < *acked || last_seq(store) > *acked + 1)
		return 3;
	check_store(store);
	if (test_failures)
		return 5;
	*acked = last_seq(store);
	commit_upto(store, arg);
	return 0;
}

/* ---- killed at any moment ---- */

static void test_kill(bool relaxed)
{
	struct store_options options = plain_options();
	const char *path = path_of(relaxed ? "kill-relaxed" : "kill");

	*acked = 0;
	options.relaxed = relaxed;
	options.checkpoint_ms = 7;
	for (unsigned round = 0; round < 18; round++) {
		struct timespec moment = { .tv_nsec = (long)rnd(5000) * 1000 };
		uint64_t upto = *acked + rnd(40);
		int status;
		pid_t pid;

		/* Some rounds in the same boot, some in another. */
		set_boot(round / 3 * (1 + round % 2));
		pid = fork();
		NEED(pid >= 0);
		if (pid == 0)
			_exit(open_and_commit(path, &options, UINT64_MAX));
		/* Some while they recover, most while they commit. */
		while (round % 4 && *acked < upto && waitpid(pid, &status, WNOHANG) == 0)
			nanosleep(&moment, NULL);
		nanosleep(&moment, NULL);
		kill(pid, SIGKILL);
		NEED(waitpid(pid, &status, 0) == pid);
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	}
	CHECK_INT(in_child(open_and_check, path, &options, 0), 0);
	CHECK(*acked > 50);
}

/* The same with a map so small that it is full all the time: what was promised can be replayed in it. */
static int fill_small(const char *path, const struct store_options *options, uint64_t arg)
{
	struct store *store = open_store(path, options);

	check_store(store);
	commit_upto(store, last_seq(store) + arg);
	return test_failures != 0;
}

static void test_small_map(void)
{
	struct store_options options = plain_options();
	const char *path = path_of("small");

	*acked = 0;
	options.map_bytes = 6 << 20;
	options.checkpoint_ms = 60000;
	options.checkpoint_bytes = 1 << 30;
	for (unsigned round = 0; round < 6; round++) {
		set_boot(round / 2);
		CHECK_INT(in_child(fill_small, path, &options, 200), 0);
	}
	set_boot(99);
	CHECK_INT(in_child(open_and_check, path, &options, 0), 0);
}

/* ---- pages of two moments ---- */

static void join(char out[400], const char *path, const char *name)
{
	snprintf(out, 400, "%s/%s", path, name);
}

/* Makes a checkpoint, keeps the map as it is on the disk then, goes on. */
static int commit_around_checkpoint(const char *path, const struct store_options *options, uint64_t upto)
{
	struct store *store = open_store(path, options);
	char from[400], to[400];

	commit_upto(store, last_seq(store) + rnd(40));
	NEED(store_make_room(store) == 0);
	join(from, path, "data.mdb");
	join(to, path, "../at-checkpoint");
	copy_file(from, to);
	commit_upto(store, upto);
	return 0;
}

/* The same, but the checkpoint is the one that the start after a crash makes. */
static int commit_after_restart(const char *path, const struct store_options *options, uint64_t upto)
{
	struct store *store = open_store(path, options);
	char from[400], to[400];

	join(from, path, "data.mdb");
	join(to, path, "../at-checkpoint");
	copy_file(from, to);
	commit_upto(store, upto);
	return 0;
}

/* Of each page that was written since the checkpoint the disk has the old state, the new one, or half of it. */
static void lose_power(const char *path)
{
	char old_path[400], now_path[400], old[4096], now[4096];
	int old_fd, now_fd;
	ssize_t n;

	join(old_path, path, "../at-checkpoint");
	join(now_path, path, "data.mdb");
	old_fd = open(old_path, O_RDONLY);
	now_fd = open(now_path, O_RDWR);
	NEED(old_fd >= 0 && now_fd >= 0);
	for (off_t at = 0; (n = pread(now_fd, now, sizeof now, at)) > 0; at += n) {
		ssize_t had = pread(old_fd, old, sizeof old, at);
		size_t from = rnd(3) ? 0 : 512 * rnd(8), len = rnd(2) ? 0 : (size_t)n - from;

		NEED(had >= 0 && from <= (size_t)n);
		memset(old + had, 0, sizeof old - (size_t)had);
		memcpy(now + from, old + from, len);
		NEED(pwrite(now_fd, now, (size_t)n, at) == n);
	}
	close(old_fd);
	close(now_fd);
}

/* Number of rounds in which the store was not what it must be. */
static unsigned power_rounds(const char *path, unsigned rounds, bool after_restart)
{
	struct store_options options = plain_options();
	static unsigned boot = 1000;
	unsigned bad = 0;

	*acked = 0;
	options.relaxed = true;		/* the log is not what this is about */
	options.checkpoint_ms = 60000;
	options.checkpoint_bytes = 1 << 30;
	options.log_bytes = 64 << 20;
	set_boot(++boot);
	CHECK_INT(in_child(open_and_commit, path, &options, 60), 0);
	for (unsigned round = 0; round < rounds; round++) {
		rnd(7);
		if (after_restart)
			NEED(in_child(open_and_commit, path, &options, *acked + 20) == 0);
		NEED(in_child(after_restart ? commit_after_restart : commit_around_checkpoint, path, &options,
			      *acked + 50 + rnd(100)) == 0);
		lose_power(path);
		set_boot(++boot);
		if (in_child(open_and_check, path, &options, 0) != 0) {
			bad++;
			remove_folder(path);
			*acked = 0;
			NEED(in_child(open_and_commit, path, &options, 60) == 0);
		}
	}
	return bad;
}

static void test_power(void)
{
	int err, null = open("/dev/null", O_WRONLY);

	CHECK_INT(power_rounds(path_of("power"), 8, false), 0);
	CHECK_INT(power_rounds(path_of("power-after-crash"), 8, true), 0);
	/* Without the pin the same must fail, else this test sees nothing. What it prints then is of no use. */
	fflush(stderr);
	err = dup(2);
	NEED(err >= 0 && null >= 0 && dup2(null, 2) >= 0);
	setenv("FEATUREFS_TEST_NO_PIN", "1", 1);
	expects_damage = true;
	CHECK(power_rounds(path_of("no-pin"), 6, false) > 0);
	expects_damage = false;
	unsetenv("FEATUREFS_TEST_NO_PIN");
	NEED(dup2(err, 2) >= 0);
	close(err);
	close(null);
}

/* ---- the log's tail and its damage ---- */

struct place {
	char path[400];
	off_t offset;
	size_t len;
	uint64_t seq;
};

static uint64_t read_le(const char *p, unsigned bytes)
{
	uint64_t value = 0;

	while (bytes--)
		value = value << 8 | (uint8_t)p[bytes];
	return value;
}

/* Where record `seq` (0: the last one) stands, found by its looks. */
static struct place find_record(const char *path, uint64_t seq)
{
	struct place found = { .seq = 0 };
	char folder[400], *bytes;
	struct dirent *entry;
	struct stat st;
	DIR *dir;

	join(folder, path, "log");
	dir = opendir(folder);
	NEED(dir);
	while ((entry = readdir(dir))) {
		char file[700];
		int fd;

		snprintf(file, sizeof file, "%s/%s", folder, entry->d_name);
		fd = open(file, O_RDONLY);
		if (fd < 0 || !strstr(entry->d_name, ".log") || fstat(fd, &st) < 0) {
			close(fd);
			continue;
		}
		bytes = malloc((size_t)st.st_size);
		NEED(bytes && read(fd, bytes, (size_t)st.st_size) == st.st_size);
		for (off_t at = 4096; at + 40 < st.st_size; at += 8) {
			uint64_t this = read_le(bytes + at + 16, 8);

			if (memcmp(bytes + at + 8, "FLR1", 4) || (seq ? this != seq : this <= found.seq))
				continue;
			found = (struct place){ .offset = at, .len = 40 + read_le(bytes + at + 12, 4), .seq = this };
			snprintf(found.path, sizeof found.path, "%.399s", file);
		}
		free(bytes);
		close(fd);
	}
	closedir(dir);
	NEED(found.seq);
	return found;
}

static void spoil(const struct place *place, size_t at)
{
	int fd = open(place->path, O_RDWR);
	char byte;

	NEED(fd >= 0 && pread(fd, &byte, 1, place->offset + (off_t)at) == 1);
	byte = (char)~byte;
	NEED(pwrite(fd, &byte, 1, place->offset + (off_t)at) == 1);
	close(fd);
}

static int try_open(const char *path, const struct store_options *options, struct why *why)
{
	struct store *store;
	int rc = store_open(path, options, &store, why);

	if (rc == 0) {
		check_store(store);
		CHECK_INT(store_close(store), 0);
	}
	return rc;
}

static void test_log(void)
{
	struct store_options options = plain_options();
	const char *path = path_of("log");
	struct place place;
	struct why why;

	*acked = 0;
	options.checkpoint_ms = 60000;
	options.checkpoint_bytes = 1 << 30;
	set_boot(5000);
	CHECK_INT(in_child(open_and_commit, path, &options, 200), 0);
	place = find_record(path, 0);
	CHECK_INT(place.seq, 200);

	/* The map has what the log has lost: that can't be, in one boot. */
	spoil(&place, place.len - 1);
	CHECK_INT(try_open(path, &options, &why), -EBADMSG);
	CHECK(strstr(why.text, "the log is damaged"));
	spoil(&place, place.len - 1);

	/* Damage in the middle is told, in any boot, and nothing is changed by the attempt. */
	set_boot(5001);
	for (uint64_t seq = 3; seq < 200; seq += 40) {
		struct place middle = find_record(path, seq);

		spoil(&middle, 45 % middle.len);
		CHECK_INT(try_open(path, &options, &why), -EBADMSG);
		CHECK(strstr(why.text, "once durable"));
		spoil(&middle, 45 % middle.len);
	}

	/* A torn tail in another boot is cut: the commit was not acknowledged, as far as the disk knows. */
	spoil(&place, place.len - 1);
	*acked = 199;
	CHECK_INT(in_child(open_and_check, path, &options, 0), 0);
	*acked = 199;
	CHECK_INT(in_child(open_and_commit, path, &options, 230), 0);
	set_boot(5002);
	CHECK_INT(in_child(open_and_check, path, &options, 0), 0);
}

static int commit_postponed(const char *path, const struct store_options *options, uint64_t upto)
{
	help_postpones = true;
	return open_and_commit(path, options, upto);
}

/* What was written without sync may be lost from some commit on, but not from before a later one that synced. */
static void test_postponed(void)
{
	struct store_options options = plain_options();
	const char *path = path_of("postponed");
	struct place place;
	struct why why;

	*acked = 0;
	options.checkpoint_ms = 60000;
	options.checkpoint_bytes = 1 << 30;
	set_boot(6000);
	CHECK_INT(in_child(commit_postponed, path, &options, 219), 0);
	set_boot(6001);
	place = find_record(path, 215);
	spoil(&place, place.len - 1);
	*acked = 214;
	CHECK_INT(in_child(open_and_check, path, &options, 0), 0);

	set_boot(6002);
	*acked = 214;
	CHECK_INT(in_child(commit_postponed, path, &options, 221), 0);
	set_boot(6003);
	place = find_record(path, 217);
	spoil(&place, place.len - 1);
	CHECK_INT(try_open(path, &options, &why), -EBADMSG);
	CHECK(strstr(why.text, "once durable"));
}

/* A checkpoint's slot that is damaged later must not bring the older one back, whose pages are gone. */
static void test_checkpoint_damage(void)
{
	struct store_options options = plain_options();
	const char *path = path_of("slots");
	char file[400], page[4096], saved[4096];
	struct why why;
	int fd, damaged = 0;

	*acked = 0;
	options.checkpoint_ms = 60000;
	options.checkpoint_bytes = 1 << 30;
	options.log_bytes = 64 << 20;
	set_boot(6000);
	CHECK_INT(in_child(open_and_commit, path, &options, 30), 0);
	CHECK_INT(in_child(commit_around_checkpoint, path, &options, 100), 0);
	set_boot(6001);
	join(file, path, "checkpoint");
	fd = open(file, O_RDWR);
	NEED(fd >= 0);
	for (int slot = 0; slot < 2; slot++) {
		off_t at = slot * (4096 + 2 * 65536);

		NEED(pread(fd, page, sizeof page, at) == (ssize_t)sizeof page);
		memcpy(saved, page, sizeof page);
		page[100] ^= 1;
		NEED(pwrite(fd, page, sizeof page, at) == (ssize_t)sizeof page);
		/* The older slot's damage goes unseen: it is of no use any more. */
		if (slot == 0 || !damaged) {
			struct store *store;
			int rc = store_open(path, &options, &store, &why);

			if (rc < 0) {
				CHECK_INT(rc, -EBADMSG);
				CHECK(strstr(why.text, "checkpoint"));
				damaged++;
			} else {
				check_store(store);
				CHECK_INT(store_close(store), 0);
				break;
			}
		}
		NEED(pwrite(fd, saved, sizeof saved, at) == (ssize_t)sizeof saved);
	}
	close(fd);
	CHECK(damaged <= 1);
}

/* ---- a map whose sync failed ---- */

/* What the store writes then: open, and no boot. */
static void mark_suspect(const char *path)
{
	int dir = open(path, O_RDONLY | O_DIRECTORY);
	struct buf content = { 0 };
	struct slots state;

	NEED(dir >= 0 && slots_open(dir, "state", SLOTS_SMALL, true, &state, &content) == 0 && content.len > 16);
	memset(content.data + 16, 0, content.len - 16);
	NEED(slots_write(&state, buf_slice(&content)) == 0);
	slots_close(&state);
	buf_release(&content);
	close(dir);
}

/* In the same boot the map goes back to its checkpoint, but never under a reader that still maps it. */
static void test_suspect(void)
{
	struct store_options options = plain_options();
	const char *path = path_of("suspect");
	struct store_figures figures;
	struct store *store;
	struct why why;
	int ready[2], go[2], status;
	char byte, pid_text[40];
	pid_t pid;

	*acked = 0;
	options.checkpoint_ms = 60000;
	options.checkpoint_bytes = 1 << 30;
	set_boot(7000);
	CHECK_INT(in_child(open_and_commit, path, &options, 80), 0);
	NEED(pipe(ready) == 0 && pipe(go) == 0);
	pid = fork();
	NEED(pid >= 0);
	if (pid == 0) {
		close(go[1]);
		NEED(store_open_reader(path, &store, &why) == 0 && write(ready[1], "", 1) == 1);
		NEED(read(go[0], &byte, 1) == 0);
		_exit(store_close(store) != 0);
	}
	NEED(read(ready[0], &byte, 1) == 1);
	mark_suspect(path);
	CHECK_INT(store_open(path, &options, &store, &why), -EBUSY);
	snprintf(pid_text, sizeof pid_text, "process %ld", (long)pid);
	CHECK(strstr(why.text, pid_text));
	close(go[1]);
	NEED(waitpid(pid, &status, 0) == pid);
	CHECK_INT(status, 0);
	store = open_store(path, &options);
	store_figures(store, &figures);
	CHECK(figures.after_power_loss);
	CHECK_INT(figures.last_seq, 80);
	CHECK_INT(figures.replayed, 80);
	check_store(store);
	CHECK_INT(store_close(store), 0);
}

int main(void)
{
	acked = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	NEED(acked != MAP_FAILED);
	path_of("");
	test_kill(false);
	test_kill(true);
	test_small_map();
	test_power();
	test_log();
	test_postponed();
	test_checkpoint_damage();
	test_suspect();
	return test_end("recover");
}
