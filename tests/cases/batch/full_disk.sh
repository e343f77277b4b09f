#!/bin/bash
# SPDX-License-Identifier: MIT
# STORE on a small disk: a drop that does not fit is ENOSPC to who copies, a load for which the disk is too small fails with a reason and
# applies nothing, direct writes go on, and the room comes back.
# claims: I4 I10
# limit: 120
. "$TESTS/lib.sh"
. "$TESTS/helpers/import.sh"
. "$TESTS/helpers/small_disk.sh"

small_disk 96M
expect_log 'No space|full|space'
start_daemon -o log.segment_size=1M -o checkpoint.bytes=1M -o checkpoint.interval=200ms -o batch.memory=64M
define_rows g
drop=$MNT/g/.import
rows 1 1000 1 > "$drop/first.csv"
loaded g first.csv

expect_fail ENOSPC dd if=/dev/zero of="$drop/.zeros" bs=1M count=200
same "$(($(stat -c %s "$drop/.zeros") > 20000000))" 1 'most of the disk could be used'
echo 2 > "$MNT/g/u1/a"
same "$(cat "$MNT/g/u1/a")" 2 'some of the disk is left to the store'
rm "$drop/.zeros"
ok a drop that does not fit

# 30 MB of rows whose values are long fit, but not once more as rows of the map and of its log.
awk 'BEGIN { s = sprintf("%1000s", ""); gsub(/ /, "x", s); print "user,a,b"; for (i = 1; i <= 30000; i++) printf "v%d,1,%s%d\n", i, s, i }' > "$DIR/long.csv"
cp "$DIR/long.csv" "$drop/.long.csv"
fallocate -l 40M "$DIR/small/ballast" 2> /dev/null || dd if=/dev/zero of="$DIR/small/ballast" bs=1M count=40 2> /dev/null || true
mv "$drop/.long.csv" "$drop/long.csv"
ended g long.csv failed 60
matches "$(field g long.csv reason)" 'No space|full|space|room'
absent "$MNT/g/v1" "$drop/long.csv"
same "$(cat "$MNT/g/u1/a") $(cat "$MNT/g/u2/a")" '2 1'
echo 3 > "$MNT/g/u1/a"
ok a load that does not fit

# A file that unfolds to more than the disk has: what is sorted leaves the store its room while it is written, too.
rm "$DIR/small/ballast"
awk 'BEGIN { print "user,a,b"; for (i = 1; i <= 2500000; i++) printf "w%d,1,x\n", i }' | gzip -1 > "$drop/.wide.csv.gz"
mv "$drop/.wide.csv.gz" "$drop/wide.csv.gz"
write_beside g wide.csv.gz
ended g wide.csv.gz failed 60
matches "$(field g wide.csv.gz reason)" 'sorted: No space'
absent "$MNT/g/w1"
ok "a load that unfolds, and $written writes beside it"

rows 1 1000 4 > "$DIR/again.csv"
eventually 30 cp "$DIR/again.csv" "$drop/"
loaded g again.csv 60
same "$(cat "$MNT/g/u1000/a")" 4
remount
same "$(cat "$MNT/g/u1000/a") $(ls "$MNT/g" | wc -l)" '4 1000'
umount "$MNT"
daemon_ended
ok room again
