#!/bin/bash
# SPDX-License-Identifier: MIT
# .featurefs: status, metrics, errors and config, read-only text that programs can read.
# claims: D9 P2
. "$TESTS/lib.sh"
. "$TESTS/helpers/fsop.sh"

start_daemon
define g <<'END'
[feature n]
type = int64
END
mkdir "$MNT/g/u1"
for i in 1 2 3; do echo $i > "$MNT/g/u1/n"; done
fsop put "$MNT/g/u1/n" secret-value > /dev/null || true
f=$MNT/.featurefs
same "$(ls "$f" | grep -cE '^(status|metrics|errors|config)$')" 4
same "$(grep -cvE '^[a-z][a-z0-9_]*: .*$' "$f/status" || true)" 0 "key: value"
same "$(sed -n 's/^pid: //p' "$f/status")" "$daemon_pid"
for key in version failed pid store uptime_seconds commits; do
	grep -qE "^$key: ." "$f/status" || fail "no $key in status"
done
for file in status metrics errors config; do
	expect_fail ANY bash -c 'echo x > "$1"' - "$f/$file"
	expect_fail ANY rm "$f/$file"
	same "$(cat "$f/$file" | wc -c | awk '{ print ($1 > 0) }')" 1
	same "$(dd if="$f/$file" bs=7 2> /dev/null | wc -l | awk '{ print ($1 > 0) }')" 1 "in small pieces too"
done
same "$(grep -c 'secret' "$f"/* | grep -cv ':0$' || true)" 0
matches "$(cat "$f/errors")" '^g .*\(errno 22\)'
expect_fail ANY touch "$f/new"
ok status

/usr/bin/python3 - "$f/metrics" << 'END'
import re, sys
text = open(sys.argv[1]).read()
assert text.endswith("\n")
name, label = r"[a-zA-Z_:][a-zA-Z0-9_:]*", r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
sample = re.compile(r"(%s)(?:\{((?:%s)(?:,%s)*)?,?\})? (NaN|[+-]Inf|[+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)(?: [0-9]+)?$" % (name, label, label))
types, seen, helps = {}, set(), set()
for line in text.splitlines():
    if line.startswith("# TYPE "):
        _, _, metric, kind = line.split(" ")
        assert kind in ("counter", "gauge", "histogram", "summary", "untyped"), line
        assert metric not in types, line
        types[metric] = kind
    elif line.startswith("# HELP "):
        assert line.split(" ")[2] not in helps, line
        helps.add(line.split(" ")[2])
    elif line:
        match = sample.match(line)
        assert match, line
        metric = match.group(1)
        assert metric in types or re.sub("_(sum|count|bucket)$", "", metric) in types, "no TYPE: " + line
        assert metric.startswith("featurefs_"), line
        if types.get(metric) == "counter":
            assert metric.endswith("_total"), line
        key = metric + "{" + (match.group(2) or "") + "}"
        assert key not in seen, "twice: " + line
        seen.add(key)
assert len(seen) > 10, seen
END
commits() {
	sed -n 's/^commits: //p' "$f/status"
}
before=$(commits)
echo 4 > "$MNT/g/u1/n"
same "$(($(commits) > before))" 1
ok metrics
