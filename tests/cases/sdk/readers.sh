#!/bin/bash
# SPDX-License-Identifier: MIT
# A reader that stays in one snapshot is named in .featurefs/status; one that is killed there holds nothing back for long: the map stays
# as small as it was, though it is written all over again.
# claims: A5
. "$TESTS/lib.sh"

sdkop=$BIN/tests/helpers/sdkop
start_daemon -o store.durability=relaxed -o checkpoint.interval=200ms
define g <<'END'
[feature n]
type = int64
END
seq -f '{"entity": "u%.0f", "features": {"n": 1}}' 1 3000 > "$MNT/g/.upsert"

"$sdkop" hold "$STORE" 300 > "$DIR/held" &
reader=$!
eventually 10 grep -q holding "$DIR/held"
echo 2 > "$MNT/g/u1/n"
eventually 10 grep -qx "oldest_reader_pid: $reader" "$MNT/.featurefs/status"
eventually 10 grep -qE '^oldest_reader_commits_behind: [1-9]' "$MNT/.featurefs/status"
ok 'a reader is named'

kill -KILL "$reader"
wait "$reader" 2> /dev/null || true
eventually 10 grep -qx 'reader_snapshots: 0' "$MNT/.featurefs/status"
# What is written over can be used again when a checkpoint has come by, however long the disk takes for that.
has_checkpoint() {
	awk '$1 == "seq:" { seq = $2 } $1 == "checkpoint_seq:" { saved = $2 } END { exit !(seq && saved == seq) }' "$MNT/.featurefs/status"
}
write_all() {
	seq -f '{"entity": "u%.0f", "features": {"n": '"$1"'}}' 1 3000 > "$MNT/g/.upsert"
	eventually 20 has_checkpoint
}
for i in {1..5}; do write_all "$i"; done
before=$(stat -c %s "$STORE/data.mdb")
for i in {1..10}; do write_all "$i"; done
after=$(stat -c %s "$STORE/data.mdb")
[ "$after" -le $((before + before / 2)) ] || fail "the map grew from $before to $after bytes"
ok "a killed reader holds nothing: $before, then $after bytes"
