/* SPDX-License-Identifier: MIT */
/* The kernel's end of a mount: which connection it is, and how to end it when open files keep it alive. */
#include "daemon/connection.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/mounts.h"

int connection_find(const char *mountpoint)
{
	struct mounts mounts;
	const struct mount_point *point;
	int found = -1;

	if (mounts_read(&mounts) < 0)
		return -1;
	point = mounts_find(&mounts, mountpoint);
	if (point && !strncmp(point->type, "fuse", strlen("fuse")))
		found = point->device_minor;
	mounts_release(&mounts);
	return found;
}

bool connection_abort(int connection)
{
	char path[64];
	bool is_done;
	int fd;

	snprintf(path, sizeof(path), "/sys/fs/fuse/connections/%d/abort", connection);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	is_done = fd >= 0 && write(fd, "1", 1) == 1;
	if (fd >= 0)
		close(fd);
	return is_done;
}
