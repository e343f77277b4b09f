#!/bin/bash
# SPDX-License-Identifier: MIT
# A daemon's life: in the background it returns when the mount answers; umount, fusermount3 -u and signals end it cleanly; a second one is
# refused; a dead mount is recognised; everything is there again at each start.
# claims: D1 D2 D3 D4 P3
. "$TESTS/lib.sh"
. "$TESTS/helpers/fsop.sh"
need fusermount3

absent "$STORE"
start_daemon
same "$(stat -c %a "$STORE")" 700
define g <<'END'
[feature n]
type = int64
END
mkdir "$MNT/g/u1"
check() {
	same "$(cat "$MNT/g/u1/n")" "$1"
	echo $(($1 + 1)) > "$MNT/g/u1/n"
}
echo 1 > "$MNT/g/u1/n"
check 1
stop_daemon
same "$(ls -A "$MNT")" ''
start_daemon
check 2
fusermount3 -u "$MNT"
daemon_ended
start_daemon
check 3
term_daemon TERM
start_daemon
check 4
term_daemon INT
start_daemon
check 5
ok ends cleanly in each way

# In the background: when the command returns the mount answers, and its exit status is the truth.
stop_daemon
for _ in 1 2 3; do
	featurefs "$STORE" "$MNT"
	is_mounted "$MNT" || fail "returned before it was mounted"
	same "$(cat "$MNT/g/u1/n")" 6
	pid=$(sed -n 's/^pid: //p' "$MNT/.featurefs/status")
	echo "$pid" >> "$DIR/pids"
	umount "$MNT"
	eventually 10 is_gone "$pid"
done
ok in the background

start_daemon
mkdir "$DIR/mnt2"
first=$MNT
MNT=$DIR/mnt2
refuse_daemon 1 'pid|use|another'
! is_mounted "$DIR/mnt2" || fail "the second daemon left a mount"
MNT=$first
check 6
expect_fail ANY bash -c 'cd "$1"; umount "$1"' - "$MNT"
check 7
ok a second daemon is refused

crash_daemon
# The kernel may know the root's attributes for another tick.
eventually 5 bash -c '! stat "$1" > /dev/null 2>&1' - "$MNT"
expect_fail ENOTCONN stat "$MNT"
mkdir -p "$DIR/other"
said=$(featurefs "$DIR/store2" "$MNT" -f 2>&1) && fail "mounted over a dead mount"
matches "$said" 'umount|fusermount3'
matches "$said" "$MNT"
clear_mount
start_daemon
check 8
recrash
check 9
ok a dead mount is recognised

stop_daemon
rmdir "$MNT"
said=$(featurefs "$STORE" "$MNT" -f 2>&1) && fail "mounted on nothing"
matches "$said" "$MNT"
touch "$DIR/file"
said=$(featurefs "$DIR/file" "$DIR/other" -f 2>&1) && fail "a file is no store"
matches "$said" "$DIR/file"
mkdir "$DIR/strange"
echo hello > "$DIR/strange/data.mdb"
said=$(featurefs "$DIR/strange" "$DIR/other" -f 2>&1) && fail "that was no store"
matches "$said" strange
same "$(cat "$DIR/strange/data.mdb")" hello "it was left alone"
start_daemon
check 10
ok what is no store
