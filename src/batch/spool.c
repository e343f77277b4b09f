/* SPDX-License-Identifier: MIT */
/*
 * The spool's names. STORE/spool holds a folder for each group that something was dropped into:
 *
 *	GROUP/in/...			what .import shows: the names as they were dropped
 *	GROUP/jobs/ID/data/...		the files of a job, as links to what was dropped
 *	GROUP/jobs/ID/status, rejects	its report
 *	boot				the boot in which all of this was last in use
 *
 * A job holds its files by links of its own: they are whole and nobody writes to them any more (what is dropped anew under the same name
 * is another file), so a load never sees half of the next drop, and renaming or replacing a name needs no care for jobs.
 *
 * The names below `in` come from outside. Every path is opened with RESOLVE_BENEATH and without following links, though nobody can make a
 * link there: whatever a name is, it stays inside.
 */
#include "batch/private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/num.h"
#include "base/text.h"

static int open_beneath(int dir_fd, const char *path, int flags, mode_t mode)
{
	struct open_how how = {
		.flags = (uint64_t)(flags | O_CLOEXEC | O_NOFOLLOW),
		.mode = flags & O_CREAT ? mode : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long fd = syscall(SYS_openat2, dir_fd, *path ? path : ".", &how, sizeof how);

	return fd < 0 ? -errno : (int)fd;
}

/* ---- names ---- */

static int check_name(const char *name, size_t len)
{
	if (len == 0 || (len <= 2 && !strncmp(name, "..", len)))
		return -EINVAL;
	if (len > BATCH_NAME_MAX)
		return -ENAMETOOLONG;
	for (size_t i = 0; i < len; i++)	/* reports are lines of text */
		if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
			return -EINVAL;
	return text_is_utf8(slice_of(name, len)) ? 0 : -EILSEQ;
}

int spool_check_path(const char *path)
{
	unsigned depth = 0;
	int rc = 0;

	if (strlen(path) >= BATCH_PATH_MAX)
		return -ENAMETOOLONG;
	if (slice_equal(spool_top(path), slice_str(BATCH_REPORTS)))
		return -EPERM;
	while (rc == 0 && *path) {
		size_t len = strcspn(path, "/");

		rc = ++depth > BATCH_DEPTH_MAX ? -ENAMETOOLONG : check_name(path, len);
		path += len + (path[len] == '/');
	}
	return rc;
}

bool spool_is_ignored_path(const char *path)
{
	for (; *path; path += strcspn(path, "/"), path += *path == '/')
		if (spool_is_ignored(path))
			return true;
	return false;
}

struct slice spool_top(const char *path)
{
	return slice_of(path, strcspn(path, "/"));
}

unsigned spool_marks(const struct stat *st)
{
	return st->st_mode & (MARK_CLOSED | MARK_RENAMED | MARK_SEALED | MARK_LOADED | MARK_BROKEN);
}

/* ---- opening ---- */

int spool_open_folder(struct batch *batch, uint32_t group_id, const char *folder)
{
	char path[SPOOL_PATH_MAX];

	snprintf(path, sizeof path, "%u/%s", group_id, folder);
	return open_beneath(batch->fd, path, O_RDONLY | O_DIRECTORY, 0);
}

int spool_open(struct batch *batch, uint32_t group_id, const char *path, int flags)
{
	int dir_fd = spool_open_folder(batch, group_id, "in"), fd;

	if (dir_fd < 0)
		return dir_fd;
	fd = open_beneath(dir_fd, path, flags, SPOOL_MODE);
	close(dir_fd);
	return fd;
}

int spool_open_parent(struct batch *batch, uint32_t group_id, const char *path, const char **out_name)
{
	const char *slash = strrchr(path, '/');
	char dir[BATCH_PATH_MAX] = "";

	if (slash)
		memcpy(dir, path, (size_t)(slash - path));
	dir[slash ? slash - path : 0] = '\0';
	*out_name = slash ? slash + 1 : path;
	return spool_open(batch, group_id, dir, O_RDONLY | O_DIRECTORY);
}

int spool_make_group(struct batch *batch, uint32_t group_id)
{
	static const char *const folders[] = { "", "/in", "/jobs" };
	char path[64];

	for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
		snprintf(path, sizeof path, "%u%s", group_id, folders[i]);
		if (mkdirat(batch->fd, path, 0700) < 0 && errno != EEXIST)
			return -errno;
	}
	return 0;
}

/* ---- looking ---- */

int spool_stat(struct batch *batch, uint32_t group_id, const char *path, struct stat *out)
{
	int fd = spool_open(batch, group_id, path, O_PATH), rc = 0;

	if (fd < 0)
		return fd;
	if (fstat(fd, out) < 0)
		rc = -errno;
	close(fd);
	return rc;
}

void spool_fill_stat(const struct stat *st, struct batch_stat *out)
{
	*out = (struct batch_stat){
		.is_dir = S_ISDIR(st->st_mode), .number = st->st_ino, .size = (uint64_t)st->st_size, .blocks = (uint64_t)st->st_blocks,
		.mtime_ns = clock_from_timespec(&st->st_mtim), .ctime_ns = clock_from_timespec(&st->st_ctim),
	};
}

int batch_stat(struct batch *batch, uint32_t group_id, const char *path, struct batch_stat *out)
{
	struct stat st;
	int rc = strlen(path) < BATCH_PATH_MAX ? spool_stat(batch, group_id, path, &st) : -ENAMETOOLONG;

	if (rc == -ENOENT && !*path) {
		*out = (struct batch_stat){ .is_dir = true };
		return 0;
	}
	if (rc == 0)
		spool_fill_stat(&st, out);
	return rc;
}

int batch_open_dir(struct batch *batch, uint32_t group_id, const char *path, int *out_fd)
{
	int fd = spool_open(batch, group_id, path, O_RDONLY | O_DIRECTORY);

	if (fd < 0)
		return fd;
	*out_fd = fd;
	return 0;
}

/* ---- walking ---- */

/* The names of a directory, each with its NUL; they may change while its tree is worked on. */
static int read_names(int dir_fd, struct buf *out)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!dir) {
		int err = errno;

		if (fd >= 0)
			close(fd);
		return -err;
	}
	while ((entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			buf_append(out, entry->d_name, strlen(entry->d_name) + 1);
	closedir(dir);
	return buf_error(out);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Pointers to the names, in their order. */
static char **sort_names(struct buf *names, size_t *out_n)
{
	size_t n = 0;
	char **list;

	for (size_t i = 0; i < names->len; i += strlen(names->data + i) + 1)
		n++;
	list = malloc((n + 1) * sizeof *list);
	if (!list)
		return NULL;
	n = 0;
	for (size_t i = 0; i < names->len; i += strlen(names->data + i) + 1)
		list[n++] = names->data + i;
	qsort(list, n, sizeof *list, compare_names);
	*out_n = n;
	return list;
}

static int walk(int dir_fd, char path[SPOOL_PATH_MAX], unsigned depth, struct spool_visit *visit);

static int walk_one(int dir_fd, const char *name, char path[SPOOL_PATH_MAX], unsigned depth, struct spool_visit *visit)
{
	size_t len = strlen(path);
	struct stat st;
	int rc = 0, fd;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (len + strlen(name) + 2 > SPOOL_PATH_MAX || depth > BATCH_DEPTH_MAX + 1)
		return -ENAMETOOLONG;
	snprintf(path + len, SPOOL_PATH_MAX - len, "%s%s", len ? "/" : "", name);
	if (S_ISDIR(st.st_mode)) {
		fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		rc = fd < 0 ? -errno : walk(fd, path, depth + 1, visit);
		if (fd >= 0)
			close(fd);
	}
	if (rc == 0)
		rc = visit->visit(visit, dir_fd, name, path, &st);
	path[len] = '\0';
	return rc;
}

static int walk(int dir_fd, char path[SPOOL_PATH_MAX], unsigned depth, struct spool_visit *visit)
{
	struct buf names = { 0 };
	char **list = NULL;
	size_t n = 0;
	int rc = read_names(dir_fd, &names);

	if (rc == 0) {
		list = sort_names(&names, &n);
		rc = list ? 0 : -ENOMEM;
	}
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = walk_one(dir_fd, list[i], path, depth, visit);
	free(list);
	buf_release(&names);
	return rc;
}

int spool_walk(int dir_fd, struct spool_visit *visit)
{
	char path[SPOOL_PATH_MAX] = "";

	return walk(dir_fd, path, 0, visit);
}

static int remove_one(struct spool_visit *visit, int dir_fd, const char *name, const char *path, const struct stat *st)
{
	(void)visit;
	(void)path;
	if (unlinkat(dir_fd, name, S_ISDIR(st->st_mode) ? AT_REMOVEDIR : 0) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

int spool_remove(int dir_fd, const char *name)
{
	struct spool_visit visit = { .visit = remove_one };
	int fd, rc = 0;

	if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
		return 0;
	fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	rc = spool_walk(fd, &visit);
	close(fd);
	if (rc == 0 && unlinkat(dir_fd, name, AT_REMOVEDIR) < 0)
		rc = -errno;
	return rc;
}

int spool_list_groups(struct batch *batch, struct buf *out)
{
	struct buf names = { 0 };
	uint64_t id;
	int rc = read_names(batch->fd, &names);

	for (size_t i = 0; rc == 0 && i < names.len; i += strlen(names.data + i) + 1)
		if (num_parse_u64(slice_str(names.data + i), &id) == 0 && id <= UINT32_MAX)
			buf_append(out, &id, sizeof id);
	buf_release(&names);
	return rc < 0 ? rc : buf_error(out);
}

/* ---- changes of names ---- */

int batch_mkdir(struct batch *batch, uint32_t group_id, const char *path)
{
	const char *name;
	int fd, rc = spool_check_path(path);

	if (rc == 0)
		rc = file_count(batch);
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&batch->lock);
	rc = spool_make_group(batch, group_id);
	fd = rc < 0 ? rc : spool_open_parent(batch, group_id, path, &name);
	if (fd < 0)
		rc = fd;
	else if (mkdirat(fd, name, 0700) < 0)
		rc = -errno;
	if (fd >= 0)
		close(fd);
	pthread_mutex_unlock(&batch->lock);
	if (rc < 0)
		atomic_fetch_sub(&batch->files, 1);
	return rc;
}

int batch_rmdir(struct batch *batch, uint32_t group_id, const char *path)
{
	const char *name;
	int fd, rc = spool_check_path(path);

	if (rc < 0)
		return rc;
	pthread_mutex_lock(&batch->lock);
	fd = spool_open_parent(batch, group_id, path, &name);
	if (fd < 0)
		rc = fd;
	else if (unlinkat(fd, name, AT_REMOVEDIR) < 0)
		rc = errno == EEXIST ? -ENOTEMPTY : -errno;
	if (fd >= 0)
		close(fd);
	if (rc == 0)
		atomic_fetch_sub(&batch->files, 1);
	pthread_mutex_unlock(&batch->lock);
	return rc;
}

static void forget_pending(struct batch *batch, uint32_t group_id, const char *path)
{
	struct drop *drop = strchr(path, '/') ? NULL : drop_find_locked(batch, group_id, spool_top(path));

	if (drop)
		drop_forget_pending_locked(batch, drop);
}

int batch_unlink(struct batch *batch, uint32_t group_id, const char *path)
{
	const char *name;
	struct stat st;
	int fd, rc = spool_check_path(path);

	if (rc < 0)
		return rc;
	pthread_mutex_lock(&batch->lock);
	fd = spool_open_parent(batch, group_id, path, &name);
	if (fd < 0)
		rc = fd;
	else if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || unlinkat(fd, name, 0) < 0)
		rc = -errno;
	if (fd >= 0)
		close(fd);
	if (rc == 0) {
		file_forget_name(batch, &st);
		forget_pending(batch, group_id, path);
		if ((spool_marks(&st) & (MARK_SEALED | MARK_LOADED)) == MARK_SEALED)
			batch_job_cancel_locked(batch, group_id, spool_top(path), st.st_ino);
	}
	pthread_mutex_unlock(&batch->lock);
	return rc;
}

/* What a rename has brought to its place. [L] */
static void moved(struct batch *batch, uint32_t group_id, const char *path, int dir_fd, const char *name, const struct stat *st)
{
	struct writer *writer;

	if (S_ISDIR(st->st_mode)) {
		drop_signed_locked(batch, group_id, path);
		return;
	}
	writer = file_find_writer(batch, st->st_ino);
	if (writer)
		drop_move_writer_locked(batch, writer, group_id, path);
	if ((spool_marks(st) & MARK_SEALED) || (writer && !writer->is_marked))
		return;
	if (fchmodat(dir_fd, name, SPOOL_MODE | MARK_RENAMED | MARK_CLOSED | (spool_marks(st) & MARK_BROKEN), 0) < 0)
		return;
	/* A writer that has closed it is a last handle of which the kernel has yet to tell, and the drop comes with that; whole it is already. */
	if (writer)
		drop_closed_locked(batch, group_id, path);
	else
		drop_came_locked(batch, group_id, path, true, false);
}

static int rename_locked(struct batch *batch, uint32_t group_id, const char *from, const char *to, bool no_replace)
{
	const char *from_name, *to_name;
	int from_fd = spool_open_parent(batch, group_id, from, &from_name), to_fd = -1, rc = 0;
	struct stat st, replaced;
	bool has_replaced;

	if (from_fd < 0)
		return from_fd;
	to_fd = spool_open_parent(batch, group_id, to, &to_name);
	if (to_fd < 0) {
		rc = to_fd;
		goto out;
	}
	if (fstatat(from_fd, from_name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		rc = -errno;
		goto out;
	}
	has_replaced = fstatat(to_fd, to_name, &replaced, AT_SYMLINK_NOFOLLOW) == 0 && replaced.st_ino != st.st_ino;
	if (renameat2(from_fd, from_name, to_fd, to_name, no_replace ? 1 : 0) < 0) {
		rc = -errno;
		goto out;
	}
	if (has_replaced && S_ISREG(replaced.st_mode))
		file_forget_name(batch, &replaced);
	else if (has_replaced)
		atomic_fetch_sub(&batch->files, 1);
	forget_pending(batch, group_id, from);
	if (strcmp(from, to))
		moved(batch, group_id, to, to_fd, to_name, &st);
out:
	if (to_fd >= 0)
		close(to_fd);
	close(from_fd);
	return rc;
}

int batch_rename(struct batch *batch, uint32_t group_id, const char *from, const char *to, bool no_replace)
{
	int rc = spool_check_path(from);

	if (rc == 0)
		rc = spool_check_path(to);
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&batch->lock);
	rc = rename_locked(batch, group_id, from, to, no_replace);
	pthread_mutex_unlock(&batch->lock);
	return rc;
}
