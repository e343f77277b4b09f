#!/bin/bash
# SPDX-License-Identifier: MIT
# The disk stalls while messages come: the lane's status says what it waits for, the rate that it shows goes down, and when the disk is back, each message
# counts once.
# claims: F9
. "$TESTS/lib.sh"
. "$TESTS/helpers/events.sh"
. "$TESTS/helpers/stall.sh"

start_mock events:1
start_stalling -o "kafka.brokers=$BROKERS"
define_events
number 0 200
eventually 20 lane_is g.events messages 200
same "$(lane g.events reason)" ''

# Reads the rate, which is counted twice a second.
has_rate() {
	rate=$(lane g.events messages_per_second)
	[[ $rate != 0.0 ]]
}
eventually 20 has_rate
touch "$STALL_FILE"
number 200 100
waits() {
	[[ $(lane g.events reason) =~ ^'a commit has been under way for '[0-9.]+' s' ]]
}
has_faded() {
	awk -v now="$(lane g.events messages_per_second)" -v was="$rate" 'BEGIN { exit !(now < was / 2) }'
}
eventually 20 waits
same "$(lane g.events state)" running
eventually 20 has_faded
matches "$(featurectl -m "$MNT" lane list)" 'a commit has been under way for'
same "$(cat "$MNT/g/u7/n")" 7
ok 'it says what it waits for'

rm "$STALL_FILE"
eventually 20 lane_is g.events messages 300
same "$(lane g.events reason)" ''
same "$(cat "$MNT/g/u299/n")" 299
same "$(lane g.events applied)" 300
