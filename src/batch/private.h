/* SPDX-License-Identifier: MIT */
/*
 * What the files of the batch lane share. Private to batch.
 *
 * batch->lock guards the tables of drops, writers and jobs, and all changes of names in the spool. It is held over system calls on
 * names, never while content is read or written. Fields marked [L] are its. Under it the catalog may be asked what a group says, which
 * takes no lock of ours; no other room is called.
 */
#ifndef BATCH_PRIVATE_H
#define BATCH_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include "base/clock.h"
#include "batch/batch.h"
#include "ingest/load.h"

/*
 * Marks on spool files are permission bits, which mean nothing in a folder that only the store may enter. They last as long as the file, cost
 * no bytes, and change in one system call.
 */
enum spool_mark {
	MARK_CLOSED = 0100,	/* its opener has closed it: whole, as far as its writer says */
	MARK_RENAMED = 0010,	/* it got its name when it was whole */
	MARK_SEALED = 0001,	/* it belongs to a job; of _SUCCESS: a job was made of it */
	MARK_LOADED = 0004,	/* its content is gone, name, size and mtime stay */
	MARK_BROKEN = 0020,	/* something that was written to it failed, and was not written again */
};

enum { SPOOL_MODE = 0600 };

#define SUCCESS_NAME "_SUCCESS"

/* What is dropped under one name of a group's .import, while something happens to it. [L] */
struct drop {
	struct drop *next;
	uint32_t group_id;
	unsigned n_writers;
	uint64_t pending_id;		/* of the job that it becomes; 0 */
	int lacks;			/* the error for which it is not its job yet; 0 */
	int64_t lacks_since_ns;		/* monotonic */
	int64_t last_ns;		/* monotonic: when something last came */
	bool is_armed;			/* a directory to be looked at */
	bool is_signed;			/* its copier said that it has come to the end */
	char name[];
};

/* A spool file that is open for writing. [L] */
struct writer {
	struct writer *next;
	ino_t ino;
	unsigned opens;
	bool is_new;			/* created, cut or written since it was opened */
	bool is_marked;			/* marked as closed since it was last written */
	bool is_gone;			/* has no name any more */
	bool is_broken;			/* marked as such since it was opened */
	uint64_t broken_at;		/* where the first write that failed began */
	uint64_t charged;		/* bytes that it counts in the spool */
	struct drop *drop;		/* NULL: below an ignored name */
};

struct batch_file {
	struct batch *batch;
	int fd;
	uint32_t group_id;
	struct writer *writer;		/* NULL: opened to read */
	bool is_dirty;			/* [L] something new in it since its opener closed a descriptor */
};

enum job_state { JOB_WAITING, JOB_RUNNING, JOB_DONE, JOB_FAILED, JOB_CANCELLED };

/* How a job is to be loaded: the group's [batch], and what the drop itself says. */
struct settings {
	enum ingest_load_mode mode;
	bool confirm_skip, dry_run;
	uint64_t max_rejects;
	int64_t retention_ns;
};

struct figures {
	uint64_t rows_read, changed, confirmed, unchanged, late, rejected, duplicates, deleted;
};

struct batch_job {
	struct batch_job *next;		/* [L] in order of their making */
	uint64_t id;
	uint32_t group_id;
	char *name;			/* as it was dropped */
	enum job_state state;		/* [L] */
	struct settings settings;
	unsigned n_files;
	uint64_t bytes;
	int64_t dropped_ns, started_ns, ended_ns;	/* [L] */
	int64_t running_since_ns;	/* [L] monotonic */
	struct figures figures;		/* [L] */
	unsigned permille;		/* [L] */
	const char *phase;		/* [L] of a running job; a literal */
	struct why reason;		/* [L] */
	char ignored[200];		/* [L] columns that nothing takes */
	char missing[200];		/* [L] columns that [batch] names for features, and no file has */
	atomic_bool is_cancelled;
	bool was_synced;		/* [L] the keeper has begun to, or has failed to: it is not done twice */
	bool is_durable;		/* [L] what was dropped would survive a loss of power */
	bool has_rejects;		/* [L] */
};

struct batch {
	struct store *store;
	struct catalog_current *cur;
	struct ingest *ingest;
	struct batch_options options;
	int fd;				/* STORE/spool */
	atomic_uint_fast64_t bytes;
	atomic_uint files;
	atomic_int_fast64_t warned_ns;	/* monotonic: when the log last said that there is no room; 0 */
	atomic_uint_fast64_t unchecked;	/* bytes since the disk was last asked how full it is */
	pthread_mutex_t lock;
	struct drop *drops;		/* [L] */
	struct writer *writers;		/* [L] */
	struct batch_job *first, **last;	/* [L] */
	unsigned n_jobs;		/* [L] */
	uint64_t next_id;		/* [L] */
	struct batch_figures sum;	/* [L] of jobs that ended since the start; its gauges are not used */
	pthread_t worker, keeper;
	pthread_cond_t worker_wake, keeper_wake;	/* monotonic */
	bool has_worker, has_keeper;
	atomic_bool stops;
};

/* ---- spool.c: names ---- */

/* May a file or directory be called that? -EINVAL, -EILSEQ, -ENAMETOOLONG, -EPERM. */
int spool_check_path(const char *path);
/* Jobs pass over names that begin with '.' or '_'. */
static inline bool spool_is_ignored(const char *name)
{
	return name[0] == '.' || name[0] == '_';
}
bool spool_is_ignored_path(const char *path);	/* some name of it */
/* Opens below a group's .import ("" is that itself), never through a link. A descriptor or -errno. */
int spool_open(struct batch *batch, uint32_t group_id, const char *path, int flags);
/* Opens the directory above; `out_name` points into path. */
int spool_open_parent(struct batch *batch, uint32_t group_id, const char *path, const char **out_name);
int spool_stat(struct batch *batch, uint32_t group_id, const char *path, struct stat *out);
void spool_fill_stat(const struct stat *st, struct batch_stat *out);
/* Makes the folders of a group. */
int spool_make_group(struct batch *batch, uint32_t group_id);
/* "17/in", "17/jobs/4/NAME": relative to batch->fd. */
enum { SPOOL_PATH_MAX = 64 + BATCH_PATH_MAX };
int spool_open_folder(struct batch *batch, uint32_t group_id, const char *folder);
/* Removes a file or a tree; what is not there is fine. */
int spool_remove(int dir_fd, const char *name);
/* Calls `visit` for each file and, after its content, each directory below; `path` is relative to the start. Stops at what is not 0. */
struct spool_visit {
	int (*visit)(struct spool_visit *visit, int dir_fd, const char *name, const char *path, const struct stat *st);
	void *arg;
};
int spool_walk(int dir_fd, struct spool_visit *visit);
/* Appends the ids of the groups that have a folder, as uint64_t. */
int spool_list_groups(struct batch *batch, struct buf *out);
/* The part of a path before its first '/'. */
struct slice spool_top(const char *path);
unsigned spool_marks(const struct stat *st);

/* ---- file.c: content and its bounds ---- */

struct writer *file_find_writer(struct batch *batch, ino_t ino);	/* [L] */
/* Takes `more` bytes of the spool's bound. -ENOSPC. */
int file_charge(struct batch *batch, uint64_t more);
/* Counts one file or directory more. -ENOSPC. */
int file_count(struct batch *batch);
void file_uncharge(struct batch *batch, uint64_t less);
/* Is there more on the disk of `fd` than what the lane leaves to the store itself? */
bool file_leaves_room(int fd);
/* A name of a file is about to go: gives back what it took, if nothing else holds it. [L] */
void file_forget_name(struct batch *batch, const struct stat *st);
/* Drops the content of a file that was loaded: name, size and mtime stay. [L] */
int file_free_content(struct batch *batch, int fd, const struct stat *st);

/* ---- drop.c: when a drop is whole ---- */

struct drop *drop_get_locked(struct batch *batch, uint32_t group_id, struct slice name);	/* NULL without memory */
struct drop *drop_find_locked(struct batch *batch, uint32_t group_id, struct slice name);
void drop_settle_locked(struct batch *batch, struct drop *drop);	/* frees it if nothing happens to it */
void drop_forget_pending_locked(struct batch *batch, struct drop *drop);	/* the same; it becomes no job as it is */
void drop_free_all(struct batch *batch);
/* A file has come to its end: closed for good, or renamed to where it is now. `was_closed`: drop_closed_locked has been told of it. */
void drop_came_locked(struct batch *batch, uint32_t group_id, const char *path, bool by_rename, bool was_closed);
/* A file that is open for writing stands there from now on. */
void drop_move_writer_locked(struct batch *batch, struct writer *writer, uint32_t group_id, const char *path);
/* A directory was renamed there, or its copier has set its times. */
void drop_signed_locked(struct batch *batch, uint32_t group_id, const char *path);
/*
 * A file was closed by its opener, or renamed after that: it is whole, and its job is to be seen from now on. The kernel tells of its last
 * handle later, and by then the copier may have signed the directory.
 */
void drop_closed_locked(struct batch *batch, uint32_t group_id, const char *path);
/* Makes jobs of directories that are due; returns when the next one is (monotonic), INT64_MAX if none. */
int64_t drop_look_locked(struct batch *batch);
/* After a start: looks at everything that is in a group's .import. */
void drop_arm_all_locked(struct batch *batch, uint32_t group_id);

/* ---- seal.c: a drop becomes a job ---- */

/* Is it a part of a drop, and of no job? */
bool seal_is_fresh(const char *path, const struct stat *st);
/* Makes the job of a drop: of `file` in the folder fd, or, if that is NULL, of the directory fd. 0: the job is in the queue, or freed if there is
 * nothing to load. An error: it is still the caller's, and the drop is what it was. */
int seal_locked(struct batch *batch, struct batch_job *job, int fd, const char *file);
/* A job that has no files and never runs: a drop that can't be loaded as it is. Takes the job. */
void seal_refuse_locked(struct batch *batch, struct batch_job *job, const struct why *why);
/* The same where it can't be made a job for that reason, and is taken out of .import; `fd` may be -1. Takes the job. */
void seal_fail_locked(struct batch *batch, struct batch_job *job, int fd, const char *file, int rc);
/* Takes back a job that was being made, in a group's folder of jobs; none is fine. */
int seal_undo(int jobs_fd);

/* ---- settings.c ---- */

/* 0; -EINVAL with the reason. An unknown key is -ENODATA. */
int settings_set(struct settings *settings, const char *key, const char *value, struct why *why);
/* The group's [batch]. */
int settings_of_group(const struct catalog_group *grp, const struct batch_options *options, struct settings *out, struct why *why);
/* What the drop itself says, from the attributes of its file or directory. */
int settings_of_drop(int fd, struct settings *settings, struct why *why);
const char *settings_mode_name(enum ingest_load_mode mode);

/* ---- job.c: the queue ---- */

int batch_job_start(struct batch *batch, struct why *why);	/* takes up what the last end left; starts the threads */
void batch_job_stop(struct batch *batch);
/* Takes the job. */
void batch_job_add_locked(struct batch *batch, struct batch_job *job);
struct batch_job *batch_job_new(uint64_t id, uint32_t group_id, struct slice name);
void batch_job_free(struct batch_job *job);
/* Cancels all that wait or run under that name, or, if it is another one's by now, what has that file. */
void batch_job_cancel_locked(struct batch *batch, uint32_t group_id, struct slice name, ino_t ino);
bool batch_job_is_active(const struct batch_job *job);
bool batch_job_any_active_locked(const struct batch *batch);
/* Frees it. */
void batch_job_remove_locked(struct batch *batch, struct batch_job *job);
/* Saves the report, then gives the job's files back, then lets others see its end. */
void batch_job_end(struct batch *batch, struct batch_job *job, enum job_state state, const struct why *why);
/* Visits the files of a job, whose folder this is; those that it has lost already are not there. */
void batch_job_walk_data(int folder_fd, struct spool_visit *visit);
/* What becomes of the files of a job that has ended like that. Again is fine. */
void batch_job_release_files(struct batch *batch, const struct batch_job *job, enum job_state state);
/* Takes the name of a job's directory out of .import, if it has become empty. */
void batch_job_unlist_folder(struct batch *batch, const struct batch_job *job);
/* The folder of a job, "jobs/ID" below its group's. A descriptor or -errno. */
int batch_job_open_folder(struct batch *batch, const struct batch_job *job);

/* In a job's folder: all of it would survive a loss of power. */
#define JOB_DURABLE "durable"
/* The same for what a sync has failed for: another one would not say so again. */
#define JOB_UNSYNCED "unsynced"
/* The position that a load's publishing commit stores: the id of its job. */
#define JOB_POSITION_KEY "batch"

/* ---- takeup.c: what the last end left ---- */

/* Before the threads run. */
int takeup_all(struct batch *batch);

/* ---- keeper.c: durable drops, directories that are due, retention ---- */

int keeper_start(struct batch *batch);
/* Once batch->stops is set: waits for its end, and makes durable what waits. */
void keeper_join(struct batch *batch);

/* ---- report.c ---- */

void report_print_locked(const struct batch_job *job, struct buf *out);
/* Reads such a text back into a job whose group is known. -EBADMSG. */
int report_parse(struct slice text, uint32_t group_id, struct batch_job **out);
/* Keeps the report in the job's folder; `sync`: it survives a loss of power then. */
int report_save(struct batch *batch, const struct batch_job *job, bool sync);
int report_save_at(int folder_fd, const struct batch_job *job);	/* not synced; of a job that nobody else knows yet */

/* Rows that were refused, in a file of the job's folder, bounded. One thread at a time. */
struct rejects {
	struct batch *batch;
	struct batch_job *job;
	int fd;				/* -1 until the first */
	uint64_t count, listed;
	size_t bytes;
	struct buf pending;
};

void rejects_init(struct rejects *rejects, struct batch *batch, struct batch_job *job);
/* `file` is NULL where the job has only one. */
void rejects_add(struct rejects *rejects, const char *file, uint64_t line, struct slice entity, int rc, const struct why *why);
void rejects_end(struct rejects *rejects);

/* ---- parts.c: the files of a job ---- */

/* Takes a link's name apart, "000017.part-0.csv". false: it is none. */
bool parts_number(const char *link, unsigned *out_number, const char **out_name);
struct parts;
int parts_new(struct batch *batch, const struct batch_job *job, struct parts **out);
void parts_free(struct parts *parts);		/* NULL is fine */
/* The path of a file below its drop; NULL. */
const char *parts_path(const struct parts *parts, unsigned number);
/* Appends the text of the job's source, "import-12:run1" and what its files are called. */
int parts_source(const struct parts *parts, const struct batch_job *job, struct buf *out);

/* ---- run.c: one load ---- */

/* 0; -ECANCELED; -ESHUTDOWN: the lane stops; any other errno with the reason. */
int run_job(struct batch *batch, struct batch_job *job, struct why *why);

#endif
