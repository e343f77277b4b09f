/* SPDX-License-Identifier: MIT */
/* A change against its group. Private to ingest; ingest_check_value is the door's. */
#ifndef INGEST_CHECK_H
#define INGEST_CHECK_H

#include "base/why.h"
#include "catalog/catalog.h"
#include "store/record.h"

/* Every cell of a record that a lane brings: is the slot declared and not retired, does the type fit, do the rules hold. `out_slot` is the
 * one at fault. 0, -EPERM, -EINVAL, -ERANGE, -EFBIG. */
int check_record(const struct record *rec, const struct catalog_group *grp, uint16_t *out_slot, struct why *why);

#endif
