#!/bin/bash
# SPDX-License-Identifier: MIT
# Many readers, by every way there is, hunt for a stale or torn value while every kind of writer writes: none is found, also if answers cross
# each other and the kernel cannot forget everything at once; and with the kernel not told at all, the hunt finds it.
# limit: 150
# slow
# claims: S2 S4 S5
. "$TESTS/lib.sh"

"$TESTS/torture/run" hunt "$BIN" 5
ok 'nothing found where nothing is wrong, and found where it is'
