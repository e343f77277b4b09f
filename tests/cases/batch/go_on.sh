#!/bin/bash
# SPDX-License-Identifier: MIT
# Direct writes go on while a load runs, in its own group, too: they are acknowledged, seen, and not undone by what the load brings; what is older in
# the load loses, what is newer wins.
# claims: I15
. "$TESTS/lib.sh"
. "$TESTS/helpers/import.sh"
. "$TESTS/helpers/stall.sh"

start_stalling
define_rows g
define_rows other
drop=$MNT/g/.import
rows 1 100000 1 > "$DIR/old.csv"
touch -d '2026-01-01' "$DIR/old.csv"
cp -p "$DIR/old.csv" "$drop/"
loaded g old.csv 60
mkdir "$MNT/other/x"

rows 1 100000 2 > "$DIR/new.csv"
touch -d '2026-01-02' "$DIR/new.csv"
cp -p "$DIR/new.csv" "$drop/.new.csv"
echo new.csv > "$STALL_READS"	# until some have been written
python3 - "$MNT" "$drop/.reports/new.csv.status" "$STALL_READS" > "$DIR/said" << 'END'
import os, sys
mnt, report, stall = sys.argv[1:]
os.rename(mnt + "/g/.import/.new.csv", mnt + "/g/.import/new.csv")
written = {}
during = 0
n = 0
while True:
    with open(report) as f:
        state = f.read().split("\n")[0]
    if state not in ("state: waiting", "state: running"):
        break
    n += 1
    if n == 20:
        os.unlink(stall)
    user = "u%d" % (n * 7919 % 100000 + 1)
    for path, value in (("%s/g/%s/a" % (mnt, user), 1000 + n), ("%s/other/x/a" % mnt, n)):
        with open(path, "w") as f:
            f.write("%d\n" % value)
        with open(path) as f:
            got = int(f.read())
        if got != value:
            sys.exit("%s: wrote %d, read %d" % (path, value, got))
    written[user] = 1000 + n
    during += 1
for user, value in written.items():
    with open("%s/g/%s/a" % (mnt, user)) as f:
        got = int(f.read())
    if got != value:
        sys.exit("%s: wrote %d, after the load there is %d" % (user, value, got))
print(during)
END
loaded g new.csv 60
during=$(cat "$DIR/said")
same "$((during >= 20))" 1 "$during writes during the load"
same "$(field g new.csv changed)" "$((100000 - $(field g new.csv late)))" 'the b of all is confirmed'
same "$(($(field g new.csv late) <= during))" 1
count=$(cat "$MNT"/g/u{1..2000}/a | sort | uniq -c | sort -rn | awk 'NR == 1 { print $2 }')
same "$count" 2
ok "$during writes while a load ran"
recrash
same "$(cat "$MNT"/g/u{1..2000}/a | sort | uniq -c | sort -rn | awk 'NR == 1 { print $2 }')" 2
remount
