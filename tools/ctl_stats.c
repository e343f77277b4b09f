/* SPDX-License-Identifier: MIT */
/* What groups amount to: all of them in a table, from counters that commits keep; or one with the ages of its values, which walks it. */
#include <stdio.h>
#include <string.h>
#include "ctl.h"
#include "base/clock.h"

static int print_group(const struct ctl *ctl, struct featurefs *fs, const char *group)
{
	struct featurefs_text text = { 0 };
	struct buf out = { 0 };
	int rc = featurefs_stats_text(fs, group, &text);

	if (rc < 0) {
		rc = ctl_fail_sdk(ctl, rc);
	} else {
		ctl_print_lines(slice_of(text.data, text.len), &out);
		rc = ctl_print_out(ctl, &out);
	}
	buf_release(&out);
	featurefs_text_release(&text);
	return rc;
}

static int print_line(const struct ctl *ctl, struct featurefs *fs, const struct featurefs_group *grp, int width)
{
	char bytes[32], newest[CLOCK_TEXT_MAX] = "-";
	struct featurefs_stats stats;
	int rc = featurefs_stats(fs, grp->name, &stats);

	if (rc < 0)
		return ctl_fail_sdk(ctl, rc);
	ctl_print_bytes(stats.row_bytes, bytes);
	if (stats.newest_event_ns)
		clock_print_time(stats.newest_event_ns, false, newest);
	printf("%-*s  %8zu  %12llu  %12s  %-27s  %s\n", width, grp->name, grp->n_features, (unsigned long long)stats.entities, bytes, newest,
	       grp->owner);
	return CTL_OK;
}

static int print_all(const struct ctl *ctl, struct featurefs *fs)
{
	const struct featurefs_group *grp;
	struct featurefs_catalog *cat;
	int rc = featurefs_catalog_open(fs, &cat), width = 5;

	if (rc < 0)
		return ctl_fail_sdk(ctl, rc);
	for (size_t i = 0; (grp = featurefs_catalog_group(cat, i)); i++)
		if ((int)strlen(grp->name) > width)
			width = (int)strlen(grp->name);
	printf("%-*s  %8s  %12s  %12s  %-27s  %s\n", width, "GROUP", "FEATURES", "ENTITIES", "BYTES", "NEWEST EVENT TIME", "OWNER");
	for (size_t i = 0; rc == CTL_OK && (grp = featurefs_catalog_group(cat, i)); i++)
		rc = print_line(ctl, fs, grp, width);
	featurefs_catalog_close(cat);
	return rc;
}

int ctl_stats(struct ctl *ctl, int argc, char **argv)
{
	static const struct option longs[] = { CTL_LONG_OPTIONS };
	struct featurefs *fs;
	int opt, rc;

	while ((opt = ctl_option(ctl, argc, argv, "", longs)) >= 0)
		if (opt == 0)
			return ctl->exit;
	if (argc - optind > 1)
		return ctl_fail(ctl, CTL_USAGE, "takes one group, or none; see featurectl stats --help");
	rc = ctl_open(ctl, &fs);
	if (rc)
		return rc;
	rc = optind < argc ? print_group(ctl, fs, argv[optind]) : print_all(ctl, fs);
	featurefs_close(fs);
	return rc;
}
