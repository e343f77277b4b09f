#!/bin/bash
# SPDX-License-Identifier: MIT
# kill -9 of the daemon, and of a real broker, while messages of all sorts flow: the store is the fold of exactly the messages below its own
# positions, counters included. `make torture-stream` does it 500 times with a million messages.
# limit: 300
# claims: F2 F3
# slow
. "$TESTS/lib.sh"
need java kcat
[[ -e ${KAFKA_JARS:-${BUILD:-build}/third/kafka}/jars.sha256 ]] || skip "the broker's jars are not there: make setup"

TMPDIR=$DIR "$TESTS/torture/stream" "$BIN" 4 10000
ok 'as the fold has it'
