/* SPDX-License-Identifier: MIT */
/* Which column is what. Private to batch. */
#ifndef BATCH_MAPPING_H
#define BATCH_MAPPING_H

#include <stdbool.h>
#include <stdint.h>
#include "batch/source.h"

enum mapping_kind {
	MAPPING_PART,		/* part `index` of the key, as it is in the outside world */
	MAPPING_WHOLE,		/* all of the key: of a composite one its written form, else as it is */
	MAPPING_EVENT,
	MAPPING_FEATURE,	/* targets[index] */
};

/* A column may have several. */
struct mapping_role {
	char *column;
	enum mapping_kind kind;
	unsigned index;
	int next;		/* the next role of the same column, or -1 */
};

struct batch_mapping {
	const struct catalog_group *grp;
	const struct catalog_feature **targets;		/* in order of slots, retired ones not among them */
	bool *is_said;		/* of each target: [batch] names its column */
	unsigned n_targets;
	struct mapping_role *roles;
	unsigned n_roles;
	uint32_t *table;	/* hash of columns: index of a first role + 1, or 0 */
	uint32_t mask;
	unsigned n_parts;	/* roles of kind PART; 0: only the whole */
	bool has_whole;
	bool needs_event;	/* the event time's column was named, so it must be there */
	char delimiter;		/* 0: as the name's suffix says */
	char *null;		/* an unquoted field of text that is this is null */
};

/* The first role of the column; NULL. */
const struct mapping_role *mapping_find(const struct batch_mapping *mapping, struct slice column);
/* The next role of the same column; NULL. */
const struct mapping_role *mapping_next(const struct batch_mapping *mapping, const struct mapping_role *role);

/* The columns of one file. Indexes are of columns; -1: none. */
struct mapping_columns {
	int parts[CATALOG_KEYS_MAX];
	unsigned n_parts;	/* 1 for the whole key */
	bool is_written;	/* the whole of a composite key */
	int event;
	unsigned n_features;
	struct mapping_bound {
		unsigned target;	/* ascending */
		unsigned column;
	} *features;
	struct buf ignored;	/* "a, b, c" */
};

/* -EINVAL if there is no entity or no feature, or a column that is wanted stands twice. */
int mapping_bind(const struct batch_mapping *mapping, const struct slice *columns, size_t n, struct mapping_columns *out,
		 struct why *why);
void mapping_columns_release(struct mapping_columns *columns);

/* Appends one name to such a list. */
void mapping_list_name(struct slice name, struct buf *out);

/* Do all of these bytes stand for themselves wherever they are in a key? Then its written form is what it is, if it has one. */
bool mapping_is_plain(struct slice bytes);
/* Puts the written form of a key in place of what `out` has. `parts` are `n` raw parts, or one whole key. -EINVAL, -EILSEQ,
 * -ENAMETOOLONG, -ENOMEM. */
int mapping_entity(const struct batch_mapping *mapping, const struct slice *parts, unsigned n, bool is_written, struct buf *out,
		   struct why *why);

#endif
