/* SPDX-License-Identifier: MIT */
/*
 * The store by way of the client library: get, dump and stats read as every other program does, from the map where this user may, else
 * through the mount.
 */
#include <errno.h>
#include <string.h>
#include "ctl.h"

int ctl_open(const struct ctl *ctl, struct featurefs **out)
{
	struct ctl_mount place;
	const char *path;
	int rc = ctl_find_store(ctl, &place);

	if (rc)
		return rc;
	path = place.dir ? place.dir : place.source;
	rc = featurefs_open(path, 0, out);
	if (rc == -EACCES || rc == -EPERM)
		rc = ctl_fail(ctl, CTL_FAILURE, "%s%s", featurefs_error(), ctl_store_hint(rc));
	else if (rc < 0)
		rc = ctl_fail_sdk(ctl, rc);
	ctl_mount_release(&place);
	return rc;
}

int ctl_fail_sdk(const struct ctl *ctl, int rc)
{
	return ctl_fail(ctl, rc == -ENOENT ? CTL_NONE : CTL_FAILURE, "%s", featurefs_error());
}

int ctl_sdk_group(const struct ctl *ctl, struct featurefs *fs, const char *group, struct catalog_group **out)
{
	struct featurefs_text text = { 0 };
	struct why why = { "" };
	int rc = featurefs_schema(fs, group, &text);

	if (rc < 0)
		rc = ctl_fail_sdk(ctl, rc);
	else if (catalog_group_parse(group, slice_of(text.data, text.len), out, &why) < 0)
		rc = ctl_fail(ctl, CTL_FAILURE, "%s", why.text);
	featurefs_text_release(&text);
	return rc;
}
