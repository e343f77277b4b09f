#!/bin/bash
# SPDX-License-Identifier: MIT
# A process removes a value that it has open for writing, and writes it anew by name: the new one stays, and what is still written to the old
# one goes nowhere.
# claims: W8
. "$TESTS/lib.sh"

start_daemon
printf '[feature n]\ntype = int64\n' | define g
mkdir "$MNT/g/u1"
/usr/bin/python3 - "$MNT/g/u1/n" << 'END'
import os, sys
path = sys.argv[1]
for standing in (True, False):
    if standing:
        with open(path, "w") as f:
            f.write("1")
    old = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.write(old, b"2")
    if standing:
        os.unlink(path)
        new = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.write(new, b"3")
        os.close(new)
        assert open(path).read() == "3\n", "the new file's write is lost"
        os.close(old)
        assert open(path).read() == "3\n", "the old file's write came through"
        os.unlink(path)
    else:
        os.close(old)
        assert open(path).read() == "2\n"
END
ok 'removed while it is open'
