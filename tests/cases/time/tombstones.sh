#!/bin/bash
# SPDX-License-Identifier: MIT
# Removing, and writing again: the direct lane always gets its way, whatever stood and whatever was removed, also over restarts and after the
# tombstones themselves are gone.
# claims: T5 W8 D2
. "$TESTS/lib.sh"
. "$TESTS/helpers/fsop.sh"

start_daemon -o ingest.sweep_interval=200ms -o ingest.tombstones=1s
define g <<'END'
[feature n]
type = int64
[feature s]
type = string
END
e=$MNT/g/u1
mkdir "$e"
for i in $(seq 30); do
	echo "$i" > "$e/n"
	rm "$e/n"
	absent "$e/n"
done
echo 31 > "$e/n"
same "$(cat "$e/n")" 31
echo x > "$e/s"
rm -r "$e"
absent "$e"
mkdir "$e"
same "$(ls "$e")" '' "nothing comes back"
echo 32 > "$e/n"
remount
same "$(cat "$e/n")" 32
absent "$e/s"
rm "$e/n"
rmdir "$e"
gives ok put "$MNT/g/.upsert" '{"entity": "u1", "event_time": "2026-01-01T00:00:00Z", "features": {"n": 33}}'
same "$(cat "$e/n")" 33 "an older time over a tombstone"
gives ok put "$e/.row" '{"delete": true}'
absent "$e"
eventually 10 grep -qx 'rows: 0' "$MNT/g/.stats"
mkdir "$e"
gives ok futime "$e/n" $'34\n' 1000000000000000000
same "$(stat -c %Y "$e/n")" 1000000000 "without a tombstone the time is as given"
ok tombstones
