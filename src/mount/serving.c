/* SPDX-License-Identifier: MIT */
/*
 * The serving mount: its operations, and its way from opening to closing.
 *
 * OPEN is answered once with "not implemented": from then on the kernel opens files by itself, without a word to us, and keeps their pages; there is
 * no FLUSH and no RELEASE. With names and attributes that are kept for as long as they are right, a warm open, read and close is the
 * kernel's own business, and costs what it costs on a file system in memory. All that is left to do is to say what is not right any more
 * (inval.c). The kernel holds that answer to be true of the whole connection, hence a mount of its own.
 *
 * Everything that would change something is refused by the kernel itself, for the mount is read-only.
 */
#include "mount/serving_private.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include "base/log.h"

enum { BACKGROUND_MAX = 256 };

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	const unsigned wanted = FUSE_CAP_NO_OPEN_SUPPORT | FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_ASYNC_READ | FUSE_CAP_EXPLICIT_INVAL_DATA |
				FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO;
	const struct serving *serving = userdata;

	conn->want = (wanted | uring_capability(&serving->uring)) & conn->capable;
	conn->max_background = BACKGROUND_MAX;
	conn->congestion_threshold = BACKGROUND_MAX;
	conn->time_gran = 1;
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	serving_begin(req);
	reply_err(req, ENOSYS);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t n)
{
	struct serving *serving = fuse_req_userdata(req);

	atomic_fetch_add_explicit(&serving->requests, 1, memory_order_acq_rel);
	snode_forget(serving, snode_of(serving, ino), n);
	fuse_reply_none(req);
	fresh_give_back(serving);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *list)
{
	struct serving *serving = fuse_req_userdata(req);

	atomic_fetch_add_explicit(&serving->requests, 1, memory_order_acq_rel);
	for (size_t i = 0; i < count; i++)
		snode_forget(serving, snode_of(serving, list[i].ino), list[i].nlookup);
	fuse_reply_none(req);
	fresh_give_back(serving);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct serving *serving = serving_begin(req);
	struct statvfs st;

	(void)ino;
	session_statfs(serving->lane, &st);
	fuse_reply_statfs(req, &st);
}

static const struct fuse_lowlevel_ops serving_ops = {
	.init = op_init,
	.lookup = serving_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = serving_getattr,
	.open = op_open,
	.read = serving_read,
	.opendir = serving_opendir,
	.readdir = serving_readdir,
	.readdirplus = serving_readdirplus,
	.releasedir = serving_releasedir,
	.statfs = op_statfs,
	.getxattr = serving_getxattr,
	.listxattr = serving_listxattr,
	.ioctl = serving_ioctl,
};

/* ---- opening and closing ---- */

int serving_new(const struct serving_options *options, struct direct *lane, struct serving **out)
{
	struct serving *serving = calloc(1, sizeof *serving);

	if (!serving)
		return -ENOMEM;
	serving->options = *options;
	serving->lane = lane;
	serving->uring.is_wanted = options->io_uring;
	serving->root = (struct snode){ .kind = NODE_ROOT };
	serving->control_dir = (struct snode){ .kind = NODE_CONTROL_DIR };
	serving->views_dir = (struct snode){ .kind = NODE_VIEWS };
	pthread_mutex_init(&serving->lock, NULL);
	pthread_cond_init(&serving->slow_wake, NULL);
	rows_init(serving);
	*out = serving;
	return 0;
}

int serving_open(struct serving *serving, struct why *why)
{
	const struct serving_options *options = &serving->options;
	const struct channel_options channel_options = {
		.mountpoint = options->mountpoint,
		.source = options->source,
		.kernel_options = options->kernel_options,
		.read_only = true,
		.is_serving = true,
		.io_uring = options->io_uring,
		.debug = options->debug,
		.threads = options->threads,
		.ops = &serving_ops,
		.userdata = serving,
	};
	int rc = channel_open(&serving->channel, &channel_options, why);

	serving->options.mountpoint = serving->options.source = serving->options.kernel_options = NULL;
	if (rc < 0)
		return rc;
	rc = fresh_start(serving);
	if (rc == 0)
		rc = rows_start(serving);
	if (rc == 0)
		rc = walker_start(serving->channel.mountpoint, &serving->walker);
	if (rc < 0)
		channel_stop(&serving->channel);
	else
		atomic_store(&serving->is_open, true);
	return rc;
}

int serving_run(struct serving *serving)
{
	int rc = channel_run(&serving->channel);

	fresh_stop(serving);
	rows_stop(serving);
	atomic_store(&serving->is_open, false);
	atomic_store(&serving->is_over, true);
	return rc;
}

void serving_stop(struct serving *serving)
{
	channel_stop(&serving->channel);
}

bool serving_is_connected(struct serving *serving)
{
	struct pollfd fd = { .fd = fuse_session_fd(serving->channel.session) };

	return poll(&fd, 1, 0) == 0;	/* an ended connection is an error */
}

void serving_free(struct serving *serving)
{
	if (!serving)
		return;
	fresh_stop(serving);
	rows_stop(serving);
	walker_stop(serving->walker);
	channel_close(&serving->channel);
	serving_nodes_free(serving);
	buf_release(&serving->forgetting.items);
	buf_release(&serving->forgetting.names);
	buf_release(&serving->aside);
	pthread_cond_destroy(&serving->slow_wake);
	rows_release(serving);
	pthread_mutex_destroy(&serving->lock);
	free(serving);
}

void serving_figures(struct serving *serving, struct serving_figures *out)
{
	out->is_mounted = atomic_load(&serving->is_open);
	out->requests = atomic_load(&serving->requests);
	out->ring_requests = atomic_load(&serving->uring.requests);
	out->lookups = atomic_load(&serving->lookups);
	out->reads = atomic_load(&serving->reads);
	out->names_forgotten = atomic_load(&serving->names_forgotten);
	out->wholes_forgotten = atomic_load(&serving->wholes_forgotten);
	out->groups_set_aside = atomic_load(&serving->groups_set_aside);
	out->row_names_taken_back = atomic_load(&serving->row_names);
	out->forgetting_ns = atomic_load(&serving->forgetting_ns);
	out->nodes = atomic_load(&serving->nodes);
	out->node_bytes = atomic_load(&serving->node_bytes);
}
