#!/bin/bash
# SPDX-License-Identifier: MIT
# The serving mount by io_uring: its requests do come that way, several clients at once read what is so, changes are seen at once, what takes long and
# what is refused is answered, readers are killed, the mount is taken away by force, the daemon ends well. And the hunt finds nothing.
# limit: 150
# slow
# claims: S1 S2 S6
. "$TESTS/lib.sh"

SRV=$DIR/srv COUNT=2000
mkdir "$SRV" "$MNT"
featurefs "$STORE" "$MNT" -f -o serve="$SRV",serve.io_uring=yes > "$DIR/said" 2>&1 &
daemon_pid=$!
is_decided() {
	is_mounted "$MNT" || is_gone "$daemon_pid"
}
eventually 20 is_decided
if ! is_mounted "$MNT"; then
	daemon_pid=
	why=$(sed -n 's/^featurefs: error: serve.io_uring: //p' "$DIR/said")
	[[ -n $why ]] || fail "it said: $(cat "$DIR/said")"
	skip "$why"
fi
stop_daemon
export SERVE_IO_URING=1
start_daemon -o serve="$SRV",store.durability=relaxed
counter() {
	sed -n "s/^featurefs_serving_$1 //p" "$MNT/.featurefs/metrics"
}

printf '[feature n]\ntype = int64\n[feature s]\ntype = string\n' | define g
for ((i = 0; i < COUNT; i++)); do printf '{"entity": "u%d", "features": {"n": %d, "s": "s%d"}}\n' "$i" "$i" "$i"; done > "$MNT/g/.upsert"
cat > "$DIR/reader.py" << 'END'
import os, sys
root, count, step = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for i in range(count):
    k = i * step % count
    for name, want in (("n", b"%d\n" % k), ("s", b"s%d\n" % k)):
        fd = os.open("%s/u%d/%s" % (root, k, name), os.O_RDONLY)
        got = os.read(fd, 100)
        os.close(fd)
        assert got == want, (k, name, got)
END
readers=()
for step in 1 7 11 1999; do
	/usr/bin/python3 "$DIR/reader.py" "$SRV/g" "$COUNT" "$step" &
	readers+=($!)
done
for reader in "${readers[@]}"; do
	wait "$reader" || fail 'a reader found something else'
done
requests=$(counter requests_total) by_rings=$(counter ring_requests_total)
((by_rings >= 3 * COUNT)) || fail "of $requests requests $by_rings came by io_uring"
! grep -q 'although io_uring was asked for' "$LOG" || fail "$(tail -n 5 "$LOG")"
ok "$by_rings of $requests requests came by io_uring"

for i in $(seq 1 200); do
	echo "$((COUNT + i))" > "$MNT/g/u$i/n"
	same "$(cat "$SRV/g/u$i/n")" "$((COUNT + i))"
done
absent "$SRV/g/nobody" "$SRV/g/u1/nosuch"
same "$(cat "$SRV/g/.schema")" "$(cat "$MNT/g/.schema")"
matches "$(cat "$SRV/g/.stats")" "entities: $COUNT"
expect_fail EROFS mkdir "$SRV/g/new"
same "$(getfattr --only-values -n user.lane "$SRV/g/u1/n")" direct
same "$(find "$SRV/g" -mindepth 1 -maxdepth 1 | wc -l)" "$COUNT"
head -c 900000 /dev/zero | tr '\0' x > "$MNT/g/u1/s"
same_file "$SRV/g/u1/s" "$MNT/g/u1/s"
ok 'changes are seen at once, and all kinds of requests answered'

for _ in 1 2 3; do
	(trap - ERR; set +e; while :; do cat "$SRV/g/u$((RANDOM % COUNT))/n" > /dev/null 2>&1; done) &
	readers+=($!)
done
sleep 0.2
kill -KILL "${readers[-1]}"
umount -f "$SRV" 2> /dev/null || umount -l "$SRV"
gone() { [[ $(cat "$MNT/.featurefs/status") == *'(not mounted)'* ]]; }
eventually 10 gone
umount -l "$SRV" 2> /dev/null || true
kill -KILL "${readers[@]: -3:2}"
wait "${readers[@]: -3}" || true
echo 7 > "$MNT/g/u1/n"
same "$(cat "$MNT/g/u1/n")" 7
remount
exec 7< "$SRV/g/u1/n"
same "$(cat "$SRV/g/u1/n")" 7
term_daemon
exec 7<&-
! is_mounted "$SRV" || fail 'the serving mount is left behind'
ok 'taken away by force, and ended with a file open'

"$TESTS/torture/run" hunt "$BIN" 4
ok 'the hunt'
