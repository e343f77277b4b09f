/* SPDX-License-Identifier: MIT */
/*
 * The lanes of a store: a watcher sleeps until the catalog changes, then starts lanes for sections that came, wakes those that are there, and stops
 * those whose section, group or name is gone. A group that is removed takes its dead letters with it.
 *
 * stream->lock guards the list of lanes, so that whoever has found one keeps it; a lane's own lock may be taken inside of it.
 */
#include "stream/private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/log.h"
#include "base/num.h"

/* ---- following the catalog ---- */

static bool is_wanted(const struct lane *lane, const struct catalog *cat)
{
	const struct catalog_group *grp = catalog_find_id(cat, lane->group_id);
	size_t len = strlen(lane->name) - strlen(lane->stream_name) - 1;

	return grp && definition_section(grp, lane->stream_name) && slice_equal(slice_str(grp->name), slice_of(lane->name, len));
}

static struct lane *find_lane(struct stream *stream, const char *name)
{
	struct lane *lane = stream->lanes;

	while (lane && strcmp(lane->name, name))
		lane = lane->next;
	return lane;
}

/* Takes those out of the list that are not wanted any more, and gives them back as a list. */
static struct lane *take_out(struct stream *stream, const struct catalog *cat)
{
	struct lane *out = NULL;

	pthread_mutex_lock(&stream->lock);
	for (struct lane **at = &stream->lanes; *at;) {
		struct lane *lane = *at;

		if (cat && is_wanted(lane, cat)) {
			at = &lane->next;
			continue;
		}
		*at = lane->next;
		lane->next = out;
		out = lane;
	}
	pthread_mutex_unlock(&stream->lock);
	return out;
}

static void stop_all(struct lane *list)
{
	for (struct lane *lane = list; lane; lane = lane->next)
		lane_tell_stop(lane);
	while (list) {
		struct lane *lane = list;

		list = lane->next;
		log_info("lane %s: stopped", lane->name);
		lane_stop(lane);
	}
}

/* In order of names. */
static void put_in(struct stream *stream, struct lane *lane)
{
	struct lane **at = &stream->lanes;

	pthread_mutex_lock(&stream->lock);
	while (*at && strcmp((*at)->name, lane->name) < 0)
		at = &(*at)->next;
	lane->next = *at;
	*at = lane;
	pthread_mutex_unlock(&stream->lock);
}

static void start_missing(struct stream *stream, const struct catalog_group *grp)
{
	for (unsigned i = 0; i < grp->n_sections; i++) {
		const char *name = grp->sections[i].name;
		char *full;
		struct lane *lane;
		int rc;

		if (strncmp(name, "stream ", 7))
			continue;
		if (asprintf(&full, "%s.%s", grp->name, name + 7) < 0)
			return;
		pthread_mutex_lock(&stream->lock);
		lane = find_lane(stream, full);
		pthread_mutex_unlock(&stream->lock);
		rc = lane ? 1 : lane_start(stream, grp, name + 7, &lane);
		if (rc < 0)
			log_warn("lane %s: cannot start: %s", full, strerror(-rc));
		else if (rc == 0)
			put_in(stream, lane);
		free(full);
	}
}

/* Dead letters of groups that are no more. */
static void remove_folder(struct stream *stream, const char *name)
{
	int fd = openat(stream->dead_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			unlinkat(fd, entry->d_name, 0);
	closedir(dir);
	unlinkat(stream->dead_fd, name, AT_REMOVEDIR);
}

static void sweep_dead(struct stream *stream, const struct catalog *cat)
{
	int fd = openat(stream->dead_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;
	uint64_t id;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((entry = readdir(dir)))
		if (num_parse_u64(slice_str(entry->d_name), &id) == 0 && id && id <= UINT32_MAX && !catalog_find_id(cat, (uint32_t)id))
			remove_folder(stream, entry->d_name);
	closedir(dir);
}

static void follow(struct stream *stream, const struct catalog *cat)
{
	stop_all(take_out(stream, cat));
	pthread_mutex_lock(&stream->lock);
	for (struct lane *lane = stream->lanes; lane; lane = lane->next)
		lane_wake(lane);
	pthread_mutex_unlock(&stream->lock);
	for (unsigned i = 0; i < cat->n_groups; i++)
		start_missing(stream, cat->groups[i]);
	sweep_dead(stream, cat);
}

static void follow_current(struct stream *stream, uint64_t *out_number)
{
	struct catalog *cat = catalog_current_get(stream->options.cur, out_number);

	follow(stream, cat);
	catalog_unref(cat);
}

static void *watch(void *arg)
{
	enum { AGAIN_MS = 60000 };	/* lanes that could not be started are tried again */
	struct stream *stream = arg;
	uint64_t number = stream->seen;

	for (;;) {
		catalog_current_wait(stream->options.cur, number, &stream->is_stopping, AGAIN_MS);
		if (atomic_load(&stream->is_stopping))
			return NULL;
		follow_current(stream, &number);
	}
}

/* ---- life ---- */

static void free_stream(struct stream *stream)
{
	struct stream_property *list = (struct stream_property *)stream->options.properties;

	for (unsigned i = 0; list && i < stream->options.n_properties; i++) {
		free(list[i].name);
		free(list[i].value);
	}
	free(list);
	free((char *)stream->options.brokers);
	free((char *)stream->options.client_id);
	if (stream->dead_fd >= 0)
		close(stream->dead_fd);
	pthread_mutex_destroy(&stream->lock);
	free(stream);
}

static int copy_options(struct stream *stream, const struct stream_options *options)
{
	struct stream_property *list = calloc(options->n_properties + 1, sizeof *list);

	stream->options = *options;
	stream->options.properties = list;
	stream->options.n_properties = 0;
	stream->options.brokers = strdup(options->brokers ? options->brokers : "");
	stream->options.client_id = strdup(options->client_id ? options->client_id : "featurefs");
	if (!list || !stream->options.brokers || !stream->options.client_id)
		return -ENOMEM;
	for (unsigned i = 0; i < options->n_properties; i++) {
		list[i].name = strdup(options->properties[i].name);
		list[i].value = strdup(options->properties[i].value);
		stream->options.n_properties++;
		if (!list[i].name || !list[i].value)
			return -ENOMEM;
	}
	return 0;
}

static int open_dead(struct stream *stream, struct why *why)
{
	const char *path = store_path(stream->options.store);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;

	if (fd < 0 || (mkdirat(fd, "dead", 0700) < 0 && errno != EEXIST))
		rc = -errno;
	if (rc == 0)
		stream->dead_fd = openat(fd, "dead", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (rc == 0 && stream->dead_fd < 0)
		rc = -errno;
	if (fd >= 0)
		close(fd);
	return rc < 0 ? why_fail(why, -rc, "%s/dead: %s", path, strerror(-rc)) : 0;
}

int stream_start(const struct stream_options *options, struct stream **out, struct why *why)
{
	struct stream *stream = calloc(1, sizeof *stream);
	int rc;

	if (!stream)
		return -ENOMEM;
	stream->dead_fd = -1;
	pthread_mutex_init(&stream->lock, NULL);
	rc = copy_options(stream, options);
	for (unsigned i = 0; rc == 0 && i < options->n_properties; i++)
		rc = stream_property_check(options->properties[i].name, options->properties[i].value, why);
	if (rc == 0)
		rc = open_dead(stream, why);
	if (rc == 0)
		follow_current(stream, &stream->seen);
	if (rc == 0)
		rc = -pthread_create(&stream->watcher, NULL, watch, stream);
	if (rc < 0 && stream->lanes)
		stop_all(take_out(stream, NULL));
	if (rc < 0)
		free_stream(stream);
	else
		*out = stream;
	return rc;
}

void stream_stop(struct stream *stream)
{
	if (!stream)
		return;
	atomic_store(&stream->is_stopping, true);
	catalog_current_wake(stream->options.cur);
	pthread_join(stream->watcher, NULL);
	stop_all(take_out(stream, NULL));
	free_stream(stream);
}

/* ---- for others ---- */

int stream_list(struct stream *stream, struct buf *out)
{
	pthread_mutex_lock(&stream->lock);
	for (struct lane *lane = stream->lanes; lane; lane = lane->next)
		buf_append(out, lane->name, strlen(lane->name) + 1);
	pthread_mutex_unlock(&stream->lock);
	return buf_error(out);
}

int stream_group(struct stream *stream, const char *name, uint32_t *out_group_id)
{
	struct lane *lane;

	pthread_mutex_lock(&stream->lock);
	lane = find_lane(stream, name);
	if (lane)
		*out_group_id = lane->group_id;
	pthread_mutex_unlock(&stream->lock);
	return lane ? 0 : -ENOENT;
}

int stream_status(struct stream *stream, const char *name, struct buf *out)
{
	struct lane *lane;

	pthread_mutex_lock(&stream->lock);
	lane = find_lane(stream, name);
	if (lane)
		report_status(lane, out);
	pthread_mutex_unlock(&stream->lock);
	return lane ? buf_error(out) : -ENOENT;
}

/* 0: the lane answers. */
static int give_command(struct stream *stream, const char *name, struct command *cmd)
{
	struct why why = { "" };
	struct lane *lane;
	int rc = -ENOENT;

	pthread_mutex_lock(&stream->lock);
	lane = find_lane(stream, name);
	if (lane)
		rc = command_check(cmd->text, &why);
	if (lane && rc < 0)
		command_notice(lane, cmd->text, why.text);
	if (rc == 0) {
		pthread_mutex_lock(&lane->lock);
		*lane->last_command = cmd;
		lane->last_command = &cmd->next;
		pthread_mutex_unlock(&lane->lock);
		lane_wake(lane);
	}
	pthread_mutex_unlock(&stream->lock);
	return rc;
}

void stream_control(struct stream *stream, const char *name, struct slice text, stream_done done, void *arg)
{
	struct command *cmd = text.len > 4096 || memchr(text.data, '\0', text.len) ? NULL : malloc(sizeof *cmd + text.len + 1);
	int rc = cmd ? 0 : text.len > 4096 ? -EFBIG : -EINVAL;

	if (cmd) {
		*cmd = (struct command){ .done = done, .arg = arg };
		memcpy(cmd->text, text.data, text.len);
		cmd->text[text.len] = '\0';
		rc = give_command(stream, name, cmd);
	}
	if (rc == 0)
		return;
	free(cmd);
	done(arg, rc);
}

/* ---- dead letters ---- */

static int open_folder(struct stream *stream, uint32_t group_id)
{
	char name[16];
	int fd;

	snprintf(name, sizeof name, "%u", group_id);
	fd = openat(stream->dead_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

static bool is_half_made(const char *name)
{
	size_t len = strlen(name);

	return len > 4 && !strcmp(name + len - 4, ".new");
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int list_folder(DIR *dir, struct buf *out)
{
	char *names[4096];
	size_t n = 0;
	struct dirent *entry;

	while (n < sizeof names / sizeof *names && (entry = readdir(dir)))
		if (entry->d_name[0] != '.' && !is_half_made(entry->d_name) && (names[n] = strdup(entry->d_name)))
			n++;
	qsort(names, n, sizeof *names, compare_names);
	for (size_t i = 0; i < n; i++) {
		buf_append(out, names[i], strlen(names[i]) + 1);
		free(names[i]);
	}
	return buf_error(out);
}

int stream_dead_list(struct stream *stream, uint32_t group_id, struct buf *out)
{
	int fd = open_folder(stream, group_id), rc;
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return fd == -ENOENT ? 0 : fd < 0 ? fd : -ENOMEM;
	}
	rc = list_folder(dir, out);
	closedir(dir);
	return rc;
}

int stream_dead_open(struct stream *stream, uint32_t group_id, const char *name, int *out_fd)
{
	int dir, fd;

	if (name[0] == '.' || strchr(name, '/') || is_half_made(name))
		return -ENOENT;
	dir = open_folder(stream, group_id);
	if (dir < 0)
		return dir;
	fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	*out_fd = fd;
	fd = fd < 0 ? -errno : 0;
	close(dir);
	return fd;
}
