/* SPDX-License-Identifier: MIT */
/* A FUSE connection as the kernel numbers it. */
#ifndef DAEMON_CONNECTION_H
#define DAEMON_CONNECTION_H

#include <stdbool.h>

/* The number of the connection that is mounted there; -1 if none is. */
int connection_find(const char *mountpoint);
/* Ends it: whatever is open gets errors. By the kernel's control files, which not every machine has mounted. */
bool connection_abort(int connection);

#endif
