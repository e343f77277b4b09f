#!/bin/bash
# SPDX-License-Identifier: MIT
# Files of rows dropped into .import by the tools that people have: each is loaded when it is whole, once; it stays listed for the next
# rsync; its values say where they come from; the same file once more changes nothing.
# claims: I1 I3 I11 I12 I13
. "$TESTS/lib.sh"
. "$TESTS/helpers/import.sh"
need rsync

start_daemon
define_rows g
drop=$MNT/g/.import
same "$(find "$MNT/g" -mindepth 1 | wc -l)" 0 '.import is not listed'
same "$(ls -A "$drop")" ''

rows 1 100 1 > "$DIR/one.csv"
touch -d '2026-01-02 03:04:05 UTC' "$DIR/one.csv"
cp -p "$DIR/one.csv" "$drop/"
loaded g one.csv
same "$(cat "$MNT/g/u1/a" "$MNT/g/u100/b")" $'1\nx'
same "$(field g one.csv rows_read)" 100
same "$(field g one.csv changed)" 200
same "$(stat -c '%s %Y' "$drop/one.csv")" "$(stat -c '%s %Y' "$DIR/one.csv")"
same "$(getfattr --only-values -n user.lane "$MNT/g/u7/a")" batch
same "$(getfattr --only-values -n user.source "$MNT/g/u7/a")" "import-$(field g one.csv id):one.csv"
same "$(stat -c %Y "$MNT/g/u7/a")" "$(stat -c %Y "$DIR/one.csv")" 'without a time of their own, rows are of the time of their file'
taken=$(stat -c %z "$MNT/g/u7/a")
same "$(stat -c %z "$MNT/g/u100/b")" "$taken" 'all of a load were taken at one moment'
same "$(($(date -d "$taken" +%s%N) >= $(date -d "$(field g one.csv started)" +%s%N)))" 1
same "$(($(date -d "$taken" +%s%N) <= $(date -d "$(field g one.csv ended)" +%s%N)))" 1
ok cp -p

before=$(sed -n 's/^seq: //p' "$MNT/.featurefs/status")
cp -p "$DIR/one.csv" "$drop/"
loaded g one.csv
same "$(field g one.csv changed) $(field g one.csv unchanged)" '0 200'
same "$(sed -n 's/^batch_applied: //p' "$MNT/g/.stats")" 200
ok "the same file again changes nothing (commit $before)"

rows 1 100 2 > "$DIR/two.csv"
same "$(sent rsync -a "$DIR/two.csv" "$drop/")" 1
loaded g two.csv
same "$(cat "$MNT/g/u1/a")" 2
same "$(sent rsync -a "$DIR/two.csv" "$drop/")" 0
same "$(field g two.csv id)" 3 'nothing was sent, nothing was loaded'
same "$(sent rsync -a "$DIR/one.csv" "$DIR/two.csv" "$drop/")" 0
ok rsync, and rsync again

rows 1 100 3 > "$DIR/three.csv"
mv "$DIR/three.csv" "$drop/"
loaded g three.csv
same "$(cat "$MNT/g/u100/a")" 3
rows 1 100 4 | gzip > "$drop/four.csv.gz"
loaded g four.csv.gz
same "$(cat "$MNT/g/u100/a")" 4
rows 1 100 5 | gzip | cat > "$drop/five.csv.gz"
loaded g five.csv.gz
same "$(cat "$MNT/g/u100/a")" 5
printf '{"entity": "u%d", "features": {"a": 6}}\n' $(seq 100) > "$drop/six.jsonl"
loaded g six.jsonl
same "$(cat "$MNT/g/u100/a")" 6
ok 'mv, gzip, cat, JSON Lines'

# Written by two processes through one open file: it is whole when the last of them has closed it.
{
	rows 1 50 7
	sleep 0.3
	same "$(field g seven.csv state 2> /dev/null || echo none)" none 'not before it is whole' >&2
	rows 51 100 7 | tail -n +2
} > "$drop/seven.csv"
loaded g seven.csv
same "$(field g seven.csv rows_read)" 100
same "$(cat "$MNT/g/u1/a" "$MNT/g/u100/a")" $'7\n7'
ok one open file, several writers

# Under a name that jobs pass over until it is renamed.
rows 1 100 8 > "$drop/.eight.part"
sleep 0.2
same "$(cat "$MNT/g/u1/a")" 7
mv "$drop/.eight.part" "$drop/eight.csv"
loaded g eight.csv
same "$(cat "$MNT/g/u1/a")" 8
ok renamed into place

# The newest of one entity's rows wins, and is counted.
printf 'user,a\nu1,9\nu1,10\nu2,9\n' > "$drop/nine.csv"
loaded g nine.csv
same "$(cat "$MNT/g/u1/a") $(cat "$MNT/g/u2/a")" '10 9'
same "$(field g nine.csv duplicates)" 1

# What was loaded reads as zeros, so nothing can be added to it.
rows 1 1 1 > "$drop/ten.csv"
loaded g ten.csv
echo u2,1,x >> "$drop/ten.csv"
ended g ten.csv failed
matches "$(field g ten.csv reason)" 'begins with NUL bytes'
absent "$drop/ten.csv"
ok 'added to what was loaded'

# An ordinary directory, with ordinary errors.
expect_fail EXDEV python3 -c 'import os, sys; os.rename(sys.argv[1], sys.argv[2])' "$drop/nine.csv" "$MNT/g/.nine"
expect_fail ENOENT cat "$drop/none.csv"
expect_fail EEXIST mkdir "$drop/nine.csv"
expect_fail ENOTEMPTY python3 -c 'import os, sys; os.mkdir(sys.argv[1] + "/d"); open(sys.argv[1] + "/d/.x", "w"); os.rmdir(sys.argv[1] + "/d")' "$drop"
expect_fail EPERM touch "$drop/.reports/x"
expect_fail EEXIST mkdir "$drop/.reports"
expect_fail EOPNOTSUPP ln -s x "$drop/link"
expect_fail ENAMETOOLONG touch "$drop/$(printf 'n%.0s' {1..241})"
truncate -s 100 "$drop/.half"
truncate -s 10 "$drop/.half"
same "$(stat -c %s "$drop/.half")" 10
echo more >> "$drop/.half"
same "$(stat -c %s "$drop/.half")" 15
mv "$drop/.half" "$drop/d/.half"
same "$(find "$drop/d" -type f | wc -l)" 2
rm -r "$drop/d"
ok names
remount
same "$(ls "$drop" | tr '\n' ' ')" 'eight.csv five.csv.gz four.csv.gz nine.csv one.csv seven.csv six.jsonl three.csv two.csv '
same "$(sent rsync -a "$DIR/one.csv" "$DIR/two.csv" "$drop/")" 0
same "$(field g two.csv state)" "done"
