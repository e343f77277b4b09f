#!/bin/bash
# SPDX-License-Identifier: MIT
# A file is loaded once more with few of its rows changed: only those are written, the others count as unchanged, whichever way they are found to be.
# What was loaded stays over the group's rows for a while; reads, writes and deletions beside that, further loads, and a start see no difference.
# It is put among them when no load has followed for as long as a setting says, which counts on while the daemon is down.
# claims: I7 I11
. "$TESTS/lib.sh"
. "$TESTS/helpers/import.sh"

# timed A ODD-A: 2,000 rows with times of their own; each fiftieth has another a, and is newer.
timed() {
	awk -v a="$1" -v odd="$2" 'BEGIN {
		print "user,at,a,b"
		for (i = 1; i <= 2000; i++)
			printf "u%d,%d,%s,x\n", i, 1760000000 + i + (i % 50 ? 0 : odd), i % 50 ? a : odd
	}'
}

# put NAME: drops stdin.
put() {
	cat > "$MNT/g/.import/.$1"
	mv "$MNT/g/.import/.$1" "$MNT/g/.import/$1"
}

# since: when what stands over the group's rows was loaded.
since() {
	sed -n 's/^overlay_since: //p' "$MNT/g/.stats"
}

# metric: the same, in seconds.
metric() {
	sed -n 's/^featurefs_group_overlay_timestamp_seconds{group="g"} //p' "$MNT/.featurefs/metrics"
}

start_daemon
define_rows g 'event_time = at'
timed 1 1 | put first.csv
loaded g first.csv
same "$(field g first.csv changed)" 4000

timed 1 1 | put same.csv
loaded g same.csv
same "$(field g same.csv rows_read) $(field g same.csv changed) $(field g same.csv unchanged)" '2000 0 4000'
ok 'nothing changes'

same "$(since)" '' 'all of the group in one table'
timed 1 2 | put second.csv
loaded g second.csv
same "$(field g second.csv changed) $(field g second.csv confirmed) $(field g second.csv unchanged)" '40 40 3920'
same "$(cat "$MNT/g/u50/a" "$MNT/g/u51/a" | tr '\n' ' ')" '2 1 '
same "$(getfattr --only-values -n user.source "$MNT/g/u50/a" | sed 's/import-[0-9]*://')" second.csv
same "$(getfattr --only-values -n user.source "$MNT/g/u51/a" | sed 's/import-[0-9]*://')" first.csv
ok 'few of many'

# Rows of one entity: the same twice; another one behind it, newer and at a tie; what is older is left.
{
	echo user,at,a,b
	printf 'u1,1760000001,1,x\nu1,1760000001,1,x\n'
	printf 'u2,1760000002,1,x\nu2,1760000003,7,x\n'
	printf 'u3,1760000003,1,x\nu3,1760000003,8,x\n'
	printf 'u4,1760000004,9,x\nu4,1760000004,1,x\n'
	printf 'u5,1760000005,1,x\nu5,1760000004,9,x\n'
} | put twice.csv
loaded g twice.csv
same "$(field g twice.csv rows_read) $(field g twice.csv duplicates)" '10 5'
same "$(field g twice.csv changed) $(field g twice.csv confirmed) $(field g twice.csv unchanged) $(field g twice.csv late)" '2 1 7 0'
same "$(cat "$MNT"/g/u{1..5}/a | tr '\n' ' ')" '1 7 8 1 1 '
ok 'rows of one entity'

# Over what was loaded last: a direct write, a deletion, a restart, a load of the first file.
echo 5 > "$MNT/g/u100/a"
rm "$MNT/g/u150/a"
rm -r "$MNT/g/u200"
first=$(since)
matches "$first" '^2[0-9-]+T[0-9:.]+Z$'
same "$(date -d "$first" +%s)" "$(metric | cut -d. -f1)"
stop_daemon
"$BIN/featurectl" verify -q "$STORE"
start_daemon
same "$(since)" "$first"
same "$(cat "$MNT/g/u50/a" "$MNT/g/u100/a" | tr '\n' ' ')" '2 5 '
absent "$MNT/g/u150/a"
absent "$MNT/g/u200"
same "$(find "$MNT/g" -mindepth 1 -maxdepth 1 | wc -l)" 1999
timed 1 3 | put third.csv
loaded g third.csv
# Of each fiftieth a is changed and b confirmed, but for u100's and u150's a and all of u200, which are newer; so is u2's a. u3's a is a tie.
same "$(field g third.csv changed) $(field g third.csv confirmed) $(field g third.csv late)" '38 39 5'
same "$(cat "$MNT/g/u50/a" "$MNT/g/u100/a" "$MNT/g/u2/a" "$MNT/g/u3/a" | tr '\n' ' ')" '3 5 7 1 '
absent "$MNT/g/u150/a"
absent "$MNT/g/u200"
second=$(since)
same "$([[ $second > $first ]] && echo later)" later
stop_daemon
"$BIN/featurectl" verify -q "$STORE"
ok 'other lanes over it'

# all: every value there is.
all() {
	(cd "$MNT/g" && grep -r . . | sort)
}

start_daemon
all > "$DIR/was"
same "$(since)" "$second"
stop_daemon
start_daemon -o ingest.overlay_age=1ms
eventually 30 bash -c '! grep -q ^overlay_since "$MNT/g/.stats"'
same "$(metric)" 0.000000
all > "$DIR/is"
same_file "$DIR/was" "$DIR/is"
timed 1 4 | put fourth.csv
loaded g fourth.csv
same "$(cat "$MNT/g/u50/a" "$MNT/g/u51/a" | tr '\n' ' ')" '4 1 '
eventually 30 bash -c '! grep -q ^overlay_since "$MNT/g/.stats"'
same "$(cat "$MNT/g/u50/a" "$MNT/g/u51/a" | tr '\n' ' ')" '4 1 '
stop_daemon
"$BIN/featurectl" verify -q "$STORE"
ok 'no load follows'
