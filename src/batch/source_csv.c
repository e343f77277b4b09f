/* SPDX-License-Identifier: MIT */
/*
 * CSV by RFC 4180: a header, fields with a delimiter between them, fields in double quotes that may hold delimiters, line ends and
 * doubled quotes. A byte order mark and CRLF are taken as they come. What is between quotes is never null; an unquoted field that is the
 * null marker (nothing, unless the group says otherwise) is. A quote inside of an unquoted field is a character like another.
 *
 * A row is first cut into fields, sixteen bytes at a time, and then only the columns that somebody takes are looked at. A row that is not
 * all there is cut again once more has been read, which happens once a window. One that outgrows BATCH_ROW_MAX is
 * passed over without being kept.
 */
#include "batch/source_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif
#include "base/clock.h"

enum { COLUMNS_MAX = 65536 };

struct field {
	char *at;
	uint32_t len;		/* a window is not that large */
	bool is_quoted;
	bool is_escaped;	/* holds doubled quotes */
};

/* Where the bytes at hand end, if not with the row. */
enum place { IN_TEXT, IN_QUOTES, AFTER_QUOTE };

struct csv {
	struct batch_source base;
	struct window win;
	char delimiter;
	struct slice null;
	struct mapping_columns columns;
	struct row row;
	struct field *fields;
	size_t n_columns;	/* of the header; 0: there is none, the file is empty */
	uint64_t line;		/* where the next row begins */
	/* of the row in hand */
	size_t n_fields;
	uint64_t newlines;	/* inside of its quotes */
	const char *fault;
	enum place place;
	/* times repeat from row to row */
	char time_text[CLOCK_TEXT_MAX];
	size_t time_len;
	int64_t time_ns;
};

static struct csv *csv_of(struct batch_source *source)
{
	return (struct csv *)source;
}

/* ---- cutting ---- */

/* The first delimiter or newline from `p` on; there is one. May look at bytes of the slack behind it. */
#ifdef __SSE2__
struct ends {
	__m128i delimiters, newlines;
};

static inline struct ends ends_of(char delimiter)
{
	return (struct ends){ _mm_set1_epi8(delimiter), _mm_set1_epi8('\n') };
}

static inline char *find_end(char *p, struct ends ends)
{
	for (;; p += 16) {
		__m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
		unsigned hits = (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_cmpeq_epi8(bytes, ends.delimiters),
									 _mm_cmpeq_epi8(bytes, ends.newlines)));

		if (hits)
			return p + __builtin_ctz(hits);
	}
}
#else
struct ends {
	char delimiter;
};

static inline struct ends ends_of(char delimiter)
{
	return (struct ends){ delimiter };
}

static inline char *find_end(char *p, struct ends ends)
{
	while (*p != ends.delimiter && *p != '\n')
		p++;
	return p;
}
#endif

static uint64_t count_newlines(const char *p, const char *end)
{
	uint64_t n = 0;

	while (p < end && (p = memchr(p, '\n', (size_t)(end - p)))) {
		n++;
		p++;
	}
	return n;
}

/* The closing quote of the field whose content begins at `p`; NULL if it is not there yet. */
static char *find_close(struct csv *csv, char *p, struct field *field)
{
	char *end = csv->win.end, *q = p;

	field->is_escaped = false;
	for (;;) {
		q = memchr(q, '"', (size_t)(end - q));
		csv->place = q ? AFTER_QUOTE : IN_QUOTES;
		if (!q || (q + 1 == end && !csv->win.at_end))
			return NULL;
		if (q + 1 == end || q[1] != '"')
			return q;
		field->is_escaped = true;
		q += 2;
	}
}

/* A field in quotes at `p`. Returns where it ends, NULL if that is not there. */
static char *cut_quoted(struct csv *csv, char *p, struct field *field)
{
	char *q = find_close(csv, p + 1, field);

	if (!q && csv->win.at_end) {
		csv->fault = "a quote is opened and never closed";
		q = csv->win.end;
		csv->newlines += count_newlines(p, q);
		*field = (struct field){ .at = p + 1, .len = (uint32_t)(q - p - 1), .is_quoted = true };
		return q;
	}
	if (!q)
		return NULL;
	csv->newlines += count_newlines(p, q);
	field->at = p + 1;
	field->len = (uint32_t)(q - p - 1);
	field->is_quoted = true;
	q++;
	if (*q == '\r' && q[1] == '\n')
		q++;
	if (*q != csv->delimiter && *q != '\n') {
		csv->fault = "text stands behind the closing quote of a field";
		q = find_end(q, ends_of(csv->delimiter));
	}
	return q;
}

/* Cuts the row at the window's `at` into fields. Returns what is behind its line end; NULL if the end is not there yet, and then
 * csv->place says where it would go on. */
static char *cut_row(struct csv *csv)
{
	char *p = csv->win.at, *end = csv->win.end, *stop, delimiter = csv->delimiter;
	struct field over, *fields = csv->fields;
	size_t n = 0, n_columns = csv->n_columns;
	struct ends ends = ends_of(delimiter);

	csv->newlines = 0;
	csv->fault = NULL;
	*end = '\n';		/* so that every search ends */
	for (;; p = stop + 1) {
		struct field *field = n < n_columns ? &fields[n] : &over;

		n++;
		if (*p == '"' && p < end) {
			stop = cut_quoted(csv, p, field);
			if (!stop)
				return NULL;
		} else {
			stop = find_end(p, ends);
			*field = (struct field){ .at = p, .len = (uint32_t)(stop - p) };
			if (*stop == '\n' && field->len && stop[-1] == '\r')
				field->len--;
		}
		if (*stop == delimiter && stop < end)
			continue;
		csv->n_fields = n;
		csv->place = IN_TEXT;
		if (stop < end)
			return stop + 1;
		return csv->win.at_end ? end : NULL;
	}
}

/* Passes over the rest of a row that is too long to keep. */
static int skip_row(struct csv *csv, struct why *why)
{
	struct window *win = &csv->win;
	char *p = win->end;
	int rc;

	csv->line += count_newlines(win->at, win->end);
	for (;;) {
		if (p == win->end) {
			window_drop(win, win->end);
			rc = window_fill(win, why);
			if (rc <= 0)
				return rc;
			p = win->at;
		}
		if (csv->place == AFTER_QUOTE) {
			csv->place = *p == '"' ? IN_QUOTES : IN_TEXT;
			p += *p == '"';
		} else {
			char *hit = memchr(p, csv->place == IN_TEXT ? '\n' : '"', (size_t)(win->end - p));

			csv->line += count_newlines(p, hit ? hit + 1 : win->end);
			p = hit ? hit + 1 : win->end;
			if (hit && csv->place == IN_TEXT) {
				window_drop(win, p);
				return 0;
			}
			if (hit)
				csv->place = AFTER_QUOTE;
		}
	}
}

/* 1: a row is cut, and it ends at *out_end; 0: the file is at its end; -E2BIG: a row was too long and has been passed over. */
static int read_row(struct csv *csv, char **out_end, struct why *why)
{
	for (;;) {
		int rc;

		if (csv->win.at < csv->win.end) {
			*out_end = cut_row(csv);
			if (*out_end)
				return 1;
		}
		rc = window_fill(&csv->win, why);
		if (rc == -E2BIG) {
			csv->fault = csv->place == IN_TEXT ? "" : "; is a quote missing?";
			rc = skip_row(csv, why);
			return rc < 0 ? rc : -E2BIG;
		}
		if (rc < 0 || (rc == 0 && csv->win.at == csv->win.end))
			return rc;
	}
}

/* ---- typing ---- */

/* The field's bytes, doubled quotes made single in place. */
static struct slice field_text(struct field *field)
{
	char *to = field->at, *end = field->at + field->len;

	if (field->is_escaped) {
		for (char *p = field->at; p < end; p++) {
			*to++ = *p;
			p += *p == '"';
		}
		field->len = (uint32_t)(to - field->at);
		field->is_escaped = false;
	}
	return slice_of(field->at, field->len);
}

static bool is_null(const struct csv *csv, const struct field *field)
{
	return !field->is_quoted && field->len == csv->null.len &&
		(!field->len || !memcmp(field->at, csv->null.data, field->len));
}

static int take_entity(struct csv *csv, struct why *why)
{
	struct slice parts[CATALOG_KEYS_MAX];
	const struct mapping_columns *columns = &csv->columns;

	for (unsigned i = 0; i < columns->n_parts; i++) {
		struct field *field = &csv->fields[columns->parts[i]];

		parts[i] = is_null(csv, field) ? slice_of(NULL, 0) : field_text(field);
	}
	return mapping_entity(csv->base.options.mapping, parts, columns->n_parts, columns->is_written, &csv->row.entity, why);
}

static int take_time(struct csv *csv, int64_t *out_ns, struct why *why)
{
	struct field *field = csv->columns.event < 0 ? NULL : &csv->fields[csv->columns.event];
	struct slice text;
	int rc;

	*out_ns = csv->base.options.default_event_ns;
	if (!field || is_null(csv, field))
		return 0;
	text = field_text(field);
	if (text.len == csv->time_len && !memcmp(text.data, csv->time_text, text.len)) {
		*out_ns = csv->time_ns;
		return 0;
	}
	rc = clock_parse_time(text, out_ns);
	if (rc < 0)
		return why_fail(why, -rc, "event time: \"%.*s\" %s", text.len < 48 ? (int)text.len : 48, (const char *)text.data,
				rc == -ERANGE ? "is out of range (a bare number is seconds since 1970)" :
				"is not a time: 2026-11-23T04:00:00Z, or seconds since 1970");
	memcpy(csv->time_text, text.data, text.len);
	csv->time_len = text.len;
	csv->time_ns = *out_ns;
	return 0;
}

static int take_values(struct csv *csv, struct why *why)
{
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < csv->columns.n_features; i++) {
		struct field *field = &csv->fields[csv->columns.features[i].column];

		if (is_null(csv, field))
			row_state(&csv->row, i, RECORD_NULL);
		else
			rc = row_text(&csv->row, i, field_text(field), why);
	}
	return rc;
}

static int take_row(struct csv *csv, uint64_t line, struct why *why)
{
	int64_t event_ns;
	int rc;

	buf_reset(&csv->row.entity);
	if (csv->fault)
		return why_fail(why, EINVAL, "%s", csv->fault);
	if (csv->n_fields != csv->n_columns)
		return why_fail(why, EINVAL, "the row has %zu column%s, the header %zu", csv->n_fields,
				csv->n_fields == 1 ? "" : "s", csv->n_columns);
	rc = take_entity(csv, why);
	if (rc == 0)
		rc = take_time(csv, &event_ns, why);
	if (rc < 0)
		return rc;
	row_begin(&csv->row);
	rc = take_values(csv, why);
	return rc < 0 ? rc : row_finish(&csv->row, RECORD_EXISTS, event_ns, line, why);
}

static int reject_long(struct csv *csv, uint64_t line)
{
	struct why why;

	why_fail(&why, EFBIG, "the row is longer than %d bytes%s", BATCH_ROW_MAX, csv->fault);
	return source_reject(&csv->base, line, slice_of(NULL, 0), -EFBIG, &why);
}

static int csv_next(struct batch_source *source, struct slice *out_entity, struct row_cells *out, uint64_t *out_line, struct why *why)
{
	struct csv *csv = csv_of(source);

	while (csv->n_columns) {
		uint64_t line = csv->line;
		struct why reason;
		char *end;
		int rc = read_row(csv, &end, why);

		if (rc == -E2BIG) {
			rc = reject_long(csv, line);
			if (rc < 0)
				return rc;
			continue;
		}
		if (rc <= 0)
			return rc < 0 ? rc : -ENOENT;
		csv->line += csv->newlines + 1;
		window_drop(&csv->win, end);
		if (csv->n_fields == 1 && !csv->fields[0].len && !csv->fields[0].is_quoted)
			continue;	/* an empty line */
		rc = take_row(csv, line, &reason);
		if (rc == -ENOMEM)
			return rc;
		if (rc < 0) {
			rc = source_reject(source, line, buf_slice(&csv->row.entity), rc, &reason);
			if (rc < 0)
				return rc;
			continue;
		}
		*out_entity = buf_slice(&csv->row.entity);
		*out = csv->row.done;
		*out_line = line;
		return 0;
	}
	return -ENOENT;
}

/* ---- the header ---- */

/* Is one of the names in the header, cut by that delimiter, a column that the group takes? */
static bool is_known_if_cut(const struct csv *csv, struct slice header, char delimiter)
{
	const char *p = header.data, *end = p + header.len;

	while (p < end) {
		const char *next = memchr(p, delimiter, (size_t)(end - p));

		if (mapping_find(csv->base.options.mapping, slice_of(p, (size_t)((next ? next : end) - p))))
			return true;
		p = next ? next + 1 : end;
	}
	return false;
}

/* A header that is one column, and would be several with another delimiter. */
static int refuse_lone_column(const struct csv *csv, struct slice header, struct why *why)
{
	static const struct {
		char c;
		const char *name;
	} others[] = { { ';', "semicolon" }, { '\t', "tab" }, { '|', "pipe" }, { ',', "comma" } };

	for (unsigned i = 0; i < sizeof others / sizeof *others; i++)
		if (memchr(header.data, others[i].c, header.len) && is_known_if_cut(csv, header, others[i].c))
			return why_fail(why, EINVAL, "the header is one column, \"%.*s\"; write delimiter = %s into [batch] in .schema",
					(int)(header.len < 100 ? header.len : 100), (const char *)header.data, others[i].name);
	return -EINVAL;
}

static int bind_columns(struct csv *csv, struct why *why)
{
	const struct batch_mapping *mapping = csv->base.options.mapping;
	struct slice *names = calloc(csv->n_columns, sizeof *names);
	unsigned *targets = NULL;
	int rc = names ? 0 : -ENOMEM;

	for (size_t i = 0; rc == 0 && i < csv->n_columns; i++)
		names[i] = field_text(&csv->fields[i]);
	if (rc == 0)
		rc = mapping_bind(mapping, names, csv->n_columns, &csv->columns, why);
	if (rc == -EINVAL && csv->n_columns == 1)
		rc = refuse_lone_column(csv, names[0], why);
	if (rc == 0) {
		targets = calloc(csv->columns.n_features, sizeof *targets);
		rc = targets ? 0 : -ENOMEM;
	}
	for (unsigned i = 0; rc == 0 && i < csv->columns.n_features; i++)
		source_met(&csv->base, targets[i] = csv->columns.features[i].target);
	if (rc == 0)
		rc = row_init(&csv->row, mapping, targets, csv->columns.n_features);
	free(targets);
	free(names);
	return rc;
}

/* The header is cut twice: the first time tells how many columns there are. */
static int read_header(struct csv *csv, struct why *why)
{
	char *end;
	int rc;

	rc = window_fill(&csv->win, why);
	if (rc <= 0)
		return rc;
	if (csv->win.end - csv->win.at >= 3 && !memcmp(csv->win.at, "\xef\xbb\xbf", 3))
		window_drop(&csv->win, csv->win.at + 3);
	rc = read_row(csv, &end, why);
	if (rc == 0)
		return 0;
	if (rc == -E2BIG || (rc == 1 && (csv->fault || csv->n_fields > COLUMNS_MAX)))
		return why_fail(why, EINVAL, "the first line is no header of CSV: %s", rc == 1 && csv->fault ? csv->fault : "it is too long");
	if (rc < 0)
		return rc;
	csv->fields = calloc(csv->n_fields, sizeof *csv->fields);
	if (!csv->fields)
		return -ENOMEM;
	csv->n_columns = csv->n_fields;
	end = cut_row(csv);
	csv->line = 2 + csv->newlines;
	window_drop(&csv->win, end);
	return bind_columns(csv, why);
}

/* ---- the source ---- */

struct batch_source *source_csv_new(void)
{
	struct csv *csv = calloc(1, sizeof *csv);

	return csv ? &csv->base : NULL;
}

static int csv_ignored(const struct batch_source *source, struct buf *out)
{
	buf_append_slice(out, buf_slice(&((const struct csv *)source)->columns.ignored));
	return buf_error(out);
}

static void csv_close(struct batch_source *source)
{
	struct csv *csv = csv_of(source);

	window_release(&csv->win);
	mapping_columns_release(&csv->columns);
	row_release(&csv->row);
	free(csv->fields);
	free(csv);
}

static const struct source_ops csv_ops = { "CSV", csv_next, NULL, csv_ignored, csv_close };

int source_csv_open(struct batch_source *source, struct why *why)
{
	struct csv *csv = csv_of(source);
	const struct batch_mapping *mapping = source->options.mapping;

	source->ops = &csv_ops;
	csv->win.input = source->input;
	csv->line = 1;
	csv->null = slice_str(mapping->null);
	csv->delimiter = mapping->delimiter ? mapping->delimiter : source_has_suffix(source->name, ".tsv") ? '\t' : ',';
	return read_header(csv, why);
}
