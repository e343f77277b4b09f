#!/bin/bash
# SPDX-License-Identifier: MIT
# Two users: a group of mode 0750 can't be read by another uid through any door, one of mode 0755 can be read and not written, one that is
# theirs is theirs. Modes and owners are kept.
# claims: P1 P2 P3 C1
. "$TESTS/lib.sh"
. "$TESTS/helpers/fsop.sh"
need setpriv

chmod 755 "$DIR" "$(dirname "$DIR")"
start_daemon -o allow_other
for grp in secret open; do
	define $grp <<'END'
[feature n]
type = int64
[feature token]
type = string
END
	mkdir "$MNT/$grp/user77"
	echo 5 > "$MNT/$grp/user77/n"
	echo hunter2 > "$MNT/$grp/user77/token"
	fsop put "$MNT/$grp/user77/n" hunter3 > /dev/null || true
	setfattr -n user.note -v hunter4 "$MNT/$grp"
done
chmod 750 "$MNT/secret"
same "$(stat -c %a "$MNT/secret")" 750
other() {
	as_user 65534 "$@"
}
s=$MNT/secret
for path in user77/n user77/token user77/token.bin user77/.row .schema .stats .errors .upsert; do
	expect_fail EACCES other cat "$s/$path"
	expect_fail EACCES other stat "$s/$path"
	expect_fail EACCES other bash -c 'echo 1 > "$1"' - "$s/$path"
done
expect_fail EACCES other ls "$s"
expect_fail EACCES other ls "$s/user77"
expect_fail EACCES other stat "$s/user77"
expect_fail EACCES other mkdir "$s/new"
expect_fail EACCES other rm -r "$s/user77"
expect_fail EACCES other mv "$s/user77" "$s/user78"
expect_fail EACCES other getfattr -n user.type "$s/user77/n"
expect_fail ANY other setfattr -n user.owner -v me "$s"
expect_fail ANY other mv "$s" "$MNT/mine"
expect_fail ANY other chmod 777 "$s"
expect_fail ANY other chown 65534 "$s"
expect_fail ANY other rmdir "$s"
same "$(cat "$s/user77/n")" 5
for file in $(other find "$MNT/.featurefs" -type f); do
	other cat "$file" > "$DIR/seen" 2> /dev/null || continue
	same "$(grep -cE 'hunter|user77' "$DIR/seen" || true)" 0 "$file"
done
expect_fail ANY other ls "$STORE"
expect_fail ANY other cat "$STORE/data.mdb"
same "$(stat -c %a "$STORE")" 700
ok a closed group

o=$MNT/open
same "$(other cat "$o/user77/n")" 5
same "$(other jq -r .features.token "$o/user77/.row")" hunter2
other cat "$o/.schema" "$o/.stats" > /dev/null
for path in user77/n user77/.row .schema .upsert; do
	expect_fail EACCES other bash -c 'echo 1 > "$1"' - "$o/$path"
done
expect_fail EACCES other mkdir "$o/new"
expect_fail EACCES other rm "$o/user77/n"
expect_fail EACCES other bash -c 'echo 1 > "$1"' - "$o/user77/.scratch"
expect_fail ANY other touch -d 2026-01-01Z "$o/user77/n"
expect_fail ANY other truncate -s 0 "$o/user77/n"
expect_fail EACCES other mkdir "$MNT/theirs"
same "$(cat "$o/user77/n")" 5
ok an open group

mkdir "$MNT/theirs"
chown 65534:65534 "$MNT/theirs"
chmod 700 "$MNT/theirs"
other bash -c 'cat > "$1/.schema"; mkdir "$1/a"; echo 1 > "$1/a/n"; echo "{\"entity\": \"b\", \"features\": {\"n\": 2}}" > "$1/.upsert"' - "$MNT/theirs" \
	<<< $'[feature n]\ntype = int64'
same "$(other cat "$MNT/theirs/a/n" "$MNT/theirs/b/n" | xargs)" '1 2'
other setfattr -n user.owner -v them "$MNT/theirs"
other chmod 710 "$MNT/theirs"
chmod 1777 "$MNT"
other mkdir "$MNT/fresh"
same "$(stat -c %u "$MNT/fresh")" 65534
same "$(getfattr --only-values -n user.owner "$MNT/fresh")" "$(id -un 65534)"
chgrp 65534 "$s"
same "$(other cat "$s/user77/n")" 5 "the unix group may read now"
expect_fail EACCES other bash -c 'echo 1 > "$1"' - "$s/user77/n"
chgrp 0 "$s"
ok groups of their own

remount
same "$(stat -c '%a %u %g' "$MNT/secret" "$MNT/theirs" "$MNT/fresh" | xargs)" '750 0 0 710 65534 65534 755 65534 65534'
same "$(stat -c %a "$MNT")" 1777
expect_fail EACCES other cat "$MNT/secret/user77/n"
stop_daemon
same "$(stat -c %a "$STORE")" 700
start_daemon
expect_fail EACCES other ls "$MNT"
ok kept, and without allow_other nobody else gets in
