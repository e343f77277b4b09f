#!/bin/bash
# SPDX-License-Identifier: MIT
# The spool is bounded in bytes and files, and what was loaded goes after its time; reports, too.
# claims: I3 I10
. "$TESTS/lib.sh"
. "$TESTS/helpers/import.sh"

need rsync
start_daemon -o batch.spool_size=4M -o batch.spool_files=20
define_rows g
drop=$MNT/g/.import
head -c 3M /dev/zero > "$DIR/three"
cp "$DIR/three" "$drop/.a"
expect_fail ENOSPC cp "$DIR/three" "$drop/.b"
rm "$drop/.b"
expect_fail ENOSPC truncate -s 5M "$drop/.b"
rm "$drop/.a"
cp "$DIR/three" "$drop/.b"
cp "$DIR/three" "$drop/.b"
truncate -s 1M "$drop/.b"
cp "$DIR/three" "$drop/.a"
rm "$drop/.a" "$drop/.b"
same "$(sed -n 's/^featurefs_spool_bytes //p' "$MNT/.featurefs/metrics")" 0
same "$(sed -n 's/^featurefs_spool_files //p' "$MNT/.featurefs/metrics")" 0
ok bytes

# A copy that could not be written to its end is closed like any other, but it is known; each line of it is a whole row. Whoever
# makes room and goes on from there has a whole file.
awk 'BEGIN { print "user,a"; for (i = 0; i < 700000; i++) printf "u%06d,%8d\n", i % 100, i }' > "$DIR/long.csv"
expect_fail ENOSPC cp "$DIR/long.csv" "$drop/long.csv"
ended g long.csv failed
matches "$(field g long.csv reason)" 'long.csv is not whole'
absent "$drop/long.csv" "$MNT/g/u000000"
# rsync renames what it could not finish into place if it is asked to keep it; so does a person who takes the copy for whole.
expect_fail ENOSPC rsync -P "$DIR/long.csv" "$drop/kept.csv"
ended g kept.csv failed
matches "$(field g kept.csv reason)" 'kept.csv is not whole'
expect_fail ENOSPC cp "$DIR/long.csv" "$drop/.moved.csv"
mv "$drop/.moved.csv" "$drop/moved.csv"
ended g moved.csv failed
matches "$(field g moved.csv reason)" 'moved.csv is not whole: the spool or the disk was full'
grep -q 'warn: spool: .* ENOSPC: .* more than batch.spool_size' "$LOG"
same "$(($(grep -c 'ENOSPC' "$LOG") <= 1 + SECONDS / 60))" 1 'once a minute'
absent "$drop/kept.csv" "$drop/moved.csv" "$MNT/g/u000000"
cp "$DIR/three" "$drop/.a"
python3 - "$drop" << 'END'
import errno, os, sys
drop = sys.argv[1]
fd = os.open(drop + "/slow.csv", os.O_WRONLY | os.O_CREAT)
data = b"user,a\n" + b"u1,1\n" * 300000
at = failed = 0
while at < len(data):
    try:
        at += os.pwrite(fd, data[at:at + 100000], at)
    except OSError as e:
        if e.errno != errno.ENOSPC or failed:
            raise
        failed = 1
        os.unlink(drop + "/.a")
os.close(fd)
failed or sys.exit("there was room for all")
END
loaded g slow.csv
same "$(field g slow.csv rows_read)" 300000
rm "$drop/slow.csv"
rm -r "$MNT/g/u1"
same "$(sed -n 's/^featurefs_spool_bytes //p' "$MNT/.featurefs/metrics")" 0
ok copies that were cut short

mkdir "$drop/d"
for i in $(seq 19); do
	: > "$drop/d/f$i"
done
expect_fail ENOSPC touch "$drop/d/f20"
expect_fail ENOSPC mkdir "$drop/e"
rm -r "$drop/d"
ok files

# What was loaded takes no room, so more than the spool holds can be dropped one after another.
for i in 1 2 3; do
	rows 1 40000 "$i" 'some more text so that the file is larger than it needs to be' > "$DIR/big.csv"
	same "$(($(stat -c %s "$DIR/big.csv") > 2000000))" 1
	cp "$DIR/big.csv" "$drop/big$i.csv"
	loaded g "big$i.csv"
	same "$(stat -c %s "$drop/big$i.csv")" "$(stat -c %s "$DIR/big.csv")"
done
same "$(cat "$MNT/g/u1/a")" 3
same "$(sed -n 's/^featurefs_spool_bytes //p' "$MNT/.featurefs/metrics")" 0
same "$(($(du -sk "$STORE/spool" | cut -f1) < 2000))" 1
ok loaded files take no room

# Only now, for what a job has not taken goes by its age, too.
stop_daemon
start_daemon -o batch.retention=3s
eventually 15 bash -c '[[ -z $(ls "$1") && -z $(ls "$1/.reports") ]]' - "$drop"
same "$(cat "$MNT/g/u1/a")" 3
same "$(sed -n 's/^featurefs_spool_files //p' "$MNT/.featurefs/metrics")" 0
same "$(find "$STORE/spool" -path '*/jobs/*' | wc -l)" 0
ok retention
