#!/bin/bash
# SPDX-License-Identifier: MIT
# .featurefs/lanes is a directory of lanes: it can be walked with the usual tools, says what the direct lane has done, and nothing in it
# can be made, changed or removed.
. "$TESTS/lib.sh"

start_daemon
define g <<'END'
[group]
owner = ada
[feature n]
type = int64
END
mkdir "$MNT/g/u1"
echo 1 > "$MNT/g/u1/n"
echo 2 > "$MNT/g/u1/n"
lanes=$MNT/.featurefs/lanes

same "$(ls "$lanes" | tr '\n' ' ')" 'batch direct '
same "$(python3 -c 'import os, sys; print(os.listdir(sys.argv[1]))' "$lanes/direct")" "['status']"
same "$(find "$lanes" | sed "s,$MNT/.featurefs/,," | sort | tr '\n' ' ')" 'lanes lanes/batch lanes/batch/status lanes/direct lanes/direct/status '
same "$(stat -c '%F %a' "$lanes" "$lanes/direct" | sort -u)" 'directory 555'
same "$(stat -c '%F %a' "$lanes/direct/status")" 'regular empty file 444'
same "$(stat -c %i "$lanes/direct/status")" "$(find "$lanes/direct" -name status -printf %i)"
matches "$(cat "$lanes/direct/status")" $'state: running\napplied: 2\nlate: 0'
matches "$(cat "$lanes/batch/status")" $'state: running\nwaiting: 0'
(cd "$lanes/direct" && cat ../direct/status ../../status) > "$DIR/both"
matches "$(cat "$DIR/both")" 'state: running.*version: '
cp -r "$lanes" "$DIR/copy"
[[ -s $DIR/copy/direct/status ]] || fail 'nothing was copied'

absent "$lanes/nothing" "$lanes/direct/nothing" "$lanes/direct/$(printf 'x%.0s' {1..255})"
expect_fail ENAMETOOLONG stat "$lanes/direct/$(printf 'x%.0s' {1..256})"
expect_fail EPERM touch "$lanes/new"
expect_fail EPERM mkdir "$lanes/new"
expect_fail EPERM rm "$lanes/direct/status"
expect_fail EPERM rmdir "$lanes/direct"
expect_fail EPERM truncate -s 0 "$lanes/direct/status"
expect_write_fail EPERM "$lanes/direct/status" x
expect_fail EPERM mv "$lanes/direct/status" "$lanes/direct/other"
