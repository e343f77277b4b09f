/* SPDX-License-Identifier: MIT */
/* Answers to requests. Private to mount. */
#ifndef MOUNT_REPLY_H
#define MOUNT_REPLY_H

#include <fuse_lowlevel.h>

/*
 * Answers. An error that is nobody's fault but the disk's or ours is told in the log as well, with the operation; so is an answer that the kernel
 * does not take, whose caller gets EIO. Like libfuse's calls they return 0 or -errno; -ENOENT: nobody waits for it any more.
 */
int reply_err_from(const char *op, fuse_req_t req, int err);
int reply_taken(const char *op, int rc);

#define reply_err(req, err) reply_err_from(__func__, req, err)
#define reply_buf(req, ...) reply_taken(__func__, fuse_reply_buf(req, __VA_ARGS__))
#define reply_entry(req, entry) reply_taken(__func__, fuse_reply_entry(req, entry))
#define reply_create(req, entry, fi) reply_taken(__func__, fuse_reply_create(req, entry, fi))
#define reply_open(req, fi) reply_taken(__func__, fuse_reply_open(req, fi))
#define reply_attr(req, st, timeout) reply_taken(__func__, fuse_reply_attr(req, st, timeout))
#define reply_write(req, len) reply_taken(__func__, fuse_reply_write(req, len))
#define reply_xattr(req, len) reply_taken(__func__, fuse_reply_xattr(req, len))
#define reply_ioctl(req, ...) reply_taken(__func__, fuse_reply_ioctl(req, __VA_ARGS__))

#endif
