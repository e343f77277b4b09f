/* SPDX-License-Identifier: MIT */
/*
 * Opens a dropped file as what it is. Content comes first: Parquet and compression have their magic, and no row of CSV of ours begins with a
 * '{'. The name's suffix decides only between the two kinds of text.
 */
#include "batch/source_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

static const char *const packed_suffixes[] = { ".gz", ".gzip", ".zst", ".zstd" };

static bool ends_with(const char *name, size_t len, const char *suffix)
{
	size_t n = strlen(suffix);

	return len > n && !strncasecmp(name + len - n, suffix, n);
}

bool source_has_suffix(const char *name, const char *suffix)
{
	size_t len = strlen(name);

	for (unsigned i = 0; i < sizeof packed_suffixes / sizeof *packed_suffixes; i++)
		if (ends_with(name, len, packed_suffixes[i])) {
			len -= strlen(packed_suffixes[i]);
			break;
		}
	return ends_with(name, len, suffix);
}

void source_met(const struct batch_source *source, unsigned target)
{
	if (source->options.met)
		source->options.met[target] = true;
}

int source_reject(struct batch_source *source, uint64_t line, struct slice entity, int rc, const struct why *why)
{
	return source->options.reject ? source->options.reject(source->options.arg, line, entity, rc, why) : 0;
}

static bool is_json_name(const char *name)
{
	return source_has_suffix(name, ".json") || source_has_suffix(name, ".jsonl") || source_has_suffix(name, ".ndjson");
}

static bool is_csv_name(const char *name)
{
	return source_has_suffix(name, ".csv") || source_has_suffix(name, ".tsv") || source_has_suffix(name, ".psv");
}

/* Text of unknown name: JSON begins with '{', behind blanks and a byte order mark at the most. */
static bool looks_like_json(struct slice head)
{
	const char *p = head.data;
	size_t i = head.len >= 3 && !memcmp(p, "\xef\xbb\xbf", 3) ? 3 : 0;

	while (i < head.len && memchr(" \t\r\n", p[i], 4))
		i++;
	return i < head.len && p[i] == '{';
}

struct kind {
	struct batch_source *(*new)(void);
	int (*open)(struct batch_source *source, struct why *why);
};

static int choose_kind(const char *name, struct input *input, struct kind *out, struct why *why)
{
	static const struct kind csv = { source_csv_new, source_csv_open }, json = { source_json_new, source_json_open };
	static const struct kind parquet = { source_parquet_new, source_parquet_open };
	struct slice head = input_head(input);
	int rc;

	if (head.len >= 4 && !memcmp(head.data, "PAR1", 4)) {
		*out = parquet;
		return 0;
	}
	if (source_has_suffix(name, ".parquet"))
		return why_fail(why, EINVAL, input_is_compressed(input) ? "Parquet inside of gzip or zstd: decompress it first" :
				"the name ends in .parquet, but the file does not begin as Parquet does: was it copied whole?");
	rc = input_peek(input, &head, why);
	if (rc < 0)
		return rc;
	if (head.len && !*(const char *)head.data)
		return why_fail(why, EINVAL, "the file begins with NUL bytes, as one that was loaded reads in .import: whoever adds rows to such a "
				"one copies all of it again");
	*out = is_json_name(name) || (!is_csv_name(name) && looks_like_json(head)) ? json : csv;
	return 0;
}

static int open_input(struct input *input, const char *name, const struct batch_source_options *options, struct batch_source **out,
		      struct why *why)
{
	struct batch_source *source = NULL;
	struct kind kind = { NULL, NULL };
	int rc = choose_kind(name, input, &kind, why);

	if (rc == 0) {
		source = kind.new();
		rc = source ? 0 : -ENOMEM;
	}
	if (!source) {
		input_close(input);
		return rc;
	}
	source->input = input;
	source->options = *options;
	source->name = strdup(name);
	rc = source->name ? kind.open(source, why) : -ENOMEM;
	if (rc < 0)
		batch_source_close(source);
	else
		*out = source;
	return rc;
}

int batch_source_open_fd(int takes_fd, const char *name, const struct batch_source_options *options, struct batch_source **out,
			 struct why *why)
{
	struct input *input;
	int rc = input_open(takes_fd, &input, why);

	return rc < 0 ? rc : open_input(input, name, options, out, why);
}

int batch_source_open(int dir_fd, const char *name, const struct batch_source_options *options, struct batch_source **out,
		      struct why *why)
{
	int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return why_fail(why, errno, "the file can't be opened: %s", strerror(errno));
	return batch_source_open_fd(fd, name, options, out, why);
}

int batch_source_next_cells(struct batch_source *source, struct slice *out_entity, struct row_cells *out, uint64_t *out_line, struct why *why)
{
	int rc = source->ops->next(source, out_entity, out, out_line, why);

	if (rc == 0)
		out->stamp.origin |= source->options.origin;
	return rc;
}

int batch_source_next(struct batch_source *source, struct slice *out_entity, struct slice *out_record, uint64_t *out_line,
		      struct why *why)
{
	struct row_cells row;
	int rc = batch_source_next_cells(source, out_entity, &row, out_line, why);

	if (rc < 0)
		return rc;
	buf_reset(&source->record);
	rc = record_pack(row.flags, &row.stamp, row.cells, row.n, &source->record);
	*out_record = buf_slice(&source->record);
	return rc;
}

void batch_source_progress(struct batch_source *source, uint64_t *out_done_bytes, uint64_t *out_total_bytes)
{
	if (source->ops->progress)
		source->ops->progress(source, out_done_bytes, out_total_bytes);
	else
		input_progress(source->input, out_done_bytes, out_total_bytes);
}

int batch_source_ignored(const struct batch_source *source, struct buf *out)
{
	return source->ops->ignored(source, out);
}

const char *batch_source_format(const struct batch_source *source)
{
	return source->ops->format;
}

void batch_source_close(struct batch_source *source)
{
	struct input *input;

	if (!source)
		return;
	input = source->input;
	free(source->name);
	buf_release(&source->record);
	if (source->ops)
		source->ops->close(source);
	else
		free(source);
	input_close(input);
}
