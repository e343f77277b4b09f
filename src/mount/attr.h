/* SPDX-License-Identifier: MIT */
/* What stat shows, and what the kernel was told of it. Private to mount. */
#ifndef MOUNT_ATTR_H
#define MOUNT_ATTR_H

#include <sys/stat.h>
#include "mount/node.h"

struct job;

/* The current text of a node with content, and the times of the value it shows. */
struct content {
	int64_t event_ns, ingest_ns;
	uint64_t version;		/* of the snapshot */
	struct slice text;		/* in the buffer it was rendered to */
};

/* This thread's buffer, emptied. NULL without memory. One use at a time. */
struct buf *attr_buffer(void);
/* -ENOENT if there is no such thing, or not any more. */
int attr_render(const struct serve_view *view, const struct target *target, struct buf *buf, struct content *out);
/* The same as it stands now, in this thread's buffer. */
int attr_render_now(struct mount *mount, const struct target *target, struct content *out);
/* Attributes of everything but scratch files; `content` for those that have it. -ENOENT. */
int attr_fill(struct mount *mount, const struct serve_view *view, const struct target *target, const struct content *content,
	      struct stat *out);
/* From a row at hand: of VALUE, BIN and ROW. */
int attr_render_row(const struct serve_view *view, const struct catalog_group *grp, const struct target *target,
		    const struct record *rec, struct buf *buf, struct content *out);
/* What attributes depend on beside the store. */
struct attr_frame {
	const struct mount_owners *owners;
	struct direct *lane;
	int64_t root_ns;		/* when groups last came, went or were renamed, as far as the catalog doesn't tell */
};

/* Without the trees of others. */
int attr_fill_plain(const struct attr_frame *frame, const struct serve_view *view, const struct target *target,
		    const struct content *content, struct stat *out);
/* The attributes of a node with content, whatever its size and times. */
int attr_fill_content(struct mount *mount, const struct target *target, uint64_t size, int64_t event_ns, int64_t ingest_ns,
		      struct stat *out);
uint64_t attr_number(enum node_kind kind, uint32_t group_id, uint32_t number, struct slice entity);
/* Shows it as the owners want it. */
void attr_own(const struct mount_owners *owners, struct stat *st, mode_t type, mode_t mode, uid_t uid, gid_t gid);
/* Notes what an answer to the thread tells of the node. true: older answers are to be voided before it is given. */
bool attr_tell_locked(struct node *node, const struct content *content, pid_t tid);
/* The same of an open, which shows a text and tells nothing. */
bool attr_show_locked(struct node *node, const struct content *content);
/* May a thread but this one be looking at what it was told just now? */
bool attr_is_watched_locked(const struct node *node, pid_t tid);
/* Makes the kernel forget the attributes and drop what is still under way. -ENOENT: it doesn't have the node, or not yet. */
int attr_void(struct mount *mount, struct node *node);
/* Attributes of any node, as `caller` (a thread) sees it. `out_timeout`: how long the kernel may keep them. */
int attr_get(struct mount *mount, struct node *node, pid_t caller, struct stat *out, double *out_timeout);
double attr_timeout(void);
/* The end of a job that changed attributes: replies with them as they are now. */
void attr_end_change(struct job *job, int rc);

#endif
