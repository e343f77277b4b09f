#!/bin/bash
# SPDX-License-Identifier: MIT
# A process creates, closes and removes a value again and again while its other threads look the name up: each look-up may find the open file, whose
# last close comes at any moment. What is found is there or is not, and the daemon is well at the end.
. "$TESTS/lib.sh"

start_daemon
define g <<'END'
[feature a]
type = string
END
mkdir "$MNT/g/u1"
python3 - "$MNT/g/u1/a" << 'END'
import os, sys, threading, time
path, begin = sys.argv[1], time.monotonic()
seen = {"file": 0, "none": 0}
# A busy machine gets more time to see both.
def goes_on():
    took = time.monotonic() - begin
    return took < 2 or not all(seen.values()) and took < 40
def look():
    while goes_on():
        try:
            assert os.stat(path).st_size in (0, 2), os.stat(path)
            seen["file"] += 1
        except FileNotFoundError:
            seen["none"] += 1
lookers = [threading.Thread(target=look) for _ in range(3)]
for thread in lookers:
    thread.start()
rounds = 0
while goes_on():
    with open(path, "w") as f:
        if rounds % 2:
            f.write("x\n")
    os.remove(path)
    rounds += 1
for thread in lookers:
    thread.join()
assert rounds and seen["file"] and seen["none"], (rounds, seen)
print(rounds, seen)
END
ok 'created, looked up, closed, removed'
