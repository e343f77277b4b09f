#!/bin/bash
# SPDX-License-Identifier: MIT
# A value that the kernel keeps is gone when its time to live is over: by name, in .row, in listings; a shorter ttl counts at once, a longer one
# brings values back.
# claims: S5
. "$TESTS/lib.sh"

SRV=$DIR/srv
mkdir "$SRV"
start_daemon -o serve="$SRV",ingest.sweep_interval=0
printf '[group]\nttl = 3s\n[feature n]\ntype = int64\n[feature m]\ntype = int64\n' | define g
mkdir "$MNT/g/u1"
/usr/bin/python3 - "$MNT/g/u1" "$SRV/g/u1" << 'END'
import os, sys, time
edit, srv = sys.argv[1:]
for name, ahead in (("n", 0), ("m", 2)):
    with open(edit + "/" + name, "w") as f:
        f.write("5")
    if ahead:
        now = time.time() + ahead
        os.utime(edit + "/" + name, (now, now))
ends = {name: os.stat(edit + "/" + name).st_mtime_ns + 3 * 10**9 for name in ("n", "m")}
def shown(name):
    """Is it there, by each way?"""
    before = time.time_ns()
    try:
        direct = open(srv + "/" + name).read() == "5\n"
    except FileNotFoundError:
        direct = False
    row = '"%s"' % name in open(srv + "/.row").read()
    listed = name in os.listdir(srv)
    return before, time.time_ns(), (direct, row, listed)
reads = 0
while time.time_ns() < max(ends.values()) + 10**9:
    for name, end in ends.items():
        before, after, found = shown(name)
        reads += 1
        if before > end and any(found):
            sys.exit("%s: %s, %.3f s after its end" % (name, found, (before - end) / 1e9))
        if after < end and not all(found):
            sys.exit("%s: %s, %.3f s before its end" % (name, found, (end - after) / 1e9))
    time.sleep(0.002)
print("reads:", reads)
END
ok 'on time'
setfattr -n user.ttl -v 1h "$MNT/g"
same "$(cat "$SRV/g/u1/n")" 5
cat "$SRV/g/u1/n" "$SRV/g/u1/.row" > /dev/null
setfattr -n user.ttl -v 2s "$MNT/g"
absent "$SRV/g/u1/n"
same "$(cat "$SRV/g/u1/.row")" '{"entity": "u1", "features": {}}'
setfattr -x user.ttl "$MNT/g"
same "$(cat "$SRV/g/u1/n")" 5
ok 'another ttl'
