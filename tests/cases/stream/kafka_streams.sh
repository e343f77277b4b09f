#!/bin/bash
# SPDX-License-Identifier: MIT
# The whole way, with somebody else's stream processor: clicks go to a topic, Kafka Streams counts them by user and minute, the store takes the
# counts from its topic, cat shows them.
# limit: 300
# slow
. "$TESTS/lib.sh"
need javac

start_broker
topic create clicks 2
topic create counts 2
jars=${KAFKA_JARS:-${BUILD:-build}/third/kafka}
mkdir "$DIR/classes"
javac -cp "$jars/*" -d "$DIR/classes" "$TESTS/kafka/WindowedCount.java"
java -Xmx200m -XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$DIR/classes:$jars/*" WindowedCount "$BROKERS" \
	clicks counts "$DIR/state" > "$DIR/processor.log" 2>&1 &
processor=$!

start_daemon -o "kafka.brokers=$BROKERS"
define user_clicks <<'END'
[group]
entity = user
[feature clicks_1m]
type = int64
[stream counts]
topic = counts
event_time = $.ts
event_time_unit = ms
END

# click USER SECONDS: behind the beginning of a minute that has passed
minute=$(($(date +%s) / 60 * 60 - 60))
click() {
	printf '%s:{"user": "%s", "ts": %s}\n' "$1" "$1" "$(((minute + $2) * 1000))"
}
{ click ada 1; click bob 2; click ada 3; click ada 30; click bob 59; } | produce clicks -K :
is() {
	[[ $(cat "$MNT/user_clicks/$1/clicks_1m" 2> /dev/null) == "$2" ]]
}
eventually 120 is ada 3
eventually 30 is bob 2
same "$(stat -c %Y "$MNT/user_clicks/ada/clicks_1m")" $((minute + 30)) 'the time of the newest click'
{ click ada 61; click bob 45; } | produce clicks -K :
eventually 60 is ada 1
eventually 60 is bob 3
same "$(getfattr --only-values -n user.lane "$MNT/user_clicks/ada/clicks_1m")" stream
matches "$(getfattr --only-values -n user.source "$MNT/user_clicks/ada/clicks_1m")" '^counts/[01]/[0-9]+$'
kill "$processor"
wait "$processor" || true
