/* SPDX-License-Identifier: MIT */
/*
 * The batch lane: files of rows are dropped into a group's .import, and each finished drop becomes a job that loads all of its rows or
 * none. The spool keeps what is dropped in STORE/spool, under names that belong to the store; drops become jobs by the rules at the
 * head of drop.c; jobs run one at a time, in the order in which they were dropped, and survive the end of the daemon.
 *
 * Paths are relative to a group's .import, "" is .import itself; each name in them is checked. All calls are for any thread. None waits for a
 * load; those that change the spool may wait for the disk as those of any file system do.
 */
#ifndef BATCH_BATCH_H
#define BATCH_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/buf.h"
#include "base/slice.h"
#include "base/why.h"
#include "catalog/catalog.h"
#include "ingest/ingest.h"
#include "store/store.h"

struct batch;

enum {
	BATCH_NAME_MAX = 240,		/* bytes: leaves room for what reports add to a name */
	BATCH_PATH_MAX = 1024,		/* bytes of a path, its NUL included */
	BATCH_DEPTH_MAX = 16,
};

#define BATCH_REPORTS ".reports"	/* no file of that name can be dropped */

struct batch_options {
	uint64_t spool_bytes;		/* of all groups together */
	unsigned spool_files;
	int64_t retention_ns;		/* what was loaded stays listed for so long; a group's [batch] may say otherwise */
	int64_t settle_ns;		/* a directory with its _SUCCESS starts when nothing came for so long */
	size_t memory_bytes;		/* of a load */
	bool read_only;			/* nothing is loaded */
};

/* Would every load by a definition's [batch] be refused? For whoever writes one, to be told at once. -EINVAL with the reason, -ENOMEM. */
int batch_check_group(const struct catalog_group *grp, struct why *why);

/* Opens the spool, takes up the jobs that the last end left, starts the threads. All three must outlive it. */
int batch_start(struct store *store, struct catalog_current *cur, struct ingest *ingest, const struct batch_options *options,
		struct batch **out, struct why *why);
/* Aborts a running load (it begins again at the next start), makes waiting jobs durable, ends the threads. No file may be open. NULL is fine. */
void batch_stop(struct batch *batch);

/* ---- the spool: what is dropped ---- */

struct batch_stat {
	bool is_dir;
	uint64_t number;		/* as an inode number */
	uint64_t size, blocks;		/* bytes; 512 bytes */
	int64_t mtime_ns, ctime_ns;
};

/* -ENOENT, -ENAMETOOLONG; also of the others. The root of a group that nothing was ever dropped into is an empty directory. */
int batch_stat(struct batch *batch, uint32_t group_id, const char *path, struct batch_stat *out);
/* An open descriptor of the directory, for the caller to list; -ENOENT also if nothing was ever dropped there. */
int batch_open_dir(struct batch *batch, uint32_t group_id, const char *path, int *out_fd);
int batch_mkdir(struct batch *batch, uint32_t group_id, const char *path);
/* Removes a directory's name; -ENOTEMPTY. */
int batch_rmdir(struct batch *batch, uint32_t group_id, const char *path);
/* Removes a file's name, and cancels the jobs that it is part of. */
int batch_unlink(struct batch *batch, uint32_t group_id, const char *path);
/* Within one group. What is renamed into place is finished. -EEXIST if `no_replace`. */
int batch_rename(struct batch *batch, uint32_t group_id, const char *from, const char *to, bool no_replace);
/* -ETXTBSY: a job has it. */
int batch_resize(struct batch *batch, uint32_t group_id, const char *path, uint64_t size);
/* Sets the mtime (INGEST_NOW: now). A directory's says that its copier has come to the end. */
int batch_stamp(struct batch *batch, uint32_t group_id, const char *path, int64_t mtime_ns);
/* Options of one job, kept as attributes of the dropped file or directory: user.mode, user.confirm, user.max_rejects, user.dry_run. Others
 * are accepted and forgotten. NULL `value` removes. -EINVAL for a value that means nothing. */
int batch_set_option(struct batch *batch, uint32_t group_id, const char *path, const char *name, const struct slice *value);
/* Appends; -ENODATA. */
int batch_get_option(struct batch *batch, uint32_t group_id, const char *path, const char *name, struct buf *out);
/* Appends the names that are set, each with its NUL. */
int batch_list_options(struct batch *batch, uint32_t group_id, const char *path, struct buf *out);

/* ---- open files ---- */

struct batch_file;

/* open(2)'s flags: access mode, O_CREAT, O_EXCL, O_TRUNC. -EISDIR, -EEXIST, -ENOSPC (the spool is full, or the disk nearly). What a job has is not
 * touched: O_TRUNC begins a new file under that name. */
int batch_file_open(struct batch *batch, uint32_t group_id, const char *path, int flags, struct batch_file **out);
int batch_file_stat(struct batch_file *file, struct batch_stat *out);
ssize_t batch_file_read(struct batch_file *file, void *out, size_t size, uint64_t offset);
/* Whole or not at all. -ENOSPC, -ETXTBSY, -EFBIG. */
int batch_file_write(struct batch_file *file, struct slice bytes, uint64_t offset, bool at_end);
int batch_file_resize(struct batch_file *file, uint64_t size);
int batch_file_stamp(struct batch_file *file, int64_t mtime_ns);
int batch_file_set_option(struct batch_file *file, const char *name, const struct slice *value);
int batch_file_sync(struct batch_file *file);
/* Its opener closes a descriptor of it: if that was all, it is whole, also after a crash right behind. `path` is where it stands now. */
void batch_file_closing(struct batch_file *file, const char *path);
/* Nothing was written since its opener closed a descriptor of it. */
bool batch_file_is_closed(struct batch_file *file);
/* The last close. `path`: where it stands now; NULL if its name is gone or what was written is not all. Frees. */
void batch_file_close(struct batch_file *file, const char *path);

/* ---- reports ---- */

/* Text of .reports/NAME. -ENOENT. */
int batch_report(struct batch *batch, uint32_t group_id, const char *name, struct buf *out);
bool batch_has_report(struct batch *batch, uint32_t group_id, const char *name);
/* Appends the names of all reports of a group, each with its NUL. */
int batch_list_reports(struct batch *batch, uint32_t group_id, struct buf *out);

struct batch_figures {
	uint64_t waiting, running;	/* now */
	uint64_t done, failed, cancelled;	/* since the start */
	uint64_t rows, changed, confirmed, unchanged, late, rejected, duplicates, deleted;
	uint64_t spool_bytes, spool_files;	/* now */
};
/* Of all groups, or of one. */
void batch_figures(struct batch *batch, const uint32_t *group_id, struct batch_figures *out);

#endif
