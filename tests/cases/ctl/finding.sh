#!/bin/bash
# SPDX-License-Identifier: MIT
# How featurectl finds the mount: -m, the environment, the only one there is; what it says if there is none, if there are several, and if the
# mount is dead; and its help and exit codes.
. "$TESTS/lib.sh"
need unshare

# exits STATUS COMMAND...: runs it, keeps what it says, and checks the exit status.
exits() {
	local status=$1 rc=0

	shift
	"$@" > "$DIR/out" 2> "$DIR/err" || rc=$?
	same "$rc" "$status" "$* said: $(cat "$DIR/out" "$DIR/err")"
}

# alone COMMAND...: where no mount is seen but those of this case, for others may be at work on this machine.
alone() {
	unshare -m bash -c '
		awk -v dir="$1/" "\$3 ~ \"^fuse[.]featurefs\" && index(\$2, dir) != 1 { print \$2 }" /proc/self/mounts |
			while read -r point; do umount -l "$point"; done
		shift
		exec "$@"' - "$DIR" "$@"
}

exits 1 alone featurectl status
same "$(cat "$DIR/err")" "featurectl status: nothing is mounted; see featurefs(8)"
MNT=$DIR/one
start_daemon
define g <<'END'
[feature n]
type = int64
END
exits 0 alone featurectl status
matches "$(cat "$DIR/out")" "mount +$DIR/one"
exits 0 alone featurectl dump g
exits 0 featurectl -m "$MNT" status
exits 0 featurectl status -m "$MNT/../one"
exits 0 env FEATUREFS_MOUNT="$MNT" featurectl status
exits 1 env FEATUREFS_MOUNT="$DIR" featurectl status
matches "$(cat "$DIR/err")" "is not the root of a mounted feature store"
exits 1 featurectl -m "$DIR/nothing" status
exits 1 featurectl -m "$MNT/g" status
exits 0 env FEATUREFS_MOUNT="$DIR" featurectl -m "$MNT" status
ok one mount

first=$daemon_pid
STORE=$DIR/store2 MNT="$DIR/two"
start_daemon
exits 2 alone featurectl status
matches "$(cat "$DIR/err")" "choose one with -m: $DIR/one, $DIR/two"
exits 0 alone featurectl -m "$MNT" status
matches "$(cat "$DIR/out")" "mount +$DIR/two"
stop_daemon
daemon_pid=$first STORE=$DIR/store MNT=$DIR/one
exits 0 alone featurectl status
ok several mounts

crash_daemon
exits 3 featurectl -m "$MNT" status
matches "$(cat "$DIR/err")" "the daemon of this mount has died: unmount it"
exits 3 alone featurectl status
clear_mount
ok a dead mount

exits 0 featurectl --help
mapfile -t commands < <(sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p' "$DIR/out")
# As many as the manual page explains, and never fewer than there were.
mapfile -t explained < <(awk '/^\.SH/ { inside = $2 == "COMMANDS" } inside && after && $1 ~ /^\.BR?$/ { print $2 } { after = /^\.TP/ }' \
	"$TESTS/../etc/man/featurectl.1" | sort -u)
same "$(printf '%s\n' "${commands[@]}" | sort)" "$(printf '%s\n' "${explained[@]}")" 'commands and their manual page'
((${#commands[@]} >= 11)) || fail "only ${#commands[@]} commands: ${commands[*]}"
for command in "${commands[@]}"; do
	exits 0 featurectl "$command" --help
	matches "$(cat "$DIR/out")" "^Usage: featurectl $command"
	matches "$(cat "$DIR/out")" "Example:"
	exits 2 featurectl "$command" --no-such-option
	matches "$(cat "$DIR/err")" "^featurectl $command: .*--no-such-option"
done
exits 2 featurectl
exits 2 featurectl no-such-command
matches "$(cat "$DIR/err")" "no command no-such-command"
exits 2 featurectl --no-such-option status
exits 2 featurectl -s "$DIR/store" status
exits 0 featurectl --version
matches "$(cat "$DIR/out")" "^featurectl [0-9]"
ok help and exit codes
