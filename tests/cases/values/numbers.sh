#!/bin/bash
# SPDX-License-Identifier: MIT
# Bools, integers and floats through cat and write: canonical text, the edges of each range, and the errno of what is no number.
# claims: V1 V2 V3 V13 V14
. "$TESTS/lib.sh"
. "$TESTS/helpers/fsop.sh"

start_daemon
define g <<'END'
[feature b]
type = bool
[feature i]
type = int32
[feature l]
type = int64
[feature f]
type = float32
[feature d]
type = float64
[feature n]
type = float64
nan = yes
END
e=$MNT/g/u1
mkdir "$e"

takes "$e/b" true true
takes "$e/b" 0 false
takes "$e/b" 1 true
takes "$e/b" false false
refuses EINVAL "$e/b" $'yes\n'
refuses EINVAL "$e/b" $'2\n'
same "$(cat "$e/b")" false
same "$(stat -c %s "$e/b")" 6

takes "$e/i" 2147483647 2147483647
takes "$e/i" -2147483648 -2147483648
refuses ERANGE "$e/i" $'2147483648\n'
refuses ERANGE "$e/i" $'-2147483649\n'
same "$(cat "$e/i")" -2147483648
takes "$e/l" 9223372036854775807 9223372036854775807
takes "$e/l" -9223372036854775808 -9223372036854775808
refuses ERANGE "$e/l" $'9223372036854775808\n'
refuses ERANGE "$e/l" $'99999999999999999999999999999999\n'
for text in five 1.0 0x10 '1 2' ' 7' 1e3 '--1' '1,000'; do
	refuses EINVAL "$e/l" "$text"$'\n'
done
same "$(cat "$e/l")" -9223372036854775808
ok integers

takes "$e/f" 0.1 0.1
takes "$e/f" 16777217 16777216
takes "$e/d" 0.1 0.1
takes "$e/d" -0 -0
refuses ERANGE "$e/f" $'1e39\n'
refuses ERANGE "$e/d" $'1e309\n'
for text in nan inf -inf NaN Infinity; do
	refuses EINVAL "$e/d" "$text"$'\n'
done
refuses EINVAL "$e/d" $'1.2.3\n'
same "$(cat "$e/d")" -0
takes "$e/n" nan nan
takes "$e/n" inf inf
takes "$e/n" -Infinity -inf
takes "$e/n" 1.5 1.5
ok floats at their edges

# Every text reads back to the same bits, and no shorter one would.
/usr/bin/python3 - "$e" << 'END'
import os, random, struct, sys
random.seed(7)
def check(name, code, bits):
    value, = struct.unpack("<" + code, bits)
    if value != value or value in (float("inf"), float("-inf")):
        return
    with open(sys.argv[1] + "/" + name + ".bin", "wb") as f:
        f.write(bits)
    text = open(sys.argv[1] + "/" + name).read().strip()
    assert struct.pack("<" + code, float(text)) == bits, (text, bits)
    digits = lambda t: len(t.lower().split("e")[0].replace("-", "").replace(".", "").strip("0"))
    shortest = next(p for p in range(1, 18) if struct.pack("<" + code, float("%.*e" % (p - 1, value))) == bits)
    assert digits(text) <= shortest, (text, shortest)
    with open(sys.argv[1] + "/" + name, "w") as f:
        f.write(text + "\n")
    assert open(sys.argv[1] + "/" + name + ".bin", "rb").read() == bits, text
for _ in range(150):
    check("f", "f", random.randbytes(4))
    check("d", "d", random.randbytes(8))
for value in (5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, 1 / 3, 1e23, 9007199254740993.0, 123456789.0, 1e-7, 100.0):
    check("d", "d", struct.pack("<d", value))
END
ok shortest texts of random floats
