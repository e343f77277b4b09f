/* SPDX-License-Identifier: MIT */
/*
 * Runs SQL in the library that reads Parquet, so that tests and benchmarks have files that others wrote:
 *
 *	duckdb_run FOLDER_OF_LIBRARY SQL...
 */
#include <stdio.h>
#include "../../tools/parquet/duckdb.h"

int main(int argc, char **argv)
{
	struct duckdb duck;
	duckdb_connection con;
	duckdb_database db;
	char *error = NULL;
	struct why why;

	if (argc < 3) {
		fprintf(stderr, "usage: duckdb_run FOLDER_OF_LIBRARY SQL...\n");
		return 2;
	}
	if (duckdb_load(argv[1], &duck, &why) < 0) {
		fprintf(stderr, "%s\n", why.text);
		return 77;
	}
	if (duck.open_ext(NULL, &db, NULL, &error) != DUCKDB_OK || duck.connect(db, &con) != DUCKDB_OK) {
		fprintf(stderr, "%s\n", error ? error : "no connection");
		return 1;
	}
	for (int i = 2; i < argc; i++) {
		struct duckdb_result result = { 0 };

		if (duck.query(con, argv[i], &result) != DUCKDB_OK) {
			fprintf(stderr, "%s\n", duck.result_error(&result));
			return 1;
		}
		duck.destroy_result(&result);
	}
	return 0;
}
