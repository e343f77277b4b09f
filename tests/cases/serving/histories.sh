#!/bin/bash
# SPDX-License-Identifier: MIT
# Histories of a dozen clients of both mounts over four keys, with all kinds of writes, are linearizable; those of a kernel that is not told what
# has changed are not, and the checker says so.
# limit: 200
# slow
# claims: S2
. "$TESTS/lib.sh"

rc=0
"$TESTS/torture/run" histories "$BIN" 4 > "$DIR/said" 2>&1 || rc=$?
cat "$DIR/said"
[[ $rc != 77 ]] || skip "$(sed -n 's/^skip: //p' "$DIR/said" | tail -n 1)"
same "$rc" 0 'the histories'
