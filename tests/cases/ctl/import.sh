#!/bin/bash
# SPDX-License-Identifier: MIT
# featurectl import: drops and follows, prints the report, exits with what came of it.
. "$TESTS/lib.sh"
. "$TESTS/helpers/import.sh"
. "$TESTS/helpers/stall.sh"

start_stalling
define_rows g
export FEATUREFS_MOUNT=$MNT

# ends STATUS COMMAND...
ends() {
	local want=$1 rc=0

	shift
	"$@" > "$DIR/out" 2> "$DIR/err" || rc=$?
	same "$rc" "$want" "$* said: $(cat "$DIR/err")"
}

rows 1 100 1 > "$DIR/one.csv"
touch -d '2026-01-01 UTC' "$DIR/one.csv"
ends 0 featurectl import g "$DIR/one.csv"
matches "$(cat "$DIR/out")" '^state: done'
matches "$(cat "$DIR/out")" 'rows_read: 100'
same "$(cat "$MNT/g/u100/a")" 1
same "$(date -u -r "$MNT/g/u100/a" +%F)" 2026-01-01
same "$(ls -A "$MNT/g/.import")" one.csv
same "$(stat -c %Y "$MNT/g/.import/one.csv")" "$(stat -c %Y "$DIR/one.csv")"
ok a file

rows 1 50 2 > "$DIR/one.csv"
ends 0 featurectl import --dry-run --mode snapshot g "$DIR/one.csv"
matches "$(cat "$DIR/out")" 'dry_run: yes'
matches "$(cat "$DIR/out")" 'deleted: 50'
same "$(cat "$MNT/g/u1/a")" 1
ends 0 featurectl import --mode snapshot g "$DIR/one.csv"
same "$(ls "$MNT/g" | wc -l)" 50
touch -d '2025-01-01' "$DIR/one.csv"
sed -i 's/,2,/,3,/' "$DIR/one.csv"
touch -d '2025-01-01' "$DIR/one.csv"
ends 0 featurectl import g "$DIR/one.csv"
matches "$(cat "$DIR/out")" 'late: '
same "$(cat "$MNT/g/u1/a")" 2
ends 0 featurectl import --mode overwrite g "$DIR/one.csv"
same "$(cat "$MNT/g/u1/a")" 3
ok modes

mkdir -p "$DIR/dir/sub" "$DIR/dir/_temporary"
rows 1 50 4 > "$DIR/dir/part-0.csv"
rows 51 100 4 > "$DIR/dir/sub/part-1.csv"
echo no > "$DIR/dir/_temporary/x.csv"
ends 0 featurectl import g "$DIR/dir"
matches "$(cat "$DIR/out")" 'files: 2'
same "$(cat "$MNT/g/u100/a")" 4
ends 0 featurectl import --no-wait g "$DIR/dir/"
matches "$(cat "$DIR/out")" 'dropped; its report is '
report=$(sed 's/.*report is //' "$DIR/out")
eventually 20 grep -q '^state: done' "$report"
same "$(find "$MNT/g/.import" -mindepth 1 -maxdepth 1 -name '.*' ! -name .reports | wc -l)" 0
ok directories

printf 'user,a\nu1,x\nu2,5\n' > "$DIR/bad.csv"
ends 3 featurectl import g "$DIR/bad.csv"
matches "$(cat "$DIR/out")" '^state: failed'
matches "$(cat "$DIR/err")" 'nothing was applied'
matches "$(cat "$DIR/err")" $'^2\tu1\ta: "x" is not'
{ echo user,a; for i in {1..14}; do echo "u$i,x"; done; } > "$DIR/more.csv"
ends 3 featurectl import g "$DIR/more.csv"
same "$(grep -c 'is not a decimal' "$DIR/err") $(grep '^4 more: ' "$DIR/err")" "10 4 more: $MNT/g/.import/.reports/more.csv.rejects"
mkdir "$DIR/parts"
cp "$DIR/one.csv" "$DIR/bad.csv" "$DIR/parts"
ends 3 featurectl import g "$DIR/parts"
matches "$(cat "$DIR/err")" $'^bad.csv:2\tu1\ta: "x" is not'
ends 0 featurectl import --max-rejects 1 g "$DIR/bad.csv"
same "$(cat "$MNT/g/u2/a")" 5
rows 1 2 6 > "$DIR/one.csv"
ends 0 featurectl import -q g "$DIR/one.csv" "$DIR/one.csv"
ends 1 featurectl import g "$DIR/none.csv"
ends 1 featurectl import none "$DIR/one.csv"
ends 2 featurectl import g
ends 2 featurectl import --mode other g "$DIR/one.csv"
ends 2 featurectl import --max-rejects x g "$DIR/one.csv"
cp "$DIR/one.csv" "$DIR/.hidden.csv"
ends 2 featurectl import g "$DIR/.hidden.csv"
ends 2 featurectl import g /dev/null
ok exit codes

# The daemon dies while one waits: said, and loaded all the same.
rows 1 2000 7 > "$DIR/long.csv"
echo long.csv > "$STALL_READS"
featurectl import g "$DIR/long.csv" > "$DIR/out" 2> "$DIR/err" &
waiter=$!
eventually 20 test -e "$STALL_READS.met"
crash_daemon
clear_mount
rc=0
wait "$waiter" || rc=$?
same "$rc" 3
matches "$(cat "$DIR/err")" 'mounted again'
start_daemon
loaded g long.csv 60
same "$(cat "$MNT/g/u2000/a")" 7
ok over a crash
