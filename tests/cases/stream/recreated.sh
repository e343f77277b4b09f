#!/bin/bash
# SPDX-License-Identifier: MIT
# A topic that is deleted and made anew while a lane reads it, and messages of 10 MiB: with a real broker, for the mock one has neither.
# limit: 180
# claims: F9
# slow
. "$TESTS/lib.sh"

start_broker message.max.bytes=12000000
topic create events 1
start_daemon -o "kafka.brokers=$BROKERS"
define g <<'END'
[group]
entity = user
[feature n]
type = int64
[stream events]
topic = events
entity = key
feature.n = $.n
END
number() {
	for ((i = $1; i < $1 + $2; i++)); do
		echo "u$i:{\"n\":$i}"
	done | produce events -K :
}
number 0 5
eventually 30 lane_is g.events messages 5
same "$(lane g.events partition.0)" 'position 5 low 0 high 5 lag 0'

# Ten MiB: most of it is nobody's, or all of it is one value, which is too large.
big=$(head -c 10485760 /dev/zero | tr '\0' x)
printf 'big:{"n":7,"pad":"%s"}\n' "$big" > "$DIR/line"
printf 'bad:{"n":"%s"}\n' "$big" >> "$DIR/line"
kcat -P -b "$BROKERS" -t events -K : -X message.max.bytes=12000000 -l "$DIR/line"
eventually 30 lane_is g.events messages 7
same "$(cat "$MNT/g/big/n")" 7
same "$(lane g.events dead)" 1
absent "$MNT/g/bad"
number 5 1
eventually 30 test -e "$MNT/g/u5/n"
ok 'messages of 10 MiB'

topic delete events
eventually 60 lane_is g.events state waiting
matches "$(lane g.events reason)" 'topic events does not exist any more'
topic create events 1
number 100 2
eventually 60 test -e "$MNT/g/u101/n"
same "$(cat "$MNT/g/u100/n")" 100
same "$(lane g.events resets)" 1
matches "$(lane g.events notice)" 'partition 0 stood at offset 8, and that is not in the topic any more'
same "$(cat "$MNT/g/u4/n")" 4
eventually 30 lane_is g.events partition.0 'position 2 low 0 high 2 lag 0'
ok 'a topic made anew is read from its beginning'

# Made anew while nobody looks, and longer than the old one: its messages are not those that the lane knows.
stop_daemon
topic delete events
is_gone_topic() {
	! kcat -C -b "$BROKERS" -t events -p 0 -o beginning -e -q
}
eventually 30 is_gone_topic
topic create events 1
number 200 6
start_daemon -o "kafka.brokers=$BROKERS"
eventually 60 test -e "$MNT/g/u205/n"
same "$(cat "$MNT/g/u200/n")" 200
same "$(lane g.events resets)" 2
matches "$(lane g.events notice)" 'the topic was made anew'
