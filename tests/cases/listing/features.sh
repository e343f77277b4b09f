#!/bin/bash
# SPDX-License-Identifier: MIT
# An entity of many features, a store of many groups: listings hold what is there, types and inode numbers agree with stat, in one handle too.
# claims: L1 L2 N5 V9
. "$TESTS/lib.sh"
. "$TESTS/helpers/fsop.sh"

start_daemon
for i in $(seq 400); do printf '[feature f%d]\ntype = int64\n' "$i"; done | define g
mkdir "$MNT/g/u1"
cd "$MNT/g/u1"
same "$(ls | wc -l)" 0
jq -nc '{features: ([range(1; 401)] | map({key: "f\(.)", value: .}) | from_entries)}' > .row
same "$(ls | wc -l)" 400
same "$(ls | sort -u | wc -l)" 400
same "$(cat ./* | sort -n | uniq | wc -l)" 400
gives 'ok 400' seekdir .
rm f1 f2
: > f3
same "$(ls | wc -l)" 398 "a null is listed, a missing one is not"
/usr/bin/python3 - << 'END'
import os
for entry in os.scandir("."):
    assert entry.is_file(follow_symlinks=False), entry.name
    assert entry.inode() == entry.stat().st_ino, entry.name
for entry in os.scandir(".."):
    assert entry.is_dir()
END
same "$(stat -c %h f4)" 1
same "$(find . -type f -links 1 | wc -l)" 398
cd "$MNT"
for i in $(seq 300); do mkdir "grp$i"; done
same "$(ls | wc -l)" 301
matches "$(fsop seekdir .)" '^ok 30[1-3]$'
rmdir grp*
same "$(ls)" g
same "$(find . -mindepth 2 -maxdepth 2 ! -path './.*')" ./g/u1
cd /
ok many features, many groups
