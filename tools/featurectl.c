/* SPDX-License-Identifier: MIT */
/*
 * featurectl: a feature store from the command line. A table of subcommands; each is a function in a tools/ctl_*.c of
 * its own. What a user reads comes by the client library, what a user writes goes through the mount's files, so that it
 * is checked and ordered like every other write, and works with the rights that the user has there; what an operator
 * does (backup, restore, verify) reads the store itself.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include "ctl.h"

#ifndef FEATUREFS_VERSION
#define FEATUREFS_VERSION "unversioned"
#endif

static const struct ctl_command commands[] = {
	{ "status", ctl_status, CTL_TAKES_MOUNT, "", "show how the store does",
	  "Prints what the store says about itself, sizes and times in readable units.\n"
	  "\n"
	  "Example:\n"
	  "  featurectl status\n" },
	{ "errors", ctl_errors, CTL_TAKES_MOUNT, "[-n N] [GROUP]", "show the last refused writes, newest last",
	  "Prints the last refusals in GROUP, or, without names and values, those in all groups.\n"
	  "\n"
	  "  -n N            only the last N lines\n"
	  "\n"
	  "Example:\n"
	  "  featurectl errors -n 5 user_stats\n" },
	{ "check", ctl_check, 0, "FILE...", "check definition files, without a store",
	  "Reads each definition as .schema would, and says what is wrong in which line.\n"
	  "\n"
	  "Example:\n"
	  "  featurectl check groups/*.ini\n" },
	{ "apply", ctl_apply, CTL_TAKES_MOUNT, "FILE...", "make groups, or change their definitions",
	  "A file defines the group that has its name without the ending: user_stats.ini is user_stats.\n"
	  "All files are checked before the first is applied.\n"
	  "\n"
	  "Example:\n"
	  "  featurectl apply groups/user_stats.ini\n" },
	{ "get", ctl_get, CTL_TAKES_MOUNT | CTL_TAKES_STORE, "[--json] GROUP ENTITY [FEATURE...]", "read values of an entity",
	  "One FEATURE: its value, as its file has it; null if it is known to have none. Several, or none: a table\n"
	  "with times and lanes. Exit code 1 if something that was asked for is missing.\n"
	  "\n"
	  "  --json          one JSON row\n"
	  "\n"
	  "Example:\n"
	  "  featurectl get user_stats u1 clicks_7d\n" },
	{ "put", ctl_put, CTL_TAKES_MOUNT, "[OPTION...] GROUP ENTITY FEATURE=VALUE... | GROUP -",
	  "write values of an entity, all at once",
	  "VALUE is what would stand in the feature's file; FEATURE= is null, FEATURE=@FILE reads a file, FEATURE=@@x\n"
	  "is the text @x. With - it reads rows as JSON Lines from stdin; each 16 MiB of them are one change.\n"
	  "\n"
	  "  --event-time T  when it was true: RFC 3339, or seconds since 1970; else it is true now\n"
	  "  --force         wins over what stands, whatever its time\n"
	  "  --null FEATURE  writes a null\n"
	  "\n"
	  "Example:\n"
	  "  featurectl put user_stats u1 clicks_7d=3 name=ada\n" },
	{ "delete", ctl_delete, CTL_TAKES_MOUNT, "[OPTION...] GROUP ENTITY [FEATURE...]",
	  "remove values, or an entity with all of them",
	  "Without a FEATURE the entity goes with all its values, in one change.\n"
	  "\n"
	  "  --event-time T  since when it is not true any more; else now\n"
	  "  --force         wins over what stands, whatever its time; what is not there is no error\n"
	  "\n"
	  "Example:\n"
	  "  featurectl delete user_stats u1 clicks_7d\n" },
	{ "import", ctl_import, CTL_TAKES_MOUNT, "[OPTION...] GROUP PATH...", "load files of rows: CSV, JSON Lines, Parquet",
	  "Drops each PATH, a file or a directory of parts, into GROUP's .import and follows its load: all of its rows or\n"
	  "none. Prints the report.\n"
	  "\n"
	  "  --mode M         merge (the newest event time wins), snapshot (and entities that are not in it are deleted) or\n"
	  "                   overwrite (wins whatever its time); else as [batch] in the group's definition says\n"
	  "  --confirm C      stamp or skip: what becomes of the time of a value that is equal and newer\n"
	  "  --max-rejects N  load all the same if at most N rows are refused\n"
	  "  --dry-run        report what would change, and change nothing\n"
	  "  --no-wait        return when it is dropped\n"
	  "  -q               no progress line\n"
	  "\n"
	  "Example:\n"
	  "  featurectl import user_stats stats.csv.gz\n" },
	{ "dump", ctl_dump, CTL_TAKES_MOUNT | CTL_TAKES_STORE, "[-q] [GROUP...]",
	  "write groups as JSON Lines to stdout",
	  "One row a line, all from one moment. Unless exactly one GROUP is named, each row begins with its group.\n"
	  "\n"
	  "  -q              no progress line\n"
	  "\n"
	  "Example:\n"
	  "  featurectl dump user_stats > user_stats.jsonl\n" },
	{ "stats", ctl_stats, CTL_TAKES_MOUNT | CTL_TAKES_STORE, "[GROUP]", "show what groups amount to",
	  "Without a GROUP: a line for each, from counters. With one: its .stats, for which all of it is walked.\n"
	  "\n"
	  "Example:\n"
	  "  featurectl stats user_stats\n" },
	{ "warm", ctl_warm, CTL_TAKES_MOUNT, "[OPTION...] GROUP|VIEW", "fill the serving mount's caches before traffic comes",
	  "Reads every value of GROUP, or all that VIEW is made of, through the serving mount, so that the kernel holds it.\n"
	  "\n"
	  "  --entities FILE  only these: names of entities, or keys of VIEW, one a line; - is stdin\n"
	  "  --row            rows (.row) instead of values\n"
	  "  --bin            the binary forms (.bin) instead of values, or with --row as well\n"
	  "  -q               no progress line\n"
	  "\n"
	  "Example:\n"
	  "  featurectl warm user_stats --entities active_users.txt\n" },
	{ "lane", ctl_lane, CTL_TAKES_MOUNT, "list | pause LANE | resume LANE | seek LANE PLACE", "look at streams, hold them, move them",
	  "A stream's LANE is called GROUP.STREAM. list prints a table of all, tab-separated. A pause holds until resume, over restarts too.\n"
	  "PLACE is earliest, latest, a time, or PARTITION:OFFSET,...: messages from there on are read again, or passed over.\n"
	  "\n"
	  "Example:\n"
	  "  featurectl lane seek user_stats.clicks 2026-11-23T04:00:00Z\n" },
	{ "replay", ctl_replay, CTL_TAKES_MOUNT, "GROUP STREAM", "feed the dead letters of a stream through again",
	  "Letters that still can't be applied are dead letters again. Returns when it has begun; the lane's status says when it is done.\n"
	  "\n"
	  "Example:\n"
	  "  featurectl replay user_stats clicks\n" },
	{ "backup", ctl_backup, CTL_TAKES_MOUNT | CTL_TAKES_STORE, "[-q] DIR", "copy the store, while it is in use",
	  "DIR must be new or empty. The copy is a store as it was at one moment.\n"
	  "\n"
	  "  -q              no progress line\n"
	  "\n"
	  "Example:\n"
	  "  featurectl backup /backup/features-monday\n" },
	{ "restore", ctl_restore, 0, "[-q] BACKUP STORE", "make a store from a backup",
	  "STORE must be new or empty. The backup is verified first, and the new store after.\n"
	  "\n"
	  "  -q              no progress line\n"
	  "\n"
	  "Example:\n"
	  "  featurectl restore /backup/features-monday /var/lib/features\n" },
	{ "verify", ctl_verify, CTL_TAKES_MOUNT | CTL_TAKES_STORE, "[-q] [BACKUP]",
	  "prove that a store or a backup is whole",
	  "Walks all of it and prints each fault. Exit code 3 if there is one.\n"
	  "\n"
	  "  -q              no progress line\n"
	  "\n"
	  "Example:\n"
	  "  featurectl verify /backup/features-monday\n" },
};

enum { N_COMMANDS = sizeof commands / sizeof *commands };

static void print_usage(FILE *file)
{
	fputs("Usage: featurectl [-m MOUNT] [-s STORE] COMMAND [ARGUMENT...]\n\nCommands:\n", file);
	for (unsigned i = 0; i < N_COMMANDS; i++)
		fprintf(file, "  %-8s %s\n", commands[i].name, commands[i].summary);
	fputs("\n"
	      "  -m, --mount MOUNT   the mount; else $FEATUREFS_MOUNT, else the only one there is\n"
	      "  -s, --store STORE   the store's directory, for get, dump, stats, backup and verify without a mount\n"
	      "  -h, --help          this help; after a command, that command's\n"
	      "  -V, --version       the version\n"
	      "\n"
	      "Example:\n"
	      "  featurectl get user_stats u1\n", file);
}

static const struct ctl_command *find_command(const char *name)
{
	for (unsigned i = 0; i < N_COMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static int read_global_options(struct ctl *ctl, int argc, char **argv)
{
	static const struct option longs[] = { { "version", no_argument, NULL, 'V' }, CTL_LONG_OPTIONS };
	char text[CTL_BAD_OPTION_MAX];
	int opt;

	opterr = 0;
	while ((opt = getopt_long(argc, argv, "+:m:s:hV", longs, NULL)) != -1) {
		switch (opt) {
		case 'm':
			ctl->mount = optarg;
			break;
		case 's':
			ctl->store = optarg;
			break;
		case 'h':
			print_usage(stdout);
			return CTL_OK;
		case 'V':
			puts("featurectl " FEATUREFS_VERSION);
			return CTL_OK;
		default:
			fprintf(stderr, "featurectl: %s; see featurectl --help\n", ctl_bad_option(opt, argv, text));
			return CTL_USAGE;
		}
	}
	return -1;
}

int main(int argc, char **argv)
{
	struct ctl ctl = { 0 };
	int rc = read_global_options(&ctl, argc, argv);

	if (rc >= 0)
		return rc;
	if (optind == argc) {
		print_usage(stderr);
		return CTL_USAGE;
	}
	ctl.command = find_command(argv[optind]);
	if (!ctl.command) {
		fprintf(stderr, "featurectl: there is no command %s; see featurectl --help\n", argv[optind]);
		return CTL_USAGE;
	}
	/* A reader that has seen enough (dump | head) is no error, and the store's snapshot is to be given back. */
	signal(SIGPIPE, SIG_IGN);
	argc -= optind;
	argv += optind;
	optind = 0;
	rc = ctl.command->run(&ctl, argc, argv);
	if (fflush(stdout) != 0 && rc == CTL_OK) {
		ctl_error(&ctl, "writing to stdout: %m");
		rc = CTL_FAILURE;
	}
	return rc;
}
