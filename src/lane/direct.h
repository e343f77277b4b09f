/* SPDX-License-Identifier: MIT */
/*
 * The direct lane: values and rows that people and programs write as files. It knows formats (file text, .bin, JSON rows) and hands
 * typed changes to ingest; it knows nothing of FUSE. Every call answers exactly once through `done`, maybe before it returns, from any thread; a
 * call never sleeps in a commit that another thread leads. What is refused is noted for .errors here, so callers only pass the errno on.
 */
#ifndef LANE_DIRECT_H
#define LANE_DIRECT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/slice.h"
#include "base/why.h"
#include "ingest/ingest.h"
#include "serve/serve.h"

struct direct {
	struct store *store;
	struct catalog_current *cur;
	struct ingest *ingest;
};

/* Who writes, and with what time of its own (INGEST_NOW: none). */
struct direct_origin {
	uid_t uid;
	int64_t event_ns;
};

enum direct_form { DIRECT_TEXT, DIRECT_BIN };

enum { DIRECT_ROW_MAX = 4 << 20, DIRECT_UPSERT_MAX = 16 << 20, DIRECT_SCHEMA_MAX = 1 << 20 };

typedef void (*direct_done)(void *arg, int rc);

/* ---- judged while it is written: nothing is stored; a refusal is noted for .errors ---- */

/* The whole value (is_whole), or what there is of it so far. An empty whole text is a null. */
int direct_judge(struct direct *lane, const struct direct_origin *origin, uint32_t group_id, struct slice entity, uint16_t slot,
		 enum direct_form form, struct slice bytes, bool is_whole);
/* Notes a refusal that the file system itself makes (an undeclared name, a value past its bound) and returns -err. */
int direct_refuse(struct direct *lane, const struct direct_origin *origin, uint32_t group_id, struct slice entity,
		  struct slice name, int err, const char *detail);

/* ---- values ---- */

/* Empty bytes are a null (for DIRECT_BIN of fixed-size types too). Makes the entity if it is not there. -ESTALE: see DESIGN's direct lane. */
void direct_put(struct direct *lane, const struct direct_origin *origin, uint32_t group_id, struct slice entity, uint16_t slot,
		enum direct_form form, struct slice bytes, direct_done done, void *arg);
/* -ENOENT if it has no value. */
void direct_delete(struct direct *lane, const struct direct_origin *origin, uint32_t group_id, struct slice entity, uint16_t slot,
		   direct_done done, void *arg);
/* Gives the value that stands another event time (INGEST_NOW: now), if the direct lane wrote it; else -EPERM. */
void direct_restamp(struct direct *lane, const struct direct_origin *origin, uint32_t group_id, struct slice entity, uint16_t slot,
		    direct_done done, void *arg);
/* Moves a value with its event time to another name, of any group; its text must be a value there. `no_replace`: -EEXIST. */
struct direct_place {
	uint32_t group_id;
	struct slice entity;
	uint16_t slot;
};
void direct_move(struct direct *lane, const struct direct_origin *origin, const struct direct_place *from,
		 const struct direct_place *to, bool no_replace, direct_done done, void *arg);

/* ---- rows ---- */

/* JSON text of one row of `entity` (.row): values, nulls and deletes at once. */
void direct_put_row(struct direct *lane, const struct direct_origin *origin, uint32_t group_id, struct slice entity,
		    struct slice json, direct_done done, void *arg);
/* JSON Lines (.upsert): all rows or none. The reason names the line. */
void direct_upsert(struct direct *lane, const struct direct_origin *origin, uint32_t group_id, struct slice lines,
		   direct_done done, void *arg);

/* ---- entities ---- */

void direct_make_entity(struct direct *lane, const struct direct_origin *origin, uint32_t group_id, struct slice entity,
			direct_done done, void *arg);
void direct_remove_entity(struct direct *lane, const struct direct_origin *origin, uint32_t group_id, struct slice entity,
			  direct_done done, void *arg);
/* One commit. Another group: -EXDEV. The target may be an entity without values, unless no_replace. */
void direct_rename_entity(struct direct *lane, const struct direct_origin *origin, uint32_t group_id, struct slice from,
			  struct slice to, bool no_replace, direct_done done, void *arg);

/* ---- groups ---- */

void direct_make_group(struct direct *lane, const struct direct_origin *origin, struct slice name, gid_t gid, mode_t mode,
		       direct_done done, void *arg);
/* A view; the calls below are for views too. */
void direct_make_view(struct direct *lane, const struct direct_origin *origin, struct slice name, gid_t gid, mode_t mode,
		      direct_done done, void *arg);
void direct_define_group(struct direct *lane, const struct direct_origin *origin, uint32_t group_id, struct slice text,
			 direct_done done, void *arg);
void direct_rename_group(struct direct *lane, const struct direct_origin *origin, uint32_t group_id, struct slice name,
			 bool no_replace, direct_done done, void *arg);
void direct_remove_group(struct direct *lane, const struct direct_origin *origin, uint32_t group_id, direct_done done, void *arg);
void direct_own_group(struct direct *lane, const struct direct_origin *origin, uint32_t group_id, mode_t mode, uid_t uid, gid_t gid,
		      direct_done done, void *arg);
void direct_attr_group(struct direct *lane, const struct direct_origin *origin, uint32_t group_id, struct slice name,
		       const struct slice *value, int how, direct_done done, void *arg);

#endif
