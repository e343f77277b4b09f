#!/bin/bash
# SPDX-License-Identifier: MIT
# The serving mount by option, by configuration file, by mount(8); what is refused; unmounted by itself the daemon goes on.
# claims: S1
. "$TESTS/lib.sh"

SRV=$DIR/srv
refuse_daemon 2 'needs a value' -o serve
refuse_daemon 1 'must not lie within each other' -o serve="$MNT/inside"
refuse_daemon 1 'must not lie within each other' -o serve="$STORE"
refuse_daemon 1 "$SRV" -o serve="$SRV"
mkdir "$SRV"
printf '[serve]\nmountpoint = %s\nthreads = 2\n' "$SRV" > "$DIR/conf"
start_daemon -c "$DIR/conf"
is_mounted "$SRV" || fail 'not mounted by the file'
matches "$(cat "$SRV/.featurefs/config")" "mountpoint = $SRV"
matches "$(grep -F " $SRV " /proc/self/mounts)" ' fuse.featurefs-serving '
grep -F " $SRV " /proc/self/mounts | grep -q '\bro\b' || fail "$(grep -F " $SRV " /proc/self/mounts)"
refuse_twice() {
	STORE=$DIR/store2 MNT=$DIR/mnt2 refuse_daemon 1 'mounted at .* already' -o serve="$SRV"
}
refuse_twice
umount "$SRV"
mkdir "$MNT/g"
[[ -d $MNT/g ]] || fail 'the daemon should go on'
stop_daemon
start_daemon -o serve="$SRV"
[[ -d $SRV/g ]] || fail 'not there'
stop_daemon
! is_mounted "$SRV" || fail 'left behind'
ok 'mounted and unmounted'

# A store with both mounts is one store to featurectl and to the library, whichever of the two is named.
start_daemon -o serve="$SRV"
define h <<'END'
[feature n]
type = int64
END
featurectl put -m "$SRV" h u1 n=5
same "$(cat "$SRV/h/u1/n")" 5
same "$(featurectl get -m "$SRV" h u1 n)" 5
same "$(featurectl get -m "$MNT" h u1 n)" 5
same "$("$BIN/tests/helpers/sdkop" get "$SRV" h/n u1)" 'u1 5'
stop_daemon
ok 'one store by two names'
