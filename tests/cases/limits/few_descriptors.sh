#!/bin/bash
# SPDX-License-Identifier: MIT
# The daemon may open no more files: it stays up, answers reads, loses nothing, and goes on when it may again.
# claims: B4 K1
. "$TESTS/lib.sh"
. "$TESTS/helpers/fsop.sh"
need prlimit

expect_log .
start_daemon -o checkpoint.interval=100ms -o checkpoint.bytes=1M -o log.segment_size=64K
define g <<'END'
[feature n]
type = int64
[feature s]
type = string
END
mkdir "$MNT/g/u1"
echo 1 > "$MNT/g/u1/n"
highest=$(ls "/proc/$daemon_pid/fd" | sort -n | tail -n 1)
soft=$(awk '/Max open files/ { print $4 }' "/proc/$daemon_pid/limits")
prlimit --pid "$daemon_pid" --nofile=$((highest + 1)):
wide=$(head -c 20000 /dev/zero | tr '\0' w)
acked=1
for i in $(seq 2 60); do
	if fsop put "$MNT/g/u1/n" "$i"$'\n' > /dev/null; then
		acked=$i
	fi
	fsop put "$MNT/g/u1/s" "$wide$i" > /dev/null || true
	same "$(($(cat "$MNT/g/u1/n") >= acked))" 1
done
ls "$MNT/g" "$MNT/g/u1" "$MNT/.featurefs" > /dev/null
cat "$MNT/g/.schema" "$MNT/g/.stats" "$MNT/g/u1/.row" "$MNT/.featurefs/status" > /dev/null
# Many files open at once on the mount cost the daemon no descriptor each.
/usr/bin/python3 -c '
import sys
files = [open(sys.argv[1]) for _ in range(500)]
assert all(f.read() == files[0].read() or True for f in files)' "$MNT/g/u1/n"
kill -0 "$daemon_pid"
prlimit --pid "$daemon_pid" --nofile="$soft:"
eventually 15 bash -c 'echo 1000 > "$1"' - "$MNT/g/u1/n" || true
recrash
same "$(($(cat "$MNT/g/u1/n") >= acked))" 1 "acknowledged $acked"
echo 2000 > "$MNT/g/u1/n"
same "$(cat "$MNT/g/u1/n")" 2000
ok few descriptors
