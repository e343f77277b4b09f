/* SPDX-License-Identifier: MIT */
/*
 * What featurectl's subcommands share: how they are called, how they find the mount and the store, how they call
 * it, and how they say what went wrong. Every subcommand returns an exit code, and has said on stderr why
 * it is not 0.
 */
#ifndef CTL_H
#define CTL_H

#include <getopt.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <featurefs.h>
#include "base/buf.h"
#include "base/file.h"
#include "base/slice.h"
#include "base/why.h"
#include "catalog/catalog.h"
#include "serve/serve.h"
#include "store/store.h"

enum ctl_exit { CTL_OK, CTL_NONE, CTL_USAGE, CTL_FAILURE };	/* done, no such thing, called wrongly, failed */

enum ctl_takes { CTL_TAKES_MOUNT = 1, CTL_TAKES_STORE = 2 };

struct ctl;

struct ctl_command {
	const char *name;
	int (*run)(struct ctl *ctl, int argc, char **argv);
	unsigned takes;			/* enum ctl_takes: which of -m and -s mean something to it */
	const char *args, *summary;
	const char *help;		/* what it does, its options, an example */
};

struct ctl {
	const struct ctl_command *command;
	const char *mount, *store;	/* -m and -s; NULL if not given */
	int exit;			/* once ctl_option returned 0 */
};

int ctl_status(struct ctl *ctl, int argc, char **argv);
int ctl_errors(struct ctl *ctl, int argc, char **argv);
int ctl_check(struct ctl *ctl, int argc, char **argv);
int ctl_apply(struct ctl *ctl, int argc, char **argv);
int ctl_get(struct ctl *ctl, int argc, char **argv);
int ctl_put(struct ctl *ctl, int argc, char **argv);
int ctl_import(struct ctl *ctl, int argc, char **argv);
int ctl_delete(struct ctl *ctl, int argc, char **argv);
int ctl_dump(struct ctl *ctl, int argc, char **argv);
int ctl_stats(struct ctl *ctl, int argc, char **argv);
int ctl_backup(struct ctl *ctl, int argc, char **argv);
int ctl_restore(struct ctl *ctl, int argc, char **argv);
int ctl_verify(struct ctl *ctl, int argc, char **argv);
int ctl_warm(struct ctl *ctl, int argc, char **argv);
int ctl_lane(struct ctl *ctl, int argc, char **argv);
int ctl_replay(struct ctl *ctl, int argc, char **argv);

/* ---- ctl_util.c ---- */

/* One line on stderr, after "featurectl COMMAND: ". */
void ctl_error(const struct ctl *ctl, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same, and returns `code`. */
int ctl_fail(const struct ctl *ctl, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* "without memory" and so on for an -errno that has no better words. */
int ctl_fail_errno(const struct ctl *ctl, const char *what, int rc);

/* What to do about an -errno of store_open_reader, to stand behind its reason; "" if that says it. */
const char *ctl_store_hint(int rc);

#define CTL_LONG_OPTIONS \
	{ "mount", required_argument, NULL, 'm' }, { "store", required_argument, NULL, 's' }, \
	{ "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 }

/* The next option of a subcommand's own (its letter), -1 at the end of the options, or 0: end with ctl->exit.
 * `shorts` is without -m, -s and -h, which are dealt with here; `longs` ends with CTL_LONG_OPTIONS. */
int ctl_option(struct ctl *ctl, int argc, char **argv, const char *shorts, const struct option *longs);
/* What is wrong with the option for which getopt_long(3) returned ':' or '?': "--colour is no option". Returns `text`. */
enum { CTL_BAD_OPTION_MAX = 256 };
const char *ctl_bad_option(int opt, char **argv, char text[CTL_BAD_OPTION_MAX]);
void ctl_print_help(const struct ctl_command *command);

/* Bytes to stdout. Nothing is printed of an empty buffer, which has no memory that fwrite(3) might be given. */
void ctl_print(struct slice bytes);
/* The next line of `text` from *at on, without its newline; false at the end. */
bool ctl_next_line(struct slice text, size_t *at, struct slice *out);
/* Is the directory there and without entries? 0, -ENOTEMPTY, -ENOENT, -ENOTDIR or another errno. */
int ctl_check_empty_dir(const char *path);
/* Puts a path together; -ENAMETOOLONG. */
int ctl_path(char out[PATH_MAX], const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Bytes that may be damaged or hostile, fit for a terminal: control bytes and what is not UTF-8 as \xNN. */
void ctl_print_safe(struct slice bytes, struct buf *out);
/* 12345678 to "11.8 MiB". */
size_t ctl_print_bytes(uint64_t bytes, char out[32]);

/* ---- ctl_mounts.c ---- */

struct ctl_mount {
	char *dir, *source;		/* where it is mounted; its STORE */
};

/* The mount that -m, $FEATUREFS_MOUNT or the mount table names. An exit code. Both texts are the caller's to free with
 * ctl_mount_release. */
int ctl_find_mount(const struct ctl *ctl, struct ctl_mount *out);
void ctl_mount_release(struct ctl_mount *mount);
/* The serving mount of the store that is meant. An exit code. */
int ctl_find_serving(const struct ctl *ctl, struct ctl_mount *out);
/* STORE by -s, else that of the mount. */
int ctl_find_store(const struct ctl *ctl, struct ctl_mount *out);
/* The directory on which a store is mounted just now, to be freed; NULL if it is not mounted. */
char *ctl_store_mounted_at(const char *store);

/* ---- ctl_group.c ---- */

/* A group's definition, read from the mount. An exit code. */
int ctl_group_read(const struct ctl *ctl, const struct ctl_mount *mount, const char *group, struct catalog_group **out);
/* Is it the written form of an entity's name in this group? An exit code. */
int ctl_group_check_entity(const struct ctl *ctl, const struct catalog_group *grp, const char *entity);
/* The feature, unless it is retired. NULL after having said so. */
const struct catalog_feature *ctl_group_feature(const struct ctl *ctl, const struct catalog_group *grp,
						struct slice name);
/* Appends the reason of this user's last refusal in a group since `since_ns`, from its .errors; nothing if there is
 * none. */
void ctl_group_reason(const struct ctl_mount *mount, const char *group, int64_t since_ns, struct buf *out);
/* The same from the text of .errors. */
void ctl_reason_find(struct slice errors, uid_t uid, int64_t since_ns, struct buf *out);

/* ---- ctl_sdk.c ---- */

/* The store that -m, -s or the mount table names, by the client library. An exit code. */
int ctl_open(const struct ctl *ctl, struct featurefs **out);
/* Says why a call of the library failed, in its own words, and returns the exit code. */
int ctl_fail_sdk(const struct ctl *ctl, int rc);
/* A group's definition by the library. An exit code. */
int ctl_sdk_group(const struct ctl *ctl, struct featurefs *fs, const char *group, struct catalog_group **out);

/* ---- ctl_status.c ---- */

/* "key: value" lines, lined up and with units. */
void ctl_print_lines(struct slice text, struct buf *out);
int ctl_print_out(const struct ctl *ctl, const struct buf *out);

/* ---- ctl_json.c ---- */

void ctl_json_string(struct slice text, struct buf *out);
/* A value's text as typed JSON; empty text is null. Errors of type_text_parse, with the feature's name in the
 * reason. */
int ctl_json_value(const struct catalog_feature *feature, struct slice text, struct buf *out, struct why *why);
/* "FEATURE=VALUE" in two; false if there is no '='. */
bool ctl_split_assignment(const char *arg, struct slice *out_name, struct slice *out_value);

/* ---- ctl_progress.c ---- */

struct ctl_progress {
	const char *what;		/* "backup" */
	bool is_bytes;			/* what is counted: bytes, else rows */
	bool is_shown;
	int64_t begun_ns, shown_ns;
	uint64_t done, total;
};

/* Shown only if stderr is a terminal and `quiet` is not set. */
void ctl_progress_begin(struct ctl_progress *progress, const char *what, bool is_bytes, bool quiet);
void ctl_progress_step(struct ctl_progress *progress, uint64_t done, uint64_t total);
/* Takes the line away until the next step: something else is to be printed. */
void ctl_progress_clear(const struct ctl_progress *progress);
/* Takes the line away. */
void ctl_progress_end(struct ctl_progress *progress);
/* The line, at most `width` columns. */
void ctl_progress_print(const struct ctl_progress *progress, int64_t now_ns, unsigned width, struct buf *out);

/* ---- ctl_verify.c ---- */

/* Proves what a store promises; each fault goes to `out` (NULL: nowhere). Returns the number of faults or -errno
 * with the reason. */
struct ctl_verified {
	uint64_t groups, entities, values, faults;
};
int ctl_verify_store(const char *path, bool quiet, bool prints, struct ctl_verified *out, struct why *why);

#endif
