#!/bin/bash
# SPDX-License-Identifier: MIT
# STORE on a disk that is so full that what was dropped can't even become a job. It waits while other imports go on, and says why; when none is before
# it, it has failed, and is taken out of .import like all that fails: the next rsync sends it again, and nobody is kept from its room.
# claims: I4
# limit: 240
# slow
. "$TESTS/lib.sh"
. "$TESTS/helpers/import.sh"
. "$TESTS/helpers/small_disk.sh"
need rsync

# fill: all of the disk, to the last block, whatever its size is; the store and its daemon are idle. What was removed before is free behind a sync.
fill() {
	local more=1

	while [[ -n $more ]]; do
		more=
		sync -f "$DIR/small"
		dd if=/dev/zero bs=64K of="$DIR/small/ballast" oflag=append conv=notrunc 2> /dev/null || true
		while mkdir "$(mktemp -u "$DIR/small/ballast.XXXXXX")" 2> /dev/null; do
			more=1
		done
	done
}

# waits NAME: what was dropped says that it waits for room.
waits() {
	eventually 10 bash -c 'grep -q "^reason: it cannot be taken over yet: No space left" "$1"' - "$drop/.reports/$1.status"
}

# empty: the disk, again.
empty() {
	rm -r "$DIR/small"/ballast*
}

small_disk 96M
expect_log 'cannot be taken over: No space left'
expect_log 'No space|full'
start_daemon -o batch.settle=1s -o checkpoint.interval=1h -o log.segment_size=1M
define_rows g
define_rows other
drop=$MNT/g/.import
rows 1 100 1 > "$drop/first.csv"
loaded g first.csv

# A file, and a directory. Their room is free again, and their reports are kept in it.
rows 1 10000 2 > "$DIR/file.csv"
mkdir "$DIR/run"
rows 1 5000 3 > "$DIR/run/part-0.csv"
rows 5001 10000 3 > "$DIR/run/part-1.csv"
: > "$DIR/run/_SUCCESS"
rsync -a "$DIR/run/" "$drop/.run/"
{
	cat "$DIR/file.csv"
	fill
} > "$drop/file.csv"
waits file.csv
ended g file.csv failed
absent "$drop/file.csv"
fill
mv "$drop/.run" "$drop/run"
waits run
ended g run failed
same "$(ls "$drop")" first.csv
same "$(cat "$MNT/g/u1/a" "$MNT/g/u100/a")" $'1\n1'
ok taken out

empty
remount
for name in file.csv run; do
	same "$(field g $name state)" failed
	matches "$(field g $name reason)" 'cannot be taken over: No space left on device'
done
same "$(sent rsync -a "$DIR/file.csv" "$drop/")" 1
loaded g file.csv
same "$(sent rsync -a "$DIR/run/" "$drop/run/")" 3
eventually 10 bash -c 'grep -q "^state: done" "$1"' - "$drop/.reports/run.status"
same "$(cat "$MNT/g/u1/a" "$MNT/g/u100/a")" $'3\n3'
ok sent again

# Behind an import that runs: rows of an entity that can't be, which take time and no room. It begins with little room left, which is soon filled.
mkdir "$MNT/other/.import/.long"
setfattr -n user.max_rejects -v 1000000000 "$MNT/other/.import/.long"
awk 'BEGIN { for (i = 0; i < 1000000; i++) print "./,1" }' | gzip -1 > "$DIR/million.gz"
{
	echo user,a | gzip
	for ((i = 0; i < 300; i++)); do
		cat "$DIR/million.gz"
	done
} > "$MNT/other/.import/.long/part.csv.gz"
rows 1 100 4 > "$drop/.file.csv"
rows 1 100 4 > "$drop/.gone.csv"
cp -r "$DIR/run" "$drop/.more"
rows 1 5000 5 > "$drop/.more/part-0.csv"
: > "$MNT/other/.import/.long/_SUCCESS"
head -c 4M /dev/zero > "$DIR/small/spare"
fill
rm "$DIR/small/spare"
sync -f "$DIR/small"
mv "$MNT/other/.import/.long" "$MNT/other/.import/long"
eventually 10 bash -c 'grep -q "^state: running" "$1"' - "$MNT/other/.import/.reports/long.status"
fill
for name in file.csv more gone.csv; do
	mv "$drop/.$name" "$drop/$name"
	waits $name
done
same "$(field g file.csv state) $(field g file.csv jobs_before)" 'waiting 1'
matches "$(field g more waits_for)" '^import [0-9]+ into other, [0-9]+ percent$'
same "$(ls "$drop" | tr '\n' ' ')" 'file.csv first.csv gone.csv more run '
rm "$drop/gone.csv"
same "$(field other long state)" running
empty
# Each is a job of its own by now, or will be with the next try; and that it waits for the one that runs goes on.
for name in file.csv more; do
	eventually 10 bash -c 'grep -q "^files: [12]$" "$1"' - "$drop/.reports/$name.status"
done
same "$(field other long state)" running
rm -r "$MNT/other/.import/long"
ended other long cancelled
loaded g file.csv
loaded g more
same "$(field g file.csv changed) $(cat "$MNT/g/u1/a" "$MNT/g/u5001/a" | tr '\n' ' ')" '100 5 3 '
absent "$drop/gone.csv"
ok 'waits while others are before it'
