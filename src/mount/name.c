/* SPDX-License-Identifier: MIT */
/*
 * Names with a meaning of their own. Scratch names are those that tools are known to use beside the file that they replace: dot-names
 * (.f.swp of vi, .f.XXXXXX of rsync), sedXXXXXX, f~ as a backup, and the number with which vim tries whether a directory can be written
 * (4913, and steps of 123 from there while that name is taken). Any other undeclared name is a mistake that its writer should see.
 */
#include "mount/name.h"

#include <string.h>

enum { VIM_FIRST = 4913, VIM_STEP = 123, VIM_TRIES = 100, SED_RANDOM = 6 };

bool name_is_reserved(const char *name)
{
	static const char *const names[] = {
		".schema", ".stats", ".errors", ".import", ".upsert", ".lookup", ".dead", ".row", ".views", ".featurefs",
	};

	if (name[0] != '.')
		return false;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (!strcmp(name, names[i]))
			return true;
	return !strcmp(name, ".") || !strcmp(name, "..");
}

static bool is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_sed(const char *name)
{
	if (strncmp(name, "sed", 3) || strlen(name) != 3 + SED_RANDOM)
		return false;
	for (name += 3; *name; name++)
		if (!is_alnum(*name))
			return false;
	return true;
}

static bool is_vim_test(const char *name)
{
	unsigned number = 0;

	if (strlen(name) > 5 || name[0] == '0')
		return false;
	for (; *name; name++) {
		if (*name < '0' || *name > '9')
			return false;
		number = number * 10 + (unsigned)(*name - '0');
	}
	return number >= VIM_FIRST && (number - VIM_FIRST) % VIM_STEP == 0 && (number - VIM_FIRST) / VIM_STEP < VIM_TRIES;
}

bool name_is_scratch(const char *name)
{
	size_t len = strlen(name);

	if (name[0] == '.')
		return !name_is_reserved(name);
	return (len > 1 && name[len - 1] == '~') || is_sed(name) || is_vim_test(name);
}

size_t name_is_bin(const char *name)
{
	size_t len = strlen(name);

	return len > 4 && !strcmp(name + len - 4, ".bin") ? len - 4 : 0;
}
