#!/bin/bash
# SPDX-License-Identifier: MIT
# A value of 1 MiB goes in and comes out; one byte more is EFBIG, in the hands of whoever writes it, and nothing of it is kept.
# claims: V11 V13
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
[feature v]
type = float64[]
[feature n]
type = int64
END
e=$MNT/g/u1
mkdir "$e"

head -c 1048576 /dev/urandom > "$DIR/full"
(cat "$DIR/full"; echo) > "$DIR/over"
cp "$DIR/full" "$e/raw"
same_file "$DIR/full" "$e/raw"
expect_fail EFBIG cp "$DIR/over" "$e/raw"
expect_fail EFBIG dd if="$DIR/over" of="$e/raw" bs=4096
same_file "$DIR/full" "$e/raw"
last_error g 'u1/raw too_big \(errno 27\)'
ok bytes

head -c 1048576 /dev/zero | tr '\0' x > "$DIR/text"
cat "$DIR/text" > "$e/s"
same "$(stat -c %s "$e/s")" 1048577 "and its newline"
expect_fail EFBIG bash -c 'cat "$1" "$1" > "$2"' - "$DIR/text" "$e/s"
same "$(head -c 1048576 "$e/s" | cmp - "$DIR/text" && echo equal)" equal
(echo; cat "$DIR/text") >> "$DIR/more"
expect_fail EFBIG bash -c 'cat "$1" >> "$2"' - "$DIR/more" "$e/s"
same "$(stat -c %s "$e/s")" 1048577
refuses EFBIG "$e/j" '"' rep:y:1048576 '"'
gives ok put "$e/j" '"' rep:y:1048574 '"'
same "$(stat -c %s "$e/j")" 1048577
ok text and JSON

gives ok put "$e/v.bin" rep:z:65536
matches "$(fsop put "$e/v.bin" rep:z:1048584)" ': EFBIG$'
gives 'truncate: EFBIG' truncate "$e/s" 2000000
gives 'write: EFBIG' pwrite "$e/s" 1073741824 x
gives 'write: EFBIG' pwrite "$e/s" 9223372036854775806 x
refuses ERANGE "$e/n" rep:9:5000
ok lengths from elsewhere
