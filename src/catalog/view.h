/* SPDX-License-Identifier: MIT */
/* Views inside the room: memory, and the stored form. */
#ifndef CATALOG_VIEW_H
#define CATALOG_VIEW_H

#include "catalog/group.h"

void view_free(struct catalog_view *view);		/* NULL is fine */
int view_copy(const struct catalog_view *view, struct catalog_view **out);

/* Is this the stored form of a view? */
bool view_is_stored(struct slice bytes);
int view_encode(const struct catalog_group *grp, struct buf *out);
int view_decode(struct slice bytes, struct catalog_group **out, struct why *why);

#endif
