/* SPDX-License-Identifier: MIT */
/* The inside of a mapping, and what each format of messages gives it. Private to stream. */
#ifndef STREAM_MAPPING_H
#define STREAM_MAPPING_H

#include "base/buf.h"
#include "stream/format.h"
#include "stream/moment.h"
#include "stream/path.h"

/* One of a message's two documents, its value or its key, as the format reads it. */
struct document {
	struct path_tree tree;		/* what is wanted from it */
	void *state;			/* the format's own; NULL if nothing is wanted */
};

enum place_kind { PLACE_VALUE, PLACE_KEY_PART, PLACE_KEY, PLACE_HEADER, PLACE_RECORD };

/* Where something stands in a message. */
struct place {
	enum place_kind kind;
	unsigned leaf;			/* PLACE_VALUE, PLACE_KEY_PART; the path's number until the tree is settled */
	char *text;			/* as it was written; of a header its name */
};

struct filter {
	struct place place;
	char *value;
};

struct target {
	struct place place;
	const struct catalog_feature *feature;
};

struct csv_rules {
	char delimiter;
	char *null;			/* the text that stands for null */
	char **columns;			/* NULL: they have numbers only */
	unsigned n_columns;
};

struct stream_mapping {
	const struct catalog_group *grp;	/* counted */
	const struct format *format;
	struct stream_schemas *schemas;
	struct csv_rules csv;
	struct document value, key;
	struct place *entity;		/* one for each part */
	struct place event_time;
	enum moment_unit unit;
	struct filter *filters;
	unsigned n_filters;
	struct target *targets;
	unsigned n_targets;
	/* scratch of a decode */
	struct buf name, part, bytes;
	struct stream_value *values;
	size_t *offsets;		/* of each value in `bytes`, which moves while it grows */
};

/*
 * A format. `read` parses a document and finds its leaves; the others ask for one leaf of what was read last. A leaf
 * that is not there is -ENOENT for `text`, `time` and `value`, without a reason. Reasons say what is wrong, not where: the mapping knows.
 */
struct format {
	const char *name;
	bool has_paths;			/* places are paths; else columns */
	/* After the tree is settled. */
	int (*prepare)(struct stream_mapping *map, struct document *doc, struct why *why);
	int (*read)(struct stream_mapping *map, struct document *doc, struct slice bytes, struct why *why);
	/* Forgets what was read; keeps its memory for the next. */
	void (*done)(struct document *doc);
	/* Appends the raw text of one part of a key; null is -EINVAL. */
	int (*text)(const struct document *doc, unsigned leaf, struct buf *out, struct why *why);
	int (*time)(const struct document *doc, unsigned leaf, enum moment_unit unit, int64_t *out_ns, struct why *why);
	bool (*matches)(const struct document *doc, unsigned leaf, struct slice value);
	/* Appends the stored bytes of a value of the feature's type; out_state is RECORD_PRESENT or RECORD_NULL. */
	int (*value)(const struct document *doc, unsigned leaf, const struct catalog_feature *feature, struct buf *out,
		     uint8_t *out_state, struct why *why);
	void (*release)(struct document *doc);
};

extern const struct format format_json, format_csv, format_avro;

/* An integer as text, from a typed source, is its plain form: no sign before zero, no zeros after a point. -EINVAL if it is none. */
int mapping_plain_integer(struct slice number, struct buf *out, struct why *why);

#endif
