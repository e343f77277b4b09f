#!/bin/bash
# SPDX-License-Identifier: MIT
# A backup that is taken while a stream is applied beside a direct writer, restored: it goes on at its own positions, wherever in a batch these are, and
# ends with the same values and the same counts as the store that never stopped.
# claims: F3
# limit: 120
. "$TESTS/lib.sh"

start_mock events:3
start_daemon -o "kafka.brokers=$BROKERS"
define g <<'END'
[group]
entity = user
[feature n]
type = int64
[stream events]
topic = events
entity = $.u
event_time = $.t
feature.n = $.n
END
define direct <<< $'[feature x]\ntype = int64'
mkdir "$MNT/direct/e"
eventually 20 lane_is g.events state running

# Times go up and down, so that what is late depends on what was applied before; some are no messages.
rows=30000
python3 - $rows > "$DIR/lines" <<'END'
import sys
for i in range(int(sys.argv[1])):
    print("no message" if i % 50 == 7 else '{"u": "u%d", "n": %d, "t": %d}' % (i * 7919 % 2000, i, 1700000000 + i * 104729 % 30011))
END
(
	i=0
	while [[ ! -e $DIR/stop ]]; do
		echo $((i += 1)) > "$MNT/direct/e/x"
	done
) &
writer=$!
head -n $((rows / 2)) "$DIR/lines" | produce events
began() {
	(($(lane g.events messages) > 0))
}
eventually 20 began
featurectl -m "$MNT" backup "$DIR/backup" > /dev/null
tail -n +$((rows / 2 + 1)) "$DIR/lines" | produce events
eventually 60 lane_is g.events messages $rows
touch "$DIR/stop"
wait $writer

# What both have in the end: values, and what became of the messages. How many were late is the same only for the same order.
outcome() {
	featurectl -m "$MNT" dump -q g | sort | md5sum
	lane g.events messages
	lane g.events dead
	echo $(($(lane g.events applied) + $(lane g.events late)))
	lane g.events lag
}
eventually 20 lane_is g.events lag 0
outcome > "$DIR/want"
stop_daemon
mv "$STORE" "$DIR/first"
featurectl restore "$DIR/backup" "$STORE" > /dev/null
featurectl verify -q "$STORE"
start_daemon -o 'kafka.brokers=127.0.0.1:9'
at=$(lane g.events messages)
((at > 0 && at <= rows / 2)) || fail "the backup has $at messages"
stop_daemon
start_daemon -o "kafka.brokers=$BROKERS"
eventually 60 lane_is g.events messages $rows
eventually 20 lane_is g.events lag 0
same "$(outcome)" "$(cat "$DIR/want")"
same "$(lane g.events resets)" 0
