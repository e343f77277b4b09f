/* SPDX-License-Identifier: MIT */
/* Sources: where rows come from, in words, each with a number that stamps can hold. The list is in the map and, but for the names of parts, in memory. */
#include "ingest/private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct source {
	uint32_t number;
	char *name;
};

static int remember_source(struct ingest *ingest, uint32_t number, struct slice text)
{
	struct slice name = source_name(text);
	struct source src = { number, strndup(name.data, name.len) };

	if (!src.name)
		return -ENOMEM;
	buf_append(&ingest->sources, &src, sizeof src);
	if (buf_error(&ingest->sources) < 0) {
		free(src.name);
		return -ENOMEM;
	}
	return 0;
}

int sources_load(struct ingest *ingest, struct store_snap *snap)
{
	struct store_walk *walk;
	struct slice key, text;
	int rc = store_walk_begin(snap, STORE_SOURCES, slice_of(NULL, 0), &walk);

	if (rc < 0)
		return rc;
	while ((rc = store_walk_next(walk, &key, &text)) == 0) {
		const uint8_t *at = key.data;

		if (key.len != 4) {
			rc = -EBADMSG;
			break;
		}
		rc = remember_source(ingest, (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3], text);
		if (rc < 0)
			break;
	}
	store_walk_end(walk);
	return rc == -ENOENT ? 0 : rc;
}

void sources_release(struct ingest *ingest)
{
	struct source *list = (struct source *)ingest->sources.data;

	for (size_t i = 0; i < ingest->sources.len / sizeof *list; i++)
		free(list[i].name);
	buf_release(&ingest->sources);
}

int ingest_source(struct ingest *ingest, struct slice text, uint32_t *out)
{
	struct ingest_request *req = NULL;
	const struct source *list;
	struct ingest_result result;
	size_t n;
	int rc = 0;

	pthread_mutex_lock(&ingest->source_lock);
	list = (const struct source *)ingest->sources.data;
	n = ingest->sources.len / sizeof *list;
	/* The newest are asked for most. */
	for (size_t i = n; i-- > 0;) {
		if (slice_equal(source_name(text), slice_str(list[i].name))) {
			*out = list[i].number;
			goto out;
		}
	}
	rc = ingest_request_new(ingest, RECORD_LANE_BATCH, 0, 0, "store", &req);
	if (rc == 0) {
		struct change chg = { .kind = CHANGE_SOURCE };

		request_bytes_add(req, text, &chg.name);
		request_add(req, &chg);
		rc = ingest_run(ingest, req, &result, NULL);
	}
	if (rc == 0)
		rc = remember_source(ingest, result.group_id, text);
	if (rc == 0)
		*out = result.group_id;
out:
	pthread_mutex_unlock(&ingest->source_lock);
	return rc;
}
