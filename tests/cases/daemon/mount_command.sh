#!/bin/bash
# SPDX-License-Identifier: MIT
# mount(8) and fstab know the file system by its name once it is installed; here a link stands for that, for as long as the case runs.
# claims: D6 D1 D2
. "$TESTS/lib.sh"
. "$TESTS/helpers/fsop.sh"
need mount.fuse3 mount umount

# mount.fuse3 looks for the program in the system's own directories only, whatever PATH says.
type="fuse.featurefs"
if ! command -v -p featurefs > /dev/null && [[ -w /usr/local/bin && ! -e /usr/local/bin/featurefs ]]; then
	ln -sf "$BIN/featurefs" /usr/local/bin/featurefs
	trap 'rc=$?; set +e; trap - ERR; rm -f /usr/local/bin/featurefs; (exit $rc); case_end' EXIT
elif [[ $(readlink -f /usr/local/bin/featurefs) != $(readlink -f "$BIN/featurefs") ]]; then
	skip "another featurefs is installed"
fi
mkdir "$MNT"
ended() {
	local pid=$1

	umount "$MNT"
	eventually 10 is_gone "$pid"
}
pid_of() {
	sed -n 's/^pid: //p' "$MNT/.featurefs/status"
}
mount -t $type "$STORE" "$MNT"
pid=$(pid_of)
define g <<'END'
[feature n]
type = int64
END
mkdir "$MNT/g/u1"
echo 5 > "$MNT/g/u1/n"
ended "$pid"
mount -t $type -o ro,noatime,ingest.future=1h "$STORE" "$MNT"
pid=$(pid_of)
same "$(cat "$MNT/g/u1/n")" 5
expect_fail EROFS bash -c 'echo 6 > "$1"' - "$MNT/g/u1/n"
matches "$(grep " $MNT " /proc/mounts)" 'fuse\.featurefs ro'
ended "$pid"
expect_fail ANY mount -t $type -o colour=red "$STORE" "$MNT"
! is_mounted "$MNT" || fail "mounted with an unknown option"
ok mount -t

# An fstab of our own, with the options that people write there.
printf '%s %s %s %s 0 0\n' "$STORE" "$MNT" $type 'defaults,noauto,nofail,_netdev,x-systemd.automount,allow_other,nosuid' > "$DIR/fstab"
mount --fstab "$DIR/fstab" "$MNT"
pid=$(pid_of)
same "$(cat "$MNT/g/u1/n")" 5
echo 6 > "$MNT/g/u1/n"
ended "$pid"
mount --fstab "$DIR/fstab" "$STORE"
pid=$(pid_of)
same "$(cat "$MNT/g/u1/n")" 6
ended "$pid"
ok fstab
