/* SPDX-License-Identifier: MIT */
/*
 * The maps that this process has open. LMDB must not be open twice in one process, for its locks belong to the process: so handles share
 * a map, which is known by device and inode of its file.
 *
 * A read takes a lease: a snapshot that was parked by an earlier read (so that it begins without a lock of ours or of LMDB's), with the
 * catalog that it was last used with. If nothing was committed since, that catalog is right; else one small value in the map says whether
 * it still is. Leases that nobody uses lie in the map's hot places, one for each of a few threads, taken and given back by an exchange.
 *
 * A map is stale when its store was replaced, or awaits recovery, or no handle reads from it: it gives no more leases, and is closed
 * when the last one has come back, so that a read in another thread goes on undisturbed. Its struct stays as long as a handle may hold
 * its address.
 *
 * After a fork the child has the parent's maps but not its place in LMDB's table of readers; whatever LMDB did for the child would free
 * the parent's snapshots. The child abandons them, open as they are, and opens its own.
 */
#include "sdk/private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { SPARE_MAX = 48 };	/* leases kept beside the hot places: each holds a line in a table of a thousand */

pthread_mutex_t sdk_lock = PTHREAD_MUTEX_INITIALIZER;
_Atomic unsigned sdk_forks;

static struct sdk_map *maps;		/* guarded by sdk_lock, as the next one */
static struct sdk_map *abandoned;	/* kept, so that nobody takes them for lost memory */
static void (*tell_child)(void);

unsigned sdk_thread_place(void)
{
	static __thread unsigned place __attribute__((tls_model("initial-exec")));
	static _Atomic unsigned next;

	if (!place)
		place = 1 + atomic_fetch_add(&next, 1) % SDK_HOT;
	return place - 1;
}

/* ---- forks ---- */

static void before_fork(void)
{
	pthread_mutex_lock(&sdk_lock);
}

static void after_fork(void)
{
	pthread_mutex_unlock(&sdk_lock);
}

static void in_child(void)
{
	struct sdk_map *map;

	while ((map = maps)) {
		maps = map->next;
		map->next = abandoned;
		abandoned = map;
		atomic_store(&map->is_abandoned, true);
		atomic_store(&map->is_stale, true);
	}
	atomic_fetch_add(&sdk_forks, 1);
	tell_child();
	pthread_mutex_unlock(&sdk_lock);
}

static void register_handlers(void)
{
	pthread_atfork(before_fork, after_fork, in_child);
}

void sdk_fork_ready(void (*child)(void))
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	tell_child = child;
	pthread_once(&once, register_handlers);
}

/* ---- leases ---- */

static void unlist(struct sdk_map *map)
{
	struct sdk_map **link = &maps;

	while (*link && *link != map)
		link = &(*link)->next;
	if (*link)
		*link = map->next;
}

/* With sdk_lock held. */
static void leave_map(struct sdk_map *map)
{
	if (--map->users || !map->store)
		return;
	unlist(map);
	catalog_unref(map->cat);
	map->cat = NULL;
	store_close(map->store);
	map->store = NULL;
	if (!map->kept)
		free(map);
}

/* What is abandoned is the parent's: only the memory around it is given back. */
static void lease_free(struct sdk_lease *lease)
{
	struct sdk_map *map = lease->map;
	bool is_ours = !atomic_load(&map->is_abandoned);

	if (is_ours)
		store_snap_free(lease->snap);
	catalog_unref(lease->cat);
	free(lease);
	if (is_ours)
		leave_map(map);
}

/* With sdk_lock held. */
static void drain(struct sdk_map *map)
{
	struct sdk_lease *lease;

	for (int i = 0; i < SDK_HOT; i++) {
		lease = atomic_exchange(&map->hot[i], NULL);
		if (lease)
			lease_free(lease);
	}
	while ((lease = map->spare)) {
		map->spare = lease->next;
		lease_free(lease);
	}
	map->n_spare = 0;
}

static int lease_new(struct sdk_map *map, struct sdk_lease **out)
{
	struct sdk_lease *lease = NULL;
	bool is_stale;
	int rc;

	pthread_mutex_lock(&sdk_lock);
	is_stale = atomic_load(&map->is_stale);
	lease = is_stale ? NULL : map->spare;
	if (lease) {
		map->spare = lease->next;
		map->n_spare--;
	} else if (!is_stale) {
		map->users++;
	}
	pthread_mutex_unlock(&sdk_lock);
	if (is_stale)
		return -ESTALE;
	if (lease) {
		*out = lease;
		return 0;
	}
	lease = calloc(1, sizeof(*lease));
	rc = lease ? store_snap_begin(map->store, &lease->snap) : -ENOMEM;
	if (rc < 0) {
		free(lease);
		pthread_mutex_lock(&sdk_lock);
		leave_map(map);
		pthread_mutex_unlock(&sdk_lock);
		return rc;
	}
	store_snap_park(lease->snap);
	lease->map = map;
	*out = lease;
	return 0;
}

/* Loads the catalog of this snapshot, or takes the one that another read has loaded. */
static int match_catalog(struct sdk_lease *lease, struct why *why)
{
	struct sdk_map *map = lease->map;
	struct catalog *cat = NULL, *old;
	uint64_t version;
	int rc = catalog_version(lease->snap, &version);

	if (rc < 0)
		return rc;
	if (lease->cat && lease->cat_version == version)
		return 0;
	pthread_mutex_lock(&sdk_lock);
	if (map->cat && map->cat_version == version)
		cat = catalog_ref(map->cat);
	pthread_mutex_unlock(&sdk_lock);
	if (!cat) {
		rc = catalog_load(lease->snap, &cat, why);
		if (rc < 0)
			return rc;
		pthread_mutex_lock(&sdk_lock);
		if (map->cat && map->cat_version == version) {
			/* Another read was faster: one catalog for all means one plan for all. */
			old = cat;
			cat = catalog_ref(map->cat);
		} else {
			old = map->cat;
			map->cat = catalog_ref(cat);
			map->cat_version = version;
		}
		pthread_mutex_unlock(&sdk_lock);
		catalog_unref(old);
	}
	catalog_unref(lease->cat);
	lease->cat = cat;
	lease->cat_version = version;
	return 0;
}

int sdk_lease_begin(struct sdk_map *map, int64_t now_ns, struct sdk_lease **out, struct why *why)
{
	struct sdk_lease *lease = atomic_exchange(&map->hot[sdk_thread_place()], NULL);
	uint64_t txn;
	int rc = lease ? 0 : lease_new(map, &lease);

	if (rc < 0)
		return rc;
	/* Between the exchange and here another thread may have forked or found the map stale: what is renewed now is still whole. */
	if (atomic_load_explicit(&map->is_abandoned, memory_order_relaxed)) {
		lease_free(lease);
		return -ESTALE;
	}
	rc = store_snap_renew(lease->snap);
	if (rc < 0) {
		pthread_mutex_lock(&sdk_lock);
		lease_free(lease);
		pthread_mutex_unlock(&sdk_lock);
		if (rc == -EMFILE)
			return why_fail(why, EMFILE, "too many snapshots of the store are open at once, in all of its readers");
		if (rc == -EAGAIN)
			return why_fail(why, EAGAIN, "the map has grown while another thread has been reading one snapshot for seconds");
		return rc;
	}
	txn = store_snap_version(lease->snap);
	if (txn != lease->txn || !lease->cat) {
		rc = match_catalog(lease, why);
		if (rc < 0) {
			sdk_lease_end(lease);
			return rc == -EBADMSG && !why->text[0] ? why_fail(why, EBADMSG, "the catalog is damaged: run featurectl verify") : rc;
		}
		lease->txn = txn;
	}
	lease->view = (struct serve_view){ .snap = lease->snap, .cat = lease->cat, .now_ns = now_ns };
	*out = lease;
	return 0;
}

void sdk_lease_end(struct sdk_lease *lease)
{
	struct sdk_map *map = lease->map;
	struct sdk_lease *none = NULL;
	unsigned place = sdk_thread_place();

	if (!atomic_load_explicit(&map->is_abandoned, memory_order_relaxed))
		store_snap_park(lease->snap);
	if (!atomic_load(&map->is_stale) && atomic_compare_exchange_strong(&map->hot[place], &none, lease)) {
		/* Whoever makes the map stale says so first and empties the places afterwards. */
		if (!atomic_load(&map->is_stale))
			return;
		lease = atomic_exchange(&map->hot[place], NULL);
		if (!lease)
			return;
	}
	pthread_mutex_lock(&sdk_lock);
	if (!atomic_load(&map->is_stale) && map->n_spare < SPARE_MAX) {
		lease->next = map->spare;
		map->spare = lease;
		map->n_spare++;
	} else {
		lease_free(lease);
	}
	pthread_mutex_unlock(&sdk_lock);
}

/* ---- maps ---- */

static int map_open(const char *path, struct sdk_map **out, struct why *why)
{
	struct sdk_map *map = calloc(1, sizeof(*map));
	int rc;

	if (!map)
		return -ENOMEM;
	rc = store_open_reader(path, &map->store, why);
	if (rc == 0)
		rc = store_file(map->store, &map->device, &map->inode);
	if (rc < 0) {
		if (map->store)
			store_close(map->store);
		free(map);
		return rc;
	}
	map->users = 1;
	map->next = maps;
	maps = map;
	*out = map;
	return 0;
}

int sdk_map_get(const char *path, struct sdk_map **out, struct why *why)
{
	uint64_t device, inode;
	struct sdk_map *map;
	int rc;

	pthread_mutex_lock(&sdk_lock);
	rc = store_file_at(path, &device, &inode);
	if (rc < 0) {
		why_fail(why, -rc, "%s/data.mdb: %s", path, strerror(-rc));
		goto out;
	}
	for (map = maps; map; map = map->next)
		if (map->device == device && map->inode == inode)
			break;
	if (!map)
		rc = map_open(path, &map, why);
	else if (atomic_load(&map->is_stale))
		rc = why_fail(why, EAGAIN, "%s was recovered or moved while this process was reading it: its last read must end first", path);
	if (rc == 0) {
		map->handles++;
		map->kept++;
		*out = map;
	}
out:
	pthread_mutex_unlock(&sdk_lock);
	return rc;
}

bool sdk_map_hold(struct sdk_map *map)
{
	bool is_stale;

	pthread_mutex_lock(&sdk_lock);
	is_stale = atomic_load(&map->is_stale);
	if (!is_stale)
		map->users++;
	pthread_mutex_unlock(&sdk_lock);
	return !is_stale;
}

void sdk_map_leave(struct sdk_map *map)
{
	pthread_mutex_lock(&sdk_lock);
	leave_map(map);
	pthread_mutex_unlock(&sdk_lock);
}

void sdk_map_drop(struct sdk_map *map, bool is_bad)
{
	map->handles--;
	if (atomic_load(&map->is_stale) || (!is_bad && map->handles))
		return;
	atomic_store(&map->is_stale, true);
	drain(map);
	leave_map(map);
}

void sdk_map_forget(struct sdk_map *map)
{
	map->kept--;
	if (!map->kept && !map->store)
		free(map);
}
