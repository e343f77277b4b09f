#!/bin/bash
# SPDX-License-Identifier: MIT
# Strings, bytes and JSON: which newline belongs to the value, what UTF-8 is, what compact means, and bytes that stay as they are.
# claims: V4 V5 V7 V14
. "$TESTS/lib.sh"
. "$TESTS/helpers/fsop.sh"

start_daemon
define g <<'END'
[feature s]
type = string
[feature raw]
type = bytes
[feature j]
type = json
END
e=$MNT/g/u1
mkdir "$e"

printf 'abc' > "$e/s"
same "$(od -An -c "$e/s" | tr -d ' ')" 'abc\n' "a newline is added"
printf 'abc\n\n' > "$e/s"
same "$(od -An -c "$e/s" | tr -d ' ')" 'abc\n\n' "only one newline is not part of it"
printf '\n' > "$e/s"
same "$(stat -c %s "$e/s")" 1 "the empty string is not the null"
printf 'Grüße, 世界 🎉 \t two  blanks ' > "$e/s"
same "$(cat "$e/s")" $'Grüße, 世界 🎉 \t two  blanks '
for bad in hex:ff hex:c080 hex:eda080 hex:f4908080 hex:61e282; do
	refuses EILSEQ "$e/s" "$bad"
done
refuses EILSEQ "$e/j" hex:22ff22
same "$(cat "$e/s")" $'Grüße, 世界 🎉 \t two  blanks '
# A character that comes in two writes is whole at the close.
gives ok put "$e/s" hex:e4b8 hex:960a
same "$(cat "$e/s")" 世
ok strings

/usr/bin/python3 -c 'import sys; sys.stdout.buffer.write(bytes(range(256)) * 3 + b"\n\n")' > "$DIR/all"
cat "$DIR/all" > "$e/raw"
same_file "$DIR/all" "$e/raw"
printf 'x\n' > "$e/raw"
same "$(stat -c %s "$e/raw")" 2
cp "$DIR/all" "$e/raw"
same_file "$DIR/all" "$e/raw"
same_file "$DIR/all" "$e/raw.bin"
ok bytes

takes "$e/j" '{ "a" : [1, 2.50, null, "x\u00e9"] }' '{"a":[1,2.50,null,"xé"]}'
takes "$e/j" '  "only text"  ' '"only text"'
takes "$e/j" 'null' 'null'
takes "$e/j" '123456789012345678901234567890' '123456789012345678901234567890'
for bad in '{' nul '{"a":1,}' "{'a':1}" '[1] x' '"\ud800"' '01'; do
	refuses EINVAL "$e/j" "$bad"$'\n'
done
same "$(cat "$e/j")" 123456789012345678901234567890
ok JSON
