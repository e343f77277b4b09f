#!/bin/bash
# SPDX-License-Identifier: MIT
# Whoever may not read a group may not read it on the serving mount either, from the moment chmod or chown has returned; not even who stands in
# one of its directories, holds one open, or has read its values before.
# claims: S7
. "$TESTS/lib.sh"

[[ $(id -u) == 0 ]] || skip 'only root can be two users'
SRV=$DIR/srv
mkdir "$SRV"
chmod 755 "$DIR" "$(dirname "$DIR")"
start_daemon -o allow_other,serve="$SRV"
printf '[feature n]\ntype = int64\n' | define g
chmod 755 "$MNT/g"
mkdir "$MNT/g/u1" "$MNT/g/u2"
echo 5 > "$MNT/g/u1/n"
same "$(as_user 1234 cat "$SRV/g/u1/n")" 5
chmod 700 "$MNT/g"
expect_fail EACCES as_user 1234 cat "$SRV/g/u1/n"
expect_fail EACCES as_user 1234 ls "$SRV/g"
expect_fail EACCES as_user 1234 cat "$SRV/g/.schema"
chmod 755 "$MNT/g"
same "$(as_user 1234 cat "$SRV/g/u1/n")" 5
chown 1234 "$MNT/g"
chmod 700 "$MNT/g"
same "$(as_user 1234 cat "$SRV/g/u1/n")" 5
expect_fail EACCES as_user 1235 cat "$SRV/g/u1/n"
chown 0 "$MNT/g"
expect_fail EACCES as_user 1234 cat "$SRV/g/u1/n"
ok 'by path'
chmod 755 "$MNT/g"
cat > "$DIR/stand.py" << 'END'
import os, sys
srv = sys.argv[1]
os.chdir(srv + "/g/u1")
dirfd = os.open(srv + "/g", os.O_RDONLY)
assert open("n").read() == "5\n"
print("ready", flush=True)
sys.stdin.readline()
def refused(call):
    try:
        call()
    except PermissionError:
        return
    sys.exit("that should be refused")
refused(lambda: open("n"))
refused(lambda: os.open("u1/n", os.O_RDONLY, dir_fd=dirfd))
refused(lambda: os.listdir("."))
print("ok", flush=True)
END
coproc stander { as_user 1234 /usr/bin/python3 "$DIR/stand.py" "$SRV" 2>&1; }
read -r line <&"${stander[0]}"
same "$line" ready
chmod 700 "$MNT/g"
echo go >&"${stander[1]}"
read -r line <&"${stander[0]}" || true
same "$line" ok 'who stands in the directory'
ok 'from inside'
