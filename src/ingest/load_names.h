/* SPDX-License-Identifier: MIT */
/* The names of rows that were screened, and what became of each. Private to ingest. */
#ifndef INGEST_LOAD_NAMES_H
#define INGEST_LOAD_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/slice.h"

struct names;

enum fate { FATE_UNMET, FATE_KEPT_OUT, FATE_GIVEN };

/* Names for that many bytes at the most, and at once room for as many as are expected. NULL: no memory. */
struct names *names_new(size_t bytes_max, uint64_t n_hint);
void names_free(struct names *names);		/* NULL is fine */
/* Any thread. */
uint64_t names_hash(const struct names *names, struct slice entity);
/* Has the memory of a name's place on its way. */
void names_fetch(struct names *names, uint64_t hash);
enum fate names_fate(struct names *names, uint64_t hash);
/* One that was not met before. false: there is no room, it is not remembered, and none is from then on. */
bool names_meet(struct names *names, uint64_t hash, enum fate fate);
/* One that was. */
void names_change(struct names *names, uint64_t hash, enum fate fate);

#endif
