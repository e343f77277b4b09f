/* SPDX-License-Identifier: MIT */
/*
 * Scratch files: what editors and tools put beside a file for a moment. They live in memory and die with the daemon; their number and
 * their bytes are bounded together, and one that nobody has used for a while loses its name. They are ordinary files otherwise: one
 * content for all handles, changed in place.
 *
 * A scratch file belongs to its node, which is held while it has a name. Without a name and a handle it has no content any more and counts for
 * nothing: the node itself goes when the kernel forgets it, which may be much later, for a rename onto a feature leaves the kernel with it
 * under the feature's name, and it is asked about that only when somebody looks.
 */
#include "mount/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include "mount/attr.h"
#include "mount/handle.h"
#include "mount/private.h"

enum { CAP_MIN = 256 };

#define SERIAL_BIT (UINT64_C(1) << 63)		/* tells their inode numbers from most hashes; they never stand beside one another */

static void use(struct scratch *scratch)
{
	atomic_store_explicit(&scratch->used_ns, clock_monotonic(), memory_order_relaxed);
}

/* ---- making and freeing ---- */

static struct scratch *scratch_new(struct mount *mount, mode_t mode, uid_t uid, gid_t gid)
{
	struct scratch *scratch = calloc(1, sizeof *scratch);

	if (!scratch)
		return NULL;
	scratch->serial = atomic_fetch_add(&mount->scratch_counter, 1);
	pthread_mutex_init(&scratch->lock, NULL);
	scratch->mode = mode & 07777;
	scratch->uid = uid;
	scratch->gid = gid;
	scratch->mtime_ns = scratch->ctime_ns = clock_now();
	use(scratch);
	return scratch;
}

/* Gives back what it counts. Nobody finds it by a name, and no handle has it. */
static void shed(struct mount *mount, struct scratch *scratch)
{
	pthread_mutex_lock(&scratch->lock);
	if (!scratch->is_shed) {
		atomic_fetch_sub(&mount->scratch_bytes, scratch->cap);
		atomic_fetch_sub(&mount->n_scratch, 1);
		free(scratch->data);
		scratch->data = NULL;
		scratch->len = scratch->cap = 0;
		scratch->is_shed = scratch->is_orphan = true;
	}
	pthread_mutex_unlock(&scratch->lock);
}

void scratch_free(struct mount *mount, struct scratch *scratch)
{
	if (!scratch)
		return;
	shed(mount, scratch);
	pthread_mutex_destroy(&scratch->lock);
	free(scratch);
}

int scratch_make(struct mount *mount, struct node *dir, const char *name, mode_t mode, uid_t uid, gid_t gid, struct node **out)
{
	struct scratch *scratch;
	struct node *node;

	if (atomic_fetch_add(&mount->n_scratch, 1) >= mount->options.scratch_files) {
		atomic_fetch_sub(&mount->n_scratch, 1);
		return -ENOSPC;
	}
	scratch = scratch_new(mount, mode, uid, gid);
	if (!scratch) {
		atomic_fetch_sub(&mount->n_scratch, 1);
		return -ENOMEM;
	}
	pthread_mutex_lock(&mount->lock);
	node = node_find_locked(mount, dir, NODE_SCRATCH, 0, name);
	if (node) {
		pthread_mutex_unlock(&mount->lock);
		scratch_free(mount, scratch);
		return -EEXIST;
	}
	node = node_new_locked(mount, dir, NODE_SCRATCH, 0, name);
	if (node) {
		node->scratch = scratch;
		scratch->node = node;
		scratch->next = mount->scratch_first;
		scratch->prev = &mount->scratch_first;
		if (scratch->next)
			scratch->next->prev = &scratch->next;
		mount->scratch_first = scratch;
		node_attach_locked(mount, node);
		node_hold_locked(node);		/* its name's */
		node_hold_locked(node);		/* the caller's */
	}
	pthread_mutex_unlock(&mount->lock);
	if (!node) {
		scratch_free(mount, scratch);
		return -ENOMEM;
	}
	*out = node;
	return 0;
}

void scratch_unlink_locked(struct mount *mount, struct node *node)
{
	struct scratch *scratch = node->scratch;

	if (!scratch->prev)
		return;
	*scratch->prev = scratch->next;
	if (scratch->next)
		scratch->next->prev = scratch->prev;
	scratch->prev = NULL;
	node->is_gone = true;
	if (!scratch->opens)
		shed(mount, scratch);
	node_detach_locked(mount, node);
	node_drop_locked(mount, node);
}

void scratch_clear_locked(struct mount *mount, const struct node *dir)
{
	struct scratch *scratch = mount->scratch_first, *next;

	for (; scratch; scratch = next) {
		const struct node *up = scratch->node->parent;

		next = scratch->next;
		while (up && up != dir)
			up = up->parent;
		if (up)
			scratch_unlink_locked(mount, scratch->node);
	}
}

void scratch_sweep_locked(struct mount *mount, int64_t now_ns)
{
	struct scratch *scratch = mount->scratch_first, *next;

	for (; scratch; scratch = next) {
		next = scratch->next;
		if (!scratch->opens && now_ns - atomic_load(&scratch->used_ns) > mount->options.scratch_ns)
			scratch_unlink_locked(mount, scratch->node);
	}
}

/* ---- what it shows ---- */

void scratch_stat(struct mount *mount, struct scratch *scratch, struct stat *out)
{
	use(scratch);
	*out = (struct stat){ .st_ino = scratch->serial | SERIAL_BIT };
	pthread_mutex_lock(&scratch->lock);
	out->st_mode = S_IFREG | scratch->mode;
	out->st_uid = mount->options.owners.has_uid ? mount->options.owners.uid : scratch->uid;
	out->st_gid = mount->options.owners.has_gid ? mount->options.owners.gid : scratch->gid;
	out->st_nlink = 1;
	out->st_blksize = 4096;
	out->st_size = (off_t)scratch->len;
	out->st_blocks = (blkcnt_t)((scratch->len + 511) / 512);
	out->st_mtim = out->st_atim = clock_to_timespec(scratch->mtime_ns);
	out->st_ctim = clock_to_timespec(scratch->ctime_ns);
	pthread_mutex_unlock(&scratch->lock);
}

/* ---- bytes ---- */

/* Gives it room for `cap` bytes, within the bound that all share. */
static int reserve(struct mount *mount, struct scratch *scratch, size_t cap)
{
	size_t more;
	char *data;

	if (cap <= scratch->cap)
		return 0;
	if (cap > mount->options.scratch_bytes)
		return -ENOSPC;
	if (cap < 2 * scratch->cap && 2 * scratch->cap <= mount->options.scratch_bytes / 2)
		cap = 2 * scratch->cap;
	if (cap < CAP_MIN)
		cap = CAP_MIN;
	more = cap - scratch->cap;
	if (atomic_fetch_add(&mount->scratch_bytes, more) + more > mount->options.scratch_bytes) {
		atomic_fetch_sub(&mount->scratch_bytes, more);
		return -ENOSPC;
	}
	data = realloc(scratch->data, cap);
	if (!data) {
		atomic_fetch_sub(&mount->scratch_bytes, more);
		return -ENOMEM;
	}
	scratch->data = data;
	scratch->cap = cap;
	return 0;
}

/* Makes it `len` bytes long; new ones are zeros. */
static int resize(struct mount *mount, struct scratch *scratch, uint64_t len)
{
	int rc = len > SIZE_MAX / 2 ? -ENOSPC : reserve(mount, scratch, (size_t)len);

	if (rc < 0)
		return rc;
	if (len > scratch->len)
		memset(scratch->data + scratch->len, 0, (size_t)len - scratch->len);
	scratch->len = (size_t)len;
	return 0;
}

static void changed(struct scratch *scratch)
{
	scratch->mtime_ns = scratch->ctime_ns = clock_now();
	scratch->mtime_set = false;
}

void scratch_read(struct mount *mount, struct node *node, fuse_req_t req, size_t size, off_t off)
{
	struct scratch *scratch = node->scratch;
	size_t from;

	use(scratch);
	node_hold(mount, node);
	pthread_mutex_lock(&scratch->lock);
	from = (uint64_t)off < scratch->len ? (size_t)off : scratch->len;
	if (size > scratch->len - from)
		size = scratch->len - from;
	reply_buf(req, size ? scratch->data + from : NULL, size);
	pthread_mutex_unlock(&scratch->lock);
	node_drop(mount, node);
}

int scratch_write(struct mount *mount, struct node *node, struct slice bytes, off_t off, bool at_end)
{
	struct scratch *scratch = node->scratch;
	uint64_t at, end;
	int rc = 0;

	use(scratch);
	pthread_mutex_lock(&scratch->lock);
	at = at_end ? scratch->len : (uint64_t)off;
	end = at + bytes.len;
	if (scratch->is_orphan)
		rc = -ESTALE;
	else if (end > scratch->len)
		rc = resize(mount, scratch, end);
	if (rc == 0 && bytes.len) {
		memcpy(scratch->data + at, bytes.data, bytes.len);
		changed(scratch);
	}
	pthread_mutex_unlock(&scratch->lock);
	return rc;
}

int scratch_setattr(struct mount *mount, struct node *node, const struct stat *attr, int to_set)
{
	struct scratch *scratch = node->scratch;
	int rc = 0;

	use(scratch);
	pthread_mutex_lock(&scratch->lock);
	if (to_set & FUSE_SET_ATTR_SIZE) {
		rc = scratch->is_orphan ? -ESTALE : resize(mount, scratch, (uint64_t)attr->st_size);
		if (rc == 0)
			changed(scratch);
	}
	if (rc == 0) {
		if (to_set & FUSE_SET_ATTR_MODE)
			scratch->mode = attr->st_mode & 07777;
		if (to_set & FUSE_SET_ATTR_UID)
			scratch->uid = attr->st_uid;
		if (to_set & FUSE_SET_ATTR_GID)
			scratch->gid = attr->st_gid;
		if (to_set & (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW)) {
			scratch->mtime_set = !(to_set & FUSE_SET_ATTR_MTIME_NOW);
			scratch->mtime_ns = scratch->mtime_set ? clock_from_timespec(&attr->st_mtim) : clock_now();
		}
		scratch->ctime_ns = clock_now();
	}
	pthread_mutex_unlock(&scratch->lock);
	return rc;
}

/* ---- handles ---- */

int scratch_open(struct mount *mount, struct node *node, int flags, struct handle **out)
{
	struct handle *handle = malloc(sizeof *handle);
	struct scratch *scratch = node->scratch;
	int rc = 0;

	if (!handle)
		return -ENOMEM;
	use(scratch);
	if (flags & O_TRUNC) {
		pthread_mutex_lock(&scratch->lock);
		rc = scratch->is_orphan ? -ESTALE : resize(mount, scratch, 0);
		if (rc == 0)
			changed(scratch);
		pthread_mutex_unlock(&scratch->lock);
	}
	if (rc < 0) {
		free(handle);
		return rc;
	}
	*handle = (struct handle){ .kind = HANDLE_SCRATCH, .node = node };
	pthread_mutex_lock(&mount->lock);
	rc = node->is_gone && !scratch->opens ? -ESTALE : 0;	/* shed: the kernel looks its name up once more */
	if (rc == 0) {
		node_hold_locked(node);
		handle_list_locked(mount, handle);
		scratch->opens++;
	}
	pthread_mutex_unlock(&mount->lock);
	if (rc < 0) {
		free(handle);
		return rc;
	}
	atomic_fetch_add(&mount->handles, 1);
	*out = handle;
	return 0;
}

void scratch_close(struct mount *mount, struct handle *handle)
{
	use(handle->node->scratch);
	pthread_mutex_lock(&mount->lock);
	if (--handle->node->scratch->opens == 0 && handle->node->is_gone)
		shed(mount, handle->node->scratch);
	handle_unlist_locked(handle);
	node_drop_locked(mount, handle->node);
	pthread_mutex_unlock(&mount->lock);
	atomic_fetch_sub(&mount->handles, 1);
	free(handle);
}
