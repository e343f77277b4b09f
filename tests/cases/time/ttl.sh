#!/bin/bash
# SPDX-License-Identifier: MIT
# A value past its TTL is missing on every path from that moment, whether the sweep has come by or not; then the sweep takes it
# away, and the entity with its last value.
# claims: T8 C7
. "$TESTS/lib.sh"
. "$TESTS/helpers/fsop.sh"

start_daemon -o ingest.sweep_interval=1h
define g <<'END'
[group]
ttl = 8s
[feature n]
type = int64
[feature s]
type = string
END
e=$MNT/g/u1
mkdir "$e" "$MNT/g/empty"
echo 1 > "$e/n"
echo kept > "$e/s"
touch -d '+4 minutes' "$e/s"
same "$(cat "$e/n" "$e/.row" | grep -c '"n": *1' || true)" 1
exec 3< "$e/n"
eventually 10 bash -c '! stat "$1" 2> /dev/null' - "$e/n"
absent "$e/n" "$e/n.bin"
gives 'open: ENOENT' read "$e/n"
expect_fail ENOENT getfattr -n user.type "$e/n"
same "$(ls "$e")" s
same "$(find "$MNT/g" -name n)" ''
same "$(jq -c '.features' "$e/.row")" '{"s":"kept"}'
same "$(cat <&3)" 1 "a descriptor keeps what it opened"
exec 3<&-
matches "$(cat "$MNT/g/.stats")" 'expired: 1'
same "$(ls "$MNT/g" | xargs)" 'empty u1'
expect_fail ENOENT rm "$e/n"
echo 2 > "$e/n"
same "$(cat "$e/n")" 2 "a new write shows again"
touch -d '2026-01-01Z' "$e/n"
absent "$e/n"
ok expired for every reader

setfattr -x user.ttl "$MNT/g"
same "$(cat "$e/n")" 2 "without a ttl nothing expires, and what was not swept is there"
setfattr -n user.ttl -v 1h "$MNT/g"
absent "$e/n"
stop_daemon

start_daemon -o ingest.sweep_interval=200ms
gives ok put "$MNT/g/.upsert" '{"entity": "old", "event_time": "2026-01-01T00:00:00Z", "features": {"n": 1, "s": "x"}}'
eventually 10 bash -c '! stat "$1" 2> /dev/null' - "$MNT/g/old"
eventually 10 grep -qE '^swept: [1-9]' "$MNT/g/.stats"
same "$(ls "$MNT/g" | xargs)" 'empty u1' "an entity made by hand stays, one with a live value too"
setfattr -x user.ttl "$MNT/g"
absent "$e/n"
same "$(cat "$e/s")" kept
remount
absent "$MNT/g/old" "$e/n"
ok swept
