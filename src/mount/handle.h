/* SPDX-License-Identifier: MIT */
/* What is open, and what read handles show. Private to mount. */
#ifndef MOUNT_HANDLE_H
#define MOUNT_HANDLE_H

#include "mount/attr.h"
#include "mount/private.h"

enum handle_kind { HANDLE_SHOWN = 1, HANDLE_EDIT, HANDLE_SCRATCH, HANDLE_DIR, HANDLE_TREE, HANDLE_LOOKUP, HANDLE_IMPORT };

/* Every open file and directory begins with this. */
struct handle {
	enum handle_kind kind;
	struct node *node;		/* held */
	struct handle *next, **prev;	/* [L] in mount->open; an edit is in mount->edits instead */
};

/* Every open counts mount->handles up when its handle is complete; looking at that here orders the two for those who cannot see that
 * the kernel does. After the reply the handle may be gone: whoever still needs it holds it. */
static inline struct handle *handle_of(struct mount *mount, const struct fuse_file_info *fi)
{
	atomic_load_explicit(&mount->handles, memory_order_acquire);
	return (struct handle *)(uintptr_t)fi->fh;
}

void handle_list_locked(struct mount *mount, struct handle *handle);
void handle_unlist_locked(struct handle *handle);
/* A complete handle is open: holds its node, lists and counts it. */
void handle_begin(struct mount *mount, struct handle *handle);
/* The opposite; the caller frees it. */
void handle_end(struct mount *mount, struct handle *handle);
/* At the end of the mount: closes what the kernel has not. */
void handle_end_all(struct mount *mount);

/* ---- shown.c ---- */

enum { SHOWN_INLINE = 200 };

/* What read handles show, shared by all that were opened on one node. Its bytes never change. */
struct shown {
	struct handle handle;
	unsigned refs;			/* [L] handles */
	bool is_nodes;			/* the node points to it */
	struct content content;		/* version [L]: the newest snapshot that this is known to be the content of */
	char *heap;			/* where it does not fit below */
	struct shown *next_free;
	char bytes[SHOWN_INLINE];
};

bool shown_is(const struct shown *shown, const struct content *content);
void shown_release(struct mount *mount);	/* the free list */
/* A handle on a file with content; on one that shows no size; on a row of a view. -ESTALE: writers have the node, look it up again. */
int shown_open(struct mount *mount, struct node *node, const struct target *target, pid_t tid, struct handle **out);
int shown_open_rendered(struct mount *mount, struct node *node, const struct target *target, struct handle **out);
int shown_open_join(struct mount *mount, struct node *node, const struct target *target, fuse_req_t req, struct handle **out);
void shown_read(struct mount *mount, struct shown *shown, fuse_req_t req, size_t size, off_t off);
void shown_drop(struct mount *mount, struct shown *shown);

/* ---- file.c ---- */

void file_set_info(struct fuse_file_info *fi, const struct handle *handle);
/* Replies if there is a `req`; NULL: the open never came about. */
void file_close_handle(struct mount *mount, struct handle *handle, fuse_req_t req);

#endif
