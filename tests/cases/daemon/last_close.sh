#!/bin/bash
# SPDX-License-Identifier: MIT
# A file that is closed behind the unmounting is closed like any other: the kernel drops the RELEASE that its daemon has not read by then, and neither
# what a close has promised nor the daemon's clean end may hang on that.
# claims: W3 D2
. "$TESTS/lib.sh"

SRV=$DIR/srv
mkdir "$SRV"
start_daemon -o serve="$SRV"
printf '[feature s]\ntype = string\n' | define g
mkdir "$MNT/g/u1"
cat > "$DIR/behind.py" << 'END'
import ctypes, os, sys

MNT_DETACH = 2
mount, srv, turn = sys.argv[1:]
libc = ctypes.CDLL(None, use_errno=True)

def detach(path):
    if libc.umount2(path.encode(), MNT_DETACH):
        sys.exit(f"{path}: {os.strerror(ctypes.get_errno())}")

served = [os.open(f"{srv}/g", os.O_RDONLY), os.open(f"{srv}/g/u1/s", os.O_RDONLY)]
shown = [os.open(f"{mount}/{name}", os.O_RDONLY) for name in ("g", "g/.schema", "g/u1/s", "g/u1/.row", ".featurefs/status")]
emptied = os.open(f"{mount}/g/u1/s", os.O_WRONLY | os.O_TRUNC)
dropped = os.open(f"{mount}/g/.import/{turn}.csv", os.O_WRONLY | os.O_CREAT, 0o644)
os.write(dropped, f"entity,s\nd{turn},{turn}\n".encode())
detach(srv)
for fd in served:
    os.close(fd)
detach(mount)
for fd in shown + [dropped, emptied]:
    os.close(fd)
END
for turn in 1 2 3 4; do
	echo full > "$MNT/g/u1/s"
	python3 "$DIR/behind.py" "$MNT" "$SRV" "$turn"
	daemon_ended
	start_daemon -o serve="$SRV"
	same "$(cat "$MNT/g/u1/s")" '' "what stands behind the close in turn $turn"
	eventually 5 grep -qsx "$turn" "$MNT/g/d$turn/s"
done
ok 'four turns'
stop_daemon
