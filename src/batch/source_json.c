/* SPDX-License-Identifier: MIT */
/* JSON Lines: lines out of a window of the file, and for each one an object, read in memory that is kept. What it means: source_json_row.c. */
#include "batch/source_json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/text.h"

enum { POOL_LINE_MAX = 64 << 10 };	/* lines up to here are read in memory that is kept */

static struct json *json_of(struct batch_source *source)
{
	return (struct json *)source;
}

/* ---- lines ---- */

/* Passes over the rest of a line that is too long to keep. */
static int skip_line(struct json *json, struct why *why)
{
	struct window *win = &json->win;

	for (;;) {
		char *hit;
		int rc;

		window_drop(win, win->end);
		rc = window_fill(win, why);
		if (rc <= 0)
			return rc;
		hit = memchr(win->at, '\n', (size_t)(win->end - win->at));
		if (hit) {
			window_drop(win, hit + 1);
			return 0;
		}
	}
}

/* 1: a line, without its end; 0: none is left; -E2BIG: it was too long and has been passed over. */
static int read_line(struct json *json, struct slice *out, struct why *why)
{
	struct window *win = &json->win;
	size_t seen = 0;

	for (;;) {
		size_t have = (size_t)(win->end - win->at);
		char *hit = have > seen ? memchr(win->at + seen, '\n', have - seen) : NULL;
		int rc;

		if (hit || (win->at_end && have)) {
			*out = slice_of(win->at, hit ? (size_t)(hit - win->at) : have);
			window_drop(win, hit ? hit + 1 : win->end);
			return 1;
		}
		seen = have;
		rc = window_fill(win, why);
		if (rc == -E2BIG) {
			rc = skip_line(json, why);
			return rc < 0 ? rc : -E2BIG;
		}
		if (rc < 0 || (rc == 0 && win->at == win->end))
			return rc;
	}
}

static bool is_blank(struct slice line)
{
	const char *p = line.data;

	for (size_t i = 0; i < line.len; i++)
		if (p[i] != ' ' && p[i] != '\t' && p[i] != '\r')
			return false;
	return true;
}

/* ---- rows ---- */

/* Memory for a line's document: the same for all lines of usual length. NULL: the C library's, for a long one. */
static int choose_memory(struct json *json, size_t len, yyjson_alc *pool, const yyjson_alc **out)
{
	size_t need;

	*out = NULL;
	if (len > POOL_LINE_MAX)
		return 0;
	need = yyjson_read_max_memory_usage(len, YYJSON_READ_NUMBER_AS_RAW);
	if (need > json->pool_size) {
		char *grown = realloc(json->pool, need * 2);

		if (!grown)
			return -ENOMEM;
		json->pool = grown;
		json->pool_size = need * 2;
	}
	if (!yyjson_alc_pool_init(pool, json->pool, json->pool_size))
		return -ENOMEM;
	*out = pool;
	return 0;
}

static int take_line(struct json *json, struct slice line, struct why *why)
{
	const yyjson_alc *memory;
	yyjson_read_err err;
	yyjson_alc pool;
	yyjson_doc *doc;
	int rc = choose_memory(json, line.len, &pool, &memory);

	if (rc < 0)
		return rc;
	buf_reset(&json->row.entity);
	doc = yyjson_read_opts((char *)(uintptr_t)line.data, line.len, YYJSON_READ_NUMBER_AS_RAW, memory, &err);
	if (!doc && err.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION)
		return -ENOMEM;
	if (!doc && !text_is_utf8(line))
		return why_fail(why, EILSEQ, "the row is not valid UTF-8");
	if (!doc)
		return why_fail(why, EINVAL, "no JSON at byte %zu: %s", err.pos, err.msg);
	rc = json_take_object(json, yyjson_doc_get_root(doc), why);
	yyjson_doc_free(doc);
	return rc;
}

static int reject(struct json *json, int rc, const struct why *why)
{
	return source_reject(&json->base, json->line, buf_slice(&json->row.entity), rc, why);
}

static int json_next(struct batch_source *source, struct slice *out_entity, struct row_cells *out, uint64_t *out_line, struct why *why)
{
	struct json *json = json_of(source);
	struct why reason;
	struct slice line;
	int rc;

	while ((rc = read_line(json, &line, why)) != 0) {
		if (rc < 0 && rc != -E2BIG)
			return rc;
		json->line++;
		if (rc == -E2BIG) {
			buf_reset(&json->row.entity);
			rc = why_fail(&reason, EFBIG, "the line is longer than %d bytes", BATCH_ROW_MAX);
			rc = reject(json, rc, &reason);
			if (rc < 0)
				return rc;
			continue;
		}
		if (json->line == 1 && line.len >= 3 && !memcmp(line.data, "\xef\xbb\xbf", 3))
			line = slice_of((const char *)line.data + 3, line.len - 3);
		if (is_blank(line))
			continue;
		if (json->is_first && ((const char *)line.data)[strspn(line.data, " \t\r")] == '[')
			return why_fail(why, EINVAL, "the file is one JSON array; JSON Lines has an object a line");
		json->is_first = false;
		rc = take_line(json, line, &reason);
		if (rc == -ENOMEM)
			return rc;
		if (rc < 0) {
			rc = reject(json, rc, &reason);
			if (rc < 0)
				return rc;
			continue;
		}
		*out_entity = buf_slice(&json->row.entity);
		*out = json->row.done;
		*out_line = json->line;
		return 0;
	}
	return -ENOENT;
}

/* ---- the source ---- */

struct batch_source *source_json_new(void)
{
	struct json *json = calloc(1, sizeof *json);

	return json ? &json->base : NULL;
}

static int json_ignored(const struct batch_source *source, struct buf *out)
{
	buf_append_slice(out, buf_slice(&((const struct json *)source)->ignored));
	return buf_error(out);
}

static void json_close(struct batch_source *source)
{
	struct json *json = json_of(source);

	for (size_t i = 0; i < json->n_guesses; i++)
		free(json->guesses[i].key);
	free(json->guesses);
	free(json->pool);
	buf_release(&json->ignored);
	window_release(&json->win);
	row_release(&json->row);
	free(json);
}

static const struct source_ops json_ops = { "JSON Lines", json_next, NULL, json_ignored, json_close };

int source_json_open(struct batch_source *source, struct why *why)
{
	struct json *json = json_of(source);
	const struct batch_mapping *mapping = source->options.mapping;
	unsigned *targets = calloc(mapping->n_targets + 1, sizeof *targets);
	int rc;

	(void)why;
	source->ops = &json_ops;
	json->win.input = source->input;
	json->is_first = true;
	if (!targets)
		return -ENOMEM;
	for (unsigned i = 0; i < mapping->n_targets; i++)
		targets[i] = i;
	rc = row_init(&json->row, mapping, targets, mapping->n_targets);
	free(targets);
	return rc;
}
