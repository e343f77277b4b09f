/* SPDX-License-Identifier: MIT */
/*
 * Where an open directory stands among names that have no number of their own. Entry i is the i-th name that was listed since the
 * directory was opened or rewound. The names of the last reply are kept exactly, and of all earlier ones each 1,024th, so that any
 * earlier place can be found again in bounded memory. Not thread-safe. Private to mount.
 */
#ifndef MOUNT_LISTING_H
#define MOUNT_LISTING_H

#include <stdint.h>
#include "base/buf.h"
#include "base/slice.h"

enum { LISTING_STEP = 1024 };

struct listing {
	uint64_t first;		/* number of the first name in `names` */
	uint64_t count;		/* of them */
	struct buf names;	/* of the last reply, and the one before its first, each with its length (u8) before it */
	struct buf places;	/* u32 offsets into names */
	uint64_t n_marks;
	struct buf marks;	/* the names numbered STEP - 1, 2 * STEP - 1, ..., each with its length before it */
	struct buf mark_places;	/* u32 offsets into marks */
};

void listing_release(struct listing *list);
void listing_rewind(struct listing *list);
/* Begins a reply whose first name will have number `number`; `before` is the name before it, empty for number 0 (and not one that lives
 * in the listing). 0 or -ENOMEM. */
int listing_begin(struct listing *list, uint64_t number, struct slice before);
/* Adds the next name of the reply, 1 to 255 bytes. 0 or -ENOMEM. */
int listing_add(struct listing *list, struct slice name);
/* How to come to entry `number`: walk behind `out_after` (empty: from the first name) and skip `out_skip` names. The slice lives until
 * the next call that changes the listing. */
void listing_seek(const struct listing *list, uint64_t number, struct slice *out_after, uint64_t *out_skip);

#endif
