/* SPDX-License-Identifier: MIT */
/* A mapping to decode foreign messages by, and what must hold of every row that comes out of one. */
#ifndef FUZZ_STREAM_HELP_H
#define FUZZ_STREAM_HELP_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/text.h"
#include "store/store.h"
#include "stream/format.h"

static const char stream_help_features[] =
	"[feature clicks]\ntype = int64\n\n[feature ctr]\ntype = float32\n\n[feature name]\ntype = string\n\n[feature tags]\ntype = string[]\n\n"
	"[feature vec]\ntype = float64[3]\n\n[feature raw]\ntype = json\n\n[feature blob]\ntype = bytes\n\n[feature at]\ntype = timestamp\n\n"
	"[feature on]\ntype = bool\n\n[feature small]\ntype = int32[]\n\n";

struct stream_help {
	struct catalog_group *grp;
	struct stream_mapping *map;
};

/* One of several mappings; each is made once and kept. */
static inline void stream_help_open(struct stream_help *help, const char *keys, const char *section, struct stream_schemas *schemas)
{
	struct buf text = { 0 };
	struct why why = { "" };
	int rc;

	if (help->map)
		return;
	buf_printf(&text, "[group]\nentity = %s\n\n%s[stream s]\ntopic = t\n%s", keys, stream_help_features,    section);
	rc = catalog_group_parse("fuzz", buf_slice(&text), &help->grp, &why);
	if (rc == 0)
		rc = stream_mapping_new(help->grp, &help->grp->sections[0], schemas, &help->map, &why);
	buf_release(&text);
	if (rc < 0) {
		fprintf(stderr, "%s\n", why.text);
		abort();
	}
}

static inline void stream_help_close(struct stream_help *help)
{
	stream_mapping_free(help->map);
	catalog_group_unref(help->grp);
}

static inline void stream_help_require(bool holds)
{
	if (!holds)
		abort();
}

/* A message is refused with a reason, or gives a row that the store can hold. */
static inline void stream_help_decode(struct stream_help *help, struct slice key, struct slice value, bool has_value)
{
	struct stream_message msg = { .key = key, .value = value, .has_key = true, .has_value = has_value, .timestamp_ns = 1 };
	struct stream_row row;
	struct why why = { "" };
	int rc = stream_mapping_decode(help->map, &msg, &row, &why);

	stream_help_require(rc <= 1);
	if (rc < 0)
		stream_help_require(rc == -ENOMEM || why.text[0]);
	if (rc)
		return;
	stream_help_require(text_check_entity(row.entity, help->grp->n_keys, NULL) == 0);
	stream_help_require(row.is_delete == !has_value && (row.n_values > 0) == has_value);
	for (size_t i = 0; i < row.n_values; i++) {
		const struct catalog_feature *feature = catalog_feature_at(help->grp, row.values[i].slot);

		stream_help_require(feature);
		if (row.values[i].state == RECORD_NULL)
			continue;
		stream_help_require(row.values[i].state == RECORD_PRESENT && row.values[i].type_code == type_code(&feature->type));
		stream_help_require(type_check(&feature->type, row.values[i].bytes, NULL) == 0);
	}
}

#endif
