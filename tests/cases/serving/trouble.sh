#!/bin/bash
# SPDX-License-Identifier: MIT
# Readers of the serving mount that are killed, stopped, that list or map while values change under them; the mount taken away by force:
# writers go on, and so does the daemon.
# limit: 120
# claims: S6
. "$TESTS/lib.sh"

SRV=$DIR/srv
mkdir "$SRV"
start_daemon -o serve="$SRV",store.durability=relaxed
printf '[feature n]\ntype = int64\n[feature s]\ntype = string\n' | define g
for i in $(seq 0 299); do printf '{"entity": "u%d", "features": {"n": 0, "s": "x"}}\n' "$i"; done > "$MNT/g/.upsert"
cat > "$DIR/reader.py" << 'END'
import mmap, os, random, sys
root, what = sys.argv[1:]
rng = random.Random(os.getpid())
while True:
    entity = "%s/u%d" % (root, rng.randrange(300))
    if what == "list":
        for name in os.listdir(root)[:20]:
            os.listdir(root + "/" + name)
        continue
    fd = os.open(entity + ("/n" if rng.random() < .5 else "/.row"), os.O_RDONLY)
    if what == "map":
        size = os.fstat(fd).st_size
        m = mmap.mmap(fd, size, prot=mmap.PROT_READ)
        for _ in range(20):
            assert len(m[:]) == size
        m.close()
    else:
        assert os.read(fd, 1000)
    os.close(fd)
END
readers=()
begin_readers() {
	local what

	readers=()
	for what in read read map list; do
		/usr/bin/python3 "$DIR/reader.py" "$SRV/g" "$what" &
		readers+=($!)
	done
	sleep 0.3
}
# write COUNT: values one by one, each seen at once, within a time that no stalled commit would leave.
write() {
	local i

	for ((i = 1; i <= $1; i++)); do
		echo "$i" > "$MNT/g/u$((i % 300))/n"
	done
	echo "$1" > "$MNT/g/u0/n"
	same "$(cat "$SRV/g/u0/n")" "$1"
}

begin_readers
write 300
kill -KILL "${readers[@]}"
write 300
ok 'readers killed in the middle'
begin_readers
kill -STOP "${readers[@]}"
write 600
kill -CONT "${readers[@]}"
write 100
ok 'readers stopped'
for round in 1 2 3 4 5; do
	for i in $(seq 0 299); do printf '{"entity": "u%d", "features": {"n": %d, "s": "r%d"}}\n' "$i" "$round" "$round"; done > "$MNT/g/.upsert"
	same "$(cat "$SRV/g/u7/n" "$SRV/g/u299/s" | tr '\n' ' ')" "$round r$round "
done
for i in $(seq 0 5999); do printf '{"entity": "w%d", "features": {"n": 1}}\n' "$i"; done > "$MNT/g/.upsert"
for i in $(seq 0 5999); do read -r _ < "$SRV/g/w$i/n"; done
for i in $(seq 0 5999); do printf '{"entity": "w%d", "features": {"n": 2}}\n' "$i"; done > "$MNT/g/.upsert"
same "$(cat "$SRV/g/w0/n" "$SRV/g/w3000/n" "$SRV/g/w5999/n" | tr '\n' ' ')" '2 2 2 '
kill -KILL "${readers[@]}"
ok 'thousands of names at once, among readers that read, map and list'

begin_readers
umount -f "$SRV" 2> /dev/null || umount -l "$SRV"
for i in $(seq 1 50); do echo "$i" > "$MNT/g/u1/n"; done
same "$(cat "$MNT/g/u1/n")" 50
kill -KILL "${readers[@]}" 2> /dev/null || true
gone() { [[ $(cat "$MNT/.featurefs/status") == *'(not mounted)'* ]]; }
eventually 10 gone
umount -l "$SRV" 2> /dev/null || true
echo 51 > "$MNT/g/u1/n"
same "$(cat "$MNT/g/u1/n")" 51
ok 'the serving mount taken away by force'
remount
same "$(cat "$SRV/g/u1/n")" 51
exec 7< "$SRV/g/u1/n"
term_daemon
exec 7<&-
! is_mounted "$SRV" || fail 'the serving mount is left behind'
ok 'the daemon ended with a file open'
start_daemon -o serve="$SRV",store.durability=relaxed
exec 7< "$SRV/g/u1/n"
ended=$(grep -c '/srv is unmounted' "$LOG")
umount -l "$SRV"
[[ -n $(ls /sys/fs/fuse/connections 2> /dev/null) ]] || { ok 'nothing can be cut off: fusectl is not mounted'; exit; }
term_daemon
(($(grep -c '/srv is unmounted' "$LOG") > ended)) || fail 'the serving mount was in use until the process ended'
exec 7<&-
ok 'and with one open on a mount that was taken out of sight'
