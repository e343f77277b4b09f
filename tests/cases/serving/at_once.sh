#!/bin/bash
# SPDX-License-Identifier: MIT
# The serving mount shows what the editing mount shows, right at once: values, rows, binary forms, absent names, listings, sizes, times,
# attributes, definitions; after writes, removals, renames and changes of the definition. It takes no change.
# claims: S1 S2
. "$TESTS/lib.sh"

SRV=$DIR/srv
mkdir "$SRV"
start_daemon -o serve="$SRV"
define g <<'END'
[group]
owner = ada
[feature n]
type = int64
[feature s]
type = string
[feature v]
type = float32[2]
END
# both COMMAND...: the same in both mounts.
both() {
	same "$(cd "$SRV" && "$@" 2>&1 || true)" "$(cd "$MNT" && "$@" 2>&1 || true)" "$*"
}
look() {
	local name

	for name in n s v n.bin v.bin .row; do
		both od -c "g/u1/$name"
		both stat -c '%s %Y %Z %a %u %g %F' "g/u1/$name"
	done
	both stat -c '%Y %Z %a %u %g %F' g/u1
	both ls -l g/u1
	both ls g
	both getfattr -d g
	both getfattr -n user.event_time g/u1/n
	both cat g/.schema
}

echo '{"entity": "u1", "features": {"n": 1, "s": "one", "v": [1, 2]}}' > "$MNT/g/.upsert"
look
echo 2 > "$MNT/g/u1/n"
same "$(cat "$SRV/g/u1/n")" 2
look
printf %s 'a much longer text than before' > "$MNT/g/u1/s"
look
touch -d '2026-01-02 03:04:05' "$MNT/g/u1/n"
look
printf '\7\0\0\0\0\0\0\0' > "$MNT/g/u1/n.bin"
look
truncate -s 0 "$MNT/g/u1/s"
same "$(stat -c %s "$SRV/g/u1/s")" 0
look
echo more > "$MNT/g/u1/s"
: > "$MNT/g/u1/s"
is_null() { [[ $(stat -c %s "$SRV/g/u1/s") == 0 ]]; }
eventually 5 is_null
look
rm "$MNT/g/u1/s"
absent "$SRV/g/u1/s" "$SRV/g/u1/nosuch" "$SRV/g/u2" "$SRV/nosuch" "$SRV/g/.nosuch"
look
echo back > "$MNT/g/u1/s"
look
echo '{"features": {"n": 9}, "delete": ["v"]}' > "$MNT/g/u1/.row"
look
ok 'values and rows'

mkdir "$MNT/g/u2"
both ls g
both ls -l g/u2
echo 4 > "$MNT/g/u2/n"
same "$(cat "$SRV/g/u2/n")" 4
mv "$MNT/g/u2" "$MNT/g/u3"
absent "$SRV/g/u2" "$SRV/g/u2/n"
same "$(cat "$SRV/g/u3/n")" 4
rm -r "$MNT/g/u3"
absent "$SRV/g/u3" "$SRV/g/u3/n"
mkdir "$MNT/g/u3"
absent "$SRV/g/u3/n"
both ls g
ok 'entities'

cat "$SRV/g/u1/s" > /dev/null
sed -i 's/^\[feature s\]$/[feature s]\nretired = yes/' "$MNT/g/.schema"
absent "$SRV/g/u1/s"
both cat g/.schema
both cat g/u1/.row
printf '[feature late]\ntype = bool\n' >> "$MNT/g/.schema"
absent "$SRV/g/u1/late"
echo true > "$MNT/g/u1/late"
same "$(cat "$SRV/g/u1/late")" true
setfattr -n user.tier -v 3 "$MNT/g"
same "$(getfattr --only-values -n user.tier "$SRV/g")" 3
both stat -c '%Y %Z' g
both cat g/.schema
ok 'the definition'

mv "$MNT/g" "$MNT/h"
absent "$SRV/g" "$SRV/g/u1"
same "$(cat "$SRV/h/u1/late")" true
both ls .
mkdir "$MNT/g"
absent "$SRV/g/u1"
rmdir "$MNT/g"
absent "$SRV/g"
both ls .
echo 'no such json' > "$MNT/h/.upsert" || true
both cat h/.errors
[[ $(cat "$SRV/h/.stats") == *'entities: 2'* ]] || fail ".stats: $(cat "$SRV/h/.stats")"
mkdir "$MNT/h/u9"
[[ $(cat "$SRV/h/.stats") == *'entities: 3'* ]] || fail ".stats: $(cat "$SRV/h/.stats")"
matches "$(cat "$SRV/.featurefs/status")" "serving_mount: $SRV"
ok 'groups, and files that are made when they are read'

expect_write_fail EROFS "$SRV/h/u1/late" false
expect_fail EROFS mkdir "$SRV/new" "$SRV/h/new"
expect_fail EROFS rm "$SRV/h/u1/late"
expect_fail EROFS rmdir "$SRV/h/u9"
expect_fail EROFS mv "$SRV/h/u1" "$SRV/h/u7"
expect_fail EROFS touch "$SRV/h/u1/late"
expect_fail EROFS chmod 777 "$SRV/h"
expect_fail EROFS setfattr -n user.tier -v 1 "$SRV/h"
expect_fail EROFS truncate -s 0 "$SRV/h/u1/late"
absent "$SRV/h/.upsert"
same "$(cat "$SRV/h/u1/late")" true
df "$SRV" > /dev/null
