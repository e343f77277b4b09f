#!/bin/bash
# SPDX-License-Identifier: MIT
# Very many files, each read once, by a process whose memory is made short again and again: the kernel drops what it has cached for it, and the
# daemon's nodes and memory follow, however many files there are. The bound does not stay, for inodes are only free some time after they have been
# dropped, and the kernel would kill the reader meanwhile.
# claims: S8
. "$TESTS/lib.sh"

cgroup=/sys/fs/cgroup/memory limit=memory.limit_in_bytes most=-1
[[ -e $cgroup/$limit ]] || cgroup=/sys/fs/cgroup limit=memory.high most=max
cgroup=$cgroup/featurefs-$$
mkdir "$cgroup" 2> /dev/null || skip 'no control group can be made here'
leave() {
	rmdir "$cgroup" || true
}
{ echo 16M > "$cgroup/$limit" && echo "$most" > "$cgroup/$limit"; } 2> /dev/null || { leave; skip 'the memory of a control group cannot be limited here'; }

SRV=$DIR/srv COUNT=20000
mkdir "$SRV"
start_daemon -o serve="$SRV",store.durability=relaxed
printf '[feature n]\ntype = int64\n' | define g
for ((i = 0; i < COUNT; i++)); do printf '{"entity": "u%d", "features": {"n": %d}}\n' "$i" "$i"; done > "$MNT/g/.upsert"
counter() {
	sed -n "s/^featurefs_serving_$1 //p" "$MNT/.featurefs/metrics"
}
cat > "$DIR/reader.py" << 'END'
import errno, os, sys
root, count, metrics, limit, unlimited = sys.argv[1], int(sys.argv[2]), *sys.argv[3:]
most = 0
def be_short():
    for value in ("16M", unlimited):
        try:
            with open(limit, "w") as f:
                f.write(value)
        except OSError as e:
            assert e.errno == errno.EBUSY, e
for i in range(count):
    fd = os.open("%s/u%d/n" % (root, i), os.O_RDONLY)
    assert os.read(fd, 100) == b"%d\n" % i
    os.close(fd)
    if i % 500 == 499:
        be_short()
        with open(metrics) as f:
            most = max(most, *(int(l.split()[1]) for l in f if l.startswith("featurefs_serving_nodes ")))
print(most)
END
rc=0
bash -c 'echo $$ > "$1/cgroup.procs" && exec /usr/bin/python3 "${@:2}"' - "$cgroup" "$DIR/reader.py" "$SRV/g" "$COUNT" "$MNT/.featurefs/metrics" \
	"$cgroup/$limit" "$most" > "$DIR/most" || rc=$?
leave
same "$rc" 0 'the reader'
most=$(cat "$DIR/most")
echo "$COUNT entities with a value each were read: at most $most nodes were held at a time, $(counter nodes) at the end"
((most < COUNT)) || fail "$most nodes were held of $((2 * COUNT))"
ok 'the daemon holds what the kernel holds'
