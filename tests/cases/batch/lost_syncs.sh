#!/bin/bash
# SPDX-License-Identifier: MIT
# The disk refuses to take what waits to be loaded: the log says so, the load goes on with what is in memory and doesn't let go of that, and after
# a loss of power the drop is gone, even where another start came in between, to whom a sync would say that all is well.
# limit: 120
# slow
. "$TESTS/lib.sh"
. "$TESTS/helpers/import.sh"
. "$TESTS/helpers/stall.sh"

start_stalling
define_rows g
drop=$MNT/g/.import

# marked NAME: in the folder of the job that has that file. Jobs are synced in their order, so what the last one has is true of the others.
marked() {
	local file

	file=$(compgen -G "$STORE/spool/*/jobs/*/data/*$1") && [[ -e ${file%/data/*}/durable ]]
}

# Rows of 8 KB of which nothing is taken but a number: in few of them, more than what is worth letting go. They wait behind a file that can't be read.
echo first > "$STALL_READS"
echo refused > "$FAIL_SYNCS"
rows 1 10 1 > "$drop/first.csv"
awk 'BEGIN { s = sprintf("%8000s", ""); gsub(/ /, "x", s); print "user,a,c"; for (i = 1; i <= 8800; i++) printf "v%d,1,%s\n", i, s }' > "$DIR/large.csv"
cp "$DIR/large.csv" "$drop/taken.csv"
cp "$DIR/large.csv" "$drop/refused.csv"
rows 1 10 2 > "$drop/last.csv"
eventually 20 marked last.csv
marked taken.csv
expect_fail ANY marked refused.csv
matches "$(grep would.not.survive "$LOG")" '\(refused.csv\) .*Input/output error'
rm "$STALL_READS"
loaded g last.csv 60
same "$(field g taken.csv state) $(field g refused.csv state) $(cat "$MNT/g/v8800/a")" 'done done 1'
same "$(grep -o '[a-z]*.csv' "$LET_GO_FILE")" taken.csv 'what is in memory alone is kept there'
ok a sync that fails

# The next start would be told that all is well.
echo first > "$STALL_READS"
rows 1 10 3 > "$drop/first.csv"
rows 21 30 4 > "$drop/refused.csv"
rows 1 10 5 > "$drop/last.csv"
eventually 20 marked last.csv
rm "$FAIL_SYNCS"
crash_daemon
clear_mount
start_stalling
rows 11 11 6 > "$drop/latest.csv"
eventually 20 marked latest.csv
expect_fail ANY marked refused.csv
crash_daemon
clear_mount
rm "$STALL_READS"
FEATUREFS_TEST_BOOT_ID=another start_daemon
loaded g latest.csv
matches "$(grep had.not.reached "$LOG")" '\(refused.csv\) .*drop it again'
absent "$MNT/g/u21"
same "$(cat "$MNT/g/u1/a" "$MNT/g/u11/a")" "5${newline}6"
ok a loss of power later
