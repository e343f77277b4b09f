#!/bin/bash
# SPDX-License-Identifier: MIT
# What a load does with what stands: merge, snapshot, overwrite; values that are changed, confirmed, unchanged and late; options in [batch], as
# attributes of the drop, and dry runs; some bad rows where they are permitted.
# claims: I6 I7 I14
. "$TESTS/lib.sh"
. "$TESTS/helpers/import.sh"

start_daemon
define_rows g
drop=$MNT/g/.import

# put NAME DATE GROUP [OPTION=VALUE...]: drops stdin as a file of that day.
put() {
	local name=$1 date=$2 group=$3 option

	cat > "$DIR/file"
	touch -d "$date" "$DIR/file"
	cp -p "$DIR/file" "$MNT/$group/.import/.$name"
	for option in "${@:4}"; do
		setfattr -n "user.${option%%=*}" -v "${option#*=}" "$MNT/$group/.import/.$name"
	done
	mv "$MNT/$group/.import/.$name" "$MNT/$group/.import/$name"
}

rows 1 4 1 > "$DIR/first"
put first.csv '2026-01-01' g < "$DIR/first"
loaded g first.csv

# merge: older is late, equal is confirmed or unchanged, newer is changed.
echo 50 > "$MNT/g/u1/a"
printf 'user,a\nu1,2\nu2,1\nu3,7\n' | put merge.csv '2026-01-02' g
loaded g merge.csv
same "$(cat "$MNT/g/u1/a" "$MNT/g/u2/a" "$MNT/g/u3/a" "$MNT/g/u4/a" | tr '\n' ' ')" '50 1 7 1 '
same "$(field g merge.csv late) $(field g merge.csv confirmed) $(field g merge.csv changed)" '1 1 1'
same "$(date -u -r "$MNT/g/u2/a" +%F)" 2026-01-02 'what is confirmed has the new time'
same "$(date -u -r "$MNT/g/u2/b" +%F)" 2026-01-01
printf 'user,a\nu1,2\nu2,1\nu3,8\n' | put older.csv '2026-01-01 12:00' g
loaded g older.csv
same "$(field g older.csv changed) $(field g older.csv late) $(field g older.csv unchanged)" '0 2 1'
same "$(cat "$MNT/g/u3/a")" 7
ok merge

# confirm = skip: the time stays.
printf 'user,a\nu2,1\nu3,7\n' | put skip.csv '2026-01-05' g confirm=skip
loaded g skip.csv
same "$(field g skip.csv confirmed) $(field g skip.csv changed)" '2 0'
same "$(date -u -r "$MNT/g/u2/a" +%F)" 2026-01-02
ok confirm = skip

# dry run: the same figures, and nothing of it.
printf 'user,a\nu2,5\nu9,5\n' | put dry.csv '2026-01-06' g dry_run=yes
loaded g dry.csv
same "$(field g dry.csv dry_run) $(field g dry.csv changed)" 'yes 2'
same "$(cat "$MNT/g/u2/a")" 1
absent "$MNT/g/u9"
ok dry run

# overwrite: whatever its time.
printf 'user,a\nu1,3\n' | put over.csv '2025-01-01' g mode=overwrite
loaded g over.csv
same "$(cat "$MNT/g/u1/a")" 3
ok overwrite

# snapshot: who is not in it goes, unless another lane has said something newer since.
define_rows s
rows 1 4 1 | put base.csv '2026-01-01' s
loaded s base.csv
rows 1 2 2 | put snap.csv '2026-01-02' s mode=snapshot
loaded s snap.csv
same "$(field s snap.csv deleted)" 2
same "$(ls "$MNT/s" | tr '\n' ' ')" 'u1 u2 '
same "$(cat "$MNT/s/u1/a")" 2
rows 1 1 3 > "$MNT/s/.import/closed.csv"
setfattr -n user.mode -v merge "$MNT/s/.import/closed.csv" 2> /dev/null || true
loaded s closed.csv
define_rows t 'mode = snapshot'
rows 1 2 1 > "$MNT/t/.import/copied.csv"
ended t copied.csv failed
matches "$(field t copied.csv reason)" 'renamed into place'
absent "$MNT/t/u1"
id=$(field t copied.csv id)
remount
same "$(field t copied.csv id) $(stat -c %s "$MNT/t/.import/copied.csv")" "$id 23" 'it stays, and is not refused once more'
mv "$MNT/t/.import/copied.csv" "$MNT/t/.import/moved.csv"
loaded t moved.csv
same "$(ls "$MNT/t" | tr '\n' ' ')" 'u1 u2 '
# A rename may overtake the end of the handle that was closed before it: its opener has closed one here, and another one stays.
exec 7> "$MNT/t/.import/.held.csv"
rows 1 2 2 >&7
exec 8>&7 8>&-
mv "$MNT/t/.import/.held.csv" "$MNT/t/.import/held.csv"
exec 7>&-
loaded t held.csv
printf 'user,a,b\n' | put empty.csv '2026-01-02' t
ended t empty.csv failed
matches "$(field t empty.csv reason)" 'no rows'
same "$(ls "$MNT/t" | tr '\n' ' ')" 'u1 u2 '
ok snapshot

# Bad rows: none, unless max_rejects permits them.
printf 'user,a\nv1,1\nv2,x\nv3,3\n' > "$DIR/bad"
put bad.csv '2026-01-01' g < "$DIR/bad"
ended g bad.csv failed
absent "$MNT/g/v1"
put bad.csv '2026-01-01' g max_rejects=1 < "$DIR/bad"
loaded g bad.csv
same "$(cat "$MNT/g/v1/a" "$MNT/g/v3/a" | tr '\n' ' ')" '1 3 '
absent "$MNT/g/v2/a"
same "$(field g bad.csv rejected)" 1
same "$(wc -l < "$drop/.reports/bad.csv.rejects")" 1
matches "$(cat "$drop/.reports/bad.csv.rejects")" '^3	v2	'
ok max_rejects

# Options that mean nothing are refused where they are set, or by the job.
rows 1 1 1 > "$drop/.o"
expect_fail EINVAL setfattr -n user.mode -v other "$drop/.o"
expect_fail EINVAL setfattr -n user.max_rejects -v many "$drop/.o"
setfattr -n user.mode -v overwrite "$drop/.o"
same "$(getfattr --only-values -n user.mode "$drop/.o")" overwrite
same "$(getfattr "$drop/.o" 2> /dev/null | grep -c user)" 1
setfattr -x user.mode "$drop/.o"
setfattr -n user.colour -v red "$drop/.o"
same "$(getfattr "$drop/.o" 2> /dev/null | grep -c user || true)" 0
define_rows w
# no_batch LINE REGEX: such a [batch] is refused where it is written, with the reason.
no_batch() {
	expect_fail EINVAL define_rows w "$1"
	matches "$(tail -n 1 "$MNT/w/.errors")" "$2"
}
no_batch 'max_rejects = some' 'batch. of w: max_rejects = some: must be a number'
no_batch 'mode = mrege' 'mode = mrege: must be merge, snapshot or overwrite'
no_batch 'retention = soon' 'retention = soon'
no_batch 'entity = a, b' 'batch. of w: entity names 2 columns'
no_batch 'delimiter = ;' 'write semicolon'
same "$(grep -c batch "$MNT/w/.schema" || true)" 0
ok options
