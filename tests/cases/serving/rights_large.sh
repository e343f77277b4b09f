#!/bin/bash
# SPDX-License-Identifier: MIT
# The mode of a group changes of which the kernel holds thousands of directories: other writers don't wait until it has been told of each; once the change
# is acknowledged, nobody reads or sees what was before, by path or from inside; two changes at once; the mount taken away meanwhile.
# limit: 120
# claims: S7
. "$TESTS/lib.sh"
. "$TESTS/helpers/preload.sh"

[[ $(id -u) == 0 ]] || skip 'only root can be two users'
ENTITIES=2500 SRV=$DIR/srv
mkdir "$SRV"
chmod 755 "$DIR" "$(dirname "$DIR")"
echo slow > "$DIR/words"
export FORGET_FILE=$DIR/words
start_preloaded forget_preload -o allow_other,serve="$SRV",store.durability=relaxed
counter() { sed -n "s/^featurefs_serving_$1 //p" "$MNT/.featurefs/metrics"; }
printf '[feature n]\ntype = int64\n' | define g
printf '[feature n]\ntype = int64\n' | define other
mkdir "$MNT/other/e"
chmod 755 "$MNT/g"
for ((i = 0; i < ENTITIES; i++)); do printf '{"entity": "u%d", "features": {"n": %d}}\n' "$i" "$i"; done > "$MNT/g/.upsert"
hold() {
	/usr/bin/python3 -c '
import os, sys
for i in range(int(sys.argv[2])):
    with open("%s/u%d/n" % (sys.argv[1], i), "rb", buffering=0) as f:
        assert f.read() == b"%d\n" % i
' "$SRV/g" "$ENTITIES"
}
hold
(($(counter nodes) > 2 * ENTITIES)) || fail "$(counter nodes) nodes are held"

# Another user, inside and by path: the moments at which what it has read began. Moments are of one clock, for all processes.
cat > "$DIR/reader.py" << 'END'
import os, random, sys, time
srv, entities, stop = sys.argv[1], int(sys.argv[2]), sys.argv[3]
rng = random.Random(7)
dirs = [os.open("%s/g/u%d" % (srv, i), os.O_RDONLY | os.O_DIRECTORY) for i in range(20)]
print("ready", flush=True)
last = {"path": 0, "inside": 0, "list": 0}
def attempt(how, call):
    begin = time.monotonic_ns()
    try:
        call()
        last[how] = begin
    except PermissionError:
        pass
def by_path():
    with open("%s/g/u%d/n" % (srv, rng.randrange(entities)), "rb", buffering=0) as f:
        assert f.read()
def inside():
    os.close(os.open("n", os.O_RDONLY, dir_fd=rng.choice(dirs)))
while not os.path.exists(stop):
    attempt("path", by_path)
    attempt("inside", inside)
    attempt("list", lambda: os.close(os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=rng.choice(dirs))))
print(last["path"], last["inside"], last["list"], flush=True)
END
# Changes the mode while a thread writes values of another group; prints how many writes began and ended meanwhile, and the moment of its end.
cat > "$DIR/change.py" << 'END'
import os, sys, threading, time
mnt, srv, entities, mode = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4], 8)
standing = [os.open("%s/g/u%d" % (srv, i), os.O_PATH | os.O_DIRECTORY) for i in range(0, entities, 50)]
times, over = [], threading.Event()
def write():
    number = 0
    while not over.is_set():
        begin = time.monotonic_ns()
        with open(mnt + "/other/e/n", "w") as f:
            f.write("%d\n" % number)
        times.append((begin, time.monotonic_ns()))
        number += 1
thread = threading.Thread(target=write)
thread.start()
while len(times) < 3:
    time.sleep(0.01)
begin = time.monotonic_ns()
os.chmod(mnt + "/g", mode)
end = time.monotonic_ns()
for i, fd in enumerate(standing):
    assert os.fstat(fd).st_mode & 0o7777 == mode, "inside of u%d: %o" % (50 * i, os.fstat(fd).st_mode)
for i in range(1, entities, 50):
    got = os.stat("%s/g/u%d" % (srv, i)).st_mode
    assert got & 0o7777 == mode, "u%d: %o" % (i, got)
over.set()
thread.join()
print(sum(1 for b, e in times if b > begin and e < end), end)
END
coproc reader { as_user 1234 /usr/bin/python3 "$DIR/reader.py" "$SRV" "$ENTITIES" "$DIR/stop" 2>&1; }
reader_pid=$! said=${reader[0]}
exec {said}<&"${reader[0]}"
read -r line <&"$said"
same "$line" ready
before=$(counter wholes_forgotten_total)
changed=$(/usr/bin/python3 "$DIR/change.py" "$MNT" "$SRV" "$ENTITIES" 700)
(($(counter wholes_forgotten_total) > before)) || skip 'this kernel cannot be told to forget everything at once'
writes=${changed% *} end=${changed#* }
((writes >= 5)) || fail "only $writes writes of another group were done while the mode changed"
sleep 0.3
touch "$DIR/stop"
read -r line <&"$said"
wait "$reader_pid"
read -r path inside list <<< "$line"
((path < end && inside < end && list < end)) || fail "acknowledged at $end, but what began at $path, $inside, $list was not refused"
((path > 0 && inside > 0 && list > 0)) || fail "the reader could read nothing: $line"
ok "$writes writes meanwhile, and nobody reads by the old mode"

# What directories show is kept again: to look once more asks for nothing.
look() { find "$SRV/g/u7" "$SRV/g/u8" -maxdepth 0 -perm 700 | wc -l; }
same "$(look)" 2
asked=$(counter requests_total)
for _ in 1 2 3 4 5; do same "$(look)" 2; done
(($(counter requests_total) - asked < 5)) || fail "$(($(counter requests_total) - asked)) requests for attributes that should be kept"
ok 'they are kept again'

hold
chmod 750 "$MNT/g" &
first=$!
chown 1234 "$MNT/g"
chmod 711 "$MNT/g" || fail 'a second change'
wait "$first" || fail 'the first change'
same "$(stat -c %a:%u "$SRV/g/u9")" "$(stat -c %a:%u "$MNT/g/u9")" 'both mounts show the same'
same "$(stat -c %u "$SRV/g/u9")" 1234
ok 'changes at once'

hold
chmod 755 "$MNT/g" &
first=$!
sleep 0.2
umount -l "$SRV"
wait "$first" || fail 'the change was refused when the serving mount was taken away'
same "$(stat -c %a "$MNT/g/u9")" 755
echo 77 > "$MNT/g/u9/n"
same "$(cat "$MNT/g/u9/n")" 77
ok 'the serving mount taken away meanwhile'
