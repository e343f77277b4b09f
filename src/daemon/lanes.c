/* SPDX-License-Identifier: MIT */
/*
 * .featurefs/lanes/<lane>/: `status` is read by anybody and quotes no values and no entities.
 */
#include "daemon/lanes.h"

#include <errno.h>
#include <string.h>
#include "base/clock.h"

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

/* The lanes that are always there. */
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

static int stat_lane(void *arg, uint32_t group_id, const char *path, struct mount_entry *out)
{
	struct place place;

	(void)arg;
	(void)group_id;
	take_apart(path, &place);
	*out = (struct mount_entry){ .is_dir = !place.file, .mode = place.file ? 0444 : 0555, .changed_ns = clock_now() };
	if (!place.lane[0])
		return 0;
	if (!find_fixed(place.lane) || (place.file && strcmp(place.file, "status")))
		return -ENOENT;
	return 0;
}

static int list_lanes(void *arg, uint32_t group_id, const char *path, struct buf *out)
{
	(void)arg;
	(void)group_id;
	if (path[0])
		buf_append(out, "status", sizeof("status"));
	for (int i = 0; !path[0] && i < N_FIXED; i++)
		buf_append(out, fixed[i].name, strlen(fixed[i].name) + 1);
	return buf_error(out);
}

static int render_lane(void *arg, uint32_t group_id, const char *path, struct buf *out)
{
	struct lanes *lanes = arg;
	struct place place;
	const struct fixed *lane;

	(void)group_id;
	take_apart(path, &place);
	lane = find_fixed(place.lane);
	if (!lane)
		return -ENOENT;
	lane->render(lanes->status, out);
	return buf_error(out);
}

void lanes_init(struct lanes *lanes, struct status *status)
{
	lanes->status = status;
	lanes->trees[0] = (struct mount_tree){
		.name = "lanes", .stat = stat_lane, .list = list_lanes, .render = render_lane, .arg = lanes,
	};
	lanes->trees[1] = (struct mount_tree){ .name = NULL };
}
