/* SPDX-License-Identifier: MIT */
/* Which names are the store's own, and which are scratch files. Pure. Private to mount. */
#ifndef MOUNT_NAME_H
#define MOUNT_NAME_H

#include <stdbool.h>
#include <stddef.h>

/* ".schema", ".row", ... wherever they stand, also those that have no meaning yet. */
bool name_is_reserved(const char *name);
/* A name that an editor or a tool uses for a moment. Declared features and entities come first; that is the caller's to know. */
bool name_is_scratch(const char *name);
/* Is it "<feature>.bin"? The length of the feature's name, else 0. */
size_t name_is_bin(const char *name);

#endif
