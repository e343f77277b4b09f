/* SPDX-License-Identifier: MIT */
/*
 * Changes as bytes. The payload of a record of the log is the changes of one commit, one after another; lengths and numbers are
 * little-endian u32:
 *
 *	1 ROW		rows, length, entity, length, delta
 *	2 LATE		rows, length, entity, length, record
 *	3 PUT		table (one byte), length, key, length, value
 *	4 DELETE	table (one byte), length, key
 *	5 NOTE		length, text
 *	6 SET		rows, length, entity, length, row (empty: hides)
 *	7 FOLD		from, length, last entity, length, first entity (empty: from the beginning), into
 *	8 CLEAR		rows, length, last entity
 *
 *	put "k" = "v" into the sources (table 5):	03 05 01000000 6b 01000000 76
 *
 * A load of many rows into one group writes whole rows into a table of its own, the shadow, in many commits. SET replaces
 * a row whatever stands there. Publishing makes the shadow the group's overlay (a row in it stands for the one in the
 * group's own table, an empty one hides it) or the group's table; that is a PUT of the group's definition. FOLD
 * moves rows of an overlay into the table below, CLEAR empties a table that nobody reads any more; both only log which
 * rows, for replay finds the same ones. Notes tell who reads the log what a shadow is for; names are text, numbers
 * decimal:
 *
 *	load begin SHADOW GROUP INGEST_NS	SETs (and LATEs) of table SHADOW that follow are a load's of group GROUP
 *	load publish SHADOW GROUP TABLE		all of them took effect with this commit: as rows of TABLE from now on
 *	load abort SHADOW GROUP			none ever will. A SHADOW without either (a crash): the same
 *
 * A SET holds the complete row. What the load changed in it are the cells (and the row's tombstone) whose stamp
 * has the load's INGEST_NS; the last SET of an entity counts. FOLD and CLEAR change no value that anybody sees.
 */
#include <errno.h>
#include "store/env.h"
#include "store/key.h"
#include "store/le.h"

static bool take_u8(struct slice *in, uint8_t *out)
{
	if (!in->len)
		return false;
	*out = *(const uint8_t *)in->data;
	*in = slice_of((const char *)in->data + 1, in->len - 1);
	return true;
}

static bool take_u32(struct slice *in, uint32_t *out)
{
	if (in->len < 4)
		return false;
	*out = le_get32(in->data);
	*in = slice_of((const char *)in->data + 4, in->len - 4);
	return true;
}

static bool take_bytes(struct slice *in, struct slice *out)
{
	uint32_t len;

	if (!take_u32(in, &len) || len > in->len)
		return false;
	*out = slice_of(in->data, len);
	*in = slice_of((const char *)in->data + len, in->len - len);
	return true;
}

static bool take_table(struct slice *in, enum store_table *out)
{
	uint8_t table;

	if (!take_u8(in, &table) || table >= STORE_TABLES)
		return false;
	*out = table;
	return true;
}

/* A table of rows and an entity in it. */
static bool take_entity(struct slice *in, struct store_change *out)
{
	return take_u32(in, &out->rows) && take_bytes(in, &out->key) && out->key.len && out->key.len <= KEY_ENTITY_MAX;
}

int store_change_next(struct slice *payload, struct store_change *out)
{
	struct store_change change = { 0 };
	struct slice in = *payload;
	uint8_t kind;
	bool is_whole = false;

	if (!in.len)
		return -ENOENT;
	take_u8(&in, &kind);
	switch (kind) {
	case STORE_CHANGE_ROW:
	case STORE_CHANGE_LATE:
		is_whole = take_entity(&in, &change) && take_bytes(&in, &change.value);
		break;
	case STORE_CHANGE_PUT:
		is_whole = take_table(&in, &change.table) && take_bytes(&in, &change.key) &&
			   take_bytes(&in, &change.value) && change.key.len && change.key.len <= KEY_MAX;
		break;
	case STORE_CHANGE_DELETE:
		is_whole = take_table(&in, &change.table) && take_bytes(&in, &change.key) && change.key.len &&
			   change.key.len <= KEY_MAX;
		break;
	case STORE_CHANGE_NOTE:
		is_whole = take_bytes(&in, &change.value);
		break;
	case STORE_CHANGE_SET:
		is_whole = take_entity(&in, &change) && take_bytes(&in, &change.value);
		break;
	case STORE_CHANGE_FOLD:
		is_whole = take_entity(&in, &change) && take_bytes(&in, &change.value) && take_u32(&in, &change.into) &&
			   change.value.len <= KEY_ENTITY_MAX && change.into != change.rows;
		break;
	case STORE_CHANGE_CLEAR:
		is_whole = take_entity(&in, &change);
		break;
	}
	if (!is_whole)
		return -EBADMSG;
	change.kind = kind;
	*payload = in;
	*out = change;
	return 0;
}

static void append_bytes(struct buf *out, struct slice bytes)
{
	buf_append_u32(out, (uint32_t)bytes.len);
	buf_append_slice(out, bytes);
}

void change_append(struct buf *out, const struct store_change *change)
{
	buf_append_u8(out, (uint8_t)change->kind);
	if (change_has_table(change))
		buf_append_u8(out, (uint8_t)change->table);
	else if (change->kind != STORE_CHANGE_NOTE)
		buf_append_u32(out, change->rows);
	if (change->kind != STORE_CHANGE_NOTE)
		append_bytes(out, change->key);
	if (change->kind != STORE_CHANGE_DELETE && change->kind != STORE_CHANGE_CLEAR)
		append_bytes(out, change->value);
	if (change->kind == STORE_CHANGE_FOLD)
		buf_append_u32(out, change->into);
}

void store_set_append(struct buf *out, uint32_t rows, struct slice entity, struct slice row)
{
	struct store_change change = { .kind = STORE_CHANGE_SET, .rows = rows, .key = entity, .value = row };

	change_append(out, &change);
}
