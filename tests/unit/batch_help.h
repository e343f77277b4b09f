/* SPDX-License-Identifier: MIT */
/* Reads a file of rows from memory and writes what came out as lines of text, so that a test is two texts. */
#ifndef BATCH_HELP_H
#define BATCH_HELP_H

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/clock.h"
#include "batch/source.h"
#include "store/record.h"
#include "test.h"

/* 2026-11-23T00:00:00Z: the event time of rows that say none, shown as "-". */
#define HELP_DEFAULT_NS (INT64_C(1795392000) * CLOCK_SECOND)

static inline struct catalog_group *help_group(const char *schema)
{
	struct catalog_group *grp;
	struct why why = { "" };

	if (catalog_group_parse("schema", slice_str(schema), &grp, &why) < 0) {
		fprintf(stderr, "%s\n", why.text);
		exit(1);
	}
	return grp;
}

static inline int help_file(const void *data, size_t len)
{
	int fd = memfd_create("rows", MFD_CLOEXEC);

	NEED(fd >= 0);
	for (size_t at = 0; at < len;) {
		ssize_t n = write(fd, (const char *)data + at, len - at);

		NEED(n > 0);
		at += (size_t)n;
	}
	NEED(lseek(fd, 0, SEEK_SET) == 0);
	return fd;
}

struct help {
	const struct catalog_group *grp;
	struct buf text;	/* what came out */
	struct buf ignored, missing;
	unsigned rows, rejects;
	bool is_quiet;		/* counts only */
	struct why why;		/* of the errno that ended it */
	const char *parquet_folder;
};

/* Two rows, one of them bad: "3 u1 2026-11-23T01:00:00Z clicks=3 name=null", "!4 u2: clicks: ...". */
static inline int help_reject(void *arg, uint64_t line, struct slice entity, int rc, const struct why *why)
{
	struct help *help = arg;

	CHECK(rc < 0);
	CHECK(why->text[0]);
	help->rejects++;
	if (!help->is_quiet)
		buf_printf(&help->text, "!%llu %.*s: %s\n", (unsigned long long)line, (int)entity.len, (const char *)entity.data, why->text);
	return 0;
}

static inline void help_print_cells(struct help *help, const struct record *rec)
{
	static const char *const states[] = { "absent", NULL, "null", "deleted" };

	for (unsigned i = 0; i < rec->cells; i++) {
		struct record_cell cell;
		const struct catalog_feature *feature;

		record_cell(rec, i, &cell);
		feature = catalog_feature_at(help->grp, cell.slot);
		NEED(feature);
		buf_printf(&help->text, " %s=", feature->name);
		if (cell.state == RECORD_PRESENT) {
			CHECK_INT(cell.type, type_code(&feature->type));
			CHECK_INT(type_check(&feature->type, cell.value, NULL), 0);
			CHECK_INT(type_json_print(&feature->type, cell.value, &help->text), 0);
		} else {
			buf_append_str(&help->text, states[cell.state]);
		}
	}
}

static inline void help_print(struct help *help, uint64_t line, struct slice entity, struct slice bytes)
{
	struct record_stamp stamp;
	struct record rec;
	char time[CLOCK_TEXT_MAX] = "-";

	CHECK_INT(record_check(bytes, false, NULL), 0);
	NEED(record_view(bytes, &rec) == 0);
	record_stamp(&rec, 0, &stamp);
	if (rec.stamps && stamp.event_ns != HELP_DEFAULT_NS)
		clock_print_time(stamp.event_ns, true, time);
	if (rec.stamps)
		CHECK_INT(stamp.origin, line);
	buf_printf(&help->text, "%llu %.*s %s%s", (unsigned long long)line, (int)entity.len, (const char *)entity.data, time,
		   rec.flags & RECORD_TOMB ? " gone" : "");
	CHECK(!(rec.flags & RECORD_TOMB) != !record_exists(&rec));
	help_print_cells(help, &rec);
	buf_append_char(&help->text, '\n');
}

/* 0 at the end of the file, or what ended it. */
static inline int help_read_fd(struct help *help, const struct batch_mapping_override *override, const char *name, int fd)
{
	struct batch_source_options options = { .default_event_ns = HELP_DEFAULT_NS, .reject = help_reject, .arg = help,
						.parquet_folder = help->parquet_folder };
	struct batch_mapping *mapping;
	struct batch_source *source;
	struct slice entity, record;
	uint64_t line, done, total;
	int rc = batch_mapping_new(help->grp, override, &mapping, &help->why);

	buf_reset(&help->text);
	buf_reset(&help->ignored);
	buf_reset(&help->missing);
	help->rows = help->rejects = 0;
	if (rc < 0) {
		close(fd);
		return rc;
	}
	options.mapping = mapping;
	options.met = calloc(batch_mapping_targets(mapping) + 1, sizeof *options.met);
	NEED(options.met);
	rc = batch_source_open_fd(fd, name, &options, &source, &help->why);
	if (rc == 0) {
		while ((rc = batch_source_next(source, &entity, &record, &line, &help->why)) == 0) {
			help->rows++;
			if (!help->is_quiet)
				help_print(help, line, entity, record);
		}
		if (rc == -ENOENT) {
			batch_source_progress(source, &done, &total);
			CHECK_INT(done, total);
			rc = 0;
		}
		CHECK_INT(batch_source_ignored(source, &help->ignored), 0);
		CHECK_INT(batch_mapping_missing(mapping, options.met, &help->missing), 0);
		batch_source_close(source);
	}
	free(options.met);
	batch_mapping_free(mapping);
	return rc;
}

static inline int help_read(struct help *help, const struct batch_mapping_override *override, const char *name, const void *data,
			    size_t len)
{
	return help_read_fd(help, override, name, help_file(data, len));
}

static inline int help_read_text(struct help *help, const char *name, const char *text)
{
	return help_read(help, NULL, name, text, strlen(text));
}

static inline int help_read_with(struct help *help, const struct batch_mapping_override *override, const char *text)
{
	return help_read(help, override, "a.csv", text, strlen(text));
}

static inline void help_release(struct help *help)
{
	buf_release(&help->text);
	buf_release(&help->ignored);
	buf_release(&help->missing);
}

#endif
