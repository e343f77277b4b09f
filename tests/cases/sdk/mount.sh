#!/bin/bash
# SPDX-License-Identifier: MIT
# A user who may not read the map gets the same through the mount, with the mount's permissions; one who was let in by a unix group reads
# the map. What is written goes through the mount in both cases, and a refusal comes with the reason.
# claims: A3
. "$TESTS/lib.sh"

sdkop=$BIN/tests/helpers/sdkop
[[ $(id -u) == 0 ]] || skip 'needs root, to be two users'
chmod 755 "$DIR" "$(dirname "$DIR")"
export ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0"	# a user without rights can't trace itself
start_daemon -o allow_other
define stats <<'END'
[group]
ttl = 1000d
[feature n]
type = int64
min = 0
[feature ctr]
type = float64
[feature vec]
type = float32[2]
[feature tags]
type = string[]
[feature name]
type = string
[feature on]
type = bool
[feature old]
type = int32
END
define hidden <<'END'
[feature n]
type = int64
END
chmod 700 "$MNT/hidden"
chmod 777 "$MNT/stats"
printf '%s\n' '{"entity": "u1", "features": {"n": 5, "ctr": 0.25, "vec": [1, 2], "tags": ["a"], "name": "é", "on": true}}' \
	'{"entity": "u2", "features": {"n": null, "name": ""}}' > "$MNT/stats/.upsert"
echo '{"entity": "u2", "features": {"old": 1}, "event_time": "2010-01-01T00:00:00Z", "force": true}' > "$MNT/stats/.upsert"
echo 1 > "$MNT/hidden/.upsert" 2> /dev/null || true
all=stats/n,stats/ctr,stats/vec,stats/tags,stats/name,stats/on,stats/old

root=$("$sdkop" get "$MNT" "$all" u1 u2 nobody ../hidden)
same "$root" 'u1 5 0.25 1... ["a"] é true missing
u2 null missing missing missing  missing expired
nobody missing missing missing missing missing missing missing
../hidden missing missing missing missing missing missing missing'
matches "$(as_user 4242 "$sdkop" where "$MNT")" '^mount: .*Permission denied'
same "$(as_user 4242 "$sdkop" get "$MNT" "$all" u1 u2 nobody ../hidden)" "$root" 'through the mount'
for what in 'row u1' 'values u1' 'values u2' 'list'; do
	set -- $what
	same "$(as_user 4242 "$sdkop" "$1" "$MNT" stats ${2:+"$2"})" "$("$sdkop" "$1" "$MNT" stats ${2:+"$2"})" "$what"
done
same "$(as_user 4242 "$sdkop" stats "$MNT" stats)" "$("$sdkop" stats "$MNT" stats)"
same "$(as_user 4242 "$sdkop" list "$MNT" stats u u1 1)" $'u2\n1'
same "$(as_user 4242 "$sdkop" version "$MNT")" "$("$sdkop" version "$MNT")"
ok 'the same through both'

expect_fail EACCES as_user 4242 "$sdkop" get "$MNT" hidden/n u1
expect_fail ANY env SDKOP_FLAGS=1 setpriv --reuid=4242 --regid=4242 --clear-groups "$sdkop" where "$MNT"
expect_fail ANY as_user 4242 "$sdkop" get "$MNT" stats/nosuch u1
expect_fail ANY as_user 4242 "$sdkop" row "$MNT" stats ../hidden

version=$(as_user 4242 "$sdkop" put "$MNT" stats u3 n=7)
same "$("$sdkop" get "$STORE" stats/n u3)" 'u3 7'
"$sdkop" wait "$MNT" "$version" 0
expect_fail ANY "$sdkop" wait "$MNT" $((version + 100)) 20
said=$("$sdkop" put "$STORE" stats u3 n=-1 2>&1) && fail 'a value below min was taken'
matches "$said" 'n.*-1|-1.*0' 'the reason in words'
said=$("$sdkop" put "$MNT" nosuch u3 n=1 2>&1) && fail 'a group that is not there was taken'
matches "$said" 'no group nosuch'
same "$("$sdkop" get "$STORE" stats/n u3)" 'u3 7'
ok 'writing'

chgrp 4242 "$STORE" "$STORE"/{data.mdb,lock.mdb,state}
chmod 750 "$STORE"
chmod g+r "$STORE"/{data.mdb,state}
chmod g+rw "$STORE/lock.mdb"
matches "$(as_user 4242 "$sdkop" where "$MNT")" '^mapped'
same "$(as_user 4242 "$sdkop" get "$MNT" "$all" u1 u2 nobody ../hidden)" "$root" 'as a member of the group'
ok 'let in by a unix group'

# A mount that takes this user's right to write anything, names for a .lookup too, is read file by file.
chmod 700 "$STORE"
stop_daemon
start_daemon -o allow_other,umask=022
expect_fail EACCES as_user 4242 bash -c ': >> "$1"' - "$MNT/stats/.lookup"
same "$(as_user 4242 "$sdkop" get "$MNT" "$all" u1 u2 nobody ../hidden)" "${root/expired/missing}" 'file by file'
same "$(as_user 4242 "$sdkop" values "$MNT" stats u1)" "$("$sdkop" values "$MNT" stats u1)"
ok 'file by file'
