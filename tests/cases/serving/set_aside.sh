#!/bin/bash
# SPDX-License-Identifier: MIT
# The kernel holds a large group and is told to forget everything: it does not throw the group away in the open of whoever comes next, and what
# it shows is new all the same; for readers by path, by a directory that is held open, and in the midst of it. A group that is renamed meanwhile.
# limit: 120
# claims: S1
. "$TESTS/lib.sh"

ENTITIES=5000
SRV=$DIR/srv
mkdir "$SRV"
start_daemon -o serve="$SRV",store.durability=relaxed
counter() { sed -n "s/^featurefs_serving_$1 //p" "$MNT/.featurefs/metrics"; }
# all NUMBER: one change of all rows.
all() {
	local i

	for ((i = 0; i < ENTITIES; i++)); do printf '{"entity": "u%d", "features": {"n": %d}}\n' "$i" "$1"; done > "$MNT/g/.upsert"
}
cat > "$DIR/hold.py" << 'END'
import os, sys
root, entities, text = sys.argv[1], int(sys.argv[2]), sys.argv[3].encode()
for i in range(entities):
    with open("%s/u%d/n" % (root, i), "rb", buffering=0) as f:
        got = f.read()
    assert got == text + b"\n", (i, got)
END
hold() { /usr/bin/python3 "$DIR/hold.py" "$SRV/$1" "$ENTITIES" "$2"; }
# kept BEFORE: the nodes of the group are still held, whoever has walked into it since.
kept() { (($(counter nodes) >= $1 * 9 / 10)) || fail "of $1 nodes $(counter nodes) are left"; }

printf '[feature n]\ntype = int64\n' | define g
printf '[feature n]\ntype = int64\n' | define small
mkdir "$MNT/small/e"
echo 1 > "$MNT/small/e/n"
all 1
setfattr -n user.tier -v 1 "$MNT/small"
hold g 1
held=$(counter nodes)
((held >= 2 * ENTITIES)) || fail "$held nodes are held"
wholes=$(counter wholes_forgotten_total)
all 2
(($(counter wholes_forgotten_total) > wholes)) || skip 'this kernel cannot be told to forget everything at once'
(($(counter groups_set_aside_total) > 0)) || fail 'no group was set aside'
same "$(cat "$SRV/g/u77/n")" 2
same "$(cat "$SRV/small/e/n")" 1
same "$(stat -c %F "$SRV/g")" directory
same "$(ls -A "$SRV")" "$(ls -A "$MNT")"
kept "$held"
hold g 2
setfattr -n user.ttl -v 100d "$MNT/g"
same "$(cat "$SRV/g/u78/n")" 2
kept "$held"
same "$(getfattr --only-values -n user.ttl "$SRV/g")" 100d
absent "$SRV/.aside-1" "$SRV/.aside-1.1" "$SRV/.aside-"
ok 'a large group is kept'

/usr/bin/python3 -c '
import os, sys
for i in range(1500):
    assert not os.path.exists("%s/nobody%d" % (sys.argv[1], i))
' "$SRV/small"
aside=$(counter groups_set_aside_total)
setfattr -n user.ttl -v 99d "$MNT/g"
(($(counter groups_set_aside_total) - aside >= 2)) || fail 'a group of which the kernel remembers many absent names was not set aside'
absent "$SRV/small/nobody1" "$SRV/small/nobody2000"
same "$(cat "$SRV/small/e/n")" 1
hold g 2
ok 'and one that was asked for many absent names'

cat > "$DIR/reader.py" << 'END'
import os, random, sys, time
root, entities, how, stop = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
rng = random.Random(os.getpid())
held = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
newest = reads = 0
while not os.path.exists(stop):
    for _ in range(200):
        name = "u%d/%s" % (rng.randrange(entities), rng.choice(("n", "n.bin", ".row")))
        if how == "held":
            fd = os.open(name, os.O_RDONLY, dir_fd=held)
        elif how == "anew":
            at = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
            fd = os.open(name, os.O_RDONLY, dir_fd=at)
            os.listdir(at) if rng.random() < .01 else os.stat(name, dir_fd=at)
            os.close(at)
        else:
            fd = os.open(root + "/" + name, os.O_RDONLY)
        got = os.read(fd, 1000)
        assert len(got) == os.fstat(fd).st_size, (name, got)
        os.close(fd)
        if name.endswith("bin"):
            value = int.from_bytes(got, "little")
        elif name.endswith("row"):
            value = int(got.split(b'"n":')[1].split(b"}")[0])
        else:
            value = int(got)
        assert value >= newest, "%s: %d after %d" % (name, value, newest)
        newest, reads = value, reads + 1
print(how, reads, newest)
END
pids=()
for how in path path held anew; do
	/usr/bin/python3 "$DIR/reader.py" "$SRV/g" "$ENTITIES" "$how" "$DIR/stop" > "$DIR/said.$how" &
	pids+=($!)
done
aside=$(counter groups_set_aside_total)
for round in $(seq 3 14); do
	all "$round"
	same "$(cat "$SRV/g/u$round/n")" "$round"
	setfattr -n user.ttl -v "$((round + 100))d" "$MNT/g"
done
touch "$DIR/stop"
for pid in "${pids[@]}"; do wait "$pid" || fail 'a reader saw something that is not so'; done
(($(counter groups_set_aside_total) - aside >= 12)) || fail "$(counter groups_set_aside_total) groups were set aside, $aside before"
hold g 14
ok "readers meanwhile: $(cat "$DIR"/said.* | tr '\n' ' ')"

held=$(counter nodes)
mv "$MNT/g" "$MNT/h"
absent "$SRV/g" "$SRV/g/u1" "$SRV/g/u1/n"
same "$(cat "$SRV/h/u1/n")" 14
kept "$held"
hold h 14
ok 'a large group that is renamed'

mv "$MNT/h" "$MNT/g"
all 15
# Who brings the group back looks up its name, and is in the mount for that instant, as anybody is who opens a file.
eventually 5 umount "$SRV"
same "$(cat "$MNT/g/u1/n")" 15
all 16
remount
same "$(cat "$SRV/g/u1/n")" 16
ok 'unmounted right after'
