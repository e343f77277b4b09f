#!/bin/bash
# SPDX-License-Identifier: MIT
# A topic that is deleted and made anew while a lane reads it, messages of 10 MiB, transactions, and a stream of what is new that waits for its topic: with
# a real broker, for the mock one has none of these.
# limit: 180
# claims: F9
# slow
. "$TESTS/lib.sh"
. "$TESTS/helpers/events.sh"

start_broker message.max.bytes=12000000
topic create events 1
start_daemon -o "kafka.brokers=$BROKERS"
define_events
number 0 5
eventually 30 lane_is g.events messages 5
eventually 30 lane_is g.events partition.0 'position 5 low 0 high 5 lag 0'

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

# A client that was told to take less can't get past them, and says so until it is told otherwise.
stop_daemon
start_daemon -o "kafka.brokers=$BROKERS" -o kafka.receive.message.max.bytes=2000000 -o kafka.fetch.max.bytes=1900000
lane_tell g.events 'seek 0:5'
eventually 30 lane_is g.events state blocked
matches "$(lane g.events reason)" 'what the brokers send can.t be read: .*increase receive.message.max.bytes'
stop_daemon
start_daemon -o "kafka.brokers=$BROKERS"
eventually 30 lane_is g.events messages 11
same "$(lane g.events state)" running
ok 'messages that are too large for the client'

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
ok 'a topic made anew behind its back'

# What ends a transaction has an offset, but is no message: nobody waits for it. A stream of what is new takes all that came while it waited for its topic.
topic create booked 1
define h <<'END'
[group]
entity = user
[feature n]
type = int64
[stream booked]
topic = booked
entity = key
[stream later]
topic = later
entity = key
start = latest
END
eventually 20 lane_is h.later state waiting
same "$(lane h.later lag)" -
produce booked -K : -X transactional.id=books 2> "$DIR/said" <<< 'b:{"n":1}'
eventually 30 lane_is h.booked partition.0 'position 1 low 0 high 2 lag 0'
same "$(lane h.booked lag)" 0
topic create later 1
produce later -K : <<< 'l:{"n":1}'
eventually 30 test -e "$MNT/h/l/n"
ok 'transactions, and what is new'

# Once the messages have expired that offset has gone, too, and still nothing is lost, whatever kills the daemon. A message that has gone unread is.
sed -i 's/^topic = booked$/&\nreset = stop/' "$MNT/h/.schema"
remount
topic empty booked
recrash
eventually 30 lane_is h.booked state running
eventually 30 lane_is h.booked partition.0 'position 1 low 2 high 2 lag 0'
produce booked -K : -X transactional.id=books 2> "$DIR/said" <<< 'c:{"n":1}'
eventually 30 test -e "$MNT/h/c/n"
same "$(lane h.booked resets)" 0
lane_tell h.booked pause
produce booked -K : -X transactional.id=books 2> "$DIR/said" <<< 'd:{"n":1}'
topic empty booked
lane_tell h.booked resume
eventually 30 lane_is h.booked state stopped
matches "$(lane h.booked reason)" 'partition 0 stands at offset 3, and that is not in the topic any more'
ok 'transactions that have expired'

# As long as the old one: a human is told what is different, where a human is to say how to go on.
sed -i 's/^topic = later$/topic = later\nreset = stop/' "$MNT/h/.schema"
eventually 20 lane_is h.later state running
stop_daemon
topic delete later
is_gone_later() {
	! kcat -C -b "$BROKERS" -t later -p 0 -o beginning -e -q
}
eventually 30 is_gone_later
topic create later 1
produce later -K : <<< 'm:{"n":1}'
start_daemon -o "kafka.brokers=$BROKERS"
eventually 60 lane_is h.later state stopped
matches "$(lane h.later reason)" 'partition 0 stands at offset 1, and the message before it is another one now: .*seek to go on'
featurectl -m "$MNT" lane seek h.later earliest
eventually 30 test -e "$MNT/h/m/n"
