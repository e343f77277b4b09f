#!/bin/bash
# SPDX-License-Identifier: MIT
# rsync into the mount and out of it: -a with its temporary names, --inplace, -X --delete, a second run that finds nothing to do, and an
# older file that is refused.
# claims: W7 W9 W10 N6 T3 T4 T7
. "$TESTS/lib.sh"
. "$TESTS/helpers/fsop.sh"
need rsync

start_daemon
define g <<'END'
[feature n]
type = int64
[feature s]
type = string
[feature raw]
type = bytes
END
cd "$DIR"
for i in $(seq 20); do
	mkdir -p "tree/u$i"
	echo "$i" > "tree/u$i/n"
	echo "name $i" > "tree/u$i/s"
	touch -d "2026-01-01 00:00:$i.25Z" "tree/u$i/n" "tree/u$i/s"
done
head -c 200000 /dev/urandom > tree/u1/raw

rsync -a tree/ "$MNT/g/"
same "$(cat "$MNT/g/u20/n" "$MNT/g/u3/s" | xargs)" '20 name 3'
same_file tree/u1/raw "$MNT/g/u1/raw"
same "$(stat -c %y "$MNT/g/u7/n")" '2026-01-01 00:00:07.250000000 +0000'
same "$(rsync -ai tree/ "$MNT/g/" | grep -c '^[<>ch].*[a-z0-9]$' || true)" 0 "a second run has nothing to do"
same "$(find "$MNT/g" -name '.*' | grep -c . || true)" 0
echo 21 > tree/u1/n
rsync -a tree/ "$MNT/g/"
same "$(cat "$MNT/g/u1/n")" 21
touch -d '2025-01-01Z' tree/u2/n
echo 1 > "$MNT/g/u2/n"
expect_fail ESTALE rsync -a tree/u2/n "$MNT/g/u2/n"
same "$(cat "$MNT/g/u2/n")" 1
absent "$MNT/g/u21"
ok rsync -a

for i in $(seq 20); do
	echo "$((i * 2))" > "tree/u$i/n"
	touch -d "2026-02-01 00:00:$i.5Z" "tree/u$i/n"
done
rsync -a --inplace tree/ "$MNT/g/"
same "$(cat "$MNT/g/u20/n")" 40
same "$(stat -c %y "$MNT/g/u9/n")" '2026-02-01 00:00:09.500000000 +0000'
rsync -a --inplace --no-whole-file tree/u1/raw "$MNT/g/u1/raw"
same_file tree/u1/raw "$MNT/g/u1/raw"
printf changed | dd of=tree/u1/raw bs=1 seek=150000 conv=notrunc 2> /dev/null
# To rsync two files of one size and one second are the same, and all of this may take less than a second.
rsync -aI --inplace --no-whole-file tree/u1/raw "$MNT/g/u1/raw"
same_file tree/u1/raw "$MNT/g/u1/raw"
ok rsync --inplace

rm -r tree/u20 tree/u19/s
rsync -aX --delete tree/ "$MNT/g/"
absent "$MNT/g/u20" "$MNT/g/u19/s"
same "$(ls "$MNT/g" | wc -l)" 19
rsync -a "$MNT/g/" out/
same "$(diff -r tree out && echo equal)" equal
same "$(stat -c %Y out/u5/n)" "$(stat -c %Y "$MNT/g/u5/n")"
rsync -aX "$MNT/g/u5" outx/
same "$(cat outx/u5/n)" 10
rsync -aX outx/u5 "$MNT/g/"
same "$(getfattr --only-values -n user.lane "$MNT/g/u5/n")" direct
ok rsync -aX --delete and back
