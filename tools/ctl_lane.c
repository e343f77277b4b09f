/* SPDX-License-Identifier: MIT */
/*
 * Lanes of streams: a table of them, and commands for one, written to its control file. A command that is refused has its reason in the
 * lane's status, as the last notice.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "ctl.h"

enum { STATUS_MAX = 16 << 20, COMMAND_MAX = 4096 };

/* The value of a key in a lane's status; empty if it is not there. */
static struct slice find_value(struct slice status, const char *key)
{
	size_t at = 0, len = strlen(key);
	struct slice line;

	while (ctl_next_line(status, &at, &line))
		if (line.len > len + 1 && !memcmp(line.data, key, len) && !memcmp((const char *)line.data + len, ": ", 2))
			return slice_of((const char *)line.data + len + 2, line.len - len - 2);
	return slice_of("", 0);
}

static int read_status(const struct ctl *ctl, const struct ctl_mount *mount, const char *lane, struct buf *out)
{
	char path[PATH_MAX];
	int rc = ctl_path(path, "%s/.featurefs/lanes/%s/status", mount->dir, lane);

	if (rc == 0)
		rc = file_read_path(path, STATUS_MAX, out);
	if (rc == -ENOENT)
		return ctl_fail(ctl, CTL_NONE, "%s: there is no such lane; featurectl lane list shows all", lane);
	return rc < 0 ? ctl_fail_errno(ctl, path, rc) : CTL_OK;
}

/* ---- the table ---- */

static const char *const columns[] = { "state", "lag", "messages", "applied", "late", "dead", "messages_per_second", "reason" };

enum { N_COLUMNS = sizeof columns / sizeof *columns };

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names of lanes in order, the caller's to free; streams only, which have a dot in their names. */
static int list_names(const struct ctl *ctl, const struct ctl_mount *mount, char ***out, size_t *out_n)
{
	char path[PATH_MAX], **names = NULL;
	struct dirent *entry;
	size_t n = 0;
	DIR *dir;
	int rc = ctl_path(path, "%s/.featurefs/lanes", mount->dir);

	dir = rc == 0 ? opendir(path) : NULL;
	if (!dir)
		return ctl_fail_errno(ctl, path, rc < 0 ? rc : -errno);
	rc = CTL_OK;
	while (rc == CTL_OK && (entry = readdir(dir))) {
		char **more;

		if (entry->d_name[0] == '.' || !strchr(entry->d_name, '.'))
			continue;
		more = realloc(names, (n + 1) * sizeof *names);
		if (more)
			names = more;
		if (more && (names[n] = strdup(entry->d_name)))
			n++;
		else
			rc = ctl_fail_errno(ctl, path, -ENOMEM);
	}
	closedir(dir);
	if (n)
		qsort(names, n, sizeof *names, compare_names);
	*out = names;
	*out_n = n;
	return rc;
}

static int print_row(const struct ctl *ctl, const struct ctl_mount *mount, const char *lane)
{
	struct buf status = { 0 }, line = { 0 };
	int rc = read_status(ctl, mount, lane, &status);

	buf_printf(&line, "%s", lane);
	for (size_t i = 0; rc == CTL_OK && i < N_COLUMNS; i++) {
		buf_append_char(&line, '\t');
		ctl_print_safe(find_value(buf_slice(&status), columns[i]), &line);
	}
	if (rc == CTL_OK && (buf_error(&line) < 0 || printf("%.*s\n", (int)line.len, line.data) < 0))
		rc = ctl_fail_errno(ctl, "stdout", -ENOMEM);
	buf_release(&line);
	buf_release(&status);
	/* One that has gone since it was listed is no failure. */
	return rc == CTL_NONE ? CTL_OK : rc;
}

static int list_lanes(struct ctl *ctl, const struct ctl_mount *mount)
{
	char **names = NULL;
	size_t n = 0;
	int rc = list_names(ctl, mount, &names, &n);

	if (rc == CTL_OK) {
		printf("lane");
		for (size_t i = 0; i < N_COLUMNS; i++)
			printf("\t%s", columns[i]);
		printf("\n");
	}
	for (size_t i = 0; rc == CTL_OK && i < n; i++)
		rc = print_row(ctl, mount, names[i]);
	for (size_t i = 0; i < n; i++)
		free(names[i]);
	free(names);
	return rc;
}

/* ---- commands ---- */

static int refuse(const struct ctl *ctl, const struct ctl_mount *mount, const char *lane, int err)
{
	struct buf status = { 0 };
	struct slice notice = slice_of("", 0);

	if (err == EACCES || err == EPERM)
		return ctl_fail(ctl, CTL_FAILURE, "%s: only who may write the group may do that", lane);
	if (read_status(ctl, mount, lane, &status) == CTL_OK)
		notice = find_value(buf_slice(&status), "notice");
	ctl_error(ctl, "%s: %s%s%.*s", lane, strerror(err), notice.len ? ": " : "", (int)notice.len, (const char *)notice.data);
	buf_release(&status);
	return err == EINVAL ? CTL_USAGE : err == ENOENT ? CTL_NONE : CTL_FAILURE;
}

static int command_lane(struct ctl *ctl, const struct ctl_mount *mount, const char *lane, const char *command)
{
	char path[PATH_MAX];
	int fd, rc = ctl_path(path, "%s/.featurefs/lanes/%s/control", mount->dir, lane);

	if (rc < 0)
		return ctl_fail_errno(ctl, lane, rc);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return ctl_fail(ctl, CTL_NONE, "%s: there is no such lane; featurectl lane list shows all", lane);
	if (fd < 0)
		return refuse(ctl, mount, lane, errno);
	rc = file_write_fd(fd, slice_str(command));
	close(fd);
	return rc < 0 ? refuse(ctl, mount, lane, -rc) : CTL_OK;
}

static int no_options(struct ctl *ctl, int argc, char **argv)
{
	static const struct option longs[] = { CTL_LONG_OPTIONS };

	return ctl_option(ctl, argc, argv, "", longs) == 0 ? ctl->exit : -1;
}

/* `words` joined by blanks. */
static int join(const struct ctl *ctl, char **words, int n, char out[COMMAND_MAX])
{
	size_t len = 0;

	for (int i = 0; i < n; i++) {
		int more = snprintf(out + len, COMMAND_MAX - len, "%s%s", i ? " " : "", words[i]);

		if (more < 0 || (size_t)more >= COMMAND_MAX - len)
			return ctl_fail(ctl, CTL_USAGE, "a command has at most %d bytes", COMMAND_MAX - 1);
		len += (size_t)more;
	}
	return CTL_OK;
}

static int run_lane(struct ctl *ctl, const struct ctl_mount *mount, int n, char **words)
{
	char command[COMMAND_MAX];
	char *verb = words[0], *lane = n > 1 ? words[1] : NULL;
	int rc;

	if (!strcmp(verb, "list") && n == 1)
		return list_lanes(ctl, mount);
	if (!lane || (strcmp(verb, "pause") && strcmp(verb, "resume") && strcmp(verb, "seek")) || (!strcmp(verb, "seek") != (n == 3)) ||
	    n > 3)
		return ctl_fail(ctl, CTL_USAGE, "list, pause LANE, resume LANE, or seek LANE PLACE; see featurectl lane --help");
	words[1] = verb;
	rc = join(ctl, words + 1, n - 1, command);
	return rc ? rc : command_lane(ctl, mount, lane, command);
}

int ctl_lane(struct ctl *ctl, int argc, char **argv)
{
	struct ctl_mount mount;
	int rc = no_options(ctl, argc, argv);

	if (rc >= 0)
		return rc;
	if (optind == argc)
		return ctl_fail(ctl, CTL_USAGE, "list, pause, resume or seek; see featurectl lane --help");
	rc = ctl_find_mount(ctl, &mount);
	if (rc)
		return rc;
	rc = run_lane(ctl, &mount, argc - optind, argv + optind);
	ctl_mount_release(&mount);
	return rc;
}

int ctl_replay(struct ctl *ctl, int argc, char **argv)
{
	char lane[PATH_MAX];
	struct ctl_mount mount;
	int rc = no_options(ctl, argc, argv);

	if (rc >= 0)
		return rc;
	if (argc - optind != 2)
		return ctl_fail(ctl, CTL_USAGE, "takes a group and a stream; see featurectl replay --help");
	if (ctl_path(lane, "%s.%s", argv[optind], argv[optind + 1]) < 0)
		return ctl_fail(ctl, CTL_USAGE, "these names are too long");
	rc = ctl_find_mount(ctl, &mount);
	if (rc)
		return rc;
	rc = command_lane(ctl, &mount, lane, "replay");
	ctl_mount_release(&mount);
	return rc;
}
