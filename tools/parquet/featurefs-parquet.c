/* SPDX-License-Identifier: MIT */
/*
 * featurefs-parquet: reads the Parquet file that is its descriptor 3 and writes it to its output as batches of columns; batch/parquet_wire.h
 * says how. The daemon starts one for each file: a large library on foreign bytes has no place in the process that holds the store, and
 * when it dies, one import fails. It opens no file by name but its own, and writes none.
 *
 *	featurefs-parquet MEMORY_BYTES
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "batch/parquet_wire.h"
#include "batch/source.h"
#include "confine.h"
#include "duckdb.h"

#define FILE_PATH "/proc/self/fd/3"
#define FILE_SQL "read_parquet('" FILE_PATH "')"

enum { SHORT_TEXT = 12 };	/* bytes of text that stand in the library's string itself */

struct column {
	enum wire_kind kind;
	bool is_list;
	char *name, *type;
	const char *cast;	/* the type to read it as; NULL: as it is */
};

struct reader {
	struct duckdb duck;
	duckdb_connection con;
	struct column *columns;
	size_t n_columns;
	uint64_t rows;
	uint32_t *wanted;
	size_t n_wanted;
	struct buf out;
};

/* ---- speaking ---- */

static int write_all(const void *data, size_t len)
{
	const char *p = data;

	while (len) {
		ssize_t n = write(STDOUT_FILENO, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -EPIPE;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static void begin_frame(struct buf *out, uint32_t kind)
{
	buf_reset(out);
	buf_append_u32(out, kind);
	buf_append_u32(out, 0);
}

static void put_u32(struct buf *out, size_t at, uint32_t value)
{
	for (unsigned i = 0; !out->failed && i < 4; i++)
		out->data[at + i] = (char)(value >> (8 * i));
}

static int send_frame(struct buf *out)
{
	if (buf_error(out) < 0)
		return -ENOMEM;
	put_u32(out, 4, (uint32_t)(out->len - WIRE_FRAME_HEAD));
	return write_all(out->data, out->len);
}

static int send_failure(struct reader *reader, const struct why *why)
{
	begin_frame(&reader->out, WIRE_FAILED);
	buf_append_str(&reader->out, why->text[0] ? why->text : "out of memory");
	return send_frame(&reader->out);
}

/* ---- types ---- */

static const struct type_row {
	const char *name;	/* a trailing '(' stands for anything behind it */
	enum wire_kind kind;
	const char *cast;
} types[] = {
	{ "BOOLEAN", WIRE_BOOL, NULL }, { "TINYINT", WIRE_INT, "BIGINT" }, { "SMALLINT", WIRE_INT, "BIGINT" },
	{ "INTEGER", WIRE_INT, "BIGINT" }, { "BIGINT", WIRE_INT, NULL }, { "UTINYINT", WIRE_INT, "BIGINT" },
	{ "USMALLINT", WIRE_INT, "BIGINT" }, { "UINTEGER", WIRE_INT, "BIGINT" }, { "UBIGINT", WIRE_DECIMAL, "VARCHAR" },
	{ "HUGEINT", WIRE_DECIMAL, "VARCHAR" }, { "UHUGEINT", WIRE_DECIMAL, "VARCHAR" }, { "DECIMAL(", WIRE_DECIMAL, "VARCHAR" },
	{ "FLOAT", WIRE_FLOAT, NULL }, { "DOUBLE", WIRE_DOUBLE, NULL }, { "VARCHAR", WIRE_TEXT, NULL }, { "ENUM(", WIRE_TEXT, "VARCHAR" },
	{ "UUID", WIRE_TEXT, "VARCHAR" }, { "JSON", WIRE_TEXT, "VARCHAR" }, { "BLOB", WIRE_BYTES, NULL }, { "DATE", WIRE_DATE, NULL },
	{ "TIMESTAMP", WIRE_TIME_US, NULL }, { "TIMESTAMP WITH TIME ZONE", WIRE_TIME_US, NULL },
	{ "TIMESTAMP_S", WIRE_TIME_US, "TIMESTAMP" }, { "TIMESTAMP_MS", WIRE_TIME_US, "TIMESTAMP" },
	{ "TIMESTAMP_NS", WIRE_TIME_NS, NULL },
};

static const struct type_row *find_type(const char *name, size_t len)
{
	for (unsigned i = 0; i < sizeof types / sizeof *types; i++) {
		size_t n = strlen(types[i].name);

		if (types[i].name[n - 1] == '(' ? len > n && !memcmp(types[i].name, name, n) :
		    len == n && !memcmp(types[i].name, name, n))
			return &types[i];
	}
	return NULL;
}

/* "T[]" and "T[3]" of a T that is not itself nested; anything else that is nested becomes JSON. */
static void judge_type(struct column *column)
{
	size_t len = strlen(column->type);
	const struct type_row *row;

	if (len && column->type[len - 1] == ']') {
		while (len && column->type[--len] != '[')
			;
		column->is_list = true;
	}
	row = len && column->type[len - 1] != ']' ? find_type(column->type, len) : NULL;
	if (row) {
		column->kind = row->kind;
		column->cast = row->cast;
		return;
	}
	column->is_list = false;
	if (strchr(column->type, '[') || !strncmp(column->type, "STRUCT(", 7) || !strncmp(column->type, "MAP(", 4))
		column->kind = WIRE_JSON;
}

/* ---- asking ---- */

static void cut_out(char *line, const char *what)
{
	size_t len = strlen(what);
	char *at = strstr(line, what);

	if (at)
		memmove(at, at + len, strlen(at + len) + 1);
}

/* The library's first line, without the name that only we have for the file. */
static int fail_duck(struct why *why, const char *text)
{
	char line[240];

	snprintf(line, sizeof line, "%.*s", (int)strcspn(text ? text : "", "\n"), text ? text : "");
	cut_out(line, " '" FILE_PATH "'");
	cut_out(line, " \"" FILE_PATH "\"");
	return why_fail(why, EINVAL, "the Parquet file can't be read: %s", line[0] ? line : "no reason given");
}

static const char *string_data(const struct duckdb_string *s)
{
	return s->len <= SHORT_TEXT ? (const char *)s + offsetof(struct duckdb_string, start) : s->data;
}

static int run(struct reader *reader, const char *sql, struct why *why)
{
	struct duckdb_result result = { 0 };
	int rc = 0;

	if (reader->duck.query(reader->con, sql, &result) != DUCKDB_OK)
		rc = fail_duck(why, reader->duck.result_error(&result));
	reader->duck.destroy_result(&result);
	return rc;
}

static int open_duck(struct reader *reader, uint64_t memory, struct why *why)
{
	const struct duckdb *duck = &reader->duck;
	char bytes[48];
	const char *const settings[][2] = {
		{ "threads", "1" }, { "memory_limit", bytes }, { "temp_directory", "" }, { "autoinstall_known_extensions", "false" },
		{ "autoload_known_extensions", "false" }, { "allow_community_extensions", "false" }, { "preserve_insertion_order", "true" },
	};
	duckdb_database db;
	duckdb_config config;
	char *error = NULL;

	snprintf(bytes, sizeof bytes, "%lluB", (unsigned long long)memory);
	if (duck->create_config(&config) != DUCKDB_OK)
		return -ENOMEM;
	for (unsigned i = 0; i < sizeof settings / sizeof *settings; i++)
		if (duck->set_config(config, settings[i][0], settings[i][1]) != DUCKDB_OK)
			return why_fail(why, ENOSYS, "libduckdb does not know the setting %s", settings[i][0]);
	if (duck->open_ext(NULL, &db, config, &error) != DUCKDB_OK || duck->connect(db, &reader->con) != DUCKDB_OK)
		return fail_duck(why, error);
	duck->destroy_config(&config);
	return run(reader, "SET allowed_paths = ['" FILE_PATH "']; SET enable_external_access = false; SET lock_configuration = true", why);
}

/* Calls `take` with each chunk of the answer. */
static int ask(struct reader *reader, const char *sql, int (*take)(struct reader *, duckdb_chunk, idx_t, struct why *), struct why *why)
{
	const struct duckdb *duck = &reader->duck;
	struct duckdb_result result = { 0 };
	duckdb_statement stmt;
	duckdb_pending pending;
	duckdb_chunk chunk;
	const char *error;
	int rc = 0;

	if (duck->prepare(reader->con, sql, &stmt) != DUCKDB_OK)
		return fail_duck(why, duck->prepare_error(stmt));
	if (duck->pending_prepared_streaming(stmt, &pending) != DUCKDB_OK)
		return fail_duck(why, duck->pending_error(pending));
	if (duck->execute_pending(pending, &result) != DUCKDB_OK)
		return fail_duck(why, duck->result_error(&result));
	while (rc == 0 && (chunk = duck->fetch_chunk(result))) {
		idx_t n = duck->data_chunk_get_size(chunk);

		if (n)
			rc = take(reader, chunk, n, why);
		duck->destroy_data_chunk(&chunk);
		if (!n)
			break;
	}
	/* A stream that fails ends like one that is over, but for this. */
	error = rc == 0 ? duck->result_error(&result) : NULL;
	if (error && *error)
		rc = fail_duck(why, error);
	duck->destroy_result(&result);
	return rc;		/* the rest goes with the process */
}

static int take_columns(struct reader *reader, duckdb_chunk chunk, idx_t n, struct why *why)
{
	const struct duckdb *duck = &reader->duck;
	const struct duckdb_string *names = duck->vector_get_data(duck->data_chunk_get_vector(chunk, 0));
	const struct duckdb_string *type_names = duck->vector_get_data(duck->data_chunk_get_vector(chunk, 1));
	struct column *grown;

	if (reader->n_columns + n > WIRE_COLUMNS_MAX)
		return why_fail(why, EINVAL, "the file has more than %d columns", WIRE_COLUMNS_MAX);
	grown = realloc(reader->columns, (reader->n_columns + n) * sizeof *grown);
	if (!grown)
		return -ENOMEM;
	reader->columns = grown;
	for (idx_t i = 0; i < n; i++) {
		struct column *column = &reader->columns[reader->n_columns];

		*column = (struct column){ .name = strndup(string_data(&names[i]), names[i].len),
					   .type = strndup(string_data(&type_names[i]), type_names[i].len) };
		if (!column->name || !column->type)
			return -ENOMEM;
		judge_type(column);
		reader->n_columns++;
	}
	return 0;
}

static int take_row_count(struct reader *reader, duckdb_chunk chunk, idx_t n, struct why *why)
{
	const struct duckdb *duck = &reader->duck;
	const int64_t *rows = duck->vector_get_data(duck->data_chunk_get_vector(chunk, 0));

	(void)n;
	(void)why;
	reader->rows = rows[0] > 0 ? (uint64_t)rows[0] : 0;
	return 0;
}

static void put_text(struct buf *out, const char *text)
{
	size_t len = strlen(text);

	len = len < UINT16_MAX ? len : UINT16_MAX;
	buf_append_u16(out, (uint16_t)len);
	buf_append(out, text, len);
}

static int send_header(struct reader *reader)
{
	struct buf *out = &reader->out;

	begin_frame(out, WIRE_HEADER);
	buf_append_u64(out, reader->rows);
	buf_append_u32(out, (uint32_t)reader->n_columns);
	for (size_t i = 0; i < reader->n_columns; i++) {
		struct column *column = &reader->columns[i];

		if (strlen(column->type) > 200)
			column->type[200] = '\0';	/* it is for people to read */
		buf_append_u8(out, (uint8_t)column->kind);
		buf_append_u8(out, column->is_list);
		put_text(out, column->name);
		put_text(out, column->type);
	}
	return send_frame(out);
}

static int read_exact(void *to, size_t len)
{
	char *p = to;

	while (len) {
		ssize_t n = read(STDIN_FILENO, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -EPIPE;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int read_wanted(struct reader *reader)
{
	uint32_t head[3];
	int rc = read_exact(head, sizeof head);

	if (rc < 0 || head[0] != WIRE_WANTED || head[1] != 4 + 4 * head[2] || head[2] > reader->n_columns)
		return -EPIPE;
	reader->n_wanted = head[2];
	reader->wanted = calloc(reader->n_wanted + 1, sizeof *reader->wanted);
	if (!reader->wanted)
		return -ENOMEM;
	rc = read_exact(reader->wanted, reader->n_wanted * sizeof *reader->wanted);
	for (size_t i = 0; rc == 0 && i < reader->n_wanted; i++)
		if (reader->wanted[i] >= reader->n_columns || reader->columns[reader->wanted[i]].kind == WIRE_OTHER)
			rc = -EPIPE;
	return rc;
}

/* SELECT CAST("a" AS BIGINT), "b", ... */
static void build_select(const struct reader *reader, struct buf *sql)
{
	buf_append_str(sql, "SELECT ");
	for (size_t i = 0; i < reader->n_wanted; i++) {
		const struct column *column = &reader->columns[reader->wanted[i]];
		bool is_array = column->is_list && strcmp(column->type + strlen(column->type) - 2, "[]");
		const char *cast = column->cast;

		/* Arrays of a fixed length are laid out in another way than lists. */
		if (!cast && is_array)
			cast = find_type(column->type, strcspn(column->type, "["))->name;
		if (i)
			buf_append_str(sql, ", ");
		buf_append_str(sql, column->kind == WIRE_JSON ? "CAST(to_json(" : cast ? "CAST(" : "");
		buf_append_char(sql, '"');
		for (const char *p = column->name; *p; p++) {
			buf_append_char(sql, *p);
			if (*p == '"')
				buf_append_char(sql, '"');
		}
		buf_append_char(sql, '"');
		if (column->kind == WIRE_JSON)
			buf_append_str(sql, ") AS VARCHAR)");
		else if (cast)
			buf_printf(sql, " AS %s%s)", cast, column->is_list ? "[]" : "");
	}
	buf_append_str(sql, " FROM " FILE_SQL);
	buf_append_char(sql, '\0');
}

/* ---- batches ---- */

/* One column of a chunk, as the library lays it out. */
struct view {
	enum wire_kind kind;
	bool is_list;
	const void *data;
	const uint64_t *validity;	/* NULL: all are there */
	const void *child;
	const uint64_t *child_validity;
	uint64_t child_len;
};

static bool is_there(const uint64_t *validity, uint64_t i)
{
	return !validity || (validity[i / 64] >> (i % 64) & 1);
}

/* Bytes of one element as it stands in memory there. */
static size_t stride(enum wire_kind kind)
{
	unsigned size = wire_size(kind);

	return kind == WIRE_DATE ? 4 : size ? size : sizeof(struct duckdb_string);
}

static size_t element_bytes(enum wire_kind kind, const void *data, uint64_t i)
{
	unsigned size = wire_size(kind);

	return size ? size : 5 + (size_t)((const struct duckdb_string *)data)[i].len;
}

/* What row i of the column adds to a frame. */
static uint64_t value_bytes(const struct view *view, uint64_t i)
{
	const struct duckdb_list *list;
	uint64_t bytes = 9;

	if (!is_there(view->validity, i))
		return bytes;
	if (!view->is_list)
		return element_bytes(view->kind, view->data, i) + 1;
	list = (const struct duckdb_list *)view->data + i;
	if (wire_size(view->kind))
		return bytes + list->len * (wire_size(view->kind) + 1u);
	for (uint64_t k = 0; k < list->len && bytes <= BATCH_ROW_MAX; k++)
		bytes += is_there(view->child_validity, list->offset + k) ? element_bytes(view->kind, view->child, list->offset + k) : 5;
	return bytes;
}

/* Values [from, from + n) of a column. */
struct span {
	uint64_t from, n;
	const bool *skip;	/* rows that were too large, by place in the span; NULL: none */
};

static void put_validity(struct buf *out, const uint64_t *validity, const struct span *span)
{
	bool has_nulls = span->skip;
	char *place;

	for (uint64_t i = 0; validity && !has_nulls && i < span->n; i++)
		has_nulls = !is_there(validity, span->from + i);
	buf_append_u8(out, has_nulls);
	if (!has_nulls)
		return;
	place = buf_reserve(out, span->n);
	for (uint64_t i = 0; place && i < span->n; i++)
		place[i] = is_there(validity, span->from + i) && !(span->skip && span->skip[i]);
	out->len += place ? span->n : 0;
}

static void put_dates(struct buf *out, const int32_t *days, const struct span *span)
{
	for (uint64_t i = 0; i < span->n; i++)
		buf_append_u64(out, (uint64_t)(int64_t)days[span->from + i]);
}

static bool is_sent(const uint64_t *validity, const struct span *span, uint64_t i)
{
	return is_there(validity, span->from + i) && !(span->skip && span->skip[i]);
}

static void put_strings(struct buf *out, const struct duckdb_string *strings, const uint64_t *validity, const struct span *span)
{
	char *place = buf_reserve(out, span->n * 4);
	uint64_t bytes = 0;

	for (uint64_t i = 0; place && i < span->n; i++) {
		uint32_t len = is_sent(validity, span, i) ? strings[span->from + i].len : 0;

		memcpy(place + 4 * i, &len, sizeof len);
		bytes += len;
	}
	out->len += place ? span->n * 4 : 0;
	place = buf_reserve(out, bytes + SHORT_TEXT);
	out->len += place ? bytes : 0;
	for (uint64_t i = 0; place && i < span->n; i++) {
		const struct duckdb_string *s = &strings[span->from + i];

		if (!is_sent(validity, span, i))
			continue;
		/* What is short is copied with what stands behind it, which costs no look at its length; there is room for that. */
		if (s->len <= SHORT_TEXT)
			memcpy(place, string_data(s), SHORT_TEXT);
		else
			memcpy(place, s->data, s->len);
		place += s->len;
	}
}

static void put_scalars(struct buf *out, enum wire_kind kind, const void *data, const uint64_t *validity, const struct span *span)
{
	put_validity(out, validity, span);
	if (kind == WIRE_DATE)
		put_dates(out, data, span);
	else if (wire_size(kind))
		buf_append(out, (const char *)data + span->from * stride(kind), span->n * wire_size(kind));
	else
		put_strings(out, data, validity, span);
}

/* The stretches of elements that the rows' lists are, neighbours made one: lists need not stand one behind another. */
static int collect_spans(const struct view *view, const struct span *rows, struct buf *out_spans)
{
	const struct duckdb_list *lists = view->data;
	struct span *last = NULL;

	for (uint64_t i = 0; i < rows->n; i++) {
		const struct duckdb_list *list = &lists[rows->from + i];
		struct span span = { list->offset, list->len, NULL };

		if (!is_there(view->validity, rows->from + i) || (rows->skip && rows->skip[i]) || !list->len)
			continue;
		if (span.from > view->child_len || span.n > view->child_len - span.from)
			return -EBADMSG;
		if (last && last->from + last->n == span.from) {
			last->n += span.n;
			continue;
		}
		buf_append(out_spans, &span, sizeof span);
		if (buf_error(out_spans) < 0)
			return -ENOMEM;
		last = (struct span *)(void *)(out_spans->data + out_spans->len - sizeof span);
	}
	return 0;
}

static bool has_null_element(const struct view *view, const struct span *spans, size_t n)
{
	for (size_t i = 0; view->child_validity && i < n; i++)
		for (uint64_t k = 0; k < spans[i].n; k++)
			if (!is_there(view->child_validity, spans[i].from + k))
				return true;
	return false;
}

/* Lengths and bytes of texts, or values of fixed size. */
static void put_element_values(struct buf *out, const struct view *view, const struct span *spans, size_t n)
{
	const struct duckdb_string *strings = view->child;
	unsigned size = wire_size(view->kind);

	for (size_t i = 0; size && i < n; i++) {
		if (view->kind == WIRE_DATE)
			put_dates(out, view->child, &spans[i]);
		else
			buf_append(out, (const char *)view->child + spans[i].from * size, spans[i].n * size);
	}
	for (size_t i = 0; !size && i < n; i++)
		for (uint64_t k = spans[i].from; k < spans[i].from + spans[i].n; k++)
			buf_append_u32(out, is_there(view->child_validity, k) ? strings[k].len : 0);
	for (size_t i = 0; !size && i < n; i++)
		for (uint64_t k = spans[i].from; k < spans[i].from + spans[i].n; k++)
			if (is_there(view->child_validity, k))
				buf_append(out, string_data(&strings[k]), strings[k].len);
}

static int put_elements(struct buf *out, const struct view *view, const struct span *rows)
{
	struct buf parts = { 0 };
	const struct span *spans;
	size_t n;
	bool has_nulls;
	int rc = collect_spans(view, rows, &parts);

	if (rc < 0)
		goto out;
	spans = (const struct span *)(void *)parts.data;
	n = parts.len / sizeof *spans;
	has_nulls = has_null_element(view, spans, n);
	buf_append_u8(out, has_nulls);
	for (size_t i = 0; has_nulls && i < n; i++)
		for (uint64_t k = spans[i].from; k < spans[i].from + spans[i].n; k++)
			buf_append_u8(out, is_there(view->child_validity, k));
	put_element_values(out, view, spans, n);
out:
	buf_release(&parts);
	return rc;
}

static int put_column(struct buf *out, const struct view *view, const struct span *rows)
{
	const struct duckdb_list *lists = view->data;

	if (!view->is_list) {
		put_scalars(out, view->kind, view->data, view->validity, rows);
		return 0;
	}
	put_validity(out, view->validity, rows);
	for (uint64_t i = 0; i < rows->n; i++) {
		bool has_it = is_there(view->validity, rows->from + i) && !(rows->skip && rows->skip[i]);

		buf_append_u32(out, has_it ? (uint32_t)lists[rows->from + i].len : 0);
	}
	return put_elements(out, view, rows);
}

static void look_at(const struct reader *reader, duckdb_chunk chunk, size_t i, struct view *out)
{
	const struct duckdb *duck = &reader->duck;
	const struct column *column = &reader->columns[reader->wanted[i]];
	duckdb_vector vector = duck->data_chunk_get_vector(chunk, i), child;

	*out = (struct view){ .kind = column->kind, .is_list = column->is_list, .data = duck->vector_get_data(vector),
			      .validity = duck->vector_get_validity(vector) };
	if (!column->is_list)
		return;
	child = duck->list_vector_get_child(vector);
	out->child = duck->vector_get_data(child);
	out->child_validity = duck->vector_get_validity(child);
	out->child_len = duck->list_vector_get_size(vector);
}

/* Do all rows go into one frame, and none is too large? True where that is seen at a glance; most chunks are small. */
static bool is_small(const struct view *views, size_t n_views, uint64_t n)
{
	uint64_t fixed = 0, bytes = 0;

	for (size_t i = 0; i < n_views; i++) {
		const struct duckdb_string *strings = views[i].data;

		if (views[i].is_list)
			return false;
		fixed += 9 + 5;
		for (uint64_t k = 0; !wire_size(views[i].kind) && k < n; k++)
			bytes += is_there(views[i].validity, k) ? strings[k].len : 0;
	}
	return fixed + bytes < BATCH_ROW_MAX && n * fixed + bytes < WIRE_BATCH_BYTES;
}

/* How many rows from `from` on go into one frame; skip[k] says whether the k-th of them is too large to go at all. */
static uint64_t choose_rows(const struct view *views, size_t n_views, uint64_t from, uint64_t n, bool *skip, bool *out_skips)
{
	uint64_t bytes = 0, k;

	*out_skips = false;
	if (from == 0 && is_small(views, n_views, n)) {
		memset(skip, 0, n * sizeof *skip);
		return n;
	}
	for (k = 0; k < n && bytes < WIRE_BATCH_BYTES; k++) {
		uint64_t row = 0;

		for (size_t i = 0; i < n_views; i++)
			row += value_bytes(&views[i], from + k);
		skip[k] = row > BATCH_ROW_MAX;
		*out_skips = *out_skips || skip[k];
		bytes += skip[k] ? 9 * n_views : row;
	}
	return k;
}

static int take_rows(struct reader *reader, duckdb_chunk chunk, idx_t n, struct why *why)
{
	struct view *views = calloc(reader->n_wanted + 1, sizeof *views);
	bool *skip = calloc(n, sizeof *skip), skips;
	struct buf *out = &reader->out;
	int rc = views && skip ? 0 : -ENOMEM;

	(void)why;
	for (size_t i = 0; rc == 0 && i < reader->n_wanted; i++)
		look_at(reader, chunk, i, &views[i]);
	for (uint64_t from = 0, some; rc == 0 && from < n; from += some) {
		struct span rows;

		some = choose_rows(views, reader->n_wanted, from, n - from, skip, &skips);
		rows = (struct span){ from, some, skips ? skip : NULL };
		begin_frame(out, WIRE_BATCH);
		buf_append_u32(out, (uint32_t)some);
		buf_append(out, skip, some);
		for (size_t i = 0; rc == 0 && i < reader->n_wanted; i++)
			rc = put_column(out, &views[i], &rows);
		rc = rc < 0 ? rc : send_frame(out);
		reader->rows += some;
	}
	free(views);
	free(skip);
	return rc;
}

/* ---- */

/* From the file's columns to the last of its rows. */
static int read_file(struct reader *reader, uint64_t memory, struct why *why)
{
	struct buf sql = { 0 };
	int rc = open_duck(reader, memory, why);

	if (rc == 0)
		rc = ask(reader, "SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM " FILE_SQL ")", take_columns, why);
	if (rc == 0)
		rc = ask(reader, "SELECT num_rows FROM parquet_file_metadata('" FILE_PATH "')", take_row_count, why);
	if (rc == 0)
		rc = send_header(reader);
	if (rc == 0)
		rc = read_wanted(reader);
	if (rc < 0)
		return rc;
	build_select(reader, &sql);
	reader->rows = 0;
	rc = buf_error(&sql) < 0 ? -ENOMEM : ask(reader, sql.data, take_rows, why);
	buf_release(&sql);
	if (rc < 0)
		return rc;
	begin_frame(&reader->out, WIRE_END);
	buf_append_u64(&reader->out, reader->rows);
	return send_frame(&reader->out);
}

int main(int argc, char **argv)
{
	struct reader reader = { 0 };
	struct why why = { "" };
	unsigned long long memory = argc == 2 ? strtoull(argv[1], NULL, 10) : 0;
	int rc;

	if (!memory) {
		fprintf(stderr, "featurefs-parquet is started by featurefs, to read one Parquet file\n");
		return 2;
	}
	rc = duckdb_load(NULL, &reader.duck, &why);
	if (rc == 0) {
		confine(memory);
		rc = read_file(&reader, memory, &why);
	}
	if (rc < 0 && rc != -EPIPE)
		send_failure(&reader, &why);
	_exit(rc == 0 ? 0 : 3);		/* the library's own end is of no use to anybody */
}
