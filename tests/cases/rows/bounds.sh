#!/bin/bash
# SPDX-License-Identifier: MIT
# How large a row and an .upsert may be; past it EFBIG, early, and the reason says where larger loads go.
# claims: R6 V11 V13
. "$TESTS/lib.sh"
. "$TESTS/helpers/fsop.sh"

start_daemon
for i in 1 2 3 4 5 6; do printf '[feature s%d]\ntype = string\n' $i; done | define g
mkdir "$MNT/g/u1"

# rows COUNT BYTES: that many lines, each with a string of that length.
rows() {
	/usr/bin/python3 -c 'import sys
n, size = int(sys.argv[1]), int(sys.argv[2])
for i in range(n):
    print("{\"entity\": \"e%d\", \"features\": {\"s1\": \"%s\"}}" % (i, "x" * size))' "$1" "$2"
}
rows 15 1040000 > "$DIR/large"
cat "$DIR/large" > "$MNT/g/.upsert"
same "$(ls "$MNT/g" | wc -l)" 16
same "$(stat -c %s "$MNT/g/e14/s1")" 1040001
sed 's/"e/"f/' "$DIR/large" > "$DIR/larger"
rows 3 1040000 >> "$DIR/larger"
expect_fail EFBIG cp "$DIR/larger" "$MNT/g/.upsert"
last_error g '\.import'
same "$(ls "$MNT/g" | grep -c '^f' || true)" 0
matches "$(fsop put "$MNT/g/.upsert" rep:\ :17000000 || true)" '^write: EFBIG$'
rows 20000 10 > "$DIR/many"
cat "$DIR/many" > "$MNT/g/.upsert"
same "$(ls "$MNT/g" | wc -l)" 20001
ok .upsert

/usr/bin/python3 - "$MNT/g/u1/.row" << 'END'
import errno, json, sys
big = "y" * 1048000
def put(names, size=1048000):
    with open(sys.argv[1], "w") as f:
        f.write(json.dumps({"features": {n: "y" * size for n in names}}))
put(["s1", "s2", "s3"])
assert json.load(open(sys.argv[1]))["features"]["s3"] == big
for names, size in ((["s1", "s2", "s3", "s4", "s5"], 1048000), (["s1"], 1048577)):
    try:
        put(names, size)
        raise SystemExit("should be EFBIG: %d features of %d" % (len(names), size))
    except OSError as e:
        assert e.errno == errno.EFBIG, e
assert sorted(json.load(open(sys.argv[1]))["features"]) == ["s1", "s2", "s3"]
END
head -c 1048000 /dev/zero | tr '\0' z > "$DIR/z"
cp "$DIR/z" "$MNT/g/u1/s4" 2> /dev/null || true
cp "$DIR/z" "$MNT/g/u1/s5" 2> "$DIR/said" || true
cp "$DIR/z" "$MNT/g/u1/s6" 2>> "$DIR/said" || true
grep -q 'File too large' "$DIR/said" || fail "a row grew past 4 MiB value by value: $(cat "$DIR/said")"
same "$(jq -r .entity "$MNT/g/u1/.row")" u1 "what stands can be read"
gives ok put "$MNT/g/u1/s1" $'short\n'
ok .row
