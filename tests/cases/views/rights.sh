#!/bin/bash
# SPDX-License-Identifier: MIT
# A view is read by those who may read it and all of its groups, whoever made it.
# claims: J5
. "$TESTS/lib.sh"
need setpriv

chmod 755 "$DIR" "$(dirname "$DIR")"
start_daemon -o allow_other
for grp in a b; do
	define $grp <<'END'
[feature n]
type = int64
END
	mkdir "$MNT/$grp/u"
	echo 5 > "$MNT/$grp/u/n"
done
view=$MNT/.views/both
mkdir "$view"
printf '[view]\n[columns]\nx = a/n\ny = b/n\n' > "$view/.schema"
other() {
	as_user 65534 "$@"
}
same "$(other jq -c .features "$view/json/u")" '{"x":5,"y":5}'
chmod 750 "$MNT/b"
expect_fail EACCES other cat "$view/json/u"
expect_fail EACCES other cat "$view/f32/u"
expect_fail EACCES other bash -c 'exec 7<> "$1"' - "$view/json/.lookup"
ask() {
	"$@" bash -c 'exec 7<> "$1"; printf "u\n.group b\nu\n" >&7; cat <&7' - "$MNT/a/.lookup"
}
expect_fail EACCES ask other
same "$(ask env | jq -c .features)" $'{"n":5}\n{"n":5}'
same "$(jq -c .features "$view/json/u")" '{"x":5,"y":5}'
chgrp 65534 "$MNT/b"
same "$(other jq -c .features "$view/json/u")" '{"x":5,"y":5}'
same "$(ask other | jq -c .features)" $'{"n":5}\n{"n":5}'
chmod 700 "$view"
expect_fail EACCES other cat "$view/json/u"
expect_fail EACCES other ls "$view"
expect_fail EACCES other mkdir "$MNT/.views/mine"
