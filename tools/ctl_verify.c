/* SPDX-License-Identifier: MIT */
/*
 * The proof that a store is whole. The store room walks its own promises (records, keys, the log); this walk adds what
 * the catalog promises: every row belongs to a group, every name is in its one written form, every value is of its
 * feature's type, every counter is the sum of what it counts, every reference leads somewhere. One snapshot, one pass,
 * and memory for one value at a time, so that it can run beside a daemon at work. It only reads: a fault is told,
 * never mended.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ctl.h"
#include "base/clock.h"
#include "base/text.h"

struct verify {
	struct store_snap *snap;
	struct catalog *cat;
	struct ctl_verified *out;
	bool prints;
	struct buf scratch, name;	/* a widened value; a name fit to print */
	uint32_t known_source;		/* the source number that was found last; 0: none */
	struct ctl_progress progress;
	uint64_t done, total;
};

static void found_fault(void *arg, const char *fault)
{
	struct verify *verify = arg;
	struct buf text = { 0 };

	verify->out->faults++;
	if (!verify->prints)
		return;
	ctl_print_safe(slice_str(fault), &text);
	ctl_progress_clear(&verify->progress);
	printf("fault: %.*s\n", (int)text.len, text.data);
	buf_release(&text);
}

static void fault(struct verify *verify, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void fault(struct verify *verify, const char *fmt, ...)
{
	char text[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	found_fault(verify, text);
}

static void note(const struct verify *verify, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void note(const struct verify *verify, const char *fmt, ...)
{
	va_list args;

	if (!verify->prints)
		return;
	ctl_progress_clear(&verify->progress);
	va_start(args, fmt);
	printf("note: ");
	vprintf(fmt, args);
	putchar('\n');
	va_end(args);
}

/* Bytes of a name, printable; valid until the next call. */
static const char *safe(struct verify *verify, struct slice name)
{
	buf_reset(&verify->name);
	ctl_print_safe(name, &verify->name);
	buf_append_char(&verify->name, '\0');
	return buf_error(&verify->name) < 0 ? "?" : verify->name.data;
}

static uint32_t number_at(const void *bytes)
{
	const uint8_t *at = bytes;

	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static struct slice key_of_number(uint32_t number, uint8_t out[4])
{
	out[0] = (uint8_t)(number >> 24);
	out[1] = (uint8_t)(number >> 16);
	out[2] = (uint8_t)(number >> 8);
	out[3] = (uint8_t)number;
	return slice_of(out, 4);
}

/* ---- ingest's notes in STORE_META. Groups that were removed and are still being swept: "removed." and the id, to the table of rows.
 * Tables of rows that nobody reads any more, or not yet: "unused." and the table ---- */

static const char removed_prefix[] = "removed.", unused_prefix[] = "unused.";

static bool is_noted(struct verify *verify, const char *prefix, uint32_t number)
{
	size_t len = strlen(prefix);
	uint8_t key[16 + 4];
	struct slice value;

	memcpy(key, prefix, len);
	key_of_number(number, key + len);
	return store_get(verify->snap, STORE_META, slice_of(key, len + 4), &value) == 0;
}

static bool is_removed_rows(struct verify *verify, uint32_t rows)
{
	struct store_walk *walk;
	struct slice key, value;
	bool is_there = false;

	if (store_walk_begin(verify->snap, STORE_META, slice_str(removed_prefix), &walk) < 0)
		return false;
	while (!is_there && store_walk_next(walk, &key, &value) == 0)
		is_there = value.len == 4 && number_at(value.data) == rows;
	store_walk_end(walk);
	return is_there;
}

/* ---- rows ---- */

struct counts {
	uint64_t entities, rows, row_bytes;
};

static void check_stamp(struct verify *verify, const struct catalog_group *grp, struct slice entity,
			const struct record_stamp *stamp)
{
	struct slice text;
	uint8_t key[4];

	if (stamp->source == 0 || stamp->source == verify->known_source)
		return;
	if (store_get(verify->snap, STORE_SOURCES, key_of_number(stamp->source, key), &text) == 0)
		verify->known_source = stamp->source;
	else
		fault(verify, "%s/%s: source %" PRIu32 " is not in the table of sources", grp->name,
		      safe(verify, entity), stamp->source);
}

static void check_value(struct verify *verify, const struct catalog_group *grp, const struct catalog_feature *feature,
			struct slice entity, const struct record_cell *cell)
{
	char type[TYPE_NAME_MAX];
	struct why why = { "" };
	struct slice wide;
	int rc;

	buf_reset(&verify->scratch);
	rc = type_widen(&feature->type, cell->type, cell->value, &verify->scratch, &wide);
	if (rc == 0)
		rc = type_check(&feature->type, wide, &why);
	if (rc == 0)
		return;
	type_print(&feature->type, type);
	fault(verify, "%s/%s/%s: %zu bytes of type code %u are no %s%s%s", grp->name, safe(verify, entity),
	      feature->name, cell->value.len, cell->type, type, why.text[0] ? ": " : "", why.text);
}

static void check_cell(struct verify *verify, const struct catalog_group *grp, struct slice entity,
		       const struct record *row, const struct record_cell *cell)
{
	const struct catalog_feature *feature = catalog_feature_at(grp, cell->slot);
	struct record_stamp stamp;

	record_stamp(row, cell->stamp, &stamp);
	check_stamp(verify, grp, entity, &stamp);
	if (!feature) {
		fault(verify, "%s/%s: a value in slot %u, which no feature has", grp->name, safe(verify, entity),
		      cell->slot);
		return;
	}
	if (cell->state == RECORD_PRESENT)
		check_value(verify, grp, feature, entity, cell);
	if (cell->state == RECORD_PRESENT || cell->state == RECORD_NULL) {
		verify->out->values++;
		if (!record_exists(row))
			fault(verify, "%s/%s/%s: a value of an entity that does not exist", grp->name,
			      safe(verify, entity), feature->name);
	}
}

static void check_row(struct verify *verify, const struct catalog_group *grp, struct slice entity, struct slice bytes,
		      struct counts *counts)
{
	struct why why = { "" };
	struct record row;

	counts->rows++;
	counts->row_bytes += entity.len + bytes.len;
	if (text_check_entity(entity, grp->n_keys, &why) < 0)
		fault(verify, "%s: \"%s\" is no entity's name: %s", grp->name, safe(verify, entity), why.text);
	/* What a record itself must be is the store's to tell, which walks every row, too. */
	if (record_view(bytes, &row) < 0 || record_check(bytes, false, NULL) < 0)
		return;
	counts->entities += record_exists(&row);
	for (unsigned i = 0; i < row.cells; i++) {
		struct record_cell cell;

		record_cell(&row, i, &cell);
		check_cell(verify, grp, entity, &row, &cell);
	}
}

static void check_counters(struct verify *verify, const struct catalog_group *grp, const struct counts *counts)
{
	struct catalog_stats stats = { 0 };
	struct slice bytes = slice_of(NULL, 0);
	uint8_t key[4];
	int rc = store_get(verify->snap, STORE_STATS, key_of_number(grp->id, key), &bytes);

	if ((rc < 0 && rc != -ENOENT) || catalog_stats_decode(bytes, &stats) < 0) {
		fault(verify, "%s: its counters cannot be read", grp->name);
		return;
	}
	if (stats.entities != counts->entities)
		fault(verify, "%s: %" PRIu64 " entities are counted, %" PRIu64 " are there", grp->name, stats.entities,
		      counts->entities);
	if (stats.rows != counts->rows)
		fault(verify, "%s: %" PRIu64 " rows are counted, %" PRIu64 " are there", grp->name, stats.rows,
		      counts->rows);
	if (stats.row_bytes != counts->row_bytes)
		fault(verify, "%s: %" PRIu64 " bytes of rows are counted, %" PRIu64 " are there", grp->name,
		      stats.row_bytes, counts->row_bytes);
}

/* An empty row hides one below, which only a row of an overlay can do. */
static int check_own_rows(struct verify *verify, const struct catalog_group *grp)
{
	struct store_walk *walk;
	struct slice entity, bytes;
	int rc = store_walk_rows(verify->snap, grp->rows, slice_of(NULL, 0), &walk);

	if (rc < 0)
		return rc;
	while ((rc = store_walk_next(walk, &entity, &bytes)) == 0)
		if (!bytes.len)
			fault(verify, "%s/%s: an empty row", grp->name, safe(verify, entity));
	store_walk_end(walk);
	return rc == -ENOENT ? 0 : rc;
}

static int check_group(struct verify *verify, const struct catalog_group *grp)
{
	struct counts counts = { 0 };
	struct store_walk *walk;
	struct slice entity, bytes;
	int rc = check_own_rows(verify, grp);

	if (rc == 0)
		rc = store_walk_rows_over(verify->snap, grp->rows, grp->overlay, slice_of(NULL, 0), &walk);
	if (rc < 0)
		return rc;
	while ((rc = store_walk_next(walk, &entity, &bytes)) == 0) {
		check_row(verify, grp, entity, bytes, &counts);
		if (++verify->done % 1024 == 0)
			ctl_progress_step(&verify->progress, verify->done, verify->total);
	}
	store_walk_end(walk);
	if (rc != -ENOENT)
		return rc;
	check_counters(verify, grp, &counts);
	verify->out->groups++;
	verify->out->entities += counts.entities;
	return 0;
}

/* ---- tables ---- */

static bool owns_rows(const struct catalog *cat, uint32_t rows)
{
	for (unsigned i = 0; i < cat->n_groups; i++)
		if (cat->groups[i]->rows == rows || cat->groups[i]->overlay == rows)
			return true;
	return false;
}

static bool shares_rows(const struct catalog_group *a, const struct catalog_group *b)
{
	return a->rows == b->rows || (a->overlay && (a->overlay == b->rows || a->overlay == b->overlay)) ||
	       (b->overlay && b->overlay == a->rows);
}

static int check_row_tables(struct verify *verify)
{
	uint32_t rows = 0;
	int rc;

	while ((rc = store_rows_next(verify->snap, rows, &rows)) == 0) {
		if (owns_rows(verify->cat, rows))
			continue;
		if (is_noted(verify, unused_prefix, rows))
			note(verify, "table of rows %" PRIu32 " is of a load that is at work, has failed or was replaced", rows);
		else if (is_removed_rows(verify, rows))
			note(verify,
			     "table of rows %" PRIu32 " was that of a removed group; the sweep gives its space back",
			     rows);
		else
			fault(verify, "table of rows %" PRIu32 " belongs to no group", rows);
	}
	for (unsigned i = 0; i < verify->cat->n_groups; i++)
		for (unsigned j = 0; j < i; j++)
			if (shares_rows(verify->cat->groups[i], verify->cat->groups[j]))
				fault(verify, "%s and %s have the same table of rows", verify->cat->groups[j]->name,
				      verify->cat->groups[i]->name);
	return rc == -ENOENT ? 0 : rc;
}

static int walk_table(struct verify *verify, enum store_table table,
		      void (*check)(struct verify *verify, struct slice key, struct slice value))
{
	struct store_walk *walk;
	struct slice key, value;
	int rc = store_walk_begin(verify->snap, table, slice_of(NULL, 0), &walk);

	if (rc < 0)
		return rc;
	while ((rc = store_walk_next(walk, &key, &value)) == 0)
		check(verify, key, value);
	store_walk_end(walk);
	return rc == -ENOENT ? 0 : rc;
}

static bool is_owned(struct verify *verify, uint32_t id)
{
	return catalog_find_id(verify->cat, id) || is_noted(verify, removed_prefix, id);
}

static void check_stats_key(struct verify *verify, struct slice key, struct slice value)
{
	struct catalog_stats stats;

	if (key.len != 4 || !is_owned(verify, number_at(key.data)))
		fault(verify, "counters of no group, under the key \"%s\"", safe(verify, key));
	else if (catalog_stats_decode(value, &stats) < 0)
		fault(verify, "the counters of group %" PRIu32 " cannot be read", number_at(key.data));
}

static void check_xattr(struct verify *verify, struct slice key, struct slice value)
{
	if (key.len <= 4 || key.len > 4 + CATALOG_XATTR_NAME_MAX || value.len > CATALOG_XATTR_MAX)
		fault(verify, "an attribute that is not well formed, under the key \"%s\"", safe(verify, key));
	else if (number_at(key.data) != CATALOG_ROOT_ID && !is_owned(verify, number_at(key.data)))
		fault(verify, "an attribute of no group, \"%s\"",
		      safe(verify, slice_of((const char *)key.data + 4, key.len - 4)));
}

static void check_source(struct verify *verify, struct slice key, struct slice value)
{
	if (key.len != 4 || number_at(key.data) == 0)
		fault(verify, "a source under the key \"%s\", which is no number", safe(verify, key));
	else if (!text_is_utf8(value))
		fault(verify, "source %" PRIu32 " is no text", number_at(key.data));
}

static void check_position(struct verify *verify, struct slice key, struct slice value)
{
	if (!text_is_utf8(key))
		fault(verify, "a lane's position under the key \"%s\", which is no text", safe(verify, key));
	else if (value.len == 0)
		fault(verify, "the lane position \"%s\" is empty", safe(verify, key));
}

static void check_unused(struct verify *verify, struct slice key, struct slice value)
{
	size_t prefix = sizeof unused_prefix - 1;

	if (key.len < prefix || memcmp(key.data, unused_prefix, prefix) != 0)
		return;
	if (key.len != prefix + 4 || value.len != 4)
		fault(verify, "the note \"%s\" of an unused table of rows is not well formed", safe(verify, key));
	else if (owns_rows(verify->cat, number_at((const char *)key.data + prefix)))
		fault(verify, "table of rows %" PRIu32 " is noted as unused, and a group reads it",
		      number_at((const char *)key.data + prefix));
}

static void check_removed(struct verify *verify, struct slice key, struct slice value)
{
	size_t prefix = sizeof removed_prefix - 1;
	uint32_t id;

	if (key.len < prefix || memcmp(key.data, removed_prefix, prefix) != 0)
		return;
	if (key.len != prefix + 4 || value.len != 4) {
		fault(verify, "the note \"%s\" of a removed group is not well formed", safe(verify, key));
		return;
	}
	id = number_at((const char *)key.data + prefix);
	if (catalog_find_id(verify->cat, id))
		fault(verify, "group %" PRIu32 " is noted as removed, and is there", id);
	else if (owns_rows(verify->cat, number_at(value.data)))
		fault(verify, "the rows of the removed group %" PRIu32 " belong to another group", id);
}

static int check_tables(struct verify *verify)
{
	int rc = check_row_tables(verify);

	if (rc == 0)
		rc = walk_table(verify, STORE_STATS, check_stats_key);
	if (rc == 0)
		rc = walk_table(verify, STORE_XATTR, check_xattr);
	if (rc == 0)
		rc = walk_table(verify, STORE_SOURCES, check_source);
	if (rc == 0)
		rc = walk_table(verify, STORE_POSITIONS, check_position);
	if (rc == 0)
		rc = walk_table(verify, STORE_META, check_removed);
	if (rc == 0)
		rc = walk_table(verify, STORE_META, check_unused);
	return rc;
}

static int check_groups(struct verify *verify)
{
	int rc = 0;

	for (unsigned i = 0; i < verify->cat->n_groups; i++) {
		struct slice bytes = slice_of(NULL, 0);
		struct catalog_stats stats;
		uint8_t key[4];

		if (store_get(verify->snap, STORE_STATS, key_of_number(verify->cat->groups[i]->id, key), &bytes) == 0 &&
		    catalog_stats_decode(bytes, &stats) == 0)
			verify->total += stats.rows;
	}
	for (unsigned i = 0; rc == 0 && i < verify->cat->n_groups; i++)
		rc = check_group(verify, verify->cat->groups[i]);
	return rc;
}

static int check_catalog(struct verify *verify, struct store *store)
{
	struct why why = { "" };
	int rc = store_snap_begin(store, &verify->snap);

	if (rc < 0)
		return rc;
	rc = catalog_load(verify->snap, &verify->cat, &why);
	if (rc == -EBADMSG) {
		fault(verify, "the catalog cannot be read, so no group was looked at: %s", why.text);
		rc = 0;
	} else if (rc == 0) {
		rc = check_groups(verify);
		if (rc == 0)
			rc = check_tables(verify);
	}
	if (rc == -EBADMSG) {
		fault(verify, "the map cannot be walked to its end");
		rc = 0;
	}
	catalog_unref(verify->cat);
	store_snap_end(verify->snap);
	return rc;
}

int ctl_verify_store(const char *path, bool quiet, bool prints, struct ctl_verified *out, struct why *why)
{
	struct verify verify = { .out = out, .prints = prints };
	struct store *store;
	int rc = store_open_reader(path, &store, why);

	*out = (struct ctl_verified){ 0 };
	if (rc < 0)
		return why->text[0] ? rc : why_fail(why, -rc, "%s: %s", path, strerror(-rc));
	ctl_progress_begin(&verify.progress, "verify", false, quiet);
	rc = store_verify(store, found_fault, &verify);
	/* A part that had to be looked at twice, because the log was trimmed meanwhile, counts once. */
	if (rc >= 0)
		out->faults = (uint64_t)rc;
	if (rc >= 0)
		rc = check_catalog(&verify, store);
	if (rc < 0)
		why_fail(why, -rc, "%s: it can't be read to its end: %s", path, strerror(-rc));
	ctl_progress_end(&verify.progress);
	store_close(store);
	buf_release(&verify.scratch);
	buf_release(&verify.name);
	return rc;
}

static int verify_place(const struct ctl *ctl, const char *path, bool quiet)
{
	struct ctl_verified verified;
	struct why why = { "" };
	int rc = ctl_verify_store(path, quiet, true, &verified, &why);

	if (rc < 0)
		return ctl_fail(ctl, rc == -ENOENT ? CTL_NONE : CTL_FAILURE, "%s%s", why.text, ctl_store_hint(rc));
	printf("verified: %" PRIu64 " group%s, %" PRIu64 " entit%s, %" PRIu64 " value%s, ", verified.groups,
	       verified.groups == 1 ? "" : "s", verified.entities, verified.entities == 1 ? "y" : "ies", verified.values,
	       verified.values == 1 ? "" : "s");
	if (verified.faults == 0) {
		puts("no fault");
		return CTL_OK;
	}
	printf("%" PRIu64 " fault%s\n", verified.faults, verified.faults == 1 ? "" : "s");
	return CTL_FAILURE;
}

int ctl_verify(struct ctl *ctl, int argc, char **argv)
{
	static const struct option longs[] = { { "quiet", no_argument, NULL, 'q' }, CTL_LONG_OPTIONS };
	struct ctl_mount place;
	bool quiet = false;
	int opt, rc;

	while ((opt = ctl_option(ctl, argc, argv, "q", longs)) >= 0) {
		if (opt == 0)
			return ctl->exit;
		quiet = true;
	}
	if (argc - optind > 1 || (argc - optind == 1 && ctl->store))
		return ctl_fail(ctl, CTL_USAGE, "takes one store or backup; see featurectl verify --help");
	if (optind < argc)
		ctl->store = argv[optind];
	rc = ctl_find_store(ctl, &place);
	if (rc)
		return rc;
	rc = verify_place(ctl, place.source, quiet);
	ctl_mount_release(&place);
	return rc;
}
