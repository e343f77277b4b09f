#!/bin/bash
# SPDX-License-Identifier: MIT
# Trees of entity/feature files, copied into a group by rsync and tar: direct writes, each acknowledged by itself, that share commits.
# claims: W1
. "$TESTS/lib.sh"
. "$TESTS/helpers/import.sh"
need rsync

# Fewer scratch files than rsync uses one after another: each is gone once it has been renamed onto its feature.
start_daemon -o mount.scratch_files=16
define_rows g
mkdir "$DIR/tree"
for i in $(seq 100); do
	mkdir "$DIR/tree/u$i"
	echo "$i" > "$DIR/tree/u$i/a"
	echo "name $i" > "$DIR/tree/u$i/b"
done
touch -d '2026-01-01 UTC' "$DIR"/tree/*/*
same "$(sent rsync -a "$DIR/tree/" "$MNT/g/")" 200
diff -r "$DIR/tree" "$MNT/g"
same "$(date -u -r "$MNT/g/u7/a" +%F)" 2026-01-01
same "$(sent rsync -a "$DIR/tree/" "$MNT/g/")" 0
same "$(getfattr --only-values -n user.lane "$MNT/g/u7/a")" direct
ok rsync -a

for i in $(seq 100); do
	echo "$((i + 1))" > "$DIR/tree/u$i/a"
done
touch -d '2026-01-02 UTC' "$DIR"/tree/*/a
same "$(sent rsync -a "$DIR/tree/" "$MNT/g/")" 100
define_rows h
tar -C "$DIR/tree" -cf - . | tar -C "$MNT/h" -xf -
diff -r "$DIR/tree" "$MNT/h"
same "$(date -u -r "$MNT/h/u7/a" +%F)" 2026-01-02
ok tar x

# The lanes meet by event time: a load that is newer wins over the tree, an older tree does not win over the load.
rows 1 100 1000 > "$DIR/load.csv"
touch -d '2026-01-03 UTC' "$DIR/load.csv"
cp -p "$DIR/load.csv" "$MNT/g/.import/"
loaded g load.csv
same "$(cat "$MNT/g/u50/a")" 1000
expect_fail ESTALE cp -p "$DIR/tree/u50/a" "$MNT/g/u50/a"
same "$(cat "$MNT/g/u50/a")" 1000
ok and a load
