/* SPDX-License-Identifier: MIT */
/*
 * Reasons in words, one for each thread: a call that fails leaves its own, a call that succeeds leaves it alone, so that it costs nothing
 * where all goes well. A handle is for many threads, so the reason can't be the handle's.
 */
#include "sdk/private.h"

#include <string.h>

static __thread struct why last;

const char *featurefs_error(void)
{
	return last.text;
}

const char *featurefs_library_version(void)
{
	return FEATUREFS_VERSION;
}

int sdk_return(int rc, const struct why *why)
{
	if (rc >= 0)
		return rc;
	if (why && why->text[0])
		last = *why;
	else
		why_fail(&last, -rc, "%s", strerror(-rc));
	return rc;
}
