/* SPDX-License-Identifier: MIT */
/* A disk that exists as the list of what was done to it. */
#ifndef POWER_DISK_H
#define POWER_DISK_H

#include <stddef.h>
#include <stdint.h>
#include "power_events.h"

struct disk {
	struct file *files;
	size_t n_files;
	struct name *names;
	size_t n_names;
	struct name_op *ops;	/* not yet synced, in order */
	size_t n_ops;
	struct { uint64_t number, order; } syncs[64];	/* begun */
	size_t n_syncs;
};

/* Everything in a directory of the real disk, as safe content. */
void disk_load(struct disk *disk, const char *dir);
/* Does what an event did; `data` must stay. `order` counts them. */
void disk_take(struct disk *disk, const struct power_event *event, const char *text, const char *data, uint64_t order);
/* Writes what is left of the disk over the directory. */
void disk_lose_power(struct disk *disk, const char *dir);
void disk_release(struct disk *disk);

/* power.c */
uint64_t power_rnd(uint64_t below);
void power_die(const char *what);

#endif
