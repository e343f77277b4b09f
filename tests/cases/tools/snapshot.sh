#!/bin/bash
# SPDX-License-Identifier: MIT
# One file, many hands: an open descriptor keeps what it opened, two writers leave one whole value, a reader never sees half of one nor
# an older one after a newer one, in the bytes as in the size, and nobody's open fails because others have the file.
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
begin = time.monotonic()
bad = []
threading.excepthook = lambda args: bad.append("a thread ended with %r" % args.exc_value)
def text(i):
    return ("%d " % i) * (1 + i % 3000) + "end\n"
def size_of(i):
    return len("%d " % i) * (1 + i % 3000) + 4
open(path, "w").write(text(0))
open(count, "w").write("0\n")
acked = [0]
# A slow disk or a busy machine gets more time, not fewer writes.
def goes_on():
    took = time.monotonic() - begin
    return not bad and (took < 4 or acked[0] <= 20 and took < 40)
def write():
    i = 0
    while goes_on():
        i += 1
        with open(path, "w") as f:
            f.write(text(i))
        with open(count, "w") as f:
            f.write("%d\n" % i)
        acked[0] = i
def read():
    last = 0
    while goes_on():
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
def ask():
    while goes_on():
        floor = acked[0]
        size = os.stat(path).st_size
        top = acked[0] + 1
        if size not in map(size_of, range(floor, top + 1)):
            bad.append("stat says %d, which is none of %d to %d" % (size, floor, top))
threads = [threading.Thread(target=f) for f in (read, read, read, ask, write)]
for t in threads: t.start()
for t in threads: t.join()
assert not bad, bad[:5]
assert acked[0] > 20, acked
print("ok: %d writes, never torn, never older" % acked[0])
END

# More processes than processors, half of them slow: each finds readers and writers on the file that it opens, which is no error.
/usr/bin/python3 - "$e/n" << 'END'
import os, sys, time
path = sys.argv[1]
end = time.monotonic() + 3
def run(k):
    os.nice(10 * (k // 2 % 2))
    while time.monotonic() < end:
        if k % 2:
            fd = os.open(path, os.O_WRONLY | os.O_TRUNC)
            os.write(fd, b"1%s\n" % (b"0" * (k % 18)))
        else:
            fd = os.open(path, os.O_RDONLY)
            got, size = os.read(fd, 100), os.fstat(fd).st_size
            if len(got) != size or got.strip().rstrip(b"0") != b"1":
                sys.exit("fstat says %d of %r" % (size, got))
        os.close(fd)
open(path, "w").write("1\n")
children = []
for k in range(80):
    child = os.fork()
    if not child:
        run(k)
        os._exit(0)
    children.append(child)
failed = [k for k, child in enumerate(children) if os.waitpid(child, 0)[1]]
sys.exit("failed: %s" % failed if failed else 0)
END
ok no open fails because others have the file

# Many writers of one file: the end is one of the values, whole, and the descriptor's own later stat agrees.
for i in $(seq 1 8); do
	(for j in $(seq 1 20); do echo "$i-$j" > "$e/s"; done) &
done
# shellcheck disable=SC2046
wait $(jobs -p | grep -vx "$daemon_pid")
matches "$(cat "$e/s")" '^[1-8]-20$'
ok many writers
