/* SPDX-License-Identifier: MIT */
/* The daemon's options: the file, the command line, what they refuse, and that what is printed reads back. */
#include <errno.h>
#include <unistd.h>
#include "daemon/options.h"
#include "base/clock.h"
#include "base/log.h"
#include "test.h"

enum { ARGS_MAX = 16 };

static char conf_path[] = "/dev/shm/featurefs-options-XXXXXX";

/* Reads a command line, its words split at blanks. The configuration file is always the test's own. */
static int read_line(const char *words, struct options *out, struct why *why)
{
	char copy[1024], *argv[ARGS_MAX + 1] = { (char *)"featurefs", (char *)"-c", conf_path }, *rest = copy, *word;
	int argc = 3;

	snprintf(copy, sizeof(copy), "%s", words);
	while ((word = strsep(&rest, " ")) && argc < ARGS_MAX)
		if (*word)
			argv[argc++] = word;
	return options_read(argc, argv, out, why);
}

static void write_conf(const char *text)
{
	FILE *file = fopen(conf_path, "w");

	NEED(file);
	NEED(fputs(text, file) >= 0);
	NEED(fclose(file) == 0);
}

static void test_defaults(void)
{
	struct options options;
	struct why why;

	NEED(read_line("store mnt", &options, &why) == 0);
	CHECK_TEXT(slice_str(options.store), "store");
	CHECK_TEXT(slice_str(options.mountpoint), "mnt");
	CHECK_INT(options.map_bytes, INT64_C(64) << 30);
	CHECK_INT(options.segment_bytes, 16 << 20);
	CHECK_INT(options.durability, OPTIONS_SYNC);
	CHECK_INT(options.checkpoint_ns, 2 * CLOCK_SECOND);
	CHECK_INT(options.tombstone_ns, 7 * 86400 * CLOCK_SECOND);
	CHECK_INT(options.threads, 10);
	CHECK_INT(options.log_level, LOG_LEVEL_INFO);
	CHECK(!options.read_only && !options.uid.has && !options.umask.has && !options.foreground);
	CHECK_TEXT(slice_str(options.kernel.data), "");
	options_release(&options);
}

static void test_command_line(void)
{
	struct options options;
	struct why why;

	NEED(read_line("-o store.map_size=1G,ro,uid=7,umask=027 store -f mnt -o nosuid,dev,x-systemd.automount,_netdev,comment=a "
		       "-o allow_other -ofsname=a\\,b,threads=3", &options, &why) == 0);
	CHECK_INT(options.map_bytes, 1 << 30);
	CHECK(options.read_only && options.foreground && options.allow_other);
	CHECK(options.uid.has && options.uid.value == 7);
	CHECK(options.umask.has && options.umask.value == 027);
	CHECK(!options.gid.has);
	CHECK_INT(options.threads, 3);
	CHECK_TEXT(slice_str(options.kernel.data), "nosuid,dev,fsname=a\\,b");
	options_release(&options);

	NEED(read_line("-d store mnt -o ro,rw", &options, &why) == 0);
	CHECK(options.debug && options.foreground && !options.read_only);
	CHECK_INT(options.log_level, LOG_LEVEL_DEBUG);
	options_release(&options);

	NEED(read_line("--print-conf", &options, &why) == 0);
	CHECK(options.print_conf);
	options_release(&options);
}

static void test_refusals(void)
{
	static const struct { const char *words, *reason; } cases[] = {
		{ "store mnt -o stroe.map_size=1G", "unknown option stroe.map_size; did you mean store.map_size?" },
		{ "store mnt -o durability=relaxed", "unknown option durability; did you mean store.durability?" },
		{ "store mnt -o alow_other", "unknown option alow_other; did you mean allow_other?" },
		{ "store mnt -o zzzzzzzzzzzzzzzz", "unknown option zzzzzzzzzzzzzzzz; --help lists them" },
		{ "store mnt -o store.map_size=1", "store.map_size = 1: must be 16M to 64T" },
		{ "store mnt -o store.map_size=lots", "store.map_size = lots: must be 16M to 64T" },
		{ "store mnt -o store.durability=no", "store.durability = no: must be sync|relaxed" },
		{ "store mnt -o uid=x", "mount.uid = x: must be 0 to 4294967294" },
		{ "store mnt -o umask=9", "mount.umask = 9: must be 000 to 777, octal" },
		{ "store mnt -o umask=01000", "mount.umask = 01000: must be 000 to 777, octal" },
		{ "store mnt -o uid", "option uid needs a value: -o uid=..." },
		{ "store mnt -o ingest.future=-1s", "ingest.future = -1s: must be 0 to 366d" },
		{ "store mnt --frob", "unknown option --frob; --help lists them" },
		{ "store mnt -x", "unknown option -x; --help lists them" },
		{ "store mnt -o", "option -o needs a value" },
		{ "store", "usage: featurefs STORE MOUNTPOINT [-o option,...]; --help says more" },
		{ "store mnt more", "usage: featurefs STORE MOUNTPOINT [-o option,...]; --help says more" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct options options;
		struct why why;

		CHECK_INT(read_line(cases[i].words, &options, &why), -EINVAL);
		CHECK_TEXT(slice_str(why.text), cases[i].reason);
	}
}

static void test_file(void)
{
	struct options options;
	struct why why;
	char want[256];

	write_conf("[store]\nmap_size = 2G\ndurability = relaxed\n[mount]\nallow_other = yes\nthreads = 4\n");
	NEED(read_line("store mnt -o threads=5", &options, &why) == 0);
	CHECK_INT(options.map_bytes, INT64_C(2) << 30);
	CHECK_INT(options.durability, OPTIONS_RELAXED);
	CHECK(options.allow_other);
	CHECK_INT(options.threads, 5);
	options_release(&options);

	write_conf("[store]\n\nmap_sise = 2G\n");
	CHECK_INT(read_line("store mnt", &options, &why), -EINVAL);
	snprintf(want, sizeof(want), "%s:3: unknown option store.map_sise; did you mean store.map_size?", conf_path);
	CHECK_TEXT(slice_str(why.text), want);

	write_conf("[stores]\n");
	CHECK_INT(read_line("store mnt", &options, &why), -EINVAL);
	CHECK(strstr(why.text, ":1: unknown section [stores]"));

	write_conf("[checkpoint]\ninterval = soon\n");
	CHECK_INT(read_line("store mnt", &options, &why), -EINVAL);
	CHECK(strstr(why.text, ":2: checkpoint.interval = soon: must be "));
	write_conf("");
}

/* What .featurefs/config shows is a configuration file that gives the same options, and the sample changes nothing. */
static void test_printed(void)
{
	struct buf first = { 0 }, second = { 0 }, sample = { 0 };
	struct options options;
	struct why why;

	NEED(read_line("store mnt -o store.map_size=3G,uid=0,umask=22,ingest.future=90s,log.level=warn,read_only", &options, &why) == 0);
	options_print(&options, &first);
	options_release(&options);
	buf_append_char(&first, '\0');
	write_conf(first.data);
	if (read_line("store mnt", &options, &why) < 0) {
		fprintf(stderr, "%s\n", why.text);
		NEED(0);
	}
	options_print(&options, &second);
	options_release(&options);
	buf_append_char(&second, '\0');
	CHECK_TEXT(slice_str(second.data), first.data);
	CHECK(strstr(first.data, "umask = 022\n") && strstr(first.data, "gid =\n") && strstr(first.data, "future = 1m30s\n"));

	options_print_sample(&sample);
	buf_append_char(&sample, '\0');
	write_conf(sample.data);
	NEED(read_line("store mnt", &options, &why) == 0);
	buf_reset(&second);
	options_print(&options, &second);
	options_release(&options);
	write_conf("");
	NEED(read_line("store mnt", &options, &why) == 0);
	buf_reset(&first);
	options_print(&options, &first);
	options_release(&options);
	buf_append_char(&first, '\0');
	buf_append_char(&second, '\0');
	CHECK_TEXT(slice_str(second.data), first.data);
	buf_release(&first);
	buf_release(&second);
	buf_release(&sample);
}

static void test_help(void)
{
	struct buf help = { 0 };

	options_print_help(&help);
	buf_append_char(&help, '\0');
	CHECK(strstr(help.data, "  store.map_size=64G  (16M to 64T)\n"));
	CHECK(strstr(help.data, "--print-conf"));
	CHECK(strstr(help.data, "_netdev"));
	buf_release(&help);
}

int main(void)
{
	int fd = mkstemp(conf_path);

	NEED(fd >= 0);
	close(fd);
	test_defaults();
	test_command_line();
	test_refusals();
	test_file();
	test_printed();
	test_help();
	unlink(conf_path);
	return test_end("options");
}
