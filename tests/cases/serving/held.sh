#!/bin/bash
# SPDX-License-Identifier: MIT
# An open descriptor and a mapping of the serving mount go on showing the version that was opened, whole, however often the name changes; opened
# anew, the name shows the newest. A directory that is held open leads to the newest values.
# claims: S4
. "$TESTS/lib.sh"

SRV=$DIR/srv
mkdir "$SRV"
start_daemon -o serve="$SRV"
printf '[feature s]\ntype = string\n[feature n]\ntype = int64\n' | define g
mkdir "$MNT/g/u1"
/usr/bin/python3 - "$MNT/g/u1" "$SRV/g/u1" << 'END'
import mmap, os, sys
edit, srv = sys.argv[1:]
def put(name, text):
    with open(edit + "/" + name, "w") as f:
        f.write(text)
old = "o" * 9000
put("s", old)
fd = os.open(srv + "/s", os.O_RDONLY)
assert os.read(fd, 100) == b"o" * 100
held = mmap.mmap(os.open(srv + "/s", os.O_RDONLY), 9001, prot=mmap.PROT_READ)
dirfd = os.open(srv, os.O_RDONLY | os.O_DIRECTORY)
os.chdir(srv)
for i in range(50):
    put("s", "n" * (i + 1))
    assert open(srv + "/s").read() == "n" * (i + 1) + "\n"
    assert open("s").read() == "n" * (i + 1) + "\n"
    assert os.fstat(fd).st_size == 9001 and os.stat(srv + "/s").st_size == i + 2
    with open(os.open("s", os.O_RDONLY, dir_fd=dirfd)) as f:
        assert f.read() == "n" * (i + 1) + "\n"
assert os.pread(fd, 20000, 0) == (old + "\n").encode()
assert held[:] == (old + "\n").encode()
os.unlink(edit + "/s")
assert os.pread(fd, 20000, 0) == (old + "\n").encode()
for path in ("s", srv + "/s"):
    try:
        open(path)
        sys.exit("a removed value was opened")
    except FileNotFoundError:
        pass
put("s", "again")
assert open("s").read() == "again\n" and os.pread(fd, 5, 8990) == b"ooooo"
# An entity that goes while somebody stands in it, and comes again.
os.unlink(edit + "/s")
os.rmdir(edit)
for path in ("s", srv + "/s", srv):
    try:
        os.stat(path)
        sys.exit(path + " is still there")
    except FileNotFoundError:
        pass
os.mkdir(edit)
put("s", "new")
assert open(srv + "/s").read() == "new\n"
os.chdir("/")
print("ok")
END
ok 'descriptors, mappings, directories'
