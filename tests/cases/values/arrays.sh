#!/bin/bash
# SPDX-License-Identifier: MIT
# Arrays of every type, of any length and of a fixed one, as text, .bin and in rows.
# claims: V8 V10
. "$TESTS/lib.sh"
. "$TESTS/helpers/fsop.sh"

start_daemon
define g <<'END'
[feature bools]
type = bool[]
[feature ints]
type = int32[]
[feature longs]
type = int64[2]
[feature vec]
type = float32[3]
[feature reals]
type = float64[]
nan = yes
[feature words]
type = string[]
[feature blobs]
type = bytes[]
[feature docs]
type = json[]
[feature emb]
type = float32[384]
END
e=$MNT/g/u1
mkdir "$e"

takes "$e/bools" '[true, false,true]' '[true,false,true]'
takes "$e/ints" '[ 1, -2,3 ]' '[1,-2,3]'
takes "$e/ints" '[]' '[]'
takes "$e/longs" '[9223372036854775807,-9223372036854775808]' '[9223372036854775807,-9223372036854775808]'
takes "$e/vec" '[0.1, 1e-3, 7]' '[0.1,0.001,7]'
takes "$e/reals" '["NaN", "Infinity", "-Infinity", 0.5]' '["NaN","Infinity","-Infinity",0.5]'
takes "$e/words" '["a", "b,c", "\u00fc \"x\"", ""]' '["a","b,c","ü \"x\"",""]'
takes "$e/blobs" '["aGk=", ""]' '["aGk=",""]'
takes "$e/docs" '[{"a": 1}, [ ], "x"]' '[{"a":1},[],"x"]'

refuses EINVAL "$e/longs" $'[1]\n'
refuses EINVAL "$e/longs" $'[1,2,3]\n'
refuses EINVAL "$e/vec" $'[]\n'
refuses EINVAL "$e/ints" $'[1,null]\n'
refuses EINVAL "$e/ints" $'[1,"2"]\n'
refuses EINVAL "$e/ints" $'[[1]]\n'
refuses EINVAL "$e/ints" $'1\n'
refuses EINVAL "$e/ints" $'[1,2\n'
refuses ERANGE "$e/ints" $'[1,2147483648]\n'
refuses EINVAL "$e/vec" $'["NaN",1,2]\n'
refuses EINVAL "$e/blobs" $'["not base64"]\n'
last_error g 'uid 0 u1/blobs .*not base64'
same "$(cat "$e/longs")" '[9223372036854775807,-9223372036854775808]'
ok texts

same "$(od -An -tx1 "$e/bools.bin" | tr -d ' ')" 010001
gives ok put "$e/ints.bin" hex:ffffffff00010000
same "$(cat "$e/ints")" '[-1,256]'
same "$(od -An -tf4 -w12 "$e/vec.bin" | xargs)" '0.1 0.001 7'
refuses EINVAL "$e/vec.bin" hex:0000803f
refuses EINVAL "$e/ints.bin" hex:000102
/usr/bin/python3 - "$e" << 'END'
import json, struct, sys
e = sys.argv[1]
want = [i / 7 - 20 for i in range(384)]
open(e + "/emb.bin", "wb").write(struct.pack("<384f", *want))
rounded = list(struct.unpack("<384f", struct.pack("<384f", *want)))
text = json.loads(open(e + "/emb").read())
assert struct.pack("<384f", *text) == struct.pack("<384f", *rounded)
row = json.loads(open(e + "/.row").read())
assert row["features"]["emb"] == text
open(e + "/.row", "w").write(json.dumps({"features": {"emb": text[::-1]}}))
assert struct.unpack("<384f", open(e + "/emb.bin", "rb").read()) == tuple(rounded[::-1])
END
for name in words blobs docs; do
	matches "$(fsop read "$e/$name.bin" || true)" ': ENOTSUP$'
	refuses ENOTSUP "$e/$name.bin" hex:00
done
ok bytes
