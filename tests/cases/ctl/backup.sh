#!/bin/bash
# SPDX-License-Identifier: MIT
# A backup is taken while writers write, is a store of one moment, and a restored store holds exactly what it held. Nothing that is there is
# written over.
# limit: 120
. "$TESTS/lib.sh"

export FEATUREFS_MOUNT=$MNT
start_daemon
define g <<'END'
[feature a]
type = int64
[feature b]
type = int64
[feature pad]
type = string
END

# exits STATUS COMMAND...: runs it, keeps what it says, and checks the exit status.
exits() {
	local status=$1 rc=0

	shift
	"$@" > "$DIR/out" 2> "$DIR/err" || rc=$?
	same "$rc" "$status" "$* said: $(cat "$DIR/out" "$DIR/err")"
}

python3 - <<'END' | featurectl put g - > /dev/null
for i in range(50000):
    print('{"entity": "u%05d", "features": {"a": 0, "b": 0, "pad": "%s"}}' % (i, "p" * 100))
END

# The writer keeps a and b of every entity equal, in one change for both, and counts up.
(
	i=0
	while [[ ! -e $DIR/stop ]]; do
		i=$((i + 1))
		for e in 00000 25000 49999; do
			printf '{"entity": "u%s", "features": {"a": %d, "b": %d}}\n' $e $i $i
		done > "$MNT/g/.upsert"
	done
) &
writer=$!
eventually 10 bash -c '[[ $(cat "$1") -gt 3 ]]' - "$MNT/g/u25000/a"
before=$(cat "$MNT/g/u25000/a")
exits 0 featurectl backup "$DIR/backup"
matches "$(cat "$DIR/out")" 'backup: [0-9.]+ MiB in [0-9.]+ seconds'
after=$(cat "$MNT/g/u25000/a")
exits 0 featurectl verify
touch "$DIR/stop"
wait "$writer"
ok a backup beside writers, and a verify

exits 0 featurectl verify "$DIR/backup"
same "$(tail -n 1 "$DIR/out")" "verified: 1 group, 50000 entities, 150000 values, no fault"
featurectl -s "$DIR/backup" dump g > "$DIR/dump.backup"
python3 - "$DIR/dump.backup" "$before" "$after" <<'END'
import json, sys
rows = {r["entity"]: r["features"] for r in map(json.loads, open(sys.argv[1]))}
seen = {rows["u" + e][f] for e in ("00000", "25000", "49999") for f in "ab"}
assert len(rows) == 50000 and len(seen) == 1 and int(sys.argv[2]) <= min(seen) <= int(sys.argv[3]) + 1, (len(rows), seen, sys.argv)
END
ok it is of one moment

# Restored, it is the same store, and it mounts.
exits 0 featurectl restore "$DIR/backup" "$DIR/restored"
matches "$(cat "$DIR/out")" "featurefs $DIR/restored MOUNTPOINT"
featurectl -s "$DIR/restored" dump g > "$DIR/dump.restored"
same_file "$DIR/dump.backup" "$DIR/dump.restored"
stop_daemon
STORE=$DIR/restored
start_daemon
featurectl dump g > "$DIR/dump.mounted"
same_file "$DIR/dump.backup" "$DIR/dump.mounted"
echo 7 > "$MNT/g/u00001/a"
remount
same "$(cat "$MNT/g/u00001/a")" 7
exits 0 featurectl verify
same "$(stat -c %a "$STORE")" 700
ok restore

# Nothing is written over.
exits 3 featurectl restore "$DIR/backup" "$STORE"
matches "$(cat "$DIR/err")" "in use: it is mounted at $MNT"
exits 3 featurectl restore "$DIR/backup" "$DIR/store"
matches "$(cat "$DIR/err")" 'is not empty'
exits 3 featurectl backup "$DIR/backup"
matches "$(cat "$DIR/err")" 'is not empty'
exits 1 featurectl restore "$DIR/none" "$DIR/new"
exits 2 featurectl restore "$DIR/backup"
exits 2 featurectl backup
mkdir "$DIR/empty"
exits 0 featurectl backup "$DIR/empty"
exits 0 featurectl verify "$DIR/empty"
exits 0 featurectl -s "$DIR/store" backup "$DIR/unmounted"
same "$(featurectl -s "$DIR/unmounted" dump | wc -l)" 50000
ok nothing is written over

# A damaged backup is not restored.
python3 - "$DIR/backup/data.mdb" <<'END'
import sys
bytes = open(sys.argv[1], "rb").read()
old = b"p" * 100
assert old in bytes
open(sys.argv[1], "r+b").write(bytes.replace(old, b"\xff" + old[1:], 1))
END
exits 3 featurectl restore "$DIR/backup" "$DIR/new"
matches "$(cat "$DIR/err")" "has [0-9]+ faults?, so nothing was restored"
absent "$DIR/new"
ok a damaged backup
