/* SPDX-License-Identifier: MIT */
/*
 * Definitions: checked without a store, applied to a mount. Applying judges everything that can be judged here before
 * the first change: each file by itself, and as successor of what the mount has. So a mistake in the third file does
 * not leave two groups changed, and a definition that says what is there already costs no write.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "ctl.h"
#include "base/clock.h"
#include "base/num.h"
#include "base/text.h"

enum { SCHEMA_MAX = 1 << 20 };		/* bytes that .schema takes */

static int read_definition(const struct ctl *ctl, const char *file, struct buf *text, struct catalog_group **out)
{
	struct why why = { "" };
	int rc = file_read_path(file, SCHEMA_MAX, text);

	if (rc == -EFBIG)
		return ctl_fail(ctl, CTL_FAILURE, "%s: a definition has %d bytes at the most", file, SCHEMA_MAX);
	if (rc < 0)
		return ctl_fail_errno(ctl, file, rc);
	rc = catalog_group_parse(file, buf_slice(text), out, &why);
	if (rc == 0)
		return CTL_OK;
	return why.text[0] ? ctl_fail(ctl, CTL_FAILURE, "%s", why.text) : ctl_fail_errno(ctl, file, rc);
}

static unsigned count_features(const struct catalog_group *grp)
{
	unsigned n = 0;

	for (unsigned i = 0; i < grp->n_features; i++)
		n += !grp->features[i].retired;
	return n;
}

int ctl_check(struct ctl *ctl, int argc, char **argv)
{
	static const struct option longs[] = { CTL_LONG_OPTIONS };
	int opt, worst = CTL_OK;

	while ((opt = ctl_option(ctl, argc, argv, "", longs)) >= 0)
		if (opt == 0)
			return ctl->exit;
	if (optind == argc)
		return ctl_fail(ctl, CTL_USAGE, "which definition files? See featurectl check --help");
	for (; optind < argc; optind++) {
		struct catalog_group *grp = NULL;
		struct buf text = { 0 };
		int rc = read_definition(ctl, argv[optind], &text, &grp);

		if (rc == CTL_OK)
			printf("%s: ok, %u feature%s\n", argv[optind], count_features(grp),
			       count_features(grp) == 1 ? "" : "s");
		if (rc > worst)
			worst = rc;
		catalog_group_unref(grp);
		buf_release(&text);
	}
	return worst;
}

/* ---- apply ---- */

enum todo { TODO_CREATE, TODO_CHANGE, TODO_NOTHING };

struct plan {
	const char *file;
	char group[TEXT_NAME_MAX + 1];
	struct buf text;		/* of the file */
	struct catalog_group *next;
	enum todo todo;
};

static int name_group(const struct ctl *ctl, struct plan *plan)
{
	const char *slash = strrchr(plan->file, '/'), *base = slash ? slash + 1 : plan->file, *dot = strrchr(base, '.');
	struct slice name = slice_of(base, dot && dot != base ? (size_t)(dot - base) : strlen(base));
	struct why why = { "" };

	if (text_check_group_name(name, &why) < 0)
		return ctl_fail(ctl, CTL_FAILURE,
				"%s: the file's name without its ending names the group, and \"%.*s\" can't be one: %s",
				plan->file, (int)name.len, (const char *)name.data, why.text);
	memcpy(plan->group, name.data, name.len);
	plan->group[name.len] = '\0';
	return CTL_OK;
}

/* "rows: N" of .stats; true if it cannot be known. */
static bool has_rows(const struct ctl_mount *mount, const char *group)
{
	struct buf text = { 0 };
	char path[PATH_MAX];
	struct slice line;
	uint64_t n = 1;
	size_t at = 0;

	if (ctl_path(path, "%s/%s/.stats", mount->dir, group) == 0 && file_read_path(path, SCHEMA_MAX, &text) == 0)
		while (ctl_next_line(buf_slice(&text), &at, &line))
			if (line.len > 6 && memcmp(line.data, "rows: ", 6) == 0)
				num_parse_u64(slice_of((const char *)line.data + 6, line.len - 6), &n);
	buf_release(&text);
	return n > 0;
}

static int evolve(const struct ctl_mount *mount, const struct plan *plan, const struct catalog_group *now,
		  struct catalog_group **out, struct why *why)
{
	int rc = catalog_group_evolve(now, plan->next, true, clock_now(), out, why);

	/* Only other keys of entities depend on whether there are rows; counting them is left to that case. */
	if (rc == -EBUSY && !has_rows(mount, plan->group))
		rc = catalog_group_evolve(now, plan->next, false, clock_now(), out, why);
	return rc;
}

static int is_same(const struct catalog_group *a, const struct catalog_group *b, bool *out)
{
	struct buf text_a = { 0 }, text_b = { 0 };
	int rc = catalog_group_print(a, &text_a);

	if (rc == 0)
		rc = catalog_group_print(b, &text_b);
	if (rc == 0)
		*out = slice_equal(buf_slice(&text_a), buf_slice(&text_b));
	buf_release(&text_a);
	buf_release(&text_b);
	return rc;
}

static int fail_why(const struct ctl *ctl, const char *file, int rc, const struct why *why)
{
	return why->text[0] ? ctl_fail(ctl, CTL_FAILURE, "%s: %s", file, why->text) : ctl_fail_errno(ctl, file, rc);
}

/* What is to be done for a group that is there already. */
static int compare(const struct ctl *ctl, const struct ctl_mount *mount, struct plan *plan)
{
	struct catalog_group *now = NULL, *evolved = NULL;
	struct why why = { "" };
	bool same = false;
	int rc = ctl_group_read(ctl, mount, plan->group, &now);

	if (rc)
		return rc;
	rc = evolve(mount, plan, now, &evolved, &why);
	if (rc == 0)
		rc = is_same(now, evolved, &same);
	plan->todo = same ? TODO_NOTHING : TODO_CHANGE;
	if (rc < 0)
		rc = fail_why(ctl, plan->file, rc, &why);
	catalog_group_unref(now);
	catalog_group_unref(evolved);
	return rc;
}

static int prepare(const struct ctl *ctl, const struct ctl_mount *mount, struct plan *plan)
{
	char path[PATH_MAX];
	struct stat st;
	int rc = read_definition(ctl, plan->file, &plan->text, &plan->next);

	if (rc == CTL_OK)
		rc = name_group(ctl, plan);
	if (rc)
		return rc;
	rc = ctl_path(path, "%s/%s", mount->dir, plan->group);
	if (rc < 0)
		return ctl_fail_errno(ctl, plan->file, rc);
	if (stat(path, &st) == 0)
		return compare(ctl, mount, plan);
	plan->todo = TODO_CREATE;
	return errno == ENOENT ? CTL_OK : ctl_fail_errno(ctl, path, -errno);
}

static int fail_apply(const struct ctl *ctl, const struct ctl_mount *mount, const struct plan *plan, int64_t since_ns,
		      int rc)
{
	struct buf reason = { 0 };

	ctl_group_reason(mount, plan->group, since_ns, &reason);
	if (reason.len)
		ctl_error(ctl, "%s: the store refused it: %.*s", plan->file, (int)reason.len, reason.data);
	else
		ctl_fail_errno(ctl, plan->file, rc);
	buf_release(&reason);
	return CTL_FAILURE;
}

static int carry_out(const struct ctl *ctl, const struct ctl_mount *mount, const struct plan *plan)
{
	static const char *const done[] = { "created", "changed", "unchanged" };
	int64_t since_ns = clock_now();
	char path[PATH_MAX], dir[PATH_MAX];
	int rc = ctl_path(path, "%s/%s/.schema", mount->dir, plan->group);

	if (rc == 0)
		rc = ctl_path(dir, "%s/%s", mount->dir, plan->group);
	if (rc == 0 && plan->todo == TODO_CREATE && mkdir(dir, 0777) < 0)
		return ctl_fail_errno(ctl, dir, -errno);
	if (rc == 0 && plan->todo != TODO_NOTHING)
		rc = file_write_path(path, buf_slice(&plan->text));
	if (rc < 0) {
		rc = fail_apply(ctl, mount, plan, since_ns, rc);
		if (plan->todo == TODO_CREATE)
			rmdir(dir);
		return rc;
	}
	printf("%s: %s\n", plan->group, done[plan->todo]);
	return CTL_OK;
}

static int check_twice(const struct ctl *ctl, const struct plan *plans, int n)
{
	for (int i = 1; i < n; i++)
		for (int j = 0; j < i; j++)
			if (strcmp(plans[i].group, plans[j].group) == 0)
				return ctl_fail(ctl, CTL_USAGE, "%s and %s both define the group %s", plans[j].file,
						plans[i].file, plans[i].group);
	return CTL_OK;
}

static int apply_files(const struct ctl *ctl, const struct ctl_mount *mount, char **files, int n)
{
	struct plan *plans = calloc((size_t)n, sizeof *plans);
	int rc = CTL_OK, worst = CTL_OK;

	if (!plans)
		return ctl_fail_errno(ctl, "planning", -ENOMEM);
	for (int i = 0; i < n; i++) {
		plans[i].file = files[i];
		rc = prepare(ctl, mount, &plans[i]);
		if (rc > worst)
			worst = rc;
	}
	if (worst == CTL_OK)
		worst = check_twice(ctl, plans, n);
	else if (n > 1)
		ctl_error(ctl, "nothing was changed");
	for (int i = 0; worst == CTL_OK && i < n; i++)
		worst = carry_out(ctl, mount, &plans[i]);
	for (int i = 0; i < n; i++) {
		catalog_group_unref(plans[i].next);
		buf_release(&plans[i].text);
	}
	free(plans);
	return worst;
}

int ctl_apply(struct ctl *ctl, int argc, char **argv)
{
	static const struct option longs[] = { CTL_LONG_OPTIONS };
	struct ctl_mount mount;
	int opt, rc;

	while ((opt = ctl_option(ctl, argc, argv, "", longs)) >= 0)
		if (opt == 0)
			return ctl->exit;
	if (optind == argc)
		return ctl_fail(ctl, CTL_USAGE, "which definition files? See featurectl apply --help");
	rc = ctl_find_mount(ctl, &mount);
	if (rc)
		return rc;
	rc = apply_files(ctl, &mount, argv + optind, argc - optind);
	ctl_mount_release(&mount);
	return rc;
}
