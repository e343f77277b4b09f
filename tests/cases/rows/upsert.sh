#!/bin/bash
# SPDX-License-Identifier: MIT
# .upsert: JSON Lines, many entities, one change: all of it or none, the bad line named by its number.
# claims: R3 R4 W2 T4 T5
. "$TESTS/lib.sh"
. "$TESTS/helpers/fsop.sh"

start_daemon
define g <<'END'
[feature n]
type = int64
min = 0
[feature s]
type = string
END
up=$MNT/g/.upsert

cat > "$up" <<'END'
{"entity": "u1", "features": {"n": 1, "s": "one"}}
{"entity": "u2", "event_time": "2026-05-01T00:00:00.000000001Z", "features": {"n": 2}}

{"entity": "u3", "event_time": 1777593600, "features": {"s": null}}
{"entity": "a%2Fb", "features": {"n": 4}}
{"entity": 42, "features": {"n": 42}}
{"entity": "bare"}
END
same "$(ls "$MNT/g" | xargs)" '42 a%2Fb bare u1 u2 u3'
same "$(cat "$MNT/g/u1/n" "$MNT/g/u2/n" "$MNT/g/a%2Fb/n" "$MNT/g/42/n" | xargs)" '1 2 4 42'
same "$(stat -c %y "$MNT/g/u2/n")" '2026-05-01 00:00:00.000000001 +0000'
same "$(stat -c '%Y %s' "$MNT/g/u3/s")" '1777593600 0'
same "$(fsop times "$MNT/g/u1/n")" "$(fsop times "$MNT/g/u1/s")"
ok many entities at once

# none ERRNO LINE-NUMBER TEXT: refused, names the line, changes nothing.
none() {
	local before

	before=$(cat "$MNT"/g/*/.row)
	refuses "$1" "$up" "$3"
	last_error g "line $2"
	same "$(cat "$MNT"/g/*/.row)" "$before"
}
none EINVAL 2 $'{"entity": "u1", "features": {"n": 10}}\n{"entity": "u2", "features": {"n": "x"}}\n{"entity": "u3", "features": {"n": 10}}\n'
none ERANGE 3 $'{"entity": "u1", "features": {"n": 10}}\n\n{"entity": "u2", "features": {"n": -1}}\n'
none EPERM 1 '{"entity": "u1", "features": {"nope": 10}}'
none EINVAL 2 $'{"entity": "u1", "features": {"n": 10}}\n{"features": {"n": 10}}'
none EINVAL 2 $'{"entity": "u1", "features": {"n": 10}}\n{"entity": "a/b", "features": {"n": 10}}'
none EINVAL 2 $'{"entity": "u1", "features": {"n": 10}}\n{"entity": "a%2fb", "features": {"n": 10}}'
none EINVAL 1 $'{"entity": "x,y", "features": {"n": 10}}'
none EINVAL 1 $'{"entity": "", "features": {"n": 10}}'
none EINVAL 1 $'{"entity": 42.0, "features": {"n": 10}}'
none EINVAL 2 $'{"entity": "u1", "features": {"n": 10}}\n{"entity": "u2",\n'
none ESTALE 2 $'{"entity": "u1", "features": {"n": 10}}\n{"entity": "u2", "event_time": "2026-04-01T00:00:00Z", "features": {"n": 10}}\n'
none EINVAL 1 '{"entity": "u1", "event_time": "2099-01-01T00:00:00Z", "features": {"n": 10}}'
ok all or none

gives ok put "$up" '{"entity": "u1", "features": {"n": 5}}'$'\n''{"entity": "u1", "features": {"n": 6}, "delete": ["s"]}'$'\n''{"entity": "u2", "delete": true}'
same "$(cat "$MNT/g/u1/n")" 6 "lines count in their order"
absent "$MNT/g/u1/s" "$MNT/g/u2"
gives ok put "$up" '{"entity": "u2", "event_time": "2026-04-01T00:00:00Z", "features": {"n": 7}}'
same "$(cat "$MNT/g/u2/n")" 7 "over a tombstone an older time is fine"
gives ok put "$up" '{"entity": "u1", "event_time": "2026-01-01T00:00:00Z", "force": true, "features": {"n": 8}}'
same "$(cat "$MNT/g/u1/n")" 8
same "$(stat -c %Y "$MNT/g/u1/n")" 1767225600 "forced by name"
: > "$up"
gives ok put "$up"
same "$(cat "$up" | wc -c)" 0
(until [[ -e $DIR/go ]]; do sleep 0.05; done; echo '{"entity": "bg", "features": {"n": 1}}') > "$up" &
absent "$MNT/g/bg"
touch "$DIR/go"
eventually 5 test -e "$MNT/g/bg/n"
expect_fail ANY rm "$up"
ok order, deletes, force
