#!/bin/bash
# SPDX-License-Identifier: MIT
# Directories of parts: as Spark writes them, as rsync, cp and tar copy them. A directory is one job, which a _SUCCESS starts; what begins with
# a dot or an underscore is no data; parts that come later need another sign. Reports say which part a bad row is of, and what columns none has.
# claims: I2 I4
# limit: 120
. "$TESTS/lib.sh"
. "$TESTS/helpers/import.sh"
need rsync

start_daemon -o batch.settle=1s
define_rows g
drop=$MNT/g/.import

# settle TIME: begins anew, with so much time without news for a sign. An hour: no pause of whoever copies is one.
settle() {
	stop_daemon
	start_daemon -o batch.settle="$1"
}

# copied FROM GROUP NAME: by cp -r, which says nothing of its end, in less time than the daemon takes for that. Where the machine paused, once more as
# another one; $name is what it is called.
copied() {
	local begin

	name=$3
	while :; do
		begin=$(date +%s%N)
		cp -r "$1" "$MNT/$2/.import/$name"
		(($(date +%s%N) - begin > 1900000000)) || break
		name+=.more
	done
}

# Spark: attempts below _temporary, parts moved into place, _SUCCESS at last, checksums in hidden files.
mkdir -p "$drop/spark/_temporary/0/task_1"
rows 1 50 1 > "$drop/spark/_temporary/0/task_1/part-00000.csv"
rows 51 100 1 > "$drop/spark/_temporary/0/task_1/part-00001.csv"
echo crc > "$drop/spark/.part-00000.csv.crc"
rows 1 1 666 > "$drop/spark/_temporary/0/failed.csv"
mv "$drop/spark/_temporary/0/task_1/part-00000.csv" "$drop/spark/"
mkdir -p "$drop/spark/day=1"
mv "$drop/spark/_temporary/0/task_1/part-00001.csv" "$drop/spark/day=1/"
sleep 1.5
same "$(ls "$drop/.reports")" '' 'not without _SUCCESS'
absent "$MNT/g/u1"
rm -r "$drop/spark/_temporary"
: > "$drop/spark/_SUCCESS"
loaded g spark
same "$(field g spark files) $(field g spark rows_read)" '2 100'
same "$(cat "$MNT/g/u1/a" "$MNT/g/u100/a")" $'1\n1'
ok Spark

# rsync: _SUCCESS comes before the parts. The times of the directory, which rsync sets at its end, say that it is whole.
settle 1h
mkdir "$DIR/out"
for i in 0 1 2 3; do
	rows $((i * 25 + 1)) $((i * 25 + 25)) 2 > "$DIR/out/part-$i.csv"
done
: > "$DIR/out/_SUCCESS"
touch -d '2026-02-03' "$DIR/out"
same "$(sent rsync -a "$DIR/out/" "$drop/run1/")" 5
loaded g run1
same "$(field g run1 files) $(field g run1 rows_read)" '4 100'
same "$(cat "$MNT/g/u1/a" "$MNT/g/u100/a")" $'2\n2'
same "$(getfattr --only-values -n user.source "$MNT/g/u7/a")" "import-$(field g run1 id):run1/part-0.csv"
same "$(sent rsync -a "$DIR/out/" "$drop/run1/")" 0
same "$(stat -c %Y "$drop/run1")" "$(stat -c %Y "$DIR/out")"
ok rsync -a

# One part more: only that is sent, and loaded.
rows 1 10 3 > "$DIR/out/part-4.csv"
touch -d '2026-02-04' "$DIR/out"
id=$(field g run1 id)
same "$(sent rsync -a "$DIR/out/" "$drop/run1/")" 1
eventually 10 bash -c '[[ $(sed -n "s/^id: //p" "$1") -gt $2 ]]' - "$drop/.reports/run1.status" "$id"
loaded g run1
same "$(field g run1 files) $(field g run1 rows_read)" '1 10'
same "$(cat "$MNT/g/u1/a" "$MNT/g/u11/a")" $'3\n2'
ok one part more

# cp -r sets no times: a while without news. Each part is of the moment at which it was copied, and cp goes by inode numbers, so that of
# two parts with the same entity any may be the newer one: this one has entities of its own.
rows 101 110 4 > "$DIR/out/part-4.csv"
settle 2s
copied "$DIR/out" g run2
loaded g "$name"
same "$(field g "$name" files) $(field g "$name" rows_read)" '5 110'
same "$(cat "$MNT/g/u1/a" "$MNT/g/u101/a")" $'2\n4'
# tar sets them.
settle 1h
tar -C "$DIR" -cf "$DIR/out.tar" out
tar -C "$drop" -xf "$DIR/out.tar"
loaded g out
same "$(field g out files)" 5
ok cp -r and tar

# All of a directory or none: one bad part.
printf 'user,a\nu1,bad\n' > "$DIR/out/part-9.csv"
rows 1 100 5 > "$DIR/out/part-0.csv"
cp -a "$DIR/out" "$drop/run3"
ended g run3 failed
same "$(cat "$MNT/g/u1/a" "$MNT/g/u101/a")" $'2\n4'
matches "$(cat "$drop/.reports/run3.rejects")" '^part-9.csv:2	u1	'
absent "$drop/run3/part-0.csv"
rows 1 1 6 > "$DIR/out/part-9.csv"
rm -rf "$drop/run3"
cp -a "$DIR/out" "$drop/run3"
loaded g run3
ok one bad part

# Each bad row is named by the whole path of its part, whoever refuses it: the reader, or the group's rules, which judge rows from all parts in order.
define rules << 'END'
[group]
entity = user
[feature a]
type = int64
min = 0
END
rules=$MNT/rules/.import
for day in 1 2; do
	mkdir -p "$DIR/days/day=$day"
	rows $((day * 10 + 1)) $((day * 10 + 3)) 1 | cut -d, -f1,2 > "$DIR/days/day=$day/part-0.csv"
done
echo u29,-1 >> "$DIR/days/day=2/part-0.csv"
printf 'user,a\nu30,-5\nu31,many\n' > "$DIR/days/day=2/part-1.csv"
: > "$DIR/days/_SUCCESS"
mkdir "$rules/.days"
setfattr -n user.max_rejects -v 3 "$rules/.days"
cp -r "$DIR/days/." "$rules/.days"
mv "$rules/.days" "$rules/days"
loaded rules days
same "$(field rules days rejected)" 3
same "$(cut -f 1,2 "$rules/.reports/days.rejects" | sort)" $'day=2/part-0.csv:5\tu29\nday=2/part-1.csv:2\tu30\nday=2/part-1.csv:3\tu31'
same "$(cat "$MNT/rules"/u{11,23}/a)" $'1\n1'
# And so is a part that can't be read at all.
echo user > "$DIR/days/day=1/part-0.csv"
settle 2s
copied "$DIR/days" rules none
ended rules "$name" failed
matches "$(field rules "$name" reason)" '^day=1/part-0.csv: no column is a feature'
ok named by its path

# A part may lack a column; one that [batch] names for a feature and that no part has is told.
define some << 'END'
[group]
entity = user
[feature a]
type = int64
[feature b]
type = string
[batch]
feature.a = clicks
feature.b = label
END
some=$MNT/some/.import
printf 'user,clicks,label\nu1,1,x\nu2,1,x\n' > "$some/first.csv"
loaded some first.csv
same "$(field some first.csv missing_columns)" ''
mkdir "$DIR/some"
printf 'user,clicks\nu1,2\n' > "$DIR/some/part-0.csv"
printf 'user,label\nu2,y\n' > "$DIR/some/part-1.csv"
: > "$DIR/some/_SUCCESS"
copied "$DIR/some" some both
loaded some "$name"
same "$(field some "$name" missing_columns)" ''
same "$(cat "$MNT/some"/u{1,2}/{a,b} | tr '\n' ' ')" '2 x 1 y '
printf 'user,label,click\nu1,z,3\n' > "$some/slip.csv"
loaded some slip.csv
same "$(field some slip.csv missing_columns) $(field some slip.csv ignored_columns)" 'clicks click'
same "$(cat "$MNT/some"/u1/{a,b} | tr '\n' ' ')" '2 z '
remount
same "$(field some slip.csv missing_columns)" clicks 'a report that is read back'
ok columns that are not there

# An rsync that is interrupted, and keeps the part that it has in its place.
settle 1s
mkdir "$DIR/slow"
rows 1 40000 8 > "$DIR/slow/part-0.csv"
: > "$DIR/slow/_SUCCESS"
touch -d '2026-02-05' "$DIR/slow"/*
rsync -aP --bwlimit=50 "$DIR/slow/" "$drop/slow/" > "$DIR/said" 2>&1 &
copier=$!
eventually 20 bash -c '[[ $(stat -c %s "$1"/.part-0.csv.*) -gt 30000 ]]' - "$drop/slow"
kill -INT "$copier"
wait "$copier" || true
ended g slow failed
matches "$(field g slow reason)" 'part-0.csv is not whole: .* rsync --partial'
rsync -aP "$DIR/slow/" "$drop/slow/" > "$DIR/said"
eventually 20 bash -c '[[ $(sed -n "s/^state: //p" "$1") == done ]]' - "$drop/.reports/slow.status"
same "$(field g slow rows_read) $(cat "$MNT/g/u40000/a")" '40000 8'
ok an interrupted rsync -P

# A directory that is renamed into place is whole.
cp -r "$DIR/out" "$drop/.run4"
sleep 1.2
same "$(ls "$drop/.reports" | grep -c run4 || true)" 0
mv "$drop/.run4" "$drop/run4"
loaded g run4
ok renamed

# What its copier has signed is the newest job of that name for whoever reads the report next. The kernel tells of a file's last handle after its
# close, and perhaps after the sign, which stands all the same: mode snapshot would load nothing without it.
settle 1h
define_rows h 'mode = snapshot'
python3 - "$MNT" << 'END'
import os, sys, time
mnt = sys.argv[1]
def report(path):
    group, name = path.split("/")
    with open(f"{mnt}/{group}/.import/.reports/{name}.status") as f:
        return dict(line.rstrip("\n").split(": ", 1) for line in f)
def ended(path, state):
    while (now := report(path))["state"] not in ("done", "failed", "cancelled"):
        time.sleep(.01)
    assert now["state"] == state, now
    return int(now["id"])
def begin(path):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.write(fd, b"user,a\nu1,1\n")
    return fd
def directory(path):
    group, name = path.split("/")
    at = f"{mnt}/{group}/.import/{name}"
    os.mkdir(at)
    open(at + "/_SUCCESS", "w").close()
    return at
at, newest = directory("g/often"), 0
for i in range(20):
    os.close(begin(f"{at}/{i}.csv"))
    os.utime(at)
    assert int(report("g/often")["id"]) > newest, report("g/often")
    newest = ended("g/often", "done")
for name, by_rename in (("h/closed", False), ("h/renamed", True)):
    at = directory(name)
    fd = begin(at + ("/.1" if by_rename else "/1.csv"))
    last = os.dup(fd)
    os.close(fd)
    if by_rename:
        os.rename(at + "/.1", at + "/1.csv")
    os.utime(at)
    os.close(last)
    ended(name, "done")
newest = 0
for i in range(2):
    fd = begin(f"{mnt}/g/.import/.f")
    last = os.dup(fd)
    os.close(fd)
    os.rename(f"{mnt}/g/.import/.f", f"{mnt}/g/.import/f.csv")
    assert int(report("g/f.csv")["id"]) > newest and report("g/f.csv")["state"] == "waiting", report("g/f.csv")
    os.close(last)
    newest = ended("g/f.csv", "done")
END
ok 'signed, and seen at once'
