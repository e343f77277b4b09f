/* SPDX-License-Identifier: MIT */
/*
 * Trees that somebody else keeps (struct mount_tree): .featurefs/lanes, and a group's .dead. The mount holds nothing of them but nodes
 * with a path; every request asks the keeper. A file is rendered at its open, or read through a descriptor of a real file, of which
 * nothing but its size is known here. What is written is a command: each write(2) is handed over whole and answered with what came of it, so
 * that a shell's echo shows the error.
 */
#include "mount/tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "mount/attr.h"
#include "mount/call.h"
#include "mount/handle.h"
#include "mount/look.h"
#include "mount/private.h"

struct tree_handle {
	struct handle handle;
	int fd;				/* to read; -1: to write */
};

int tree_find(const struct mount *mount, bool in_groups, const char *name)
{
	const struct mount_tree *trees = mount->options.trees;

	for (int i = 0; trees && trees[i].name; i++)
		if (trees[i].is_in_groups == in_groups && !strcmp(trees[i].name, name))
			return i;
	return -1;
}

static const struct mount_tree *tree_of(const struct mount *mount, const struct target *target)
{
	return &mount->options.trees[target->number];
}

void tree_descend(struct target *target, const char *name)
{
	size_t len = strlen(name);

	if (target->entity_len)
		target->entity[target->entity_len++] = '/';
	memcpy(target->entity + target->entity_len, name, len + 1);
	target->entity_len = (uint16_t)(target->entity_len + len);
}

int tree_mean(const struct mount *mount, const struct target *dir, const char *name, struct meaning *out)
{
	const struct mount_tree *tree = tree_of(mount, dir);
	struct target target = *dir;
	struct mount_entry entry;
	int rc;

	if (dir->entity_len + 1 + strlen(name) > MOUNT_PATH_MAX)
		return -ENAMETOOLONG;
	tree_descend(&target, name);
	rc = tree->stat(tree->arg, target.group_id, target.entity, &entry);
	out->kind = entry.is_dir ? NODE_TREE_DIR : NODE_TREE_FILE;
	out->number = dir->number;
	return rc;
}

int tree_attr(struct mount *mount, const struct target *target, struct stat *out)
{
	const struct mount_tree *tree = tree_of(mount, target);
	struct mount_entry entry;
	int rc = tree->stat(tree->arg, target->group_id, target->entity, &entry);

	if (rc < 0 || entry.is_dir != (target->kind == NODE_TREE_DIR))
		return rc < 0 ? rc : -ENOENT;
	out->st_ino = attr_number(NODE_TREE_DIR, target->group_id, target->number, target_entity(target));	/* as it is listed */
	attr_own(&mount->options.owners, out, entry.is_dir ? S_IFDIR : S_IFREG, entry.mode, entry.uid, entry.gid);
	out->st_size = (off_t)entry.size;
	out->st_blocks = (blkcnt_t)((entry.size + 511) / 512);
	out->st_mtim = out->st_atim = out->st_ctim = clock_to_timespec(entry.changed_ns);
	return 0;
}

int tree_list(struct mount *mount, const struct target *target, struct buf *out)
{
	const struct mount_tree *tree = tree_of(mount, target);
	int rc = tree->list(tree->arg, target->group_id, target->entity, out);

	return rc < 0 ? rc : buf_error(out);
}

bool tree_is_writable(const struct mount *mount, const struct target *target)
{
	const struct mount_tree *tree = tree_of(mount, target);
	struct mount_entry entry;

	return tree->write && tree->stat(tree->arg, target->group_id, target->entity, &entry) == 0 && (entry.mode & 0222);
}

int tree_open(struct mount *mount, struct node *node, const struct target *target, bool is_writing, struct handle **out)
{
	const struct mount_tree *tree = tree_of(mount, target);
	struct tree_handle *th;
	int fd = -1, rc = 0;

	if (is_writing && !tree_is_writable(mount, target))
		return -EPERM;
	if (!is_writing)
		rc = tree->open(tree->arg, target->group_id, target->entity, &fd);
	if (rc < 0)
		return rc;
	th = malloc(sizeof *th);
	if (!th) {
		if (fd >= 0)
			close(fd);
		return -ENOMEM;
	}
	*th = (struct tree_handle){ .handle = { .kind = HANDLE_TREE, .node = node }, .fd = fd };
	handle_begin(mount, &th->handle);
	*out = &th->handle;
	return 0;
}

void tree_read(struct handle *handle, fuse_req_t req, size_t size, off_t off)
{
	struct tree_handle *th = (struct tree_handle *)handle;
	struct buf *buf = attr_buffer();
	char *room = buf ? buf_reserve(buf, size) : NULL;
	ssize_t n;

	if (th->fd < 0 || !room) {
		reply_err(req, th->fd < 0 ? EBADF : ENOMEM);
		return;
	}
	do
		n = pread(th->fd, room, size, off);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		reply_err(req, errno);
	else
		reply_buf(req, room, (size_t)n);
}

static void end_write(struct job *job, int rc)
{
	if (rc < 0)
		reply_err(job->req, -rc);
	else
		reply_write(job->req, job->len);
}

void tree_write(struct mount *mount, struct handle *handle, fuse_req_t req, struct slice bytes)
{
	const struct mount_tree *tree;
	struct job *job;

	if (((struct tree_handle *)handle)->fd >= 0) {
		reply_err(req, EBADF);
		return;
	}
	job = job_new(mount, req, end_write, bytes);
	if (!job) {
		reply_err(req, ENOMEM);
		return;
	}
	job->node = handle->node;
	node_hold(mount, job->node);
	node_target(mount, job->node, &job->target);
	tree = tree_of(mount, &job->target);
	tree->write(tree->arg, job->target.group_id, job->target.entity, job_bytes(job), job_done, job);
}

void tree_close(struct mount *mount, struct handle *handle)
{
	struct tree_handle *th = (struct tree_handle *)handle;

	if (th->fd >= 0)
		close(th->fd);
	handle_end(mount, handle);
	free(th);
}
