/* SPDX-License-Identifier: MIT */
/*
 * featurefs-parquet: reads the Parquet file that is its descriptor 3 and gives it away as batches of columns; batch/parquet_wire.h
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
#include "batch.h"
#include "confine.h"
#include "duckdb.h"
#include "ring.h"

#define FILE_PATH "/proc/self/fd/3"
#define FILE_SQL "read_parquet('" FILE_PATH "')"

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
	struct ring ring;
	struct buf out;
	int given_rc;		/* what giving rows away failed with */
};

static struct reader reader_of_all;	/* one file, one process: the library calls back without saying for whom */

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

		*column = (struct column){ .name = strndup(duckdb_text(&names[i]), names[i].len),
					   .type = strndup(duckdb_text(&type_names[i]), type_names[i].len) };
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

/* SELECT CAST("a" AS BIGINT), "b", ...; with a function, of which the columns are arguments. */
static void build_select(const struct reader *reader, const char *function, struct buf *sql)
{
	buf_append_str(sql, "SELECT ");
	if (function)
		buf_printf(sql, "max(%s(", function);
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
	buf_append_str(sql, function ? ")) FROM " FILE_SQL : " FROM " FILE_SQL);
	buf_append_char(sql, '\0');
}

/* ---- batches ---- */

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

static int send_placed(struct reader *reader, size_t len)
{
	struct buf *out = &reader->out;

	begin_frame(out, WIRE_PLACED);
	buf_append_u64(out, ring_commit(&reader->ring, len));
	buf_append_u32(out, (uint32_t)len);
	return send_frame(out);
}

/* In the ring where it fits, else by the pipe. Where it is known that `most` bytes are enough (else 0), it is made in its place. */
static int send_batch(struct reader *reader, const struct view *views, const struct span *rows, const bool *skip, size_t most)
{
	struct buf *out = &reader->out, placed = { 0 };
	int rc = most ? ring_reserve(&reader->ring, most, &placed.data) : 0;
	size_t len;

	if (rc == 0 && placed.data) {
		placed.cap = most;
		rc = batch_put(&placed, views, reader->n_wanted, rows, skip);
		return rc < 0 ? rc : send_placed(reader, placed.len);
	}
	begin_frame(out, WIRE_BATCH);
	if (rc == 0)
		rc = batch_put(out, views, reader->n_wanted, rows, skip);
	if (rc == 0)
		rc = buf_error(out);
	if (rc < 0)
		return rc;
	len = out->len - WIRE_FRAME_HEAD;
	rc = ring_reserve(&reader->ring, len, &placed.data);
	if (rc < 0 || !placed.data)
		return rc < 0 ? rc : send_frame(out);
	memcpy(placed.data, out->data + WIRE_FRAME_HEAD, len);
	return send_placed(reader, len);
}

static int take_rows(struct reader *reader, duckdb_chunk chunk, idx_t n, struct why *why)
{
	struct view *views = calloc(reader->n_wanted + 1, sizeof *views);
	bool *skip = calloc(n, sizeof *skip), skips;
	int rc = views && skip ? 0 : -ENOMEM;
	size_t most;

	(void)why;
	for (size_t i = 0; rc == 0 && i < reader->n_wanted; i++)
		look_at(reader, chunk, i, &views[i]);
	most = rc == 0 ? batch_small(views, reader->n_wanted, n) : 0;
	if (most)
		rc = send_batch(reader, views, &(struct span){ 0, n, NULL }, skip, most);
	for (uint64_t from = 0, some; rc == 0 && !most && from < n; from += some) {
		some = batch_choose(views, reader->n_wanted, from, n - from, skip, &skips);
		rc = send_batch(reader, views, &(struct span){ from, some, skips ? skip : NULL }, skip, 0);
	}
	reader->rows += n;
	free(views);
	free(skip);
	return rc;
}

/* ---- rows ---- */

/* A function in the question is handed the columns where they lie; an answer is a copy of them. */
static void give_rows(duckdb_call call, duckdb_chunk chunk, duckdb_vector out)
{
	struct reader *reader = &reader_of_all;
	idx_t n = reader->duck.data_chunk_get_size(chunk);

	if (reader->given_rc == 0)
		reader->given_rc = take_rows(reader, chunk, n, NULL);
	if (reader->given_rc < 0)
		reader->duck.scalar_function_set_error(call, "rows can't be given away");
	memset(reader->duck.vector_get_data(out), 0, n * sizeof(int64_t));
}

static int add_function(struct reader *reader, const char *name)
{
	const struct duckdb *duck = &reader->duck;
	duckdb_function function = duck->create_scalar_function();

	duck->scalar_function_set_name(function, name);
	duck->scalar_function_set_varargs(function, duck->create_logical_type(DUCKDB_ANY));
	duck->scalar_function_set_return_type(function, duck->create_logical_type(DUCKDB_BIGINT));
	duck->scalar_function_set_special_handling(function);	/* nulls are for it to see */
	duck->scalar_function_set_volatile(function);
	duck->scalar_function_set_function(function, give_rows);
	return duck->register_scalar_function(reader->con, function) == DUCKDB_OK ? 0 : -ENOSYS;
}

static bool wants_lists(const struct reader *reader)
{
	for (size_t i = 0; i < reader->n_wanted; i++)
		if (reader->columns[reader->wanted[i]].is_list)
			return true;
	return false;
}

/* Rows come in the file's order, for the library has one thread. */
static int send_rows(struct reader *reader, struct why *why)
{
	/* The elements of lists are sure to lie flat only in an answer. */
	const char *function = wants_lists(reader) ? NULL : "featurefs_give";
	struct buf sql = { 0 };
	int rc = function ? add_function(reader, function) : 0;

	build_select(reader, function, &sql);
	reader->rows = 0;
	if (rc == 0)
		rc = buf_error(&sql);
	if (rc == 0)
		rc = function ? run(reader, sql.data, why) : ask(reader, sql.data, take_rows, why);
	buf_release(&sql);
	if (reader->given_rc == 0)
		return rc;
	why->text[0] = '\0';
	return reader->given_rc;
}

/* From the file's columns to the last of its rows. */
static int read_file(struct reader *reader, uint64_t memory, struct why *why)
{
	int rc = open_duck(reader, memory, why);

	if (rc == 0)
		rc = ask(reader, "SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM " FILE_SQL ")", take_columns, why);
	if (rc == 0)
		rc = ask(reader, "SELECT num_rows FROM parquet_file_metadata('" FILE_PATH "')", take_row_count, why);
	if (rc == 0)
		rc = send_header(reader);
	if (rc == 0)
		rc = read_wanted(reader);
	if (rc == 0)
		rc = send_rows(reader, why);
	if (rc < 0)
		return rc;
	begin_frame(&reader->out, WIRE_END);
	buf_append_u64(&reader->out, reader->rows);
	return send_frame(&reader->out);
}

int main(int argc, char **argv)
{
	struct reader *reader = &reader_of_all;
	struct why why = { "" };
	unsigned long long memory = argc == 2 ? strtoull(argv[1], NULL, 10) : 0;
	int rc;

	if (!memory) {
		fprintf(stderr, "featurefs-parquet is started by featurefs, to read one Parquet file\n");
		return 2;
	}
	rc = duckdb_load(NULL, &reader->duck, &why);
	if (rc == 0) {
		ring_open(&reader->ring);
		confine(memory);
		rc = read_file(reader, memory, &why);
	}
	if (rc < 0 && rc != -EPIPE)
		send_failure(reader, &why);
	_exit(rc == 0 ? 0 : 3);		/* the library's own end is of no use to anybody */
}
