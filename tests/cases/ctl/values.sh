#!/bin/bash
# SPDX-License-Identifier: MIT
# get, put and delete: the same values as the files have, several at once in one change, wrong ones told before they are written, what is
# missing told from null, and --force against event times.
. "$TESTS/lib.sh"

export FEATUREFS_MOUNT=$MNT
start_daemon
define g <<'END'
[group]
ttl = 3000d
[feature n]
type = int64
max = 100
[feature s]
type = string
[feature raw]
type = bytes
[feature f]
type = float64
[feature v]
type = float32[2]
[feature old]
type = bool
retired = yes
END

# exits STATUS COMMAND...: runs it, keeps what it says, and checks the exit status.
exits() {
	local status=$1 rc=0

	shift
	"$@" > "$DIR/out" 2> "$DIR/err" || rc=$?
	same "$rc" "$status" "$* said: $(cat "$DIR/out" "$DIR/err" | tr -d "\0")"
}

exits 0 featurectl errors
same "$(cat "$DIR/out")" ''
exits 0 featurectl errors g
same "$(cat "$DIR/out")" ''

printf 'a\0b' > "$DIR/raw"
exits 0 featurectl put g u1 n=-5 's=say "hi"' raw=@"$DIR/raw" f=1e300 'v=[1, 2.5]'
same "$(cat "$MNT/g/u1/n")" -5
same "$(cat "$MNT/g/u1/s")" 'say "hi"'
same_file "$DIR/raw" "$MNT/g/u1/raw"
same "$(cat "$MNT/g/u1/f")" 1e300
same "$(cat "$MNT/g/u1/v")" '[1,2.5]'
for feature in n s f v raw; do
	exits 0 featurectl get g u1 $feature
	same_file "$DIR/out" "$MNT/g/u1/$feature"
done
same "$(getfattr --absolute-names --only-values -n user.event_time "$MNT/g/u1/n")" "$(getfattr --absolute-names --only-values -n user.event_time "$MNT/g/u1/s")" one change
ok put and get

exits 0 featurectl get g u1
matches "$(cat "$DIR/out")" '^FEATURE +EVENT TIME +LANE +VALUE'
matches "$(cat "$DIR/out")" $'\nn +20[0-9-]+T[0-9:.]+Z +direct +-5'
matches "$(cat "$DIR/out")" 's +20[^ ]+ +direct +"say ..hi.."'
exits 0 featurectl get g u1 --json
same_file "$DIR/out" "$MNT/g/u1/.row"
exits 0 featurectl get --json g u1 n v
same "$(python3 -c 'import json,sys; r = json.load(sys.stdin); print(r["entity"], r["features"], "event_time" in r)' < "$DIR/out")" \
	"u1 {'n': -5, 'v': [1, 2.5]} True"
ok table and JSON

# Null, missing, not declared, retired, no such entity, no such group.
exits 0 featurectl put g u1 n= --null s
same "$(stat -c %s "$MNT/g/u1/n" "$MNT/g/u1/s" | tr '\n' ' ')" "0 0 "
exits 0 featurectl get g u1 n
same "$(cat "$DIR/out")" null
rm "$MNT/g/u1/f"
exits 1 featurectl get g u1 f
matches "$(cat "$DIR/err")" 'missing: g/u1 has no f$'
same "$(cat "$DIR/out")" ""
exits 0 featurectl put g u1 f=1 --event-time 2010-01-01T00:00:00Z --force
exits 1 featurectl get g u1 f
matches "$(cat "$DIR/err")" 'missing: g/u1 had a value of f, and it expired \(ttl 3000d\)'
exits 0 featurectl stats
matches "$(cat "$DIR/out")" $'GROUP +FEATURES +ENTITIES .*\ng +[0-9]+ +1 '
exits 0 featurectl -s "$STORE" stats g
matches "$(cat "$DIR/out")" $'entities +1\n'
exits 1 featurectl stats none
exits 1 featurectl get g u1 n f v
matches "$(cat "$DIR/err")" 'missing: g/u1 had a value of f'
matches "$(cat "$DIR/out")" $'\nn .* null'
exits 1 featurectl get --json g u1 n f
matches "$(cat "$DIR/out")" '"features": \{"n": null\}'
exits 1 featurectl get g u1 nothing
matches "$(cat "$DIR/err")" 'no feature nothing;'
exits 1 featurectl get g u1 old
matches "$(cat "$DIR/err")" 'retired'
exits 1 featurectl get g u2
matches "$(cat "$DIR/err")" 'missing: there is no entity u2'
exits 1 featurectl get g u2 n
matches "$(cat "$DIR/err")" 'missing: there is no entity u2'
exits 1 featurectl get h u1
matches "$(cat "$DIR/err")" 'no group h'
exits 2 featurectl get g a/b n
matches "$(cat "$DIR/err")" '"a/b" is no entity'
exits 2 featurectl get g
ok null and missing

# An empty value of bytes and a null are both empty files.
exits 0 featurectl put g u1 raw=
exits 0 featurectl get g u1 raw
same "$(cat "$DIR/out")" null
printf '{"entity": "u1", "features": {"raw": ""}}\n' | exits 0 featurectl put g -
exits 0 featurectl get g u1 raw
same "$(cat "$DIR/out")" ""
ok empty bytes

# A wrong type is told before anything is written; a broken rule is told with the store's reason. Nothing of the change is stored.
exits 0 featurectl put g u1 n=1 s=one
exits 3 featurectl put g u1 s=two n=five
matches "$(cat "$DIR/err")" '^featurectl put: n: '
exits 3 featurectl put g u1 s=two n=101
matches "$(cat "$DIR/err")" 'refused: .*out_of_range.*100'
exits 3 featurectl put g u1 s=two v=[1]
same "$(cat "$MNT/g/u1/s")" one
exits 2 featurectl put g u1 s
exits 2 featurectl put g u1 s=1 s=2
exits 2 featurectl put g u1
exits 1 featurectl put g u1 nothing=1
exits 0 featurectl put g u1 s=@@home
same "$(cat "$MNT/g/u1/s")" @home
printf 'line\n' | exits 0 featurectl put g u1 s=@-
same "$(cat "$MNT/g/u1/s")" line
ok wrong values

# Event times.
exits 0 featurectl put g u1 n=10
exits 3 featurectl put --event-time 2020-01-01T00:00:00Z g u1 n=9
matches "$(cat "$DIR/err")" 'stale'
same "$(cat "$MNT/g/u1/n")" 10
exits 0 featurectl put --force --event-time 2020-01-01T00:00:00Z g u1 n=9
same "$(cat "$MNT/g/u1/n")" 9
same "$(stat -c %Y "$MNT/g/u1/n")" "$(date -d 2020-01-01T00:00:00Z +%s)"
exits 2 featurectl put --event-time yesterday g u1 n=9
ok event times and --force

exits 0 featurectl delete g u1 n
absent "$MNT/g/u1/n"
exits 1 featurectl delete g u1 s n
matches "$(cat "$DIR/err")" 'missing: g/u1 has no n; nothing was changed'
same "$(cat "$MNT/g/u1/s")" line
exits 0 featurectl delete --force g u1 s n
absent "$MNT/g/u1/s"
exits 0 featurectl delete g u1
absent "$MNT/g/u1"
exits 1 featurectl delete g u1
exits 0 featurectl put g u1 n=3
exits 3 featurectl delete --event-time 2020-01-01T00:00:00Z g u1 n
same "$(cat "$MNT/g/u1/n")" 3
exits 2 featurectl delete g
ok delete

exits 0 featurectl errors -n 1 g
same "$(wc -l < "$DIR/out")" 1
exits 0 featurectl errors g
same_file "$DIR/out" "$MNT/g/.errors"
exits 0 featurectl errors
same_file "$DIR/out" "$MNT/.featurefs/errors"
exits 2 featurectl errors -n none g
exits 1 featurectl errors h
exits 0 featurectl status
matches "$(cat "$DIR/out")" 'entities +1'
matches "$(cat "$DIR/out")" 'map_bytes +[0-9]+  \([0-9.]+ [KMGT]iB\)'
ok errors and status
