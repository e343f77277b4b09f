/* SPDX-License-Identifier: MIT */
/*
 * The daemon about itself: status as "key: value" lines for people and scripts, metrics in the Prometheus text format (a metric's samples
 * stand together, so groups are counted first and printed metric by metric), the refusals of all groups, the options in force, and
 * the direct lane's counters. Values and entities are never quoted here, for these files are not behind a group's permissions.
 */
#include "daemon/status.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/clock.h"
#include "batch/batch.h"
#include "ingest/ingest.h"
#include "serve/serve.h"
#include "store/store.h"
#include "stream/stream.h"

/* Everything that the texts show, gathered once a rendering. */
struct gathered {
	struct store_figures store;
	struct store_readers readers;
	struct ingest_figures ingest;
	struct mount_figures mount;
	struct serving_figures serving;
	struct serve_view view;
	struct catalog_stats *stats;	/* of view.cat->groups, in their order */
	struct catalog_stats sum;
	uint64_t rejected;
	int rc;				/* 0, or why there is no view */
};

static void add_stats(struct catalog_stats *sum, const struct catalog_stats *one)
{
	sum->entities += one->entities;
	sum->rows += one->rows;
	sum->row_bytes += one->row_bytes;
	sum->swept += one->swept;
	for (int lane = 0; lane < CATALOG_LANES; lane++) {
		sum->applied[lane] += one->applied[lane];
		sum->late[lane] += one->late[lane];
	}
}

static void gather(struct status *status, struct gathered *got)
{
	*got = (struct gathered){ 0 };
	store_figures(status->store, &got->store);
	store_readers(status->store, &got->readers);
	ingest_figures(status->ingest, &got->ingest);
	if (status->mount)
		mount_figures(status->mount, &got->mount);
	if (status->serving)
		serving_figures(status->serving, &got->serving);
	for (int r = 0; r < REJECT_N; r++)
		got->rejected += reject_log_count(ingest_rejects(status->ingest), (enum reject_reason)r);
	got->rc = serve_begin(status->store, status->cur, &got->view);
	if (got->rc < 0)
		return;
	got->stats = calloc(got->view.cat->n_groups + 1, sizeof(*got->stats));
	if (!got->stats)
		got->rc = -ENOMEM;
	for (unsigned i = 0; got->rc == 0 && i < got->view.cat->n_groups; i++) {
		got->rc = serve_stats(&got->view, got->view.cat->groups[i], &got->stats[i]);
		add_stats(&got->sum, &got->stats[i]);
	}
	if (got->rc < 0)
		serve_end(&got->view);
}

static void release(struct gathered *got)
{
	if (got->rc == 0)
		serve_end(&got->view);
	free(got->stats);
}

static double uptime(const struct status *status)
{
	return (double)(clock_monotonic() - status->started_ns) / (double)CLOCK_SECOND;
}

/* ---- status ---- */

static void print_recovery(const struct store_figures *figures, struct buf *out)
{
	if (figures->after_power_loss)
		buf_printf(out, "recovery: back to the checkpoint after a loss of power, %" PRIu64 " commits replayed\n",
			   figures->replayed);
	else if (figures->replayed)
		buf_printf(out, "recovery: %" PRIu64 " commits replayed\n", figures->replayed);
	else
		buf_append_str(out, "recovery: none was needed\n");
	buf_printf(out, "power_loss: %s\n", figures->after_power_loss ? "yes" : "no");
}

static void print_health(const struct store_figures *figures, struct buf *out)
{
	buf_printf(out, "state: %s\n", figures->failed ? "failed" : "serving");
	if (figures->failed)
		buf_printf(out, "failed: %s; reads go on, writes get EIO. Check the disk (dmesg), then restart the daemon: it recovers "
			   "what was acknowledged\n", strerror(figures->failed < 0 ? -figures->failed : figures->failed));
	else
		buf_append_str(out, "failed: no\n");
}

/* Who reads the map in another process, and for how long one of them has kept pages from being reused. */
static void print_readers(const struct store_readers *readers, struct buf *out)
{
	buf_printf(out, "reader_snapshots: %u\n", readers->snapshots);
	if (!readers->oldest_pid)
		return;
	buf_printf(out, "oldest_reader_pid: %ld\noldest_reader_commits_behind: %" PRIu64 "\noldest_reader_seconds: %.0f\n",
		   readers->oldest_pid, readers->oldest_behind, (double)readers->oldest_held_ns / (double)CLOCK_SECOND);
}

static void print_serving(const struct status *status, const struct serving_figures *figures, struct buf *out)
{
	buf_printf(out, "serving_mount: %s%s\nserving_requests: %" PRIu64 "\n", status->serve_path,
		   figures->is_mounted ? "" : " (not mounted)", figures->requests);
	buf_printf(out, "serving_nodes: %" PRIu64 "\nserving_node_bytes: %" PRIu64 "\n", figures->nodes, figures->node_bytes);
	buf_printf(out, "serving_names_forgotten: %" PRIu64 "\nserving_wholes_forgotten: %" PRIu64 "\n", figures->names_forgotten,
		   figures->wholes_forgotten);
}

static void render_status(void *arg, struct buf *out)
{
	struct status *status = arg;
	struct gathered got;

	gather(status, &got);
	buf_printf(out, "version: %s\nstore: %s\nmount: %s\npid: %ld\n", FEATUREFS_VERSION, store_path(status->store),
		   status->mountpoint, (long)getpid());
	buf_printf(out, "uptime_seconds: %.0f\nread_only: %s\ndurability: %s\n", uptime(status),
		   status->options->read_only ? "yes" : "no",
		   status->options->durability == OPTIONS_RELAXED ? "relaxed" : "sync");
	print_health(&got.store, out);
	print_recovery(&got.store, out);
	buf_printf(out, "seq: %" PRIu64 "\ncheckpoint_seq: %" PRIu64 "\ncheckpoints: %" PRIu64 "\ncheckpoint_failures: %" PRIu64 "\n",
		   got.store.last_seq, got.store.checkpoint_seq, got.store.checkpoints, got.store.checkpoint_failures);
	buf_printf(out, "map_used_bytes: %" PRIu64 "\nmap_free_bytes: %" PRIu64 "\nmap_bytes: %" PRIu64 "\n", got.store.map_used_bytes,
		   got.store.map_free_bytes, got.store.map_bytes);
	buf_printf(out, "disk_free_bytes: %" PRIu64 "\ndisk_bytes: %" PRIu64 "\nlog_segments: %" PRIu64 "\n",
		   got.store.disk_free_bytes, got.store.disk_bytes, got.store.log_segments);
	print_readers(&got.readers, out);
	buf_printf(out, "commits: %" PRIu64 "\nrequests: %" PRIu64 "\nrequests_failed: %" PRIu64 "\nrequests_waiting: %" PRIu64 "\n",
		   got.ingest.commits, got.ingest.requests, got.ingest.failed_requests, got.ingest.waiting);
	buf_printf(out, "rejected: %" PRIu64 "\nnodes: %" PRIu64 "\nhandles: %" PRIu64 "\n", got.rejected, got.mount.nodes,
		   got.mount.handles);
	buf_printf(out, "scratch_files: %" PRIu64 "\nscratch_bytes: %" PRIu64 "\n", got.mount.scratch_files,
		   got.mount.scratch_bytes);
	if (status->serving)
		print_serving(status, &got.serving, out);
	if (got.rc == 0)
		buf_printf(out, "groups: %u\nentities: %" PRIu64 "\nrow_bytes: %" PRIu64 "\n", got.view.cat->n_groups,
			   got.sum.entities, got.sum.row_bytes);
	else
		buf_printf(out, "groups: cannot be read: %s\n", strerror(-got.rc));
	release(&got);
}

/* ---- metrics ---- */

static void head(struct buf *out, const char *name, const char *type, const char *help)
{
	buf_printf(out, "# HELP featurefs_%s %s\n# TYPE featurefs_%s %s\n", name, help, name, type);
}

static void metric(struct buf *out, const char *name, const char *type, const char *help, uint64_t value)
{
	head(out, name, type, help);
	buf_printf(out, "featurefs_%s %" PRIu64 "\n", name, value);
}

static void metric_seconds(struct buf *out, const char *name, const char *type, const char *help, double value)
{
	head(out, name, type, help);
	buf_printf(out, "featurefs_%s %.6f\n", name, value);
}

static void print_store_metrics(const struct store_figures *figures, struct buf *out)
{
	metric(out, "store_failed", "gauge", "1 when writes have stopped until the next start", figures->failed != 0);
	metric(out, "store_seq", "gauge", "Sequence number of the newest commit", figures->last_seq);
	metric(out, "checkpoint_seq", "gauge", "Sequence number of the newest checkpoint", figures->checkpoint_seq);
	metric(out, "checkpoints_total", "counter", "Checkpoints made", figures->checkpoints);
	metric(out, "checkpoint_failures_total", "counter", "Checkpoints that failed", figures->checkpoint_failures);
	metric(out, "map_free_bytes", "gauge", "Bytes of free pages inside of the map's file", figures->map_free_bytes);
	metric(out, "map_used_bytes", "gauge", "Bytes of the map in use", figures->map_used_bytes);
	metric(out, "map_max_bytes", "gauge", "What the map may grow to", figures->map_bytes);
	metric(out, "disk_free_bytes", "gauge", "Free bytes of the store's file system", figures->disk_free_bytes);
	metric(out, "disk_size_bytes", "gauge", "Size of the store's file system", figures->disk_bytes);
	metric(out, "log_segments", "gauge", "Files of the change log", figures->log_segments);
	metric(out, "log_written_bytes_total", "counter", "Bytes appended to the change log", figures->log_bytes_written);
	metric(out, "recovery_replayed_commits", "gauge", "Commits replayed at the start", figures->replayed);
	metric(out, "recovery_after_power_loss", "gauge", "1 if the map was put back to a checkpoint at the start",
	       figures->after_power_loss);
}

static void print_ingest_metrics(const struct ingest_figures *figures, struct buf *out)
{
	metric(out, "commits_total", "counter", "Commits, each of one or more requests", figures->commits);
	metric(out, "requests_total", "counter", "Requests to change something", figures->requests);
	metric(out, "requests_failed_total", "counter", "Requests that were refused or failed", figures->failed_requests);
	metric(out, "requests_waiting", "gauge", "Requests that wait for a commit", figures->waiting);
	metric(out, "changes_total", "counter", "Changes in those requests", figures->changes);
	metric(out, "swept_values_total", "counter", "Expired values and old tombstones removed", figures->swept);
	metric_seconds(out, "commit_seconds_total", "counter", "Time spent in commits",
		       (double)figures->commit_ns_total / (double)CLOCK_SECOND);
}

static void print_mount_metrics(const struct mount_figures *figures, struct buf *out)
{
	metric(out, "fuse_requests_total", "counter", "File system requests", figures->requests);
	metric(out, "fuse_reads_total", "counter", "Reads among them", figures->reads);
	metric(out, "fuse_writes_total", "counter", "Writes among them", figures->writes);
	metric(out, "fuse_nodes", "gauge", "Nodes that the kernel knows", figures->nodes);
	metric(out, "fuse_handles", "gauge", "Open files and directories", figures->handles);
	metric(out, "scratch_files", "gauge", "Scratch files", figures->scratch_files);
	metric(out, "scratch_bytes", "gauge", "Memory of scratch files", figures->scratch_bytes);
}

static void print_batch_metrics(struct batch *batch, struct buf *out)
{
	struct batch_figures figures;

	batch_figures(batch, NULL, &figures);
	metric(out, "imports_waiting", "gauge", "Imports that wait for their turn", figures.waiting);
	metric(out, "imports_running", "gauge", "Imports that are being loaded", figures.running);
	head(out, "imports_total", "counter", "Imports that ended, by how");
	buf_printf(out, "featurefs_imports_total{end=\"done\"} %" PRIu64 "\nfeaturefs_imports_total{end=\"failed\"} %" PRIu64
		   "\nfeaturefs_imports_total{end=\"cancelled\"} %" PRIu64 "\n", figures.done, figures.failed, figures.cancelled);
	metric(out, "import_rows_total", "counter", "Rows read by imports", figures.rows);
	metric(out, "import_rejected_rows_total", "counter", "Rows among them that were refused", figures.rejected);
	metric(out, "import_duplicate_rows_total", "counter", "Rows that came together with others of their entity", figures.duplicates);
	head(out, "import_values_total", "counter", "Values of loaded imports, by what came of them");
	buf_printf(out, "featurefs_import_values_total{result=\"changed\"} %" PRIu64 "\nfeaturefs_import_values_total{result=\"confirmed\"} %"
		   PRIu64 "\nfeaturefs_import_values_total{result=\"unchanged\"} %" PRIu64
		   "\nfeaturefs_import_values_total{result=\"late\"} %" PRIu64 "\n", figures.changed, figures.confirmed, figures.unchanged,
		   figures.late);
	metric(out, "import_deleted_entities_total", "counter", "Entities that snapshots took away", figures.deleted);
	metric(out, "spool_bytes", "gauge", "Bytes of dropped files that are not loaded yet", figures.spool_bytes);
	metric(out, "spool_files", "gauge", "Files and directories in .import", figures.spool_files);
}

static void print_serving_metrics(const struct serving_figures *figures, struct buf *out)
{
	metric(out, "serving_mounted", "gauge", "1 while the serving mount is there", figures->is_mounted);
	metric(out, "serving_requests_total", "counter", "Requests of the serving mount: what its kernel caches did not hold",
	       figures->requests);
	metric(out, "serving_ring_requests_total", "counter", "Those of them that came by io_uring", figures->ring_requests);
	metric(out, "serving_lookups_total", "counter", "Names looked up among them", figures->lookups);
	metric(out, "serving_reads_total", "counter", "Reads among them", figures->reads);
	metric(out, "serving_nodes", "gauge", "Files and directories that its kernel caches hold", figures->nodes);
	metric(out, "serving_node_bytes", "gauge", "The daemon's memory for them", figures->node_bytes);
	metric(out, "serving_names_forgotten_total", "counter", "Names that commits took away from the kernel", figures->names_forgotten);
	metric(out, "serving_wholes_forgotten_total", "counter", "Times that a commit took everything away from the kernel",
	       figures->wholes_forgotten);
	metric(out, "serving_groups_set_aside_total", "counter", "Large groups that were set aside then, so that no reader waited",
	       figures->groups_set_aside);
	metric(out, "serving_row_names_taken_back_total", "counter", "Names of views' rows that the kernel was made to let go of, since it held many",
	       figures->row_names_taken_back);
	metric_seconds(out, "serving_forgetting_seconds_total", "counter", "Time that commits waited for the kernel to forget",
		       (double)figures->forgetting_ns / (double)CLOCK_SECOND);
}

static void print_reject_metrics(struct reject_log *log, struct buf *out)
{
	head(out, "rejected_total", "counter", "Refusals by reason");
	for (int r = 0; r < REJECT_N; r++)
		buf_printf(out, "featurefs_rejected_total{reason=\"%s\"} %" PRIu64 "\n", reject_reason_name((enum reject_reason)r),
			   reject_log_count(log, (enum reject_reason)r));
}

/* One number of each group. Names of groups need no escape: see text_check_group_name. */
static void print_group_metric(const struct gathered *got, const char *name, const char *help, size_t offset, struct buf *out)
{
	head(out, name, "gauge", help);
	for (unsigned i = 0; i < got->view.cat->n_groups; i++)
		buf_printf(out, "featurefs_%s{group=\"%s\"} %" PRIu64 "\n", name, got->view.cat->groups[i]->name,
			   *(const uint64_t *)((const char *)&got->stats[i] + offset));
}

static void print_lane_metric(const struct gathered *got, const char *name, const char *help, size_t offset, struct buf *out)
{
	head(out, name, "counter", help);
	for (unsigned i = 0; i < got->view.cat->n_groups; i++)
		for (unsigned lane = 0; lane < CATALOG_LANES; lane++)
			buf_printf(out, "featurefs_%s{group=\"%s\",lane=\"%s\"} %" PRIu64 "\n", name,
				   got->view.cat->groups[i]->name, serve_lane_name((uint8_t)(lane + 1)),
				   ((const uint64_t *)((const char *)&got->stats[i] + offset))[lane]);
}

static void print_group_metrics(const struct gathered *got, struct reject_log *log, struct buf *out)
{
	const struct catalog *cat = got->view.cat;

	metric(out, "groups", "gauge", "Feature groups", cat->n_groups);
	print_group_metric(got, "group_entities", "Entities of the group", offsetof(struct catalog_stats, entities), out);
	print_group_metric(got, "group_row_bytes", "Bytes of the group's rows", offsetof(struct catalog_stats, row_bytes), out);
	print_lane_metric(got, "group_applied_total", "Values written or deleted", offsetof(struct catalog_stats, applied), out);
	print_lane_metric(got, "group_late_total", "Values that lost to a newer one", offsetof(struct catalog_stats, late), out);
	head(out, "group_rejected_total", "counter", "Refusals in the group");
	for (unsigned i = 0; i < cat->n_groups; i++)
		buf_printf(out, "featurefs_group_rejected_total{group=\"%s\"} %" PRIu64 "\n", cat->groups[i]->name,
			   reject_log_group_count(log, cat->groups[i]->id));
	head(out, "group_newest_event_timestamp_seconds", "gauge", "Newest event time that was written; 0 if none");
	for (unsigned i = 0; i < cat->n_groups; i++)
		buf_printf(out, "featurefs_group_newest_event_timestamp_seconds{group=\"%s\"} %.6f\n", cat->groups[i]->name,
			   (double)got->stats[i].newest_event_ns / (double)CLOCK_SECOND);
	head(out, "group_overlay_timestamp_seconds", "gauge", "Since when rows of a load stand over the others; 0 if none do");
	for (unsigned i = 0; i < cat->n_groups; i++)
		buf_printf(out, "featurefs_group_overlay_timestamp_seconds{group=\"%s\"} %.6f\n", cat->groups[i]->name,
			   (double)cat->groups[i]->overlay_ns / (double)CLOCK_SECOND);
}

static void render_metrics(void *arg, struct buf *out)
{
	struct status *status = arg;
	struct reject_log *log = ingest_rejects(status->ingest);
	struct gathered got;

	gather(status, &got);
	head(out, "info", "gauge", "The program");
	buf_printf(out, "featurefs_info{version=\"%s\"} 1\n", FEATUREFS_VERSION);
	metric_seconds(out, "uptime_seconds", "gauge", "Since the daemon's start", uptime(status));
	print_store_metrics(&got.store, out);
	metric(out, "reader_snapshots", "gauge", "Snapshots that other processes hold", got.readers.snapshots);
	metric(out, "oldest_reader_commits_behind", "gauge", "Commits since the oldest of those began", got.readers.oldest_behind);
	print_ingest_metrics(&got.ingest, out);
	print_mount_metrics(&got.mount, out);
	print_batch_metrics(status->batch, out);
	if (status->serving)
		print_serving_metrics(&got.serving, out);
	print_reject_metrics(log, out);
	if (got.rc == 0)
		print_group_metrics(&got, log, out);
	if (status->stream)
		stream_metrics(status->stream, out);
	release(&got);
}

/* ---- errors, config, the direct lane ---- */

static const char *name_of_group(void *arg, uint32_t group_id)
{
	const struct catalog_group *grp = catalog_find_id(arg, group_id);

	return grp && group_id != CATALOG_ROOT_ID ? grp->name : NULL;
}

static void render_errors(void *arg, struct buf *out)
{
	struct status *status = arg;
	uint64_t number;
	struct catalog *cat = catalog_current_get(status->cur, &number);

	reject_log_print_all(ingest_rejects(status->ingest), name_of_group, cat, out);
	catalog_unref(cat);
}

static void render_config(void *arg, struct buf *out)
{
	struct status *status = arg;

	options_print(status->options, out);
}

void status_batch(struct status *status, struct buf *out)
{
	struct batch_figures figures;

	batch_figures(status->batch, NULL, &figures);
	buf_printf(out, "state: %s\nwaiting: %" PRIu64 "\nrunning: %" PRIu64 "\ndone: %" PRIu64 "\nfailed: %" PRIu64 "\ncancelled: %" PRIu64 "\n",
		   status->options->read_only ? "read-only" : "running", figures.waiting, figures.running, figures.done, figures.failed,
		   figures.cancelled);
	buf_printf(out, "rows: %" PRIu64 "\nrejected: %" PRIu64 "\nduplicates: %" PRIu64 "\nchanged: %" PRIu64 "\nconfirmed: %" PRIu64
		   "\nunchanged: %" PRIu64 "\nlate: %" PRIu64 "\ndeleted: %" PRIu64 "\n", figures.rows, figures.rejected, figures.duplicates,
		   figures.changed, figures.confirmed, figures.unchanged, figures.late, figures.deleted);
	buf_printf(out, "spool_bytes: %" PRIu64 "\nspool_files: %" PRIu64 "\n", figures.spool_bytes, figures.spool_files);
}

void status_direct(struct status *status, struct buf *out)
{
	struct gathered got;

	gather(status, &got);
	if (got.rc == 0)
		buf_printf(out, "state: %s\napplied: %" PRIu64 "\nlate: %" PRIu64 "\nrefused: %" PRIu64 "\nwaiting: %" PRIu64 "\n",
			   status->options->read_only ? "read-only" : "running", got.sum.applied[RECORD_LANE_DIRECT - 1],
			   got.sum.late[RECORD_LANE_DIRECT - 1], got.rejected, got.ingest.waiting);
	else
		buf_printf(out, "state: the counters cannot be read: %s\n", strerror(-got.rc));
	release(&got);
}

/* What tells one store from another, and how far it is: for programs that read the map themselves. */
static void render_store(void *arg, struct buf *out)
{
	struct status *status = arg;
	uint64_t device = 0, inode = 0, seq = 0;
	struct store_snap *snap = NULL;
	int rc = store_file(status->store, &device, &inode);

	if (rc == 0)
		rc = store_snap_begin(status->store, &snap);
	if (rc == 0)
		rc = store_snap_seq(snap, &seq);
	store_snap_end(snap);
	if (rc < 0)
		buf_printf(out, "failed: %s\n", strerror(-rc));
	else
		buf_printf(out, "path: %s\ndevice: %" PRIu64 "\ninode: %" PRIu64 "\nseq: %" PRIu64 "\n", store_path(status->store),
			   device, inode, seq);
}

void status_init(struct status *status)
{
	const struct mount_control controls[] = {
		{ "config", render_config, status },
		{ "errors", render_errors, status },
		{ "metrics", render_metrics, status },
		{ "status", render_status, status },
		{ "store", render_store, status },
		{ NULL, NULL, NULL },
	};

	_Static_assert(sizeof(controls) == sizeof(status->controls), "a control has no place");
	memcpy(status->controls, controls, sizeof(controls));
}
