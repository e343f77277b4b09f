/* SPDX-License-Identifier: MIT */
/*
 * The daemon's wiring: rooms are built bottom-up (store, catalog, ingest, batch, direct lane and streams, mount) and taken down in reverse. All
 * threads are named here or started by a door that this file calls: the FUSE threads (mount_run), ingest's own thread and its sweeper
 * (ingest_start), the batch lane's worker and keeper (batch_start), the streams' watcher and one thread for each (stream_start), the
 * checkpoints (store_open), and the one below that waits for signals.
 *
 * Detaching comes first (detach.c), before any thread or map exists, for neither survives a fork.
 *
 * SIGTERM and SIGINT unmount. A mount that is busy is taken out of sight at once, and its open files keep it alive for a moment; when
 * they don't end, the connection is aborted and they get errors. Nothing acknowledged depends on a clean end.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/log.h"
#include "batch/batch.h"
#include "daemon/connection.h"
#include "daemon/detach.h"
#include "daemon/lanes.h"
#include "daemon/options.h"
#include "daemon/second.h"
#include "daemon/status.h"
#include "ingest/ingest.h"
#include "lane/lane.h"
#include "mount/mount.h"
#include "serve/serve.h"
#include "store/store.h"
#include "stream/stream.h"

enum { EXIT_USAGE = 2 };

#define PATIENCE (3 * CLOCK_SECOND)	/* with a daemon that is about to end, and with a mount that is busy */

/* The steps of building up; each names what there is to take down. */
struct daemon {
	struct options options;
	char *store_path, *mountpoint;		/* absolute */
	int ready_fd;				/* to the waiting parent; -1 in the foreground */
	struct store *store;
	struct catalog_current *cur;
	struct ingest *ingest;
	struct batch *batch;
	struct direct direct;
	struct stream_schemas *schemas;
	struct stream *stream;
	struct status status;
	struct lanes lanes;
	struct mount *mount;
	char *serve_path;			/* of the second mount, absolute; NULL: there is none */
	struct second second;
	struct buf kernel;			/* options for the kernel, of both mounts */
	pthread_t signals;
	bool has_signals;
	bool told_failure;			/* of the signal thread */
};

/* ---- paths and limits ---- */

/* The absolute path; its last part need not exist, or may be the dead mount that a crash left. NULL with errno. */
static char *resolve(const char *path)
{
	char *full = realpath(path, NULL), *copy, *slash, *dir;
	size_t len;

	if (full || (errno != ENOENT && errno != ENOTCONN))
		return full;
	copy = strdup(path);
	if (!copy)
		return NULL;
	for (len = strlen(copy); len > 1 && copy[len - 1] == '/'; len--)
		copy[len - 1] = '\0';
	slash = strrchr(copy, '/');
	if (slash)
		*slash = '\0';
	dir = realpath(!slash ? "." : slash == copy ? "/" : copy, NULL);
	if (dir && asprintf(&full, "%s/%s", strcmp(dir, "/") ? dir : "", slash ? slash + 1 : copy) < 0)
		full = NULL;
	free(dir);
	free(copy);
	return full;
}

static bool is_inside(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	return !strcmp(dir, "/") || (!strncmp(path, dir, len) && (path[len] == '\0' || path[len] == '/'));
}

static int check_apart(const char *what, const char *path, const char *other, const char *other_path)
{
	if (!is_inside(path, other_path) && !is_inside(other_path, path))
		return 0;
	log_error("the %s %s and the %s %s must not lie within each other", what, path, other, other_path);
	return -EINVAL;
}

static int resolve_paths(struct daemon *daemon)
{
	daemon->store_path = resolve(daemon->options.store);
	if (!daemon->store_path) {
		log_error("%s: %s", daemon->options.store, strerror(errno));
		return -errno;
	}
	daemon->mountpoint = resolve(daemon->options.mountpoint);
	if (!daemon->mountpoint) {
		log_error("%s: %s", daemon->options.mountpoint, strerror(errno));
		return -errno;
	}
	if (check_apart("store", daemon->store_path, "mount point", daemon->mountpoint) < 0)
		return -EINVAL;
	if (!daemon->options.serve_path[0])
		return 0;
	daemon->serve_path = resolve(daemon->options.serve_path);
	if (!daemon->serve_path) {
		log_error("%s: %s", daemon->options.serve_path, strerror(errno));
		return -errno;
	}
	if (check_apart("store", daemon->store_path, "serving mount point", daemon->serve_path) < 0 ||
	    check_apart("mount point", daemon->mountpoint, "serving mount point", daemon->serve_path) < 0)
		return -EINVAL;
	return 0;
}

static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* ---- signals, and a look at the store's health ---- */

static void tell_failure(struct daemon *daemon)
{
	struct store_figures figures;

	if (daemon->told_failure)
		return;
	store_figures(daemon->store, &figures);
	if (!figures.failed)
		return;
	daemon->told_failure = true;
	log_error("the store has failed (%s): reads go on, writes get EIO. Check the disk (dmesg), then restart the daemon, which recovers "
		  "all that was acknowledged", strerror(figures.failed < 0 ? -figures.failed : figures.failed));
}

/* Waits until mount_run has returned, which SIGUSR1 tells. False if it takes longer than `ns`. */
static bool wait_for_end(const sigset_t *set, int64_t ns)
{
	int64_t end = clock_monotonic() + ns, left;

	while ((left = end - clock_monotonic()) > 0) {
		const struct timespec patience = { .tv_sec = left / CLOCK_SECOND, .tv_nsec = left % CLOCK_SECOND };

		if (sigtimedwait(set, NULL, &patience) == SIGUSR1)
			return true;
	}
	return false;
}

/* Takes the mount away. The end of the process ends the connection in any case, and is as safe as a kill -9. */
static void stop_mount(struct daemon *daemon, const sigset_t *set)
{
	int connection = connection_find(daemon->mountpoint);

	mount_stop(daemon->mount);
	if (wait_for_end(set, PATIENCE))
		return;
	log_warn("open files keep the mount alive: they get errors now");
	if (connection >= 0 && connection_abort(connection) && wait_for_end(set, PATIENCE))
		return;
	log_warn("ending without a last checkpoint; the next start replays the log");
	_exit(EXIT_SUCCESS);
}

static void signal_set(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGUSR1);	/* mount_run has returned */
}

static void *wait_for_signals(void *arg)
{
	static const struct timespec tick = { .tv_sec = 1 };
	struct daemon *daemon = arg;
	sigset_t set;

	signal_set(&set);
	for (;;) {
		int signal_number = sigtimedwait(&set, NULL, &tick);

		if (signal_number == SIGUSR1)
			return NULL;
		if (signal_number == SIGTERM || signal_number == SIGINT) {
			log_info("%s: unmounting", strsignal(signal_number));
			stop_mount(daemon, &set);
			return NULL;
		}
		tell_failure(daemon);
	}
}

/* Every thread inherits the blocked signals; only the one above takes them. */
static void block_signals(void)
{
	sigset_t set;

	signal_set(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
}

/* ---- building up ---- */

static void take_notice(void *arg, bool is_error, const char *text)
{
	(void)arg;
	if (is_error)
		log_error("%s", text);
	else
		log_info("%s", text);
}

static int open_store(struct daemon *daemon)
{
	const struct options *options = &daemon->options;
	const struct store_options store_options = {
		.map_bytes = options->map_bytes,
		.segment_bytes = options->segment_bytes,
		.log_bytes = options->log_keep_bytes,
		.checkpoint_ms = (unsigned)(options->checkpoint_ns / (CLOCK_SECOND / 1000)),
		.checkpoint_bytes = options->checkpoint_bytes,
		.relaxed = options->durability == OPTIONS_RELAXED,
		.notice = take_notice,
	};
	struct store_figures figures;
	static const struct timespec pause = { .tv_nsec = 20 * 1000 * 1000 };
	int64_t end = clock_monotonic() + PATIENCE;
	struct why why;
	int rc;

	/* umount(8) returns before the daemon of that mount has closed its store, so a new start right behind it waits a moment. */
	for (;;) {
		why.text[0] = '\0';
		rc = store_open(daemon->store_path, &store_options, &daemon->store, &why);
		if (rc != -EBUSY || clock_monotonic() > end)
			break;
		nanosleep(&pause, NULL);
	}
	if (rc < 0) {
		log_error("%s", why.text[0] ? why.text : strerror(-rc));
		return rc;
	}
	store_figures(daemon->store, &figures);
	if (figures.after_power_loss || figures.replayed)
		log_info("%s: recovered%s, %llu commits replayed", daemon->store_path,
			 figures.after_power_loss ? " from the checkpoint after a loss of power" : "",
			 (unsigned long long)figures.replayed);
	return 0;
}

static int load_catalog(struct daemon *daemon)
{
	struct store_snap *snap = NULL;
	struct catalog *cat = NULL;
	struct why why = { "" };
	int rc = store_snap_begin(daemon->store, &snap);

	if (rc == 0)
		rc = catalog_load(snap, &cat, &why);
	store_snap_end(snap);
	if (rc == 0)
		rc = catalog_current_new(cat, &daemon->cur);
	if (rc < 0)
		log_error("%s: the catalog cannot be read: %s; featurectl verify says more", daemon->store_path,
			  why.text[0] ? why.text : strerror(-rc));
	return rc;
}

/* A new store's root belongs to root; it becomes the user's who made it. */
static int own_root(struct daemon *daemon)
{
	struct ingest_request *req = NULL;
	struct ingest_result result;
	struct store_figures figures;
	int rc;

	store_figures(daemon->store, &figures);
	if (figures.last_seq != 0 || (getuid() == 0 && getgid() == 0) || daemon->options.read_only)
		return 0;
	rc = ingest_request_new(daemon->ingest, RECORD_LANE_DIRECT, 0, getuid(), "the daemon", &req);
	if (rc == 0)
		rc = ingest_request_group_own(req, CATALOG_ROOT_ID, (mode_t)-1, getuid(), getgid());
	if (rc < 0)
		ingest_request_free(req);
	return rc < 0 ? rc : ingest_run(daemon->ingest, req, &result, NULL);
}

static int check_group(const struct catalog_group *grp, struct why *why)
{
	int rc = batch_check_group(grp, why);

	return rc < 0 ? rc : stream_check_group(grp, why);
}

static int start_ingest(struct daemon *daemon)
{
	const struct ingest_options ingest_options = {
		.future_ns = daemon->options.future_ns,
		.tombstone_ns = daemon->options.tombstone_ns,
		.sweep_ns = daemon->options.read_only ? 0 : daemon->options.sweep_ns,
		.overlay_percent = daemon->options.overlay_percent,
		.overlay_ns = daemon->options.overlay_ns,
		.check_group = check_group,
		.changing = daemon->second.serving ? serving_changing : NULL,
		.changed = daemon->second.serving ? serving_changed : NULL,
		.listener_arg = daemon->second.serving,
	};
	struct why why = { "" };
	int rc = ingest_start(daemon->store, daemon->cur, &ingest_options, &daemon->ingest, &why);

	if (rc == 0)
		rc = own_root(daemon);
	if (rc < 0)
		log_error("%s: cannot take writes: %s", daemon->store_path, why.text[0] ? why.text : strerror(-rc));
	return rc;
}

static int start_batch(struct daemon *daemon)
{
	const struct options *options = &daemon->options;
	const struct batch_options batch_options = {
		.spool_bytes = options->spool_bytes,
		.spool_files = options->spool_files,
		.retention_ns = options->retention_ns,
		.settle_ns = options->settle_ns,
		.memory_bytes = options->batch_memory_bytes,
		.read_only = options->read_only,
	};
	struct why why = { "" };
	int rc = batch_start(daemon->store, daemon->cur, daemon->ingest, &batch_options, &daemon->batch, &why);

	if (rc < 0)
		log_error("%s: cannot take imports: %s", daemon->store_path, why.text[0] ? why.text : strerror(-rc));
	return rc;
}

static int open_mount(struct daemon *daemon)
{
	const struct options *options = &daemon->options;
	const struct mount_options mount_options = {
		.mountpoint = daemon->mountpoint,
		.source = daemon->store_path,
		.read_only = options->read_only,
		.debug = options->debug,
		.owners = options_owners(options),
		.threads = options->threads,
		.scratch_files = options->scratch_files,
		.scratch_bytes = options->scratch_bytes,
		.scratch_ns = options->scratch_ns,
		.controls = daemon->status.controls,
		.trees = daemon->lanes.trees,
		.batch = daemon->batch,
		.serving = daemon->second.serving,
		.kernel_options = daemon->kernel.data,
	};
	struct why why = { "" };
	int rc = mount_open(&mount_options, &daemon->direct, &daemon->mount, &why);

	if (rc < 0)
		log_error("%s", why.text[0] ? why.text : strerror(-rc));
	return rc;
}

/* Before ingest, which tells it of each commit. */
static int prepare_second(struct daemon *daemon)
{
	struct buf *kernel = &daemon->kernel;
	int rc;

	buf_append_str(kernel, daemon->options.kernel.data);
	if (daemon->options.allow_other)
		buf_append_str(kernel, kernel->len ? ",allow_other" : "allow_other");
	buf_append_char(kernel, '\0');
	rc = buf_error(kernel);
	if (rc == 0)
		rc = second_prepare(&daemon->second, &daemon->options, daemon->serve_path, daemon->store_path, kernel->data,
				    &daemon->direct, daemon->status.controls);
	if (rc < 0)
		log_error("%s: %s", daemon->serve_path ? daemon->serve_path : daemon->mountpoint, strerror(-rc));
	return rc;
}

static int open_schemas(struct daemon *daemon, struct why *why)
{
	const struct options *options = &daemon->options;
	const struct stream_schemas_options schemas_options = {
		.folder = options->schema_folder[0] ? options->schema_folder : NULL,
		.registry = options->schema_registry[0] ? options->schema_registry : NULL,
		.user = options->schema_user[0] ? options->schema_user : NULL,
		.ca_file = options->schema_ca[0] ? options->schema_ca : NULL,
	};

	if (!schemas_options.folder && !schemas_options.registry)
		return 0;
	return stream_schemas_new(&schemas_options, &daemon->schemas, why);
}

static int start_stream(struct daemon *daemon)
{
	const struct options *options = &daemon->options;
	struct stream_options stream_options = {
		.store = daemon->store, .cur = daemon->cur, .ingest = daemon->ingest,
		.brokers = options->kafka_brokers, .client_id = options->kafka_client_id,
		.properties = options->kafka, .n_properties = options->n_kafka,
		.dead_bytes = options->dead_letter_bytes, .relaxed = options->durability == OPTIONS_RELAXED,
	};
	struct why why = { "" };
	int rc = options->read_only ? 0 : open_schemas(daemon, &why);

	stream_options.schemas = daemon->schemas;
	if (rc == 0 && !options->read_only)
		rc = stream_start(&stream_options, &daemon->stream, &why);
	if (rc < 0)
		log_error("%s: cannot start streams: %s", daemon->store_path, why.text[0] ? why.text : strerror(-rc));
	return rc;
}

static int build(struct daemon *daemon)
{
	int rc;

	daemon->status.options = &daemon->options;
	daemon->status.mountpoint = daemon->mountpoint;
	daemon->status.started_ns = clock_monotonic();
	status_init(&daemon->status);
	lanes_init(&daemon->lanes, &daemon->status);
	rc = open_store(daemon);
	if (rc == 0)
		rc = load_catalog(daemon);
	daemon->direct = (struct direct){ daemon->store, daemon->cur, NULL };
	if (rc == 0)
		rc = prepare_second(daemon);
	if (rc == 0)
		rc = start_ingest(daemon);
	if (rc < 0)
		return rc;
	rc = start_batch(daemon);
	if (rc < 0)
		return rc;
	daemon->direct.ingest = daemon->ingest;
	daemon->status.batch = daemon->batch;
	daemon->status.store = daemon->store;
	daemon->status.cur = daemon->cur;
	daemon->status.ingest = daemon->ingest;
	daemon->status.serving = daemon->second.serving;
	daemon->status.serve_path = daemon->serve_path;
	rc = second_start(&daemon->second);
	if (rc == 0)
		rc = start_stream(daemon);
	daemon->status.stream = daemon->stream;
	if (rc == 0)
		rc = open_mount(daemon);
	if (rc < 0)
		return rc;
	daemon->status.mount = daemon->mount;
	rc = -pthread_create(&daemon->signals, NULL, wait_for_signals, daemon);
	daemon->has_signals = rc == 0;
	if (rc < 0)
		log_error("cannot start a thread: %s", strerror(-rc));
	return rc;
}

/* Whatever `build` came to. Returns the first thing that went wrong, or 0. */
static int take_down(struct daemon *daemon)
{
	int rc = 0;

	if (daemon->has_signals) {
		pthread_kill(daemon->signals, SIGUSR1);
		pthread_join(daemon->signals, NULL);
	}
	if (daemon->mount && !daemon->has_signals)
		mount_stop(daemon->mount);
	second_stop(&daemon->second);
	mount_close(daemon->mount);
	stream_stop(daemon->stream);
	stream_schemas_free(daemon->schemas);
	batch_stop(daemon->batch);
	if (daemon->ingest)
		ingest_stop(daemon->ingest);
	second_release(&daemon->second);
	catalog_current_free(daemon->cur);
	if (daemon->store)
		rc = store_close(daemon->store);
	if (rc < 0)
		log_error("%s: the last checkpoint failed: %s; nothing is lost, the next start replays the log", daemon->store_path,
			  strerror(-rc));
	return rc;
}

static int serve(struct daemon *daemon)
{
	int rc = build(daemon), end;

	if (rc == 0)
		rc = detach_ready(&daemon->ready_fd);
	if (rc == 0) {
		log_info("%s is mounted at %s", daemon->store_path, daemon->mountpoint);
		rc = mount_run(daemon->mount);
		if (rc < 0)
			log_error("%s: the file system ended: %s", daemon->mountpoint, strerror(-rc));
		else
			log_info("%s is unmounted", daemon->mountpoint);
	} else if (daemon->mount && daemon->has_signals) {
		mount_stop(daemon->mount);
	}
	end = take_down(daemon);
	return rc < 0 ? rc : end;
}

static int print_text(void (*print)(struct buf *out))
{
	struct buf text = { 0 };
	int rc;

	print(&text);
	rc = buf_error(&text) < 0 || fwrite(text.data, 1, text.len, stdout) != text.len || fflush(stdout) != 0;
	buf_release(&text);
	return rc ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct daemon daemon = { .ready_fd = -1 };
	struct why why;
	int rc = options_read(argc, argv, &daemon.options, &why);

	if (rc < 0) {
		log_error("%s", why.text);
		return EXIT_USAGE;
	}
	if (daemon.options.help)
		rc = print_text(options_print_help);
	else if (daemon.options.print_conf)
		rc = print_text(options_print_sample);
	else if (daemon.options.version)
		rc = printf("featurefs %s\n", FEATUREFS_VERSION) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
	else
		rc = -1;
	if (rc >= 0)
		goto out;
	log_set_level((enum log_level)daemon.options.log_level);
	umask(077);
	raise_file_limit();
	rc = resolve_paths(&daemon);
	if (rc == 0 && !daemon.options.foreground)
		rc = detach(daemon.mountpoint, &daemon.ready_fd);
	if (rc == 0) {
		block_signals();
		rc = serve(&daemon);
	}
	rc = rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
out:
	options_release(&daemon.options);
	free(daemon.store_path);
	free(daemon.mountpoint);
	free(daemon.serve_path);
	buf_release(&daemon.kernel);
	return rc;
}
