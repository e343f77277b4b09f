/* SPDX-License-Identifier: MIT */
/*
 * Options. One const table (option.c) says of each option its section and key, how its text is read, where it is kept, its default, its
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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/conf.h"
#include "base/log.h"
#include "daemon/option.h"

enum { CONF_FILE_MAX = 1 << 20 };	/* bytes; more is no configuration */

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

/* ---- names ---- */

static const struct option_row *find_row(const char *section, struct slice key)
{
	for (size_t i = 0; i < option_count; i++)
		if (!strcmp(option_table[i].section, section) && slice_equal(key, slice_str(option_table[i].key)))
			return &option_table[i];
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
	for (size_t i = 0; i < option_count; i++) {
		size_t len = strlen(option_table[i].section);

		if (len == (size_t)(dot - (const char *)name.data) && !memcmp(name.data, option_table[i].section, len) &&
		    slice_equal(slice_of(dot + 1, name.len - len - 1), slice_str(option_table[i].key)))
			return &option_table[i];
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
	for (size_t i = 0; i < option_count; i++) {
		char whole[sizeof near.name];

		snprintf(whole, sizeof whole, "%s.%s", option_table[i].section, option_table[i].key);
		try_name(&near, whole, whole);
		if (!strchr(name, '.'))		/* what belongs to the mount goes by its key alone */
			try_name(&near, option_table[i].key, strcmp(option_table[i].section, "mount") ? whole : option_table[i].key);
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
			return option_set_text(&options->kafka[i].value, value);
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
		return option_set(options, row, equals + 1, why);
	if (row->kind == OPTION_BOOL)
		return option_set(options, row, "yes", why);
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
			rc = option_set_text(&options->conf, optarg);
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
	rc = option_set_text(&options->store, argv[optind]);
	return rc < 0 ? rc : option_set_text(&options->mountpoint, argv[optind + 1]);
}

/* ---- the file ---- */

static int set_pair(void *arg, const char *section, const char *key, const char *value, unsigned line, struct why *why)
{
	struct options *options = arg;
	const struct option_row *row = key ? find_row(section, slice_str(key)) : NULL;
	char name[64];

	(void)line;
	if (row)
		return option_set(options, row, value, why);
	if (key && !strcmp(section, "kafka"))
		return add_property(options, key, value, why);
	if (key) {
		snprintf(name, sizeof(name), "%s.%s", section, key);
		return refuse_name(name, why);
	}
	for (size_t i = 0; i < option_count; i++)
		if (!strcmp(option_table[i].section, section))
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
	for (size_t i = 0; rc == 0 && i < option_count; i++)
		rc = option_set(&options, &option_table[i], option_table[i].value, why);
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
	for (size_t i = 0; i < option_count; i++)
		if (option_table[i].kind == OPTION_TEXT || option_table[i].kind == OPTION_SECRET)
			free(*(char **)((char *)options + option_table[i].offset));
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
	for (size_t i = 0; i < option_count; i++) {
		size_t first = 0;

		while (strcmp(option_table[first].section, option_table[i].section))
			first++;
		if (first != i)
			continue;
		begin(option_table[i].section, out);
		for (size_t j = i; j < option_count; j++)
			if (!strcmp(option_table[j].section, option_table[i].section))
				row(options, &option_table[j], out);
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
	option_print_range(row, out);
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
	option_print_range(row, out);
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
	option_print(options, row, out);
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
			   stream_property_is_secret(options->kafka[i].name) ? OPTION_HIDDEN : options->kafka[i].value);
}
