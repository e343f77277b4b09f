/* SPDX-License-Identifier: MIT */
/* Views, as directories of joined rows. Private to mount. */
#ifndef MOUNT_JOIN_H
#define MOUNT_JOIN_H

#include "mount/look.h"

enum join_form { JOIN_JSON, JOIN_F32 };

const char *join_form_name(unsigned form);		/* NULL past the last */
/* What a name in a view's directory, or in that of a form, means. -ENOENT. */
int join_mean(const struct catalog_group *grp, const struct target *dir, const char *name, struct meaning *out);
/* May the caller read the group? */
bool join_may_read(const struct mount_owners *owners, const struct catalog_group *grp, fuse_req_t req);
/* All groups of the view? -EACCES. */
int join_check_rights(const struct mount_owners *owners, const struct catalog *cat, const struct catalog_group *grp, fuse_req_t req);
/* A row of a view in one of its forms. Errors of serve_join_rows and serve_join_f32. */
int join_render(const struct serve_view *view, const struct catalog_group *grp, unsigned form, struct slice key, struct buf *out, struct why *why);
/* The same for a node; what is wrong with the view itself is noted in its .errors, and is -EINVAL. `req` may be NULL. */
int join_render_at(struct direct *lane, const struct serve_view *view, const struct target *target, fuse_req_t req, struct buf *out);

#endif
