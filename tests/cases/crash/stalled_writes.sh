#!/bin/bash
# SPDX-License-Identifier: MIT
# The disk takes no writes, and more copies into .import wait for it than the mount has threads at work. Reads go on: others stand in.
. "$TESTS/lib.sh"
. "$TESTS/helpers/stall.sh"

at_work=$(($(nproc) > 2 ? 2 * $(nproc) : 4))
start_stalling -o "mount.threads=$((at_work + 4))"
define g <<'END'
[feature n]
type = int64
END
mkdir "$MNT/g/a"
echo 1 > "$MNT/g/a/n"

touch "$STALL_WRITES"
for i in $(seq $((at_work + 2))); do
	printf 'entity,n\nb%d,%d\n' "$i" "$i" > "$MNT/g/.import/$i.csv" &
	copies="${copies:-} $!"
done
# All of them are in the disk before anybody reads.
wait_in_write() {
	# shellcheck disable=SC2154
	[[ $(grep -l nanosleep "/proc/$daemon_pid/task/"*/wchan | wc -l) -ge $((at_work + 2)) ]]
}
eventually 10 wait_in_write
for _ in 1 2 3; do
	same "$(timeout 20 cat "$MNT/g/a/n")" 1 'a read while all writes stall'
	same "$(timeout 20 ls "$MNT/g")" a
done
# shellcheck disable=SC2086
same "$(ps -o pid= -p "$(tr ' ' , <<< "${copies# }")" | wc -l)" $((at_work + 2)) 'the copies still wait'
ok reads go on

rm "$STALL_WRITES"
# shellcheck disable=SC2086
wait $copies
has_all() {
	[[ $(cat "$MNT/g/b$((at_work + 2))/n") == $((at_work + 2)) && $(ls "$MNT/g" | wc -l) == $((at_work + 3)) ]]
}
eventually 20 has_all
ok all copies were taken
