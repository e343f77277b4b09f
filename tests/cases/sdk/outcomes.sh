#!/bin/bash
# SPDX-License-Identifier: MIT
# What the library says of a change: calls that are refused add nothing to it, and of one that the daemon has not answered when it dies it says
# that the outcome is not known.
# claims: B1
# limit: 60
. "$TESTS/lib.sh"
. "$TESTS/helpers/stall.sh"

sdkop=$BIN/tests/helpers/sdkop
start_stalling -o checkpoint.interval=1h	# no checkpoint meets the stall
define g <<'END'
[feature n]
type = int64
[feature m]
type = int64
END
"$sdkop" put "$MNT" g u1 n=1 m=1 > "$DIR/version"
"$sdkop" refused "$MNT" g u1 n=2 > "$DIR/version"
same "$(jq -c .features "$MNT/g/u1/.row")" '{"n":2}'
ok 'what is refused adds nothing'

# Of two, the first is in the commit when the second comes, which waits for its turn: then both have closed.
touch "$STALL_FILE"
writers=()
for i in 1 2; do
	"$sdkop" put "$MNT" g "w$i" n=3 > "$DIR/said.$i" 2>&1 &
	writers+=($!)
	eventually 20 test -e "$STALL_FILE.met"
done
eventually 20 grep -q '^requests_waiting: 1' "$MNT/.featurefs/status"
crash_daemon
for i in 1 2; do
	! wait "${writers[i - 1]}" || fail 'a change that was not answered is told to be made'
	matches "$(cat "$DIR/said.$i")" 'not known' 'the outcome'
done
rm "$STALL_FILE"
clear_mount
start_daemon
ok 'the outcome is not known'
