#!/bin/bash
# SPDX-License-Identifier: MIT
# Views on the serving mount: rows in both forms are right at once after a write, a change of the view or of its rights; and many rows by one ioctl on
# .lookup, each answer of one moment, in as many calls as they need.
# claims: S9 S10
. "$TESTS/lib.sh"

SRV=$DIR/srv
mkdir "$SRV"
chmod 755 "$DIR" "$(dirname "$DIR")"
start_daemon -o allow_other,serve="$SRV"
printf '[feature n]\ntype = int64\n[feature m]\ntype = float64\n' | define a
printf '[group]\nttl = 1h\n[feature vec]\ntype = float32[2]\n' | define b
mkdir "$MNT/.views/v"
printf '[view]\n[columns]\nn = a/n\nvec = b/vec\nm = a/m\n' > "$MNT/.views/v/.schema"
echo '{"entity": "u1", "features": {"n": 1, "m": 0.5}}' > "$MNT/a/.upsert"
view=$SRV/.views/v
floats() {
	od -An -v -tf4 "$view/f32/$1" | xargs
}
# both COMMAND...: the same in both mounts.
both() {
	same "$(cd "$SRV" && "$@" 2>&1 || true)" "$(cd "$MNT" && "$@" 2>&1 || true)" "$*"
}
look() {
	local name

	for name in .schema json/u1 f32/u1; do
		both od -c ".views/v/$name"
		both stat -c '%s %a %u %g %F' ".views/v/$name"
	done
	both stat -c '%Y %a %u %g %F' .views/v .views/v/json .views
	both ls -a .views .views/v .views/v/f32
	both getfattr -d .views/v
}

look
same "$(floats u1)" '1 nan nan 0.5'
echo 2 > "$MNT/a/u1/n"
same "$(floats u1)" '2 nan nan 0.5'
mkdir "$MNT/b/u1"
echo '[3,4]' > "$MNT/b/u1/vec"
look
same "$(floats u1)" '2 3 4 0.5'
same "$(jq -c .features "$view/json/u1")" '{"n":2,"vec":[3,4],"m":0.5}'
rm "$MNT/b/u1/vec"
same "$(jq -c .features "$view/json/u1")" '{"n":2,"m":0.5}'
absent "$view/json/u2" "$view/f32/u2" "$view/other" "$SRV/.views/w"
exec 7< "$view/json/u1"
echo 7 > "$MNT/a/u1/n"
same "$(jq -c .features.n <&7)" 2 'what was opened'
same "$(jq -c .features.n "$view/json/u1")" 7
exec 7<&-
expect_fail EROFS mkdir "$SRV/.views/w"
ok 'rows'

sed -i '/^vec/d' "$MNT/.views/v/.schema"
same "$(floats u1)" '7 0.5'
look
mv "$MNT/.views/v" "$MNT/.views/w"
absent "$view/json/u1" "$view"
view=$SRV/.views/w
same "$(floats u1)" '7 0.5'
mkdir "$MNT/.views/v"
both ls .views
rmdir "$MNT/.views/v"
absent "$SRV/.views/v"
mv "$MNT/.views/w" "$MNT/.views/v"
view=$SRV/.views/v
setfattr -n user.tier -v 2 "$MNT/.views/v"
look
ok 'the definition'

if [[ $(id -u) == 0 ]]; then
	other() {
		as_user 65534 "$@"
	}
	same "$(other jq -c .features.n "$view/json/u1")" 7
	chmod 750 "$MNT/a"
	expect_fail EACCES other cat "$view/json/u1"
	expect_fail EACCES other cat "$view/f32/.lookup"
	expect_fail EACCES other cat "$SRV/a/.lookup"
	same "$(jq -c .features.n "$view/json/u1")" 7
	chmod 755 "$MNT/a"
	same "$(other jq -c .features.n "$view/json/u1")" 7
	chmod 700 "$MNT/.views/v"
	expect_fail EACCES other cat "$view/json/u1"
	expect_fail EACCES other ls "$view"
	chmod 755 "$MNT/.views/v"
	same "$(other cat "$view/json/u1")" "$(cat "$view/json/u1")"
	ok 'rights'
fi

/usr/bin/python3 - "$MNT" "$SRV" <<'END'
import array, errno, fcntl, json, os, struct, sys, threading
mnt, srv = sys.argv[1:]
SIZE_MAX = 16380
def call_number(size):
    return 3 << 30 | size << 16 | ord("F") << 8 | 0x61
def ask(fd, names, size=SIZE_MAX):
    """The answer to one call: how many names it answers, and their bytes."""
    text = b"".join(n.encode() + b"\n" for n in names)
    arg = bytearray(struct.pack("II", len(text), 0) + text).ljust(size, b"\0")
    assert len(arg) == size, len(arg)
    fcntl.ioctl(fd, call_number(size), arg)
    n, used = struct.unpack_from("II", arg)
    return n, bytes(arg[8:8 + used])
def refused(want, *args):
    try:
        ask(*args)
    except OSError as e:
        assert e.errno == want, e
        return
    sys.exit("should be refused: %r" % (args,))
def put(k, n=2000):
    with open(mnt + "/a/.upsert", "w") as f:
        f.write("".join('{"entity": "u%d", "features": {"n": %d, "m": %d}}\n' % (i, k, k) for i in range(n)))
put(3)
rows = os.open(srv + "/a/.lookup", os.O_RDONLY)
lines = os.open(srv + "/.views/v/json/.lookup", os.O_RDONLY)
vectors = os.open(srv + "/.views/v/f32/.lookup", os.O_RDONLY)
assert os.read(rows, 100) == b""
n, answer = ask(rows, ["u1", "nobody", "u2"])
assert n == 3
assert [(r["entity"], r["features"] and r["features"]["n"]) for r in map(json.loads, answer.splitlines())] == \
    [("u1", 3), ("nobody", None), ("u2", 3)]
n, answer = ask(lines, ["u1", "nobody", "u2"])
assert n == 3 and [json.loads(l)["features"] for l in answer.splitlines()] == [{"n": 3, "m": 3}, None, {"n": 3, "m": 3}]
n, answer = ask(vectors, ["u1", "u2"], 64)
assert n == 2 and array.array("f", answer).tolist() == [3, 3, 3, 3]
n, answer = ask(vectors, ["u1", "nobody"])
assert n == 2 and str(array.array("f", answer).tolist()) == "[3.0, 3.0, nan, nan]"
names = ["u%d" % i for i in range(1500)]
n, answer = ask(vectors, names)
assert n == 1500 and len(answer) == n * 8
done, calls = 0, 0
while done < 700:
    n, answer = ask(rows, names[done:700])
    for i, line in enumerate(answer.splitlines()):
        assert json.loads(line)["entity"] == names[done + i]
    done += n
    calls += 1
assert calls > 1
n, answer = ask(rows, [])
assert (n, answer) == (0, b"")
refused(errno.EINVAL, rows, ["u1", "", "u2"])
refused(errno.EINVAL, rows, [".group"])
refused(errno.ERANGE, rows, ["u1"], 20)
for bad in (os.open(srv + "/a/u1/n", os.O_RDONLY), os.open(srv + "/a", os.O_RDONLY)):
    refused(errno.ENOTTY, bad, ["u1"])
try:
    fcntl.ioctl(rows, call_number(64), struct.pack("II", 1000, 0).ljust(64, b"x"))
    sys.exit("more names than bytes should be refused")
except OSError as e:
    assert e.errno == errno.EINVAL, e
stop = threading.Event()
rounds = [0]
def write():
    k = 10000
    while not stop.is_set():
        k += 1
        put(k, 1000)
        rounds[0] += 1
t = threading.Thread(target=write)
t.start()
seen = set()
try:
    while rounds[0] < 6 or len(seen) < 2:
        least = rounds[0] and rounds[0] + 10000
        n, answer = ask(vectors, names[:1000])
        versions = set(array.array("f", answer))
        assert n == 1000 and len(versions) == 1, versions
        seen |= versions
        assert versions.pop() >= least, "older than what was acknowledged"
finally:
    stop.set()
    t.join()
print("ok: %d versions seen, none mixed" % len(seen))
END
mkdir "$MNT/.views/text"
printf '[feature s]\ntype = string\n' >> "$MNT/a/.schema"
printf '[view]\n[columns]\ns = a/s\n' > "$MNT/.views/text/.schema"
expect_fail EINVAL cat "$SRV/.views/text/f32/u1"
grep -q 'column s is string' "$SRV/.views/text/.errors"
