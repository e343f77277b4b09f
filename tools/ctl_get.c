/* SPDX-License-Identifier: MIT */
/*
 * Values of one entity, all from one snapshot, with their times and lanes. They come by the client library, which tells a value that expired
 * from one that was never there, unless it has to read through a mount file by file.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "ctl.h"
#include "base/clock.h"

enum { VALUE_SHOWN = 60 };		/* bytes of a value in a table on a terminal */

/* One value, kept beyond the library's call. */
struct got {
	char *feature;
	enum featurefs_status status;
	struct buf text, json, lane;
	int64_t event_ns;
};

struct ask {
	const struct ctl *ctl;
	struct featurefs *fs;
	struct catalog_group *grp;
	const char *group, *entity;
	char **names;			/* of features; none: all */
	int n;
	bool json, is_mapped;
	struct got *got;
	size_t n_got;
};

static int keep(void *arg, const struct featurefs_value *value)
{
	struct ask *ask = arg;
	struct got *got = reallocarray(ask->got, ask->n_got + 1, sizeof *got);

	if (!got)
		return -ENOMEM;
	ask->got = got;
	got += ask->n_got;
	*got = (struct got){ .feature = strdup(value->feature), .status = value->status, .event_ns = value->event_ns };
	if (!got->feature)
		return -ENOMEM;
	ask->n_got++;
	buf_append(&got->text, value->text, value->text_len);
	buf_append(&got->json, value->json, value->json_len);
	buf_append_str(&got->lane, value->lane);
	return buf_error(&got->text) < 0 || buf_error(&got->json) < 0 || buf_error(&got->lane) < 0 ? -ENOMEM : 0;
}

static void release(struct ask *ask)
{
	for (size_t i = 0; i < ask->n_got; i++) {
		free(ask->got[i].feature);
		buf_release(&ask->got[i].text);
		buf_release(&ask->got[i].json);
		buf_release(&ask->got[i].lane);
	}
	free(ask->got);
	catalog_group_unref(ask->grp);
	featurefs_close(ask->fs);
}

static bool is_there(const struct got *got)
{
	return got->status == FEATUREFS_PRESENT || got->status == FEATUREFS_NULL;
}

static const struct got *find_got(const struct ask *ask, const char *name)
{
	for (size_t i = 0; i < ask->n_got; i++)
		if (!strcmp(ask->got[i].feature, name))
			return &ask->got[i];
	return NULL;
}

/* The value that was asked for; NULL after having said that it isn't there. */
static const struct got *want(const struct ask *ask, const char *name)
{
	const struct got *got = find_got(ask, name);
	char ttl[CLOCK_TEXT_MAX];

	if (got && is_there(got))
		return got;
	clock_print_span(ask->grp->ttl_ns, ttl);
	if (got && got->status == FEATUREFS_EXPIRED)
		ctl_error(ask->ctl, "missing: %s/%s had a value of %s, and it expired (ttl %s)", ask->group, ask->entity, name, ttl);
	else if (!ask->is_mapped && ask->grp->ttl_ns)
		ctl_error(ask->ctl, "missing: %s/%s has no %s, or it expired (ttl %s)", ask->group, ask->entity, name, ttl);
	else
		ctl_error(ask->ctl, "missing: %s/%s has no %s", ask->group, ask->entity, name);
	return NULL;
}

static int get_one(const struct ask *ask)
{
	const struct got *got = want(ask, ask->names[0]);

	if (!got)
		return CTL_NONE;
	if (got->status == FEATUREFS_NULL)
		puts("null");
	else
		ctl_print(buf_slice(&got->text));
	return CTL_OK;
}

/* ---- as a table ---- */

static size_t cut_value(const struct buf *value)
{
	size_t len = VALUE_SHOWN;

	if (!isatty(STDOUT_FILENO) || value->len <= VALUE_SHOWN)
		return value->len;
	while (len && ((unsigned char)value->data[len] & 0xc0) == 0x80)
		len--;
	return len;
}

static void print_table_row(const struct got *got, int width)
{
	size_t len = cut_value(&got->json);
	char time[CLOCK_TEXT_MAX];

	clock_print_time(got->event_ns, true, time);
	printf("%-*s  %-30s  %-8.*s  %.*s%s\n", width, got->feature, time, (int)got->lane.len, got->lane.len ? got->lane.data : "", (int)len,
	       got->json.data, len < got->json.len ? "..." : "");
}

static int print_table(const struct ask *ask)
{
	int width = 7, rc = CTL_OK;

	for (size_t i = 0; i < ask->n_got; i++)
		if (is_there(&ask->got[i]) && (int)strlen(ask->got[i].feature) > width)
			width = (int)strlen(ask->got[i].feature);
	printf("%-*s  %-30s  %-8s  %s\n", width, "FEATURE", "EVENT TIME", "LANE", "VALUE");
	for (size_t i = 0; ask->n == 0 && i < ask->n_got; i++)
		if (is_there(&ask->got[i]))
			print_table_row(&ask->got[i], width);
	for (int i = 0; i < ask->n; i++) {
		const struct got *got = want(ask, ask->names[i]);

		if (got)
			print_table_row(got, width);
		else
			rc = CTL_NONE;
	}
	return rc;
}

/* ---- as JSON ---- */

/* The newest event time among the features that were asked for. */
static void print_newest_time(const struct ask *ask, struct buf *out)
{
	char text[CLOCK_TEXT_MAX];
	int64_t newest_ns = INT64_MIN;

	for (int i = 0; i < ask->n; i++) {
		const struct got *got = find_got(ask, ask->names[i]);

		if (got && is_there(got) && got->event_ns > newest_ns)
			newest_ns = got->event_ns;
	}
	if (newest_ns == INT64_MIN)
		return;
	clock_print_time(newest_ns, true, text);
	buf_printf(out, ", \"event_time\": \"%s\"", text);
}

static int print_json(const struct ask *ask)
{
	struct buf out = { 0 };
	const char *comma = "";
	int rc = CTL_OK;

	buf_append_str(&out, "{\"entity\": ");
	ctl_json_string(slice_str(ask->entity), &out);
	print_newest_time(ask, &out);
	buf_append_str(&out, ", \"features\": {");
	for (int i = 0; i < ask->n; i++) {
		const struct got *got = want(ask, ask->names[i]);

		if (!got) {
			rc = CTL_NONE;
			continue;
		}
		buf_printf(&out, "%s\"%s\": ", comma, ask->names[i]);
		buf_append_slice(&out, buf_slice(&got->json));
		comma = ", ";
	}
	buf_append_str(&out, "}}\n");
	if (buf_error(&out) < 0)
		rc = ctl_fail_errno(ask->ctl, "printing", -ENOMEM);
	else
		ctl_print(buf_slice(&out));
	buf_release(&out);
	return rc;
}

static int fail_get(const struct ask *ask, int rc)
{
	if (rc == -ENOENT)
		return ctl_fail(ask->ctl, CTL_NONE, "missing: %s", featurefs_error());
	return ctl_fail_sdk(ask->ctl, rc);
}

/* The row as it is stored and shown everywhere. */
static int print_row(const struct ask *ask)
{
	struct featurefs_text text = { 0 };
	int rc = featurefs_row(ask->fs, ask->group, ask->entity, &text);

	if (rc < 0)
		rc = fail_get(ask, rc);
	else
		ctl_print(slice_of(text.data, text.len));
	featurefs_text_release(&text);
	return rc;
}

static int get(struct ask *ask)
{
	struct featurefs_place place;
	int rc = ctl_open(ask->ctl, &ask->fs);

	if (rc == CTL_OK)
		rc = ctl_sdk_group(ask->ctl, ask->fs, ask->group, &ask->grp);
	if (rc == CTL_OK)
		rc = ctl_group_check_entity(ask->ctl, ask->grp, ask->entity);
	for (int i = 0; rc == CTL_OK && i < ask->n; i++)
		if (!ctl_group_feature(ask->ctl, ask->grp, slice_str(ask->names[i])))
			rc = CTL_NONE;
	if (rc)
		return rc;
	if (ask->json && ask->n == 0)
		return print_row(ask);
	rc = featurefs_values(ask->fs, ask->group, ask->entity, keep, ask);
	if (rc < 0)
		return fail_get(ask, rc);
	ask->is_mapped = featurefs_where(ask->fs, &place) == 0 && place.is_mapped;
	if (ask->json)
		return print_json(ask);
	return ask->n == 1 ? get_one(ask) : print_table(ask);
}

int ctl_get(struct ctl *ctl, int argc, char **argv)
{
	static const struct option longs[] = { { "json", no_argument, NULL, 'j' }, CTL_LONG_OPTIONS };
	struct ask ask = { .ctl = ctl };
	int opt, rc;

	while ((opt = ctl_option(ctl, argc, argv, "j", longs)) >= 0) {
		if (opt == 0)
			return ctl->exit;
		ask.json = true;
	}
	if (argc - optind < 2)
		return ctl_fail(ctl, CTL_USAGE, "which group and entity? See featurectl get --help");
	ask.group = argv[optind];
	ask.entity = argv[optind + 1];
	ask.names = argv + optind + 2;
	ask.n = argc - optind - 2;
	rc = get(&ask);
	release(&ask);
	return rc;
}
