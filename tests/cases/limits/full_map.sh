#!/bin/bash
# SPDX-License-Identifier: MIT
# A map that reached its configured size: ENOSPC to the writer with a line that names the setting, reads go on, removing works, and a
# larger setting at the next start helps.
# claims: B1 D8
# limit: 90
. "$TESTS/lib.sh"
. "$TESTS/helpers/fsop.sh"
. "$TESTS/helpers/fill.sh"

expect_log 'map_size|full'
start_daemon -o store.map_size=16M -o checkpoint.interval=200ms
fill_up g 100000
same "$((full > 30))" 1 "$full pieces of 100 kB"
same_file "$DIR/piece" "$MNT/g/e$((full - 1))/raw"
same "$(cat "$MNT/g/first/n")" 7
last_error g 'no_space'
eventually 5 grep -q 'map_size' "$LOG" "$MNT/g/.errors"
same "$(df -B1 --output=avail "$MNT" | tail -n 1 | awk '{ print ($1 < 4000000) }')" 1
ok ENOSPC, and reads go on

for i in $(seq 1 $((full / 2))); do
	rm -r "$MNT/g/e$i" || fail "removing must work when the map is full"
done
eventually 20 cp "$DIR/piece" "$MNT/g/first/raw"
same "$(df -B1 --output=avail "$MNT" | tail -n 1 | awk '{ print ($1 > 5000000) }')" 1 "df shows what was removed as free"
ok room again after removing

# One refusal is all that can be asked for: a checkpoint may give pages back a moment later.
while mkdir "$MNT/g/y$((i += 1))" 2> "$DIR/said" && cp "$DIR/piece" "$MNT/g/y$i/raw" 2> "$DIR/said"; do :; done
matches "$(cat "$DIR/said")" 'No space left on device'
sum=$(cat "$MNT"/g/*/raw | cksum)
stop_daemon
start_daemon -o store.map_size=64M
same "$(cat "$MNT"/g/*/raw | cksum)" "$sum"
mkdir -p "$MNT/g/more"
cp "$DIR/piece" "$MNT/g/more/raw"
same_file "$DIR/piece" "$MNT/g/more/raw"
ok a larger map at the next start
