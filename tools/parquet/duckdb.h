/* SPDX-License-Identifier: MIT */
/*
 * The few functions of libduckdb that reading needs, found at run time: the library is 70 MB, and a machine without it should still run
 * everything else. Declared from its documented C API, for no package that has the library has its header.
 */
#ifndef PARQUET_DUCKDB_H
#define PARQUET_DUCKDB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/why.h"

typedef uint64_t idx_t;
typedef struct duckdb_handle *duckdb_database, *duckdb_connection, *duckdb_config, *duckdb_statement, *duckdb_pending, *duckdb_chunk,
	*duckdb_vector, *duckdb_type, *duckdb_function, *duckdb_call;
typedef void (*duckdb_called)(duckdb_call call, duckdb_chunk arguments, duckdb_vector out);

enum { DUCKDB_OK = 0, DUCKDB_BIGINT = 5, DUCKDB_ANY = 34 };

struct duckdb_result {
	idx_t deprecated_columns, deprecated_rows, deprecated_changed;
	void *deprecated_data;
	char *deprecated_error;
	void *internal;
};

/* Up to twelve bytes of text stand in it, longer ones elsewhere. */
struct duckdb_string {
	uint32_t len;
	char start[4];		/* of the text; the rest of a short one is where a long one has its place */
	const char *data;
};

enum { DUCKDB_SHORT_TEXT = 12 };	/* bytes of text that stand in the string itself */

static inline const char *duckdb_text(const struct duckdb_string *s)
{
	return s->len <= DUCKDB_SHORT_TEXT ? (const char *)s + offsetof(struct duckdb_string, start) : s->data;
}

struct duckdb_list {
	uint64_t offset, len;
};

#define DUCKDB_FUNCTIONS(X) \
	X(int, create_config, (duckdb_config *out)) \
	X(int, set_config, (duckdb_config config, const char *name, const char *value)) \
	X(void, destroy_config, (duckdb_config *config)) \
	X(int, open_ext, (const char *path, duckdb_database *out, duckdb_config config, char **out_error)) \
	X(int, connect, (duckdb_database db, duckdb_connection *out)) \
	X(int, query, (duckdb_connection con, const char *sql, struct duckdb_result *out)) \
	X(int, prepare, (duckdb_connection con, const char *sql, duckdb_statement *out)) \
	X(const char *, prepare_error, (duckdb_statement stmt)) \
	X(int, pending_prepared_streaming, (duckdb_statement stmt, duckdb_pending *out)) \
	X(const char *, pending_error, (duckdb_pending pending)) \
	X(int, execute_pending, (duckdb_pending pending, struct duckdb_result *out)) \
	X(const char *, result_error, (struct duckdb_result *result)) \
	X(duckdb_chunk, fetch_chunk, (struct duckdb_result result)) \
	X(void, destroy_data_chunk, (duckdb_chunk *chunk)) \
	X(void, destroy_result, (struct duckdb_result *result)) \
	X(idx_t, data_chunk_get_size, (duckdb_chunk chunk)) \
	X(duckdb_vector, data_chunk_get_vector, (duckdb_chunk chunk, idx_t column)) \
	X(void *, vector_get_data, (duckdb_vector vector)) \
	X(uint64_t *, vector_get_validity, (duckdb_vector vector)) \
	X(duckdb_vector, list_vector_get_child, (duckdb_vector vector)) \
	X(idx_t, list_vector_get_size, (duckdb_vector vector)) \
	X(duckdb_type, create_logical_type, (int type)) \
	X(duckdb_function, create_scalar_function, (void)) \
	X(void, scalar_function_set_name, (duckdb_function function, const char *name)) \
	X(void, scalar_function_set_varargs, (duckdb_function function, duckdb_type type)) \
	X(void, scalar_function_set_return_type, (duckdb_function function, duckdb_type type)) \
	X(void, scalar_function_set_special_handling, (duckdb_function function)) \
	X(void, scalar_function_set_volatile, (duckdb_function function)) \
	X(void, scalar_function_set_function, (duckdb_function function, duckdb_called called)) \
	X(int, register_scalar_function, (duckdb_connection con, duckdb_function function)) \
	X(void, scalar_function_set_error, (duckdb_call call, const char *error))

struct duckdb {
#define X(type, name, args) type (*name) args;
	DUCKDB_FUNCTIONS(X)
#undef X
};

/* From `folder` (NULL: this program's own), or where the system's loader looks. -ENOENT, -ENOSYS for one that is too old. */
int duckdb_load(const char *folder, struct duckdb *out, struct why *why);

#endif
