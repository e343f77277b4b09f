/* SPDX-License-Identifier: MIT */
/*
 * The editing mount: its operations, and its way from opening to closing.
 *
 * Names and attributes have no or nearly no timeout (attr.c): the kernel asks each time, so nothing ever has to be taken back from it,
 * and a value that another lane changes is seen at once.
 */
#include "mount/private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "mount/call.h"
#include "mount/handle.h"
#include "mount/ops.h"

enum {
	WRITE_MAX = 1 << 20,		/* a whole value comes in one request */
	BACKGROUND_MAX = 256,		/* the kernel holds RELEASEs back that are more at once than this */
	NAME_BYTES_MAX = 255,
	BLOCK = 4096,
	ENTITY_BYTES = 128,		/* about what the smallest row takes in the map, its name included */
};

/* ---- ops that are refused, and small ones ---- */

static void op_symlink(fuse_req_t req, const char *link, fuse_ino_t parent, const char *name)
{
	(void)link;
	(void)parent;
	(void)name;
	reply_err(req, ENOTSUP);
}

static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
	(void)ino;
	(void)parent;
	(void)name;
	reply_err(req, ENOTSUP);
}

static void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len, struct fuse_file_info *fi)
{
	(void)ino;
	(void)mode;
	(void)off;
	(void)len;
	(void)fi;
	reply_err(req, ENOTSUP);
}

static void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	(void)ino;
	(void)datasync;
	(void)fi;
	reply_err(req, 0);		/* what was acknowledged is durable already */
}

static uint64_t count_entities(const struct direct *lane)
{
	struct serve_view view;
	struct catalog_stats stats;
	uint64_t n = 0;

	if (serve_begin(lane->store, lane->cur, &view) < 0)
		return 0;
	for (unsigned i = 0; i < view.cat->n_groups; i++)
		if (serve_stats(&view, view.cat->groups[i], &stats) == 0)
			n += stats.entities + 1;
	serve_end(&view);
	return n;
}

void session_statfs(const struct direct *lane, struct statvfs *out)
{
	struct store_figures figures;
	uint64_t total, used;

	*out = (struct statvfs){ .f_bsize = BLOCK, .f_frsize = BLOCK, .f_namemax = NAME_BYTES_MAX };
	store_figures(lane->store, &figures);
	used = figures.map_used_bytes;
	total = used + figures.map_free_bytes + figures.disk_free_bytes;
	if (total > figures.map_bytes)
		total = figures.map_bytes;
	out->f_blocks = total / BLOCK;
	out->f_bfree = out->f_bavail = total > used ? (total - used) / BLOCK : 0;
	/* As on any file system that makes inodes when they are needed, what is free is what space is left for. */
	out->f_ffree = out->f_favail = (total > used ? total - used : 0) / ENTITY_BYTES;
	out->f_files = count_entities(lane) + out->f_ffree;
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct mount *mount = fuse_req_userdata(req);
	struct statvfs st;

	(void)ino;
	atomic_fetch_add_explicit(&mount->requests, 1, memory_order_relaxed);
	session_statfs(mount->lane, &st);
	fuse_reply_statfs(req, &st);
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	const unsigned wanted = FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_HANDLE_KILLPRIV | FUSE_CAP_ASYNC_READ;

	(void)userdata;
	conn->want = wanted & conn->capable;
	conn->max_write = WRITE_MAX;
	conn->max_background = BACKGROUND_MAX;
	conn->congestion_threshold = BACKGROUND_MAX;
	conn->time_gran = 1;
}

static const struct fuse_lowlevel_ops editing_ops = {
	.init = op_init,
	.lookup = look_lookup,
	.forget = look_forget,
	.forget_multi = look_forget_multi,
	.getattr = look_getattr,
	.setattr = file_setattr,
	.mknod = entry_mknod,
	.mkdir = dir_mkdir,
	.unlink = entry_unlink,
	.rmdir = dir_rmdir,
	.symlink = op_symlink,
	.rename = move_rename,
	.link = op_link,
	.open = file_open,
	.read = file_read,
	.write = file_write,
	.flush = file_flush,
	.release = file_release,
	.fsync = file_fsync,
	.opendir = dir_open,
	.readdir = dir_read,
	.releasedir = dir_release,
	.fsyncdir = op_fsyncdir,
	.statfs = op_statfs,
	.setxattr = xattr_set,
	.getxattr = xattr_get,
	.listxattr = xattr_list,
	.removexattr = xattr_remove,
	.create = entry_create,
	.fallocate = op_fallocate,
};

/* ---- opening and closing ---- */

static int init_mount(struct mount *mount, const struct mount_options *options)
{
	mount->options = *options;
	pthread_mutex_init(&mount->lock, NULL);
	pthread_cond_init(&mount->idle, NULL);
	return node_table_init(mount);
}

static int open_channel(struct mount *mount, struct why *why)
{
	const struct mount_options *options = &mount->options;
	const struct channel_options channel_options = {
		.mountpoint = options->mountpoint,
		.source = options->source,
		.kernel_options = options->kernel_options,
		.read_only = options->read_only,
		.debug = options->debug,
		.threads = options->threads,
		.ops = &editing_ops,
		.userdata = mount,
	};
	int rc = channel_open(&mount->channel, &channel_options, why);

	/* They need not live longer than this call. */
	mount->options.mountpoint = mount->options.source = mount->options.kernel_options = NULL;
	return rc;
}

int mount_open(const struct mount_options *options, struct direct *lane, struct mount **out, struct why *why)
{
	struct mount *mount = calloc(1, sizeof *mount);
	int rc;

	if (!mount)
		return -ENOMEM;
	mount->lane = lane;
	rc = init_mount(mount, options);
	if (rc == 0)
		rc = call_start(mount);
	if (rc == 0)
		rc = open_channel(mount, why);
	if (rc == 0)
		rc = trim_start(mount);
	if (rc < 0)
		mount_close(mount);
	else
		*out = mount;
	return rc;
}

int mount_run(struct mount *mount)
{
	return channel_run(&mount->channel);
}

void mount_stop(struct mount *mount)
{
	channel_stop(&mount->channel);
}

void mount_close(struct mount *mount)
{
	if (!mount)
		return;
	trim_stop(mount);
	call_stop(mount);
	handle_end_all(mount);
	channel_close(&mount->channel);
	if (mount->chains)
		node_table_release(mount);
	shown_release(mount);
	pthread_cond_destroy(&mount->idle);
	pthread_mutex_destroy(&mount->lock);
	free(mount);
}

void mount_figures(struct mount *mount, struct mount_figures *out)
{
	pthread_mutex_lock(&mount->lock);
	out->nodes = mount->n_nodes;
	pthread_mutex_unlock(&mount->lock);
	out->requests = atomic_load(&mount->requests);
	out->reads = atomic_load(&mount->reads);
	out->writes = atomic_load(&mount->writes);
	out->handles = atomic_load(&mount->handles);
	out->scratch_files = atomic_load(&mount->n_scratch);
	out->scratch_bytes = atomic_load(&mount->scratch_bytes);
}
