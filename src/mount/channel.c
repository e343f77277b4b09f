/* SPDX-License-Identifier: MIT */
/*
 * A connection to the kernel: mounting, unmounting, and in between the threads of its crew. Each of the two mounts has one. It is
 * stopped by unmounting it, and what is under way then is answered as ever.
 */
#include "mount/channel.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/log.h"
#include "base/mounts.h"
#include "mount/crew.h"
#include "mount/uring.h"

extern char **environ;

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

/* Is a featurefs mounted exactly there? A table that can't be read is no reason not to mount: the kernel then has the last word. */
static bool is_mounted(const char *mountpoint)
{
	struct mounts mounts;
	const struct mount_point *point;
	bool is;

	if (mounts_read(&mounts) < 0)
		return false;
	point = mounts_find(&mounts, mountpoint);
	is = point && !strncmp(point->type, "fuse.featurefs", strlen("fuse.featurefs"));
	mounts_release(&mounts);
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
static int make_args(const struct channel_options *options, struct fuse_args *out)
{
	const char *subtype = options->is_serving ? "subtype=featurefs-serving" : "subtype=featurefs";
	char *joined = NULL, *fsname = NULL;
	int rc = -ENOMEM;

	if (asprintf(&fsname, "fsname=%s", options->source) < 0)
		fsname = NULL;
	if (!fsname || fuse_opt_add_opt(&joined, "default_permissions") || fuse_opt_add_opt(&joined, subtype) ||
	    fuse_opt_add_opt_escaped(&joined, fsname))
		goto out;
	if (options->read_only && fuse_opt_add_opt(&joined, "ro"))
		goto out;
	if (options->io_uring && fuse_opt_add_opt(&joined, "io_uring"))
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

static int open_session(struct channel *channel, const struct channel_options *options, struct why *why)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	int rc = make_args(options, &args);

	if (rc == 0) {
		fuse_set_log_func(take_fuse_line);
		channel->session = fuse_session_new(&args, options->ops, sizeof *options->ops, options->userdata);
		if (!channel->session)
			rc = fail_as_said(why, EINVAL, "mount options");
	}
	fuse_opt_free_args(&args);
	if (rc == 0 && fuse_session_mount(channel->session, channel->mountpoint) != 0)
		rc = fail_as_said(why, errno ? errno : EIO, "cannot mount");
	return rc;
}

int channel_open(struct channel *channel, const struct channel_options *options, struct why *why)
{
	int rc;

	*channel = (struct channel){ .n_threads = options->threads ? options->threads : 1, .io_uring = options->io_uring };
	rc = check_mountpoint(options->mountpoint, &channel->mountpoint, why);
	if (rc == 0 && options->io_uring)
		rc = uring_check(why);
	if (rc == 0)
		rc = open_session(channel, options, why);
	if (rc < 0)
		channel_close(channel);
	return rc;
}

/* ---- running ---- */

int channel_run(struct channel *channel)
{
	int rc = crew_run(channel->session, channel->n_threads);
	int end = channel->io_uring ? uring_end(channel->session) : 0;

	return rc < 0 ? rc : end;
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

void channel_stop(struct channel *channel)
{
	if (umount2(channel->mountpoint, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
		return;
	if (errno == EPERM)
		run_fusermount(channel->mountpoint);
	else if (errno != EINVAL)		/* that is: not mounted any more */
		log_error("%s: cannot unmount: %s", channel->mountpoint, strerror(errno));
}

void channel_close(struct channel *channel)
{
	if (channel->session) {
		fuse_session_unmount(channel->session);
		fuse_session_destroy(channel->session);
	}
	free(channel->mountpoint);
	*channel = (struct channel){ 0 };
}
