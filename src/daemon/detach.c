/* SPDX-License-Identifier: MIT */
/*
 * The parent stays until the child says that the file system is mounted, asks the mount point itself whether it answers, and returns the child's
 * exit status if it does not come up; until then the child's errors go to the parent's stderr, afterwards to syslog.
 */
#include "daemon/detach.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/log.h"

/* The parent: waits for the child's word, then for an answer of the mount. Returns the exit status. */
static int wait_for_child(pid_t child, int fd, const char *mountpoint, dev_t dev_before)
{
	struct stat st;
	char word;
	ssize_t n;
	int status = 0;

	do
		n = read(fd, &word, 1);
	while (n < 0 && errno == EINTR);
	if (n == 1) {
		if (stat(mountpoint, &st) == 0 && st.st_dev != dev_before)
			return EXIT_SUCCESS;
		log_error("%s was mounted, but does not answer; the system's log may say why", mountpoint);
		return EXIT_FAILURE;
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status))
		log_error("the daemon was killed by signal %d before it had mounted", WTERMSIG(status));
	return WIFEXITED(status) && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : EXIT_FAILURE;
}

int detach(const char *mountpoint, int *out_ready_fd)
{
	struct stat st = { 0 };
	int fds[2];
	pid_t child;

	stat(mountpoint, &st);		/* what fails here is told by mount_open */
	if (pipe2(fds, O_CLOEXEC) < 0)
		goto fail;
	child = fork();
	if (child < 0)
		goto fail;
	if (child > 0) {
		close(fds[1]);
		_exit(wait_for_child(child, fds[0], mountpoint, st.st_dev));
	}
	close(fds[0]);
	*out_ready_fd = fds[1];
	if (setsid() < 0 || chdir("/") < 0)
		goto fail;
	return 0;
fail:
	log_error("cannot detach: %s", strerror(errno));
	return -errno;
}

int detach_ready(int *ready_fd)
{
	int null;

	if (*ready_fd < 0)
		return 0;
	log_to_syslog("featurefs");
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 || dup2(null, STDERR_FILENO) < 0) {
		log_error("/dev/null: %s", strerror(errno));
		return -errno;
	}
	if (null > STDERR_FILENO)
		close(null);
	if (write(*ready_fd, "", 1) != 1)
		log_warn("whoever started the daemon did not wait for it");
	close(*ready_fd);
	*ready_fd = -1;
	return 0;
}
