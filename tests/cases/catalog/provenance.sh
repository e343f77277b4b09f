#!/bin/bash
# SPDX-License-Identifier: MIT
# Where a value came from, and what a group amounts to: attributes of values, .stats, .errors.
# claims: C10 C11 W10 V13
. "$TESTS/lib.sh"
. "$TESTS/helpers/fsop.sh"

chmod 755 "$DIR" "$(dirname "$DIR")"
start_daemon -o allow_other
define g <<'END'
[feature n]
type = int64
[feature vec]
type = float32[2]
END
chmod 777 "$MNT/g"
e=$MNT/g/u1
mkdir "$e"
chmod 777 "$e"
attr() {
	getfattr --only-values -n "user.$1" "$2"
}
echo 1 > "$e/n"
touch -d '2026-05-06 07:08:09.123456Z' "$e/n"
same "$(attr lane "$e/n")" direct
same "$(attr type "$e/n")" int64
matches "$(attr event_time "$e/n")" '^2026-05-06T07:08:09\.123456(000)?Z$'
matches "$(attr ingest_time "$e/n")" "^$(date -u +%Y)-[0-9-]*T[0-9:.]+Z$"
matches "$(attr source "$e/n")" '^uid 0$'
matches "$(attr age "$e/n")" '^[0-9]'
as_user 65534 bash -c 'echo "[1,2]" > "$1"' - "$e/vec"
same "$(attr source "$e/vec")" 'uid 65534'
same "$(attr type "$e/vec")" 'float32[2]'
same "$(attr type "$e/vec.bin")" 'float32[2]'
names=$(fsop listxattr "$e/n" 4096)
for name in lane event_time ingest_time source type age; do
	matches " $names " " user.$name "
done
gives 6 getxattr "$e/n" user.lane 0
gives 'getxattr: ERANGE' getxattr "$e/n" user.lane 3
expect_fail ENODATA getfattr -n user.nothing "$e/n"
setfattr -n user.lane -v batch "$e/n"
setfattr -x user.lane "$e/n"
same "$(attr lane "$e/n")" direct "accepted and ignored"
same "$(getfattr -d "$e/n" | grep -c '^user\.')" "$(wc -w <<< "$names")"
ok attributes of a value

for i in 2 3 4; do
	mkdir "$MNT/g/u$i"
	echo $i > "$MNT/g/u$i/n"
done
: > "$MNT/g/u4/vec"
stat_of() {
	sed -n "s/^$1: //p" "$MNT/g/.stats"
}
has_null() {
	[[ $(stat_of nulls) == 1 ]]
}
eventually 10 has_null
same "$(stat_of features) $(stat_of entities) $(stat_of values) $(stat_of nulls)" '2 4 5 1'
same "$(($(stat_of bytes) > 0))" 1
matches "$(stat_of newest_age_seconds)" '^[0-9]+(\.[0-9]+)?$'
same "$(awk '{ print ($1 > 86400) }' <<< "$(stat_of oldest_age_seconds)")" 1
rm -r "$MNT/g/u4"
same "$(stat_of entities) $(stat_of nulls)" '3 0'
same "$(stat_of direct_applied | awk '{ print ($1 >= 6) }')" 1
remount
same "$(stat_of entities) $(stat_of values)" '3 4'
expect_fail ANY bash -c 'echo 1 > "$1"' - "$MNT/g/.stats"
ok .stats

for i in $(seq 300); do
	(echo "bad$i" > "$e/n") 2> /dev/null || true
done
same "$(wc -l < "$MNT/g/.errors" | awk '{ print ($1 > 20 && $1 <= 300) }')" 1 "bounded"
last_error g '"bad300"'
same "$(grep -c . "$MNT/.featurefs/errors" | awk '{ print ($1 > 0) }')" 1
same "$(grep -cE 'bad300|u1' "$MNT/.featurefs/errors" || true)" 0
ok .errors
