/* SPDX-License-Identifier: MIT */
/* Rows of one entity in one load become one. Private to batch. */
#ifndef BATCH_MERGE_H
#define BATCH_MERGE_H

#include "store/record.h"

/* Appends what two rows of one entity come to, `later` having been read behind `earlier`: of each feature the newest event time, at a tie
 * the later row's; a deletion of the whole entity takes away what is not newer. -EBADMSG, -ENOMEM, -EFBIG. */
int merge_rows(struct slice earlier, struct slice later, struct record_builder *scratch, struct buf *out);

#endif
