#!/bin/bash
# SPDX-License-Identifier: MIT
# Input made to hurt: deep JSON, endless numbers, broken escapes, long lines, NULs, attributes and names of odd bytes. Each is refused with
# an errno (or taken, where it is fine), the daemon stays up, and what stood stands.
# claims: B2 V11 V13 N3
# limit: 90
. "$TESTS/lib.sh"
. "$TESTS/helpers/fsop.sh"

start_daemon
define g <<'END'
[feature j]
type = json
[feature n]
type = int64
[feature d]
type = float64
[feature s]
type = string
[feature a]
type = string[]
[feature t]
type = timestamp
END
e=$MNT/g/u1
mkdir "$e"
echo 1 > "$e/n"
/usr/bin/python3 - "$MNT/g" << 'END'
import errno, os, random, sys
root = sys.argv[1]
fine, refused = 0, {}
allowed = {errno.EINVAL, errno.ERANGE, errno.EILSEQ, errno.EFBIG, errno.EPERM, errno.ENAMETOOLONG, errno.ESTALE, errno.E2BIG, errno.ENOTSUP, errno.ENOENT,
           errno.ENOTDIR, errno.EEXIST, errno.ENODATA, errno.ENOTEMPTY, errno.EACCES, errno.EXDEV, errno.EISDIR, errno.ENOSPC}
def attempt(call):
    global fine
    try:
        call()
        fine += 1
    except OSError as e:
        assert e.errno in allowed, e
        refused[e.errno] = refused.get(e.errno, 0) + 1
def put(path, data):
    def call():
        fd = os.open(os.path.join(root, path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            os.write(fd, data)
        finally:
            os.close(fd)
    attempt(call)
deep = [b"[" * 100000, b"[" * 100000 + b"]" * 100000, b'{"a":' * 100000 + b"1" + b"}" * 100000, b"[" * 500000 + b"]" * 500000]
odd = deep + [b"1" * 100000, b"1e" + b"9" * 5000, b"-" * 1000, b"0." + b"0" * 50000 + b"1", b'"\\ud800"', b'"\\u12"', b'"\\x41"', b'"' + b"\\u0000" * 1000 + b'"',
    b"\0" * 1000, b"\xff\xfe\x00", b'{"a":1,"a":2}', b"[1,]", b"nan", b"NaN", b"Infinity", b"\xef\xbb\xbf1", b"\r\n", b" " * 100000, b"9" * 400 + b".0",
    b"0x1p3", b"1_000", b"2026-11-23T04:00:00" + b"0" * 1000 + b"Z", b"9999999999999999999", b"-9223372036854775809", b"9999-12-31T23:59:59Z", b"true" * 9]
for name in ("j", "n", "d", "s", "a", "t"):
    for data in odd:
        put("u1/" + name, data)
        put("u1/" + name + ".bin", data)
for data in odd:
    put("u1/.row", data)
    put("u1/.row", b'{"features": {"j": ' + data + b"}}")
    put("u1/.row", b'{"features": {"n": ' + data + b"}}")
    put("u1/.row", b'{"features": ' + data + b"}")
    put("u1/.row", b'{"delete": ' + data + b"}")
    put("u1/.row", b'{"event_time": ' + data + b', "features": {"d": 1}}')
    put(".upsert", b'{"entity": ' + data + b', "features": {"n": 5}}')
    put(".upsert", data + b"\n" + data)
    put(".upsert", b'{"entity": "' + data[:300] + b'", "features": {"n": 5}}')
    put(".schema", data)
    put(".schema", b"[feature x]\ntype = " + data)
    put(".schema", b"[group]\nttl = " + data[:9000])
ini = [b"[" + b"x" * 100000, b"a" * 100000 + b" = b", b"[group]\n" + b"k" * 9000 + b" = v\n", b"[feature " + b"f" * 9000 + b"]\ntype = int64\n",
       b"[feature x]\ntype = float32[99999999999999]\n", b"[feature x]\ntype = float32[-1]\n", b"[feature x]\ntype = float32[0]\n",
       b"[feature x]\n" * 5000, b"\n".join(b"[feature f%d]\ntype = int64" % i for i in range(70000)), b"[group]\nentity = " + b",".join(b"k%d" % i for i in range(500)),
       b"[feature x]\ntype = string\nenum = " + b",".join(b"v%d" % i for i in range(5000)), b"[group]\n  continued\n", b"=\n=\n=", b"\0\0\0\0", b"]" * 9999, b"[]\n",
       b"[feature x]\nmin = 1\ntype = string\n", b"x" * (2 << 20)]
for data in ini:
    put(".schema", data)
for name in (b"\xff", b"\x01", b"a\xc3", b"." * 3, b".." + b"x", b"%" * 200, b"." + b"x" * 254, b"a" * 255, b"\xed\xa0\x80", b"x" * 1000):
    path = os.fsencode(root) + b"/" + name
    attempt(lambda: os.mkdir(path))
    attempt(lambda: os.stat(path))
    attempt(lambda: os.rename(os.fsencode(root) + b"/u1", path + b"/x"))
    attempt(lambda: os.close(os.open(os.fsencode(root) + b"/u1/" + name, os.O_CREAT | os.O_WRONLY)))
    attempt(lambda: os.rmdir(path))
for size in (0, 1, 200, 65536):
    for name in ("user.tier", "user.ttl", "user.owner", "user.entity", "user.tags", "user.x" + "y" * 240):
        attempt(lambda: os.setxattr(root, name, b"\xff" * size))
        attempt(lambda: os.setxattr(root, name, b"a,\n[feature z]\n" * (size // 20)))
random.seed(5)
base = b'{"entity": "u1", "event_time": "2026-05-01T00:00:00Z", "features": {"n": 3, "d": 0.5, "s": "\\u00e9x", "a": ["p", "q"], "j": {"k": [null]}}, "delete": []}'
for _ in range(400):
    data = bytearray(base)
    for _ in range(random.randint(1, 4)):
        data[random.randrange(len(data))] = random.randrange(256)
    put(".upsert", bytes(data[:random.randint(1, len(data))] if random.random() < 0.3 else data))
assert set(refused) & {errno.EINVAL} and set(refused) & {errno.EILSEQ} and set(refused) & {errno.EFBIG}, refused
print("taken %d, refused %s" % (fine, {errno.errorcode[k]: v for k, v in refused.items()}))
END
kill -0 "$daemon_pid"
ls "$MNT/g" > /dev/null
jq -e .entity "$e/.row" > /dev/null
same "$(find "$MNT/g" -type f -exec cat {} + > /dev/null && echo readable)" readable
iconv -f utf-8 -t utf-8 "$MNT/g/.errors" > /dev/null
same "$(tr -d '\n\11\40-\176\200-\377' < "$MNT/g/.errors" | wc -c)" 0 "no control bytes in .errors"
echo 2 > "$e/n"
remount
same "$(cat "$e/n")" 2
ok hostile input
