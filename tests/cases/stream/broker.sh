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
topic delete clicks
is_deleted() {
	! kcat -C -b "$BROKERS" -t clicks -p 1 -o beginning -e -q
}
eventually 20 is_deleted
stop_broker
