/* SPDX-License-Identifier: MIT */
/* Finds libduckdb and the functions in it. */
#include "duckdb.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void find_own_folder(char *out, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", out, size - 1);
	char *slash;

	out[n > 0 ? n : 0] = '\0';
	slash = strrchr(out, '/');
	if (slash)
		*slash = '\0';
}

int duckdb_load(const char *folder, struct duckdb *out, struct why *why)
{
	char own[PATH_MAX] = "", path[PATH_MAX + 32];
	void *library, *function;

	if (!folder)
		find_own_folder(own, sizeof own);
	snprintf(path, sizeof path, "%s/libduckdb.so", folder ? folder : own);
	/* Lazily: of its 25,000 calls a file takes some hundred, and binding the others takes milliseconds. */
	library = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
	if (!library)
		library = dlopen("libduckdb.so", RTLD_LAZY | RTLD_LOCAL);
	if (!library)
		return why_fail(why, ENOENT, "libduckdb.so is missing in %s, and Parquet can't be read without it: 'make setup' fetches it, "
				"'make install' puts it there", folder ? folder : own);
#define X(type, name, args) \
	function = dlsym(library, "duckdb_" #name); \
	if (!function) \
		return why_fail(why, ENOSYS, "libduckdb.so has no duckdb_" #name ": it is too old; 1.4 or newer is needed"); \
	memcpy(&out->name, &function, sizeof function);
	DUCKDB_FUNCTIONS(X)
#undef X
	return 0;
}
