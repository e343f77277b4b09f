#!/bin/bash
# SPDX-License-Identifier: MIT
# Thousands of entities in two system calls: names into .lookup, rows out of the same open file, all from one snapshot.
# claims: J6 J7 J8
. "$TESTS/lib.sh"

start_daemon
define g <<'END'
[feature n]
type = int64
[feature m]
type = int64
END
/usr/bin/python3 - "$MNT/g" <<'END'
import json, sys
with open(sys.argv[1] + "/.upsert", "w") as f:
    for i in range(5000):
        f.write(json.dumps({"entity": "u%d" % i, "features": {"n": i, "m": i}}) + "\n")
END
mkdir "$MNT/.views/v"
printf '[view]\n[columns]\nn = g/n\nm = g/m\n' > "$MNT/.views/v/.schema"

exec 7<> "$MNT/g/.lookup"
printf 'u1\nu9999\nu2\n' >&7
same "$(jq -c '[.entity, .features.n]' <&7)" '["u1",1]
["u9999",null]
["u2",2]'
same "$(cat <&7)" '' 'read to its end'
printf 'u3\n' >&7
same "$(jq -c .features <&7)" '{"n":3,"m":3}' 'the next question'
exec 7>&-
ok conversation

# A writer changes both numbers of every row at once: each answer must be of one moment.
/usr/bin/python3 - "$MNT" <<'END'
import array, json, os, sys, threading
mount = sys.argv[1]
names = ("\n".join("u%d" % i for i in range(2000)) + "\n").encode()
stop = threading.Event()
rounds = [0]
def write():
    k = 10000
    while not stop.is_set():
        k += 1
        with open(mount + "/g/.upsert", "w") as f:
            f.write("".join('{"entity": "u%d", "features": {"n": %d, "m": %d}}\n' % (i, k, k) for i in range(2000)))
        rounds[0] += 1
def ask(fd):
    assert os.write(fd, names) == len(names)
    out = b""
    while piece := os.read(fd, 1 << 20):
        out += piece
    return out
t = threading.Thread(target=write)
t.start()
mixed = 0
seen = set()
try:
    rows = os.open(mount + "/g/.lookup", os.O_RDWR)
    vectors = os.open(mount + "/.views/v/f32/.lookup", os.O_RDWR)
    while rounds[0] < 6 or len(seen) < 2:
        lines = ask(rows).splitlines()
        assert len(lines) == 2000
        numbers = [json.loads(line)["features"] for line in lines]
        versions = {v[name] if v[name] >= 10000 else 0 for v in numbers for name in ("n", "m")}
        floats = array.array("f", ask(vectors))
        assert len(floats) == 4000
        mixed += len(versions) > 1
        mixed += len({x if x >= 10000 else 0 for x in floats}) > 1
        seen |= versions
finally:
    stop.set()
    t.join()
assert mixed == 0, mixed
print("ok: %d versions seen, none mixed" % len(seen))
END

exec 7<> "$MNT/g/.lookup"
expect_fail EFBIG bash -c 'head -c 6000000 /dev/zero | tr "\0" u >&7'
exec 7>&-
define other <<'END'
[group]
ttl = 1000d
[feature n]
type = int64
[feature s]
type = string
END
printf '{"entity": "u1", "features": {"n": %s, "s": null}, "event_time": "%s"}\n' 7 "$(date -u +%Y-01-01T00:00:00Z)" > "$MNT/other/.upsert"
printf '{"entity": "u1", "features": {"n": 1}, "event_time": "2010-01-01T00:00:00Z", "force": true}\n' > "$MNT/other/.upsert"
exec 7<> "$MNT/g/.lookup"
printf '%s\n' u4001 .details u4002 '.group other' u1 '.group g' u4003 ..details $'a\tb' >&7
jq -c '[.entity, .features, .details]' <&7 > "$DIR/said"
same "$(sed 's/"\(event\|ingest\)_time":"20[^"]*Z"/"\1_time":"T"/g' "$DIR/said")" '["u4001",{"n":4001,"m":4001},null]
["u4002",{"n":4002,"m":4002},{"n":{"event_time":"T","ingest_time":"T","lane":"direct","source":"uid 0"},"m":{"event_time":"T","ingest_time":"T","lane":"direct","source":"uid 0"}}]
["u1",{"s":null},{"n":{"expired":true,"event_time":"T","ingest_time":"T","lane":"direct","source":"uid 0"},"s":{"event_time":"T","ingest_time":"T","lane":"direct","source":"uid 0"}}]
["u4003",{"n":4003,"m":4003},{"n":{"event_time":"T","ingest_time":"T","lane":"direct","source":"uid 0"},"m":{"event_time":"T","ingest_time":"T","lane":"direct","source":"uid 0"}}]
["..details",null,null]
["a\tb",null,null]'
same "$(sed -n '2s/.*"n":{"event_time":"\([^"]*\)".*/\1/p' "$DIR/said")" "$(getfattr --only-values -n user.event_time "$MNT/g/u4002/n" 2> /dev/null)"
printf '.group nothing\nu1\n' >&7
expect_fail ENOENT bash -c 'cat <&7'
printf '.group g\nu1\n' >&7
same "$(jq -r .entity <&7)" u1
exec 7>&-
ok 'details, and several groups'

exec 7<> "$MNT/g/.lookup"
printf 'u1\n\377\n' >&7
expect_fail EILSEQ bash -c 'cat <&7'
exec 7>&-
same "$(cat "$MNT/g/u1/m" > /dev/null && echo up)" up
