#!/bin/bash
# SPDX-License-Identifier: MIT
# Tools that bring an mtime bring an event time: to the nanosecond, on every way in, and it is what comes out again.
# claims: T1 T3 T4 R4 C10
. "$TESTS/lib.sh"
. "$TESTS/helpers/fsop.sh"
need rsync

start_daemon
define g <<'END'
[feature n]
type = int64
END
cd "$DIR"
mkdir u
echo 5 > u/n
touch -d '2026-04-05 06:07:08.123456789Z' u/n
stamp='2026-04-05 06:07:08.123456789 +0000'

mkdir "$MNT/g/a"
cp -p u/n "$MNT/g/a/n"
rsync -a u/ "$MNT/g/b/"
rsync -a --inplace u/ "$MNT/g/c/"
tar --posix -c -C u . | tar -x -C "$MNT/g" --one-top-level=d
cp -a u "$MNT/g/e"
mkdir "$MNT/g/f"
echo 5 > "$MNT/g/f/n"
touch -r u/n "$MNT/g/f/n"
cp -p u/n moved
mkdir "$MNT/g/h"
mv moved "$MNT/g/h/n"
for entity in a b c d e f h; do
	same "$(stat -c %y "$MNT/g/$entity/n")" "$stamp" "$entity"
	same "$(cat "$MNT/g/$entity/n")" 5
	matches "$(jq -r .event_time "$MNT/g/$entity/.row")" '^2026-04-05T06:07:08\.123456'
	matches "$(getfattr --only-values -n user.event_time "$MNT/g/$entity/n")" '^2026-04-05T06:07:08\.123456'
	same "$(($(date +%s) - $(stat -c %Z "$MNT/g/$entity/n") < 60))" 1 "ctime is when it came in"
done
touch -d '2026-04-05 06:07:00Z' u/n
expect_fail ESTALE cp -p u/n "$MNT/g/a/n"
expect_fail ESTALE rsync -a u/n "$MNT/g/b/n"
same "$(cat u/n)" 5
cp -p "$MNT/g/a/n" back
same "$(stat -c %y back)" "$stamp"
remount
same "$(stat -c %y "$MNT/g/a/n")" "$stamp"
ok in and out
