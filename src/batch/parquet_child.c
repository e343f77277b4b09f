/* SPDX-License-Identifier: MIT */
/*
 * Starting, hearing and ending featurefs-parquet. It is found beside this program or in ../lib/featurefs, never by a search path, and gets
 * nothing but four descriptors and the size of its memory: no environment, no others' descriptors, default signals.
 */
#include "batch/parquet_child.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char program_name[] = "featurefs-parquet";
enum {
	RING_SHARE = 8,			/* so much of its memory goes to the ring, */
	RING_TIMES = 4,			/* and not more than so many times the file */
};
static const int silence_ms = 10 * 60 * 1000;	/* a batch is some megabytes: whatever says nothing for so long is stuck */

/* ---- finding ---- */

static bool try_program(char *path, size_t size, const char *folder, const char *below)
{
	int n = snprintf(path, size, "%s/%s%s", folder, below, program_name);

	return n > 0 && (size_t)n < size && access(path, X_OK) == 0;
}

static int find_program(const char *folder, char *path, size_t size, struct why *why)
{
	char own[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", own, sizeof own - 1);
	char *slash;

	own[n > 0 ? n : 0] = '\0';
	slash = strrchr(own, '/');
	if (slash)
		*slash = '\0';
	if (folder ? try_program(path, size, folder, "") :
	    try_program(path, size, own, "") || try_program(path, size, own, "../lib/featurefs/"))
		return 0;
	return why_fail(why, ENOTSUP, "%s is not in %s%s, and Parquet can't be read without it: 'make install' puts it there", program_name,
			folder ? folder : own, folder ? "" : " nor in ../lib/featurefs");
}

/* ---- starting ---- */

/* A copy that is out of the way of the descriptors that the process will have. */
static int move_up(int *fd)
{
	int up = fcntl(*fd, F_DUPFD_CLOEXEC, WIRE_RING_FD + 1);

	if (up < 0)
		return -errno;
	close(*fd);
	*fd = up;
	return 0;
}

static int move_pair_up(int out[2])
{
	int rc = move_up(&out[0]);
	return rc < 0 ? rc : move_up(&out[1]);
}

static void close_pair(int pair[2])
{
	for (unsigned i = 0; i < 2; i++)
		if (pair[i] >= 0)
			close(pair[i]);
}

static size_t choose_ring(int file_fd, size_t memory_bytes)
{
	size_t size = memory_bytes / RING_SHARE < WIRE_RING_MAX ? memory_bytes / RING_SHARE : WIRE_RING_MAX;
	struct stat st;

	if (fstat(file_fd, &st) == 0 && (uint64_t)st.st_size < size / RING_TIMES)
		size = (size_t)st.st_size * RING_TIMES;
	return (size < WIRE_RING_MIN ? WIRE_RING_MIN : size) / 4096 * 4096;
}

/* Memory whose size nobody can change any more, for a mapping must not end under its reader's feet. Returns its descriptor; -1, and all goes
 * through the pipe. */
static int make_ring(struct parquet_child *child, size_t size)
{
	int fd = memfd_create(program_name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *ring = MAP_FAILED;

	if (fd >= 0 && move_up(&fd) == 0 && ftruncate(fd, (off_t)size) == 0 &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
		ring = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	if (ring == MAP_FAILED) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	child->ring = ring;
	child->ring_size = size;
	return fd;
}

static int set_descriptors(posix_spawn_file_actions_t *actions, int in, int out, int file, int ring)
{
	int rc = posix_spawn_file_actions_adddup2(actions, in, STDIN_FILENO);

	if (rc == 0)
		rc = posix_spawn_file_actions_adddup2(actions, out, STDOUT_FILENO);
	if (rc == 0)
		rc = posix_spawn_file_actions_addopen(actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	if (rc == 0)
		rc = posix_spawn_file_actions_adddup2(actions, file, WIRE_FILE_FD);
	if (rc == 0 && ring >= 0)
		rc = posix_spawn_file_actions_adddup2(actions, ring, WIRE_RING_FD);
	if (rc == 0)
		rc = posix_spawn_file_actions_addclosefrom_np(actions, ring < 0 ? WIRE_RING_FD : WIRE_RING_FD + 1);
	return -rc;
}

static int set_signals(posix_spawnattr_t *attr)
{
	sigset_t none, all;
	int rc;

	sigemptyset(&none);
	sigfillset(&all);
	rc = posix_spawnattr_setsigmask(attr, &none);
	if (rc == 0)
		rc = posix_spawnattr_setsigdefault(attr, &all);
	/* A group of its own, so that an interrupt from the terminal ends the daemon in its order. */
	if (rc == 0)
		rc = posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
	return -rc;
}

static int spawn(const char *path, int in, int out, int file, int ring, size_t memory_bytes, pid_t *out_pid)
{
	char memory[32], name[] = "featurefs-parquet";
	char *argv[] = { name, memory, NULL }, *envp[] = { NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	int rc;

	snprintf(memory, sizeof memory, "%zu", memory_bytes);
	if (posix_spawn_file_actions_init(&actions))
		return -ENOMEM;
	if (posix_spawnattr_init(&attr)) {
		posix_spawn_file_actions_destroy(&actions);
		return -ENOMEM;
	}
	rc = set_descriptors(&actions, in, out, file, ring);
	if (rc == 0)
		rc = set_signals(&attr);
	if (rc == 0)
		rc = -posix_spawn(out_pid, path, &actions, &attr, argv, envp);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	return rc;
}

int parquet_child_start(struct parquet_child *child, int file_fd, const char *folder, size_t memory_bytes, struct why *why)
{
	int to[2] = { -1, -1 }, from[2] = { -1, -1 }, file = fcntl(file_fd, F_DUPFD_CLOEXEC, WIRE_RING_FD + 1), ring = -1, rc;
	size_t ring_size = choose_ring(file_fd, memory_bytes);
	char path[PATH_MAX + 64];

	*child = (struct parquet_child){ .in = -1, .out = -1 };
	rc = file < 0 ? -errno : find_program(folder, path, sizeof path, why);
	if (rc < 0)
		goto out;
	/* A socket to it, for a write to one whose other end is gone need not be a signal. */
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, to) < 0 || pipe2(from, O_CLOEXEC) < 0)
		rc = -errno;
	if (rc == 0)
		rc = move_pair_up(to);
	if (rc == 0)
		rc = move_pair_up(from);
	if (rc == 0)
		ring = make_ring(child, ring_size);
	if (rc == 0)
		rc = spawn(path, to[0], from[1], file, ring, memory_bytes > 2 * ring_size ? memory_bytes - ring_size : memory_bytes, &child->pid);
	if (rc < 0) {
		why_fail(why, -rc, "%s can't be started: %s", path, strerror(-rc));
		goto out;
	}
	fcntl(from[0], F_SETPIPE_SZ, 1 << 20);	/* for what is too large for the ring; where that is too much, the usual 64 KiB do */
#ifdef MADV_POPULATE_READ
	if (child->ring)
		madvise(child->ring, ring_size, MADV_POPULATE_READ);	/* while it starts; else it would wait for each page */
#endif
	child->in = to[1];
	child->out = from[0];
	to[1] = from[0] = -1;
out:
	close_pair(to);
	close_pair(from);
	if (file >= 0)
		close(file);
	if (ring >= 0)
		close(ring);
	return rc;
}

void parquet_child_stop(struct parquet_child *child)
{
	if (child->in >= 0)
		close(child->in);
	if (child->out >= 0)
		close(child->out);
	if (child->pid > 0) {
		kill(child->pid, SIGKILL);
		while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	if (child->ring)
		munmap(child->ring, child->ring_size);
	*child = (struct parquet_child){ .in = -1, .out = -1 };
}

/* ---- talking ---- */

/* It closed its end without a word: how did it end? */
static int tell_end(struct parquet_child *child, struct why *why)
{
	int status = 0;
	pid_t pid;

	do
		pid = waitpid(child->pid, &status, 0);
	while (pid < 0 && errno == EINTR);
	child->pid = 0;
	if (pid > 0 && WIFSIGNALED(status))
		return why_fail(why, EINVAL, "the reader of Parquet was ended by signal %d (%s): the file is damaged, or its memory was too small",
				WTERMSIG(status), strsignal(WTERMSIG(status)));
	return why_fail(why, EINVAL, "the reader of Parquet ended with %d and no reason", pid > 0 ? WEXITSTATUS(status) : -1);
}

static int read_exact(struct parquet_child *child, void *to, size_t len, struct why *why)
{
	char *p = to;

	while (len) {
		struct pollfd poller = { .fd = child->out, .events = POLLIN };
		ssize_t n;

		if (poll(&poller, 1, silence_ms) == 0)
			return why_fail(why, ETIMEDOUT, "the reader of Parquet has said nothing for ten minutes");
		n = read(child->out, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return why_fail(why, errno, "the reader of Parquet can't be heard: %s", strerror(errno));
		if (n == 0)
			return tell_end(child, why);
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int parquet_child_write(struct parquet_child *child, const struct buf *frame, struct why *why)
{
	size_t at = 0;

	while (at < frame->len) {
		ssize_t n = send(child->in, frame->data + at, frame->len - at, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return tell_end(child, why);
		at += (size_t)n;
	}
	return 0;
}

static int refuse_words(struct why *why)
{
	return why_fail(why, EINVAL, "the reader of Parquet says what no reader says: are its version and ours the same?");
}

/* Such words are few and short, so there is always room for them. One that is gone is found out when it is read from. */
static void tell_position(struct parquet_child *child, uint64_t position)
{
	uint64_t said = htole64(position);

	if (position - child->told < child->ring_size / 8)
		return;
	child->told = position;
	while (send(child->in, &said, sizeof said, MSG_NOSIGNAL) < 0 && errno == EINTR)
		;
}

/* In place of its position and length, which are in `out`, the piece itself: nobody can change what is copied while it is judged. */
static int fetch_piece(struct parquet_child *child, struct buf *out, struct why *why)
{
	uint64_t position;
	uint32_t len;
	size_t offset;
	char *place;

	if (!child->ring || out->len != sizeof position + sizeof len)
		return refuse_words(why);
	memcpy(&position, out->data, sizeof position);
	memcpy(&len, out->data + sizeof position, sizeof len);
	position = le64toh(position);
	len = le32toh(len);
	offset = (size_t)(position % child->ring_size);
	if (len > wire_ring_piece(child->ring_size) || len > child->ring_size - offset)
		return refuse_words(why);
	buf_reset(out);
	place = buf_reserve(out, len);
	if (!place)
		return -ENOMEM;
	memcpy(place, child->ring + offset, len);
	out->len = len;
	tell_position(child, wire_ring_next(position, len));
	return 0;
}

int parquet_child_read(struct parquet_child *child, uint32_t *out_kind, struct buf *out, struct why *why)
{
	uint32_t head[2], len;
	char *place;
	int rc = read_exact(child, head, sizeof head, why);

	if (rc < 0)
		return rc;
	*out_kind = le32toh(head[0]);
	len = le32toh(head[1]);
	if (len > WIRE_FRAME_MAX || *out_kind < WIRE_HEADER || *out_kind > WIRE_PLACED)
		return refuse_words(why);
	buf_reset(out);
	place = buf_reserve(out, len);
	if (!place)
		return -ENOMEM;
	rc = read_exact(child, place, len, why);
	if (rc < 0)
		return rc;
	out->len = len;
	if (*out_kind == WIRE_PLACED) {
		*out_kind = WIRE_BATCH;
		return fetch_piece(child, out, why);
	}
	if (*out_kind == WIRE_FAILED)
		return why_fail(why, EINVAL, "%.*s", (int)(len < 300 ? len : 300), place);
	return 0;
}

