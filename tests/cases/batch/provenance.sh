#!/bin/bash
# SPDX-License-Identifier: MIT
# Every imported value says which file it came from: of a directory the part, by its path. What a further load finds unchanged keeps where it came from.
# claims: I13
. "$TESTS/lib.sh"
. "$TESTS/helpers/import.sh"

start_daemon -o batch.settle=1s
define_rows g 'event_time = at'
drop=$MNT/g/.import

# from ENTITY FEATURE: without the number of the import.
from() {
	getfattr --absolute-names --only-values -n user.source "$MNT/g/$1/$2" | sed 's/^import-[0-9]*://'
}

# drop_run NAME: of $DIR/run.
drop_run() {
	: > "$DIR/run/_SUCCESS"
	cp -r "$DIR/run" "$drop/.$1"
	mv "$drop/.$1" "$drop/$1"
	loaded g "$1"
}

# Two parts of an entity each; parts of one name in two directories; values of one entity from two of them.
mkdir -p "$DIR/run/day=1" "$DIR/run/day=2"
printf 'user,at,a,b\nu1,1760000001,1,x\n' > "$DIR/run/part-00000-3f25é.csv"
printf 'user,at,a,b\nu2,1760000001,2,x\n' | gzip > "$DIR/run/part-00001-3f25é.csv.gz"
printf '{"user": "u3", "at": 1760000001, "a": 3, "b": "x"}\n' > "$DIR/run/day=1/part-0"
printf 'user,at,a\nu4,1760000001,4\n' > "$DIR/run/day=2/part-0"
printf 'user,at,b\nu4,1760000002,x\n' > "$DIR/run/day=2/part-1"
drop_run first
same "$(getfattr --absolute-names --only-values -n user.source "$MNT/g/u1/a")" "import-$(field g first id):first/part-00000-3f25é.csv"
same "$(from u2 a) $(from u2 b)" 'first/part-00001-3f25é.csv.gz first/part-00001-3f25é.csv.gz'
same "$(from u3 a) $(from u4 a) $(from u4 b)" 'first/day=1/part-0 first/day=2/part-0 first/day=2/part-1'
exec 7<> "$MNT/g/.lookup"
printf '.details\nu4\n' >&7
matches "$(cat <&7)" '"source": ?"import-[0-9]+:first/day=2/part-0".*"source": ?"import-[0-9]+:first/day=2/part-1"'
exec 7>&-
ok each its part

# Again: u1 as it was, u2's a newer and equal, u3's another, u4's b older.
printf 'user,at,a,b\nu2,1760000005,2,y\nu1,1760000001,1,x\n' > "$DIR/run/part-00000-3f25é.csv"
rm "$DIR/run/part-00001-3f25é.csv.gz" "$DIR/run/day=2/part-0"
printf '{"user": "u3", "at": 1760000005, "a": 4, "b": "x"}\n' > "$DIR/run/day=1/part-0"
printf 'user,at,b\nu4,1760000001,y\n' > "$DIR/run/day=2/part-1"
drop_run second
same "$(field g second changed) $(field g second confirmed) $(field g second unchanged) $(field g second late)" '2 2 2 1'
again() {
	same "$(from u1 a) $(from u1 b)" 'first/part-00000-3f25é.csv first/part-00000-3f25é.csv'
	same "$(from u2 a) $(from u2 b)" 'second/part-00000-3f25é.csv second/part-00000-3f25é.csv'
	same "$(from u3 a) $(from u3 b)" 'second/day=1/part-0 second/day=1/part-0'
	same "$(from u4 a) $(from u4 b)" 'first/day=2/part-0 first/day=2/part-1'
}
again
ok again

# With confirm = skip what is equal keeps where it came from.
printf 'user,at,a,b\nu1,1760000009,1,z\n' > "$DIR/run/part-00000-3f25é.csv"
cp -r "$DIR/run" "$drop/.third"
setfattr -n user.confirm -v skip "$drop/.third"
mv "$drop/.third" "$drop/third"
loaded g third
same "$(from u1 a) $(from u1 b)" 'first/part-00000-3f25é.csv third/part-00000-3f25é.csv'
printf 'user,at,a,b\nu1,1760000009,1,x\n' > "$drop/one.csv"
loaded g one.csv
ok confirm=skip

# A directory of one part, and a file alone. What is written later comes from its writer.
mkdir "$DIR/lone"
printf 'user,at,a\nu5,1760000001,5\n' > "$DIR/lone/part-0.csv"
: > "$DIR/lone/_SUCCESS"
cp -r "$DIR/lone" "$drop/.lone"
mv "$drop/.lone" "$drop/lone"
loaded g lone
printf 'user,at,a\nu6,1760000001,6\n' > "$drop/alone.csv"
loaded g alone.csv
same "$(from u5 a) $(from u6 a)" 'lone/part-0.csv alone.csv'
echo 7 > "$MNT/g/u6/a"
same "$(from u6 a)" "uid $(id -u)"
recrash
same "$(from u2 a) $(from u3 a) $(from u4 b) $(from u5 a)" 'second/part-00000-3f25é.csv second/day=1/part-0 first/day=2/part-1 lone/part-0.csv'
stop_daemon
"$BIN/featurectl" verify -q "$STORE"
ok behind a crash
