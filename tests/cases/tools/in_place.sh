#!/bin/bash
# SPDX-License-Identifier: MIT
# Tools that change a file where it stands: sed -i, truncate, touch, ed, vi, python; what they keep for a moment
# is never in a listing.
# claims: W5 W9 N6 T2 T7
. "$TESTS/lib.sh"
. "$TESTS/helpers/fsop.sh"
need ed vim.tiny

start_daemon
define g <<'END'
[feature n]
type = int64
[feature s]
type = string
END
e=$MNT/g/u1
mkdir "$e"

echo 13 > "$e/n"
sed -i 's/3/4/' "$e/n"
same "$(cat "$e/n")" 14
same "$(ls -A "$e")" n
expect_fail EPERM sed -i.bak 's/4/5/' "$e/n"
same "$(cat "$e/n")" 14 "n.bak is not declared"
same "$(ls -A "$e")" n
ok sed

printf 'one\ntwo\nthree\n' > "$e/s"
printf '%s\n' '2s/two/zwei/' w q | ed -s "$e/s"
same "$(cat "$e/s")" $'one\nzwei\nthree'
vim.tiny -u NONE -i NONE -es -c '3s/three/drei/' -c wq "$e/s"
same "$(cat "$e/s")" $'one\nzwei\ndrei'
vim.tiny -u NONE -i NONE -N -es -c 'set swapfile writebackup backup backupskip=' -c '1s/one/eins/' -c wq "$e/s"
same "$(cat "$e/s")" $'eins\nzwei\ndrei' 'vi with a backup'
vim.tiny -u NONE -i NONE -N -es -c 'set swapfile writebackup backup backupcopy=yes backupskip=' -c '1s/eins/uno/' -c wq "$e/s"
same "$(head -n 1 "$e/s")" uno 'vi with a copied backup'
vim.tiny -u NONE -i NONE -es -c '%s/.*/42/' -c wq "$e/n"
same "$(cat "$e/n")" 42
same "$(ls "$e" | grep -vc '^[ns]$' || true)" 0 "nothing but features is listed"
ok editors

printf '12345\n' > "$e/n"
truncate -s 3 "$e/n"
same "$(cat "$e/n")" 123
gives 'truncate: EINVAL' truncate "$e/n" 10
truncate -s 0 "$e/n"
same "$(stat -c %s "$e/n")" 0
echo 5 > "$e/n"
touch -d '2026-05-06 07:08:09.5Z' "$e/n"
same "$(stat -c %y "$e/n")" '2026-05-06 07:08:09.500000000 +0000'
same "$(cat "$e/n")" 5
touch "$e/n"
same "$(($(date +%s) - $(seconds_of "$e/n") < 60))" 1 "touch is now"
touch -r /etc/passwd "$e/n"
same "$(stat -c %Y "$e/n")" "$(stat -c %Y /etc/passwd)"
ok truncate and touch

/usr/bin/python3 - "$e" << 'END'
import mmap, os, sys
n, s = sys.argv[1] + "/n", sys.argv[1] + "/s"
with open(n, "w") as f:
    f.write("6\n")
assert open(n).read() == "6\n"
with open(n, "r+") as f:
    assert f.read() == "6\n"
    f.seek(0)
    f.write("78\n")
assert open(n).read() == "78\n"
with open(s, "w") as f:
    for i in range(1000):
        f.write("line %d\n" % i)
    f.flush()
    assert open(s).read().startswith("uno"), "not before the close"
with open(s, "a") as f:
    f.write("last")
assert open(s).read().endswith("line 999\nlast\n")
with open(s, "rb") as f, mmap.mmap(f.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ) as m:
    assert m[:7] == b"line 0\n" and m[-5:] == b"last\n"
fd = os.open(n, os.O_RDWR)
os.ftruncate(fd, 0)
os.pwrite(fd, b"9\n", 0)
os.fsync(fd)
os.close(fd)
assert open(n).read() == "9\n"
os.replace(n, sys.argv[1] + "/.n.tmp")
os.replace(sys.argv[1] + "/.n.tmp", n)
assert open(n).read() == "9\n"
try:
    open(n, "x")
    raise SystemExit("open x")
except FileExistsError:
    pass
END
gives 'mmap: ENODEV' map shared "$e/n"
gives 9 map private "$e/n"
gives 9 sendfile "$e/n"
ok python
