/* SPDX-License-Identifier: MIT */
/* librdkafka's configuration and words, in ours. Private to stream. */
#ifndef STREAM_KAFKA_H
#define STREAM_KAFKA_H

#include <librdkafka/rdkafka.h>
#include "stream/stream.h"

/* A configuration with the operator's properties; the caller sets what is its own. -EINVAL with the property at fault. */
int kafka_conf(const struct stream_options *options, rd_kafka_conf_t **out, struct why *why);
int kafka_set(rd_kafka_conf_t *conf, const char *name, const char *value, struct why *why);
/* Does the error say that the topic (or the partition) is not there? That nobody answers? */
bool kafka_is_unknown(rd_kafka_resp_err_t err);
bool kafka_is_down(rd_kafka_resp_err_t err);
/* Destroys a client whose queues and messages the caller has given back. False: the library does not come back from it in
 * good time; it goes on trying behind the caller's back. */
bool kafka_destroy(rd_kafka_t *rk, int flags);

#endif
