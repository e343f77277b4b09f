/* SPDX-License-Identifier: MIT */
/*
 * A handle: which store it is, whether its map can be read by this process, and where its mount is.
 *
 * A handle that was opened by a mount point follows the mount: if another store is mounted there, it reads that one. One that was opened by
 * its STORE stays with the path. Either may be replaced at any time by a restore or a new store, and a read must not show what was there
 * before. So each call that begins more than CHECK_NS after the last look asks anew: is the map's file still the one at that path, is
 * it whole, has the kernel's table of mounts changed? That is a few system calls, by a clock that ticks every few milliseconds. It is
 * early enough, for between the replacement of a store and the first write that is acknowledged in the new one lies the start of a
 * daemon, which takes many times as long.
 *
 * Where the map can't be opened (permissions, recovery), the handle reads through the mount, and tries the map again now and then.
 */
#include "sdk/private.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/num.h"

enum { CHECK_NS = 1000000, RETRY_NS = 50000000, LINES_MAX = 4096 };

static struct featurefs *handles;	/* guarded by sdk_lock */

/* In a forked child, with sdk_lock held: a lock that another thread held at the fork would never be given back. */
static void renew_locks(void)
{
	for (struct featurefs *fs = handles; fs; fs = fs->next)
		pthread_mutex_init(&fs->lock, NULL);
}

/* ---- what is where ---- */

/* `text` becomes the handle's; the old one stays until close, for a caller of featurefs_where may hold it. */
static int set_store(struct featurefs *fs, const char *path)
{
	char *copy = path ? strdup(path) : NULL;

	if (path && !copy)
		return -ENOMEM;
	pthread_mutex_lock(&sdk_lock);
	free(fs->store);
	fs->store = copy;
	pthread_mutex_unlock(&sdk_lock);
	return 0;
}

static void set_mount(struct featurefs *fs, struct sdk_mount *takes)
{
	pthread_mutex_lock(&sdk_lock);
	sdk_mount_release(&fs->mount);
	fs->mount = *takes;
	pthread_mutex_unlock(&sdk_lock);
}

/* Has the kernel's table of mounts changed since the last look? A description of its own, for the kernel remembers what each has seen. */
static bool has_table_changed(struct featurefs *fs)
{
	struct pollfd ask = { .fd = fs->table, .events = POLLPRI };

	if (fs->table < 0 || fs->forks != atomic_load(&sdk_forks)) {
		if (fs->table >= 0)
			close(fs->table);
		fs->table = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
		fs->forks = atomic_load(&sdk_forks);
		return true;
	}
	return poll(&ask, 1, 0) > 0;
}

/* Is the file that is mapped the one that the mount's daemon has? The source of a mount is a path, and a path may mean
 * something else here than where the daemon runs. */
static int check_same(const struct sdk_mount *mount, const struct sdk_map *map, struct why *why)
{
	struct buf text = { 0 };
	struct slice value;
	uint64_t inode;
	char *path;
	int rc;

	if (asprintf(&path, "%s/.featurefs/store", mount->dir) < 0)
		return -ENOMEM;
	rc = file_read_path(path, LINES_MAX, &text);
	if (rc == 0 && sdk_line_find(buf_slice(&text), "inode", &value) && num_parse_u64(value, &inode) == 0 && inode != map->inode)
		rc = why_fail(why, ESTALE, "%s is not the store that is mounted at %s", mount->source, mount->dir);
	/* A mount that doesn't say (of an older daemon, or dead) is believed. */
	if (rc != -ESTALE)
		rc = 0;
	buf_release(&text);
	free(path);
	return rc;
}

static int find_mount(struct featurefs *fs, struct why *why)
{
	struct sdk_mount mount = { 0 };
	int rc = 0;

	if (fs->asked) {
		rc = sdk_mount_of_path(fs->asked, &mount);
		if (rc == 0)
			rc = set_store(fs, mount.source);
		/* Of two mounts of the store, what is written goes to the one that can be written. */
		if (rc == 0 && mount.is_read_only) {
			struct sdk_mount other;

			if (sdk_mount_of_store(mount.source, &other) == 0) {
				sdk_mount_release(&mount);
				mount = other;
			}
		}
	} else if (sdk_mount_of_store(fs->store, &mount) < 0) {
		mount = (struct sdk_mount){ 0 };
	}
	if (rc == -ENODEV)
		rc = why_fail(why, ENODEV, "%s is not mounted any more", fs->asked);
	if (rc < 0)
		mount = (struct sdk_mount){ 0 };
	set_mount(fs, &mount);
	return rc;
}

/* ---- the map ---- */

static void take_map(struct featurefs *fs, struct sdk_map *map)
{
	pthread_mutex_lock(&sdk_lock);
	buf_append(&fs->kept, &map, sizeof map);
	atomic_store(&fs->map, map);
	pthread_mutex_unlock(&sdk_lock);
}

static void drop_map(struct featurefs *fs, bool is_bad)
{
	struct sdk_map *map = atomic_load(&fs->map);

	if (!map)
		return;
	pthread_mutex_lock(&sdk_lock);
	atomic_store(&fs->map, NULL);
	sdk_map_drop(map, is_bad);
	pthread_mutex_unlock(&sdk_lock);
}

/* 0, or why it must be read through the mount. */
static int open_map(struct featurefs *fs, struct why *why)
{
	struct sdk_map *map;
	int rc;

	if (fs->flags & FEATUREFS_MOUNT_ONLY)
		return why_fail(why, EPERM, "it was opened to be read through its mount");
	if (!fs->store)
		return why_fail(why, ENODEV, "%s is not mounted any more", fs->asked);
	if (!buf_reserve(&fs->kept, sizeof map))
		return -ENOMEM;
	rc = sdk_map_get(fs->store, &map, why);
	if (rc < 0)
		return rc;
	if (fs->asked && fs->mount.dir) {
		rc = check_same(&fs->mount, map, why);
		if (rc < 0) {
			pthread_mutex_lock(&sdk_lock);
			sdk_map_drop(map, false);
			sdk_map_forget(map);
			pthread_mutex_unlock(&sdk_lock);
			return rc;
		}
	}
	take_map(fs, map);
	return 0;
}

/* Another handle may find the map stale just now, and close it: not while this one asks. */
static bool is_replaced(struct featurefs *fs, struct sdk_map *map)
{
	bool is_stale = !sdk_map_hold(map);
	int rc;

	if (is_stale)
		return true;
	rc = store_check_reader(map->store, &fs->reason);
	sdk_map_leave(map);
	return rc < 0;
}

/* With the handle's lock held. 0 with fs->map or a mount to read through; else why neither. */
static int look(struct featurefs *fs, int64_t now_ns, struct why *why)
{
	struct sdk_map *map = atomic_load(&fs->map);
	bool has_changed = has_table_changed(fs);
	int rc = 0;

	if (has_changed)
		rc = find_mount(fs, why);
	/* The mount shows another store now, or none. */
	if (map && (rc < 0 || !fs->store))
		drop_map(fs, false);
	else if (map && is_replaced(fs, map))
		drop_map(fs, true);
	else if (map && has_changed && fs->asked && fs->mount.dir && check_same(&fs->mount, map, &fs->reason) < 0)
		drop_map(fs, false);
	if (rc < 0)
		return rc;
	if (!atomic_load(&fs->map) && (map || has_changed || !fs->mount.dir || now_ns - fs->tried_ns > RETRY_NS || now_ns < fs->tried_ns)) {
		fs->reason.text[0] = '\0';
		rc = open_map(fs, &fs->reason);
		if (rc < 0)
			fs->tried_ns = now_ns;
		else
			fs->reason.text[0] = '\0';
		if (rc < 0 && rc != -ENOMEM && (fs->flags & FEATUREFS_MAP_ONLY || !fs->mount.dir)) {
			*why = fs->reason;
			return rc;
		}
		if (rc == -ENOMEM)
			return rc;
	}
	if (!atomic_load(&fs->map) && (fs->flags & FEATUREFS_MAP_ONLY)) {
		*why = fs->reason;
		return -EAGAIN;
	}
	atomic_store(&fs->checked_ns, now_ns);
	return 0;
}

static bool is_due(struct featurefs *fs, int64_t now_ns)
{
	struct sdk_map *map = atomic_load_explicit(&fs->map, memory_order_acquire);
	int64_t since = now_ns - atomic_load_explicit(&fs->checked_ns, memory_order_relaxed);

	return since > CHECK_NS || since < 0 || (map && atomic_load_explicit(&map->is_stale, memory_order_relaxed));
}

static int64_t coarse_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	return (int64_t)now.tv_sec * CLOCK_SECOND + now.tv_nsec;
}

static int refresh(struct featurefs *fs, struct why *why)
{
	int rc = 0;

	pthread_mutex_lock(&fs->lock);
	if (is_due(fs, coarse_now()))
		rc = look(fs, coarse_now(), why);
	pthread_mutex_unlock(&fs->lock);
	return rc;
}

int sdk_begin_untimed(struct featurefs *fs, struct sdk_lease **out, struct why *why)
{
	int tries = 0;

	for (;;) {
		int64_t now_ns = coarse_now();
		int rc = is_due(fs, now_ns) ? refresh(fs, why) : 0;
		struct sdk_map *map = atomic_load_explicit(&fs->map, memory_order_acquire);

		if (rc < 0)
			return rc;
		if (!map)
			return SDK_BY_MOUNT;
		rc = sdk_lease_begin(map, now_ns, out, why);
		if (rc != -ESTALE || ++tries > 100)
			return rc;
	}
}

int sdk_begin(struct featurefs *fs, struct sdk_lease **out, struct why *why)
{
	int rc = sdk_begin_untimed(fs, out, why);

	if (rc == 0)
		(*out)->view.now_ns = clock_now();
	return rc;
}

/* ---- what other files ask ---- */

int sdk_mount_dir(struct featurefs *fs, struct buf *out, struct why *why)
{
	int rc;

	/* A table that has changed is looked at now: a write must not go to another store. */
	pthread_mutex_lock(&fs->lock);
	rc = look(fs, coarse_now(), why);
	if (fs->mount.dir)
		rc = 0;
	pthread_mutex_lock(&sdk_lock);
	if (fs->mount.dir)
		buf_append_str(out, fs->mount.dir);
	else if (rc == 0)
		rc = why_fail(why, ENOTCONN, "%s is not mounted, so nothing can be written: start featurefs on it", fs->store);
	pthread_mutex_unlock(&sdk_lock);
	pthread_mutex_unlock(&fs->lock);
	return rc < 0 ? rc : buf_error(out);
}

int sdk_catalog(struct featurefs *fs, struct catalog **out, struct why *why)
{
	struct sdk_lease *lease;
	struct buf mount = { 0 };
	int rc = sdk_begin(fs, &lease, why);

	if (rc == 0) {
		*out = catalog_ref(lease->cat);
		sdk_lease_end(lease);
	}
	if (rc != SDK_BY_MOUNT)
		return rc;
	rc = sdk_mount_dir(fs, &mount, why);
	buf_append_char(&mount, '\0');
	if (rc == 0)
		rc = buf_error(&mount);
	if (rc == 0)
		rc = remote_catalog(mount.data, out, why);
	buf_release(&mount);
	return rc;
}

int sdk_find_group(const struct catalog *cat, const char *name, const struct catalog_group **out, struct why *why)
{
	*out = catalog_find(cat, slice_str(name));
	return *out ? 0 : why_fail(why, ENOENT, "there is no group %s", name);
}

int sdk_no_group(struct featurefs *fs, struct slice name, struct why *why)
{
	struct catalog_group *grp;
	char *text;
	int rc = 0;

	if (!atomic_load(&fs->map)) {
		text = strndup(name.data, name.len);
		rc = text ? remote_schema(fs, text, &grp, why) : -ENOMEM;
		if (rc == 0)
			catalog_group_unref(grp);
		free(text);
	}
	return rc < 0 ? rc : why_fail(why, ENOENT, "there is no group %.*s", (int)name.len, (const char *)name.data);
}

/* ---- opening ---- */

static void free_handle(struct featurefs *fs)
{
	sdk_mount_release(&fs->mount);
	buf_release(&fs->kept);
	if (fs->table >= 0)
		close(fs->table);
	pthread_mutex_destroy(&fs->lock);
	free(fs->shown_store);
	free(fs->shown_mount);
	free(fs->store);
	free(fs->asked);
	free(fs);
}

static bool is_store(const char *path)
{
	char *file;
	bool is = false;

	if (asprintf(&file, "%s/data.mdb", path) < 0)
		return false;
	is = access(file, F_OK) == 0;
	free(file);
	return is;
}

/* Sets either what the handle follows, or its STORE. A STORE whose files this user may not see is known by being mounted. */
static int place(struct featurefs *fs, const char *path, struct why *why)
{
	char *full = realpath(path, NULL);
	struct sdk_mount mount = { 0 };
	int rc;

	/* The daemon of this mount has died; its map may be read all the same. */
	if (!full && errno == ENOTCONN && path[0] == '/')
		full = strdup(path);
	if (!full)
		return why_fail(why, errno, "%s: %s", path, strerror(errno));
	rc = sdk_mount_of_path(full, &mount);
	if (rc == 0) {
		fs->asked = mount.dir;
		mount.dir = NULL;
		sdk_mount_release(&mount);
		free(full);
		return 0;
	}
	if (rc == -ENODEV && (is_store(full) || sdk_mount_of_store(full, &mount) == 0)) {
		sdk_mount_release(&mount);
		fs->store = full;
		return 0;
	}
	if (rc == -ENODEV && access(full, X_OK) < 0 && errno == EACCES)
		rc = why_fail(why, EACCES, "%s: permission denied, and it is not mounted", path);
	else if (rc == -ENODEV)
		rc = why_fail(why, ENODEV, "%s is no feature store: neither a mount of one nor a STORE", path);
	free(full);
	return rc;
}

int featurefs_open(const char *path, unsigned flags, struct featurefs **out)
{
	struct why why = { "" };
	struct featurefs *fs;
	int rc;

	if (!path || (flags & ~(FEATUREFS_MAP_ONLY | FEATUREFS_MOUNT_ONLY)) || flags == (FEATUREFS_MAP_ONLY | FEATUREFS_MOUNT_ONLY))
		return sdk_return(why_fail(&why, EINVAL, "featurefs_open: a path, and one of the flags at the most"), &why);
	fs = calloc(1, sizeof(*fs));
	if (!fs)
		return sdk_return(-ENOMEM, NULL);
	fs->flags = flags;
	fs->table = -1;
	pthread_mutex_init(&fs->lock, NULL);
	sdk_fork_ready(renew_locks);
	rc = place(fs, path, &why);
	if (rc == 0) {
		pthread_mutex_lock(&sdk_lock);
		fs->next = handles;
		handles = fs;
		pthread_mutex_unlock(&sdk_lock);
		rc = refresh(fs, &why);
	}
	if (rc < 0) {
		featurefs_close(fs);
		return sdk_return(rc, &why);
	}
	*out = fs;
	return 0;
}

void featurefs_close(struct featurefs *fs)
{
	struct featurefs **link;
	struct sdk_map **kept;

	if (!fs)
		return;
	drop_map(fs, false);
	pthread_mutex_lock(&sdk_lock);
	for (link = &handles; *link; link = &(*link)->next) {
		if (*link == fs) {
			*link = fs->next;
			break;
		}
	}
	kept = (struct sdk_map **)fs->kept.data;
	for (size_t i = 0; i < fs->kept.len / sizeof *kept; i++)
		sdk_map_forget(kept[i]);
	pthread_mutex_unlock(&sdk_lock);
	free_handle(fs);
}

static int show(char **shown, const char *text)
{
	free(*shown);
	*shown = text ? strdup(text) : NULL;
	return text && !*shown ? -ENOMEM : 0;
}

int featurefs_where(struct featurefs *fs, struct featurefs_place *out)
{
	struct why why = { "" };
	int rc;

	pthread_mutex_lock(&fs->lock);
	rc = look(fs, coarse_now(), &why);
	pthread_mutex_lock(&sdk_lock);
	if (rc == 0)
		rc = show(&fs->shown_store, fs->store);
	if (rc == 0)
		rc = show(&fs->shown_mount, fs->mount.dir);
	if (rc == 0)
		*out = (struct featurefs_place){ .store = fs->shown_store, .mount = fs->shown_mount, .is_mapped = atomic_load(&fs->map) != NULL,
						 .reason = atomic_load(&fs->map) ? "" : fs->reason.text };
	pthread_mutex_unlock(&sdk_lock);
	pthread_mutex_unlock(&fs->lock);
	return sdk_return(rc, &why);
}
