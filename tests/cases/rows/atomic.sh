#!/bin/bash
# SPDX-License-Identifier: MIT
# Readers meet writers: rows whose features all hold one counter, written by .row and .upsert, are never seen half, never older than what
# was acknowledged, and a refused one is not seen at all.
# claims: R7 R1 W7
# limit: 90
. "$TESTS/lib.sh"

start_daemon
for i in $(seq 0 19); do printf '[feature f%d]\ntype = int64\nmax = 1000000\n' "$i"; done | define g
mkdir "$MNT/g/u1" "$MNT/g/u2"
/usr/bin/python3 - "$MNT/g" << 'END'
import json, os, sys, threading, time
root = sys.argv[1]
names = ["f%d" % i for i in range(20)]
begin = time.monotonic()
bad, acked, reads = [], [0], [0]
threading.excepthook = lambda args: bad.append("a thread ended with %r" % args.exc_value)
# A slow disk or a busy machine gets more time, not fewer rounds.
def goes_on():
    took = time.monotonic() - begin
    return not bad and (took < 5 or (acked[0] <= 20 or reads[0] <= 100) and took < 60)
def row(i):
    return {"features": {n: i for n in names}}
json.dump(row(0), open(root + "/u1/.row", "w"))
json.dump(row(0), open(root + "/u2/.row", "w"))
def write():
    i = 0
    while goes_on():
        i += 1
        with open(root + "/.upsert", "w") as f:
            for e in ("u1", "u2"):
                f.write(json.dumps(dict(row(i), entity=e)) + "\n")
        acked[0] = i
        refused = row(i + 500000)
        refused["features"]["f19"] = 2000000
        try:
            with open(root + "/u1/.row", "w") as f:
                json.dump(refused, f)
            bad.append("a bad row was taken")
        except OSError:
            pass
def read(entity):
    last = 0
    while goes_on():
        floor = acked[0]
        fd = os.open(root + "/" + entity + "/.row", os.O_RDONLY)
        text = os.read(fd, 50)
        while piece := os.read(fd, 100):
            text += piece
        os.close(fd)
        seen = set(json.loads(text)["features"].values())
        if len(seen) != 1:
            bad.append("half a row: %s" % seen)
        i = seen.pop()
        if i < last or i < floor:
            bad.append("older: %d after %d, acknowledged %d" % (i, last, floor))
        last = i
        single = int(open(root + "/" + entity + "/f7").read())
        if single < i or single >= 500000:
            bad.append("f7 is %d behind row %d" % (single, i))
        reads[0] += 1
threads = [threading.Thread(target=read, args=(e,)) for e in ("u1", "u2", "u1")] + [threading.Thread(target=write)]
for t in threads: t.start()
for t in threads: t.join()
assert not bad, bad[:5]
assert acked[0] > 20 and reads[0] > 100, (acked, reads)
print("ok: %d changes, %d reads" % (acked[0], reads[0]))
END
same "$(cat "$MNT/g/u1/f0")" "$(cat "$MNT/g/u2/f19")"
