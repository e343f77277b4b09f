#!/bin/bash
# SPDX-License-Identifier: MIT
# A group as a tar archive and back, find's and grep's view of it, and times that go along.
# claims: W9 W10 T1 T3 N5
. "$TESTS/lib.sh"
. "$TESTS/helpers/fsop.sh"

start_daemon
define g <<'END'
[feature n]
type = int64
[feature s]
type = string
END
define h < "$MNT/g/.schema"
for i in $(seq 30); do
	mkdir "$MNT/g/u$i"
	echo "$i" > "$MNT/g/u$i/n"
	echo "text $i" > "$MNT/g/u$i/s"
	touch -d "2026-03-01 01:00:$i.75Z" "$MNT/g/u$i/n"
done
: > "$MNT/g/u30/s"

tar -cf "$DIR/g.tar" -C "$MNT/g" .
same "$(tar -tf "$DIR/g.tar" | grep -c '/[ns]$')" 60
same "$(tar -tf "$DIR/g.tar" | grep -c '/\.[a-z]' || true)" 0 "none of the store's own names"
tar -xf "$DIR/g.tar" -C "$MNT/h"
same "$(diff -r "$MNT/g" "$MNT/h" && echo equal)" equal
same "$(stat -c %Y "$MNT/h/u12/n")" "$(stat -c %Y "$MNT/g/u12/n")"
same "$(stat -c %s "$MNT/h/u30/s")" 0
# tar removes what is there and writes it again, so that an older archive wins over what it names.
echo 999 > "$MNT/h/u1/n"
tar -xf "$DIR/g.tar" -C "$MNT/h" ./u1/n
same "$(cat "$MNT/h/u1/n")" 1
tar --posix -cf "$DIR/p.tar" -C "$MNT/g" u3
mkdir "$DIR/p"
tar -xf "$DIR/p.tar" -C "$DIR/p"
same "$(stat -c %y "$DIR/p/u3/n")" "$(stat -c %y "$MNT/g/u3/n")"
ok tar

same "$(find "$MNT/g" -name n -size -4c | wc -l)" 30
same "$(find "$MNT/g" -name n -newermt 2026-03-01T01:00:28Z ! -newermt 2026-03-02Z | wc -l)" 3
same "$(find "$MNT/g" -type f -empty)" "$MNT/g/u30/s"
same "$(find "$MNT/g" -mindepth 1 -maxdepth 1 -type d | wc -l)" 30
same "$(grep -rlx 17 "$MNT/g")" "$MNT/g/u17/n"
same "$(du -sb "$MNT/g/u5" > /dev/null && echo fine)" fine
same "$(stat -c %F "$MNT/g" "$MNT/g/u1" "$MNT/g/u1/n" | xargs)" 'directory directory regular file'
ok find and grep
