/* SPDX-License-Identifier: MIT */
/* Questions after many entities, answered in one file. Private to mount. */
#ifndef MOUNT_LOOKUP_H
#define MOUNT_LOOKUP_H

#include "mount/handle.h"

int lookup_open(struct mount *mount, struct node *node, struct handle **out);
int lookup_write(struct handle *handle, struct slice bytes);
void lookup_read(struct mount *mount, struct handle *handle, fuse_req_t req, size_t size);	/* replies */
void lookup_close(struct mount *mount, struct handle *handle);
/* The answer to a list of names. Appends. -EFBIG, -EILSEQ, -ESTALE, -ENOTSUP. */
int lookup_answer(const struct serve_view *view, const struct catalog_group *grp, unsigned form, struct slice asked, struct buf *out,
		  struct why *why);

#endif
