/* SPDX-License-Identifier: MIT */
/*
 * .featurefs/lanes/<lane>/: `status` is read by anybody and quotes no values and no entities; `control` takes commands for a stream from those who
 * may write its group. <group>/.dead/ holds the dead letters of the group's streams, which quote what came, for those who may read
 * the group.
 */
#include "daemon/lanes.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/clock.h"
#include "stream/stream.h"

/* ---- lanes ---- */

/* A path in the tree, taken apart. */
struct place {
	char lane[MOUNT_PATH_MAX + 1];		/* empty: the directory of lanes */
	const char *file;			/* NULL: the lane's directory */
};

static void take_apart(const char *path, struct place *out)
{
	size_t len = strcspn(path, "/");

	memcpy(out->lane, path, len);
	out->lane[len] = '\0';
	out->file = path[len] ? path + len + 1 : NULL;
}

/* The lanes that are always there. Streams have a dot in their names. */
static const struct fixed {
	const char *name;
	void (*render)(struct status *status, struct buf *out);
} fixed[] = {
	{ "batch", status_batch },
	{ "direct", status_direct },
};

enum { N_FIXED = sizeof(fixed) / sizeof(*fixed) };

static const struct fixed *find_fixed(const char *lane)
{
	for (int i = 0; i < N_FIXED; i++)
		if (!strcmp(lane, fixed[i].name))
			return &fixed[i];
	return NULL;
}

static int find_stream(struct lanes *lanes, const char *lane, uint32_t *out_group_id)
{
	return lanes->status->stream ? stream_group(lanes->status->stream, lane, out_group_id) : -ENOENT;
}

/* Mode and owner as the group's, of which `mask` is left. */
static int own(struct lanes *lanes, uint32_t group_id, mode_t mask, struct mount_entry *out)
{
	uint64_t number;
	struct catalog *cat = catalog_current_get(lanes->status->cur, &number);
	const struct catalog_group *grp = catalog_find_id(cat, group_id);

	if (grp) {
		out->mode = grp->mode & mask;
		out->uid = grp->uid;
		out->gid = grp->gid;
	}
	catalog_unref(cat);
	return grp ? 0 : -ENOENT;
}

static int stat_lane(void *arg, uint32_t group_id, const char *path, struct mount_entry *out)
{
	struct lanes *lanes = arg;
	struct place place;
	int rc;

	take_apart(path, &place);
	*out = (struct mount_entry){ .is_dir = !place.file, .mode = place.file ? 0444 : 0555, .changed_ns = clock_now() };
	if (!place.lane[0])
		return 0;
	rc = find_fixed(place.lane) ? 0 : find_stream(lanes, place.lane, &group_id);
	if (rc < 0 || !place.file || !strcmp(place.file, "status"))
		return rc;
	if (find_fixed(place.lane) || strcmp(place.file, "control"))
		return -ENOENT;
	return own(lanes, group_id, 0222, out);
}

static void add_name(const char *name, struct buf *out)
{
	buf_append(out, name, strlen(name) + 1);
}

static int list_lanes(void *arg, uint32_t group_id, const char *path, struct buf *out)
{
	struct lanes *lanes = arg;

	(void)group_id;
	if (path[0]) {
		add_name("status", out);
		if (!find_fixed(path))
			add_name("control", out);
		return buf_error(out);
	}
	for (int i = 0; i < N_FIXED; i++)
		add_name(fixed[i].name, out);
	return lanes->status->stream ? stream_list(lanes->status->stream, out) : buf_error(out);
}

static int render_lane(void *arg, uint32_t group_id, const char *path, struct buf *out)
{
	struct lanes *lanes = arg;
	struct place place;
	const struct fixed *lane;

	(void)group_id;
	take_apart(path, &place);
	if (place.file && !strcmp(place.file, "control"))
		return 0;
	lane = find_fixed(place.lane);
	if (!lane)
		return lanes->status->stream ? stream_status(lanes->status->stream, place.lane, out) : -ENOENT;
	lane->render(lanes->status, out);
	return buf_error(out);
}

static void write_lane(void *arg, uint32_t group_id, const char *path, struct slice bytes, mount_done done, void *done_arg)
{
	struct lanes *lanes = arg;
	struct place place;

	(void)group_id;
	take_apart(path, &place);
	if (!place.file || strcmp(place.file, "control") || !lanes->status->stream)
		done(done_arg, -EPERM);
	else
		stream_control(lanes->status->stream, place.lane, bytes, done, done_arg);
}

/* ---- dead letters ---- */

static int stat_dead(void *arg, uint32_t group_id, const char *path, struct mount_entry *out)
{
	struct lanes *lanes = arg;
	struct stat st;
	int fd, rc;

	*out = (struct mount_entry){ .is_dir = !path[0], .changed_ns = clock_now() };
	if (!path[0])
		return own(lanes, group_id, 0555, out);
	rc = lanes->status->stream ? stream_dead_open(lanes->status->stream, group_id, path, &fd) : -ENOENT;
	if (rc < 0)
		return rc;
	rc = fstat(fd, &st) < 0 ? -errno : 0;
	close(fd);
	if (rc < 0)
		return rc;
	out->size = (uint64_t)st.st_size;
	out->changed_ns = clock_from_timespec(&st.st_mtim);
	return own(lanes, group_id, 0444, out);
}

static int list_dead(void *arg, uint32_t group_id, const char *path, struct buf *out)
{
	struct lanes *lanes = arg;

	if (path[0])
		return -ENOTDIR;
	return lanes->status->stream ? stream_dead_list(lanes->status->stream, group_id, out) : 0;
}

static int open_dead(void *arg, uint32_t group_id, const char *path, int *out_fd)
{
	struct lanes *lanes = arg;

	return lanes->status->stream ? stream_dead_open(lanes->status->stream, group_id, path, out_fd) : -ENOENT;
}

void lanes_init(struct lanes *lanes, struct status *status)
{
	lanes->status = status;
	lanes->trees[0] = (struct mount_tree){
		.name = "lanes", .stat = stat_lane, .list = list_lanes, .render = render_lane, .write = write_lane, .arg = lanes,
	};
	lanes->trees[1] = (struct mount_tree){
		.name = ".dead", .is_in_groups = true, .stat = stat_dead, .list = list_dead, .open = open_dead, .arg = lanes,
	};
	lanes->trees[2] = (struct mount_tree){ .name = NULL };
}
