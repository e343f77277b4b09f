/* SPDX-License-Identifier: MIT */
/* The table of options, and one value of it: read from text, checked against its range, printed. */
#include "daemon/option.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/num.h"

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define SECONDS(n) ((uint64_t)(n) * CLOCK_SECOND)
#define AT(field) offsetof(struct options, field)

const struct option_row option_table[] = {
	{ "store", "map_size", OPTION_BYTES, AT(map_bytes), "64G", 16 * MIB, 64 * 1024 * GIB, NULL,
	  "How large data.mdb may grow. It takes disk space only as it fills; address space at once." },
	{ "store", "durability", OPTION_CHOICE, AT(durability), "sync", 0, 0, "sync|relaxed",
	  "sync: a write that has returned survives a loss of power. relaxed: it survives a crash of the daemon only." },
	{ "log", "segment_size", OPTION_BYTES, AT(segment_bytes), "16M", 64 * KIB, GIB, NULL,
	  "Size of one file of the change log; they are allocated ahead and used again." },
	{ "log", "keep_max", OPTION_BYTES, AT(log_keep_bytes), "4G", MIB, 64 * 1024 * GIB, NULL,
	  "How much of the change log is kept for a follower that is behind, before it is dropped." },
	{ "checkpoint", "interval", OPTION_SPAN, AT(checkpoint_ns), "2s", SECONDS(1) / 100, SECONDS(3600), NULL,
	  "A store that changes makes a checkpoint at least this often. Longer ones cost disk space and recovery time." },
	{ "checkpoint", "bytes", OPTION_BYTES, AT(checkpoint_bytes), "64M", MIB, 1024 * GIB, NULL,
	  "And after this much change log." },
	{ "ingest", "future", OPTION_SPAN, AT(future_ns), "5m", 0, SECONDS(366 * 86400), NULL,
	  "Event times further ahead of the clock than this are refused." },
	{ "ingest", "tombstones", OPTION_SPAN, AT(tombstone_ns), "7d", 0, SECONDS(3660 * UINT64_C(86400)), NULL,
	  "How long a deletion holds off older values that come late." },
	{ "ingest", "sweep_interval", OPTION_SPAN, AT(sweep_ns), "60s", 0, SECONDS(366 * 86400), NULL,
	  "Time between two sweeps, which give back the space of expired values. 0: none." },
	{ "ingest", "overlay", OPTION_COUNT, AT(overlay_percent), "10", 0, 100, NULL,
	  "Per cent of a group's rows that loads may leave in a small table over the others, where readers look first: a re-load of a few rows writes "
	  "little then. 0: they are always put among the others, in the background." },
	{ "ingest", "overlay_age", OPTION_SPAN, AT(overlay_ns), "3h", 0, SECONDS(3660 * UINT64_C(86400)), NULL,
	  "And how long, if no load of the group follows: longer than from one load to the next. 0: not at all." },
	{ "mount", "threads", OPTION_COUNT, AT(threads), "10", 1, 1000, NULL,
	  "Threads that answer file system requests, at the most." },
	{ "mount", "scratch_files", OPTION_COUNT, AT(scratch_files), "1024", 0, 1000000, NULL,
	  "Scratch files (temporary names of editors and tools, kept in memory) at once." },
	{ "mount", "scratch_bytes", OPTION_BYTES, AT(scratch_bytes), "64M", 0, 1024 * GIB, NULL,
	  "Memory for all of them together." },
	{ "mount", "scratch_time", OPTION_SPAN, AT(scratch_ns), "60s", SECONDS(1) / 10, SECONDS(86400), NULL,
	  "A scratch file that nobody used for this long is gone." },
	{ "mount", "read_only", OPTION_BOOL, AT(read_only), "no", 0, 0, NULL,
	  "Every change is refused (EROFS). The same as -o ro." },
	{ "mount", "allow_other", OPTION_BOOL, AT(allow_other), "no", 0, 0, NULL,
	  "Other users may use the mount, within the permissions of each group. Without it, only the user who mounted." },
	{ "mount", "uid", OPTION_ID, AT(uid), "", 0, UINT32_MAX - 1, NULL,
	  "Show all files as this user's, instead of the owner that the store keeps." },
	{ "mount", "gid", OPTION_ID, AT(gid), "", 0, UINT32_MAX - 1, NULL,
	  "The same for the group of users." },
	{ "mount", "umask", OPTION_MODE, AT(umask), "", 0, 0777, NULL,
	  "Permissions (octal) that are taken from all files, instead of the modes that the store keeps." },
	{ "batch", "memory", OPTION_BYTES, AT(batch_memory_bytes), "512M", 64 * MIB, 1024 * GIB, NULL,
	  "What a load may use; what does not fit is sorted on the disk." },
	{ "batch", "spool_size", OPTION_BYTES, AT(spool_bytes), "64G", MIB, 1024 * 1024 * GIB, NULL,
	  "How much dropped files that are not loaded yet may take, in all groups; more is ENOSPC to who copies." },
	{ "batch", "spool_files", OPTION_COUNT, AT(spool_files), "100000", 1, 10000000, NULL,
	  "And how many files and directories may be in .import, those that were loaded included." },
	{ "batch", "retention", OPTION_SPAN, AT(retention_ns), "7d", 0, SECONDS(3660 * UINT64_C(86400)), NULL,
	  "What was loaded stays listed in .import for so long, without its content, and reports stay; [batch] of a group can say otherwise." },
	{ "batch", "settle", OPTION_SPAN, AT(settle_ns), "1s", 0, SECONDS(3600), NULL,
	  "A directory with its _SUCCESS starts when nothing came for so long, unless its copier says that it is whole." },
	{ "serve", "mountpoint", OPTION_PATH, AT(serve_path), "", 0, 0, NULL,
	  "A second, read-only mount for model servers, whose warm reads cost what they cost on tmpfs. The same as -o serve=DIR." },
	{ "serve", "threads", OPTION_COUNT, AT(serve_threads), "4", 1, 1000, NULL,
	  "Threads that answer its requests: reads of what the kernel does not hold yet." },
	{ "serve", "io_uring", OPTION_BOOL, AT(serve_io_uring), "no", 0, 0, NULL,
	  "Its requests come by io_uring instead of /dev/fuse; only where the daemon was built and the kernel is set for it." },
	{ "log", "level", OPTION_CHOICE, AT(log_level), "info", 0, 0, "error|warn|info|debug",
	  "What the daemon says, on stderr in the foreground, else to syslog." },
	/* The last section, for its properties are printed behind it. */
	{ "kafka", "brokers", OPTION_TEXT, AT(kafka_brokers), "", 0, 4096, NULL,
	  "Where Kafka is, for streams: host:port,... Every other key here is a property of librdkafka (security.protocol, sasl.password, ...)." },
	{ "kafka", "client_id", OPTION_TEXT, AT(kafka_client_id), "featurefs", 1, 255, NULL,
	  "What brokers call this client in their logs and quotas." },
	{ "kafka", "dead_letter_bytes", OPTION_BYTES, AT(dead_letter_bytes), "64M", 64 * KIB, 1024 * GIB, NULL,
	  "Dead letters that are kept for one stream; the oldest go first." },
	{ "kafka", "schema_folder", OPTION_TEXT, AT(schema_folder), "", 0, 4096, NULL,
	  "Folder with the schemas of Avro messages: 17.avsc is number 17." },
	{ "kafka", "schema_registry", OPTION_TEXT, AT(schema_registry), "", 0, 4096, NULL,
	  "URL of a schema registry that is asked for what is not in the folder." },
	{ "kafka", "schema_registry_user", OPTION_SECRET, AT(schema_user), "", 0, 4096, NULL,
	  "name:password for the registry. Never shown in .featurefs/config." },
	{ "kafka", "schema_registry_ca", OPTION_TEXT, AT(schema_ca), "", 0, 4096, NULL,
	  "Certificates by which an https registry is judged, instead of the system's." },
};

const unsigned option_count = sizeof(option_table) / sizeof(*option_table);

/* ---- one value ---- */

static int parse_bool(struct slice text, bool *out)
{
	static const char *const yes[] = { "yes", "true", "on", "1" }, *const no[] = { "no", "false", "off", "0" };

	for (size_t i = 0; i < 4; i++) {
		if (slice_equal(text, slice_str(yes[i])) || slice_equal(text, slice_str(no[i]))) {
			*out = slice_equal(text, slice_str(yes[i]));
			return 0;
		}
	}
	return -EINVAL;
}

static int parse_choice(const char *choices, struct slice text, int *out)
{
	for (int i = 0; *choices; i++) {
		size_t len = strcspn(choices, "|");

		if (slice_equal(text, slice_of(choices, len))) {
			*out = i;
			return 0;
		}
		choices += len + (choices[len] == '|');
	}
	return -EINVAL;
}

static int parse_octal(struct slice text, uint64_t *out)
{
	const char *p = text.data;

	if (!text.len || text.len > 5)
		return -EINVAL;
	*out = 0;
	for (size_t i = 0; i < text.len; i++) {
		if (p[i] < '0' || p[i] > '7')
			return -EINVAL;
		*out = *out * 8 + (uint64_t)(p[i] - '0');
	}
	return 0;
}

static void print_bytes(uint64_t bytes, struct buf *out)
{
	static const char units[] = "\0KMGT";
	unsigned u = 0;

	while (bytes && bytes % 1024 == 0 && u < 4) {
		bytes /= 1024;
		u++;
	}
	buf_printf(out, "%llu", (unsigned long long)bytes);
	if (u)
		buf_append_char(out, units[u]);
}

static void print_span(int64_t ns, struct buf *out)
{
	char text[CLOCK_TEXT_MAX];

	buf_append(out, text, clock_print_span(ns, text));
}

void option_print(const struct options *options, const struct option_row *row, struct buf *out)
{
	const void *at = (const char *)options + row->offset;
	const struct options_id *id = at;
	const char *choice = row->choices;

	switch (row->kind) {
	case OPTION_BYTES:
		print_bytes(*(const uint64_t *)at, out);
		break;
	case OPTION_SPAN:
		print_span(*(const int64_t *)at, out);
		break;
	case OPTION_COUNT:
		buf_printf(out, "%u", *(const unsigned *)at);
		break;
	case OPTION_CHOICE:
		for (int i = *(const int *)at; i > 0; i--)
			choice += strcspn(choice, "|") + 1;
		buf_append(out, choice, strcspn(choice, "|"));
		break;
	case OPTION_BOOL:
		buf_append_str(out, *(const bool *)at ? "yes" : "no");
		break;
	case OPTION_ID:
	case OPTION_MODE:
		if (id->has)
			buf_printf(out, row->kind == OPTION_ID ? "%u" : "%03o", id->value);
		break;
	case OPTION_PATH:
	case OPTION_TEXT:
		buf_append_str(out, *(char *const *)at);
		break;
	case OPTION_SECRET:
		buf_append_str(out, **(char *const *)at ? OPTION_HIDDEN : "");
		break;
	}
}

void option_print_range(const struct option_row *row, struct buf *out)
{
	switch (row->kind) {
	case OPTION_BYTES:
		print_bytes(row->min, out);
		buf_append_str(out, " to ");
		print_bytes(row->max, out);
		break;
	case OPTION_SPAN:
		print_span((int64_t)row->min, out);
		buf_append_str(out, " to ");
		print_span((int64_t)row->max, out);
		break;
	case OPTION_COUNT:
	case OPTION_ID:
		buf_printf(out, "%llu to %llu", (unsigned long long)row->min, (unsigned long long)row->max);
		break;
	case OPTION_MODE:
		buf_printf(out, "%03o to %03o, octal", (unsigned)row->min, (unsigned)row->max);
		break;
	case OPTION_CHOICE:
		buf_append_str(out, row->choices);
		break;
	case OPTION_BOOL:
		buf_append_str(out, "yes|no");
		break;
	case OPTION_PATH:
		buf_append_str(out, "a directory");
		break;
	case OPTION_TEXT:
	case OPTION_SECRET:
		buf_append_str(out, "text");
		break;
	}
}

static int refuse_value(const struct option_row *row, const char *text, struct why *why)
{
	struct buf range = { 0 };

	option_print_range(row, &range);
	why_fail(why, EINVAL, "%s.%s = %s: must be %.*s", row->section, row->key, text, (int)range.len, range.data);
	buf_release(&range);
	return -EINVAL;
}

int option_set_text(char **slot, const char *text)
{
	free(*slot);
	*slot = strdup(text);
	return *slot ? 0 : -ENOMEM;
}

int option_set(struct options *options, const struct option_row *row, const char *text, struct why *why)
{
	void *at = (char *)options + row->offset;
	struct options_id *id = at;
	struct slice bytes = slice_str(text);
	int64_t span = 0;
	uint64_t number = 0;
	int rc = 0;

	switch (row->kind) {
	case OPTION_BYTES:
		rc = num_parse_bytes(bytes, &number);
		break;
	case OPTION_SPAN:
		rc = clock_parse_span(bytes, &span);
		number = (uint64_t)span;
		break;
	case OPTION_COUNT:
		rc = num_parse_u64(bytes, &number);
		break;
	case OPTION_ID:
	case OPTION_MODE:
		id->has = bytes.len > 0;
		if (id->has)
			rc = row->kind == OPTION_ID ? num_parse_u64(bytes, &number) : parse_octal(bytes, &number);
		else
			return 0;
		break;
	case OPTION_CHOICE:
		return parse_choice(row->choices, bytes, at) < 0 ? refuse_value(row, text, why) : 0;
	case OPTION_BOOL:
		return parse_bool(bytes, at) < 0 ? refuse_value(row, text, why) : 0;
	case OPTION_PATH:
		return option_set_text(at, text);
	case OPTION_TEXT:
	case OPTION_SECRET:
		if (bytes.len < row->min || bytes.len > row->max)
			return why_fail(why, EINVAL, "%s.%s: a text of %llu to %llu bytes", row->section, row->key,
					(unsigned long long)row->min, (unsigned long long)row->max);
		return option_set_text(at, text);
	}
	if (rc < 0 || number < row->min || number > row->max)
		return refuse_value(row, text, why);
	if (row->kind == OPTION_BYTES)
		*(uint64_t *)at = number;
	else if (row->kind == OPTION_SPAN)
		*(int64_t *)at = (int64_t)number;
	else if (row->kind == OPTION_COUNT)
		*(unsigned *)at = (unsigned)number;
	else
		id->value = (unsigned)number;
	return 0;
}
