/* SPDX-License-Identifier: MIT */
/* Views inside the room: memory (view.c), and the stored form (view_ini.c). */
#ifndef CATALOG_VIEW_H
#define CATALOG_VIEW_H

#include "catalog/group.h"

void view_free(struct catalog_view *view);		/* NULL is fine */
int view_copy(const struct catalog_view *view, struct catalog_view **out);
/* One zeroed element more, which the view has from now on. NULL without memory. */
struct catalog_column *view_add_column(struct catalog_view *view);
struct catalog_source *view_add_source(struct catalog_view *view);
/* The array with room for one element more, zeroed; NULL without memory. */
void *view_grow(void *array, unsigned n, size_t size);

/* Is this the stored form of a view? */
bool view_is_stored(struct slice bytes);
int view_encode(const struct catalog_group *grp, struct buf *out);
int view_decode(struct slice bytes, struct catalog_group **out, struct why *why);

#endif
