/* SPDX-License-Identifier: MIT */
/*
 * Groups as JSON Lines. The rows come by the client library: from the map, all from one snapshot, at the speed of memory; whoever may not
 * map it gets the same rows through the mount, each whole, but not all of one moment, and is told so. A reader of the output that has seen
 * enough (head) ends the dump without a word.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "ctl.h"

enum { CHUNK = 1 << 18, STEP_ROWS = 1024 };

struct dump {
	const struct ctl *ctl;
	char **names;
	int n;				/* groups that were named; 0: all */
	bool quiet;
	struct buf out;
	struct ctl_progress progress;
	int failed;			/* 0, or why writing ended */
};

static int flush_rows(struct dump *dump)
{
	int rc = buf_error(&dump->out);

	if (rc == 0)
		rc = file_write_fd(STDOUT_FILENO, buf_slice(&dump->out));
	buf_reset(&dump->out);
	dump->failed = rc;
	return rc;
}

/* With several groups each row begins with its own, in the place of the row's opening brace. */
static int print_row(void *arg, const struct featurefs_row *row)
{
	struct dump *dump = arg;

	if (dump->n != 1)
		buf_printf(&dump->out, "{\"group\": \"%s\", ", row->group);
	buf_append(&dump->out, row->json + (dump->n != 1), row->json_len - (dump->n != 1));
	if (row->done % STEP_ROWS == 0)
		ctl_progress_step(&dump->progress, row->done, row->total);
	return dump->out.len >= CHUNK ? flush_rows(dump) : 0;
}

static int dump_store(struct dump *dump, struct featurefs *fs)
{
	struct featurefs_place place;
	int rc = featurefs_where(fs, &place);

	if (rc < 0)
		return ctl_fail_sdk(dump->ctl, rc);
	if (!place.is_mapped)
		ctl_error(dump->ctl, "%s; reading it through %s instead: row by row, not all of one moment", place.reason, place.mount);
	ctl_progress_begin(&dump->progress, "dump", false, dump->quiet);
	rc = featurefs_rows(fs, (const char *const *)dump->names, (size_t)dump->n, print_row, dump);
	if (!dump->failed)
		flush_rows(dump);
	ctl_progress_end(&dump->progress);
	if (dump->failed)
		return dump->failed == -EPIPE ? CTL_OK : ctl_fail_errno(dump->ctl, "writing rows", dump->failed);
	return rc < 0 ? ctl_fail_sdk(dump->ctl, rc) : CTL_OK;
}

int ctl_dump(struct ctl *ctl, int argc, char **argv)
{
	static const struct option longs[] = { { "quiet", no_argument, NULL, 'q' }, CTL_LONG_OPTIONS };
	struct dump dump = { .ctl = ctl };
	struct featurefs *fs;
	int opt, rc;

	while ((opt = ctl_option(ctl, argc, argv, "q", longs)) >= 0) {
		if (opt == 0)
			return ctl->exit;
		dump.quiet = true;
	}
	dump.names = argv + optind;
	dump.n = argc - optind;
	rc = ctl_open(ctl, &fs);
	if (rc)
		return rc;
	rc = dump_store(&dump, fs);
	buf_release(&dump.out);
	featurefs_close(fs);
	return rc;
}
