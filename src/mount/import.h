/* SPDX-License-Identifier: MIT */
/* The directory .import of a group. Private to mount. */
#ifndef MOUNT_IMPORT_H
#define MOUNT_IMPORT_H

#include <dirent.h>
#include "mount/handle.h"

/* On nodes of .import, which tell where they are; 0 or -errno, unless they reply. */
int import_look_up(struct mount *mount, struct node *dir, const char *name, struct fuse_entry_param *out);
int import_attr(struct mount *mount, const struct node *node, struct stat *out);
int import_attr_root(struct mount *mount, uint32_t group_id, struct stat *out);		/* of .import itself */
int import_open(struct mount *mount, struct node *node, int flags, pid_t tid, struct handle **out);
/* The node comes held. */
int import_create(struct mount *mount, struct node *dir, const char *name, int flags, pid_t tid, struct node **out_node,
		  struct handle **out);
int import_make_file(struct mount *mount, struct node *dir, const char *name, pid_t tid);
void import_read(struct mount *mount, struct handle *handle, fuse_req_t req, size_t size, off_t off);	/* replies */
int import_write(struct handle *handle, struct slice bytes, off_t off, bool at_end);
void import_flush(struct mount *mount, struct handle *handle, pid_t tid);
int import_sync(struct handle *handle);
void import_close(struct mount *mount, struct handle *handle);
/* The end of the mount: only a file that its opener had closed is whole. */
void import_end(struct mount *mount, struct handle *handle);
/* `handle` may be NULL. */
int import_setattr(struct mount *mount, struct node *node, struct handle *handle, const struct stat *attr, int to_set);
int import_mkdir(struct mount *mount, struct node *dir, const char *name);
int import_remove(struct mount *mount, struct node *dir, const char *name, bool is_dir);
int import_rename(struct mount *mount, struct node *dir, const char *name, struct node *to_dir, const char *to_name, bool no_replace);
/* Opens a directory of real files (NULL: there are none), or lists the names of reports, each with a NUL. */
int import_open_dir(struct mount *mount, const struct node *node, DIR **out_dir, struct buf *out_names);
uint64_t import_number(const struct dirent *entry);
/* `name` NULL: lists. */
int import_get_attr(struct mount *mount, const struct node *node, const char *name, struct buf *out);
int import_set_attr(struct mount *mount, const struct node *node, const char *name, const struct slice *value);

#endif
