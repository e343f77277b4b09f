/* SPDX-License-Identifier: MIT */
/* What the recorder writes down and the simulator reads: one header an event, then its text and its data. */
#ifndef POWER_EVENTS_H
#define POWER_EVENTS_H

#include <stdint.h>

enum power_kind {
	POWER_CREATE = 1,	/* text: path; ino */
	POWER_MKDIR,		/* text: path */
	POWER_RENAME,		/* text: old path, NUL, new path */
	POWER_UNLINK,		/* text: path */
	POWER_WRITE,		/* ino, offset, data */
	POWER_SIZE,		/* ino, offset: the new size */
	POWER_GROW,		/* ino, offset: the size is at least this */
	POWER_SYNC_BEGIN,	/* ino, offset: number of the sync */
	POWER_SYNC_END,
	POWER_DIR_SYNC_BEGIN,	/* text: path, offset: number of the sync */
	POWER_DIR_SYNC_END,
	POWER_NOTE,		/* text: what the load has to say */
};

struct power_event {
	uint32_t kind, text_len;
	uint64_t ino, offset, data_len;
};

#endif
