/* SPDX-License-Identifier: MIT */
/*
 * The hunt for a stale or torn read: hunt EDITING-MOUNT SERVING-MOUNT STORE SECONDS [SEED].
 *
 * Every value carries its version, its length and a text that follows from both. Each key has one writer, which notes the version before it
 * begins to write (given) and when the write has returned (acked): the direct lane by all its forms, loads of files that are dropped, and, with
 * $BROKERS, messages of a stream, which are acknowledged when they are first seen. Readers read by all ways there are: files, .bin and .row of the
 * serving mount, by read and by mmap; its views and the ioctl of its .lookup; the editing mount; the map, as another process does. What a
 * reader finds must be whole, not
 * older than what was acknowledged before it began, and not older than what any other reader had found before it began. Beside that: values that
 * expire must be gone in time; a change of thousands of names at once, a change of the group's definition and one of its mode must be seen.
 *
 * Exit status: 0 nothing was found, 1 something was, 2 it could not run.
 */
#include <errno.h>
#include <fcntl.h>
#include <featurefs.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "catalog/catalog.h"
#include "serve/serve.h"
#include "store/store.h"

enum {
	DIRECT_KEYS = 12, LOAD_KEYS = 3, STREAM_KEYS = 2,
	FIRST_LOAD = DIRECT_KEYS, FIRST_STREAM = FIRST_LOAD + LOAD_KEYS, KEYS = FIRST_STREAM + STREAM_KEYS,
	READERS = 8, WRITERS = 3,
	LOAD_ROWS = 400,		/* of others, in each third load, which so is nearly its whole group */
	PATIENCE_MS = 60000,		/* for a load to end, and for a message to be seen */
	LEN_MIN = 24, LEN_MAX = 4800,
	RING = 4096,			/* versions of a key that are remembered */
	MORTALS = 6, MORTAL_TTL_MS = 2500,
	MANY = 3000, MANY_PAUSE_MS = 300,	/* of names: an entity and a value each */
	STANDING = 100,			/* in directories of those */
	CROSSING_MS = 5, CROSSED_PART = 50,	/* one change in so many, and two, may be crossed by a stat: check_mode() */
	SHOWN_MAX = 20,
};

static const char *edit, *srv, *store_dir;
static atomic_bool is_over;
static atomic_uint given[KEYS], acked[KEYS], any_seen[KEYS];
static atomic_uchar is_deleted[KEYS][RING];	/* that version is the absence of a value */
static atomic_uint n_faults;
static const char *brokers;		/* NULL: there is no stream */
static atomic_ulong n_reads[16], n_loads, n_messages, n_writes, n_deletes, n_misses, n_expired, n_many, n_rights, n_crossed;
static unsigned seed0;

static void fault(const char *form, ...) __attribute__((format(printf, 1, 2)));
static void fault(const char *form, ...)
{
	char line[512];
	va_list args;

	if (atomic_fetch_add(&n_faults, 1) >= SHOWN_MAX)
		return;
	va_start(args, form);
	vsnprintf(line, sizeof line, form, args);
	va_end(args);
	printf("FAULT: %s\n", line);
	fflush(stdout);
}

static void die(const char *what)
{
	fprintf(stderr, "hunt: %s: %s\n", what, strerror(errno));
	exit(2);
}

static unsigned next_random(unsigned *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

static unsigned mix(unsigned x)
{
	x ^= x >> 16;
	x *= 0x7feb352du;
	x ^= x >> 15;
	x *= 0x846ca68bu;
	return x ^ x >> 16;
}

static void nap_ms(long ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&ts, NULL);
}

/* ---- texts ---- */

static int make_text(int key, unsigned ver, char out[LEN_MAX + 1])
{
	unsigned state = mix(ver ^ (unsigned)key << 20 ^ 77);
	int len = LEN_MIN + (int)(mix(ver * 2654435761u + (unsigned)key) % (LEN_MAX - LEN_MIN));
	int n = snprintf(out, LEN_MAX + 1, "%08x %05d ", ver, len);

	if (ver % 3)			/* most are short, as most features are */
		len = LEN_MIN + len % 40;
	n = snprintf(out, LEN_MAX + 1, "%08x %05d ", ver, len);
	while (n < len)
		out[n++] = (char)('a' + next_random(&state) % 26);
	out[n] = '\0';
	return n;
}

/* The version that a text is of; 0 with a fault if it is none. */
static unsigned judge_text(int key, const char *text, size_t len, const char *how)
{
	char want[LEN_MAX + 1];
	unsigned ver = 0;
	int said = 0;

	if (len < LEN_MIN || sscanf(text, "%8x %5d ", &ver, &said) != 2 || ver == 0) {
		fault("%s: key %d: no text of ours: %zu bytes \"%.30s\"", how, key, len, text);
		return 0;
	}
	if ((size_t)make_text(key, ver, want) != len || memcmp(text, want, len)) {
		fault("%s: key %d: torn: version %u says %d bytes, there are %zu", how, key, ver, said, len);
		return 0;
	}
	return ver;
}

/* ---- what was seen ---- */

/* Taken before a read begins. */
struct floor {
	unsigned acked, seen;
};

static struct floor take_floor(int key)
{
	struct floor floor;

	floor.seen = atomic_load(&any_seen[key]);
	floor.acked = atomic_load(&acked[key]);
	return floor;
}

static void see(int key, unsigned ver)
{
	unsigned was = atomic_load(&any_seen[key]);

	while (was < ver && !atomic_compare_exchange_weak(&any_seen[key], &was, ver))
		;
}

static void judge_version(int key, unsigned ver, struct floor floor, const char *how)
{
	unsigned most = atomic_load(&given[key]);

	if (ver < floor.acked)
		fault("%s: key %d: STALE: version %u, %u was acknowledged before", how, key, ver, floor.acked);
	else if (ver < floor.seen)
		fault("%s: key %d: version %u, another reader had seen %u before", how, key, ver, floor.seen);
	else if (ver > most)
		fault("%s: key %d: version %u, only %u was written", how, key, ver, most);
	else if (atomic_load(&is_deleted[key][ver % RING]))
		fault("%s: key %d: version %u is a deletion", how, key, ver);
	see(key, ver);
}

/* Nothing was there: some deletion must be new enough. */
static void judge_absence(int key, struct floor floor, const char *how)
{
	unsigned least = floor.acked > floor.seen ? floor.acked : floor.seen, most = atomic_load(&given[key]);

	atomic_fetch_add(&n_misses, 1);
	for (unsigned ver = least; ver <= most; ver++) {
		if (atomic_load(&is_deleted[key][ver % RING])) {
			see(key, ver);
			return;
		}
	}
	fault("%s: key %d: nothing there, though versions %u to %u are values", how, key, least, most);
}

/* ---- reading ---- */

static ssize_t read_all(int fd, char *to, size_t room, size_t piece)
{
	size_t len = 0;
	ssize_t n;

	while (len < room && (n = read(fd, to + len, piece < room - len ? piece : room - len)) != 0) {
		if (n < 0)
			return -1;
		len += (size_t)n;
	}
	return (ssize_t)len;
}

static void read_file(int key, const char *root, const char *name, unsigned *rnd, const char *how)
{
	struct floor floor = take_floor(key);
	char path[256], text[2 * LEN_MAX];
	struct stat st;
	bool is_bin = strstr(name, ".bin");
	unsigned ver;
	ssize_t n;
	int fd;

	snprintf(path, sizeof path, "%s/g/u%d/%s", root, key, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) {
		judge_absence(key, floor, how);
		return;
	}
	n = fd < 0 ? -1 : read_all(fd, text, sizeof text - 1, next_random(rnd) % 4 ? sizeof text : 1 + next_random(rnd) % 999);
	if (n < 0 || fstat(fd, &st) < 0) {
		fault("%s: %s of %s: %s", how, fd < 0 ? "open" : n < 0 ? "read" : "fstat", path, strerror(errno));
	} else {
		if (st.st_size != n)
			fault("%s: key %d: fstat says %lld, read gives %zd", how, key, (long long)st.st_size, n);
		text[n] = '\0';
		ver = judge_text(key, text, (size_t)(n && !is_bin ? n - 1 : n), how);
		if (ver)
			judge_version(key, ver, floor, how);
	}
	if (fd >= 0)
		close(fd);
}

static void read_mapped(int key, const char *how)
{
	struct floor floor = take_floor(key);
	char path[256], text[LEN_MAX + 2];
	struct stat st;
	unsigned ver;
	void *map;
	int fd;

	snprintf(path, sizeof path, "%s/g/u%d/v", srv, key);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		if (errno == ENOENT)
			judge_absence(key, floor, how);
		else
			fault("%s: %s: %s", how, path, strerror(errno));
		return;
	}
	if (fstat(fd, &st) == 0 && st.st_size > 1 && (size_t)st.st_size < sizeof text) {
		map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
		if (map == MAP_FAILED) {
			fault("%s: mmap: %s", how, strerror(errno));
		} else {
			memcpy(text, map, (size_t)st.st_size);
			text[st.st_size] = '\0';
			ver = judge_text(key, text, (size_t)st.st_size - 1, how);
			if (ver)
				judge_version(key, ver, floor, how);
			munmap(map, (size_t)st.st_size);
		}
	}
	close(fd);
}

/* "name": in a row's JSON; NULL. */
static const char *find_field(const char *json, const char *name)
{
	char want[32];
	const char *at;

	snprintf(want, sizeof want, "\"%s\": ", name);
	at = strstr(json, want);
	return at ? at + strlen(want) : NULL;
}

static void judge_row(int key, const char *text, struct floor floor, const char *how)
{
	const char *a = find_field(text, "a"), *b = find_field(text, "b"), *value = find_field(text, "v");
	const char *end = value ? strchr(value + 1, '"') : NULL;
	unsigned ver;

	if (!a != !b || (a && strtol(a, NULL, 10) != strtol(b, NULL, 10)))
		fault("%s: key %d: half a row: %.200s", how, key, text);
	if (!value) {
		judge_absence(key, floor, how);
	} else if (!end) {
		fault("%s: key %d: a torn row", how, key);
	} else {
		ver = judge_text(key, value + 1, (size_t)(end - value - 1), how);
		if (ver)
			judge_version(key, ver, floor, how);
	}
}

static void read_row(int key, const char *path, const char *how)
{
	struct floor floor = take_floor(key);
	char text[2 * LEN_MAX];
	ssize_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT) {
		judge_absence(key, floor, how);
		return;
	}
	n = fd < 0 ? -1 : read_all(fd, text, sizeof text - 1, sizeof text);
	if (fd >= 0)
		close(fd);
	if (n < 0) {
		fault("%s: %s: %s", how, path, strerror(errno));
		return;
	}
	text[n] = '\0';
	judge_row(key, text, floor, how);
}

static void read_own_row(int key, const char *root, const char *how)
{
	char path[256];

	snprintf(path, sizeof path, "%s/g/u%d/.row", root, key);
	read_row(key, path, how);
}

/* By a call that brings its question along. */
static void ask_row(int key, const char *path, const char *how)
{
	union {
		struct featurefs_batch batch;
		char room[FEATUREFS_BATCH_MAX];
	} arg = { .room = { 0 } };
	struct floor floor = take_floor(key);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	arg.batch.names = (uint32_t)snprintf(arg.batch.bytes, 16, "u%d\n", key);
	if (fd < 0 || ioctl(fd, FEATUREFS_IOC_LOOKUP(sizeof arg), &arg) < 0 || arg.batch.names != 1) {
		fault("%s: %s: %s", how, path, strerror(errno));
	} else {
		arg.batch.bytes[arg.batch.answers] = '\0';
		judge_row(key, arg.batch.bytes, floor, how);
	}
	if (fd >= 0)
		close(fd);
}

static void read_view(int key, unsigned *rnd, const char *how)
{
	char path[256];

	if (next_random(rnd) % 2) {
		snprintf(path, sizeof path, "%s/.views/h/json/.lookup", srv);
		ask_row(key, path, "serving view's ioctl");
		return;
	}
	snprintf(path, sizeof path, "%s/.views/h/json/u%d", srv, key);
	read_row(key, path, how);
}

/* What stat says without opening. */
static void read_stat(int key, const char *how)
{
	struct floor floor = take_floor(key);
	char path[256], text[LEN_MAX + 1];
	unsigned least = floor.acked > floor.seen ? floor.acked : floor.seen;
	struct stat st;

	snprintf(path, sizeof path, "%s/g/u%d/v", srv, key);
	if (stat(path, &st) < 0) {
		if (errno == ENOENT)
			judge_absence(key, floor, how);
		else
			fault("%s: %s: %s", how, path, strerror(errno));
		return;
	}
	for (unsigned ver = least; ver <= atomic_load(&given[key]); ver++)
		if (!atomic_load(&is_deleted[key][ver % RING]) && make_text(key, ver, text) + 1 == st.st_size)
			return;
	fault("%s: key %d: size %lld is of no version since %u", how, key, (long long)st.st_size, least);
}

/* ---- the map, as the client library sees it ---- */

struct map {
	struct store *store;
	const struct catalog_group *grp;
	struct catalog *cat;
	uint64_t version;		/* of it */
};

/* The catalog of that snapshot: where a group's rows are changes when a load is published. */
static void load_catalog(struct map *map, struct store_snap *snap)
{
	struct why why = { "" };
	uint64_t version;

	if (catalog_version(snap, &version) < 0)
		die("the catalog's version");
	if (map->cat && version == map->version)
		return;
	map->version = version;
	catalog_unref(map->cat);
	if (catalog_load(snap, &map->cat, &why) < 0) {
		fprintf(stderr, "hunt: %s\n", why.text);
		exit(2);
	}
	map->grp = catalog_find(map->cat, slice_str("g"));
}

static void read_map(struct map *map, int key, const char *how)
{
	struct floor floor = take_floor(key);
	struct serve_view view = { 0 };
	struct serve_value value = { .status = SERVE_MISSING };
	struct buf text = { 0 };
	struct record rec;
	char name[16];
	unsigned ver;
	int rc;

	rc = store_snap_begin(map->store, &view.snap);
	if (rc < 0) {
		fault("%s: a snapshot: %s", how, strerror(-rc));
		return;
	}
	load_catalog(map, view.snap);
	view.cat = map->cat;
	view.now_ns = clock_now();
	snprintf(name, sizeof name, "u%d", key);
	rc = serve_row(&view, map->grp, slice_str(name), &rec);
	if (rc == 0)
		serve_value(&view, map->grp, &rec, catalog_find_feature(map->grp, slice_str("v")), &value);
	if (value.status != SERVE_PRESENT) {
		judge_absence(key, floor, how);
	} else if (serve_value_text(&value, &text) == 0) {
		buf_append_char(&text, '\0');
		ver = judge_text(key, text.data, text.len - 2, how);
		if (ver)
			judge_version(key, ver, floor, how);
	}
	buf_release(&text);
	store_snap_end(view.snap);
}

static void *read_all_ways(void *arg)
{
	unsigned number = (unsigned)(uintptr_t)arg, rnd = mix(seed0 + number);
	struct map map = { 0 };
	char path[256];

	/* One process has the map open once: one thread reads it. */
	if (number == 0) {
		struct why why = { "" };

		if (store_open_reader(store_dir, &map.store, &why) < 0) {
			fprintf(stderr, "hunt: %s\n", why.text);
			exit(2);
		}
	}
	while (!atomic_load(&is_over)) {
		int key = (int)(next_random(&rnd) % KEYS);
		unsigned way = next_random(&rnd) % 14;

		if (number == 0)
			way = way % 2 ? 11 : 0;
		atomic_fetch_add(&n_reads[way], 1);
		switch (way) {
		case 0: case 1: case 2: case 3: case 11:
			if (way == 11 && number == 0)
				read_map(&map, key, "map");
			else
				read_file(key, srv, "v", &rnd, "serving");
			break;
		case 4: read_file(key, srv, "v.bin", &rnd, "serving .bin"); break;
		case 5: case 6: read_own_row(key, srv, "serving .row"); break;
		case 7: read_mapped(key, "serving mmap"); break;
		case 8: read_stat(key, "serving stat"); break;
		case 9: read_file(key, edit, "v", &rnd, "editing"); break;
		case 10: read_own_row(key, edit, "editing .row"); break;
		case 12: read_view(key, &rnd, "serving view"); break;
		default:
			snprintf(path, sizeof path, "%s/g/.lookup", srv);
			ask_row(key, path, "serving ioctl");
			break;
		}
	}
	if (map.store) {
		catalog_unref(map.cat);
		store_close(map.store);
	}
	return NULL;
}

/* ---- writing ---- */

static int put_file(const char *path, const char *text, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644), rc;

	if (fd < 0)
		return -1;
	rc = write(fd, text, len) == (ssize_t)len ? 0 : -1;
	return close(fd) < 0 ? -1 : rc;
}

/* The keys of one change, and what they will be. */
struct change {
	int keys[2];
	unsigned vers[2];
	int n;
	bool deletes;
};

static void give(struct change *chg, int key, bool deletes)
{
	unsigned ver = atomic_load(&given[key]) + 1;

	chg->deletes = deletes;
	chg->keys[chg->n] = key;
	chg->vers[chg->n++] = ver;
	atomic_store(&is_deleted[key][ver % RING], deletes);
	atomic_store(&given[key], ver);
}

static void acknowledge(const struct change *chg)
{
	for (int i = 0; i < chg->n; i++)
		atomic_store(&acked[chg->keys[i]], chg->vers[i]);
	atomic_fetch_add(chg->deletes ? &n_deletes : &n_writes, 1);
}

enum form { FORM_FILE, FORM_ROW, FORM_UPSERT, FORM_FORCE, FORM_RENAME, FORM_REMOVE, FORM_REMOVE_ENTITY };

static int append_row(const struct change *chg, int i, enum form form, char *to, size_t room)
{
	char text[LEN_MAX + 1];
	int n = 0;

	if (form != FORM_ROW)
		n = snprintf(to, room, "{\"entity\": \"u%d\", ", chg->keys[i]);
	else
		n = snprintf(to, room, "{");
	if (form == FORM_REMOVE_ENTITY)
		return n + snprintf(to + n, room - (size_t)n, "\"delete\": true}\n");
	if (form == FORM_FORCE)
		n += snprintf(to + n, room - (size_t)n, "\"event_time\": \"2026-01-01T00:00:00Z\", \"force\": true, ");
	make_text(chg->keys[i], chg->vers[i], text);
	return n + snprintf(to + n, room - (size_t)n, "\"features\": {\"v\": \"%s\", \"a\": %u, \"b\": %u}}\n", text, chg->vers[i],
			    chg->vers[i]);
}

static int make_change(const struct change *chg, enum form form)
{
	char path[256], other[256], text[4 * LEN_MAX];
	int len = 0, key = chg->keys[0];

	snprintf(path, sizeof path, "%s/g/u%d/v", edit, key);
	switch (form) {
	case FORM_REMOVE:
		return unlink(path);
	case FORM_FILE:
		len = make_text(key, chg->vers[0], text);
		text[len++] = '\n';
		return put_file(path, text, (size_t)len);
	case FORM_RENAME:
		snprintf(other, sizeof other, "%s/g/u%d/.v.tmp", edit, key);
		len = make_text(key, chg->vers[0], text);
		return put_file(other, text, (size_t)len) < 0 ? -1 : rename(other, path);
	case FORM_ROW:
		snprintf(path, sizeof path, "%s/g/u%d/.row", edit, key);
		break;
	default:
		snprintf(path, sizeof path, "%s/g/.upsert", edit);
		break;
	}
	for (int i = 0; i < chg->n; i++)
		len += append_row(chg, i, form, text + len, sizeof text - (size_t)len);
	return put_file(path, text, (size_t)len);
}

static enum form choose(unsigned *rnd, bool has_entity, bool has_value)
{
	unsigned x = next_random(rnd) % 100;

	if (!has_entity)
		return FORM_UPSERT;
	if (x < 45)
		return FORM_FILE;
	if (x < 60)
		return FORM_ROW;
	if (x < 75)
		return FORM_UPSERT;
	if (x < 82)
		return FORM_RENAME;
	if (x < 87)
		return FORM_FORCE;
	if (x < 96)
		return has_value ? FORM_REMOVE : FORM_FILE;
	return has_value ? FORM_REMOVE_ENTITY : FORM_UPSERT;
}

static void *write_all_ways(void *arg)
{
	unsigned number = (unsigned)(uintptr_t)arg, rnd = mix(seed0 + 1000 + number);
	bool has_entity[DIRECT_KEYS], has_value[DIRECT_KEYS];

	for (int i = 0; i < DIRECT_KEYS; i++)
		has_entity[i] = has_value[i] = true;
	while (!atomic_load(&is_over)) {
		int key = (int)(next_random(&rnd) % (DIRECT_KEYS / WRITERS) * WRITERS + number);
		enum form form = choose(&rnd, has_entity[key], has_value[key]);
		bool deletes = form == FORM_REMOVE || form == FORM_REMOVE_ENTITY;
		struct change chg = { .n = 0 };

		give(&chg, key, deletes);
		if (form == FORM_UPSERT && key + WRITERS < DIRECT_KEYS)
			give(&chg, key + WRITERS, false);
		if (make_change(&chg, form) < 0) {
			fault("write of key %d in form %d: %s", key, (int)form, strerror(errno));
			break;
		}
		acknowledge(&chg);
		for (int i = 0; i < chg.n; i++) {
			has_entity[chg.keys[i]] = form != FORM_REMOVE_ENTITY;
			has_value[chg.keys[i]] = !deletes;
		}
	}
	return NULL;
}

/* ---- loads ---- */

/* Waits for the report to say that it is done. */
static bool is_loaded(const char *name)
{
	char path[256], text[4096];

	snprintf(path, sizeof path, "%s/g/.import/.reports/%s.status", edit, name);
	for (int i = 0; i < PATIENCE_MS && !atomic_load(&n_faults); i++, nap_ms(1)) {
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t n = fd < 0 ? -1 : read_all(fd, text, sizeof text - 1, sizeof text);

		if (fd >= 0)
			close(fd);
		if (n < 0)
			continue;
		text[n] = '\0';
		if (strstr(text, "state: done\n"))
			return true;
		if (strstr(text, "state: failed\n")) {
			fault("load %s: %s", name, text);
			return false;
		}
	}
	if (!atomic_load(&n_faults))
		fault("load %s is not done after %d s", name, PATIENCE_MS / 1000);
	return false;
}

static void *write_loads(void *arg)
{
	(void)arg;
	for (unsigned round = 0; !atomic_load(&is_over); round++) {
		struct change chg = { .n = 0 };
		struct buf text = { 0 };
		char name[64], path[256], row[2 * LEN_MAX];

		for (int i = 0; i < 2; i++)
			give(&chg, FIRST_LOAD + (int)(round + (unsigned)i) % LOAD_KEYS, false);
		for (int i = 0; i < chg.n; i++)
			buf_append(&text, row, (size_t)append_row(&chg, i, FORM_UPSERT, row, sizeof row));
		for (unsigned i = 0; round % 3 == 2 && i < LOAD_ROWS; i++)
			buf_printf(&text, "{\"entity\": \"x%u\", \"features\": {\"a\": %u, \"b\": %u}}\n", i, round, round);
		snprintf(name, sizeof name, "load%u.jsonl", round);
		snprintf(path, sizeof path, "%s/g/.import/%s", edit, name);
		if (buf_error(&text) < 0 || put_file(path, text.data, text.len) < 0)
			fault("%s: %s", path, strerror(errno));
		buf_release(&text);
		if (!is_loaded(name))
			break;
		acknowledge(&chg);
		atomic_fetch_add(&n_loads, 1);
		unlink(path);
	}
	return NULL;
}

/* ---- a stream ---- */

/* Waits until it is seen. */
static bool is_seen(int key, unsigned ver)
{
	for (int i = 0; i < PATIENCE_MS && !atomic_load(&n_faults); i++, nap_ms(1)) {
		unsigned rnd = 0;

		read_file(key, edit, "v", &rnd, "editing, behind a message");
		if (atomic_load(&any_seen[key]) >= ver)
			return true;
	}
	if (!atomic_load(&n_faults))
		fault("the message with version %u of key %d is not seen after %d s", ver, key, PATIENCE_MS / 1000);
	return false;
}

/* kcat holds back what comes by a pipe until it ends. */
static bool produce(int key, unsigned ver)
{
	char command[256], text[LEN_MAX + 1];
	FILE *kcat;

	snprintf(command, sizeof command, "exec kcat -P -q -b %s -t hunt -K '|' -X linger.ms=1", brokers);
	kcat = popen(command, "we");
	if (!kcat)
		return false;
	make_text(key, ver, text);
	fprintf(kcat, "u%d|{\"v\": \"%s\", \"n\": %u}\n", key, text, ver);
	return pclose(kcat) == 0;
}

static void *write_messages(void *arg)
{
	(void)arg;
	for (unsigned round = 0; !atomic_load(&is_over); round++) {
		struct change chg = { .n = 0 };

		give(&chg, FIRST_STREAM + (int)(round % STREAM_KEYS), false);
		if (!produce(chg.keys[0], chg.vers[0])) {
			fault("kcat could not produce a message");
			break;
		}
		if (!is_seen(chg.keys[0], chg.vers[0]))
			break;
		acknowledge(&chg);
		atomic_fetch_add(&n_messages, 1);
	}
	return NULL;
}

/* ---- values that expire ---- */

static atomic_int_fast64_t mortal_acked_ns[MORTALS];	/* when the newest write had returned; 0: one is under way */

static void *write_mortals(void *arg)
{
	unsigned rnd = mix(seed0 + 2000);

	(void)arg;
	for (unsigned n = 1; !atomic_load(&is_over); n++) {
		int key = (int)(next_random(&rnd) % MORTALS);
		char path[256], text[32];

		snprintf(path, sizeof path, "%s/t/e%d/v", edit, key);
		atomic_store(&mortal_acked_ns[key], 0);
		/* The sweep may have taken the entity away with its last value. */
		snprintf(text, sizeof text, "%u\n", n);
		if (put_file(path, text, strlen(text)) < 0) {
			char dir[256];

			snprintf(dir, sizeof dir, "%s/t/e%d", edit, key);
			if ((errno != ENOENT && errno != ENOTDIR) || (mkdir(dir, 0755) < 0 && errno != EEXIST) ||
			    put_file(path, text, strlen(text)) < 0) {
				fault("write of %s: %s", path, strerror(errno));
				break;
			}
		}
		atomic_store(&mortal_acked_ns[key], clock_now());
		nap_ms(200 + next_random(&rnd) % 1500);
	}
	return NULL;
}

/* Reads now and then, so that names are kept and then expire: what is older than its time to live must not be found. */
static void *read_mortals(void *arg)
{
	const int64_t ttl_ns = MORTAL_TTL_MS * (CLOCK_SECOND / 1000);
	unsigned rnd = mix(seed0 + 3000 + (unsigned)(uintptr_t)arg);

	while (!atomic_load(&is_over)) {
		int key = (int)(next_random(&rnd) % MORTALS), fd;
		int64_t before_ns = atomic_load(&mortal_acked_ns[key]), began_ns = clock_now();
		bool is_row = next_random(&rnd) % 3 == 0;
		char path[256], text[512];
		ssize_t n;

		snprintf(path, sizeof path, "%s/t/e%d/%s", srv, key, is_row ? ".row" : "v");
		fd = open(path, O_RDONLY | O_CLOEXEC);
		n = fd < 0 ? -1 : read_all(fd, text, sizeof text - 1, sizeof text);
		if (n >= 0)
			text[n] = '\0';
		if (n >= 0 && is_row && !strstr(text, "\"v\""))
			n = -1;
		/* Only if nobody wrote it meanwhile. */
		if (before_ns && atomic_load(&mortal_acked_ns[key]) == before_ns) {
			if (n >= 0 && began_ns > before_ns + ttl_ns)
				fault("%s: read %.3f s after its time was over", path,
				      (double)(began_ns - before_ns - ttl_ns) / (double)CLOCK_SECOND);
			else if (n < 0)
				atomic_fetch_add(&n_expired, 1);
		}
		if (fd >= 0)
			close(fd);
		nap_ms(next_random(&rnd) % 20);
	}
	return NULL;
}

/* ---- thousands of names at once ---- */

static int put_many(unsigned ver)
{
	struct buf text = { 0 };
	char path[256];
	int rc;

	for (int i = 0; i < MANY; i++)
		buf_printf(&text, "{\"entity\": \"m%d\", \"features\": {\"v\": %u}}\n", i, ver);
	snprintf(path, sizeof path, "%s/w/.upsert", edit);
	rc = buf_error(&text) < 0 ? -1 : put_file(path, text.data, text.len);
	buf_release(&text);
	return rc;
}

static void check_many(unsigned ver, unsigned step)
{
	for (int i = 0; i < MANY && !atomic_load(&is_over); i += (int)step) {
		char path[256], text[32];
		ssize_t n;
		int fd;

		snprintf(path, sizeof path, "%s/w/m%d/v", srv, i);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		n = fd < 0 ? -1 : read_all(fd, text, sizeof text - 1, sizeof text);
		if (fd >= 0)
			close(fd);
		if (n < 0) {
			fault("%s: %s", path, strerror(errno));
			return;
		}
		text[n] = '\0';
		if ((unsigned)strtoul(text, NULL, 10) != ver) {
			fault("%s: %s instead of %u after a change of %d names", path, text, ver, MANY);
			return;
		}
	}
}

/* ---- the definition and the mode of the group ---- */

/*
 * A directory keeps its node when its attributes change, and the kernel sets the time until which they are valid before it sets them, with
 * nothing that a stat would wait for (fuse_change_attributes_common and fuse_update_get_attr of Linux 6.18). So who asks while another
 * thread's answer is being taken in may see the old ones: once in some thousand changes, over as soon as that thread goes on. What lasts is
 * a fault, and so is what happens often.
 */
static void check_mode(const char *path, mode_t want)
{
	struct stat st;

	if (stat(path, &st) < 0 || (st.st_mode & 0777) == want)
		return;
	atomic_fetch_add(&n_crossed, 1);
	nap_ms(CROSSING_MS);
	if (stat(path, &st) == 0 && (st.st_mode & 0777) != want)
		fault("%s: mode %03o instead of %03o", path, st.st_mode & 0777, want);
}

static void *change_group(void *arg)
{
	char dir[256], path[256];

	(void)arg;
	snprintf(dir, sizeof dir, "%s/g", edit);
	for (unsigned i = 0; !atomic_load(&is_over); i++) {
		mode_t mode = i % 2 ? 0750 : 0755;
		const char *ttl = i % 2 ? "900d" : "901d";

		if (chmod(dir, mode) < 0 || (i % 4 == 0 && setxattr(dir, "user.ttl", ttl, 4, 0) < 0))
			fault("%s: %s", dir, strerror(errno));
		snprintf(path, sizeof path, "%s/g", srv);
		check_mode(path, mode);
		snprintf(path, sizeof path, "%s/g/u1", srv);
		check_mode(path, mode);
		snprintf(path, sizeof path, "%s/g/u1/v", srv);
		check_mode(path, mode & 0666);
		atomic_fetch_add(&n_rights, 1);
		nap_ms(150);
	}
	return NULL;
}

/* ---- thousands of directories at once, of which some are stood in ---- */

static void change_mode_of_many(mode_t mode)
{
	static int standing[STANDING];
	char path[256];

	for (int i = 0; i < STANDING; i++) {
		snprintf(path, sizeof path, "%s/w/m%d", srv, i * (MANY / STANDING));
		if (!standing[i])
			standing[i] = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	}
	snprintf(path, sizeof path, "%s/w", edit);
	if (chmod(path, mode) < 0)
		fault("%s: %s", path, strerror(errno));
	for (int i = 0; i < STANDING; i++) {
		snprintf(path, sizeof path, "/proc/self/fd/%d", standing[i]);
		check_mode(path, mode);
		snprintf(path, sizeof path, "%s/w/m%d", srv, i * (MANY / STANDING) + 1);
		check_mode(path, mode);
	}
	atomic_fetch_add(&n_rights, 1);
}

static void *change_many(void *arg)
{
	(void)arg;
	for (unsigned ver = 1; !atomic_load(&is_over); ver++) {
		if (put_many(ver) < 0) {
			fault("an upsert of %d rows: %s", MANY, strerror(errno));
			break;
		}
		check_many(ver, 1);
		change_mode_of_many(ver % 2 ? 0750 : 0755);
		atomic_fetch_add(&n_many, 1);
		nap_ms(MANY_PAUSE_MS);
	}
	return NULL;
}

/* ---- the whole ---- */

static void make_group(const char *name, const char *definition)
{
	char path[256];

	snprintf(path, sizeof path, "%s/%s", edit, name);
	if (mkdir(path, 0755) < 0)
		die(path);
	snprintf(path, sizeof path, "%s/%s/.schema", edit, name);
	if (put_file(path, definition, strlen(definition)) < 0)
		die(path);
}

static void prepare(void)
{
	char text[512];

	snprintf(text, sizeof text, "[group]\n[feature v]\ntype = string\n[feature a]\ntype = int64\n[feature b]\ntype = int64\n%s",
		 !brokers ? "" : "[stream s]\ntopic = hunt\nformat = json\nentity = key\nfeature.v = $.v\nfeature.a = $.n\nfeature.b = $.n\n");
	make_group("g", text);
	make_group(".views/h", "[view]\n[columns]\nv = g/v\na = g/a\nb = g/b\n");
	snprintf(text, sizeof text, "[group]\nttl = %dms\n[feature v]\ntype = int64\n", MORTAL_TTL_MS);
	make_group("t", text);
	make_group("w", "[group]\n[feature v]\ntype = int64\n");
	for (int key = 0; key < KEYS; key++) {
		struct change chg = { .n = 0 };

		give(&chg, key, false);
		if (make_change(&chg, FORM_UPSERT) < 0)
			die("the first values");
		acknowledge(&chg);
	}
}

static void start(pthread_t *thread, void *(*run)(void *), unsigned number)
{
	int err = pthread_create(thread, NULL, run, (void *)(uintptr_t)number);

	if (err) {
		errno = err;
		die("a thread");
	}
}

int main(int argc, char **argv)
{
	pthread_t threads[READERS + WRITERS + 8];
	unsigned n = 0;
	unsigned long reads = 0;
	long seconds;

	if (argc < 5) {
		fprintf(stderr, "usage: hunt EDITING-MOUNT SERVING-MOUNT STORE SECONDS [SEED]\n");
		return 2;
	}
	brokers = getenv("BROKERS");
	edit = argv[1];
	srv = argv[2];
	store_dir = argv[3];
	seconds = strtol(argv[4], NULL, 10);
	seed0 = argc > 5 ? (unsigned)strtoul(argv[5], NULL, 10) : 20261123;
	prepare();
	for (unsigned i = 0; i < READERS; i++)
		start(&threads[n++], read_all_ways, i);
	for (unsigned i = 0; i < WRITERS; i++)
		start(&threads[n++], write_all_ways, i);
	start(&threads[n++], write_loads, 0);
	if (brokers)
		start(&threads[n++], write_messages, 0);
	start(&threads[n++], write_mortals, 0);
	start(&threads[n++], read_mortals, 0);
	start(&threads[n++], read_mortals, 1);
	start(&threads[n++], change_many, 0);
	start(&threads[n++], change_group, 0);
	for (long i = 0; i < 10 * seconds && !atomic_load(&n_faults); i++)
		nap_ms(100);
	atomic_store(&is_over, true);
	while (n)
		pthread_join(threads[--n], NULL);
	if (atomic_load(&n_crossed) > atomic_load(&n_rights) / CROSSED_PART + 2)
		fault("%lu of %lu changes of the group were seen too late", atomic_load(&n_crossed), atomic_load(&n_rights));
	for (int i = 0; i < 16; i++)
		reads += atomic_load(&n_reads[i]);
	printf("hunt: %lu reads (%lu found nothing there), %lu writes, %lu loads, %lu messages, %lu deletions, "
	       "%lu expiries seen, %lu changes of %d names, %lu changes of the group, %lu of them crossed by a stat; seed %u: %u faults\n",
	       reads, atomic_load(&n_misses), atomic_load(&n_writes), atomic_load(&n_loads), atomic_load(&n_messages), atomic_load(&n_deletes),
	       atomic_load(&n_expired), atomic_load(&n_many), MANY, atomic_load(&n_rights), atomic_load(&n_crossed), seed0, atomic_load(&n_faults));
	if (!atomic_load(&n_faults) && (!reads || !atomic_load(&n_writes) || !atomic_load(&n_loads) || (brokers && !atomic_load(&n_messages)))) {
		printf("hunt: some writers have done nothing\n");
		return 2;
	}
	return atomic_load(&n_faults) ? 1 : 0;
}
