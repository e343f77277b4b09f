/* SPDX-License-Identifier: MIT */
/*
 * .import: a group's drop box, an ordinary directory tree of real files, which the batch room's spool keeps. What is written goes straight
 * through to them, and so do names, sizes and times: rsync, cp, mv, tar and Spark find what they expect. Who may do what is what the group's
 * mode says; owners and modes of single files are not kept.
 *
 * Nodes are found by name here, and a node's place is the way up to .import, so an open file knows where it stands whatever was
 * renamed meanwhile. The spool is told of the close by the process that opened a file (after which its content is whole, as far as that
 * process says) and of the last close.
 *
 * .reports, in .import, holds texts that are made when they are opened.
 */
#include "mount/import.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "batch/batch.h"
#include "mount/attr.h"
#include "mount/edit.h"
#include "mount/handle.h"
#include "mount/look.h"
#include "mount/private.h"

struct import_handle {
	struct handle handle;
	struct batch_file *file;
	pid_t tid;			/* of the thread that opened it */
	_Atomic pid_t tgid;
};

#define NUMBER_BIT (UINT64_C(1) << 62)	/* tells their inode numbers from most others */

/* ---- places ---- */

/* Puts "name" or "name/" before the path. -ENAMETOOLONG. */
static int prepend(char path[BATCH_PATH_MAX], const char *name)
{
	size_t len = strlen(name), old = strlen(path), gap = old ? 1 : 0;

	if (len + gap + old >= BATCH_PATH_MAX)
		return -ENAMETOOLONG;
	memmove(path + len + gap, path, old + 1);
	memcpy(path, name, len);
	if (gap)
		path[len] = '/';
	return 0;
}

/* Where a node stands below .import, with `name` (NULL: none) below it. */
static int place_locked(const struct node *node, const char *name, uint32_t *out_group, char out[BATCH_PATH_MAX])
{
	int rc = 0;

	out[0] = '\0';
	if (name)
		rc = prepend(out, name);
	for (; rc == 0 && node && node->kind != NODE_GROUP; node = node->parent)
		if (node->name)
			rc = prepend(out, node->name);
	if (rc == 0)
		*out_group = node ? node->number : CATALOG_ROOT_ID;
	return rc;
}

static int place(struct mount *mount, const struct node *node, const char *name, uint32_t *out_group, char out[BATCH_PATH_MAX])
{
	int rc;

	pthread_mutex_lock(&mount->lock);
	rc = place_locked(node, name, out_group, out);
	pthread_mutex_unlock(&mount->lock);
	return rc;
}

/* Reports are nobody's to make, change or remove. */
static int check_change(struct mount *mount, const struct node *dir)
{
	if (mount->options.read_only)
		return -EROFS;
	return dir->kind == NODE_REPORTS ? -EPERM : 0;
}

/* ---- attributes ---- */

static int own(struct mount *mount, uint32_t group_id, mode_t type, mode_t mask, struct stat *out)
{
	uint64_t number;
	struct catalog *cat = catalog_current_get(mount->lane->cur, &number);
	const struct catalog_group *grp = catalog_find_id(cat, group_id);

	if (grp) {
		attr_own(&mount->options.owners, out, type, grp->mode & mask, grp->uid, grp->gid);
		out->st_mtim = out->st_atim = out->st_ctim = clock_to_timespec(grp->changed_ns);
	}
	catalog_unref(cat);
	return grp ? 0 : -ENOENT;
}

static int fill(struct mount *mount, uint32_t group_id, const struct batch_stat *st, struct stat *out)
{
	int rc = own(mount, group_id, st->is_dir ? S_IFDIR : S_IFREG, st->is_dir ? 03777 : 0666, out);

	if (rc < 0)
		return rc;
	out->st_ino = st->number | NUMBER_BIT;
	out->st_size = (off_t)st->size;
	out->st_blocks = (blkcnt_t)st->blocks;
	if (st->mtime_ns || st->ctime_ns) {
		out->st_mtim = out->st_atim = clock_to_timespec(st->mtime_ns);
		out->st_ctim = clock_to_timespec(st->ctime_ns);
	}
	return 0;
}

static int fill_report(struct mount *mount, const struct node *node, uint32_t group_id, const char *name, struct stat *out)
{
	bool is_dir = node->kind == NODE_REPORTS;
	int rc;

	if (!is_dir && !batch_has_report(mount->options.batch, group_id, name))
		return -ENOENT;
	rc = own(mount, group_id, is_dir ? S_IFDIR : S_IFREG, is_dir ? 0555 : 0444, out);
	out->st_ino = attr_number((enum node_kind)node->kind, group_id, 0, is_dir ? slice_of(NULL, 0) : slice_str(name));
	out->st_mtim = out->st_atim = out->st_ctim = clock_to_timespec(clock_now());
	return rc;
}

int import_attr(struct mount *mount, const struct node *node, struct stat *out)
{
	char path[BATCH_PATH_MAX];
	struct batch_stat st;
	uint32_t group_id;
	int rc = place(mount, node, NULL, &group_id, path);

	*out = (struct stat){ 0 };
	if (rc < 0)
		return rc;
	if (node->kind == NODE_REPORTS || node->kind == NODE_REPORT)
		return fill_report(mount, node, group_id, strrchr(path, '/') ? strrchr(path, '/') + 1 : path, out);
	rc = batch_stat(mount->options.batch, group_id, path, &st);
	if (rc == 0 && st.is_dir != (node->kind == NODE_IMPORT))
		rc = -ENOENT;
	return rc < 0 ? rc : fill(mount, group_id, &st, out);
}

int import_attr_root(struct mount *mount, uint32_t group_id, struct stat *out)
{
	struct batch_stat st;
	int rc = batch_stat(mount->options.batch, group_id, "", &st);

	return rc < 0 ? rc : fill(mount, group_id, &st, out);
}

/* ---- LOOKUP ---- */

static int count_node(struct mount *mount, struct node *dir, enum node_kind kind, const char *name, struct node **out)
{
	pthread_mutex_lock(&mount->lock);
	*out = node_get_locked(mount, dir, kind, 0, name);
	if (*out)
		node_count_locked(*out);
	pthread_mutex_unlock(&mount->lock);
	return *out ? 0 : -ENOMEM;
}

static int kind_of(struct mount *mount, const struct node *dir, uint32_t group_id, const char *path, const char *name,
		   enum node_kind *out)
{
	struct batch_stat st;
	int rc;

	if (dir->kind == NODE_REPORTS) {
		*out = NODE_REPORT;
		return batch_has_report(mount->options.batch, group_id, name) ? 0 : -ENOENT;
	}
	if (!strcmp(path, BATCH_REPORTS)) {
		*out = NODE_REPORTS;
		return 0;
	}
	rc = batch_stat(mount->options.batch, group_id, path, &st);
	*out = rc == 0 && st.is_dir ? NODE_IMPORT : NODE_IMPORT_FILE;
	return rc;
}

int import_look_up(struct mount *mount, struct node *dir, const char *name, struct fuse_entry_param *out)
{
	char path[BATCH_PATH_MAX];
	enum node_kind kind;
	struct node *node = NULL;
	uint32_t group_id;
	struct stat st;
	int rc = place(mount, dir, name, &group_id, path);

	if (rc == 0)
		rc = kind_of(mount, dir, group_id, path, name, &kind);
	if (rc == 0)
		rc = count_node(mount, dir, kind, name, &node);
	if (rc < 0)
		return rc;
	rc = import_attr(mount, node, &st);
	if (rc < 0)
		node_forget(mount, node, 1);
	else
		look_entry(mount, node, &st, attr_timeout(), out);
	return rc;
}

/* ---- open files ---- */

static int open_file(struct mount *mount, struct node *node, uint32_t group_id, const char *path, int flags, pid_t tid,
		     struct handle **out)
{
	struct import_handle *ih = calloc(1, sizeof *ih);
	int rc;

	if (!ih)
		return -ENOMEM;
	rc = batch_file_open(mount->options.batch, group_id, path, flags, &ih->file);
	if (rc < 0) {
		free(ih);
		return rc;
	}
	ih->handle = (struct handle){ .kind = HANDLE_IMPORT, .node = node };
	ih->tid = tid;
	handle_begin(mount, &ih->handle);
	*out = &ih->handle;
	return 0;
}

int import_open(struct mount *mount, struct node *node, int flags, pid_t tid, struct handle **out)
{
	char path[BATCH_PATH_MAX];
	uint32_t group_id;
	int rc = place(mount, node, NULL, &group_id, path);

	return rc < 0 ? rc : open_file(mount, node, group_id, path, flags & (O_ACCMODE | O_TRUNC), tid, out);
}

int import_create(struct mount *mount, struct node *dir, const char *name, int flags, pid_t tid, struct node **out_node,
		  struct handle **out)
{
	char path[BATCH_PATH_MAX];
	uint32_t group_id;
	int rc = check_change(mount, dir);

	if (rc == 0)
		rc = place(mount, dir, name, &group_id, path);
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&mount->lock);
	*out_node = node_get_locked(mount, dir, NODE_IMPORT_FILE, 0, name);
	if (*out_node)
		node_hold_locked(*out_node);
	pthread_mutex_unlock(&mount->lock);
	if (!*out_node)
		return -ENOMEM;
	rc = open_file(mount, *out_node, group_id, path, (flags & (O_ACCMODE | O_TRUNC | O_EXCL)) | O_CREAT, tid, out);
	if (rc < 0)
		node_drop(mount, *out_node);
	return rc;
}

int import_make_file(struct mount *mount, struct node *dir, const char *name, pid_t tid)
{
	struct handle *handle;
	struct node *node;
	int rc = import_create(mount, dir, name, O_WRONLY | O_EXCL, tid, &node, &handle);

	if (rc < 0)
		return rc;
	import_close(mount, handle);
	node_drop(mount, node);
	return 0;
}

static struct batch_file *file_of(struct handle *handle)
{
	return ((struct import_handle *)handle)->file;
}

void import_read(struct mount *mount, struct handle *handle, fuse_req_t req, size_t size, off_t off)
{
	struct buf *buf = attr_buffer();
	char *room = buf ? buf_reserve(buf, size) : NULL;
	ssize_t n = room ? batch_file_read(file_of(handle), room, size, (uint64_t)off) : -ENOMEM;

	(void)mount;
	if (n < 0)
		reply_err(req, (int)-n);
	else
		reply_buf(req, room, (size_t)n);
}

int import_write(struct handle *handle, struct slice bytes, off_t off, bool at_end)
{
	return batch_file_write(file_of(handle), bytes, (uint64_t)off, at_end);
}

/* Where an open file stands; false if it has no name any more. */
static bool place_of(struct mount *mount, struct node *node, char path[BATCH_PATH_MAX])
{
	uint32_t group_id;
	bool is_there;

	pthread_mutex_lock(&mount->lock);
	is_there = !node->is_gone && place_locked(node, NULL, &group_id, path) == 0;
	pthread_mutex_unlock(&mount->lock);
	return is_there;
}

void import_flush(struct mount *mount, struct handle *handle, pid_t tid)
{
	struct import_handle *ih = (struct import_handle *)handle;
	char path[BATCH_PATH_MAX];

	if (edit_is_openers(ih->tid, &ih->tgid, tid) && place_of(mount, handle->node, path))
		batch_file_closing(ih->file, path);
}

int import_sync(struct handle *handle)
{
	return batch_file_sync(file_of(handle));
}

static void close_file(struct mount *mount, struct handle *handle, bool is_whole)
{
	char path[BATCH_PATH_MAX];
	bool is_there = place_of(mount, handle->node, path);

	batch_file_close(file_of(handle), is_there && is_whole ? path : NULL);
	handle_end(mount, handle);
	free(handle);
}

void import_close(struct mount *mount, struct handle *handle)
{
	close_file(mount, handle, true);
}

void import_end(struct mount *mount, struct handle *handle)
{
	close_file(mount, handle, batch_file_is_closed(file_of(handle)));
}

/* ---- SETATTR ---- */

static int64_t time_to_set(const struct stat *attr, int to_set)
{
	return to_set & FUSE_SET_ATTR_MTIME_NOW ? INGEST_NOW : clock_from_timespec(&attr->st_mtim);
}

int import_setattr(struct mount *mount, struct node *node, struct handle *handle, const struct stat *attr, int to_set)
{
	struct batch *batch = mount->options.batch;
	char path[BATCH_PATH_MAX];
	uint32_t group_id;
	int rc;

	if (node->kind != NODE_IMPORT && node->kind != NODE_IMPORT_FILE)
		return -EPERM;
	if (handle && handle->kind != HANDLE_IMPORT)
		handle = NULL;
	rc = place(mount, node, NULL, &group_id, path);
	if (rc == 0 && (to_set & FUSE_SET_ATTR_SIZE))
		rc = handle ? batch_file_resize(file_of(handle), (uint64_t)attr->st_size)
			    : batch_resize(batch, group_id, path, (uint64_t)attr->st_size);
	if (rc == 0 && (to_set & (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW)))
		rc = handle ? batch_file_stamp(file_of(handle), time_to_set(attr, to_set))
			    : batch_stamp(batch, group_id, path, time_to_set(attr, to_set));
	return rc;
}

/* ---- names ---- */

int import_mkdir(struct mount *mount, struct node *dir, const char *name)
{
	char path[BATCH_PATH_MAX];
	uint32_t group_id;
	int rc = check_change(mount, dir);

	if (rc == 0)
		rc = place(mount, dir, name, &group_id, path);
	return rc < 0 ? rc : batch_mkdir(mount->options.batch, group_id, path);
}

/* Nobody finds the node any more, and its open files have no name. */
static void orphan(struct mount *mount, struct node *dir, enum node_kind kind, const char *name)
{
	struct node *node;

	pthread_mutex_lock(&mount->lock);
	node = node_find_locked(mount, dir, kind, 0, name);
	if (node) {
		node->is_gone = true;
		node_detach_locked(mount, node);
	}
	pthread_mutex_unlock(&mount->lock);
}

int import_remove(struct mount *mount, struct node *dir, const char *name, bool is_dir)
{
	char path[BATCH_PATH_MAX];
	uint32_t group_id;
	int rc = check_change(mount, dir);

	if (rc == 0)
		rc = place(mount, dir, name, &group_id, path);
	if (rc < 0)
		return rc;
	rc = is_dir ? batch_rmdir(mount->options.batch, group_id, path) : batch_unlink(mount->options.batch, group_id, path);
	if (rc == 0)
		orphan(mount, dir, is_dir ? NODE_IMPORT : NODE_IMPORT_FILE, name);
	return rc;
}

static int move_node(struct mount *mount, struct node *dir, const char *name, struct node *to_dir, const char *to_name)
{
	static const enum node_kind kinds[] = { NODE_IMPORT, NODE_IMPORT_FILE };
	char *copy = strdup(to_name);
	struct node *node = NULL;

	if (!copy)
		return -ENOMEM;
	pthread_mutex_lock(&mount->lock);
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds && !node; i++)
		node = node_find_locked(mount, dir, kinds[i], 0, name);
	if (node)
		node_move_locked(mount, node, to_dir, 0, copy);
	else
		free(copy);
	pthread_mutex_unlock(&mount->lock);
	return 0;
}

int import_rename(struct mount *mount, struct node *dir, const char *name, struct node *to_dir, const char *to_name, bool no_replace)
{
	char from[BATCH_PATH_MAX], to[BATCH_PATH_MAX];
	uint32_t group_id, to_group;
	int rc = check_change(mount, dir);

	if (rc == 0)
		rc = check_change(mount, to_dir);
	if (rc == 0)
		rc = place(mount, dir, name, &group_id, from);
	if (rc == 0)
		rc = place(mount, to_dir, to_name, &to_group, to);
	if (rc < 0)
		return rc;
	if (group_id != to_group)
		return -EXDEV;
	rc = batch_rename(mount->options.batch, group_id, from, to, no_replace);
	if (rc == 0 && strcmp(from, to))
		rc = move_node(mount, dir, name, to_dir, to_name);
	return rc;
}

/* ---- directories ---- */

int import_open_dir(struct mount *mount, const struct node *node, DIR **out_dir, struct buf *out_names)
{
	char path[BATCH_PATH_MAX];
	uint32_t group_id;
	int rc = place(mount, node, NULL, &group_id, path), fd;

	*out_dir = NULL;
	if (rc < 0)
		return rc;
	if (node->kind == NODE_REPORTS)
		return batch_list_reports(mount->options.batch, group_id, out_names);
	rc = batch_open_dir(mount->options.batch, group_id, path, &fd);
	if (rc < 0)
		return rc == -ENOENT && !*path ? 0 : rc;
	*out_dir = fdopendir(fd);
	if (!*out_dir) {
		rc = -errno;
		close(fd);
	}
	return rc;
}

uint64_t import_number(const struct dirent *entry)
{
	return entry->d_ino | NUMBER_BIT;
}

/* ---- options of a job, as extended attributes ---- */

int import_get_attr(struct mount *mount, const struct node *node, const char *name, struct buf *out)
{
	char path[BATCH_PATH_MAX];
	uint32_t group_id;
	int rc = place(mount, node, NULL, &group_id, path);

	if (node->kind != NODE_IMPORT && node->kind != NODE_IMPORT_FILE)
		return name ? -ENODATA : 0;
	if (rc < 0)
		return rc;
	return name ? batch_get_option(mount->options.batch, group_id, path, name, out)
		    : batch_list_options(mount->options.batch, group_id, path, out);
}

int import_set_attr(struct mount *mount, const struct node *node, const char *name, const struct slice *value)
{
	char path[BATCH_PATH_MAX];
	uint32_t group_id;
	int rc = place(mount, node, NULL, &group_id, path);

	if (node->kind != NODE_IMPORT && node->kind != NODE_IMPORT_FILE)
		return -EPERM;
	return rc < 0 ? rc : batch_set_option(mount->options.batch, group_id, path, name, value);
}
