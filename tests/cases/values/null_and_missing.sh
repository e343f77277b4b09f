#!/bin/bash
# SPDX-License-Identifier: MIT
# An empty file is a null, a name that is not there is missing: told apart on every path, for every type.
# claims: V9 W3
. "$TESTS/lib.sh"
. "$TESTS/helpers/fsop.sh"

types='bool int32 int64 float32 float64 string bytes timestamp json int32[] float32[3] string[]'
start_daemon
i=0
for type in $types; do
	i=$((i + 1))
	printf '[feature f%d]\ntype = %s\n' $i "$type"
done | define g
e=$MNT/g/u1
mkdir "$e"

same "$(ls "$e")" ''
same "$(jq -c .features "$e/.row")" '{}'
i=0
for type in $types; do
	i=$((i + 1))
	absent "$e/f$i"
	gives 'open: ENOENT' read "$e/f$i"
	: > "$e/f$i"
	same "$(stat -c %s "$e/f$i")" 0
	same "$(cat "$e/f$i" | wc -c)" 0
	same "$(jq -c ".features | has(\"f$i\"), .f$i" "$e/.row" | xargs)" 'true null' "$type"
	rm "$e/f$i"
	same "$(jq -c ".features | has(\"f$i\")" "$e/.row")" false
	touch "$e/f$i"
	same "$(stat -c %s "$e/f$i")" 0 "touch makes a null"
done
same "$(ls "$e" | wc -l)" $i
ok one null of each type

echo 5 > "$e/f2"
truncate -s 0 "$e/f2"
same "$(jq -c .features.f2 "$e/.row")" null
gives ok put "$e/.row" '{"features": {"f2": 6, "f3": null}, "delete": ["f4"]}'
same "$(cat "$e/f2")" 6
absent "$e/f4"
cp /dev/null "$e/f2"
same "$(stat -c %s "$e/f2")" 0
remount
same "$(stat -c %s "$e/f2")" 0
absent "$e/f4"
rm "$e"/*
same "$(ls -d "$e")" "$e" "the entity stays without values"
ok after other tools and a remount
