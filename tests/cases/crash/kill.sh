#!/bin/bash
# SPDX-License-Identifier: MIT
# The daemon is killed in the middle of a loop of writes, five times; what echo and cp were told is there is there, and the next value wins.
# claims: K1 K2 D4
# limit: 90
. "$TESTS/lib.sh"
. "$TESTS/helpers/fsop.sh"

start_daemon
define g <<'END'
[feature n]
type = int64
[feature a]
type = int64
[feature b]
type = int64
END
for i in 1 2 3 4; do mkdir "$MNT/g/w$i"; done
round() {
	local i

	rm -f "$DIR"/acked.*
	for i in 1 2 3 4; do
		(
			trap - EXIT ERR
			set +eE
			for ((n = $1 * 1000000; ; n++)); do
				fsop_ok=$( (echo "$n" > "$MNT/g/w$i/n") 2>&1) || break
				[[ -z $fsop_ok ]] || break
				echo "$n" > "$DIR/acked.$i"
				printf '{"entity": "w%d", "features": {"a": %d, "b": %d}}\n' "$i" "$n" "$n" 2> /dev/null > "$MNT/g/.upsert" || break
			done
		) 2> /dev/null &
	done
	for i in 1 2 3 4; do eventually 10 test -s "$DIR/acked.$i"; done
	sleep "0.$((RANDOM % 5 + 4))"
	crash_daemon
	for job in $(jobs -p); do wait "$job" || true; done
	clear_mount
	start_daemon
	for i in 1 2 3 4; do
		local acked now

		acked=$(cat "$DIR/acked.$i")
		now=$(cat "$MNT/g/w$i/n")
		# bash hides an error of close, so the last value that it wrote may be one that was never acknowledged.
		same "$((now >= acked - 1))" 1 "writer $i: acknowledged $acked, there is $now"
		same "$(jq -r '.features | (.a == .b)' "$MNT/g/w$i/.row")" true "half of a change"
	done
}
RANDOM=7
for i in 1 2 3 4 5; do
	round "$i"
	ok "round $i"
done
remount
same "$(ls "$MNT/g" | wc -l)" 4
