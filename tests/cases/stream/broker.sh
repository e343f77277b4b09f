#!/bin/bash
# SPDX-License-Identifier: MIT
# What the cases with a real broker stand on: it starts, keeps its messages over a crash, and topics come and go.
# limit: 180
# slow
. "$TESTS/lib.sh"

start_broker
topic create clicks 2
expect_fail ANY topic create clicks 2
seq 1000 | produce clicks -p 1
same "$(kcat -C -b "$BROKERS" -t clicks -p 1 -o beginning -e -q | wc -l)" 1000
crash_broker
restart_broker
same "$(kcat -C -b "$BROKERS" -t clicks -o beginning -e -q | sort -n | md5sum)" "$(seq 1000 | md5sum)" "messages after a crash"

# A producer that gives up is replaced: nothing is missing, and what stands twice are the same messages.
made() {
	kcat -C -b "$BROKERS" -t "$1" -o beginning -e -q -f '%p %T %k %s\n' | sort -u
}
for topic in whole broken; do
	topic create $topic 4
done
now=$(date +%s)000
producer=("$BIN/tests/kafka/produce" "$BROKERS")
"${producer[@]}" whole 20000 shape=mixed base="$now"
"${producer[@]}" broken 20000 shape=mixed base="$now" fatal=12000 2> "$DIR/said"
matches "$(cat "$DIR/said")" 'a new producer sends [0-9]+ messages again'
same "$(made broken | md5sum)" "$(made whole | md5sum)" 'messages of a producer that was replaced'

topic delete clicks
is_deleted() {
	! kcat -C -b "$BROKERS" -t clicks -p 1 -o beginning -e -q
}
eventually 20 is_deleted
stop_broker
