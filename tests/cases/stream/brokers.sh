#!/bin/bash
# SPDX-License-Identifier: MIT
# Brokers that are down, topics that come later, go, or were cut behind the lane's back: each is a state with a reason, and the lane goes on by
# itself, or waits for a human where it was told to.
# claims: F9
. "$TESTS/lib.sh"
. "$TESTS/helpers/events.sh"

start_mock events:2
mock error events unknown
start_daemon -o "kafka.brokers=$BROKERS"
define_events
eventually 20 lane_is g.events state waiting
matches "$(lane g.events reason)" 'topic events does not exist yet'
mock error events none
produce events -p 1 -K : <<< 'u1:{"n":1}'
eventually 20 test -e "$MNT/g/u1/n"
ok 'a topic that comes later'
mock error events unknown
eventually 30 lane_is g.events state waiting
matches "$(lane g.events reason)" 'topic events does not exist any more'
mock error events none
eventually 20 lane_is g.events state running
ok 'a topic that goes'

mock down
eventually 30 lane_is g.events state disconnected
same "$(cat "$MNT/g/u1/n")" 1
expect_fail ANY bash -c "echo seek earliest > '$MNT/.featurefs/lanes/g.events/control'"
mock up
eventually 30 lane_is g.events state running
produce events -p 0 -K : <<< 'u2:{"n":2}'
eventually 20 lane_is g.events messages 2
same "$(cat "$MNT/g/u2/n")" 2
ok 'brokers that were down'

# The mock keeps 5 MiB of a partition: what the lane stood at is cut off.
cut() {
	lane_tell g.events pause
	for _ in 1 2 3; do
		head -c 4000000 /dev/zero | tr '\0' x > "$DIR/filler"
		kcat -P -b "$BROKERS" -t events -p 0 -X message.max.bytes=5000000 -k filler "$DIR/filler"
	done
	lane_tell g.events resume
}
cut
eventually 20 lane_is g.events resets 1
matches "$(lane g.events notice)" 'partition 0 stood at offset 1, and that is not in the topic any more'
produce events -p 0 -K : <<< 'u3:{"n":3}'
eventually 20 test -e "$MNT/g/u3/n"
ok 'reset = earliest'

events_schema 'reset = stop' > "$MNT/g/.schema"
eventually 20 lane_is g.events lag 0
cut
eventually 20 lane_is g.events state stopped
matches "$(lane g.events reason)" 'partition 0 stands at offset .* seek to go on'
lane_tell g.events 'seek latest'
eventually 20 lane_is g.events state running
produce events -p 0 -K : <<< 'u4:{"n":4}'
eventually 20 test -e "$MNT/g/u4/n"
ok 'reset = stop'

# Settings that can't work are a state, too, and other groups are not concerned.
stop_daemon
start_daemon
eventually 20 lane_is g.events state broken
matches "$(lane g.events reason)" 'kafka.brokers is not set'
stop_daemon
refuse_daemon 2 'kafka.enable.auto.commit can.t be set' -o kafka.enable.auto.commit=true
refuse_daemon 2 'No such configuration property' -o kafka.no.such=1
start_daemon -o "kafka.brokers=$BROKERS" -o kafka.sasl.password=hunter2 -o kafka.fetch.wait.max.ms=100
matches "$(cat "$MNT/.featurefs/config")" 'sasl.password = \(hidden\)'
matches "$(cat "$MNT/.featurefs/config")" 'fetch.wait.max.ms = 100'
! grep -rq hunter2 "$MNT/.featurefs" || fail 'a secret is shown'
eventually 20 lane_is g.events state running
