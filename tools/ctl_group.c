/* SPDX-License-Identifier: MIT */
/*
 * A group as the mount shows it: its definition, and why it refused something. An errno can only carry a number; the
 * reason in words is in the group's .errors, and the line that is meant is the last one of this user since the attempt
 * began.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "ctl.h"
#include "base/clock.h"
#include "base/text.h"

enum { SCHEMA_MAX = 16 << 20, ERRORS_MAX = 16 << 20 };

int ctl_group_read(const struct ctl *ctl, const struct ctl_mount *mount, const char *group, struct catalog_group **out)
{
	struct buf text = { 0 };
	char path[PATH_MAX];
	struct why why;
	int rc = text_check_group_name(slice_str(group), &why);

	if (rc < 0)
		return ctl_fail(ctl, CTL_NONE, "there is no group \"%s\": %s", group, why.text);
	rc = ctl_path(path, "%s/%s/.schema", mount->dir, group);
	if (rc == 0)
		rc = file_read_path(path, SCHEMA_MAX, &text);
	if (rc == -ENOENT)
		rc = ctl_fail(ctl, CTL_NONE, "there is no group %s; `ls %s` shows those that there are", group,
			      mount->dir);
	else if (rc == -EACCES)
		rc = ctl_fail(ctl, CTL_FAILURE, "%s: you may not read this group; its mode is that of %s/%s", group,
			      mount->dir, group);
	else if (rc < 0)
		rc = ctl_fail_errno(ctl, path, rc);
	else if (catalog_group_parse(path, buf_slice(&text), out, &why) < 0)
		rc = ctl_fail(ctl, CTL_FAILURE, "%s", why.text);
	buf_release(&text);
	return rc;
}

int ctl_group_check_entity(const struct ctl *ctl, const struct catalog_group *grp, const char *entity)
{
	struct why why;

	if (text_check_entity(slice_str(entity), grp->n_keys, &why) < 0)
		return ctl_fail(ctl, CTL_USAGE, "\"%s\" is no entity's name: %s", entity, why.text);
	return CTL_OK;
}

const struct catalog_feature *ctl_group_feature(const struct ctl *ctl, const struct catalog_group *grp,
						struct slice name)
{
	const struct catalog_feature *feature = catalog_find_feature(grp, name);

	if (feature && !feature->retired)
		return feature;
	ctl_error(ctl, "the group has no feature %.*s%s; its .schema shows those that there are", (int)name.len,
		  (const char *)name.data, feature ? " any more (it is retired)" : "");
	return NULL;
}

/* "TIME LANE WHO NAME REASON (errno N)...: detail": is this line of that user and not older? `out` is what follows
 * the user. */
static bool match_line(struct slice line, const char *who, int64_t since_ns, struct slice *out)
{
	const char *text = line.data, *blank = memchr(text, ' ', line.len);
	size_t time_len = blank ? (size_t)(blank - text) : 0, who_len = strlen(who);
	int64_t time_ns;

	/* Times of lines are whole seconds. */
	if (clock_parse_time(slice_of(text, time_len), &time_ns) < 0 || time_ns < since_ns - since_ns % CLOCK_SECOND)
		return false;
	if (line.len - time_len <= who_len || memcmp(blank, who, who_len) != 0)
		return false;
	*out = slice_of(blank + who_len, line.len - time_len - who_len);
	return true;
}

void ctl_reason_find(struct slice errors, uid_t uid, int64_t since_ns, struct buf *out)
{
	struct slice line, rest, last = slice_of(NULL, 0);
	char who[64];
	size_t at = 0;

	snprintf(who, sizeof who, " direct uid %u ", (unsigned)uid);
	while (ctl_next_line(errors, &at, &line))
		if (match_line(line, who, since_ns, &rest))
			last = rest;
	ctl_print_safe(last, out);
}

void ctl_group_reason(const struct ctl_mount *mount, const char *group, int64_t since_ns, struct buf *out)
{
	struct buf text = { 0 };
	char path[PATH_MAX];

	if (ctl_path(path, "%s/%s/.errors", mount->dir, group) == 0 && file_read_path(path, ERRORS_MAX, &text) == 0)
		ctl_reason_find(buf_slice(&text), geteuid(), since_ns, out);
	buf_release(&text);
}
