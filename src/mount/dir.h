/* SPDX-License-Identifier: MIT */
/* Directories. Private to mount. */
#ifndef MOUNT_DIR_H
#define MOUNT_DIR_H

#include "mount/handle.h"

struct listing;

/* A reply that is being filled. */
struct dir_reply {
	fuse_req_t req;
	char *data;
	size_t size, len;
	bool is_plus;			/* in READDIRPLUS' format, with names only */
};

/* Each adds what stands behind `off`, as much as fits; dir_add is false if the entry doesn't. `listing` is the handle's. */
bool dir_add(struct dir_reply *reply, const char *name, mode_t type, uint64_t number, off_t off);
int dir_list_root(const struct serve_view *view, struct dir_reply *reply, uint64_t off);
int dir_list_views(const struct serve_view *view, struct dir_reply *reply, uint64_t off);
int dir_list_entity(const struct serve_view *view, const struct catalog_group *grp, const struct target *target, struct dir_reply *reply,
		    uint64_t off);
int dir_list_group(const struct serve_view *view, const struct catalog_group *grp, struct listing *listing, struct dir_reply *reply,
		   uint64_t off);
enum { DIR_FIRST = 3 };		/* offsets 0, 1, 2 are before ".", before ".." and before the first name */

void dir_close(struct mount *mount, struct handle *handle);
/* May an entity of the group be called that? Notes a refusal. */
int dir_check_entity(struct mount *mount, fuse_req_t req, const struct target *group, const char *name);
void dir_touch_root(struct mount *mount);	/* groups came, went or were renamed */

#endif
