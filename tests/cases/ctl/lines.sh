#!/bin/bash
# SPDX-License-Identifier: MIT
# Rows in and out by the hundred thousand: put from stdin in pieces, each one change; dump from one moment, equal to what the files say, with
# and without the right to map the store.
# limit: 120
. "$TESTS/lib.sh"

export FEATUREFS_MOUNT=$MNT
need setpriv
chmod 755 "$DIR" "$(dirname "$DIR")"
start_daemon -o allow_other
define g <<'END'
[feature n]
type = int64
max = 1000000
[feature s]
type = string
END
define h <<'END'
[feature x]
type = float32
END
chmod 755 "$MNT/g" "$MNT/h"

# exits STATUS COMMAND...: runs it, keeps what it says, and checks the exit status.
exits() {
	local status=$1 rc=0

	shift
	"$@" > "$DIR/out" 2> "$DIR/err" || rc=$?
	same "$rc" "$status" "$* said: $(tail -c 500 "$DIR/out") $(tail -c 500 "$DIR/err")"
}

# 200,000 rows of about 120 bytes are two changes.
python3 - > "$DIR/rows" <<'END'
for i in range(200000):
    print('{"entity": "u%06d", "event_time": "2026-01-01T00:00:00Z", "features": {"n": %d, "s": "%s"}}' % (i, i, "x" * (i % 60)))
END
exits 0 featurectl put g - < "$DIR/rows"
same "$(cat "$DIR/out")" "200000 rows in 2 changes"
same "$(ls "$MNT/g" | wc -l)" 200000
exits 0 featurectl dump -q g
same "$(wc -l < "$DIR/out")" 200000
same_file "$DIR/rows" "$DIR/out"
cp "$DIR/out" "$DIR/dumped"
ok what went in comes out

# What dump says is what the files say.
for entity in u000000 u000059 u123456 u199999; do
	same "$(grep "\"$entity\"" "$DIR/dumped")" "$(cat "$MNT/g/$entity/.row")"
done
mkdir "$MNT/h/e1" "$MNT/h/e2" "$MNT/h/a%2Fb"
echo 0.5 > "$MNT/h/e1/x"
: > "$MNT/h/e2/x"
# Who reads the map sees that a moment after its close.
has_null() {
	featurectl dump -q h | grep -q null
}
eventually 10 has_null
exits 0 featurectl dump h
same "$(cat "$DIR/out")" "$(cat "$MNT"/h/a%2Fb/.row "$MNT"/h/e1/.row "$MNT"/h/e2/.row)"
exits 0 featurectl dump h g
same "$(head -n 3 "$DIR/out" | cut -c 1-28 | sort -u | wc -l)" 3
same "$(sed -n 1p "$DIR/out")" '{"group": "h", "entity": "a%2Fb", "features": {}}'
same "$(wc -l < "$DIR/out")" 200003
exits 0 featurectl dump
same "$(head -n 1 "$DIR/out" | cut -c 1-33)" '{"group": "g", "entity": "u000000'
exits 1 featurectl dump h none
matches "$(cat "$DIR/err")" 'no group none'
same "$(featurectl dump | (head -n 1 | wc -l))" 1 "a reader that has seen enough is no error"
ok dump and files

# Without the right to map the store: the same rows, by the files.
exits 0 as_user 12345 featurectl dump -q h
same "$(sort "$DIR/out")" "$(cat "$MNT"/h/*/.row | sort)"
matches "$(cat "$DIR/err")" 'not all of one moment'
chmod 700 "$MNT/g"
exits 3 as_user 12345 featurectl dump
matches "$(cat "$DIR/err")" 'Permission denied'
same "$(wc -l < "$DIR/out")" 3
exits 3 as_user 12345 featurectl backup "$DIR/not_mine"
matches "$(cat "$DIR/err")" "run it as the store's owner"
exits 3 as_user 12345 featurectl put h e1 x=1
matches "$(cat "$DIR/err")" "$MNT/h: Permission denied"
ok dump through the mount, and no more

# A dump of the store while it is not mounted, and into another group's rows.
exits 0 featurectl put h - < <(featurectl dump h)
exits 3 featurectl put h - < <(head -n 3 "$DIR/dumped")
matches "$(cat "$DIR/err")" 'line 1: .*not declared'
stop_daemon
exits 0 featurectl -s "$STORE" dump g
same_file "$DIR/dumped" "$DIR/out"
exits 1 featurectl dump g
exits 1 featurectl -s "$DIR/nothing" dump g
ok dump without a mount

# A bad row refuses its piece and no other.
start_daemon
sed '150000s/"n": [0-9]*/"n": 1000001/; s/2026-01-01/2026-01-02/' "$DIR/rows" > "$DIR/bad"
exits 3 featurectl put g - < "$DIR/bad"
matches "$(cat "$DIR/err")" 'line [0-9]+: .*1000000'
matches "$(cat "$DIR/err")" 'the [0-9]+ rows before them are stored'
stored=$(sed -n 's/.*the \([0-9]*\) rows before.*/\1/p' "$DIR/err")
same "$(featurectl dump g | grep -c 2026-01-02)" "$stored"
sed -n '1,10s/2026-01-01/2025-01-01/p' "$DIR/rows" > "$DIR/late"
exits 3 featurectl put g - < "$DIR/late"
exits 0 featurectl put --force g - < "$DIR/late"
same "$(featurectl dump g | grep -c 2025-01-01)" 10
printf '\n\n' | exits 0 featurectl put g -
same "$(cat "$DIR/out")" "0 rows in 0 changes"
exits 2 featurectl put --event-time 0 g -
ok refused pieces
