#!/bin/bash
# SPDX-License-Identifier: MIT
# Two daemons on two stores share a consumer group: partitions move between them when one comes, goes and dies. Each store holds exactly the messages
# below its own positions, counted once each, and every message is in one of them.
# limit: 400
# claims: F3
# slow
. "$TESTS/lib.sh"
. "$TESTS/helpers/events.sh"

start_broker
topic create events 4
options=(-o "kafka.brokers=$BROKERS" -o kafka.session.timeout.ms=6000)

# Each message is an entity of its own, so that it can be told who has it.
made=0
make_events() {
	number "$made" "$1"
	made=$((made + $1))
}
entities() {
	ls "$DIR/$1/g"
}
figure() {
	sed -n "s/^$2: //p" "$DIR/$1/.featurefs/lanes/g.events/status"
}
positions() {
	sed -n 's/^partition\.[0-9]*: position \([0-9]*\) .*/\1/p' "$DIR/$1/.featurefs/lanes/g.events/status" | awk '{ n += $1 } END { print n + 0 }'
}
has() {
	(($(entities "$1" | wc -l) == $2))
}
assigned() {
	[[ $(figure "$1" assigned) == "$2" ]]
}
all_there() {
	[[ $({ entities a; entities b; } | sort -u | wc -l) == "$made" ]]
}
consistent() {
	same "$(positions "$1")" "$(figure "$1" messages)" "$1: positions and messages"
	same "$(entities "$1" | wc -l)" "$(figure "$1" applied)" "$1: entities and messages applied"
	same "$(figure "$1" messages)" "$(figure "$1" applied)" "$1: messages and those applied"
}
begin() {
	STORE=$DIR/store_$1 MNT=$DIR/$1
	start_daemon "${options[@]}"
}

begin a
define_events 'group = shared'
eventually 60 assigned a 4
make_events 200
eventually 60 has a 200
a=$daemon_pid
begin b
define_events 'group = shared'
b=$daemon_pid
eventually 60 assigned b 2
eventually 60 assigned a 2
same "$(grep -c '^partition.* low - high - lag - unassigned$' "$DIR/b/.featurefs/lanes/g.events/status")" 2 'lag of partitions that others read'
make_events 400
eventually 60 all_there
ok 'two share the partitions'

kill -KILL "$a"
wait "$a" 2> /dev/null || true
umount -l "$DIR/a"
make_events 200
eventually 120 assigned b 4
eventually 60 has b "$made"
consistent b
ok 'one dies, the other takes over'

begin a
a=$daemon_pid
eventually 60 assigned a 2
eventually 60 assigned b 2
make_events 200
eventually 60 all_there
consistent b
consistent a
umount "$DIR/b"
wait "$b"
eventually 60 assigned a 4
eventually 60 has a "$made"
consistent a
ok 'it comes back, and the other goes'

# It leaves while messages flow: some are fetched and not taken yet.
"$BIN/tests/kafka/produce" "$BROKERS" events 1000000 partitions=4 rate=20000 &
producer=$!
flows() {
	(($(figure a messages) > had))
}
for _ in 1 2; do
	had=$(figure a messages)
	eventually 60 flows
	stop_daemon
	begin a
	eventually 60 assigned a 4
done
kill "$producer"
wait "$producer" || true
ok 'it leaves while messages flow'
