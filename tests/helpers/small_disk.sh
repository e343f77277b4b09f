# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# A small disk with STORE on it, which is taken away with the case. To be read after lib.sh.

small_disk_end() {
	local rc=$?

	trap - EXIT
	[[ -z $daemon_pid ]] || kill -KILL "$daemon_pid" 2> /dev/null || true
	umount -l "$MNT" 2> /dev/null || true
	umount "$DIR/small" 2> /dev/null || umount -l "$DIR/small" || true
	exit $rc
}

# small_disk SIZE: before the daemon starts.
small_disk() {
	need mkfs.ext4
	truncate -s "$1" "$DIR/disk"
	mkfs.ext4 -q -m 0 "$DIR/disk"
	mkdir "$DIR/small"
	mount -o loop "$DIR/disk" "$DIR/small" 2> "$DIR/said" || skip "no loop device: $(cat "$DIR/said")"
	# shellcheck disable=SC2034
	STORE=$DIR/small/store
	trap small_disk_end EXIT
}
