/* SPDX-License-Identifier: MIT */
/*
 * Loss of power, simulated: power WORKDIR ROUNDS SEED PRELOAD
 *
 * A round is a row of lives on one store. Each life runs a load in a child under the recorder (power_preload.c), which ends it at a random event
 * as kill -9 would. Then either the next life begins on what is there (a crash of the process: same boot), or the power goes: the
 * record is cut at a random event, what had not been synced by then is lost page by page at random, pages are torn at sectors, names that
 * no sync of their directory covers are lost from some point on, and the next life begins on what is left, in another boot.
 *
 * The load is a pure function: operation n of writer t follows from the seed, its position n is stored in the same commit. So a life
 * begins by reading each writer's position P, which must be at least what had been acknowledged before the cut, and by comparing
 * every value of the writer with what operations 1 to P make of it: nothing lost, nothing of P + 1, no half row, no position
 * that disagrees with its data. store_verify must find no fault either.
 *
 * Beside the writers a bulk load follows the other, in small commits, into a group of their own: load n gives every entity or a part of them the value n.
 * However it ends, each load must be there whole or not at all.
 *
 * With FEATUREFS_TEST_NO_PIN=1 in the environment the same rounds must fail: that shows that the simulation bites.
 */
#include <errno.h>
#include <fcntl.h>
#include <dlfcn.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "base/buf.h"
#include "catalog/catalog.h"
#include "ingest/ingest.h"
#include "ingest/loading.h"
#include "power_disk.h"
#include "serve/serve.h"
#include "store/store.h"

enum {
	WRITERS = 3,
	LOADER = WRITERS,	/* its number among those who promise */
	PROMISERS,
	LOADED = 60,		/* entities of the loads' group */
	ENTITIES = 40,		/* of each writer */
	LIVES_MAX = 5,		/* of a round */
	EXIT_WRONG = 3,		/* a life found the store wrong */
};

/* ---- randomness that can be repeated ---- */

static uint64_t rng_state;

static uint64_t mix(uint64_t x)
{
	x += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

uint64_t power_rnd(uint64_t below)
{
	rng_state = mix(rng_state);
	return rng_state % below;
}

void power_die(const char *what)
{
	fprintf(stderr, "power: %s: %s\n", what, strerror(errno));
	exit(2);
}

/* ---- the load ---- */

static const char schema[] =
	"[group]\nentity = key\n"
	"[feature n]\ntype = int64\n"
	"[feature twice]\ntype = int64\n"
	"[feature text]\ntype = string\n";

enum { SLOT_N, SLOT_TWICE, SLOT_TEXT };

/* What operation n of writer t does: the entities that it writes, or the one that it deletes. */
struct op {
	unsigned entity[3];
	unsigned n_entities;
	bool deletes;
};

static struct op op_of(uint64_t seed, unsigned t, uint64_t n)
{
	uint64_t r = mix(seed ^ mix(t * 1000003 + n));
	struct op op = { .n_entities = r % 5 == 0 ? 3 : 1, .deletes = r % 11 == 0 };

	for (unsigned i = 0; i < 3; i++)
		op.entity[i] = (unsigned)((r >> (8 + 8 * i)) % ENTITIES);
	return op;
}

static size_t text_of(uint64_t n, char out[1024])
{
	size_t len = 10 + (size_t)(mix(n) % 900);

	memset(out, 'a' + (int)(n % 26), len);
	return len;
}

struct world {
	struct store *store;
	struct catalog_current *cur;
	struct ingest *ingest;
	uint32_t group_id, loaded_id;
};

static void open_world(const char *path, struct world *out)
{
	struct store_options options = {
		.map_bytes = 64 << 20, .segment_bytes = 128 << 10, .log_bytes = 64 << 20, .checkpoint_ms = 15,
		.checkpoint_bytes = 64 << 10,
	};
	struct ingest_options ingest_options = { .future_ns = INT64_C(300000000000), .tombstone_ns = INT64_MAX };
	struct store_snap *snap;
	struct catalog *cat;
	struct why why = { "" };
	int rc = store_open(path, &options, &out->store, &why);

	if (rc == 0)
		rc = store_snap_begin(out->store, &snap);
	if (rc == 0) {
		rc = catalog_load(snap, &cat, &why);
		store_snap_end(snap);
	}
	if (rc == 0)
		rc = catalog_current_new(cat, &out->cur);
	if (rc == 0)
		rc = ingest_start(out->store, out->cur, &ingest_options, &out->ingest, &why);
	if (rc < 0) {
		printf("the store does not open: %s (%s)\n", why.text, strerror(-rc));
		exit(EXIT_WRONG);
	}
}

static void run(struct world *world, struct ingest_request *req, const char *what)
{
	struct ingest_result result;
	struct why why = { "" };
	int rc = ingest_run(world->ingest, req, &result, &why);

	if (rc < 0) {
		printf("%s: %s (%s)\n", what, why.text, strerror(-rc));
		exit(EXIT_WRONG);
	}
	if (result.group_id)
		world->group_id = result.group_id;
}

static void make_group(struct world *world)
{
	struct ingest_request *req;

	ingest_request_new(world->ingest, RECORD_LANE_DIRECT, 0, 0, "power", &req);
	ingest_request_group_make(req, slice_str("g"), 0, 0, 0755, "root");
	run(world, req, "make");
	ingest_request_new(world->ingest, RECORD_LANE_DIRECT, 0, 0, "power", &req);
	ingest_request_group_define(req, world->group_id, slice_str(schema));
	run(world, req, "define");
	ingest_request_new(world->ingest, RECORD_LANE_DIRECT, 0, 0, "power", &req);
	ingest_request_group_make(req, slice_str("loaded"), 0, 0, 0755, "root");
	run(world, req, "make");
	ingest_request_new(world->ingest, RECORD_LANE_DIRECT, 0, 0, "power", &req);
	ingest_request_group_define(req, world->group_id, slice_str(schema));
	run(world, req, "define");
}

static struct slice entity_name(unsigned t, unsigned entity, char out[32])
{
	return slice_of(out, (size_t)snprintf(out, 32, "w%u-%u", t, entity));
}

static void fill_request(const struct world *world, uint64_t seed, unsigned t, uint64_t n, struct ingest_request *req)
{
	struct op op = op_of(seed, t, n);
	uint8_t int64 = type_code(&(struct type){ .base = TYPE_INT64 }), string = type_code(&(struct type){ .base = TYPE_STRING });
	uint64_t twice = 2 * n;
	char name[32], text[1024];

	if (op.deletes) {
		ingest_request_delete_entity(req, world->group_id, entity_name(t, op.entity[0], name), INGEST_NOW, 0, 0);
	} else {
		for (unsigned i = 0; i < op.n_entities; i++) {
			ingest_request_row(req, world->group_id, entity_name(t, op.entity[i], name), INGEST_NOW, 0, 0);
			ingest_request_value(req, SLOT_N, int64, slice_of(&n, sizeof n));
			ingest_request_value(req, SLOT_TWICE, int64, slice_of(&twice, sizeof twice));
			ingest_request_value(req, SLOT_TEXT, string, slice_of(text, text_of(n, text)));
		}
	}
	snprintf(name, sizeof name, "power.%u", t);
	ingest_request_position(req, slice_str(name), slice_of(&n, sizeof n));
}

struct writer {
	struct world *world;
	uint64_t seed, position;
	unsigned t;
	void (*note)(const char *text);
};

static void *write_on(void *arg)
{
	struct writer *writer = arg;

	for (uint64_t n = writer->position + 1;; n++) {
		struct ingest_request *req;
		char name[32], text[64];

		snprintf(name, sizeof name, "writer %u", writer->t);
		ingest_request_new(writer->world->ingest, RECORD_LANE_DIRECT, 0, writer->t, name, &req);
		fill_request(writer->world, writer->seed, writer->t, n, req);
		snprintf(text, sizeof text, "I %u %" PRIu64, writer->t, n);
		writer->note(text);
		run(writer->world, req, name);
		text[0] = 'A';
		writer->note(text);
	}
	return NULL;
}

/* Is the entity in load n? Every third load has all of them, so that its table takes the group's place; the others are folded. */
static bool is_loaded(uint64_t seed, uint64_t n, unsigned entity)
{
	return n % 3 == 0 || mix(seed ^ mix(n * 1009 + entity)) % 3 == 0;
}

static void pack_loaded(uint64_t n, struct buf *out)
{
	struct record_stamp stamp = { .event_ns = (int64_t)n, .lane = RECORD_LANE_BATCH };
	struct record_builder b = { 0 };
	uint64_t twice = 2 * n;
	char text[1024];
	uint16_t at;

	record_builder_reset(&b, 0);
	at = record_builder_stamp(&b, &stamp);
	record_builder_cell(&b, SLOT_N, RECORD_PRESENT, type_code(&(struct type){ .base = TYPE_INT64 }), at, slice_of(&n, sizeof n));
	record_builder_cell(&b, SLOT_TWICE, RECORD_PRESENT, type_code(&(struct type){ .base = TYPE_INT64 }), at,
			    slice_of(&twice, sizeof twice));
	record_builder_cell(&b, SLOT_TEXT, RECORD_PRESENT, type_code(&(struct type){ .base = TYPE_STRING }), at,
			    slice_of(text, text_of(n, text)));
	buf_reset(out);
	if (record_builder_finish(&b, out) < 0)
		power_die("a record");
	record_builder_release(&b);
}

struct loaded {
	uint64_t seed, n;
	struct buf record;		/* of each row */
};

static int find_loaded(void *arg, struct slice entity, struct buf *out)
{
	const struct loaded *loaded = arg;
	const char *name = entity.data;

	if (!is_loaded(loaded->seed, loaded->n, (unsigned)(name[1] - '0') * 10 + (unsigned)(name[2] - '0')))
		return -ENOENT;
	buf_append_slice(out, buf_slice(&loaded->record));
	return 0;
}

static void load_rows(struct writer *loader, uint64_t n)
{
	struct loaded loaded = { .seed = loader->seed, .n = n };
	struct ingest_load_options options = { .group_id = loader->world->loaded_id, .position_key = slice_str("power.load"),
					       .position = slice_of(&n, sizeof n), .find = find_loaded, .arg = &loaded };
	struct ingest_load *load;
	struct why why = { "" };
	int rc = ingest_load_begin(loader->world->ingest, &options, &load, &why);

	pack_loaded(n, &loaded.record);
	for (unsigned e = 0; rc == 0 && e < LOADED; e++) {
		char name[32];

		load->chunk_bytes = 2000;
		if (is_loaded(loader->seed, n, e))
			rc = ingest_load_row(load, slice_of(name, (size_t)snprintf(name, sizeof name, "l%02u", e)), buf_slice(&loaded.record), &why);
	}
	if (rc == 0)
		rc = ingest_load_publish(load, &why);
	if (rc < 0) {
		printf("load %" PRIu64 ": %s (%s)\n", n, why.text, strerror(-rc));
		exit(EXIT_WRONG);
	}
	ingest_load_abort(load);
	buf_release(&loaded.record);
}

static void *load_on(void *arg)
{
	struct writer *loader = arg;

	for (uint64_t n = loader->position + 1;; n++) {
		char text[64];

		snprintf(text, sizeof text, "I %u %" PRIu64, LOADER, n);
		loader->note(text);
		load_rows(loader, n);
		text[0] = 'A';
		loader->note(text);
	}
	return NULL;
}

/* ---- a life's first deed: is everything there? ---- */

static void wrong(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
static void wrong(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	exit(EXIT_WRONG);
}

static void check_entity(const struct serve_view *view, const struct catalog_group *grp, struct slice entity, uint64_t want)
{
	const char *name = entity.data;
	char text[1024];
	struct record row;
	int rc = serve_row(view, grp, entity, &row);
	uint64_t twice = 2 * want;
	const struct slice values[] = {
		slice_of(&want, sizeof want), slice_of(&twice, sizeof twice), slice_of(text, text_of(want, text)),
	};

	if (rc < 0 && rc != -ENOENT)
		wrong("%s: %s", name, strerror(-rc));
	if (want == 0) {
		if (rc == 0)
			wrong("%s is there and should have been deleted", name);
		return;
	}
	if (rc < 0)
		wrong("%s is lost, operation %" PRIu64 " wrote it", name, want);
	for (uint16_t slot = 0; slot < 3; slot++) {
		struct serve_value value;

		serve_value(view, grp, &row, catalog_feature_at(grp, slot), &value);
		if (value.status != SERVE_PRESENT || !slice_equal(value.value, values[slot]))
			wrong("%s: value %u is not what operation %" PRIu64 " wrote", name, slot, want);
	}
}

static void check_position(const struct serve_view *view, const char *name, uint64_t least, uint64_t most, uint64_t *out)
{
	struct slice bytes;

	*out = 0;
	if (store_get(view->snap, STORE_POSITIONS, slice_str(name), &bytes) == 0)
		memcpy(out, bytes.data, sizeof *out);
	if (*out < least || *out > most)
		wrong("%s stands at %" PRIu64 ", acknowledged were %" PRIu64 ", begun %" PRIu64, name, *out, least, most);
}

static void check_loads(const struct serve_view *view, const struct catalog_group *grp, uint64_t seed, uint64_t position)
{
	for (unsigned e = 0; e < LOADED; e++) {
		uint64_t n = position;
		char name[32];

		while (n && !is_loaded(seed, n, e))
			n--;
		check_entity(view, grp, slice_of(name, (size_t)snprintf(name, sizeof name, "l%02u", e)), n);
	}
}

static void print_fault(void *arg, const char *fault)
{
	(void)arg;
	printf("verify: %s\n", fault);
}

static void check_world(struct world *world, uint64_t seed, const uint64_t least[PROMISERS], const uint64_t most[PROMISERS],
			uint64_t out_position[PROMISERS])
{
	const struct catalog_group *grp, *loaded;
	struct serve_view view;

	if (serve_begin(world->store, world->cur, &view) < 0)
		wrong("no snapshot");
	grp = catalog_find(view.cat, slice_str("g"));
	loaded = catalog_find(view.cat, slice_str("loaded"));
	if (!grp || !loaded)
		wrong("a group is lost");
	world->group_id = grp->id;
	world->loaded_id = loaded->id;
	for (unsigned t = 0; t < WRITERS; t++) {
		uint64_t last[ENTITIES] = { 0 };
		char name[32];

		snprintf(name, sizeof name, "power.%u", t);
		check_position(&view, name, least[t], most[t], &out_position[t]);
		for (uint64_t n = 1; n <= out_position[t]; n++) {
			struct op op = op_of(seed, t, n);

			for (unsigned i = 0; i < (op.deletes ? 1 : op.n_entities); i++)
				last[op.entity[i]] = op.deletes ? 0 : n;
		}
		for (unsigned e = 0; e < ENTITIES; e++)
			check_entity(&view, grp, entity_name(t, e, name), last[e]);
	}
	check_position(&view, "power.load", least[LOADER], most[LOADER], &out_position[LOADER]);
	check_loads(&view, loaded, seed, out_position[LOADER]);
	serve_end(&view);
	if (store_verify(world->store, print_fault, NULL) != 0)
		wrong("verify found faults");
}

/* power --life STORE SEED least0 most0 ... : checks, then writes until the recorder ends it. With SEED 0: makes the store and closes it. */
static int live(char **argv)
{
	uint64_t seed = strtoull(argv[1], NULL, 10), least[PROMISERS], most[PROMISERS], position[PROMISERS];
	struct writer writers[PROMISERS];
	struct world world = { 0 };
	pthread_t threads[PROMISERS];
	void (*note)(const char *) = (void (*)(const char *))dlsym(RTLD_DEFAULT, "power_note");

	open_world(argv[0], &world);
	if (seed == 0) {
		make_group(&world);
		ingest_stop(world.ingest);
		catalog_current_free(world.cur);
		return store_close(world.store) < 0;
	}
	for (unsigned t = 0; t < PROMISERS; t++) {
		least[t] = strtoull(argv[2 + 2 * t], NULL, 10);
		most[t] = strtoull(argv[3 + 2 * t], NULL, 10);
	}
	check_world(&world, seed, least, most, position);
	if (!note)
		return 0;	/* the round's last look, without the recorder */
	for (unsigned t = 0; t < PROMISERS; t++) {
		writers[t] = (struct writer){ .world = &world, .seed = seed, .position = position[t], .t = t, .note = note };
		if (pthread_create(&threads[t], NULL, t == LOADER ? load_on : write_on, &writers[t]))
			power_die("pthread_create");
	}
	for (unsigned t = 0; t < PROMISERS; t++)
		pthread_join(threads[t], NULL);
	return 0;
}

/* ---- a round ---- */

/* The load's own words: what is acknowledged, and what was begun. */
struct promise {
	uint64_t acked[PROMISERS], begun[PROMISERS];
};

static void take_note(struct promise *promise, const char *text)
{
	unsigned t;
	uint64_t n;

	if (sscanf(text + 2, "%u %" SCNu64, &t, &n) != 2 || t >= PROMISERS)
		return;
	if (text[0] == 'A' && n > promise->acked[t])
		promise->acked[t] = n;
	else if (text[0] == 'I' && n > promise->begun[t])
		promise->begun[t] = n;
}

struct round {
	char store[4000], trace[4100], log[4100];
	const char *self, *preload;
	uint64_t seed;
	unsigned boot;
	unsigned losses, crashes;
	uint64_t loads;		/* that were acknowledged and not lost again */
	struct promise base;	/* what holds for the store as the round finds it */
};

/* Runs a child on the store; returns its exit status. `stop` < 0: without the recorder. */
static int run_life(const struct round *round, long stop, const struct promise *promise)
{
	char boot[64], args[2 + 2 * PROMISERS][32], text[32];
	char *argv[6 + 2 * PROMISERS];
	unsigned n = 0;
	pid_t pid;
	int status;

	snprintf(boot, sizeof boot, "00000000-0000-0000-0000-%012u", round->boot);
	argv[n++] = (char *)(uintptr_t)round->self;
	argv[n++] = (char *)(uintptr_t)"--life";
	argv[n++] = (char *)(uintptr_t)round->store;
	snprintf(args[0], sizeof args[0], "%" PRIu64, promise ? round->seed : 0);
	argv[n++] = args[0];
	for (unsigned t = 0; promise && t < PROMISERS; t++) {
		snprintf(args[1 + 2 * t], 32, "%" PRIu64, promise->acked[t]);
		snprintf(args[2 + 2 * t], 32, "%" PRIu64, promise->begun[t]);
		argv[n++] = args[1 + 2 * t];
		argv[n++] = args[2 + 2 * t];
	}
	argv[n] = NULL;
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		power_die("fork");
	if (pid == 0) {
		setenv("FEATUREFS_TEST_BOOT_ID", boot, 1);
		if (stop >= 0) {
			snprintf(text, sizeof text, "%ld", stop);
			setenv("POWER_DIR", round->store, 1);
			setenv("POWER_TRACE", round->trace, 1);
			setenv("POWER_STOP", text, 1);
			setenv("LD_PRELOAD", round->preload, 1);
		}
		if (!freopen(round->log, "a", stdout) || !freopen(round->log, "a", stderr))
			_exit(2);
		execv(round->self, argv);
		_exit(2);
	}
	if (waitpid(pid, &status, 0) < 0)
		power_die("waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static struct slice read_trace(const char *path, struct buf *out)
{
	struct stat st;
	int fd = open(path, O_RDONLY);
	char *room;

	if (fd < 0 || fstat(fd, &st) < 0)
		power_die(path);
	room = buf_reserve(out, (size_t)st.st_size + 1);
	if (!room || read(fd, room, (size_t)st.st_size) != st.st_size)
		power_die(path);
	out->len = (size_t)st.st_size;
	close(fd);
	return buf_slice(out);
}

static size_t event_size(const struct power_event *event)
{
	return sizeof *event + event->text_len + event->data_len;
}

/* Plays the trace up to event `cut` (SIZE_MAX: all of it). Returns the number of events. */
static size_t play(struct disk *disk, struct slice trace, size_t cut, struct promise *promise)
{
	const char *at = trace.data, *end = at + trace.len;
	size_t n = 0;

	for (; (size_t)(end - at) >= sizeof(struct power_event) && n < cut; n++) {
		struct power_event event;

		memcpy(&event, at, sizeof event);
		if (event_size(&event) > (size_t)(end - at))
			break;
		if (event.kind == POWER_NOTE)
			take_note(promise, strndupa(at + sizeof event, event.text_len));
		else if (disk)
			disk_take(disk, &event, at + sizeof event, at + sizeof event + event.text_len, n);
		at += event_size(&event);
	}
	return n;
}

/* Just behind a random acknowledgement of the trace, of a load if there is one; `events` if there is none. */
static size_t find_promise(struct slice trace, size_t events)
{
	const char *at = trace.data;
	size_t found = events, n_found = 0;
	bool of_load = false;

	for (size_t n = 0; n < events; n++) {
		const char *text = at + sizeof(struct power_event);
		struct power_event event;
		bool is_load;

		memcpy(&event, at, sizeof event);
		at += event_size(&event);
		if (event.kind != POWER_NOTE || event.text_len < 3 || text[0] != 'A')
			continue;
		is_load = text[2] == '0' + LOADER;
		if (is_load && !of_load)
			n_found = 0;
		of_load = of_load || is_load;
		if (is_load == of_load && power_rnd(++n_found) == 0)
			found = n + 1;
	}
	return found;
}

/* Where the power goes. */
static size_t choose_cut(struct slice trace, size_t events)
{
	switch (power_rnd(4)) {
	case 0:
		return find_promise(trace, events);
	case 1:
		return power_rnd(events + 1);
	default:
		return events - power_rnd(events / 3 + 1);
	}
}

/* Returns 0, or the exit status of the life that found something wrong. */
static int one_round(struct round *round)
{
	unsigned lives = 1 + (unsigned)power_rnd(LIVES_MAX);
	struct promise base = round->base, now = base;
	struct disk disk = { 0 };
	int rc = 0;

	disk_load(&disk, round->store);
	unlink(round->trace);
	for (unsigned life = 0; rc == 0 && life < lives; life++) {
		struct buf bytes = { 0 };
		struct slice trace;
		size_t events;

		rc = run_life(round, (long)(power_rnd(4) ? 20 + power_rnd(700) : power_rnd(40)), &now);
		if (rc != 9)
			break;
		rc = 0;
		trace = read_trace(round->trace, &bytes);
		now = base;
		events = play(NULL, trace, SIZE_MAX, &now);
		if (life + 1 < lives && power_rnd(2)) {
			buf_release(&bytes);
			round->crashes++;
			continue;
		}
		now = base;
		play(&disk, trace, choose_cut(trace, events), &now);
		disk_lose_power(&disk, round->store);
		buf_release(&bytes);
		round->boot++;
		round->losses++;
		base = now;
		disk_release(&disk);
		disk_load(&disk, round->store);
		unlink(round->trace);
	}
	if (rc == 0)
		rc = run_life(round, -1, &now);
	round->loads += now.acked[LOADER] - round->base.acked[LOADER];
	round->base = now;
	disk_release(&disk);
	return rc;
}

static void print_log(const char *path)
{
	char line[512];
	FILE *log = fopen(path, "r");

	while (log && fgets(line, sizeof line, log))
		printf("  %s", line);
	if (log)
		fclose(log);
}

static int begin_store(struct round *round)
{
	char command[4200];

	snprintf(command, sizeof command, "rm -rf '%s'", round->store);
	if (system(command) != 0)
		power_die(round->store);
	round->base = (struct promise){ 0 };
	round->boot++;
	return run_life(round, -1, NULL);
}

int main(int argc, char **argv)
{
	enum { FRESH_EVERY = 15 };	/* rounds on one store: long enough for its log to go round, short enough to stay quick */
	struct round round = { 0 };
	unsigned long rounds, bad = 0;

	if (argc >= 4 && strcmp(argv[1], "--life") == 0)
		return live(argv + 2);
	if (argc != 5) {
		fprintf(stderr, "usage: power WORKDIR ROUNDS SEED PRELOAD\n");
		return 2;
	}
	rounds = strtoul(argv[2], NULL, 10);
	round.seed = strtoull(argv[3], NULL, 10) | 1;
	rng_state = mix(round.seed);
	round.preload = realpath(argv[4], NULL);
	round.self = realpath("/proc/self/exe", NULL);
	if (!round.preload || !round.self || (mkdir(argv[1], 0700) < 0 && errno != EEXIST))
		power_die(argv[1]);
	snprintf(round.store, sizeof round.store, "%s/store", realpath(argv[1], NULL));
	snprintf(round.trace, sizeof round.trace, "%s/trace", realpath(argv[1], NULL));
	snprintf(round.log, sizeof round.log, "%s/log", realpath(argv[1], NULL));
	for (unsigned long r = 0; r < rounds; r++) {
		uint64_t state = rng_state;
		int rc = r % FRESH_EVERY ? 0 : begin_store(&round);

		unlink(round.log);
		if (rc == 0)
			rc = one_round(&round);
		if (rc != 0) {
			bad++;
			printf("round %lu (seed %s, state %" PRIu64 "): a life ended with %d\n", r, argv[3], state, rc);
			print_log(round.log);
			if (begin_store(&round) != 0)
				power_die("a new store");
		}
		if (isatty(1) || r % 50 == 49)
			printf("power: %lu of %lu rounds, %lu wrong\n", r + 1, rounds, bad);
		fflush(stdout);
	}
	printf("power: %lu rounds, %u losses of power, %u crashes, %" PRIu64 " loads, %lu wrong\n", rounds, round.losses, round.crashes,
	       round.loads, bad);
	return bad != 0;
}
