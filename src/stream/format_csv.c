/* SPDX-License-Identifier: MIT */
/*
 * CSV messages: one line each, RFC 4180 quoting, one trailing line end allowed. Columns have the names that `columns` lists, or
 * numbers, $1 being the first. An unquoted field that equals `null` (the empty one, if nothing is said) is a null; a quoted one is always a
 * text. A line with another number of fields than `columns` is refused: it was written for another list, and every value in it may
 * be somebody else's.
 */
#include <errno.h>
#include <stdlib.h>
#include "base/num.h"
#include "store/store.h"
#include "stream/mapping.h"

enum { COLUMNS_MAX = 65536 };

struct field {
	size_t at, len;			/* in the line, or in `unquoted` */
	bool is_quoted, is_copied;
};

struct csv_state {
	const struct csv_rules *rules;
	unsigned *column_of;		/* by leaf, from 0 */
	unsigned n_wanted;		/* columns up to the last that is wanted */
	struct field *fields;		/* of those */
	struct slice line;
	struct buf unquoted;		/* the text of fields that have quotes in their quotes */
};

/* ---- columns ---- */

static int find_column(const struct csv_rules *rules, struct slice name, unsigned *out, struct why *why)
{
	const char *p = name.data;
	uint64_t number;

	for (unsigned i = 0; i < rules->n_columns; i++)
		if (slice_equal(name, slice_str(rules->columns[i]))) {
			*out = i;
			return 0;
		}
	if (name.len > 1 && p[0] == '$' && p[1] != '+' && num_parse_u64(slice_of(p + 1, name.len - 1), &number) == 0 && number &&
	    number <= COLUMNS_MAX) {
		if (rules->columns && number > rules->n_columns)
			return why_fail(why, EINVAL, "there is no column %.*s: \"columns\" lists %u", (int)name.len, p, rules->n_columns);
		*out = (unsigned)number - 1;
		return 0;
	}
	return why_fail(why, EINVAL, "\"%.*s\" is no column: it is one of those that \"columns\" lists, or a number: $1 is the first",
			(int)(name.len < 128 ? name.len : 128), p);
}

static int csv_prepare(struct stream_mapping *map, struct document *doc, struct why *why)
{
	const struct path_tree *tree = &doc->tree;
	struct csv_state *state = calloc(1, sizeof *state);
	int rc = 0;

	if (!state)
		return -ENOMEM;
	doc->state = state;
	state->rules = &map->csv;
	state->column_of = calloc(tree->n_leaves + 1, sizeof *state->column_of);
	if (!state->column_of)
		return -ENOMEM;
	for (unsigned i = 1; rc == 0 && i < tree->n_nodes; i++) {
		unsigned *column = &state->column_of[tree->nodes[i].leaf];

		rc = find_column(state->rules, tree->nodes[i].name, column, why);
		if (rc == 0 && *column >= state->n_wanted)
			state->n_wanted = *column + 1;
	}
	if (rc == 0)
		state->fields = calloc(state->n_wanted + 1, sizeof *state->fields);
	return rc < 0 ? rc : state->fields ? 0 : -ENOMEM;
}

static void csv_release(struct document *doc)
{
	struct csv_state *state = doc->state;

	if (!state)
		return;
	buf_release(&state->unquoted);
	free(state->column_of);
	free(state->fields);
	free(state);
}

static void csv_done(struct document *doc)
{
	(void)doc;
}

/* ---- a line ---- */

/* Takes a quoted field, from behind its first quote. Returns the place behind its last; 0 if there is none. */
static size_t take_quoted(struct csv_state *state, size_t at, struct field *out)
{
	const char *p = state->line.data;
	size_t len = state->line.len, start = at;

	*out = (struct field){ .at = at, .is_quoted = true };
	for (;;) {
		const char *quote = at < len ? memchr(p + at, '"', len - at) : NULL;
		size_t end;

		if (!quote)
			return 0;
		end = (size_t)(quote - p);
		if (out->is_copied)
			buf_append(&state->unquoted, p + start, end - start);
		if (end + 1 == len || p[end + 1] != '"') {
			out->len = out->is_copied ? state->unquoted.len - out->at : end - out->at;
			return end + 1;
		}
		if (!out->is_copied) {
			size_t first = state->unquoted.len;

			buf_append(&state->unquoted, p + start, end - start);
			out->at = first;
			out->is_copied = true;
		}
		buf_append_char(&state->unquoted, '"');
		at = start = end + 2;
	}
}

/* The end of an unquoted field. */
static size_t find_end(const struct csv_state *state, size_t at)
{
	const char *p = state->line.data;

	while (at < state->line.len && p[at] != state->rules->delimiter && p[at] != '\n')
		at++;
	return at;
}

static int split(struct csv_state *state, unsigned *out_count, struct why *why)
{
	const char *p = state->line.data;
	size_t at = 0;
	unsigned count = 0;

	for (;; at++) {
		struct field field = { .at = at };

		if (at < state->line.len && p[at] == '"') {
			at = take_quoted(state, at + 1, &field);
			if (!at)
				return why_fail(why, EINVAL, "a quote is not closed, in field %u", count + 1);
		} else {
			at = find_end(state, at);
			field.len = at - field.at;
		}
		if (count < state->n_wanted)
			state->fields[count] = field;
		count++;
		if (at == state->line.len)
			break;
		if (p[at] == '\n')
			return why_fail(why, EINVAL, "there is more than one line");
		if (p[at] != state->rules->delimiter)
			return why_fail(why, EINVAL, "field %u goes on behind its closing quote", count);
	}
	*out_count = count;
	return buf_error(&state->unquoted);
}

static struct slice strip_line_end(struct slice line)
{
	const char *p = line.data;

	if (line.len && p[line.len - 1] == '\n')
		line.len--;
	if (line.len && p[line.len - 1] == '\r')
		line.len--;
	return line;
}

static int csv_read(struct stream_mapping *map, struct document *doc, struct slice bytes, struct why *why)
{
	struct csv_state *state = doc->state;
	unsigned count = 0, wanted = map->csv.columns ? map->csv.n_columns : state->n_wanted;
	int rc;

	state->line = strip_line_end(bytes);
	buf_reset(&state->unquoted);
	rc = split(state, &count, why);
	if (rc < 0)
		return rc;
	if (count < wanted || (map->csv.columns && count > wanted))
		return why_fail(why, EINVAL, "the line has %u fields where %u belong", count, wanted);
	return 0;
}

/* ---- leaves ---- */

static const struct field *find(const struct document *doc, unsigned leaf, struct slice *out_text)
{
	const struct csv_state *state = doc->state;
	const struct field *field = &state->fields[state->column_of[leaf]];
	const char *data = field->is_copied ? state->unquoted.data : state->line.data;

	*out_text = slice_of(field->len ? data + field->at : "", field->len);
	return field;
}

static bool is_null(const struct document *doc, unsigned leaf, struct slice *out_text)
{
	const struct csv_state *state = doc->state;
	const struct field *field = find(doc, leaf, out_text);

	return !field->is_quoted && slice_equal(*out_text, slice_str(state->rules->null));
}

static int csv_part(const struct document *doc, unsigned leaf, struct buf *out, struct why *why)
{
	struct slice text;

	if (is_null(doc, leaf, &text))
		return why_fail(why, EINVAL, "it is null");
	buf_append_slice(out, text);
	return buf_error(out);
}

static int csv_time(const struct document *doc, unsigned leaf, enum moment_unit unit, int64_t *out_ns, struct why *why)
{
	struct slice text;

	return is_null(doc, leaf, &text) ? why_fail(why, EINVAL, "it is null") : moment_parse(text, unit, out_ns, why);
}

static bool csv_matches(const struct document *doc, unsigned leaf, struct slice value)
{
	struct slice text;

	find(doc, leaf, &text);
	return slice_equal(text, value);
}

static int csv_value(const struct document *doc, unsigned leaf, const struct catalog_feature *feature, struct buf *out,
		     uint8_t *out_state, struct why *why)
{
	struct slice text;

	*out_state = is_null(doc, leaf, &text) ? RECORD_NULL : RECORD_PRESENT;
	return *out_state == RECORD_NULL ? 0 : type_text_parse(&feature->type, feature->nan, text, out, why);
}

const struct format format_csv = {
	.name = "csv", .prepare = csv_prepare, .read = csv_read, .done = csv_done, .text = csv_part, .time = csv_time,
	.matches = csv_matches, .value = csv_value, .release = csv_release,
};
