/* SPDX-License-Identifier: MIT */
/* Where things are in a record's bytes, for the two files that know: record.c reads them, and tells the format; record_write.c makes them. */
#ifndef STORE_RECORD_PRIVATE_H
#define STORE_RECORD_PRIVATE_H

#include "store/le.h"
#include "store/record.h"

enum {
	VERSION = 1,
	HEADER = 8, STAMP = 32, CELL = 8,
	FLAGS_ROW = RECORD_EXISTS | RECORD_TOMB,
	FLAGS_ALL = FLAGS_ROW | RECORD_UNTOMB,
	END_MASK = 0xffffff,
};

static inline const uint8_t *cell_at(const struct record *rec, unsigned i)
{
	return rec->data + HEADER + STAMP * (size_t)rec->stamps + CELL * (size_t)i;
}

static inline const uint8_t *stamp_at(const struct record *rec, unsigned i)
{
	return rec->data + HEADER + STAMP * (size_t)i;
}

static inline size_t tables_len(const struct record *rec)
{
	return HEADER + STAMP * (size_t)rec->stamps + CELL * (size_t)rec->cells;
}

static inline uint32_t cell_end(const uint8_t *cell)
{
	return le_get32(cell + 4) & END_MASK;
}

static inline uint8_t cell_state(const uint8_t *cell)
{
	return cell[7] & 3;
}

#endif
