/* SPDX-License-Identifier: MIT */
/* The kernel's end of a mount: which connection it is, and how to end it when open files keep it alive. */
#include "daemon/connection.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* mountinfo writes blanks and the like as \040. In place. */
static void unescape(char *text)
{
	char *to = text;

	for (; *text; text++) {
		if (text[0] == '\\' && text[1] >= '0' && text[1] <= '3' && text[2] && text[3]) {
			*to++ = (char)((text[1] - '0') << 6 | (text[2] - '0') << 3 | (text[3] - '0'));
			text += 3;
		} else {
			*to++ = *text;
		}
	}
	*to = '\0';
}

int connection_find(const char *mountpoint)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	char *line = NULL, point[4096];
	size_t cap = 0;
	int minor, found = -1;

	while (file && getline(&line, &cap, file) > 0) {
		if (sscanf(line, "%*d %*d 0:%d %*s %4095s", &minor, point) != 2)
			continue;
		unescape(point);
		if (!strcmp(point, mountpoint))
			found = minor;
	}
	if (file)
		fclose(file);
	free(line);
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
