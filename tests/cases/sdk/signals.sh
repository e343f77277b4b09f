#!/bin/bash
# SPDX-License-Identifier: MIT
# A program in which signals interrupt every system call gets the same from the library as any other: opening, reading from the map and through
# the mount, rows, lists, and changes, each of which takes effect once.
# claims: A1
. "$TESTS/lib.sh"

sdkop=$BIN/tests/helpers/sdkop
start_daemon -o store.durability=relaxed
define g <<'END'
[feature n]
type = int64
END
for i in $(seq 300); do
	echo "{\"entity\": \"u$i\", \"features\": {\"n\": $i}}"
done > "$MNT/g/.upsert"
mkdir "$MNT/g/e"

# same_with_signals FLAGS COMMAND...: what it prints without signals it prints with them, and some came.
same_with_signals() {
	local flags=$1

	shift
	same "$(SDKOP_FLAGS=$flags SDKOP_SIGNALS=50 "$sdkop" "$@" 2> "$DIR/said")" "$(SDKOP_FLAGS=$flags "$sdkop" "$@")" "$* (flags $flags)"
	came=$((came + $(sed -n 's/ signals$//p' "$DIR/said")))
}

mapfile -t names < <(seq -f u%.0f 1 300)
came=0
for flags in 0 2; do
	for _ in 1 2 3 4 5; do
		same_with_signals $flags get "$MNT" g/n "${names[@]}" nobody
		same_with_signals $flags row "$MNT" g u7
		same_with_signals $flags list "$MNT" g u2
	done
	same_with_signals $flags acked "$MNT" g 30
	for i in $(seq 20); do
		SDKOP_FLAGS=$flags SDKOP_SIGNALS=50 "$sdkop" put "$MNT" g "s$flags" "n=$i" > /dev/null 2> "$DIR/said"
		same "$(cat "$MNT/g/s$flags/n")" "$i"
		came=$((came + $(sed -n 's/ signals$//p' "$DIR/said")))
	done
done
same "$((came > 100))" 1 "$came signals came"
ok "$came signals"
