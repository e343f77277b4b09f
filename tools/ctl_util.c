/* SPDX-License-Identifier: MIT */
/*
 * Messages and options. A message is one line: what is wrong, where, and what to do; nothing is said
 * twice, so whoever returns an exit code has said why, and whoever returns an errno has not.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "ctl.h"
#include "base/text.h"

static void print_error(const struct ctl *ctl, const char *fmt, va_list args)
{
	int err = errno;

	fflush(stdout);
	fprintf(stderr, "featurectl %s: ", ctl->command->name);
	errno = err;
	vfprintf(stderr, fmt, args);
	fputc('\n', stderr);
}

void ctl_error(const struct ctl *ctl, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	print_error(ctl, fmt, args);
	va_end(args);
}

int ctl_fail(const struct ctl *ctl, int code, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	print_error(ctl, fmt, args);
	va_end(args);
	return code;
}

int ctl_fail_errno(const struct ctl *ctl, const char *what, int rc)
{
	switch (-rc) {
	case ENOTCONN:
		ctl_error(ctl, "%s: the daemon of this mount has died: unmount it (fusermount3 -u) and mount it again",
			  what);
		break;
	case EROFS:
		ctl_error(ctl, "%s: it is mounted read-only", what);
		break;
	case EIO:
		ctl_error(ctl, "%s: %s; see the daemon's log and .featurefs/status", what, strerror(EIO));
		break;
	default:
		ctl_error(ctl, "%s: %s", what, strerror(-rc));
		break;
	}
	return rc == -ENOENT ? CTL_NONE : CTL_FAILURE;
}

const char *ctl_store_hint(int rc)
{
	return rc == -EACCES || rc == -EPERM ? ": run it as the store's owner, for it reads the store itself" : "";
}

void ctl_print_help(const struct ctl_command *command)
{
	printf("Usage: featurectl %s %s\n\n%s", command->name, command->args, command->help);
	if (command->takes)
		fputs("\n", stdout);
	if (command->takes & CTL_TAKES_MOUNT)
		fputs("  -m, --mount MOUNT   the mount; else $FEATUREFS_MOUNT, else the only one there is\n", stdout);
	if (command->takes & CTL_TAKES_STORE)
		fputs("  -s, --store STORE   the store's directory, mounted or not\n", stdout);
}

static int set_place(struct ctl *ctl, int opt)
{
	unsigned bit = opt == 'm' ? CTL_TAKES_MOUNT : CTL_TAKES_STORE;

	if (!(ctl->command->takes & bit))
		return ctl_fail(ctl, CTL_USAGE, "takes no -%c; see featurectl %s --help", opt, ctl->command->name);
	if (opt == 'm')
		ctl->mount = optarg;
	else
		ctl->store = optarg;
	return CTL_OK;
}

static int check_places(const struct ctl *ctl)
{
	if (ctl->mount && !(ctl->command->takes & CTL_TAKES_MOUNT))
		return ctl_fail(ctl, CTL_USAGE, "takes no -m; see featurectl %s --help", ctl->command->name);
	if (ctl->store && !(ctl->command->takes & CTL_TAKES_STORE))
		return ctl_fail(ctl, CTL_USAGE, "takes no -s: it works through the mount; see featurectl %s --help",
				ctl->command->name);
	return CTL_OK;
}

const char *ctl_bad_option(int opt, char **argv, char text[CTL_BAD_OPTION_MAX])
{
	const char *what = opt == ':' ? " needs a value" : " is no option";

	/* A long option that is unknown has no letter. */
	if (opt == '?' && optopt == 0)
		snprintf(text, CTL_BAD_OPTION_MAX, "%s%s", argv[optind - 1], what);
	else if (strncmp(argv[optind - 1], "--", 2) == 0)
		snprintf(text, CTL_BAD_OPTION_MAX, "%.*s%s", (int)strcspn(argv[optind - 1], "="), argv[optind - 1], what);
	else
		snprintf(text, CTL_BAD_OPTION_MAX, "-%c%s", optopt, what);
	return text;
}

int ctl_option(struct ctl *ctl, int argc, char **argv, const char *shorts, const struct option *longs)
{
	char all[64], text[CTL_BAD_OPTION_MAX];
	int opt;

	snprintf(all, sizeof all, ":m:s:h%s", shorts);
	opterr = 0;
	for (;;) {
		opt = getopt_long(argc, argv, all, longs, NULL);
		switch (opt) {
		case 'm':
		case 's':
			ctl->exit = set_place(ctl, opt);
			if (ctl->exit)
				return 0;
			break;
		case 'h':
			ctl_print_help(ctl->command);
			ctl->exit = CTL_OK;
			return 0;
		case ':':
		case '?':
			ctl->exit = ctl_fail(ctl, CTL_USAGE, "%s; see featurectl %s --help",
					     ctl_bad_option(opt, argv, text), ctl->command->name);
			return 0;
		case -1:
			ctl->exit = check_places(ctl);
			return ctl->exit ? 0 : -1;
		default:
			return opt;
		}
	}
}

void ctl_print(struct slice bytes)
{
	if (bytes.len)
		fwrite(bytes.data, 1, bytes.len, stdout);
}

bool ctl_next_line(struct slice text, size_t *at, struct slice *out)
{
	const char *begin, *end;

	if (*at >= text.len)
		return false;
	begin = (const char *)text.data + *at;
	end = memchr(begin, '\n', text.len - *at);
	*out = slice_of(begin, end ? (size_t)(end - begin) : text.len - *at);
	*at += out->len + 1;
	return true;
}

int ctl_check_empty_dir(const char *path)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;
	int rc = 0;

	if (!dir)
		return -errno;
	while (rc == 0 && (errno = 0, entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			rc = -ENOTEMPTY;
	if (rc == 0 && errno)
		rc = -errno;
	closedir(dir);
	return rc;
}

int ctl_path(char out[PATH_MAX], const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(out, PATH_MAX, fmt, args);
	va_end(args);
	return n < 0 || n >= PATH_MAX ? -ENAMETOOLONG : 0;
}

/* The length of the UTF-8 character at the front, 0 if there is none. */
static size_t measure_char(struct slice bytes)
{
	for (size_t len = 1; len <= 4 && len <= bytes.len; len++)
		if (text_is_utf8(slice_of(bytes.data, len)))
			return len;
	return 0;
}

void ctl_print_safe(struct slice bytes, struct buf *out)
{
	while (bytes.len) {
		const unsigned char *at = bytes.data;
		size_t len = measure_char(bytes);

		if (len == 0 || *at < ' ' || *at == 0x7f) {
			buf_printf(out, "\\x%02x", *at);
			len = 1;
		} else {
			buf_append(out, at, len);
		}
		bytes = slice_of(at + len, bytes.len - len);
	}
}

size_t ctl_print_bytes(uint64_t bytes, char out[32])
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double value = (double)bytes;
	unsigned unit = 0;
	int n;

	if (bytes < 1024)
		return (size_t)snprintf(out, 32, "%u bytes", (unsigned)bytes);
	for (value /= 1024; value >= 1024 && unit < 5; unit++)
		value /= 1024;
	n = snprintf(out, 32, "%.1f %s", value, units[unit]);
	return (size_t)n;
}
