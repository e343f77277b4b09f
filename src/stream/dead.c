/* SPDX-License-Identifier: MIT */
/*
 * The files of dead letters, STORE/dead/<group id>/<stream>, and <stream>.1 with the older ones: JSON Lines, appended to; when the newer is full
 * it takes the older one's place. A letter is written and synced before the commit that counts it and moves the position past its message.
 * A crash in between leaves a letter that nobody has counted, of a message that will come again: dead_prune takes such letters out before
 * the lane begins, so that each dead message has one letter.
 *
 * What is being replayed is set aside as <stream>.replay.
 */
#include "stream/private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char older[] = ".1", aside[] = ".replay", half_made[] = ".new";

struct file_name {
	char text[128];
};

static struct file_name name_of(const struct dead *dead, const char *suffix)
{
	struct file_name name;

	snprintf(name.text, sizeof name.text, "%s%s", dead->name, suffix);
	return name;
}

void dead_init(struct dead *dead, int root_fd, uint32_t group_id, const char *stream, uint64_t limit, bool relaxed)
{
	*dead = (struct dead){ .root_fd = root_fd, .dir_fd = -1, .group_id = group_id, .limit = limit, .relaxed = relaxed, .fd = -1 };
	snprintf(dead->name, sizeof dead->name, "%s", stream);
}

static void close_file(struct dead *dead)
{
	if (dead->fd >= 0)
		close(dead->fd);
	dead->fd = -1;
}

void dead_release(struct dead *dead)
{
	close_file(dead);
	if (dead->dir_fd >= 0)
		close(dead->dir_fd);
	dead->dir_fd = -1;
	buf_release(&dead->line);
}

/* -ENOENT if it is not there and is not to be made. */
static int open_dir(struct dead *dead, bool may_make)
{
	char name[16];

	if (dead->dir_fd >= 0)
		return 0;
	snprintf(name, sizeof name, "%u", dead->group_id);
	if (may_make && mkdirat(dead->root_fd, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	dead->dir_fd = openat(dead->root_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (dead->dir_fd < 0)
		return -errno;
	if (may_make && !dead->relaxed && fsync(dead->root_fd) < 0)
		return -errno;
	return 0;
}

static int open_file(struct dead *dead)
{
	struct stat st;
	int rc;

	if (dead->fd >= 0)
		return 0;
	rc = open_dir(dead, true);
	if (rc < 0)
		return rc;
	dead->fd = openat(dead->dir_fd, dead->name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (dead->fd < 0 || fstat(dead->fd, &st) < 0) {
		rc = -errno;
		close_file(dead);
		return rc;
	}
	dead->size = (uint64_t)st.st_size;
	return dead->relaxed || fsync(dead->dir_fd) == 0 ? 0 : -errno;
}

static int rotate(struct dead *dead)
{
	struct file_name to = name_of(dead, older);
	int rc = dead_sync(dead);
	struct stat st;

	close_file(dead);
	if (rc == 0 && fstatat(dead->dir_fd, to.text, &st, AT_SYMLINK_NOFOLLOW) == 0)
		dead->dropped += (uint64_t)st.st_size;
	if (rc == 0 && renameat(dead->dir_fd, dead->name, dead->dir_fd, to.text) < 0)
		rc = -errno;
	return rc < 0 ? rc : open_file(dead);
}

static int append(struct dead *dead)
{
	size_t done = 0;

	while (done < dead->line.len) {
		ssize_t n = write(dead->fd, dead->line.data + done, dead->line.len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int rc = -errno;

			/* Half a line would be no letter. */
			if (ftruncate(dead->fd, (off_t)dead->size) < 0)
				close_file(dead);
			return rc;
		}
		done += (size_t)n;
	}
	dead->size += done;
	dead->is_dirty = true;
	return 0;
}

int dead_write(struct dead *dead, const struct letter *letter)
{
	uint64_t half = dead->limit / 2;
	int rc = open_file(dead);

	if (rc < 0)
		return rc;
	buf_reset(&dead->line);
	letter_print(letter, (size_t)half, &dead->line);
	rc = buf_error(&dead->line);
	if (rc == 0 && dead->size && dead->size + dead->line.len > half)
		rc = rotate(dead);
	return rc < 0 ? rc : append(dead);
}

int dead_sync(struct dead *dead)
{
	if (!dead->is_dirty || dead->fd < 0)
		return 0;
	if (!dead->relaxed && fdatasync(dead->fd) < 0)
		return -errno;
	dead->is_dirty = false;
	return 0;
}

/* ---- pruning ---- */

struct prune {
	bool (*is_stale)(void *arg, int32_t partition, int64_t offset, int64_t replay);
	void *arg;
};

/* Is the line a letter that counts? Half a line, at the end, is none. */
static bool is_kept(const struct prune *prune, const char *line, size_t len)
{
	int64_t offset, replay;
	int32_t partition;

	if (len == 0 || line[len - 1] != '\n')
		return false;
	if (letter_place(slice_of(line, len - 1), &partition, &offset, &replay) < 0)
		return true;		/* somebody's own line: it is not ours to throw away */
	return !prune->is_stale(prune->arg, partition, offset, replay);
}

/* Copies what is kept; *out_dropped tells how many lines are not. */
static int copy_kept(FILE *from, FILE *to, const struct prune *prune, size_t *out_dropped)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t len;
	int rc = 0;

	*out_dropped = 0;
	while (rc == 0 && (len = getline(&line, &cap, from)) > 0) {
		if (!is_kept(prune, line, (size_t)len))
			(*out_dropped)++;
		else if (to && fwrite(line, 1, (size_t)len, to) != (size_t)len)
			rc = -EIO;
	}
	if (rc == 0 && ferror(from))
		rc = -EIO;
	free(line);
	return rc;
}

static int rewrite(struct dead *dead, FILE *from, const char *name, const struct prune *prune)
{
	struct file_name half = name_of(dead, half_made);
	int fd = openat(dead->dir_fd, half.text, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	FILE *to = fd >= 0 ? fdopen(fd, "w") : NULL;
	size_t dropped;
	int rc;

	if (!to) {
		rc = -errno;
		if (fd >= 0)
			close(fd);
		return rc;
	}
	rewind(from);
	rc = copy_kept(from, to, prune, &dropped);
	if (rc == 0 && (fflush(to) != 0 || fsync(fd) < 0))
		rc = -errno;
	fclose(to);
	if (rc == 0 && renameat(dead->dir_fd, half.text, dead->dir_fd, name) < 0)
		rc = -errno;
	if (rc < 0)
		unlinkat(dead->dir_fd, half.text, 0);
	return rc;
}

static int prune_file(struct dead *dead, const char *name, const struct prune *prune)
{
	int fd = openat(dead->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), rc;
	FILE *from = fd >= 0 ? fdopen(fd, "r") : NULL;
	size_t dropped;

	if (!from) {
		rc = -errno;
		if (fd >= 0)
			close(fd);
		return rc == -ENOENT ? 0 : rc;
	}
	rc = copy_kept(from, NULL, prune, &dropped);
	if (rc == 0 && dropped)
		rc = rewrite(dead, from, name, prune);
	fclose(from);
	return rc;
}

int dead_prune(struct dead *dead, bool (*is_stale)(void *arg, int32_t partition, int64_t offset, int64_t replay), void *arg)
{
	const struct prune prune = { is_stale, arg };
	int rc = open_dir(dead, false);

	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	close_file(dead);
	rc = prune_file(dead, name_of(dead, older).text, &prune);
	return rc < 0 ? rc : prune_file(dead, dead->name, &prune);
}

/* ---- replaying ---- */

int dead_set_aside(struct dead *dead, bool is_older)
{
	struct file_name from = name_of(dead, is_older ? older : ""), to = name_of(dead, aside);
	int rc = open_dir(dead, false);

	if (rc == 0)
		rc = dead_sync(dead);
	if (rc < 0)
		return rc;
	if (!is_older)
		close_file(dead);
	if (renameat(dead->dir_fd, from.text, dead->dir_fd, to.text) < 0)
		return -errno;
	return dead->relaxed || fsync(dead->dir_fd) == 0 ? 0 : -errno;
}

int dead_open_aside(struct dead *dead, int *out_fd)
{
	int rc = open_dir(dead, false);

	if (rc < 0)
		return rc;
	*out_fd = openat(dead->dir_fd, name_of(dead, aside).text, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return *out_fd < 0 ? -errno : 0;
}

int dead_remove_aside(struct dead *dead)
{
	return unlinkat(dead->dir_fd, name_of(dead, aside).text, 0) < 0 ? -errno : 0;
}

uint64_t dead_bytes(struct dead *dead)
{
	uint64_t bytes = 0;
	struct stat st;

	if (open_dir(dead, false) < 0)
		return 0;
	if (fstatat(dead->dir_fd, dead->name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		bytes += (uint64_t)st.st_size;
	if (fstatat(dead->dir_fd, name_of(dead, older).text, &st, AT_SYMLINK_NOFOLLOW) == 0)
		bytes += (uint64_t)st.st_size;
	return bytes;
}
