#!/bin/bash
# SPDX-License-Identifier: MIT
# A refused write fails in the writer's hands: echo says so, cp and python see it, what stood stands, a new name does not come to be,
# and .errors has the reason with time, lane, user, name and value.
# claims: V13 W4 N7
. "$TESTS/lib.sh"
. "$TESTS/helpers/fsop.sh"

start_daemon
define g <<'END'
[feature clicks]
type = int64
min = 0
[feature name]
type = string
END
e=$MNT/g/u1
mkdir "$e"
echo 1 > "$e/clicks"

for shell in bash dash; do
	need "$shell"
	expect_fail ANY "$shell" -c 'echo bad > "$1"' - "$e/clicks"
	expect_fail ANY "$shell" -c 'echo -5 > "$1"' - "$e/clicks"
	expect_fail ANY "$shell" -c 'printf "%s\n" 1x > "$1"' - "$e/clicks"
done
expect_fail EINVAL bash -c 'echo bad > "$1"' - "$e/clicks"
expect_fail ERANGE bash -c 'echo -5 > "$1"' - "$e/clicks"
gives 'write: EINVAL' put "$e/clicks" $'bad\n'
gives 'write: ERANGE' put "$e/clicks" $'-5\n'
gives 'write: EINVAL' put "$e/clicks" x7
gives 'write: EILSEQ' put "$e/name" hex:ff0a
gives 'close: EINVAL' put "$e/clicks" -
gives 'close: ERANGE' put "$e/clicks" -5
ok at write where the whole is there, else at close

echo abc > "$DIR/abc"
printf -- '-5' > "$DIR/minus"
expect_fail EINVAL cp "$DIR/abc" "$e/clicks"
expect_fail ERANGE cp "$DIR/minus" "$e/clicks"
expect_fail EINVAL bash -c 'cat "$1" > "$2"' - "$DIR/abc" "$e/clicks"
expect_fail EINVAL bash -c 'tee "$2" < "$1"' - "$DIR/abc" "$e/clicks"
expect_fail EINVAL dd if="$DIR/abc" of="$e/clicks"
expect_fail ANY rsync "$DIR/abc" "$e/clicks"
expect_fail ANY sed -i 's/1/x/' "$e/clicks"
same "$(cat "$e/clicks")" 1
same "$(ls -a "$e" | xargs)" '. .. clicks' "no temporary file is left in the listing"

gives 'open: ENOENT' put "$MNT/g/u2/clicks" 1
absent "$MNT/g/u2"
mkdir "$MNT/g/u3"
refuses EINVAL "$MNT/g/u3/clicks" $'no\n'
absent "$MNT/g/u3/clicks"
ok what stood stands

gives 'open: EPERM' put "$e/ctr" 1
last_error g 'u1/ctr undeclared \(errno 1\).*\.schema'
gives 'open: EPERM' put "$e/Clicks" 1
refuses EINVAL "$e/clicks" $'a"b\\\n'
last_error g '^20[0-9-]+T[0-9:.]+Z direct uid 0 u1/clicks not_of_type \(errno 22\) "a\\"b\\\\(\\n)?"'
same "$(grep -c 'u1/clicks' "$MNT/g/.errors" | awk '{ print ($1 > 10) }')" 1
expect_fail ANY bash -c 'echo x > "$1"' - "$MNT/g/.errors"
ok .errors
