/* SPDX-License-Identifier: MIT */
/* Foreign bytes as a file of rows: every row that comes out is whole and of its types, every refusal has a reason, and the same bytes read
 * twice give the same. */
#ifndef FUZZ_ROWS_H
#define FUZZ_ROWS_H

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/text.h"
#include "batch/source.h"
#include "store/record.h"

static const char rows_schema[] =
	"[group]\nentity = user, day\n"
	"[feature n]\ntype = int64\n[feature i]\ntype = int32\n[feature x]\ntype = float64\n[feature f]\ntype = float32\nnan = yes\n"
	"[feature s]\ntype = string\n[feature b]\ntype = bool\n[feature v]\ntype = float32[2]\n[feature t]\ntype = timestamp\n"
	"[feature w]\ntype = string[]\n[feature raw]\ntype = bytes\n[feature j]\ntype = json\n"
	"[batch]\nfeature.n = clicks\nnull = NA\n";

static inline int rows_reject(void *arg, uint64_t line, struct slice entity, int rc, const struct why *why)
{
	uint64_t *sum = arg;

	if (rc >= 0 || !why->text[0] || !line || entity.len > 4096)
		abort();
	*sum = *sum * 31 + line;
	return 0;
}

static inline void rows_check(const struct catalog_group *grp, struct slice entity, struct slice bytes)
{
	struct record rec;

	if (text_check_entity(entity, 2, NULL) < 0 || record_check(bytes, false, NULL) < 0 || record_view(bytes, &rec) < 0)
		abort();
	for (unsigned i = 0; i < rec.cells; i++) {
		const struct catalog_feature *feature;
		struct record_cell cell;

		record_cell(&rec, i, &cell);
		feature = catalog_feature_at(grp, cell.slot);
		if (!feature || (cell.state == RECORD_PRESENT &&
				 (cell.type != type_code(&feature->type) || type_check(&feature->type, cell.value, NULL) < 0)))
			abort();
	}
}

/* A number that stands for all that came out. */
static inline uint64_t rows_read(const struct batch_mapping *mapping, const struct catalog_group *grp, int fd, const char *name)
{
	uint64_t sum = 7, line, last = 0;
	struct batch_source_options options = { .mapping = mapping, .reject = rows_reject, .arg = &sum };
	struct batch_source *source;
	struct slice entity, record;
	struct why why = { "" };
	struct buf ignored = { 0 };
	int rc = batch_source_open_fd(dup(fd), name, &options, &source, &why);

	if (rc < 0) {
		if (rc != -ENOMEM && !why.text[0])
			abort();
		return (uint64_t)-rc;
	}
	while ((rc = batch_source_next(source, &entity, &record, &line, &why)) == 0) {
		rows_check(grp, entity, record);
		if (line <= last)
			abort();
		last = line;
		for (size_t i = 0; i < record.len; i++)
			sum = sum * 31 + ((const uint8_t *)record.data)[i];
	}
	if (rc != -ENOENT && rc != -ENOMEM && !why.text[0])
		abort();
	if (batch_source_ignored(source, &ignored) < 0)
		abort();
	buf_release(&ignored);
	batch_source_close(source);
	return sum * 31 + (uint64_t)-rc;
}

static inline void rows_fuzz(const uint8_t *data, size_t size, const char *name)
{
	static struct catalog_group *grp;
	static struct batch_mapping *mapping;
	uint64_t first;
	int fd = memfd_create("rows", MFD_CLOEXEC);

	if (fd < 0 || (size && write(fd, data, size) != (ssize_t)size))
		abort();
	if (!grp && (catalog_group_parse("schema", slice_str(rows_schema), &grp, NULL) < 0 ||
		     batch_mapping_new(grp, NULL, &mapping, NULL) < 0))
		abort();
	lseek(fd, 0, SEEK_SET);
	first = rows_read(mapping, grp, fd, name);
	lseek(fd, 0, SEEK_SET);
	if (rows_read(mapping, grp, fd, name) != first)
		abort();
	close(fd);
}

#endif
