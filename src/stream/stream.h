/* SPDX-License-Identifier: MIT */
/*
 * The stream lane: Kafka topics become values. Each [stream NAME] section of a group is a lane of its own, named "group.NAME", with a
 * thread and a consumer. The offset behind the last message of each partition is stored in the same commit as the values, so
 * each message counts once however often anything dies. What is bad goes to the group's dead letters and stops nothing.
 *
 * Lanes follow the catalog: a section that appears, changes or goes takes effect without a restart. All calls are for any thread.
 */
#ifndef STREAM_STREAM_H
#define STREAM_STREAM_H

#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/slice.h"
#include "base/why.h"
#include "catalog/catalog.h"
#include "ingest/ingest.h"
#include "store/store.h"
#include "stream/format.h"
#include "stream/schemas.h"

struct stream;

/* A property of librdkafka. */
struct stream_property {
	char *name, *value;
};

struct stream_options {
	struct store *store;		/* these three outlive it */
	struct catalog_current *cur;
	struct ingest *ingest;
	struct stream_schemas *schemas;	/* for Avro; NULL: none */
	const char *brokers;		/* "host:port,..."; empty: lanes wait for a configuration */
	const char *client_id;
	const struct stream_property *properties;
	unsigned n_properties;
	uint64_t dead_bytes;		/* of the dead letters of one stream; the oldest go */
	bool relaxed;			/* dead letters are not synced, as commits are not */
};

/* Is it a property that librdkafka knows, with a value that it takes, and not one that the lane sets itself? -EINVAL. */
int stream_property_check(const char *name, const char *value, struct why *why);
/* May its value be a secret, which nobody should see? */
bool stream_property_is_secret(const char *name);

/* Could every stream of a definition work? For whoever writes one, to be told at once. -EINVAL with the section and the reason, -ENOMEM. */
int stream_check_group(const struct catalog_group *grp, struct why *why);

/* Copies what it needs of the options' texts. Lanes of the present catalog are there when it returns. */
int stream_start(const struct stream_options *options, struct stream **out, struct why *why);
/* Finishes the commits under way; every command is answered. NULL is fine. */
void stream_stop(struct stream *stream);

/* ---- what a lane says about itself ---- */

/* Appends the names of lanes, each with its NUL, in order. */
int stream_list(struct stream *stream, struct buf *out);
/* The group of a lane. -ENOENT. */
int stream_group(struct stream *stream, const char *lane, uint32_t *out_group_id);
/* "key: value" lines. -ENOENT. */
int stream_status(struct stream *stream, const char *lane, struct buf *out);
/* All lanes, in the Prometheus text format. */
void stream_metrics(struct stream *stream, struct buf *out);

/* ---- commands ---- */

typedef void (*stream_done)(void *arg, int rc);

/* One line: pause, resume, seek earliest|latest|TIME|PARTITION:OFFSET,..., replay. Answered when it has taken effect; of replay, when it has begun. -EINVAL: no
 * such command; -ENOENT: no such lane, partition or letter; -EHOSTUNREACH: the brokers don't answer; -EBUSY: another replay is under way. The
 * status says more. */
void stream_control(struct stream *stream, const char *lane, struct slice command, stream_done done, void *arg);

/* ---- dead letters: files of JSON Lines, a group's together in one place ---- */

int stream_dead_list(struct stream *stream, uint32_t group_id, struct buf *out);	/* names, each with its NUL */
/* To be read and closed by the caller. -ENOENT. */
int stream_dead_open(struct stream *stream, uint32_t group_id, const char *name, int *out_fd);

#endif
