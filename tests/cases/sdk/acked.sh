#!/bin/bash
# SPDX-License-Identifier: MIT
# What was acknowledged, the library reads: after each of many writes by .upsert, .row and a plain file the very next read has it. Two
# values that are changed together are never read apart, while a writer goes on as fast as it can, by way of the map and of the mount.
# claims: A1 A2
# limit: 120
. "$TESTS/lib.sh"

sdkop=$BIN/tests/helpers/sdkop
start_daemon -o store.durability=relaxed
for group in g h; do
	define $group <<'END'
[feature n]
type = int64
END
done
mkdir "$MNT/g/e"
same "$("$sdkop" where "$MNT")" "mapped
$STORE
$MNT"
same "$("$sdkop" acked "$MNT" g 300)" '300 of 300'
same "$(SDKOP_FLAGS=2 "$sdkop" acked "$MNT" g 30)" '30 of 30' 'through the mount'
ok 'each write was there'

printf '{"entity": "%s", "features": {"n": 0}}\n' a b > "$MNT/g/.upsert"
(
	trap 'exit 0' TERM
	for ((i = 1;; i++)); do
		printf '{"entity": "%s", "features": {"n": '"$i"'}}\n' a b > "$MNT/g/.upsert"
	done
) &
writer=$!
for flags in 0 2; do
	matches "$(SDKOP_FLAGS=$flags "$sdkop" together "$MNT" g/n 3)" '[0-9]+ reads, [0-9]+ changes'
done
kill "$writer"
wait "$writer" || true
ok 'never apart, never back'

# A thousand entities of two groups with their event times are one moment through the mount too, and the call succeeds while others write on.
seq -f u%.0f 1 1000 > "$DIR/names"
for group in g h; do
	sed 's/.*/{"entity": "&", "features": {"n": 5}}/' "$DIR/names" > "$MNT/$group/.upsert"
done
(
	trap 'exit 0' TERM
	for ((i = 1;; i++)); do
		echo "$i" > "$MNT/g/e/n"
	done
) &
writer=$!
mapfile -t names < "$DIR/names"
for ((i = 0; i < 20; i++)); do
	SDKOP_FLAGS=2 "$sdkop" get "$MNT" g/n,h/n "${names[@]}" nobody > "$DIR/got"
	same "$(sort -k2 "$DIR/got" | uniq -c -f1 | sed 's/^ *//; s/ [a-z0-9]* / /')" $'1000 5 5\n1 missing missing'
done
kill "$writer"
wait "$writer" || true
ok 'many through the mount while others write'
