#!/bin/bash
# SPDX-License-Identifier: MIT
# Asked for io_uring where it cannot be had, the daemon says why and mounts nothing.
. "$TESTS/lib.sh"

SRV=$DIR/srv
mkdir "$SRV"
setting=/sys/module/fuse/parameters/enable_uring
unset SERVE_IO_URING
start_daemon -o serve="$SRV",serve.io_uring=no
matches "$(cat "$SRV/.featurefs/config")" 'io_uring = no'
stop_daemon
featurefs "$STORE" "$MNT" -f -o serve="$SRV",serve.io_uring=yes > "$DIR/said" 2>&1 &
daemon_pid=$!
is_decided() {
	is_mounted "$MNT" || is_gone "$daemon_pid"
}
eventually 20 is_decided
! is_mounted "$MNT" || skip 'all that io_uring needs is here, so nothing is refused'
rc=0
wait "$daemon_pid" || rc=$?
daemon_pid=
same "$rc" 1 "it said: $(cat "$DIR/said")"
if ! grep -q 'built without it' "$DIR/said"; then
	if [[ ! -e $setting ]]; then
		grep -q 'has no FUSE over io_uring' "$DIR/said" || fail "it said: $(cat "$DIR/said")"
	elif [[ $(cat "$setting") == N ]]; then
		grep -q "echo Y > $setting" "$DIR/said" || fail "it said: $(cat "$DIR/said")"
	else
		grep -q 'may not use io_uring' "$DIR/said" || fail "it said: $(cat "$DIR/said")"
	fi
fi
! is_mounted "$MNT" && ! is_mounted "$SRV" || fail 'something is mounted'
ok "$(cat "$DIR/said")"
start_daemon -o serve="$SRV"
[[ -d $SRV/.featurefs ]] || fail 'not mounted'
ok 'and goes on without it'
