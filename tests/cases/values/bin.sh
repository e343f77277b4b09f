#!/bin/bash
# SPDX-License-Identifier: MIT
# .bin of each scalar: the same value as little-endian bytes, both ways, under the same rules as the text.
# claims: V10 V9 V13
. "$TESTS/lib.sh"
. "$TESTS/helpers/fsop.sh"

start_daemon
define g <<'END'
[feature b]
type = bool
[feature i]
type = int32
max = 1000
[feature l]
type = int64
[feature f]
type = float32
[feature d]
type = float64
[feature s]
type = string
[feature j]
type = json
END
e=$MNT/g/u1
mkdir "$e"

# shows FEATURE TEXT HEX: written as text it has these bytes; written as these bytes it has this text.
shows() {
	gives ok put "$e/$1" "$2"$'\n'
	same "$(xxd -p "$e/$1.bin")" "$3" "$1.bin"
	same "$(stat -c %s "$e/$1.bin")" $((${#3} / 2)) "size of $1.bin"
	rm "$e/$1"
	absent "$e/$1.bin"
	gives ok put "$e/$1.bin" "hex:$3"
	same "$(cat "$e/$1")" "$2" "$1"
}

shows b true 01
shows i 5 05000000
shows i -2 feffffff
shows l -2 feffffffffffffff
shows f 1.5 0000c03f
shows d 1.5 000000000000f83f
shows s 'ab' 6162
shows j '{"a":1}' 7b2261223a317d
ok round trips

refuses EINVAL "$e/b.bin" hex:02
refuses EINVAL "$e/i.bin" hex:0500
refuses EINVAL "$e/i.bin" hex:0500000000
refuses ERANGE "$e/i.bin" hex:e9030000
refuses EINVAL "$e/d.bin" hex:000000000000f87f
refuses EILSEQ "$e/s.bin" hex:ff
refuses EINVAL "$e/j.bin" hex:7b
last_error g 'u1/j'
same "$(cat "$e/i") $(cat "$e/d") $(cat "$e/s")" '-2 1.5 ab' "nothing of it is stored"
refuses EPERM "$e/x.bin" hex:00
ok refusals

: > "$e/i"
same "$(stat -c %s "$e/i.bin")" 0 "a null has no bytes"
echo 7 > "$e/i"
: > "$e/i.bin"
same "$(jq -c .features.i "$e/.row")" null
same "$(ls "$e" | xargs)" 'b d f i j l s' ".bin is not listed"
ok nulls
