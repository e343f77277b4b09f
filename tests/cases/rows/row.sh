#!/bin/bash
# SPDX-License-Identifier: MIT
# .row: all of an entity's values as one JSON object, and several of them changed by one write; what is wrong with a row is said.
# claims: R1 R2 R5 V9 W8
. "$TESTS/lib.sh"
. "$TESTS/helpers/fsop.sh"

start_daemon
define g <<'END'
[feature clicks]
type = int64
min = 0
[feature ctr]
type = float64
nan = yes
[feature name]
type = string
[feature raw]
type = bytes
[feature seen]
type = timestamp
[feature doc]
type = json
[feature tags]
type = string[]
[feature vec]
type = float32[2]
[feature on]
type = bool
END
e=$MNT/g/u1
mkdir "$e"
same "$(jq -cS . "$e/.row")" '{"entity":"u1","features":{}}'

cat > "$e/.row" <<'END'
{"entity": "u1", "features": {"clicks": 3, "ctr": 0.25, "name": "Zoë \"Z\"", "raw": "AP8=", "seen": "2026-11-23T04:00:00+01:00",
 "doc": {"a": [1, {"b": null}]}, "tags": ["x", "y"], "vec": [1, -2.5], "on": true}}
END
same "$(cat "$e/clicks")" 3
same "$(cat "$e/name")" 'Zoë "Z"'
same "$(xxd -p "$e/raw")" 00ff
same "$(cat "$e/seen")" 2026-11-23T03:00:00Z
same "$(cat "$e/doc")" '{"a":[1,{"b":null}]}'
same "$(cat "$e/tags")" '["x","y"]'
same "$(cat "$e/vec")" '[1,-2.5]'
same "$(cat "$e/on")" true
same "$(jq -c .features "$e/.row")" '{"clicks":3,"ctr":0.25,"name":"Zoë \"Z\"","raw":"AP8=","seen":"2026-11-23T03:00:00Z","doc":{"a":[1,{"b":null}]},"tags":["x","y"],"vec":[1,-2.5],"on":true}'
same "$(wc -l < "$e/.row")" 1 "one line"
same "$(wc -c < "$e/.row")" "$(stat -c %s "$e/.row")"
one=$(fsop times "$e/clicks" | cut -d' ' -f1)
same "$(fsop times "$e/on" | cut -d' ' -f1)" "$one" "what came together has one time"
# What .row shows can be written back and changes no value.
cp "$e/.row" "$DIR/row"
cat "$DIR/row" > "$e/.row"
same "$(jq -c .features "$e/.row")" "$(jq -c .features "$DIR/row")"
ok all types

gives ok put "$e/.row" '{"features": {"clicks": 4, "name": null}, "delete": ["raw", "doc"]}'
same "$(jq -c .features "$e/.row")" '{"clicks":4,"ctr":0.25,"name":null,"seen":"2026-11-23T03:00:00Z","tags":["x","y"],"vec":[1,-2.5],"on":true}'
absent "$e/raw" "$e/doc"
same "$(cat "$e/ctr")" 0.25
for text in NaN Infinity -Infinity; do
	gives ok put "$e/.row" "{\"features\": {\"ctr\": \"$text\"}}"
	same "$(jq -r .features.ctr "$e/.row")" "$text"
done
gives ok put "$e/.row" '{"delete": ["raw"]}'
ok a part of the row

before=$(cat "$e/.row")
bad() {
	refuses "$1" "$e/.row" "$2"
	same "$(cat "$e/.row")" "$before" "after $2"
}
bad EINVAL '{"features": {"clicks": 5, "on": "yes"}}'
bad ERANGE '{"features": {"on": false, "clicks": -1}}'
bad ERANGE '{"features": {"on": false, "clicks": 9223372036854775808}}'
bad EINVAL '{"features": {"on": false, "clicks": 1.5}}'
bad EINVAL '{"features": {"on": false, "clicks": "5"}}'
bad EPERM '{"features": {"on": false, "klicks": 5}}'
last_error g 'u1/?.*klicks.*\.schema'
bad EPERM '{"delete": ["klicks"]}'
bad EINVAL '{"features": {"clicks": 5}, "delete": ["clicks"]}'
bad EINVAL '{"features": {"raw": "%%%"}}'
bad EINVAL '{"features": {"vec": [1]}}'
bad EINVAL '{"entity": "u2", "features": {"clicks": 5}}'
bad EINVAL '{"feature": {"clicks": 5}}'
bad EINVAL '{"features": [1]}'
bad EINVAL '[]'
bad EINVAL '{"features": {"clicks": 5}'
bad EINVAL '{"features": {"clicks": 5}} {"features": {"clicks": 6}}'
bad EINVAL '{"event_time": "soon", "features": {"clicks": 5}}'
bad EINVAL '{"event_time": "2099-01-01T00:00:00Z", "features": {"clicks": 5}}'
bad EINVAL '{"delete": true, "features": {"clicks": 5}}'
refuses EILSEQ "$e/.row" '{"features": {"name": "' hex:ff '"}}'
same "$(cat "$e/.row")" "$before"
ok refused whole

gives ok put "$e/.row" '{"delete": true}'
absent "$e"
mkdir "$e"
same "$(jq -c .features "$e/.row")" '{}'
expect_fail ANY rm "$e/.row"
expect_fail ANY mv "$e/.row" "$e/name"
same "$(jq -r .entity "$e/.row")" u1
ok delete true
