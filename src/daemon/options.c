/* SPDX-License-Identifier: MIT */
/*
 * The option table. One const table says of each option its section and key, how its text is read, where it is kept, its default, its
 * range and its help. The configuration file, `-o section.key=value`, --help, --print-conf and .featurefs/config all walk it, so that none
 * of them can differ from another. Options of [mount] may stand on the command line without their section, as mount(8) users expect.
 *
 * [kafka] is open: what is not in the table there is a property of librdkafka, which says itself what it knows.
 *
 * A second table holds the words that mount(8), fstab and systemd pass to every file system: those that are the kernel's own go on to it,
 * those that are meant for mount(8) are accepted and mean nothing here.
 */
#include "daemon/options.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/conf.h"
#include "base/log.h"
#include "base/num.h"

enum { CONF_FILE_MAX = 1 << 20 };	/* bytes; more is no configuration */

enum kind {
	KIND_BYTES,	/* uint64_t */
	KIND_SPAN,	/* int64_t, nanoseconds */
	KIND_COUNT,	/* unsigned */
	KIND_CHOICE,	/* int, the place in `choices` */
	KIND_BOOL,	/* bool */
	KIND_ID,	/* struct options_id, decimal */
	KIND_MODE,	/* struct options_id, octal */
	KIND_PATH,	/* char *, owned */
	KIND_TEXT,	/* char *, owned, never NULL; at most `max` bytes */
	KIND_SECRET,	/* the same, and never shown */
};

struct option_row {
	const char *section, *key;
	enum kind kind;
	size_t offset;
	const char *value;		/* the default; "": not set */
	uint64_t min, max;
	const char *choices;		/* of KIND_CHOICE: "sync|relaxed" */
	const char *help;
};

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define SECONDS(n) ((uint64_t)(n) * CLOCK_SECOND)
#define AT(field) offsetof(struct options, field)

static const struct option_row table[] = {
	{ "store", "map_size", KIND_BYTES, AT(map_bytes), "64G", 16 * MIB, 64 * 1024 * GIB, NULL,
	  "How large data.mdb may grow. It takes disk space only as it fills; address space at once." },
	{ "store", "durability", KIND_CHOICE, AT(durability), "sync", 0, 0, "sync|relaxed",
	  "sync: a write that has returned survives a loss of power. relaxed: it survives a crash of the daemon only." },
	{ "log", "segment_size", KIND_BYTES, AT(segment_bytes), "16M", 64 * KIB, GIB, NULL,
	  "Size of one file of the change log; they are allocated ahead and used again." },
	{ "log", "keep_max", KIND_BYTES, AT(log_keep_bytes), "4G", MIB, 64 * 1024 * GIB, NULL,
	  "How much of the change log is kept for a follower that is behind, before it is dropped." },
	{ "checkpoint", "interval", KIND_SPAN, AT(checkpoint_ns), "2s", SECONDS(1) / 100, SECONDS(3600), NULL,
	  "A store that changes makes a checkpoint at least this often. Longer ones cost disk space and recovery time." },
	{ "checkpoint", "bytes", KIND_BYTES, AT(checkpoint_bytes), "64M", MIB, 1024 * GIB, NULL,
	  "And after this much change log." },
	{ "ingest", "future", KIND_SPAN, AT(future_ns), "5m", 0, SECONDS(366 * 86400), NULL,
	  "Event times further ahead of the clock than this are refused." },
	{ "ingest", "tombstones", KIND_SPAN, AT(tombstone_ns), "7d", 0, SECONDS(3660 * UINT64_C(86400)), NULL,
	  "How long a deletion holds off older values that come late." },
	{ "ingest", "sweep_interval", KIND_SPAN, AT(sweep_ns), "60s", 0, SECONDS(366 * 86400), NULL,
	  "Time between two sweeps, which give back the space of expired values. 0: none." },
	{ "ingest", "overlay", KIND_COUNT, AT(overlay_percent), "10", 0, 100, NULL,
	  "Per cent of a group's rows that loads may leave in a small table over the others, where readers look first: a re-load of a few rows writes "
	  "little then. 0: they are always put among the others, in the background." },
	{ "mount", "threads", KIND_COUNT, AT(threads), "10", 1, 1000, NULL,
	  "Threads that answer file system requests, at the most." },
	{ "mount", "scratch_files", KIND_COUNT, AT(scratch_files), "1024", 0, 1000000, NULL,
	  "Scratch files (temporary names of editors and tools, kept in memory) at once." },
	{ "mount", "scratch_bytes", KIND_BYTES, AT(scratch_bytes), "64M", 0, 1024 * GIB, NULL,
	  "Memory for all of them together." },
	{ "mount", "scratch_time", KIND_SPAN, AT(scratch_ns), "60s", SECONDS(1) / 10, SECONDS(86400), NULL,
	  "A scratch file that nobody used for this long is gone." },
	{ "mount", "read_only", KIND_BOOL, AT(read_only), "no", 0, 0, NULL,
	  "Every change is refused (EROFS). The same as -o ro." },
	{ "mount", "allow_other", KIND_BOOL, AT(allow_other), "no", 0, 0, NULL,
	  "Other users may use the mount, within the permissions of each group. Without it, only the user who mounted." },
	{ "mount", "uid", KIND_ID, AT(uid), "", 0, UINT32_MAX - 1, NULL,
	  "Show all files as this user's, instead of the owner that the store keeps." },
	{ "mount", "gid", KIND_ID, AT(gid), "", 0, UINT32_MAX - 1, NULL,
	  "The same for the group of users." },
	{ "mount", "umask", KIND_MODE, AT(umask), "", 0, 0777, NULL,
	  "Permissions (octal) that are taken from all files, instead of the modes that the store keeps." },
	{ "batch", "memory", KIND_BYTES, AT(batch_memory_bytes), "512M", 64 * MIB, 1024 * GIB, NULL,
	  "What a load may use; what does not fit is sorted on the disk." },
	{ "batch", "spool_size", KIND_BYTES, AT(spool_bytes), "64G", MIB, 1024 * 1024 * GIB, NULL,
	  "How much dropped files that are not loaded yet may take, in all groups; more is ENOSPC to who copies." },
	{ "batch", "spool_files", KIND_COUNT, AT(spool_files), "100000", 1, 10000000, NULL,
	  "And how many files and directories may be in .import, those that were loaded included." },
	{ "batch", "retention", KIND_SPAN, AT(retention_ns), "7d", 0, SECONDS(3660 * UINT64_C(86400)), NULL,
	  "What was loaded stays listed in .import for so long, without its content, and reports stay; [batch] of a group can say otherwise." },
	{ "batch", "settle", KIND_SPAN, AT(settle_ns), "1s", 0, SECONDS(3600), NULL,
	  "A directory with its _SUCCESS starts when nothing came for so long, unless its copier says that it is whole." },
	{ "serve", "mountpoint", KIND_PATH, AT(serve_path), "", 0, 0, NULL,
	  "A second, read-only mount for model servers, whose warm reads cost what they cost on tmpfs. The same as -o serve=DIR." },
	{ "serve", "threads", KIND_COUNT, AT(serve_threads), "4", 1, 1000, NULL,
	  "Threads that answer its requests: reads of what the kernel does not hold yet." },
	{ "serve", "io_uring", KIND_BOOL, AT(serve_io_uring), "no", 0, 0, NULL,
	  "Its requests come by io_uring instead of /dev/fuse; only where the daemon was built and the kernel is set for it." },
	{ "log", "level", KIND_CHOICE, AT(log_level), "info", 0, 0, "error|warn|info|debug",
	  "What the daemon says, on stderr in the foreground, else to syslog." },
	/* The last section, for its properties are printed behind it. */
	{ "kafka", "brokers", KIND_TEXT, AT(kafka_brokers), "", 0, 4096, NULL,
	  "Where Kafka is, for streams: host:port,... Every other key here is a property of librdkafka (security.protocol, sasl.password, ...)." },
	{ "kafka", "client_id", KIND_TEXT, AT(kafka_client_id), "featurefs", 1, 255, NULL,
	  "What brokers call this client in their logs and quotas." },
	{ "kafka", "dead_letter_bytes", KIND_BYTES, AT(dead_letter_bytes), "64M", 64 * KIB, 1024 * GIB, NULL,
	  "Dead letters that are kept for one stream; the oldest go first." },
	{ "kafka", "schema_folder", KIND_TEXT, AT(schema_folder), "", 0, 4096, NULL,
	  "Folder with the schemas of Avro messages: 17.avsc is number 17." },
	{ "kafka", "schema_registry", KIND_TEXT, AT(schema_registry), "", 0, 4096, NULL,
	  "URL of a schema registry that is asked for what is not in the folder." },
	{ "kafka", "schema_registry_user", KIND_SECRET, AT(schema_user), "", 0, 4096, NULL,
	  "name:password for the registry. Never shown in .featurefs/config." },
	{ "kafka", "schema_registry_ca", KIND_TEXT, AT(schema_ca), "", 0, 4096, NULL,
	  "Certificates by which an https registry is judged, instead of the system's." },
};

#define N_ROWS (sizeof(table) / sizeof(*table))

enum word_action { WORD_PASS, WORD_IGNORE, WORD_RO, WORD_RW, WORD_DEBUG };

/* A name that ends in '=' or '-' takes whatever follows it. */
static const struct word {
	const char *name;
	enum word_action action;
} words[] = {
	{ "ro", WORD_RO }, { "rw", WORD_RW }, { "debug", WORD_DEBUG },
	{ "suid", WORD_PASS }, { "nosuid", WORD_PASS }, { "dev", WORD_PASS }, { "nodev", WORD_PASS },
	{ "exec", WORD_PASS }, { "noexec", WORD_PASS }, { "noatime", WORD_PASS }, { "nodiratime", WORD_PASS },
	{ "atime", WORD_PASS }, { "sync", WORD_PASS }, { "async", WORD_PASS }, { "dirsync", WORD_PASS },
	{ "fsname=", WORD_PASS }, { "subtype=", WORD_PASS }, { "max_read=", WORD_PASS },
	{ "diratime", WORD_IGNORE }, { "relatime", WORD_IGNORE }, { "norelatime", WORD_IGNORE }, { "strictatime", WORD_IGNORE },
	{ "nostrictatime", WORD_IGNORE }, { "lazytime", WORD_IGNORE }, { "nolazytime", WORD_IGNORE },
	{ "defaults", WORD_IGNORE }, { "default_permissions", WORD_IGNORE }, { "auto", WORD_IGNORE }, { "noauto", WORD_IGNORE },
	{ "user", WORD_IGNORE }, { "user=", WORD_IGNORE }, { "nouser", WORD_IGNORE }, { "users", WORD_IGNORE },
	{ "nousers", WORD_IGNORE }, { "owner", WORD_IGNORE }, { "noowner", WORD_IGNORE }, { "group", WORD_IGNORE },
	{ "nogroup", WORD_IGNORE }, { "_netdev", WORD_IGNORE }, { "nofail", WORD_IGNORE }, { "silent", WORD_IGNORE },
	{ "loud", WORD_IGNORE }, { "comment=", WORD_IGNORE }, { "x-", WORD_IGNORE }, { "X-", WORD_IGNORE },
};

#define N_WORDS (sizeof(words) / sizeof(*words))

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

static const char hidden[] = "(hidden)";

static void print_value(const struct options *options, const struct option_row *row, struct buf *out)
{
	const void *at = (const char *)options + row->offset;
	const struct options_id *id = at;
	const char *choice = row->choices;

	switch (row->kind) {
	case KIND_BYTES:
		print_bytes(*(const uint64_t *)at, out);
		break;
	case KIND_SPAN:
		print_span(*(const int64_t *)at, out);
		break;
	case KIND_COUNT:
		buf_printf(out, "%u", *(const unsigned *)at);
		break;
	case KIND_CHOICE:
		for (int i = *(const int *)at; i > 0; i--)
			choice += strcspn(choice, "|") + 1;
		buf_append(out, choice, strcspn(choice, "|"));
		break;
	case KIND_BOOL:
		buf_append_str(out, *(const bool *)at ? "yes" : "no");
		break;
	case KIND_ID:
	case KIND_MODE:
		if (id->has)
			buf_printf(out, row->kind == KIND_ID ? "%u" : "%03o", id->value);
		break;
	case KIND_PATH:
	case KIND_TEXT:
		buf_append_str(out, *(char *const *)at);
		break;
	case KIND_SECRET:
		buf_append_str(out, **(char *const *)at ? hidden : "");
		break;
	}
}

static void print_range(const struct option_row *row, struct buf *out)
{
	switch (row->kind) {
	case KIND_BYTES:
		print_bytes(row->min, out);
		buf_append_str(out, " to ");
		print_bytes(row->max, out);
		break;
	case KIND_SPAN:
		print_span((int64_t)row->min, out);
		buf_append_str(out, " to ");
		print_span((int64_t)row->max, out);
		break;
	case KIND_COUNT:
	case KIND_ID:
		buf_printf(out, "%llu to %llu", (unsigned long long)row->min, (unsigned long long)row->max);
		break;
	case KIND_MODE:
		buf_printf(out, "%03o to %03o, octal", (unsigned)row->min, (unsigned)row->max);
		break;
	case KIND_CHOICE:
		buf_append_str(out, row->choices);
		break;
	case KIND_BOOL:
		buf_append_str(out, "yes|no");
		break;
	case KIND_PATH:
		buf_append_str(out, "a directory");
		break;
	case KIND_TEXT:
	case KIND_SECRET:
		buf_append_str(out, "text");
		break;
	}
}

static int refuse_value(const struct option_row *row, const char *text, struct why *why)
{
	struct buf range = { 0 };

	print_range(row, &range);
	why_fail(why, EINVAL, "%s.%s = %s: must be %.*s", row->section, row->key, text, (int)range.len, range.data);
	buf_release(&range);
	return -EINVAL;
}

static int set_text(char **slot, const char *text)
{
	free(*slot);
	*slot = strdup(text);
	return *slot ? 0 : -ENOMEM;
}

/* Sets one option. An empty text takes an id or a mode back. */
static int set_value(struct options *options, const struct option_row *row, const char *text, struct why *why)
{
	void *at = (char *)options + row->offset;
	struct options_id *id = at;
	struct slice bytes = slice_str(text);
	int64_t span = 0;
	uint64_t number = 0;
	int rc = 0;

	switch (row->kind) {
	case KIND_BYTES:
		rc = num_parse_bytes(bytes, &number);
		break;
	case KIND_SPAN:
		rc = clock_parse_span(bytes, &span);
		number = (uint64_t)span;
		break;
	case KIND_COUNT:
		rc = num_parse_u64(bytes, &number);
		break;
	case KIND_ID:
	case KIND_MODE:
		id->has = bytes.len > 0;
		if (id->has)
			rc = row->kind == KIND_ID ? num_parse_u64(bytes, &number) : parse_octal(bytes, &number);
		else
			return 0;
		break;
	case KIND_CHOICE:
		return parse_choice(row->choices, bytes, at) < 0 ? refuse_value(row, text, why) : 0;
	case KIND_BOOL:
		return parse_bool(bytes, at) < 0 ? refuse_value(row, text, why) : 0;
	case KIND_PATH:
		return set_text(at, text);
	case KIND_TEXT:
	case KIND_SECRET:
		if (bytes.len < row->min || bytes.len > row->max)
			return why_fail(why, EINVAL, "%s.%s: a text of %llu to %llu bytes", row->section, row->key,
					(unsigned long long)row->min, (unsigned long long)row->max);
		return set_text(at, text);
	}
	if (rc < 0 || number < row->min || number > row->max)
		return refuse_value(row, text, why);
	if (row->kind == KIND_BYTES)
		*(uint64_t *)at = number;
	else if (row->kind == KIND_SPAN)
		*(int64_t *)at = (int64_t)number;
	else if (row->kind == KIND_COUNT)
		*(unsigned *)at = (unsigned)number;
	else
		id->value = (unsigned)number;
	return 0;
}

/* ---- names ---- */

static const struct option_row *find_row(const char *section, struct slice key)
{
	for (size_t i = 0; i < N_ROWS; i++)
		if (!strcmp(table[i].section, section) && slice_equal(key, slice_str(table[i].key)))
			return &table[i];
	return NULL;
}

/* By "section.key", or by the key alone for what belongs to the mount. */
static const struct option_row *find_dotted(struct slice name)
{
	const char *dot = memchr(name.data, '.', name.len);

	if (!dot && slice_equal(name, slice_str("serve")))
		return find_row("serve", slice_str("mountpoint"));
	if (!dot)
		return find_row("mount", name);
	for (size_t i = 0; i < N_ROWS; i++) {
		size_t len = strlen(table[i].section);

		if (len == (size_t)(dot - (const char *)name.data) && !memcmp(name.data, table[i].section, len) &&
		    slice_equal(slice_of(dot + 1, name.len - len - 1), slice_str(table[i].key)))
			return &table[i];
	}
	return NULL;
}

static const struct word *find_word(const char *text)
{
	for (size_t i = 0; i < N_WORDS; i++) {
		size_t len = strlen(words[i].name);
		bool is_open = words[i].name[len - 1] == '=' || words[i].name[len - 1] == '-';

		if (!strncmp(text, words[i].name, len) && (is_open || !text[len]))
			return &words[i];
	}
	return NULL;
}

/* Levenshtein's distance of two short names. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[64], n = (unsigned)strlen(b);

	if (n >= 64 || strlen(a) >= 64)
		return 64;
	for (unsigned j = 0; j <= n; j++)
		row[j] = j;
	for (unsigned i = 1; a[i - 1]; i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (unsigned j = 1; j <= n; j++) {
			unsigned best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[n];
}

struct nearest {
	const char *wanted;
	unsigned distance;
	char name[64];
};

/* Is `name` nearer than what was found? Then `whole` is what was meant. */
static void try_name(struct nearest *near, const char *name, const char *whole)
{
	unsigned d = distance(near->wanted, name);

	if (d < near->distance) {
		near->distance = d;
		snprintf(near->name, sizeof near->name, "%s", whole);
	}
}

/* Names the option and the nearest known one, if one is near. */
static int refuse_name(const char *name, struct why *why)
{
	struct nearest near = { .wanted = name, .distance = (unsigned)strlen(name) / 2 + 1 };

	for (size_t i = 0; i < N_WORDS; i++)
		try_name(&near, words[i].name, words[i].name);
	for (size_t i = 0; i < N_ROWS; i++) {
		char whole[sizeof near.name];

		snprintf(whole, sizeof whole, "%s.%s", table[i].section, table[i].key);
		try_name(&near, whole, whole);
		if (!strchr(name, '.'))		/* what belongs to the mount goes by its key alone */
			try_name(&near, table[i].key, strcmp(table[i].section, "mount") ? whole : table[i].key);
	}
	if (near.name[0])
		return why_fail(why, EINVAL, "unknown option %s; did you mean %s?", name, near.name);
	return why_fail(why, EINVAL, "unknown option %s; --help lists them", name);
}

/* ---- properties of librdkafka ---- */

static const char kafka_prefix[] = "kafka.";

static int add_property(struct options *options, const char *name, const char *value, struct why *why)
{
	struct stream_property *list;
	int rc = stream_property_check(name, value, why);

	if (rc < 0)
		return rc;
	for (unsigned i = 0; i < options->n_kafka; i++)
		if (!strcmp(options->kafka[i].name, name))
			return set_text(&options->kafka[i].value, value);
	list = realloc(options->kafka, (options->n_kafka + 1) * sizeof *list);
	if (!list)
		return -ENOMEM;
	options->kafka = list;
	list[options->n_kafka] = (struct stream_property){ strdup(name), strdup(value) };
	options->n_kafka++;
	return list[options->n_kafka - 1].name && list[options->n_kafka - 1].value ? 0 : -ENOMEM;
}

/* ---- the command line ---- */

static int set_word(struct options *options, const struct word *word, const char *text)
{
	switch (word->action) {
	case WORD_RO:
	case WORD_RW:
		options->read_only = word->action == WORD_RO;
		break;
	case WORD_DEBUG:
		options->debug = true;
		break;
	case WORD_IGNORE:
		break;
	case WORD_PASS:
		if (options->kernel.len)
			buf_append_char(&options->kernel, ',');
		for (const char *p = text; *p; p++) {	/* libfuse splits at commas, too */
			if (*p == ',' || *p == '\\')
				buf_append_char(&options->kernel, '\\');
			buf_append_char(&options->kernel, *p);
		}
		return buf_error(&options->kernel);
	}
	return 0;
}

static int set_option(struct options *options, char *text, struct why *why)
{
	char *equals = strchr(text, '=');
	const struct option_row *row = find_dotted(equals ? slice_of(text, (size_t)(equals - text)) : slice_str(text));
	const struct word *word = row ? NULL : find_word(text);

	if (word)
		return set_word(options, word, text);
	if (!row && equals && !strncmp(text, kafka_prefix, sizeof kafka_prefix - 1)) {
		*equals = '\0';
		return add_property(options, text + sizeof kafka_prefix - 1, equals + 1, why);
	}
	if (!row) {
		if (equals)
			*equals = '\0';
		return refuse_name(text, why);
	}
	if (equals)
		return set_value(options, row, equals + 1, why);
	if (row->kind == KIND_BOOL)
		return set_value(options, row, "yes", why);
	return why_fail(why, EINVAL, "option %s needs a value: -o %s=%s", text, text, row->value[0] ? row->value : "...");
}

/* "a,b=c": a comma inside a value is written "\,", as for libfuse. */
static int set_list(struct options *options, const char *list, struct why *why)
{
	char *copy = strdup(list);
	const char *from = list;
	char *to = copy;
	int rc = copy ? 0 : -ENOMEM;

	while (rc == 0 && *from) {
		for (to = copy; *from && *from != ','; from++) {
			if (*from == '\\' && from[1])
				from++;
			*to++ = *from;
		}
		*to = '\0';
		if (*from == ',')
			from++;
		if (*copy)
			rc = set_option(options, copy, why);
	}
	free(copy);
	return rc;
}

static int read_argv(int argc, char **argv, struct options *options, struct buf *lists, struct why *why)
{
	enum { PRINT_CONF = 256 };
	static const struct option longs[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ "print-conf", no_argument, NULL, PRINT_CONF },
		{ 0 },
	};
	int c, rc = 0;

	opterr = 0;
	optind = 1;
	while (rc == 0 && (c = getopt_long(argc, argv, ":o:fdc:hV", longs, NULL)) != -1) {
		switch (c) {
		case 'o':
			buf_append(lists, optarg, strlen(optarg) + 1);
			break;
		case 'f':
			options->foreground = true;
			break;
		case 'd':
			options->debug = options->foreground = true;
			break;
		case 'c':
			rc = set_text(&options->conf, optarg);
			break;
		case 'h':
			options->help = true;
			break;
		case 'V':
			options->version = true;
			break;
		case PRINT_CONF:
			options->print_conf = true;
			break;
		case ':':
			return why_fail(why, EINVAL, "option -%c needs a value", optopt);
		default:
			return why_fail(why, EINVAL, "unknown option %s; --help lists them", argv[optind - 1]);
		}
	}
	if (rc == 0)
		rc = buf_error(lists);
	if (rc < 0 || options->help || options->version || options->print_conf)
		return rc;
	if (argc - optind != 2)
		return why_fail(why, EINVAL, "usage: featurefs STORE MOUNTPOINT [-o option,...]; --help says more");
	rc = set_text(&options->store, argv[optind]);
	return rc < 0 ? rc : set_text(&options->mountpoint, argv[optind + 1]);
}

/* ---- the file ---- */

static int set_pair(void *arg, const char *section, const char *key, const char *value, unsigned line, struct why *why)
{
	struct options *options = arg;
	const struct option_row *row = key ? find_row(section, slice_str(key)) : NULL;
	char name[64];

	(void)line;
	if (row)
		return set_value(options, row, value, why);
	if (key && !strcmp(section, "kafka"))
		return add_property(options, key, value, why);
	if (key) {
		snprintf(name, sizeof(name), "%s.%s", section, key);
		return refuse_name(name, why);
	}
	for (size_t i = 0; i < N_ROWS; i++)
		if (!strcmp(table[i].section, section))
			return 0;
	return why_fail(why, EINVAL, "unknown section [%s]; featurefs --print-conf shows all there are", section);
}

static int read_text(int fd, const char *path, struct buf *out, struct why *why)
{
	ssize_t n;

	do {
		char *room = buf_reserve(out, 65536);

		if (!room)
			return -ENOMEM;
		n = read(fd, room, 65536);
		if (n < 0 && errno != EINTR)
			return why_fail(why, errno, "%s: %s", path, strerror(errno));
		out->len += n > 0 ? (size_t)n : 0;
		if (out->len > CONF_FILE_MAX)
			return why_fail(why, EFBIG, "%s: this is too long for a configuration file", path);
	} while (n != 0);
	return 0;
}

static int read_conf(struct options *options, struct why *why)
{
	const char *path = options->conf ? options->conf : OPTIONS_CONF_DEFAULT;
	struct buf text = { 0 };
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int rc;

	if (fd < 0 && errno == ENOENT && !options->conf)
		return 0;
	if (fd < 0)
		return why_fail(why, errno, "%s: %s", path, strerror(errno));
	rc = read_text(fd, path, &text, why);
	if (rc == 0)
		rc = conf_parse(path, buf_slice(&text), set_pair, options, why);
	close(fd);
	buf_release(&text);
	return rc;
}

int options_read(int argc, char **argv, struct options *out, struct why *why)
{
	struct options options = { 0 };
	struct buf lists = { 0 };
	int rc = 0;

	why->text[0] = '\0';
	for (size_t i = 0; rc == 0 && i < N_ROWS; i++)
		rc = set_value(&options, &table[i], table[i].value, why);
	if (rc == 0)
		rc = read_argv(argc, argv, &options, &lists, why);
	if (rc == 0 && !options.help && !options.version && !options.print_conf)
		rc = read_conf(&options, why);
	for (size_t at = 0; rc == 0 && at < lists.len; at += strlen(lists.data + at) + 1)
		rc = set_list(&options, lists.data + at, why);
	if (options.debug)
		options.log_level = LOG_LEVEL_DEBUG;
	buf_append_char(&options.kernel, '\0');
	if (rc == 0)
		rc = buf_error(&options.kernel);
	if (rc == -ENOMEM)
		why_fail(why, ENOMEM, "out of memory");
	buf_release(&lists);
	if (rc < 0) {
		options_release(&options);
		return rc;
	}
	*out = options;
	return 0;
}

void options_release(struct options *options)
{
	free(options->store);
	free(options->mountpoint);
	free(options->conf);
	free(options->serve_path);
	buf_release(&options->kernel);
	for (size_t i = 0; i < N_ROWS; i++)
		if (table[i].kind == KIND_TEXT || table[i].kind == KIND_SECRET)
			free(*(char **)((char *)options + table[i].offset));
	for (unsigned i = 0; i < options->n_kafka; i++) {
		free(options->kafka[i].name);
		free(options->kafka[i].value);
	}
	free(options->kafka);
	*options = (struct options){ 0 };
}

struct mount_owners options_owners(const struct options *options)
{
	return (struct mount_owners){
		.has_uid = options->uid.has, .uid = options->uid.value,
		.has_gid = options->gid.has, .gid = options->gid.value,
		.has_umask = options->umask.has, .umask = options->umask.value,
	};
}

/* ---- the same table, printed ---- */

/* Each section once, in order of its first option; `row` is called for its options. */
static void walk_sections(void (*begin)(const char *section, struct buf *out),
			  void (*row)(const struct options *options, const struct option_row *row, struct buf *out),
			  const struct options *options, struct buf *out)
{
	for (size_t i = 0; i < N_ROWS; i++) {
		size_t first = 0;

		while (strcmp(table[first].section, table[i].section))
			first++;
		if (first != i)
			continue;
		begin(table[i].section, out);
		for (size_t j = i; j < N_ROWS; j++)
			if (!strcmp(table[j].section, table[i].section))
				row(options, &table[j], out);
	}
}

static void begin_help(const char *section, struct buf *out)
{
	(void)section;
	buf_append_char(out, '\n');
}

static void help_row(const struct options *options, const struct option_row *row, struct buf *out)
{
	(void)options;
	buf_printf(out, "  %s.%s=%s  (", row->section, row->key, row->value);
	print_range(row, out);
	buf_printf(out, ")\n      %s\n", row->help);
}

void options_print_help(struct buf *out)
{
	buf_append_str(out,
		"Usage: featurefs STORE MOUNTPOINT [-o option[,option...]] [-c FILE] [-f] [-d]\n"
		"\n"
		"Mounts the feature store in the directory STORE, which is made on first use, at MOUNTPOINT.\n"
		"Ends when it is unmounted (umount, fusermount3 -u) or gets SIGTERM.\n"
		"\n"
		"  -o OPTION,...  options, see below\n"
		"  -c FILE        configuration file (default: " OPTIONS_CONF_DEFAULT ", if it exists)\n"
		"  -f             stay in the foreground, log to stderr\n"
		"  -d             the same, and print every request\n"
		"  --print-conf   print a sample configuration file with all defaults\n"
		"  --help, --version\n"
		"\n"
		"Options, with their defaults; those of the mount may be written without \"mount.\":\n");
	walk_sections(begin_help, help_row, NULL, out);
	buf_append_str(out, "\nUsual mount options, passed on to the kernel or accepted for mount(8) and fstab:\n");
	for (size_t i = 0; i < N_WORDS; i++)
		buf_printf(out, "%s%s%s", i % 12 == 0 ? i ? "\n  " : "  " : " ", words[i].name,
			   strchr("=-", words[i].name[strlen(words[i].name) - 1]) ? "..." : "");
	buf_append_str(out, "\n\nExit status: 0, 1 could not mount or serve, 2 usage. See featurefs(8), featurefs.conf(5).\n");
}

static void begin_section(const char *section, struct buf *out)
{
	buf_printf(out, "\n[%s]\n", section);
}

static void sample_row(const struct options *options, const struct option_row *row, struct buf *out)
{
	(void)options;
	buf_printf(out, "\n; %s\n; (", row->help);
	print_range(row, out);
	buf_printf(out, "%s)\n# %s =%s%s\n", row->value[0] ? "" : "; not set", row->key, row->value[0] ? " " : "", row->value);
}

void options_print_sample(struct buf *out)
{
	buf_append_str(out,
		"; Configuration of featurefs, as printed by featurefs --print-conf. Every option stands here with its default; take the\n"
		"; '#' away to change one. It is read from " OPTIONS_CONF_DEFAULT ", or from the file that -c names; the command line\n"
		"; (-o section.key=value) wins. Sizes: K M G T, powers of 1024. Times: ms s m h d w.\n");
	walk_sections(begin_section, sample_row, NULL, out);
}

static void value_row(const struct options *options, const struct option_row *row, struct buf *out)
{
	buf_printf(out, "%s = ", row->key);
	print_value(options, row, out);
	if (out->len && out->data[out->len - 1] == ' ')
		out->len--;
	buf_append_char(out, '\n');
}

void options_print(const struct options *options, struct buf *out)
{
	buf_append_str(out, "; the options in force\n");
	walk_sections(begin_section, value_row, options, out);
	for (unsigned i = 0; i < options->n_kafka; i++)
		buf_printf(out, "%s = %s\n", options->kafka[i].name,
			   stream_property_is_secret(options->kafka[i].name) ? hidden : options->kafka[i].value);
}
