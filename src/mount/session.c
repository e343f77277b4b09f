/* SPDX-License-Identifier: MIT */
/*
 * The session of the editing mount: mounting, the loop of its threads, unmounting.
 *
 * The threads read requests in a loop of our own, which libfuse's public calls suffice for: a fixed number of threads, each with its
 * buffer, none of which comes and goes with the load. They end when the kernel says that the file system is no longer mounted; so it is
 * stopped by unmounting it, and what is under way then is answered as ever.
 *
 * Names and attributes have no or nearly no timeout (attr.c): the kernel asks each time, so nothing ever has to be taken back from it,
 * and a value that another lane changes is seen at once.
 */
#include "mount/private.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/log.h"

enum {
	WRITE_MAX = 1 << 20,		/* a whole value comes in one request */
	BACKGROUND_MAX = 256,		/* the kernel holds RELEASEs back that are more at once than this */
	NAME_BYTES_MAX = 255,
	BLOCK = 4096,
};

extern char **environ;

/* ---- ops that are refused, and small ones ---- */

static void op_symlink(fuse_req_t req, const char *link, fuse_ino_t parent, const char *name)
{
	(void)link;
	(void)parent;
	(void)name;
	fuse_reply_err(req, ENOTSUP);
}

static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
	(void)ino;
	(void)parent;
	(void)name;
	fuse_reply_err(req, ENOTSUP);
}

static void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len, struct fuse_file_info *fi)
{
	(void)ino;
	(void)mode;
	(void)off;
	(void)len;
	(void)fi;
	fuse_reply_err(req, ENOTSUP);
}

static void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	(void)ino;
	(void)datasync;
	(void)fi;
	fuse_reply_err(req, 0);		/* what was acknowledged is durable already */
}

static uint64_t count_entities(struct mount *mount)
{
	struct serve_view view;
	struct catalog_stats stats;
	uint64_t n = 0;

	if (serve_begin(mount->lane->store, mount->lane->cur, &view) < 0)
		return 0;
	for (unsigned i = 0; i < view.cat->n_groups; i++)
		if (serve_stats(&view, view.cat->groups[i], &stats) == 0)
			n += stats.entities + 1;
	serve_end(&view);
	return n;
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct mount *mount = fuse_req_userdata(req);
	struct statvfs st = { .f_bsize = BLOCK, .f_frsize = BLOCK, .f_namemax = NAME_BYTES_MAX };
	struct store_figures figures;
	uint64_t total, used;

	(void)ino;
	atomic_fetch_add_explicit(&mount->requests, 1, memory_order_relaxed);
	store_figures(mount->lane->store, &figures);
	used = figures.map_used_bytes;
	total = used + figures.map_free_bytes + figures.disk_free_bytes;
	if (total > figures.map_bytes)
		total = figures.map_bytes;
	st.f_blocks = total / BLOCK;
	st.f_bfree = st.f_bavail = total > used ? (total - used) / BLOCK : 0;
	st.f_files = count_entities(mount);
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
	.mknod = file_mknod,
	.mkdir = dir_mkdir,
	.unlink = file_unlink,
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
	.create = file_create,
	.fallocate = op_fallocate,
};

/* ---- what libfuse says ---- */

static pthread_mutex_t said_lock = PTHREAD_MUTEX_INITIALIZER;
static char said[256];		/* the last line, for the reason of a failed mount */

static void take_fuse_line(enum fuse_log_level level, const char *fmt, va_list args)
{
	char line[sizeof said];
	size_t len;

	vsnprintf(line, sizeof line, fmt, args);
	for (len = strlen(line); len && line[len - 1] == '\n'; len--)
		line[len - 1] = '\0';
	if (level >= FUSE_LOG_DEBUG) {
		log_debug("%s", line);
		return;
	}
	pthread_mutex_lock(&said_lock);
	memcpy(said, line, sizeof said);
	pthread_mutex_unlock(&said_lock);
	log_info("%s", line);
}

static int fail_as_said(struct why *why, int err, const char *what)
{
	char line[sizeof said];

	pthread_mutex_lock(&said_lock);
	memcpy(line, said, sizeof line);
	pthread_mutex_unlock(&said_lock);
	return why_fail(why, err, "%s%s%s", what, line[0] ? ": " : "", line);
}

/* ---- mounting ---- */

/* Undoes the octal escapes of /proc/self/mountinfo, in place. */
static void unescape(char *text)
{
	char *to = text;

	for (; *text; to++) {
		if (text[0] == '\\' && text[1] && text[2] && text[3]) {
			*to = (char)((text[1] - '0') << 6 | (text[2] - '0') << 3 | (text[3] - '0'));
			text += 4;
		} else {
			*to = *text++;
		}
	}
	*to = '\0';
}

/* Is a featurefs mounted exactly there? The last mount on a point is the one that is seen. */
static bool is_mounted(const char *mountpoint)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	char *line = NULL, point[PATH_MAX], type[64];
	size_t cap = 0;
	bool is = false;

	while (file && getline(&line, &cap, file) > 0) {
		const char *dash = strstr(line, " - ");

		if (sscanf(line, "%*d %*d %*s %*s %4095s", point) != 1 || !dash || sscanf(dash, " - %63s", type) != 1)
			continue;
		unescape(point);
		if (!strcmp(point, mountpoint))
			is = !strcmp(type, "fuse.featurefs");
	}
	if (file)
		fclose(file);
	free(line);
	return is;
}

static int check_mountpoint(const char *mountpoint, char **out_path, struct why *why)
{
	struct stat st;

	if (stat(mountpoint, &st) < 0) {
		int err = errno;

		if (err == ENOTCONN)
			return why_fail(why, err, "%s is a dead mount, left by a daemon that crashed: run `fusermount3 -uz %s`, then mount again",
					mountpoint, mountpoint);
		return why_fail(why, err, "mount point %s: %s", mountpoint, strerror(err));
	}
	if (!S_ISDIR(st.st_mode))
		return why_fail(why, ENOTDIR, "mount point %s is not a directory", mountpoint);
	*out_path = realpath(mountpoint, NULL);
	if (!*out_path)
		return why_fail(why, errno, "mount point %s: %s", mountpoint, strerror(errno));
	if (!is_mounted(*out_path))
		return 0;
	free(*out_path);
	*out_path = NULL;
	return why_fail(why, EBUSY, "a featurefs is mounted at %s already", mountpoint);
}

/* The options of a session, as its arguments. */
static int make_args(const struct mount_options *options, struct fuse_args *out)
{
	char *joined = NULL, *fsname = NULL;
	int rc = -ENOMEM;

	if (asprintf(&fsname, "fsname=%s", options->source) < 0)
		fsname = NULL;
	if (!fsname || fuse_opt_add_opt(&joined, "default_permissions") || fuse_opt_add_opt(&joined, "subtype=featurefs") ||
	    fuse_opt_add_opt_escaped(&joined, fsname))
		goto out;
	if (options->read_only && fuse_opt_add_opt(&joined, "ro"))
		goto out;
	if (options->kernel_options && options->kernel_options[0] && fuse_opt_add_opt(&joined, options->kernel_options))
		goto out;
	if (fuse_opt_add_arg(out, "featurefs") || fuse_opt_add_arg(out, "-o") || fuse_opt_add_arg(out, joined) ||
	    (options->debug && fuse_opt_add_arg(out, "-d")))
		goto out;
	rc = 0;
out:
	free(joined);
	free(fsname);
	return rc;
}

static int open_session(struct mount *mount, struct why *why)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	int rc = make_args(&mount->options, &args);

	if (rc == 0) {
		fuse_set_log_func(take_fuse_line);
		mount->session = fuse_session_new(&args, &editing_ops, sizeof editing_ops, mount);
		if (!mount->session)
			rc = fail_as_said(why, EINVAL, "mount options");
	}
	fuse_opt_free_args(&args);
	if (rc == 0 && fuse_session_mount(mount->session, mount->options.mountpoint) != 0)
		rc = fail_as_said(why, errno ? errno : EIO, "cannot mount");
	return rc;
}

static int init_mount(struct mount *mount, const struct mount_options *options)
{
	mount->options = *options;
	mount->options.mountpoint = NULL;
	mount->options.source = strdup(options->source);
	mount->options.kernel_options = strdup(options->kernel_options ? options->kernel_options : "");
	mount->n_threads = options->threads ? options->threads : 1;
	mount->threads = calloc(mount->n_threads, sizeof *mount->threads);
	pthread_mutex_init(&mount->lock, NULL);
	pthread_cond_init(&mount->idle, NULL);
	if (!mount->options.source || !mount->options.kernel_options || !mount->threads)
		return -ENOMEM;
	return node_table_init(mount);
}

int mount_open(const struct mount_options *options, struct direct *lane, struct mount **out, struct why *why)
{
	struct mount *mount = calloc(1, sizeof *mount);
	char *path = NULL;
	int rc;

	if (!mount)
		return -ENOMEM;
	mount->lane = lane;
	rc = init_mount(mount, options);
	if (rc == 0)
		rc = check_mountpoint(options->mountpoint, &path, why);
	mount->options.mountpoint = path;
	if (rc == 0)
		rc = call_start(mount);
	if (rc == 0)
		rc = open_session(mount, why);
	if (rc == 0)
		rc = trim_start(mount);
	if (rc < 0)
		mount_close(mount);
	else
		*out = mount;
	return rc;
}

/* ---- running ---- */

static void *serve(void *arg)
{
	struct mount *mount = arg;
	struct fuse_buf buf = { 0 };
	int rc;

	for (;;) {
		rc = fuse_session_receive_buf(mount->session, &buf);
		if (rc == -EINTR || rc == -EAGAIN)
			continue;
		if (rc <= 0)
			break;
		fuse_session_process_buf(mount->session, &buf);
	}
	free(buf.mem);
	if (rc < 0 && rc != -ENODEV) {
		pthread_mutex_lock(&mount->lock);
		mount->loop_rc = rc;
		pthread_mutex_unlock(&mount->lock);
	}
	return NULL;
}

int mount_run(struct mount *mount)
{
	unsigned n = 0;
	int err = 0;

	while (n < mount->n_threads && !(err = pthread_create(&mount->threads[n], NULL, serve, mount)))
		n++;
	if (n == 0)
		return -err;
	if (err)
		log_warn("only %u of %u threads could be started: %s", n, mount->n_threads, strerror(err));
	while (n)
		pthread_join(mount->threads[--n], NULL);
	return mount->loop_rc;
}

/* For a daemon that is not root's. */
static void run_fusermount(const char *mountpoint)
{
	const char *argv[] = { "fusermount3", "-u", "-q", "-z", "--", mountpoint, NULL };
	int status, err;
	pid_t child;

	err = posix_spawnp(&child, argv[0], NULL, NULL, (char **)argv, environ);
	if (err) {
		log_error("fusermount3: %s", strerror(err));
		return;
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (status)
		log_error("fusermount3 could not unmount %s", mountpoint);
}

void mount_stop(struct mount *mount)
{
	if (umount2(mount->options.mountpoint, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
		return;
	if (errno == EPERM)
		run_fusermount(mount->options.mountpoint);
	else if (errno != EINVAL)		/* that is: not mounted any more */
		log_error("%s: cannot unmount: %s", mount->options.mountpoint, strerror(errno));
}

void mount_close(struct mount *mount)
{
	if (!mount)
		return;
	trim_stop(mount);
	call_stop(mount);
	edit_free_all(mount);
	if (mount->session) {
		fuse_session_unmount(mount->session);
		fuse_session_destroy(mount->session);
	}
	if (mount->chains)
		node_table_release(mount);
	file_release_shown(mount);
	pthread_cond_destroy(&mount->idle);
	pthread_mutex_destroy(&mount->lock);
	free((char *)mount->options.mountpoint);
	free((char *)mount->options.source);
	free((char *)mount->options.kernel_options);
	free(mount->threads);
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
