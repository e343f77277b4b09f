/* SPDX-License-Identifier: MIT */
/* What the daemon was told: by its configuration file, then by its command line, which wins. */
#ifndef DAEMON_OPTIONS_H
#define DAEMON_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/why.h"
#include "mount/mount.h"
#include "stream/stream.h"

#define OPTIONS_CONF_DEFAULT "/etc/featurefs.conf"

enum options_durability { OPTIONS_SYNC, OPTIONS_RELAXED };

/* A number that need not be set. */
struct options_id {
	bool has;
	unsigned value;
};

struct options {
	char *store, *mountpoint;	/* as they were typed */
	char *conf;			/* NULL: OPTIONS_CONF_DEFAULT, if there is one */
	bool foreground, debug, help, version, print_conf;

	uint64_t map_bytes, segment_bytes, log_keep_bytes, checkpoint_bytes, scratch_bytes;
	int64_t checkpoint_ns, future_ns, tombstone_ns, sweep_ns, overlay_ns, scratch_ns;
	uint64_t spool_bytes, batch_memory_bytes;
	int64_t retention_ns, settle_ns;
	unsigned threads, scratch_files, spool_files, overlay_percent;
	int durability;			/* enum options_durability */
	int log_level;			/* enum log_level */
	bool read_only, allow_other;
	char *serve_path;		/* empty: no serving mount */
	unsigned serve_threads;
	bool serve_io_uring;
	struct options_id uid, gid, umask;
	struct buf kernel;		/* comma-separated mount options for the kernel, with a NUL */

	char *kafka_brokers, *kafka_client_id, *schema_folder, *schema_registry, *schema_user, *schema_ca;	/* "": not set */
	uint64_t dead_letter_bytes;
	struct stream_property *kafka;	/* what else [kafka] says, for librdkafka */
	unsigned n_kafka;
};

/* Reads argv and the configuration file. -EINVAL (or the errno of the file) with a reason that names the option, or file and line. */
int options_read(int argc, char **argv, struct options *out, struct why *why);
void options_release(struct options *options);
/* Whose files the mounts are to show. */
struct mount_owners options_owners(const struct options *options);

/* The text of --help. */
void options_print_help(struct buf *out);
/* The commented sample file: every option with its help and its default. */
void options_print_sample(struct buf *out);
/* The options in force, as such a file; what may be a secret is not shown. */
void options_print(const struct options *options, struct buf *out);

#endif
