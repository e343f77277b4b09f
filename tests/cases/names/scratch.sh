#!/bin/bash
# SPDX-License-Identifier: MIT
# Scratch files: what editors and tools keep for a moment. They read and write like files, are in no listing, count and size are bounded,
# time runs out for those that are left behind, and renaming one onto a feature writes it.
# claims: N6 N7 T2 W4 V13
. "$TESTS/lib.sh"
. "$TESTS/helpers/fsop.sh"

start_daemon -o scratch_files=8 -o scratch_bytes=1M
define g <<'END'
[feature n]
type = int64
[feature s]
type = string
END
e=$MNT/g/u1
mkdir "$e"
cd "$e"

for name in .n.swp .n.swx .n.AbC123 sedAbC123 n~ 4913; do
	echo 12 > "$name"
	same "$(cat "$name")" 12
	echo 34 >> "$name"
	same "$(cat "$name")" $'12\n34'
	printf X | dd of="$name" bs=1 seek=1 conv=notrunc 2> /dev/null
	same "$(head -n 1 "$name")" 1X
	truncate -s 1 "$name"
	same "$(stat -c %s "$name")" 1
	chmod 600 "$name"
	touch -d '2026-01-01Z' "$name"
	same "$(stat -c %Y "$name")" 1767225600
	same "$(ls -A | wc -l)" 0
	rm "$name"
	absent "$name"
done
echo group > ../.tmp1
same "$(cat ../.tmp1)" group
same "$(ls -A ..)" u1
ok files for a moment

echo 5 > .n.tmp
mv .n.tmp n
same "$(cat n)" 5
absent .n.tmp
echo 6 > .n.tmp
mv .n.tmp n
same "$(cat n)" 6 "over what stands"
echo bad > .n.tmp
gives 'rename: EINVAL' rename .n.tmp n
same "$(cat n .n.tmp)" $'6\nbad' "a refused one stays"
echo 7 > .n.tmp
touch -d '2026-01-01Z' .n.tmp
gives 'rename: ESTALE' rename .n.tmp n
gives 'rename: EEXIST' noreplace .n.tmp n
gives 'rename: EPERM' rename .n.tmp undeclared
mv n n~
absent n
same "$(cat n~)" 6
mv n~ n
same "$(cat n)" 6
echo 8 > .other
mv -f .other .n.tmp
same "$(cat .n.tmp)" 8
rm .n.tmp
mkdir ../u2
echo 9 > .n.tmp
mv .n.tmp ../u2/n
same "$(cat ../u2/n)" 9
ok renamed onto a feature

rm -f ../.tmp1
eventually 10 grep -qx 'scratch_files: 0' "$MNT/.featurefs/status"
for i in $(seq 8); do
	echo "$i" > ".s$i"
done
expect_fail ENOSPC bash -c 'echo 9 > .s9'
same "$(cat .s8)" 8
echo 10 > n
same "$(cat n)" 10 "features are not bounded by it"
rm .s1
# The room of a removed one is free when the kernel has forgotten it, which it says a moment later.
eventually 10 bash -c 'echo 9 > .s9'
rm .s2 .s3 .s4 .s5 .s6 .s7 .s8 .s9
expect_fail ENOSPC dd if=/dev/zero of=.big bs=64K count=32
rm -f .big
eventually 10 bash -c 'head -c 500000 /dev/zero > .ok'
rm .ok
cd /
stop_daemon
start_daemon -o scratch_time=5s
cd "$e"
echo left > .left
exec 3> .held
# To ask for it is to use it.
eventually 10 bash -c 'sleep 7; ! stat .left 2> /dev/null'
absent .left
echo 1 >&3
exec 3>&-
same "$(cat .held)" 1 "not while it is open"
cd /
remount
absent "$e/.held"
same "$(cat "$e/n")" 10
ok bounded
