/* SPDX-License-Identifier: MIT */
/*
 * Avro schemas by their number, from a folder of files (17.avsc) and from a schema registry over HTTP (GET URL/schemas/ids/17). The folder
 * goes first. What was found is kept for good, for a number never gets another schema; what was not found is asked for again after a
 * while. Thread-safe; a slow registry holds up only those who ask for a schema that is not known yet.
 */
#ifndef STREAM_SCHEMAS_H
#define STREAM_SCHEMAS_H

#include <stdint.h>
#include "base/buf.h"
#include "base/why.h"

struct stream_schemas;

struct stream_schemas_options {
	const char *folder;		/* NULL: none */
	const char *registry;		/* "http://host:8081", maybe with a path; NULL: none */
	const char *user;		/* "name:password" for the registry; NULL: none */
	const char *ca_file;		/* certificates that an https registry is judged by; NULL: the system's */
	unsigned timeout_ms;		/* of one request; 0: 5000 */
};

/* -EINVAL (not an http URL), -ENOENT, -EACCES, -ENOTDIR of the folder. */
int stream_schemas_new(const struct stream_schemas_options *options, struct stream_schemas **out, struct why *why);
void stream_schemas_free(struct stream_schemas *schemas);	/* NULL is fine */

/* Appends the schema's JSON text. -ENOENT: there is none of that number; -EINVAL: there is, but it is no Avro schema of its own (another type, or it
 * refers to others); -EAGAIN: nobody can be asked just now; -ENOMEM. NULL `schemas` is -EAGAIN too. */
int stream_schemas_get(struct stream_schemas *schemas, uint32_t id, struct buf *out, struct why *why);

#endif
