#!/bin/bash
# SPDX-License-Identifier: MIT
# What can be wrong with dropped files: each is refused with a reason that says what and where, nothing of it is applied, it is taken out of
# .import so that the next copy is a new one, and the daemon goes on in bounded memory.
# claims: I4
# limit: 180
# slow
. "$TESTS/lib.sh"
. "$TESTS/helpers/import.sh"
. "$TESTS/helpers/stall.sh"

expect_log 'import'
start_stalling -o batch.memory=64M
define_rows g
drop=$MNT/g/.import
rows 1 10 1 > "$drop/good.csv"
loaded g good.csv

# refused NAME REGEX < BYTES: the reason, or the first refused row.
refused() {
	cat > "$drop/.$1"
	mv "$drop/.$1" "$drop/$1"
	ended g "$1" failed 100
	matches "$(field g "$1" reason; cat "$drop/.reports/$1.rejects" 2> /dev/null || true)" "$2"
	same "$(cat "$MNT/g/u1/a")" 1
	absent "$drop/$1"
}

printf 'user,a,b\nu1,2,x\nu2,2\n' | refused columns.csv '3'
printf 'user,a,b\nu1,2,x,y\n' | refused more.csv '2'
printf 'user,a,b\nu1,2,"x\n' | refused quote.csv '.'
printf 'user,a\nu1,2\0\n' | refused nul.csv 'a text with a NUL byte in it is not a decimal integer'
printf '\0\0\0\0\0\0\0\0\n' | refused zeros.csv 'begins with NUL bytes'
printf 'who,what\nu1,2\n' | refused header.csv 'the file has who, what; expected is user'
printf 'user;a\nu1;2\n' | refused semicolons.csv 'write delimiter = semicolon'
printf 'user,what\nu1,2\n' | refused other.csv 'the group takes a, b'
printf '{"entity": "u1", "features": {"a": 2}}\n{"entity": "u1", "features": {"a": \n' | refused cut.jsonl '2'
printf 'PAR1 and then nothing that is Parquet' | refused cut.parquet '.'
head -c 100000 /dev/urandom | refused noise.csv '.'
head -c 100000 /dev/urandom | refused noise.gz '.'
rows 1 1000 2 | gzip | head -c 1000 | refused cut.csv.gz '.'
: > "$drop/.empty.csv"
mv "$drop/.empty.csv" "$drop/empty.csv"
ended g empty.csv failed
matches "$(field g empty.csv reason)" 'empty'
stat "$drop/empty.csv" > /dev/null
printf 'user,a,b\nu1,1,x\n' > "$drop/empty.csv"		# it may be filled where it is
loaded g empty.csv
ok bad files of many kinds

# One line of 2 GiB, which takes no room on the disk; and as much in a few kilobytes.
{ printf 'user,a,b\nu1,2,'; } > "$drop/.line.csv"
truncate -s 2G "$drop/.line.csv"
mv "$drop/.line.csv" "$drop/line.csv"
ended g line.csv failed 100
{ printf 'user,a,b\nu1,2,'; head -c 600M /dev/zero | tr '\0' x; } | gzip -1 > "$DIR/bomb.gz"
cp "$DIR/bomb.gz" "$drop/bomb.csv.gz"
ended g bomb.csv.gz failed 100
same "$(cat "$MNT/g/u1/a")" 1
anon=$(sed -n 's/^RssAnon:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$daemon_pid/status")
[[ -n $SAN ]] || same "$((anon < 200000))" 1 "the daemon has $anon kB"
ok "a line of 2 GiB, a zip bomb; the daemon has $anon kB"

# Times too far ahead, and rules.
define r << 'END'
[feature a]
type = int64
min = 0
[batch]
entity = user
event_time = at
END
printf 'user,a,at\nu1,1,2199-01-01T00:00:00Z\n' > "$MNT/r/.import/future.csv"
ended r future.csv failed
printf 'user,a,at\nu1,-1,2026-01-01T00:00:00Z\n' > "$MNT/r/.import/rule.csv"
ended r rule.csv failed
absent "$MNT/r/u1"
printf 'user,a\nu1,1\n' > "$MNT/r/.import/timeless.csv"
ended r timeless.csv failed
matches "$(field r timeless.csv reason)" 'no column is the event time: the file has user, a; expected is at'
{ echo user,a,at; for i in {1..1500}; do echo "v$i,-$i,1767225600"; done; } > "$MNT/r/.import/rules.csv"
ended r rules.csv failed
same "$(field r rules.csv rejected) $(wc -l < "$MNT/r/.import/.reports/rules.csv.rejects")" '1001 1001' 'as many as can be mended at once'
matches "$(sed -n 2p "$MNT/r/.import/.reports/rules.csv.rejects")" 'a: -[0-9]* is below min = 0'
{ echo user,a,at; for i in {1..20}; do echo "v$i,$((i % 2 ? i : -i)),1767225600"; done; } > "$MNT/r/.import/.some.csv"
setfattr -n user.max_rejects -v 9 "$MNT/r/.import/.some.csv"
mv "$MNT/r/.import/.some.csv" "$MNT/r/.import/some.csv"
ended r some.csv failed
same "$(field r some.csv rejected)" 10
absent "$MNT/r/v1"
define empty <<< ''
printf 'entity,a\nu1,1\n' > "$MNT/empty/.import/x.csv"
ended empty x.csv failed
matches "$(field empty x.csv reason)" 'the group has no features yet'
ok the rules of the group

# More bad rows than are listed: all are counted.
awk 'BEGIN { print "user,a"; for (i = 1; i <= 30000; i++) printf "u%d,%s\n", i, i % 2 ? "bad" : 5 }' > "$drop/.many.csv"
setfattr -n user.max_rejects -v 20000 "$drop/.many.csv"
mv "$drop/.many.csv" "$drop/many.csv"
loaded g many.csv
same "$(field g many.csv rejected) $(field g many.csv rows_read)" '15000 30000'
same "$(wc -l < "$drop/.reports/many.csv.rejects")" 10001
matches "$(tail -n 1 "$drop/.reports/many.csv.rejects")" '5000 more'
same "$(cat "$MNT/g/u2/a") $(cat "$MNT/g/u1/a")" '5 1'
awk 'BEGIN { print "user,a"; for (i = 1; i <= 100000; i++) printf "u%d,bad\n", i }' | refused all.csv 'reading was ended'
same "$(($(field g all.csv rejected) < 3000)) $(field g all.csv rows_read)" "1 $(field g all.csv rejected)"
ok many bad rows

# The definition changes while a load runs, and a group goes away.
rows 1 150000 6 > "$DIR/long.csv"
# during GROUP COMMAND...: between the beginning of the load of a long.csv into that group and its first read.
during() {
	rm -f "$STALL_READS.met"
	echo long.csv > "$STALL_READS"
	cp "$DIR/long.csv" "$MNT/$1/.import/"
	eventually 20 test -e "$STALL_READS.met"
	"${@:2}"
	rm "$STALL_READS"
}
{ cat "$MNT/g/.schema"; printf '[feature c]\ntype = bool\n'; } > "$DIR/schema"
during g cp "$DIR/schema" "$MNT/g/.schema"
loaded g long.csv 100
same "$(cat "$MNT/g/u150000/a")" 6
define_rows gone
during gone rmdir "$MNT/gone"
eventually 60 grep -q '^featurefs_imports_waiting 0$' "$MNT/.featurefs/metrics"
eventually 60 grep -q '^featurefs_imports_running 0$' "$MNT/.featurefs/metrics"
grep -q 'the group was removed\|no such group' "$LOG"
rows 1 10 7 > "$drop/after.csv"
loaded g after.csv
same "$(cat "$MNT/g/u1/a")" 7
ok a new definition, a group that is gone
