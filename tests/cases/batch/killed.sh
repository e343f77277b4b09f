#!/bin/bash
# SPDX-License-Identifier: MIT
# kill -9 in the middle: a load that was running or waiting goes on by itself at the next start, a copy that was interrupted is gone and is
# never loaded; readers never see half of a load. rm cancels.
# claims: I5 I8 I9 I16
# limit: 120
. "$TESTS/lib.sh"
. "$TESTS/helpers/import.sh"
. "$TESTS/helpers/stall.sh"

start_daemon
define_rows g
drop=$MNT/g/.import

# The first and the last entity must have the same value whenever one looks at both in one row of output, before, during and after.
rows 1 60000 1 > "$DIR/v1.csv"
cp "$DIR/v1.csv" "$drop/"
loaded g v1.csv 60
rows 1 60000 2 > "$DIR/v2.csv"
python3 - "$MNT/g" > "$DIR/watch" 2>&1 << 'END' &
import os, sys, time
g = sys.argv[1]
def value(e):
    try:
        with open("%s/%s/a" % (g, e)) as f:
            return int(f.read())
    except OSError:
        return None
torn = 0
end = time.monotonic() + 60
while time.monotonic() < end:
    # Read late entities first and early ones after: a load that becomes visible bit by bit in order would show the new value here and
    # the old one there, however the two reads fall.
    seen = [value("u99"), value("u60000"), value("u1"), value("u30000")]
    if None in seen:
        break
    if seen != sorted(seen):
        torn += 1
        print("torn", seen)
    if seen == [2] * 4:
        break
print("watched", torn)
END
watcher=$!
cp "$DIR/v2.csv" "$drop/"
loaded g v2.csv 60
wait "$watcher"
matches "$(cat "$DIR/watch")" '^watched 0$'
ok all at once

# Kills at several moments of a load.
for i in 3 4 5 6; do
	rows 1 60000 "$i" > "$DIR/v$i.csv"
	cp "$DIR/v$i.csv" "$drop/"
	case $i in
	3) ;;
	4) sleep 0.05 ;;
	5) sleep 0.2 ;;
	*) until grep -qE '^phase: loading|^state: done' "$drop/.reports/v$i.csv.status"; do :; done ;;
	esac
	recrash
	same "$(cat "$MNT/g/u1/a" "$MNT/g/u60000/a" | sort -u | wc -l)" 1 'all or nothing'
	loaded g "v$i.csv" 60
	same "$(cat "$MNT/g/u1/a" "$MNT/g/u30000/a" "$MNT/g/u60000/a" | sort -u)" "$i"
done
featurectl -m "$MNT" verify -q "$STORE" 2> /dev/null || true
ok killed and loaded all the same

# Several wait; they are loaded in the order in which they were dropped.
for i in 7 8 9; do
	rows 1 20000 "$i" > "$drop/w$i.csv"
done
boot=$(stat -c '%i %y' "$STORE/spool/boot")
recrash
same "$(stat -c '%i %y' "$STORE/spool/boot")" "$boot" 'a start that is killed in the middle finds what this one found'
for i in 7 8 9; do
	loaded g "w$i.csv" 60
done
same "$(cat "$MNT/g/u1/a" "$MNT/g/u20000/a" | sort -u)" 9
ok those that waited

# A copy that was under way.
{ rows 1 100 666; sleep 30; } > "$drop/half.csv" 2> /dev/null &
copier=$!
eventually 5 bash -c '[[ $(stat -c %s "$1") -gt 100 ]]' - "$drop/half.csv"
crash_daemon
kill "$copier" 2> /dev/null || true
wait "$copier" 2> /dev/null || true
clear_mount
start_daemon
absent "$drop/half.csv" "$drop/.reports/half.csv.status"
same "$(cat "$MNT/g/u1/a")" 9
ok an interrupted copy

# rm cancels what runs and what waits.
stop_daemon
start_stalling
# cancel REPORT COMMAND...: while the job of that report is held in a first read; then it goes on.
cancel() {
	eventually 20 test -e "$STALL_READS.met"
	same "$(field g "$1" state)" running
	"${@:2}"
	rm "$STALL_READS" "$STALL_READS.met"
	ended g "$1" cancelled
	same "$(cat "$MNT/g/u1/a")" 9
}
rows 1 200000 10 > "$drop/.c1.csv"
rows 1 10 11 > "$drop/.c2.csv"
echo c1.csv > "$STALL_READS"
mv "$drop/.c1.csv" "$drop/c1.csv"
mv "$drop/.c2.csv" "$drop/c2.csv"
cancel c1.csv rm "$drop/c2.csv" "$drop/c1.csv"
ended g c2.csv cancelled
absent "$drop/c1.csv"
same "$(sed -n 's/^featurefs_imports_total{end="cancelled"} //p' "$MNT/.featurefs/metrics")" 2
rows 1 200000 10 > "$drop/.c3.csv"
echo c3.csv > "$STALL_READS"
mv "$drop/.c3.csv" "$drop/c3.csv"
mv "$drop/c3.csv" "$drop/c4.csv"
cancel c3.csv rm "$drop/c4.csv"
mkdir "$drop/.d"
rows 1 100000 12 > "$drop/.d/p1.csv"
rows 1 100000 12 > "$drop/.d/p2.csv"
: > "$drop/.d/_SUCCESS"
echo p1.csv > "$STALL_READS"
mv "$drop/.d" "$drop/d"
cancel d rm -r "$drop/d"
eventually 5 grep -q '^featurefs_spool_bytes 0$' "$MNT/.featurefs/metrics"
ok cancelled
