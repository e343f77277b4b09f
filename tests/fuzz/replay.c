/* SPDX-License-Identifier: MIT */
/* Runs a fuzz target over kept inputs: each argument is a file or a folder of files. The same entry point that libFuzzer calls. */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "base/buf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned inputs;

static int run_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	struct buf bytes = { 0 };
	uint8_t *exact;
	size_t n;
	int rc = -1;

	if (!file)
		goto out;
	do {
		char *room = buf_reserve(&bytes, 65536);

		if (!room)
			goto out;
		n = fread(room, 1, 65536, file);
		bytes.len += n;
	} while (n > 0);
	if (ferror(file))
		goto out;
	exact = malloc(bytes.len ? bytes.len : 1);	/* of this size, so that a sanitizer sees a read past the end */
	if (!exact)
		goto out;
	if (bytes.len)
		memcpy(exact, bytes.data, bytes.len);
	LLVMFuzzerTestOneInput(exact, bytes.len);
	free(exact);
	inputs++;
	rc = 0;
out:
	if (rc < 0)
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
	if (file)
		fclose(file);
	buf_release(&bytes);
	return rc;
}

static int run_folder(const char *path)
{
	struct dirent **entries;
	char name[4096];
	int n = scandir(path, &entries, NULL, alphasort), rc = 0;

	if (n < 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return -1;
	}
	for (int i = 0; i < n; i++) {
		if (rc == 0 && entries[i]->d_name[0] != '.') {
			snprintf(name, sizeof(name), "%s/%s", path, entries[i]->d_name);
			rc = run_file(name);
		}
		free(entries[i]);
	}
	free(entries);
	return rc;
}

int main(int argc, char **argv)
{
	struct stat st;
	int rc = 0;

	for (int i = 1; rc == 0 && i < argc; i++)
		rc = stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode) ? run_folder(argv[i]) : run_file(argv[i]);
	if (rc == 0 && inputs == 0) {
		fprintf(stderr, "no inputs\n");
		rc = -1;
	}
	printf("%u inputs\n", inputs);
	return rc < 0;
}
