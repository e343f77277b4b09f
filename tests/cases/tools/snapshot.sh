#!/bin/bash
# SPDX-License-Identifier: MIT
# One file, many hands: an open descriptor keeps what it opened, two writers leave one whole value, a reader never sees half of one nor
# an older one after a newer one.
# claims: W6 W7 W11 T2
. "$TESTS/lib.sh"
. "$TESTS/helpers/fsop.sh"

start_daemon
define g <<'END'
[feature s]
type = string
[feature n]
type = int64
END
e=$MNT/g/u1
mkdir "$e"
echo abcdef > "$e/s"
gives '7 abcdef changed-and-longer' held "$e/s" changed-and-longer
exec 3< "$e/s"
rm "$e/s"
same "$(cat <&3)" changed-and-longer "removed, and still read by who holds it"
exec 3<&-
absent "$e/s"
exec 3> "$e/s"
exec 4> "$e/s"
echo from-three >&3
echo from-four >&4
exec 4>&-
# The shell's echo closes a copy of its own descriptor, so each took effect at once; these closes bring nothing new.
exec 3>&-
same "$(cat "$e/s")" from-four
ok held descriptors

/usr/bin/python3 - "$e" << 'END'
import os, sys, threading, time
path = sys.argv[1] + "/s"
count = sys.argv[1] + "/n"
stop = time.time() + 4
bad = []
def text(i):
    return ("%d " % i) * (1 + i % 3000) + "end\n"
open(path, "w").write(text(0))
open(count, "w").write("0\n")
acked = [0]
def write():
    i = 0
    while time.time() < stop:
        i += 1
        with open(path, "w") as f:
            f.write(text(i))
        with open(count, "w") as f:
            f.write("%d\n" % i)
        acked[0] = i
def read():
    last = 0
    while time.time() < stop:
        floor = acked[0]
        fd = os.open(path, os.O_RDONLY)
        whole = os.read(fd, 700)
        size = os.fstat(fd).st_size
        while piece := os.read(fd, 1 << 16):
            whole += piece
        os.close(fd)
        i = int(whole.split(b" ", 1)[0])
        if whole != text(i).encode():
            bad.append("torn: %d, %d bytes" % (i, len(whole)))
        if size != len(whole):
            bad.append("fstat says %d of %d, which has %d bytes" % (size, i, len(whole)))
        if i < last or i < floor:
            bad.append("older: %d after %d, acknowledged %d" % (i, last, floor))
        last = i
        if int(open(count).read()) < floor:
            bad.append("stale count")
threads = [threading.Thread(target=read) for _ in range(3)] + [threading.Thread(target=write)]
for t in threads: t.start()
for t in threads: t.join()
assert not bad, bad[:5]
assert acked[0] > 20, acked
print("ok: %d writes, never torn, never older" % acked[0])
END
# Many writers of one file: the end is one of the values, whole, and the descriptor's own later stat agrees.
for i in $(seq 1 8); do
	(for j in $(seq 1 20); do echo "$i-$j" > "$e/s"; done) &
done
# shellcheck disable=SC2046
wait $(jobs -p | grep -vx "$daemon_pid")
matches "$(cat "$e/s")" '^[1-8]-20$'
ok many writers
