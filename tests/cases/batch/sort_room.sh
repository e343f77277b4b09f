#!/bin/bash
# SPDX-License-Identifier: MIT
# A small file that unfolds to more rows than memory holds is sorted on the disk of STORE, but not in the room that is kept there for the store
# itself: where the rows would fit into nothing else, the load fails before it has taken any of that.
# claims: I4
# limit: 180
# slow
. "$TESTS/lib.sh"
. "$TESTS/helpers/import.sh"
. "$TESTS/helpers/small_disk.sh"

# A twentieth of the disk is kept: 51 MB. What is left here is less, and more than the 40 MB in which 900,000 rows are sorted.
small_disk 1G
free_mb() {
	stat -f -c '%a %S' "$DIR/small" | awk '{ print int($1 * $2 / 1048576) }'
}
# leave MB: so much of the disk.
leave() {
	rm -f "$DIR/small/ballast"
	fallocate -l "$(($(free_mb) - $1))M" "$DIR/small/ballast"
}
expect_log 'No space|full|space'
start_daemon -o log.segment_size=1M -o checkpoint.bytes=1M -o checkpoint.interval=200ms -o batch.memory=64M
define_rows g
drop=$MNT/g/.import
awk 'BEGIN { print "user,a,b"; for (i = 1; i <= 900000; i++) printf "w%d,1,x\n", i }' | gzip -1 > "$DIR/wide.csv.gz"
cp "$DIR/wide.csv.gz" "$drop/.wide.csv.gz"
rows 1 1 1 > "$drop/first.csv"
loaded g first.csv

leave 48
mv "$drop/.wide.csv.gz" "$drop/wide.csv.gz"
write_beside g wide.csv.gz
ended g wide.csv.gz failed 60
matches "$(field g wide.csv.gz reason)" 'rows cannot be sorted: No space'
absent "$MNT/g/w1" "$drop/wide.csv.gz"
ok "no room to sort, and $written writes beside it"

# The same rows, and as much as they need beside what is kept.
rm "$DIR/small/ballast"
cp "$DIR/wide.csv.gz" "$drop/"
loaded g wide.csv.gz 150
same "$(field g wide.csv.gz rows_read) $(cat "$MNT/g/w900000/a")" '900000 1'
ok 'room to sort'
