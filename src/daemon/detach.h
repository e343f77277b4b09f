/* SPDX-License-Identifier: MIT */
/* Leaving the terminal: the daemon goes on in a child, and its caller returns when the mount answers. Both log what goes wrong. */
#ifndef DAEMON_DETACH_H
#define DAEMON_DETACH_H

/* Before there is any thread. Returns in the child only, with a descriptor to the parent, who waits. */
int detach(const char *mountpoint, int *out_ready_fd);
/* Mounted: lets the parent go; stderr and stdout are somebody else's from here on. Nothing to do where the descriptor is -1. */
int detach_ready(int *ready_fd);

#endif
