#!/bin/bash
# SPDX-License-Identifier: MIT
# An operator pauses, resumes and seeks a lane; what was told outlives a restart; who may not write the group may tell its lanes nothing.
# claims: F8
. "$TESTS/lib.sh"
. "$TESTS/helpers/events.sh"

chmod 755 "$DIR" "$(dirname "$DIR")"	# another user tries, too
start_mock events:2
start_daemon -o "kafka.brokers=$BROKERS" -o allow_other
define_events
eventually 20 lane_is g.events state running
for i in {0..9}; do
	echo "u$i:{\"n\":$i}"
done | produce events -K : -p 0
eventually 20 lane_is g.events messages 10

# A pause has taken effect when it returns, and holds behind a restart; how far the topic has come is still seen.
lane_tell g.events pause
same "$(lane g.events state)" paused
produce events -p 0 -K : <<< 'late:{"n":1}'
remount
eventually 20 lane_is g.events state paused
eventually 20 lane_is g.events lag 1
absent "$MNT/g/late"
lane_tell g.events resume
eventually 20 test -e "$MNT/g/late/n"

# Seeking: back to the beginning, to the end, to places.
lane_tell g.events 'seek earliest'
eventually 20 lane_is g.events messages 22
lane_tell g.events 'seek 0:5,1:0'
eventually 20 lane_is g.events messages 28
lane_tell g.events pause
produce events -p 0 -K : <<< 'skipped:{"n":1}'
lane_tell g.events 'seek latest'
same "$(lane g.events partition.0)" 'position 12 low 0 high 12 lag 0 unassigned'
lane_tell g.events resume
produce events -p 0 -K : <<< 'seen:{"n":1}'
eventually 20 test -e "$MNT/g/seen/n"
absent "$MNT/g/skipped"
ok 'pause, resume, seek'

# The same by featurectl, and a table of all lanes.
featurectl -m "$MNT" lane pause g.events
same "$(lane g.events state)" paused
featurectl -m "$MNT" lane seek g.events 0:11
featurectl -m "$MNT" lane resume g.events
eventually 20 test -e "$MNT/g/skipped/n"
eventually 20 lane_is g.events lag 0
featurectl -m "$MNT" lane list > "$DIR/table"
same "$(awk -F '\t' '$1 == "g.events" { print $2, $3 }' "$DIR/table")" 'running 0'
same "$(head -n 1 "$DIR/table" | cut -f 1,2)" $'lane\tstate'
for wrong in 'lane seek g.events 7:0:1' 'lane seek g.events 7:1:x' 'replay g events' 'lane pause g.nothing' 'lane hold g.events' 'lane'; do
	# shellcheck disable=SC2086
	expect_fail ANY featurectl -m "$MNT" $wrong
done
same "$(featurectl -m "$MNT" replay g events 2>&1 || echo "exit $?")" \
	"featurectl replay: g.events: No such file or directory: $(lane g.events notice)"$'\nexit 1'

# What makes no sense is refused, with the reason in the status.
expect_fail EINVAL bash -c "echo stop > '$MNT/.featurefs/lanes/g.events/control'"
matches "$(lane g.events notice)" 'stop: commands are pause, resume, seek and replay'
printf 'pause\nstate: broken\n' > "$DIR/lines"
expect_fail EINVAL bash -c "cat '$DIR/lines' > '$MNT/.featurefs/lanes/g.events/control'"
same "$(grep -c '^state: ' "$MNT/.featurefs/lanes/g.events/status")" 1 'a command is shown as one line'
expect_fail EINVAL bash -c "echo seek > '$MNT/.featurefs/lanes/g.events/control'"
expect_fail EINVAL bash -c "echo seek 0:x > '$MNT/.featurefs/lanes/g.events/control'"
expect_fail EINVAL bash -c "echo seek 2026-11-29 > '$MNT/.featurefs/lanes/g.events/control'"
matches "$(lane g.events notice)" 'seek 2026-11-29: it is earliest, latest, a time like 2026-11-23T04:00:00Z, or PARTITION:OFFSET,...'
expect_fail EINVAL bash -c "echo seek 0:1,0:2 > '$MNT/.featurefs/lanes/g.events/control'"
matches "$(lane g.events notice)" 'seek 0:1,0:2: partition 0 stands twice'
expect_fail EINVAL bash -c "echo pause now > '$MNT/.featurefs/lanes/g.events/control'"
expect_fail ENOENT bash -c "echo seek 2:0 > '$MNT/.featurefs/lanes/g.events/control'"
matches "$(lane g.events notice)" 'seek 2:0: the topic has no partition 2'
expect_fail ERANGE bash -c "echo seek 0:100 > '$MNT/.featurefs/lanes/g.events/control'"
matches "$(lane g.events notice)" 'seek 0:100: partition 0 has offsets 0 to [0-9]+$'
expect_fail ENOENT bash -c "echo replay > '$MNT/.featurefs/lanes/g.events/control'"
same "$(lane g.events state)" running

# The control file is writable like the group, and shows nothing.
same "$(stat -c %a "$MNT/.featurefs/lanes/g.events/control")" 200
same "$(cat "$MNT/.featurefs/lanes/g.events/control")" ''
expect_fail EACCES as_user 12345 bash -c "echo pause > '$MNT/.featurefs/lanes/g.events/control'"
chmod 777 "$MNT/g"
# The kernel may hold the old mode for a tick or two.
eventually 5 as_user 12345 bash -c "echo pause > '$MNT/.featurefs/lanes/g.events/control'"
same "$(lane g.events state)" paused
as_user 12345 cat "$MNT/.featurefs/lanes/g.events/status" > "$DIR/status"
matches "$(cat "$DIR/status")" 'state: paused'
